"""A change is reported as not sent only if nothing left: a later error does not change that."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from leverage_nb import Account
from tests.foreign.conftest import outcome
from tests.foreign.exchange import CHANGE, ForeignExchange
from tests.foreign.wire import Reply

DATES = ("2026-10-29 24:00", "2026-13-01 10:00", "2026-02-30 10:00", "0000-01-01 00:00", "9999-12-31 23:59")


def limited(status: int, date: str) -> Reply:
    """Return a refusal whose text names a date."""
    text = f"Your account is limited to 20x leverage. You can increase it by {date} (UTC)."
    return Reply.error(status, -4300, text)


@pytest.mark.parametrize("date", DATES)
def test_a_refusal_with_an_impossible_date(
    exchange: ForeignExchange, connect: Callable[..., Account], date: str
) -> None:
    """A refusal with an impossible date is refused, for a change and for a row of a plan."""
    account = connect(grace=0.1)
    exchange.play(CHANGE, execute=False, answer=limited(400, date), times=None)
    assert outcome(lambda: account.set_leverage("BTCUSDT", 30)).status == "refused"
    plan = account.plan({"ETHUSDT": 30}).apply(force=True)  # a refusal is expected now
    assert [row.status for row in plan.rows] == ["refused"]
    assert account.history()["status"].tolist() == ["refused", "refused"]


@pytest.mark.parametrize("status", [200, 500])
def test_an_executed_change_with_an_impossible_date(
    exchange: ForeignExchange, connect: Callable[..., Account], status: int
) -> None:
    """A change that was executed is applied, although its answer has an impossible date."""
    account = connect(grace=0.1)
    exchange.play(CHANGE, answer=limited(status, DATES[0]), times=None)
    assert outcome(lambda: account.set_leverage("BTCUSDT", 30)).status == "applied"
    assert [row.status for row in account.plan({"ETHUSDT": 30}).apply().rows] == ["applied"]
    assert account.history()["status"].tolist() == ["applied", "applied"]


ODD_ANSWERS: dict[str, Reply] = {
    "150 headers": Reply.of({}, 200, *(f"X-Header-{number}: 1" for number in range(150))),
    "numbers that are none": Reply.error(500, -1, "", "X-MBX-USED-WEIGHT-1M: 1e9", "Retry-After: -1"),
    "broken chunks": Reply(200, (b"zz\r\n",), ("Transfer-Encoding: chunked",), ending="close"),
    "a code of 5,000 digits": Reply(400, (b'{"code":-' + b"9" * 5000 + b',"msg":"m"}',)),
}


@pytest.mark.parametrize("answer", ODD_ANSWERS)
def test_an_executed_change_with_a_malformed_answer(
    exchange: ForeignExchange, connect: Callable[..., Account], answer: str
) -> None:
    """A change that was executed is applied, whatever its answer contains."""
    account = connect(grace=0.1)
    exchange.play(CHANGE, answer=ODD_ANSWERS[answer], times=None)
    assert outcome(lambda: account.set_leverage("BTCUSDT", 12)).status == "applied"
    assert [row.status for row in account.plan({"ETHUSDT": 12}).apply().rows] == ["applied"]
    assert account.history()["status"].tolist() == ["applied", "applied"]
