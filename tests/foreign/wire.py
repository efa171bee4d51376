"""Requests as they arrive at the independent exchange, and answers in any form."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from time import sleep
from typing import Any
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True)
class Arrived:
    """A request that arrived; ``at`` is monotonic."""

    at: float
    endpoint: str
    parameters: dict[str, str]
    key: str
    port: int
    signed_text: str = ""
    is_last: bool = False  # the last of its connection

    @property
    def symbol(self) -> str:
        return self.parameters.get("symbol", "")

    @property
    def leverage(self) -> int:
        return int(self.parameters.get("leverage", 0))

    @property
    def timestamp(self) -> int:
        return int(self.parameters.get("timestamp", 0))


@dataclass(frozen=True)
class Reply:
    """An answer: status, headers, then pieces of the body with a pause before each.

    ``ending`` is "keep" (the connection stays), "close", "reset" (before anything is sent) or "silence" (nothing is
    sent until the client goes away).
    """

    status: int = 200
    pieces: Iterable[bytes] = (b"",)
    headers: tuple[str, ...] = ()
    pause: float = 0.0
    ending: str = "keep"

    @classmethod
    def of(cls, value: Any, status: int = 200, *headers: str) -> Reply:
        """Return a JSON answer."""
        return cls(status, (json.dumps(value).encode(),), ("Content-Type: application/json", *headers))

    @classmethod
    def error(cls, status: int, code: int, msg: str, *headers: str) -> Reply:
        """Return an error in the exchange's own format."""
        return cls.of({"code": code, "msg": msg}, status, *headers)

    @classmethod
    def html(cls, status: int, *headers: str) -> Reply:
        """Return the page of a firewall, gateway or proxy."""
        page = f"<!DOCTYPE html><html><body><h1>{status}</h1>request blocked</body></html>".encode()
        return cls(status, (page,), ("Content-Type: text/html", *headers))


RESET, SILENCE = Reply(ending="reset"), Reply(ending="silence")
LATE_CLOCK = Reply.error(400, -1021, "Timestamp for this request is outside of the recvWindow.")


def read_request(incoming: Any, port: int) -> Arrived | None:
    """Read one complete request; return None if the client has disconnected."""
    method, _, rest = incoming.readline().decode("latin-1").partition(" ")
    if not rest:
        return None
    headers: dict[str, str] = {}
    while (line := incoming.readline().decode("latin-1").strip()) != "":
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    body = incoming.read(int(headers.get("content-length", 0))).decode()
    target = urlsplit(rest.split(" ")[0])
    parameters = dict(parse_qsl(target.query + ("&" if target.query and body else "") + body))
    key = headers.get("x-mbx-apikey", "")
    is_last = rest.strip().endswith("HTTP/1.0") or headers.get("connection", "").lower() == "close"
    return Arrived(0.0, f"{method} {target.path}", parameters, key, port, target.query + body, is_last)


def send_reply(connection: socket.socket, reply: Reply) -> bool:
    """Send an answer; return whether the connection stays open."""
    if reply.ending == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False
    if reply.ending == "silence":
        while connection.recv(4096):
            pass
        return False
    lines = [f"HTTP/1.1 {reply.status} Foreign", *reply.headers]
    pieces = reply.pieces
    if reply.ending == "keep":
        pieces = list(pieces)
        lines.append(f"Content-Length: {sum(map(len, pieces))}")
    else:
        lines.append("Connection: close")
    connection.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
    for piece in pieces:
        sleep(reply.pause)
        connection.sendall(piece)
    return reply.ending == "keep"
