"""Symbols, leverages, margin types and notionals as typed by a person."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from difflib import SequenceMatcher
from numbers import Real
from typing import Any, Literal

from leverage_nb.errors import InvalidInput, InvalidLeverage, as_typed
from leverage_nb.formatting import MINUS

# The symbol of a row of a plan for every symbol that is trading. A row that names a symbol wins over it.
EVERY = "*"
MarginType = Literal["cross", "isolated"]

# Longer than any symbol, in any spelling.
LONGEST_SYMBOL = 64
# Longer than any number that a person types.
LONGEST_NUMBER = 40
# Above any symbol's maximum leverage. A larger number is a typing error, and too long for an error message.
HIGHEST_LEVERAGE = 10**9
# Beyond any notional or price; what is calculated from figures between these bounds never overflows.
SMALLEST, LARGEST = 1e-30, 1e30
# Below it an amount with eight decimal places has no more digits than Decimal computes with.
_LARGEST_MARGIN = Decimal(10) ** 19

# BTC/USDT, BTC/USDT:USDT and BTC/USDT:USDT-261225: the spelling of ccxt.
_CCXT = re.compile(r"(?P<base>[^/:]+)/(?P<quote>[^/:]+)(?::(?P=quote)(?:-(?P<delivery>\d{6}))?)?")
# A comma separates groups of three digits and nothing else: 1,5 may be meant as 1.5.
_NOTIONAL = re.compile(
    r"((?:[0-9][0-9_]*|[1-9][0-9]{0,2}(?:,[0-9]{3})+)(?:\.[0-9]*)?(?:[eE][+-]?[0-9]{1,3})?|\.[0-9]+)\s?([kmbtKMBT]?)"
)
# A word meant as a leverage, valid or not: -5, 10.5, 1e9, 10x, <=20, >20.
_LIKE_LEVERAGE = re.compile(r"[<>=≤≥].*|[+-]?\d[\d_.,]*([eE][+-]?\d+)?[xX]?")
_CAP = re.compile(r"\s*<=\s*")
_MARGIN_TYPES: dict[str, MarginType] = {"cross": "cross", "crossed": "cross", "isolated": "isolated"}
_SUFFIXES = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}


def normalize(text: str) -> str:
    """Return Binance's spelling of a symbol: ``BTCUSDT`` for ``btcusdt``, ``BTC/USDT`` and ``BTC/USDT:USDT``."""
    if not isinstance(text, str):
        raise InvalidInput(f"A symbol is a text; got {type(text).__name__}.", hint='For example "BTCUSDT".')
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


@dataclass(frozen=True)
class Wanted:
    """The leverage that a row of a plan asks for.

    Attributes:
        leverage: The leverage; None for the highest that fits.
        is_cap: Whether it is an upper bound (``<=20``), which lowers a leverage and never raises one.
    """

    leverage: int | None
    is_cap: bool = False

    def resolve(self, current: int | None, default: int, highest: int) -> int | None:
        """Return the leverage for a symbol; None for the highest that fits.

        Args:
            current: The symbol's leverage; None if it is not set. A cap then gives the lower of bound and default.
            default: What applies to the symbol while it is not set.
            highest: The symbol's maximum.
        """
        if not self.is_cap or self.leverage is None:
            return self.leverage
        if current is None:
            return min(self.leverage, default)
        return current if current <= self.leverage else min(self.leverage, highest)


def join_caps(text: str) -> str:
    """Write ``<= 20`` as one word, apart from the word before it: ``BTCUSDT<= 20`` becomes ``BTCUSDT <=20``."""
    return _CAP.sub(" <=", text)


def is_leverage(text: str) -> bool:
    """Return whether a word is meant as a leverage, valid or not: ``10x``, ``-5``, ``max``, ``<=20``, ``>20``."""
    return _LIKE_LEVERAGE.fullmatch(text) is not None or is_max(text)


def parse_wanted(value: Any, symbol: str = "", highest: int | None = None) -> Wanted:
    """Parse the leverage of a row of a plan: as :func:`parse_leverage` does, ``"max"``, or ``"<=20"`` for a cap.

    Args:
        value: The input.
        symbol: The symbol, for the message.
        highest: The symbol's maximum, for the message; a leverage above it is returned all the same.

    Raises:
        InvalidLeverage: It is none of these.
        InvalidInput: It is another comparison, as ``<20`` or ``>=20``.
    """
    text = value.strip() if isinstance(value, str) else ""
    if is_max(text):
        return Wanted(None)
    is_cap = text.startswith("<=")
    if not is_cap and re.search("[<>=≤≥]", text[:LONGEST_NUMBER]):
        raise InvalidInput(f"{as_typed(text)} is not a leverage.", hint="For an upper bound write <=20.")
    number = text[2:].strip() if is_cap else value
    if is_cap and not number:
        raise InvalidInput("<= has no leverage after it.", hint="For an upper bound write <=20.")
    try:
        return Wanted(parse_leverage(number), is_cap)
    except InvalidLeverage:
        pass
    raise InvalidLeverage(number, symbol, highest)


