"""The tiers and the questions they answer, held against Binance's published tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leverage_nb.binance.messages import decode_brackets
from leverage_nb.binance.reader import make_bracket_table
from leverage_nb.errors import InvalidInput, InvalidLeverage, NotionalBeyondTiers
from leverage_nb.risk.bracket_checks import COLUMNS, find_flaw, find_flawed_symbols
from leverage_nb.risk.brackets import Brackets, BracketTable
from leverage_nb.risk.ladder import make_ladder

# Section 9 of the published tables: BTCUSDT, 2026-09-29.
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


def brackets(rows: list[tuple[float, ...]], symbol: str = "BTCUSDT") -> Brackets:
    """Tiers of rows in the order of ``COLUMNS``."""
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    frame.attrs["symbol"] = symbol
    return Brackets.from_frame(frame)


@pytest.fixture(scope="module")
def btcusdt() -> Brackets:
    """The published tiers of BTCUSDT."""
    return brackets(BTCUSDT)


@pytest.mark.parametrize(
    ("notional", "leverage"),
    [(0, 150), (1, 150), (300_000, 150), (300_000.01, 100), (800_000, 100), (12_000_001, 25), (1.8e9, 1)],
)
def test_max_leverage_at_published_edges(btcusdt: Brackets, notional: float, leverage: int) -> None:
    """A notional exactly at a cap belongs to the lower tier, and 0 to the first."""
    assert btcusdt.max_leverage(notional) == leverage
    assert btcusdt.max_leverage(-notional) == leverage


@pytest.mark.parametrize(
    ("leverage", "notional"),
    [(150, 300_000), (101, 300_000), (100, 800_000), (21, 70_000_000), (20, 100_000_000), (1, 1.8e9)],
)
def test_max_notional_between_offered_leverages(btcusdt: Brackets, leverage: int, notional: float) -> None:
    """A leverage between two offered ones allows what the higher of them allows."""
    assert btcusdt.max_notional(leverage) == notional


def test_max_notional_agrees_with_answers_seen_on_the_wire() -> None:
    """Three maxNotionalValue figures from public reports follow from the tiers of their day."""
    # BTCUSDT 100x -> "500000" (2024), ADAUSDT 15x -> "250000" (2022), BTCUSDT 5x -> "50000000" (2020).
    assert brackets([(125, 0, 50_000, 0.004, 0), (100, 50_000, 500_000, 0.005, 50)]).max_notional(100) == 500_000
    ada = brackets([(50, 0, 50_000, 0.01, 0), (25, 50_000, 250_000, 0.02, 500), (10, 250_000, 1e6, 0.05, 8_000)])
    assert ada.max_notional(15) == 250_000


def test_maintenance_margin_of_the_faq_example() -> None:
    """Binance's own check: 250,000 x (1% - 0.5%) + 50 = 1,300, and the margin of 500,000 follows from it."""
    faq = brackets([(125, 0, 50_000, 0.004, 0), (100, 50_000, 250_000, 0.005, 50), (50, 250_000, 1e6, 0.01, 1_300)])
    assert faq.maintenance_margin(500_000) == pytest.approx(500_000 * 0.01 - 1_300)
    assert faq.maintenance_margin(264_000) == pytest.approx(264_000 * 0.01 - 1_300)


def test_maintenance_margin_is_continuous_at_published_caps(published_tiers: dict[str, Any]) -> None:
    """At every published cap both neighbouring tiers give the same margin: cum is read right."""
    for symbol, rows in published_tiers.items():
        tiers = make_bracket_table(*decode_brackets(_wire({symbol: rows}), ""))[symbol]
        for upper in rows[1:]:
            edge = upper["notionalFloor"]
            from_above = edge * upper["maintMarginRatio"] - upper["cum"]
            assert tiers.maintenance_margin(edge) == pytest.approx(from_above), (symbol, edge)


def test_arrays_answer_in_kind(btcusdt: Brackets) -> None:
    """A scalar gives a Python scalar, an array its shape, a Series its index."""
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


def test_beyond_the_last_cap_is_said(btcusdt: Brackets) -> None:
    """What lies in no tier raises and names the cap; NaN only where it was asked for."""
    for question in (btcusdt.max_leverage, btcusdt.maintenance_margin):
        for notional in (1.8e9 + 1, float("inf"), float("nan"), [1.0, 2e9]):
            with pytest.raises(NotionalBeyondTiers) as caught:
                question(notional)
            assert caught.value.notional_cap == 1.8e9
        answer = question([1e5, 2e9, float("nan")], beyond="nan")
        assert np.isfinite(answer[0])
        assert np.isnan(answer[1:]).all()


def test_questions_that_make_no_sense(btcusdt: Brackets) -> None:
    """A misspelt option, a number beyond float64 or a word is a mistake, not another kind of error."""
    with pytest.raises(InvalidInput, match="rasie"):
        btcusdt.max_leverage(9e9, beyond="rasie")  # type: ignore[arg-type]  # the slip under test
    for question in (btcusdt.max_leverage, btcusdt.maintenance_margin, btcusdt.max_notional):
        for value in (10**400, "much", None):
            with pytest.raises(InvalidInput):
                question(value)


@pytest.mark.parametrize("leverage", [0, -5, 151, 10.5, float("nan"), [10, 200]])
def test_max_notional_refuses_what_the_symbol_does_not_offer(btcusdt: Brackets, leverage: Any) -> None:
    """An impossible leverage raises and names the symbol's real maximum."""
    with pytest.raises(InvalidLeverage) as caught:
        btcusdt.max_notional(leverage)
    assert caught.value.max_leverage == 150


