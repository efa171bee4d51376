"""Limits that no tier shows: the user's own guard, and what the exchange has named in a refusal."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from typing import Any, NamedTuple

from leverage_nb.errors import InvalidLeverage, LeverageError, Mistake, as_typed
from leverage_nb.exchange.refusals import read_lift_time
from leverage_nb.risk.outlook import AccountLimit
from leverage_nb.risk.parsing import parse_leverage

VARIABLE = "LEVERAGE_NB_MAX_LEVERAGE"
MAINNET_DEFAULT = 20
# Every limit that Binance lists is one on what lies above 20x, whether or not its words name the number.
UNNAMED_LIMIT = 20

# Which refusals name a limit of the account, and which of them hold for one symbol alone.
_LIMIT_CODES = {-4202, -4203, -4205, -4206, -4208, -4209, -4300, -4403}
_OF_ONE_SYMBOL = {-4208, -4209}
_NAMED = re.compile(r"(?:leverage (?:limit is|of)|only up to|exceed|than) ([0-9]{1,3})x?\b")


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
        Mistake: A source holds what is no leverage.
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
    raise Mistake(f"{name} is a whole number of 1 or more. {as_typed(value)} is not.")


class MetLimits:
    """Account limits that were met, remembered until they lift."""

    def __init__(self) -> None:
        self._met: dict[str | None, AccountLimit] = {}

    def remember(self, symbol: str, error: LeverageError) -> None:
        """Take note of a refusal of ``symbol`` that names a limit; any other is passed over."""
        words = error.words
        if error.code not in _LIMIT_CODES:
            return
        named = _NAMED.search(words)
        limit = AccountLimit(
            max_leverage=(int(named[1]) if named else 0) or UNNAMED_LIMIT,
            code=error.code,
            words=words,
            symbol=symbol if error.code in _OF_ONE_SYMBOL else None,
            until=read_lift_time(words),
        )
        self._met[limit.symbol] = limit

    def forget_below(self, symbol: str, leverage: int) -> None:
        """Drop the limits that a change to ``leverage`` has just disproved."""
        for key in (None, symbol):
            limit = self._met.get(key)
            if limit is not None and leverage > limit.max_leverage:
                del self._met[key]

    def of(self, symbol: str) -> AccountLimit | None:
        """The strictest limit that holds for a symbol now."""
        now = datetime.now(tz=UTC)
        self._met = {key: limit for key, limit in self._met.items() if limit.until is None or limit.until > now}
        holding = [limit for limit in (self._met.get(None), self._met.get(symbol)) if limit is not None]
        return min(holding, key=lambda limit: limit.max_leverage, default=None)
