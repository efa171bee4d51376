"""Liquidation prices of the simulator's positions: Binance's published formula, solved for each tier.

Source: Binance's FAQ "How to Calculate Liquidation Price of USDⓈ-M Futures Contracts",
https://www.binance.com/en/support/faq/b3c689c1f50a44cabb3a84e663b81d93. The formula assumes a tier; its result is valid
only if the notional *at that price* lies in the assumed tier. The FAQ does not cover multi-assets mode; there the
simulator uses the whole account in USD (inferred).
"""

from __future__ import annotations

from decimal import Decimal
from itertools import product

from leverage_nb.simulator.account import ZERO, Account, Position


def liquidation_price(account: Account, position: Position) -> Decimal:
    """Return the mark price at which a position's margin equals its maintenance margin; 0 when there is none.

    A cross symbol in hedge mode has one price for both sides; an isolated symbol has one price for each side.
    """
    symbol = account.symbol(position)
    if position.symbol in account.isolated:
        legs, margin = [position], position.isolated_wallet
    else:
        legs, margin = account.open_positions(position.symbol), _cross_margin_without(account, position)
    amount = sum((leg.amount for leg in legs), ZERO)
    cost = sum((leg.amount * leg.entry_price for leg in legs), ZERO)
    solutions = []
    for tiers in product(symbol.tiers, repeat=len(legs)):
        weight = sum((abs(leg.amount) * tier.maint_margin_ratio for leg, tier in zip(legs, tiers, strict=True)), ZERO)
        if weight == amount:
            continue
        price = (margin + sum((tier.cum for tier in tiers), ZERO) - cost) / (weight - amount)
        if price > 0 and all(tier.holds(abs(leg.amount) * price) for leg, tier in zip(legs, tiers, strict=True)):
            solutions.append(price)
    # A hedged pair can be liquidated above and below the mark price: the nearer price is reached first.
    return min(solutions, key=lambda price: abs(price - symbol.mark_price), default=ZERO)


def _cross_margin_without(account: Account, position: Position) -> Decimal:
    """Return the cross margin that the positions of other symbols leave, in the position's margin asset."""
    own_asset = account.symbol(position).margin_asset
    total = ZERO
    for asset in account.assets() if account.multi_assets else [own_asset]:
        rate = account.usd_rate(asset).index / account.usd_rate(own_asset).index
        others = [p for p in account.cross_positions(asset) if p.symbol != position.symbol]
        total += rate * account.cross_wallet(asset)
        total += rate * sum((account.unrealized_profit(p) - account.maintenance_margin(p) for p in others), ZERO)
    return total
