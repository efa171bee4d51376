"""Injected faults: which requests they affect, and what happens in the exchange."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import requests

from leverage_nb.simulator import Simulator
from leverage_nb.simulator.faults import CHANGE, CHANGES, KINDS, Course, Fault, Faults, parse_faults
from leverage_nb.simulator.market import load_market
from leverage_nb.simulator.records import KINDS_OF_CHANGE
from tests.simulator.calling import (
    CONFIG,
    LEVERAGE,
    MARGIN,
    MARGIN_HISTORY,
    MARGIN_TYPE,
    change,
    form_headers,
    leverages,
    post_form,
    signed_call,
    signed_text,
    true_leverage,
    wait_for,
)  # fmt: skip

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
    assert wait_for(lambda: bool(exchange.received))
    if executed:
        assert wait_for(lambda: any(run.timestamp for run in exchange.executed))
    ours = [run for run in exchange.executed if run.timestamp is not None]
    assert [(run.symbol, run.timestamp) for run in ours] == (exchange.received if executed else [])
    assert len(exchange.received) == 1
    if "other_client" not in name and "foreign" not in name:
        assert true_leverage(simulator) == (10 if executed else 50)


REQUESTS: dict[str, dict[str, Any]] = {
    LEVERAGE: {"symbol": "ETHUSDT", "leverage": 20},
    MARGIN_TYPE: {"symbol": "ETHUSDT", "marginType": "CROSSED"},
    MARGIN: {"symbol": "ETHUSDT", "amount": 100, "type": 1},
}
PATHS = pytest.mark.parametrize("path", REQUESTS)


def send(simulator: Simulator, path: str) -> Any:
    """Send a change of ETHUSDT; return status and JSON, or the error's type."""
    try:
        return signed_call(simulator, "POST", path, **REQUESTS[path])
    except (requests.RequestException, ValueError) as exc:
        return type(exc)


@pytest.fixture
def flat() -> Iterator[Simulator]:
    """A simulator whose ETHUSDT is isolated, without the position that would keep it so."""
    opening = load_market().account
    with Simulator(account=opening | {"positions": opening["positions"][:1]}) as running:
        yield running


def simulator_for(path: str, flat: Simulator, simulator: Simulator) -> Simulator:
    """Return the simulator that accepts a change: the margin type changes without a position, margin with one."""
    return flat if path == MARGIN_TYPE else simulator


@PATHS
@pytest.mark.parametrize("executed", [True, False])
@pytest.mark.parametrize("name", ["html", "bad_gateway", "stall", "truncated", "unknown_503", "timeout_1007", "echo"])
def test_every_kind_of_change_meets_a_fault(
    flat: Simulator, simulator: Simulator, path: str, name: str, executed: bool
) -> None:
    """By default a fault affects each kind of change, executed or not, and no read."""
    own = simulator_for(path, flat, simulator)
    own.inject(name, executed=executed)
    assert leverages(own)
    with suppress(requests.RequestException, ValueError):
        form = signed_text(own, **REQUESTS[path])
        requests.post(own.rest_url + path, data=form, headers=form_headers(own), timeout=0.3).json()
    assert wait_for(lambda: len(own.exchange.executed if executed else own.exchange.arrivals) == 1)
    [arrival] = own.exchange.arrivals
    assert arrival.kind == KINDS_OF_CHANGE["POST", path]
    runs = [(run.symbol, run.timestamp, run.kind) for run in own.exchange.executed]
    assert runs == ([("ETHUSDT", arrival.timestamp, arrival.kind)] if executed else [])


@PATHS
def test_a_change_is_executed_late(flat: Simulator, simulator: Simulator, path: str) -> None:
    """A change of each kind is executed after its answer was given up."""
    own = simulator_for(path, flat, simulator)
    own.inject("late_execution", seconds=1.0)
    with suppress(requests.RequestException):
        form = signed_text(own, **REQUESTS[path])
        requests.post(own.rest_url + path, data=form, headers=form_headers(own), timeout=0.05)
    assert own.exchange.executed == []
    assert wait_for(lambda: [run.kind for run in own.exchange.executed] == [KINDS_OF_CHANGE["POST", path]])


