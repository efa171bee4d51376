"""Accounts whose attempts pass their deadline soon, and what their journal and errors show.

Only the deadline is short. Requests have as long as usual, because on a busy machine any of them may take a second.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from leverage_nb.account import Account, service_of
from leverage_nb.errors import LeverageError
from leverage_nb.journal.attempts import Attempt
from leverage_nb.simulator import Simulator
from tests.conftest import connect_to

# Milliseconds, and seconds.
WINDOW, GRACE, TIMEOUT = 1000, 0.1, 10.0
DEADLINE_MS = WINDOW + GRACE * 1000


def connect_quick(simulator: Simulator, **options: Any) -> Account:
    """Return an account whose attempts pass their deadline after 1.1 s, with the tiers already read."""
    account = connect_to(simulator, **{"timeout": TIMEOUT, "recv_window": WINDOW, "grace": GRACE, **options})
    account.margin_asset("BTCUSDT")
    return account


@contextmanager
def quick_pair(**options: Any) -> Iterator[tuple[Account, Simulator]]:
    """Open a simulator for one of several cases that run side by side, and an account on it that ends soon."""
    with Simulator() as simulator, connect_quick(simulator, **options) as account:
        yield account, simulator


def attempts(account: Account) -> list[Attempt]:
    """Return the attempts in the journal, oldest first."""
    return service_of(account).past.attempts()


def failure(account: Account, symbol: str = "BTCUSDT", leverage: int = 10) -> LeverageError:
    """Return the error that a change ends with."""
    with pytest.raises(LeverageError) as caught:
        account.set_leverage(symbol, leverage)
    return caught.value


def in_thread(action: Callable[[], Any]) -> tuple[threading.Thread, list[Any]]:
    """Run a function in another thread; its result or its error ends up in the list."""
    ended: list[Any] = []

    def run() -> None:
        try:
            ended.append(action())
        except BaseException as exc:  # noqa: BLE001 - the test examines it
            ended.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, ended
