"""Settling: each rule of what may be said of an attempt whose answer was not definite, by its name."""

from __future__ import annotations

import pickle
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from leverage_nb.changes.entries import Attempt, Finding

from leverage_nb.account import Account
from leverage_nb.changes import settle as settling
from leverage_nb.changes.settle import look_again, settle
from leverage_nb.errors import (
    ChangeInterrupted,
    ChangeNotApplied,
    ChangeNotSent,
    ChangeSuperseded,
    LeverageError,
    LeverageRefused,
    OutcomeUnknown,
)
from leverage_nb.simulator import Simulator
from tests.conftest import connect_to

WINDOW, GRACE, TIMEOUT = 300, 100, 0.5


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settling, "GRACE_MS", GRACE)


@pytest.fixture
def account(simulator: Simulator) -> Account:
    """An account whose requests are past after 0.4 s."""
    account = connect_to(simulator, timeout=TIMEOUT, recv_window=WINDOW)
    account.margin_asset("BTCUSDT")
    return account


def attempts(account: Account) -> list[Attempt]:
    """What the journal holds."""
    return account._changer.attempts()


def fail(account: Account, symbol: str = "BTCUSDT", leverage: int = 10) -> LeverageError:
    """A change that ends in an error."""
    with pytest.raises(LeverageError) as caught:
        account.set_leverage(symbol, leverage)
    return caught.value


def test_rule_1_the_row_is_there_before_the_request_leaves(account: Account, simulator: Simulator) -> None:
    """When a change arrives its attempt is in the journal, with timestamp and recvWindow; unchanged writes none."""
    handle, seen = simulator.exchange.handle, []

    def look(request: Any, *more: Any) -> Any:
        if request.method == "POST":
            seen.extend(attempts(account))
        return handle(request, *more)

    simulator.exchange.handle = look  # type: ignore[method-assign]  # looks before it answers
    account.set_leverage("BTCUSDT", 10)
    [attempt] = seen
    assert (attempt.symbol, attempt.before, attempt.requested, attempt.is_open) == ("BTCUSDT", 20, 10, True)
    assert simulator.exchange.received == [("BTCUSDT", attempt.timestamp_ms)]
    assert attempt.recv_window_ms == WINDOW
    assert account.set_leverage("BTCUSDT", 10).status == "unchanged"
    assert len(attempts(account)) == 1


@pytest.mark.parametrize(
    "fault", ["reset_before", "reset_after", "stall", "truncated", "html", "bad_gateway", "unknown_503", "timeout_1007"]
)
def test_rule_2_nothing_is_sent_again(account: Account, simulator: Simulator, fault: str) -> None:
    """Whatever the fault, one change is one request, unless the exchange said that it was not carried out."""
    simulator.inject(fault)
    try:
        account.set_leverage("BTCUSDT", 10)
    except LeverageError as error:
        assert isinstance(error, ChangeNotApplied)  # noqa: PT017 - either end is right, this one has one form
    assert len(simulator.exchange.received) == 1


@pytest.mark.parametrize("fault", ["clock_skew", "unavailable_503", "internal_503", "throttled_503"])
def test_rule_2_a_new_attempt_where_the_earlier_was_certainly_not_carried_out(
    account: Account, simulator: Simulator, fault: str
) -> None:
    """-1021, -1008 and the definite 503s are followed by an attempt of its own, with a timestamp of its own."""
    simulator.inject(fault)
    assert account.set_leverage("BTCUSDT", 10).status == "applied"
    first, second = attempts(account)
    assert [first.status, second.status] == ["refused", "applied"]
    assert len(set(simulator.exchange.received)) == 2


def test_rule_2_an_overload_that_lasts_is_refused(account: Account, simulator: Simulator) -> None:
    """After four attempts it is told as what it is: refused, with the words."""
    simulator.inject("unavailable_503", times=None)
    error = fail(account)
    assert isinstance(error, LeverageRefused)
    assert len(simulator.exchange.received) == 4


@pytest.mark.parametrize("fault", ["wrong_leverage", "wrong_symbol", "html", "empty", "half_a_json"])
def test_rule_3_only_what_names_the_change_is_an_answer(account: Account, simulator: Simulator, fault: str) -> None:
    """A 200 that is not exactly the confirmation confirms nothing: a look does."""
    simulator.inject(fault, executed=True)
    change = account.set_leverage("BTCUSDT", 10)
    assert (change.status, change.confirmed_by) == ("applied", "symbolConfig")
    assert "a look at the setting: BTCUSDT is at 10x as of" in str(change)


