"""Faults on demand: each does what it says, whatever the client makes of it."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Any

import pytest
import requests

from leverage_nb.simulator import Simulator
from leverage_nb.simulator.faults import CHANGE, KINDS, Fault, Faults, parse_faults
from tests.simulator.conftest import signed_call


def post(simulator: Simulator, **more: Any) -> tuple[int, Any] | type[BaseException]:
    """A plain client's change of XRPUSDT to 10x: the answer, or what broke."""
    try:
        return signed_call(simulator, "POST", "/fapi/v1/leverage", symbol="XRPUSDT", leverage=10, **more)
    except (requests.RequestException, ValueError) as exc:
        return type(exc)


def leverage(simulator: Simulator) -> int:
    """What XRPUSDT really is at; it opens at 50."""
    return simulator.exchange.account.leverage("XRPUSDT")


@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.executed is not None])
def test_what_is_carried_out_is_what_it_says(simulator: Simulator, name: str) -> None:
    """A fault that is documented as carried out is, and one that is not, is not."""
    if name in {"late_answer", "late_execution"}:
        simulator.inject(name, seconds=0.1)
    elif name == "dripped":
        simulator.inject(name, seconds=0.0001)
    elif name.startswith("other_client"):
        simulator.inject(name, leverage=33)
    else:
        simulator.inject(name)
    if name == "late_execution":
        with pytest.raises(requests.Timeout):
            requests.post(
                simulator.rest_url + "/fapi/v1/leverage", data=signed(simulator), headers=key(simulator), timeout=0.05
            )
        assert leverage(simulator) == 50
        time.sleep(0.3)
    else:
        post(simulator)
    time.sleep(0.05)
    expected = {"other_client": 33, "clock_skew": 50}.get(name, 10 if KINDS[name].executed else 50)
    assert leverage(simulator) == expected
    assert len(simulator.exchange.received) == 1


def signed(simulator: Simulator) -> str:
    """The form body of a change."""
    from urllib.parse import urlencode

    from tests.simulator.conftest import signature

    text = urlencode({"symbol": "XRPUSDT", "leverage": 10, "timestamp": int(time.time() * 1000)})
    return f"{text}&signature={signature(simulator.api_secret, text)}"


def key(simulator: Simulator) -> dict[str, str]:
    """The key's header, and the form's."""
    return {"X-MBX-APIKEY": simulator.api_key, "Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize("executed", [True, False])
@pytest.mark.parametrize("name", [name for name, kind in KINDS.items() if kind.executed is None])
def test_what_may_go_either_way_goes_as_asked(simulator: Simulator, name: str, executed: bool) -> None:
    """Where it can be carried out or not, the caller chooses."""
    simulator.inject(name, executed=executed)
    if name == "stall":
        with pytest.raises(requests.Timeout):
            requests.post(
                simulator.rest_url + "/fapi/v1/leverage", data=signed(simulator), headers=key(simulator), timeout=0.1
            )
    else:
        post(simulator)
    assert leverage(simulator) == (10 if executed else 50)


@pytest.mark.parametrize(
    ("name", "status", "words"),
    [
        ("unknown_503", 503, "Unknown error, please check your request or try again later."),
        ("unavailable_503", 503, "Service Unavailable."),
        ("internal_503", 503, "Internal error; unable to process your request. Please try again."),
        ("throttled_503", 503, "Request throttled by system-level protection."),
        ("timeout_1007", 400, "execution status unknown"), ("rate_limited", 429, "Too many requests"),
        ("restricted", 451, "restricted location"), ("clock_skew", 400, "outside of the recvWindow"),
    ],
)  # fmt: skip
def test_answers_have_binances_words(simulator: Simulator, name: str, status: int, words: str) -> None:
    """Status and words are those of Binance's documents and reports."""
    simulator.inject(name, executed=KINDS[name].executed)
    answer = post(simulator)
    assert isinstance(answer, tuple)
    assert answer[0] == status
    assert words in answer[1]["msg"]
    assert ("code" in answer[1]) == (name not in {"unknown_503", "unavailable_503", "internal_503"})


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
        return [faults.meet("POST", "/fapi/v1/leverage") is not None for _ in range(50)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert 10 < sum(drawn(1)) < 40


def test_a_restart_refuses_connections_and_comes_back(simulator: Simulator) -> None:
    """While it is down connections are refused; afterwards the same port serves the same books."""
    for _ in range(2):
        simulator.inject("restart", seconds=0.4, executed=True)
        assert post(simulator) is requests.ConnectionError
        time.sleep(0.1)
        assert post(simulator) is requests.ConnectionError
        time.sleep(0.5)
        answer = post(simulator)
        assert isinstance(answer, tuple)
        assert answer[0] == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "nothing"}, {"name": "html", "chance": 2}, {"name": "html", "on": "leverage"},
        {"name": "unavailable_503", "executed": True}, {"name": "reset_after", "executed": False},
        {"name": "html", "seconds": -1},
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
    for wrong in ("nothing", "html:often", "html@leverage", "html:3"):
        with pytest.raises(ValueError, match=r"\w"):
            parse_faults(wrong)


def test_the_command_takes_them() -> None:
    """--faults works from the shell, lists its names, and an unknown one is a line and not a traceback."""
    import json

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
    assert "there is no fault 'gremlins'" in wrong.stderr
    assert "Traceback" not in wrong.stderr
