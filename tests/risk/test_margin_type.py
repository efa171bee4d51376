"""The verdicts on margin types are the answers of the simulator, which has rules of its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from leverage_nb.account import Account
from leverage_nb.risk.margin_type import exposed_by_cross, judge_margin_type
from leverage_nb.simulator import Simulator
from leverage_nb.simulator.account import Account as Books
from leverage_nb.simulator.account import Refused
from tests.conftest import connect_to
from tests.simulator.strategies import MARKET, SYMBOLS, accounts


def outcome(opening: dict[str, Any], name: str, isolated: bool) -> int:
    """Return the simulator's answer for an account that opens like this: 0 or a code."""
    try:
        Books(MARKET, opening).set_margin_type(name, isolated)
    except Refused as refused:
        return refused.code
    return 0


def compare(runs: int, *, alike: bool) -> Counter[str]:
    """Compare verdicts with answers on random accounts; return how often each verdict was given."""
    seen: Counter[str] = Counter()
    with Simulator(weight_limit=10**9) as simulator, connect_to(simulator) as account:

        @settings(max_examples=runs, deadline=None, database=None, derandomize=alike,
                  suppress_health_check=list(HealthCheck))  # fmt: skip
        @given(opening=accounts())
        def check(opening: dict[str, Any]) -> None:
            simulator.exchange.account = Books(MARKET, opening)
            state = account.state()
            for symbol in SYMBOLS:
                for margin_type in ("cross", "isolated"):
                    judged = judge_margin_type(state, symbol.name, margin_type)
                    code = outcome(opening, symbol.name, margin_type == "isolated")
                    expected = "ok" if code == 0 else "unchanged" if code == -4046 else "refused"
                    assert (judged.verdict, judged.code or 0) == (expected, 0 if code == -4046 else code)
                    seen[judged.verdict] += 1

        check()
    return seen


def test_verdicts_are_the_simulators_answers() -> None:
    """On random accounts every verdict and its code is the simulator's answer."""
    assert min(compare(40, alike=True)[verdict] for verdict in ("ok", "unchanged", "refused")) > 0


@pytest.mark.proof
def test_verdicts_are_the_simulators_answers_at_length(pytestconfig: pytest.Config) -> None:
    """The same holds on 5,000 random accounts: ``pytest -m proof``, ``--proof-runs`` for another number."""
    seen = compare(pytestconfig.getoption("--proof-runs"), alike=False)
    print(f"\n{sum(seen.values()):,} verdicts: " + ", ".join(f"{count:,} {name}" for name, count in seen.most_common()))


def test_a_symbol_that_does_not_trade_is_unpredictable(account: Account) -> None:
    """That the exchange refuses changes of a symbol that is not trading is inferred only."""
    state = account.state()
    name = next(iter(state.not_trading))
    judged = judge_margin_type(state, name, "isolated")
    assert (judged.verdict, judged.code, judged.certainty) == ("unpredictable", -1122, "inferred")


def test_cross_exposes_the_balance_of_the_margin_asset(account: Account) -> None:
    """In single-asset mode it is the cross wallet with its profit, in multi-assets mode that of all assets."""
    state = account.state()
    assert exposed_by_cross(state, "ADAUSDT") == "the whole cross balance of 94,362.50 USDT"
    multi = replace(state, multi_assets=True)
    assert "94,362.50 USDT" in exposed_by_cross(multi, "ADAUSDT")
    assert "BTC" in exposed_by_cross(multi, "ADAUSDT")
    assert exposed_by_cross(replace(state, balances={}), "ADAUSDT").endswith("which could not be read")
