"""The opening market: real tiers, read exactly."""

from __future__ import annotations

import json
from decimal import Decimal
from importlib.resources import files
from typing import Any

from leverage_nb.simulator.market import load_market

BTC = load_market().symbols["BTCUSDT"]


def test_tiers_are_the_published_ones(published_tiers: dict[str, Any]) -> None:
    """Every symbol has the figures that were published, and there are all of the 46."""
    symbols = load_market().symbols
    assert list(symbols) == list(published_tiers)
    assert len(symbols) == 46
    for name, symbol in symbols.items():
        for tier, row in zip(symbol.tiers, published_tiers[name], strict=True):
            assert (tier.number, tier.initial_leverage) == (row["bracket"], row["initialLeverage"])
            assert (tier.notional_floor, tier.notional_cap) == (row["notionalFloor"], row["notionalCap"])
            assert (float(tier.maint_margin_ratio), float(tier.cum)) == (row["maintMarginRatio"], row["cum"])


def test_tiers_follow_the_documented_recurrence() -> None:
    """Floors meet caps, leverage falls to 1, rates rise, and cum_n = cum_n-1 + floor_n (mmr_n - mmr_n-1), exactly.

    None of the 46 published tables deviates. The recurrence is that of Binance's FAQ,
    https://www.binance.com/en/support/faq/b3c689c1f50a44cabb3a84e663b81d93.
    """
    for symbol in load_market().symbols.values():
        first, *others = symbol.tiers
        assert (first.notional_floor, first.cum, symbol.tiers[-1].initial_leverage) == (0, 0, 1), symbol.name
        for below, tier in zip(symbol.tiers, others, strict=False):
            assert tier.notional_floor == below.notional_cap < tier.notional_cap, symbol.name
            assert tier.initial_leverage < below.initial_leverage, symbol.name
            step = tier.maint_margin_ratio - below.maint_margin_ratio
            assert step > 0, symbol.name
            assert tier.cum == below.cum + tier.notional_floor * step, symbol.name


def test_the_market_has_every_kind_of_symbol() -> None:
    """Maxima from 3x to 150x, three margin assets, non-ASCII names, fractional cums, and two symbols not trading."""
    symbols = load_market().symbols
    assert {symbol.max_leverage for symbol in symbols.values()} == {3, 5, 10, 20, 25, 50, 75, 100, 125, 150}
    assert {symbol.margin_asset for symbol in symbols.values()} == {"USDT", "USDC", "BTC"}
    assert [name for name in symbols if not name.isascii()] == ["哈基米USDT", "币安人生USDT"]
    fractional = [name for name, symbol in symbols.items() if any(tier.cum % 1 for tier in symbol.tiers)]
    assert {"PAXGUSDT", "ETHBTC", "1000SHIBUSDT"} <= set(fractional)
    assert {name: symbol.status for name, symbol in symbols.items() if symbol.status != "TRADING"} == {
        "UXLINKUSDT": "SETTLING", "币安人生USDT": "PENDING_TRADING",
    }  # fmt: skip


def test_made_up_figures_are_plausible() -> None:
    """Prices lie on ticks, a step costs less than 100 USD, and precisions are those of tick and step at least."""
    dollars = {"USDT": Decimal(1), "USDC": Decimal(1), "BTC": BTC.mark_price}
    for name, symbol in load_market().symbols.items():
        tick, step = (Decimal(symbol.listing[field]) for field in ("tickSize", "stepSize"))
        assert symbol.mark_price % tick == 0, name
        assert tick < symbol.mark_price / 100, name
        assert step * symbol.mark_price * dollars[symbol.margin_asset] < 100, name
        places = int(-tick.normalize().as_tuple().exponent), int(-step.normalize().as_tuple().exponent)
        assert symbol.listing["pricePrecision"] >= places[0], name
        assert symbol.listing["quantityPrecision"] == max(places[1], 0), name


def test_the_file_says_what_is_made_up() -> None:
    """The header of market.json tells published facts from figures that are made up."""
    about = json.loads(files("leverage_nb.simulator").joinpath("market.json").read_text(encoding="utf-8"))["about"]
    assert "2026-09-29" in about["published facts"]
    assert all(word in about["made up"] for word in ("markPrice", "balances", "positions", "status"))


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
