"""Random changes under random faults, each report held against what the simulator did."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from leverage_nb.changes.entries import Attempt

from leverage_nb.account import Account
from leverage_nb.change import LeverageChange
from leverage_nb.errors import LeverageError
from leverage_nb.simulator import Simulator
from tests.changes.claims import Truth, contradiction, contradictions_of_journal
from tests.conftest import connect_to

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT", "BNBUSDT", "哈基米USDT")

# Short times, so that thousands of time-outs fit into minutes; the rules know no absolute time.
TIMEOUT, RECV_WINDOW, GRACE = 0.3, 150, 100

ON_CHANGE = (
    "reset_before", "reset_after", "late_answer", "dripped", "late_execution", "late_execution", "stall", "truncated",
    "half_a_json", "html", "empty", "bad_gateway", "unknown_503", "unavailable_503", "internal_503", "throttled_503",
    "timeout_408", "timeout_1007", "rate_limited_for", "banned", "firewall", "restricted", "redirect", "clock_skew",
    "wrong_leverage", "wrong_symbol", "other_client_first", "other_client", "restart",
)  # fmt: skip
ON_READ = (
    "reset_before",
    "stall",
    "html",
    "bad_gateway",
    "truncated",
    "dripped",
    "unknown_503",
    "late_answer",
    "empty",
)
READS = ("GET /fapi/v1/symbolConfig", "GET /fapi/v1/symbolConfig", "GET /fapi/v1/time")

# Longest time from call to report: an earlier attempt may have to be settled first, the setting read, the change sent
# four times with pauses, its outcome settled; each request may take its time-out to connect and again to be answered.
BUDGET = 2 * (RECV_WINDOW + GRACE) / 1000 + 14 * TIMEOUT + 3 * 0.8 + 1.0


@dataclass
class Result:
    """What a run of changes came to."""

    reports: Counter[str] = field(default_factory=Counter)
    false: list[str] = field(default_factory=list)
    slowest: float = 0.0
    settled_later: int = 0


@dataclass
class Report:
    """One call and its end."""

    change: LeverageChange
    attempt: Attempt | None
    at: datetime


def seconds_of(name: str, chance: random.Random) -> float | None:
    """How long a fault lasts: short of the time-outs, and beyond."""
    return {
        "late_answer": chance.uniform(0.02, 2 * TIMEOUT),
        "late_execution": chance.choice([chance.uniform(0.0, 0.2), chance.uniform(0.3, 1.0)]),
        "dripped": chance.uniform(0.0005, 0.01),
        "rate_limited_for": 1.0,
        "banned": 1.0,
        "other_client": chance.choice([0.0, chance.uniform(0.0, 0.5)]),
        "restart": chance.uniform(0.0, 0.3),
    }.get(name)


def inject_at_random(simulator: Simulator, chance: random.Random) -> None:
    """Let faults wait for the next change, and for the looks after it."""
    if chance.random() < 0.3:
        return
    for name in chance.sample(ON_CHANGE, k=chance.choice([1, 1, 1, 2])):
        simulator.inject(name, seconds=seconds_of(name, chance), times=chance.choice([1, 1, 1, 5]))
    if chance.random() < 0.3:
        on, name = chance.choice(READS), chance.choice(ON_READ)
        simulator.inject(name, on=on, times=chance.choice([1, 2, 20]), chance=0.7, seconds=seconds_of(name, chance))


def change_once(account: Account, chance: random.Random, result: Result) -> Report:
    """Ask for one random change, and keep what is reported."""
    symbol = chance.choice(SYMBOLS)
    leverage = chance.randint(1, account.tiers(symbol).symbol_max_leverage)
    started = time.monotonic()
    try:
        change = account.set_leverage(symbol, leverage)
    except LeverageError as error:
        if error.change is None:
            raise
        change = error.change
    result.slowest = max(result.slowest, time.monotonic() - started)
    result.reports[f"{change.status} ({change.confirmed_by})" if change.confirmed_by else change.status] += 1
    attempts = account._changer.attempts() if change.number else []
    attempt = next((attempt for attempt in attempts if attempt.number == change.number), None)
    if change.status == "unknown" and (attempt is None or not attempt.is_open):
        result.false.append(f"{change.headline}: not open in the journal")
    return Report(change, attempt, datetime.now().astimezone())


def run_chaos(seed: int, changes: int, journal: Path) -> Result:
    """Make random changes on a simulator of their own, and hold every word against what it did."""
    chance, result, reports = random.Random(seed), Result(), []
    with Simulator(weight_limit=10**9, seed=seed) as simulator:
        opening = {symbol: simulator.exchange.account.leverage(symbol) for symbol in SYMBOLS}
        with connect_to(simulator, journal=journal, timeout=TIMEOUT, recv_window=RECV_WINDOW) as account:
            account.symbols()
            account.margin_asset("BTCUSDT")
            account._tiers._age = lambda: 0.0  # type: ignore[method-assign]  # faults are for changes, not for tiers
            for _ in range(changes):
                simulator.clear_faults()
                inject_at_random(simulator, chance)
                reports.append(change_once(account, chance, result))
                if reports[-1].change.status == "not_sent":
                    account._client.limiter._blocked_until = 0.0  # one change met the ban: do not wait it out
            simulator.clear_faults()
            time.sleep(1.5)  # the last late execution is over, and so is the last ban
            result.settled_later = len(account.settle())
            truth = Truth(simulator.exchange.executed, simulator.exchange.received, opening)
            for report in reports:
                why = contradiction(truth, report.change, report.attempt, report.at)
                if why:
                    result.false.append(f"{report.change.headline}: {why}")
            result.false += contradictions_of_journal(truth, account._changer.attempts())
    if result.slowest > BUDGET:
        result.false.append(f"a report took {result.slowest:.1f} s, more than {BUDGET:.1f}")
    return result


def run_many(workers: int, changes: int, folder: Path, seed: int = 0) -> Result:
    """The same on several simulators at once: most of the time is spent waiting."""
    results: list[Result] = []
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            results.append(run_chaos(seed + number, changes, folder / f"journal {number}.sqlite"))
        except BaseException as exc:  # noqa: BLE001 - raised below, in the test's own thread
            failures.append(exc)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    whole = Result()
    for result in results:
        whole.reports += result.reports
        whole.false += result.false
        whole.slowest = max(whole.slowest, result.slowest)
        whole.settled_later += result.settled_later
    return whole
