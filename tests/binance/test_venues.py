"""The venues and the addresses that they accept."""

from __future__ import annotations

import pytest

from leverage_nb.binance.venues import VENUES, back_end, find_venue
from leverage_nb.errors import InvalidInput

SECRET = "a1b2c3d4" * 8


def test_only_mainnet_asks_first() -> None:
    """Changes with real money need a confirmation; those on the simulator and the testnet do not."""
    assert [name for name, venue in VENUES.items() if venue.asks_first] == ["mainnet"]


def test_addresses_are_binances_own() -> None:
    """Testnet and mainnet have the addresses of Binance's documentation."""
    assert find_venue("testnet").rest_url == "https://demo-fapi.binance.com"
    assert find_venue(" Mainnet ").rest_url == "https://fapi.binance.com"
    with pytest.raises(InvalidInput, match="demo is not a venue"):
        find_venue("demo")


@pytest.mark.parametrize(
    "url", ["https://gateway.example/", "http://127.0.0.1:9", "http://localhost:9", "http://[::1]:9"]
)
def test_a_venue_may_have_another_address(url: str) -> None:
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
        ("testnet", "https://fapi%2ebinance.com", "not an address"),
        ("mainnet", "https://fapi%2ebinance.com", "not an address"),
        ("testnet", "https://%66api.binance.com", "not an address"),
        ("testnet", "https://fapi.binance.com%00.example", "not an address"),
        ("testnet", "https://[::1%25x.binance.com]", "not an address"),
        ("testnet", "https://gate_way.example", "not an address"),
        ("testnet", "https://gateway.example;x", "not an address"),
        ("testnet", "https://" + "a" * 3000, "not an address"),
    ],
)
def test_misleading_or_unsafe_addresses_are_refused(venue: str, url: str, reason: str) -> None:
    """No key is sent unencrypted, and no venue is used under the name of another."""
    with pytest.raises(InvalidInput, match=reason):
        find_venue(venue).at(url)


def test_the_default_port_makes_no_difference() -> None:
    """An address with its default port equals the address without it: limits and journal depend on it."""
    assert VENUES["mainnet"].at("https://fapi.binance.com:443").rest_url == "https://fapi.binance.com"


@pytest.mark.parametrize(
    ("venue", "url", "label"),
    [
        ("simulator", "http://127.0.0.1:5", "simulator at 127.0.0.1:5"),
        ("testnet", "https://gateway.example", "testnet at gateway.example"),
        ("testnet", "https://gateway.example:8443/path", "testnet at gateway.example:8443"),
        ("testnet", "https://203.0.113.7", "testnet at 203.0.113.7"),
        ("testnet", "https://[2001:db8::1]", "testnet at [2001:db8::1]"),
        ("testnet", "http://localhost:5", "testnet at localhost:5"),
        (
            "testnet",
            "https://demo-fapi.binance.com.gateway.example",
            "testnet at demo-fapi.binance.com.gateway.example",
        ),
        ("mainnet", "https://gateway.example", "mainnet"),
    ],
)
def test_an_address_that_is_not_the_venues_own_is_treated_as_mainnet(venue: str, url: str, label: str) -> None:
    """Such a venue is not verified, shows its address, and needs a confirmation before a change."""
    there = find_venue(venue).at(url)
    assert (there.verified, there.asks_first, there.label, there.name) == (False, True, label, venue)


@pytest.mark.parametrize(
    ("venue", "url"),
    [
        ("testnet", "https://testnet.binancefuture.com"),
        ("testnet", "HTTPS://DEMO-FAPI.binance.com:443/"),
        ("mainnet", "https://fapi.binance.com"),
    ],
)
def test_a_venues_own_addresses_are_verified(venue: str, url: str) -> None:
    """An address of the venue's own list is shown under its name, in every spelling."""
    there = find_venue(venue).at(url)
    assert there.verified
    assert (there.label, there.asks_first) == (venue, venue == "mainnet")


def test_streams_of_another_host_are_not_verified() -> None:
    """A stream at a host that the user names is accepted, and the venue is then not verified."""
    there = find_venue("testnet").with_stream("wss://streams.example")
    assert (there.verified, there.label) == (False, "testnet at streams.example")
    assert find_venue("testnet").with_stream("wss://fstream.binancefuture.com").verified
    with pytest.raises(InvalidInput, match="is the mainnet, not the testnet"):
        find_venue("testnet").with_stream("wss://fstream.binance.com")


@pytest.mark.parametrize(
    "url",
    [
        f"http://{SECRET}.example",
        f"https://user:{SECRET}@gateway.example",
        f"https://gateway.example/?key={SECRET}",
        f"https://gateway.example/{SECRET}\\",
        f"ftp://gateway.example/{SECRET}",
        f"https://{SECRET}%2eexample",
        f"https://{SECRET}.binance.com",
        SECRET,
    ],
)
def test_no_message_repeats_an_address(url: str) -> None:
    """An address may hold a key, so no error message repeats it."""
    with pytest.raises(InvalidInput) as caught:
        find_venue("testnet").at(url)
    assert SECRET not in str(caught.value)
    with pytest.raises(InvalidInput) as caught:
        find_venue("testnet").with_stream(url)
    assert SECRET not in str(caught.value)


def test_addresses_of_streams() -> None:
    """Streams use wss, or ws on loopback; none belongs to another venue; behind a gateway none is known."""
    assert VENUES["mainnet"].stream_url == "wss://fstream.binance.com"
    assert VENUES["mainnet"].at("https://gateway.example").stream_url == ""
    assert VENUES["testnet"].at("http://127.0.0.1:5").stream_url == "ws://127.0.0.1:5"
    assert (
        VENUES["testnet"].with_stream("WSS://fstream.binancefuture.com/").stream_url
        == "wss://fstream.binancefuture.com"
    )
    for wrong in ("https://x.example", "ws://x.example", "wss://fstream.binance.com", 5):
        with pytest.raises(InvalidInput):
            VENUES["testnet"].with_stream(wrong)  # type: ignore[arg-type]  # on purpose


def test_one_exchange_has_one_back_end() -> None:
    """Both host names of the testnet lead to one exchange; mainnet, a gateway and a path lead to others."""
    assert back_end("https://demo-fapi.binance.com") == back_end("https://testnet.binancefuture.com")
    others = ["https://fapi.binance.com", "https://gateway.example", "https://gateway.example/b"]
    assert len({back_end(address) for address in ["https://demo-fapi.binance.com", *others]}) == 4
