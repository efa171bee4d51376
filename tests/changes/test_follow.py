"""A policy is followed: drifts are reported, and leverages lowered to their caps if that is wanted; never raised."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from leverage_nb.account import Account, service_of
from leverage_nb.changes.follow import (
    MOST_REVERTS,
    Drift,
    FollowEvent,
    FollowProblem,
    NotReverted,
    PolicyWatch,
    Reverted,
)
from leverage_nb.changes.policy import read_policy
from leverage_nb.errors import InvalidInput, ReadOnly
from leverage_nb.simulator import Simulator
from tests.binance.streams import foreign_stream
from tests.conftest import connect_to
from tests.waiting import threads_since, until

# Nobody listens there: a stream at this address is stale.
NO_STREAM = "ws://127.0.0.1:9"

# On the simulator's first account XRPUSDT is at 50x, and no symbol is above it; ETHUSDT has an isolated position.
CAP = "cap = 50"


class Events(list[FollowEvent]):
    """The events of a policy, which calling it adds to."""

    def __call__(self, event: FollowEvent) -> None:
        """Add an event."""
        self.append(event)

    def of(self, kind: type[Any], symbol: str = "") -> list[Any]:
        """Return the events of one kind, and of one symbol if it is given."""
        return [event for event in self if isinstance(event, kind) and symbol in {"", getattr(event, "symbol", "")}]


def write(folder: Path, text: str = CAP) -> Path:
    """Return the path of a policy."""
    path = folder / "risk.toml"
    path.write_text(text, encoding="utf-8")
    return path


def without_stream(simulator: Simulator, stream_url: str = NO_STREAM, **options: Any) -> Account:
    """Return an account whose stream is at an address that is treated as mainnet, but with a guard of 100x."""
    return connect_to(simulator, stream_url=stream_url, **{"max_leverage": 100, **options})


@contextmanager
def following(
    account: Account, path: Path, on_drift: Callable[[FollowEvent], object] | None, **options: Any
) -> Iterator[PolicyWatch]:
    """Follow a policy with a fast timer within the block."""
    policy = read_policy(path, account.profile, service_of(account).tiers)
    watch = PolicyWatch(service_of(account), account.watch, policy, on_drift, **{"read_every": 0.05, **options})
    with watch:
        yield watch


def test_a_change_of_another_program_is_reported_by_its_event(
    account: Account, simulator: Simulator, tmp_path: Path
) -> None:
    """A leverage above its cap is reported as soon as its event arrives, and one within its cap is not."""
    events = Events()
    with account.follow_policy(write(tmp_path), on_drift=events) as watch:
        until(lambda: watch.state == "connected")
        simulator.exchange.change_elsewhere("ADAUSDT", 30)
        simulator.exchange.change_elsewhere("BTCUSDT", 60)
        until(lambda: len(events) == 1 and watch.live)
    drift = events.of(Drift)[0]
    assert (drift.symbol, drift.kind, drift.allowed, drift.now) == ("BTCUSDT", "leverage", 50, 60)
    assert drift.text == "BTCUSDT is at 60x: above its cap of 50x"
    assert simulator.exchange.received == []


@pytest.mark.parametrize("stream", ["silent", "missing"])
def test_a_change_without_an_event_is_reported_by_the_timer(simulator: Simulator, tmp_path: Path, stream: str) -> None:
    """While the stream is silent or not there, the settings are read on a timer, and the state is not live."""
    events = Events()
    with foreign_stream() as silent:
        account = without_stream(simulator, silent.url if stream == "silent" else NO_STREAM)
        with account, following(account, write(tmp_path), events) as watch:
            until(lambda: watch.state == ("connected" if stream == "silent" else "stale"))
            simulator.exchange.change_elsewhere("BTCUSDT", 60)
            until(lambda: len(events.of(Drift, "BTCUSDT")) == 1)
            assert not watch.live
            simulator.exchange.change_elsewhere("SOLUSDT", 60)  # a later read does not report the first one again
            until(lambda: len(events.of(Drift, "SOLUSDT")) == 1)
            simulator.exchange.change_elsewhere("BTCUSDT", 20)
            simulator.exchange.change_elsewhere("ADAUSDT", 60)
            until(lambda: len(events.of(Drift, "ADAUSDT")) == 1)
            simulator.exchange.change_elsewhere("BTCUSDT", 60)
            until(lambda: len(events.of(Drift, "BTCUSDT")) == 2)
    assert len(events) == 4


def test_a_margin_type_is_reported_and_never_changed(simulator: Simulator, tmp_path: Path) -> None:
    """A margin type that the policy does not have is reported after its event, and stays with revert too."""
    events = Events()
    path = write(tmp_path, '[margin_types]\nADAUSDT = "cross"')
    with connect_to(simulator, grace=0.1) as account:
        with account.follow_policy(path, on_drift=events, revert=True) as watch:
            until(lambda: watch.state == "connected")
            simulator.exchange.change_elsewhere("ADAUSDT", margin_type="ISOLATED")
            until(lambda: len(events) == 1)
        assert events.of(Drift)[0].text == "ADAUSDT is isolated: the policy has cross"
        assert account.setting("ADAUSDT").margin_type == "isolated"
    assert simulator.exchange.received == []


def test_own_changes_are_reported_too(simulator: Simulator, tmp_path: Path) -> None:
    """A leverage that this account sets above its cap is reported at once, without a stream."""
    events = Events()
    with (
        without_stream(simulator) as account,
        account.follow_policy(write(tmp_path), on_drift=events),
    ):
        account.set_leverage("BTCUSDT", 60)
        until(lambda: [event.now for event in events.of(Drift)] == [60])


def test_what_differs_at_the_start_is_reported_and_not_reverted(
    account: Account, simulator: Simulator, tmp_path: Path
) -> None:
    """A leverage that is above its cap at the start is nobody's change: it is reported, and stays."""
    events = Events()
    with following(account, write(tmp_path, "cap = 40"), events, revert=True):
        until(lambda: len(events) == 1)
        simulator.exchange.change_elsewhere("BTCUSDT", 60)
        until(lambda: len(events.of(Reverted)) == 1)
    assert [event.symbol for event in events] == ["XRPUSDT", "BTCUSDT", "BTCUSDT"]
    assert account.setting("XRPUSDT").leverage == 50


