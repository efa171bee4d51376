"""The simulator's margin engine and its rules for changing settings."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from leverage_nb.simulator.account import Refused
from tests.simulator.openings import buy, code_of, opened, position


def test_lowering_requires_the_margin() -> None:
    """A position of 9,000 with 1,000 in the wallet can be lowered to 9x, which needs 1,000, but not to 8x."""
    account = opened(positions=[position("BTCUSDT", 9_000)], leverage={"BTCUSDT": 20})
    assert account.position_margin("BTCUSDT") == pytest.approx(Decimal(450))
    assert code_of(account, "BTCUSDT", 10) == 0
    assert account.available("USDT") == pytest.approx(Decimal(100))
    assert code_of(account, "BTCUSDT", 8) == -2028
    assert account.leverage("BTCUSDT") == 10
    assert code_of(account, "BTCUSDT", 9) == 0


def test_open_orders_require_margin_without_a_position() -> None:
    """A symbol with a buy order of 9,000 and no position cannot be lowered below 9x on 1,000."""
    account = opened(orders=[buy("SOLUSDT", "90", "100")])
    assert code_of(account, "SOLUSDT", 9) == 0
    assert code_of(account, "SOLUSDT", 8) == -2028


def test_the_cap_applies_to_position_and_open_orders() -> None:
    """42USDT allows 10,000 at 10x and 50,000 at 5x: a position of 8,000 fits 10x, but not with an order of 3,000."""
    facts: dict[str, Any] = {
        "wallets": {"USDT": "100000"}, "positions": [position("42USDT", 8_000)], "leverage": {"42USDT": 5},
    }  # fmt: skip
    assert code_of(opened(**facts), "42USDT", 10) == 0
    assert code_of(opened(**facts, orders=[buy("42USDT", "30000", "0.1")]), "42USDT", 10) == -2027


@pytest.mark.parametrize("symbol", ["UXLINKUSDT", "币安人生USDT"])
def test_a_symbol_that_is_not_trading_is_refused(symbol: str) -> None:
    """A leverage of a settling or not yet trading symbol is refused with -1122 and stays (assumed)."""
    account = opened()
    before = account.leverage(symbol)
    assert [code_of(account, symbol, leverage) for leverage in (1, before, 200)] == [-1122] * 3
    assert account.leverage(symbol) == before


def test_both_hedge_sides_count_against_cap_and_isolated_rule() -> None:
    """Both sides count against one cap, and a position on either side prevents lowering an isolated symbol."""
    sides = [position("42USDT", 6_000, "LONG"), position("42USDT", -6_000, "SHORT")]
    account = opened(wallets={"USDT": "100000"}, positions=sides, leverage={"42USDT": 5}, dualSidePosition=True)
    assert account.exposure("42USDT") == pytest.approx(Decimal(12_000))
    assert code_of(account, "42USDT", 10) == -2027
    short = [position("BTCUSDT", -600, "SHORT", isolatedWallet="100")]
    isolated = opened(positions=short, isolated=["BTCUSDT"], leverage={"BTCUSDT": 10}, dualSidePosition=True)
    assert code_of(isolated, "BTCUSDT", 9) == -4161
    assert code_of(isolated, "BTCUSDT", 11) == 0


def test_an_unused_symbol_can_be_lowered_while_the_account_lacks_margin() -> None:
    """A symbol without position and orders needs no margin; raising a symbol with a position frees margin."""
    account = opened(wallets={"USDT": "10"}, positions=[position("BTCUSDT", 9_000)])
    assert account.surplus("USDT") < 0
    assert code_of(account, "ETHUSDT", 5) == 0
    assert code_of(account, "BTCUSDT", 50) == 0


def test_multi_assets_mode_counts_all_assets() -> None:
    """In multi-assets mode BTC backs a USDT position; in single-asset mode it does not."""
    facts: dict[str, Any] = {
        "wallets": {"USDT": "100", "BTC": "1"}, "positions": [position("BTCUSDT", 9_000)], "leverage": {"BTCUSDT": 100},
    }  # fmt: skip
    assert code_of(opened(**facts), "BTCUSDT", 10) == -2028
    assert code_of(opened(**facts, multiAssetsMargin=True), "BTCUSDT", 10) == 0


def test_multi_assets_mode_by_the_published_example() -> None:
    """The margin available for orders is that of the FAQ's example, in both assets, without and with positions.

    https://www.binance.com/en/support/faq/how-to-calculate-margin-in-multi-assets-mode-c983a9268cfa4e70a4916c276bb3b7bc
    """
    facts: dict[str, Any] = {
        "wallets": {"USDT": "200", "USDC": "220"}, "multiAssetsMargin": True,
        "usdRates": {"USDT": ["0.99", "0.01", "0.005"], "USDC": ["1", "0", "0"]},
    }  # fmt: skip
    flat = opened(**facts)
    assert flat.surplus_in_usd() == Decimal("416.02")
    assert [round(flat.available(asset), 2) for asset in ("USDT", "USDC")] == [Decimal("418.13"), Decimal("416.02")]
    positions = [position("BTCUSDT", 10_000), position("BTCUSDC", 12_000)]
    account = opened(**facts, positions=positions, leverage={"BTCUSDT": 100, "BTCUSDC": 50})
    assert round(account.surplus_in_usd(), 6) == Decimal("76.525")
    assert round(account.available("USDT"), 2) == Decimal("76.91")


def test_hedge_mode_is_refused_with_a_position() -> None:
    """The position mode changes only without open orders and positions."""
    with pytest.raises(Refused, match="-4068"):
        opened(positions=[position("BTCUSDT", 9_000)]).set_dual_side(True)
    account = opened()
    account.set_dual_side(True)
    assert account.dual_side


def test_multi_assets_mode_excludes_isolated_margin() -> None:
    """Multi-assets mode is refused with open orders, and a symbol cannot become isolated in it."""
    with pytest.raises(Refused, match="-4170"):
        opened(orders=[buy("SOLUSDT", "1", "100")]).set_multi_assets(True)
    account = opened()
    account.set_multi_assets(True)
    with pytest.raises(Refused, match="-4168"):
        account.set_margin_type("BTCUSDT", True)
    with pytest.raises(Refused, match="-4046"):
        account.set_margin_type("BTCUSDT", False)


@pytest.mark.parametrize(
    ("facts", "isolated", "refusal"),
    [
        ({}, False, "-4046 No need to change margin type."),
        ({"isolated": ["BTCUSDT"]}, True, "-4046 No need to change margin type."),
        ({"positions": [position("BTCUSDT", 900)]}, False, "-4046 No need to change margin type."),
        ({"multiAssetsMargin": True, "orders": [buy("BTCUSDT", "1", "100")]}, True,
         "-4168 Unable to adjust to isolated-margin mode under the Multi-Assets mode."),
        ({"orders": [buy("BTCUSDT", "1", "100")]}, True,
         "-4047 Margin type cannot be changed if there exists open orders."),
        ({"orders": [buy("BTCUSDT", "1", "100")], "positions": [position("BTCUSDT", 900)]}, True,
         "-4047 Margin type cannot be changed if there exists open orders."),
        ({"positions": [position("BTCUSDT", 900)]}, True,
         "-4048 Margin type cannot be changed if there exists position."),
        ({"positions": [position("BTCUSDT", 900, isolatedWallet="90")], "isolated": ["BTCUSDT"]}, False,
         "-4048 Margin type cannot be changed if there exists position."),
    ],
)  # fmt: skip
def test_refusals_of_a_margin_type(facts: dict[str, Any], isolated: bool, refusal: str) -> None:
    """The first check that fails has its code and text, and the margin type stays (the order is inferred)."""
    account = opened(**facts)
    before = set(account.isolated)
    with pytest.raises(Refused, match=f"400 {refusal}"):
        account.set_margin_type("BTCUSDT", isolated)
    assert account.isolated == before


def test_the_margin_type_of_a_free_symbol_changes_both_ways() -> None:
    """Position and orders of other symbols do not matter; a symbol that is not trading is refused with -1122."""
    account = opened(positions=[position("BTCUSDT", 900)], orders=[buy("SOLUSDT", "1", "100")])
    for isolated in (True, False):
        account.set_margin_type("ETHUSDT", isolated)
        assert ("ETHUSDT" in account.isolated) == isolated
    with pytest.raises(Refused, match="-1122"):
        account.set_margin_type("UXLINKUSDT", True)


def test_on_demo_a_leverage_that_was_never_set_shows_as_0() -> None:
    """On demo an untouched symbol shows 0 instead of the default, 20x or its lower maximum; any other does not."""
    facts: dict[str, Any] = {
        "positions": [position("BTCUSDT", 900)], "orders": [buy("SOLUSDT", "1", "100")], "leverage": {"XRPUSDT": 50},
    }  # fmt: skip
    names = ("BTCUSDT", "SOLUSDT", "XRPUSDT", "ETHUSDT", "42USDT")
    demo, production = opened(demo=True, **facts), opened(**facts)
    assert [demo.shown_leverage(name) for name in names] == [20, 20, 50, 0, 0]
    assert [production.shown_leverage(name) for name in names] == [20, 20, 50, 20, 10]


def test_on_demo_setting_the_default_is_a_change() -> None:
    """On demo 20x, the default, is a change of a leverage that was never set; 0 and -1 are refused."""
    account = opened(demo=True)
    assert [code_of(account, "ETHUSDT", leverage) for leverage in (0, -1)] == [-4028, -4028]
    assert account.shown_leverage("ETHUSDT") == 0
    assert account.set_leverage("ETHUSDT", 20)
    assert account.shown_leverage("ETHUSDT") == 20
    assert not account.set_leverage("ETHUSDT", 20)
