"""``%leverage`` in an IPython shell, against the simulator."""

from __future__ import annotations

import re

import pytest
from IPython.core.interactiveshell import InteractiveShell

from leverage_nb.errors import (
    ChangeNotSent,
    CredentialsMissing,
    InvalidInput,
    InvalidLeverage,
    LeverageError,
    LeverageRefused,
    UnknownSymbol,
)
from leverage_nb.notebook.overview import Overview
from leverage_nb.session import current, session
from leverage_nb.simulator import Simulator
from tests.conftest import connect_to
from tests.notebook.commands import run, run_cell


def test_the_bare_command_shows_the_overview(shell: InteractiveShell) -> None:
    """%leverage without arguments returns the overview of the account in use."""
    overview = run(shell, "")
    assert isinstance(overview, Overview)
    assert "SIMULATOR" in str(overview)


def test_the_result_can_be_assigned(shell: InteractiveShell) -> None:
    """``change = %leverage BTCUSDT 10`` assigns the record, and fields are filled in."""
    shell.user_ns["symbols"] = ["XRPUSDT"]
    shell.run_cell("change = %leverage {symbols[0]} 9").raise_error()
    assert shell.user_ns["change"].symbol == "XRPUSDT"


@pytest.mark.parametrize(
    ("line", "kind", "words"),
    [
        ("FOO 10", UnknownSymbol, "FOO is not a symbol on the simulator"),
        ("BTCUSTD 10", UnknownSymbol, "Did you mean BTCUSDT?"),
        ("BTCUSDT ten", InvalidInput, "ten is neither a leverage nor a symbol"),
        ("BTCUSDT 0", InvalidLeverage, "0 is not a leverage for BTCUSDT: use a whole number from 1 to 150"),
        ("BTCUSDT -5", InvalidLeverage, "-5 is not"),
        ("BTCUSDT 10.5", InvalidLeverage, "10.5 is not"),
        ("BTCUSDT 1e9", InvalidLeverage, "1e9 is not"),
        ("BTCUSDT 200", InvalidLeverage, "200x is above BTCUSDT's maximum of 150x"),
        ("哈基米USDT 4", InvalidLeverage, "4x is above 哈基米USDT's maximum of 3x"),
        ("BTCUSDT 10 20", InvalidInput, "One leverage at a time: 10 and 20"),
        ("BTCUSDT ETHUSDT 10 20", InvalidInput, "One leverage at a time: 10 and 20"),
        ("BTCUSDT FOO 10", InvalidInput, "FOO is not a symbol"),
        ("* max", InvalidInput, "max for * would raise every symbol to its highest leverage"),
        ("* 0", InvalidInput, "0 is not a leverage"),
        ("BTCUSDT <=0", InvalidInput, "0 is not a leverage for BTCUSDT"),
        ("BTCUSDT <=", InvalidInput, "<= has no leverage after it"),
        ("BTCUSDT =<20", InvalidInput, "=<20 is not a leverage (For an upper bound write <=20.)"),
        ("BTCUSDT >=20", InvalidInput, ">=20 is not a leverage"),
        ("BTCUSDT <20", InvalidInput, "<20 is not a leverage"),
        ("--cap max", InvalidInput, "--cap takes a leverage; max is none"),
        ("--cap 0", InvalidInput, "--cap takes a leverage; 0 is none"),
        ("--cap 20 --cap 10", InvalidInput, "--cap is given twice"),
        ("--expect spot --cap 20", InvalidInput, "spot is not a mode"),
        ("BTCUSDT --expect hedge", InvalidInput, "--expect needs a symbol and a leverage"),
        ("10", InvalidInput, "The symbol for 10 is missing"),
        ("10 BTCUSDT", InvalidInput, "The leverage comes after the symbol"),
        ("BTCUSDT --plot --plot", InvalidInput, "--plot is given twice"),
        ("BTCUSDT 10 --venue testnet --venue simulator", InvalidInput, "--venue is given twice"),
        ("BTCUSDT 10 --plot", InvalidInput, "--plot takes no leverage (10)"),
        ("BTCUSDT --plot --brackets", InvalidInput, "one at a time"),
        ("--plot", InvalidInput, "needs a symbol"),
        ("BTCUSDT ETHBTC --plot", InvalidInput, "margin asset"),
        ("{undefined} 10", InvalidInput, "{undefined} was not filled in"),
        ("$nope", InvalidInput, "$nope was not filled in"),
        ("--nope", InvalidInput, "Unrecognized arguments: --nope"),
        ("--venue", InvalidInput, "--venue needs a value"),
        ("--venue mars", InvalidInput, "mars is not a venue"),
        (f"--venue {'a1b2c3d4' * 8}", InvalidInput, "That text is not a venue"),
        (f"--login {'a1b2c3d4' * 8}", InvalidInput, "That text is not a venue"),
        (f"--profile {'a1b2c3d4' * 8}", InvalidInput, "That text is not a profile's name"),
        (f"{'a1b2c3d4' * 8} 10", UnknownSymbol, "That text is not a symbol on the simulator"),
        ("--venue testnet", CredentialsMissing, "LEVERAGE_NB_TESTNET_API_KEY"),
        ("BTCUSDT 10 --venue mainnet", CredentialsMissing, "LEVERAGE_NB_MAINNET_API_KEY"),
        ("BTCUSDT 'x", InvalidInput, "quotation mark (') outside braces"),
        ("BTCUSDT 125", ChangeNotSent, "highest leverage that fits: 100x (-2027)"),
        ("BTCUSDT 125 --force", LeverageRefused, "-2027"),
        ("BTCUSDT max --notional 5b", InvalidInput, "No leverage of BTCUSDT allows"),
        ("BTCUSDT max --notional much", InvalidInput, "much is not a notional"),
        ("BTCUSDT 10 --notional 2m", InvalidInput, "needs the word max"),
        ("--force", InvalidInput, "--force needs a symbol and a leverage"),
        ("BTCUSDT -n", InvalidInput, "--dry-run needs a symbol and a leverage"),
        ("BTCUSDT --brackets --force", InvalidInput, "--force needs a symbol and a leverage"),
        ("--history --notional 2m", InvalidInput, "--notional needs the word max"),
        ("max", InvalidInput, "The symbol for max is missing"),
    ],
)  # fmt: skip
def test_every_typing_error_is_a_short_error(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], line: str, kind: type[LeverageError], words: str
) -> None:
    """Every typing error is one error of a few lines without a traceback, and changes nothing."""
    capsys.readouterr()
    error = shell.run_cell(f"%leverage {line}").error_in_exec
    assert type(error) is kind
    assert words in str(error)
    printed = capsys.readouterr().out.strip()
    assert len(printed.splitlines()) <= 4, printed
    assert "Traceback" not in printed
    assert session.simulator().exchange.executed == []


