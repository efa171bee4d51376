"""The overview shows the account at a glance."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from leverage_nb.account import Account
from leverage_nb.notebook.overview import Overview, SymbolOverview
from leverage_nb.simulator import Simulator
from tests.conftest import connect_to


def test_margin_positions_and_orders_are_shown(account: Account) -> None:
    """Venue, margin, positions with initial and effective leverage, open orders and examples are in both forms."""
    overview = Overview.of(account)
    for shown in (str(overview), overview._repr_html_()):
        for part in (
            "SIMULATOR", "one-way mode, single-asset", "72,109.38", "2 positions", "432,062.50 USDT", "+12,062.50",
            "20x", "6.5x", "67,819.10", "21.5%", "isolated", "86,412.50", "Open orders", "13,000.00 USDT",
            "%leverage BTCUSDT 10",
        ):  # fmt: skip
            assert part in shown


def test_positions_are_a_table(account: Account) -> None:
    """Each position is a row: its figures are below their names, aligned, the largest position first."""
    lines = str(Overview.of(account)).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("  2 positions"))
    header, first, second, after = lines[start + 1 : start + 5]
    assert header.split() == [
        "symbol", "side", "size", "notional", "PnL", "leverage", "effective", "liquidation", "distance", "margin",
        "entry", "mark",
    ]  # fmt: skip
    # The distance by hand: 67,819.10 / 86,412.50 - 1 is -21.5 %, 3,232.07 / 2,812.40 - 1 is +14.9 %.
    assert first.split() == [
        "BTCUSDT", "long", "5", "432,062.50", "USDT", "+12,062.50", "20x", "4.6x", "67,819.10", "21.5%", "cross",
        "84,000", "86,412.50",
    ]  # fmt: skip
    assert second.split()[:5] == ["ETHUSDT", "short", "60", "168,744.00", "USDT"]
    assert second.index("6.5x") + 4 == header.index("effective") + len("effective")
    assert after == ""


def test_thirty_positions_and_hedge_mode_can_be_read(account: Account) -> None:
    """Thirty positions are thirty rows of one width; both sides of a symbol are next to each other."""
    state = account.state()
    one = next(position for position in state.positions if position.symbol == "BTCUSDT")
    symbols = [name for name in state.settings if name.endswith("USDT")][:29]
    many = [replace(one, symbol=name, notional=1000.0 + 10**n) for n, name in enumerate(symbols[:15])]
    many += [replace(one, symbol=name, notional=77.0) for name in symbols[15:]]
    both = [replace(one, symbol=symbols[0], position_side="SHORT", amount=-2.0, notional=-20.0), *many]
    overview = replace(Overview.of(account), state=replace(state, positions=tuple(both), hedge_mode=True))
    lines = str(overview).splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("  30 positions"))
    rows = lines[start + 2 : start + 32]
    assert {len(row) for row in rows} == {len(lines[start + 1])}
    assert all(any(row.split()[0] == name for row in rows) for name in symbols)
    assert [row.split()[:2] for row in rows if row.split()[0] == symbols[0]] == [
        [symbols[0], "short"], [symbols[0], "long"],
    ]  # fmt: skip
    places = [number for number, row in enumerate(rows) if row.split()[0] == symbols[0]]
    assert places[1] - places[0] == 1
    assert overview._repr_html_().count("67,819.10") == 30


def test_what_there_is_not_is_a_dash_or_a_sentence(account: Account) -> None:
    """A position without liquidation price shows dashes; without changes the note says so."""
    overview = Overview.of(account)
    assert "No changes yet." in str(overview)
    state = overview.state
    flat = tuple(replace(position, liquidation_price=None) for position in state.positions)
    row = next(
        line for line in str(replace(overview, state=replace(state, positions=flat))).splitlines() if "long" in line
    )
    assert row.split()[8:10] == ["–", "–"]


def test_the_last_changes_are_shown(account: Account) -> None:
    """A change that was made is in the overview, with its time."""
    change = account.set_leverage("BTCUSDT", 10)
    assert change.sent_at is not None
    assert "BTCUSDT 20x → 10x applied" in str(Overview.of(account))
    assert f"{change.sent_at:%Y-%m-%d %H:%M:%S}" in str(Overview.of(account))


def test_an_unusable_journal_is_named(simulator: Simulator, tmp_path: Path) -> None:
    """The overview is shown without a usable journal, and names what is wrong with it."""
    (tmp_path / "journal.sqlite").write_text("no journal" * 99)
    with connect_to(simulator, journal=tmp_path / "journal.sqlite") as account:
        shown = str(Overview.of(account))
    assert "\n  journal" in shown
    assert "72,109.38" in shown


def test_an_account_without_positions_says_so(account: Account) -> None:
    """Without an open position the note says so."""
    overview = Overview.of(account)
    assert "No open positions." not in str(overview)
    assert "No open positions." in str(replace(overview, state=replace(overview.state, positions=())))


def test_the_cross_margin_ratio_is_shown(account: Account) -> None:
    """The ratio is the maintenance margin of the cross positions divided by the cross margin."""
    state = account.state()
    margin = state.balances["USDT"].cross_wallet + state.balances["USDT"].cross_profit
    # By hand: BTCUSDT's 432,062.50 at 0.5% less 300 is 1,860.3125.
    assert state.cross_margin_ratio("USDT") == pytest.approx(1860.3125 / margin)
    shown = str(Overview.of(account))
    assert "cross margin ratio" in shown
    assert f"{round(1860.3125 / margin * 100, 2):.2f}%" in shown


def test_a_position_whose_symbol_is_not_trading_says_so(account: Account, simulator: Simulator) -> None:
    """A symbol with open orders that stops trading is named with its status; unused ones are not."""
    symbols = simulator.exchange.market.symbols
    assert "not trading" not in str(Overview.of(account))
    listing = symbols["SOLUSDT"].listing | {"status": "PRE_SETTLE"}
    symbols["SOLUSDT"] = replace(symbols["SOLUSDT"], listing=listing)
    with connect_to(simulator) as later:
        shown = str(Overview.of(later))
    assert "not trading (PRE_SETTLE)" in shown
    assert "SETTLING" not in shown


def test_a_leverage_that_no_longer_fits_its_tiers_is_shown(account: Account, simulator: Simulator) -> None:
    """After Binance has lowered the tiers, leverages above the maximum and exposures above the cap are named."""
    simulator.exchange.account.set_leverage("BTCUSDT", 18)
    symbols = simulator.exchange.market.symbols
    lower = [replace(t, initial_leverage=min(t.initial_leverage, 40 - t.number)) for t in symbols["XRPUSDT"].tiers]
    symbols["XRPUSDT"] = replace(symbols["XRPUSDT"], tiers=tuple(lower))
    lower = [replace(t, initial_leverage=19 - t.number) for t in symbols["BTCUSDT"].tiers]
    symbols["BTCUSDT"] = replace(symbols["BTCUSDT"], tiers=tuple(lower))
    account.brackets()
    shown = str(Overview.of(account))
    assert "50x is above its maximum of 39x" in shown
    assert "exposure of 432,062.50 USDT exceeds the 300k allowed at 18x" in shown


def test_multi_assets_mode_shows_the_ratio_of_the_account(simulator: Simulator, account: Account) -> None:
    """In multi-assets mode one margin ratio, of the whole account, is shown instead of one for each asset."""
    simulator.exchange.account.multi_assets = True
    shown = str(Overview.of(account))
    assert "multi-assets" in shown
    assert "of the account, in USD" in shown
    assert all(row[-1] == "–" for row in Overview.of(account).card().tables[0].rows)


def test_credits_trading_mode_is_named(simulator: Simulator, account: Account) -> None:
    """With credits the overview and a preview say that margin is not predicted."""
    simulator.exchange.account.wallets = {"USDT": Decimal(0), "BNFCR": Decimal(5000)}
    assert "Credits Trading Mode (BNFCR): margin is not predicted" in str(Overview.of(account))
    preview = account.preview("BTCUSDT", 10)
    assert preview.verdict == "unpredictable"
    assert "Available margin is not known: the account is in Credits Trading Mode" in str(preview)


def test_one_symbol_is_shown_without_a_panel(account: Account) -> None:
    """Where no panel can be shown, the overview of a symbol has its setting, its own position and its tiers."""
    overview = SymbolOverview.of(account, "btc/usdt")
    for shown in (str(overview), overview._repr_html_()):
        for part in ("BTCUSDT is at 20x", "100,000,000 USDT", "1 position", "67,819.10", "Tiers, in USDT", "0.65%"):
            assert part in shown
        assert "ETHUSDT" not in shown
    # Published on 2026-09-29: 150x up to 300,000 at 0.4 %.
    assert overview.card().tables[-1].rows[0] == ("150x", "0", "300,000", "0.4%")
    # The effective leverage is that of the whole cross account, as in the overview of the account.
    whole = Overview.of(account).card().tables[1].rows[0]
    assert overview.card().tables[0].rows == (whole,)
    assert SymbolOverview.of(account, "SOLUSDT").card().tables[0].caption == "Open orders"
