"""The service previews, makes and settles the changes of one account, and notifies its listeners."""

from __future__ import annotations

import pickle
import threading
import time
import warnings
from dataclasses import replace
from typing import Any

import pytest

from leverage_nb.account import Account, service_of
from leverage_nb.binance.credentials import KeyWarning
from leverage_nb.binance.venues import VENUES
from leverage_nb.change import Change
from leverage_nb.changes.service import ChangeService
from leverage_nb.errors import (
    ChangeInterrupted,
    ChangeNotSent,
    InvalidInput,
    JournalUnusable,
    OutcomeUnknown,
)
from leverage_nb.journal.journal import Journal
from leverage_nb.session import connect
from leverage_nb.simulator import Simulator
from tests.arrivals import before_answer, on_arrival
from tests.binance.wire import response, serving
from tests.changes.drafts import begin
from tests.changes.quick import connect_quick
from tests.conftest import connect_to
from tests.interrupting import interrupt, interrupt_on, interruptible
from tests.patience import giving_up_soon


def leverage(account: Account, symbol: str = "BTCUSDT") -> int:
    """Where a symbol is now."""
    return account.setting(symbol).leverage


def interrupted(account: Account) -> ChangeInterrupted:
    """Return the error that ends an interrupted change of BTCUSDT to 10x."""
    with interruptible(), pytest.raises(ChangeInterrupted) as caught:
        account.set_leverage("BTCUSDT", 10)
    assert isinstance(caught.value, KeyboardInterrupt)
    assert caught.value.change.account == account.label
    return caught.value


def test_ctrl_c_before_sending_sends_nothing(quick: Account, simulator: Simulator) -> None:
    """Ctrl-C during the read before a change reports that nothing was sent, and nothing is sent after it."""
    simulator.inject("late_answer", on="GET /fapi/v1/symbolConfig", seconds=0.2)
    interrupt_on(simulator, "GET", "/fapi/v1/symbolConfig")
    error = interrupted(quick)
    assert (error.change.status, "Nothing was sent" in error.message) == ("not_sent", True)
    assert quick.set_leverage("XRPUSDT", 10).status == "applied"
    assert [symbol for symbol, _ in simulator.exchange.received] == ["XRPUSDT"]


def test_ctrl_c_after_sending_is_unknown_and_settled_later(quick: Account, simulator: Simulator) -> None:
    """Ctrl-C after the request has left reports that the change may have been made; it is settled later."""
    simulator.inject("stall", executed=True)
    interrupt_on(simulator, "POST", "/fapi/v1/leverage")
    with giving_up_soon(quick):  # the abandoned request ends before the simulator does
        error = interrupted(quick)
    assert "may or may not be at 10x" in error.message
    assert (error.change.status, error.change.before) == ("unknown", 20)
    assert "%leverage --history" in error._render_traceback_()[1]
    assert [change.status for change in service_of(quick).past.open()] == ["unknown"]
    [change] = quick.settle()
    assert (change.status, change.after) == ("applied", 10)
    assert quick.set_leverage("BTCUSDT", 30).status == "applied"


def test_ctrl_c_waits_a_moment_for_the_answer(quick: Account, simulator: Simulator) -> None:
    """An answer that arrives within a moment of Ctrl-C is recorded and reported."""
    interrupt_on(simulator, "POST", "/fapi/v1/leverage")
    error = interrupted(quick)
    assert (error.change.status, error.change.after) == ("applied", 10)
    assert error.message == "Interrupted. BTCUSDT 20x → 10x applied."
    assert pickle.loads(pickle.dumps(error)).change == error.change  # noqa: S301 - our own bytes


def test_ctrl_c_after_a_passing_refusal_makes_no_further_attempt(quick: Account, simulator: Simulator) -> None:
    """Ctrl-C after a passing refusal reports refused, and no further attempt is made."""
    simulator.inject("unavailable_503", times=None)
    on_arrival(simulator, lambda request: interrupt() if request.path == "/fapi/v1/leverage" else None)
    error = interrupted(quick)
    assert (error.change.status, error.change.number) == ("refused", 1)
    simulator.clear_faults()
    assert quick.history()["status"].tolist() == ["refused"]
    assert len(simulator.exchange.received) == 1


def test_ctrl_c_while_verifying_leaves_the_attempt_open(quick: Account, simulator: Simulator) -> None:
    """Ctrl-C while the outcome is verified reports unknown, and the attempt is settled later."""
    preview = quick.preview("BTCUSDT", 10)
    simulator.inject("reset_before")
    interrupt_on(simulator, "GET", "/fapi/v1/symbolConfig")
    with interruptible(), pytest.raises(ChangeInterrupted) as caught:
        preview.apply()
    assert caught.value.change.status == "unknown"
    assert caught.value.change.effects == preview.rows()
    assert [change.status for change in quick.settle()] == ["not_applied"]
    assert quick.set_leverage("BTCUSDT", 30).status == "applied"


