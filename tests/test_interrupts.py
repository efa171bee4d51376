"""Ctrl-C: which work it stops, which work it lets finish, and that no request leaves after it."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from leverage_nb import interrupts
from leverage_nb.interrupts import Cancellation, Departure, StoppedBeforeLeaving, Task, WorkCancelled
from tests.interrupting import run_interrupted

CELL: contextvars.ContextVar[str] = contextvars.ContextVar("cell", default="none")


def in_thread(action: Callable[[], object]) -> threading.Thread:
    """Run an action in another thread."""
    thread = threading.Thread(target=action, daemon=True)
    thread.start()
    return thread


# -- work ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", [interrupts.run, interrupts.run_to_end])
def test_work_returns_its_result_or_raises(run: Callable[[Callable[[], Any]], Any]) -> None:
    """The result of work is returned, and its exception is raised, in the thread that waits."""
    assert run(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 // 0)
    with pytest.raises(SystemExit):
        run(lambda: exec("raise SystemExit"))  # noqa: S102 - a BaseException in one expression


def test_work_of_the_main_thread_runs_in_another_thread() -> None:
    """Work of the main thread runs in another thread, with the context of the cell, so no interrupt breaks it."""
    CELL.set("In [1]")
    assert interrupts.run(lambda: (threading.current_thread() is threading.main_thread(), CELL.get())) == (
        False, "In [1]",
    )  # fmt: skip


def test_work_of_another_thread_runs_inline() -> None:
    """An interrupt reaches the main thread only, so work of another thread needs no further thread."""
    seen: list[bool] = []
    in_thread(lambda: seen.append(interrupts.run(threading.current_thread) is threading.current_thread())).join()
    assert seen == [True]


def test_work_within_work_shares_its_cancellation() -> None:
    """Nested work is cancelled with the work that started it."""
    outer = Cancellation()
    with outer.adopted():
        assert interrupts.current() is outer
        in_thread(outer.cancel).join()
        with pytest.raises(WorkCancelled):
            interrupts.check()
        with pytest.raises(WorkCancelled):
            interrupts.pause(60)
    assert not interrupts.current().is_set
    interrupts.check()
    interrupts.pause(0.0)


def test_a_pause_ends_with_the_cancellation() -> None:
    """Cancelled work does not wait until the end of its pause."""
    started = time.monotonic()
    cancellation = Cancellation()
    timer = threading.Timer(0.05, cancellation.cancel)
    timer.start()
    with cancellation.adopted(), pytest.raises(WorkCancelled):
        interrupts.pause(60)
    timer.join()
    assert time.monotonic() - started < 30


def test_work_that_was_cancelled_before_it_began_never_begins() -> None:
    """finish() of work that has not begun raises KeyboardInterrupt, and the work does not run later."""
    done: list[int] = []
    task = Task(lambda: done.append(1))
    task.cancel()
    with pytest.raises(KeyboardInterrupt):
        task.finish()
    assert done == []


# -- departures ----------------------------------------------------------------------------------------------------


def test_a_stopped_or_expired_request_does_not_leave() -> None:
    """No byte of a stopped or expired request leaves, and the exception says which of the two it is."""
    stopped = Departure()
    stopped.stop()
    with pytest.raises(StoppedBeforeLeaving) as caught:
        stopped.leave()
    assert (caught.value.expired, stopped.left) == (False, False)
    expired = Departure(expires=time.monotonic() - 0.001)
    with pytest.raises(StoppedBeforeLeaving) as caught:
        expired.leave()
    assert (caught.value.expired, expired.left) == (True, False)
    expired.stop()  # no lock remains acquired
    both = Departure(expires=time.monotonic() - 0.001)
    both.stop()
    with pytest.raises(StoppedBeforeLeaving) as caught:
        both.leave()
    assert not caught.value.expired


def test_a_request_that_has_left_is_written_to_its_end() -> None:
    """stop() waits until a request that is being written is complete: half a request is worse than a whole one."""
    departure = Departure(expires=time.monotonic() + 60)
    departure.leave()
    departure.leave()  # the next piece of the same request
    stopping = in_thread(departure.stop)
    stopping.join(0.1)
    assert stopping.is_alive()
    departure.written()
    stopping.join(60)
    assert not stopping.is_alive()
    assert departure.left
    departure.leave()  # it has left already
    departure.written()


def test_no_request_of_cancelled_work_leaves() -> None:
    """Cancelling stops requests that are about to leave, and those that are prepared later."""
    cancellation = Cancellation()
    waiting, later, elsewhere = Departure(), Departure(), Departure()
    with cancellation.watching(elsewhere):
        pass
    with cancellation.watching(waiting):
        cancellation.cancel()
        with pytest.raises(StoppedBeforeLeaving):
            waiting.leave()
    with cancellation.watching(later), pytest.raises(StoppedBeforeLeaving):
        later.leave()
    elsewhere.leave()  # its block had ended before the work was cancelled


# -- real interrupts -----------------------------------------------------------------------------------------------

_RUN = """
import threading, time
from leverage_nb import interrupts
ended = threading.Event()
def work():
    print("ready", flush=True)
    try:
        interrupts.pause(60)
    except interrupts.WorkCancelled:
        ended.set()
        raise
try:
    interrupts.run(work)
except KeyboardInterrupt:
    print("interrupted", ended.wait(30))
"""

_RUN_TO_END = """
import threading
from leverage_nb import interrupts
lock, done = threading.Lock(), []
go_on = threading.Event()
def work():
    with lock:
        print("ready", flush=True)
        go_on.wait(2)
        interrupts.check()  # an interrupt cancels nothing
        done.append(1)
try:
    interrupts.run_to_end(work)
except KeyboardInterrupt:
    print("interrupted", done, lock.locked())
"""

_FINISH = """
import threading
from leverage_nb import interrupts
go_on = threading.Event()
def work():
    print("ready", flush=True)
    go_on.wait()
    return "done"
task = interrupts.Task(work)
try:
    task.result()
except KeyboardInterrupt:
    print("interrupted")
try:
    task.finish(0.05)
except KeyboardInterrupt:
    print("not in time")
go_on.set()
print(task.finish())
"""


def test_ctrl_c_abandons_a_read_at_once() -> None:
    """An interrupt takes effect at once, and the work stops at its next pause."""
    assert run_interrupted(_RUN) == "interrupted True\n"


def test_ctrl_c_lets_a_journal_entry_finish() -> None:
    """An interrupt takes effect after the work, and no lock remains acquired."""
    assert run_interrupted(_RUN_TO_END) == "interrupted [1] False\n"


def test_interrupted_work_can_be_waited_for() -> None:
    """finish() returns the result of interrupted work, and raises KeyboardInterrupt if it does not end in time."""
    assert run_interrupted(_FINISH) == "interrupted\nnot in time\ndone\n"
