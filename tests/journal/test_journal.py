"""The journal: committed before it leaves, appended to, never lost, and said when it cannot be used."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import subprocess
import sys
import threading
from collections import namedtuple
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from leverage_nb.changes.entries import Attempt, Finding, StillOpenError
from leverage_nb.changes.journal import MEMORY, Journal
from leverage_nb.changes.schema import APPLICATION_ID, MIGRATIONS

from leverage_nb.account import Account
from leverage_nb.changes import entries
from leverage_nb.changes import journal as journal_module
from leverage_nb.errors import ChangeNotSent, JournalUnusable
from leverage_nb.simulator import Simulator
from tests.conftest import connect_to

NOW = datetime(2026, 11, 22, 14, 3, 7, 123456, tzinfo=UTC)
APPLIED = Finding(NOW, "answer", "applied", closes=True, leverage=10, max_notional=230e6, http_status=200)
UNKNOWN = Finding(NOW, "no answer", "unknown", closes=False, note="broken")


def draft(symbol: str = "BTCUSDT", account: str = "key 1", address: str = "http://here") -> Attempt:
    """An attempt as it is before it is written down."""
    return Attempt(0, NOW, "simulator", address, account, symbol, "USDT", 20, 10, 0, 5000, "")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a journal is to be."""
    return tmp_path / "folder" / "journal.sqlite"


@pytest.fixture
def journal(path: Path) -> Iterator[Journal]:
    """A new journal."""
    journal = Journal(path)
    yield journal
    journal.close()


def test_what_was_written_is_there_again(journal: Journal, path: Path) -> None:
    """Every field of attempts and findings comes back from the file, to the microsecond."""
    begun = journal.begin(draft(), lambda: 1_700_000_000_000)
    assert (begun.number, begun.timestamp_ms, begun.is_open, begun.is_ours) == (1, 1_700_000_000_000, True, True)
    journal.add(begun, UNKNOWN)
    closed = journal.add(begun, APPLIED)
    journal.close()
    [again] = Journal(path).attempts("http://here", "key 1")
    assert again == closed
    assert again.findings == (UNKNOWN, APPLIED)
    change = again.change
    assert (change.status, change.before, change.after, change.confirmed_by) == ("applied", 20, 10, "answer")


def test_one_attempt_at_a_time(journal: Journal) -> None:
    """While an attempt is open no other begins on the same account and symbol; elsewhere it does."""
    first = journal.begin(draft(), lambda: 1)
    with pytest.raises(StillOpenError) as caught:
        journal.begin(draft(), lambda: 2)
    assert caught.value.attempt == first
    for other in (draft("ETHUSDT"), draft(account="key 2"), draft(address="http://there")):
        assert journal.begin(other, lambda: 2).is_open
    journal.add(first, APPLIED)
    assert journal.begin(draft(), lambda: 3).number == 5


def test_accounts_are_kept_apart(journal: Journal) -> None:
    """One account's attempts are never seen from another key, nor from another address."""
    journal.begin(draft(), lambda: 1)
    assert journal.attempts("http://here", "key 2") == []
    assert journal.attempts("http://there", "key 1") == []
    assert journal.last("http://here", "key 2", "BTCUSDT") is None


def test_it_is_appended_to_and_never_altered(journal: Journal, path: Path) -> None:
    """Attempts and findings can be neither changed nor deleted, by whatever program."""
    journal.add(journal.begin(draft(), lambda: 1), APPLIED)
    with sqlite3.connect(path) as other:
        for statement in (
            "UPDATE attempts SET requested = 5", "DELETE FROM attempts", "UPDATE findings SET status = 'refused'",
            "DELETE FROM findings",
        ):  # fmt: skip
            with pytest.raises(sqlite3.IntegrityError, match="never altered"):
                other.execute(statement)
    other.close()


def test_a_settled_attempt_is_not_settled_twice(journal: Journal) -> None:
    """What closed an attempt first holds against a second look; a definite answer is added all the same."""
    begun = journal.begin(draft(), lambda: 1)
    not_applied = Finding(NOW, "symbolConfig", "not_applied", closes=True, leverage=20, as_of=NOW)
    journal.add(begun, not_applied)
    superseded = Finding(NOW, "symbolConfig", "superseded", closes=True, leverage=33, as_of=NOW)
    assert journal.add(begun, superseded, unless_closed=True).status == "not_applied"
    assert journal.add(begun, APPLIED).status == "applied"


def test_the_file_is_private(journal: Journal, path: Path) -> None:
    """Nobody else on the machine can read it."""
    journal.check()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_threads_and_processes_write_at_once(path: Path) -> None:
    """Two processes with two threads each write two hundred attempts, and every one is there."""
    context = multiprocessing.get_context("forkserver")
    others = [context.Process(target=_write_many, args=(str(path), f"key {number}")) for number in range(2)]
    for other in others:
        other.start()
    for other in others:
        other.join(60)
        assert other.exitcode == 0
    with_findings = [Journal(path).attempts("http://here", f"key {number}") for number in range(2)]
    assert [len(attempts) for attempts in with_findings] == [100, 100]
    assert all(attempt.status == "applied" for attempts in with_findings for attempt in attempts)


