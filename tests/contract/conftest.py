"""The contract run on the testnet: started once, finished however the tests end, its report named at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.contract.run import ContractRun, NoAccess, open_testnet

# Read before a fixture clears the environment.
_GIVEN = dict(os.environ)
_WRITTEN = pytest.StashKey[Path]()


@pytest.fixture(scope="session")
def contract_run(request: pytest.FixtureRequest) -> Iterator[ContractRun]:
    """The run on the testnet, for the account whose key is in the environment; the tests end if it cannot start."""
    path = Path(request.config.getoption("--contract-report")).absolute()
    try:
        run = ContractRun(open_testnet(_GIVEN, request.config.getoption("--contract-patience")))
    except NoAccess as exc:
        pytest.exit(f"The contract run cannot start. {exc}", returncode=1)
    try:
        run.check_access()
        yield run
    except NoAccess as exc:
        pytest.exit(f"The contract run cannot start. {exc}", returncode=1)
    finally:
        run.finish(path)
        request.config.stash[_WRITTEN] = path


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Name the report, and what it says in a line."""
    if (path := config.stash.get(_WRITTEN, None)) is not None:
        title = path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")
        terminalreporter.write_sep("=", title)
        terminalreporter.write_line(f"The report, which can be attached to an issue: {path}")
