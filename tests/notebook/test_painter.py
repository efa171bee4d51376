"""Drawing and reading jobs run in threads of their own."""

from __future__ import annotations

import threading

from leverage_nb.notebook.painter import Painter
from tests.waiting import threads_since, until


def test_jobs_run_in_another_thread_in_their_order() -> None:
    """Jobs run one after another in the painter's thread, and wait() returns after the last."""
    painter, threads, drawn = Painter(), set[threading.Thread](), list[int]()

    def job(number: int) -> None:
        threads.add(threading.current_thread())
        drawn.append(number)

    go_on = threading.Event()
    painter.draw(lambda: go_on.wait(10) and None)
    for number in range(3):
        painter.draw(lambda number=number: job(number))
    assert drawn == []
    go_on.set()
    painter.wait()
    assert drawn == [0, 1, 2]
    assert len(threads) == 1
    assert threading.current_thread() not in threads


def test_a_live_panel_comes_first() -> None:
    """A job that must not wait runs before those that were asked for earlier."""
    painter, go_on, drawn = Painter(), threading.Event(), list[str]()
    painter.draw(lambda: go_on.wait(10) and None)
    painter.draw(lambda: drawn.append("chart"))
    painter.draw(lambda: drawn.append("panel"), first=True)
    go_on.set()
    painter.wait()
    assert drawn == ["panel", "chart"]


def test_a_waiting_job_is_run_once() -> None:
    """Several calls with the same job run it once, after the job that is being run."""
    painter, go_on, drawn = Painter(), threading.Event(), list[int]()

    def job() -> None:
        drawn.append(1)

    painter.draw(lambda: go_on.wait(10) and None)
    for _ in range(5):
        painter.draw(job)
    go_on.set()
    painter.wait()
    assert drawn == [1]


def test_a_failing_job_does_not_stop_the_others() -> None:
    """After a job that raises the next one is run, and the thread ends when all are done."""
    before = set(threading.enumerate())
    painter, drawn = Painter(), list[int]()

    def fail() -> None:
        raise ValueError("a panel that cannot be drawn")

    painter.draw(fail)
    painter.draw(lambda: drawn.append(1))
    painter.wait()
    assert drawn == [1]
    assert threads_since(before) == set()


def test_a_pause_lies_between_two_jobs() -> None:
    """With a pause the second job waits for it, an urgent one does not, and a dropped one is not run."""
    painter, done = Painter(pause=60.0), list[str]()

    def late() -> None:
        done.append("late")

    painter.draw(lambda: done.append("first"))
    until(lambda: done == ["first"])
    painter.draw(late)
    painter.draw(lambda: done.append("urgent"), first=True)
    until(lambda: done == ["first", "urgent"])
    painter.drop(late)
    painter.wait()
    assert done == ["first", "urgent"]
