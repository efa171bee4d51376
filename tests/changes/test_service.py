"""The service previews, makes and settles the changes of one account, and notifies its listeners."""

from __future__ import annotations

import pickle
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from leverage_nb.account import Account, service_of
from leverage_nb.changes.service import SymbolView
from leverage_nb.errors import (
    ChangeInterrupted,
    ChangeNotSent,
    InvalidInput,
    InvalidLeverage,
    LeverageError,
)
from leverage_nb.risk.outlook import Outlook
from leverage_nb.simulator import Simulator
from tests.arrivals import record_requests
from tests.changes.drafts import begin
from tests.changes.quick import connect_quick
from tests.conftest import connect_to
from tests.interrupting import interrupt, interrupt_on, interruptible


def leverage(account: Account, symbol: str = "BTCUSDT") -> int:
    """Where a symbol is now."""
    return account.setting(symbol).leverage


def test_the_next_start_settles_and_shows(simulator: Simulator, tmp_path: Path) -> None:
    """What an earlier session left open is verified at the first contact of the next, and reported once."""
    path = tmp_path / "journal.sqlite"
    before = connect_to(simulator, journal=path, timeout=0.3, recv_window=50, grace=0.0)
    preview = before.preview("BTCUSDT", 10)
    simulator.inject("reset_after")
    simulator.inject("stall", on="GET /fapi/v1/symbolConfig", times=None)
    with pytest.raises(LeverageError):
        preview.apply()
    simulator.clear_faults()
    after = connect_to(simulator, journal=path, grace=0.0)
    assert [change.status for change in service_of(after).open_changes()] == ["unknown"]
    [found] = after.settle(wait=False)
    assert (found.symbol, found.status, found.confirmed_by) == ("BTCUSDT", "applied", "symbolConfig")
    assert after.settle() == []
    assert service_of(after).open_changes() == []


def test_settling_notifies_the_listeners(simulator: Simulator) -> None:
    """A panel is notified of a change that is found applied later."""
    account = connect_to(simulator, recv_window=50, grace=0.05)
    notified: list[Any] = []

    class Listener:
        def notice(self, change: Any) -> None:
            notified.append(change.after)

    listener = Listener()
    service_of(account).add_listener(listener.notice)
    begin(account, "BTCUSDT", 33, 20)
    account.settle()
    assert notified == [20]


def test_last_changes_and_open_ones(account: Account) -> None:
    """The last changes come newest first, with every one that is open."""
    for symbol, wanted in (("BTCUSDT", 10), ("XRPUSDT", 20), ("SOLUSDT", 10)):
        account.set_leverage(symbol, wanted)
    assert [change.symbol for change in service_of(account).last_changes(2)] == ["SOLUSDT", "XRPUSDT"]
    assert service_of(account).open_changes() == []


def test_records_from_the_journal_name_the_profile(simulator: Simulator, tmp_path: Path) -> None:
    """What is looked up later names the account as the change itself did."""
    account = connect_to(simulator, profile="sub1", journal=tmp_path / "journal.sqlite")
    made = account.set_leverage("BTCUSDT", 10)
    assert made.account == account.label
    assert [change.account for change in service_of(account).last_changes(1)] == [account.label]


def interrupted(account: Account) -> ChangeInterrupted:
    """What a change of BTCUSDT to 10x ends with."""
    with interruptible(), pytest.raises(ChangeInterrupted) as caught:
        account.set_leverage("BTCUSDT", 10)
    assert isinstance(caught.value, KeyboardInterrupt)
    assert caught.value.change.account == account.label
    return caught.value


def test_ctrl_c_before_sending_sends_nothing(quick: Account, simulator: Simulator) -> None:
    """An interrupt during the read before says that nothing was sent, and nothing is sent after it."""
    simulator.inject("late_answer", on="GET /fapi/v1/symbolConfig", seconds=0.2)
    interrupt_on(simulator, "GET", "/fapi/v1/symbolConfig")
    error = interrupted(quick)
    assert (error.change.status, "Nothing was sent" in error.message) == ("not_sent", True)
    assert quick.set_leverage("XRPUSDT", 10).status == "applied"
    assert [symbol for symbol, _ in simulator.exchange.received] == ["XRPUSDT"]


def test_ctrl_c_while_the_answer_is_awaited_says_what_is_not_known(quick: Account, simulator: Simulator) -> None:
    """An interrupt after the request has left says that the change may have been made; it is settled later."""
    simulator.inject("stall", executed=True)
    interrupt_on(simulator, "POST", "/fapi/v1/leverage")
    error = interrupted(quick)
    assert "may or may not be at 10x" in error.message
    assert (error.change.status, error.change.before) == ("unknown", 20)
    assert "%leverage --history" in error._render_traceback_()[1]
    assert [change.status for change in service_of(quick).open_changes()] == ["unknown"]
    [change] = quick.settle()
    assert (change.status, change.after) == ("applied", 10)
    assert quick.set_leverage("BTCUSDT", 30).status == "applied"


def test_ctrl_c_while_the_answer_is_on_its_way_reports_it(quick: Account, simulator: Simulator) -> None:
    """An answer that comes within a moment of the interrupt is recorded and reported."""
    interrupt_on(simulator, "POST", "/fapi/v1/leverage")
    error = interrupted(quick)
    assert (error.change.status, error.change.after) == ("applied", 10)
    assert error.message == "Interrupted. BTCUSDT 20x → 10x."
    assert pickle.loads(pickle.dumps(error)).change == error.change  # noqa: S301 - our own bytes


