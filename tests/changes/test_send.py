"""One attempt: what is claimed of each answer, and what is not."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import responses
from leverage_nb.changes.attempt import ChangeRequest, change_leverage
from leverage_nb.changes.journal import MEMORY, Journal

from leverage_nb.change import LeverageChange
from leverage_nb.changes import attempt, settle
from leverage_nb.errors import (
    ChangeInterrupted,
    ChangeNotApplied,
    ChangeNotSent,
    LeverageError,
    LeverageRefused,
)
from leverage_nb.exchange.credentials import Credentials
from leverage_nb.exchange.rest import RestClient
from leverage_nb.exchange.venues import VENUES
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
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[RestClient]:
    """A testnet client whose setting reads 20x, and whose time passes quickly; the test adds the answer to the POST."""
    monkeypatch.setattr(settle, "GRACE_MS", 0)
    monkeypatch.setattr(attempt, "OVERLOAD_PAUSES", (0.0, 0.0, 0.0))
    with responses.RequestsMock(assert_all_requests_are_fired=False) as wire:
        wire.get(f"{BASE}/fapi/v1/symbolConfig", json=SETTING)
        wire.add_callback("GET", f"{BASE}/fapi/v1/time", lambda _: (200, {}, json.dumps({"serverTime": now_ms()})))
        client = RestClient(VENUES["testnet"], Credentials("k" * 64, "s" * 64), recv_window=20, timeout=0.5)
        client.wire = wire  # type: ignore[attr-defined]  # for the test's own use
        client.journal = Journal(MEMORY)  # type: ignore[attr-defined]  # as above
        yield client
        client.journal.close()  # type: ignore[attr-defined]  # as above


def now_ms() -> int:
    """The time as an exchange tells it."""
    return time.time_ns() // 1_000_000


def change(client: Any, leverage: int = 10, asset: str = "") -> LeverageChange:
    """Ask for a change of BTCUSDT."""
    return change_leverage(client, client.journal, ChangeRequest("BTCUSDT", leverage, asset))


def answer(client: Any, body: Any, status: int = 200) -> None:
    """Let the POST be answered so."""
    client.wire.post(
        f"{BASE}/fapi/v1/leverage", body=body if isinstance(body, (str, Exception)) else json.dumps(body), status=status
    )


def posts(client: Any) -> int:
    """How many POSTs left."""
    return sum(call.request.method == "POST" for call in client.wire.calls)


def test_applied_is_what_names_symbol_and_leverage(client: RestClient) -> None:
    """A 200 that names the symbol and leverage asked for is applied, with the max notional it tells."""
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
    """HTML, half a JSON, another symbol or leverage: the setting is looked up, and what is there is said."""
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
        (451, {"code": 0, "msg": "Restricted"}, None), (403, "<html>", None),
        (429, {"code": -1003, "msg": "Slow"}, -1003),
        (503, {"msg": "Service Unavailable."}, None), (200, {"code": -4028, "msg": "Leverage 10 is not valid"}, -4028),
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
        (400, {"code": -1007, "msg": "Timeout"}), (408, ""),
        (400, {"code": -4028, "msg": "Leverage 10 already exist with 10"}),
        (503, {"msg": "Unknown error, please check your request or try again later."}), (502, "<html>"),
        (307, ""), (302, {"code": -2027, "msg": "x"}), (400, {"code": -31337, "msg": "?"}), (400, "{}"),
    ],
)  # fmt: skip
def test_unknown_is_everything_else(client: RestClient, status: int, body: Any) -> None:
    """Any other answer leaves the outcome open until a look settles it, and nothing is sent again."""
    answer(client, body, status)
    with pytest.raises(ChangeNotApplied) as caught:
        change(client)
    assert caught.value.http_status == status
    assert posts(client) == 1


def test_a_lost_answer_is_unknown(client: RestClient) -> None:
    """A connection that breaks after the request may have left leaves the outcome open."""
    from leverage_nb.exchange.connection import departure

    def break_after_sending(request: Any) -> Any:
        departure.left = True  # what the connection notes when the first byte leaves
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
    seen = set()
    for target in [*range(1, 151, 7), 125, 1, 20]:
        before = books.leverage("BTCUSDT")
        refused: LeverageError | None = None
        try:
            made = change_leverage(client, journal, ChangeRequest("BTCUSDT", target))
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


def test_a_code_beside_a_success_is_no_success(client: RestClient) -> None:
    """An answer that names the change and a refusal at once contradicts itself: the refusal's code decides."""
    answer(client, {**APPLIED, "code": -2027, "msg": "x"})
    with pytest.raises(LeverageRefused):
        change(client)


def test_deeply_nested_answers_are_unknown(client: RestClient) -> None:
    """JSON nested beyond reading is no answer, and no error of another kind."""
    answer(client, '{"x":' + "[" * 3000, 400)
    with pytest.raises(ChangeNotApplied):
        change(client)


def test_an_interrupt_says_what_is_not_known(client: Any) -> None:
    """Ctrl-C during a change stops the cell, and says that the change may have been made."""

    def interrupt(request: Any) -> Any:
        raise KeyboardInterrupt

    client.wire.add_callback("POST", f"{BASE}/fapi/v1/leverage", interrupt)
    with pytest.raises(ChangeInterrupted, match="may or may not be at 10x") as caught:
        change(client)
    assert (caught.value.change.status, caught.value.change.before) == ("unknown", 20)
    assert isinstance(caught.value, KeyboardInterrupt)
    assert "%leverage --history" in caught.value._render_traceback_()[1]
    [held] = client.journal.attempts(BASE, client.account)
    assert held.is_open
