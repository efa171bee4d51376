"""Signed requests: what is sent, the clock, retries of reads, the rate limit, typed errors."""

from __future__ import annotations

import json
import os
import time
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import responses

from leverage_nb import interrupts
from leverage_nb.binance.client import RestClient
from leverage_nb.binance.credentials import Credentials
from leverage_nb.binance.endpoints import (
    EXTEND_LISTEN_KEY,
    LEVERAGE,
    OPEN_LISTEN_KEY,
    SERVER_TIME,
    SYMBOL_CONFIG,
    Endpoint,
)
from leverage_nb.binance.http import SentTooLate
from leverage_nb.binance.rate_limit import Limiter
from leverage_nb.binance.signing import append_hmac
from leverage_nb.binance.venues import VENUES
from leverage_nb.errors import (
    ForkedProcess,
    InvalidInput,
    LeverageError,
    LoggedOut,
    NoAnswer,
    NotConnected,
    RateLimited,
    ReadOnly,
    RequestRefused,
    UnexpectedAnswer,
)
from leverage_nb.formatting import moment
from leverage_nb.simulator import Simulator
from tests.binance.sending import client_of, unused_port

BASE = "https://demo-fapi.binance.com"
SECRET = "s" * 64
LATE = {"code": -1021, "msg": "Timestamp for this request is outside of the recvWindow."}


@pytest.fixture
def client() -> RestClient:
    """A testnet client."""
    return RestClient(VENUES["testnet"], Credentials("k" * 64, SECRET), recv_window=4000)


@responses.activate
def test_a_signed_read(client: RestClient) -> None:
    """A GET request has all parameters in the query, signed as they are sent, and the key in a header."""
    responses.get(f"{BASE}/fapi/v1/symbolConfig", json=[])
    client.read(SYMBOL_CONFIG, [("symbol", "币安人生USDT")])
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
    """A POST request has all parameters in the form body and none in the URL."""
    responses.post(f"{BASE}/fapi/v1/leverage", json={})
    client.post(LEVERAGE, [("symbol", "BTCUSDT"), ("leverage", 10)])
    request = responses.calls[0].request
    assert request.url == f"{BASE}/fapi/v1/leverage"
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    body = str(request.body)
    assert body.startswith("symbol=BTCUSDT&leverage=10&recvWindow=4000&timestamp=")
    assert append_hmac(body.rpartition("&signature=")[0], SECRET) == body


@responses.activate
def test_an_unsigned_read_carries_no_key(client: RestClient) -> None:
    """Public reads have no key and no signature."""
    responses.get(f"{BASE}/fapi/v1/time", json={"serverTime": 1})
    client.read(SERVER_TIME)
    assert "X-MBX-APIKEY" not in responses.calls[0].request.headers
    assert "signature" not in str(responses.calls[0].request.url)


@responses.activate
def test_after_1021_a_read_compares_the_clocks_and_is_repeated_once(client: RestClient) -> None:
    """After -1021 a read is signed again with the exchange's time; a second -1021 is raised."""
    ahead = int(time.time() * 1000) + 600_000
    responses.get(f"{BASE}/fapi/v1/time", json={"serverTime": ahead})
    responses.get(f"{BASE}/fapi/v1/symbolConfig", json=LATE, status=400)
    responses.get(f"{BASE}/fapi/v1/symbolConfig", json=[])
    client.read(SYMBOL_CONFIG)
    stamps = [parse_qs(urlsplit(str(call.request.url)).query).get("timestamp", ["0"])[0] for call in responses.calls]
    assert [urlsplit(str(call.request.url)).path[-6:] for call in responses.calls] == ["Config", "1/time", "Config"]
    assert abs(int(stamps[2]) - ahead) < 5_000

    responses.replace(responses.GET, f"{BASE}/fapi/v1/symbolConfig", json=LATE, status=400)
    with pytest.raises(RequestRefused) as caught:
        client.read(SYMBOL_CONFIG)
    assert caught.value.code == -1021
    assert len(responses.calls) == 6


@responses.activate
def test_a_post_is_never_sent_twice(client: RestClient) -> None:
    """The answer -1021 to a POST is returned; nothing is sent again, and the caller compares the clocks."""
    ahead = int(time.time() * 1000) + 600_000
    responses.get(f"{BASE}/fapi/v1/time", json={"serverTime": ahead})
    responses.post(f"{BASE}/fapi/v1/leverage", json=LATE, status=400)
    assert client.post(LEVERAGE, [("symbol", "BTCUSDT")]).status == 400
    assert [call.request.url for call in responses.calls] == [f"{BASE}/fapi/v1/leverage"]
    client.compare_clocks()
    client.post(LEVERAGE, [("symbol", "BTCUSDT")])
    assert abs(int(parse_qs(str(responses.calls[2].request.body))["timestamp"][0]) - ahead) < 5_000


