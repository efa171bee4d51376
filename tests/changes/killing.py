"""Processes that make changes until they are killed or interrupted, and checks of their journals."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from leverage_nb.errors import ChangeFailed, ChangeInterrupted, LeverageError
from leverage_nb.journal.attempts import Attempt
from leverage_nb.journal.journal import Journal
from leverage_nb.session import connect
from leverage_nb.simulator import Simulator
from leverage_nb.simulator.fault_kinds import FOR_CHANGES, KINDS
from tests.changes.chaos import BANS, COSTLY, GRACE, RECV_WINDOW, TIMEOUT, load_tiers, seconds_of
from tests.changes.claims import ArrivalKey, SimulatorRecord, contradictions_of_journal, key_of
from tests.changes.random_changes import SYMBOLS, Trader, open_positions, opening_values
from tests.waiting import until

# Seconds by which a request may arrive after the prompt on a busy machine, although it was sent before.
ON_ITS_WAY = 0.3

# A server process with the package loaded forks the processes, so that each starts within milliseconds.
# Windows has none; tests that need more of POSIX are skipped there.
processes: Any = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
if os.name == "posix":
    processes.set_forkserver_preload(["tests.changes.killing"])


def keep_changing(where: dict[str, Any], seed: int, changes: int, started: Any) -> None:
    """Make random changes until the process ends."""
    trader = _trader(where, seed)
    started.set()
    for _ in range(changes):
        with suppress(LeverageError):
            if trader.chance.random() < 0.2:
                trader.account.plan(trader.targets(4)).apply()
            else:
                trader.change()


def _trader(where: dict[str, Any], seed: int) -> Trader:
    account = connect(**where)
    load_tiers(account)
    most = {symbol: account.tiers(symbol).symbol_max_leverage for symbol in SYMBOLS}
    return Trader(account, random.Random(seed), most)


def change_until_interrupted(where: dict[str, Any], seed: int, tries: int, pipe: Any) -> None:
    """Start changes and plans, and send the time of each prompt and the outcomes reported by then."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    trader = _trader(where, seed)
    for turn in range(tries):
        said: list[tuple[Any, ...]] = []
        try:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            pipe.send(("begun", time.time(), said))
            _change(trader, said, as_plan=turn % 2 == 0)
        except KeyboardInterrupt:
            pass
        _ignore_interrupts()
        pipe.send(("prompt", time.time(), said))
    pipe.send("done")


def _change(trader: Trader, said: list[tuple[Any, ...]], *, as_plan: bool) -> None:
    """Make one change, or those of many symbols as a plan, and store what is reported."""
    try:
        if as_plan:
            rows = trader.account.plan(trader.targets(7)).apply(force=True).rows
            said += [(row.symbol, row.status, row.change.number if row.change else None) for row in rows]
            return
        change = trader.change()
    except ChangeInterrupted as stop:
        change = stop.change
    except ChangeFailed as error:
        change = error.change
    except LeverageError:
        return
    said.append((change.symbol, change.status, change.number))


def _ignore_interrupts() -> None:
    """Ignore SIGINT from now on, also if one arrives meanwhile."""
    while True:
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            return
        except KeyboardInterrupt:
            continue


