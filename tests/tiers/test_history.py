"""Changes of tiers between two loads are reported once, with their effect on the exposure."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

from leverage_nb.account import Account, service_of
from leverage_nb.journal.journal import Journal
from leverage_nb.notebook.panel import LeveragePanel
from leverage_nb.risk.brackets import BracketTable
from leverage_nb.simulator import Simulator
from leverage_nb.tiers.history import TierHistory
from tests.conftest import connect_to
from tests.risk.tiers import BTCUSDT, brackets


def lower_cap(simulator: Simulator, symbol: str = "BTCUSDT", cap: int = 60_000_000) -> None:
    """Lower the cap of 25x on the simulator, as Binance does."""
    symbols = simulator.exchange.market.symbols
    tiers = list(symbols[symbol].tiers)
    fifth = next(place for place, tier in enumerate(tiers) if tier.initial_leverage == 25)
    tiers[fifth] = replace(tiers[fifth], notional_cap=Decimal(cap))
    tiers[fifth + 1] = replace(tiers[fifth + 1], notional_floor=Decimal(cap))
    for place in range(1, len(tiers)):
        rate, floor = tiers[place].maint_margin_ratio, tiers[place].notional_floor
        cum = tiers[place - 1].cum + floor * (rate - tiers[place - 1].maint_margin_ratio)
        tiers[place] = replace(tiers[place], cum=cum)
    symbols[symbol] = replace(symbols[symbol], tiers=tuple(tiers))


def raise_rate(simulator: Simulator) -> None:
    """Raise the maintenance rates of BTCUSDT's first two tiers from 0.4% and 0.5% to 0.45% and 0.55%."""
    symbols = simulator.exchange.market.symbols
    tiers = list(symbols["BTCUSDT"].tiers)
    for place, rate in enumerate(("0.0045", "0.0055")):
        tiers[place] = replace(tiers[place], maint_margin_ratio=Decimal(rate))
    for place in range(1, len(tiers)):
        rate_step = tiers[place].maint_margin_ratio - tiers[place - 1].maint_margin_ratio
        tiers[place] = replace(tiers[place], cum=tiers[place - 1].cum + tiers[place].notional_floor * rate_step)
    symbols["BTCUSDT"] = replace(symbols["BTCUSDT"], tiers=tuple(tiers))


def test_a_change_is_reported_once(account: Account, simulator: Simulator) -> None:
    """The next load reports the change and whether the exposure fits; the load after that reports nothing."""
    account.brackets()
    assert service_of(account).tier_news() == []
    lower_cap(simulator)
    frame = account.brackets()
    assert frame.attrs["changes"] == ["BTCUSDT: 25x now up to 60M, was 70M"]
    assert service_of(account).tier_news() == ["BTCUSDT: 25x now up to 60M, was 70M; your exposure still fits"]
    account.brackets()
    assert service_of(account).tier_news() == []


def test_the_effect_on_maintenance_margin_is_reported(account: Account, simulator: Simulator) -> None:
    """5 BTC at 86,412.50 are 432,062.50: by hand 0.5% - 300 = 1,860.31 before, 0.55% - 300 = 2,076.34 after."""
    account.brackets()
    raise_rate(simulator)
    account.brackets()
    [news] = service_of(account).tier_news()
    assert news == (
        "BTCUSDT: maintenance rates changed; your exposure still fits; "
        "maintenance margin of your position 1,860.31 → 2,076.34 USDT"
    )


def test_new_and_removed_symbols_and_lower_maxima_are_reported(account: Account, simulator: Simulator) -> None:
    """A new symbol, a removed symbol, and an exposure that no longer fits are each named."""
    symbols = simulator.exchange.market.symbols
    account.brackets()
    lower_cap(simulator, "ETHUSDT", cap=13_000_000)
    symbols["NEWUSDT"] = replace(symbols["XRPUSDT"], name="NEWUSDT")
    del symbols["DOGEUSDT"]
    lower = [replace(t, initial_leverage=min(t.initial_leverage, 19 - t.number)) for t in symbols["BTCUSDT"].tiers]
    symbols["BTCUSDT"] = replace(symbols["BTCUSDT"], tiers=tuple(lower))
    account.brackets()
    news = "\n".join(service_of(account).tier_news())
    assert "DOGEUSDT: no longer listed" in news
    assert "NEWUSDT: newly listed" in news
    assert "ETHUSDT: 25x now up to 13M, was 50M; your exposure still fits" in news
    assert "max leverage now 18x, was 150x" in news
    assert "your exposure no longer fits at 20x" in news


