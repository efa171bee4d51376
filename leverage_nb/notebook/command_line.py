"""Parse a ``%leverage`` line: words, fields such as ``{symbol}`` or ``$symbol``, options. No account is needed.

The line is split into words before any value is filled in, and a value fills one place of one word. Data can
therefore never add a word, an option or a comment to what was typed.
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

from leverage_nb.errors import InvalidInput

# No line that a person types is longer. Work and messages are bounded by these.
MAX_LINE = 4_000
MAX_WORD = 100

# What a person means as a leverage, right or wrong: -5, 10.5, 1e9, 10x.
_NUMBER = re.compile(r"[+-]?\d[\d_.,]*([eE][+-]?\d+)?[xX]?")
_SEVERAL = "Several symbols at once: %%leverage, with one SYMBOL LEVERAGE a line."
_CHECK_DATA = "Check the data that it comes from."
_ONE_EACH = "Write a field for each word; for several symbols use %%leverage or account.plan()."

# The pieces of a line outside of fields. IPython's rules: {{ }} $$name are literal, $name.attribute is a field.
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
# What matters inside of a field: strings are skipped, brackets counted; "!r" and ":.0f" end the expression.
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
_OPTION_START = re.compile(r"--[a-z][a-z-]*=")  # --venue={v}: what follows is the place of the option's argument
_CONVERSIONS: dict[str, Callable[[Any], str]] = {"r": repr, "s": str, "a": ascii}


class Once(argparse.Action):
    """An option that may be given once: argparse would use the last one and say nothing."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: str | None = None) -> None:
        """Set the option.

        Raises:
            InvalidInput: It is set already.
        """
        if getattr(namespace, self.dest):
            raise InvalidInput(f"{option} is given twice.")
        setattr(namespace, self.dest, True if self.nargs == 0 else values)


class _Field(NamedTuple):
    """A place for one value: ``{expression!conversion:spec}`` or ``$expression``."""

    typed: str
    expression: str
    conversion: str = ""
    spec: str = ""


class _Word(NamedTuple):
    """One word: literal text and fields, in their order, and where it is in the line."""

    parts: tuple[str | _Field, ...]
    typed: str
    end: int


def parse_line(parser: argparse.ArgumentParser, line: str, namespace: Mapping[str, Any]) -> argparse.Namespace:
    """Parse a line; its fields are filled in from ``namespace``.

    Raises:
        InvalidInput: The line, one of its fields or one of its options is wrong.
    """
    words = read_words(line, namespace)
    problem = ""
    try:
        return parser.parse_args(words)
    except UsageError as exc:
        problem = _shorten(str(exc), 200)
    after_option = re.search(r"unrecognized arguments: [^-]", problem)
    raise InvalidInput(
        f"{problem[:1].upper()}{problem[1:]}.",
        hint="Options come last." if after_option else "%leverage? lists what there is.",
    )


def read_words(line: str, namespace: Mapping[str, Any]) -> list[str]:
    """Split a line into words, then fill in the fields of each.

    A comment (``#`` after white space) and semicolons at the end are left out, where they are typed; in a value they
    are not looked for.

    Raises:
        InvalidInput: The line is too long, a field cannot be read or evaluated, or its value does not fit one place.
    """
    if len(line) > MAX_LINE:
        raise InvalidInput(
            f"The line has {len(line):,} characters; at most {MAX_LINE:,} are read.",
            hint="For many symbols use %%leverage or account.plan().",
        )
    words = [list(word.parts) for word in _split(line)]
    if words and isinstance(last := words[-1][-1], str):
        words[-1][-1] = last.rstrip(";")
    # Expressions get a copy: what they assign must not change the notebook.
    values = dict(namespace)
    return [_fill(parts, values) for parts in words if parts != [""]]


def words_so_far(text: str) -> tuple[list[str], str] | None:
    """Return the words before the cursor and the one that it is in, as typed.

    Returns:
        None where no word of ours is being typed: in a field, a comment or quotation marks.
    """
    try:
        words = _split(text)
    except InvalidInput:
        return None
    typed = [word.typed for word in words]
    if not text or text[-1].isspace():
        return typed, ""
    return (typed[:-1], typed[-1]) if words and words[-1].end == len(text) else None


