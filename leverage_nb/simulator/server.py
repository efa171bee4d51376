"""The simulator's front door: HTTP and WebSocket on one loopback port, in a thread of its own (tornado)."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

from leverage_nb.simulator.account import Account
from leverage_nb.simulator.admission import Request
from leverage_nb.simulator.exchange import Exchange
from leverage_nb.simulator.market import load_market

# Not secrets: they open nothing but this simulator, and the same start gives the same answers.
API_KEY = hashlib.sha256(b"leverage_nb simulator key").hexdigest()
API_SECRET = hashlib.sha256(b"leverage_nb simulator secret").hexdigest()


class _SignatureScrubber(logging.Filter):
    """tornado warns of malformed bodies and requests with the whole URL, which may hold a signature or a key."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if "?" in message:
            record.msg, record.args = message.split("?", 1)[0] + "?...", None
        return True


for _name in ("tornado.general", "tornado.access", "tornado.application"):
    logging.getLogger(_name).addFilter(_SignatureScrubber())


class Simulator:
    """A running exchange simulator. Use it as a context manager, or call :meth:`close`.

    Args:
        port: Loopback port; 0 takes a free one.
        account: The account it opens with, in the shape of ``market.json``'s ``account``; that one when None.
        weight_limit: Request weight a minute before it answers 429.
        clock: Seconds since the epoch; what the simulator takes for the time.

    Attributes:
        rest_url: ``http://127.0.0.1:<port>``.
        stream_url: ``ws://127.0.0.1:<port>``; user data at ``/private/ws/<listenKey>``.
        api_key: The one key it knows.
        api_secret: The key's HMAC secret.
        exchange: The exchange behind the door, for looking at what really happened.

    Raises:
        OSError: The port is taken.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        account: dict[str, Any] | None = None,
        weight_limit: int = 2400,
        clock: Callable[[], float] = time.time,
    ) -> None:
        market = load_market()
        self.api_key, self.api_secret = API_KEY, API_SECRET
        self.exchange = Exchange(
            market,
            Account(market, account or market.account),
            api_key=self.api_key,
            api_secret=self.api_secret,
            weight_limit=weight_limit,
            clock=clock,
        )
        sockets = bind_sockets(port, address="127.0.0.1")
        self.port: int = sockets[0].getsockname()[1]
        self.rest_url = f"http://127.0.0.1:{self.port}"
        self.stream_url = f"ws://127.0.0.1:{self.port}"
        started = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(sockets, started)), name="leverage_nb simulator", daemon=True
        )
        self._thread.start()
        started.wait()

    async def _serve(self, sockets: list[Any], started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        application = Application(
            [
                (r"/private/(?:ws/(?P<path_key>[^/]+)|ws|stream)", _UserData, {"exchange": self.exchange}),
                (r".*", _Rest, {"exchange": self.exchange}),
            ],
            log_function=lambda handler: None,  # its access log would hold signed URLs
        )
        server = HTTPServer(application)
        server.add_sockets(sockets)
        started.set()
        await self._stop.wait()
        server.stop()
        await server.close_all_connections()

    def close(self) -> None:
        """Stop serving and drop open connections. Safe to call twice."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(timeout=5)

    def __enter__(self) -> Simulator:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Simulator {self.rest_url}>"


class _Rest(RequestHandler):
    """Hands every request, bytes untouched, to the exchange."""

    def initialize(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def _handle(self) -> None:
        request = Request(
            method=self.request.method or "",
            path=self.request.path,
            query=self.request.query,
            body=self.request.body.decode("utf-8", "replace"),
            api_key=self.request.headers.get("X-MBX-APIKEY"),
            address=self.request.remote_ip or "",
        )
        answer = self._exchange.handle(request)
        self.clear_header("Server")
        self.set_status(answer.status)
        for name, value in answer.headers.items():
            self.set_header(name, value)
        self.finish(answer.body)

    get = post = put = delete = patch = head = options = _handle

    def check_etag_header(self) -> bool:
        return False  # Binance sends no 304


class _UserData(WebSocketHandler):
    """The user-data stream: ``/private/ws/<key>``, ``/private/ws?listenKey=`` and ``/private/stream?listenKey=``."""

    def initialize(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._unsubscribe: Callable[[], None] | None = None

    def prepare(self) -> None:
        key = self.path_kwargs.get("path_key") or self.get_query_argument("listenKey", "")
        if not self._exchange.admits_stream(key):
            self.set_status(400)
            self.finish({"code": -1125, "msg": "This listenKey does not exist."})

    def open(self, path_key: str | None = None) -> None:
        names = self.get_query_argument("events", "")
        wanted = set(names.split("/")) if names else None
        wrapped = self.request.path == "/private/stream"

        def forward(event: dict[str, Any]) -> None:
            if wanted is None or event["e"] in wanted:
                content = {"stream": self._exchange.listen_key, "data": event} if wrapped else event
                self.write_message(json.dumps(content, ensure_ascii=False))

        self._unsubscribe = self._exchange.subscribe(forward)

    def on_message(self, message: str | bytes) -> None:
        pass  # subscriptions are named in the address

    def on_close(self) -> None:
        if self._unsubscribe:
            self._unsubscribe()

    def check_origin(self, origin: str) -> bool:
        return True  # loopback only; a local page may listen too