def test_help_prints_the_commands(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    """--help prints the commands, and %leverage? shows the same text."""
    assert run(shell, "--help") is None
    shell.run_cell("%leverage -h")
    assert "--brackets" in capsys.readouterr().out
    assert "%leverage BTCUSDT 10" in shell.find_line_magic("leverage").__doc__


def test_venue_switches_only_if_it_is_alone(shell: InteractiveShell, simulator: Simulator) -> None:
    """--venue alone applies to all later commands; with a symbol it applies to that command."""
    testnet = connect_to(simulator, "testnet")
    change = run(shell, "BTCUSDT 10 --venue testnet")
    assert change.venue == "testnet"
    assert current().venue == "simulator"
    assert run(shell, "--venue testnet").venue == "testnet"
    assert run(shell, "BTCUSDT 11").venue == "testnet"
    assert current() is testnet
    shell.run_cell("%config LeverageMagics.venue = 'simulator'", silent=True).raise_error()
    assert run(shell, "BTCUSDT 12").venue == "simulator"


def test_unloading_removes_the_magic(shell: InteractiveShell) -> None:
    """After unload_ext there is no %leverage, and it can be loaded again."""
    shell.extension_manager.unload_extension("leverage_nb")
    assert shell.find_line_magic("leverage") is None
    shell.extension_manager.load_extension("leverage_nb")
    assert run(shell, "BTCUSDT 10").after == 10


def test_a_venue_that_cannot_be_read_is_not_switched_to(shell: InteractiveShell) -> None:
    """--venue switches only if the account could be read, so that the next command is for the venue shown."""
    with Simulator() as gone:
        connect_to(gone, "mainnet", timeout=5.0)
    with pytest.raises(LeverageError):
        run(shell, "--venue mainnet")
    assert current().venue == "simulator"
    assert run(shell, "BTCUSDT 12").venue == "simulator"


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("BTCUSDT 10 ETHUSDT 20", "%%leverage, with one SYMBOL LEVERAGE per line"),
        ("BTCUSDT ETHUSDT 10 20", "One leverage for all: %leverage BTCUSDT SOLUSDT 10"),
        ("BTCUSDT ETHUSDT 10 20", "%%leverage, with one SYMBOL LEVERAGE per line"),
        ("BTCUSDT max 2m", "%leverage BTCUSDT max --notional 2m"),
        ("BTCUSDT max 50000", "%leverage BTCUSDT max --notional 50000"),
        ("--undo 3", "--undo takes neither symbol nor leverage"),
        ("BTCUSDT --notional 2m", "needs the word max"),
        ("--venue mainet", "Did you mean mainnet?"),
        ("BTCUSDT --venue simulator 10", "Options come last."),
        ("-y", "--yes needs a symbol and a leverage"),
    ],
)
def test_hints_name_the_command_that_was_meant(shell: InteractiveShell, line: str, hint: str) -> None:
    """The hint of an error names the command that does what was meant."""
    with pytest.raises(InvalidInput) as caught:
        run(shell, line)
    assert hint in str(caught.value)


