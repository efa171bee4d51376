"""Secrets are removed from answers and log records."""

from __future__ import annotations

import html
import json
import logging
import re
from collections.abc import Callable
from urllib.parse import quote, unquote

import pytest

from leverage_nb.binance.http import Outgoing, Transport
from leverage_nb.binance.scrub import QueryFilter, Scrubber
from tests.binance.sending import deliver, plain_get
from tests.binance.wire import response, serving

KEY, SIGNATURE = "kA9" * 21 + "x", "Ab/cd+ef/gh+ij/kl+mn/op+qr/st+uv/wx+yz/AB+CD/EF=="

SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it was sent": lambda secret: secret,
    "in capitals": str.upper,
    "in small letters": str.lower,
    "as JSON with escaped slashes": lambda secret: json.dumps(secret).replace("/", "\\/"),
    "as JSON with escaped characters": lambda secret: "".join(f"\\u{ord(letter):04x}" for letter in secret),
    "in a URL": lambda secret: quote(secret, safe=""),
    "in a URL with small letters": lambda secret: re.sub("%..", lambda found: found[0].lower(), quote(secret, safe="")),
    "twice in a URL": lambda secret: quote(quote(secret, safe=""), safe=""),
    "as HTML entities": lambda secret: "".join(f"&#{ord(letter)};" for letter in secret),
    "as HTML entities in hex": lambda secret: secret.replace("/", "&#x2F;").replace("+", "&#x2b;"),
    "cut short": lambda secret: secret[:16],
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("secret", [KEY, SIGNATURE], ids=["key", "signature"])
@pytest.mark.parametrize("later", [False, True], ids=["in its own answer", "in a later answer"])
def test_answers_repeat_no_secret(spelling: str, secret: str, later: bool) -> None:
    """A key or signature that an answer repeats is removed in every spelling; the code remains."""
    spelt = SPELLINGS[spelling](secret)
    body = f'{{"code": -1000, "msg": "You sent {spelt}"}}'.encode()
    form = f"symbol=BTCUSDT&signature={quote(SIGNATURE, safe='')}"
    with serving(response(body, "500 Internal Server Error")) as wire:
        transport = Transport(wire.url, "The exchange", 5)
        answer = transport.deliver(Outgoing("POST", "/x", f"{wire.url}/x", form, {"X-MBX-APIKEY": KEY}))
        if later:
            answer = transport.deliver(plain_get(wire.url))
        transport.close()
    text = answer.body.decode()
    for _ in range(3):
        text = unquote(html.unescape(re.sub(r"\\u(....)", lambda found: chr(int(found[1], 16)), text)))
        text = text.replace("\\/", "/")
    assert secret[:12].lower() not in text.lower()
    assert '"code": -1000' in text
    assert answer.status == 500


def test_an_answer_without_secrets_is_unchanged() -> None:
    """An answer without secrets is returned byte for byte."""
    body = json.dumps({"code": -4161, "msg": "你好 \u2014 \\/ &amp; %2F ***"}).encode()
    with serving(response(body, "400 Bad Request")) as wire:
        assert deliver(wire.url).body == body


def test_a_large_answer_loses_the_secrets_of_its_request() -> None:
    """In an answer that is too large to be shown, the secrets of its own request are removed as they were sent."""
    scrubber = Scrubber()
    scrubber.remember([KEY])
    large = b" " * 300_000
    assert scrubber.scrub(large + KEY.encode(), [KEY]) == large + b"***"


def test_log_records_hold_no_query() -> None:
    """The query of every address in a log record is cut out, and an exception with its frames is dropped."""
    record = logging.LogRecord("x", logging.WARNING, "x", 1, "GET %s failed", ("/a?timestamp=1&signature=ab",), None)
    assert QueryFilter().filter(record)
    assert record.getMessage() == "GET /a?... failed"
    assert record.exc_info is None


def test_a_large_error_keeps_only_its_code() -> None:
    """An error answer that is too large to be searched for a secret in another spelling keeps its code alone."""
    scrubber = Scrubber()
    scrubber.remember(["AbCdEfGhIjKlMnOpQrStUvWx"])
    spelled = "".join(f"\\u{ord(letter):04x}" for letter in "AbCdEfGhIjKlMnOpQrStUvWx")
    body = f'{{"x": "{"y" * 300_000}", "code": -1102, "msg": "{spelled}"}}'.encode()
    cleaned = scrubber.scrub(body, [])
    assert json.loads(cleaned)["code"] == -1102
    assert spelled.encode() not in cleaned
