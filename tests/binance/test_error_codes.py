"""The table of error codes: which answers are definite, and what the user reads."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leverage_nb.binance.endpoints import LEVERAGE, SYMBOL_CONFIG
from leverage_nb.binance.error_codes import (
    CODES,
    STATUSES,
    explain,
    is_definite,
    may_be_repeated,
    read_error,
    read_lift_time,
)
from leverage_nb.binance.http import Answer
from leverage_nb.binance.venues import VENUES
from leverage_nb.errors import ChangeNotSent, RequestRefused
from leverage_nb.simulator import Simulator
from tests.conftest import connect_to

UNKNOWN_503 = "Unknown error, please check your request or try again later."


def answer(status: int, body: Any) -> Answer:
    """Return an answer of the exchange."""
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
        (400, {"code": -4168, "msg": "Unable to adjust to isolated-margin mode under the Multi-Assets mode."}),
        (400, {"code": -4411, "msg": "Please sign TradFi-Perps agreement contract"}),
        (400, {"code": -5028, "msg": "Timestamp for this request is outside of the ME recvWindow."}),
        (401, {"code": -2015, "msg": "x"}),
        (418, {"code": -1003, "msg": "x"}),
        (429, {"code": -1003, "msg": "x"}),
        (429, {"code": -1008, "msg": "Request throttled by system-level protection."}),
        (503, {"msg": "Service Unavailable."}),
        (503, {"msg": "Internal error; unable to process your request. Please try again."}),
    ],
)
def test_definite_refusals(status: int, body: Any) -> None:
    """Binance's own error with a 4xx, or one of its two documented 503 messages, proves that nothing was executed."""
    assert is_definite(answer(status, body))


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"code": -1000, "msg": "An unknown error occured while processing the request."}),
        (400, {"code": -1006, "msg": "Execution status unknown."}),
        (408, {"code": -1007, "msg": "Send status unknown; execution status unknown."}),
        (408, ""),
        (400, {"code": -4028, "msg": "Leverage 10 already exist with BTCUSDT"}),
        (400, {"code": -4046, "msg": "No need to change margin type."}),
        (400, {"code": -4059, "msg": "No need to change position side."}),
        (400, {"code": -4067, "msg": "Position side cannot be changed if there exists open orders."}),
        (400, {"code": -4171, "msg": "Adjusted asset mode is currently set and does not need to be adjusted."}),
        (400, {"code": -4531, "msg": "x"}),
        (400, {"code": -9999, "msg": "A code that is not in the table."}),
        (400, "<html>"),
        (500, ""),
        (502, "<html>Bad gateway</html>"),
        (503, {"timestamp": 1, "path": "/fapi/v1/leverage", "msg": UNKNOWN_503}),
        (503, {"code": -1000, "msg": "Request occur unknown error."}),
        (504, ""),
        (401, ""),
        (403, "<html>"),
        (418, ""),
        (429, ""),
        (429, "<html>"),
        (451, {"code": 0, "msg": "x"}),
        (451, "<html>"),
        (500, {"code": -1001, "msg": "x"}),
        (500, {"code": -1016, "msg": "x"}),
        (500, {"code": -2027, "msg": "x"}),
        (502, {"code": -1008, "msg": "x"}),
        (503, {"code": -1008, "msg": "Request throttled by system-level protection."}),
        (503, {"code": -2027, "msg": "Service Unavailable."}),
        (503, "Service Unavailable."),
        (200, {"code": -1001, "msg": "x"}),
        (200, {"code": -4161}),
        (200, "<html>"),
        (302, ""),
    ],
)  # fmt: skip
def test_any_other_answer_leaves_the_outcome_open(status: int, body: Any) -> None:
    """A status alone, a 5xx with a code and a 200 with a code may come after the request was executed."""
    assert not is_definite(answer(status, body))


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, {"code": -1021, "msg": "x"}, True), (429, {"code": -1008, "msg": "x"}, True),
        (503, {"msg": "Service Unavailable."}, True), (503, {"code": -1008, "msg": "x"}, False),
        (502, {"code": -1008, "msg": "x"}, False), (400, {"code": -2027, "msg": "x"}, False),
        (503, {"msg": UNKNOWN_503}, False), (200, {"code": -1021, "msg": "x"}, False),
    ],
)  # fmt: skip
def test_what_may_be_attempted_again(status: int, body: Any, expected: bool) -> None:
    """Another attempt follows only a definite refusal with a passing cause."""
    assert may_be_repeated(answer(status, body)) == expected


