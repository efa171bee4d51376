"""Every error a user can meet.

::

    LeverageError
    ├── InvalidInput (also ValueError)  an argument, a word of the line or a setting that cannot be used
    │   ├── UnknownSymbol               .symbol .suggestions
    │   ├── InvalidLeverage             .leverage .max_leverage
    │   └── NotionalBeyondTiers         .notional .notional_cap
    ├── CredentialsMissing              no API key for this venue
    ├── WrongAccount                    the profile's key opens another account than before
    ├── WrongMode                       the account is not in the mode that the plan expects
    ├── NotConnected                    the request could not leave this machine
    ├── NoAnswer                        the request left, no complete answer came in time
    ├── UnexpectedAnswer                the answer is not what Binance documents
    ├── RequestRefused                  Binance refused: .code .words .meaning .hint
    │   └── RateLimited                 HTTP 418 or 429: .retry_after
    ├── JournalUnusable                 the journal cannot be opened, read or written: .path
    ├── ForkedProcess                   an account of the parent process was used in a forked process
    ├── GuardExceeded                   above max_leverage, or an amount that needs a confirmation of its own
    ├── ReadOnly                        the account was opened with read_only=True
    ├── LoggedOut                       the account's key was removed with %leverage --logout
    ├── RefusalExpected                 the preview expects a refusal, and force was not given: .code
    ├── ChangePending                   an earlier change of the symbol may still be executed
    ├── ChangedElsewhere                the account is no longer as the preview showed it
    ├── NotConfirmed                    nobody confirmed the change
    ├── NothingToUndo                   no change is left to undo
    └── ChangeFailed                    a change that was not made: .change .reason
        ├── ChangeNotSent               nothing left this machine
        ├── LeverageRefused             Binance refused it
        ├── ChangeNotApplied            sent without a definite answer; the value before is there
        ├── ChangeSuperseded            sent without a definite answer; a third value is there
        └── OutcomeUnknown              sent without a definite answer, and not verified yet

    KeyboardInterrupt
    └── ChangeInterrupted               Ctrl-C during a change: .change

In a notebook each prints as a few lines instead of a traceback. Set ``LEVERAGE_NB_DEBUG=1`` for the full traceback.
"""

from __future__ import annotations

import os
import re
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from leverage_nb import terminal

if TYPE_CHECKING:
    from leverage_nb.change import Change


