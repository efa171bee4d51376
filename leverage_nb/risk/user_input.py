"""Symbols, leverages and notionals as typed by a person."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from decimal import Decimal
from difflib import SequenceMatcher
from numbers import Real
from typing import Any

from leverage_nb.errors import InvalidInput, InvalidLeverage, as_typed
from leverage_nb.formatting import MINUS

# Longer than any symbol, in any spelling.
LONGEST_SYMBOL = 64
# Longer than any number that a person types.
LONGEST_NUMBER = 40
# Above any symbol's maximum leverage. A larger number is a typing error, and too long for an error message.
HIGHEST_LEVERAGE = 10**9
# Beyond any notional or price; what is calculated from figures between these bounds never overflows.
SMALLEST, LARGEST = 1e-30, 1e30

# BTC/USDT, BTC/USDT:USDT and BTC/USDT:USDT-261225: the spelling of ccxt.
_CCXT = re.compile(r"(?P<base>[^/:]+)/(?P<quote>[^/:]+)(?::(?P=quote)(?:-(?P<delivery>\d{6}))?)?")
_NOTIONAL = re.compile(r"([0-9][0-9_,]*(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?|\.[0-9]+)\s?([kmbtKMBT]?)")
_SUFFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}


def normalize(text: str) -> str:
    """Return Binance's spelling of a symbol: ``BTCUSDT`` for ``btcusdt``, ``BTC/USDT`` and ``BTC/USDT:USDT``."""
    symbol = text.strip().upper()
    match = _CCXT.fullmatch(symbol) if len(symbol) <= LONGEST_SYMBOL else None
    if match:
        symbol = match["base"] + match["quote"] + (f"_{match['delivery']}" if match["delivery"] else "")
    return symbol


def split_words(text: str) -> list[str]:
    """Split a text at white space and commas: ``BTCUSDT, SOLUSDT`` and ``BTCUSDT SOLUSDT`` are two words."""
    return [word for word in re.split(r"[\s,]+", text) if word]


def suggest(symbol: str, listed: Iterable[str]) -> tuple[str, ...]:
    """Return up to three listed symbols similar to ``symbol``, best first.

    ``BTC`` is similar to ``BTCUSDT``. ``BTCUSTD``, the same letters in another order, is more so than to ``BTCUSDC``.
    """
    if len(symbol) > LONGEST_SYMBOL:
        return ()
    scores = {name: _similarity(symbol, name) for name in listed}
    best = max(scores.values(), default=0.0)
    close = [name for name, score in scores.items() if score >= max(0.7, best - 0.1)]
    return tuple(sorted(close, key=lambda name: -scores[name])[:3])


def _similarity(symbol: str, name: str) -> float:
    if name in {f"{symbol}USDT", f"{symbol}USDC"}:
        return 2.0
    return 1.0 if sorted(symbol) == sorted(name) else SequenceMatcher(None, symbol, name).ratio()


def is_max(value: Any) -> bool:
    """Return whether a leverage is the word ``max``: the highest that fits."""
    return isinstance(value, str) and value.strip().lower() == "max"


def parse_leverage(value: Any, symbol: str = "", highest: int | None = None) -> int:
    """Parse ``10``, ``"10"``, ``"10x"``, a Decimal, or a whole float such as ``10.0`` from a DataFrame.

    Args:
        value: The input.
        symbol: The symbol, for the message.
        highest: The symbol's maximum; None if it is unknown.

    Raises:
        InvalidLeverage: The value is anything else: 0, negative, fractional, with a sign (``"+5"`` could mean a
            difference), ``True``, a word, or above ``highest``.
    """
    number = 0
    if isinstance(value, str):
        match = re.fullmatch(r"([0-9]{1,9})[xX]?", value.strip()) if len(value) <= LONGEST_NUMBER else None
        number = int(match[1]) if match else 0
    elif is_number(value):
        with suppress(ArithmeticError):  # comparing a signalling NaN raises
            number = int(value) if 1 <= value <= HIGHEST_LEVERAGE and value == int(value) else 0
    if not 1 <= number <= (highest or HIGHEST_LEVERAGE):
        raise InvalidLeverage(number or value, symbol, highest)
    return number


def parse_notional(value: Any, kind: str = "notional") -> float:
    """Parse a number, or a text such as ``250k``, ``2m``, ``1.5b``, ``2e6`` or ``2,000,000``.

    Args:
        value: The input.
        kind: What it is, for the message.

    Raises:
        InvalidInput: The value is anything else, or not above 0.
    """
    number = 0.0
    if isinstance(value, str):
        match = _NOTIONAL.fullmatch(value.strip()) if len(value) <= LONGEST_NUMBER else None
        number = float(re.sub("[_,]", "", match[1])) * _SUFFIXES[match[2].lower()] if match else 0.0
    elif is_number(value):
        with suppress(ValueError, OverflowError):  # a signalling NaN, or beyond float64
            number = float(value)
    if not SMALLEST <= number <= LARGEST:
        raise InvalidInput(f"{as_typed(value)} is not a {kind}.", hint="Write it as 250k, 2m, 1.5b, 2e6 or 2,000,000.")
    return number


def parse_position(value: Any) -> float:
    """Parse the size of a position as :func:`parse_notional` does; with a minus it is a short.

    Raises:
        InvalidInput: The value is anything else, or 0.
    """
    sign = 1.0
    if isinstance(value, str) and value.strip()[:1] in ("-", MINUS):
        sign, value = -1.0, value.strip()[1:]
    elif is_number(value):
        with suppress(ArithmeticError):  # comparing a signalling NaN raises
            sign, value = (-1.0, -value) if value < 0 else (1.0, value)
    return sign * parse_notional(value)


def is_number(value: Any) -> bool:
    """Return whether a value is a number of Python or numpy; truth values are none."""
    return isinstance(value, (Real, Decimal)) and not isinstance(value, bool)
