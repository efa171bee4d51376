"""A new position beside what exists: margin, affordability, liquidation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from leverage_nb.account import Account, service_of
from leverage_nb.risk.new_position import NewPosition, Unit


def new(
    account: Account, symbol: str, size: float, unit: Unit = "margin asset", most: int | None = None
) -> NewPosition:
    """Return a new position on the opening account."""
    view = service_of(account).read_symbol(symbol, mark_price=True)
    assert view.mark_price is not None
    return NewPosition(view.outlook, size, unit, view.mark_price, most)


def test_the_existing_position_counts(account: Account) -> None:
    """2M beside 432,062.50 that uses the balance too: 25x lacks margin, 26x is the lowest that affords it.

    By hand: 2,432,062.50 / 26 = 93,540.87 is within 94,362.50 - 650; / 25 = 97,282.50 is not. The tier up to 75x allows
    3M, the next one 800k.
    """
    position = new(account, "BTCUSDT", 2e6)
    assert (position.lowest, position.tier_bound, position.obstacle) == (26, 75, "")
    assert position.affordable[24:26].tolist() == [False, True]


def test_percent_is_a_share_of_what_the_leverage_leaves(account: Account) -> None:
    """100 percent at 10x is the margin that is available after a change to 10x, times 10."""
    position = new(account, "BTCUSDT", 100, "percent")
    assert position.margin[9] == pytest.approx(94_362.5 - 650 - 43_206.25)
    assert position.notional[9] == pytest.approx(10 * position.margin[9])
    assert position.affordable[9]
    assert math.isnan(position.notional[3])  # nothing is available at 4x


def test_the_base_asset_is_valued_at_mark_price(account: Account) -> None:
    """1 BTC is 86,412.50 USDT."""
    assert np.all(new(account, "BTCUSDT", 1, "base asset").notional == 86_412.5)


def test_liquidation_is_that_of_an_isolated_position(account: Account) -> None:
    """1 BTC at 10x with a rate of 0.4 %: by hand 77,771.25 / 0.996 for a long and 95,053.75 / 1.004 for a short."""
    position = new(account, "BTCUSDT", 1, "base asset")
    assert position.liquidation[:, 9] == pytest.approx([77_771.25 / 0.996, 95_053.75 / 1.004])
    assert position.distance[0, 9] == pytest.approx(1 - 77_771.25 / 0.996 / 86_412.5)
    assert position.distance[0, 0] == math.inf  # a long at 1x


def test_guard_and_refusals_are_obstacles(account: Account) -> None:
    """A size that only a stopped or refused leverage affords says so."""
    assert new(account, "BTCUSDT", 2e6, most=20).obstacle == "26x would afford it, but your guard is 20x."
    position = new(account, "ETHUSDT", 1e8)
    assert position.lowest is None
    assert "No leverage affords it" in position.obstacle
