"""Plans: drift first, then many changes at once; every row is reported, and nothing is lost."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from leverage_nb.account import Account, service_of
from leverage_nb.changes.plan import Plan
from leverage_nb.changes.plan_input import read_lines
from leverage_nb.changes.service import ChangeService
from leverage_nb.errors import InvalidInput
from leverage_nb.journal.attempts import Attempt
from leverage_nb.simulator import Simulator
from leverage_nb.simulator.account import Refused
from tests.conftest import connect_to
from tests.interrupting import interrupt, interruptible

WANTED = {"BTCUSDT": 15, "ETHUSDT": 20, "SOLUSDT": 30, "XRPUSDT": 50, "ADAUSDT": "10x"}


@pytest.fixture
def account(simulator: Simulator) -> Account:
    """An account whose requests are past after a moment."""
    return connect_to(simulator, timeout=0.5, recv_window=200, grace=0.05)


def statuses(plan: Plan) -> dict[str, str]:
    """What became of each row."""
    return {row.symbol: row.status for row in plan.rows}


def books(simulator: Simulator, *symbols: str) -> dict[str, int]:
    """What the simulator's symbols really are at."""
    return {symbol: simulator.exchange.account.leverage(symbol) for symbol in symbols}


def test_unapplied_it_is_a_drift_report(account: Account, simulator: Simulator) -> None:
    """A plan says from, to and verdict of each row, raises first, then lowers; nothing is sent."""
    plan = account.plan(WANTED)
    assert [row.symbol for row in plan.rows] == ["ETHUSDT", "SOLUSDT", "BTCUSDT", "ADAUSDT", "XRPUSDT"]
    frame = plan.to_frame()
    assert frame["before"].tolist() == [10, 20, 20, 20, 50]
    assert frame["after"].tolist() == [20, 30, 15, 10, 50]
    assert frame["verdict"].tolist() == ["ok"] * 4 + ["unchanged"]
    assert (str(frame["before"].dtype), str(frame["code"].dtype), frame.index.name) == ("int64", "Int64", "symbol")
    for shown in (str(plan), plan._repr_html_()):
        assert "4 to change, 1 unchanged" in shown
        assert "BTCUSDT" in shown
    assert simulator.exchange.received == []


def test_applied_every_row_has_its_record(account: Account, simulator: Simulator) -> None:
    """Each change is in the journal under the plan's name; rows that were right sent nothing."""
    told: list[tuple[int, int, str]] = []
    done = account.plan(WANTED).apply(lambda count, total, row: told.append((count, total, row.symbol)))
    assert statuses(done) == {
        "BTCUSDT": "applied", "ETHUSDT": "applied", "SOLUSDT": "applied", "ADAUSDT": "applied", "XRPUSDT": "unchanged",
    }  # fmt: skip
    assert books(simulator, *WANTED) == {"BTCUSDT": 15, "ETHUSDT": 20, "SOLUSDT": 30, "XRPUSDT": 50, "ADAUSDT": 10}
    assert len(simulator.exchange.received) == len(account.history()) == 4
    assert {attempt.plan for attempt in service_of(account).attempts()} == {done.name}
    assert [count for count, _, _ in told] == [1, 2, 3, 4, 5]
    assert {total for _, total, _ in told} == {5}
    assert "4 applied, 1 unchanged" in done.headline


def test_verdicts_are_cumulative(simulator: Simulator) -> None:
    """Rows share one balance: what each alone could do is not what all can do, and the plan knows it beforehand."""
    account = connect_to(simulator)
    alone = {symbol: account.preview(symbol, leverage).verdict for symbol, leverage in (("BTCUSDT", 5), ("SOLUSDT", 1))}
    assert alone == {"BTCUSDT": "ok", "SOLUSDT": "ok"}
    plan = account.plan({"BTCUSDT": 5, "SOLUSDT": 1})
    assert [(row.symbol, row.verdict, row.code) for row in plan.rows] == [
        ("BTCUSDT", "ok", None),
        ("SOLUSDT", "refused", -2028),
    ]
    done = plan.apply()
    assert statuses(done) == {"BTCUSDT": "applied", "SOLUSDT": "not_sent"}
    assert statuses(done.retry(force=True)) == {"BTCUSDT": "applied", "SOLUSDT": "refused"}


