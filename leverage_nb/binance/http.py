"""Bytes out, bytes back: one keep-alive ``requests`` session with a total time budget, a size limit and honest errors.

What ``requests`` does not do by itself, and a change of leverage needs:

* Its read timeout bounds each read, so an answer dripped a byte at a time never times out. Here the read
  timeout is the budget of the whole answer, status line to last byte.
* It does not say whether any of the request had left when something failed. Here the connection knows.
* It decompresses whatever comes, to any size. Here one layer of gzip is decompressed, up to a limit.
"""

from __future__ import annotations

import html
import logging
import os
import re
import threading
import time
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import unquote

import requests
from requests.utils import get_environ_proxies

from leverage_nb.binance.connection import Adapter, set_departure
from leverage_nb.binance.venues import is_loopback
from leverage_nb.errors import LeverageError, NoAnswer, NotConnected, UnexpectedAnswer
from leverage_nb.interrupts import Departure, StoppedBeforeLeaving, current

# The largest answer of Binance is exchangeInfo, with about 2 MB.
MAX_ANSWER = 16 * 1024 * 1024
_PIECE = 64 * 1024
# Larger answers are data, never shown in a message.
_SCRUBBED_IN_FULL = 256 * 1024
_REMEMBERED = 1024
# A secret is recognised by so many characters at its start.
_RECOGNISED_BY = 10


