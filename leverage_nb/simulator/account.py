"""The simulator's account: what it holds, and Binance's rules for changing its settings.

Sources of the rules: section 7 of Binance's error-code page (-2027, -2028, -4161, -4046 to -4068, -4167 to
-4171) and its FAQ on leverage and margin. Where Binance documents no detail, the comment says *inferred*.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from leverage_nb.simulator.market import Market, Symbol

ZERO = Decimal(0)
DEFAULT_LEVERAGE = 20  # Binance's FAQ: 20x for a symbol that was never touched


class Refused(Exception):
    """An answer other than success: HTTP status, Binance's code and Binance's words."""

    def __init__(self, status: int, code: int, msg: str) -> None:
        super().__init__(f"{status} {code} {msg}")
        self.status, self.code, self.msg = status, code, msg


@dataclass
class Position:
    """One side of one symbol. ``amount`` is signed: negative for a short."""

    symbol: str
    side: str
    amount: Decimal
    entry_price: Decimal
    isolated_wallet: Decimal = ZERO


@dataclass(frozen=True)
class OpenOrder:
    """A resting limit order that opens or adds to a position."""

    symbol: str
    side: str
    position_side: str
    quantity: Decimal
    price: Decimal

    @property
    def notional(self) -> Decimal:
        """Quantity times limit price, in the margin asset."""
        return self.quantity * self.price


class Account:
    """Balances, positions, orders and settings of one account, and its margin engine.

    Args:
        market: The symbols, tiers and marks it trades.
        opening: The account of ``market.json``, or a mapping of the same shape.
    """

    def __init__(self, market: Market, opening: dict[str, Any]) -> None:
        self.market = market
        self.alias: str = opening["accountAlias"]
        self.wallets = {asset: Decimal(amount) for asset, amount in opening["wallets"].items()}
        self.dual_side: bool = opening["dualSidePosition"]
        self.multi_assets: bool = opening["multiAssetsMargin"]
        self._leverage: dict[str, int] = dict(opening["leverage"])
        self._isolated: set[str] = set(opening["isolated"])
        self.positions = [
            Position(
                row["symbol"],
                row["positionSide"],
                Decimal(row["positionAmt"]),
                Decimal(row["entryPrice"]),
                Decimal(row.get("isolatedWallet", "0")),
            )
            for row in opening["positions"]
        ]
        self.orders = [
            OpenOrder(
                row["symbol"],
                row["side"],
                row["positionSide"],
                Decimal(row["quantity"]),
                Decimal(row["price"]),
            )
            for row in opening["orders"]
        ]

    # -- settings ---------------------------------------------------------------------------------------

    def leverage(self, symbol: str) -> int:
        """The symbol's initial leverage; both sides share it."""
        default = min(DEFAULT_LEVERAGE, self.market.symbols[symbol].max_leverage)
        return self._leverage.get(symbol, default)

    def is_isolated(self, symbol: str) -> bool:
        """Whether the symbol is in isolated margin mode."""
        return symbol in self._isolated

    def set_leverage(self, name: str, leverage: int) -> bool:
        """Change the initial leverage, or refuse as Binance does. Returns whether the value moved.

        The order of the three checks when several apply is inferred.
        """
        symbol = self.market.symbols[name]
        if not 1 <= leverage <= symbol.max_leverage:
            raise Refused(400, -4028, f"Leverage {leverage} is not valid")
        current = self.leverage(name)
        if leverage == current:
            return False
        if leverage < current and self.is_isolated(name) and any(self.held(name)):
            raise Refused(
                400,
                -4161,
                "Leverage reduction is not supported in Isolated Margin Mode with open positions",
            )
        if self.exposure(name) > symbol.max_notional(leverage):
            raise Refused(400, -2027, "Exceeded the maximum allowable position at current leverage.")
        needed_before = self.position_margin(name) + self.order_margin(name)
        self._leverage[name] = leverage
        needed_more = self.position_margin(name) + self.order_margin(name) > needed_before
        if needed_more and self._short_of_margin(symbol.margin_asset):
            self._leverage[name] = current
            raise Refused(400, -2028, "Leverage is smaller than permitted: insufficient margin balance.")
        return True

    def set_margin_type(self, name: str, isolated: bool) -> None:
        """Switch a symbol between isolated and cross, or refuse as Binance does."""
        if isolated == self.is_isolated(name):
            raise Refused(400, -4046, "No need to change margin type.")
        if isolated and self.multi_assets:
            raise Refused(400, -4168, "Unable to adjust to isolated-margin mode under the Multi-Assets mode.")
        if any(order.symbol == name for order in self.orders):
            raise Refused(400, -4047, "Margin type cannot be changed if there exists open orders.")
        if any(self.held(name)):
            raise Refused(400, -4048, "Margin type cannot be changed if there exists position.")
        self._isolated.symmetric_difference_update({name})

    def set_dual_side(self, dual_side: bool) -> None:
        """Switch between one-way and hedge mode, or refuse as Binance does."""
        if dual_side == self.dual_side:
            raise Refused(400, -4059, "No need to change position side.")
        if self.orders:
            raise Refused(400, -4067, "Position side cannot be changed if there exists open orders.")
        if any(position.amount for position in self.positions):
            raise Refused(400, -4068, "Position side cannot be changed if there exists position.")
        self.dual_side = dual_side

    def set_multi_assets(self, multi_assets: bool) -> None:
        """Switch between single-asset and multi-assets mode, or refuse as Binance does."""
        if multi_assets == self.multi_assets:
            raise Refused(
                400,
                -4171,
                "Adjusted asset mode is currently set and does not need to be adjusted repeatedly",
            )
        if multi_assets and self._isolated:
            raise Refused(
                400,
                -4167,
                "Unable to adjust to Multi-Assets mode with symbols of USDⓈ-M Futures under isolated-margin mode.",
            )
        if self.orders:
            raise Refused(400, -4170, "Unable to adjust Multi-Assets Mode with open orders in USDⓈ-M Futures")
        self.multi_assets = multi_assets

    # -- what is held -----------------------------------------------------------------------------------

    def held(self, name: str) -> list[Position]:
        """The symbol's positions with an amount: none, one, or a long and a short in hedge mode."""
        return [position for position in self.positions if position.symbol == name and position.amount]

    def notional(self, position: Position) -> Decimal:
        """Signed notional at mark, in the margin asset."""
        return position.amount * self.market.symbols[position.symbol].mark_price

    def unrealized_profit(self, position: Position) -> Decimal:
        """Profit of the position at mark, in the margin asset."""
        mark = self.market.symbols[position.symbol].mark_price
        return position.amount * (mark - position.entry_price)

    def order_notional(self, name: str, side: str, position_side: str = "BOTH") -> Decimal:
        """Sum of the symbol's open orders on one side."""
        return sum(
            (
                order.notional
                for order in self.orders
                if (order.symbol, order.side, order.position_side) == (name, side, position_side)
            ),
            ZERO,
        )

    def sides(self, name: str) -> list[tuple[str, Decimal, Decimal]]:
        """Per position side: its name, |notional| held, and the most it becomes when orders fill.

        One-way: the worse of "all buys fill" and "all sells fill". Hedge: what opens on that side
        (buys for LONG, sells for SHORT). Inferred.
        """
        signed = {position.side: self.notional(position) for position in self.held(name)}
        if not self.dual_side:
            net = signed.get("BOTH", ZERO)
            buys, sells = self.order_notional(name, "BUY"), self.order_notional(name, "SELL")
            return [("BOTH", abs(net), max(abs(net), abs(net + buys), abs(net - sells)))]
        return [
            (side, abs(signed.get(side, ZERO)), abs(signed.get(side, ZERO)) + orders)
            for side, orders in (
                ("LONG", self.order_notional(name, "BUY", "LONG")),
                ("SHORT", self.order_notional(name, "SELL", "SHORT")),
            )
        ]

    def exposure(self, name: str) -> Decimal:
        """What counts against the tier's cap: positions and open orders, both sides together."""
        return sum((worst for _, _, worst in self.sides(name)), ZERO)

    # -- margin -----------------------------------------------------------------------------------------

    def position_margin(self, name: str) -> Decimal:
        """Initial margin of the symbol's positions at mark: notional / leverage."""
        return sum((held for _, held, _ in self.sides(name)), ZERO) / self.leverage(name)

    def order_margin(self, name: str) -> Decimal:
        """Initial margin of the symbol's open orders: what they add to the position's."""
        return sum((worst - held for _, held, worst in self.sides(name)), ZERO) / self.leverage(name)

    def maintenance_margin(self, position: Position) -> Decimal:
        """|notional| times the tier's rate, less the tier's ``cum``."""
        notional = abs(self.notional(position))
        tier = self.market.symbols[position.symbol].tier_of(notional)
        return notional * tier.maint_margin_ratio - tier.cum

    def cross_positions(self, asset: str) -> list[Position]:
        """Open cross positions margined in ``asset``."""
        return [
            position
            for position in self.positions
            if position.amount and not self.is_isolated(position.symbol) and self._asset(position) == asset
        ]

    def cross_wallet(self, asset: str) -> Decimal:
        """Wallet balance less what sits in isolated wallets."""
        isolated = sum((p.isolated_wallet for p in self.positions if self._asset(p) == asset), ZERO)
        return self.wallets.get(asset, ZERO) - isolated

    def cross_profit(self, asset: str) -> Decimal:
        """Unrealised profit of the cross positions margined in ``asset``."""
        return sum((self.unrealized_profit(p) for p in self.cross_positions(asset)), ZERO)

    def cross_margin_in_use(self, asset: str) -> Decimal:
        """Initial margin of cross positions and of all open orders margined in ``asset``."""
        return sum(
            (
                self.order_margin(name) + (ZERO if self.is_isolated(name) else self.position_margin(name))
                for name in self.symbols_in_use()
                if self.market.symbols[name].margin_asset == asset
            ),
            ZERO,
        )

    def surplus(self, asset: str) -> Decimal:
        """Cross wallet plus cross profit less margin in use: negative when the account is short."""
        return self.cross_wallet(asset) + self.cross_profit(asset) - self.cross_margin_in_use(asset)

    def available(self, asset: str) -> Decimal:
        """``availableBalance``: the surplus, never below zero; of all assets in multi-assets mode."""
        if self.multi_assets:
            return max(ZERO, self.total_in_usd(self.surplus) / self.usd_price(asset))
        return max(ZERO, self.surplus(asset))

    def symbols_in_use(self) -> list[str]:
        """Symbols with a position or an open order, in the market's order."""
        used = {p.symbol for p in self.positions if p.amount} | {order.symbol for order in self.orders}
        return [name for name in self.market.symbols if name in used]

    def assets(self) -> list[str]:
        """Every margin asset of the market, and every one with a wallet."""
        listed: Iterable[str] = (symbol.margin_asset for symbol in self.market.symbols.values())
        return list(dict.fromkeys([*listed, *self.wallets]))

    def usd_price(self, asset: str) -> Decimal:
        """What one unit counts for in multi-assets mode: its USDT mark; stablecoins count as 1."""
        symbol = self.market.symbols.get(f"{asset}USDT")
        return symbol.mark_price if symbol else Decimal(1)

    def total_in_usd(self, figure: Any) -> Decimal:
        """Sum ``figure(asset)`` over all assets in USD."""
        return sum((figure(asset) * self.usd_price(asset) for asset in self.assets()), ZERO)

    def _asset(self, position: Position) -> str:
        return self.market.symbols[position.symbol].margin_asset

    def _short_of_margin(self, asset: str) -> bool:
        # Multi-assets mode: the whole account in USD decides. Inferred: Binance documents only the code.
        surplus = self.total_in_usd(self.surplus) if self.multi_assets else self.surplus(asset)
        return surplus < 0

    def symbol(self, position: Position) -> Symbol:
        """The contract a position is in."""
        return self.market.symbols[position.symbol]
