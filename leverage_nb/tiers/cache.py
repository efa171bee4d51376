"""TierCache: an account's tiers and margin assets, read when they are needed and kept for a while."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping

from leverage_nb.binance import reader
from leverage_nb.binance.client import RestClient
from leverage_nb.errors import InvalidInput, LeverageError, UnexpectedAnswer, UnknownSymbol, as_typed
from leverage_nb.risk.brackets import BracketTable
from leverage_nb.risk.user_input import normalize, suggest

# Binance changes tiers several times a month, by announcement.
MAX_AGE = 300.0
# A symbol or leverage that the cached tiers do not know is looked up anew, but not on every typing slip.
RELOAD_AFTER = 5.0


class TierCache:
    """The tiers of all symbols, at most five minutes old, and what each symbol's amounts are in.

    Args:
        client: Where they are read.
        note: Told of every table that is read.
    """

    def __init__(self, client: RestClient, note: Callable[[BracketTable], None]) -> None:
        self._client = client
        self._note = note
        self._table: tuple[BracketTable, float] | None = None  # and when, by the monotonic clock
        self._assets: Mapping[str, str] = {}
        self._assets_with: BracketTable | None = None

    @property
    def known(self) -> BracketTable | None:
        """What has been read, of whatever age; None before the first read."""
        return self._table[0] if self._table is not None else None

    def table(self) -> BracketTable:
        """The tiers, read anew if they are too old."""
        return self._table[0] if self._table is not None and self._age() <= MAX_AGE else self.load()

    def load(self) -> BracketTable:
        """Read the tiers anew."""
        table = reader.read_brackets(self._client)
        self._table = table, time.monotonic()
        self._note(table)
        return table

    def may_be_behind(self) -> bool:
        """Whether what the table lacks is worth another read."""
        return self._age() > RELOAD_AFTER

    def find(self, text: str) -> tuple[str, BracketTable]:
        """Binance's spelling of a symbol, and the table that has it.

        Raises:
            UnknownSymbol: There is no such symbol; the error suggests some.
            UnexpectedAnswer: The exchange's tiers for it could not be used.
        """
        if not isinstance(text, str):
            raise InvalidInput(f"A symbol is written as text, like BTCUSDT; got {as_typed(text)}.")
        symbol, venue = normalize(text), self._client.venue.label
        table = self.table()
        if symbol not in table and self.may_be_behind():
            table = self.load()
        if symbol in table:
            return symbol, table
        if symbol in table.skipped:
            raise UnexpectedAnswer(
                f"The {venue}'s tiers of {symbol} cannot be used: {table.skipped[symbol]}.",
                hint="Nothing is guessed in their place.",
            )
        raise UnknownSymbol(symbol, venue, suggest(symbol, table.symbols))

    def margin_assets(self) -> Mapping[str, str]:
        """Margin assets by symbol: they never change, so only a table with new symbols causes a new look."""
        table = self.table()
        if table is not self._assets_with and not table.keys() <= self._assets.keys():
            try:
                self._assets = reader.read_margin_assets(self._client)
            except LeverageError:
                return self._assets  # a label that is missing must not stand in a change's way
        self._assets_with = table
        return self._assets

    def _age(self) -> float:
        return math.inf if self._table is None else time.monotonic() - self._table[1]
