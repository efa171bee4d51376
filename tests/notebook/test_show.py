"""What a line shows without changing anything."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from leverage_nb.account import service_of
from leverage_nb.changes.size_plan import SizePlan
from leverage_nb.errors import (
    InvalidInput,
)
from leverage_nb.notebook.panel import LeveragePanel
from leverage_nb.session import current, session
from tests.notebook.commands import run


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
        ("--for 2m", "--for needs the names of symbols. Try: %leverage BTCUSDT --for 2m"),
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


def test_brackets_and_plot_return_a_table_and_axes(shell: InteractiveShell) -> None:
    """--brackets returns the tiers of one, several or all symbols; --plot returns axes."""
    assert run(shell, "BTCUSDT --brackets").index.name == "bracket"
    assert run(shell, "BTCUSDT ETHUSDT --brackets").index.unique("symbol").tolist() == ["BTCUSDT", "ETHUSDT"]
    assert len(run(shell, "--brackets").index.unique("symbol")) == 46
    for line in ("BTCUSDT --plot", "BTCUSDT SOLUSDT --plot"):
        assert isinstance(run(shell, line), Axes)
    plt.close("all")


def test_an_empty_table_names_its_symbols(shell: InteractiveShell) -> None:
    """Without a change of the named symbols the table says so, whatever other symbols have."""
    assert repr(run(shell, "--history")) == "[SIMULATOR] No changes yet."
    run(shell, "BTCUSDT 10")
    assert repr(run(shell, "XRPUSDT --history")) == "[SIMULATOR] No changes of XRPUSDT yet."
    assert "No tier of BTCUSDT, XRPUSDT has changed" in repr(run(shell, "BTCUSDT XRPUSDT --changes"))
    assert "BTCUSDT" in repr(run(shell, "BTCUSDT --history"))


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
