"""Undo: which changes can be undone, and the preview or plan that does it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from decimal import Decimal

from leverage_nb.change import is_at
from leverage_nb.changes.isolated_margin_preview import IsolatedMarginPreview, preview_isolated_margin
from leverage_nb.changes.margin_type_preview import preview_margin_type
from leverage_nb.changes.plan import Plan, RowKey
from leverage_nb.changes.planner import make_undo_plan
from leverage_nb.changes.preview import ChangePreview
from leverage_nb.changes.service import ChangeService
from leverage_nb.errors import ChangedElsewhere, ChangePending, LeverageError, NothingToUndo
from leverage_nb.formatting import moment
from leverage_nb.journal.attempts import Attempt
from leverage_nb.risk.brackets import DEFAULT_LEVERAGE
from leverage_nb.risk.margin_type import OPEN_ORDERS, OPEN_POSITION
from leverage_nb.risk.outlook import ISOLATED_OPEN

# The expected refusals of an undo while a position or orders are open: a change before it may be undone.
_STUCK = {ISOLATED_OPEN, OPEN_ORDERS, OPEN_POSITION}

_FORCE = "To try the last one: %leverage --undo --force, or account.undo(force=True)."


def preview_undo(service: ChangeService, *, force: bool = False) -> ChangePreview | Plan:
    """Preview the undo of the last change that can be undone: see ``Account.preview_undo``."""
    service.past.settle(wait=False)
    skipped: dict[int, str] = {}  # changes that cannot be undone, by number, with the reason
    stuck: dict[RowKey, str] = {}  # the same by setting: earlier changes of it cannot be undone either
    while True:
        attempts = service.past.attempts()
        changes = _last_to_undo(attempts, skipped)
        skipped = _unknown_for_good(attempts, changes[0].number) | skipped
        skipped |= {one.number: _cannot_restore(service, one) for one in changes if one.before is None}
        changes = [one for one in changes if one.before is not None]
        if not changes:
            continue
        last = changes[-1]
        if last.plan is not None:
            plan = make_undo_plan(service, changes)
            stuck |= {row.key: row.reason for row in plan.rows if row.code in _STUCK}
            # A margin type that stays also stops the leverage of its symbol in the same plan.
            blocked = {row.symbol: row.reason for row in plan.rows if row.code in _STUCK}
            if force or any(row.symbol not in blocked and row.key not in stuck for row in plan.rows):
                return replace(plan, passed_over="; ".join(skipped.values()))
            for one in changes:
                reason = stuck.get((one.symbol, one.kind)) or blocked[one.symbol]
                skipped[one.number] = f"{one.step}: {reason}"
        elif (last.symbol, last.kind) in stuck and not force:
            skipped[last.number] = f"{last.step}: {stuck[last.symbol, last.kind]}"
        else:
            preview = _preview_one(service, last)
            if last.kind == "isolated margin" or preview.code not in _STUCK or force:
                return replace(preview, passed_over="; ".join(skipped.values()))
            stuck[last.symbol, last.kind] = preview.reason
            skipped[last.number] = f"{last.step}: {preview.reason}"


def _preview_one(service: ChangeService, last: Attempt) -> ChangePreview:
    """Preview the undo of one change. That of isolated margin is the opposite change.

    Raises:
        ChangedElsewhere: The setting was changed since.
    """
    step = f"{last.step} of {moment(last.begun_at)}"
    preview: ChangePreview
    if last.kind == "isolated margin":
        preview = preview_isolated_margin(service, last.symbol, -Decimal(last.requested), last.position_side)
        direction = preview.position.side if preview.position is not None else "flat"
        if preview.position_side != last.position_side or last.direction not in {"", direction}:
            change = "--reduce-margin" if Decimal(last.requested) > 0 else "--add-margin"
            raise ChangedElsewhere(
                f"The last change, {step}, cannot be undone: the position or the position mode was changed since, so "
                "the same position no longer exists. Nothing was sent.",
                hint=f"To change the margin of {last.symbol} all the same: %leverage {last.symbol} {change} AMOUNT",
            )
    else:
        if last.kind == "leverage":
            preview = service.preview(last.symbol, last.before)
        else:
            preview = preview_margin_type(service, last.symbol, last.before)
        if (now := preview.setting.value(last.kind)) != last.requested:
            raise ChangedElsewhere(
                f"The last change, {step}, cannot be undone: {last.symbol} was changed since and "
                f"{is_at(last.kind, now)}. Nothing was sent.",
                hint=f"To set it all the same: %leverage {last.symbol} {last.before}",
            )
    preview = replace(preview, undoes=last.number)
    if isinstance(preview, IsolatedMarginPreview):
        preview = preview.warned()  # the guard's advice names the undo
    return replace(preview, warnings=(f"Undoes {step}.", *preview.warnings))


def _unknown_for_good(attempts: list[Attempt], after: int) -> dict[int, str]:
    """Return the later changes whose outcome no read can settle, by number, with the reason why they stay."""
    undone = {attempt.undoes for attempt in attempts}
    return {
        one.number: f"{one.step}: its outcome is unknown, so compare the position's margin at Binance first"
        for one in attempts
        if one.number > after and one.number not in undone and one.status == "unknown" and not one.is_open
    }


def _cannot_restore(service: ChangeService, attempt: Attempt) -> str:
    default = DEFAULT_LEVERAGE
    with suppress(LeverageError):  # without the tiers the maximum is not known
        default = service.tiers.find(attempt.symbol).default_leverage
    advice = f"to set Binance's default: %leverage {attempt.symbol} {default}"
    return f"{attempt.step}: a leverage that was not set cannot be restored; {advice}"


def _last_to_undo(attempts: list[Attempt], skipped: Mapping[int, str]) -> list[Attempt]:
    """Return the last change that was applied, not undone and not skipped; all changes of its plan, oldest first.

    Raises:
        NothingToUndo: There is none.
        ChangePending: Its outcome is not known yet.
    """
    done = set(skipped) | {
        attempt.undoes for attempt in attempts if attempt.undoes is not None and attempt.status == "applied"
    }
    for attempt in reversed(attempts):
        if attempt.number in done or not (attempt.status == "applied" or attempt.is_open):
            continue
        same = [attempt]
        if attempt.plan is not None and attempt.undoes is None:
            same = [other for other in attempts if other.plan == attempt.plan and other.number not in done]
        for other in same:
            if other.status == "unknown" and other.is_open:
                raise ChangePending(
                    f"The outcome of the last change, {other.step}, is not known yet. Nothing was undone.",
                    hint="To verify it: %leverage --history, or account.history().",
                )
        if attempt.undoes is None:
            return [other for other in same if other.status == "applied"]
    if skipped:
        reasons = ". ".join(skipped.values())
        can_be_forced = any(one.number in skipped and one.before is not None for one in attempts)
        hint = _FORCE if can_be_forced else "%leverage --history lists all changes."
        raise NothingToUndo(f"No change can be undone now. {reasons}.", hint=hint)
    raise NothingToUndo("There is no change left to undo.", hint="%leverage --history lists all changes.")
