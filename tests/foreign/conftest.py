"""An independent exchange, and accounts and kernels that use it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import leverage_nb as lev
from leverage_nb import Account, LeverageChange, LeverageError
from tests.foreign.exchange import ForeignExchange, serving
from tests.foreign.kernels import Kernel, kernel, options_for


@pytest.fixture
def exchange() -> Iterator[ForeignExchange]:
    """An exchange that shares no code and no assumption with the package."""
    with serving() as running:
        yield running


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """The path of the journal that all accounts and kernels of a test use."""
    return tmp_path / "journal.sqlite"


@pytest.fixture
def connect(exchange: ForeignExchange, journal: Path) -> Iterator[Callable[..., Account]]:
    """Open an account of the exchange: ``connect("mainnet", timeout=2)``."""
    with ExitStack() as opened:

        def connect(venue: str = "testnet", **more: Any) -> Account:
            return opened.enter_context(lev.connect(venue, **options_for(exchange, journal, **more)))

        yield connect


@pytest.fixture
def start_kernel(exchange: ForeignExchange, journal: Path) -> Iterator[Callable[..., Kernel]]:
    """Start another kernel on the same account and journal: ``start_kernel(timeout=2)``."""
    with ExitStack() as started:

        def start(**more: Any) -> Kernel:
            return started.enter_context(kernel(options_for(exchange, journal, **more)))

        yield start


def outcome(change: Callable[[], LeverageChange]) -> LeverageChange:
    """Return the record of a change, whether it is returned or raised."""
    try:
        return change()
    except LeverageError as exc:
        failure = exc
    assert failure.change is not None, f"{type(failure).__name__} without a record: {failure}"
    return failure.change


def outcome_if_sent(change: Callable[[], LeverageChange]) -> LeverageChange:
    """Return the record of a change, made again if a busy machine could not send it within a second of its read."""
    done = outcome(change)
    for _ in range(4):
        if done.status != "not_sent":
            break
        done = outcome(change)
    return done
