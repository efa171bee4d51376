"""The contract: what is believed of Binance holds for the simulator, and with ``pytest -m testnet`` for the testnet."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from leverage_nb.simulator import Simulator, answers
from leverage_nb.simulator.account import Refused
from leverage_nb.simulator.market import load_market
from tests.conftest import ROOT
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
    except AssertionError as exc:
        said = f"broke off: {exc}".splitlines()[0]
        raise
    except Exception as exc:
        said = f"broke off: {type(exc).__name__}"
        raise
    finally:
        parts = [f"DIFFERS: {'; '.join(found.mismatches[:5])}"] if found.mismatches else []
        parts += [said] if said != "holds" or not parts else []
        said = "; ".join([*parts, *found.notes])
        record_property("contract", f"| {scenario.rule} | {scenario.certainty} | {said} |")
    assert not found.mismatches, f"{scenario.certainty}: {scenario.rule} ({scenario.source})\n{found.report()}"
    if said.startswith("not tried"):
        pytest.skip(said)


class Young:
    """What an exchange does to an account that may not go above 20x yet."""

    def __init__(self, simulator: Simulator) -> None:
        self._accept = simulator.exchange.account.set_leverage

    def set_leverage(self, name: str, leverage: int) -> bool:
        """Refuse, or do what the simulator does."""
        if leverage > 20:
            raise Refused(400, -4300, "You can start trading with more than 20x leverage later.")
        return self._accept(name, leverage)


def test_a_young_account_breaks_no_rule(simulator: Simulator) -> None:
    """Where the account's own limit comes first, a rule above 20x is not tried, and no leverage is left changed."""
    account = simulator.exchange.account
    account.set_leverage = Young(simulator).set_leverage  # type: ignore[method-assign]  # a younger account
    exchange = ExchangeUnderTest(
        "simulator", simulator.rest_url, simulator.stream_url, simulator.api_key, simulator.api_secret
    )
    before = {symbol: account.leverage(symbol) for symbol in simulator.exchange.market.symbols}
    for scenario in SCENARIOS:
        found = Comparison()
        with suppress(NotTried):
            scenario.check(exchange, found)
        assert not found.mismatches, f"{scenario.rule}\n{found.report()}"
    after = {symbol: account.leverage(symbol) for symbol in before}
    assert {symbol: (before[symbol], after[symbol]) for symbol in before if before[symbol] != after[symbol]} == {
        "ETHUSDT": (10, 11)  # raised with an isolated position: the scenario says so
    }


def test_what_cannot_be_put_back_is_said(simulators: Callable[[str], ExchangeUnderTest]) -> None:
    """A leverage that could not be restored breaks the scenario off, with the symbol and where it is now."""
    exchange = simulators("one-way")
    said = "ETHUSDT IS LEFT AT 20x, not 10x: putting it back got -4161"
    with pytest.raises(AssertionError, match=said), exchange.restored("ETHUSDT"):
        exchange.set_leverage("ETHUSDT", 20)


def test_a_failed_run_prints_no_key(tmp_path: Path) -> None:
    """Whatever breaks, and however much pytest is told to print: neither key nor signature is in it."""
    with Simulator() as simulator:
        simulator.inject("reset_before", on="GET /fapi/v1/accountConfig", times=None)
        simulator.inject("reset_before", on="PUT /fapi/v1/listenKey", times=None)
        environment = {
            **os.environ,
            "LEVERAGE_NB_TESTNET_REST_URL": simulator.rest_url,
            "LEVERAGE_NB_TESTNET_STREAM_URL": "ws://127.0.0.1:1",  # nobody listens there
            "LEVERAGE_NB_TESTNET_API_KEY": simulator.api_key,
            "LEVERAGE_NB_TESTNET_API_SECRET": simulator.api_secret,
            "LEVERAGE_NB_CONTRACT_REPORT": str(tmp_path / "report.md"),
        }
        chosen = "test_the_testnet and (listen_key or wrong_signature or account_config or a_change_is_told)"
        command = [sys.executable, "-m", "pytest", "-n", "0", "-m", "testnet", "tests/contract", "-k", chosen]
        done = subprocess.run(
            [*command, "--showlocals", "--tb=long", "-p", "no:cacheprovider"],
            cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        listen_key = simulator.exchange.listen_key
    assert "4 failed" in done.stdout, done.stdout[-2000:]
    printed = done.stdout + done.stderr
    assert simulator.api_key not in printed
    assert simulator.api_secret not in printed
    assert listen_key not in printed
    assert not re.search("signature=[0-9a-f]{8}", printed)


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
