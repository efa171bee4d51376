"""The contract: the assumed rules hold for the simulator and, with ``pytest -m testnet``, for Binance's testnet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from leverage_nb.simulator import Simulator, answers
from leverage_nb.simulator.account import Refused
from leverage_nb.simulator.market import load_market
from tests.contract.comparison import Comparison, NotChecked
from tests.contract.exchange import ExchangeUnderTest
from tests.contract.margin_scenarios import SCENARIOS
from tests.contract.run import ContractRun
from tests.contract.scenarios import Scenario
from tests.side_by_side import side_by_side

MARKET = load_market().account
ORDERS = [
    {"symbol": "SOLUSDT", "side": "BUY", "positionSide": "BOTH", "quantity": "500", "price": "130"},
    {"symbol": "XRPUSDT", "side": "BUY", "positionSide": "BOTH", "quantity": "60000", "price": "2.2"},
]
HEDGED = [
    {"symbol": "BTCUSDT", "positionSide": "LONG", "positionAmt": "0.5", "entryPrice": "84000"},
    {
        "symbol": "ETHUSDT",
        "positionSide": "SHORT",
        "positionAmt": "-10",
        "entryPrice": "2950",
        "isolatedWallet": "2950",
    },
]
# The accounts on which the rules are checked: no single one allows all checks.
OPENINGS = {
    "one-way": {
        **MARKET,
        "positions": [
            *MARKET["positions"],
            {"symbol": "SOLUSDT", "positionSide": "BOTH", "positionAmt": "10", "entryPrice": "130"},
        ],
        "orders": ORDERS,
    },
    "hedge": {**MARKET, "dualSidePosition": True, "positions": HEDGED, "orders": []},
    "multi-assets": {
        **MARKET, "multiAssetsMargin": True, "isolated": [], "positions": MARKET["positions"][:1], "orders": [],
    },
}  # fmt: skip
OPENINGS["demo"] = OPENINGS["one-way"]
# The simulator has no accounts with adjusted tiers, and one address.
NEVER_CHECKED = {"what_notional_coef_multiplies", "two_addresses_are_one_account"}

by_name = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)


def under_test(own: Simulator) -> ExchangeUnderTest:
    """Return a simulator as the exchange that scenarios check."""
    keys = (own.api_key, own.api_secret)
    return ExchangeUnderTest("simulator", own.rest_url, own.stream_url, *keys, patience=2.0)


@pytest.fixture
def simulators() -> Iterator[Callable[[str], ExchangeUnderTest]]:
    """Return a function that starts a simulator: ``simulators("hedge")``."""
    running: list[Simulator] = []

    def start(opening: str) -> ExchangeUnderTest:
        profile = "demo" if opening == "demo" else "production"
        simulator = Simulator(account=OPENINGS[opening], weight_limit=1_000_000, profile=profile)
        running.append(simulator)
        return under_test(simulator)

    yield start
    for simulator in running:
        simulator.close()


@by_name
def test_the_simulator_keeps_the_contract(scenario: Scenario, simulators: Callable[[str], ExchangeUnderTest]) -> None:
    """The rule holds on every account of the simulator on which it can be checked, and there is at least one."""
    checked = []

    def check(opening: str) -> None:
        found = Comparison()
        try:
            scenario.check(simulators(opening), found)
        except NotChecked:
            return
        checked.append(opening)
        assert not found.mismatches, f"{scenario.text}\n{found.report()}"
        assert found.compared or found.notes

    side_by_side(check, ((opening,) for opening in OPENINGS))
    assert bool(checked) != (scenario.name in NEVER_CHECKED), "no account allows the check"


@pytest.mark.testnet
@by_name
def test_the_testnet_keeps_the_contract(scenario: Scenario, contract_run: ContractRun) -> None:
    """The rules that the scenario decides hold on the testnet, for the account whose key is in the environment."""
    result = contract_run.run(scenario)
    assert result.verdict != "contradicted", f"{scenario.text}\n{result.evidence}"
    assert not result.failed, result.evidence
    if result.verdict == "not decided":
        pytest.skip(result.evidence)


class NewAccount:
    """A new account, which may not exceed 20x yet."""

    def __init__(self, simulator: Simulator) -> None:
        self._accept = simulator.exchange.account.set_leverage

    def set_leverage(self, name: str, leverage: int) -> bool:
        """Refuse more than 20x, else change the leverage."""
        if leverage > 20:
            raise Refused(400, -4300, "You can start trading with more than 20x leverage later.")
        return self._accept(name, leverage)


def test_rules_are_not_checked_beyond_an_account_limit() -> None:
    """If the account's limit refuses first, a rule above 20x is not checked, and every setting is restored."""
    with Simulator(weight_limit=1_000_000) as simulator:
        account = simulator.exchange.account
        account.set_leverage = NewAccount(simulator).set_leverage  # type: ignore[method-assign]  # a new account
        exchange, was = under_test(simulator), account.snapshot()
        for scenario in SCENARIOS:
            found = Comparison()
            with suppress(NotChecked):
                scenario.check(exchange, found)
            assert not found.mismatches, f"{scenario.text}\n{found.report()}"
    assert (account.isolated, account.positions) == (was.isolated, was.positions)
    before = {symbol: was.leverage(symbol) for symbol in simulator.exchange.market.symbols}
    after = {symbol: account.leverage(symbol) for symbol in before}
    assert {symbol: (before[symbol], after[symbol]) for symbol in before if before[symbol] != after[symbol]} == {
        "ETHUSDT": (10, 11)  # an isolated position cannot be lowered again, as the scenario states
    }


