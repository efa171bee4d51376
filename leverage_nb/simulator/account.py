"""The simulator's account: balances, positions, open orders and settings, and Binance's rules for changing settings.

Sources: error codes -2027, -2028, -4161, -4046 to -4068 and -4167 to -4171
(https://developers.binance.com/docs/derivatives/usds-margined-futures/error-code) and Binance's FAQ on leverage and
margin (https://www.binance.com/en/support/faq/360033162192). Where Binance documents no detail, a comment says
*inferred*.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from leverage_nb.simulator.market import Market, Symbol

ZERO = Decimal(0)
DEFAULT_LEVERAGE = 20  # Binance's FAQ: 20x for a symbol whose leverage was never changed

# The bid and ask buffers of USD rates in multi-assets mode. By Binance's table of margin assets stablecoins count
# 99.99 %, BTC, ETH and BNB 95 %, other assets 90 %:
# https://www.binance.com/en/futures/trading-rules/perpetual/multi-asset-info.
_BUFFERS = dict.fromkeys(("USDT", "USDC"), "0.0001") | dict.fromkeys(("BTC", "ETH", "BNB"), "0.05")
_OTHER_BUFFER = "0.1"

_OPEN_ORDERS = "Position side cannot be changed if there exists open orders."
# Reported for a request that changes nothing: -4067 in place of the documented -4046
# (https://github.com/binance/binance-connector-python/issues/538). Its text there is inferred from the code.
_SAME_MARGIN_TYPE = {-4046: "No need to change margin type.", -4067: _OPEN_ORDERS}


class Refused(Exception):
    """A refusal by the exchange: HTTP status, Binance's code and Binance's text."""

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
class UsdRate:
    """What one unit of an asset counts in USD in multi-assets mode: its index, less or plus a buffer."""

    index: Decimal
    bid_buffer: Decimal
    ask_buffer: Decimal

    @property
    def bid(self) -> Decimal:
        """The rate of a positive equity."""
        return self.index * (1 - self.bid_buffer)

    @property
    def ask(self) -> Decimal:
        """The rate of margin, and of a negative equity."""
        return self.index * (1 + self.ask_buffer)


@dataclass(frozen=True)
class OpenOrder:
    """A resting limit order that opens or adds to a position."""

    symbol: str
    side: str
    position_side: str
    quantity: Decimal
    price: Decimal


class Account:
    """Balances, positions, orders and settings of one account. Amounts are in the symbol's margin asset.

    Args:
        market: The symbols, tiers and mark prices.
        opening: The account of ``market.json``, or a mapping of the same shape.
        demo: Whether a leverage that was never set shows as 0, as on Binance's demo exchange.
        same_margin_type: The code that refuses the current margin type, -4046 or -4067.
    """

    def __init__(
        self, market: Market, opening: dict[str, Any], *, demo: bool = False, same_margin_type: int = -4046
    ) -> None:
        self.market, self.demo, self.same_margin_type = market, demo, same_margin_type
        self.alias: str = opening["accountAlias"]
        self.wallets = {asset: Decimal(amount) for asset, amount in opening["wallets"].items()}
        self.dual_side: bool = opening["dualSidePosition"]
        self.multi_assets: bool = opening["multiAssetsMargin"]
        self.given_rates = {a: UsdRate(*map(Decimal, row)) for a, row in opening.get("usdRates", {}).items()}
        self.leverages: dict[str, int] = dict(opening["leverage"])
        self.isolated: set[str] = set(opening["isolated"])
        self.positions = [
            Position(row["symbol"], row["positionSide"], *_decimals(row, "positionAmt", "entryPrice", "isolatedWallet"))
            for row in opening["positions"]
        ]
        self.orders = [
            OpenOrder(row["symbol"], row["side"], row["positionSide"], *_decimals(row, "quantity", "price"))
            for row in opening["orders"]
        ]

    def snapshot(self) -> Account:
        """Return a copy that later changes leave as it is."""
        twin = copy(self)
        twin.leverages, twin.isolated = dict(self.leverages), set(self.isolated)
        twin.positions = [replace(position) for position in self.positions]
        return twin

    # -- settings ---------------------------------------------------------------------------------------

    def check_trading(self, name: str) -> Symbol:
        """Return a symbol; refuse one that is not trading with -1122.

        Assumed: Binance documents the code, but not for which requests, and no report of it was found.
        """
        symbol = self.market.symbols[name]
        if symbol.status != "TRADING":
            raise Refused(400, -1122, "Invalid symbol status.")
        return symbol

    def leverage(self, name: str) -> int:
        """Return the initial leverage that applies to a symbol; both sides share it."""
        return self.leverages.get(name, min(DEFAULT_LEVERAGE, self.market.symbols[name].max_leverage))

    def shown_leverage(self, name: str) -> int:
        """Return the leverage that answers show: 0 on demo while it was never set and the symbol is not in use."""
        unset = self.demo and name not in self.leverages and name not in self.symbols_in_use()
        return 0 if unset else self.leverage(name)

    def set_leverage(self, name: str, leverage: int) -> bool:
        """Change the initial leverage of a symbol and return whether the value changed.

        The order of the checks, where several apply, is inferred.
        """
        symbol = self.check_trading(name)
        if not 1 <= leverage <= symbol.max_leverage:
            raise Refused(400, -4028, f"Leverage {leverage} is not valid")
        current = self.shown_leverage(name)
        if leverage == current:
            return False
        if leverage < current and name in self.isolated and self.open_positions(name):
            msg = "Leverage reduction is not supported in Isolated Margin Mode with open positions"
            raise Refused(400, -4161, msg)
        if self.exposure(name) > symbol.max_notional(leverage):
            raise Refused(400, -2027, "Exceeded the maximum allowable position at current leverage.")
        needed_before = self.position_margin(name) + self.order_margin(name)
        self.leverages[name] = leverage
        needs_more = self.position_margin(name) + self.order_margin(name) > needed_before
        if needs_more and self._lacks_margin(symbol.margin_asset):
            self.leverages[name] = current
            raise Refused(400, -2028, "Leverage is smaller than permitted: insufficient margin balance.")
        return True

    def set_margin_type(self, name: str, isolated: bool) -> None:
        """Switch a symbol between isolated and cross margin. The order of the checks is inferred."""
        self.check_trading(name)
        if isolated == (name in self.isolated):
            raise Refused(400, self.same_margin_type, _SAME_MARGIN_TYPE[self.same_margin_type])
        if isolated and self.multi_assets:
            raise Refused(400, -4168, "Unable to adjust to isolated-margin mode under the Multi-Assets mode.")
        if any(order.symbol == name for order in self.orders):
            raise Refused(400, -4047, "Margin type cannot be changed if there exists open orders.")
        if self.open_positions(name):
            raise Refused(400, -4048, "Margin type cannot be changed if there exists position.")
        self.isolated ^= {name}

    def set_dual_side(self, dual_side: bool) -> None:
        """Switch between one-way and hedge mode."""
        if dual_side == self.dual_side:
            raise Refused(400, -4059, "No need to change position side.")
        if self.orders:
            raise Refused(400, -4067, _OPEN_ORDERS)
        if any(position.amount for position in self.positions):
            raise Refused(400, -4068, "Position side cannot be changed if there exists position.")
        self.dual_side = dual_side

    def set_multi_assets(self, multi_assets: bool) -> None:
        """Switch between single-asset and multi-assets mode."""
        if multi_assets == self.multi_assets:
            msg = "Adjusted asset mode is currently set and does not need to be adjusted repeatedly"
            raise Refused(400, -4171, msg)
        if multi_assets and self.isolated:
            msg = "Unable to adjust to Multi-Assets mode with symbols of USDⓈ-M Futures under isolated-margin mode."
            raise Refused(400, -4167, msg)
        if self.orders:
            raise Refused(400, -4170, "Unable to adjust Multi-Assets Mode with open orders in USDⓈ-M Futures")
        self.multi_assets = multi_assets

    # -- positions and open orders ----------------------------------------------------------------------

    def open_positions(self, name: str) -> list[Position]:
        """Return a symbol's open positions: none, one, or a long and a short in hedge mode."""
        return [position for position in self.positions if position.symbol == name and position.amount]

    def symbol(self, position: Position) -> Symbol:
        """Return the contract of a position."""
        return self.market.symbols[position.symbol]

    def notional(self, position: Position) -> Decimal:
        """Return the signed notional of a position at the mark price."""
        return position.amount * self.symbol(position).mark_price

    def unrealized_profit(self, position: Position) -> Decimal:
        """Return the profit of a position at the mark price."""
        return position.amount * (self.symbol(position).mark_price - position.entry_price)

    def order_notional(self, name: str, side: str, position_side: str = "BOTH") -> Decimal:
        """Return the total notional of a symbol's open orders on one side."""
        key = (name, side, position_side)
        return _sum(o.quantity * o.price for o in self.orders if (o.symbol, o.side, o.position_side) == key)

    def sides(self, name: str) -> list[tuple[str, Decimal, Decimal]]:
        """Return for each position side: its name, its absolute notional, and the largest one after orders fill.

        One-way mode: the larger of "all buys fill" and "all sells fill". Hedge mode: the orders that open the side
        (buys for LONG, sells for SHORT). Inferred.
        """
        signed = {position.side: self.notional(position) for position in self.open_positions(name)}
        if not self.dual_side:
            net = signed.get("BOTH", ZERO)
            buys, sells = self.order_notional(name, "BUY"), self.order_notional(name, "SELL")
            return [("BOTH", abs(net), max(abs(net), abs(net + buys), abs(net - sells)))]
        sizes = {side: abs(signed.get(side, ZERO)) for side in ("LONG", "SHORT")}
        opening = {"LONG": "BUY", "SHORT": "SELL"}
        return [(side, size, size + self.order_notional(name, opening[side], side)) for side, size in sizes.items()]

    def exposure(self, name: str) -> Decimal:
        """Return what counts against the tier's cap: positions and open orders of both sides."""
        return _sum(worst for _, _, worst in self.sides(name))

    def symbols_in_use(self) -> list[str]:
        """Return the symbols with a position or an open order, in the market's order."""
        used = {p.symbol for p in self.positions if p.amount} | {order.symbol for order in self.orders}
        return [name for name in self.market.symbols if name in used]

    # -- margin -----------------------------------------------------------------------------------------

    def position_margin(self, name: str) -> Decimal:
        """Return the initial margin of a symbol's positions at the mark price: notional / leverage."""
        return _sum(size for _, size, _ in self.sides(name)) / self.leverage(name)

    def order_margin(self, name: str) -> Decimal:
        """Return the initial margin that a symbol's open orders add to that of its positions."""
        return _sum(worst - size for _, size, worst in self.sides(name)) / self.leverage(name)

    def maintenance_margin(self, position: Position) -> Decimal:
        """Return absolute notional times the tier's rate, less the tier's ``cum``."""
        notional = abs(self.notional(position))
        tier = self.symbol(position).tier_of(notional)
        return notional * tier.maint_margin_ratio - tier.cum

    def cross_positions(self, asset: str) -> list[Position]:
        """Return the open cross positions margined in an asset."""
        cross = [p for p in self.positions if p.amount and p.symbol not in self.isolated]
        return [position for position in cross if self.symbol(position).margin_asset == asset]

    def cross_wallet(self, asset: str) -> Decimal:
        """Return the wallet balance less the isolated wallets."""
        isolated = _sum(p.isolated_wallet for p in self.positions if self.symbol(p).margin_asset == asset)
        return self.wallets.get(asset, ZERO) - isolated

    def cross_profit(self, asset: str) -> Decimal:
        """Return the unrealized profit of the cross positions margined in an asset."""
        return _sum(map(self.unrealized_profit, self.cross_positions(asset)))

    def margin_in_use(self, asset: str) -> Decimal:
        """Return the initial margin of an asset's cross positions and of all its open orders."""
        return _sum(
            self.order_margin(name) + (ZERO if name in self.isolated else self.position_margin(name))
            for name in self.symbols_in_use()
            if self.market.symbols[name].margin_asset == asset
        )

    def surplus(self, asset: str) -> Decimal:
        """Return cross wallet plus cross profit less margin in use; negative when the account lacks margin."""
        return self.cross_wallet(asset) + self.cross_profit(asset) - self.margin_in_use(asset)

    def available(self, asset: str) -> Decimal:
        """Return ``availableBalance``: the surplus, at least zero; of all assets in multi-assets mode."""
        if self.multi_assets:
            return max(ZERO, self.surplus_in_usd() / self.usd_rate(asset).ask)
        return max(ZERO, self.surplus(asset))

    def withdrawable(self, asset: str) -> Decimal:
        """Return ``maxWithdrawAmount``."""
        return max(ZERO, min(self.available(asset), self.cross_wallet(asset)))

    def _lacks_margin(self, asset: str) -> bool:
        # Multi-assets mode: the whole account in USD decides. The available margin is documented, -2028 is inferred.
        return (self.surplus_in_usd() if self.multi_assets else self.surplus(asset)) < 0

    # -- assets -----------------------------------------------------------------------------------------

    def assets(self) -> list[str]:
        """Return every margin asset of the market and every asset with a wallet."""
        listed = [symbol.margin_asset for symbol in self.market.symbols.values()]
        return list(dict.fromkeys([*listed, *self.wallets]))

    def usd_rate(self, asset: str) -> UsdRate:
        """Return an asset's rate: the opening's, or its USDT mark price (1 for stablecoins) with a published buffer."""
        if asset in self.given_rates:
            return self.given_rates[asset]
        symbol = self.market.symbols.get(f"{asset}USDT")
        buffer = Decimal(_BUFFERS.get(asset, _OTHER_BUFFER))
        return UsdRate(symbol.mark_price if symbol else Decimal(1), buffer, buffer)

    def worth_in_usd(self, figure: Callable[[str], Decimal]) -> Decimal:
        """Return the sum of ``figure(asset)``, which may be negative, as equity counts."""
        return _sum(
            min(figure(asset) * self.usd_rate(asset).bid, figure(asset) * self.usd_rate(asset).ask)
            for asset in self.assets()
        )

    def cost_in_usd(self, figure: Callable[[str], Decimal]) -> Decimal:
        """Return the sum of ``figure(asset)``, a margin, at ask rates."""
        return _sum(figure(asset) * self.usd_rate(asset).ask for asset in self.assets())

    def surplus_in_usd(self) -> Decimal:
        """Return account equity less the initial margin in use, in USD, by the rule for multi-assets mode.

        Documented, with an example that the tests repeat:
        https://www.binance.com/en/support/faq/how-to-calculate-margin-in-multi-assets-mode-c983a9268cfa4e70a4916c276bb3b7bc.
        """
        equity = self.worth_in_usd(lambda asset: self.cross_wallet(asset) + self.cross_profit(asset))
        return equity - self.cost_in_usd(self.margin_in_use)


def _sum(amounts: Iterable[Decimal]) -> Decimal:
    return sum(amounts, ZERO)


def _decimals(row: dict[str, Any], *names: str) -> list[Decimal]:
    return [Decimal(row.get(name, "0")) for name in names]
