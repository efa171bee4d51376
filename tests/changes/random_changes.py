"""Random changes of every kind, of one symbol or of several as a plan, and those of other clients."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from leverage_nb.account import Account
from leverage_nb.change import Change, Kind
from leverage_nb.simulator import Simulator
from leverage_nb.simulator.account import Position

# Symbols with an open isolated position, and symbols whose margin type can be changed.
ISOLATED = ("ETHUSDT", "ADAUSDT", "LINKUSDT")
WITHOUT_POSITION = ("XRPUSDT", "DOGEUSDT", "BNBUSDT", "哈基米USDT")
SYMBOLS = ("BTCUSDT", "SOLUSDT", *ISOLATED, *WITHOUT_POSITION)

# A few, so that the same amount is often changed again, by the account and by others.
AMOUNTS = ("5", "-5", "12.5", "-12.5", "0.00000001")


def open_positions(simulator: Simulator) -> None:
    """Give the account an isolated position of every symbol of ``ISOLATED``."""
    books = simulator.exchange.account
    books.isolated |= {*ISOLATED}
    for symbol, size, price in (("ADAUSDT", "10000", "0.41"), ("LINKUSDT", "-300", "13.5")):
        books.positions.append(Position(symbol, "BOTH", Decimal(size), Decimal(price), Decimal(3000)))


def opening_values(simulator: Simulator) -> dict[tuple[str, Kind], Any]:
    """Return leverage, margin type and isolated wallet of every symbol."""
    books = simulator.exchange.account
    wallets = {position.symbol: position.isolated_wallet for position in books.positions}
    found: dict[tuple[str, Kind], Any] = {}
    for symbol in SYMBOLS:
        found[symbol, "leverage"] = books.leverage(symbol)
        found[symbol, "margin type"] = "isolated" if symbol in books.isolated else "cross"
        found[symbol, "isolated margin"] = wallets.get(symbol, Decimal(0))
    return found


@dataclass
class Trader:
    """Makes random changes with an account.

    Attributes:
        account: The account.
        chance: The random generator.
        most: The highest leverage of each symbol.
    """

    account: Account
    chance: random.Random
    most: Mapping[str, int]

    def leverage(self, symbol: str) -> int:
        """Return a leverage that the symbol allows."""
        return self.chance.randint(1, self.most[symbol])

    def margin_type(self) -> str:
        """Return a margin type."""
        return self.chance.choice(["cross", "isolated"])

    def change(self, *, previewed: bool = False) -> Change:
        """Change a leverage, a margin type or an isolated margin, also by a preview that is forced."""
        account, chance = self.account, self.chance
        kind = chance.choice(["leverage", "leverage", "margin type", "isolated margin"])
        if kind == "leverage":
            symbol = chance.choice(SYMBOLS)
            leverage = self.leverage(symbol)
            return _forced(account.preview(symbol, leverage)) if previewed else account.set_leverage(symbol, leverage)
        if kind == "margin type":
            symbol, wanted = chance.choice(WITHOUT_POSITION if chance.random() < 0.9 else SYMBOLS), self.margin_type()
            if previewed:
                return _forced(account.preview_margin_type(symbol, wanted))
            return account.set_margin_type(symbol, wanted)
        symbol, amount = chance.choice(ISOLATED if chance.random() < 0.95 else SYMBOLS), chance.choice(AMOUNTS)
        if previewed:
            return _forced(account.preview_isolated_margin(symbol, amount))
        return account.change_isolated_margin(symbol, amount)

    def targets(self, count: int) -> dict[str, Any]:
        """Return targets of a plan: leverages, margin types, and both."""
        wanted: dict[str, Any] = {}
        for symbol in self.chance.sample(SYMBOLS, k=count):
            forms: list[Callable[[str], Any]] = [self.leverage]
            if symbol in WITHOUT_POSITION:
                forms += [lambda _: self.margin_type(), lambda one: (self.leverage(one), self.margin_type())]
            wanted[symbol] = self.chance.choice(forms)(symbol)
        return wanted


def _forced(preview: Any) -> Change:
    change: Change = preview.apply(force=True)
    if preview.symbol in ISOLATED and change.kind == "isolated margin":
        return change  # its wallet may move between preview and change
    assert change.before == preview.before or change.status == "unchanged"
    return change


def change_elsewhere(simulator: Simulator, chance: random.Random) -> None:
    """Change any symbol as another client of the account."""
    exchange = simulator.exchange
    match chance.choice(["leverage", "leverage", "margin type", "isolated margin"]):
        case "leverage":
            exchange.change_elsewhere(chance.choice(SYMBOLS), chance.choice([1, 2, 3, 5, 10, 20]))
        case "margin type":
            wanted = chance.choice(["ISOLATED", "CROSSED"])
            exchange.change_elsewhere(chance.choice(WITHOUT_POSITION), margin_type=wanted)
        case _:
            exchange.change_elsewhere(chance.choice(ISOLATED), margin=chance.choice(AMOUNTS))
