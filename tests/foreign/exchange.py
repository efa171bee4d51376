"""An exchange that is independent of this package: sockets, threads and the standard library.

It keeps a leverage for every symbol, answers the endpoints that a client of Binance's USDⓈ-M Futures needs, and records
every request that arrives. A test scripts it with :class:`Play`: whether a request is executed, what is answered, and
what happens in between are separate choices, so that no assumption of the client is built in.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from time import monotonic, sleep, time_ns  # as names: a test may replace the clock of the module
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.foreign.wire import LATE_CLOCK, Arrived, Reply, read_request, send_reply

CHANGE, CONFIG, TIERS = "POST /fapi/v1/leverage", "GET /fapi/v1/symbolConfig", "GET /fapi/v1/leverageBracket"
TIME, BALANCE, LISTEN = "GET /fapi/v1/time", "GET /fapi/v3/balance", "POST /fapi/v1/listenKey"
POSITIONS, ACCOUNT, INFO = "GET /fapi/v3/positionRisk", "GET /fapi/v3/account", "GET /fapi/v1/exchangeInfo"
MODES, MARK, EXTEND = "GET /fapi/v1/accountConfig", "GET /fapi/v1/premiumIndex", "PUT /fapi/v1/listenKey"
MARGIN_TYPE, MARGIN = "POST /fapi/v1/marginType", "POST /fapi/v1/positionMargin"
MARGINS = "GET /fapi/v1/positionMargin/history"
MANDATORY = {CHANGE: {"leverage"}, MARGIN_TYPE: {"marginType"}, MARGIN: {"amount", "type"}}  # beside the symbol

# Highest leverage, cap and maintenance rate of each tier.
BTC_TIERS = ((150, 300_000, 0.004), (100, 3_000_000, 0.005), (50, 30_000_000, 0.01), (20, 10**9, 0.05))
ALT_TIERS = ((125, 100_000, 0.004), (50, 1_000_000, 0.01), (20, 10_000_000, 0.05))


@dataclass
class Play:
    """How some requests are handled.

    Attributes:
        execute: Whether the exchange executes (or reads) it; False leaves everything as it is.
        execute_after: Seconds until it is executed, after the answer has left.
        answer: The answer that replaces the exchange's own; also a function of the request.
        edit: Changes the exchange's own answer, as decoded JSON.
        first: Called when the request has arrived, before it is executed or read.
        then: Called once it is executed or read, before it is answered.
        delay: Seconds before it is answered.
        when: Selects the requests; all by default.
        times: The number of requests; None for all.
    """

    execute: bool = True
    execute_after: float = 0.0
    answer: Reply | Callable[[Arrived], Reply] | None = None
    edit: Callable[[Any], Any] | None = None
    first: Callable[[], object] | None = None
    then: Callable[[], object] | None = None
    delay: float = 0.0
    when: Callable[[Arrived], bool] = field(default=lambda arrived: True)
    times: int | None = 1


_UNSCRIPTED = Play()


class ForeignExchange:
    """One account, served at two addresses of one back end, and its events over a WebSocket.

    Attributes:
        leverages: By symbol; 0 is a leverage that was never set.
        tiers: By symbol: highest leverage, cap and rate of each tier.
        requests: All requests that arrived.
        executed: Time in nanoseconds since the epoch, symbol and leverage of every change.
        isolated: The symbols that were switched to isolated margin.
        types_executed: Time, symbol and margin type of every change of a margin type.
        margins: Every change of isolated margin, as a row of its history, in order.
        cross_wallet: What can be added to isolated positions.
        clock_shift: Milliseconds by which its clock is ahead of this machine's.
        latency: The round trip time in seconds.
        balance: The answer of the balance endpoint.
        positions: The rows of positionRisk; with an isolatedWallet above 0 its symbol is isolated.
        orders: The symbols with open orders.
        weights: Request weights by endpoint, 1 for others; empty if no header names the used weight.
        sends_events: Whether its event follows every change of a value.
        silent_forms: Forms of the stream's address that stay silent: "path", "query", "events" (query with events).
    """

    api_key = "K3yOfTheForeignExchange0123456789abcdefghijKLMNOPqrstuvwxyzABCDE"
    api_secret = "S3cretOfTheForeignExchange9876543210zyxwvutsRQPONmlkjihgfedcbaZY"
    listen_key = "L1stenKeyOfTheForeignExchange5678901234ponmlkJIHGFEdcbaqrstuvwxy"

    def __init__(self, extra: int = 0, *, checks_signature: bool = True, tls: ssl.SSLContext | None = None) -> None:
        names = ["BTCUSDT", "ETHUSDT", "SOLUSDT", *(f"S{number:03}USDT" for number in range(extra))]
        self.leverages = dict.fromkeys(names, 10)
        self.tiers: dict[str, Sequence[tuple[int, float, float]]] = {
            name: BTC_TIERS if name in {"BTCUSDT", "ETHUSDT"} else ALT_TIERS for name in names
        }
        self.requests: list[Arrived] = []
        self.executed: list[tuple[int, str, int]] = []
        self.isolated, self.orders = set[str](), set[str]()
        self.types_executed: list[tuple[int, str, str]] = []
        self.margins: list[dict[str, Any]] = []
        self.cross_wallet = Decimal("100000.0")
        self.clock_shift, self.latency = 0, 0.0
        self.balance: list[dict[str, Any]] = [{"accountAlias": "SgsR", "asset": "USDT", "balance": "100000.0"}]
        self.positions: list[dict[str, Any]] = []
        self.weights: dict[str, int] = {}
        self.sends_events, self.silent_forms = False, set[str]()
        self._checks_signature, self._tls = checks_signature, tls
        self._plays: dict[str, list[Play]] = {}
        self._changed, self._start = threading.Condition(), time_ns() / 1e6 - monotonic() * 1000
        self._stopped = threading.Event()
        self._listeners = [socket.create_server(("127.0.0.1", 0), backlog=128) for _ in range(2)]
        self._connections: list[socket.socket] = []
        scheme = "https" if tls else "http"
        self.url, self.other_url = (f"{scheme}://127.0.0.1:{one.getsockname()[1]}" for one in self._listeners)
        for listener in self._listeners:
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        self._followers: list[Any] = []
        self._stream: Any = None

    # -- scripting and inspection -----------------------------------------------------------------------------

    def play(self, endpoint: str, **how: Any) -> Play:
        """Script how the next requests of an endpoint are handled: see :class:`Play`."""
        play = Play(**how)
        self._plays.setdefault(endpoint, []).append(play)
        return play

    def clear(self) -> None:
        """Drop everything that was scripted and not used."""
        self._plays.clear()

    def change(self, symbol: str, leverage: int) -> None:
        """Change a leverage as another client of the account."""
        self.leverages[symbol] = leverage
        self.executed.append((time_ns(), symbol, leverage))

    def change_type(self, symbol: str, margin_type: str) -> None:
        """Change a margin type as another client of the account."""
        (self.isolated.add if margin_type == "ISOLATED" else self.isolated.discard)(symbol)
        self.types_executed.append((time_ns(), symbol, margin_type))
        self._send_update("MARGIN_TYPE_CHANGE", symbol)

    def move_margin(self, symbol: str, amount: Decimal | str, side: str = "BOTH", reason: str = "USER_ADJUST") -> None:
        """Add to an isolated position, or take a negative amount from it, as another client or the exchange itself."""
        moved = Decimal(amount)
        row = self._held(symbol, side)
        assert row is not None, f"no position {symbol} {side}"
        self.cross_wallet -= moved
        for name in ("isolatedWallet", "isolatedMargin"):
            row[name] = str(Decimal(row[name]) + moved)
        row["liquidationPrice"] = f"{self._liquidation(row):.8f}"
        self.margins.append(
            {"symbol": symbol, "type": 1 if moved > 0 else 2, "deltaType": reason, "amount": str(moved),
             "asset": "USDT", "time": self.now_ms(), "positionSide": side}
        )  # fmt: skip
        self._send_update("MARGIN_TRANSFER", symbol)

    def _held(self, symbol: str, side: str) -> dict[str, Any] | None:
        held = (row for row in self.positions if (row["symbol"], row["positionSide"]) == (symbol, side))
        return next((row for row in held if float(row["positionAmt"])), None)

    def _liquidation(self, row: dict[str, Any]) -> float:
        """Return the price at which wallet and loss leave the maintenance margin of the tier at that price."""
        size, wallet = float(row["positionAmt"]), float(row["isolatedWallet"])
        for tier in _brackets(self.tiers[row["symbol"]]):
            rest = wallet + tier["cum"] - size * float(row["entryPrice"])
            price = rest / (abs(size) * tier["maintMarginRatio"] - size)
            if tier["notionalFloor"] < abs(size) * price <= tier["notionalCap"]:
                return price
        return 0.0

    def arrived(self, endpoint: str, symbol: str = "") -> list[Arrived]:
        """Return the requests of an endpoint, in the order of arrival."""
        return [one for one in list(self.requests) if one.endpoint == endpoint and symbol in {"", one.symbol}]

    def changes_sent(self, symbol: str = "") -> list[tuple[str, int]]:
        """Return symbol and leverage of every POST that arrived, executed or not."""
        return [(one.symbol, one.leverage) for one in self.arrived(CHANGE, symbol)]

    def wait_for(self, endpoint: str, count: int = 1, timeout: float = 10.0) -> None:
        """Wait until a number of requests of an endpoint have arrived."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.arrived(endpoint)) >= count, timeout), f"no {endpoint}"

    def now_ms(self) -> int:
        """Return the time of its clock."""
        return int(self._start + monotonic() * 1000) + self.clock_shift

    def stop(self) -> None:
        """Stop serving, and break open connections."""
        self._stopped.set()
        for one in (*self._listeners, *self._connections):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        if self._stream is not None:
            self._stream.shutdown()

    # -- events -----------------------------------------------------------------------------------------------

    def stream_url(self) -> str:
        """Return the address of the events, which is served from the first call on."""
        from websockets.sync.server import serve

        def follow(connection: Any) -> None:
            target = urlsplit(connection.request.path)
            asked = dict(parse_qsl(target.query))
            form = "events" if "events" in asked else "query" if "listenKey" in asked else "path"
            key = asked.get("listenKey", target.path.rpartition("/")[2])
            with self._changed:
                if key == self.listen_key and form not in self.silent_forms:
                    self._followers.append(connection)
                self._changed.notify_all()
            with suppress(Exception):  # however it ends
                for _ in connection:
                    pass

        if self._stream is None:
            # Its log must not appear among the client's.
            self._stream = serve(follow, "127.0.0.1", 0, logger=logging.Logger("foreign", logging.CRITICAL))
            threading.Thread(target=self._stream.serve_forever, daemon=True).start()
        return f"ws://127.0.0.1:{self._stream.socket.getsockname()[1]}"

    def send_event(self, symbol: str, leverage: int, at_ms: int) -> None:
        """Send an event of a leverage to all followers, with a time; wait for a first follower."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._followers, 60), "nobody follows the stream"
        self._send({"e": "ACCOUNT_CONFIG_UPDATE", "E": at_ms, "T": at_ms, "ac": {"s": symbol, "l": leverage}})

    def _send_update(self, reason: str, symbol: str) -> None:
        if self.sends_events:
            now, side = self.now_ms(), {"s": symbol, "ps": "BOTH", "mt": self._config(symbol)["marginType"].lower()}
            self._send({"e": "ACCOUNT_UPDATE", "E": now, "T": now, "a": {"m": reason, "B": [], "P": [side]}})

    def _send(self, event: dict[str, Any]) -> None:
        for follower in tuple(self._followers):
            with suppress(Exception):  # a client may try several forms of the address, and keep one
                follower.send(json.dumps(event))

    # -- the wire ---------------------------------------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                self._connections.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError, ValueError):
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
            port = connection.getsockname()[1]
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with connection, connection.makefile("rb") as incoming:
                while (request := read_request(incoming, port)) is not None:
                    if not send_reply(connection, self._answer(request)) or request.is_last:
                        return

    def _answer(self, request: Arrived) -> Reply:
        sleep(self.latency / 2)
        with self._changed:
            self.requests.append(request := replace(request, at=monotonic()))
            self._changed.notify_all()
            play = self._next_play(request)
        if play.first:
            play.first()
        if play.execute_after:  # it was accepted in time, and is executed later
            threading.Timer(play.execute_after, _HANDLERS[request.endpoint], (self, request)).start()
        # A scripted request is executed however late it arrives, so that a busy machine does not decide.
        now = play.execute and not play.execute_after
        reply = self._handle(request, checks=play is _UNSCRIPTED) if now else Reply.of({})
        if play.then:
            play.then()
        if play.edit:
            reply = Reply.of(play.edit(json.loads(b"".join(reply.pieces))), reply.status)
        sleep(play.delay + self.latency / 2)
        answer = play.answer(request) if callable(play.answer) else play.answer
        reply = answer or reply
        if self.weights:
            used = sum(self.weights.get(one.endpoint, 1) for one in self.requests)
            reply = replace(reply, headers=(*reply.headers, f"X-MBX-USED-WEIGHT-1M: {used}"))
        return reply

    def _next_play(self, request: Arrived) -> Play:
        plays = self._plays.get(request.endpoint, [])
        for play in plays:
            if play.when(request):
                if play.times is not None:
                    play.times -= 1
                    if play.times <= 0:
                        plays.remove(play)
                return play
        return _UNSCRIPTED

    # -- its own behaviour ------------------------------------------------------------------------------------

    def _handle(self, request: Arrived, *, checks: bool) -> Reply:
        """Execute or read a request, and answer it as the exchange would."""
        handler = _HANDLERS.get(request.endpoint)
        if handler is None:
            return Reply.error(404, -5000, "Path not found.")
        if checks and ("timestamp" in request.parameters or request.endpoint in MANDATORY):
            refusal = self._turn_away(request)
            if refusal is not None:
                return refusal
        mandatory = {"symbol"} | MANDATORY[request.endpoint] if request.endpoint in MANDATORY else set()
        if not mandatory <= request.parameters.keys():
            return Reply.error(400, -1102, "Mandatory parameter was not sent.")
        if request.symbol and request.symbol not in self.leverages:
            return Reply.error(400, -1121, "Invalid symbol.")
        if request.endpoint == CHANGE and not re.fullmatch("-?[0-9]+", request.parameters["leverage"]):
            return Reply.error(400, -1100, "Illegal characters found in parameter 'leverage'.")
        return handler(self, request)

    def _turn_away(self, request: Arrived) -> Reply | None:
        window, now = int(request.parameters.get("recvWindow", 5000)), self.now_ms()
        if not request.timestamp < now + 1000 or now - request.timestamp > window:
            return LATE_CLOCK
        payload, _, signature = request.signed_text.rpartition("&signature=")
        right = hmac.new(self.api_secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
        if self._checks_signature and unquote(signature).lower() != right:
            return Reply.error(400, -1022, "Signature for this request is not valid.")
        if len(request.key) != len(self.api_key):
            return Reply.error(401, -2014, "API-key format invalid.")
        return None if request.key == self.api_key else Reply.error(401, -2015, "Invalid API-key.")

    def set_leverage(self, request: Arrived) -> Reply:
        if not 1 <= request.leverage <= self.tiers[request.symbol][0][0]:
            return Reply.error(400, -4028, f"Leverage {request.leverage} is not valid")
        held = any(row["symbol"] == request.symbol and float(row["isolatedWallet"]) > 0 for row in self.positions)
        if held and request.leverage < self.leverages[request.symbol]:
            return Reply.error(400, -4161, "Leverage reduction is not supported in Isolated Margin Mode")
        changed = request.leverage != self.leverages[request.symbol]
        self.change(request.symbol, request.leverage)
        if changed and self.sends_events and self._followers:
            self.send_event(request.symbol, request.leverage, self.now_ms())
        cap = str(self._max_notional(request.symbol))
        return Reply.of({"symbol": request.symbol, "leverage": request.leverage, "maxNotionalValue": cap})

    def set_margin_type(self, request: Arrived) -> Reply:
        wanted, now = request.parameters["marginType"], self._config(request.symbol)["marginType"]
        if wanted not in {"ISOLATED", "CROSSED"}:
            return Reply.error(400, -1130, "Data sent for parameter 'marginType' is not valid.")
        if wanted == now:
            return Reply.error(400, -4046, "No need to change margin type.")
        if request.symbol in self.orders:
            return Reply.error(400, -4047, "Margin type cannot be changed if there exists open orders.")
        if any(row["symbol"] == request.symbol and float(row["positionAmt"]) for row in self.positions):
            return Reply.error(400, -4048, "Margin type cannot be changed if there exists position.")
        self.change_type(request.symbol, wanted)
        return Reply.of({"code": 200, "msg": "success"})

    def set_margin(self, request: Arrived) -> Reply:
        given = request.parameters
        side, adds = given.get("positionSide", "BOTH"), given["type"] == "1"
        if not re.fullmatch(r"[0-9]+(\.[0-9]{1,8})?", given["amount"]) or given["type"] not in {"1", "2"}:
            return Reply.error(400, -1102, "Mandatory parameter was malformed.")
        amount, row = Decimal(given["amount"]), self._held(request.symbol, side)
        if not amount:
            return Reply.error(400, -4055, "Amount must be positive.")
        if not self._is_isolated(request.symbol):
            return Reply.error(400, -4049, "Add margin only support for isolated position.")
        if adds and row is None:
            return Reply.error(400, -4054, "Cannot add position margin: position is 0.")
        if adds and amount > self.cross_wallet:
            return Reply.error(400, -4050, "Cross balance insufficient.")
        if not adds and (row is None or amount > self._removable(row)):
            return Reply.error(400, -4051, "Isolated balance insufficient.")
        self.move_margin(request.symbol, amount if adds else -amount, side)
        done = "Successfully modify position margin."
        return Reply.of({"code": 200, "msg": done, "amount": float(amount), "type": int(given["type"])})

    def _removable(self, row: dict[str, Any]) -> Decimal:
        """Return what wallet and profit exceed the initial margin by, and the wallet alone the maintenance margin."""
        names = ("isolatedWallet", "unRealizedProfit", "positionInitialMargin", "maintMargin")
        wallet, profit, initial, maintenance = (Decimal(row[name]) for name in names)
        return min(wallet + profit - initial, wallet - maintenance)

    def margin_history(self, request: Arrived) -> Reply:
        return Reply.of([row for row in self.margins if row["symbol"] == request.symbol])

    def _max_notional(self, symbol: str) -> float:
        return max((cap for most, cap, _ in self.tiers[symbol] if most >= self.leverages[symbol]), default=0)

    def configs(self, request: Arrived) -> Reply:
        names = [request.symbol] if request.symbol else list(self.leverages)
        return Reply.of([self._config(name) for name in names])

    def margin_type(self, symbol: str) -> str:
        """Return the margin type of a symbol, ISOLATED or CROSSED."""
        return "ISOLATED" if self._is_isolated(symbol) else "CROSSED"

    def _config(self, name: str) -> dict[str, Any]:
        row: dict[str, Any] = {"symbol": name, "marginType": self.margin_type(name), "isAutoAddMargin": False}
        return row | {"leverage": self.leverages[name], "maxNotionalValue": str(self._max_notional(name))}

    def _is_isolated(self, symbol: str) -> bool:
        held = any(row["symbol"] == symbol and float(row["isolatedWallet"]) > 0 for row in self.positions)
        return held or symbol in self.isolated

    def leverages_as_text(self, request: Arrived) -> Reply:
        names = [request.symbol] if request.symbol else list(self.leverages)
        return Reply.of([{"symbol": name, "leverage": str(self.leverages[name])} for name in names])

    def brackets(self, request: Arrived) -> Reply:
        names = [request.symbol] if request.symbol else list(self.tiers)
        return Reply.of([{"symbol": name, "brackets": list(_brackets(self.tiers[name]))} for name in names])

    def info(self, request: Arrived) -> Reply:
        limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 24_000}
        rows = [{"symbol": name, "status": "TRADING", "marginAsset": "USDT"} for name in self.tiers]
        return Reply.of({"symbols": rows, "rateLimits": [limit], "serverTime": 0})

    def account(self, request: Arrived) -> Reply:
        names = ["walletBalance", "marginBalance", "crossWalletBalance", "availableBalance", "maxWithdrawAmount"]
        zeros = ["unrealizedProfit", "maintMargin", "initialMargin", "crossUnPnl", "positionInitialMargin"]
        asset = {"asset": "USDT"} | dict.fromkeys(names, str(self.cross_wallet)) | dict.fromkeys(zeros, "0.0")
        return Reply.of({"availableBalance": str(self.cross_wallet), "assets": [asset], "positions": []})

    def mark_price(self, request: Arrived) -> Reply:
        return Reply.of({"symbol": request.symbol, "markPrice": "60000.0", "time": self.now_ms()})


def _brackets(tiers: Sequence[tuple[int, float, float]]) -> Iterator[dict[str, float]]:
    floor, rate, cum = 0.0, tiers[0][2], 0.0
    for number, (most, cap, ratio) in enumerate(tiers, start=1):
        cum += floor * (ratio - rate)
        yield {"bracket": number, "initialLeverage": most, "notionalFloor": floor, "notionalCap": cap,
               "maintMarginRatio": ratio, "cum": cum}  # fmt: skip
        floor, rate = float(cap), ratio


_CONFIG = {"canTrade": True, "dualSidePosition": False, "multiAssetsMargin": False}
_HANDLERS: dict[str, Callable[[ForeignExchange, Arrived], Reply]] = {
    CHANGE: ForeignExchange.set_leverage,
    CONFIG: ForeignExchange.configs,
    TIERS: ForeignExchange.brackets,
    TIME: lambda exchange, _: Reply.of({"serverTime": exchange.now_ms()}),
    BALANCE: lambda exchange, _: Reply.of(exchange.balance),
    LISTEN: lambda exchange, _: Reply.of({"listenKey": exchange.listen_key}),
    EXTEND: lambda exchange, _: Reply.of({"listenKey": exchange.listen_key}),
    "DELETE /fapi/v1/listenKey": lambda exchange, _: Reply.of({}),
    "GET /fapi/v2/positionRisk": ForeignExchange.leverages_as_text,
    INFO: ForeignExchange.info,
    MODES: lambda exchange, _: Reply.of(_CONFIG),
    POSITIONS: lambda exchange, _: Reply.of(exchange.positions),
    ACCOUNT: ForeignExchange.account,
    MARK: ForeignExchange.mark_price,
    MARGIN_TYPE: ForeignExchange.set_margin_type,
    MARGIN: ForeignExchange.set_margin,
    MARGINS: ForeignExchange.margin_history,
}


@contextmanager
def serving(extra: int = 0, **how: Any) -> Iterator[ForeignExchange]:
    """Run a :class:`ForeignExchange` within the block."""
    exchange = ForeignExchange(extra, **how)
    try:
        yield exchange
    finally:
        exchange.stop()
