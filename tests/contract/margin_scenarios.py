"""Checks of margin types and isolated margin, as those of ``scenarios.py``: each restores what it changes."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal

from tests.contract.comparison import Comparison, NotChecked
from tests.contract.exchange import ExchangeUnderTest, Reply, Row, same_side, tier_of
from tests.contract.scenarios import SCENARIOS, flat_symbol, listening, open_positions, scenario

__all__ = ["SCENARIOS"]

MARGIN = Decimal(1)  # of the margin asset: what is moved
MORE_THAN_ANY = 1_000_000_000
OTHER = {"CROSSED": "ISOLATED", "ISOLATED": "CROSSED"}


# -- margin types --------------------------------------------------------------------------------------------------


@scenario
def a_margin_type_changes(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """The answer to a change of margin type has the code 200, and a read of symbolConfig shows the change."""
    symbol = _switchable(exchange)
    with exchange.margin_type_restored(symbol) as before:
        reply = exchange.set_margin_type(symbol, OTHER[before])
        found.same(reply.request, "status", 200, reply.status)
        found.same(reply.request, "answer", {"code": 200, "msg": "success"}, reply.content)
        found.same(reply.request, "marginType", OTHER[before], exchange.settings()[symbol]["marginType"])


@scenario
def a_margin_type_sends_an_event(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """A change of margin type sends ACCOUNT_UPDATE with the reason MARGIN_TYPE_CHANGE and the new type."""
    symbol = _switchable(exchange)
    with exchange.margin_type_restored(symbol) as before, listening(exchange) as streams:
        reply = exchange.set_margin_type(symbol, OTHER[before])
        update = _update(streams.next_events("ACCOUNT_UPDATE"))
        found.same(reply.request, "m of the event", "MARGIN_TYPE_CHANGE", update["m"])
        shown = {"CROSSED": "cross", "ISOLATED": "isolated"}[OTHER[before]]
        rows = [row for row in update["P"] if row.get("s") == symbol]
        found.same(reply.request, "mt of the event", {shown}, rows[0].get("mt") if rows else "no row")


@scenario
def the_same_margin_type_again(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """The margin type that a symbol has is refused with -4046 (documented) or -4067 (reported); nothing changes."""
    symbol = flat_symbol(exchange)
    with exchange.margin_type_restored(symbol) as before:
        reply = exchange.set_margin_type(symbol, before)
        found.same(reply.request, "code", {-4046, -4067}, reply.code)
        found.notes.append(f"the current margin type is refused with {reply.code}")
        found.same(reply.request, "marginType", before, exchange.settings()[symbol]["marginType"])


@scenario
def a_margin_type_with_open_orders(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """With open orders another margin type is refused with -4047."""
    _type_refused(exchange, found, -4047, _has_orders)


@scenario
def a_margin_type_with_a_position(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """With an open position, and no orders, another margin type is refused with -4048."""
    _type_refused(exchange, found, -4048, lambda row: Decimal(row["positionAmt"]) != 0 and not _has_orders(row))


@scenario
def isolated_in_multi_assets_mode(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """In multi-assets mode the margin type isolated is refused with -4168."""
    if not _has_multi_assets(exchange):
        raise NotChecked("an account in multi-assets mode")
    symbol = flat_symbol(exchange)
    with exchange.margin_type_restored(symbol):
        reply = exchange.set_margin_type(symbol, "ISOLATED")
        found.same(reply.request, "code", -4168, reply.code)


# -- isolated margin -----------------------------------------------------------------------------------------------


@scenario
def isolated_margin_moves(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """Added margin is answered with code 200, amount and type, and moves the wallet and the liquidation price."""
    row = _movable(exchange)
    tier = tier_of(exchange.tiers()[row["symbol"]], Decimal(row["positionAmt"]) * Decimal(row["liquidationPrice"]))
    amount = Decimal(row["positionAmt"])
    step = MARGIN / (abs(amount) * Decimal(str(tier["maintMarginRatio"])) - amount)
    with exchange.margin_restored(row) as wallet:
        for moved, kind in ((MARGIN, 1), (-MARGIN, 2)):
            before = _again(exchange, row)
            reply = exchange.move_margin(row, moved)
            found.same(reply.request, "status, code", (200, 200), (reply.status, reply.code))
            if reply.status != 200:
                return
            kinds = {"code": "int", "msg": "text", "amount": "number", "type": "int"}
            found.shape(reply.request, kinds, reply.content)
            found.same(reply.request, "amount, type", (1, kind), (reply.content["amount"], reply.content["type"]))
            wallet += moved
            after = _again(exchange, row)
            found.close(reply.request, "isolatedWallet", wallet, after["isolatedWallet"], private=True)
            with found.about("isolated-margin-liquidation"):
                change = Decimal(after["liquidationPrice"]) - Decimal(before["liquidationPrice"])
                expected = step * moved
                found.close(reply.request, "change of liquidationPrice", expected, change, "0.01", private=True)


@scenario
def isolated_margin_sends_an_event(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """Added margin sends ACCOUNT_UPDATE with the reason MARGIN_TRANSFER."""
    row = _movable(exchange)
    with exchange.margin_restored(row), listening(exchange) as streams:
        reply = exchange.move_margin(row, MARGIN)
        found.same(
            reply.request, "m of the event", "MARGIN_TRANSFER", _update(streams.next_events("ACCOUNT_UPDATE"))["m"]
        )


@scenario
def margin_history(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """Both changes appear in the history within a few seconds, with the documented fields, the earliest first."""
    row = _movable(exchange)
    with exchange.margin_restored(row):
        known = _history(exchange, row)
        replies = [exchange.move_margin(row, amount) for amount in (MARGIN, -MARGIN)]
        if [reply.status for reply in replies] != [200, 200]:
            raise NotChecked(f"isolated margin that can be added and reduced (code {replies[-1].code})")
        began, shown = time.monotonic(), list[Row]()
        while len(shown) < 2 and time.monotonic() < began + exchange.patience:
            shown = [one for one in _history(exchange, row) if one not in known]
            time.sleep(0.2 * (len(shown) < 2))
        with found.about("margin-history-delay"):
            found.same("GET positionMargin/history", "new rows", 2, len(shown))
        if len(shown) != 2:
            return
        found.notes.append(f"the history shows both changes after {time.monotonic() - began:.1f} s")
        kinds = {
            "symbol": "text", "type": "int", "deltaType": "text", "amount": "decimal", "asset": "text", "time": "int",
            "positionSide": "text",
        }  # fmt: skip
        for one in shown:
            found.shape("GET positionMargin/history", kinds, one)
            names = ("symbol", "deltaType", "asset", "positionSide")
            expected = [row["symbol"], "USER_ADJUST", row["marginAsset"], row["positionSide"]]
            found.same("GET positionMargin/history", ", ".join(names), expected, [one.get(name) for name in names])
        with found.about("margin-history-order"):
            found.same("GET positionMargin/history", "types in order", [1, 2], [one["type"] for one in shown])
        reduced = next((one for one in shown if one["type"] == 2), {})
        with found.about("margin-history-sign"):
            found.same("GET positionMargin/history", "amount of a reduction", -MARGIN, Decimal(reduced["amount"]))


@scenario
def margin_on_a_cross_symbol(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """Margin for the position of a cross symbol is refused with -4049; the answer to a reduction is noted."""
    settings = exchange.settings()
    row = next(open_positions(exchange, lambda row: settings[row["symbol"]]["marginType"] == "CROSSED"))
    reply = exchange.move_margin(row, MARGIN)
    found.same(reply.request, "code", -4049, reply.code)
    found.notes.append(f"a reduction on a cross symbol is answered with {exchange.move_margin(row, -MARGIN).code}")


@scenario
def margin_without_a_position(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """On an isolated symbol without a position an addition is refused with -4054, and a reduction with -4051."""
    symbol = _switchable(exchange)
    side = "LONG" if exchange.rows("/fapi/v1/accountConfig")[0]["dualSidePosition"] else "BOTH"
    with exchange.margin_type_restored(symbol) as before:
        if before == "CROSSED" and (reply := exchange.set_margin_type(symbol, "ISOLATED")).status != 200:
            raise NotChecked(f"a margin type that can be changed (code {reply.code})")
        for amount, code in ((MARGIN, -4054), (-MARGIN, -4051)):
            reply = exchange.move_margin({"symbol": symbol, "positionSide": side}, amount)
            found.same(reply.request, "code", code, reply.code)


@scenario
def margin_beyond_the_balance(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """More margin than any balance is refused with -4050, and a reduction by the whole wallet with -4051."""
    row = _isolated(exchange)
    with exchange.margin_restored(row) as wallet:
        reply = exchange.move_margin(row, MORE_THAN_ANY)
        with found.about("margin-beyond-balance"):
            found.same(reply.request, "code", -4050, reply.code)
        reply = exchange.move_margin(row, -wallet)
        with found.about("margin-beyond-wallet"):
            found.same("a reduction by the whole wallet", "code", -4051, reply.code)


@scenario
def the_most_that_can_be_reduced(exchange: ExchangeUnderTest, found: Comparison) -> None:
    """A little more than the FAQ's maximum cannot be taken from a position, and half of it can."""
    row = _movable(exchange)
    most = _removable(row)
    with exchange.margin_restored(row):
        for share, code in (("1.1", -4051), ("0.5", 200)):
            amount = (most * Decimal(share)).quantize(Decimal("0.01"))
            exchange.confidential.add(f"{amount:f}")
            reply: Reply = exchange.move_margin(row, -amount)
            found.same(f"a reduction by {share} of the maximum", "code", code, reply.code)


