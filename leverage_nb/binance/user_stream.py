"""The private WebSocket: events as they happen, over a connection that is kept alive, renewed and reopened.

The connection runs in a thread of its own, so events arrive while a cell runs. After every connect, and every ten
minutes, a read of all settings finds changes that no event reported.

A connection proves nothing: at an address of the wrong form, or with a wrong or old listen key, Binance connects and
stays silent, and the sources contradict each other on the form. So all forms are connected at the same time; the first
that delivers an event of the account stays, and only then the stream is live. Until then the settings are read every
minute. A change of leverage that is made here is a probe: if its event does not arrive, the stream is stale.

Events only refresh the screen; no outcome of a change depends on one. Whoever can write to the stream can date an event
freely, so an event is never dated later than its arrival, and a message has at most 1 MiB.

Source: https://developers.binance.com/docs/derivatives/usds-margined-futures/user-data-streams
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from leverage_nb.binance.client import RestClient
from leverage_nb.binance.events import (
    Event,
    KeyExpiredEvent,
    LeverageEvent,
    OtherEvent,
    StreamEvent,
    StreamState,
    read_event,
)
from leverage_nb.binance.messages import as_plain_text
from leverage_nb.binance.reader import read_settings
from leverage_nb.change import Change
from leverage_nb.errors import LeverageError
from leverage_nb.formatting import local_time
from leverage_nb.risk.brackets import DEFAULT_LEVERAGE

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

# Binance's user-data-stream pages printed all of these forms in 2026-10. What third parties have seen:
FORMS = (
    # Delivered ACCOUNT_UPDATE on the testnet, 2026-10 (certainty: high). Silent in production, according to
    # unicorn-binance-websocket-api PR #446, 2026-05 (conflicting).
    "/private/ws/{key}",
    # Delivered ACCOUNT_CONFIG_UPDATE in production, 2026-09 (one observer); used by ccxt, PR #28091.
    "/private/ws?listenKey={key}",
    # According to PR #446 production delivers only with "events"; another report, 2026-06, got HTTP 400 (conflicting).
    "/private/ws?listenKey={key}&events=ACCOUNT_CONFIG_UPDATE/ACCOUNT_UPDATE/MARGIN_CALL/listenKeyExpired",
)

# A listen key is valid for 60 minutes and a connection for 24 hours; Binance sends a ping every 3 minutes.
_EXTEND_EVERY = 30 * 60.0
_RENEW_AFTER = 23.5 * 3600.0
_READ_EVERY = 10 * 60.0
_PING_EVERY = 20.0
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0

# The difference of the clocks is known to within a round trip: an event this much older than a read may still be news.
_SLACK = timedelta(seconds=1)


@dataclass
class Pace:
    """The speed of time, real or faster for tests, and the stream's pauses.

    Attributes:
        speed: Seconds that pass in one real second.
        start: The real time, in seconds since the epoch, from which on time passes at this speed.
        probe_wait: Seconds within which the event of a change that was made here must arrive.
        read_every: Seconds between the reads of all settings while the stream is not live (request weight 5).
    """

    speed: float = 1.0
    start: float = field(default_factory=time.time)
    probe_wait: float = 10.0
    read_every: float = 60.0

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
        state: See :class:`~leverage_nb.binance.events.StreamEvent`.
        reason: Why the stream is stale; "" otherwise.
    """

    def __init__(self, client: RestClient, url: str, notify: Callable[[Event], None], pace: Pace | None = None) -> None:
        self._client = client
        self._url = url
        self._notify = notify
        self._pace = pace or Pace()
        self._stop = threading.Event()
        self._known: dict[str, tuple[int | None, datetime]] = {}  # leverage and time of the latest event or read
        self._last: dict[str, datetime] = {}  # time of the latest event
        self._made_here: deque[Change] = deque(maxlen=1000)  # filled by other threads
        self._probes: dict[str, tuple[datetime, float]] = {}  # when each was sent, and its event's deadline
        self._arrived: dict[str, datetime] = {}  # when the latest event of a symbol arrived
        self._doubted = False  # after a failed probe the stream is live only once an event of a leverage arrives
        self._next_read = 0.0
        self.state: StreamState = "connecting"
        self.reason = ""
        self._thread = threading.Thread(target=self._run, name="leverage_nb stream", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop within a moment. Any thread may call it, repeatedly, also while the interpreter exits."""
        self._stop.set()

    def note_change(self, change: Change) -> None:
        """Expect the event of a change that was made here. Any thread may call it."""
        made = change.kind == "leverage" and change.status == "applied" and change.sent_at
        # To set what applies anyway is perhaps no change.
        if made and (DEFAULT_LEVERAGE if change.before is None else change.before) != change.after:
            self._made_here.append(change)

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
                self._set_state("stale", reason)
                with suppress(LeverageError):
                    self._read_if_due()
                self._stop.wait(self._pace.real(pause * random.uniform(0.5, 1.5)))  # noqa: S311 - not for security
                pause = min(pause * 2, _LONGEST_PAUSE)
        self._set_state("stale", "closed")

    def _follow(self) -> str:
        """Connect and pass events on until the connection ends. Return the reason, or "" for a renewal."""
        from websockets.exceptions import ConnectionClosed, WebSocketException
        from websockets.frames import CloseCode

        reason = ""
        try:
            with ExitStack() as stack:
                connections, mark = self._connect(stack)
                if self._stop.is_set():
                    return ""  # a closed account sends nothing more
                self._probes.clear()
                opened = datetime.now().astimezone()
                self._client.compare_clocks()
                self._read_settings()
                self._set_state("connected")
                return self._pass_on(connections, mark, opened)
        except ConnectionClosed as exc:
            too_long = exc.sent is not None and exc.sent.code == CloseCode.MESSAGE_TOO_BIG
            reason = "the exchange sent a message of more than 1 MiB" if too_long else _broke(exc)
        except (WebSocketException, OSError, EOFError) as exc:
            reason = _broke(exc)
        except LeverageError as exc:
            reason = exc.message
        return reason

    def _connect(self, stack: ExitStack) -> tuple[list[ClientConnection], int]:
        """Connect every form of the address that connects. Return the connections, and a mark of the listen key."""
        from websockets.exceptions import InvalidHandshake

        from leverage_nb.binance.stream_connection import open_connection

        ping_every = max(1.0, self._pace.real(_PING_EVERY))
        key = self._client.open_listen_key()
        connections: list[ClientConnection] = []
        mark = hash(key)
        failure: Exception | None = None
        for form in FORMS:
            if self._stop.is_set():
                break
            try:
                url = self._url + form.format(key=key)
                connection = open_connection(url, timeout=self._client.timeout, ping_every=ping_every)
            except (InvalidHandshake, OSError, EOFError) as exc:
                failure = exc
                if not isinstance(exc, (InvalidHandshake, TimeoutError, EOFError)):
                    break  # the host cannot be reached
            else:
                connections.append(stack.enter_context(connection))
        key = url = ""  # a verbose traceback prints the variables of each frame
        if failure is not None and not connections:
            raise failure
        return connections, mark

    def _pass_on(self, connections: list[ClientConnection], mark: int, opened: datetime) -> str:
        from websockets.exceptions import ConnectionClosed

        started = self._pace.now()
        next_extension = started + _EXTEND_EVERY
        while not self._stop.is_set():
            now = self._pace.now()
            if now >= started + _RENEW_AFTER:
                return ""
            if now >= next_extension:
                if not self._extend(mark):
                    return "another program replaced the listen key"
                next_extension = now + _EXTEND_EVERY
            try:
                self._read_if_due()
            except LeverageError:  # events still arrive
                self._next_read = self._pace.now() + self._pace.read_every
            due = min(next_extension, self._next_read, started + _RENEW_AFTER)
            wait = min(0.25, self._pace.real(due - now)) / len(connections)
            for connection in tuple(connections):
                try:
                    message = connection.recv(timeout=wait)
                except TimeoutError:
                    continue
                except ConnectionClosed:
                    if len(connections) == 1:
                        raise
                    connections.remove(connection)  # the exchange ended one form; another may deliver
                    continue
                event = read_event(message)
                if isinstance(event, KeyExpiredEvent):
                    return "the listen key has expired, or another program deleted it"
                if event is None:
                    continue
                if not self._doubted or isinstance(event, LeverageEvent):
                    self._doubted = False
                    self._set_state("live")
                self._receive(event)
                if len(connections) > 1:
                    _keep(connection, connections)
                break
            else:  # everything that has arrived was read
                if symbol := self._failed_probe(opened):
                    return f"no event arrived for a change of {symbol} that was made here"
        return "closed"

    def _extend(self, mark: int) -> bool:
        """Extend the listen key; return whether it is the one of the connections. -1125: there is none any more."""
        key = self._client.extend_listen_key()
        return not key or hash(key) == mark

    def _failed_probe(self, opened: datetime) -> str:
        """Return the symbol of a change that was made here and whose event did not arrive in time; "" for none."""
        while self._made_here:
            change = self._made_here.popleft()
            if change.sent_at is not None and change.sent_at >= opened:
                self._probes[change.symbol] = (change.sent_at, self._pace.now() + self._pace.probe_wait)
        for symbol, (sent_at, deadline) in list(self._probes.items()):
            if (arrived := self._arrived.get(symbol)) is not None and arrived >= sent_at:
                del self._probes[symbol]
            elif self._pace.now() > deadline:
                self._doubted = True
                return symbol
        return ""

    def _receive(self, event: Event) -> None:
        """Pass an event on with its local time, never later than now, unless it is no news."""
        now = self._local_time()
        dated = now
        with suppress(OverflowError):  # a date at the end of the calendar
            dated = event.at - timedelta(milliseconds=self._client.clock_offset_ms)
        event = replace(event, at=min(dated, now))
        if isinstance(event, LeverageEvent):
            self._arrived[event.symbol] = datetime.now().astimezone()
            if not self._is_news(event, dated, now):
                return
        if not isinstance(event, OtherEvent):
            self._call(event)

    def _read_if_due(self) -> None:
        """Read all settings after ten minutes of a live stream, after one minute of any other."""
        if self._pace.now() >= self._next_read:
            self._read_settings()

    def _read_settings(self) -> None:
        """Read all settings, and notify of each leverage that no event has reported."""
        as_of = self._local_time()
        self._next_read = self._pace.now() + (_READ_EVERY if self.state == "live" else self._pace.read_every)
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

    def _set_state(self, state: StreamState, reason: str = "") -> None:
        if state != self.state or reason:
            reason = as_plain_text(reason)  # it may quote the exchange
            self.state, self.reason = state, reason
            now = self._pace.now()
            # Not immediately after the first event: a read may be out of date by a second.
            live, other = now + _READ_EVERY, min(self._next_read, now + self._pace.read_every)
            self._next_read = live if state == "live" else other
            self._call(StreamEvent(state, reason, self._local_time()))

    def _call(self, event: Event) -> None:
        with suppress(Exception):  # a listener that fails must not end the stream
            self._notify(event)

    def _local_time(self) -> datetime:
        return local_time(self._pace.wall())


def _keep(connection: ClientConnection, connections: list[ClientConnection]) -> None:
    """Close all other connections: their events would be duplicates."""
    others = [other for other in connections if other is not connection]
    connections[:] = [connection]
    for other in others:
        other.close()


def _broke(exc: Exception) -> str:
    return f"the stream broke ({type(exc).__name__})"
