"""Signatures. Source: Binance's "General Info", SIGNED endpoint security."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from urllib.parse import urlencode


def encode(parameters: Iterable[tuple[str, str | int]]) -> str:
    """Percent-encode parameters as UTF-8, in the order given: the exact text that is signed and sent."""
    return urlencode(list(parameters))


def append_hmac(payload: str, secret: str) -> str:
    """``payload&signature=<hex>``: HMAC-SHA256 of the payload's bytes as they go over the wire."""
    digest = hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
    return f"{payload}&signature={digest}"
