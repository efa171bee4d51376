"""Accounts and clients whose attempts pass their deadline soon."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import responses

from leverage_nb.account import Account
from leverage_nb.simulator import Simulator
from tests.changes.faked_wire import FakedWire
from tests.changes.quick import connect_quick


@pytest.fixture
def quick(simulator: Simulator) -> Account:
    """An account whose attempts pass their deadline after 1.1 s."""
    return connect_quick(simulator)


@pytest.fixture
def faked() -> Iterator[FakedWire]:
    """A client on a faked wire, whose POST is answered as the test chooses."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        faked = FakedWire(wire)
        yield faked
        faked.close()
