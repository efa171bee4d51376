"""The answers: exact fields and JSON types."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
import requests

from leverage_nb.simulator import Simulator
from leverage_nb.simulator.answers import account_v3, amount, whole
from tests.simulator.calling import LEVERAGE, Call, leverages, signed_call
from tests.simulator.openings import MARKET, opened

S, N, B = str, (int, float), bool

# Field names and JSON types, as the endpoint pages document them: string, number, boolean.
POSITION = {
    "symbol": S, "positionSide": S, "positionAmt": S, "entryPrice": S, "breakEvenPrice": S, "markPrice": S,
    "unRealizedProfit": S, "liquidationPrice": S, "isolatedMargin": S, "notional": S, "isolatedWallet": S,
    "updateTime": N,
}  # fmt: skip
V2_ONLY = dict.fromkeys(("leverage", "maxNotionalValue", "marginType", "isAutoAddMargin"), S)
V3_ONLY = {
    "marginAsset": S, "initialMargin": S, "maintMargin": S, "positionInitialMargin": S,
    "openOrderInitialMargin": S, "adl": N, "bidNotional": S, "askNotional": S,
}  # fmt: skip
ASSET = {
    **dict.fromkeys(
        ("asset", "walletBalance", "unrealizedProfit", "marginBalance", "maintMargin", "initialMargin",
         "positionInitialMargin", "openOrderInitialMargin", "crossWalletBalance", "crossUnPnl",
         "availableBalance", "maxWithdrawAmount"), S),
    "updateTime": N,
}  # fmt: skip
TOTALS = dict.fromkeys(
    ("totalInitialMargin", "totalMaintMargin", "totalWalletBalance", "totalUnrealizedProfit", "totalMarginBalance",
     "totalPositionInitialMargin", "totalOpenOrderInitialMargin", "totalCrossWalletBalance", "totalCrossUnPnl",
     "availableBalance", "maxWithdrawAmount"), S,
)  # fmt: skip
BALANCE = {
    **dict.fromkeys(
        ("accountAlias", "asset", "balance", "crossWalletBalance", "crossUnPnl", "availableBalance",
         "maxWithdrawAmount"), S),
    "marginAvailable": B, "updateTime": N,
}  # fmt: skip
BRACKET = dict.fromkeys(("bracket", "initialLeverage", "notionalCap", "notionalFloor", "maintMarginRatio", "cum"), N)
CONFIG = {"symbol": S, "marginType": S, "isAutoAddMargin": B, "leverage": N, "maxNotionalValue": S}
ACCOUNT_CONFIG = {
    "feeTier": N, "canTrade": B, "canDeposit": B, "canWithdraw": B, "dualSidePosition": B, "updateTime": N,
    "multiAssetsMargin": B, "tradeGroupId": N,
}  # fmt: skip
PREMIUM = {
    **dict.fromkeys(
        ("symbol", "markPrice", "indexPrice", "estimatedSettlePrice", "lastFundingRate", "interestRate"), S),
    "nextFundingTime": N, "time": N,
}  # fmt: skip


def assert_shape(row: dict[str, Any], shape: dict[str, Any]) -> None:
    """Assert that a row has every documented field with its JSON type, and no other field."""
    assert row.keys() == shape.keys()
    for name, kind in shape.items():
        assert isinstance(row[name], kind), name
        assert kind is B or not isinstance(row[name], bool), name


def test_shapes_of_signed_answers(call: Call) -> None:
    """Field names and JSON types are those of the documentation."""
    v2 = call("GET", "/fapi/v2/positionRisk")[1]
    v3 = call("GET", "/fapi/v3/positionRisk")[1]
    assert len(v2) == 46
    assert [row["symbol"] for row in v3] == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]
    for row in v2:
        assert_shape(row, POSITION | V2_ONLY)
    for row in v3:
        assert_shape(row, POSITION | V3_ONLY)
    assert {row["marginType"] for row in v2} == {"cross", "isolated"}
    assert_shape(call("GET", "/fapi/v1/symbolConfig", symbol="ETHUSDT")[1][0], CONFIG)
    assert_shape(call("GET", "/fapi/v1/accountConfig")[1], ACCOUNT_CONFIG)
    account = call("GET", "/fapi/v3/account")[1]
    assert_shape({name: value for name, value in account.items() if name not in {"assets", "positions"}}, TOTALS)
    for row in account["assets"]:
        assert_shape(row, ASSET)
    for row in call("GET", "/fapi/v3/balance")[1]:
        assert_shape(row, BALANCE)
    assert call("GET", "/fapi/v1/positionSide/dual")[1] == {"dualSidePosition": False}
    assert call("GET", "/fapi/v1/multiAssetsMargin")[1] == {"multiAssetsMargin": False}


def test_brackets_of_all_and_of_one_symbol(call: Call, published_tiers: dict[str, Any]) -> None:
    """Without symbol, leverageBracket is a list of all 46; with symbol, one object; every figure is as published."""
    status, rows = call("GET", "/fapi/v1/leverageBracket")
    assert status == 200
    assert {row["symbol"]: row["brackets"] for row in rows} == published_tiers
    one = call("GET", "/fapi/v1/leverageBracket", symbol="哈基米USDT")[1]
    assert one == {"symbol": "哈基米USDT", "brackets": published_tiers["哈基米USDT"]}
    for bracket in one["brackets"]:
        assert_shape(bracket, BRACKET)


def test_public_answers(simulator: Simulator) -> None:
    """Ping, time, exchangeInfo and premiumIndex need no key."""

    def get(path: str) -> Any:
        return requests.get(simulator.rest_url + path, timeout=30).json()

    assert get("/fapi/v1/ping") == {}
    assert isinstance(get("/fapi/v1/time")["serverTime"], int)
    assert_shape(get("/fapi/v1/premiumIndex?symbol=BTCUSDT"), PREMIUM)
    assert len(get("/fapi/v1/premiumIndex")) == 46
    info = get("/fapi/v1/exchangeInfo")
    assert {row["symbol"]: row["marginAsset"] for row in info["symbols"]}["ETHBTC"] == "BTC"
    assert info["rateLimits"][0] == {
        "rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400,
    }  # fmt: skip
    filters = {row["filterType"]: row for row in info["symbols"][0]["filters"]}
    assert isinstance(filters["PRICE_FILTER"]["tickSize"], str)
    assert isinstance(filters["LOT_SIZE"]["stepSize"], str)


def test_listings_of_every_kind(simulator: Simulator) -> None:
    """The listing has the fields by which contracts differ: status, type, underlying, pair, delivery and assets."""
    info = requests.get(simulator.rest_url + "/fapi/v1/exchangeInfo", timeout=30).json()
    fields = ("pair", "contractType", "underlyingType", "status", "baseAsset", "marginAsset", "deliveryDate")
    listed = {row["symbol"]: tuple(row[name] for name in fields) for row in info["symbols"]}
    never, christmas = 4133404800000, 1798185600000  # 2100-12-25 and 2026-12-25, 08:00 UTC
    coin = ("PERPETUAL", "COIN", "TRADING")
    assert listed["BTCUSDT"] == ("BTCUSDT", *coin, "BTC", "USDT", never)
    assert listed["PAXGUSDT"] == ("PAXGUSDT", *coin, "PAXG", "USDT", never)
    assert listed["SOLUSDC"] == ("SOLUSDC", *coin, "SOL", "USDC", never)
    dated = ("BTCUSDT", "CURRENT_QUARTER", "COIN", "TRADING", "BTC", "USDT", christmas)
    assert listed["BTCUSDT_261225"] == dated
    assert listed["TSLAUSDT"][1:4] == ("TRADIFI_PERPETUAL", "EQUITY", "TRADING")
    assert listed["XAUUSDT"][1:4] == ("TRADIFI_PERPETUAL", "COMMODITY", "TRADING")
    assert listed["BTCDOMUSDT"][1:4] == ("PERPETUAL", "INDEX", "TRADING")
    assert listed["币安人生USDT"][1:4] == ("PERPETUAL", "COIN", "PENDING_TRADING")
    assert listed["UXLINKUSDT"][1:4] == ("PERPETUAL", "COIN", "SETTLING")
    assert [row["asset"] for row in info["assets"]] == ["USDT", "USDC", "BTC"]


def test_numbers_on_the_wire() -> None:
    """Amounts are strings with eight places, without a negative zero; whole numbers carry no point."""
    assert [amount(Decimal(text)) for text in ("1.5", "-0", "-0.000000001")] == [
        "1.50000000",
        "0.00000000",
        "0.00000000",
    ]
    assert [str(whole(Decimal(text))) for text in ("300000", "0.5")] == ["300000", "0.5"]


def test_totals_are_of_usdt_or_of_all_assets() -> None:
    """In single-asset mode the totals are USDT's; in multi-assets mode they are the sum of all assets in USD.

    Binance counts USDT at 99.99 % and BTC at 95 % of the index:
    https://www.binance.com/en/futures/trading-rules/perpetual/multi-asset-info.
    """
    wallets = {"USDT": "100", "BTC": "1"}
    single = account_v3(opened(wallets=wallets))
    multi = account_v3(opened(wallets=wallets, multiAssetsMargin=True))
    in_usd = 100 * Decimal("0.9999") + Decimal("0.95") * MARKET.symbols["BTCUSDT"].mark_price
    assert (single["totalWalletBalance"], multi["totalWalletBalance"]) == ("100.00000000", f"{in_usd:.8f}")
    available = {row["asset"]: row["availableBalance"] for row in multi["assets"]}["USDT"]
    assert Decimal(available) == pytest.approx(in_usd / Decimal("1.0001"), abs=Decimal("1e-8"))


def test_asset_index_has_the_documented_fields(call: Call) -> None:
    """A row has the index, the buffers and the rates of one asset against USD; without a symbol there is a list."""
    figures = {"index", "bidBuffer", "askBuffer", "bidRate", "askRate"}
    figures |= {"autoExchangeBidBuffer", "autoExchangeAskBuffer", "autoExchangeBidRate", "autoExchangeAskRate"}
    row = call("GET", "/fapi/v1/assetIndex", symbol="BTCUSD")[1]
    assert row.keys() == {"symbol", "time"} | figures
    assert Decimal(row["bidRate"]) == Decimal(row["index"]) * (1 - Decimal(row["bidBuffer"]))
    assert Decimal(row["askRate"]) == Decimal(row["index"]) * (1 + Decimal(row["askBuffer"]))
    assert row["symbol"] in {each["symbol"] for each in call("GET", "/fapi/v1/assetIndex")[1]}
    assert call("GET", "/fapi/v1/assetIndex", symbol="XYZUSD")[1]["code"] == -1121


def test_the_demo_profile(published_tiers: dict[str, Any]) -> None:
    """On demo an untouched symbol has leverage 0 in both reads, beside the default's max notional, until a POST."""
    with Simulator(profile="demo") as simulator:
        row = signed_call(simulator, "GET", "/fapi/v1/symbolConfig", symbol="BNBUSDT")[1][0]
        risk = signed_call(simulator, "GET", "/fapi/v2/positionRisk", symbol="BNBUSDT")[1][0]
        caps = [tier["notionalCap"] for tier in published_tiers["BNBUSDT"] if tier["initialLeverage"] >= 20]
        assert (row["leverage"], row["maxNotionalValue"]) == (0, str(max(caps)))
        assert (risk["leverage"], risk["maxNotionalValue"]) == ("0", row["maxNotionalValue"])
        assert_shape(row, CONFIG)
        shown = leverages(simulator)
        assert (shown["BTCUSDT"], shown["XRPUSDT"], shown["ADAUSDT"]) == (20, 50, 0)
        assert {row["symbol"] for row in signed_call(simulator, "GET", "/fapi/v3/positionRisk")[1]}.isdisjoint(
            name for name, leverage in shown.items() if leverage == 0
        )
        assert signed_call(simulator, "POST", LEVERAGE, symbol="BNBUSDT", leverage=0)[1]["code"] == -4028
        assert leverages(simulator) == shown
        answer = signed_call(simulator, "POST", LEVERAGE, symbol="BNBUSDT", leverage=20)
        assert answer[1] == {"leverage": 20, "maxNotionalValue": row["maxNotionalValue"], "symbol": "BNBUSDT"}
        assert leverages(simulator) == shown | {"BNBUSDT": 20}
        assert [(run.before, run.after) for run in simulator.exchange.executed] == [(0, 20)]