def test_a_raise_is_reverted_to_the_cap_and_recorded(account: Account, simulator: Simulator, tmp_path: Path) -> None:
    """A leverage above its cap is lowered to it like any change; one below its cap is never raised."""
    events = Events()
    with account.follow_policy(write(tmp_path), revert=True, on_drift=events) as watch:
        until(lambda: watch.state == "connected")
        simulator.exchange.change_elsewhere("SOLUSDT", 5)
        simulator.exchange.change_elsewhere("BTCUSDT", 60)
        until(lambda: len(events.of(Reverted)) == 1)
    assert [type(event) for event in events] == [Drift, Reverted]
    assert events[1].text == "BTCUSDT was lowered from 60x to its cap of 50x"
    assert [symbol for symbol, _ in simulator.exchange.received] == ["BTCUSDT"]
    history = account.history()
    assert history[["symbol", "status"]].values.tolist() == [["BTCUSDT", "applied"]]
    assert account.setting("SOLUSDT").leverage == 5


def test_after_two_reverts_a_symbol_is_only_reported(account: Account, simulator: Simulator, tmp_path: Path) -> None:
    """The third raise of a symbol in a session stays, is reported once, also by a second handle; others are lowered."""
    events, path = Events(), write(tmp_path)
    with account.follow_policy(path, revert=True, on_drift=events) as watch:
        until(lambda: watch.state == "connected")
        for count in range(1, MOST_REVERTS + 1):
            simulator.exchange.change_elsewhere("BTCUSDT", 60)
            until(lambda count=count: len(events.of(Reverted)) == count)
        simulator.exchange.change_elsewhere("BTCUSDT", 61)
        until(lambda: len(events.of(NotReverted)) == 1)
        assert "lowered 2 times in this session" in events[-1].text
        simulator.exchange.change_elsewhere("BTCUSDT", 62)
        simulator.exchange.change_elsewhere("SOLUSDT", 60)
        until(lambda: len(events.of(Reverted, "SOLUSDT")) == 1)
    with account.follow_policy(path, revert=True, on_drift=events):
        until(lambda: len(events.of(Drift, "BTCUSDT")) == MOST_REVERTS + 3)
        account.set_leverage("BTCUSDT", 63)
        until(lambda: len(events.of(NotReverted)) == 2)
    assert account.setting("BTCUSDT").leverage == 63