class Scene:
    """A simulator under faults, a journal, and the processes that use both."""

    def __init__(self, simulator: Simulator, journal: Path, seed: int) -> None:
        self.simulator = simulator
        self.journal = journal
        self.chance = random.Random(seed)
        self.settled = 0
        self._arrived_at: dict[ArrivalKey, float] = {}
        note = simulator.exchange.note_arrival

        def noting(request: Any) -> None:
            before = len(simulator.exchange.arrivals)
            note(request)
            for arrival in simulator.exchange.arrivals[before:]:
                self._arrived_at[arrival.symbol, arrival.timestamp, arrival.kind] = time.time()

        simulator.exchange.note_arrival = noting  # type: ignore[method-assign]  # stores the time as well
        open_positions(simulator)
        self.opening = opening_values(simulator)
        self.where = {
            "rest_url": simulator.rest_url,
            "api_key": simulator.api_key,
            "api_secret": simulator.api_secret,
            "journal": str(journal),
            "timeout": TIMEOUT,
            "recv_window": RECV_WINDOW,
            "grace": GRACE,
        }

    def inject(self) -> None:
        """Inject faults that occur at random."""
        for name in FOR_CHANGES:
            if name not in {*BANS, *COSTLY, "restart", "clock_jump"}:
                executed = self.chance.choice(KINDS[name].choices)
                seconds = seconds_of(name, self.chance)
                self.simulator.inject(name, times=None, chance=0.02, seconds=seconds, executed=executed)

    def start(self, seed: int, changes: int = 10**9) -> Any:
        """Start a process that makes changes, and wait until it does."""
        started = processes.Event()
        process = processes.Process(target=keep_changing, args=(self.where, seed, changes, started), daemon=True)
        process.start()
        assert started.wait(60)
        return process

    def kill(self, process: Any, after: float) -> None:
        """Kill a process a number of seconds after one of its changes has arrived."""
        wanted = len(self.simulator.exchange.arrivals) + self.chance.randint(1, 4)
        with suppress(AssertionError):  # after a fault nothing may be sent for a while
            until(lambda: len(self.simulator.exchange.arrivals) >= wanted, 3.0)
        time.sleep(after)
        os.kill(process.pid, signal.SIGKILL)
        process.join()

    def interrupt(self, seed: int, tries: int) -> list[str]:
        """Send SIGINT into a number of changes and plans; return every contradiction."""
        ours, theirs = processes.Pipe()
        arguments = (self.where, seed, tries, theirs)
        process = processes.Process(target=change_until_interrupted, args=arguments, daemon=True)
        process.start()
        said: list[tuple[Any, ...]] = []
        turns: list[tuple[float, float]] = []
        while True:
            if not ours.poll(60):
                process.kill()
                return ["it hangs"]
            message = ours.recv()
            if message == "done":
                break
            kind, at, outcomes = message
            if kind == "begun":
                began = at
                pause = self.chance.choice([self.chance.uniform(0, 0.03), self.chance.uniform(0, 0.4), None])
                if pause is not None:
                    time.sleep(pause)
                else:  # on a slow machine the others may all end before anything is sent
                    self._wait_for_a_request()
                with suppress(ProcessLookupError):  # it has ended already
                    os.kill(process.pid, signal.SIGINT)
            else:
                turns.append((began, at))
                said += outcomes
        process.join(30)
        return self._sent_late(turns) + self._compare(said)

    def _sent_late(self, turns: list[tuple[float, float]]) -> list[str]:
        """Return the attempts that were recorded or arrived while the prompt was shown."""
        false = []
        for attempt in Journal(self.journal).attempts(self._account):
            at = self._arrived_at.get(key_of(attempt))
            began = attempt.begun_at.timestamp()
            turn = next((turn for turn in turns if turn[0] <= began <= turn[1]), None)
            if at is not None and (turn is None or at > turn[1] + ON_ITS_WAY):
                false.append(f"#{attempt.number} {attempt.step} was sent while the prompt was there")
        return false

    def _compare(self, said: list[tuple[Any, ...]]) -> list[str]:
        """Return the contradictions between reports and journal."""
        recorded = {attempt.number: attempt for attempt in Journal(self.journal).attempts(self._account)}
        false = []
        for symbol, status, number in said:
            attempt = recorded.get(number)
            if number is not None and attempt is None:
                false.append(f"{symbol} was reported as #{number}, which is not recorded")
            elif attempt is not None and status not in {"unknown", attempt.status}:
                false.append(f"#{number} was reported as {status}, and the journal says {attempt.status}")
        return false

    @property
    def _account(self) -> str:
        with connect(**self.where) as account:
            return account.label

    def look_back(self) -> list[Attempt]:
        """Return the attempts after the next start has settled the open ones."""
        self.simulator.clear_faults()
        time.sleep(0.05)
        with connect(**self.where) as account:
            self.settled += len(account.settle())
            return Journal(self.journal).attempts(account.label)

    def _wait_for_a_request(self, at_most: float = 2.0) -> None:
        """Wait until the exchange receives another change."""
        before, end = len(self.simulator.exchange.received), time.monotonic() + at_most
        while len(self.simulator.exchange.received) == before and time.monotonic() < end:
            time.sleep(0.001)

    def false_words(self, attempts: list[Attempt]) -> list[str]:
        """Return what the journal says wrongly or does not say."""
        record = SimulatorRecord.of(self.simulator, self.opening, GRACE)
        left_open = [f"#{attempt.number} was left open" for attempt in attempts if attempt.is_open]
        return contradictions_of_journal(record, attempts) + left_open
