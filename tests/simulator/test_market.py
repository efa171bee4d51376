"""The opening market: real tiers, read exactly."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from leverage_nb.simulator.market import load_market

BTC = load_market().symbols["BTCUSDT"]


def test_tiers_are_the_published_ones(published_tiers: dict[str, Any]) -> None:
    """Every symbol has the caps, rates and leverages that Binance sent."""
    symbols = load_market().symbols
    assert symbols.keys() == published_tiers.keys()
    for name, symbol in symbols.items():
        for tier, row in zip(symbol.tiers, published_tiers[name], strict=True):
            assert (tier.initial_leverage, float(tier.notional_cap)) == (row["initialLeverage"], row["notionalCap"])
            assert (float(tier.maint_margin_ratio), float(tier.cum)) == (row["maintMarginRatio"], row["cum"])


def test_a_tier_includes_its_cap_and_excludes_its_floor() -> None:
    """A notional equal to a cap lies in the tier below; 0 lies in the first, and more than every cap in the last."""
    cap = BTC.tiers[0].notional_cap
    assert [BTC.tier_of(notional).number for notional in (Decimal(0), cap, cap + 1)] == [1, 1, 2]
    assert BTC.tier_of(BTC.tiers[-1].notional_cap * 2) is BTC.tiers[-1]


def test_max_notional_is_the_cap_of_the_last_tier_that_offers_the_leverage() -> None:
    """A leverage between two tiers has the cap of the higher one; above the maximum, the first cap applies."""
    assert BTC.max_leverage == 150
    assert [BTC.max_notional(leverage) for leverage in (150, 101, 100, 99)] == [300_000, 300_000, 800_000, 800_000]
    assert BTC.max_notional(200) == 300_000
