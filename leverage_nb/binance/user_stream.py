"""The private WebSocket: events as they happen, over a connection that is kept alive, renewed and reopened.

The connection runs in a thread of its own, so events arrive while a cell runs. After every connect, and every ten
minutes, a read of all settings finds changes that no event reported.

Events only refresh the screen; no outcome of a change depends on one. Whoever can write to the stream can date an event
freely, so an event is never dated later than its arrival, and a message has at most 1 MiB.

Source: https://developers.binance.com/docs/derivatives/usds-margined-futures/user-data-streams
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from leverage_nb.binance.client import RestClient
from leverage_nb.binance.events import Event, KeyExpiredEvent, LeverageEvent, StreamEvent, read_event
from leverage_nb.binance.reader import read_settings
from leverage_nb.binance.venues import is_loopback
from leverage_nb.errors import LeverageError

# A listen key is valid for 60 minutes and a connection for 24 hours; Binance sends a ping every 3 minutes.
_EXTEND_EVERY = 30 * 60.0
_RENEW_AFTER = 23.5 * 3600.0
_READ_EVERY = 10 * 60.0
_PING_EVERY = 20.0
# An event has about 200 bytes per position: this is enough for thousands. A longer message ends the connection.
MAX_MESSAGE = 1024 * 1024
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0

# The difference of the clocks is known to within a round trip: an event this much older than a read may still be news.
_SLACK = timedelta(seconds=1)


class _KeyFilter(logging.Filter):
    """Drop the records below WARNING: websockets logs the address, which holds the listen key, at DEBUG."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno > logging.INFO


@dataclass
class Pace:
    """The speed of time: real time, or faster for tests.

    Attributes:
        speed: Seconds that pass in one real second.
        start: The real time, in seconds since the epoch, from which on time passes at this speed.
    """

    speed: float = 1.0
    start: float = field(default_factory=time.time)

    def now(self) -> float:
        """Return the seconds of a monotonic clock."""
        return time.monotonic() * self.speed

    def wall(self) -> float:
        """Return the seconds since the epoch."""
        return self.start + (time.time() - self.start) * self.speed

    def real(self, seconds: float) -> float:
        """Return the real seconds in which so many seconds pass."""
        return max(0.0, seconds) / self.speed


