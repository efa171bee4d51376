"""The user-data stream: events as they come, connections that end, and a day of it in a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import pytest

from leverage_nb.account import Account
from leverage_nb.changes import settle
from leverage_nb.errors import Mistake
from leverage_nb.exchange.events import (
    AccountEvent,
    Event,
    KeyExpiredEvent,
    LeverageEvent,
    MarginCallEvent,
    ModeEvent,
    StreamEvent,
    read_event,
)
from leverage_nb.exchange.stream import Pace, Stream
from leverage_nb.exchange.venues import VENUES
from leverage_nb.simulator import Simulator
from tests.conftest import connect_to
from tests.exchange.wire import serving


def until(true: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait for something to become true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.005)


class Ear:
    """Keeps every event."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def hear(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def ear(account: Account) -> Iterator[Ear]:
    """An ear on the test's account, once it is live."""
    ear = Ear()
    watch = account.watch(ear.hear)
    until(lambda: watch.live)
    yield ear
    watch.close()


def test_events_of_every_kind(ear: Ear, account: Account, simulator: Simulator) -> None:
    """Leverage, modes, margin type and margin calls arrive typed, whoever caused them."""
    account.set_leverage("BTCUSDT", 10)
    simulator.exchange.change_elsewhere("BTCUSDT", 30)
    simulator.exchange.margin_call("BTCUSDT")
    simulator.exchange.change_margin_type({"symbol": "XRPUSDT", "marginType": "ISOLATED"})
    until(lambda: bool(ear.of(AccountEvent)))
    assert [(event.symbol, event.leverage, event.source) for event in ear.of(LeverageEvent)] == [
        ("BTCUSDT", 10, "stream"), ("BTCUSDT", 30, "stream"),
    ]  # fmt: skip
    assert ear.of(MarginCallEvent)[0].symbols == ("BTCUSDT",)
    assert ear.of(AccountEvent)[0].reason == "MARGIN_TYPE_CHANGE"
    assert [event.live for event in ear.of(StreamEvent)] == [True]


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (
            '{"e":"ACCOUNT_CONFIG_UPDATE","E":1611646737479,"T":1611646737476,"ac":{"s":"BTCUSDT","l":25}}',
            LeverageEvent,
        ),
        ('{"e":"ACCOUNT_CONFIG_UPDATE","E":1611646737479,"T":1611646737476,"ai":{"j":true}}', ModeEvent),
        (
            '{"e":"MARGIN_CALL","E":1587727187525,"cw":"3.16812045","p":[{"s":"ETHUSDT","ps":"LONG","pa":"1.327",'
            '"mt":"CROSSED","iw":"0","mp":"187.17127","up":"-1.166074","mm":"1.614445"}]}',
            MarginCallEvent,
        ),
        (
            '{"e":"ACCOUNT_UPDATE","E":1,"T":1,"a":{"m":"ORDER","B":[{"a":"USDT","wb":"1","cw":"1","bc":"0"}],'
            '"P":[{"s":"BTCUSDT","pa":"0"}]}}',
            AccountEvent,
        ),
        ('{"e":"listenKeyExpired","E":1736996475556,"listenKey":"x"}', KeyExpiredEvent),
        ('{"stream":"x","data":{"e":"ACCOUNT_CONFIG_UPDATE","E":1,"T":1,"ac":{"s":"B","l":"25"}}}', LeverageEvent),
        ('{"e":"ORDER_TRADE_UPDATE","E":1,"T":1,"o":{}}', type(None)), ("[1]", type(None)), ("<html>", type(None)),
        ('{"e":"ACCOUNT_CONFIG_UPDATE","E":1}', type(None)), (b"\xff", type(None)),
        ('{"result":null,"id":1}', type(None)),
        ('{"e":"ACCOUNT_CONFIG_UPDATE","E":1e30,"T":1,"ac":{"s":"B","l":5}}', type(None)),
        ('{"e":"ACCOUNT_CONFIG_UPDATE","T":100000000000001,"ac":{"s":"B","l":5}}', type(None)),
        ('{"e":"ACCOUNT_CONFIG_UPDATE","T":-1,"ac":{"s":"B","l":5}}', type(None)),
        ('{"e":"ACCOUNT_CONFIG_UPDATE","T":100000000000000,"ac":{"s":"B","l":5}}', LeverageEvent),
        ('{"e":"ACCOUNT_CONFIG_UPDATE","T":1,"ac":{"s":"B","l":100001}}', type(None)),
        ('{"e":"ACCOUNT_CONFIG_UPDATE","T":1,"ac":{"s":"' + "B" * 65 + '","l":5}}', type(None)),
        ('{"e":"ACCOUNT_UPDATE","T":1,"a":{"m":"' + "x" * 65 + '"}}', type(None)),
        ('{"e":"ACCOUNT_CONFIG_UPDATE","T":1,"ac":{"s":"B","l":5}}' + " " * 1_000_000, type(None)),
    ],
)  # fmt: skip
def test_messages_of_the_documents(message: Any, kind: type[Any]) -> None:
    """Binance's own examples are read; what is unknown, broken or of another kind is passed over."""
    assert type(read_event(message)) is kind


