"""History, undo and interrupts: what was changed, what an earlier session left open, and taking it back."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from leverage_nb.account import Account, service_of
from leverage_nb.change import LeverageChange
from leverage_nb.changes.plan import Plan
from leverage_nb.changes.preview import Preview
from leverage_nb.errors import (
    ChangedElsewhere,
    ChangeInterrupted,
    ChangeNotSent,
    ChangePending,
    InvalidInput,
    LeverageError,
    LeverageRefused,
    NothingToUndo,
)
from leverage_nb.journal.attempts import Attempt
from leverage_nb.journal.database import MEMORY
from leverage_nb.simulator import Simulator
from tests.conftest import connect_to
from tests.interrupting import interrupt, interrupt_on, interruptible


def leverage(account: Account, symbol: str = "BTCUSDT") -> int:
    """Where a symbol is now."""
    return account.setting(symbol).leverage


def undo(account: Account, *, force: bool = False) -> LeverageChange:
    """Take back a change that was made alone."""
    undone = account.undo(force=force)
    assert isinstance(undone, LeverageChange)
    return undone


def undo_plan(account: Account) -> Plan:
    """Take back a plan."""
    undone = account.undo()
    assert isinstance(undone, Plan)
    return undone


def preview_undo(account: Account) -> Preview:
    """What it would do to take back a change that was made alone."""
    preview = account.preview_undo()
    assert isinstance(preview, Preview)
    return preview


def begin(account: Account, simulator: Simulator, symbol: str, before: int, requested: int) -> None:
    """Record an attempt that is never sent."""
    draft = Attempt(
        venue="simulator", address=simulator.rest_url, account=account.label, symbol=symbol, margin_asset="USDT",
        before=before, requested=requested, recv_window_ms=service_of(account).client.recv_window,
    )  # fmt: skip
    service_of(account).journal.begin([draft], service_of(account).client.time_ms)


def test_history_has_a_row_for_each_attempt(account: Account) -> None:
    """Applied and refused changes are there with what is known of them; unchanged and guarded ones sent nothing."""
    assert list(account.history().columns[:6]) == ["sent_at", "symbol", "before", "requested", "after", "status"]
    assert account.history().empty
    account.set_leverage("BTCUSDT", 10)
    account.set_leverage("BTCUSDT", 10)
    with pytest.raises(LeverageRefused):
        account.set_leverage("ETHUSDT", 5)
    history = account.history()
    assert history["symbol"].tolist() == ["BTCUSDT", "ETHUSDT"]
    assert history["status"].tolist() == ["applied", "refused"]
    assert history["code"].tolist()[1] == -4161
    assert history["after"].isna().tolist() == [False, True]
    assert history["max_notional"].iloc[0] == 230e6
    assert (history.index.name, history.columns.name) == ("number", "SIMULATOR")
    dtypes = {name: str(history[name].dtype) for name in ("before", "requested", "after", "code", "max_notional")}
    assert dtypes == {
        "before": "int64", "requested": "int64", "after": "Int64", "code": "Int64", "max_notional": "float64",
    }  # fmt: skip
    assert str(history["sent_at"].dtype).startswith("datetime64")


def test_undo_goes_back_one_by_one(account: Account) -> None:
    """The first undo takes the last change back, the second the one before, and then there is none left."""
    account.set_leverage("BTCUSDT", 10)
    account.set_leverage("XRPUSDT", 20)
    account.set_leverage("BTCUSDT", 15)
    undone = [undo(account) for _ in range(3)]
    assert [(change.symbol, change.before, change.after) for change in undone] == [
        ("BTCUSDT", 15, 10), ("XRPUSDT", 20, 50), ("BTCUSDT", 10, 20),
    ]  # fmt: skip
    assert account.history()["undoes"].tolist()[3:] == [3, 2, 1]
    with pytest.raises(NothingToUndo, match="no change left to undo"):
        account.undo()
    account.set_leverage("BTCUSDT", 33)
    assert undo(account).after == 20


def test_undo_refuses_what_was_changed_since(account: Account, simulator: Simulator) -> None:
    """When the leverage is not what the change left, undo says what it found and sends nothing."""
    account.set_leverage("BTCUSDT", 10)
    simulator.exchange.change_elsewhere("BTCUSDT", 33)
    with pytest.raises(ChangedElsewhere, match="changed since and is at 33x") as caught:
        account.undo()
    assert "%leverage BTCUSDT 20" in caught.value.hint
    assert leverage(account) == 33


def test_what_cannot_be_taken_back_blocks_nothing_before_it(account: Account) -> None:
    """A raise on an isolated position is passed over while it is open, and named; what came before can be undone."""
    account.set_leverage("SOLUSDT", 10)
    account.set_leverage("ETHUSDT", 20)
    preview = preview_undo(account)
    assert preview.headline.startswith("SOLUSDT 10x → 20x")
    assert preview.passed_over.startswith("ETHUSDT 10x → 20x: an isolated position is open")
    with pytest.raises(LeverageRefused, match="-4161"):
        account.undo(force=True)
    assert ("skipped", preview.passed_over) in undo(account).effects
    assert (leverage(account, "SOLUSDT"), leverage(account, "ETHUSDT")) == (20, 20)
    with pytest.raises(NothingToUndo, match=r"No change can be undone now\. ETHUSDT 10x → 20x: an isolated position"):
        account.undo()


def test_two_raises_of_one_symbol_block_nothing_before_them(account: Account) -> None:
    """Where the last of two cannot be taken back, the one before it cannot either."""
    account.set_leverage("SOLUSDT", 10)
    account.set_leverage("ETHUSDT", 11)
    account.set_leverage("ETHUSDT", 12)
    assert undo(account).symbol == "SOLUSDT"
    account.set_leverage("XRPUSDT", 10)
    account.plan({"ETHUSDT": 13}).apply()
    undone = undo(account)
    assert (undone.symbol, undone.after) == ("XRPUSDT", 50)


def test_a_plan_that_somebody_changed_is_not_passed_over(account: Account, simulator: Simulator) -> None:
    """Only what can never be taken back is passed over: a plan that was changed since is told of instead."""
    account.plan({"XRPUSDT": 10}).apply()
    account.plan({"SOLUSDT": 5}).apply()
    simulator.exchange.change_elsewhere("SOLUSDT", 7)
    assert "SOLUSDT was changed since, and is at 7x" in str(account.undo())
    assert leverage(account, "XRPUSDT") == 10


def test_a_plan_that_is_taken_back_in_part_blocks_nothing_before_it(account: Account) -> None:
    """What is left of a plan, and cannot be taken back, is passed over too."""
    account.set_leverage("SOLUSDT", 10)
    account.plan({"ADAUSDT": 10, "ETHUSDT": 20}).apply()
    assert {row.symbol: row.status for row in undo_plan(account).rows} == {"ADAUSDT": "applied", "ETHUSDT": "not_sent"}
    assert undo(account).symbol == "SOLUSDT"


def test_undo_is_a_change_with_a_preview_and_a_record(account: Account) -> None:
    """The preview of an undo applies like any other, and is recorded as an undo."""
    account.set_leverage("BTCUSDT", 10)
    preview = preview_undo(account)
    assert preview.headline.startswith("BTCUSDT 10x → 20x")
    change = preview.apply()
    assert (change.status, change.after) == ("applied", 20)
    assert account.history().iloc[-1]["undoes"] == 1


def test_undo_waits_for_what_is_not_known(simulator: Simulator) -> None:
    """While the last change is not settled, none before it is undone in its place."""
    account = connect_to(simulator, recv_window=60_000)
    account.set_leverage("XRPUSDT", 20)
    begin(account, simulator, "BTCUSDT", 20, 10)
    with pytest.raises(ChangePending, match="BTCUSDT 20x → 10x, is not known yet"):
        account.undo()
    assert leverage(account, "XRPUSDT") == 20


def test_an_undo_that_somebody_overtook_sends_nothing(account: Account, simulator: Simulator) -> None:
    """The preview of an undo leaves only from the leverage that it showed."""
    account.set_leverage("BTCUSDT", 10)
    preview = preview_undo(account)
    simulator.exchange.change_elsewhere("BTCUSDT", 33)
    preview = replace(preview, setting=replace(preview.setting, read_at=-math.inf))  # of more than a second ago
    with pytest.raises(ChangeNotSent, match="The account has changed since the preview"):
        preview.apply()
    assert leverage(account) == 33


def test_undo_is_of_this_account_alone(simulator: Simulator, tmp_path: Path) -> None:
    """In one journal for two exchanges, undo takes back what was done here."""
    path = tmp_path / "journal.sqlite"
    with Simulator() as other:
        here, there = connect_to(simulator, journal=path), connect_to(other, journal=path)
        here.set_leverage("BTCUSDT", 10)
        there.set_leverage("XRPUSDT", 10)
        assert undo(here).symbol == "BTCUSDT"
        assert len(there.history()) == 1
        with pytest.raises(NothingToUndo, match="no change left to undo"):
            here.undo()


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
    begin(account, simulator, "BTCUSDT", 33, 20)
    account.settle()
    assert notified == [20]


def test_last_changes_and_open_ones(account: Account) -> None:
    """The last changes come newest first, with every one that is open."""
    for symbol, wanted in (("BTCUSDT", 10), ("XRPUSDT", 20), ("SOLUSDT", 10)):
        account.set_leverage(symbol, wanted)
    assert [change.symbol for change in service_of(account).last_changes(2)] == ["SOLUSDT", "XRPUSDT"]
    assert service_of(account).open_changes() == []


def test_where_journals_are(simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator's is in memory and shared by its accounts, the others' in the user's folder; a path is a path."""
    assert connect_to(simulator).journal == MEMORY
    connect_to(simulator).set_leverage("BTCUSDT", 10)
    assert len(connect_to(simulator).history()) == 1
    assert len(connect_to(simulator, journal=MEMORY).history()) == 1
    testnet, mainnet = connect_to(simulator, "testnet"), connect_to(simulator, "mainnet")
    assert testnet.journal == mainnet.journal
    assert testnet.journal.endswith("journal.sqlite")
    monkeypatch.setenv("HOME", str(tmp_path))
    named = connect_to(simulator, journal="~/mine.sqlite")
    named.set_leverage("BTCUSDT", 20)
    assert (tmp_path / "mine.sqlite").is_file()
    for wrong in ("", "  ", 5):
        with pytest.raises(InvalidInput, match="journal must be the path of a file"):
            connect_to(simulator, journal=wrong)


