"""Rows that contradict each other are not used as tiers."""

from __future__ import annotations

from typing import Any

import pytest

from leverage_nb.risk.bracket_checks import COLUMNS, find_flaw

GOOD: dict[str, list[float]] = {
    "initial_leverage": [10, 5], "notional_floor": [0, 100], "notional_cap": [100, 200],
    "maint_margin_ratio": [0.05, 0.1], "cum": [0, 5],
}  # fmt: skip


def rows(**changed: list[float]) -> list[tuple[float, ...]]:
    """Two rows in the order of ``COLUMNS``, with some columns changed."""
    columns = GOOD | changed
    return list(zip(*(columns[name] for name in COLUMNS), strict=True))


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"initial_leverage": [10.5, 5]}, "not whole"),
        ({"initial_leverage": [10, 10]}, "does not fall"),
        ({"initial_leverage": [10, 0]}, "below 1"),
        ({"initial_leverage": [20_000, 5]}, "above 10,000"),
        ({"notional_floor": [1, 100]}, "first floor"),
        ({"notional_floor": [0, 90]}, "a gap or an overlap"),
        ({"notional_floor": [0, 110]}, "a gap or an overlap"),
        ({"notional_cap": [100, 90]}, "at or below its floor"),
        ({"maint_margin_ratio": [0.1, 1.5]}, "rate outside"),
        ({"maint_margin_ratio": [0.1, 0.1]}, "does not rise"),
        ({"cum": [0, float("inf")]}, "not finite"),
        ({"notional_cap": [100, float("nan")]}, "not finite"),
        ({"cum": [1, 6]}, "does not follow"),
        ({"cum": [0, 50]}, "does not follow"),
        ({"cum": [0, 5.02]}, "does not follow"),
    ],
)
def test_each_flaw_is_found_and_named(changed: dict[str, list[float]], reason: str) -> None:
    """Rows from which wrong figures would follow are found, and the reason names the flaw."""
    assert reason in find_flaw(rows(**changed))


def test_valid_tiers_have_no_flaw(published_tiers: dict[str, Any]) -> None:
    """The published tiers pass every check, and so does a cum that Binance has rounded."""
    names = ("initialLeverage", "notionalFloor", "notionalCap", "maintMarginRatio", "cum")
    for tiers in published_tiers.values():
        assert find_flaw([[row[name] for name in names] for row in tiers]) == ""
    assert find_flaw(rows(cum=[0, 5.005])) == ""


def test_no_rows_are_no_tiers() -> None:
    """A symbol without rows has no usable tiers."""
    assert find_flaw([]) == "there are none"
