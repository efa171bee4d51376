"""Requests to the simulator, signed here and not by the code under test."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import requests

from leverage_nb.simulator import Simulator

Call = Callable[..., tuple[int, Any]]

LEVERAGE = "/fapi/v1/leverage"
CONFIG = "/fapi/v1/symbolConfig"
MARGIN_TYPE, MARGIN, MARGIN_HISTORY = (
    "/fapi/v1/marginType",
    "/fapi/v1/positionMargin",
    "/fapi/v1/positionMargin/history",
)


def signature(secret: str, text: str) -> str:
    """Return an HMAC-SHA256 signature as Binance documents it."""
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()


def signed_text(simulator: Simulator, **parameters: Any) -> str:
    """Return parameters as a signed query or form body, with the present time unless a timestamp is given."""
    text = urlencode({"timestamp": int(time.time() * 1000)} | parameters)
    return f"{text}&signature={signature(simulator.api_secret, text)}"


def form_headers(simulator: Simulator) -> dict[str, str]:
    """Return the headers of a signed form."""
    return {"X-MBX-APIKEY": simulator.api_key, "Content-Type": "application/x-www-form-urlencoded"}


def signed_call(simulator: Simulator, method: str, path: str, **parameters: Any) -> tuple[int, Any]:
    """Send a signed request; return status and decoded JSON."""
    text = signed_text(simulator, **parameters)
    url = simulator.rest_url + path + (f"?{text}" if method == "GET" else "")
    data = None if method == "GET" else text
    response = requests.request(method, url, data=data, headers=form_headers(simulator), timeout=30)
    return response.status_code, response.json()


def post_form(simulator: Simulator, timeout: float = 5, **options: Any) -> requests.Response:
    """Change XRPUSDT, which opens at 50x, to 10x; return the raw response."""
    form = signed_text(simulator, symbol="XRPUSDT", leverage=10)
    url = simulator.rest_url + LEVERAGE
    return requests.post(url, data=form, headers=form_headers(simulator), timeout=timeout, **options)


def change(simulator: Simulator, **more: Any) -> tuple[int, Any] | type[BaseException]:
    """Change XRPUSDT to 10x as a plain client does; return status and JSON, or the error's type."""
    try:
        return signed_call(simulator, "POST", LEVERAGE, symbol="XRPUSDT", leverage=10, **more)
    except (requests.RequestException, ValueError) as exc:
        return type(exc)


def leverages(simulator: Simulator, **parameters: Any) -> dict[str, int]:
    """Return the leverage of each symbol in symbolConfig's list."""
    status, rows = signed_call(simulator, "GET", CONFIG, **parameters)
    assert status == 200
    return {row["symbol"]: row["leverage"] for row in rows}


def true_leverage(simulator: Simulator) -> int:
    """Return the leverage of XRPUSDT in the simulator's account."""
    return simulator.exchange.account.leverage("XRPUSDT")


def wait_for(condition: Callable[[], bool]) -> bool:
    """Wait at most 30 seconds for a condition, for as long as a busy machine may need."""
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()
