"""Faults on demand: each does what it says, whatever the client makes of it."""

from __future__ import annotations

import gzip
import html
import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import requests

from leverage_nb.simulator import Simulator
from leverage_nb.simulator.altered import OVERSIZE
from leverage_nb.simulator.faults import CHANGE, FOR_CHANGES, FOR_READS, KINDS, Course, Fault, Faults, parse_faults
from tests.simulator.conftest import signed_call

READ = "GET /fapi/v1/symbolConfig"

# Short enough for a test, long enough to be seen.
SECONDS = {
    "late_answer": 0.05,
    "late_execution": 0.1,
    "dripped": 0.0001,
    "restart": 0.05,
    "clock_skew": 0.2,  # within recvWindow: the exchange's own rules refuse nothing
    "clock_jump": 0.2,
}
CHOICES = [(name, executed) for name, kind in KINDS.items() for executed in kind.choices]


def post(simulator: Simulator, **more: Any) -> tuple[int, Any] | type[BaseException]:
    """A plain client's change of XRPUSDT to 10x: the answer, or what broke."""
    try:
        return signed_call(simulator, "POST", "/fapi/v1/leverage", symbol="XRPUSDT", leverage=10, **more)
    except (requests.RequestException, ValueError) as exc:
        return type(exc)


def settings(simulator: Simulator, **parameters: Any) -> dict[str, int]:
    """What symbolConfig says: the leverage of each symbol in its list."""
    status, rows = signed_call(simulator, "GET", "/fapi/v1/symbolConfig", **parameters)
    assert status == 200
    return {row["symbol"]: row["leverage"] for row in rows}


def leverage(simulator: Simulator) -> int:
    """What XRPUSDT really is at; it opens at 50."""
    return simulator.exchange.account.leverage("XRPUSDT")


def wait_for(condition: Callable[[], bool]) -> bool:
    """Wait at most five seconds for a condition."""
    give_up = time.monotonic() + 5
    while not condition() and time.monotonic() < give_up:
        time.sleep(0.005)
    return condition()


def send_and_forget(simulator: Simulator) -> None:
    """Send the change of XRPUSDT to 10x, and give up soon."""
    with suppress(requests.RequestException):
        response = requests.post(
            simulator.rest_url + "/fapi/v1/leverage",
            data=signed(simulator),
            headers=key(simulator),
            timeout=0.3,
            stream=True,
            allow_redirects=False,
        )
        response.close()


@pytest.mark.parametrize(("name", "executed"), CHOICES)
def test_the_books_tell_what_was_chosen(simulator: Simulator, name: str, executed: bool) -> None:
    """Whatever is answered: the books show a request as executed if that was chosen, and else only as received."""
    simulator.inject(name, on=CHANGE, seconds=SECONDS.get(name), executed=executed, leverage=33)
    send_and_forget(simulator)
    exchange = simulator.exchange
    if executed:
        assert wait_for(lambda: any(run.timestamp for run in exchange.executed))
    ours = [run for run in exchange.executed if run.timestamp is not None]
    assert [(run.symbol, run.timestamp) for run in ours] == (exchange.received if executed else [])
    assert len(exchange.received) == 1
    if "other_client" not in name and "foreign" not in name:
        assert leverage(simulator) == (10 if executed else 50)


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.because])
def test_what_leaves_no_choice_says_why(name: str) -> None:
    """A definite refusal cannot be injected as executed, nor reset_after as not executed; the error says why."""
    kind = KINDS[name]
    assert kind.choices == (kind.executed,)
    with pytest.raises(ValueError, match=kind.because):
        Fault(name, executed=not kind.executed)


def test_only_definite_answers_leave_no_choice() -> None:
    """A kind decides by itself only by its name, or as a refusal that Binance documents or gives by its own rules."""
    by_name = {"reset_before", "reset_after", "late_execution", "firewall_after"}
    refusals = {name for name, kind in KINDS.items() if kind.because} - by_name
    assert refusals == {
        "unavailable_503",
        "internal_503",
        "rate_limited",
        "rate_limited_for",
        "banned",
        "bad_date_text",
    }
    for name in refusals:
        assert KINDS[name].executed is False
        code = KINDS[name].body.get("code", 0)
        assert (KINDS[name].status < 500) == (code < 0)


