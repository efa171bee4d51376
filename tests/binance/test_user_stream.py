"""The user-data stream: events as they come, connections that end, and a day of it in a second."""

from __future__ import annotations

import gc
import json
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from leverage_nb.account import Account, service_of
from leverage_nb.binance import client as client_module
from leverage_nb.binance.client import Reply
from leverage_nb.binance.events import (
    AccountEvent,
    Event,
    KeyExpiredEvent,
    LeverageEvent,
    MarginCallEvent,
    ModeEvent,
    StreamEvent,
    read_event,
)
from leverage_nb.binance.user_stream import MAX_MESSAGE, Pace, Stream
from leverage_nb.binance.venues import VENUES
from leverage_nb.errors import InvalidInput
from leverage_nb.simulator import Simulator
from tests.binance.wire import serving
from tests.conftest import connect_to


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
    until(lambda: watches[0].live and simulator.open_streams == 1)
    simulator.exchange.change_elsewhere("BTCUSDT", 30)
    until(lambda: bool(first.of(LeverageEvent) and others[0].of(LeverageEvent)))
    watches[0].close()
    simulator.exchange.change_elsewhere("BTCUSDT", 31)
    until(lambda: len(others[0].of(LeverageEvent)) == 2)
    assert len(first.of(LeverageEvent)) == 1
    others.clear()  # it goes, and with it its watch
    simulator.exchange.change_elsewhere("BTCUSDT", 32)
    until(lambda: not simulator.open_streams)


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
    simulator.exchange.emit("ACCOUNT_CONFIG_UPDATE", ac={"s": "BTCUSDT", "l": 30})
    simulator.exchange.change_elsewhere("BTCUSDT", 31)
    until(lambda: len(ear.of(LeverageEvent)) == 2)
    assert [event.leverage for event in ear.of(LeverageEvent)] == [30, 31]


class Day:
    """A simulator and an account for which a day passes in seconds."""

    def __init__(self, speed: float) -> None:
        start = time.time()
        self.simulator = Simulator(weight_limit=10**9, clock=lambda: start + (time.time() - start) * speed)
        self.account = connect_to(self.simulator, recv_window=60_000)
        service_of(self.account).client.limiter._ticks = lambda: time.monotonic() * speed  # type: ignore[method-assign]  # as fast
        service_of(self.account).client.compare_clocks()
        monotonic = service_of(self.account).client
        monotonic.time_ms = lambda: int((start + (time.time() - start) * speed) * 1000)  # type: ignore[method-assign]  # as fast
        self.account._watching.pace = Pace(speed)


def test_a_day_of_stream_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """Through expiries, renewals, broken connections, dropped and repeated events no change of a day is missed."""
    monkeypatch.setattr(client_module, "MAX_CLOCK_DIFFERENCE_MS", 10**9)  # a day passes in seconds
    day = Day(speed=86_400 / 4)
    simulator, ear = day.simulator, Ear()
    emit, told = simulator.exchange.emit, [0]

    def careless(event: str, **content: Any) -> None:
        told[0] += 1
        if event == "ACCOUNT_CONFIG_UPDATE" and told[0] % 5 == 0:
            return  # dropped
        emit(event, **content)
        if told[0] % 3 == 0:
            emit(event, **content)  # and repeated

    simulator.exchange.emit = careless  # type: ignore[method-assign]  # an exchange that is not perfect
    with day.account.watch(ear.hear) as watch:
        until(lambda: watch.live)
        for turn in range(60):
            simulator.exchange.change_elsewhere("XRPUSDT", 10 + turn % 20)
            if turn % 13 == 7:
                simulator.drop_streams()
            if turn % 17 == 11:
                simulator.exchange.expire_listen_key(early=True)
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
        with pytest.raises(InvalidInput):
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
    service_of(account).client.venue = VENUES["testnet"].at("https://gateway.example")
    watch = account.watch(ear.hear)
    assert not watch.live
    assert "connect(stream_url=...)" in ear.of(StreamEvent)[0].reason


def threads_since(before: set[threading.Thread]) -> set[str]:
    """The names of this package's threads that were started since."""
    names = {thread.name for thread in set(threading.enumerate()) - before}
    return {name for name in names if name in {"leverage_nb stream", "leverage_nb painter"}}


@pytest.mark.parametrize("end", ["the account", "the watch"])
def test_closing_leaves_nothing_alive(simulator: Simulator, end: str) -> None:
    """With the account, or the last that follows it, the stream's thread ends, and nothing keeps the listener."""
    account, ear, before = connect_to(simulator), Ear(), set(threading.enumerate())
    watch = account.watch(ear.hear)
    until(lambda: watch.live)
    assert threads_since(before) == {"leverage_nb stream"}
    (account if end == "the account" else watch).close()
    until(lambda: not threads_since(before) and not simulator.open_streams)
    gone = weakref.ref(ear)
    del ear
    gc.collect()
    assert gone() is None
    account.close()


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
        until(lambda: service_of(account).client.limiter.blocked_until is not None)


