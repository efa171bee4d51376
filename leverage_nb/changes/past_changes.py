"""PastChanges: the attempts of one account in the journal, as the changes that they were."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime

from leverage_nb import interrupts
from leverage_nb.binance.client import RestClient
from leverage_nb.change import Change, Kind
from leverage_nb.changes.settle import Progress, seconds_left, settle
from leverage_nb.errors import LeverageError
from leverage_nb.journal.attempts import Attempt
from leverage_nb.journal.journal import Journal

# How many of the last attempts has_since() reads: those that may be younger than a preview.
_RECENT = 100


class PastChanges:
    """The changes of one account that were sent or tried.

    Args:
        client: The client of the account.
        journal: The journal of the account.
        note_end: Called with each change whose outcome was found here.
    """

    def __init__(self, client: RestClient, journal: Journal, note_end: Callable[[Change], None]) -> None:
        self._client, self._journal, self._note_end = client, journal, note_end

    def attempts(self, *, open_only: bool = False, last: int | None = None) -> list[Attempt]:
        """Return the attempts of this account, oldest first.

        Raises:
            JournalUnusable: The journal cannot be read.
        """
        return self._journal.attempts(self._client.identity, open_only=open_only, last=last)

    def has_since(self, symbol: str, kind: Kind, at: datetime) -> bool:
        """Whether a change of this kind was made, or may have been, since a time.

        Raises:
            JournalUnusable: The journal cannot be read.
        """
        now = datetime.now().astimezone()  # an attempt that is dated later says nothing: the clock was set back since
        return any(
            (attempt.symbol, attempt.kind) == (symbol, kind)
            and at <= attempt.begun_at <= now
            and attempt.status in {"applied", "unknown"}
            for attempt in self.attempts(last=_RECENT)
        )

    def change_of(self, attempt: Attempt) -> Change:
        """Return the record of an attempt, under the account's current name."""
        return replace(attempt.change, account=self._client.account)

    def settle(self, progress: Progress | None = None, *, wait: bool) -> list[Change]:
        """Find the outcome of changes without a definite answer: see ``Account.settle``."""
        awaited = self.attempts(open_only=True)
        if any(seconds_left(self._client, attempt) for attempt in awaited):
            with suppress(LeverageError):  # this machine's clock may be wrong
                self._client.compare_clocks()
        if not wait:
            awaited = [attempt for attempt in awaited if not seconds_left(self._client, attempt)]
        found = interrupts.run(
            lambda: settle(self._client, self._journal, awaited, progress=progress, until_closed=True)
        )
        changes = [self.change_of(attempt) for attempt in found if not attempt.is_open]
        for change in changes:
            self._note_end(change)
        return changes

    def open(self) -> list[Change]:
        """Return the changes without a final outcome. Reads only the journal; sends no request.

        Raises:
            JournalUnusable: The journal cannot be read.
        """
        return [self.change_of(attempt) for attempt in self.attempts(open_only=True)]

    def last(self, count: int) -> list[Change]:
        """Return the last changes, newest first, and all open ones. Reads only the journal; sends no request.

        Raises:
            JournalUnusable: The journal cannot be read.
        """
        wanted = {attempt.number: attempt for attempt in (*self.attempts(last=count), *self.attempts(open_only=True))}
        return [self.change_of(attempt) for _, attempt in sorted(wanted.items(), reverse=True)]
