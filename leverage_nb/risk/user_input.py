"""Symbols, leverages and notionals as people type them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from decimal import Decimal
from difflib import SequenceMatcher
from typing import Any

import numpy as np

from leverage_nb.errors import InvalidInput, InvalidLeverage, as_typed

# BTC/USDT, BTC/USDT:USDT and BTC/USDT:USDT-261225, as ccxt writes them.
_CCXT = re.compile(r"(?P<base>[^/:]+)/(?P<quote>[^/:]+)(?::(?P=quote)(?:-(?P<delivery>\d{6}))?)?")


# Far longer than any symbol, in any spelling.
LONGEST_SYMBOL = 64


def normalize(text: str) -> str:
    """Binance's spelling of a symbol: ``btcusdt``, ``BTC/USDT`` and ``BTC/USDT:USDT`` are ``BTCUSDT``."""
    symbol = text.strip().upper()
    match = _CCXT.fullmatch(symbol) if len(symbol) <= LONGEST_SYMBOL else None
    if match:
        symbol = match["base"] + match["quote"] + (f"_{match['delivery']}" if match["delivery"] else "")
    return symbol


def suggest(symbol: str, listed: Iterable[str]) -> tuple[str, ...]:
    """Up to three listed symbols that look like ``symbol``, best first; a bare base asset counts as one."""
    if len(symbol) > LONGEST_SYMBOL:
        return ()
    scores = {
        name: 2.0 if name in {f"{symbol}USDT", f"{symbol}USDC"} else SequenceMatcher(None, symbol, name).ratio()
        for name in listed
    }
    best = max(scores.values(), default=0.0)
    close = [name for name, score in scores.items() if score >= max(0.7, best - 0.1)]
    return tuple(sorted(close, key=lambda name: -scores[name])[:3])


# Far above any symbol's maximum; beyond it a number is a slip, and too large for an error message.
MOST = 10**9
# Nobody writes a number longer than this.
LONGEST_NUMBER = 40


def parse_leverage(value: Any) -> int:
    """Read ``10``, ``"10"``, ``"10x"`` or a whole float such as ``10.0``, which DataFrames hold; also a Decimal.

    Raises:
        InvalidLeverage: Anything else: 0, negative, fractional, ``True``, words.
    """
    number = 0
    if isinstance(value, str):
        match = re.fullmatch(r"\+?([0-9]{1,9})[xX]?", value.strip()) if len(value) <= LONGEST_NUMBER else None
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
        InvalidInput: Anything else, and what is not above 0.
    """
    value = 0.0
    if isinstance(written, str):
        match = _NOTIONAL.fullmatch(written.strip()) if len(written) <= LONGEST_NUMBER else None
        value = float(re.sub("[_,]", "", match[1])) * _SIZES[match[2].lower()] if match else 0.0
    elif isinstance(written, (int, float, np.integer, np.floating, Decimal)) and not isinstance(written, bool):
        with suppress(ValueError, OverflowError):  # a signalling NaN; what no float can hold
            value = float(written)
    if not SMALLEST <= value <= LARGEST:
        raise InvalidInput(
            f"{as_typed(written)} is not a notional.", hint="Write it as 250k, 2m, 1.5b, 2e6 or 2,000,000."
        )
    return value
