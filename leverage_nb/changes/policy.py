"""Policy: the caps on leverage and the margin types that accounts must keep, read from a TOML file."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

from leverage_nb.binance.credentials import check_profile
from leverage_nb.changes.plan_input import MOST_ROWS, name_some, read_text
from leverage_nb.errors import InvalidInput, UnexpectedAnswer, as_typed
from leverage_nb.risk.user_input import EVERY, HIGHEST_LEVERAGE, LONGEST_SYMBOL, normalize, parse_margin_type
from leverage_nb.tiers.cache import TierCache


class NoRule(InvalidInput):
    """A policy has no rule for an account."""


_KEYS = ("cap", "caps", "margin_type", "margin_types")

Rule = TypeVar("Rule", int, str)


@dataclass(frozen=True)
class Policy:
    """The rules that apply to one account.

    Attributes:
        name: The name of the file, for messages.
        caps: The highest leverage by symbol or pattern: the rules of the profile, if it has some, then those of all.
        margin_types: "cross" or "isolated", likewise.
    """

    name: str
    caps: tuple[Mapping[str, int], ...]
    margin_types: tuple[Mapping[str, str], ...]

    def cap(self, symbol: str) -> int | None:
        """Return the highest leverage that is allowed; None without a rule."""
        return _find(self.caps, symbol)

    def margin_type(self, symbol: str) -> str:
        """Return the margin type that is allowed; "" without a rule."""
        return _find(self.margin_types, symbol) or ""

    def names(self, symbol: str) -> bool:
        """Whether a rule names the symbol itself."""
        return any(symbol in rules for rules in (*self.caps, *self.margin_types))


def read_policy(path: str | Path, profile: str | None, tiers: TierCache) -> Policy:
    """Read a policy from a TOML file, and check all of it: the symbols, and also the rules of other profiles.

    ::

        cap = 20                    # the highest leverage of every symbol; it is never raised to it
        margin_type = "isolated"    # the margin type of every symbol

        [caps]
        BTCUSDT = 25                # a symbol wins over patterns, the longest pattern that matches over shorter ones
        "1000*" = 5                 # *, ? and [abc] as in the names of files

        [margin_types]
        BTCUSDT = "cross"

        [profiles.sub1]             # for one profile; the same keys
        cap = 10
        caps = { BTCUSDT = 15 }

    Every key may be missing: without a rule a symbol may have any leverage or margin type. The rules of a profile come
    first: a profile with ``cap`` ignores the ``cap`` and ``caps`` of all, also for symbols that these name. Of two
    patterns of the same length, the lower cap and isolated win.

    Args:
        path: The path of the file; UTF-8, at most 1 MB.
        profile: The profile of the account; None without one.
        tiers: The tiers, which have the symbols that the venue lists.

    Raises:
        InvalidInput: The file cannot be read, or something in it is invalid; the error names all of it with its keys.
            Invalid are unknown keys, values of another type, symbols that the venue does not list, patterns that match
            none, and two rules for one symbol. Or it has no rule for this account.
    """
    if not isinstance(path, (str, Path)):
        raise InvalidInput(
            f"A policy is the path of a TOML file; got {type(path).__name__}.", hint='For example "risk.toml".'
        )
    name = as_typed(Path(path).name, 60)
    text, problem = read_text(Path(path)), ""
    content: dict[str, Any] = {}
    try:
        content = tomllib.loads(text)
    except (ValueError, RecursionError) as exc:
        known = isinstance(exc, tomllib.TOMLDecodeError)
        problem = as_typed(exc, 120) if known else "a number is too long, or brackets are nested too deeply"
    if problem:
        raise InvalidInput(f"{name} is not valid TOML: {problem}.", hint="A rule is a line such as cap = 20.")
    reading = _Reading(tiers)
    levels = [reading.level(content, "", "profiles")]
    if profile in (profiles := reading.profiles(content.get("profiles", {}))):
        levels.insert(0, profiles[profile])
    if reading.problems:
        raise InvalidInput(f"{name}: {name_some(reading.problems)}. Nothing was sent.")
    caps, margin_types = zip(*levels, strict=True)
    if not any((*caps, *margin_types)):
        whose = f"profile {profile}" if profile else "an account without a profile"
        raise NoRule(f"{name} has no rule for {whose}.", hint="A rule is a line such as cap = 20.")
    return Policy(name, caps, margin_types)


class _Reading:
    """One reading of a file, which collects its problems."""

    def __init__(self, tiers: TierCache) -> None:
        self._tiers = tiers
        self._count = 0
        self.problems: list[str] = []

    def level(self, table: Any, place: str, *other_keys: str) -> tuple[dict[str, int], dict[str, str]]:
        """Read the caps and margin types of all accounts, or of a profile."""
        if not isinstance(table, dict):
            self.problems.append(f"{place.rstrip('.')}: it must be a table of rules, as cap = 20")
            return {}, {}
        known = (*_KEYS, *other_keys)
        self.problems += [
            f"{place}{as_typed(key, 40)}: it is not a key of a policy; these are: {', '.join(known)}"
            for key in table
            if key not in known
        ]
        return self._rules(table, place, "cap", _read_cap), self._rules(table, place, "margin_type", parse_margin_type)

    def profiles(self, tables: Any) -> dict[str | None, tuple[dict[str, int], dict[str, str]]]:
        """Read the rules of all profiles, by their names."""
        if not isinstance(tables, dict):
            self.problems.append("profiles: it must be tables, as [profiles.sub1]")
            return {}
        levels: dict[str | None, tuple[dict[str, int], dict[str, str]]] = {}
        for word, table in tables.items():
            place = f"profiles.{as_typed(word, 40)}"
            name = self._tried(place, check_profile, word)
            if name in levels:
                self.problems.append(f"{place}: the profile is there twice")
            levels[name] = self.level(table, f"{place}.")
        return levels

    def _rules(self, table: dict[str, Any], place: str, key: str, parse: Callable[[Any], Rule]) -> dict[str, Rule]:
        """Read the default of all symbols and the table of symbols and patterns."""
        rows = table.get(f"{key}s", {})
        if not isinstance(rows, dict):
            self.problems.append(f"{place}{key}s: it must be a table of symbols, as [{place}{key}s]")
            rows = {}
        self._count += len(rows)
        if self._count > MOST_ROWS:
            raise InvalidInput(
                f"A policy has at most {MOST_ROWS:,} rules.", hint='Use patterns for groups of symbols, as "1000*" = 5.'
            )
        found: dict[str, Rule] = {}
        given = [(EVERY, table[key], f"{place}{key}")] if key in table else []
        given += [(word, value, f"{place}{key}s.{as_typed(word, LONGEST_SYMBOL)}") for word, value in rows.items()]
        for word, text, where in given:
            symbol, value = self._tried(where, self._symbol, word), self._tried(where, parse, text)
            if symbol in found:
                self.problems.append(f"{where}: {symbol} is there twice")
            elif symbol is not None and value is not None:
                found[symbol] = value
        return found

    def _tried(self, where: str, parse: Callable[[Any], Any], value: Any) -> Any:
        """Return what ``parse`` returns; None after a problem."""
        try:
            return parse(value)
        except InvalidInput as exc:
            self.problems.append(f"{where}: {exc.message.rstrip('.')}" + (f" ({exc.hint})" if exc.hint else ""))
        return None

    def _symbol(self, word: str) -> str:
        """Return a listed symbol in Binance's spelling, or a pattern."""
        if len(word) > LONGEST_SYMBOL:
            raise InvalidInput(f"a symbol has at most {LONGEST_SYMBOL} characters")
        if any(sign in word for sign in "*?["):
            pattern, table = word.strip().upper(), self._tiers.table()
            if pattern == EVERY or any(fnmatchcase(symbol, pattern) for symbol in (*table.symbols, *table.skipped)):
                return pattern
            raise InvalidInput("no symbol of this venue matches it")
        try:
            return self._tiers.find(word).symbol
        except UnexpectedAnswer:  # it is listed: that its tiers are unusable must not disable all other rules
            return normalize(word)


def _read_cap(value: Any) -> int:
    if type(value) is int and 1 <= value <= HIGHEST_LEVERAGE:  # a truth value is an int too
        return value
    raise InvalidInput(f"{as_typed(value)} is not a cap", hint="Write a whole number of 1 or more, without quotes")


def _find(levels: tuple[Mapping[str, Rule], ...], symbol: str) -> Rule | None:
    """Return the value of the first level that has a rule for the symbol."""
    for rules in levels:
        if symbol in rules:
            return rules[symbol]
        if matching := [pattern for pattern in rules if fnmatchcase(symbol, pattern)]:
            return rules[max(matching, key=lambda pattern: (len(pattern), _strictness(rules[pattern])))]
    return None


def _strictness(value: int | str) -> int:
    return -value if isinstance(value, int) else int(value == "isolated")
