"""Journal: the entries of the journal file, by account and symbol."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from leverage_nb.change import Kind, Value
from leverage_nb.formatting import in_local_time
from leverage_nb.journal.attempts import Applied, Attempt, Finding, Latest, SeenTiers
from leverage_nb.journal.database import Database


class Journal:
    """The attempts and findings of all accounts in one file.

    Args:
        path: The file; it is created if it does not exist. ``":memory:"`` keeps the journal in this process.

    Attributes:
        path: The file's full path, or ``":memory:"``.
    """

    def __init__(self, path: str | Path) -> None:
        self._database = Database(path)
        self.path = self._database.path

    # -- attempts ---------------------------------------------------------------------------------------------

    def begin(self, drafts: Sequence[Attempt], stamp: Callable[[], int]) -> list[Attempt]:
        """Record attempts in one transaction, except for symbols with an open attempt of the same account.

        Args:
            drafts: Attempts without number and timestamp.
            stamp: Returns the timestamp; called while the file is locked, so that it does not age while waiting.

        Returns:
            The recorded attempts; for a symbol with an open attempt, that open attempt.

        Raises:
            JournalUnusable: None was recorded.
        """

        def work(connection: sqlite3.Connection) -> list[Attempt]:
            return [self._begin(connection, draft, stamp()) for draft in drafts]

        def is_there(connection: sqlite3.Connection) -> bool:
            return self._numbers(connection, drafts) != []

        return self._database.write(work, is_there)

    def _begin(self, connection: sqlite3.Connection, draft: Attempt, timestamp_ms: int) -> Attempt:
        for other in _select(connection, draft.account, symbol=draft.symbol, open_only=True):
            return other
        attempt = replace(draft, begun_at=datetime.now(tz=UTC), timestamp_ms=timestamp_ms)
        values = {name: getattr(attempt, name) for name in _ATTEMPT_COLUMNS}
        values |= {name: _text(values[name]) for name in ("begun_at", "before", "requested")}
        number = connection.execute(_insert("attempts", _ATTEMPT_COLUMNS), values).lastrowid
        return replace(attempt, number=int(number or 0), begun_at=attempt.begun_at.astimezone())

    @staticmethod
    def _numbers(connection: sqlite3.Connection, attempts: Iterable[Attempt]) -> list[int]:
        found = (
            connection.execute("SELECT id FROM attempts WHERE token = ?", (attempt.token,)).fetchone()
            for attempt in attempts
        )
        return [int(row[0]) for row in found if row is not None]

    def add(self, found: Sequence[tuple[Attempt, Finding]]) -> list[Attempt]:
        """Add findings in one transaction.

        If another process has closed the attempt meanwhile, a finding is not added unless it is an answer or "not
        sent": the earlier finding counts.

        Returns:
            The attempts as they are in the journal now.

        Raises:
            JournalUnusable: None was added.
        """

        def work(connection: sqlite3.Connection) -> list[Attempt]:
            return [self._add(connection, attempt, finding) for attempt, finding in found]

        def is_there(connection: sqlite3.Connection) -> bool:
            query = "SELECT count(*) FROM findings WHERE attempt = ? AND found_at = ? AND source = ?"
            return all(
                connection.execute(query, (attempt.number, _text(finding.found_at), finding.source)).fetchone()[0]
                for attempt, finding in found
            )

        return self._database.write(work, is_there)

    def _add(self, connection: sqlite3.Connection, attempt: Attempt, finding: Finding) -> Attempt:
        there = _select(connection, attempt.account, number=attempt.number)
        if not there or there[0].token != attempt.token:
            raise sqlite3.DatabaseError("it was replaced during a change")
        counts_anyway = finding.closes and finding.source in {"answer", "not sent"}
        if not (there[0].is_open or counts_anyway):
            return there[0]
        values = {name: getattr(finding, name) for name in _FINDING_COLUMNS if name not in {"attempt", "value"}}
        values |= {"attempt": attempt.number, "value": _text(finding.value)}
        values |= {name: _text(values[name]) for name in ("found_at", "as_of")}
        connection.execute(_insert("findings", _FINDING_COLUMNS), values)
        return there[0].with_finding(finding)

    def attempts(self, account: str, *, open_only: bool = False, last: int | None = None) -> list[Attempt]:
        """Return the attempts of one account, oldest first.

        Args:
            account: The key's fingerprint.
            open_only: Only those without a final outcome.
            last: Only so many of the newest; None for all.

        Raises:
            JournalUnusable: The journal could not be read.
        """
        return self._database.read(lambda connection: _select(connection, account, open_only=open_only, last=last))

    def find(self, account: str, token: str) -> Attempt | None:
        """Return the attempt with a token; None if it was not recorded.

        Raises:
            JournalUnusable: The journal could not be read.
        """
        found = self._database.read(lambda connection: _select(connection, account, token=token))
        return found[0] if found else None

    def latest(self, account: str, symbols: Sequence[str]) -> dict[str, Latest]:
        """Return the latest entries of several symbols, in one access.

        Raises:
            JournalUnusable: The journal could not be read.
        """
        return self._database.read(
            lambda connection: {
                symbol: Latest(
                    open=next(iter(_select(connection, account, symbol=symbol, open_only=True)), None),
                    applied=tuple(_last_applied(connection, account, symbol)),
                )
                for symbol in symbols
            }
        )

    # -- tiers over time --------------------------------------------------------------------------------------

    def seen_tiers(self, account: str) -> list[SeenTiers]:
        """Return the versions of the tiers that an account has read, oldest first.

        Raises:
            JournalUnusable: The journal could not be read.
        """
        query = "SELECT * FROM tiers_seen WHERE account = ? ORDER BY id"
        return self._database.read(
            lambda connection: [_seen_tiers(row) for row in connection.execute(query, (account,))]
        )

    def tiers(self, digest: str) -> str:
        """Return the content of one version of the tiers.

        Raises:
            JournalUnusable: The journal could not be read.
        """
        query = "SELECT content FROM tiers WHERE digest = ?"
        return self._database.read(lambda connection: str(connection.execute(query, (digest,)).fetchone()[0]))

    def see_tiers(self, account: str, digest: str, content: Callable[[], str]) -> SeenTiers | None:
        """Record that an account has read a version of the tiers now. Each content is stored once.

        Returns:
            The version that it had read before, if that was another one; otherwise None.

        Raises:
            JournalUnusable: The journal could not be written.
        """
        now = _text(datetime.now(tz=UTC))

        def work(connection: sqlite3.Connection) -> SeenTiers | None:
            query = "SELECT * FROM tiers_seen WHERE account = ? ORDER BY id DESC LIMIT 1"
            last = connection.execute(query, (account,)).fetchone()
            if last is not None and last["digest"] == digest:
                connection.execute("UPDATE tiers_seen SET last_seen_at = ? WHERE id = ?", (now, last["id"]))
                return None
            connection.execute("INSERT OR IGNORE INTO tiers VALUES (?, ?)", (digest, content()))
            connection.execute(
                "INSERT INTO tiers_seen (account, digest, first_seen_at, last_seen_at) VALUES (?, ?, ?, ?)",
                (account, digest, now, now),
            )
            return None if last is None else _seen_tiers(last)

        return self._database.write(work, lambda _: False)

    # -- profiles --------------------------------------------------------------------------------------------

    def bind_profile(self, venue: str, profile: str, alias: str) -> str:
        """Return the account that a profile belongs to, which is the one that it was first used with.

        Raises:
            JournalUnusable: The journal could not be read or written.
        """

        def work(connection: sqlite3.Connection) -> str:
            now = _text(datetime.now(tz=UTC))
            connection.execute("INSERT OR IGNORE INTO profiles VALUES (?, ?, ?, ?)", (venue, profile, alias, now))
            return bound(connection)

        def bound(connection: sqlite3.Connection) -> str:
            query = "SELECT alias FROM profiles WHERE venue = ? AND profile = ?"
            row = connection.execute(query, (venue, profile)).fetchone()
            return str(row[0]) if row is not None else ""

        return self._database.write(work, lambda connection: bound(connection) != "")

    def close(self) -> None:
        """Drop a journal in memory."""
        self._database.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()


_ATTEMPT_COLUMNS = (
    "token", "begun_at", "venue", "address", "account", "symbol", "margin_asset", "kind", "before", "requested",
    "timestamp_ms", "recv_window_ms", "process", "undoes", "plan", "position_side",
    "direction",
)  # fmt: skip
_FINDING_COLUMNS = (
    "attempt", "found_at", "source", "status", "closes", "value", "max_notional", "as_of", "code", "http_status",
    "note", "claims",
)  # fmt: skip


def _select(
    connection: sqlite3.Connection,
    account: str,
    *,
    symbol: str | None = None,
    token: str | None = None,
    number: int | None = None,
    open_only: bool = False,
    last: int | None = None,
) -> list[Attempt]:
    wanted = "WHERE account = :account"
    wanted += " AND symbol = :symbol" if symbol else ""
    wanted += " AND token = :token" if token else ""
    wanted += " AND id = :number" if number else ""
    wanted += " AND id IN (SELECT attempt FROM open_attempts)" if open_only else ""
    newest = f" AND id IN (SELECT id FROM attempts {wanted} ORDER BY id DESC LIMIT :last)"  # noqa: S608 - as below
    wanted += newest if last is not None else ""
    names = {"account": account, "symbol": symbol, "token": token, "number": number, "last": last}
    # The conditions are the constants above; input is passed as parameters.
    rows = connection.execute(f"SELECT * FROM attempts {wanted} ORDER BY id", names).fetchall()  # noqa: S608
    if not rows:
        return []
    found: dict[int, list[sqlite3.Row]] = {row["id"]: [] for row in rows}
    query = f"SELECT * FROM findings WHERE attempt IN (SELECT id FROM attempts {wanted}) ORDER BY id"  # noqa: S608
    for row in connection.execute(query, names):
        found[row["attempt"]].append(row)
    return [_attempt(row, tuple(found[row["id"]])) for row in rows]


def _last_applied(connection: sqlite3.Connection, account: str, symbol: str) -> Iterator[Applied]:
    # A leverage is confirmed by the answer. A margin type is confirmed by a read after an answer that names no symbol.
    query = """SELECT kind, value, found_at FROM findings JOIN attempts ON attempts.id = findings.attempt
        WHERE account = ? AND symbol = ? AND kind = ? AND source = ? AND status = 'applied' AND closes
        ORDER BY findings.id DESC LIMIT 1"""
    confirming: dict[Kind, str] = {"leverage": "answer", "margin type": "symbolConfig"}
    for kind, source in confirming.items():
        row = connection.execute(query, (account, symbol, kind, source)).fetchone()
        if row is not None:
            yield Applied(kind, _value(kind, row["value"]), _time(row["found_at"]))


def _insert(table: str, columns: tuple[str, ...]) -> str:
    # Table and columns are the constants above.
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join(f':{name}' for name in columns)})"  # noqa: S608


def _text(value: Any) -> str | None:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return None if value is None else str(value)


def _time(text: str) -> datetime:
    return in_local_time(datetime.fromisoformat(text))


_READ_VALUE: dict[Kind, Callable[[str], Value]] = {"leverage": int, "margin type": str, "isolated margin": Decimal}


def _value(kind: Kind, text: str | None) -> Any:
    return None if text is None else _READ_VALUE[kind](text)


def _attempt(row: sqlite3.Row, findings: tuple[sqlite3.Row, ...]) -> Attempt:
    values: dict[str, Any] = {name: row[name] for name in _ATTEMPT_COLUMNS}
    values |= {name: _value(row["kind"], row[name]) for name in ("before", "requested")}
    values |= {"begun_at": _time(row["begun_at"])}
    return Attempt(number=row["id"], findings=tuple(_finding(row["kind"], one) for one in findings), **values)


def _finding(kind: Kind, row: sqlite3.Row) -> Finding:
    values: dict[str, Any] = {name: row[name] for name in _FINDING_COLUMNS if name != "attempt"}
    as_of = _time(row["as_of"]) if row["as_of"] is not None else None
    values |= {"found_at": _time(row["found_at"]), "as_of": as_of, "closes": bool(row["closes"])}
    return Finding(**values | {"value": _value(kind, row["value"])})


def _seen_tiers(row: sqlite3.Row) -> SeenTiers:
    return SeenTiers(row["digest"], _time(row["first_seen_at"]), _time(row["last_seen_at"]))
