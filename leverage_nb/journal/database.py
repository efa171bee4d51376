"""The journal file: open, lock, transaction.

The file is an SQLite database that is only appended to. An attempt is committed before its request is sent, so that the
next process knows what the exchange may have executed, whatever happens to this one.

SQLite's own POSIX locks are lost when any descriptor of the file is closed in the same process, as by ``shutil.copy``
in a cell. Therefore every access holds a lock on a second file, SQLite uses its rollback journal (another process could
remove a write-ahead log), and no descriptor stays open between two accesses.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from leverage_nb import interrupts
from leverage_nb.errors import ForkedProcess, JournalUnusable
from leverage_nb.journal.schema import APPLICATION_ID, MIGRATIONS, STATEMENTS, VERSION

if TYPE_CHECKING:
    from filelock import BaseFileLock

T = TypeVar("T")

MEMORY = ":memory:"

# The files that this process has checked. With the path: some file systems of Windows number no files.
_checked: set[tuple[str, int, int]] = set()  # path, device and inode


class Database:
    """One journal file. Safe for threads, processes and interrupts.

    Args:
        path: The file; it is created if it does not exist. ``":memory:"`` keeps the journal in this process.
        busy_timeout: Seconds to wait for the access of another process.
    """

    def __init__(self, path: str | Path, busy_timeout: float = 5.0) -> None:
        self._busy_timeout = busy_timeout
        # The folder may be a link, the file must not. Two names of one folder must lead to one lock.
        self.path = str(path) if str(path) == MEMORY else str(Path(path).parent.resolve() / Path(path).name)
        self._process = os.getpid()
        self._lock = threading.RLock()
        self._lock_file: BaseFileLock | None = None
        self._memory: sqlite3.Connection | None = None

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function that reads.

        Raises:
            JournalUnusable: The journal could not be read.
        """
        return interrupts.run_to_end(lambda: self._guarded(work))

    def write(self, work: Callable[[sqlite3.Connection], T], is_there: Callable[[sqlite3.Connection], bool]) -> T:
        """Run a function that writes in one transaction, and return once the data is on the disk.

        Args:
            work: Writes the data.
            is_there: Whether the data was written. A COMMIT that fails may have been executed, so this is read again.

        Raises:
            JournalUnusable: The data was not written.
        """
        return interrupts.run_to_end(lambda: self._guarded(lambda connection: self._commit(connection, work, is_there)))

    def close(self) -> None:
        """Drop a journal in memory. A file is never open between two accesses."""
        with self._lock:
            if self._memory is not None:
                self._finalizer()
                self._memory = None

    def _commit(
        self,
        connection: sqlite3.Connection,
        work: Callable[[sqlite3.Connection], T],
        is_there: Callable[[sqlite3.Connection], bool],
    ) -> T:
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = work(connection)
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        try:
            connection.execute("COMMIT")
        except sqlite3.Error:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            if self.path == MEMORY:
                raise
            with self._connected() as again:
                if not is_there(again):
                    raise
        return result

    def _guarded(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run a function with a connection; errors of SQLite and the file system become JournalUnusable."""
        failure: JournalUnusable
        if self._process != os.getpid():
            raise ForkedProcess
        try:
            with self._lock:
                if self.path == MEMORY:
                    return work(self._in_memory())
                with self._locked(), self._connected() as connection:
                    return work(connection)
        except (sqlite3.Error, OSError, OverflowError, NotImplementedError) as exc:
            failure = self._unusable(exc)
        raise failure

    def _in_memory(self) -> sqlite3.Connection:
        if self._memory is None:
            self._memory = self._connect()
            # An account that was closed still shows its history, so the last object that refers to a journal in memory
            # ends it, unless its owner has closed it before.
            self._finalizer = weakref.finalize(self, self._memory.close)
            _prepare(self._memory)
        return self._memory

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock file."""
        if self._lock_file is None:
            from filelock import FileLock

            Path(self.path).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock_file = FileLock(f"{self.path}.lock", mode=0o600, thread_local=False, fallback_to_soft=False)
        with self._lock_file.acquire(timeout=self._busy_timeout, poll_interval=0.005):
            yield

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        info = self._check_file()
        connection = self._connect()
        try:
            # Truncating the rollback journal commits; with FULL it is on the disk before COMMIT returns.
            connection.execute("PRAGMA journal_mode = TRUNCATE")
            # The version is read every time: a newer leverage_nb may have changed the tables.
            if self._key(info) not in _checked or _pragma(connection, "user_version") != VERSION:
                _prepare(connection)
                if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                    raise sqlite3.DatabaseError("it is damaged")
                _checked.add(self._key(info))
            yield connection
        finally:
            connection.close()

    def _key(self, info: os.stat_result) -> tuple[str, int, int]:
        return self.path, info.st_dev, info.st_ino

    def _check_file(self) -> os.stat_result:
        """Create the file if it does not exist; refuse a link and a file of another user.

        An existing file is examined without opening it: closing that descriptor would drop SQLite's locks.
        """
        try:
            info = os.lstat(self.path)
        except FileNotFoundError:
            # No process has the new file open yet, so closing this descriptor is harmless.
            os.close(os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            info = os.lstat(self.path)
            _checked.discard(self._key(info))  # the inode of a deleted file may be used again
        if stat.S_ISLNK(info.st_mode) or (stat.S_ISREG(info.st_mode) and info.st_nlink > 1):
            raise sqlite3.DatabaseError("it is a link, and the same file under two names cannot be locked")
        if not stat.S_ISREG(info.st_mode):
            raise IsADirectoryError(self.path)
        if hasattr(os, "geteuid") and os.geteuid() not in {0, info.st_uid}:
            raise sqlite3.DatabaseError("it belongs to another user")
        if os.name == "posix" and info.st_mode & 0o077:
            os.chmod(self.path, 0o600)
        return info

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=self._busy_timeout, isolation_level=None, check_same_thread=False
        )
        connection.row_factory = sqlite3.Row
        try:
            connection.execute("PRAGMA synchronous = FULL")
        except sqlite3.Error:  # not a database
            connection.close()
            raise
        return connection

    def _unusable(self, exc: Exception) -> JournalUnusable:
        name = getattr(exc, "sqlite_errorname", "") or type(exc).__name__
        own = str(exc), _STEPS.get(str(exc), _OTHER)
        reason, step = next((found for start, found in _REASONS.items() if name.startswith(start)), own)
        return JournalUnusable(
            f"The journal {self.path} cannot be used: {reason}. Its content was not changed.",
            hint=f"No change is sent without a record of it. {step}",
            path=self.path,
        )


def _prepare(connection: sqlite3.Connection) -> None:
    """Check that the file is a journal; create the tables in an empty file, migrate those of an earlier version."""
    version = _pragma(connection, "user_version")
    is_new = not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    if not is_new and _pragma(connection, "application_id") != APPLICATION_ID:
        raise sqlite3.DatabaseError("it belongs to another program")
    if version > VERSION:
        raise sqlite3.DatabaseError(_NEWER)
    if not is_new and version < min(MIGRATIONS):
        raise sqlite3.DatabaseError("it was written by a development version of leverage_nb")
    if version == VERSION:
        return
    statements = STATEMENTS if is_new else [one for each in range(version, VERSION) for one in MIGRATIONS[each]]
    connection.execute("BEGIN IMMEDIATE")
    for statement in statements:
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {VERSION}")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("COMMIT")


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


_OTHER = (
    "Move the file away or repair it, or use another with connect(journal=...). Compare changes that are still open "
    "with Binance first: another file does not know them."
)
_NEWER = "it was written by a newer leverage_nb"
_STEPS = {_NEWER: "Update leverage_nb, or use another file with connect(journal=...)."}
_CLOSE = "Try again. If it happens again, close the other kernel or program that uses the file."
_LOCAL = "Keep the journal on a local disk: connect(journal=...)."
_ALLOW = "Make the file and its folder readable and writable for you, then try again."
_REASONS = {
    "SQLITE_READONLY": ("it cannot be written", _ALLOW),
    "SQLITE_CANTOPEN": ("it cannot be opened", _ALLOW),
    "SQLITE_FULL": ("the disk is full", "Free some disk space, then try again."),
    "SQLITE_NOTADB": ("it is not a journal", _OTHER),
    "SQLITE_CORRUPT": ("it is damaged", _OTHER),
    "SQLITE_BUSY": ("another program is using it", _CLOSE),
    "SQLITE_PROTOCOL": ("its file system does not support locks", _LOCAL),
    "SQLITE_IOERR": ("the disk could not read or write it", "Check the disk and its free space, then try again."),
    "Timeout": ("another program is using it", _CLOSE),
    "NotImplementedError": ("its file system does not support locks", _LOCAL),
    "PermissionError": ("access to it is denied", _ALLOW),
    "IsADirectoryError": ("it is not a file", "Name a file: connect(journal=...)."),
    "NotADirectoryError": ("its folder is a file", "Name another folder: connect(journal=...)."),
    "FileExistsError": ("its folder is a file", "Name another folder: connect(journal=...)."),
}