def _write_many(path: str, account: str) -> None:
    journal = Journal(path)

    def write(symbol: str) -> None:
        for _ in range(50):
            journal.add(journal.begin(draft(symbol, account), lambda: 1), APPLIED)

    threads = [threading.Thread(target=write, args=(symbol,)) for symbol in ("BTCUSDT", "ETHUSDT")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(journal.attempts("http://here", account)) == 100


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
def test_a_forked_process_opens_the_file_anew(journal: Journal) -> None:
    """After a fork both write, and neither uses the other's connection."""
    journal.begin(draft(), lambda: 1)
    child = os.fork()
    if not child:
        attempt = journal.begin(draft("ETHUSDT"), lambda: 2)
        os._exit(0 if attempt.process.startswith(entries._PROCESS + " fork") else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert [attempt.is_ours for attempt in journal.attempts("http://here", "key 1")] == [True, False]


def test_the_schema_has_a_version_and_grows(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of an older version is brought up to date with what it holds; one of a newer version is left alone."""
    old = Journal(path)
    old.begin(draft(), lambda: 1)
    old.close()
    with sqlite3.connect(path) as raw:
        assert raw.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
        assert raw.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    raw.close()
    steps = (*MIGRATIONS, ("ALTER TABLE attempts ADD COLUMN mood TEXT",))
    monkeypatch.setattr(journal_module, "MIGRATIONS", steps)
    newer = Journal(path)
    assert [attempt.symbol for attempt in newer.attempts("http://here", "key 1")] == ["BTCUSDT"]
    newer.close()
    monkeypatch.setattr(journal_module, "MIGRATIONS", MIGRATIONS)
    before = path.read_bytes()
    with pytest.raises(JournalUnusable, match="written by a newer leverage_nb"):
        Journal(path).check()
    assert path.read_bytes() == before


def unusable(tmp_path: Path, kind: str) -> Path:
    """A file that cannot be a journal."""
    path = tmp_path / "journal.sqlite"
    if kind == "no database":
        path.write_text("notes of mine\n" * 100)
    elif kind == "a folder":
        path.mkdir()
    elif kind == "a file for a folder":
        (tmp_path / "file").write_text("x")
        path = tmp_path / "file" / "journal.sqlite"
    elif kind == "another program's":
        with sqlite3.connect(path) as other:
            other.execute("CREATE TABLE songs (title TEXT)")
        other.close()
    elif kind == "damaged":
        journal = Journal(path)
        for number in range(200):
            journal.add(journal.begin(draft(f"S{number}USDT"), lambda: 1), APPLIED)
        journal.close()
        content = bytearray(path.read_bytes())
        content[8192:20480] = os.urandom(12288)
        path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("no database", "it is no journal"), ("a folder", "it is a folder"),
        ("a file for a folder", "its folder is a file"), ("another program's", "it belongs to another program"),
        ("damaged", "it is damaged"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("venue", ["testnet", "mainnet"])
def test_without_a_journal_nothing_is_sent(
    simulator: Simulator, tmp_path: Path, kind: str, words: str, venue: str
) -> None:
    """A journal that cannot be used stops every change, says why, and is left as it is; looking still works."""
    path = unusable(tmp_path, kind)
    before = path.read_bytes() if path.is_file() else None
    account = connect_to(simulator, venue, journal=path)
    with pytest.raises(ChangeNotSent, match=words) as caught:
        account.set_leverage("BTCUSDT", 10)
    assert "connect(journal=...)" in caught.value.hint
    with pytest.raises(JournalUnusable):
        account.history()
    assert account.setting("BTCUSDT").leverage == 20
    assert simulator.exchange.received == []
    assert (path.read_bytes() if path.is_file() else None) == before


def test_a_full_disk_stops_changes_and_loses_nothing(simulator: Simulator, tmp_path: Path) -> None:
    """When the file cannot grow no change is sent; with room again it goes on where it was."""
    path = tmp_path / "journal.sqlite"
    account = connect_to(simulator, journal=path)
    account.set_leverage("BTCUSDT", 10)
    journal = account._changer.journal
    connection = journal._connection
    assert connection is not None
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(ChangeNotSent, match="the disk is full"):
        _change_until_it_stops(account)
    sent = len(simulator.exchange.received)
    account.set_leverage("BTCUSDT", 30)  # the file is opened anew, without the limit
    assert len(account.history()) == sent + 1
    assert set(account.history()["status"]) == {"applied"}


def _change_until_it_stops(account: Account) -> None:
    for leverage in range(11, 150):
        account.set_leverage("XRPUSDT", min(leverage, 75))


_ON_A_DISK_THAT_FILLS_UP = """
import resource, sys
from leverage_nb.simulator import Simulator
import leverage_nb as lev
with Simulator() as s:
    keys = {"api_key": s.api_key, "api_secret": s.api_secret}
    account = lev.connect(rest_url=s.rest_url, journal=sys.argv[1], recv_window=5000, **keys)
    account.set_leverage("XRPUSDT", 10)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))
    try:
        for turn in range(2000):
            account.set_leverage("XRPUSDT", 11 + turn % 2)
    except lev.ChangeNotSent as error:
        print(error.change.status, len(s.exchange.received))
"""


def test_a_disk_that_really_fills_up(tmp_path: Path) -> None:
    """With the operating system refusing to write, changes stop, and all that were sent are in the file."""
    path = tmp_path / "journal.sqlite"
    command = [sys.executable, "-c", _ON_A_DISK_THAT_FILLS_UP, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    status, received = done.stdout.split()
    assert status == "not_sent"
    raw = sqlite3.connect(path)
    count = raw.execute("SELECT count(*) FROM attempts").fetchone()[0]
    assert count == int(received) > 10
    assert raw.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    raw.close()


def test_a_failed_outcome_write_does_not_change_the_verdict(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that was made is reported as made, with a warning, though its outcome could not be written down."""

    def fail(*arguments: Any, **named: Any) -> Any:
        raise JournalUnusable("The journal x cannot be used: the disk is full.")

    monkeypatch.setattr(account._changer.journal, "add", fail)
    change = account.set_leverage("BTCUSDT", 10)
    assert (change.status, change.after) == ("applied", 10)
    assert "could not be written down" in change.note
    monkeypatch.undo()
    [held] = account._changer.attempts()
    assert held.is_open  # it is settled at the next contact


def test_on_a_network_file_system_without_shared_memory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On NFS and its like SQLite's write-ahead log is not used: it would need shared memory."""
    mount = namedtuple("mount", "device mountpoint fstype opts")
    mounts = [mount("", "/", "ext4", ""), mount("", str(path.parent.parent), "nfs4", "")]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: mounts)
    journal = Journal(path)
    journal.begin(draft(), lambda: 1)
    assert journal._connection is not None
    assert journal._connection.execute("PRAGMA journal_mode").fetchone()[0] == "delete"
    journal.close()
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: mounts[:1])
    assert not journal_module.is_on_network(str(path))