def test_every_entry_has_advice() -> None:
    """Every code and status has advice, and codes are negative as Binance's are."""
    assert all(refusal.advice for refusal in [*CODES.values(), *STATUSES.values()])
    assert all(code < 0 for code in CODES)


# Codes that section 5 of the exchange reference names as seen on, or possible for, a leverage change.
@pytest.mark.parametrize(
    "code",
    [-1000, -1001, -1002, -1003, -1006, -1007, -1008, -1021, -1022, -1100, -1102, -1121, -1122, -2008, -2014,
     -2015, -2017, -2023, -2027, -2028, -4028, -4109, -4161, -4202, -4203, -4205, -4206, -4208, -4209, -4300, -4403],
)  # fmt: skip
def test_codes_of_a_leverage_change_are_explained(code: int) -> None:
    """Each code that a change of leverage can get has a meaning in plain words."""
    assert CODES[code].meaning


# The codes of Binance's error-code page and of public reports that a change of leverage, margin type or mode can get,
# and two of orders.
CODES_OF_A_CHANGE = [
    -1000, -1001, -1002, -1003, -1006, -1007, -1008, -1010, -1011, -1013, -1016, -1020, -1021, -1022, -1099, -1100,
    -1101, -1102, -1103, -1104, -1105, -1106, -1108, -1109, -1110, -1111, -1121, -1122, -1126, -1127, -1128, -1130,
    -2008, -2014, -2015, -2016, -2017, -2018, -2019, -2023, -2027, -2028, -4027, -4028, -4046, -4047, -4048, -4049,
    -4050, -4051, -4054, -4059, -4067, -4068, -4084, -4085, -4087, -4088, -4109, -4140, -4141, -4144, -4161, -4167,
    -4168, -4169, -4170, -4171, -4172, -4189, -4192, -4202, -4203, -4205, -4206, -4208, -4209, -4300, -4400, -4401,
    -4402, -4403, -4411, -4531, -5000, -5028, -5040,
]  # fmt: skip


@pytest.mark.parametrize("code", CODES_OF_A_CHANGE)
def test_every_code_has_its_explanation(code: int) -> None:
    """The user reads Binance's message with its code, the meaning, and what to do next."""
    refusal = answer(400, {"code": code, "msg": "Binance's own message."})
    error = explain(refusal, VENUES["testnet"], LEVERAGE)
    rows = dict(error.rows)
    assert rows["answer"] == f"“Binance's own message.” ({code})"
    assert rows["next"]
    assert rows.get("meaning") or code in {-1010, -1013}  # their messages are clear enough


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="Windows cannot change the time zone of a process")
def test_the_end_of_a_limit_is_shown_in_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """-4300 names a time in UTC; the advice shows it in local time."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    words = (
        "You can start trading with more than 20x leverage by 2026-10-29 01:34 (UTC), because higher leverage is "
        "available 30 days after Futures account registration."
    )
    error = explain(answer(400, {"code": -4300, "msg": words}), VENUES["mainnet"], LEVERAGE)
    monkeypatch.undo()
    time.tzset()
    assert "The limit ends on 2026-10-29 10:34:00+09:00, local time." in error.hint


@pytest.mark.parametrize(
    "moment",
    [
        "2026-13-01 00:00", "2026-02-30 00:00", "0000-01-01 00:00", "2026-10-29 25:00", "2026-10-29 24:00",
        "2026-10-29 00:60",
        "9" * 5000, "\u0662\u0660\u0662\u0666-10-29 01:34",
    ],
)  # fmt: skip
def test_an_impossible_time_is_ignored(moment: str) -> None:
    """A message with an impossible time raises no exception, and the advice has no time."""
    words = f"You can start trading with more than 20x leverage by {moment} (UTC), because ..."
    assert read_lift_time(words) is None
    error = explain(answer(400, {"code": -4300, "msg": words}), VENUES["mainnet"], LEVERAGE)
    assert error.code == -4300
    assert "The limit ends on" not in error.hint


def test_variants_of_a_limits_end() -> None:
    """The time is also read with seconds, and without parentheses around UTC."""
    expected = datetime(2026, 10, 29, 1, 34, tzinfo=UTC)
    for text in ("by 2026-10-29 01:34 (UTC)", "by 2026-10-29 01:34:00 (UTC), because", "by 2026-10-29 01:34 UTC."):
        assert read_lift_time(f"You can start trading with more than 20x leverage {text}") == expected


@pytest.mark.parametrize("body", [{"code": -4028}, {"code": 0}, {}])
def test_a_message_is_shown_as_one_bounded_line(body: dict[str, int]) -> None:
    """Control characters of a message are not shown, whether it has a code or not, and its length is bounded."""
    refusal = answer(400, {**body, "msg": "a\nb\x1b[31m\u202e" + "$x$" * 1000})
    error = explain(refusal, VENUES["testnet"], LEVERAGE)
    for text in (error.words, error.message, str(error), error.headline, *(text for _, text in error.rows)):
        assert text.isprintable()
        assert len(text) < 900
    assert "a b [31m $x$" in error.message


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="Windows cannot change the time zone of a process")
@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo", "America/New_York"])
@pytest.mark.parametrize("moment", ["0001-01-01 00:00", "9999-12-31 23:59", "2026-10-29 24:00"])
def test_times_at_the_ends_of_the_calendar(monkeypatch: pytest.MonkeyPatch, zone: str, moment: str) -> None:
    """A time that may have no local time is returned with a time zone, or ignored."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    found = read_lift_time(f"by {moment} (UTC)")
    monkeypatch.undo()
    time.tzset()
    assert found is None or found.tzinfo is not None


