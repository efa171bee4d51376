"""How values and errors look: labelled rows in, HTML and plain text out. Plain Python."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

from leverage_nb import terminal

Tone = Literal["plain", "good", "warn", "bad"]

# JupyterLab's theme variables, each with a fallback for exported pages; no literal text colours.
_FONT = "var(--jp-ui-font-family, system-ui, sans-serif)"
_TEXT = "var(--jp-ui-font-color1, CanvasText)"
_SOFT = "var(--jp-ui-font-color2, GrayText)"
_LINE = "var(--jp-border-color2, #bdbdbd)"
_TONES: Mapping[Tone, str] = {
    "plain": "var(--jp-border-color1, #9e9e9e)",
    "good": "var(--jp-success-color1, #2e7d32)",
    "warn": "var(--jp-warn-color1, #b26a00)",
    "bad": "var(--jp-error-color1, #c62828)",
}
# Backgrounds of badges with white text, the same in every theme (contrast >= 4.5:1). Red is for mainnet and for every
# unknown address, where real money may be at stake.
_BADGES = {"simulator": "#37618e", "testnet": "#6b4fa0"}
_RED = "#c62828"
# JupyterLab typesets $...$ in HTML, and with it in texts of the exchange, unless an element above has these classes:
# the first is MathJax 3's, the second MathJax 2's.
NO_MATH = "mathjax_ignore tex2jax_ignore"
_TABLE = "margin:4px 0 0;border:none;border-collapse:collapse"
_TEXT_CELL = "text-align:left"
_FIGURE_CELL = "text-align:right;white-space:nowrap"


def badge(venue: str) -> str:
    """Return the venue's name as a coloured HTML label; red for all but the simulator and the testnet."""
    style = (
        f"background:{_BADGES.get(venue, _RED)};color:#fff;border-radius:3px;padding:1px 7px;"
        "font-size:11px;font-weight:600;letter-spacing:.04em"
    )
    return f'<span class="leverage-badge {NO_MATH}" style="{style}">{escape(label(venue))}</span>'


def is_real_money(venue: str) -> bool:
    """Return whether real money may be at stake: on mainnet, and at every unknown address."""
    return venue not in _BADGES


def label(venue: str) -> str:
    """Return the venue's name in capitals, as cards and tables show it."""
    return venue.upper()


# The same in a terminal, as ANSI codes.
_TONE_CODES: Mapping[Tone, tuple[int, ...]] = {
    "plain": (terminal.BOLD,),
    "good": (terminal.BOLD, terminal.GREEN),
    "warn": (terminal.BOLD, terminal.YELLOW),
    "bad": (terminal.BOLD, terminal.RED),
}
_BADGE_CODES = {"simulator": terminal.BLUE, "testnet": terminal.MAGENTA}


@dataclass(frozen=True)
class Table:
    """A table of texts in a card.

    Attributes:
        caption: What its rows are.
        header: The names of its columns.
        rows: The cells of each row.
        texts: The places of the columns that are left-aligned; figures are right-aligned.
        labels: How many of the first columns name the rows.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    texts: frozenset[int] = frozenset({0})
    labels: int = 1

    def html(self) -> str:
        """Return it as an HTML fragment that follows JupyterLab's theme."""
        styles = [_TEXT_CELL if place in self.texts else _FIGURE_CELL for place in range(len(self.header))]
        body = "".join(_row("td", row, styles) for row in self.rows)
        head = f'<caption style="text-align:left;color:{_SOFT}">{escape(self.caption)}</caption>'
        return (
            f'<div class="{NO_MATH}" style="overflow-x:auto">'
            f'<table style="{_TABLE};font-family:{_FONT};font-size:12px;color:{_TEXT}">'
            f"{head}{_row('th', self.header, styles)}{body}</table></div>"
        )

    def text(self, columns: int | None = None, *, colours: bool = False) -> str:
        """Return it as text; if it is wider than ``columns``, in parts that repeat the columns which name the rows."""
        cells = [
            [terminal.pad(cell, size, left=place in self.texts) for cell in column]
            for place, column in enumerate(zip(self.header, *self.rows, strict=True))
            for size in [max(map(terminal.width, column))]
        ]
        names = list(range(self.labels))
        parts = [names]
        for place in range(self.labels, len(cells)):
            size = sum(terminal.width(cells[one][0]) + 2 for one in (*parts[-1], place)) - 2
            if columns is not None and size > columns and parts[-1] != names:
                parts.append(names)
            parts[-1] = [*parts[-1], place]
        lines = []
        for part in parts:
            head, *rows = ["  ".join(cells[place][row] for place in part).rstrip() for row in range(len(self.rows) + 1)]
            lines += ["", terminal.paint(head, terminal.DIM) if colours else head, *rows]
        caption = [terminal.paint(self.caption, terminal.BOLD) if colours else self.caption] if self.caption else []
        return "\n".join([*caption, *lines[1:]])


