"""The user-data stream: events as they happen, reconnects, and a day of events in seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest

from leverage_nb.account import Account
from leverage_nb.binance.client import Reply
from leverage_nb.binance.events import AccountEvent, LeverageEvent, MarginCallEvent, StreamEvent
from leverage_nb.binance.rate_limit import Limiter
from leverage_nb.binance.user_stream import FORMS, MAX_MESSAGE, Pace, Stream
from leverage_nb.binance.venues import VENUES
from leverage_nb.binance.watch import Watchers
from leverage_nb.simulator import Simulator
from tests.binance.sending import client_of
from tests.binance.streams import Listener, foreign_stream
from tests.binance.wire import serving
from tests.conftest import connect_to
from tests.waiting import until


@pytest.fixture
def listener(account: Account) -> Iterator[Listener]:
    """A listener to the test's account, once its stream is connected."""
    listener = Listener()
    watch = account.watch(listener.receive)
    until(lambda: watch.state == "connected")
    yield listener
    watch.close()


def test_events_of_every_kind(listener: Listener, account: Account, simulator: Simulator) -> None:
    """Changes of leverage, mode and margin type, and margin calls, arrive as typed events, whoever caused them."""
    account.set_leverage("BTCUSDT", 10)
    simulator.exchange.change_elsewhere("BTCUSDT", 30)
    simulator.exchange.margin_call("BTCUSDT")
    simulator.exchange.change_margin_type({"symbol": "XRPUSDT", "marginType": "ISOLATED"})
    until(lambda: bool(listener.of(AccountEvent)))
    assert [(event.symbol, event.leverage, event.source) for event in listener.of(LeverageEvent)] == [
        ("BTCUSDT", 10, "stream"), ("BTCUSDT", 30, "stream"),
    ]  # fmt: skip
    assert listener.of(MarginCallEvent)[0].symbols == ("BTCUSDT",)
    assert listener.of(AccountEvent)[0].reason == "MARGIN_TYPE_CHANGE"
    assert listener.states == ["connecting", "connected", "live"]


def test_after_a_gap_a_read_finds_what_was_missed(listener: Listener, simulator: Simulator) -> None:
    """A broken connection is opened again, and a change in between is reported with the source "read"."""
    simulator.inject("firewall", on="POST /fapi/v1/listenKey", times=1)
    simulator.drop_streams()
    until(lambda: listener.states[-1] == "stale")
    simulator.exchange.change_elsewhere("ETHUSDT", 25)
    until(lambda: listener.states[-1] == "connected", 10)
    [missed] = listener.of(LeverageEvent)
    assert (missed.symbol, missed.leverage, missed.source) == ("ETHUSDT", 25, "read")
    assert all(event.reason for event in listener.of(StreamEvent) if event.state == "stale")


def test_a_repeated_event_is_reported_once(simulator: Simulator) -> None:
    """An event that arrives twice is passed on once."""
    with foreign_stream() as stream, connect_to(simulator, stream_url=stream.url) as account:
        listener = Listener()
        with account.watch(listener.receive) as watch:
            until(lambda: watch.state == "connected")
            for leverage in (30, 30, 31):
                stream.leverage("BTCUSDT", leverage, time.time())
            until(lambda: len(listener.leverages) == 2)
    assert listener.leverages == [30, 31]


class Day:
    """A simulator and the callbacks of a client for which time passes faster."""

    def __init__(self, speed: float) -> None:
        pace = Pace(speed, read_every=600.0)
        self.simulator = Simulator(weight_limit=10**9, clock=pace.wall)
        self.client = client_of(
            self.simulator, recv_window=60_000, clock=pace.wall, limiter=Limiter(10**9, ticks=pace.now)
        )
        self.watchers = Watchers(self.client, pace)

    def close(self) -> None:
        """Close everything."""
        self.watchers.close()
        self.client.close()
        self.simulator.close()


def test_a_day_of_a_stream() -> None:
    """Through expiries, renewals, broken connections, dropped and repeated events no change of a day is missed."""
    day = Day(speed=86_400 / 4)
    simulator, listener = day.simulator, Listener()
    emit, emitted = simulator.exchange.emit, [0]

    def careless(event: str, **content: Any) -> None:
        emitted[0] += 1
        if event == "ACCOUNT_CONFIG_UPDATE" and emitted[0] % 5 == 0:
            return  # dropped
        emit(event, **content)
        if emitted[0] % 3 == 0:
            emit(event, **content)  # repeated

    simulator.exchange.emit = careless  # type: ignore[method-assign]  # an imperfect exchange
    with day.watchers.watch(listener.receive) as watch:
        until(lambda: watch.state == "connected")
        for turn in range(60):
            simulator.exchange.change_elsewhere("XRPUSDT", 10 + turn % 20)
            if turn % 13 == 7:
                simulator.drop_streams()
            if turn % 17 == 11:
                simulator.exchange.expire_listen_key(early=True)
            time.sleep(0.07)
        final = simulator.exchange.account.leverage("XRPUSDT")
        until(lambda: listener.leverages[-1] == final, 10)
    assert len(listener.leverages) >= 30
    assert all(earlier != later for earlier, later in pairwise(listener.leverages))
    assert {"stream", "read"} == {event.source for event in listener.of(LeverageEvent)}
    day.close()


