"""The record of a change as the user sees it."""

from __future__ import annotations

import pickle
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from leverage_nb.change import LeverageChange
from leverage_nb.formatting import moment

SENT_AT = datetime(2026, 11, 22, 14, 3, 7, tzinfo=UTC)
CHANGE = LeverageChange(
    venue="testnet", account="key 1a2b3c4d", symbol="BTCUSDT", before=20, after=10, requested=10,
    max_notional=230_000_000, status="applied", sent_at=SENT_AT,
    confirmed_by="answer", margin_asset="USDT",
)  # fmt: skip


def test_text_and_html_have_the_same_content() -> None:
    """Venue, account, change, max notional, time and confirmation are in the text and in the HTML."""
    for shown in (str(CHANGE), CHANGE._repr_html_()):
        for part in (
            "TESTNET",
            "BTCUSDT 20x → 10x",
            "230,000,000 USDT",
            moment(SENT_AT),  # in local time
            "answer",
            "key 1a2b3c4d",
        ):
            assert part in shown


def test_only_the_simulator_says_that_nothing_reached_binance() -> None:
    """A record of the simulator says that nothing was sent to Binance; others do not."""
    assert "to Binance" not in str(CHANGE)
    assert "Sent to the simulator, not to Binance." in str(replace(CHANGE, venue="simulator"))
    assert "Nothing was sent to Binance." in str(replace(CHANGE, venue="simulator", sent_at=None))


@pytest.mark.parametrize("status", ["refused", "not_sent", "unknown", "unchanged"])
def test_no_other_status_reads_like_a_success(status: str) -> None:
    """The headline of any status but "applied" names it."""
    headline = replace(CHANGE, status=status).headline  # type: ignore[arg-type]  # the parametrized literal
    assert any(word in headline for word in ("refused", "not sent", "unknown", "nothing was changed"))


def test_the_outcome_is_told_in_one_line() -> None:
    """The summary names change, outcome and venue; the card of an undo says undone in its headline."""
    assert CHANGE.summary == "BTCUSDT 20x → 10x applied, TESTNET"
    undo = replace(CHANGE, before=10, after=20, requested=20, undoes=1)
    assert undo.card().title == "BTCUSDT 10x → 20x undone"
    assert undo.summary == "BTCUSDT 10x → 20x undone, TESTNET"
    refused = replace(undo, status="refused")
    assert refused.card().title == "BTCUSDT 10x → 20x was refused"


def test_records_can_be_compared_and_pickled() -> None:
    """A record is equal to its pickled copy."""
    assert pickle.loads(pickle.dumps(CHANGE)) == CHANGE  # noqa: S301 - our own bytes
