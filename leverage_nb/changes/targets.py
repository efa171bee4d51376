"""What is wanted: symbols and leverages, from a mapping, a table, a file or lines of text."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leverage_nb.errors import Mistake

# A colon is part of BTC/USDT:USDT: between symbol and leverage a space follows it.
_BETWEEN = re.compile(r"[\s,=]+|:\s+")


@dataclass(frozen=True)
class Target:
    """One line of what is wanted.

    Attributes:
        where: Where it stands, for messages: "line 3", "row 3", or the symbol.
        symbol: As it was written.
        leverage: As it was written; "max" for the highest that fits.
        problem: Why it cannot be read; "" where it can.
    """

    where: str
    symbol: str
    leverage: Any
    problem: str = ""


def read_targets(wanted: Any) -> list[Target]:
    """Read what is wanted, in any form that a plan takes.

    Args:
        wanted: A mapping or Series from symbol to leverage; a DataFrame with a column ``leverage`` and the symbols in a
            column ``symbol`` or the index; the path of a CSV file with the columns symbol and leverage, with or without
            a header.

    Raises:
        Mistake: It is none of these.
    """
    if isinstance(wanted, (str, Path)):
        return _read_csv(Path(wanted))
    if hasattr(wanted, "columns"):
        if "leverage" not in wanted.columns:
            raise Mistake("A plan's DataFrame has a column leverage, and the symbols in a column symbol or its index.")
        symbols = wanted["symbol"] if "symbol" in wanted.columns else wanted.index
        pairs = zip(list(symbols), wanted["leverage"].tolist(), strict=True)
        return [Target(f"row {place}", symbol, leverage) for place, (symbol, leverage) in enumerate(pairs, start=1)]
    if isinstance(wanted, Mapping) or hasattr(wanted, "items"):
        return [Target(str(symbol), symbol, leverage) for symbol, leverage in wanted.items()]
    raise Mistake(
        f"A plan is made from a mapping, a DataFrame, a Series, a CSV file or a function; got {type(wanted).__name__}.",
        hint='For example account.plan({"BTCUSDT": 10, "ETHUSDT": "max"}).',
    )


def read_lines(text: str) -> list[Target]:
    """Read ``SYMBOL LEVERAGE`` a line, also with ``,`` ``=`` or ``:`` between; blank lines and remarks are passed over.

    A line that is anything else is a target with a problem, so that all that is wrong can be told at once.
    """
    targets = []
    for number, line in enumerate(text.splitlines(), start=1):
        words = [word for word in _BETWEEN.split(line.partition("#")[0]) if word]
        place = f"line {number}"
        if len(words) == 2:
            targets.append(Target(place, words[0], words[1]))
        elif words:
            targets.append(Target(place, "", None, f"“{line.strip()[:60]}” is not SYMBOL LEVERAGE"))
    return targets


def _read_csv(path: Path) -> list[Target]:
    problem = ""
    try:
        text = path.expanduser().read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        problem = getattr(exc, "strerror", None) or "it is not text in UTF-8"
    if problem:
        raise Mistake(f"{path} cannot be read: {problem}.")
    targets, bad = [], []
    for number, row in enumerate(csv.reader(io.StringIO(text)), start=1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or cells[0].startswith("#") or (number == 1 and cells[:2] == ["symbol", "leverage"]):
            continue
        if len(cells) < 2 or not all(cells[:2]):
            bad.append(f"line {number}: “{','.join(row)[:60]}” is not symbol,leverage")
        else:
            targets.append(Target(f"line {number}", cells[0], cells[1]))
    if bad:
        raise Mistake(f"{path}: {_some(bad)}. Nothing was sent.")
    return targets


def check_targets(
    targets: Iterable[Target], check: Callable[[Target], tuple[str, int | None]]
) -> dict[str, int | None]:
    """Bring targets to Binance's symbols and whole leverages; None stands for "max".

    Args:
        targets: As they were read.
        check: Gives symbol and leverage of one, or raises.

    Raises:
        Mistake: Some cannot be; all of them are named, each by its place.
    """
    checked: dict[str, int | None] = {}
    bad = []
    for target in targets:
        if target.problem:
            bad.append(f"{target.where}: {target.problem}")
            continue
        try:
            symbol, leverage = check(target)
        except Mistake as exc:
            bad.append(f"{target.where}: {exc.message.rstrip('.')}" + (f" ({exc.hint})" if exc.hint else ""))
            continue
        if symbol in checked and checked[symbol] != leverage:
            bad.append(f"{target.where}: {symbol} is wanted twice, at another leverage")
        checked[symbol] = leverage
    if bad:
        raise Mistake(f"{_some(bad)}. Nothing was sent.")
    if not checked:
        raise Mistake("There is nothing in this plan.", hint="A line is SYMBOL LEVERAGE, as BTCUSDT 10.")
    return checked


def _some(texts: list[str], most: int = 5) -> str:
    more = f"; and {len(texts) - most} more" if len(texts) > most else ""
    return "; ".join(texts[:most]) + more
