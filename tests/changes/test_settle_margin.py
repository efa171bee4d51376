"""Isolated margin is sent once, and applied only by the answer or by one entry of the history."""

from __future__ import annotations

from decimal import Decimal

import pytest

from leverage_nb.account import Account, service_of
from leverage_nb.changes.settle import settle
from leverage_nb.errors import (
    LeverageRefused,
    OutcomeUnknown,
)
from leverage_nb.simulator import Simulator
from tests.changes.isolated import sent, wallet
from tests.changes.quick import attempts


@pytest.mark.parametrize("fault", ["reset_after", "html", "bad_gateway", "disconnected_500", "wrong_leverage"])
def test_one_entry_of_the_history_is_applied(quick: Account, simulator: Simulator, fault: str) -> None:
    """Without a definite answer, exactly one entry of the history that fits means applied. It is sent once."""
    simulator.inject(fault, **({} if fault in {"reset_after", "wrong_leverage"} else {"executed": True}))
    change = quick.change_isolated_margin("ETHUSDT", 500)
    assert (change.status, change.confirmed_by, change.is_final) == ("applied", "history", True)
    assert sent(simulator) == 1
    assert wallet(simulator) == 18_200


@pytest.mark.parametrize("fault", ["reset_before", "stall", "bad_gateway"])
def test_no_entry_is_unknown_for_good_and_blocks_nothing(quick: Account, simulator: Simulator, fault: str) -> None:
    """Without an entry the outcome is unknown for good: nothing is sent again, and later changes are not blocked."""
    simulator.inject(fault, **({} if fault == "reset_before" else {"executed": False}))
    with pytest.raises(OutcomeUnknown) as caught:
        quick.change_isolated_margin("ETHUSDT", 500)
    assert caught.value.change.is_final
    assert "may or may not have been executed" in caught.value.message
    assert "no entry that can be this change" in caught.value.change.note
    assert "before you repeat it" in caught.value.hint
    assert quick.settle() == []
    assert sent(simulator) <= 1
    assert quick.change_isolated_margin("ETHUSDT", 500).status == "applied"
    assert [attempt.status for attempt in attempts(quick)] == ["unknown", "applied"]
    assert quick.history()["status"].tolist() == ["unknown", "applied"]
    assert quick.history()["is_final"].all()


def test_an_equal_change_of_another_client_makes_it_unknown(quick: Account, simulator: Simulator) -> None:
    """With two entries that fit nobody can tell which one is ours."""
    simulator.inject("other_client_first", "reset_after", symbol="ETHUSDT", margin="500")
    with pytest.raises(OutcomeUnknown) as caught:
        quick.change_isolated_margin("ETHUSDT", 500)
    assert "2 entries" in caught.value.change.note


def test_an_entry_that_was_not_a_users_is_not_taken_for_it(quick: Account, simulator: Simulator) -> None:
    """Automatic additions have entries too, with another reason."""
    from leverage_nb.simulator.isolated_margin import MarginChange

    exchange = simulator.exchange
    simulator.inject("reset_before")
    exchange.margin_history.add(
        MarginChange("ETHUSDT", "BOTH", Decimal(500), "USDT", exchange.now_ms() + 20, reason="FUNDING_FEE")
    )
    with pytest.raises(OutcomeUnknown):
        quick.change_isolated_margin("ETHUSDT", 500)


def test_an_entry_belongs_to_one_attempt_only(quick: Account, simulator: Simulator) -> None:
    """The entry of a change that was confirmed by its answer is not taken for that of the next, equal one."""
    quick.change_isolated_margin("ETHUSDT", 500)
    simulator.inject("reset_before")
    with pytest.raises(OutcomeUnknown):
        quick.change_isolated_margin("ETHUSDT", 500)
    simulator.inject("reset_after")
    assert quick.change_isolated_margin("ETHUSDT", 500).confirmed_by == "history"
    simulator.inject("reset_before")
    with pytest.raises(OutcomeUnknown):
        quick.change_isolated_margin("ETHUSDT", 500)
    assert wallet(simulator) == 18_700


def test_a_history_that_cannot_be_read_leaves_it_open_until_it_blocks(quick: Account, simulator: Simulator) -> None:
    """The attempt is verified later; if another change is to be sent before that, it is unknown for good."""
    simulator.inject("reset_after")
    simulator.inject("disconnected_500", on="GET /fapi/v1/positionMargin/history", times=None, executed=True)
    with pytest.raises(OutcomeUnknown) as caught:
        quick.change_isolated_margin("ETHUSDT", 500)
    assert not caught.value.change.is_final
    simulator.clear_faults()
    [change] = quick.settle()
    assert (change.status, change.confirmed_by) == ("applied", "history")

    simulator.inject("reset_after")
    simulator.inject("disconnected_500", on="GET /fapi/v1/positionMargin/history", times=None, executed=True)
    with pytest.raises(OutcomeUnknown):
        quick.change_isolated_margin("ETHUSDT", 600)
    assert quick.set_leverage("ETHUSDT", 11).status == "applied"
    assert [attempt.status for attempt in attempts(quick)] == ["applied", "unknown", "applied"]


@pytest.mark.parametrize("fault", ["unavailable_503", "internal_503"])
def test_a_refusal_that_passes_is_not_repeated(quick: Account, simulator: Simulator, fault: str) -> None:
    """Even if the exchange says that nothing was executed, it is the user who sends it again."""
    simulator.inject(fault)
    with pytest.raises(LeverageRefused):
        quick.change_isolated_margin("ETHUSDT", 500)
    assert sent(simulator) == 1
    assert wallet(simulator) == 17_700


def test_settling_does_not_confuse_the_kinds(quick: Account, simulator: Simulator) -> None:
    """Open changes of all kinds are settled together, each by its own proof."""
    service = service_of(quick)
    outcomes = []
    for act in (
        lambda: quick.set_leverage("BTCUSDT", 10),
        lambda: quick.set_margin_type("ADAUSDT", "isolated"),
        lambda: quick.change_isolated_margin("ETHUSDT", 500),
    ):
        simulator.inject("reset_after")
        outcomes.append(act().confirmed_by)  # type: ignore[no-untyped-call]
    assert outcomes == ["symbolConfig", "symbolConfig", "history"]
    still = service.attempts(open_only=True)
    settled = settle(service.client, service.journal, still, until_closed=True)
    assert {attempt.status for attempt in settled} <= {"applied"}
