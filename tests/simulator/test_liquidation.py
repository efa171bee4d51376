"""Liquidation prices follow Binance's formula, with the tier at the liquidation price."""

from __future__ import annotations

from decimal import Decimal

import pytest

from leverage_nb.simulator.account import Account
from leverage_nb.simulator.liquidation import liquidation_price
from leverage_nb.simulator.market import Market, Symbol, Tier
from tests.real_positions import POSITIONS, RealPosition
from tests.simulator.openings import MARKET, opened, position


# BTCUSDT in tier 1 (0.4 %, cum 0), 1 BTC at 50,000 with an isolated wallet of 5,000, calculated by hand.
@pytest.mark.parametrize(("amount", "price"), [("1", "45180.722891566"), ("-1", "54780.876494023")])
def test_isolated_positions(amount: str, price: str) -> None:
    """Long and short isolated positions have the liquidation price of Binance's formula."""
    row = {"symbol": "BTCUSDT", "positionSide": "BOTH", "positionAmt": amount, "entryPrice": "50000"}
    account = opened(positions=[row | {"isolatedWallet": "5000"}], isolated=["BTCUSDT"])
    assert liquidation_price(account, account.positions[0]) == pytest.approx(Decimal(price), abs=Decimal("1e-6"))


@pytest.mark.parametrize("real", POSITIONS, ids=str)
def test_prices_that_binance_answered(real: RealPosition) -> None:
    """The liquidation prices of real isolated positions are reproduced, to the last digit that Binance answered."""
    tiers = tuple(
        Tier(number, int(leverage), *(Decimal(str(figure)) for figure in figures))
        for number, (leverage, *figures) in enumerate(real.tiers, 1)
    )
    symbol = Symbol(real.symbol, "USDT", Decimal(real.mark_price), tiers, {})
    row = {"symbol": real.symbol, "positionSide": "BOTH", "positionAmt": real.amount, "entryPrice": real.entry_price}
    opening = {
        "accountAlias": "x", "wallets": {"USDT": "100000"}, "leverage": {}, "isolated": [real.symbol], "orders": [],
        "positions": [row | {"isolatedWallet": real.isolated_wallet}], "dualSidePosition": False,
        "multiAssetsMargin": False,
    }  # fmt: skip
    account = Account(Market({real.symbol: symbol}, opening, 0), opening)
    found = liquidation_price(account, account.positions[0])
    assert found.quantize(Decimal(real.liquidation_price)) == Decimal(real.liquidation_price)


def test_the_tier_is_the_one_at_the_liquidation_price() -> None:
    """At the liquidation price the isolated margin equals the maintenance margin of the tier *there*."""
    row = {"symbol": "BTCUSDT", "positionSide": "BOTH", "positionAmt": "-9", "entryPrice": "80000"}
    account = opened(positions=[row | {"isolatedWallet": "300000"}], isolated=["BTCUSDT"])
    price = liquidation_price(account, account.positions[0])
    notional = 9 * price
    tier = MARKET.symbols["BTCUSDT"].tier_of(notional)
    assert tier.number == 3  # entered in tier 2
    margin = Decimal(300_000) - 9 * (price - 80_000)
    assert margin == pytest.approx(notional * tier.maint_margin_ratio - tier.cum)


def test_a_fully_covered_long_has_no_liquidation_price() -> None:
    """A long whose wallet is worth more than the position has no liquidation price."""
    account = opened(wallets={"USDT": "100000"}, positions=[position("BTCUSDT", 9_000)])
    assert liquidation_price(account, account.positions[0]) == 0


def test_a_cross_hedge_pair_has_one_price() -> None:
    """The long and the short of a cross symbol in hedge mode share one liquidation price."""
    sides = [position("BTCUSDT", 9_000, "LONG"), position("BTCUSDT", -3_000, "SHORT")]
    account = opened(positions=sides, dualSidePosition=True)
    long, short = (liquidation_price(account, side) for side in account.positions)
    assert 0 < long == short < MARKET.symbols["BTCUSDT"].mark_price
