"""The errors and sentences that report how a change ended."""

from __future__ import annotations

import copy
from dataclasses import replace

from leverage_nb.binance.error_codes import without_doubt
from leverage_nb.change import Change, is_at, value_text
from leverage_nb.errors import (
    ChangeFailed,
    ChangeNotApplied,
    ChangeNotSent,
    ChangeSuperseded,
    LeverageError,
    LeverageRefused,
    OutcomeUnknown,
)
from leverage_nb.formatting import moment


def return_if_applied(change: Change, failure: LeverageError | None) -> Change:
    """Return a change that was applied or not needed; raise the error of any other outcome.

    Args:
        change: The record of the change.
        failure: The error that ended it; None if nothing failed, which returns the change whatever its status.

    Raises:
        ChangeFailed: The subclass that belongs to the change's status.
    """
    if change.status in {"applied", "unchanged"} or failure is None:
        return change
    if change.status == "refused":
        raise failed(LeverageRefused, change, f"{change.headline}.", failure)
    if change.status == "not_sent":
        raise not_sent(change, failure)
    if change.status == "unknown":
        reason = "no read can show it" if change.is_final else "the setting could not be verified"
        text = f"{may_be_changed(change)} There was no definite answer, and {reason}."
        raise failed(OutcomeUnknown, change, text, failure, how_to_verify(change))
    now = f" It {change.is_at(change.after)} as of {moment(change.as_of)}." if change.as_of else ""
    text = f"{change.symbol} was not changed to {value_text(change.kind, change.requested)}.{now}"
    if without_doubt(failure.message) != failure.message:
        failure = copy.copy(failure)
        failure.message, failure.meaning = without_doubt(failure.message), without_doubt(failure.meaning)
    if change.status == "not_applied":
        raise failed(ChangeNotApplied, change, text, failure, "You may try again.")
    text = f"{text} It was changed elsewhere."
    raise failed(ChangeSuperseded, change, text, failure, "Check the setting before you try again.")


def failed(kind: type[ChangeFailed], change: Change, text: str, failure: LeverageError, hint: str = "") -> ChangeFailed:
    """Return the error that reports a change: its own sentence, then the reason."""
    if isinstance(failure, ChangeNotSent):
        return failure
    return kind(
        f"{text} {failure.message}",
        headline=text,
        hint=hint or failure.hint,
        code=failure.code,
        http_status=failure.http_status,
        words=failure.words,
        meaning=failure.meaning,
        change=replace(change, note=change.note or failure.message),
        reason=failure,
    )


def not_sent(change: Change, failure: LeverageError) -> ChangeFailed:
    """Return the error that reports a change that was not sent."""
    return failed(ChangeNotSent, change, f"{change.symbol} was not changed. Nothing was sent.", failure)


def may_be_changed(change: Change) -> str:
    """Say that the outcome of a change is unknown."""
    if change.kind == "isolated margin":
        return f"{change.symbol} {change.step} may or may not have been executed."
    return f"{change.symbol} may or may not be {is_at(change.kind, change.requested).removeprefix('is ')} now."


def how_to_verify(change: Change) -> str:
    """Say what to do about a change with an unknown outcome."""
    if change.is_final:
        return (
            "Compare the position's margin at Binance with what you expect before you repeat it. It is not sent again."
        )
    return (
        "The attempt is in the journal. To verify it: %leverage --history, or account.history(). "
        f"Until it is settled, no other change of {change.symbol} is sent."
    )


def with_more(failure: LeverageError | None, text: str) -> LeverageError | None:
    """Add a sentence to an error, and to the record of its change if it has one."""
    if failure is not None:
        failure.message = f"{failure.message} {text}"
        failure.meaning = f"{failure.meaning} {text}".strip()
    if isinstance(failure, ChangeFailed):
        failure.change = replace(failure.change, note=f"{failure.change.note} {text}".strip())
    return failure
