"""A symbol whose leverage was never set: the exchange sends 0, as the testnet does for untraded symbols."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

import leverage_nb as lev
from leverage_nb import Account, NothingToUndo
from leverage_nb.errors import ChangeNotApplied, ChangeNotSent
from leverage_nb.notebook.overview import Overview
from tests.foreign.exchange import CHANGE, ForeignExchange
from tests.foreign.wire import SILENCE
from tests.patience import giving_up_soon


@pytest.fixture
def account(exchange: ForeignExchange, connect: Callable[..., Account]) -> Account:
    """An account that has never used SOLUSDT."""
    exchange.leverages["SOLUSDT"] = 0
    return connect(recv_window=1500, grace=0.1)


@pytest.mark.parametrize("target", [7, 20])
def test_a_change_has_no_leverage_before(exchange: ForeignExchange, account: Account, target: int) -> None:
    """The change is sent, also to Binance's default, and its record has no leverage before."""
    change = account.set_leverage("SOLUSDT", target)
    assert (change.status, change.before, change.after) == ("applied", None, target)
    assert pd.isna(account.history()["before"].iloc[0])
    assert exchange.changes_sent() == [("SOLUSDT", target)]


def test_the_setting_and_the_tables_say_not_set(account: Account) -> None:
    """Setting, table and overview show that the leverage is not set, without a false max notional."""
    setting = account.setting("SOLUSDT")
    assert (setting.leverage, setting.max_notional) == (None, None)
    assert "The leverage of SOLUSDT is not set" in str(setting)
    row = account.settings(["SOLUSDT", "BTCUSDT"]).loc["SOLUSDT"]
    assert pd.isna(row["leverage"])
    assert pd.isna(row["max_notional"])
    assert "SOLUSDT" not in str(Overview.of(account))


def test_a_preview_from_not_set_is_applied(exchange: ForeignExchange, account: Account) -> None:
    """The preview names no leverage before, is never unchanged, and warns that it cannot be undone."""
    preview = account.preview("SOLUSDT", 5)
    assert (preview.before, preview.verdict) == (None, "ok")
    assert "SOLUSDT not set → 5x" in str(preview)
    assert "0x" not in str(preview).replace("10x", "")
    assert "cannot be restored" in preview.caution
    assert pd.isna(preview.max_notional[0])
    assert preview.apply().status == "applied"
    assert exchange.leverages["SOLUSDT"] == 5


def test_a_preview_from_not_set_is_not_sent_from_a_leverage(exchange: ForeignExchange, account: Account) -> None:
    """If another client sets the leverage after the preview, nothing is sent."""
    preview = account.preview("SOLUSDT", 5).confirmed()
    exchange.change("SOLUSDT", 20)
    with pytest.raises(ChangeNotSent, match="20x"):
        preview.apply()
    assert exchange.changes_sent() == []


def test_a_lost_change_that_left_the_default_is_not_applied(exchange: ForeignExchange, account: Account) -> None:
    """A lost attempt after which the exchange shows its default of 20x was not applied, and not superseded."""
    exchange.play(CHANGE, execute=False, answer=SILENCE)
    with giving_up_soon(account), pytest.raises(ChangeNotApplied):
        account.set_leverage("SOLUSDT", 5, progress=lambda _: exchange.change("SOLUSDT", 20))


def test_undo_offers_the_default(account: Account) -> None:
    """An undo says that a leverage that was not set cannot be restored, and how to set Binance's default."""
    account.set_leverage("SOLUSDT", 5)
    with pytest.raises(NothingToUndo, match=r"cannot be restored.*%leverage SOLUSDT 20"):
        account.undo()


def test_undo_skips_it_and_undoes_the_change_before(exchange: ForeignExchange, account: Account) -> None:
    """A change that cannot be undone does not prevent the undo of an earlier one."""
    account.set_leverage("BTCUSDT", 20)
    account.set_leverage("SOLUSDT", 5)
    preview = account.preview_undo()
    assert "SOLUSDT not set → 5x" in preview.passed_over
    preview.apply()
    assert (exchange.leverages["BTCUSDT"], exchange.leverages["SOLUSDT"]) == (10, 5)


def test_a_plan_sets_and_undoes_what_it_can(exchange: ForeignExchange, account: Account) -> None:
    """A plan sets symbols without a leverage, and its undo restores the others only."""
    plan = account.plan({"SOLUSDT": 5, "BTCUSDT": 20})
    assert pd.isna(plan.to_frame().loc["SOLUSDT", "before"])
    assert {row.status for row in plan.apply().rows} == {"applied"}
    undone = account.undo()
    assert [row.symbol for row in undone.rows] == ["BTCUSDT"]
    assert "SOLUSDT" in undone.passed_over
    assert (exchange.leverages["BTCUSDT"], exchange.leverages["SOLUSDT"]) == (10, 5)


def test_the_panel_opens_and_applies(exchange: ForeignExchange, account: Account) -> None:
    """The panel shows "not set", starts at Binance's default, and names no leverage to change from."""
    panel = lev.LeveragePanel(account, "SOLUSDT")
    table = panel.table
    assert (table["current"], table["before"], panel.leverage) == (0, "not set", 20)
    panel.close()


def test_a_default_below_20x_is_the_state_before(exchange: ForeignExchange, account: Account) -> None:
    """A symbol with a lower maximum shows that maximum while none is set: nobody else has changed it."""
    exchange.tiers["SOLUSDT"] = ((10, 100_000, 0.01),)
    account.symbols()
    exchange.play(CHANGE, execute=False, answer=SILENCE, then=lambda: exchange.leverages.__setitem__("SOLUSDT", 10))
    with giving_up_soon(account), pytest.raises(ChangeNotApplied):
        account.set_leverage("SOLUSDT", 5)


def test_a_bound_above_the_default_raises_nothing(exchange: ForeignExchange, account: Account) -> None:
    """%leverage --cap 50 sets a leverage that is not set to the default, not to 50x."""
    account.plan({"SOLUSDT": "<=50"}).apply()
    assert exchange.changes_sent() == [("SOLUSDT", 20)]
