"""``%leverage`` in an IPython shell, against the simulator."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from keyring.backends import null
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from leverage_nb.account import service_of
from leverage_nb.binance.credentials import Credentials
from leverage_nb.binance.venues import VENUES
from leverage_nb.change import LeverageChange
from leverage_nb.changes.plan import Plan
from leverage_nb.changes.preview import Preview
from leverage_nb.changes.size_plan import SizePlan
from leverage_nb.errors import (
    ChangeNotApplied,
    ChangeNotSent,
    CredentialsMissing,
    InvalidInput,
    InvalidLeverage,
    LeverageError,
    LeverageRefused,
    LoggedOut,
    NotConfirmed,
    NothingToUndo,
    RequestRefused,
    UnknownSymbol,
    WrongMode,
)
from leverage_nb.notebook.overview import Overview
from leverage_nb.notebook.panel import LeveragePanel
from leverage_nb.session import connect, current, session
from leverage_nb.simulator import Simulator
from tests.arrivals import break_reads_after_a_change
from tests.conftest import connect_to
from tests.keyrings import PlaintextKeyring, Ring, using
from tests.notebook.commands import run, run_cell
from tests.notebook.front_end import click
from tests.patience import verifying_at_most


def test_the_bare_command_shows_the_overview(shell: InteractiveShell) -> None:
    """%leverage without arguments returns the overview of the account in use."""
    overview = run(shell, "")
    assert isinstance(overview, Overview)
    assert "SIMULATOR" in str(overview)


def test_a_symbol_opens_the_panel(shell: InteractiveShell) -> None:
    """One symbol in any spelling returns the panel of that symbol."""
    panel = run(shell, "eth/usdt:usdt")
    assert isinstance(panel, LeveragePanel)
    assert panel.symbol == "ETHUSDT"


@pytest.mark.parametrize(
    ("line", "leverages"),
    [
        ("BTCUSDT --for 2m", {"BTCUSDT": 24}), ("btc/usdt -n --for 2,000,000", {"BTCUSDT": 24}),
        ("BTCUSDT SOLUSDT --for={size}", {"BTCUSDT": 24, "SOLUSDT": 24}), ("SOLUSDT --for=-1m", {"SOLUSDT": 16}),
        ("SOLUSDT --for -1m", {"SOLUSDT": 16}),
    ],
)  # fmt: skip
def test_the_leverage_for_a_size_is_shown_and_not_set(
    shell: InteractiveShell, line: str, leverages: dict[str, int]
) -> None:
    """--for returns the leverage for a position of that size; every symbol gets the size; nothing is sent.

    By hand: (2M + 650) / 24 and (1M + 1M + 13k) / 24 are within 84,926.25, / 23 is not; 1M / 16 beside 5 BTC too.
    """
    shell.user_ns["size"] = 1e6
    sized = run(shell, line)
    assert isinstance(sized, SizePlan)
    assert sized.leverages == leverages
    assert len(current().history()) == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("--for 2m", "--for needs a symbol. Try: %leverage BTCUSDT --for 2m"),
        ("BTCUSDT 10 --for 2m", "--for takes no leverage (10)"), ("BTCUSDT --for 2m -y", "--yes needs"),
        ("BTCUSDT --for 2m --force", "--force needs"), ("BTCUSDT --for 2m --plot", "--plot and --for cannot"),
        ("BTCUSDT --for 2m --undo", "--undo takes neither"), ("BTCUSDT --for 2m --notional 1m", "--notional needs"),
        ("BTCUSDT --for", "Try: --for 2m, or for a short --for=-2m"), ("BTCUSDT --for -y", "--for needs a value"),
        ("BTCUSDT --for much", "much is not a notional"), ("BTCUSDT --for 0", "0 is not a notional"),
        ("BTCUSDT --for 2m --for 3m", "--for is given twice"), ("FOO --for 2m", "FOO is not a symbol"),
        ("BTCUSDT --for {no}", "there is no variable no here"),
    ],
)  # fmt: skip
def test_a_size_with_what_does_not_go_with_it(shell: InteractiveShell, line: str, message: str) -> None:
    """--for needs symbols and a size, and takes neither a leverage nor another action."""
    with pytest.raises(InvalidInput) as caught:
        run(shell, line)
    assert message in str(caught.value)


def test_several_symbols_return_a_table(shell: InteractiveShell) -> None:
    """Several symbols return their settings as a DataFrame."""
    frame = run(shell, "BTCUSDT ethusdt SOLUSDT")
    assert isinstance(frame, pd.DataFrame)
    assert frame.index.tolist() == ["BTCUSDT", "ETHUSDT", "SOLUSDT"]


def test_a_table_names_symbols_that_are_not_trading(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """Above the table of several symbols a line names each that is not trading, with its status."""
    run(shell, "BTCUSDT UXLINKUSDT")
    shown = capsys.readouterr().out
    assert "UXLINKUSDT is not trading (SETTLING)." in shown
    assert "BTCUSDT is not" not in shown


@pytest.mark.parametrize(
    ("line", "symbol", "after"),
    [
        ("BTCUSDT 10", "BTCUSDT", 10), ("btcusdt 11x", "BTCUSDT", 11), ("BTC/USDT 12 # lower", "BTCUSDT", 12),
        ("BTC/USDT:USDT 13", "BTCUSDT", 13), ("哈基米USDT 2", "哈基米USDT", 2), ("BTCUSDT 14 -y", "BTCUSDT", 14),
        ("42USDT 5", "42USDT", 5),
    ],
)  # fmt: skip
def test_symbol_and_leverage_make_a_change(shell: InteractiveShell, line: str, symbol: str, after: int) -> None:
    """Every spelling of symbol and leverage makes the change, and returns its record."""
    change = run(shell, line)
    assert isinstance(change, LeverageChange)
    assert current().setting(symbol).leverage == after == (change.after or 0)


def test_the_result_can_be_assigned(shell: InteractiveShell) -> None:
    """``change = %leverage BTCUSDT 10`` assigns the record, and fields are filled in."""
    shell.user_ns["symbols"] = ["XRPUSDT"]
    shell.run_cell("change = %leverage {symbols[0]} 9").raise_error()
    assert shell.user_ns["change"].symbol == "XRPUSDT"


def test_brackets_and_plot_return_a_table_and_axes(shell: InteractiveShell) -> None:
    """--brackets returns the tiers of one, several or all symbols; --plot returns axes."""
    assert run(shell, "BTCUSDT --brackets").index.name == "bracket"
    assert run(shell, "BTCUSDT ETHUSDT --brackets").index.unique("symbol").tolist() == ["BTCUSDT", "ETHUSDT"]
    assert len(run(shell, "--brackets").index.unique("symbol")) == 46
    for line in ("BTCUSDT --plot", "BTCUSDT SOLUSDT --plot"):
        assert isinstance(run(shell, line), Axes)
    plt.close("all")


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
    before = current().settings()["leverage"].to_dict()
    with pytest.raises(LeverageError) as caught:
        run(shell, line)
    capsys.readouterr()
    assert type(caught.value) is kind
    assert words in str(caught.value)
    shell.run_cell(f"%leverage {line}")
    printed = capsys.readouterr().out.strip()
    assert len(printed.splitlines()) <= 4, printed
    assert "Traceback" not in printed
    assert current().settings()["leverage"].to_dict() == before


def test_an_empty_table_names_its_symbols(shell: InteractiveShell) -> None:
    """Without a change of the named symbols the table says so, whatever other symbols have."""
    assert repr(run(shell, "--history")) == "[SIMULATOR] No changes yet."
    run(shell, "BTCUSDT 10")
    assert repr(run(shell, "XRPUSDT --history")) == "[SIMULATOR] No changes of XRPUSDT yet."
    assert "no tiers of BTCUSDT, XRPUSDT" in repr(run(shell, "BTCUSDT XRPUSDT --changes"))
    assert "BTCUSDT" in repr(run(shell, "BTCUSDT --history"))


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


def test_an_unreachable_exchange_is_not_sent(shell: InteractiveShell, simulator: Simulator) -> None:
    """If the connection is refused, nothing was sent."""
    gone = connect_to(simulator, "testnet")
    gone.tiers("BTCUSDT")
    gone.margin_asset("BTCUSDT")
    simulator.close()
    with pytest.raises(ChangeNotSent):
        run(shell, "BTCUSDT 10 --venue testnet")


def test_unloading_removes_the_magic(shell: InteractiveShell) -> None:
    """After unload_ext there is no %leverage, and it can be loaded again."""
    shell.extension_manager.unload_extension("leverage_nb")
    assert shell.find_line_magic("leverage") is None
    shell.extension_manager.load_extension("leverage_nb")
    assert run(shell, "BTCUSDT 10").after == 10


def test_dry_run_sends_nothing(shell: InteractiveShell) -> None:
    """--dry-run returns the preview, and sends nothing."""
    preview = run(shell, "BTCUSDT 10 --dry-run")
    assert isinstance(preview, Preview)
    assert current().setting("BTCUSDT").leverage == 20
    for shown in (str(preview), preview._repr_html_()):
        for part in (
            "leaves 50,506.25 USDT available",
            "21,603.12 → 43,206.25",
            "liquidation 67,819.10, not affected by leverage",
        ):
            assert part in shown


def test_a_change_shows_its_effects(shell: InteractiveShell) -> None:
    """The record of a change contains what the preview expected, before and after."""
    change = run(shell, "BTCUSDT 10")
    assert ("available", "72,109.38 → 50,506.25 USDT") in change.effects
    assert "72,109.38 → 50,506.25 USDT" in str(change)


def test_max_is_the_highest_leverage_that_fits(shell: InteractiveShell) -> None:
    """The word max is the highest leverage that fits notional, exposure and guard."""
    assert run(shell, "BTCUSDT max").after == 100  # the exposure is 432,062.50, and 150x allows 300,000
    assert run(shell, "BTCUSDT max --notional 2m").after == 75
    assert run(shell, "BTCUSDT MAX --notional 2,000,000.5").status == "unchanged"
    shell.run_cell("%config LeverageMagics.max_leverage = 30").raise_error()
    assert run(shell, "BTCUSDT max").after == 30
    with pytest.raises(ChangeNotSent, match="above your guard of 30x"):
        run(shell, "BTCUSDT 31 --force -y")


def test_mainnet_shows_the_preview_before_the_question(
    shell: InteractiveShell, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Mainnet shows the preview before the question; a change elsewhere during the question stops it."""

    def reply(question: str) -> str:
        assert "[MAINNET] BTCUSDT 20x → 10x leaves" in capsys.readouterr().out
        simulator.exchange.account.set_leverage("BTCUSDT", 18)
        return "yes"

    main = connect_to(simulator, "mainnet")
    monkeypatch.setattr("builtins.input", reply)
    with pytest.raises(ChangeNotSent, match="has changed since the preview"):
        run(shell, "BTCUSDT 10 --venue mainnet")
    assert main.setting("BTCUSDT").leverage == 18
    with pytest.raises(ChangeNotSent, match=r"above your guard of 20x \(the default on mainnet\)"):
        run(shell, "BTCUSDT 21 --venue mainnet -y")