def test_time_follows_the_given_clock() -> None:
    """A client with a clock of its own stamps requests with the time of that clock."""
    client = RestClient(VENUES["testnet"], Credentials("k", "s"), clock=lambda: 1_700_000_000.5)
    assert client.time_ms() == 1_700_000_000_500


@responses.activate
@pytest.mark.parametrize("difference", [10**17, -(10**17), 1e30, 3_600_000, -3_600_000])
def test_an_implausible_server_time_is_refused(client: RestClient, difference: float) -> None:
    """A server time that differs by more than 15 minutes is an error, and nothing is signed with it."""
    now = int(time.time() * 1000)
    responses.get(f"{BASE}/fapi/v1/time", json={"serverTime": now + difference})
    responses.get(f"{BASE}/fapi/v1/symbolConfig", json=LATE, status=400)
    with pytest.raises(UnexpectedAnswer):
        client.compare_clocks()
    with pytest.raises(UnexpectedAnswer):
        client.read(SYMBOL_CONFIG)
    assert abs(client.time_ms() - now) < 5_000
    assert client.clock_offset_ms == 0


@responses.activate
def test_a_reply_has_the_time_at_which_its_request_was_sent(client: RestClient) -> None:
    """The time of a reply is that of the signature of its last attempt, by both clocks."""
    responses.get(f"{BASE}/fapi/v1/symbolConfig", status=503)
    responses.get(f"{BASE}/fapi/v1/symbolConfig", json=[])
    before = time.monotonic()
    reply = client.read_reply(SYMBOL_CONFIG)
    assert before + 0.04 < reply.sent <= time.monotonic()  # after the pause between the two
    assert abs(reply.sent_at.timestamp() - time.time()) < 5


@responses.activate
def test_an_error_in_stamp_stops_the_post(client: RestClient) -> None:
    """An exception of the caller's stamp, called immediately before sending, is raised, and nothing is sent."""

    def stamp() -> int:
        raise SentTooLate("The setting was read too long ago.")

    responses.post(f"{BASE}/fapi/v1/leverage", json={})
    with pytest.raises(SentTooLate):
        client.post(LEVERAGE, [("symbol", "BTCUSDT")], stamp)
    assert len(responses.calls) == 0
    client.post(LEVERAGE, [("symbol", "BTCUSDT")], lambda: 1_700_000_000_000)
    assert "timestamp=1700000000000&" in str(responses.calls[0].request.body)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # threads are running on purpose
def test_a_client_refuses_to_work_in_a_forked_process(simulator: Simulator) -> None:
    """In a forked process a client raises ForkedProcess, and may be closed; the parent's client still works."""
    client = client_of(simulator)
    client.read(SYMBOL_CONFIG)
    child = os.fork()
    if child == 0:
        try:
            client.read(SYMBOL_CONFIG)
        except ForkedProcess as error:
            client.close()
            os._exit(0 if "opened in another process" in error.message else 2)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert b"BTCUSDT" in client.read(SYMBOL_CONFIG)
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
def test_every_answer_but_a_success_is_a_typed_error(
    client: RestClient, status: int, body: Any, kind: type[LeverageError], code: int | None, words: str
) -> None:
    """An error keeps Binance's code and message, and adds the meaning and the next step."""
    text = body if isinstance(body, str) else json.dumps(body)
    responses.get(f"{BASE}/fapi/v1/symbolConfig", body=text, status=status)
    with pytest.raises(LeverageError) as caught:
        client.read(SYMBOL_CONFIG)
    assert type(caught.value) is kind
    assert caught.value.code == code
    assert caught.value.http_status == status
    assert words in caught.value.message
    assert caught.value.hint or code == -9999


def test_reads_work_with_ten_minutes_of_clock_difference() -> None:
    """If the exchange's clock differs by ten minutes, a read succeeds with its second signature."""
    for minutes in (-10, 10):
        with Simulator(clock=lambda m=minutes: time.time() + m * 60) as simulator:  # type: ignore[misc]
            client = client_of(simulator)
            assert b"BTCUSDT" in client.read(SYMBOL_CONFIG)
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
        {"weight_share": 0},
        {"weight_share": 1.5},
        {"grace": -1},
        {"grace": float("nan")},
        {"grace": 61},
    ],
)
def test_arguments_out_of_range_are_refused(options: dict[str, Any]) -> None:
    """A time-out, window or share out of range is refused at once."""
    with pytest.raises(InvalidInput):
        RestClient(VENUES["testnet"], Credentials("k", "s"), **options)


