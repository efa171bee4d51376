"""A process that forks goes on, and its children end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.foreign.exchange import ForeignExchange
from tests.foreign.kernels import options_for

FORKING = """
import os, sys, threading, time, warnings
warnings.simplefilter("ignore")
import leverage_nb as lev
from leverage_nb.account import service_of
account = lev.connect("testnet", **{options!r})
account.set_leverage("BTCUSDT", 12)
stop = threading.Event()
def use():
    while not stop.is_set():
        service_of(account).past.open()
thread = threading.Thread(target=use)
thread.start()
for _ in range(5):
    child = os.fork()
    if child == 0:
        sys.exit(0)  # as at the end of a script, with all exit functions
    deadline = time.monotonic() + 30
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, 9)
            print("the child hangs", flush=True)
            os._exit(1)
        time.sleep(0.002)
stop.set()
thread.join()
assert account.set_leverage("BTCUSDT", 13).status == "applied"
print("well", flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
def test_a_forked_child_ends(exchange: ForeignExchange, journal: Path) -> None:
    """A process that forks while another thread uses the journal goes on, and its child ends."""
    code = FORKING.replace("{options!r}", repr(options_for(exchange, journal)))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=200, check=False)
    assert done.stdout.split() == ["well"], done.stdout + done.stderr
