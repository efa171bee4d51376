"""The exchange that the contract is checked against."""

from __future__ import annotations

import os

import pytest

from leverage_nb.binance.venues import VENUES
from tests.contract.exchange import ExchangeUnderTest

# Read before a fixture clears the environment. The addresses are for a gateway or another simulator.
_GIVEN = {name: os.environ.get(f"LEVERAGE_NB_TESTNET_{name}", "") for name in ("API_KEY", "API_SECRET")}
_ADDRESSES = {name: os.environ.get(f"LEVERAGE_NB_TESTNET_{name}", "") for name in ("REST_URL", "STREAM_URL")}


@pytest.fixture
def testnet() -> ExchangeUnderTest:
    """Return the testnet, for the account whose key is in the environment; skip the test without a key."""
    if not all(_GIVEN.values()):
        pytest.skip("Set LEVERAGE_NB_TESTNET_API_KEY and LEVERAGE_NB_TESTNET_API_SECRET (an HMAC key)")
    venue = VENUES["testnet"]
    if _ADDRESSES["REST_URL"]:
        venue = venue.at(_ADDRESSES["REST_URL"])  # raises for an address of another venue
    stream_url = _ADDRESSES["STREAM_URL"] or venue.stream_url
    return ExchangeUnderTest("testnet", venue.rest_url, stream_url, _GIVEN["API_KEY"], _GIVEN["API_SECRET"])
