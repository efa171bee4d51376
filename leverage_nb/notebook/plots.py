"""Plots of tiers and ladders with matplotlib. Names are drawn as text: `parse_math=False`, because of `$`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from leverage_nb.cards import label
from leverage_nb.errors import InvalidInput
from leverage_nb.formatting import short
from leverage_nb.notebook.plot_labels import LABEL_SIZE, drawable, fonts_for, label_ends, label_tiers
from leverage_nb.risk.brackets import Brackets
from leverage_nb.risk.user_input import normalize, parse_leverage

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

MOST_LABELLED = 6
MOST_IN_LEGEND = 12
FIGURE_SIZE = (7.2, 3.8)  # inches
_TICKS = (1, 2, 3, 5, 10, 20, 50, 100, 150)


def plot_brackets(
    brackets: pd.DataFrame | Brackets,
    leverage: int | str | Mapping[str, int | str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plot max notional against leverage: one descending staircase per symbol, on logarithmic axes.

    A notebook shows the plot once: as the result of its cell, or else at the cell's end, as every pyplot figure. It
    follows the colours of the theme, unless the style in use sets its own.

    Args:
        brackets: The result of ``Account.brackets(...)`` for one or several symbols, or the :class:`Brackets` of one.
        leverage: The current leverage to mark, as ``10`` or ``"10x"``, or a mapping from symbol to leverage.
        ax: The axes to draw on; None creates a pyplot figure.

    Returns:
        The axes. The height of the staircase at a leverage is the max notional. 2 to 6 symbols are named at the ends of
        their lines, 7 to 12 in a legend.

    Raises:
        InvalidInput: There are no tiers, or the symbols have different margin assets, which one axis cannot show.
        InvalidLeverage: The symbol does not allow ``leverage``.
    """
    tables, assets, venue = _unpack(brackets)
    if not tables:
        raise InvalidInput("There are no brackets to plot.", hint="Pass account.brackets() of at least one symbol.")
    examples: dict[str, str] = {}
    for symbol, asset in assets.items():
        examples.setdefault(asset, symbol)
    if len(examples) > 1:
        named = ", ".join(f"{symbol} in {asset}" for asset, symbol in examples.items())
        raise InvalidInput(
            f"One axis shows one margin asset, and these symbols have several: {named}.",
            hint="Plot them one asset at a time.",
        )
    asset = next(iter(assets.values()), "")
    marks = _read_marks(tables, leverage)
    ax = ax or _new_axes()
    symbols = drawable(next(iter(tables))) if len(tables) == 1 else f"{len(tables)} symbols"
    title = _with_venue(f"{symbols}: max notional by leverage", venue)
    ax.set_title(title, loc="left", family=fonts_for(tables), parse_math=False)
    draw_brackets(ax, tables, marks, asset)
    return ax


