"""The leverages for positions of given sizes, on the simulator's opening account."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from leverage_nb.account import Account
from leverage_nb.changes.plan import Plan
from leverage_nb.errors import InvalidInput, UnexpectedAnswer, UnknownSymbol
from leverage_nb.simulator import Simulator
from tests.arrivals import CHANGE, record_requests
from tests.conftest import connect_to

# Of 94,362.50 USDT an order of SOLUSDT uses 650, at 20x; BTCUSDT is long 432,062.50 at 20x, ETHUSDT short and isolated.


def test_the_example_by_hand(account: Account) -> None:
    """2M and a short of 300k: (2,000,000 + 300,000) / 28 = 82,142.86 is within 90 % of 94,362.50, / 27 is not.

    The order of SOLUSDT makes a short no larger: 13,000 bought leave 287,000.
    """
    sized = account.size_plan({"btc/usdt": 2_000_000, "SOLUSDT": "-300k"})
    assert (sized.fits, sized.leverages) == (True, {"BTCUSDT": 28, "SOLUSDT": 28})
    assert sized.headline == "2 positions: 28x is the lowest common leverage that fits"
    text = str(sized)
    assert "82,142.86 of 94,362.50 USDT, 87.1%, 12,219.64 available; at most 90% to be used" in text
    assert "%%leverage\n  BTCUSDT 28\n  SOLUSDT 28" in text


def test_one_symbol_beside_the_orders_of_another(account: Account) -> None:
    """2M of BTCUSDT: 2,000,000 / 24 + 650 = 83,983.33 is within 84,926.25, / 23 is not. The text has the command."""
    sized = account.size_plan({"BTCUSDT": "2m"})
    assert sized.headline == "BTCUSDT long 2M: 24x is the lowest leverage that fits"
    assert sized.card().examples == ("%leverage BTCUSDT 24",)
    assert "liquidation" in sized.card().note  # in cross mode leverage does not move it
    assert account.size_plan({"BTCUSDT": "2m"}, use=1).leverages == {"BTCUSDT": 22}


def test_it_sends_nothing_and_its_plan_can_be_applied(account: Account, simulator: Simulator) -> None:
    """Reading sends no change; the plan has these leverages, and sets them."""
    arrived = record_requests(simulator)
    sized = account.size_plan({"BTCUSDT": "2m", "SOLUSDT": "-300k"})
    assert CHANGE not in arrived
    plan = sized.plan()
    assert isinstance(plan, Plan)
    assert {row.symbol: row.after for row in plan.rows} == sized.leverages
    assert {row.status for row in plan.apply().rows} == {"applied"}
    assert simulator.exchange.account.leverage("SOLUSDT") == 28
    again = account.size_plan({"BTCUSDT": "2m", "SOLUSDT": "-300k"})
    assert "The leverage is set already." in str(again)


def test_the_frame(account: Account) -> None:
    """Columns, dtypes and figures; a cross position has no distance."""
    frame = account.size_plan({"ETHUSDT": "-400k", "BTCUSDT": 5e5}).to_frame()
    assert frame.index.tolist() == ["ETHUSDT", "BTCUSDT"]
    assert list(frame.columns) == [
        "notional", "before", "after", "limited_by", "initial_margin", "room", "distance", "margin_type",
        "margin_asset", "reason",
    ]  # fmt: skip
    figures = frame[["notional", "before", "after", "initial_margin", "room", "distance"]]
    assert figures.dtypes.astype(str).tolist() == ["float64", "Int64", "int64", "float64", "float64", "float64"]
    assert frame["limited_by"].tolist() == ["isolated", ""]
    assert (frame.loc["ETHUSDT", "after"], frame.loc["BTCUSDT", "after"]) == (10, 9)
    assert 0 < frame.loc["ETHUSDT", "distance"] < 0.2
    assert math.isnan(frame.loc["BTCUSDT", "distance"])
    assert "SIMULATOR" in repr(frame)


def test_missing_margin_says_how_much_and_what_binds(account: Account) -> None:
    """9M of BTCUSDT at 50x, the highest of its tier: (180,000 + 650) / 0.9 - 94,362.50 = 106,359.73 USDT missing."""
    sized = account.size_plan({"BTCUSDT": "9m"})
    assert sized.headline == "No leverage fits BTCUSDT long 9M: 106,359.73 USDT more margin is needed"
    assert "20x → 50x  tier" in str(sized)
    with pytest.raises(InvalidInput, match=r"106,359\.73 USDT more margin is needed"):
        sized.plan()


def test_a_guard_that_binds_says_how_to_raise_it(simulator: Simulator) -> None:
    """24x would fit 2M, but the guard is 20x."""
    sized = connect_to(simulator, max_leverage=20).size_plan({"BTCUSDT": "2m"})
    assert not sized.fits
    assert "24x would fit. 24x is above your guard of 20x" in sized.advice
    assert "connect(..., max_leverage=24)" in sized.advice
    assert sized.to_frame()["limited_by"].tolist() == ["guard"]


def test_positions_of_two_assets_have_two_balances(account: Account) -> None:
    """A symbol in BTC uses the BTC balance; one common leverage serves both."""
    sized = account.size_plan({"BTCUSDT": "1m", "ETHBTC": 5})
    assert sized.leverages == {"BTCUSDT": 12, "ETHBTC": 12}  # 5 / 0.45 = 11.1; 1M / 84,276.25 = 11.9
    assert [pool.unit for pool in sized.sizing.pools] == ["USDT", "BTC"]


def test_a_refusal_that_is_expected_now_is_shown(account: Account) -> None:
    """A smaller size may be allowed at a leverage that the position of now exceeds."""
    sized = account.size_plan({"BTCUSDT": 3e5}, use=0.03)  # 300,000 / (0.03 x 94,362.50 - 650) = 137.6
    assert sized.leverages == {"BTCUSDT": 138}
    assert "would be refused" in sized.expected["BTCUSDT"]
    assert "-2027" in str(sized)


def test_hedge_mode_keeps_the_other_side(account: Account, simulator: Simulator) -> None:
    """In hedge mode a short is sized beside the long that is open."""
    books = simulator.exchange.account
    books.orders.clear()
    books.positions = [position for position in books.positions if position.symbol == "BTCUSDT"]
    books.positions[0].side, books.dual_side = "LONG", True
    (row,) = account.size_plan({"BTCUSDT": "-400k"}).sizing.positions
    assert row.margin == pytest.approx((432_062.5 + 400_000) / row.after)


def test_a_series_is_a_mapping_too(account: Account) -> None:
    """A Series of pandas, numpy's numbers and Decimals are accepted."""
    series = pd.Series({"BTCUSDT": np.float64(2e6), "SOLUSDT": Decimal(-300_000)})
    assert account.size_plan(series).leverages == {"BTCUSDT": 28, "SOLUSDT": 28}


