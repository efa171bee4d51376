"""The user-data stream: events as they happen, reconnects, and a day of events in seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
import requests

from leverage_nb.account import Account, service_of
from leverage_nb.binance.client import Reply
from leverage_nb.binance.events import AccountEvent, LeverageEvent, MarginCallEvent, StreamEvent
from leverage_nb.binance.rate_limit import Limiter
from leverage_nb.binance.stream_connection import MAX_MESSAGE
from leverage_nb.binance.user_stream import FORMS, Pace, Stream
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
    until(lambda: listener.states[-1] == "connected")
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
    day = Day(speed=86_400 / 40)
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
            leverage = 10 + turn % 20
            simulator.exchange.change_elsewhere("XRPUSDT", leverage)
            if turn % 13 == 7:
                simulator.drop_streams()
            if turn % 17 == 11:
                simulator.exchange.expire_listen_key(early=True)
            until(lambda leverage=leverage: listener.leverages[-1:] == [leverage], 20)  # type: ignore[misc]
    assert listener.leverages == [10 + turn % 20 for turn in range(60)]
    assert {"stream", "read"} == {event.source for event in listener.of(LeverageEvent)}
    day.close()


def test_a_listen_key_is_kept_alive() -> None:
    """In quiet hours the listen key is extended every half hour on one connection, and no event is reported."""
    day = Day(speed=1200)
    listener, arrived = Listener(), []
    day.simulator.exchange.note_arrival = lambda request: arrived.append(  # type: ignore[method-assign]  # records them
        (request.method, request.path)
    )
    with day.watchers.watch(listener.receive) as watch:
        until(lambda: watch.state == "connected")
        begun = time.monotonic()
        until(lambda: arrived.count(("PUT", "/fapi/v1/listenKey")) >= 3)
        hours = (time.monotonic() - begun) * 1200 / 3600
    assert arrived.count(("POST", "/fapi/v1/listenKey")) <= 2  # a ping may be late on a busy machine, at this speed
    assert arrived.count(("PUT", "/fapi/v1/listenKey")) <= 2 * hours + 2
    assert listener.of(LeverageEvent) == []
    day.close()


def test_a_connection_is_live_after_its_first_event(listener: Listener, account: Account) -> None:
    """A stream that has connected is not live; the event of a change that was made here makes it live."""
    assert listener.states == ["connecting", "connected"]
    account.set_leverage("BTCUSDT", 10)
    until(lambda: listener.states[-1] == "live")


@pytest.mark.parametrize("speaking", ["path", "query", "events"])
def test_the_form_that_delivers_is_kept(speaking: str) -> None:
    """Whichever documented form of the address delivers, its event is reported once, and the others are closed."""
    forms = {"path", "query", "events"}
    with Simulator(silent_stream_forms=forms - {speaking}) as simulator, connect_to(simulator) as account:
        listener = Listener()
        with account.watch(listener.receive) as watch:
            until(lambda: watch.state == "connected")
            assert simulator.open_streams == len(forms)
            for leverage in (30, 31):
                simulator.exchange.change_elsewhere("BTCUSDT", leverage)
            until(lambda: listener.leverages == [30, 31])
            until(lambda: simulator.open_streams == 1)
            assert watch.live


def test_events_on_all_forms_are_reported_once(simulator: Simulator) -> None:
    """If every form of the address delivers, each event is reported once, of any kind."""
    update = '{"e":"ACCOUNT_UPDATE","E":1,"T":1,"a":{"m":"DEPOSIT","B":[],"P":[]}}'
    with foreign_stream() as stream, connect_to(simulator, stream_url=stream.url) as account:
        listener = Listener()
        with account.watch(listener.receive) as watch:
            until(lambda: watch.state == "connected")
            for _ in range(3):
                stream.send(update)
            stream.leverage("BTCUSDT", 30, time.time())
            until(lambda: listener.leverages == [30])
    assert len(listener.of(AccountEvent)) == 3


def test_a_refused_form_does_not_prevent_the_others(simulator: Simulator) -> None:
    """If the exchange answers HTTP 400 to one form of the address, the others are used."""
    with foreign_stream(refuse="events=") as stream, connect_to(simulator, stream_url=stream.url) as account:
        listener = Listener()
        with account.watch(listener.receive) as watch:
            until(lambda: watch.state == "connected")
            stream.send('{"e":"ORDER_TRADE_UPDATE","E":1,"T":1,"o":{}}')  # not decoded, but an event of the account
            until(lambda: watch.live)


def test_an_ended_form_does_not_end_the_others(simulator: Simulator) -> None:
    """If the exchange closes the connection of one form, another may still prove itself."""
    with foreign_stream() as stream, connect_to(simulator, stream_url=stream.url) as account:
        listener = Listener()
        with account.watch(listener.receive) as watch:
            until(lambda: watch.state == "connected")
            stream.connections[0].close()
            until(lambda: len(stream.connections) == len(FORMS) - 1)
            stream.leverage("BTCUSDT", 30, time.time())
            until(lambda: watch.live)


class Prober:
    """An account whose stream waits 0.3 s for the event of a change that was made here."""

    def __init__(self, account: Account, **pauses: float) -> None:
        self.listener = Listener()
        self.watchers = Watchers(service_of(account).client, Pace(**{"probe_wait": 0.3, **pauses}))
        service_of(account).add_listener(self.watchers.note_change)
        self.watch = self.watchers.watch(self.listener.receive)
        until(lambda: self.watch.state == "connected")

    def __enter__(self) -> Prober:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.watchers.close()


def test_a_silent_stream_is_stale_after_a_change(account: Account, simulator: Simulator) -> None:
    """If the event of a change that was made here does not arrive, the stream is stale, says why, and reconnects."""
    simulator.silent_stream_forms = {"path", "query", "events"}
    with Prober(account) as prober:
        account.set_leverage("BTCUSDT", 10)
        until(lambda: prober.watch.state == "stale")
        reason = prober.listener.of(StreamEvent)[-1].reason
        assert reason == "no event arrived for a change of BTCUSDT that was made here"
        until(lambda: prober.watch.state == "connected")
        simulator.silent_stream_forms = set()
        account.set_leverage("BTCUSDT", 11)
        until(lambda: prober.watch.live)
        time.sleep(0.5)
        assert prober.listener.states == ["connecting", "connected", "stale", "connected", "live"]


def test_the_first_leverage_of_a_symbol_is_a_probe() -> None:
    """On the testnet most first changes start from no leverage; one that is not to the default must cause an event."""
    with Simulator(profile="demo") as simulator, connect_to(simulator) as account:
        simulator.silent_stream_forms = {"path", "query", "events"}
        with Prober(account) as prober:
            account.set_leverage("BNBUSDT", 20)  # the default: perhaps no change
            account.set_leverage("ADAUSDT", 7)
            until(lambda: prober.watch.state == "stale")
            reason = prober.listener.of(StreamEvent)[-1].reason
            assert reason == "no event arrived for a change of ADAUSDT that was made here"


def test_a_live_stream_that_falls_silent_changes_its_form(account: Account, simulator: Simulator) -> None:
    """If the form that had delivered falls silent, a change that is made here shows it, and another form is used."""
    simulator.silent_stream_forms = {"query", "events"}
    with Prober(account) as prober:
        account.set_leverage("BTCUSDT", 10)
        until(lambda: prober.watch.live)
        simulator.silent_stream_forms = {"path"}
        account.set_leverage("BTCUSDT", 11)
        until(lambda: prober.watch.state == "stale")
        until(lambda: prober.watch.state == "connected")
        account.set_leverage("BTCUSDT", 12)
        until(lambda: prober.watch.live)


def test_after_a_missing_event_only_an_event_of_a_leverage_proves_the_stream(
    account: Account, simulator: Simulator
) -> None:
    """A stream that lost the event of a change is live again after an event of a leverage, not after another."""
    simulator.silent_stream_forms = {"path", "query", "events"}
    with Prober(account) as prober:
        account.set_leverage("BTCUSDT", 10)
        until(lambda: prober.watch.state == "stale")
        until(lambda: prober.watch.state == "connected")
        simulator.silent_stream_forms = set()
        simulator.exchange.margin_call("BTCUSDT")
        until(lambda: bool(prober.listener.of(MarginCallEvent)))
        assert prober.watch.state == "connected"
        simulator.exchange.change_elsewhere("BTCUSDT", 30)
        until(lambda: prober.watch.live)


def test_a_change_before_the_connection_is_no_probe(account: Account, simulator: Simulator) -> None:
    """The event of a change that was made before the stream connected is not expected."""
    with Prober(account) as prober:
        change = account.set_leverage("BTCUSDT", 10)
        until(lambda: prober.watch.live)
        simulator.drop_streams()
        until(lambda: prober.watch.state == "stale")
        until(lambda: prober.watch.state == "connected")
        prober.watchers.note_change(change)
        time.sleep(0.6)
        assert prober.watch.state == "connected"


def test_without_a_proof_the_settings_are_read_slowly(account: Account, simulator: Simulator) -> None:
    """While nothing has arrived, changes elsewhere are found by reads; once the stream is live there are none."""
    simulator.silent_stream_forms = {"path", "query", "events"}
    with Prober(account, read_every=0.2) as prober:
        simulator.exchange.change_elsewhere("ETHUSDT", 25)
        until(lambda: prober.listener.leverages == [25])
        assert prober.listener.of(LeverageEvent)[0].source == "read"
        assert prober.watch.state == "connected"
        simulator.silent_stream_forms = set()
        simulator.exchange.margin_call("BTCUSDT")
        until(lambda: prober.watch.live)
        time.sleep(0.3)  # a last read may have begun
        arrived: list[Any] = []
        simulator.exchange.note_arrival = arrived.append  # type: ignore[method-assign]  # records them
        time.sleep(0.6)
        assert arrived == []


def test_without_a_connection_the_settings_are_read_slowly(account: Account, simulator: Simulator) -> None:
    """While the stream cannot connect, changes elsewhere are found by reads."""
    with Prober(account, read_every=0.2) as prober:
        simulator.inject("firewall", on="POST /fapi/v1/listenKey", times=None)
        simulator.drop_streams()
        until(lambda: prober.watch.state == "stale")
        simulator.exchange.change_elsewhere("ETHUSDT", 25)
        until(lambda: prober.listener.leverages == [25])
        assert prober.watch.state == "stale"


def test_a_listen_key_that_another_program_deleted(account: Account, simulator: Simulator) -> None:
    """After another program has deleted the listen key, the stream says so and follows with a new one."""
    with Prober(account) as prober:
        headers = {"X-MBX-APIKEY": simulator.api_key}
        requests.delete(f"{simulator.rest_url}/fapi/v1/listenKey", headers=headers, timeout=5)
        until(lambda: prober.watch.state == "stale")
        reason = prober.listener.of(StreamEvent)[-1].reason
        assert reason == "the listen key has expired, or another program deleted it"
        until(lambda: prober.watch.state == "connected")
        simulator.exchange.change_elsewhere("BTCUSDT", 30)
        until(lambda: prober.listener.leverages == [30])
        assert prober.watch.live


@pytest.mark.parametrize(
    ("methods", "reason"),
    [
        (["DELETE"], "The listen key has expired or was deleted."),
        (["DELETE", "POST"], "another program replaced the listen key"),
    ],
)
def test_the_next_extension_finds_a_listen_key_that_ended_silently(methods: list[str], reason: str) -> None:
    """If nothing arrives of the end of a listen key, extending it shows that it is gone or was replaced."""
    day = Day(speed=600)
    day.simulator.silent_stream_forms = {"path", "query", "events"}
    listener = Listener()
    with day.watchers.watch(listener.receive) as watch:
        until(lambda: watch.state == "connected")
        headers = {"X-MBX-APIKEY": day.simulator.api_key}
        for method in methods:
            requests.request(method, f"{day.simulator.rest_url}/fapi/v1/listenKey", headers=headers, timeout=5)
        day.simulator.silent_stream_forms = set()
        until(lambda: "stale" in listener.states)
        until(lambda: watch.state == "connected")
        day.simulator.exchange.change_elsewhere("BTCUSDT", 30)
        until(lambda: watch.live)
    assert reason in next(event.reason for event in listener.of(StreamEvent) if event.reason)
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
