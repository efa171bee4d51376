"""The simulator's front door: HTTP and WebSocket on one loopback port, in a thread of its own (tornado)."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import re
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream, StreamClosedError
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from leverage_nb.simulator import altered
from leverage_nb.simulator.account import Account, Refused
from leverage_nb.simulator.admission import Request, read_parameters
from leverage_nb.simulator.exchange import Answer, Exchange
from leverage_nb.simulator.fault_kinds import BAD_GATEWAY
from leverage_nb.simulator.faults import Course, Fault, Faults, Foreign, parse_faults
from leverage_nb.simulator.market import load_market

STREAM_LIFE = 86_400.0


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
        seed: Of the faults that come by chance.
        portfolio_margin: Whether the account is one of Portfolio Margin, which ``/fapi`` does not serve.
        public_key: PEM of an RSA or Ed25519 key whose signatures it takes, in the HMAC secret's place.
        api_key: 64 letters and digits; random when None.
        api_secret: The same.

    Attributes:
        port: Where it listens, on loopback.
        rest_url: ``http://127.0.0.1:<port>``.
        stream_url: ``ws://127.0.0.1:<port>``; user data at ``/private/ws/<listenKey>``.
        api_key: The one key it knows.
        api_secret: The key's HMAC secret.
        exchange: The exchange behind the door, for looking at what really happened.

    Raises:
        OSError: The port is taken.
        ValueError: ``api_key`` or ``api_secret`` is something else.
        ImportError: ``public_key`` needs cryptography, of the extra ``keys``.
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
        public_key: str | None = None,
        api_key: str | None = None,
        api_secret: str | None = None,
    ) -> None:
        market = load_market()
        self.api_key, self.api_secret = _chosen(api_key), _chosen(api_secret)
        self.exchange = Exchange(
            market,
            Account(market, account or market.account),
            api_key=self.api_key,
            api_secret=self.api_secret,
            weight_limit=weight_limit,
            clock=clock,
            portfolio_margin=portfolio_margin,
            public_key=public_key,
        )
        self._faults = Faults(seed)
        self._down = False
        self._streams: set[_UserData] = set()
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
        rest = {"exchange": self.exchange, "faults": self._faults, "restart": self._restart}
        self._application = Application(
            [
                (
                    r"/private/(?:ws/(?P<path_key>[^/]+)|ws|stream)",
                    _UserData,
                    {"exchange": self.exchange, "streams": self._streams},
                ),
                (r"/leverage_nb/simulator", _Proof, {"api_key": self.api_key}),
                (r".*", _Rest, rest),
            ],
            log_function=lambda handler: None,  # its access log would hold signed URLs
        )
        self._server = HTTPServer(self._application)
        self._server.add_sockets(sockets)
        started.set()
        while not self._stop.is_set():
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._stop.wait(), 0.05)
            self._end_old_streams()
        self._server.stop()
        await self._server.close_all_connections()

    def _end_old_streams(self) -> None:
        """As Binance does: tell when the listen key expires, and drop what has lasted a day."""
        self.exchange.expire_listen_key()
        for stream in list(self._streams):
            if self.exchange.seconds() - stream.opened_at > STREAM_LIFE:
                stream.close(1001, "24 hours are over")

    def drop_streams(self) -> None:
        """Break every stream's connection without a word, as networks do."""
        for stream in list(self._streams):
            self._loop.call_soon_threadsafe(stream.break_off)

    async def _restart(self, seconds: float) -> None:
        """Go down, drop every connection, and come back on the same port; nothing, while it is down already."""
        if self._down:
            return
        self._down = True
        self._server.stop()
        await self._server.close_all_connections()
        await asyncio.sleep(seconds)
        if not self._stop.is_set():
            self._server = HTTPServer(self._application)  # one that was stopped stays so
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
    ) -> None:
        """Let faults meet the requests that come: see ``leverage_nb.simulator.faults.KINDS`` for their names.

        Args:
            faults: Names; several in one call meet the same request.
            on: The requests they meet, as "POST /fapi/v1/leverage"; ``*`` stands for any method or path. When "",
                the fault's default: the change of a leverage, for most.
            times: How many requests each meets; None for all.
            chance: The probability that it meets a request it could.
            seconds: What the fault's description calls SECONDS.
            leverage: What it calls LEVERAGE; a random one when None.
            executed: Whether the exchange executes the request. The fault's default when None: for most, by chance.
            symbol: What the description calls SYMBOL. When "", the request's own, else a random one.

        Raises:
            ValueError: There is no such fault, or it cannot be so.
        """
        self._faults.add([Fault(name, on, times, chance, seconds, leverage, executed, symbol) for name in faults])

    def inject_text(self, text: str) -> None:
        """Let faults meet requests, written as the command line takes them.

        Raises:
            ValueError: They cannot be read.
        """
        self._faults.add(parse_faults(text))

    def clear_faults(self) -> None:
        """Let no more faults meet requests."""
        self._faults.clear()

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