def test_rule_3_redirects_are_not_followed(account: Account, simulator: Simulator) -> None:
    """A redirect is no answer, and key and signature go nowhere else."""
    simulator.inject("redirect", executed=False)
    assert isinstance(fail(account), ChangeNotApplied)
    assert len(simulator.exchange.received) == 1


def test_rule_4_not_sent_is_what_never_left(account: Account, simulator: Simulator) -> None:
    """When nobody listens the attempt is closed as not sent; any later break is settled."""
    account.setting("BTCUSDT")
    before = account.preview("BTCUSDT", 10)
    simulator.close()
    with pytest.raises(ChangeNotSent) as caught:
        account.apply_now(before)
    assert caught.value.change is not None
    [attempt] = attempts(account)
    assert (caught.value.change.status, attempt.status, attempt.is_open) == ("not_sent", "not_sent", False)


def test_rule_5_the_target_seen_is_applied_at_once(account: Account, simulator: Simulator) -> None:
    """A look that shows the target does not wait for the window, and the attempt stays open."""
    simulator.inject("reset_after")
    account._client.recv_window = 5000
    started = time.monotonic()
    change = account.set_leverage("BTCUSDT", 10)
    assert (change.status, change.confirmed_by, change.after) == ("applied", "symbolConfig", 10)
    assert time.monotonic() - started < 3
    [attempt] = attempts(account)
    assert attempt.is_open
    assert [finding.status for finding in attempt.findings] == ["unknown", "applied"]


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
    assert error.change.as_of.timestamp() * 1000 > attempt.timestamp_ms + WINDOW + GRACE
    assert "It is at 10x as of" in error.message
    assert not attempt.is_open


def test_rule_5_a_clock_that_runs_ahead_does_not_end_the_window(account: Account, simulator: Simulator) -> None:
    """This machine's clock alone never closes an attempt: the exchange has to say the time."""
    simulator.inject("reset_before")
    simulator.inject("stall", on="GET /fapi/v1/time", times=None)
    error = fail(account)
    assert isinstance(error, OutcomeUnknown)
    assert attempts(account)[0].is_open


def test_rule_5_superseded(account: Account, simulator: Simulator) -> None:
    """A third value after the window is told as somebody else's."""
    simulator.inject("reset_before", "other_client", leverage=33)
    error = fail(account)
    assert isinstance(error, ChangeSuperseded)
    assert error.change is not None
    assert (error.change.status, error.change.after) == ("superseded", 33)
    assert "It is at 33x as of" in error.message


def test_rule_5_the_journal_corrects_itself(account: Account, simulator: Simulator) -> None:
    """What is carried out beyond its window is found at the next contact: that the window bounds it is inferred."""
    simulator.inject("late_execution", seconds=1.2)
    assert isinstance(fail(account), ChangeNotApplied)
    time.sleep(0.9)
    assert account.setting("BTCUSDT").leverage == 10
    history = account.history()
    assert history["status"].tolist() == ["applied"]
    assert "carried out after its time, or changed by someone else" in history["note"].iloc[0]


def test_rule_5_one_more_look_and_no_more(account: Account, simulator: Simulator) -> None:
    """A change that stays as it was is looked at once more at the next contact, and then left alone."""
    simulator.inject("reset_before")
    fail(account)
    account.history()
    used = simulator.exchange._weight.used
    account.history()
    assert simulator.exchange._weight.used == used
    assert account.history()["status"].tolist() == ["not_applied"]


def test_rule_6_an_open_attempt_is_waited_out(account: Account, simulator: Simulator) -> None:
    """The next change of the same symbol leaves only after the earlier one can no longer be carried out."""
    simulator.inject("reset_after")
    account.set_leverage("BTCUSDT", 10)
    account.set_leverage("BTCUSDT", 30)
    first, second = attempts(account)
    closed = next(finding.found_at for finding in first.findings if finding.closes)
    assert closed <= second.begun_at
    assert closed.timestamp() * 1000 > first.timestamp_ms + WINDOW + GRACE


def test_rule_6_other_symbols_need_not_wait(account: Account, simulator: Simulator) -> None:
    """An attempt on one symbol stands in no other's way."""
    account._client.recv_window = 60_000
    simulator.inject("reset_after")
    account.set_leverage("BTCUSDT", 10)
    assert account.set_leverage("XRPUSDT", 10).status == "applied"


def test_rule_6_what_takes_too_long_to_wait_for_is_said(account: Account, simulator: Simulator) -> None:
    """An attempt that may be carried out for a minute yet stops the next one, with the time of day."""
    account._client.recv_window = 60_000
    simulator.inject("reset_after")
    account.set_leverage("BTCUSDT", 10)
    error = fail(account, leverage=30)
    assert isinstance(error, ChangeNotSent)
    assert "may yet be carried out until" in error.message
    assert account.setting("BTCUSDT").leverage == 10


