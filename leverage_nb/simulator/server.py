"""The simulator's server: HTTP and WebSocket on one loopback port, in a thread of its own (tornado)."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from decimal import Decimal
from functools import partial
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from leverage_nb.simulator import altered
from leverage_nb.simulator.account import Account, Refused
from leverage_nb.simulator.admission import Request, read_parameters
from leverage_nb.simulator.exchange import Answer, Exchange
from leverage_nb.simulator.faults import Course, Fault, Faults, parse_faults
from leverage_nb.simulator.gate import open_server
from leverage_nb.simulator.market import load_market

STREAM_LIFE = 86_400.0
PROFILES = ("production", "demo")


class _SignatureScrubber(logging.Filter):
    """tornado warns of malformed requests with the whole URL, which may contain a signature or a key."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = record.getMessage()
        if "?" in message:
            record.msg, record.args = message.split("?", 1)[0] + "?...", None
        return True


for _name in ("tornado.general", "tornado.access", "tornado.application"):
    logging.getLogger(_name).addFilter(_SignatureScrubber())


class Simulator:
    """A running exchange simulator. Use it as a context manager, or call :meth:`close`.

    It answers programs on this machine only: a request whose Host is not a loopback address with its port, or that a
    web page of another origin sends, is refused with 403, a body above 64 kB with 413. At most 64 connections are open
    at a time; above that, the one that has waited longest for its next request is closed.

    Args:
        port: Loopback port; 0 takes a free one.
        account: The opening account, in the shape of ``market.json``'s ``account``, which is the default.
        weight_limit: Request weight per minute; above it, the simulator answers 429.
        clock: Returns the simulator's time, in seconds since the epoch.
        seed: Seed of the faults that occur at random.
        portfolio_margin: Whether the account is in Portfolio Margin: ``/fapi`` then refuses its key with -2015 and only
            ``/papi`` serves it; the reverse for any other account.
        profile: Whose behaviour to show where Binance's exchanges differ: "production" or "demo". On demo, which is
            also the testnet, symbolConfig and positionRisk v2 answer a leverage of 0 for every symbol whose leverage
            was never set and that has neither a position nor open orders, until a change of leverage succeeds.
            Reported for demo, with high certainty (https://github.com/nautechsystems/nautilus_trader/pull/4289). Which
            ``maxNotionalValue`` stands beside the 0 is not known; assumed is that of the default, 20x or the symbol's
            maximum if that is lower.
        silent_stream_forms: Forms of a stream's address that connect and deliver nothing: "path" for
            ``/private/ws/<listenKey>``, "query" for ``/private/ws?listenKey=``, "events" for that with ``&events=``,
            "combined" for ``/private/stream?listenKey=``.
        public_key: PEM of an RSA or Ed25519 key whose signatures are accepted instead of HMAC ones.
        api_key: 64 letters and digits; random by default.
        api_secret: 64 letters and digits; random by default.
        patience: Seconds in which a connection must send the head of its next request, and then its body. After that it
            is closed.
        same_margin_type: The code that refuses the margin type that a symbol already has: -4046 as documented, or
            -4067 as reported (https://github.com/binance/binance-connector-python/issues/538).

    Attributes:
        port: The loopback port.
        rest_url: ``http://127.0.0.1:<port>``.
        stream_url: ``ws://127.0.0.1:<port>``; user data at ``/private/ws/<listenKey>``. As on Binance, a wrong
            listen key connects and gets no event.
        silent_stream_forms: As given; a change applies to open streams too.
        api_key: The one key that the simulator accepts.
        api_secret: The key's HMAC secret.
        exchange: The simulated exchange, which shows what was received and executed.

    Raises:
        OSError: The port is in use.
        ValueError: ``api_key`` or ``api_secret`` has another form, ``profile`` another name, or ``same_margin_type``
            another code.
        ImportError: ``public_key`` requires cryptography, of the extra ``keys``.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        account: dict[str, Any] | None = None,
        weight_limit: int = 2400,
        clock: Callable[[], float] = time.time,
        seed: int = 0,
        portfolio_margin: bool = False,
        profile: str = "production",
        silent_stream_forms: Iterable[str] = (),
        public_key: str | None = None,
        api_key: str | None = None,
        api_secret: str | None = None,
        patience: float = 30.0,
        same_margin_type: int = -4046,
    ) -> None:
        if profile not in PROFILES:
            raise ValueError(f"The profile of a simulator is one of {', '.join(PROFILES)}; got {profile!r}.")
        if same_margin_type not in {-4046, -4067}:
            raise ValueError(f"The code for the same margin type is -4046 or -4067; got {same_margin_type}.")
        market = load_market()
        self.api_key, self.api_secret = _checked(api_key), _checked(api_secret)
        self.exchange = Exchange(
            market,
            Account(market, account or market.account, demo=profile == "demo", same_margin_type=same_margin_type),
            api_key=self.api_key,
            api_secret=self.api_secret,
            weight_limit=weight_limit,
            clock=clock,
            portfolio_margin=portfolio_margin,
            public_key=public_key,
        )
        self._faults = Faults(seed)
        self._patience = patience
        self._down = False
        self._streams: set[_UserData] = set()
        self.silent_stream_forms = set(silent_stream_forms)
        sockets = bind_sockets(port, address="127.0.0.1")
        self.port: int = sockets[0].getsockname()[1]
        self.rest_url = f"http://127.0.0.1:{self.port}"
        self.stream_url = f"ws://127.0.0.1:{self.port}"
        started = threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(sockets, started), name="leverage_nb simulator", daemon=True
        )
        self._thread.start()
        while not started.wait(0.05):  # with a time-out: on Windows Ctrl-C cannot interrupt it otherwise
            if not self._thread.is_alive():
                raise RuntimeError("The simulator could not start.")

    def _run(self, sockets: list[Any], started: threading.Event) -> None:
        # Not with asyncio's debug mode (python -X dev): it prints each request that a busy machine answers slowly.
        asyncio.run(self._serve(sockets, started), debug=False)

    async def _serve(self, sockets: list[Any], started: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        own = {"simulator": self}
        routes = [
            (r"/private/(?:ws/(?P<path_key>[^/]+)|ws|stream)", _UserData, own),
            (r"/leverage_nb/simulator", _Proof, own),
            (r".*", _Rest, own),
        ]
        self._application = Application(
            routes,
            log_function=lambda _: None,  # an access log would hold signed URLs
            websocket_max_message_size=4096,  # the stream's clients have nothing to say
        )
        self._server = self._open_server()
        self._server.add_sockets(sockets)
        started.set()
        while not self._stop.is_set():
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stop.wait(), 0.05)
            self._end_old_streams()
        self._server.stop()
        await self._server.close_all_connections()

    def _open_server(self) -> HTTPServer:
        return open_server(self._application, self.port, self._patience)

    def _end_old_streams(self) -> None:
        """End streams as Binance does: at the expiry of the listen key, and after 24 hours."""
        self.exchange.expire_listen_key()
        for stream in list(self._streams):
            if self.exchange.clock() - stream.opened_at > STREAM_LIFE:
                stream.close(1001, "24 hours are over")

    async def _restart(self, seconds: float) -> None:
        """Stop, drop every connection, and serve on the same port after a while; do nothing if already down."""
        if self._down:
            return
        self._down = True
        self._server.stop()
        await self._server.close_all_connections()
        await asyncio.sleep(seconds)
        if not self._stop.is_set():
            self._server = self._open_server()  # a stopped server cannot be started again
            self._server.add_sockets(bind_sockets(self.port, address="127.0.0.1"))
        self._down = False

    def inject(
        self,
        *faults: str,
        on: str = "",
        times: int | None = 1,
        chance: float = 1.0,
        seconds: float | None = None,
        leverage: int | None = None,
        executed: bool | None = None,
        symbol: str = "",
        margin_type: str = "",
        margin: Decimal | str | None = None,
        side: str = "BOTH",
    ) -> None:
        """Inject faults into the requests that follow: see ``leverage_nb.simulator.faults.KINDS`` for their names.

        Args:
            faults: Names; several in one call affect the same request.
            on: The requests they affect, as "POST /fapi/v1/leverage"; ``*`` stands for any method or path, and
                "changes" for every change of leverage, margin type or isolated margin. By default the fault's own, for
                most "changes".
            times: How many requests each fault affects; None for all.
            chance: The probability that a fault affects a request that matches.
            seconds: SECONDS in the fault's description; the fault's default if None.
            leverage: What another client sets; random if neither this nor another value is given.
            executed: Whether the exchange executes the request; the fault's default if None, for most at random.
            symbol: SYMBOL in the description; the request's own if "", else a random one.
            margin_type: The margin type that another client sets: "ISOLATED" or "CROSSED".
            margin: The isolated margin that another client adds to the position, in the margin asset; negative to
                reduce it.
            side: The side of that position: "BOTH", in hedge mode "LONG" or "SHORT".

        Raises:
            ValueError: A name is unknown, or a value is not possible for the fault.
        """
        values = (on, times, chance, seconds, leverage, executed, symbol, margin_type, margin, side)
        self._faults.add([Fault(name, *values) for name in faults])

    def inject_text(self, text: str) -> None:
        """Inject faults in the notation of the command line; ValueError if they cannot be parsed."""
        self._faults.add(parse_faults(text))

    def clear_faults(self) -> None:
        """Remove all injected faults."""
        self._faults.clear()

    @property
    def open_streams(self) -> int:
        """The number of open user-data streams."""
        return len(self._streams)

    def drop_streams(self) -> None:
        """Break the connection of every stream without a closing handshake."""
        for stream in list(self._streams):
            self._loop.call_soon_threadsafe(stream.break_off)

    def close(self) -> None:
        """Stop serving and drop open connections. A second call does nothing."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(timeout=5)

    def __enter__(self) -> Simulator:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Simulator {self.rest_url}>"