def split_symbols(words: list[str]) -> tuple[list[str], str | None]:
    """Separate the symbols from the leverage at the end, both as typed.

    Raises:
        InvalidInput: The words make no sense together.
    """
    numbers = [word for word in words if _NUMBER.fullmatch(word) or _is_max(word)]
    symbols = [word for word in words if word not in numbers]
    if not numbers:
        return symbols, None
    if not symbols and len(numbers) == 1:
        raise InvalidInput(f"{numbers[0]} of which symbol?", hint=f"Try: %leverage BTCUSDT {numbers[0]}")
    if len(symbols) == 1 and len(numbers) == 2 and _is_max(numbers[0]):
        raise _size_after_max(symbols[0], numbers[1])
    if len(numbers) > 1:
        raise InvalidInput(f"One leverage at a time: {' and '.join(numbers)} were given.", hint=_SEVERAL)
    if words[-1] != numbers[0]:
        if _is_max(numbers[0]) and words[:-1] == [symbols[0], numbers[0]]:
            raise _size_after_max(symbols[0], words[-1])
        raise InvalidInput("The leverage comes after the symbol.", hint=f"Try: %leverage {symbols[0]} {numbers[0]}")
    if len(symbols) > 1:
        raise InvalidInput("One symbol at a time when changing leverage.", hint=_SEVERAL)
    return symbols, numbers[0]


# Options that select what a line does; at most one of them.
_ACTIONS = ("brackets", "plot", "history", "changes", "undo")


def check_options(options: argparse.Namespace, leverage: str | None, *, is_cell: bool) -> None:
    """Check that options, words and cell go together.

    Args:
        options: The parsed line.
        leverage: The leverage in it, as typed.
        is_cell: Whether it is the first line of ``%%leverage``.

    Raises:
        InvalidInput: They do not.
    """
    actions = [f"--{name}" for name in _ACTIONS if getattr(options, name)]
    if is_cell and (actions or options.words or options.notional):
        raise InvalidInput(
            "%%leverage takes only -n, -y, --force, --venue and --profile.",
            hint="Write the changes below it, one SYMBOL LEVERAGE per line.",
        )
    if options.undo and (options.words or options.notional):
        raise InvalidInput(
            "--undo takes neither symbol nor leverage: it undoes the last change of this account.",
            hint="Repeat it to undo the change before.",
        )
    if len(actions) > 1:
        raise InvalidInput(f"{' and '.join(actions)} cannot be combined.", hint="Use one at a time.")
    if actions and leverage is not None:
        raise InvalidInput(f"{actions[0]} takes no leverage ({leverage}).")
    if options.plot and not options.words:
        raise InvalidInput("--plot needs a symbol.", hint="Try: %leverage BTCUSDT --plot")
    changes = is_cell or options.undo or leverage is not None
    for name in ("dry_run", "force", "yes"):
        if getattr(options, name) and not changes:
            raise InvalidInput(f"--{name.replace('_', '-')} needs a symbol and a leverage.")
    if options.notional and (leverage is None or not _is_max(leverage)):
        symbol = options.words[0] if options.words else "BTCUSDT"
        raise InvalidInput(
            "--notional needs the word max.", hint=f"Try: %leverage {symbol} max --notional {options.notional}"
        )


def _is_max(word: str) -> bool:
    return word.lower() == "max"


def _size_after_max(symbol: str, size: str) -> InvalidInput:
    return InvalidInput(
        f"{size} after max is not understood.", hint=f"For a size: %leverage {symbol} max --notional {size}"
    )


def _split(line: str) -> list[_Word]:
    """Split a line at white space outside of fields, up to a comment."""
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
    """Read a piece that is no field in braces.

    Raises:
        InvalidInput: It is a quotation mark or a brace without its partner.
    """
    if kind == "close":
        raise InvalidInput("The line has a } without its {.", hint="For a brace itself write {{ or }}.")
    if kind == "quote":
        raise InvalidInput(
            f"The line has a quotation mark ({piece}) outside of braces.",
            hint="Words are written without quotation marks: %leverage BTCUSDT 10",
        )
    if kind == "name":
        return _Field(piece, piece[1:])
    return piece[0] if kind == "escape" else piece


