"""Send one change: read the setting, record the attempt, post it once, find its outcome.

An attempt is never sent again. It leaves only on a read that shows the value from which the change was confirmed, and
that was sent after the last wait and at most one second ago. A change by another client between that read and the
exchange's execution cannot be excluded.
"""

from __future__ import annotations

import time
from dataclasses import replace

from leverage_nb import interrupts
from leverage_nb.binance.client import RestClient
from leverage_nb.binance.http import SentTooLate
from leverage_nb.change import Change, Value, value_text
from leverage_nb.changes.deliver import Delivered, deliver, draft_attempt, not_sent_finding, post_change
from leverage_nb.changes.fresh_read import FRESH_FOR, pending, read_before_change
from leverage_nb.changes.kinds import KINDS, changed_elsewhere
from leverage_nb.changes.report import not_sent, return_if_applied, with_more
from leverage_nb.changes.request import ChangeRequest, Reading
from leverage_nb.changes.settle import Progress, record, settle
from leverage_nb.errors import ChangeNotSent, LeverageError
from leverage_nb.journal.attempts import Attempt
from leverage_nb.journal.journal import Journal
from leverage_nb.risk.account_state import LeverageSetting

# How often an attempt is started while its read grows old before the request can leave.
_STARTS = 3

# Seconds to wait after a 503 that states that nothing was executed, as Binance advises.
OVERLOAD_PAUSES = (0.2, 0.4, 0.8)

Sent = tuple[Attempt, LeverageError | None, bool]  # the attempt, its failure, whether another attempt may follow


class Sender:
    """Makes one change.

    Args:
        client: The client of the account.
        journal: The journal in which each attempt is recorded before it leaves.
        request: The change.
        progress: Called with a sentence about what is being verified, and until when, if no definite answer came.
    """

    def __init__(
        self, client: RestClient, journal: Journal, request: ChangeRequest, progress: Progress | None = None
    ) -> None:
        self._client, self._journal, self._request, self._progress = client, journal, request, progress
        self._kind = KINDS[request.kind]
        self._before = request.before
        self._token = ""  # of the latest attempt

    def run(self) -> Change:
        """Make the change.

        Returns:
            A change that was applied, or that was not needed.

        Raises:
            ChangeNotSent, LeverageRefused, ChangeNotApplied, ChangeSuperseded, OutcomeUnknown: With ``.change``.
        """
        request = self._request
        try:
            setting, applied = read_before_change(self._client, self._journal, request, self._progress)
            self._before = setting.value(request.kind)
            if request.is_confirmed:
                self._check_before(setting, request.before)
        except LeverageError as exc:
            failure = exc
        else:
            if isinstance(setting, LeverageSetting) and self._kind.is_done(request, setting):
                note = ""
                if applied is not None and applied.value != request.requested:
                    last = value_text(request.kind, applied.value)
                    note = f"Changed elsewhere since: the last change from here set {last}."
                return request.unchanged(self._client, setting, note)
            return self._send_until_definite(setting)
        raise self._not_sent(failure)

    def latest_attempt(self) -> Attempt | None:
        """Return the latest attempt as the journal has it; None if none was recorded.

        Raises:
            JournalUnusable: The journal cannot be read.
        """
        return self._journal.find(self._client.identity, self._token) if self._token else None

    def _record_of(self, attempt: Attempt) -> Change:
        return replace(attempt.change, account=self._client.account, effects=self._request.effects)

    def _not_sent(self, failure: LeverageError) -> LeverageError:
        return not_sent(self._request.outcome(self._client, "not_sent", before=self._before), failure)

    def _check_before(self, setting: Reading, before: Value | None) -> None:
        """Raise ChangedElsewhere if a read shows another value than the change starts from."""
        if text := self._kind.find_difference(self._request, setting, before):
            raise changed_elsewhere(text)

    def _read_again(self) -> Reading:
        """Read the value for another attempt, which starts from the same one."""
        setting = self._kind.read(self._client, self._request)
        self._check_before(setting, self._before)
        return setting

    def _send_until_definite(self, setting: Reading) -> Change:
        """Attempt it; again after a definite refusal that passes; then find the outcome."""
        attempt, failure, may_repeat = self._attempt_while_fresh(setting)
        for pause in OVERLOAD_PAUSES:
            if not may_repeat:
                break
            try:
                if failure is not None and failure.code == -1021:
                    self._client.compare_clocks()
                interrupts.pause(pause)
                attempt, failure, may_repeat = self._attempt_while_fresh(self._read_again())
            except LeverageError as exc:
                reason = (exc.reason if isinstance(exc, ChangeNotSent) else None) or exc  # the first attempt was sent
                failure, may_repeat = with_more(failure, f"No further attempt was made: {reason.message}"), False
        if attempt.is_open:
            [attempt] = settle(self._client, self._journal, [attempt], progress=self._progress)
        return return_if_applied(self._record_of(attempt), failure)

    def _attempt_while_fresh(self, setting: Reading) -> Sent:
        """Attempt it; on a new read if the request could not leave in time."""
        failure: LeverageError
        for _ in range(_STARTS):
            try:
                return self._attempt(setting)
            except SentTooLate as exc:
                failure = exc
            try:
                setting = self._read_again()
            except LeverageError as exc:
                failure = exc
                break
        raise self._not_sent(failure)

    def _attempt(self, setting: Reading) -> Sent:
        """Record an attempt, send it, record its answer.

        Raises:
            SentTooLate: The read grew old before the request could leave. Nothing was sent.
            ChangeNotSent: Nothing was sent, for another reason.
        """
        expires = setting.read_at + FRESH_FOR
        recorded: list[Attempt] = []

        def record_and_stamp() -> int:
            if time.monotonic() > expires:
                raise SentTooLate("The setting was read too long ago.")
            interrupts.check()
            draft = draft_attempt(self._client, self._request, setting.value(self._request.kind))
            self._token = draft.token
            [attempt] = self._journal.begin([draft], self._client.time_ms)
            if attempt.token != draft.token:
                raise pending(self._client, attempt)
            recorded.append(attempt)
            return attempt.timestamp_ms

        outcome = deliver(
            self._client,
            self._request,
            lambda: post_change(self._client, self._request, record_and_stamp, expires),
            lambda: bool(recorded),
        )
        if isinstance(outcome, Delivered):
            [attempt] = record(self._journal, [(recorded[-1], outcome.finding)])
            return attempt, outcome.failure, outcome.may_repeat
        change = self._request.outcome(self._client, "not_sent", before=setting.value(self._request.kind))
        if recorded:
            [attempt] = record(self._journal, [(recorded[-1], not_sent_finding(outcome))])
            change = self._record_of(attempt)
        if isinstance(outcome, SentTooLate):
            raise outcome
        raise not_sent(change, outcome)
