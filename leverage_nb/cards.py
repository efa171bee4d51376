"""How values and errors look: labelled rows in, HTML and plain text out. Imports nothing but the standard library."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

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
    """

    venue: str
    title: str
    rows: tuple[tuple[str, str], ...] = ()
    note: str = ""
    tone: Tone = "plain"
    examples: tuple[str, ...] = ()

    def html(self) -> str:
        """Return the card as an HTML fragment that follows JupyterLab's theme."""
        frame = _RED if is_real_money(self.venue) else _LINE
        style = (
            f"font-family:{_FONT};font-size:13px;line-height:1.5;color:{_TEXT};border:1px solid {frame};"
            f"border-left:4px solid {_TONES[self.tone]};border-radius:4px;padding:7px 12px;max-width:46em;margin:2px 0"
        )
        title = f'{badge(self.venue)} <b style="margin-left:4px">{escape(self.title)}</b>'
        return _block("leverage-card", style, title, self.rows, self.note, self.examples)

    def text(self) -> str:
        """Return the card as plain text, one row per line."""
        width = max((len(name) for name, _ in self.rows), default=0)
        lines = [f"[{label(self.venue)}] {self.title}"]
        lines += [f"  {name:<{width}}  {value}" for name, value in self.rows]
        lines += [f"  {part}" for part in (self.note, *self.examples) if part]
        return "\n".join(lines)


class Shown:
    """A value that is shown as a card: in a notebook, at a terminal and by ``print``."""

    def card(self) -> Card:
        """Return the card."""
        raise NotImplementedError

    def __repr__(self) -> str:
        card = self.card()
        return f"<{type(self).__name__} [{label(card.venue)}] {card.title}>"

    def __str__(self) -> str:
        return self.card().text()

    def _repr_html_(self) -> str:
        return self.card().html()

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(str(self))


def message(text: str, hint: str = "", tone: Tone = "plain", rows: Iterable[tuple[str, str]] = ()) -> str:
    """Return a short HTML message with labelled rows and a next step, for the panel's message area."""
    style = f"border-left:4px solid {_TONES[tone]};padding:2px 10px"
    return _block("leverage-message", style, escape(text), rows, hint)


def table(caption: str, header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a small HTML table: the first column is left-aligned, the others are right-aligned."""
    figure = "text-align:right;white-space:nowrap"
    head = f'<caption style="text-align:left;color:{_SOFT}">{escape(caption)}</caption>'
    style = f"font-family:{_FONT};font-size:12px;color:{_TEXT}"
    return f'<div class="{NO_MATH}">{_table(rows, figure, head + _row("th", header, figure), style)}</div>'


def _block(
    name: str, style: str, title: str, rows: Iterable[tuple[str, str]], note: str, examples: Iterable[str] = ()
) -> str:
    """Return a ``div`` of the title, which is HTML, and the labelled rows, note and examples, which are text."""
    parts = [f"<div>{title}</div>", _table(rows)]
    if note:
        parts.append(f'<div style="margin-top:4px;color:{_SOFT}">{escape(note)}</div>')
    lines = "".join(f"<div>{escape(example)}</div>" for example in examples)
    if lines:
        code = "margin-top:6px;white-space:pre;overflow-x:auto;font-family:var(--jp-code-font-family, monospace)"
        parts.append(f'<div style="{code}">{lines}</div>')
    return f'<div class="{name} {NO_MATH}" style="{style}">{"".join(parts)}</div>'


def _table(rows: Iterable[Iterable[str]], value_style: str = "text-align:left", head: str = "", style: str = "") -> str:
    """Return a table with a label and values in each row; "" without rows."""
    body = "".join(_row("td", row, value_style) for row in rows)
    if not body:
        return ""
    return f'<table style="margin:4px 0 0;border:none;border-collapse:collapse;{style}">{head}{body}</table>'


def _row(tag: str, cells: Iterable[str], value_style: str) -> str:
    style = "padding:1px 14px 1px 0;vertical-align:top;font-variant-numeric:tabular-nums"
    label_style = f"text-align:left;white-space:nowrap;color:{_SOFT}"
    filled = (
        f'<{tag} style="{style};{value_style if place else label_style}">{escape(cell)}</{tag}>'
        for place, cell in enumerate(cells)
    )
    return f'<tr style="background:none">{"".join(filled)}</tr>'