def test_history_lists_changes_and_undo_takes_back_the_last(shell: InteractiveShell) -> None:
    """--history lists the changes of some or all symbols; --undo takes back the last, with a dry run too."""
    run(shell, "BTCUSDT 10")
    run(shell, "XRPUSDT 20")
    assert run(shell, "--history")["symbol"].tolist() == ["BTCUSDT", "XRPUSDT"]
    assert run(shell, "btcusdt --history")["requested"].tolist() == [10]
    preview = run(shell, "--undo -n")
    assert isinstance(preview, Preview)
    assert "Undoes XRPUSDT 50x → 20x" in str(preview)
    undone = run(shell, "--undo")
    assert (undone.symbol, undone.after) == ("XRPUSDT", 50)
    assert run(shell, "--undo").after == 20
    with pytest.raises(NothingToUndo, match="no change left to undo"):
        run(shell, "--undo")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--history --undo", "one at a time"), ("BTCUSDT --undo", "--undo takes neither"),
        ("--undo --notional 5", "--undo takes neither"),
        ("BTCUSDT 10 --history", "--history takes no leverage"), ("BTCUSDT 10 --undo", "--undo takes neither"),
    ],
)  # fmt: skip
def test_history_and_undo_refuse_other_arguments(shell: InteractiveShell, line: str, words: str) -> None:
    """--history and --undo refuse arguments that have no meaning for them, and nothing is undone."""
    run(shell, "BTCUSDT 10")
    with pytest.raises(InvalidInput, match=words):
        run(shell, line)
    assert current().setting("BTCUSDT").leverage == 10


