"""Leverages and notionals as people write them."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from leverage_nb.errors import InvalidInput, InvalidLeverage
from leverage_nb.risk.user_input import parse_leverage, parse_notional


@pytest.mark.parametrize("value", [10, "10", "10x", " 10X ", "+10", 10.0, np.int64(10), np.float64(10), Decimal(10)])
def test_a_whole_leverage_is_read_however_it_is_written(value: Any) -> None:
    """10, "10", "10x" and the 10.0 of a DataFrame all mean 10."""
    assert parse_leverage(value) == 10


@pytest.mark.parametrize(
    "value",
    [
        0,
        -5,
        "0",
        "-5",
        10.5,
        "10.5",
        "1e9",
        "ten",
        "",
        None,
        True,
        np.True_,
        float("nan"),
        float("inf"),
        "١٠",
        10**400,
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("1E+999999999"),
        "1" * 100_000,
        "0" * 50 + "10",
        pytest.param(10**10_000, id="an enormous int"),
        [10],
    ],
)
def test_anything_else_is_refused(value: Any) -> None:
    """What is not a whole number of 1 or more is refused, True and Arabic digits included."""
    with pytest.raises(InvalidLeverage):
        parse_leverage(value)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("250k", 250e3), ("2M", 2e6), ("1.5b", 1.5e9), ("2e6", 2e6), ("2,000,000", 2e6), ("2_000", 2000.0), (".5", 0.5),
        ("5.", 5.0), ("1.5 k", 1500.0), ("1.e3", 1000.0), (" 10 ", 10.0), (50_000, 5e4), (np.float32(2), 2.0),
        (Decimal("1.5"), 1.5), ("1e30", 1e30),
    ],
)  # fmt: skip
def test_a_notional_is_read_however_it_is_written(written: Any, value: float) -> None:
    """Numbers and their usual short forms are read."""
    assert parse_notional(written) == value


@pytest.mark.parametrize(
    "written",
    [
        "", "much", "-5", "0", "1.2.3", "1e", "5kk", "1e31", "9" * 40, "1e999", True, None, float("nan"), float("inf"),
        Decimal("sNaN"), 10**400, [5], "\u0661\u0660",
    ],
)  # fmt: skip
def test_what_is_no_notional_is_refused(written: Any) -> None:
    """Anything else, and what no figure can be computed from, is refused."""
    with pytest.raises(InvalidInput, match="is not a notional"):
        parse_notional(written)


@pytest.mark.parametrize(
    "written",
    ["1" * 32_000 + "x", "1_" * 100_000 + "x", " " * 1_000_000 + "x", "1" * 39 + "x", "1" * 10 + " " * 29 + "x"],
)
def test_long_texts_are_refused_at_once(written: str) -> None:
    """However long a text is, it costs no time, and is not repeated."""
    started = time.perf_counter()
    for parse in (parse_notional, parse_leverage):
        with pytest.raises(InvalidInput) as caught:
            parse(written)
        assert len(str(caught.value)) < 200
    assert time.perf_counter() - started < 0.5
