"""Signed requests to one venue: the clock, the signature, and typed errors."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress

from leverage_nb.errors import LeverageError, Mistake
from leverage_nb.exchange import refusals
from leverage_nb.exchange.credentials import Credentials
from leverage_nb.exchange.messages import ServerTime, decode
from leverage_nb.exchange.signing import encode
from leverage_nb.exchange.transport import Answer, Outgoing, Transport
from leverage_nb.exchange.venues import Venue

Parameters = Sequence[tuple[str, str | int]]

# Beyond this Binance's newest schema refuses; its older page names no maximum.
MAX_RECV_WINDOW = 60_000


class RestClient:
    """Speaks to one venue with one key.

    Args:
        venue: Where, with its address.
        credentials: Whose key.
        timeout: Seconds to connect, and seconds for a whole answer.
        recv_window: Milliseconds for which the exchange may still act on a signed request.

    Raises:
        Mistake: ``timeout`` or ``recv_window`` is out of range.
    """

    def __init__(
        self, venue: Venue, credentials: Credentials, *, timeout: float = 10.0, recv_window: int = 5000
    ) -> None:
        if not isinstance(timeout, (int, float)) or not 0 < timeout <= 300:
            raise Mistake(f"timeout is in seconds, above 0 and at most 300; got {timeout!r}.")
        if not isinstance(recv_window, int) or not 1 <= recv_window <= MAX_RECV_WINDOW:
            raise Mistake(f"recv_window is in whole milliseconds, 1 to {MAX_RECV_WINDOW}; got {recv_window!r}.")
        self.venue = venue
        self._credentials = credentials
        self._recv_window = recv_window
        self._transport = Transport(venue.rest_url, venue.speaker, timeout)
        self._clock_offset_ms = 0

    @property
    def account(self) -> str:
        """Whose key it is, as a fingerprint."""
        return f"key {self._credentials.fingerprint}"

    def read(self, path: str, parameters: Parameters = (), *, signed: bool = True) -> bytes:
        """``GET`` a resource. On -1021 the clock is compared and the request signed anew, once.

        Raises:
            NotConnected, NoAnswer, UnexpectedAnswer, RequestRefused: As they say.
        """
        answer = self._exchange("GET", path, parameters, signed=signed)
        if signed and _code(answer) == -1021:
            self.compare_clocks()
            answer = self._exchange("GET", path, parameters, signed=True)
        if answer.status == 200 and _code(answer) >= 0:
            return answer.body
        raise refusals.explain(answer, self.venue, f"GET {path}")

    def post(self, path: str, parameters: Parameters) -> Answer:
        """``POST`` a signed form, once, and hand back whatever was answered.

        Raises:
            NotConnected: Nothing left.
            NoAnswer: It left, and no complete answer came.
        """
        answer = self._exchange("POST", path, parameters, signed=True)
        if _code(answer) == -1021:
            with suppress(LeverageError):  # whatever becomes of it, what was answered to the POST stands
                self.compare_clocks()  # for the next one: what was posted is never sent again
        return answer

    def compare_clocks(self) -> None:
        """Learn the exchange's time from ``GET /fapi/v1/time``, as of the middle of the round trip."""
        before = _now_ms()
        body = self.read("/fapi/v1/time", signed=False)
        after = _now_ms()
        told = decode(ServerTime, body, self.source("/fapi/v1/time")).server_time
        self._clock_offset_ms = told - (before + after) // 2

    def source(self, path: str) -> str:
        """Whose answer to what, for error messages."""
        return f"{self.venue.speaker}'s answer to GET {path}"

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def _exchange(self, method: str, path: str, parameters: Parameters, *, signed: bool) -> Answer:
        with self._transport.slot():
            return self._transport.deliver(self._outgoing(method, path, parameters, signed=signed))

    def _outgoing(self, method: str, path: str, parameters: Parameters, *, signed: bool) -> Outgoing:
        address = self.venue.rest_url + path
        if not signed:
            query = encode(parameters)
            return Outgoing(method, path, f"{address}?{query}" if query else address, None, {})
        moment = _now_ms() + self._clock_offset_ms
        timed = (*parameters, ("recvWindow", self._recv_window), ("timestamp", moment))
        headers = self._credentials.headers()
        if method == "GET":
            return Outgoing(method, path, f"{address}?{self._credentials.sign(encode(timed))}", None, headers)
        # In the body, so that no proxy or server writes the signature into an access log.
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        return Outgoing(method, path, address, self._credentials.sign(encode(timed)), headers)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _code(answer: Answer) -> int:
    """The negative code of a short JSON answer; 0 for anything else."""
    if len(answer.body) > 4096 or not answer.body.lstrip().startswith(b"{"):
        return 0
    error = refusals.read_error(answer)
    return error.code if error is not None and error.code < 0 else 0
