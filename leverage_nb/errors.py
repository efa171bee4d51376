"""Every error a user can meet.

::

    LeverageError
    ├── Mistake (also ValueError)       what was asked for cannot be asked
    │   ├── UnknownSymbol               .symbol .suggestions
    │   ├── InvalidLeverage             .leverage .max_leverage
    │   └── NotionalBeyondTiers         .notional .notional_cap
    ├── CredentialsMissing              no API key for this venue
    ├── NotConnected                    the request could not leave this machine
    ├── NoAnswer                        it left; no complete answer came within the time budget
    ├── UnexpectedAnswer                something answered, but not as Binance documents it
    ├── RequestRefused                  Binance refused: .code, its words, what it means, what to do
    │   └── RateLimited                 HTTP 418 or 429: .retry_after
    ├── JournalUnusable                 the record of changes cannot be opened or written: .path
    ├── ChangeNotSent                   a change that never left
    ├── LeverageRefused                 a change that Binance refused
    ├── ChangeNotApplied                it was sent, not confirmed, and the old leverage is still there
    ├── ChangeSuperseded                it was sent, not confirmed, and a third leverage is there
    └── OutcomeUnknown                  a change that may or may not have been made

    KeyboardInterrupt
    └── ChangeInterrupted               the same, because it was interrupted: .change

Each prints as a few lines in a notebook instead of a traceback. Set ``LEVERAGE_NB_DEBUG=1`` for the
full traceback.
"""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from leverage_nb.change import LeverageChange


