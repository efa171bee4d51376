"""The gate: foreign pages and hosts, bodies that are too large, and connections that are half used, on real sockets."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as connect_websocket

from leverage_nb.simulator import Simulator
from tests.simulator.calling import LEVERAGE, form_headers, signed_call, signed_text, wait_for

PING = "/fapi/v1/ping"
LIMIT = 65_536  # bytes: 64 kB


def talk(port: int, *pieces: bytes) -> bytes:
    """Send pieces on one connection, and return everything that comes back until the simulator closes it."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        answer = b""
        try:
            for piece in pieces:
                connection.sendall(piece)
        except ConnectionError:  # the answer may have come before everything was sent
            pass
        while piece := connection.recv(65_536):
            answer += piece
        return answer


def refusal(answer: bytes) -> tuple[int, dict[str, Any]]:
    """Return status and JSON of an answer."""
    head, body = answer.split(b"\r\n\r\n")
    return int(head.split(b" ")[1]), json.loads(body)


def get_with(simulator: Simulator, headers: str) -> bytes:
    """Request a ping with header lines as given, and return the whole answer."""
    return talk(simulator.port, f"GET {PING} HTTP/1.1\r\n{headers}Connection: close\r\n\r\n".encode())


@pytest.mark.parametrize(
    "host", ["127.0.0.1:{port}", "localhost:{port}", "LOCALHOST:{port}", "127.1.2.3:{port}", "[::1]:{port}"]
)
def test_loopback_hosts_are_answered(simulator: Simulator, host: str) -> None:
    """Every name and address of this machine is answered with the simulator's own port, and so is its own origin."""
    own = host.format(port=simulator.port)
    assert get_with(simulator, f"Host: {own}\r\n").startswith(b"HTTP/1.1 200")
    assert get_with(simulator, f"Host: {own}\r\nOrigin: http://{own}\r\n").startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "host",
    [
        "evil.example:{port}", "evil.example", "127.0.0.1", "127.0.0.1:80", "localhost.evil.example:{port}",
        "127.0.0.1.evil.example:{port}", "10.0.0.1:{port}", "0.0.0.0:{port}", "[2001:db8::1]:{port}",
        "me@127.0.0.1:{port}", "127.0.0.1:{port},evil.example:{port}", "127.0.0.1:{port}/x", "", "[::1:{port}",
    ],
)  # fmt: skip
def test_other_hosts_are_refused(simulator: Simulator, host: str) -> None:
    """A name that only points to this machine, a foreign address, another port or none is a 403 of its own."""
    status, body = refusal(get_with(simulator, f"Host: {host.format(port=simulator.port)}\r\n"))
    assert status == 403
    assert body["simulator"] == "leverage_nb"
    assert "code" not in body


@pytest.mark.parametrize(
    "header",
    [
        "Origin: https://evil.example", "Origin: null", "Origin: http://127.0.0.1:{other}", "Origin:",
        "Origin: https://127.0.0.1:{port}", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site",
    ],
)  # fmt: skip
def test_other_origins_are_refused(simulator: Simulator, header: str) -> None:
    """A page of another origin is refused: its scripts by their Origin, its images and forms by Sec-Fetch-Site."""
    line = header.format(port=simulator.port, other=simulator.port + 1)
    status, _ = refusal(get_with(simulator, f"Host: 127.0.0.1:{simulator.port}\r\n{line}\r\n"))
    assert status == 403


def test_a_refused_request_leaves_no_trace(simulator: Simulator) -> None:
    """A request of a foreign page is not recorded, has no weight, uses up no fault and changes nothing, even signed."""
    simulator.inject("firewall")
    form = signed_text(simulator, symbol="XRPUSDT", leverage=10)
    foreign = form_headers(simulator) | {"Origin": "https://evil.example"}
    answer = requests.post(simulator.rest_url + LEVERAGE, data=form, headers=foreign, timeout=30)
    assert (answer.status_code, answer.json()["simulator"]) == (403, "leverage_nb")
    exchange = simulator.exchange
    assert (exchange.received, exchange.executed, exchange.weight.used) == ([], [], 0)
    assert exchange.account.leverage("XRPUSDT") == 50
    own = requests.post(simulator.rest_url + LEVERAGE, data=form, headers=form_headers(simulator), timeout=30)
    assert own.text == "<html><h1>Request blocked</h1></html>"  # the fault was still waiting


