"""Magic and panel where the leverage of most symbols is not set, as on the testnet."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell

from leverage_nb.account import Account
from leverage_nb.errors import InvalidInput, NothingToUndo
from leverage_nb.notebook.overview import Overview
from leverage_nb.notebook.panel import LeveragePanel
from leverage_nb.simulator import Simulator
from tests.notebook.commands import run, run_cell
from tests.notebook.front_end import click, wait_until_connected
from tests.waiting import until

# A leverage of 0 as text; "20x" and "0x7f" are none.
ZERO = re.compile(r"(?<![\w.,])0x(?![0-9a-f])")


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A simulator on which BNBUSDT and ADAUSDT, and most others, were never used."""
    with Simulator(profile="demo") as running:
        yield running


@pytest.fixture
def panel(account: Account) -> Iterator[LeveragePanel]:
    """A panel of a symbol without a leverage."""
    panel = LeveragePanel(account, "BNBUSDT")
    yield panel
    panel.close()


def shown(panel: LeveragePanel) -> str:
    """Return every text of a panel and of its saved twin."""
    bundle = panel._repr_mimebundle_()
    return f"{panel.table} {panel.message} {panel.undo} {bundle}"


def test_a_panel_changes_it_and_offers_no_undo(panel: LeveragePanel, account: Account) -> None:
    """The panel says that the leverage is not set, applies a change, and offers no undo, which cannot be made."""
    assert panel.table["before"] == "not set"
    assert "cannot be restored" in str(panel.table)
    click(panel, "apply", 7)
    assert (panel.state, panel.undo) == ("done", "")
    assert "BNBUSDT 7x applied" in panel.message
    assert "cannot be restored" in panel.message
    assert panel.table["current"] == 7
    click(panel, "apply", 9)
    assert "7x" in panel.undo  # this one can be undone
    click(panel, "undo", 9, label=panel.undo)
    assert account.setting("BNBUSDT").leverage == 7
    assert not ZERO.search(shown(panel))


def test_a_panel_sets_the_default(panel: LeveragePanel, simulator: Simulator) -> None:
    """Binance's default is a change like any other: it is sent, and not called unchanged."""
    assert "unchanged" not in {row["verdict"] for row in panel.table["rows"]}
    click(panel, "apply", 20)
    assert panel.state == "done"
    assert [(one.symbol, one.before, one.after) for one in simulator.exchange.executed] == [("BNBUSDT", 0, 20)]


def test_a_panel_follows_the_first_change_elsewhere(panel: LeveragePanel, simulator: Simulator) -> None:
    """A first change by another program is shown; a click on the table before it sends nothing."""
    wait_until_connected(panel)
    old = dict(panel.table)
    simulator.exchange.change_elsewhere("BNBUSDT", 33)
    until(lambda: panel.table["current"] == 33)
    click(panel, "apply", 5, version=old["version"])
    assert panel.state == "failed"
    assert "Nothing was sent" in panel.message
    panel.select("ADAUSDT")
    assert panel.table["before"] == "not set"


def test_the_magic_line_by_line(shell: InteractiveShell, simulator: Simulator, account: Account) -> None:
    """Overview, table, plot, preview, change, plan, history and undo say "not set" and never "0x"."""
    results: list[Any] = [
        run(shell, ""), run(shell, "BNBUSDT ADAUSDT"), run(shell, "BNBUSDT --plot"), run(shell, "BNBUSDT 5 -n"),
        run(shell, "BNBUSDT 5"),
    ]  # fmt: skip
    overview, table, _, preview, change = results
    assert isinstance(overview, Overview)
    assert table["leverage"].isna().all()
    assert table["max_notional"].isna().all()
    assert (preview.before, change.before, change.after, change.status) == (None, None, 5, "applied")
    plan = run_cell(shell, "", "ADAUSDT 20\nXRPUSDT 5")
    assert [(row.symbol, row.before, row.status) for row in plan.rows] == [
        ("ADAUSDT", None, "applied"), ("XRPUSDT", 50, "applied"),
    ]  # fmt: skip
    history = run(shell, "--history")
    assert {name: pd.isna(before) for name, before in zip(history["symbol"], history["before"], strict=True)} == {
        "BNBUSDT": True, "ADAUSDT": True, "XRPUSDT": False,
    }  # fmt: skip
    undone = run(shell, "--undo")  # of the plan, as far as that can be
    assert [(row.symbol, row.after) for row in undone.rows] == [("XRPUSDT", 50)]
    with pytest.raises(NothingToUndo, match=r"cannot be restored.*%leverage \w+ 20") as caught:
        run(shell, "--undo")
    for one in (overview, table, preview, change, plan, history, undone, caught.value, account.settings()):
        text = f"{one} {one._repr_html_() if hasattr(one, '_repr_html_') else ''}"
        assert not ZERO.search(text), text


def test_a_rule_leaves_alone_what_is_not_set(account: Account) -> None:
    """A plan by a rule has no row for a symbol without a leverage, unless the rule gives it one."""
    rows = account.plan(lambda settings: settings["leverage"].clip(upper=15)).rows
    assert {"BNBUSDT", "ADAUSDT"}.isdisjoint(row.symbol for row in rows)
    assert ("BTCUSDT", 20, 15) in [(row.symbol, row.before, row.after) for row in rows]
    [row] = account.plan(lambda settings: settings.loc[["BNBUSDT"], "leverage"].fillna(5)).rows
    assert (row.symbol, row.before, row.after) == ("BNBUSDT", None, 5)
    with pytest.raises(InvalidInput, match="<NA> is not a leverage for BNBUSDT"):
        account.plan({"BNBUSDT": pd.NA})  # without a rule, it is a mistake
