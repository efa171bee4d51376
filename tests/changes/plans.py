"""Plans of a few symbols and of many, and the outcome of their rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from leverage_nb.account import Account
from leverage_nb.changes.plan import Plan
from leverage_nb.simulator import Simulator
from tests.conftest import connect_to

WANTED = {"BTCUSDT": 15, "ETHUSDT": 20, "SOLUSDT": 30, "XRPUSDT": 50, "ADAUSDT": "10x"}


def statuses(plan: Plan) -> dict[str, str]:
    """Return the status of each row, by symbol."""
    return {row.symbol: row.status for row in plan.rows}


def leverages(simulator: Simulator, *symbols: str) -> dict[str, int]:
    """Return the leverages that the simulator has."""
    return {symbol: simulator.exchange.account.leverage(symbol) for symbol in symbols}


def list_more_symbols(simulator: Simulator, count: int) -> list[str]:
    """List more symbols like XRPUSDT, and return their names."""
    symbols = simulator.exchange.market.symbols
    names = [f"S{number:03}USDT" for number in range(count)]
    symbols.update({name: replace(symbols["XRPUSDT"], name=name) for name in names})
    return names


def make_wide_plan(simulator: Simulator, count: int, **options: Any) -> tuple[Account, Plan]:
    """Return an account, and a plan of many symbols to 7x."""
    names = list_more_symbols(simulator, count)
    account = connect_to(simulator, **{"recv_window": 2000, "grace": 0.05, **options})
    return account, account.plan(dict.fromkeys(names, 7))