def test_by_chance_is_both(simulator: Simulator) -> None:
    """Where nothing is chosen, a look-alike of a refusal comes before or after execution."""
    simulator.inject("firewall", times=None)
    for _ in range(20):
        post(simulator)
    assert 0 < len(simulator.exchange.executed) < 20
    assert len(simulator.exchange.received) == 20


def test_what_is_kept_from_the_exchange_is_answered_by_a_gateway(simulator: Simulator) -> None:
    """A fault that leaves the answer true has none to leave where the request does not reach the exchange."""
    simulator.inject("late_answer", seconds=0, executed=False)
    assert requests.post(simulator.rest_url + "/fapi/v1/leverage", data="", timeout=5).status_code == 502


def signed(simulator: Simulator) -> str:
    """The form body of a change."""
    from urllib.parse import urlencode

    from tests.simulator.conftest import signature

    text = urlencode({"symbol": "XRPUSDT", "leverage": 10, "timestamp": int(time.time() * 1000)})
    return f"{text}&signature={signature(simulator.api_secret, text)}"


def key(simulator: Simulator) -> dict[str, str]:
    """The key's header, and the form's."""
    return {"X-MBX-APIKEY": simulator.api_key, "Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("unknown_503", 503, "Unknown error, please check your request or try again later."),
        ("unavailable_503", 503, "Service Unavailable."),
        ("internal_503", 503, "Internal error; unable to process your request. Please try again."),
        ("throttled_503", 503, "Request throttled by system-level protection."),
        ("throttled_502", 502, "Request throttled by system-level protection."),
        ("disconnected_500", 500, "Internal error"), ("disconnected_504", 504, "Internal error"),
        ("disconnected_200", 200, "Internal error"), ("shutdown_500", 500, "no longer available"),
        ("bad_date_text", 400, "by 2026-10-29 24:00 (UTC)"), ("banned", 418, "IP banned"),
        ("timeout_1007", 400, "execution status unknown"), ("rate_limited", 429, "Too many requests"),
        ("restricted", 451, "restricted location"), ("clock_skew", 400, "outside of the recvWindow"),
    ],
)  # fmt: skip
def test_answers_have_binances_words(simulator: Simulator, name: str, status: int, words: str) -> None:
    """Status and words are those of Binance's documents and reports."""
    simulator.inject(name)
    answer = post(simulator)
    assert isinstance(answer, tuple)
    assert answer[0] == status
    assert words in answer[1]["msg"]
    assert ("code" in answer[1]) == (name not in {"unknown_503", "unavailable_503", "internal_503"})


@pytest.mark.parametrize("executed", [True, False])
@pytest.mark.parametrize(
    ("name", "status"), [("page_401", 401), ("firewall", 403), ("page_429", 429), ("page_451", 451), ("empty_418", 418)]
)
def test_something_in_between_answers(simulator: Simulator, name: str, status: int, executed: bool) -> None:
    """A page or nothing comes with a status that refuses, whether or not the change was executed."""
    simulator.inject(name, executed=executed)
    url = simulator.rest_url + "/fapi/v1/leverage"
    response = requests.post(url, data=signed(simulator), headers=key(simulator), timeout=5)
    assert response.status_code == status
    assert "Retry-After" not in response.headers
    assert response.text.endswith("</html>") if name != "empty_418" else response.text == ""
    assert leverage(simulator) == (10 if executed else 50)


@pytest.mark.parametrize("executed", [True, False])
@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("wrong_leverage", {"symbol": "XRPUSDT", "leverage": 11}),
        ("wrong_symbol", {"symbol": "ETHUSDT", "leverage": 10}),
        ("code_beside_target", {"symbol": "XRPUSDT", "leverage": 10, "code": -4161}),
    ],
)
def test_a_success_that_is_none(simulator: Simulator, name: str, named: dict[str, Any], executed: bool) -> None:
    """A 200 names something else, or an error beside the target, whether or not the change was executed."""
    simulator.inject(name, executed=executed)
    answer = post(simulator)
    assert isinstance(answer, tuple)
    status, content = answer
    del content["maxNotionalValue"]
    assert (status, content) == (200, named)


