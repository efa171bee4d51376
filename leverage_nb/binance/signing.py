"""Signatures. Source: Binance's "General Info", SIGNED endpoint security.

HMAC and RSA are documented for futures; Ed25519 is signed by Binance's own SDK on these endpoints, and not documented.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

Signer = Callable[[str], str]


def encode(parameters: Iterable[tuple[str, str | int]]) -> str:
    """Percent-encode parameters as UTF-8, in the order given: the exact text that is signed and sent."""
    return urlencode(list(parameters))


def append_hmac(payload: str, secret: str) -> str:
    """``payload&signature=<hex>``: HMAC-SHA256 of the payload's bytes as they go over the wire."""
    digest = hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
    return f"{payload}&signature={digest}"


def load_signer(pem: str, password: str | None = None) -> Signer | str:
    """What signs with a private key: RSA (PKCS #1 v1.5, SHA-256) or Ed25519, in base64, percent-encoded.

    Args:
        pem: The key in PEM, or the path of a file that holds it.
        password: Of an encrypted key.

    Returns:
        It; or what is wrong, in words: an error raised from here would carry the key in its frames.
    """
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        return "The private key cannot be used: the package cryptography is not installed."
    problem = "it is neither RSA nor Ed25519"
    try:
        text = pem if "-----BEGIN" in pem else Path(pem.strip()).expanduser().read_text(encoding="ascii")
        key: Any = load_pem_private_key(text.encode(), password.encode() if password else None)
        if isinstance(key, rsa.RSAPrivateKey):
            return _signer_of(_rsa(key))
        if isinstance(key, ed25519.Ed25519PrivateKey):
            return _signer_of(key.sign)
    except TypeError:
        problem = "its password is missing" if password is None else "it has no password"
    except Exception:  # noqa: BLE001 - whatever it was, its frames hold the key
        problem = "it is no private key in PEM, or the password is wrong"
    return f"The private key cannot be used: {problem}."


def _rsa(key: Any) -> Callable[[bytes], bytes]:
    from cryptography.hazmat.primitives.asymmetric import padding
    from cryptography.hazmat.primitives.hashes import SHA256

    return lambda payload: bytes(key.sign(payload, padding.PKCS1v15(), SHA256()))


def _signer_of(sign: Callable[[bytes], bytes]) -> Signer:
    def append(payload: str) -> str:
        # Base64 holds + / and =, which mean something else in a query or a form.
        return f"{payload}&signature={quote(base64.b64encode(sign(payload.encode())), safe='')}"

    return append
