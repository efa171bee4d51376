"""Run the simulator on its own, for any client: ``python -m leverage_nb.simulator [--port N]``."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading

from leverage_nb.simulator.faults import KINDS
from leverage_nb.simulator.server import Simulator


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM. Prints one JSON line with the addresses and the key."""
    parser = argparse.ArgumentParser(
        prog="python -m leverage_nb.simulator",
        description="A Binance USDⓈ-M Futures simulator on loopback. Nothing is sent to Binance.",
        epilog="Faults:\n" + "\n".join(f"  {name:<28}{kind.about}" for name, kind in KINDS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=0, help="loopback port (default: a free one)")
    parser.add_argument(
        "--faults",
        default="",
        metavar="LIST",
        help="what goes wrong, by commas: NAME[+|-][=SECONDS][@METHOD /path][:CHANCE][xTIMES]; "
        "+: the exchange executes the request, -: it does not; the default is the fault's, for most: by chance. "
        "On the requests that the fault belongs to (most: POST /fapi/v1/leverage), always, unless stated otherwise",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the faults that come by chance")
    options = parser.parse_args(arguments)
    if not 0 <= options.port <= 65535:
        parser.error(f"a port is a number from 0 to 65535; got {options.port}")
    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    try:
        simulator = Simulator(port=options.port, seed=options.seed)
        simulator.inject_text(options.faults)
    except ValueError as exc:
        simulator.close()
        parser.error(str(exc))
    except OSError as exc:
        print(f"cannot serve on port {options.port}: {exc}", file=sys.stderr)
        return 1
    with simulator:
        line = {
            "rest_url": simulator.rest_url,
            "stream_url": simulator.stream_url,
            "api_key": simulator.api_key,
            "api_secret": simulator.api_secret,
        }
        print(json.dumps(line), flush=True)
        stop.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
