"""API keys from arguments, the environment or the keyring. They do not print, pickle or appear in ``vars()``."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
from contextlib import suppress
from typing import Any, NoReturn

from leverage_nb.binance import signing
from leverage_nb.binance.venues import Venue
from leverage_nb.errors import CredentialsMissing, InvalidInput, as_typed

# Not a valid name of a profile.
_NO_PROFILE = "(no profile)"

_PARTS = ("api_key", "api_secret", "private_key", "password")

_WITHOUT_KEYRING = "Install it with pip install keyring, or set the environment variables instead."


class Credentials:
    """An API key with its HMAC secret or its private key. No frame that can fail holds them in a variable.

    Args:
        api_key: The key as Binance issued it.
        api_secret: The secret of an HMAC key.
        private_key: The private key of an RSA or Ed25519 key: PEM, or the path of a file.
        password: The password of an encrypted private key.

    Attributes:
        fingerprint: Eight hex digits that distinguish keys and reveal nothing of them.
    """

    __slots__ = ("_key", "_password", "_private", "_secret", "_signer", "fingerprint")

    def __init__(
        self,
        api_key: str | None,
        api_secret: str | None,
        private_key: str | None = None,
        password: str | None = None,
    ) -> None:
        self._key, self._secret = _stripped(api_key), _stripped(api_secret)
        self._private = None if private_key is None else str(private_key)
        self._password = password
        self._signer: signing.Signer | None = None
        # Computed here: an interrupt during a later computation would show the key in its frames.
        readable = str(self._key).encode("utf-8", "backslashreplace")
        self.fingerprint = hashlib.sha256(readable).hexdigest()[:8]

    @property
    def parts(self) -> int:
        """How many of the two parts, key and secret (or private key), are given."""
        return (self._key is not None) + (self._secret is not None or self._private is not None)

    def with_secret(self, api_secret: str | None) -> Credentials:
        """Return the same key with its HMAC secret."""
        return Credentials(self._key, api_secret)

    def checked(self) -> Credentials:
        """Return these credentials if all parts can be used.

        Raises:
            InvalidInput: A part is empty or has characters that no key has, or the private key cannot be loaded.
        """
        problem, hint = self._find_problem()
        if problem:
            raise InvalidInput(problem, hint=hint)
        return self

    # A verbose traceback prints the variables of a frame, so nothing is raised here.
    def _find_problem(self) -> tuple[str, str]:
        """Return the problem and the next step; two empty texts if there is no problem."""
        if self._secret is not None and self._private is not None:
            return "An API key has either an api_secret (HMAC) or a private_key (RSA, Ed25519), not both.", ""
        for part in ("key", "secret") if self._private is None else ("key",):
            if not _can_be_sent(getattr(self, f"_{part}")):
                return f"The API {part} is empty or has characters that no {part} has: copy it again.", ""
        if self._private is None:
            return "", ""
        found = signing.load_signer(self._private, self._password)
        if isinstance(found, str):
            return found, "Install it with pip install cryptography." if "cryptography" in found else ""
        self._signer = found
        return "", ""

    def headers(self) -> dict[str, str]:
        """Return the HTTP header with the key."""
        return {"X-MBX-APIKEY": str(self._key)}

    def sign(self, payload: str) -> str:
        """Return an encoded query string or form body with its signature appended."""
        if self._signer is not None:
            return self._signer(payload)
        return signing.append_hmac(payload, str(self._secret))

    def confirm(self, nonce: str, proof: str) -> bool:
        """Return whether a proof is the hex HMAC-SHA256 of the nonce, keyed with this API key."""
        interrupt: BaseException
        try:
            expected = hmac.digest(str(self._key).encode(), nonce.encode(), "sha256").hex()
            return hmac.compare_digest(expected.encode(), proof.encode("utf-8", "replace"))
        except BaseException as exc:  # noqa: BLE001 - raised below, without the frames that hold the key
            interrupt = exc.with_traceback(None)
        raise interrupt

    def keep(self, venue: Venue, profile: str | None) -> None:
        """Store the credentials in the system's keyring.

        Raises:
            InvalidInput: There is no keyring, or it cannot be written.
        """
        problem = self._store(venue, profile)
        if problem:
            raise InvalidInput(
                f"The key could not be stored: no keyring can be written ({problem}).",
                hint=_WITHOUT_KEYRING,
            )

    # As above, nothing is raised here, not even an interrupt at the keyring's own prompt.
    def _store(self, venue: Venue, profile: str | None) -> str:
        parts = zip(_PARTS, (self._key, self._secret, self._private, self._password), strict=True)
        text = json.dumps({name: part for name, part in parts if part is not None})
        try:
            import keyring

            keyring.set_password(_service(venue), profile or _NO_PROFILE, text)
        except (Exception, KeyboardInterrupt) as exc:  # noqa: BLE001 - back ends raise any exception
            return type(exc).__name__
        return ""

    def __repr__(self) -> str:
        return f"<Credentials {self.fingerprint}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("Credentials cannot be pickled.")


def variable(venue: Venue, part: str, profile: str | None = None) -> str:
    """Return the environment variable of a part, such as ``LEVERAGE_NB_MAINNET_SUB1_API_KEY``."""
    whose = f"_{profile.upper()}" if profile else ""
    return f"LEVERAGE_NB_{venue.name.upper()}{whose}_{part.upper()}"


def check_keyring() -> None:
    """Check that there is a keyring, before the user is asked for a key.

    Raises:
        InvalidInput: There is none.
    """
    why = ""
    try:
        import keyring
        from keyring.backends import fail

        if isinstance(keyring.get_keyring(), fail.Keyring):
            why = "the system has none"
    except ImportError:
        why = "the package keyring is not installed"
    if why:
        raise InvalidInput(f"There is no keyring that can store a key: {why}.", hint=_WITHOUT_KEYRING)


def check_profile(profile: str | None) -> str | None:
    """Return the name of a profile in lower case, if it is valid: letters, digits and underscores.

    Raises:
        InvalidInput: It is not.
    """
    if profile is None:
        return None
    if isinstance(profile, str) and re.fullmatch(r"[A-Za-z0-9_]{1,40}", profile):
        return profile.lower()  # environment variables are not case-sensitive on every system
    raise InvalidInput(
        f"{as_typed(profile)} is not a profile's name.",
        hint="Use at most 40 letters, digits and underscores.",
    )


def find_credentials(venue: Venue, given: Credentials, profile: str | None = None) -> Credentials:
    """Return the credentials of an account: the given ones, those of the environment, or those of the keyring.

    Parts of different sources are never combined.

    Args:
        venue: The venue of the account.
        given: The credentials passed by the caller, which may be empty.
        profile: The profile of the account.

    Raises:
        CredentialsMissing: No source has credentials.
        InvalidInput: A source has only one part, or a part cannot be used.
    """
    if given.parts == 1:
        raise InvalidInput("api_key and api_secret (or private_key) go together: one of them is missing.")
    if given.parts == 2:
        return given.checked()
    if _check_environment(venue, profile):
        return _from_environment(venue, profile).checked()
    stored = _from_keyring(venue, profile)
    if stored is not None:
        return stored.checked()
    names = f"{variable(venue, 'api_key', profile)} and {variable(venue, 'api_secret', profile)}"
    whose = f" and the profile {profile}" if profile else ""
    raise CredentialsMissing(
        f"There is no API key for the {venue.name}{whose}.",
        hint=f"Set {names} before Jupyter starts, store it with %leverage --login {venue.name}, or connect once with "
        f"lev.connect({venue.name!r}, api_key=..., api_secret=...). {venue.where_keys_come_from}",
    )


def name_source(venue: Venue, profile: str | None = None) -> str:
    """Return the source of a venue's key as text; never the key."""
    if venue.name == "simulator":
        return "the simulator itself"
    if any(os.environ.get(variable(venue, part, profile)) for part in ("api_key", "api_secret", "private_key")):
        return f"the environment ({variable(venue, 'api_key', profile)})"
    return "the keyring" if _from_keyring(venue, profile) is not None else "nowhere: there is none"


