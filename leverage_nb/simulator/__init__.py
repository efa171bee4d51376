"""An exchange in a box: Binance's USDⓈ-M Futures REST API on loopback, with a margin engine of its own.

It imports nothing of the rest of the package, so that what the package predicts and what the simulator
does are two independent readings of Binance's rules.
"""

from leverage_nb.simulator.server import Simulator

__all__ = ["Simulator"]
