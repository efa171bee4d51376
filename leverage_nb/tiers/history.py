"""Tiers over time: snapshots of what was loaded, each stored once, and what changed between them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from leverage_nb.errors import JournalUnusable
from leverage_nb.formatting import amount, short
from leverage_nb.journal.journal import Journal
from leverage_nb.risk.account_state import AccountState
from leverage_nb.risk.bracket_checks import COLUMNS
from leverage_nb.risk.brackets import Brackets, BracketTable

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TierChange:
    """One symbol's tiers, before and after.

    Attributes:
        symbol: Binance's symbol.
        before: The tiers as they were; None for a symbol that is new.
        after: The tiers as they are; None for one that is gone.
        seen_at: When they were first seen so.
        since: When they were last seen as before.
    """

    symbol: str
    before: Brackets | None
    after: Brackets | None
    seen_at: datetime
    since: datetime

    def text(self, state: AccountState | None = None) -> str:
        """What changed, in words; with what is held, what it means for that."""
        if self.before is None or self.after is None:
            return f"{self.symbol}: {'newly listed' if self.before is None else 'listed no longer'}"
        parts = []
        if self.after.symbol_max_leverage != self.before.symbol_max_leverage:
            parts.append(f"max leverage now {self.after.symbol_max_leverage}x, was {self.before.symbol_max_leverage}x")
        parts += self._caps()
        if not parts:
            parts.append("other maintenance rates")
        return "; ".join([f"{self.symbol}: {', '.join(parts)}", *self._held(state)])

    def _caps(self) -> list[str]:
        """Leverages at the edges of either that allow another notional than before."""
        before, after = self.before, self.after
        if before is None or after is None:
            return []
        most = min(before.symbol_max_leverage, after.symbol_max_leverage)
        edges = sorted(
            {x for tiers in (before, after) for x in tiers.initial_leverage.tolist() if x <= most}, reverse=True
        )
        moved = [x for x in edges if before.max_notional(x) != after.max_notional(x)]
        texts = [
            f"{x}x now up to {short(after.max_notional(x))}, was {short(before.max_notional(x))}" for x in moved[:3]
        ]
        return texts + ([f"and {len(moved) - 3} more"] if len(moved) > 3 else [])

    def _held(self, state: AccountState | None) -> list[str]:
        """What it means for what is held of the symbol."""
        if state is None or self.before is None or self.after is None or self.symbol not in state.settings:
            return []
        held, exposure = state.position_notional(self.symbol), state.exposure(self.symbol)
        if not exposure:
            return []
        setting = state.settings[self.symbol]
        allowed = self.after.max_notional(min(setting.leverage, self.after.symbol_max_leverage))
        fits = setting.leverage <= self.after.symbol_max_leverage and exposure <= allowed
        texts = ["your position still fits" if fits else f"what you hold no longer fits at {setting.leverage}x"]
        was, now = (
            float(np.asarray(tiers.maintenance_margin(min(held, float(tiers.notional_cap[-1])))))
            for tiers in (self.before, self.after)
        )
        if was != now:
            texts.append(f"maintenance margin of your position {amount(was)} -> {amount(now, setting.margin_asset)}")
        return texts


class TierHistory:
    """The tiers that one account has seen, and what is new of them.

    Args:
        journal: Where they are kept.
        account: Whose key, as a fingerprint: tiers may differ from account to account.

    Attributes:
        news: What has changed since the tiers were loaded before, as far as nobody was told of it yet.
    """

    def __init__(self, journal: Journal, account: str) -> None:
        self._journal, self._account = journal, account
        self.news: list[TierChange] = []

    def note(self, table: BracketTable) -> None:
        """Compare what was loaded with what was seen last; an unusable journal stands in no one's way here."""
        with suppress(JournalUnusable):
            self.news += note_tiers(self._journal, self._account, table)

    def take_news(self, symbol: str | None) -> list[TierChange]:
        """The news of one symbol, or all; each is told once."""
        taken = [change for change in self.news if symbol in {None, change.symbol}]
        self.news = [change for change in self.news if change not in taken]
        return taken

    def table(self) -> pd.DataFrame:
        """All that has changed: see :func:`tier_changes_table`.

        Raises:
            JournalUnusable: The journal cannot be used.
        """
        return tier_changes_table(read_tier_changes(self._journal, self._account))


