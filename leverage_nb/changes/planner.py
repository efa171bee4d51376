"""Planner: makes plans for one account and carries them out, several changes at a time."""

from __future__ import annotations

import queue
import threading
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from leverage_nb.cards import clock_time
from leverage_nb.changes.attempt import ChangeRequest
from leverage_nb.changes.changer import Changer
from leverage_nb.changes.entries import Attempt
from leverage_nb.changes.plan import DONE, Plan, PlanProgress, PlanRow, ended, make_rows
from leverage_nb.changes.record import LeverageChange
from leverage_nb.changes.settle import settle
from leverage_nb.changes.targets import Target, check_targets
from leverage_nb.errors import ChangeNotSent, InvalidLeverage, JournalUnusable, LeverageError, Mistake, UnexpectedAnswer
from leverage_nb.exchange.rest import RestClient
from leverage_nb.exchange.snapshot import read_state
from leverage_nb.exchange.tier_cache import TierCache
from leverage_nb.risk.parsing import parse_leverage
from leverage_nb.risk.state import AccountState, LeverageSetting

# A minute's rate limit is waited for; a ban is told.
LONGEST_WAIT = 65.0

# Requests in flight at once: with the latency of a distant exchange they overlap; the rate limit bounds them anyway.
AT_ONCE = 12


class Planner:
    """Makes and carries out the plans of one account.

    Args:
        client: Where, and with whose key.
        tiers: The account's tiers.
        changer: Makes its changes.
    """

    def __init__(self, client: RestClient, tiers: TierCache, changer: Changer) -> None:
        self._client = client
        self._tiers = tiers
        self._changer = changer

    def make(self, targets: Sequence[Target]) -> Plan:
        """Check what is wanted, and say what each row would do after those before it.

        Raises:
            Mistake: Something wanted cannot be; all of it is named.
        """
        wanted = check_targets(targets, self._check)
        as_of = datetime.now().astimezone()
        state = self._state()
        for symbol in wanted:
            if symbol not in state.settings:
                raise UnexpectedAnswer(f"{self._client.venue.speaker} has tiers of {symbol}, but no setting.")
        return self._plan(self._rows(wanted, state), as_of)

    def undo(self, name: str, attempts: Sequence[Attempt]) -> Plan:
        """A plan that takes back what another plan has changed and nobody has changed since.

        Args:
            name: Of that plan.
            attempts: Its changes that were applied and still stand, oldest first.
        """
        as_of = datetime.now().astimezone()
        state = self._state()
        last = {attempt.symbol: attempt for attempt in attempts}
        at = {symbol: state.settings[symbol].leverage for symbol in last if symbol in state.settings}
        moved = [symbol for symbol in last if at.get(symbol) != last[symbol].requested]
        rows = self._rows({symbol: last[symbol].before for symbol in last if symbol not in moved}, state)
        rows = tuple(replace(row, undoes=last[row.symbol].number) for row in rows)
        return self._plan((*rows, *(_moved(last[symbol], at.get(symbol)) for symbol in moved)), as_of)

    def carry_out(self, plan: Plan, force: bool, progress: PlanProgress | None) -> Plan:
        """Apply a plan: see :meth:`leverage_nb.changes.plan.Plan.apply`."""
        as_of = datetime.now().astimezone()
        self._tiers.load()
        state = self._state()
        todo = {row.symbol: row for row in plan.rows if row.status not in DONE}
        first = all(row.status == "planned" for row in plan.rows)
        held: dict[str, PlanRow] = {}
        while True:
            # Rows that are held back must not free or take margin in the eyes of the others.
            wanted = {symbol: None if row.stuck else row.after for symbol, row in todo.items() if symbol not in held}
            rows = {row.symbol: row for row in self._rows(wanted, state)}
            more = {symbol: _hold_back(row, todo[symbol], first, force) for symbol, row in rows.items()}
            newly = {symbol: row for symbol, row in more.items() if row is not None}
            if not newly:
                break
            held |= newly
        rows = {symbol: replace(row, undoes=todo[symbol].undoes) for symbol, row in rows.items()} | held
        if first:
            plan = replace(plan, name=_new_name())  # each carrying out is taken back by itself; a retry belongs to it
        run = _Run(self._client, self._changer, plan.name, state, progress, len(rows))
        for row in rows.values():
            if row.verdict == "unchanged":
                run.report(replace(row, status="unchanged"))
            elif row.verdict == "refused" and not (force and row.code is not None):
                run.report(replace(row, status="not_sent"))
        for raising in (True, False):
            waiting = [row for row in rows.values() if row.symbol not in run.ended]
            run.send([row for row in waiting if (row.after > row.before) == raising])
        with suppress(KeyboardInterrupt):  # what is not known yet is on record
            run.settle()
        order = [*rows, *(row.symbol for row in plan.rows if row.symbol not in rows)]
        kept = {row.symbol: row for row in plan.rows} | run.ended
        return replace(plan, rows=tuple(kept[symbol] for symbol in order), as_of=as_of)

    def _plan(self, rows: tuple[PlanRow, ...], as_of: datetime) -> Plan:
        client = self._client
        return Plan(client.venue.name, client.account, rows, as_of, _new_name(), self.carry_out)

    def _state(self) -> AccountState:
        return read_state(self._client, self._tiers.margin_assets())

    def _rows(self, wanted: Mapping[str, int | None], state: AccountState) -> tuple[PlanRow, ...]:
        limit_of, guard = self._changer.met_limits.of, self._changer.guard.limit()
        return make_rows(wanted, state, self._tiers.table(), limit_of, guard)

    def _check(self, target: Target) -> tuple[str, int | None]:
        symbol, table = self._tiers.find(target.symbol)
        if isinstance(target.leverage, str) and target.leverage.strip().lower() == "max":
            return symbol, None
        most = table[symbol].symbol_max_leverage
        try:
            leverage = parse_leverage(target.leverage)
        except InvalidLeverage:
            leverage = 0
        if not 1 <= leverage <= most:
            raise InvalidLeverage(target.leverage, symbol, most)
        return symbol, leverage


