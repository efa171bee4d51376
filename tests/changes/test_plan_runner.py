"""Rows are sent in batches within the rate limit, and every row gets an outcome."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import replace
from datetime import datetime
from typing import Any

import pytest

from leverage_nb.account import Account, service_of
from leverage_nb.binance.client import RestClient
from leverage_nb.binance.rate_limit import Limiter
from leverage_nb.changes.plan import Plan, PlanRow
from leverage_nb.changes.service import ChangeService
from leverage_nb.errors import RateLimited
from leverage_nb.journal.attempts import Finding
from leverage_nb.session import session
from leverage_nb.simulator import Simulator
from leverage_nb.simulator.account import Refused
from tests.arrivals import SETTING, edit_answers, on_arrival, record_requests
from tests.changes.drafts import draft
from tests.changes.plans import leverages, list_more_symbols, make_wide_plan, statuses
from tests.conftest import connect_to
from tests.interrupting import interrupt, interruptible
from tests.patience import giving_up_soon, verifying_at_most


def test_a_failed_row_does_not_stop_the_others(quick: Account, simulator: Simulator) -> None:
    """Each row under a fault gets an outcome that agrees with the exchange, and a retry applies the others."""
    simulator.inject("reset_after", times=1)
    simulator.inject("reset_before", times=1)
    simulator.inject("restricted", times=1)
    wanted = {"BTCUSDT": 15, "ETHUSDT": 20, "SOLUSDT": 30, "ADAUSDT": 10, "DOGEUSDT": 25, "BNBUSDT": 25}
    done = quick.plan(wanted).apply()
    assert "planned" not in statuses(done).values()
    real = leverages(simulator, *wanted)
    for row in done.rows:
        assert (row.status == "applied") == (real[row.symbol] == wanted[row.symbol])
    simulator.clear_faults()
    again = done.retry()
    assert set(statuses(again).values()) == {"applied"}
    assert {row.note for row in again.rows if statuses(done)[row.symbol] != "applied"} == {""}
    assert leverages(simulator, *wanted) == wanted
    assert again.retry().rows == again.rows


@pytest.mark.parametrize("executed", [True, False])
def test_a_leverage_waits_for_the_margin_type_before_it(quick: Account, simulator: Simulator, executed: bool) -> None:
    """A leverage is sent only if the margin type of its symbol, whose answer was lost, was changed; or in a retry."""
    simulator.inject("bad_gateway", on="POST /fapi/v1/marginType", executed=executed)
    done = quick.plan({"ADAUSDT": (7, "isolated")}).apply()
    kinds = [arrival.kind for arrival in simulator.exchange.arrivals]
    if executed:
        assert [row.status for row in done.rows] == ["applied", "applied"]
        assert kinds == ["margin type", "leverage"]
    else:
        assert [row.status for row in done.rows] == ["not_applied", "not_sent"]
        assert kinds == ["margin type"]
        assert [(row.status, row.note) for row in done.retry().rows] == [("applied", "")] * 2


def test_a_symbol_that_does_not_trade_stays_pending(
    quick: Account, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """-1122 leaves a row pending, and a retry applies it once the symbol trades."""
    set_leverage = simulator.exchange.account.set_leverage

    def not_yet(symbol: str, leverage: int) -> bool:
        if symbol == "DOGEUSDT":
            raise Refused(400, -1122, "Invalid symbol status.")
        return set_leverage(symbol, leverage)

    with monkeypatch.context() as patched:
        patched.setattr(simulator.exchange.account, "set_leverage", not_yet)
        done = quick.plan({"DOGEUSDT": 10, "ADAUSDT": 10}).apply()
    assert statuses(done) == {"DOGEUSDT": "pending", "ADAUSDT": "applied"}
    assert statuses(done.retry()) == {"DOGEUSDT": "applied", "ADAUSDT": "applied"}


def test_ctrl_c_reports_the_other_rows_as_not_sent(simulator: Simulator) -> None:
    """On Ctrl-C requests in flight end, all other rows are reported as not sent, and nothing is sent after it."""
    account, plan = make_wide_plan(simulator, 60, recv_window=5000)
    simulator.inject("late_answer", times=None, seconds=0.2)
    waiting = [True]

    def interrupt_at_the_tenth(request: Any) -> None:
        if waiting and len(simulator.exchange.received) == 10:
            waiting.clear()
            interrupt()

    on_arrival(simulator, interrupt_at_the_tenth)
    with interruptible():
        done = plan.apply()
    sent = len(simulator.exchange.received)
    counts = {status: list(statuses(done).values()).count(status) for status in ("applied", "not_sent")}
    assert sum(counts.values()) == 60
    assert 10 <= counts["applied"] == len(simulator.exchange.executed) == sent < 60
    assert service_of(account).past.open() == []
    simulator.clear_faults()
    assert set(statuses(done.retry()).values()) == {"applied"}
    assert len(simulator.exchange.received) == 60


def test_an_interrupted_retry_does_not_repeat_an_old_outcome(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that Ctrl-C keeps from being sent again is reported as not sent, not as refused as it was before."""
    _, plan = make_wide_plan(simulator, 60, recv_window=5000)

    def refuse(symbol: str, leverage: int) -> bool:
        raise Refused(400, -4088, "User can not place order currently.")

    with monkeypatch.context() as patched:
        patched.setattr(simulator.exchange.account, "set_leverage", refuse)
        done = plan.apply()
    assert set(statuses(done).values()) == {"refused"}
    before = len(simulator.exchange.received)
    simulator.inject("late_answer", times=None, seconds=0.2)
    waiting = [True]

    def interrupt_at_the_fifth(request: Any) -> None:
        if waiting and len(simulator.exchange.received) == before + 5:
            waiting.clear()
            interrupt()

    on_arrival(simulator, interrupt_at_the_fifth)
    with interruptible():
        again = done.retry()
    assert set(statuses(again).values()) == {"applied", "not_sent"}
    simulator.clear_faults()


