"""How values and errors look: rows in, HTML and plain text out. Plain Python, no rules, no requests."""

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
# Backgrounds of the badges' white text, fixed so that mainnet is red in every theme (contrast >= 4.5:1).
_BADGES = {"simulator": "#37618e", "testnet": "#6b4fa0"}
# Mainnet's, and that of every venue whose address is not known: real money may be at stake there.
_RED = "#c62828"


def badge(venue: str) -> str:
    """The venue's name as a coloured HTML label; red for all but the simulator and the testnet."""
    colour = _BADGES.get(venue, _RED)
    return (
        f'<span class="leverage-badge" style="background:{colour};color:#fff;border-radius:3px;padding:1px 7px;'
        f'font-size:11px;font-weight:600;letter-spacing:.04em">{escape(label(venue))}</span>'
    )


def is_real_money(venue: str) -> bool:
    """Whether real money may be at stake: on mainnet, and at every address that is not known."""
    return venue not in _BADGES


def label(venue: str) -> str:
    """The venue's name in capitals, as every card and table shows it."""
    return venue.upper()


@dataclass(frozen=True)
class Card:
    """One answer to the user: a badge, a headline, labelled rows, a closing note.

    Attributes:
        venue: Whose badge it wears; a red frame too where real money may be at stake.
        title: The headline.
        rows: Label and value of each line.
        note: A closing sentence.
        tone: The colour of its edge.
        examples: Commands to show in a monospaced block.
    """

    venue: str
    title: str
    rows: tuple[tuple[str, str], ...] = ()
    note: str = ""
    tone: Tone = "plain"
    examples: tuple[str, ...] = ()

    def html(self) -> str:
        """The card as an HTML fragment that follows JupyterLab's theme."""
        lines = "".join(
            f'<tr style="background:none"><td style="text-align:left;padding:1px 14px 1px 0;color:{_SOFT};'
            f'vertical-align:top;white-space:nowrap">{escape(name)}</td>'
            f'<td style="text-align:left;padding:1px 0;font-variant-numeric:tabular-nums">{escape(value)}</td></tr>'
            for name, value in self.rows
        )
        table = f'<table style="margin:4px 0 0;border:none;border-collapse:collapse">{lines}</table>' if lines else ""
        note = f'<div style="margin-top:4px;color:{_SOFT}">{escape(self.note)}</div>' if self.note else ""
        examples = "".join(f"<div>{escape(example)}</div>" for example in self.examples)
        if examples:
            examples = (
                '<div style="margin-top:6px;white-space:pre;overflow-x:auto;'
                f'font-family:var(--jp-code-font-family, monospace)">{examples}</div>'
            )
        frame = _RED if is_real_money(self.venue) else _LINE
        return (
            f'<div class="leverage-card" style="font-family:{_FONT};font-size:13px;line-height:1.5;color:{_TEXT};'
            f"border:1px solid {frame};border-left:4px solid {_TONES[self.tone]};border-radius:4px;"
            f'padding:7px 12px;max-width:46em;margin:2px 0">'
            f'<div>{badge(self.venue)} <b style="margin-left:4px">{escape(self.title)}</b></div>'
            f"{table}{note}{examples}</div>"
        )

    def text(self) -> str:
        """The card as plain text, one row a line."""
        width = max((len(name) for name, _ in self.rows), default=0)
        lines = [f"[{label(self.venue)}] {self.title}"]
        lines += [f"  {name:<{width}}  {value}" for name, value in self.rows]
        lines += [f"  {part}" for part in (self.note, *self.examples) if part]
        return "\n".join(lines)


class Shown:
    """A value that shows itself as a card: in a notebook, at a terminal and in print."""

    def card(self) -> Card:
        """How it looks."""
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
    """A short HTML message with labelled rows and a next step, for the panel's message area."""
    then = f'<div style="color:{_SOFT}">{escape(hint)}</div>' if hint else ""
    lines = "".join(
        f'<tr style="background:none"><td style="text-align:left;vertical-align:top;padding:0 10px 0 0;'
        f'white-space:nowrap;color:{_SOFT}">'
        f'{escape(name)}</td><td style="text-align:left;padding:0">{escape(value)}</td></tr>'
        for name, value in rows
    )
    if lines:
        then = f'<table style="border:none;border-collapse:collapse">{lines}</table>' + then
    return (
        f'<div class="leverage-message" style="border-left:4px solid {_TONES[tone]};padding:2px 10px">'
        f"<div>{escape(text)}</div>{then}</div>"
    )


def table(caption: str, header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A small HTML table: first column to the left, figures to the right."""
    cell = "padding:1px 0 1px 14px;font-variant-numeric:tabular-nums;white-space:nowrap"

    def line(tag: str, cells: Iterable[str]) -> str:
        aligned = (
            f'<{tag} style="{cell};text-align:{"left" if place == 0 else "right"}">{escape(text)}</{tag}>'
            for place, text in enumerate(cells)
        )
        return f'<tr style="background:none">{"".join(aligned)}</tr>'

    body = "".join(line("td", row) for row in rows)
    return (
        f'<table style="font-family:{_FONT};font-size:12px;color:{_TEXT};border-collapse:collapse;margin:2px 0">'
        f'<caption style="text-align:left;color:{_SOFT}">{escape(caption)}</caption>'
        f"<thead>{line('th', header)}</thead><tbody>{body}</tbody></table>"
    )