@given(st.text(), st.from_regex(r"by [0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2} \(UTC\)"))
def test_no_message_of_the_exchange_raises_an_exception(words: str, moment: str) -> None:
    """A refusal is explained whatever its message is."""
    for text in (words, moment, words + moment):
        refusal = answer(400, {"code": -4300, "msg": text})
        assert explain(refusal, VENUES["testnet"], LEVERAGE).code == -4300


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ('{"code": -4161}', -4161), ('{"code": "-4161", "symbol": "BTCUSDT", "leverage": 10}', -4161),
        ('{"code": -99999999999}', None), ('{"msg": "words"}', 0), ('{"symbol": "BTCUSDT", "leverage": 10}', None),
        ("{}", None), ("[]", None), ("<html>", None), ("[" * 100_000, None), ('{"code": 1e999}', None),
    ],
)  # fmt: skip
def test_an_error_needs_no_message(body: str, code: int | None) -> None:
    """A code without a message is an error; an object with neither is not."""
    error = read_error(answer(400, body))
    assert (error.code if error else None) == code


@pytest.mark.parametrize("portfolio_margin", [False, True])
def test_a_rejected_key_is_explained(portfolio_margin: bool) -> None:
    """The advice of -2015 has the four usual causes and the IP address that the exchange saw."""
    with Simulator(portfolio_margin=portfolio_margin) as simulator:
        keys = {} if portfolio_margin else {"api_key": "k" * 64}
        account = connect_to(simulator, "testnet", **keys)
        with pytest.raises(RequestRefused, match="The exchange rejected the API key") as caught:
            account.setting("BTCUSDT")
        with pytest.raises(ChangeNotSent, match="The exchange rejected the API key"):
            account.set_leverage("BTCUSDT", 10)
    assert caught.value.code == -2015
    for part in ("another venue", "IP address is not on the key's list", "Futures is not enabled", "Portfolio Margin"):
        assert part in caught.value.hint
    assert "reached the exchange from 127.0.0.1" in caught.value.hint


@pytest.mark.parametrize("code", [-1000, -1001, -1006, -1007, -1016])
def test_a_read_without_a_definite_answer_changes_nothing(code: int) -> None:
    """A failed read is not said to be refused or perhaps executed: the next step is to read again."""
    error = explain(answer(408, {"code": code, "msg": "Timeout."}), VENUES["testnet"], SYMBOL_CONFIG)
    assert "executed" not in str(error)
    assert error.headline == f"Binance's testnet did not answer {SYMBOL_CONFIG}."
    assert error.hint == "Try again."


def test_an_error_without_words_quotes_none() -> None:
    """A code without a text is reported by its code."""
    text = explain(answer(400, {"code": -4003}), VENUES["testnet"], LEVERAGE).message
    assert "answered -4003" in text
    assert "“”" not in text
