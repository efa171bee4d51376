"""Settling: each rule of what may be said of an attempt whose answer was not definite, by its name."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import leverage_nb as lev
from leverage_nb.account import Account, service_of
from leverage_nb.changes.settle import counts, settle
from leverage_nb.errors import (
    ChangeNotApplied,
    ChangeNotSent,
    ChangeSuperseded,
    LeverageError,
    LeverageRefused,
    OutcomeUnknown,
)
from leverage_nb.journal.attempts import Applied, Attempt
from leverage_nb.simulator import Simulator
from tests.conftest import connect_to

# Milliseconds, and seconds.
WINDOW, GRACE, TIMEOUT = 300, 0.1, 0.5
PAST_MS = WINDOW + GRACE * 1000

SETTING, TIME = "GET /fapi/v1/symbolConfig", "GET /fapi/v1/time"


def connect(simulator: Simulator, **options: Any) -> Account:
    """An account whose requests are past after 0.4 s."""
    account = connect_to(simulator, **{"timeout": TIMEOUT, "recv_window": WINDOW, "grace": GRACE, **options})
    account.margin_asset("BTCUSDT")
    return account


@pytest.fixture
def account(simulator: Simulator) -> Account:
    """An account whose requests are past after 0.4 s."""
    return connect(simulator)


def attempts(account: Account) -> list[Attempt]:
    """What the journal has."""
    return service_of(account).attempts()


def draft(account: Account, simulator: Simulator, symbol: str, before: int, requested: int, **more: Any) -> Attempt:
    """An attempt that is not recorded yet."""
    return Attempt(
        venue="simulator", address=simulator.rest_url, account=account.label, symbol=symbol, margin_asset="USDT",
        before=before, requested=requested, recv_window_ms=WINDOW, **more,
    )  # fmt: skip


def begin(account: Account, simulator: Simulator, symbol: str, before: int, requested: int, **more: Any) -> Attempt:
    """Record an attempt that is never sent."""
    client, journal = service_of(account).client, service_of(account).journal
    [attempt] = journal.begin([draft(account, simulator, symbol, before, requested, **more)], client.time_ms)
    return attempt


def fail(account: Account, symbol: str = "BTCUSDT", leverage: int = 10) -> LeverageError:
    """A change that ends in an error."""
    with pytest.raises(LeverageError) as caught:
        account.set_leverage(symbol, leverage)
    return caught.value


def requests(simulator: Simulator) -> list[str]:
    """The requests that arrive from now on, as METHOD /path."""
    arrived: list[str] = []
    on_arrival(simulator, lambda request: arrived.append(f"{request.method} {request.path}"))
    return arrived


def on_arrival(simulator: Simulator, action: Callable[[Any], object]) -> None:
    """Do something with each request that the exchange handles, before it does."""
    handle = simulator.exchange.handle

    def acting(request: Any, *more: Any, **options: Any) -> Any:
        action(request)
        return handle(request, *more, **options)

    simulator.exchange.handle = acting  # type: ignore[method-assign]  # it answers as before


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait for something that another thread does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def in_thread(action: Any) -> tuple[threading.Thread, list[Any]]:
    """Run something beside the test; its outcome, or its error, ends up in the list."""
    ended: list[Any] = []

    def run() -> None:
        try:
            ended.append(action())
        except BaseException as exc:  # noqa: BLE001 - the test examines it
            ended.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, ended


# -- rules 1 to 4: recorded, sent once, and what an answer says ----------------------------------------------------


def test_rule_1_the_row_is_there_before_the_request_leaves(account: Account, simulator: Simulator) -> None:
    """When a change arrives its attempt is in the journal, with timestamp and recvWindow; unchanged records none."""
    seen: list[Attempt] = []
    on_arrival(simulator, lambda request: seen.extend(attempts(account) if request.method == "POST" else ()))
    account.set_leverage("BTCUSDT", 10)
    [attempt] = seen
    assert (attempt.symbol, attempt.before, attempt.requested, attempt.is_open) == ("BTCUSDT", 20, 10, True)
    assert simulator.exchange.received == [("BTCUSDT", attempt.timestamp_ms)]
    assert attempt.recv_window_ms == WINDOW
    assert account.set_leverage("BTCUSDT", 10).status == "unchanged"
    assert len(attempts(account)) == 1


@pytest.mark.parametrize("executed", [True, False])
@pytest.mark.parametrize(
    "fault",
    [
        "stall", "truncated", "html", "bad_gateway", "unknown_503", "timeout_1007", "throttled_502", "throttled_503",
        "disconnected_500", "shutdown_500", "disconnected_200", "firewall", "page_401", "page_451", "restricted",
    ],
)  # fmt: skip
def test_rule_2_nothing_is_sent_again(account: Account, simulator: Simulator, fault: str, executed: bool) -> None:
    """Whatever the answer looks like, one change is one request, and the report is what the exchange did."""
    simulator.inject(fault, executed=executed)
    status = "applied" if executed else "not_applied"
    try:
        assert account.set_leverage("BTCUSDT", 10).status == status
    except ChangeNotApplied:
        assert not executed
    assert len(simulator.exchange.received) == 1
    assert [attempt.status for attempt in attempts(account)] == [status]


@pytest.mark.parametrize("fault", ["clock_skew", "unavailable_503", "internal_503"])
def test_rule_2_a_new_attempt_where_the_earlier_was_certainly_not_executed(
    account: Account, simulator: Simulator, fault: str
) -> None:
    """-1021 and the definite 503s are followed by an attempt of its own, with a timestamp of its own."""
    simulator.inject(fault)
    assert account.set_leverage("BTCUSDT", 10).status == "applied"
    first, second = attempts(account)
    assert [first.status, second.status] == ["refused", "applied"]
    assert len(set(simulator.exchange.received)) == 2


def test_rule_2_an_overload_that_lasts_is_refused(account: Account, simulator: Simulator) -> None:
    """After four attempts it is reported as what it is: refused, with the words."""
    simulator.inject("unavailable_503", times=None)
    error = fail(account)
    assert isinstance(error, LeverageRefused)
    assert len(simulator.exchange.received) == 4


def test_rule_2_a_foreign_change_after_a_passing_refusal_is_not_overwritten(
    account: Account, simulator: Simulator
) -> None:
    """What another client set between two attempts is left alone, and named."""
    simulator.inject("unavailable_503", "other_client", leverage=33)
    error = fail(account)
    assert isinstance(error, LeverageRefused)
    assert "BTCUSDT is at 33x now" in error.message
    assert simulator.exchange.account.leverage("BTCUSDT") == 33
    assert len(simulator.exchange.received) == 1


@pytest.mark.parametrize("fault", ["wrong_leverage", "wrong_symbol", "html", "empty", "half_a_json"])
def test_rule_3_only_what_names_the_change_is_an_answer(account: Account, simulator: Simulator, fault: str) -> None:
    """A 200 that is not exactly the confirmation confirms nothing: a read does."""
    simulator.inject(fault, executed=True)
    change = account.set_leverage("BTCUSDT", 10)
    assert (change.status, change.confirmed_by) == ("applied", "symbolConfig")
    assert "a read of the setting: BTCUSDT is at 10x as of" in str(change)


def test_rule_3_redirects_are_not_followed(account: Account, simulator: Simulator) -> None:
    """A redirect is no answer, and key and signature go nowhere else."""
    simulator.inject("redirect", executed=False)
    assert isinstance(fail(account), ChangeNotApplied)
    assert len(simulator.exchange.received) == 1


def test_rule_4_not_sent_is_what_never_left(account: Account, simulator: Simulator) -> None:
    """When nobody listens the attempt is closed as not sent; any later break is settled."""
    before = account.preview("BTCUSDT", 10)
    simulator.close()
    with pytest.raises(ChangeNotSent) as caught:
        before.apply()
    assert caught.value.change is not None
    [attempt] = attempts(account)
    assert (caught.value.change.status, attempt.status, attempt.is_open) == ("not_sent", "not_sent", False)


def test_a_code_beyond_any_measure_is_no_code(account: Account, simulator: Simulator) -> None:
    """A number that no exchange sends ends as an unclear answer, not as a slip in the journal."""
    handle = simulator.exchange.handle

    def absurd(request: Any, *more: Any, **options: Any) -> Any:
        answer = handle(request, *more, **options)
        body = '{"code":-9223372036854775809,"msg":"x"}'
        return type(answer)(400, body, answer.headers) if request.method == "POST" else answer

    simulator.exchange.handle = absurd  # type: ignore[method-assign]  # answers like nobody else
    assert account.set_leverage("BTCUSDT", 10).confirmed_by == "symbolConfig"


# -- rule 5: what a read says, and when ----------------------------------------------------------------------------


def test_rule_5_the_target_read_is_applied_before_the_window_ends(simulator: Simulator) -> None:
    """A read that shows the target does not wait for the window, and the attempt stays open."""
    account = connect(simulator, recv_window=5000)
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
    account = connect(simulator, grace=0.6)
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
    assert isinstance(fail(account), ChangeNotApplied)


def test_rule_5_not_applied_is_said_only_after_the_exchanges_own_time(account: Account, simulator: Simulator) -> None:
    """The old value means nothing before the exchange says that the window and a grace are past."""
    simulator.inject("late_execution", seconds=0.25)
    change = account.set_leverage("BTCUSDT", 10)
    assert (change.status, change.confirmed_by) == ("applied", "symbolConfig")
    simulator.inject("reset_before")
    error = fail(account, leverage=30)
    assert isinstance(error, ChangeNotApplied)
    [_, attempt] = attempts(account)
    assert error.change is not None
    assert error.change.as_of is not None
    assert error.change.as_of.timestamp() * 1000 > attempt.timestamp_ms + PAST_MS
    assert "It is at 10x as of" in error.message
    assert not attempt.is_open


def test_rule_5_a_clock_that_runs_ahead_does_not_end_the_window(account: Account, simulator: Simulator) -> None:
    """This machine's clock alone never closes an attempt: the exchange has to say the time."""
    simulator.inject("reset_before")
    simulator.inject("stall", on=TIME, times=None)
    error = fail(account)
    assert isinstance(error, OutcomeUnknown)
    assert attempts(account)[0].is_open


