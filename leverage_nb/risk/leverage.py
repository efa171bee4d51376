"""Leverages as people write them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

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
    elif isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool):
        number = int(value) if float(value).is_integer() else 0
    if number < 1:
        raise InvalidLeverage(value)
    return number
