"""A simulator of Binance's USDⓈ-M Futures REST API and user-data stream, on loopback, with its own margin engine.

It imports nothing from the rest of the package: the package's predictions and the simulator's behaviour are two
independent readings of Binance's rules.
"""

from leverage_nb.simulator.server import Simulator

__all__ = ["Simulator"]
