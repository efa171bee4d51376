"""The exchange under test. Its client uses nothing of the package, so that it does not share the package's bugs."""

from __future__ import annotations

import hmac
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property, partial
from typing import Any, TypeVar
from urllib.parse import urlencode

import requests

from tests.contract.comparison import NotChecked

Row = dict[str, Any]
T = TypeVar("T")

DEFAULT = 20  # the leverage of a symbol that was never set, according to Binance's FAQ
_ABOUT_THE_ACCOUNT = ("/account", "/balance", "/positionRisk")
_FIGURE = r"-?(?=.*[1-9])\d+\.\d{2,}"


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
        request: The request, for the report.
        status: The HTTP status.
        content: The decoded JSON, with Decimal for numbers with a decimal point; None if it is not JSON.
        headers: By name, case-insensitive.
    """

    request: str
    status: int
    content: Any = field(repr=False)  # a listen key may be in it
    headers: Any = field(repr=False)

    @property
    def code(self) -> int:
        """Binance's code; 0 without one."""
        return int(self.content.get("code", 0)) if isinstance(self.content, dict) else 0

    @property
    def used_weight(self) -> int:
        """The request weight used in this minute; 0 if no header says it."""
        return int(self.headers.get("X-MBX-USED-WEIGHT-1M") or 0)


