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
    LeverageError,
    LeverageRefused,
)
from leverage_nb.journal.attempts import Attempt
from leverage_nb.journal.database import MEMORY
from leverage_nb.journal.journal import Journal
from leverage_nb.simulator import Simulator
from tests.arrivals import SETTING, before_answer
from tests.changes.faked_wire import APPLIED, SYMBOL_CONFIG, FakedWire
from tests.changes.quick import WINDOW, attempts, failure


def test_unchanged_sends_nothing(faked: FakedWire) -> None:
    """What is there already is not sent again."""
    made = faked.change(20)
    assert (made.status, made.before, made.after, made.sent_at) == ("unchanged", 20, 20, None)
    assert faked.posts == 0


def test_without_the_setting_nothing_is_sent(faked: FakedWire) -> None:
    """When the setting before cannot be read, the change is not sent, and the reason is kept."""
    faked.wire.replace("GET", SYMBOL_CONFIG, json={"code": -2015, "msg": "Invalid API-key"}, status=401)
    with pytest.raises(ChangeNotSent) as caught:
        faked.change()
    assert (caught.value.code, caught.value.http_status) == (-2015, 401)
    assert "list" in caught.value.hint
    assert caught.value.__context__ is None
    assert faked.posts == 0


def test_against_the_simulator_reports_and_books_agree(simulator: Simulator) -> None:
    """For every leverage of a symbol, what is reported is what the simulator's books say."""
    venue = VENUES["simulator"].at(simulator.rest_url)
    client, journal = RestClient(venue, Credentials(simulator.api_key, simulator.api_secret)), Journal(MEMORY)
    books = simulator.exchange.account
    seen: set[object] = set()
    for target in [*range(1, 151, 7), 125, 1, 20]:
        before = books.leverage("BTCUSDT")
        refused: LeverageError | None = None
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


def test_another_leverage_than_the_confirmed_one_sends_nothing(faked: FakedWire) -> None:
    """Where the read shows another leverage, nothing is sent, and the user reads what it is now."""
    old = replace(faked.read_setting(), leverage=15, read_at=0.0)
    with pytest.raises(ChangeNotSent, match="confirmed from 15x, and BTCUSDT is at 20x now") as caught:
        faked.change(setting=old)
    assert caught.value.change is not None
    assert (caught.value.change.status, caught.value.change.before) == ("not_sent", 20)
    assert faked.posts == 0
    assert faked.journal.attempts(faked.client.identity) == []


def test_what_was_previewed_as_unchanged_sends_nothing(faked: FakedWire) -> None:
    """A change that was confirmed as unchanged sends nothing, though the leverage is another one by now."""
    old = replace(faked.read_setting(), leverage=10, read_at=0.0)
    with pytest.raises(ChangeNotSent, match="confirmed from 10x, and BTCUSDT is at 20x now"):
        faked.change(leverage=10, setting=old)
    assert faked.posts == 0


def test_the_confirmed_change_is_unchanged_only_where_it_is_confirmed_as_such(faked: FakedWire) -> None:
    """A change from 15x to 20x that somebody else has made meanwhile is not reported as ours."""
    old = replace(faked.read_setting(), leverage=15, read_at=0.0)
    with pytest.raises(ChangeNotSent, match="BTCUSDT is at 20x now"):
        faked.change(leverage=20, setting=old)
    assert faked.posts == 0


def test_a_request_that_could_not_leave_in_time_starts_from_a_new_read(faked: FakedWire) -> None:
    """When the read has grown old before anything left, the setting is read again; the same leverage is sent."""
    slow = iter((1.2, 0.0))

    def begin_slowly(drafts: Any, stamp: Any) -> Any:
        time.sleep(next(slow))  # a disk, or another process's access
        return Journal.begin(faked.journal, drafts, stamp)

    faked.journal.begin = begin_slowly
    sent = faked.client.post
    faked.client.post = lambda path, parameters, stamp, expires: _post_in_time(sent, path, parameters, stamp, expires)
    faked.answer(APPLIED)
    assert faked.change().status == "applied"
    assert faked.statuses == ["not_sent", "applied"]
    assert faked.posts == 1


def _post_in_time(sent: Any, path: Any, parameters: Any, stamp: Any, expires: Any) -> Any:
    """What the connection does with the first byte, which the faked wire has none of."""

    def checked() -> Any:
        if time.monotonic() > expires():
            raise SentTooLate("The request could not leave in time.")
        return expires()

    return sent(path, parameters, stamp, checked)