def read_margin_type(value: Any) -> MarginType | Literal[""]:
    """Return "cross" or "isolated" for a margin type in any case, also ``crossed``; "" for anything else."""
    return _MARGIN_TYPES.get(value.strip().lower(), "") if isinstance(value, str) else ""


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


# How a number of another meaning than a notional is usually written.
_FORMS = {"a price": "60000, 60k or 0.1906"}


def parse_notional(value: Any, what: str = "a notional") -> float:
    """Parse a number, or a text such as ``250k``, ``2m``, ``1.5b``, ``2e6`` or ``2,000,000``.

    Args:
        value: The input.
        what: Its meaning, for the message.

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
        raise InvalidInput(
            f"{as_typed(value)} is not {what}.",
            hint=_explain_comma(value) or f"Write it as {_FORMS.get(what, '250k, 2m, 1.5b, 2e6 or 2,000,000')}.",
        )
    return number


def _explain_comma(value: Any) -> str:
    """Return the next step after a comma that does not separate thousands; "" without one."""
    if not isinstance(value, str) or "," not in value or _NOTIONAL.fullmatch(value[:LONGEST_NUMBER].strip()):
        return ""
    return "Use a point as the decimal sign: 1.5. Commas may only separate thousands: 2,000,000."


def parse_margin_type(value: Any) -> MarginType:
    """Parse ``cross``, ``crossed`` (Binance's word) or ``isolated``, in any case.

    Raises:
        InvalidInput: The value is anything else.
    """
    name = read_margin_type(value)
    if name == "cross" or name == "isolated":
        return name
    raise InvalidInput(f"{as_typed(value)} is not a margin type.", hint="The margin types are cross and isolated.")


def parse_margin(value: Any) -> Decimal:
    """Parse an amount of margin exactly: a number, or a text as for :func:`parse_notional`.

    Raises:
        InvalidInput: The value is anything else, not above 0, or has more than eight decimal places, which Binance does
            not accept.
    """
    parsed = Decimal(0)
    if isinstance(value, str):
        match = _NOTIONAL.fullmatch(value.strip()) if len(value) <= LONGEST_NUMBER else None
        if match:
            parsed = Decimal(re.sub("[_,]", "", match[1])) * Decimal(_SUFFIXES[match[2].lower()])
    elif is_number(value):
        with suppress(ArithmeticError, ValueError):
            # 0.1 + 0.2 is 0.3: what float64 cannot represent is no ninth decimal place.
            rounded = value if isinstance(value, Decimal) else round(value, 8)
            parsed = Decimal(str(rounded if math.isclose(value, rounded, rel_tol=1e-12) else value))
    if not parsed.is_finite() or not Decimal(str(SMALLEST)) <= parsed < _LARGEST_MARGIN:
        raise InvalidInput(
            f"{as_typed(value)} is not an amount of margin.",
            hint=_explain_comma(value) or "Write it as 500, 0.25 or 2.5k.",
        )
    if parsed != round(parsed, 8):
        raise InvalidInput(f"{as_typed(value)} has more than eight decimal places.", hint="Binance accepts eight.")
    return Decimal(f"{parsed.normalize():f}")  # 500, not 5E+2


def parse_margin_change(value: Any) -> Decimal:
    """Parse an amount as :func:`parse_margin` does; with a minus it is taken out.

    Raises:
        InvalidInput: As for :func:`parse_margin`.
    """
    sign, value = _split_sign(value)
    return sign * parse_margin(value)


def parse_position(value: Any) -> float:
    """Parse the size of a position as :func:`parse_notional` does; with a minus it is a short.

    Raises:
        InvalidInput: The value is anything else, or 0.
    """
    sign, value = _split_sign(value)
    return sign * parse_notional(value)


def _split_sign(value: Any) -> tuple[int, Any]:
    """Return the sign of a number or a text, and the value without it."""
    if isinstance(value, str) and value.strip()[:1] in ("-", MINUS):
        return -1, value.strip()[1:]
    if is_number(value):
        with suppress(ArithmeticError):  # comparing a signalling NaN raises
            return (-1, -value) if value < 0 else (1, value)
    return 1, value


def is_number(value: Any) -> bool:
    """Return whether a value is a number of Python or numpy; truth values are none."""
    return isinstance(value, (Real, Decimal)) and not isinstance(value, bool)