def test_rule_6_another_kernels_attempt_is_not_ours(account: Account, simulator: Simulator) -> None:
    """Until it is past nobody else looks it up; afterwards anybody may."""
    journal = account._changer.journal
    theirs = journal.begin(
        Attempt(
            0, datetime.now(tz=UTC), "simulator", simulator.rest_url, account.label, "BTCUSDT", "USDT", 33, 20, 0,
            WINDOW, "",
        ),
        account._client.time_ms,
    )  # fmt: skip
    other = Attempt(**{**vars(theirs), "process": "another kernel"})
    early = settle(account._client, journal, [other], at_most=0.1)
    assert early[0].status == "unknown"  # though the target was there
    account.settle()
    assert time.time() * 1000 > theirs.timestamp_ms + WINDOW + GRACE
    assert [(attempt.status, attempt.is_open) for attempt in attempts(account)] == [("applied", False)]


def test_rule_7_words_say_the_state_and_not_who(account: Account, simulator: Simulator) -> None:
    """Another client's change to the same target is told as what was seen, as of when."""
    simulator.inject("reset_before", "other_client", leverage=10)
    change = account.set_leverage("BTCUSDT", 10)
    assert change.proof.startswith("a look at the setting: BTCUSDT is at 10x as of ")


def test_rule_7_what_was_seen_and_changed_since(account: Account, simulator: Simulator) -> None:
    """A change seen at its target stays applied when it is closed, though another client has moved it since."""
    simulator.inject("reset_after")
    account.set_leverage("BTCUSDT", 10)
    simulator.exchange.change_elsewhere("BTCUSDT", 33)
    [change] = account.settle()
    assert (change.status, change.after) == ("applied", 10)
    assert "it is at 33x" in change.note


def test_many_are_settled_by_one_request(account: Account, simulator: Simulator) -> None:
    """Ten open attempts cost one look at all settings, not ten."""
    journal, client = account._changer.journal, account._client
    names = account.symbols()[:10]
    opened = [
        journal.begin(
            Attempt(
                0, datetime.now(tz=UTC), "simulator", simulator.rest_url, account.label, name, "USDT",
                simulator.exchange.account.leverage(name), 2, 0, WINDOW, "",
            ),
            client.time_ms,
        )
        for name in names
    ]  # fmt: skip
    for name in names[:4]:
        simulator.exchange.account._leverage[name] = 2
    time.sleep((WINDOW + GRACE) / 1000 + 0.05)
    used = simulator.exchange._weight.used
    found = settle(client, journal, opened)
    assert [attempt.status for attempt in found] == ["applied"] * 4 + ["not_applied"] * 6
    assert simulator.exchange._weight.used - used <= 6  # the time, and one look at everything


def test_progress_names_what_is_awaited_and_until_when(account: Account, simulator: Simulator) -> None:
    """The caller is told once, with the time of day by which it is settled; a broken listener decides nothing."""
    told: list[str] = []

    def listen(text: str) -> None:
        told.append(text)
        raise RuntimeError("a broken listener")

    simulator.inject("reset_before")
    with pytest.raises(ChangeNotApplied):
        account.set_leverage("BTCUSDT", 10, progress=listen)
    assert len(told) == 1
    assert told[0].startswith("no definite answer about BTCUSDT 10x; asking the exchange, settled by ")


def test_read_backs_that_fail_as_well(account: Account, simulator: Simulator) -> None:
    """When nothing can be read the outcome is unknown, on record, and settled at the next contact."""
    before = account.preview("BTCUSDT", 10)
    simulator.inject("reset_after")
    simulator.inject("bad_gateway", on="GET /fapi/v1/symbolConfig", times=None, executed=False)
    started = time.monotonic()
    with pytest.raises(OutcomeUnknown, match="could not be looked up") as caught:
        account.apply_now(before)
    assert time.monotonic() - started < (WINDOW + GRACE) / 1000 + 3 * TIMEOUT + 1
    assert "%leverage --history" in caught.value.hint
    assert [change.status for change in account.open_changes()] == ["unknown"]
    simulator.clear_faults()
    assert account.history()["status"].tolist() == ["applied"]
    assert account.open_changes() == []


