"""Answers as faults alter them."""

from __future__ import annotations

import gzip
import html
import json
from typing import Any

import pytest
import requests

from leverage_nb.simulator import Simulator
from leverage_nb.simulator.altered import OVERSIZE
from tests.simulator.calling import LEVERAGE, MARGIN, MARGIN_TYPE, change, leverages, post_form, signed_call


def test_a_gateway_answers_what_does_not_reach_the_exchange(simulator: Simulator) -> None:
    """A fault that keeps the true answer gives a 502 if the request does not reach the exchange."""
    simulator.inject("late_answer", seconds=0, executed=False)
    assert requests.post(simulator.rest_url + "/fapi/v1/leverage", data="", timeout=30).status_code == 502


@pytest.mark.parametrize("executed", [True, False])
@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("wrong_leverage", {"symbol": "XRPUSDT", "leverage": 11}),
        ("wrong_symbol", {"symbol": "ETHUSDT", "leverage": 10}),
        ("code_beside_target", {"symbol": "XRPUSDT", "leverage": 10, "code": -4161}),
    ],
)
def test_a_success_with_other_values(simulator: Simulator, name: str, named: dict[str, Any], executed: bool) -> None:
    """A 200 names another value, or an error beside the target, whether or not the change was executed."""
    simulator.inject(name, executed=executed)
    answer = change(simulator)
    assert isinstance(answer, tuple)
    status, content = answer
    del content["maxNotionalValue"]
    assert (status, content) == (200, named)


@pytest.mark.parametrize("executed", [True, False])
@pytest.mark.parametrize(
    ("name", "named"), [("wrong_leverage", {"code": 200, "amount": 101}), ("code_beside_target", {"code": -4161})]
)
def test_a_success_with_another_amount(simulator: Simulator, name: str, named: dict[str, Any], executed: bool) -> None:
    """A 200 to a change of isolated margin names another amount, or an error beside the requested one."""
    simulator.inject(name, executed=executed)
    status, content = signed_call(simulator, "POST", MARGIN, symbol="ETHUSDT", amount=100, type=2)
    wanted = {"code": 200, "amount": 100, "type": 2, "msg": "Successfully modify position margin."}
    assert (status, content) == (200, wanted | named)
    assert len(simulator.exchange.executed) == executed


@pytest.mark.parametrize("executed", [True, False])
def test_a_margin_type_beside_a_code(simulator: Simulator, executed: bool) -> None:
    """A 200 to a change of margin type has an error code, whether or not the change was executed."""
    simulator.inject("code_beside_target", executed=executed)
    answer = signed_call(simulator, "POST", MARGIN_TYPE, symbol="BNBUSDT", marginType="ISOLATED")
    assert answer == (200, {"code": -4161, "msg": "success"})
    assert len(simulator.exchange.executed) == executed


def test_a_refusal_stays_a_refusal(simulator: Simulator) -> None:
    """A fault that alters a success leaves a refusal by the exchange's own rules unchanged."""
    simulator.inject("code_beside_target", executed=True)
    assert signed_call(simulator, "POST", LEVERAGE, symbol="XRPUSDT", leverage=500)[1]["code"] == -4028
    assert simulator.exchange.executed == []


def test_a_list_omits_a_symbol(simulator: Simulator) -> None:
    """The given symbol, the request's own, or a random one is missing from a list; other answers are unchanged."""
    everything = set(simulator.exchange.market.symbols)
    simulator.inject("missing_symbol", symbol="XRPUSDT")
    assert everything - leverages(simulator).keys() == {"XRPUSDT"}
    simulator.inject("missing_symbol")
    assert leverages(simulator, symbol="XRPUSDT") == {}
    simulator.inject("missing_symbol")
    assert len(everything - leverages(simulator).keys()) == 1
    simulator.inject("missing_symbol", on="GET /fapi/v1/exchangeInfo", symbol="哈基米USDT")
    listed = requests.get(simulator.rest_url + "/fapi/v1/exchangeInfo", timeout=30).json()["symbols"]
    assert everything - {row["symbol"] for row in listed} == {"哈基米USDT"}
    simulator.inject("missing_symbol", on="* *")
    assert "serverTime" in requests.get(simulator.rest_url + "/fapi/v1/time", timeout=30).json()


@pytest.mark.parametrize(
    ("name", "sent", "coding"),
    [("gzip_bomb", 100_000, "gzip"), ("gzip_twice", 2_000, "gzip, gzip"), ("oversized", 2 * OVERSIZE, None)],
)
def test_oversized_answers(simulator: Simulator, name: str, sent: int, coding: str | None) -> None:
    """A small answer is large after decompression, or a large one has no stated length; both are the true answer."""
    simulator.inject(name, on="GET /fapi/v1/ping")
    response = requests.get(simulator.rest_url + "/fapi/v1/ping", timeout=30, stream=True)
    body = response.raw.read(decode_content=False)
    assert response.headers.get("Content-Encoding") == coding
    assert ("Content-Length" in response.headers) == (name != "oversized")
    assert len(body) < sent
    for _ in filter(None, (coding or "").split(", ")):
        body = gzip.decompress(body)
    assert len(body) > OVERSIZE
    assert json.loads(body) == {}


@pytest.mark.parametrize("name", ["echo", "echo_json"])
def test_an_error_repeats_the_request(simulator: Simulator, name: str) -> None:
    """The answer contains key, signature and body, as sent and in other spellings."""
    simulator.inject(name)
    response = post_form(simulator)
    form = str(response.request.body)
    assert response.status_code >= 500
    text = html.unescape(response.text) if name == "echo" else response.json()["msg"]
    assert form in text
    assert simulator.api_key in text
    assert form.upper() in text
