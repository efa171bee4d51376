"""Tiers give the figures of Binance's published tables."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leverage_nb.account import Account
from leverage_nb.binance.messages import decode_brackets
from leverage_nb.binance.reader import make_bracket_table
from leverage_nb.errors import InvalidInput, InvalidLeverage, NotionalBeyondTiers
from leverage_nb.risk.bracket_checks import COLUMNS
from leverage_nb.risk.brackets import Brackets, BracketTable
from tests.risk.tiers import BTCUSDT, brackets, tier_sets


@pytest.fixture(scope="module")
def btcusdt() -> Brackets:
    """The published tiers of BTCUSDT."""
    return brackets(BTCUSDT)


@pytest.mark.parametrize(
    ("notional", "leverage"),
    [(0, 150), (1, 150), (300_000, 150), (300_000.01, 100), (800_000, 100), (12_000_001, 25), (1.8e9, 1)],
)
def test_a_notional_at_a_cap_belongs_to_the_lower_tier(btcusdt: Brackets, notional: float, leverage: int) -> None:
    """A notional exactly at a cap belongs to the lower tier, and 0 to the first; the sign is ignored."""
    assert btcusdt.max_leverage(notional) == leverage
    assert btcusdt.max_leverage(-notional) == leverage


@pytest.mark.parametrize(
    ("leverage", "notional"),
    [(150, 300_000), (101, 300_000), (100, 800_000), (21, 70_000_000), (20, 100_000_000), (1, 1.8e9)],
)
def test_max_notional_between_offered_leverages(btcusdt: Brackets, leverage: int, notional: float) -> None:
    """A leverage between two offered ones allows what the higher of them allows."""
    assert btcusdt.max_notional(leverage) == notional


def test_max_notional_agrees_with_reported_answers() -> None:
    """Two maxNotionalValue figures from public reports follow from the tiers of that time."""
    # BTCUSDT 100x -> "500000" (2024), ADAUSDT 15x -> "250000" (2022).
    assert brackets([(125, 0, 50_000, 0.004, 0), (100, 50_000, 500_000, 0.005, 50)]).max_notional(100) == 500_000
    ada = brackets([(50, 0, 50_000, 0.01, 0), (25, 50_000, 250_000, 0.02, 500), (10, 250_000, 1e6, 0.05, 8_000)])
    assert ada.max_notional(15) == 250_000


def test_maintenance_margin_of_the_faq_example() -> None:
    """Binance's example gives a cum of 250,000 x (1% - 0.5%) + 50 = 1,300, and the margin follows from it."""
    faq = brackets([(125, 0, 50_000, 0.004, 0), (100, 50_000, 250_000, 0.005, 50), (50, 250_000, 1e6, 0.01, 1_300)])
    assert faq.maintenance_margin(500_000) == pytest.approx(500_000 * 0.01 - 1_300)
    assert faq.maintenance_margin(264_000) == pytest.approx(264_000 * 0.01 - 1_300)


@pytest.mark.parametrize(
    ("notional", "rate", "cum", "margin"),
    [(109.488 * 31967.27, 0.025, 16300, 71200.81144), (3683.979 * 1335.18, 0.10, 135365, 356512.508122)],
)
def test_published_maintenance_margins(notional: float, rate: float, cum: float, margin: float) -> None:
    """The maintenance margins of Binance's example of two cross positions are reproduced."""
    floor = cum / (rate - 0.004)  # where a tier with this rate and cum follows one of 0.4%
    tiers = brackets([(20, 0, floor, 0.004, 0), (10, floor, 1e8, rate, cum)])
    assert tiers.maintenance_margin(notional) == pytest.approx(margin, abs=5e-6)


def test_maintenance_margin_is_continuous_at_published_caps(published_tiers: dict[str, Any]) -> None:
    """At every published cap both neighbouring tiers give the same maintenance margin."""
    for symbol, rows in published_tiers.items():
        tiers = make_bracket_table(*decode_brackets(wire({symbol: rows}), ""))[symbol]
        for upper in rows[1:]:
            edge = upper["notionalFloor"]
            from_above = edge * upper["maintMarginRatio"] - upper["cum"]
            assert tiers.maintenance_margin(edge) == pytest.approx(from_above), (symbol, edge)


