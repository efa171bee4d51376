"""The journal's tables are only appended to, and have a version."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from leverage_nb.errors import JournalUnusable
from leverage_nb.journal.journal import Journal
from leverage_nb.journal.schema import APPLICATION_ID, VERSION
from tests.journal.drafts import APPLIED, draft


def test_entries_cannot_be_altered(path: Path) -> None:
    """No program can change or delete attempts and findings."""
    journal = Journal(path)
    journal.add([(journal.begin([draft()], lambda: 1)[0], APPLIED)])
    with sqlite3.connect(path) as other:
        for statement in (
            "UPDATE attempts SET requested = 5", "DELETE FROM attempts", "UPDATE findings SET status = 'refused'",
            "DELETE FROM findings",
        ):  # fmt: skip
            with pytest.raises(sqlite3.IntegrityError, match="never altered"):
                other.execute(statement)
    other.close()


def test_a_file_of_another_version_is_not_changed(path: Path) -> None:
    """A file of a newer version, or from before the first release, is refused and not changed."""
    Journal(path).begin([draft()], lambda: 1)
    with sqlite3.connect(path) as raw:
        assert raw.execute("PRAGMA user_version").fetchone()[0] == VERSION
        assert raw.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    for version, words in ((VERSION + 1, "written by a newer leverage_nb"), (2, "before its first release")):
        raw.execute(f"PRAGMA user_version = {version}")
        before = path.read_bytes()
        with pytest.raises(JournalUnusable, match=words):
            Journal(path).attempts("key 1")
        assert path.read_bytes() == before
    raw.close()


def test_a_file_of_the_first_release_is_migrated(path: Path) -> None:
    """A journal of the first release keeps its entries, and takes changes of every kind."""
    journal = Journal(path)
    [old] = journal.begin([draft()], lambda: 1)
    journal.add([(old, APPLIED)])
    with sqlite3.connect(path) as raw:  # what the first release had not
        raw.execute("ALTER TABLE attempts DROP COLUMN position_side")
        raw.execute("ALTER TABLE findings DROP COLUMN claims")
        raw.execute("PRAGMA user_version = 3")
    raw.close()
    again = Journal(path)
    assert [attempt.status for attempt in again.attempts("key 1")] == ["applied"]
    [margin] = again.begin(
        [replace(draft("ETHUSDT"), kind="isolated margin", before=Decimal("10.5"), requested=Decimal("-0.25"))],
        lambda: 1,
    )
    assert again.attempts("key 1")[1] == margin
