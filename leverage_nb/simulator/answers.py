"""How the simulator words its answers: Binance's exact field names, with its JSON types on the wire.

Most figures travel as strings, some as numbers, a few as booleans in one version and strings in another;
each function follows the documentation page of its endpoint.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from leverage_nb.simulator.account import ZERO, Account, Position
from leverage_nb.simulator.liquidation import liquidation_price
from leverage_nb.simulator.market import Market, Symbol

_EIGHT_PLACES = Decimal("0.00000001")
_NO_DELIVERY = 4133404800000  # what perpetual contracts carry as deliveryDate


def amount(value: Decimal) -> str:
    """A decimal string with eight places."""
    return f"{value.quantize(_EIGHT_PLACES) + 0:f}"  # + 0 turns -0 into 0


def whole(value: Decimal) -> int | float:
    """A JSON number: an integer where the value is one."""
    return int(value) if value == value.to_integral_value() else float(value)


def exchange_info(market: Market, weight_limit: int, now_ms: int) -> dict[str, Any]:
    """``exchangeInfo``."""
    assets = dict.fromkeys(symbol.margin_asset for symbol in market.symbols.values())
    return {
        "timezone": "UTC",
        "serverTime": now_ms,
        "futuresType": "U_MARGINED",
        "rateLimits": [
            _limit("REQUEST_WEIGHT", "MINUTE", 1, weight_limit),
            _limit("ORDERS", "MINUTE", 1, 1200),
            _limit("ORDERS", "SECOND", 10, 300),
        ],
        "exchangeFilters": [],
        "assets": [{"asset": a, "marginAvailable": True, "autoAssetExchange": "0"} for a in assets],
        "symbols": [_symbol_info(symbol, market.opened_at) for symbol in market.symbols.values()],
    }


def _limit(kind: str, interval: str, number: int, limit: int) -> dict[str, Any]:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}


def _symbol_info(symbol: Symbol, opened_at: int) -> dict[str, Any]:
    lot = {"maxQty": "1000000", "minQty": symbol.step_size, "stepSize": symbol.step_size}
    return {
        "symbol": symbol.name,
        "pair": symbol.name,
        "contractType": "PERPETUAL",
        "deliveryDate": _NO_DELIVERY,
        "onboardDate": opened_at,
        "status": "TRADING",
        "maintMarginPercent": "2.5000",  # the same for every symbol: Binance's page says to ignore both
        "requiredMarginPercent": "5.0000",
        "baseAsset": symbol.base_asset,
        "quoteAsset": symbol.quote_asset,
        "marginAsset": symbol.margin_asset,
        "pricePrecision": symbol.price_precision,
        "quantityPrecision": symbol.quantity_precision,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": list(symbol.underlying_sub_type),
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": "0.05",
        "maxMoveOrderLimit": 10000,
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": symbol.tick_size,
                "maxPrice": "1000000",
                "tickSize": symbol.tick_size,
            },
            {"filterType": "LOT_SIZE", **lot},
            {"filterType": "MARKET_LOT_SIZE", **lot},
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            {"filterType": "MIN_NOTIONAL", "notional": symbol.min_notional},
            {
                "filterType": "PERCENT_PRICE",
                "multiplierUp": "1.0500",
                "multiplierDown": "0.9500",
                "multiplierDecimal": "4",
            },
        ],
        "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    }


def premium_index(symbol: Symbol, now_ms: int) -> dict[str, Any]:
    """One row of ``premiumIndex``. Index price equals mark: the simulator has no funding."""
    hours = 8 * 3600 * 1000
    return {
        "symbol": symbol.name,
        "markPrice": amount(symbol.mark_price),
        "indexPrice": amount(symbol.mark_price),
        "estimatedSettlePrice": amount(symbol.mark_price),
        "lastFundingRate": "0.00000000",
        "interestRate": "0.00000000",
        "nextFundingTime": (now_ms // hours + 1) * hours,
        "time": now_ms,
    }


def leverage_bracket(symbol: Symbol) -> dict[str, Any]:
    """One symbol of ``leverageBracket``."""
    return {
        "symbol": symbol.name,
        "brackets": [
            {
                "bracket": tier.number,
                "initialLeverage": tier.initial_leverage,
                "notionalCap": whole(tier.notional_cap),
                "notionalFloor": whole(tier.notional_floor),
                "maintMarginRatio": float(tier.maint_margin_ratio),
                "cum": float(tier.cum),
            }
            for tier in symbol.tiers
        ],
    }


def symbol_config(account: Account, symbol: Symbol) -> dict[str, Any]:
    """One row of ``symbolConfig``."""
    leverage = account.leverage(symbol.name)
    return {
        "symbol": symbol.name,
        "marginType": "ISOLATED" if account.is_isolated(symbol.name) else "CROSSED",
        "isAutoAddMargin": False,
        "leverage": leverage,
        "maxNotionalValue": str(whole(symbol.max_notional(leverage))),
    }


def account_config(account: Account) -> dict[str, Any]:
    """``accountConfig``."""
    return {
        "feeTier": 0,
        "canTrade": True,
        "canDeposit": True,
        "canWithdraw": True,
        "dualSidePosition": account.dual_side,
        "updateTime": 0,
        "multiAssetsMargin": account.multi_assets,
        "tradeGroupId": -1,
    }


def _sides(account: Account, name: str) -> list[Position]:
    """The rows ``positionRisk`` has for a symbol: BOTH, or LONG and SHORT in hedge mode."""
    held = {position.side: position for position in account.held(name)}
    names = ("LONG", "SHORT") if account.dual_side else ("BOTH",)
    return [held.get(side, Position(name, side, ZERO, ZERO)) for side in names]


def _position(account: Account, position: Position) -> dict[str, Any]:
    """The fields that v2 and v3 of ``positionRisk`` share."""
    profit = account.unrealized_profit(position)
    isolated = account.is_isolated(position.symbol)
    return {
        "symbol": position.symbol,
        "positionSide": position.side,
        "positionAmt": str(position.amount),
        "entryPrice": str(position.entry_price),
        "breakEvenPrice": str(position.entry_price),
        "markPrice": amount(account.symbol(position).mark_price),
        "unRealizedProfit": amount(profit),
        "liquidationPrice": _price(liquidation_price(account, position) if position.amount else ZERO),
        "isolatedMargin": amount(position.isolated_wallet + profit) if isolated else "0",
        "notional": amount(account.notional(position)),
        "isolatedWallet": amount(position.isolated_wallet) if isolated else "0",
    }


def _price(price: Decimal) -> str:
    return amount(price) if price else "0"


def position_risk_v2(account: Account, names: list[str], update_time: int) -> list[dict[str, Any]]:
    """``positionRisk`` v2: leverage, cap and flags as strings, margin type in lower case."""
    rows = []
    for name in names:
        config = symbol_config(account, account.market.symbols[name])
        rows += [
            {
                **_position(account, position),
                "leverage": str(config["leverage"]),
                "maxNotionalValue": config["maxNotionalValue"],
                "marginType": "isolated" if account.is_isolated(name) else "cross",
                "isAutoAddMargin": "false",
                "updateTime": update_time if position.amount else 0,
            }
            for position in _sides(account, name)
        ]
    return rows


def position_risk_v3(account: Account, names: list[str], update_time: int) -> list[dict[str, Any]]:
    """``positionRisk`` v3: no leverage and no margin type."""
    rows = []
    for name in names:
        margins = {side: (held, worst) for side, held, worst in account.sides(name)}
        leverage = account.leverage(name)
        for position in _sides(account, name):
            held, worst = margins[position.side]
            bids = account.order_notional(name, "BUY", position.side)
            asks = account.order_notional(name, "SELL", position.side)
            if not (position.amount or bids or asks):
                continue
            maintenance = account.maintenance_margin(position) if position.amount else ZERO
            rows.append(
                {
                    **_position(account, position),
                    "marginAsset": account.symbol(position).margin_asset,
                    "initialMargin": amount(worst / leverage),
                    "maintMargin": amount(maintenance),
                    "positionInitialMargin": amount(held / leverage),
                    "openOrderInitialMargin": amount((worst - held) / leverage),
                    "adl": 1 if position.amount else 0,
                    "bidNotional": amount(bids),
                    "askNotional": amount(asks),
                    "updateTime": update_time,
                }
            )
    return rows


def _asset(account: Account, asset: str, update_time: int) -> dict[str, Any]:
    market = account.market.symbols
    used = [name for name in account.symbols_in_use() if market[name].margin_asset == asset]
    positions = [position for name in used for position in account.held(name)]
    wallet = account.wallets.get(asset, ZERO)
    profit = sum((account.unrealized_profit(position) for position in positions), ZERO)
    position_margin = sum((account.position_margin(name) for name in used), ZERO)
    order_margin = sum((account.order_margin(name) for name in used), ZERO)
    maintenance = sum((account.maintenance_margin(position) for position in positions), ZERO)
    figures = {
        "walletBalance": wallet,
        "unrealizedProfit": profit,
        "marginBalance": wallet + profit,
        "maintMargin": maintenance,
        "initialMargin": position_margin + order_margin,
        "positionInitialMargin": position_margin,
        "openOrderInitialMargin": order_margin,
        "crossWalletBalance": account.cross_wallet(asset),
        "crossUnPnl": account.cross_profit(asset),
        "availableBalance": account.available(asset),
        "maxWithdrawAmount": max(ZERO, min(account.available(asset), account.cross_wallet(asset))),
    }
    return {"asset": asset, **figures, "updateTime": update_time}


def _as_wire(row: dict[str, Any]) -> dict[str, Any]:
    return {name: amount(value) if isinstance(value, Decimal) else value for name, value in row.items()}


_TOTALS = {
    "totalInitialMargin": "initialMargin",
    "totalMaintMargin": "maintMargin",
    "totalWalletBalance": "walletBalance",
    "totalUnrealizedProfit": "unrealizedProfit",
    "totalMarginBalance": "marginBalance",
    "totalPositionInitialMargin": "positionInitialMargin",
    "totalOpenOrderInitialMargin": "openOrderInitialMargin",
    "totalCrossWalletBalance": "crossWalletBalance",
    "totalCrossUnPnl": "crossUnPnl",
}


def account_v3(account: Account, update_time: int) -> dict[str, Any]:
    """``account`` v3: totals are of USDT alone in single-asset mode, in USD over all assets otherwise."""
    assets = {asset: _asset(account, asset, update_time) for asset in account.assets()}
    if account.multi_assets:
        totals = {
            total: sum((row[figure] * account.usd_price(asset) for asset, row in assets.items()), ZERO)
            for total, figure in _TOTALS.items()
        }
    else:
        totals = {total: assets["USDT"][figure] for total, figure in _TOTALS.items()}
    totals["availableBalance"] = assets["USDT"]["availableBalance"]
    totals["maxWithdrawAmount"] = assets["USDT"]["maxWithdrawAmount"]
    rows = position_risk_v3(account, account.symbols_in_use(), update_time)
    return {
        **_as_wire(totals),
        "assets": [_as_wire(row) for row in assets.values()],
        "positions": [
            {
                "symbol": row["symbol"],
                "positionSide": row["positionSide"],
                "positionAmt": row["positionAmt"],
                "unrealizedProfit": row["unRealizedProfit"],
                "isolatedMargin": row["isolatedMargin"],
                "notional": row["notional"],
                "isolatedWallet": row["isolatedWallet"],
                "initialMargin": row["initialMargin"],
                "maintMargin": row["maintMargin"],
                "updateTime": row["updateTime"],
            }
            for row in rows
        ],
    }


def balance_v3(account: Account, update_time: int) -> list[dict[str, Any]]:
    """``balance`` v3: one row an asset."""
    return [
        {
            "accountAlias": account.alias,
            "asset": asset,
            "balance": amount(account.wallets.get(asset, ZERO)),
            "crossWalletBalance": amount(account.cross_wallet(asset)),
            "crossUnPnl": amount(account.cross_profit(asset)),
            "availableBalance": amount(account.available(asset)),
            "maxWithdrawAmount": amount(max(ZERO, min(account.available(asset), account.cross_wallet(asset)))),
            "marginAvailable": True,
            "updateTime": update_time,
        }
        for asset in account.assets()
    ]


def stream_positions(account: Account, symbol: Symbol) -> list[dict[str, Any]]:
    """The ``P`` rows of an ``ACCOUNT_UPDATE`` for one symbol."""
    return [
        {
            "s": position.symbol,
            "pa": str(position.amount),
            "ep": str(position.entry_price),
            "bep": str(position.entry_price),
            "cr": "0",
            "up": amount(account.unrealized_profit(position)),
            "mt": "isolated" if account.is_isolated(symbol.name) else "cross",
            "iw": amount(position.isolated_wallet),
            "ps": position.side,
        }
        for position in _sides(account, symbol.name)
    ]


def stream_margin_call(account: Account, symbol: Symbol) -> list[dict[str, Any]]:
    """The ``p`` rows of a ``MARGIN_CALL`` for one symbol."""
    return [
        {
            "s": position.symbol,
            "ps": position.side,
            "pa": str(position.amount),
            "mt": "ISOLATED" if account.is_isolated(symbol.name) else "CROSSED",
            "iw": amount(position.isolated_wallet),
            "mp": str(symbol.mark_price),
            "up": amount(account.unrealized_profit(position)),
            "mm": amount(account.maintenance_margin(position)),
        }
        for position in _sides(account, symbol.name)
    ]
