"""Calculations on tiers and account states: no network, files or clock. pandas loads only to build DataFrames."""

from leverage_nb.risk.account_state import AccountState, Balance, LeverageSetting, Position
from leverage_nb.risk.brackets import Brackets, BracketTable

__all__ = ["AccountState", "Balance", "BracketTable", "Brackets", "LeverageSetting", "Position"]
