"""One attempt: what is claimed of each answer, and what is not."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import requests
import responses

from leverage_nb.binance.client import RestClient
from leverage_nb.binance.connection import get_departure
from leverage_nb.binance.credentials import Credentials
from leverage_nb.binance.http import SentTooLate
from leverage_nb.binance.reader import read_setting
from leverage_nb.binance.venues import VENUES
from leverage_nb.change import LeverageChange
from leverage_nb.changes.fresh_read import FRESH_FOR, is_fresh
from leverage_nb.changes.request import ChangeRequest
from leverage_nb.changes.send import Sender
from leverage_nb.errors import (
    ChangeNotApplied,
    ChangeNotSent,
    LeverageError,
    LeverageRefused,
    OutcomeUnknown,
)
from leverage_nb.journal.database import MEMORY
from leverage_nb.journal.journal import Journal
from leverage_nb.risk.account_state import LeverageSetting
from leverage_nb.simulator import Simulator

BASE = "https://demo-fapi.binance.com"
SETTING = [
    {
        "symbol": "BTCUSDT",
        "marginType": "CROSSED",
        "isAutoAddMargin": False,
        "leverage": 20,
        "maxNotionalValue": "100000000",
    }
]
APPLIED = {"leverage": 10, "maxNotionalValue": "230000000", "symbol": "BTCUSDT"}


@pytest.fixture
def client() -> Iterator[RestClient]:
    """A testnet client whose setting reads 20x, and whose time passes quickly; the test adds the answer to the POST."""
    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        wire.get(f"{BASE}/fapi/v1/symbolConfig", json=SETTING)
        wire.add_callback("GET", f"{BASE}/fapi/v1/time", lambda _: (200, {}, json.dumps({"serverTime": now_ms()})))
        client = RestClient(VENUES["testnet"], Credentials("k" * 64, "s" * 64), recv_window=20, timeout=0.5, grace=0.0)
        client.wire = wire  # type: ignore[attr-defined]  # for the test's own use
        client.journal = Journal(MEMORY)  # type: ignore[attr-defined]  # as above
        yield client
        client.journal.close()  # type: ignore[attr-defined]  # as above


def now_ms() -> int:
    """The time as an exchange tells it."""
    return time.time_ns() // 1_000_000


def change(client: Any, leverage: int = 10, asset: str = "", setting: LeverageSetting | None = None) -> LeverageChange:
    """Request a change of BTCUSDT."""
    before = setting.leverage if setting is not None else None
    return Sender(client, client.journal, ChangeRequest("BTCUSDT", leverage, asset, before, setting)).run()


def answer(client: Any, body: Any, status: int = 200) -> None:
    """Let the POST be answered so."""
    client.wire.post(
        f"{BASE}/fapi/v1/leverage", body=body if isinstance(body, (str, Exception)) else json.dumps(body), status=status
    )


def posts(client: Any) -> int:
    """How many POSTs left."""
    return sum(call.request.method == "POST" for call in client.wire.calls)


def test_applied_is_what_names_symbol_and_leverage(client: RestClient) -> None:
    """A 200 that names the requested symbol and leverage is applied, with the max notional in it."""
    answer(client, APPLIED)
    made = change(client, asset="USDT")
    assert (made.status, made.before, made.after, made.requested) == ("applied", 20, 10, 10)
    assert (made.max_notional, made.confirmed_by) == (230_000_000, "answer")
    assert made.sent_at is not None
    assert posts(client) == 1


@pytest.mark.parametrize(
    "body",
    [
        {**APPLIED, "leverage": "10"}, {**APPLIED, "maxNotionalValue": 2.3e8}, {**APPLIED, "x": []},
        {"leverage": 10, "symbol": "BTCUSDT"},
    ],
)  # fmt: skip
def test_harmless_changes_of_the_answer_are_still_applied(client: RestClient, body: Any) -> None:
    """A number as a string, a field more or a missing max notional do not hide a success."""
    answer(client, body)
    assert change(client).status == "applied"


def test_unchanged_sends_nothing(client: RestClient) -> None:
    """What is there already is not sent again."""
    made = change(client, 20)
    assert (made.status, made.before, made.after, made.sent_at) == ("unchanged", 20, 20, None)
    assert posts(client) == 0


@pytest.mark.parametrize(
    "body",
    [
        {**APPLIED, "leverage": 20}, {**APPLIED, "symbol": "ETHUSDT"}, {}, [], "null", '"ok"', "", "<html>OK</html>",
        '{"leverage": 10, "symb', {"code": 200, "msg": "success"}, {**APPLIED, "leverage": 10.5}, [APPLIED],
        {**APPLIED, "leverage": None}, {"leverage": 10},
    ],
)  # fmt: skip
def test_a_200_that_is_not_exactly_that_is_never_a_success(client: RestClient, body: Any) -> None:
    """HTML, half a JSON, another symbol or leverage: the setting is read, and what is there is said."""
    answer(client, body)
    with pytest.raises(ChangeNotApplied, match="It is at 20x as of") as caught:
        change(client)
    made = caught.value.change
    assert made is not None
    assert (made.status, made.before, made.after, made.confirmed_by) == ("not_applied", 20, 20, "symbolConfig")
    assert posts(client) == 1


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, {"code": -2027, "msg": "Exceeded."}, -2027), (400, {"code": -4300, "msg": "You can start"}, -4300),
        (401, {"code": -2015, "msg": "Invalid API-key"}, -2015), (429, {"code": -1003, "msg": "Slow"}, -1003),
        (503, {"msg": "Service Unavailable."}, None),
    ],
)  # fmt: skip
def test_refused_is_what_is_certain(client: RestClient, status: int, body: Any, code: int | None) -> None:
    """A definite refusal raises LeverageRefused with code, status, words and advice."""
    answer(client, body, status)
    with pytest.raises(LeverageRefused) as caught:
        change(client)
    assert (caught.value.code, caught.value.http_status) == (code, status)
    assert caught.value.hint
    assert caught.value.change is not None
    assert (caught.value.change.status, caught.value.change.after) == ("refused", None)
    assert posts(client) == (4 if status == 503 else 1)  # an overload passes: a new attempt follows


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
def test_unknown_is_everything_else(client: RestClient, status: int, body: Any) -> None:
    """A status alone, a 5xx or a 200 with a code may come after execution: a read decides, and nothing is resent."""
    answer(client, body, status)
    with pytest.raises(ChangeNotApplied) as caught:
        change(client)
    assert caught.value.http_status == status
    assert posts(client) == 1


@pytest.mark.parametrize(("status", "body"), [(418, ""), (429, "<html>")])
def test_a_rate_limit_without_words_is_verified_when_it_is_over(client: Any, status: int, body: str) -> None:
    """A ban without Binance's own words says nothing of the change, and nothing can be read before it is over."""
    answer(client, body, status)
    with pytest.raises(OutcomeUnknown):
        change(client)
    [attempt] = client.journal.attempts(client.identity)
    assert attempt.is_open
    assert posts(client) == 1


