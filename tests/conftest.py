"""Fixtures for all tests: a simulator, an account on it, a shell, the published tiers."""

from __future__ import annotations

import atexit
import json
import os
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest

from leverage_nb.account import Account
from leverage_nb.session import connect, session
from leverage_nb.simulator import Simulator
from tests.keyrings import Ring, using

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

ROOT = Path(__file__).parents[1]

_opened: list[Account] = []

# The time that an example takes depends on the machine.
hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.load_profile("here")


def pytest_configure(config: pytest.Config) -> None:
    """Hide the keys of this machine also from kernels and other processes, in which no fixture runs."""
    os.environ["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a background job of a shell; processes of tests inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):  # workers inherit it
        # IPython and Jupyter write into the home folder, which may be read-only and has what the user configured.
        folder = tempfile.TemporaryDirectory(prefix="leverage_nb-", ignore_cleanup_errors=True)
        atexit.register(folder.cleanup)  # after IPython's exit function, which writes the history
        for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR"):
            os.environ[name] = str(Path(folder.name) / name.lower())
    if config.option.markexpr.strip() != "testnet":
        for name in [name for name in os.environ if name.startswith("LEVERAGE_NB_")]:
            del os.environ[name]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the long comparisons and of the contract run."""
    parser.addoption("--proof-runs", type=int, default=5000, help="random accounts of each long comparison, -m proof")
    group = parser.getgroup("contract", "the contract run on Binance's testnet, -m testnet")
    group.addoption("--contract-report", default="contract-report.md", help="where its report is written")
    group.addoption("--contract-patience", type=float, default=10.0, help="seconds to wait for an event")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run the contract run in this process: Ctrl-C must not end a worker before it has restored a leverage."""
    if config.option.markexpr.strip() == "testnet":
        config.option.numprocesses, config.option.dist, config.option.tx = 0, "no", []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start the browser tests first: they take half of the time, and all others run beside them."""
    items.sort(key=lambda item: item.get_closest_marker("browser") is None)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide keys, proxies and the debug switch of this machine."""
    for name in list(os.environ):
        if name.startswith("LEVERAGE_NB_") or name.upper() in {"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"}:
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _fresh_session(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Start every test without accounts, journals and limits, on the simulator."""
    for name in ("XDG_DATA_HOME", "WIN_PD_OVERRIDE_LOCAL_APPDATA"):  # not the user's own journal
        monkeypatch.setenv(name, str(tmp_path_factory.mktemp("data")))
    session.reset()
    session.max_leverage = 0
    yield
    while _opened:  # also those that another one replaced in the session: they may follow a stream
        _opened.pop().close()
    session.close()


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A simulator for this test only."""
    with Simulator() as running:
        yield running


@pytest.fixture
def account(simulator: Simulator) -> Iterator[Account]:
    """An account on :func:`simulator`."""
    with connect_to(simulator) as opened:
        yield opened


def connect_to(simulator: Simulator, venue: str = "simulator", **options: Any) -> Account:
    """Return an account on a simulator, under the name of any venue. It is closed after the test."""
    keys = {"api_key": simulator.api_key, "api_secret": simulator.api_secret}
    account = connect(venue, rest_url=simulator.rest_url, **{**keys, **options})
    _opened.append(account)
    return account


@pytest.fixture
def ring() -> Iterator[Ring]:
    """The system's keyring, for this test only."""
    ring = Ring()
    with using(ring):
        yield ring


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    """An IPython shell with the extension loaded."""
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    shell.extension_manager.load_extension("leverage_nb")
    yield shell
    shell.extension_manager.unload_extension("leverage_nb")
    InteractiveShell.clear_instance()


@pytest.fixture(scope="session")
def published_tiers() -> dict[str, list[dict[str, Any]]]:
    """The tiers of the simulator's 46 symbols, as published on 2026-09-29."""
    content: dict[str, list[dict[str, Any]]] = json.loads(
        (ROOT / "tests" / "published_tiers.json").read_text(encoding="utf-8")
    )
    return content
