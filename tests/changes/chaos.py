"""Random changes under random faults and other clients; each report is compared with what the simulator did."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from leverage_nb.account import Account
from leverage_nb.binance.rate_limit import Limiter
from leverage_nb.change import Change
from leverage_nb.changes.plan import Plan
from leverage_nb.errors import ChangedElsewhere, ChangeFailed, ChangePending, LeverageError, NothingToUndo
from leverage_nb.journal.attempts import Attempt
from leverage_nb.journal.journal import Journal
from leverage_nb.session import session
from leverage_nb.simulator import Simulator
from leverage_nb.simulator.fault_kinds import CHANGES, FOR_CHANGES, FOR_READS, KINDS
from tests.changes.claims import SimulatorRecord, contradiction, contradictions_of_journal
from tests.changes.random_changes import (
    AMOUNTS,
    ISOLATED,
    SYMBOLS,
    Trader,
    change_elsewhere,
    open_positions,
    opening_values,
)
from tests.conftest import connect_to

# Short times, so that thousands of time-outs fit into minutes.
TIMEOUT, RECV_WINDOW, GRACE = 0.3, 150, 0.1

# An answer of 64 MB takes half a second of processor time, so these are rare.
COSTLY = ("gzip_bomb", "gzip_twice", "oversized")
# After these nothing may be sent for a minute or two; here for a second.
BANS = ("banned", "rate_limited", "rate_limited_for", "empty_418", "page_429")
SETTINGS, HISTORY = "GET /fapi/v1/symbolConfig", "GET /fapi/v1/positionMargin/history"
READS = (SETTINGS, SETTINGS, HISTORY, "GET /fapi/v3/positionRisk", "GET /fapi/v1/time")

# The longest time that a report may take, in seconds: an earlier attempt is settled, the setting is read, up to four
# attempts are made with pauses, and the outcome is settled; each request may take its time-out to connect and again to
# be answered. A plan does this for margin types, raises and lowers, one after the other.
BUDGET = 40.0


@dataclass
class Result:
    """The result of a run of changes."""

    reports: Counter[str] = field(default_factory=Counter)
    false: list[str] = field(default_factory=list)
    slowest: float = 0.0
    settled_later: int = 0


@dataclass
class Report:
    """One outcome that was reported."""

    change: Change
    attempt: Attempt | None
    at: datetime


def seconds_of(name: str, chance: random.Random) -> float | None:
    """Return how long a fault lasts: shorter or longer than the time-outs."""
    return {
        "late_answer": chance.uniform(0.02, 2 * TIMEOUT),
        "late_execution": chance.choice([chance.uniform(0.0, 0.2), chance.uniform(0.3, 1.0)]),
        "dripped": chance.uniform(0.0005, 0.01),
        "rate_limited_for": 1.0,
        "banned": 1.0,
        "other_client": chance.choice([0.0, chance.uniform(0.0, 0.5)]),
        "foreign_change_during_wait": chance.choice([0.0, chance.uniform(0.0, 0.2)]),
        "restart": chance.uniform(0.0, 0.3),
        # At most as stale as the client assumes.
        "stale_read": chance.uniform(0.0, GRACE),
        # A clock that is wrong by less than 15 minutes is taken for the exchange's, which is a stated limit.
        "clock_jump": chance.choice([-1e6, 1e6, 3600.0, -3600.0]),
        "clock_skew": chance.choice([-60.0, 60.0, 1e6]),
    }.get(name)


def _draw(names: tuple[str, ...], chance: random.Random) -> str:
    while True:
        name = chance.choice(names)
        rare = 0.02 if name in COSTLY else 0.3 if name in BANS else 1.0
        if chance.random() < rare:
            return name


def inject_at_random(simulator: Simulator, chance: random.Random, *, times: int | None = None) -> None:
    """Inject faults into the next change, and into the reads before and after it."""
    if chance.random() < 0.3:
        return
    for name in [_draw(tuple(FOR_CHANGES), chance) for _ in range(chance.choice([1, 1, 1, 2]))]:
        simulator.inject(
            name,
            on=CHANGES,
            seconds=seconds_of(name, chance),
            times=times or chance.choice([1, 1, 1, 5]),
            executed=chance.choice([None, *KINDS[name].choices]),
            **_foreign(name, chance),
        )
    if chance.random() < 0.4:
        name = _draw(tuple(FOR_READS), chance)
        own = KINDS[name].on
        simulator.inject(
            name,
            on=own if own != CHANGES else chance.choice(READS),
            times=chance.choice([1, 2, 20]),
            chance=0.7,
            seconds=seconds_of(name, chance),
            **_foreign(name, chance),
        )


def _foreign(name: str, chance: random.Random) -> dict[str, str]:
    """Return what another client changes by a fault; nothing for a random leverage."""
    if KINDS[name].effect not in {"foreign_before", "foreign_after"}:
        return {}
    return chance.choice(
        [
            {},
            {"margin_type": chance.choice(["ISOLATED", "CROSSED"])},
            {"margin": chance.choice(AMOUNTS), "symbol": chance.choice(["", *ISOLATED])},
        ]
    )


@contextmanager
def other_clients(simulator: Simulator, chance: random.Random) -> Iterator[None]:
    """Let other clients change the same symbols within the block."""
    stop = threading.Event()

    def change() -> None:
        while not stop.wait(chance.expovariate(2.0)):
            change_elsewhere(simulator, chance)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def keep_quick(simulator: Simulator) -> None:
    """Let a minute of the rate limit pass in one second."""
    session.use_limiter(simulator.rest_url, Limiter(10**9, shortest_ban=1.0, ticks=lambda: time.monotonic() * 60))


def act_once(trader: Trader) -> list[Change]:
    """Make one random change, plan or undo, and return every outcome that is reported."""
    actions: list[Callable[[], list[Change]]] = [
        lambda: [trader.change()],
        lambda: [trader.change(previewed=True)],
        lambda: _planned(trader),
        lambda: _undone(trader.account),
    ]
    try:
        return trader.chance.choices(actions, weights=[10, 4, 2, 2])[0]()
    except LeverageError as error:
        return [error.change] if isinstance(error, ChangeFailed) else []


def _planned(trader: Trader) -> list[Change]:
    rows = trader.account.plan(trader.targets(3)).apply(force=True).rows
    return [row.change for row in rows if row.change is not None]


def _undone(account: Account) -> list[Change]:
    try:
        undone = account.undo(force=True)
    except (NothingToUndo, ChangePending, ChangedElsewhere):
        return []
    return [row.change for row in undone.rows if row.change] if isinstance(undone, Plan) else [undone]


def load_tiers(account: Account) -> None:
    """Read the tiers before faults are injected; on a busy machine this may exceed the short time-out."""
    for _ in range(50):
        with suppress(LeverageError):
            account.symbols()
            account.margin_asset("BTCUSDT")
            return
    raise AssertionError("the tiers could not be read")


def run_chaos(seed: int, changes: int, journal: Path) -> Result:
    """Make random changes on a new simulator, and compare every report with what it did."""
    chance, result, reports = random.Random(seed), Result(), list[Report]()
    with Simulator(weight_limit=10**9, seed=seed) as simulator:
        keep_quick(simulator)
        open_positions(simulator)
        opening = opening_values(simulator)
        options = {"timeout": TIMEOUT, "recv_window": RECV_WINDOW, "grace": GRACE}
        with connect_to(simulator, journal=journal, **options) as account:
            most = {symbol: simulator.exchange.market.symbols[symbol].max_leverage for symbol in SYMBOLS}
            load_tiers(account)
            trader = Trader(account, chance, most)
            with other_clients(simulator, random.Random(seed)):
                while sum(result.reports.values()) < changes:
                    simulator.clear_faults()
                    inject_at_random(simulator, chance)
                    started = time.monotonic()
                    outcomes = act_once(trader)
                    result.slowest = max(result.slowest, time.monotonic() - started)
                    recorded = {
                        attempt.number: attempt for attempt in Journal(journal).attempts(account.label, last=30)
                    }
                    for change in outcomes:
                        attempt = recorded.get(change.number or 0)
                        reports.append(Report(change, attempt, datetime.now().astimezone()))
                        by = f" ({change.confirmed_by})" if change.confirmed_by else ""
                        result.reports[f"{change.kind}: {change.status}{by}"] += 1
                        if change.status == "unknown" and (attempt is None or attempt.is_open == change.is_final):
                            result.false.append(f"{change.headline}: the journal says something else")
            simulator.clear_faults()
            time.sleep(1.5)  # until after the last late execution and the last ban
            result.settled_later = len(account.settle())
            record = SimulatorRecord.of(simulator, opening, GRACE)
            for report in reports:
                why = contradiction(record, report.change, report.attempt, report.at)
                if why:
                    result.false.append(f"{report.change.headline}: {why}")
            result.false += contradictions_of_journal(record, Journal(journal).attempts(account.label))
            content = journal.read_bytes()
            if simulator.api_key[:12].encode() in content or simulator.api_secret[:12].encode() in content:
                result.false.append("the journal holds a key")
    if result.slowest > BUDGET:
        result.false.append(f"a report took {result.slowest:.1f} s, more than {BUDGET:.1f}")
    return result


def run_many(workers: int, changes: int, folder: Path, seed: int = 0) -> Result:
    """Run several simulators at the same time, because most of the time is spent waiting."""
    results: list[Result] = []
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            results.append(run_chaos(seed + number, changes, folder / f"journal {seed + number}.sqlite"))
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
