"""A policy is read from a TOML file, and a plan restores it: it lowers leverages, and never raises one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from leverage_nb.account import Account
from leverage_nb.changes.plan import Plan
from leverage_nb.errors import InvalidInput
from leverage_nb.simulator import Simulator
from tests.changes.plans import leverages, statuses
from tests.conftest import connect_to


def write(folder: Path, text: str) -> Path:
    """Return the path of a policy."""
    path = folder / "risk.toml"
    path.write_text(text, encoding="utf-8")
    return path


def changed(plan: Plan) -> dict[str, Any]:
    """Return the value after each change that would be sent, by symbol."""
    return {row.symbol: row.after for row in plan.to_send}


# XRPUSDT is at 50x, BTCUSDT and ETHUSDT at 20x, BTCUSDC and all others at 20x or below: the simulator's first account.
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cap = 20", {"XRPUSDT": 20}), ("cap = 60", {}), ("[caps]\nXRPUSDT = 25", {"XRPUSDT": 25}),
        ("cap = 20\n[caps]\nXRPUSDT = 60", {}), ('cap = 60\n[caps]\n"XRP*" = 30', {"XRPUSDT": 30}),
        ('[caps]\n"XRP*" = 30\n"XRPUSD*" = 40\n"*" = 60', {"XRPUSDT": 40}),
        ('[caps]\n"XRP*" = 30\nXRPUSDT = 45', {"XRPUSDT": 45}), ('[caps]\n"xrp/usdt" = 45', {"XRPUSDT": 45}),
        ('[caps]\n"XRP*" = 30\n"*USD?" = 60', {}), ('[caps]\n"XRPU*" = 40\n"XRP?*" = 30', {"XRPUSDT": 30}),
        ("cap = 20\n[profiles.sub1]\ncap = 5", {"XRPUSDT": 20}), ("\ufeffcap = 20\r\n", {"XRPUSDT": 20}),
    ],
)  # fmt: skip
def test_a_symbol_wins_over_patterns_and_the_longest_pattern_over_the_default(
    account: Account, tmp_path: Path, text: str, expected: dict[str, int]
) -> None:
    """The cap of a symbol is its own, that of the longest matching pattern (the lower of two), or the default."""
    assert changed(account.policy_plan(write(tmp_path, text))) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cap = 20\n[profiles.sub1]\ncap = 30", 30), ("cap = 20\n[profiles.SUB1]\ncap = 30", 30),
        ("[caps]\nXRPUSDT = 25\n[profiles.sub1]\ncap = 30", 30),
        ("cap = 20\n[profiles.sub1]\ncaps = { BTCUSDT = 5 }", 20), ("cap = 20\n[profiles.sub2]\ncap = 5", 20),
    ],
)  # fmt: skip
def test_the_rules_of_a_profile_come_first(simulator: Simulator, tmp_path: Path, text: str, expected: int) -> None:
    """A rule of the profile wins over all others; where the profile has none, the rules of all apply."""
    account = connect_to(simulator, profile="Sub1")
    assert changed(account.policy_plan(write(tmp_path, text)))["XRPUSDT"] == expected


def test_the_report_counts_the_symbols_that_differ_and_apply_lowers_them(
    account: Account, simulator: Simulator, tmp_path: Path
) -> None:
    """The headline counts what differs; applying the plan lowers it, raises nothing, and then nothing differs."""
    path = write(tmp_path, "cap = 40\n[caps]\nXRPUSDT = 45")
    simulator.exchange.change_elsewhere("SOLUSDT", 45)
    before = leverages(simulator, *simulator.exchange.market.symbols)
    plan = account.policy_plan(str(path))
    assert plan.headline == "Policy risk.toml: 2 of 44 symbols differ"  # two are not trading
    assert "SOLUSDT" in str(plan)
    assert "BTCUSDT" not in str(plan)
    assert simulator.exchange.received == []
    done = plan.apply()
    assert done.headline == "Policy risk.toml, plan of 44 rows: 2 applied, 42 unchanged"
    after = leverages(simulator, *simulator.exchange.market.symbols)
    assert after == before | {"SOLUSDT": 40, "XRPUSDT": 45}
    assert account.policy_plan(path).headline == "Policy risk.toml: 0 of 44 symbols differ"


def test_a_margin_type_that_cannot_be_changed_is_a_row_and_does_not_stop_the_cap(
    account: Account, simulator: Simulator, tmp_path: Path
) -> None:
    """A position keeps its symbol's margin type: its row has the refusal, and its leverage is lowered all the same."""
    plan = account.policy_plan(write(tmp_path, 'cap = 10\n[margin_types]\nBTCUSDT = "isolated"\nADAUSDT = "isolated"'))
    rows = {row.key: row for row in plan.rows}
    stuck = rows["BTCUSDT", "margin type"]
    assert (stuck.verdict, stuck.code) == ("refused", -4048)
    assert rows["BTCUSDT", "leverage"].verdict == "ok"
    assert "would be refused" in plan.headline
    done = {row.key: row.status for row in plan.apply().rows}
    assert done["BTCUSDT", "margin type"] == "not_sent"
    assert done["BTCUSDT", "leverage"] == done["ADAUSDT", "margin type"] == "applied"
    assert leverages(simulator, "BTCUSDT") == {"BTCUSDT": 10}


