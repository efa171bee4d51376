"""Numbers only: tiers and what is held. No network, no files, no clock; pandas only to hand out frames."""

from leverage_nb.risk.account_state import AccountState, Balance, LeverageSetting, Position
from leverage_nb.risk.brackets import Brackets, BracketTable

__all__ = ["AccountState", "Balance", "BracketTable", "Brackets", "LeverageSetting", "Position"]
