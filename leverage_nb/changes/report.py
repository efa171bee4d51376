"""The errors and sentences that report how a change ended."""

from __future__ import annotations

from dataclasses import replace

from leverage_nb.change import LeverageChange
from leverage_nb.errors import (
    ChangedElsewhere,
    ChangeFailed,
    ChangeNotApplied,
    ChangeNotSent,
    ChangeSuperseded,
    LeverageError,
    LeverageRefused,
    OutcomeUnknown,
)
from leverage_nb.formatting import moment, times


def return_if_applied(change: LeverageChange, failure: LeverageError | None) -> LeverageChange:
    """Return a change that was applied; raise the error of its outcome otherwise.

    Raises:
        ChangeFailed: The subclass that belongs to the change's status.
    """
    if change.status == "applied" or failure is None:
        return change
    if change.status == "refused":
        raise failed(LeverageRefused, change, f"{change.headline}.", failure)
    if change.status == "unknown":
        text = f"{may_be_changed(change)} There was no definite answer, and the setting could not be verified."
        raise failed(OutcomeUnknown, change, text, failure, how_to_verify(change))
    now = f" It is at {times(change.after)} as of {moment(change.as_of)}." if change.as_of else ""
    text = f"{change.symbol} was not changed to {change.requested}x.{now}"
    if change.status == "not_applied":
        raise failed(ChangeNotApplied, change, text, failure, "You may try again.")
    text = f"{text} It was changed elsewhere."
    raise failed(ChangeSuperseded, change, text, failure, "Check the setting before you try again.")


def failed(
    kind: type[ChangeFailed], change: LeverageChange, text: str, failure: LeverageError, hint: str = ""
) -> ChangeFailed:
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


def not_sent(change: LeverageChange, failure: LeverageError) -> ChangeFailed:
    """Return the error that reports a change that was not sent."""
    return failed(ChangeNotSent, change, f"{change.symbol} was not changed. Nothing was sent.", failure)


def changed_elsewhere(symbol: str, before: int | None, now: int | None) -> ChangedElsewhere:
    """Return the reason for not sending a change whose leverage before is no longer the current one."""
    return ChangedElsewhere(
        f"The change was confirmed from {times(before)}, and {symbol} is at {times(now)} now.",
        hint="Check the new preview, then confirm again.",
    )


def may_be_changed(change: LeverageChange) -> str:
    """Say that the outcome of a change is unknown."""
    return f"{change.symbol} may or may not be at {change.requested}x now."


def how_to_verify(change: LeverageChange) -> str:
    """Say what to do about a change with an unknown outcome."""
    return (
        "The attempt is in the journal. To verify it: %leverage --history, or account.history(). "
        f"Until it is settled, no other change of {change.symbol} is sent."
    )