def test_the_default_margin_type_applies_to_all_symbols(account: Account, tmp_path: Path) -> None:
    """The margin type of all symbols is that of the file, apart from the symbols that it names."""
    plan = account.policy_plan(write(tmp_path, 'margin_type = "isolated"\n[margin_types]\n"*USDC" = "crossed"'))
    wanted = {row.symbol: row.after for row in plan.rows if row.kind == "margin type"}
    assert wanted["BTCUSDT"] == "isolated"
    assert {after for symbol, after in wanted.items() if symbol.endswith("USDC")} <= {"cross"}
    assert len(wanted) == 44


def test_a_leverage_that_is_not_set_counts_as_the_default_of_20(tmp_path: Path) -> None:
    """Below a cap of 20x it is no difference, and nothing raises it; above its cap it is set to the cap."""
    with Simulator(profile="demo") as simulator, connect_to(simulator) as account:
        plan = account.policy_plan(write(tmp_path, "cap = 25"))
        assert "BNBUSDT" not in {row.symbol for row in plan.rows}
        assert "leverages that are not set: Binance's default, 20x or the symbol's lower maximum, is within" in str(
            plan
        )
        row = {row.symbol: row for row in account.policy_plan(write(tmp_path, "cap = 10")).rows}["BNBUSDT"]
        assert (row.before, row.after, row.verdict) == (None, 10, "ok")


def test_a_symbol_that_is_not_trading_needs_its_name(account: Account, tmp_path: Path) -> None:
    """The default leaves out a symbol that is not trading; a rule that names it does not."""
    assert "UXLINKUSDT" not in changed(account.policy_plan(write(tmp_path, "cap = 1")))
    assert changed(account.policy_plan(write(tmp_path, "caps = { UXLINKUSDT = 1 }"))) == {"UXLINKUSDT": 1}