def test_the_configured_account_is_that_of_python(shell: InteractiveShell, simulator: Simulator) -> None:
    """%config sets venue, profile and guard for %leverage, lev.current() and new panels, and shows what is used."""
    main = connect_to(simulator, "mainnet")
    run(shell, "--venue mainnet")
    assert current() is main
    magics = shell.magics_manager.registry["LeverageMagics"]
    assert magics.venue == "mainnet"
    shell.run_cell("%config LeverageMagics.venue = 'simulator'\n%config LeverageMagics.max_leverage = 5").raise_error()
    assert current().venue == "simulator" == run(shell, "BTCUSDT 5").venue
    with pytest.raises(ChangeNotSent, match="above your guard of 5x"):
        current().set_leverage("BTCUSDT", 6)
    sub = connect_to(simulator, "mainnet", profile="sub1")
    shell.run_cell("%config LeverageMagics.profile = 'sub1'\n%config LeverageMagics.venue = 'mainnet'").raise_error()
    assert current() is sub


def test_an_invalid_venue_is_refused_by_config(shell: InteractiveShell, caplog: pytest.LogCaptureFixture) -> None:
    """%config refuses a venue that does not exist, and the one in use stays."""
    shell.run_cell("%config LeverageMagics.venue = 'mainet'")
    assert "Did you mean mainnet?" in caplog.text
    assert shell.magics_manager.registry["LeverageMagics"].venue == "simulator" == current().venue


def test_a_reloaded_extension_keeps_account_and_guard(shell: InteractiveShell, simulator: Simulator) -> None:
    """After %reload_ext the same account is in use, and the guard is in force."""
    connect_to(simulator, "mainnet")
    run(shell, "--venue mainnet")
    shell.run_cell("%config LeverageMagics.max_leverage = 7").raise_error()
    shell.extension_manager.reload_extension("leverage_nb")
    magics = shell.magics_manager.registry["LeverageMagics"]
    assert (magics.venue, magics.max_leverage) == ("mainnet", 7)
    with pytest.raises(ChangeNotSent, match="above your guard of 7x"):
        run(shell, "XRPUSDT 8 -y")


def test_a_configuration_file_chooses_account_and_guard(shell: InteractiveShell) -> None:
    """Venue and guard of IPython's configuration are in use from the first line."""
    shell.extension_manager.unload_extension("leverage_nb")
    shell.config.LeverageMagics.venue, shell.config.LeverageMagics.max_leverage = "Testnet", 9
    shell.extension_manager.load_extension("leverage_nb")
    assert (session.venue, session.max_leverage) == ("testnet", 9)


