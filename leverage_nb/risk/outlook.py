"""The outlook: the position and open orders of one symbol, at every leverage from 1x to the symbol's maximum.

A leverage other than the current one is checked against these rules, in this order. The order is inferred.

=====  =======================================================  ==========  ============================================
code   refused if                                               certainty   test on the testnet that would confirm it
=====  =======================================================  ==========  ============================================
limit  above an account limit that the exchange has named       documented
-1122  the symbol is not trading: unpredictable                 inferred    change a symbol that is not TRADING
-4161  lower, isolated, one-way mode, a position is open        documented
-4161  lower, isolated, hedge mode, either side is open         inferred    open only a short, isolated, and lower
-2027  positions exceed the cap                                 documented
-2027  positions fit the cap, with open orders they exceed it   inferred    small position, large orders, and raise
-2028  lower, and the available margin is too small             documented
-2028  the same with open orders only                           inferred    large orders without a position, and lower
-2028  the same in multi-assets mode, all assets together       inferred    lower step by step in multi-assets mode
=====  =======================================================  ==========  ============================================

Figures within a rounding error of a bound are unpredictable too. Reports by users confirm -4161.

Sources: https://developers.binance.com/docs/derivatives/usds-margined-futures/error-code (codes),
https://www.binance.com/en/support/faq/360033162192 (initial margin at mark price).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from leverage_nb.errors import InvalidInput
from leverage_nb.formatting import amount, moment, short
from leverage_nb.risk.account_state import AccountState
from leverage_nb.risk.brackets import Brackets

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]
Verdict = Literal["unchanged", "ok", "refused", "unpredictable"]
Certainty = Literal["documented", "inferred"]

# The leverage of an open isolated position can only be raised, and a raise cannot be undone.
ISOLATED_OPEN = -4161
# Invalid symbol status.
NOT_TRADING = -1122


@dataclass(frozen=True)
class AccountLimit:
    """An upper bound on leverage that is not in the tiers, and that the exchange named in a refusal.

    Attributes:
        max_leverage: The highest leverage that it allows.
        code: Binance's error code.
        words: The text of Binance's error message.
        symbol: The symbol; None if it applies to all symbols.
        until: When it ends, if the exchange named a time.
    """

    max_leverage: int
    code: int
    words: str
    symbol: str | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Judgement:
    """The expected result of a change to one leverage.

    Attributes:
        verdict: "unchanged" (it is the current leverage), "ok", "refused" or "unpredictable".
        code: The expected error code; None if there is none.
        certainty: How the rule is known: "documented" or "inferred".
        reason: Why, and which leverage would pass.
        advice: The part of ``reason`` that names what would pass; "" without it.
        nearest: The nearest leverage that would pass instead of a refused one; None if there is none.
    """

    verdict: Verdict
    code: int | None
    certainty: Certainty
    reason: str
    advice: str = ""
    nearest: int | None = None

    @property
    def text(self) -> str:
        """The verdict in words; "" for the current leverage."""
        if self.verdict == "refused":
            return f"would be refused: {self.reason} ({self.code})" if self.code else f"stopped: {self.reason}"
        return {"ok": "expected to pass", "unpredictable": f"cannot be predicted: {self.reason}"}.get(self.verdict, "")


class Outlook:
    """The position and open orders of one symbol, at every leverage. Arrays have one element per leverage.

    Args:
        state: The account.
        brackets: The symbol's tiers.
        limit: The account limit that applies to the symbol, if any.

    Attributes:
        symbol: Binance's symbol.
        current: The current leverage; None if it is not set.
        margin_asset: The asset of all amounts.
        brackets: The symbol's tiers.
        exposure: Positions and open orders together.
        leverage: 1 to the symbol's maximum; int64.
        max_notional: The cap at each leverage; float64.
        room: Tier headroom: ``max_notional`` minus ``exposure``; negative if the exposure does not fit; float64.
        initial_margin: Initial margin of positions and open orders at mark price; float64.
        available_after: Available margin after the change; may be negative; NaN if unknown; float64.
        can_open: Notional that can still be opened: the smaller of tier headroom and available margin times leverage,
            at least 0; NaN if the available margin is unknown; float64.
    """

    def __init__(self, state: AccountState, brackets: Brackets, limit: AccountLimit | None = None) -> None:
        symbol = brackets.symbol
        setting = state.settings[symbol]
        self.symbol, self.current, self.margin_asset = symbol, setting.leverage, state.asset_of(symbol)
        self._state, self.brackets, self._limit = state, brackets, limit
        self._isolated = setting.margin_type == "isolated"
        self._status = state.not_trading.get(symbol, "")
        self._fitting: npt.NDArray[np.int64] | None = None
        self._position_notional = state.position_notional(symbol)
        opened = [position for position in state.positions if position.symbol == symbol and position.amount]
        self._position_open, self._both_sides_open = bool(opened), len(opened) > 1
        self.exposure = state.exposure(symbol)
        self.leverage = np.arange(1, brackets.symbol_max_leverage + 1)
        self.max_notional: Floats = brackets.max_notional(self.leverage)
        self.room: Floats = self.max_notional - self.exposure
        self.initial_margin: Floats = self.exposure / self.leverage
        # The margin of an isolated position is in its own wallet: only its orders use available margin.
        self._using_available = self.exposure - self._position_notional if self._isolated else self.exposure
        self._available_without = state.available_without(symbol)
        self.available_after: Floats = self._available_without - self._using_available / self.leverage
        self.can_open: Floats = np.maximum(0.0, np.minimum(self.room, self.available_after * self.leverage))

    def judge(self, leverage: int) -> Judgement:
        """Return the expected answer of the exchange to this leverage, with the nearest leverage that fits."""
        judgement = self._judge(leverage)
        if judgement.verdict != "refused" or judgement.code == ISOLATED_OPEN:
            return judgement
        too_high = judgement.code != -2028
        others = [x for x in self.fitting().tolist() if x != self.current and (x < leverage) == too_high]
        nearest = (max(others) if too_high else min(others)) if others else None
        if judgement.code not in {-2027, -2028}:
            return replace(judgement, nearest=nearest)
        if nearest is None:
            advice = f"only the current {self.current}x fits" if self.current else "no leverage fits"
        else:
            advice = f"{'highest' if too_high else 'lowest'} leverage that fits: {nearest}x"
        return replace(judgement, reason=f"{judgement.reason}; {advice}", advice=advice, nearest=nearest)

    def limited_by(self, leverage: int) -> str:
        """Return what limits the notional that can still be opened: "tier" or "margin"; "" if that is unknown."""
        by_margin = float(self.available_after[leverage - 1]) * leverage
        if math.isnan(by_margin):
            return ""
        return "tier" if float(self.room[leverage - 1]) <= by_margin else "margin"

    def fitting(self) -> npt.NDArray[np.int64]:
        """Return the leverages that are expected to pass, including the current one; int64."""
        if self._fitting is None:
            passing = [x for x in self.leverage.tolist() if self._judge(x).verdict in {"ok", "unchanged"}]
            self._fitting = np.array(passing, np.int64)
        return self._fitting

    def caution(self, leverage: int) -> str:
        """Return a warning if a change to this leverage could not be undone; "" otherwise."""
        if self.current is None:
            return "this cannot be undone: a leverage that is not set cannot be restored"
        if not (self._isolated and self._position_open and leverage > self.current):
            return ""
        inferred = " [inferred]" if self._state.hedge_mode else ""
        return f"this cannot be undone while the isolated position is open ({ISOLATED_OPEN}){inferred}"

    def highest(self, notional: float = 0.0, at_most: int | None = None, because: str = "out of bounds") -> int:
        """Return the highest leverage that allows a position of this notional and is not expected to be refused.

        Args:
            notional: Notional of the whole position, in the margin asset; 0 for any.
            at_most: An upper bound from elsewhere; None for none.
            because: The message of the error if that bound excludes every leverage.

        Raises:
            InvalidInput: There is no such leverage; the message names the reason.
        """
        large_enough = self.leverage[self.max_notional >= notional].tolist()
        if not large_enough:
            raise InvalidInput(
                f"No leverage of {self.symbol} allows a notional of {notional:,.10g}.",
                hint=f"The largest is {amount(self.brackets.last_cap, self.margin_asset)}, at 1x.",
            )
        bounded = [x for x in large_enough if at_most is None or x <= at_most]
        if not bounded:
            raise InvalidInput(because)
        passing = [x for x in bounded if self._judge(x).verdict != "refused"]
        if not passing:
            raise InvalidInput(f"{self.symbol} {bounded[-1]}x {self.judge(bounded[-1]).text}.")
        return int(passing[-1])

    def to_frame(self) -> pd.DataFrame:
        """Return the outlook as a DataFrame: see ``Account.outlook``."""
        import pandas as pd

        from leverage_nb.frames import LeverageFrame

        leverages = self.leverage.tolist()
        judgements = [self.judge(x) for x in leverages]
        return LeverageFrame(
            {
                "max_notional": self.max_notional,
                "room": self.room,
                "initial_margin": self.initial_margin,
                "available_after": self.available_after,
                "can_open": self.can_open,
                "verdict": [judgement.verdict for judgement in judgements],
                "code": pd.array([judgement.code for judgement in judgements], dtype="Int64"),
                "certainty": [judgement.certainty for judgement in judgements],
                "reason": [j.reason or self.caution(x) for x, j in zip(leverages, judgements, strict=True)],
            },
            index=pd.RangeIndex(1, len(leverages) + 1, name="leverage"),
        )

    def _judge(self, leverage: int) -> Judgement:
        if leverage == self.current:
            return Judgement("unchanged", None, "documented", "this is the current leverage")
        limit = self._limit
        if limit is not None and leverage > limit.max_leverage:
            until = f" until {moment(limit.until)}" if limit.until else ""
            reason = f"the account is limited to {limit.max_leverage}x{until}: “{limit.words}”"
            return Judgement("refused", limit.code, "documented", reason)
        if self._status:
            reason = f"{self.symbol} is not trading ({self._status}), and the exchange may refuse any change"
            return Judgement("unpredictable", NOT_TRADING, "inferred", reason)
        # While none is set, the default applies: https://www.binance.com/en/support/faq/360033162192.
        lowering = leverage < (self.brackets.default_leverage if self.current is None else self.current)
        if lowering and self._isolated and self._position_open:
            if self.current is None:
                default = f"the leverage is not set; if {self.brackets.default_leverage}x applies"
                reason = f"{default}, it cannot be lowered while the isolated position is open"
                return Judgement("unpredictable", ISOLATED_OPEN, "inferred", reason)
            side = " --side long, or short" if self._both_sides_open else ""
            advice = f"to lower its effective leverage, add margin: %leverage {self.symbol} --add-margin AMOUNT{side}"
            reason = f"an isolated position is open; until it is closed, leverage can only be raised; {advice}"
            certainty: Certainty = "inferred" if self._state.hedge_mode else "documented"
            return Judgement("refused", ISOLATED_OPEN, certainty, reason, advice)
        return (
            self._judge_cap(leverage)
            or (self._judge_margin(leverage) if lowering else None)
            or Judgement("ok", None, self._margin_certainty if lowering else "documented", "")
        )

    def _judge_cap(self, leverage: int) -> Judgement | None:
        cap = float(self.max_notional[leverage - 1])
        position_exceeds = self._position_notional > cap
        certainty: Certainty = "documented" if position_exceeds else "inferred"
        if _within_rounding(self.exposure - cap, cap):
            return Judgement("unpredictable", -2027, certainty, "the exposure is too close to the cap")
        if self.exposure <= cap:
            return None
        orders = "" if position_exceeds else ", open orders included,"
        exposure = f"exposure of {amount(self.exposure, self.margin_asset)}{orders}"
        return Judgement("refused", -2027, certainty, f"{exposure} exceeds the {short(cap)} allowed at {leverage}x")

    @property
    def _margin_certainty(self) -> Certainty:
        """How certain the rule for -2028 is: documented for cross positions in single-asset mode."""
        if self._using_available <= 0:
            return "documented"  # a lower leverage needs no margin
        documented = (
            self.current is not None and self._position_notional and not self._isolated and not self._state.multi_assets
        )
        return "documented" if documented else "inferred"

    def _judge_margin(self, leverage: int) -> Judgement | None:
        if self._using_available <= 0:
            return None
        certainty = self._margin_certainty
        after = float(self.available_after[leverage - 1])
        if math.isnan(after):
            return Judgement("unpredictable", -2028, "inferred", self._state.why_margin_unknown(self.symbol))
        size = abs(self._available_without) + self._using_available / leverage
        # In multi-assets mode the rates move every second.
        if _within_rounding(after, size, _RATES_MOVE if self._state.multi_assets else _FLOAT64):
            return Judgement("unpredictable", -2028, certainty, "the available margin is too close to what is needed")
        if after >= 0:
            return None
        # Rounded up, so that adding the named amount is enough.
        missing = math.ceil(-after * 100) / 100 if after <= -1 else -after * (1 + 1e-6)
        return Judgement("refused", -2028, certainty, f"needs {amount(missing, self.margin_asset)} more margin")


# float64 has about sixteen significant digits.
_FLOAT64 = 1e-13
_RATES_MOVE = 1e-3


def _within_rounding(difference: float, size: float, relative: float = _FLOAT64) -> bool:
    # The exchange sends eight decimal places.
    return difference != 0 and abs(difference) <= 1e-7 + relative * size
