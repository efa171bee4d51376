"""The outcome of an attempt without a definite answer is found by reads of the setting."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product
from typing import Any

import pytest

from leverage_nb.account import Account, service_of
from leverage_nb.changes.settle import is_proof, settle
from leverage_nb.errors import (
    ChangeNotApplied,
    ChangeSuperseded,
    OutcomeUnknown,
)
from leverage_nb.journal.attempts import Applied
from leverage_nb.simulator import Simulator
from tests.arrivals import (
    SETTING,
    TIME,
    at_a_change,
    before_answer,
    break_reads_after_a_change,
    edit_answers,
    on_arrival,
    record_requests,
)
from tests.changes.drafts import begin, draft
from tests.changes.quick import (
    DEADLINE_MS,
    GRACE,
    TIMEOUT,
    attempts,
    connect_quick,
    failure,
    in_thread,
    quick_pair,
)
from tests.patience import giving_up_soon, verifying_at_most
from tests.side_by_side import side_by_side
from tests.waiting import until

INDEFINITE = (
    "stall", "truncated", "html", "bad_gateway", "unknown_503", "timeout_1007", "throttled_502", "throttled_503",
    "disconnected_500", "shutdown_500", "disconnected_200", "firewall", "page_401", "page_451", "restricted",
)  # fmt: skip


def test_an_indefinite_answer_is_verified_and_not_sent_again() -> None:
    """After any indefinite answer the change is not sent again, and the report agrees with the exchange."""

    def check(fault: str, executed: bool) -> None:
        with quick_pair(recv_window=2000) as (quick, simulator), giving_up_soon(quick):
            simulator.inject(fault, executed=executed)
            status = "applied" if executed else "not_applied"
            try:
                assert quick.set_leverage("BTCUSDT", 10).status == status
            except ChangeNotApplied:
                assert not executed
            assert len(simulator.exchange.received) == 1
            # On a busy machine the exchange may refuse a request as too late (-1021) before one arrives in time.
            assert [attempt.status for attempt in attempts(quick) if attempt.status != "not_sent"] == [status]

    side_by_side(check, product(INDEFINITE, [True, False]))


def test_a_known_outcome_has_no_doubt_in_its_record(quick: Account, simulator: Simulator) -> None:
    """Once a read has shown that a change was not executed, nothing says any more that it may have been."""
    simulator.inject("timeout_1007", executed=False)
    error = failure(quick)
    assert isinstance(error, ChangeNotApplied)
    assert "(-1007)" in error.change.note
    for text in (str(error), str(error.change), quick.history()["note"].iloc[-1]):
        assert "may have been executed" not in text


def test_a_read_of_the_target_is_applied_before_the_deadline(simulator: Simulator) -> None:
    """A read that shows the target does not wait for the deadline, and the attempt stays open."""
    account = connect_quick(simulator, recv_window=30_000)
    simulator.inject("reset_after")
    started = time.monotonic()
    change = account.set_leverage("BTCUSDT", 10)
    assert (change.status, change.confirmed_by, change.after) == ("applied", "symbolConfig", 10)
    assert time.monotonic() - started < 15
    [attempt] = attempts(account)
    assert attempt.is_open
    assert [finding.status for finding in attempt.findings] == ["unknown", "applied"]
    assert change.as_of is not None
    assert (change.as_of - attempt.begun_at).total_seconds() >= GRACE


def test_a_read_within_the_grace_does_not_count(simulator: Simulator) -> None:
    """A read that may show the value before the attempt does not make it applied."""
    account = connect_quick(simulator, grace=0.6)
    account.set_leverage("BTCUSDT", 20)
    simulator.inject("reset_before")
    posted = [0.0]

    def note_post(request: Any) -> None:
        if request.path == "/fapi/v1/leverage":
            posted[0] = time.monotonic()

    def show_the_target(request: Any, answer: Any) -> Any:
        if request.path == "/fapi/v1/symbolConfig" and time.monotonic() < posted[0] + 0.4:
            rows = [{**row, "leverage": 10} for row in json.loads(answer.body)]
            return replace(answer, body=json.dumps(rows))
        return answer

    on_arrival(simulator, note_post)
    edit_answers(simulator, show_the_target)
    assert isinstance(failure(account), ChangeNotApplied)


def test_not_applied_is_reported_only_after_the_deadline(quick: Account, simulator: Simulator) -> None:
    """The value before counts only in a read after the deadline, by the exchange's clock."""
    simulator.inject("late_execution", seconds=0.6)
    with giving_up_soon(quick, 0.3):
        change = quick.set_leverage("BTCUSDT", 10)
    assert (change.status, change.confirmed_by) == ("applied", "symbolConfig")
    simulator.inject("reset_before")
    error = failure(quick, leverage=30)
    assert isinstance(error, ChangeNotApplied)
    [_, attempt] = attempts(quick)
    assert error.change is not None
    assert error.change.as_of is not None
    assert error.change.as_of.timestamp() * 1000 > attempt.timestamp_ms + DEADLINE_MS
    assert "It is at 10x as of" in error.message
    assert not attempt.is_open


