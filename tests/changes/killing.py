"""Processes that change leverages until they are killed, and what their journal says afterwards."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from leverage_nb.changes.entries import Attempt

from leverage_nb.changes import settle
from leverage_nb.connecting import connect
from leverage_nb.errors import LeverageError
from leverage_nb.simulator import Simulator
from tests.changes.chaos import GRACE, ON_CHANGE, RECV_WINDOW, SYMBOLS, TIMEOUT, seconds_of
from tests.changes.claims import Truth, contradictions_of_journal

# A server process that has the package loaded forks the ones to be killed: starting each costs milliseconds.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["tests.changes.killing"])


def keep_changing(where: dict[str, Any], seed: int, changes: int, started: Any) -> None:
    """Change random leverages at random; what comes of it, the journal must tell."""
    settle.GRACE_MS = GRACE
    chance = random.Random(seed)
    account = connect(**where)
    most = {symbol: account.tiers(symbol).symbol_max_leverage for symbol in SYMBOLS}
    account._tiers._age = lambda: 0.0  # type: ignore[method-assign]  # faults are for changes, not for tiers
    started.set()
    for _ in range(changes):
        symbol = chance.choice(SYMBOLS)
        with suppress(LeverageError):
            account.set_leverage(symbol, chance.randint(1, most[symbol]))


class Scene:
    """A simulator under faults, a journal, and the processes that use both."""

    def __init__(self, simulator: Simulator, journal: Path, seed: int) -> None:
        self.simulator = simulator
        self.chance = random.Random(seed)
        self.settled = 0
        self.opening = {symbol: simulator.exchange.account.leverage(symbol) for symbol in SYMBOLS}
        self.where = {
            "rest_url": simulator.rest_url,
            "api_key": simulator.api_key,
            "api_secret": simulator.api_secret,
            "journal": str(journal),
            "timeout": TIMEOUT,
            "recv_window": RECV_WINDOW,
        }

    def inject(self) -> None:
        """Faults that keep coming."""
        quick = [name for name in ON_CHANGE if name not in {"banned", "rate_limited_for", "restart"}]
        for name in quick:
            self.simulator.inject(name, times=None, chance=0.03, seconds=seconds_of(name, self.chance))

    def start(self, seed: int, changes: int = 10**9) -> Any:
        """A process that has begun to change leverages."""
        started = processes.Event()
        process = processes.Process(target=keep_changing, args=(self.where, seed, changes, started), daemon=True)
        process.start()
        assert started.wait(60)
        return process

    def kill(self, process: Any, after: float) -> None:
        """End it as a power cut would."""
        time.sleep(after)
        os.kill(process.pid, signal.SIGKILL)
        process.join()

    def look_back(self) -> list[Attempt]:
        """The journal after the next start has settled what was left open."""
        self.simulator.clear_faults()
        time.sleep(0.05)
        with connect(**self.where) as account:
            self.settled += len(account.settle())
            return account._changer.attempts()

    def false_words(self, attempts: list[Attempt]) -> list[str]:
        """What the journal says that was not so, and what it does not say."""
        exchange = self.simulator.exchange
        false = contradictions_of_journal(Truth(exchange.executed, exchange.received, self.opening), attempts)
        recorded = {(attempt.symbol, attempt.timestamp_ms) for attempt in attempts}
        false += [
            f"{arrival} arrived and is not in the journal" for arrival in exchange.received if arrival not in recorded
        ]
        return false + [f"#{attempt.number} was left open" for attempt in attempts if attempt.is_open]
