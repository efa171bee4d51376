"""The simulator's answers: Binance's exact field names, with its JSON types.

Most figures are strings, some are numbers; a few are booleans in one version of an endpoint and strings in another.
Each function follows the page of its endpoint: https://developers.binance.com/docs/derivatives/usds-margined-futures.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from leverage_nb.simulator.account import ZERO, Account, Position
from leverage_nb.simulator.isolated_margin import MarginChange
from leverage_nb.simulator.liquidation import liquidation_price
from leverage_nb.simulator.market import Market, Symbol

Row = dict[str, Any]

_EIGHT_PLACES = Decimal("0.00000001")
_FUNDING_INTERVAL_MS = 8 * 3600 * 1000
_NOT_TOTALLED = {"availableBalance", "maxWithdrawAmount"}  # figures of USDT in both asset modes
_MARGINS = {"maintMargin", "initialMargin", "positionInitialMargin", "openOrderInitialMargin"}

# Fields of exchangeInfo: those of the market's rows, and those that a row has unless it states another value.
_LISTED = (
    "symbol", "baseAsset", "quoteAsset", "marginAsset", "pricePrecision", "quantityPrecision", "underlyingSubType",
)  # fmt: skip
_USUAL = {
    "contractType": "PERPETUAL", "deliveryDate": 4133404800000, "status": "TRADING", "underlyingType": "COIN",
    "maintMarginPercent": "2.5000", "requiredMarginPercent": "5.0000",  # Binance's page says to ignore both
    "baseAssetPrecision": 8, "quotePrecision": 8, "triggerProtect": "0.0500", "liquidationFee": "0.012500",
    "marketTakeBound": "0.05", "maxMoveOrderLimit": 10000, "timeInForce": ["GTC", "IOC", "FOK", "GTX", "GTD"],
    "orderTypes": ["LIMIT", "MARKET", "STOP", "STOP_MARKET", "TAKE_PROFIT", "TAKE_PROFIT_MARKET"],
}  # fmt: skip
_PERCENT_PRICE = {"multiplierUp": "1.0500", "multiplierDown": "0.9500", "multiplierDecimal": "4"}


def amount(value: Decimal) -> str:
    """Return a decimal string with eight places."""
    return f"{value.quantize(_EIGHT_PLACES) + 0:f}"  # + 0 turns -0 into 0


def whole(value: Decimal) -> int | float:
    """Return a JSON number: an integer where the value is one."""
    return int(value) if value == value.to_integral_value() else float(value)


# -- market data ----------------------------------------------------------------------------------------


def exchange_info(market: Market, weight_limit: int, now_ms: int) -> Row:
    """Return ``exchangeInfo``."""
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
        "symbols": [_listing(symbol, market.opened_at) for symbol in market.symbols.values()],
    }


def _limit(kind: str, interval: str, number: int, limit: int) -> Row:
    return {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}


def _listing(symbol: Symbol, opened_at: int) -> Row:
    own = symbol.listing
    lot = {"maxQty": "1000000", "minQty": own["stepSize"], "stepSize": own["stepSize"]}
    price = {"minPrice": own["tickSize"], "maxPrice": "1000000", "tickSize": own["tickSize"]}
    return {
        **{name: own[name] for name in _LISTED},
        "pair": own.get("pair", symbol.name),
        **{name: own.get(name, value) for name, value in _USUAL.items()},
        "onboardDate": opened_at,
        "filters": [
            {"filterType": "PRICE_FILTER", **price},
            {"filterType": "LOT_SIZE", **lot},
            {"filterType": "MARKET_LOT_SIZE", **lot},
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            {"filterType": "MIN_NOTIONAL", "notional": own["minNotional"]},
            {"filterType": "PERCENT_PRICE", **_PERCENT_PRICE},
        ],
    }


def premium_index(symbol: Symbol, now_ms: int) -> Row:
    """Return one row of ``premiumIndex``. The index price equals the mark price: the simulator has no funding."""
    return {
        "symbol": symbol.name,
        **dict.fromkeys(("markPrice", "indexPrice", "estimatedSettlePrice"), amount(symbol.mark_price)),
        "lastFundingRate": "0.00000000",
        "interestRate": "0.00000000",
        "nextFundingTime": (now_ms // _FUNDING_INTERVAL_MS + 1) * _FUNDING_INTERVAL_MS,
        "time": now_ms,
    }


def asset_index(account: Account, asset: str, now_ms: int) -> Row:
    """Return one row of ``assetIndex``. The buffers for automatic exchange equal the others: nothing is exchanged."""
    rate = account.usd_rate(asset)
    figures = {"BidBuffer": rate.bid_buffer, "AskBuffer": rate.ask_buffer, "BidRate": rate.bid, "AskRate": rate.ask}
    return {
        "symbol": f"{asset}USD",
        "time": now_ms,
        "index": amount(rate.index),
        **{f"{name[0].lower()}{name[1:]}": amount(figure) for name, figure in figures.items()},
        **{f"autoExchange{name}": amount(figure) for name, figure in figures.items()},
    }


def leverage_bracket(symbol: Symbol) -> Row:
    """Return one symbol of ``leverageBracket``."""
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


# -- settings -------------------------------------------------------------------------------------------


def symbol_config(account: Account, symbol: Symbol) -> Row:
    """Return one row of ``symbolConfig``.

    The max notional beside a leverage of 0 is that of the default leverage: assumed, it is not known.
    """
    return {
        "symbol": symbol.name,
        "marginType": "ISOLATED" if symbol.name in account.isolated else "CROSSED",
        "isAutoAddMargin": False,
        "leverage": account.shown_leverage(symbol.name),
        "maxNotionalValue": str(whole(symbol.max_notional(account.leverage(symbol.name)))),
    }


def account_config(account: Account) -> Row:
    """Return ``accountConfig``."""
    modes = {"dualSidePosition": account.dual_side, "multiAssetsMargin": account.multi_assets}
    permissions = {"canTrade": True, "canDeposit": True, "canWithdraw": True}
    return {"feeTier": 0, "updateTime": 0, "tradeGroupId": -1, **modes, **permissions}


# -- positions and balances -----------------------------------------------------------------------------


def _sides(account: Account, name: str) -> list[Position]:
    """Return a symbol's positions with and without an amount: BOTH, or LONG and SHORT in hedge mode."""
    positions = {position.side: position for position in account.open_positions(name)}
    sides = ("LONG", "SHORT") if account.dual_side else ("BOTH",)
    return [positions.get(side, Position(name, side, ZERO, ZERO)) for side in sides]


