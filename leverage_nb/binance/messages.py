"""The JSON Binance sends, as msgspec structs: typed, checked, fast.

Decoding is lax where Binance is: numbers may arrive as strings, unknown fields are allowed, enumerations
are plain ``str``. It is strict where a slip would become a false figure: every number must be finite and lie within
bounds far beyond any that Binance sends, so that nothing computed from them overflows.
"""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from leverage_nb.errors import UnexpectedAnswer

T = TypeVar("T")


Figure = Annotated[float, Meta(ge=-1e30, le=1e30)]  # NaN and infinity lie outside
# 0 stands for a leverage that is not set.
Leverage = Annotated[int, Meta(ge=0, le=100_000)]
Count = Annotated[int, Meta(ge=0, le=1_000_000_000)]
# Of an event, in milliseconds since the epoch: up to the year 5138, which any datetime can hold.
EventTime = Annotated[int, Meta(ge=0, le=100_000_000_000_000)]
# A server's time may be false, and is judged elsewhere: it only has to be a number that can be computed with.
ClockTime = Annotated[int, Meta(ge=-(10**16), le=10**16)]


class _Message(msgspec.Struct, frozen=True, rename="camel"):
    """A message of the exchange."""


class ErrorBody(_Message, frozen=True):
    """``{"code": -4028, "msg": "..."}``; ``code`` is missing from some 503 answers, and ``msg`` may be."""

    msg: str = ""
    code: int = 0


class ServerTime(_Message, frozen=True):
    """``GET /fapi/v1/time``, in milliseconds."""

    server_time: ClockTime


class ListenKey(_Message, frozen=True):
    """``POST /fapi/v1/listenKey``. It opens the account's events to whoever has it, so it is in no repr."""

    listen_key: str

    def __repr__(self) -> str:
        return "ListenKey(...)"


