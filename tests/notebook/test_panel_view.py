"""The part of the panel in the browser shows the figures of outlook and ladder."""

from __future__ import annotations

import pytest

from leverage_nb.account import Account
from leverage_nb.formatting import amount
from leverage_nb.notebook.panel import LeveragePanel
from tests.notebook.front_end import Notebook, figures_of


def test_a_higher_leverage_is_right_and_not_above(panel: LeveragePanel) -> None:
    """The marker of a higher leverage is to the right of a lower one, and not above it."""
    xs, ys = zip(*panel.view.table["pixels"], strict=True)
    assert list(xs) == sorted(xs)
    assert list(ys) == sorted(ys)
    assert max(ys) < panel.view.table["ground"]


def test_figures_are_those_of_outlook_and_ladder(panel: LeveragePanel, account: Account) -> None:
    """The figures at each leverage are those of outlook and ladder, as text."""
    figures = figures_of(panel)
    outlook = account.outlook("BTCUSDT")
    for leverage in (1, 10, 20, 100, 150):
        row = outlook.loc[leverage]
        assert figures["available after"][leverage - 1] == amount(row["available_after"], "USDT")
        assert figures["tier headroom"][leverage - 1] == amount(row["room"], "USDT")
        assert panel.view.table["verdict"][leverage - 1] == row["verdict"]
    ladder = account.ladder("BTCUSDT", panel.view.table["most"] and 30_000)
    assert panel.view.table["what_if"] == "30k"
    assert figures["its initial margin"][9] == "3,000 USDT"
    near = f"{ladder.loc[10, 'liquidation_long']:,.2f} ({ladder.loc[10, 'distance_long'] * 100:.2f}% away)"
    assert figures["liquidation long"][9] == near
    assert figures["liquidation long"][0] == "none"
    assert "would be refused: needs 14,303.13 USDT more margin" in panel.view.table["words"][3]
    assert "not affected by leverage" in panel.view.table["held"]


def test_leverages_that_do_not_fit_are_shaded(panel: LeveragePanel) -> None:
    """The chart shades two bands for BTCUSDT: too little margin below 5x, too large a position above 100x."""
    assert panel.view.table["svg"].count("opacity: 0.13") == 2


def test_all_colours_are_theme_variables(panel: LeveragePanel) -> None:
    """Every colour of the chart is a theme variable, so that it is readable in light and dark themes."""
    import re

    assert set(re.findall(r"(?:fill|stroke): *(#[0-9a-f]{6})", panel.view.table["svg"])) == set()


def test_the_saved_output_is_readable_without_widgets(panel: LeveragePanel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The saved output has venue, setting with its time, chart and tiers, in HTML and as text."""
    notebook = Notebook(monkeypatch)
    notebook.run("one", panel)
    twin = notebook.outputs[-1].bundle
    for shown in twin.values():
        for part in ("SIMULATOR", "BTCUSDT is at 20x", "as of", "1,800,000,000", "0.65%", "Run this cell again"):
            assert part in shown
    assert "<svg" in twin["text/html"]
    assert twin["text/html"].startswith('<div class="leverage-twin mathjax_ignore tex2jax_ignore">')


def test_the_browser_can_write_the_leverage_only(panel: LeveragePanel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the view's state the browser can change the leverage; everything else is restored and sent again."""
    panel.select("ETHUSDT")
    old = panel.view.table
    panel.select("BTCUSDT")
    shown, sent = panel.view.table, []
    monkeypatch.setattr(panel.view, "send_state", lambda names: sent.extend(names))
    panel.view.set_state({"table": old, "reviewed": 7, "undo": "Undo: nothing", "leverage": 33})
    assert (panel.view.table, panel.view.reviewed, panel.view.undo, panel.view.leverage) == (shown, 0, "", 33)
    assert {"table", "reviewed", "undo"} <= set(sent)
