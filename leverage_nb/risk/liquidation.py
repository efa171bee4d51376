"""Liquidation prices, vectorised; amounts are in the margin asset. Fees and funding are not included.

A position is liquidated at the price at which its margin falls to its maintenance margin::

    wallet + other profit - other maintenance + amount x (price - entry) = |amount| x price x rate - cum

For an isolated position ``wallet`` is the isolated wallet, and the "other" terms are 0. For a cross position it is the
cross wallet, and the "other" terms are those of the *other* cross positions. Maintenance margin is continuous and rises
with the notional, so at most one price satisfies the equation; ``rate`` and ``cum`` are those of the tier of the
notional *at that price*.

Source: https://www.binance.com/en/support/faq/b3c689c1f50a44cabb3a84e663b81d93.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from leverage_nb.risk.brackets import Brackets


def liquidation_price(
    brackets: Brackets,
    amount: Any,
    entry_price: Any,
    wallet: Any,
    *,
    other_profit: Any = 0.0,
    other_maintenance: Any = 0.0,
) -> Any:
    """Return the liquidation price of one position, in the tier of its notional at that price.

    Args:
        brackets: The symbol's tiers. The rate of the last tier is used beyond the last cap.
        amount: In the base asset; negative for a short.
        entry_price: Average entry price.
        wallet: The isolated wallet, or the cross wallet.
        other_profit: Cross: unrealised profit of the other cross positions.
        other_maintenance: Cross: maintenance margin of the other cross positions.

    Returns:
        float64 in the shape to which the arguments broadcast; NaN where no price liquidates the position.
    """
    margin = np.asarray(wallet, dtype=np.float64) + other_profit - other_maintenance
    size, entry, margin = np.broadcast_arrays(
        np.asarray(amount, dtype=np.float64), np.asarray(entry_price, dtype=np.float64), margin
    )
    per_tier = liquidation_price_in_tier(
        size[..., None], entry[..., None], margin[..., None], brackets.maint_margin_ratio, brackets.cum
    )
    notional = np.abs(size)[..., None] * per_tier
    cap = brackets.notional_cap.copy()
    cap[-1] = np.inf
    with np.errstate(invalid="ignore"):
        # At a floor both tiers give the same price; the tolerance keeps rounding from excluding both.
        tolerance = 1e-12 * notional
        fits = (notional > brackets.notional_floor - tolerance) & (notional <= cap + tolerance)
    tier = np.argmax(fits, axis=-1)
    price = np.take_along_axis(np.asarray(per_tier), tier[..., None], axis=-1)[..., 0]
    return _scalar_or_array(np.where(fits.any(axis=-1), price, np.nan))


def liquidation_price_in_tier(
    amount: Any,
    entry_price: Any,
    wallet: Any,
    rate: Any,
    cum: Any = 0.0,
    *,
    other_profit: Any = 0.0,
    other_maintenance: Any = 0.0,
) -> Any:
    """Return the liquidation price of one position in a given tier, as in Binance's worked examples.

    Args:
        amount: In the base asset; negative for a short.
        entry_price: Average entry price.
        wallet: The isolated wallet, or the cross wallet.
        rate: The tier's maintenance margin rate.
        cum: The tier's maintenance amount.
        other_profit: Cross: unrealised profit of the other cross positions.
        other_maintenance: Cross: maintenance margin of the other cross positions.

    Returns:
        float64 in the shape to which the arguments broadcast; NaN where no price above 0 satisfies the equation.
    """
    size, entry, rate, cum = (np.asarray(x, dtype=np.float64) for x in (amount, entry_price, rate, cum))
    margin = np.asarray(wallet, dtype=np.float64) + other_profit - other_maintenance
    with np.errstate(divide="ignore", invalid="ignore"):
        price = (margin + cum - size * entry) / (np.abs(size) * rate - size)
    return _scalar_or_array(np.where((price > 0) & np.isfinite(price), price, np.nan))


def _scalar_or_array(values: Any) -> Any:
    array = np.asarray(values)
    return array.item() if array.ndim == 0 else array
