"""Planner: makes the plans of one account, and decides which rows of a plan may be sent."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from leverage_nb.binance.client import RestClient
from leverage_nb.changes.plan import DONE, Plan, PlanProgress, PlanRow, make_rows
from leverage_nb.changes.plan_input import Target, check_targets
from leverage_nb.changes.plan_runner import PlanRun, run_plan
from leverage_nb.changes.service import ChangeService
from leverage_nb.errors import UnexpectedAnswer
from leverage_nb.journal.attempts import Attempt
from leverage_nb.risk.account_state import AccountState
from leverage_nb.tiers.cache import TierCache


class Planner:
    """Makes and carries out the plans of one account.

    Args:
        client: Where, and with whose key.
        tiers: The account's tiers.
        service: Makes its changes.
    """

    def __init__(self, client: RestClient, tiers: TierCache, service: ChangeService) -> None:
        self._client = client
        self._tiers = tiers
        self._service = service

    def make(self, targets: Sequence[Target]) -> Plan:
        """Check what is wanted, and say what each row would do after those before it.

        Raises:
            InvalidInput: Something wanted cannot be; all of it is named.
        """
        wanted = check_targets(targets, self._check)
        as_of = datetime.now().astimezone()
        state = self._service.read_state(list(wanted))
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
        state = self._service.read_state([attempt.symbol for attempt in attempts])
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
        state = self._service.read_state([row.symbol for row in plan.rows if row.status not in DONE])
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
        run = PlanRun(self._client, self._service, plan.name, progress, len(rows))
        for row in rows.values():
            if row.verdict == "unchanged":
                run.report(replace(row, status="unchanged"))
            elif row.verdict == "refused" and not (force and row.code is not None):
                run.report(replace(row, status="not_sent"))
        waiting = [row for row in rows.values() if row.symbol not in run.ended]
        raises = [row for row in waiting if row.after > row.before]
        run_plan(run, raises, [row for row in waiting if row.after <= row.before])
        order = [*rows, *(row.symbol for row in plan.rows if row.symbol not in rows)]
        kept = {row.symbol: row for row in plan.rows} | run.ended
        return replace(plan, rows=tuple(kept[symbol] for symbol in order), as_of=as_of)

    def _plan(self, rows: tuple[PlanRow, ...], as_of: datetime) -> Plan:
        client = self._client
        return Plan(client.venue.label, client.account, rows, as_of, _new_name(), self.carry_out)

    def _rows(self, wanted: Mapping[str, int | None], state: AccountState) -> tuple[PlanRow, ...]:
        limit_of, guard = self._service.account_limits.of, self._service.guard.limit()
        return make_rows(wanted, state, self._tiers.table(), limit_of, guard)

    def _check(self, target: Target) -> tuple[str, int | None]:
        if isinstance(target.leverage, str) and target.leverage.strip().lower() == "max":
            return self._tiers.find(target.symbol)[0], None
        symbol = self._tiers.find(target.symbol)[0]
        return symbol, self._service.check_leverage(symbol, target.leverage)


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
    if row.verdict in {"ok", "unpredictable"} and (shown.stuck or unseen):
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
        after=attempt.before or 0,
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
