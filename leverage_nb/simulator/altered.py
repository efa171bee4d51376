"""Answers as faults alter them: other values, rows left out, far too large, or with what was sent in them."""

from __future__ import annotations

import gzip
import html
import json
import zlib
from functools import cache
from typing import Any
from urllib.parse import unquote_plus

OVERSIZE = 64 * 2**20  # bytes; Binance's largest answer, exchangeInfo, has about 2 MB
_BLANKS = b" " * 2**20  # white space before JSON is valid JSON


def alter_values(body: str, what: str) -> str:
    """Return a success that names another leverage or symbol, or carries an error code; other answers as they are."""
    content = json.loads(body)
    if not isinstance(content, dict) or not {"leverage", "symbol"} <= content.keys():
        return body
    if what == "leverage":
        content["leverage"] += 1
    elif what == "symbol":
        content["symbol"] = "ETHUSDT" if content["symbol"] != "ETHUSDT" else "BTCUSDT"
    elif what == "code":
        content["code"] = -4161
    return json.dumps(content)


def forge_success(parameters: dict[str, str]) -> str:
    """Return the answer to a change that was not executed, as if it had been."""
    leverage = parameters.get("leverage", "")
    content = {
        "leverage": int(leverage) if leverage.isdecimal() else 1,
        "maxNotionalValue": "1000000",
        "symbol": parameters.get("symbol", ""),
    }
    return json.dumps(content)


def leave_out(body: str, symbol: str) -> str:
    """Return a list of symbols without one of them; other answers as they are."""
    content = json.loads(body)
    if isinstance(content, list):
        content = [row for row in content if _name(row) != symbol]
    elif isinstance(content, dict) and isinstance(content.get("symbols"), list):
        content["symbols"] = [row for row in content["symbols"] if _name(row) != symbol]
    return json.dumps(content, ensure_ascii=False)


def _name(row: Any) -> Any:
    return row.get("symbol") if isinstance(row, dict) else None


def echo_page(sent: str) -> str:
    """Return a page that repeats a request as frameworks do: with HTML entities."""
    text = html.escape(_spellings(sent)).replace("/", "&#x2F;").replace("+", "&#43;").replace("=", "&#61;")
    return f"<html><h1>502 Bad Gateway</h1><pre>{html.escape(sent)}\n{text}</pre></html>"


def echo_json(sent: str) -> str:
    r"""Return Binance's error -1000 with a text that repeats a request; JSON may write ``/`` as ``\/``."""
    return json.dumps({"code": -1000, "msg": f"Unexpected: {_spellings(sent)}"}).replace("/", "\\/")


def _spellings(sent: str) -> str:
    """Return a request as it was sent, decoded, in lower and in upper case."""
    return "\n".join([sent, unquote_plus(sent), sent.lower(), sent.upper()])


def blow_up(body: bytes, *, twice: bool) -> bytes:
    """Return a body behind ``OVERSIZE`` blanks, compressed with gzip once or twice."""
    start, state = _compressed_blanks()
    state = state.copy()
    packed = start + state.compress(body) + state.flush()
    return gzip.compress(packed) if twice else packed


@cache
def _compressed_blanks() -> tuple[bytes, Any]:
    state = zlib.compressobj(wbits=31)  # 31: with gzip's header
    return b"".join(state.compress(_BLANKS) for _ in range(OVERSIZE // len(_BLANKS))), state


def blanks() -> list[bytes]:
    """Return ``OVERSIZE`` blanks in parts."""
    return [_BLANKS] * (OVERSIZE // len(_BLANKS))
