"""Whether a loopback address is a simulator of ours: it proves that it knows the API key.

A port of this machine may be a tunnel to Binance, so an address alone shows nothing. The simulator answers
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

PATIENCE = 1.0
_LARGEST = 4096


class _Proof(msgspec.Struct):
    simulator: str
    proof: str


def is_our_simulator(rest_url: str, credentials: Credentials) -> bool:
    """Ask a loopback address for the proof. No proxy is used, no redirect is followed, and no key is sent.

    Args:
        rest_url: The address; any but a plain one on loopback proves nothing.
        credentials: The key that the simulator must know.

    Returns:
        Whether it gave the proof, within a second.
    """
    parts = urlsplit(rest_url)
    if parts.scheme != "http" or not is_loopback(rest_url):
        return False
    nonce = secrets.token_hex(16)
    with suppress(OSError, msgspec.DecodeError, ValueError, RecursionError):
        answer = _fetch(parts.hostname or "", parts.port or 80, f"{parts.path}/leverage_nb/simulator?nonce={nonce}")
        given = msgspec.json.decode(answer, type=_Proof)
        return given.simulator == "leverage_nb" and credentials.confirm(nonce, given.proof)
    return False


def _fetch(host: str, port: int, target: str) -> bytes:
    """The body of a 200; empty for any other answer, a long one and a slow one."""
    deadline = time.monotonic() + PATIENCE
    whole = b""
    with socket.create_connection((host, port), timeout=PATIENCE) as connection:
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