@dataclass(frozen=True)
class Card:
    """A result for the user: a badge, a headline, labelled rows, a closing note.

    Attributes:
        venue: The venue in the badge; the frame is red if real money may be at stake.
        title: The headline.
        rows: Label and value of each line.
        note: A closing sentence.
        tone: The colour of the left edge.
        examples: Commands in a monospaced block.
        tables: Tables below the rows.
    """

    venue: str
    title: str
    rows: tuple[tuple[str, str], ...] = ()
    note: str = ""
    tone: Tone = "plain"
    examples: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()

    def html(self) -> str:
        """Return the card as an HTML fragment that follows JupyterLab's theme."""
        frame = _RED if is_real_money(self.venue) else _LINE
        style = (
            f"font-family:{_FONT};font-size:13px;line-height:1.5;color:{_TEXT};border:1px solid {frame};"
            f"border-left:4px solid {_TONES[self.tone]};border-radius:4px;padding:7px 12px;margin:2px 0"
            f"{'' if self.tables else ';max-width:46em'}"
        )
        title = f'{badge(self.venue)} <b style="margin-left:4px">{escape(self.title)}</b>'
        return _block("leverage-card", style, title, self.rows, self.note, self.examples, self.tables)

    def text(self, columns: int | None = None, *, colours: bool = False) -> str:
        """Return the card as text.

        Args:
            columns: The width in which rows and note are wrapped; None for one line each.
            colours: Whether to use ANSI codes.
        """

        def paint(text: str, *codes: int) -> str:
            return terminal.paint(text, *codes) if colours else text

        width = max((terminal.width(name) for name, _ in self.rows), default=0)
        code = _BADGE_CODES.get(self.venue)
        badge_codes = (terminal.BOLD, terminal.RED, terminal.REVERSE) if code is None else (terminal.BOLD, code)
        lines = [f"{paint(f'[{label(self.venue)}]', *badge_codes)} {paint(self.title, *_TONE_CODES[self.tone])}"]
        for name, value in self.rows:
            first, *others = _wrap(value, columns, width + 4)
            lines.append(f"  {paint(terminal.pad(name, width, left=True), terminal.DIM)}  {first}")
            lines += [" " * (width + 4) + other for other in others]
        for table in self.tables:
            lines += ["", textwrap.indent(table.text(columns and columns - 2, colours=colours), "  ")]
        lines += [""] if self.tables else []
        lines += [f"  {paint(line, terminal.DIM)}" for line in _wrap(self.note, columns, 2) if line]
        return "\n".join([*lines, *(f"  {example}" for example in self.examples)])


class Shown:
    """A value that is shown as a card: in a notebook, at a terminal and by ``print``."""

    def card(self) -> Card:
        """Return the card."""
        raise NotImplementedError

    def __repr__(self) -> str:
        card = self.card()
        return terminal.encodable(f"<{type(self).__name__} [{label(card.venue)}] {card.title}>")

    def __str__(self) -> str:
        return terminal.encodable(self.card().text())

    def _repr_html_(self) -> str:
        return self.card().html()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        # Notebooks ask for this text too; there it is plain, because it does not go to a terminal.
        printer.text(terminal.encodable(self.card().text(terminal.columns(), colours=terminal.has_colours())))


def message(text: str, hint: str = "", tone: Tone = "plain", rows: Iterable[tuple[str, str]] = ()) -> str:
    """Return a short HTML message with labelled rows and a next step, for the panel's message area."""
    style = f"border-left:4px solid {_TONES[tone]};padding:2px 10px"
    return _block("leverage-message", style, escape(text), rows, hint)


def table(caption: str, header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a small HTML table: the first column is left-aligned, the others are right-aligned."""
    return Table(caption, tuple(header), tuple(map(tuple, rows))).html()


def _block(
    name: str,
    style: str,
    title: str,
    rows: Iterable[tuple[str, str]],
    note: str,
    examples: Iterable[str] = (),
    tables: Iterable[Table] = (),
) -> str:
    """Return a ``div`` of the title, which is HTML, and the labelled rows, tables, note and examples."""
    parts = [f"<div>{title}</div>"]
    if body := "".join(_row("td", row, [_TEXT_CELL] * 2) for row in rows):
        parts.append(f'<table style="{_TABLE}">{body}</table>')
    parts += [f'<div style="margin-top:8px">{table.html()}</div>' for table in tables]
    if note:
        parts.append(f'<div style="margin-top:4px;color:{_SOFT}">{escape(note)}</div>')
    lines = "".join(f"<div>{escape(example)}</div>" for example in examples)
    if lines:
        code = "margin-top:6px;white-space:pre;overflow-x:auto;font-family:var(--jp-code-font-family, monospace)"
        parts.append(f'<div style="{code}">{lines}</div>')
    return f'<div class="{name} {NO_MATH}" style="{style}">{"".join(parts)}</div>'


def _row(tag: str, cells: Iterable[str], styles: Iterable[str]) -> str:
    """Return a row of a table: a label and values."""
    style = "padding:1px 14px 1px 0;vertical-align:top;font-variant-numeric:tabular-nums"
    label_style = f"text-align:left;white-space:nowrap;color:{_SOFT}"
    filled = (
        f'<{tag} style="{style};{cell_style if place else label_style}">{escape(cell)}</{tag}>'
        for place, (cell, cell_style) in enumerate(zip(cells, styles, strict=True))
    )
    return f'<tr style="background:none">{"".join(filled)}</tr>'


def _wrap(text: str, columns: int | None, indent: int) -> list[str]:
    """Return text as lines that fit beside an indent; as one line without a width."""
    if columns is None:
        return [text]
    return textwrap.wrap(text, max(columns - indent, 20), break_on_hyphens=False) or [""]