def test_an_own_change_that_was_reverted_is_reported_once(account: Account, tmp_path: Path) -> None:
    """A change of this account above the cap is one drift and one revert, although two messages name it."""
    events, path = Events(), write(tmp_path)
    with account.follow_policy(path, revert=True, on_drift=events) as watch:
        until(lambda: watch.state == "connected")
        for count in range(1, MOST_REVERTS + 1):
            account.set_leverage("BTCUSDT", 60)
            until(lambda count=count: len(events.of(Reverted)) == count)
        account.set_leverage("SOLUSDT", 60)  # the messages of BTCUSDT were handled before it is reverted
        until(lambda: len(events.of(Reverted, "SOLUSDT")) == 1)
    assert len(events.of(Drift, "BTCUSDT")) == MOST_REVERTS
    assert not events.of(NotReverted)


def test_an_unknown_outcome_of_a_revert_is_not_called_a_failure() -> None:
    """A revert that may have been executed is not reported as "not lowered"."""
    assert "unknown" in NotReverted("BTCUSDT", "no answer", is_unknown=True).text
    assert "not lowered" not in NotReverted("BTCUSDT", "no answer", is_unknown=True).text


def test_a_refusal_is_reported_once_and_not_repeated(simulator: Simulator, tmp_path: Path) -> None:
    """A revert that would be refused, or is, is reported once with its code; later reads do not send it again."""
    events = Events()
    with without_stream(simulator) as account:
        with following(account, write(tmp_path), events, revert=True) as watch:
            until(lambda: watch.state == "stale")
            account.set_leverage("ETHUSDT", 60)  # its isolated position does not allow a lower leverage
            until(lambda: len(events.of(NotReverted, "ETHUSDT")) == 1)
            simulator.inject("bad_date_text")
            simulator.exchange.change_elsewhere("SOLUSDT", 60)
            until(lambda: len(events.of(NotReverted, "SOLUSDT")) == 1)
            for symbol in ("ADAUSDT", "BNBUSDT"):  # several reads later
                simulator.exchange.change_elsewhere(symbol, 60)
                until(lambda symbol=symbol: len(events.of(Drift, symbol)) == 1)
        for symbol, code in (("ETHUSDT", -4161), ("SOLUSDT", -4300)):
            assert [event.code for event in events.of(NotReverted, symbol)] == [code]
        assert [symbol for symbol, _ in simulator.exchange.received] == ["ETHUSDT", "SOLUSDT"]  # one each
        assert (account.setting("ETHUSDT").leverage, account.setting("SOLUSDT").leverage) == (60, 60)


def test_the_guard_applies_to_reverts(simulator: Simulator, tmp_path: Path) -> None:
    """A cap above the guard is not sent."""
    events = Events()
    with (
        connect_to(simulator, max_leverage=10) as account,
        following(account, write(tmp_path), events, revert=True) as watch,
    ):
        until(lambda: watch.state == "connected")
        simulator.exchange.change_elsewhere("BTCUSDT", 60)
        until(lambda: len(events.of(NotReverted)) == 1)
    assert "above your guard of 10x" in events[-1].text
    assert simulator.exchange.received == []


