"""Admission of requests: key, signature, timestamp, weight."""

from __future__ import annotations

import time

import pytest
import requests

from leverage_nb.simulator import Simulator
from tests.simulator.calling import CONFIG, Call, signature, signed_call


def get(simulator: Simulator, query: str, key: str | None = None) -> tuple[int, int]:
    """Request symbolConfig with a query as given; return status and code."""
    headers = {"X-MBX-APIKEY": simulator.api_key if key is None else key}
    response = requests.get(f"{simulator.rest_url}{CONFIG}?{query}", headers=headers, timeout=30)
    return response.status_code, response.json().get("code") if response.status_code != 200 else 0


def test_the_tests_sign_as_binance_documents() -> None:
    """The signature of these tests reproduces Binance's documented HMAC example."""
    secret = "2b5eb11e18796d12d88f13dc27dbbd02c2cc51ff7059765ed9821957d82bb4d9"
    text = (
        "symbol=BTCUSDT&side=BUY&type=LIMIT&quantity=1&price=9000&timeInForce=GTC"
        "&recvWindow=5000&timestamp=1591702613943"
    )
    assert signature(secret, text) == "3c661234138461fcc7a7d8746c6558c9842d4e10870d2ecbedf7777cad694af9"


def test_keys(simulator: Simulator) -> None:
    """A missing or malformed key is -2014, an unknown key -2015; both are HTTP 401."""
    assert requests.get(simulator.rest_url + CONFIG, timeout=30).json()["code"] == -2014
    assert get(simulator, "timestamp=1&signature=x", key="short") == (401, -2014)
    assert get(simulator, "timestamp=1&signature=x", key="a" * 64) == (401, -2015)


def test_signatures(simulator: Simulator) -> None:
    """A missing signature is -1102 and a wrong one -1022; hex digits of either case are accepted."""
    now = int(time.time() * 1000)
    good = signature(simulator.api_secret, f"timestamp={now}")
    assert get(simulator, f"timestamp={now}") == (400, -1102)
    assert get(simulator, f"timestamp={now}&signature={good[::-1]}") == (400, -1022)
    assert get(simulator, f"timestamp={now}&signature={good.upper()}") == (200, 0)
    assert get(simulator, f"timestamp={now + 1}&signature={good}") == (400, -1022)


def test_query_and_body_are_signed_as_one_text(simulator: Simulator) -> None:
    """The signed text is the query followed directly by the body, as in Binance's mixed example."""
    query, body = "symbol=BTCUSDT&leverage=11", f"timestamp={int(time.time() * 1000)}"
    sign = signature(simulator.api_secret, query + body)
    response = requests.post(
        f"{simulator.rest_url}/fapi/v1/leverage?{query}",
        data=f"{body}&signature={sign}",
        headers={"X-MBX-APIKEY": simulator.api_key, "Content-Type": "application/x-www-form-urlencoded"},
        timeout=30,
    )
    assert response.json()["leverage"] == 11


@pytest.mark.parametrize(("age", "window", "code"), [
    (0, 5000, 0), (4_000, 5000, 0), (6_000, 5000, -1021), (6_000, 60_000, 0), (-500, 5000, 0), (-1_500, 5000, -1021),
])  # fmt: skip
def test_timestamps(simulator: Simulator, age: int, window: int, code: int) -> None:
    """A request is accepted if it is at most recvWindow old and less than a second ahead."""
    moment = int(time.time() * 1000) - age
    status, body = signed_call(simulator, "GET", CONFIG, recvWindow=window, timestamp=moment)
    assert (status, body["code"] if code else 0) == (400 if code else 200, code)


def test_malformed_timestamps(call: Call) -> None:
    """A timestamp that is not a number is -1100; an empty one is -1102."""
    assert call("GET", CONFIG, timestamp="noon")[1]["code"] == -1100
    assert call("GET", CONFIG, timestamp="")[1]["code"] == -1102


def test_a_parameter_given_twice_is_refused(simulator: Simulator) -> None:
    """A parameter that occurs twice is -1101."""
    assert get(simulator, "timestamp=1&timestamp=2&signature=x") == (400, -1101)


def test_weight_is_counted_and_limited() -> None:
    """Every answer names the weight used in the current minute; above the limit it is 429 with -1003."""
    now = [1_700_000_000.0]
    with Simulator(weight_limit=12, clock=lambda: now[0]) as simulator:
        url = simulator.rest_url + "/fapi/v1/premiumIndex"
        assert requests.get(url, params={"symbol": "BTCUSDT"}, timeout=30).headers["X-MBX-USED-WEIGHT-1M"] == "1"
        assert requests.get(url, timeout=30).headers["X-MBX-USED-WEIGHT-1M"] == "11"
        over = requests.get(url, timeout=30)
        assert (over.status_code, over.json()["code"]) == (429, -1003)
        now[0] += 60
        assert requests.get(url, timeout=30).status_code == 200


def test_parameters_are_few_and_short(simulator: Simulator) -> None:
    """More than 64 parameters are -1104, and a name or value of more than 2,048 characters is -1130."""
    assert get(simulator, "&".join(f"p{n}=1" for n in range(64))) == (400, -1102)
    assert get(simulator, "&".join(f"p{n}=1" for n in range(65))) == (400, -1104)
    assert get(simulator, "symbol=" + "X" * 2048) == (400, -1102)
    assert get(simulator, "symbol=" + "X" * 2049) == (400, -1130)
    assert get(simulator, "X" * 2049 + "=1") == (400, -1130)