def plot_ladder(ladder: pd.DataFrame, ax: Axes | None = None) -> Axes:
    """Plot the distance to liquidation of a new position against leverage.

    A notebook shows the plot as it shows that of :func:`plot_brackets`.

    Args:
        ladder: The result of ``Account.ladder(...)``.
        ax: The axes to draw on; None creates a pyplot figure.

    Returns:
        The axes: distance in percent of the mark price, for long and short, on logarithmic axes. Leverages that do not
        allow the notional are shaded.

    Raises:
        InvalidInput: The frame is not a ladder, or no leverage allows its notional.
    """
    from matplotlib.ticker import FuncFormatter, NullLocator

    absent = {"initial_margin", "distance_long", "distance_short"} - set(ladder.columns)
    if absent:
        raise InvalidInput(
            f"The frame is not a ladder: it has no column {', '.join(sorted(absent))}.",
            hint="Pass the result of account.ladder(...).",
        )
    allowed = ladder.dropna(subset=["distance_short"])
    if allowed.empty:
        raise InvalidInput("No leverage allows this notional.", hint="Make a ladder with a smaller notional.")
    ax = ax or _new_axes()
    lines = {}
    for side, style in (("long", "-"), ("short", "--")):
        distance = allowed[f"distance_{side}"].replace(np.inf, np.nan) * 100
        marked = [n for n, leverage in enumerate(allowed.index) if leverage in _TICKS or n == len(allowed) - 1]
        (line,) = ax.plot(
            allowed.index, distance, style, linewidth=1.8, marker="o", markersize=4.5, markevery=marked
        )  # fmt: skip
        if np.isfinite(distance.iloc[-1]):  # a long position at 1x is never liquidated
            lines[f"{side} {_percent(distance.iloc[-1])}"] = line
    _style(ax)
    highest_allowed, highest = int(allowed.index[-1]), int(ladder.index[-1])
    ax.set_xlim(0.88, highest * 1.05)
    ticks = [x for x in _TICKS if x <= highest]
    ax.set_xticks(ticks, [f"{x}x" for x in ticks])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}%"))
    ax.set_ylabel("distance to liquidation")
    symbol = drawable(str(ladder.attrs.get("symbol", "")))
    size = short(float(allowed["initial_margin"].iloc[0] * allowed.index[0]))
    title = " ".join(f"New isolated {symbol} position of {size}".split())
    title = _with_venue(title, ladder.attrs.get("venue", ""))
    ax.set_title(title, loc="left", family=fonts_for([symbol]), parse_math=False)
    is_limited = highest_allowed < highest
    label_ends(ax, lines, fonts_for([]), spare=2 * LABEL_SIZE if is_limited else 0)
    if is_limited:
        ax.axvspan(highest_allowed + 0.5, ax.get_xlim()[1], color="C3", alpha=0.13, linewidth=0)
        ax.annotate(
            f"above {highest_allowed}x: size not allowed", (1, 0.5), xycoords="axes fraction", xytext=(-4, 0),
            textcoords="offset points", rotation=90, ha="right", va="center", fontsize=LABEL_SIZE,
        )  # fmt: skip
    for leverage in sorted(set(_TICKS) & set(allowed.index[:-1])):
        nearer = float(allowed.loc[[leverage], ["distance_long", "distance_short"]].to_numpy().min()) * 100
        ax.annotate(
            _percent(nearer), (leverage, nearer), xytext=(4, 3), textcoords="offset points", fontsize=LABEL_SIZE
        )
    return ax


def draw_brackets(
    ax: Axes, tables: Mapping[str, Brackets], leverage: int | Mapping[str, int] | None, asset: str
) -> None:
    """Draw the staircases of symbols with the same margin asset, without a title."""
    marks = leverage if isinstance(leverage, Mapping) else dict.fromkeys(tables, leverage)
    lines = {}
    for symbol, tiers in tables.items():
        lines[drawable(symbol)] = line = _draw_staircase(ax, tiers, symbol)
        mark = marks.get(symbol)
        if mark is not None:
            _mark(ax, tiers, mark, asset, line.get_color(), alone=len(tables) == 1)
    _set_scales(ax, list(tables.values()), asset)
    if len(tables) == 1:
        label_tiers(ax, next(iter(tables.values())))
    elif len(tables) <= MOST_LABELLED:
        label_ends(ax, lines, fonts_for(tables))
    elif len(tables) <= MOST_IN_LEGEND:
        legend = ax.legend(loc="lower left", ncols=2, frameon=False, prop={"size": 9, "family": fonts_for(tables)})
        for text in legend.get_texts():
            text.set_parse_math(False)


def _read_marks(tables: Mapping[str, Brackets], leverage: Any) -> dict[str, int]:
    """Return the leverage to mark of each symbol that has one."""
    given = leverage if isinstance(leverage, Mapping) else dict.fromkeys(tables, leverage)
    marks = {normalize(symbol): mark for symbol, mark in given.items() if mark is not None}
    return {
        symbol: parse_leverage(marks[name], symbol, tiers.symbol_max_leverage)
        for symbol, tiers in tables.items()
        if (name := normalize(symbol)) in marks
    }


def _new_axes() -> Axes:
    from leverage_nb.notebook.themed import new_axes  # it loads matplotlib

    return new_axes(FIGURE_SIZE)


def _with_venue(title: str, venue: str) -> str:
    return f"{title}  [{label(venue)}]" if venue else title