def test_raises_free_what_lowers_take(simulator: Simulator) -> None:
    """A raise of one row makes room for a lower of another that alone would be refused."""
    account = connect_to(simulator)
    assert account.preview("BTCUSDT", 4).verdict == "refused"
    simulator.exchange.account.orders[:] = []
    tight = account.plan({"BTCUSDT": 4})
    assert tight.rows[0].verdict == "refused"
    lacking = -float(account.outlook("BTCUSDT")["available_after"].loc[4])
    assert lacking > 0


def test_the_verdicts_of_a_plan_are_the_simulators_answers(simulator: Simulator) -> None:
    """Sent one after another in the plan's order, every row is answered as the plan said it would be."""
    account = connect_to(simulator)
    plan = account.plan(
        {"BTCUSDT": 5, "SOLUSDT": 1, "ETHUSDT": 5, "DOGEUSDT": 75, "ADAUSDT": 3, "ETHBTC": 100, "XRPUSDT": 100}
    )
    for row in plan.rows:
        refused: int | None = None
        try:
            simulator.exchange.account.set_leverage(row.symbol, row.after)
        except Refused as exc:
            refused = exc.code
        assert (refused, row.verdict) == (row.code, "refused" if refused else row.verdict)


def test_one_row_stops_no_other(account: Account, simulator: Simulator) -> None:
    """Faults in the middle end in a status each, what is unknown is settled together, and retry does the rest."""
    simulator.inject("reset_after", times=1)
    simulator.inject("reset_before", times=1)
    simulator.inject("restricted", times=1)
    wanted = {"BTCUSDT": 15, "ETHUSDT": 20, "SOLUSDT": 30, "ADAUSDT": 10, "DOGEUSDT": 25, "BNBUSDT": 25}
    done = account.plan(wanted).apply()
    assert "planned" not in statuses(done).values()
    real = books(simulator, *wanted)
    for row in done.rows:
        assert (row.status == "applied") == (real[row.symbol] == wanted[row.symbol])
    simulator.clear_faults()
    again = done.retry()
    assert set(statuses(again).values()) == {"applied"}
    assert books(simulator, *wanted) == wanted
    assert again.retry().rows == again.rows


