"""Binance's JSON messages as msgspec structs.

Decoding is lax where Binance is: numbers may be strings, unknown fields are allowed, enumerations are plain ``str``. It
is strict where a bad value would become a wrong figure: every number must be finite and within bounds that are far
beyond Binance's values, so that nothing computed from it overflows. Names are strict too, because they become code,
HTML and labels of plots: a row whose symbol or asset has other characters than letters, digits and underscores is
skipped, as every row that does not decode is. One odd row never makes the others unreadable.

Source: the pages named in :mod:`leverage_nb.binance.endpoints`.
"""

from __future__ import annotations

import re
from contextlib import suppress
from decimal import Decimal
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from leverage_nb.errors import UnexpectedAnswer

T = TypeVar("T")

# Symbols and assets: letters of any script, digits and underscores. Binance lists non-ASCII symbols since 2025-10.
Name = Annotated[str, Meta(pattern=r"^\w+\Z", max_length=40)]
Label = Annotated[str, Meta(pattern=r"^\w*\Z", max_length=40)]  # the same, or ""

Figure = Annotated[float, Meta(ge=-1e30, le=1e30)]  # excludes NaN and infinity
_LARGEST = Decimal(10) ** 30  # the same for exact amounts
# 0 means that the leverage is not set.
Leverage = Annotated[int, Meta(ge=0, le=100_000)]

# Binance lists fewer than 1,000 symbols. No deadline of a request ends the decoding of one row after the other.
_MOST_ROWS = 20_000

# By what share a notional may differ from size times mark price, because they may be of different moments.
_SIZES_DIFFER = 0.05
Count = Annotated[int, Meta(ge=0, le=1_000_000_000)]
Rate = Annotated[float, Meta(gt=0, le=1e12)]
Amount = Annotated[float, Meta(ge=0, le=1e30)]  # a price, a margin or a cap is never negative
# Milliseconds since the epoch, up to the year 5138: a datetime can represent it.
EventTime = Annotated[int, Meta(ge=0, le=100_000_000_000_000)]
# The client checks whether the exchange's time is plausible; here it must only be a number to compute with.
ClockTime = Annotated[int, Meta(ge=-(10**16), le=10**16)]


class _Message(msgspec.Struct, frozen=True, rename="camel"):
    """A message with Binance's field names in camel case."""


class ErrorBody(_Message, frozen=True):
    """``{"code": -4028, "msg": "..."}``; some 503 answers have no ``code``, and ``msg`` may be missing."""

    msg: str = ""
    code: int = 0


class ServerTime(_Message, frozen=True):
    """The answer to ``GET /fapi/v1/time``, in milliseconds."""

    server_time: ClockTime


class ListenKey(_Message, frozen=True):
    """The answer to POST and PUT ``/fapi/v1/listenKey``. Whoever has the key receives all events: not in the repr."""

    # It becomes part of the stream's address. Keys seen so far have 64 letters and digits.
    listen_key: Annotated[str, Meta(pattern=r"^[\w-]+\Z", max_length=500)]

    def __repr__(self) -> str:
        return "ListenKey(...)"


class KeyPermissions(_Message, frozen=True):
    """The fields used of ``apiRestrictions``; None if a field is missing."""

    ip_restrict: bool | None = None
    enable_withdrawals: bool | None = None


class Bracket(msgspec.Struct, frozen=True, rename="camel", gc=False):
    """One tier of ``leverageBracket``. :mod:`leverage_nb.risk.bracket_checks` checks the tiers of a whole table."""

    initial_leverage: Leverage
    notional_floor: Figure
    notional_cap: Figure
    maint_margin_ratio: Figure
    cum: Figure


class SymbolBrackets(msgspec.Struct, frozen=True, rename="camel"):
    """One symbol of ``leverageBracket``."""

    symbol: Name
    brackets: list[Bracket]
    notional_coef: Amount | None = None


