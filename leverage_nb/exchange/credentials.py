"""Where API keys come from. They never print, pickle or show in ``vars()``."""

from __future__ import annotations

import hashlib
import os
from typing import NoReturn

from leverage_nb.errors import CredentialsMissing, Mistake
from leverage_nb.exchange import signing
from leverage_nb.exchange.venues import Venue


class Credentials:
    """An API key and its HMAC secret.

    Args:
        api_key: As Binance issued it.
        api_secret: The secret of that key.

    Raises:
        Mistake: Either holds characters that no key holds.
    """

    __slots__ = ("_key", "_secret")

    def __init__(self, api_key: str, api_secret: str) -> None:
        self._key = api_key.strip()
        self._secret = api_secret.strip()
        for part, text in (("key", self._key), ("secret", self._secret)):
            if not text or not text.isascii() or not text.isprintable() or " " in text:
                raise Mistake(f"The API {part} is empty or holds characters that none has: copy it again.")

    @property
    def fingerprint(self) -> str:
        """Eight hex digits that tell keys apart and give nothing away."""
        return hashlib.sha256(self._key.encode()).hexdigest()[:8]

    def headers(self) -> dict[str, str]:
        """The header that names the key."""
        return {"X-MBX-APIKEY": self._key}

    def sign(self, payload: str) -> str:
        """Append the signature to an encoded query string or form body."""
        return signing.append_hmac(payload, self._secret)

    def __repr__(self) -> str:
        return f"<Credentials {self.fingerprint}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials are not pickled")


def variable(venue: Venue, part: str) -> str:
    """The environment variable for one part: ``LEVERAGE_NB_TESTNET_API_KEY`` and so on."""
    return f"LEVERAGE_NB_{venue.name.upper()}_API_{part.upper()}"


def find_credentials(venue: Venue, api_key: str | None, api_secret: str | None) -> Credentials:
    """Take both parts from the arguments, or both from the environment; never one from each.

    Raises:
        CredentialsMissing: Neither place has them.
        Mistake: One part was given without the other.
    """
    names = (variable(venue, "key"), variable(venue, "secret"))
    if api_key is None and api_secret is None:
        found = [os.environ.get(name, "") for name in names]
        if not any(found):
            raise CredentialsMissing(
                f"There is no API key for the {venue.name}.",
                hint=f"Set {names[0]} and {names[1]} before Jupyter starts, or connect once with "
                f"lev.connect({venue.name!r}, api_key=..., api_secret=...). {venue.where_keys_come_from}",
            )
        if not all(found):
            raise Mistake(f"{names[0]} and {names[1]} go together, and only one of them is set.")
        return Credentials(*found)
    if api_key is None or api_secret is None:
        raise Mistake("api_key and api_secret go together.")
    return Credentials(api_key, api_secret)
