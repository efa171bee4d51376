"""The journal file is locked and private, and whole after a kill."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from leverage_nb.account import Account
from leverage_nb.errors import ChangeNotSent, JournalUnusable
from leverage_nb.journal.database import Database
from leverage_nb.journal.journal import Journal
from leverage_nb.simulator import Simulator
from tests.conftest import ROOT, connect_to
from tests.journal.drafts import APPLIED, draft
from tests.journal.processes import another_process


def symbols(path: Path) -> list[str]:
    """Return the symbols of the recorded attempts."""
    return [attempt.symbol for attempt in Journal(path).attempts("key 1")]


@contextmanager
def connections(kind: type[sqlite3.Connection]) -> Iterator[None]:
    """Use another class for SQLite's connections within the block."""
    connect = sqlite3.connect
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sqlite3, "connect", lambda *args, **more: connect(*args, factory=kind, **more))
        yield


@pytest.mark.skipif(os.name != "posix", reason="permissions are POSIX's")
def test_the_file_is_private(path: Path) -> None:
    """File and lock are readable only by their owner; a file that others could read is made private."""
    Journal(path).begin([draft()], lambda: 1)
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert path.with_name("journal.sqlite.lock").stat().st_mode & 0o077 == 0
    path.chmod(0o644)
    Journal(path).attempts("key 1")
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the system does not list open files")
def test_the_file_is_not_open_between_two_accesses(tmp_path: Path) -> None:
    """A journal keeps no descriptor between two accesses."""

    def is_open(name: str) -> bool:
        try:
            return os.readlink(f"/proc/self/fd/{name}").startswith(str(tmp_path))
        except OSError:
            return False  # the descriptor of the folder itself

    for number in range(5):
        Journal(tmp_path / f"journal {number}.sqlite").begin([draft()], lambda: 1)
    assert not any(is_open(name) for name in os.listdir("/proc/self/fd"))


def test_no_write_ahead_log_is_used(path: Path) -> None:
    """There is no write-ahead log, which another process could remove."""
    journal, seen = Journal(path), list[str]()

    def stamp() -> int:
        seen.extend(file.name for file in path.parent.iterdir())
        return 1

    journal.begin([draft()], stamp)
    assert not any(name.endswith(("-wal", "-shm")) for name in seen)
    assert path.with_name("journal.sqlite-journal").stat().st_size == 0


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_links_are_refused(path: Path) -> None:
    """Symbolic and hard links are refused, because one file under two names would have two locks."""
    Journal(path).begin([draft()], lambda: 1)
    before = path.read_bytes()
    symbolic, hard = path.with_name("symbolic.sqlite"), path.with_name("hard.sqlite")
    symbolic.symlink_to(path)
    with pytest.raises(JournalUnusable, match="it is a link"):
        Journal(symbolic).begin([draft("ETHUSDT")], lambda: 1)
    hard.hardlink_to(path)
    for name in (hard, path):
        with pytest.raises(JournalUnusable, match="it is a link"):
            Journal(name).begin([draft("ETHUSDT")], lambda: 1)
    assert path.read_bytes() == before
    hard.unlink()
    assert symbols(path) == ["BTCUSDT"]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_a_link_to_nowhere_is_refused(path: Path) -> None:
    """A link whose target does not exist creates no file."""
    path.parent.mkdir()
    path.symlink_to(path.with_name("target.sqlite"))
    with pytest.raises(JournalUnusable, match="it is a link"):
        Journal(path).begin([draft()], lambda: 1)
    assert not path.with_name("target.sqlite").exists()


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_two_names_of_a_folder_lead_to_one_lock(path: Path, tmp_path: Path) -> None:
    """If the folder is a link, the file has one path and one lock under both names."""
    Journal(path).begin([draft()], lambda: 1)
    (tmp_path / "other").symlink_to(path.parent, target_is_directory=True)
    other = Journal(tmp_path / "other" / "journal.sqlite")
    assert other.path == str(path)
    assert other.begin([draft()], lambda: 2)[0].timestamp_ms == 1


def test_a_journal_that_was_moved_away_starts_again(path: Path, tmp_path: Path) -> None:
    """After the file was moved away a new one is started, and the moved one keeps its entries."""
    journal = Journal(path)
    journal.begin([draft()], lambda: 1)
    path.rename(tmp_path / "kept.sqlite")
    journal.begin([draft("ETHUSDT")], lambda: 2)
    assert symbols(path) == ["ETHUSDT"]
    assert symbols(tmp_path / "kept.sqlite") == ["BTCUSDT"]


_RECORDS_MANY = """
import sys, threading
from leverage_nb.journal.journal import Journal
from tests.journal.drafts import APPLIED, draft
path, account = sys.argv[1:]
journal = Journal(path)
print("ready", flush=True)
def record(symbol):
    for _ in range(25):
        journal.add([(journal.begin([draft(symbol, account)], lambda: 1)[0], APPLIED)])
threads = [threading.Thread(target=record, args=(symbol,)) for symbol in ("BTCUSDT", "ETHUSDT")]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(len(journal.attempts(account)), flush=True)
"""


