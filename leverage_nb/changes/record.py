"""LeverageChange: what was asked, what was sent, what is known of the outcome."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from leverage_nb.cards import Card, Shown, Tone, amount, moment

Status = Literal["applied", "unchanged", "refused", "not_sent", "unknown"]

_TONES: dict[Status, Tone] = {
    "applied": "good",
    "unchanged": "plain",
    "refused": "bad",
    "not_sent": "warn",
    "unknown": "warn",
}


@dataclass(frozen=True, repr=False)  # Shown has one
class LeverageChange(Shown):
    """One change of initial leverage, as far as it is known.

    Attributes:
        venue: Where.
        account: Whose, as a key fingerprint.
        symbol: Binance's symbol.
        before: The leverage that was read before; None where that read failed.
        after: The leverage as the exchange confirmed it; None where it did not.
        requested: What was asked for.
        max_notional: The largest position at ``after``, in the margin asset, as the exchange answered.
        status: "applied", "unchanged" (nothing was sent), "refused", "not_sent" or "unknown".
        sent_at: When the request left, in local time; None where none did.
        confirmed_by: "answer" or "symbolConfig"; None where nothing confirmed it.
        note: Anything else there is to say.
        margin_asset: What ``max_notional`` is in; "" where it is not known.
        effects: What the preview expected of it, as label and value; empty where there was none.
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

    @property
    def headline(self) -> str:
        """The outcome in one line."""
        step = f"{self.before}x → {self.requested}x" if self.before else f"{self.requested}x"
        return {
            "applied": f"{self.symbol} {step}",
            "unchanged": f"{self.symbol} is at {self.requested}x already; nothing was sent",
            "refused": f"{self.symbol} {step} was refused",
            "not_sent": f"{self.symbol} {step} was not sent",
            "unknown": f"{self.symbol} {step}: outcome unknown",
        }[self.status]

    def card(self) -> Card:
        """The change as a card."""
        rows = [(name, value) for name, value in self.effects if name != "certainty"]
        if self.max_notional is not None and not self.effects:
            rows.append(("max notional", amount(self.max_notional, self.margin_asset)))
        if self.sent_at is not None:
            rows.append(("sent", moment(self.sent_at)))
        if self.confirmed_by:
            said = {"answer": "the exchange's answer", "symbolConfig": "a look at the setting"}
            rows.append(("confirmed by", said[self.confirmed_by]))
        rows.append(("account", self.account))
        notes = [self.note]
        if self.venue == "simulator":
            notes.append("Nothing was sent to Binance.")
        return Card(self.venue, self.headline, tuple(rows), " ".join(filter(None, notes)), _TONES[self.status])