def test_what_could_not_be_sent_for_a_while_is_sent_later(simulator: Simulator, tmp_path: Path) -> None:
    """A revert that the rate limit stops is reported, does not count, and is tried again on the timer."""
    events = Events()
    with (
        without_stream(simulator) as account,
        following(account, write(tmp_path), events, revert=True),
    ):
        account.set_leverage("ADAUSDT", 21)
        simulator.inject("rate_limited_for", on="GET /fapi/v3/account", seconds=1)
        simulator.exchange.change_elsewhere("BTCUSDT", 60)
        until(lambda: len(events.of(NotReverted)) == 1)
        until(lambda: len(events.of(Reverted)) == 1)
        assert "was not changed" not in events.of(NotReverted)[0].text
    assert account.setting("BTCUSDT").leverage == 50


@pytest.mark.parametrize("profile", ["demo"])
def test_a_leverage_that_is_not_set_is_left_alone(tmp_path: Path, profile: str) -> None:
    """A leverage that nobody has set is neither reported nor set."""
    events = Events()
    with Simulator(profile=profile) as simulator, connect_to(simulator) as account:
        with following(account, write(tmp_path, "caps = { BNBUSDT = 5, ADAUSDT = 5 }"), events, revert=True):
            simulator.exchange.change_elsewhere("ADAUSDT", 7)
            until(lambda: len(events.of(Drift)) == 1)
        assert {event.symbol for event in events} == {"ADAUSDT"}
        assert account.setting("BNBUSDT").leverage is None


def test_reverting_on_mainnet_needs_a_second_word(simulator: Simulator, tmp_path: Path) -> None:
    """On mainnet revert=True alone is an error before anything starts; with allow_mainnet leverages are lowered."""
    events, before = Events(), set(threading.enumerate())
    with connect_to(simulator, "mainnet", max_leverage=100) as account:
        with pytest.raises(InvalidInput, match="allow_mainnet=True"):
            account.follow_policy(tmp_path / "none.toml", revert=True)
        assert not threads_since(before)
        path = write(tmp_path)
        with account.follow_policy(path, on_drift=events):
            pass
        with account.follow_policy(path, revert=True, on_drift=events, allow_mainnet=True):
            account.set_leverage("BTCUSDT", 60)
            until(lambda: len(events.of(Reverted)) == 1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"revert": "no"},
        {"revert": 1},
        {"allow_mainnet": None},
        {"on_drift": "print"},
        {"path": "none.toml"},
        {"path": 5},
    ],
)
def test_invalid_arguments_start_nothing(account: Account, tmp_path: Path, wrong: dict[str, Any]) -> None:
    """An argument of another type, and a policy that cannot be read, are errors, and no thread is left."""
    before = set(threading.enumerate())
    with pytest.raises(InvalidInput):
        account.follow_policy(**{"path": write(tmp_path), **wrong})
    assert not threads_since(before)


def test_a_read_only_account_reports_and_cannot_revert(simulator: Simulator, tmp_path: Path) -> None:
    """A read-only account follows a policy; revert=True is an error before anything starts."""
    events = Events()
    with connect_to(simulator, read_only=True) as account:
        with pytest.raises(ReadOnly):
            account.follow_policy(write(tmp_path), revert=True)
        with account.follow_policy(write(tmp_path, "cap = 20"), on_drift=events):
            until(lambda: len(events.of(Drift)) == 1)


