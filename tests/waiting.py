"""Wait for something to become true, and find the package's threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


def until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    """Wait for something to become true, for as long as a busy machine may need."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.005)


def threads_since(before: set[threading.Thread]) -> set[str]:
    """Return the names of the package's threads that were started since."""
    names = {thread.name for thread in set(threading.enumerate()) - before}
    return {
        name for name in names if name in {f"leverage_nb {kind}" for kind in ("stream", "painter", "reader", "policy")}
    }