def _chosen(text: str | None) -> str:
    if text is None:
        return secrets.token_hex(32)
    if not re.fullmatch("[A-Za-z0-9]{64}", text):
        raise ValueError("a simulator's api_key and api_secret are 64 letters and digits each")
    return text


class _Proof(RequestHandler):
    """``GET /leverage_nb/simulator?nonce=...``: the HMAC of a nonce, which shows that this is a simulator.

    Binance has no such endpoint, so it counts for nothing here: no weight, no fault, no arrival. It is keyed with the
    API key alone and takes nothing but hex digits, so that it never signs a request.
    """

    def initialize(self, api_key: str) -> None:
        self._api_key = api_key

    def get(self) -> None:
        nonce = self.get_query_argument("nonce", "")
        if not re.fullmatch("[0-9a-f]{16,64}", nonce):
            self.set_status(400)
            self.finish({"code": -1102, "msg": "The nonce is 16 to 64 hex digits."})
            return
        proof = hmac.new(self._api_key.encode(), nonce.encode(), hashlib.sha256).hexdigest()
        self.finish({"simulator": "leverage_nb", "proof": proof})


class _Rest(RequestHandler):
    """Hands every request, bytes untouched, to the exchange."""

    def initialize(
        self, exchange: Exchange, faults: Faults, restart: Callable[[float], Coroutine[Any, Any, None]]
    ) -> None:
        self._exchange, self._faults, self._restart = exchange, faults, restart

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
        if course is None:
            self._send(self._exchange.handle(request))
        else:
            await self._run(request, course)

    def _send(self, answer: Answer) -> None:
        self.clear_header("Server")
        self.set_status(answer.status)
        for name, value in answer.headers.items():
            self.set_header(name, value)
        self.finish(answer.body)

    async def _run(self, request: Request, course: Course) -> None:
        """Let a request take its course."""
        loop = asyncio.get_running_loop()
        parameters = _parameters(request)
        symbol = parameters.get("symbol", "")
        for foreign in course.foreign_before:
            self._change_elsewhere(symbol, foreign)
        answer = self._reach_exchange(request, parameters, course)
        for foreign in course.foreign_after:
            if foreign.delay:
                loop.call_later(foreign.delay, self._change_elsewhere, symbol, foreign)
            else:
                self._change_elsewhere(symbol, foreign)
        answer = self._alter(answer, symbol, course)
        if course.delay:
            await asyncio.sleep(course.delay)
        if course.manner == "whole":
            with suppress(StreamClosedError):
                self._send(answer)
            return
        stream = self.detach()
        with suppress(StreamClosedError, OSError):
            await self._mangle(stream, answer, course)

    def _reach_exchange(self, request: Request, parameters: dict[str, str], course: Course) -> Answer:
        """Hand a request to the exchange, or keep it from it; return what would be answered without more faults."""
        exchange = self._exchange
        if course.executed and course.execute_after:
            # It was accepted in time: its timestamp is checked by the clock as of now.
            shift = course.skew - course.execute_after
            later = partial(exchange.handle, request, shift, jump=course.jump, age=course.age)
            asyncio.get_running_loop().call_later(course.execute_after, later)
        elif course.executed:
            return exchange.handle(request, course.skew, jump=course.jump, age=course.age)
        elif course.alter in {"leverage", "symbol", "code"}:
            return Answer(200, altered.forge_success(parameters), {"Content-Type": "application/json"})
        # Something in between answers, unless the fault has an answer of its own.
        return Answer(502, BAD_GATEWAY, {"Content-Type": "text/html"})

    def _alter(self, answer: Answer, symbol: str, course: Course) -> Answer:
        """Return what the client is answered in place of an answer."""
        if course.alter == "echo_page":
            return Answer(502, altered.echo_page(self._sent()), {"Content-Type": "text/html"})
        if course.alter == "echo_json":
            return Answer(500, altered.echo_json(self._sent()), {"Content-Type": "application/json"})
        if course.answer is not None:
            status, body, headers = course.answer
            kind = "text/html" if body.startswith("<") else "application/json"
            return Answer(status, body, {**answer.headers, "Content-Type": kind, **headers})
        if answer.status == 200 and course.omit is not None:
            answer = replace(answer, body=altered.leave_out(answer.body, course.omit or symbol or self._any_symbol()))
        if answer.status == 200 and course.alter:
            answer = replace(answer, body=altered.alter_values(answer.body, course.alter))
        return answer

    def _sent(self) -> str:
        """The request as text: line, headers and body."""
        request = self.request
        lines = [f"{request.method} {request.uri}", *(f"{name}: {text}" for name, text in request.headers.get_all())]
        return "\n".join([*lines, "", request.body.decode("utf-8", "replace")])

    async def _mangle(self, stream: IOStream, answer: Answer, course: Course) -> None:
        """Send an answer back as no server should."""
        body = answer.body.encode()
        match course.manner:
            case "restart":
                stream.close()
                asyncio.ensure_future(self._restart(course.pace))  # noqa: RUF006 - the loop runs as long as it needs
                return
            case "never":
                await stream.read_until_close()
                return
            case "dripped":
                whole = _head(answer, length=len(body)) + body
                for place in range(len(whole)):
                    await stream.write(whole[place : place + 1])
                    await asyncio.sleep(course.pace)
                stream.close()
                return
            case "gzip" | "gzip_twice":
                twice = course.manner == "gzip_twice"
                packed = altered.blow_up(body, twice=twice)
                coding = "gzip, gzip" if twice else "gzip"
                await stream.write(_head(answer, length=len(packed), coding=coding) + packed)
                stream.close()
                return
            case "endless":
                await stream.write(_head(answer))
                for part in [*altered.blanks(), body]:
                    await stream.write(part)
                stream.close()
                return
            case "truncated":
                whole = _head(answer, length=len(body)) + body
                await stream.write(whole[: len(whole) - len(body) // 2 - 1])
        # With nothing left to linger for, closing sends a reset.
        if stream.socket is not None:  # the client may have closed it meanwhile
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.close()

    def _change_elsewhere(self, asked: str, foreign: Foreign) -> None:
        name = foreign.symbol or asked or self._any_symbol()
        symbol = self._exchange.market.symbols.get(name)
        if symbol is not None:
            leverage = foreign.leverage or self._faults.any_leverage(symbol.max_leverage)
            self._exchange.change_elsewhere(name, leverage)

    def _any_symbol(self) -> str:
        return self._faults.any_symbol(list(self._exchange.market.symbols))

    get = post = put = delete = patch = head = options = _handle

    def check_etag_header(self) -> bool:
        return False  # Binance sends no 304


def _parameters(request: Request) -> dict[str, str]:
    """What a request asks; nothing where it cannot be read, which the exchange refuses itself."""
    try:
        return read_parameters(request)
    except Refused:
        return {}


def _head(answer: Answer, *, length: int | None = None, coding: str = "") -> bytes:
    """The status line and headers of an answer, without a length where the end of the connection ends it."""
    lines = [f"HTTP/1.1 {answer.status} X", *(f"{name}: {text}" for name, text in answer.headers.items())]
    lines += [f"Content-Length: {length}"] if length is not None else ["Connection: close"]
    lines += [f"Content-Encoding: {coding}"] if coding else []
    return "\r\n".join([*lines, "", ""]).encode()


class _UserData(WebSocketHandler):
    """The user-data stream: ``/private/ws/<key>``, ``/private/ws?listenKey=`` and ``/private/stream?listenKey=``."""

    def initialize(self, exchange: Exchange, streams: set[_UserData]) -> None:
        self._exchange, self._all = exchange, streams
        self.opened_at = exchange.seconds()
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
            alive = event["e"] == "listenKeyExpired" or self._exchange.admits_stream(self._exchange.listen_key)
            if alive and (wanted is None or event["e"] in wanted):
                content = {"stream": self._exchange.listen_key, "data": event} if wrapped else event
                # Whoever changes the books may do so in another thread than the server's.
                loop.call_soon_threadsafe(self._write, json.dumps(content, ensure_ascii=False))

        loop = asyncio.get_running_loop()
        self._unsubscribe = self._exchange.subscribe(forward)
        self._all.add(self)

    def on_message(self, message: str | bytes) -> None:
        pass  # subscriptions are named in the address

    def on_close(self) -> None:
        self._all.discard(self)
        if self._unsubscribe:
            self._unsubscribe()

    def _write(self, text: str) -> None:
        with suppress(WebSocketClosedError):
            self.write_message(text)

    def break_off(self) -> None:
        """Drop the connection without a closing word."""
        stream = getattr(self.ws_connection, "stream", None)
        if stream is not None:
            stream.close()

    def check_origin(self, origin: str) -> bool:
        return True  # loopback only; a local page may listen too
