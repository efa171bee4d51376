"""Settings and positions as DataFrames."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from leverage_nb.risk.account_state import AccountState
from leverage_nb.risk.brackets import BracketTable

if TYPE_CHECKING:
    import pandas as pd

SETTINGS = ["symbol", "leverage", "symbol_max", "max_notional", "held", "room", "margin_type", "margin_asset"]
POSITIONS = [
    "symbol", "side", "amount", "entry_price", "mark_price", "notional", "unrealized_profit", "leverage",
    "effective_leverage", "liquidation_price", "margin_type", "margin_asset",
]  # fmt: skip
_TEXTS = {"symbol", "side", "margin_type", "margin_asset"}


def settings_table(state: AccountState, table: BracketTable, symbols: Iterable[str]) -> pd.DataFrame:
    """Return the settings of symbols that have both a setting and tiers: see ``Account.settings``."""
    rows = []
    for symbol in symbols:
        setting, tiers, exposure = state.settings[symbol], table[symbol], state.exposure(symbol)
        highest = tiers.symbol_max_leverage
        cap = setting.max_notional
        if cap is None:
            cap = math.nan if setting.leverage is None else tiers.max_notional(min(setting.leverage, highest))
        row = (symbol, setting.leverage, highest, cap, exposure, cap - exposure)
        rows.append((*row, setting.margin_type, setting.margin_asset))
    frame = _make_frame(rows, SETTINGS, state, whole={"leverage": "Int64", "symbol_max": "int64"})
    left_out = (name for name in table.symbols if name not in state.settings)
    skipped = dict.fromkeys(left_out, "its setting could not be read: the answer leaves it out")
    frame.attrs["skipped"] = skipped | skipped_tiers(table) | frame.attrs["skipped"]
    frame.attrs["not_trading"] = {name: state.not_trading[name] for name in frame.index if name in state.not_trading}
    return frame


def skipped_tiers(table: BracketTable) -> dict[str, str]:
    """Return the symbols whose tiers could not be read, with the reason."""
    return {symbol: f"its tiers could not be read: {reason}" for symbol, reason in table.skipped.items()}


def positions_table(state: AccountState) -> pd.DataFrame:
    """Return the open positions: see ``Account.positions``."""
    rows = []
    for position in state.positions:
        if position.amount:
            setting = state.settings[position.symbol]
            added = {
                "leverage": setting.leverage,
                "effective_leverage": state.effective_leverage(position),
                "margin_type": setting.margin_type,
            }
            rows.append([added[name] if name in added else getattr(position, name) for name in POSITIONS])
    return _make_frame(rows, POSITIONS, state, whole={"leverage": "Int64"}, empty="No open positions.")


def _make_frame(
    rows: Sequence[Iterable[object]],
    columns: list[str],
    state: AccountState,
    whole: Mapping[str, str],
    empty: str = "No symbols.",
) -> pd.DataFrame:
    from leverage_nb.frames import LeverageFrame

    # Named dtypes, because a frame without rows has none; Int64, because a leverage may not be set.
    dtypes = {name: "float64" for name in columns if name not in _TEXTS} | dict(whole)
    frame = LeverageFrame(rows, columns=columns).astype(dtypes).set_index("symbol")
    frame.attrs["skipped"] = dict(state.skipped)
    if not rows:
        frame.attrs["empty"] = empty
    return frame
