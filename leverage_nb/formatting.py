"""Numbers, prices, amounts and times as text."""

from __future__ import annotations

from datetime import datetime


def short(value: float) -> str:
    """A round figure as traders write it, with six significant digits: ``300k``, ``1.8B``, ``0.005``.

    >>> [short(x) for x in (0, 5, 300_000, 1.8e9, 12_500_000, 0.045)]
    ['0', '5', '300k', '1.8B', '12.5M', '0.045']
    """
    for size, suffix in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.6g}{suffix}"
    return f"{value:.6g}"


def amount(value: float, asset: str = "") -> str:
    """A figure in full with its asset: two places from 1 up, enough to see it below.

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
    """A price with six significant digits, or its cents: ``45,180.72``, ``84,000``, ``0.02187``."""
    return f"{value:,.2f}".removesuffix(".00") if abs(value) >= 1000 else f"{value:.6g}"


def percent(ratio: float) -> str:
    """A ratio as a percentage without trailing zeros: 0.0065 is ``0.65%``."""
    return f"{ratio * 100:.6g}%"


def readable(value: float) -> str:
    """A float with separators: its cents from 1,000 up, six digits below; never ``3.000000e+05``."""
    if abs(value) >= 1000:
        return f"{value:,.2f}".rstrip("0").rstrip(".")
    return f"{value:.6g}"


def moment(when: datetime) -> str:
    """A point in time with its offset from UTC: ``2026-11-22 14:03:07+01:00``."""
    return when.isoformat(sep=" ", timespec="seconds")


def clock_time(when: datetime) -> str:
    """A point in time near now, in local time: the time of day, with its date where that is not today."""
    local = when.astimezone()
    today = datetime.now().astimezone().date() == local.date()
    return f"{local:%H:%M:%S}" if today else f"{local:%Y-%m-%d %H:%M:%S}"
