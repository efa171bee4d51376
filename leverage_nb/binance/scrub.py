"""Remove secrets from answers and from log records before anything else sees them."""

from __future__ import annotations

import html
import logging
import re
import threading
from collections import OrderedDict
from urllib.parse import unquote

# The bytes of an answer in which other spellings of a secret are searched. Of a larger error only the code is kept.
_SEARCHED = 256 * 1024
_MOST_SECRETS = 1024
# A secret is recognised by its first characters.
_PREFIX = 10

# Keys and signatures consist of these characters, in lower case.
_RUN = re.compile(rf"[a-z0-9+/=_-]{{{_PREFIX},}}")
_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")
_CODE = re.compile(rb'"code"\s*:\s*(-?\d{1,6})\b')
_MESSAGE = re.compile(rb'"msg"\s*:')  # of an error; no large answer of the exchange has such a field
_QUERY = re.compile(r"\?[^\s\"')>]*")


class Scrubber:
    """Remove API keys and signatures from answers: a page in between may repeat a request in any spelling."""

    def __init__(self) -> None:
        self._secrets: OrderedDict[str, str] = OrderedDict()  # by prefix
        self._lock = threading.Lock()

    def remember(self, secrets: list[str]) -> None:
        """Recognise these secrets from now on, and the thousand before them."""
        with self._lock:
            for secret in secrets:
                prefix = secret[:_PREFIX].lower()
                self._secrets[prefix] = secret
                self._secrets.move_to_end(prefix)
            while len(self._secrets) > _MOST_SECRETS:
                self._secrets.popitem(last=False)

    def scrub(self, body: bytes, sent: list[str]) -> bytes:
        """Return an answer without secrets; only its code is kept if a secret has another spelling than in the request.

        Args:
            body: The answer.
            sent: The secrets of its request.
        """
        if len(body) > _SEARCHED:
            if _MESSAGE.search(body):
                return _code_only(body)
            body = _without(body, sent)
        found = self._find(body[:_SEARCHED])
        if not found:
            return body
        body = _without(body, found)
        if not self._find(body[:_SEARCHED]):
            return body
        return _code_only(body)

    def _find(self, body: bytes) -> list[str]:
        """Return the secrets whose beginning occurs in an answer, in any spelling."""
        found = []
        for run in _RUN.findall(_unescape(body.decode("utf-8", "replace"))):
            for place in range(len(run) - _PREFIX + 1):
                secret = self._secrets.get(run[place : place + _PREFIX])
                if secret is not None:
                    found.append(secret)
        return found

    def __repr__(self) -> str:
        return "<Scrubber>"


class QueryFilter(logging.Filter):
    """Cut query strings out of log records: the query of a signed read holds the signature."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the record, without queries and without the frames of an exception."""
        message = record.getMessage()
        if "?" in message:
            record.msg, record.args = _QUERY.sub("?...", message), None
        record.exc_info = record.exc_text = None
        return True


def _code_only(body: bytes) -> bytes:
    code = _CODE.search(body)
    removed = b'"msg": "(text removed: it may repeat an API key or a signature)"'
    return b'{"code": ' + (code[1] if code else b"0") + b", " + removed + b"}"


def _without(body: bytes, secrets: list[str]) -> bytes:
    for secret in secrets:
        body = body.replace(secret.encode(), b"***")
    return body


def _unescape(text: str) -> str:
    """Return text in lower case, with the escapes of JSON, HTML and URLs resolved."""
    for _ in range(3):
        before = text
        text = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text.replace("\\/", "/"))
        text = unquote(html.unescape(text))
        if text == before:
            break
    return text.lower()
