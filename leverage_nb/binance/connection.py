"""urllib3 connections with one deadline for a whole answer, which record whether any byte of a request left."""

from __future__ import annotations

import http.client
import io
import math
import socket
import threading
import time
from contextlib import suppress
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from leverage_nb.errors import NotConnected
from leverage_nb.interrupts import Departure

_sending = threading.local()


def set_departure(departure: Departure, answer_by: float = math.inf) -> None:
    """Set the departure of the request that this thread sends next, and the latest end of its answer."""
    _sending.departure, _sending.answer_by = departure, answer_by


def get_departure() -> Departure:
    """Return the departure of the request that this thread is sending."""
    departure: Departure = _sending.departure
    return departure


class _BudgetedReader(io.RawIOBase):
    """Read from a socket until a deadline that covers the whole answer."""

    def __init__(self, sock: socket.socket, budget: float | None) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)  # keeps the socket open until the answer is read
        deadline = math.inf if budget is None else time.monotonic() + budget
        self._deadline = min(deadline, _sending.answer_by)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._deadline < math.inf:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("the deadline of the answer has passed")
            self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _BudgetedResponse(http.client.HTTPResponse):
    """Use the socket's time-out, which urllib3 sets to the read time-out, as the budget of the whole answer."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_BudgetedReader(sock, sock.gettimeout()))


class _Departing:
    """Record when the first byte of a request leaves. The CONNECT to a proxy is not part of the request."""

    # http.client prints requests, key and signature included, if debugging is switched on for the class.
    debuglevel = 0

    _connecting = False
    # Attributes of urllib3's connections, into which this class is mixed below:
    sock: Any
    host: Any
    port: Any
    timeout: Any

    def connect(self) -> None:
        """Connect; the addresses of a name share the time-out, which urllib3 would grant to each of them."""
        whole = self.timeout
        self.timeout = whole / _count_addresses(self.host, self.port)
        self._connecting = True
        try:
            super().connect()  # type: ignore[misc]  # mixed into urllib3's connections below
        finally:
            self._connecting, self.timeout = False, whole

    def request(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().request(*args, **kwargs)  # type: ignore[misc]  # as above
        finally:
            get_departure().written()

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        if not self._connecting:
            get_departure().leave()
        super().send(data)  # type: ignore[misc]  # as above


def _count_addresses(host: str, port: int) -> int:
    """Return how many addresses a connection may try; 1 if the name does not resolve, which connecting reports."""
    with suppress(OSError, UnicodeError):
        return len(socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)) or 1
    return 1


class _HTTP(_Departing, HTTPConnection):
    response_class = _BudgetedResponse


class _HTTPS(_Departing, HTTPSConnection):
    response_class = _BudgetedResponse


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPS


class Adapter(HTTPAdapter):
    """An adapter whose pools use the connections above, for direct connections and behind a proxy."""

    def close(self) -> None:
        """Close the idle connections of every pool; those in use close when their request ends.

        urllib3 leaves this to finalizers of the pools. When a process exits, they run before the threads that still
        send requests have ended, and what those threads put back into a pool is never closed.
        """
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            for key in manager.pools.keys():  # noqa: SIM118 - the container of the pools cannot be iterated
                if (pool := manager.pools.get(key)) is not None:
                    pool.close()
        super().close()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Create the pools for direct connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Create the pools behind a proxy.

        Raises:
            NotConnected: It is a SOCKS proxy, over which no connection could record whether the request left.
        """
        if proxy.lower().startswith("socks"):
            raise NotConnected(
                "A SOCKS proxy is configured, and SOCKS proxies are not supported. Nothing was sent.",
                hint="Set HTTPS_PROXY to the address of an HTTP proxy, as http://host:port.",
            )
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
        return manager