# -- shared by the scenarios ---------------------------------------------------------------------------------------


def _has_multi_assets(exchange: ExchangeUnderTest) -> bool:
    return bool(exchange.rows("/fapi/v1/accountConfig")[0]["multiAssetsMargin"])


def _switchable(exchange: ExchangeUnderTest) -> str:
    """Return a symbol whose margin type can change."""
    if _has_multi_assets(exchange):
        raise NotChecked("an account in single-asset mode")
    return flat_symbol(exchange)


def _has_orders(row: Row) -> bool:
    return Decimal(row["bidNotional"]) != 0 or Decimal(row["askNotional"]) != 0


def _type_refused(exchange: ExchangeUnderTest, found: Comparison, code: int, wanted: Callable[[Row], bool]) -> None:
    """Expect a code for another margin type of the first symbol that fits."""
    rows = [row for row in exchange.positions() if wanted(row)]
    if not rows or _has_multi_assets(exchange):
        raise NotChecked("in single-asset mode, a position or open orders that fit the rule")
    with exchange.margin_type_restored(rows[0]["symbol"]) as before:
        reply = exchange.set_margin_type(rows[0]["symbol"], OTHER[before])
        found.same(reply.request, "code", code, reply.code)


def _isolated(exchange: ExchangeUnderTest) -> Row:
    return next(open_positions(exchange, lambda row: Decimal(row["isolatedWallet"]) > 0))