def test_the_result_has_the_type_of_the_argument(btcusdt: Brackets) -> None:
    """A scalar gives a Python scalar, an array the same shape, a Series the same index."""
    assert type(btcusdt.max_leverage(5)) is int
    assert type(btcusdt.max_notional(np.int64(5))) is float
    grid = btcusdt.max_leverage(np.array([[0.0, 3e5], [8e5, 1e9]]))
    assert grid.tolist() == [[150, 150], [100, 2]]
    assert grid.dtype == np.int64
    series = btcusdt.maintenance_margin(pd.Series([1e5, 1e6], index=["a", "b"]))
    assert series.index.tolist() == ["a", "b"]
    assert series["a"] == pytest.approx(400)
    assert btcusdt.max_notional([1, 150]).tolist() == [1.8e9, 3e5]
    assert btcusdt.max_leverage([]).tolist() == []


def test_a_notional_beyond_the_last_cap_raises(btcusdt: Brackets) -> None:
    """A notional beyond the last tier raises an error with the cap; it gives NaN only with beyond="nan"."""
    for question in (btcusdt.max_leverage, btcusdt.maintenance_margin):
        for notional in (1.8e9 + 1, float("inf"), float("nan"), [1.0, 2e9]):
            with pytest.raises(NotionalBeyondTiers) as caught:
                question(notional)
            assert caught.value.notional_cap == 1.8e9
        answer = question([1e5, 2e9, float("nan")], beyond="nan")
        assert np.isfinite(answer[0])
        assert np.isnan(answer[1:]).all()


def test_invalid_arguments_raise_invalid_input(btcusdt: Brackets) -> None:
    """A misspelt option, a number beyond float64 or a word raises InvalidInput."""
    with pytest.raises(InvalidInput, match="rasie"):
        btcusdt.max_leverage(9e9, beyond="rasie")  # type: ignore[arg-type]  # the error under test
    for question in (btcusdt.max_leverage, btcusdt.maintenance_margin, btcusdt.max_notional):
        for value in (10**400, "much", None):
            with pytest.raises(InvalidInput):
                question(value)


@pytest.mark.parametrize("leverage", [0, -5, 151, 10.5, float("nan"), [10, 200]])
def test_max_notional_refuses_a_leverage_that_the_symbol_does_not_offer(btcusdt: Brackets, leverage: Any) -> None:
    """An invalid leverage raises an error with the symbol's maximum."""
    with pytest.raises(InvalidLeverage) as caught:
        btcusdt.max_notional(leverage)
    assert caught.value.max_leverage == 150


@given(rows=tier_sets(), share=st.floats(0, 1))
def test_a_notional_fits_exactly_up_to_its_max_leverage(rows: list[tuple[float, ...]], share: float) -> None:
    """A notional fits at its max_leverage, and does not fit at the next higher leverage."""
    tiers = brackets(rows)
    notional = share * tiers.last_cap
    leverage = tiers.max_leverage(notional)
    assert notional <= tiers.max_notional(leverage)
    if leverage < tiers.symbol_max_leverage:
        assert notional > tiers.max_notional(leverage + 1)


@given(rows=tier_sets(), share=st.floats(0, 1))
def test_maintenance_margin_is_the_sum_over_tiers(rows: list[tuple[float, ...]], share: float) -> None:
    """Rate x notional - cum equals charging each tier's rate on the slice of the notional inside it."""
    tiers = brackets(rows)
    notional = share * tiers.last_cap
    slices = sum(max(0.0, min(notional, cap) - floor) * rate for _, floor, cap, rate, _ in rows)
    assert tiers.maintenance_margin(notional) == pytest.approx(slices, rel=1e-9, abs=1e-6)


