"""A signed call to the test's simulator."""

from __future__ import annotations

import pytest

from leverage_nb.simulator import Simulator
from tests.simulator.calling import Call, signed_call


@pytest.fixture
def call(simulator: Simulator) -> Call:
    """``call("GET", path, symbol=...)`` sends a signed request to the test's simulator."""
    return lambda method, path, **parameters: signed_call(simulator, method, path, **parameters)
