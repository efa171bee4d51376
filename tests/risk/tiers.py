"""Tiers for the tests of risk: published ones, and any that are valid."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

from leverage_nb.risk.brackets import Brackets

# Published tiers of BTCUSDT, 2026-09-29.
BTCUSDT = [
    (150, 0, 300_000, 0.004, 0),
    (100, 300_000, 800_000, 0.005, 300),
    (75, 800_000, 3_000_000, 0.0065, 1_500),
    (50, 3_000_000, 12_000_000, 0.01, 12_000),
    (25, 12_000_000, 70_000_000, 0.02, 132_000),
    (20, 70_000_000, 100_000_000, 0.025, 482_000),
    (10, 100_000_000, 230_000_000, 0.05, 2_982_000),
    (5, 230_000_000, 480_000_000, 0.1, 14_482_000),
    (4, 480_000_000, 600_000_000, 0.125, 26_482_000),
    (3, 600_000_000, 800_000_000, 0.15, 41_482_000),
    (2, 800_000_000, 1_200_000_000, 0.25, 121_482_000),
    (1, 1_200_000_000, 1_800_000_000, 0.5, 421_482_000),
]


def brackets(rows: Sequence[Sequence[float]], symbol: str = "BTCUSDT") -> Brackets:
    """Build tiers from rows in the order of ``COLUMNS``."""
    return Brackets.from_rows(symbol, rows)


@st.composite
def tier_sets(draw: st.DrawFn) -> list[tuple[float, ...]]:
    """Draw tiers that satisfy the invariants of all 907 published symbols."""
    count = draw(st.integers(1, 12))
    leverages = sorted(draw(st.sets(st.integers(2, 150), min_size=count - 1, max_size=count - 1)), reverse=True)
    widths = draw(st.lists(st.integers(1, 10**8), min_size=count, max_size=count))
    rates = sorted(draw(st.sets(st.integers(1, 9_999), min_size=count, max_size=count)))
    rows, floor, cum, before = [], 0, 0.0, 0.0
    for leverage, width, rate in zip([*leverages, 1], widths, rates, strict=True):
        ratio = rate / 10_000
        cum += floor * (ratio - before)
        rows.append((leverage, floor, floor + width, ratio, cum))
        floor, before = floor + width, ratio
    return rows