@given(rows=tier_sets())
def test_frames_round_trip(rows: list[tuple[float, ...]]) -> None:
    """to_frame and from_frame preserve every figure, whatever the order of the rows."""
    tiers = brackets(rows)
    frame = tiers.to_frame()
    assert frame.index.name == "bracket"
    assert list(frame.columns) == list(COLUMNS)
    frame.attrs["symbol"] = "BTCUSDT"
    again = Brackets.from_frame(frame.sample(frac=1, random_state=1))
    for name in COLUMNS:
        assert (getattr(again, name) == getattr(tiers, name)).all()


def test_from_frame_names_what_is_wrong(btcusdt: Brackets) -> None:
    """A frame that is not the tiers of one symbol is refused, with the reason."""
    frame = BracketTable({"BTCUSDT": btcusdt, "XUSDT": brackets(BTCUSDT, "XUSDT")}).to_frame()
    with pytest.raises(InvalidInput, match="2 symbols"):
        Brackets.from_frame(frame)
    with pytest.raises(InvalidInput, match="has no rows of FOO"):
        Brackets.from_frame(frame, "FOO")
    with pytest.raises(InvalidInput, match="no column cum"):
        Brackets.from_frame(frame.drop(columns="cum"))
    with pytest.raises(InvalidInput, match="gap or an overlap"):
        Brackets.from_frame(btcusdt.to_frame().drop(index=3))
    assert Brackets.from_frame(frame, "XUSDT").symbol == "XUSDT"


def wire(tiers: dict[str, list[dict[str, Any]]]) -> bytes:
    """Return tiers as the exchange sends them."""
    return json.dumps([{"symbol": symbol, "brackets": rows} for symbol, rows in tiers.items()]).encode()


def test_from_frame_refuses_text_and_another_symbol() -> None:
    """A frame of one symbol is refused for another symbol, and so is a column with text."""
    frame = brackets(BTCUSDT).to_frame()
    frame.attrs["symbol"] = "BTCUSDT"
    with pytest.raises(InvalidInput, match="has rows of BTCUSDT, not of ETHUSDT"):
        Brackets.from_frame(frame, "ETHUSDT")
    with pytest.raises(InvalidInput, match="A cum is a number"):
        Brackets.from_frame(frame.astype({"cum": object}).replace({"cum": {0.0: "none"}}))


def test_the_error_has_the_leverage_as_given() -> None:
    """The error names the leverage without rounding, however large it is."""
    with pytest.raises(InvalidLeverage, match="1234567") as caught:
        brackets(BTCUSDT).max_notional(1_234_567)
    assert caught.value.leverage == 1_234_567


def test_texts_are_read_as_typed() -> None:
    """Texts are read like numbers, alone and in arrays, and the error for another text names it."""
    tiers = brackets(BTCUSDT)
    assert tiers.max_leverage("2m") == tiers.max_leverage(2_000_000)
    assert tiers.max_leverage(["2m", "300k"]).tolist() == tiers.max_leverage([2_000_000, 300_000]).tolist()
    assert tiers.max_notional("10x") == tiers.max_notional(10)
    assert tiers.maintenance_margin("2m") == tiers.maintenance_margin(2e6)
    with pytest.raises(InvalidInput, match="much is not a notional"):
        tiers.max_leverage("much")
    with pytest.raises(InvalidLeverage, match=r"\+5 is not a leverage for BTCUSDT: a leverage has no sign"):
        tiers.max_notional("+5")
    assert len(Brackets.from_frame(BracketTable({"BTCUSDT": tiers}).to_frame(), "btc/usdt")) == len(tiers)


def test_the_figures_of_tiers_cannot_be_changed(account: Account) -> None:
    """The arrays of tiers are read-only: every preview of the next minutes uses them too."""
    tiers = account.tiers("BTCUSDT")
    for name in ("initial_leverage", "notional_floor", "notional_cap", "maint_margin_ratio", "cum"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(tiers, name)[0] = 1
