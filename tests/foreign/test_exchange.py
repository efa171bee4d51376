"""The independent exchange itself: its margin types, its isolated margin and its history, also oddly answered."""

from __future__ import annotations

import hmac
from typing import Any
from urllib.parse import urlencode

import pytest
import requests

from tests.foreign.answers import ODD_HISTORIES, ODD_SUCCESSES, position
from tests.foreign.exchange import CONFIG, MARGIN, MARGIN_TYPE, MARGINS, ForeignExchange

# 1 ETH at 50,000 with 5,000 in its wallet, an initial margin of 4,000 and a maintenance margin of 240.
ETH = position(
    "ETHUSDT", entryPrice="50000", markPrice="50000", notional="50000", isolatedWallet="5000", isolatedMargin="5000",
    positionInitialMargin="4000",
)  # fmt: skip


def call(exchange: ForeignExchange, endpoint: str, **parameters: Any) -> Any:
    """Send a signed request; return the decoded answer."""
    method, path = endpoint.split()
    text = urlencode(parameters | {"timestamp": exchange.now_ms()})
    text += "&signature=" + hmac.new(exchange.api_secret.encode(), text.encode(), "sha256").hexdigest()
    headers = {"X-MBX-APIKEY": exchange.api_key}
    url = f"{exchange.url}{path}?{text}"
    return requests.request(method, url, headers=headers, timeout=5).json()


def margin(exchange: ForeignExchange, amount: object, kind: int = 1, **more: Any) -> Any:
    """Change the isolated margin of ETHUSDT."""
    return call(exchange, MARGIN, **({"symbol": "ETHUSDT", "amount": amount, "type": kind} | more))


def test_a_margin_type_changes(exchange: ForeignExchange) -> None:
    """A margin type changes and is shown; the same, one of a symbol with orders or a position, is refused."""
    exchange.positions, exchange.orders = [dict(ETH)], {"SOLUSDT"}
    done = call(exchange, MARGIN_TYPE, symbol="BTCUSDT", marginType="ISOLATED")
    assert done == {"code": 200, "msg": "success"}
    [row] = call(exchange, CONFIG, symbol="BTCUSDT")
    assert row["marginType"] == "ISOLATED"
    refused = [("BTCUSDT", "ISOLATED"), ("SOLUSDT", "ISOLATED"), ("ETHUSDT", "CROSSED"), ("BTCUSDT", "HALF")]
    codes = [call(exchange, MARGIN_TYPE, symbol=symbol, marginType=kind)["code"] for symbol, kind in refused]
    assert codes == [-4046, -4047, -4048, -1130]
    assert [(symbol, kind) for _, symbol, kind in exchange.types_executed] == [("BTCUSDT", "ISOLATED")]


def test_isolated_margin_changes(exchange: ForeignExchange) -> None:
    """Margin moves between wallet and position with the liquidation price, (50,000 - 5,100) / 0.996 = 45,080.32."""
    exchange.positions = [dict(ETH)]
    assert margin(exchange, 100)["amount"] == 100.0
    [row] = exchange.positions
    assert (row["isolatedWallet"], row["liquidationPrice"][:8]) == ("5100", "45080.32")
    assert str(exchange.cross_wallet) == "99900.0"
    assert margin(exchange, 100, 2)["type"] == 2
    rows = call(exchange, MARGINS, symbol="ETHUSDT")
    assert [(row["type"], row["amount"]) for row in rows] == [(1, "100"), (2, "-100")]


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"amount": 0}, -4055), ({"amount": "ten"}, -1102), ({"type": 3}, -1102), ({"symbol": "BTCUSDT"}, -4049),
        ({"positionSide": "LONG"}, -4054), ({"positionSide": "LONG", "type": 2}, -4051), ({"amount": 100_001}, -4050),
        ({"amount": "1000.00000001", "type": 2}, -4051),
    ],
)  # fmt: skip
def test_refusals_of_isolated_margin(exchange: ForeignExchange, given: dict[str, Any], code: int) -> None:
    """A change that is not possible has its code, and moves nothing."""
    exchange.positions = [dict(ETH)]
    assert call(exchange, MARGIN, **({"symbol": "ETHUSDT", "amount": 1, "type": 1} | given))["code"] == code
    assert (exchange.positions, exchange.margins) == ([ETH], [])


@pytest.mark.parametrize("name", ODD_SUCCESSES)
def test_odd_successes_are_executed(exchange: ForeignExchange, name: str) -> None:
    """A change is executed whatever its answer looks like, and the answer is not the documented one."""
    exchange.positions = [dict(ETH)]
    exchange.play(MARGIN, edit=ODD_SUCCESSES[name])
    documented = {"code": 200, "msg": "Successfully modify position margin.", "amount": 100.0, "type": 1}
    assert margin(exchange, 100) != documented
    assert exchange.positions[0]["isolatedWallet"] == "5100"


@pytest.mark.parametrize("name", ODD_HISTORIES)
def test_odd_histories_differ(exchange: ForeignExchange, name: str) -> None:
    """Every edit of the history shows other rows than the documented ones."""
    exchange.positions = [dict(ETH)]
    exchange.move_margin("ETHUSDT", "100")
    exchange.move_margin("ETHUSDT", "-50")
    exchange.play(MARGINS, edit=ODD_HISTORIES[name])
    odd, plain = (call(exchange, MARGINS, symbol="ETHUSDT") for _ in range(2))
    assert odd != plain == exchange.margins
