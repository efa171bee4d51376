"""The kinds of change, and the records of those that arrived and of those that were executed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

RECORDED = 100_000  # changes that a record keeps

ChangeKind = Literal["leverage", "margin type", "isolated margin"]
KINDS_OF_CHANGE: dict[tuple[str, str], ChangeKind] = {
    ("POST", "/fapi/v1/leverage"): "leverage",
    ("POST", "/fapi/v1/marginType"): "margin type",
    ("POST", "/fapi/v1/positionMargin"): "isolated margin",
}


@dataclass(frozen=True)
class Execution:
    """A change that the exchange executed, by any client.

    ``before`` and ``after`` are leverages (0 if it was not set, on demo), margin types as Binance names them, or
    isolated wallets as Decimal. They are equal if the current leverage was set again.
    """

    at: float  # seconds since the epoch
    symbol: str
    before: Any
    after: Any
    timestamp: int | None  # of the request; None for another client
    kind: ChangeKind = "leverage"
    side: str = "BOTH"  # of the position whose isolated margin has changed


@dataclass(frozen=True)
class Arrival:
    """A change that arrived with a valid key and signature, executed or not."""

    symbol: str
    timestamp: int
    kind: ChangeKind


def record(records: list[Any], entry: object) -> None:
    """Add an entry, and drop the oldest beyond ``RECORDED``."""
    records.append(entry)
    del records[:-RECORDED]