def test_a_lost_answer_is_unknown(client: RestClient) -> None:
    """A connection that breaks after the request may have left leaves the outcome open."""

    def break_after_sending(request: Any) -> Any:
        get_departure().leave()  # as the connection does with the first byte
        raise requests.ConnectionError("reset")

    client.wire.add_callback("POST", f"{BASE}/fapi/v1/leverage", break_after_sending)  # type: ignore[attr-defined]
    with pytest.raises(ChangeNotApplied) as caught:
        change(client)
    assert caught.value.change is not None
    assert caught.value.change.sent_at is not None


def test_what_never_left_is_not_sent(client: RestClient) -> None:
    """A connection refused before anything left is not sent, for certain."""
    answer(client, requests.ConnectionError("refused"))
    with pytest.raises(ChangeNotSent) as caught:
        change(client)
    assert caught.value.change is not None
    assert (caught.value.change.status, caught.value.change.before) == ("not_sent", 20)
    assert caught.value.change.sent_at is None


def test_without_the_setting_nothing_is_sent(client: Any) -> None:
    """When the setting before cannot be read, the change is not sent, and the reason is kept."""
    client.wire.replace(
        "GET", f"{BASE}/fapi/v1/symbolConfig", json={"code": -2015, "msg": "Invalid API-key"}, status=401
    )
    with pytest.raises(ChangeNotSent) as caught:
        change(client)
    assert (caught.value.code, caught.value.http_status) == (-2015, 401)
    assert "list" in caught.value.hint
    assert caught.value.__context__ is None
    assert posts(client) == 0


