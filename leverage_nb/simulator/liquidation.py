"""Where the simulator's positions are liquidated: Binance's published formula, solved tier by tier.

Source: Binance's FAQ "How to Calculate Liquidation Price of USDⓈ-M Futures Contracts". The formula assumes
a tier; the price is right only when the position's notional *at that price* lies in the assumed tier.
Multi-assets mode is not covered by the FAQ; the simulator uses the whole account in USD there (inferred).
"""

from __future__ import annotations

from decimal import Decimal
from itertools import product

from leverage_nb.simulator.account import ZERO, Account, Position


def liquidation_price(account: Account, position: Position) -> Decimal:
    """The mark price at which the position's margin falls to its maintenance margin; 0 when there is none.

    A cross symbol in hedge mode has one price for both sides; an isolated one has one a side.
    """
    symbol = account.symbol(position)
    if account.is_isolated(position.symbol):
        legs, margin = [position], position.isolated_wallet
    else:
        legs, margin = account.held(position.symbol), _cross_margin_of_others(account, position)
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
    # A hedged pair can be liquidated on either side of the mark: the nearer price is met first.
    return min(solutions, key=lambda price: abs(price - symbol.mark_price), default=ZERO)


def _cross_margin_of_others(account: Account, position: Position) -> Decimal:
    asset = account.symbol(position).margin_asset
    shared = account.assets() if account.multi_assets else [asset]
    total = ZERO
    for other_asset in shared:
        rate = account.usd_price(other_asset) / account.usd_price(asset) if account.multi_assets else Decimal(1)
        others = [p for p in account.cross_positions(other_asset) if p.symbol != position.symbol]
        total += rate * account.cross_wallet(other_asset)
        total += rate * sum((account.unrealized_profit(p) - account.maintenance_margin(p) for p in others), ZERO)
    return total