def test_one_stream_for_many_and_none_for_nobody(account: Account, simulator: Simulator) -> None:
    """However many follow, there is one connection; with the last of them it ends."""
    first, others = Ear(), [Ear()]
    watches = [account.watch(first.hear), account.watch(others[0].hear)]
    until(lambda: watches[0].live and len(simulator._streams) == 1)
    simulator.exchange.change_elsewhere("BTCUSDT", 30)
    until(lambda: bool(first.of(LeverageEvent) and others[0].of(LeverageEvent)))
    watches[0].close()
    simulator.exchange.change_elsewhere("BTCUSDT", 31)
    until(lambda: len(others[0].of(LeverageEvent)) == 2)
    assert len(first.of(LeverageEvent)) == 1
    others.clear()  # it goes, and with it its watch
    simulator.exchange.change_elsewhere("BTCUSDT", 32)
    until(lambda: not simulator._streams)


def test_a_listener_that_fails_keeps_nobody_from_hearing(account: Account, simulator: Simulator) -> None:
    """An error in one callback stops neither the stream nor the others."""
    ear = Ear()

    def fail(event: Event) -> None:
        raise RuntimeError("a slip of the listener's")

    with account.watch(fail), account.watch(ear.hear) as watch:
        until(lambda: watch.live)
        simulator.exchange.change_elsewhere("BTCUSDT", 30)
        until(lambda: bool(ear.of(LeverageEvent)))


def test_after_a_gap_a_look_tells_what_was_missed(ear: Ear, account: Account, simulator: Simulator) -> None:
    """A broken connection is made anew, and what changed meanwhile is told as seen by a look."""
    simulator.inject("firewall", on="POST /fapi/v1/listenKey", times=1)
    simulator.drop_streams()
    until(lambda: not account._watching.live)
    simulator.exchange.change_elsewhere("ETHUSDT", 25)
    until(lambda: account._watching.live, 10)
    [missed] = ear.of(LeverageEvent)
    assert (missed.symbol, missed.leverage, missed.source) == ("ETHUSDT", 25, "look")
    assert [event.live for event in ear.of(StreamEvent)][0::1][-1]
    assert any(not event.live and event.reason for event in ear.of(StreamEvent))


def test_repetitions_are_no_news(ear: Ear, simulator: Simulator) -> None:
    """An event that comes twice is told once."""
    simulator.exchange.change_elsewhere("BTCUSDT", 30)
    simulator.exchange._emit("ACCOUNT_CONFIG_UPDATE", ac={"s": "BTCUSDT", "l": 30})
    simulator.exchange.change_elsewhere("BTCUSDT", 31)
    until(lambda: len(ear.of(LeverageEvent)) == 2)
    assert [event.leverage for event in ear.of(LeverageEvent)] == [30, 31]


