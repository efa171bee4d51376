"""Checks of an exchange: each decides rules of ``rules.py``, where their sources and certainty are.

A scenario's docstring is what it checks; where Binance documents nothing, it notes the observation. A scenario uses the
account as it is: it places no orders and restores what it changes. Two kinds of leverage cannot be restored, and the
report names them: that of an isolated position that was raised, and one that was not set.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import pairwise
from typing import Any

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import connect as open_socket

import leverage_nb as lev
from leverage_nb.binance.user_stream import FORMS
from tests.contract.comparison import Comparison, NotChecked
from tests.contract.exchange import ExchangeUnderTest, Reply, Row, cap_at, has_coef, same_side, tier_of

Check = Callable[[ExchangeUnderTest, Comparison], None]

# The highest leverage that every account may set, and the codes that refuse a higher one to some accounts.
SAFE = 20
LIMITS = {-4202, -4203, -4205, -4206, -4208, -4209, -4300, -4403}

# The maximum number of changes that the comparison of predictions attempts.
MOST_ATTEMPTS = 30


@dataclass(frozen=True)
class Scenario:
    """A check of an exchange.

    Attributes:
        name: The name in test reports and in ``rules.py``.
        text: What it checks.
        check: Sends requests to the exchange and compares the answers.
    """

    name: str
    text: str
    check: Check


SCENARIOS: list[Scenario] = []


def scenario(check: Check) -> Check:
    """Add a check to the list."""
    SCENARIOS.append(Scenario(check.__name__, " ".join((check.__doc__ or "").split()), check))
    return check


# -- the form of answers -----------------------------------------------------------------------------------------


@scenario
def server_time(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """The field serverTime is a number in milliseconds, and every answer has the header X-MBX-USED-WEIGHT-1M."""
    reply = exchange.call("GET", "/fapi/v1/time", security="none")
    found.shape(reply.request, {"serverTime": "int"}, reply.content)
    with found.about("weight-header"):
        found.same(reply.request, "header X-MBX-USED-WEIGHT-1M", True, "X-MBX-USED-WEIGHT-1M" in reply.headers)


@scenario
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


@scenario
def mark_price(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """The mark price of a symbol is a number in a string."""
    reply = exchange.call("GET", "/fapi/v1/premiumIndex", security="none", symbol="BTCUSDT")
    found.shape(reply.request, {"symbol": "text", "markPrice": "decimal", "time": "int"}, reply.content)


@scenario
def brackets_of_all(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """Without a symbol leverageBracket is a list; all figures of a tier are JSON numbers."""
    reply = exchange.call("GET", "/fapi/v1/leverageBracket")
    found.same(reply.request, "the answer", True, isinstance(reply.content, list))
    kinds = dict.fromkeys(("notionalCap", "notionalFloor", "maintMarginRatio", "cum"), "number")
    for row in reply.content:
        found.shape(reply.request, {"symbol": "text", "brackets": "list"}, row)
        for tier in row["brackets"]:
            found.shape(f"{reply.request} {row['symbol']}", {"bracket": "int", "initialLeverage": "int", **kinds}, tier)


@scenario
def brackets_of_one(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """With a symbol leverageBracket is an object, or a list of one, with the same tiers as in the full list."""
    reply = exchange.call("GET", "/fapi/v1/leverageBracket", symbol="BTCUSDT")
    found.notes.append(
        f"leverageBracket with a symbol is {'a list' if isinstance(reply.content, list) else 'an object'}"
    )
    [one] = reply.content if isinstance(reply.content, list) else [reply.content]
    whole = next(row for row in exchange.rows("/fapi/v1/leverageBracket") if row["symbol"] == "BTCUSDT")
    found.same(reply.request, "brackets", whole["brackets"], one["brackets"])


@scenario
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
            with found.about("cum-recurrence"):
                # Binance rounds cum on some symbols; an error in a rate would exceed a ten-thousandth of the floor.
                found.close(symbol, "cum", cum, upper["cum"], within=upper["notionalFloor"] / 10_000)


@scenario
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


@scenario
def max_notional_follows_from_the_tiers(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """The maxNotionalValue of a setting is the cap of the last tier that offers the current leverage."""
    tiers = exchange.tiers()
    for symbol, row in exchange.settings().items():
        if symbol in tiers and 0 < row["leverage"] <= tiers[symbol][0]["initialLeverage"]:
            found.close(symbol, "maxNotionalValue", cap_at(tiers[symbol], row["leverage"]), row["maxNotionalValue"])


@scenario
def not_set_is_zero(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """A symbol that the account has never used answers the leverage 0, in symbolConfig and in positionRisk v2."""
    unset = [row for row in exchange.settings().values() if row["leverage"] == 0]
    if not unset:
        raise NotChecked("a symbol that the account has never used")
    values = sorted({str(row["maxNotionalValue"]) for row in unset})
    found.notes.append(f"{len(unset)} symbols answer 0, beside maxNotionalValue {', '.join(values[:5])}")
    reply = exchange.call("GET", "/fapi/v2/positionRisk", symbol=unset[0]["symbol"])
    if reply.status == 200 and reply.content:
        found.same(reply.request, "leverage", "0", reply.content[0].get("leverage"))
    found.same("GET /fapi/v1/symbolConfig", "leverage of unused symbols", {0}, unset[0]["leverage"])


@scenario
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


@scenario
def account_config(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """Hedge mode and multi-assets mode are booleans in accountConfig."""
    reply = exchange.call("GET", "/fapi/v1/accountConfig")
    found.shape(reply.request, {"dualSidePosition": "bool", "multiAssetsMargin": "bool"}, reply.content)


@scenario
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


@scenario
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


@scenario
def available_balance(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """In single-asset mode availableBalance is cross wallet + cross profit - margin of cross positions and orders."""
    if exchange.rows("/fapi/v1/accountConfig")[0]["multiAssetsMargin"]:
        raise NotChecked("an account in single-asset mode")
    settings, positions = exchange.settings(), exchange.positions()
    for row in exchange.rows("/fapi/v3/account")[0]["assets"]:
        own = [other for other in positions if other["marginAsset"] == row["asset"]]
        in_use = sum((Decimal(other["openOrderInitialMargin"]) for other in own), Decimal(0))
        cross = [other for other in own if settings[other["symbol"]]["marginType"] == "CROSSED"]
        in_use += sum((Decimal(other["positionInitialMargin"]) for other in cross), Decimal(0))
        left = Decimal(row["crossWalletBalance"]) + Decimal(row["crossUnPnl"]) - in_use
        if Decimal(row["walletBalance"]) or own:
            # Prices move between the reads.
            seen, close = row["availableBalance"], in_use / 100
            found.close(row["asset"], "availableBalance", max(left, Decimal(0)), seen, within=close, private=True)
    if not found.compared:
        raise NotChecked("a balance")


@scenario
def asset_index(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """AssetIndex has every margin asset against USD; its rates are the index less and plus the buffers."""
    reply = exchange.call("GET", "/fapi/v1/assetIndex", security="none")
    assert isinstance(reply.content, list), f"{reply.request}: no list of assets (code {reply.code})"
    figures = ("index", "bidBuffer", "askBuffer", "bidRate", "askRate")
    assets = {row["asset"] for row in exchange.rows("/fapi/v3/account")[0]["assets"]}
    absent = sorted({f"{asset}USD" for asset in assets} - {row["symbol"] for row in reply.content})
    found.same(reply.request, "assets without a rate", [], absent)
    for row in reply.content:
        found.shape(reply.request, {"symbol": "text", **dict.fromkeys(figures, "decimal")}, row)
        index = Decimal(row["index"])
        for side, sign in (("bid", -1), ("ask", 1)):
            expected = index * (1 + sign * Decimal(row[f"{side}Buffer"]))
            found.close(row["symbol"], f"{side}Rate", expected, row[f"{side}Rate"], "0.0001")


# The key is not closed: an account has only one, and other programs of the user may use it.
@scenario
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


@scenario
def wrong_signature(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """A wrong signature is -1022."""
    reply = exchange.call("GET", "/fapi/v1/accountConfig", extra_secret="x")
    found.same(f"{reply.request}, signed wrongly", "code", -1022, reply.code)


@scenario
def old_timestamp(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """A timestamp older than recvWindow, or more than a second ahead, is -1021; one within it is served."""
    for late_by, code in ((60_000, -1021), (-10_000, -1021), (2_000, 0)):
        reply = exchange.call("GET", "/fapi/v1/accountConfig", late_by=late_by)
        found.same(f"{reply.request}, {late_by} ms late", "code", code, reply.code)


@scenario
def longest_recv_window(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """A recvWindow of 60000 is accepted; the answer to 60001 is noted."""
    reply = exchange.call("GET", "/fapi/v1/accountConfig", recv_window=60_000)
    found.same(f"{reply.request}, recvWindow 60000", "code", 0, reply.code)
    code = exchange.call("GET", "/fapi/v1/accountConfig", recv_window=60_001).code
    found.notes.append(f"recvWindow 60001 is answered with code {code}")


@scenario
def request_weights(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """The used weight rises by the documented weight of each request that the package sends most."""
    weights = {"symbolConfig": 5, "accountConfig": 5, "leverageBracket": 1}
    for name, weight in weights.items():
        rises = []
        for _ in range(3):  # other programs at this address use weight too
            before = exchange.call("GET", "/fapi/v1/time", security="none").used_weight
            rise = exchange.call("GET", f"/fapi/v1/{name}").used_weight - before
            rises += [rise] if rise > 0 else []  # not positive: a minute has begun
            if rise == weight:
                break
        if not rises:
            raise NotChecked("the header X-MBX-USED-WEIGHT-1M")
        found.same(f"GET /fapi/v1/{name}", "weight", weight, min(rises))


@scenario
def two_addresses_are_one_account(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """The testnet's second address shows the same settings for the same key."""
    if not exchange.other_url:
        raise NotChecked("a second address of the exchange")
    other = replace(exchange, rest_url=exchange.other_url)
    found.same(f"{len(exchange.settings())} symbols", "settings", True, exchange.settings() == other.settings())


