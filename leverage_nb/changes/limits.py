"""Limits that no tier shows: the user's own guard, and what the exchange has named in a refusal."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from leverage_nb.errors import InvalidLeverage, LeverageError, Mistake
from leverage_nb.risk.leverage import parse_leverage
from leverage_nb.risk.outlook import AccountLimit

VARIABLE = "LEVERAGE_NB_MAX_LEVERAGE"
MAINNET_DEFAULT = 20

# Which refusals name a limit of the account, and which of them hold for one symbol alone.
_LIMIT_CODES = {-4202, -4203, -4205, -4206, -4208, -4209, -4300, -4403}
_OF_ONE_SYMBOL = {-4208, -4209}
_NAMED = re.compile(r"(?:leverage (?:limit is|of)|only up to|exceed|than) (\d{1,3})x?\b")
_UNTIL = re.compile(r"by (\d{4}-\d{2}-\d{2} \d{2}:\d{2}) \(UTC\)")


class Guard:
    """The highest leverage that may be sent, to stop 125 typed for 12.

    The strictest of the sources that are set wins; on mainnet it is 20 when none is.

    Args:
        venue: Where it guards.
        argument: ``connect(max_leverage=...)``.

    Raises:
        Mistake: A source holds what is no leverage.
    """

    def __init__(self, venue: str, argument: int | None = None) -> None:
        self._venue = venue
        self._sources: dict[str, Any] = {
            "connect(max_leverage=...)": argument,
            "%config LeverageMagics.max_leverage": 0,
        }
        self.limit()

    def set_config(self, value: int) -> None:
        """Take ``%config LeverageMagics.max_leverage``; 0 means that it is not set."""
        self._sources["%config LeverageMagics.max_leverage"] = value

    def limit(self) -> tuple[int, str] | None:
        """The highest leverage that may be sent, and where that was said; None where nothing was."""
        found = [(_read(name, value), name) for name, value in self._all().items() if value not in {None, 0, ""}]
        if not found and self._venue == "mainnet":
            return MAINNET_DEFAULT, "the default on mainnet"
        return min(found, default=None)

    def _all(self) -> Mapping[str, Any]:
        return {**self._sources, VARIABLE: os.environ.get(VARIABLE)}


def _read(name: str, value: Any) -> int:
    try:
        return parse_leverage(value)
    except InvalidLeverage:
        pass
    raise Mistake(f"{name} is a whole number of 1 or more; got {value!r}.")


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
        until = _UNTIL.search(words)
        limit = AccountLimit(
            max_leverage=int(named[1]) if named else MAINNET_DEFAULT,
            code=error.code,
            words=words,
            symbol=symbol if error.code in _OF_ONE_SYMBOL else None,
            until=datetime.fromisoformat(until[1]).replace(tzinfo=UTC).astimezone() if until else None,
        )
        self._met[limit.symbol] = limit

    def of(self, symbol: str) -> AccountLimit | None:
        """The strictest limit that holds for a symbol now."""
        now = datetime.now(tz=UTC)
        self._met = {key: limit for key, limit in self._met.items() if limit.until is None or limit.until > now}
        holding = [limit for limit in (self._met.get(None), self._met.get(symbol)) if limit is not None]
        return min(holding, key=lambda limit: limit.max_leverage, default=None)