@pytest.mark.parametrize("fault", ["time_far_ahead", "time_far_back", "time_float"])
def test_rule_5_an_implausible_time_ends_no_window(account: Account, simulator: Simulator, fault: str) -> None:
    """A server time that cannot be is refused: nothing is said of the attempt, nothing raises, nothing is signed."""
    simulator.inject("reset_before")
    simulator.inject(fault, times=None)
    assert isinstance(fail(account), OutcomeUnknown)
    assert attempts(account)[0].is_open
    simulator.clear_faults()
    assert [change.status for change in account.settle()] == ["not_applied"]
    assert account.set_leverage("BTCUSDT", 10).status == "applied"


def test_rule_5_superseded(account: Account, simulator: Simulator) -> None:
    """A third value after the window is reported as somebody else's."""
    simulator.inject("reset_before", "other_client", leverage=33)
    error = fail(account)
    assert isinstance(error, ChangeSuperseded)
    assert error.change is not None
    assert (error.change.status, error.change.after) == ("superseded", 33)
    assert "It is at 33x as of" in error.message


def test_rule_5_what_is_settled_is_not_read_again(account: Account, simulator: Simulator) -> None:
    """The history of changes with a final outcome sends no request."""
    simulator.inject("reset_before")
    fail(account)
    arrived = requests(simulator)
    assert account.history()["status"].tolist() == ["not_applied"]
    assert arrived == []


