"""Nothing lost: a journal tells the truth after kill -9, and with two processes writing at once."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from leverage_nb.changes import settle
from leverage_nb.simulator import Simulator
from tests.changes.chaos import GRACE
from tests.changes.killing import Scene


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settle, "GRACE_MS", GRACE)


def kill_often(folder: Path, times: int, seed: int) -> tuple[int, int, list[str]]:
    """Kill a process ``times`` times at random points, with one journal for all.

    Returns how many attempts there were, how many of them were left open by a kill, and every false word.
    """
    with Simulator(weight_limit=10**9, seed=seed) as simulator:
        scene = Scene(simulator, folder / f"journal {seed}.sqlite", seed)
        count = 0
        for run in range(times):
            scene.inject()
            scene.kill(scene.start(seed * 10_000 + run), after=scene.chance.uniform(0.0, 0.15))
            attempts = scene.look_back()
            if len(attempts) < count:
                return count, scene.settled, [f"{count} attempts became {len(attempts)}"]
            count = len(attempts)
        time.sleep(1.2)  # the last late execution is over
        return count, scene.settled, scene.false_words(scene.look_back())


def test_killed_processes_leave_a_true_journal(tmp_path: Path) -> None:
    """Whatever a killed process had sent is on record, and the next start settles it without a false word."""
    count, left_open, false = kill_often(tmp_path, times=8, seed=1)
    assert false == []
    assert count > 0
    assert left_open > 0


def test_two_processes_change_the_same_symbols(tmp_path: Path) -> None:
    """Two processes on one journal never have two attempts open on a symbol, and no word of it is false."""
    with Simulator(weight_limit=10**9, seed=3) as simulator:
        scene = Scene(simulator, tmp_path / "journal.sqlite", 3)
        scene.inject()
        both = [scene.start(seed, changes=25) for seed in (31, 32)]
        for process in both:
            process.join(60)
            assert process.exitcode == 0
        time.sleep(1.2)
        attempts = scene.look_back()
        assert len({attempt.process for attempt in attempts}) == 2
        assert scene.false_words(attempts) == []


@pytest.mark.proof
def test_two_hundred_kills(tmp_path: Path) -> None:
    """200 processes killed at random points, in four rows with a journal each: every journal tells the truth."""
    results: list[tuple[int, int, list[str]]] = []
    rows = [
        threading.Thread(target=lambda seed=seed: results.append(kill_often(tmp_path, 50, seed))) for seed in range(4)
    ]
    for row in rows:
        row.start()
    for row in rows:
        row.join()
    counts, left_open, false = zip(*results, strict=True)
    print(f"\n200 kills; {sum(counts)} attempts in 4 journals, {sum(left_open)} settled at the next start")
    assert list(false) == [[]] * 4