def test_ctrl_c_between_two_attempts_sends_no_other(quick: Account, simulator: Simulator) -> None:
    """An interrupt after a refusal that passes says refused, and no further attempt is made."""
    simulator.inject("unavailable_503", times=None)
    note = simulator.exchange.note_arrival

    def arrived(request: Any) -> None:
        note(request)
        if request.method == "POST":
            interrupt()

    simulator.exchange.note_arrival = arrived  # type: ignore[method-assign]  # it notes as before
    error = interrupted(quick)
    assert (error.change.status, error.change.number) == ("refused", 1)
    simulator.clear_faults()
    assert quick.history()["status"].tolist() == ["refused"]
    assert len(simulator.exchange.received) == 1


def test_ctrl_c_while_verifying_leaves_it_open(quick: Account, simulator: Simulator) -> None:
    """An interrupt while the outcome is being verified says what is not known; the journal goes on from there."""
    preview = quick.preview("BTCUSDT", 10)
    simulator.inject("reset_before")
    interrupt_on(simulator, "GET", "/fapi/v1/symbolConfig")
    with interruptible(), pytest.raises(ChangeInterrupted) as caught:
        preview.apply()
    assert caught.value.change.status == "unknown"
    assert caught.value.change.effects == preview.rows()
    assert [change.status for change in quick.settle()] == ["not_applied"]
    assert quick.set_leverage("BTCUSDT", 30).status == "applied"


def test_ctrl_c_never_reports_another_programs_change(quick: Account, simulator: Simulator) -> None:
    """An interrupt during the wait for another program's attempt does not report that attempt as this change."""
    begin(quick, "BTCUSDT", 20, 33)
    interrupt_on(simulator, "GET", "/fapi/v1/time")
    error = interrupted(quick)
    assert (error.change.status, error.change.requested, error.change.number) == ("not_sent", 10, None)
    assert simulator.exchange.received == []


def test_todays_leverage_above_the_tiers(account: Account) -> None:
    """When the maximum has fallen below today's leverage there are no figures of today to show, and none are shown."""
    state = account.state()
    settings = {**state.settings, "SOLUSDT": replace(state.settings["SOLUSDT"], leverage=125)}
    outlook = Outlook(replace(state, settings=settings), account.tiers("SOLUSDT"))
    preview = service_of(account).preview_at(SymbolView(outlook, replace(state, settings=settings)), 50)
    assert preview.before == 125
    assert np.isnan(preview.max_notional[0])
    assert "nan" not in str(preview)
    with pytest.raises(InvalidLeverage):
        service_of(account).preview_at(SymbolView(outlook, state), 101)


@pytest.mark.parametrize(
    ("symbol", "notional", "words"),
    [
        ("BTCUSDT", "5b", "No leverage of BTCUSDT allows a notional of 5,000,000,000"),
        ("BTCUSDT", "much", "not a notional"), ("BTCUSDT", float("nan"), "not a notional"),
    ],
)  # fmt: skip
def test_highest_leverage_says_what_stands_in_the_way(account: Account, symbol: str, notional: Any, words: str) -> None:
    """Where no leverage is left, the rule that removed the last one is named."""
    with pytest.raises(InvalidInput, match=words):
        account.highest_leverage(symbol, notional)


def test_highest_leverage_names_the_rule_and_keeps_what_is_open(simulator: Simulator) -> None:
    """An isolated position above the guard is said as just that; in multi-assets mode what is not refused may be it."""
    books = simulator.exchange.account
    books.set_leverage("ETHUSDT", 50)
    guarded = connect_to(simulator, max_leverage=20)
    with pytest.raises(InvalidInput, match="ETHUSDT 20x would be refused \\(-4161\\): an isolated position is open"):
        guarded.highest_leverage("ETHUSDT")
    books.multi_assets = True
    books.set_leverage("BTCUSDT", 100)
    with connect_to(simulator) as account:
        assert account.highest_leverage("BTCUSDT", "50m") == 25


def test_a_previewed_change_takes_two_round_trips(account: Account, simulator: Simulator) -> None:
    """The four reads of a preview are under way at the same time, and then there is the POST and no more."""
    account.margin_asset("BTCUSDT")
    arrived = record_requests(simulator)
    simulator.inject("late_answer", on="GET *", times=None, seconds=0.3)
    started = time.monotonic()
    preview = account.preview("BTCUSDT", 10)
    assert time.monotonic() - started < 0.9  # one after the other they take 1.2 s
    assert preview.apply().status == "applied"
    assert sorted(arrived[:4]) == [
        "GET /fapi/v1/accountConfig", "GET /fapi/v1/symbolConfig", "GET /fapi/v3/account", "GET /fapi/v3/positionRisk",
    ]  # fmt: skip
    assert arrived[4:] == ["POST /fapi/v1/leverage"]


def test_a_preview_on_a_read_that_is_behind_is_read_again(account: Account, simulator: Simulator) -> None:
    """A read that shows what was there before the exchange's own latest answer is repeated, in a plan too."""
    account.set_leverage("BTCUSDT", 10)
    simulator.inject("stale_read", seconds=0.5)
    assert account.preview("BTCUSDT", 20).before == 10
    account.set_leverage("SOLUSDT", 30)
    simulator.inject("stale_read", seconds=0.5)
    assert account.plan({"SOLUSDT": 20}).rows[0].before == 30


def test_a_preview_that_others_have_overtaken_is_not_sent(account: Account, simulator: Simulator) -> None:
    """A change through another object of the same account makes a fresh preview stale."""
    preview = account.preview("BTCUSDT", 10)
    with connect_quick(simulator) as other:
        other.set_leverage("BTCUSDT", 25)
    with pytest.raises(ChangeNotSent, match="confirmed from 20x, and BTCUSDT is at 25x now"):
        preview.apply()
    assert account.setting("BTCUSDT").leverage == 25
