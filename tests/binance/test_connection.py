"""Connections over real sockets: one deadline for an answer, and the moment when a request leaves."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from leverage_nb.binance.client import RestClient
from leverage_nb.binance.credentials import Credentials
from leverage_nb.binance.endpoints import SERVER_TIME
from leverage_nb.binance.http import SentTooLate, Transport
from leverage_nb.binance.venues import VENUES
from leverage_nb.errors import NoAnswer, NotConnected
from leverage_nb.interrupts import Cancellation
from tests.binance.sending import SIGNED, deliver, plain_get, signed_post
from tests.binance.wire import response, serving, unresponsive


def test_silence_ends_with_the_time_out() -> None:
    """A server that never answers costs the time-out, not more."""
    with serving(close=False) as wire:
        start = time.monotonic()
        with pytest.raises(NoAnswer, match=r"within 0\.5 s"):
            deliver(wire.url, timeout=0.5)
        assert 0.4 < time.monotonic() - start < 3


@pytest.mark.parametrize("part", ["headers", "body", "chunks"])
def test_a_dripped_answer_ends_with_the_time_out(part: str) -> None:
    """Bytes that arrive one by one do not extend the time-out: it covers the whole answer."""
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
            deliver(wire.url, timeout=0.5)
        assert time.monotonic() - start < 8


def test_a_proxy_that_breaks_the_tunnel_saw_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CONNECT to a proxy is not the request: if the tunnel fails, nothing was sent."""
    with serving(response(b"no", "502 Bad Gateway")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with pytest.raises(NotConnected, match="proxy"):
            deliver("https://gateway.example")
    assert proxy.received[0].startswith(b"CONNECT")
    assert SIGNED.encode() not in b"".join(proxy.received)


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks4", "SOCKS5"])
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "ALL_PROXY"])
def test_a_socks_proxy_is_named_as_not_supported(monkeypatch: pytest.MonkeyPatch, name: str, scheme: str) -> None:
    """With a SOCKS proxy nothing is sent, not even directly, and the error says what to set instead."""
    for other in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(other, raising=False)
    with serving(response(b"no", "502 Bad Gateway")) as proxy:
        monkeypatch.setenv(name, proxy.url.replace("http", scheme))
        with pytest.raises(NotConnected, match=r"SOCKS proxies are not supported.*as http://host:port"):
            deliver("https://gateway.example")
    assert proxy.received == []


def test_connections_are_kept_alive() -> None:
    """Several requests to one address share one connection."""
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
        assert transport.deliver(plain_get(url)).status == 200
    thread.join(2)
    assert len(accepted) == 1
    transport.close()
    accepted[0].close()
    listener.close()


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """Let the name exchange.test have these addresses."""
    real = socket.getaddrinfo

    def resolve(host: str, *rest: Any, **more: Any) -> Any:
        if host == "exchange.test":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
        return real(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def test_all_addresses_of_a_name_share_the_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with several addresses that do not answer costs the time-out once, not once per address."""
    with unresponsive() as dead:
        resolve_to(monkeypatch, *[dead] * 5)
        start = time.monotonic()
        with pytest.raises(NotConnected, match="no connection within the time-out"):
            deliver("http://exchange.test", timeout=1.0)
        assert 0.8 < time.monotonic() - start < 4


def test_a_dead_address_leaves_time_for_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the first address of a name does not answer, the request is sent to the second one within the time-out."""
    with unresponsive() as dead, serving(response(b"{}")) as wire:
        resolve_to(monkeypatch, dead, ("127.0.0.1", int(wire.url.rpartition(":")[2])))
        assert deliver("http://exchange.test", timeout=2.0).status == 200
    assert len(wire.received) == 1


def test_connecting_and_answering_share_the_time_of_a_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """A read whose connection took half of its seconds waits only for the other half for an answer."""
    with unresponsive() as dead, serving(close=False) as wire:
        resolve_to(monkeypatch, dead, ("127.0.0.1", int(wire.url.rpartition(":")[2])))
        venue = replace(VENUES["simulator"], rest_url="http://exchange.test")
        client = RestClient(venue, Credentials("k", "s"), retry_pauses=())
        start = time.monotonic()
        with pytest.raises(NoAnswer):
            client.read(SERVER_TIME, within=3)
        client.close()
        assert time.monotonic() - start < 4.2
    assert len(wire.received) == 1


def test_an_expired_request_does_not_leave() -> None:
    """A request that has expired before its first byte could leave is not sent, and the error says so."""
    with serving(response(b"{}")) as wire:
        transport = Transport(wire.url, "The exchange", 2)
        with pytest.raises(SentTooLate, match="could not leave in time"):
            transport.deliver(signed_post(wire.url), expires=time.monotonic() - 0.001)
        assert transport.deliver(signed_post(wire.url), expires=time.monotonic() + 60).status == 200
        transport.close()
    assert [request for request in wire.received if request] == wire.received[-1:]


def test_a_request_that_expires_while_connecting_does_not_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request expires at the moment when its first byte would leave, not when connecting begins."""
    real = socket.getaddrinfo

    def slow(*arguments: Any, **more: Any) -> Any:
        time.sleep(0.3)
        return real(*arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with serving(response(b"{}")) as wire:
        transport = Transport(wire.url, "The exchange", 2)
        with pytest.raises(SentTooLate):
            transport.deliver(signed_post(wire.url), expires=time.monotonic() + 0.1)
        transport.close()
    assert SIGNED.encode() not in b"".join(wire.received)


def test_nothing_leaves_after_work_was_cancelled() -> None:
    """A request of cancelled work is not sent, and a later one is."""
    cancellation = Cancellation()
    cancellation.cancel()
    with serving(response(b"{}")) as wire:
        transport = Transport(wire.url, "The exchange", 2)
        with cancellation.adopted(), pytest.raises(NotConnected, match="Interrupted before the request left"):
            transport.deliver(signed_post(wire.url))
        assert transport.deliver(signed_post(wire.url)).status == 200
        transport.close()
    assert b"".join(wire.received).count(SIGNED.encode()) == 1


def test_debug_output_shows_no_request(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """If a user has switched on the debug output of http.client, requests are not printed."""
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    with serving(response(b"{}")) as wire:
        deliver(wire.url)
    assert capsys.readouterr().out == ""