def test_undo_asks_for_a_confirmation_on_mainnet(
    shell: InteractiveShell, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mainnet asks before an undo, and sends nothing without a yes."""
    account = connect_to(simulator, "mainnet")
    account.set_leverage("BTCUSDT", 10)
    asked: list[str] = []
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or "no")
    assert run(shell, "--undo --venue mainnet") is None
    assert "change BTCUSDT from 10x to 20x?" in asked[0]
    assert account.setting("BTCUSDT").leverage == 10
    assert run(shell, "--undo --venue mainnet -y").after == 20


def test_changes_of_an_earlier_session_are_shown_once(
    shell: InteractiveShell, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The first %leverage after a restart shows the outcome of open changes, the second does not repeat it."""
    before = connect_to(simulator, "testnet", journal=tmp_path / "j.sqlite", recv_window=500, grace=0.0)
    preview = before.preview("BTCUSDT", 10)
    simulator.inject("reset_after")
    break_reads_after_a_change(simulator)
    with verifying_at_most(before, 3.0), pytest.raises(LeverageError):
        preview.apply()
    simulator.clear_faults()
    connect_to(simulator, "testnet", journal=tmp_path / "j.sqlite")
    capsys.readouterr()
    run(shell, "--venue testnet")
    assert "BTCUSDT 20x → 10x" in capsys.readouterr().out
    capsys.readouterr()
    run(shell, "--history")
    assert "a read of the setting" not in capsys.readouterr().out


def test_a_line_shows_what_is_being_verified(
    shell: InteractiveShell, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a definite answer a line below the cell shows what is verified, and until when."""
    connect_to(simulator, recv_window=1000, grace=0.05)
    simulator.inject("reset_before")
    with pytest.raises(ChangeNotApplied):
        run(shell, "BTCUSDT 10")
    assert (
        "No definite answer about BTCUSDT 20x → 10x; verifying with the exchange, final by" in capsys.readouterr().out
    )


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


def test_a_plot_names_a_leverage_above_the_maximum(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    """A leverage above a lowered maximum is named, and has no marker in the plot."""
    symbols = session.simulator().exchange.market.symbols
    current().set_leverage("SOLUSDT", 100)
    first, *others = symbols["SOLUSDT"].tiers
    symbols["SOLUSDT"] = replace(symbols["SOLUSDT"], tiers=(replace(first, initial_leverage=99), *others))
    service_of(current()).tiers.max_age = 0.0
    axes = run(shell, "SOLUSDT --plot")
    assert "SOLUSDT: 100x is above its maximum of 99x" in capsys.readouterr().out
    assert not [line for line in axes.get_lines() if line.get_marker() == "D"]


def test_a_cell_is_applied_as_a_plan(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    """%%leverage shows the plan, applies it and returns its outcome; -n only shows it."""
    cell = "BTCUSDT 10  # the big one\n\n# nothing\nxrpusdt max\n"
    plan = run_cell(shell, "-n", cell)
    assert isinstance(plan, Plan)
    assert current().setting("BTCUSDT").leverage == 20
    done = run_cell(shell, "", cell)
    assert {row.symbol: row.status for row in done.rows} == {"BTCUSDT": "applied", "XRPUSDT": "applied"}
    assert "2 to change" in capsys.readouterr().out
    undone = run(shell, "--undo")
    assert isinstance(undone, Plan)
    assert current().setting("BTCUSDT").leverage == 20
    assert "unchanged" in repr(run_cell(shell, "", "BTCUSDT 20"))


@pytest.mark.parametrize(
    ("line", "cell", "words"),
    [
        ("", "BTCUSDT 10\nETHUSDT\n", "line 2: “ETHUSDT” is not a symbol with a leverage, a margin type or both"),
        ("", "BTCUSDT 10\nETHUSDT 0\n", "line 2: 0 is not a leverage for ETHUSDT"),
        ("", "BTCUSTD 10\n", "line 1: BTCUSTD is not a symbol"), ("", "# nothing\n", "plan is empty"),
        ("BTCUSDT", "BTCUSDT 10\n", "takes only -n, -y, --force, --expect, --venue and --profile"),
    ],
)  # fmt: skip
def test_an_invalid_line_sends_nothing(shell: InteractiveShell, line: str, cell: str, words: str) -> None:
    """An invalid line is named by its number, and no other line is sent."""
    with pytest.raises(InvalidInput, match=words):
        run_cell(shell, line, cell)
    assert current().setting("BTCUSDT").leverage == 20


def test_several_symbols_go_to_one_leverage(shell: InteractiveShell) -> None:
    """Several symbols and a leverage in one line are a plan: shown with -n, otherwise applied."""
    planned = run(shell, "BTCUSDT SOLUSDT xrp/usdt 20 -n")
    assert {row.symbol: row.verdict for row in planned.rows} == {
        "BTCUSDT": "unchanged", "SOLUSDT": "unchanged", "XRPUSDT": "ok",
    }  # fmt: skip
    done = run(shell, "BTCUSDT,SOLUSDT XRPUSDT 15")
    assert {row.symbol: row.status for row in done.rows} == {
        "BTCUSDT": "applied", "SOLUSDT": "applied", "XRPUSDT": "applied",
    }  # fmt: skip
    assert current().setting("XRPUSDT").leverage == 15


def test_a_cap_lowers_what_is_above_it(shell: InteractiveShell) -> None:
    """--cap lowers every leverage above it, of all symbols or of those that are named, and leaves the others."""
    before = current().settings()["leverage"]
    assert run(shell, "--cap 60").headline.startswith("Plan of 44 rows: nothing to do")
    assert "XRPUSDT" not in repr(run(shell, "--cap 20 BTCUSDT SOLUSDT"))
    assert [row.symbol for row in run(shell, "--cap 20 -n").to_send] == ["XRPUSDT"]
    assert current().setting("XRPUSDT").leverage == 50
    run(shell, "--cap 20")
    after = current().settings()["leverage"]
    assert after["XRPUSDT"] == 20
    assert after.drop("XRPUSDT").equals(before.drop("XRPUSDT"))
    assert [row.symbol for row in run(shell, "BTCUSDT <= 5 -n").to_send] == ["BTCUSDT"]


def test_expected_modes_are_checked(shell: InteractiveShell) -> None:
    """--expect stops a plan with an error that names both modes; nothing is sent then."""
    for line, cell in (("--expect hedge,multi-assets", "BTCUSDT 10"), ("--expect hedge", "BTCUSDT 10")):
        with pytest.raises(WrongMode, match="is in one-way mode"):
            run_cell(shell, line, cell)
    for line in ("BTCUSDT 10 --expect multi-assets", "--cap 20 --expect multi-assets"):
        with pytest.raises(WrongMode, match="is in single-asset mode, but the plan expects multi-assets mode"):
            run(shell, line)
    assert current().history().empty
    done = run_cell(shell, "--expect one-way,single-asset", "BTCUSDT 10")
    assert [row.status for row in done.rows] == ["applied"]


def test_mainnet_confirms_a_line_of_several_symbols(
    shell: InteractiveShell, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several symbols in one line, and a cap, are confirmed on mainnet by the number of changes, as a cell is."""
    account = connect_to(simulator, "mainnet")
    asked: list[str] = []
    for line in ("BTCUSDT SOLUSDT XRPUSDT 10", "--cap 10"):
        monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or "1")
        assert run(shell, f"{line} --venue mainnet") is None
    above = account.settings()["leverage"] > 10
    above[list(account.settings().attrs["not_trading"])] = False
    assert [
        f"send {count} changes? Type {count} to confirm" in question
        for count, question in zip((3, above.sum()), asked, strict=True)
    ] == [True, True]
    assert account.setting("BTCUSDT").leverage == 20


def test_mainnet_confirms_a_plan_by_its_number_of_changes(
    shell: InteractiveShell, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan on mainnet is applied only if the number of its changes is typed."""
    account = connect_to(simulator, "mainnet")
    cell, asked = "BTCUSDT 10\nSOLUSDT 10\nADAUSDT 20\n", []
    for answer, leverage in (("yes", 20), ("3", 20), ("2", 10)):
        monkeypatch.setattr("builtins.input", lambda question, answer=answer: asked.append(question) or answer)
        done = run_cell(shell, "--venue mainnet", cell)
        assert account.setting("BTCUSDT").leverage == leverage
        assert (done is None) == (leverage == 20)
    assert f"MAINNET, {account.label}: send 2 changes? Type 2 to confirm: " in asked[0]


def test_a_policy_is_reported_and_applied_only_with_apply(
    shell: InteractiveShell, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """--policy reports what differs and sends nothing; --apply shows the plan, and makes its changes."""
    path = tmp_path / "risk.toml"
    path.write_text("cap = 20")
    for line in (f"--policy {path}", f"--policy {path} -n", f"--policy {path} --apply -n"):
        assert run(shell, line).headline == "Policy risk.toml: 1 of 44 symbols differ"
    assert current().setting("XRPUSDT").leverage == 50
    capsys.readouterr()
    done = run(shell, f"--policy {path} --apply")
    assert "1 of 44 symbols differ" in capsys.readouterr().out
    assert {row.symbol for row in done.rows if row.status == "applied"} == {"XRPUSDT"}
    assert current().setting("XRPUSDT").leverage == 20
    with pytest.raises(InvalidInput, match=r"none\.toml cannot be read"):
        run(shell, f"--policy {tmp_path / 'none.toml'}")


def test_a_policy_is_confirmed_on_mainnet(
    shell: InteractiveShell, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On mainnet the changes of a policy are made only if their number is typed."""
    account = connect_to(simulator, "mainnet")
    path = tmp_path / "risk.toml"
    path.write_text("cap = 20")
    for answer, leverage in (("yes", 50), ("1", 20)):
        monkeypatch.setattr("builtins.input", lambda question, answer=answer: answer)
        run(shell, f"--policy {path} --apply --venue mainnet")
        assert account.setting("XRPUSDT").leverage == leverage


def test_several_profiles_are_changed_after_one_question(
    shell: InteractiveShell, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line, a cell or a policy for several profiles is one result; on mainnet one question names every account."""
    path = tmp_path / "risk.toml"
    path.write_text("cap = 15\n[caps]\nXRPUSDT = 18\nETHUSDT = 20")
    asked: list[str] = []
    with Simulator() as other:
        labels = [connect_to(simulator, "mainnet").label, connect_to(other, "mainnet", profile="sub1").label]
        where = "--venue mainnet --profile no-profile,sub1"
        assert run(shell, f"BTCUSDT 10 -n {where}").headline == "Plans of 2 profiles: 2 to send"
        assert run(shell, f"* <=15 -n {where}").count().keys() == {"no-profile", "sub1"}
        assert run_cell(shell, f"-n {where}", "BTCUSDT 10\nSOLUSDT 10").headline.endswith("4 to send")
        report = run(shell, f"--policy {path} {where}")
        count = sum(report.count().values())
        for answer, outcome in (("yes", None), (str(count), "applied")):
            monkeypatch.setattr("builtins.input", lambda question, answer=answer: asked.append(question) or answer)
            done = run(shell, f"--policy {path} --apply {where}")
            assert done is None if outcome is None else f"{count} applied" in done.headline
        assert all(label in asked[0] for label in labels)
        assert f"MAINNET: send {count} changes (" in asked[0]
        for line in ("BTCUSDT", "--history", "--undo", "BTCUSDT max --notional 2m"):
            with pytest.raises(InvalidInput, match="Several profiles go with changes of leverage"):
                run(shell, f"{line} {where}")


def test_a_forced_change_to_cross_is_confirmed_in_a_plan_too(
    shell: InteractiveShell, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With --force a plan asks also for a change to cross that the exchange is expected to refuse."""
    asked: list[str] = []
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or "no")
    connect_to(simulator)
    assert run(shell, "ETHUSDT SOLUSDT --cross --force") is None
    assert len(asked) == 1
    assert simulator.exchange.arrivals == []
    assert run(shell, "ETHUSDT SOLUSDT --cross").headline == "Plan of 2 rows: 1 would be refused, 1 unchanged"
    assert len(asked) == 1


def test_login_stores_a_key_that_works(
    shell: InteractiveShell,
    simulator: Simulator,
    ring: Ring,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """--login stores a key that works under its profile, and no other key."""
    monkeypatch.setitem(VENUES, "testnet", VENUES["testnet"].at(simulator.rest_url))
    answers = iter(["k" * 64, "s" * 64, simulator.api_key, simulator.api_secret])
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(answers))
    with pytest.raises(RequestRefused, match="-2015"):
        run(shell, "--login testnet --profile sub1")
    assert ring.entries == {}
    run(shell, "--login testnet --profile sub1")
    assert ring.entries.keys() == {("leverage_nb testnet", "sub1")}
    assert "sub1, key" in (printed := capsys.readouterr().out)
    assert "Warning" not in printed
    current().close()
    assert str(run(shell, "--venue testnet --profile sub1")).count("sub1, key") == 1
    assert run(shell, "BTCUSDT 10").account.startswith("sub1, key")
    with pytest.raises(InvalidInput, match="needs no key"):
        run(shell, "--login simulator")


def test_login_names_an_unsafe_keyring(
    shell: InteractiveShell, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--login refuses a keyring that stores nothing before it asks, and names one that does not encrypt."""
    answers = iter([simulator.api_key, simulator.api_secret])
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(answers))
    monkeypatch.setitem(VENUES, "testnet", VENUES["testnet"].at(simulator.rest_url))
    with using(null.Keyring()), pytest.raises(InvalidInput, match=r"keyring\.backends\.null"):
        run(shell, "--login testnet")
    with using(PlaintextKeyring()):
        run(shell, "--login testnet")
    assert "Warning: The keyring in use, tests.keyrings.PlaintextKeyring, stores keys unenc" in capsys.readouterr().out


def test_logout_removes_the_key_and_closes_its_account(
    shell: InteractiveShell,
    simulator: Simulator,
    ring: Ring,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """--logout removes the stored key of its venue and profile; what used it sends nothing more, and no other stops."""
    monkeypatch.setitem(VENUES, "testnet", VENUES["testnet"].at(simulator.rest_url))
    Credentials(simulator.api_key, simulator.api_secret).keep(VENUES["testnet"], "sub1")
    Credentials("o" * 64, simulator.api_secret).keep(VENUES["testnet"], None)
    earlier = connect_to(simulator, "testnet", profile="sub1")
    panel, preview = LeveragePanel(earlier, "BTCUSDT"), earlier.preview("BTCUSDT", 33)
    plan = earlier.plan({"BTCUSDT": 34})
    sub, other = connect("testnet", profile="sub1"), connect_to(simulator, "testnet")
    run(shell, "--logout testnet --profile sub1")
    assert ring.entries.keys() == {("leverage_nb testnet", "(no profile)")}
    assert sub.closed
    assert earlier.closed
    count = len(simulator.exchange.received)
    for account in (sub, earlier):
        with pytest.raises(ChangeNotSent, match=r"--logout removed the key") as refused:
            account.set_leverage("BTCUSDT", 35)
        assert "lev.connect('testnet', profile='sub1')" in refused.value.hint
        with pytest.raises(LoggedOut):
            account.state()
    with pytest.raises(ChangeNotSent):
        preview.apply()
    with pytest.raises(LoggedOut):
        plan.apply()
    click(panel, "apply", 36)
    assert "--logout removed the key" in panel.message
    assert len(simulator.exchange.received) == count
    assert other.set_leverage("BTCUSDT", 37).status == "applied"
    run(shell, "--logout testnet")
    assert not other.closed  # it was opened with another key
    assert ring.entries == {}
    assert "of the testnet was removed from the keyring" in capsys.readouterr().out
    monkeypatch.setenv("LEVERAGE_NB_TESTNET_API_KEY", simulator.api_key)
    with pytest.raises(InvalidInput, match="Nothing was removed") as caught:
        run(shell, "--logout testnet")
    assert "LEVERAGE_NB_TESTNET_API_KEY" in caught.value.hint
    for line, words in (
        ("--logout simulator", "needs no key"),
        ("--logout testnet BTCUSDT", "--logout takes only --profile"),
        ("--logout testnet --login testnet", "takes only --profile"),
    ):
        with pytest.raises(InvalidInput, match=words):
            run(shell, line)


def test_a_read_only_account_asks_nothing(
    shell: InteractiveShell, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a read-only mainnet account the magic states why nothing is sent, and asks for no confirmation."""
    connect_to(simulator, "mainnet", read_only=True)
    monkeypatch.setattr("builtins.input", lambda question: pytest.fail(question))
    with pytest.raises(ChangeNotSent, match="read_only"):
        run(shell, "BTCUSDT 10 --venue mainnet")
    with pytest.raises(ChangeNotSent, match="read_only"):
        run_cell(shell, "--venue mainnet", "BTCUSDT 10\nXRPUSDT 5")
    assert run(shell, "BTCUSDT 10 --venue mainnet -n").verdict == "ok"


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


def test_a_failed_login_keeps_the_account_in_use(
    shell: InteractiveShell, simulator: Simulator, ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that is refused replaces no other."""
    working = connect_to(simulator, "testnet")
    answers = iter(["k" * 64, "s" * 64])
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(answers))
    monkeypatch.setitem(VENUES, "testnet", VENUES["testnet"].at(simulator.rest_url))
    with pytest.raises(RequestRefused):
        run(shell, "--login testnet")
    assert ring.entries == {}
    assert current("testnet") is working
    with pytest.raises(InvalidInput, match="takes only --profile"):
        run(shell, "--login testnet BTCUSDT 10")


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


def without_prompt(_question: str) -> str:
    """Fail as the prompt of a front end without one does."""
    raise EOFError


def test_a_line_changes_margin_type_and_leverage(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Margin type and leverage in one line are a plan; to cross it asks first, on every venue."""
    done = run(shell, "ADAUSDT 10 isolated")
    assert [(row.kind, row.status) for row in done.rows] == [("margin type", "applied"), ("leverage", "applied")]
    monkeypatch.setattr("builtins.input", without_prompt)
    with pytest.raises(NotConfirmed, match="cannot ask"):
        run(shell, "ADAUSDT cross 12")
    with pytest.raises(NotConfirmed, match="cannot ask"):
        run(shell, "ADAUSDT --cross")
    assert run(shell, "ADAUSDT --cross -y").headline == "ADAUSDT isolated → cross applied"
    assert run(shell, "ADAUSDT --isolated -n").verdict == "ok"
    assert current().setting("ADAUSDT").margin_type == "cross"
    assert (
        run_cell(shell, "", "ADAUSDT 10 isolated\nXRPUSDT isolated").headline
        == "Plan of 3 rows: 2 applied, 1 unchanged"
    )


def test_the_question_about_cross_names_what_it_exposes(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question names the balance that would back every position; anything but yes sends nothing."""
    run(shell, "ADAUSDT isolated")
    asked: list[str] = []
    for reply, margin_type in (("no", "isolated"), ("yes", "cross")):
        monkeypatch.setattr("builtins.input", lambda question, reply=reply: asked.append(question) or reply)
        run(shell, "ADAUSDT cross")
        assert current().setting("ADAUSDT").margin_type == margin_type
    assert "backed by the whole cross balance of 94,362.50 USDT?" in asked[0]


def test_a_line_adds_margin_and_takes_it_out(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    """Margin is added or taken out by a line; in a loop it prints one line."""
    assert run(shell, "ETHUSDT --add-margin 1.5k").headline == "ETHUSDT isolated margin +1,500 USDT applied"
    run(shell, "ETHUSDT --reduce-margin 500\n1")
    assert "ETHUSDT isolated margin −500 USDT applied, SIMULATOR" in capsys.readouterr().out
    assert run(shell, "ETHUSDT --add-margin 10 -n").verdict == "ok"
    assert len(current().history()) == 2


def test_a_large_amount_is_named_once_more(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    """-y does not send 50,000 typed for 500: the amount is typed again, or named by --confirm."""
    monkeypatch.setattr("builtins.input", without_prompt)
    with pytest.raises(NotConfirmed) as caught:
        run(shell, "ETHUSDT --add-margin 50k -y")
    assert "--confirm 50000" in caught.value.hint
    for reply in ("yes", "500"):
        monkeypatch.setattr("builtins.input", lambda _question, reply=reply: reply)
        with pytest.raises(InvalidInput):
            run(shell, "ETHUSDT --add-margin 50k")
    monkeypatch.setattr("builtins.input", lambda _question: "")
    assert run(shell, "ETHUSDT --add-margin 50k") is None
    assert current().history().empty
    monkeypatch.setattr("builtins.input", lambda _question: "50,000")
    assert run(shell, "ETHUSDT --add-margin 50k").status == "applied"
    assert run(shell, "ETHUSDT --reduce-margin 40k --confirm 40000").status == "applied"


def test_an_undo_of_isolated_margin_asks(shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is another change, so a person confirms it on every venue."""
    run(shell, "ETHUSDT --add-margin 500")
    monkeypatch.setattr("builtins.input", without_prompt)
    with pytest.raises(NotConfirmed):
        run(shell, "--undo")
    monkeypatch.setattr("builtins.input", lambda _question: "yes")
    assert run(shell, "--undo").headline == "ETHUSDT isolated margin −500 USDT undone"
