"""TierCache: the tiers and listed symbols of an account, read again after five minutes."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

from leverage_nb import interrupts
from leverage_nb.binance import reader
from leverage_nb.binance.client import RestClient
from leverage_nb.errors import InvalidInput, LeverageError, UnexpectedAnswer, UnknownSymbol, as_typed
from leverage_nb.risk.brackets import Brackets, BracketTable
from leverage_nb.risk.user_input import normalize, suggest
from leverage_nb.tiers.history import TierHistory

# Seconds after which tiers are read again if symbols are missing from them, before these count as no longer listed.
_SECOND_READ_AFTER = 1.0


class TierCache:
    """The tiers of all symbols, at most five minutes old, and what is listed, at most an hour older.

    Args:
        client: The client that reads them.
        history: Receives every table that was read.
        max_age: Seconds after which tiers are read again. Binance changes them several times a month.
        reload_after: Seconds after which an unknown symbol, or a leverage above the maximum, causes another read. Not
            every typing error should.

    Attributes:
        history, max_age, reload_after: As given.
        listing_age: Seconds after which the listed symbols are read again beside the tiers: a symbol may begin or end
            trading. It is Binance's largest answer.
    """

    listing_age = 3600.0

    def __init__(
        self, client: RestClient, history: TierHistory, *, max_age: float = 300.0, reload_after: float = 5.0
    ) -> None:
        self._client = client
        self.history, self.max_age, self.reload_after = history, max_age, reload_after
        self._table: BracketTable | None = None
        self._read_at = -math.inf  # by the monotonic clock
        self._listing = reader.Listing({}, {})
        self._listed_at = -math.inf

    @property
    def known(self) -> BracketTable | None:
        """The tiers that were read last, of any age; None before the first read."""
        return self._table

    @property
    def is_current(self) -> bool:
        """Whether the tiers can be used without another read."""
        return time.monotonic() - self._read_at <= self.max_age

    def table(self) -> BracketTable:
        """Return the tiers of all symbols; read them again if they are older than five minutes."""
        return self._table if self._table is not None and self.is_current else self.load()

    def load(self) -> BracketTable:
        """Read the tiers, and at the same time the listed symbols if they are unknown or older than an hour."""
        is_known = time.monotonic() - self._listed_at <= self.listing_age
        table: BracketTable
        table, _ = reader.read_together(
            lambda: reader.read_brackets(self._client), lambda: None if is_known else self._read_listing()
        )
        if is_known and not table.keys() <= self._listing.margin_assets.keys():  # new symbols
            self._read_listing()
        if self.history.lacks_symbols(table):
            interrupts.pause(max(_SECOND_READ_AFTER, self._client.grace))
            table = reader.read_brackets(self._client)
        self._table, self._read_at = table, time.monotonic()
        self.history.note(table)
        return table

    def reload(self) -> reader.Listing:
        """Read the tiers, and return what is listed."""
        self.load()
        return self._listing

    def listing(self) -> reader.Listing:
        """Return what is listed; read the tiers if they are older than five minutes."""
        self.table()
        return self._listing

    @property
    def not_trading(self) -> Mapping[str, str]:
        """The status of each symbol that was not trading when the listed symbols were read last."""
        return self._listing.not_trading

    def margin_assets(self) -> Mapping[str, str]:
        """Return each symbol's margin asset; read the tiers if they are older than five minutes."""
        return self.listing().margin_assets

    def find(self, text: str) -> Brackets:
        """Return the tiers of a symbol in any spelling.

        Raises:
            UnknownSymbol: The venue does not list the symbol; the error suggests similar ones.
            UnexpectedAnswer: The exchange's tiers of the symbol are unusable.
        """
        if not isinstance(text, str):
            raise InvalidInput(f"A symbol is text, like BTCUSDT; got {as_typed(text)}.")
        symbol, venue = normalize(text), self._client.venue.label
        table = self.table()
        if symbol not in table and self._may_be_outdated():
            table = self.load()
        if symbol in table:
            return table[symbol]
        if symbol in table.skipped:
            raise UnexpectedAnswer(
                f"The {venue}'s tiers of {symbol} are unusable: {table.skipped[symbol]}.",
                hint="Other symbols are not affected. Try again later.",
            )
        raise UnknownSymbol(symbol, venue, suggest(symbol, table.symbols))

    def find_again(self, tiers: Brackets) -> Brackets:
        """Return a symbol's tiers from a new read, unless the last one is younger than five seconds."""
        return self.load().get(tiers.symbol, tiers) if self._may_be_outdated() else tiers

    def _may_be_outdated(self) -> bool:
        return time.monotonic() - self._read_at > self.reload_after

    def _read_listing(self) -> None:
        try:
            self._listing = reader.read_listing(self._client)
            self._listed_at = time.monotonic()
        except LeverageError as exc:  # a missing asset label must not block a change
            self._listing = self._listing._replace(problem=exc.message)
