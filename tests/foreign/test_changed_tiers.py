"""A plan knows what the exchange has changed since the tiers were read."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from leverage_nb import Account
from tests.foreign.exchange import ForeignExchange


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Advance the package's monotonic clock."""
    now = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: now() + seconds)


def test_a_plan_knows_a_new_maximum(
    exchange: ForeignExchange, connect: Callable[..., Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A leverage that the tiers have allowed for a minute can be planned."""
    exchange.tiers["SOLUSDT"] = ((50, 100_000, 0.01),)
    account = connect()
    account.symbols()
    exchange.tiers["SOLUSDT"] = ((75, 100_000, 0.01),)
    later(monkeypatch, 60)
    (row,) = account.plan({"SOLUSDT": 75}).apply().rows
    assert row.status == "applied", row.note


def test_a_plan_knows_a_new_symbol(
    exchange: ForeignExchange, connect: Callable[..., Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A symbol that was listed a minute ago can be planned."""
    account = connect()
    account.symbols()
    exchange.tiers["NEWUSDT"], exchange.leverages["NEWUSDT"] = exchange.tiers["SOLUSDT"], 20
    later(monkeypatch, 60)
    (row,) = account.plan({"NEWUSDT": 30}).apply().rows
    assert row.status == "applied", row.note
