"""The ladder: a *new isolated position* of a given notional at mark, at every leverage from 1x up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from leverage_nb.errors import InvalidInput, as_typed
from leverage_nb.risk.brackets import Brackets
from leverage_nb.risk.liquidation import initial_margin, liquidation_price
from leverage_nb.risk.user_input import LARGEST, SMALLEST

if TYPE_CHECKING:
    import pandas as pd


def make_ladder(brackets: Brackets, notional: float, mark_price: float) -> pd.DataFrame:
    """What a new isolated position entered at mark would need, and where it would be liquidated.

    Fees are not counted. It is a what-if: what is *held* is not in it, see the outlook for that.

    Args:
        brackets: The symbol's tiers.
        notional: Size at mark, in the margin asset; above 0.
        mark_price: The entry.

    Returns:
        Index ``leverage`` from 1 to the symbol's maximum; all float64. ``max_notional``, ``initial_margin``,
        ``maintenance_margin`` in the margin asset; ``max_quantity`` in the base asset; ``liquidation_long``,
        ``liquidation_short`` are prices, NaN where no price liquidates; ``distance_long``, ``distance_short`` are
        adverse moves as fractions of mark, infinite where no price liquidates. A row is NaN but for
        ``max_notional`` and ``max_quantity`` where the notional is not allowed.

    Raises:
        InvalidInput: Notional or mark price is not a number above 0.
    """
    for name, value in (("notional", notional), ("mark price", mark_price)):
        if isinstance(value, (str, bool)) or not SMALLEST <= value <= LARGEST:
            raise InvalidInput(f"The {name} of a new position is a number above 0; got {as_typed(value)}.")
    from leverage_nb.frames import LeverageFrame

    leverage = np.arange(1, brackets.symbol_max_leverage + 1)
    max_notional = brackets.max_notional(leverage)
    allowed = notional <= max_notional
    margin = np.where(allowed, initial_margin(notional, leverage), np.nan)
    amount = notional / mark_price
    amounts = np.array([[amount], [-amount]])
    prices = liquidation_price(brackets, amounts, mark_price, margin)
    # Signed: an adverse move below 0 would mean a position that is liquidated as it opens.
    distances = np.array([[1.0], [-1.0]]) * (mark_price - prices) / mark_price
    distances[np.isnan(prices) & allowed] = np.inf
    maintenance = float(brackets.maintenance_margin(notional, beyond="nan"))
    figures = {
        "max_notional": max_notional,
        "max_quantity": max_notional / mark_price,
        "initial_margin": margin,
        "maintenance_margin": np.where(allowed, maintenance, np.nan),
        "liquidation_long": prices[0],
        "liquidation_short": prices[1],
        "distance_long": distances[0],
        "distance_short": distances[1],
    }
    import pandas as pd

    return LeverageFrame(figures, index=pd.RangeIndex(1, len(leverage) + 1, name="leverage"))
