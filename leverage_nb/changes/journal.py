"""The journal: every attempt to change a leverage, what was answered, and what was seen when looking back.

An SQLite file, appended to and never altered. An attempt is committed before its request leaves, so that whatever
happens to this process, the next one knows what may have been carried out. Rows are keyed by the venue's address and
the account, so that no attempt is ever settled from another account's setting.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from leverage_nb.changes.entries import Attempt, Finding, SeenTiers, StillOpenError, this_process
from leverage_nb.changes.schema import APPLICATION_ID, MIGRATIONS
from leverage_nb.errors import JournalUnusable

MEMORY = ":memory:"

# How long one process waits for another's write.
BUSY_TIMEOUT = 5.0


class Journal:
    """Attempts and findings in one SQLite file, opened on first use. Safe for threads and for several processes.

    Args:
        path: The file, made with its folder where there is none; ``":memory:"`` keeps it in this process.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = str(path)
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._inode: int | None = None
        self._process_id = os.getpid()

    def begin(self, draft: Attempt, stamp: Callable[[], int]) -> Attempt:
        """Write an attempt down, unless another one on the same account and symbol is open.

        Args:
            draft: All but number and timestamp.
            stamp: Returns the timestamp, asked for once the file is ours, so that it does not grow old waiting.

        Raises:
            StillOpenError: There is one.
            JournalUnusable: It could not be written.
        """
        with self._transaction() as connection:
            for other in self._select(connection, draft.address, draft.account, draft.symbol, open_only=True):
                raise StillOpenError(other)
            attempt = replace(draft, begun_at=datetime.now(tz=UTC), timestamp_ms=stamp(), process=this_process())
            values = {name: getattr(attempt, name) for name in _ATTEMPT_COLUMNS}
            values["begun_at"] = _text(attempt.begun_at)
            number = connection.execute(_insert("attempts", _ATTEMPT_COLUMNS), values).lastrowid
        return replace(attempt, number=int(number or 0), begun_at=attempt.begun_at.astimezone())

    def add(self, attempt: Attempt, finding: Finding, *, unless_closed: bool = False) -> Attempt:
        """Add what was found.

        Args:
            attempt: Of which.
            finding: What.
            unless_closed: Add nothing where another has closed the attempt meanwhile: what that one found holds.

        Returns:
            The attempt as it now stands in the journal.

        Raises:
            JournalUnusable: It could not be written.
        """
        values = {name: getattr(finding, name) for name in _FINDING_COLUMNS if name != "attempt"}
        values |= {"attempt": attempt.number, "found_at": _text(finding.found_at), "as_of": _text(finding.as_of)}
        with self._transaction() as connection:
            stands = self._select(connection, attempt.address, attempt.account, number=attempt.number)
            if not stands or stands[0].identity != attempt.identity:
                raise sqlite3.DatabaseError("it was replaced while a change was under way")
            if stands[0].is_open or not unless_closed:
                connection.execute(_insert("findings", _FINDING_COLUMNS), values)
            return self._select(connection, attempt.address, attempt.account, number=attempt.number)[0]

    def attempts(
        self, address: str, account: str, *, open_only: bool = False, last: int | None = None
    ) -> list[Attempt]:
        """The attempts of one account, oldest first.

        Args:
            address: The venue's.
            account: Whose key, as a fingerprint.
            open_only: Those alone of which something is still awaited.
            last: So many of them, the newest; None for all.

        Raises:
            JournalUnusable: It could not be read.
        """
        with self._guarded() as connection:
            return self._select(connection, address, account, open_only=open_only, last=last)

    def last(self, address: str, account: str, symbol: str) -> Attempt | None:
        """The last attempt on a symbol: the only one that can be open.

        Raises:
            JournalUnusable: It could not be read.
        """
        with self._guarded() as connection:
            query = "SELECT max(id) FROM attempts WHERE address = ? AND account = ? AND symbol = ?"
            number = connection.execute(query, (address, account, symbol)).fetchone()[0]
            return self._select(connection, address, account, number=number)[0] if number else None

    # -- tiers over time --------------------------------------------------------------------------------------

    def seen_tiers(self, address: str, account: str) -> list[SeenTiers]:
        """When an account saw which tiers, oldest first.

        Raises:
            JournalUnusable: It could not be read.
        """
        query = "SELECT * FROM tiers_seen WHERE address = ? AND account = ? ORDER BY id"
        with self._guarded() as connection:
            return [
                SeenTiers(row["digest"], _when(row["first_seen_at"]), _when(row["last_seen_at"]))
                for row in connection.execute(query, (address, account))
            ]

    def tiers(self, digest: str) -> str:
        """The content of a snapshot.

        Raises:
            JournalUnusable: It could not be read.
        """
        with self._guarded() as connection:
            return str(connection.execute("SELECT content FROM tiers WHERE digest = ?", (digest,)).fetchone()[0])

    def see_tiers(self, address: str, account: str, digest: str, content: Callable[[], str]) -> SeenTiers | None:
        """Note that an account has seen tiers now; each content is stored once.

        Returns:
            What it had seen before, where that was another content; None where it was this one, or none.

        Raises:
            JournalUnusable: It could not be written.
        """
        now = _text(datetime.now(tz=UTC))
        with self._transaction() as connection:
            query = "SELECT * FROM tiers_seen WHERE address = ? AND account = ? ORDER BY id DESC LIMIT 1"
            last = connection.execute(query, (address, account)).fetchone()
            if last is not None and last["digest"] == digest:
                connection.execute("UPDATE tiers_seen SET last_seen_at = ? WHERE id = ?", (now, last["id"]))
                return None
            connection.execute("INSERT OR IGNORE INTO tiers VALUES (?, ?)", (digest, content()))
            connection.execute(
                "INSERT INTO tiers_seen (address, account, digest, first_seen_at, last_seen_at) VALUES (?, ?, ?, ?, ?)",
                (address, account, digest, now, now),
            )
            if last is None:
                return None
            return SeenTiers(last["digest"], _when(last["first_seen_at"]), _when(last["last_seen_at"]))

    # -- profiles --------------------------------------------------------------------------------------------

    def bind_profile(self, address: str, profile: str, alias: str) -> str:
        """To whose account a profile belongs: the one it was first used with.

        Raises:
            JournalUnusable: It could not be read or written.
        """
        with self._transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO profiles VALUES (?, ?, ?, ?)",
                (address, profile, alias, _text(datetime.now(tz=UTC))),
            )
            query = "SELECT alias FROM profiles WHERE address = ? AND profile = ?"
            return str(connection.execute(query, (address, profile)).fetchone()[0])

    def check(self) -> None:
        """Open the file, and make sure that it can be written.

        Raises:
            JournalUnusable: It cannot.
        """
        with self._transaction():
            pass

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _select(
        self,
        connection: sqlite3.Connection,
        address: str,
        account: str,
        symbol: str | None = None,
        *,
        open_only: bool = False,
        number: int | None = None,
        last: int | None = None,
    ) -> list[Attempt]:
        wanted = "WHERE address = :address AND account = :account"
        wanted += " AND symbol = :symbol" if symbol else ""
        wanted += " AND id = :number" if number else ""
        wanted += _IS_OPEN if open_only else ""
        newest = f" AND id IN (SELECT id FROM attempts {wanted} ORDER BY id DESC LIMIT :last)"  # noqa: S608
        wanted += newest if last is not None else ""
        names = {"address": address, "account": account, "symbol": symbol, "number": number, "last": last}
        # The conditions are the constants above; what was typed goes in as parameters.
        rows = connection.execute(f"SELECT * FROM attempts {wanted} ORDER BY id", names).fetchall()  # noqa: S608
        found: dict[int, list[Finding]] = {row["id"]: [] for row in rows}
        query = f"SELECT * FROM findings WHERE attempt IN (SELECT id FROM attempts {wanted}) ORDER BY id"  # noqa: S608
        for row in connection.execute(query, names):
            if row["attempt"] in found:
                found[row["attempt"]].append(_finding(row))
        return [_attempt(row, tuple(found[row["id"]])) for row in rows]

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """A write that holds as a whole or not at all."""
        with self._guarded() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _guarded(self) -> Iterator[sqlite3.Connection]:
        """The connection, for this thread alone; what SQLite complains of becomes JournalUnusable."""
        if self._process_id != os.getpid():
            # A forked process must not touch the parent's connection, nor wait for a lock that nobody will release.
            self._inherited, self._connection = self._connection, None
            self._lock, self._process_id = threading.RLock(), os.getpid()
        failure: JournalUnusable
        with self._lock:
            try:
                connection = self._opened()
                if connection.in_transaction:  # an interrupt came between BEGIN and what guards it
                    connection.execute("ROLLBACK")
                yield connection
                return
            except (sqlite3.Error, OSError, OverflowError) as exc:
                failure = self._unusable(exc)
                self._drop()
        raise failure

    def _opened(self) -> sqlite3.Connection:
        if self._connection is not None and self.path != MEMORY and self._inode != _inode(self.path):
            self._drop()  # the file was moved away or replaced: what is written must be where it is looked for
        if self._connection is None:
            if self.path != MEMORY:
                folder = Path(self.path).parent
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))  # leverages are nobody else's business
            connection = sqlite3.connect(self.path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
            try:
                connection.row_factory = sqlite3.Row
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection, self._inode = connection, _inode(self.path)
        return self._connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        """Check that the file is ours and whole, and bring its schema up to date."""
        version = _pragma(connection, "user_version")
        if version > len(MIGRATIONS):
            raise sqlite3.DatabaseError("it was written by a newer leverage_nb")
        is_new = not connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
        if not is_new and _pragma(connection, "application_id") != APPLICATION_ID:
            raise sqlite3.DatabaseError("it belongs to another program")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA synchronous = FULL")
        if self.path != MEMORY:
            _set_journal_mode(connection, "DELETE" if is_on_network(self.path) else "WAL")
            problem = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if problem != "ok":
                raise sqlite3.DatabaseError("it is damaged")
        if version == len(MIGRATIONS):
            return
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Again, now that the file is ours: another process may have brought it up to date meanwhile.
            version = _pragma(connection, "user_version")
            for place, statements in enumerate(MIGRATIONS[version:], start=version + 1):
                for statement in statements:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {place}")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise

    def _drop(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    def _unusable(self, exc: sqlite3.Error | OSError | OverflowError) -> JournalUnusable:
        name = getattr(exc, "sqlite_errorname", "") or type(exc).__name__
        reason = next((text for start, text in _REASONS.items() if name.startswith(start)), str(exc))
        return JournalUnusable(
            f"The journal {self.path} cannot be used: {reason}.",
            hint="No change is sent without a record of it. Mend it, or name another with connect(journal=...); "
            "what it holds is left as it is.",
            path=self.path,
        )


def is_on_network(path: str) -> bool:
    """Whether a file lies on a network file system, where SQLite's shared-memory log does not work."""
    import psutil

    resolved = str(Path(path).resolve())
    mounts = [m for m in psutil.disk_partitions(all=True) if resolved.startswith(m.mountpoint.rstrip("/") + "/")]
    nearest = max(mounts, key=lambda mount: len(mount.mountpoint), default=None)
    return nearest is not None and nearest.fstype.lower().startswith(_NETWORK)


_NETWORK = ("nfs", "cifs", "smb", "afs", "9p", "ceph", "lustre", "gluster", "beegfs", "fuse.sshfs", "webdav", "ncpfs")

_REASONS = {
    "SQLITE_READONLY": "it cannot be written",
    "SQLITE_CANTOPEN": "it cannot be opened",
    "SQLITE_FULL": "the disk is full",
    "SQLITE_NOTADB": "it is no journal",
    "SQLITE_CORRUPT": "it is damaged",
    "SQLITE_BUSY": "another program holds it",
    "SQLITE_PROTOCOL": "its file system does not keep locks",
    "SQLITE_IOERR": "the disk could not read or write it",
    "PermissionError": "it may not be opened",
    "IsADirectoryError": "it is a folder",
    "NotADirectoryError": "its folder is a file",
    "FileExistsError": "its folder is a file",
}

_ATTEMPT_COLUMNS = (
    "begun_at", "venue", "address", "account", "symbol", "margin_asset", "before", "requested", "timestamp_ms",
    "recv_window_ms", "process", "undoes", "plan",
)  # fmt: skip
_FINDING_COLUMNS = (
    "attempt", "found_at", "source", "status", "closes", "leverage", "max_notional", "as_of", "code", "http_status",
    "note",
)  # fmt: skip
_IS_OPEN = " AND id IN (SELECT attempt FROM open_attempts)"


def _insert(table: str, columns: tuple[str, ...]) -> str:
    # Table and columns are the constants above.
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(f':{name}' for name in columns)})"  # noqa: S608


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])


def _set_journal_mode(connection: sqlite3.Connection, mode: str) -> None:
    """Set it, waiting for other processes: SQLite does not wait here by itself."""
    deadline = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            connection.execute(f"PRAGMA journal_mode = {mode}")
            return
        except sqlite3.OperationalError as exc:
            if getattr(exc, "sqlite_errorname", "") != "SQLITE_BUSY" or time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def _inode(path: str) -> int | None:
    try:
        return os.stat(path).st_ino
    except OSError:
        return None


def _text(when: datetime | None) -> str | None:
    return None if when is None else when.astimezone(UTC).isoformat(timespec="microseconds")


def _when(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone()


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).astimezone()


def _attempt(row: Any, findings: tuple[Finding, ...]) -> Attempt:
    values = {name: row[name] for name in _ATTEMPT_COLUMNS}
    values["begun_at"] = _moment(row["begun_at"])
    return Attempt(number=row["id"], findings=findings, **values)


def _finding(row: Any) -> Finding:
    values = {name: row[name] for name in _FINDING_COLUMNS if name != "attempt"}
    values |= {"found_at": _moment(row["found_at"]), "as_of": _moment(row["as_of"]), "closes": bool(row["closes"])}
    return Finding(**values)
