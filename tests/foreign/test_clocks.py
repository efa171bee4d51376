"""A clock that jumps or an implausible server time causes no hang, no false timestamp and no foreign error."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from leverage_nb import Account, LeverageError
from tests.foreign.conftest import outcome
from tests.foreign.exchange import CHANGE, CONFIG, TIME, ForeignExchange
from tests.foreign.kernels import Kernel
from tests.foreign.wire import LATE_CLOCK, RESET, SILENCE, Reply

FALSE_TIMES = {
    "1e17": 10**17,
    "-1e17": -(10**17),
    "1e30": 10**30,
    "0": 0,
    "in 20 minutes": time.time_ns() // 1_000_000 + 20 * 60_000,
    "next year": time.time_ns() // 1_000_000 + 400 * 86_400_000,
}


@pytest.mark.parametrize("false_time", FALSE_TIMES)
def test_an_implausible_server_time_is_refused(
    exchange: ForeignExchange, connect: Callable[..., Account], false_time: str
) -> None:
    """An implausible server time is an error, and no request is signed with it."""
    account = connect()
    exchange.play(TIME, answer=Reply.of({"serverTime": FALSE_TIMES[false_time]}), times=None)
    exchange.play(CHANGE, execute=False, answer=LATE_CLOCK)
    for symbol in ("BTCUSDT", "ETHUSDT"):
        change = outcome(partial(account.set_leverage, symbol, 12))
        assert change.status in {"applied", "refused", "not_sent"}
        assert (change.status == "applied") == (exchange.leverages[symbol] == 12)
    assert_no_false_timestamp(exchange)


@pytest.mark.parametrize("false_time", ["-1e17", "next year"])
def test_an_implausible_server_time_while_an_attempt_is_open(
    exchange: ForeignExchange, connect: Callable[..., Account], false_time: str
) -> None:
    """An implausible server time neither prolongs settling nor breaks the next change."""
    account = connect(recv_window=1000, grace=0.1, timeout=3.0)
    exchange.play(TIME, answer=Reply.of({"serverTime": FALSE_TIMES[false_time]}), times=None)
    exchange.play(CHANGE, execute=False, answer=RESET)
    started = time.monotonic()
    assert outcome(lambda: account.set_leverage("BTCUSDT", 12)).status in {"not_applied", "unknown"}
    next_change = outcome(lambda: account.set_leverage("BTCUSDT", 13))
    assert time.monotonic() - started < 25
    assert next_change.status in {"applied", "not_sent"}
    exchange.clear()
    account.settle()
    assert account.history()["status"].iloc[0] == "not_applied"
    assert_no_false_timestamp(exchange)


def assert_no_false_timestamp(exchange: ForeignExchange) -> None:
    """Assert that every signed request has a timestamp within 15 minutes of the system's time."""
    now = time.time() * 1000
    assert [one for one in exchange.requests if one.timestamp and abs(one.timestamp - now) > 15 * 60_000] == []


STEPPED = """
import time
from functools import partial
from pathlib import Path
flag, seconds, wall, wall_ns = Path({flag!r}), {seconds}, time.time, time.time_ns
time.time = lambda: wall() + (seconds if flag.exists() else 0)
time.time_ns = lambda: wall_ns() + (seconds * 10**9 if flag.exists() else 0)
"""


def break_reads(exchange: ForeignExchange) -> None:
    """Answer every read with an error from now on."""
    for endpoint in (CONFIG, TIME):
        exchange.play(endpoint, answer=Reply.html(502), times=None)


@pytest.mark.parametrize("case", ["executed", "lost", "no read is answered"])
def test_the_system_clock_is_set_back_while_a_change_settles(
    exchange: ForeignExchange, start_kernel: Callable[..., Kernel], tmp_path: Path, case: str
) -> None:
    """A system clock that is set back by ten minutes neither prolongs settling nor changes its result."""
    flag, executed = tmp_path / "stepped", case == "executed"
    kernel = start_kernel(recv_window=1000, timeout=3)
    kernel.run(STEPPED.format(flag=str(flag), seconds=-600))

    def step() -> None:
        flag.touch()
        if case == "no read is answered":
            break_reads(exchange)

    exchange.play(CHANGE, execute=executed, execute_after=0.6 * executed, answer=RESET, first=step)
    kernel.start("account.set_leverage('BTCUSDT', 12)")
    status = outcome(lambda: kernel.result(timeout=30)).status
    assert status in {"applied" if executed else "not_applied", "unknown"}


@pytest.mark.parametrize("cell", ["account.settle()", "account.set_leverage('BTCUSDT', 13)"])
def test_the_system_clock_is_set_back_before_an_open_attempt_is_settled(
    exchange: ForeignExchange, start_kernel: Callable[..., Kernel], tmp_path: Path, cell: str
) -> None:
    """The wait for an open attempt ends soon after its deadline, even if the exchange answers no read."""
    flag = tmp_path / "stepped"
    exchange.play(CHANGE, execute=False, answer=SILENCE)
    first = start_kernel(recv_window=1000)
    first.start("account.set_leverage('BTCUSDT', 12)")
    exchange.wait_for(CHANGE)
    first.kill()
    kernel = start_kernel(timeout=3)
    kernel.run(STEPPED.format(flag=str(flag), seconds=-600) + "account.symbols()")
    flag.touch()
    break_reads(exchange)
    kernel.start(cell)
    with suppress(LeverageError):
        kernel.result(timeout=30)
    exchange.clear()
    assert kernel.run("account.history()['status'].tolist()", timeout=30) in (["not_applied"], ["unknown"])


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
        assert came.wait_for(lambda: 30 in seen, 60), f"only {seen} came"
