"""One exchange of bytes over real sockets: its answer, its limits, and whether anything left."""

from __future__ import annotations

import errno
import gzip
import os
import socket
import threading
import traceback
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

import leverage_nb
from leverage_nb.binance.http import MAX_ANSWER, Transport
from leverage_nb.errors import NoAnswer, NotConnected, UnexpectedAnswer
from tests.binance.sending import SIGNED, deliver, plain_get, unused_port
from tests.binance.wire import response, serving
from tests.interrupting import interrupt, interruptible

OURS = Path(leverage_nb.__file__).parent


def test_an_answer_is_returned_whole() -> None:
    """Status, body and Retry-After are returned; the parameters of the request were in its body."""
    with serving(response(b'{"a":1}', "429 Too Many Requests", "Retry-After: 7")) as wire:
        answer = deliver(wire.url)
    assert (answer.status, answer.body, answer.retry_after) == (429, b'{"a":1}', 7.0)
    head, body = wire.received[0].split(b"\r\n\r\n")
    assert body == SIGNED.encode()
    assert b"signature" not in head


def test_over_a_refused_connection_nothing_is_sent() -> None:
    """If nothing listens at the address, nothing left, and the error says so."""
    with pytest.raises(NotConnected, match="refused"):
        deliver(f"http://127.0.0.1:{unused_port()}")


def test_to_a_name_that_does_not_resolve_nothing_is_sent() -> None:
    """If the name does not resolve, nothing left."""
    with pytest.raises(NotConnected, match="could not be reached"):
        deliver("https://exchange.invalid", timeout=5)


def test_without_a_trusted_certificate_nothing_is_sent() -> None:
    """If TLS fails, nothing of the request left."""
    with serving(b"this is not TLS") as wire, pytest.raises(NotConnected, match="could not be reached"):
        deliver(wire.url.replace("http://", "https://"))
    assert SIGNED.encode() not in b"".join(wire.received)


def test_a_tls_handshake_without_answer_ends_with_the_time_out() -> None:
    """A server that accepts connections and stays silent costs the time-out, and nothing is sent."""
    with serving(close=False) as wire, pytest.raises(NotConnected, match="no connection within the time-out"):
        deliver(wire.url.replace("http://", "https://"), timeout=0.3)