def test_a_refusal_of_the_exchange_is_not_made_a_success(simulator: Simulator) -> None:
    """What the exchange refuses by its own rules stays refused where only a success is altered."""
    simulator.inject("code_beside_target", executed=True)
    assert signed_call(simulator, "POST", "/fapi/v1/leverage", symbol="XRPUSDT", leverage=500)[1]["code"] == -4028
    assert simulator.exchange.executed == []


def test_a_stale_read_shows_the_values_of_a_while_ago(simulator: Simulator) -> None:
    """A stale read shows the setting of SECONDS ago, however often it has changed since; the next one is fresh."""
    for target in (20, 30):
        simulator.exchange.change_elsewhere("XRPUSDT", target)
    simulator.inject("stale_read", seconds=60)
    [row] = signed_call(simulator, "GET", "/fapi/v1/symbolConfig", symbol="XRPUSDT")[1]
    assert row["leverage"] == 50
    [fresh] = signed_call(simulator, "GET", "/fapi/v1/symbolConfig", symbol="XRPUSDT")[1]
    assert (fresh["leverage"], fresh.keys()) == (30, row.keys())
    assert row["maxNotionalValue"] != fresh["maxNotionalValue"]


def test_a_stale_read_is_no_older_than_its_seconds() -> None:
    """A change that is older than SECONDS is seen, a later one is not; so for the margin type, and for a list."""
    now = [1_000_000.0]
    with Simulator(clock=lambda: now[0]) as simulator:
        simulator.exchange.change_elsewhere("XRPUSDT", 20)
        now[0] += 10
        simulator.exchange.change_elsewhere("XRPUSDT", 30)
        simulator.exchange.change_margin_type({"symbol": "XRPUSDT", "marginType": "ISOLATED"})
        now[0] += 10
        simulator.inject("stale_read", seconds=15)
        rows = signed_call(simulator, "GET", "/fapi/v1/symbolConfig", timestamp=int(now[0] * 1000))[1]
        [row] = [row for row in rows if row["symbol"] == "XRPUSDT"]
        assert (row["leverage"], row["marginType"]) == (20, "CROSSED")
        assert len(rows) == len(simulator.exchange.market.symbols)


def test_a_list_leaves_a_symbol_out(simulator: Simulator) -> None:
    """The named symbol, the request's own, or any one is missing from a list; other answers are as they are."""
    everything = set(simulator.exchange.market.symbols)
    simulator.inject("missing_symbol", symbol="XRPUSDT")
    assert everything - settings(simulator).keys() == {"XRPUSDT"}
    simulator.inject("missing_symbol")
    assert settings(simulator, symbol="XRPUSDT") == {}
    simulator.inject("missing_symbol")
    assert len(everything - settings(simulator).keys()) == 1
    simulator.inject("missing_symbol", on="GET /fapi/v1/exchangeInfo", symbol="哈基米USDT")
    listed = requests.get(simulator.rest_url + "/fapi/v1/exchangeInfo", timeout=5).json()["symbols"]
    assert everything - {row["symbol"] for row in listed} == {"哈基米USDT"}
    simulator.inject("missing_symbol", on="* *")
    assert "serverTime" in requests.get(simulator.rest_url + "/fapi/v1/time", timeout=5).json()


