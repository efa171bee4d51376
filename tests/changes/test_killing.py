"""Journal and reports agree after kill -9, after Ctrl-C, and with two processes at the same time."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from leverage_nb.simulator import Simulator
from tests.changes.killing import Scene

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has neither SIGKILL nor SIGINT for other processes")


def kill_often(folder: Path, times: int, seed: int) -> tuple[int, int, list[str]]:
    """Kill a number of processes at random times, all with one journal.

    Returns:
        The number of attempts, how many of them a kill left open, and every contradiction.
    """
    with Simulator(weight_limit=10**9, seed=seed) as simulator:
        scene = Scene(simulator, folder / f"journal {seed}.sqlite", seed)
        count = 0
        for run in range(times):
            scene.inject()
            scene.kill(scene.start(seed * 10_000 + run), after=scene.chance.uniform(0.0, 0.1))
            attempts = scene.look_back()
            if len(attempts) < count:
                return count, scene.settled, [f"{count} attempts became {len(attempts)}"]
            count = len(attempts)
        time.sleep(1.2)  # until after the last late execution
        return count, scene.settled, scene.false_words(scene.look_back())


def interrupt_often(folder: Path, times: int, seed: int) -> tuple[int, int, list[str]]:
    """Send SIGINT into changes and plans under faults; return attempts, those settled later, contradictions."""
    with Simulator(weight_limit=10**9, seed=seed) as simulator:
        scene = Scene(simulator, folder / f"interrupted {seed}.sqlite", seed)
        scene.inject()
        simulator.inject("late_answer", on="* *", seconds=0.01, times=None, chance=0.5)
        false = scene.interrupt(seed, times)
        time.sleep(1.2)  # until after the last late execution
        attempts = scene.look_back()
        return len(attempts), scene.settled, false + scene.false_words(attempts)


def in_rows(rows: int, work: Callable[[int], tuple[int, int, list[str]]]) -> tuple[int, int, list[str]]:
    """Run a function in several threads, and add up the results."""
    results: list[tuple[int, int, list[str]]] = []
    threads = [threading.Thread(target=lambda seed=seed: results.append(work(seed))) for seed in range(rows)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == rows
    counts, settled, false = zip(*results, strict=True)
    return sum(counts), sum(settled), [word for words in false for word in words]


def test_killed_processes_leave_a_true_journal(tmp_path: Path) -> None:
    """After kill -9 every change that was sent is in the journal, and the next start settles it correctly."""
    count, left_open, false = kill_often(tmp_path, times=6, seed=1)
    assert false == []
    assert count > 0
    assert left_open > 0


def test_interrupted_processes_send_nothing_more(tmp_path: Path) -> None:
    """After Ctrl-C nothing is sent, the next change works, and reports, journal and exchange agree."""
    count, _, false = interrupt_often(tmp_path, times=12, seed=2)
    assert false == []
    assert count > 0


def test_two_processes_change_the_same_symbols(tmp_path: Path) -> None:
    """Two processes with one journal never have two open attempts on a symbol, and no entry is false."""
    with Simulator(weight_limit=10**9, seed=3) as simulator:
        scene = Scene(simulator, tmp_path / "journal.sqlite", 3)
        scene.inject()
        both = [scene.start(seed, changes=10) for seed in (31, 32)]
        for process in both:
            process.join(120)
            assert process.exitcode == 0
        time.sleep(1.2)
        attempts = scene.look_back()
        assert len({attempt.process for attempt in attempts}) == 2
        assert scene.false_words(attempts) == []


@pytest.mark.proof
def test_a_thousand_kills(tmp_path: Path) -> None:
    """1,000 processes are killed at random times, with four journals: no entry is false."""
    count, left_open, false = in_rows(4, lambda seed: kill_often(tmp_path, 250, seed))
    print(f"\n1,000 kills; {count} attempts in 4 journals, {left_open} settled at the next start")
    assert false == []


@pytest.mark.proof
def test_two_thousand_interrupts(tmp_path: Path) -> None:
    """2,000 changes and plans are interrupted by SIGINT: nothing more is sent, and no report is false."""
    count, settled, false = in_rows(4, lambda seed: interrupt_often(tmp_path, 500, seed))
    print(f"\n2,000 interrupts; {count} attempts in 4 journals, {settled} settled at the end")
    assert false == []
