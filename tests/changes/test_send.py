"""One change: each attempt is recorded before it is sent, and sent from the confirmed leverage only."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from leverage_nb.account import Account
from leverage_nb.binance.client import RestClient
from leverage_nb.binance.credentials import Credentials
from leverage_nb.binance.http import SentTooLate
from leverage_nb.binance.venues import VENUES
from leverage_nb.changes.request import ChangeRequest
from leverage_nb.changes.send import Sender
from leverage_nb.errors import (
    ChangeNotSent,
    LeverageRefused,
)
from leverage_nb.journal.attempts import Attempt
from leverage_nb.journal.database import MEMORY
from leverage_nb.journal.journal import Journal
from leverage_nb.simulator import Simulator
from tests.arrivals import before_answer, on_arrival
from tests.changes.faked_wire import APPLIED, SYMBOL_CONFIG, FakedWire, setting_row
from tests.changes.quick import WINDOW, attempts, failure


def test_a_leverage_that_is_already_set_is_not_sent(faked: FakedWire) -> None:
    """A leverage that is already set is unchanged, and nothing is sent."""
    made = faked.change(20)
    assert (made.status, made.before, made.after, made.sent_at) == ("unchanged", 20, 20, None)
    assert faked.posts == 0


def test_nothing_is_sent_if_the_setting_cannot_be_read(faked: FakedWire) -> None:
    """If the setting cannot be read, the change is not sent, with the reason."""
    faked.wire.replace("GET", SYMBOL_CONFIG, json={"code": -2015, "msg": "Invalid API-key"}, status=401)
    with pytest.raises(ChangeNotSent) as caught:
        faked.change()
    assert (caught.value.code, caught.value.http_status) == (-2015, 401)
    assert "list" in caught.value.hint
    assert caught.value.__context__ is None
    assert faked.posts == 0


def test_reports_agree_with_the_simulator(simulator: Simulator) -> None:
    """For every leverage of a symbol the report agrees with the simulator's account."""
    venue = VENUES["simulator"].at(simulator.rest_url)
    client, journal = RestClient(venue, Credentials(simulator.api_key, simulator.api_secret)), Journal(MEMORY)
    books = simulator.exchange.account
    seen: set[object] = set()
    for target in [*range(1, 151, 7), 125, 1, 20]:
        before = books.leverage("BTCUSDT")
        refused: LeverageRefused | None = None
        try:
            made = Sender(client, journal, ChangeRequest("BTCUSDT", target)).run()
        except LeverageRefused as error:
            refused = error
        if refused is None:
            assert books.leverage("BTCUSDT") == made.after == target
            assert made.before == before
            seen.add(made.status)
        else:
            assert refused.change is not None
            assert refused.change.status == "refused"
            assert books.leverage("BTCUSDT") == before
            seen.add(refused.code)
    assert seen == {"applied", -2027, -2028}
    client.close()
    journal.close()


def test_nothing_is_sent_from_another_leverage_than_the_confirmed_one(faked: FakedWire) -> None:
    """If the read shows another leverage than the confirmed one, nothing is sent, and the error names it."""
    old = replace(faked.read_setting(), leverage=15, read_at=0.0)
    with pytest.raises(ChangeNotSent, match="confirmed from 15x, and BTCUSDT is at 20x now") as caught:
        faked.change(setting=old)
    assert caught.value.change is not None
    assert (caught.value.change.status, caught.value.change.before) == ("not_sent", 20)
    assert faked.posts == 0
    assert faked.journal.attempts(faked.client.identity) == []


def test_a_change_confirmed_as_unchanged_sends_nothing(faked: FakedWire) -> None:
    """A change that was confirmed as unchanged sends nothing, although the leverage is another one now."""
    old = replace(faked.read_setting(), leverage=10, read_at=0.0)
    with pytest.raises(ChangeNotSent, match="confirmed from 10x, and BTCUSDT is at 20x now"):
        faked.change(leverage=10, setting=old)
    assert faked.posts == 0


def test_a_change_made_elsewhere_is_not_reported_as_unchanged(faked: FakedWire) -> None:
    """A change that another client has made meanwhile is not reported as unchanged."""
    old = replace(faked.read_setting(), leverage=15, read_at=0.0)
    with pytest.raises(ChangeNotSent, match="BTCUSDT is at 20x now"):
        faked.change(leverage=20, setting=old)
    assert faked.posts == 0


