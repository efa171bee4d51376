"""The outcome of an attempt without a definite answer is found by reads of the setting."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from leverage_nb.account import Account, service_of
from leverage_nb.changes.settle import counts, settle
from leverage_nb.errors import (
    ChangeNotApplied,
    ChangeSuperseded,
    OutcomeUnknown,
)
from leverage_nb.journal.attempts import Applied
from leverage_nb.simulator import Simulator
from tests.arrivals import SETTING, TIME, before_answer, record_requests
from tests.changes.drafts import begin, draft
from tests.changes.quick import DEADLINE_MS, GRACE, TIMEOUT, attempts, connect_quick, failure, in_thread
from tests.waiting import until


@pytest.mark.parametrize("executed", [True, False])
@pytest.mark.parametrize(
    "fault",
    [
        "stall", "truncated", "html", "bad_gateway", "unknown_503", "timeout_1007", "throttled_502", "throttled_503",
        "disconnected_500", "shutdown_500", "disconnected_200", "firewall", "page_401", "page_451", "restricted",
    ],
)  # fmt: skip
def test_rule_2_nothing_is_sent_again(quick: Account, simulator: Simulator, fault: str, executed: bool) -> None:
    """Whatever the answer looks like, one change is one request, and the report is what the exchange did."""
    simulator.inject(fault, executed=executed)
    status = "applied" if executed else "not_applied"
    try:
        assert quick.set_leverage("BTCUSDT", 10).status == status
    except ChangeNotApplied:
        assert not executed
    assert len(simulator.exchange.received) == 1
    assert [attempt.status for attempt in attempts(quick)] == [status]


def test_rule_5_the_target_read_is_applied_before_the_window_ends(simulator: Simulator) -> None:
    """A read that shows the target does not wait for the window, and the attempt stays open."""
    account = connect_quick(simulator, recv_window=5000)
    simulator.inject("reset_after")
    started = time.monotonic()
    change = account.set_leverage("BTCUSDT", 10)
    assert (change.status, change.confirmed_by, change.after) == ("applied", "symbolConfig", 10)
    assert time.monotonic() - started < 3
    [attempt] = attempts(account)
    assert attempt.is_open
    assert [finding.status for finding in attempt.findings] == ["unknown", "applied"]
    assert change.as_of is not None
    assert (change.as_of - attempt.begun_at).total_seconds() >= GRACE


def test_rule_5_a_read_that_may_be_behind_says_nothing(simulator: Simulator) -> None:
    """Soon after the attempt a read may show what was there before it: the target in it is not taken for a success."""
    account = connect_quick(simulator, grace=0.6)
    account.set_leverage("BTCUSDT", 20)
    simulator.inject("reset_before")
    handle, posted = simulator.exchange.handle, [0.0]

    def behind(request: Any, *more: Any, **options: Any) -> Any:
        answer = handle(request, *more, **options)
        if request.path == "/fapi/v1/symbolConfig" and time.monotonic() < posted[0] + 0.4:
            rows = [{**row, "leverage": 10} for row in json.loads(answer.body)]
            return replace(answer, body=json.dumps(rows))
        return answer

    def arrived(request: Any) -> None:
        if request.method == "POST":
            posted[0] = time.monotonic()

    simulator.exchange.handle = behind  # type: ignore[method-assign]  # its reads are behind for a while
    simulator.exchange.note_arrival = arrived  # type: ignore[method-assign]  # also of what is never executed
    assert isinstance(failure(account), ChangeNotApplied)


def test_rule_5_not_applied_is_said_only_after_the_exchanges_own_time(quick: Account, simulator: Simulator) -> None:
    """The old value means nothing before the exchange says that the window and a grace are past."""
    simulator.inject("late_execution", seconds=0.25)
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


def test_rule_5_a_clock_that_runs_ahead_does_not_end_the_window(quick: Account, simulator: Simulator) -> None:
    """This machine's clock alone never closes an attempt: the exchange has to say the time."""
    simulator.inject("reset_before")
    simulator.inject("stall", on=TIME, times=None)
    error = failure(quick)
    assert isinstance(error, OutcomeUnknown)
    assert attempts(quick)[0].is_open