def test_debug_logs_hold_no_signature(simulator: Simulator, caplog: pytest.LogCaptureFixture) -> None:
    """With all loggers at their lowest level, neither a signature nor a key is logged."""
    caplog.set_level(1)
    client = client_of(simulator)
    client.read(SYMBOL_CONFIG, [("symbol", "BTCUSDT")])
    client.post(LEVERAGE, [("symbol", "BTCUSDT"), ("leverage", 11)])
    client.close()
    assert "symbolConfig" in caplog.text
    for secret in ("signature", simulator.api_key, simulator.api_secret):
        assert secret not in caplog.text


# -- retries of reads ----------------------------------------------------------------------------------------------


def answered_at(*answers: tuple[int, str]) -> list[float]:
    """Let the next reads of the settings be answered in turn; return a list that gets the time of each request."""
    times: list[float] = []
    turns = iter(answers)

    def answer(request: Any) -> Any:
        times.append(time.monotonic())
        status, body = next(turns)
        return status, {}, body

    responses.add_callback("GET", f"{BASE}/fapi/v1/symbolConfig", answer)
    return times


@responses.activate
def test_a_read_that_fails_in_passing_is_repeated_after_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read is repeated once per pause; each pause varies by half."""
    pauses, made = (1.0, 2.0, 0.5), list[float]()
    monkeypatch.setattr(interrupts, "pause", made.append)
    client = RestClient(VENUES["testnet"], Credentials("k", "s"), retry_pauses=pauses)
    times = answered_at((502, ""), (503, ""), (408, ""), (200, "[]"))
    assert client.read(SYMBOL_CONFIG) == b"[]"
    assert len(times) == 4
    assert all(0.5 * pause <= seconds <= 1.5 * pause for pause, seconds in zip(pauses, made, strict=True))
    assert made != list(pauses)


@responses.activate
def test_a_read_is_repeated_no_more_often_than_there_are_pauses() -> None:
    """After the last pause the last error is raised."""
    client = RestClient(VENUES["testnet"], Credentials("k", "s"), retry_pauses=(0.0, 0.0))
    times = answered_at((502, ""), (502, ""), (503, ""), (200, "[]"))
    with pytest.raises(UnexpectedAnswer, match="HTTP 503"):
        client.read(SYMBOL_CONFIG)
    assert len(times) == 3


@responses.activate
def test_a_definite_refusal_of_a_read_is_raised_at_once(client: RestClient) -> None:
    """A refusal that does not pass is not repeated."""
    times = answered_at((451, "{}"), (200, "[]"))
    with pytest.raises(RequestRefused, match="451"):
        client.read(SYMBOL_CONFIG)
    assert len(times) == 1


def test_repetitions_keep_the_time_out(simulator: Simulator) -> None:
    """All attempts of a read together take no longer than the time-out."""
    simulator.inject("stall", on="GET /fapi/v1/symbolConfig", times=None)
    started = time.monotonic()
    with pytest.raises(NoAnswer):
        client_of(simulator, timeout=1.0).read(SYMBOL_CONFIG)
    assert time.monotonic() - started < 4  # each attempt for itself would take 1 s, and the pauses 1 s


# -- the rate limit ------------------------------------------------------------------------------------------------


def test_a_request_that_did_not_leave_uses_no_weight() -> None:
    """Refused connections do not count against the share."""
    limiter = Limiter(limit=10)
    venue = VENUES["simulator"].at(f"http://127.0.0.1:{unused_port()}")
    client = RestClient(venue, Credentials("k", "s"), weight_share=1.0, limiter=limiter, retry_pauses=(0.0, 0.0))
    with pytest.raises(NotConnected):
        client.read(SYMBOL_CONFIG)
    assert limiter.wait_for(10) == 0


def test_a_closed_client_that_is_used_again_keeps_its_share(simulator: Simulator) -> None:
    """The share applies to what a closed client sends, and no longer to others."""
    limiter = Limiter(limit=100)
    client = client_of(simulator, limiter=limiter, weight_share=0.09, retry_pauses=())
    client.close()
    client.read(SYMBOL_CONFIG)
    with pytest.raises(RateLimited, match="its share of the rate limit, 9 of 100"):
        client.read(SYMBOL_CONFIG)
    assert limiter.wait_for(95) == 0


@pytest.mark.parametrize(("fault", "status"), [("rate_limited_for", 429), ("banned", 418)])
def test_after_a_429_or_418_nothing_is_sent_until_the_time_named(simulator: Simulator, fault: str, status: int) -> None:
    """The error names the time of day; until then every request is stopped on this machine."""
    client = client_of(simulator, limiter=Limiter(shortest_ban=0.5))
    client.read(SERVER_TIME)
    simulator.inject(fault, on="GET /fapi/v1/symbolConfig", seconds=2)
    with pytest.raises(RateLimited) as caught:
        client.read(SYMBOL_CONFIG)
    assert caught.value.http_status == status
    until = client.limiter.blocked_until
    assert until is not None
    assert f"Nothing more is sent before {moment(until)}" in caught.value.hint
    arrived: list[Any] = []
    simulator.exchange.note_arrival = arrived.append  # type: ignore[method-assign]  # records each request
    client.timeout = 0.3  # shorter than the ban
    with pytest.raises(RateLimited, match="the next request may leave at"):
        client.post(LEVERAGE, [("symbol", "BTCUSDT"), ("leverage", 10)])
    assert arrived == []
    client.timeout = 10.0  # the next one waits for the end of the ban
    assert client.post(LEVERAGE, [("symbol", "BTCUSDT"), ("leverage", 10)]).status == 200
    client.close()


def test_the_simulator_never_answers_429_to_its_share() -> None:
    """A loop that would exceed the limit is stopped at its share, with the time of the next request."""
    with Simulator(weight_limit=120) as simulator:
        client = client_of(simulator, timeout=2.0, limiter=Limiter(limit=120))
        for _ in range(12):
            client.read(SYMBOL_CONFIG)
        with pytest.raises(RateLimited, match="its share of the rate limit, 60 of 120 a minute; the next") as caught:
            client.read(SYMBOL_CONFIG)
        assert caught.value.http_status is None
        client.close()


@pytest.mark.parametrize("endpoint", [OPEN_LISTEN_KEY, EXTEND_LISTEN_KEY], ids=str)
def test_listen_key_requests_have_a_key_and_no_signature(endpoint: Endpoint, client: RestClient) -> None:
    """A listen key is opened and extended with the API key alone."""
    with responses.RequestsMock() as wire:
        wire.add(endpoint.method, f"{BASE}{endpoint.path}", json={"listenKey": "a-listen-key"})
        if endpoint is OPEN_LISTEN_KEY:
            assert client.open_listen_key() == "a-listen-key"
        else:
            assert client.extend_listen_key() == "a-listen-key"
        request = wire.calls[0].request
    assert request.headers["X-MBX-APIKEY"] == "k" * 64
    assert "signature" not in f"{request.url}{request.body}"


@responses.activate
def test_a_read_only_client_reads_and_never_posts() -> None:
    """A read-only client refuses a POST before it is signed or counted; its reads are sent."""
    client = RestClient(VENUES["testnet"], Credentials("k" * 64, SECRET), read_only=True, profile="sub1")
    responses.get(f"{BASE}/fapi/v1/symbolConfig", json=[])
    assert client.read(SYMBOL_CONFIG) == b"[]"
    with pytest.raises(ReadOnly) as caught:
        client.post(LEVERAGE, [("symbol", "BTCUSDT"), ("leverage", 10)], lambda: pytest.fail("it was stamped"))
    assert "lev.connect('testnet', profile='sub1')" in caught.value.hint
    assert len(responses.calls) == 1


def test_an_extension_may_name_no_key(client: RestClient) -> None:
    """A listen key is extended also if the answer is the empty object of older documentation."""
    with responses.RequestsMock() as wire:
        wire.add("PUT", f"{BASE}/fapi/v1/listenKey", json={})
        assert client.extend_listen_key() == ""


@responses.activate
def test_a_client_whose_key_was_removed_sends_nothing() -> None:
    """After a logout neither reads nor changes leave, and the error says how to connect again."""
    client = RestClient(VENUES["testnet"], Credentials("k" * 64, SECRET), profile="sub1")
    client.log_out()
    for send in (
        lambda: client.read(SYMBOL_CONFIG),
        lambda: client.post(LEVERAGE, [("symbol", "BTCUSDT"), ("leverage", 10)]),
        client.open_listen_key,
    ):
        with pytest.raises(LoggedOut, match="--logout removed the key of this account") as caught:
            send()
        assert "lev.connect('testnet', profile='sub1')" in caught.value.hint
    assert len(responses.calls) == 0