class _QueryScrubber(logging.Filter):
    """Cuts queries out of what urllib3 logs, some of it as warnings: a signed read carries its signature there."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if "?" in message:
            record.msg, record.args = _QUERY.sub("?...", message), None
        record.exc_info = record.exc_text = None  # its frames and words lead to the request
        return True


_QUERY = re.compile(r"\?[^\s\"')>]*")

for _name in ("urllib3.connectionpool", "urllib3.connection", "urllib3.util.retry", "urllib3.response"):
    logging.getLogger(_name).addFilter(_QueryScrubber())


class SentTooLate(NotConnected):
    """A request was stopped before it left, because what it rests on had grown old while it waited."""


@dataclass(frozen=True)
class Answer:
    """What came back, whatever its status."""

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
        """The key and the signature in it, decoded."""
        signature = (self.body or self.url).rpartition("signature=")[2]
        return [secret for secret in (self.headers.get("X-MBX-APIKEY", ""), unquote(signature)) if len(secret) >= 32]


class Scrubber:
    """Removes keys and signatures from answers: a page in between may repeat what it was sent, in any spelling."""

    def __init__(self) -> None:
        self._secrets: OrderedDict[str, str] = OrderedDict()  # by the characters that each is recognised by
        self._lock = threading.Lock()

    def remember(self, secrets: list[str]) -> None:
        """Recognise these from now on, and the last thousand before them."""
        with self._lock:
            for secret in secrets:
                self._secrets[secret[:_RECOGNISED_BY].lower()] = secret
                self._secrets.move_to_end(secret[:_RECOGNISED_BY].lower())
            while len(self._secrets) > _REMEMBERED:
                self._secrets.popitem(last=False)

    def scrub(self, body: bytes, sent: list[str]) -> bytes:
        """Return an answer without them; without its text, where one is spelled in another way than it was sent.

        Args:
            body: The answer.
            sent: The secrets of the request that it answers.
        """
        if len(body) > _SCRUBBED_IN_FULL:
            return _without(body, sent)
        found = self._find(body)
        if not found:
            return body
        body = _without(body, found)
        if not self._find(body):
            return body
        code = re.search(rb'"code"\s*:\s*(-?\d{1,6})\b', body)
        removed = b'"msg": "(text removed: it repeated an API key or a signature)"'
        return b'{"code": ' + (code[1] if code else b"0") + b", " + removed + b"}"

    def _find(self, body: bytes) -> list[str]:
        """The secrets that an answer repeats, in any spelling, wholly or from their start."""
        found = []
        for run in _RUN.findall(_plain(body.decode("utf-8", "replace"))):
            for place in range(len(run) - _RECOGNISED_BY + 1):
                secret = self._secrets.get(run[place : place + _RECOGNISED_BY])
                if secret is not None:
                    found.append(secret)
        return found

    def __repr__(self) -> str:
        return "<Scrubber>"


# What keys and signatures are made of, once it is in small letters.
_RUN = re.compile(rf"[a-z0-9+/=_-]{{{_RECOGNISED_BY},}}")


def _without(body: bytes, secrets: list[str]) -> bytes:
    for secret in secrets:
        body = body.replace(secret.encode(), b"***")
    return body


_ESCAPE = re.compile(r"\\u([0-9a-fA-F]{4})")


def _plain(text: str) -> str:
    """Text with the escapes of JSON, HTML and URLs resolved, in small letters."""
    for _ in range(3):
        before = text
        text = _ESCAPE.sub(lambda found: chr(int(found[1], 16)), text.replace("\\/", "/"))
        text = unquote(html.unescape(text))
        if text == before:
            break
    return text.lower()


class Transport:
    """Sends requests over connections that stay open.

    Args:
        rest_url: The venue's address; decides whether the environment's proxies apply (never on loopback).
        speaker: Who answers there, for error messages.
        timeout: Seconds to connect, and seconds for the whole answer.
        connections: How many may be open at once.
    """

    def __init__(self, rest_url: str, speaker: str, timeout: float, connections: int = 24) -> None:
        self._speaker = speaker
        self._host = rest_url.split("//", 1)[1]
        self._timeout = timeout
        self._connections = connections
        self._slots = threading.BoundedSemaphore(connections)
        self._scrubber = Scrubber()
        session = _Session()
        session.trust_env = False  # no ~/.netrc: it would add an Authorization header
        session.proxies.update({} if is_loopback(rest_url) else get_environ_proxies(rest_url))
        session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.headers["Accept"] = "application/json"
        session.headers["Accept-Encoding"] = "gzip"
        adapter = Adapter(pool_connections=2, pool_maxsize=connections, max_retries=0)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        self._session = session

    @contextmanager
    def slot(self, patience: float | None = None) -> Iterator[None]:
        """Wait for a free connection; sign inside, so that no signature grows old waiting.

        Args:
            patience: Seconds to wait; the time budget when None.

        Raises:
            NotConnected: All connections stayed busy.
        """
        patience = self._timeout if patience is None else patience
        if not self._slots.acquire(timeout=patience):
            raise NotConnected(
                f"All {self._connections} connections to {self._host} stayed busy for {patience:.3g} s.",
                hint="Send less at the same time.",
            )
        try:
            yield
        finally:
            self._slots.release()

    def deliver(self, outgoing: Outgoing, budget: float | None = None, expires: float | None = None) -> Answer:
        """Send once and read the whole answer. Redirects are not followed, nothing is sent again.

        Args:
            outgoing: What to send.
            budget: Seconds to connect, and seconds for the answer, where that is less than the client's time-out.
            expires: When it must not leave any more, by ``time.monotonic()``.

        Raises:
            NotConnected: Nothing of the request left this machine; ``SentTooLate`` where it expired before.
            NoAnswer: It left, wholly or in part, and no complete answer came back in time.
            UnexpectedAnswer: It left, and the answer is too large or encoded in another way than gzip.
        """
        failure: BaseException
        budget = self._timeout if budget is None else min(budget, self._timeout)
        departure = Departure(expires)
        set_departure(departure)
        self._scrubber.remember(outgoing.secrets())
        try:
            with current().watching(departure):
                return self._exchange(outgoing, budget)
        except LeverageError as exc:
            failure = exc.with_traceback(None)
        except Exception as exc:  # noqa: BLE001 - whatever it was: left or not left is what must be known
            failure = self._explain(exc, budget, departure)
        except BaseException as exc:  # noqa: BLE001 - its frames hold the signed request
            failure = exc.with_traceback(None)
            failure.__context__ = failure.__cause__ = None
        del outgoing  # a verbose traceback prints what a frame still holds
        # Raised out here, so that neither chain nor frames lead to the signed request inside requests.
        raise failure

    def conceal(self, secret: str) -> None:
        """Remove one more secret from answers, as the listen key from the answers to other requests."""
        self._scrubber.remember([secret])

    def close(self) -> None:
        """Close the connections."""
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
        # The answer to a request for the listen key is the one that names it rightly.
        if not (outgoing.path.endswith("/listenKey") and response.status_code == 200):
            body = self._scrubber.scrub(body, outgoing.secrets())
        used = response.headers.get("X-MBX-USED-WEIGHT-1M", "")
        return Answer(response.status_code, body, _retry_after(response), _number(used))

    def _read_body(self, response: requests.Response) -> bytes:
        """Read an answer, decompressed, up to the size limit."""
        encoding = response.headers.get("Content-Encoding", "").strip().lower()
        if encoding not in {"", "identity", "gzip"}:
            raise UnexpectedAnswer(
                f"{self._speaker} answered HTTP {response.status_code} in an encoding that was not asked for.",
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
                    f"{MAX_ANSWER // 1024 // 1024} MB. The answer was not read to its end.",
                    http_status=response.status_code,
                )
        if unzip is not None and body and not unzip.eof:
            raise NoAnswer(f"{self._speaker}'s answer ended early.")
        return bytes(body)

    def _explain(self, exc: Exception, budget: float, departure: Departure) -> LeverageError:
        kinds = _kinds(exc)
        stopped = next((link for link in _chain(exc) if isinstance(link, StoppedBeforeLeaving)), None)
        if stopped is not None and stopped.expired:
            return SentTooLate("The request could not leave in time: the connection was too slow.")
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
        return NoAnswer(f"The connection to {self._host} broke before an answer had come.")


# Names along the chain of an exception, most telling first: what happened, and what to do.
_BEFORE_LEAVING = (
    ("NameResolutionError", "its name does not resolve", "Check the network and the address."),
    ("ProxyError", "the proxy refused or broke the connection", "Check HTTPS_PROXY and the proxy."),
    ("SSLError", "its certificate was not accepted", "A proxy in between may need REQUESTS_CA_BUNDLE."),
    ("SSLCertVerificationError", "its certificate was not accepted", "Check REQUESTS_CA_BUNDLE."),
    # Before the time-outs: urllib3 derives it from one.
    ("NewConnectionError", "the connection was refused", "Check that it is running, and the address."),
    ("ConnectTimeout", "no connection within the time budget", "Check the network, firewall and proxy."),
    ("ConnectTimeoutError", "no connection within the time budget", "Check the network, firewall and proxy."),
)


def _chain(exc: BaseException | None) -> Iterator[BaseException]:
    """Every exception that led to one: causes, contexts, wrapped reasons and arguments."""
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
    """Class names along an exception's chain."""
    return {kind.__name__ for link in _chain(exc) for kind in type(link).__mro__}


def _retry_after(response: requests.Response) -> float | None:
    """Seconds that ``Retry-After`` names, as a number or as a date; None where it names none."""
    text = response.headers.get("Retry-After", "").strip()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", text):
        return float(text)
    with suppress(ValueError, TypeError, OverflowError, OSError):
        return max(0.0, parsedate_to_datetime(text[:100]).timestamp() - time.time())
    return None


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


class _Session(requests.Session):
    """A session to which no answer is a redirect: requests would read ``Location`` even where it must not follow."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None
