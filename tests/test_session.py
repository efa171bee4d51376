"""The session holds the accounts, the simulator and the journals of this process."""

from __future__ import annotations

from pathlib import Path

import pytest

from leverage_nb.binance.credentials import Credentials
from leverage_nb.errors import (
    CredentialsMissing,
    InvalidInput,
)
from leverage_nb.journal.database import MEMORY
from leverage_nb.session import connect, current, session
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


def test_connect_and_current_see_the_same_exchange() -> None:
    """One default simulator a process: what one account changes the other sees."""
    connect().set_leverage("XRPUSDT", 7)
    assert current().setting("XRPUSDT").leverage == 7
    assert session.simulator() is session.simulator()


def test_current_is_the_account_connected_last_on_the_venue(simulator: Simulator) -> None:
    """%leverage uses an account that was connected from Python, without keys in the environment."""
    testnet = connect_to(simulator, "testnet")
    assert current().venue == "simulator"
    assert session.switch("testnet") is testnet
    assert current() is testnet
    testnet.close()
    with pytest.raises(CredentialsMissing):
        current()


def test_a_failed_switch_changes_nothing() -> None:
    """Without a key the venue in use stays what it was."""
    with pytest.raises(CredentialsMissing):
        session.switch("mainnet")
    assert current().venue == "simulator"


def test_keys_from_the_environment(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Testnet keys in the environment are found."""
    monkeypatch.setenv("LEVERAGE_NB_TESTNET_API_KEY", simulator.api_key)
    monkeypatch.setenv("LEVERAGE_NB_TESTNET_API_SECRET", simulator.api_secret)
    with connect("testnet", rest_url=simulator.rest_url) as account:
        assert account.setting("BTCUSDT").venue == "testnet"


def test_a_simulators_badge_is_never_worn_by_another_exchange() -> None:
    """connect("simulator") to an address that is not on this machine is refused."""
    with pytest.raises(InvalidInput):
        connect(rest_url="https://fapi.binance.com", api_key="k", api_secret="s")


def test_a_key_comes_in_one_way() -> None:
    """A key given twice is a mistake: neither is dropped without a word."""
    with pytest.raises(InvalidInput, match="either credentials= or"):
        connect(credentials=Credentials("a" * 64, "b" * 64), api_key="c" * 64)
