"""The table of rules is complete: it names what exists, every scenario decides a rule, and the page shows the table."""

from __future__ import annotations

import pytest

from tests.conftest import ROOT
from tests.contract.margin_scenarios import SCENARIOS
from tests.contract.rules import PAGE, RULES, Rule, render

by_id = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)


def test_the_page_shows_the_table() -> None:
    """RULES.md is what ``python -m tests.contract.rules`` writes."""
    assert PAGE.read_text(encoding="utf-8") == render()


def test_ids_are_unique() -> None:
    """No two rules have the same id."""
    assert len({rule.id for rule in RULES}) == len(RULES)


def test_every_scenario_decides_a_rule() -> None:
    """The scenarios are those that the rules name, and no others."""
    assert {rule.scenario for rule in RULES} - {""} == {scenario.name for scenario in SCENARIOS}


@by_id
def test_a_rule_names_modules_that_exist(rule: Rule) -> None:
    """Client and simulator rely on the rule in modules that exist; the simulator's are its own."""
    for module in (*rule.client, *rule.simulator):
        assert (ROOT / "leverage_nb" / module).is_file(), module
    assert all(module.startswith("simulator/") for module in rule.simulator)
    assert not any(module.startswith("simulator/") for module in rule.client)
    assert rule.client
    assert rule.simulator


@by_id
def test_a_rule_is_decided_or_says_why_not(rule: Rule) -> None:
    """The rule has a scenario or a reason why none decides it, and a source."""
    assert bool(rule.scenario) != bool(rule.why_not)
    assert rule.source
    assert rule.rule.endswith(".")
    if rule.certainty == "documented":
        assert "https://" in rule.source or "Binance's text" in rule.source
