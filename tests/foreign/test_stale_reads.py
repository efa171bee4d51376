"""A read may be old, and a list may lack a row: neither overrules what the exchange has answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from leverage_nb import Account
from leverage_nb.account import service_of
from tests.foreign.conftest import outcome
from tests.foreign.exchange import CHANGE, CONFIG, ForeignExchange
from tests.foreign.wire import RESET, Reply


def serve_stale(exchange: ForeignExchange, leverage: int, times: int) -> None:
    """Let the next reads of the setting show BTCUSDT at an older leverage."""

    def edit(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**row, "leverage": leverage} if row["symbol"] == "BTCUSDT" else row for row in rows]

    exchange.play(CONFIG, edit=edit, times=times)


WAYS: dict[str, Callable[[Account], Any]] = {
    "set_leverage": lambda account: account.set_leverage("BTCUSDT", 20),
    "preview": lambda account: account.preview("BTCUSDT", 20).apply(),
    "plan": lambda account: account.plan({"BTCUSDT": 20}).apply().rows[0].change,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_stale_read_is_repeated(exchange: ForeignExchange, connect: Callable[..., Account], way: str) -> None:
    """A read that shows the value before the exchange's own answer is repeated before a change is sent."""
    exchange.leverages["BTCUSDT"] = 20
    account = connect()
    account.set_leverage("BTCUSDT", 10)
    serve_stale(exchange, 20, times=1)
    change = outcome(lambda: WAYS[way](account))
    assert change is not None, "reported as unchanged at a leverage that is not there"
    assert (change.status, change.before, change.after) == ("applied", 10, 20)
    assert exchange.leverages["BTCUSDT"] == 20


def test_a_change_elsewhere_counts_after_the_second_read(
    exchange: ForeignExchange, connect: Callable[..., Account]
) -> None:
    """A setting that differs from the exchange's last answer is read again after a second, and then counts."""
    account = connect()
    account.set_leverage("BTCUSDT", 20)
    exchange.change("BTCUSDT", 30)
    reads = len(exchange.arrived(CONFIG))
    change = outcome(lambda: account.set_leverage("BTCUSDT", 30))
    assert (change.status, change.after) == ("unchanged", 30)
    assert exchange.changes_sent() == [("BTCUSDT", 20)]
    times = [read.at for read in exchange.arrived(CONFIG)[reads:]]
    assert len(times) >= 2
    assert times[-1] - times[0] >= 0.9


def test_a_read_from_before_the_answer_does_not_count(
    exchange: ForeignExchange, connect: Callable[..., Account]
) -> None:
    """A read that was answered after another account object's change does not count."""
    account, another = connect(), connect()
    exchange.leverages["BTCUSDT"] = 20
    another.symbols(), account.symbols()
    exchange.play(CONFIG, then=lambda: another.set_leverage("BTCUSDT", 10))
    change = outcome(lambda: account.set_leverage("BTCUSDT", 20))
    assert (change.status, change.before) in {("applied", 10), ("not_sent", None), ("not_sent", 10), ("not_sent", 20)}
    assert exchange.leverages["BTCUSDT"] == (20 if change.status == "applied" else 10)


def test_rows_missing_from_a_list_are_verified_again(
    exchange: ForeignExchange, connect: Callable[..., Account]
) -> None:
    """Rows whose symbols one list lacks stay open, and the next list that has them settles them."""
    account = connect(recv_window=1500, grace=0.1)
    plan = account.plan({"BTCUSDT": 12, "ETHUSDT": 13, "SOLUSDT": 14})
    exchange.play(CHANGE, answer=RESET, times=None)

    def without(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [row for row in rows if row["symbol"] == "BTCUSDT"] if exchange.arrived(CHANGE) else rows

    exchange.play(CONFIG, edit=without, times=None, when=lambda read: not read.symbol)
    rows = {row.symbol: row for row in plan.apply().rows}
    assert rows["BTCUSDT"].status == "applied"
    for symbol in ("ETHUSDT", "SOLUSDT"):
        assert rows[symbol].status in {"applied", "unknown"}
        assert "no longer listed" not in rows[symbol].note
    exchange.clear()
    account.settle()
    assert account.history()["status"].tolist() == ["applied"] * 3
    assert not service_of(account).past.open()


def test_one_read_without_the_symbol_closes_no_attempt(
    exchange: ForeignExchange, connect: Callable[..., Account]
) -> None:
    """A read that answers -1121 does not close an attempt that was executed."""
    account = connect(recv_window=1500, grace=0.1)
    exchange.play(CHANGE, answer=RESET)
    unlisted = Reply.error(400, -1121, "Invalid symbol.")
    exchange.play(CONFIG, answer=unlisted, times=None, when=lambda read: bool(exchange.arrived(CHANGE)))
    assert outcome(lambda: account.set_leverage("BTCUSDT", 12)).status == "unknown"
    exchange.clear()
    account.settle()
    assert account.history()["status"].tolist() == ["applied"]
    assert not service_of(account).past.open()
