"""The guard is the user's own upper bound on leverage."""

from __future__ import annotations

from typing import Any

import pytest

from leverage_nb.account import Account, service_of
from leverage_nb.changes.guard import Guard
from leverage_nb.errors import ChangeNotSent, InvalidInput
from leverage_nb.session import session
from leverage_nb.simulator import Simulator
from tests.conftest import connect_to


@pytest.mark.parametrize(
    ("mainnet", "argument", "config", "variable", "limit"),
    [
        (False, None, 0, None, None), (True, None, 0, None, 20), (False, 50, 0, None, 50),
        (True, 125, 0, None, 125), (True, 125, 30, None, 30), (True, 125, 30, "12x", 12),
        (False, 10, 30, "40", 10),
    ],
)  # fmt: skip
def test_the_lowest_source_applies(
    monkeypatch: pytest.MonkeyPatch, mainnet: bool, argument: Any, config: int, variable: str | None, limit: int | None
) -> None:
    """The lowest of argument, %config and environment applies; on mainnet it is 20 if none is set."""
    if variable is not None:
        monkeypatch.setenv("LEVERAGE_NB_MAX_LEVERAGE", variable)
    guard = Guard(mainnet, argument, lambda: config)
    found = guard.limit()
    assert (found and found[0]) == limit


@pytest.mark.parametrize("value", [-1, 0, 10.5, "many", True, [5]])
def test_an_invalid_guard_is_refused_at_once(value: Any) -> None:
    """A guard that is not a leverage raises InvalidInput when it is set."""
    with pytest.raises(InvalidInput, match="max_leverage"):
        Guard(True, value)


def test_a_leverage_above_the_guard_is_not_sent(simulator: Simulator) -> None:
    """A leverage above the guard is not sent, whether it was previewed, forced or neither."""
    account = connect_to(simulator, "mainnet")
    for attempt in (
        lambda: account.set_leverage("SOLUSDT", 25),
        lambda: account.preview("SOLUSDT", 25).apply(),
        lambda: account.preview("SOLUSDT", 25).apply(force=True),
    ):
        with pytest.raises(ChangeNotSent, match="above your guard of 20x") as caught:
            attempt()
        assert caught.value.change is not None
        assert caught.value.change.status == "not_sent"
    assert simulator.exchange.account.leverage("SOLUSDT") == 20
    assert "above your guard of 20x" in account.preview("SOLUSDT", 25).guard
    assert service_of(account).bound(account.tiers("SOLUSDT")) == (20, "your guard: the default on mainnet")
    assert account.highest_leverage("SOLUSDT") == 20


def test_config_guards_every_account_of_the_process(account: Account) -> None:
    """The guard of %config applies to accounts and previews that were made before it was set."""
    preview = account.preview("SOLUSDT", 75)
    session.max_leverage = 12
    for attempt in (lambda: account.set_leverage("SOLUSDT", 75), preview.apply):
        with pytest.raises(ChangeNotSent, match="above your guard of 12x"):
            attempt()
    assert service_of(account).bound(account.tiers("SOLUSDT"))[0] == 12