def test_ctrl_c_never_reports_another_programs_change(quick: Account, simulator: Simulator) -> None:
    """Ctrl-C during the wait for another program's attempt does not report that attempt as this change."""
    begin(quick, "BTCUSDT", 20, 33)
    interrupt_on(simulator, "GET", "/fapi/v1/time")
    error = interrupted(quick)
    assert (error.change.status, error.change.requested, error.change.number) == ("not_sent", 10, None)
    assert simulator.exchange.received == []


@pytest.mark.parametrize(
    ("symbol", "notional", "words"),
    [
        ("BTCUSDT", "5b", "No leverage of BTCUSDT allows a notional of 5,000,000,000"),
        ("BTCUSDT", "much", "not a notional"), ("BTCUSDT", float("nan"), "not a notional"),
    ],
)  # fmt: skip
def test_highest_leverage_refuses_an_impossible_notional(
    account: Account, symbol: str, notional: Any, words: str
) -> None:
    """A notional that no leverage allows, or that is not a notional, is an error that says so."""
    with pytest.raises(InvalidInput, match=words):
        account.highest_leverage(symbol, notional)


def test_highest_leverage_names_the_rule_that_leaves_none(simulator: Simulator) -> None:
    """The error names the rule that leaves no leverage, as for an isolated position above the guard."""
    books = simulator.exchange.account
    books.set_leverage("ETHUSDT", 50)
    guarded = connect_to(simulator, max_leverage=20)
    with pytest.raises(InvalidInput, match=r"ETHUSDT 20x would be refused: an isolated position is open.*\(-4161\)"):
        guarded.highest_leverage("ETHUSDT")
    books.multi_assets = True
    books.set_leverage("BTCUSDT", 100)
    with connect_to(simulator) as account:
        assert account.highest_leverage("BTCUSDT", "50m") == 25


def test_a_change_through_another_account_object_stops_a_preview(account: Account, simulator: Simulator) -> None:
    """A change through another object of the same account stops a fresh preview."""
    preview = account.preview("BTCUSDT", 10)
    with connect_quick(simulator) as other:
        other.set_leverage("BTCUSDT", 25)
    with pytest.raises(ChangeNotSent, match=r"BTCUSDT is at 25x now|Now: BTCUSDT 25x"):
        preview.apply()
    assert account.setting("BTCUSDT").leverage == 25


def connect_beside(simulator: Simulator, wallet_url: str, monkeypatch: pytest.MonkeyPatch) -> Account:
    """Open a mainnet account at a simulator, with a wallet API at another address."""
    mainnet = replace(VENUES["mainnet"].at(simulator.rest_url), wallet_url=wallet_url)
    monkeypatch.setitem(VENUES, "mainnet", mainnet)
    return connect("mainnet", api_key=simulator.api_key, api_secret=simulator.api_secret, journal=":memory:")


@pytest.mark.parametrize("as_plan", [False, True])
def test_a_powerful_key_is_named_once(simulator: Simulator, monkeypatch: pytest.MonkeyPatch, as_plan: bool) -> None:
    """The first change of a session, or the first plan, warns of what the key may do, and is made all the same."""
    with serving(response(b'{"ipRestrict":false,"enableWithdrawals":true}')) as wire:
        account = connect_beside(simulator, wire.url, monkeypatch)
        change = account.plan({"BTCUSDT": 10}).apply if as_plan else account.preview("BTCUSDT", 10).apply
        with pytest.warns(KeyWarning) as caught:
            change()
        assert ["withdraw" in str(warning.message) for warning in caught] == [True, False]
        assert leverage(account) == 10
        account.set_leverage("BTCUSDT", 11)
        assert len(wire.received) == 1


