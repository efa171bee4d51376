"""AccountReader: the account and one symbol of it, as read at one moment; the last state, for hints."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from leverage_nb import interrupts
from leverage_nb.binance import reader
from leverage_nb.binance.client import RestClient
from leverage_nb.change import Change
from leverage_nb.changes.account_limits import AccountLimits
from leverage_nb.changes.fresh_read import SECOND_READ_AFTER, all_agree
from leverage_nb.errors import LeverageError, UnexpectedAnswer, as_typed
from leverage_nb.journal.journal import Journal
from leverage_nb.risk.account_state import AccountState
from leverage_nb.risk.brackets import Brackets
from leverage_nb.risk.outlook import Outlook
from leverage_nb.risk.user_input import LONGEST_SYMBOL, normalize
from leverage_nb.tiers.cache import TierCache

# Seconds after which Tab no longer shows what was read.
_KNOWN_FOR = 300.0


@dataclass(frozen=True)
class SymbolView:
    """One symbol of the account, as read at one moment.

    Attributes:
        outlook: The position and its open orders at every leverage.
        state: The account state that the outlook was made from.
        mark_price: The mark price; None if it was not read.
    """

    outlook: Outlook
    state: AccountState
    mark_price: float | None = None


class AccountReader:
    """Reads one account, and keeps the last state for hints.

    Args:
        client: The client of the account.
        journal: The journal of the account.
        tiers: The account's tiers.
        account_limits: The upper bounds that the exchange has named in refusals.
    """

    def __init__(self, client: RestClient, journal: Journal, tiers: TierCache, account_limits: AccountLimits) -> None:
        self._client, self._journal, self._tiers, self._account_limits = client, journal, tiers, account_limits
        self._known: tuple[AccountState, float] | None = None  # the last state, and when it was read (monotonic)

    def read_state(self, symbols: Sequence[str] = (), *, reload_tiers: bool = False) -> AccountState:
        """Read the account, and the tiers at the same time if they are older than five minutes.

        It is read once more if the setting of one of ``symbols`` differs from the exchange's latest answer: a read may
        be stale by the grace. If the second read differs too, the setting was changed elsewhere.

        Args:
            symbols: The symbols that matter; unknown ones are ignored.
            reload_tiers: Whether to read the tiers in any case.
        """
        listing = self._tiers.reload if reload_tiers else self._tiers.listing
        state = reader.read_state(self._client, listing)
        listed = [symbol for symbol in symbols if symbol in self._tiers.table()]
        if not all_agree(self._client, self._journal, state.settings, listed):
            interrupts.run(lambda: interrupts.pause(max(SECOND_READ_AFTER, self._client.grace)))
            state = reader.read_state(self._client, self._tiers.listing)
        self._known = state, time.monotonic()
        return state

    def known_outlook(self, tiers: Brackets) -> Outlook | None:
        """Return a symbol's outlook as last read, with the changes since; None without a read of the last five minutes.

        Sends no request. It is for hints such as Tab's, never for a decision.
        """
        if self._known is None or time.monotonic() - self._known[1] > _KNOWN_FOR:
            return None
        state = self._known[0]
        is_known = tiers.symbol in state.settings and not state.why_unknown(tiers.symbol)
        return self.outlook(state, tiers) if is_known else None

    def read_symbol(self, symbol: str, *, reload_tiers: bool = False, mark_price: bool = False) -> SymbolView:
        """Read the account, a symbol's tiers and, if asked for, its mark price, all at the same time.

        Raises:
            UnknownSymbol: The venue does not list the symbol.
            UnexpectedAnswer: The exchange has tiers of the symbol, but no setting; or its setting or its position could
                not be read.
        """
        name = sendable_symbol(symbol)
        state, price = reader.read_together(
            lambda: self.read_state([name] if name else [], reload_tiers=reload_tiers),
            lambda: error_or(lambda: reader.read_mark_price(self._client, name)) if mark_price and name else None,
        )
        tiers = self._tiers.find(symbol)
        self.check_known(state, tiers.symbol)
        if isinstance(price, UnexpectedAnswer):
            price = None  # no change needs it
        elif isinstance(price, LeverageError):
            raise price
        return SymbolView(self.outlook(state, tiers), state, price)

    def check_known(self, state: AccountState, symbol: str) -> None:
        """Check that a state has a listed symbol's setting, and its positions and orders if there are any.

        Raises:
            UnexpectedAnswer: It does not; the error names the reason.
        """
        speaker, reason = self._client.venue.speaker, state.why_unknown(symbol)
        if reason:
            raise UnexpectedAnswer(
                f"{speaker}'s answer about {symbol} is not usable: {reason}.",
                hint="Symbols with usable answers are not affected. Try again later.",
            )
        if symbol not in state.settings:
            raise UnexpectedAnswer(f"{speaker} has tiers of {symbol}, but no setting.", hint="Try again later.")

    def outlook(self, state: AccountState, tiers: Brackets) -> Outlook:
        """Return the outlook of an account state, with the account limits."""
        return Outlook(state, tiers, self._account_limits.of(tiers.symbol))

    def note(self, change: Change) -> None:
        """Put the value of a change whose outcome is known into the last state."""
        if self._known is not None and change.after is not None and change.symbol in self._known[0].settings:
            state, read_at = self._known
            value = {"leverage": "leverage", "margin type": "margin_type"}[change.kind]
            setting = replace(state.settings[change.symbol], **{value: change.after})
            self._known = replace(state, settings={**state.settings, change.symbol: setting}), read_at


def sendable_symbol(symbol: Any) -> str:
    """Return a symbol that may be sent before it is looked up; "" for what may be a key typed in the wrong place."""
    name = normalize(symbol) if isinstance(symbol, str) else ""
    return name if as_typed(name, LONGEST_SYMBOL) == name else ""


def error_or(read: Callable[[], Any]) -> Any:
    """Return what a read returns, or its error."""
    try:
        return read()
    except LeverageError as exc:
        return exc
