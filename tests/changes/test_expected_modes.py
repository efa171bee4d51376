"""A plan stops if the account is not in the modes that it expects."""

from __future__ import annotations

from typing import Any

import pytest

from leverage_nb.account import Account
from leverage_nb.changes.expected_modes import ExpectedModes
from leverage_nb.errors import InvalidInput, WrongMode
from leverage_nb.simulator import Simulator
from tests.conftest import connect_to


@pytest.mark.parametrize(
    ("text", "modes"),
    [
        ("hedge", ExpectedModes("hedge")), ("one-way,multi-assets", ExpectedModes("one-way", True)),
        ("Single-Asset, HEDGE", ExpectedModes("hedge", False)),
    ],
)  # fmt: skip
def test_modes_are_read(text: str, modes: ExpectedModes) -> None:
    """Modes are separated by commas, in any order and case."""
    assert ExpectedModes.read(text) == modes


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is not a mode. Modes are one-way, hedge, single-asset or multi-assets."), ("both", "both is not a mode"),
        ("hedge,", "is not a mode"), ("hedge,one-way", "hedge and one-way cannot both be expected"),
        ("hedge,hedge", "cannot both be expected"), ("multi-assets,single-asset", "cannot both be expected"),
    ],
)  # fmt: skip
def test_other_modes_are_refused(text: str, words: str) -> None:
    """A word that is no mode, and two modes of one kind, are refused."""
    with pytest.raises(InvalidInput, match=words):
        ExpectedModes.read(text)


@pytest.mark.parametrize(
    "modes", [{"position_mode": "both"}, {"position_mode": True}, {"multi_assets": "yes"}, {"multi_assets": 1}]
)
def test_arguments_are_checked(account: Account, modes: dict[str, Any]) -> None:
    """Account.plan accepts only its two position modes and truth values, and reads nothing otherwise."""
    with pytest.raises(InvalidInput, match="mode"):
        account.plan({"BTCUSDT": 10}, **modes)


def test_a_plan_in_another_mode_is_not_made(simulator: Simulator) -> None:
    """The error names the mode of the account and the expected one, of each kind that differs."""
    account = connect_to(simulator)
    for modes, words in (
        ({"position_mode": "hedge"}, "is in one-way mode, but the plan expects hedge mode."),
        ({"multi_assets": True}, "is in single-asset mode, but the plan expects multi-assets mode."),
        (
            {"position_mode": "hedge", "multi_assets": True},
            "is in one-way mode and single-asset mode, but the plan expects hedge mode and multi-assets mode.",
        ),
    ):
        with pytest.raises(WrongMode, match=words):
            account.plan({"BTCUSDT": 10}, **modes)
    assert len(account.plan({"BTCUSDT": 10}, position_mode="one-way", multi_assets=False).rows) == 1


def test_the_modes_are_checked_again_before_anything_is_sent(simulator: Simulator) -> None:
    """A mode that changed after the plan was made stops it when it is applied, and when it is retried."""
    account = connect_to(simulator)
    plan = account.plan({"BTCUSDT": 10, "SOLUSDT": 15}, multi_assets=False)
    simulator.exchange.account.multi_assets = True
    with pytest.raises(WrongMode, match="is in multi-assets mode, but the plan expects single-asset mode"):
        plan.apply()
    assert simulator.exchange.received == []
    simulator.exchange.account.multi_assets = False
    assert {row.status for row in plan.apply().rows} == {"applied"}
