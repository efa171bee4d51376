"""Loopback servers that answer with prepared bytes, or not at all."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class Wire:
    """Accept connections, record each request, and send ``script`` in pieces with a pause before each."""

    def __init__(self, *script: bytes, pause: float = 0.0, close: bool = True) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.received: list[bytes] = []
        self._script, self._pause, self._close = script, pause, close
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._done.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self.received.append(_read_request(connection))
                try:
                    for piece in self._script:
                        time.sleep(self._pause)
                        connection.sendall(piece)
                except OSError:
                    continue
                if not self._close:
                    self._done.wait(5)

    def stop(self) -> None:
        """Stop listening."""
        self._done.set()
        self._listener.close()


def _read_request(connection: socket.socket) -> bytes:
    """Read one whole request: head and body may arrive in several packets."""
    connection.settimeout(2)
    data = b""
    try:
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                return data
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        while length and len(body) < int(length[1]):
            body += connection.recv(65536)
    except OSError:
        return data
    return head + b"\r\n\r\n" + body


@contextmanager
def serving(*script: bytes, pause: float = 0.0, close: bool = True) -> Iterator[Wire]:
    """Run a :class:`Wire` within the block."""
    wire = Wire(*script, pause=pause, close=close)
    try:
        yield wire
    finally:
        wire.stop()


def response(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    """Return an HTTP/1.1 response as bytes."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@contextmanager
def unresponsive() -> Iterator[tuple[str, int]]:
    """A loopback address at which connecting never succeeds and never fails: its queue of connections is full."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    address: tuple[str, int] = listener.getsockname()
    waiting = [socket.socket() for _ in range(4)]
    for client in waiting:
        client.setblocking(False)
        client.connect_ex(address)
    time.sleep(0.05)
    try:
        yield address
    finally:
        for each in (*waiting, listener):
            each.close()
