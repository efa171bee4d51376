"""Requests to the simulator, signed here and not by the code under test."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import pytest
import requests

from leverage_nb.simulator import Simulator

Call = Callable[..., tuple[int, Any]]


def signature(secret: str, text: str) -> str:
    """HMAC-SHA256 as Binance documents it."""
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def signed_call(simulator: Simulator, method: str, path: str, **parameters: Any) -> tuple[int, Any]:
    """Send a signed request; returns status and decoded JSON."""
    parameters.setdefault("timestamp", int(time.time() * 1000))
    text = urlencode(parameters)
    text += "&signature=" + signature(simulator.api_secret, text)
    url = simulator.rest_url + path + (f"?{text}" if method == "GET" else "")
    headers = {"X-MBX-APIKEY": simulator.api_key, "Content-Type": "application/x-www-form-urlencoded"}
    response = requests.request(method, url, data=None if method == "GET" else text, headers=headers, timeout=5)
    return response.status_code, response.json()


@pytest.fixture
def call(simulator: Simulator) -> Call:
    """``call("GET", path, symbol=...)`` against the test's simulator."""
    return lambda method, path, **parameters: signed_call(simulator, method, path, **parameters)
