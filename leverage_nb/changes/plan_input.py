"""Read the targets of a plan: from a mapping, a DataFrame, a CSV file or lines of text."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leverage_nb.errors import InvalidInput, UnexpectedAnswer, as_typed
from leverage_nb.risk.user_input import LONGEST_NUMBER, LONGEST_SYMBOL, Wanted, join_caps, read_margin_type

# Limits of the input. There are about 700 symbols.
LARGEST_FILE, MOST_ROWS, LONGEST_LINE = 1_000_000, 5_000, 200

# BTC/USDT:USDT contains a colon, so a colon separates only if a space follows.
_BETWEEN = re.compile(r"[\s,]+|(?<![<>])=|:\s+")


@dataclass(frozen=True)
class Target:
    """One row of the input.

    Attributes:
        where: Its place, for messages: "line 3", "row 3", or the symbol.
        symbol: As written; "*" for every symbol that is trading.
        leverage: As written; "max" for the highest that fits, "<=20" for an upper bound. None if only a margin type is
            given.
        problem: Why it is invalid; "" if it is valid so far.
        margin_type: "cross", "isolated", or "" if it stays.
    """

    where: str
    symbol: str
    leverage: Any
    problem: str = ""
    margin_type: str = ""


def read_targets(wanted: Any) -> list[Target]:
    """Read the targets of a plan in any supported form.

    Args:
        wanted: A mapping or Series from symbol to leverage, to a margin type or to both as ``(10, "isolated")``; a
            DataFrame with a column ``leverage``, ``margin_type`` or both, and the symbols in a column ``symbol`` or the
            index; a text of several lines, see :func:`read_lines`; the path of a CSV file with the columns symbol,
            leverage and, if wanted, margin_type. With a header they may be in any order, beside others.

    Raises:
        InvalidInput: It is none of these.
    """
    if isinstance(wanted, str) and "\n" in wanted:
        return read_lines(wanted)
    if isinstance(wanted, (str, Path)):
        return _read_csv(Path(wanted))
    if hasattr(wanted, "columns") or hasattr(wanted, "items"):
        _check_count(len(wanted))
    if hasattr(wanted, "columns"):
        return _read_frame(wanted)
    if hasattr(wanted, "items"):
        return [_read_pair(as_typed(symbol, 40), symbol, value) for symbol, value in wanted.items()]
    raise InvalidInput(
        "A plan needs a mapping, a DataFrame, a Series, lines of text, a CSV file or a function; "
        f"got {type(wanted).__name__}.",
        hint='For example account.plan({"BTCUSDT": 10, "ETHUSDT": "max"}).',
    )


def read_lines(text: str) -> list[Target]:
    """Read one ``SYMBOL LEVERAGE`` per line, also separated by ``,`` ``=`` or ``:``. Skip blank lines and # comments.

    A margin type may stand beside the leverage or instead of it: ``BTCUSDT 10 isolated``. An invalid line becomes a
    target with a problem, so that one error can name all of them.

    Raises:
        InvalidInput: There are more than 5,000 lines.
    """
    targets = []
    for number, line in enumerate(_lines_of(text), start=1):
        place = f"line {number}"
        if len(line) > LONGEST_LINE:
            targets.append(Target(place, "", None, f"it is longer than {LONGEST_LINE} characters"))
        elif words := split_line(line):
            margin_types = [name for word in words[1:] if (name := read_margin_type(word))]
            leverages = [word for word in words[1:] if not read_margin_type(word)]
            if len(words) > 1 and len(leverages) <= 1 and len(margin_types) <= 1:
                targets.append(_target(place, words[0], leverages[0] if leverages else None, "".join(margin_types)))
            else:
                typed = as_typed(line.strip(), 60, "“”")
                problem = f"{typed} is not a symbol with a leverage, a margin type or both"
                targets.append(Target(place, "", None, problem))
    return targets


def split_line(line: str) -> list[str]:
    """Split a line of :func:`read_lines` into its words, without the comment. ``<= 20`` is one word, ``<=20``."""
    return [word for word in _BETWEEN.split(join_caps(line.partition("#")[0])) if word]


def _lines_of(text: str) -> list[str]:
    if len(text) > LARGEST_FILE:
        raise InvalidInput(
            f"That is more than {LARGEST_FILE:,} characters.", hint="Write one SYMBOL LEVERAGE per line."
        )
    lines = text.splitlines()
    _check_count(len(lines), "lines")
    return lines


def _check_count(count: int, of_what: str = "rows") -> None:
    if count > MOST_ROWS:
        raise InvalidInput(
            f"A plan has at most {MOST_ROWS:,} {of_what}; these are {count:,}.", hint="Divide it into several plans."
        )


def _target(where: str, symbol: Any, leverage: Any, margin_type: str = "") -> Target:
    """Return a target; with a problem if a text is longer than any symbol or leverage."""
    for text, longest, kind in ((symbol, LONGEST_SYMBOL, "symbol"), (leverage, LONGEST_NUMBER, "leverage")):
        if isinstance(text, str) and len(text) > longest:
            return Target(where, "", None, f"a {kind} has at most {longest} characters")
    return Target(where, symbol, leverage, margin_type=margin_type)


def _with_margin_type(where: str, symbol: Any, leverage: Any, margin_type: Any) -> Target:
    """Return a target whose margin type is checked."""
    name = read_margin_type(margin_type)
    if not name:
        return Target(where, "", None, f"{as_typed(margin_type)} is not a margin type; use isolated or cross")
    return _target(where, symbol, leverage, name)


def _read_pair(where: str, symbol: Any, value: Any) -> Target:
    """Read a value of a mapping: a leverage, a margin type, or a tuple of both."""
    if isinstance(value, tuple):
        if len(value) != 2:
            return Target(where, "", None, 'a tuple has a leverage and a margin type, as (10, "isolated")')
        return _with_margin_type(where, symbol, *value)
    name = read_margin_type(value)
    return _target(where, symbol, None if name else value, name)


def _read_frame(wanted: Any) -> list[Target]:
    """Read a DataFrame. A missing margin type stays as it is, and with a margin type the leverage may be missing."""
    if not {"leverage", "margin_type"} & {*wanted.columns}:
        raise InvalidInput(
            "The DataFrame of a plan needs a column leverage, and the symbols in a column symbol or the index."
        )
    nothing = [None] * len(wanted)
    columns = {
        name: (wanted[name].tolist(), wanted[name].isna().tolist()) if name in wanted.columns else (nothing, nothing)
        for name in ("leverage", "margin_type")
    }
    symbols = wanted["symbol"] if "symbol" in wanted.columns else wanted.index
    targets = []
    rows = zip(list(symbols), *columns["leverage"], *columns["margin_type"], strict=True)
    for place, (symbol, leverage, is_missing, margin_type, stays) in enumerate(rows, start=1):
        if margin_type is None or stays or margin_type == "":
            targets.append(_target(f"row {place}", symbol, leverage))
        else:
            leverage = None if is_missing else leverage
            targets.append(_with_margin_type(f"row {place}", symbol, leverage, margin_type))
    return targets


# The columns of a CSV file, as a header names them: in any case, with or without underscores.
_COLUMNS = ("symbol", "leverage", "margintype")


def _read_csv(path: Path) -> list[Target]:
    # A person may expect that one line is a plan too.
    example = 'A text of one line is the path of a CSV file. For one symbol: account.plan({"BTCUSDT": 10}).'
    lines = _lines_of(read_text(path, example))
    targets, bad = [], []
    places: list[int] = []  # of symbol, leverage and margin type, if a header names them
    may_be_header = True
    for number, line in enumerate(lines, start=1):
        if len(line) > LONGEST_LINE:
            bad.append(f"line {number}: it is longer than {LONGEST_LINE} characters")
            continue
        cells = [cell.strip() for cell in next(csv.reader([line]), [])]
        if not any(cells) or cells[0].startswith("#"):
            continue
        names = [cell.lower().replace("_", "").replace(" ", "") for cell in cells]
        is_header, may_be_header = may_be_header and "symbol" in names, False
        if is_header:
            places = [names.index(name) if name in names else -1 for name in _COLUMNS]  # -1 is an empty cell below
            continue
        symbol, leverage, margin_type, *rest = [*cells, "", "", ""]
        if places:
            padded = [*cells, *[""] * (max(places) + 1)]
            symbol, leverage, margin_type = (padded[place] for place in places)
            rest = []
        if not symbol or not (leverage or margin_type) or any(rest):
            typed = as_typed(line.strip(), 60, "“”")
            what = "a symbol, a leverage and perhaps a margin type, with commas between"
            bad.append(f"line {number}: {typed} is not {what}")
        elif margin_type:
            targets.append(_with_margin_type(f"line {number}", symbol, leverage or None, margin_type))
        else:
            targets.append(_target(f"line {number}", symbol, leverage))
    if bad:
        raise InvalidInput(f"{as_typed(path.name, 60)}: {name_some(bad)}. Nothing was sent.")
    return targets


def read_text(path: Path, hint: str = "Check the path of the file.") -> str:
    """Return the text of a file.

    Args:
        path: The path.
        hint: What to do if it cannot be read.

    Raises:
        InvalidInput: It cannot be read, is not a text file, or is larger than 1 MB.
    """
    problem = ""
    try:
        path = path.expanduser()
        if path.exists() and not path.is_file():
            problem = "it is not a file"  # opening a named pipe would wait for its other end
        else:
            with path.open("rb") as file:
                content = file.read(LARGEST_FILE + 1)
            if len(content) <= LARGEST_FILE:
                return content.decode("utf-8-sig")
            problem = f"it is larger than {LARGEST_FILE // 1_000_000} MB"
    except UnicodeDecodeError:
        problem = "it is not text in UTF-8"
    except (OSError, ValueError, RuntimeError) as exc:  # also a path with a NUL, and "~" of an unknown user
        problem = getattr(exc, "strerror", None) or "it is not the path of a file"
    raise InvalidInput(f"{as_typed(path.name, 60)} cannot be read: {problem}.", hint=hint)


@dataclass(frozen=True)
class Goal:
    """What a row of a plan asks for.

    Attributes:
        leverage: The leverage; None if it stays.
        margin_type: "cross", "isolated", or "" if it stays.
    """

    leverage: Wanted | None = None
    margin_type: str = ""


def check_targets(targets: Iterable[Target], check: Callable[[Target], tuple[str, Goal]]) -> dict[str, Goal]:
    """Resolve targets to symbols, or ``*``, and goals.

    Args:
        targets: The targets as read.
        check: Resolves one target, or raises.

    Raises:
        InvalidInput: Some are invalid; the error names all of them with their places.
    """
    checked: dict[str, Goal] = {}
    bad = []
    for target in targets:
        if target.problem:
            bad.append(f"{target.where}: {target.problem}")
            continue
        try:
            symbol, goal = check(target)
        except (InvalidInput, UnexpectedAnswer) as exc:
            bad.append(f"{target.where}: {exc.message.rstrip('.')}" + (f" ({exc.hint})" if exc.hint else ""))
            continue
        known = checked.get(symbol, Goal())
        if None not in {known.leverage, goal.leverage} and known.leverage != goal.leverage:
            bad.append(f"{target.where}: {symbol} is there twice, with another leverage")
        elif known.margin_type and goal.margin_type and known.margin_type != goal.margin_type:
            bad.append(f"{target.where}: {symbol} is there twice, with another margin type")
        checked[symbol] = Goal(goal.leverage or known.leverage, goal.margin_type or known.margin_type)
    if bad:
        raise InvalidInput(f"{name_some(bad)}. Nothing was sent.")
    if not checked:
        raise InvalidInput("The plan is empty.", hint="Write one SYMBOL LEVERAGE per line, as BTCUSDT 10.")
    return checked


def name_some(texts: list[str], most: int = 5) -> str:
    """Return the first texts as one, with the number of the others."""
    more = f"; and {len(texts) - most} more" if len(texts) > most else ""
    return "; ".join(texts[:most]) + more
