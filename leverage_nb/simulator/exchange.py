"""The simulated exchange: which endpoints there are, and what each request is answered.

One method an endpoint, in the order of Binance's documentation; ``ROUTES`` maps paths to them.
Weights and security types are those of the endpoint pages.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import parse_qsl

from leverage_nb.simulator import answers
from leverage_nb.simulator.account import Account, Refused
from leverage_nb.simulator.admission import (
    Request,
    WeightMeter,
    check_key,
    check_signature,
    check_timestamp,
    integer,
    load_verifier,
    missing,
    read_parameters,
)
from leverage_nb.simulator.market import Market, Symbol

Parameters = dict[str, str]
Listener = Callable[[dict[str, Any]], None]


@dataclass(frozen=True)
class Answer:
    """What goes back over HTTP."""

    status: int
    body: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Execution:
    """A leverage that was really set, by whomever.

    Attributes:
        at: When, in seconds since the epoch.
        symbol: Of which symbol.
        before: The leverage before.
        after: The leverage after; the same where it was there already.
        timestamp: The timestamp of the request that asked for it; None for another client.
    """

    at: float
    symbol: str
    before: int
    after: int
    timestamp: int | None


@dataclass(frozen=True)
class _Earlier:
    """A symbol's settings until a moment: what a stale read shows."""

    until: float
    symbol: str
    leverage: int
    is_isolated: bool


@dataclass(frozen=True)
class Route:
    """An endpoint: the method that answers it, what it asks of the caller, what it weighs."""

    answer: str
    security: Literal["none", "key", "signed"]
    weight: int


ROUTES: dict[tuple[str, str], Route] = {
    ("GET", "/fapi/v1/ping"): Route("ping", "none", 1),
    ("GET", "/fapi/v1/time"): Route("time", "none", 1),
    ("GET", "/fapi/v1/exchangeInfo"): Route("exchange_info", "none", 1),
    ("GET", "/fapi/v1/premiumIndex"): Route("premium_index", "none", 1),
    ("GET", "/fapi/v1/leverageBracket"): Route("leverage_bracket", "signed", 1),
    ("GET", "/fapi/v1/symbolConfig"): Route("symbol_config", "signed", 5),
    ("GET", "/fapi/v1/accountConfig"): Route("account_config", "signed", 5),
    ("GET", "/fapi/v2/positionRisk"): Route("position_risk_v2", "signed", 5),
    ("GET", "/fapi/v3/positionRisk"): Route("position_risk_v3", "signed", 5),
    ("GET", "/fapi/v3/account"): Route("account_v3", "signed", 5),
    ("GET", "/fapi/v3/balance"): Route("balance_v3", "signed", 5),
    ("GET", "/fapi/v1/positionSide/dual"): Route("dual_side", "signed", 30),
    ("GET", "/fapi/v1/multiAssetsMargin"): Route("multi_assets", "signed", 30),
    ("GET", "/papi/v1/um/leverageBracket"): Route("leverage_bracket", "signed", 1),
    ("POST", "/fapi/v1/leverage"): Route("change_leverage", "signed", 1),
    ("POST", "/fapi/v1/marginType"): Route("change_margin_type", "signed", 1),
    ("POST", "/fapi/v1/positionSide/dual"): Route("change_dual_side", "signed", 1),
    ("POST", "/fapi/v1/multiAssetsMargin"): Route("change_multi_assets", "signed", 1),
    ("POST", "/fapi/v1/listenKey"): Route("open_listen_key", "key", 1),
    ("PUT", "/fapi/v1/listenKey"): Route("keep_listen_key", "key", 1),
    ("DELETE", "/fapi/v1/listenKey"): Route("close_listen_key", "key", 1),
}

SUCCESS = {"code": 200, "msg": "success"}
LISTEN_KEY_LIFE = 3600.0
STREAM_LIFE = 86_400.0
HISTORY = 10_000  # changes of settings that stale reads can go back to


