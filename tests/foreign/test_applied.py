"""Applied is confirmed by the exchange's answer or by a later read, never by an event."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from leverage_nb import Account
from leverage_nb.errors import LeverageError
from tests.foreign.conftest import outcome
from tests.foreign.exchange import CHANGE, CONFIG, ForeignExchange
from tests.foreign.wire import RESET, Reply


class Follower:
    """Watches an account, and stores the leverages of BTCUSDT in its events."""

    def __init__(self, account: Account) -> None:
        self._came = threading.Condition()
        self.leverages: list[int] = []
        connected = threading.Event()
        self._connected = connected.set
        account.watch(self._note)
        assert connected.wait(60)  # an event before that reaches nobody

    def _note(self, event: Any) -> None:
        if getattr(event, "state", "") in {"connected", "live"}:
            self._connected()
        if getattr(event, "symbol", "") == "BTCUSDT":
            with self._came:
                self.leverages.append(event.leverage)
                self._came.notify_all()

    def wait_for(self, leverage: int) -> None:
        """Wait until an event has named a leverage."""
        with self._came:
            assert self._came.wait_for(lambda: leverage in self.leverages, 60)


@pytest.mark.parametrize("ahead", [200, 2000], ids=["200 ms ahead", "2 s ahead"])
def test_an_event_before_the_attempt_does_not_decide(
    exchange: ForeignExchange, connect: Callable[..., Account], ahead: int
) -> None:
    """An event of the target before an attempt does not make a lost request applied."""
    account = connect(recv_window=1500, stream_url=exchange.stream_url())
    follower = Follower(account)
    # Another client has set 20x and then 10x again; the clock of the stream is ahead.
    exchange.send_event("BTCUSDT", 20, exchange.now_ms() + ahead)
    follower.wait_for(20)
    exchange.play(CHANGE, execute=False, answer=RESET)
    change = outcome(lambda: account.set_leverage("BTCUSDT", 20))
    assert (change.status, change.after, change.confirmed_by) == ("not_applied", 10, "symbolConfig")
    assert account.history()["status"].tolist() == ["not_applied"]


def test_an_event_during_the_attempt_does_not_decide(
    exchange: ForeignExchange, connect: Callable[..., Account]
) -> None:
    """Changes by another client during an attempt do not confirm a request that was lost."""
    account = connect(recv_window=1500, stream_url=exchange.stream_url())
    follower = Follower(account)
    account.set_leverage("BTCUSDT", 20)
    exchange.send_event("BTCUSDT", 20, exchange.now_ms())
    follower.wait_for(20)

    def flicker() -> None:
        for leverage in (10, 20):
            exchange.change("BTCUSDT", leverage)
        exchange.send_event("BTCUSDT", 10, exchange.now_ms())  # the stream loses the second event
        follower.wait_for(10)

    exchange.play(CHANGE, execute=False, answer=RESET, first=flicker)
    change = outcome(lambda: account.set_leverage("BTCUSDT", 10))
    assert (change.status, change.after, change.confirmed_by) == ("not_applied", 20, "symbolConfig")


@pytest.mark.parametrize(
    ("body", "executed"),
    [
        ({"symbol": "BTCUSDT", "leverage": 12, "maxNotionalValue": "1000", "code": -4161}, False),
        ({"symbol": "BTCUSDT", "leverage": 12, "maxNotionalValue": "1000", "code": "-4161"}, False),
        ({"symbol": "ETHUSDT", "leverage": 12, "maxNotionalValue": "1000"}, False),
        ({"symbol": "BTCUSDT", "leverage": 13, "maxNotionalValue": "1000"}, True),
        ({"symbol": "BTCUSDT", "leverage": 12, "maxNotionalValue": "inf"}, True),
    ],
    ids=["a code and no text", "a code as text", "another symbol", "another leverage", "no finite notional"],
)
def test_only_a_200_that_names_the_change_confirms_it(
    exchange: ForeignExchange, connect: Callable[..., Account], body: dict[str, object], executed: bool
) -> None:
    """A 200 confirms a change only if it names symbol and leverage and has no negative code."""
    account = connect(recv_window=1500, grace=0.1)
    exchange.play(CHANGE, execute=executed, answer=Reply.of(body))
    change = outcome(lambda: account.set_leverage("BTCUSDT", 12))
    assert (change.status, change.after) == (("applied", 12) if executed else ("not_applied", 10))


def test_an_open_attempt_blocks_until_its_deadline(exchange: ForeignExchange, connect: Callable[..., Account]) -> None:
    """The next change of a symbol waits for the deadline of an attempt, even if a read showed its target."""
    account = connect(recv_window=1500, grace=0.3)
    exchange.play(CHANGE, answer=RESET)
    assert outcome(lambda: account.set_leverage("BTCUSDT", 12)).status == "applied"
    first = exchange.arrived(CHANGE)[0]
    try:
        account.set_leverage("BTCUSDT", 13)
    except LeverageError:
        assert len(exchange.arrived(CHANGE)) == 1
        return
    second = exchange.arrived(CHANGE)[1]
    assert second.timestamp - first.timestamp >= 1800  # recvWindow and grace


def test_as_of_is_not_before_the_change(exchange: ForeignExchange, connect: Callable[..., Account]) -> None:
    """``as_of`` is the time of the read that shows the change, not of earlier tries."""
    account = connect()
    account.symbols()
    exchange.play(CHANGE, execute_after=0.45, answer=RESET)
    busy = Reply.html(503)
    exchange.play(
        CONFIG, answer=busy, times=None, when=lambda read: bool(exchange.arrived(CHANGE)) and not exchange.executed
    )
    change = outcome(lambda: account.set_leverage("BTCUSDT", 12))
    assert (change.status, change.confirmed_by) == ("applied", "symbolConfig")
    assert change.as_of is not None
    failed = [read.at for read in exchange.arrived(CONFIG) if read.at > exchange.arrived(CHANGE)[0].at][:-1]
    offset = time.time() - time.monotonic()
    assert change.as_of.timestamp() >= failed[-1] + offset
    assert account.history()["as_of"].iloc[0].timestamp() >= failed[-1] + offset


def test_an_absurd_notional_does_not_break_history_and_undo(
    exchange: ForeignExchange, connect: Callable[..., Account]
) -> None:
    """After an answer with an absurd notional history and undo work."""
    odd = {"symbol": "BTCUSDT", "leverage": 12, "maxNotionalValue": "9" * 300}
    exchange.play(CHANGE, answer=Reply.of(odd))
    account = connect(recv_window=1500)
    assert outcome(lambda: account.set_leverage("BTCUSDT", 12)).status == "applied"
    assert account.history()["status"].tolist() == ["applied"]
    try:
        account.undo()
    except LeverageError:
        pytest.fail("the undo was refused")
    assert exchange.leverages["BTCUSDT"] == 10
