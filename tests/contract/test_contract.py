"""The contract: what is believed of Binance holds for the simulator, and with ``pytest -m testnet`` for the testnet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from leverage_nb.simulator import Simulator, answers
from leverage_nb.simulator.market import load_market
from tests.contract.comparison import Comparison, NotTried
from tests.contract.exchange import ExchangeUnderTest
from tests.contract.scenarios import SCENARIOS, Scenario

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
# What an account has to hold so that every rule can be tried: no single one can.
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
# On the simulator nobody has an adjusted account.
NEVER_TRIED = {"what_notional_coef_multiplies"}

by_name = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)


@pytest.fixture
def simulators() -> Iterator[Callable[[str], ExchangeUnderTest]]:
    """``simulators("hedge")``: a simulator whose account opens so."""
    running: list[Simulator] = []

    def start(opening: str) -> ExchangeUnderTest:
        running.append(Simulator(account=OPENINGS[opening], weight_limit=1_000_000))
        own = running[-1]
        return ExchangeUnderTest("simulator", own.rest_url, own.stream_url, own.api_key, own.api_secret)

    yield start
    for simulator in running:
        simulator.close()


@by_name
def test_the_simulator_keeps_the_contract(scenario: Scenario, simulators: Callable[[str], ExchangeUnderTest]) -> None:
    """The rule holds on every account of the simulator that it can be tried on, and there is one."""
    tried = []
    for opening in OPENINGS:
        found = Comparison()
        try:
            scenario.check(simulators(opening), found)
        except NotTried:
            continue
        tried.append(opening)
        assert not found.mismatches, f"{scenario.rule}\n{found.report()}"
        assert found.compared or found.notes
    assert bool(tried) != (scenario.name in NEVER_TRIED), "no account holds what it needs"


@pytest.mark.testnet
@by_name
def test_the_testnet_keeps_the_contract(
    scenario: Scenario, testnet: ExchangeUnderTest, record_property: Callable[[str, Any], None]
) -> None:
    """The rule holds on the testnet, for the account whose key is in the environment."""
    found = Comparison()
    said = "holds"
    try:
        scenario.check(testnet, found)
    except NotTried as needs:
        said = f"not tried: it needs {needs}"
    except Exception as exc:
        said = f"broke off: {type(exc).__name__}"
        raise
    finally:
        said = "; ".join(["DIFFERS: " + "; ".join(found.mismatches[:5]) if found.mismatches else said, *found.notes])
        record_property("contract", f"| {scenario.rule} | {scenario.certainty} | {said} |")
    assert not found.mismatches, f"{scenario.certainty}: {scenario.rule} ({scenario.source})\n{found.report()}"
    if said.startswith("not tried"):
        pytest.skip(said)


def test_a_difference_names_field_and_rule(
    simulators: Callable[[str], ExchangeUnderTest], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exchange that answers differently is caught by the rule it breaks, with the field, the figure and the type."""
    exchange = simulators("one-way")
    config = answers.symbol_config

    def other(*arguments: Any) -> Any:
        return {**config(*arguments), "isAutoAddMargin": "false", "maxNotionalValue": "1"}

    monkeypatch.setattr(answers, "symbol_config", other)
    reports = {}
    for scenario in SCENARIOS[:12]:
        found = Comparison()
        with suppress(NotTried):
            scenario.check(exchange, found)
        reports[scenario.name] = found.report()
    assert {name for name, report in reports.items() if report} == {
        "symbol_config", "max_notional_follows_from_the_tiers",
    }  # fmt: skip
    types, caps = reports["symbol_config"], reports["max_notional_follows_from_the_tiers"]
    assert "GET /fapi/v1/symbolConfig: type of isAutoAddMargin expected bool, seen text" in types
    assert "BTCUSDT: maxNotionalValue expected 100000000, seen 1" in caps
    assert "and 6 more" in caps
