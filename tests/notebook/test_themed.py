"""Plots as front ends show them: in the colours of the theme, sharp, and once."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from matplotlib import pyplot as plt
from nbclient import NotebookClient

import leverage_nb as lev
from leverage_nb.account import Account
from tests.notebook.terminals import IPythonTerminal, plain

pytestmark = pytest.mark.usefixtures("figures")


def shown(ax: Any) -> dict[str, str]:
    """Return what a front end can choose from."""
    bundle: dict[str, str] = ax._repr_mimebundle_(include=None, exclude=None)
    return bundle


def test_text_and_lines_have_the_colours_of_the_theme(account: Account) -> None:
    """In the SVG black is the theme's text colour, and white its background; it changes nothing else on the page."""
    for ax in (lev.plot_brackets(account.brackets("BTCUSDT"), 20), lev.plot_ladder(account.ladder("BTCUSDT", "400k"))):
        html = shown(ax)["text/html"]
        assert html.count("<svg") == 1
        assert "color:var(--jp-content-font-color1, inherit);fill:currentColor" in html
        assert not re.findall(r"#000000|#ffffff|<style|<script|<text", html)


def test_a_front_end_without_svg_shows_a_picture(account: Account) -> None:
    """The bundle has a PNG, and the HTML has it too: it remains where a front end removes SVG as unsafe."""
    bundle = shown(lev.plot_brackets(account.brackets("BTCUSDT")))
    assert base64.b64decode(bundle["image/png"]).startswith(b"\x89PNG\r\n")
    described = re.search(r"<desc>(.*?)</desc>", bundle["text/html"])
    assert described is not None
    assert f'src="data:image/png;base64,{bundle["image/png"]}"' in described[1]


def test_later_changes_are_shown(account: Account) -> None:
    """Figure and axes can be used as any others: a new title is shown, and names the plot for screen readers."""
    ax = lev.plot_brackets(account.brackets("BTCUSDT"))
    ax.set_title("<mine> & yours", loc="left")
    assert 'aria-label="&lt;mine&gt; &amp; yours"' in shown(ax)["text/html"]
    assert plt.gcf() is ax.figure


@pytest.mark.parametrize("style", ["dark_background", "ggplot", "Solarize_Light2"])
def test_a_style_of_the_user_counts(account: Account, style: str) -> None:
    """With a style that sets colours the plot has these, and its background, in every theme."""
    with plt.style.context(style):
        ax = lev.plot_brackets(account.brackets("BTCUSDT"))
    html = shown(ax)["text/html"]
    assert "var(--jp" not in html
    assert ax.figure is not None
    background = "#" + "".join(f"{round(part * 255):02x}" for part in ax.figure.get_facecolor()[:3])  # type: ignore[index]
    assert f"fill: {background}" in html or background == "#000000"


def test_two_plots_on_a_page_keep_apart(account: Account) -> None:
    """No id of one plot is an id of another."""
    plots = [shown(lev.plot_brackets(account.brackets(symbol)))["text/html"] for symbol in ("BTCUSDT", "ETHUSDT")]
    first, second = (set(re.findall(r'\bid="([^"]*)"', html)) for html in plots)
    assert first
    assert not first & second
    for html, ids in zip(plots, (first, second), strict=True):
        assert set(re.findall(r'(?:url\(|href=")#([^")]*)', html)) <= ids


def test_each_plot_is_shown_once() -> None:
    """As a cell's result, assigned, with a semicolon, in a loop or by %leverage: once, and without a line of text."""
    cells = {
        "%load_ext leverage_nb\nimport leverage_nb as lev\naccount = lev.connect()": 0,
        "lev.plot_brackets(account.brackets('BTCUSDT'))": 1,
        "ax = lev.plot_brackets(account.brackets('BTCUSDT'))": 1,
        "ax": 1,
        "lev.plot_ladder(account.ladder('BTCUSDT', 50_000));": 1,
        "for symbol in ('BTCUSDT', 'ETHUSDT'):\n    lev.plot_brackets(account.brackets(symbol))": 2,
        "%leverage BTCUSDT --plot": 1,
        "from matplotlib import pyplot as plt\n_, mine = plt.subplots()": 1,
        "_, mine = plt.subplots()\nlev.plot_brackets(account.tiers('BTCUSDT'), ax=mine);": 1,
    }
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    NotebookClient(notebook, timeout=120).execute()
    for cell, count in zip(notebook.cells, cells.values(), strict=True):
        assert len(cell.outputs) == count, cell.source
        for output in cell.outputs:
            assert "image/png" in output.data
            assert ("text/html" in output.data) != ("mine" in cell.source)


def test_a_terminal_is_told_how_to_see_the_plot(tmp_path: Path) -> None:
    """In a terminal the plot's name is shown, and the line that saves it, which works."""
    with IPythonTerminal(tmp_path, MPLBACKEND="agg") as ipython:
        ipython.run("%load_ext leverage_nb")
        told = " ".join(plain(ipython.run("%leverage BTCUSDT --plot")).split())
        assert "Plot of BTCUSDT: max notional by leverage [SIMULATOR]." in told
        assert 'To save the plot: _.figure.savefig("plot.png")' in told
        ipython.run(f'_.figure.savefig(r"{tmp_path}/plot.png")')
        assert (tmp_path / "plot.png").stat().st_size > 5000