@dataclass(frozen=True)
class ExchangeUnderTest:
    """An exchange, and the HMAC key of one account.

    Attributes:
        name: "simulator" or "testnet".
        rest_url: Address of the REST API.
        stream_url: Address of the user-data stream.
        api_key: The API key.
        api_secret: Its secret.
        other_url: A second address of its REST API, if there is one.
        patience: Seconds within which an event must arrive.
        originals: The leverage of each symbol before it was changed.
        left: What could not be restored, by symbol.
        confidential: What a report must not contain: keys, the account's alias, its figures.
    """

    name: str
    rest_url: str
    stream_url: str
    api_key: str
    api_secret: str
    other_url: str = ""
    patience: float = 10.0
    originals: dict[str, int] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    confidential: set[str] = field(default_factory=set)

    def __repr__(self) -> str:
        return f"ExchangeUnderTest({self.name})"

    def call(
        self,
        method: str,
        path: str,
        *,
        security: str = "signed",
        late_by: int = 0,
        extra_secret: str = "",
        api_key: str | None = None,
        recv_window: int = 5000,
        **parameters: Any,
    ) -> Reply:
        """Send a request.

        Args:
            method: GET, POST, PUT or DELETE.
            path: The endpoint.
            security: "none", "key" or "signed".
            late_by: Milliseconds that are subtracted from the timestamp.
            extra_secret: Appended to the secret, for a wrong signature.
            api_key: A key other than the account's.
            recv_window: Milliseconds.
            parameters: The parameters, in the order of sending.
        """
        text = urlencode(parameters)
        if security == "signed":
            timed = parameters | {"recvWindow": recv_window, "timestamp": self._time_ms() - late_by}
            text = urlencode(timed)
            text += (
                "&signature=" + hmac.new((self.api_secret + extra_secret).encode(), text.encode(), "sha256").hexdigest()
            )
        key = "" if security == "none" else api_key or self.api_key
        shown = ", ".join(f"{name}={value}" for name, value in parameters.items())
        request = f"{method} {path} {shown}".rstrip()
        answer = _send(method, self.rest_url + path, text, key)
        del key, text  # pytest can print the local variables of a failed test
        assert not isinstance(answer, str), f"{request}: no answer ({answer})"
        try:
            content = json.loads(answer.text, parse_float=Decimal)
        except json.JSONDecodeError:
            content = None
        self.confidential.update({self.api_key, self.api_secret}, _confidential(path, content))
        return Reply(request, answer.status_code, content, answer.headers)

    def public(self, text: str) -> str:
        """Return a text without what is confidential, and without signatures and IP addresses."""
        for hidden in sorted(self.confidential, key=len, reverse=True):
            text = re.sub(rf"(?<![\d.]){re.escape(hidden)}(?!\d)", "(hidden)", text)
        text = re.sub(r"[0-9a-fA-F]{40,}", "(hidden)", text)
        return re.sub(r"\b\d{1,3}(\.\d{1,3}){3}\b|\b([0-9a-fA-F]{1,4}:){3,7}[0-9a-fA-F]{1,4}\b", "(hidden)", text)

    def rows(self, path: str, **parameters: Any) -> list[Row]:
        """Return the rows of a read that must succeed for a scenario to be checked."""
        reply = self.call("GET", path, **parameters)
        assert reply.status == 200, f"{reply.request} was answered with HTTP {reply.status}, code {reply.code}"
        return list(reply.content) if isinstance(reply.content, list) else [reply.content]

    def settings(self) -> dict[str, Row]:
        """Return the row of ``symbolConfig`` of every symbol."""
        return {row["symbol"]: row for row in self.rows("/fapi/v1/symbolConfig")}

    def tiers(self) -> dict[str, list[Row]]:
        """Return the rows of ``leverageBracket`` of every symbol without a notionalCoef, highest leverage first."""
        return {row["symbol"]: row["brackets"] for row in self.rows("/fapi/v1/leverageBracket") if not has_coef(row)}

    def positions(self) -> list[Row]:
        """Return the rows of ``positionRisk`` v3."""
        return self.rows("/fapi/v3/positionRisk")

    def set_leverage(self, symbol: str, leverage: object) -> Reply:
        """Send ``POST /fapi/v1/leverage``."""
        return self.call("POST", "/fapi/v1/leverage", symbol=symbol, leverage=leverage)

    def set_margin_type(self, symbol: str, margin_type: str) -> Reply:
        """Send ``POST /fapi/v1/marginType``."""
        return self.call("POST", "/fapi/v1/marginType", symbol=symbol, marginType=margin_type)

    def move_margin(self, row: Row, amount: Decimal | int) -> Reply:
        """Send ``POST /fapi/v1/positionMargin`` for the position of a row; a negative amount is reduced."""
        side = {} if row["positionSide"] == "BOTH" else {"positionSide": row["positionSide"]}
        kind = 1 if amount > 0 else 2
        return self.call(
            "POST", "/fapi/v1/positionMargin", symbol=row["symbol"], amount=f"{abs(amount):f}", type=kind, **side
        )

    @contextmanager
    def restored(self, symbol: str) -> Iterator[int]:
        """Yield the leverage of a symbol and restore it afterwards; one that is not set becomes Binance's default."""
        before = self._leverage(symbol) or self._set_default(symbol)
        self.originals.setdefault(symbol, before)
        try:
            yield before
        finally:
            problem = self._restore(symbol, before)
            assert not problem, f"{symbol} {problem}"

    @contextmanager
    def margin_type_restored(self, symbol: str) -> Iterator[str]:
        """Yield the margin type of a symbol and restore it afterwards."""
        yield from self._kept(
            f"{symbol} (margin type)", lambda: self._setting(symbol, "marginType"),
            lambda before: self.set_margin_type(symbol, before), str,
        )  # fmt: skip

    @contextmanager
    def margin_restored(self, row: Row) -> Iterator[Decimal]:
        """Yield the isolated wallet of a position and restore it afterwards."""

        def wallet() -> Decimal:
            now = (other for other in self.positions() if same_side(row, other))
            return Decimal(next(now)["isolatedWallet"])

        def shown(now: Decimal) -> str:  # without the amount, which is private
            return "its margin" if now == Decimal(row["isolatedWallet"]) else "another margin"

        name = f"{row['symbol']} (isolated margin)"
        yield from self._kept(name, wallet, lambda before: self.move_margin(row, before - wallet()), shown)

    def _kept(
        self, name: str, read: Callable[[], T], write: Callable[[T], Reply], shown: Callable[[T], str]
    ) -> Iterator[T]:
        """Yield a value and restore it; what cannot be restored fails the scenario, and is noted in ``left``."""
        before = read()
        self.left[name] = "may be left changed"
        try:
            yield before
        finally:
            if problem := self._bring_back(before, read, write, shown):
                self.left[name] = problem
            else:
                del self.left[name]
        assert not problem, f"{name} {problem}"

    def restore_all(self) -> None:
        """Restore what a failed or interrupted scenario has left; note in ``left`` what cannot be restored."""
        for symbol, before in self.originals.items():
            if problem := self._restore(symbol, before):
                self.left[symbol] = problem

    def _set_default(self, symbol: str) -> int:
        """Set a leverage that is not set, which cannot be restored, to Binance's default."""
        default = min(DEFAULT, self.tiers()[symbol][0]["initialLeverage"])
        self.left[symbol] = f"may be at {default}x: it was not set (0), which cannot be restored"
        reply = self.set_leverage(symbol, default)
        now = self._leverage(symbol)
        if now == 0:
            del self.left[symbol]
            raise NotChecked(f"a symbol whose leverage can be set (code {reply.code})")
        why = "it was not set (0), which cannot be restored, and no symbol with a leverage was free"
        self.left[symbol] = f"is at {now}x, Binance's default: {why}"
        return now

    def _restore(self, symbol: str, before: int) -> str:
        """Restore a leverage; return the problem, or an empty text."""
        write = partial(self.set_leverage, symbol)
        return self._bring_back(before, lambda: self._leverage(symbol), write, lambda leverage: f"{leverage}x")

    def _bring_back(
        self, before: T, read: Callable[[], T], write: Callable[[T], Reply], shown: Callable[[T], str]
    ) -> str:
        """Restore a value, with a few attempts; return the problem, or an empty text."""
        problem = ""
        for pause in (0.0, 1.0, 3.0):
            time.sleep(pause)
            try:
                if read() == before:
                    return ""
                code = write(before).code
                if (now := read()) == before:
                    return ""
                was = f"{shown(now)}, not {shown(before)}"
                problem = f"IS LEFT AT {was}: restoring it was answered with code {code}"
            except AssertionError as exc:
                problem = f"MAY BE LEFT CHANGED, it was at {shown(before)}: {exc}"
        return problem

    def _leverage(self, symbol: str) -> int:
        return int(self._setting(symbol, "leverage"))

    def _setting(self, symbol: str, name: str) -> str:
        return str(self.rows("/fapi/v1/symbolConfig", symbol=symbol)[0][name])

    def _time_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self._clock_offset_ms

    @cached_property
    def _clock_offset_ms(self) -> int:
        """The difference of the clocks, by the quickest of three answers: half its round trip is the error."""
        return min(self._compare_clocks() for _ in range(3))[1]

    def _compare_clocks(self) -> tuple[int, int]:
        """Return the milliseconds of a round trip, and the difference of the clocks that it shows."""
        before = time.time_ns() // 1_000_000
        server_time: int = requests.get(self.rest_url + "/fapi/v1/time", timeout=20).json()["serverTime"]
        after = time.time_ns() // 1_000_000
        return after - before, server_time - (before + after) // 2


