"""Changer: makes the changes of one account, and keeps what follows from them: record, limits met, listeners."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from weakref import WeakMethod

from leverage_nb.changes.attempt import Order, change_leverage, not_sent
from leverage_nb.changes.entries import Attempt
from leverage_nb.changes.journal import Journal
from leverage_nb.changes.limits import Guard, MetLimits
from leverage_nb.changes.record import LeverageChange
from leverage_nb.changes.settle import Progress, deadline_ms, look_again, settle
from leverage_nb.errors import JournalUnusable, LeverageError, LeverageRefused, Mistake
from leverage_nb.exchange.events import Event, LeverageEvent
from leverage_nb.exchange.rest import RestClient
from leverage_nb.exchange.snapshot import read_alias, read_settings
from leverage_nb.risk.state import LeverageSetting


class Changer:
    """Makes the changes of one account.

    Args:
        client: Where, and with whose key.
        journal: Where they are written down.
        guard: The highest leverage that may be sent.

    Attributes:
        journal: As given.
        guard: As given.
        met_limits: What the exchange has named in a refusal.
        changed_at: When the last change was begun.
        heard: The last event of each symbol, while the account is watched.
    """

    def __init__(self, client: RestClient, journal: Journal, guard: Guard) -> None:
        self._client = client
        self.journal = journal
        self.guard = guard
        self.met_limits = MetLimits()
        self.changed_at = datetime.fromtimestamp(0).astimezone()
        self._profile_checked = False
        self.heard: dict[str, LeverageEvent] = {}
        self._listeners: list[WeakMethod[Callable[[LeverageChange], None]]] = []

    def change(
        self, order: Order, setting: LeverageSetting | None = None, progress: Progress | None = None
    ) -> LeverageChange:
        """Make a change: see :func:`leverage_nb.changes.attempt.change_leverage`.

        Raises:
            ChangeNotSent, LeverageRefused, ChangeNotApplied, ChangeSuperseded, OutcomeUnknown: With the record.
        """
        self.check_guard(order.symbol, order.leverage)
        self._check_profile(order)
        self.changed_at = datetime.now().astimezone()
        try:
            change = change_leverage(
                self._client, self.journal, order, setting=setting, progress=progress, heard=self.heard
            )
        except LeverageRefused as refused:
            self.met_limits.remember(order.symbol, refused)
            raise
        if change.status == "applied":
            self.met_limits.forget_below(order.symbol, order.leverage)
        self.tell(change)
        return change

    def check_guard(self, symbol: str, leverage: int) -> None:
        """Stop what the guard stops.

        Raises:
            ChangeNotSent: The leverage is above it.
        """
        limit = self.guard.limit()
        if limit is not None and leverage > limit[0]:
            stop = Mistake(f"The guard stops above {limit[0]}x ({limit[1]}).", hint="Raise max_leverage to go higher.")
            raise not_sent(self._client, symbol, leverage, stop)

    def _check_profile(self, order: Order) -> None:
        """Once a session: a profile's key opens the account that it was first used with.

        Raises:
            ChangeNotSent: It opens another, or that cannot be told.
        """
        profile = self._client.profile
        if profile is None or self._profile_checked:
            return
        failure: LeverageError
        try:
            alias = read_alias(self._client)
            bound = self.journal.bind_profile(self._client.venue.rest_url, profile, alias)
        except LeverageError as exc:
            failure = exc
        else:
            if alias == bound:
                self._profile_checked = True
                return
            failure = Mistake(
                f"The key of the profile {profile} opens the account {alias}; it was used with {bound} before.",
                hint="If the key was swapped by mistake, put the right one back; else use another profile's name.",
            )
        raise not_sent(self._client, order.symbol, order.leverage, failure)

    # -- what was --------------------------------------------------------------------------------------------

    def changed_since(self, symbol: str, moment: datetime) -> bool:
        """Whether a change of a symbol was begun since, by this process or another with the same journal."""
        if self.changed_at >= moment:
            return True
        with suppress(JournalUnusable):  # the change itself will say so
            last = self.journal.last(self._client.venue.rest_url, self._client.identity, symbol)
            return last is not None and last.begun_at >= moment
        return False

    def attempts(self) -> list[Attempt]:
        """Every attempt of this account, oldest first.

        Raises:
            JournalUnusable: The journal cannot be read.
        """
        return self.journal.attempts(self._client.venue.rest_url, self._client.identity)

    def settle_earlier(self, progress: Progress | None = None, *, wait: bool = False) -> list[LeverageChange]:
        """Look up what an earlier session, or this one, left open; and once more what had ended as not applied.

        Args:
            progress: Told what is awaited, and until when.
            wait: Wait for attempts whose time is not past yet; else they are left as they are.

        Returns:
            The changes of which something was found.

        Raises:
            JournalUnusable: The journal cannot be read or written.
        """
        attempts = self.attempts()
        awaited = [attempt for attempt in attempts if attempt.is_open]
        if any(self._client.time_ms() <= deadline_ms(attempt) for attempt in awaited):
            with suppress(LeverageError):  # before this machine's clock is believed
                self._client.compare_clocks()
        if not wait:
            awaited = [attempt for attempt in awaited if self._client.time_ms() > deadline_ms(attempt)]
        found = settle(self._client, self.journal, awaited, progress=progress, until_closed=True)
        changes = [attempt.change for attempt in found if not attempt.is_open]
        last = {attempt.symbol: attempt for attempt in attempts}
        doubtful = [attempt for attempt in last.values() if attempt.wants_another_look]
        if doubtful:
            with suppress(LeverageError):  # there will be another contact
                assets = {attempt.symbol: attempt.margin_asset for attempt in doubtful}
                settings = read_settings(self._client, assets)
                changes += [attempt.change for attempt in look_again(self.journal, attempts, settings)]
        for change in changes:
            self.tell(change)
        return changes

    def last_to_undo(self) -> list[Attempt]:
        """The last change of this account that was applied and not taken back; all of its plan's, oldest first.

        Raises:
            Mistake: There is none, or a later one is not settled.
            JournalUnusable: The journal cannot be read.
        """
        attempts = self.attempts()
        undone = {attempt.undoes for attempt in attempts if attempt.undoes is not None and attempt.status == "applied"}
        for attempt in reversed(attempts):
            if attempt.number in undone or not (attempt.status == "applied" or attempt.is_open):
                continue
            same = [attempt]
            if attempt.plan is not None and attempt.undoes is None:
                same = [other for other in attempts if other.plan == attempt.plan and other.number not in undone]
            for other in same:
                if other.status == "unknown" and other.is_open:
                    step = f"{other.symbol} {other.before}x → {other.requested}x"
                    raise Mistake(
                        f"What became of the last change, {step}, is not known yet: nothing was undone.",
                        hint="%leverage --history, or account.history(), looks it up.",
                    )
            if attempt.undoes is None:
                return [other for other in same if other.status == "applied"]
        raise Mistake("There is no change to undo: the journal of this account holds none that stands.")

    def hear(self, event: Event) -> None:
        """Take note of a leverage that the exchange has told by itself: it may settle an attempt."""
        if isinstance(event, LeverageEvent):
            self.heard[event.symbol] = event

    # -- who is told -----------------------------------------------------------------------------------------

    def tell_changes_to(self, listener: Callable[[LeverageChange], None]) -> None:
        """Call a method with every change of which it is known what became of it, for as long as its object lives."""
        self._listeners.append(WeakMethod(listener))

    def tell(self, change: LeverageChange) -> None:
        """Tell the listeners of a change of which it is known what became of it."""
        self._listeners = [reference for reference in self._listeners if reference() is not None]
        for reference in self._listeners:
            listener = reference()
            if listener is not None:
                with suppress(Exception):  # a panel that cannot redraw must not turn a change into a failure
                    listener(change)
