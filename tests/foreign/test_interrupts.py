"""After Ctrl-C nothing is sent, the next request works, and report, journal and exchange agree."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest

from tests.foreign.exchange import CHANGE, CONFIG, ForeignExchange, serving
from tests.foreign.kernels import Kernel, kernel, options_for
from tests.foreign.wire import RESET, Arrived, Reply

# The number of tries in the default run, and in a long one.
TRIES = [pytest.param(15, id="15 tries"), pytest.param(1000, id="1,000 tries", marks=pytest.mark.proof)]

ROWS = 60
GROUPS = 10  # plans without a common symbol: an open attempt of one does not stop the next


@pytest.fixture
def exchange() -> Iterator[ForeignExchange]:
    """An exchange of 600 symbols, with a latency of 20 ms."""
    with serving(GROUPS * ROWS) as running:
        running.latency = 0.02
        yield running


@pytest.fixture
def child(exchange: ForeignExchange, journal: Path) -> Iterator[Kernel]:
    """The kernel that is interrupted."""
    with kernel(options_for(exchange, journal, timeout=2.0, recv_window=1000)) as started:
        started.run("account.symbols(), account.settings()")
        yield started


def wait_until_quiet(exchange: ForeignExchange, seconds: float = 0.12) -> None:
    """Wait until no request has arrived for a while."""
    seen = -1
    while seen != len(exchange.requests):
        seen = len(exchange.requests)
        time.sleep(seconds)


def interrupt(exchange: ForeignExchange, child: Kernel, chance: random.Random) -> None:
    """Press Stop at a random time after one of the first requests, or after one of many changes."""
    endpoint, most = chance.choice([("", 7), ("", 7), ("", 7), (CHANGE, ROWS)])
    wanted = len(arrived(exchange, endpoint)) + chance.randint(1, most)
    deadline = time.monotonic() + 0.6
    while len(arrived(exchange, endpoint)) < wanted and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(chance.uniform(0, 0.03))
    child.interrupt()


def arrived(exchange: ForeignExchange, endpoint: str) -> list[Arrived]:
    """Return the requests of an endpoint, or all."""
    return exchange.arrived(endpoint) if endpoint else exchange.requests


def sent_after_the_prompt(exchange: ForeignExchange, child: Kernel) -> list[tuple[str, int]]:
    """Return the requests that were signed and arrived after the prompt was back, with the milliseconds."""
    offset = exchange.now_ms() - time.monotonic() * 1000
    late = [
        (one.endpoint, min(one.timestamp, int(one.at * 1000 + offset)) - child.back_ms)
        for one in exchange.requests[-300:]
        if one.timestamp
    ]
    return [one for one in late if one[1] > 15]


def contradictions(exchange: ForeignExchange, history: pd.DataFrame, since: int = 0) -> list[str]:
    """Return what the journal says wrongly; each change is made once, so symbol and leverage identify it."""
    posts = [(one.symbol, one.leverage) for one in exchange.requests[since:] if one.endpoint == CHANGE]
    executed = {(symbol, leverage) for _, symbol, leverage in exchange.executed}
    rows = dict(zip(zip(history["symbol"], history["requested"], strict=True), history["status"], strict=True))
    wrong = [f"{post} was sent twice" for post in set(posts) if posts.count(post) > 1]
    wrong += [f"{post} was sent and is not in the journal" for post in posts if post not in rows]
    for row, status in rows.items():
        wrong += [f"{row} is {status}, and was executed"] * (status not in {"applied", "unknown"} and row in executed)
        wrong += [f"{row} is {status}, and was not executed"] * (status == "applied" and row not in executed)
        wrong += [f"{row} is {status}, and was sent"] * (status == "not_sent" and row in posts)
    return wrong


@pytest.mark.parametrize("tries", TRIES)
def test_an_interrupted_plan_sends_nothing_after_the_prompt(
    exchange: ForeignExchange, child: Kernel, tries: int
) -> None:
    """A plan stops sending before the prompt is back, and its rows, the journal and the exchange agree."""
    chance = random.Random(tries)
    wrong: list[str] = []
    for number in range(tries):
        group, target = number % GROUPS, 11 + number // GROUPS % 100
        if group == 0 and number:
            child.run("account.settle()")
        symbols = [f"S{place:03}USDT" for place in range(group * ROWS, (group + 1) * ROWS)]
        since = len(exchange.requests)
        child.run(f"report = None; plan = account.plan({dict.fromkeys(symbols, target)!r})")
        child.start("report = plan.apply()")
        interrupt(exchange, child, chance)
        with suppress(KeyboardInterrupt):
            child.result(timeout=10)
        wait_until_quiet(exchange)
        wrong += [f"try {number}: {late} ms after the prompt" for late in sent_after_the_prompt(exchange, child)]
        posts = {one.symbol for one in exchange.requests[since:] if one.endpoint == CHANGE}
        reported = child.run("{row.symbol: row.status for row in report.rows} if report else {}", timeout=5)
        for symbol, status in reported.items():
            there = exchange.leverages[symbol] == target
            if (status == "not_sent" and symbol in posts) or ((status == "applied") != there and status != "unknown"):
                wrong.append(f"try {number}: {symbol} is reported as {status}, posted: {symbol in posts}, {there=}")
    child.run("account.settle()")
    wrong += contradictions(exchange, child.run("account.history()"))
    assert not wrong, f"{len(wrong)} contradictions: {wrong[:5]}"


CHANGES = """
while True:
    count += 1
    now = symbols[count % 600], 11 + count // 600 % 100
    account.set_leverage(*now)
