"""Signed requests to one venue: clock, signature, rate limit, retries of reads, and typed errors."""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime

from leverage_nb import interrupts
from leverage_nb.binance import error_codes
from leverage_nb.binance.credentials import Credentials
from leverage_nb.binance.endpoints import EXTEND_LISTEN_KEY, OPEN_LISTEN_KEY, SERVER_TIME, Endpoint
from leverage_nb.binance.http import Answer, Outgoing, Transport
from leverage_nb.binance.messages import ListenKey, ServerTime, decode
from leverage_nb.binance.rate_limit import Limiter
from leverage_nb.binance.signing import encode
from leverage_nb.binance.venues import Venue
from leverage_nb.errors import (
    ForkedProcess,
    InvalidInput,
    LeverageError,
    LoggedOut,
    NoAnswer,
    NotConnected,
    RateLimited,
    ReadOnly,
    UnexpectedAnswer,
)
from leverage_nb.formatting import moment

Parameters = Sequence[tuple[str, str | int]]

# Binance's newest API schema allows no more; the older documentation page names no maximum.
MAX_RECV_WINDOW = 60_000

# Seconds. A change without an answer is verified after it, so a longer grace would only delay the report.
LONGEST_GRACE = 60

# If the clocks differ by more than this, one of them is wrong, and nothing is signed with the exchange's time.
MAX_CLOCK_DIFFERENCE_MS = 15 * 60 * 1000

# A read that failed with one of these codes may succeed when it is repeated.
_PASSING_CODES = {-1000, -1001, -1006, -1007, -1008}


@dataclass(frozen=True)
class Reply:
    """The answer to a read, and the time at which its request was sent.

    Attributes:
        body: The body as received.
        sent_at: The time of sending, in local time. The answer is at least as new, unless the exchange itself lags.
        sent: The same time by ``time.monotonic()``.
    """

    body: bytes
    sent_at: datetime
    sent: float


