"""A new position beside what exists: margin, affordability, liquidation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leverage_nb.account import Account, service_of
from leverage_nb.errors import InvalidInput
from leverage_nb.risk.account_state import AccountState, Balance, LeverageSetting
from leverage_nb.risk.new_position import NewPosition, Unit
from leverage_nb.risk.outlook import Outlook
from tests.risk.tiers import BTCUSDT, brackets


def new(
    account: Account, symbol: str, size: float, unit: Unit = "margin asset", most: int | None = None
) -> NewPosition:
    """Return a new position on the opening account."""
    view = service_of(account).reader.read_symbol(symbol, mark_price=True)
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


def flat(size: float, most: int | None = None, mark: float = 50_000, cash: float = 1e9) -> NewPosition:
    """Return a new position of BTCUSDT on an account without positions."""
    setting = LeverageSetting("simulator", "key", "BTCUSDT", 20, "isolated", None, "USDT")
    balance = Balance("USDT", cash, 0, cash, 0, 0, 0, cash)
    state = AccountState((), {"USDT": balance}, {"BTCUSDT": setting}, hedge_mode=False, multi_assets=False)
    return NewPosition(Outlook(state, brackets(BTCUSDT)), size, "margin asset", mark, most)


def test_a_stop_at_the_published_liquidation_price() -> None:
    """1 BTC at 50,000 and 10x: a long is liquidated at 45,180.722891566, a short at 54,780.876494023, as published."""
    position = flat(50_000)
    for inside, outside in ((45_180.73, 45_180.72), (54_780.87, 54_780.88)):
        assert position.before_liquidation(inside, 0).leverage == 10
        assert position.before_liquidation(outside, 0).leverage == 9
    assert position.before_liquidation(45_180.73 / 0.995).leverage == 10  # with the usual buffer
    assert position.before_liquidation(54_780.87 / 1.005).leverage == 10
    assert position.before_liquidation("45,180.73", 0).liquidation == pytest.approx(45_180.722891566)


@given(
    size=st.floats(1e3, 1.7e9), stop=st.floats(1_000, 95_000), buffer=st.floats(0, 0.1), most=st.sampled_from([None, 8])
)
def test_the_stop_against_the_equation_at_every_leverage(
    size: float, stop: float, buffer: float, most: int | None
) -> None:
    """At the bound the margin at the stop with its buffer still exceeds maintenance; at every higher leverage not.

    The maintenance margin is that of the notional at that price, in whichever tier it is, the last one beyond all.
    """
    sign = 1 if stop < 50_000 else -1
    edge = stop * (1 - sign * buffer)
    notional_there = size * edge / 50_000
    row = next((tier for tier in BTCUSDT if notional_there <= tier[2]), BTCUSDT[-1])
    maintenance = notional_there * row[3] - row[4]

    def slack(leverage: int) -> float:
        return size / leverage + sign * (notional_there - size) - maintenance

    possible = [x for x in range(1, min(150, most or 150) + 1) if any(t[0] >= x and size <= t[2] for t in BTCUSDT)]
    bound = flat(size, most).before_liquidation(stop, buffer)
    if bound.leverage is None:
        assert stop == 50_000 or all(slack(x) < 1e-9 * size for x in possible)
        assert bound.obstacle
    else:
        assert slack(bound.leverage) > -1e-9 * size
        assert all(slack(x) < 1e-9 * size for x in possible if x > bound.leverage)


def test_why_no_leverage_keeps_liquidation_beyond_a_stop(account: Account) -> None:
    """The stop is the mark price or too far away, the size is above every tier, or the leverage would be refused."""
    assert flat(50_000).before_liquidation(50_000).obstacle.startswith("The stop is the mark price of 50,000")
    too_far = flat(50_000).before_liquidation(150_000)
    assert (too_far.leverage, too_far.obstacle) == (
        None, "No leverage keeps liquidation beyond 150,000: the stop is too far away.",
    )  # fmt: skip
    assert "the tiers end at 1.8B" in flat(1.9e9).before_liquidation(45_000).obstacle
    refused = new(account, "BTCUSDT", 2e6).before_liquidation(60_000)
    assert refused.leverage is None
    assert refused.obstacle.startswith("3x keeps liquidation beyond the stop, but would be refused")
    assert math.isnan(refused.liquidation)


def test_a_guard_bounds_what_a_stop_allows(account: Account) -> None:
    """The guard's leverage is chosen where the stop allows more; it is an obstacle where only more is possible."""
    assert flat(50_000, most=8).before_liquidation(49_000).leverage == 8
    half = new(account, "BTCUSDT", 50, "percent", most=3)  # below 5x nothing is available
    assert half.before_liquidation(86_000).obstacle == "5x keeps liquidation beyond the stop, but your guard is 3x."


def test_a_position_that_no_price_liquidates() -> None:
    """A long at 1x is never liquidated: it keeps every stop, and has no liquidation price."""
    bound = flat(50_000).before_liquidation(1)
    assert bound.leverage == 1
    assert math.isnan(bound.liquidation)


@pytest.mark.parametrize("stop", [0, -1, math.nan, math.inf, "soon", "", "-5", True, None, [1]])
def test_what_is_no_stop(stop: Any) -> None:
    """A stop is a price above 0."""
    with pytest.raises(InvalidInput, match="is not a price"):
        flat(50_000).before_liquidation(stop)


@pytest.mark.parametrize("buffer", [-0.001, 1, 2.0, math.nan, "0.5%", True, None])
def test_what_is_no_buffer(buffer: Any) -> None:
    """A buffer is a share from 0 to below 1."""
    with pytest.raises(InvalidInput, match="buffer is a share"):
        flat(50_000).before_liquidation(45_000, buffer)
