"""A listener that records events, and a WebSocket server under a test's control."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import ServerConnection, serve

from leverage_nb.binance.events import Event, LeverageEvent, StreamEvent
from tests.waiting import until


class Listener:
    """Record every event."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def receive(self, event: Event) -> None:
        """Record an event."""
        self.events.append(event)

    def of(self, kind: type[Any]) -> list[Any]:
        """Return the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def leverages(self) -> list[int]:
        """The leverages of the leverage events."""
        return [event.leverage for event in self.of(LeverageEvent)]

    @property
    def states(self) -> list[str]:
        """The states of the stream, in order."""
        return [event.state for event in self.of(StreamEvent)]


class ForeignStream:
    """A WebSocket server that sends a test's messages to every connection."""

    def __init__(self, port: int) -> None:
        self.url = f"ws://127.0.0.1:{port}"
        self.paths: list[str] = []
        self.connections: list[ServerConnection] = []

    def send(self, text: str) -> None:
        """Send a message, once there is a connection."""
        until(lambda: bool(self.connections))
        for connection in list(self.connections):
            with suppress(ConnectionClosed):  # one of the other forms, closed when one has delivered
                connection.send(text)

    def leverage(self, symbol: str, leverage: int, at: float) -> None:
        """Send an event of a symbol's leverage, dated at seconds since the epoch."""
        content = {"e": "ACCOUNT_CONFIG_UPDATE", "E": int(at * 1000), "T": int(at * 1000)}
        self.send(json.dumps({**content, "ac": {"s": symbol, "l": leverage}}))


@contextmanager
def foreign_stream(refuse: str = "\n") -> Iterator[ForeignStream]:
    """Run a :class:`ForeignStream` within the block; it answers HTTP 400 to an address that contains ``refuse``."""
    stream: ForeignStream

    def answer(connection: ServerConnection, request: Request) -> Response | None:
        return connection.respond(HTTPStatus.BAD_REQUEST, "") if refuse in request.path else None

    def handle(connection: ServerConnection) -> None:
        assert connection.request is not None
        stream.paths.append(connection.request.path)
        stream.connections.append(connection)
        try:
            for _ in connection:
                pass
        except ConnectionClosed:
            pass
        stream.connections.remove(connection)

    with serve(handle, "127.0.0.1", 0, process_request=answer) as server:
        stream = ForeignStream(server.socket.getsockname()[1])
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield stream
        server.shutdown()
        thread.join(5)
