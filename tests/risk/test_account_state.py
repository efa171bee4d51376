"""Exposure and effective leverage of positions and open orders."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from leverage_nb.risk.account_state import AccountState, Balance, LeverageSetting, Position
from leverage_nb.risk.collateral import AssetRate


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


def multi_assets(**changes: Any) -> AccountState:
    """Return the account of the worked example in Binance's FAQ on multi-assets mode, with its positions open.

    BTCUSDT: 0.5 at 20,000 and 100x; ETHUSDC: 20 at 600 and 50x; maintenance margin rates 0.8 % and 1 %.
    https://www.binance.com/en/support/faq/how-to-calculate-margin-in-multi-assets-mode-c983a9268cfa4e70a4916c276bb3b7bc
    """
    btc = position("BTCUSDT", "BOTH", 10_000, position_margin=100, maintenance_margin=80)
    eth = replace(position("ETHUSDC", "BOTH", 12_000, position_margin=240, maintenance_margin=120), margin_asset="USDC")
    state = AccountState(
        positions=(btc, eth),
        balances={
            "USDT": Balance("USDT", 200, 0, 200, 0, 100, 80, available=76.91),
            "USDC": Balance("USDC", 220, 0, 220, 0, 240, 120, available=76.525),
        },
        settings={
            "BTCUSDT": replace(setting("BTCUSDT", "cross"), leverage=100),
            "ETHUSDC": replace(setting("ETHUSDC", "cross"), leverage=50, margin_asset="USDC"),
        },
        hedge_mode=False,
        multi_assets=True,
        rates={"USDT": AssetRate(0.9801, 0.99495), "USDC": AssetRate(1, 1)},
    )
    return replace(state, **changes)


def test_multi_assets_mode_by_the_published_example() -> None:
    """Available margin with the symbol's own margin in use, and the margin ratio, are the figures of the FAQ."""
    state = multi_assets()
    assert state.available_without("BTCUSDT") - 100 == pytest.approx(76.91, abs=0.005)
    assert state.available_without("ETHUSDC") - 240 == pytest.approx(76.525, abs=1e-9)
    assert state.account_margin_ratio() == pytest.approx(0.4798, abs=5e-5)
    assert state.cross_margin_ratio("USDT") is None


def test_multi_assets_mode_without_a_rate_is_unknown() -> None:
    """A margin asset without a rate makes the available margin unknown, and is named."""
    state = multi_assets(rates={"USDT": AssetRate(0.9801, 0.99495)})
    assert state.why_margin_unknown("BTCUSDT") == "the USD rate of USDC is unknown"
    assert math.isnan(state.available_without("BTCUSDT"))
    assert state.account_margin_ratio() is None


def test_multi_assets_mode_is_unknown_if_the_exchange_reports_another_figure() -> None:
    """If Binance's available margin is not the one that the rule gives, nothing is predicted from the rule."""
    state = multi_assets()
    capped = replace(state.balances["USDT"], available=30.0)
    state = replace(state, balances={**state.balances, "USDT": capped})
    assert "Binance reports 30 USDT" in state.why_margin_unknown("BTCUSDT")
    assert math.isnan(state.available_without("BTCUSDT"))


def with_credits(wallet: float, usdt: float) -> AccountState:
    """Return the account with a row of credits and another USDT wallet."""
    row = Balance("BNFCR", wallet, 0, wallet, 0, 0, 0, wallet)
    return replace(STATE, balances={"USDT": replace(STATE.balances["USDT"], wallet=usdt), "BNFCR": row})


def test_credits_trading_mode_is_recognised() -> None:
    """It is recognised by credits, by a position in credits, and by a row of credits without any USDT or USDC."""
    position_in_credits = replace(STATE.positions[0], margin_asset="BNFCR")
    assert all(with_credits(*wallets).credits_mode for wallets in ((500, 0), (500, 10), (0, 0)))
    assert replace(STATE, positions=(position_in_credits,)).credits_mode
    assert not any(state.credits_mode for state in (with_credits(0, 100), STATE))


def test_nothing_is_claimed_of_margin_in_credits_trading_mode() -> None:
    """Available margin, effective leverage and margin ratio are unknown there."""
    state = with_credits(500, 0)
    assert math.isnan(state.available_without("A"))
    assert "Credits Trading Mode" in state.why_margin_unknown("A")
    assert state.effective_leverage(STATE.positions[0]) is None
    assert (state.cross_margin_ratio("USDT"), state.account_margin_ratio()) == (None, None)


def test_an_unreadable_balance_of_credits_shows_the_mode() -> None:
    """That the row of the credits cannot be read does not make the rules for USDT apply."""
    unread = replace(STATE, unread_balances=frozenset({"BNFCR"}))
    assert unread.credits_mode
    assert math.isnan(unread.available_without("A"))


def test_an_unreadable_balance_is_named_in_multi_assets_mode() -> None:
    """All assets count there, so the reason is the balance, and not the rule."""
    unread = multi_assets(unread_balances=frozenset({"BTC"}))
    assert unread.why_margin_unknown("BTCUSDT") == "the balance of BTC could not be read"


@pytest.mark.parametrize(
    ("side", "notional", "liquidation", "distance"),
    [("LONG", 100, 80, 0.2), ("LONG", 100, 107, -0.07), ("SHORT", -100, 120, 0.2), ("SHORT", -100, 99, -0.01)],
)
def test_a_liquidation_price_that_was_reached_is_not_away(
    side: str, notional: float, liquidation: float, distance: float
) -> None:
    """The distance is negative once the mark price is beyond the liquidation price, and unknown without a mark."""
    at_100 = replace(position("A", side, notional), amount=notional / 100, mark_price=100.0)
    assert at_100.distance_to(liquidation) == pytest.approx(distance)
    assert math.isnan(replace(at_100, mark_price=0.0).distance_to(liquidation))