def test_threads_and_processes_record_at_the_same_time(path: Path) -> None:
    """Two processes with two threads each record while a third copies the file: every entry is kept."""
    path.parent.mkdir()
    with another_process(_RECORDS_MANY, path, "key 1") as one, another_process(_RECORDS_MANY, path, "key 2") as two:
        while one.poll() is None or two.poll() is None:
            Journal(path).attempts("key 3")
            shutil.copy(path, path.with_name("copy.sqlite"))  # closes a descriptor of the file
        assert (one.returncode, two.returncode) == (0, 0)
    for account in ("key 1", "key 2"):
        attempts = Journal(path).attempts(account)
        assert [attempt.status for attempt in attempts] == ["applied"] * 50
        assert [attempt.number for attempt in Journal(path).attempts(account, open_only=True)] == []


def test_a_descriptor_closed_within_a_transaction_drops_no_lock(path: Path) -> None:
    """Another process waits for a transaction in which a descriptor of the file was closed."""
    journal = Journal(path)
    Journal(path).begin([draft("XRPUSDT")], lambda: 1)
    script = """
import sys
from leverage_nb.journal.journal import Journal
from tests.journal.drafts import draft
print("ready", flush=True)
Journal(sys.argv[1]).begin([draft("ETHUSDT")], lambda: 1)
print("done", flush=True)
"""
    with another_process(script, path) as other:

        def stamp() -> int:
            shutil.copy(path, path.with_name("copy.sqlite"))
            with pytest.raises(subprocess.TimeoutExpired):
                other.wait(0.5)  # it waits for the transaction
            return 1

        journal.begin([draft()], stamp)
        assert other.wait(30) == 0
    assert symbols(path) == ["XRPUSDT", "BTCUSDT", "ETHUSDT"]


_IS_KILLED = """
import os, signal, sys
from leverage_nb.journal.journal import Journal
from tests.journal.drafts import draft
def stamp():
    if sys.argv[2] == "within":
        os.kill(os.getpid(), signal.SIGKILL)
    return 1
Journal(sys.argv[1]).begin([draft(f"S{number}USDT") for number in range(50)], stamp)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
@pytest.mark.parametrize(("moment", "count"), [("within", 0), ("after", 50)])
def test_a_kill_leaves_all_of_a_transaction_or_nothing(path: Path, moment: str, count: int) -> None:
    """A kill within a transaction leaves nothing of it, a kill after it all of it; the next entry works."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    killed = subprocess.run([sys.executable, "-c", _IS_KILLED, str(path), moment], env=environment, check=False)
    assert killed.returncode == -9
    assert len(symbols(path)) == count
    assert Journal(path).begin([draft()], lambda: 1)[0].number == count + 1


_HOLDS_THE_LOCK = """
import sys
from filelock import FileLock
with FileLock(sys.argv[1]):
    print("ready", flush=True)
    sys.stdin.read()
"""


def test_an_access_waits_for_another_process(path: Path) -> None:
    """An access waits while another process uses the file, and continues when that process ends."""
    path.parent.mkdir()
    done = threading.Event()

    def record() -> None:
        Journal(path).begin([draft()], lambda: 1)
        done.set()

    with another_process(_HOLDS_THE_LOCK, f"{path}.lock"):
        thread = threading.Thread(target=record)
        thread.start()
        assert not done.wait(0.3)
    thread.join()
    assert done.is_set()


def test_the_wait_for_another_process_is_bounded(path: Path) -> None:
    """If another process does not end its access, the error names it after a bounded time."""
    path.parent.mkdir()
    with (
        another_process(_HOLDS_THE_LOCK, f"{path}.lock"),
        pytest.raises(JournalUnusable, match="another program is using it"),
    ):
        Database(path, busy_timeout=0.2).read(lambda connection: None)
    assert symbols(path) == []


def test_an_interrupted_entry_is_rolled_back(path: Path) -> None:
    """An exception while an attempt is recorded rolls it back, and the next one is recorded."""

    def interrupted() -> int:
        raise KeyboardInterrupt

    journal = Journal(path)
    with pytest.raises(KeyboardInterrupt):
        journal.begin([draft()], interrupted)
    assert symbols(path) == []
    assert journal.begin([draft()], lambda: 1)[0].number == 1


class WrittenThenFailed(sqlite3.Connection):
    """Executes a COMMIT, and raises an error."""

    def execute(self, sql: str, *rest: Any) -> sqlite3.Cursor:
        cursor = super().execute(sql, *rest)
        if sql == "COMMIT":
            raise sqlite3.OperationalError("disk I/O error")
        return cursor


class Failed(sqlite3.Connection):
    """Raises an error instead of executing a COMMIT."""

    def execute(self, sql: str, *rest: Any) -> sqlite3.Cursor:
        if sql == "COMMIT":
            raise sqlite3.OperationalError("disk I/O error")
        return super().execute(sql, *rest)


