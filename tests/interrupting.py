"""Real interrupts: SIGINT to this process at a chosen moment, or to another process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest

from leverage_nb.simulator import Simulator
from tests.conftest import ROOT


@contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGINT raise KeyboardInterrupt within the block: a background job may ignore SIGINT."""
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt as exc:
        if type(exc) is not KeyboardInterrupt:
            raise
        raise AssertionError("the interrupt was not reported as ChangeInterrupted") from exc
    finally:
        while signal.getsignal(signal.SIGINT) is not earlier:
            with suppress(KeyboardInterrupt):  # an interrupt that arrives late
                signal.signal(signal.SIGINT, earlier)


def interrupt() -> None:
    """Send SIGINT to this process, from any thread."""
    if os.name == "nt":  # os.kill would end the process
        signal.raise_signal(signal.SIGINT)
    else:
        os.kill(os.getpid(), signal.SIGINT)


def interrupt_on(simulator: Simulator, method: str, path: str) -> None:
    """Interrupt this process once, when a request has arrived at a simulator and before it is answered."""
    handle, waiting = simulator.exchange.handle, [True]

    def interrupting(request: Any, *more: Any, **options: Any) -> Any:
        if waiting and (request.method, request.path) == (method, path):
            waiting.clear()
            interrupt()
        return handle(request, *more, **options)

    simulator.exchange.handle = interrupting  # type: ignore[method-assign]  # answers as before


def run_interrupted(script: str, when: Callable[[str], bool] = lambda line: line == "ready") -> str:
    """Run a script in another process, interrupt it when it prints a line, and return its further output."""
    if os.name == "nt":
        pytest.skip("Windows sends no signals to other processes")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    start = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    process = subprocess.Popen(
        [sys.executable, "-c", start + script],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if when(line.strip()):
            process.send_signal(signal.SIGINT)
            break
    try:
        return process.communicate(timeout=30)[0]
    finally:
        process.kill()
        process.wait()
