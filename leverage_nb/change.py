"""LeverageChange: what was asked, what was sent, what is known of the outcome."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from leverage_nb.cards import Card, Shown, Tone
from leverage_nb.formatting import amount, moment

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
    """One change of initial leverage, as far as it is known.

    What each status claims, and what alone would make it false:

    * ``applied`` by "answer": the exchange carried out this very request. False if it did not.
    * ``applied`` by "symbolConfig": at ``as_of`` the symbol was at ``requested``, whoever put it there.
    * ``unchanged``: at ``as_of`` the symbol was at ``requested``, and nothing was sent.
    * ``refused``: the exchange did not carry out this request, and will not.
    * ``not_sent``: nothing of the request left this machine.
    * ``not_applied``: it was sent and not confirmed; at ``as_of``, after the time in which the exchange acts on a
      request, the symbol was at ``before``. That this time bounds it is inferred from recvWindow.
    * ``superseded``: the same, and the symbol was at ``after``, neither ``before`` nor ``requested``.
    * ``unknown``: nothing is claimed. The attempt is open in the journal.

    Attributes:
        venue: Where.
        account: Whose, as a key fingerprint.
        symbol: Binance's symbol.
        before: The leverage that was read before; None where that read failed.
        after: The leverage as the exchange answered, or as it was seen at ``as_of``; None where neither happened.
        requested: What was asked for.
        max_notional: The largest position at ``after``, in the margin asset, as the exchange answered.
        status: See above.
        sent_at: When the request left, in local time; None where none did.
        confirmed_by: "answer" or "symbolConfig" (a read made after sending); None where nothing confirmed it.
        note: Anything else there is to say.
        margin_asset: What ``max_notional`` is in; "" where it is not known.
        effects: What the preview expected of it, as label and value; empty where there was none.
        as_of: When the setting was read that the status rests on; None where it rests on no such look.
        number: The attempt's number in the journal; None where there was no attempt.
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

    @property
    def headline(self) -> str:
        """The outcome in one line."""
        step = f"{self.before}x → {self.requested}x" if self.before else f"{self.requested}x"
        return {
            "applied": f"{self.symbol} {step}",
            "unchanged": f"{self.symbol} is at {self.requested}x already; nothing was sent",
            "refused": f"{self.symbol} {step} was refused",
            "not_sent": f"{self.symbol} {step} was not sent",
            "not_applied": f"{self.symbol} {step} was not applied: it is at {self.after}x",
            "superseded": f"{self.symbol} {step} was superseded: it is at {self.after}x",
            "unknown": f"{self.symbol} {step}: outcome unknown",
        }[self.status]

    @property
    def proof(self) -> str:
        """What the status rests on, in words."""
        if self.confirmed_by == "answer":
            return "the exchange's answer"
        if self.confirmed_by is not None and self.as_of is not None:
            return f"a read of the setting: {self.symbol} is at {self.after}x as of {moment(self.as_of)}"
        return "nothing"

    def card(self) -> Card:
        """The change as a card."""
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
        title = f"{self.headline}: applied" if self.status == "applied" else self.headline
        return Card(self.venue, title, tuple(rows), " ".join(filter(None, notes)), _TONES[self.status])
