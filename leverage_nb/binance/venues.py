"""The venues simulator, testnet and mainnet: their addresses and rules."""

from __future__ import annotations

import ipaddress
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from urllib.parse import urlsplit

from leverage_nb.errors import InvalidInput, as_typed


@dataclass(frozen=True)
class Venue:
    """An exchange and its addresses.

    Attributes:
        name: "simulator", "testnet" or "mainnet".
        speaker: The venue's name as the subject of a sentence.
        rest_url: Address of the REST API without a trailing slash; "" for a simulator that was not started yet.
        stream_url: Address of the WebSocket streams without a path; "" if unknown.
        where_keys_come_from: A sentence that says where to get an API key.
        proved: Whether the address has proved to be a simulator of this package.
        wallet_url: Address of Binance's wallet API, which knows what a key may do; "" except at mainnet's own address.
    """

    name: str
    speaker: str
    rest_url: str
    stream_url: str
    where_keys_come_from: str
    proved: bool = False
    wallet_url: str = ""

    @property
    def verified(self) -> bool:
        """Whether all addresses are the venue's own, or those of a proved simulator of this package."""
        return not self._foreign_host

    @property
    def label(self) -> str:
        """The name as cards and tables show it, followed by the address unless that is verified."""
        if self.verified or self.name == "mainnet":
            return self.name
        return f"{self.name} at {self._foreign_host}"

    @property
    def asks_first(self) -> bool:
        """Whether mainnet's rules apply: on mainnet, and at any address that is not verified."""
        return self.name == "mainnet" or not self.verified

    @property
    def _foreign_host(self) -> str:
        """The first host and port that are not known to be the venue's own; "" if all are."""
        rest, streams = urlsplit(self.rest_url), urlsplit(self.stream_url)
        if self.rest_url and not self.proved and rest.hostname not in _OWN_HOSTS[self.name]:
            return rest.netloc
        if self.stream_url and streams.netloc != rest.netloc and streams.hostname not in _OWN_STREAM_HOSTS[self.name]:
            return streams.netloc
        return ""

    @property
    def is_local(self) -> bool:
        """Whether the REST address is on this machine."""
        return is_loopback(self.rest_url)

    def with_stream(self, stream_url: str) -> Venue:
        """Return the same venue with another address of its streams: wss, or ws on this machine.

        Raises:
            InvalidInput: The address cannot be used, or belongs to another venue.
        """
        if not isinstance(stream_url, str) or not re.match(r"(?i)wss?://", stream_url.strip()):
            raise InvalidInput("stream_url is not a wss address.", hint="It begins with wss:// and a host.")
        checked = _checked(re.sub(r"(?i)^ws", "http", stream_url.strip()), self, _OWN_STREAM_HOSTS)
        return replace(self, stream_url=checked.replace("http", "ws", 1))

    def at(self, rest_url: str) -> Venue:
        """Return the same venue at another address: a proxy, a gateway, another simulator.

        It is :attr:`verified` only if the address is the venue's own. Its streams are assumed at the same address on
        this machine, and unknown behind a gateway.

        Raises:
            InvalidInput: The address cannot be used, or belongs to another venue.
        """
        address = _checked(rest_url, self)
        own = urlsplit(address).hostname in _OWN_HOSTS[self.name]
        streams = self.stream_url if own else address.replace("http", "ws", 1) if is_loopback(address) else ""
        wallet = self.wallet_url if own else ""
        return replace(self, rest_url=address, stream_url=streams, proved=False, wallet_url=wallet)


VENUES = {
    venue.name: venue
    for venue in (
        Venue(
            name="simulator",
            speaker="The simulator",
            rest_url="",
            stream_url="",
            where_keys_come_from="A simulator prints its key when it starts.",
        ),
        Venue(
            name="testnet",
            speaker="Binance's testnet",
            rest_url="https://demo-fapi.binance.com",
            # Third parties have received account events there; a change of leverage was not seen.
            stream_url="wss://demo-fstream.binance.com",
            where_keys_come_from="Create keys at https://demo.binance.com (API Management).",
        ),
        Venue(
            name="mainnet",
            speaker="Binance",
            rest_url="https://fapi.binance.com",
            stream_url="wss://fstream.binance.com",
            where_keys_come_from="Create keys at https://www.binance.com (API Management); enable Futures.",
            wallet_url="https://api.binance.com",
        ),
    )
}

