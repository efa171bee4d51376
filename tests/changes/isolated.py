"""What a test of isolated margin looks at: the position's margin, and the changes that arrived."""

from __future__ import annotations

from decimal import Decimal

from leverage_nb.simulator import Simulator


def wallet(simulator: Simulator, symbol: str = "ETHUSDT") -> Decimal:
    """Return the isolated wallet of a symbol's position."""
    return next(p for p in simulator.exchange.account.positions if p.symbol == symbol).isolated_wallet


def sent(simulator: Simulator) -> int:
    """Return the number of changes of isolated margin that arrived."""
    return sum(arrival.kind == "isolated margin" for arrival in simulator.exchange.arrivals)
