"""The exchange under test, spoken to from outside: nothing of the package is used, so that its slips are not copied."""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import requests

Row = dict[str, Any]


@dataclass(frozen=True)
class Reply:
    """An answer.

    Attributes:
        asked: What had been asked, for the report.
        status: The HTTP status.
        content: The JSON, numbers with a point as Decimal; None where it is none.
        headers: By name, in any case.
    """

    asked: str
    status: int
    content: Any = field(repr=False)  # a listen key may be in it
    headers: Any = field(repr=False)

    @property
    def code(self) -> int:
        """Binance's code; 0 where there is none."""
        return int(self.content.get("code", 0)) if isinstance(self.content, dict) else 0


@dataclass(frozen=True)
class ExchangeUnderTest:
    """An exchange, and an HMAC key of one account there.

    Attributes:
        name: "simulator" or "testnet".
        rest_url: Where REST is spoken.
        stream_url: Where events come from.
        api_key: The key.
        api_secret: Its secret.
    """

    name: str
    rest_url: str
    stream_url: str
    api_key: str
    api_secret: str

    def __repr__(self) -> str:
        return f"ExchangeUnderTest({self.name})"

    def call(
        self,
        method: str,
        path: str,
        *,
        security: str = "signed",
        late_by: int = 0,
        slip: str = "",
        api_key: str | None = None,
        **parameters: Any,
    ) -> Reply:
        """Ask for something.

        Args:
            method: GET, POST, PUT or DELETE.
            path: The endpoint.
            security: "none", "key" or "signed".
            late_by: Milliseconds by which the timestamp lies in the past.
            slip: Appended to the secret, to sign wrongly.
            api_key: Another key than the account's.
            parameters: In the order they are sent.
        """
        text = urlencode(parameters)
        if security == "signed":
            timed = parameters | {"recvWindow": 5000, "timestamp": self._time_ms() - late_by}
            text = urlencode(timed)
            text += "&signature=" + hmac.new((self.api_secret + slip).encode(), text.encode(), "sha256").hexdigest()
        key = "" if security == "none" else api_key or self.api_key
        told = ", ".join(f"{name}={value}" for name, value in parameters.items())
        asked = f"{method} {path} {told}".rstrip()
        answer = _send(method, self.rest_url + path, text, key)
        del key, text  # pytest can print what the frames of a failed test hold
        assert not isinstance(answer, str), f"{asked}: no answer ({answer})"
        try:
            content = json.loads(answer.text, parse_float=Decimal)
        except json.JSONDecodeError:
            content = None
        return Reply(asked, answer.status_code, content, answer.headers)

    def rows(self, path: str, **parameters: Any) -> list[Row]:
        """A list that must be had for a scenario to be tried at all."""
        reply = self.call("GET", path, **parameters)
        assert reply.status == 200, f"{reply.asked} was answered with HTTP {reply.status}, code {reply.code}"
        return list(reply.content) if isinstance(reply.content, list) else [reply.content]

    def settings(self) -> dict[str, Row]:
        """Every symbol's row of ``symbolConfig``."""
        return {row["symbol"]: row for row in self.rows("/fapi/v1/symbolConfig")}

    def tiers(self) -> dict[str, list[Row]]:
        """Every symbol's rows of ``leverageBracket``, largest leverage first; without those of a multiplier."""
        return {row["symbol"]: row["brackets"] for row in self.rows("/fapi/v1/leverageBracket") if not has_coef(row)}

    def positions(self) -> list[Row]:
        """``positionRisk`` v3."""
        return self.rows("/fapi/v3/positionRisk")

    def set_leverage(self, symbol: str, leverage: object) -> Reply:
        """``POST /fapi/v1/leverage``."""
        return self.call("POST", "/fapi/v1/leverage", symbol=symbol, leverage=leverage)

    @contextmanager
    def restored(self, symbol: str) -> Iterator[int]:
        """The leverage of a symbol, which is put back afterwards."""
        before = self._leverage(symbol)
        try:
            yield before
        finally:
            told = self._put_back(symbol, before)
            assert not told, f"{symbol} {told}"

    def _put_back(self, symbol: str, before: int) -> str:
        """Set a leverage as it was; what stands in the way, in words, after a few tries."""
        told = ""
        for pause in (0.0, 1.0, 3.0):
            time.sleep(pause)
            try:
                if self._leverage(symbol) == before:
                    return ""
                code = self.set_leverage(symbol, before).code
                if (now := self._leverage(symbol)) == before:
                    return ""
                told = f"IS LEFT AT {now}x, not {before}x: putting it back got {code}"
            except AssertionError as exc:
                told = f"MAY BE LEFT CHANGED, it was at {before}x: {exc}"
        return told

    def _leverage(self, symbol: str) -> int:
        return int(self.rows("/fapi/v1/symbolConfig", symbol=symbol)[0]["leverage"])

    def _time_ms(self) -> int:
        return time.time_ns() // 1_000_000 + self._clock_offset_ms

    @property
    def _clock_offset_ms(self) -> int:
        held: int | None = self.__dict__.get("_offset")
        if held is None:
            before = time.time_ns() // 1_000_000
            told = requests.get(self.rest_url + "/fapi/v1/time", timeout=20).json()["serverTime"]
            held = told - (before + time.time_ns() // 1_000_000) // 2
            self.__dict__["_offset"] = held
        return held


def _send(method: str, url: str, text: str, key: str) -> requests.Response | str:
    """Send it; what goes wrong comes back as its name: the frames of such an error hold key and signature."""
    headers = {"Content-Type": "application/x-www-form-urlencoded"} | ({"X-MBX-APIKEY": key} if key else {})
    if method == "GET" and text:
        url, text = f"{url}?{text}", ""
    try:
        return requests.request(method, url, data=text or None, headers=headers, timeout=20, allow_redirects=False)
    except requests.RequestException as exc:
        return type(exc).__name__


def has_coef(row: Row) -> bool:
    """Whether an account's tiers of a symbol were adjusted: nobody documents how."""
    return Decimal(str(row.get("notionalCoef", 1))) != 1


def cap_at(tiers: list[Row], leverage: int) -> Decimal:
    """The largest notional at a leverage: the cap of the last tier that offers it."""
    return max(Decimal(str(row["notionalCap"])) for row in tiers if row["initialLeverage"] >= leverage)


def tier_of(tiers: list[Row], notional: Decimal) -> Row:
    """The tier that a notional lies in: above its floor, at or below its cap."""
    return next(row for row in tiers if abs(notional) <= Decimal(str(row["notionalCap"])))