@PATHS
def test_a_fault_names_one_kind_of_change(flat: Simulator, simulator: Simulator, path: str) -> None:
    """A fault that names an endpoint waits for it, while other changes pass."""
    own = simulator_for(path, flat, simulator)
    own.inject("reset_after", on=f"POST {path}")
    for other in REQUESTS.keys() - {path, MARGIN_TYPE}:
        send(own, other)
    assert send(own, path) is requests.ConnectionError
    assert own.exchange.executed[-1].kind == KINDS_OF_CHANGE["POST", path]


def test_stale_reads_show_earlier_margin(simulator: Simulator) -> None:
    """Positions, balances and the history of SECONDS ago are shown by a stale read, and by no other."""
    paths = ("/fapi/v3/positionRisk", "/fapi/v2/positionRisk", "/fapi/v3/account", "/fapi/v3/balance")

    def read() -> list[Any]:
        whole = [signed_call(simulator, "GET", path)[1] for path in paths]
        return [*whole, signed_call(simulator, "GET", MARGIN_HISTORY, symbol="ETHUSDT")[1]]

    before = read()
    simulator.exchange.change_elsewhere("ETHUSDT", margin="100")
    simulator.inject("stale_read", on="GET *", seconds=60, times=len(before))
    assert read() == before
    assert [now != then for now, then in zip(read(), before, strict=True)] == [True] * 5


def test_another_client_changes_margin_and_margin_type(simulator: Simulator) -> None:
    """Another client moves margin before a change of the same symbol, and switches a margin type after a read."""
    simulator.inject("other_client_first", margin="-50")
    send(simulator, MARGIN)
    simulator.inject("foreign_change_during_wait", margin_type="ISOLATED", symbol="XRPUSDT")
    leverages(simulator)
    runs = [(run.kind, run.symbol, run.before, run.after, run.timestamp is None) for run in simulator.exchange.executed]
    assert runs == [
        ("isolated margin", "ETHUSDT", 17_700, 17_650, True), ("isolated margin", "ETHUSDT", 17_650, 17_750, False),
        ("margin type", "XRPUSDT", "CROSSED", "ISOLATED", True),
    ]  # fmt: skip


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
        simulator.exchange.change_elsewhere("XRPUSDT", margin_type="ISOLATED")
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
    off = requests.get(url, timeout=30).json()["serverTime"] - time.time() * 1000
    assert off == pytest.approx(seconds * 1000, abs=5000)
    refused = change(simulator)
    assert isinstance(refused, tuple)
    assert refused[1]["code"] == -1021
    assert change(simulator, timestamp=int((time.time() + seconds) * 1000)) != refused
    assert requests.get(url, timeout=30).json()["serverTime"] == pytest.approx(time.time() * 1000, abs=5000)
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
    assert [requests.get(ping, timeout=30).status_code for _ in range(3)] == [403] * 3
    simulator.clear_faults()
    assert requests.get(ping, timeout=30).status_code == 200
    simulator.inject("firewall", on="* *", chance=0.0, times=None)
    assert requests.get(ping, timeout=30).status_code == 200


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
        {"name": "html", "on": "change"}, {"name": "other_client", "margin_type": "HALF"},
        {"name": "other_client", "margin": "much"}, {"name": "other_client", "margin": "1", "side": "UP"},
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
    assert parse_faults("firewall+:0.5, page_451-, clock_jump=-3600x2,stale_read,html@changes:0.5") == [
        Fault("firewall", CHANGES, None, 0.5, executed=True), Fault("page_451", CHANGES, None, executed=False),
        Fault("clock_jump", "* *", 2, seconds=-3600), Fault("stale_read", READ, None),
        Fault("html", CHANGES, None, 0.5),
    ]  # fmt: skip
    for wrong in ("nothing", "reset_before+", "html:often", "html@leverage", "html:3"):
        with pytest.raises(ValueError, match=r"\w"):
            parse_faults(wrong)
