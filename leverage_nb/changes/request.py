"""ChangeRequest: one resolved change. Below it nothing is parsed and no symbol is looked up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from leverage_nb.binance.client import RestClient
from leverage_nb.change import LeverageChange, Status
from leverage_nb.risk.account_state import LeverageSetting


@dataclass(frozen=True)
class ChangeRequest:
    """One change to make.

    Attributes:
        symbol: Binance's symbol.
        leverage: From 1 to the symbol's maximum.
        margin_asset: The symbol's margin asset; "" if unknown.
        before: The leverage that the user saw and confirmed; None if it was not set, or if nobody saw it.
        is_confirmed: Whether the change is sent from ``before`` only.
        setting: A read of the setting. The change is sent on it if it is fresh; otherwise it is read again.
        effects: What the preview expects, for the record of the change.
        undoes: The number of the attempt that this change undoes.
        plan: The name of the plan that it belongs to.
    """

    symbol: str
    leverage: int
    margin_asset: str = ""
    before: int | None = None
    is_confirmed: bool = False
    setting: LeverageSetting | None = None
    effects: tuple[tuple[str, str], ...] = ()
    undoes: int | None = None
    plan: str | None = None

    def outcome(self, client: RestClient, status: Status, **known: Any) -> LeverageChange:
        """Return the record of this change with an outcome, without an attempt."""
        fields: dict[str, Any] = {"before": self.before, "after": None, "max_notional": None, "sent_at": None} | known
        return LeverageChange(
            venue=client.venue.label,
            account=client.account,
            symbol=self.symbol,
            requested=self.leverage,
            status=status,
            margin_asset=self.margin_asset,
            effects=self.effects,
            undoes=self.undoes,
            **fields,
        )

    def unchanged(self, client: RestClient, setting: LeverageSetting, note: str = "") -> LeverageChange:
        """Return the record of a change that is not needed, because the setting shows its leverage."""
        return self.outcome(
            client,
            "unchanged",
            before=setting.leverage,
            after=setting.leverage,
            max_notional=setting.max_notional,
            confirmed_by="symbolConfig",
            as_of=setting.as_of,
            note=note,
        )
