"""The verdict on a change of margin type, and what it would expose.

=====  ========================================================  ==========
code   refused if                                                certainty
=====  ========================================================  ==========
-4168  to isolated, in multi-assets mode                         documented
-4168  to isolated, in Credits Trading Mode                      inferred
-4047  the symbol has open orders                                documented
-4048  the symbol has a position                                 documented
-1122  the symbol is not trading: unpredictable                  inferred
=====  ========================================================  ==========

The order of the rules is inferred: with a position and open orders, either code may come.
Source: https://developers.binance.com/docs/derivatives/usds-margined-futures/error-code.
"""

from __future__ import annotations

from leverage_nb.formatting import amount
from leverage_nb.risk.account_state import AccountState
from leverage_nb.risk.outlook import NOT_TRADING, Judgement

MULTI_ASSETS, OPEN_ORDERS, OPEN_POSITION = -4168, -4047, -4048


def judge_margin_type(state: AccountState, symbol: str, margin_type: str) -> Judgement:
    """Return the expected answer of the exchange to a change of margin type."""
    if state.settings[symbol].margin_type == margin_type:
        return Judgement("unchanged", None, "documented", "this is the current margin type")
    if margin_type == "isolated" and state.multi_assets:
        return Judgement("refused", MULTI_ASSETS, "documented", "multi-assets mode does not allow isolated margin")
    if margin_type == "isolated" and state.credits_mode:
        reason = "Credits Trading Mode does not allow isolated margin"
        return Judgement("refused", MULTI_ASSETS, "inferred", reason)
    own = [position for position in state.positions if position.symbol == symbol]
    if any(position.orders_bid or position.orders_ask or position.order_margin for position in own):
        return Judgement("refused", OPEN_ORDERS, "documented", "the symbol has open orders: cancel them first")
    if any(position.amount for position in own):
        return Judgement("refused", OPEN_POSITION, "documented", "the symbol has a position: close it first")
    if status := state.not_trading.get(symbol, ""):
        reason = f"{symbol} is not trading ({status}), and the exchange may refuse any change"
        return Judgement("unpredictable", NOT_TRADING, "inferred", reason)
    return Judgement("ok", None, "documented", "")


def exposed_by_cross(state: AccountState, symbol: str) -> str:
    """Return the balance that would back positions of the symbol in cross margin, in words."""
    asset = state.settings[symbol].margin_asset
    if state.credits_mode:
        return "the whole balance of the account"
    if state.multi_assets:
        backing = [b for b in state.balances.values() if b.cross_wallet + b.cross_profit]
        return "the balances of all assets: " + ", ".join(
            amount(b.cross_wallet + b.cross_profit, b.asset) for b in backing
        )
    balance = state.balances.get(asset)
    if balance is None:
        return f"the whole {asset or 'margin'} balance, which could not be read"
    return f"the whole cross balance of {amount(balance.cross_wallet + balance.cross_profit, asset)}"