class ListedSymbol(_Message, frozen=True):
    """The fields used of a symbol in ``exchangeInfo``."""

    symbol: Name
    margin_asset: Label = ""
    status: Any = None

    @property
    def is_trading(self) -> bool:
        """Whether it trades; also if its status is missing or unreadable, because nothing is known against it."""
        return self.status == "TRADING" or not (isinstance(self.status, str) and _is_name(self.status))


class RateLimit(_Message, frozen=True):
    """One of ``exchangeInfo``'s ``rateLimits``."""

    rate_limit_type: str = ""
    interval: str = ""
    interval_num: Count = 0
    limit: Count = 0


class ExchangeInfo(_Message, frozen=True):
    """The fields used of ``exchangeInfo``: two lists, for :func:`decode_rows`."""

    symbols: msgspec.Raw
    rate_limits: msgspec.Raw = msgspec.Raw(b"[]")

    @property
    def weight_a_minute(self) -> int:
        """The request weight that one address may use per minute; 0 if it is not stated."""
        limits: list[RateLimit] = []
        with suppress(UnexpectedAnswer):  # without it, the documented limit applies
            limits = decode_rows(RateLimit, self.rate_limits, "").good
        named = [
            row.limit
            for row in limits
            if (row.rate_limit_type, row.interval, row.interval_num) == ("REQUEST_WEIGHT", "MINUTE", 1)
        ]
        return min(named, default=0)


class PremiumIndex(_Message, frozen=True):
    """The fields used of ``premiumIndex``."""

    symbol: str
    mark_price: Amount


class AssetIndex(_Message, frozen=True):
    """The fields used of a row of ``assetIndex``; ``symbol`` is the asset against USD, such as ``BTCUSD``."""

    symbol: Name
    bid_rate: Rate
    ask_rate: Rate


class _WithCap(_Message, frozen=True, kw_only=True):
    """A message with ``maxNotionalValue``, which is not always a number: one client's source knows ``inf`` and ""."""

    max_notional_value: msgspec.Raw = msgspec.Raw(b"")

    @property
    def max_notional(self) -> float | None:
        """The max notional; None if it is missing or no usable number. The tiers have it too."""
        with suppress(msgspec.DecodeError, ValueError, RecursionError):
            return msgspec.json.decode(self.max_notional_value, type=Amount, strict=False)
        return None


class SymbolConfig(_WithCap, frozen=True):
    """One row of ``symbolConfig``."""

    symbol: Name
    margin_type: Label
    leverage: Leverage


class AccountConfig(_Message, frozen=True):
    """The fields used of ``accountConfig``."""

    dual_side_position: bool
    multi_assets_margin: bool


class PositionRisk(_Message, frozen=True):
    """One row of ``positionRisk`` v3."""

    symbol: Name
    position_side: Label
    position_amt: Figure
    entry_price: Amount
    mark_price: Amount
    profit: Figure = msgspec.field(name="unRealizedProfit")
    liquidation_price: Figure
    notional: Figure
    isolated_wallet: Figure
    margin_asset: Label
    bid_notional: Figure
    ask_notional: Figure
    position_initial_margin: Amount
    open_order_initial_margin: Amount
    maint_margin: Amount

    def __post_init__(self) -> None:
        size = abs(self.position_amt) * self.mark_price
        if abs(abs(self.notional) - size) > _SIZES_DIFFER * max(size, abs(self.notional)):
            raise ValueError("`notional` is not `positionAmt` times `markPrice`")


class AccountAsset(_Message, frozen=True):
    """One asset of ``account`` v3."""

    asset: Name
    wallet_balance: Figure
    unrealized_profit: Figure
    cross_wallet_balance: Figure
    cross_un_pnl: Figure
    initial_margin: Amount
    maint_margin: Amount
    available_balance: Figure


class AssetBalance(_Message, frozen=True):
    """The field used of a row of ``balance`` v3."""

    account_alias: str


