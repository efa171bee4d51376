"""The claims of a report, compared with what the simulator did.

The claims are those of :class:`leverage_nb.change.Change`, one by one:

* ``applied`` by "answer": the simulator executed the request with this attempt's timestamp, to this value, or by this
  amount of isolated margin.
* ``applied`` by "symbolConfig": at some time between ``as_of`` and the report the setting was as ``requested``.
* ``applied`` by "history": the simulator executed the request; or another client made an equal change in the time in
  which the request could be executed, which no report can exclude. No two attempts claim one entry.
* ``unchanged``: the setting was as ``requested`` at such a time, and no request of an attempt was executed.
* ``refused``: no request with this attempt's timestamp was executed, by the end of the run.
* ``not_sent``: no request with this attempt's timestamp arrived.
* ``not_applied``: the read was sent after the attempt's time window, and at some time between it and the report
  the setting was as ``before``.
* ``superseded``: the same with ``after``, which is neither ``before`` nor ``requested``.
* ``unknown``: the attempt was open in the journal; or it is of isolated margin, and the finding was made after its time
  window.

In any case no request arrives twice, every request that arrives is recorded, and no attempt begins while an earlier
one on its symbol is open. A change is sent from the confirmed value: within the second before an attempt was
recorded, the symbol was at its ``before``. Between that time and the execution another client may change it.

A read may be stale by the client's grace, so these periods begin that much earlier.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from leverage_nb.change import Change, Kind
from leverage_nb.changes.fresh_read import FRESH_FOR
from leverage_nb.journal.attempts import Attempt
from leverage_nb.simulator import Simulator
from leverage_nb.simulator.records import Execution

# The journal stores microseconds, the simulator's clock is a float, and an execution is recorded a moment later.
TICK = 0.002

# Seconds by which a timestamp may be ahead of the exchange's clock.
AHEAD = 1.0

_MARGIN_TYPES = {"CROSSED": "cross", "ISOLATED": "isolated"}

ArrivalKey = tuple[str, int, Kind]


@dataclass(frozen=True)
class SimulatorRecord:
    """What the simulator did: the changes that it executed, and those that arrived.

    Attributes:
        executed: Every executed change.
        arrived: Symbol, timestamp and kind of every change that arrived.
        opening: The values at the beginning, by symbol and kind; of isolated margin the wallet.
        grace: By how many seconds a read may be stale.
    """

    executed: list[Execution]
    arrived: list[ArrivalKey]
    opening: Mapping[tuple[str, Kind], Any]
    grace: float

    @classmethod
    def of(cls, simulator: Simulator, opening: Mapping[tuple[str, Kind], Any], grace: float) -> SimulatorRecord:
        """Return the record of a simulator."""
        exchange = simulator.exchange
        arrived = [(arrival.symbol, arrival.timestamp, arrival.kind) for arrival in exchange.arrivals]
        return cls(exchange.executed, arrived, opening, grace)

    def values(self, symbol: str, kind: Kind, start: datetime, end: datetime) -> set[Any]:
        """Return every value that a setting, or an isolated wallet, had between two times."""
        current, seen = self.opening[symbol, kind], set()
        for execution in self.executed:
            if (execution.symbol, execution.kind) != (symbol, kind):
                continue
            if execution.at > end.timestamp() + TICK:
                break
            if execution.at >= start.timestamp() - TICK:
                seen.add(current)
            current = _MARGIN_TYPES.get(execution.after, execution.after)
        return seen | {current}

    def executions(self, attempt: Attempt) -> list[Execution]:
        """Return the executions of an attempt: none, or one."""
        key = key_of(attempt)
        return [one for one in self.executed if (one.symbol, one.timestamp, one.kind) == key]

    def equal_elsewhere(self, attempt: Attempt) -> list[Execution]:
        """Return the equal changes of other clients in the time in which an attempt could be executed."""
        start = attempt.timestamp_ms / 1000 - AHEAD
        end = start + AHEAD + attempt.recv_window_ms / 1000 + self.grace
        return [
            one
            for one in self.executed
            if (one.symbol, one.timestamp, one.kind) == (attempt.symbol, None, attempt.kind)
            and start - TICK <= one.at <= end + TICK
            and done(one) == attempt.requested
        ]


def key_of(attempt: Attempt) -> ArrivalKey:
    """Return what identifies the request of an attempt."""
    return attempt.symbol, attempt.timestamp_ms, attempt.kind


def done(execution: Execution) -> Any:
    """Return what an execution did, as a change requests it."""
    if execution.kind == "isolated margin":
        return execution.after - execution.before
    return _MARGIN_TYPES.get(execution.after, execution.after)


def contradiction(record: SimulatorRecord, change: Change, attempt: Attempt | None, reported_at: datetime) -> str:
    """Return why a report is false; an empty text if it is true."""
    executed = record.executions(attempt) if attempt else []
    if change.status == "applied" and change.confirmed_by == "answer":
        return "" if [done(one) for one in executed] == [change.requested] else f"executed: {executed}"
    if change.status == "applied" and change.confirmed_by == "history":
        ours = [done(one) for one in executed] == [change.requested]
        return "" if ours or (attempt and record.equal_elsewhere(attempt)) else f"executed: {executed}"
    if change.status in {"applied", "unchanged", "not_applied", "superseded"}:
        if change.as_of is None or change.after is None:
            return "it names no read"
        if change.status == "unchanged" and executed:
            return "it was executed"
        wanted = {"not_applied": change.before, "superseded": change.after}.get(change.status, change.requested)
        if change.status == "superseded" and change.after in {change.before, change.requested}:
            return "superseded by the value before or requested"
        if change.status in {"not_applied", "superseded"} and _is_early(change.as_of, attempt):
            return "the read was sent too early"
        since = change.as_of - timedelta(seconds=record.grace)
        was = record.values(change.symbol, change.kind, since, reported_at)
        return "" if wanted in was else f"it was at {was}"
    if change.status == "refused":
        return "" if attempt and not executed else "it was executed"
    if change.status == "not_sent":
        return "it arrived" if attempt is not None and key_of(attempt) in record.arrived else ""
    if attempt is None:
        return "it is unknown, and not in the journal"
    if change.is_final:
        early = _is_early(change.as_of, attempt)
        return "it is unknown for good, too early" if early or change.kind != "isolated margin" else ""
    return ""


def _is_early(as_of: datetime | None, attempt: Attempt | None) -> bool:
    """Whether a read was sent within the time window of an attempt."""
    closed_ms = attempt.timestamp_ms + attempt.recv_window_ms if attempt else 0
    return as_of is None or as_of.timestamp() * 1000 <= closed_ms


def contradictions_of_journal(record: SimulatorRecord, attempts: Iterable[Attempt]) -> list[str]:
    """Return every false entry of a journal: findings, sent attempts and the order of attempts."""
    false = []
    by_symbol: dict[str, list[Attempt]] = {}
    claims: Counter[tuple[str, str]] = Counter()
    for attempt in attempts:
        by_symbol.setdefault(attempt.symbol, []).append(attempt)
        for place, finding in enumerate(attempt.findings, start=1):
            change = replace(attempt, findings=attempt.findings[:place]).change
            why = contradiction(record, change, attempt, finding.found_at)
            if why:
                false.append(f"#{attempt.number} {change.headline} ({finding.source}): {why}")
            claims.update([(attempt.symbol, finding.claims)] if finding.claims else [])
        if key_of(attempt) in record.arrived:
            since = attempt.begun_at - timedelta(seconds=FRESH_FOR + record.grace)
            was = record.values(attempt.symbol, attempt.kind, since, attempt.begun_at)
            if attempt.before not in was:
                false.append(f"#{attempt.number} {attempt.step} was sent, and it was at {was}")
    for attempts_on_one in by_symbol.values():
        for earlier, later in pairwise(attempts_on_one):
            closings = [finding.found_at for finding in earlier.findings if finding.closes]
            if not closings or min(closings) > later.begun_at:
                false.append(f"#{later.number} began while #{earlier.number} was open")
    false += [f"{claim} is claimed {times} times" for claim, times in claims.items() if times > 1]
    arrivals = Counter(record.arrived)
    false += [f"{key} arrived {times} times" for key, times in arrivals.items() if times > 1]
    recorded = {key_of(attempt) for attempts in by_symbol.values() for attempt in attempts}
    return false + [f"{arrival} arrived and is not recorded" for arrival in arrivals if arrival not in recorded]
