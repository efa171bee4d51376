"""Lines below the cell report what happened beside its own change."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell

from leverage_nb.account import service_of
from leverage_nb.errors import (
    LeverageError,
)
from leverage_nb.session import current, session
from leverage_nb.simulator import Simulator
from tests.arrivals import break_reads_after_a_change
from tests.conftest import connect_to
from tests.notebook.commands import run
from tests.patience import verifying_at_most


def leave_a_change_open(simulator: Simulator, journal: Path, profile: str | None = None) -> None:
    """Change BTCUSDT to 10x without learning the outcome, as a session does that ends too early."""
    before = connect_to(simulator, "testnet", journal=journal, profile=profile, recv_window=500, grace=0.0)
    preview = before.preview("BTCUSDT", 10)
    simulator.inject("reset_after")
    break_reads_after_a_change(simulator)
    with verifying_at_most(before, 0.3), pytest.raises(LeverageError):
        preview.apply()
    simulator.clear_faults()


def test_changes_of_an_earlier_session_are_shown_once(
    shell: InteractiveShell, simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The first %leverage after a restart shows the outcome of open changes, the second does not repeat it."""
    leave_a_change_open(simulator, tmp_path / "j.sqlite")
    connect_to(simulator, "testnet", journal=tmp_path / "j.sqlite")
    capsys.readouterr()
    run(shell, "--venue testnet")
    assert "BTCUSDT 20x → 10x" in capsys.readouterr().out
    capsys.readouterr()
    run(shell, "--history")
    assert "a read of the setting" not in capsys.readouterr().out


def test_changes_of_an_earlier_session_are_shown_for_each_of_several_profiles(
    shell: InteractiveShell, simulator: Simulator, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for several profiles reports the open changes of each, as a line for one does."""
    leave_a_change_open(simulator, tmp_path / "j.sqlite", "sub1")
    connect_to(simulator, "testnet", journal=tmp_path / "j.sqlite", profile="sub1")
    connect_to(simulator, "testnet", journal=tmp_path / "other.sqlite")
    capsys.readouterr()
    run(shell, "XRPUSDT 9 -n --venue testnet --profile no-profile,sub1")
    assert "BTCUSDT 20x → 10x" in capsys.readouterr().out


def test_changed_tiers_are_named_below_the_line(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    """What Binance has changed in the tiers since the last read is named once, by a line for any profiles."""
    for line, symbol in (("SOLUSDT --brackets", "SOLUSDT"), ("XRPUSDT 9 -n --profile no-profile,sub1", "XRPUSDT")):
        current().tiers(symbol)
        symbols = session.simulator().exchange.market.symbols
        first, *others = symbols[symbol].tiers
        lower = replace(first, initial_leverage=first.initial_leverage - 1)
        symbols[symbol] = replace(symbols[symbol], tiers=(lower, *others))
        service_of(current()).tiers.max_age = 0.0
        run(shell, line)
        shown = capsys.readouterr().out
        assert shown.count("Tiers have changed: ") == 1
        assert symbol in shown
