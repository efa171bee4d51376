"""Isolated margin: what a position has, how much may be added or taken out, and where it is liquidated after that.

Sources: the amounts are those of Binance's FAQ "How to Adjust Margin Balance in Isolated Margin Mode",
https://www.binance.com/en/support/faq/360038447311 (published for Binance's own screens; that the API applies the same
bounds is inferred), the error codes -4049, -4050, -4051 and -4054 those of
https://developers.binance.com/docs/derivatives/usds-margined-futures/error-code.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from leverage_nb.change import Kind
from leverage_nb.formatting import amount
from leverage_nb.risk.account_state import AccountState, LeverageSetting, Position
from leverage_nb.risk.brackets import Brackets
from leverage_nb.risk.liquidation import liquidation_price
from leverage_nb.risk.outlook import Certainty, Judgement

_DOCUMENTED: Certainty = "documented"
_INFERRED: Certainty = "inferred"
# By what share a position may change before a change of its margin has to be confirmed again.
_POSITION_MOVES = 0.1

NOT_ISOLATED, CROSS_TOO_SMALL, ISOLATED_TOO_SMALL, NO_POSITION = -4049, -4050, -4051, -4054


@dataclass(frozen=True)
class IsolatedMargin:
    """The margin of one isolated position, as read before a change.

    Attributes:
        symbol: Binance's symbol.
        margin_type: "cross" or "isolated".
        side: "long" or "short"; "flat" without a position.
        wallet: The isolated wallet, in the margin asset.
        as_of: When the read was sent, in local time.
        read_at: The same by ``time.monotonic()``.
    """

    symbol: str
    margin_type: str
    side: Literal["long", "short", "flat"]
    wallet: Decimal
    as_of: datetime | None = field(default=None, compare=False)
    read_at: float = field(default=-math.inf, compare=False)

    def value(self, kind: Kind) -> Decimal:
        """Return the isolated wallet."""
        return self.wallet


def is_about(before: Any, now: Any) -> bool:
    """Whether the size or the wallet of a position is about what it was: funding and fills change it all the time."""
    return math.isclose(float(before or 0), float(now or 0), rel_tol=_POSITION_MOVES)


def _exact(amount: float) -> Decimal:
    """Return an amount with the eight decimal places of the exchange at most, and without an exponent."""
    return Decimal(f"{Decimal(f'{amount:.8f}').normalize():f}")


def isolated_margin_of(setting: LeverageSetting, position: Position | None) -> IsolatedMargin:
    """Return the isolated margin of a position; of none if it is None."""
    side = position.side if position is not None else "flat"
    wallet = _exact(position.isolated_wallet) if position is not None else Decimal(0)
    return IsolatedMargin(setting.symbol, setting.margin_type, side, wallet, setting.as_of, setting.read_at)


@dataclass(frozen=True)
class MarginEffect:
    """What adding margin to an isolated position, or taking it out, is expected to do; amounts in the margin asset.

    Attributes:
        judgement: The expected answer of the exchange.
        wallet: The isolated wallet before and after.
        available: The available margin before and after; NaN if it is unknown.
        liquidation: The liquidation price before, as the exchange calculates it, and after; None without one.
        effective_leverage: |notional| / (isolated wallet + profit) before and after; None if that is not above 0.
        most: The most that can be added, or taken out; NaN if it is unknown.
    """

    judgement: Judgement
    wallet: tuple[float, float]
    available: tuple[float, float]
    liquidation: tuple[float | None, float | None]
    effective_leverage: tuple[float | None, float | None]
    most: float


def most_addable(state: AccountState, symbol: str) -> float:
    """Return the most margin that can be added to an isolated position of the symbol; NaN if it is unknown.

    It is the smaller of the available margin, and the cross wallet without the initial margin of isolated orders and
    the maintenance margin of cross positions. That -4050 uses both bounds is inferred.
    """
    balance = state.balances.get(state.settings[symbol].margin_asset)
    if balance is None or state.multi_assets or state.why_margin_unknown(symbol):
        return math.nan
    own = [position for position in state.positions if position.margin_asset == balance.asset]
    orders = sum(position.order_margin for position in own if state.is_isolated(position.symbol))
    maintenance = sum(p.maintenance_margin for p in own if not state.is_isolated(p.symbol))
    return max(0.0, min(balance.available, balance.cross_wallet - orders - maintenance))


def most_removable(position: Position, leverage: int) -> float:
    """Return the most margin that can be taken out of an isolated position."""
    size = abs(position.notional)
    surplus = position.isolated_wallet + position.unrealized_profit - size / leverage
    return max(0.0, min(position.isolated_wallet - position.maintenance_margin, surplus))


def preview_margin(state: AccountState, brackets: Brackets, position: Position | None, delta: float) -> MarginEffect:
    """Predict a change of isolated margin.

    Args:
        state: The account.
        brackets: The symbol's tiers.
        position: The position whose margin is changed; None if there is none.
        delta: The amount; negative to take margin out.
    """
    symbol = brackets.symbol
    balance = state.balances.get(state.settings[symbol].margin_asset)
    available = math.nan
    if balance is not None and not state.why_margin_unknown(symbol):
        # The exchange reports no deficit, but 0.
        available = balance.available or min(0.0, state.available(symbol))
    if position is None or not position.amount:
        unknown = (math.nan, math.nan)
        # That a reduction is answered with the other code is reported:
        # https://github.com/Binance-docs/Binance_Futures_python/issues/150.
        code, certainty = (NO_POSITION, _DOCUMENTED) if delta > 0 else (ISOLATED_TOO_SMALL, _INFERRED)
        absent = _judge_setting(state, symbol) or Judgement(
            "refused", code, certainty, f"{symbol} has no open position"
        )
        return MarginEffect(absent, unknown, unknown, (None, None), (None, None), math.nan)
    wallet = position.isolated_wallet, position.isolated_wallet + delta
    after = float(liquidation_price(brackets, position.amount, position.entry_price, wallet[1]))
    leverage = state.settings[symbol].leverage
    most = math.nan
    if state.is_isolated(symbol):
        if delta > 0:
            most = most_addable(state, symbol)
        elif leverage is not None:
            most = most_removable(position, leverage)
    return MarginEffect(
        judgement=_judge_setting(state, symbol) or _judge_amount(delta, most, position.margin_asset),
        wallet=wallet,
        available=(available, available - delta),
        liquidation=(position.liquidation_price, after if after == after else None),
        effective_leverage=(_effective(position, wallet[0]), _effective(position, wallet[1])),
        most=most,
    )


def _judge_setting(state: AccountState, symbol: str) -> Judgement | None:
    """Return the refusal of a symbol that is not isolated; None if it is."""
    if state.is_isolated(symbol):
        return None
    reason = f"the margin type of {symbol} is {state.settings[symbol].margin_type}"
    return Judgement(
        "refused", NOT_ISOLATED, "documented", f"{reason}, and only isolated positions have their own margin"
    )


def _judge_amount(delta: float, most: float, asset: str) -> Judgement:
    code, what = (CROSS_TOO_SMALL, "added") if delta > 0 else (ISOLATED_TOO_SMALL, "taken out")
    if math.isnan(most):
        return Judgement("unpredictable", code, "inferred", "the margin that the account has available is not known")
    # Prices move between this read and the exchange's own calculation.
    if abs(abs(delta) - most) <= 1e-3 * max(most, abs(delta)):
        return Judgement(
            "unpredictable", code, "inferred", f"it is close to the {amount(most, asset)} that can be {what}"
        )
    if abs(delta) > most:
        return Judgement("refused", code, "inferred", f"at most {amount(most, asset)} can be {what} now")
    return Judgement("ok", None, "inferred", "")


def _effective(position: Position, wallet: float) -> float | None:
    margin = wallet + position.unrealized_profit
    return abs(position.notional) / margin if margin > 0 else None
