"""Ctrl-C: work runs in a thread of its own, so that an interrupt never leaves a lock held or a request half sent.

Python raises ``KeyboardInterrupt`` in the main thread only, at any instruction. Code that runs there may lose a lock or
a database transaction half way. So requests and journal entries are made in a worker thread, and the main thread only
waits. An interrupt cancels the work: from that moment no request leaves, and the work stops at its next pause.
"""

from __future__ import annotations

import _thread
import contextvars
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Generic, TypeVar

T = TypeVar("T")

# After so many seconds the waiting main thread wakes up. The system may hand SIGINT to another thread, as to one that
# is being started just then; Python raises KeyboardInterrupt only once the main thread runs again.
_WAKES_EVERY = 0.05


class WorkCancelled(BaseException):
    """Raised in a worker thread whose work was cancelled. Not an ``Exception``: no handler may swallow it."""


class StoppedBeforeLeaving(Exception):
    """A request was stopped at its first byte.

    Attributes:
        expired: Whether it was too late to send it; else the work was cancelled.
    """

    def __init__(self, *, expired: bool) -> None:
        super().__init__()
        self.expired = expired


class Departure:
    """Knows whether any byte of one request has left, and can stop it until then.

    Args:
        expires: When it is too late to send it, by ``time.monotonic()``; None for never.

    Attributes:
        left: Whether the first byte was handed to a socket.
    """

    def __init__(self, expires: float | None = None) -> None:
        self._expires = expires
        self._writing = threading.Lock()  # held from the first byte until the request is written
        self._is_writing = False
        self._stopped = False
        self.left = False

    def leave(self) -> None:
        """Note that the next byte leaves.

        Raises:
            StoppedBeforeLeaving: It must not leave any more.
        """
        if self.left:
            return
        self._writing.acquire()
        expired = self._expires is not None and time.monotonic() > self._expires
        if self._stopped or expired:
            self._writing.release()
            raise StoppedBeforeLeaving(expired=expired and not self._stopped)
        self._is_writing = self.left = True

    def written(self) -> None:
        """Note that the whole request was written, or that writing failed."""
        if self._is_writing:
            self._is_writing = False
            self._writing.release()

    def stop(self) -> None:
        """Let nothing leave from now on; a request that is being written is written to its end first."""
        with self._writing:
            self._stopped = True


class Cancellation:
    """The wish that some work should stop, shared by the threads that do it."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._departures: set[Departure] = set()

    @property
    def is_set(self) -> bool:
        """Whether the work was cancelled."""
        return self._event.is_set()

    def cancel(self) -> None:
        """Cancel the work. No request of it leaves after this has returned."""
        self._event.set()
        with self._lock:
            departures = list(self._departures)
        for departure in departures:
            departure.stop()

    def wait(self, seconds: float) -> bool:
        """Wait, or return True as soon as the work is cancelled."""
        return self._event.wait(seconds)

    @contextmanager
    def watching(self, departure: Departure) -> Iterator[None]:
        """Stop a request on cancellation, for the length of a block."""
        with self._lock:
            self._departures.add(departure)
        try:
            if self.is_set:
                departure.stop()
            yield
        finally:
            with self._lock:
                self._departures.discard(departure)

    @contextmanager
    def adopted(self) -> Iterator[None]:
        """Make it the current thread's, for the length of a block."""
        before = getattr(_current, "cancellation", None)
        _current.cancellation = self
        try:
            yield
        finally:
            _current.cancellation = before


_current = threading.local()


def current() -> Cancellation:
    """The cancellation of the current thread's work; one that nobody cancels where there is no such work."""
    return getattr(_current, "cancellation", None) or Cancellation()


def pause(seconds: float) -> None:
    """Sleep.

    Raises:
        WorkCancelled: The work was cancelled meanwhile.
    """
    if current().wait(max(0.0, seconds)):
        raise WorkCancelled


def check() -> None:
    """Stop here if the work was cancelled.

    Raises:
        WorkCancelled: It was.
    """
    if current().is_set:
        raise WorkCancelled


class Task(Generic[T]):
    """Work that Ctrl-C cannot break: it runs in a thread of its own, or inline in any thread but the main one.

    Args:
        work: What to do.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._cancellation = Cancellation()
        self._begun = threading.Lock()  # taken by whoever decides first whether the work begins
        self._outcome: tuple[T | None, BaseException | None] | None = None
        self._ended: queue.SimpleQueue[None] = queue.SimpleQueue()

    def result(self) -> T:
        """Do the work, and wait for its end. Called once.

        Raises:
            KeyboardInterrupt: While waiting; the work goes on until :meth:`cancel`.
            BaseException: What the work raised.
        """
        if threading.get_ident() != threading.main_thread().ident:
            return self._work()
        # The context carries the cell that output belongs to. Thread.start() waits in Python code, where an interrupt
        # ends as a RuntimeError; this is one step.
        _thread.start_new_thread(contextvars.copy_context().run, (self._run,))
        return self._wait()

    def cancel(self) -> None:
        """Cancel the work: no request leaves after this has returned."""
        self._cancellation.cancel()

    def finish(self, seconds: float | None = None) -> T:
        """Wait for the end of work whose :meth:`result` was interrupted; work that has not begun never will.

        Args:
            seconds: How long to wait; None for as long as it takes.

        Raises:
            KeyboardInterrupt: It has not begun, or is not at its end in time.
            BaseException: What the work raised.
        """
        if self._begun.acquire(blocking=False):
            raise KeyboardInterrupt
        try:
            return self._wait(seconds)
        except queue.Empty:
            raise KeyboardInterrupt from None

    def _wait(self, seconds: float | None = None) -> T:
        deadline = None if seconds is None else time.monotonic() + seconds
        while self._outcome is None:
            left = _WAKES_EVERY if deadline is None else min(_WAKES_EVERY, deadline - time.monotonic())
            if left <= 0:
                raise queue.Empty
            with suppress(queue.Empty):
                self._ended.get(timeout=left)
        assert self._outcome is not None  # noqa: S101 - set before the queue is filled
        value, failure = self._outcome
        if isinstance(failure, WorkCancelled):
            raise KeyboardInterrupt
        if failure is not None:
            raise failure
        return value  # type: ignore[return-value]  # without a failure it is the result

    def _run(self) -> None:
        if not self._begun.acquire(blocking=False):
            return
        with self._cancellation.adopted():
            try:
                check()  # cancelled before it began
                self._outcome = self._work(), None
            except BaseException as exc:  # noqa: BLE001 - raised in the waiting thread
                self._outcome = None, exc
        self._ended.put(None)


def run(work: Callable[[], T]) -> T:
    """Do work that may be abandoned, as a read: Ctrl-C cancels it and returns at once.

    Raises:
        KeyboardInterrupt: It was interrupted.
        BaseException: What the work raised.
    """
    task = Task(work)
    try:
        return task.result()
    except KeyboardInterrupt:
        task.cancel()
        raise


def run_to_end(work: Callable[[], T]) -> T:
    """Do short work that must not stop half way, as a journal entry: Ctrl-C takes effect after it.

    Raises:
        KeyboardInterrupt: An interrupt came meanwhile; the work is done.
        BaseException: What the work raised.
    """
    task = Task(work)
    try:
        return task.result()
    except KeyboardInterrupt:
        task.finish()
        raise
