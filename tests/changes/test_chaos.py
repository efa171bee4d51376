"""No report is false under random changes, faults and other clients."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.changes.chaos import run_many

ALL_KINDS = {
    "leverage: applied (answer)", "leverage: refused", "leverage: not_applied (symbolConfig)",
    "margin type: applied (symbolConfig)", "isolated margin: applied (answer)",
    "isolated margin: applied (history)", "isolated margin: unknown",
}  # fmt: skip


def test_no_report_is_false(tmp_path: Path) -> None:
    """Under random faults no report and no entry of the journal contradicts the simulator, and no report is late."""
    result = run_many(workers=8, changes=15, folder=tmp_path)
    assert result.false == []
    assert sum(result.reports.values()) >= 120
    assert {"leverage: applied (answer)", "leverage: refused"} <= result.reports.keys()


@pytest.mark.proof
@pytest.mark.parametrize("part", range(10))
def test_a_hundred_thousand_reports(tmp_path: Path, part: int) -> None:
    """100,000 reports under random faults, in ten parts: none is false."""
    result = run_many(workers=20, changes=500, folder=tmp_path, seed=1000 * (part + 1))
    print(f"\n{dict(result.reports)}; slowest {result.slowest:.1f} s; settled later {result.settled_later}")
    assert result.false == []
    assert result.reports.keys() >= ALL_KINDS
