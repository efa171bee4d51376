"""Typed events of the user-data stream. Only the fields that are used here are decoded.

Source: https://developers.binance.com/docs/derivatives/usds-margined-futures/user-data-streams
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import msgspec

from leverage_nb.binance.messages import EventTime, Label, Leverage, Name, decode_rows
from leverage_nb.errors import UnexpectedAnswer
from leverage_nb.formatting import local_time

# Characters or bytes; Binance's messages have a few kilobytes.
_LARGEST = 1_000_000

StreamState = Literal["connecting", "connected", "live", "stale"]

# Events that are not decoded, but show that the account's events arrive. Source: the user-data-stream pages, and the
# list in unicorn-binance-websocket-api PR #446 (certainty: medium).
_OTHERS = frozenset(
    {
        "ORDER_TRADE_UPDATE", "TRADE_LITE", "ALGO_UPDATE", "STRATEGY_UPDATE", "GRID_UPDATE",
        "CONDITIONAL_ORDER_TRIGGER_REJECT",
    }
)  # fmt: skip


@dataclass(frozen=True)
class LeverageEvent:
    """A symbol's initial leverage was changed, by this or another program (``ACCOUNT_CONFIG_UPDATE``).

    Attributes:
        symbol: The symbol.
        leverage: The new leverage; None if it is not set.
        at: The local time of the change: the exchange's time minus the known difference of the clocks.
        source: "stream", or "read" if a read of all settings showed a change that no event reported.
    """

    symbol: str
    leverage: int | None
    at: datetime
    source: Literal["stream", "read"] = "stream"


@dataclass(frozen=True)
class ModeEvent:
    """Multi-assets mode was switched (``ACCOUNT_CONFIG_UPDATE``).

    Attributes:
        multi_assets: Whether the mode is on now.
        at: The local time of the change: the exchange's time minus the known difference of the clocks.
    """

    multi_assets: bool
    at: datetime


@dataclass(frozen=True)
class AccountEvent:
    """Balances or positions changed (``ACCOUNT_UPDATE``).

    Attributes:
        reason: Binance's name for the cause, such as ORDER, FUNDING_FEE or MARGIN_TYPE_CHANGE.
        symbols: The symbols of the positions in the event.
        assets: The assets of the balances in the event.
        at: The local time of the change: the exchange's time minus the known difference of the clocks.
    """

    reason: str
    symbols: tuple[str, ...]
    assets: tuple[str, ...]
    at: datetime


@dataclass(frozen=True)
class MarginCallEvent:
    """Positions are close to liquidation (``MARGIN_CALL``).

    Attributes:
        symbols: The symbols of these positions.
        at: The local time of the change: the exchange's time minus the known difference of the clocks.
    """

    symbols: tuple[str, ...]
    at: datetime


@dataclass(frozen=True)
class StreamEvent:
    """The state of the stream changed.

    Attributes:
        state: "connecting" before the first connection is open; "connected" while no event of the account has arrived
            on it, which a wrong address or listen key would not either; "live" after one has arrived; "stale" after
            the connection was lost, or proved to deliver nothing.
        reason: Why the stream is stale; "" otherwise.
        at: The local time.
    """

    state: StreamState
    reason: str
    at: datetime

    @property
    def live(self) -> bool:
        """Whether events have arrived on this connection."""
        return self.state == "live"


@dataclass(frozen=True)
class KeyExpiredEvent:
    """The listen key has expired, and no more events arrive on this connection (``listenKeyExpired``).

    Attributes:
        at: The local time of the change: the exchange's time minus the known difference of the clocks.
    """

    at: datetime


@dataclass(frozen=True)
class OtherEvent:
    """Another event of the account, such as ``ORDER_TRADE_UPDATE``. Callbacks do not receive it.

    Attributes:
        at: The local time of the change: the exchange's time minus the known difference of the clocks.
    """

    at: datetime


Event = LeverageEvent | ModeEvent | AccountEvent | MarginCallEvent | StreamEvent | KeyExpiredEvent | OtherEvent


_NO_ROWS = msgspec.Raw(b"[]")


class _Leverage(msgspec.Struct):
    s: Name
    l: Leverage  # noqa: E741 - Binance's name


class _Mode(msgspec.Struct):
    j: bool


class _Row(msgspec.Struct):
    s: Name


class _Asset(msgspec.Struct):
    a: Name


class _Account(msgspec.Struct):
    m: Label = ""
    B: msgspec.Raw = _NO_ROWS
    P: msgspec.Raw = _NO_ROWS


class _Message(msgspec.Struct):
    e: Label = ""
    E: EventTime = 0
    T: EventTime = 0
    ac: _Leverage | None = None
    ai: _Mode | None = None
    a: _Account | None = None
    p: msgspec.Raw = _NO_ROWS


class _Wrapped(msgspec.Struct):
    data: msgspec.Raw


def read_event(message: str | bytes) -> Event | None:
    """Return the event in a message; None for an unknown or malformed event, and for a message above 1 MB.

    Rows of positions and balances without a valid name are left out.
    """
    if len(message) > _LARGEST:
        return None
    content: Any = message
    try:
        read = msgspec.json.decode(content, type=_Message, strict=False)
        if not read.e:
            read = msgspec.json.decode(msgspec.json.decode(content, type=_Wrapped).data, type=_Message, strict=False)
        at = local_time((read.T or read.E) / 1000)
    except (msgspec.DecodeError, ValueError, OverflowError, OSError, RecursionError):
        return None
    with suppress(UnexpectedAnswer):  # the rows are no list
        return _typed(read, at)
    return None


def _typed(read: _Message, at: datetime) -> Event | None:
    if read.e == "ACCOUNT_CONFIG_UPDATE" and read.ac is not None:
        return LeverageEvent(read.ac.s, read.ac.l or None, at)
    if read.e == "ACCOUNT_CONFIG_UPDATE" and read.ai is not None:
        return ModeEvent(read.ai.j, at)
    if read.e == "ACCOUNT_UPDATE" and read.a is not None:
        assets = tuple(row.a for row in decode_rows(_Asset, read.a.B, "").good)
        return AccountEvent(read.a.m, _symbols(read.a.P), assets, at)
    if read.e == "MARGIN_CALL":
        return MarginCallEvent(_symbols(read.p), at)
    if read.e == "listenKeyExpired":
        return KeyExpiredEvent(at)
    return OtherEvent(at) if read.e in _OTHERS else None


def _symbols(rows: msgspec.Raw) -> tuple[str, ...]:
    return tuple(row.s for row in decode_rows(_Row, rows, "").good)