KEY = "a1B2c3D4" * 8


@pytest.mark.parametrize(
    "line",
    [
        "BTCUSDT {key}", "10 {key}", "{key} 10 20", "BTCUSDT 10 {key}", "isolated {key}", "BTCUSDT max {number}",
        "BTCUSDT --plot {key}", "BTCUSDT --yes {key}", "BTCUSDT --for {key}", "{key} --notional 2m",
        "BTCUSDT --notional {key}", "BTCUSDT --cap {key}", "BTCUSDT --add-margin {key}", "--side {key}", "{row[key]}",
        "{number} --plot", "{long}", "BTCUSDT 10 --expect {key}", "BTCUSDT {key} SOLUSDT", "--policy {key}",
        "--login testnet --profile {key}", "{key} BTCUSDT", "--history {key}", "* {key}",
    ],
)  # fmt: skip
def test_no_message_repeats_a_key(shell: InteractiveShell, capsys: pytest.CaptureFixture[str], line: str) -> None:
    """A key in the wrong place of a line is not repeated by the error, whether it is typed or a variable."""
    shell.user_ns.update(key=KEY, number="1234567890" * 6, long=KEY * 2 + " x", row={})
    for text in (line, line.replace("{key}", KEY)):
        result = shell.run_cell(f"%leverage {text}")
        shown = capsys.readouterr()
        assert isinstance(result.error_in_exec, InvalidInput), text
        for repeated in (KEY[:24], "123456789012345678901234"):
            assert repeated not in f"{shown.out}{shown.err}{result.error_in_exec}{result.error_in_exec.hint}", text


def test_a_venue_in_capitals_keeps_its_profile(shell: InteractiveShell, simulator: Simulator) -> None:
    """%config accepts the venue in any case, and the profile stays in use."""
    sub = connect_to(simulator, "mainnet", profile="sub1")
    connect_to(simulator, "mainnet")
    shell.run_cell("%config LeverageMagics.venue = 'Mainnet'")
    shell.run_cell("%config LeverageMagics.profile = 'sub1'")
    assert run(shell, "XRPUSDT 10 -n").account == sub.label


