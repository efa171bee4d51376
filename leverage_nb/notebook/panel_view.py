"""The part of the panel that lives in the browser: chart, figures, Apply (anywidget).

The kernel sends one SVG and, for every leverage, its pixel and its ready-made strings. The browser only looks
them up, so chart and figures follow the slider whether or not the kernel is busy, and what is on the screen
when Apply is clicked is what Apply sends.
"""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from leverage_nb import cards, formatting
from leverage_nb.notebook.plots import draw_brackets
from leverage_nb.risk.account_state import AccountState, LeverageSetting
from leverage_nb.risk.brackets import Brackets
from leverage_nb.risk.outlook import Judgement, Outlook

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_HERE = Path(__file__).parent
_WIDTH, _HEIGHT = 6.8, 3.1  # inches; the browser scales the SVG to the room there is
_AXES = (0.105, 0.155, 0.875, 0.82)  # left, bottom, width, height, as shares of the figure

# Colours to draw with, and the theme variables that take their place in the SVG.
_INK, _FAINT, _LINE, _SHADE = "#010203", "#010204", "#010205", "#010206"
_THEME = {
    _INK: "var(--jp-ui-font-color1, CanvasText)",
    _FAINT: "var(--jp-border-color1, #9e9e9e)",
    _LINE: "var(--jp-brand-color1, #1976d2)",
    _SHADE: "var(--jp-error-color1, #c62828)",
}


# What the browser may change: see :meth:`LadderView.set_state`.
_BROWSERS_OWN = {"leverage"}

# What somebody who presses Apply has decided on: a click on a table in which one of these differs is refused.
DECIDED_ON = ("venue", "account", "symbol", "current", "most", "verdict")
_drawing = threading.Lock()  # matplotlib's settings belong to all threads


