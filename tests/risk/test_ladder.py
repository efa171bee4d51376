"""The ladder shows a new isolated position at every leverage."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leverage_nb.errors import InvalidInput
from leverage_nb.risk.ladder import make_ladder
from leverage_nb.risk.liquidation import liquidation_price
from tests.risk.tiers import BTCUSDT, brackets, tier_sets

COLUMNS = [
    "max_notional", "max_quantity", "initial_margin", "maintenance_margin", "liquidation_long", "liquidation_short",
    "distance_long", "distance_short",
]  # fmt: skip


def test_a_row_agrees_with_figures_calculated_by_hand() -> None:
    """50,000 USDT of BTCUSDT at 10x needs 5,000 of margin, and has the published liquidation prices of 1 BTC."""
    ladder = make_ladder(brackets(BTCUSDT), 50_000, 50_000)
    assert list(ladder.columns) == COLUMNS
    assert (ladder.index.name, ladder.index[0], ladder.index[-1]) == ("leverage", 1, 150)
    assert set(ladder.dtypes.astype(str)) == {"float64"}
    row = ladder.loc[10]
    assert row["initial_margin"] == 5_000
    assert row["maintenance_margin"] == 200  # 50,000 x 0.4 %
    assert row["liquidation_long"] == pytest.approx(45180.722891566)
    assert row["liquidation_short"] == pytest.approx(54780.876494023)
    assert row["distance_long"] == pytest.approx(1 - 45180.722891566 / 50_000)
    assert row["distance_short"] == pytest.approx(54780.876494023 / 50_000 - 1)
    assert (row["max_notional"], row["max_quantity"]) == (230e6, 4_600)


def test_a_long_at_1x_has_no_liquidation_price() -> None:
    """A long at 1x is covered down to price 0: its distance is infinite. The short has a liquidation price."""
    row = make_ladder(brackets(BTCUSDT), 50_000, 50_000).loc[1]
    assert np.isnan(row["liquidation_long"])
    assert np.isinf(row["distance_long"])
    assert 0.9 < row["distance_short"] < 1


def test_rows_that_are_not_allowed_are_nan() -> None:
    """Above 100x, BTCUSDT does not allow 400,000: those rows have only the maxima."""
    ladder = make_ladder(brackets(BTCUSDT), 400_000, 50_000)
    assert ladder.loc[100].notna().all()
    assert ladder.loc[101:, COLUMNS[2:]].isna().all().all()
    assert (ladder.loc[101:, "max_notional"] == 300_000).all()
    assert make_ladder(brackets(BTCUSDT), 5e9, 50_000)[COLUMNS[2:]].isna().all().all()


@given(rows=tier_sets(), share=st.floats(0.0001, 1), mark=st.floats(0.001, 1e6))
def test_more_leverage_is_less_distance(rows: list[tuple[float, ...]], share: float, mark: float) -> None:
    """Higher leverage means less margin and a nearer liquidation price, for long and short."""
    tiers = brackets(rows)
    notional = share * tiers.last_cap
    ladder = make_ladder(tiers, notional, mark)
    allowed = ladder.dropna(subset="initial_margin")
    assert allowed.index.max() == tiers.max_leverage(notional)
    assert (np.diff(allowed["initial_margin"]) < 0).all()
    for side, sign in (("long", 1), ("short", -1)):
        distances = allowed[f"distance_{side}"].to_numpy()
        assert (distances[1:] <= distances[:-1]).all()
        leverage = int(allowed.index[-1])
        alone = liquidation_price(tiers, sign * notional / mark, mark, notional / leverage)
        assert allowed[f"liquidation_{side}"].iloc[-1] == pytest.approx(alone, nan_ok=True)


@pytest.mark.parametrize(("notional", "mark"), [(0, 1), (-5, 1), (float("nan"), 1), (1, 0), (1, float("inf"))])
def test_sizes_must_be_above_zero(notional: float, mark: float) -> None:
    """Notional and mark price must be finite and above 0."""
    with pytest.raises(InvalidInput):
        make_ladder(brackets(BTCUSDT), notional, mark)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"notional": "much"}, "much is not a notional"), ({"notional": True}, "True is not a notional"),
        ({"mark_price": "at market"}, "at market is not a mark price"),
        ({"mark_price": Decimal("sNaN")}, "sNaN is not a mark price"), ({"mark_price": 10**400}, "not a mark price"),
    ],
)  # fmt: skip
def test_a_wrong_size_is_an_invalid_input(wrong: dict[str, Any], message: str) -> None:
    """A word or a truth value is refused with InvalidInput, not with a TypeError."""
    with pytest.raises(InvalidInput, match=message):
        make_ladder(brackets(BTCUSDT), **{"notional": 50_000, "mark_price": 86_000} | wrong)