def _position(account: Account, position: Position) -> Row:
    """Return the fields that v2 and v3 of ``positionRisk`` share."""
    profit = account.unrealized_profit(position)
    isolated = position.symbol in account.isolated
    liquidation = liquidation_price(account, position) if position.amount else ZERO
    return {
        "symbol": position.symbol,
        "positionSide": position.side,
        "positionAmt": str(position.amount),
        "entryPrice": str(position.entry_price),
        "breakEvenPrice": str(position.entry_price),
        "markPrice": amount(account.symbol(position).mark_price),
        "unRealizedProfit": amount(profit),
        "liquidationPrice": amount(liquidation) if liquidation else "0",
        "isolatedMargin": amount(position.isolated_wallet + profit) if isolated else "0",
        "notional": amount(account.notional(position)),
        "isolatedWallet": amount(position.isolated_wallet) if isolated else "0",
    }


def position_risk_v2(account: Account, symbols: list[Symbol]) -> list[Row]:
    """Return ``positionRisk`` v2: leverage, cap and flags as strings, margin type in lower case."""
    rows = []
    for symbol in symbols:
        config = symbol_config(account, symbol)
        rows += [
            {
                **_position(account, position),
                "leverage": str(config["leverage"]),
                "maxNotionalValue": config["maxNotionalValue"],
                "marginType": "isolated" if symbol.name in account.isolated else "cross",
                "isAutoAddMargin": "false",
                "updateTime": account.market.opened_at if position.amount else 0,
            }
            for position in _sides(account, symbol.name)
        ]
    return rows


def position_risk_v3(account: Account, symbols: Iterable[Symbol]) -> list[Row]:
    """Return ``positionRisk`` v3: only sides with a position or an open order, without leverage and margin type."""
    rows = []
    for name in (symbol.name for symbol in symbols):
        leverage = account.leverage(name)
        for position, (side, size, worst) in zip(_sides(account, name), account.sides(name), strict=True):
            bids, asks = (account.order_notional(name, direction, side) for direction in ("BUY", "SELL"))
            if not (position.amount or bids or asks):
                continue
            figures = {
                "initialMargin": worst / leverage,
                "maintMargin": account.maintenance_margin(position) if position.amount else ZERO,
                "positionInitialMargin": size / leverage,
                "openOrderInitialMargin": (worst - size) / leverage,
                "bidNotional": bids,
                "askNotional": asks,
            }
            more = {
                "marginAsset": account.symbol(position).margin_asset,
                "adl": 1 if position.amount else 0,
                "updateTime": account.market.opened_at,
            }
            rows.append(_position(account, position) | _as_strings(figures) | more)
    return rows


def _asset(account: Account, asset: str) -> dict[str, Decimal]:
    """Return the figures of one asset, as ``account`` v3 names them."""
    used = [name for name in account.symbols_in_use() if account.market.symbols[name].margin_asset == asset]
    positions = [position for name in used for position in account.open_positions(name)]
    wallet = account.wallets.get(asset, ZERO)
    profit = sum((account.unrealized_profit(position) for position in positions), ZERO)
    position_margin = sum((account.position_margin(name) for name in used), ZERO)
    order_margin = sum((account.order_margin(name) for name in used), ZERO)
    return {
        "walletBalance": wallet,
        "unrealizedProfit": profit,
        "marginBalance": wallet + profit,
        "maintMargin": sum((account.maintenance_margin(position) for position in positions), ZERO),
        "initialMargin": position_margin + order_margin,
        "positionInitialMargin": position_margin,
        "openOrderInitialMargin": order_margin,
        "crossWalletBalance": account.cross_wallet(asset),
        "crossUnPnl": account.cross_profit(asset),
        "availableBalance": account.available(asset),
        "maxWithdrawAmount": account.withdrawable(asset),
    }