def test_rows_wait_for_the_rate_limit() -> None:
    """Rows beyond the share of the rate limit wait for it, so that the exchange never answers 429."""
    with Simulator(weight_limit=100) as simulator:
        ticks = [0.0]  # a minute passes in one second
        session.use_limiter(simulator.rest_url, Limiter(ticks=lambda: time.monotonic() + ticks[0]))
        account, plan = make_wide_plan(simulator, 40, recv_window=5000)
        timer = threading.Timer(1.0, ticks.__setitem__, (0, 61.0))
        timer.start()
        done = plan.apply()
        timer.join()
        assert set(statuses(done).values()) == {"applied"}
        assert all(attempt.status == "applied" for attempt in service_of(account).past.attempts())


def test_two_plans_run_at_the_same_time(simulator: Simulator) -> None:
    """Plans of two accounts run together under the same rate limit."""
    names = list_more_symbols(simulator, 40)
    plans = [connect_to(simulator).plan(dict.fromkeys(half, 7)) for half in (names[:20], names[20:])]
    results: list[Plan] = []
    threads = [threading.Thread(target=lambda plan=plan: results.append(plan.apply())) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [set(statuses(result).values()) for result in results] == [{"applied"}] * 2


def test_a_ban_ends_a_plan(quick: Account, simulator: Simulator) -> None:
    """A ban of an hour ends the plan: no row is executed, and none waits for it."""
    plan = quick.plan({"XRPUSDT": 20, "ADAUSDT": 10})
    simulator.inject("banned", seconds=3600, times=None)
    done = plan.apply()
    assert set(statuses(done).values()) <= {"refused", "not_sent"}
    assert not simulator.exchange.executed


def test_a_batch_takes_one_read(simulator: Simulator) -> None:
    """All settings are read once per batch, so a plan of 60 rows takes at most 8 reads."""
    _, plan = make_wide_plan(simulator, 60, recv_window=5000)
    arrived = record_requests(simulator)
    assert set(statuses(plan.apply()).values()) == {"applied"}
    assert arrived.count("POST /fapi/v1/leverage") == 60
    assert arrived.count("GET /fapi/v1/symbolConfig") <= 8


def test_a_change_elsewhere_during_a_plan_is_not_overwritten(simulator: Simulator) -> None:
    """A symbol that another client changes while a plan is sent is not sent; undo leaves it alone too."""
    account, plan = make_wide_plan(simulator, 60, recv_window=5000)
    last = plan.to_send[-1].symbol

    def interfere(count: int, total: int, row: Any) -> None:
        if count == 1:
            simulator.exchange.change_elsewhere(last, 33)

    done = {row.symbol: row for row in plan.apply(interfere).rows}
    assert done[last].status == "not_sent"
    assert f"{last} is at 33x now" in done[last].note
    assert {row.status for symbol, row in done.items() if symbol != last} == {"applied"}
    assert isinstance(account.undo(), Plan)
    assert leverages(simulator, last, "S000USDT") == {last: 33, "S000USDT": 20}


def test_rows_that_could_not_leave_in_time_are_sent_in_the_next_batch(simulator: Simulator) -> None:
    """A row that could not leave within a second of its read is closed as not sent, read again and sent."""
    account, plan = make_wide_plan(simulator, 60, recv_window=5000)

    def slow_down(count: int, total: int, row: Any) -> None:
        if count == 4:  # the first batch was fast, so that the next one is large
            simulator.inject("late_answer", times=None, seconds=0.6)

    assert set(statuses(plan.apply(slow_down)).values()) == {"applied"}
    assert len(simulator.exchange.received) == 60
    outcomes = account.history()["status"].tolist()
    assert (outcomes.count("applied"), set(outcomes)) == (60, {"applied", "not_sent"})


def test_a_row_with_a_passing_refusal_is_sent_again(quick: Account, simulator: Simulator) -> None:
    """After a definite 503 a row is sent again in a later batch, if its leverage is still the one shown."""
    simulator.inject("unavailable_503")
    assert set(statuses(quick.plan({"SOLUSDT": 30, "ADAUSDT": 10}).apply()).values()) == {"applied"}
    assert sorted(quick.history()["status"]) == ["applied", "applied", "refused"]
    simulator.inject("unavailable_503", "other_client", leverage=40)
    done = quick.plan({"SOLUSDT": 31}).apply()
    assert statuses(done) == {"SOLUSDT": "refused"}
    assert "SOLUSDT is at 40x now" in done.rows[0].note
    assert leverages(simulator, "SOLUSDT") == {"SOLUSDT": 40}


def test_a_dead_connection_ends_a_plan_after_a_few_rows(simulator: Simulator) -> None:
    """After a few rows without an answer the others are not sent, and those that were sent are settled."""
    account, plan = make_wide_plan(simulator, 60)
    simulator.inject("stall", times=None, executed=True)
    started = time.monotonic()
    with giving_up_soon(account):
        done = statuses(plan.apply())
    assert time.monotonic() - started < 30
    sent = {symbol for symbol, _ in simulator.exchange.received}
    assert 3 <= len(sent) <= 8
    assert {done[symbol] for symbol in sent} == {"applied"}
    assert {status for symbol, status in done.items() if symbol not in sent} == {"not_sent"}
    assert set(account.history()["status"]) <= {"applied", "not_sent"}


def test_an_unreachable_exchange_ends_a_plan(simulator: Simulator) -> None:
    """If the exchange can no longer be reached, the other rows end as not sent, with the reason."""
    account, plan = make_wide_plan(simulator, 60)

    def close(count: int, total: int, row: Any) -> None:
        if count == 1:
            simulator.close()

    with verifying_at_most(account):
        done = plan.apply(close)
    executed = {execution.symbol for execution in simulator.exchange.executed}
    for row in done.rows:
        assert row.status in ({"applied", "unknown"} if row.symbol in executed else {"not_sent", "unknown"})
    assert "not_sent" in statuses(done).values()
    assert "could not be reached" in str(done)


def test_a_row_with_an_open_attempt_is_not_sent(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A symbol with an open attempt blocks its own row only."""
    account = connect_to(simulator, recv_window=60_000, timeout=5.0, grace=0.05)
    plan = account.plan({"SOLUSDT": 30, "ADAUSDT": 10})
    journal, client = service_of(account).journal, service_of(account).client
    other, begin = draft(account, "SOLUSDT", 20, 25), journal.begin

    def begin_after_another(*arguments: Any) -> Any:
        monkeypatch.undo()
        begin([other], client.time_ms)  # another process records first
        return begin(*arguments)

    monkeypatch.setattr(journal, "begin", begin_after_another)
    done = plan.apply()
    assert statuses(done) == {"SOLUSDT": "not_sent", "ADAUSDT": "applied"}
    assert "may still be executed until" in str(done)
    assert [symbol for symbol, _ in simulator.exchange.received] == ["ADAUSDT"]


def test_a_symbol_missing_from_one_list_is_sent(quick: Account, simulator: Simulator) -> None:
    """A list of settings without a row's symbol is read again; the row is not reported as delisted."""
    plan = quick.plan({"SOLUSDT": 30, "ADAUSDT": 10})
    arrived: list[int] = []

    def incomplete(request: Any, answer: Any) -> Any:
        if f"{request.method} {request.path}" != SETTING:
            return answer
        arrived.append(1)
        rows = json.loads(answer.body)
        lacking = [row for row in rows if row["symbol"] != "SOLUSDT"] if len(arrived) == 2 else rows
        return replace(answer, body=json.dumps(lacking))

    edit_answers(simulator, incomplete)
    assert set(statuses(plan.apply()).values()) == {"applied"}


def test_an_error_in_our_code_is_reported_from_the_journal(
    quick: Account, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If our own code raises while a plan is sent, each row is reported as the journal has it."""
    monkeypatch.setattr(ChangeService, "notify", lambda *arguments: 1 // 0)
    plan = quick.plan({"SOLUSDT": 30, "ADAUSDT": 10})
    done = plan.apply()
    for row in done.rows:
        executed = leverages(simulator, row.symbol)[row.symbol] == row.after
        assert (row.status == "applied") == executed
    assert "planned" not in statuses(done).values()


def test_a_row_that_another_process_settled_is_reported(quick: Account, simulator: Simulator) -> None:
    """A row without an answer that another process settles meanwhile ends with the outcome in the journal."""
    simulator.inject("reset_after", times=1)
    service = service_of(quick)

    def settle_elsewhere(_done: int, _total: int, row: PlanRow) -> None:
        if row.status == "unknown":
            [attempt] = service.past.attempts(open_only=True)
            now = datetime.now().astimezone()
            finding = Finding(now, "symbolConfig", "applied", closes=True, value=row.after, as_of=now)
            service.journal.add([(attempt, finding)])

    done = quick.plan({"ADAUSDT": 10}).apply(settle_elsewhere)
    assert [(row.status, row.change and row.change.confirmed_by) for row in done.rows] == [("applied", "symbolConfig")]


def test_a_row_does_not_wait_for_the_rate_limit_without_end(
    quick: Account, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that finds the shared rate limit used up again and again ends as not sent, with that reason."""

    def refuse(*arguments: Any, **options: Any) -> Any:
        raise RateLimited("The rate limit is used up.", retry_after=0.0)

    plan = quick.plan({"ADAUSDT": 10})
    monkeypatch.setattr(RestClient, "post", refuse)
    done = plan.apply()
    assert [row.status for row in done.rows] == ["not_sent"]
    assert "The rate limit is used up." in done.rows[0].note
    assert len(service_of(quick).past.attempts()) < 30
    assert simulator.exchange.received == []