def _checked(text: str | None) -> str:
    if text is None:
        return secrets.token_hex(32)
    if not re.fullmatch("[A-Za-z0-9]{64}", text):
        raise ValueError("The api_key and api_secret of a simulator are 64 letters and digits each.")
    return text


class _Proof(RequestHandler):
    """``GET /leverage_nb/simulator?nonce=...``: the HMAC of a nonce, which proves that this is a simulator.

    Binance has no such endpoint: it has no weight here, and no fault affects it. It is keyed with the API key alone and
    accepts only hex digits, so that it never signs a request.
    """

    def initialize(self, simulator: Simulator) -> None:
        self._api_key = simulator.api_key

    def get(self) -> None:
        nonce = self.get_query_argument("nonce", "")
        if not re.fullmatch("[0-9a-f]{16,64}", nonce):
            self.set_status(400)
            self.finish({"code": -1102, "msg": "The nonce is 16 to 64 hex digits."})
            return
        proof = hmac.new(self._api_key.encode(), nonce.encode(), hashlib.sha256).hexdigest()
        self.finish({"simulator": "leverage_nb", "proof": proof})


class _Rest(RequestHandler):
    """Passes every other request, unchanged, to the exchange, and applies the faults."""

    def initialize(self, simulator: Simulator) -> None:
        self._simulator, self._exchange, self._faults = simulator, simulator.exchange, simulator._faults

    async def _handle(self) -> None:
        request = Request(
            method=self.request.method or "",
            path=self.request.path,
            query=self.request.query,
            body=self.request.body.decode("utf-8", "replace"),
            api_key=self.request.headers.get("X-MBX-APIKEY"),
            address=self.request.remote_ip or "",
        )
        self._exchange.note_arrival(request)
        course = self._faults.meet(request.method, request.path)
        parameters: dict[str, str] = {}
        with suppress(Refused):  # the exchange refuses it
            parameters = read_parameters(request)
        symbol = parameters.get("symbol", "")
        for foreign in course.foreign_before:
            self._change_elsewhere(symbol, foreign)
        answer = self._reach_exchange(request, parameters, course)
        for foreign in course.foreign_after:
            if foreign.duration:
                asyncio.get_running_loop().call_later(foreign.duration, self._change_elsewhere, symbol, foreign)
            else:
                self._change_elsewhere(symbol, foreign)
        if course.omit is not None:
            course.omit = course.omit or symbol or self._any_symbol()
        answer = altered.alter(answer, course, self._sent())
        if course.delay:
            await asyncio.sleep(course.delay)
        with suppress(StreamClosedError, OSError):
            await self._send(answer, course)

    def _reach_exchange(self, request: Request, parameters: dict[str, str], course: Course) -> Answer:
        """Pass a request to the exchange, now, later or never, and return the answer that follows now."""
        delay = course.execute_after
        # The request was accepted in time: its timestamp is checked by the clock as of now.
        shifts = {"clock_shift": course.skew - delay, "jump": course.jump, "age": course.age}
        handle = partial(self._exchange.handle, request, **{name: shift for name, shift in shifts.items() if shift})
        if course.executed and not delay:
            return handle()
        if course.executed:
            asyncio.get_running_loop().call_later(delay, handle)
        return altered.without_exchange(course, request.path, parameters)

    async def _send(self, answer: Answer, course: Course) -> None:
        if course.manner == "whole":
            self.clear_header("Server")
            self.set_status(answer.status)
            for name, value in answer.headers.items():
                self.set_header(name, value)
            self.finish(answer.body)
            return
        stream = self.detach()
        if course.manner == "restart":
            stream.close()
            await self._simulator._restart(course.pace)
        else:
            await altered.send(stream, answer, course)

    def _sent(self) -> str:
        """Return the request as text: request line, headers and body."""
        request = self.request
        lines = [f"{request.method} {request.uri}", *(f"{name}: {text}" for name, text in request.headers.get_all())]
        return "\n".join([*lines, "", request.body.decode("utf-8", "replace")])

    def _change_elsewhere(self, requested: str, foreign: Fault) -> None:
        name = foreign.symbol or requested or self._any_symbol()
        symbol = self._exchange.market.symbols.get(name)
        if symbol is not None:
            leverage = foreign.leverage
            if not (leverage or foreign.margin_type or foreign.margin):
                leverage = self._faults.random.randint(1, symbol.max_leverage)
            self._exchange.change_elsewhere(
                name, leverage, margin_type=foreign.margin_type, margin=foreign.margin, side=foreign.side
            )

    def _any_symbol(self) -> str:
        return self._faults.random.choice(list(self._exchange.market.symbols))

    get = post = put = delete = patch = head = options = _handle

    def check_etag_header(self) -> bool:
        return False  # Binance sends no 304


