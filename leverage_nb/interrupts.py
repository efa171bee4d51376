"""Ctrl-C: run work in a worker thread, so that an interrupt never leaves a lock acquired or a request half sent.

Python raises ``KeyboardInterrupt`` in the main thread only, at any instruction, also inside a lock or a database
transaction. Requests and journal entries are therefore made in a worker thread, while the main thread only waits. An
interrupt cancels the work: from then on no request leaves, and the work stops at its next pause.
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

# Seconds after which the waiting main thread wakes up. The system may deliver SIGINT to another thread; Python raises
# KeyboardInterrupt only when the main thread runs again.
_WAKE_EVERY = 0.05


class WorkCancelled(BaseException):
    """Raised in a worker thread whose work was cancelled. Not an ``Exception``, so that no handler catches it."""


class StoppedBeforeLeaving(Exception):
    """A request was stopped before its first byte left.

    Attributes:
        expired: True if the request had expired, False if the work was cancelled.
    """

    def __init__(self, *, expired: bool) -> None:
        super().__init__()
        self.expired = expired


class Departure:
    """Record whether any byte of a request has left, and stop the request as long as none has.

    Args:
        expires: The time, by ``time.monotonic()``, after which the request must not leave; None for no limit.

    Attributes:
        left: Whether the first byte was passed to a socket.
    """

    def __init__(self, expires: float | None = None) -> None:
        self._expires = expires
        self._writing = threading.Lock()  # acquired from the first byte until the request is written
        self._is_writing = False
        self._stopped = False
        self.left = False

    def leave(self) -> None:
        """Record that the next byte leaves.

        Raises:
            StoppedBeforeLeaving: The request was stopped or has expired.
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
        """Record that the whole request was written, or that writing failed."""
        if self._is_writing:
            self._is_writing = False
            self._writing.release()

    def stop(self) -> None:
        """Stop the request if no byte has left. If it is being written, wait until it is written."""
        with self._writing:
            self._stopped = True


class Cancellation:
    """A request to stop some work, shared by the threads that do it."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._departures: set[Departure] = set()

    @property
    def is_set(self) -> bool:
        """Whether the work was cancelled."""
        return self._event.is_set()

    def cancel(self) -> None:
        """Cancel the work. None of its requests leaves after this method has returned."""
        self._event.set()
        with self._lock:
            departures = list(self._departures)
        for departure in departures:
            departure.stop()

    def wait(self, seconds: float) -> bool:
        """Wait for a number of seconds. Return True at once if the work is cancelled meanwhile, else False."""
        return self._event.wait(seconds)

    @contextmanager
    def watching(self, departure: Departure) -> Iterator[None]:
        """Stop a request if the work is cancelled within the block."""
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
        """Make this the cancellation of the current thread within the block."""
        before = getattr(_current, "cancellation", None)
        _current.cancellation = self
        try:
            yield
        finally:
            _current.cancellation = before


_current = threading.local()


def current() -> Cancellation:
    """Return the cancellation of the current thread's work; a new one if the thread does no such work."""
    return getattr(_current, "cancellation", None) or Cancellation()


def pause(seconds: float) -> None:
    """Sleep for a number of seconds.

    Raises:
        WorkCancelled: The work was cancelled.
    """
    if current().wait(max(0.0, seconds)):
        raise WorkCancelled


def check() -> None:
    """Raise if the work was cancelled.

    Raises:
        WorkCancelled: The work was cancelled.
    """
    if current().is_set:
        raise WorkCancelled


class Task(Generic[T]):
    """Work that Ctrl-C cannot break: it runs in a worker thread, or inline if the caller is not the main thread.

    Args:
        work: The function to run.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self._work = work
        self._cancellation = Cancellation()
        self._begun = threading.Lock()  # acquired by the worker, or by finish() to prevent the work
        self._outcome: tuple[T | None, BaseException | None] | None = None
        self._ended: queue.SimpleQueue[None] = queue.SimpleQueue()

    def result(self) -> T:
        """Run the work and return its result. Call this once.

        Raises:
            KeyboardInterrupt: Ctrl-C while waiting; the work continues until :meth:`cancel`.
            BaseException: Any exception of the work.
        """
        if threading.get_ident() != threading.main_thread().ident:
            return self._work()
        # The context names the cell to which output belongs. Thread.start() would wait in Python code, where an
        # interrupt becomes a RuntimeError; this call is atomic.
        _thread.start_new_thread(contextvars.copy_context().run, (self._run,))
        return self._wait()

    def cancel(self) -> None:
        """Cancel the work. None of its requests leaves after this method has returned."""
        self._cancellation.cancel()

    def finish(self, seconds: float | None = None) -> T:
        """Wait for the result after :meth:`result` was interrupted. Work that has not begun is not started any more.

        Args:
            seconds: Seconds to wait; None for no limit.

        Raises:
            KeyboardInterrupt: The work had not begun, or did not end in time.
            BaseException: Any exception of the work.
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
            left = _WAKE_EVERY if deadline is None else min(_WAKE_EVERY, deadline - time.monotonic())
            if left <= 0:
                raise queue.Empty
            with suppress(queue.Empty):
                self._ended.get(timeout=left)
        assert self._outcome is not None  # noqa: S101 - the loop above ends only with it
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
    """Run work that may be abandoned, such as a read. Ctrl-C cancels it and takes effect at once.

    Raises:
        KeyboardInterrupt: The work was interrupted.
        BaseException: Any exception of the work.
    """
    task = Task(work)
    try:
        return task.result()
    except KeyboardInterrupt:
        task.cancel()
        raise


def run_to_end(work: Callable[[], T]) -> T:
    """Run short work that must not stop half way, such as a journal entry. Ctrl-C takes effect after it.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed meanwhile; the work is complete.
        BaseException: Any exception of the work.
    """
    task = Task(work)
    try:
        return task.result()
    except KeyboardInterrupt:
        task.finish()
        raise
