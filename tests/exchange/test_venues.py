"""Venues and the addresses they accept."""

from __future__ import annotations

import pytest

from leverage_nb.errors import Mistake
from leverage_nb.exchange.venues import VENUES, find_venue


def test_only_mainnet_asks_first() -> None:
    """Changes with real money are asked about; the simulator's and the testnet's are not."""
    assert [name for name, venue in VENUES.items() if venue.asks_first] == ["mainnet"]


def test_addresses_are_binances_own() -> None:
    """Testnet and mainnet go where Binance's documentation says."""
    assert find_venue("testnet").rest_url == "https://demo-fapi.binance.com"
    assert find_venue(" Mainnet ").rest_url == "https://fapi.binance.com"
    with pytest.raises(Mistake, match="no venue 'demo'"):
        find_venue("demo")


@pytest.mark.parametrize(
    "url", ["https://gateway.example/", "http://127.0.0.1:9", "http://localhost:9", "http://[::1]:9"]
)
def test_another_address_may_stand_for_a_venue(url: str) -> None:
    """A gateway over https is accepted, and plain http on this machine."""
    assert find_venue("testnet").at(url).rest_url == url.rstrip("/")


@pytest.mark.parametrize(
    ("venue", "url", "reason"),
    [
        ("testnet", "http://gateway.example", "not encrypted"),
        ("testnet", "http://127.0.0.1.example", "not encrypted"),
        ("testnet", "ftp://gateway.example", "not an https address"),
        ("testnet", "gateway.example", "not an https address"),
        ("testnet", "https://user:pass@gateway.example", "no user, password"),
        ("testnet", "https://gateway.example/?x=1", "no user, password"),
        ("testnet", "https://fapi.binance.com", "is the mainnet, not the testnet"),
        ("mainnet", "https://testnet.binancefuture.com", "is the testnet, not the mainnet"),
        ("simulator", "https://fapi.binance.com", "is the mainnet, not the simulator"),
        ("simulator", "https://gateway.example", "cannot be shown as a simulator"),
        ("testnet", "https://[oops", "not an address"),
        ("testnet", "https://fapi.binance.com.", "is the mainnet"),
        ("testnet", "https://FAPI.BINANCE.COM:443/", "is the mainnet"),
        ("testnet", "https://fapi.binance.com\\x", "not an address"),
        ("testnet", "https://fapi1.binance.com", "not known as the testnet"),
        ("mainnet", "https://www.binance.com", "not known as the mainnet"),
        ("testnet", "https://gateway.example/?", "no user, password"),
        ("testnet", "https://gateway.example#", "no user, password"),
        ("testnet", "https://a b.example", "not an address"),
        ("testnet", "https://gateway.example/\u0441", "not an address"),
    ],
)
def test_misleading_or_unsafe_addresses_are_refused(venue: str, url: str, reason: str) -> None:
    """No key travels in the clear, and no venue wears another's name."""
    with pytest.raises(Mistake, match=reason):
        find_venue(venue).at(url)


def test_a_default_port_is_no_other_address() -> None:
    """One exchange has one address, its port spelt out or not: limits and journal go by it."""
    assert VENUES["mainnet"].at("https://fapi.binance.com:443").rest_url == "https://fapi.binance.com"