class Stream:
    """Follow one account until :meth:`close` is called.

    Args:
        client: The client of the account.
        url: The address of the streams, without a path.
        notify: Called with every event, in the stream's thread.
        pace: The speed of time; None for real time.

    Attributes:
        live: Whether events arrive now.
    """

    def __init__(self, client: RestClient, url: str, notify: Callable[[Event], None], pace: Pace | None = None) -> None:
        self._client = client
        self._url = url
        self._notify = notify
        self._pace = pace or Pace()
        self._stop = threading.Event()
        self._known: dict[str, tuple[int, datetime]] = {}  # leverage and time of the latest event or read
        self._last: dict[str, datetime] = {}  # time of the latest event
        self.live = False
        self._thread = threading.Thread(target=self._run, name="leverage_nb stream", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop within a moment. Any thread may call it, repeatedly, also while the interpreter exits."""
        self._stop.set()

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stop.is_set():
            began = self._pace.now()
            try:
                reason = self._follow()
            except Exception as exc:  # noqa: BLE001 - a thread that ends unnoticed would leave panels wrongly live
                reason = _broke(exc)
            if self._pace.now() - began > _LONGEST_PAUSE:
                pause = _FIRST_PAUSE  # the connection was good for a while
            if self._stop.is_set():
                break
            if reason:
                self._set_live(False, reason)
                self._stop.wait(self._pace.real(pause * random.uniform(0.5, 1.5)))  # noqa: S311 - not for security
                pause = min(pause * 2, _LONGEST_PAUSE)
        self._set_live(False, "closed")

    def _follow(self) -> str:
        """Connect and pass events on until the connection ends. Return the reason, or "" for a renewal."""
        from websockets.exceptions import ConnectionClosed, WebSocketException
        from websockets.frames import CloseCode
        from websockets.sync.client import connect

        try:
            key = self._client.open_listen_key()
        except LeverageError as exc:
            return exc.message
        reason = ""
        try:
            with connect(
                f"{self._url}/private/ws/{key}",
                open_timeout=self._client.timeout,
                close_timeout=1,
                ping_interval=max(1.0, self._pace.real(_PING_EVERY)),
                ping_timeout=max(1.0, self._pace.real(_PING_EVERY)),
                logger=_logger(),
                max_size=MAX_MESSAGE,
                # Decided by the stream's own address, because REST may be elsewhere: a listen key for this machine
                # does not leave it.
                **({"proxy": None} if is_loopback(self._url) else {}),
            ) as connection:
                key = ""  # a verbose traceback prints the variables of each frame
                self._client.compare_clocks()
                self._read_settings()
                self._set_live(True)
                return self._pass_on(connection)
        except ConnectionClosed as exc:
            too_long = exc.sent is not None and exc.sent.code == CloseCode.MESSAGE_TOO_BIG
            reason = "the exchange sent a message of more than 1 MiB" if too_long else _broke(exc)
        except (WebSocketException, OSError, EOFError) as exc:
            reason = _broke(exc)
        except LeverageError as exc:
            reason = exc.message
        return reason

    def _pass_on(self, connection: object) -> str:
        started = self._pace.now()
        next_extension, next_read = started + _EXTEND_EVERY, started + _READ_EVERY
        while not self._stop.is_set():
            now = self._pace.now()
            if now >= started + _RENEW_AFTER:
                return ""
            if now >= next_extension:
                self._client.extend_listen_key()  # after -1125, an expired key, the next connection opens a new one
                next_extension = now + _EXTEND_EVERY
            if now >= next_read:
                self._read_settings()
                next_read = now + _READ_EVERY
            due = min(next_extension, next_read, started + _RENEW_AFTER)
            try:
                message = connection.recv(timeout=min(0.25, self._pace.real(due - now)))  # type: ignore[attr-defined]
            except TimeoutError:
                continue
            event = read_event(message)
            if isinstance(event, KeyExpiredEvent):
                return "" if self._pace.now() - started > _LONGEST_PAUSE else "the listen key expired at once"
            if event is not None:
                self._receive(event)
        return "closed"

    def _receive(self, event: Event) -> None:
        """Pass an event on with its local time, never later than now, unless it is no news."""
        now = self._local_time()
        dated = now
        with suppress(OverflowError):  # a date at the end of the calendar
            dated = event.at - timedelta(milliseconds=self._client.clock_offset_ms)
        event = replace(event, at=min(dated, now))
        if not isinstance(event, LeverageEvent) or self._is_news(event, dated, now):
            self._call(event)

    def _read_settings(self) -> None:
        """Read all settings, and notify of each leverage that no event has reported."""
        as_of = self._local_time()
        first = not self._known
        for symbol, setting in read_settings(self._client, {}).items():
            if setting.leverage is None:
                continue
            known = self._known.get(symbol)
            self._known[symbol] = (setting.leverage, as_of)
            if not first and (known is None or known[0] != setting.leverage):
                self._call(LeverageEvent(symbol, setting.leverage, as_of, "read"))

    def _is_news(self, event: LeverageEvent, dated: datetime, now: datetime) -> bool:
        """Return whether an event shows another leverage than known, and is not older than what is known.

        A date in the future is not used to order events: it would suppress all events that follow.
        """
        known, last = self._known.get(event.symbol), self._last.get(event.symbol)
        if last is not None and dated < last <= now:
            return False
        if dated <= now + _SLACK:
            self._last[event.symbol] = event.at
        if known is not None and (known[0] == event.leverage or event.at < min(known[1], now) - _SLACK):
            return False
        self._known[event.symbol] = (event.leverage, event.at)
        return True

    def _set_live(self, live: bool, reason: str = "") -> None:
        if live != self.live or reason:
            self.live = live
            self._call(StreamEvent(live, reason, self._local_time()))

    def _call(self, event: Event) -> None:
        with suppress(Exception):  # a listener that fails must not end the stream
            self._notify(event)

    def _local_time(self) -> datetime:
        return datetime.fromtimestamp(self._pace.wall()).astimezone()


def _broke(exc: Exception) -> str:
    return f"the stream broke ({type(exc).__name__})"


def _logger() -> logging.Logger:
    logger = logging.getLogger("leverage_nb.stream")
    if not logger.filters:
        logger.addFilter(_KeyFilter())
    return logger
