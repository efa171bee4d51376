"""Leverages as people write them."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

import numpy as np

from leverage_nb.errors import InvalidLeverage

# Far above any symbol's maximum; beyond it a number is a slip, and too large for an error message.
MOST = 10**9


def parse_leverage(value: Any) -> int:
    """Read ``10``, ``"10"``, ``"10x"`` or a whole float such as ``10.0``, which DataFrames hold; also a Decimal.

    Raises:
        InvalidLeverage: Anything else: 0, negative, fractional, ``True``, words.
    """
    number = 0
    if isinstance(value, str):
        match = re.fullmatch(r"\+?([0-9]{1,9})[xX]?", value.strip())
        number = int(match[1]) if match else 0
    elif isinstance(value, (int, float, np.integer, np.floating, Decimal)) and not isinstance(value, bool):
        whole = isinstance(value, (int, np.integer)) or (math.isfinite(value) and value == int(value))
        number = int(value) if whole else 0
    if not 1 <= number <= MOST:
        raise InvalidLeverage(value)
    return number
