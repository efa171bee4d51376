"""Admission of requests to the simulated exchange: API key, signature, timestamp and request weight.

Source: https://developers.binance.com/docs/derivatives/usds-margined-futures/general-info (security types, SIGNED
endpoints, limits).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qsl

from leverage_nb.simulator.account import Refused

Verifier = Callable[[bytes, str], bool]

MOST_PARAMETERS = 64  # in the query, and in the body
LONGEST_TEXT = 2048  # characters of a name or a value; the longest known, an RSA signature of 8192 bits, has 1,368

_SIGNATURE = re.compile(r"(^|&)signature=[^&]*")


@dataclass(frozen=True)
class Request:
    """One HTTP request as it arrived: not decoded, not reordered."""

    method: str
    path: str
    query: str
    body: str
    api_key: str | None
    address: str

    def __repr__(self) -> str:
        return f"Request({self.method} {self.path})"  # query, body and key must not appear in logs


def read_parameters(request: Request) -> dict[str, str]:
    """Decode query and form body; the query takes precedence where both name a parameter.

    Raises:
        Refused: -1101 for a parameter that occurs twice in one of them, -1104 for too many parameters, -1130 for one
            that is too long. The limits are the simulator's own: Binance documents the codes, but no limits.
    """
    parameters: dict[str, str] = {}
    for part in (request.body, request.query):
        try:
            pairs = parse_qsl(part, keep_blank_values=True, max_num_fields=MOST_PARAMETERS)
        except ValueError:
            raise Refused(400, -1104, "Too many parameters sent for this endpoint.") from None
        for name, value in pairs:
            if max(len(name), len(value)) > LONGEST_TEXT:
                raise invalid(name[:LONGEST_TEXT])
        if len({name for name, _ in pairs}) < len(pairs):
            raise Refused(400, -1101, "Duplicate values for a parameter detected.")
        parameters.update(pairs)
    return parameters


def check_key(request: Request, api_key: str) -> None:
    """Refuse a missing or malformed key with -2014 and an unknown one with -2015; both are HTTP 401."""
    if request.api_key is None or not re.fullmatch("[A-Za-z0-9]{64}", request.api_key):
        raise Refused(401, -2014, "API-key format invalid.")
    if not hmac.compare_digest(request.api_key, api_key):
        raise invalid_key(request)


def invalid_key(request: Request) -> Refused:
    """Return the refusal of a key that is unknown or does not serve the requested endpoint."""
    msg = f"Invalid API-key, IP, or permissions for action, request ip: {request.address}"
    return Refused(401, -2015, msg)


def check_signature(request: Request, parameters: dict[str, str], verify: Verifier) -> None:
    """Check the signature of the bytes as sent: the query string, then the body, without ``signature``."""
    if not parameters.get("signature"):
        raise missing("signature")
    signed = _SIGNATURE.sub("", request.query) + _SIGNATURE.sub("", request.body)
    if not verify(signed.encode(), parameters["signature"]):
        raise Refused(400, -1022, "Signature for this request is not valid.")


def hmac_verifier(api_secret: str) -> Verifier:
    """Return a function that checks HMAC-SHA256 signatures in hex digits of either case."""

    def verify(payload: bytes, signature: str) -> bool:
        expected = hmac.new(api_secret.encode(), payload, hashlib.sha256).hexdigest()
        return hmac.compare_digest(signature.lower().encode(), expected.encode())

    return verify


def public_key_verifier(public_key: str) -> Verifier:
    """Return a function that checks base64 signatures of an RSA or Ed25519 key, given its public key in PEM."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric import padding
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key: Any = load_pem_public_key(public_key.encode())
    scheme = (padding.PKCS1v15(), SHA256()) if isinstance(key, RSAPublicKey) else ()

    def verify(payload: bytes, signature: str) -> bool:
        try:
            key.verify(base64.b64decode(signature, validate=True), payload, *scheme)
        except (InvalidSignature, ValueError):
            return False
        return True

    return verify


def check_timestamp(parameters: dict[str, str], now_ms: int) -> None:
    """Apply Binance's rule: ``timestamp < now + 1000`` and ``now - timestamp <= recvWindow`` (default 5000)."""
    timestamp = integer(parameters, "timestamp")
    window = integer(parameters, "recvWindow") if "recvWindow" in parameters else 5000
    if timestamp >= now_ms + 1000:
        raise Refused(400, -1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now_ms - timestamp > window:
        raise Refused(400, -1021, "Timestamp for this request is outside of the recvWindow.")


def missing(name: str) -> Refused:
    """Return the refusal of a parameter that is absent, empty or malformed."""
    return Refused(400, -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")


def invalid(name: str) -> Refused:
    """Return the refusal of a value that a parameter does not have."""
    return Refused(400, -1130, f"Data sent for parameter '{name}' is not valid.")


def decimal(parameters: dict[str, str], name: str) -> Decimal:
    """Return a parameter that is a number in digits; refuse any other text with -1102, as reported for orders."""
    text = parameters.get(name, "")
    if not re.fullmatch(r"-?[0-9]{1,20}(\.[0-9]{1,20})?", text):
        raise missing(name)
    return Decimal(text)


def integer(parameters: dict[str, str], name: str) -> int:
    """Return a parameter that is a whole number; refuse an absent or empty one with -1102, any other with -1100."""
    text = parameters.get(name, "")
    if not text:
        raise missing(name)
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise Refused(400, -1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'.")
    return int(text)


class WeightMeter:
    """Request weight used in the current minute, as ``X-MBX-USED-WEIGHT-1M`` reports it."""

    def __init__(self, limit: int, clock: Callable[[], float]) -> None:
        self.limit, self.used = limit, 0
        self._clock, self._minute = clock, 0

    def charge(self, weight: int) -> None:
        """Add a weight; above the limit, refuse with HTTP 429 and -1003."""
        minute = int(self._clock() // 60)
        if minute != self._minute:
            self._minute, self.used = minute, 0
        self.used += weight
        if self.used > self.limit:
            msg = f"Too many requests; current limit is {self.limit} requests per minute. "
            raise Refused(429, -1003, msg + "Please use the websocket for live updates to avoid polling the API.")
