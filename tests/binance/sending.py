"""Clients of a simulator, and single requests over a transport."""

from __future__ import annotations

import socket
from typing import Any

from leverage_nb.binance.client import RestClient
from leverage_nb.binance.credentials import Credentials
from leverage_nb.binance.http import Answer, Outgoing, Transport
from leverage_nb.binance.venues import VENUES
from leverage_nb.simulator import Simulator

SIGNED = "symbol=BTCUSDT&leverage=5&signature=5ec2e7"
PATH = "/fapi/v1/leverage"


def client_of(simulator: Simulator, **options: Any) -> RestClient:
    """Return a client of a simulator."""
    venue = VENUES["simulator"].at(simulator.rest_url)
    return RestClient(venue, Credentials(simulator.api_key, simulator.api_secret), **options)


def signed_post(url: str, headers: dict[str, str] | None = None) -> Outgoing:
    """Return a signed request to an address."""
    return Outgoing("POST", PATH, f"{url}{PATH}", SIGNED, headers or {})


def plain_get(url: str) -> Outgoing:
    """Return an unsigned request to an address."""
    return Outgoing("GET", "/", f"{url}/", None, {})


def deliver(url: str, timeout: float = 10.0) -> Answer:
    """Send one signed request to an address."""
    transport = Transport(url, "The exchange", timeout)
    try:
        return transport.deliver(signed_post(url, {"X-MBX-APIKEY": "PLANTEDKEY"}))
    finally:
        transport.close()


def unused_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