class _UserData(WebSocketHandler):
    """The user-data stream: ``/private/ws/<key>``, ``/private/ws?listenKey=`` and ``/private/stream?listenKey=``."""

    def initialize(self, simulator: Simulator) -> None:
        self._exchange, self._streams = simulator.exchange, simulator._streams
        self._simulator = simulator
        self.opened_at = self._exchange.clock()
        self._unsubscribe: Callable[[], None] | None = None

    def open(self, path_key: str | None = None) -> None:
        key = path_key or self.get_query_argument("listenKey", "")
        names = self.get_query_argument("events", "")
        wanted = set(names.split("/")) if names else None
        wrapped = self.request.path == "/private/stream"
        form = "combined" if wrapped else "path" if path_key else "events" if names else "query"
        # A wrong or expired key connects too, and stays silent: seen on the testnet by a third party, 2026-10.
        admitted = self._exchange.admits_stream(key)
        loop = asyncio.get_running_loop()

        def forward(event: dict[str, Any]) -> None:
            own = key == self._exchange.listen_key and admitted
            alive = event["e"] == "listenKeyExpired" or self._exchange.admits_stream(key)
            silent = form in self._simulator.silent_stream_forms
            if own and alive and not silent and (wanted is None or event["e"] in wanted):
                content = {"stream": key, "data": event} if wrapped else event
                # Events may come from another thread than the server's.
                loop.call_soon_threadsafe(self._write, json.dumps(content, ensure_ascii=False))

        self._unsubscribe = self._exchange.subscribe(forward)
        self._streams.add(self)

    def on_message(self, message: str | bytes) -> None:
        pass  # the address names the subscriptions

    def on_close(self) -> None:
        self._streams.discard(self)
        if self._unsubscribe:
            self._unsubscribe()

    def _write(self, text: str) -> None:
        with suppress(WebSocketClosedError):
            self.write_message(text)

    def break_off(self) -> None:
        """Drop the connection without a closing handshake."""
        stream = getattr(self.ws_connection, "stream", None)
        if stream is not None:
            stream.close()

    def check_origin(self, origin: str) -> bool:
        return True  # the gate has checked it