def test_the_key_is_examined_after_the_change(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wallet address that does not answer delays no change: it is asked once the change has been executed."""
    asked_at: list[int] = []

    def note(client: object) -> list[str]:
        asked_at.append(simulator.exchange.account.leverages.get("BTCUSDT", 0))
        return []

    monkeypatch.setattr("leverage_nb.changes.service.find_risks", note)
    connect_to(simulator).set_leverage("BTCUSDT", 10)
    assert asked_at == [10]


def test_a_warning_never_stops_a_change(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change is made although a filter turns warnings into errors, and after at most 2 s of waiting."""
    with serving(response(b'{"ipRestrict":false}')) as wire, warnings.catch_warnings():
        warnings.simplefilter("error")
        assert connect_beside(simulator, wire.url, monkeypatch).set_leverage("BTCUSDT", 10).status == "applied"
    with serving(response(b"{}"), pause=5) as wire:
        account = connect_beside(simulator, wire.url, monkeypatch)
        started = time.monotonic()
        assert account.set_leverage("BTCUSDT", 11).status == "applied"
        assert time.monotonic() - started < 4


@pytest.mark.parametrize("broken", ["find_risks", "note_end"])
def test_an_error_of_this_package_after_a_change_does_not_hide_its_outcome(
    account: Account, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """If our own code fails after the answer, the change is reported as the journal has it."""

    def fail(*arguments: Any) -> Any:
        raise ZeroDivisionError

    if broken == "find_risks":
        monkeypatch.setattr("leverage_nb.changes.service.find_risks", fail)
    else:
        monkeypatch.setattr(ChangeService, "note_end", fail)
    assert account.set_leverage("BTCUSDT", 10).status == "applied"
    assert len(simulator.exchange.received) == 1


@pytest.mark.parametrize("call", ["set_leverage", "preview", "highest_leverage"])
def test_a_key_in_place_of_a_symbol_is_never_sent(simulator: Simulator, call: str) -> None:
    """A key or secret that was typed instead of a symbol is an error that does not repeat it, and is not sent."""
    secret = "a1b2c3d4" * 8
    account = connect_to(simulator)
    requests: list[str] = []
    before_answer(simulator, lambda request: requests.append(f"{request.path}?{request.query}"))
    arguments: dict[str, dict[str, Any]] = {
        "set_leverage": {"leverage": 10},
        "preview": {"leverage": 10},
        "highest_leverage": {"notional": 1000, "stop": 1},
    }
    with pytest.raises(InvalidInput) as caught:
        getattr(account, call)(secret, **arguments[call])
    assert secret not in str(caught.value).lower()
    assert any("symbolConfig" in request or "leverageBracket" in request for request in requests)
    assert secret.upper() not in repr(requests).upper()


def test_a_symbol_of_another_type_is_an_input_error(account: Account) -> None:
    """None instead of a symbol is InvalidInput, also in the first request of an account."""
    for change in (lambda: account.set_leverage(None, 10), lambda: account.preview(None, 10)):  # type: ignore[arg-type]
        with pytest.raises(InvalidInput, match="A symbol is text"):
            change()


def test_a_failed_first_read_does_not_repeat_a_key(simulator: Simulator) -> None:
    """If nothing can be read, the error and the record of the change do not contain a key typed as the symbol."""
    secret = "a1b2c3d4" * 8
    account = connect_to(simulator)
    simulator.close()
    for change in (lambda: account.set_leverage(secret, 10), lambda: account.set_margin_type(secret, "cross")):
        with pytest.raises(ChangeNotSent) as caught:
            change()
        assert secret not in f"{caught.value} {caught.value.change!r}".lower()


def test_a_listener_that_another_thread_adds_is_kept(account: Account) -> None:
    """No listener is lost that is added while another thread notifies."""

    class Listener:
        """Counts its calls."""

        calls = 0

        def call(self, change: Change) -> None:
            """Count a call."""
            self.calls += 1

    service, change, listeners = service_of(account), account.set_leverage("BTCUSDT", 10), []
    ended = threading.Event()

    def notify() -> None:
        while not ended.is_set():
            service.notify(change)

    thread = threading.Thread(target=notify)
    thread.start()
    for number in range(300):
        listener = Listener()
        service.add_listener(listener.call)
        if number % 2:
            listeners.append(listener)
    ended.set()
    thread.join()
    for listener in listeners:
        listener.calls = 0
    service.notify(change)
    assert [listener.calls for listener in listeners] == [1] * 150


def test_an_error_of_this_package_with_an_unreadable_journal_is_an_unknown_outcome(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If our own code fails after sending, and the journal cannot be read, the outcome is reported as unknown."""

    def fail(*arguments: Any) -> Any:
        raise ZeroDivisionError

    def unreadable(*arguments: Any) -> Any:
        raise JournalUnusable("The journal cannot be read.")

    monkeypatch.setattr(ChangeService, "note_end", fail)
    monkeypatch.setattr(Journal, "find", unreadable)
    with pytest.raises(OutcomeUnknown, match="ZeroDivisionError in leverage_nb") as caught:
        account.set_leverage("BTCUSDT", 10)
    assert (caught.value.change.status, caught.value.change.is_final) == ("unknown", False)
