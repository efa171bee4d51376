"""The key identifies the account, at two addresses and under a profile."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest

from leverage_nb import Account, LeverageError
from leverage_nb.errors import ChangeNotSent
from tests.foreign.conftest import outcome
from tests.foreign.exchange import CHANGE, ForeignExchange
from tests.foreign.kernels import Kernel
from tests.foreign.wire import SILENCE
from tests.patience import giving_up_soon


@pytest.mark.parametrize("in_another_kernel", [True, False])
def test_two_addresses_are_one_account(
    exchange: ForeignExchange,
    connect: Callable[..., Account],
    start_kernel: Callable[..., Kernel],
    in_another_kernel: bool,
) -> None:
    """While a change through one address is open, no change of its symbol is sent to the exchange's other address."""
    exchange.play(CHANGE, execute=False, answer=SILENCE)
    if in_another_kernel:
        start_kernel(recv_window=1500).start("account.set_leverage('BTCUSDT', 20)")
        exchange.wait_for(CHANGE)
    else:
        account = connect(recv_window=1500)
        with giving_up_soon(account), suppress(KeyboardInterrupt):
            account.set_leverage("BTCUSDT", 20, progress=_stop)
    other = connect(rest_url=exchange.other_url)
    with suppress(LeverageError):
        other.set_leverage("BTCUSDT", 30)
    first, *later = exchange.arrived(CHANGE)
    assert all(one.timestamp - first.timestamp >= 1800 for one in later)  # recvWindow and grace


def _stop(_: str) -> None:
    raise KeyboardInterrupt


def test_the_history_does_not_depend_on_the_address(exchange: ForeignExchange, connect: Callable[..., Account]) -> None:
    """A change through one address is in the history of the other address, and can be undone there."""
    connect().set_leverage("BTCUSDT", 20)
    other = connect(rest_url=exchange.other_url)
    assert other.history()["requested"].tolist() == [20]
    other.undo()
    assert exchange.leverages["BTCUSDT"] == 10


def test_a_profile_without_balances_is_bound_later(exchange: ForeignExchange, connect: Callable[..., Account]) -> None:
    """A profile whose account has no balance yet is bound to the account once it has one."""
    balance, exchange.balance = exchange.balance, []
    with suppress(LeverageError):
        connect(profile="sub1").set_leverage("BTCUSDT", 11)
    exchange.balance = balance
    assert connect(profile="sub1").set_leverage("BTCUSDT", 12).status == "applied"
    exchange.balance = [{**balance[0], "accountAlias": "Another"}]
    sent = exchange.changes_sent()
    with pytest.raises(ChangeNotSent):
        connect(profile="sub1").set_leverage("BTCUSDT", 13)
    assert exchange.changes_sent() == sent
    exchange.balance = balance
    assert outcome(lambda: connect(profile="sub1").set_leverage("BTCUSDT", 14)).status == "applied"
