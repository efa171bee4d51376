"""Make plans, and apply them: decide which rows are sent, and in which order."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from leverage_nb.changes.expected_modes import ExpectedModes
from leverage_nb.changes.plan import DONE, Plan, PlanProgress, PlanRow
from leverage_nb.changes.plan_input import Target, check_targets
from leverage_nb.changes.plan_rows import changed_row, make_rows
from leverage_nb.changes.plan_runner import PlanRun, run_plan
from leverage_nb.changes.report import failed
from leverage_nb.changes.request import ChangeRequest
from leverage_nb.changes.service import ChangeService
from leverage_nb.errors import ChangeNotSent, InvalidInput
from leverage_nb.journal.attempts import Attempt
from leverage_nb.risk.account_state import AccountState, LeverageSetting
from leverage_nb.risk.user_input import EVERY, Wanted, parse_wanted

_ANY_MODE = ExpectedModes()


def make_plan(service: ChangeService, targets: Sequence[Target], expected: ExpectedModes = _ANY_MODE) -> Plan:
    """Resolve targets, and predict what each row would do after the rows before it.

    Args:
        service: The service of the account.
        targets: The targets as read.
        expected: The modes that the account must be in, now and when the plan is applied.

    Raises:
        InvalidInput: Some targets are invalid; the error names all of them.
        UnexpectedAnswer: The exchange has tiers of a named symbol, but no usable setting.
        WrongMode: The account is in another mode.
    """
    as_of = datetime.now().astimezone()
    service.tiers.table()
    wanted = check_targets(targets, lambda target: _resolve(service, target))
    table = service.tiers.table()
    every = wanted.pop(EVERY, None)
    state = service.read_state(list(wanted) if every is None else table.symbols)
    expected.check(state)
    for symbol in wanted:
        if symbol not in state.settings:
            service.check_known(state, symbol)
    if every is not None:
        trading = (symbol for symbol in (*table.symbols, *table.skipped) if symbol not in state.not_trading)
        wanted = dict.fromkeys(trading, every) | wanted
    leverages = {symbol: _leverage_of(service, state, symbol, each) for symbol, each in wanted.items()}
    return _plan(service, _rows(service, leverages, state), as_of, expected)


def make_undo_plan(service: ChangeService, attempts: Sequence[Attempt]) -> Plan:
    """Plan the undo of another plan's changes, apart from rows that were changed since.

    Args:
        service: The service of the account.
        attempts: The changes of that plan that were applied and not undone, oldest first; with a leverage before.
    """
    as_of = datetime.now().astimezone()
    state = service.read_state([attempt.symbol for attempt in attempts])
    last = {attempt.symbol: attempt for attempt in attempts}
    current = {symbol: state.settings[symbol].leverage for symbol in last if symbol in state.settings}
    known = [symbol for symbol in last if not state.why_unknown(symbol)]
    moved = [symbol for symbol in known if current.get(symbol) != last[symbol].requested]
    rows = _rows(service, {symbol: last[symbol].before for symbol in last if symbol not in moved}, state)
    rows = tuple(replace(row, undoes=last[row.symbol].number) for row in rows)
    return _plan(service, (*rows, *(_moved_row(last[symbol], state.settings.get(symbol)) for symbol in moved)), as_of)


def apply_plan(
    service: ChangeService, plan: Plan, force: bool, progress: PlanProgress | None, expected: ExpectedModes = _ANY_MODE
) -> Plan:
    """Apply a plan: see :meth:`leverage_nb.changes.plan.Plan.apply`."""
    as_of = datetime.now().astimezone()
    service.check_profile()
    todo = {row.symbol: row for row in plan.rows if row.status not in DONE}
    state = service.read_state(list(todo), reload_tiers=True)
    expected.check(state)
    first = all(row.status == "planned" for row in plan.rows)
    rows = _rows_to_apply(service, todo, state, first=first, force=force)
    if first:
        plan = replace(plan, name=_new_name())  # each application is undone by itself; a retry belongs to it
    run = PlanRun(service, plan.name, progress, len(rows))
    for row in rows.values():
        if row.verdict == "unchanged":
            run.report(replace(row, status="unchanged"))
        elif row.verdict == "refused" and not (force and row.code is not None):
            run.report(replace(row, status="not_sent"))
    waiting = [row for row in rows.values() if row.symbol not in run.ended]
    if waiting and (refusal := service.client.refusal()) is not None:  # before attempts of all rows are recorded
        first_row = ChangeRequest(waiting[0].symbol, waiting[0].after, waiting[0].margin_asset, plan=plan.name)
        change = first_row.outcome(service.client, "not_sent", before=waiting[0].before)
        raise failed(ChangeNotSent, change, "The plan was not applied. Nothing was sent.", refusal)
    run_plan(run, [row for row in waiting if row.raises], [row for row in waiting if not row.raises])
    service.warn_of_key()
    order = [*rows, *(row.symbol for row in plan.rows if row.symbol not in rows)]
    known = {row.symbol: row for row in plan.rows} | run.ended
    return replace(plan, rows=tuple(known[symbol] for symbol in order), as_of=as_of)


def _rows_to_apply(
    service: ChangeService, todo: Mapping[str, PlanRow], state: AccountState, *, first: bool, force: bool
) -> dict[str, PlanRow]:
    """Predict the rows again, as the account is now. A row that may not be sent must not affect the others."""
    excluded: dict[str, PlanRow] = {}
    while True:
        wanted = {symbol: None if row.stuck else row.after for symbol, row in todo.items() if symbol not in excluded}
        rows = {row.symbol: row for row in _rows(service, wanted, state)}
        checked = {symbol: _exclude(row, todo[symbol], first, force) for symbol, row in rows.items()}
        more = {symbol: row for symbol, row in checked.items() if row is not None}
        if not more:
            return {symbol: _continued(row, todo[symbol]) for symbol, row in rows.items()} | excluded
        excluded |= more


def _continued(row: PlanRow, shown: PlanRow) -> PlanRow:
    """Return a row as predicted now, with what only the row as shown knows: its undo, and where max ends."""
    reason = shown.reason if row.verdict == shown.verdict == "ok" else row.reason
    return replace(row, undoes=shown.undoes, reason=reason)


def _exclude(row: PlanRow, shown: PlanRow, first: bool, force: bool) -> PlanRow | None:
    """Return the row that reports why a change may not be sent, because nobody has confirmed it; None if it may.

    Args:
        row: The row as predicted now.
        shown: The row as it was shown.
        first: Whether the plan is applied for the first time; a retry sends rows that were refused.
        force: Whether rows are sent although a refusal is expected.
    """
    not_confirmed = first and shown.verdict == "refused" and not (force and shown.code is not None)
    if row.verdict in {"ok", "unpredictable"} and (shown.stuck or not_confirmed):
        now = f"; {row.after}x would pass now, in a new plan" if first else ""
        return replace(shown, code=None, reason=f"{shown.reason.rstrip('.')}{now}", status="planned", change=None)
    # A change from another leverage is another change. A retry starts from this one.
    if row.before != shown.before and row.verdict != "unchanged":
        reason = row.reason if row.before == 0 else _changed_since(row.symbol, row.before)  # 0: not listed or not read
        return replace(row, verdict="refused", code=None, reason=reason, undoes=shown.undoes)
    return None


def _plan(
    service: ChangeService, rows: tuple[PlanRow, ...], as_of: datetime, expected: ExpectedModes = _ANY_MODE
) -> Plan:
    def apply(plan: Plan, force: bool, progress: PlanProgress | None) -> Plan:
        return apply_plan(service, plan, force, progress, expected)

    return Plan(service.client.venue.label, service.client.account, rows, as_of, _new_name(), apply)


def _rows(service: ChangeService, wanted: Mapping[str, int | None], state: AccountState) -> tuple[PlanRow, ...]:
    return make_rows(wanted, state, service.tiers.table(), service.account_limits.of, service.guard)


def _resolve(service: ChangeService, target: Target) -> tuple[str, Wanted]:
    """Return the symbol, or ``*``, and the leverage of a target. A leverage above the maximum stops its own row only.

    Raises:
        InvalidInput: The symbol or the leverage is invalid.
    """
    if target.margin_type:  # the place to connect margin types
        raise InvalidInput("Margin types in a plan are not connected yet.")
    if isinstance(target.symbol, str) and target.symbol.strip() == EVERY:
        every = parse_wanted(target.leverage)
        if every.leverage is None:
            raise InvalidInput(
                f"max for {EVERY} would raise every symbol to its highest leverage.",
                hint="Name the symbols for max, or give a number, as * 20 or * <=20.",
            )
        return EVERY, every
    tiers = service.tiers.find(target.symbol)
    wanted = parse_wanted(target.leverage, tiers.symbol, tiers.symbol_max_leverage)
    if wanted.leverage is not None and wanted.leverage > tiers.symbol_max_leverage and not wanted.is_cap:
        service.tiers.find_again(tiers)  # the maximum may have risen since
    return tiers.symbol, wanted


def _leverage_of(service: ChangeService, state: AccountState, symbol: str, wanted: Wanted) -> int | None:
    """Return the leverage that a row asks for; None for the highest that fits."""
    table = service.tiers.table()
    if symbol not in table or symbol not in state.settings:
        return wanted.leverage  # its row reports why it is not sent
    return wanted.resolve(state.settings[symbol].leverage, table[symbol].symbol_max_leverage)


def _new_name() -> str:
    return uuid.uuid4().hex[:12]


def _changed_since(symbol: str, leverage: int | None) -> str:
    return f"{symbol} was changed since, and is {f'at {leverage}x' if leverage else 'not set'}"


def _moved_row(attempt: Attempt, setting: LeverageSetting | None) -> PlanRow:
    """Return the row of an undo that is not sent, because the leverage was changed since."""
    symbol = attempt.symbol
    reason = _changed_since(symbol, setting.leverage) if setting else f"{symbol} is no longer listed"
    row = changed_row(attempt.symbol, attempt.requested, attempt.before or 0, reason)
    return replace(row, margin_asset=attempt.margin_asset, undoes=attempt.number)
