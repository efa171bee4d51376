"""Leverages and notionals as people write them."""

from __future__ import annotations

import re
from contextlib import suppress
from decimal import Decimal
from typing import Any

import numpy as np

from leverage_nb.errors import InvalidLeverage, Mistake, as_typed

# Far above any symbol's maximum; beyond it a number is a slip, and too large for an error message.
MOST = 10**9
# Nobody writes a number longer than this.
LONGEST = 40


def parse_leverage(value: Any) -> int:
    """Read ``10``, ``"10"``, ``"10x"`` or a whole float such as ``10.0``, which DataFrames hold; also a Decimal.

    Raises:
        InvalidLeverage: Anything else: 0, negative, fractional, ``True``, words.
    """
    number = 0
    if isinstance(value, str):
        match = re.fullmatch(r"\+?([0-9]{1,9})[xX]?", value.strip()) if len(value) <= LONGEST else None
        number = int(match[1]) if match else 0
    elif isinstance(value, (int, float, np.integer, np.floating, Decimal)) and not isinstance(value, bool):
        with suppress(ArithmeticError):  # a signalling NaN is compared with nothing
            number = int(value) if 1 <= value <= MOST and value == int(value) else 0
    if not 1 <= number <= MOST:
        raise InvalidLeverage(value)
    return number


_NOTIONAL = re.compile(r"([0-9][0-9_,]*(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?|\.[0-9]+)\s?([kmbtKMBT]?)")
# Far beyond any figure: what is computed from those between never overflows. The wire's are bounded by the larger too.
SMALLEST, LARGEST = 1e-30, 1e30
_SIZES = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}


def parse_notional(written: Any) -> float:
    """Read a number, or ``250k``, ``2m``, ``1.5b``, ``2e6``, ``2,000,000``.

    Raises:
        Mistake: Anything else, and what is not above 0.
    """
    value = 0.0
    if isinstance(written, str):
        match = _NOTIONAL.fullmatch(written.strip()) if len(written) <= LONGEST else None
        value = float(re.sub("[_,]", "", match[1])) * _SIZES[match[2].lower()] if match else 0.0
    elif isinstance(written, (int, float, np.integer, np.floating, Decimal)) and not isinstance(written, bool):
        with suppress(ValueError, OverflowError):  # a signalling NaN; what no float can hold
            value = float(written)
    if not SMALLEST <= value <= LARGEST:
        raise Mistake(f"{as_typed(written)} is not a notional.", hint="Write it as 250k, 2m, 1.5b, 2e6 or 2,000,000.")
    return value
