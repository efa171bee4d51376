"""Painter: draws panels in a thread of its own."""

from __future__ import annotations

import atexit
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress


class Painter:
    """Draws all panels in one thread, so that no change waits for a panel. The thread ends when everything is drawn.

    The process waits for it at exit, because it aborts if a thread ends inside matplotlib's C++ code.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Callable[[], None]] = deque()
        self._thread: threading.Thread | None = None
        self._ended = False
        atexit.register(self._end)

    def draw(self, job: Callable[[], None], *, first: bool = False) -> None:
        """Run a drawing job soon; several calls with the same job run it once.

        Args:
            job: The job.
            first: Before the jobs that wait: a live panel must not wait for the charts of saved notebooks.
        """
        with self._lock:
            if job not in self._waiting and not self._ended:
                (self._waiting.appendleft if first else self._waiting.append)(job)
            alive = (
                self._thread is not None and self._thread.is_alive()
            )  # it is not alive if Ctrl-C came before its start
            if self._waiting and not alive:
                self._thread = threading.Thread(target=self._run, name="leverage_nb painter", daemon=True)
                self._thread.start()

    def wait(self, _result: object = None) -> None:
        """Wait until everything is drawn, at the end of a cell, so that a saved notebook shows it."""
        with self._lock:
            thread = self._thread
        if thread is not None and thread.ident is not None:
            thread.join(timeout=5)

    def _run(self) -> None:
        while (job := self._next()) is not None:
            with suppress(Exception):  # a panel that cannot be drawn must not stop the others
                job()
            del job  # so that a closed panel can be freed

    def _next(self) -> Callable[[], None] | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._thread = None
            return None

    def _end(self) -> None:
        with self._lock:
            self._ended = True
            self._waiting.clear()
        self.wait()


painter = Painter()
