"""The account at one moment: settings, positions, balances. ``binance.reader`` builds these values."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from leverage_nb.cards import Card, Shown
from leverage_nb.change import Kind
from leverage_nb.formatting import amount, moment, short
from leverage_nb.risk.brackets import BracketTable
from leverage_nb.risk.collateral import AssetRate, cost, worth

# In Credits Trading Mode (accounts in the EU) margin, profit and fees are in this asset. Source: public reports
# (https://github.com/freqtrade/freqtrade/pull/11120), 2024-12. It is certain that it exists; its rules are not known.
CREDITS = "BNFCR"

# The names of the modes, by AccountState.hedge_mode and AccountState.multi_assets.
POSITION_MODES = ("one-way", "hedge")
ASSETS_MODES = ("single-asset", "multi-assets")

# In multi-assets mode the available margin as calculated and as reported may differ by this share of the equity,
# because prices and rates move between the reads. A larger difference means that a rule here is not Binance's.
_TOLERANCE = 0.02


@dataclass(frozen=True, repr=False)  # Shown has one
class LeverageSetting(Shown):
    """The leverage setting of a symbol (``GET /fapi/v1/symbolConfig``).

    Source: https://developers.binance.com/docs/derivatives/usds-margined-futures/account/rest-api/Symbol-Config.

    Attributes:
        venue: The venue.
        account: The account, as a key fingerprint.
        symbol: Binance's symbol.
        leverage: The initial leverage; in hedge mode it applies to both sides. None if it is not set: the exchange
            sends 0 for a symbol that the account has never used, and applies its default. Source: public reports from
            the testnet (https://github.com/nautechsystems/nautilus_trader/pull/4289), 2026-06; not documented.
        margin_type: "cross" or "isolated"; any other value as the exchange sent it.
        max_notional: The largest position at this leverage, in the margin asset; None if the exchange did not send it.
        margin_asset: USDT, USDC, BTC and so on; "" if unknown.
        as_of: When the request was sent, in local time; None for a setting that was not read. Not compared.
        read_at: The same by ``time.monotonic()``, which clock changes do not affect. Not compared.
    """

    venue: str
    account: str
    symbol: str
    leverage: int | None
    margin_type: str
    max_notional: float | None
    margin_asset: str = ""
    as_of: datetime | None = field(default=None, compare=False)
    read_at: float = field(default=-math.inf, compare=False)

    def value(self, kind: Kind) -> int | str | None:
        """Return the leverage or the margin type, whichever a kind of change changes."""
        return self.margin_type if kind == "margin type" else self.leverage

    def card(self) -> Card:
        """Return the setting as a card."""
        rows = [("margin type", self.margin_type)]
        if self.max_notional is not None:
            rows.append(("max notional", amount(self.max_notional, self.margin_asset)))
        if self.as_of is not None:
            rows.append(("as of", moment(self.as_of)))
        if self.leverage is None:
            note = "Binance applies its default until the account sets a leverage."
            return Card(self.venue, f"The leverage of {self.symbol} is not set", tuple(rows), note)
        return Card(self.venue, f"{self.symbol} is at {self.leverage}x", tuple(rows))


@dataclass(frozen=True)
class Position:
    """The position and the open orders of one side of a symbol (``GET /fapi/v3/positionRisk``).

    Source: https://developers.binance.com/docs/derivatives/usds-margined-futures/trade/rest-api/Position-Information-V3.

    Attributes:
        symbol: Binance's symbol.
        position_side: "BOTH" in one-way mode, "LONG" or "SHORT" in hedge mode.
        amount: In the base asset; negative for a short, 0 if there are only open orders.
        entry_price: Average entry price.
        mark_price: The exchange's mark price.
        notional: At mark price, in the margin asset; negative for a short.
        unrealized_profit: At mark price, in the margin asset.
        liquidation_price: As calculated by the exchange; None if there is none.
        isolated_wallet: Margin of an isolated position; 0 for cross.
        orders_bid: Notional of open buy orders, in the margin asset.
        orders_ask: Notional of open sell orders, in the margin asset.
        margin_asset: USDT, USDC, BTC and so on.
        position_margin: Initial margin of the position, as calculated by the exchange.
        order_margin: Initial margin of the open orders.
        maintenance_margin: Maintenance margin of this side.
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
        """The direction; "flat" if there are only open orders."""
        if self.amount == 0:
            return "flat"
        return "long" if self.amount > 0 else "short"

    def distance_to(self, liquidation: float) -> float:
        """Return how far the mark price is from a liquidation price; 0 or less if it was reached, NaN if unknown."""
        if self.mark_price <= 0:
            return math.nan
        return math.copysign(1.0, self.amount) * (1 - liquidation / self.mark_price)


@dataclass(frozen=True)
class Balance:
    """The balance of one margin asset (``GET /fapi/v3/account``); all figures are in that asset.

    Source: https://developers.binance.com/docs/derivatives/usds-margined-futures/account/rest-api/Account-Information-V3.

    Attributes:
        asset: USDT, USDC, BTC and so on.
        wallet: Wallet balance.
        profit: Unrealised profit of all positions.
        cross_wallet: Wallet balance without the margin of isolated positions.
        cross_profit: Unrealised profit of cross positions.
        initial_margin: Initial margin of positions and open orders.
        maintenance_margin: Maintenance margin of all positions.
        available: Available margin.
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
class MarginPool:
    """The margin that cross positions, open orders and new isolated positions share.

    Attributes:
        unit: The margin asset of the figures; "USD" in multi-assets mode, where all assets are one pool.
        rate: The price of one unit of the margin asset in ``unit``, as margin in use is counted; NaN if unknown.
        equity: Cross wallet and cross profit; NaN if a rate is unknown.
        in_use: Initial margin of cross positions and open orders; NaN if a rate is unknown.
    """

    unit: str
    rate: float
    equity: float
    in_use: float


@dataclass(frozen=True)
class AccountState:
    """Positions, balances, settings and modes of an account at one moment.

    Attributes:
        positions: Sides with a position or open orders.
        balances: Balances by margin asset.
        settings: The leverage setting of every symbol.
        hedge_mode: Whether a symbol may have a long and a short position at the same time.
        multi_assets: Whether all margin assets back all positions.
        rates: The USD rates of the margin assets; read in multi-assets mode only.
        skipped: Settings, positions and balances that could not be read, and why: by symbol or asset. Not compared.
        unread_positions: The symbols of the positions among them; "" for a position whose symbol is unknown. Figures
            that would count them are NaN or None. Not compared.
        unread_balances: The assets whose balances could not be read. Not compared.
        not_trading: The status of each symbol that is not trading, as PENDING_TRADING or SETTLING. Not compared.
    """

    positions: tuple[Position, ...]
    balances: Mapping[str, Balance]
    settings: Mapping[str, LeverageSetting]
    hedge_mode: bool
    multi_assets: bool
    rates: Mapping[str, AssetRate] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict, compare=False)
    unread_positions: frozenset[str] = field(default=frozenset(), compare=False)
    unread_balances: frozenset[str] = field(default=frozenset(), compare=False)
    not_trading: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def modes(self) -> tuple[str, str]:
        """The names of the position mode and of the multi-assets mode, as ("one-way", "single-asset")."""
        return POSITION_MODES[self.hedge_mode], ASSETS_MODES[self.multi_assets]

    def why_unknown(self, symbol: str) -> str:
        """Return why the symbol's setting, or its positions and orders, are unknown; "" if they are known."""
        if symbol in self.skipped:
            return self.skipped[symbol]
        if "" in self.unread_positions and (self.hedge_mode or not any(self._positions_of(symbol))):
            return "a position could not be read, and its row does not name its symbol"
        return ""

    def exposure(self, symbol: str) -> float:
        """Return the symbol's exposure, positions and open orders together, in the margin asset; NaN if unknown.

        One-way mode: the larger position of "all buy orders fill" and "all sell orders fill". Hedge mode: the sum of
        both sides, each with the orders that increase it, because they share one cap. Binance documents that open
        orders count for -2027; how they are counted is inferred.
        """
        total = math.nan if self.why_unknown(symbol) else 0.0
        for position in self._positions_of(symbol):
            if position.position_side == "LONG":
                total += abs(position.notional) + position.orders_bid
            elif position.position_side == "SHORT":
                total += abs(position.notional) + position.orders_ask
            else:
                all_bought, all_sold = position.notional + position.orders_bid, position.notional - position.orders_ask
                total += max(abs(all_bought), abs(all_sold))
        return total

    def position_notional(self, symbol: str) -> float:
        """Return the sum of |notional| of the symbol's positions, without open orders; in the margin asset."""
        return sum(abs(position.notional) for position in self._positions_of(symbol))

    @property
    def credits_mode(self) -> bool:
        """Whether the account is in Credits Trading Mode: USDT balances and the rules for them do not apply."""
        row = self.balances.get(CREDITS)
        if CREDITS in self.unread_balances or any(p.margin_asset == CREDITS for p in self.positions):
            return True
        if row is None:
            return False
        # Not the available balance: in multi-assets mode it is that of all assets, in the row of each.
        in_use = any((row.wallet, row.profit, row.cross_wallet, row.initial_margin))
        # Other accounts may have a row of zeros too; without any USDT or USDC it means that the mode is on.
        return in_use or not any(b.wallet for b in self.balances.values() if b.asset in {"USDT", "USDC"})

    def why_margin_unknown(self, symbol: str) -> str:
        """Return why the symbol's available margin is unknown; "" if it is known."""
        if self.credits_mode:
            return f"the account is in Credits Trading Mode ({CREDITS}), whose margin rules Binance does not publish"
        balance = self._balance_of(symbol)
        if balance is None:
            return "the balance of the margin asset is unknown"
        if self.unread_positions:
            return "a position could not be read"
        if not self.multi_assets:
            return ""
        if self.unread_balances:
            return f"the balance of {', '.join(sorted(self.unread_balances))} could not be read"
        if math.isnan(calculated := self._available_without(symbol, balance.asset)):
            used = {b.asset for b in self.balances.values() if b.wallet or b.profit or b.initial_margin}
            missing = sorted((used | {balance.asset}) - self.rates.keys())
            return f"the USD rate of {', '.join(missing)} is unknown"
        now = max(0.0, calculated - sum(p.position_margin + p.order_margin for p in self._positions_of(symbol)))
        if abs(now - balance.available) > _TOLERANCE * self._equity_in_usd() / self.rates[balance.asset].ask:
            reported = amount(balance.available, balance.asset)
            return f"the published multi-assets rule gives {amount(now)} available, but Binance reports {reported}"
        return ""

    def available_without(self, symbol: str) -> float:
        """Return the available margin if the symbol had no positions and orders, in its margin asset.

        It is the cross wallet plus cross profit, less the initial margin of the other symbols' cross positions and open
        orders; in multi-assets mode that of all margin assets together. Unlike ``availableBalance`` it may be negative.
        NaN if it is unknown.
        """
        balance = self._balance_of(symbol)
        if balance is None or self.why_margin_unknown(symbol):
            return math.nan
        return self._available_without(symbol, balance.asset)

    def available(self, symbol: str) -> float:
        """Return the available margin in a symbol's margin asset; negative for a deficit, NaN if it is unknown."""
        used = sum(
            position.order_margin + (0.0 if self.is_isolated(symbol) else position.position_margin)
            for position in self._positions_of(symbol)
        )
        return self.available_without(symbol) - used

    def asset_of(self, symbol: str) -> str:
        """Return the symbol's margin asset; "" if it is unknown."""
        return next((p.margin_asset for p in self._positions_of(symbol)), "") or self.settings[symbol].margin_asset

    def pool(self, asset: str, without: Container[str]) -> MarginPool:
        """Return the pool of a margin asset whose balance is known, without the margin of some symbols."""
        others = [
            (p, p.order_margin + (0.0 if self.is_isolated(p.symbol) else p.position_margin))
            for p in self.positions
            if p.symbol not in without
        ]
        if self.multi_assets:
            rate = self.rates[asset].ask if asset in self.rates else math.nan
            return MarginPool("USD", rate, self._equity_in_usd(), self._cost_in_usd(others))
        balance = self.balances[asset]
        in_use = sum(margin for position, margin in others if position.margin_asset == asset)
        return MarginPool(asset, 1.0, balance.cross_wallet + balance.cross_profit, in_use)

    def with_leverage(self, symbol: str, leverage: int) -> AccountState:
        """Return the expected state after a change of one symbol's initial leverage.

        Initial margin is notional / leverage; the margin in an isolated wallet stays there.
        """
        setting = self.settings[symbol]
        share = (setting.leverage or leverage) / leverage
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

    def with_margin_type(self, symbol: str, margin_type: str) -> AccountState:
        """Return the expected state after a change of margin type, which needs a symbol without position and orders."""
        return replace(
            self, settings={**self.settings, symbol: replace(self.settings[symbol], margin_type=margin_type)}
        )

    def effective_leverage(self, position: Position) -> float | None:
        """Return notional divided by margin; None if the margin is unknown or not above 0.

        Isolated: |notional| / (isolated wallet + unrealised profit). Cross: the sum of |notional| of all cross
        positions in the margin asset / (cross wallet + cross unrealised profit). None for cross in multi-assets mode
        and in Credits Trading Mode, where assets share margin.
        """
        if self.is_isolated(position.symbol):
            size, margin = abs(position.notional), position.isolated_wallet + position.unrealized_profit
        elif self.multi_assets or self.credits_mode:
            return None
        else:
            balance = self.balances.get(position.margin_asset)
            if balance is None or self.unread_positions:
                return None
            size = sum(abs(other.notional) for other in self._cross_positions(position.margin_asset))
            margin = balance.cross_wallet + balance.cross_profit
        return size / margin if margin > 0 else None

    def cross_margin_ratio(self, asset: str) -> float | None:
        """Return maintenance margin divided by margin of the cross positions; they are liquidated at 1.

        None in multi-assets mode and in Credits Trading Mode, where assets share margin (see
        :meth:`account_margin_ratio`), if a position could not be read, and if the cross margin is not above 0.
        """
        balance = self.balances.get(asset)
        if balance is None or self.multi_assets or self.credits_mode or self.unread_positions:
            return None
        if balance.cross_wallet + balance.cross_profit <= 0:
            return None
        maintenance = sum(position.maintenance_margin for position in self._cross_positions(asset))
        return maintenance / (balance.cross_wallet + balance.cross_profit)

    def account_margin_ratio(self) -> float | None:
        """Return, in multi-assets mode, the account's maintenance margin divided by its equity.

        All positions are liquidated at 1. None in other modes, if a rate or a position could not be read, and if the
        equity is not above 0.
        """
        if not self.multi_assets or self.credits_mode or self.unread_positions:
            return None
        equity = self._equity_in_usd()
        maintenance = self._cost_in_usd((p, p.maintenance_margin) for p in self.positions)
        return maintenance / equity if equity > 0 and not math.isnan(maintenance) else None

    def is_isolated(self, symbol: str) -> bool:
        """Whether the symbol's margin type is isolated."""
        setting = self.settings.get(symbol)
        return setting is not None and setting.margin_type == "isolated"

    def _balance_of(self, symbol: str) -> Balance | None:
        return self.balances.get(self.asset_of(symbol))

    def _available_without(self, symbol: str, asset: str) -> float:
        pool = self.pool(asset, {symbol})
        return (pool.equity - pool.in_use) / pool.rate

    def _equity_in_usd(self) -> float:
        return worth({b.asset: b.cross_wallet + b.cross_profit for b in self.balances.values()}, self.rates)

    def _cost_in_usd(self, margins: Iterable[tuple[Position, float]]) -> float:
        by_asset: dict[str, float] = defaultdict(float)
        for position, margin in margins:
            by_asset[position.margin_asset] += margin
        return cost(by_asset, self.rates)

    def _positions_of(self, symbol: str) -> Iterator[Position]:
        return (position for position in self.positions if position.symbol == symbol)

    def _cross_positions(self, asset: str) -> Iterator[Position]:
        return (p for p in self.positions if p.margin_asset == asset and not self.is_isolated(p.symbol))


def find_misfits(state: AccountState, table: BracketTable) -> tuple[tuple[str, str], ...]:
    """Return the symbols whose leverage exceeds their maximum, or whose exposure exceeds the cap: symbol and reason."""
    found = []
    for symbol, setting in state.settings.items():
        if symbol not in table or setting.leverage is None:
            continue
        tiers = table[symbol]
        if setting.leverage > tiers.symbol_max_leverage:
            found.append((symbol, f"{setting.leverage}x is above its maximum of {tiers.symbol_max_leverage}x"))
        elif (exposure := state.exposure(symbol)) > (cap := float(tiers.max_notional(setting.leverage))):
            excess = f"exposure of {amount(exposure, setting.margin_asset)} exceeds the {short(cap)}"
            found.append((symbol, f"{excess} allowed at {setting.leverage}x"))
    return tuple(found)
