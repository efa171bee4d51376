"""The outlook: what is *held*, at every leverage from 1x up. A Preview is one row of it beside today's.

Rules, in the order in which they are held against a leverage other than today's. The order when several apply is
inferred.

=====  ==============================================  ============  ==========================================
code   refused when                                    certainty     what would settle it on the testnet
=====  ==============================================  ============  ==========================================
limit  above an account limit that was met before      documented    the exchange has said so itself
-4161  lower, isolated, one-way, a position is open    documented
-4161  lower, isolated, hedge, either side is open     inferred      hold only a short, isolated, and lower
-2027  positions exceed the tier's cap                 documented
-2027  positions fit, with open orders they exceed it  inferred      hold little, order much, and raise
-2028  lower, and the margin it needs is not there     documented
-2028  the same with open orders alone, when flat      inferred      order much while flat, and lower
-2028  lower in multi-assets mode, more is needed      cannot        lower step by step in multi-assets mode
                                                       predict
=====  ==============================================  ============  ==========================================

Sources: Binance's error-code page for the codes, its FAQ on leverage and margin for initial margin at mark, public
reports for -4161. A figure within a rounding error of its limit is not called either way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from leverage_nb.errors import InvalidInput
from leverage_nb.formatting import amount, short
from leverage_nb.risk.account_state import AccountState
from leverage_nb.risk.brackets import Brackets

if TYPE_CHECKING:
    import pandas as pd

Floats = npt.NDArray[np.float64]
Verdict = Literal["unchanged", "ok", "refused", "cannot predict"]
Certainty = Literal["documented", "inferred", "cannot predict"]


# Binance's code for lowering with an open isolated position: what was raised there cannot be taken back.
ISOLATED_OPEN = -4161


def _too_close(difference: float, size: float) -> bool:
    """Whether rounding decides: the wire's figures have eight places, float64 has about sixteen digits."""
    return difference != 0 and abs(difference) <= 1e-7 + 1e-13 * size


@dataclass(frozen=True)
class AccountLimit:
    """A limit that no tier shows and that the exchange has named in a refusal.

    Attributes:
        max_leverage: The most it allows.
        code: Binance's code.
        words: Binance's words.
        symbol: Which symbol it is for; None for all.
        until: When it lifts, where that was said.
    """

    max_leverage: int
    code: int
    words: str
    symbol: str | None = None
    until: datetime | None = None


@dataclass(frozen=True)
class Judgement:
    """What is expected of one leverage.

    Attributes:
        verdict: "unchanged" (it is there already), "ok", "refused" or "cannot predict".
        code: The code expected; None where none is.
        certainty: How that is known.
        reason: Why, in words; what would make it pass.
    """

    verdict: Verdict
    code: int | None
    certainty: Certainty
    reason: str

    @property
    def text(self) -> str:
        """The verdict in words; "" for what is there already."""
        if self.verdict == "refused":
            return f"would be refused ({self.code}): {self.reason}" if self.code else f"stopped: {self.reason}"
        return {"ok": "expected to pass", "cannot predict": f"cannot be predicted: {self.reason}"}.get(self.verdict, "")


