"""Leverages as people write them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from leverage_nb.errors import InvalidLeverage
from leverage_nb.risk.parsing import parse_leverage


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
        [10],
    ],
)
def test_anything_else_is_refused(value: Any) -> None:
    """What is not a whole number of 1 or more is refused, True and Arabic digits included."""
    with pytest.raises(InvalidLeverage):
        parse_leverage(value)
