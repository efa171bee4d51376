"""The panel's static twin: what a saved, reopened or exported notebook shows in its place."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from leverage_nb import cards
from leverage_nb.cards import Card
from leverage_nb.change import is_at
from leverage_nb.formatting import moment
from leverage_nb.notebook.panel_table import PanelData, make_table, tier_rows
from leverage_nb.notebook.plots import draw_brackets
from leverage_nb.risk.brackets import Brackets

if TYPE_CHECKING:
    from matplotlib.axes import Axes

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
INSTALL = (
    "If no live panel ever appeared here, install anywidget where JupyterLab itself runs (pip install anywidget) and "
    "reload the page."
)


def make_twin(data: PanelData, chart: str, name: str, ended: str = "") -> tuple[str, str]:
    """Return the twin as HTML and plain text: setting, position, figures, chart and tiers.

    Args:
        data: What was read.
        chart: Its chart as SVG; "" without one.
        name: The class of the twins of one panel.
        ended: Why the panel itself is gone; "" if it ended with its kernel.
    """
    setting = data.setting
    asset = setting.margin_asset or "the margin asset"
    table = make_table(data, lambda _: None, 0)
    saved = f"{ended or 'The live panel ended with its kernel'}. Run this cell again to use it. Its last content:"
    rows = [("margin type", setting.margin_type), ("modes", table["modes"]), ("mark price", table["mark"])]
    if data.state.not_trading.get(setting.symbol):
        rows.append(("status", f"not trading ({table['notTrading']})"))
    rows += [
        (side["side"], ", ".join(f"{name} {value}" for name, value, _ in side["fields"])) for side in table["position"]
    ]
    rows += [] if table["position"] else [("position", "none")]
    rows += [("orders", table["orders"])] if table["orders"] else []
    rows += [(figure["name"].lower(), figure["now"]) for figure in table["figures"]]
    rows += [(figure["name"].lower(), figure["value"]) for figure in table["fixed"]]
    if data.as_of is not None:
        rows.append(("as of", moment(data.as_of)))
    if setting.as_of is not None and setting.as_of != data.as_of:
        rows.append(("leverage as of", moment(setting.as_of)))
    card = Card(
        setting.venue, f"{setting.symbol} {is_at('leverage', setting.leverage)}", tuple(rows), f"Amounts in {asset}."
    )
    header = ["max leverage", "notional above", "up to", "maintenance rate", "maintenance amount"]
    tiers = tier_rows(data.tiers)
    caption = f"Tiers of {setting.symbol}, in {asset}"
    picture = f'<div class="leverage-twin-chart" style="max-width:46em">{chart}</div>'
    html = (
        f'<div class="leverage-twin {name} {cards.NO_MATH}">{cards.message(saved, INSTALL)}{card.html()}{picture}'
        f"{cards.table(caption, header, tiers)}</div>"
    )
    widths = [max(len(row[column]) for row in [header, *tiers]) for column in range(len(header))]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in [header, *tiers]]
    return html, "\n".join([saved, card.text(), caption, *lines])


def draw_chart(data: PanelData, prefix: str) -> str:
    """Return the tiers of a symbol as SVG in theme colours: current leverage marked, refused leverages shaded."""
    setting, tiers = data.setting, data.tiers
    # The current leverage may be above the maximum, if Binance has changed the tiers.
    now = setting.leverage if (setting.leverage or 0) <= tiers.symbol_max_leverage else None
    from leverage_nb.notebook.themed import with_ids

    # Two charts on a page must not share their ids.
    return with_ids(_draw(tiers, now, setting.margin_asset, _refused(data)), prefix)


@lru_cache(maxsize=16)  # drawing is slow, and panels of one symbol show the same chart
def _draw(tiers: Brackets, now: int | None, margin_asset: str, refused: tuple[int, ...]) -> str:
    from matplotlib.figure import Figure  # not pyplot: it is slow to import and keeps figures in memory

    from leverage_nb.notebook.themed import to_svg

    figure = Figure(figsize=(_WIDTH, _HEIGHT), dpi=72, facecolor="none")
    axes = figure.add_axes(_AXES, facecolor="none")
    draw_brackets(axes, {tiers.symbol: tiers}, now, margin_asset)
    _paint(axes)
    _shade(axes, refused)
    return to_svg(figure, _THEME, text=True)


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
