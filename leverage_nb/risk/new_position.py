"""A new position of a given size, at every leverage, beside the position and the open orders that exist."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from leverage_nb.errors import InvalidInput, as_typed
from leverage_nb.formatting import amount, price, short
from leverage_nb.risk.liquidation import liquidation_price
from leverage_nb.risk.outlook import Floats, Outlook
from leverage_nb.risk.user_input import is_number, parse_notional

Unit = Literal["margin asset", "base asset", "percent"]
MOST_PERCENT = 100.0
# The share of the stop's price that lies between it and liquidation, unless another is asked for.
BUFFER = 0.005


@dataclass(frozen=True)
class StopBound:
    """What a stop allows: the highest leverage whose liquidation price lies beyond it by the buffer.

    Attributes:
        stop: The price of the stop.
        buffer: The share of the stop's price that lies between it and liquidation, at least.
        leverage: The highest such leverage that tiers, guard and the expected answer allow; None if there is none.
        liquidation: Its liquidation price; NaN if no price liquidates the position, and without a leverage.
        obstacle: Why there is none; "" if there is one.
    """

    stop: float
    buffer: float
    leverage: int | None
    liquidation: float
    obstacle: str


class NewPosition:
    """A new position that is opened at mark price. Arrays have one element per leverage, from 1; float64.

    Args:
        outlook: The symbol's outlook.
        size: The size in ``unit``; above 0, and at most 100 percent. Percent are of the margin that is available after
            a change to the leverage.
        unit: What the size is measured in.
        mark_price: The mark price; above 0.
        most: The highest leverage that the guard allows; None without a guard.

    Attributes:
        notional: Its notional in the margin asset; NaN if the available margin is unknown, and in percent if none is.
        margin: Its initial margin.
        affordable: Whether tier and available margin allow it; bool. NaN margin is not affordable.
        liquidation: Liquidation prices of a long and a short, each as an isolated position without further margin;
            shape (2, leverages); NaN without one, and where the tiers do not allow the position.
        distance: The adverse price moves to them, as fractions of the mark price; infinite without one, NaN where the
            tiers do not allow the position.
    """

    def __init__(self, outlook: Outlook, size: float, unit: Unit, mark_price: float, most: int | None = None) -> None:
        self._outlook, self._mark_price, self._most = outlook, mark_price, most
        leverage = outlook.leverage
        if unit == "percent":
            share = np.maximum(outlook.available_after, 0.0) * size / 100
            self.notional: Floats = np.where(share > 0, share * leverage, np.nan)
        else:
            self.notional = np.full(len(leverage), size * (mark_price if unit == "base asset" else 1.0))
        self.margin: Floats = self.notional / leverage
        with np.errstate(invalid="ignore"):  # comparing NaN is False
            self._allowed = self.notional <= outlook.room
            # The margin of 100 percent is all of it; rounding must not make it too much.
            self.affordable = self._allowed & (self.margin <= outlook.available_after * (1 + 1e-12))
        margin = np.where(self._allowed, self.margin, np.nan)
        quantity = self.notional / mark_price
        self.liquidation: Floats = liquidation_price(
            outlook.brackets, np.stack([quantity, -quantity]), mark_price, margin
        )
        distance = np.array([[1.0], [-1.0]]) * (mark_price - self.liquidation) / mark_price
        self.distance: Floats = np.where(np.isnan(self.liquidation) & self._allowed, np.inf, distance)

    @property
    def lowest(self) -> int | None:
        """The lowest leverage that affords it, that the guard allows, and that would not be refused."""
        return next((x for x in self._affording() if self._can_choose(x)), None)

    @property
    def tier_bound(self) -> int | None:
        """The highest leverage whose tier allows it beside what exists; None if none does."""
        allowed = self._outlook.leverage[self._allowed].tolist()
        return max(allowed, default=None)

    @property
    def obstacle(self) -> str:
        """Why no leverage affords it: the tiers, the guard, an expected refusal or the margin; "" if one does."""
        outlook = self._outlook
        if self.lowest is not None:
            return ""
        if all(map(math.isnan, self.notional.tolist())) or all(map(math.isnan, outlook.available_after.tolist())):
            return "The available margin is unknown."
        if self.tier_bound is None:
            beside = f" beside the exposure of {short(outlook.exposure, 4)}" if outlook.exposure else ""
            return f"No leverage allows it{beside}: the tiers end at {short(outlook.brackets.last_cap)}."
        for affording in self._affording():
            if self._above_guard(affording):
                return f"{affording}x would afford it, but your guard is {self._most}x."
            return f"{affording}x would afford it, but {outlook.judge(affording).text}."
        chosen = [x for x in outlook.leverage[self._allowed].tolist() if self._can_choose(x)]
        best = max(chosen, default=self.tier_bound)
        missing = float(self.margin[best - 1] - outlook.available_after[best - 1])
        why = "the highest that its tier allows" if best == self.tier_bound else "the highest possible leverage"
        return f"No leverage affords it: {best}x, {why}, needs {amount(missing, outlook.margin_asset)} more margin."

    def before_liquidation(self, stop: Any, buffer: Any = BUFFER) -> StopBound:
        """Return the highest leverage that keeps liquidation beyond a stop; the margin may still be too small for it.

        Args:
            stop: The price of the stop, also as ``"60k"``: below the mark price for a long, above it for a short.
            buffer: The share of the stop's price that lies between it and liquidation, at least; from 0 to below 1.

        Raises:
            InvalidInput: ``stop`` is no price, or ``buffer`` is no such share.
        """
        stop = parse_notional(stop, "a price")
        if not is_number(buffer) or not 0 <= buffer < 1:
            raise InvalidInput(
                f"buffer is a share of the stop's price: a number from 0 to below 1; got {as_typed(buffer)}.",
                hint="Write 0.5 percent as buffer=0.005, without quotation marks.",
            )
        is_long, buffer = stop < self._mark_price, float(buffer)
        prices, edge = self.liquidation[0 if is_long else 1], stop * (1 - buffer if is_long else 1 + buffer)
        with np.errstate(invalid="ignore"):  # NaN is judged by itself
            beyond = self._allowed & (np.isnan(prices) | (prices <= edge if is_long else prices >= edge))
        keeping = self._outlook.leverage[beyond].tolist()
        found = max(filter(self._can_choose, keeping), default=None) if stop != self._mark_price else None
        if found is None:
            return StopBound(stop, buffer, None, math.nan, self._why_no_stop(stop, keeping))
        return StopBound(stop, buffer, found, float(prices[found - 1]), "")

    def _why_no_stop(self, stop: float, keeping: list[int]) -> str:
        if stop == self._mark_price:
            return f"The stop is the mark price of {price(stop)}: for a long it must be below, for a short above."
        if self.tier_bound is None:
            return self.obstacle
        if not keeping:
            return f"No leverage keeps liquidation beyond {price(stop)}: the stop is too far away."
        if self._above_guard(keeping[0]):
            return f"{keeping[0]}x keeps liquidation beyond the stop, but your guard is {self._most}x."
        best = max(x for x in keeping if not self._above_guard(x))
        return f"{best}x keeps liquidation beyond the stop, but {self._outlook.judge(best).text}."

    def _affording(self) -> list[int]:
        leverages: list[int] = self._outlook.leverage[self.affordable].tolist()
        return leverages

    def _can_choose(self, leverage: int) -> bool:
        return not self._above_guard(leverage) and self._outlook.judge(leverage).verdict != "refused"

    def _above_guard(self, leverage: int) -> bool:
        return self._most is not None and leverage > self._most
