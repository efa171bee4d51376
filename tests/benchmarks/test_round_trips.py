"""Round trips, on demand: ``pytest -n 0 -s tests/benchmarks/test_round_trips.py``.

Each action is timed with two latencies. The difference, divided by the difference of the latencies, is the number of
round trips that follow each other; the time for computing cancels out.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

import leverage_nb as lev
from leverage_nb.account import Account
from leverage_nb.session import session
from leverage_nb.simulator import Simulator
from tests.conftest import connect_to

LOW, HIGH = 0.1, 0.4  # seconds per answer
ROUNDS = 3


def run(line: str) -> Any:
    """Run a ``%leverage`` line in a shell without a kernel."""
    shell = InteractiveShell.instance()
    shell.extension_manager.load_extension("leverage_nb")
    return shell.run_line_magic("leverage", line)


ACTIONS: dict[str, tuple[float, Callable[[Account], Any], Callable[[Account], Any]]] = {
    # name: (at most, prepared without latency, timed)
    "first %leverage BTCUSDT 10": (2, lambda _: None, lambda _: run("BTCUSDT 10")),
    "next %leverage BTCUSDT 10": (2, lambda _: run("BTCUSDT 12"), lambda _: run("BTCUSDT 10")),
    "first set_leverage": (2, lambda _: None, lambda a: a.set_leverage("BTCUSDT", 10)),
    "next set_leverage": (2, lambda a: a.set_leverage("BTCUSDT", 12), lambda a: a.set_leverage("BTCUSDT", 10)),
    "undo": (2, lambda a: a.set_leverage("BTCUSDT", 12), lambda a: a.undo()),
    "preview": (1, lambda _: None, lambda a: a.preview("BTCUSDT", 10)),
    "first panel": (1, lambda _: None, lambda a: lev.LeveragePanel(a, "BTCUSDT").close()),
}


def timed(name: str, latency: float) -> float:
    """Seconds of an action on a new account."""
    _, prepare, action = ACTIONS[name]
    session.reset()
    with Simulator() as simulator, connect_to(simulator) as account:
        prepare(account)
        for kind in ("GET", "POST"):
            simulator.inject("late_answer", on=f"{kind} *", times=None, seconds=latency)
        start = time.perf_counter()
        action(account)
        return time.perf_counter() - start


@pytest.mark.parametrize("name", ACTIONS)
def test_round_trips(name: str) -> None:
    """Independent reads go out together: no action takes more round trips than promised."""
    timed(name, 0.01)  # imports
    trips = statistics.median((timed(name, HIGH) - timed(name, LOW)) / (HIGH - LOW) for _ in range(ROUNDS))
    print(f"{name:30} {trips:.2f} round trips")
    assert trips < ACTIONS[name][0] + 0.3


def test_apply_of_an_old_preview() -> None:
    """A preview that is older than a second is read again: one round trip, and one for the change."""

    def once(latency: float) -> float:
        session.reset()
        with Simulator() as simulator, connect_to(simulator) as account:
            preview = account.preview("BTCUSDT", 10)
            time.sleep(1.1)
            for kind in ("GET", "POST"):
                simulator.inject("late_answer", on=f"{kind} *", times=None, seconds=latency)
            start = time.perf_counter()
            preview.apply()
            return time.perf_counter() - start

    trips = statistics.median((once(HIGH) - once(LOW)) / (HIGH - LOW) for _ in range(ROUNDS))
    print(f"{'apply of an old preview':30} {trips:.2f} round trips")
    assert trips < 2.3