def _read_field(line: str, start: int) -> _Field:
    """Read the field in braces that begins at ``start``.

    Raises:
        InvalidInput: It is not closed, or empty.
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
        f"{_shorten(line[start:])} has no closing brace.", hint="For a brace itself write {{ instead of {."
    )


def _make_field(typed: str, end: int) -> _Field:
    """Take a field apart; its expression ends at ``end``.

    Raises:
        InvalidInput: It is empty, or its conversion is unknown.
    """
    expression, rest = typed[1:end].strip(), typed[end:-1]
    if not expression:
        raise InvalidInput(f"{_shorten(typed)} is empty.", hint="A field names a variable: {symbol}")
    conversion, spec = "", rest[1:]
    if rest.startswith("!"):
        conversion, _, spec = spec.partition(":")
        if conversion not in _CONVERSIONS:
            raise InvalidInput(f"{_shorten(typed)} has an unknown conversion.", hint="There are !r, !s and !a.")
    return _Field(typed, expression, conversion, spec)


def _fill(parts: list[str | _Field], namespace: dict[str, Any]) -> str:
    """Return a word with its values filled in.

    Raises:
        InvalidInput: A value cannot be had, or is not allowed in its place.
    """
    word = "".join(part if isinstance(part, str) else _read_value(part, namespace) for part in parts)
    if any(isinstance(part, _Field) for part in parts):
        typed = "".join(part if isinstance(part, str) else part.typed for part in parts)
        option = _OPTION_START.match(typed)
        if typed.startswith("-") and not option:
            raise InvalidInput(f"{_shorten(typed)} is an option with a field in it.", hint="Type the option itself.")
        # The text around a value counts too: m{x} must not become max.
        _check_value(typed, word[option.end() :] if option else word)
    elif len(word) > MAX_WORD:
        raise InvalidInput(f"The word {_shorten(word)!r} has {len(word):,} characters; at most {MAX_WORD} are read.")
    return word


def _read_value(field: _Field, namespace: dict[str, Any]) -> str:
    """Evaluate a field and return its value as text that fills one place.

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
    except Exception as exc:  # noqa: BLE001 - the expression is the user's: it may raise anything
        problem = _shorten(traceback.format_exception_only(exc)[-1].strip(), 120)
    if problem:
        raise InvalidInput(f"{_shorten(field.typed)} was not filled in: {problem}.", hint=hint)
    _check_value(field.typed, text)
    return text


def _evaluate(expression: str, namespace: dict[str, Any]) -> Any:
    code = compile(expression, "<%leverage>", "eval", dont_inherit=True)
    return eval(code, namespace)  # noqa: S307 - the user typed it, as they type the cells


def _find_wrong_kind(value: Any) -> tuple[str, str]:
    """Return why a value is neither text nor a number, and what to do; two empty texts where it is one."""
    import numpy as np  # here: %load_ext must not wait for it

    if isinstance(value, str):
        return "", ""
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal, np.integer, np.floating)):
        kind = "None" if value is None else f"of type {type(value).__name__}"
        return f"its value is {kind}, not text or a number", "Write a field for each symbol, leverage or name."
    if not isinstance(value, int) and not math.isfinite(value):
        return f"its value is {value}, not a finite number", _CHECK_DATA
    return "", ""


def _format(value: Any, field: _Field) -> str:
    """Return a value as text, as an f-string does; but 10.0, which DataFrames make of 10, is 10."""
    if field.conversion:
        value = _CONVERSIONS[field.conversion](value)
    elif not (field.spec or isinstance(value, (str, int))) and abs(value) < 10**15 and value == int(value):
        value = int(value)
    return format(value, field.spec)


def _check_value(typed: str, text: str) -> None:
    """Check that a value fills one place and is nothing but a value.

    Raises:
        InvalidInput: It is not.
    """
    reason, hint = _find_fault(text)
    if reason:
        raise InvalidInput(
            f"{_shorten(typed)} was not filled in: its value {_shorten(text, 40)!r} {reason}. "
            "A value fills one place of the line.",
            hint=hint,
        )


def _find_fault(text: str) -> tuple[str, str]:
    """Return why a text is no single value, and what to do; two empty texts where it is one."""
    faults = (
        (not text, "is empty", _CHECK_DATA),
        (len(text) > MAX_WORD, f"has {len(text):,} characters, more than {MAX_WORD}", _CHECK_DATA),
        (any(map(str.isspace, text)), "contains white space", _ONE_EACH),
        (not text.isprintable(), "contains a control character", _CHECK_DATA),
        ("," in text, "contains a comma", "Write numbers without commas. " + _ONE_EACH),
        ("*" in text, "contains *", _ONE_EACH),
        (text.startswith("-"), 'starts with "-"', "Type options into the line; a value cannot be one."),
        (text.startswith("#"), 'starts with "#"', _CHECK_DATA),
        (_is_max(text), "is the word max", "Type max into the line: %leverage {symbol} max"),
    )
    return next(((reason, hint) for fault, reason, hint in faults if fault), ("", ""))


def _shorten(text: str, most: int = 60) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