@pytest.mark.parametrize("code", [-1021, -1008])
def test_a_passing_refusal_is_followed_only_from_the_same_leverage(faked: FakedWire, code: int) -> None:
    """After a definite refusal that passes, another leverage than before ends the change as refused, and names it."""
    faked.answer({"code": code, "msg": "Passing."}, 400)
    others = [{**SETTING[0], "leverage": leverage} for leverage in (20, 15)]
    faked.wire.remove("GET", SYMBOL_CONFIG)
    for other in others:
        faked.wire.get(SYMBOL_CONFIG, json=[other])
    with pytest.raises(LeverageRefused, match="No further attempt was made") as caught:
        faked.change()
    assert "BTCUSDT is at 15x now" in caught.value.message
    assert faked.posts == 1


def test_a_passing_refusal_is_followed_by_an_attempt_of_its_own(faked: FakedWire) -> None:
    """Each attempt is recorded, and begins with a read that shows the leverage before."""
    faked.answer({"code": -1008, "msg": "Throttled."}, 400)
    faked.answer(APPLIED)
    assert faked.change().status == "applied"
    methods = faked.methods
    assert methods == ["GET", "POST", "GET", "POST"]
    assert faked.statuses == ["refused", "applied"]


def test_rule_1_the_row_is_there_before_the_request_leaves(quick: Account, simulator: Simulator) -> None:
    """When a change arrives its attempt is in the journal, with timestamp and recvWindow; unchanged records none."""
    seen: list[Attempt] = []
    before_answer(simulator, lambda request: seen.extend(attempts(quick) if request.method == "POST" else ()))
    quick.set_leverage("BTCUSDT", 10)
    [attempt] = seen
    assert (attempt.symbol, attempt.before, attempt.requested, attempt.is_open) == ("BTCUSDT", 20, 10, True)
    assert simulator.exchange.received == [("BTCUSDT", attempt.timestamp_ms)]
    assert attempt.recv_window_ms == WINDOW
    assert quick.set_leverage("BTCUSDT", 10).status == "unchanged"
    assert len(attempts(quick)) == 1


@pytest.mark.parametrize("fault", ["clock_skew", "unavailable_503", "internal_503"])
def test_rule_2_a_new_attempt_where_the_earlier_was_certainly_not_executed(
    quick: Account, simulator: Simulator, fault: str
) -> None:
    """-1021 and the definite 503s are followed by an attempt of its own, with a timestamp of its own."""
    simulator.inject(fault)
    assert quick.set_leverage("BTCUSDT", 10).status == "applied"
    first, second = attempts(quick)
    assert [first.status, second.status] == ["refused", "applied"]
    assert len(set(simulator.exchange.received)) == 2


def test_rule_2_an_overload_that_lasts_is_refused(quick: Account, simulator: Simulator) -> None:
    """After four attempts it is reported as what it is: refused, with the words."""
    simulator.inject("unavailable_503", times=None)
    error = failure(quick)
    assert isinstance(error, LeverageRefused)
    assert len(simulator.exchange.received) == 4


def test_rule_2_a_foreign_change_after_a_passing_refusal_is_not_overwritten(
    quick: Account, simulator: Simulator
) -> None:
    """What another client set between two attempts is left alone, and named."""
    simulator.inject("unavailable_503", "other_client", leverage=33)
    error = failure(quick)
    assert isinstance(error, LeverageRefused)
    assert "BTCUSDT is at 33x now" in error.message
    assert simulator.exchange.account.leverage("BTCUSDT") == 33
    assert len(simulator.exchange.received) == 1


def test_a_retry_that_does_not_leave_hides_no_refusal(quick: Account, simulator: Simulator) -> None:
    """What was sent and refused is reported as refused, though the exchange is gone before the next attempt."""
    before = quick.preview("BTCUSDT", 10)
    simulator.inject("unavailable_503")
    answered = simulator.exchange.note_arrival

    def close_after(request: Any) -> None:
        answered(request)
        if request.method == "POST":
            threading.Timer(0.05, simulator.close).start()

    simulator.exchange.note_arrival = close_after  # type: ignore[method-assign]  # the server goes down in between
    with pytest.raises(LeverageRefused, match="No further attempt was made") as caught:
        before.apply()
    assert caught.value.change is not None
    assert caught.value.change.status == "refused"
    history = [attempt.status for attempt in attempts(quick)]
    assert history[0] == "refused"
    assert set(history[1:]) <= {"not_sent"}
