"""Make plans, and apply them: decide which rows are sent, and in which order."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from leverage_nb.change import Value, is_at, value_text
from leverage_nb.changes.expected_modes import ExpectedModes
from leverage_nb.changes.plan import DONE, Plan, PlanProgress, PlanRow, RowKey
from leverage_nb.changes.plan_input import Goal, Target, check_targets
from leverage_nb.changes.plan_rows import make_margin_rows, make_rows, unsent_row
from leverage_nb.changes.plan_runner import PlanRun, run_plan
from leverage_nb.changes.policy import read_policy
from leverage_nb.changes.report import failed
from leverage_nb.changes.service import ChangeService
from leverage_nb.errors import ChangeNotSent, InvalidInput
from leverage_nb.journal.attempts import Attempt
from leverage_nb.risk.account_state import AccountState, LeverageSetting
from leverage_nb.risk.brackets import DEFAULT_LEVERAGE, Brackets, BracketTable
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
    goals = check_targets(targets, lambda target: _resolve(service, target))
    table = service.tiers.table()
    every = goals.pop(EVERY, None)
    state = service.reader.read_state(list(goals) if every is None else table.symbols)
    expected.check(state)
    for symbol in goals:
        if symbol not in state.settings:
            service.reader.check_known(state, symbol)
    if every is not None:
        trading = (symbol for symbol in (*table.symbols, *table.skipped) if symbol not in state.not_trading)
        goals = {symbol: _merge(every, goals.pop(symbol, None)) for symbol in trading} | goals
    rows = _with_caps(_rows(service, _wanted(service, state, goals), state), goals)
    return _plan(service, rows, as_of, expected)


def make_policy_plan(service: ChangeService, path: str | Path) -> Plan:
    """Compare the account with a policy, and plan what restores it. Patterns apply to symbols that are trading.

    Args:
        service: The service of the account.
        path: The path of the file: see :func:`leverage_nb.changes.policy.read_policy`.

    Raises:
        InvalidInput: The file cannot be read, or something in it is invalid.
    """
    as_of = datetime.now().astimezone()
    policy = read_policy(path, service.client.profile, service.tiers)
    state = service.reader.read_state(service.tiers.table().symbols)
    table = service.tiers.table()
    goals: dict[str, Goal] = {}
    not_set = 0
    for symbol in (*table.symbols, *table.skipped):
        cap, margin_type = policy.cap(symbol), policy.margin_type(symbol)
        if (cap is None and not margin_type) or (symbol in state.not_trading and not policy.names(symbol)):
            continue
        setting, tiers = state.settings.get(symbol), table.get(symbol)
        default = tiers.default_leverage if tiers is not None else DEFAULT_LEVERAGE
        if cap is not None and cap >= default and setting is not None and setting.leverage is None:
            cap, not_set = None, not_set + 1  # a row would set it to the cap, which may be a raise
        goals[symbol] = Goal(None if cap is None else Wanted(cap, is_cap=True), margin_type)
    rows = _with_caps(_rows(service, _wanted(service, state, goals), state, independent=True), goals)
    note = (
        f"{not_set} leverages that are not set: Binance's default, {DEFAULT_LEVERAGE}x or the symbol's lower maximum, "
        "is within their caps"
    )
    plan = _plan(service, rows, as_of)
    return replace(plan, policy=policy.name, covers=len(goals), passed_over=note if not_set else "")


def make_undo_plan(service: ChangeService, attempts: Sequence[Attempt]) -> Plan:
    """Plan the undo of another plan's changes, apart from rows that were changed since.

    Args:
        service: The service of the account.
        attempts: The changes of that plan that were applied and not undone, oldest first; with a value before.
    """
    as_of = datetime.now().astimezone()
    state = service.reader.read_state([attempt.symbol for attempt in attempts])
    last: dict[RowKey, Attempt] = {(attempt.symbol, attempt.kind): attempt for attempt in attempts}
    known = [key for key in last if not state.why_unknown(key[0])]
    moved = [key for key in known if _value_now(state, key) != last[key].requested]
    rows = _rows(service, {key: last[key].before for key in last if key not in moved}, state)
    rows = tuple(replace(row, undoes=last[row.key].number) for row in rows)
    return _plan(service, (*rows, *(_moved_row(last[key], state.settings.get(key[0])) for key in moved)), as_of)


def apply_plan(
    service: ChangeService, plan: Plan, force: bool, progress: PlanProgress | None, expected: ExpectedModes = _ANY_MODE
) -> Plan:
    """Apply a plan: see :meth:`leverage_nb.changes.plan.Plan.apply`."""
    as_of = datetime.now().astimezone()
    service.check_profile()
    todo = {row.key: row for row in plan.rows if row.status not in DONE}
    state = service.reader.read_state(list({symbol for symbol, _ in todo}), reload_tiers=True)
    expected.check(state)
    first = all(row.status == "planned" for row in plan.rows)
    rows = _rows_to_apply(service, todo, state, first=first, force=force, independent=bool(plan.policy))
    if first:
        plan = replace(plan, name=_new_name())  # each application is undone by itself; a retry belongs to it
    run = PlanRun(service, plan.name, progress, len(rows), independent=bool(plan.policy))
    for row in rows.values():
        if row.verdict == "unchanged":
            run.report(replace(row, status="unchanged"))
        elif row.verdict == "refused" and not (force and row.code is not None):
            run.report(replace(row, status="not_sent"))
    waiting = [row for row in rows.values() if row.key not in run.ended]
    if waiting and (refusal := service.client.refusal()) is not None:  # before attempts of all rows are recorded
        change = run.request(waiting[0]).outcome(service.client, "not_sent", before=waiting[0].before)
        raise failed(ChangeNotSent, change, "The plan was not applied. Nothing was sent.", refusal)
    margin_types = [row for row in waiting if row.kind == "margin type"]
    leverages = [row for row in waiting if row.kind == "leverage"]
    run_plan(run, margin_types, [row for row in leverages if row.raises], [row for row in leverages if not row.raises])
    order = [*rows, *(row.key for row in plan.rows if row.key not in rows)]
    known = {row.key: row for row in plan.rows} | run.ended
    applied = replace(plan, rows=tuple(known[key] for key in order), as_of=as_of, interrupted=run.interrupted)
    if not run.interrupted:
        with suppress(KeyboardInterrupt):  # what was sent must be reported
            service.warn_of_key()
    return applied


def _rows_to_apply(
    service: ChangeService,
    todo: Mapping[RowKey, PlanRow],
    state: AccountState,
    *,
    first: bool,
    force: bool,
    independent: bool,
) -> dict[RowKey, PlanRow]:
    """Predict the rows again, as the account is now. A row that may not be sent must not affect the others."""
    excluded: dict[RowKey, PlanRow] = {}
    while True:
        table = service.tiers.table()
        wanted = {key: _wanted_again(row, state, table) for key, row in todo.items() if key not in excluded}
        rows = {row.key: row for row in _rows(service, wanted, state, independent=independent)}
        checked = {key: _exclude(row, todo[key], first, force) for key, row in rows.items()}
        more = {key: row for key, row in checked.items() if row is not None}
        if not more:
            return {key: _continued(row, todo[key]) for key, row in rows.items()} | excluded
        excluded |= more


def _wanted_again(row: PlanRow, state: AccountState, table: BracketTable) -> Any:
    """Return what a row asks for now. An upper bound does not raise a leverage that is lower by now."""
    if row.stuck:
        return None
    setting, tiers = state.settings.get(row.symbol), table.get(row.symbol)
    if row.cap is None or setting is None or tiers is None:
        return row.after
    return _resolved(Wanted(row.cap, is_cap=True), setting, tiers)


def _continued(row: PlanRow, shown: PlanRow) -> PlanRow:
    """Return a row as predicted now, with what only the row as shown has: its undo, its bound, what limits max."""
    return replace(row, undoes=shown.undoes, cap=shown.cap, limited_by=shown.limited_by)


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
        now = f"; {value_text(row.kind, row.after)} would be accepted now: make a new plan to send it" if first else ""
        return replace(shown, code=None, reason=f"{shown.reason.rstrip('.')}{now}", status="planned", change=None)
    # A change from another leverage was not confirmed. A retry starts from the leverage that is read here.
    if row.before != shown.before and row.verdict != "unchanged":
        reason = _changed_since(row.key, row.before) if row.is_read else row.reason
        return replace(row, verdict="refused", code=None, reason=reason, undoes=shown.undoes, cap=shown.cap)
    return None


def _plan(
    service: ChangeService, rows: tuple[PlanRow, ...], as_of: datetime, expected: ExpectedModes = _ANY_MODE
) -> Plan:
    def apply(plan: Plan, force: bool, progress: PlanProgress | None) -> Plan:
        return apply_plan(service, plan, force, progress, expected)

    return Plan(service.client.venue.label, service.client.account, rows, as_of, _new_name(), apply)


def _wanted(service: ChangeService, state: AccountState, goals: Mapping[str, Goal]) -> dict[RowKey, Any]:
    """Return what goals ask for, by row."""
    wanted: dict[RowKey, Any] = {
        (symbol, "leverage"): _leverage_of(service, state, symbol, goal.leverage)
        for symbol, goal in goals.items()
        if goal.leverage is not None
    }
    wanted |= {(symbol, "margin type"): goal.margin_type for symbol, goal in goals.items() if goal.margin_type}
    return wanted


def _rows(
    service: ChangeService, wanted: Mapping[RowKey, Any], state: AccountState, *, independent: bool = False
) -> tuple[PlanRow, ...]:
    """Predict rows. Unless they are independent, a margin type that would be refused stops the leverage after it."""
    margin_types, leverages = (
        {symbol: value for (symbol, each), value in wanted.items() if each == kind}
        for kind in ("margin type", "leverage")
    )
    first, state = make_margin_rows(margin_types, state)
    blocked = frozenset(row.symbol for row in first if row.verdict == "refused" and not independent)
    rows = make_rows(leverages, state, service.tiers.table(), service.account_limits.of, service.guard, blocked)
    return (*first, *rows)


def _resolve(service: ChangeService, target: Target) -> tuple[str, Goal]:
    """Return the symbol, or ``*``, and the goal of a target. A leverage above the maximum stops its own row only.

    Raises:
        InvalidInput: The symbol or the leverage is invalid.
    """
    only_margin_type = target.leverage is None and target.margin_type
    if isinstance(target.symbol, str) and target.symbol.strip() == EVERY:
        if only_margin_type:
            return EVERY, Goal(None, target.margin_type)
        every = parse_wanted(target.leverage)
        if every.leverage is None:
            raise InvalidInput(
                f"max for {EVERY} would raise every symbol to its highest leverage.",
                hint="Name the symbols for max, or give a number, as * 20 or * <=20.",
            )
        return EVERY, Goal(every, target.margin_type)
    tiers = service.tiers.find(target.symbol)
    if only_margin_type:
        return tiers.symbol, Goal(None, target.margin_type)
    wanted = parse_wanted(target.leverage, tiers.symbol, tiers.symbol_max_leverage)
    if wanted.leverage is not None and wanted.leverage > tiers.symbol_max_leverage and not wanted.is_cap:
        service.tiers.find_again(tiers)  # the maximum may have risen since
    return tiers.symbol, Goal(wanted, target.margin_type)


def _leverage_of(service: ChangeService, state: AccountState, symbol: str, wanted: Wanted) -> int | None:
    """Return the leverage that a row asks for; None for the highest that fits."""
    table = service.tiers.table()
    if symbol not in table or symbol not in state.settings:
        return wanted.leverage  # its row reports why it is not sent
    return _resolved(wanted, state.settings[symbol], table[symbol])


def _resolved(wanted: Wanted, setting: LeverageSetting, tiers: Brackets) -> int | None:
    return wanted.resolve(setting.leverage, tiers.default_leverage, tiers.symbol_max_leverage)


def _with_caps(rows: tuple[PlanRow, ...], goals: Mapping[str, Goal]) -> tuple[PlanRow, ...]:
    """Return rows with the upper bounds that goals ask for, which must hold also when a row is sent later."""

    def cap(row: PlanRow) -> int | None:
        wanted = goals[row.symbol].leverage if row.kind == "leverage" else None
        return wanted.leverage if wanted is not None and wanted.is_cap else None

    return tuple(replace(row, cap=cap(row)) for row in rows)


def _merge(every: Goal, named: Goal | None) -> Goal:
    """Return the goal of a symbol: its own, and that of ``*`` where its own says nothing."""
    if named is None:
        return every
    return Goal(named.leverage or every.leverage, named.margin_type or every.margin_type)


def _new_name() -> str:
    return uuid.uuid4().hex[:12]


def _changed_since(key: RowKey, now: Value | None) -> str:
    return f"{key[0]} was changed since, and {is_at(key[1], now)}"


def _value_now(state: AccountState, key: RowKey) -> Value | None:
    symbol, kind = key
    return state.settings[symbol].value(kind) if symbol in state.settings else None


def _moved_row(attempt: Attempt, setting: LeverageSetting | None) -> PlanRow:
    """Return the row of an undo that is not sent, because the setting was changed since."""
    symbol, kind = attempt.symbol, attempt.kind
    reason = _changed_since((symbol, kind), setting.value(kind)) if setting else f"{symbol} is no longer listed"
    row = unsent_row(symbol, attempt.requested, attempt.before or 0, reason)
    return replace(row, kind=kind, margin_asset=attempt.margin_asset, undoes=attempt.number)