def test_another_client_changes_it_after_the_read(simulator: Simulator) -> None:
    """The read shows the value before; when its answer arrives, the value is another."""
    simulator.inject("foreign_change_during_wait", leverage=33)
    assert settings(simulator, symbol="XRPUSDT") == {"XRPUSDT": 50}
    assert leverage(simulator) == 33
    simulator.inject("foreign_change_during_wait", leverage=34, symbol="XRPUSDT")
    assert settings(simulator)["XRPUSDT"] == 33
    assert leverage(simulator) == 34
    simulator.inject("foreign_change_during_wait", leverage=35, seconds=0.05)
    settings(simulator, symbol="XRPUSDT")
    assert wait_for(lambda: leverage(simulator) == 35)
    assert [run.timestamp for run in simulator.exchange.executed] == [None] * 3


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_the_clock_jumps(simulator: Simulator, seconds: int) -> None:
    """The time answered and the time by which requests are checked are off, for so many requests; the books are not."""
    url = simulator.rest_url + "/fapi/v1/time"
    simulator.inject("clock_jump", seconds=seconds, times=3)
    off = requests.get(url, timeout=5).json()["serverTime"] - time.time() * 1000
    assert off == pytest.approx(seconds * 1000, abs=5000)
    refused = post(simulator)
    assert isinstance(refused, tuple)
    assert refused[1]["code"] == -1021
    assert post(simulator, timestamp=int((time.time() + seconds) * 1000)) != refused
    assert requests.get(url, timeout=5).json()["serverTime"] == pytest.approx(time.time() * 1000, abs=5000)
    assert [run.at for run in simulator.exchange.executed] == [pytest.approx(time.time(), abs=5)]


@pytest.mark.parametrize(
    ("name", "shown"), [("time_far_ahead", 10**17), ("time_far_back", -(10**17)), ("time_float", 1e30)]
)
def test_times_that_cannot_be(simulator: Simulator, name: str, shown: float) -> None:
    """GET /time answers a time that no clock shows."""
    simulator.inject(name)
    assert requests.get(simulator.rest_url + "/fapi/v1/time", timeout=5).json() == {"serverTime": shown}
    assert requests.get(simulator.rest_url + "/fapi/v1/time", timeout=5).json() != {"serverTime": shown}


@pytest.mark.parametrize(
    ("name", "sent", "coding"),
    [("gzip_bomb", 100_000, "gzip"), ("gzip_twice", 2_000, "gzip, gzip"), ("oversized", 2 * OVERSIZE, None)],
)
def test_answers_that_are_far_too_large(simulator: Simulator, name: str, sent: int, coding: str | None) -> None:
    """A small answer becomes large when it is decompressed, or is large and does not say so; it is the true one."""
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
def test_an_error_repeats_what_was_sent(simulator: Simulator, name: str) -> None:
    """Key, signature and body are in the answer, as they were sent or as they can be decoded."""
    simulator.inject(name)
    form = signed(simulator)
    url = simulator.rest_url + "/fapi/v1/leverage"
    response = requests.post(url, data=form, headers=key(simulator), timeout=5)
    assert response.status_code >= 500
    text = html.unescape(response.text) if name == "echo" else response.json()["msg"]
    assert form in text
    assert simulator.api_key in text
    assert form.upper() in text


@pytest.mark.parametrize(("name", "header"), [("rate_limited_for", "7"), ("banned", "7"), ("rate_limited", None)])
def test_retry_after(simulator: Simulator, name: str, header: str | None) -> None:
    """429 comes with and without Retry-After, 418 with it."""
    simulator.inject(name, seconds=7)
    response = requests.post(
        simulator.rest_url + "/fapi/v1/leverage", data=signed(simulator), headers=key(simulator), timeout=5
    )
    assert response.headers.get("Retry-After") == header


def test_they_combine(simulator: Simulator) -> None:
    """Several faults take their effect on one request: another client, execution, and a broken way back."""
    simulator.inject("other_client_first", "reset_after", leverage=33)
    assert post(simulator) is requests.ConnectionError
    executed = simulator.exchange.executed
    assert [(run.before, run.after, run.timestamp is None) for run in executed] == [(50, 33, True), (33, 10, False)]


def test_times_chance_and_place(simulator: Simulator) -> None:
    """A fault meets as many requests as it says, only those it names, and none after it is cleared."""
    simulator.inject("bad_gateway", times=2, executed=False)
    simulator.inject("firewall", on="GET /fapi/v1/ping", times=None)
    assert [post(simulator), post(simulator)] == [requests.JSONDecodeError] * 2
    assert post(simulator) == (200, {"leverage": 10, "maxNotionalValue": "10000000", "symbol": "XRPUSDT"})
    ping = simulator.rest_url + "/fapi/v1/ping"
    assert [requests.get(ping, timeout=5).status_code for _ in range(3)] == [403] * 3
    simulator.clear_faults()
    assert requests.get(ping, timeout=5).status_code == 200
    simulator.inject("firewall", on="* *", chance=0.0, times=None)
    assert requests.get(ping, timeout=5).status_code == 200


