"""The session holds the accounts, the simulator and the journals of this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from leverage_nb.errors import (
    InvalidInput,
)
from leverage_nb.journal.database import MEMORY
from leverage_nb.simulator import Simulator
from tests.conftest import connect_to


def test_where_journals_are(simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator's is in memory and shared by its accounts, the others' in the user's folder; a path is a path."""
    assert connect_to(simulator).journal == MEMORY
    connect_to(simulator).set_leverage("BTCUSDT", 10)
    assert len(connect_to(simulator).history()) == 1
    assert len(connect_to(simulator, journal=MEMORY).history()) == 1
    testnet, mainnet = connect_to(simulator, "testnet"), connect_to(simulator, "mainnet")
    assert testnet.journal == mainnet.journal
    assert testnet.journal.endswith("journal.sqlite")
    monkeypatch.setenv("HOME", str(tmp_path))
    named = connect_to(simulator, journal="~/mine.sqlite")
    named.set_leverage("BTCUSDT", 20)
    assert (tmp_path / "mine.sqlite").is_file()
    for wrong in ("", "  ", 5):
        with pytest.raises(InvalidInput, match="journal must be the path of a file"):
            connect_to(simulator, journal=wrong)
