"""The static twin of a panel: what a saved notebook shows."""

from __future__ import annotations

import re

import pytest

from leverage_nb.notebook.painter import painter
from leverage_nb.notebook.panel import LeveragePanel
from tests.notebook.front_end import Notebook


@pytest.fixture
def twin(panel: LeveragePanel, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The output below the cell that shows a panel, once everything is drawn."""
    notebook = Notebook(monkeypatch)
    notebook.run("one", panel)
    painter.wait()
    return notebook.outputs[-1].bundle


def test_the_saved_output_is_readable_without_widgets(twin: dict[str, str]) -> None:
    """It has venue, setting with its time, position, figures and tiers, in HTML and as text."""
    for shown in twin.values():
        for part in (
            "SIMULATOR", "BTCUSDT is at 20x", "as of", "LONG 5 BTC", "liquidation 67,819.10 (21.5% away)",
            "72,109.38", "1,800,000,000", "0.65%", "Run this cell again",
        ):  # fmt: skip
            assert part in shown
    assert re.match(r'<div class="leverage-twin leverage-twin-\w+ mathjax_ignore tex2jax_ignore">', twin["text/html"])


def test_it_says_what_to_install(twin: dict[str, str]) -> None:
    """A front end that cannot load the panel shows the twin, which names what to install."""
    assert "install anywidget where JupyterLab itself runs" in twin["text/html"]


def test_the_chart_follows_the_theme(twin: dict[str, str]) -> None:
    """Every colour is a theme variable; two bands are shaded: too little margin below 5x, too large above 100x."""
    svg = twin["text/html"][twin["text/html"].index("<svg") :]
    assert set(re.findall(r"(?:fill|stroke): *(#[0-9a-f]{6})", svg)) == set()
    assert svg.count("opacity: 0.13") == 2
