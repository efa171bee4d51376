"""Parse a ``%leverage`` line: words, fields such as ``{symbol}`` or ``$symbol``, options.

The line is split into words before values are filled in, and a value fills one slot of one word. Therefore data can
never add a word, an option or a comment to the line that was typed.
"""

from __future__ import annotations

import argparse
import math
import re
import traceback
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from IPython.core.error import UsageError

from leverage_nb.errors import InvalidInput, as_typed
from leverage_nb.formatting import sentence
from leverage_nb.risk.user_input import is_max, read_margin_type

# Longer than any line and word that a person types, and than the path of a policy; longer than any value of a field.
# They bound the work and the messages.
MAX_LINE = 4_000
MAX_WORD = 500
MAX_VALUE = 100

# A value of each option that takes one.
_EXAMPLES = {
    "--add-margin": "500", "--cap": "20", "--confirm": "500", "--expect": "hedge", "--for": "2m", "--login": "testnet",
    "--logout": "testnet", "--notional": "2m", "--policy": "risk.toml", "--reduce-margin": "500", "--side": "long",
    "--venue": "testnet",
}  # fmt: skip
_CHECK_DATA = "Check the data that the value comes from."
_ONE_EACH = "Write a field for each word; for several symbols use %%leverage or account.plan()."

# The pieces of a line outside fields. As in IPython, {{ }} and $$name are literal, and $name.attribute is a field.
_PIECE = re.compile(
    r"""
      (?P<space> \s+ )
    | (?P<comment> (?<!\S) \# )
    | (?P<escape> \{\{ | \}\} | \$\$(?=[\w.]) )
    | (?P<open> \{ )
    | (?P<close> \} )
    | (?P<name> \$ [^\W\d]\w* (?:\.[^\W\d]\w*)* )
    | (?P<quote> ['"] )
    | (?P<text> [^\s{}$'"\#]+ | . )
    """,
    re.VERBOSE | re.DOTALL,
)
# The parts of a field that decide where it ends: strings are skipped, brackets are counted; "!r" and ":.0f" end the
# expression. string.Formatter does not understand expressions such as {n != 1} and { {'a': 1}['a'] }.
_MARK = re.compile(
    r"""
      (?P<string> '{3}.*?'{3} | "{3}.*?"{3} | '(?:\\.|[^'\\])*' | "(?:\\.|[^"\\])*" )
    | (?P<open> [(\[{] )
    | (?P<close> [)\]}] )
    | (?P<equal> != )
    | (?P<end> [!:] )
    """,
    re.VERBOSE | re.DOTALL,
)
_OPTION_START = re.compile(r"--[a-z][a-z-]*=")  # --venue={v}: the option's argument follows
_CONVERSIONS: dict[str, Callable[[Any], str]] = {"r": repr, "s": str, "a": ascii}


class Once(argparse.Action):
    """An option that may be given once; argparse by itself silently uses the last one."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: str | None = None) -> None:
        """Set the option.

        Raises:
            InvalidInput: The option was given before.
        """
        if getattr(namespace, self.dest):
            raise InvalidInput(f"{option} is given twice.")
        setattr(namespace, self.dest, True if self.nargs == 0 else values)


class _Field(NamedTuple):
    """A slot for one value: ``{expression!conversion:spec}`` or ``$expression``."""

    typed: str
    expression: str
    conversion: str = ""
    spec: str = ""


class _Word(NamedTuple):
    """One word: its literal texts and fields in order, the word as typed, and its end in the line."""

    parts: tuple[str | _Field, ...]
    typed: str
    end: int


def parse_line(parser: argparse.ArgumentParser, line: str, namespace: Mapping[str, Any]) -> argparse.Namespace:
    """Parse a line and fill in its fields from ``namespace``.

    Raises:
        InvalidInput: The line, a field or an option is invalid.
    """
    words = _join_short(read_words(line, namespace))
    problem = ""
    try:
        return parser.parse_args(words)
    except UsageError as exc:
        problem = _shorten(str(exc), 200)
    after_option = re.search(r"unrecognized arguments: [^-]", problem)
    hint = "Options come last." if after_option else "%leverage? lists the options."
    if lacking := re.match(r"argument (--[a-z-]+): expected one argument", problem):
        option = lacking[1]
        short = f", or for a short {option}=-2m" if option == "--for" else ""
        raise InvalidInput(f"{option} needs a value.", hint=f"Try: {option} {_EXAMPLES.get(option, 'NAME')}{short}")
    raise InvalidInput(sentence(problem), hint=hint)


def _join_short(words: list[str]) -> list[str]:
    """Return words with ``--for -2m`` as ``--for=-2m``: before Python 3.14 argparse takes ``-2m`` for an option."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] == "--for" and re.match(r"-\.?[0-9]", word):
            word = f"{joined.pop()}={word}"
        joined.append(word)
    return joined


