"""What is held right now: settings, positions, balances. Values only; who reads them is ``exchange.snapshot``."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from leverage_nb.cards import Card, Shown
from leverage_nb.formatting import amount, moment, short
from leverage_nb.risk.brackets import BracketTable


@dataclass(frozen=True, repr=False)  # Shown has one
class LeverageSetting(Shown):
    """A symbol's leverage as the exchange has it (``GET /fapi/v1/symbolConfig``).

    Attributes:
        venue: Where.
        account: Whose, as a key fingerprint.
        symbol: Binance's symbol.
        leverage: The initial leverage; both sides of a hedge share it.
        margin_type: "cross" or "isolated"; anything else as the exchange wrote it.
        max_notional: The largest position at this leverage as the exchange says, in the margin asset;
            None where it did not say.
        margin_asset: USDT, USDC, BTC and so on; "" where it is not known.
        as_of: When the request for it was sent, in local time; None for a setting that was not read. Not compared.
        read_at: The same by ``time.monotonic()``: how old it is, whatever is done to the clock. Not compared.
    """

    venue: str
    account: str
    symbol: str
    leverage: int
    margin_type: str
    max_notional: float | None
    margin_asset: str = ""
    as_of: datetime | None = field(default=None, compare=False)
    read_at: float = field(default=-math.inf, compare=False)

    def card(self) -> Card:
        """The setting as a card."""
        rows = [("margin type", self.margin_type)]
        if self.max_notional is not None:
            rows.append(("max notional", amount(self.max_notional, self.margin_asset)))
        if self.as_of is not None:
            rows.append(("as of", moment(self.as_of)))
        return Card(self.venue, f"{self.symbol} is at {self.leverage}x", tuple(rows))


@dataclass(frozen=True)
class Position:
    """One side of one symbol as the exchange reports it (``GET /fapi/v3/positionRisk``).

    Attributes:
        symbol: Binance's symbol.
        position_side: "BOTH" in one-way mode, "LONG" or "SHORT" in hedge mode.
        amount: In the base asset, negative for a short.
        entry_price: Average entry.
        mark_price: The exchange's mark.
        notional: At mark, negative for a short, in the margin asset.
        unrealized_profit: At mark, in the margin asset.
        liquidation_price: The exchange's own figure; None where there is none.
        isolated_wallet: Margin set aside for it; 0 for cross.
        orders_bid: Notional of open buys, in the margin asset.
        orders_ask: Notional of open sells, in the margin asset.
        position_margin: Initial margin of the position, as the exchange counts it.
        order_margin: Initial margin that its open orders add.
        maintenance_margin: Of this side.
        margin_asset: USDT, USDC, BTC and so on.
    """

    symbol: str
    position_side: str
    amount: float
    entry_price: float
    mark_price: float
    notional: float
    unrealized_profit: float
    liquidation_price: float | None
    isolated_wallet: float
    orders_bid: float
    orders_ask: float
    margin_asset: str
    position_margin: float = 0.0
    order_margin: float = 0.0
    maintenance_margin: float = 0.0

    @property
    def side(self) -> Literal["long", "short", "flat"]:
        """Which way it faces; "flat" where only orders are open."""
        if self.amount == 0:
            return "flat"
        return "long" if self.amount > 0 else "short"


@dataclass(frozen=True)
class Balance:
    """One margin asset's balance (``GET /fapi/v3/account``), all in that asset.

    Attributes:
        asset: USDT, USDC, BTC and so on.
        wallet: Wallet balance.
        cross_wallet: Wallet balance less what sits in isolated positions.
        profit: Unrealised profit of all positions.
        cross_profit: Unrealised profit of cross positions.
        initial_margin: In use by positions and open orders.
        maintenance_margin: Of all positions.
        available: What new positions may use.
    """

    asset: str
    wallet: float
    profit: float
    cross_wallet: float
    cross_profit: float
    initial_margin: float
    maintenance_margin: float
    available: float


@dataclass(frozen=True)
class AccountState:
    """What an account holds, as of one moment.

    Attributes:
        positions: Sides with an amount or with open orders.
        balances: By margin asset.
        settings: The leverage setting of every symbol.
        hedge_mode: Whether a symbol may be held long and short at once.
        multi_assets: Whether all assets back all positions.
    """

    positions: tuple[Position, ...]
    balances: Mapping[str, Balance]
    settings: Mapping[str, LeverageSetting]
    hedge_mode: bool
    multi_assets: bool

    def exposure(self, symbol: str) -> float:
        """What counts against the symbol's cap: positions and open orders, in the margin asset.

        One-way: the worse of "all buys fill" and "all sells fill". Hedge: each side with the orders that
        open it, both added, because they share one cap. That open orders count is documented for -2027;
        how they are counted is inferred.
        """
        total = 0.0
        for held in (position for position in self.positions if position.symbol == symbol):
            if held.position_side == "LONG":
                total += abs(held.notional) + held.orders_bid
            elif held.position_side == "SHORT":
                total += abs(held.notional) + held.orders_ask
            else:
                total += max(abs(held.notional + held.orders_bid), abs(held.notional - held.orders_ask))
        return total

    def held_notional(self, symbol: str) -> float:
        """Sum of the symbol's |notional|, both sides, without orders; in the margin asset."""
        return sum(abs(position.notional) for position in self.positions if position.symbol == symbol)

    def free_without(self, symbol: str) -> float:
        """What would be free in the symbol's margin asset if the symbol took none of it; may be negative.

        Cross wallet plus cross profit, less the margin of the other symbols' cross positions and open orders. Unlike
        ``availableBalance`` it is not cut off at 0. NaN where the balance is not known.
        """
        held_in = next((p.margin_asset for p in self.positions if p.symbol == symbol), None)
        balance = self.balances.get(held_in or self.settings[symbol].margin_asset)
        if balance is None:
            return math.nan
        others = (p for p in self.positions if p.margin_asset == balance.asset and p.symbol != symbol)
        taken = sum(p.order_margin + (0.0 if self.is_isolated(p.symbol) else p.position_margin) for p in others)
        return balance.cross_wallet + balance.cross_profit - taken

    def with_leverage(self, symbol: str, leverage: int) -> AccountState:
        """The state as it would be with another initial leverage of one symbol, and nothing else changed.

        Initial margin is notional / leverage; what sits in an isolated position stays there.
        """
        setting = self.settings[symbol]
        share = setting.leverage / leverage
        isolated = self.is_isolated(symbol)
        positions = tuple(
            replace(
                position,
                position_margin=position.position_margin * (1.0 if isolated else share),
                order_margin=position.order_margin * share,
            )
            if position.symbol == symbol
            else position
            for position in self.positions
        )
        settings = {**self.settings, symbol: replace(setting, leverage=leverage, max_notional=None)}
        return replace(self, positions=positions, settings=settings)

    def effective_leverage(self, position: Position) -> float | None:
        """How far the margin behind a position is stretched; None where there is none behind it.

        Isolated: |notional| / (isolated wallet + unrealised profit). Cross: of the whole cross account in
        that margin asset, sum of |notional| / (cross wallet + cross unrealised profit); multi-assets mode
        shares margin between assets in a way these figures do not show, so there it is None.
        """
        if self.is_isolated(position.symbol):
            size, margin = abs(position.notional), position.isolated_wallet + position.unrealized_profit
        elif self.multi_assets:
            return None
        else:
            balance = self.balances.get(position.margin_asset)
            if balance is None:
                return None
            size = sum(
                abs(other.notional)
                for other in self.positions
                if other.margin_asset == position.margin_asset and not self.is_isolated(other.symbol)
            )
            margin = balance.cross_wallet + balance.cross_profit
        return size / margin if margin > 0 else None

    def cross_margin_ratio(self, asset: str) -> float | None:
        """Maintenance margin of the cross positions over the margin behind them; at 1 they are liquidated.

        None in multi-assets mode, where assets back each other, and where there is no cross margin.
        """
        balance = self.balances.get(asset)
        if balance is None or self.multi_assets or balance.cross_wallet + balance.cross_profit <= 0:
            return None
        cross = [p for p in self.positions if p.margin_asset == asset and not self.is_isolated(p.symbol)]
        return sum(position.maintenance_margin for position in cross) / (balance.cross_wallet + balance.cross_profit)

    def is_isolated(self, symbol: str) -> bool:
        """Whether the symbol's margin type is isolated."""
        setting = self.settings.get(symbol)
        return setting is not None and setting.margin_type == "isolated"


def find_misfits(state: AccountState, table: BracketTable) -> tuple[tuple[str, str], ...]:
    """The symbols whose leverage lies above their maximum, or allows less than is held: symbol, and why."""
    found = []
    for symbol, setting in state.settings.items():
        if symbol not in table:
            continue
        tiers = table[symbol]
        if setting.leverage > tiers.symbol_max_leverage:
            found.append((symbol, f"{setting.leverage}x is above its maximum of {tiers.symbol_max_leverage}x"))
        elif (held := state.exposure(symbol)) > (cap := float(tiers.max_notional(setting.leverage))):
            what = f"{amount(held, setting.margin_asset)} held, {setting.leverage}x allows {short(cap)}"
            found.append((symbol, f"what is held no longer fits: {what}"))
    return tuple(found)
