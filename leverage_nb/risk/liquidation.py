"""Margin maths: initial margin, maintenance margin, liquidation price. Vectorised; amounts in the margin asset.

Sources: Binance's FAQs "Leverage and Margin of USDⓈ-M Futures" (initial and maintenance margin, ``cum``) and "How to
Calculate Liquidation Price of USDⓈ-M Futures Contracts". Fees and funding are not in these formulas, so they are in
none of the figures here.

A position is liquidated at the price where its margin falls to its maintenance margin::

    wallet + other profit - other maintenance + sum(amount x (price - entry)) = sum(|amount| x price x rate - cum)

Isolated: ``wallet`` is the isolated wallet and there is nothing other. Cross: the cross wallet, with profit and
maintenance of the *other* cross contracts. Maintenance margin is continuous and rises with the notional, so the two
sides of the equation meet at most once for one position, and the tier is the one the notional has *at that price*.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from leverage_nb.risk.brackets import Brackets

Floats = npt.NDArray[np.float64]


def initial_margin(notional: Any, leverage: Any) -> Any:
    """``|notional| / leverage``; float64 in the shape that the arguments broadcast to."""
    return _plain(np.abs(np.asarray(notional, dtype=np.float64)) / np.asarray(leverage, dtype=np.float64))


def maintenance_margin(notional: Any, rate: Any, cum: Any = 0.0) -> Any:
    """``|notional| x rate - cum`` with a tier that is given; ``Brackets.maintenance_margin`` finds the tier."""
    size = np.abs(np.asarray(notional, dtype=np.float64))
    return _plain(size * np.asarray(rate, dtype=np.float64) - np.asarray(cum, dtype=np.float64))


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
    """Liquidation price of one position in a tier that is given, as in Binance's worked examples.

    Args:
        amount: In the base asset; negative for a short.
        entry_price: Average entry.
        wallet: The isolated wallet, or the cross wallet.
        rate: The tier's maintenance margin rate.
        cum: The tier's maintenance amount.
        other_profit: Cross: unrealised profit of the other cross contracts.
        other_maintenance: Cross: maintenance margin of the other cross contracts.

    Returns:
        float64; NaN where no price above 0 satisfies the formula.
    """
    size, entry, rate, cum = (np.asarray(x, dtype=np.float64) for x in (amount, entry_price, rate, cum))
    margin = np.asarray(wallet, dtype=np.float64) + other_profit - other_maintenance
    with np.errstate(divide="ignore", invalid="ignore"):
        price = (margin + cum - size * entry) / (np.abs(size) * rate - size)
    return _plain(np.where((price > 0) & np.isfinite(price), price, np.nan))


def liquidation_price(
    brackets: Brackets,
    amount: Any,
    entry_price: Any,
    wallet: Any,
    *,
    other_profit: Any = 0.0,
    other_maintenance: Any = 0.0,
) -> Any:
    """Liquidation price of one position, in the tier its notional has at that price.

    Args:
        brackets: The symbol's tiers. Beyond the last cap the last tier's rate goes on.
        amount: In the base asset; negative for a short.
        entry_price: Average entry.
        wallet: The isolated wallet, or the cross wallet.
        other_profit: Cross: unrealised profit of the other cross contracts.
        other_maintenance: Cross: maintenance margin of the other cross contracts.

    Returns:
        float64 in the shape the arguments broadcast to; NaN where no price liquidates it.
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
        # A hair of slack: at a floor both neighbours give the same price, and rounding must not lose it.
        slack = 1e-12 * notional
        fits = (notional > brackets.notional_floor - slack) & (notional <= cap + slack)
    place = np.argmax(fits, axis=-1)
    price = np.take_along_axis(np.asarray(per_tier), place[..., None], axis=-1)[..., 0]
    return _plain(np.where(fits.any(axis=-1), price, np.nan))


def hedged_liquidation_price(
    brackets: Brackets,
    long: tuple[float, float],
    short: tuple[float, float],
    wallet: float,
    mark_price: float,
    *,
    other_profit: float = 0.0,
    other_maintenance: float = 0.0,
) -> float:
    """The one liquidation price that the long and the short of a cross symbol share in hedge mode.

    Args:
        brackets: The symbol's tiers; each side has its own tier.
        long: Amount and entry price of the long; the amount is positive.
        short: Amount and entry price of the short; the amount is negative.
        wallet: The cross wallet.
        mark_price: Where the price is now: of two prices that liquidate, the nearer one is met first.
        other_profit: Unrealised profit of the other cross contracts.
        other_maintenance: Maintenance margin of the other cross contracts.

    Returns:
        NaN where no price liquidates the pair.
    """
    legs = [long, short]
    sizes = np.array([abs(amount) for amount, _ in legs])
    cost = sum(amount * entry for amount, entry in legs)
    margin = wallet + other_profit - other_maintenance - cost
    net = sum(amount for amount, _ in legs)
    # Between two neighbouring edges every leg stays in one tier, and the formula is linear.
    edges = np.unique(np.concatenate([brackets.notional_floor / size for size in sizes if size > 0]))
    bounds = np.append(edges, np.inf)
    middle = np.where(np.isinf(bounds[1:]), bounds[:-1] * 2 + 1, (bounds[:-1] + bounds[1:]) / 2)
    tier = np.searchsorted(brackets.notional_cap, middle[:, None] * sizes, side="left").clip(max=len(brackets) - 1)
    weight = (brackets.maint_margin_ratio[tier] * sizes).sum(axis=1)
    cum = np.where(sizes > 0, brackets.cum[tier], 0.0).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        price = (margin + cum) / (weight - net)
        fits = (price > 0) & (price >= bounds[:-1] * (1 - 1e-12)) & (price <= bounds[1:] * (1 + 1e-12))
    solutions = price[fits]
    return float(solutions[np.abs(solutions - mark_price).argmin()]) if solutions.size else float("nan")


def _plain(values: Any) -> Any:
    """A Python float for a scalar, the array otherwise."""
    array = np.asarray(values)
    return array.item() if array.ndim == 0 else array
