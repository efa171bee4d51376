"""Undo returns the leverage to the value before the last change, and names what it skips."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from leverage_nb.account import Account
from leverage_nb.change import LeverageChange
from leverage_nb.changes.plan import Plan
from leverage_nb.changes.preview import Preview
from leverage_nb.errors import (
    ChangedElsewhere,
    ChangeNotSent,
    ChangePending,
    LeverageRefused,
    NothingToUndo,
    OutcomeUnknown,
)
from leverage_nb.simulator import Simulator
from leverage_nb.simulator.account import Position
from tests.changes.drafts import begin
from tests.changes.plans import WANTED, leverages, statuses
from tests.conftest import connect_to


def undo(account: Account, *, force: bool = False) -> LeverageChange:
    """Undo a single change."""
    undone = account.undo(force=force)
    assert isinstance(undone, LeverageChange)
    return undone


def undo_plan(account: Account) -> Plan:
    """Undo a plan."""
    undone = account.undo()
    assert isinstance(undone, Plan)
    return undone


def preview_undo(account: Account) -> Preview:
    """Preview the undo of a single change."""
    preview = account.preview_undo()
    assert isinstance(preview, Preview)
    return preview


def test_undo_goes_back_one_by_one(account: Account) -> None:
    """The first undo takes back the last change, the second the one before, until none is left."""
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


def test_undo_sends_nothing_if_the_leverage_was_changed_since(account: Account, simulator: Simulator) -> None:
    """If the leverage was changed elsewhere since, undo names it and sends nothing."""
    account.set_leverage("BTCUSDT", 10)
    simulator.exchange.change_elsewhere("BTCUSDT", 33)
    with pytest.raises(ChangedElsewhere, match="changed since and is at 33x") as caught:
        account.undo()
    assert "%leverage BTCUSDT 20" in caught.value.hint
    assert account.setting("BTCUSDT").leverage == 33


def test_a_change_that_cannot_be_undone_is_skipped(account: Account) -> None:
    """A raise on an open isolated position is skipped and named; the change before it is undone."""
    account.set_leverage("SOLUSDT", 10)
    account.set_leverage("ETHUSDT", 20)
    preview = preview_undo(account)
    assert preview.headline.startswith("SOLUSDT 10x → 20x")
    assert preview.passed_over.startswith("ETHUSDT 10x → 20x: an isolated position is open")
    with pytest.raises(LeverageRefused, match="-4161"):
        account.undo(force=True)
    assert ("skipped", preview.passed_over) in undo(account).effects
    assert (account.setting("SOLUSDT").leverage, account.setting("ETHUSDT").leverage) == (20, 20)
    with pytest.raises(NothingToUndo, match=r"No change can be undone now\. ETHUSDT 10x → 20x: an isolated position"):
        account.undo()


def test_all_raises_of_an_isolated_position_are_skipped(account: Account) -> None:
    """If the last of two raises cannot be undone, the one before it is skipped too."""
    account.set_leverage("SOLUSDT", 10)
    account.set_leverage("ETHUSDT", 11)
    account.set_leverage("ETHUSDT", 12)
    assert undo(account).symbol == "SOLUSDT"
    account.set_leverage("XRPUSDT", 10)
    account.plan({"ETHUSDT": 13}).apply()
    undone = undo(account)
    assert (undone.symbol, undone.after) == ("XRPUSDT", 50)


def test_an_undo_is_recorded_as_an_undo(account: Account) -> None:
    """The preview of an undo is applied like any other, and the journal names the change that it undoes."""
    account.set_leverage("BTCUSDT", 10)
    preview = preview_undo(account)
    assert preview.headline.startswith("BTCUSDT 10x → 20x")
    change = preview.apply()
    assert (change.status, change.after) == ("applied", 20)
    assert account.history().iloc[-1]["undoes"] == 1
    assert change.card().title == "BTCUSDT 10x → 20x undone"


def test_an_open_change_is_not_passed_over(simulator: Simulator) -> None:
    """While the last change is open, no earlier change is undone in its place."""
    account = connect_to(simulator, recv_window=60_000)
    account.set_leverage("XRPUSDT", 20)
    begin(account, "BTCUSDT", 20, 10)
    with pytest.raises(ChangePending, match="BTCUSDT 20x → 10x, is not known yet"):
        account.undo()
    assert account.setting("XRPUSDT").leverage == 20


def test_an_undo_is_sent_only_from_the_leverage_that_it_showed(account: Account, simulator: Simulator) -> None:
    """If the leverage was changed since the preview of an undo, nothing is sent."""
    account.set_leverage("BTCUSDT", 10)
    preview = preview_undo(account)
    simulator.exchange.change_elsewhere("BTCUSDT", 33)
    preview = replace(preview, setting=replace(preview.setting, read_at=-math.inf))  # made more than a second ago
    with pytest.raises(ChangeNotSent, match="The account has changed since the preview"):
        preview.apply()
    assert account.setting("BTCUSDT").leverage == 33


def test_undo_is_limited_to_its_own_account(simulator: Simulator, tmp_path: Path) -> None:
    """In a journal of two accounts, undo takes back only changes of its own account."""
    path = tmp_path / "journal.sqlite"
    with Simulator() as other:
        here, there = connect_to(simulator, journal=path), connect_to(other, journal=path)
        here.set_leverage("BTCUSDT", 10)
        there.set_leverage("XRPUSDT", 10)
        assert undo(here).symbol == "BTCUSDT"
        assert len(there.history()) == 1
        with pytest.raises(NothingToUndo, match="no change left to undo"):
            here.undo()


def test_one_undo_takes_back_a_whole_plan(account: Account, simulator: Simulator) -> None:
    """One undo takes back all rows of a plan that were not changed since; then the change before it is next."""
    before = leverages(simulator, *WANTED)
    account.set_leverage("BNBUSDT", 5)
    account.plan({name: value for name, value in WANTED.items() if name != "ETHUSDT"}).apply()
    simulator.exchange.change_elsewhere("SOLUSDT", 44)
    undone = account.undo()
    assert isinstance(undone, Plan)
    assert statuses(undone) == {"BTCUSDT": "applied", "ADAUSDT": "applied", "SOLUSDT": "not_sent"}
    assert "SOLUSDT was changed since, and is at 44x" in str(undone)
    assert leverages(simulator, *WANTED) == {**before, "SOLUSDT": 44}
    simulator.exchange.change_elsewhere("SOLUSDT", 30)
    rest = account.undo()
    assert isinstance(rest, Plan)
    assert statuses(rest) == {"SOLUSDT": "applied"}
    last = account.undo()
    assert not isinstance(last, Plan)
    assert (last.symbol, last.after) == ("BNBUSDT", 20)


def test_each_application_of_a_plan_is_undone_separately(account: Account, simulator: Simulator) -> None:
    """Each application of a plan is undone to the leverage that it started from."""
    simulator.exchange.change_elsewhere("XRPUSDT", 75)
    first = account.plan({"XRPUSDT": 20})
    first.apply()
    account.set_leverage("XRPUSDT", 30)
    account.plan({"XRPUSDT": 20}).apply()
    account.undo()
    assert leverages(simulator, "XRPUSDT") == {"XRPUSDT": 30}
    account.undo()
    assert leverages(simulator, "XRPUSDT") == {"XRPUSDT": 20}
    account.undo()
    assert leverages(simulator, "XRPUSDT") == {"XRPUSDT": 75}


def test_a_plan_that_was_changed_elsewhere_is_not_skipped(account: Account, simulator: Simulator) -> None:
    """Only a change that can never be undone is skipped; a plan that was changed elsewhere is reported."""
    account.plan({"XRPUSDT": 10}).apply()
    account.plan({"SOLUSDT": 5}).apply()
    simulator.exchange.change_elsewhere("SOLUSDT", 7)
    assert "SOLUSDT was changed since, and is at 7x" in str(account.undo())
    assert account.setting("XRPUSDT").leverage == 10


def test_the_rest_of_a_partly_undone_plan_is_skipped(account: Account) -> None:
    """Rows of a plan that cannot be undone are skipped, and the change before the plan is undone."""
    account.set_leverage("SOLUSDT", 10)
    account.plan({"ADAUSDT": 10, "ETHUSDT": 20}).apply()
    assert {row.symbol: row.status for row in undo_plan(account).rows} == {"ADAUSDT": "applied", "ETHUSDT": "not_sent"}
    assert undo(account).symbol == "SOLUSDT"


def test_a_margin_type_with_a_position_or_orders_is_skipped(account: Account, simulator: Simulator) -> None:
    """A plan's margin type cannot be undone while a position is open: the other rows are, then the change before."""
    account.set_leverage("SOLUSDT", 10)
    account.plan({"ADAUSDT": (7, "isolated"), "XRPUSDT": 30}).apply()
    position = Position("ADAUSDT", "BOTH", Decimal(100), Decimal("0.41"), Decimal(20))
    simulator.exchange.account.positions.append(position)
    rows = [(row.symbol, row.kind, row.status) for row in undo_plan(account).rows]
    assert rows == [
        ("ADAUSDT", "margin type", "not_sent"), ("ADAUSDT", "leverage", "not_sent"), ("XRPUSDT", "leverage", "applied"),
    ]  # fmt: skip
    preview = preview_undo(account)
    assert preview.symbol == "SOLUSDT"
    assert "close it first" in preview.passed_over
    simulator.exchange.account.positions.remove(position)
    assert [row.status for row in undo_plan(account).rows] == ["applied", "applied"]
    assert "ADAUSDT" not in simulator.exchange.account.isolated


