"""Which exchange the contract is held against, and the report at the end."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from leverage_nb.exchange.venues import VENUES
from tests.contract.exchange import ExchangeUnderTest

REPORT = Path(__file__).parent / "report.md"

# Read before the environment of every test is emptied. The addresses are for a gateway, or another simulator.
TESTNET = {
    name: os.environ.get(f"LEVERAGE_NB_TESTNET_{name}", "")
    for name in ("API_KEY", "API_SECRET", "REST_URL", "STREAM_URL")
}


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """After a run against the testnet: every rule, what it rests on, and what was found; kept as a file, too."""
    lines = [
        dict(report.user_properties)["contract"]
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call" and "contract" in dict(getattr(report, "user_properties", ()))
    ]
    if lines:
        table = ["| rule | certainty | found |", "|---|---|---|", *lines]
        REPORT.write_text("\n".join(table) + "\n", encoding="utf-8")
        terminalreporter.write_sep("=", f"contract with the testnet, kept in {REPORT.name}")
        terminalreporter.write_line("\n".join(table))


@pytest.fixture
def testnet() -> ExchangeUnderTest:
    """The testnet, for the account whose key is in the environment; skipped without one."""
    if not (TESTNET["API_KEY"] and TESTNET["API_SECRET"]):
        pytest.skip("set LEVERAGE_NB_TESTNET_API_KEY and LEVERAGE_NB_TESTNET_API_SECRET (an HMAC key)")
    venue = VENUES["testnet"]
    return ExchangeUnderTest(
        "testnet",
        TESTNET["REST_URL"] or venue.rest_url,
        TESTNET["STREAM_URL"] or venue.stream_url,
        TESTNET["API_KEY"],
        TESTNET["API_SECRET"],
    )
