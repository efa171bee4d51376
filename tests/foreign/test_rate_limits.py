"""After a 418 or 429 nothing is sent before the latest time that the exchange has named."""

from __future__ import annotations

import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path

import pytest

import leverage_nb as lev
from leverage_nb import Account, RateLimited
from tests.foreign.exchange import CHANGE, CONFIG, TIERS, ForeignExchange, serving
from tests.foreign.kernels import options_for
from tests.foreign.wire import Reply
from tests.patience import giving_up_soon, verifying_at_most


def banned(seconds: float) -> str:
    """Return the exchange's text for a ban that ends in a number of seconds."""
    return f"Way too many requests; IP(1.2.3.4) banned until {int((time.time() + seconds) * 1000)}."


def in_15_minutes() -> str:
    """Return a time in the format of HTTP."""
    return formatdate(time.time() + 900, usegmt=True)


# Status, text, headers, and the seconds for which nothing may be sent at least.
# Functions, because the times are relative to the start of a test.
CASES: dict[str, Callable[[], tuple[int, str, tuple[str, ...], float]]] = {
    "an hour in words, 5 s in the header": lambda: (418, banned(3600), ("Retry-After: 5",), 3500),
    "5 s in words, an hour in the header": lambda: (418, banned(5), ("Retry-After: 3600",), 3500),
    "an hour in words, with 429": lambda: (429, banned(3600), ("Retry-After: 1",), 3500),
    "a ban for 0 s": lambda: (418, "Way too many requests.", ("Retry-After: 0",), 1),
    "a ban for -5 s": lambda: (418, "Way too many requests.", ("Retry-After: -5",), 1),
    "a limit for 0 s": lambda: (429, "Too many requests.", ("Retry-After: 0",), 0.5),
    "a ban that is over": lambda: (418, banned(-60), (), 1),
    "a date in the header": lambda: (429, "Too many requests.", (f"Retry-After: {in_15_minutes()}",), 800),
    "a date that is over": lambda: (418, "Way too many requests.", ("Retry-After: Thu, 01 Jan 1970 00:00:00 GMT",), 1),
    "an impossible date": lambda: (418, "Way too many requests.", ("Retry-After: Thu, 99 Foo 2026 99:99:99 GMT",), 1),
    "seconds with a fraction": lambda: (429, "Too many requests.", ("Retry-After: 700.5",), 600),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_sent_before_the_latest_named_time(
    exchange: ForeignExchange, connect: Callable[..., Account], case: str
) -> None:
    """Nothing is sent before the latest time in header and text, and never at once."""
    status, words, headers, least = CASES[case]()
    account = connect()
    account.symbols()
    exchange.play(TIERS, answer=Reply.error(status, -1003, words, *headers))
    with pytest.raises(RateLimited):
        account.brackets()
    arrived = len(exchange.requests)
    with verifying_at_most(account, 0.3), pytest.raises(RateLimited) as raised:
        account.setting("BTCUSDT")
    assert len(exchange.requests) == arrived
    assert raised.value.retry_after is not None
    assert raised.value.retry_after >= least - 0.4


def test_a_ban_is_bounded(exchange: ForeignExchange, connect: Callable[..., Account]) -> None:
    """A ban of years is shortened, because the exchange documents at most three days."""
    account = connect()
    account.symbols()
    exchange.play(TIERS, answer=Reply.error(418, -1003, banned(10 * 365 * 86_400), "Retry-After: 999999999"))
    with pytest.raises(RateLimited):
        account.brackets()
    with verifying_at_most(account, 0.3), pytest.raises(RateLimited) as raised:
        account.setting("BTCUSDT")
    assert raised.value.retry_after is not None
    assert 3600 < raised.value.retry_after <= 7 * 86_400


@pytest.mark.parametrize("ending", ["silence", "reset"])
def test_a_plan_stops_when_nothing_is_answered(journal: Path, ending: str) -> None:
    """A plan whose requests are not answered stops after a few rows, and reports which were sent."""
    with (
        serving(150) as exchange,
        lev.connect("testnet", **options_for(exchange, journal, recv_window=1500)) as account,
    ):
        plan = account.plan({f"S{number:03}USDT": 20 for number in range(150)})
        dead = Reply(ending=ending)
        exchange.play(CHANGE, execute=False, answer=dead, times=None)
        exchange.play(CONFIG, answer=dead, times=None, when=lambda read: bool(exchange.arrived(CHANGE)))
        started = time.monotonic()
        with verifying_at_most(account, 3.0), giving_up_soon(account):
            rows = {row.symbol: row.status for row in plan.apply().rows}
        assert time.monotonic() - started < 60
        sent = {symbol for symbol, _ in exchange.changes_sent()}
        assert 1 <= len(sent) <= 40
        assert {symbol for symbol, status in rows.items() if status == "not_sent"} == rows.keys() - sent
