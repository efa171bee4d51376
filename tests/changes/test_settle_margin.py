"""Isolated margin is sent once, and applied only by the answer or by one entry of the history."""

from __future__ import annotations

import time
from decimal import Decimal

import pytest

from leverage_nb.account import Account, service_of
from leverage_nb.changes.settle import settle
from leverage_nb.errors import ChangeNotSent, LeverageRefused, OutcomeUnknown
from leverage_nb.simulator import Simulator
from tests.changes.isolated import sent, wallet
from tests.changes.quick import attempts, connect_quick, failure, quick_pair
from tests.patience import giving_up_soon, verifying_at_most
from tests.side_by_side import side_by_side
from tests.waiting import until


def test_one_entry_of_the_history_is_applied() -> None:
    """Without a definite answer, exactly one entry of the history that fits means applied. It is sent once."""

    def check(fault: str) -> None:
        with quick_pair() as (quick, simulator):
            simulator.inject(fault, **({} if fault in {"reset_after", "wrong_leverage"} else {"executed": True}))
            change = quick.change_isolated_margin("ETHUSDT", 500)
            assert (change.status, change.confirmed_by, change.is_final) == ("applied", "history", True)
            assert sent(simulator) == 1
            assert wallet(simulator) == 18_200

    faults = ("reset_after", "html", "bad_gateway", "disconnected_500", "wrong_leverage")
    side_by_side(check, ((fault,) for fault in faults))


def test_no_entry_is_unknown_for_good_and_blocks_nothing() -> None:
    """Without an entry the outcome is unknown for good: nothing is sent again, and later changes are not blocked."""

    def check(fault: str) -> None:
        with quick_pair() as (quick, simulator):
            simulator.inject(fault, **({} if fault == "reset_before" else {"executed": False}))
            with giving_up_soon(quick), pytest.raises(OutcomeUnknown) as caught:
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

    side_by_side(check, [("reset_before",), ("stall",), ("bad_gateway",)])


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
    assert wallet(simulator) == 18_200


def test_the_latest_of_two_entries_belongs_to_the_later_attempt() -> None:
    """After a change that was confirmed by its answer, the second entry is that of the next, equal change."""

    def check(amount: int) -> None:
        with quick_pair() as (quick, simulator):
            quick.change_isolated_margin("ETHUSDT", amount)
            for executed in (True, True, False):
                simulator.inject("bad_gateway", executed=executed)
                if executed:
                    assert quick.change_isolated_margin("ETHUSDT", amount).confirmed_by == "history"
                else:
                    with pytest.raises(OutcomeUnknown):
                        quick.change_isolated_margin("ETHUSDT", amount)
            claims = [found.claims for attempt in attempts(quick) for found in attempt.findings if found.claims]
            assert len(set(claims)) == 2

    side_by_side(check, [(500,), (-500,)])


def test_an_entry_may_belong_to_an_attempt_that_stays_unknown(quick: Account, simulator: Simulator) -> None:
    """The entry of an attempt whose history could not be read is not taken for that of the next, equal one."""
    simulator.inject("bad_gateway", executed=True)
    simulator.inject("disconnected_500", on="GET /fapi/v1/positionMargin/history", times=None, executed=True)
    with verifying_at_most(quick):
        with pytest.raises(OutcomeUnknown):
            quick.change_isolated_margin("ETHUSDT", 500)
        quick.set_leverage("ETHUSDT", 11)  # gives the attempt up
    simulator.clear_faults()
    simulator.inject("reset_before")
    with pytest.raises(OutcomeUnknown) as caught:
        quick.change_isolated_margin("ETHUSDT", 500)
    assert "apart from those that can be equal changes before it" in caught.value.change.note
    assert wallet(simulator) == 18_200


def test_a_late_execution_is_not_taken_for_the_next_change(quick: Account, simulator: Simulator) -> None:
    """An attempt that is executed after its deadline, which is not expected, does not confirm the next one."""
    simulator.inject("late_execution", seconds=3.0)
    with giving_up_soon(quick), pytest.raises(OutcomeUnknown):
        quick.change_isolated_margin("ETHUSDT", 500)
    until(lambda: wallet(simulator) == 18_200)
    simulator.inject("reset_before")
    with pytest.raises(OutcomeUnknown):
        quick.change_isolated_margin("ETHUSDT", 500)
    assert wallet(simulator) == 18_200


def test_a_wrong_clock_confuses_no_entries() -> None:
    """With the clocks 30 s apart, the entry of one change is not taken for that of the next, equal one."""
    side_by_side(change_with_a_wrong_clock, [(-30.0,), (30.0,)])


def change_with_a_wrong_clock(ahead: float) -> None:
    """Change an isolated margin three times, of which the second is not executed."""
    with Simulator(clock=lambda: time.time() + ahead) as simulator, connect_quick(simulator) as account:
        account.change_isolated_margin("ETHUSDT", 500)
        simulator.inject("reset_before")
        with pytest.raises(OutcomeUnknown):
            account.change_isolated_margin("ETHUSDT", 500)
        simulator.inject("reset_after")
        assert account.change_isolated_margin("ETHUSDT", 600).confirmed_by == "history"
        assert wallet(simulator) == 18_800


def test_an_attempt_past_its_deadline_does_not_block_a_plan(quick: Account, simulator: Simulator) -> None:
    """A plan is sent although a change of isolated margin before it cannot be settled."""
    simulator.inject("reset_after")
    simulator.inject("disconnected_500", on="GET /fapi/v1/positionMargin/history", times=None, executed=True)
    with verifying_at_most(quick), pytest.raises(OutcomeUnknown):
        quick.change_isolated_margin("ETHUSDT", 500)
    with verifying_at_most(quick):
        plan = quick.plan({"ETHUSDT": 12, "BTCUSDT": 12}).apply()
    assert {row.symbol: row.status for row in plan.rows} == {"ETHUSDT": "applied", "BTCUSDT": "applied"}


def test_only_the_exchanges_clock_ends_an_attempt(quick: Account, simulator: Simulator) -> None:
    """While the exchange's time cannot be read, an attempt that may still be executed goes on blocking its symbol."""
    simulator.inject("reset_before")
    simulator.inject("time_float", times=None)
    with verifying_at_most(quick):
        with pytest.raises(OutcomeUnknown):
            quick.change_isolated_margin("ETHUSDT", 500)
        assert isinstance(failure(quick, "ETHUSDT", 11), ChangeNotSent)
    assert [attempt.is_open for attempt in attempts(quick)] == [True]
    assert [arrival.kind for arrival in simulator.exchange.arrivals] == ["isolated margin"]
    simulator.clear_faults()
    assert quick.set_leverage("ETHUSDT", 11).status == "applied"


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
    still = service.past.attempts(open_only=True)
    settled = settle(service.client, service.journal, still, until_closed=True)
    assert {attempt.status for attempt in settled} <= {"applied"}