def test_the_undo_of_a_plan_says_undone(account: Account) -> None:
    """The card of a plan that undoes another says undone, in its headline and in each row."""
    account.plan({"BTCUSDT": 10, "XRPUSDT": 20}).apply()
    card = account.undo().card()
    assert card.title == "Plan of 2 rows: 2 undone"
    assert dict(card.rows) == {"BTCUSDT": "10x → 20x  undone", "XRPUSDT": "20x → 50x  undone"}


def test_a_change_that_stays_unknown_is_named(quick: Account, simulator: Simulator) -> None:
    """A later change whose outcome no read can settle is not undone, and the undo of the one before names it."""
    quick.change_isolated_margin("ETHUSDT", 77)
    simulator.inject("reset_before")
    with pytest.raises(OutcomeUnknown):
        quick.change_isolated_margin("ETHUSDT", 78)
    preview = quick.preview_undo()
    assert preview.step == "ETHUSDT isolated margin −77 USDT"
    assert "ETHUSDT isolated margin +78 USDT: its outcome is unknown" in preview.passed_over


def test_isolated_margin_is_undone_though_the_leverage_is_not(quick: Account) -> None:
    """That the leverage of an open isolated position cannot be lowered does not keep its margin in the position."""
    quick.change_isolated_margin("ETHUSDT", 10)
    quick.set_leverage("ETHUSDT", 20)
    preview = quick.preview_undo()
    assert preview.step == "ETHUSDT isolated margin −10 USDT"
    assert "ETHUSDT 10x → 20x: an isolated position is open" in preview.passed_over
    assert preview.apply().status == "applied"