class RestClient:
    """Send requests to one venue with one API key.

    Args:
        venue: The venue, with its address.
        credentials: The API key.
        timeout: Seconds to connect, and seconds for a whole answer.
        recv_window: Milliseconds for which the exchange may accept a signed request.
        weight_share: The part of the rate limit that all clients of ``limiter`` together may use.
        profile: The user's name for the account.
        grace: Seconds beyond ``recv_window`` in which the exchange may still execute a request that it accepted in
            time, and by which a read may be out of date. Binance documents neither; both are assumed.
        limiter: The rate limit that clients of the same exchange share; None for a limit of its own.
        retry_pauses: Seconds before each repetition of a read that failed with a passing error. Each pause is varied
            by half, so that several programs do not repeat at the same moment.
        clock: Return this machine's time in seconds since the epoch; None for the system clock.
        read_only: Whether :meth:`post`, and so every change, is refused.

    Attributes:
        venue, profile, timeout, recv_window, grace, read_only: The arguments.
        limiter: The rate limit in use.
        identity: The key's fingerprint; the journal identifies the account by it.
        account: Profile and fingerprint, as shown to the user.

    Raises:
        InvalidInput: ``timeout``, ``recv_window`` or ``weight_share`` is out of range.
    """

    def __init__(
        self,
        venue: Venue,
        credentials: Credentials,
        *,
        timeout: float = 10.0,
        recv_window: int = 5000,
        weight_share: float = 0.5,
        profile: str | None = None,
        grace: float = 1.0,
        limiter: Limiter | None = None,
        retry_pauses: Sequence[float] = (0.1, 0.3, 0.6),
        clock: Callable[[], float] | None = None,
        read_only: bool = False,
    ) -> None:
        if not isinstance(timeout, (int, float)) or not 0 < timeout <= 300:
            raise InvalidInput(f"timeout must be in seconds, above 0 and at most 300; got {timeout!r}.")
        if not isinstance(recv_window, int) or not 1 <= recv_window <= MAX_RECV_WINDOW:
            raise InvalidInput(
                f"recv_window must be a whole number of milliseconds from 1 to {MAX_RECV_WINDOW}; got {recv_window!r}."
            )
        if not isinstance(weight_share, (int, float)) or not 0 < weight_share <= 1:
            raise InvalidInput(
                f"weight_share must be a part of the rate limit, above 0 and at most 1; got {weight_share!r}."
            )
        if isinstance(grace, bool) or not isinstance(grace, (int, float)) or not 0 <= grace <= LONGEST_GRACE:
            raise InvalidInput(f"grace must be in seconds, from 0 to {LONGEST_GRACE}; got {grace!r}.")
        self.venue = venue
        self.profile = profile
        self.timeout = float(timeout)
        self.recv_window = recv_window
        self.grace = float(grace)
        self.read_only = bool(read_only)
        self.identity = f"key {credentials.fingerprint}"
        self.account = f"{profile}, {self.identity}" if profile else self.identity
        self.limiter = limiter or Limiter()
        self._weight_share = float(weight_share)
        self._retry_pauses = tuple(retry_pauses)
        self._clock = clock or _system_clock
        self._clock_offset_ms = 0
        self._process = os.getpid()
        self._logged_out = False
        self._credentials = credentials
        self._transport = Transport(venue.rest_url, venue.speaker, timeout)
        self.limiter.join(self, self._weight_share)

    def read(self, endpoint: Endpoint, parameters: Parameters = (), *, within: float | None = None) -> bytes:
        """Send a ``GET`` request and return the body: see :meth:`read_reply`."""
        return self.read_reply(endpoint, parameters, within=within).body

    def read_reply(self, endpoint: Endpoint, parameters: Parameters = (), *, within: float | None = None) -> Reply:
        """Send a ``GET`` request. Repeat it after passing errors; after -1021 compare the clocks first, once.

        Args:
            endpoint: The endpoint.
            parameters: The parameters, in the order in which they are sent.
            within: Seconds for all attempts together; at most, and by default, the client's time-out.

        Raises:
            NotConnected: The request could not leave this machine.
            NoAnswer: No complete answer came in time.
            UnexpectedAnswer: The answer is not what Binance documents.
            RequestRefused: Binance refused the request.
        """
        return interrupts.run(lambda: self._read(endpoint, parameters, within))

    def _read(self, endpoint: Endpoint, parameters: Parameters, within: float | None) -> Reply:
        deadline = time.monotonic() + min(within or self.timeout, self.timeout)
        pauses = iter(self._retry_pauses)
        clocks_compared = False
        while True:
            failure: LeverageError
            try:
                sent: list[tuple[datetime, float]] = []

                def stamp(sent: list[tuple[datetime, float]] = sent) -> int:
                    sent.append((datetime.now().astimezone(), time.monotonic()))
                    return self.time_ms()

                answer = self._exchange(endpoint, parameters, deadline=deadline, stamp=stamp)
            except (NotConnected, NoAnswer) as exc:
                failure, passing = exc, True
            else:
                code = _code(answer)
                if answer.status == 200 and code >= 0:
                    return Reply(answer.body, *sent[0])
                if endpoint.security == "signed" and code == -1021 and not clocks_compared:
                    clocks_compared = True
                    self.compare_clocks(within=_left(deadline))
                    continue
                failure = self.explain(answer, endpoint)
                passing = answer.status >= 500 or answer.status == 408 or code in _PASSING_CODES
            pause = next(pauses, None) if passing else None
            if pause is None or time.monotonic() + pause >= deadline:
                raise failure
            interrupts.pause(pause * random.uniform(0.5, 1.5))  # noqa: S311 - not used for security

    def post(
        self,
        endpoint: Endpoint,
        parameters: Parameters,
        stamp: Callable[[], int] | None = None,
        expires: Callable[[], float] | None = None,
    ) -> Answer:
        """Send a ``POST`` request once and return the answer, of any status.

        Args:
            endpoint: The endpoint.
            parameters: The parameters, in the order in which they are sent.
            stamp: Return the timestamp. Called when a connection is free, immediately before the request is signed
                and sent; an exception that it raises stops the request.
            expires: Return the time, by ``time.monotonic()``, after which the request must not leave. Called after
                ``stamp``.

        Raises:
            ReadOnly, LoggedOut: The client sends no changes, or nothing at all; nothing was sent.
            RateLimited: The rate limit stopped the request; nothing was sent.
            NotConnected: Nothing was sent; ``SentTooLate`` if the request expired before it could leave.
            NoAnswer: The request was sent, and no complete answer came.
            UnexpectedAnswer: The request was sent, and the answer cannot be read.
        """
        if (refusal := self.refusal()) is not None:
            raise refusal
        return interrupts.run(lambda: self._exchange(endpoint, parameters, stamp=stamp, expires=expires))

    def refusal(self) -> LeverageError | None:
        """Return the reason why :meth:`post` sends nothing; None if it sends."""
        if self._logged_out:
            return self._key_removed()
        if not self.read_only:
            return None
        return ReadOnly(
            "This account was opened with read_only=True.",
            hint=f"To change leverage, open it without: {self._connect_call()}",
        )

    def log_out(self) -> None:
        """Send nothing from now on: the user has removed the key."""
        self._logged_out = True

    def _key_removed(self) -> LoggedOut:
        return LoggedOut(
            f"%leverage --logout removed the key of this account ({self.account}). It sends nothing any more.",
            hint=f"To use the {self.venue.name} again, connect with a key: {self._connect_call()}",
        )

    def _connect_call(self) -> str:
        return f"lev.connect({self.venue.name!r}{f', profile={self.profile!r}' if self.profile else ''})"

    def open_listen_key(self) -> str:
        """Return the account's listen key: a new one, or the active one with its validity extended by an hour.

        Raises:
            LeverageError: The request failed.
        """
        return self._read_listen_key(self._request_listen_key(OPEN_LISTEN_KEY), OPEN_LISTEN_KEY)

    def extend_listen_key(self) -> str:
        """Extend the validity of the account's listen key by an hour. Return the key; "" if the answer names none.

        The request names no key: after another program has replaced the key, the new one is extended.

        Raises:
            RequestRefused: The account has no listen key (-1125): it has expired or was deleted.
        """
        body = self._request_listen_key(EXTEND_LISTEN_KEY)
        with suppress(UnexpectedAnswer):  # older documentation shows an empty object
            return self._read_listen_key(body, EXTEND_LISTEN_KEY)
        return ""

    def _request_listen_key(self, endpoint: Endpoint) -> bytes:
        answer = interrupts.run(lambda: self._exchange(endpoint, ()))
        if answer.status == 200 and _code(answer) >= 0:
            return answer.body
        raise self.explain(answer, endpoint)

    def _read_listen_key(self, body: bytes, endpoint: Endpoint) -> str:
        key = decode(ListenKey, body, self.source(endpoint)).listen_key
        self._transport.conceal(key)
        return key

    def time_ms(self) -> int:
        """Return the exchange's time in milliseconds: this machine's time plus the known difference."""
        return self._local_ms() + self._clock_offset_ms

    @property
    def clock_offset_ms(self) -> int:
        """Milliseconds by which the exchange's clock is ahead of this machine's; 0 until they were compared."""
        return self._clock_offset_ms

    def compare_clocks(self, within: float | None = None) -> int:
        """Read the exchange's time and store its difference from this machine's, as of half the round trip.

        Args:
            within: Seconds for the read; at most, and by default, the client's time-out.

        Returns:
            The exchange's time in milliseconds, as of its answer.

        Raises:
            UnexpectedAnswer: The clocks differ by more than 15 minutes. The difference is not used.
        """
        reply = self.read_reply(SERVER_TIME, within=within)
        took_ms = int((time.monotonic() - reply.sent) * 1000)
        server_time = decode(ServerTime, reply.body, self.source(SERVER_TIME)).server_time
        offset = server_time - (self._local_ms() - took_ms // 2)
        if abs(offset) > MAX_CLOCK_DIFFERENCE_MS:
            raise UnexpectedAnswer(
                f"{self.venue.speaker}'s clock and this machine's clock differ by more than 15 minutes.",
                hint="Set this machine's clock. If it is right, the answer did not come from the exchange.",
            )
        self._clock_offset_ms = offset
        return server_time

    def explain(self, answer: Answer, endpoint: Endpoint) -> LeverageError:
        """Return the typed error for an answer that is not a success."""
        error = error_codes.explain(answer, self.venue, endpoint)
        if isinstance(error, RateLimited) and (until := self.limiter.blocked_until):
            error.hint = f"Nothing more is sent before {moment(until)}. Other programs at this address count too."
        return error

    def source(self, endpoint: Endpoint) -> str:
        """Return the origin of an answer, for error messages: "Binance's answer to GET /fapi/v1/time"."""
        return f"{self.venue.speaker}'s answer to {endpoint}"

    def beside(self, rest_url: str, timeout: float) -> RestClient:
        """Return a client that reads with the same key at another address of the same exchange.

        It has a rate limit of its own, and repeats nothing.
        """
        client = RestClient(
            replace(self.venue, rest_url=rest_url),
            self._credentials,
            timeout=timeout,
            recv_window=self.recv_window,
            retry_pauses=(),
            clock=self._clock,
            read_only=True,
        )
        client._clock_offset_ms = self._clock_offset_ms
        return client

    def close(self) -> None:
        """Close the connections."""
        if self._process == os.getpid():  # in a forked process the limiter's lock may be held for ever
            self.limiter.leave(self)
        self._transport.close()

    def _exchange(
        self,
        endpoint: Endpoint,
        parameters: Parameters,
        *,
        deadline: float | None = None,
        stamp: Callable[[], int] | None = None,
        expires: Callable[[], float] | None = None,
    ) -> Answer:
        """Send one request, within the rate limit and over a free connection.

        Raises:
            ForkedProcess: The client belongs to the parent process.
            LoggedOut: The key was removed.
        """
        if self._process != os.getpid():
            raise ForkedProcess
        if self._logged_out:
            raise self._key_removed()

        def left() -> float:
            return self.timeout if deadline is None else _left(deadline)

        self.limiter.admit(endpoint.weight, left(), self._weight_share)
        used, has_left = None, True
        try:
            with self._transport.slot(left()):
                outgoing = self._outgoing(endpoint, parameters, stamp() if stamp else self.time_ms())
                latest = math.inf if deadline is None else deadline
                answer = self._transport.deliver(outgoing, left(), expires() if expires else None, latest)
                used = answer.used_weight
        except NotConnected:
            has_left = False
            raise
        finally:
            self.limiter.note(endpoint.weight, used, left=has_left)
        error = error_codes.explain(answer, self.venue, endpoint) if error_codes.is_rate_limit(answer) else None
        if isinstance(error, RateLimited):
            self.limiter.block(error)
        return answer

    def _outgoing(self, endpoint: Endpoint, parameters: Parameters, timestamp: int) -> Outgoing:
        """Return a request that is ready to leave."""
        method, path, address = endpoint.method, endpoint.path, self.venue.rest_url + endpoint.path
        if endpoint.security != "signed":
            query = encode(parameters)
            headers = self._credentials.headers() if endpoint.security == "key" else {}
            return Outgoing(method, path, f"{address}?{query}" if query else address, None, headers)
        # No variable holds the key while the signature is made: a verbose traceback prints the variables of frames.
        signed = self._sign((*parameters, ("recvWindow", self.recv_window), ("timestamp", timestamp)))
        if method == "GET":
            return Outgoing(method, path, f"{address}?{signed}", None, self._credentials.headers())
        # In the body: proxies and servers write URLs into access logs.
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return Outgoing(method, path, address, signed, self._credentials.headers() | form)

    def _sign(self, parameters: Parameters) -> str:
        """Sign parameters; raise any failure here, outside the frames that hold the secret."""
        failure: BaseException
        try:
            return self._credentials.sign(encode(parameters))
        except BaseException as exc:  # noqa: BLE001 - see above
            failure = exc.with_traceback(None)
            failure.__context__ = failure.__cause__ = None
        raise failure

    def _local_ms(self) -> int:
        return int(self._clock() * 1000)


def _system_clock() -> float:
    return time.time_ns() / 1e9


def _left(deadline: float) -> float:
    return max(0.01, deadline - time.monotonic())


def _code(answer: Answer) -> int:
    """Return the negative code of a short JSON answer; 0 for any other answer."""
    if len(answer.body) > 4096 or not answer.body.lstrip().startswith(b"{"):
        return 0
    error = error_codes.read_error(answer)
    return error.code if error is not None and error.code < 0 else 0
