"""The part of the panel in the browser shows the figures of outlook and ladder."""

from __future__ import annotations

import pytest

from leverage_nb.account import Account
from leverage_nb.formatting import amount
from leverage_nb.notebook.panel import LeveragePanel
from tests.notebook.front_end import Notebook, figures_of


def test_pixels_fall_with_leverage_and_rise_with_notional(panel: LeveragePanel) -> None:
    """Going up in leverage, the marker moves right and never up."""
    xs, ys = zip(*panel.view.table["pixels"], strict=True)
    assert list(xs) == sorted(xs)
    assert list(ys) == sorted(ys)
    assert max(ys) < panel.view.table["ground"]


def test_figures_are_those_of_outlook_and_ladder(panel: LeveragePanel, account: Account) -> None:
    """Held and what-if figures at each leverage are the outlook's and the ladder's, said in full."""
    figures = figures_of(panel)
    outlook = account.outlook("BTCUSDT")
    for leverage in (1, 10, 20, 100, 150):
        row = outlook.loc[leverage]
        assert figures["available after"][leverage - 1] == amount(row["available_after"], "USDT")
        assert figures["room"][leverage - 1] == amount(row["room"], "USDT")
        assert panel.view.table["verdict"][leverage - 1] == row["verdict"]
    ladder = account.ladder("BTCUSDT", panel.view.table["most"] and 30_000)
    assert panel.view.table["what_if"] == "30k"
    assert figures["its initial margin"][9] == "3,000 USDT"
    near = f"{ladder.loc[10, 'liquidation_long']:,.2f} ({ladder.loc[10, 'distance_long'] * 100:.2f}% away)"
    assert figures["liquidation long"][9] == near
    assert figures["liquidation long"][0] == "none"
    assert "would be refused (-2028): needs 14,303.13 USDT more" in panel.view.table["words"][3]
    assert "the leverage does not move it" in panel.view.table["held"]


def test_what_does_not_fit_is_shaded(panel: LeveragePanel) -> None:
    """The chart shades two bands for BTCUSDT: too little margin below 5x, too large a position above 100x."""
    assert panel.view.table["svg"].count("opacity: 0.13") == 2


def test_no_text_colour_is_fixed_in_the_chart(panel: LeveragePanel) -> None:
    """Every colour of the chart is a theme variable, so that it can be read in light and dark."""
    import re

    assert set(re.findall(r"(?:fill|stroke): *(#[0-9a-f]{6})", panel.view.table["svg"])) == set()


def test_the_twin_is_readable_without_widgets(panel: LeveragePanel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The static twin shows venue, setting with its time, chart and tiers, in HTML and in plain text."""
    notebook = Notebook(monkeypatch)
    notebook.run("one", panel)
    twin = notebook.outputs[-1].bundle
    for shown in twin.values():
        for part in ("SIMULATOR", "BTCUSDT is at 20x", "as of", "1,800,000,000", "0.65%", "run this cell again"):
            assert part in shown
    assert "<svg" in twin["text/html"]


def test_what_the_browser_writes_is_undone(panel: LeveragePanel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the view's state the browser may change the leverage; all else is put back, and the browser is sent it."""
    panel.select("ETHUSDT")
    old = panel.view.table
    panel.select("BTCUSDT")
    shown, sent = panel.view.table, []
    monkeypatch.setattr(panel.view, "send_state", lambda names: sent.extend(names))
    panel.view.set_state({"table": old, "reviewed": 7, "undo": "Undo: nothing", "leverage": 33})
    assert (panel.view.table, panel.view.reviewed, panel.view.undo, panel.view.leverage) == (shown, 0, "", 33)
    assert {"table", "reviewed", "undo"} <= set(sent)
