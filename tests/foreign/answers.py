"""Answers of the exchange as its documentation shows them, and ways to spoil them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

from tests.foreign.wire import Reply

# Bodies that no endpoint documents.
BODIES = [
    b"", b"<html>busy</html>", b"[]", b"{}", b"null", b"5", b'"x"', b"true", b"[[]]", b"[null]", b"NaN", b"1e999",
    b"[" + b"9" * 10_000_000 + b"]",
    json.dumps([{"symbol": "BTCUSDT"} | dict.fromkeys(("leverage", "brackets", "notional"), "1e999")]).encode(),
]  # fmt: skip

MISSING, HUGE = object(), "a number that is larger than any float"
SPOILT = {
    "missing": MISSING, "null": None, "list": [], "object": {}, "word": "much", "true": True, "negative": -1,
    "negative text": "-1", "nan": "NaN", "infinite": "inf", "huge text": "1e999", "huge": HUGE,
}  # fmt: skip

# Answers that a stranger might give to a change of margin type or isolated margin: edits of the documented answer.
ODD_SUCCESSES: dict[str, Callable[[Any], Any]] = {
    "another text": lambda answer: answer | {"msg": "OK, done."},
    "the code as text": lambda answer: answer | {"code": "200"},
    "the amount as text": lambda answer: answer | {"amount": f"{answer.get('amount', 0):.8f}"},
    "nothing but the code": lambda _: {"code": 200},
    "nothing": lambda _: {},
    "more than documented": lambda answer: answer | {"symbol": "BTCUSDT", "positionSide": "BOTH", "time": 1},
}
# The same for the history of isolated margin: edits of its rows.
ODD_HISTORIES: dict[str, Callable[[Any], Any]] = {
    "no positionSide": lambda rows: [_without(row, "positionSide") for row in rows],
    "no deltaType": lambda rows: [_without(row, "deltaType") for row in rows],
    "newest first": lambda rows: rows[::-1],
    "no signs": lambda rows: [row | {"amount": row["amount"].lstrip("-")} for row in rows],
    "amounts as numbers": lambda rows: [row | {"amount": float(row["amount"])} for row in rows],
    "times as text": lambda rows: [row | {"time": str(row["time"])} for row in rows],
    "nothing yet": lambda _: [],
}


def _without(row: dict[str, Any], name: str) -> dict[str, Any]:
    return {field: value for field, value in row.items() if field != name}


def spoilt(row: dict[str, Any], *fields: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Yield the field, the name of the value and the row, for every row in which one field has one of ``SPOILT``."""
    for field in fields:
        for name, value in SPOILT.items():
            other = {**row, field: value}
            if value is MISSING:
                del other[field]
            yield field, name, other


def as_reply(content: Any) -> Reply:
    """Return a JSON answer, in which ``HUGE`` is the number 1e999."""
    return Reply(200, (json.dumps(content).replace(json.dumps(HUGE), "1e999").encode(),))


def position(symbol: Any, **fields: Any) -> dict[str, Any]:
    """Return a row of positionRisk: a long of 1 at 60,000."""
    row = {
        "symbol": symbol, "positionSide": "BOTH", "positionAmt": "1", "entryPrice": "60000", "markPrice": "60000",
        "unRealizedProfit": "0", "liquidationPrice": "0", "isolatedMargin": "0", "notional": "60000",
        "marginAsset": "USDT", "isolatedWallet": "0", "initialMargin": "6000", "maintMargin": "240",
        "positionInitialMargin": "6000", "openOrderInitialMargin": "0", "bidNotional": "0", "askNotional": "0",
    }  # fmt: skip
    return row | fields
