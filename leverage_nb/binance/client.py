"""Signed requests to one venue: the clock, the signature, the rate limit, and typed errors."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from leverage_nb import interrupts
from leverage_nb.binance import error_codes
from leverage_nb.binance.credentials import Credentials
from leverage_nb.binance.http import Answer, Outgoing, Transport
from leverage_nb.binance.messages import ListenKey, ServerTime, decode
from leverage_nb.binance.rate_limit import Limiter
from leverage_nb.binance.signing import encode
from leverage_nb.binance.venues import Venue
from leverage_nb.errors import (
    ForkedProcess,
    InvalidInput,
    LeverageError,
    NoAnswer,
    NotConnected,
    RateLimited,
    UnexpectedAnswer,
)
from leverage_nb.formatting import moment

Parameters = Sequence[tuple[str, str | int]]
# What Binance wants of an endpoint: nothing, the key, or the key and a signature.
Security = Literal["none", "key", "signed"]

# Beyond this Binance's newest schema refuses; its older page names no maximum.
MAX_RECV_WINDOW = 60_000

# Request weights by Binance's endpoint pages; what is not named weighs 1.
_WEIGHTS = {
    "/fapi/v1/symbolConfig": 5,
    "/fapi/v1/accountConfig": 5,
    "/fapi/v3/positionRisk": 5,
    "/fapi/v3/account": 5,
    "/fapi/v3/balance": 5,
}

# Further apart than this one of the two clocks is wrong by so much that nothing may be signed with it.
MAX_CLOCK_DIFFERENCE_MS = 15 * 60 * 1000

# A read that fails in passing is tried again after about these seconds, within its time budget.
_PAUSES = (0.1, 0.3, 0.6)
_PASSING_CODES = {-1000, -1001, -1006, -1007, -1008}

_LISTEN_KEY = "/fapi/v1/listenKey"
_PORTFOLIO_MARGIN_PATH = "/papi/v1/um/leverageBracket"


@dataclass(frozen=True)
class Reply:
    """The answer to a read, and when the request for it was sent.

    Attributes:
        body: As it came.
        sent_at: In local time. The answer is not older than this, unless the exchange itself is behind.
        sent: The same by ``time.monotonic()``.
    """

    body: bytes
    sent_at: datetime
    sent: float


class RestClient:
    """Speaks to one venue with one key.

    Args:
        venue: Where, with its address.
        credentials: Whose key.
        timeout: Seconds to connect, and seconds for a whole answer.
        recv_window: Milliseconds for which the exchange may still act on a signed request.
        weight_share: The part of the address's rate limit that all accounts of this process together may use.
        profile: What the user calls the account.
        grace: Seconds beyond ``recv_window`` in which the exchange may still execute a request that it accepted in
            time, and by which a read may be behind. Binance documents neither; both are assumed.

    Attributes:
        venue: Where.
        profile: As given.
        timeout: As given.
        recv_window: As given.
        grace: As given.
        identity: Whose key it is, as a fingerprint: the journal identifies the account by it.
        account: The same with the profile, as it is shown.
        limiter: The rate limit that all accounts at this address share.

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
    ) -> None:
        if not isinstance(timeout, (int, float)) or not 0 < timeout <= 300:
            raise InvalidInput(f"timeout is in seconds, above 0 and at most 300; got {timeout!r}.")
        if not isinstance(recv_window, int) or not 1 <= recv_window <= MAX_RECV_WINDOW:
            raise InvalidInput(f"recv_window is in whole milliseconds, 1 to {MAX_RECV_WINDOW}; got {recv_window!r}.")
        if not isinstance(weight_share, (int, float)) or not 0 < weight_share <= 1:
            raise InvalidInput(
                f"weight_share is a part of the rate limit, above 0 and at most 1; got {weight_share!r}."
            )
        self.venue = venue
        self.profile = profile
        self.timeout = float(timeout)
        self.recv_window = recv_window
        self.grace = float(grace)
        self.identity = f"key {credentials.fingerprint}"
        self.account = f"{profile}, {self.identity}" if profile else self.identity
        self._process = os.getpid()
        self._credentials = credentials
        self._transport = Transport(venue.rest_url, venue.speaker, timeout)
        self._clock_offset_ms = 0
        self._portfolio_margin: bool | None = None
        self._weight_share = float(weight_share)
        self.limiter = limiter or Limiter()
        self.limiter.join(self, self._weight_share)

    def read(
        self, path: str, parameters: Parameters = (), *, signed: bool = True, within: float | None = None
    ) -> bytes:
        """``GET`` a resource: see :meth:`read_reply`."""
        return self.read_reply(path, parameters, signed=signed, within=within).body

    def read_reply(
        self, path: str, parameters: Parameters = (), *, signed: bool = True, within: float | None = None
    ) -> Reply:
        """``GET`` a resource. What fails in passing is tried again; on -1021 the clock is compared first, once.

        Args:
            path: The endpoint.
            parameters: In the order they are sent.
            signed: Whether the endpoint wants key and signature.
            within: Seconds for it all, where that is less than the client's time-out.

        Raises:
            NotConnected, NoAnswer, UnexpectedAnswer, RequestRefused: As they say.
        """
        return interrupts.run(lambda: self._read(path, parameters, signed=signed, within=within))

    def _read(self, path: str, parameters: Parameters, *, signed: bool, within: float | None) -> Reply:
        deadline = time.monotonic() + min(within or self.timeout, self.timeout)
        pauses = iter(_PAUSES)
        clocks_compared = False
        while True:
            failure: LeverageError
            try:
                security: Security = "signed" if signed else "none"
                sent: list[tuple[datetime, float]] = []

                def stamp(sent: list[tuple[datetime, float]] = sent) -> int:
                    sent.append((datetime.now().astimezone(), time.monotonic()))
                    return self.time_ms()

                answer = self._exchange("GET", path, parameters, security=security, deadline=deadline, stamp=stamp)
            except (NotConnected, NoAnswer) as exc:
                failure, passing = exc, True
            else:
                code = _code(answer)
                if answer.status == 200 and code >= 0:
                    return Reply(answer.body, *sent[0])
                if signed and code == -1021 and not clocks_compared:
                    clocks_compared = True
                    self.compare_clocks(within=_left(deadline))
                    continue
                failure = self.explain(answer, f"GET {path}")
                passing = answer.status >= 500 or answer.status == 408 or code in _PASSING_CODES
            pause = next(pauses, None) if passing else None
            if pause is None or time.monotonic() + pause >= deadline:
                raise failure
            interrupts.pause(pause * random.uniform(0.5, 1.5))  # noqa: S311 - keeps programs apart, hides nothing

    def post(
        self,
        path: str,
        parameters: Parameters,
        stamp: Callable[[], int] | None = None,
        expires: Callable[[], float] | None = None,
    ) -> Answer:
        """``POST`` a signed form, once, and return whatever was answered.

        Args:
            path: The endpoint.
            parameters: In the order they are sent.
            stamp: Called as the last thing before the request is signed and leaves; returns its timestamp. What it
                raises stops the request.
            expires: Called after ``stamp``; returns when the request must not leave any more, by ``time.monotonic()``.

        Raises:
            RateLimited: It was held back; nothing left.
            NotConnected: Nothing left; ``SentTooLate`` where it expired before.
            NoAnswer: It left, and no complete answer came.
            UnexpectedAnswer: It left, and the answer cannot be read.
        """
        return interrupts.run(
            lambda: self._exchange("POST", path, parameters, security="signed", stamp=stamp, expires=expires)
        )

    def open_listen_key(self) -> str:
        """The account's listen key, new or extended by an hour (``POST /fapi/v1/listenKey``).

        Raises:
            LeverageError: It could not be had.
        """
        body = self._with_key("POST")
        key = decode(ListenKey, body, f"{self.venue.speaker}'s answer to POST {_LISTEN_KEY}").listen_key
        self._transport.conceal(key)
        return key

    def keep_listen_key(self) -> None:
        """Extend the listen key by an hour (``PUT /fapi/v1/listenKey``).

        Raises:
            RequestRefused: -1125: it has expired.
        """
        self._with_key("PUT")

    def _with_key(self, method: str) -> bytes:
        """A request for the listen key, which names the key and is not signed."""
        answer = interrupts.run(lambda: self._exchange(method, _LISTEN_KEY, (), security="key"))
        if answer.status == 200 and _code(answer) >= 0:
            return answer.body
        raise self.explain(answer, f"{method} {_LISTEN_KEY}")

    def time_ms(self) -> int:
        """The exchange's time by this machine's clock, and what is known of the difference."""
        return _now_ms() + self._clock_offset_ms

    @property
    def clock_offset_ms(self) -> int:
        """By how much the exchange's clock is ahead of this machine's, as far as is known."""
        return self._clock_offset_ms

    def compare_clocks(self, within: float | None = None) -> int:
        """Ask the exchange for its time (``GET /fapi/v1/time``), and learn the difference as of mid-way.

        Returns:
            The exchange's time in milliseconds, as of when it answered.

        Raises:
            UnexpectedAnswer: It is more than 15 minutes from this machine's; nothing is signed with such a time.
        """
        reply = self.read_reply("/fapi/v1/time", signed=False, within=within)
        took_ms = int((time.monotonic() - reply.sent) * 1000)
        server_time = decode(ServerTime, reply.body, self.source("/fapi/v1/time")).server_time
        offset = server_time - (_now_ms() - took_ms // 2)
        if abs(offset) > MAX_CLOCK_DIFFERENCE_MS:
            raise UnexpectedAnswer(
                f"{self.venue.speaker}'s clock and this machine's clock are more than 15 minutes apart.",
                hint="Set this machine's clock. If it is right, something between here and the exchange is not.",
            )
        self._clock_offset_ms = offset
        return server_time

    def explain(self, answer: Answer, asked: str) -> LeverageError:
        """The typed error for an answer that is not what was asked for, with all that is known of its cause."""
        error = error_codes.explain(answer, self.venue, asked)
        if error.code == -2015 and self._is_portfolio_margin():
            return error_codes.explain(answer, self.venue, asked, error_codes.PORTFOLIO_MARGIN)
        if isinstance(error, RateLimited) and (until := self.limiter.blocked_until):
            error.hint = f"Nothing more is sent before {moment(until)}. Other programs at this address count too."
        return error

    def source(self, path: str) -> str:
        """Whose answer to what, for error messages."""
        return f"{self.venue.speaker}'s answer to GET {path}"

    def close(self) -> None:
        """Close the connections."""
        self.limiter.leave(self)
        self._transport.close()

    def _exchange(
        self,
        method: str,
        path: str,
        parameters: Parameters,
        *,
        security: Security,
        deadline: float | None = None,
        stamp: Callable[[], int] | None = None,
        expires: Callable[[], float] | None = None,
    ) -> Answer:
        if self._process != os.getpid():
            raise ForkedProcess

        def left() -> float:
            return self.timeout if deadline is None else _left(deadline)

        weight = _WEIGHTS.get(path, 1)
        if security != "key":  # a stream that is ending must not bring a closed client back
            self.limiter.join(self, self._weight_share)  # anew, where the client had been closed
        self.limiter.admit(weight, left())
        used, has_left = None, True
        try:
            with self._transport.slot(left()):
                moment = stamp() if stamp else self.time_ms()
                outgoing = self._outgoing(self.venue.rest_url, method, path, parameters, moment, security)
                answer = self._transport.deliver(outgoing, left(), expires() if expires else None)
                used = answer.used_weight
        except NotConnected:
            has_left = False
            raise
        finally:
            self.limiter.note(weight, used, left=has_left)
        self._heed(answer, f"{method} {path}")
        return answer

    def _heed(self, answer: Answer, asked: str) -> None:
        """Send nothing more for as long as an answer asks for."""
        if error_codes.is_rate_limit(answer):
            error = error_codes.explain(answer, self.venue, asked)
            if isinstance(error, RateLimited):
                self.limiter.block(error)

    def _outgoing(
        self, base: str, method: str, path: str, parameters: Parameters, moment: int, security: Security = "signed"
    ) -> Outgoing:
        """Return a request ready to leave; signed as of ``moment`` where it is to be signed."""
        address = base + path
        if security != "signed":
            query = encode(parameters)
            headers = self._credentials.headers() if security == "key" else {}
            return Outgoing(method, path, f"{address}?{query}" if query else address, None, headers)
        # No name holds the key while the signature is made: a verbose traceback prints what frames hold.
        signed = self._sign((*parameters, ("recvWindow", self.recv_window), ("timestamp", moment)))
        if method == "GET":
            return Outgoing(method, path, f"{address}?{signed}", None, self._credentials.headers())
        # In the body, so that no proxy or server writes the signature into an access log.
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return Outgoing(method, path, address, signed, self._credentials.headers() | form)

    def _sign(self, parameters: Parameters) -> str:
        """Sign parameters; whatever goes wrong is raised out here, away from the frames that hold the secret."""
        failure: BaseException
        try:
            return self._credentials.sign(encode(parameters))
        except BaseException as exc:  # noqa: BLE001 - see above
            failure = exc.with_traceback(None)
            failure.__context__ = failure.__cause__ = None
        raise failure

    def _is_portfolio_margin(self) -> bool:
        """Whether the key opens Binance's API for Portfolio Margin, which is the only way to tell such an account."""
        if self._portfolio_margin is None and self.venue.papi_url:
            transport = Transport(self.venue.papi_url, self.venue.speaker, min(3.0, self.timeout), connections=1)
            asked = self._outgoing(
                self.venue.papi_url, "GET", _PORTFOLIO_MARGIN_PATH, [("symbol", "BTCUSDT")], self.time_ms()
            )
            with suppress(LeverageError), transport.slot():
                answer = transport.deliver(asked)
                self._portfolio_margin = answer.status == 200 and b'"brackets"' in answer.body
            transport.close()
        return bool(self._portfolio_margin)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _left(deadline: float) -> float:
    return max(0.01, deadline - time.monotonic())


def _code(answer: Answer) -> int:
    """The negative code of a short JSON answer; 0 for anything else."""
    if len(answer.body) > 4096 or not answer.body.lstrip().startswith(b"{"):
        return 0
    error = error_codes.read_error(answer)
    return error.code if error is not None and error.code < 0 else 0
