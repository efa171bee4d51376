"""Comparison of expected and actual values, and a report that names every field and rule that differs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

# The number of differences that the report shows for each rule: a few suffice if every symbol differs.
SHOWN = 5
PLACES = Decimal("0.00000001")


class NotChecked(Exception):
    """The account lacks something that a scenario requires; the text names it."""


@dataclass
class Comparison:
    """Collects differences.

    Attributes:
        mismatches: One line for each: place, field, expected value, actual value.
        notes: Observations where no expected value is known.
        compared: The number of comparisons.
    """

    mismatches: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    compared: int = 0

    def same(self, where: str, name: str, expected: Any, seen: Any) -> None:
        """Compare with a value, or with a set of possible values."""
        self.compared += 1
        if seen not in expected if isinstance(expected, (set, frozenset)) else seen != expected:
            self.mismatches.append(f"{where}: {name} expected {_words(expected)}, seen {_words(seen)}")

    def close(
        self, where: str, name: str, expected: Decimal, seen: Any, share: str = "0.000001", within: Decimal = PLACES
    ) -> None:
        """Compare a figure, within a relative or an absolute tolerance; the latter is by default the eighth decimal."""
        self.compared += 1
        try:
            off = abs(Decimal(str(seen)) - expected)
        except InvalidOperation:
            off = Decimal("Infinity")
        if off > max(Decimal(share) * abs(expected), within):
            self.mismatches.append(f"{where}: {name} expected {expected.normalize():f}, seen {seen}")

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
        more = len(self.mismatches) - SHOWN
        return "\n".join([*self.mismatches[:SHOWN], *([f"and {more} more"] if more > 0 else [])])


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


REPORT = Path(os.environ.get("LEVERAGE_NB_CONTRACT_REPORT") or Path(__file__).parent / "report.md")
ADDRESS = os.environ.get("LEVERAGE_NB_TESTNET_REST_URL") or "Binance's testnet"


def report_contract(terminalreporter: Any) -> None:
    """Print and save, after a run against the testnet, every rule, its certainty and the result."""
    lines = [
        dict(report.user_properties)["contract"]
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call" and "contract" in dict(getattr(report, "user_properties", ()))
    ]
    if lines:
        title = f"Checked against {ADDRESS} on {datetime.now(tz=UTC):%Y-%m-%d %H:%M} UTC"
        table = [title, "", "| rule | certainty | result |", "|---|---|---|", *lines]
        REPORT.write_text("\n".join(table) + "\n", encoding="utf-8")
        terminalreporter.write_sep("=", f"contract with the testnet, saved in {REPORT.name}")
        terminalreporter.write_line("\n".join(table))