def test_a_leverage_that_cannot_be_restored_fails_the_scenario(simulators: Callable[[str], ExchangeUnderTest]) -> None:
    """A leverage that cannot be restored fails the scenario, with the symbol and its current leverage."""
    exchange = simulators("one-way")
    message = "ETHUSDT IS LEFT AT 20x, not 10x: restoring it was answered with code -4161"
    with pytest.raises(AssertionError, match=message), exchange.restored("ETHUSDT"):
        exchange.set_leverage("ETHUSDT", 20)


def test_isolated_margin_that_cannot_be_restored_fails_the_scenario(
    simulators: Callable[[str], ExchangeUnderTest],
) -> None:
    """Isolated margin that cannot be restored fails the scenario, and is named without its amount."""
    exchange = simulators("one-way")
    row = next(row for row in exchange.positions() if row["symbol"] == "ETHUSDT")

    def reduce_and_use() -> None:
        exchange.move_margin(row, -9_000)
        for symbol, leverage in (("BTCUSDT", 5), ("XRPUSDT", 20)):
            assert exchange.set_leverage(symbol, leverage).status == 200

    message = r"ETHUSDT \(isolated margin\) IS LEFT AT another margin, not its margin: .* code -4050"
    with pytest.raises(AssertionError, match=message), exchange.margin_restored(row):
        reduce_and_use()


def test_a_difference_is_reported_with_field_and_rule(
    simulators: Callable[[str], ExchangeUnderTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exchange that answers differently fails the rules that it breaks, with field, value and type."""
    exchange = simulators("one-way")
    config = answers.symbol_config

    def other(*arguments: Any) -> Any:
        return {**config(*arguments), "isAutoAddMargin": "false", "maxNotionalValue": "1"}

    monkeypatch.setattr(answers, "symbol_config", other)
    reports = {}
    for scenario in SCENARIOS[:12]:
        found = Comparison()
        with suppress(NotChecked):
            scenario.check(exchange, found)
        reports[scenario.name] = found.report()
    assert {name for name, report in reports.items() if report} == {
        "symbol_config", "max_notional_follows_from_the_tiers",
    }  # fmt: skip
    types, caps = reports["symbol_config"], reports["max_notional_follows_from_the_tiers"]
    assert "GET /fapi/v1/symbolConfig: type of isAutoAddMargin expected bool, seen text" in types
    assert "BTCUSDT: maxNotionalValue expected 100000000, seen 1" in caps
    assert "and 41 more" in caps
