"""Connections that keep a total time budget, and know whether anything of a request has left."""

from __future__ import annotations

import http.client
import io
import socket
import threading
import time
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

from leverage_nb.interrupts import Departure

_sending = threading.local()


def set_departure(departure: Departure) -> None:
    """Name the departure of the request that this thread sends next."""
    _sending.departure = departure


def get_departure() -> Departure:
    """The departure of the request that this thread is sending."""
    departure: Departure = _sending.departure
    return departure


class _BudgetedReader(io.RawIOBase):
    """Reads from a socket until a deadline that covers the whole answer."""

    def __init__(self, sock: socket.socket, budget: float | None) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)  # keeps the socket open until the answer is read
        self._deadline = None if budget is None else time.monotonic() + budget

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._deadline is not None:
            left = self._deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("the time budget of the answer is spent")
            self._sock.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _BudgetedResponse(http.client.HTTPResponse):
    """Takes the socket's timeout, which urllib3 sets to the read timeout, as the budget of the answer."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_BudgetedReader(sock, sock.gettimeout()))


class _Departing:
    """Notes when a request's first byte leaves. The CONNECT to a proxy, made while connecting, is none."""

    # http.client prints requests, key and signature included, where somebody has switched its debugging on.
    debuglevel = 0

    _connecting = False
    # urllib3's, which the classes below mix in:
    sock: Any
    port: Any
    timeout: Any
    _dns_host: Any

    def connect(self) -> None:
        self._connecting = True
        try:
            super().connect()  # type: ignore[misc]  # mixed into urllib3's connections below
        finally:
            self._connecting = False

    def _new_conn(self) -> socket.socket:
        # urllib3 would give every address of a name the whole time-out; here they share it.
        host, whole = self._dns_host, self.timeout
        deadline = time.monotonic() + whole
        try:
            found = socket.getaddrinfo(host, self.port, 0, socket.SOCK_STREAM)
            addresses = list(dict.fromkeys(str(address[0]) for *_, address in found))
        except OSError:
            addresses = [host]  # urllib3 fails in the same way and words it
        failure: Exception | None = None
        try:
            for address in addresses:
                self._dns_host, self.timeout = address, max(0.01, deadline - time.monotonic())
                try:
                    return super()._new_conn()  # type: ignore[misc,no-any-return]  # mixed into urllib3's below
                except (NewConnectionError, ConnectTimeoutError) as exc:
                    failure = exc
                if time.monotonic() >= deadline:
                    break
        finally:
            self._dns_host, self.timeout = host, whole
        raise failure or AssertionError("there is always an address to try")

    def request(self, *args: Any, **kwargs: Any) -> None:
        try:
            super().request(*args, **kwargs)  # type: ignore[misc]  # mixed into urllib3's below
        finally:
            get_departure().written()

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        if not self._connecting:
            get_departure().leave()
        super().send(data)  # type: ignore[misc]  # as above


class _HTTP(_Departing, HTTPConnection):
    response_class = _BudgetedResponse


class _HTTPS(_Departing, HTTPSConnection):
    response_class = _BudgetedResponse


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTP


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPS


class Adapter(HTTPAdapter):
    """An adapter whose pools make the connections above, through a proxy too."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools for direct connections."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """Make the pools behind a proxy."""
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
        return manager
