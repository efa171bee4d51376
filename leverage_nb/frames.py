"""LeverageFrame: a DataFrame that is shown for people. Imports pandas: import it in functions only."""

from __future__ import annotations

import math
import re
import shutil
from collections.abc import Callable, Sequence
from datetime import datetime
from html import escape
from itertools import cycle
from typing import Any, TypeVar

import pandas as pd

from leverage_nb import terminal
from leverage_nb.cards import NO_MATH, Table, badge, label
from leverage_nb.formatting import NOTHING, local_time, price
from leverage_nb.terminal import encodable

Frame = TypeVar("Frame", bound=pd.DataFrame)

# How the figures of a column are shown; others are shown as prices, with six significant digits.
_LEVERAGES = {
    "leverage", "before", "after", "requested", "symbol_max", "initial_leverage", "effective_leverage",
}  # fmt: skip
# Decimal places of the percentage, at most.
_RATES = {"maint_margin_ratio": 4, "distance_long": 2, "distance_short": 2, "distance": 2}
_AMOUNTS = {
    "notional_floor", "notional_cap", "cum", "max_notional", "max_notional_before", "held", "room", "notional",
    "unrealized_profit", "initial_margin", "maintenance_margin", "available", "available_after",
}  # fmt: skip
_NUMBERS = {"code", "undoes"}

_LONG = 30  # characters; longer texts are wrapped
_PROSE = "text-align:left;min-width:22em"
_LEFT = "text-align:left;white-space:nowrap"
_RIGHT = "text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums"


class LeverageFrame(pd.DataFrame):
    """A DataFrame that is shown for people; its values and dtypes are those of any DataFrame.

    Rates are shown as percentages, figures with separators, times in local time, and a dash for what is missing or
    infinite. In text all columns are shown, in HTML long texts are whole. ``attrs["empty"]`` is the sentence that is
    shown instead of a table without rows. DataFrames derived from it by pandas, such as slices, are of this class too.
    """

    @property
    def _constructor(self) -> Callable[..., LeverageFrame]:
        return LeverageFrame

    def __repr__(self) -> str:
        if not len(self):
            venue = f"[{label(self.attrs['venue'])}] " if "venue" in self.attrs else ""
            return encodable(f"{venue}{_why_empty(self)}")
        shown, lefts = _as_text(self)
        return encodable(f"{_table(shown, lefts).text(terminal.columns())}{_size(self, shown)}")

    def _repr_html_(self) -> Any:
        if not pd.get_option("display.notebook_repr_html"):
            return None
        if not len(self):
            venue = f"{badge(self.attrs['venue'])} " if "venue" in self.attrs else ""
            return f'<div class="{NO_MATH}">{venue}{escape(_why_empty(self))}</div>'
        shown, lefts = _as_text(self)
        # Reasons and notes are shown whole, because the next step is at their end.
        # Without MathJax, because they may have texts of the exchange.
        with pd.option_context("display.max_colwidth", None, "display.html.use_mathjax", False):
            html = shown.to_html(max_rows=None, max_cols=None)
        styles = [_cell_style(shown.iloc[:, place].tolist(), left=left) for place, left in enumerate(lefts)]
        has_text = self.index.nlevels > 1 or not pd.api.types.is_numeric_dtype(self.index)
        html = _align_html(html, styles, _LEFT if has_text else _RIGHT)
        size = f"<p>{_size(self, shown).strip()[1:-1]}</p>" if len(shown) != len(self) else ""
        return f'<div class="{NO_MATH}" style="overflow-x:auto">{html}{size}</div>'

    def _display_(self) -> Any:
        """Return marimo's own table with the venue above it: marimo does not show the name of the columns."""
        import marimo

        plain = pd.DataFrame(self)
        if "venue" not in self.attrs:
            return plain
        return marimo.vstack([marimo.Html(f"<div>{badge(self.attrs['venue'])}</div>"), plain])


def mark(frame: Frame, venue: str, account: str) -> Frame:
    """Set the venue as the name of the columns, and venue and account in ``attrs``; return the same frame."""
    frame.columns.name = label(venue)
    frame.attrs |= {"venue": venue, "account": account}
    return frame


def value_columns(changes: Sequence[Any], **dtypes: Any) -> dict[str, Any]:
    """Return attributes of changes or of plan rows as columns, by name.

    Args:
        changes: Values with a ``kind``.
        dtypes: The dtype of each attribute if all changes are of leverage; otherwise the columns are of objects.
    """
    only_leverages = all(change.kind == "leverage" for change in changes)
    return {
        name: pd.array([getattr(change, name) for change in changes], dtype=dtype if only_leverages else "object")
        for name, dtype in dtypes.items()
    }


def _why_empty(frame: pd.DataFrame) -> str:
    return str(frame.attrs.get("empty", "No rows."))


