"""A change is sent only on a fresh read, after every earlier attempt on its symbol is settled."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

import leverage_nb as lev
from leverage_nb.account import Account
from leverage_nb.changes.fresh_read import FRESH_FOR, is_fresh
from leverage_nb.errors import (
    ChangeNotSent,
)
from leverage_nb.simulator import Simulator
from tests.arrivals import SETTING, record_requests
from tests.changes.drafts import begin
from tests.changes.faked_wire import APPLIED, FakedWire
from tests.changes.quick import DEADLINE_MS, attempts, connect_quick, failure, in_thread
from tests.waiting import until


def test_a_change_is_sent_on_a_fresh_read(faked: FakedWire) -> None:
    """A change that was confirmed on a read of less than a second ago is sent without another read."""
    setting = faked.read_setting()
    assert is_fresh(setting)
    faked.answer(APPLIED)
    assert faked.change(setting=setting).before == 20
    assert faked.methods == ["GET", "POST"]


def test_an_older_read_is_repeated(faked: FakedWire) -> None:
    """A read that is more than a second old is repeated; the change is sent if the second one shows the same."""
    setting = replace(faked.read_setting(), read_at=time.monotonic() - FRESH_FOR - 0.001)
    assert not is_fresh(setting)
    faked.answer(APPLIED)
    assert faked.change(setting=setting).status == "applied"
    assert faked.methods == ["GET", "GET", "POST"]


def test_a_change_waits_for_an_open_attempt(quick: Account, simulator: Simulator) -> None:
    """The next change of a symbol is sent only after the deadline of the earlier attempt."""
    simulator.inject("reset_after")
    quick.set_leverage("BTCUSDT", 10)
    quick.set_leverage("BTCUSDT", 30)
    first, second = attempts(quick)
    closed = next(finding.found_at for finding in first.findings if finding.closes)
    assert closed <= second.begun_at
    assert closed.timestamp() * 1000 > first.timestamp_ms + DEADLINE_MS


def test_the_setting_is_read_after_the_wait(quick: Account, simulator: Simulator) -> None:
    """If an earlier attempt is executed during the wait, a change previewed as unchanged sends nothing."""
    preview = quick.preview("BTCUSDT", 20)
    assert preview.verdict == "unchanged"
    attempt = begin(quick, "BTCUSDT", 20, 10)
    simulator.exchange.change_elsewhere("BTCUSDT", 10)
    with pytest.raises(ChangeNotSent, match="confirmed from 20x, and BTCUSDT is at 10x now"):
        preview.apply()
    assert simulator.exchange.received == []
    assert not attempts(quick)[attempt.number - 1].is_open


def test_an_open_attempt_blocks_no_other_symbol(simulator: Simulator) -> None:
    """An open attempt does not delay changes of other symbols."""
    account = connect_quick(simulator, recv_window=60_000)
    simulator.inject("reset_after")
    account.set_leverage("BTCUSDT", 10)
    assert account.set_leverage("XRPUSDT", 10).status == "applied"


def test_a_change_does_not_wait_for_a_minute(simulator: Simulator) -> None:
    """If an open attempt could be executed for another minute, the next change is not sent and names the time."""
    account = connect_quick(simulator, recv_window=60_000)
    simulator.inject("reset_after")
    account.set_leverage("BTCUSDT", 10)
    error = failure(account, leverage=30)
    assert isinstance(error, ChangeNotSent)
    assert "may still be executed until" in error.message
    assert account.setting("BTCUSDT").leverage == 10


def test_two_addresses_of_one_exchange_are_one_account(simulator: Simulator, tmp_path: Path) -> None:
    """An open attempt through one address blocks a change through another: the key identifies the account."""
    journal = tmp_path / "journal.sqlite"
    one = connect_quick(simulator, recv_window=60_000, journal=journal)
    address = simulator.rest_url.replace("127.0.0.1", "localhost")
    key, secret = simulator.api_key, simulator.api_secret
    with lev.connect(rest_url=address, api_key=key, api_secret=secret, journal=journal) as other:
        simulator.inject("reset_after")
        one.set_leverage("BTCUSDT", 10)
        error = failure(other, leverage=30)
        assert isinstance(error, ChangeNotSent)
        assert "may still be executed until" in error.message
    assert len(simulator.exchange.received) == 1


def test_a_change_waits_no_longer_than_until_the_answer(simulator: Simulator) -> None:
    """A second thread's change of the same symbol is sent as soon as the first one's answer is there."""
    account = connect_quick(simulator, recv_window=30_000)
    simulator.inject("late_answer", seconds=0.6)
    thread, ended = in_thread(lambda: account.set_leverage("BTCUSDT", 10))
    until(lambda: simulator.exchange.received != [])
    started = time.monotonic()
    assert account.set_leverage("BTCUSDT", 30).status == "applied"
    assert time.monotonic() - started < 15
    thread.join()
    assert ended[0].status == "applied"


def test_a_stale_read_is_repeated(quick: Account, simulator: Simulator) -> None:
    """A read that shows the value before the exchange's latest answer is repeated, and not reported as unchanged."""
    quick.set_leverage("BTCUSDT", 10)
    simulator.inject("stale_read", seconds=30)
    change = quick.set_leverage("BTCUSDT", 20)
    assert (change.status, change.before, change.after) == ("applied", 10, 20)
    assert simulator.exchange.account.leverage("BTCUSDT") == 20


def test_two_reads_that_differ_show_a_change_elsewhere(quick: Account, simulator: Simulator) -> None:
    """If two reads differ from the exchange's latest answer, the record says that it was changed elsewhere."""
    quick.set_leverage("BTCUSDT", 10)
    simulator.exchange.change_elsewhere("BTCUSDT", 20)
    arrived = record_requests(simulator)
    change = quick.set_leverage("BTCUSDT", 20)
    assert (change.status, change.after) == ("unchanged", 20)
    assert "Changed elsewhere since: the last change from here set 10x" in change.note
    assert arrived == [SETTING, SETTING]


def test_a_clock_that_was_set_back_does_not_prolong_the_wait(
    quick: Account, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clocks are compared before a wait, so a clock that was set back by minutes does not block a symbol."""
    simulator.inject("reset_after")
    quick.set_leverage("BTCUSDT", 10)
    now = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: now() - 600 * 10**9)
    started = time.monotonic()
    assert quick.set_leverage("BTCUSDT", 30).status == "applied"
    assert time.monotonic() - started < 10