def _send(method: str, url: str, text: str, key: str) -> requests.Response | str:
    """Send a request; return the name of a transport error, whose frames contain key and signature."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"} | ({"X-MBX-APIKEY": key} if key else {})
    if method == "GET" and text:
        url, text = f"{url}?{text}", ""
    try:
        return requests.request(method, url, data=text or None, headers=headers, timeout=20, allow_redirects=False)
    except requests.RequestException as exc:
        return type(exc).__name__


def _confidential(path: str, content: Any) -> Iterator[str]:
    """Yield the listen key and the account's alias of an answer, and the figures of an answer about the account."""
    for row in content if isinstance(content, list) else [content]:
        for name, value in row.items() if isinstance(row, dict) else ():
            if isinstance(value, list):
                yield from _confidential(path, value)
            elif name in {"listenKey", "accountAlias"}:
                yield str(value)
            elif path.endswith(_ABOUT_THE_ACCOUNT) and name != "markPrice" and re.fullmatch(_FIGURE, str(value)):
                yield str(value).lstrip("-")


def same_side(row: Row, other: Row) -> bool:
    """Return whether two rows are about the same side of the same symbol."""
    return bool((row["symbol"], row["positionSide"]) == (other["symbol"], other["positionSide"]))


def has_coef(row: Row) -> bool:
    """Return whether the account's tiers of a symbol are adjusted; Binance does not document how."""
    return Decimal(str(row.get("notionalCoef", 1))) != 1


def cap_at(tiers: list[Row], leverage: int) -> Decimal:
    """Return the max notional at a leverage: the cap of the last tier that offers it."""
    return max(Decimal(str(row["notionalCap"])) for row in tiers if row["initialLeverage"] >= leverage)


def tier_of(tiers: list[Row], notional: Decimal) -> Row:
    """Return the tier of a notional, which is above its floor and at or below its cap."""
    return next(row for row in tiers if abs(notional) <= Decimal(str(row["notionalCap"])))
