"""Account limits: upper bounds on leverage that the exchange has named in refusals."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from leverage_nb.binance.error_codes import read_lift_time
from leverage_nb.errors import LeverageError
from leverage_nb.risk.outlook import AccountLimit

# Every limit that Binance lists is one on what lies above 20x, whether or not its words name the number.
UNNAMED_LIMIT = 20

# Which refusals name a limit of the account, and which of them hold for one symbol alone.
_LIMIT_CODES = {-4202, -4203, -4205, -4206, -4208, -4209, -4300, -4403}
_OF_ONE_SYMBOL = {-4208, -4209}
_NAMED = re.compile(r"(?:leverage (?:limit is|of)|only up to|exceed|than) ([0-9]{1,3})x?\b")


class AccountLimits:
    """The account limits of one account, remembered until they lift."""

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