# -- rule 6: one attempt at a time ---------------------------------------------------------------------------------


def test_rule_6_an_open_attempt_is_waited_for(account: Account, simulator: Simulator) -> None:
    """The next change of the same symbol leaves only after the earlier one can no longer be executed."""
    simulator.inject("reset_after")
    account.set_leverage("BTCUSDT", 10)
    account.set_leverage("BTCUSDT", 30)
    first, second = attempts(account)
    closed = next(finding.found_at for finding in first.findings if finding.closes)
    assert closed <= second.begun_at
    assert closed.timestamp() * 1000 > first.timestamp_ms + PAST_MS


def test_rule_6_what_the_earlier_attempt_did_is_read_after_the_wait(account: Account, simulator: Simulator) -> None:
    """A change that was previewed as unchanged sends nothing, though an earlier attempt lands during the wait."""
    preview = account.preview("BTCUSDT", 20)
    assert preview.verdict == "unchanged"
    attempt = begin(account, simulator, "BTCUSDT", 20, 10)
    simulator.exchange.change_elsewhere("BTCUSDT", 10)
    with pytest.raises(ChangeNotSent, match="confirmed from 20x, and BTCUSDT is at 10x now"):
        preview.apply()
    assert simulator.exchange.received == []
    assert not attempts(account)[attempt.number - 1].is_open