def test_the_local_clock_alone_closes_no_attempt(quick: Account, simulator: Simulator) -> None:
    """If the exchange's time cannot be read, the attempt stays open."""
    simulator.inject("reset_before")
    simulator.inject("stall", on=TIME, times=None)
    with verifying_at_most(quick):
        error = failure(quick)
    assert isinstance(error, OutcomeUnknown)
    assert attempts(quick)[0].is_open


def test_an_implausible_server_time_closes_no_attempt() -> None:
    """An implausible server time is ignored: the attempt stays open until the time can be read."""

    def check(fault: str) -> None:
        with quick_pair() as (quick, simulator):
            simulator.inject("reset_before")
            simulator.inject(fault, times=None)
            with verifying_at_most(quick):
                assert isinstance(failure(quick), OutcomeUnknown)
            assert attempts(quick)[0].is_open
            simulator.clear_faults()
            assert [change.status for change in quick.settle()] == ["not_applied"]
            assert quick.set_leverage("BTCUSDT", 10).status == "applied"

    side_by_side(check, [("time_far_ahead",), ("time_far_back",), ("time_float",)])


def test_a_third_value_is_superseded(quick: Account, simulator: Simulator) -> None:
    """A third value after the deadline is reported as superseded."""
    simulator.inject("reset_before", "other_client", leverage=33)
    error = failure(quick)
    assert isinstance(error, ChangeSuperseded)
    assert error.change is not None
    assert (error.change.status, error.change.after) == ("superseded", 33)
    assert "It is at 33x as of" in error.message


def test_a_settled_change_is_not_read_again(quick: Account, simulator: Simulator) -> None:
    """The history of changes with a final outcome sends no request."""
    simulator.inject("reset_before")
    failure(quick)
    arrived = record_requests(simulator)
    assert quick.history()["status"].tolist() == ["not_applied"]
    assert arrived == []


def test_another_processs_attempt_is_settled_after_its_deadline(quick: Account, simulator: Simulator) -> None:
    """Before its deadline only the process that sent an attempt verifies it; after it any process may."""
    theirs = begin(quick, "BTCUSDT", 33, 20, process="another kernel")
    [early] = settle(service_of(quick).client, service_of(quick).journal, [theirs], at_most=0.1)
    assert early.status == "unknown"  # although the target is there
    quick.settle()
    assert time.time() * 1000 > theirs.timestamp_ms + DEADLINE_MS
    assert [(attempt.status, attempt.is_open) for attempt in attempts(quick)] == [("applied", False)]


def test_a_read_does_not_claim_who_made_the_change(quick: Account, simulator: Simulator) -> None:
    """If another client sets the same leverage, the record names the read and its time, not an author."""
    simulator.inject("reset_before", "other_client", leverage=10)
    change = quick.set_leverage("BTCUSDT", 10)
    assert change.proof.startswith("a read of the setting: BTCUSDT is at 10x as of ")


def test_a_change_read_as_applied_stays_applied(quick: Account, simulator: Simulator) -> None:
    """A change that was read as applied stays applied, although another client has changed it since."""
    simulator.inject("reset_after")
    quick.set_leverage("BTCUSDT", 10)
    simulator.exchange.change_elsewhere("BTCUSDT", 33)
    [change] = quick.settle()
    assert (change.status, change.after) == ("applied", 10)
    assert "it is at 33x" in change.note


@pytest.mark.parametrize(
    ("seconds", "leverage", "expected"),
    [(0.0, 20, False), (-1.0, 20, False), (0.05, 20, True), (0.05, 10, False), (0.2, 10, True), (-60.0, 20, True)],
)
def test_a_read_counts_only_after_the_latest_answer(
    quick: Account, seconds: float, leverage: int, expected: bool
) -> None:
    """A read counts if it was sent after the latest answer, and after the grace if it differs from it."""
    sent = datetime.now().astimezone() - timedelta(seconds=10)
    setting = replace(quick.setting("BTCUSDT"), as_of=sent)
    applied = Applied("leverage", leverage, sent - timedelta(seconds=seconds))
    assert is_proof(setting, applied, GRACE) == expected
    assert is_proof(setting, None, GRACE)


def test_a_symbol_missing_from_one_list_is_read_alone(quick: Account, simulator: Simulator) -> None:
    """If one list lacks the symbol, it is read alone."""
    preview = quick.preview("BTCUSDT", 10)
    simulator.inject("reset_after")
    at_a_change(simulator, lambda: simulator.inject("missing_symbol", symbol="BTCUSDT"))
    settled = preview.apply()
    assert (settled.status, settled.confirmed_by) == ("applied", "symbolConfig")