# Binance's own hosts: no address of one venue may be used under the name of another.
_OWN_HOSTS = {
    "mainnet": {"fapi.binance.com"},
    "testnet": {"demo-fapi.binance.com", "testnet.binancefuture.com"},
    "simulator": set[str](),
}
_OWN_STREAM_HOSTS = {
    "mainnet": {"fstream.binance.com"},
    "testnet": {"demo-fstream.binance.com", "fstream.binancefuture.com"},
    "simulator": set[str](),
}
_BINANCE = ("binance.com", "binancefuture.com")


def find_venue(name: str) -> Venue:
    """Return a venue by its name.

    Raises:
        InvalidInput: There is no such venue.
    """
    venue = VENUES.get(name.strip().lower()) if isinstance(name, str) else None
    if venue is None:
        near = get_close_matches(str(name)[:20].lower(), VENUES, n=1)
        guess = f"Did you mean {near[0]}?" if near else f"The venues are {', '.join(VENUES)}."
        raise InvalidInput(f"{as_typed(name)} is not a venue.", hint=guess)
    return venue


def back_end(rest_url: str) -> str:
    """Return a name for the exchange at an address: the same for all addresses known to lead to one exchange."""
    host = urlsplit(rest_url).hostname
    return next((name for name, hosts in _OWN_HOSTS.items() if host in hosts), rest_url)


def is_loopback(url: str) -> bool:
    """Whether an address is on this machine."""
    host = urlsplit(url).hostname or ""
    address = _ip_address(host)
    return host == "localhost" or (address is not None and address.is_loopback)


# Other spellings may be read as another host: some programs read "%2e" as a dot.
_HOST = re.compile(r"[a-z0-9.-]+")


# The messages do not repeat the address, which may hold a key.
def _checked(url: str, venue: Venue, own_hosts: dict[str, set[str]] = _OWN_HOSTS) -> str:
    if not isinstance(url, str) or not re.fullmatch(r"[!-~]{1,2000}", url.strip()) or "\\" in url:
        raise InvalidInput("That is not an address.")
    try:
        parts = urlsplit(url.strip())
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise InvalidInput("That is not an address.") from None
    if "@" in parts.netloc or "?" in url or "#" in url:
        raise InvalidInput("An address must have no user, password, query or fragment.")
    if not host or parts.scheme not in {"https", "http"}:
        raise InvalidInput("That is not an https address.", hint="It begins with https:// and a host.")
    if "%" in parts.netloc or not (_HOST.fullmatch(host) or _ip_address(host)):
        raise InvalidInput("That is not an address.", hint="A host consists of letters, digits, dots and hyphens.")
    if parts.scheme == "http" and not is_loopback(url):
        raise InvalidInput("That address is not encrypted.", hint="Use https. Plain http is for this machine only.")
    owner = next((name for name, hosts in own_hosts.items() if host in hosts), "")
    if owner and owner != venue.name:
        raise InvalidInput(f"{host} is the {owner}, not the {venue.name}.", hint=f'Use connect("{owner}").')
    if not owner and any(host == domain or host.endswith(f".{domain}") for domain in _BINANCE):
        raise InvalidInput(
            f"That host is Binance's, but not known as the {venue.name}'s.", hint="Omit rest_url and stream_url."
        )
    if venue.name == "simulator" and not is_loopback(url):
        raise InvalidInput(
            "That host is not on this machine, so it cannot be shown as a simulator.",
            hint='Connect to "testnet" or "mainnet" for an exchange elsewhere.',
        )
    where = f"[{host}]" if ":" in host else host
    if port == {"https": 443, "http": 80}[parts.scheme]:
        port = None  # one exchange has one address: limits and journal depend on it
    return f"{parts.scheme}://{where}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


def _ip_address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    with suppress(ValueError):
        return ipaddress.ip_address(host)
    return None