class LeverageError(Exception):
    """The root of all errors of this package.

    Attributes:
        message: What happened, and what is known of it.
        headline: What happened, in one short sentence.
        hint: What to do next; "" where there is nothing to add.
        code: Binance's error code, where it sent one.
        http_status: The HTTP status of the answer, where there was one.
        words: Binance's own words, where it sent some.
        meaning: What those words mean, where we know.
        change: The record of the change this error ended, where there was one.
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
        change: LeverageChange | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.headline = headline or message
        self.hint = hint
        self.code = code
        self.http_status = http_status
        self.words = words
        self.meaning = meaning
        self.change = change

    @property
    def rows(self) -> tuple[tuple[str, str], ...]:
        """What the exchange said, what that means, what to do next: label and text. Empty where it said nothing."""
        if not (self.words or self.meaning):
            return ()
        named = str(self.code) if self.code is not None else f"HTTP {self.http_status}"
        said = f"“{self.words}” ({named})" if self.words else named
        rows = (("answer", said), ("meaning", self.meaning), ("next", self.hint))
        return tuple((name, text) for name, text in rows if text)

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()

    def __reduce__(self) -> tuple[object, ...]:
        # Subclasses take other arguments than the message: rebuild from what is held, not by calling them.
        return _rebuild, (type(self), self.args, self.__dict__)

    @property
    def _render_traceback_(self) -> Callable[[], list[str]]:
        if self.rows:
            width = max(len(name) for name, _ in self.rows)
            return _short_form(self, self.headline, *(_wrap(text, f"  {name:<{width}}  ") for name, text in self.rows))
        return _short_form(self, self.message, _wrap(self.hint))


def _rebuild(kind: type[LeverageError], args: tuple[object, ...], held: dict[str, object]) -> LeverageError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(held)
    return error


def _short_form(error: BaseException, message: str, *paragraphs: list[str]) -> Callable[[], list[str]]:
    # IPython looks for it with hasattr: in debug mode it is not there, and the traceback is whole.
    if os.environ.get("LEVERAGE_NB_DEBUG"):
        raise AttributeError("_render_traceback_")
    name = type(error).__name__
    first, *others = _wrap(message, f"{name}: ", hang=0)
    # Bold, not red: on the red ground of JupyterLab's dark theme red cannot be read.
    first = f"\x1b[1m{name}\x1b[0m{first.removeprefix(name)}"
    return lambda: [first, *others, *(line for paragraph in paragraphs for line in paragraph)]


def _wrap(text: str, start: str = "", hang: int | None = None) -> list[str]:
    """Lines of at most 96 columns: JupyterLab breaks longer ones in the middle of words."""
    indent = " " * (len(start) if hang is None else hang)
    lines = textwrap.wrap(
        text, 96, initial_indent=start, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return lines or ([start.rstrip()] if start else [])


# Letters with digits, or characters of base64, in a row: symbols and names are shorter, keys and secrets are not.
_LIKE_A_KEY = re.compile(r"(?=[A-Za-z0-9]*[0-9])(?=[A-Za-z0-9]*[A-Za-z])[A-Za-z0-9]{16}|[A-Za-z0-9+/=]{21}")


def as_typed(value: object, most: int = 20, quotes: str = "") -> str:
    """What a user typed, as a message repeats it.

    Args:
        value: The text, or a value of any other type.
        most: How many characters a message repeats.
        quotes: The two characters to put around it.

    Returns:
        The text; "That text" for one that is longer, or that could be a key put in the wrong place.
    """
    if isinstance(value, int) and abs(value) >= 10**12:
        return "That number"
    text = str(value)
    if len(text) > most or _LIKE_A_KEY.search(text):
        return "That text"
    if quotes:
        return f"{quotes[0]}{text}{quotes[1]}"
    return text if text and text.isprintable() and text == text.strip() else repr(text)


class Mistake(LeverageError, ValueError):
    """What was asked for cannot be asked: nothing was sent."""


class UnknownSymbol(Mistake):
    """The venue lists no such symbol.

    Attributes:
        symbol: What was asked for.
        suggestions: Listed symbols that look like it, best first.
    """

    def __init__(self, symbol: str, venue: str, suggestions: Sequence[str] = ()) -> None:
        hint = f"Did you mean {' or '.join(suggestions)}?" if suggestions else "lev.current().symbols() lists them."
        super().__init__(f"{as_typed(symbol)} is not a symbol on the {venue}.", hint=hint)
        self.symbol = symbol
        self.suggestions = tuple(suggestions)


class InvalidLeverage(Mistake):
    """Not a whole number between 1 and the symbol's maximum.

    Attributes:
        leverage: What was asked for.
        max_leverage: The symbol's maximum, where it is known.
    """

    def __init__(self, leverage: object, symbol: str = "", max_leverage: int | None = None) -> None:
        whose = f" for {symbol}" if symbol else ""
        limits = f"from 1 to {max_leverage}" if max_leverage else "of 1 or more"
        super().__init__(
            f"{as_typed(leverage)} is not a leverage{whose}: it takes a whole number {limits}, as 10 or 10x."
        )
        self.leverage = leverage
        self.max_leverage = max_leverage


class NotionalBeyondTiers(Mistake):
    """A notional larger than the last tier's cap: no leverage allows it, and its margin is not defined.

    Attributes:
        notional: The first such notional asked for.
        notional_cap: The last tier's cap.
    """

    def __init__(self, notional: float, notional_cap: float, symbol: str = "") -> None:
        whose = f" of {symbol}" if symbol else ""
        super().__init__(
            f"A notional of {notional:,.10g} lies in no tier{whose}: the last one ends at {notional_cap:,.10g}.",
            hint='beyond="nan" gives NaN there instead of this error.',
        )
        self.notional = notional
        self.notional_cap = notional_cap


class CredentialsMissing(LeverageError):
    """There is no API key for this venue."""


class NotConnected(LeverageError):
    """The request could not leave this machine: name resolution, connection, proxy or certificate."""


class NoAnswer(LeverageError):
    """The request left, and no complete answer came within the time budget."""


class UnexpectedAnswer(LeverageError):
    """Something answered, but not as Binance documents it: HTML, a redirect, half a JSON, another shape."""


class RequestRefused(LeverageError):
    """Binance refused the request, in its own words."""


class RateLimited(RequestRefused):
    """Too many requests (429), or the address is banned for a while (418).

    Attributes:
        retry_after: Seconds to wait as the exchange says, where it does.
    """

    def __init__(self, message: str, *, retry_after: float | None = None, **details: object) -> None:
        super().__init__(message, **details)  # type: ignore[arg-type]  # passed on as they came
        self.retry_after = retry_after


class JournalUnusable(LeverageError):
    """The record of changes cannot be opened, read or written; what it holds is left as it is.

    Attributes:
        path: Where it is.
    """

    def __init__(self, message: str, *, path: str = "", **details: object) -> None:
        super().__init__(message, **details)  # type: ignore[arg-type]  # passed on as they came
        self.path = path


class ChangeNotSent(LeverageError):
    """A change that was stopped before anything left this machine.

    Attributes:
        retry_after: Seconds until it may leave, where the rate limit held it back.
    """

    retry_after: float | None = None


class LeverageRefused(LeverageError):
    """A change that Binance refused: the leverage is what it was."""


class ChangeNotApplied(LeverageError):
    """A change was sent and not confirmed; once it could no longer be carried out, the old leverage was there."""


class ChangeSuperseded(LeverageError):
    """A change was sent and not confirmed; once it could no longer be carried out, a third leverage was there."""


class OutcomeUnknown(LeverageError):
    """A change was sent and no definite answer came back, nor could it be looked up yet: it may have been made."""


class ChangeInterrupted(KeyboardInterrupt):
    """Ctrl-C, or the notebook's Stop, while a change was under way: it may or may not have been made.

    A KeyboardInterrupt, so that ``except LeverageError`` in a loop does not swallow it.

    Attributes:
        message: What happened, in one sentence.
        hint: What to do next.
        change: The record of the change.
    """

    def __init__(self, message: str, hint: str, change: LeverageChange) -> None:
        super().__init__(message)
        self.message, self.hint, self.change = message, hint, change

    def __reduce__(self) -> tuple[object, ...]:
        return type(self), (self.message, self.hint, self.change)

    @property
    def _render_traceback_(self) -> Callable[[], list[str]]:
        return _short_form(self, self.message, _wrap(self.hint))
