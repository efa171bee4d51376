"""Leverages as people write them."""

from __future__ import annotations

import numbers
import re
from typing import Any

from leverage_nb.errors import InvalidLeverage


def parse_leverage(value: Any) -> int:
    """Read ``10``, ``"10"``, ``"10x"`` or a whole float such as ``10.0``, which DataFrames hold.

    Raises:
        InvalidLeverage: Anything else: 0, negative, fractional, ``True``, words.
    """
    number = 0
    if isinstance(value, str):
        match = re.fullmatch(r"\+?([0-9]{1,9})[xX]?", value.strip())
        number = int(match[1]) if match else 0
    elif isinstance(value, numbers.Real) and not isinstance(value, bool) and value == value // 1:
        number = int(value)
    if number < 1:
        raise InvalidLeverage(value)
    return number
