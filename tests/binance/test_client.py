"""Signed requests: what goes over the wire, the clock, typed errors. ``responses`` shows the wire."""

from __future__ import annotations

import json
import os
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import responses

from leverage_nb.binance.client import RestClient
from leverage_nb.binance.credentials import Credentials
from leverage_nb.binance.http import SentTooLate
from leverage_nb.binance.signing import append_hmac
from leverage_nb.binance.venues import VENUES
from leverage_nb.errors import InvalidInput, LeverageError, RateLimited, RequestRefused, UnexpectedAnswer
from leverage_nb.simulator import Simulator

BASE = "https://demo-fapi.binance.com"
SECRET = "s" * 64
LATE = {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}


@pytest.fixture
def client() -> RestClient:
    """A testnet client with a key of its own."""
    return RestClient(VENUES["testnet"], Credentials("k" * 64, SECRET), recv_window=4000)


@responses.activate
def test_a_signed_read(client: RestClient) -> None:
    """A GET carries everything in the query, signed as sent, with the key in its header."""
    responses.get(f"{BASE}/fapi/v1/symbolConfig", json=[])
    client.read("/fapi/v1/symbolConfig", [("symbol", "币安人生USDT")])
    request = responses.calls[0].request
    query = urlsplit(str(request.url)).query
    payload, _, signature = query.rpartition("&signature=")
    assert append_hmac(payload, SECRET) == query
    assert payload.startswith("symbol=%E5%B8%81%E5%AE%89%E4%BA%BA%E7%94%9FUSDT&recvWindow=4000&timestamp=")
    assert abs(int(parse_qs(payload)["timestamp"][0]) - time.time() * 1000) < 5_000
    assert len(signature) == 64
    assert request.headers["X-MBX-APIKEY"] == "k" * 64
    assert "Cookie" not in request.headers


@responses.activate
def test_a_signed_post(client: RestClient) -> None:
    """A POST carries everything in the form body and nothing in the URL."""
    responses.post(f"{BASE}/fapi/v1/leverage", json={})
    client.post("/fapi/v1/leverage", [("symbol", "BTCUSDT"), ("leverage", 10)])
    request = responses.calls[0].request
    assert request.url == f"{BASE}/fapi/v1/leverage"
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    body = str(request.body)
    assert body.startswith("symbol=BTCUSDT&leverage=10&recvWindow=4000&timestamp=")
    assert append_hmac(body.rpartition("&signature=")[0], SECRET) == body


@responses.activate
def test_an_unsigned_read_carries_no_key(client: RestClient) -> None:
    """Public reads name no key and have no signature."""
    responses.get(f"{BASE}/fapi/v1/time", json={"serverTime": 1})
    client.read("/fapi/v1/time", signed=False)
    assert "X-MBX-APIKEY" not in responses.calls[0].request.headers
    assert "signature" not in str(responses.calls[0].request.url)


@responses.activate
def test_reads_compare_clocks_on_1021_and_sign_anew_once(client: RestClient) -> None:
    """On -1021 a read learns the exchange's time and is signed with it; a second -1021 is raised."""
    ahead = int(time.time() * 1000) + 600_000
    responses.get(f"{BASE}/fapi/v1/time", json={"serverTime": ahead})
    responses.get(f"{BASE}/fapi/v1/symbolConfig", json=LATE, status=400)
    responses.get(f"{BASE}/fapi/v1/symbolConfig", json=[])
    client.read("/fapi/v1/symbolConfig")
    stamps = [parse_qs(urlsplit(str(call.request.url)).query).get("timestamp", ["0"])[0] for call in responses.calls]
    assert [urlsplit(str(call.request.url)).path[-6:] for call in responses.calls] == ["Config", "1/time", "Config"]
    assert abs(int(stamps[2]) - ahead) < 5_000

    responses.replace(responses.GET, f"{BASE}/fapi/v1/symbolConfig", json=LATE, status=400)
    with pytest.raises(RequestRefused) as caught:
        client.read("/fapi/v1/symbolConfig")
    assert caught.value.code == -1021
    assert len(responses.calls) == 6


@responses.activate
def test_a_post_is_never_sent_twice(client: RestClient) -> None:
    """On -1021 a POST is handed back, not resent, and nothing else is requested; the caller compares the clocks."""
    ahead = int(time.time() * 1000) + 600_000
    responses.get(f"{BASE}/fapi/v1/time", json={"serverTime": ahead})
    responses.post(f"{BASE}/fapi/v1/leverage", json=LATE, status=400)
    assert client.post("/fapi/v1/leverage", [("symbol", "BTCUSDT")]).status == 400
    assert [call.request.method for call in responses.calls] == ["POST"]
    client.compare_clocks()
    client.post("/fapi/v1/leverage", [("symbol", "BTCUSDT")])
    assert abs(int(parse_qs(str(responses.calls[2].request.body))["timestamp"][0]) - ahead) < 5_000


@responses.activate
@pytest.mark.parametrize("difference", [10**17, -(10**17), 1e30, 3_600_000, -3_600_000])
def test_an_implausible_server_time_is_refused(client: RestClient, difference: float) -> None:
    """A time more than 15 minutes from this machine's is refused, and nothing is signed with it."""
    now = int(time.time() * 1000)
    responses.get(f"{BASE}/fapi/v1/time", json={"serverTime": now + difference})
    responses.get(f"{BASE}/fapi/v1/symbolConfig", json=LATE, status=400)
    with pytest.raises(UnexpectedAnswer):
        client.compare_clocks()
    with pytest.raises(UnexpectedAnswer):
        client.read("/fapi/v1/symbolConfig")
    assert abs(client.time_ms() - now) < 5_000
    assert client.clock_offset_ms == 0


