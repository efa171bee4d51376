"""Numbers and times are shown as traders write them."""

from __future__ import annotations

import errno
import time
from collections.abc import Iterator
from datetime import UTC, datetime, tzinfo

import pytest

from leverage_nb import formatting


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (300_000, "300k"), (1.8e9, "1.8B"), (12_500_000, "12.5M"), (999, "999"), (0.045, "0.045"), (2e12, "2T")],
)
def test_round_figures_are_short(value: float, text: str) -> None:
    """Caps have a suffix and no trailing zeros."""
    assert formatting.short(value) == text


@pytest.mark.parametrize(
    ("value", "asset", "text"),
    [
        (300_000, "USDT", "300,000 USDT"),
        (1860.3125, "", "1,860.31"),
        (0.00123, "BTC", "0.00123 BTC"),
        (-5.5, "", "-5.50"),
    ],
)
def test_amounts_are_shown_in_full(value: float, asset: str, text: str) -> None:
    """Amounts have separators and their asset."""
    assert formatting.amount(value, asset) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(45180.7228, "45,180.72"), (86412.5, "86,412.50"), (84000.0, "84,000"), (1.8e9, "1,800,000,000"),
     (999.5, "999.5"), (0.021870001, "0.02187"), (0.004, "0.004")],
)  # fmt: skip
def test_prices_have_cents_or_six_digits(value: float, text: str) -> None:
    """A price has two decimals from 1,000 up, and six significant digits below; no exponent."""
    assert formatting.price(value) == text


@pytest.mark.parametrize(("ratio", "text"), [(0.0065, "0.65%"), (0.5, "50%"), (0, "0%"), (0.12345678, "12.3457%")])
def test_percentages_have_no_trailing_zeros(ratio: float, text: str) -> None:
    """A ratio is shown in percent."""
    assert formatting.percent(ratio) == text


@pytest.fixture
def _in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    if not hasattr(time, "tzset"):
        pytest.skip("Windows cannot change the time zone of a process")
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_in_tokyo")
def test_times_are_local_with_their_offset() -> None:
    """A time of any zone is shown in local time, with date, seconds and offset."""
    assert formatting.moment(datetime(2026, 11, 22, 23, 3, 7, 250, tzinfo=UTC)) == "2026-11-23 08:03:07+09:00"
    assert formatting.local_time(0.5).isoformat() == "1970-01-01T09:00:00.500000+09:00"


class WindowsTime(datetime):
    """A time that, as on Windows, cannot be converted to local time near the epoch."""

    def astimezone(self, tz: tzinfo | None = None) -> datetime:
        """Return the time in another zone."""
        if tz is None and self.timestamp() < 86_400:
            raise OSError(errno.EINVAL, "Invalid argument")
        return super().astimezone(tz)


def test_a_time_that_the_machine_cannot_convert_is_in_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """A time near the epoch, as an exchange sends it for "never", is shown in UTC on Windows."""
    early = WindowsTime(1970, 1, 1, tzinfo=UTC)
    monkeypatch.setattr(formatting, "_EPOCH", early)
    assert formatting.moment(early) == "1970-01-01 00:00:00+00:00"
    assert formatting.local_time(-5).isoformat() == "1969-12-31T23:59:55+00:00"
    assert formatting.local_time(1e9) == datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC)


def test_a_sentence_has_a_capital_and_a_full_stop() -> None:
    """A text becomes a sentence; what is in capitals stays."""
    assert formatting.sentence("key abc was removed") == "Key abc was removed."
    assert formatting.sentence("BTCUSDT is not trading") == "BTCUSDT is not trading."


@pytest.mark.parametrize(
    ("distance", "text"), [(0.215, "21.5% away"), (0.0, "already reached"), (-0.2, "already reached")]
)
def test_a_liquidation_price_is_away_or_reached(distance: float, text: str) -> None:
    """A position beyond its liquidation price must not look safe."""
    assert formatting.away(distance) == text