def test_against_the_simulator_reports_and_books_agree(simulator: Simulator) -> None:
    """For every leverage of a symbol, what is reported is what the simulator's books say."""
    venue = VENUES["simulator"].at(simulator.rest_url)
    client, journal = RestClient(venue, Credentials(simulator.api_key, simulator.api_secret)), Journal(MEMORY)
    books = simulator.exchange.account
    seen: set[object] = set()
    for target in [*range(1, 151, 7), 125, 1, 20]:
        before = books.leverage("BTCUSDT")
        refused: LeverageError | None = None
        try:
            made = Sender(client, journal, ChangeRequest("BTCUSDT", target)).run()
        except LeverageRefused as error:
            refused = error
        if refused is None:
            assert books.leverage("BTCUSDT") == made.after == target
            assert made.before == before
            seen.add(made.status)
        else:
            assert refused.change is not None
            assert refused.change.status == "refused"
            assert books.leverage("BTCUSDT") == before
            seen.add(refused.code)
    assert seen == {"applied", -2027, -2028}
    client.close()
    journal.close()


@pytest.mark.parametrize("beside", [{"code": -2027, "msg": "x"}, {"code": -4161}, {"code": "-4161"}])
def test_a_code_beside_a_success_is_no_success(client: RestClient, beside: dict[str, Any]) -> None:
    """An answer that names the change and a negative code at once contradicts itself: a read decides."""
    answer(client, {**APPLIED, **beside})
    with pytest.raises(ChangeNotApplied):
        change(client)
    assert posts(client) == 1


def test_deeply_nested_answers_are_unknown(client: RestClient) -> None:
    """JSON nested beyond reading is no answer, and no error of another kind."""
    answer(client, '{"x":' + "[" * 3000, 400)
    with pytest.raises(ChangeNotApplied):
        change(client)


# -- what is sent is what was confirmed ----------------------------------------------------------------------------


def test_a_fresh_read_is_sent_on_without_another(client: Any) -> None:
    """A change that was confirmed on a read of less than a second ago leaves at once."""
    setting = read_setting(client, "BTCUSDT")
    assert is_fresh(setting)
    answer(client, APPLIED)
    assert change(client, setting=setting).before == 20
    assert [call.request.method for call in client.wire.calls] == ["GET", "POST"]


def test_an_older_read_is_repeated(client: Any) -> None:
    """A read that is more than a second old sends nothing by itself; another one that shows the same does."""
    setting = replace(read_setting(client, "BTCUSDT"), read_at=time.monotonic() - FRESH_FOR - 0.001)
    assert not is_fresh(setting)
    answer(client, APPLIED)
    assert change(client, setting=setting).status == "applied"
    assert [call.request.method for call in client.wire.calls] == ["GET", "GET", "POST"]


def test_another_leverage_than_the_confirmed_one_sends_nothing(client: Any) -> None:
    """Where the read shows another leverage, nothing is sent, and the user reads what it is now."""
    old = replace(read_setting(client, "BTCUSDT"), leverage=15, read_at=0.0)
    with pytest.raises(ChangeNotSent, match="confirmed from 15x, and BTCUSDT is at 20x now") as caught:
        change(client, setting=old)
    assert caught.value.change is not None
    assert (caught.value.change.status, caught.value.change.before) == ("not_sent", 20)
    assert posts(client) == 0
    assert client.journal.attempts(client.identity) == []


def test_what_was_previewed_as_unchanged_sends_nothing(client: Any) -> None:
    """A change that was confirmed as unchanged sends nothing, though the leverage is another one by now."""
    old = replace(read_setting(client, "BTCUSDT"), leverage=10, read_at=0.0)
    with pytest.raises(ChangeNotSent, match="confirmed from 10x, and BTCUSDT is at 20x now"):
        change(client, leverage=10, setting=old)
    assert posts(client) == 0


