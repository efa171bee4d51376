"""Numbers, prices, amounts and times as text."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

MINUS = "\u2212"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOTHING = "–"  # how tables show a missing value


def short(value: float, digits: int = 6) -> str:
    """Format a figure as traders write it, with at most ``digits`` significant digits.

    >>> [short(x) for x in (0, 5, 300_000, 1.8e9, 12_500_000, 0.045)]
    ['0', '5', '300k', '1.8B', '12.5M', '0.045']
    >>> short(1_442_187.5, 4), short(999_999, 4)
    ('1.442M', '1M')
    """
    value = float(f"{value:.{digits}g}")
    for size, suffix in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.{digits}g}{suffix}"
    return f"{value:.{digits}g}"


def amount(value: float, asset: str = "") -> str:
    """Format an amount in full, with its asset: two decimals from 1 up, six significant digits below.

    >>> amount(300000, "USDT"), amount(1860.3125), amount(0.00123, "BTC")
    ('300,000 USDT', '1,860.31', '0.00123 BTC')
    """
    if value == int(value):
        digits = f"{value:,.0f}"
    elif abs(value) >= 1:
        digits = f"{value:,.2f}"
    else:
        digits = f"{value:.6g}"
    return f"{digits} {asset}".rstrip()


def price(value: float) -> str:
    """Format a price or a figure of a DataFrame: two decimals from 1,000 up, six significant digits below.

    >>> price(45180.72), price(84000.0), price(0.02187)
    ('45,180.72', '84,000', '0.02187')
    """
    return f"{value:,.2f}".removesuffix(".00") if abs(value) >= 1000 else f"{value:.6g}"


def signed(value: float, text: str) -> str:
    """Return the text of a difference with its sign; "" for 0.

    >>> signed(5.0, "5"), signed(0.0, "0")
    ('+5', '')
    """
    return f"{MINUS if value < 0 else '+'}{text}" if value else ""


def percent(ratio: float) -> str:
    """Format a ratio as a percentage without trailing zeros.

    >>> percent(0.0065)
    '0.65%'
    """
    return f"{ratio * 100:.6g}%"


def away(distance: float, digits: int = 3) -> str:
    """Say how far a liquidation price is from the mark price; a distance of 0 or less means that it was reached.

    >>> away(0.215)
    '21.5% away'
    """
    return f"{percent(round(distance, digits))} away" if distance > 0 else "already reached"


def times(leverage: int | None) -> str:
    """Return a leverage as text: ``20x``, or ``not set`` for None."""
    return "not set" if leverage is None else f"{leverage}x"


def moment(when: datetime) -> str:
    """Format a time in local time with its offset from UTC: ``2026-11-22 14:03:07+01:00``."""
    return in_local_time(when).isoformat(sep=" ", timespec="seconds")


def in_local_time(when: datetime) -> datetime:
    """Return a time with its offset from UTC in local time; in UTC if this machine cannot convert it."""
    try:
        return when.astimezone()
    except OSError:  # Windows converts no time before 1970
        return when.astimezone(UTC)


def local_time(seconds: float) -> datetime:
    """Return a number of seconds since the epoch as local time.

    Raises:
        OverflowError: It is beyond the calendar.
        ValueError: It is not a number.
    """
    return in_local_time(_EPOCH + timedelta(seconds=seconds))


def sentence(text: str) -> str:
    """Return a text as a sentence: with a capital, and a full stop at its end."""
    return f"{text[:1].upper()}{text[1:]}."