@st.composite
def tier_sets(draw: st.DrawFn) -> list[tuple[float, ...]]:
    """Any tiers that satisfy the invariants that hold for all 907 published symbols."""
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


@given(rows=tier_sets(), share=st.floats(0, 1))
def test_a_notional_fits_exactly_up_to_its_max_leverage(rows: list[tuple[float, ...]], share: float) -> None:
    """max_leverage and max_notional are each other's inverse: N fits at its maximum, and not one above it."""
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
    """to_frame and from_frame lose nothing, in whatever order the rows come."""
    tiers = brackets(rows)
    frame = tiers.to_frame()
    assert frame.index.name == "bracket"
    assert list(frame.columns) == list(COLUMNS)
    frame.attrs["symbol"] = "BTCUSDT"
    again = Brackets.from_frame(frame.sample(frac=1, random_state=1))
    for name in COLUMNS:
        assert (getattr(again, name) == getattr(tiers, name)).all()


def test_from_frame_says_what_is_wrong(btcusdt: Brackets) -> None:
    """A frame that is not one symbol's tiers is refused with the reason."""
    frame = BracketTable.of([btcusdt, brackets(BTCUSDT, "XUSDT")]).to_frame()
    with pytest.raises(InvalidInput, match="2 symbols"):
        Brackets.from_frame(frame)
    with pytest.raises(InvalidInput, match="holds no FOO"):
        Brackets.from_frame(frame, "FOO")
    with pytest.raises(InvalidInput, match="no column cum"):
        Brackets.from_frame(frame.drop(columns="cum"))
    with pytest.raises(InvalidInput, match="gap or an overlap"):
        Brackets.from_frame(btcusdt.to_frame().drop(index=3))
    assert Brackets.from_frame(frame, "XUSDT").symbol == "XUSDT"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"initial_leverage": [10.5, 5]}, "not whole"),
        ({"initial_leverage": [10, 10]}, "does not fall"),
        ({"initial_leverage": [10, 0]}, "below 1"),
        ({"notional_floor": [1, 100]}, "first floor"),
        ({"notional_cap": [100, 90]}, "at or below its floor"),
        ({"maint_margin_ratio": [0.1, 1.5]}, "rate outside"),
        ({"cum": [0, np.inf]}, "not finite"),
        ({"cum": [1, 6]}, "does not follow"),
        ({"cum": [0, 50]}, "does not follow"),
        ({"maint_margin_ratio": [0.1, 0.1]}, "does not rise"),
    ],
)
def test_find_flaw_names_each_flaw(change: dict[str, list[float]], reason: str) -> None:
    """Rows that would give wrong answers are found, and the flaw is named."""
    good = {
        "initial_leverage": [10, 5],
        "notional_floor": [0, 100],
        "notional_cap": [100, 200],
        "maint_margin_ratio": [0.05, 0.1],
        "cum": [0, 5],
    }
    assert find_flaw({name: np.array(values, float) for name, values in good.items()}) == ""
    assert reason in find_flaw({name: np.array(values, float) for name, values in (good | change).items()})


def _wire(tiers: dict[str, list[dict[str, Any]]]) -> bytes:
    import json

    return json.dumps([{"symbol": symbol, "brackets": rows} for symbol, rows in tiers.items()]).encode()


def tiers_with_cum(*cum: float) -> pd.DataFrame:
    """Three tiers whose cum is given."""
    columns = {
        "initial_leverage": [20, 10, 5], "notional_floor": [0.0, 1e4, 2e4], "notional_cap": [1e4, 2e4, 3e4],
        "maint_margin_ratio": [0.01, 0.02, 0.04], "cum": list(cum),
    }  # fmt: skip
    return pd.DataFrame(columns)


@given(st.lists(st.floats(-3, 3), min_size=2, max_size=2))
def test_a_table_and_a_frame_reject_the_same_tiers(strays: list[float]) -> None:
    """Whether cum follows from the rates is one rule, for one symbol and for all at once."""
    frame = tiers_with_cum(0.0, 100 + strays[0], 500 + strays[1])
    rows = {name: frame[name].to_numpy(np.float64) for name in frame}
    assert find_flawed_symbols(np.array([0, 3]), rows) == ({0: find_flaw(rows)} if find_flaw(rows) else {})


def test_from_frame_takes_no_words_and_no_other_symbol() -> None:
    """A frame of one symbol is not taken for another's; a text among the figures is named."""
    frame = brackets(BTCUSDT).to_frame()
    frame.attrs["symbol"] = "BTCUSDT"
    with pytest.raises(InvalidInput, match="The frame holds BTCUSDT, not ETHUSDT"):
        Brackets.from_frame(frame, "ETHUSDT")
    with pytest.raises(InvalidInput, match="A cum is a number"):
        Brackets.from_frame(frame.astype({"cum": object}).replace({"cum": {0.0: "none"}}))


@pytest.mark.parametrize("slip", [{"notional": "50k"}, {"mark_price": "86000"}, {"notional": True}])
def test_a_ladder_takes_numbers(slip: dict[str, Any]) -> None:
    """Tiers alone read no words: a text is a InvalidInput, not a TypeError."""
    with pytest.raises(InvalidInput, match="of a new position is a number above 0"):
        make_ladder(brackets(BTCUSDT), **{"notional": 50_000, "mark_price": 86_000} | slip)


def test_an_impossible_leverage_is_named_as_it_is() -> None:
    """The error holds a number, however large, and no rounded text."""
    with pytest.raises(InvalidLeverage, match="1234567") as caught:
        brackets(BTCUSDT).max_notional(1_234_567)
    assert caught.value.leverage == 1_234_567
