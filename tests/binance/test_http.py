"""Bytes out, bytes back, over real sockets: the time budget, and whether anything had left."""

from __future__ import annotations

import gzip
import html
import http.client
import json
import os
import re
import socket
import threading
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

import leverage_nb
from leverage_nb.binance.http import MAX_ANSWER, Answer, Outgoing, SentTooLate, Transport
from leverage_nb.errors import NoAnswer, NotConnected, UnexpectedAnswer
from leverage_nb.interrupts import Cancellation
from tests.binance.wire import response, serving
from tests.interrupting import interrupt, interruptible

OURS = Path(leverage_nb.__file__).parent
SIGNED = "symbol=BTCUSDT&leverage=5&signature=5ec2e7"


def deliver(url: str, timeout: float = 0.5) -> Answer:
    """Send a signed POST."""
    transport = Transport(url, "The exchange", timeout)
    headers = {"X-MBX-APIKEY": "PLANTEDKEY"}
    try:
        return transport.deliver(Outgoing("POST", "/fapi/v1/leverage", f"{url}/fapi/v1/leverage", SIGNED, headers))
    finally:
        transport.close()


def unused_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_an_answer_comes_back_whole() -> None:
    """Status, body and Retry-After are handed back; the parameters travelled in the body."""
    with serving(response(b'{"a":1}', "429 Too Many Requests", "Retry-After: 7")) as wire:
        answer = deliver(wire.url)
    assert (answer.status, answer.body, answer.retry_after) == (429, b'{"a":1}', 7.0)
    head, body = wire.received[0].split(b"\r\n\r\n")
    assert body == SIGNED.encode()
    assert b"signature" not in head


def test_a_refused_connection_is_certainly_not_sent() -> None:
    """When nobody listens, nothing left, and the error says so."""
    with pytest.raises(NotConnected, match="refused"):
        deliver(f"http://127.0.0.1:{unused_port()}")


def test_a_name_that_does_not_resolve_is_certainly_not_sent() -> None:
    """When the name does not resolve, nothing left."""
    with pytest.raises(NotConnected, match="could not be reached"):
        deliver("https://exchange.invalid", timeout=5)


def test_a_certificate_that_is_not_trusted_is_certainly_not_sent() -> None:
    """When TLS fails before the request, nothing of it left."""
    with serving(b"this is not TLS") as wire, pytest.raises(NotConnected, match="could not be reached"):
        deliver(wire.url.replace("http://", "https://"))
    assert SIGNED.encode() not in b"".join(wire.received)


