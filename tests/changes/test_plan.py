"""A plan shows what each row would do, and after it was applied the outcome of each row."""

from __future__ import annotations

from typing import Any

from leverage_nb.account import Account, service_of
from leverage_nb.simulator import Simulator
from tests.changes.plans import WANTED, leverages, statuses


def test_a_plan_shows_the_drift_and_sends_nothing(account: Account, simulator: Simulator) -> None:
    """A plan shows before, after and verdict of each row, raises first, then lowers; nothing is sent."""
    plan = account.plan(WANTED)
    assert [row.symbol for row in plan.rows] == ["ETHUSDT", "SOLUSDT", "BTCUSDT", "ADAUSDT", "XRPUSDT"]
    frame = plan.to_frame()
    assert frame["before"].tolist() == [10, 20, 20, 20, 50]
    assert frame["after"].tolist() == [20, 30, 15, 10, 50]
    assert frame["verdict"].tolist() == ["ok"] * 4 + ["unchanged"]
    assert (str(frame["before"].dtype), str(frame["code"].dtype), frame.index.name) == ("Int64", "Int64", "symbol")
    for shown in (str(plan), plan._repr_html_()):
        assert "4 to change, 1 unchanged" in shown
        assert "BTCUSDT" in shown
    assert simulator.exchange.received == []


def test_an_applied_plan_records_every_change(account: Account, simulator: Simulator) -> None:
    """Each change is in the journal under the plan's name; unchanged rows are not sent; progress is called per row."""
    calls: list[tuple[int, int, str]] = []
    done = account.plan(WANTED).apply(lambda count, total, row: calls.append((count, total, row.symbol)))
    assert statuses(done) == {
        "BTCUSDT": "applied", "ETHUSDT": "applied", "SOLUSDT": "applied", "ADAUSDT": "applied", "XRPUSDT": "unchanged",
    }  # fmt: skip
    assert leverages(simulator, *WANTED) == {"BTCUSDT": 15, "ETHUSDT": 20, "SOLUSDT": 30, "XRPUSDT": 50, "ADAUSDT": 10}
    assert len(simulator.exchange.received) == len(account.history()) == 4
    assert {attempt.plan for attempt in service_of(account).past.attempts()} == {done.name}
    assert [count for count, _, _ in calls] == [1, 2, 3, 4, 5]
    assert {total for _, total, _ in calls} == {5}
    assert "4 applied, 1 unchanged" in done.headline


def test_rows_of_symbols_that_are_not_trading_are_pending(account: Account) -> None:
    """Such a row is sent, because its outcome is not known; refused with -1122 it is pending, and can be retried."""
    plan = account.plan({"UXLINKUSDT": 2, "BTCUSDT": 15})
    assert {row.symbol: row.verdict for row in plan.rows} == {"UXLINKUSDT": "unpredictable", "BTCUSDT": "ok"}
    done = plan.apply()
    assert statuses(done) == {"UXLINKUSDT": "pending", "BTCUSDT": "applied"}
    assert statuses(done.retry())["UXLINKUSDT"] == "pending"


def test_a_failing_progress_callback_changes_nothing(account: Account, simulator: Simulator) -> None:
    """An error in the progress callback does not stop the plan."""

    def fail(*arguments: Any) -> None:
        raise ValueError("a dead progress bar")

    assert set(statuses(account.plan(WANTED).apply(fail)).values()) == {"applied", "unchanged"}


def test_the_table_names_the_venue(account: Account) -> None:
    """The DataFrame of a plan names its venue."""
    assert account.plan({"BTCUSDT": 10}).to_frame().columns.name == "SIMULATOR"
