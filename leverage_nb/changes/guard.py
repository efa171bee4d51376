"""Guard: the user's own upper bound on leverage."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple

from leverage_nb.errors import GuardExceeded, InvalidInput, InvalidLeverage, as_typed
from leverage_nb.formatting import short
from leverage_nb.risk.outlook import Outlook
from leverage_nb.risk.user_input import parse_leverage

MAINNET_DEFAULT = 20

_ARGUMENT = "connect(max_leverage=...)"
_CONFIG = "%config LeverageMagics.max_leverage"
_VARIABLE = "LEVERAGE_NB_MAX_LEVERAGE"


class Bound(NamedTuple):
    """An upper bound on leverage.

    Attributes:
        leverage: The highest leverage that it allows.
        source: Where the bound comes from, in words.
    """

    leverage: int
    source: str


class Guard:
    """The highest leverage that may be sent, for example to stop 125 typed for 12.

    The lowest of the sources that are set applies. On mainnet it is 20x if none is set.

    Args:
        mainnet: Whether mainnet's rules apply: on mainnet, and at every address that is not known to be another venue.
        argument: The value of ``connect(max_leverage=...)``.
        config: Returns the value of ``%config LeverageMagics.max_leverage``; 0 if it is not set.

    Raises:
        InvalidInput: The argument or the environment variable is not a leverage.
    """

    def __init__(self, mainnet: bool, argument: Any = None, config: Callable[[], Any] = lambda: 0) -> None:
        self._mainnet = mainnet
        self._argument = argument
        self._config = config
        self.limit()

    def limit(self) -> Bound | None:
        """Return the guard and its source; None without a guard."""
        config = self._config()
        sources = {_ARGUMENT: self._argument, _CONFIG: config or None, _VARIABLE: os.environ.get(_VARIABLE) or None}
        found = [Bound(_read(name, value), name) for name, value in sources.items() if value is not None]
        if not found and self._mainnet:
            return Bound(MAINNET_DEFAULT, "the default on mainnet")
        return min(found, default=None)

    def exceeded(self, leverage: int) -> GuardExceeded | None:
        """Return the reason why a leverage may not be sent; None if it may."""
        limit = self.limit()
        if limit is None or leverage <= limit.leverage:
            return None
        to_raise = {
            _ARGUMENT: f"connect(..., max_leverage={leverage}), with the same venue",
            _VARIABLE: f"set {_VARIABLE}={leverage} before Jupyter starts",
        }.get(limit.source, f"{_CONFIG} = {leverage}")
        return GuardExceeded(
            f"{leverage}x is above your guard of {limit.leverage}x ({limit.source}).",
            hint=f"To raise the guard: {to_raise}",
        )


def why_highest(outlook: Outlook, highest: int, guard: Bound | None, notional: float = 0.0) -> str:
    """Return what "max" stops at: the symbol's maximum, the guard, a size, or the refusal of the next leverage."""
    found = f"max is {highest}x{', the current leverage' if highest == outlook.current else ''}"
    if highest >= len(outlook.leverage):
        return f"{found}: the symbol's maximum"
    if guard is not None and highest >= guard.leverage:
        return f"{found}: limited by your guard ({guard.source})"
    if notional > (cap := float(outlook.max_notional[highest])):
        return f"{found}: a position has at most {short(cap)} at {highest + 1}x"
    judged = outlook.judge(highest + 1)
    return f"{found}: {judged.reason.removesuffix(f'; {judged.advice}')}"


def _read(name: str, value: Any) -> int:
    try:
        return parse_leverage(value)
    except InvalidLeverage:
        pass
    raise InvalidInput(f"{name} must be a whole number of 1 or more. {as_typed(value)} is not.", hint="For example 20.")
