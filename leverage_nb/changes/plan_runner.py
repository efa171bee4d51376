"""Send the changes of a plan, several at a time, within the rate limit.

Rows are sent in batches. For each batch all settings are read once and compared with the leverages that the plan
showed, its attempts are recorded in one transaction, and it leaves within a second of that read. A row that could not
leave in time is closed as not sent, and belongs to the next batch.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from leverage_nb import interrupts
from leverage_nb.binance.endpoints import LEVERAGE, SYMBOL_CONFIG
from leverage_nb.binance.http import SentTooLate
from leverage_nb.binance.reader import read_settings
from leverage_nb.change import Change
from leverage_nb.changes.deliver import Delivered, deliver, draft_attempt, not_sent_finding, post_change
from leverage_nb.changes.fresh_read import FRESH_FOR, SECOND_READ_AFTER, all_agree, pending, settle_earlier
from leverage_nb.changes.kinds import changed_elsewhere, difference
from leverage_nb.changes.plan import DONE, PlanProgress, PlanRow, RowKey, ended_row
from leverage_nb.changes.report import not_sent, return_if_applied, with_more
from leverage_nb.changes.request import ChangeRequest
from leverage_nb.changes.send import OVERLOAD_PAUSES
from leverage_nb.changes.service import ChangeService
from leverage_nb.changes.settle import record, settle
from leverage_nb.errors import (
    JournalUnusable,
    LeverageError,
    LeverageRefused,
    NoAnswer,
    NotConnected,
    RateLimited,
    UnexpectedAnswer,
)
from leverage_nb.formatting import moment
from leverage_nb.journal.attempts import Attempt, Finding
from leverage_nb.risk.account_state import LeverageSetting

# Seconds. A rate limit of one minute is waited for; a ban ends the plan.
LONGEST_WAIT = 65.0

# The most requests in flight at once. The rate limit applies besides.
AT_ONCE = 24

# The first batch shows whether the connection works, and how long an answer takes.
_FIRST_BATCH, _LARGEST_BATCH = 4, 240
# Seconds for which a batch is planned, of the one second within which it must leave.
_PLANNED_FOR = 0.6

# The plan ends after so many rows without an answer in a row.
_DEAD_AFTER = 3

# The most starts of a row: its read grew old, or a refusal passed.
_MOST_STARTS = 4
# The same while other accounts of this process use up the rate limit that they share.
_MOST_WAITS = 20


@dataclass
class _Sending:
    """One row that is being sent.

    Attributes:
        row: The row.
        starts: How often it was started.
        attempt: Its latest attempt in the journal.
        refused: Its latest outcome, if that was a refusal that passes.
    """

    row: PlanRow
    starts: int = 0
    attempt: Attempt | None = None
    refused: Change | LeverageError | None = None


Outcome = Delivered | LeverageError


class PlanRun:
    """One application of a plan.

    Args:
        service: The service of the account.
        name: The plan's name in the journal.
        progress: Called after each row.
        total: The number of rows.
        independent: Whether a leverage is sent although the change of its symbol's margin type failed.

    Attributes:
        ended: The rows with an outcome.
        interrupted: Whether Ctrl-C ended it.
    """

    def __init__(
        self, service: ChangeService, name: str, progress: PlanProgress | None, total: int, *, independent: bool = False
    ) -> None:
        self._service, self._client, self._journal = service, service.client, service.journal
        self._name, self._progress, self._total, self._independent = name, progress, total, independent
        self.ended: dict[RowKey, PlanRow] = {}
        self.interrupted = False
        self._attempts: dict[RowKey, Attempt] = {}  # the latest one of each row
        self._drafted: set[str] = set()  # the tokens of this application; a retry has the plan's name too
        self._unanswered = 0
        self._latency = 0.0
        self._clock_differs = False

    def report(self, row: PlanRow) -> None:
        """Store the outcome of a row, and call the progress function."""
        self.ended[row.key] = row
        if self._progress is not None:
            with suppress(Exception):  # a failing display must not end the plan
                self._progress(len(self.ended), self._total, row)

    def execute(self, *groups: Sequence[PlanRow]) -> None:
        """Send groups of rows, one after the other, and find the outcome of each row.

        Every row gets an outcome in any case: from its answer, or from the journal.
        """
        for group in groups:
            waiting = deque(_Sending(row) for row in group if not self._stop_after_failure(row))
            reason = "interrupted before it was sent"
            with suppress(interrupts.WorkCancelled):
                try:
                    reason = self._send_all(waiting)
                except LeverageError as exc:
                    reason = str(exc)
                except Exception as exc:  # noqa: BLE001 - what was sent must be reported
                    reason = f"{type(exc).__name__} in leverage_nb. Please report this bug"
            missing = [row for row in group if row.key not in self.ended]
            recorded = self._recorded_attempts() if missing else {}
            for row in missing:
                self.report(self._end_without_answer(row, recorded.get(row.key), reason))
            if any(row.kind == "margin type" for row in group):  # a read is part of its outcome
                self._settle_if_not_cancelled()
        self._settle_if_not_cancelled()

    def _stop_after_failure(self, row: PlanRow) -> bool:
        """Report a leverage as not sent if the margin type of its symbol, which comes first, was not changed."""
        first = self.ended.get((row.symbol, "margin type"))
        if self._independent or row.kind != "leverage" or first is None or first.status in DONE:
            return False
        outcome = first.status.replace("_", " ")
        self.report(replace(row, status="not_sent", reason=f"the change of margin type before it ended as {outcome}"))
        return True

    # -- batches ------------------------------------------------------------------------------------------------

    def _send_all(self, waiting: deque[_Sending]) -> str:
        """Send rows batch by batch; return why the others were not sent."""
        pauses = iter(OVERLOAD_PAUSES)
        while waiting:
            interrupts.check()
            if self._unanswered >= _DEAD_AFTER:
                return "the exchange does not answer, so the rest of the plan was not sent"
            if reason := self._wait_for_rate_limit(waiting):
                return reason
            again = self._send_batch([waiting.popleft() for _ in range(min(self._batch_size(), len(waiting)))])
            if any(sending.refused is not None for sending in again):
                interrupts.pause(next(pauses, OVERLOAD_PAUSES[-1]))
            waiting.extend(again)
        return ""

    def _batch_size(self) -> int:
        if not self._latency:
            return _FIRST_BATCH
        return min(_LARGEST_BATCH, AT_ONCE * max(1, int(_PLANNED_FOR / self._latency)))

    def _wait_for_rate_limit(self, waiting: deque[_Sending]) -> str:
        """Wait until the rate limit allows a batch; return why it does not within a minute."""
        weight = SYMBOL_CONFIG.weight + LEVERAGE.weight * min(self._batch_size(), len(waiting))
        while (wait := self._client.limiter.wait_for(weight)) > 0:
            if wait > LONGEST_WAIT:
                until = self._client.limiter.blocked_until
                at = f" until {moment(until)}" if until else ""
                return f"the exchange has asked this address to wait{at}"
            interrupts.pause(min(wait, 0.25))
        return ""

    def _send_batch(self, batch: list[_Sending]) -> list[_Sending]:
        """Read, compare, record and send; return the rows for a later batch."""
        if self._clock_differs:
            self._client.compare_clocks()
            self._clock_differs = False
        settings = self._read_settings(batch)
        ready = [sending for sending in batch if self._compare(sending, settings.get(sending.row.symbol))]
        if not ready:
            return []
        drafts = [draft_attempt(self._client, self.request(s.row), s.row.before) for s in ready]
        self._drafted |= {draft.token for draft in drafts}
        begun_at = time.monotonic()
        begun = self._journal.begin(drafts, self._client.time_ms)
        sent: list[_Sending] = []
        for sending, draft, attempt in zip(ready, drafts, begun, strict=True):
            if attempt.token == draft.token:
                sending.attempt, sending.starts = attempt, sending.starts + 1
                self._attempts[sending.row.key] = attempt
                sent.append(sending)
            else:
                self._report_not_sent(sending, pending(self._client, attempt))
        read_at = min(settings[sending.row.symbol].read_at for sending in ready)
        # A request older than recvWindow would be refused.
        expires = min(read_at + FRESH_FOR, begun_at + self._client.recv_window / 1000)
        return self._deliver_all(sent, expires)

    def _read_settings(self, batch: Sequence[_Sending]) -> dict[str, LeverageSetting]:
        """Read all settings after earlier attempts are settled; once more if a read may be stale."""
        assets = {sending.row.symbol: sending.row.margin_asset for sending in batch}
        latest = self._journal.latest(self._client.identity, list(assets))
        if still := [known.open for known in latest.values() if known.open is not None]:
            settle_earlier(self._client, self._journal, still)
        settings = read_settings(self._client, assets)
        if not all_agree(self._client, self._journal, settings, list(assets)):
            interrupts.pause(max(SECOND_READ_AFTER, self._client.grace))
            settings = read_settings(self._client, assets)
        return settings

    def _compare(self, sending: _Sending, setting: LeverageSetting | None) -> bool:
        """Whether a row may be sent: its symbol is at the leverage that the plan showed."""
        row = sending.row
        if setting is None:
            self._report_not_sent(
                sending, UnexpectedAnswer(f"The exchange's list of settings does not contain {row.symbol}.")
            )
        elif setting.value(row.kind) == row.before:
            return True
        elif sending.refused is not None:
            if isinstance(sending.refused, LeverageError):
                now = difference(row.kind, row.symbol, row.before, setting.value(row.kind))
                with_more(sending.refused, f"No further attempt was made: {now}")
            self.report(ended_row(row, sending.refused))
        elif setting.value(row.kind) == row.after:
            change = self.request(row).unchanged(self._client, setting)
            self.report(ended_row(row, change))
        else:
            self._report_not_sent(
                sending, changed_elsewhere(difference(row.kind, row.symbol, row.before, setting.value(row.kind)))
            )
        return False

    # -- sending ------------------------------------------------------------------------------------------------

    def _deliver_all(self, batch: Sequence[_Sending], expires: float) -> list[_Sending]:
        """Send recorded attempts, several at a time, and record their answers as they come."""
        waiting: queue.SimpleQueue[_Sending] = queue.SimpleQueue()
        for sending in batch:
            waiting.put(sending)
        results: queue.SimpleQueue[tuple[_Sending, Outcome] | None] = queue.SimpleQueue()
        cancellation = interrupts.current()
        stop = threading.Event()

        def work() -> None:
            with cancellation.adopted(), suppress(queue.Empty, interrupts.WorkCancelled):
                while not stop.is_set() and self._unanswered < _DEAD_AFTER:
                    self._send_one(waiting.get_nowait(), expires, results)
            results.put(None)

        threads = [threading.Thread(target=work, daemon=True) for _ in range(min(AT_ONCE, len(batch)))]
        again: list[_Sending] = []
        try:
            for thread in threads:
                thread.start()
            again += self._collect(results, len(threads))
        finally:
            stop.set()
        # Rows that no worker started: the connection is dead, or the plan was interrupted.
        unsent: list[tuple[_Sending, Outcome]] = []
        with suppress(queue.Empty):
            while True:
                unsent.append((waiting.get_nowait(), NotConnected("The plan ended before this row was sent.")))
        self._record(unsent)
        return again

    def _send_one(
        self, sending: _Sending, expires: float, results: queue.SimpleQueue[tuple[_Sending, Outcome] | None]
    ) -> None:
        attempt = sending.attempt
        assert attempt is not None  # noqa: S101 - only recorded attempts are sent
        request = self.request(sending.row)
        started = time.monotonic()
        outcome = deliver(
            self._client,
            request,
            lambda: post_change(self._client, request, lambda: attempt.timestamp_ms, expires),
            lambda: True,
        )
        if isinstance(outcome, Delivered) and not isinstance(outcome.failure, NoAnswer):
            self._unanswered = 0
            self._latency = time.monotonic() - started
        elif isinstance(outcome, Delivered) or type(outcome) is NotConnected:
            self._unanswered += 1
        results.put((sending, outcome))

    def _collect(self, results: queue.SimpleQueue[tuple[_Sending, Outcome] | None], workers: int) -> list[_Sending]:
        """Record answers, many in one transaction, until all workers end; return rows for a later batch."""
        again: list[_Sending] = []
        while workers:
            found: list[tuple[_Sending, Outcome]] = []
            result = results.get()
            while True:
                if result is None:
                    workers -= 1
                else:
                    found.append(result)
                try:
                    result = results.get_nowait()
                except queue.Empty:
                    break
            again += self._record(found)
        return again

    def _record(self, found: Sequence[tuple[_Sending, Outcome]]) -> list[_Sending]:
        """Record findings, and report their rows; return the rows for a later batch."""
        if not found:
            return []
        entries: list[tuple[Attempt, Finding]] = []
        for sending, outcome in found:
            assert sending.attempt is not None  # noqa: S101 - only recorded attempts are sent
            finding = outcome.finding if isinstance(outcome, Delivered) else not_sent_finding(outcome)
            entries.append((sending.attempt, finding))
        attempts = record(self._journal, entries)
        again = []
        for (sending, outcome), attempt in zip(found, attempts, strict=True):
            sending.attempt = self._attempts[sending.row.key] = attempt
            if self._goes_on(sending, outcome):
                again.append(sending)
            else:
                self.report(ended_row(sending.row, self._outcome_of(sending.row, attempt, outcome)))
        return again

    def _goes_on(self, sending: _Sending, outcome: Outcome) -> bool:
        """Whether a row is started again, in a later batch and on a new read."""
        if isinstance(outcome, RateLimited):
            return (outcome.retry_after or 0.0) <= LONGEST_WAIT and sending.starts < _MOST_WAITS
        if sending.starts >= _MOST_STARTS:
            return False
        if isinstance(outcome, Delivered) and outcome.may_repeat and sending.attempt is not None:
            self._clock_differs |= outcome.failure is not None and outcome.failure.code == -1021
            sending.refused = self._outcome_of(sending.row, sending.attempt, outcome)
            return True
        return isinstance(outcome, SentTooLate)

    def _outcome_of(self, row: PlanRow, attempt: Attempt, outcome: Outcome) -> Change | LeverageError:
        """Return the outcome of a row, as a change or an error."""
        change = self._service.past.change_of(attempt)
        if isinstance(outcome, LeverageError):
            return not_sent(change, outcome)
        if change.status == "unknown":
            return change  # settled at the end, together with the others
        try:
            applied = return_if_applied(change, outcome.failure)
        except LeverageError as exc:
            if isinstance(exc, LeverageRefused) and row.kind == "leverage":
                self._service.account_limits.learn(row.symbol, exc)
            return exc
        self._service.note_end(applied)
        return applied

    # -- ends ---------------------------------------------------------------------------------------------------

    def _report_not_sent(self, sending: _Sending, failure: LeverageError) -> None:
        change = self.request(sending.row).outcome(self._client, "not_sent", before=None)
        self.report(ended_row(sending.row, not_sent(change, failure)))

    def _recorded_attempts(self) -> dict[RowKey, Attempt]:
        """Return the latest attempt of each row from the journal; as last known here if it cannot be read."""
        with suppress(JournalUnusable):
            own = (one for one in self._service.past.attempts() if one.token in self._drafted)
            return {(one.symbol, one.kind): one for one in own}
        return self._attempts

    def _end_without_answer(self, row: PlanRow, attempt: Attempt | None, reason: str) -> PlanRow:
        """Return a row with the outcome of its attempt; not sent without one."""
        if attempt is not None:
            return ended_row(row, self._service.past.change_of(attempt))
        return replace(row, status="not_sent", reason=reason)

    def _settle_if_not_cancelled(self) -> None:
        with suppress(interrupts.WorkCancelled):  # their attempts stay open in the journal
            self._settle()

    def _settle(self) -> None:
        """Find the outcome of all rows without a definite answer."""
        numbers = {row.change.number for row in self.ended.values() if row.change and row.status == "unknown"}
        if not numbers:
            return
        with suppress(JournalUnusable):  # they stay unknown, and open in the journal
            found = [attempt for attempt in self._service.past.attempts() if attempt.number in numbers]
            closed = [attempt for attempt in found if not attempt.is_open]  # by another process
            still = [attempt for attempt in found if attempt.is_open]
            for attempt in (*closed, *settle(self._client, self._journal, still)):
                change = self._service.past.change_of(attempt)
                self.report(ended_row(self.ended[attempt.symbol, attempt.kind], change))
                self._service.note_end(change)

    def request(self, row: PlanRow) -> ChangeRequest:
        """Return the change of a row."""
        return ChangeRequest(row.symbol, row.after, row.margin_asset, undoes=row.undoes, plan=self._name, kind=row.kind)


def run_plan(run: PlanRun, *groups: Sequence[PlanRow]) -> None:
    """Apply a plan. On Ctrl-C, requests under way end, and the other rows are reported as not sent.

    Raises:
        KeyboardInterrupt: A second Ctrl-C, or one before the start. Nothing more is sent.
    """
    task = interrupts.Task(lambda: run.execute(*groups))
    try:
        task.result()
        return
    except KeyboardInterrupt:
        run.interrupted = True
        task.cancel()
    task.finish()