@pytest.mark.parametrize("fault", ["time_far_ahead", "time_far_back", "time_float"])
def test_rule_5_an_implausible_time_ends_no_window(quick: Account, simulator: Simulator, fault: str) -> None:
    """A server time that cannot be is refused: nothing is said of the attempt, nothing raises, nothing is signed."""
    simulator.inject("reset_before")
    simulator.inject(fault, times=None)
    assert isinstance(failure(quick), OutcomeUnknown)
    assert attempts(quick)[0].is_open
    simulator.clear_faults()
    assert [change.status for change in quick.settle()] == ["not_applied"]
    assert quick.set_leverage("BTCUSDT", 10).status == "applied"


def test_rule_5_superseded(quick: Account, simulator: Simulator) -> None:
    """A third value after the window is reported as somebody else's."""
    simulator.inject("reset_before", "other_client", leverage=33)
    error = failure(quick)
    assert isinstance(error, ChangeSuperseded)
    assert error.change is not None
    assert (error.change.status, error.change.after) == ("superseded", 33)
    assert "It is at 33x as of" in error.message


def test_rule_5_what_is_settled_is_not_read_again(quick: Account, simulator: Simulator) -> None:
    """The history of changes with a final outcome sends no request."""
    simulator.inject("reset_before")
    failure(quick)
    arrived = record_requests(simulator)
    assert quick.history()["status"].tolist() == ["not_applied"]
    assert arrived == []


def test_rule_6_another_kernels_attempt_is_not_ours(quick: Account, simulator: Simulator) -> None:
    """Until it is past nobody else verifies it; afterwards anybody may."""
    theirs = begin(quick, "BTCUSDT", 33, 20, process="another kernel")
    [early] = settle(service_of(quick).client, service_of(quick).journal, [theirs], at_most=0.1)
    assert early.status == "unknown"  # though the target is there
    quick.settle()
    assert time.time() * 1000 > theirs.timestamp_ms + DEADLINE_MS
    assert [(attempt.status, attempt.is_open) for attempt in attempts(quick)] == [("applied", False)]


def test_rule_7_words_say_the_state_and_not_who(quick: Account, simulator: Simulator) -> None:
    """Another client's change to the same target is reported as what was read, as of when."""
    simulator.inject("reset_before", "other_client", leverage=10)
    change = quick.set_leverage("BTCUSDT", 10)
    assert change.proof.startswith("a read of the setting: BTCUSDT is at 10x as of ")


def test_rule_7_what_was_read_and_changed_since(quick: Account, simulator: Simulator) -> None:
    """A change read at its target stays applied when it is closed, though another client has changed it since."""
    simulator.inject("reset_after")
    quick.set_leverage("BTCUSDT", 10)
    simulator.exchange.change_elsewhere("BTCUSDT", 33)
    [change] = quick.settle()
    assert (change.status, change.after) == ("applied", 10)
    assert "it is 33x" in change.note


@pytest.mark.parametrize(
    ("seconds", "leverage", "expected"),
    [(0.0, 20, False), (-1.0, 20, False), (0.05, 20, True), (0.05, 10, False), (0.2, 10, True), (-60.0, 20, True)],
)
def test_rule_7_a_read_before_the_latest_answer_does_not_count(
    quick: Account, seconds: float, leverage: int, expected: bool
) -> None:
    """A read sent before the exchange's latest answer is old; one that differs from it may be behind by the grace.

    An answer that is dated ahead of now, because the clock was set back since, says nothing.
    """
    sent = datetime.now().astimezone() - timedelta(seconds=10)
    setting = replace(quick.setting("BTCUSDT"), as_of=sent)
    applied = Applied(leverage, sent - timedelta(seconds=seconds))
    assert counts(setting, applied, GRACE) == expected
    assert counts(setting, None, GRACE)


