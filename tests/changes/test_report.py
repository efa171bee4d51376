"""Each outcome of a change has its error, with the record and the next step."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from leverage_nb.change import LeverageChange, Status
from leverage_nb.changes.report import failed, how_to_verify, not_sent, return_if_applied
from leverage_nb.errors import (
    ChangeFailed,
    ChangeNotApplied,
    ChangeNotSent,
    ChangeSuperseded,
    LeverageRefused,
    NoAnswer,
    OutcomeUnknown,
    RequestRefused,
)

NOW = datetime(2026, 11, 22, 14, 3, 7, tzinfo=UTC)
LOST = NoAnswer("The connection broke.", hint="Try again.")


def change_with(status: Status, after: int | None = None) -> LeverageChange:
    """Return a change of BTCUSDT from 20x to 10x with an outcome."""
    read = NOW if after is not None else None
    is_final = status != "unknown"
    return LeverageChange(
        "testnet", "key 1", "BTCUSDT", 20, after, 10, None, status, NOW, as_of=read, is_final=is_final
    )


@pytest.mark.parametrize(
    ("status", "after", "kind", "words"),
    [
        ("refused", None, LeverageRefused, "BTCUSDT 20x → 10x was refused"),
        ("not_applied", 20, ChangeNotApplied, "It is at 20x as of 2026-11-2"),
        ("superseded", 33, ChangeSuperseded, "It is at 33x as of 2026-11-2"),
        ("unknown", None, OutcomeUnknown, "BTCUSDT may or may not be at 10x now"),
        ("not_sent", None, ChangeNotSent, "BTCUSDT was not changed. Nothing was sent."),
    ],
)
def test_every_outcome_raises_its_error(
    status: Status, after: int | None, kind: type[ChangeFailed], words: str
) -> None:
    """The error has the record, what happened, the reason and a hint."""
    with pytest.raises(kind) as caught:
        return_if_applied(change_with(status, after), LOST)
    assert words in caught.value.message
    assert LOST.message in caught.value.message
    assert caught.value.hint
    assert (caught.value.change.status, caught.value.change.note) == (status, LOST.message)
    assert caught.value.reason is LOST


def test_an_applied_change_is_returned() -> None:
    """A change that was applied is returned, also if its answer was an error."""
    applied = change_with("applied", 10)
    assert return_if_applied(applied, None) is applied
    assert return_if_applied(applied, LOST) is applied


def test_the_codes_of_the_reason_are_kept() -> None:
    """Code, HTTP status and text of the reason are also those of the error."""
    reason = RequestRefused("No.", code=-2027, http_status=400, words="Exceeded.", meaning="Too large.")
    error = failed(LeverageRefused, change_with("refused"), "It was refused.", reason)
    assert (error.code, error.http_status, error.words, error.meaning) == (-2027, 400, "Exceeded.", "Too large.")
    assert error.message == "It was refused. No."


def test_a_reported_change_is_not_reported_twice() -> None:
    """A reason that is already the report of a change that was not sent is returned as it is."""
    first = not_sent(change_with("not_sent"), LOST)
    assert isinstance(first, ChangeNotSent)
    assert not_sent(change_with("not_sent"), first) is first


def test_the_sentences_name_symbol_and_leverages() -> None:
    """The hint for an open attempt names the symbol that it blocks."""
    assert "no other change of BTCUSDT is sent" in how_to_verify(replace(change_with("unknown"), number=3))


def test_a_known_outcome_is_not_called_possible_any_more() -> None:
    """Once a read has shown that a change was not executed, the report no longer says that it may have been."""
    words = "The testnet says “Timeout” (-1007). The request may have been executed."
    with pytest.raises(ChangeNotApplied) as caught:
        return_if_applied(change_with("not_applied", 20), RequestRefused(words, code=-1007))
    assert "(-1007)" in str(caught.value)
    assert "may have been executed" not in str(caught.value)
