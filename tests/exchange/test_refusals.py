"""The table of refusals: which answers are definite, and that each says what it means."""

from __future__ import annotations

import json
from typing import Any

import pytest

from leverage_nb.exchange.refusals import CODES, STATUSES, is_definite
from leverage_nb.exchange.transport import Answer

UNKNOWN_503 = "Unknown error, please check your request or try again later."


def answer(status: int, body: Any) -> Answer:
    """An answer of the exchange."""
    return Answer(status, body.encode() if isinstance(body, str) else json.dumps(body).encode())


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"code": -4028, "msg": "Leverage 200 is not valid"}),
        (400, {"code": -2027, "msg": "x"}),
        (400, {"code": -2028, "msg": "x"}),
        (400, {"code": -4161, "msg": "x"}),
        (400, {"code": -4300, "msg": "x"}),
        (400, {"code": -1021, "msg": "x"}),
        (401, {"code": -2015, "msg": "x"}),
        (401, ""),
        (403, "<html>"),
        (418, {"code": -1003, "msg": "x"}),
        (429, ""),
        (451, {"code": 0, "msg": "x"}),
        (503, "Service Unavailable."),
        (503, {"msg": "Internal error; unable to process your request. Please try again."}),
        (503, {"code": -1008, "msg": "Request throttled by system-level protection."}),
    ],
)
def test_definite_refusals(status: int, body: Any) -> None:
    """These answers say for certain that the request was not carried out."""
    assert is_definite(answer(status, body))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"code": -1000, "msg": "An unknown error occured while processing the request."}),
        (400, {"code": -1006, "msg": "Execution status unknown."}),
        (408, {"code": -1007, "msg": "Send status unknown; execution status unknown."}),
        (408, ""),
        (400, {"code": -4028, "msg": "Leverage 10 already exist with BTCUSDT"}),
        (400, {"code": -9999, "msg": "A code that is not in the table."}),
        (400, "<html>"),
        (500, ""),
        (502, "<html>Bad gateway</html>"),
        (503, {"timestamp": 1, "path": "/fapi/v1/leverage", "msg": UNKNOWN_503}),
        (503, {"code": -1000, "msg": "Request occur unknown error."}),
        (504, ""),
        (200, "<html>"),
        (302, ""),
    ],
)  # fmt: skip
def test_everything_else_leaves_the_outcome_open(status: int, body: Any) -> None:
    """These answers do not say that the request was not carried out, whatever they look like."""
    assert not is_definite(answer(status, body))


def test_every_entry_says_what_to_do() -> None:
    """No code and no status is without advice, and codes are negative as Binance's are."""
    assert all(refusal.advice for refusal in [*CODES.values(), *STATUSES.values()])
    assert all(code < 0 for code in CODES)


# Codes that section 5 of the exchange reference names as seen on, or possible for, a leverage change.
@pytest.mark.parametrize(
    "code",
    [-1000, -1001, -1002, -1003, -1006, -1007, -1008, -1021, -1022, -1100, -1102, -1121, -1122, -2008, -2014,
     -2015, -2017, -2023, -2027, -2028, -4028, -4109, -4161, -4202, -4203, -4205, -4206, -4208, -4209, -4300, -4403],
)  # fmt: skip
def test_codes_of_a_leverage_change_are_explained(code: int) -> None:
    """Each code that can meet a leverage change has its meaning in plain words."""
    assert CODES[code].meaning
