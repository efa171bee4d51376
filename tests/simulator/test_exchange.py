"""The endpoints: exact fields, JSON types, refusals."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from typing import Any

import pytest
import requests
from websockets.sync.client import connect as connect_websocket

from leverage_nb.simulator import Simulator
from tests.simulator.conftest import Call, signed_call

S, N, B = str, (int, float), bool

# Field names and JSON types, as the endpoint pages document them.
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
    """Every documented field is there with its JSON type, and no other."""
    assert row.keys() == shape.keys()
    for name, kind in shape.items():
        assert isinstance(row[name], kind), name
        assert kind is B or not isinstance(row[name], bool), name


def test_shapes_of_signed_answers(call: Call) -> None:
    """Field names and JSON types are those of the documentation, string or number as on the wire."""
    v2 = call("GET", "/fapi/v2/positionRisk")[1]
    v3 = call("GET", "/fapi/v3/positionRisk")[1]
    assert len(v2) == 11
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


def test_brackets_are_the_published_ones(call: Call, published_tiers: dict[str, Any]) -> None:
    """Without symbol a list of all 11, with symbol one object; every figure as published."""
    status, rows = call("GET", "/fapi/v1/leverageBracket")
    assert status == 200
    assert {row["symbol"]: row["brackets"] for row in rows} == published_tiers
    one = call("GET", "/fapi/v1/leverageBracket", symbol="哈基米USDT")[1]
    assert one == {"symbol": "哈基米USDT", "brackets": published_tiers["哈基米USDT"]}
    for bracket in one["brackets"]:
        assert_shape(bracket, BRACKET)


def test_public_answers(simulator: Simulator) -> None:
    """ping, time, exchangeInfo and premiumIndex need no key."""

    def get(path: str) -> Any:
        return requests.get(simulator.rest_url + path, timeout=5).json()

    assert get("/fapi/v1/ping") == {}
    assert isinstance(get("/fapi/v1/time")["serverTime"], int)
    assert_shape(get("/fapi/v1/premiumIndex?symbol=BTCUSDT"), PREMIUM)
    assert len(get("/fapi/v1/premiumIndex")) == 11
    info = get("/fapi/v1/exchangeInfo")
    assert {row["symbol"]: row["marginAsset"] for row in info["symbols"]}["ETHBTC"] == "BTC"
    assert info["rateLimits"][0] == {
        "rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400,
    }  # fmt: skip
    filters = {row["filterType"]: row for row in info["symbols"][0]["filters"]}
    assert isinstance(filters["PRICE_FILTER"]["tickSize"], str)
    assert isinstance(filters["LOT_SIZE"]["stepSize"], str)


@pytest.mark.parametrize(
    ("parameters", "status", "code", "words"),
    [
        ({"symbol": "BTCUSDT", "leverage": 151}, 400, -4028, "Leverage 151 is not valid"),
        ({"symbol": "BTCUSDT", "leverage": 0}, 400, -4028, "Leverage 0 is not valid"),
        ({"symbol": "BTCUSDT", "leverage": -5}, 400, -4028, "Leverage -5 is not valid"),
        ({"symbol": "BTCUSDT", "leverage": "1.5"}, 400, -1100, "Illegal characters"),
        ({"symbol": "BTCUSDT", "leverage": "ten"}, 400, -1100, "Illegal characters"),
        ({"symbol": "BTCUSDT"}, 400, -1102, "'leverage'"),
        ({"symbol": "BTCUSDT", "leverage": ""}, 400, -1102, "'leverage'"),
        ({"leverage": 5}, 400, -1102, "'symbol'"),
        ({"symbol": "FOO", "leverage": 5}, 400, -1121, "Invalid symbol."),
        ({"symbol": "BTCUSDT", "leverage": 125}, 400, -2027, "Exceeded the maximum allowable position"),
        ({"symbol": "BTCUSDT", "leverage": 1}, 400, -2028, "insufficient margin balance"),
        ({"symbol": "ETHUSDT", "leverage": 9}, 400, -4161, "not supported in Isolated Margin Mode"),
    ],
)
def test_leverage_is_refused_in_binances_words(
    call: Call, parameters: dict[str, Any], status: int, code: int, words: str
) -> None:
    """Each refusal has Binance's status, code and words, and changes nothing."""
    before = call("GET", "/fapi/v1/symbolConfig")[1]
    answered, body = call("POST", "/fapi/v1/leverage", **parameters)
    assert (answered, body["code"]) == (status, code)
    assert words in body["msg"]
    assert call("GET", "/fapi/v1/symbolConfig")[1] == before


