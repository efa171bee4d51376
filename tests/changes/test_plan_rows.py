"""Each row of a plan is predicted after the rows that are sent before it."""

from __future__ import annotations

from leverage_nb.simulator import Simulator
from leverage_nb.simulator.account import Refused
from tests.changes.plans import statuses
from tests.conftest import connect_to


def test_verdicts_are_cumulative(simulator: Simulator) -> None:
    """Rows share one balance, so a row's verdict takes the rows before it into account."""
    account = connect_to(simulator)
    alone = {symbol: account.preview(symbol, leverage).verdict for symbol, leverage in (("BTCUSDT", 5), ("SOLUSDT", 1))}
    assert alone == {"BTCUSDT": "ok", "SOLUSDT": "ok"}
    plan = account.plan({"BTCUSDT": 5, "SOLUSDT": 1})
    assert [(row.symbol, row.verdict, row.code) for row in plan.rows] == [
        ("BTCUSDT", "ok", None),
        ("SOLUSDT", "refused", -2028),
    ]
    done = plan.apply()
    assert statuses(done) == {"BTCUSDT": "applied", "SOLUSDT": "not_sent"}
    assert statuses(done.retry(force=True)) == {"BTCUSDT": "applied", "SOLUSDT": "refused"}


def test_a_refused_lower_shows_the_missing_margin(simulator: Simulator) -> None:
    """A lower that needs more margin than is available is refused, and the outlook shows a negative balance."""
    account = connect_to(simulator)
    assert account.preview("BTCUSDT", 4).verdict == "refused"
    simulator.exchange.account.orders[:] = []
    tight = account.plan({"BTCUSDT": 4})
    assert tight.rows[0].verdict == "refused"
    lacking = -float(account.outlook("BTCUSDT")["available_after"].loc[4])
    assert lacking > 0


def test_the_verdicts_are_the_simulators_answers(simulator: Simulator) -> None:
    """Sent one after another in the plan's order, every row gets the answer that the plan predicted."""
    account = connect_to(simulator)
    plan = account.plan(
        {"BTCUSDT": 5, "SOLUSDT": 1, "ETHUSDT": 5, "DOGEUSDT": 75, "ADAUSDT": 3, "ETHBTC": 100, "XRPUSDT": 100}
    )
    for row in plan.rows:
        refused: int | None = None
        try:
            simulator.exchange.account.set_leverage(row.symbol, row.after)
        except Refused as exc:
            refused = exc.code
        assert (refused, row.verdict) == (row.code, "refused" if refused else row.verdict)
