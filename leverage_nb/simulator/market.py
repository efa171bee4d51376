"""Symbols, tiers, mark prices and the opening account of the simulator, read from ``market.json``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Tier:
    """One bracket of a symbol. Notional figures are in the symbol's margin asset."""

    number: int
    initial_leverage: int
    notional_floor: Decimal
    notional_cap: Decimal
    maint_margin_ratio: Decimal
    cum: Decimal

    def holds(self, notional: Decimal) -> bool:
        """Return whether a notional lies in this tier: ``floor < notional <= cap``; 0 lies in the first tier."""
        return self.notional_floor < notional <= self.notional_cap or (notional == 0 and self.number == 1)


@dataclass(frozen=True)
class Symbol:
    """One contract, with its tiers and its mark price. ``listing`` has fields of ``exchangeInfo``, as in the file.

    Binance documents the ``status`` PENDING_TRADING, TRADING, PRE_DELIVERING, DELIVERING, DELIVERED, PRE_SETTLE,
    SETTLING and CLOSE (https://developers.binance.com/docs/derivatives/usds-margined-futures/common-definition). A
    delisted perpetual is SETTLING (public reports of 2026-10: 134 of 924 symbols), and keeps its tiers.
    """

    name: str
    margin_asset: str
    mark_price: Decimal
    tiers: tuple[Tier, ...]
    listing: dict[str, Any]

    @property
    def max_leverage(self) -> int:
        """The first tier's leverage: the highest that this symbol allows at any size."""
        return self.tiers[0].initial_leverage

    @property
    def status(self) -> str:
        """The contract's status; "TRADING" unless the file states another one."""
        return str(self.listing.get("status", "TRADING"))

    def max_notional(self, leverage: int) -> Decimal:
        """Return the cap of the last tier that offers a leverage."""
        caps = [tier.notional_cap for tier in self.tiers if tier.initial_leverage >= leverage]
        return max(caps, default=self.tiers[0].notional_cap)  # a leverage set before the symbol's maximum was lowered

    def tier_of(self, notional: Decimal) -> Tier:
        """Return the tier that holds a notional; the last tier for a notional above every cap."""
        return next((tier for tier in self.tiers if tier.holds(notional)), self.tiers[-1])


@dataclass(frozen=True)
class Market:
    """Every symbol by name, the opening account, and the opening time in milliseconds since the epoch."""

    symbols: dict[str, Symbol]
    account: dict[str, Any]
    opened_at: int


def load_market() -> Market:
    """Read the market that ships with the package."""
    text = files("leverage_nb.simulator").joinpath("market.json").read_text(encoding="utf-8")
    content = json.loads(text, parse_float=Decimal)
    symbols = {row["symbol"]: _symbol(row) for row in content["symbols"]}
    return Market(symbols, content["account"], content["openedAt"])


def _symbol(row: dict[str, Any]) -> Symbol:
    tiers = tuple(Tier(number, tier[0], *map(Decimal, tier[1:])) for number, tier in enumerate(row["tiers"], 1))
    return Symbol(row["symbol"], row["marginAsset"], Decimal(row["markPrice"]), tiers, listing=row)
