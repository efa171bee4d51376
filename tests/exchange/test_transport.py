"""Bytes out, bytes back, over real sockets: the time budget, and whether anything had left."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import pytest

import leverage_nb
from leverage_nb.errors import NoAnswer, NotConnected
from leverage_nb.exchange.transport import Outgoing, Transport
from leverage_nb.simulator import Simulator
from tests.exchange.wire import response, serving

OURS = Path(leverage_nb.__file__).parent
SIGNED = "symbol=BTCUSDT&leverage=5&signature=5ec2e7"


def deliver(url: str, timeout: float = 0.5) -> object:
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
    assert (answer.status, answer.body, answer.retry_after) == (429, b'{"a":1}', 7.0)  # type: ignore[attr-defined]
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
            assert deliver(wire.url).status == 307  # type: ignore[attr-defined]
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
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
    with serving(close=False) as wire:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        with pytest.raises(KeyboardInterrupt) as caught:
            deliver(wire.url, timeout=5)
    signal.signal(signal.SIGINT, earlier)
    assert caught.value.__context__ is None
    with serving(response(b"{}")) as wire:
        assert deliver(wire.url).status == 200  # type: ignore[attr-defined]


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
        (["Retry-After: \xb2"], "429 Too Many Requests"), (["Retry-After: Wed, 21 Oct 2026 07:28:00 GMT"], "429 X"),
    ],
)  # fmt: skip
def test_broken_headers_do_not_hide_the_answer(headers: list[str], status: str) -> None:
    """A Location or Retry-After that makes no sense is left alone: the answer is what its status says."""
    raw = response(b"", status, *headers).decode().encode("latin-1")
    with serving(raw) as wire:
        answer = deliver(wire.url)
    assert str(answer.status) == status[:3]  # type: ignore[attr-defined]
    assert answer.retry_after is None  # type: ignore[attr-defined]


def test_a_fork_does_not_share_connections() -> None:
    """A forked process opens connections of its own: on a shared one each would read the other's answer."""
    with Simulator() as simulator:
        transport = Transport(simulator.rest_url, "The exchange", 5)
        ask = Outgoing("GET", "/fapi/v1/time", f"{simulator.rest_url}/fapi/v1/time", None, {})

        def local_port() -> int:
            with transport.slot():
                assert transport.deliver(ask).status == 200
            pools = transport._session.get_adapter(simulator.rest_url).poolmanager.pools  # type: ignore[attr-defined]
            (pool,) = (pools[key] for key in pools.keys())  # noqa: SIM118 - urllib3's container forbids iteration
            return int(pool.pool.queue[-1].sock.getsockname()[1])

        before = local_port()
        reader, writer = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # Python warns of forking with threads: that is the point
            child = os.fork()
        if child == 0:
            os.write(writer, str(local_port()).encode())
            os._exit(0)
        os.waitpid(child, 0)
        assert int(os.read(reader, 16)) != before
        assert local_port() == before
        transport.close()
        os.close(reader)
        os.close(writer)


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
