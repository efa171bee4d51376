"""The ladder: a *new isolated position* of a given notional, at every leverage from 1x to the symbol's maximum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from leverage_nb.risk.brackets import Brackets
from leverage_nb.risk.liquidation import liquidation_price
from leverage_nb.risk.user_input import parse_notional

if TYPE_CHECKING:
    import pandas as pd


def make_ladder(brackets: Brackets, notional: float | str, mark_price: float) -> pd.DataFrame:
    """Return the margin and the liquidation prices of a new isolated position that is opened at mark price.

    Existing positions are not included (see ``Account.outlook``), and neither are fees.

    Args:
        brackets: The symbol's tiers.
        notional: Size at mark price, in the margin asset; above 0; also as ``"2m"``.
        mark_price: The entry price; above 0.

    Returns:
        Index ``leverage`` from 1 to the symbol's maximum; all columns float64. ``max_notional``, ``initial_margin``
        and ``maintenance_margin`` in the margin asset; ``max_quantity`` in the base asset. ``liquidation_long`` and
        ``liquidation_short`` are prices, NaN if no price liquidates the position. ``distance_long`` and
        ``distance_short`` are adverse price moves as fractions of the mark price, infinite if no price liquidates the
        position. Where the leverage does not allow the notional, all but ``max_notional`` and ``max_quantity`` are NaN.

    Raises:
        InvalidInput: ``notional`` or ``mark_price`` is not a number above 0.
    """
    notional = parse_notional(notional)
    mark_price = parse_notional(mark_price, "a mark price")
    import pandas as pd

    from leverage_nb.frames import LeverageFrame

    leverage = np.arange(1, brackets.symbol_max_leverage + 1)
    max_notional = brackets.max_notional(leverage)
    allowed = notional <= max_notional
    margin = np.where(allowed, notional / leverage, np.nan)
    amount = notional / mark_price
    prices = liquidation_price(brackets, np.array([[amount], [-amount]]), mark_price, margin)
    # Signed: a negative distance means that the position would be liquidated when it is opened.
    distances = np.array([[1.0], [-1.0]]) * (mark_price - prices) / mark_price
    distances[np.isnan(prices) & allowed] = np.inf
    maintenance = float(brackets.maintenance_margin(notional, beyond="nan"))
    columns = {
        "max_notional": max_notional,
        "max_quantity": max_notional / mark_price,
        "initial_margin": margin,
        "maintenance_margin": np.where(allowed, maintenance, np.nan),
        "liquidation_long": prices[0],
        "liquidation_short": prices[1],
        "distance_long": distances[0],
        "distance_short": distances[1],
    }
    frame = LeverageFrame(columns, index=pd.RangeIndex(1, len(leverage) + 1, name="leverage"))
    frame.attrs["symbol"] = brackets.symbol
    return frame