def read_words(line: str, namespace: Mapping[str, Any]) -> list[str]:
    """Split a line into words, then fill in the fields of each word.

    A typed comment (``#`` after white space) and typed semicolons at the end are removed; those in a value are not.

    Raises:
        InvalidInput: The line is too long, a field is invalid or fails, or its value is not a single word.
    """
    if len(line) > MAX_LINE:
        raise InvalidInput(
            f"The line has {len(line):,} characters; at most {MAX_LINE:,} are allowed.",
            hint="For many symbols use %%leverage or account.plan().",
        )
    words = [list(word.parts) for word in _split(line)]
    if words and isinstance(last := words[-1][-1], str):
        words[-1][-1] = last.rstrip(";")
    # A copy, so that an assignment in an expression does not change the notebook.
    values = dict(namespace)
    return [_fill(parts, values) for parts in words if parts != [""]]


def is_quiet(line: str) -> bool:
    """Return whether a valid line ends with a semicolon: its result is not to be shown."""
    words = _split(line)
    return bool(words) and isinstance(last := words[-1].parts[-1], str) and last.endswith(";")


def words_so_far(text: str) -> tuple[list[str], str] | None:
    """Return the words before the cursor and the word at the cursor, as typed; for completion.

    Returns:
        None if the cursor is in a field, a comment or quotation marks.
    """
    try:
        words = _split(text)
    except InvalidInput:
        return None
    typed = [word.typed for word in words]
    if not text or text[-1].isspace():
        return typed, ""
    return (typed[:-1], typed[-1]) if words and words[-1].end == len(text) else None


def _split(line: str) -> list[_Word]:
    """Split a line at white space outside fields, up to a comment."""
    words: list[_Word] = []
    parts: list[str | _Field] = []
    place = start = 0

    def finish(end: int) -> None:
        if parts:
            words.append(_Word(tuple(parts), line[start:end], end))
            parts.clear()

    while place < len(line):
        found = _PIECE.match(line, place)
        if found is None or found.lastgroup == "comment":
            break
        piece, kind = found[0], found.lastgroup
        if kind == "space":
            finish(place)
            place = start = found.end()
            continue
        part = _read_field(line, place) if kind == "open" else _read_piece(piece, kind)
        place += len(part.typed) if isinstance(part, _Field) else len(piece)
        if isinstance(part, str) and parts and isinstance(parts[-1], str):
            part = f"{parts.pop()}{part}"
        parts.append(part)
    finish(place)
    return words


def _read_piece(piece: str, kind: str | None) -> str | _Field:
    """Read a piece other than a field in braces.

    Raises:
        InvalidInput: It is a quotation mark or an unmatched brace.
    """
    if kind == "close":
        raise InvalidInput("The line has a } without a {.", hint="For a literal brace write {{ or }}.")
    if kind == "quote":
        raise InvalidInput(
            f"The line has a quotation mark ({piece}) outside braces.",
            hint="Write words without quotation marks: %leverage BTCUSDT 10. "
            "A path with spaces goes with account.policy_plan(...).",
        )
    if kind == "name":
        return _Field(piece, piece[1:])
    return piece[0] if kind == "escape" else piece


def _read_field(line: str, start: int) -> _Field:
    """Read the field in braces that begins at ``start``.

    Raises:
        InvalidInput: It is not closed, is empty, or has an unknown conversion.
    """
    depth, end = 0, 0
    for mark in _MARK.finditer(line, start + 1):
        if mark.lastgroup == "open":
            depth += 1
        elif mark[0] == "}" and depth <= 0:
            return _make_field(line[start : mark.end()], (end or mark.start()) - start)
        elif mark.lastgroup == "close":
            depth -= 1
        elif mark.lastgroup == "end" and not depth and not end:
            end = mark.start()
    raise InvalidInput(
        f"{_shorten(line[start:])} has no closing brace.", hint="For a literal brace write {{ instead of {."
    )


def _make_field(typed: str, end: int) -> _Field:
    """Divide a field into expression, which ends at ``end``, conversion and format specification."""
    expression, rest = typed[1:end].strip(), typed[end:-1]
    if not expression:
        raise InvalidInput(f"{_shorten(typed)} is empty.", hint="A field names a variable: {symbol}")
    conversion, spec = "", rest[1:]
    if rest.startswith("!"):
        conversion, _, spec = spec.partition(":")
        if conversion not in _CONVERSIONS:
            raise InvalidInput(f"{_shorten(typed)} has an unknown conversion.", hint="Use !r, !s or !a.")
    return _Field(typed, expression, conversion, spec)