def test_rule_6_other_symbols_need_not_wait(simulator: Simulator) -> None:
    """An attempt on one symbol blocks no other."""
    account = connect(simulator, recv_window=60_000)
    simulator.inject("reset_after")
    account.set_leverage("BTCUSDT", 10)
    assert account.set_leverage("XRPUSDT", 10).status == "applied"


def test_rule_6_what_takes_too_long_to_wait_for_is_said(simulator: Simulator) -> None:
    """An attempt that may be executed for a minute yet stops the next one, with the time of day."""
    account = connect(simulator, recv_window=60_000)
    simulator.inject("reset_after")
    account.set_leverage("BTCUSDT", 10)
    error = fail(account, leverage=30)
    assert isinstance(error, ChangeNotSent)
    assert "may still be executed until" in error.message
    assert account.setting("BTCUSDT").leverage == 10


def test_rule_6_two_addresses_of_one_exchange_are_one_account(simulator: Simulator, tmp_path: Path) -> None:
    """An attempt through one address blocks a change through another one: the key identifies the account."""
    journal = tmp_path / "journal.sqlite"
    one = connect(simulator, recv_window=60_000, journal=journal)
    address = simulator.rest_url.replace("127.0.0.1", "localhost")
    key, secret = simulator.api_key, simulator.api_secret
    with lev.connect(rest_url=address, api_key=key, api_secret=secret, journal=journal) as other:
        simulator.inject("reset_after")
        one.set_leverage("BTCUSDT", 10)
        error = fail(other, leverage=30)
        assert isinstance(error, ChangeNotSent)
        assert "may still be executed until" in error.message
    assert len(simulator.exchange.received) == 1


def test_rule_6_another_kernels_attempt_is_not_ours(account: Account, simulator: Simulator) -> None:
    """Until it is past nobody else verifies it; afterwards anybody may."""
    theirs = begin(account, simulator, "BTCUSDT", 33, 20, process="another kernel")
    [early] = settle(service_of(account).client, service_of(account).journal, [theirs], at_most=0.1)
    assert early.status == "unknown"  # though the target is there
    account.settle()
    assert time.time() * 1000 > theirs.timestamp_ms + PAST_MS
    assert [(attempt.status, attempt.is_open) for attempt in attempts(account)] == [("applied", False)]


def test_rule_6_the_next_change_waits_no_longer_than_the_answer(simulator: Simulator) -> None:
    """A second thread's change of the same symbol goes on as soon as the first one's answer is there."""
    account = connect(simulator, recv_window=5000, timeout=5.0)
    simulator.inject("late_answer", seconds=0.6)
    thread, ended = in_thread(lambda: account.set_leverage("BTCUSDT", 10))
    wait_until(lambda: simulator.exchange.received != [])
    started = time.monotonic()
    assert account.set_leverage("BTCUSDT", 30).status == "applied"
    assert time.monotonic() - started < 3
    thread.join()
    assert ended[0].status == "applied"


# -- rule 7: what reads are worth ----------------------------------------------------------------------------------


def test_rule_7_words_say_the_state_and_not_who(account: Account, simulator: Simulator) -> None:
    """Another client's change to the same target is reported as what was read, as of when."""
    simulator.inject("reset_before", "other_client", leverage=10)
    change = account.set_leverage("BTCUSDT", 10)
    assert change.proof.startswith("a read of the setting: BTCUSDT is at 10x as of ")


def test_rule_7_what_was_read_and_changed_since(account: Account, simulator: Simulator) -> None:
    """A change read at its target stays applied when it is closed, though another client has changed it since."""
    simulator.inject("reset_after")
    account.set_leverage("BTCUSDT", 10)
    simulator.exchange.change_elsewhere("BTCUSDT", 33)
    [change] = account.settle()
    assert (change.status, change.after) == ("applied", 10)
    assert "it is 33x" in change.note