@pytest.mark.parametrize(
    "script",
    [(), (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{",), (b"HTTP/1.1 2",), (b"\x00\x01 nonsense\r\n\r\n",)],
    ids=["closed at once", "body cut short", "status line cut short", "not HTTP"],
)
def test_a_broken_answer_is_no_answer(script: tuple[bytes, ...]) -> None:
    """A connection that breaks after a byte has left gives no answer, and the outcome stays open."""
    with serving(*script) as wire, pytest.raises(NoAnswer, match="broke before the answer was complete"):
        deliver(wire.url)
    assert wire.received


def test_redirects_are_not_followed() -> None:
    """A redirect is returned: following it would send key and signature to another address."""
    with serving(response(b"stolen")) as elsewhere:
        redirect = response(b"", "307 Temporary Redirect", f"Location: {elsewhere.url}/")
        with serving(redirect) as wire:
            assert deliver(wire.url).status == 307
        assert elsewhere.received == []


def test_no_proxy_on_loopback_no_netrc_no_cookies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Loopback requests use no proxy of the environment; no .netrc is read, and no cookie is stored."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    with serving(response(b"{}", "200 OK", "Set-Cookie: a=b")) as wire:
        transport = Transport(wire.url, "The exchange", 2)
        for _ in range(2):
            transport.deliver(plain_get(wire.url))
        transport.close()
    assert len(wire.received) == 2
    for request in wire.received:
        assert b"Authorization" not in request
        assert b"Cookie" not in request


def test_over_a_missing_proxy_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other requests use the proxy of the environment; if it cannot be reached, nothing left."""
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{unused_port()}")
    with pytest.raises(NotConnected, match="proxy"):
        deliver("https://gateway.example")


def test_a_proxy_whose_name_does_not_resolve_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the proxy's name does not resolve, the proxy is named as the cause, not the exchange's name."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.invalid:8080")
    with pytest.raises(NotConnected, match="the proxy cannot be reached") as caught:
        deliver("https://gateway.example", timeout=5)
    assert "does not resolve" not in str(caught.value)


def test_an_unreachable_network_is_not_called_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a route to the host, the error does not claim that the host refused the connection."""

    def unreachable(*args: object, **kwargs: object) -> socket.socket:
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr("urllib3.util.connection.create_connection", unreachable)
    with pytest.raises(NotConnected, match="no connection could be opened") as caught:
        deliver(f"http://127.0.0.1:{unused_port()}")
    assert "refused" not in str(caught.value)


def test_no_error_leads_to_the_signed_request() -> None:
    """Neither cause nor context nor the package's frames hold the signature or the key."""
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
    """An interrupt is raised without the frames that hold the request, and the next request works."""
    with interruptible(), serving(close=False) as wire:
        threading.Timer(0.2, interrupt).start()
        with pytest.raises(KeyboardInterrupt) as caught:
            deliver(wire.url, timeout=5)
    assert caught.value.__context__ is None
    with serving(response(b"{}")) as wire:
        assert deliver(wire.url).status == 200


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
    """A malformed Location or Retry-After is ignored, and the answer is returned with its status."""
    raw = response(b"", status, *headers).decode().encode("latin-1")
    with serving(raw) as wire:
        answer = deliver(wire.url)
    assert str(answer.status) == status[:3]
    assert answer.retry_after is None


@pytest.mark.parametrize(("ahead", "least", "most"), [(600, 590, 600), (-600, 0, 0)])
def test_retry_after_may_be_a_date(ahead: int, least: float, most: float) -> None:
    """A date in Retry-After is returned as the seconds until then, at least 0."""
    date = format_datetime(datetime.now(tz=UTC) + timedelta(seconds=ahead), usegmt=True)
    with serving(response(b"", "429 Too Many Requests", f"Retry-After: {date}")) as wire:
        answer = deliver(wire.url)
    assert answer.retry_after is not None
    assert least <= answer.retry_after <= most


def test_a_request_waits_for_a_free_connection_until_the_time_out() -> None:
    """If all connections stay busy until the time-out, the request is not sent."""
    with serving(close=False) as wire:
        transport = Transport(wire.url, "The exchange", 0.5, connections=1)
        with transport.slot(), pytest.raises(NotConnected, match="stayed busy"), transport.slot():
            pass
        transport.close()


def test_an_answer_that_cannot_be_decompressed_frees_its_connection() -> None:
    """Answers that are abandoned half-read do not use up the connections of later requests."""
    packed = b"x" * 60_000
    head = f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n".encode()
    with serving(head + packed) as wire:
        transport = Transport(wire.url, "The exchange", 1.0)
        for _ in range(6):
            with pytest.raises(NoAnswer), transport.slot():
                transport.deliver(plain_get(wire.url))
        transport.close()


GZIP = "Content-Encoding: gzip"
LARGE = b" " * (MAX_ANSWER + 1)


def test_one_layer_of_gzip_is_decompressed() -> None:
    """One layer of gzip is decompressed; a second layer is returned as it is."""
    with serving(response(gzip.compress(b'{"a":1}'), "200 OK", GZIP)) as wire:
        assert deliver(wire.url).body == b'{"a":1}'
    inner = gzip.compress(LARGE, 1)
    with serving(response(gzip.compress(inner), "200 OK", GZIP)) as wire:
        assert deliver(wire.url).body == inner


@pytest.mark.parametrize("encoding", ["gzip, gzip", "deflate", "br", "zstd", "x-unknown"])
def test_other_encodings_are_refused(encoding: str) -> None:
    """An answer in an encoding that was not requested is an error, after the request has left."""
    body = gzip.compress(gzip.compress(LARGE, 1))
    with (
        serving(response(body, "200 OK", f"Content-Encoding: {encoding}")) as wire,
        pytest.raises(UnexpectedAnswer, match="encoding that was not requested") as caught,
    ):
        deliver(wire.url)
    assert caught.value.http_status == 200


@pytest.mark.parametrize("kind", ["plain", "without length", "gzip"])
def test_answers_have_a_largest_size(kind: str) -> None:
    """No answer is read or decompressed beyond the limit, whatever length it states."""
    script = {
        "plain": (response(LARGE),),
        "without length": (b"HTTP/1.1 200 OK\r\n\r\n", LARGE),
        "gzip": (response(gzip.compress(LARGE * 2, 1), "200 OK", GZIP),),
    }[kind]
    with serving(*script) as wire, pytest.raises(UnexpectedAnswer, match="more than 16 MB"):
        deliver(wire.url, timeout=20)


def test_a_compressed_answer_that_ends_early_is_no_answer() -> None:
    """An incomplete compressed answer is no answer, even if its stated length is correct."""
    half = gzip.compress(os.urandom(1000))[:-20]
    with serving(response(half, "200 OK", GZIP)) as wire, pytest.raises(NoAnswer, match="is incomplete"):
        deliver(wire.url)
