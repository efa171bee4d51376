"""The endpoints: refusals, changes, and the user-data events."""

from __future__ import annotations

from typing import Any

import pytest

from leverage_nb.simulator import Simulator
from tests.simulator.calling import MARGIN_TYPE, Call, signed_call


@pytest.mark.parametrize(
    ("parameters", "status", "code", "text"),
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
def test_refusals_of_a_leverage(call: Call, parameters: dict[str, Any], status: int, code: int, text: str) -> None:
    """Each refusal has Binance's status, code and text, and changes nothing."""
    before = call("GET", "/fapi/v1/symbolConfig")[1]
    answered, body = call("POST", "/fapi/v1/leverage", **parameters)
    assert (answered, body["code"]) == (status, code)
    assert text in body["msg"]
    assert call("GET", "/fapi/v1/symbolConfig")[1] == before


def test_a_change_of_leverage(call: Call) -> None:
    """The answer names leverage (a number), max notional and symbol; symbolConfig shows every whole number in range."""
    for leverage, cap in ((21, "70000000"), (20, "100000000"), (100, "800000")):
        answer = call("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=leverage)
        assert answer == (200, {"leverage": leverage, "maxNotionalValue": cap, "symbol": "BTCUSDT"})
        assert call("GET", "/fapi/v1/symbolConfig", symbol="BTCUSDT")[1][0]["leverage"] == leverage
    assert call("POST", "/fapi/v1/leverage", symbol="哈基米USDT", leverage=1)[1]["symbol"] == "哈基米USDT"
    assert call("POST", "/fapi/v1/leverage", symbol="ETHUSDT", leverage=20)[0] == 200  # raising isolated is allowed


def test_changes_of_modes(call: Call) -> None:
    """Margin type, position mode and asset mode follow Binance's rules, with its codes."""
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


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"symbol": "BNBUSDT"}, -1102), ({"symbol": "BNBUSDT", "marginType": ""}, -1102),
        ({"marginType": "ISOLATED"}, -1102), ({"symbol": "FOO", "marginType": "ISOLATED"}, -1121),
        ({"symbol": "BNBUSDT", "marginType": "1.5"}, -1130), ({"symbol": "BNBUSDT", "marginType": "CROSS"}, -1130),
        ({"symbol": "BNBUSDT", "marginType": "isolated"}, -1130),
        ({"symbol": "BNBUSDT", "marginType": "ISOLATED "}, -1130),
    ],
)  # fmt: skip
def test_a_malformed_margin_type_is_refused(
    simulator: Simulator, call: Call, parameters: dict[str, Any], code: int
) -> None:
    """A missing, empty or odd margin type is refused with HTTP 400, and nothing changes."""
    status, body = call("POST", MARGIN_TYPE, **parameters)
    assert (status, body["code"]) == (400, code)
    assert simulator.exchange.executed == []


def test_a_change_of_margin_type_is_recorded_and_shown(simulator: Simulator, call: Call) -> None:
    """Records, symbolConfig, positionRisk and the event show a margin type; isAutoAddMargin stays false."""
    events: list[dict[str, Any]] = []
    simulator.exchange.subscribe(events.append)
    call("POST", MARGIN_TYPE, symbol="BNBUSDT", marginType="ISOLATED")
    [config] = call("GET", "/fapi/v1/symbolConfig", symbol="BNBUSDT")[1]
    [risk] = call("GET", "/fapi/v2/positionRisk", symbol="BNBUSDT")[1]
    assert (config["marginType"], config["isAutoAddMargin"]) == ("ISOLATED", False)
    assert (risk["marginType"], risk["isAutoAddMargin"]) == ("isolated", "false")
    simulator.exchange.change_elsewhere("BNBUSDT", margin_type="CROSSED")
    simulator.exchange.change_elsewhere("BTCUSDT", margin_type="ISOLATED")  # refused
    simulator.exchange.change_elsewhere("XRPUSDT", margin_type="HALF")  # refused
    assert [(event["a"]["m"], event["a"]["P"][0]["mt"]) for event in events] == [
        ("MARGIN_TYPE_CHANGE", "isolated"), ("MARGIN_TYPE_CHANGE", "cross"),
    ]  # fmt: skip
    runs = [(run.kind, run.symbol, run.before, run.after) for run in simulator.exchange.executed]
    assert runs == [
        ("margin type", "BNBUSDT", "CROSSED", "ISOLATED"), ("margin type", "BNBUSDT", "ISOLATED", "CROSSED"),
    ]  # fmt: skip
    [arrival] = simulator.exchange.arrivals
    assert (arrival.symbol, arrival.kind) == ("BNBUSDT", "margin type")
    assert [run.timestamp for run in simulator.exchange.executed] == [arrival.timestamp, None]


def test_the_code_for_the_same_margin_type_is_an_option() -> None:
    """The current margin type is refused with -4046, as an option with -4067 as reported, and no other code."""
    with Simulator(same_margin_type=-4067) as simulator:
        answer = signed_call(simulator, "POST", MARGIN_TYPE, symbol="BNBUSDT", marginType="CROSSED")
    assert answer == (400, {"code": -4067, "msg": "Position side cannot be changed if there exists open orders."})
    with pytest.raises(ValueError, match="-4046 or -4067"):
        Simulator(same_margin_type=-1)


def test_unknown_paths_and_methods(call: Call) -> None:
    """An unknown path or method is answered with 404 and -5000."""
    status, body = call("GET", "/fapi/v1/leverage")
    assert (status, body["code"]) == (404, -5000)


def test_changes_send_events(simulator: Simulator, call: Call) -> None:
    """Every change of a setting sends one event; a leverage that stays the same sends none."""
    events: list[dict[str, Any]] = []
    unsubscribe = simulator.exchange.subscribe(events.append)
    for leverage in (10, 10):
        call("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=leverage)
    call("POST", "/fapi/v1/marginType", symbol="BNBUSDT", marginType="ISOLATED")
    simulator.exchange.margin_call("ETHUSDT")
    unsubscribe()
    simulator.exchange.change_elsewhere("XRPUSDT", 10)
    assert [event["e"] for event in events] == ["ACCOUNT_CONFIG_UPDATE", "ACCOUNT_UPDATE", "MARGIN_CALL"]
    assert events[0]["ac"] == {"s": "BTCUSDT", "l": 10}
    assert events[1]["a"]["P"][0]["mt"] == "isolated"
    assert (events[2]["p"][0]["s"], events[2]["p"][0]["mt"]) == ("ETHUSDT", "ISOLATED")
