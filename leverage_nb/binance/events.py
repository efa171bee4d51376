"""What the exchange tells by itself: user-data events, typed. Unknown ones are passed over.

Source: Binance's user-data stream pages for USDⓈ-M Futures. Of each event only what is used here is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from leverage_nb.binance.messages import EventTime, Leverage

# Characters or bytes of a message; Binance's are a few kilobytes.
LARGEST = 1_000_000
_Name = Annotated[str, Meta(max_length=64)]


@dataclass(frozen=True)
class LeverageEvent:
    """A symbol's initial leverage is another (``ACCOUNT_CONFIG_UPDATE``), whoever changed it.

    Attributes:
        symbol: Binance's symbol.
        leverage: What it is at.
        at: When, in local time: the exchange's, less the known difference of the clocks.
        source: "stream", or "look" where a read after a gap has shown it.
    """

    symbol: str
    leverage: int
    at: datetime
    source: Literal["stream", "look"] = "stream"


@dataclass(frozen=True)
class ModeEvent:
    """Multi-assets mode was switched (``ACCOUNT_CONFIG_UPDATE``).

    Attributes:
        multi_assets: Whether it is on now.
        at: When, in local time.
    """

    multi_assets: bool
    at: datetime


@dataclass(frozen=True)
class AccountEvent:
    """Balances or positions have moved (``ACCOUNT_UPDATE``).

    Attributes:
        reason: Binance's word for it: ORDER, FUNDING_FEE, MARGIN_TYPE_CHANGE and so on.
        symbols: Whose positions are named.
        assets: Whose balances are named.
        at: When, in local time: the exchange's, less the known difference of the clocks.
    """

    reason: str
    symbols: tuple[str, ...]
    assets: tuple[str, ...]
    at: datetime


@dataclass(frozen=True)
class MarginCallEvent:
    """Positions are close to liquidation (``MARGIN_CALL``).

    Attributes:
        symbols: Whose positions.
        at: When, in local time: the exchange's, less the known difference of the clocks.
    """

    symbols: tuple[str, ...]
    at: datetime


@dataclass(frozen=True)
class StreamEvent:
    """The stream itself is live, or is not.

    Attributes:
        live: Whether what is shown follows the exchange.
        reason: Why not.
        at: When.
    """

    live: bool
    reason: str
    at: datetime


@dataclass(frozen=True)
class KeyExpiredEvent:
    """The listen key has expired: nothing more comes on this connection (``listenKeyExpired``)."""

    at: datetime


Event = LeverageEvent | ModeEvent | AccountEvent | MarginCallEvent | StreamEvent | KeyExpiredEvent


class _Leverage(msgspec.Struct):
    s: _Name
    l: Leverage  # noqa: E741 - Binance's name


class _Mode(msgspec.Struct):
    j: bool


class _Row(msgspec.Struct):
    s: _Name


class _Asset(msgspec.Struct):
    a: _Name


class _Account(msgspec.Struct):
    m: _Name = ""
    B: list[_Asset] = []
    P: list[_Row] = []


class _Message(msgspec.Struct):
    e: _Name = ""
    E: EventTime = 0
    T: EventTime = 0
    ac: _Leverage | None = None
    ai: _Mode | None = None
    a: _Account | None = None
    p: list[_Row] = []


class _Wrapped(msgspec.Struct):
    data: msgspec.Raw


def read_event(message: str | bytes) -> Event | None:
    """The event in a message; None for kinds that are not used here, and for what is no event, or larger than any."""
    if len(message) > LARGEST:
        return None
    content: Any = message
    try:
        told = msgspec.json.decode(content, type=_Message, strict=False)
        if not told.e:
            told = msgspec.json.decode(msgspec.json.decode(content, type=_Wrapped).data, type=_Message, strict=False)
        at = datetime.fromtimestamp((told.T or told.E) / 1000).astimezone()
    except (msgspec.DecodeError, ValueError, OverflowError, OSError, RecursionError):
        return None
    if told.e == "ACCOUNT_CONFIG_UPDATE" and told.ac is not None:
        return LeverageEvent(told.ac.s, told.ac.l, at)
    if told.e == "ACCOUNT_CONFIG_UPDATE" and told.ai is not None:
        return ModeEvent(told.ai.j, at)
    if told.e == "ACCOUNT_UPDATE" and told.a is not None:
        symbols, assets = tuple(row.s for row in told.a.P), tuple(row.a for row in told.a.B)
        return AccountEvent(told.a.m, symbols, assets, at)
    if told.e == "MARGIN_CALL":
        return MarginCallEvent(tuple(row.s for row in told.p), at)
    return KeyExpiredEvent(at) if told.e == "listenKeyExpired" else None
