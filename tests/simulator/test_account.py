"""The simulator's margin engine, on accounts small enough to work out by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from leverage_nb.simulator.account import Account, Refused
from leverage_nb.simulator.liquidation import liquidation_price
from leverage_nb.simulator.market import load_market

MARKET = load_market()
MARK = {name: symbol.mark_price for name, symbol in MARKET.symbols.items()}


def opened(**changes: Any) -> Account:
    """An account with 1,000 USDT and nothing else, but for ``changes``."""
    opening = {
        "accountAlias": "x", "wallets": {"USDT": "1000"}, "leverage": {}, "isolated": [], "positions": [],
        "orders": [], "dualSidePosition": False, "multiAssetsMargin": False,
    }  # fmt: skip
    return Account(MARKET, opening | changes)


def holding(symbol: str, notional: int, side: str = "BOTH", **more: str) -> dict[str, str]:
    """A position entered at mark, worth ``notional``."""
    amount = Decimal(notional) / MARK[symbol]
    return {"symbol": symbol, "positionSide": side, "positionAmt": str(amount), "entryPrice": str(MARK[symbol])} | more


def code_of(account: Account, symbol: str, leverage: int) -> int:
    """The code a change is refused with; 0 when it is made."""
    try:
        account.set_leverage(symbol, leverage)
    except Refused as refused:
        return refused.code
    return 0


def test_lowering_needs_the_margin_to_be_there() -> None:
    """A position of 9,000 with 1,000 in the wallet: 9x needs exactly 1,000, 8x needs 1,125."""
    account = opened(positions=[holding("BTCUSDT", 9_000)], leverage={"BTCUSDT": 20})
    assert account.position_margin("BTCUSDT") == pytest.approx(Decimal(450))
    assert code_of(account, "BTCUSDT", 10) == 0
    assert account.available("USDT") == pytest.approx(Decimal(100))
    assert code_of(account, "BTCUSDT", 8) == -2028
    assert account.leverage("BTCUSDT") == 10


def test_open_orders_need_margin_too_also_when_flat() -> None:
    """A flat symbol with a buy of 9,000 cannot go below 9x on 1,000."""
    order = {"symbol": "SOLUSDT", "side": "BUY", "positionSide": "BOTH", "quantity": "90", "price": "100"}
    account = opened(orders=[order])
    assert code_of(account, "SOLUSDT", 9) == 0
    assert code_of(account, "SOLUSDT", 8) == -2028


def test_raising_is_held_against_the_cap_with_open_orders() -> None:
    """42USDT allows 10,000 at 10x and 50,000 at 5x: 8,000 held fits 10x, with an order of 3,000 it does not."""
    order = {"symbol": "42USDT", "side": "BUY", "positionSide": "BOTH", "quantity": "30000", "price": "0.1"}
    wallet = {"USDT": "100000"}
    held = [holding("42USDT", 8_000)]
    assert code_of(opened(wallets=wallet, positions=held, leverage={"42USDT": 5}), "42USDT", 10) == 0
    assert (
        code_of(opened(wallets=wallet, positions=held, leverage={"42USDT": 5}, orders=[order]), "42USDT", 10) == -2027
    )


def test_hedge_sides_share_cap_and_isolated_block() -> None:
    """Both sides count against one cap, and a position on either side blocks lowering an isolated symbol."""
    sides = [holding("42USDT", 6_000, "LONG"), holding("42USDT", -6_000, "SHORT")]
    account = opened(wallets={"USDT": "100000"}, positions=sides, leverage={"42USDT": 5}, dualSidePosition=True)
    assert account.exposure("42USDT") == pytest.approx(Decimal(12_000))
    assert code_of(account, "42USDT", 10) == -2027
    short = [holding("BTCUSDT", -600, "SHORT", isolatedWallet="100")]
    isolated = opened(positions=short, isolated=["BTCUSDT"], leverage={"BTCUSDT": 10}, dualSidePosition=True)
    assert code_of(isolated, "BTCUSDT", 9) == -4161
    assert code_of(isolated, "BTCUSDT", 11) == 0


def test_a_flat_symbol_can_be_lowered_while_the_account_is_short_of_margin() -> None:
    """What a symbol does not use it does not need: a flat one is changed whatever the others lack."""
    account = opened(wallets={"USDT": "10"}, positions=[holding("BTCUSDT", 9_000)])
    assert account.surplus("USDT") < 0
    assert code_of(account, "ETHUSDT", 5) == 0
    assert code_of(account, "BTCUSDT", 50) == 0  # raising frees margin


def test_multi_assets_mode_counts_all_assets() -> None:
    """In multi-assets mode BTC backs a USDT position; in single-asset mode it does not."""
    facts: dict[str, Any] = {
        "wallets": {"USDT": "100", "BTC": "1"}, "positions": [holding("BTCUSDT", 9_000)], "leverage": {"BTCUSDT": 100},
    }  # fmt: skip
    assert code_of(opened(**facts), "BTCUSDT", 10) == -2028
    assert code_of(opened(**facts, multiAssetsMargin=True), "BTCUSDT", 10) == 0


# Own vectors of the reference: BTCUSDT in tier 1 (0.4 %, cum 0), 1 BTC at 50,000 with 5,000 of isolated wallet.
@pytest.mark.parametrize(("amount", "price"), [("1", "45180.722891566"), ("-1", "54780.876494023")])
def test_liquidation_price_of_isolated_positions(amount: str, price: str) -> None:
    """Long and short isolated positions are liquidated where Binance's formula says."""
    row = {"symbol": "BTCUSDT", "positionSide": "BOTH", "positionAmt": amount, "entryPrice": "50000"}
    account = opened(positions=[row | {"isolatedWallet": "5000"}], isolated=["BTCUSDT"])
    assert liquidation_price(account, account.positions[0]) == pytest.approx(Decimal(price), abs=Decimal("1e-6"))


def test_liquidation_happens_where_margin_meets_maintenance() -> None:
    """At the liquidation price the isolated margin equals the maintenance margin of the tier *there*."""
    row = {"symbol": "BTCUSDT", "positionSide": "BOTH", "positionAmt": "-9", "entryPrice": "80000"}
    account = opened(positions=[row | {"isolatedWallet": "300000"}], isolated=["BTCUSDT"])
    price = liquidation_price(account, account.positions[0])
    notional = 9 * price
    tier = MARKET.symbols["BTCUSDT"].tier_of(notional)
    assert tier.number == 3  # entered in tier 2
    margin = Decimal(300_000) - 9 * (price - 80_000)
    assert margin == pytest.approx(notional * tier.maint_margin_ratio - tier.cum)


def test_no_liquidation_where_the_wallet_covers_everything() -> None:
    """A long whose wallet is worth more than the position has no liquidation price."""
    account = opened(wallets={"USDT": "100000"}, positions=[holding("BTCUSDT", 9_000)])
    assert liquidation_price(account, account.positions[0]) == 0
