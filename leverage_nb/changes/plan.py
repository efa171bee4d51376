"""Plan: changes of several symbols, previewed and applied together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from leverage_nb.cards import Card, Shown, Tone
from leverage_nb.change import Change, Kind, Status, value_text
from leverage_nb.errors import ChangeFailed, InvalidInput, LeverageError
from leverage_nb.formatting import amount, moment
from leverage_nb.risk.outlook import Certainty, Judgement, Verdict

if TYPE_CHECKING:
    import pandas as pd

RowStatus = Literal["planned", "pending"] | Status

RowKey = tuple[str, Kind]

# Called after each row with the number of rows that ended, the number of rows, and the row.
PlanProgress = Callable[[int, int, "PlanRow"], object]

# The symbol does not trade now: its row is pending until a retry.
NOT_TRADING = {-1121, -1122}
DONE: tuple[RowStatus, ...] = ("applied", "unchanged")

# The most rows that a card shows; the DataFrame has all.
_SHOWN = 30

_EXPECTED: dict[Verdict, str] = {
    "ok": "to change",
    "unchanged": "unchanged",
    "refused": "would be refused",
    "unpredictable": "cannot be predicted",
}


@dataclass(frozen=True)
class PlanRow:
    """One change of a plan.

    Attributes:
        symbol: Binance's symbol.
        before: The value when the plan was made; None if it was not set, or could not be read.
        after: The requested value.
        verdict: "ok", "unchanged", "refused" or "unpredictable", after the rows before it.
        code: The expected error code of a refusal.
        certainty: "documented" or "inferred".
        reason: The reason for the verdict or the outcome.
        max_notional: The largest position that the tiers allow, before and after.
        initial_margin: The initial margin of position and open orders, before and after.
        available: The available margin after this row and the rows before it.
        margin_asset: The asset of these amounts.
        status: "planned" until the plan is applied, then the outcome; "pending" if the symbol does not trade.
        change: The record of the change, if there is one.
        undoes: The number of the change in the journal that it undoes.
        stuck: Whether "max" was requested and no leverage fits; ``after`` is then the current leverage.
        caution: A caution that is independent of the verdict, as that the change could not be undone.
        kind: What it changes.
        cap: The upper bound that it asks for; None if it asks for a value.
        limited_by: The reason why "max" is not higher; "" if a number was requested.
        is_read: Whether the value before could be read.
    """

    symbol: str
    before: Any
    after: Any
    verdict: Verdict
    code: int | None
    certainty: Certainty
    reason: str
    max_notional: tuple[float, float]
    initial_margin: tuple[float, float]
    available: float
    margin_asset: str
    status: RowStatus = "planned"
    change: Change | None = None
    undoes: int | None = None
    stuck: bool = False
    caution: str = ""
    kind: Kind = "leverage"
    cap: int | None = None
    limited_by: str = ""
    is_read: bool = True

    @property
    def key(self) -> RowKey:
        """What identifies it in its plan."""
        return self.symbol, self.kind

    @property
    def raises(self) -> bool:
        """Whether it raises the leverage, or sets one that was not set."""
        return self.kind == "leverage" and (self.before is None or self.after > self.before)

    @property
    def exposes(self) -> bool:
        """Whether it exposes the whole balance, so that a person must confirm it on every venue."""
        return self.kind == "margin type" and self.after == "cross"

    @property
    def step(self) -> str:
        """The change in short: ``20x → 10x``, ``cross → isolated``."""
        before = value_text(self.kind, self.before) if self.is_read else "unknown"
        return f"{before} → {value_text(self.kind, self.after)}"

    @property
    def note(self) -> str:
        """The reason for the verdict or the outcome, in words."""
        if self.change is not None and self.change.note:
            return self.change.note
        return self.reason


@dataclass(frozen=True, repr=False)  # Shown has one
class Plan(Shown):
    """Changes of several symbols, in the order in which they are sent: margin types, then raises, then lowers.

    Attributes:
        venue: The venue's name.
        account: The account, by the key's fingerprint.
        rows: In the order in which they are sent; unchanged ones last.
        as_of: When the account was read.
        name: Identifies the plan's changes in the journal.
        passed_over: What it leaves out, with the reason: later changes that cannot be undone, if it undoes earlier
            ones; leverages that are not set and within a policy.
        policy: The name of the policy's file, if it restores a policy; then a change of margin type that fails does not
            stop the change of leverage after it.
        covers: The number of symbols that the policy has rules for.
        interrupted: Whether Ctrl-C ended it.
    """

    venue: str
    account: str
    rows: tuple[PlanRow, ...]
    as_of: datetime
    name: str
    _apply: Callable[[Plan, bool, PlanProgress | None], Plan] = field(repr=False, compare=False)
    passed_over: str = ""
    policy: str = ""
    covers: int = 0
    interrupted: bool = False

    @property
    def to_send(self) -> tuple[PlanRow, ...]:
        """The rows that would be sent."""
        return tuple(row for row in self.rows if row.status not in DONE and row.verdict not in {"unchanged", "refused"})

    @property
    def to_force(self) -> tuple[PlanRow, ...]:
        """The rows that would be sent with ``force``: also those that the exchange is expected to refuse."""
        refused = tuple(row for row in self.rows if row.status not in DONE and row.verdict == "refused")
        return (*self.to_send, *(row for row in refused if row.code is not None))

    def sent_with(self, force: bool) -> tuple[PlanRow, ...]:
        """Return the rows that would be sent, with or without ``force``; of a retry, all that were not applied."""
        if any(row.status != "planned" for row in self.rows):
            return tuple(row for row in self.rows if row.status not in DONE)
        return self.to_force if force else self.to_send

    def exposes(self, force: bool) -> bool:
        """Whether a row that would be sent exposes the whole balance, so that a person must confirm it."""
        return any(row.exposes for row in self.sent_with(force))

    def apply(self, progress: PlanProgress | None = None, *, force: bool = False) -> Plan:
        """Make the changes, several at a time within the rate limit. Each is recorded and settled like a single one.

        The account is read again first. Rows that are unchanged by then, or expected to be refused, are not sent. A
        failure of one row does not stop the others. On Ctrl-C, requests under way end and the other rows are reported
        as not sent.

        Args:
            progress: Called after each row with the number of rows that ended, the number of rows, and the row.
            force: Send rows although a refusal is expected. The guard applies all the same.

        Returns:
            The plan with the outcome of every row.

        Raises:
            ChangeNotSent: The account is read-only, or its key was removed. ``.change`` is that of the first row that
                would be sent.
            WrongAccount: The profile's key opens another account than before. Nothing was sent.
            WrongMode: The account is not in the mode that the plan expects. Nothing was sent.
            LeverageError: The account could not be read. Nothing was sent.
        """
        return self._apply(self, force, progress)

    def retry(self, progress: PlanProgress | None = None, *, force: bool = False) -> Plan:
        """Apply the rows again that were not applied.

        Raises:
            InvalidInput: The plan was never applied.
            LeverageError: The account could not be read. Nothing was sent.
        """
        if all(row.status == "planned" for row in self.rows) and self.rows:
            raise InvalidInput(
                "This plan was not applied yet, so there is nothing to retry.", hint="To apply it: .apply()"
            )
        return self.apply(progress, force=force)

    def to_frame(self) -> pd.DataFrame:
        """Return the plan as a DataFrame.

        Returns:
            Index ``symbol``; ``kind`` ("leverage" or "margin type"), ``before`` (Int64; NA if it was not set),
            ``after`` (int64; with margin types both are columns of objects), ``verdict``, ``code`` (Int64),
            ``certainty``, ``reason``, ``max_notional``, ``initial_margin`` (at ``after``), ``available`` (after this
            row; float64, in ``margin_asset``), ``margin_asset``, ``status``, ``note``.
        """
        import pandas as pd

        from leverage_nb.frames import LeverageFrame, mark, value_columns

        frame = LeverageFrame(
            {
                "kind": [row.kind for row in self.rows],
                **value_columns(self.rows, before="Int64", after="int64"),
                "verdict": [row.verdict for row in self.rows],
                "code": pd.array([row.code for row in self.rows], dtype="Int64"),
                "certainty": [row.certainty for row in self.rows],
                "reason": ["; ".join(filter(None, (row.reason, row.limited_by))) for row in self.rows],
                "max_notional": pd.array([row.max_notional[1] for row in self.rows], dtype="float64"),
                "initial_margin": pd.array([row.initial_margin[1] for row in self.rows], dtype="float64"),
                "available": pd.array([row.available for row in self.rows], dtype="float64"),
                "margin_asset": [row.margin_asset for row in self.rows],
                "status": [row.status for row in self.rows],
                "note": [row.note if row.status != "planned" else "" for row in self.rows],
            },
            index=pd.Index([row.symbol for row in self.rows], name="symbol", dtype="object"),
        )
        if not self.rows:
            frame.attrs["empty"] = "The plan has no rows."
        return mark(frame, self.venue, self.account)

    @property
    def headline(self) -> str:
        """The number of rows per verdict or status, in one line; before a policy is applied, of symbols that differ."""
        if self.policy and all(row.status == "planned" for row in self.rows):
            differ = {row.symbol for row in self.rows if row.before != row.after}
            stuck = {row.symbol for row in self.rows if row.symbol in differ and row.verdict == "refused"}
            cannot = f", of which {len(stuck)} would be refused" if stuck else ""
            what = "symbols differ" if self.covers != 1 else "symbol differs"
            return f"Policy {self.policy}: {len(differ)} of {self.covers} {what}{cannot}"
        counts: dict[str, int] = {}
        for row in self.rows:
            name = _EXPECTED[row.verdict] if row.status == "planned" else _outcome(row)
            counts[name] = counts.get(name, 0) + 1
        what = ", ".join(f"{count} {name}" for name, count in counts.items())
        if not counts or counts.keys() == {_EXPECTED["unchanged"]}:
            what = f"nothing to do{f', {what}' if what else ''}"
        plan = f"Policy {self.policy}, plan" if self.policy else "Plan"
        return f"{plan} of {len(self.rows)} row{'s' if len(self.rows) != 1 else ''}: {what}"

    def card(self) -> Card:
        """Return the plan as a card: the rows to change, with verdict or outcome."""
        shown = [row for row in self.rows if row.status not in {"planned", "unchanged"} or _is_shown(row)]
        rows = [(row.symbol, _row_text(row)) for row in shown[:_SHOWN]]
        if len(shown) > _SHOWN:
            rows.append(("…", f"{len(shown) - _SHOWN} more; .to_frame() shows all"))
        unapplied = any(row.status == "planned" for row in self.rows)
        note = (
            f"As of {moment(self.as_of)}, in the order of sending. A prediction: the exchange decides."
            if unapplied
            else ""
        )
        if not unapplied and any(row.status not in DONE for row in self.rows):
            note = "To send the other rows again: .retry()."
        if self.passed_over:
            note += f" Skipped: {self.passed_over}."
        if self.venue == "simulator":
            is_sent = any(row.change is not None and row.change.sent_at is not None for row in self.rows)
            note += " Sent to the simulator, not to Binance." if is_sent else " Nothing is sent to Binance."
        return Card(self.venue, self.headline, tuple(rows), note.strip(), self._tone())

    def _tone(self) -> Tone:
        statuses = {row.status for row in self.rows}
        if "planned" in statuses:
            return "warn" if any(row.verdict == "refused" for row in self.rows) else "plain"
        return "good" if statuses <= set(DONE) else "bad"


def _is_shown(row: PlanRow) -> bool:
    """Whether a row is shown that sends nothing: one that does, and one that says what limits max."""
    return row.verdict != "unchanged" or bool(row.limited_by)


def _outcome(row: PlanRow) -> str:
    return "undone" if row.status == "applied" and row.undoes is not None else row.status.replace("_", " ")


def _row_text(row: PlanRow) -> str:
    step = row.step
    caution = f"; {row.caution}" if row.caution else ""
    if row.status != "planned":
        read = row.change is not None and row.change.confirmed_by == "symbolConfig" and row.change.as_of
        proof = f", confirmed by a read at {read.astimezone():%H:%M:%S}" if read else ""
        detail = f": {row.note}" if row.status not in DONE and row.note else proof
        return f"{step}  {_outcome(row)}{detail}{caution if row.status == 'applied' else ''}"
    if row.verdict in {"refused", "unpredictable"}:
        return f"{step}  {Judgement(row.verdict, row.code, row.certainty, row.reason).text}{caution}"
    if row.kind == "margin type":
        return f"{step}{caution}"
    why = "; ".join(filter(None, ("" if row.verdict == "unchanged" else row.reason, row.limited_by)))
    return f"{step}  max notional {amount(row.max_notional[1], row.margin_asset)}{f'; {why}' if why else ''}{caution}"


def ended_row(row: PlanRow, outcome: Change | LeverageError) -> PlanRow:
    """Return a row with its outcome."""
    if isinstance(outcome, Change):
        return replace(row, status=outcome.status, change=outcome)
    change = outcome.change if isinstance(outcome, ChangeFailed) else None
    status: RowStatus = change.status if change is not None else "not_sent"
    if outcome.code in NOT_TRADING:
        status = "pending"
    return replace(row, status=status, code=outcome.code, reason=outcome.message, change=change)
