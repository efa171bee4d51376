"""The session holds the accounts, the simulator and the journals of this process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest
import requests
from IPython.core.interactiveshell import InteractiveShell

from leverage_nb.binance.credentials import Credentials, KeyWarning
from leverage_nb.errors import (
    CredentialsMissing,
    InvalidInput,
    JournalUnusable,
)
from leverage_nb.journal.database import MEMORY
from leverage_nb.session import connect, current, session
from leverage_nb.simulator import Simulator
from tests.conftest import connect_to
from tests.waiting import threads_since, until


def test_each_venue_has_its_journal(simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator's journal is in memory, the others' in the user's folder, unless a path is given."""
    assert connect_to(simulator).journal == MEMORY
    connect_to(simulator).set_leverage("BTCUSDT", 10)
    assert len(connect_to(simulator).history()) == 1
    assert len(connect_to(simulator, journal=MEMORY).history()) == 1
    testnet, mainnet = connect_to(simulator, "testnet"), connect_to(simulator, "mainnet")
    assert testnet.journal == mainnet.journal
    assert testnet.journal.endswith("journal.sqlite")
    monkeypatch.setenv("USERPROFILE" if os.name == "nt" else "HOME", str(tmp_path))
    named = connect_to(simulator, journal="~/mine.sqlite")
    named.set_leverage("BTCUSDT", 20)
    assert (tmp_path / "mine.sqlite").is_file()
    for wrong in ("", "  ", 5):
        with pytest.raises(InvalidInput, match="journal must be the path of a file"):
            connect_to(simulator, journal=wrong)


def test_all_accounts_share_one_simulator() -> None:
    """connect() and current() use the same simulator of the process."""
    connect().set_leverage("XRPUSDT", 7)
    assert current().setting("XRPUSDT").leverage == 7
    assert session.simulator() is session.simulator()


def test_the_simulator_stops_with_its_last_account(simulator: Simulator) -> None:
    """The simulator of the process stops when the last account on it is closed; the next account starts another one."""
    own = session.simulator()
    connect_to(simulator).close()
    first, second, third = connect(), current(profile="b"), connect_to(own)
    first.set_leverage("XRPUSDT", 7)
    for account in (first, second):
        account.close()
    assert third.setting("XRPUSDT").leverage == 7
    third.close()
    with pytest.raises(requests.ConnectionError):
        requests.get(own.rest_url, timeout=30)
    assert [change.after for change in first.history().itertuples()] == [7]
    assert session.simulator() is not own
    assert current().setting("XRPUSDT").leverage == 50
    assert len(current().history()) == 0


def test_closing_the_session_closes_all_that_was_opened(simulator: Simulator) -> None:
    """Accounts that %leverage does not use any more are closed too, with their streams and journals in memory."""
    first, second = connect_to(simulator), connect_to(simulator)
    with connect() as ended:
        ended.set_leverage("BTCUSDT", 10)
    assert len(ended.history()) == 1
    before = set(threading.enumerate())
    first.watch(lambda _: None)
    session.close()
    assert first.closed
    assert second.closed
    until(lambda: not threads_since(before))
    assert len(ended.history()) == 0


UNCLOSED = """
import contextlib, pathlib, sys, threading, time
import leverage_nb as lev
account, other = lev.connect(), lev.connect(profile="other")
other.set_leverage("BTCUSDT", 15)
account.plan({"ETHUSDT": 15, "XRPUSDT": 7}).apply()
account.undo()
panel = lev.LeveragePanel(account, "BTCUSDT")
watch = account.watch(lambda event: None)
path = pathlib.Path(sys.argv[1])
path.write_text("cap = 20", encoding="utf-8")
follower = account.follow_policy(path, on_drift=lambda event: None)
deadline = time.monotonic() + 20
while not watch.live and watch.state != "connected" and time.monotonic() < deadline:
    time.sleep(0.05)
if sys.argv[2] == "closed":
    for one in (follower, watch, panel, account, other):
        one.close()
if sys.argv[2] == "reading":
    def read():
        while True:
            with contextlib.suppress(lev.LeverageError):
                account.setting("BTCUSDT")
    for _ in range(3):
        threading.Thread(target=read, daemon=True).start()
    time.sleep(0.3)
"""