def test_rule_7_a_symbol_that_a_list_leaves_out_is_not_delisted(quick: Account, simulator: Simulator) -> None:
    """Where one list lacks the symbol, it is read by itself."""
    preview = quick.preview("BTCUSDT", 10)
    simulator.inject("reset_after")
    simulator.inject("missing_symbol", symbol="BTCUSDT")
    settled = preview.apply()
    assert (settled.status, settled.confirmed_by) == ("applied", "symbolConfig")


def test_rule_7_what_cannot_be_read_stays_unknown(quick: Account, simulator: Simulator) -> None:
    """An attempt on a symbol that no list has stays open, and is settled once one has it again."""
    preview = quick.preview("BTCUSDT", 10)
    simulator.inject("reset_after")
    simulator.inject("missing_symbol", symbol="BTCUSDT", times=None)
    with pytest.raises(OutcomeUnknown):
        preview.apply()
    assert [change.status for change in service_of(quick).open_changes()] == ["unknown"]
    assert quick.history()["status"].tolist() == ["unknown"]
    simulator.clear_faults()
    assert quick.history()["status"].tolist() == ["applied"]
    assert service_of(quick).open_changes() == []


def test_many_are_settled_by_one_request(quick: Account, simulator: Simulator) -> None:
    """Ten open attempts cost one read of all settings, not ten."""
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


def test_progress_names_what_is_verified_and_until_when(quick: Account, simulator: Simulator) -> None:
    """The caller is notified once, with the time by which it is final; a listener that fails decides nothing."""
    said: list[str] = []

    def listen(text: str) -> None:
        said.append(text)
        raise RuntimeError("a broken listener")

    simulator.inject("reset_before")
    with pytest.raises(ChangeNotApplied):
        quick.set_leverage("BTCUSDT", 10, progress=listen)
    assert len(said) == 1
    assert said[0].startswith("no definite answer about BTCUSDT 10x; verifying with the exchange, final by ")


def test_reads_that_fail_as_well(quick: Account, simulator: Simulator) -> None:
    """When nothing can be read the outcome is unknown, on record, and settled at the next contact."""
    before = quick.preview("BTCUSDT", 10)
    simulator.inject("reset_after")
    simulator.inject("bad_gateway", on=SETTING, times=None, executed=False)
    started = time.monotonic()
    with pytest.raises(OutcomeUnknown, match="could not be verified") as caught:
        before.apply()
    assert time.monotonic() - started < DEADLINE_MS / 1000 + 3 * TIMEOUT + 1
    assert "%leverage --history" in caught.value.hint
    assert [change.status for change in service_of(quick).open_changes()] == ["unknown"]
    simulator.clear_faults()
    assert quick.history()["status"].tolist() == ["applied"]
    assert service_of(quick).open_changes() == []


def test_what_another_found_is_not_forgotten(simulator: Simulator) -> None:
    """No answer, after somebody else has settled the attempt, says what that one found; undo goes on working."""
    account = connect_quick(simulator, timeout=1.5)
    simulator.inject("stall", executed=True)
    thread, ended = in_thread(lambda: account.set_leverage("BTCUSDT", 10))
    until(lambda: account.history()["status"].tolist() == ["applied"])
    thread.join()
    assert (ended[0].status, ended[0].confirmed_by) == ("applied", "symbolConfig")
    [attempt] = attempts(account)
    assert (attempt.status, attempt.is_open) == ("applied", False)
    assert account.undo().after == 20  # type: ignore[union-attr]  # a single change


def test_no_storm_while_the_exchange_does_not_say_the_time(simulator: Simulator) -> None:
    """When the window is past and the time cannot be read, it is read a few times with pauses."""
    account = connect_quick(simulator, timeout=2.0)
    simulator.inject("reset_before")
    simulator.inject("firewall", on=TIME, times=None, executed=True)
    arrived = record_requests(simulator)
    failure(account)
    assert len(arrived) < 30


def test_a_clock_that_is_set_back_while_settling_ends_no_later(
    quick: Account, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waits are monotonic: a step of the system clock makes none longer."""
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