def note_tiers(journal: Journal, account: str, table: BracketTable) -> list[TierChange]:
    """Compare tiers just loaded with what the account saw last, and store them where they are new.

    Symbols whose rows could not be used this time are compared with nothing.

    Raises:
        JournalUnusable: The journal cannot be used.
    """
    content = _content(table)
    if table.skipped and (seen := journal.seen_tiers(account)):
        # What could not be used this time is taken to be as it was.
        earlier = json.loads(journal.tiers(seen[-1].digest))
        content |= {symbol: earlier[symbol] for symbol in table.skipped if symbol in earlier}
    text = json.dumps(content, separators=(",", ":"), sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    last = journal.see_tiers(account, digest, lambda: text)
    if last is None:
        return []
    now = datetime.now().astimezone()
    return list(_compare(json.loads(journal.tiers(last.digest)), content, table.skipped, now, last.last_seen_at))


def read_tier_changes(journal: Journal, account: str) -> list[TierChange]:
    """All that has changed between what an account saw, oldest first.

    Raises:
        JournalUnusable: The journal cannot be used.
    """
    changes: list[TierChange] = []
    for earlier, later in pairwise(journal.seen_tiers(account)):
        before, after = (json.loads(journal.tiers(seen.digest)) for seen in (earlier, later))
        changes += _compare(before, after, {}, later.first_seen_at, earlier.last_seen_at)
    return changes


def tier_changes_table(changes: Iterable[TierChange]) -> pd.DataFrame:
    """What changed, one row a symbol and leverage at which the max notional is another.

    Returns:
        Index ``symbol``; ``seen_at``, ``since`` (datetime64, local time), ``leverage`` (int64),
        ``max_notional_before``,
        ``max_notional`` (float64; NaN where the leverage is not offered), ``what`` (in words).
    """
    import pandas as pd

    from leverage_nb.frames import LeverageFrame

    rows = [
        {
            "symbol": change.symbol,
            "seen_at": change.seen_at,
            "since": change.since,
            "leverage": leverage,
            "max_notional_before": _cap(change.before, leverage),
            "max_notional": _cap(change.after, leverage),
            "what": change.text(),
        }
        for change in changes
        for leverage in _edges(change)
    ]
    names = ["symbol", "seen_at", "since", "leverage", "max_notional_before", "max_notional", "what"]
    frame = LeverageFrame(rows, columns=names).astype(
        {"leverage": "int64", "max_notional_before": "float64", "max_notional": "float64"}
    )
    for name in ("seen_at", "since"):
        frame[name] = pd.to_datetime(frame[name], utc=True).dt.tz_convert(datetime.now().astimezone().tzinfo)
    return frame.set_index("symbol")


def _edges(change: TierChange) -> list[int]:
    tiers = [one for one in (change.before, change.after) if one is not None]
    edges = sorted({leverage for one in tiers for leverage in one.initial_leverage.tolist()}, reverse=True)
    return [x for x in edges if _cap(change.before, x) != _cap(change.after, x)] or edges[:1]


def _cap(tiers: Brackets | None, leverage: int) -> float:
    if tiers is None or leverage > tiers.symbol_max_leverage:
        return float("nan")
    return float(tiers.max_notional(leverage))


def _content(table: BracketTable) -> dict[str, list[list[float]]]:
    return {symbol: [getattr(tiers, name).tolist() for name in COLUMNS] for symbol, tiers in table.items()}


def _compare(
    earlier: Mapping[str, list[list[float]]],
    later: Mapping[str, list[list[float]]],
    skipped: Mapping[str, str],
    seen_at: datetime,
    since: datetime,
) -> Iterable[TierChange]:
    for symbol in sorted({*earlier, *later} - skipped.keys()):
        if earlier.get(symbol) != later.get(symbol):
            before, after = _tiers(symbol, earlier.get(symbol)), _tiers(symbol, later.get(symbol))
            yield TierChange(symbol, before, after, seen_at, since)


def _tiers(symbol: str, columns: list[list[float]] | None) -> Brackets | None:
    if columns is None:
        return None
    return Brackets.from_rows(symbol, list(zip(*columns, strict=True)))
