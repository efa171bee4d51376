"""Accounts small enough to calculate by hand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from leverage_nb.simulator.account import Account, Refused
from leverage_nb.simulator.market import load_market

MARKET = load_market()


def opened(*, demo: bool = False, **changes: Any) -> Account:
    """Return an account with 1,000 USDT and nothing else, except for ``changes``."""
    opening = {
        "accountAlias": "x", "wallets": {"USDT": "1000"}, "leverage": {}, "isolated": [], "positions": [],
        "orders": [], "dualSidePosition": False, "multiAssetsMargin": False,
    }  # fmt: skip
    return Account(MARKET, opening | changes, demo=demo)


def position(symbol: str, notional: int, side: str = "BOTH", **more: str) -> dict[str, str]:
    """Return a position worth ``notional``, entered at the mark price."""
    mark = MARKET.symbols[symbol].mark_price
    amount = str(Decimal(notional) / mark)
    return {"symbol": symbol, "positionSide": side, "positionAmt": amount, "entryPrice": str(mark)} | more


def buy(symbol: str, quantity: str, price: str) -> dict[str, str]:
    """Return an open buy order in one-way mode."""
    return {"symbol": symbol, "side": "BUY", "positionSide": "BOTH", "quantity": quantity, "price": price}


def code_of(account: Account, symbol: str, leverage: int) -> int:
    """Change a leverage and return the code of the refusal; 0 if the change is made."""
    try:
        account.set_leverage(symbol, leverage)
    except Refused as refused:
        return refused.code
    return 0
