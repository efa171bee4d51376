"""Plan: many changes as one. Unapplied it is a drift report; applied it tells what became of every row."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from leverage_nb.cards import Card, Shown, Tone
from leverage_nb.change import LeverageChange, Status
from leverage_nb.changes.guard import Bound
from leverage_nb.errors import ChangeFailed, InvalidInput, LeverageError
from leverage_nb.formatting import amount, moment
from leverage_nb.risk.account_state import AccountState
from leverage_nb.risk.brackets import BracketTable
from leverage_nb.risk.outlook import AccountLimit, Certainty, Judgement, Outlook, Verdict

if TYPE_CHECKING:
    import pandas as pd

RowStatus = Literal["planned", "pending"] | Status

# Told after each row: how many are done, of how many, and the row.
PlanProgress = Callable[[int, int, "PlanRow"], object]

# A symbol that does not trade yet, or no longer: its row waits for a retry.
NOT_TRADING = {-1121, -1122}
DONE: tuple[RowStatus, ...] = ("applied", "unchanged")

# Rows that a card shows; the table has them all.
SHOWN = 30

_EXPECTED: dict[Verdict, str] = {
    "ok": "to change",
    "unchanged": "right already",
    "refused": "would be refused",
    "unpredictable": "cannot be predicted",
}


@dataclass(frozen=True)
class PlanRow:
    """One change of a plan.

    Attributes:
        symbol: Binance's symbol.
        before: The leverage when the plan was made.
        after: The leverage wanted.
        verdict: What is expected of it, after the rows before it: "ok", "unchanged", "refused", "unpredictable".
        code: The code expected of a refusal.
        certainty: How that is known.
        reason: Why.
        max_notional: The tiers' cap before and after.
        initial_margin: Of what is held, before and after.
        available: What new positions may use once this row and those before it are applied.
        margin_asset: What these amounts are in.
        status: "planned" until it is applied; then what became of it. "pending": the symbol does not trade.
        change: The record, once there is one.
        undoes: The number of the change in the journal that it takes back.
        stuck: Whether "max" was wanted, and no leverage would do: ``after`` is then today's.
        caution: What to mind: that it could not be taken back.
    """

    symbol: str
    before: int
    after: int
    verdict: Verdict
    code: int | None
    certainty: Certainty
    reason: str
    max_notional: tuple[float, float]
    initial_margin: tuple[float, float]
    available: float
    margin_asset: str
    status: RowStatus = "planned"
    change: LeverageChange | None = None
    undoes: int | None = None
    stuck: bool = False
    caution: str = ""

    @property
    def note(self) -> str:
        """Why it is as it is, in words."""
        if self.change is not None and self.change.note:
            return self.change.note
        return self.reason


@dataclass(frozen=True, repr=False)  # Shown has one
class Plan(Shown):
    """Many changes, in the order in which they are sent: raises first, then lowers.

    Attributes:
        venue: Where.
        account: Whose, as a key fingerprint.
        rows: In the order they are sent; unchanged ones last.
        as_of: When the account was read.
        name: Ties its changes together in the journal.
        passed_over: Later changes that cannot be taken back, and why, where this takes back what was before them.
    """

    venue: str
    account: str
    rows: tuple[PlanRow, ...]
    as_of: datetime
    name: str
    _carry_out: Callable[[Plan, bool, PlanProgress | None], Plan] = field(repr=False, compare=False)
    passed_over: str = ""

    @property
    def to_send(self) -> tuple[PlanRow, ...]:
        """The rows that applying it now would send."""
        return tuple(row for row in self.rows if row.status not in DONE and row.verdict not in {"unchanged", "refused"})

    @property
    def to_force(self) -> tuple[PlanRow, ...]:
        """The rows that applying it with ``force`` would send: those that the exchange is expected to refuse too."""
        refused = tuple(row for row in self.rows if row.status not in DONE and row.verdict == "refused")
        return (*self.to_send, *(row for row in refused if row.code is not None))

    def apply(self, progress: PlanProgress | None = None, *, force: bool = False) -> Plan:
        """Make the changes, several at a time within the rate limit; each is written down and settled like any other.

        The account is read once before. Rows that are right by then are left alone; rows that are expected to be
        refused are not sent. What goes wrong with one row stops no other. Ctrl-C lets what is under way end, and
        reports the rest as not sent.

        Args:
            progress: Called after each row with how many are done, of how many, and the row.
            force: Send rows although a refusal is expected. It does not pass the guard.

        Returns:
            The plan with what became of every row.

        Raises:
            LeverageError: The account could not be read before; nothing was sent.
        """
        return self._carry_out(self, force, progress)

    def retry(self, progress: PlanProgress | None = None, *, force: bool = False) -> Plan:
        """Apply once more what was not done; what was, stays as it is.

        Raises:
            InvalidInput: It was never applied.
            LeverageError: The account could not be read before; nothing was sent.
        """
        if all(row.status == "planned" for row in self.rows) and self.rows:
            raise InvalidInput("This plan was not applied yet: there is nothing to retry.", hint=".apply() does it.")
        return self.apply(progress, force=force)

    def to_frame(self) -> pd.DataFrame:
        """The plan as a table.

        Returns:
            Index ``symbol``; ``before``, ``after`` (int64), ``verdict``, ``code`` (Int64), ``certainty``, ``reason``,
            ``max_notional``, ``initial_margin`` (at ``after``), ``available`` (after this row; float64, in
            ``margin_asset``), ``margin_asset``, ``status``, ``note``.
        """
        import pandas as pd

        from leverage_nb.frames import LeverageFrame, mark

        frame = LeverageFrame(
            {
                "before": pd.array([row.before for row in self.rows], dtype="int64"),
                "after": pd.array([row.after for row in self.rows], dtype="int64"),
                "verdict": [row.verdict for row in self.rows],
                "code": pd.array([row.code for row in self.rows], dtype="Int64"),
                "certainty": [row.certainty for row in self.rows],
                "reason": [row.reason for row in self.rows],
                "max_notional": pd.array([row.max_notional[1] for row in self.rows], dtype="float64"),
                "initial_margin": pd.array([row.initial_margin[1] for row in self.rows], dtype="float64"),
                "available": pd.array([row.available for row in self.rows], dtype="float64"),
                "margin_asset": [row.margin_asset for row in self.rows],
                "status": [row.status for row in self.rows],
                "note": [row.note if row.status != "planned" else "" for row in self.rows],
            },
            index=pd.Index([row.symbol for row in self.rows], name="symbol", dtype="object"),
        )
        return mark(frame, self.venue, self.account)

    @property
    def headline(self) -> str:
        """How many rows stand where, in one line."""
        counts: dict[str, int] = {}
        for row in self.rows:
            name = row.status if row.status != "planned" else _EXPECTED[row.verdict]
            counts[name] = counts.get(name, 0) + 1
        what = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts.items()) or "nothing to do"
        return f"Plan of {len(self.rows)} row{'s' if len(self.rows) != 1 else ''}: {what}"

    def card(self) -> Card:
        """The plan as a card: the rows that are not right, and what is expected or became of them."""
        telling = [row for row in self.rows if row.status not in {"planned", "unchanged"} or row.verdict != "unchanged"]
        rows = [(row.symbol, _row_text(row)) for row in telling[:SHOWN]]
        if len(telling) > SHOWN:
            rows.append(("…", f"{len(telling) - SHOWN} more: .to_frame() has them all"))
        unapplied = any(row.status == "planned" for row in self.rows)
        note = f"As of {moment(self.as_of)}, sent in this order: the exchange decides." if unapplied else ""
        if self.to_send and not unapplied:
            note = ".retry() sends what was not done."
        if self.passed_over:
            note += f" Passed over: {self.passed_over}."
        if self.venue == "simulator":
            note += " Nothing is sent to Binance."
        return Card(self.venue, self.headline, tuple(rows), note.strip(), self._tone())

    def _tone(self) -> Tone:
        statuses = {row.status for row in self.rows}
        if "planned" in statuses:
            return "warn" if any(row.verdict == "refused" for row in self.rows) else "plain"
        return "good" if statuses <= set(DONE) else "bad"


def _row_text(row: PlanRow) -> str:
    step = f"{row.before}x → {row.after}x"
    mind = f"; {row.caution}" if row.caution else ""
    if row.status != "planned":
        proof = f", {row.change.proof}" if row.change and row.change.confirmed_by == "symbolConfig" else ""
        said = f": {row.note}" if row.status not in DONE and row.note else proof
        return f"{step}  {row.status.replace('_', ' ')}{said}{mind if row.status == 'applied' else ''}"
    if row.verdict in {"refused", "unpredictable"}:
        return f"{step}  {Judgement(row.verdict, row.code, row.certainty, row.reason).text}{mind}"
    return f"{step}  max notional {amount(row.max_notional[1], row.margin_asset)}{mind}"


def make_rows(
    wanted: Mapping[str, int | None],
    state: AccountState,
    table: BracketTable,
    limit_of: Callable[[str], AccountLimit | None],
    guard: Bound | None,
) -> tuple[PlanRow, ...]:
    """What each row would do, after those that are sent before it: raises first, then lowers.

    Args:
        wanted: Symbol and leverage; None for the highest that fits.
        state: What the account holds.
        table: The tiers.
        limit_of: The limit that was met of a symbol.
        guard: The highest leverage that may be sent; None where there is none.

    Returns:
        A row a symbol; for one that is not listed (any more), one that says so.
    """
    steps, stuck = [], {}
    gone = [symbol for symbol in wanted if symbol not in state.settings or symbol not in table]
    for symbol, leverage in wanted.items():
        if symbol in gone:
            continue
        outlook = Outlook(state, table[symbol], limit_of(symbol))
        try:
            target = leverage or outlook.highest(0.0, guard.leverage if guard else None, _stopped_by(guard))
        except InvalidInput as exc:
            target, stuck[symbol] = outlook.current, exc.message
        steps.append((symbol, outlook.current, target))
    # A raise frees margin and a lower takes it: in this order every row finds the most there can be.
    order = {"raise": 0, "lower": 1, "none": 2}
    steps.sort(key=lambda step: order["raise" if step[2] > step[1] else "lower" if step[2] < step[1] else "none"])
    rows = []
    for symbol, before, after in steps:
        outlook = Outlook(state, table[symbol], limit_of(symbol))
        highest = len(outlook.leverage)
        if after > highest:
            judged = Judgement("refused", -4028, "documented", f"{symbol}'s maximum is {highest}x now")
        else:
            judged = outlook.judge(after)
        if guard is not None and after > guard.leverage and after != before:
            judged = Judgement("refused", None, "documented", _stopped_by(guard))
        if symbol in stuck:
            judged = Judgement("refused", None, "documented", stuck[symbol])
        if judged.verdict in {"ok", "unpredictable"}:
            state = state.with_leverage(symbol, after)
        today, then = min(before, highest) - 1, min(after, highest) - 1
        stays = judged.verdict in {"refused", "unchanged"}
        rows.append(
            PlanRow(
                symbol=symbol,
                before=before,
                after=after,
                verdict=judged.verdict,
                code=judged.code,
                certainty=judged.certainty,
                reason=judged.reason,
                max_notional=(float(outlook.max_notional[today]), float(outlook.max_notional[then])),
                initial_margin=(float(outlook.initial_margin[today]), float(outlook.initial_margin[then])),
                available=float(outlook.available_after[today if stays else then]),
                margin_asset=outlook.margin_asset,
                stuck=symbol in stuck,
                caution=outlook.caution(after),
            )
        )
    return (*rows, *(unlisted_row(symbol, wanted[symbol] or 0) for symbol in gone))


def _stopped_by(guard: Bound | None) -> str:
    return f"the guard stops above {guard.leverage}x ({guard.source})" if guard else ""


def unlisted_row(symbol: str, leverage: int) -> PlanRow:
    """The row of a symbol that the exchange does not list now: it waits for a retry."""
    unknown = (math.nan, math.nan)
    why = f"{symbol} is not listed now"
    return PlanRow(symbol, 0, leverage, "refused", None, "documented", why, unknown, unknown, math.nan, "")


def ended_row(row: PlanRow, outcome: LeverageChange | LeverageError) -> PlanRow:
    """A row with its outcome."""
    if isinstance(outcome, LeverageChange):
        return replace(row, status=outcome.status, change=outcome)
    change = outcome.change if isinstance(outcome, ChangeFailed) else None
    status: RowStatus = change.status if change is not None else "not_sent"
    if outcome.code in NOT_TRADING:
        status = "pending"
    return replace(row, status=status, code=outcome.code, reason=outcome.message, change=change)
