"""Plans, faults, retries, undos and other clients in any order are reported correctly."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from leverage_nb.account import service_of
from leverage_nb.changes.plan import Plan
from leverage_nb.errors import LeverageError
from leverage_nb.session import session
from leverage_nb.simulator import Simulator
from tests.changes.claims import SimulatorRecord, contradictions_of_journal
from tests.conftest import connect_to

GRACE = 0.02
SYMBOLS = ("BTCUSDT", "SOLUSDT", "XRPUSDT", "ADAUSDT", "哈基米USDT")
LEVERAGES = st.integers(1, 3) | st.integers(1, 100)
FAULTS = (
    "reset_before",
    "reset_after",
    "bad_gateway",
    "html",
    "unknown_503",
    "restricted",
    "unavailable_503",
    "wrong_leverage",
)


class Desk(RuleBasedStateMachine):
    """A trader who plans, applies, retries and undoes, on an exchange that sometimes fails."""

    def __init__(self) -> None:
        super().__init__()
        self.simulator = Simulator(weight_limit=10**9)
        self.account = connect_to(self.simulator, timeout=0.5, recv_window=40, grace=GRACE)
        self.most = {symbol: self.account.tiers(symbol).symbol_max_leverage for symbol in SYMBOLS}
        self.opening = {symbol: self.at(symbol) for symbol in SYMBOLS}
        self.last: Plan | None = None

    def at(self, symbol: str) -> int:
        """Return the leverage that the exchange has."""
        return self.simulator.exchange.account.leverage(symbol)

    def check(self, plan: Plan) -> None:
        """Compare each row that was just applied with the exchange."""
        for row in plan.rows:
            assert row.status != "planned"
            if row.status in {"applied", "unchanged"}:
                assert self.at(row.symbol) == row.after
            elif row.status in {"not_applied", "refused"} and row.change is not None:
                assert self.at(row.symbol) == row.change.before

    @rule(wanted=st.dictionaries(st.sampled_from(SYMBOLS), LEVERAGES, min_size=1), force=st.booleans())
    def apply(self, wanted: dict[str, int], force: bool) -> None:
        """Make a plan and apply it."""
        wanted = {symbol: min(leverage, self.most[symbol]) for symbol, leverage in wanted.items()}
        self.last = self.account.plan(wanted).apply(force=force)
        self.check(self.last)
        assert {row.symbol for row in self.last.rows} == wanted.keys()

    @rule()
    def retry(self) -> None:
        """Retry the last plan."""
        if self.last is not None:
            again = self.last.retry()
            self.check(Plan(**{**vars(again), "rows": tuple(row for row in again.rows if row not in self.last.rows)}))

    @rule(symbol=st.sampled_from(SYMBOLS), leverage=LEVERAGES)
    def change(self, symbol: str, leverage: int) -> None:
        """Change one symbol."""
        try:
            made = self.account.set_leverage(symbol, min(leverage, self.most[symbol]))
        except LeverageError:
            return
        assert self.at(symbol) == made.after

    @rule(symbol=st.sampled_from(SYMBOLS), leverage=LEVERAGES)
    def change_elsewhere(self, symbol: str, leverage: int) -> None:
        """Change a symbol through another client."""
        self.last = None
        self.simulator.exchange.change_elsewhere(symbol, min(leverage, self.most[symbol]))

    @rule()
    def undo(self) -> None:
        """Undo the last change or plan."""
        self.last = None
        try:
            undone = self.account.undo()
        except LeverageError:
            return
        if isinstance(undone, Plan):
            self.check(undone)
        else:
            assert self.at(undone.symbol) == undone.after

    @rule(name=st.sampled_from(FAULTS), times=st.integers(1, 3))
    def fault(self, name: str, times: int) -> None:
        """Inject a fault into the next changes."""
        self.simulator.inject(name, times=times)

    @invariant()
    def the_journal_is_true(self) -> None:
        """No entry of the journal is false, and every change that arrived has an entry."""
        exchange, attempts = self.simulator.exchange, service_of(self.account).attempts()
        assert (
            contradictions_of_journal(
                SimulatorRecord(exchange.executed, exchange.received, self.opening, GRACE), attempts
            )
            == []
        )
        assert set(exchange.received) <= {(attempt.symbol, attempt.timestamp_ms) for attempt in attempts}

    def teardown(self) -> None:
        """Stop the exchange, and drop its journal: another exchange may get the same port."""
        self.account.close()
        self.simulator.close()
        session.reset()


def run_desks(examples: int, steps: int, *, alike: bool) -> None:
    """Run random sequences of steps."""
    run_state_machine_as_test(
        Desk,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=alike,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_plans_in_any_order_are_reported_correctly() -> None:
    """After any sequence of plans, faults, retries, undos and foreign changes no row and no entry is false."""
    run_desks(15, 10, alike=True)


@pytest.mark.proof
def test_many_orders_of_plans_are_reported_correctly() -> None:
    """The same for 200 sequences of 15 steps."""
    run_desks(200, 15, alike=False)