def test_the_same_seed_gives_the_same_faults() -> None:
    """Chance repeats with its seed, and differs with another."""

    def drawn(seed: int) -> list[bool]:
        faults = Faults(seed)
        faults.add([Fault("reset_after", times=None, chance=0.5)])
        return [faults.meet("POST", "/fapi/v1/leverage") != Course() for _ in range(50)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert 10 < sum(drawn(1)) < 40


def test_a_restart_refuses_connections_and_comes_back(simulator: Simulator) -> None:
    """While it is down connections are refused; afterwards the same port serves the same books."""
    for _ in range(2):
        simulator.inject("restart", seconds=0.4, executed=True)
        assert post(simulator) is requests.ConnectionError
        assert post(simulator) is requests.ConnectionError
        assert wait_for(lambda: isinstance(post(simulator), tuple))


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "nothing"}, {"name": "html", "chance": 2}, {"name": "html", "on": "leverage"},
        {"name": "unavailable_503", "executed": True}, {"name": "reset_after", "executed": False},
        {"name": "html", "seconds": -1}, {"name": "clock_jump", "seconds": -2e9}, {"name": "html", "times": -1},
    ],
)  # fmt: skip
def test_faults_that_cannot_be(wrong: dict[str, Any]) -> None:
    """What cannot be is said when it is asked for."""
    with pytest.raises(ValueError, match=r"\w"):
        Fault(**wrong)


def test_the_spelling_of_the_command_line() -> None:
    """Names, seconds, requests, chances and times are read as written; what is not understood is refused."""
    read = parse_faults("reset_after:0.1, late_answer=12@* *:0.5x3,html@GET /fapi/v1/symbolConfig")
    assert read == [
        Fault("reset_after", CHANGE, None, 0.1), Fault("late_answer", "* *", 3, 0.5, 12.0),
        Fault("html", "GET /fapi/v1/symbolConfig", None),
    ]  # fmt: skip
    assert parse_faults("firewall+:0.5, page_451-, clock_jump=-3600x2,stale_read") == [
        Fault("firewall", CHANGE, None, 0.5, executed=True), Fault("page_451", CHANGE, None, executed=False),
        Fault("clock_jump", "* *", 2, seconds=-3600), Fault("stale_read", READ, None),
    ]  # fmt: skip
    for wrong in ("nothing", "reset_before+", "html:often", "html@leverage", "html:3"):
        with pytest.raises(ValueError, match=r"\w"):
            parse_faults(wrong)


def test_the_command_takes_them() -> None:
    """--faults works from the shell, lists its names, and an unknown one is a line and not a traceback."""
    command = [sys.executable, "-m", "leverage_nb.simulator"]
    with subprocess.Popen(
        [*command, "--faults", "firewall@* *x1", "--seed", "7"], stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        url = json.loads(running.stdout.readline())["rest_url"] + "/fapi/v1/ping"
        assert [requests.get(url, timeout=5).status_code for _ in range(2)] == [403, 200]
        running.terminate()
    listed = subprocess.run([*command, "--help"], capture_output=True, text=True, timeout=20, check=False)
    assert all(name in listed.stdout for name in KINDS)
    wrong = subprocess.run([*command, "--faults", "gremlins"], capture_output=True, text=True, timeout=20, check=False)
    assert wrong.returncode == 2
    assert "There is no fault 'gremlins'" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_random_runs_draw_from_the_table() -> None:
    """Every kind is for changes, for reads or for both; what makes sense on reads alone has a request of its own."""
    assert set(FOR_CHANGES) | set(FOR_READS) == set(KINDS)
    for name in set(FOR_READS) - set(FOR_CHANGES):
        assert KINDS[name].on != CHANGE