@pytest.mark.parametrize("left", ["closed", "open", "reading"])
def test_a_process_ends_without_warnings(left: str, tmp_path: Path) -> None:
    """A process that used everything ends at once and quietly, also if it has closed nothing, or is still reading."""
    # Warnings of other packages about later versions are not meant.
    strict = ["-X", "dev", "-W", "ignore", "-W", "error::ResourceWarning"]
    command = [sys.executable, *strict, "-c", UNCLOSED, str(tmp_path / "policy.toml"), left]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_user_without_a_home_folder_needs_another_journal(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without a home folder the simulator works; other venues need a journal's path, and the error says so."""

    def no_home(*_: object, **__: object) -> Path:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.setattr("platformdirs.user_data_path", no_home)
    assert connect_to(simulator).set_leverage("BTCUSDT", 10).after == 10
    with pytest.raises(JournalUnusable, match=r"this user has no home folder\. Set HOME, or name a file"):
        connect_to(simulator, "testnet")
    assert connect_to(simulator, "testnet", journal=tmp_path / "mine.sqlite").history().empty


def test_current_is_the_account_connected_last(simulator: Simulator) -> None:
    """current() is the account that was connected last for the venue in use, until it is closed."""
    testnet = connect_to(simulator, "testnet")
    assert current().venue == "simulator"
    assert session.switch("testnet") is testnet
    assert current() is testnet
    testnet.close()
    with pytest.raises(CredentialsMissing):
        current()


def test_a_failed_switch_changes_nothing() -> None:
    """Without a key for another venue the venue in use stays the same."""
    with pytest.raises(CredentialsMissing):
        session.switch("mainnet")
    assert current().venue == "simulator"


def test_keys_are_read_from_the_environment(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Testnet keys in the environment are used."""
    monkeypatch.setenv("LEVERAGE_NB_TESTNET_API_KEY", simulator.api_key)
    monkeypatch.setenv("LEVERAGE_NB_TESTNET_API_SECRET", simulator.api_secret)
    with connect("testnet", rest_url=simulator.rest_url) as account:
        assert account.setting("BTCUSDT").venue == "testnet"


def test_the_simulator_venue_needs_a_local_address() -> None:
    """connect("simulator") refuses an address that is not on this machine."""
    with pytest.raises(InvalidInput):
        connect(rest_url="https://fapi.binance.com", api_key="k", api_secret="s")


def test_a_key_is_given_in_one_way_only() -> None:
    """A key that is given in two ways raises InvalidInput."""
    with pytest.raises(InvalidInput, match="either credentials= or"):
        connect(credentials=Credentials("a" * 64, "b" * 64), api_key="c" * 64)


def test_a_key_that_is_typed_in_a_cell_is_named_once(
    shell: InteractiveShell, simulator: Simulator, capsys: pytest.CaptureFixture[str]
) -> None:
    """A key that the running cell contains is warned of once, without the key; variables and the simulator are not."""
    shell.user_ns.update(connect_to=connect_to, simulator=simulator, key=simulator.api_key)
    unsafe = f'connect_to(simulator, "testnet", api_key="{simulator.api_key}")'
    for safe in ('connect_to(simulator, "testnet", api_key=key)', unsafe.replace("testnet", "simulator")):
        shell.run_cell(safe, store_history=True).raise_error()
    with pytest.warns(KeyWarning) as caught:
        shell.run_cell(unsafe, store_history=True).raise_error()
    assert "A key was typed in a cell" in str(caught[0].message)
    assert "%leverage --login testnet" in str(caught[0].message)
    assert simulator.api_key not in warnings.formatwarning(
        caught[0].message, KeyWarning, caught[0].filename, caught[0].lineno
    )
    shell.run_cell(unsafe, store_history=True).raise_error()
    assert simulator.api_key not in capsys.readouterr().err


@pytest.mark.parametrize(
    "cell",
    [
        'import os\nos.environ["{name}"] = "{value}"',
        "import os\nos.environ.update({name}='{value}')",
        "%env {name}={value}",
        "%env {name} {value}",
        "%set_env {name}={value}",
    ],
)
def test_a_key_that_a_cell_puts_into_the_environment_is_named(
    shell: InteractiveShell, simulator: Simulator, cell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A secret that an earlier cell put into the environment is warned of, however that cell did it."""
    monkeypatch.setenv("LEVERAGE_NB_TESTNET_API_KEY", simulator.api_key)
    monkeypatch.setenv("LEVERAGE_NB_TESTNET_API_SECRET", "")
    cell = cell.format(name="LEVERAGE_NB_TESTNET_API_SECRET", value=simulator.api_secret)
    shell.run_cell(cell, store_history=True).raise_error()
    shell.run_cell("1 + 1", store_history=True).raise_error()
    with pytest.warns(KeyWarning, match="typed in a cell"):
        connect("testnet", rest_url=simulator.rest_url)


def test_a_key_that_a_cell_reads_from_the_environment_is_not_named(
    shell: InteractiveShell, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cells that read a key from the environment, or copy it there from a variable, cause no warning."""
    monkeypatch.setenv("LEVERAGE_NB_TESTNET_API_KEY", simulator.api_key)
    monkeypatch.setenv("LEVERAGE_NB_TESTNET_API_SECRET", "")
    shell.user_ns["secret"] = simulator.api_secret
    for cell in (
        'import os\nkey = os.environ["LEVERAGE_NB_TESTNET_API_KEY"]',
        'os.environ["LEVERAGE_NB_TESTNET_API_SECRET"] = secret',
        "%env LEVERAGE_NB_TESTNET_API_SECRET",
        "%set_env LEVERAGE_NB_TESTNET_API_SECRET=$secret",
    ):
        shell.run_cell(cell, store_history=True).raise_error()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        connect("testnet", rest_url=simulator.rest_url)