def test_a_margin_type_that_stays_does_not_keep_a_leverage(account: Account, simulator: Simulator) -> None:
    """A change of margin type that a position blocks is skipped; the change of leverage before it is undone."""
    account.set_leverage("ADAUSDT", 7)
    account.set_margin_type("ADAUSDT", "isolated")
    position = Position("ADAUSDT", "BOTH", Decimal(100), Decimal("0.41"), Decimal(20))
    simulator.exchange.account.positions.append(position)
    undone = undo(account)
    assert (undone.symbol, undone.before, undone.after) == ("ADAUSDT", 7, 20)


def test_margin_of_another_position_is_not_taken_out(quick: Account, simulator: Simulator) -> None:
    """If the short was closed and a long opened since, adding margin to the short cannot be undone on the long."""
    quick.change_isolated_margin("ETHUSDT", 500)
    books = simulator.exchange.account
    short = next(p for p in books.positions if p.symbol == "ETHUSDT")
    books.positions[books.positions.index(short)] = replace(short, amount=-short.amount)
    with pytest.raises(ChangedElsewhere, match="the same position no longer exists") as caught:
        quick.undo()
    assert "--reduce-margin AMOUNT" in caught.value.hint


def test_a_large_undo_of_margin_names_its_amount(quick: Account, simulator: Simulator) -> None:
    """The guard on amounts holds for an undo too: in Python confirm= names the amount."""
    quick.change_isolated_margin("ETHUSDT", 10_000, confirm=10_000)
    with pytest.raises(ChangeNotSent, match="36% of the margin of this position") as caught:
        quick.undo()
    assert "--confirm 10000, or undo(..., confirm=10000)" in caught.value.hint
    assert quick.undo(confirm="10k").headline == "ETHUSDT isolated margin −10,000 USDT undone"


def test_force_is_offered_only_where_it_can_help(account: Account, simulator: Simulator) -> None:
    """What can never be restored is not offered with --force, and the default that is offered can be set."""
    with Simulator(profile="demo") as own, connect_to(own) as unset:
        unset.set_leverage("哈基米USDT", 2)  # at most 3x
        for force in (False, True):
            with pytest.raises(NothingToUndo, match="%leverage 哈基米USDT 3") as caught:
                unset.undo(force=force)
            assert "--force" not in caught.value.hint