class AccountInformation(_Message, frozen=True):
    """The field used of ``account`` v3: a list, for :func:`decode_rows`."""

    assets: msgspec.Raw


class ChangedLeverage(_WithCap, frozen=True):
    """The answer to ``POST /fapi/v1/leverage``."""

    symbol: str
    leverage: Leverage


class Success(_Message, frozen=True):
    """The answer to ``POST /fapi/v1/marginType``: ``code`` is 200, and nothing names the symbol."""

    code: int


class _WithAmount(_Message, frozen=True, kw_only=True):
    """A message with an exact amount of margin. A Decimal may also be NaN, or too large to compute with."""

    amount: Decimal

    def __post_init__(self) -> None:
        if not self.amount.is_finite() or not -_LARGEST <= self.amount <= _LARGEST:
            raise ValueError("`amount` is no usable number")


class ChangedMargin(_WithAmount, frozen=True):
    """The answer to ``POST /fapi/v1/positionMargin``: ``code`` is 200, ``type`` is 1 (added) or 2 (taken out)."""

    code: int
    type: int


def margin_direction(amount: Decimal) -> int:
    """Return Binance's ``type`` of a change of isolated margin: 1 adds it, 2 takes it out."""
    return 1 if amount > 0 else 2


class MarginEntry(_WithAmount, frozen=True):
    """One row of ``positionMargin/history``. Rows of automatic additions have another ``deltaType``."""

    symbol: Name
    type: int
    time: EventTime
    delta_type: Label = "USER_ADJUST"
    position_side: Label = "BOTH"


class Rows(NamedTuple, Generic[T]):
    """A decoded list.

    Attributes:
        good: The rows that decode.
        skipped: The reason for each row that does not, by its symbol or asset; by its place if it has no valid one.
        unnamed: The keys of ``skipped`` whose rows have no symbol or asset at all: they may belong to any.
    """

    good: list[T]
    skipped: dict[str, str]
    unnamed: frozenset[str] = frozenset()


def decode(kind: type[T], body: bytes | msgspec.Raw, source: str) -> T:
    """Decode an answer.

    Args:
        kind: The struct, or a list of it.
        body: The body as received.
        source: The origin for the error message: "Binance's answer to GET /fapi/v1/time".

    Raises:
        UnexpectedAnswer: The body does not decode.
    """
    reason = ""
    try:
        return msgspec.json.decode(body, type=kind, strict=False)
    except (msgspec.DecodeError, ValueError, RecursionError) as exc:
        reason = _reason(exc)
    raise UnexpectedAnswer(
        f"{source} is not what Binance documents: {describe(bytes(body))} ({reason}).",
        hint="A proxy, a login page of the network or a maintenance page may have answered. Try again.",
    )


def decode_brackets(body: bytes, source: str) -> tuple[list[SymbolBrackets], dict[str, str]]:
    """Decode ``leverageBracket``, a list or one object. Skip the symbols that do not decode.

    Returns:
        The symbols that decode, and the reason for each that does not.

    Raises:
        UnexpectedAnswer: The answer is neither a list nor such an object, or no symbol decodes.
    """
    try:
        return [msgspec.json.decode(body, type=SymbolBrackets, strict=False)], {}
    except (msgspec.DecodeError, ValueError, RecursionError):
        pass  # it is a list, as usual
    good, skipped, _ = decode_rows(SymbolBrackets, body, source)
    if not good:
        name, reason = next(iter(skipped.items()), ("its list", "it is empty"))
        raise UnexpectedAnswer(f"{source} has no usable tiers: {name}: {reason}.", hint="Try again later.")
    return good, skipped