class Bracket(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """One tier of ``leverageBracket``. How its figures go together is checked for a whole table at once, elsewhere."""

    initial_leverage: Leverage
    notional_floor: Figure
    notional_cap: Figure
    maint_margin_ratio: Figure
    cum: Figure


class SymbolBrackets(msgspec.Struct, frozen=True, rename="camel"):
    """One symbol of ``leverageBracket``."""

    symbol: str
    brackets: list[Bracket]
    notional_coef: Figure | None = None


class ListedSymbol(_Message, frozen=True):
    """What we use of a symbol in ``exchangeInfo``."""

    symbol: str
    margin_asset: str = ""


class RateLimit(_Message, frozen=True):
    """One of ``exchangeInfo``'s ``rateLimits``."""

    rate_limit_type: str = ""
    interval: str = ""
    interval_num: Count = 0
    limit: Count = 0


class ExchangeInfo(_Message, frozen=True):
    """What we use of ``exchangeInfo``."""

    symbols: list[ListedSymbol]
    rate_limits: list[RateLimit] = []

    @property
    def weight_a_minute(self) -> int:
        """The request weight that one address may use a minute; 0 where it is not named."""
        named = [
            row.limit
            for row in self.rate_limits
            if (row.rate_limit_type, row.interval, row.interval_num) == ("REQUEST_WEIGHT", "MINUTE", 1)
        ]
        return min(named, default=0)


class PremiumIndex(_Message, frozen=True):
    """What we use of ``premiumIndex``."""

    symbol: str
    mark_price: Figure


class SymbolConfig(_Message, frozen=True):
    """One row of ``symbolConfig``."""

    symbol: str
    margin_type: str
    leverage: Leverage
    max_notional_value: Figure | None = None


class AccountConfig(_Message, frozen=True):
    """What we use of ``accountConfig``."""

    dual_side_position: bool
    multi_assets_margin: bool


class PositionRisk(_Message, frozen=True):
    """One row of ``positionRisk`` v3."""

    symbol: str
    position_side: str
    position_amt: Figure
    entry_price: Figure
    mark_price: Figure
    profit: Figure = msgspec.field(name="unRealizedProfit")
    liquidation_price: Figure
    notional: Figure
    isolated_wallet: Figure
    margin_asset: str
    bid_notional: Figure = 0.0
    ask_notional: Figure = 0.0
    position_initial_margin: Figure = 0.0
    open_order_initial_margin: Figure = 0.0
    maint_margin: Figure = 0.0


class AccountAsset(_Message, frozen=True):
    """One asset of ``account`` v3."""

    asset: str
    wallet_balance: Figure
    unrealized_profit: Figure
    cross_wallet_balance: Figure
    cross_un_pnl: Figure
    initial_margin: Figure
    maint_margin: Figure
    available_balance: Figure


class AssetBalance(_Message, frozen=True):
    """What we use of a row of ``balance`` v3."""

    account_alias: str


class AccountInformation(_Message, frozen=True):
    """What we use of ``account`` v3."""

    assets: list[AccountAsset]


class ChangedLeverage(_Message, frozen=True):
    """The answer to ``POST /fapi/v1/leverage``."""

    symbol: str
    leverage: Leverage
    max_notional_value: Figure | None = None


def decode(kind: type[T], body: bytes, source: str) -> T:
    """Decode an answer.

    Args:
        kind: The struct, or a list of one.
        body: The bytes as received.
        source: Whose answer to what, for the error: "the simulator's answer to GET /fapi/v1/time".

    Raises:
        UnexpectedAnswer: The bytes are not that.
    """
    reason = ""
    try:
        return msgspec.json.decode(body, type=kind, strict=False)
    except (msgspec.DecodeError, ValueError, RecursionError) as exc:
        reason = str(exc)
    raise UnexpectedAnswer(
        f"{source} is not what Binance documents: {describe(body)} ({reason}).",
        hint="A proxy, a captive portal or a maintenance page answers like this. Try again.",
    )


def decode_brackets(body: bytes, source: str) -> tuple[list[SymbolBrackets], dict[str, str]]:
    """Decode ``leverageBracket``: a list, or one object; a bad row is skipped and named.

    Returns:
        The symbols that decode, and those that do not with the reason.

    Raises:
        UnexpectedAnswer: The answer is neither a list nor an object of that kind.
    """
    try:
        return [msgspec.json.decode(body, type=SymbolBrackets, strict=False)], {}
    except (msgspec.DecodeError, ValueError, RecursionError):
        pass  # the usual case: a list
    good, skipped = decode_rows(SymbolBrackets, body, source)
    if skipped and not good:
        name, reason = next(iter(skipped.items()))
        raise UnexpectedAnswer(f"{source} holds no usable tiers: {name}: {reason}.")
    return good, skipped


def decode_rows(kind: type[T], body: bytes, source: str) -> tuple[list[T], dict[str, str]]:
    """Decode a list; a bad row is skipped and named, so that it does not make the others unreadable.

    Returns:
        The rows that decode, and the symbols of those that do not with the reason.

    Raises:
        UnexpectedAnswer: The answer is no list.
    """
    try:
        return msgspec.json.decode(body, type=list[kind], strict=False), {}  # type: ignore[valid-type]  # a type variable
    except (msgspec.DecodeError, ValueError, RecursionError):
        pass  # examine the rows one by one
    good: list[T] = []
    skipped: dict[str, str] = {}
    for place, row in enumerate(decode(list[msgspec.Raw], body, source), start=1):
        try:
            good.append(msgspec.json.decode(row, type=kind, strict=False))
        except (msgspec.DecodeError, ValueError, RecursionError) as exc:
            skipped[_symbol_of(row) or f"row {place}"] = str(exc)
    return good, skipped


def describe(body: bytes) -> str:
    """What an undecodable answer looks like, without repeating it."""
    start = body[:200].lstrip().lower()
    if not start:
        return "it is empty"
    if start.startswith((b"<!doctype", b"<html", b"<")):
        return "it is an HTML page"
    return f"{len(body):,} bytes"


class _Named(msgspec.Struct):
    symbol: str


def _symbol_of(row: msgspec.Raw) -> str:
    try:
        return msgspec.json.decode(row, type=_Named).symbol
    except (msgspec.DecodeError, ValueError, RecursionError):
        return ""
