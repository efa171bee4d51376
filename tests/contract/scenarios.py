"""The rules of Binance USDⓈ-M Futures that the package assumes, each with a check.

Each scenario's docstring is the rule. ``certainty`` is its basis: "documented" (Binance's API documents or FAQ),
"inferred" (consistent with reports and guides), or "unknown" (the scenario notes the observation). A scenario uses the
account as it is: it places no orders and restores every leverage. One leverage cannot be restored, and its scenario
states it: that of an isolated position that was raised.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any, Literal

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect as open_socket

import leverage_nb as lev
from tests.contract.comparison import Comparison, NotChecked
from tests.contract.exchange import ExchangeUnderTest, Reply, Row, cap_at, has_coef, tier_of

Check = Callable[[ExchangeUnderTest, Comparison], None]

# The highest leverage that every account may set, and the codes that refuse a higher one to some accounts.
SAFE = 20
LIMITS = {-4202, -4203, -4205, -4206, -4208, -4209, -4300, -4403}

# The maximum number of changes that the comparison of predictions attempts.
MOST_ATTEMPTS = 30


@dataclass(frozen=True)
class Scenario:
    """One rule, and the check of it.

    Attributes:
        name: The name in test reports.
        rule: The rule.
        certainty: The basis of the rule.
        source: The document or report.
        check: Sends requests to the exchange and compares the answers.
    """

    name: str
    rule: str
    certainty: Literal["documented", "inferred", "unknown"]
    source: str
    check: Check


SCENARIOS: list[Scenario] = []


def scenario(certainty: Literal["documented", "inferred", "unknown"], source: str) -> Callable[[Check], Check]:
    """Add a check to the list."""

    def enter(check: Check) -> Check:
        SCENARIOS.append(Scenario(check.__name__, " ".join((check.__doc__ or "").split()), certainty, source, check))
        return check

    return enter


# -- the form of answers -----------------------------------------------------------------------------------------


@scenario("documented", "Check Server Time; General Info")
def server_time(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """The field serverTime is a number in milliseconds, and every answer has the header X-MBX-USED-WEIGHT-1M."""
    reply = exchange.call("GET", "/fapi/v1/time", security="none")
    found.shape(reply.request, {"serverTime": "int"}, reply.content)
    found.same(reply.request, "header X-MBX-USED-WEIGHT-1M", True, "X-MBX-USED-WEIGHT-1M" in reply.headers)


@scenario("documented", "Exchange Information")
def rate_limit_is_named(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """The answer of exchangeInfo has the request weight per minute, and the margin asset of every symbol."""
    reply = exchange.call("GET", "/fapi/v1/exchangeInfo", security="none")
    kinds = {"rateLimitType": "text", "interval": "text", "intervalNum": "int", "limit": "int"}
    for row in reply.content["rateLimits"]:
        found.shape(f"{reply.request} rateLimits", kinds, row)
    weight = [row for row in reply.content["rateLimits"] if row["rateLimitType"] == "REQUEST_WEIGHT"]
    found.same(
        reply.request, "REQUEST_WEIGHT", [("MINUTE", 1)], [(row["interval"], row["intervalNum"]) for row in weight]
    )
    for row in reply.content["symbols"]:
        found.shape(f"{reply.request} symbols", {"symbol": "text", "marginAsset": "text", "status": "text"}, row)


@scenario("documented", "Mark Price")
def mark_price(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """The mark price of a symbol is a number in a string."""
    reply = exchange.call("GET", "/fapi/v1/premiumIndex", security="none", symbol="BTCUSDT")
    found.shape(reply.request, {"symbol": "text", "markPrice": "decimal", "time": "int"}, reply.content)


@scenario("documented", "Notional and Leverage Brackets; cum as a float: reports on the official SDK")
def brackets_of_all(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """Without a symbol leverageBracket is a list; all figures of a tier are JSON numbers."""
    reply = exchange.call("GET", "/fapi/v1/leverageBracket")
    found.same(reply.request, "the answer", True, isinstance(reply.content, list))
    kinds = dict.fromkeys(("notionalCap", "notionalFloor", "maintMarginRatio", "cum"), "number")
    for row in reply.content:
        found.shape(reply.request, {"symbol": "text", "brackets": "list"}, row)
        for tier in row["brackets"]:
            found.shape(f"{reply.request} {row['symbol']}", {"bracket": "int", "initialLeverage": "int", **kinds}, tier)


@scenario("unknown", "Notional and Leverage Brackets documents an object; reports show both")
def brackets_of_one(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """With a symbol leverageBracket is an object, or a list of one, with the same tiers as in the full list."""
    reply = exchange.call("GET", "/fapi/v1/leverageBracket", symbol="BTCUSDT")
    found.notes.append(
        f"leverageBracket with a symbol is {'a list' if isinstance(reply.content, list) else 'an object'}"
    )
    [one] = reply.content if isinstance(reply.content, list) else [reply.content]
    whole = next(row for row in exchange.rows("/fapi/v1/leverageBracket") if row["symbol"] == "BTCUSDT")
    found.same(reply.request, "brackets", whole["brackets"], one["brackets"])


@scenario("documented", "FAQ on leverage and margin (cum); published tables (the rest)")
def tiers_hold_together(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """Tiers start at 0 and join without gaps, leverage falls to 1, rates rise, cum follows from floors and rates."""
    for symbol, tiers in exchange.tiers().items():
        figures = [
            {name: Decimal(str(value)) for name, value in tier.items() if name != "bracket"}
            for tier in sorted(tiers, key=lambda tier: Decimal(str(tier["notionalFloor"])))
        ]
        found.same(symbol, "first floor and cum", (0, 0), (figures[0]["notionalFloor"], figures[0]["cum"]))
        found.same(symbol, "last initialLeverage", 1, figures[-1]["initialLeverage"])
        cum = Decimal(0)
        for lower, upper in pairwise(figures):
            found.same(symbol, "notionalFloor", lower["notionalCap"], upper["notionalFloor"])
            found.same(symbol, "leverage falls", True, upper["initialLeverage"] < lower["initialLeverage"])
            rise = upper["maintMarginRatio"] - lower["maintMarginRatio"]
            found.same(symbol, "maintMarginRatio rises", True, rise > 0)
            cum += upper["notionalFloor"] * rise
            # Binance rounds cum on some symbols; an error in a rate would exceed a ten-thousandth of the floor.
            found.close(symbol, "cum", cum, upper["cum"], within=upper["notionalFloor"] / 10_000)


@scenario("documented", "Symbol Configuration")
def symbol_config(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """The answer of symbolConfig is a list, also with a symbol; leverage is a number, maxNotionalValue a string."""
    reply = exchange.call("GET", "/fapi/v1/symbolConfig", symbol="BTCUSDT")
    found.same(reply.request, "the answer", True, isinstance(reply.content, list) and len(reply.content) == 1)
    kinds = {
        "symbol": "text", "marginType": "text", "isAutoAddMargin": "bool", "leverage": "int",
        "maxNotionalValue": "decimal",
    }  # fmt: skip
    for row in exchange.rows("/fapi/v1/symbolConfig"):
        found.shape("GET /fapi/v1/symbolConfig", kinds, row)
        found.same(row["symbol"], "marginType", {"CROSSED", "ISOLATED"}, row["marginType"])


@scenario("inferred", "three observed answers; announcements print leverages as ranges")
def max_notional_follows_from_the_tiers(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """The maxNotionalValue of a setting is the cap of the last tier that offers the current leverage."""
    tiers = exchange.tiers()
    for symbol, row in exchange.settings().items():
        if symbol in tiers and row["leverage"] <= tiers[symbol][0]["initialLeverage"]:
            found.close(symbol, "maxNotionalValue", cap_at(tiers[symbol], row["leverage"]), row["maxNotionalValue"])


@scenario("unknown", "the multiplier is documented, what it multiplies is not")
def what_notional_coef_multiplies(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """Whether notionalCoef is already included in the caps of an account with adjusted tiers is noted."""
    adjusted = [row for row in exchange.rows("/fapi/v1/leverageBracket") if has_coef(row)]
    if not adjusted:
        raise NotChecked("an account with a notionalCoef")
    settings = exchange.settings()
    for row in adjusted:
        cap = cap_at(row["brackets"], settings[row["symbol"]]["leverage"])
        actual = Decimal(settings[row["symbol"]]["maxNotionalValue"])
        found.notes.append(f"{row['symbol']}: notionalCoef {row['notionalCoef']}, cap {cap}, maxNotionalValue {actual}")


@scenario("documented", "Account Configuration")
def account_config(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """Hedge mode and multi-assets mode are booleans in accountConfig."""
    reply = exchange.call("GET", "/fapi/v1/accountConfig")
    found.shape(reply.request, {"dualSidePosition": "bool", "multiAssetsMargin": "bool"}, reply.content)


@scenario("documented", "Position Information V3")
def position_risk(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """Version 3 of positionRisk lists symbols with a position or open orders; figures are strings, without leverage."""
    rows = exchange.positions()
    if not rows:
        raise NotChecked("a position or an open order")
    figures = (
        "positionAmt", "entryPrice", "markPrice", "unRealizedProfit", "liquidationPrice", "notional", "isolatedWallet",
        "bidNotional", "askNotional", "positionInitialMargin", "openOrderInitialMargin", "maintMargin",
    )  # fmt: skip
    kinds = {"symbol": "text", "positionSide": "text", "marginAsset": "text", **dict.fromkeys(figures, "decimal")}
    for row in rows:
        found.shape("GET /fapi/v3/positionRisk", kinds, row)
        found.same("GET /fapi/v3/positionRisk", "leverage", "absent", "absent" if "leverage" not in row else "there")


@scenario("documented", "Account Information V3; Futures Account Balance V3")
def account_and_balance(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """Account v3 has each asset's figures as strings; balance v3 names the account's alias."""
    reply = exchange.call("GET", "/fapi/v3/account")
    figures = (
        "walletBalance", "unrealizedProfit", "crossWalletBalance", "crossUnPnl", "initialMargin", "maintMargin",
        "availableBalance",
    )  # fmt: skip
    for row in reply.content["assets"]:
        found.shape(f"{reply.request} assets", {"asset": "text", **dict.fromkeys(figures, "decimal")}, row)
    for row in exchange.rows("/fapi/v3/balance"):
        found.shape("GET /fapi/v3/balance", {"accountAlias": "text", "asset": "text"}, row)


# The key is not closed: an account has only one, and other programs of the user may use it.
@scenario("documented", "Start and Keepalive User Data Stream")
def listen_key(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """The API key alone yields a listen key, the same one until it expires; PUT extends it."""
    first = exchange.call("POST", "/fapi/v1/listenKey", security="key")
    found.shape(first.request, {"listenKey": "text"}, first.content)
    again = exchange.call("POST", "/fapi/v1/listenKey", security="key")
    found.same(again.request, "listenKey the second time", True, first.content == again.content)
    found.same(
        "PUT /fapi/v1/listenKey", "status", 200, exchange.call("PUT", "/fapi/v1/listenKey", security="key").status
    )


# -- admission --------------------------------------------------------------------------------------------------


@scenario("documented", "Error Codes: -1022")
def wrong_signature(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """A wrong signature is -1022."""
    reply = exchange.call("GET", "/fapi/v1/accountConfig", extra_secret="x")
    found.same(f"{reply.request}, signed wrongly", "code", -1022, reply.code)


@scenario("documented", "General Info: timing security")
def old_timestamp(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """A timestamp older than recvWindow, or more than a second ahead, is -1021; one within it is served."""
    for late_by, code in ((60_000, -1021), (-10_000, -1021), (2_000, 0)):
        reply = exchange.call("GET", "/fapi/v1/accountConfig", late_by=late_by)
        found.same(f"{reply.request}, {late_by} ms late", "code", code, reply.code)


@scenario("documented", "Error Codes: -2014, -2015; -2008 from reports")
def unknown_key(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """A malformed key is -2014; an unknown one is -2015 or -2008."""
    reply = exchange.call("GET", "/fapi/v1/accountConfig", api_key="short")
    found.same(f"{reply.request}, key malformed", "code", -2014, reply.code)
    reply = exchange.call("GET", "/fapi/v1/accountConfig", api_key="a" * 64)
    found.same(f"{reply.request}, key unknown", "code", {-2015, -2008}, reply.code)


@scenario("documented", "Error Codes: -1102, -1121, -4028")
def malformed_changes(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """A change without symbol is -1102, with an unknown one -1121, above the maximum -4028; nothing changes."""
    symbol = _flat_symbol(exchange)
    most = exchange.tiers()[symbol][0]["initialLeverage"]
    with exchange.restored(symbol) as before:
        reply = exchange.call("POST", "/fapi/v1/leverage", leverage=before)
        found.same(reply.request, "code", -1102, reply.code)
        reply = exchange.set_leverage("NOSUCHUSDT", 5)
        found.same(reply.request, "code", -1121, reply.code)
        reply = exchange.set_leverage(symbol, most + 1)
        _refused(found, reply, -4028)
        _still_at(exchange, found, symbol, before)


@scenario("unknown", "the code for a malformed leverage is not documented")
def malformed_leverages(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """A leverage that is zero, negative, a fraction or not a number is refused, and nothing changes."""
    symbol = _flat_symbol(exchange)
    with exchange.restored(symbol) as before:
        for leverage in (0, -5, "10.5", "ten", ""):
            reply = exchange.set_leverage(symbol, leverage)
            found.same(reply.request, "refused", True, reply.code < 0)
            found.notes.append(f"leverage {leverage!r} is refused with {reply.code}")
        _still_at(exchange, found, symbol, before)


@scenario("inferred", "General Info on percent-encoding names other products than futures")
def symbols_beyond_ascii(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """A symbol with Chinese characters is signed as sent: UTF-8, percent-encoded."""
    symbol = next((name for name in exchange.settings() if not name.isascii()), None)
    if symbol is None:
        raise NotChecked("a listed symbol with non-ASCII characters")
    reply = exchange.call("GET", "/fapi/v1/symbolConfig", symbol=symbol)
    found.same(reply.request, "status", 200, reply.status)


# -- changing a leverage -----------------------------------------------------------------------------------------


@scenario("documented", "Change Initial Leverage")
def a_change(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """The answer names symbol, leverage (a number) and maxNotionalValue (a string, the tier's cap)."""
    symbol = _flat_symbol(exchange)
    tiers = exchange.tiers()[symbol]
    with exchange.restored(symbol) as before:
        for leverage in _other_leverages(tiers, before):
            reply = exchange.set_leverage(symbol, leverage)
            kinds = {"symbol": "text", "leverage": "int", "maxNotionalValue": "decimal"}
            found.shape(reply.request, kinds, reply.content)
            found.same(reply.request, "symbol, leverage", [symbol, leverage], _named(reply, "symbol", "leverage"))
            [cap] = _named(reply, "maxNotionalValue")
            found.close(reply.request, "maxNotionalValue", cap_at(tiers, leverage), cap)


@scenario("inferred", "not documented; settling and verifying depend on it")
def a_read_shows_the_change(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """A read of symbolConfig immediately after the answer to a change shows the new leverage."""
    symbol = _flat_symbol(exchange)
    with exchange.restored(symbol) as before:
        for leverage in _other_leverages(exchange.tiers()[symbol], before):
            if exchange.set_leverage(symbol, leverage).status == 200:
                _still_at(exchange, found, symbol, leverage)


@scenario("inferred", "logs of trading bots; the third text of -4028 may contradict it")
def the_same_again(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """Setting the current leverage again is answered like any change."""
    symbol = _flat_symbol(exchange)
    with exchange.restored(symbol) as before:
        reply = exchange.set_leverage(symbol, before)
        found.same(reply.request, "status", 200, reply.status)
        found.notes.append(f"setting the current leverage is answered with HTTP {reply.status}, code {reply.code}")


@scenario("documented", "Event: Account Configuration Update; that private streams run on the testnet is not verified")
def a_change_sends_an_event(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """A change sends ACCOUNT_CONFIG_UPDATE on /private/ws/<listenKey>, with symbol and leverage, within seconds."""
    symbol = _flat_symbol(exchange)
    with exchange.restored(symbol) as before, _listening(exchange) as next_event:
        leverage = _other_leverages(exchange.tiers()[symbol], before)[0]
        request = exchange.set_leverage(symbol, leverage).request
        event = next_event("ACCOUNT_CONFIG_UPDATE", 10.0)
        found.shape(request, {"e": "text", "E": "int", "T": "int"}, event)
        found.same(request, "ac of the event", {"s": symbol, "l": leverage}, (event or {}).get("ac"))


@scenario("unknown", "not documented")
def an_unchanged_leverage_sends_an_event(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """Whether setting the current leverage again sends an event is noted."""
    symbol = _flat_symbol(exchange)
    with exchange.restored(symbol) as before, _listening(exchange) as next_event:
        exchange.set_leverage(symbol, before)
        event = next_event("ACCOUNT_CONFIG_UPDATE", 1.0)
        found.notes.append(f"an unchanged leverage sends {'an' if event else 'no'} event")


# -- positions and open orders -----------------------------------------------------------------------------------


@scenario("documented", "FAQ on leverage and margin")
def margins_of_positions(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """Initial margin is notional over leverage; maintenance margin is notional times the tier's rate less cum."""
    settings, tiers = exchange.settings(), exchange.tiers()
    for row in _positions(exchange, lambda row: row["symbol"] in tiers):
        where, notional = f"{row['symbol']} {row['positionSide']}", abs(Decimal(row["notional"]))
        initial = notional / settings[row["symbol"]]["leverage"]
        found.close(where, "positionInitialMargin", initial, row["positionInitialMargin"], "0.0001")
        tier = tier_of(tiers[row["symbol"]], notional)
        maintenance = notional * Decimal(str(tier["maintMarginRatio"])) - Decimal(str(tier["cum"]))
        found.close(where, "maintMargin", maintenance, row["maintMargin"], "0.0001")


@scenario("inferred", "the FAQ shows the formula as a picture; fees are not in it")
def liquidation_of_isolated_positions(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """An isolated position's liquidation price follows from its wallet, its entry price and its tier at that price."""
    tiers = exchange.tiers()
    for row in _positions(exchange, lambda row: Decimal(row["isolatedWallet"]) > 0 and row["symbol"] in tiers):
        amount, entry = Decimal(row["positionAmt"]), Decimal(row["entryPrice"])
        wallet, actual = Decimal(row["isolatedWallet"]), Decimal(row["liquidationPrice"])
        tier = tier_of(tiers[row["symbol"]], amount * actual)
        rate, cum = Decimal(str(tier["maintMarginRatio"])), Decimal(str(tier["cum"]))
        expected = (wallet + cum - amount * entry) / (abs(amount) * rate - amount)
        found.close(row["symbol"], "liquidationPrice", max(expected, Decimal(0)), actual, "0.001")


@scenario("documented", "FAQ: leverage and margin")
def leverage_moves_no_cross_liquidation(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """Changing the leverage of a cross position changes neither its size nor its liquidation price."""
    settings = exchange.settings()

    def movable(row: Row) -> bool:
        setting = settings[row["symbol"]]
        return bool(setting["marginType"] == "CROSSED" and 1 < setting["leverage"] <= SAFE)

    row = next(_positions(exchange, movable))
    with exchange.restored(row["symbol"]) as before:
        reply = exchange.set_leverage(row["symbol"], before + 1 if before < SAFE else before - 1)
        if reply.status != 200:
            raise NotChecked(f"a cross position whose leverage can be changed by one ({reply.code})")
        after = next(_positions(exchange, lambda other: _same_side(row, other)))
        found.same(reply.request, "positionAmt", row["positionAmt"], after["positionAmt"])
        # Meanwhile the price moves, and with it the profit of other cross positions.
        found.close(
            reply.request, "liquidationPrice", Decimal(row["liquidationPrice"]), after["liquidationPrice"], "0.002"
        )


@scenario("documented", "Error Codes: -4161; hedge mode is inferred")
def an_isolated_position_is_not_lowered(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """With an open isolated position, on either side in hedge mode, a lower leverage is refused with -4161."""
    settings = exchange.settings()
    rows = _positions(
        exchange, lambda row: Decimal(row["isolatedWallet"]) > 0 and settings[row["symbol"]]["leverage"] > 1
    )
    for row in rows:
        with exchange.restored(row["symbol"]) as before:
            reply = exchange.set_leverage(row["symbol"], before - 1)
            found.same(f"{reply.request} ({row['positionSide']})", "code", -4161, reply.code)


@scenario("inferred", "guides; not in the API documents. The leverage cannot be lowered again afterwards")
def an_isolated_position_is_raised(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """With an open isolated position a higher leverage is accepted; wallet and liquidation price do not change."""
    settings, tiers = exchange.settings(), exchange.tiers()

    def raisable(row: Row) -> bool:
        symbol, next_up = row["symbol"], settings[row["symbol"]]["leverage"] + 1
        fits = symbol in tiers and next_up <= tiers[symbol][0]["initialLeverage"]
        return fits and Decimal(row["isolatedWallet"]) > 0 and _exposure(row) < cap_at(tiers[symbol], next_up)

    row = next(_positions(exchange, raisable))
    raised = settings[row["symbol"]]["leverage"] + 1
    found.notes.append(f"{row['symbol']} MAY STAY AT {raised}x, it was at {raised - 1}x")
    reply = exchange.set_leverage(row["symbol"], raised)
    found.notes[-1:] = [f"{row['symbol']} STAYS AT {raised}x, it was at {raised - 1}x"] if reply.status == 200 else []
    _refused(found, reply, 0)
    if reply.status != 200:
        return
    after = next(_positions(exchange, lambda other: _same_side(row, other)))
    for name in ("isolatedWallet", "liquidationPrice"):
        found.close(reply.request, name, Decimal(row[name]), after[name], "0.0005")


@scenario("documented", "Error Codes: -2027")
def a_position_above_the_cap(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """A leverage at which the position exceeds the tier's cap is refused with -2027."""
    _refused_above_cap(exchange, found, lambda row: abs(Decimal(row["notional"])))


@scenario("inferred", "the code's text names orders; no report of it on a change of leverage")
def orders_above_the_cap(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """A leverage at which a position that fits exceeds the cap together with its open orders is refused with -2027."""
    _refused_above_cap(exchange, found, lambda row: _exposure(row), fits=lambda row: abs(Decimal(row["notional"])))


@scenario("documented", "Error Codes: -2028; its Chinese text names the available balance")
def a_cross_position_beyond_the_balance(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """A leverage at which a cross position needs more initial margin than is available is refused with -2028."""
    _refused_beyond_balance(exchange, found, lambda row: Decimal(row["positionAmt"]) != 0)


@scenario("inferred", "no report on open orders alone")
def orders_beyond_the_balance(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """The same applies to the open orders of a symbol without a position."""
    _refused_beyond_balance(exchange, found, lambda row: Decimal(row["positionAmt"]) == 0)


@scenario("unknown", "the rule in multi-assets mode is not documented")
def lowering_in_multi_assets_mode(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """In multi-assets mode the answers to lowering a cross position step by step are noted."""
    if not exchange.rows("/fapi/v1/accountConfig")[0]["multiAssetsMargin"]:
        raise NotChecked("an account in multi-assets mode with a position")
    settings = exchange.settings()
    row = next(_positions(exchange, lambda row: settings[row["symbol"]]["leverage"] <= SAFE))
    with exchange.restored(row["symbol"]) as before:
        for leverage in sorted({before * 3 // 4, before // 2, before // 4, 1} - {0, before}, reverse=True):
            reply = exchange.set_leverage(row["symbol"], leverage)
            found.notes.append(f"{row['symbol']} {before}x → {leverage}x: HTTP {reply.status}, code {reply.code}")


@scenario("inferred", "the rules of leverage_nb.risk.outlook and their order")
def predictions(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """The package's predictions for symbols with a position or order, at the caps of their tiers, are correct."""
    symbols = list(dict.fromkeys(row["symbol"] for row in exchange.positions()))
    if not symbols:
        raise NotChecked("a position or an open order")
    tiers, attempts = exchange.tiers(), 0
    account = lev.connect(
        exchange.name,
        rest_url=exchange.rest_url,
        stream_url=exchange.stream_url or None,
        api_key=exchange.api_key,
        api_secret=exchange.api_secret,
        journal=":memory:",
    )
    with account:
        for symbol in (symbol for symbol in symbols if symbol in tiers):
            edges = [tier["initialLeverage"] for tier in tiers[symbol]]
            candidates = sorted({*edges, *(edge - 1 for edge in edges)} - {0})
            step = max(1, len(candidates) * len(symbols) // MOST_ATTEMPTS)
            for leverage in {*candidates[::step], candidates[-1]}:  # from the lowest to the highest
                with exchange.restored(symbol) as before:
                    preview = account.preview(symbol, leverage)
                    passes = preview.verdict == "ok"
                    raises_isolated = preview.margin_type == "isolated" and leverage > before
                    # Neither could be restored if the prediction were wrong or the account limited.
                    if raises_isolated or (passes and before > SAFE):
                        continue
                    if preview.verdict in {"unchanged", "cannot predict"}:
                        continue
                    reply = exchange.set_leverage(symbol, leverage)
                    if reply.code in LIMITS:
                        continue
                    attempts += 1
                    where = f"{reply.request} [{preview.certainty}]"
                    found.same(where, "code", 0 if passes else preview.code, reply.code)
    if not attempts:
        raise NotChecked("a position or order whose leverage can be changed or is refused")
    found.notes.append(f"{attempts} predictions were checked")


# -- shared by the scenarios -------------------------------------------------------------------------------------


def _flat_symbol(exchange: ExchangeUnderTest) -> str:
    """Return a symbol without position and open orders, whose change affects no margin."""
    busy = {row["symbol"] for row in exchange.positions()}
    tiers, settings = exchange.tiers(), exchange.settings()
    for symbol in ("BTCUSDT", "ETHUSDT", "XRPUSDT", "DOGEUSDT", "ADAUSDT", *settings):
        if symbol not in busy and symbol in tiers and symbol in settings and settings[symbol]["leverage"] <= SAFE:
            return symbol
    raise NotChecked(f"a symbol at {SAFE}x or below, without position and orders")


def _refused(found: Comparison, reply: Reply, code: int) -> None:
    """Expect a code, or 0 for success; raise NotChecked if a limit of the account refuses first."""
    if reply.code in LIMITS:
        raise NotChecked(f"an account that may go above {SAFE}x ({reply.code})")
    found.same(reply.request, "code", code, reply.code)


def _other_leverages(tiers: list[Row], before: int) -> list[int]:
    """Return the leverage of a tier, one between two tiers, and 1; none that a new account may not set."""
    edges = [tier["initialLeverage"] for tier in tiers if tier["initialLeverage"] <= SAFE]
    between = [x for x in range(1, max(edges)) if x not in edges]
    return [x for x in (max(edges), *between[-1:], 1) if x != before]


def _named(reply: Any, *names: str) -> list[Any]:
    """Return fields of an answer; None for absent ones."""
    content = reply.content if isinstance(reply.content, dict) else {}
    return [content.get(name) for name in names]


def _still_at(exchange: ExchangeUnderTest, found: Comparison, symbol: str, leverage: int) -> None:
    reply = exchange.call("GET", "/fapi/v1/symbolConfig", symbol=symbol)
    found.same(reply.request, "leverage", leverage, reply.content[0]["leverage"])


def _positions(exchange: ExchangeUnderTest, wanted: Callable[[Row], bool]) -> Iterator[Row]:
    rows = [row for row in exchange.positions() if Decimal(row["positionAmt"]) != 0 and wanted(row)]
    if not rows:
        raise NotChecked("an open position that fits the rule")
    return iter(rows)


def _same_side(row: Row, other: Row) -> bool:
    return bool((row["symbol"], row["positionSide"]) == (other["symbol"], other["positionSide"]))


def _exposure(row: Row) -> Decimal:
    """Return what counts against the cap in one-way mode: the position with its open orders, on the larger side."""
    notional = Decimal(row["notional"])
    return max(abs(notional + Decimal(row["bidNotional"])), abs(notional - Decimal(row["askNotional"])))


def _refused_above_cap(
    exchange: ExchangeUnderTest,
    found: Comparison,
    size: Callable[[Row], Decimal],
    fits: Callable[[Row], Decimal] | None = None,
) -> None:
    """Expect -2027 at the lowest higher leverage whose cap a size exceeds, and another size does not."""
    settings, tiers = exchange.settings(), exchange.tiers()
    for row in exchange.positions():
        symbol = row["symbol"]
        isolated = settings[symbol]["marginType"] == "ISOLATED" and Decimal(row["positionAmt"]) != 0
        if row["positionSide"] != "BOTH" or symbol not in tiers or isolated:
            continue  # an isolated position could not be lowered again if the rule were wrong
        for leverage in sorted(tier["initialLeverage"] for tier in tiers[symbol]):
            cap = cap_at(tiers[symbol], leverage)
            exceeds = size(row) > cap * Decimal("1.01") and (fits is None or fits(row) < cap * Decimal("0.99"))
            if leverage > settings[symbol]["leverage"] and exceeds:
                with exchange.restored(symbol):
                    _refused(found, exchange.set_leverage(symbol, leverage), -2027)
                return
    raise NotChecked("in one-way mode, a position or orders larger than a higher leverage of the symbol allows")


def _refused_beyond_balance(exchange: ExchangeUnderTest, found: Comparison, wanted: Callable[[Row], bool]) -> None:
    """Expect -2028 at 1x if the required margin clearly exceeds the available balance."""
    config = exchange.rows("/fapi/v1/accountConfig")[0]
    settings = exchange.settings()
    assets = {row["asset"]: row for row in exchange.rows("/fapi/v3/account")[0]["assets"]}
    for row in exchange.positions():
        setting = settings[row["symbol"]]
        if setting["marginType"] != "CROSSED" or setting["leverage"] == 1 or not wanted(row):
            continue
        free = Decimal(assets[row["marginAsset"]]["availableBalance"])
        needed = _exposure(row) - _exposure(row) / setting["leverage"]
        if not config["multiAssetsMargin"] and not config["dualSidePosition"] and needed > free * Decimal("1.05"):
            with exchange.restored(row["symbol"]):
                _refused(found, exchange.set_leverage(row["symbol"], 1), -2028)
            return
    raise NotChecked("in one-way mode, a cross position (or orders) worth more than the available balance")


@contextmanager
def _listening(exchange: ExchangeUnderTest) -> Iterator[Callable[[str, float], Row | None]]:
    """Yield a function that waits for the account's next event of a type, and returns None after a time limit."""
    opened = exchange.call("POST", "/fapi/v1/listenKey", security="key")

    def next_event(kind: str, within: float) -> Row | None:
        deadline = time.monotonic() + within
        while (left := deadline - time.monotonic()) > 0:
            with suppress(TimeoutError):
                event: Row = json.loads(socket.recv(timeout=left))
                event = event.get("data", event)
                if event.get("e") == kind:
                    return event
        return None

    with ExitStack() as stack:
        socket = _enter(stack, exchange.stream_url, opened)
        assert not isinstance(socket, str), f"the stream at {exchange.stream_url} could not be opened ({socket})"
        yield next_event


def _enter(stack: ExitStack, stream_url: str, opened: Reply) -> Any:
    """Open a stream; return the name of an error, whose frames contain the listen key."""
    try:
        return stack.enter_context(
            open_socket(f"{stream_url}/private/ws/{opened.content['listenKey']}", open_timeout=20)
        )
    except (OSError, WebSocketException) as exc:
        return type(exc).__name__