class Exchange:
    """Answers requests one at a time; the same requests at the same times give the same answers.

    Args:
        market: Symbols, tiers and marks.
        account: The one account behind the key.
        api_key: 64 letters and digits.
        api_secret: The HMAC secret.
        weight_limit: Request weight a minute.
        clock: Seconds since the epoch.
        portfolio_margin: Whether the account is one of Portfolio Margin: ``/fapi`` turns its key away with -2015, and
            only ``/papi`` serves it; the reverse for any other account.
        public_key: PEM of an RSA or Ed25519 key that signs in the HMAC secret's place.

    Attributes:
        market: As given.
        account: As given.
        executed: Every leverage that was set, in order: what really happened.
        received: Symbol and timestamp of every change that arrived, carried out or not.
    """

    def __init__(
        self,
        market: Market,
        account: Account,
        *,
        api_key: str,
        api_secret: str,
        weight_limit: int = 2400,
        clock: Callable[[], float] = time.time,
        portfolio_margin: bool = False,
        public_key: str | None = None,
    ) -> None:
        self.market = market
        self.account = account
        self.executed: list[Execution] = []
        self.received: list[tuple[str, int]] = []
        self._portfolio_margin = portfolio_margin
        self._verify = load_verifier(public_key) if public_key else None
        self._earlier: deque[_Earlier] = deque(maxlen=HISTORY)
        self._clock_shift = self._clock_jump = self._age = 0.0  # of the request that is being answered
        self._api_key = api_key
        self._api_secret = api_secret
        self._clock = clock
        self._weight = WeightMeter(weight_limit, clock)
        self._listen_key_expiry = 0.0
        self._listeners: list[Listener] = []

    def handle(self, request: Request, clock_shift: float = 0.0, *, jump: float = 0.0, age: float = 0.0) -> Answer:
        """Admit, route and answer one request.

        Args:
            request: As it arrived.
            clock_shift: Seconds by which the clock that its timestamp is checked by differs.
            jump: Seconds by which the exchange's clock differs in every respect; the books keep the true time.
            age: How many seconds old the settings are that symbolConfig shows.
        """
        self._clock_shift, self._clock_jump, self._age = clock_shift, jump, age
        try:
            body: Any = self._answer(request)
            status = 200
        except Refused as refusal:
            status, body = refusal.status, {"code": refusal.code, "msg": refusal.msg}
        finally:
            self._clock_shift = self._clock_jump = self._age = 0.0
        headers = {
            "Content-Type": "application/json",
            "X-MBX-USED-WEIGHT-1M": str(self._weight.used),
        }
        return Answer(status, json.dumps(body, ensure_ascii=False, separators=(",", ":")), headers)

    def _answer(self, request: Request) -> Any:
        route = ROUTES.get((request.method, request.path))
        if route is None:
            words = f"Path {request.path}, Method {request.method} is invalid"
            raise Refused(404, -5000, words)
        self._weight.charge(route.weight)
        parameters = read_parameters(request)
        if route.answer == "premium_index" and "symbol" not in parameters:
            self._weight.charge(9)  # 10 for all symbols, 1 for one
        if route.security != "none":
            check_key(request, self._api_key)
            if self._portfolio_margin != request.path.startswith("/papi/"):
                words = "Invalid API-key, IP, or permissions for action, request ip: "
                raise Refused(401, -2015, words + request.address)
        if route.security == "signed":
            check_signature(request, parameters, self._api_secret, self._verify)
            check_timestamp(parameters, self.now_ms() + int(self._clock_shift * 1000))
        return getattr(self, route.answer)(parameters)

    def now_ms(self) -> int:
        """The exchange's time in milliseconds."""
        return int((self._clock() + self._clock_jump) * 1000)

    # -- market data ------------------------------------------------------------------------------------

    def ping(self, parameters: Parameters) -> Any:
        """``GET /fapi/v1/ping``."""
        return {}

    def time(self, parameters: Parameters) -> Any:
        """``GET /fapi/v1/time``."""
        return {"serverTime": self.now_ms()}

    def exchange_info(self, parameters: Parameters) -> Any:
        """``GET /fapi/v1/exchangeInfo``."""
        return answers.exchange_info(self.market, self._weight.limit, self.now_ms())

    def premium_index(self, parameters: Parameters) -> Any:
        """``GET /fapi/v1/premiumIndex``: an object with ``symbol``, else a list."""
        rows = [answers.premium_index(symbol, self.now_ms()) for symbol in self._asked(parameters)]
        return rows[0] if "symbol" in parameters else rows

    # -- account ----------------------------------------------------------------------------------------

    def leverage_bracket(self, parameters: Parameters) -> Any:
        """``GET /fapi/v1/leverageBracket``: an object with ``symbol``, else a list."""
        rows = [answers.leverage_bracket(symbol) for symbol in self._asked(parameters)]
        return rows[0] if "symbol" in parameters else rows

    def symbol_config(self, parameters: Parameters) -> Any:
        """``GET /fapi/v1/symbolConfig``: always a list."""
        rows = [answers.symbol_config(self.account, symbol) for symbol in self._asked(parameters)]
        return [row | self._stale(row["symbol"]) for row in rows] if self._age else rows

    def _stale(self, symbol: str) -> dict[str, Any]:
        """What a row of symbolConfig showed some seconds ago, where it differs."""
        at, earlier = self._clock() - self._age, None
        for settings in reversed(self._earlier):
            if settings.until <= at:
                break
            if settings.symbol == symbol:
                earlier = settings
        if earlier is None:
            return {}
        cap = answers.whole(self.market.symbols[symbol].max_notional(earlier.leverage))
        margin_type = "ISOLATED" if earlier.is_isolated else "CROSSED"
        return {"leverage": earlier.leverage, "marginType": margin_type, "maxNotionalValue": str(cap)}

    def _keep_settings(self, symbol: str) -> None:
        """Remember a symbol's settings just before they change."""
        now, account = self._clock(), self.account
        self._earlier.append(_Earlier(now, symbol, account.leverage(symbol), account.is_isolated(symbol)))

    def account_config(self, parameters: Parameters) -> Any:
        """``GET /fapi/v1/accountConfig``."""
        return answers.account_config(self.account)

    def position_risk_v2(self, parameters: Parameters) -> Any:
        """``GET /fapi/v2/positionRisk``: every symbol, held or not."""
        names = [symbol.name for symbol in self._asked(parameters)]
        return answers.position_risk_v2(self.account, names, self.market.opened_at)

    def position_risk_v3(self, parameters: Parameters) -> Any:
        """``GET /fapi/v3/positionRisk``: only symbols with a position or an open order."""
        asked = {symbol.name for symbol in self._asked(parameters)}
        names = [name for name in self.account.symbols_in_use() if name in asked]
        return answers.position_risk_v3(self.account, names, self.market.opened_at)

    def account_v3(self, parameters: Parameters) -> Any:
        """``GET /fapi/v3/account``."""
        return answers.account_v3(self.account, self.market.opened_at)

    def balance_v3(self, parameters: Parameters) -> Any:
        """``GET /fapi/v3/balance``."""
        return answers.balance_v3(self.account, self.market.opened_at)

    def dual_side(self, parameters: Parameters) -> Any:
        """``GET /fapi/v1/positionSide/dual``."""
        return {"dualSidePosition": self.account.dual_side}

    def multi_assets(self, parameters: Parameters) -> Any:
        """``GET /fapi/v1/multiAssetsMargin``."""
        return {"multiAssetsMargin": self.account.multi_assets}

    # -- changes ----------------------------------------------------------------------------------------

    def change_leverage(self, parameters: Parameters) -> Any:
        """``POST /fapi/v1/leverage``."""
        symbol = self._symbol(parameters)
        leverage = integer(parameters, "leverage")
        self._set_leverage(symbol.name, leverage, int(parameters["timestamp"]))
        cap = answers.whole(symbol.max_notional(leverage))
        return {"leverage": leverage, "maxNotionalValue": str(cap), "symbol": symbol.name}

    def change_elsewhere(self, symbol: str, leverage: int) -> None:
        """Another client of the same account sets a leverage; what would be refused changes nothing."""
        with suppress(Refused):
            self._set_leverage(symbol, leverage, None)

    def _set_leverage(self, symbol: str, leverage: int, timestamp: int | None) -> None:
        before = self.account.leverage(symbol)
        self._keep_settings(symbol)
        moved = self.account.set_leverage(symbol, leverage)
        self.executed.append(Execution(self._clock(), symbol, before, leverage, timestamp))
        if moved:
            # Whether Binance sends the event when the value stays the same is not documented; we do not.
            self._emit("ACCOUNT_CONFIG_UPDATE", ac={"s": symbol, "l": leverage})

    def note_arrival(self, request: Request) -> None:
        """Take note of a change that has arrived, whatever becomes of it."""
        if (request.method, request.path) == ("POST", "/fapi/v1/leverage"):
            parameters = dict(parse_qsl(request.body) + parse_qsl(request.query))
            with suppress(ValueError):
                self.received.append((parameters.get("symbol", ""), int(parameters.get("timestamp", ""))))

    def change_margin_type(self, parameters: Parameters) -> Any:
        """``POST /fapi/v1/marginType``."""
        symbol = self._symbol(parameters)
        wanted = parameters.get("marginType", "")
        if not wanted:
            raise missing("marginType")
        if wanted not in {"ISOLATED", "CROSSED"}:
            raise Refused(400, -1130, "Data sent for parameter 'marginType' is not valid.")
        self._keep_settings(symbol.name)
        self.account.set_margin_type(symbol.name, wanted == "ISOLATED")
        changed = {"m": "MARGIN_TYPE_CHANGE", "B": [], "P": answers.stream_positions(self.account, symbol)}
        self._emit("ACCOUNT_UPDATE", a=changed)
        return SUCCESS

    def change_dual_side(self, parameters: Parameters) -> Any:
        """``POST /fapi/v1/positionSide/dual``."""
        self.account.set_dual_side(_boolean(parameters, "dualSidePosition"))
        return SUCCESS

    def change_multi_assets(self, parameters: Parameters) -> Any:
        """``POST /fapi/v1/multiAssetsMargin``."""
        self.account.set_multi_assets(_boolean(parameters, "multiAssetsMargin"))
        self._emit("ACCOUNT_CONFIG_UPDATE", ai={"j": self.account.multi_assets})
        return SUCCESS

    # -- user-data stream -------------------------------------------------------------------------------

    @property
    def listen_key(self) -> str:
        """The one listen key of the account; it admits a stream only between POST and expiry."""
        return hashlib.sha256(f"listen {self._api_key}".encode()).hexdigest()

    def admits_stream(self, listen_key: str) -> bool:
        """Whether a WebSocket with this key may open now."""
        return listen_key == self.listen_key and self._clock() < self._listen_key_expiry

    def open_listen_key(self, parameters: Parameters) -> Any:
        """``POST /fapi/v1/listenKey``: returns the active key and extends it."""
        self._listen_key_expiry = self._clock() + LISTEN_KEY_LIFE
        return {"listenKey": self.listen_key}

    def keep_listen_key(self, parameters: Parameters) -> Any:
        """``PUT /fapi/v1/listenKey``."""
        if self._clock() >= self._listen_key_expiry:
            raise Refused(400, -1125, "This listenKey does not exist.")
        return self.open_listen_key(parameters)

    def close_listen_key(self, parameters: Parameters) -> Any:
        """``DELETE /fapi/v1/listenKey``."""
        self._listen_key_expiry = 0.0
        return {}

    def expire_listen_key(self) -> None:
        """Tell its streams once that the listen key has expired; nothing more comes on them."""
        if 0 < self._listen_key_expiry <= self._clock():
            self._emit("listenKeyExpired", listenKey=self.listen_key)
            self._listen_key_expiry = 0.0

    def margin_call(self, symbol: str) -> None:
        """Warn of a symbol's positions as Binance does when they come close to liquidation."""
        rows = answers.stream_margin_call(self.account, self.market.symbols[symbol])
        self._emit("MARGIN_CALL", p=rows)

    def seconds(self) -> float:
        """The exchange's time in seconds."""
        return self._clock()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Hand every user-data event to ``listener`` until the returned function is called."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _emit(self, event: str, **content: Any) -> None:
        now = self.now_ms()
        for listener in list(self._listeners):
            listener({"e": event, "E": now, "T": now, **content})

    # -- parameters -------------------------------------------------------------------------------------

    def _symbol(self, parameters: Parameters) -> Symbol:
        name = parameters.get("symbol", "")
        if not name:
            raise missing("symbol")
        if name not in self.market.symbols:
            raise Refused(400, -1121, "Invalid symbol.")
        return self.market.symbols[name]

    def _asked(self, parameters: Parameters) -> list[Symbol]:
        if "symbol" in parameters:
            return [self._symbol(parameters)]
        return list(self.market.symbols.values())


def _boolean(parameters: Parameters, name: str) -> bool:
    text = parameters.get(name, "").lower()
    if text not in {"true", "false"}:
        raise missing(name)
    return text == "true"
