"""Predict the rows of a plan, each after the rows that are sent before it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace

from leverage_nb.change import Value
from leverage_nb.changes.guard import Guard, why_highest
from leverage_nb.changes.plan import PlanRow
from leverage_nb.errors import InvalidInput, InvalidLeverage
from leverage_nb.risk.account_state import AccountState
from leverage_nb.risk.brackets import BracketTable
from leverage_nb.risk.margin_type import exposed_by_cross, judge_margin_type
from leverage_nb.risk.outlook import AccountLimit, Judgement, Outlook


def make_margin_rows(wanted: Mapping[str, str], state: AccountState) -> tuple[tuple[PlanRow, ...], AccountState]:
    """Predict changes of margin type; return their rows, and the state that the rows after them find."""
    rows = []
    for symbol, margin_type in wanted.items():
        reason = state.why_unknown(symbol) or ("" if symbol in state.settings else f"{symbol} is no longer listed")
        if reason:
            row = unsent_row(symbol, None, margin_type, reason)
            rows.append(replace(row, kind="margin type", is_read=False))
            continue
        judged = judge_margin_type(state, symbol, margin_type)
        row = unsent_row(symbol, state.settings[symbol].margin_type, margin_type, judged.reason)
        passes = judged.verdict in {"ok", "unpredictable"}
        exposed = f"backed by {exposed_by_cross(state, symbol)}" if passes and margin_type == "cross" else ""
        rows.append(
            replace(
                row,
                kind="margin type",
                verdict=judged.verdict,
                code=judged.code,
                certainty=judged.certainty,
                margin_asset=state.settings[symbol].margin_asset,
                caution=exposed,
            )
        )
        if passes:
            state = state.with_margin_type(symbol, margin_type)
    rows.sort(key=lambda row: row.verdict == "unchanged")
    return tuple(rows), state


def make_rows(
    wanted: Mapping[str, int | None],
    state: AccountState,
    table: BracketTable,
    limit_of: Callable[[str], AccountLimit | None],
    guard: Guard,
    blocked: frozenset[str] = frozenset(),
) -> tuple[PlanRow, ...]:
    """Predict the changes of leverage of a plan, in the order in which they are sent: raises first, then lowers.

    Args:
        wanted: Symbol and leverage; None for the highest that fits.
        state: The account.
        table: The tiers.
        limit_of: Returns the account limit that applies to a symbol.
        guard: The user's upper bound.
        blocked: Symbols whose change of margin type, which comes first, would be refused.

    Returns:
        One row per symbol, also for symbols that are no longer listed, or whose setting or position is unknown.
    """
    limit = guard.limit()
    targets: list[tuple[str, int | None, int]] = []
    stuck: dict[str, str] = {}
    ends: dict[str, str] = {}
    unknown = {symbol: state.why_unknown(symbol) for symbol in wanted}
    left_out = [s for s in wanted if unknown[s] or s not in state.settings or s not in table]
    for symbol, leverage in wanted.items():
        if symbol in left_out:
            continue
        outlook = Outlook(state, table[symbol], limit_of(symbol))
        try:
            highest = limit.leverage if limit is not None else None
            reason = str(guard.exceeded(highest + 1) or "") if highest is not None else ""
            after = leverage or outlook.highest(0.0, highest, reason)
            if leverage is None:
                ends[symbol] = why_highest(outlook, after, limit)
        except InvalidInput as exc:
            after, stuck[symbol] = outlook.current or 1, exc.message
        targets.append((symbol, outlook.current, after))
    # A raise frees margin and a lower ties it up: in this order each row finds the most available margin.
    targets.sort(key=lambda target: _order(target[1], target[2]))
    rows = []
    for symbol, before, after in targets:
        outlook = Outlook(state, table[symbol], limit_of(symbol))
        judged = _judge(outlook, after, guard, stuck.get(symbol))
        if symbol in blocked and judged.verdict != "unchanged":
            reason = "the change of margin type before it would be refused"
            judged = Judgement("refused", None, "documented", reason)
        if judged.verdict in {"ok", "unpredictable"}:
            state = state.with_leverage(symbol, after)
        row = _row(outlook, before, after, judged, is_stuck=symbol in stuck)
        rows.append(replace(row, limited_by="" if judged.verdict == "refused" else ends.get(symbol, "")))
    for symbol in left_out:
        reason = unknown[symbol] or _why_left_out(symbol, table)
        setting = state.settings.get(symbol)
        before = setting.leverage if setting is not None else None
        row = unsent_row(symbol, before, wanted[symbol] or before or 0, reason)
        rows.append(replace(row, is_read=setting is not None))
    return tuple(rows)


def unsent_row(symbol: str, before: Value | None, after: Value, reason: str) -> PlanRow:
    """Return a row that is not sent, because the symbol has changed since, is no longer listed or could not be read."""
    unknown = (math.nan, math.nan)
    return PlanRow(symbol, before, after, "refused", None, "documented", reason, unknown, unknown, math.nan, "")


def _why_left_out(symbol: str, table: BracketTable) -> str:
    if symbol in table.skipped:
        return f"the exchange's tiers of {symbol} are unusable: {table.skipped[symbol]}"
    return f"the exchange sent no setting of {symbol}" if symbol in table else f"{symbol} is no longer listed"


def _order(before: int | None, after: int) -> int:
    return 0 if before is None or after > before else 1 if after < before else 2


def _judge(outlook: Outlook, leverage: int, guard: Guard, why_stuck: str | None) -> Judgement:
    if why_stuck is not None:
        return Judgement("refused", None, "documented", why_stuck)
    exceeded = guard.exceeded(leverage)
    if exceeded is not None and leverage != outlook.current:
        return Judgement("refused", None, "documented", str(exceeded))
    highest = len(outlook.leverage)
    if leverage > highest:
        too_high = InvalidLeverage(leverage, outlook.symbol, highest)
        return Judgement("refused", None, "documented", too_high.message.rstrip("."))
    return outlook.judge(leverage)


def _row(outlook: Outlook, before: int | None, after: int, judged: Judgement, *, is_stuck: bool) -> PlanRow:
    highest = len(outlook.leverage)
    then = min(after, highest) - 1
    now = then if before is None else min(before, highest) - 1
    stays = judged.verdict in {"refused", "unchanged"}
    return PlanRow(
        symbol=outlook.symbol,
        before=before,
        after=after,
        verdict=judged.verdict,
        code=judged.code,
        certainty=judged.certainty,
        reason=judged.reason,
        max_notional=(float(outlook.max_notional[now]), float(outlook.max_notional[then])),
        initial_margin=(float(outlook.initial_margin[now]), float(outlook.initial_margin[then])),
        available=float(outlook.available_after[now if stays else then]),
        margin_asset=outlook.margin_asset,
        stuck=is_stuck,
        caution="" if judged.verdict == "refused" and judged.code is None else outlook.caution(after),
    )
