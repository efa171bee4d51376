"""Other kernels: processes that run cells, use the same journal and exchange, and can be killed."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd  # noqa: F401 - loaded once, in the process that forks the kernels
import pytest
import requests  # noqa: F401 - as above

import leverage_nb as lev
from tests.foreign.exchange import ForeignExchange

# A server process with the package loaded forks the kernels, so that each starts within milliseconds.
# Windows has none; tests that need more of POSIX are skipped there.
processes: Any = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
if os.name == "posix":
    processes.set_forkserver_preload(["tests.foreign.kernels"])


def options_for(exchange: ForeignExchange, journal: Path | str, **more: Any) -> dict[str, Any]:
    """Return arguments of ``connect()`` for the exchange's account, with a short grace.

    A test that waits for a deadline gives a short ``recv_window`` itself, and one whose exchange is silent a short
    ``timeout``: with them, requests of a busy machine may be refused as late, or given up.
    """
    return {
        "rest_url": exchange.url,
        "api_key": exchange.api_key,
        "api_secret": exchange.api_secret,
        "journal": str(journal),
        "max_leverage": 150,
        "timeout": 10.0,
        "recv_window": 3000,
        "grace": 0.3,
        "weight_share": 1.0,
        **more,
    }


class Kernel:
    """A process that is connected to the exchange as ``account`` and runs cells.

    Args:
        options: The arguments of ``connect()``.

    Attributes:
        back_ms: The time at which the last cell had ended, in milliseconds since the epoch.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        if os.name == "nt":
            pytest.skip("kernels are stopped by signals, which Windows does not send")
        self.back_ms = 0
        self._pipe, theirs = processes.Pipe()
        self._process = processes.Process(target=_live, args=(theirs, options), daemon=True)
        self._process.start()
        theirs.close()

    def start(self, cell: str) -> None:
        """Run a cell and do not wait for it."""
        self._pipe.send(cell)

    def result(self, timeout: float = 30.0) -> Any:
        """Wait for the end of the cell; return its value or raise its error.

        Raises:
            TimeoutError: It has not ended in time.
        """
        if not self._pipe.poll(timeout):
            raise TimeoutError(f"the cell did not end within {timeout} s")
        value, error, self.back_ms = self._pipe.recv()
        if error is not None:
            raise error
        return value

    def run(self, cell: str, timeout: float = 30.0) -> Any:
        """Run a cell: an expression, or statements that assign ``result``."""
        self.start(cell)
        return self.result(timeout)

    def interrupt(self) -> None:
        """Press Stop."""
        os.kill(self._process.pid or 0, signal.SIGINT)

    def kill(self) -> None:
        """Kill the process."""
        self._process.kill()
        self._process.join(10)

    def exit(self) -> None:
        """End the process as at the end of a script, with all exit functions."""
        self._pipe.send(None)
        self._process.join(10)
        assert self._process.exitcode == 0


def _live(pipe: Any, options: dict[str, Any]) -> None:
    cells: dict[str, Any] = {"lev": lev, "account": lev.connect("testnet", **options), "options": options}
    _ignore_interrupts()
    while (cell := pipe.recv()) is not None:
        value, error = _run_interruptibly(cell, cells)
        back = time.time_ns() // 1_000_000
        try:
            pipe.send((value, error, back))
        except Exception as exc:  # noqa: BLE001 - what cannot be pickled
            pipe.send((None, RuntimeError(f"{exc!r} for {value!r} {error!r}"), back))
    atexit._run_exitfuncs()  # a process of multiprocessing ends without them


def _run_interruptibly(cell: str, cells: dict[str, Any]) -> tuple[Any, BaseException | None]:
    """Run a cell as a kernel does: Stop raises KeyboardInterrupt while it runs, and never later."""
    value, error = None, None
    try:
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            value = _run(cell, cells)
        except BaseException as exc:  # noqa: BLE001 - the test judges it
            error = exc
        _ignore_interrupts()
    except KeyboardInterrupt as exc:  # it arrived as the cell ended
        error = error or exc
        _ignore_interrupts()
    return value, error


def _ignore_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _run(cell: str, cells: dict[str, Any]) -> Any:
    code: Any
    run: Callable[..., Any]
    try:
        code, run = compile(cell, "<cell>", "eval"), eval
    except SyntaxError:
        code, run = compile(cell, "<cell>", "exec"), exec
    cells.pop("result", None)
    value = run(code, cells)
    return cells.get("result") if run is exec else value


@contextmanager
def kernel(options: dict[str, Any]) -> Iterator[Kernel]:
    """Run a :class:`Kernel` within the block, and kill it at the end."""
    started = Kernel(options)
    try:
        yield started
    finally:
        started.kill()
