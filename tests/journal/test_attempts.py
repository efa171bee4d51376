"""An attempt and its findings, and the record of the change that they make."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from leverage_nb.journal.attempts import Finding
from tests.journal.drafts import APPLIED, NOW, UNKNOWN, draft

READ = Finding(NOW, "symbolConfig", "not_applied", closes=True, value=20, max_notional=100e6, as_of=NOW)


def test_an_attempt_is_open_until_a_finding_closes_it() -> None:
    """An attempt without findings is open and unknown; the first closing finding closes it."""
    attempt = replace(draft(), begun_at=NOW)
    assert (attempt.is_open, attempt.status) == (True, "unknown")
    assert attempt.with_finding(UNKNOWN).is_open
    closed = attempt.with_finding(UNKNOWN).with_finding(READ)
    assert (closed.is_open, closed.status) == (False, "not_applied")
    assert closed.findings == (UNKNOWN, READ)


@pytest.mark.parametrize(
    ("finding", "status", "confirmed_by", "after", "as_of"),
    [
        (APPLIED, "applied", "answer", 10, None),
        (READ, "not_applied", "symbolConfig", 20, NOW),
        (UNKNOWN, "unknown", None, None, None),
        (replace(UNKNOWN, source="answer", status="refused", closes=True), "refused", None, None, None),
    ],
)
def test_the_record_follows_from_the_last_finding(
    finding: Finding, status: str, confirmed_by: str | None, after: int | None, as_of: object
) -> None:
    """The record has the status of the last finding, and a leverage only if an answer or a read showed it."""
    change = replace(draft(), begun_at=NOW, number=3).with_finding(finding).change
    assert (change.symbol, change.before, change.requested, change.number) == ("BTCUSDT", 20, 10, 3)
    assert (change.status, change.confirmed_by, change.after, change.as_of) == (status, confirmed_by, after, as_of)
    assert (change.sent_at, change.note) == (NOW, finding.note)


def test_an_attempt_that_was_not_sent_has_no_time_of_sending() -> None:
    """The record of an attempt that was closed as not sent has no time of sending."""
    not_sent = Finding(NOW + timedelta(seconds=1), "not sent", "not_sent", closes=True, note="The guard is 20x.")
    change = replace(draft(), begun_at=NOW).with_finding(not_sent).change
    assert (change.status, change.sent_at, change.note) == ("not_sent", None, "The guard is 20x.")


def test_attempts_are_distinguished_by_their_tokens() -> None:
    """Two attempts with the same content have different tokens, and both belong to this process."""
    first, second = draft(), draft()
    assert first.token != second.token
    assert first.is_ours
    assert not replace(first, process="another").is_ours
    assert first.step == "BTCUSDT 20x → 10x"
