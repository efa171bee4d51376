"""The user-data stream: events as they happen, over a connection that is kept, renewed and made up for.

A thread of its own keeps the connection, so that events come while a cell runs. After every connect, and every ten
minutes, one read of all settings shows what no event has reported.

Events only refresh what is shown; no outcome of a change rests on one. Whoever can write to the stream can give an
event any date, so a date is never taken to be later than its arrival, and a message is at most 1 MiB long.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from leverage_nb.binance.client import RestClient
from leverage_nb.binance.events import Event, KeyExpiredEvent, LeverageEvent, StreamEvent, read_event
from leverage_nb.binance.reader import read_settings
from leverage_nb.binance.venues import is_loopback
from leverage_nb.errors import LeverageError

# Binance: a listen key lives 60 minutes and a connection 24 hours; it pings every 3 minutes.
KEEP_ALIVE_EVERY = 30 * 60.0
RENEW_AFTER = 23.5 * 3600.0
LOOK_EVERY = 10 * 60.0
PING_EVERY = 20.0
# An event takes about 200 bytes for each position: this is enough for thousands. A longer message ends the connection.
MAX_MESSAGE = 1024 * 1024
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0


class _KeyScrubber(logging.Filter):
    """websockets logs at DEBUG the address with the listen key in it: take its lines out of what leaves the package."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno > logging.INFO


@dataclass
class Pace:
    """How time passes: as it does, or faster for tests.

    Attributes:
        speed: Seconds that pass in one.
    """

    speed: float = 1.0

    def now(self) -> float:
        """Seconds that have passed."""
        return time.monotonic() * self.speed

    def real(self, seconds: float) -> float:
        """For how long to wait until so many seconds have passed."""
        return max(0.0, seconds) / self.speed


class Stream:
    """Follows one account until it is closed.

    Args:
        client: Whose account.
        url: Address of the streams, without a path.
        tell: Called with every event, in the stream's thread.
        pace: How time passes.
    """

    def __init__(self, client: RestClient, url: str, tell: Callable[[Event], None], pace: Pace | None = None) -> None:
        self._client = client
        self._url = url
        self._tell = tell
        self._pace = pace or Pace()
        self._stop = threading.Event()
        self._known: dict[str, tuple[int, datetime]] = {}
        self._last: dict[str, datetime] = {}
        self.live = False
        self._thread = threading.Thread(target=self._run, name="leverage_nb stream", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop following, within a moment. Safe to call from any thread, twice, and as the interpreter ends."""
        self._stop.set()

    def _run(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stop.is_set():
            began = self._pace.now()
            try:
                reason = self._follow()
            except Exception as exc:  # noqa: BLE001 - a stream that dies unseen would leave panels wrongly live
                reason = _broke(exc)
            if self._pace.now() - began > _LONGEST_PAUSE:
                pause = _FIRST_PAUSE  # it held for a while
            if self._stop.is_set():
                break
            if reason:
                self._say(live=False, reason=reason)
                self._stop.wait(self._pace.real(pause * random.uniform(0.5, 1.5)))  # noqa: S311 - spreads, hides nothing
                pause = min(pause * 2, _LONGEST_PAUSE)
        self._say(live=False, reason="closed")

    def _follow(self) -> str:
        """Connect and hand on events until the connection ends; returns why, or "" for a renewal."""
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
                ping_interval=max(1.0, self._pace.real(PING_EVERY)),
                ping_timeout=max(1.0, self._pace.real(PING_EVERY)),
                logger=_logger(),
                max_size=MAX_MESSAGE,
                # REST may be elsewhere: the stream's own address says whether the listen key stays on this machine.
                **({"proxy": None} if is_loopback(self._url) else {}),
            ) as connection:
                key = ""  # a verbose traceback prints what a frame still holds
                self._client.compare_clocks()
                self._look()
                self._say(live=True, reason="")
                return self._hand_on(connection)
        except ConnectionClosed as exc:
            too_long = exc.sent is not None and exc.sent.code == CloseCode.MESSAGE_TOO_BIG
            reason = "the exchange sent a message of more than 1 MiB" if too_long else _broke(exc)
        except (WebSocketException, OSError, EOFError) as exc:
            reason = _broke(exc)
        except LeverageError as exc:
            reason = exc.message
        return reason

    def _hand_on(self, connection: object) -> str:
        started = self._pace.now()
        next_keep, next_look = started + KEEP_ALIVE_EVERY, started + LOOK_EVERY
        while not self._stop.is_set():
            now = self._pace.now()
            if now >= started + RENEW_AFTER:
                return ""
            if now >= next_keep:
                self._client.keep_listen_key()  # -1125, that it has expired, ends this connection and begins another
                next_keep = now + KEEP_ALIVE_EVERY
            if now >= next_look:
                self._look()
                next_look = now + LOOK_EVERY
            due = min(next_keep, next_look, started + RENEW_AFTER)
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
        """Pass an event on with its time by this machine's clock, never later than now; leave out what is no news."""
        now = datetime.now().astimezone()
        dated = now
        with suppress(OverflowError):  # of a date at the end of the calendar
            dated = event.at - timedelta(milliseconds=self._client.clock_offset_ms)
        event = replace(event, at=min(dated, now))
        if not isinstance(event, LeverageEvent) or self._is_news(event, dated, now):
            self._tell_safely(event)

    def _look(self) -> None:
        """Read all settings, and tell what is another than was known."""
        as_of = datetime.now().astimezone()
        first = not self._known
        for symbol, setting in read_settings(self._client, {}).items():
            known = self._known.get(symbol)
            self._known[symbol] = (setting.leverage, as_of)
            if not first and (known is None or known[0] != setting.leverage):
                self._tell_safely(LeverageEvent(symbol, setting.leverage, as_of, "look"))

    def _is_news(self, event: LeverageEvent, dated: datetime, now: datetime) -> bool:
        """Whether an event shows another leverage: a repetition, or what a later read has shown already, does not.

        A date ahead of this clock orders nothing: one foreign date must not silence the events that follow.
        """
        known, last = self._known.get(event.symbol), self._last.get(event.symbol)
        if last is not None and dated < last <= now:
            return False
        if dated <= now + _SLACK:
            self._last[event.symbol] = event.at  # clocks are compared to within a round trip
        if known is not None and (known[0] == event.leverage or event.at < min(known[1], now) - _SLACK):
            return False
        self._known[event.symbol] = (event.leverage, event.at)
        return True

    def _say(self, *, live: bool, reason: str) -> None:
        if live != self.live or reason:
            self.live = live
            self._tell_safely(StreamEvent(live, reason, datetime.now().astimezone()))

    def _tell_safely(self, event: Event) -> None:
        with suppress(Exception):  # whoever listens must not end the stream
            self._tell(event)


# Clocks are compared to within a round trip: an event this little older than a look may still be news.
_SLACK = timedelta(seconds=1)


def _broke(exc: Exception) -> str:
    return f"the stream broke ({type(exc).__name__})"


def _logger() -> logging.Logger:
    logger = logging.getLogger("leverage_nb.stream")
    if not logger.filters:
        logger.addFilter(_KeyScrubber())
    return logger