def test_a_symbol_that_does_not_trade_stays_pending(
    account: Account, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """-1122 leaves a row pending, and a retry once it trades applies it."""
    set_leverage = simulator.exchange.account.set_leverage

    def not_yet(symbol: str, leverage: int) -> bool:
        if symbol == "DOGEUSDT":
            raise Refused(400, -1122, "Invalid symbol status.")
        return set_leverage(symbol, leverage)

    with monkeypatch.context() as patched:
        patched.setattr(simulator.exchange.account, "set_leverage", not_yet)
        done = account.plan({"DOGEUSDT": 10, "ADAUSDT": 10}).apply()
    assert statuses(done) == {"DOGEUSDT": "pending", "ADAUSDT": "applied"}
    assert statuses(done.retry()) == {"DOGEUSDT": "applied", "ADAUSDT": "applied"}


def test_one_undo_for_the_whole_plan(account: Account, simulator: Simulator) -> None:
    """One undo takes every row back but what was changed since, and the one before it is next."""
    before = books(simulator, *WANTED)
    account.set_leverage("BNBUSDT", 5)
    account.plan({name: value for name, value in WANTED.items() if name != "ETHUSDT"}).apply()
    simulator.exchange.change_elsewhere("SOLUSDT", 44)
    undone = account.undo()
    assert isinstance(undone, Plan)
    assert statuses(undone) == {"BTCUSDT": "applied", "ADAUSDT": "applied", "SOLUSDT": "not_sent"}
    assert "SOLUSDT was changed since, and is at 44x" in str(undone)
    assert books(simulator, *WANTED) == {**before, "SOLUSDT": 44}
    simulator.exchange.change_elsewhere("SOLUSDT", 30)
    rest = account.undo()
    assert isinstance(rest, Plan)
    assert statuses(rest) == {"SOLUSDT": "applied"}
    last = account.undo()
    assert not isinstance(last, Plan)
    assert (last.symbol, last.after) == ("BNBUSDT", 20)


def test_wishes_that_cannot_be_send_nothing(account: Account, simulator: Simulator) -> None:
    """Unknown symbols, impossible leverages and contradictions are all named at once."""
    with pytest.raises(InvalidInput) as caught:
        account.plan({"BTCUSTD": 10, "ETHUSDT": 500, "SOLUSDT": 2.5, "btcusdt": 10, "BTC/USDT": 20})
    for words in (
        "BTCUSTD is not a symbol",
        "Did you mean BTCUSDT?",
        "500x is above ETHUSDT's maximum",
        "2.5 is not",
        "there twice",
    ):
        assert words in caught.value.message
    empty: Any
    for empty in ({}, lambda settings: settings["leverage"].iloc[:0]):
        with pytest.raises(InvalidInput, match="plan is empty"):
            account.plan(empty)
    assert simulator.exchange.received == []


def test_a_function_over_the_settings(account: Account) -> None:
    """Everything above 20x down to 20x, in a line."""
    plan = account.plan(lambda settings: settings["leverage"].clip(upper=20))
    assert [row.symbol for row in plan.to_send] == ["XRPUSDT"]
    assert len(plan.rows) == 11


def test_max_is_the_highest_that_fits_and_the_guard_holds(simulator: Simulator) -> None:
    """The word max stops at tiers, at what is held and at the guard; a row above the guard is stopped, forced too."""
    account = connect_to(simulator)
    assert {row.symbol: row.after for row in account.plan({"BTCUSDT": "max", "XRPUSDT": "MAX"}).rows} == {
        "BTCUSDT": 100, "XRPUSDT": 100,
    }  # fmt: skip
    guarded = connect_to(simulator, max_leverage=30)
    plan = guarded.plan({"BTCUSDT": "max", "SOLUSDT": 40})
    assert {row.symbol: (row.after, row.verdict) for row in plan.rows} == {
        "BTCUSDT": (30, "ok"),
        "SOLUSDT": (40, "refused"),
    }
    done = plan.apply(force=True)
    assert statuses(done) == {"BTCUSDT": "applied", "SOLUSDT": "not_sent"}
    assert "above your guard of 30x" in str(done)


def test_rows_that_are_right_by_now_are_left_alone(account: Account, simulator: Simulator) -> None:
    """The account is read once before: what somebody else has set meanwhile is not sent again."""
    plan = account.plan({"BTCUSDT": 15, "ADAUSDT": 10})
    simulator.exchange.change_elsewhere("BTCUSDT", 15)
    assert statuses(plan.apply()) == {"BTCUSDT": "unchanged", "ADAUSDT": "applied"}
    assert [symbol for symbol, _ in simulator.exchange.received] == ["ADAUSDT"]


def many(simulator: Simulator, count: int) -> dict[str, Any]:
    """More symbols like XRPUSDT."""
    like = simulator.exchange.market.symbols["XRPUSDT"]
    return {f"S{number:03}USDT": replace(like, name=f"S{number:03}USDT") for number in range(count)}


def test_ctrl_c_ends_what_is_under_way_and_reports_the_rest(simulator: Simulator) -> None:
    """An interrupt lets requests in flight end; every other row is reported as not sent, and none leaves after it."""
    simulator.exchange.market.symbols.update(many(simulator, 60))
    account = connect_to(simulator)
    plan = account.plan({name: 7 for name in account.symbols() if name.startswith("S0")})
    simulator.inject("late_answer", times=None, seconds=0.2)
    note, waiting = simulator.exchange.note_arrival, [True]

    def arrived(request: Any) -> None:
        note(request)
        if waiting and len(simulator.exchange.received) == 10:
            waiting.clear()
            interrupt()

    simulator.exchange.note_arrival = arrived  # type: ignore[method-assign]  # it notes as before
    with interruptible():
        done = plan.apply()
    sent = len(simulator.exchange.received)
    counts = {status: list(statuses(done).values()).count(status) for status in ("applied", "not_sent")}
    assert sum(counts.values()) == 60
    assert 10 <= counts["applied"] == len(simulator.exchange.executed) == sent < 60
    assert service_of(account).open_changes() == []
    simulator.clear_faults()
    assert set(statuses(done.retry()).values()) == {"applied"}
    assert len(simulator.exchange.received) == 60


def test_the_rate_limit_holds_rows_back_and_never_meets_a_429() -> None:
    """More rows than the share allows wait for it; accounts and plans of one process share it."""
    with Simulator(weight_limit=100) as simulator:
        simulator.exchange.market.symbols.update(many(simulator, 40))
        account = connect_to(simulator)
        plan = account.plan({f"S{number:03}USDT": 7 for number in range(40)})
        limiter = service_of(account).client.limiter
        ticks = [0.0]
        limiter._ticks = lambda: time.monotonic() + ticks[0]  # a minute in no time
        timer = threading.Timer(1.0, ticks.__setitem__, (0, 61.0))
        timer.start()
        done = plan.apply()
        timer.join()
        assert set(statuses(done).values()) == {"applied"}
        assert all(attempt.status == "applied" for attempt in service_of(account).attempts())


def test_two_plans_at_once(simulator: Simulator) -> None:
    """Plans of two accounts run together under the one limiter."""
    simulator.exchange.market.symbols.update(many(simulator, 40))
    plans = [
        connect_to(simulator).plan({f"S{number:03}USDT": 7 for number in numbers})
        for numbers in (range(20), range(20, 40))
    ]
    results: list[Plan] = []
    threads = [threading.Thread(target=lambda plan=plan: results.append(plan.apply())) for plan in plans]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [set(statuses(result).values()) for result in results] == [{"applied"}] * 2


def test_a_plan_that_is_applied_again_is_undone_by_itself(account: Account, simulator: Simulator) -> None:
    """Each carrying out of one plan is taken back to what it found, not to what an earlier one did."""
    simulator.exchange.change_elsewhere("XRPUSDT", 75)
    first = account.plan({"XRPUSDT": 20})
    first.apply()
    account.set_leverage("XRPUSDT", 30)
    account.plan({"XRPUSDT": 20}).apply()
    account.undo()
    assert books(simulator, "XRPUSDT") == {"XRPUSDT": 30}
    account.undo()
    assert books(simulator, "XRPUSDT") == {"XRPUSDT": 20}
    account.undo()
    assert books(simulator, "XRPUSDT") == {"XRPUSDT": 75}


def test_rows_that_moved_since_they_were_shown_are_not_sent(account: Account, simulator: Simulator) -> None:
    """What was right when the plan was shown, and is not any more, was confirmed by nobody: a retry sends it."""
    plan = account.plan({"SOLUSDT": 15, "ADAUSDT": 20})
    simulator.exchange.change_elsewhere("ADAUSDT", 5)
    done = plan.apply()
    assert statuses(done) == {"SOLUSDT": "applied", "ADAUSDT": "not_sent"}
    assert "ADAUSDT was changed since, and is at 5x" in str(done)
    assert statuses(done.retry()) == {"SOLUSDT": "applied", "ADAUSDT": "applied"}


def test_a_callback_that_fails_decides_nothing(account: Account, simulator: Simulator) -> None:
    """An error in the progress callback loses neither rows nor results."""

    def fail(*told: Any) -> None:
        raise ValueError("a dead progress bar")

    assert set(statuses(account.plan(WANTED).apply(fail)).values()) == {"applied", "unchanged"}


def test_one_symbol_that_changed_stops_no_other(account: Account, simulator: Simulator) -> None:
    """A maximum that fell, and a symbol that is gone, are told in their rows; the others go through, in an undo too."""
    symbols = simulator.exchange.market.symbols
    account.plan({"XRPUSDT": 20, "ADAUSDT": 10, "SOLUSDT": 30}).apply()
    plan = account.plan({"SOLUSDT": 75, "DOGEUSDT": 10, "BNBUSDT": 10})
    for name in ("SOLUSDT", "XRPUSDT"):
        lower = [
            replace(tier, initial_leverage=min(tier.initial_leverage, 46 - tier.number)) for tier in symbols[name].tiers
        ]
        symbols[name] = replace(symbols[name], tiers=tuple(lower))
    gone = symbols.pop("DOGEUSDT")
    done = plan.apply()
    assert statuses(done) == {"SOLUSDT": "not_sent", "DOGEUSDT": "not_sent", "BNBUSDT": "applied"}
    assert "maximum is 45x now" in str(done)
    assert "DOGEUSDT is no longer listed" in str(done)
    symbols["DOGEUSDT"] = gone
    account.undo()
    undone = account.undo()
    assert isinstance(undone, Plan)
    assert statuses(undone)["ADAUSDT"] == "applied"
    assert statuses(undone)["XRPUSDT"] == "not_sent"


def test_a_plan_does_not_sit_out_a_ban(account: Account, simulator: Simulator) -> None:
    """A ban of an hour ends the rows as not sent, with its time."""
    plan = account.plan({"XRPUSDT": 20, "ADAUSDT": 10})
    simulator.inject("banned", seconds=3600, times=None)
    done = plan.apply()
    assert set(statuses(done).values()) <= {"refused", "not_sent"}
    assert not simulator.exchange.executed


def test_max_is_one_rule(simulator: Simulator) -> None:
    """In a plan "max" is the leverage that %leverage takes for max; where there is none, both say why."""
    account = connect_to(simulator, max_leverage=5)
    with pytest.raises(InvalidInput, match="ETHUSDT 5x would be refused"):
        account.highest_leverage("ETHUSDT")
    plan = account.plan({"ETHUSDT": "max", "SOLUSDT": "max"})
    rows = {row.symbol: row for row in plan.rows}
    assert rows["SOLUSDT"].after == account.highest_leverage("SOLUSDT") == 5
    assert rows["ETHUSDT"].verdict == "refused"
    assert "stopped: ETHUSDT 5x would be refused: an isolated position is open" in str(plan)
    assert {row.symbol: row.status for row in plan.apply().rows} == {"ETHUSDT": "not_sent", "SOLUSDT": "applied"}


def test_the_table_wears_the_venues_name(account: Account) -> None:
    """A plan's DataFrame is marked like every other."""
    assert account.plan({"BTCUSDT": 10}).to_frame().columns.name == "SIMULATOR"


def test_nothing_is_sent_that_was_not_shown(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that was shown as stopped is not sent by the apply that follows, even if nothing stops it any more."""
    monkeypatch.setenv("LEVERAGE_NB_MAX_LEVERAGE", "10")
    account = connect_to(simulator)
    plan = account.plan({"XRPUSDT": 5, "DOGEUSDT": 40})
    assert [row.symbol for row in plan.to_send] == ["XRPUSDT"]
    monkeypatch.setenv("LEVERAGE_NB_MAX_LEVERAGE", "50")
    done = plan.apply(force=True)
    assert {row.symbol: row.status for row in done.rows} == {"XRPUSDT": "applied", "DOGEUSDT": "not_sent"}
    assert "40x would pass now, in a new plan" in str(done)
    with pytest.raises(InvalidInput, match="not applied yet"):
        account.plan({"XRPUSDT": 6}).retry()


def test_all_that_is_wrong_is_told_at_once(account: Account) -> None:
    """Lines that cannot be read, unknown symbols, leverages that are none and doubles are named together."""
    with pytest.raises(InvalidInput) as caught:
        account.plan(read_lines("BTCUSDT 20\nfoo\nXYZUSDT 5\nADAUSDT 10.5\nBTCUSDT 30"))
    for place in ("line 2: “foo”", "line 3: XYZUSDT is not", "line 4: 10.5 is not", "line 5: BTCUSDT is there twice"):
        assert place in str(caught.value)


def test_a_row_that_is_held_back_frees_no_margin(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not sent does not count: rows after it are judged by what there is."""
    monkeypatch.setenv("LEVERAGE_NB_MAX_LEVERAGE", "20")
    account = connect_to(simulator)
    plan = account.plan({"BTCUSDT": 75, "SOLUSDT": 1})
    assert [row.symbol for row in plan.to_send] == ["SOLUSDT"]
    simulator.exchange.account.wallets["USDT"] -= 60_000  # 12,000 is left: 75x would free 15,842, SOLUSDT takes 12,350
    monkeypatch.setenv("LEVERAGE_NB_MAX_LEVERAGE", "100")
    done = {row.symbol: row for row in plan.apply().rows}
    assert (done["BTCUSDT"].status, done["SOLUSDT"].status) == ("not_sent", "not_sent")
    assert done["SOLUSDT"].code == -2028


# -- batches -------------------------------------------------------------------------------------------------------


def wide(simulator: Simulator, count: int, **options: Any) -> tuple[Account, Plan]:
    """A plan of many symbols."""
    simulator.exchange.market.symbols.update(many(simulator, count))
    account = connect_to(simulator, **{"recv_window": 200, "grace": 0.05, **options})
    return account, account.plan({f"S{number:03}USDT": 7 for number in range(count)})


def requests(simulator: Simulator) -> list[str]:
    """The requests that arrive from now on, as METHOD /path."""
    handle, arrived = simulator.exchange.handle, list[str]()

    def noting(request: Any, *more: Any, **options: Any) -> Any:
        arrived.append(f"{request.method} {request.path}")
        return handle(request, *more, **options)

    simulator.exchange.handle = noting  # type: ignore[method-assign]  # it answers as before
    return arrived


def test_a_batch_costs_one_read(simulator: Simulator) -> None:
    """All settings are read once a batch: a plan of 60 rows costs a few reads, not sixty."""
    _, plan = wide(simulator, 60, recv_window=5000)
    arrived = requests(simulator)
    assert set(statuses(plan.apply()).values()) == {"applied"}
    assert arrived.count("POST /fapi/v1/leverage") == 60
    assert arrived.count("GET /fapi/v1/symbolConfig") <= 8


def test_a_foreign_change_in_the_middle_is_not_overwritten(simulator: Simulator) -> None:
    """What another client sets while a plan is being sent is left alone and named; undo does not touch it either."""
    account, plan = wide(simulator, 60, recv_window=5000)
    last = plan.to_send[-1].symbol

    def interfere(count: int, total: int, row: Any) -> None:
        if count == 1:
            simulator.exchange.change_elsewhere(last, 33)

    done = {row.symbol: row for row in plan.apply(interfere).rows}
    assert done[last].status == "not_sent"
    assert f"{last} is at 33x now" in done[last].note
    assert {row.status for symbol, row in done.items() if symbol != last} == {"applied"}
    assert isinstance(account.undo(), Plan)
    assert books(simulator, last, "S000USDT") == {last: 33, "S000USDT": 20}


def test_rows_that_could_not_leave_in_time_belong_to_the_next_batch(simulator: Simulator) -> None:
    """What could not leave within a second of its read is closed as not sent, read again and sent."""
    account, plan = wide(simulator, 60, recv_window=5000)

    def slow_down(count: int, total: int, row: Any) -> None:
        if count == 4:  # the first batch was fast, so that the next one is large
            simulator.inject("late_answer", times=None, seconds=0.6)

    assert set(statuses(plan.apply(slow_down)).values()) == {"applied"}
    assert len(simulator.exchange.received) == 60
    outcomes = account.history()["status"].tolist()
    assert (outcomes.count("applied"), set(outcomes)) == (60, {"applied", "not_sent"})


def test_a_row_that_is_refused_in_passing_is_sent_again_on_a_new_read(account: Account, simulator: Simulator) -> None:
    """A definite 503 is followed by an attempt of its own in a later batch, from the leverage that was shown."""
    simulator.inject("unavailable_503")
    assert set(statuses(account.plan({"SOLUSDT": 30, "ADAUSDT": 10}).apply()).values()) == {"applied"}
    assert sorted(account.history()["status"]) == ["applied", "applied", "refused"]
    simulator.inject("unavailable_503", "other_client", leverage=40)
    done = account.plan({"SOLUSDT": 31}).apply()
    assert statuses(done) == {"SOLUSDT": "refused"}
    assert books(simulator, "SOLUSDT") == {"SOLUSDT": 40}


def test_a_dead_connection_ends_a_plan_after_a_few_rows(simulator: Simulator) -> None:
    """When a few rows in a row have no answer the rest is not sent, and what was sent is settled."""
    account, plan = wide(simulator, 60, timeout=0.4)
    simulator.inject("stall", times=None, executed=True)
    started = time.monotonic()
    done = statuses(plan.apply())
    assert time.monotonic() - started < 5
    sent = {symbol for symbol, _ in simulator.exchange.received}
    assert 3 <= len(sent) <= 8
    assert {done[symbol] for symbol in sent} == {"applied"}
    assert {status for symbol, status in done.items() if symbol not in sent} == {"not_sent"}
    assert set(account.history()["status"]) <= {"applied", "not_sent"}


def test_an_exchange_that_is_gone_ends_a_plan(simulator: Simulator) -> None:
    """Where nothing can be read any more, rows end as not sent, with the reason."""
    _, plan = wide(simulator, 60)

    def close(count: int, total: int, row: Any) -> None:
        if count == 1:
            simulator.close()

    done = plan.apply(close)
    executed = {execution.symbol for execution in simulator.exchange.executed}
    for row in done.rows:
        assert row.status in ({"applied", "unknown"} if row.symbol in executed else {"not_sent", "unknown"})
    assert "not_sent" in statuses(done).values()
    assert "could not be reached" in str(done)


def test_a_row_with_an_open_attempt_is_not_sent(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A symbol whose earlier change may still be executed blocks its own row only."""
    account = connect_to(simulator, recv_window=60_000, timeout=0.5, grace=0.05)
    plan = account.plan({"SOLUSDT": 30, "ADAUSDT": 10})
    draft = Attempt(
        venue="simulator", address=simulator.rest_url, account=account.label, symbol="SOLUSDT", margin_asset="USDT",
        before=20, requested=25, recv_window_ms=60_000,
    )  # fmt: skip

    begin = service_of(account).journal.begin

    def begin_after_another(*arguments: Any) -> Any:
        monkeypatch.undo()
        begin([draft], service_of(account).client.time_ms)  # another kernel is faster
        return begin(*arguments)

    monkeypatch.setattr(service_of(account).journal, "begin", begin_after_another)
    done = plan.apply()
    assert statuses(done) == {"SOLUSDT": "not_sent", "ADAUSDT": "applied"}
    assert "may still be executed until" in str(done)
    assert [symbol for symbol, _ in simulator.exchange.received] == ["ADAUSDT"]


def test_a_symbol_that_one_list_leaves_out_is_sent_all_the_same(account: Account, simulator: Simulator) -> None:
    """A list that lacks a row's symbol is read again; the row is not called delisted."""
    plan = account.plan({"SOLUSDT": 30, "ADAUSDT": 10})
    arrived: list[int] = []
    on_settings = simulator.exchange.symbol_config

    def incomplete(parameters: Any) -> Any:
        arrived.append(1)
        rows = on_settings(parameters)
        return [row for row in rows if row["symbol"] != "SOLUSDT"] if len(arrived) == 2 else rows

    simulator.exchange.symbol_config = incomplete  # type: ignore[method-assign]  # its second list lacks one
    assert set(statuses(plan.apply()).values()) == {"applied"}


def test_a_slip_of_ours_in_the_middle_is_reported_from_the_journal(
    account: Account, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When our own code fails while a plan is being sent, each row that was sent is reported as the journal has it."""
    monkeypatch.setattr(ChangeService, "notify", lambda *arguments: 1 // 0)
    plan = account.plan({"SOLUSDT": 30, "ADAUSDT": 10})
    done = plan.apply()
    for row in done.rows:
        executed = books(simulator, row.symbol)[row.symbol] == row.after
        assert (row.status == "applied") == executed
    assert "planned" not in statuses(done).values()