class LadderView(anywidget.AnyWidget):
    """Chart, figures and buttons of one symbol."""

    # As text: of a path anywidget keeps every view that was ever made.
    _esm = (_HERE / "panel.js").read_text(encoding="utf-8")
    _css = (_HERE / "panel.css").read_text(encoding="utf-8")

    table = traitlets.Dict().tag(sync=True)
    """What there is to show of one symbol, whole: see :func:`make_table`. Replaced, never edited."""

    leverage = traitlets.Int(1).tag(sync=True)
    """The leverage under the slider; linked to it inside the browser."""

    state = traitlets.Unicode("editing").tag(sync=True)
    """The panel's state."""

    live = traitlets.Unicode("").tag(sync=True)
    """"live" while the exchange's events come, "stale" while they do not, "" before either is known."""

    live_reason = traitlets.Unicode("").tag(sync=True)
    """Why it is stale."""

    message = traitlets.Unicode("").tag(sync=True)
    """The message area, as HTML."""

    reviewed = traitlets.Int(0).tag(sync=True)
    """The leverage that a confirmation is being asked for; 0 when none is."""

    undo = traitlets.Unicode("").tag(sync=True)
    """What the button says that takes back the change just made; "" where there is none."""

    answered = traitlets.Int(0).tag(sync=True)
    """Number of the last click that the kernel has dealt with."""

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take from the browser the leverage under the slider, and undo whatever else it has changed."""
        super().set_state({name: value for name, value in sync_data.items() if name in _BROWSERS_OWN})
        self.send_state([name for name in sync_data if name in self.keys and name not in _BROWSERS_OWN])


@dataclass(frozen=True)
class Look:
    """What was read of a symbol at one moment: all that a panel shows comes from here.

    Attributes:
        setting: The leverage setting.
        tiers: The tiers.
        outlook: What is held, at every leverage.
        state: What it was made from.
        ladder: A new isolated position of ``notional``, at every leverage.
        notional: The what-if size, in the margin asset.
        most: The most that can be chosen: the symbol's maximum, a limit that was met, the guard.
        because: Which of them it is.
    """

    setting: LeverageSetting
    tiers: Brackets
    outlook: Outlook
    state: AccountState
    ladder: pd.DataFrame
    notional: float
    most: int
    because: str


def make_table(look: Look, chart: Chart, version: int, page: str) -> dict[str, Any]:
    """Everything the view shows of one symbol.

    Args:
        look: What was read.
        chart: Its chart.
        version: Tells this table from every other of the panel; a click names the table it was made on.
        page: Keeps the ids inside the SVG apart from those of other charts on the page.

    Returns:
        Strings, whole numbers and lists of them: JSON without NaN.
    """
    setting, tiers = look.setting, look.tiers
    judged = [(look.outlook.judge(x), look.outlook.caution(x)) for x in range(1, tiers.symbol_max_leverage + 1)]
    as_of = f", as of {setting.as_of:%H:%M:%S}" if setting.as_of else ""
    return {
        "version": version,
        "symbol": setting.symbol,
        "venue": cards.label(setting.venue),
        "badge": cards.badge(setting.venue),
        "real_money": cards.is_real_money(setting.venue),
        "account": setting.account,
        "current": setting.leverage,
        "now": f"now {setting.leverage}x, {setting.margin_type}{as_of}",
        "most": look.most,
        "range": f"a whole number from 1 to {look.most} ({look.because})",
        "edges": sorted(set(tiers.initial_leverage.tolist())),
        "svg": chart.svg_for(page),
        "pixels": chart.pixels,
        "ground": chart.ground,
        "held": _held_line(look),
        "what_if": formatting.short(look.notional),
        "asset": setting.margin_asset,
        "verdict": ["mind" if caution and j.verdict == "ok" else j.verdict for j, caution in judged],
        "words": [_verdict_text(judgement, caution) for judgement, caution in judged],
        "groups": [
            {"figures": _held_figures(look)},
            {"figures": _ladder_figures(look)},
        ],
    }


def _figures(columns: dict[str, list[str]]) -> list[dict[str, Any]]:
    return [{"name": name, "values": values} for name, values in columns.items()]


def _held_line(look: Look) -> str:
    sides = [p for p in look.state.positions if p.symbol == look.setting.symbol and p.amount]
    parts = []
    for side in sides:
        text = f"{side.side} {formatting.amount(abs(side.notional), look.setting.margin_asset)}"
        if side.liquidation_price is not None:
            text += f", liquidation {formatting.price(side.liquidation_price)}: the leverage does not move it"
        parts.append(text)
    if look.outlook.exposure > look.state.position_notional(look.setting.symbol):
        parts.append(f"{formatting.amount(look.outlook.exposure, look.setting.margin_asset)} with open orders")
    return "held: " + ("; ".join(parts) or "nothing")


def _held_figures(look: Look) -> list[dict[str, Any]]:
    outlook, asset = look.outlook, look.setting.margin_asset
    columns = {
        "max notional": [formatting.amount(value, asset) for value in outlook.max_notional.tolist()],
        "room": [formatting.amount(value, asset) for value in outlook.room.tolist()],
        "initial margin": [formatting.amount(value, asset) for value in outlook.initial_margin.tolist()],
        "available after": [_or_dash(value, asset) for value in outlook.available_after.tolist()],
        "tier": [f"{_tier_of(look.tiers, x)} of {len(look.tiers)}" for x in outlook.leverage.tolist()],
        "maintenance rate": [
            formatting.percent(float(look.tiers.maint_margin_ratio[_tier_of(look.tiers, x) - 1]))
            for x in outlook.leverage.tolist()
        ],
    }
    return _figures(columns)


def _ladder_figures(look: Look) -> list[dict[str, Any]]:
    ladder, asset = look.ladder, look.setting.margin_asset
    prices = {side: ladder[f"liquidation_{side}"].tolist() for side in ("long", "short")}
    distances = {side: ladder[f"distance_{side}"].tolist() for side in ("long", "short")}
    columns = {"its initial margin": [_or_dash(value, asset) for value in ladder["initial_margin"].tolist()]}
    for side in ("long", "short"):
        columns[f"liquidation {side}"] = [
            _liquidation_text(price, distance) for price, distance in zip(prices[side], distances[side], strict=True)
        ]
    return _figures(columns)


def _liquidation_text(price: float, distance: float) -> str:
    if distance != distance:
        return "not allowed"
    return "none" if price != price else f"{formatting.price(price)} ({formatting.percent(round(distance, 4))} away)"


def _or_dash(value: float, asset: str) -> str:
    return "–" if value != value else formatting.amount(value, asset)


def _verdict_text(judgement: Judgement, caution: str) -> str:
    unsure = judgement.verdict == "refused" and judgement.certainty != "documented"
    text = f"{judgement.text} [{judgement.certainty}]" if unsure else judgement.text
    return f"{text}; {caution}" if caution else text


def _tier_of(tiers: Brackets, leverage: int) -> int:
    """The number of the highest tier that a position at this leverage may reach."""
    return int((tiers.initial_leverage >= leverage).sum())


@dataclass(frozen=True)
class Chart:
    """A symbol's staircase, drawn once for the live panel and its twin.

    Attributes:
        svg: In theme colours.
        pixels: Where each leverage from 1 up lies in its viewBox.
        ground: Where the x axis lies.
    """

    svg: str
    pixels: list[list[float]]
    ground: float

    def svg_for(self, page: str) -> str:
        """The SVG with ids of its own: two charts on a page must not share clip paths and markers."""
        return re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{page}-", self.svg)


def draw_chart(look: Look) -> Chart:
    """Draw a symbol's staircase with its current leverage marked and what does not fit shaded."""
    setting, tiers = look.setting, look.tiers
    # Tiers may have fallen below the leverage in force: then it has no place on the staircase.
    now = setting.leverage if setting.leverage <= tiers.symbol_max_leverage else None
    with _drawing:
        return _draw(tiers, now, setting.margin_asset, _refused(look))


