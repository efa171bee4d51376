"""The journal's tables. The values of a change are text, because each kind of change has values of its own."""

from __future__ import annotations

# "LEVR" in ASCII: distinguishes a journal from other SQLite files.
APPLICATION_ID = 0x4C455652

# Increased when the tables change. Versions below 3 were never released.
VERSION = 5


def _append_only(table: str) -> tuple[str, ...]:
    refuse = "BEGIN SELECT RAISE(ABORT, 'the journal is appended to, never altered'); END"
    return (
        f"CREATE TRIGGER {table}_are_not_altered BEFORE UPDATE ON {table} {refuse}",
        f"CREATE TRIGGER {table}_are_not_deleted BEFORE DELETE ON {table} {refuse}",
    )


STATEMENTS: tuple[str, ...] = (
    """CREATE TABLE attempts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        token TEXT NOT NULL UNIQUE,
        begun_at TEXT NOT NULL,
        venue TEXT NOT NULL,
        address TEXT NOT NULL,
        account TEXT NOT NULL,
        symbol TEXT NOT NULL,
        margin_asset TEXT NOT NULL,
        kind TEXT NOT NULL,
        before TEXT,
        requested TEXT,
        timestamp_ms INTEGER NOT NULL,
        recv_window_ms INTEGER NOT NULL,
        process TEXT NOT NULL,
        undoes INTEGER REFERENCES attempts (id),
        plan TEXT,
        position_side TEXT NOT NULL DEFAULT '',
        direction TEXT NOT NULL DEFAULT ''
    )""",
    "CREATE INDEX attempts_by_account ON attempts (account, symbol)",
    """CREATE TABLE findings (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        attempt INTEGER NOT NULL REFERENCES attempts (id),
        found_at TEXT NOT NULL,
        source TEXT NOT NULL,
        status TEXT NOT NULL,
        closes INTEGER NOT NULL,
        value TEXT,
        max_notional REAL,
        as_of TEXT,
        code INTEGER,
        http_status INTEGER,
        note TEXT NOT NULL,
        claims TEXT
    )""",
    "CREATE INDEX findings_by_attempt ON findings (attempt)",
    # Maintained by the triggers, so that finding open attempts stays fast in a large journal.
    "CREATE TABLE open_attempts (attempt INTEGER PRIMARY KEY REFERENCES attempts (id))",
    """CREATE TRIGGER an_attempt_opens AFTER INSERT ON attempts
        BEGIN INSERT INTO open_attempts VALUES (NEW.id); END""",
    """CREATE TRIGGER a_finding_closes AFTER INSERT ON findings WHEN NEW.closes
        BEGIN DELETE FROM open_attempts WHERE attempt = NEW.attempt; END""",
    *_append_only("attempts"),
    *_append_only("findings"),
    # Each version of all symbols' tiers, stored once.
    "CREATE TABLE tiers (digest TEXT PRIMARY KEY, content TEXT NOT NULL)",
    """CREATE TABLE tiers_seen (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        account TEXT NOT NULL,
        digest TEXT NOT NULL REFERENCES tiers (digest),
        first_seen_at TEXT NOT NULL,
        last_seen_at TEXT NOT NULL
    )""",
    "CREATE INDEX tiers_seen_by_account ON tiers_seen (account)",
    # The account that a profile's key opened when it was first used.
    """CREATE TABLE profiles (
        venue TEXT NOT NULL,
        profile TEXT NOT NULL,
        alias TEXT NOT NULL,
        bound_at TEXT NOT NULL,
        PRIMARY KEY (venue, profile)
    )""",
)

# What brings a file of an earlier version to this one.
MIGRATIONS: dict[int, tuple[str, ...]] = {
    3: (
        "ALTER TABLE attempts ADD COLUMN position_side TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE findings ADD COLUMN claims TEXT",
    ),
    4: ("ALTER TABLE attempts ADD COLUMN direction TEXT NOT NULL DEFAULT ''",),
}