def _removable(row: Row) -> Decimal:
    """Return the largest amount that the FAQ lets a position give away."""
    names = ("isolatedWallet", "unRealizedProfit", "positionInitialMargin", "maintMargin")
    wallet, profit, initial, maintenance = (Decimal(row[name]) for name in names)
    return min(wallet + profit - initial, wallet - maintenance)


def _movable(exchange: ExchangeUnderTest) -> Row:
    """Return an isolated position from which what is added can be taken again."""
    tiers = exchange.tiers()
    free = {row["asset"]: Decimal(row["availableBalance"]) for row in exchange.rows("/fapi/v3/account")[0]["assets"]}

    def fits(row: Row) -> bool:
        known = row["symbol"] in tiers and Decimal(row["liquidationPrice"]) > 0 and Decimal(row["isolatedWallet"]) > 0
        return known and _removable(row) > 2 * MARGIN and free.get(row["marginAsset"], Decimal(0)) > 2 * MARGIN

    return next(open_positions(exchange, fits))


def _again(exchange: ExchangeUnderTest, row: Row) -> Row:
    return next(open_positions(exchange, lambda other: same_side(row, other)))


def _history(exchange: ExchangeUnderTest, row: Row) -> list[Row]:
    return exchange.rows("/fapi/v1/positionMargin/history", symbol=row["symbol"])


def _update(events: dict[str, Row | None]) -> Row:
    """Return the content of the first event of a form of the stream that delivers."""
    event = next(filter(None, events.values()), None)
    if event is None:
        raise NotChecked("a form of the stream that delivers")
    return dict(event["a"])