@pytest.mark.parametrize(
    "script",
    [(), (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{",), (b"HTTP/1.1 2",), (b"\x00\x01 nonsense\r\n\r\n",)],
    ids=["closed at once", "body cut short", "status line cut short", "not HTTP"],
)
def test_a_broken_answer_is_no_answer(script: tuple[bytes, ...]) -> None:
    """Once a byte had left, a connection that breaks leaves the outcome open."""
    with serving(*script) as wire, pytest.raises(NoAnswer, match="broke before an answer had come"):
        deliver(wire.url)
    assert wire.received


def test_silence_ends_with_the_budget() -> None:
    """A server that never answers costs the time budget, not more."""
    with serving(close=False) as wire:
        start = time.monotonic()
        with pytest.raises(NoAnswer, match=r"within 0\.5 s"):
            deliver(wire.url)
        assert 0.4 < time.monotonic() - start < 3


@pytest.mark.parametrize("part", ["headers", "body", "chunks"])
def test_a_dripped_answer_ends_with_the_budget(part: str) -> None:
    """Bytes that keep trickling in do not stretch the budget: it is of the whole answer."""
    whole = response(b"x" * 400)
    head = whole[: whole.index(b"\r\n\r\n") + 4]
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    start_with, drip = {
        "headers": (b"", head),
        "body": (head, b"x" * 400),
        "chunks": (chunked, b"1\r\nx\r\n" * 60),
    }[part]
    pieces = [start_with] if start_with else []
    with serving(*pieces, *(drip[i : i + 1] for i in range(len(drip))), pause=0.05) as wire:
        start = time.monotonic()
        with pytest.raises(NoAnswer, match=r"within 0\.5 s"):
            deliver(wire.url)
        assert time.monotonic() - start < 3


def test_redirects_are_not_followed() -> None:
    """A redirect is handed back as it is: following it would carry key and signature elsewhere."""
    with serving(response(b"stolen")) as elsewhere:
        redirect = response(b"", "307 Temporary Redirect", f"Location: {elsewhere.url}/")
        with serving(redirect) as wire:
            assert deliver(wire.url).status == 307
        assert elsewhere.received == []


def test_proxies_netrc_and_cookies_stay_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """On loopback no environment proxy is used; no .netrc is read anywhere, and no cookie is kept."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with serving(response(b"{}", "200 OK", "Set-Cookie: a=b")) as wire:
        transport = Transport(wire.url, "The exchange", 2)
        for _ in range(2):
            transport.deliver(Outgoing("GET", "/", wire.url + "/", None, {}))
        transport.close()
    assert len(wire.received) == 2
    for request in wire.received:
        assert b"Authorization" not in request
        assert b"Cookie" not in request


def test_a_proxy_that_is_not_there_is_certainly_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond loopback the environment's proxy is used; when it cannot be reached, nothing left."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{unused_port()}")
    with pytest.raises(NotConnected, match="proxy"):
        deliver("https://gateway.example")


def test_a_proxy_that_breaks_the_tunnel_saw_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CONNECT to a proxy is not the request: a tunnel that fails means nothing was sent."""
    with serving(response(b"no", "502 Bad Gateway")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(NotConnected, match="proxy"):
            deliver("https://gateway.example")
    assert proxy.received[0].startswith(b"CONNECT")
    assert SIGNED.encode() not in b"".join(proxy.received)


def test_no_chain_leads_to_the_signed_request() -> None:
    """Neither cause nor context nor frames of ours hold the signature or the key."""
    for url in (f"http://127.0.0.1:{unused_port()}", "https://exchange.invalid"):
        with pytest.raises(NotConnected) as caught:
            deliver(url)
        assert caught.value.__cause__ is None
        assert caught.value.__context__ is None
        summary = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
        shown = [str(frame.locals) for frame in summary.stack if OURS in Path(frame.filename).parents]
        assert shown
        assert "5ec2e7" not in str(shown)
        assert "PLANTEDKEY" not in str(shown)


def test_ctrl_c_leaves_no_trace_of_the_request_and_a_usable_transport() -> None:
    """An interrupt while waiting is raised anew, without the frames that hold the request."""
    with interruptible(), serving(close=False) as wire:
        threading.Timer(0.2, interrupt).start()
        with pytest.raises(KeyboardInterrupt) as caught:
            deliver(wire.url, timeout=5)
    assert caught.value.__context__ is None
    with serving(response(b"{}")) as wire:
        assert deliver(wire.url).status == 200


def test_connections_are_kept_alive() -> None:
    """Several requests to the same place share one connection."""
    body = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    listener = socket.create_server(("127.0.0.1", 0))
    accepted = []

    def serve() -> None:
        connection, _ = listener.accept()
        accepted.append(connection)
        for _ in range(3):
            connection.recv(65536)
            connection.sendall(body)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    transport = Transport(url, "The exchange", 2)
    for _ in range(3):
        assert transport.deliver(Outgoing("GET", "/", url + "/", None, {})).status == 200
    thread.join(2)
    assert len(accepted) == 1
    transport.close()
    accepted[0].close()
    listener.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        (["Location: http://["], "302 Found"), (["Location: http://x/\xff\xfe"], "302 Found"),
        (["Retry-After: \xb2"], "429 Too Many Requests"), (["Retry-After: 9999999999999"], "429 X"),
        (["Retry-After: -5"], "429 X"), (["Retry-After: Wed, 99 Oct 2026 07:28:00 GMT"], "429 X"),
        (["Retry-After: " + "x" * 5000], "429 X"),
    ],
)  # fmt: skip
def test_broken_headers_do_not_hide_the_answer(headers: list[str], status: str) -> None:
    """A Location or Retry-After that makes no sense is left alone: the answer is what its status says."""
    raw = response(b"", status, *headers).decode().encode("latin-1")
    with serving(raw) as wire:
        answer = deliver(wire.url)
    assert str(answer.status) == status[:3]
    assert answer.retry_after is None


@pytest.mark.parametrize(("ahead", "least", "most"), [(600, 590, 600), (-600, 0, 0)])
def test_a_date_to_wait_for_is_read(ahead: int, least: float, most: float) -> None:
    """Retry-After may name a date: it is given as the seconds until then, never less than none."""
    date = format_datetime(datetime.now(tz=UTC) + timedelta(seconds=ahead), usegmt=True)
    with serving(response(b"", "429 Too Many Requests", f"Retry-After: {date}")) as wire:
        answer = deliver(wire.url)
    assert answer.retry_after is not None
    assert least <= answer.retry_after <= most


def test_busy_connections_are_waited_for_no_longer_than_the_budget() -> None:
    """When every connection stays busy, a request is given up within the budget, and nothing of it left."""
    with serving(close=False) as wire:
        transport = Transport(wire.url, "The exchange", 0.5, connections=1)
        with transport.slot(), pytest.raises(NotConnected, match="stayed busy"), transport.slot():
            pass
        transport.close()


def test_all_addresses_of_a_name_share_the_connect_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with many addresses that do not answer costs the time budget once, not once an address."""
    unanswered = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"10.255.255.{n}", 9)) for n in range(1, 6)]
    real = socket.getaddrinfo

    def resolve(host: str, *rest: Any, **more: Any) -> Any:
        return unanswered if host == "exchange.example" else real(host, *rest, **more)

    def never(address: Any, timeout: float, *rest: Any, **more: Any) -> Any:
        time.sleep(timeout)
        raise TimeoutError

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setattr("urllib3.util.connection.create_connection", never)
    start = time.monotonic()
    with pytest.raises(NotConnected, match="no connection within"):
        deliver("https://exchange.example", timeout=0.5)
    assert time.monotonic() - start < 1.5


def test_an_answer_that_cannot_be_unpacked_costs_no_connection() -> None:
    """Answers that are dropped half-read, by a gateway's slip, never use up the connections of later requests."""
    packed = b"x" * 60_000
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n".encode()
    with serving(head + packed) as wire:
        transport = Transport(wire.url, "The exchange", 1.0)
        for _ in range(6):
            with pytest.raises(NoAnswer), transport.slot():
                transport.deliver(Outgoing("GET", "/x", wire.url, None, {}))
        transport.close()


# -- when it must not leave any more -------------------------------------------------------------------------------


def outgoing(url: str) -> Outgoing:
    """A signed POST."""
    return Outgoing("POST", "/fapi/v1/leverage", f"{url}/fapi/v1/leverage", SIGNED, {})


def test_what_has_expired_does_not_leave() -> None:
    """A request whose time is over before its first byte leaves is not sent, and the error says which it was."""
    with serving(response(b"{}")) as wire:
        transport = Transport(wire.url, "The exchange", 2)
        with pytest.raises(SentTooLate, match="could not leave in time"):
            transport.deliver(outgoing(wire.url), expires=time.monotonic() - 0.001)
        assert transport.deliver(outgoing(wire.url), expires=time.monotonic() + 60).status == 200
        transport.close()
    assert [request for request in wire.received if request] == wire.received[-1:]


def test_a_connection_that_is_slow_to_open_lets_nothing_expired_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """What counts is the moment at which the first byte leaves, not the one at which connecting began."""
    real = socket.getaddrinfo

    def slow(*arguments: Any, **more: Any) -> Any:
        time.sleep(0.3)
        return real(*arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with serving(response(b"{}")) as wire:
        transport = Transport(wire.url, "The exchange", 2)
        with pytest.raises(SentTooLate):
            transport.deliver(outgoing(wire.url), expires=time.monotonic() + 0.1)
        transport.close()
    assert SIGNED.encode() not in b"".join(wire.received)


def test_nothing_leaves_after_work_was_cancelled() -> None:
    """A request of cancelled work is not sent, and a later one is."""
    cancellation = Cancellation()
    cancellation.cancel()
    with serving(response(b"{}")) as wire:
        transport = Transport(wire.url, "The exchange", 2)
        with cancellation.adopted(), pytest.raises(NotConnected, match="Interrupted before the request left"):
            transport.deliver(outgoing(wire.url))
        assert transport.deliver(outgoing(wire.url)).status == 200
        transport.close()
    assert b"".join(wire.received).count(SIGNED.encode()) == 1


# -- what comes back -----------------------------------------------------------------------------------------------

GZIP = "Content-Encoding: gzip"
LARGE = b" " * (MAX_ANSWER + 1)


def test_one_layer_of_gzip_is_decompressed() -> None:
    """A compressed answer comes back as it was meant; a second layer is left as it is."""
    with serving(response(gzip.compress(b'{"a":1}'), "200 OK", GZIP)) as wire:
        assert deliver(wire.url).body == b'{"a":1}'
    inner = gzip.compress(LARGE)
    with serving(response(gzip.compress(inner), "200 OK", GZIP)) as wire:
        assert deliver(wire.url).body == inner


@pytest.mark.parametrize("encoding", ["gzip, gzip", "deflate", "br", "zstd", "x-unknown"])
def test_other_encodings_are_refused(encoding: str) -> None:
    """An encoding that was not requested is not decompressed: the request has left, and its answer is unusable."""
    body = gzip.compress(gzip.compress(LARGE))
    with (
        serving(response(body, "200 OK", f"Content-Encoding: {encoding}")) as wire,
        pytest.raises(UnexpectedAnswer, match="encoding that was not asked for") as caught,
    ):
        deliver(wire.url)
    assert caught.value.http_status == 200


@pytest.mark.parametrize("kind", ["plain", "without length", "gzip"])
def test_answers_have_a_largest_size(kind: str) -> None:
    """Whatever its length claims to be, no answer is read, or decompressed, beyond the limit."""
    script = {
        "plain": (response(LARGE),),
        "without length": (b"HTTP/1.1 200 OK\r\n\r\n", LARGE),
        "gzip": (response(gzip.compress(LARGE * 20), "200 OK", GZIP),),
    }[kind]
    with serving(*script) as wire, pytest.raises(UnexpectedAnswer, match="more than 16 MB"):
        deliver(wire.url, timeout=20)


def test_a_compressed_answer_that_ends_early_is_no_answer() -> None:
    """Half of a compressed answer is no answer, though its length was kept."""
    half = gzip.compress(os.urandom(1000))[:-20]
    with serving(response(half, "200 OK", GZIP)) as wire, pytest.raises(NoAnswer, match="ended early"):
        deliver(wire.url)


def test_debugging_of_http_prints_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where a user has switched http.client's debugging on, requests are not printed."""
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    with serving(response(b"{}")) as wire:
        deliver(wire.url)
    assert capsys.readouterr().out == ""


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
@pytest.mark.parametrize("later", [False, True], ids=["at once", "in a later answer"])
def test_answers_repeat_no_secret(spelling: str, secret: str, later: bool) -> None:
    """A page that repeats the key or a signature loses it, however it is spelled, and keeps its code."""
    said = SPELLINGS[spelling](secret)
    body = f'{{"code": -1000, "msg": "You sent {said}"}}'.encode()
    form = f"symbol=BTCUSDT&signature={quote(SIGNATURE, safe='')}"
    with serving(response(body, "500 Internal Server Error")) as wire:
        transport = Transport(wire.url, "The exchange", 5)
        answer = transport.deliver(Outgoing("POST", "/x", f"{wire.url}/x", form, {"X-MBX-APIKEY": KEY}))
        if later:
            answer = transport.deliver(Outgoing("GET", "/y", f"{wire.url}/y", None, {}))
        transport.close()
    text = answer.body.decode()
    for _ in range(3):
        text = unquote(html.unescape(re.sub(r"\\u(....)", lambda found: chr(int(found[1], 16)), text)))
        text = text.replace("\\/", "/")
    assert secret[:12].lower() not in text.lower()
    assert '"code": -1000' in text
    assert answer.status == 500


def test_what_repeats_no_secret_is_left_as_it_is() -> None:
    """An answer without secrets comes back byte for byte."""
    body = json.dumps({"code": -4161, "msg": "你好 \u2014 \\/ &amp; %2F ***"}).encode()
    with serving(response(body, "400 Bad Request")) as wire:
        assert deliver(wire.url).body == body
