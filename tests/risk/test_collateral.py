"""Multi-assets mode: the worked example of Binance's FAQ, and what is unknown without a rate."""

from __future__ import annotations

import math

import pytest

from leverage_nb.risk.collateral import AssetRate, cost, worth

# https://www.binance.com/en/support/faq/how-to-calculate-margin-in-multi-assets-mode-c983a9268cfa4e70a4916c276bb3b7bc
RATES = {"USDT": AssetRate(bid=0.9801, ask=0.99495), "USDC": AssetRate(bid=1.0, ask=1.0)}


def test_equity_counts_positive_amounts_at_the_bid_rate() -> None:
    """The equity of 200 USDT and 220 USDC is the FAQ's 416.02 USD."""
    assert worth({"USDT": 200, "USDC": 220}, RATES) == pytest.approx(416.02, abs=1e-9)


def test_equity_counts_negative_amounts_at_the_ask_rate() -> None:
    """A debt is valued at the higher rate: min(equity x bid, equity x ask)."""
    assert worth({"USDT": -100}, RATES) == pytest.approx(-99.495)


def test_margin_is_valued_at_the_ask_rate() -> None:
    """Initial margin of 100 USDT and 240 USDC leaves the FAQ's 76.525 USD, which is 76.91 USDT."""
    available = 416.02 - cost({"USDT": 0.5 * 20_000 / 100, "USDC": 20 * 600 / 50}, RATES)
    assert available == pytest.approx(76.525, abs=1e-9)
    assert round(available / RATES["USDT"].ask, 2) == 76.91


def test_the_margin_ratio_of_the_example() -> None:
    """Maintenance margin of 0.8 % and 1 % makes the FAQ's margin ratio of 47.98 %."""
    maintenance = cost({"USDT": 0.5 * 20_000 * 0.008, "USDC": 20 * 600 * 0.01}, RATES)
    assert round(100 * maintenance / 416.02, 2) == 47.98


def test_a_missing_rate_matters_only_for_an_amount() -> None:
    """An asset without a rate makes the sum unknown, unless its amount is 0."""
    assert all(map(math.isnan, (worth({"USDT": 1, "XYZ": 1}, RATES), cost({"XYZ": 1}, RATES))))
    assert (worth({"USDT": 1, "XYZ": 0}, RATES), cost({"XYZ": 0}, RATES)) == (pytest.approx(0.9801), 0)
