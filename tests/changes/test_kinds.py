"""Changes of margin type: sent once, applied only when a read shows it, and undone."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest

from leverage_nb.account import Account
from leverage_nb.errors import (
    ChangedElsewhere,
    ChangeNotApplied,
    ChangeSuperseded,
    InvalidInput,
    LeverageRefused,
    UnknownSymbol,
)
from leverage_nb.simulator import Simulator
from tests.arrivals import SETTING, edit_answers
from tests.changes.quick import DEADLINE_MS, attempts, quick_pair
from tests.patience import giving_up_soon
from tests.side_by_side import side_by_side


def show_always(simulator: Simulator, margin_type: str, after_reads: int = 0) -> None:
    """Show one margin type in every read of the settings after the first ones."""
    reads = iter(range(1000))

    def edit(request: Any, answer: Any) -> Any:
        if f"{request.method} {request.path}" != SETTING or next(reads) < after_reads:
            return answer
        rows = [{**row, "marginType": margin_type} for row in json.loads(answer.body)]
        return replace(answer, body=json.dumps(rows))

    edit_answers(simulator, edit)


def test_an_applied_change_rests_on_a_read(quick: Account, simulator: Simulator) -> None:
    """The exchange's answer names no symbol: "applied" has the time of a read that shows the new margin type."""
    change = quick.set_margin_type("ada/usdt", "isolated")
    assert (change.status, change.before, change.after, change.confirmed_by) == (
        "applied", "cross", "isolated", "symbolConfig",
    )  # fmt: skip
    assert change.as_of is not None
    assert change.headline == "ADAUSDT cross → isolated applied"
    assert "ADAUSDT" in simulator.exchange.account.isolated
    assert quick.setting("ADAUSDT").margin_type == "isolated"
    [attempt] = attempts(quick)
    assert [finding.source for finding in attempt.findings] == ["accepted", "symbolConfig"]
    assert not attempt.is_open


def test_what_is_there_already_is_not_sent(quick: Account, simulator: Simulator) -> None:
    """A symbol that has the margin type already is reported as unchanged, and nothing is sent."""
    change = quick.set_margin_type("BTCUSDT", "CROSSED")
    assert (change.status, change.headline) == ("unchanged", "BTCUSDT is cross already; nothing was sent")
    assert simulator.exchange.received == []


@pytest.mark.parametrize(("symbol", "wanted", "code"), [("SOLUSDT", "isolated", -4047), ("BTCUSDT", "isolated", -4048)])
def test_a_refusal_names_its_code(quick: Account, symbol: str, wanted: str, code: int) -> None:
    """Open orders and positions are refused with Binance's codes, and the setting stays."""
    with pytest.raises(LeverageRefused) as refused:
        quick.set_margin_type(symbol, wanted)
    assert refused.value.code == code
    assert refused.value.change.status == "refused"
    assert quick.setting(symbol).margin_type == "cross"


@pytest.mark.parametrize("code", [-4046, -4067])
def test_nothing_to_change_is_unchanged_once_a_read_shows_it(quick: Account, simulator: Simulator, code: int) -> None:
    """If another client was first, Binance answers that there is nothing to change, and a read confirms it."""
    simulator.exchange.account.same_margin_type = code
    simulator.inject("other_client_first", symbol="ADAUSDT", margin_type="ISOLATED")
    change = quick.set_margin_type("ADAUSDT", "isolated")
    assert (change.status, change.after, change.confirmed_by) == ("unchanged", "isolated", "symbolConfig")
    assert change.sent_at is not None
    assert change.headline == "ADAUSDT is isolated already; nothing was changed"


