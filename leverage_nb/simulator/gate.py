"""The gate: which HTTP requests reach the simulator, how large they may be, and how long they may take.

The simulator may run in a kernel that also holds a real key, and every program and web page on this machine can reach
its port. A request that the gate refuses is not recorded, has no weight and meets no fault.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Awaitable
from contextlib import suppress
from http import HTTPStatus
from ipaddress import ip_address
from typing import cast

from tornado.http1connection import HTTP1Connection
from tornado.httpserver import HTTPServer
from tornado.httputil import (
    HTTPConnection,
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerConnectionDelegate,
    RequestStartLine,
    ResponseStartLine,
)
from tornado.iostream import IOStream, StreamClosedError
from tornado.web import Application

LARGEST_HEAD = 2**14  # bytes of the request line and all headers
LARGEST_BODY = 2**16  # bytes
MOST_CONNECTIONS = 64
_LINGER = 1.0  # seconds in which the rest of a refused request is read and discarded

_FOREIGN = "This simulator answers programs on this machine only: not other hosts, and no web pages of other origins."
_TOO_LARGE = f"The body of a request to this simulator is at most {LARGEST_BODY} bytes."


def open_server(application: Application, port: int, patience: float) -> HTTPServer:
    """Return a server whose requests pass the gate.

    Args:
        application: What answers the requests.
        port: The port under which the server is known.
        patience: Seconds in which a connection must send the head of its next request, and then in which it must send
            the body. After that it is closed.
    """
    return HTTPServer(
        _Gate(application, port),
        idle_connection_timeout=patience,
        body_timeout=patience,
        max_header_size=LARGEST_HEAD,
        max_buffer_size=4 * LARGEST_BODY,
        max_body_size=2**62,  # tornado answers a larger body with a 400; the gate refuses it with a 413
    )


class _Gate(HTTPServerConnectionDelegate):
    """Limits the connections and checks every request before the application sees it."""

    def __init__(self, application: Application, port: int) -> None:
        self._application, self._port = application, port
        # Every connection, and whether it waits for a request or for the rest of one; the longest waiting first.
        self._waiting: dict[IOStream, bool] = {}

    def start_request(self, server_conn: object, request_conn: HTTPConnection) -> HTTPMessageDelegate:
        stream = cast(HTTP1Connection, request_conn).stream
        self._waiting = {other: waits for other, waits in self._waiting.items() if not other.closed()}
        if self._waiting.pop(stream, None) is None and len(self._waiting) >= MOST_CONNECTIONS:
            oldest = next((other for other, waits in self._waiting.items() if waits), stream)
            oldest.close()
        self._waiting[stream] = True
        return _Checked(self, stream, self._application.start_request(server_conn, request_conn))

    def stop_waiting(self, stream: IOStream) -> None:
        """Note that a request has arrived completely."""
        self._waiting[stream] = False

    def refusal(self, headers: HTTPHeaders) -> tuple[int, str] | None:
        """Return the status and reason with which a request is refused; None if it may pass.

        The Host must be a loopback address with the simulator's own port: a page whose host name was made to point to
        this machine (DNS rebinding) sends its own. The Origin and Sec-Fetch-Site show the requests of other pages.
        """
        host = headers.get("Host", "")
        own = headers.get("Origin", f"http://{host}") == f"http://{host}"
        if not own or headers.get("Sec-Fetch-Site", "none") not in {"none", "same-origin"}:
            return 403, _FOREIGN
        if not _is_loopback(host, self._port):
            return 403, _FOREIGN
        length = headers.get("Content-Length", "")
        if length.isdecimal() and (len(length) > 9 or int(length) > LARGEST_BODY):
            return 413, _TOO_LARGE
        return None


def _is_loopback(host: str, port: int) -> bool:
    found = re.fullmatch(r"(?P<name>[A-Za-z0-9.]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?", host)
    if found is None or int(found["port"] or 80) != port:
        return False
    if found["name"].lower() == "localhost":
        return True
    with suppress(ValueError):
        return ip_address(found["name"].strip("[]")).is_loopback
    return False


class _Checked(HTTPMessageDelegate):
    """One request on its way to the application."""

    def __init__(self, gate: _Gate, stream: IOStream, inner: HTTPMessageDelegate) -> None:
        self._gate, self._stream, self._inner = gate, stream, inner
        self._received, self._refused = 0, False

    def headers_received(
        self, start_line: RequestStartLine | ResponseStartLine, headers: HTTPHeaders
    ) -> Awaitable[None] | None:
        refusal = self._gate.refusal(headers)
        return self._refuse(*refusal) if refusal else self._inner.headers_received(start_line, headers)

    def data_received(self, chunk: bytes) -> Awaitable[None] | None:
        self._received += len(chunk)
        if self._received > LARGEST_BODY:
            return self._refuse(413, _TOO_LARGE)
        return self._inner.data_received(chunk)

    def finish(self) -> None:
        if not self._refused:
            self._gate.stop_waiting(self._stream)
            self._inner.finish()

    def on_connection_close(self) -> None:
        self._inner.on_connection_close()

    async def _refuse(self, status: int, reason: str) -> None:
        """Answer, read the rest of the request for a moment, and close the connection.

        Closing it with unread input would reset it, and the reset could overtake the answer.
        """
        self._refused = True
        body = json.dumps({"simulator": "leverage_nb", "refused": reason}).encode()
        head = (
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        with suppress(StreamClosedError, OSError, TimeoutError):
            await self._stream.write(head.encode() + body)
            self._stream.socket.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(_LINGER):
                while True:
                    await self._stream.read_bytes(LARGEST_BODY, partial=True)
        self._stream.close()
