"""The claims of a report, compared with what the simulator did.

The claims are those of :class:`leverage_nb.change.LeverageChange`, one by one:

* ``applied`` by "answer": the simulator executed the request with this attempt's timestamp, to this leverage.
* ``applied`` by "symbolConfig": at some time between ``as_of`` and the report the symbol was at ``requested``.
* ``unchanged``: the same, and no attempt was recorded.
* ``refused``: no request with this attempt's timestamp was executed, by the end of the run.
* ``not_sent``: no request with this attempt's timestamp arrived.
* ``not_applied``: the read was sent after the attempt's time window, and at some time between it and the report
  the symbol was at ``before``.
* ``superseded``: the same with ``after``, which is neither ``before`` nor ``requested``.
* ``unknown``: the attempt was open in the journal.

In any case no request arrives twice, every request that arrives is recorded, and no attempt begins while an earlier
one on its symbol is open. A change is sent from the confirmed leverage: within the second before an attempt was
recorded, the symbol was at its ``before``. Between that time and the execution another client may change it.

A read may be stale by the client's grace, so these periods begin that much earlier.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

from leverage_nb.change import LeverageChange
from leverage_nb.changes.fresh_read import FRESH_FOR
from leverage_nb.journal.attempts import Attempt
from leverage_nb.simulator.records import Execution

# The journal stores microseconds, the simulator's clock is a float, and an execution is recorded a moment later.
TICK = 0.002


@dataclass(frozen=True)
class SimulatorRecord:
    """What the simulator did: the leverages that it set, and the changes that arrived.

    Attributes:
        executed: Every leverage that was set.
        received: Symbol and timestamp of every change that arrived.
        opening: The leverages at the beginning.
        grace: By how many seconds a read may be stale.
    """

    executed: list[Execution]
    received: list[tuple[str, int]]
    opening: dict[str, int]
    grace: float

    def leverages(self, symbol: str, start: datetime, end: datetime) -> set[int]:
        """Return every leverage that a symbol had between two times."""
        current, seen = self.opening[symbol], set()
        for execution in self.executed:
            if execution.symbol != symbol:
                continue
            if execution.at > end.timestamp() + TICK:
                break
            if execution.at >= start.timestamp() - TICK:
                seen.add(current)
            current = execution.after
        return seen | {current}

    def executions(self, attempt: Attempt) -> list[Execution]:
        """Return the executions of an attempt: none, or one."""
        key = (attempt.symbol, attempt.timestamp_ms)
        return [execution for execution in self.executed if (execution.symbol, execution.timestamp) == key]


def contradiction(
    record: SimulatorRecord, change: LeverageChange, attempt: Attempt | None, reported_at: datetime
) -> str:
    """Return why a report is false; an empty text if it is true."""
    if change.status == "applied" and change.confirmed_by == "answer":
        done = record.executions(attempt) if attempt else []
        return "" if [execution.after for execution in done] == [change.requested] else f"executed: {done}"
    if change.status in {"applied", "unchanged", "not_applied", "superseded"}:
        if change.as_of is None or change.after is None:
            return "it names no read"
        wanted = {"not_applied": change.before, "superseded": change.after}.get(change.status, change.requested)
        if change.status == "superseded" and change.after in {change.before, change.requested}:
            return "superseded by the leverage before or requested"
        if change.status in {"not_applied", "superseded"}:
            closed_ms = attempt.timestamp_ms + attempt.recv_window_ms if attempt else 0
            if change.as_of.timestamp() * 1000 <= closed_ms:
                return "the read was sent too early"
        was = record.leverages(change.symbol, change.as_of - timedelta(seconds=record.grace), reported_at)
        return "" if wanted in was else f"it was at {was}"
    if change.status == "refused":
        return "" if attempt and not record.executions(attempt) else "it was executed"
    if change.status == "not_sent":
        arrived = attempt is not None and (attempt.symbol, attempt.timestamp_ms) in record.received
        return "it arrived" if arrived else ""
    return "" if attempt is not None else "it is unknown, and not in the journal"


def contradictions_of_journal(record: SimulatorRecord, attempts: Iterable[Attempt]) -> list[str]:
    """Return every false entry of a journal: findings, sent attempts and the order of attempts."""
    false = []
    by_symbol: dict[str, list[Attempt]] = {}
    for attempt in attempts:
        by_symbol.setdefault(attempt.symbol, []).append(attempt)
        for place, finding in enumerate(attempt.findings, start=1):
            change = replace(attempt, findings=attempt.findings[:place]).change
            why = contradiction(record, change, attempt, finding.found_at)
            if why:
                false.append(f"#{attempt.number} {change.headline} ({finding.source}): {why}")
        if (attempt.symbol, attempt.timestamp_ms) in record.received:
            since = attempt.begun_at - timedelta(seconds=FRESH_FOR + record.grace)
            was = record.leverages(attempt.symbol, since, attempt.begun_at)
            if attempt.before not in was:
                false.append(f"#{attempt.number} {attempt.step} was sent, and it was at {was}")
    for attempts_on_one in by_symbol.values():
        for earlier, later in pairwise(attempts_on_one):
            closings = [finding.found_at for finding in earlier.findings if finding.closes]
            if not closings or min(closings) > later.begun_at:
                false.append(f"#{later.number} began while #{earlier.number} was open")
    arrivals = Counter(record.received)
    false += [f"{key} arrived {times} times" for key, times in arrivals.items() if times > 1]
    recorded = {(attempt.symbol, attempt.timestamp_ms) for attempts in by_symbol.values() for attempt in attempts}
    return false + [f"{arrival} arrived and is not recorded" for arrival in arrivals if arrival not in recorded]