@dataclass
class _Run:
    """One carrying out of a plan: what has ended so far, and the sending of the rest."""

    client: RestClient
    changer: Changer
    name: str
    state: AccountState
    progress: PlanProgress | None
    total: int

    def __post_init__(self) -> None:
        self.ended: dict[str, PlanRow] = {}
        self._results: dict[str, PlanRow] = {}
        self._stop = threading.Event()

    def report(self, row: PlanRow) -> None:
        """Note a row's end, and tell who wants to know."""
        self.ended[row.symbol] = row
        if self.progress is not None:
            with suppress(Exception):  # whoever shows it must not decide what becomes of the plan
                self.progress(len(self.ended), self.total, row)

    def send(self, rows: Sequence[PlanRow]) -> None:
        """Send rows, several at a time. Ctrl-C lets what is under way end; the rest is reported as not sent."""
        waiting: queue.SimpleQueue[PlanRow] = queue.SimpleQueue()
        results: queue.SimpleQueue[str] = queue.SimpleQueue()
        for row in rows:
            waiting.put(row)
        threads = [
            threading.Thread(target=self._work, args=(waiting, results), daemon=True)
            for _ in range(min(AT_ONCE, len(rows)))
        ]
        for thread in threads:
            thread.start()
        while True:
            try:
                self._collect(threads, results)
                break
            except KeyboardInterrupt:
                if self._stop.is_set():
                    raise  # asked twice: what is under way is on record
                self._stop.set()
        for row in rows:
            if row.symbol not in self.ended:  # an interrupt came before it was sent, or just as it was to be reported
                unsent = replace(row, status="not_sent", reason="interrupted before it was sent")
                self.report(self._results.get(row.symbol, unsent))

    def _collect(self, threads: Sequence[threading.Thread], results: queue.SimpleQueue[str]) -> None:
        """Report what ends, until nothing is under way."""
        while any(thread.is_alive() for thread in threads) or not results.empty():
            with suppress(queue.Empty):
                self.report(self._results[results.get(timeout=0.1)])

    def settle(self) -> None:
        """Look up all that had no definite answer, by one request."""
        numbers = {row.change.number for row in self.ended.values() if row.change and row.status == "unknown"}
        if not numbers:
            return
        attempts: list[Attempt] = []
        with suppress(JournalUnusable):  # they stay unknown, and on record
            attempts = [attempt for attempt in self.changer.attempts() if attempt.number in numbers]
        for attempt in settle(self.client, self.changer.journal, attempts):
            change = self.changer.record(attempt)
            self.report(ended(self.ended[attempt.symbol], change))
            self.changer.tell(change)

    def _work(self, waiting: queue.SimpleQueue[PlanRow], results: queue.SimpleQueue[str]) -> None:
        while not self._stop.is_set():
            try:
                row = waiting.get_nowait()
            except queue.Empty:
                return
            outcome = self._change(row)
            if outcome is not None:
                self._results[row.symbol] = ended(row, outcome)
                results.put(row.symbol)

    def _change(self, row: PlanRow) -> LeverageChange | LeverageError | None:
        """Send one row once the rate limit lets it; None where it was stopped before."""
        setting: LeverageSetting = self.state.settings[row.symbol]
        request = ChangeRequest(row.symbol, row.after, row.margin_asset, (), row.undoes, self.name, settles=False)
        while True:
            while (wait := self.client.limiter.wait_for(1)) > 0:
                if wait > LONGEST_WAIT:
                    until = self.client.limiter.blocked_until
                    return Mistake(
                        f"The exchange has asked to wait until {clock_time(until)}." if until else "Held back."
                    )
                if self._stop.wait(min(wait, 0.25)):
                    return None
            try:
                return self.changer.change(request, setting)
            except ChangeNotSent as exc:
                if exc.retry_after is None:
                    return exc  # else other threads were quicker: wait on
            except LeverageError as exc:
                return exc
            except Exception as exc:  # noqa: BLE001 - a slip in one row must not lose the others' results
                return Mistake(f"{type(exc).__name__} in leverage_nb: please report it.")


