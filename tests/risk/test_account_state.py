"""Exposure and effective leverage of positions and open orders."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from leverage_nb.risk.account_state import AccountState, Balance, LeverageSetting, Position


def setting(symbol: str, margin_type: str) -> LeverageSetting:
    """Return a setting at 10x."""
    return LeverageSetting("simulator", "key", symbol, 10, margin_type, None, "USDT")


def position(symbol: str, side: str, notional: float, **figures: float) -> Position:
    """Return a position at a mark price of 100."""
    none = dict.fromkeys(("unrealized_profit", "isolated_wallet", "orders_bid", "orders_ask"), 0.0)
    return Position(
        symbol=symbol, position_side=side, amount=notional / 100, entry_price=100, mark_price=100,
        notional=notional, liquidation_price=None, margin_asset="USDT", **(none | figures),
    )  # fmt: skip


STATE = AccountState(
    positions=(
        position("A", "BOTH", 4_000, orders_bid=1_000, orders_ask=500),
        position("B", "BOTH", -2_000, isolated_wallet=150, unrealized_profit=50),
    ),
    balances={"USDT": Balance("USDT", 2_150, 150, 1_900, 100, 0, 0, 0)},
    settings={"A": setting("A", "cross"), "B": setting("B", "isolated")},
    hedge_mode=False,
    multi_assets=False,
)


def test_effective_leverage_of_isolated_and_cross() -> None:
    """Isolated: on the position's own margin. Cross: of all cross positions, on the cross margin."""
    cross, isolated = STATE.positions
    assert STATE.effective_leverage(isolated) == pytest.approx(2_000 / (150 + 50))
    assert STATE.effective_leverage(cross) == pytest.approx(4_000 / (1_900 + 100))


def test_effective_leverage_is_none_if_unknown() -> None:
    """It is None without margin, without a balance, and for cross positions in multi-assets mode."""
    cross, isolated = STATE.positions
    assert replace(STATE, multi_assets=True).effective_leverage(cross) is None
    assert replace(STATE, balances={}).effective_leverage(cross) is None
    assert STATE.effective_leverage(replace(isolated, unrealized_profit=-150.0)) is None


def test_exposure_one_way_is_the_worse_of_buys_and_sells() -> None:
    """One-way mode: the larger of the positions after all buy orders or all sell orders have filled."""
    assert STATE.exposure("A") == 5_000
    assert STATE.exposure("B") == 2_000
    assert STATE.exposure("C") == 0
    flipping = replace(STATE, positions=(position("A", "BOTH", 100, orders_ask=900),))
    assert flipping.exposure("A") == 800


def test_exposure_in_hedge_mode_adds_both_sides() -> None:
    """Hedge mode: each side counts with the orders that increase it; orders that reduce a side do not count."""
    hedged = replace(
        STATE,
        hedge_mode=True,
        positions=(
            position("A", "LONG", 300, orders_bid=50, orders_ask=70),
            position("A", "SHORT", -200, orders_ask=5),
        ),
    )
    assert hedged.exposure("A") == 300 + 50 + 200 + 5


def test_a_position_that_could_not_be_read_makes_figures_unknown() -> None:
    """Figures that would count a position that could not be read are NaN or None; other figures stay."""
    cross, isolated = STATE.positions
    unread = replace(STATE, skipped={"C": "its position could not be read: x"}, unread_positions=frozenset({"C"}))
    assert unread.why_unknown("C") == "its position could not be read: x"
    assert math.isnan(unread.exposure("C"))
    assert (unread.why_unknown("A"), unread.exposure("A")) == ("", 5_000)
    assert math.isnan(unread.available_without("A"))
    assert unread.effective_leverage(cross) is None
    assert unread.effective_leverage(isolated) == pytest.approx(2_000 / (150 + 50))
    assert unread.cross_margin_ratio("USDT") is None
    assert unread == STATE


def test_a_position_of_an_unknown_symbol_may_be_that_of_any_without_one() -> None:
    """If a row names no symbol, the exposure of a symbol without a position is unknown."""
    unread = replace(STATE, skipped={"position row 3": "x"}, unread_positions=frozenset({""}))
    assert math.isnan(unread.exposure("C"))
    assert "does not name its symbol" in unread.why_unknown("C")
    assert "does not name its symbol" in replace(unread, hedge_mode=True).why_unknown("A")  # its other side
    assert (unread.why_unknown("A"), unread.exposure("A")) == ("", 5_000)
