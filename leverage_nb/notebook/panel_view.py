"""The table that the panel sends to the browser, and the static twin for saved notebooks.

The kernel sends one SVG and, for every leverage, its pixel and its texts. The browser only selects among them, so chart
and figures follow the slider while the kernel is busy, and Apply sends what is on the screen.
"""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
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
_WIDTH, _HEIGHT = 6.8, 3.1  # inches; the browser scales the SVG
_AXES = (0.105, 0.155, 0.875, 0.82)  # left, bottom, width, height, as parts of the figure

# Placeholder colours, and the theme variables that replace them in the SVG.
_INK, _FAINT, _LINE, _SHADE = "#010203", "#010204", "#010205", "#010206"
_THEME = {
    _INK: "var(--jp-ui-font-color1, CanvasText)",
    _FAINT: "var(--jp-border-color1, #9e9e9e)",
    _LINE: "var(--jp-brand-color1, #1976d2)",
    _SHADE: "var(--jp-error-color1, #c62828)",
}


# The traits that the browser may change.
_BROWSERS_OWN = {"leverage"}

# A click on Apply is refused if one of these has changed since the table was shown.
DECIDED_ON = ("venue", "account", "symbol", "current", "most", "verdict")
_drawing = threading.Lock()  # matplotlib's settings are shared by all threads


class LadderView(anywidget.AnyWidget):
    """Chart, figures and buttons of one symbol."""

    # As text, because anywidget keeps every view of a path in memory.
    _esm = (_HERE / "panel.js").read_text(encoding="utf-8")
    _css = (_HERE / "panel.css").read_text(encoding="utf-8")

    table = traitlets.Dict().tag(sync=True)
    """Everything shown of one symbol: see :func:`make_table`. It is replaced as a whole."""

    leverage = traitlets.Int(1).tag(sync=True)
    """The leverage of the slider, linked to it in the browser."""

    state = traitlets.Unicode("editing").tag(sync=True)
    """The panel's state."""

    live = traitlets.Unicode("").tag(sync=True)
    """The state of the stream: "connecting", "connected", "live" or "stale"."""

    live_reason = traitlets.Unicode("").tag(sync=True)
    """Why the panel is stale."""

    message = traitlets.Unicode("").tag(sync=True)
    """The message area, as HTML."""

    reviewed = traitlets.Int(0).tag(sync=True)
    """The leverage that waits for a confirmation; 0 for none."""

    undo = traitlets.Unicode("").tag(sync=True)
    """The text of the Undo button; "" to hide it."""

    answered = traitlets.Int(0).tag(sync=True)
    """The number of the last click that the kernel has handled."""

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Accept the slider's leverage from the browser, and restore anything else that it has changed."""
        super().set_state({name: value for name, value in sync_data.items() if name in _BROWSERS_OWN})
        self.send_state([name for name in sync_data if name in self.keys and name not in _BROWSERS_OWN])


@dataclass(frozen=True)
class PanelData:
    """Everything that a panel shows of one symbol, as read at one moment.

    Attributes:
        setting: The leverage setting.
        tiers: The tiers.
        outlook: The position and its open orders at every leverage.
        state: The account state that the outlook was made from.
        ladder: A new isolated position of ``notional`` at every leverage.
        notional: The planned size, in the margin asset.
        most: The highest leverage that can be chosen: the symbol's maximum, an account limit or the guard.
        because: Which of them it is, in words.
    """

    setting: LeverageSetting
    tiers: Brackets
    outlook: Outlook
    state: AccountState
    ladder: pd.DataFrame
    notional: float
    most: int
    because: str


def make_table(data: PanelData, chart: Chart, version: int, page: str) -> dict[str, Any]:
    """Return the table that the browser shows.

    Args:
        data: The data of the symbol.
        chart: Its chart.
        version: Identifies the table; a click names the table that it was made on.
        page: A prefix for the ids in the SVG, unique on the page.

    Returns:
        Texts, integers and lists of them, without NaN.
    """
    setting, tiers = data.setting, data.tiers
    judged = [(data.outlook.judge(x), data.outlook.caution(x)) for x in range(1, tiers.symbol_max_leverage + 1)]
    as_of = f", as of {setting.as_of:%H:%M:%S}" if setting.as_of else ""
    return {
        "version": version,
        "symbol": setting.symbol,
        "venue": cards.label(setting.venue),
        "badge": cards.badge(setting.venue),
        "real_money": cards.is_real_money(setting.venue),
        "account": setting.account,
        "current": setting.leverage or 0,
        "before": formatting.times(setting.leverage),
        "now": f"now {formatting.times(setting.leverage)}, {setting.margin_type}{_not_trading(data)}{as_of}",
        "most": data.most,
        "range": f"a whole number from 1 to {data.most} ({data.because})",
        "upper": f"{data.most}x ({data.because})",
        "edges": sorted(set(tiers.initial_leverage.tolist())),
        "svg": chart.svg_for(page),
        "pixels": chart.pixels,
        "ground": chart.ground,
        "held": _held_line(data),
        "what_if": formatting.short(data.notional),
        "asset": setting.margin_asset,
        "verdict": ["mind" if caution and j.verdict == "ok" else j.verdict for j, caution in judged],
        "words": [_verdict_text(judgement, caution) for judgement, caution in judged],
        "groups": [
            {"figures": _held_figures(data)},
            {"figures": _ladder_figures(data)},
        ],
    }


def _not_trading(data: PanelData) -> str:
    status = data.state.not_trading.get(data.setting.symbol)
    return f", not trading ({status})" if status else ""


