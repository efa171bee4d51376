"""One answer of the exchange, and the outcome that it shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import requests

from leverage_nb.account import Account
from leverage_nb.binance.connection import get_departure
from leverage_nb.errors import (
    ChangeNotApplied,
    ChangeNotSent,
    LeverageRefused,
    OutcomeUnknown,
)
from leverage_nb.simulator import Simulator
from tests.arrivals import edit_answers
from tests.changes.faked_wire import APPLIED, LEVERAGE, FakedWire
from tests.changes.quick import attempts, failure


def test_a_200_that_names_symbol_and_leverage_is_applied(faked: FakedWire) -> None:
    """A 200 that names the requested symbol and leverage is applied, with the max notional in it."""
    faked.answer(APPLIED)
    made = faked.change(asset="USDT")
    assert (made.status, made.before, made.after, made.requested) == ("applied", 20, 10, 10)
    assert (made.max_notional, made.confirmed_by) == (230_000_000, "answer")
    assert made.sent_at is not None
    assert faked.posts == 1


@pytest.mark.parametrize(
    "body",
    [
        {**APPLIED, "leverage": "10"}, {**APPLIED, "maxNotionalValue": 2.3e8}, {**APPLIED, "x": []},
        {"leverage": 10, "symbol": "BTCUSDT"},
    ],
)  # fmt: skip
def test_small_changes_of_the_format_are_still_applied(faked: FakedWire, body: Any) -> None:
    """A number as a string, an additional field or a missing max notional does not hide a success."""
    faked.answer(body)
    assert faked.change().status == "applied"


@pytest.mark.parametrize(
    "body",
    [
        {**APPLIED, "leverage": 20}, {**APPLIED, "symbol": "ETHUSDT"}, {}, [], "null", '"ok"', "", "<html>OK</html>",
        '{"leverage": 10, "symb', {"code": 200, "msg": "success"}, {**APPLIED, "leverage": 10.5}, [APPLIED],
        {**APPLIED, "leverage": None}, {"leverage": 10},
    ],
)  # fmt: skip
def test_any_other_200_is_verified(faked: FakedWire, body: Any) -> None:
    """A 200 with HTML, half a JSON, another symbol or another leverage is not a success: the setting is read."""
    faked.answer(body)
    with pytest.raises(ChangeNotApplied, match="It is at 20x as of") as caught:
        faked.change()
    made = caught.value.change
    assert made is not None
    assert (made.status, made.before, made.after, made.confirmed_by) == ("not_applied", 20, 20, "symbolConfig")
    assert faked.posts == 1


@pytest.mark.parametrize("beside", [{"code": -2027, "msg": "x"}, {"code": -4161}, {"code": "-4161"}])
def test_a_success_with_a_negative_code_is_verified(faked: FakedWire, beside: dict[str, Any]) -> None:
    """A 200 that names the change and a negative code contradicts itself: the setting is read."""
    faked.answer({**APPLIED, **beside})
    with pytest.raises(ChangeNotApplied):
        faked.change()
    assert faked.posts == 1


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, {"code": -2027, "msg": "Exceeded."}, -2027), (400, {"code": -4300, "msg": "You can start"}, -4300),
        (401, {"code": -2015, "msg": "Invalid API-key"}, -2015), (429, {"code": -1003, "msg": "Slow"}, -1003),
        (503, {"msg": "Service Unavailable."}, None),
    ],
)  # fmt: skip
def test_a_definite_refusal_is_refused(faked: FakedWire, status: int, body: Any, code: int | None) -> None:
    """A definite refusal raises LeverageRefused with its code, HTTP status and a hint."""
    faked.answer(body, status)
    with pytest.raises(LeverageRefused) as caught:
        faked.change()
    assert (caught.value.code, caught.value.http_status) == (code, status)
    assert caught.value.hint
    assert caught.value.change is not None
    assert (caught.value.change.status, caught.value.change.after) == ("refused", None)
    assert faked.posts == (4 if status == 503 else 1)  # an overload passes: a new attempt follows


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"code": -1007, "msg": "Timeout"}), (408, ""), (401, "<html>"), (403, "<html>"),
        (451, {"code": 0, "msg": "Restricted"}), (451, "<html>"),
        (400, {"code": -4028, "msg": "Leverage 10 already exist with 10"}),
        (503, {"msg": "Unknown error, please check your request or try again later."}), (502, "<html>"),
        (503, "Service Unavailable."), (503, {"code": -1008, "msg": "Throttled"}),
        (500, {"code": -1001, "msg": "Disconnected"}), (502, {"code": -1008, "msg": "Throttled"}),
        (500, {"code": -1016, "msg": "Shutdown"}), (500, {"code": -2027, "msg": "Exceeded."}),
        (307, ""), (302, {"code": -2027, "msg": "x"}), (400, {"code": -31337, "msg": "?"}), (400, "{}"),
        (200, {"code": -1001, "msg": "Disconnected"}), (200, {"code": -4028, "msg": "Leverage 10 is not valid"}),
    ],
)  # fmt: skip
def test_any_other_error_is_verified_and_not_sent_again(faked: FakedWire, status: int, body: Any) -> None:
    """After any other error the change may have been executed: the setting is read, and nothing is sent again."""
    faked.answer(body, status)
    with pytest.raises(ChangeNotApplied) as caught:
        faked.change()
    assert caught.value.http_status == status
    assert faked.posts == 1


def test_deeply_nested_json_is_verified(faked: FakedWire) -> None:
    """JSON that is nested too deeply to decode is not a definite answer, and raises no other error."""
    faked.answer('{"x":' + "[" * 3000, 400)
    with pytest.raises(ChangeNotApplied):
        faked.change()


@pytest.mark.parametrize(("status", "body"), [(418, ""), (429, "<html>")])
def test_a_ban_without_binances_error_leaves_the_attempt_open(faked: FakedWire, status: int, body: str) -> None:
    """A 418 or 429 without Binance's own error is not a refusal: the attempt stays open until reads are allowed."""
    faked.answer(body, status, Retry_After="120")  # a 429 that names no time ends with the minute
    with pytest.raises(OutcomeUnknown):
        faked.change()
    [attempt] = faked.journal.attempts(faked.client.identity)
    assert attempt.is_open
    assert faked.posts == 1


