"""A change is refused only by the exchange's own error; after any other answer the setting is read."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from leverage_nb import Account, LeverageRefused
from leverage_nb.account import service_of
from tests.foreign.conftest import outcome
from tests.foreign.exchange import CHANGE, ForeignExchange
from tests.foreign.wire import Reply

# Answers of a proxy or gateway, or of an exchange with an internal error.
INDEFINITE: dict[str, Reply] = {
    "401 HTML": Reply.html(401),
    "403 HTML": Reply.html(403),
    "451 HTML": Reply.html(451),
    "500 -1001": Reply.error(500, -1001, "Internal error; unable to process your request. Please try again."),
    "504 -1001": Reply.error(504, -1001, "Internal error; unable to process your request. Please try again."),
    "502 -1008": Reply.error(502, -1008, "Request throttled by system-level protection."),
    "500 -1016": Reply.error(500, -1016, "This service is no longer available."),
    "200 -1001": Reply.error(200, -1001, "Internal error; unable to process your request. Please try again."),
    "403 JSON without a code": Reply.of({"message": "Forbidden"}, 403),
    "503 with another text": Reply.of({"msg": "Unknown error, please check your request or try again later."}, 503),
}

# Answers after which nothing may be sent for a while, not even a read.
HALTING: dict[str, Reply] = {"418 without a body": Reply(418), "429 HTML": Reply.html(429, "Retry-After: 60")}


@pytest.mark.parametrize("answer", INDEFINITE)
def test_a_change_executed_behind_an_error_is_applied(
    exchange: ForeignExchange, connect: Callable[..., Account], answer: str
) -> None:
    """A change that was executed behind an error is applied, and was sent once."""
    account = connect(grace=0.1)
    exchange.play(CHANGE, answer=INDEFINITE[answer], times=None)
    change = outcome(lambda: account.set_leverage("BTCUSDT", 12))
    assert (change.status, change.after, change.confirmed_by) == ("applied", 12, "symbolConfig")
    assert exchange.changes_sent() == [("BTCUSDT", 12)]
    assert account.history()["status"].tolist() == ["applied"]


@pytest.mark.parametrize("answer", ["401 HTML", "500 -1016", "200 -1001"])
def test_a_change_not_executed_behind_an_error_is_not_applied(
    exchange: ForeignExchange, connect: Callable[..., Account], answer: str
) -> None:
    """A change that was not executed behind the same errors is not applied, by a read after the deadline."""
    account = connect(recv_window=1500, grace=0.1)
    exchange.play(CHANGE, execute=False, answer=INDEFINITE[answer], times=None)
    change = outcome(lambda: account.set_leverage("BTCUSDT", 12))
    assert (change.status, change.after, change.confirmed_by) == ("not_applied", 10, "symbolConfig")
    assert exchange.changes_sent() == [("BTCUSDT", 12)]


@pytest.mark.parametrize("answer", HALTING)
def test_a_change_executed_behind_a_rate_limit_is_not_refused(
    exchange: ForeignExchange, connect: Callable[..., Account], answer: str
) -> None:
    """A change that was executed behind a 418 or 429 of a proxy is never reported as refused."""
    account = connect(timeout=3.0, recv_window=1500)
    exchange.play(CHANGE, answer=HALTING[answer], times=None)
    change = outcome(lambda: account.set_leverage("BTCUSDT", 12))
    assert change.status in {"applied", "unknown"}
    assert account.history()["status"].tolist() == [change.status]
    assert len(exchange.changes_sent()) == 1
    if change.status == "unknown":
        assert [open_change.symbol for open_change in service_of(account).past.open()] == ["BTCUSDT"]


def test_a_change_executed_behind_an_overload_is_not_sent_again(
    exchange: ForeignExchange, connect: Callable[..., Account]
) -> None:
    """An overload is followed by a read: a change that was executed all the same is not sent again."""
    account = connect(grace=0.1)
    exchange.play(CHANGE, answer=Reply.error(503, -1008, "Server is currently overloaded."), times=None)
    shown = ""
    try:
        assert account.set_leverage("BTCUSDT", 12).status == "applied"
    except LeverageRefused as refused:
        shown = str(refused)
    assert not shown or "12x" in shown  # the current leverage
    assert exchange.changes_sent() == [("BTCUSDT", 12)]


@pytest.mark.parametrize(
    "answer",
    [
        Reply.error(400, -2027, "Exceeded the maximum allowable position at current leverage."),
        Reply.error(400, -4028, "Leverage 12 is not valid"),
        Reply.error(401, -2015, "Invalid API-key, IP, or permissions for action."),
    ],
    ids=["-2027", "-4028", "-2015"],
)
def test_the_exchanges_own_error_is_a_refusal(
    exchange: ForeignExchange, connect: Callable[..., Account], answer: Reply
) -> None:
    """The exchange's own error with a 4xx status is a refusal."""
    account = connect(grace=0.1)
    exchange.play(CHANGE, execute=False, answer=answer)
    change = outcome(lambda: account.set_leverage("BTCUSDT", 12))
    assert change.status == "refused"
    assert account.history()["status"].tolist() == ["refused"]


@pytest.mark.parametrize("answer", ["403 HTML", "500 -1001", "502 -1008"])
def test_rows_executed_behind_an_error_are_applied(
    exchange: ForeignExchange, connect: Callable[..., Account], answer: str
) -> None:
    """Rows of a plan that were executed behind an error are applied, and were sent once."""
    account = connect(grace=0.1)
    exchange.play(CHANGE, answer=INDEFINITE[answer], times=None)
    plan = account.plan({"BTCUSDT": 12, "ETHUSDT": 12}).apply()
    assert [row.status for row in plan.rows] == ["applied", "applied"]
    assert sorted(exchange.changes_sent()) == [("BTCUSDT", 12), ("ETHUSDT", 12)]