@pytest.mark.parametrize("where", ["post", "settle", "read"])
def test_ctrl_c_leaves_a_truthful_journal(
    account: Account, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """An interrupt while sending, settling or reading back says what is not known, and all goes on after."""

    def interrupt(*arguments: Any, **named: Any) -> Any:
        raise KeyboardInterrupt

    simulator.inject("reset_after")
    with monkeypatch.context() as patched:
        if where == "post":
            patched.setattr(account._client._transport, "deliver", _first_works(account, interrupt))
        elif where == "settle":
            patched.setattr("leverage_nb.changes.attempt.settle", interrupt)
        else:
            patched.setattr(settling, "read_setting", interrupt)
        with pytest.raises(ChangeInterrupted) as caught:
            account.set_leverage("BTCUSDT", 10)
    assert caught.value.change.status == "unknown"
    [attempt] = attempts(account)
    assert attempt.is_open
    simulator.clear_faults()
    [change] = account.settle()
    assert change.status == ("not_applied" if where == "post" else "applied")
    assert account.set_leverage("BTCUSDT", 30).status == "applied"


def _first_works(account: Account, then: Any) -> Any:
    """The read before works, and the POST is interrupted."""
    deliver = account._client._transport.deliver

    def delivered(outgoing: Any, budget: Any = None) -> Any:
        return then() if outgoing.method == "POST" else deliver(outgoing, budget)

    return delivered


def test_a_look_that_is_older_proves_nothing(account: Account, simulator: Simulator) -> None:
    """A setting read before an attempt was closed is not taken for another look at it."""
    simulator.inject("reset_before")
    setting = account.setting("BTCUSDT")
    fail(account)
    journal, held = account._changer.journal, attempts(account)
    assert look_again(journal, held, {"BTCUSDT": setting}) == []
    assert attempts(account) == held


def test_findings_of_other_kinds_want_no_other_look() -> None:
    """Only what rests on a single look after the window is looked at again."""
    now = datetime.now(tz=UTC)
    base = Attempt(1, now, "simulator", "http://x", "key", "BTCUSDT", "USDT", 20, 10, 0, 5000, "p")
    look = Finding(now, "symbolConfig", "not_applied", closes=True, leverage=20, as_of=now)
    assert base.found(look).wants_another_look
    assert not base.found(look).found(Finding(now + timedelta(1), "answer", "applied", closes=True)).wants_another_look
    assert not base.found(Finding(now, "answer", "refused", closes=True)).wants_another_look
    assert not base.wants_another_look


def in_thread(action: Any) -> tuple[threading.Thread, list[Any]]:
    """Run something beside the test; its outcome, or its error, ends up in the list."""
    ended: list[Any] = []

    def run() -> None:
        try:
            ended.append(action())
        except BaseException as exc:  # noqa: BLE001 - looked at by the test
            ended.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, ended


def test_what_another_found_is_not_forgotten(account: Account, simulator: Simulator) -> None:
    """No answer, after somebody else has settled the attempt, says what that one found; undo goes on working."""
    account._client.timeout = 1.5
    account._client._transport._timeout = 1.5
    simulator.inject("stall", executed=True)
    thread, ended = in_thread(lambda: account.set_leverage("BTCUSDT", 10))
    time.sleep((WINDOW + GRACE) / 1000 + 0.3)
    assert account.history()["status"].tolist() == ["applied"]
    thread.join()
    assert (ended[0].status, ended[0].confirmed_by) == ("applied", "symbolConfig")
    [attempt] = attempts(account)
    assert (attempt.status, attempt.is_open) == ("applied", False)
    assert account.undo().after == 20


def test_no_storm_while_the_exchange_does_not_tell_the_time(account: Account, simulator: Simulator) -> None:
    """When the window is past and the time cannot be had, it is asked a few times with pauses, not at once again."""
    simulator.inject("reset_before")
    simulator.inject("firewall", on="GET /fapi/v1/time", times=None)
    account._client.timeout = 2.0
    account.setting("BTCUSDT")
    used = simulator.exchange._weight.used
    fail(account)
    assert simulator.exchange._weight.used - used < 60


def test_the_next_change_waits_no_longer_than_the_answer(account: Account, simulator: Simulator) -> None:
    """A second thread's change of the same symbol goes on as soon as the first one's answer is there."""
    account._client.recv_window = 5000
    account._client.timeout = 5.0
    account._client._transport._timeout = 5.0
    simulator.inject("late_answer", seconds=0.6)
    thread, ended = in_thread(lambda: account.set_leverage("BTCUSDT", 10))
    time.sleep(0.3)
    started = time.monotonic()
    assert account.set_leverage("BTCUSDT", 30).status == "applied"
    assert time.monotonic() - started < 3
    thread.join()
    assert ended[0].status == "applied"


def test_a_retry_that_does_not_leave_hides_no_refusal(account: Account, simulator: Simulator) -> None:
    """What was sent and refused is told as refused, though the attempt after it could not leave."""
    before = account.preview("BTCUSDT", 10)
    simulator.inject("unavailable_503")
    answered = simulator.exchange.note_arrival

    def close_after(request: Any) -> None:
        answered(request)
        if request.method == "POST":
            threading.Timer(0.05, simulator.close).start()

    simulator.exchange.note_arrival = close_after  # type: ignore[method-assign]  # the server goes down in between
    with pytest.raises(LeverageRefused, match="Another attempt did not leave") as caught:
        account.apply_now(before)
    assert caught.value.change is not None
    assert caught.value.change.status == "refused"
    history = [attempt.status for attempt in attempts(account)]
    assert history[0] == "refused"
    assert set(history[1:]) <= {"not_sent"}


def test_interrupts_say_what_the_journal_holds(
    account: Account, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything was sent, between two attempts, and after the answer: each interrupt is told as it was."""

    def interrupt(*arguments: Any, **named: Any) -> Any:
        raise KeyboardInterrupt

    def interrupted() -> ChangeInterrupted:
        with pytest.raises(ChangeInterrupted) as caught:
            account.set_leverage("BTCUSDT", 10)
        return caught.value

    with monkeypatch.context() as patched:
        patched.setattr(account._client, "post", interrupt)
        error = interrupted()
    assert (error.change.status, "nothing was sent" in error.message) == ("not_sent", True)
    simulator.inject("unavailable_503")
    with monkeypatch.context() as patched:
        patched.setattr("leverage_nb.changes.attempt.time.sleep", interrupt)
        error = interrupted()
    assert (error.change.status, error.change.number) == ("refused", 1)
    with monkeypatch.context() as patched:
        patched.setattr("leverage_nb.changes.attempt._ending", interrupt)
        error = interrupted()
    assert (error.change.status, error.change.after) == ("applied", 10)
    assert pickle.loads(pickle.dumps(error)).change == error.change  # noqa: S301 - our own bytes


def test_a_symbol_that_is_listed_no_longer(account: Account, simulator: Simulator) -> None:
    """What became of an attempt on a delisted symbol cannot be known: it is closed as that, and blocks nothing."""
    account.set_leverage("XRPUSDT", 20)
    simulator.inject("reset_before")
    gone = simulator.exchange.market.symbols
    before = account.preview("BTCUSDT", 10)
    note = simulator.exchange.note_arrival

    def delist(request: Any) -> None:
        note(request)
        if request.method == "POST":
            gone["WAS"] = gone.pop("BTCUSDT")

    simulator.exchange.note_arrival = delist  # type: ignore[method-assign]  # it goes with the change
    with pytest.raises(OutcomeUnknown) as caught:
        account.apply_now(before)
    assert "no longer listed" in str(caught.value.change)
    assert account.open_changes() == []
    gone["BTCUSDT"] = gone.pop("WAS")
    assert account.undo().symbol == "XRPUSDT"


def test_a_clock_set_back_is_compared_before_it_is_believed(account: Account, simulator: Simulator) -> None:
    """An attempt whose time is long past blocks nothing, though this machine's clock was set back since."""
    simulator.inject("reset_after")
    account.set_leverage("BTCUSDT", 10)
    time.sleep((WINDOW + GRACE) / 1000)
    account._client._clock_offset_ms -= 3_600_000
    assert account.set_leverage("BTCUSDT", 30).status == "applied"


def test_a_code_beyond_any_measure_is_no_code(account: Account, simulator: Simulator) -> None:
    """A number that no exchange sends ends as an unclear answer, not as a slip in the journal."""
    handle = simulator.exchange.handle

    def absurd(request: Any, *more: Any) -> Any:
        answer = handle(request, *more)
        body = '{"code":-9223372036854775809,"msg":"x"}'
        return type(answer)(400, body, answer.headers) if request.method == "POST" else answer

    simulator.exchange.handle = absurd  # type: ignore[method-assign]  # answers like nobody else
    assert account.set_leverage("BTCUSDT", 10).confirmed_by == "symbolConfig"


def test_a_preview_that_others_have_overtaken_is_looked_at_again(account: Account, simulator: Simulator) -> None:
    """A change through another object of the same account makes a fresh preview stale."""
    preview = account.preview("BTCUSDT", 10)
    with connect_to(simulator) as other:
        other.set_leverage("BTCUSDT", 25)
    with pytest.raises(ChangeNotSent, match="has moved meanwhile"):
        account.apply_now(preview)
