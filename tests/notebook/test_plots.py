"""Plots show the figures of the tiers and of the ladder."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

import leverage_nb as lev
from leverage_nb.account import Account
from leverage_nb.errors import InvalidInput, InvalidLeverage

pytestmark = pytest.mark.usefixtures("figures")


def test_the_staircase_has_an_edge_per_tier(account: Account) -> None:
    """Each tier has an edge at its leverage and cap, on two logarithmic axes, with the cap as its label."""
    frame = account.brackets("BTCUSDT")
    ax = lev.plot_brackets(frame)
    x, y = ax.get_lines()[0].get_data()
    assert np.array_equal(np.asarray(x), frame["initial_leverage"].to_numpy()[::-1])
    assert np.array_equal(np.asarray(y), frame["notional_cap"].to_numpy()[::-1])
    assert (ax.get_xscale(), ax.get_yscale(), ax.get_ylabel()) == ("log", "log", "max notional, USDT")
    labels = {text.get_text() for text in ax.texts}
    assert {"1.8B", "300k", "12M", "800k"} <= labels
    assert "SIMULATOR" in ax.get_title(loc="left")


def test_the_current_leverage_is_marked(account: Account) -> None:
    """The mark is at the leverage and its max notional, and a text names both."""
    ax = lev.plot_brackets(account.brackets("BTCUSDT"), leverage=21)
    assert any("now 21x: up to 70M USDT" in text.get_text() for text in ax.texts)
    mark = next(line for line in ax.get_lines() if line.get_marker() == "D")
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (21, 70_000_000)  # type: ignore[index]  # arrays of one
    with pytest.raises(InvalidLeverage):
        lev.plot_brackets(account.brackets("BTCUSDT"), leverage=151)


def test_several_symbols_share_an_axis(account: Account) -> None:
    """Several symbols with one margin asset are drawn together, with a mark for each given leverage."""
    ax = lev.plot_brackets(account.brackets(["BTCUSDT", "SOLUSDT", "42USDT"]), leverage={"SOLUSDT": 20})
    assert sum(line.get_marker() == "D" for line in ax.get_lines()) == 1


USDT = [
    "BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT", "ADAUSDT", "LTCUSDT", "1000PEPEUSDT",
    "哈基米USDT", "42USDT",
]  # fmt: skip


def test_seven_symbols_have_a_legend(account: Account) -> None:
    """From 7 to 12 symbols a legend names them, beyond that nothing does."""
    ax = lev.plot_brackets(account.brackets(USDT[:7]))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == USDT[:7]
    many = [symbol for symbol in account.symbols() if symbol.endswith("USDT")][:13]
    assert lev.plot_brackets(account.brackets(many)).get_legend() is None


def test_margin_assets_are_not_mixed(account: Account) -> None:
    """Symbols with different margin assets cannot share an axis; the error names one symbol of each."""
    with pytest.raises(InvalidInput, match=r"BTCUSDT in USDT, ETHBTC in BTC"):
        lev.plot_brackets(account.brackets(["BTCUSDT", "ETHBTC"]))
    with pytest.raises(InvalidInput, match="no brackets"):
        lev.plot_brackets(account.brackets().iloc[:0])


def test_given_axes_are_used(account: Account) -> None:
    """With ``ax`` the plot is drawn there, and no pyplot figure is created."""
    ax = Figure().add_subplot()
    assert lev.plot_brackets(account.tiers("BTCUSDT"), ax=ax) is ax
    assert plt.get_fignums() == []


def test_the_ladder_plot_shows_both_distances(account: Account) -> None:
    """Distances of long and short are in percent; leverages that do not allow the notional are shaded."""
    ladder = account.ladder("BTCUSDT", 400_000)
    ax = lev.plot_ladder(ladder)
    for line, side in zip(ax.get_lines(), ("long", "short"), strict=True):
        x, y = line.get_data()
        assert list(x) == list(range(1, 101))
        assert y[9] == pytest.approx(ladder.loc[10, f"distance_{side}"] * 100)
    assert len(ax.patches) == 1
    texts = {text.get_text() for text in ax.texts}
    # 400,000 / 86,412.5 BTC in the tier of 0.5% with 300 USDT deducted: (4,000 - 1,700) / (400,000 x 0.995) for long.
    assert {"long 0.58%", "short 0.57%", "above 100x: size not allowed"} <= texts
    assert "SIMULATOR" in ax.get_title(loc="left")
    with pytest.raises(InvalidInput, match="not a ladder"):
        lev.plot_ladder(account.brackets("BTCUSDT"))
    with pytest.raises(InvalidInput, match="No leverage allows this notional"):
        lev.plot_ladder(account.ladder("42USDT", 1e9))


def test_names_are_drawn_as_text(account: Account) -> None:
    """Dollar signs in symbols, assets and venues are drawn, and never typeset as mathematics."""
    frame = account.brackets("BTCUSDT")
    odd = "$\\frac{$"
    frame.attrs |= {"symbol": odd, "margin_assets": {odd: odd}, "venue": odd}
    both = account.brackets(["BTCUSDT", "ETHUSDT"]).rename(index={"BTCUSDT": odd}, level="symbol")
    ladder = account.ladder("BTCUSDT", 400_000)
    ladder.attrs["venue"] = odd
    for ax in (lev.plot_brackets(frame, leverage=10), lev.plot_brackets(both), lev.plot_ladder(ladder)):
        assert ax.figure is not None
        ax.figure.canvas.draw()  # mathematics that cannot be parsed raise here
    assert odd in lev.plot_brackets(frame).get_ylabel()
