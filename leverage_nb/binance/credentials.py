"""API keys from arguments, the environment or the keyring. They do not print, pickle or appear in ``vars()``."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import shlex
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from leverage_nb.binance import signing
from leverage_nb.binance.venues import Venue
from leverage_nb.errors import CredentialsMissing, InvalidInput, as_typed

# Not a valid name of a profile.
_NO_PROFILE = "(no profile)"

_PARTS = ("api_key", "api_secret", "private_key", "password")

_WITHOUT_KEYRING = "Install it with pip install keyring, or set the environment variables instead."
_UNLOCK = "Unlock the keyring, then try again."
_OTHER_KEYRING = "`keyring --list-backends` shows the others. Or set the environment variables instead."
# Back ends of the package keyring that store nothing; it takes them if the system has no other, or if told so.
_STORES_NOTHING = {"keyring.backends.null": "discards what it is given", "keyring.backends.fail": "can store nothing"}

# Shorter texts may be in a cell by chance.
_SHORTEST_SECRET = 8


class KeyWarning(UserWarning):
    """A key can be read by others, or may do more than this package needs. The text never contains the key."""


_warned: set[str] = set()  # in this process


def warn_once(text: str) -> None:
    """Issue a KeyWarning, once per text and process."""
    if text not in _warned:
        _warned.add(text)
        # Without the caller's line, which Python would print, and which may contain the key.
        warnings.warn_explicit(text, KeyWarning, "leverage_nb", 1)


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
        if risk := self._find_risk():
            warn_once(risk)
        return self

    def is_typed_in(self, cell: str) -> bool:
        """Return whether the source of a cell contains the key, the secret, the password or the private key itself."""
        interrupt: BaseException
        try:
            return any(secret in cell for secret in self._secrets())
        except BaseException as exc:  # noqa: BLE001 - raised below, without the frames that hold the key
            interrupt = exc.with_traceback(None)
        del cell
        raise interrupt

    def _secrets(self) -> list[str]:
        """Return what must not be shown. Of a private key: its lines, not the path of its file."""
        private = (self._private or "").splitlines() if _is_pem(self._private) else []
        parts = (self._key, self._secret, self._password, *(line for line in private if "-----" not in line))
        return [part for part in parts if isinstance(part, str) and len(part) >= _SHORTEST_SECRET]

    def _find_risk(self) -> str:
        """Return the warning about a private key's file that other users can read; "" without one."""
        if self._private is None or _is_pem(self._private) or os.name != "posix":
            return ""
        path = Path(os.path.expanduser(self._private.strip()))  # leaves ~ as it is if there is no home folder
        with suppress(OSError):
            mode = path.stat().st_mode & 0o777
            if mode & 0o077:
                return (
                    f"Other users of this machine may read the private key in {path} (mode {mode:o}). "
                    f"To keep it to yourself: chmod 600 {shlex.quote(str(path))}"
                )
        return ""

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
        """Store the credentials in the system's keyring, and read them back.

        Raises:
            InvalidInput: There is no keyring, it cannot be written, or it does not return what was stored.
        """
        problem = self._store(venue, profile)
        if problem:
            raise InvalidInput(f"The key could not be stored: {problem}.", hint=_WITHOUT_KEYRING)

    # As above, nothing is raised here, not even an interrupt at the keyring's own prompt.
    def _store(self, venue: Venue, profile: str | None) -> str:
        parts = zip(_PARTS, (self._key, self._secret, self._private, self._password), strict=True)
        text = json.dumps({name: part for name, part in parts if part is not None})
        where = _service(venue), profile or _NO_PROFILE
        is_written, problem = False, ""
        try:
            import keyring

            keyring.set_password(*where, text)
            is_written = True
            if keyring.get_password(*where) != text:
                problem = "the keyring does not return what was stored in it"
        except (Exception, KeyboardInterrupt) as exc:  # noqa: BLE001 - back ends raise any exception
            problem = f"no keyring can be {'read' if is_written else 'written'} ({type(exc).__name__})"
        if problem and is_written:
            with suppress(Exception, KeyboardInterrupt):  # nothing unusable stays in it, if it can be removed
                keyring.delete_password(*where)
        return problem

    def __repr__(self) -> str:
        return f"<Credentials {self.fingerprint}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("Credentials cannot be pickled.")


def variable(venue: Venue, part: str, profile: str | None = None) -> str:
    """Return the environment variable of a part, such as ``LEVERAGE_NB_MAINNET_SUB1_API_KEY``."""
    whose = f"_{profile.upper()}" if profile else ""
    return f"LEVERAGE_NB_{venue.name.upper()}{whose}_{part.upper()}"


