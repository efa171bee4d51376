"""Changer: makes the changes of one account, and keeps what follows from them: limits met, events heard, listeners."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from weakref import WeakMethod

from leverage_nb.changes.attempt import ChangeRequest, change_leverage, not_sent
from leverage_nb.changes.entries import Attempt
from leverage_nb.changes.journal import Journal
from leverage_nb.changes.limits import Guard, MetLimits
from leverage_nb.changes.record import LeverageChange
from leverage_nb.changes.settle import Progress
from leverage_nb.errors import JournalUnusable, LeverageError, LeverageRefused, Mistake
from leverage_nb.exchange.events import Event, LeverageEvent
from leverage_nb.exchange.rest import RestClient
from leverage_nb.exchange.snapshot import read_alias
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
        self, request: ChangeRequest, setting: LeverageSetting | None = None, progress: Progress | None = None
    ) -> LeverageChange:
        """Make a change: see :func:`leverage_nb.changes.attempt.change_leverage`.

        Raises:
            ChangeNotSent, LeverageRefused, ChangeNotApplied, ChangeSuperseded, OutcomeUnknown: With the record.
        """
        self.check_guard(request.symbol, request.leverage)
        self._check_profile(request)
        self.changed_at = datetime.now().astimezone()
        try:
            change = change_leverage(
                self._client, self.journal, request, setting=setting, progress=progress, heard=self.heard
            )
        except LeverageRefused as refused:
            self.met_limits.remember(request.symbol, refused)
            raise
        if change.status == "applied":
            self.met_limits.forget_below(request.symbol, request.leverage)
        self.tell(change)
        return change

    def check_guard(self, symbol: str, leverage: int) -> None:
        """Stop what the guard stops.

        Raises:
            ChangeNotSent: The leverage is above it.
        """
        if reason := self.guard.stops(leverage):
            stop = Mistake(reason, hint="Raise max_leverage to go higher.")
            raise not_sent(self._client, symbol, leverage, stop)

    def _check_profile(self, request: ChangeRequest) -> None:
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
        raise not_sent(self._client, request.symbol, request.leverage, failure)

    # -- what was --------------------------------------------------------------------------------------------

    def changed_since(self, symbol: str, moment: datetime) -> bool:
        """Whether a change of a symbol was begun since, by this process or another with the same journal."""
        if self.changed_at >= moment:
            return True
        with suppress(JournalUnusable):  # the change itself will say so
            last = self.journal.last(self._client.venue.rest_url, self._client.identity, symbol)
            return last is not None and last.begun_at >= moment
        return False

    def attempts(self, *, open_only: bool = False, last: int | None = None) -> list[Attempt]:
        """The attempts of this account, oldest first: see :meth:`leverage_nb.changes.journal.Journal.attempts`.

        Raises:
            JournalUnusable: The journal cannot be read.
        """
        return self.journal.attempts(self._client.venue.rest_url, self._client.identity, open_only=open_only, last=last)

    def record(self, attempt: Attempt) -> LeverageChange:
        """The record of an attempt of this account, under the name that the account goes by today."""
        return replace(attempt.change, account=self._client.account)

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
