"""The simulated exchange: its endpoints and its user-data stream.

``ROUTES`` lists the endpoints, with the security types and weights of Binance's endpoint pages:
https://developers.binance.com/docs/derivatives/usds-margined-futures.
"""

from __future__ import annotations

import hashlib
import json
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from leverage_nb.simulator import admission, answers
from leverage_nb.simulator.account import Account, Refused
from leverage_nb.simulator.admission import Request, WeightMeter
from leverage_nb.simulator.isolated_margin import MarginChange, MarginHistory, move_margin, read_amount
from leverage_nb.simulator.market import Market, Symbol
from leverage_nb.simulator.records import KINDS_OF_CHANGE, Arrival, ChangeKind, Execution, record

Parameters = dict[str, str]
Listener = Callable[[dict[str, Any]], None]

SUCCESS = {"code": 200, "msg": "success"}
LISTEN_KEY_LIFE = 3600.0
HISTORY = 1_000  # changes that stale reads can go back to


@dataclass(frozen=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: str
    headers: dict[str, str]


class Exchange:
    """Answers requests one at a time; the same requests at the same times give the same answers.

    Args: see ``Simulator``.

    Attributes:
        executed: Every executed change, in order, regardless of what was answered.
        arrivals: Every change that arrived with a valid key and signature, executed or not. Both keep the latest
            100,000.
        margin_history: The changes of isolated margin, as the exchange shows them.
        weight: The request weight that was used.
    """

    def __init__(
        self,
        market: Market,
        account: Account,
        *,
        api_key: str,
        api_secret: str,
        weight_limit: int,
        clock: Callable[[], float],
        portfolio_margin: bool,
        public_key: str | None,
    ) -> None:
        self.market = market
        self.account = account
        self.executed: list[Execution] = []
        self.arrivals: list[Arrival] = []
        self.margin_history = MarginHistory()
        self._portfolio_margin = portfolio_margin
        self._verify = admission.public_key_verifier(public_key) if public_key else admission.hmac_verifier(api_secret)
        self._earlier: deque[tuple[float, Account]] = deque(maxlen=HISTORY)  # what it was until when, in order of time
        self._jump = self._age = 0.0  # of the request that is being answered
        self._api_key = api_key
        self.clock = clock
        self.weight = WeightMeter(weight_limit, clock)
        self._listen_key_expiry = 0.0
        self._ended_keys = 0
        self._listeners: list[Listener] = []

    def handle(self, request: Request, clock_shift: float = 0.0, *, jump: float = 0.0, age: float = 0.0) -> Answer:
        """Admit, route and answer one request.

        Args:
            request: As it arrived.
            clock_shift: Seconds by which the clock that checks the timestamp is ahead.
            jump: Seconds by which the exchange's clock is ahead in every respect; ``executed`` keeps the true time.
            age: Age in seconds of the settings, positions and balances that reads show.
        """
        self._jump, self._age = jump, age
        try:
            status, body = 200, self._answer(request, clock_shift)
        except Refused as refusal:
            status, body = refusal.status, {"code": refusal.code, "msg": refusal.msg}
        finally:
            self._jump = self._age = 0.0
        headers = {"Content-Type": "application/json", "X-MBX-USED-WEIGHT-1M": str(self.weight.used)}
        return Answer(status, json.dumps(body, ensure_ascii=False, separators=(",", ":")), headers)

    def _answer(self, request: Request, clock_shift: float) -> Any:
        route = ROUTES.get((request.method, request.path))
        if route is None:
            raise Refused(404, -5000, f"Path {request.path}, Method {request.method} is invalid")
        self.weight.charge(route.weight)
        parameters = admission.read_parameters(request)
        if "symbol" not in parameters:
            self.weight.charge(route.weight_of_all)
        if route.security != "none":
            admission.check_key(request, self._api_key)
            if self._portfolio_margin != request.path.startswith("/papi/"):
                raise admission.invalid_key(request)
        if route.security == "signed":
            admission.check_signature(request, parameters, self._verify)
            admission.check_timestamp(parameters, self.now_ms() + int(clock_shift * 1000))
        return route.answer(self, parameters)

    def note_arrival(self, request: Request) -> None:
        """Record a change that has arrived with a valid key and signature."""
        kind = KINDS_OF_CHANGE.get((request.method, request.path))
        if kind is not None:
            with suppress(Refused):
                admission.check_key(request, self._api_key)
                parameters = admission.read_parameters(request)
                admission.check_signature(request, parameters, self._verify)
                timestamp = admission.integer(parameters, "timestamp")
                record(self.arrivals, Arrival(parameters.get("symbol", ""), timestamp, kind))

    @property
    def received(self) -> list[tuple[str, int]]:
        """Symbol and timestamp of ``arrivals``."""
        return [(arrival.symbol, arrival.timestamp) for arrival in self.arrivals]

    def now_ms(self) -> int:
        """Return the exchange's time in milliseconds, as the request that is being answered finds it."""
        return int((self.clock() + self._jump) * 1000)

    # -- reads ------------------------------------------------------------------------------------------

    def shown(self) -> Account:
        """Return the account as the request that is being answered finds it: the present one, unless it is stale."""
        shown_at = self.clock() - self._age
        earlier = (account for until, account in self._earlier if until > shown_at)
        return next(earlier, self.account) if self._age else self.account

    def symbol_config(self, parameters: Parameters) -> Any:
        """Answer ``GET /fapi/v1/symbolConfig``: always a list."""
        account = self.shown()
        return [answers.symbol_config(account, symbol) for symbol in self._requested(parameters)]

    def _margin_history(self, parameters: Parameters) -> Any:
        history, name = self.margin_history, self._symbol(parameters).name
        rows = history.requested(name, parameters, self.now_ms(), int(self._age * 1000))
        return [answers.margin_change(row, unsigned=history.unsigned) for row in rows]

    def _asset_index(self, parameters: Parameters) -> Any:
        rows = [answers.asset_index(self.account, asset, self.now_ms()) for asset in self.account.assets()]
        if "symbol" not in parameters:
            return rows
        if not (named := [row for row in rows if row["symbol"] == parameters["symbol"]]):
            raise Refused(400, -1121, "Invalid symbol.")
        return named[0]

    def _leverage_bracket(self, parameters: Parameters) -> Any:
        return self._one_or_all(parameters, answers.leverage_bracket)

    def _one_or_all(self, parameters: Parameters, answer: Callable[[Symbol], Any]) -> Any:
        rows = [answer(symbol) for symbol in self._requested(parameters)]
        return rows[0] if "symbol" in parameters else rows

    # -- changes ----------------------------------------------------------------------------------------

    def _change_leverage(self, parameters: Parameters) -> Any:
        symbol = self._symbol(parameters)
        leverage = admission.integer(parameters, "leverage")
        self._set_leverage(symbol.name, leverage, int(parameters["timestamp"]))
        cap = answers.whole(symbol.max_notional(leverage))
        return {"leverage": leverage, "maxNotionalValue": str(cap), "symbol": symbol.name}

    def change_elsewhere(
        self,
        symbol: str,
        leverage: int | None = None,
        *,
        margin_type: str = "",
        margin: Decimal | str | None = None,
        side: str = "BOTH",
    ) -> None:
        """Change a symbol as another client of the same account; a refused change has no effect.

        Args:
            symbol: The symbol.
            leverage: The leverage to set.
            margin_type: "ISOLATED" or "CROSSED".
            margin: The isolated margin to add, in the margin asset; negative to reduce it.
            side: The side of the position whose isolated margin changes.
        """
        if leverage is not None:
            with suppress(Refused):
                self._set_leverage(symbol, leverage, None)
        if margin_type:
            with suppress(Refused):
                self._set_margin_type(symbol, margin_type, None)
        if margin is not None:
            with suppress(Refused):
                self._move_margin(symbol, side, Decimal(margin), None)

    def _set_leverage(self, symbol: str, leverage: int, timestamp: int | None) -> None:
        before = self.account.shown_leverage(symbol)
        self._keep_account()
        changed = self.account.set_leverage(symbol, leverage)
        self._executed(symbol, before, leverage, timestamp, "leverage")
        if changed:
            # Inferred: Binance does not document whether it sends an event for an unchanged value.
            self.emit("ACCOUNT_CONFIG_UPDATE", ac={"s": symbol, "l": leverage})

    def change_margin_type(self, parameters: Parameters) -> Any:
        """Answer ``POST /fapi/v1/marginType``."""
        symbol = self._symbol(parameters)
        margin_type = parameters.get("marginType", "")
        if not margin_type:
            raise admission.missing("marginType")
        timestamp = parameters.get("timestamp")
        self._set_margin_type(symbol.name, margin_type, int(timestamp) if timestamp else None)
        return SUCCESS

    def _set_margin_type(self, symbol: str, margin_type: str, timestamp: int | None) -> None:
        if margin_type not in {"ISOLATED", "CROSSED"}:
            raise admission.invalid("marginType")
        self._keep_account()
        self.account.set_margin_type(symbol, margin_type == "ISOLATED")
        before = "CROSSED" if margin_type == "ISOLATED" else "ISOLATED"
        self._executed(symbol, before, margin_type, timestamp, "margin type")
        positions = answers.stream_positions(self.account, self.market.symbols[symbol])
        self.emit("ACCOUNT_UPDATE", a={"m": "MARGIN_TYPE_CHANGE", "B": [], "P": positions})

    def _change_isolated_margin(self, parameters: Parameters) -> Any:
        symbol = self._symbol(parameters)
        amount, side = read_amount(parameters), parameters.get("positionSide", "BOTH")
        if side not in {"BOTH", "LONG", "SHORT"}:
            raise admission.invalid("positionSide")
        self._move_margin(symbol.name, side, amount, int(parameters["timestamp"]))
        return answers.margin_changed(amount)

    def _move_margin(self, symbol: str, side: str, amount: Decimal, timestamp: int | None) -> None:
        self._keep_account()
        wallet = move_margin(self.account, symbol, side, amount).isolated_wallet
        self._executed(symbol, wallet - amount, wallet, timestamp, "isolated margin", side)
        asset = self.market.symbols[symbol].margin_asset
        self.margin_history.add(MarginChange(symbol, side, amount, asset, self.now_ms()))
        # Inferred: Binance documents the reason, but not for which requests.
        positions = answers.stream_positions(self.account, self.market.symbols[symbol])
        balances = [answers.stream_balance(self.account, asset)]
        self.emit("ACCOUNT_UPDATE", a={"m": "MARGIN_TRANSFER", "B": balances, "P": positions})

    def _keep_account(self) -> None:
        self._earlier.append((self.clock(), self.account.snapshot()))

    def _executed(
        self, symbol: str, before: Any, after: Any, timestamp: int | None, kind: ChangeKind, side: str = "BOTH"
    ) -> None:
        record(self.executed, Execution(self.clock(), symbol, before, after, timestamp, kind, side))

    def _change_dual_side(self, parameters: Parameters) -> Any:
        self.account.set_dual_side(_boolean(parameters, "dualSidePosition"))
        return SUCCESS

    def _change_multi_assets(self, parameters: Parameters) -> Any:
        self.account.set_multi_assets(_boolean(parameters, "multiAssetsMargin"))
        self.emit("ACCOUNT_CONFIG_UPDATE", ai={"j": self.account.multi_assets})
        return SUCCESS

    # -- user-data stream -------------------------------------------------------------------------------

    @property
    def listen_key(self) -> str:
        """The account's listen key; it delivers events between POST and expiry, and is followed by another one."""
        return hashlib.sha256(f"listen {self._api_key} {self._ended_keys}".encode()).hexdigest()

    def admits_stream(self, listen_key: str) -> bool:
        """Return whether a WebSocket with this listen key receives events now."""
        return listen_key == self.listen_key and self.clock() < self._listen_key_expiry

    def _open_listen_key(self, parameters: Parameters) -> Any:
        self.expire_listen_key()
        self._listen_key_expiry = self.clock() + LISTEN_KEY_LIFE
        return {"listenKey": self.listen_key}

    def _keep_listen_key(self, parameters: Parameters) -> Any:
        if self.clock() >= self._listen_key_expiry:
            raise Refused(400, -1125, "This listenKey does not exist.")
        return self._open_listen_key(parameters)

    def _close_listen_key(self, parameters: Parameters) -> Any:
        self.expire_listen_key(early=True)  # seen on the testnet by a third party, 2026-10 (certainty: medium)
        return {}

    def expire_listen_key(self, *, early: bool = False) -> None:
        """Notify the streams that the listen key has expired; they receive no further events.

        Does nothing before the hour is over, unless ``early``.
        """
        if self._listen_key_expiry > 0 and (early or self._listen_key_expiry <= self.clock()):
            self._listen_key_expiry = 0.0
            self.emit("listenKeyExpired", listenKey=self.listen_key)
            self._ended_keys += 1

    def margin_call(self, symbol: str) -> None:
        """Send the event that Binance sends when a symbol's positions come close to liquidation."""
        self.emit("MARGIN_CALL", p=answers.stream_margin_call(self.account, self.market.symbols[symbol]))

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` with every user-data event until the returned function is called."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def emit(self, event: str, **content: Any) -> None:
        """Send a user-data event, given its type and its own fields, to every listener."""
        now = self.now_ms()
        for listener in list(self._listeners):
            listener({"e": event, "E": now, "T": now, **content})

    # -- parameters -------------------------------------------------------------------------------------

    def _symbol(self, parameters: Parameters) -> Symbol:
        name = parameters.get("symbol", "")
        if not name:
            raise admission.missing("symbol")
        if name not in self.market.symbols:
            raise Refused(400, -1121, "Invalid symbol.")
        return self.market.symbols[name]

    def _requested(self, parameters: Parameters) -> list[Symbol]:
        return [self._symbol(parameters)] if "symbol" in parameters else list(self.market.symbols.values())


def _boolean(parameters: Parameters, name: str) -> bool:
    text = parameters.get(name, "").lower()
    if text not in {"true", "false"}:
        raise admission.missing(name)
    return text == "true"


@dataclass(frozen=True)
class Route:
    """An endpoint: its security type, its weight, its answer, and what it weighs in addition without ``symbol``."""

    security: Literal["none", "key", "signed"]
    weight: int
    answer: Callable[[Exchange, Parameters], Any]
    weight_of_all: int = 0


# fmt: off
ROUTES: dict[tuple[str, str], Route] = {
    ("GET", "/fapi/v1/ping"): Route("none", 1, lambda own, _: {}),
    ("GET", "/fapi/v1/time"): Route("none", 1, lambda own, _: {"serverTime": own.now_ms()}),
    ("GET", "/fapi/v1/exchangeInfo"): Route(
        "none", 1, lambda own, _: answers.exchange_info(own.market, own.weight.limit, own.now_ms())),
    ("GET", "/fapi/v1/premiumIndex"): Route(
        "none", 1, lambda own, p: own._one_or_all(p, lambda symbol: answers.premium_index(symbol, own.now_ms())), 9),
    ("GET", "/fapi/v1/assetIndex"): Route("none", 1, lambda own, p: own._asset_index(p), 9),
    ("GET", "/fapi/v1/leverageBracket"): Route("signed", 1, Exchange._leverage_bracket),
    ("GET", "/papi/v1/um/leverageBracket"): Route("signed", 1, Exchange._leverage_bracket),
    ("GET", "/fapi/v1/symbolConfig"): Route("signed", 5, lambda own, p: own.symbol_config(p)),
    ("GET", "/fapi/v1/accountConfig"): Route("signed", 5, lambda own, _: answers.account_config(own.shown())),
    ("GET", "/fapi/v2/positionRisk"): Route(
        "signed", 5, lambda own, p: answers.position_risk_v2(own.shown(), own._requested(p))),
    ("GET", "/fapi/v3/positionRisk"): Route(
        "signed", 5, lambda own, p: answers.position_risk_v3(own.shown(), own._requested(p))),
    ("GET", "/fapi/v3/account"): Route("signed", 5, lambda own, _: answers.account_v3(own.shown())),
    ("GET", "/fapi/v3/balance"): Route("signed", 5, lambda own, _: answers.balance_v3(own.shown())),
    ("GET", "/fapi/v1/positionSide/dual"): Route(
        "signed", 30, lambda own, _: {"dualSidePosition": own.account.dual_side}),
    ("GET", "/fapi/v1/multiAssetsMargin"): Route(
        "signed", 30, lambda own, _: {"multiAssetsMargin": own.account.multi_assets}),
    ("POST", "/fapi/v1/leverage"): Route("signed", 1, Exchange._change_leverage),
    ("POST", "/fapi/v1/marginType"): Route("signed", 1, Exchange.change_margin_type),
    ("POST", "/fapi/v1/positionMargin"): Route("signed", 1, Exchange._change_isolated_margin),
    ("GET", "/fapi/v1/positionMargin/history"): Route("signed", 1, Exchange._margin_history),
    ("POST", "/fapi/v1/positionSide/dual"): Route("signed", 1, Exchange._change_dual_side),
    ("POST", "/fapi/v1/multiAssetsMargin"): Route("signed", 1, Exchange._change_multi_assets),
    ("POST", "/fapi/v1/listenKey"): Route("key", 1, Exchange._open_listen_key),
    ("PUT", "/fapi/v1/listenKey"): Route("key", 1, Exchange._keep_listen_key),
    ("DELETE", "/fapi/v1/listenKey"): Route("key", 1, Exchange._close_listen_key),
}
# fmt: on