def decode_rows(kind: type[T], body: bytes | msgspec.Raw, source: str) -> Rows[T]:
    """Decode a list. Skip the rows that do not decode, so that one bad row does not make the others unreadable.

    Rows of one symbol or asset that contradict each other are skipped too; equal ones count once.

    Raises:
        UnexpectedAnswer: The answer is not a list.
    """
    try:
        rows = msgspec.json.decode(body, type=list[kind], strict=False)  # type: ignore[valid-type]  # a type variable
        return _without_contradictions(rows, {}, frozenset())
    except (msgspec.DecodeError, ValueError, RecursionError):
        pass  # decode row by row
    good: list[T] = []
    skipped: dict[str, str] = {}
    unnamed = set()
    raw = decode(list[msgspec.Raw], body, source)
    if len(raw) > _MOST_ROWS:
        raise UnexpectedAnswer(
            f"{source} has {len(raw):,} rows, and no exchange lists more than {_MOST_ROWS:,} symbols.",
            hint="Check the address. If it is right, try again later.",
        )
    for place, row in enumerate(raw, start=1):
        try:
            good.append(msgspec.json.decode(row, type=kind, strict=False))
        except (msgspec.DecodeError, ValueError, RecursionError) as exc:
            key, name, reason = f"row {place}", _name_of(row), _reason(exc)
            if name is None:
                unnamed.add(key)
            elif _is_name(name):
                key = name
            else:
                reason = f"its name {name[:40]!a} is not made of up to 40 letters, digits and underscores"
            skipped[key] = reason
    return _without_contradictions(good, skipped, frozenset(unnamed))


def decode_entries(kind: type[T], body: bytes, source: str) -> list[T]:
    """Decode a list whose rows are events, so that several rows may be alike.

    Raises:
        UnexpectedAnswer: The answer is not a list, or a row does not decode.
    """
    return decode(list[kind], body, source)  # type: ignore[valid-type]  # a type variable


def _without_contradictions(good: list[T], skipped: dict[str, str], unnamed: frozenset[str]) -> Rows[T]:
    """Return rows without those that share their name and position side, or contradict one that was skipped."""
    kept: dict[tuple[str, str], T] = {}
    odd = set()
    for row in good:
        name = getattr(row, "symbol", "") or getattr(row, "asset", "")
        if not name:
            return Rows(good, skipped, unnamed)  # rows of this kind have no names
        key = name, getattr(row, "position_side", "")  # the sides of a position are two rows
        if (name in skipped and key[1] not in {"LONG", "SHORT"}) or kept.setdefault(key, row) != row:
            odd.add(key)
    named = {name: "it is listed twice, with different values" for name, _ in odd}
    return Rows([row for key, row in kept.items() if key not in odd], named | skipped, unnamed)


def as_plain_text(text: str, most: int = 500) -> str:
    """Return text of the exchange as one line of at most ``most`` characters, without control characters."""
    printable = "".join(char if char.isprintable() else " " for char in text[: 4 * most])
    line = " ".join(printable.split())
    return line if len(line) <= most else f"{line[: most - 1]}…"


def describe(body: bytes) -> str:
    """Describe an answer that does not decode, without repeating it."""
    start = body[:200].lstrip().lower()
    if not start:
        return "it is empty"
    if start.startswith((b"<!doctype", b"<html", b"<")):
        return "it is an HTML page"
    return f"{len(body):,} bytes"


class _Named(msgspec.Struct):
    symbol: Any = None
    asset: Any = None


def _name_of(row: msgspec.Raw) -> str | None:
    """Return a row's symbol or asset, whatever its characters; None without one."""
    with suppress(msgspec.DecodeError, ValueError, RecursionError):
        read = msgspec.json.decode(row, type=_Named)
        return next((name for name in (read.symbol, read.asset) if isinstance(name, str) and name), None)
    return None


def _is_name(text: str) -> bool:
    return re.fullmatch(r"\w{1,40}", text) is not None


def _reason(exc: Exception) -> str:
    """Return the reason of a failed decoding, with the field's name instead of its path."""
    text = re.sub(r"`\$(\[[^]]*\])*\.?", "`", str(exc)).removesuffix(" - at ``")
    return re.sub(r" matching regex '[^']*'", " of letters, digits and underscores", text)
