"""One connection of the user-data stream: where it connects, and where not."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import closing

import pytest
from websockets.exceptions import InvalidHandshake, InvalidStatus

from leverage_nb.binance.stream_connection import open_connection
from leverage_nb.binance.user_stream import FORMS
from leverage_nb.simulator import Simulator
from tests.binance.streams import Listener, foreign_stream
from tests.binance.wire import serving
from tests.conftest import connect_to
from tests.waiting import until


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(status: int) -> None:
    """A redirect is a refusal: whoever answers first must not choose where the listen key is sent."""
    with foreign_stream() as other:
        answer = f"HTTP/1.1 {status} Elsewhere\r\nLocation: {other.url}/private/ws/key\r\nContent-Length: 0\r\n\r\n"
        with serving(answer.encode()) as wire, pytest.raises(InvalidHandshake, match="redirects the stream"):
            open_connection(f"{wire.url.replace('http', 'ws')}/private/ws/key", timeout=30, ping_every=20)
        assert other.paths == []


def test_another_refusal_is_reported_as_it_is() -> None:
    """An answer of 400 is the server's refusal of this form of the address."""
    with foreign_stream(refuse="/private") as stream, pytest.raises(InvalidStatus, match="400"):
        open_connection(f"{stream.url}/private/ws/key", timeout=30, ping_every=20)


def test_a_form_that_is_never_answered_does_not_prevent_the_others(simulator: Simulator) -> None:
    """If the handshake of one form gets no answer, the others are tried all the same."""
    with foreign_stream() as stream, closing(socket.create_server(("127.0.0.1", 0))) as front:
        port = int(stream.url.rsplit(":", 1)[1])
        threading.Thread(target=_pass_on_all_but_the_first, args=(front, port), daemon=True).start()
        url = f"ws://127.0.0.1:{front.getsockname()[1]}"
        with connect_to(simulator, stream_url=url, timeout=2.0) as account:
            listener = Listener()
            with account.watch(listener.receive) as watch:
                until(lambda: len(stream.connections) == len(FORMS) - 1 and watch.state == "connected")
                stream.leverage("BTCUSDT", 30, time.time())
                until(lambda: watch.live)


def _pass_on_all_but_the_first(front: socket.socket, port: int) -> None:
    """Connect a front to a server, byte by byte; its first connection is accepted and never answered."""
    silent, _ = front.accept()
    with closing(silent):
        while True:
            try:
                outer, _ = front.accept()
            except OSError:  # the test has ended
                return
            inner = socket.create_connection(("127.0.0.1", port))
            for one, other in ((outer, inner), (inner, outer)):
                threading.Thread(target=_copy, args=(one, other), daemon=True).start()


def _copy(one: socket.socket, other: socket.socket) -> None:
    with closing(one), closing(other):
        try:
            while data := one.recv(65536):
                other.sendall(data)
        except OSError:
            return
