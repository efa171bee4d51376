"""Past changes are shown newest first, and settled once."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from leverage_nb.account import Account, service_of
from leverage_nb.errors import (
    LeverageError,
)
from leverage_nb.simulator import Simulator
from tests.arrivals import break_reads_after_a_change
from tests.changes.drafts import begin
from tests.conftest import connect_to
from tests.patience import verifying_at_most


def test_the_next_session_settles_open_changes_once(simulator: Simulator, tmp_path: Path) -> None:
    """A change that an earlier session left open is settled by the next one, and reported once."""
    path = tmp_path / "journal.sqlite"
    before = connect_to(simulator, journal=path, recv_window=1000, grace=0.0)
    preview = before.preview("BTCUSDT", 10)
    simulator.inject("reset_after")
    break_reads_after_a_change(simulator)
    with verifying_at_most(before, 3.0), pytest.raises(LeverageError):
        preview.apply()
    simulator.clear_faults()
    after = connect_to(simulator, journal=path, grace=0.0)
    assert [change.status for change in service_of(after).past.open()] == ["unknown"]
    [found] = after.settle()
    assert (found.symbol, found.status, found.confirmed_by) == ("BTCUSDT", "applied", "symbolConfig")
    assert after.settle() == []
    assert service_of(after).past.open() == []


def test_settling_notifies_the_listeners(simulator: Simulator) -> None:
    """A listener is notified of a change that is found applied later."""
    account = connect_to(simulator, recv_window=500, grace=0.05)
    notified: list[Any] = []

    class Listener:
        def notice(self, change: Any) -> None:
            notified.append(change.after)

    listener = Listener()
    service_of(account).add_listener(listener.notice)
    begin(account, "BTCUSDT", 33, 20)
    account.settle()
    assert notified == [20]


def test_the_last_changes_come_newest_first(account: Account) -> None:
    """The last changes are returned newest first."""
    for symbol, wanted in (("BTCUSDT", 10), ("XRPUSDT", 20), ("SOLUSDT", 10)):
        account.set_leverage(symbol, wanted)
    assert [change.symbol for change in service_of(account).past.last(2)] == ["SOLUSDT", "XRPUSDT"]
    assert service_of(account).past.open() == []


def test_records_from_the_journal_name_the_profile(simulator: Simulator, tmp_path: Path) -> None:
    """A record from the journal names the account and profile as the change itself did."""
    account = connect_to(simulator, profile="sub1", journal=tmp_path / "journal.sqlite")
    made = account.set_leverage("BTCUSDT", 10)
    assert made.account == account.label
    assert [change.account for change in service_of(account).past.last(1)] == [account.label]


def test_what_was_changed_since_a_time(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of the same kind and symbol counts if it was made; one that the clock dates later says nothing."""
    past = service_of(account).past
    at = datetime.now().astimezone()
    account.set_leverage("BTCUSDT", 10)
    assert past.has_since("BTCUSDT", "leverage", at)
    assert not past.has_since("BTCUSDT", "isolated margin", at)
    assert not past.has_since("ETHUSDT", "leverage", at)
    assert not past.has_since("BTCUSDT", "leverage", datetime.now().astimezone())
    later = [replace(attempt, begun_at=attempt.begun_at + timedelta(hours=1)) for attempt in past.attempts()]
    monkeypatch.setattr(past, "attempts", lambda **_: later)  # as after the clock was set back by an hour
    assert not past.has_since("BTCUSDT", "leverage", at)
