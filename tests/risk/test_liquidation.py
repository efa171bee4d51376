"""Liquidation prices are those of Binance's worked examples, and satisfy the equation that defines them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from leverage_nb.risk.liquidation import liquidation_price, liquidation_price_in_tier
from tests.real_positions import POSITIONS, RealPosition
from tests.risk.tiers import BTCUSDT, brackets, tier_sets

# Binance's worked example of two cross positions, tiers given: ETH long and BTC long in one account.
ETH = {"amount": 3683.979, "entry_price": 1456.84, "wallet": 1535443.01, "rate": 0.10, "cum": 135365.00}
BTC = {"amount": 109.488, "entry_price": 32481.98, "wallet": 1535443.01, "rate": 0.025, "cum": 16300.00}


@pytest.mark.parametrize(
    ("position", "others", "price"),
    [
        (ETH, {"other_maintenance": 71200.81144, "other_profit": -56354.57}, 1153.26),
        (BTC, {"other_maintenance": 356512.508, "other_profit": -448192.89}, 26316.89),
        (ETH, {}, 1114.78),
        (BTC, {}, 18778.73),
    ],
)
def test_published_liquidation_prices(position: dict[str, float], others: dict[str, float], price: float) -> None:
    """The prices of Binance's worked examples are reproduced to the cent, with and without other positions."""
    assert round(liquidation_price_in_tier(**position, **others), 2) == price


@pytest.mark.parametrize(("amount", "price"), [(1, 45180.722891566), (-1, 54780.876494023)])
def test_long_and_short_in_the_first_tier(amount: float, price: float) -> None:
    """For 1 BTC at 50,000 with an isolated wallet of 5,000, the first tier is found for the long and for the short."""
    found = liquidation_price(brackets(BTCUSDT), amount, 50_000, 5_000)
    assert found == pytest.approx(price, abs=1e-6)


@pytest.mark.parametrize("real", POSITIONS, ids=str)
def test_prices_that_binance_answered(real: RealPosition) -> None:
    """The liquidation prices of real isolated positions are reproduced, to the last digit that Binance answered."""
    amount, entry, wallet = float(real.amount), float(real.entry_price), float(real.isolated_wallet)
    found = liquidation_price(brackets(real.tiers, real.symbol), amount, entry, wallet)
    places = len(real.liquidation_price.partition(".")[2].rstrip("0"))
    assert round(found, places) == float(real.liquidation_price)


def test_no_liquidation_where_there_is_none() -> None:
    """A long whose margin covers the whole price has no liquidation price; a short always has one."""
    tiers = brackets(BTCUSDT)
    assert math.isnan(liquidation_price(tiers, 1, 50_000, 50_000))
    assert math.isnan(liquidation_price(tiers, 0, 50_000, 1_000))
    assert liquidation_price(tiers, -1, 50_000, 50_000) > 90_000


@given(
    rows=tier_sets(),
    share=st.floats(0.001, 0.99),
    leverage=st.floats(1, 150),
    entry=st.floats(0.01, 1e5),
    short=st.booleans(),
    profit=st.floats(-0.3, 0.3),
)
def test_the_price_satisfies_the_equation(
    rows: list[tuple[float, ...]], share: float, leverage: float, entry: float, short: bool, profit: float
) -> None:
    """At the liquidation price, margin equals the maintenance margin of the tier of the notional at that price."""
    tiers = brackets(rows)
    notional = share * tiers.last_cap
    amount = notional / entry * (-1 if short else 1)
    wallet = notional / leverage
    price = liquidation_price(tiers, amount, entry, wallet, other_profit=profit * wallet)
    left = wallet * (1 + profit)
    if math.isnan(price):
        # Margin is above maintenance at every price (a covered long), or below it at price 0 (a short).
        assert left - amount * entry >= -1e-6 * notional if not short else left - amount * entry <= 1e-6 * notional
        return
    at_price = abs(amount) * price
    assume(at_price <= tiers.last_cap)
    assert left + amount * (price - entry) == pytest.approx(
        tiers.maintenance_margin(at_price), rel=1e-6, abs=1e-6 * notional
    )


def test_vectorised_like_one_by_one() -> None:
    """Arrays of amounts and wallets give the same prices as each pair alone."""
    tiers = brackets(BTCUSDT)
    amounts, wallets = np.array([1.0, -2.0, 30.0, -4_000.0]), np.array([500.0, 9_000.0, 2e5, 3e7])
    together = liquidation_price(tiers, amounts, 86_000, wallets)
    alone = [liquidation_price(tiers, a, 86_000, w) for a, w in zip(amounts, wallets, strict=True)]
    assert together.tolist() == alone