def test_rule_7_a_read_that_is_behind_is_repeated(account: Account, simulator: Simulator) -> None:
    """A stale read that contradicts the exchange's own answer is not believed: the leverage is not "there already"."""
    account.set_leverage("BTCUSDT", 10)
    simulator.inject("stale_read", seconds=0.5)
    change = account.set_leverage("BTCUSDT", 20)
    assert (change.status, change.before, change.after) == ("applied", 10, 20)
    assert simulator.exchange.account.leverage("BTCUSDT") == 20


def test_rule_7_changed_elsewhere_since(account: Account, simulator: Simulator) -> None:
    """What differs from the exchange's latest answer in two reads was changed elsewhere, and is said so."""
    account.set_leverage("BTCUSDT", 10)
    simulator.exchange.change_elsewhere("BTCUSDT", 20)
    arrived = requests(simulator)
    change = account.set_leverage("BTCUSDT", 20)
    assert (change.status, change.after) == ("unchanged", 20)
    assert "Changed elsewhere since: the last change from here set 10x" in change.note
    assert arrived == [SETTING, SETTING]


@pytest.mark.parametrize(
    ("seconds", "leverage", "expected"),
    [(0.0, 20, False), (-1.0, 20, False), (0.05, 20, True), (0.05, 10, False), (0.2, 10, True), (-60.0, 20, True)],
)
def test_rule_7_a_read_before_the_latest_answer_does_not_count(
    account: Account, seconds: float, leverage: int, expected: bool
) -> None:
    """A read sent before the exchange's latest answer is old; one that differs from it may be behind by the grace.

    An answer that is dated ahead of now, because the clock was set back since, says nothing.
    """
    sent = datetime.now().astimezone() - timedelta(seconds=10)
    setting = replace(account.setting("BTCUSDT"), as_of=sent)
    applied = Applied(leverage, sent - timedelta(seconds=seconds))
    assert counts(setting, applied, GRACE) == expected
    assert counts(setting, None, GRACE)


def test_rule_7_a_symbol_that_a_list_leaves_out_is_not_delisted(account: Account, simulator: Simulator) -> None:
    """Where one list lacks the symbol, it is read by itself."""
    preview = account.preview("BTCUSDT", 10)
    simulator.inject("reset_after")
    simulator.inject("missing_symbol", symbol="BTCUSDT")
    settled = preview.apply()
    assert (settled.status, settled.confirmed_by) == ("applied", "symbolConfig")


def test_rule_7_what_cannot_be_read_stays_unknown(account: Account, simulator: Simulator) -> None:
    """An attempt on a symbol that no list has stays open, and is settled once one has it again."""
    preview = account.preview("BTCUSDT", 10)
    simulator.inject("reset_after")
    simulator.inject("missing_symbol", symbol="BTCUSDT", times=None)
    with pytest.raises(OutcomeUnknown):
        preview.apply()
    assert [change.status for change in service_of(account).open_changes()] == ["unknown"]
    assert account.history()["status"].tolist() == ["unknown"]
    simulator.clear_faults()
    assert account.history()["status"].tolist() == ["applied"]
    assert service_of(account).open_changes() == []


# -- how it is done ------------------------------------------------------------------------------------------------


def test_many_are_settled_by_one_request(account: Account, simulator: Simulator) -> None:
    """Ten open attempts cost one read of all settings, not ten."""
    names = account.symbols()[:10]
    drafts = [draft(account, simulator, name, simulator.exchange.account.leverage(name), 2) for name in names]
    stamp = service_of(account).client.time_ms()
    opened = service_of(account).journal.begin(drafts, lambda: stamp)
    for name in names[:4]:
        simulator.exchange.change_elsewhere(name, 2)
    changed = {name for name in names if simulator.exchange.account.leverage(name) == 2}
    arrived = requests(simulator)
    found = settle(service_of(account).client, service_of(account).journal, opened, until_closed=True)
    assert {attempt.symbol for attempt in found if attempt.status == "applied"} == changed
    assert {attempt.status for attempt in found if attempt.symbol not in changed} == {"not_applied"}
    assert arrived.count(SETTING) == 1


