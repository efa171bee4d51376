"""One exchange of bytes over a keep-alive ``requests`` session: deadline, size limit, and whether the request left.

``requests`` lacks three things that a change of leverage needs:

* Its read time-out bounds each read, so an answer that arrives byte by byte never times out. Here the read time-out
  covers the whole answer, from the status line to the last byte.
* It does not report whether any byte of the request had left when an error occurred. Here the connection records it.
* It decompresses answers of any size. Here one layer of gzip is decompressed, up to a limit.
"""

from __future__ import annotations

import logging
import math
import os
import re
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import unquote

import requests
from requests.utils import get_environ_proxies

from leverage_nb.binance.connection import Adapter, set_departure
from leverage_nb.binance.scrub import QueryFilter, Scrubber
from leverage_nb.binance.venues import is_loopback
from leverage_nb.errors import LeverageError, NoAnswer, NotConnected, UnexpectedAnswer
from leverage_nb.interrupts import Departure, StoppedBeforeLeaving, current

# Binance's largest answer is exchangeInfo, about 2 MB.
MAX_ANSWER = 16 * 1024 * 1024
_PIECE = 64 * 1024

# urllib3 logs URLs, some of them as warnings.
for _name in ("urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry", "urllib3.response"):
    logging.getLogger(_name).addFilter(QueryFilter())


class SentTooLate(NotConnected):
    """A request was stopped before it left, because the read that it rests on had become too old."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer of any status.

    Attributes:
        status: The HTTP status.
        body: The body, decompressed and without secrets.
        retry_after: Seconds named by ``Retry-After``; None without that header.
        used_weight: The request weight that this address has used in the current minute; None if not stated.
    """

    status: int
    body: bytes
    retry_after: float | None = None
    used_weight: int | None = None


class Outgoing:
    """A request ready to leave. Its URL and body may hold a signature, so neither is in its repr."""

    __slots__ = ("body", "headers", "method", "path", "url")

    def __init__(self, method: str, path: str, url: str, body: str | None, headers: dict[str, str]) -> None:
        self.method, self.path, self.url, self.body, self.headers = method, path, url, body, headers

    def __repr__(self) -> str:
        return f"<{self.method} {self.path}>"

    def secrets(self) -> list[str]:
        """Return the API key and the signature in it, decoded."""
        signature = (self.body or self.url).rpartition("signature=")[2]
        return [secret for secret in (self.headers.get("X-MBX-APIKEY", ""), unquote(signature)) if len(secret) >= 32]