@responses.activate
def test_a_reply_says_when_its_request_was_sent(client: RestClient) -> None:
    """The time of a read is the one at which its last attempt was signed, by both clocks."""
    responses.get(f"{BASE}/fapi/v1/symbolConfig", status=503)
    responses.get(f"{BASE}/fapi/v1/symbolConfig", json=[])
    before = time.monotonic()
    reply = client.read_reply("/fapi/v1/symbolConfig")
    assert before + 0.04 < reply.sent <= time.monotonic()  # after the pause between the two
    assert abs(reply.sent_at.timestamp() - time.time()) < 5


@responses.activate
def test_what_stops_a_post_stops_it(client: RestClient) -> None:
    """What the caller's own stamp raises, as the last thing before it leaves, is raised, and nothing is sent."""

    def stamp() -> int:
        raise SentTooLate("The setting was read too long ago.")

    responses.post(f"{BASE}/fapi/v1/leverage", json={})
    with pytest.raises(SentTooLate):
        client.post("/fapi/v1/leverage", [("symbol", "BTCUSDT")], stamp)
    assert len(responses.calls) == 0
    client.post("/fapi/v1/leverage", [("symbol", "BTCUSDT")], lambda: 1_700_000_000_000)
    assert "timestamp=1700000000000&" in str(responses.calls[0].request.body)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # that threads are running is the point
def test_a_forked_process_does_not_share_connections(simulator: Simulator) -> None:
    """A forked process sends nothing on the parent's connections: each would read the other's answer."""
    venue = VENUES["simulator"].at(simulator.rest_url)
    client = RestClient(venue, Credentials(simulator.api_key, simulator.api_secret))
    client.read("/fapi/v1/symbolConfig")
    child = os.fork()
    if child == 0:
        try:
            client.read("/fapi/v1/symbolConfig")
        except InvalidInput as mistake:
            os._exit(0 if "opened in another process" in mistake.message else 2)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert b"BTCUSDT" in client.read("/fapi/v1/symbolConfig")
    client.close()


@pytest.mark.parametrize(
    ("status", "body", "kind", "code", "words"),
    [
        (400, {"code": -1121, "msg": "Invalid symbol."}, RequestRefused, -1121, "“Invalid symbol.” (-1121)"),
        (401, {"code": -2015, "msg": "Invalid API-key, request ip: 1.2.3.4"}, RequestRefused, -2015, "1.2.3.4"),
        (400, {"code": -9999, "msg": "New."}, RequestRefused, -9999, "“New.” (-9999)"),
        (200, {"code": -1000, "msg": "Odd."}, RequestRefused, -1000, "“Odd.”"),
        (429, {"code": -1003, "msg": "Too many requests."}, RateLimited, -1003, "Too many requests"),
        (418, {"code": -1003, "msg": "IP banned."}, RateLimited, -1003, "IP banned"),
        (451, {"code": 0, "msg": "Restricted location."}, RequestRefused, None, "(HTTP 451)"),
        (403, "<html>WAF</html>", RequestRefused, None, "HTTP 403"),
        (404, "<html>gone</html>", UnexpectedAnswer, None, "HTTP 404"),
        (502, "<html>bad gateway</html>", UnexpectedAnswer, None, "HTTP 502"),
        (503, {"msg": "Unknown error, please check your request or try again later."}, UnexpectedAnswer, None, "503"),
        (302, "", UnexpectedAnswer, None, "redirect"),
    ],
)
@responses.activate
def test_every_other_answer_is_a_typed_error(
    client: RestClient, status: int, body: Any, kind: type[LeverageError], code: int | None, words: str
) -> None:
    """Binance's code and words are kept, with what they mean and what to do."""
    text = body if isinstance(body, str) else json.dumps(body)
    responses.get(f"{BASE}/fapi/v1/symbolConfig", body=text, status=status)
    with pytest.raises(LeverageError) as caught:
        client.read("/fapi/v1/symbolConfig")
    assert type(caught.value) is kind
    assert caught.value.code == code
    assert caught.value.http_status == status
    assert words in caught.value.message
    assert caught.value.hint or code == -9999


def test_ten_minutes_of_clock_skew_are_survived() -> None:
    """Against the simulator with its clock ten minutes off, a read succeeds on its second signature."""
    for minutes in (-10, 10):
        with Simulator(clock=lambda m=minutes: time.time() + m * 60) as simulator:  # type: ignore[misc]
            venue = VENUES["simulator"].at(simulator.rest_url)
            client = RestClient(venue, Credentials(simulator.api_key, simulator.api_secret))
            assert b"BTCUSDT" in client.read("/fapi/v1/symbolConfig")
            client.close()


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0},
        {"timeout": 1e9},
        {"timeout": None},
        {"recv_window": 0},
        {"recv_window": 60_001},
        {"recv_window": 5000.5},
    ],
)
def test_limits_are_checked(options: dict[str, Any]) -> None:
    """A time budget or window that cannot be is refused at once."""
    with pytest.raises(InvalidInput):
        RestClient(VENUES["testnet"], Credentials("k", "s"), **options)


def test_debug_logs_hold_no_signature(simulator: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    """With every logger at its most talkative, no signature and no key is logged."""
    caplog.set_level(1)
    client = RestClient(
        VENUES["simulator"].at(simulator.rest_url), Credentials(simulator.api_key, simulator.api_secret)
    )
    client.read("/fapi/v1/symbolConfig", [("symbol", "BTCUSDT")])
    client.post("/fapi/v1/leverage", [("symbol", "BTCUSDT"), ("leverage", 11)])
    client.close()
    assert "symbolConfig" in caplog.text
    for secret in ("signature", simulator.api_key, simulator.api_secret):
        assert secret not in caplog.text