def test_the_table_lists_every_change(simulator: Simulator, tmp_path: Path) -> None:
    """tier_changes() has every change since the first load, across sessions; each snapshot is stored once."""
    path = tmp_path / "journal.sqlite"
    with connect_to(simulator, journal=path) as account:
        assert account.tier_changes().empty
        before = simulator.exchange.market.symbols["BTCUSDT"]
        lower_cap(simulator)
        account.brackets()
        simulator.exchange.market.symbols["BTCUSDT"] = before
        account.brackets()
    with connect_to(simulator, journal=path) as later:
        changes = later.tier_changes()
        assert service_of(later).tier_news() == []
    assert changes.index.tolist() == ["BTCUSDT", "BTCUSDT"]
    assert changes["leverage"].tolist() == [25, 25]
    assert changes["max_notional_before"].tolist() == [70e6, 60e6]
    assert changes["max_notional"].tolist() == [60e6, 70e6]
    assert (changes["seen_at"] >= changes["since"]).all()
    raw = sqlite3.connect(path)
    counts = [
        raw.execute(query).fetchone()[0] for query in ("SELECT count(*) FROM tiers", "SELECT count(*) FROM tiers_seen")
    ]
    raw.close()
    assert counts == [2, 3]


def test_magic_and_panel_report_a_change_once(
    account: Account, simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first %leverage or panel after a change reports it; %leverage --changes returns the table."""
    account.brackets()
    lower_cap(simulator)
    account.brackets()
    panel = LeveragePanel(account, "BTCUSDT")
    assert "Tiers have changed. BTCUSDT: 25x now up to 60M, was 70M; your exposure still fits" in panel.message
    lower_cap(simulator, cap=50_000_000)
    account.brackets()
    shell = InteractiveShell.instance()
    shell.extension_manager.load_extension("leverage_nb")
    shell.run_cell("%leverage BTCUSDT ETHUSDT").raise_error()
    assert "Tiers have changed: BTCUSDT: 25x now up to 50M, was 60M" in capsys.readouterr().out
    shell.run_cell("%leverage BTCUSDT ETHUSDT").raise_error()
    assert "Tiers have changed" not in capsys.readouterr().out
    result = shell.run_cell("%leverage btcusdt --changes").result
    assert result["max_notional"].tolist() == [60e6, 50e6]
    shell.extension_manager.unload_extension("leverage_nb")
    InteractiveShell.clear_instance()


def test_tiers_load_without_a_usable_journal(simulator: Simulator, tmp_path: Path) -> None:
    """Without a journal tiers are loaded as usual, and no changes are reported."""
    (tmp_path / "journal.sqlite").write_text("no journal" * 99)
    account = connect_to(simulator, journal=tmp_path / "journal.sqlite")
    assert len(account.brackets("BTCUSDT")) == 12
    assert service_of(account).tier_news() == []


def test_a_skipped_symbol_counts_as_unchanged(tmp_path: Path) -> None:
    """A symbol whose rows cannot be used in one load is neither reported as removed nor as new in the next."""
    history = TierHistory(Journal(tmp_path / "journal.sqlite"), "key 1a2b3c4d")
    tiers = {"BTCUSDT": brackets(BTCUSDT), "ETHUSDT": brackets(BTCUSDT, "ETHUSDT")}
    history.note(BracketTable(tiers))
    history.note(BracketTable({"BTCUSDT": tiers["BTCUSDT"]}, {"ETHUSDT": "a figure is not finite"}))
    history.note(BracketTable(tiers))
    assert history.news == history.changes() == []
    history.note(BracketTable({"BTCUSDT": tiers["BTCUSDT"]}))
    assert [change.text() for change in history.take_news(None)] == ["ETHUSDT: no longer listed"]


def test_a_row_without_a_symbol_removes_no_other(tmp_path: Path) -> None:
    """Beside a row without a readable symbol, a symbol that is missing is not reported as removed."""
    history = TierHistory(Journal(tmp_path / "journal.sqlite"), "key 1a2b3c4d")
    tiers = {"BTCUSDT": brackets(BTCUSDT), "ETHUSDT": brackets(BTCUSDT, "ETHUSDT")}
    without = {"BTCUSDT": tiers["BTCUSDT"]}
    for table in (BracketTable(tiers), BracketTable(without, {"row 2": "no symbol"}), BracketTable(tiers)):
        history.note(table)
    assert history.news == history.changes() == []
