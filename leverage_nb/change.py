"""Changes of leverage, margin type and isolated margin, each with its outcome."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Literal

from leverage_nb.cards import Card, Shown, Tone, label
from leverage_nb.formatting import MINUS, amount, moment, times

# What a change changes. Leverage and margin type are settings of a symbol: to set one twice does no harm. Isolated
# margin is an amount that is added to a position: to send it twice adds it twice.
Kind = Literal["leverage", "margin type", "isolated margin"]

# Of a leverage, a margin type ("cross" or "isolated"), and an amount of margin (negative if it is taken out).
Value = int | str | Decimal

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
class Change(Shown):
    """One change of a setting or of isolated margin, and its outcome.

    What each status claims:

    * ``applied``, confirmed by "answer": the exchange executed this request.
    * ``applied``, confirmed by "symbolConfig": at ``as_of`` the setting was as ``requested``. Another client may have
      made it so.
    * ``applied``, confirmed by "history": the exchange's history of isolated margin has exactly one entry that fits.
    * ``unchanged``: at ``as_of`` the setting was as ``requested`` already.
    * ``refused``: the exchange did not execute this request and will not.
    * ``not_sent``: nothing of the request left this machine.
    * ``not_applied``: it was sent without a definite answer. At ``as_of``, after the exchange could still execute it,
      the setting was as ``before``. That recvWindow bounds this time is inferred.
    * ``superseded``: the same, and the setting was ``after``, which is neither ``before`` nor ``requested``.
    * ``unknown``: it was sent without a definite answer. Either it is not settled, and the attempt is open in the
      journal; or ``is_final``, and no read can settle it.

    Attributes:
        venue: The venue's name.
        account: The account, by the key's fingerprint.
        symbol: Binance's symbol.
        before: The value before the change; None if it was not set or could not be read.
        after: The value in the exchange's answer, or read at ``as_of``; None without either.
        requested: The value that was requested.
        max_notional: The largest position at ``after``, in the margin asset, as the exchange answered.
        status: The outcome, as above.
        sent_at: When the attempt was recorded, immediately before its request left, in local time; None if it did not.
        confirmed_by: "answer", "symbolConfig" or "history" for a read after sending; None if nothing confirmed it.
        note: Further information, as text.
        margin_asset: The asset of amounts; "" if unknown.
        effects: What the preview expected, as label and value; empty without a preview.
        as_of: When the read was sent that the status rests on; None without such a read.
        number: The number of the attempt in the journal; None without an attempt.
        undoes: The number of the change in the journal that this one undoes; None for any other change.
        is_final: Whether the outcome will not change. An open attempt's outcome may.
        position_side: Isolated margin: "BOTH" in one-way mode, "LONG" or "SHORT" in hedge mode; "" otherwise.
    """

    kind: ClassVar[Kind]

    venue: str
    account: str
    symbol: str
    before: Any
    after: Any
    requested: Any
    max_notional: float | None
    status: Status
    sent_at: datetime | None
    confirmed_by: Literal["answer", "symbolConfig", "history"] | None = None
    note: str = ""
    margin_asset: str = ""
    effects: tuple[tuple[str, str], ...] = ()
    as_of: datetime | None = None
    number: int | None = None
    undoes: int | None = None
    is_final: bool = True
    position_side: str = ""

    @property
    def step(self) -> str:
        """The change in short: ``20x → 10x``, ``cross → isolated``, ``isolated margin +500 USDT``."""
        requested = value_text(self.kind, self.requested)
        return requested if self.before is None else f"{value_text(self.kind, self.before)} → {requested}"

    def is_at(self, value: Any) -> str:
        """Say which value the symbol has: ``is at 10x``, ``is isolated``."""
        return is_at(self.kind, value)

    @property
    def headline(self) -> str:
        """The outcome in one line."""
        return {
            "applied": f"{self.symbol} {self.step} {'applied' if self.undoes is None else 'undone'}",
            "unchanged": f"{self.symbol} {self.is_at(self.requested)} already; nothing was {self._done}",
            "refused": f"{self.symbol} {self.step} was refused",
            "not_sent": f"{self.symbol} {self.step} was not sent",
            "not_applied": f"{self.symbol} {self.step} was not applied: it {self.is_at(self.after)}",
            "superseded": f"{self.symbol} {self.step} was superseded: it {self.is_at(self.after)}",
            "unknown": f"{self.symbol} {self.step}: outcome unknown{', and no read can settle it' * self.is_final}",
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
        if self.confirmed_by == "history":
            return "the exchange's history of isolated margin"
        if self.confirmed_by is not None and self.as_of is not None:
            return f"a read of the setting: {self.symbol} {self.is_at(self.after)} as of {moment(self.as_of)}"
        return "nothing"

    @property
    def _done(self) -> str:
        return "changed" if self.sent_at else "sent"

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


class LeverageChange(Change):
    """One change of initial leverage: ``before``, ``after`` and ``requested`` are int. See :class:`Change`."""

    kind = "leverage"


class MarginTypeChange(Change):
    """One change of margin type: ``before``, ``after`` and ``requested`` are "cross" or "isolated".

    See :class:`Change`.
    """

    kind = "margin type"


class IsolatedMarginChange(Change):
    """One change of a position's isolated margin: ``requested`` is a Decimal, negative if margin was taken out.

    ``before`` is the isolated wallet as read before, ``after`` is always None: other events move the wallet too, so its
    difference proves nothing. See :class:`Change`.
    """

    kind = "isolated margin"

    @property
    def step(self) -> str:
        """The change in short: ``isolated margin +500 USDT``."""
        side = f" of {self.position_side.lower()}" if self.position_side in {"LONG", "SHORT"} else ""
        return f"isolated margin{side} {signed_amount(self.requested, self.margin_asset)}"


CHANGES: dict[Kind, type[Change]] = {
    "leverage": LeverageChange,
    "margin type": MarginTypeChange,
    "isolated margin": IsolatedMarginChange,
}


def value_text(kind: Kind, value: Value | None) -> str:
    """Return the value of a setting as text: ``20x``, ``isolated``."""
    if kind == "leverage":
        return times(value)  # type: ignore[arg-type]  # a leverage is an int
    return "unknown" if value is None else str(value)


def is_at(kind: Kind, value: Value | None) -> str:
    """Say which value a setting has: ``is at 20x``, ``is isolated``."""
    return f"is {'at ' if kind == 'leverage' and value is not None else ''}{value_text(kind, value)}"


def signed_amount(value: Decimal, asset: str = "") -> str:
    """Return an amount of margin exactly, with its sign: ``+500 USDT``."""
    return f"{MINUS if value < 0 else '+'}{exact_amount(value, asset)}"


def exact_amount(value: Decimal, asset: str = "") -> str:
    """Return an amount of margin exactly, without its sign: ``500 USDT``."""
    return f"{abs(value).normalize():,f} {asset}".rstrip()