def test_progress_names_what_is_verified_and_until_when(account: Account, simulator: Simulator) -> None:
    """The caller is notified once, with the time by which it is final; a listener that fails decides nothing."""
    said: list[str] = []

    def listen(text: str) -> None:
        said.append(text)
        raise RuntimeError("a broken listener")

    simulator.inject("reset_before")
    with pytest.raises(ChangeNotApplied):
        account.set_leverage("BTCUSDT", 10, progress=listen)
    assert len(said) == 1
    assert said[0].startswith("no definite answer about BTCUSDT 10x; verifying with the exchange, final by ")


def test_reads_that_fail_as_well(account: Account, simulator: Simulator) -> None:
    """When nothing can be read the outcome is unknown, on record, and settled at the next contact."""
    before = account.preview("BTCUSDT", 10)
    simulator.inject("reset_after")
    simulator.inject("bad_gateway", on=SETTING, times=None, executed=False)
    started = time.monotonic()
    with pytest.raises(OutcomeUnknown, match="could not be verified") as caught:
        before.apply()
    assert time.monotonic() - started < PAST_MS / 1000 + 3 * TIMEOUT + 1
    assert "%leverage --history" in caught.value.hint
    assert [change.status for change in service_of(account).open_changes()] == ["unknown"]
    simulator.clear_faults()
    assert account.history()["status"].tolist() == ["applied"]
    assert service_of(account).open_changes() == []


def test_what_another_found_is_not_forgotten(simulator: Simulator) -> None:
    """No answer, after somebody else has settled the attempt, says what that one found; undo goes on working."""
    account = connect(simulator, timeout=1.5)
    simulator.inject("stall", executed=True)
    thread, ended = in_thread(lambda: account.set_leverage("BTCUSDT", 10))
    wait_until(lambda: account.history()["status"].tolist() == ["applied"])
    thread.join()
    assert (ended[0].status, ended[0].confirmed_by) == ("applied", "symbolConfig")
    [attempt] = attempts(account)
    assert (attempt.status, attempt.is_open) == ("applied", False)
    assert account.undo().after == 20  # type: ignore[union-attr]  # a single change


def test_no_storm_while_the_exchange_does_not_say_the_time(simulator: Simulator) -> None:
    """When the window is past and the time cannot be read, it is read a few times with pauses."""
    account = connect(simulator, timeout=2.0)
    simulator.inject("reset_before")
    simulator.inject("firewall", on=TIME, times=None, executed=True)
    arrived = requests(simulator)
    fail(account)
    assert len(arrived) < 30


def test_a_retry_that_does_not_leave_hides_no_refusal(account: Account, simulator: Simulator) -> None:
    """What was sent and refused is reported as refused, though the exchange is gone before the next attempt."""
    before = account.preview("BTCUSDT", 10)
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
    history = [attempt.status for attempt in attempts(account)]
    assert history[0] == "refused"
    assert set(history[1:]) <= {"not_sent"}


def test_a_clock_that_was_set_back_is_compared_before_it_is_believed(
    account: Account, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An attempt whose time is past blocks nothing, though this machine's clock was set back by minutes since."""
    simulator.inject("reset_after")
    account.set_leverage("BTCUSDT", 10)
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() - 600 * 10**9)
    started = time.monotonic()
    assert account.set_leverage("BTCUSDT", 30).status == "applied"
    assert time.monotonic() - started < 10


def test_a_clock_that_is_set_back_while_settling_ends_no_later(
    account: Account, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waits are monotonic: a step of the system clock makes none longer."""
    now, step = time.time_ns, [0]
    monkeypatch.setattr(time, "time_ns", lambda: now() - step[0])
    simulator.inject("reset_before")

    def set_back(request: Any) -> None:
        if request.path == "/fapi/v1/symbolConfig" and simulator.exchange.received:
            step[0] = 600 * 10**9

    on_arrival(simulator, set_back)
    started = time.monotonic()
    assert isinstance(fail(account), (ChangeNotApplied, OutcomeUnknown))
    assert time.monotonic() - started < 10


def test_a_preview_that_others_have_overtaken_is_not_sent(account: Account, simulator: Simulator) -> None:
    """A change through another object of the same account makes a fresh preview stale."""
    preview = account.preview("BTCUSDT", 10)
    with connect(simulator) as other:
        other.set_leverage("BTCUSDT", 25)
    with pytest.raises(ChangeNotSent, match="confirmed from 20x, and BTCUSDT is at 25x now"):
        preview.apply()
    assert account.setting("BTCUSDT").leverage == 25
