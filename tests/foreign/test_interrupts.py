"""After Ctrl-C nothing is sent, the next request works, and report, journal and exchange agree."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from tests.foreign.answers import position
from tests.foreign.exchange import CHANGE, CONFIG, MARGIN, MARGIN_TYPE, ForeignExchange, serving
from tests.foreign.kernels import Kernel, kernel, options_for
from tests.foreign.wire import RESET, Arrived, Reply

# The number of tries in the default run, and in a long one.
TRIES = [pytest.param(8, id="8 tries"), pytest.param(1000, id="1,000 tries", marks=pytest.mark.proof)]

ROWS = 60
GROUPS = 10  # plans without a common symbol: an open attempt of one does not stop the next
HELD = 20  # the last symbols have an isolated position

Change = tuple[str, str, Any]  # kind, symbol and value


@pytest.fixture
def exchange() -> Iterator[ForeignExchange]:
    """An exchange of 600 symbols, with a latency of 20 ms."""
    with serving(GROUPS * ROWS) as running:
        running.latency = 0.02
        names = [f"S{place:03}USDT" for place in range(GROUPS * ROWS - HELD, GROUPS * ROWS)]
        running.positions = [position(name, isolatedWallet="50000", isolatedMargin="50000") for name in names]
        yield running


def posts(exchange: ForeignExchange) -> Counter[Change]:
    """Return the changes that were posted."""
    found: Counter[Change] = Counter()
    for one in exchange.requests:
        if one.endpoint == CHANGE:
            found["leverage", one.symbol, one.leverage] += 1
        elif one.endpoint == MARGIN_TYPE:
            found["margin type", one.symbol, _type(one.parameters["marginType"])] += 1
        elif one.endpoint == MARGIN:
            sign = 1 if one.parameters["type"] == "1" else -1
            found["isolated margin", one.symbol, sign * Decimal(one.parameters["amount"])] += 1
    return found


def executions(exchange: ForeignExchange) -> Counter[Change]:
    """Return the changes that were executed."""
    found = Counter[Change](("leverage", symbol, leverage) for _, symbol, leverage in exchange.executed)
    found.update(("margin type", symbol, _type(word)) for _, symbol, word in exchange.types_executed)
    found.update(("isolated margin", row["symbol"], Decimal(row["amount"])) for row in exchange.margins)
    return found


def _type(word: str) -> str:
    return "isolated" if word == "ISOLATED" else "cross"


@pytest.fixture
def child(exchange: ForeignExchange, journal: Path) -> Iterator[Kernel]:
    """The kernel that is interrupted."""
    with kernel(options_for(exchange, journal, recv_window=1000)) as started:
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
    endpoint, most = chance.choice([("", 7), ("", 7), ("", 7), (CHANGE, ROWS), (MARGIN_TYPE, ROWS // 3)])
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


def contradictions(exchange: ForeignExchange, history: pd.DataFrame) -> list[str]:
    """Return what the journal says wrongly, by the number of equal changes."""
    rows: dict[Change, Counter[str]] = {}
    for kind, symbol, value, status in zip(*(history[name] for name in COLUMNS), strict=True):
        value = Decimal(str(value)) if kind == "isolated margin" else value
        rows.setdefault((kind, symbol, value), Counter())[status] += 1
    posted, executed = posts(exchange), executions(exchange)
    wrong = []
    for one in rows | posted | executed:
        found = rows.get(one, Counter())
        if posted[one] > found.total() - found["not_sent"]:
            wrong.append(f"{one} was sent {posted[one]} times, and the journal has {found}")
        if not found["applied"] <= executed[one] <= found["applied"] + found["unknown"]:
            wrong.append(f"{one} was executed {executed[one]} times, and the journal has {found}")
    return wrong


COLUMNS = ("kind", "symbol", "requested", "status")


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
        places = range(group * ROWS, (group + 1) * ROWS)
        name = ("isolated", "cross")[number // GROUPS % 2]
        wanted: dict[str, Any] = {f"S{place:03}USDT": target if place % 3 else (target, name) for place in places}
        before = posts(exchange)
        child.run(f"report = None; plan = account.plan({wanted!r})")
        child.start("report = plan.apply()")
        interrupt(exchange, child, chance)
        with suppress(KeyboardInterrupt):
            child.result(timeout=30)
        wait_until_quiet(exchange)
        wrong += [f"try {number}: {late} ms after the prompt" for late in sent_after_the_prompt(exchange, child)]
        posted = posts(exchange) - before
        rows = "[(row.kind, row.symbol, row.after, row.status) for row in report.rows] if report else []"
        for kind, symbol, value, status in child.run(rows, timeout=30):
            now = exchange.leverages[symbol] if kind == "leverage" else _type(exchange.margin_type(symbol))
            there, sent = now == value, posted[kind, symbol, value] > 0
            ended = {"applied", "unchanged"}
            if (status == "not_sent" and sent) or (
                (status in ended) != there and status not in {"unknown", "not_sent"}
            ):
                wrong.append(f"try {number}: {symbol} {kind} is reported as {status}, posted: {sent}, {there=}")
    child.run("account.settle()")
    wrong += contradictions(exchange, child.run("account.history()"))
    assert not wrong, f"{len(wrong)} contradictions: {wrong[:5]}"


CHANGES = """
while True:
    count += 1
    kind = ("leverage", "margin type", "isolated margin")[count % 3]
    place = {"leverage": count % 600, "margin type": count % 580, "isolated margin": 580 + count % 20}[kind]
    symbol = f"S{place:03}USDT"
    if kind == "leverage":
        now = kind, symbol, 11 + count // 600 % 100
        account.set_leverage(symbol, now[2])
    elif kind == "margin type":
        now = kind, symbol, ("isolated", "cross")[count // 580 % 2]
        account.set_margin_type(symbol, now[2])
    else:
        now = kind, symbol, decimal.Decimal(count % 2 * 2 - 1) * (count % 500 + 1)
        account.change_isolated_margin(symbol, now[2])
"""


@pytest.mark.parametrize(
    "tries", [pytest.param(8, id="8 tries"), pytest.param(2000, id="2,000 tries", marks=pytest.mark.proof)]
)
def test_an_interrupted_change_is_reported_correctly(exchange: ForeignExchange, child: Kernel, tries: int) -> None:
    """The report of an interrupted change is true, and the next request works."""
    chance = random.Random(tries)
    wrong: list[str] = []
    child.run("import decimal; count = 0")
    for number in range(tries):
        before = posts(exchange), executions(exchange)
        child.start(CHANGES)
        time.sleep(chance.uniform(0.02, 0.2))
        child.interrupt()
        with pytest.raises(KeyboardInterrupt) as raised:
            child.result(timeout=30)
        wait_until_quiet(exchange, 0.06)
        wrong += [f"try {number}: {late} ms after the prompt" for late in sent_after_the_prompt(exchange, child)]
        now = child.run("now", timeout=30)
        wrong += false_report(exchange, raised.value, now, before)
        read = child.run(f"account.setting({now[1]!r}).leverage", timeout=30)
        assert read == exchange.leverages[now[1]]
    child.run("account.settle()")
    wrong += contradictions(exchange, child.run("account.history()"))
    assert not wrong, f"{len(wrong)} contradictions: {wrong[:5]}"


def false_report(
    exchange: ForeignExchange, error: object, now: Change, before: tuple[Counter[Change], Counter[Change]]
) -> list[str]:
    """Return what the record of an interrupted change says wrongly; without a record nothing was sent."""
    change = getattr(error, "change", None)
    if change is None:
        return []
    posted, there = (posts(exchange) - before[0])[now] > 0, (executions(exchange) - before[1])[now] > 0
    is_false = (
        (change.kind, change.symbol, change.requested) != now
        or (change.status == "not_sent" and posted)
        or (change.status == "applied" and not there)
    )
    return [f"{change!r} is reported of {now}; {posted=}, {there=}"] if is_false else []


STOPS = """
import decimal, threading
from tests.foreign.stops import points_of, stop_at
SHARED = ("/threading.py", "/queue.py", "/contextlib.py", "/connectionpool.py", "/transport.py", "/http.py")
first, count = (580, 20) if kind == "isolated margin" else (0, 580)
symbols = iter([f"S{place:03}USDT" for place in range(first, first + count)] * 500)
act = {
    "leverage": account.set_leverage,
    "margin type": account.set_margin_type,
    "isolated margin": account.change_isolated_margin,
}[kind]
values = {
    "leverage": lambda turn: 12 + turn % 100,
    "margin type": lambda turn: ("isolated", "cross")[turn % 2],
    "isolated margin": lambda turn: decimal.Decimal(turn + 1) / 100,
}[kind]
points = points_of(lambda: act(next(symbols), {"leverage": 11, "margin type": "isolated"}.get(kind, 999)))
result = []
shared = [point for point in points if point[0].endswith(SHARED)]  # where locks are taken and connections kept
others = [point for point in points if point not in shared]
for number, point in enumerate([*shared, *others[:: max(1, len(others) // most)]]):
    symbol, target = next(symbols), values(number // count)
    if number % count == count - 1:
        account.settle()
    error = stop_at(point, lambda: act(symbol, target))
    result.append((point, symbol, target, error if isinstance(error, BaseException) else None))
    # In a thread, as a panel's request: if it hangs, the kernel goes on.
    request = threading.Thread(target=account.setting, args=(symbol,), daemon=True)
    request.start()
    request.join(10)
    if request.is_alive():
        result.append((point, symbol, target, TimeoutError("the next request hangs")))
        account = lev.connect("testnet", **options)
    if len(result) - number > 4:
        break
"""


@pytest.mark.parametrize(
    "most", [pytest.param(50, id="50 lines"), pytest.param(10_000, id="every line", marks=pytest.mark.proof)]
)
@pytest.mark.parametrize("kind", ["leverage", "margin type", "isolated margin"])
def test_a_change_can_be_interrupted_at_any_line(
    exchange: ForeignExchange, child: Kernel, kind: str, most: int
) -> None:
    """After an interrupt at any line of the package or its libraries the next request works, and no report is false."""
    exchange.latency = 0.0
    wrong: list[str] = []
    for point, symbol, target, error in child.run(f"kind, most = {kind!r}, {most}\n{STOPS}", timeout=300):
        if error is not None and not isinstance(error, KeyboardInterrupt):
            wrong.append(f"{point}: {error!r}")
        # Each change is made once, so that it was posted or executed at any time.
        wrong += [
            f"{point}: {report}"
            for report in false_report(exchange, error, (kind, symbol, target), (Counter(), Counter()))
        ]
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
        when=lambda read: read.parameters["recvWindow"] == "1501" and bool(exchange.arrived(CHANGE)),
    )
    exchange.play(CHANGE, execute=False, answer=RESET)
    with (
        kernel(options_for(exchange, journal, recv_window=1501)) as child,
        kernel(options_for(exchange, journal)) as another,
    ):
        child.start("account.set_leverage('BTCUSDT', 12)")
        exchange.wait_for(CHANGE)
        # It waits for the deadline of the first change, and makes its own.
        assert another.run("account.set_leverage('BTCUSDT', 15)").status == "applied"
        child.interrupt()
        change = None
        try:
            child.result(timeout=30)
        except BaseException as exc:  # noqa: BLE001 - an interrupt, or the outcome it has found meanwhile
            change = getattr(exc, "change", None)
        assert change is not None
        assert change.requested == 12
        assert change.status in {"unknown", "not_applied", "superseded"}
