"""Plans of several profiles: one table and one report; one account that fails does not stop the others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import leverage_nb as lev
from leverage_nb.changes.multi_plan import NO_PROFILE, read_profiles
from leverage_nb.errors import InvalidInput
from leverage_nb.simulator import Simulator
from tests.changes.plans import leverages
from tests.conftest import connect_to
from tests.interrupting import interrupt_on, interruptible


@pytest.fixture
def desk(simulator: Simulator) -> Iterator[tuple[Simulator, Simulator]]:
    """Two accounts under the name of the testnet: the one without a profile, and sub1. The profile none has no key."""
    with Simulator() as other:
        connect_to(simulator, "testnet", max_leverage=100)
        connect_to(other, "testnet", profile="sub1", max_leverage=100)
        yield simulator, other


def test_each_account_gets_its_plan(desk: tuple[Simulator, Simulator]) -> None:
    """Every profile has a plan of its own, and one table has the rows of all of them with their profile."""
    plans = lev.plan_profiles({None: {"BTCUSDT": 10}, "Sub1": "BTCUSDT 15\nADAUSDT 12"}, "testnet")
    assert plans.headline == "Plans of 2 profiles: 3 to send"
    assert [received.exchange.received for received in desk] == [[], []]
    frame = plans.to_frame()
    assert frame.columns[0] == "profile"
    assert frame.reset_index()[["profile", "symbol", "after"]].to_numpy().tolist() == [
        [NO_PROFILE, "BTCUSDT", 10], ["sub1", "BTCUSDT", 15], ["sub1", "ADAUSDT", 12],
    ]  # fmt: skip
    calls: list[tuple[int, int]] = []
    done = plans.apply(lambda ended, total, _row: calls.append((ended, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]
    assert done.headline == "Plans of 2 profiles: 3 applied"
    assert [leverages(each, "BTCUSDT", "ADAUSDT") for each in desk] == [
        {"BTCUSDT": 10, "ADAUSDT": 20}, {"BTCUSDT": 15, "ADAUSDT": 12},
    ]  # fmt: skip
    for words in (plans.plans["sub1"].account, "sub1 ADAUSDT", "no-profile BTCUSDT"):
        assert words in str(done)


def test_a_policy_applies_its_rules_to_each_profile(desk: tuple[Simulator, Simulator], tmp_path: Path) -> None:
    """Each account is compared with the rules of its own profile."""
    path = tmp_path / "risk.toml"
    path.write_text("cap = 30\n[profiles.sub1]\ncap = 25")
    plans = lev.policy_profiles(path, [None, "sub1"], "testnet")
    assert plans.count() == {NO_PROFILE: 1, "sub1": 1}
    plans.apply()
    assert [leverages(each, "XRPUSDT") for each in desk] == [{"XRPUSDT": 30}, {"XRPUSDT": 25}]
    assert lev.policy_profiles(path, [None, "sub1"], "testnet").headline == "Plans of 2 profiles: nothing to do"


def test_a_profile_without_a_rule_is_named(desk: tuple[Simulator, Simulator], tmp_path: Path) -> None:
    """A policy with rules for one of two profiles is applied to that one; the other is a problem with its reason."""
    path = tmp_path / "risk.toml"
    path.write_text("[profiles.sub1]\ncap = 25")
    plans = lev.policy_profiles(path, [None, "sub1"], "testnet")
    assert plans.count() == {"sub1": 1}
    assert "risk.toml has no rule for an account without a profile" in plans.problems[NO_PROFILE]


def test_an_account_without_a_key_does_not_stop_the_others(desk: tuple[Simulator, Simulator]) -> None:
    """A profile without a key is reported by its name; the plans of the others are made and applied."""
    plans = lev.plan_profiles({"nokey": {"BTCUSDT": 10}, "sub1": {"BTCUSDT": 10}}, "testnet")
    assert list(plans.plans) == ["sub1"]
    assert "API key" in plans.problems["nokey"]
    assert plans.to_frame().attrs["problems"] == plans.problems
    done = plans.apply()
    assert done.headline == "Plans of 2 profiles: 1 applied, 1 with a problem"
    assert "nokey" in str(done)
    only = lev.plan_profiles({"nokey": {"BTCUSDT": 10}}, "testnet")
    assert only.to_frame().empty
    assert only.apply().problems == only.problems


def test_an_account_that_fails_when_it_is_applied_does_not_stop_the_others(
    desk: tuple[Simulator, Simulator],
) -> None:
    """A read-only account is reported with the reason, and the next account's plan is applied."""
    connect_to(desk[0], "testnet", read_only=True)
    done = lev.plan_profiles({None: {"BTCUSDT": 10}, "sub1": {"BTCUSDT": 10}}, "testnet").apply()
    assert "opened with read_only=True" in done.problems[NO_PROFILE]
    assert [leverages(each, "BTCUSDT")["BTCUSDT"] for each in desk] == [20, 10]


def test_plans_can_be_applied_again(desk: tuple[Simulator, Simulator]) -> None:
    """A row that another client changed after the preview is sent when the plans are applied a second time."""
    plans = lev.plan_profiles({None: {"BTCUSDT": 10}, "sub1": {"BTCUSDT": 10}}, "testnet")
    desk[1].exchange.change_elsewhere("BTCUSDT", 33)
    done = plans.apply()
    assert [row.status for row in done.plans["sub1"].rows] == ["not_sent"]
    assert done.count() == {"sub1": 1}
    assert [row.status for row in done.apply().plans["sub1"].rows] == ["applied"]


def test_ctrl_c_stops_before_the_next_account(desk: tuple[Simulator, Simulator]) -> None:
    """Ctrl-C ends the plan that is applied, and nothing is sent for the profiles after it."""
    plans = lev.plan_profiles({None: {"BTCUSDT": 10}, "sub1": {"BTCUSDT": 10}}, "testnet")
    interrupt_on(desk[0], "POST", "/fapi/v1/leverage")
    with interruptible():
        done = plans.apply()
    assert [row.status for row in done.plans[NO_PROFILE].rows] == ["applied"]
    assert "interrupted before its plan was applied" in done.problems["sub1"]
    assert desk[1].exchange.received == []


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({}, "No profile is given"), ({"a b": {"BTCUSDT": 10}}, "not a profile's name"), ([1], "needs a mapping"),
        ({"a,b": {"BTCUSDT": 10}}, "not a profile's name"), ({5: {"BTCUSDT": 10}}, "not a profile's name"),
        ({"sub1": {"BTCUSDT": 10}, "SUB1": {"BTCUSDT": 5}}, "sub1 is there twice"),
        ({"sub1": {"BTCUSTD": 10}}, "BTCUSTD is not a symbol"), ({"sub1": {}}, "plan is empty"),
    ],
)  # fmt: skip
def test_invalid_input_stops_all_of_them(desk: tuple[Simulator, Simulator], wanted: Any, words: str) -> None:
    """An invalid profile, a profile that is there twice, and an invalid plan are errors."""
    with pytest.raises(InvalidInput, match=words):
        lev.plan_profiles(wanted, "testnet")
    with pytest.raises(InvalidInput, match="profiles is a list"):
        lev.policy_profiles("risk.toml", "sub1")


def test_a_list_of_profiles_is_read() -> None:
    """Names are separated by commas; no-profile is the account without one."""
    assert read_profiles("no-profile, Sub1,sub2") == [None, "sub1", "sub2"]
    for text in ("sub1,", ",", "sub1,sub1", "no-profile,no-profile", "a-b,c"):
        with pytest.raises(InvalidInput):
            read_profiles(text)
