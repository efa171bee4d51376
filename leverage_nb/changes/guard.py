"""Guard: the user's own upper bound on leverage."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

from leverage_nb.errors import InvalidInput, InvalidLeverage, as_typed
from leverage_nb.risk.user_input import parse_leverage

VARIABLE = "LEVERAGE_NB_MAX_LEVERAGE"
MAINNET_DEFAULT = 20

_CONFIG = "%config LeverageMagics.max_leverage"
_config: dict[str, Any] = {_CONFIG: 0}


def set_config(value: Any) -> None:
    """Take ``%config LeverageMagics.max_leverage`` for every account of this process; 0 means that it is not set."""
    _config[_CONFIG] = value


class Bound(NamedTuple):
    """The most that may be chosen.

    Attributes:
        leverage: It.
        source: Who says so, in words.
    """

    leverage: int
    source: str


class Guard:
    """The highest leverage that may be sent, to stop 125 typed for 12.

    The strictest of the sources that are set wins, looked up anew each time; on mainnet it is 20 when none is.

    Args:
        mainnet: Whether mainnet's rules apply: on mainnet, and at every address that is not known to be another's.
        argument: ``connect(max_leverage=...)``.

    Raises:
        InvalidInput: A source holds what is no leverage.
    """

    def __init__(self, mainnet: bool, argument: Any = None) -> None:
        self._mainnet = mainnet
        self._argument = argument
        self.limit()

    def stops(self, leverage: int) -> str:
        """Why a leverage may not be sent, in a sentence; "" where it may."""
        limit = self.limit()
        return f"The guard stops above {limit.leverage}x ({limit.source})." if limit and leverage > limit[0] else ""

    def limit(self) -> Bound | None:
        """The highest leverage that may be sent, and where that was said; None where nothing was."""
        sources = [
            ("connect(max_leverage=...)", self._argument),
            *_config.items(),
            (VARIABLE, os.environ.get(VARIABLE)),
        ]
        unset: tuple[Any, ...] = (None, "")
        found = [
            Bound(_read(name, value), name)
            for name, value in sources
            if value not in unset and not (name == _CONFIG and value == 0)
        ]
        if not found and self._mainnet:
            return Bound(MAINNET_DEFAULT, "the default on mainnet")
        return min(found, default=None)


def _read(name: str, value: Any) -> int:
    try:
        return parse_leverage(value)
    except InvalidLeverage:
        pass
    raise InvalidInput(f"{name} is a whole number of 1 or more. {as_typed(value)} is not.")
