"""Answers as faults alter them: with other values, without a row, far too large, or broken on the way back."""

from __future__ import annotations

import asyncio
import gzip
import html
import json
import socket
import struct
import zlib
from dataclasses import replace
from decimal import Decimal
from functools import cache
from typing import Any
from urllib.parse import unquote_plus

from tornado.iostream import IOStream

from leverage_nb.simulator.answers import margin_changed
from leverage_nb.simulator.exchange import SUCCESS, Answer
from leverage_nb.simulator.fault_kinds import BAD_GATEWAY
from leverage_nb.simulator.faults import Course

OVERSIZE = 64 * 2**20  # bytes; Binance's largest answer, exchangeInfo, has about 2 MB
_BLANKS = b" " * 2**20  # white space before JSON is valid JSON
_HTML, _JSON = {"Content-Type": "text/html"}, {"Content-Type": "application/json"}


def without_exchange(course: Course, path: str, parameters: dict[str, str]) -> Answer:
    """Return the answer to a request that has not reached the exchange: a gateway's, or a success to be altered."""
    alterable = {"leverage", "symbol", "code"} if path == "/fapi/v1/leverage" else {"leverage", "code"}
    if course.executed or course.alter not in alterable:  # an unaltered success would be a lie
        return Answer(502, BAD_GATEWAY, _HTML)
    content: dict[str, Any] = SUCCESS
    if path == "/fapi/v1/leverage":
        named = {"leverage": _number(parameters, "leverage"), "symbol": parameters.get("symbol", "")}
        content = {"maxNotionalValue": "1000000", **named}
    elif path == "/fapi/v1/positionMargin":
        amount = Decimal(_number(parameters, "amount"))
        content = margin_changed(amount if parameters.get("type") == "1" else -amount)
    return Answer(200, json.dumps(content), _JSON)


def _number(parameters: dict[str, str], name: str) -> int:
    text = parameters.get(name, "")
    return int(text) if text.isdecimal() else 1


def alter(answer: Answer, course: Course, sent: str) -> Answer:
    """Return the answer that the client receives in place of another.

    Args:
        answer: The true answer.
        course: What happens to the request; ``omit`` names a symbol or is None.
        sent: The request as text.
    """
    if course.alter == "echo_page":
        return Answer(502, _echo_page(sent), _HTML)
    if course.alter == "echo_json":
        return Answer(500, _echo_json(sent), _JSON)
    if course.answer is not None:
        status, body, headers = course.answer
        return Answer(status, body, {**answer.headers, **(_HTML if body.startswith("<") else _JSON), **headers})
    if answer.status == 200 and course.omit is not None:
        answer = replace(answer, body=_omit(answer.body, course.omit))
    if answer.status == 200 and course.alter:
        answer = replace(answer, body=_alter_values(answer.body, course.alter))
    return answer


def _alter_values(body: str, what: str) -> str:
    """Alter the answer to a change; return other answers, and values that an answer does not name, unchanged."""
    content = json.loads(body)
    if not isinstance(content, dict) or not ({"leverage", "symbol"} <= content.keys() or content.get("code") == 200):
        return body
    if what == "code":
        content["code"] = -4161
    elif what == "symbol" and "symbol" in content:
        content["symbol"] = "ETHUSDT" if content["symbol"] != "ETHUSDT" else "BTCUSDT"
    elif what == "leverage":
        content |= {name: content[name] + 1 for name in ("leverage", "amount") if name in content}
    return json.dumps(content)


def _omit(body: str, symbol: str) -> str:
    """Remove a symbol from a list of symbols; return other answers unchanged."""

    def others(rows: list[Any]) -> list[Any]:
        return [row for row in rows if not isinstance(row, dict) or row.get("symbol") != symbol]

    content = json.loads(body)
    if isinstance(content, list):
        content = others(content)
    elif isinstance(content, dict) and isinstance(content.get("symbols"), list):
        content["symbols"] = others(content["symbols"])
    return json.dumps(content, ensure_ascii=False)


def _echo_page(sent: str) -> str:
    """Return a page that repeats a request as web frameworks do: with HTML entities."""
    text = html.escape(_spellings(sent)).replace("/", "&#x2F;").replace("+", "&#43;").replace("=", "&#61;")
    return f"<html><h1>502 Bad Gateway</h1><pre>{html.escape(sent)}\n{text}</pre></html>"


def _echo_json(sent: str) -> str:
    r"""Return Binance's error -1000 with a text that repeats a request; JSON may write ``/`` as ``\/``."""
    return json.dumps({"code": -1000, "msg": f"Unexpected: {_spellings(sent)}"}).replace("/", "\\/")


def _spellings(sent: str) -> str:
    return "\n".join([sent, unquote_plus(sent), sent.lower(), sent.upper()])


async def send(stream: IOStream, answer: Answer, course: Course) -> None:
    """Send an answer in the manner of a fault, which tornado's own handler cannot, and close the connection."""
    body = answer.body.encode()
    match course.manner:
        case "never":
            await stream.read_until_close()
            return
        case "dripped":
            whole = _head(answer, length=len(body)) + body
            for place in range(len(whole)):
                await stream.write(whole[place : place + 1])
                await asyncio.sleep(course.pace)
        case "gzip" | "gzip_twice":
            twice = course.manner == "gzip_twice"
            packed = _blow_up(body, twice=twice)
            await stream.write(_head(answer, length=len(packed), coding="gzip, gzip" if twice else "gzip") + packed)
        case "endless":
            await stream.write(_head(answer))
            for part in [*[_BLANKS] * (OVERSIZE // len(_BLANKS)), body]:
                await stream.write(part)
        case "reset" | "truncated":
            if course.manner == "truncated":
                whole = _head(answer, length=len(body)) + body
                await stream.write(whole[: len(whole) - len(body) // 2 - 1])
            if stream.socket is not None:  # the client may have closed it
                # Closing a socket that does not linger sends a reset.
                stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.close()


def _head(answer: Answer, *, length: int | None = None, coding: str = "") -> bytes:
    """Return the status line and headers; without a length, the end of the connection ends the answer."""
    lines = [f"HTTP/1.1 {answer.status} X", *(f"{name}: {text}" for name, text in answer.headers.items())]
    lines += [f"Content-Length: {length}"] if length is not None else ["Connection: close"]
    lines += [f"Content-Encoding: {coding}"] if coding else []
    return "\r\n".join([*lines, "", ""]).encode()


def _blow_up(body: bytes, *, twice: bool) -> bytes:
    """Return a body behind ``OVERSIZE`` blanks, compressed with gzip once or twice."""
    start, state = _compressed_blanks()
    state = state.copy()
    packed = start + state.compress(body) + state.flush()
    return gzip.compress(packed) if twice else packed


@cache
def _compressed_blanks() -> tuple[bytes, Any]:
    state = zlib.compressobj(wbits=31)  # 31: with gzip's header
    return b"".join(state.compress(_BLANKS) for _ in range(OVERSIZE // len(_BLANKS))), state