def test_a_request_that_could_not_leave_in_time_starts_from_a_new_read(
    faked: FakedWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the read is too old before the request can leave, the setting is read again and the change is sent."""
    slow = iter((1.2, 0.0))

    def begin_slowly(drafts: Any, stamp: Any) -> Any:
        time.sleep(next(slow))  # a disk, or another process's access
        return Journal.begin(faked.journal, drafts, stamp)

    sent = faked.client.post
    monkeypatch.setattr(faked.journal, "begin", begin_slowly)
    monkeypatch.setattr(faked.client, "post", lambda *arguments: post_in_time(sent, *arguments))
    faked.answer(APPLIED)
    assert faked.change().status == "applied"
    assert faked.statuses == ["not_sent", "applied"]
    assert faked.posts == 1


def post_in_time(sent: Any, path: Any, parameters: Any, stamp: Any, expires: Any) -> Any:
    """Check the time as the connection does at the first byte, which the faked wire does not have."""

    def checked() -> Any:
        if time.monotonic() > expires():
            raise SentTooLate("The request could not leave in time.")
        return expires()

    return sent(path, parameters, stamp, checked)


@pytest.mark.parametrize("code", [-1021, -1008])
def test_no_attempt_follows_a_passing_refusal_from_another_leverage(faked: FakedWire, code: int) -> None:
    """After a passing refusal another leverage than before ends the change as refused, and is named."""
    faked.answer({"code": code, "msg": "Passing."}, 400)
    faked.wire.remove("GET", SYMBOL_CONFIG)
    for leverage in (20, 15):
        faked.wire.get(SYMBOL_CONFIG, json=[setting_row(leverage)])
    with pytest.raises(LeverageRefused, match="No further attempt was made") as caught:
        faked.change()
    assert "BTCUSDT is at 15x now" in caught.value.message
    assert faked.posts == 1


def test_another_attempt_follows_a_passing_refusal(faked: FakedWire) -> None:
    """Each attempt is recorded, and follows a read that shows the leverage before."""
    faked.answer({"code": -1008, "msg": "Throttled."}, 400)
    faked.answer(APPLIED)
    assert faked.change().status == "applied"
    assert faked.methods == ["GET", "POST", "GET", "POST"]
    assert faked.statuses == ["refused", "applied"]


def test_an_attempt_is_recorded_before_it_is_sent(quick: Account, simulator: Simulator) -> None:
    """When a change arrives, its attempt is in the journal; an unchanged one records none."""
    seen: list[Attempt] = []
    before_answer(
        simulator, lambda request: seen.extend(attempts(quick) if request.path == "/fapi/v1/leverage" else ())
    )
    quick.set_leverage("BTCUSDT", 10)
    [attempt] = seen
    assert (attempt.symbol, attempt.before, attempt.requested, attempt.is_open) == ("BTCUSDT", 20, 10, True)
    assert simulator.exchange.received == [("BTCUSDT", attempt.timestamp_ms)]
    assert attempt.recv_window_ms == WINDOW
    assert quick.set_leverage("BTCUSDT", 10).status == "unchanged"
    assert len(attempts(quick)) == 1


@pytest.mark.parametrize("fault", ["clock_skew", "unavailable_503", "internal_503"])
def test_a_refusal_that_passes_is_followed_by_a_new_request(quick: Account, simulator: Simulator, fault: str) -> None:
    """-1021 and the definite 503s are followed by another attempt with its own timestamp."""
    simulator.inject(fault)
    assert quick.set_leverage("BTCUSDT", 10).status == "applied"
    first, second = attempts(quick)
    assert [first.status, second.status] == ["refused", "applied"]
    assert len(set(simulator.exchange.received)) == 2


def test_a_lasting_overload_is_refused(quick: Account, simulator: Simulator) -> None:
    """After four attempts a definite 503 is reported as refused."""
    simulator.inject("unavailable_503", times=None)
    error = failure(quick)
    assert isinstance(error, LeverageRefused)
    assert len(simulator.exchange.received) == 4


def test_a_change_elsewhere_between_two_attempts_is_not_overwritten(quick: Account, simulator: Simulator) -> None:
    """A change by another client between two attempts is not overwritten, and is named."""
    simulator.inject("unavailable_503", "other_client", leverage=33)
    error = failure(quick)
    assert isinstance(error, LeverageRefused)
    assert "BTCUSDT is at 33x now" in error.message
    assert simulator.exchange.account.leverage("BTCUSDT") == 33
    assert len(simulator.exchange.received) == 1


def test_a_refusal_is_reported_although_the_next_attempt_failed(quick: Account, simulator: Simulator) -> None:
    """A refused change is reported as refused, although the next attempt could not be sent."""
    before = quick.preview("BTCUSDT", 10)
    simulator.inject("unavailable_503")

    def close_soon(request: Any) -> None:
        if request.path == "/fapi/v1/leverage":
            threading.Timer(0.05, simulator.close).start()

    on_arrival(simulator, close_soon)
    with pytest.raises(LeverageRefused, match="No further attempt was made") as caught:
        before.apply()
    assert caught.value.change is not None
    assert caught.value.change.status == "refused"
    history = [attempt.status for attempt in attempts(quick)]
    assert history[0] == "refused"
    assert set(history[1:]) <= {"not_sent"}