def test_a_change_confirmed_by_the_stream_says_so(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an answer, an event settles a change at once, and the record says that it was one."""
    monkeypatch.setattr(settle, "GRACE_MS", 50)
    account = connect_to(simulator, timeout=0.5, recv_window=300)
    ear = Ear()
    with account.watch(ear.hear) as watch:
        until(lambda: watch.live)
        before = account.preview("BTCUSDT", 10)
        simulator.inject("late_answer", seconds=2)
        simulator.inject("stall", on="GET /fapi/v1/symbolConfig", times=None)
        change = account.apply_now(before)
    assert (change.status, change.confirmed_by) == ("applied", "stream")
    assert "an event of the exchange: BTCUSDT is at 10x as of" in str(change)


class Day:
    """A simulator and an account for which a day passes in seconds."""

    def __init__(self, speed: float) -> None:
        start = time.time()
        self.simulator = Simulator(weight_limit=10**9, clock=lambda: start + (time.time() - start) * speed)
        self.account = connect_to(self.simulator, recv_window=60_000)
        self.account._client.limiter._ticks = lambda: time.monotonic() * speed  # type: ignore[method-assign]  # as fast
        self.account._client.compare_clocks()
        monotonic = self.account._client
        monotonic.time_ms = lambda: int((start + (time.time() - start) * speed) * 1000)  # type: ignore[method-assign]  # as fast
        self.account._watching.pace = Pace(speed)


def test_a_day_of_stream_life() -> None:
    """Through expiries, renewals, broken connections, dropped and repeated events no change of a day is missed."""
    day = Day(speed=86_400 / 4)
    simulator, ear = day.simulator, Ear()
    emit, told = simulator.exchange._emit, [0]

    def careless(event: str, **content: Any) -> None:
        told[0] += 1
        if event == "ACCOUNT_CONFIG_UPDATE" and told[0] % 5 == 0:
            return  # dropped
        emit(event, **content)
        if told[0] % 3 == 0:
            emit(event, **content)  # and repeated

    simulator.exchange._emit = careless  # type: ignore[method-assign]  # an exchange that is not perfect
    with day.account.watch(ear.hear) as watch:
        until(lambda: watch.live)
        for turn in range(60):
            simulator.exchange.change_elsewhere("XRPUSDT", 10 + turn % 20)
            if turn % 13 == 7:
                simulator.drop_streams()
            if turn % 17 == 11:
                simulator.exchange._listen_key_expiry = simulator.exchange.seconds()
            time.sleep(0.07)
        final = simulator.exchange.account.leverage("XRPUSDT")
        until(lambda: ear.of(LeverageEvent)[-1].leverage == final, 10)
    heard = [event.leverage for event in ear.of(LeverageEvent)]
    assert len(heard) >= 30
    assert all(earlier != later for earlier, later in pairwise(heard))
    assert {"stream", "look"} == {event.source for event in ear.of(LeverageEvent)}
    day.account.close()
    simulator.close()


def test_listen_keys_are_kept_alive() -> None:
    """In three quiet hours the key is kept alive on one connection, and nothing else happens."""
    day = Day(speed=3600)
    ear, requests = Ear(), []
    handle = day.simulator.exchange.handle

    def noted(request: Any, *more: Any) -> Any:
        requests.append((request.method, request.path))
        return handle(request, *more)

    day.simulator.exchange.handle = noted  # type: ignore[method-assign]  # counts what is asked
    with day.account.watch(ear.hear) as watch:
        until(lambda: watch.live)
        time.sleep(3)
    opened, kept = requests.count(("POST", "/fapi/v1/listenKey")), requests.count(("PUT", "/fapi/v1/listenKey"))
    assert opened == 1
    assert 3 <= kept <= 7
    assert ear.of(LeverageEvent) == []
    day.account.close()
    day.simulator.close()


def test_addresses_of_streams() -> None:
    """Wss everywhere, ws on this machine; no stream of one venue under another's name; none behind a gateway."""
    assert VENUES["mainnet"].stream_url == "wss://fstream.binance.com"
    assert VENUES["mainnet"].at("https://gateway.example").stream_url == ""
    assert VENUES["testnet"].at("http://127.0.0.1:5").stream_url == "ws://127.0.0.1:5"
    assert (
        VENUES["testnet"].with_stream("WSS://fstream.binancefuture.com/").stream_url
        == "wss://fstream.binancefuture.com"
    )
    for wrong in ("https://x.example", "ws://x.example", "wss://fstream.binance.com", 5):
        with pytest.raises(Mistake):
            VENUES["testnet"].with_stream(wrong)  # type: ignore[arg-type]  # on purpose


class Gateway:
    """A client whose REST goes through a gateway, and whose streams are on this machine."""

    timeout = 1.0
    clock_offset_ms = 0

    def __init__(self, stream_url: str) -> None:
        self.venue = VENUES["testnet"].at("https://gateway.example").with_stream(stream_url)

    def open_listen_key(self) -> str:
        return "a-listen-key"


def test_a_stream_on_this_machine_uses_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where REST goes to does not matter: the listen key of a plain loopback stream never passes a proxy."""
    ear = Ear()
    with serving(b"") as proxy, serving(b"") as server:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        client = Gateway(server.url.replace("http", "ws"))
        stream = Stream(client, client.venue.stream_url, ear.hear)  # type: ignore[arg-type]  # as much as it uses
        until(lambda: bool(server.received))
        stream.close()
        assert proxy.received == []


def test_without_an_address_it_says_so() -> None:
    """Behind a gateway whose streams are not known a watch says why nothing comes."""
    ear = Ear()
    account = connect_to(Simulator(), "testnet")
    account._client.venue = VENUES["testnet"].at("https://gateway.example")
    watch = account.watch(ear.hear)
    assert not watch.live
    assert "connect(stream_url=...)" in ear.of(StreamEvent)[0].reason


def test_closing_leaves_no_thread(account: Account) -> None:
    """With the account its stream ends."""
    before = set(threading.enumerate())
    ear = Ear()
    account.watch(ear.hear)
    until(lambda: account._watching.live)
    account.close()
    until(lambda: not any(thread.name == "leverage_nb stream" for thread in set(threading.enumerate()) - before))


def test_a_callback_that_fails_at_once_leaves_a_handle(account: Account) -> None:
    """What a callback raises when it is told the state of the stream does not lose the handle that ends it."""

    def fail(_event: object) -> None:
        raise RuntimeError

    ear = Ear()
    with account.watch(ear.hear) as first:
        until(lambda: first.live)
        account.watch(fail).close()
        assert len(account._watching._watches) == 1


def test_another_watch_after_the_last_was_closed(account: Account, simulator: Simulator) -> None:
    """A new watch hears nothing of the stream before it, and is live."""
    ear = Ear()
    account.watch(ear.hear).close()
    second = Ear()
    with account.watch(second.hear) as watch:
        until(lambda: watch.live)
        time.sleep(0.4)
        assert [event.live for event in second.of(StreamEvent)] == [True]
        simulator.exchange.change_elsewhere("BTCUSDT", 30)
        until(lambda: bool(second.of(LeverageEvent)))


def test_a_plain_function_and_a_builtin_may_listen(account: Account, simulator: Simulator) -> None:
    """Any callable hears events, a list's append too."""
    events: list[Event] = []
    with account.watch(events.append) as watch:
        until(lambda: watch.live)
        simulator.exchange.change_elsewhere("BTCUSDT", 30)
        until(lambda: any(isinstance(event, LeverageEvent) for event in events))


def test_a_clock_that_differs_hides_no_event(simulator: Simulator) -> None:
    """With the exchange's clock a minute behind this one, events are news all the same."""
    start = time.time()
    with Simulator(clock=lambda: time.time() - 60) as behind, connect_to(behind) as account:
        ear = Ear()
        with account.watch(ear.hear) as watch:
            until(lambda: watch.live)
            behind.exchange.change_elsewhere("BTCUSDT", 30)
            until(lambda: bool(ear.of(LeverageEvent)))
        assert abs(ear.of(LeverageEvent)[0].at.timestamp() - time.time()) < 5
    assert time.time() - start < 20


def test_a_ban_on_the_listen_key_holds_everything_back(account: Account, simulator: Simulator) -> None:
    """A 418 to the stream's own request is honoured by all others."""
    simulator.inject("banned", on="POST /fapi/v1/listenKey", seconds=600)
    ear = Ear()
    with account.watch(ear.hear):
        until(lambda: account._client.limiter.blocked_until is not None)