class Transport:
    """Send requests over connections that are kept open.

    Args:
        rest_url: The venue's address. Proxies of the environment are used, except for loopback addresses.
        speaker: The venue's name in error messages.
        timeout: Seconds to connect, and seconds for a whole answer.
        connections: The largest number of requests under way at once.
    """

    def __init__(self, rest_url: str, speaker: str, timeout: float, connections: int = 24) -> None:
        self._speaker = speaker
        self._host = rest_url.split("//", 1)[1]
        self._timeout = timeout
        self._connections = connections
        # The only bound. urllib3's pool cannot be it: it hands out a connection after the request was signed.
        self._slots = threading.BoundedSemaphore(connections)
        self._scrubber = Scrubber()
        session = _Session()
        session.trust_env = False  # no ~/.netrc: it would add an Authorization header
        session.proxies.update({} if is_loopback(rest_url) else get_environ_proxies(rest_url))
        session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.headers["Accept"] = "application/json"
        session.headers["Accept-Encoding"] = "gzip"
        adapter = Adapter(pool_maxsize=connections, max_retries=0)  # so many are kept open; more would be opened
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        self._session = session
        self._closed = False

    @contextmanager
    def slot(self, patience: float | None = None) -> Iterator[None]:
        """Wait until a connection is free. Sign inside the block, so that no signature ages while it waits.

        Args:
            patience: Seconds to wait; None for the time-out.

        Raises:
            NotConnected: All connections stayed busy.
        """
        patience = self._timeout if patience is None else patience
        if not self._slots.acquire(timeout=patience):
            raise NotConnected(
                f"All {self._connections} connections to {self._host} stayed busy for {patience:.3g} s.",
                hint="Send fewer requests at the same time.",
            )
        try:
            yield
        finally:
            self._slots.release()

    def deliver(
        self,
        outgoing: Outgoing,
        budget: float | None = None,
        expires: float | None = None,
        answer_by: float = math.inf,
    ) -> Answer:
        """Send a request once and read the whole answer. Redirects are not followed.

        Args:
            outgoing: The request.
            budget: Seconds to connect, and seconds for the answer; at most, and by default, the time-out.
            expires: The time, by ``time.monotonic()``, after which the request must not leave.
            answer_by: The time, by ``time.monotonic()``, after which the answer is not awaited, whenever it left.

        Raises:
            NotConnected: Nothing of the request left this machine; ``SentTooLate`` if it had expired.
            NoAnswer: The request left, wholly or in part, and no complete answer came in time.
            UnexpectedAnswer: The request left, and its answer is too large or in an encoding other than gzip.
        """
        failure: BaseException
        budget = self._timeout if budget is None else min(budget, self._timeout)
        departure = Departure(expires)
        set_departure(departure, answer_by)
        self._scrubber.remember(outgoing.secrets())
        try:
            with current().watching(departure):
                return self._exchange(outgoing, budget)
        except LeverageError as exc:
            failure = exc.with_traceback(None)
        except Exception as exc:  # noqa: BLE001 - after any error it must be known whether the request left
            failure = self._explain(exc, budget, departure)
        except BaseException as exc:  # noqa: BLE001 - its frames hold the signed request
            failure = exc.with_traceback(None)
            failure.__context__ = failure.__cause__ = None
        finally:
            if self._closed:
                self._session.close()
        del outgoing  # a verbose traceback prints the variables of each frame
        # Raised here, so that neither the chain nor the frames of the error lead to the signed request.
        raise failure

    def conceal(self, secret: str) -> None:
        """Remove one more secret, such as the listen key, from the answers to all other requests."""
        self._scrubber.remember([secret])

    def close(self) -> None:
        """Close the connections. Requests that follow, as of a preview that outlives its account, keep none open."""
        self._closed = True
        self._session.close()

    def _exchange(self, outgoing: Outgoing, budget: float) -> Answer:
        response = self._session.request(
            outgoing.method,
            outgoing.url,
            data=outgoing.body,
            headers=outgoing.headers,
            timeout=(budget, budget),
            allow_redirects=False,
            stream=True,
        )
        with response:
            body = self._read_body(response)
        # The listen key must stay in the answer to its own request.
        if not (outgoing.path.endswith("/listenKey") and response.status_code == 200):
            body = self._scrubber.scrub(body, outgoing.secrets())
        used = response.headers.get("X-MBX-USED-WEIGHT-1M", "")
        return Answer(response.status_code, body, _retry_after(response), _number(used))

    def _read_body(self, response: requests.Response) -> bytes:
        """Read a body, decompressed, up to the size limit."""
        encoding = response.headers.get("Content-Encoding", "").strip().lower()
        if encoding not in {"", "identity", "gzip"}:
            raise UnexpectedAnswer(
                f"{self._speaker} answered HTTP {response.status_code} in an encoding that was not requested.",
                http_status=response.status_code,
            )
        unzip = zlib.decompressobj(16 + zlib.MAX_WBITS) if encoding == "gzip" else None
        body = bytearray()
        while piece := response.raw.read(_PIECE, decode_content=False):
            if unzip is not None:
                piece = unzip.decompress(piece, MAX_ANSWER + 1 - len(body))
            body += piece
            if len(body) > MAX_ANSWER:
                raise UnexpectedAnswer(
                    f"{self._speaker} answered HTTP {response.status_code} with more than "
                    f"{MAX_ANSWER // 1024 // 1024} MB. The rest was not read.",
                    http_status=response.status_code,
                )
        if unzip is not None and body and not unzip.eof:
            raise NoAnswer(f"{self._speaker}'s answer is incomplete.")
        return bytes(body)

    def _explain(self, exc: Exception, budget: float, departure: Departure) -> LeverageError:
        kinds = _kinds(exc)
        stopped = next((link for link in _chain(exc) if isinstance(link, StoppedBeforeLeaving)), None)
        if stopped is not None and stopped.expired:
            return SentTooLate("The connection was too slow: the request could not leave in time.")
        if stopped is not None:
            return NotConnected("Interrupted before the request left.")
        late = kinds & {"ConnectTimeout", "ReadTimeout", "ReadTimeoutError", "ConnectTimeoutError", "TimeoutError"}
        if not departure.left:
            reason, advice = next(
                ((reason, advice) for name, reason, advice in _BEFORE_LEAVING if name in kinds),
                ("the connection failed", "Check the network and the address."),
            )
            return NotConnected(f"{self._host} could not be reached: {reason}.", hint=advice)
        if late:
            return NoAnswer(f"{self._speaker} sent no complete answer within {budget:.3g} s.")
        return NoAnswer(f"The connection to {self._host} broke before the answer was complete.")


# Exception class names, most specific first, with the reason and the advice.
_BEFORE_LEAVING = (
    # First: the errors of a proxy say nothing of the host behind it.
    ("ProxyError", "the proxy cannot be reached, or it refused or broke the connection", "Check HTTPS_PROXY."),
    ("NameResolutionError", "its name does not resolve", "Check the network and the address."),
    ("SSLError", "its certificate was not accepted", "A proxy in between may need REQUESTS_CA_BUNDLE."),
    ("ConnectionRefusedError", "the connection was refused", "Check that it is running, and the address."),
    # Before the time-outs: urllib3 derives this class from one of them.
    ("NewConnectionError", "no connection could be opened", "Check the network and the address."),
    ("ConnectTimeoutError", "no connection within the time-out", "Check the network, firewall and proxy."),
    ("ReadTimeoutError", "no connection within the time-out", "Check the network, firewall and proxy."),  # of TLS
)


def _chain(exc: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and all that led to it: causes, contexts, wrapped reasons and arguments."""
    waiting: list[BaseException | None] = [exc]
    seen: set[int] = set()
    while waiting:
        link = waiting.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        nested = [getattr(link, "reason", None), *link.args]
        waiting += [link.__cause__, link.__context__, *(n for n in nested if isinstance(n, BaseException))]


def _kinds(exc: BaseException) -> set[str]:
    """Return the class names along an exception's chain."""
    return {kind.__name__ for link in _chain(exc) for kind in type(link).__mro__}


def _retry_after(response: requests.Response) -> float | None:
    """Return the seconds that ``Retry-After`` names, as a number or as a date; None if it names none."""
    text = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        return float(text)
    with suppress(ValueError, TypeError, OverflowError, OSError):
        return max(0.0, parsedate_to_datetime(text[:100]).timestamp() - time.time())
    return None


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


class _Session(requests.Session):
    """A session that treats no answer as a redirect: requests reads ``Location`` even if it must not follow it."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None
