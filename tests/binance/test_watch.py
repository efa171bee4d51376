"""Callbacks that follow an account: one stream for all of them, and only while there is one."""

from __future__ import annotations

import gc
import threading
import time
import weakref

import pytest

from leverage_nb.account import Account
from leverage_nb.binance.client import RestClient
from leverage_nb.binance.credentials import Credentials
from leverage_nb.binance.events import Event, LeverageEvent, StreamEvent
from leverage_nb.binance.user_stream import FORMS
from leverage_nb.binance.venues import VENUES
from leverage_nb.binance.watch import Watchers
from leverage_nb.simulator import Simulator
from tests.binance.streams import Listener, foreign_stream
from tests.conftest import connect_to
from tests.waiting import threads_since, until


def test_one_stream_serves_all_callbacks_and_ends_with_the_last(simulator: Simulator) -> None:
    """Several callbacks share one stream, which is closed with the last of them."""
    with foreign_stream() as stream, connect_to(simulator, stream_url=stream.url) as account:
        first, others = Listener(), [Listener()]
        watches = [account.watch(first.receive), account.watch(others[0].receive)]
        until(lambda: watches[0].state == "connected")
        stream.leverage("BTCUSDT", 30, time.time())
        until(lambda: first.leverages == others[0].leverages == [30])
        watches[0].close()
        stream.leverage("BTCUSDT", 31, time.time())
        until(lambda: others[0].leverages == [30, 31])
        assert first.leverages == [30]
        until(lambda: len(stream.connections) == 1)
        assert len(stream.paths) == len(FORMS)
        others.clear()  # the watch of a bound method ends with its object
        stream.leverage("BTCUSDT", 32, time.time())
        until(lambda: not stream.connections)


def test_a_callback_that_fails_does_not_affect_the_others(account: Account, simulator: Simulator) -> None:
    """An exception in one callback stops neither the stream nor the other callbacks."""
    listener = Listener()

    def fail(event: Event) -> None:
        raise RuntimeError("a bug of the callback")

    with account.watch(fail), account.watch(listener.receive) as watch:
        until(lambda: watch.state == "connected")
        simulator.exchange.change_elsewhere("BTCUSDT", 30)
        until(lambda: listener.leverages == [30])


def test_without_an_address_the_callback_reads_why() -> None:
    """Behind a gateway whose streams are not known, the callback is notified of the reason."""
    listener = Listener()
    client = RestClient(VENUES["testnet"].at("https://gateway.example"), Credentials("k", "s"))
    watch = Watchers(client).watch(listener.receive)
    assert watch.state == "stale"
    assert "connect(stream_url=...)" in listener.of(StreamEvent)[0].reason


@pytest.mark.parametrize("end", ["the account", "the watch"])
def test_after_close_nothing_is_left(simulator: Simulator, end: str) -> None:
    """When the account or its last watch is closed, the stream's thread ends, and nothing refers to the callback."""
    with foreign_stream() as stream:
        account, listener, before = connect_to(simulator, stream_url=stream.url), Listener(), set(threading.enumerate())
        watch = account.watch(listener.receive)
        until(lambda: watch.state == "connected")
        assert "leverage_nb stream" in threads_since(before)
        (account if end == "the account" else watch).close()
        until(lambda: not threads_since(before) and not stream.connections)
    gone = weakref.ref(listener)
    del listener
    gc.collect()
    assert gone() is None
    account.close()


def test_a_callback_that_fails_at_once_can_be_closed(account: Account, simulator: Simulator) -> None:
    """An exception in the first notification does not prevent the handle, which ends the callback."""
    calls: list[Event] = []

    def fail(event: Event) -> None:
        calls.append(event)
        raise RuntimeError

    listener = Listener()
    with account.watch(listener.receive) as first:
        until(lambda: first.state == "connected")
        account.watch(fail).close()
        simulator.exchange.change_elsewhere("BTCUSDT", 30)
        until(lambda: listener.leverages == [30])
    assert [type(event) for event in calls] == [StreamEvent]


def test_a_watch_after_the_last_was_closed_connects_again(account: Account, simulator: Simulator) -> None:
    """A new watch gets no event of the closed stream, and those of a new one."""
    account.watch(Listener().receive).close()
    listener = Listener()
    with account.watch(listener.receive) as watch:
        until(lambda: watch.state == "connected")
        time.sleep(0.4)
        assert listener.states == ["connecting", "connected"]
        simulator.exchange.change_elsewhere("BTCUSDT", 30)
        until(lambda: listener.leverages == [30])


def test_any_callable_can_be_a_callback(account: Account, simulator: Simulator) -> None:
    """A built-in method, such as a list's append, receives events."""
    events: list[Event] = []
    with account.watch(events.append) as watch:
        until(lambda: watch.state == "connected")
        simulator.exchange.change_elsewhere("BTCUSDT", 30)
        until(lambda: any(isinstance(event, LeverageEvent) for event in events))