def _check_environment(venue: Venue, profile: str | None) -> bool:
    """Return whether the environment has a complete key.

    Raises:
        InvalidInput: It has only one part.
    """
    names = {part: variable(venue, part, profile) for part in ("api_key", "api_secret", "private_key")}
    there = [part for part, name in names.items() if os.environ.get(name)]
    if there and ("api_key" not in there or len(there) == 1):
        raise InvalidInput(
            f"{names['api_key']} and {names['api_secret']} (or {names['private_key']}) go together: one is missing."
        )
    return bool(there)


def _from_environment(venue: Venue, profile: str | None) -> Credentials:
    def of(part: str) -> str | None:
        return os.environ.get(variable(venue, part, profile)) or None

    return Credentials(of("api_key"), of("api_secret"), of("private_key"), of("private_key_password"))


def _from_keyring(venue: Venue, profile: str | None) -> Credentials | None:
    with suppress(Exception):  # no keyring, a locked one, or an entry in another format
        import keyring

        return _unpacked(keyring.get_password(_service(venue), profile or _NO_PROFILE))
    return None


def _unpacked(text: str | None) -> Credentials | None:
    if text is None:
        return None
    parts: dict[str, Any] = json.loads(text)
    return Credentials(*(parts.get(name) for name in _PARTS))


def _service(venue: Venue) -> str:
    return f"leverage_nb {venue.name}"


def _stripped(text: Any) -> Any:
    return text.strip() if isinstance(text, str) else text


def _can_be_sent(text: object) -> bool:
    return isinstance(text, str) and bool(text) and text.isascii() and text.isprintable() and " " not in text