def _fill(parts: list[str | _Field], namespace: dict[str, Any]) -> str:
    """Return a word with its values filled in.

    Raises:
        InvalidInput: A field fails, or its value is not allowed.
    """
    word = "".join(part if isinstance(part, str) else _read_value(part, namespace) for part in parts)
    if any(isinstance(part, _Field) for part in parts):
        typed = "".join(part if isinstance(part, str) else part.typed for part in parts)
        option = _OPTION_START.match(typed)
        if typed.startswith("-") and not option:
            raise InvalidInput(f"{_shorten(typed)} is an option with a field in it.", hint="Type the option itself.")
        # The check includes the literal text around a value: m{x} must not become max. A typed <= is no part of it.
        _check_value(typed, (word[option.end() :] if option else word).replace("<=", ""))
    elif len(word) > MAX_WORD:
        raise InvalidInput(
            f"A word of the line has {len(word):,} characters; at most {MAX_WORD} are allowed.",
            hint="Separate words by spaces.",
        )
    return word


def _read_value(field: _Field, namespace: dict[str, Any]) -> str:
    """Evaluate a field and return its value as text.

    Raises:
        InvalidInput: The expression fails, or its value is not allowed.
    """
    text = hint = ""
    try:
        value = _evaluate(field.expression, namespace)
        problem, hint = _find_wrong_kind(value)
        text = "" if problem else _format(value, field)
    except NameError as exc:
        problem, hint = f"there is no variable {_shorten(exc.name or field.expression)} here", "Assign it first."
    except SyntaxError:
        problem, hint = "it is not a Python expression", "As in an f-string: {symbol}, {row['symbol']}, {size:.0f}"
    except Exception as exc:  # noqa: BLE001 - the user's expression may raise anything
        problem = _shorten(traceback.format_exception_only(exc)[-1].strip(), 120)
    if problem:
        raise InvalidInput(f"{_shorten(field.typed)} was not filled in: {problem}.", hint=hint)
    _check_value(field.typed, text)
    return text


def _evaluate(expression: str, namespace: dict[str, Any]) -> Any:
    code = compile(expression, "<%leverage>", "eval", dont_inherit=True)
    return eval(code, namespace)  # noqa: S307 - the user typed it, like any cell


def _find_wrong_kind(value: Any) -> tuple[str, str]:
    """Return why a value is not a text or a finite number, and what to do; two empty texts if it is."""
    import numpy as np  # not at the top: %load_ext must not load it

    if isinstance(value, str):
        return "", ""
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal, np.integer, np.floating)):
        kind = "None" if value is None else f"of type {type(value).__name__}"
        return f"its value is {kind}, not text or a number", "Write a field for each symbol, leverage or name."
    if not isinstance(value, int) and not math.isfinite(value):
        return f"its value is {value}, not a finite number", _CHECK_DATA
    return "", ""


def _format(value: Any, field: _Field) -> str:
    """Format a value as an f-string does, but a whole float such as 10.0 as 10: DataFrames make floats of integers."""
    if field.conversion:
        value = _CONVERSIONS[field.conversion](value)
    elif not (field.spec or isinstance(value, (str, int))) and abs(value) < 10**15 and value == int(value):
        value = int(value)
    return format(value, field.spec)


def _check_value(typed: str, text: str) -> None:
    """Check that a value is a single word and neither an option nor a keyword.

    Raises:
        InvalidInput: It is not.
    """
    faults = (
        (not text, "is empty", _CHECK_DATA),
        (len(text) > MAX_VALUE, f"has {len(text):,} characters, more than {MAX_VALUE}", _CHECK_DATA),
        (any(map(str.isspace, text)), "contains white space", _ONE_EACH),
        (not text.isprintable(), "contains a control character", _CHECK_DATA),
        ("," in text, "contains a comma", "Write numbers without commas. " + _ONE_EACH),
        ("*" in text, "contains *", _ONE_EACH),
        (text.startswith("-"), 'starts with "-"', "Type options into the line; a value cannot be one."),
        (text.startswith("#"), 'starts with "#"', _CHECK_DATA),
        (is_max(text), "is the word max", "Type max into the line: %leverage {symbol} max"),
        (bool(read_margin_type(text)), "is a margin type", "Type it into the line: %leverage {symbol} isolated"),
        (any(sign in text for sign in "<>=≤≥"), "contains a comparison", "Type it into the line: <={cap}"),
    )
    for fault, reason, hint in faults:
        if fault:
            shown = f"its value {_shorten(text, 40)!r} {reason}"
            raise InvalidInput(
                f"{_shorten(typed)} was not filled in: {shown}. A value can only be a symbol, a number or a name.",
                hint=hint,
            )


def _shorten(text: str, most: int = 60) -> str:
    """Return the beginning of a text for a message, without words that could be a key."""
    # Each word by itself, so that the rest of the text stays readable.
    safe = re.sub(r"\S+", lambda word: "…" if as_typed(word[0], MAX_LINE) == "That text" else word[0], text[:MAX_LINE])
    return safe if len(safe) <= most else f"{safe[: most - 1]}…"