def test_a_journal_that_was_moved_away_is_begun_anew(journal: Journal, path: Path, tmp_path: Path) -> None:
    """What is written lands where the next start looks, and what was moved away keeps what it had."""
    journal.begin(draft(), lambda: 1)
    path.rename(tmp_path / "kept.sqlite")
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).rename(tmp_path / f"kept.sqlite{suffix}")
    journal.begin(draft("ETHUSDT"), lambda: 2)
    assert [attempt.symbol for attempt in Journal(path).attempts("http://here", "key 1")] == ["ETHUSDT"]
    kept = Journal(tmp_path / "kept.sqlite")
    assert [attempt.symbol for attempt in kept.attempts("http://here", "key 1")] == ["BTCUSDT"]
    kept.close()


def test_an_interrupt_within_a_write_leaves_a_usable_file(journal: Journal) -> None:
    """Ctrl-C while an attempt is being written down takes it back, and the next one is written."""

    def interrupted() -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        journal.begin(draft(), interrupted)
    assert journal.attempts("http://here", "key 1") == []
    assert journal._connection is not None
    journal._connection.execute("BEGIN")  # an interrupt came right after it
    assert journal.begin(draft(), lambda: 1).number == 1


def test_memory_keeps_nothing_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator's journal leaves no file."""
    monkeypatch.chdir(tmp_path)
    journal = Journal(MEMORY)
    journal.begin(draft(), lambda: 1)
    journal.close()
    assert list(tmp_path.iterdir()) == []


def test_a_finding_never_lands_at_another_attempt(journal: Journal, path: Path, tmp_path: Path) -> None:
    """When the file was replaced while a change was under way, what was found is not written to a stranger's row."""
    mine = journal.begin(draft(), lambda: 1)
    path.rename(tmp_path / "kept.sqlite")
    other = Journal(path)
    other.begin(draft("ETHUSDT"), lambda: 2)
    other.close()
    with pytest.raises(JournalUnusable, match="replaced while a change was under way"):
        journal.add(mine, APPLIED)
    assert [attempt.status for attempt in journal.attempts("http://here", "key 1")] == ["unknown"]


def test_a_journal_that_may_only_be_read_stops_changes(simulator: Simulator, tmp_path: Path) -> None:
    """What SQLite refuses as read-only is said as that, and nothing is sent; what was recorded can still be read."""
    account = connect_to(simulator, journal=tmp_path / "journal.sqlite")
    account.set_leverage("BTCUSDT", 10)
    connection = account._changer.journal._connection
    assert connection is not None
    connection.execute("PRAGMA query_only = ON")  # SQLite's own; permissions do not bind a superuser
    with pytest.raises(ChangeNotSent, match="it cannot be written"):
        account.set_leverage("BTCUSDT", 30)
    assert len(simulator.exchange.received) == len(account.history()) == 1
