"""Follow a policy: alert when a setting leaves it, and lower leverages back to their caps if that is wanted.

Events of the account's stream show changes at once. Beside them all settings are read on a slow timer (request weight
5), because a stream may be silent, and because no event has a margin type.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from leverage_nb.binance.events import AccountEvent, Event, LeverageEvent, StreamEvent, StreamState
from leverage_nb.binance.reader import read_settings
from leverage_nb.binance.watch import Watch
from leverage_nb.cards import label
from leverage_nb.change import Change, Kind, LeverageChange, is_at
from leverage_nb.changes.policy import Policy
from leverage_nb.changes.service import ChangeService
from leverage_nb.errors import (
    ChangedElsewhere,
    ChangeNotSent,
    ChangePending,
    InvalidInput,
    LeverageError,
    NoAnswer,
    NotConnected,
    OutcomeUnknown,
    RateLimited,
)
from leverage_nb.risk.account_state import LeverageSetting
from leverage_nb.terminal import encodable

# After so many reverts of one symbol in a session, another program evidently wants the other leverage.
MOST_REVERTS = 2

# Seconds between the reads of all settings while the stream is not live, and by how much longer they are if it is.
READ_EVERY, _LIVE_FACTOR = 60.0, 10.0

# Seconds for which close() waits for a revert that is under way.
_LONGEST_CLOSE = 5.0

# What keeps a revert from being sent for a while; the next read on the timer tries again.
_PASSING = (RateLimited, NotConnected, NoAnswer, ChangePending, ChangedElsewhere)


def _now() -> datetime:
    return datetime.now().astimezone()


@dataclass(frozen=True)
class Drift:
    """A setting is not what the policy allows.

    Attributes:
        symbol: The symbol.
        kind: "leverage" or "margin type".
        allowed: The cap, or the margin type of the policy.
        now: The value that the symbol has.
        at: The local time of the change, or of the read that showed it.
    """

    symbol: str
    kind: Kind
    allowed: Any
    now: Any
    at: datetime = field(default_factory=_now)

    @property
    def text(self) -> str:
        """The drift in words."""
        allowed = f"above its cap of {self.allowed}x" if self.kind == "leverage" else f"the policy has {self.allowed}"
        return f"{self.symbol} {is_at(self.kind, self.now)}: {allowed}"


@dataclass(frozen=True)
class Reverted:
    """A leverage was lowered to its cap.

    Attributes:
        symbol: The symbol.
        change: The change that was made.
        at: The local time.
    """

    symbol: str
    change: LeverageChange
    at: datetime = field(default_factory=_now)

    @property
    def text(self) -> str:
        """The change in words."""
        return f"{self.symbol} was lowered from {self.change.before}x to its cap of {self.change.after}x"


@dataclass(frozen=True)
class NotReverted:
    """A leverage above its cap was not lowered.

    Attributes:
        symbol: The symbol.
        reason: Why not, in words.
        code: Binance's code, if it refused the change or is expected to.
        at: The local time.
        is_unknown: Whether it was sent, and its outcome is not known.
    """

    symbol: str
    reason: str
    code: int | None = None
    at: datetime = field(default_factory=_now)
    is_unknown: bool = False

    @property
    def text(self) -> str:
        """The reason in words."""
        if self.is_unknown:
            return f"Whether {self.symbol} was lowered to its cap is unknown: {self.reason}"
        return f"{self.symbol} was not lowered to its cap: {self.reason}"


@dataclass(frozen=True)
class FollowProblem:
    """The settings could not be read, so a drift may be missed until the next read.

    Attributes:
        reason: Why, in words.
        at: The local time.
    """

    reason: str
    at: datetime = field(default_factory=_now)

    @property
    def text(self) -> str:
        """The problem in words."""
        return f"The settings could not be compared with the policy: {self.reason}"


FollowEvent = Drift | Reverted | NotReverted | FollowProblem


class PolicyWatch:
    """The handle of a policy that is followed. Close it, or leave its ``with`` block, to end it.

    Args:
        service: The service of the account.
        watch: Calls a function with every event of the account.
        policy: The policy.
        on_drift: Called with each event, in a thread of its own; None to print it.
        revert: Whether to lower leverages.
        reverts: The reverts of each symbol in this session.
        read_every: Seconds between the reads of all settings while the stream is not live.

    Attributes:
        policy: The policy, as its file was at the start.
        state: The state of the stream, see :class:`~leverage_nb.binance.events.StreamEvent`, or "closed".
        live: Whether changes are seen at once. Otherwise the settings are read every minute.
    """

    def __init__(
        self,
        service: ChangeService,
        watch: Callable[[Callable[[Event], object]], Watch],
        policy: Policy,
        on_drift: Callable[[FollowEvent], object] | None = None,
        *,
        revert: bool = False,
        reverts: Counter[str] | None = None,
        read_every: float = READ_EVERY,
    ) -> None:
        self.policy = policy
        self._service, self._on_drift, self._revert, self._read_every = service, on_drift, revert, read_every
        self._reverts: Counter[str] = Counter() if reverts is None else reverts
        self._known: dict[tuple[str, Kind], Any] = {}  # drifts of which the user knows
        self._again: set[str] = set()  # symbols whose revert could not be sent for a while
        self._lowered: dict[str, datetime] = {}  # when a revert of each symbol was sent
        self._said: dict[str, str] = {}  # what was reported last of each symbol; "" for the reads
        self._queue: queue.SimpleQueue[Event | Change | None] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._read_at, self._soon = -math.inf, math.inf
        self._watch = watch(self._receive)
        service.add_listener(self._receive)
        self._thread = threading.Thread(target=self._run, name="leverage_nb policy", daemon=True)
        self._thread.start()

    @property
    def state(self) -> StreamState | Literal["closed"]:
        """The state of the stream, or "closed"."""
        return "closed" if self._stop.is_set() or not self._thread.is_alive() else self._watch.state

    @property
    def live(self) -> bool:
        """Whether changes are seen at once."""
        return self.state == "live"

    def close(self) -> None:
        """End it. A revert that is under way ends; no other one begins. Any thread may call it, repeatedly."""
        self._stop.set()
        self._watch.close()
        self._queue.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join(_LONGEST_CLOSE)

    def __enter__(self) -> PolicyWatch:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<PolicyWatch {self.policy.name}, {self.state}{', reverts' if self._revert else ''}>"

    def _receive(self, event: Event | Change) -> None:
        """Take an event of the stream, or a change that was made here."""
        self._queue.put(event)

    def _run(self) -> None:
        begun = False
        while not self._stop.is_set():
            try:
                if time.monotonic() >= self._due():
                    begun = self._read(is_first=not begun) or begun
                with suppress(queue.Empty):
                    self._take(self._queue.get(timeout=max(0.0, self._due() - time.monotonic())))
            except Exception as exc:  # noqa: BLE001 - a thread that ends unnoticed would leave the policy unwatched
                self._problem(f"{type(exc).__name__} in leverage_nb. Please report this bug")

    def _due(self) -> float:
        every = self._read_every * (_LIVE_FACTOR if self._watch.live else 1.0)
        return min(self._read_at + every, self._soon)

    def _read(self, *, is_first: bool) -> bool:
        """Compare all settings with the policy; return whether they could be read."""
        self._read_at, self._soon = time.monotonic(), math.inf
        settings: dict[str, LeverageSetting] = {}
        try:
            settings = read_settings(self._service.client, {})
        except LeverageError as exc:
            self._problem(str(exc))
            return False
        self._said.pop("", None)
        for symbol, setting in settings.items():
            at = setting.as_of or _now()
            self._compare(symbol, "leverage", setting.leverage, at, revert=not is_first)
            self._compare(symbol, "margin type", setting.margin_type, at)
        return True

    def _take(self, event: Event | Change | None) -> None:
        if isinstance(event, LeverageEvent):
            if (lowered := self._lowered.get(event.symbol)) is not None and event.at < lowered:
                return  # a read showed it before, and it was reverted
            self._compare(event.symbol, "leverage", event.leverage, event.at)
        elif isinstance(event, Change) and event.status == "applied":
            lowered = self._lowered.get(event.symbol) if event.kind == "leverage" else None
            if lowered is not None and event.sent_at is not None and event.sent_at < lowered:
                return  # as above
            self._compare(event.symbol, event.kind, event.after, _now())
        elif isinstance(event, AccountEvent) and event.reason == "MARGIN_TYPE_CHANGE":
            # The event has no margin type, and a read may be stale by the grace.
            self._soon = min(self._soon, time.monotonic() + self._service.client.grace)
        elif isinstance(event, StreamEvent) and event.state == "connected":
            self._soon = time.monotonic()  # what changed while there was no connection

    def _compare(self, symbol: str, kind: Kind, now: Any, at: datetime, *, revert: bool = True) -> None:
        """Alert to a drift that is new. A leverage that is not set is no drift, because nobody has changed it."""
        allowed: Any = None
        if kind == "leverage":
            allowed = self.policy.cap(symbol)
            drifts = allowed is not None and now is not None and now > allowed
        elif kind == "margin type":
            allowed = self.policy.margin_type(symbol)
            drifts = bool(allowed) and now != allowed
        else:
            return
        if not drifts:
            self._known.pop((symbol, kind), None)
            return
        is_new = self._known.get((symbol, kind)) != now
        if is_new:
            self._known[symbol, kind] = now
            self._call(Drift(symbol, kind, allowed, now, at))
        if self._revert and revert and kind == "leverage" and (is_new or symbol in self._again):
            self._lower(symbol, allowed)

    def _lower(self, symbol: str, cap: int) -> None:
        """Lower a leverage to its cap, on a new read."""
        self._again.discard(symbol)
        begun = False
        try:
            preview = self._service.preview(symbol, cap)
            if preview.before is None or preview.before <= cap:
                self._known.pop((symbol, "leverage"), None)
                return  # another program was faster
            if self._reverts[symbol] >= MOST_REVERTS:
                again = f"it was lowered {MOST_REVERTS} times in this session, and raised again"
                self._report(NotReverted(symbol, f"{again}; it is not lowered any more"))
                return
            if not preview.sends:
                self._report(NotReverted(symbol, preview.guard or preview.expectation, preview.code))
                return
            if self._stop.is_set():
                return
            begun = True
            self._reverts[symbol] += 1
            change = preview.apply()
        except LeverageError as exc:
            cause = getattr(exc, "reason", None) or exc
            if isinstance(cause, ChangedElsewhere):  # its text speaks of a confirmation, and there was none
                cause = ChangedElsewhere("another program changed it at the same moment; it is read again")
            not_sent = not begun or isinstance(exc, ChangeNotSent)
            if begun and not_sent:
                self._reverts[symbol] -= 1
            if not_sent and isinstance(cause, _PASSING):
                self._again.add(symbol)
            reason = str(cause if not_sent else exc)  # the event itself says that the leverage was not lowered
            self._report(NotReverted(symbol, reason, exc.code, is_unknown=isinstance(exc, OutcomeUnknown)))
            return
        if change.sent_at is not None:
            self._lowered[symbol] = change.sent_at
        self._known.pop((symbol, "leverage"), None)
        self._said.pop(symbol, None)
        self._call(Reverted(symbol, change))

    # -- reports ------------------------------------------------------------------------------------------------

    def _report(self, event: NotReverted) -> None:
        """Report why a symbol was not reverted, unless the last report of it was the same."""
        if self._said.get(event.symbol) != event.reason:
            self._said[event.symbol] = event.reason
            self._call(event)

    def _problem(self, reason: str) -> None:
        if self._said.get("") != reason:
            self._said[""] = reason
            self._call(FollowProblem(reason))

    def _call(self, event: FollowEvent) -> None:
        if self._on_drift is None:
            self._print(event.text)
            return
        try:
            self._on_drift(event)
        except Exception as exc:  # noqa: BLE001 - the user's function may raise anything
            self._print(f"{event.text.rstrip('.')}. The function of on_drift failed: {type(exc).__name__}: {exc}")

    def _print(self, text: str) -> None:
        """Print a line. A notebook shows it below the cell that ran last, also while another one runs."""
        client = self._service.client
        where = ", ".join(filter(None, (label(client.venue.label), client.profile)))
        line = f"[{where}] Policy {self.policy.name}: {text.rstrip('.')}."
        with suppress(Exception):  # standard output may be closed
            print(encodable(line), flush=True)  # noqa: T201 - display() does not work in a thread


def check_follow(service: ChangeService, revert: bool, on_drift: Any, allow_mainnet: bool) -> None:
    """Check the arguments of ``Account.follow_policy``.

    Raises:
        InvalidInput: One is invalid, or reverting on mainnet is not allowed.
        ReadOnly, LoggedOut: Reverting is wanted, and the account sends no change.
    """
    if not isinstance(revert, bool) or not isinstance(allow_mainnet, bool):
        raise InvalidInput(
            "revert and allow_mainnet are True or False.", hint="For example follow_policy(path, revert=True)."
        )
    if on_drift is not None and not callable(on_drift):
        raise InvalidInput(
            f"on_drift is a function, or None to print; got {type(on_drift).__name__}.", hint="To print: leave it out."
        )
    if not revert:
        return
    if (forbidden := service.forbidden()) is not None:
        raise forbidden
    if service.client.venue.asks_first and not allow_mainnet:
        raise InvalidInput(
            f"revert=True would change leverages on the {service.client.venue.label} without a question.",
            hint="If that is wanted: follow_policy(..., revert=True, allow_mainnet=True).",
        )
