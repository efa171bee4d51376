"""What an account holds, as DataFrames."""

from __future__ import annotations

from collections.abc import Iterable
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
FIGURES = (
    "amount", "entry_price", "mark_price", "notional", "unrealized_profit", "effective_leverage", "liquidation_price",
)  # fmt: skip


def settings_table(state: AccountState, table: BracketTable, symbols: Iterable[str]) -> pd.DataFrame:
    """The settings of symbols that are in both: see ``Account.settings``."""
    from leverage_nb.frames import LeverageFrame

    rows = []
    for name in symbols:
        setting, tiers, held = state.settings[name], table[name], state.exposure(name)
        allowed = setting.max_notional
        if allowed is None:
            allowed = tiers.max_notional(min(setting.leverage, tiers.symbol_max_leverage))
        most = tiers.symbol_max_leverage
        own = (name, setting.leverage, most, allowed, held, allowed - held, setting.margin_type, setting.margin_asset)
        rows.append(dict(zip(SETTINGS, own, strict=True)))
    return _typed(LeverageFrame(rows, columns=SETTINGS), ("leverage", "symbol_max"), ("max_notional", "held", "room"))


def positions_table(state: AccountState) -> pd.DataFrame:
    """Open positions: see ``Account.positions``."""
    from leverage_nb.frames import LeverageFrame

    rows = []
    for held in state.positions:
        if held.amount == 0:
            continue
        setting = state.settings[held.symbol]
        rows.append(
            {
                **{name: getattr(held, name) for name in POSITIONS if hasattr(held, name)},
                "leverage": setting.leverage,
                "effective_leverage": state.effective_leverage(held),
                "margin_type": setting.margin_type,
            }
        )
    return _typed(LeverageFrame(rows, columns=POSITIONS), ("leverage",), FIGURES)


def _typed(frame: pd.DataFrame, whole: Iterable[str], figures: Iterable[str]) -> pd.DataFrame:
    """The dtypes that are promised, also where there is no row to tell them."""
    return frame.astype(dict.fromkeys(whole, "int64") | dict.fromkeys(figures, "float64")).set_index("symbol")