def test_an_event_is_printed_without_a_function(
    account: Account, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without on_drift an event is a printed line that names venue, policy, symbol and cap."""
    printed: list[str] = []
    with account.follow_policy(write(tmp_path, "cap = 20")):
        until(lambda: bool(printed.append(capsys.readouterr().out) or "".join(printed)))
    assert "".join(printed) == "[SIMULATOR] Policy risk.toml: XRPUSDT is at 50x: above its cap of 20x.\n"


def test_a_function_that_fails_is_reported_and_does_not_end_it(
    account: Account, simulator: Simulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An exception of on_drift is printed with the event, and the next event arrives."""
    calls = Events()

    def fail(event: FollowEvent) -> None:
        calls.append(event)
        raise ValueError("a bug of the function")

    with account.follow_policy(write(tmp_path), on_drift=fail) as watch:
        until(lambda: watch.state == "connected")
        for symbol in ("BTCUSDT", "SOLUSDT"):
            simulator.exchange.change_elsewhere(symbol, 60)
        until(lambda: len(calls) == 2)
    printed = capsys.readouterr().out
    assert "SOLUSDT is at 60x: above its cap of 50x. The function of on_drift failed: ValueError: a bug" in printed


def test_settings_that_cannot_be_read_are_reported_once(simulator: Simulator, tmp_path: Path) -> None:
    """A failing read is reported, once until one succeeds, and the drift is found afterwards."""
    events = Events()
    with without_stream(simulator) as account, following(account, write(tmp_path), events):
        simulator.inject("firewall", on="GET /fapi/v1/symbolConfig", times=4)
        until(lambda: len(events.of(FollowProblem)) == 1)
        simulator.exchange.change_elsewhere("BTCUSDT", 60)
        until(lambda: len(events.of(Drift)) == 1)
    assert len(events.of(FollowProblem)) == 1
    assert events[0].text.startswith("The settings could not be compared with the policy: ")


@pytest.mark.parametrize("end", ["the watch", "the account", "the function"])
def test_after_close_no_thread_is_left(simulator: Simulator, tmp_path: Path, end: str) -> None:
    """close(), the account's close(), and close() inside the function end the threads; the state is then closed."""
    before, watches = set(threading.enumerate()), Events()
    account = connect_to(simulator)

    def close_it(_event: FollowEvent) -> None:
        if end == "the function":
            until(lambda: bool(watches))
            watches[0].close()  # type: ignore[union-attr]

    watch = account.follow_policy(write(tmp_path, "cap = 20"), on_drift=close_it)
    watches.append(watch)  # type: ignore[arg-type]
    if end == "the account":
        account.close()
    elif end == "the watch":
        watch.close()
        watch.close()
    until(lambda: not threads_since(before))
    assert watch.state == "closed"
    assert "closed" in repr(watch)
    account.close()


def test_an_own_margin_type_from_before_a_revert_is_reported(simulator: Simulator, tmp_path: Path) -> None:
    """A margin type that this account changes just before a leverage is lowered is reported too."""
    events = Events()
    path = write(tmp_path, f'{CAP}\n[margin_types]\nADAUSDT = "cross"')
    with without_stream(simulator, grace=0.1) as account:

        def on_drift(event: FollowEvent) -> None:
            events(event)
            if len(events) == 1:
                account.set_margin_type("ADAUSDT", "isolated")

        with following(account, path, on_drift, revert=True, read_every=60):
            account.set_leverage("ADAUSDT", 60)
            until(lambda: len(events.of(Reverted)) == 1)
            until(lambda: [drift.kind for drift in events.of(Drift)] == ["leverage", "margin type"])


def test_a_symbol_that_changes_at_the_same_moment_is_lowered_later(
    account: Account, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If another program changes the symbol between read and revert, the event says so in its own words."""
    service = service_of(account)
    changes = iter((75, None))
    plain = service.apply

    def apply(preview: Any, *rest: Any) -> Any:
        if (leverage := next(changes, None)) is not None:
            simulator.exchange.change_elsewhere("SOLUSDT", leverage)
            preview = preview.confirmed()
        return plain(preview, *rest)

    monkeypatch.setattr(service, "apply", apply)
    events, path = Events(), write(tmp_path)
    with account.follow_policy(path, revert=True, on_drift=events) as watch:
        until(lambda: watch.state == "connected")
        simulator.exchange.change_elsewhere("SOLUSDT", 60)
        until(lambda: bool(events.of(Reverted, "SOLUSDT")))
    assert account.setting("SOLUSDT").leverage == 50
    for event in events.of(NotReverted):
        assert "another program changed it at the same moment" in event.text
        assert "confirm" not in event.text
