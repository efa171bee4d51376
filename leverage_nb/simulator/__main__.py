"""Run the simulator as a program, for any client: ``python -m leverage_nb.simulator [--port N] [--profile demo]``."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading

from leverage_nb.simulator.faults import KINDS
from leverage_nb.simulator.server import PROFILES, Simulator

FAULTS_HELP = """comma-separated faults: NAME[+|-][=SECONDS][@METHOD /path][:CHANCE][xTIMES].
+: the exchange executes the request, -: it does not; by default as the fault says, for most at random.
Without the other parts: on the fault's own requests (most: @changes, the changes of leverage, margin type and
isolated margin), always"""

_WAKE_EVERY = 0.25  # seconds after which the waiting main thread wakes up


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM, after printing one JSON line with the addresses and the key."""
    parser = argparse.ArgumentParser(
        prog="python -m leverage_nb.simulator",
        description="A Binance USDS-M Futures simulator on loopback. It sends nothing to Binance.",
        epilog="Faults:\n" + "\n".join(f"  {name:<28}{kind.about}" for name, kind in KINDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=0, help="loopback port (default: a free one)")
    parser.add_argument(
        "--profile", choices=PROFILES, default="production", help="demo: a leverage that was never set is 0"
    )
    parser.add_argument("--faults", default="", metavar="LIST", help=FAULTS_HELP)
    parser.add_argument("--seed", type=int, default=0, help="seed of the faults that occur at random")
    options = parser.parse_args(arguments)
    if not 0 <= options.port <= 65535:
        parser.error(f"A port is a number from 0 to 65535; got {options.port}.")
    stop = threading.Event()
    for name in ("SIGINT", "SIGTERM", "SIGBREAK"):  # SIGBREAK: Windows only
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), lambda *_: stop.set())
    try:
        simulator = Simulator(port=options.port, seed=options.seed, profile=options.profile)
    except OSError as exc:
        print(f"Cannot serve on port {options.port}: {exc}. Choose another port, or none.", file=sys.stderr)
        return 1
    with simulator:
        try:
            simulator.inject_text(options.faults)
        except ValueError as exc:
            parser.error(str(exc))
        shown = ("rest_url", "stream_url", "api_key", "api_secret")
        print(json.dumps({name: getattr(simulator, name) for name in shown}), flush=True)
        while not stop.wait(_WAKE_EVERY):  # on Windows a wait without time-out cannot be interrupted
            pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