def test_a_connection_lost_after_sending_is_verified(faked: FakedWire) -> None:
    """If the connection breaks after the request may have left, the setting is read."""

    def break_after_sending(request: Any) -> Any:
        get_departure().leave()  # as the connection does with the first byte
        raise requests.ConnectionError("reset")

    faked.wire.add_callback("POST", LEVERAGE, break_after_sending)
    with pytest.raises(ChangeNotApplied) as caught:
        faked.change()
    assert caught.value.change is not None
    assert caught.value.change.sent_at is not None


def test_a_refused_connection_is_not_sent(faked: FakedWire) -> None:
    """If the connection is refused before anything left, the change is not sent."""
    faked.answer(requests.ConnectionError("refused"))
    with pytest.raises(ChangeNotSent) as caught:
        faked.change()
    assert caught.value.change is not None
    assert (caught.value.change.status, caught.value.change.before) == ("not_sent", 20)
    assert caught.value.change.sent_at is None


def test_an_error_in_our_code_after_sending_is_verified(faked: FakedWire, monkeypatch: pytest.MonkeyPatch) -> None:
    """If our own code raises after the request has left, the outcome comes from a read and the journal."""

    def fail(*arguments: Any, **named: Any) -> Any:
        raise ZeroDivisionError

    faked.answer({"code": -2027, "msg": "Exceeded."}, 400)
    monkeypatch.setattr(faked.client, "explain", fail)
    with pytest.raises(ChangeNotApplied, match="ZeroDivisionError in leverage_nb"):
        faked.change()
    assert faked.statuses == ["not_applied"]


@pytest.mark.parametrize(
    "words", ["by 2026-10-29 24:00 (UTC)", "by 2026-13-41 99:99 (UTC)", "by 9999-99-99 00:00 (UTC)"]
)
def test_an_impossible_time_in_a_refusal_does_not_hide_it(faked: FakedWire, words: str) -> None:
    """A refusal whose text names an impossible time is still reported as refused."""
    faked.answer({"code": -4300, "msg": f"You can start trading with more than 20x leverage {words}"}, 400)
    with pytest.raises(LeverageRefused) as caught:
        faked.change()
    assert caught.value.code == -4300


@pytest.mark.parametrize("fault", ["wrong_leverage", "wrong_symbol", "html", "empty", "half_a_json"])
def test_a_200_without_the_confirmation_is_confirmed_by_a_read(
    quick: Account, simulator: Simulator, fault: str
) -> None:
    """A change that was executed behind a 200 without the confirmation is applied, confirmed by a read."""
    simulator.inject(fault, executed=True)
    change = quick.set_leverage("BTCUSDT", 10)
    assert (change.status, change.confirmed_by) == ("applied", "symbolConfig")
    assert "a read of the setting: BTCUSDT is at 10x as of" in str(change)


def test_redirects_are_not_followed(quick: Account, simulator: Simulator) -> None:
    """A redirect is not followed, so that key and signature reach no other address."""
    simulator.inject("redirect", executed=False)
    assert isinstance(failure(quick), ChangeNotApplied)
    assert len(simulator.exchange.received) == 1


def test_an_attempt_that_cannot_be_sent_is_closed(quick: Account, simulator: Simulator) -> None:
    """If the exchange cannot be reached, the recorded attempt is closed as not sent."""
    before = quick.preview("BTCUSDT", 10)
    simulator.close()
    with pytest.raises(ChangeNotSent) as caught:
        before.apply()
    assert caught.value.change is not None
    [attempt] = attempts(quick)
    assert (caught.value.change.status, attempt.status, attempt.is_open) == ("not_sent", "not_sent", False)


def test_a_code_out_of_range_is_verified(quick: Account, simulator: Simulator) -> None:
    """An error code that does not fit 64 bits is not a definite answer, and the journal stores the attempt."""
    body = '{"code":-9223372036854775809,"msg":"x"}'
    edit_answers(
        simulator,
        lambda request, answer: replace(answer, status=400, body=body) if request.method == "POST" else answer,
    )
    assert quick.set_leverage("BTCUSDT", 10).confirmed_by == "symbolConfig"
