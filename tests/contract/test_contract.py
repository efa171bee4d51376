"""The contract: the assumed rules hold for the simulator and, with ``pytest -m testnet``, for Binance's testnet."""

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
from tests.contract.comparison import Comparison, NotChecked
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
# The simulator has no accounts with adjusted tiers.
NEVER_CHECKED = {"what_notional_coef_multiplies"}

by_name = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)


@pytest.fixture
def simulators() -> Iterator[Callable[[str], ExchangeUnderTest]]:
    """Return a function that starts a simulator: ``simulators("hedge")``."""
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
    """The rule holds on every account of the simulator on which it can be checked, and there is at least one."""
    checked = []
    for opening in OPENINGS:
        found = Comparison()
        try:
            scenario.check(simulators(opening), found)
        except NotChecked:
            continue
        checked.append(opening)
        assert not found.mismatches, f"{scenario.rule}\n{found.report()}"
        assert found.compared or found.notes
    assert bool(checked) != (scenario.name in NEVER_CHECKED), "no account allows the check"


@pytest.mark.testnet
@by_name
def test_the_testnet_keeps_the_contract(
    scenario: Scenario, testnet: ExchangeUnderTest, record_property: Callable[[str, Any], None]
) -> None:
    """The rule holds on the testnet, for the account whose key is in the environment."""
    found = Comparison()
    result = "holds"
    try:
        scenario.check(testnet, found)
    except NotChecked as needs:
        result = f"not checked: it needs {needs}"
    except AssertionError as exc:
        result = f"failed: {exc}".splitlines()[0]
        raise
    except Exception as exc:
        result = f"failed: {type(exc).__name__}"
        raise
    finally:
        parts = [f"DIFFERS: {'; '.join(found.mismatches[:5])}"] if found.mismatches else []
        parts += [result] if result != "holds" or not parts else []
        result = "; ".join([*parts, *found.notes])
        record_property("contract", f"| {scenario.rule} | {scenario.certainty} | {result} |")
    assert not found.mismatches, f"{scenario.certainty}: {scenario.rule} ({scenario.source})\n{found.report()}"
    if result.startswith("not checked"):
        pytest.skip(result)


class NewAccount:
    """A new account, which may not exceed 20x yet."""

    def __init__(self, simulator: Simulator) -> None:
        self._accept = simulator.exchange.account.set_leverage

    def set_leverage(self, name: str, leverage: int) -> bool:
        """Refuse more than 20x, else change the leverage."""
        if leverage > 20:
            raise Refused(400, -4300, "You can start trading with more than 20x leverage later.")
        return self._accept(name, leverage)


def test_rules_are_not_checked_beyond_an_account_limit(simulator: Simulator) -> None:
    """If the account's limit refuses first, a rule above 20x is not checked, and every leverage is restored."""
    account = simulator.exchange.account
    account.set_leverage = NewAccount(simulator).set_leverage  # type: ignore[method-assign]  # a new account
    exchange = ExchangeUnderTest(
        "simulator", simulator.rest_url, simulator.stream_url, simulator.api_key, simulator.api_secret
    )
    before = {symbol: account.leverage(symbol) for symbol in simulator.exchange.market.symbols}
    for scenario in SCENARIOS:
        found = Comparison()
        with suppress(NotChecked):
            scenario.check(exchange, found)
        assert not found.mismatches, f"{scenario.rule}\n{found.report()}"
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


def test_a_failed_run_prints_no_key(tmp_path: Path) -> None:
    """The output of failed tests contains neither key nor signature, even with pytest's most verbose options."""
    with Simulator() as simulator:
        simulator.inject("reset_before", on="GET /fapi/v1/accountConfig", times=None)
        simulator.inject("reset_before", on="PUT /fapi/v1/listenKey", times=None)
        environment = {
            **os.environ,
            "LEVERAGE_NB_TESTNET_REST_URL": simulator.rest_url,
            "LEVERAGE_NB_TESTNET_STREAM_URL": "ws://127.0.0.1:1",  # a closed port
            "LEVERAGE_NB_TESTNET_API_KEY": simulator.api_key,
            "LEVERAGE_NB_TESTNET_API_SECRET": simulator.api_secret,
            "LEVERAGE_NB_CONTRACT_REPORT": str(tmp_path / "report.md"),
        }
        chosen = "test_the_testnet and (listen_key or wrong_signature or account_config or a_change_sends_an_event)"
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