class ForeignStream:
    """A WebSocket server that sends whatever a test says to whoever is connected."""

    def __init__(self, port: int) -> None:
        self.url = f"ws://127.0.0.1:{port}"
        self.paths: list[str] = []
        self.connections: list[ServerConnection] = []

    def send(self, text: str) -> None:
        until(lambda: bool(self.connections))
        for connection in self.connections:
            connection.send(text)

    def leverage(self, symbol: str, leverage: int, at: float) -> None:
        """An event of a symbol's leverage, dated at seconds since 1970."""
        content = {"e": "ACCOUNT_CONFIG_UPDATE", "E": int(at * 1000), "T": int(at * 1000)}
        self.send(json.dumps({**content, "ac": {"s": symbol, "l": leverage}}))


@contextmanager
def foreign_stream() -> Iterator[ForeignStream]:
    """A :class:`ForeignStream` for the length of a block."""
    stream: ForeignStream

    def handle(connection: ServerConnection) -> None:
        assert connection.request is not None
        stream.paths.append(connection.request.path)
        stream.connections.append(connection)
        try:
            for _ in connection:
                pass
        except ConnectionClosed:
            pass
        stream.connections.remove(connection)

    with serve(handle, "127.0.0.1", 0) as server:
        stream = ForeignStream(server.socket.getsockname()[1])
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield stream
        server.shutdown()
        thread.join(5)


@pytest.mark.parametrize("ahead", [3600.0, 10 * 365 * 86_400.0])
def test_a_date_far_ahead_silences_nothing(simulator: Simulator, ahead: float) -> None:
    """After an event dated in the future the events that follow show; none is said to be later than it arrived."""
    with foreign_stream() as stream, connect_to(simulator, stream_url=stream.url) as account:
        ear = Ear()
        with account.watch(ear.hear) as watch:
            until(lambda: watch.live)
            stream.leverage("BTCUSDT", 30, time.time() + ahead)
            stream.leverage("BTCUSDT", 31, time.time())
            stream.leverage("BTCUSDT", 32, time.time())
            until(lambda: len(ear.of(LeverageEvent)) == 3)
            now = time.time()
    assert [event.leverage for event in ear.of(LeverageEvent)] == [30, 31, 32]
    assert all(event.at.timestamp() <= now for event in ear.of(LeverageEvent))


def test_what_comes_late_is_not_news(simulator: Simulator) -> None:
    """An event that arrives after a later one of its symbol is left out."""
    with foreign_stream() as stream, connect_to(simulator, stream_url=stream.url) as account:
        ear = Ear()
        with account.watch(ear.hear) as watch:
            until(lambda: watch.live)
            now = time.time()
            stream.leverage("BTCUSDT", 30, now)
            stream.leverage("BTCUSDT", 31, now - 0.2)
            stream.leverage("BTCUSDT", 32, now + 0.001)
            until(lambda: ear.of(LeverageEvent)[-1:] != [] and ear.of(LeverageEvent)[-1].leverage == 32)
    assert [event.leverage for event in ear.of(LeverageEvent)] == [30, 32]


def test_a_message_over_1_mib_ends_the_connection(simulator: Simulator) -> None:
    """A message may be up to 1 MiB; a longer one is not taken in, and the reason says so."""
    with foreign_stream() as stream, connect_to(simulator, stream_url=stream.url) as account:
        ear = Ear()
        with account.watch(ear.hear) as watch:
            until(lambda: watch.live)
            stream.send(" " * MAX_MESSAGE)
            stream.leverage("BTCUSDT", 30, time.time())
            until(lambda: bool(ear.of(LeverageEvent)))
            stream.send(" " * (MAX_MESSAGE + 1))
            until(lambda: not ear.of(StreamEvent)[-1].live)
    assert [event.reason for event in ear.of(StreamEvent) if event.reason != "closed"] == [
        "", "the exchange sent a message of more than 1 MiB",
    ]  # fmt: skip


class TinyProxy:
    """Accepts connections on this machine, and keeps what arrives."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.received: list[bytes] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self.received.append(connection.recv(65_536))

    def stop(self) -> None:
        self._listener.close()


def test_no_listen_key_of_a_loopback_stream_goes_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """With REST at a gateway and the stream on this machine, a proxy of the environment sees nothing of the stream."""
    proxy, ear = TinyProxy(), Ear()
    gateway = SimpleNamespace(  # a client whose REST address is elsewhere
        venue=VENUES["testnet"].at("https://gateway.example"),
        timeout=5.0,
        clock_offset_ms=0,
        open_listen_key=lambda: "a-listen-key",
        compare_clocks=lambda: 0,
        read_reply=lambda *_, **__: Reply(b"[]", datetime.now(tz=UTC), 0.0),
        source=lambda path: path,
    )
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, proxy.url)
    with foreign_stream() as stream:
        following = Stream(gateway, stream.url, ear.hear)  # type: ignore[arg-type]  # what a stream asks of a client
        until(lambda: bool(ear.events and (stream.paths or proxy.received)))
        following.close()
        assert (stream.paths, proxy.received) == (["/private/ws/a-listen-key"], [])
        assert ear.of(StreamEvent)[0].live
    proxy.stop()
