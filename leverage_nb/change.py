"""LeverageChange: one change of leverage and its outcome."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from leverage_nb.cards import Card, Shown, Tone, label
from leverage_nb.formatting import amount, moment, times

Status = Literal["applied", "unchanged", "refused", "not_sent", "not_applied", "superseded", "unknown"]

_TONES: dict[Status, Tone] = {
    "applied": "good",
    "unchanged": "plain",
    "refused": "bad",
    "not_sent": "warn",
    "not_applied": "bad",
    "superseded": "bad",
    "unknown": "warn",
}


@dataclass(frozen=True, repr=False)  # Shown has one
class LeverageChange(Shown):
    """One change of initial leverage and its outcome.

    What each status claims:

    * ``applied``, confirmed by "answer": the exchange executed this request.
    * ``applied``, confirmed by "symbolConfig": at ``as_of`` the symbol was at ``requested``. Another client may have
      set it.
    * ``unchanged``: at ``as_of`` the symbol was at ``requested`` already. Nothing was sent.
    * ``refused``: the exchange did not execute this request and will not.
    * ``not_sent``: nothing of the request left this machine.
    * ``not_applied``: it was sent without a definite answer. At ``as_of``, after the exchange could still execute it,
      the symbol was at ``before``. That recvWindow bounds this time is inferred.
    * ``superseded``: the same, and the symbol was at ``after``, which is neither ``before`` nor ``requested``.
    * ``unknown``: it was sent without a definite answer and is not settled. The attempt is open in the journal.

    Attributes:
        venue: The venue's name.
        account: The account, by the key's fingerprint.
        symbol: Binance's symbol.
        before: The leverage before the change; None if it was not set or could not be read.
        after: The leverage in the exchange's answer, or read at ``as_of``; None without either.
        requested: The leverage that was requested.
        max_notional: The largest position at ``after``, in the margin asset, as the exchange answered.
        status: The outcome, as above.
        sent_at: When the request left, in local time; None if it did not.
        confirmed_by: "answer", or "symbolConfig" for a read after sending; None if nothing confirmed it.
        note: Further information, as text.
        margin_asset: The asset of ``max_notional``; "" if unknown.
        effects: What the preview expected, as label and value; empty without a preview.
        as_of: When the read of the setting was sent that the status rests on; None without such a read.
        number: The number of the attempt in the journal; None without an attempt.
        undoes: The number of the change in the journal that this one undoes; None for any other change.
    """

    venue: str
    account: str
    symbol: str
    before: int | None
    after: int | None
    requested: int
    max_notional: float | None
    status: Status
    sent_at: datetime | None
    confirmed_by: Literal["answer", "symbolConfig"] | None = None
    note: str = ""
    margin_asset: str = ""
    effects: tuple[tuple[str, str], ...] = ()
    as_of: datetime | None = None
    number: int | None = None
    undoes: int | None = None

    @property
    def headline(self) -> str:
        """The outcome in one line."""
        step = f"{self.before}x → {self.requested}x" if self.before else f"{self.requested}x"
        return {
            "applied": f"{self.symbol} {step} {'applied' if self.undoes is None else 'undone'}",
            "unchanged": f"{self.symbol} is at {self.requested}x already; nothing was sent",
            "refused": f"{self.symbol} {step} was refused",
            "not_sent": f"{self.symbol} {step} was not sent",
            "not_applied": f"{self.symbol} {step} was not applied: it is at {times(self.after)}",
            "superseded": f"{self.symbol} {step} was superseded: it is at {times(self.after)}",
            "unknown": f"{self.symbol} {step}: outcome unknown",
        }[self.status]

    @property
    def summary(self) -> str:
        """The outcome and the venue in one line: ``BTCUSDT 20x → 25x applied, SIMULATOR``."""
        return f"{self.headline}, {label(self.venue)}"

    @property
    def proof(self) -> str:
        """What confirms the status, in words."""
        if self.confirmed_by == "answer":
            return "the exchange's answer"
        if self.confirmed_by is not None and self.as_of is not None:
            return f"a read of the setting: {self.symbol} is at {times(self.after)} as of {moment(self.as_of)}"
        return "nothing"

    def card(self) -> Card:
        """Return the change as a card."""
        rows = [(name, value) for name, value in self.effects if name != "certainty"]
        if self.max_notional is not None and not self.effects:
            rows.append(("max notional", amount(self.max_notional, self.margin_asset)))
        if self.sent_at is not None:
            rows.append(("sent", moment(self.sent_at)))
        if self.confirmed_by:
            rows.append(("confirmed by", self.proof))
        rows.append(("account", self.account))
        notes = [self.note]
        if self.venue == "simulator":
            notes.append("Sent to the simulator, not to Binance." if self.sent_at else "Nothing was sent to Binance.")
        return Card(self.venue, self.headline, tuple(rows), " ".join(filter(None, notes)), _TONES[self.status])
