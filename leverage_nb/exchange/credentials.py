"""Where API keys come from. They never print, pickle or show in ``vars()``."""

from __future__ import annotations

import hashlib
import os
from typing import NoReturn

from leverage_nb.errors import CredentialsMissing, Mistake
from leverage_nb.exchange import signing
from leverage_nb.exchange.venues import Venue


class Credentials:
    """An API key and its HMAC secret. Nothing is checked on the way in: no frame that can fail holds them bare.

    Args:
        api_key: As Binance issued it.
        api_secret: The secret of that key.
    """

    __slots__ = ("_key", "_secret")

    def __init__(self, api_key: str | None, api_secret: str | None) -> None:
        self._key = api_key.strip() if isinstance(api_key, str) else api_key
        self._secret = api_secret.strip() if isinstance(api_secret, str) else api_secret

    @property
    def parts(self) -> int:
        """How many of the two there are."""
        return (self._key is not None) + (self._secret is not None)

    def checked(self) -> Credentials:
        """Itself, if both parts can be sent.

        Raises:
            Mistake: A part is no text, is empty, or holds characters that no key holds.
        """
        for part in ("key", "secret"):
            if not _can_be_sent(getattr(self, f"_{part}")):
                raise Mistake(f"The API {part} is empty or holds what no {part} holds: copy it again.")
        return self

    @property
    def fingerprint(self) -> str:
        """Eight hex digits that tell keys apart and give nothing away."""
        return hashlib.sha256(str(self._key).encode()).hexdigest()[:8]

    def headers(self) -> dict[str, str]:
        """The header that names the key."""
        return {"X-MBX-APIKEY": str(self._key)}

    def sign(self, payload: str) -> str:
        """Append the signature to an encoded query string or form body."""
        return signing.append_hmac(payload, str(self._secret))

    def __repr__(self) -> str:
        return f"<Credentials {self.fingerprint}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("credentials are not pickled")


def variable(venue: Venue, part: str) -> str:
    """The environment variable for one part: ``LEVERAGE_NB_TESTNET_API_KEY`` and so on."""
    return f"LEVERAGE_NB_{venue.name.upper()}_API_{part.upper()}"


def find_credentials(venue: Venue, given: Credentials) -> Credentials:
    """Take both parts from what was given, or both from the environment; never one from each.

    Raises:
        CredentialsMissing: Neither place has them.
        Mistake: One part comes without the other, or cannot be one.
    """
    if given.parts == 1:
        raise Mistake("api_key and api_secret go together.")
    if given.parts == 2:
        return given.checked()
    names = (variable(venue, "key"), variable(venue, "secret"))
    there = [name for name in names if os.environ.get(name)]
    if not there:
        raise CredentialsMissing(
            f"There is no API key for the {venue.name}.",
            hint=f"Set {names[0]} and {names[1]} before Jupyter starts, or connect once with "
            f"lev.connect({venue.name!r}, api_key=..., api_secret=...). {venue.where_keys_come_from}",
        )
    if len(there) == 1:
        raise Mistake(f"{names[0]} and {names[1]} go together, and only one of them is set.")
    return Credentials(os.environ[names[0]], os.environ[names[1]]).checked()


def _can_be_sent(text: object) -> bool:
    return isinstance(text, str) and bool(text) and text.isascii() and text.isprintable() and " " not in text