def _figures(columns: dict[str, list[str]]) -> list[dict[str, Any]]:
    return [{"name": name, "values": values} for name, values in columns.items()]


def _held_line(data: PanelData) -> str:
    sides = [p for p in data.state.positions if p.symbol == data.setting.symbol and p.amount]
    parts = []
    for side in sides:
        text = f"{side.side} {formatting.amount(abs(side.notional), data.setting.margin_asset)}"
        if side.liquidation_price is not None:
            text += f", liquidation {formatting.price(side.liquidation_price)}, not affected by leverage"
        parts.append(text)
    if data.outlook.exposure > data.state.position_notional(data.setting.symbol):
        parts.append(f"{formatting.amount(data.outlook.exposure, data.setting.margin_asset)} with open orders")
    return "; ".join(parts) or "no position"


def _held_figures(data: PanelData) -> list[dict[str, Any]]:
    outlook, asset = data.outlook, data.setting.margin_asset
    columns = {
        "max notional": [formatting.amount(value, asset) for value in outlook.max_notional.tolist()],
        "tier headroom": [formatting.amount(value, asset) for value in outlook.room.tolist()],
        "initial margin": [formatting.amount(value, asset) for value in outlook.initial_margin.tolist()],
        "available after": [_or_dash(value, asset) for value in outlook.available_after.tolist()],
        "tier": [f"{_tier_of(data.tiers, x)} of {len(data.tiers)}" for x in outlook.leverage.tolist()],
        "maintenance rate": [
            formatting.percent(float(data.tiers.maint_margin_ratio[_tier_of(data.tiers, x) - 1]))
            for x in outlook.leverage.tolist()
        ],
    }
    return _figures(columns)


def _ladder_figures(data: PanelData) -> list[dict[str, Any]]:
    ladder, asset = data.ladder, data.setting.margin_asset
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
    """Return the number of the highest tier that a position at this leverage may reach."""
    return int((tiers.initial_leverage >= leverage).sum())


@dataclass(frozen=True)
class Chart:
    """The tiers of a symbol as a chart, drawn once for the panel and its twin.

    Attributes:
        svg: The SVG in theme colours.
        pixels: The position of each leverage from 1 in its viewBox.
        ground: The position of the x axis.
    """

    svg: str
    pixels: list[list[float]]
    ground: float

    def svg_for(self, page: str) -> str:
        """Return the SVG with a prefix for its ids, because two charts on a page must not share them."""
        return re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{page}-", self.svg)


def draw_chart(data: PanelData) -> Chart:
    """Draw the tiers of a symbol, with the current leverage marked and refused leverages shaded."""
    setting, tiers = data.setting, data.tiers
    # The current leverage may be above the maximum, if Binance has changed the tiers.
    now = setting.leverage if (setting.leverage or 0) <= tiers.symbol_max_leverage else None
    with _drawing:
        return _draw(tiers, now, setting.margin_asset, _refused(data))


@lru_cache(maxsize=16)  # drawing is slow, and panels of one symbol show the same chart
def _draw(tiers: Brackets, now: int | None, margin_asset: str, refused: tuple[int, ...]) -> Chart:
    from matplotlib.figure import Figure  # not pyplot: it is slow to import and keeps figures in memory

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
    """Set the options that ``savefig`` has no argument for; ``rc_context`` would reset the user's settings."""
    from matplotlib import rcParams

    before = rcParams["svg.fonttype"], rcParams["svg.hashsalt"]
    rcParams["svg.fonttype"], rcParams["svg.hashsalt"] = "none", "leverage_nb"
    try:
        yield
    finally:
        rcParams["svg.fonttype"], rcParams["svg.hashsalt"] = before


def _paint(axes: Axes) -> None:
    """Give every artist a placeholder colour, without changing global settings."""
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


def _refused(data: PanelData) -> tuple[int, ...]:
    """Return the leverages that would be refused."""
    passing = set(data.outlook.fitting().tolist())
    leverages = range(1, data.tiers.symbol_max_leverage + 1)
    return tuple(x for x in leverages if x not in passing and data.outlook.judge(x).verdict == "refused")


def _shade(axes: Axes, refused: tuple[int, ...]) -> None:
    """Shade the refused leverages, one band per consecutive range."""
    for first in (x for x in refused if x - 1 not in refused):
        last = first
        while last + 1 in refused:
            last += 1
        # Each band extends by half a step on both sides.
        left, right = first - 0.5 if first > 1 else axes.get_xlim()[0], last + 0.5
        axes.axvspan(left, right, facecolor=_SHADE, edgecolor="none", alpha=0.13, zorder=0)


def make_twin(data: PanelData, chart: Chart, ended: str = "The live panel ended with its kernel") -> tuple[str, str]:
    """Return the static twin of the panel for saved notebooks, as HTML and plain text: chart, setting and tiers.

    Args:
        data: What was read.
        chart: Its chart.
        ended: Why the panel itself is gone.
    """
    setting, tiers = data.setting, data.tiers
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
    if status := data.state.not_trading.get(setting.symbol):
        card = replace(card, rows=(("not trading", status), *card.rows))
    table = cards.table(f"Tiers of {setting.symbol}, in {asset or 'the margin asset'}", header, rows)
    saved = f"{ended}. Run this cell again to use it. Its last content:"
    picture = f'<div style="max-width:46em">{chart.svg_for("twin")}</div>'
    html = f'<div class="leverage-twin {cards.NO_MATH}">{cards.message(saved)}{card.html()}{picture}{table}</div>'
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in [header, *rows]]
    return html, "\n".join([saved, card.text(), *lines])