@pytest.mark.parametrize(
    "size",
    [0, -0.0, math.nan, math.inf, "0", "much", "", "-", "--2m", "2m long", True, None, [2e6], Decimal("sNaN"), 10**400],
)
def test_a_size_that_is_none(account: Account, size: Any) -> None:
    """A size is a number or a text other than 0, and finite."""
    with pytest.raises(InvalidInput, match="is not a notional"):
        account.size_plan({"BTCUSDT": size})


@pytest.mark.parametrize("sizes", ["BTCUSDT", 2e6, None, ["BTCUSDT"], [("BTCUSDT", 2e6)]])
def test_sizes_that_are_no_mapping(account: Account, sizes: Any) -> None:
    """Sizes are a mapping or a Series; the error shows an example."""
    with pytest.raises(InvalidInput, match="a mapping or a Series") as caught:
        account.size_plan(sizes)
    assert "account.size_plan({" in caught.value.hint


def test_other_bad_input(account: Account) -> None:
    """An empty mapping, unknown and repeated symbols, a bad share and a size above every tier are errors."""
    with pytest.raises(InvalidInput, match="no position to size"):
        account.size_plan({})
    with pytest.raises(UnknownSymbol, match="BTCUSTD"):
        account.size_plan({"BTCUSTD": "2m"})
    with pytest.raises(InvalidInput, match="A symbol is text"):
        account.size_plan({7: "2m"})
    with pytest.raises(InvalidInput, match="BTCUSDT is there twice"):
        account.size_plan({"BTCUSDT": "2m", "btc/usdt": "2m"})
    with pytest.raises(InvalidInput, match="use is the share"):
        account.size_plan({"BTCUSDT": "2m"}, use=90)
    with pytest.raises(InvalidInput, match="No leverage of BTCUSDT allows"):
        account.size_plan({"BTCUSDT": "2b"})
    with pytest.raises(InvalidInput, match=r"UXLINKUSDT is not trading \(SETTLING\)"):
        account.size_plan({"UXLINKUSDT": 100})


def test_a_leverage_that_is_not_set() -> None:
    """A symbol whose leverage is not set is sized like any other."""
    with Simulator(profile="demo") as simulator, connect_to(simulator) as account:
        sized = account.size_plan({"BNBUSDT": 1e5})
    assert (sized.sizing.positions[0].before, sized.leverages) == (None, {"BNBUSDT": 2})
    assert "not set → 2x" in str(sized)


def test_an_unknown_position_is_an_error(account: Account, simulator: Simulator) -> None:
    """If a position cannot be read, its margin is unknown, and no leverage is named."""
    simulator.exchange.account.positions[0].entry_price = Decimal("NaN")
    with pytest.raises(UnexpectedAnswer):
        account.size_plan({"SOLUSDT": 1e5})
