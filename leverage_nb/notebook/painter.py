"""Two background threads that all panels share: one draws, the other reads the account."""

from __future__ import annotations

import atexit
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

# Seconds between two reads that events of the exchange cause, over all panels: a read has a request weight of about 25,
# and Binance allows 2,400 in a minute.
_BETWEEN_READS = 5.0


class Painter:
    """Runs jobs in one thread, one after the other, so that no caller waits for them. The thread ends with the last.

    Args:
        name: The name of the thread.
        pause: Seconds between the starts of two jobs. A job that comes first does not wait for them.
        at_exit: Whether the process waits at its end for the job that is being run.
    """

    def __init__(self, name: str = "leverage_nb painter", pause: float = 0.0, *, at_exit: bool = True) -> None:
        self._name, self._pause, self._at_exit = name, pause, at_exit
        self._changed = threading.Condition()
        self._waiting: deque[Callable[[], None]] = deque()
        self._urgent = 0  # how many of the waiting jobs, from the left, do not wait for the pause
        self._next_at = 0.0  # by time.monotonic()
        self._thread: threading.Thread | None = None
        self._ended = False
        atexit.register(self._end)

    def draw(self, job: Callable[[], None], *, first: bool = False) -> None:
        """Run a job soon; several calls with the same job run it once.

        Args:
            job: The job.
            first: Before the jobs that wait: a live panel must not wait for the charts of saved notebooks.
        """
        with self._changed:
            if self._ended:
                return
            if first and job not in list(self._waiting)[: self._urgent]:
                self._remove(job)
                self._waiting.appendleft(job)
                self._urgent += 1
            elif job not in self._waiting:
                self._waiting.append(job)
            # It is not alive if Ctrl-C came before its start.
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
            self._changed.notify()

    def drop(self, job: Callable[[], None]) -> None:
        """Do not run a job that is waiting: its panel was closed."""
        with self._changed:
            self._remove(job)
            self._changed.notify()

    def wait(self, _result: object = None) -> None:
        """Wait until all jobs are done, at the end of a cell, so that a saved notebook shows what was drawn."""
        with self._changed:
            thread = self._thread
        if thread is not None and thread.ident is not None:
            thread.join(timeout=5)

    def _run(self) -> None:
        while (job := self._next()) is not None:
            with suppress(Exception):  # a panel that cannot be drawn must not stop the others
                job()
            del job  # so that a closed panel can be freed

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            while self._waiting:
                left = self._next_at - time.monotonic()
                if self._urgent or left <= 0:
                    self._urgent = max(0, self._urgent - 1)
                    self._next_at = time.monotonic() + self._pause
                    return self._waiting.popleft()
                self._changed.wait(left)
            self._thread = None
            return None

    def _remove(self, job: Callable[[], None]) -> None:
        if job in self._waiting:
            self._urgent -= self._waiting.index(job) < self._urgent
            self._waiting.remove(job)

    def _end(self) -> None:
        with self._changed:
            self._ended = True
            self._waiting.clear()
            self._urgent = 0
            self._changed.notify()
        if self._at_exit:
            self.wait()


# The process waits for the painter at its end, because it aborts if a thread ends inside matplotlib's C++ code.
painter = Painter()
reader = Painter("leverage_nb reader", _BETWEEN_READS, at_exit=False)
