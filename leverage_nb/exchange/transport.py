"""Bytes out, bytes back: one keep-alive ``requests`` session with a total time budget and honest errors.

Two things ``requests`` does not do by itself, and a change of leverage needs:

* Its read timeout bounds each read, so an answer dripped a byte at a time never times out. Here the read
  timeout is the budget of the whole answer, status line to last byte.
* It does not tell whether any of the request had left when something failed. Here the connection knows.
"""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from urllib.parse import unquote

import requests
from requests.utils import get_environ_proxies

from leverage_nb.errors import LeverageError, NoAnswer, NotConnected
from leverage_nb.exchange.connection import Adapter, departure
from leverage_nb.exchange.venues import is_loopback


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

    def scrub(self, answer: bytes) -> bytes:
        """An answer without this request's key and signature: a page in between may repeat what it was sent."""
        signature = (self.body or self.url).rpartition("signature=")[2]
        for secret in (self.headers.get("X-MBX-APIKEY", ""), signature, unquote(signature)):
            if len(secret) >= 32 and secret.encode() in answer:
                answer = answer.replace(secret.encode(), b"***")
        return answer


class Transport:
    """Sends requests over connections that stay open.

    Args:
        rest_url: The venue's address; decides whether the environment's proxies apply (never on loopback).
        speaker: Who answers there, for error messages.
        timeout: Seconds to connect, and seconds for the whole answer.
        connections: How many may be open at once.
    """

    def __init__(self, rest_url: str, speaker: str, timeout: float, connections: int = 12) -> None:
        self._speaker = speaker
        self._host = rest_url.split("//", 1)[1]
        self._timeout = timeout
        self._connections = connections
        self._proxies = {} if is_loopback(rest_url) else get_environ_proxies(rest_url)
        self._open()

    def _open(self) -> None:
        session = _Session()
        session.trust_env = False  # no ~/.netrc: it would add an Authorization header
        session.proxies.update(self._proxies)
        session.verify = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        session.headers["Accept"] = "application/json"
        adapter = Adapter(pool_connections=2, pool_maxsize=self._connections, max_retries=0)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        self._session, self._process = session, os.getpid()
        self._slots = threading.BoundedSemaphore(self._connections)

    @contextmanager
    def slot(self, patience: float | None = None) -> Iterator[None]:
        """Wait for a free connection; sign inside, so that no signature grows old waiting.

        Args:
            patience: Seconds to wait; the time budget when None.

        Raises:
            NotConnected: All connections stayed busy.
        """
        patience = self._timeout if patience is None else patience
        if self._process != os.getpid():
            # After a fork parent and child hold the same sockets, and would read each other's answers.
            self._inherited = self._session  # kept, not closed: it is the parent's
            self._open()
        slots = self._slots
        if not slots.acquire(timeout=patience):
            raise NotConnected(
                f"All {self._connections} connections to {self._host} stayed busy for {patience:.3g} s.",
                hint="Send less at the same time.",
            )
        try:
            yield
        finally:
            slots.release()

    def deliver(self, outgoing: Outgoing, budget: float | None = None) -> Answer:
        """Send once and read the whole answer. Redirects are not followed, nothing is sent again.

        Args:
            outgoing: What to send.
            budget: Seconds to connect, and seconds for the answer, where that is less than the client's time-out.

        Raises:
            NotConnected: Nothing of the request left this machine.
            NoAnswer: It left, wholly or in part, and no complete answer came back in time.
        """
        failure: LeverageError | None = None
        budget = self._timeout if budget is None else min(budget, self._timeout)
        departure.left = False
        try:
            response = self._session.request(
                outgoing.method,
                outgoing.url,
                data=outgoing.body,
                headers=outgoing.headers,
                timeout=(budget, budget),
                allow_redirects=False,
            )
            used = response.headers.get("X-MBX-USED-WEIGHT-1M", "")
            body = outgoing.scrub(response.content)
            return Answer(response.status_code, body, _retry_after(response), _number(used))
        except Exception as exc:  # noqa: BLE001 - whatever it was: left or not left is what must be told
            failure = self._explain(exc, budget)
        except KeyboardInterrupt:
            pass
        del outgoing  # a verbose traceback prints what a frame still holds
        # Raised out here, so that neither chain nor frames lead to the signed request inside requests.
        raise failure or KeyboardInterrupt

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _explain(self, exc: Exception, budget: float) -> LeverageError:
        kinds = _kinds(exc)
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


def _kinds(exc: BaseException | None) -> set[str]:
    """Class names along an exception's chain: causes, contexts, wrapped reasons and arguments."""
    kinds: set[str] = set()
    waiting: list[BaseException | None] = [exc]
    seen: set[int] = set()
    while waiting:
        link = waiting.pop()
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        kinds.update(kind.__name__ for kind in type(link).__mro__)
        nested = [getattr(link, "reason", None), *link.args]
        waiting += [link.__cause__, link.__context__, *(n for n in nested if isinstance(n, BaseException))]
    return kinds


def _retry_after(response: requests.Response) -> float | None:
    seconds = _number(response.headers.get("Retry-After", ""))
    return None if seconds is None else float(seconds)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


class _Session(requests.Session):
    """A session to which no answer is a redirect: requests would read ``Location`` even where it must not follow."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        return None
