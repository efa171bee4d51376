"""Comparison of expected and actual values, which names every field that differs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any

# The number of differences that the report shows for each rule: a few suffice if every symbol differs.
SHOWN = 5
PLACES = Decimal("0.00000001")


class NotChecked(Exception):
    """The account lacks something that a scenario requires; the text names it."""


@dataclass
class Comparison:
    """Collects differences, each for the rule that it is about.

    Attributes:
        differences: For each: the id of a rule, or "" for every rule that the scenario decides, and a line: place,
            field, expected value, actual value.
        notes: Observations where no expected value is known.
        counts: The number of comparisons, by the same ids.
    """

    differences: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    _rule: str = ""

    @contextmanager
    def about(self, rule: str) -> Iterator[None]:
        """Let the comparisons in the block decide one rule only, of several that a scenario decides."""
        self._rule = rule
        yield
        self._rule = ""

    @property
    def compared(self) -> int:
        """The number of comparisons."""
        return self.counts.total()

    @property
    def mismatches(self) -> list[str]:
        """The lines of all differences."""
        return [line for _, line in self.differences]

    def differences_of(self, rule: str) -> tuple[int, list[str]]:
        """Return the number of comparisons that decide a rule, and the lines of their differences."""
        key = rule if rule in self.counts else ""
        return self.counts[key], [line for about, line in self.differences if about == key]

    def _differs(self, line: str) -> None:
        self.differences.append((self._rule, line))

    def same(self, where: str, name: str, expected: Any, seen: Any) -> None:
        """Compare with a value, or with a set of possible values."""
        self.counts[self._rule] += 1
        if seen not in expected if isinstance(expected, (set, frozenset)) else seen != expected:
            self._differs(f"{where}: {name} expected {_words(expected)}, seen {_words(seen)}")

    def close(
        self,
        where: str,
        name: str,
        expected: Decimal,
        seen: Any,
        share: str = "0.000001",
        within: Decimal = PLACES,
        private: bool = False,
    ) -> None:
        """Compare a figure, within a relative or an absolute tolerance; the latter is by default the eighth decimal.

        The difference of private figures is stated in percent: a report may be published.
        """
        self.counts[self._rule] += 1
        try:
            off = abs(Decimal(str(seen)) - expected)
        except InvalidOperation:
            off = Decimal("Infinity")
        if off <= max(Decimal(share) * abs(expected), within):
            return
        if private:
            percent = f"{off / abs(expected):.2%}" if expected and off.is_finite() else "all of it"
            self._differs(f"{where}: {name} differs from the expectation by {percent}")
        else:
            self._differs(f"{where}: {name} expected {expected.normalize():f}, seen {seen}")

    def shape(self, where: str, expected: Mapping[str, str], seen: Any) -> None:
        """Compare the fields of an object and their JSON types.

        Args:
            where: The request.
            expected: For each field: "text", "decimal" (a string that is a number), "int", "number", "bool" or "list".
            seen: The object.
        """
        if not isinstance(seen, dict):
            self.same(where, "the answer", "an object", _kind(seen))
            return
        for name, kind in expected.items():
            if name not in seen:
                self.same(where, name, kind, "absent")
                continue
            seen_kind = _kind(seen[name])
            fits = seen_kind == kind or (kind, seen_kind) in {("text", "decimal"), ("number", "int")}
            self.same(where, f"type of {name}", kind, kind if fits else seen_kind)

    def report(self) -> str:
        """Return the differences, one line for each."""
        return "\n".join(shortened(self.mismatches))


def shortened(lines: list[str]) -> list[str]:
    """Return the first lines, and how many more there are."""
    more = len(lines) - SHOWN
    return [*lines[:SHOWN], *([f"and {more} more"] if more > 0 else [])]


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int"
    if isinstance(value, Decimal):
        return "number"
    if isinstance(value, str):
        try:
            return "decimal" if Decimal(value).is_finite() else "text"
        except InvalidOperation:
            return "text"
    return {list: "list", dict: "object"}.get(type(value), "null")


def _words(value: Any) -> str:
    if isinstance(value, (set, frozenset)):
        return " or ".join(sorted(map(str, value)))
    return str(value)
