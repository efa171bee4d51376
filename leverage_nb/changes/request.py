"""ChangeRequest: one resolved change. Below it nothing is parsed and no symbol is looked up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from leverage_nb.binance.client import RestClient
from leverage_nb.change import CHANGES, Change, Kind, Status, Value
from leverage_nb.errors import LeverageError
from leverage_nb.risk.account_state import LeverageSetting
from leverage_nb.risk.isolated_margin import IsolatedMargin

# What is read before a change is sent: the symbol's setting, or the position whose isolated margin it changes.
Reading = LeverageSetting | IsolatedMargin


@dataclass(frozen=True)
class ChangeRequest:
    """One change to make.

    Attributes:
        symbol: Binance's symbol.
        requested: The leverage, the margin type, or the amount of margin.
        margin_asset: The symbol's margin asset; "" if unknown.
        kind: What it changes.
        before: The value that the user saw and confirmed; None if it was not set, or if nobody saw it.
        is_confirmed: Whether the change is sent from ``before`` only.
        setting: A read of the current value. The change is sent on it if it is fresh; otherwise it is read again.
        effects: What the preview expects, for the record of the change.
        undoes: The number of the attempt that this change undoes.
        plan: The name of the plan that it belongs to.
        position_side: Isolated margin: "BOTH", "LONG" or "SHORT"; "" otherwise.
        direction: Isolated margin: "long" or "short", the position that the user saw.
        forbidden: Why the user's guard on amounts does not allow it; None if it does.
    """

    symbol: str
    requested: Value
    margin_asset: str = ""
    before: Value | None = None
    is_confirmed: bool = False
    setting: Reading | None = None
    effects: tuple[tuple[str, str], ...] = ()
    undoes: int | None = None
    plan: str | None = None
    kind: Kind = "leverage"
    position_side: str = ""
    direction: str = ""
    forbidden: LeverageError | None = None

    def outcome(self, client: RestClient, status: Status, **known: Any) -> Change:
        """Return the record of this change with an outcome, without an attempt."""
        fields: dict[str, Any] = {"before": self.before, "after": None, "max_notional": None, "sent_at": None} | known
        return CHANGES[self.kind](
            venue=client.venue.label,
            account=client.account,
            symbol=self.symbol,
            requested=self.requested,
            status=status,
            margin_asset=self.margin_asset,
            effects=self.effects,
            undoes=self.undoes,
            position_side=self.position_side,
            **fields,
        )

    def unchanged(self, client: RestClient, setting: LeverageSetting, note: str = "") -> Change:
        """Return the record of a change that is not needed, because the setting shows its value."""
        return self.outcome(
            client,
            "unchanged",
            before=setting.value(self.kind),
            after=setting.value(self.kind),
            max_notional=setting.max_notional if self.kind == "leverage" else None,
            confirmed_by="symbolConfig",
            as_of=setting.as_of,
            note=note,
        )