@scenario
def unknown_key(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """A malformed key is -2014; an unknown one is -2015 or -2008."""
    reply = exchange.call("GET", "/fapi/v1/accountConfig", api_key="short")
    found.same(f"{reply.request}, key malformed", "code", -2014, reply.code)
    reply = exchange.call("GET", "/fapi/v1/accountConfig", api_key="a" * 64)
    found.same(f"{reply.request}, key unknown", "code", {-2015, -2008}, reply.code)


@scenario
def malformed_changes(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """A change without symbol is -1102, with an unknown one -1121, above the maximum -4028; nothing changes."""
    symbol = flat_symbol(exchange)
    most = exchange.tiers()[symbol][0]["initialLeverage"]
    with exchange.restored(symbol) as before:
        reply = exchange.call("POST", "/fapi/v1/leverage", leverage=before)
        found.same(reply.request, "code", -1102, reply.code)
        reply = exchange.set_leverage("NOSUCHUSDT", 5)
        found.same(reply.request, "code", -1121, reply.code)
        reply = exchange.set_leverage(symbol, most + 1)
        _refused(found, reply, -4028)
        with found.about("4xx-with-code"):
            _still_at(exchange, found, symbol, before)


@scenario
def malformed_leverages(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """A leverage that is zero, negative, a fraction or not a number is refused, and nothing changes."""
    symbol = flat_symbol(exchange)
    with exchange.restored(symbol) as before:
        for leverage in (0, -5, "10.5", "ten", ""):
            reply = exchange.set_leverage(symbol, leverage)
            found.same(reply.request, "refused", True, reply.code < 0)
            found.notes.append(f"leverage {leverage!r} is refused with {reply.code}")
        _still_at(exchange, found, symbol, before)


@scenario
def symbols_beyond_ascii(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """A symbol with Chinese characters is signed as sent: UTF-8, percent-encoded."""
    symbol = next((name for name in exchange.settings() if not name.isascii()), None)
    if symbol is None:
        raise NotChecked("a listed symbol with non-ASCII characters")
    reply = exchange.call("GET", "/fapi/v1/symbolConfig", symbol=symbol)
    found.same(reply.request, "status", 200, reply.status)


# -- changing a leverage -----------------------------------------------------------------------------------------


@scenario
def a_change(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """The answer names symbol, leverage (a number) and maxNotionalValue (a string, the tier's cap)."""
    symbol = flat_symbol(exchange)
    tiers = exchange.tiers()[symbol]
    with exchange.restored(symbol) as before:
        for leverage in _other_leverages(tiers, before):
            reply = exchange.set_leverage(symbol, leverage)
            with found.about("any-integer"):
                found.same(reply.request, "status, code", (200, 0), (reply.status, reply.code))
            if reply.status != 200:
                continue
            kinds = {"symbol": "text", "leverage": "int", "maxNotionalValue": "decimal"}
            found.shape(reply.request, kinds, reply.content)
            found.same(reply.request, "symbol, leverage", [symbol, leverage], _named(reply, "symbol", "leverage"))
            [cap] = _named(reply, "maxNotionalValue")
            found.close(reply.request, "maxNotionalValue", cap_at(tiers, leverage), cap)


@scenario
def a_read_shows_the_change(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """A read of symbolConfig immediately after the answer to a change shows the new leverage."""
    symbol = flat_symbol(exchange)
    with exchange.restored(symbol) as before:
        for leverage in _other_leverages(exchange.tiers()[symbol], before):
            if exchange.set_leverage(symbol, leverage).status == 200:
                _still_at(exchange, found, symbol, leverage)


@scenario
def the_same_again(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """Setting the current leverage again is answered like any change."""
    symbol = flat_symbol(exchange)
    with exchange.restored(symbol) as before:
        reply = exchange.set_leverage(symbol, before)
        found.same(reply.request, "status", 200, reply.status)
        found.notes.append(f"setting the current leverage is answered with HTTP {reply.status}, code {reply.code}")


@scenario
def a_form_of_the_stream_delivers(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """After a change at least one of the documented forms of the private stream's address delivers its event."""
    with _events_of_a_change(exchange) as (request, _, events):
        found.notes.append(", ".join(f"{form}: {'delivered' if event else 'silent'}" for form, event in events.items()))
        found.same(request, "ACCOUNT_CONFIG_UPDATE on any form", True, any(events.values()))


@scenario
def a_change_sends_an_event(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """The event of a change is ACCOUNT_CONFIG_UPDATE with numbers E and T, and "ac" with symbol and leverage."""
    with _events_of_a_change(exchange) as (request, expected, events):
        event = next(filter(None, events.values()), None)
        if event is None:
            raise NotChecked("a form of the stream that delivers")
        found.shape(request, {"e": "text", "E": "int", "T": "int"}, event)
        found.same(request, "ac of the event", expected, event.get("ac"))


@scenario
def a_wrong_listen_key_is_silent(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """With a listen key that does not exist the stream connects and stays silent, while the right one delivers."""
    with listening(exchange, "a" * 64) as wrong, _events_of_a_change(exchange) as (request, _, events):
        if not any(events.values()):
            raise NotChecked("a form of the stream that delivers")
        heard = wrong.next_events("ACCOUNT_CONFIG_UPDATE", within=exchange.patience / 5)
        found.same(request, "events with a wrong listen key", False, any(heard.values()))


@scenario
def an_unchanged_leverage_sends_no_event(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """Setting the current leverage again sends no event, on the forms of the stream that deliver one of a change."""
    symbol = flat_symbol(exchange)
    with exchange.restored(symbol) as before, listening(exchange) as streams:
        other = _other_leverages(exchange.tiers()[symbol], before)[0]
        exchange.set_leverage(symbol, other)
        if not any(streams.next_events("ACCOUNT_CONFIG_UPDATE").values()):
            raise NotChecked("a form of the stream that delivers")
        request = exchange.set_leverage(symbol, other).request
        repeated = streams.next_events("ACCOUNT_CONFIG_UPDATE", within=exchange.patience / 5)
        found.same(f"{request} again", "event", False, any(repeated.values()))


# -- positions and open orders -----------------------------------------------------------------------------------


@scenario
def margins_of_positions(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """Initial margin is notional over leverage; maintenance margin is notional times the tier's rate less cum."""
    settings, tiers = exchange.settings(), exchange.tiers()
    for row in open_positions(exchange, lambda row: row["symbol"] in tiers):
        where, notional = f"{row['symbol']} {row['positionSide']}", abs(Decimal(row["notional"]))
        initial = notional / settings[row["symbol"]]["leverage"]
        found.close(where, "positionInitialMargin", initial, row["positionInitialMargin"], "0.0001", private=True)
        tier = tier_of(tiers[row["symbol"]], notional)
        maintenance = notional * Decimal(str(tier["maintMarginRatio"])) - Decimal(str(tier["cum"]))
        found.close(where, "maintMargin", maintenance, row["maintMargin"], "0.0001", private=True)


@scenario
def liquidation_of_isolated_positions(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """An isolated position's liquidation price follows from its wallet, its entry price and its tier at that price."""
    tiers = exchange.tiers()
    for row in open_positions(exchange, lambda row: Decimal(row["isolatedWallet"]) > 0 and row["symbol"] in tiers):
        amount, entry = Decimal(row["positionAmt"]), Decimal(row["entryPrice"])
        wallet, actual = Decimal(row["isolatedWallet"]), Decimal(row["liquidationPrice"])
        tier = tier_of(tiers[row["symbol"]], amount * actual)
        rate, cum = Decimal(str(tier["maintMarginRatio"])), Decimal(str(tier["cum"]))
        expected = (wallet + cum - amount * entry) / (abs(amount) * rate - amount)
        found.close(row["symbol"], "liquidationPrice", max(expected, Decimal(0)), actual, "0.001", private=True)


@scenario
def leverage_moves_no_cross_liquidation(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """Changing the leverage of a cross position changes neither its size nor its liquidation price."""
    settings = exchange.settings()

    def movable(row: Row) -> bool:
        setting = settings[row["symbol"]]
        return bool(setting["marginType"] == "CROSSED" and 1 < setting["leverage"] <= SAFE)

    row = next(open_positions(exchange, movable))
    with exchange.restored(row["symbol"]) as before:
        reply = exchange.set_leverage(row["symbol"], before + 1 if before < SAFE else before - 1)
        if reply.status != 200:
            raise NotChecked(f"a cross position whose leverage can be changed by one ({reply.code})")
        after = next(open_positions(exchange, lambda other: same_side(row, other)))
        found.same(reply.request, "positionAmt is unchanged", True, row["positionAmt"] == after["positionAmt"])
        # Meanwhile the price moves, and with it the profit of other cross positions.
        before_it = Decimal(row["liquidationPrice"])
        found.close(reply.request, "liquidationPrice", before_it, after["liquidationPrice"], "0.002", private=True)


@scenario
def an_isolated_position_is_not_lowered(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """With an open isolated position, on either side in hedge mode, a lower leverage is refused with -4161."""
    settings = exchange.settings()
    rows = open_positions(
        exchange, lambda row: Decimal(row["isolatedWallet"]) > 0 and settings[row["symbol"]]["leverage"] > 1
    )
    for row in rows:
        with exchange.restored(row["symbol"]) as before:
            reply = exchange.set_leverage(row["symbol"], before - 1)
            found.same(f"{reply.request} ({row['positionSide']})", "code", -4161, reply.code)


@scenario
def an_isolated_position_is_raised(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """With an open isolated position a higher leverage is accepted; wallet and liquidation price do not change."""
    settings, tiers = exchange.settings(), exchange.tiers()

    def raisable(row: Row) -> bool:
        symbol, next_up = row["symbol"], settings[row["symbol"]]["leverage"] + 1
        fits = symbol in tiers and next_up <= tiers[symbol][0]["initialLeverage"]
        return fits and Decimal(row["isolatedWallet"]) > 0 and _exposure(row) < cap_at(tiers[symbol], next_up)

    row = next(open_positions(exchange, raisable))
    raised = settings[row["symbol"]]["leverage"] + 1
    exchange.left[row["symbol"]] = f"may be at {raised}x, it was at {raised - 1}x"
    reply = exchange.set_leverage(row["symbol"], raised)
    del exchange.left[row["symbol"]]
    if reply.status == 200:
        exchange.originals.pop(row["symbol"], None)
        why = "the leverage of an open isolated position cannot be lowered"
        exchange.left[row["symbol"]] = f"is at {raised}x, it was at {raised - 1}x: {why}"
    _refused(found, reply, 0)
    if reply.status != 200:
        return
    after = next(open_positions(exchange, lambda other: same_side(row, other)))
    for name in ("isolatedWallet", "liquidationPrice"):
        found.close(reply.request, name, Decimal(row[name]), after[name], "0.0005", private=True)


@scenario
def a_position_above_the_cap(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """A leverage at which the position exceeds the tier's cap is refused with -2027."""
    _refused_above_cap(exchange, found, lambda row: abs(Decimal(row["notional"])))


@scenario
def orders_above_the_cap(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """A leverage at which a position that fits exceeds the cap together with its open orders is refused with -2027."""
    _refused_above_cap(exchange, found, lambda row: _exposure(row), fits=lambda row: abs(Decimal(row["notional"])))


@scenario
def a_cross_position_beyond_the_balance(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """A leverage at which a cross position needs more initial margin than is available is refused with -2028."""
    _refused_beyond_balance(exchange, found, lambda row: Decimal(row["positionAmt"]) != 0)


@scenario
def orders_beyond_the_balance(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """The same applies to the open orders of a symbol without a position."""
    _refused_beyond_balance(exchange, found, lambda row: Decimal(row["positionAmt"]) == 0)


@scenario
def lowering_in_multi_assets_mode(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """In multi-assets mode the answers to lowering a cross position step by step are noted."""
    if not exchange.rows("/fapi/v1/accountConfig")[0]["multiAssetsMargin"]:
        raise NotChecked("an account in multi-assets mode with a position")
    settings = exchange.settings()
    row = next(open_positions(exchange, lambda row: settings[row["symbol"]]["leverage"] <= SAFE))
    with exchange.restored(row["symbol"]) as before:
        for leverage in sorted({before * 3 // 4, before // 2, before // 4, 1} - {0, before}, reverse=True):
            reply = exchange.set_leverage(row["symbol"], leverage)
            found.notes.append(f"{row['symbol']} {before}x → {leverage}x: HTTP {reply.status}, code {reply.code}")


@scenario
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
                    if preview.verdict in {"unchanged", "unpredictable"}:
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


def flat_symbol(exchange: ExchangeUnderTest) -> str:
    """Return a symbol without position and open orders, whose change affects no margin; with a leverage if any has."""
    busy = {row["symbol"] for row in exchange.positions()}
    tiers, settings = exchange.tiers(), exchange.settings()
    names = dict.fromkeys(("BTCUSDT", "ETHUSDT", "XRPUSDT", "DOGEUSDT", "ADAUSDT", *settings))
    flat = [symbol for symbol in names if symbol not in busy and symbol in tiers and symbol in settings]
    leverages = {symbol: settings[symbol]["leverage"] for symbol in flat if settings[symbol]["leverage"] <= SAFE}
    if not leverages:
        raise NotChecked(f"a symbol at {SAFE}x or below, without position and orders")
    return next((symbol for symbol, leverage in leverages.items() if leverage), next(iter(leverages)))


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


def open_positions(exchange: ExchangeUnderTest, wanted: Callable[[Row], bool]) -> Iterator[Row]:
    """Return the rows of positionRisk with a position that fits; there is at least one."""
    rows = [row for row in exchange.positions() if Decimal(row["positionAmt"]) != 0 and wanted(row)]
    if not rows:
        raise NotChecked("an open position that fits the rule")
    return iter(rows)


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


@dataclass
class _Streams:
    """The forms of the stream's address that connect, side by side."""

    sockets: dict[str, Any]
    patience: float

    def next_events(self, kind: str, within: float = 0.0) -> dict[str, Row | None]:
        """Return each form's next event of a type; None after a time limit, which the first event shortens."""
        events: dict[str, Row | None] = dict.fromkeys(self.sockets)
        deadline = time.monotonic() + (within or self.patience)
        while (left := deadline - time.monotonic()) > 0 and not all(events.values()):
            for form in (form for form, event in events.items() if event is None):
                with suppress(TimeoutError, ConnectionClosed):
                    event: Row = json.loads(self.sockets[form].recv(timeout=min(0.05, left)))
                    event = event.get("data", event)
                    if event.get("e") == kind:
                        events[form] = event
                        deadline = min(deadline, time.monotonic() + self.patience / 5)
        return events


@contextmanager
def _events_of_a_change(exchange: ExchangeUnderTest) -> Iterator[tuple[str, Row, dict[str, Row | None]]]:
    """Change a leverage while all forms of the stream listen; yield the request, the expected "ac", the events."""
    symbol = flat_symbol(exchange)
    with exchange.restored(symbol) as before, listening(exchange) as streams:
        leverage = _other_leverages(exchange.tiers()[symbol], before)[0]
        reply = exchange.set_leverage(symbol, leverage)
        if reply.status != 200:
            raise NotChecked(f"a leverage that can be changed (code {reply.code})")
        yield reply.request, {"s": symbol, "l": leverage}, streams.next_events("ACCOUNT_CONFIG_UPDATE")


@contextmanager
def listening(exchange: ExchangeUnderTest, listen_key: str = "") -> Iterator[_Streams]:
    """Connect every documented form of the private stream's address."""
    opened = exchange.call("POST", "/fapi/v1/listenKey", security="key")
    with ExitStack() as stack:
        entered = {form: _enter(stack, exchange.stream_url, form, opened, listen_key) for form in FORMS}
        names = {form: re.sub("events=.*", "events=...", form.replace("{key}", "KEY")) for form in FORMS}
        sockets = {names[form]: socket for form, socket in entered.items() if not isinstance(socket, str)}
        if not sockets:
            raise NotChecked(f"a stream that connects ({entered[FORMS[0]]})")
        yield _Streams(sockets, exchange.patience)


def _enter(stack: ExitStack, stream_url: str, form: str, opened: Reply, listen_key: str) -> Any:
    """Open a stream; return the name of an error, whose frames contain the listen key."""
    key = listen_key or opened.content["listenKey"]
    try:
        return stack.enter_context(open_socket(stream_url + form.format(key=key), open_timeout=10, close_timeout=1))
    except (OSError, WebSocketException) as exc:
        return type(exc).__name__