def test_the_confirmed_change_is_unchanged_only_where_it_is_confirmed_as_such(client: Any) -> None:
    """A change from 15x to 20x that somebody else has made meanwhile is not reported as ours."""
    old = replace(read_setting(client, "BTCUSDT"), leverage=15, read_at=0.0)
    with pytest.raises(ChangeNotSent, match="BTCUSDT is at 20x now"):
        change(client, leverage=20, setting=old)
    assert posts(client) == 0


def test_a_request_that_could_not_leave_in_time_starts_from_a_new_read(client: Any) -> None:
    """When the read has grown old before anything left, the setting is read again; the same leverage is sent."""
    slow = iter((1.2, 0.0))

    def begin_slowly(drafts: Any, stamp: Any) -> Any:
        time.sleep(next(slow))  # a disk, or another process's access
        return Journal.begin(client.journal, drafts, stamp)

    client.journal.begin = begin_slowly
    sent = client.post
    client.post = lambda path, parameters, stamp, expires: _post_in_time(sent, path, parameters, stamp, expires)
    answer(client, APPLIED)
    assert change(client).status == "applied"
    assert [attempt.status for attempt in client.journal.attempts(client.identity)] == ["not_sent", "applied"]
    assert posts(client) == 1


def _post_in_time(sent: Any, path: Any, parameters: Any, stamp: Any, expires: Any) -> Any:
    """What the connection does with the first byte, which the faked wire has none of."""

    def checked() -> Any:
        if time.monotonic() > expires():
            raise SentTooLate("The request could not leave in time.")
        return expires()

    return sent(path, parameters, stamp, checked)


def test_a_slip_of_ours_after_sending_hides_nothing(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever raises in our own code after the request has left, the report comes from a read and the journal."""

    def slip(*arguments: Any, **named: Any) -> Any:
        raise ZeroDivisionError

    answer(client, {"code": -2027, "msg": "Exceeded."}, 400)
    monkeypatch.setattr(client, "explain", slip)
    with pytest.raises(ChangeNotApplied, match="ZeroDivisionError in leverage_nb"):
        change(client)
    assert [attempt.status for attempt in client.journal.attempts(client.identity)] == ["not_applied"]


@pytest.mark.parametrize(
    "words", ["by 2026-10-29 24:00 (UTC)", "by 2026-13-41 99:99 (UTC)", "by 9999-99-99 00:00 (UTC)"]
)
def test_a_time_that_cannot_be_hides_no_refusal(client: RestClient, words: str) -> None:
    """A refusal whose text names an impossible time is told as the refusal that it is."""
    answer(client, {"code": -4300, "msg": f"You can start trading with more than 20x leverage {words}"}, 400)
    with pytest.raises(LeverageRefused) as caught:
        change(client)
    assert caught.value.code == -4300


@pytest.mark.parametrize("code", [-1021, -1008])
def test_a_passing_refusal_is_followed_only_from_the_same_leverage(client: Any, code: int) -> None:
    """After a definite refusal that passes, another leverage than before ends the change as refused, and names it."""
    answer(client, {"code": code, "msg": "Passing."}, 400)
    others = [{**SETTING[0], "leverage": leverage} for leverage in (20, 15)]
    client.wire.remove("GET", f"{BASE}/fapi/v1/symbolConfig")
    for other in others:
        client.wire.get(f"{BASE}/fapi/v1/symbolConfig", json=[other])
    with pytest.raises(LeverageRefused, match="No further attempt was made") as caught:
        change(client)
    assert "BTCUSDT is at 15x now" in caught.value.message
    assert posts(client) == 1


def test_a_passing_refusal_is_followed_by_an_attempt_of_its_own(client: Any) -> None:
    """Each attempt is recorded, and begins with a read that shows the leverage before."""
    answer(client, {"code": -1008, "msg": "Throttled."}, 400)
    answer(client, APPLIED)
    assert change(client).status == "applied"
    methods = [call.request.method for call in client.wire.calls]
    assert methods == ["GET", "POST", "GET", "POST"]
    assert [attempt.status for attempt in client.journal.attempts(client.identity)] == ["refused", "applied"]