def _new_name() -> str:
    return uuid.uuid4().hex[:12]


def _hold_back(row: PlanRow, shown: PlanRow, first: bool, force: bool) -> PlanRow | None:
    """What becomes of a row that may not be sent, whatever is expected of it: nobody has seen, or agreed to, this step.

    Args:
        row: As it stands now.
        shown: As it was shown.
        first: Whether the plan is applied for the first time: a retry sends what had been refused.
        force: Whether refusals that are expected are to be sent.
    """
    unseen = first and shown.verdict == "refused" and not (force and shown.code is not None)
    if row.verdict in {"ok", "cannot predict"} and (shown.stuck or unseen):
        now = f"; {row.after}x would pass now, in a new plan" if first else ""
        return replace(shown, code=None, reason=f"{shown.reason.rstrip('.')}{now}", status="planned", change=None)
    # A step from another leverage is another step. A retry starts from this one.
    if row.before != shown.before and row.verdict != "unchanged":
        return replace(row, verdict="refused", code=None, reason=_since(row.symbol, row.before), undoes=shown.undoes)
    return None


def _since(symbol: str, leverage: int | None) -> str:
    return f"{symbol} was changed since, and is at {leverage}x" if leverage else f"{symbol} is no longer listed"


def _moved(attempt: Attempt, leverage: int | None) -> PlanRow:
    """A row of an undo that is left alone, because what it would take back no longer stands."""
    nothing = (float("nan"), float("nan"))
    return PlanRow(
        symbol=attempt.symbol,
        before=attempt.requested,
        after=attempt.before,
        verdict="refused",
        code=None,
        certainty="documented",
        reason=_since(attempt.symbol, leverage),
        max_notional=nothing,
        initial_margin=nothing,
        available=float("nan"),
        margin_asset=attempt.margin_asset,
        undoes=attempt.number,
    )
