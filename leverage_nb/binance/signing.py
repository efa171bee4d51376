"""HMAC, RSA and Ed25519 signatures.

Source: https://developers.binance.com/docs/derivatives/usds-margined-futures/general-info ("SIGNED Endpoint Security").
The page documents HMAC and RSA. Ed25519 is not documented for futures; Binance's own SDK uses it on these endpoints.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

Signer = Callable[[str], str]

_LARGEST_FILE = 65536  # characters; a private key has a few thousand


def encode(parameters: Iterable[tuple[str, str | int]]) -> str:
    """Percent-encode parameters as UTF-8, in the given order. The result is signed and sent as it is."""
    return urlencode(list(parameters))


def append_hmac(payload: str, secret: str) -> str:
    """Return ``payload&signature=<hex>``, with the HMAC-SHA256 of the payload's bytes as they are sent."""
    digest = hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
    return f"{payload}&signature={digest}"


def load_signer(pem: str, password: str | None = None) -> Signer | str:
    """Return a function that signs with a private key, RSA (PKCS #1 v1.5, SHA-256) or Ed25519.

    The signature is appended in base64, percent-encoded.

    Args:
        pem: The key in PEM, or the path of a file that holds it.
        password: The password of an encrypted key.

    Returns:
        The function, or the problem as text: an exception raised here would carry the key in its frames.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        return "The private key cannot be used: the package cryptography is not installed."
    problem = "it is neither RSA nor Ed25519"
    try:
        text = pem if "-----BEGIN" in pem else _read(Path(os.path.expanduser(pem.strip())))
        key: Any = load_pem_private_key(text.encode(), password.encode() if password else None)
        if isinstance(key, rsa.RSAPrivateKey):
            return _signer_of(_rsa(key))
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return _signer_of(key.sign)
    except OSError as exc:
        problem = f"the file cannot be read ({type(exc).__name__})"
    except TypeError:
        problem = "it has no password" if password else "its password is missing"
    except Exception:  # noqa: BLE001 - the frames of any exception hold the key
        problem = "it is not a private key in PEM, or the password is wrong"
    return f"The private key cannot be used: {problem}."


def _read(path: Path) -> str:
    with path.open(encoding="ascii") as file:
        return file.read(_LARGEST_FILE)


def _rsa(key: Any) -> Callable[[bytes], bytes]:
    from cryptography.hazmat.primitives.asymmetric import padding
    from cryptography.hazmat.primitives.hashes import SHA256

    return lambda payload: bytes(key.sign(payload, padding.PKCS1v15(), SHA256()))


def _signer_of(sign: Callable[[bytes], bytes]) -> Signer:
    def append(payload: str) -> str:
        # Base64 contains + / and =, which have another meaning in a query or form.
        return f"{payload}&signature={quote(base64.b64encode(sign(payload.encode())), safe='')}"

    return append
