"""Settings and positions become DataFrames with documented columns and dtypes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from leverage_nb.account import Account
from leverage_nb.risk.brackets import BracketTable
from leverage_nb.risk.tables import positions_table, settings_table

SETTINGS = {
    "leverage": "Int64", "symbol_max": "int64", "max_notional": "float64", "held": "float64", "room": "float64",
}  # fmt: skip
POSITIONS = dict.fromkeys(
    ["amount", "entry_price", "mark_price", "notional", "unrealized_profit", "effective_leverage", "liquidation_price"],
    "float64",
) | {"leverage": "Int64"}


def test_dtypes_do_not_depend_on_the_rows(account: Account) -> None:
    """Numeric columns have the same dtypes with and without rows, and the symbol is the index."""
    state, table = account.state(), BracketTable({"BTCUSDT": account.tiers("BTCUSDT")})
    for frame in (settings_table(state, table, ["BTCUSDT"]), settings_table(state, table, [])):
        assert frame.index.name == "symbol"
        assert {name: str(frame[name].dtype) for name in SETTINGS} == SETTINGS
    for frame in (positions_table(state), positions_table(replace(state, positions=()))):
        assert frame.index.name == "symbol"
        assert {name: str(frame[name].dtype) for name in POSITIONS} == POSITIONS


def test_the_cap_follows_from_the_tiers_if_the_setting_has_none(account: Account) -> None:
    """Without a max notional of the exchange, the cap of the tiers is used, also above the symbol's maximum."""
    state, tiers = account.state(), account.tiers("BTCUSDT")
    for leverage, cap in ((20, 100e6), (200, 300e3)):
        setting = replace(state.settings["BTCUSDT"], leverage=leverage, max_notional=None)
        changed = replace(state, settings={**state.settings, "BTCUSDT": setting})
        row = settings_table(changed, BracketTable({"BTCUSDT": tiers}), ["BTCUSDT"]).loc["BTCUSDT"]
        assert row["max_notional"] == cap
        assert row["room"] == pytest.approx(cap - row["held"])


def test_sides_with_orders_only_are_not_positions(account: Account) -> None:
    """A symbol with open orders and no position is not in the table of positions."""
    state = account.state()
    assert "SOLUSDT" in {position.symbol for position in state.positions}
    assert positions_table(state).index.tolist() == ["BTCUSDT", "ETHUSDT"]
