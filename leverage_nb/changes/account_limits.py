"""Account limits: upper bounds on leverage that the exchange has named in refusals."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from leverage_nb.binance.error_codes import read_lift_time
from leverage_nb.errors import LeverageError
from leverage_nb.risk.outlook import AccountLimit

# All documented account limits apply above 20x if their text names no number; those of regions usually name another.
UNNAMED_LIMIT = 20
_OF_REGIONS = {-4206, -4403}

# The codes of refusals that name an account limit, and those that apply to one symbol only.
_LIMIT_CODES = {-4202, -4203, -4205, -4206, -4208, -4209, -4300, -4403}
_OF_ONE_SYMBOL = {-4208, -4209}
# "leverage of Symbol is" is the text of -4209 on the error-code page; other clients report it for regions too, and then
# it says nothing about other symbols.
_NAMES_SYMBOL = re.compile(r"leverage of \w{1,40} is", re.IGNORECASE)
_NAMED = re.compile(
    r"(?:leverage (?:limit is|of):?|leverage of \w{1,40} is|only up to|exceed|than|over) ([0-9]{1,3})x?\b",
    re.IGNORECASE,
)


class AccountLimits:
    """The account limits of one account, kept until they lift. Any thread may use them."""

    def __init__(self) -> None:
        self._limits: dict[str | None, AccountLimit] = {}

    def learn(self, symbol: str, error: LeverageError) -> None:
        """Store the limit that a refusal of a symbol names; any other refusal is ignored."""
        if error.code not in _LIMIT_CODES:
            return
        named = _NAMED.search(error.words)
        leverage = int(named[1]) if named else 0
        if not leverage and error.code in _OF_REGIONS and re.search("[0-9]", error.words):
            return  # the text names a number in a way that is not known
        is_of_symbol = error.code in _OF_ONE_SYMBOL or _NAMES_SYMBOL.search(error.words)
        limit = AccountLimit(
            max_leverage=leverage or UNNAMED_LIMIT,
            code=error.code,
            words=error.words,
            symbol=symbol if is_of_symbol else None,
            until=read_lift_time(error.words),
        )
        self._limits[limit.symbol] = limit

    def forget_below(self, symbol: str, leverage: int) -> None:
        """Drop the limits that a change to ``leverage`` has disproved."""
        for key in (None, symbol):
            limit = self._limits.get(key)
            if limit is not None and leverage > limit.max_leverage:
                self._limits.pop(key, None)

    def of(self, symbol: str) -> AccountLimit | None:
        """Return the lowest limit that applies to a symbol now; None without one."""
        now = datetime.now(tz=UTC)
        known = [limit for limit in (self._limits.get(None), self._limits.get(symbol)) if limit is not None]
        applying = [limit for limit in known if limit.until is None or limit.until > now]
        return min(applying, key=lambda limit: limit.max_leverage, default=None)
