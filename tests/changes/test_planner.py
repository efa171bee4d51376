"""A plan is checked as a whole when it is made, and predicted again when it is applied."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from leverage_nb.account import Account
from leverage_nb.changes.plan import Plan
from leverage_nb.changes.plan_input import read_lines
from leverage_nb.errors import InvalidInput
from leverage_nb.simulator import Simulator
from tests.changes.plans import statuses
from tests.conftest import connect_to


def test_all_invalid_targets_are_named_and_nothing_is_sent(account: Account, simulator: Simulator) -> None:
    """Unknown symbols, leverages out of range and duplicates are named together, and nothing is sent."""
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


def test_all_invalid_lines_are_named_together(account: Account) -> None:
    """Unreadable lines, unknown symbols, invalid leverages and duplicates are named together, by line."""
    with pytest.raises(InvalidInput) as caught:
        account.plan(read_lines("BTCUSDT 20\nfoo\nXYZUSDT 5\nADAUSDT 10.5\nBTCUSDT 30"))
    for place in ("line 2: “foo”", "line 3: XYZUSDT is not", "line 4: 10.5 is not", "line 5: BTCUSDT is there twice"):
        assert place in str(caught.value)


def test_a_plan_can_be_a_function_of_the_settings(account: Account) -> None:
    """A function of the settings gives the targets, for example a cap of 20x for all symbols."""
    plan = account.plan(lambda settings: settings["leverage"].clip(upper=20))
    assert [row.symbol for row in plan.to_send] == ["XRPUSDT"]
    assert len(plan.rows) == 46


def test_max_respects_tiers_exposure_and_guard(simulator: Simulator) -> None:
    """The word max respects tiers, exposure and guard; a row above the guard is not sent, even with force."""
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


def test_max_is_the_same_in_a_plan_and_alone(simulator: Simulator) -> None:
    """The word max gives the same leverage in a plan and alone; if none fits, both give the reason."""
    account = connect_to(simulator, max_leverage=5)
    with pytest.raises(InvalidInput, match="ETHUSDT 5x would be refused"):
        account.highest_leverage("ETHUSDT")
    plan = account.plan({"ETHUSDT": "max", "SOLUSDT": "max"})
    rows = {row.symbol: row for row in plan.rows}
    assert rows["SOLUSDT"].after == account.highest_leverage("SOLUSDT") == 5
    assert rows["ETHUSDT"].verdict == "refused"
    assert "stopped: ETHUSDT 5x would be refused: an isolated position is open" in str(plan)
    assert {row.symbol: row.status for row in plan.apply().rows} == {"ETHUSDT": "not_sent", "SOLUSDT": "applied"}


def test_a_row_that_is_no_longer_needed_is_not_sent(account: Account, simulator: Simulator) -> None:
    """A row whose symbol another client has set to the planned leverage meanwhile is unchanged."""
    plan = account.plan({"BTCUSDT": 15, "ADAUSDT": 10})
    simulator.exchange.change_elsewhere("BTCUSDT", 15)
    assert statuses(plan.apply()) == {"BTCUSDT": "unchanged", "ADAUSDT": "applied"}
    assert [symbol for symbol, _ in simulator.exchange.received] == ["ADAUSDT"]


def test_a_row_whose_leverage_changed_since_is_not_sent(account: Account, simulator: Simulator) -> None:
    """A row whose leverage is no longer the one shown is not sent; a retry starts from the new one."""
    plan = account.plan({"SOLUSDT": 15, "ADAUSDT": 20})
    simulator.exchange.change_elsewhere("ADAUSDT", 5)
    done = plan.apply()
    assert statuses(done) == {"SOLUSDT": "applied", "ADAUSDT": "not_sent"}
    assert "ADAUSDT was changed since, and is at 5x" in str(done)
    assert statuses(done.retry()) == {"SOLUSDT": "applied", "ADAUSDT": "applied"}


def test_a_lowered_maximum_or_a_delisting_stops_its_own_row_only(account: Account, simulator: Simulator) -> None:
    """A lowered maximum and a delisted symbol stop their own rows only, in a plan and in its undo."""
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


def test_a_row_that_was_shown_as_refused_is_not_sent(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that was shown as refused is not sent, even if it would pass now."""
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


def test_a_row_that_is_not_sent_frees_no_margin(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are predicted without the effect of rows that are not sent."""
    monkeypatch.setenv("LEVERAGE_NB_MAX_LEVERAGE", "20")
    account = connect_to(simulator)
    plan = account.plan({"BTCUSDT": 75, "SOLUSDT": 1})
    assert [row.symbol for row in plan.to_send] == ["SOLUSDT"]
    simulator.exchange.account.wallets["USDT"] -= 60_000  # 12,000 is left: 75x would free 15,842, SOLUSDT takes 12,350
    monkeypatch.setenv("LEVERAGE_NB_MAX_LEVERAGE", "100")
    done = {row.symbol: row for row in plan.apply().rows}
    assert (done["BTCUSDT"].status, done["SOLUSDT"].status) == ("not_sent", "not_sent")
    assert done["SOLUSDT"].code == -2028