def check_keyring() -> str:
    """Check that there is a keyring, before the user is asked for a key.

    Returns:
        A warning if it stores keys unencrypted; "" if it is not known to do so.

    Raises:
        InvalidInput: There is none, or it stores nothing.
    """
    try:
        import keyring

        ring: Any = keyring.get_keyring()
    except ImportError:
        ring = None
    if ring is None:
        raise InvalidInput(
            "There is no keyring that can store a key: the package keyring is not installed.", hint=_WITHOUT_KEYRING
        )
    if type(ring).__module__ == "keyring.backends.chainer":  # it stores in the first of its back ends
        ring = next(iter(ring.backends), ring)
    name = f"{type(ring).__module__}.{type(ring).__qualname__}"
    modules = [kind.__module__ for kind in type(ring).__mro__]
    why = next((reason for module, reason in _STORES_NOTHING.items() if module in modules), "")
    if modules[0] == "keyring.backends.chainer":
        why = "has no back end installed"
    if why:
        raise InvalidInput(
            f"There is no keyring that can store a key: the one in use, {name}, {why}.", hint=_OTHER_KEYRING
        )
    # keyrings.alt calls its unencrypted back ends PlaintextKeyring. Source: https://github.com/jaraco/keyrings.alt
    if any("plaintext" in kind.__name__.lower() for kind in type(ring).__mro__):
        where = f" in {path}" if (path := getattr(ring, "file_path", "")) else ""
        return f"The keyring in use, {name}, stores keys unencrypted{where}: whoever reads that can use them"
    return ""


def forget(venue: Venue, profile: str | None) -> str:
    """Remove the stored key of a venue and profile from the system's keyring.

    Returns:
        Its fingerprint.

    Raises:
        InvalidInput: No key is stored, or it could not be removed.
    """
    whose = f"the {venue.name}{f' and the profile {profile}' if profile else ''}"
    stored, problem = _read_keyring(venue, profile)
    if problem:
        raise InvalidInput(f"{problem} Nothing was removed.", hint=_UNLOCK)
    if stored is None:
        raise InvalidInput(
            f"The keyring has no key for {whose}. Nothing was removed.",
            hint=f"A key may still come from elsewhere: {variable(venue, 'api_key', profile)} in the environment.",
        )
    problem = _remove(venue, profile)
    if problem:
        raise InvalidInput(f"The key for {whose} could not be removed from the keyring ({problem}).")
    return stored.fingerprint


def _remove(venue: Venue, profile: str | None) -> str:
    """Remove an entry of the keyring; return the problem, or "". Back ends may hold the key in their frames."""
    try:
        import keyring

        keyring.delete_password(_service(venue), profile or _NO_PROFILE)
    except (Exception, KeyboardInterrupt) as exc:  # noqa: BLE001 - back ends raise any exception
        return type(exc).__name__
    return "it is still there" if _read_keyring(venue, profile)[0] is not None else ""


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
    stored, problem = _read_keyring(venue, profile)
    if stored is not None:
        return stored.checked()
    names = f"{variable(venue, 'api_key', profile)} and {variable(venue, 'api_secret', profile)}"
    whose = f" and the profile {profile}" if profile else ""
    raise CredentialsMissing(
        f"There is no API key for the {venue.name}{whose}. {problem}".strip(),
        hint=f"Set {names} before Jupyter starts, store it with %leverage --login {venue.name}, or connect once with "
        f"lev.connect({venue.name!r}, api_key=..., api_secret=...). {venue.where_keys_come_from}",
    )


def name_source(venue: Venue, profile: str | None = None) -> str:
    """Return the source of a venue's key as text; never the key."""
    if venue.name == "simulator":
        return "the simulator itself"
    if any(os.environ.get(variable(venue, part, profile)) for part in ("api_key", "api_secret", "private_key")):
        return f"the environment ({variable(venue, 'api_key', profile)})"
    stored, problem = _read_keyring(venue, profile)
    return "the keyring" if stored is not None else f"not found. {problem}".strip()


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


def _read_keyring(venue: Venue, profile: str | None) -> tuple[Credentials | None, str]:
    """Return the stored key, and why the keyring could not be read. Back ends may hold the key in their frames."""
    try:
        import keyring
        from keyring.errors import NoKeyringError
    except Exception:  # noqa: BLE001 - it is not installed, or it is broken
        return None, ""
    try:
        text = keyring.get_password(_service(venue), profile or _NO_PROFILE)
    except NoKeyringError:
        return None, ""
    except Exception as exc:  # noqa: BLE001 - back ends raise any exception
        return None, f"The keyring could not be read ({type(exc).__name__}): it may be locked."
    with suppress(Exception):  # an entry in another format
        return _unpacked(text), ""
    return None, ""


def _unpacked(text: str | None) -> Credentials | None:
    if text is None:
        return None
    parts: dict[str, Any] = json.loads(text)
    return Credentials(*(parts.get(name) for name in _PARTS))


def _service(venue: Venue) -> str:
    return f"leverage_nb {venue.name}"


def _is_pem(private_key: str | None) -> bool:
    return private_key is not None and "-----BEGIN" in private_key


def _stripped(text: Any) -> Any:
    return text.strip() if isinstance(text, str) else text


def _can_be_sent(text: object) -> bool:
    return isinstance(text, str) and bool(text) and text.isascii() and text.isprintable() and " " not in text
