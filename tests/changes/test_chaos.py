"""Never a false word: random changes under random faults, held against what the simulator did."""

from __future__ import annotations

from pathlib import Path

import pytest

from leverage_nb.changes import settle
from tests.changes.chaos import GRACE, run_many


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settle, "GRACE_MS", GRACE)


def test_no_report_is_contradicted(tmp_path: Path) -> None:
    """A few hundred changes under random faults: no report and no journal entry is contradicted, none is late."""
    result = run_many(workers=10, changes=30, folder=tmp_path)
    assert result.false == []
    assert sum(result.reports.values()) == 300
    assert {"applied (answer)", "refused", "not_applied (symbolConfig)"} <= result.reports.keys()


@pytest.mark.proof
def test_ten_thousand_reports(tmp_path: Path) -> None:
    """10,000 changes under random faults: not one contradiction."""
    result = run_many(workers=20, changes=500, folder=tmp_path, seed=1000)
    print(f"\n{dict(result.reports)}; slowest {result.slowest:.1f} s; settled later {result.settled_later}")
    assert result.false == []