def test_the_stream_is_for_programs_of_this_machine(simulator: Simulator) -> None:
    """A WebSocket handshake with a foreign Origin or Host is a 403; with its own Origin it opens."""
    headers = {"X-MBX-APIKEY": simulator.api_key}
    key = requests.post(simulator.rest_url + "/fapi/v1/listenKey", headers=headers, timeout=30).json()["listenKey"]
    address = f"{simulator.stream_url}/private/ws/{key}"
    for origin in ("https://evil.example", "null"):
        with pytest.raises(InvalidStatus) as refused, connect_websocket(address, origin=origin):  # type: ignore[arg-type]
            pass
        assert refused.value.response.status_code == 403
    rebound = address.replace("127.0.0.1", "evil.example")
    with socket.create_connection(("127.0.0.1", simulator.port)) as connection:
        with pytest.raises(InvalidStatus) as refused, connect_websocket(rebound, sock=connection):
            pass
        assert refused.value.response.status_code == 403
    with connect_websocket(address, origin=simulator.rest_url):  # type: ignore[arg-type]
        assert wait_for(lambda: simulator.open_streams == 1)


def test_the_largest_body(simulator: Simulator) -> None:
    """A body of 64 kB reaches the exchange; one more byte is refused with 413, before the body is sent."""
    url = simulator.rest_url + LEVERAGE
    assert requests.post(url, data="x" * LIMIT, timeout=30).json()["code"] == -1130  # one long name
    head = f"POST {LEVERAGE} HTTP/1.1\r\nHost: 127.0.0.1:{simulator.port}\r\n"
    with socket.create_connection(("127.0.0.1", simulator.port), timeout=30) as connection:
        connection.sendall(f"{head}Content-Length: {LIMIT + 1}\r\n\r\n".encode())
        answer = b""
        while piece := connection.recv(4096):
            answer += piece
    status, body = refusal(answer)
    assert (status, body["simulator"]) == (413, "leverage_nb")
    used = simulator.exchange.weight.used
    enormous = talk(simulator.port, f"{head}Content-Length: {'9' * 5000}\r\n\r\n".encode())
    assert refusal(enormous)[0] == 413
    assert simulator.exchange.weight.used == used


