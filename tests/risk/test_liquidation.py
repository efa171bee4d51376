"""Margin maths, held against published worked numbers and against the equation it solves."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from leverage_nb.risk import liquidation
from leverage_nb.risk.brackets import Brackets
from tests.risk.test_brackets import BTCUSDT, brackets, tier_sets

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
    """The worked numbers come out to the cent, cross and isolated."""
    assert round(liquidation.liquidation_price_in_tier(**position, **others), 2) == price


def test_published_maintenance_margins() -> None:
    """The cross terms of that example follow from its marks."""
    assert liquidation.maintenance_margin(109.488 * 31967.27, 0.025, 16300) == pytest.approx(71200.81144, abs=5e-6)
    assert liquidation.maintenance_margin(3683.979 * 1335.18, 0.10, 135365) == pytest.approx(356512.508122, abs=5e-6)


@pytest.mark.parametrize(("amount", "price"), [(1, 45180.722891566), (-1, 54780.876494023)])
def test_long_and_short_in_the_first_tier(amount: float, price: float) -> None:
    """BTCUSDT, 1 BTC at 50,000 with 5,000 of isolated wallet: both directions, the tier found, not given."""
    found = liquidation.liquidation_price(brackets(BTCUSDT), amount, 50_000, 5_000)
    assert found == pytest.approx(price, abs=1e-6)


def test_initial_margin() -> None:
    """|notional| / leverage, for scalars and arrays."""
    assert liquidation.initial_margin(-1_000, 20) == 50
    assert liquidation.initial_margin([100, 200], [10, 20]).tolist() == [10, 10]
    assert type(liquidation.initial_margin(1, 2)) is float


def test_no_liquidation_where_there_is_none() -> None:
    """A long whose margin covers the whole price has no liquidation price; a short always has one."""
    tiers = brackets(BTCUSDT)
    assert math.isnan(liquidation.liquidation_price(tiers, 1, 50_000, 50_000))
    assert math.isnan(liquidation.liquidation_price(tiers, 0, 50_000, 1_000))
    assert liquidation.liquidation_price(tiers, -1, 50_000, 50_000) > 90_000


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
    """At the price found, margin equals the maintenance margin of the tier the notional has *there*."""
    tiers = brackets(rows)
    notional = share * tiers.last_cap
    amount = notional / entry * (-1 if short else 1)
    wallet = notional / leverage
    price = liquidation.liquidation_price(tiers, amount, entry, wallet, other_profit=profit * wallet)
    left = wallet * (1 + profit)
    if math.isnan(price):
        # Then margin is above maintenance at every price (a long that is covered), or below it at price 0 (a short).
        assert left - amount * entry >= -1e-6 * notional if not short else left - amount * entry <= 1e-6 * notional
        return
    at_price = abs(amount) * price
    assume(at_price <= tiers.last_cap)
    assert left + amount * (price - entry) == pytest.approx(
        tiers.maintenance_margin(at_price), rel=1e-6, abs=1e-6 * notional
    )


def test_vectorised_like_one_by_one() -> None:
    """Arrays of amounts, entries and wallets give what each gives alone."""
    tiers = brackets(BTCUSDT)
    amounts, wallets = np.array([1.0, -2.0, 30.0, -4_000.0]), np.array([500.0, 9_000.0, 2e5, 3e7])
    together = liquidation.liquidation_price(tiers, amounts, 86_000, wallets)
    alone = [liquidation.liquidation_price(tiers, a, 86_000, w) for a, w in zip(amounts, wallets, strict=True)]
    assert together.tolist() == alone


@given(amount=st.floats(0.001, 500), entry=st.floats(100, 1e5), share=st.floats(0.01, 2), short=st.booleans())
def test_a_hedge_of_one_side_is_that_side(amount: float, entry: float, share: float, short: bool) -> None:
    """With only a long, or only a short, the shared price is that position's own."""
    tiers: Brackets = brackets(BTCUSDT)
    signed = -amount if short else amount
    wallet = amount * entry * share
    none: Any = (0.0, entry)
    pair = ((signed, entry), none) if not short else (none, (signed, entry))
    alone = liquidation.liquidation_price(tiers, signed, entry, wallet)
    assert liquidation.hedged_liquidation_price(tiers, *pair, wallet, entry) == pytest.approx(alone, nan_ok=True)


@given(long=st.floats(0.01, 400), short=st.floats(0.01, 400), wallet=st.floats(1e3, 1e7), entry=st.floats(2e4, 1e5))
def test_a_hedged_pair_satisfies_the_equation(long: float, short: float, wallet: float, entry: float) -> None:
    """At the shared price the pair's margin equals the maintenance margin of both sides."""
    tiers: Brackets = brackets(BTCUSDT)
    price = liquidation.hedged_liquidation_price(tiers, (long, entry), (-short, entry), wallet, entry)
    assume(not math.isnan(price) and max(long, short) * price <= tiers.last_cap)
    needed = tiers.maintenance_margin(long * price) + tiers.maintenance_margin(short * price)
    assert wallet + (long - short) * (price - entry) == pytest.approx(needed, rel=1e-6, abs=1e-2)