def test_an_indefinite_answer_is_verified() -> None:
    """After an indefinite answer the change is not sent again, and the report agrees with the exchange."""

    def check(fault: str, executed: bool) -> None:
        with quick_pair() as (quick, simulator), giving_up_soon(quick):
            simulator.inject(fault, executed=executed)
            if executed:
                assert quick.set_margin_type("ADAUSDT", "isolated").status == "applied"
            else:
                with pytest.raises(ChangeNotApplied, match=r"ADAUSDT was not changed to isolated\. It is cross as of"):
                    quick.set_margin_type("ADAUSDT", "isolated")
            assert len(simulator.exchange.received) == 1

    faults = ("stall", "html", "bad_gateway", "unknown_503", "timeout_1007", "disconnected_200")
    side_by_side(check, product(faults, [True, False]))


def test_success_without_a_read_that_shows_it_is_not_applied(quick: Account, simulator: Simulator) -> None:
    """If the setting never shows the margin type, the exchange's "success" is not enough."""
    show_always(simulator, "CROSSED")
    with pytest.raises(ChangeNotApplied) as caught:
        quick.set_margin_type("ADAUSDT", "isolated")
    assert "reported success, but no read has confirmed it" in caught.value.message


def test_a_third_margin_type_is_superseded(quick: Account, simulator: Simulator) -> None:
    """If the setting shows neither the margin type before nor the requested one, another client set it."""
    show_always(simulator, "ISOLATED_PLUS", after_reads=1)
    with pytest.raises(ChangeSuperseded, match="It is isolated_plus as of"):
        quick.set_margin_type("ADAUSDT", "isolated")


def test_a_change_is_undone_once(quick: Account) -> None:
    """Undo sets the margin type before; in the history each change has its kind."""
    quick.set_leverage("ADAUSDT", 7)
    quick.set_margin_type("ADAUSDT", "isolated")
    undone = quick.undo()
    assert undone.headline == "ADAUSDT isolated → cross undone"
    assert quick.undo().headline.startswith("ADAUSDT 7x → ")
    history = quick.history()
    assert history["kind"].tolist() == ["leverage", "margin type", "margin type", "leverage"]
    assert history["requested"].tolist()[:3] == [7, "isolated", "cross"]


def test_an_undo_is_not_sent_over_a_foreign_change(quick: Account, simulator: Simulator) -> None:
    """If another client has changed the margin type since, the undo says what it is now."""
    quick.set_margin_type("ADAUSDT", "isolated")
    simulator.exchange.change_elsewhere("ADAUSDT", margin_type="CROSSED")
    with pytest.raises(ChangedElsewhere, match="was changed since and is cross"):
        quick.undo()


@pytest.mark.parametrize("wanted", ["", "iso", "portfolio", "cross isolated", 10, None, True, "x" * 1000])
def test_another_word_is_no_margin_type(quick: Account, simulator: Simulator, wanted: object) -> None:
    """Anything but cross, crossed and isolated is an error that names both."""
    for method in (quick.set_margin_type, quick.preview_margin_type):
        with pytest.raises(InvalidInput, match="cross and isolated"):
            method("BTCUSDT", wanted)  # type: ignore[operator]
    assert simulator.exchange.received == []


def test_an_unknown_symbol_is_named(quick: Account) -> None:
    """A symbol that the venue does not list is an error before anything is sent."""
    with pytest.raises(UnknownSymbol):
        quick.set_margin_type("BTCUSD", "isolated")


def test_an_open_change_blocks_every_other_change_of_the_symbol(quick: Account, simulator: Simulator) -> None:
    """A change of leverage is sent only once the change of margin type before it cannot be executed any more."""
    simulator.inject("late_execution", seconds=0.2)
    with giving_up_soon(quick):
        assert quick.set_margin_type("ADAUSDT", "isolated").status == "applied"
    assert quick.set_leverage("ADAUSDT", 9).status == "applied"
    first, second = attempts(quick)
    assert [arrival.kind for arrival in simulator.exchange.arrivals] == ["margin type", "leverage"]
    assert second.begun_at >= first.begun_at + timedelta(milliseconds=DEADLINE_MS)