def test_a_failed_commit_that_was_written_counts(path: Path) -> None:
    """A COMMIT that raises is read again: entries that are in the file were recorded."""
    journal = Journal(path)
    journal.attempts("key 1")
    with connections(WrittenThenFailed):
        begun = journal.begin([draft(), draft("ETHUSDT")], lambda: 1)
        found = journal.add([(attempt, APPLIED) for attempt in begun])
    assert found == Journal(path).attempts("key 1")
    assert [attempt.status for attempt in found] == ["applied", "applied"]


def test_a_failed_commit_that_was_not_written_is_an_error(path: Path, simulator: Simulator) -> None:
    """If the entry is not in the file after a COMMIT that raised, no change is sent."""
    account = connect_to(simulator, journal=path)
    account.history()
    with connections(Failed), pytest.raises(ChangeNotSent, match="cannot be used"):
        account.set_leverage("BTCUSDT", 10)
    assert account.history().empty
    assert simulator.exchange.received == []
    assert account.set_leverage("BTCUSDT", 10).status == "applied"


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
    elif kind == "a link":
        if os.name == "nt":
            pytest.skip("links need a privilege on Windows")
        (tmp_path / "target").write_bytes(b"")
        path.symlink_to(tmp_path / "target")
    elif kind == "damaged":
        journal = Journal(tmp_path / "whole.sqlite")
        begun = journal.begin([draft(f"S{number}USDT") for number in range(200)], lambda: 1)
        journal.add([(attempt, APPLIED) for attempt in begun])
        content = bytearray((tmp_path / "whole.sqlite").read_bytes())
        content[8192:20480] = os.urandom(12288)
        path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("no database", "it is not a journal"), ("a folder", "it is not a file"),
        ("a file for a folder", "its folder is a file"), ("another program's", "it belongs to another program"),
        ("damaged", "it is damaged"), ("a link", "it is a link"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("venue", ["testnet", "mainnet"])
def test_nothing_is_sent_without_a_usable_journal(
    simulator: Simulator, tmp_path: Path, kind: str, words: str, venue: str
) -> None:
    """An unusable journal stops every change, is named with the reason and not altered; reads still work."""
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


def with_pragma(pragma: str) -> type[sqlite3.Connection]:
    """Return a class of connections with a PRAGMA: it also binds a superuser, unlike permissions."""

    class Limited(sqlite3.Connection):
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, **more)
            self.execute(f"PRAGMA {pragma}")

    return Limited


def test_a_full_disk_stops_changes_and_loses_nothing(simulator: Simulator, tmp_path: Path) -> None:
    """If the file cannot grow, no change is sent; with space again, changes continue."""
    path = tmp_path / "journal.sqlite"
    account = connect_to(simulator, journal=path)
    account.set_leverage("BTCUSDT", 10)
    pages = path.stat().st_size // 4096
    with connections(with_pragma(f"max_page_count = {pages}")), pytest.raises(ChangeNotSent, match="the disk is full"):
        _change_until_it_stops(account)
    sent = len(simulator.exchange.received)
    account.set_leverage("BTCUSDT", 30)
    assert len(account.history()) == sent + 1
    assert set(account.history()["status"]) <= {"applied", "unknown"}


def _change_until_it_stops(account: Account) -> None:
    for leverage in range(11, 150):
        account.set_leverage("XRPUSDT", min(leverage, 75))


def test_a_read_only_journal_stops_changes(simulator: Simulator, tmp_path: Path) -> None:
    """If SQLite refuses to write, nothing is sent, and recorded changes can still be read."""
    account = connect_to(simulator, journal=tmp_path / "journal.sqlite")
    account.set_leverage("BTCUSDT", 10)
    with connections(with_pragma("query_only = ON")):
        with pytest.raises(ChangeNotSent, match="it cannot be written"):
            account.set_leverage("BTCUSDT", 30)
        assert len(simulator.exchange.received) == len(account.history()) == 1


_ON_A_DISK_THAT_FILLS_UP = """
import os, resource, sys
from leverage_nb.simulator import Simulator
import leverage_nb as lev
with Simulator(weight_limit=10**9) as s:
    keys = {"api_key": s.api_key, "api_secret": s.api_secret}
    account = lev.connect(rest_url=s.rest_url, journal=sys.argv[1], recv_window=5000, **keys)
    account.set_leverage("XRPUSDT", 10)
    room = os.path.getsize(sys.argv[1]) + 9_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    try:
        for turn in range(2000):
            account.set_leverage("XRPUSDT", 11 + turn % 2)
    except lev.ChangeNotSent as error:
        print(error.change.status, len(s.exchange.received))
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such limits")
def test_a_limit_of_the_operating_system_stops_changes(tmp_path: Path) -> None:
    """If the operating system refuses to write, changes stop, and all that were sent are in the file."""
    path = tmp_path / "journal.sqlite"
    command = [sys.executable, "-c", _ON_A_DISK_THAT_FILLS_UP, str(path)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr
    status, received = done.stdout.split()
    assert status == "not_sent"
    raw = sqlite3.connect(path)
    count = raw.execute("SELECT count(*) FROM attempts").fetchone()[0]
    assert count == int(received) > 1
    assert raw.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    raw.close()
