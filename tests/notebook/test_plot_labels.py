"""Labels of plots can be read: they touch neither each other nor a line."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.path import Path
from matplotlib.text import Text

import leverage_nb as lev
from leverage_nb.account import Account

pytestmark = pytest.mark.usefixtures("figures")


def check_tier_labels(account: Account, symbols: list[str]) -> None:
    """Fail if labels at the tier edges of a symbol overlap."""
    # Without an installed Chinese font matplotlib warns of missing glyphs, which this test does not check.
    warnings.filterwarnings("ignore", "Glyph .* missing")
    for symbol in symbols:
        ax = lev.plot_brackets(account.brackets(symbol))
        figure = ax.figure
        assert figure is not None
        figure.canvas.draw()
        boxes = [text.get_window_extent() for text in ax.texts]
        for i, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[:i]), symbol
        plt.close("all")


def test_tier_labels_do_not_overlap(account: Account) -> None:
    """For symbols with the fewest and the most tiers, and some between, the labels at the tier edges do not overlap."""
    by_tiers = sorted(account.symbols(), key=lambda symbol: len(account.tiers(symbol).to_frame()))
    check_tier_labels(account, [*by_tiers[:2], *by_tiers[2:-3:10], *by_tiers[-3:]])


@pytest.mark.proof
def test_tier_labels_of_no_symbol_overlap(account: Account) -> None:
    """The same for every symbol."""
    check_tier_labels(account, account.symbols())


USDT = [
    "BTCUSDT", "ETHUSDT", "BNBUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT", "ADAUSDT", "LTCUSDT", "1000PEPEUSDT",
    "哈基米USDT", "42USDT",
]  # fmt: skip


@pytest.mark.parametrize("symbols", [USDT[:2], USDT[:4], USDT[:6], USDT[3:9], USDT[5:], ["1000PEPEUSDT", "42USDT"]])
def test_up_to_six_symbols_are_named_at_their_lines(account: Account, symbols: list[str]) -> None:
    """Each name is inside the plot, and neither over another name nor over a line."""
    warnings.filterwarnings("ignore", "Glyph .* missing")
    ax = lev.plot_brackets(account.brackets(symbols))
    assert ax.figure is not None
    ax.figure.canvas.draw()
    assert len(ax.texts) == len(symbols)
    assert ax.get_legend() is None
    boxes = [Text.get_window_extent(text) for text in ax.texts]  # without the leader
    for i, box in enumerate(boxes):
        assert ax.get_window_extent().padded(1).containsx(box.x0)
        assert ax.get_window_extent().padded(1).containsx(box.x1)
        assert box.y0 > ax.bbox.y0
        assert not any(box.overlaps(other) for other in boxes[:i])
        for line in ax.get_lines():
            x, y = line.get_transform().transform(line.get_xydata()).T
            path = Path(np.column_stack([np.repeat(x, 2)[:-1], np.repeat(y, 2)[1:]]))
            assert not path.intersects_bbox(box, filled=False)
