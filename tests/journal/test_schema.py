"""The journal's tables are only appended to, and have a version."""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from leverage_nb.errors import JournalUnusable
from leverage_nb.journal.journal import Journal
from leverage_nb.journal.schema import APPLICATION_ID, VERSION
from tests.journal.drafts import APPLIED, draft
from tests.journal.processes import another_process


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
    """A file of a newer version, or of a development version, is refused and not changed."""
    Journal(path).begin([draft()], lambda: 1)
    with sqlite3.connect(path) as raw:
        assert raw.execute("PRAGMA user_version").fetchone()[0] == VERSION
        assert raw.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
    for version, words in ((VERSION + 1, "written by a newer leverage_nb"), (2, "by a development version")):
        raw.execute(f"PRAGMA user_version = {version}")
        before = path.read_bytes()
        with pytest.raises(JournalUnusable, match=words):
            Journal(path).attempts("key 1")
        assert path.read_bytes() == before
    raw.close()


def make_first_release(path: Path) -> None:
    """Make a journal of the first release, with one entry."""
    journal = Journal(path)
    [old] = journal.begin([draft()], lambda: 1)
    journal.add([(old, APPLIED)])
    with sqlite3.connect(path) as raw:  # what the first release had not
        raw.execute("ALTER TABLE attempts DROP COLUMN position_side")
        raw.execute("ALTER TABLE attempts DROP COLUMN direction")
        raw.execute("ALTER TABLE findings DROP COLUMN claims")
        raw.execute("PRAGMA user_version = 3")
    raw.close()


def test_a_file_of_the_first_release_is_migrated(path: Path) -> None:
    """A journal of the first release keeps its entries, and takes changes of every kind."""
    make_first_release(path)
    again = Journal(path)
    assert [attempt.status for attempt in again.attempts("key 1")] == ["applied"]
    [margin] = again.begin(
        [replace(draft("ETHUSDT"), kind="isolated margin", before=Decimal("10.5"), requested=Decimal("-0.25"))],
        lambda: 1,
    )
    assert again.attempts("key 1")[1] == margin


_MIGRATES = """
import sys
from leverage_nb.journal.journal import Journal
from tests.journal.drafts import APPLIED, draft
path, symbol = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
journal = Journal(path)
for _ in range(20):
    journal.add([(journal.begin([draft(symbol)], lambda: 1)[0], APPLIED)])
"""


def test_processes_migrate_a_file_once(path: Path) -> None:
    """Of processes that open a journal of the first release at the same time, one migrates it; no entry is lost."""
    make_first_release(path)
    names = ["ETHUSDT", "SOLUSDT", "XRPUSDT"]
    with ExitStack() as stack:
        others = [stack.enter_context(another_process(_MIGRATES, path, name)) for name in names]
        for other in others:
            assert other.stdin is not None
            other.stdin.write("go\n")
            other.stdin.flush()
        assert [other.wait(30) for other in others] == [0, 0, 0]
    found = Counter((attempt.symbol, attempt.status) for attempt in Journal(path).attempts("key 1"))
    assert found == {("BTCUSDT", "applied"): 1} | {(name, "applied"): 20 for name in names}