def test_lsmagic_and_help_are_complete(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    """%lsmagic lists line and cell magic, and %leverage? describes every flag."""
    shell.run_cell("%lsmagic")
    listed = capsys.readouterr().out
    assert "%leverage " in listed
    assert "%%leverage" in listed
    shell.run_cell("%leverage?")
    text = capsys.readouterr().out
    flags = (
        "--add-margin", "--brackets", "--cap", "--changes", "--cross", "--dry-run", "--expect", "--force", "--help",
        "--history", "--isolated", "--login", "--logout", "--notional", "--plot", "--profile", "--reduce-margin",
        "--side", "--undo", "--venue", "--yes",
    )  # fmt: skip
    for flag in flags:
        assert flag in text, flag
        assert re.search(rf"{flag}( [A-Z]+)?(\n| ) +[A-Za-z]", text), f"{flag} has no description"


def test_no_profile_names_the_account_without_one(shell: InteractiveShell, simulator: Simulator) -> None:
    """While a profile is in use, --profile no-profile means the account without a profile, for one line."""
    connect_to(simulator, "testnet")
    sub = connect_to(simulator, "testnet", profile="sub1")
    run(shell, "--venue testnet --profile sub1")
    change = run(shell, "BTCUSDT 10 --profile no-profile")
    assert (change.status, change.account.startswith("sub1")) == ("applied", False)
    assert current() is sub


def test_naming_the_venue_in_use_keeps_the_profile(
    shell: InteractiveShell, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--venue with the venue in use means the account in use with its profile."""
    with Simulator() as other:
        sub = connect_to(simulator, "testnet", profile="sub1")
        connect_to(other, "testnet")
        assert "sub1" in str(run(shell, "--venue testnet --profile sub1"))
        assert run(shell, "BTCUSDT 33 --venue testnet").account == sub.label
        assert other.exchange.received == []
        assert run(shell, "BTCUSDT 10 --venue simulator").venue == "simulator"


ATTACK = "BTCUSDT 20 -y --venue mainnet #"


def test_fields_use_the_variables_of_their_function(shell: InteractiveShell) -> None:
    """Fields use the variables of the function that they are in, before those of the notebook."""
    shell.user_ns["symbol"] = "SOLUSDT"
    shell.run_cell(
        """
        import pandas as pd
        def set_all(table):
            done = []
            for index, row in table.iterrows():
                symbol, wanted = row["the symbol"], row["leverage"]
                change = %leverage {symbol} {wanted}
                done.append(change)
                %leverage {row['the symbol']} $wanted
            return done
        done = set_all(pd.DataFrame({"the symbol": ["BTCUSDT", "XRPUSDT"], "leverage": [10.0, 9.0]}))
        """
    ).raise_error()
    assert [(change.symbol, change.after) for change in shell.user_ns["done"]] == [("BTCUSDT", 10), ("XRPUSDT", 9)]
    assert run(shell, "{symbol} --brackets").attrs["symbol"] == "SOLUSDT"


def test_fields_work_with_other_magics(shell: InteractiveShell) -> None:
    """Fields are filled in under %time and %%capture, and through get_ipython()."""
    shell.user_ns["s"] = "BTCUSDT"
    shell.run_cell("%time r = %leverage {s} 10").raise_error()
    shell.run_cell("%%capture\n%leverage {s} 11").raise_error()
    assert current().setting("BTCUSDT").leverage == 11
    shell.run_cell("def f(t):\n    return get_ipython().run_line_magic('leverage', '{t} 12')\nf(s)").raise_error()
    assert current().setting("BTCUSDT").leverage == 12


SLOTS = (
    "{s}", "$s", "{s} 10", "BTCUSDT {s}", "BTCUSDT $s", "BTCUSDT 10 {s}", "{s} --brackets", "{s} --plot", "--undo {s}",
    "{s} --history", "{s} --changes", "BTCUSDT max --notional {s}", "BTCUSDT 10 --profile {s}", "--login {s}",
    "--logout {s}",
    "BTCUSDT 10 --venue {s}", "BTCUSDT 10 --venue={s}", "BTCUSDT 1{s}", "BTCUSDT 10 -{s}", "BTCUSDT 10 --{s}",
)  # fmt: skip


@pytest.mark.parametrize(
    "value",
    [
        ATTACK,
        "-y",
        "--yes",
        "-ny",
        "--venue=mainnet",
        "#",
        "max",
        "*",
        "BTCUSDT,ETHUSDT",
        "<=20",
        "BTCUSDT<=20",
        "isolated",
        "crossed",
    ],
)
def test_values_never_become_options(
    shell: InteractiveShell, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """A value that looks like several words is refused in every place, and nothing is sent to any venue."""
    main = connect_to(simulator, "mainnet")
    monkeypatch.setattr("builtins.input", lambda question: pytest.fail("a value reached a question"))
    shell.user_ns["s"] = value
    for line in SLOTS:
        for magic in (f"%leverage {line}", f"%%leverage {line}\nBTCUSDT 10"):
            with pytest.raises(InvalidInput):
                shell.run_cell(magic).raise_error()
    assert main.setting("BTCUSDT").leverage == 20 == current().setting("BTCUSDT").leverage
    assert current().venue == "simulator"
    assert current().history().empty
    assert main.history().empty


def test_a_cell_magic_fills_in_its_line_and_not_its_body(shell: InteractiveShell) -> None:
    """Fields in the line of %%leverage are filled in; the body is used as it is written."""
    shell.user_ns.update(v="simulator", s="XRPUSDT")
    assert {row.symbol for row in run_cell(shell, "-n --venue {v}", "XRPUSDT 10").rows} == {"XRPUSDT"}
    with pytest.raises(InvalidInput, match=r"\{S\} is not a symbol"):
        run_cell(shell, "-n", "{s} 10")
    shell.user_ns["v"] = "simulator -y"
    with pytest.raises(InvalidInput, match=r"\{v\} was not filled in: its value 'simulator -y' contains white space"):
        run_cell(shell, "--venue {v}", "XRPUSDT 10")