def _as_strings(figures: dict[str, Decimal]) -> dict[str, str]:
    return {name: amount(figure) for name, figure in figures.items()}


def account_v3(account: Account) -> Row:
    """Return ``account`` v3: the totals are of USDT in single-asset mode, and of all assets, in USD, otherwise."""
    assets = {asset: _asset(account, asset) for asset in account.assets()}
    totals = dict(assets["USDT"])
    if account.multi_assets:
        for name in totals.keys() - _NOT_TOTALLED:
            in_usd = account.cost_in_usd if name in _MARGINS else account.worth_in_usd
            totals[name] = in_usd({asset: row[name] for asset, row in assets.items()}.__getitem__)
    names = {name: name if name in _NOT_TOTALLED else f"total{name[0].upper()}{name[1:]}" for name in totals}
    shown = (
        "symbol", "positionSide", "positionAmt", "isolatedMargin", "notional", "isolatedWallet", "initialMargin",
        "maintMargin", "updateTime",
    )  # fmt: skip
    opened_at = account.market.opened_at
    positions = position_risk_v3(account, account.market.symbols.values())
    return {
        **{names[name]: amount(total) for name, total in totals.items()},
        "assets": [{"asset": a, **_as_strings(row), "updateTime": opened_at} for a, row in assets.items()],
        "positions": [
            {"unrealizedProfit": row["unRealizedProfit"], **{name: row[name] for name in shown}} for row in positions
        ],
    }


def balance_v3(account: Account) -> list[Row]:
    """Return ``balance`` v3: one row for each asset."""
    rows = []
    for asset in account.assets():
        figures = _as_strings(_asset(account, asset))
        shown = {name: figures[name] for name in ("crossWalletBalance", "crossUnPnl", *_NOT_TOTALLED)}
        named = {"accountAlias": account.alias, "asset": asset, "balance": figures["walletBalance"]}
        rows.append({**named, **shown, "marginAvailable": True, "updateTime": account.market.opened_at})
    return rows


# -- isolated margin ------------------------------------------------------------------------------------


def margin_changed(value: Decimal) -> Row:
    """Return the answer to a change of isolated margin, given a positive or negative amount."""
    kind = 1 if value > 0 else 2
    return {"code": 200, "msg": "Successfully modify position margin.", "amount": float(abs(value)), "type": kind}


def margin_change(change: MarginChange, *, unsigned: bool) -> Row:
    """Return one row of ``positionMargin/history``.

    ``clientTranId`` is not documented, but seen: https://github.com/ccxt/ccxt/pull/21875.
    """
    return {
        "symbol": change.symbol,
        "type": change.direction,
        "deltaType": change.reason,
        "amount": amount(abs(change.amount) if unsigned else change.amount),
        "asset": change.asset,
        "time": change.time_ms,
        "positionSide": change.side,
        "clientTranId": "",
    }


# -- user-data stream -----------------------------------------------------------------------------------


def _stream_position(account: Account, position: Position) -> Row:
    """Return the fields that ``ACCOUNT_UPDATE`` and ``MARGIN_CALL`` share."""
    return {
        "s": position.symbol,
        "ps": position.side,
        "pa": str(position.amount),
        "iw": amount(position.isolated_wallet),
        "up": amount(account.unrealized_profit(position)),
    }


def stream_balance(account: Account, asset: str) -> Row:
    """Return the ``B`` row of an ``ACCOUNT_UPDATE`` for one asset, whose wallet balance has not changed."""
    wallets = {"wb": account.wallets.get(asset, ZERO), "cw": account.cross_wallet(asset), "bc": ZERO}
    return {"a": asset, **_as_strings(wallets)}


def stream_positions(account: Account, symbol: Symbol) -> list[Row]:
    """Return the ``P`` rows of an ``ACCOUNT_UPDATE`` for one symbol."""
    margin_type = "isolated" if symbol.name in account.isolated else "cross"
    return [
        {
            **_stream_position(account, position),
            "ep": str(position.entry_price),
            "bep": str(position.entry_price),
            "cr": "0",
            "mt": margin_type,
        }
        for position in _sides(account, symbol.name)
    ]


def stream_margin_call(account: Account, symbol: Symbol) -> list[Row]:
    """Return the ``p`` rows of a ``MARGIN_CALL`` for one symbol."""
    margin_type = "ISOLATED" if symbol.name in account.isolated else "CROSSED"
    return [
        {
            **_stream_position(account, position),
            "mt": margin_type,
            "mp": str(symbol.mark_price),
            "mm": amount(account.maintenance_margin(position)),
        }
        for position in _sides(account, symbol.name)
    ]
