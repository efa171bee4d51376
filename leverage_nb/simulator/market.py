"""What the simulator opens with: symbols, tiers, marks and one account, read from ``market.json``."""

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
        """Whether ``notional`` lies in this tier: ``floor < notional <= cap``, and 0 in the first."""
        return self.notional_floor < notional <= self.notional_cap or (notional == 0 and self.number == 1)


@dataclass(frozen=True)
class Symbol:
    """One contract as ``exchangeInfo`` lists it, with its tiers and its mark price."""

    name: str
    base_asset: str
    quote_asset: str
    margin_asset: str
    mark_price: Decimal
    tick_size: str
    step_size: str
    min_notional: str
    price_precision: int
    quantity_precision: int
    underlying_sub_type: tuple[str, ...]
    tiers: tuple[Tier, ...]

    @property
    def max_leverage(self) -> int:
        """The first tier's leverage: the most this symbol allows at any size."""
        return self.tiers[0].initial_leverage

    def max_notional(self, leverage: int) -> Decimal:
        """The cap of the highest tier that still offers ``leverage``."""
        offering = [tier.notional_cap for tier in self.tiers if tier.initial_leverage >= leverage]
        return max(offering, default=self.tiers[0].notional_cap)  # a leverage set before the maximum fell

    def tier_of(self, notional: Decimal) -> Tier:
        """The tier that holds ``notional``; the last one for anything beyond every cap."""
        return next((tier for tier in self.tiers if tier.holds(notional)), self.tiers[-1])


@dataclass(frozen=True)
class Market:
    """Every symbol by name, the opening account and the time the book was opened (ms)."""

    symbols: dict[str, Symbol]
    account: dict[str, Any]
    opened_at: int


def load_market() -> Market:
    """Read the market that ships with the package. The same file gives the same market, every time."""
    text = files("leverage_nb.simulator").joinpath("market.json").read_text(encoding="utf-8")
    content = json.loads(text, parse_float=Decimal)
    symbols = {row["symbol"]: _symbol(row) for row in content["symbols"]}
    return Market(symbols, content["account"], content["openedAt"])


def _symbol(row: dict[str, Any]) -> Symbol:
    tiers = tuple(
        Tier(number, leverage, Decimal(floor), Decimal(cap), Decimal(ratio), Decimal(cum))
        for number, (leverage, floor, cap, ratio, cum) in enumerate(row["tiers"], start=1)
    )
    return Symbol(
        name=row["symbol"],
        base_asset=row["baseAsset"],
        quote_asset=row["quoteAsset"],
        margin_asset=row["marginAsset"],
        mark_price=Decimal(row["markPrice"]),
        tick_size=row["tickSize"],
        step_size=row["stepSize"],
        min_notional=row["minNotional"],
        price_precision=row["pricePrecision"],
        quantity_precision=row["quantityPrecision"],
        underlying_sub_type=tuple(row["underlyingSubType"]),
        tiers=tiers,
    )