def test_leverage_is_changed(call: Call) -> None:
    """A change answers with int, string, string; symbolConfig shows it; any whole number in range is valid."""
    for leverage, cap in ((21, "70000000"), (20, "100000000"), (100, "800000")):
        answer = call("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=leverage)
        assert answer == (200, {"leverage": leverage, "maxNotionalValue": cap, "symbol": "BTCUSDT"})
        assert call("GET", "/fapi/v1/symbolConfig", symbol="BTCUSDT")[1][0]["leverage"] == leverage
    assert call("POST", "/fapi/v1/leverage", symbol="哈基米USDT", leverage=1)[1]["symbol"] == "哈基米USDT"
    assert call("POST", "/fapi/v1/leverage", symbol="ETHUSDT", leverage=20)[0] == 200  # raising isolated is allowed


def test_account_settings_are_refused_and_changed(call: Call) -> None:
    """Margin type, position mode and asset mode follow Binance's rules."""
    margin = "/fapi/v1/marginType"
    assert call("POST", margin, symbol="BNBUSDT", marginType="CROSSED")[1]["code"] == -4046
    assert call("POST", margin, symbol="SOLUSDT", marginType="ISOLATED")[1]["code"] == -4047
    assert call("POST", margin, symbol="BTCUSDT", marginType="ISOLATED")[1]["code"] == -4048
    assert call("POST", margin, symbol="BNBUSDT", marginType="HALF")[1]["code"] == -1130
    assert call("POST", margin, symbol="BNBUSDT", marginType="ISOLATED") == (200, {"code": 200, "msg": "success"})
    assert call("GET", "/fapi/v1/symbolConfig", symbol="BNBUSDT")[1][0]["marginType"] == "ISOLATED"
    assert call("POST", "/fapi/v1/positionSide/dual", dualSidePosition="false")[1]["code"] == -4059
    assert call("POST", "/fapi/v1/positionSide/dual", dualSidePosition="true")[1]["code"] == -4067
    assert call("POST", "/fapi/v1/multiAssetsMargin", multiAssetsMargin="false")[1]["code"] == -4171
    assert call("POST", "/fapi/v1/multiAssetsMargin", multiAssetsMargin="true")[1]["code"] == -4167


def test_unknown_paths_and_methods(call: Call) -> None:
    """A path or method that is not there is 404 and -5000."""
    status, body = call("GET", "/fapi/v1/leverage")
    assert (status, body["code"]) == (404, -5000)


def test_the_same_start_gives_the_same_answers() -> None:
    """Two simulators that start alike answer alike, byte for byte; each has a key of its own."""
    answers, keys = [], set[str]()
    for _ in range(2):
        with Simulator(clock=lambda: 1_800_000_000.0) as simulator:
            texts = [
                requests.get(simulator.rest_url + path, timeout=5).text
                for path in ("/fapi/v1/exchangeInfo", "/fapi/v1/premiumIndex", "/fapi/v1/time")
            ]
            answers.append(texts)
            keys |= {simulator.api_key, simulator.api_secret}
    assert answers[0] == answers[1]
    assert len(keys) == 4


def test_a_chosen_key() -> None:
    """A simulator takes the key and secret that it is given, if they have the form of ones."""
    with Simulator(api_key="k" * 64, api_secret="S" * 64) as simulator:
        assert signed_call(simulator, "GET", "/fapi/v1/accountConfig")[0] == 200
        assert (simulator.api_key, simulator.api_secret) == ("k" * 64, "S" * 64)
    for wrong in ("k" * 63, "k" * 65, "-" * 64, ""):
        with pytest.raises(ValueError, match="64 letters and digits"):
            Simulator(api_key=wrong)


def prove(simulator: Simulator, nonce: str) -> requests.Response:
    """Ask a simulator to prove itself."""
    return requests.get(f"{simulator.rest_url}/leverage_nb/simulator", {"nonce": nonce}, timeout=5)


def test_it_proves_that_it_is_a_simulator(simulator: Simulator) -> None:
    """The proof is an HMAC of the nonce keyed with the API key; it weighs nothing and meets no fault."""
    simulator.inject("reset_before", on="* *", times=None)
    answer = prove(simulator, "0123456789abcdef")
    expected = hmac.new(simulator.api_key.encode(), b"0123456789abcdef", hashlib.sha256).hexdigest()
    assert answer.json() == {"simulator": "leverage_nb", "proof": expected}
    assert simulator.api_key not in answer.text
    simulator.clear_faults()
    ping = requests.get(simulator.rest_url + "/fapi/v1/ping", timeout=5)
    assert ping.headers["X-MBX-USED-WEIGHT-1M"] == "1"


@pytest.mark.parametrize("nonce", ["", "0123456789abcde", "0" * 65, "symbol=BTCUSDT&leverage=10", "G" * 16, "A" * 16])
def test_it_signs_no_text_of_a_client(simulator: Simulator, nonce: str) -> None:
    """Anything but 16 to 64 hex digits is refused."""
    assert prove(simulator, nonce).status_code == 400


def test_user_data_stream(simulator: Simulator, call: Call) -> None:
    """A listen key opens the stream, on which a leverage change arrives as Binance words it."""
    url = simulator.rest_url + "/fapi/v1/listenKey"
    assert requests.post(url, timeout=5).status_code == 401
    headers = {"X-MBX-APIKEY": simulator.api_key}
    assert requests.put(url, headers=headers, timeout=5).json()["code"] == -1125
    key = requests.post(url, headers=headers, timeout=5).json()["listenKey"]
    for path in (f"/private/ws/{key}", f"/private/ws?listenKey={key}&events=ACCOUNT_CONFIG_UPDATE/ACCOUNT_UPDATE"):
        with connect_websocket(simulator.stream_url + path) as stream:
            leverage = 15 if "events" in path else 16
            call("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=leverage)
            event = json.loads(stream.recv(timeout=5))
            assert event["e"] == "ACCOUNT_CONFIG_UPDATE"
            assert event["ac"] == {"s": "BTCUSDT", "l": leverage}
            assert isinstance(event["E"], int)
    with connect_websocket(f"{simulator.stream_url}/private/stream?listenKey={key}") as stream:
        call("POST", "/fapi/v1/marginType", symbol="BNBUSDT", marginType="ISOLATED")
        wrapped = json.loads(stream.recv(timeout=5))
        assert wrapped["data"]["a"]["m"] == "MARGIN_TYPE_CHANGE"
    assert requests.delete(url, headers=headers, timeout=5).json() == {}
    refused = requests.get(f"{simulator.rest_url}/private/ws/{key}", timeout=5)
    assert refused.status_code == 400


def test_many_clients_at_once(simulator: Simulator, call: Call) -> None:
    """Requests from several threads are all answered, and the last change wins."""
    results: list[int] = []
    threads = [
        threading.Thread(
            target=lambda x=leverage: results.append(call("POST", "/fapi/v1/leverage", symbol="XRPUSDT", leverage=x)[0])
        )
        for leverage in range(1, 21)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [200] * 20