def problems(account: Account, path: Any) -> str:
    """Return the text of the error of an invalid policy."""
    with pytest.raises(InvalidInput) as caught:
        account.policy_plan(path)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cap = 0", "cap: 0 is not a cap"), ("cap = -5", "cap: -5 is not"), ("cap = true", "cap: True is not a cap"),
        ('cap = "max"', "cap: max is not a cap"), ('cap = "20"', "cap: 20 is not a cap (Write a whole number"),
        ("cap = 20.0", "cap: 20.0 is not"), ("cap = nan", "cap: nan is not"), ("cap = 1_000_000_001", "is not a cap"),
        ("cap = [20]", "cap: [20] is not"), ("cap = 2026-11-30", "cap: 2026-11-30 is not"),
        ("[caps]\nBTCUSTD = 5", "caps.BTCUSTD: BTCUSTD is not a symbol on the simulator (Did you mean BTCUSDT?)"),
        ("[caps]\nBTC.USDT = 5", "caps.BTC: BTC is not a symbol"), ("caps = 20", "caps: it must be a table of symbols"),
        ('[caps]\n"ZZZ*" = 5', "caps.ZZZ*: no symbol of this venue matches it"), ('[caps]\n"" = 5', "caps.'': "),
        (f"[caps]\n{'A' * 65} = 5", "a symbol has at most 64 characters"),
        ("[caps]\nBTCUSDT = 5\nbtcusdt = 6", "caps.btcusdt: BTCUSDT is there twice"),
        ('cap = 5\n[caps]\n"*" = 6', "caps.*: * is there twice"), ("leverage = 5", "leverage: it is not a key"),
        ('margin_type = "portfolio"', "margin_type: portfolio is not a margin type"),
        ("margin_type = true", "margin_type: True is not"), ('[margin_types]\nBTCUSDT = ""', "margin_types.BTCUSDT"),
        ("margin_types = []", "margin_types: it must be a table"), ("profiles = 5", "profiles: it must be tables"),
        ("[profiles]\nsub1 = 5", "profiles.sub1: it must be a table"),
        ('[profiles."sub 1"]\ncap = 5', "is not a profile's name"), ("[profiles.a.profiles.b]", "profiles.a.profiles:"),
        ("[profiles.a]\ncap = 5\n[profiles.A]\ncap = 5", "profiles.A: the profile is there twice"),
        ("[profiles.other.caps]\nBTCUSDT = 0", "profiles.other.caps.BTCUSDT: 0 is not a cap"),
        ("cap = 5\ncap = 6", "not valid TOML"), ("cap: 5", "not valid TOML"), ("cap = \x00", "not valid TOML"),
        (f"cap = {'9' * 5000}", "a number is too long"), (f"cap = {'[' * 9000}", "not valid TOML"),
        ("", "has no rule for an account without a profile"), ("[profiles.sub1]\ncap = 5", "has no rule for an acc"),
        ("[caps]\n" + "\n".join(f"S{n} = 5" for n in range(5001)), "at most 5,000 rules"),
    ],
)  # fmt: skip
def test_an_invalid_policy_is_an_error_that_names_the_key(
    account: Account, tmp_path: Path, text: str, words: str
) -> None:
    """Unknown keys and symbols, values of another type, two rules for one symbol, and what is not TOML are errors."""
    assert words in problems(account, write(tmp_path, text))


def test_all_problems_are_named_together(account: Account, simulator: Simulator, tmp_path: Path) -> None:
    """One error names every problem with its key, also those of other profiles."""
    found = problems(account, write(tmp_path, "cap = 0\nx = 1\n[caps]\nFOO = true\n[profiles.b]\nmargin_type = 3"))
    for words in (
        "cap: 0",
        "x: it is not a key",
        "caps.FOO: FOO",
        "caps.FOO: True",
        "profiles.b.margin_type: 3",
    ):
        assert words in found
    assert simulator.exchange.received == []


def test_a_file_that_cannot_be_read_is_an_error(account: Account, tmp_path: Path) -> None:
    """A missing file, a folder, a pipe, a file of more than 1 MB, and one that is not text are errors."""
    assert "No such file" in problems(account, tmp_path / "none.toml")
    assert "it is not a file" in problems(account, tmp_path)
    if hasattr(os, "mkfifo"):  # not on Windows
        os.mkfifo(tmp_path / "pipe")
        assert "it is not a file" in problems(account, tmp_path / "pipe")
    (tmp_path / "large.toml").write_text("#" * 1_000_001)
    assert "larger than 1 MB" in problems(account, tmp_path / "large.toml")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    assert "not text in UTF-8" in problems(account, tmp_path / "binary.toml")
    assert "is the path of a TOML file" in problems(account, 20)


def test_a_plan_of_a_policy_never_raises_what_another_client_has_lowered(
    account: Account, simulator: Simulator, tmp_path: Path
) -> None:
    """A symbol that another client has lowered below its cap after the report is left as it is."""
    plan = account.policy_plan(write(tmp_path, "cap = 20"))
    simulator.exchange.change_elsewhere("XRPUSDT", 5)
    assert statuses(plan.apply())["XRPUSDT"] == "unchanged"
    assert leverages(simulator, "XRPUSDT") == {"XRPUSDT": 5}