def test_records_from_the_journal_name_the_profile(simulator: Simulator, tmp_path: Path) -> None:
    """What is looked up later names the account as the change itself did."""
    account = connect_to(simulator, profile="sub1", journal=tmp_path / "journal.sqlite")
    made = account.set_leverage("BTCUSDT", 10)
    assert made.account == account.label
    assert [change.account for change in service_of(account).last_changes(1)] == [account.label]


def test_last_changes_are_the_newest(account: Account) -> None:
    """So many as were asked for, newest first."""
    for leverage in (10, 11, 12):
        account.set_leverage("SOLUSDT", leverage)
    assert [change.requested for change in service_of(account).last_changes(2)] == [12, 11]


# -- interrupts ----------------------------------------------------------------------------------------------------


def interrupted(account: Account) -> ChangeInterrupted:
    """What a change of BTCUSDT to 10x ends with."""
    with interruptible(), pytest.raises(ChangeInterrupted) as caught:
        account.set_leverage("BTCUSDT", 10)
    assert isinstance(caught.value, KeyboardInterrupt)
    assert caught.value.change.account == account.label
    return caught.value


@pytest.fixture
def quick(simulator: Simulator) -> Account:
    """An account whose requests are past after 0.4 s."""
    account = connect_to(simulator, timeout=0.5, recv_window=300, grace=0.1)
    account.margin_asset("BTCUSDT")
    return account


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
    begin(quick, simulator, "BTCUSDT", 20, 33)
    interrupt_on(simulator, "GET", "/fapi/v1/time")
    error = interrupted(quick)
    assert (error.change.status, error.change.requested, error.change.number) == ("not_sent", 10, None)
    assert simulator.exchange.received == []