"""


@pytest.mark.parametrize(
    "tries", [pytest.param(15, id="15 tries"), pytest.param(2000, id="2,000 tries", marks=pytest.mark.proof)]
)
def test_an_interrupted_change_is_reported_correctly(exchange: ForeignExchange, child: Kernel, tries: int) -> None:
    """The report of an interrupted change is true, and the next request works."""
    chance = random.Random(tries)
    wrong: list[str] = []
    child.run("count, symbols = 0, [f'S{place:03}USDT' for place in range(600)]")
    for number in range(tries):
        child.start(CHANGES)
        time.sleep(chance.uniform(0.02, 0.2))
        child.interrupt()
        with pytest.raises(KeyboardInterrupt) as raised:
            child.result(timeout=10)
        wait_until_quiet(exchange, 0.06)
        wrong += [f"try {number}: {late} ms after the prompt" for late in sent_after_the_prompt(exchange, child)]
        symbol, target = child.run("now", timeout=5)
        wrong += false_report(exchange, raised.value, symbol, target)
        read = child.run(f"account.setting({symbol!r}).leverage", timeout=5)
        assert read == exchange.leverages[symbol]
    child.run("account.settle()")
    wrong += contradictions(exchange, child.run("account.history()"))
    assert not wrong, f"{len(wrong)} contradictions: {wrong[:5]}"


def false_report(exchange: ForeignExchange, error: object, symbol: str, target: int) -> list[str]:
    """Return what the record of an interrupted change says wrongly; without a record nothing was sent."""
    change = getattr(error, "change", None)
    if change is None:
        return []
    posted, there = (symbol, target) in exchange.changes_sent(symbol), exchange.leverages[symbol] == target
    is_false = (
        (change.symbol, change.requested) != (symbol, target)
        or (change.status == "not_sent" and posted)
        or (change.status == "applied" and not there)
    )
    return [f"{change!r} is reported of {symbol} to {target}x; {posted=}, {there=}"] if is_false else []


STOPS = """
import threading
from tests.foreign.stops import points_of, stop_at
SHARED = ("/threading.py", "/queue.py", "/contextlib.py", "/connectionpool.py", "/transport.py", "/http.py")
symbols = iter([f"S{place:03}USDT" for place in range(600)] * 50)
points = points_of(lambda: account.set_leverage(next(symbols), 11))
result, target = [], 12
shared = [point for point in points if point[0].endswith(SHARED)]  # where locks are taken and connections kept
others = [point for point in points if point not in shared]
for number, point in enumerate([*shared, *others[:: max(1, len(others) // most)]]):
    symbol = next(symbols)
    if number % 600 == 599:
        account.settle()
        target += 1
    error = stop_at(point, lambda: account.set_leverage(symbol, target))
    result.append((point, symbol, target, error if isinstance(error, BaseException) else None))
    # In a thread, as a panel's request: if it hangs, the kernel goes on.
    request = threading.Thread(target=account.setting, args=(symbol,), daemon=True)
    request.start()
    request.join(2)
    if request.is_alive():
        result.append((point, symbol, target, TimeoutError("the next request hangs")))
        account = lev.connect("testnet", **options)
    if len(result) - number > 4:
        break
"""


@pytest.mark.parametrize(
    "most", [pytest.param(100, id="100 lines"), pytest.param(10_000, id="every line", marks=pytest.mark.proof)]
)
def test_a_change_can_be_interrupted_at_any_line(exchange: ForeignExchange, child: Kernel, most: int) -> None:
    """After an interrupt at any line of the package or its libraries the next request works, and no report is false."""
    exchange.latency = 0.0
    wrong: list[str] = []
    for point, symbol, target, error in child.run(f"most = {most}\n{STOPS}", timeout=300):
        if error is not None and not isinstance(error, KeyboardInterrupt):
            wrong.append(f"{point}: {error!r}")
        wrong += [f"{point}: {report}" for report in false_report(exchange, error, symbol, target)]
    child.run("account.settle()")
    wrong += contradictions(exchange, child.run("account.history()"))
    assert not wrong, f"{len(wrong)} contradictions: {wrong[:5]}"


def test_an_interrupt_reports_no_change_of_another_program(exchange: ForeignExchange, journal: Path) -> None:
    """An interrupted change is not reported as a later change of another process."""
    bad_gateway = Reply.html(502)
    exchange.play(
        CONFIG,
        answer=bad_gateway,
        times=None,
        when=lambda read: read.parameters["recvWindow"] == "301" and bool(exchange.arrived(CHANGE)),
    )
    exchange.play(CHANGE, execute=False, answer=RESET)
    with (
        kernel(options_for(exchange, journal, recv_window=301, timeout=6)) as child,
        kernel(options_for(exchange, journal)) as another,
    ):
        child.start("account.set_leverage('BTCUSDT', 12)")
        exchange.wait_for(CHANGE)
        # It waits for the deadline of the first change, and makes its own.
        assert another.run("account.set_leverage('BTCUSDT', 15)").status == "applied"
        child.interrupt()
        change = None
        try:
            child.result(timeout=10)
        except BaseException as exc:  # noqa: BLE001 - an interrupt, or the outcome it has found meanwhile
            change = getattr(exc, "change", None)
        assert change is not None
        assert change.requested == 12
        assert change.status in {"unknown", "not_applied", "superseded"}