def test_an_attempt_on_a_missing_symbol_stays_open(quick: Account, simulator: Simulator) -> None:
    """An attempt on a symbol that no list contains stays open, and is settled once one contains it."""
    preview = quick.preview("BTCUSDT", 10)
    simulator.inject("reset_after")
    at_a_change(simulator, lambda: simulator.inject("missing_symbol", symbol="BTCUSDT", times=None))
    with pytest.raises(OutcomeUnknown):
        preview.apply()
    assert [change.status for change in service_of(quick).past.open()] == ["unknown"]
    assert quick.history()["status"].tolist() == ["unknown"]
    simulator.clear_faults()
    assert quick.history()["status"].tolist() == ["applied"]
    assert service_of(quick).past.open() == []


def test_many_attempts_are_settled_by_one_read(quick: Account, simulator: Simulator) -> None:
    """Ten open attempts take one read of all settings."""
    names = quick.symbols()[:10]
    drafts = [draft(quick, name, simulator.exchange.account.leverage(name), 2) for name in names]
    stamp = service_of(quick).client.time_ms()
    opened = service_of(quick).journal.begin(drafts, lambda: stamp)
    for name in names[:4]:
        simulator.exchange.change_elsewhere(name, 2)
    changed = {name for name in names if simulator.exchange.account.leverage(name) == 2}
    arrived = record_requests(simulator)
    found = settle(service_of(quick).client, service_of(quick).journal, opened, until_closed=True)
    assert {attempt.symbol for attempt in found if attempt.status == "applied"} == changed
    assert {attempt.status for attempt in found if attempt.symbol not in changed} == {"not_applied"}
    assert arrived.count(SETTING) == 1


def test_progress_names_the_change_and_the_deadline(quick: Account, simulator: Simulator) -> None:
    """The progress function is called once with the deadline; an error in it changes nothing."""
    said: list[str] = []

    def listen(text: str) -> None:
        said.append(text)
        raise RuntimeError("a broken listener")

    simulator.inject("reset_before")
    with pytest.raises(ChangeNotApplied):
        quick.set_leverage("BTCUSDT", 10, progress=listen)
    assert len(said) == 1
    assert said[0].startswith("no definite answer about BTCUSDT 20x → 10x; verifying with the exchange, final by ")


def test_failed_reads_leave_the_outcome_unknown(quick: Account, simulator: Simulator) -> None:
    """If no read succeeds, the outcome is unknown, the attempt stays open and is settled at the next contact."""
    before = quick.preview("BTCUSDT", 10)
    simulator.inject("reset_after")
    break_reads_after_a_change(simulator)
    started = time.monotonic()
    with verifying_at_most(quick, 3.0), pytest.raises(OutcomeUnknown, match="could not be verified") as caught:
        before.apply()
    assert time.monotonic() - started < DEADLINE_MS / 1000 + TIMEOUT
    assert "%leverage --history" in caught.value.hint
    assert [change.status for change in service_of(quick).past.open()] == ["unknown"]
    simulator.clear_faults()
    assert quick.history()["status"].tolist() == ["applied"]
    assert service_of(quick).past.open() == []


def test_a_finding_of_another_thread_counts(simulator: Simulator) -> None:
    """If another thread has settled an attempt, its finding is reported, and undo works."""
    account = connect_quick(simulator)
    simulator.inject("stall", executed=True)
    with giving_up_soon(account, 2.0):
        thread, ended = in_thread(lambda: account.set_leverage("BTCUSDT", 10))
        until(lambda: simulator.exchange.received != [])
    until(lambda: account.history()["status"].tolist() == ["applied"])
    thread.join()
    assert (ended[0].status, ended[0].confirmed_by) == ("applied", "symbolConfig")
    [attempt] = attempts(account)
    assert (attempt.status, attempt.is_open) == ("applied", False)
    assert account.undo().after == 20  # type: ignore[union-attr]  # a single change


def test_a_time_that_cannot_be_read_is_not_read_all_the_time(quick: Account, simulator: Simulator) -> None:
    """If the exchange's time cannot be read after the deadline, it is read a few times with pauses."""
    simulator.inject("reset_before")
    simulator.inject("firewall", on=TIME, times=None, executed=True)
    arrived = record_requests(simulator)
    with verifying_at_most(quick, 3.0):
        failure(quick)
    assert len(arrived) < 30


def test_a_clock_that_is_set_back_does_not_prolong_settling(
    quick: Account, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waits are monotonic, so a step of the system clock does not make them longer."""
    now, step = time.time_ns, [0]
    monkeypatch.setattr(time, "time_ns", lambda: now() - step[0])
    simulator.inject("reset_before")

    def set_back(request: Any) -> None:
        if request.path == "/fapi/v1/symbolConfig" and simulator.exchange.received:
            step[0] = 600 * 10**9

    before_answer(simulator, set_back)
    started = time.monotonic()
    assert isinstance(failure(quick), (ChangeNotApplied, OutcomeUnknown))
    assert time.monotonic() - started < 10