def test_a_listen_key_is_kept_alive() -> None:
    """In three quiet hours the listen key is extended on one connection, and no event is reported."""
    day = Day(speed=3600)
    listener, arrived = Listener(), []
    day.simulator.exchange.note_arrival = lambda request: arrived.append(  # type: ignore[method-assign]  # records them
        (request.method, request.path)
    )
    with day.watchers.watch(listener.receive) as watch:
        until(lambda: watch.state == "connected")
        time.sleep(3)
    assert arrived.count(("POST", "/fapi/v1/listenKey")) <= 2  # a ping may be late on a busy machine, at this speed
    assert 3 <= arrived.count(("PUT", "/fapi/v1/listenKey")) <= 7
    assert listener.of(LeverageEvent) == []
    day.close()


def test_a_clock_difference_hides_no_event() -> None:
    """With the exchange's clock a minute behind this machine's, events are reported with the local time."""
    with Simulator(clock=lambda: time.time() - 60) as behind, connect_to(behind) as account:
        listener = Listener()
        with account.watch(listener.receive) as watch:
            until(lambda: watch.state == "connected")
            behind.exchange.change_elsewhere("BTCUSDT", 30)
            until(lambda: listener.leverages == [30])
    assert abs(listener.of(LeverageEvent)[0].at.timestamp() - time.time()) < 5


def test_a_ban_on_the_listen_key_stops_all_requests(simulator: Simulator) -> None:
    """After HTTP 418 to the stream's own request, the rate limit stops every request."""
    simulator.inject("banned", on="POST /fapi/v1/listenKey", seconds=600)
    client = client_of(simulator)
    with Watchers(client).watch(Listener().receive):
        until(lambda: client.limiter.blocked_until is not None)


@pytest.mark.parametrize("ahead", [3600.0, 10 * 365 * 86_400.0])
def test_a_date_in_the_future_suppresses_nothing(simulator: Simulator, ahead: float) -> None:
    """After an event dated in the future later events are reported; none is dated later than it arrived."""
    with foreign_stream() as stream, connect_to(simulator, stream_url=stream.url) as account:
        listener = Listener()
        with account.watch(listener.receive) as watch:
            until(lambda: watch.state == "connected")
            stream.leverage("BTCUSDT", 30, time.time() + ahead)
            stream.leverage("BTCUSDT", 31, time.time())
            stream.leverage("BTCUSDT", 32, time.time())
            until(lambda: len(listener.leverages) == 3)
            now = time.time()
    assert listener.leverages == [30, 31, 32]
    assert all(event.at.timestamp() <= now for event in listener.of(LeverageEvent))


def test_an_event_that_arrives_late_is_not_reported(simulator: Simulator) -> None:
    """An event that arrives after a later one of its symbol is left out."""
    with foreign_stream() as stream, connect_to(simulator, stream_url=stream.url) as account:
        listener = Listener()
        with account.watch(listener.receive) as watch:
            until(lambda: watch.state == "connected")
            now = time.time()
            stream.leverage("BTCUSDT", 30, now)
            stream.leverage("BTCUSDT", 31, now - 0.2)
            stream.leverage("BTCUSDT", 32, now + 0.001)
            until(lambda: listener.leverages[-1:] == [32])
    assert listener.leverages == [30, 32]


def test_a_message_over_1_mib_ends_the_connection(simulator: Simulator) -> None:
    """A message may have 1 MiB; a longer one ends the connection, and the reason says so."""
    with foreign_stream() as stream, connect_to(simulator, stream_url=stream.url) as account:
        listener = Listener()
        with account.watch(listener.receive) as watch:
            until(lambda: watch.state == "connected")
            stream.send(" " * MAX_MESSAGE)
            stream.leverage("BTCUSDT", 30, time.time())
            until(lambda: listener.leverages == [30])
            stream.send(" " * (MAX_MESSAGE + 1))
            until(lambda: listener.states[-1] == "stale")
    assert listener.states == ["connecting", "connected", "live", "stale"]
    assert listener.of(StreamEvent)[-1].reason == "the exchange sent a message of more than 1 MiB"


def test_the_listen_key_of_a_loopback_stream_passes_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """With REST at a gateway and the stream on this machine, a proxy of the environment gets nothing of the stream."""
    listener = Listener()
    gateway = SimpleNamespace(  # a client whose REST address is elsewhere
        venue=VENUES["testnet"].at("https://gateway.example"),
        account="key",
        timeout=5.0,
        clock_offset_ms=0,
        open_listen_key=lambda: "a-listen-key",
        compare_clocks=lambda: 0,
        read_reply=lambda *_, **__: Reply(b"[]", datetime.now(tz=UTC), 0.0),
        source=str,
    )
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serving(b"") as proxy, foreign_stream() as stream:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        following = Stream(gateway, stream.url, listener.receive)  # type: ignore[arg-type]  # as much as a stream uses
        until(lambda: bool(listener.events and (len(stream.paths) == len(FORMS) or proxy.received)))
        following.close()
        assert "/private/ws/a-listen-key" in stream.paths
        assert proxy.received == []
        assert listener.states[0] == "connected"
