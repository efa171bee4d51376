"""Numbers only: tiers and what is held. No network, no files, no clock; pandas only to hand out frames."""

from leverage_nb.risk.brackets import Brackets, BracketTable
from leverage_nb.risk.state import AccountState, Balance, LeverageSetting, Position

__all__ = ["AccountState", "Balance", "BracketTable", "Brackets", "LeverageSetting", "Position"]