class Outlook:
    """What is held of one symbol, at every leverage.

    Args:
        state: What the account holds.
        brackets: The symbol's tiers.
        limit: An account limit that has been met, if any.

    Attributes:
        brackets: The symbol's tiers.
        leverage: 1 to the symbol's maximum; int64.
        max_notional: The tiers' cap at each leverage; float64.
        room: What is left of it; negative where what is held does not fit; float64.
        initial_margin: Of positions and open orders at mark; float64.
        available_after: What new positions may use after the change, not cut off at 0; NaN in multi-assets mode.
        exposure: What counts against the cap: positions and open orders.
        current: Today's leverage.
    """

    def __init__(self, state: AccountState, brackets: Brackets, limit: AccountLimit | None = None) -> None:
        symbol = brackets.symbol
        setting = state.settings[symbol]
        self.symbol, self.current, self.margin_asset = symbol, setting.leverage, setting.margin_asset
        self._state, self.brackets, self._limit = state, brackets, limit
        self._isolated = setting.margin_type == "isolated"
        self._fitting: npt.NDArray[np.int64] | None = None
        self._held = state.held_notional(symbol)
        self._open = any(position.amount for position in state.positions if position.symbol == symbol)
        self.exposure = state.exposure(symbol)
        self.leverage = np.arange(1, brackets.symbol_max_leverage + 1)
        self.max_notional: Floats = brackets.max_notional(self.leverage)
        self.room: Floats = self.max_notional - self.exposure
        self.initial_margin: Floats = self.exposure / self.leverage
        # An isolated position's margin sits in its own wallet: of the free balance only its orders take.
        self._taking = self.exposure - self._held if self._isolated else self.exposure
        self._free = np.nan if state.multi_assets else state.free_without(symbol)
        self.available_after: Floats = self._free - self._taking / self.leverage

    def judge(self, leverage: int) -> Judgement:
        """What the exchange is expected to answer to this leverage, and what would pass instead."""
        judged = self._judge(leverage)
        if judged.verdict != "refused" or judged.code not in {-2027, -2028}:
            return judged
        lower = judged.code == -2027
        others = [x for x in self.fitting().tolist() if x != self.current and (x < leverage) == lower]
        if not others:
            advice = f"only today's {self.current}x fits"
        elif lower:
            advice = f"highest leverage that fits: {max(others)}x"
        else:
            advice = f"lowest leverage that fits: {min(others)}x"
        return replace(judged, reason=f"{judged.reason}; {advice}")

    def fitting(self) -> npt.NDArray[np.int64]:
        """The leverages that are expected to pass, today's included."""
        if self._fitting is None:
            passing = [x for x in self.leverage.tolist() if self._judge(x).verdict in {"ok", "unchanged"}]
            self._fitting = np.array(passing, np.int64)
        return self._fitting

    def caution(self, leverage: int) -> str:
        """What to mind, whatever is expected: that this leverage could not be taken back; "" where it could."""
        if not (self._isolated and self._open and leverage > self.current):
            return ""
        known = " [inferred]" if self._state.hedge_mode else ""
        return f"it cannot be taken back while the isolated position is open ({ISOLATED_OPEN}){known}"

    def highest(self, notional: float = 0.0, at_most: int | None = None, because: str = "out of bounds") -> int:
        """The highest leverage that allows a position of a size, and that no refusal is expected of.

        Args:
            notional: Of the whole position, in the margin asset; 0: any.
            at_most: A bound from outside; None for none.
            because: What sets that bound, in a sentence.

        Raises:
            InvalidInput: There is none; the error says what stands in the way.
        """
        large_enough = self.leverage[self.max_notional >= notional].tolist()
        if not large_enough:
            raise InvalidInput(f"No leverage of {self.symbol} allows a notional of {notional:,.10g}.")
        bounded = [x for x in large_enough if at_most is None or x <= at_most]
        if not bounded:
            raise InvalidInput(because)
        passing = [x for x in bounded if self._judge(x).verdict != "refused"]
        if not passing:
            raise InvalidInput(f"{self.symbol} {bounded[-1]}x {self.judge(bounded[-1]).text}.")
        return int(passing[-1])

    def _judge(self, leverage: int) -> Judgement:
        if leverage == self.current:
            return Judgement("unchanged", None, "documented", "it is there already")
        limit = self._limit
        if limit is not None and leverage > limit.max_leverage:
            return Judgement("refused", limit.code, "documented", self._limit_words(limit))
        lowering = leverage < self.current
        if lowering and self._isolated and self._open:
            known: Certainty = "inferred" if self._state.hedge_mode else "documented"
            why = "an isolated position is open; until it is closed leverage can only be raised"
            return Judgement("refused", ISOLATED_OPEN, known, why)
        for rule in (self._judge_cap, self._judge_margin):
            judgement = rule(leverage, lowering)
            if judgement is not None:
                return judgement
        return Judgement("ok", None, "documented", "")

    def to_frame(self) -> pd.DataFrame:
        """All of it as a DataFrame: see ``Account.outlook``."""
        import pandas as pd

        from leverage_nb.frames import LeverageFrame

        judgements = [self.judge(x) for x in self.leverage.tolist()]
        codes = [judgement.code for judgement in judgements]
        return LeverageFrame(
            {
                "max_notional": self.max_notional,
                "room": self.room,
                "initial_margin": self.initial_margin,
                "available_after": self.available_after,
                "verdict": [judgement.verdict for judgement in judgements],
                "code": pd.array(codes, dtype="Int64"),
                "certainty": [judgement.certainty for judgement in judgements],
                "reason": [
                    judgement.reason or self.caution(x)
                    for x, judgement in zip(self.leverage.tolist(), judgements, strict=True)
                ],
            },
            index=pd.RangeIndex(1, len(judgements) + 1, name="leverage"),
        )

    def _judge_cap(self, leverage: int, _lowering: bool) -> Judgement | None:
        cap = float(self.max_notional[leverage - 1])
        excess = self.exposure - cap
        if _too_close(excess, cap):
            return Judgement("cannot predict", -2027, "cannot predict", "what is held is too close to the cap to call")
        if excess <= 0:
            return None
        known: Certainty = "documented" if self._held > cap else "inferred"
        what = (
            f"{amount(self.exposure, self.margin_asset)} held"
            if self._held > cap
            else (f"{amount(self.exposure, self.margin_asset)} held with open orders")
        )
        return Judgement("refused", -2027, known, f"{what}, {leverage}x allows {short(cap)}")

    def _judge_margin(self, leverage: int, lowering: bool) -> Judgement | None:
        if not lowering or self._taking <= 0:
            return None
        if self._state.multi_assets:
            why = "in multi-assets mode all assets back it, in a way the figures at hand do not show"
            return Judgement("cannot predict", -2028, "cannot predict", why)
        after = float(self.available_after[leverage - 1])
        if math.isnan(after):
            return Judgement("cannot predict", -2028, "cannot predict", "the balance behind it could not be read")
        if _too_close(after, abs(self._free) + self._taking / leverage):
            return Judgement("cannot predict", -2028, "cannot predict", "the margin is too close to call")
        if after >= 0:
            return None
        known: Certainty = "documented" if self._held and not self._isolated else "inferred"
        # Rounded up: whoever adds just what is named must have added enough.
        lacking = math.ceil(-after * 100) / 100 if after <= -1 else -after * (1 + 1e-6)
        return Judgement("refused", -2028, known, f"needs {amount(lacking, self.margin_asset)} more")

    @staticmethod
    def _limit_words(limit: AccountLimit) -> str:
        until = f", until {limit.until:%Y-%m-%d %H:%M}" if limit.until else ""
        return f"the account is limited to {limit.max_leverage}x{until}: “{limit.words}”"