@lru_cache(maxsize=16)  # panels of one symbol show the same chart, and drawing one takes longer than all else
def _draw(tiers: Brackets, now: int | None, margin_asset: str, refused: tuple[int, ...]) -> Chart:
    from matplotlib.figure import Figure  # not pyplot: slow to import, and it keeps figures alive

    figure = Figure(figsize=(_WIDTH, _HEIGHT), dpi=72)
    axes = figure.add_axes(_AXES)
    draw_brackets(axes, {tiers.symbol: tiers}, now, margin_asset)
    _paint(axes)
    _shade(axes, refused)
    with _svg_settings():
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    for colour, variable in _THEME.items():
        svg = svg.replace(colour, variable)
    svg = re.sub(r"'DejaVu Sans'[^;\"]*", "inherit", svg)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    spots = [(x, tiers.max_notional(x)) for x in range(1, tiers.symbol_max_leverage + 1)]
    points = axes.transData.transform(spots)
    pixels = [[round(float(x), 2), round(_HEIGHT * 72 - float(y), 2)] for x, y in points]
    return Chart(svg, pixels, round(_HEIGHT * 72 - float(axes.bbox.y0), 2))


@contextmanager
def _svg_settings() -> Iterator[None]:
    """Set what ``savefig`` takes as no argument, and put back just that: ``rc_context`` would undo user settings."""
    from matplotlib import rcParams

    before = rcParams["svg.fonttype"], rcParams["svg.hashsalt"]
    rcParams["svg.fonttype"], rcParams["svg.hashsalt"] = "none", "leverage_nb"
    try:
        yield
    finally:
        rcParams["svg.fonttype"], rcParams["svg.hashsalt"] = before


def _paint(axes: Axes) -> None:
    """Give every artist a stand-in colour, to be replaced by a theme variable; global settings stay alone."""
    for text in (*axes.texts, axes.xaxis.label, axes.yaxis.label):
        text.set_color(_INK)
    for spine in axes.spines.values():
        spine.set_edgecolor(_FAINT)
    axes.tick_params(which="both", color=_FAINT, labelcolor=_INK, grid_color=_FAINT)
    for line in axes.get_lines():
        line.set_color(_LINE)
        line.set_markeredgecolor(_LINE)
        if line.get_markerfacecolor() != "none":
            line.set_markerfacecolor(_LINE)


def _refused(look: Look) -> tuple[int, ...]:
    """The leverages at which the position does not fit, or which would be refused for another reason."""
    passing = set(look.outlook.fitting().tolist())
    leverages = range(1, look.tiers.symbol_max_leverage + 1)
    return tuple(x for x in leverages if x not in passing and look.outlook.judge(x).verdict == "refused")


def _shade(axes: Axes, refused: tuple[int, ...]) -> None:
    """Shade the leverages that would be refused, a band for each run of them."""
    for first in (x for x in refused if x - 1 not in refused):
        last = first
        while last + 1 in refused:
            last += 1
        # A leverage is a whole number: the band reaches half a step to both sides, on a logarithmic axis.
        left, right = first - 0.5 if first > 1 else axes.get_xlim()[0], last + 0.5
        axes.axvspan(left, right, facecolor=_SHADE, edgecolor="none", alpha=0.13, zorder=0)


def make_twin(look: Look, chart: Chart, ended: str = "The live panel ended with its kernel") -> tuple[str, str]:
    """The panel as it stays in a saved notebook, as HTML and as plain text: chart, setting and tiers.

    Args:
        look: What was read.
        chart: Its chart.
        ended: Why the live panel is gone where this is read.
    """
    setting, tiers = look.setting, look.tiers
    asset = setting.margin_asset
    header = ["max leverage", "notional above", "up to", "maintenance rate"]
    rows = [
        [f"{leverage}x", formatting.amount(floor), formatting.amount(cap), formatting.percent(rate)]
        for leverage, floor, cap, rate in zip(
            tiers.initial_leverage.tolist(),
            tiers.notional_floor.tolist(),
            tiers.notional_cap.tolist(),
            tiers.maint_margin_ratio.tolist(),
            strict=True,
        )
    ]
    card = setting.card()
    table = cards.table(f"Tiers of {setting.symbol}, in {asset or 'the margin asset'}", header, rows)
    saved = f"{ended}: run this cell again. What it showed last:"
    picture = f'<div style="max-width:46em">{chart.svg_for("twin")}</div>'
    html = f'<div class="leverage-twin">{cards.message(saved)}{card.html()}{picture}{table}</div>'
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in [header, *rows]]
    return html, "\n".join([saved, card.text(), *lines])