def test_a_body_without_a_stated_length_is_limited_while_it_is_read(simulator: Simulator) -> None:
    """A chunked body is refused with 413 as soon as it exceeds 64 kB, in small chunks and in one enormous chunk."""
    head = f"POST {LEVERAGE} HTTP/1.1\r\nHost: 127.0.0.1:{simulator.port}\r\nTransfer-Encoding: chunked\r\n\r\n"
    small = b"400\r\n" + b"x" * 1024 + b"\r\n"
    assert refusal(talk(simulator.port, head.encode(), *[small] * 200))[0] == 413
    assert refusal(talk(simulator.port, head.encode(), b"40000000\r\n", b"x" * 4 * LIMIT))[0] == 413
    end = talk(simulator.port, head.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").encode(), small, b"0\r\n\r\n")
    assert refusal(end)[1]["code"] == -2014


@pytest.mark.parametrize(
    "sent",
    [
        "", "GET /fapi/v1/ping HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n",
        "POST /fapi/v1/leverage HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 9\r\n\r\nhalf",
        "POST /fapi/v1/leverage HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf",
    ],
    ids=["nothing", "head", "body", "chunked"],
)  # fmt: skip
def test_a_request_that_does_not_arrive_is_ended(sent: str) -> None:
    """A connection without a request, and one with half a head or half a body, is closed after the time allowed."""
    with Simulator(patience=0.2) as simulator:
        began = time.monotonic()
        assert talk(simulator.port, sent.format(port=simulator.port).encode()) == b""
        assert 0.15 < time.monotonic() - began < 4


def test_dripping_does_not_extend_the_time() -> None:
    """A head that comes byte by byte is ended in time; an idle connection is closed, also after an answer."""
    with Simulator(patience=0.3) as simulator:
        with socket.create_connection(("127.0.0.1", simulator.port), timeout=30) as connection:
            began, ended = time.monotonic(), False
            while not ended and time.monotonic() < began + 5:
                try:
                    connection.sendall(b"a")
                except ConnectionError:
                    ended = True
                time.sleep(0.02)
            assert ended
        host = f"Host: 127.0.0.1:{simulator.port}\r\n\r\n"
        assert talk(simulator.port, f"GET {PING} HTTP/1.1\r\n{host}".encode()).endswith(b"\r\n\r\n{}")


@contextmanager
def running() -> Iterator[tuple[int, str]]:
    """Run a simulator in a process of its own; yield its process id and address."""
    command = [sys.executable, "-m", "leverage_nb.simulator"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.pid, json.loads(process.stdout.readline())["rest_url"]
        finally:
            process.terminate()


def peak_memory(pid: int) -> int:
    """Return the largest resident memory that a process has had so far, in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
def test_large_posts_cost_no_memory() -> None:
    """Eight posts of 16 MB at once, and bodies of thousands of fields, raise the process's memory by less than 16 MB.

    Half of the posts come from a web page, half from a program.
    """
    with running() as (pid, url):
        requests.get(url + "/fapi/v1/exchangeInfo", timeout=30)
        before = peak_memory(pid)

        def post(headers: dict[str, str], body: bytes) -> None:
            try:
                statuses.append(requests.post(url + LEVERAGE, data=body, headers=headers, timeout=60).status_code)
            except requests.ConnectionError:  # it may be closed while the body is sent
                statuses.append(413)

        statuses: list[int] = []
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        kinds = (form | {"Origin": "https://evil.example"}, form)
        large = b"a=1&" * (4 * 2**20)
        threads = [threading.Thread(target=post, args=(kinds[n % 2], large)) for n in range(8)]
        threads += [threading.Thread(target=post, args=(form, b"a&" * (LIMIT // 2))) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(statuses) == 16
        assert 200 not in statuses
        assert peak_memory(pid) - before < 16 * 2**20


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_half_sent_requests_hold_few_descriptors() -> None:
    """With 300 half-sent requests the simulator has at most 64 connections open, and still answers others at once."""
    with running() as (pid, url), ExitStack() as held:
        descriptors = Path(f"/proc/{pid}/fd")
        requests.get(url + PING, timeout=30)
        before = len(list(descriptors.iterdir()))
        port = int(url.rsplit(":", 1)[1])
        head = f"POST {LEVERAGE} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 100\r\n\r\nhalf".encode()
        for number in range(300):
            connection = held.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            connection.sendall(head if number % 2 else head[:20])
        assert requests.get(url + PING, timeout=30).json() == {}
        assert len(list(descriptors.iterdir())) <= before + 64


def test_a_request_that_is_being_answered_is_not_ended(simulator: Simulator) -> None:
    """Many idle connections do not end the request of another, whose answer comes late."""
    simulator.inject("late_answer", on=f"GET {PING}", seconds=0.5)
    found: list[bytes] = []
    host = f"Host: 127.0.0.1:{simulator.port}\r\nConnection: close\r\n\r\n"
    waiting = threading.Thread(
        target=lambda: found.append(talk(simulator.port, f"GET {PING} HTTP/1.1\r\n{host}".encode()))
    )
    waiting.start()
    assert wait_for(lambda: simulator.exchange.weight.used == 1)
    with ExitStack() as held:
        for _ in range(100):
            held.enter_context(socket.create_connection(("127.0.0.1", simulator.port), timeout=30))
        waiting.join()
        assert found[0].endswith(b"\r\n\r\n{}")
        assert signed_call(simulator, "GET", "/fapi/v1/accountConfig")[0] == 200
