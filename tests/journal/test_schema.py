"""The journal's tables are only appended to, and have a version."""

from __future__ import annotations

import sqlite3
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
    for version, words in ((VERSION + 1, "written by a newer leverage_nb"), (VERSION - 1, "before its first release")):
        raw.execute(f"PRAGMA user_version = {version}")
        before = path.read_bytes()
        with pytest.raises(JournalUnusable, match=words):
            Journal(path).attempts("key 1")
        assert path.read_bytes() == before
    raw.close()
