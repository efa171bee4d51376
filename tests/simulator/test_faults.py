"""Injected faults: which requests they affect, and what happens in the exchange."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import pytest
import requests

from leverage_nb.simulator import Simulator
from leverage_nb.simulator.faults import CHANGE, CHANGES, KINDS, Course, Fault, Faults, parse_faults
from tests.simulator.calling import CONFIG, change, leverages, post_form, signed_call, true_leverage, wait_for

READ = "GET /fapi/v1/symbolConfig"

# Short enough for a test, long enough to have an effect.
SECONDS = {
    "late_answer": 0.05,
    "late_execution": 0.1,
    "dripped": 0.0001,
    "restart": 0.05,
    "clock_skew": 0.2,  # within recvWindow: the exchange's own rules refuse nothing
    "clock_jump": 0.2,
}
CHOICES = [(name, executed) for name, kind in KINDS.items() for executed in kind.choices]


def send_and_give_up(simulator: Simulator) -> None:
    """Send the change of XRPUSDT to 10x, with a short timeout."""
    with suppress(requests.RequestException):
        post_form(simulator, timeout=0.3, stream=True, allow_redirects=False).close()


@pytest.mark.parametrize(("name", "executed"), CHOICES)
def test_executed_and_received_show_the_choice(simulator: Simulator, name: str, executed: bool) -> None:
    """Regardless of the answer, the exchange records a request as executed if chosen so, else only as received."""
    simulator.inject(name, on=CHANGE, seconds=SECONDS.get(name), executed=executed, leverage=33)
    send_and_give_up(simulator)
    exchange = simulator.exchange
    if executed:
        assert wait_for(lambda: any(run.timestamp for run in exchange.executed))
    ours = [run for run in exchange.executed if run.timestamp is not None]
    assert [(run.symbol, run.timestamp) for run in ours] == (exchange.received if executed else [])
    assert len(exchange.received) == 1
    if "other_client" not in name and "foreign" not in name:
        assert true_leverage(simulator) == (10 if executed else 50)


def test_execution_is_random_by_default(simulator: Simulator) -> None:
    """Without a choice, an answer that resembles a refusal comes before or after execution."""
    simulator.inject("firewall", times=None)
    for _ in range(20):
        change(simulator)
    assert 0 < len(simulator.exchange.executed) < 20
    assert len(simulator.exchange.received) == 20


def test_a_stale_read_shows_earlier_values(simulator: Simulator) -> None:
    """A stale read shows the setting of SECONDS ago, regardless of later changes; the next read is current."""
    for target in (20, 30):
        simulator.exchange.change_elsewhere("XRPUSDT", target)
    simulator.inject("stale_read", seconds=60)
    [row] = signed_call(simulator, "GET", CONFIG, symbol="XRPUSDT")[1]
    assert row["leverage"] == 50
    [current] = signed_call(simulator, "GET", CONFIG, symbol="XRPUSDT")[1]
    assert (current["leverage"], current.keys()) == (30, row.keys())
    assert row["maxNotionalValue"] != current["maxNotionalValue"]


def test_a_stale_read_is_no_older_than_its_seconds() -> None:
    """A stale list shows changes of leverage and margin type before SECONDS ago, and none after."""
    now = [1_000_000.0]
    with Simulator(clock=lambda: now[0]) as simulator:
        simulator.exchange.change_elsewhere("XRPUSDT", 20)
        now[0] += 10
        simulator.exchange.change_elsewhere("XRPUSDT", 30)
        simulator.exchange.change_margin_type({"symbol": "XRPUSDT", "marginType": "ISOLATED"})
        now[0] += 10
        simulator.inject("stale_read", seconds=15)
        rows = signed_call(simulator, "GET", CONFIG, timestamp=int(now[0] * 1000))[1]
        [row] = [row for row in rows if row["symbol"] == "XRPUSDT"]
        assert (row["leverage"], row["marginType"]) == (20, "CROSSED")
        assert len(rows) == len(simulator.exchange.market.symbols)


def test_another_client_changes_the_value_after_a_read(simulator: Simulator) -> None:
    """The read shows the value before the change; the value has changed when its answer arrives."""
    simulator.inject("foreign_change_during_wait", leverage=33)
    assert leverages(simulator, symbol="XRPUSDT") == {"XRPUSDT": 50}
    assert true_leverage(simulator) == 33
    simulator.inject("foreign_change_during_wait", leverage=34, symbol="XRPUSDT")
    assert leverages(simulator)["XRPUSDT"] == 33
    assert true_leverage(simulator) == 34
    simulator.inject("foreign_change_during_wait", leverage=35, seconds=0.05)
    leverages(simulator, symbol="XRPUSDT")
    assert wait_for(lambda: true_leverage(simulator) == 35)
    assert [run.timestamp for run in simulator.exchange.executed] == [None] * 3


@pytest.mark.parametrize("seconds", [3600, -3600])
def test_a_clock_jump(simulator: Simulator, seconds: int) -> None:
    """For the given number of requests, serverTime and the timestamp check differ; ``executed`` keeps the true time."""
    url = simulator.rest_url + "/fapi/v1/time"
    simulator.inject("clock_jump", seconds=seconds, times=3)
    off = requests.get(url, timeout=5).json()["serverTime"] - time.time() * 1000
    assert off == pytest.approx(seconds * 1000, abs=5000)
    refused = change(simulator)
    assert isinstance(refused, tuple)
    assert refused[1]["code"] == -1021
    assert change(simulator, timestamp=int((time.time() + seconds) * 1000)) != refused
    assert requests.get(url, timeout=5).json()["serverTime"] == pytest.approx(time.time() * 1000, abs=5000)
    assert [run.at for run in simulator.exchange.executed] == [pytest.approx(time.time(), abs=5)]


def test_faults_combine(simulator: Simulator) -> None:
    """Several faults affect one request: a change by another client, execution, and a broken connection."""
    simulator.inject("other_client_first", "reset_after", leverage=33)
    assert change(simulator) is requests.ConnectionError
    executed = simulator.exchange.executed
    assert [(run.before, run.after, run.timestamp is None) for run in executed] == [(50, 33, True), (33, 10, False)]


def test_times_chance_and_place(simulator: Simulator) -> None:
    """A fault affects the given number of matching requests, and none after it is cleared."""
    simulator.inject("bad_gateway", times=2, executed=False)
    simulator.inject("firewall", on="GET /fapi/v1/ping", times=None)
    assert [change(simulator), change(simulator)] == [requests.JSONDecodeError] * 2
    assert change(simulator) == (200, {"leverage": 10, "maxNotionalValue": "10000000", "symbol": "XRPUSDT"})
    ping = simulator.rest_url + "/fapi/v1/ping"
    assert [requests.get(ping, timeout=5).status_code for _ in range(3)] == [403] * 3
    simulator.clear_faults()
    assert requests.get(ping, timeout=5).status_code == 200
    simulator.inject("firewall", on="* *", chance=0.0, times=None)
    assert requests.get(ping, timeout=5).status_code == 200


def test_equal_seeds_give_equal_faults() -> None:
    """Random faults repeat with the same seed and differ with another."""

    def drawn(seed: int) -> list[bool]:
        faults = Faults(seed)
        faults.add([Fault("reset_after", times=None, chance=0.5)])
        return [faults.meet("POST", "/fapi/v1/leverage") != Course() for _ in range(50)]

    assert drawn(1) == drawn(1) != drawn(2)
    assert 10 < sum(drawn(1)) < 40


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "nothing"}, {"name": "html", "chance": 2}, {"name": "html", "on": "leverage"},
        {"name": "unavailable_503", "executed": True}, {"name": "reset_after", "executed": False},
        {"name": "html", "seconds": -1}, {"name": "clock_jump", "seconds": -2e9}, {"name": "html", "times": -1},
    ],
)  # fmt: skip
def test_impossible_faults_are_refused(wrong: dict[str, Any]) -> None:
    """An unknown name or an impossible value is refused when the fault is created."""
    with pytest.raises(ValueError, match=r"\w"):
        Fault(**wrong)


def test_the_notation_of_the_command_line() -> None:
    """Names, seconds, requests, chances and times are parsed; other text is refused."""
    read = parse_faults("reset_after:0.1, late_answer=12@* *:0.5x3,html@GET /fapi/v1/symbolConfig")
    assert read == [
        Fault("reset_after", CHANGES, None, 0.1), Fault("late_answer", "* *", 3, 0.5, 12.0),
        Fault("html", "GET /fapi/v1/symbolConfig", None),
    ]  # fmt: skip
    assert parse_faults("firewall+:0.5, page_451-, clock_jump=-3600x2,stale_read") == [
        Fault("firewall", CHANGES, None, 0.5, executed=True), Fault("page_451", CHANGES, None, executed=False),
        Fault("clock_jump", "* *", 2, seconds=-3600), Fault("stale_read", READ, None),
    ]  # fmt: skip
    for wrong in ("nothing", "reset_before+", "html:often", "html@leverage", "html:3"):
        with pytest.raises(ValueError, match=r"\w"):
            parse_faults(wrong)