class LeverageError(Exception):
    """The root of all errors of this package.

    Attributes:
        message: What happened and why.
        headline: What happened, in one short sentence.
        hint: What to do next; "" if there is nothing to add.
        code: Binance's error code, or the code that is expected; None without one.
        http_status: The HTTP status of the answer; None without one.
        words: The text of Binance's error message; "" without one.
        meaning: What that text means; "" if unknown.
    """

    def __init__(
        self,
        message: str,
        *,
        headline: str = "",
        hint: str = "",
        code: int | None = None,
        http_status: int | None = None,
        words: str = "",
        meaning: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.headline = headline or message
        self.hint = hint
        self.code = code
        self.http_status = http_status
        self.words = words
        self.meaning = meaning

    @property
    def rows(self) -> tuple[tuple[str, str], ...]:
        """The exchange's answer, its meaning and the next step, as label and text; empty without an answer."""
        if not (self.words or self.meaning):
            return ()
        named = str(self.code) if self.code is not None else f"HTTP {self.http_status}"
        said = f"“{self.words}” ({named})" if self.words else named
        rows = (("answer", said), ("meaning", self.meaning), ("next", self.hint))
        return tuple((name, text) for name, text in rows if text)

    def __str__(self) -> str:
        return terminal.encodable(f"{self.message} {self.hint}".rstrip())

    def __repr__(self) -> str:
        return terminal.encodable(super().__repr__())

    def __reduce__(self) -> tuple[object, ...]:
        # Subclasses take other arguments than the message, so the constructor is not called.
        return _rebuild, (type(self), self.args, self.__dict__)

    @property
    def _render_traceback_(self) -> Callable[[], list[str]]:
        if self.rows:
            width = max(len(name) for name, _ in self.rows)
            return _short_form(self, self.headline, *(_wrap(text, f"  {name:<{width}}  ") for name, text in self.rows))
        return _short_form(self, self.message, _wrap(self.hint))


def _rebuild(kind: type[LeverageError], args: tuple[object, ...], attributes: dict[str, object]) -> LeverageError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(attributes)
    return error


def _short_form(error: BaseException, message: str, *paragraphs: list[str]) -> Callable[[], list[str]]:
    # IPython tests for the attribute with hasattr; without it, it prints the full traceback.
    if os.environ.get("LEVERAGE_NB_DEBUG"):
        raise AttributeError("_render_traceback_")
    name = type(error).__name__
    first, *others = _wrap(message, f"{name}: ", hang=0)
    # Bold, not red: red is unreadable on the red background of JupyterLab's dark theme.
    # A notebook shows codes too, and is not a terminal.
    if not os.environ.get("NO_COLOR") and (terminal.has_colours() or "ipykernel" in type(sys.stdout).__module__):
        first = f"{terminal.paint(name, terminal.BOLD)}{first.removeprefix(name)}"
    lines = [first, *others, *(line for paragraph in paragraphs for line in paragraph)]
    return lambda: [terminal.encodable(line) for line in lines]


def _wrap(text: str, start: str = "", hang: int | None = None) -> list[str]:
    """Lines of at most 96 columns: JupyterLab, and narrower terminals, break longer ones in the middle of words."""
    indent = " " * (len(start) if hang is None else hang)
    lines = textwrap.wrap(
        text,
        min(96, terminal.columns() or 96),
        initial_indent=start,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines or ([start.rstrip()] if start else [])


# 16 letters and digits, or 21 base64 characters, in a row: no symbol or name looks like that, keys and secrets do.
_LIKE_A_KEY = re.compile(r"(?=[A-Za-z0-9]*[0-9])(?=[A-Za-z0-9]*[A-Za-z])[A-Za-z0-9]{16}|[A-Za-z0-9+/=]{21}")


def as_typed(value: object, most: int = 20, quotes: str = "") -> str:
    """Quote a user's input in a message, without repeating a key that was typed in the wrong place.

    Args:
        value: The input, of any type.
        most: The longest text that is repeated, in characters.
        quotes: Two characters to put around it.

    Returns:
        The text; "That text" if it is longer or could be a key.
    """
    if isinstance(value, int) and abs(value) >= 10**12:
        return "That number"
    text = str(value)
    if len(text) > most or _LIKE_A_KEY.search(text):
        return "That text"
    if quotes:
        return f"{quotes[0]}{text}{quotes[1]}"
    return text if text and text.isprintable() and text == text.strip() else repr(text)


class InvalidInput(LeverageError, ValueError):
    """An argument, a word of the ``%leverage`` line or a setting cannot be used. Nothing was sent."""


class UnknownSymbol(InvalidInput):
    """The venue does not list the symbol.

    Attributes:
        symbol: The symbol as it was looked up.
        suggestions: Similar symbols that are listed, best first.
    """

    def __init__(self, symbol: str, venue: str, suggestions: Sequence[str] = ()) -> None:
        hint = f"Did you mean {' or '.join(suggestions)}?" if suggestions else "account.symbols() lists all symbols."
        super().__init__(f"{as_typed(symbol)} is not a symbol on the {venue}.", hint=hint)
        self.symbol = symbol
        self.suggestions = tuple(suggestions)


class InvalidLeverage(InvalidInput):
    """Not a whole number between 1 and the symbol's maximum.

    Attributes:
        leverage: The input.
        max_leverage: The symbol's maximum; None if unknown.
    """

    def __init__(self, leverage: object, symbol: str = "", max_leverage: int | None = None) -> None:
        if isinstance(leverage, int) and max_leverage is not None and max_leverage < leverage < 10**9:
            text = f"{leverage}x is above {symbol}'s maximum of {max_leverage}x."
        else:
            of_symbol = f" for {symbol}" if symbol else ""
            limits = f"from 1 to {max_leverage}" if max_leverage else "of 1 or more"
            typed = as_typed(leverage)
            reason = ": a leverage has no sign. Use" if typed[:1] in {"+", "-"} else ": use"
            text = f"{typed} is not a leverage{of_symbol}{reason} a whole number {limits}, as 10 or 10x."
        super().__init__(text)
        self.leverage = leverage
        self.max_leverage = max_leverage


class NotionalBeyondTiers(InvalidInput):
    """A notional above the last tier's cap: no leverage allows it, and its margin is not defined.

    Attributes:
        notional: The first such notional of the input.
        notional_cap: The last tier's cap.
    """

    def __init__(self, notional: float, notional_cap: float, symbol: str = "") -> None:
        of_symbol = f" of {symbol}" if symbol else ""
        super().__init__(
            f"A notional of {notional:,.10g} is above the last tier{of_symbol}, which ends at {notional_cap:,.10g}.",
            hint='beyond="nan" returns NaN instead of this error.',
        )
        self.notional = notional
        self.notional_cap = notional_cap


class CredentialsMissing(LeverageError):
    """There is no API key for this venue."""


class WrongAccount(LeverageError):
    """The profile's key opens another account than the one that the profile was first used with."""


class WrongMode(LeverageError):
    """The account's position mode or multi-assets mode is not the one that the plan expects. Nothing was sent."""


class NotConnected(LeverageError):
    """The request could not leave this machine: name resolution, connection, proxy or certificate."""


class NoAnswer(LeverageError):
    """The request left this machine, and no complete answer came in time."""


class UnexpectedAnswer(LeverageError):
    """The answer is not what Binance documents: HTML, a redirect, incomplete JSON, another structure."""


class RequestRefused(LeverageError):
    """Binance refused the request."""


class RateLimited(RequestRefused):
    """Too many requests (HTTP 429), or the address is banned for a while (418).

    Attributes:
        retry_after: Seconds to wait, if the exchange named them.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, **details: object) -> None:
        super().__init__(message, **details)  # type: ignore[arg-type]  # passed on as they came
        self.retry_after = retry_after


class JournalUnusable(LeverageError):
    """The journal cannot be opened, read or written. Its content was not changed.

    Attributes:
        path: The path of its file.
    """

    def __init__(self, message: str, *, path: str = "", **details: object) -> None:
        super().__init__(message, **details)  # type: ignore[arg-type]  # passed on as they came
        self.path = path


class ForkedProcess(LeverageError):
    """An account of the parent process was used in a forked process, where its connections and locks are invalid."""

    def __init__(self) -> None:
        super().__init__(
            "This account was opened in another process. A forked process cannot use its connections.",
            hint="Call connect() in this process.",
        )


class GuardExceeded(LeverageError):
    """The leverage is above ``max_leverage``, or an amount of margin needs a confirmation that names it."""


class ReadOnly(LeverageError):
    """The account was opened with ``connect(read_only=True)``. It sends no change."""


class LoggedOut(LeverageError):
    """The account's key was removed with ``%leverage --logout``. It sends no more requests."""


class RefusalExpected(LeverageError):
    """The preview expects that the exchange refuses the change, and ``force`` was not given."""


class ChangePending(LeverageError):
    """An earlier change of the same symbol may still be executed. No other change is sent until that is settled."""


class ChangedElsewhere(LeverageError):
    """The account is no longer as the preview showed it."""


class NotConfirmed(LeverageError):
    """Nobody confirmed the change."""


class NothingToUndo(LeverageError):
    """No change is left that can be undone."""


class ChangeFailed(LeverageError):
    """A change was not made, or its outcome is unknown.

    Attributes:
        change: The record of the change.
        reason: The error that ended it; None without one.
    """

    def __init__(self, message: str, *, change: Change, reason: LeverageError | None = None, **details: object) -> None:
        super().__init__(message, **details)  # type: ignore[arg-type]  # passed on as they came
        self.change = change
        self.reason = reason


class ChangeNotSent(ChangeFailed):
    """Nothing of the change left this machine."""

    @property
    def retry_after(self) -> float | None:
        """Seconds until it may be sent, if the rate limit stopped it."""
        return self.reason.retry_after if isinstance(self.reason, RateLimited) else None


class LeverageRefused(ChangeFailed):
    """Binance refused the change. This request changed nothing."""


class ChangeNotApplied(ChangeFailed):
    """The change was sent without a definite answer. A read after its deadline showed the value before it."""


class ChangeSuperseded(ChangeFailed):
    """The change was sent without a definite answer. A read after its deadline showed a third value."""


class OutcomeUnknown(ChangeFailed):
    """The change was sent without a definite answer, and could not be verified. It may have been executed."""


class ChangeInterrupted(KeyboardInterrupt):
    """Ctrl-C, or the notebook's Stop button, during a change. It may have been executed.

    A KeyboardInterrupt, so that ``except LeverageError`` in a loop does not catch it.

    Attributes:
        message: What happened, in one sentence.
        hint: What to do next.
        change: The record of the change.
    """

    def __init__(self, message: str, hint: str, change: Change) -> None:
        super().__init__(message)
        self.message, self.hint, self.change = message, hint, change

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.message, self.hint, self.change)

    @property
    def _render_traceback_(self) -> Callable[[], list[str]]:
        return _short_form(self, self.message, _wrap(self.hint))