def _style(ax: Axes) -> None:
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("initial leverage")
    ax.grid(axis="y", linewidth=0.6, alpha=0.35)
    ax.spines[["top", "right"]].set_visible(False)


def _unpack(brackets: pd.DataFrame | Brackets) -> tuple[dict[str, Brackets], dict[str, str], str]:
    """Return tiers and margin assets by symbol, and the venue; "" if unknown."""
    if isinstance(brackets, Brackets):
        return {brackets.symbol: brackets}, {}, ""
    if not hasattr(brackets, "columns"):
        got = type(brackets).__name__
        raise InvalidInput(f"A {got} cannot be plotted.", hint="Pass the result of account.brackets(...).")
    if "symbol" in brackets.index.names:
        symbols = [str(symbol) for symbol in brackets.index.unique("symbol")]
        tables = {symbol: Brackets.from_frame(brackets, symbol) for symbol in symbols}
    else:
        one = Brackets.from_frame(brackets)
        tables = {one.symbol: one}
    known = brackets.attrs.get("margin_assets", {})
    assets = {symbol: known[symbol] for symbol in tables if symbol in known}
    return tables, assets, brackets.attrs.get("venue", "")


def _draw_staircase(ax: Axes, tiers: Brackets, symbol: str) -> Line2D:
    leverage, cap = tiers.initial_leverage[::-1], tiers.notional_cap[::-1]  # ascending leverage
    # Between the leverages of two tiers, the cap of the higher leverage applies.
    (line,) = ax.plot(
        leverage, cap, drawstyle="steps-pre", linewidth=1.8, marker="o", markersize=4.5, label=drawable(symbol)
    )
    return line


def _mark(ax: Axes, tiers: Brackets, leverage: int, asset: str, colour: Any, *, alone: bool) -> None:
    cap = tiers.max_notional(leverage)
    ax.plot(
        [leverage], [cap], color=colour, marker="D", markersize=8, markeredgecolor=colour, markerfacecolor="none",
        markeredgewidth=1.8, linestyle="none",
    )  # fmt: skip
    if alone:
        ax.axvline(leverage, color=colour, linewidth=1, linestyle=(0, (4, 3)), alpha=0.7, zorder=0)
        text = f"now {leverage}x: up to {short(cap)} {asset}".rstrip()
        # The lower left corner is empty, because the staircase descends to the right.
        ax.text(
            0.015, 0.04, text, transform=ax.transAxes, ha="left", va="bottom", fontsize=10, weight="bold",
            parse_math=False,
        )  # fmt: skip


def _set_scales(ax: Axes, tables: list[Brackets], asset: str) -> None:
    from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, LogLocator, NullLocator

    _style(ax)
    offered = np.unique(np.concatenate([tiers.initial_leverage for tiers in tables]))
    highest = int(offered[-1])
    ax.set_xlim(0.88, highest * 1.25)
    caps = np.concatenate([tiers.notional_cap for tiers in tables])
    ax.set_ylim(caps.min() / (2.2 if len(tables) == 1 else 4), caps.max() * 2.2)
    if len(tables) > 1:
        offered = np.array([x for x in _TICKS if x <= highest])
    shown = _spread(offered, highest)
    ax.xaxis.set_major_locator(FixedLocator(shown.tolist()))
    ax.xaxis.set_major_formatter(FixedFormatter([f"{int(x)}x" for x in shown]))
    ax.xaxis.set_minor_locator(FixedLocator([]))
    ax.yaxis.set_major_locator(LogLocator(10))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.set_ylabel(f"max notional, {asset}" if asset else "max notional", parse_math=False)


def _spread(leverages: Any, highest: int) -> Any:
    """Return the ticks without those that would touch the next higher one."""
    kept = [highest]
    for leverage in leverages[::-1]:
        if np.log(kept[-1] / leverage) > 0.06 * np.log(highest * 1.4):
            kept.append(leverage)
    return np.array(kept[::-1])


def _percent(value: float) -> str:
    return f"{value:.1f}%" if value >= 1 else f"{value:.2g}%"
