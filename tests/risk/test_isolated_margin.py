"""Isolated margin: limits and liquidation prices are those of the simulator, which has an engine of its own."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leverage_nb.risk.isolated_margin import preview_margin
from leverage_nb.risk.liquidation import liquidation_price
from leverage_nb.simulator import Simulator
from leverage_nb.simulator.account import Account as Books
from leverage_nb.simulator.account import Refused
from leverage_nb.simulator.isolated_margin import move_margin
from leverage_nb.simulator.liquidation import liquidation_price as engine_price
from tests.conftest import connect_to
from tests.risk.tiers import BTCUSDT, brackets
from tests.simulator.strategies import MARKET, SYMBOLS, accounts


def outcome(opening: dict[str, Any], name: str, side: str, amount: Decimal) -> tuple[int, Decimal]:
    """Return the simulator's answer for an account that opens like this, and the liquidation price after it."""
    books = Books(MARKET, opening)
    try:
        position = move_margin(books, name, side, amount)
    except Refused as refused:
        return refused.code, Decimal(0)
    return 0, engine_price(books, position)


def compare(runs: int, *, alike: bool) -> Counter[str]:
    """Compare verdicts and liquidation prices on random accounts; return how often each verdict was given."""
    seen: Counter[str] = Counter()
    with Simulator(weight_limit=10**9) as simulator, connect_to(simulator) as account:
        tiers = {symbol.name: account.tiers(symbol.name) for symbol in SYMBOLS}

        @settings(max_examples=runs, deadline=None, database=None, derandomize=alike,
                  suppress_health_check=list(HealthCheck))  # fmt: skip
        @given(opening=accounts(), shares=st.lists(st.floats(0.001, 1.5), min_size=10, max_size=10))
        def check(opening: dict[str, Any], shares: list[float]) -> None:
            simulator.exchange.account = Books(MARKET, opening)
            state = account.state()
            sizes = iter(shares)
            sides = ("LONG", "SHORT") if state.hedge_mode else ("BOTH",)
            for place, symbol in enumerate(SYMBOLS):
                for turn, side in enumerate(sides):
                    held = [p for p in state.positions if (p.symbol, p.position_side) == (symbol.name, side)]
                    position = held[0] if held and held[0].amount else None
                    whole = max(1.0, abs(position.notional) if position else 1.0)
                    delta = Decimal(f"{whole * next(sizes, 0.5) / 5:.8f}") * (-1) ** (place + turn)
                    change = preview_margin(state, tiers[symbol.name], position, float(delta))
                    code, price = outcome(opening, symbol.name, side, delta)
                    judged = change.judgement
                    seen[judged.verdict] += 1
                    if judged.verdict == "unpredictable":
                        continue
                    assert (judged.verdict, judged.code or 0) == ("ok" if code == 0 else "refused", code)
                    after = change.liquidation[1] or 0
                    # Beyond the last cap the engine has no price, and this package uses the last tier.
                    if judged.verdict == "ok" and after * abs(position.amount) <= tiers[symbol.name].last_cap:
                        assert after == pytest.approx(float(price), rel=1e-6)

        check()
    return seen


def test_verdicts_and_prices_are_the_simulators() -> None:
    """On random accounts verdict, code and the liquidation price after the change are the simulator's."""
    seen = compare(40, alike=True)
    assert min(seen["ok"], seen["refused"]) > 0
    assert seen["unpredictable"] <= 0.05 * sum(seen.values())


@pytest.mark.proof
def test_verdicts_and_prices_are_the_simulators_at_length(pytestconfig: pytest.Config) -> None:
    """The same holds on 5,000 random accounts: ``pytest -m proof``, ``--proof-runs`` for another number."""
    seen = compare(pytestconfig.getoption("--proof-runs"), alike=False)
    print(f"\n{sum(seen.values()):,} verdicts: " + ", ".join(f"{count:,} {name}" for name, count in seen.most_common()))
    assert seen["unpredictable"] <= 0.05 * sum(seen.values())


@pytest.mark.parametrize(
    ("amount", "wallet", "price"),
    [
        # Binance's formula with 0.4 % and cum 0, for one BTC entered at 50,000: (wallet -+ 50,000) / (0.004 -+ 1).
        (1, 5_000, 45_000 / 0.996),
        (1, 5_500, 44_500 / 0.996),
        (1, 4_500, 45_500 / 0.996),
        (-1, 5_000, 55_000 / 1.004),
        (-1, 5_500, 55_500 / 1.004),
        (-1, 4_500, 54_500 / 1.004),
    ],
)
def test_worked_prices_after_a_change_of_margin(amount: float, wallet: float, price: float) -> None:
    """Added margin moves the liquidation price away, taken out it moves it nearer, by amount / (1 -+ rate)."""
    assert liquidation_price(brackets(BTCUSDT), amount, 50_000, wallet) == pytest.approx(price)
