"""Times, descriptors, forked processes, changed tiers and events of the future."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from leverage_nb import Account, LeverageError
from tests.foreign.conftest import outcome
from tests.foreign.exchange import CHANGE, CONFIG, ForeignExchange
from tests.foreign.kernels import Kernel, options_for
from tests.foreign.wire import RESET, Reply


def test_as_of_is_not_before_the_change(exchange: ForeignExchange, connect: Callable[..., Account]) -> None:
    """``as_of`` is the time of the read that shows the change, not of earlier tries."""
    account = connect()
    account.symbols()
    exchange.play(CHANGE, execute_after=0.45, answer=RESET)
    busy = Reply.html(503)
    exchange.play(
        CONFIG, answer=busy, times=None, when=lambda read: bool(exchange.arrived(CHANGE)) and not exchange.executed
    )
    change = outcome(lambda: account.set_leverage("BTCUSDT", 12))
    assert (change.status, change.confirmed_by) == ("applied", "symbolConfig")
    assert change.as_of is not None
    failed = [read.at for read in exchange.arrived(CONFIG) if read.at > exchange.arrived(CHANGE)[0].at][:-1]
    offset = time.time() - time.monotonic()
    assert change.as_of.timestamp() >= failed[-1] + offset
    assert account.history()["as_of"].iloc[0].timestamp() >= failed[-1] + offset


def test_closed_accounts_leave_no_descriptors(start_kernel: Callable[..., Kernel]) -> None:
    """Accounts with their own journals, used and closed, leave no open files behind."""
    opened = start_kernel().run(
        "import os\n"
        "def use(number):\n"
        "    path = options['journal'] + str(number)\n"
        "    with lev.connect('testnet', **{**options, 'journal': path}) as one: one.history()\n"
        "use('first')\n"
        "before = len(os.listdir('/proc/self/fd'))\n"
        "for number in range(40): use(number)\n"
        "result = len(os.listdir('/proc/self/fd')) - before\n"
    )
    assert opened <= 6


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
    deadline = time.monotonic() + 3
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
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["well"], done.stdout + done.stderr


def later(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Advance the package's monotonic clock."""
    now = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: now() + seconds)


def test_a_plan_knows_a_new_maximum(
    exchange: ForeignExchange, connect: Callable[..., Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A leverage that the tiers have allowed for a minute can be planned."""
    exchange.tiers["SOLUSDT"] = ((50, 100_000, 0.01),)
    account = connect()
    account.symbols()
    exchange.tiers["SOLUSDT"] = ((75, 100_000, 0.01),)
    later(monkeypatch, 60)
    (row,) = account.plan({"SOLUSDT": 75}).apply().rows
    assert row.status == "applied", row.note


def test_a_plan_knows_a_new_symbol(
    exchange: ForeignExchange, connect: Callable[..., Account], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A symbol that was listed a minute ago can be planned."""
    account = connect()
    account.symbols()
    exchange.tiers["NEWUSDT"], exchange.leverages["NEWUSDT"] = exchange.tiers["SOLUSDT"], 20
    later(monkeypatch, 60)
    (row,) = account.plan({"NEWUSDT": 30}).apply().rows
    assert row.status == "applied", row.note


def test_an_event_of_the_future_does_not_hide_later_ones(
    exchange: ForeignExchange, connect: Callable[..., Account]
) -> None:
    """After an event that is dated a year ahead a listener receives the later events of its symbol."""
    account = connect(stream_url=exchange.stream_url())
    seen: list[int] = []
    came = threading.Condition()

    def note(event: Any) -> None:
        if getattr(event, "symbol", "") == "BTCUSDT":
            with came:
                seen.append(event.leverage)
                came.notify_all()

    account.watch(note)
    exchange.send_event("BTCUSDT", 20, exchange.now_ms() + 365 * 86_400_000)
    exchange.send_event("BTCUSDT", 30, exchange.now_ms())
    with came:
        assert came.wait_for(lambda: 30 in seen, 10), f"only {seen} came"


def test_an_absurd_notional_does_not_break_history_and_undo(
    exchange: ForeignExchange, connect: Callable[..., Account]
) -> None:
    """After an answer with an absurd notional history and undo work."""
    odd = {"symbol": "BTCUSDT", "leverage": 12, "maxNotionalValue": "9" * 300}
    exchange.play(CHANGE, answer=Reply.of(odd))
    account = connect(recv_window=1500)
    assert outcome(lambda: account.set_leverage("BTCUSDT", 12)).status == "applied"
    assert account.history()["status"].tolist() == ["applied"]
    try:
        account.undo()
    except LeverageError:
        pytest.fail("the undo was refused")
    assert exchange.leverages["BTCUSDT"] == 10