def _as_text(frame: pd.DataFrame) -> tuple[pd.DataFrame, list[bool]]:
    """Return the rows that pandas' options show, as text; and of each column whether it is left-aligned."""
    most, some = pd.get_option("display.max_rows"), pd.get_option("display.min_rows")
    if most == 0:  # as many as the terminal has
        most = shutil.get_terminal_size().lines - 2
    rows = frame
    if most is not None and (cut := len(frame) > most):
        some = min(most, some or most)
        rows = pd.concat([frame.iloc[: (some + 1) // 2], frame.iloc[len(frame) - some // 2 :]])
    else:
        cut = False
    lists = [_texts(frame.columns[place], rows.iloc[:, place].tolist()) for place in range(frame.shape[1])]
    lefts = [not _is_figure(frame.dtypes.iloc[place]) for place in range(frame.shape[1])]
    index = rows.index
    if cut:
        middle = (some + 1) // 2
        for texts in lists:
            texts.insert(middle, "…")
        gap: Any = "…" if index.nlevels == 1 else ("…",) * index.nlevels
        names = index.names
        entries = index.tolist()
        entries.insert(middle, gap)
        index = pd.Index(entries, dtype="object") if index.nlevels == 1 else pd.MultiIndex.from_tuples(entries)
        index.names = names
    shown = pd.DataFrame(dict(enumerate(lists)), index=index, dtype="object")
    shown.columns = frame.columns
    return shown, lefts


def _is_figure(dtype: Any) -> bool:
    return pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype)


def _texts(name: Any, values: list[Any]) -> list[str]:
    """Return the values of a column as text."""
    figures = [value for value in values if isinstance(value, float) and math.isfinite(value)]
    # One number of decimals for all figures of a column, so that their digits are in line.
    decimals = None
    if name in _RATES:
        needed = [len(f"{value * 100:.{_RATES[name]}f}".rstrip("0").partition(".")[2]) for value in figures]
        decimals = max(needed, default=0)
    elif name in _AMOUNTS and not any(0 < abs(value) < 1 for value in figures):
        decimals = 0 if all(map(float.is_integer, figures)) else 2
    return [_text(name, value, decimals) for value in values]


def _text(name: Any, value: Any, decimals: int | None) -> str:
    if pd.api.types.is_scalar(value) and (pd.isna(value) or value == "" or value in {math.inf, -math.inf}):
        return NOTHING
    if isinstance(value, datetime):  # pandas' Timestamp too
        return f"{local_time(value.timestamp()) if value.tzinfo else value:%Y-%m-%d %H:%M:%S}"
    if isinstance(value, bool) or not isinstance(value, (int, float)) or name in _NUMBERS:
        return str(value)
    if name in _LEVERAGES:
        return f"{value:,.1f}x" if value % 1 else f"{value:,.0f}x"
    if name in _RATES:
        return f"{value:.{decimals or 0}%}"
    if isinstance(value, int):
        return f"{value:,}"
    return price(value) if decimals is None else f"{value:,.{decimals}f}"


def _size(frame: pd.DataFrame, shown: pd.DataFrame) -> str:
    """Return the number of rows and columns if not all rows are shown, as pandas does."""
    rows, count = frame.shape
    return f"\n\n[{rows:,} rows × {count} columns]" if len(shown) != len(frame) else ""


def _table(shown: pd.DataFrame, lefts: list[bool]) -> Table:
    """Return the texts of a frame as a table for a terminal; texts that are longer than pandas' option are cut."""
    most = pd.get_option("display.max_colwidth")
    levels = [shown.index.get_level_values(place) for place in range(shown.index.nlevels)]
    columns = [*(level.tolist() for level in levels), *(shown.iloc[:, place].tolist() for place in range(len(lefts)))]
    texts = [[_cut(str(text), most) for text in column] for column in columns]
    names = ["" if name is None else str(name) for name in shown.index.names]
    left = [*(not _is_figure(level.dtype) for level in levels), *lefts]
    return Table(
        str(shown.columns.name or ""),
        (*names, *map(str, shown.columns)),
        tuple(zip(*texts, strict=True)),
        frozenset(place for place, is_left in enumerate(left) if is_left),
        len(names),
    )


def _cut(text: str, most: int | None) -> str:
    return text if most is None or len(text) <= most else f"{text[: most - 1]}…"


def _align_html(html: str, styles: Sequence[str], index_style: str) -> str:
    """Set the styles of the cells of pandas' HTML, by column."""
    head, body = html.split("</thead>", 1)
    by_column = cycle(styles)
    body = re.sub("<td>", lambda _: f'<td style="{next(by_column)}">', body)
    names, others = head.split("</tr>", 1)
    start, *cells = names.split("<th>")
    of_names = [*[index_style] * (len(cells) - len(styles)), *styles]
    first = [f'<th style="{style}">{cell}' for style, cell in zip(of_names, cells, strict=False)]
    others, body = (part.replace("<th", f'<th style="{index_style}"') for part in (others, body))
    return f"{start}{''.join(first)}</tr>{others}</thead>{body}"


def _cell_style(texts: Sequence[str], *, left: bool) -> str:
    if not left:
        return _RIGHT
    return _PROSE if max(map(len, texts), default=0) > _LONG else _LEFT
