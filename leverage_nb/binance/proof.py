"""Let a loopback address prove that it is a simulator of this package.

A port of this machine may be a tunnel to Binance, so the address alone proves nothing. The simulator answers
``GET /leverage_nb/simulator?nonce=...`` with an HMAC of the nonce, keyed with its API key. Binance has no such
endpoint.
"""

from __future__ import annotations

import re
import secrets
import socket
import time
from contextlib import suppress
from urllib.parse import urlsplit

import msgspec

from leverage_nb.binance.credentials import Credentials
from leverage_nb.binance.venues import is_loopback

_LARGEST = 4096


class _Proof(msgspec.Struct):
    simulator: str
    proof: str


def is_our_simulator(rest_url: str, credentials: Credentials, patience: float = 1.0) -> bool:
    """Request the proof from a loopback address. No proxy is used, no redirect is followed, and no key is sent.

    Args:
        rest_url: The address; only plain http on loopback can prove anything.
        credentials: The key that the simulator must know.
        patience: Seconds for the whole answer.

    Returns:
        Whether the proof came in time.
    """
    parts = urlsplit(rest_url)
    if parts.scheme != "http" or not is_loopback(rest_url):
        return False
    nonce = secrets.token_hex(16)
    with suppress(OSError, msgspec.DecodeError, ValueError, RecursionError):
        answer = _fetch(
            parts.hostname or "", parts.port or 80, f"{parts.path}/leverage_nb/simulator?nonce={nonce}", patience
        )
        given = msgspec.json.decode(answer, type=_Proof)
        return given.simulator == "leverage_nb" and credentials.confirm(nonce, given.proof)
    return False


def _fetch(host: str, port: int, target: str, patience: float) -> bytes:
    """Return the body of an HTTP 200 answer; b"" if the answer is another one, too long or too slow."""
    deadline = time.monotonic() + patience
    whole = b""
    with socket.create_connection((host, port), timeout=patience) as connection:
        connection.sendall(f"GET {target} HTTP/1.0\r\nHost: {host}:{port}\r\nAccept: application/json\r\n\r\n".encode())
        while len(whole) <= _LARGEST and (left := deadline - time.monotonic()) > 0:
            connection.settimeout(left)
            piece = connection.recv(_LARGEST)
            whole += piece
            head, blank, body = whole.partition(b"\r\n\r\n")
            if blank and not head.startswith((b"HTTP/1.0 200 ", b"HTTP/1.1 200 ")):
                return b""
            # Not every server closes the connection after an answer.
            length = re.search(rb"(?i)\r\ncontent-length: *([0-9]{1,4})\r\n", head + b"\r\n")
            if not piece or (blank and length and len(body) >= int(length[1])):
                return body
    return b""
