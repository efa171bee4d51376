"""Plans, faults, retries, undos and other clients in any order are reported correctly."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from leverage_nb.account import service_of
from leverage_nb.change import Kind
from leverage_nb.changes.plan import Plan
from leverage_nb.errors import LeverageError, OutcomeUnknown
from leverage_nb.session import session
from leverage_nb.simulator import Simulator
from tests.changes.claims import SimulatorRecord, contradictions_of_journal
from tests.changes.isolated import wallet
from tests.changes.random_changes import opening_values
from tests.conftest import connect_to

GRACE = 0.02
SYMBOLS = ("BTCUSDT", "SOLUSDT", "XRPUSDT", "DOGEUSDT", "哈基米USDT")
LEVERAGES = st.integers(1, 3) | st.integers(1, 100)
MARGIN_TYPES = st.sampled_from(["cross", "isolated"])
AMOUNTS = st.sampled_from(["5", "-5", "12.5"])
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
        self.account = connect_to(self.simulator, recv_window=250, grace=GRACE)
        self.most = {symbol: self.account.tiers(symbol).symbol_max_leverage for symbol in SYMBOLS}
        self.opening = opening_values(self.simulator)
        self.last: Plan | None = None

    def at(self, symbol: str, kind: Kind = "leverage") -> Any:
        """Return the leverage or margin type that the exchange has."""
        books = self.simulator.exchange.account
        return books.leverage(symbol) if kind == "leverage" else "isolated" if symbol in books.isolated else "cross"

    def applied(self, apply: Callable[[], Plan]) -> Plan | None:
        """Return an applied plan; None if a busy machine could not read the account in time, and nothing was sent."""
        arrived = len(self.simulator.exchange.arrivals)
        try:
            return apply()
        except LeverageError:
            assert len(self.simulator.exchange.arrivals) == arrived
            return None

    def check(self, plan: Plan) -> None:
        """Compare each row that was just applied with the exchange."""
        for row in plan.rows:
            assert row.status != "planned"
            if row.status in {"applied", "unchanged"}:
                assert self.at(*row.key) == row.after
            elif row.status in {"not_applied", "refused"} and row.change is not None:
                assert self.at(*row.key) == row.change.before

    @rule(
        wanted=st.dictionaries(
            st.sampled_from(SYMBOLS),
            LEVERAGES | MARGIN_TYPES | st.tuples(LEVERAGES, MARGIN_TYPES),
            min_size=1,
        ),
        force=st.booleans(),
    )
    def apply(self, wanted: dict[str, Any], force: bool) -> None:
        """Make a plan of leverages and margin types, and apply it."""
        for symbol, value in wanted.items():
            if isinstance(value, tuple):
                wanted[symbol] = min(value[0], self.most[symbol]), value[1]
            elif isinstance(value, int):
                wanted[symbol] = min(value, self.most[symbol])
        self.last = self.applied(lambda: self.account.plan(wanted).apply(force=force))
        if self.last is None:
            return
        self.check(self.last)
        assert {row.symbol for row in self.last.rows} == wanted.keys()

    @rule()
    def retry(self) -> None:
        """Retry the last plan."""
        if self.last is not None:
            again = self.applied(self.last.retry) or self.last
            self.check(Plan(**{**vars(again), "rows": tuple(row for row in again.rows if row not in self.last.rows)}))

    @rule(symbol=st.sampled_from(SYMBOLS), leverage=LEVERAGES)
    def change(self, symbol: str, leverage: int) -> None:
        """Change one symbol."""
        try:
            made = self.account.set_leverage(symbol, min(leverage, self.most[symbol]))
        except LeverageError:
            return
        assert self.at(symbol) == made.after

    @rule(symbol=st.sampled_from(SYMBOLS), wanted=MARGIN_TYPES)
    def change_type(self, symbol: str, wanted: str) -> None:
        """Change one margin type."""
        try:
            made = self.account.set_margin_type(symbol, wanted)
        except LeverageError:
            return
        assert self.at(symbol, "margin type") == made.after

    @rule(amount=AMOUNTS)
    def move_margin(self, amount: str) -> None:
        """Change the isolated margin of one position."""
        before = wallet(self.simulator)
        try:
            moved = self.account.change_isolated_margin("ETHUSDT", amount).requested
        except OutcomeUnknown:
            return
        except LeverageError:
            moved = 0
        assert wallet(self.simulator) == before + moved

    @rule(symbol=st.sampled_from(SYMBOLS), leverage=LEVERAGES, margin_type=st.sampled_from(["", "ISOLATED", "CROSSED"]))
    def change_elsewhere(self, symbol: str, leverage: int, margin_type: str) -> None:
        """Change a symbol through another client."""
        self.last = None
        self.simulator.exchange.change_elsewhere(symbol, min(leverage, self.most[symbol]), margin_type=margin_type)

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
        elif undone.kind != "isolated margin":
            assert self.at(undone.symbol, undone.kind) == undone.after

    @rule(name=st.sampled_from(FAULTS), times=st.integers(1, 3))
    def fault(self, name: str, times: int) -> None:
        """Inject a fault into the next changes."""
        self.simulator.inject(name, times=times)

    @invariant()
    def the_journal_is_true(self) -> None:
        """No entry of the journal is false, and every change that arrived has an entry."""
        attempts = service_of(self.account).past.attempts()
        record = SimulatorRecord.of(self.simulator, self.opening, GRACE)
        assert contradictions_of_journal(record, attempts) == []

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
    run_desks(10, 10, alike=True)


@pytest.mark.proof
def test_many_orders_of_plans_are_reported_correctly() -> None:
    """The same for 200 sequences of 15 steps."""
    run_desks(200, 15, alike=False)
