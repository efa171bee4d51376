"""Snapshots of loaded tiers, each stored once, and the changes between them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, TypeAlias

from leverage_nb.errors import JournalUnusable
from leverage_nb.formatting import amount, short
from leverage_nb.journal.journal import Journal
from leverage_nb.risk.account_state import AccountState
from leverage_nb.risk.bracket_checks import COLUMNS
from leverage_nb.risk.brackets import Brackets, BracketTable

if TYPE_CHECKING:
    import pandas as pd

# Columns by symbol, in the order of COLUMNS: the content of a snapshot.
Snapshot: TypeAlias = Mapping[str, list[list[float]]]

_SHOWN = 3  # changed caps in one message


@dataclass(frozen=True)
class TierChange:
    """A change of one symbol's tiers.

    Attributes:
        symbol: Binance's symbol.
        before: The tiers before; None for a new symbol.
        after: The tiers after; None for a symbol that is no longer listed.
        seen_at: When the new tiers were first loaded.
        since: When the old tiers were last loaded.
    """

    symbol: str
    before: Brackets | None
    after: Brackets | None
    seen_at: datetime
    since: datetime

    def text(self, state: AccountState | None = None) -> str:
        """Return the change in words; with a state, also its effect on the symbol's exposure."""
        before, after = self.before, self.after
        if before is None or after is None:
            return f"{self.symbol}: {'newly listed' if before is None else 'no longer listed'}"
        parts = []
        if after.symbol_max_leverage != before.symbol_max_leverage:
            parts.append(f"max leverage now {after.symbol_max_leverage}x, was {before.symbol_max_leverage}x")
        highest = min(before.symbol_max_leverage, after.symbol_max_leverage)
        changed = [x for x in self._edges() if x <= highest and before.max_notional(x) != after.max_notional(x)]
        parts += [
            f"{x}x now up to {short(after.max_notional(x))}, was {short(before.max_notional(x))}"
            for x in changed[:_SHOWN]
        ]
        if len(changed) > _SHOWN:
            parts.append(f"and {len(changed) - _SHOWN} more")
        parts = parts or ["maintenance rates changed"]
        effects = _effects(self.symbol, before, after, state) if state is not None else []
        return "; ".join([f"{self.symbol}: {', '.join(parts)}", *effects])

    def changed_caps(self) -> list[tuple[int, float, float]]:
        """Return each leverage, highest first, with its max notional before and after; NaN if it is not offered.

        If only maintenance rates changed, the result has the highest leverage alone.
        """
        caps = [(x, _cap(self.before, x), _cap(self.after, x)) for x in self._edges()]
        return [row for row in caps if row[1] != row[2]] or caps[:1]

    def _edges(self) -> list[int]:
        tiers = [one for one in (self.before, self.after) if one is not None]
        return sorted({leverage for one in tiers for leverage in one.initial_leverage.tolist()}, reverse=True)


class TierHistory:
    """The tiers that one account has loaded, and how they changed.

    Args:
        journal: The journal that stores the snapshots.
        account: The key's fingerprint: tiers may differ between accounts.

    Attributes:
        news: Changes since the previous load that were not taken yet.
    """

    def __init__(self, journal: Journal, account: str) -> None:
        self._journal, self._account = journal, account
        self.news: list[TierChange] = []

    def note(self, table: BracketTable) -> None:
        """Store tiers that were just loaded, and add their changes to ``news``.

        Symbols whose rows could not be used count as unchanged. An unusable journal does not prevent loading tiers.
        """
        with suppress(JournalUnusable):
            self.news += self._store(table)

    def lacks_symbols(self, table: BracketTable) -> bool:
        """Return whether symbols are missing that the load before had: one answer may be incomplete."""
        with suppress(JournalUnusable):
            return bool(self._latest().keys() - table.keys() - table.skipped.keys())
        return False

    def take_news(self, symbol: str | None) -> list[TierChange]:
        """Remove and return the news of one symbol, or all."""
        taken = [change for change in self.news if symbol in {None, change.symbol}]
        self.news = [change for change in self.news if change not in taken]
        return taken

    def changes(self) -> list[TierChange]:
        """Read every change from the journal, oldest first.

        Raises:
            JournalUnusable: The journal cannot be used.
        """
        changes: list[TierChange] = []
        for earlier, later in pairwise(self._journal.seen_tiers(self._account)):
            before, after = self._read(earlier.digest), self._read(later.digest)
            changes += _compare(before, after, {}, later.first_seen_at, earlier.last_seen_at)
        return changes

    def table(self) -> pd.DataFrame:
        """Return every change as a DataFrame, one row per symbol and leverage whose max notional changed.

        Returns:
            Index ``symbol``; ``seen_at``, ``since`` (datetime64, local time), ``leverage`` (int64),
            ``max_notional_before``, ``max_notional`` (float64; NaN if the leverage is not offered), ``what`` (in
            words).

        Raises:
            JournalUnusable: The journal cannot be used.
        """
        import pandas as pd

        from leverage_nb.frames import LeverageFrame

        rows = [
            (change.symbol, change.seen_at, change.since, *caps, change.text())
            for change in self.changes()
            for caps in change.changed_caps()
        ]
        names = ["symbol", "seen_at", "since", "leverage", "max_notional_before", "max_notional", "what"]
        frame = LeverageFrame(rows, columns=names).astype(
            {"leverage": "int64", "max_notional_before": "float64", "max_notional": "float64"}
        )
        for name in ("seen_at", "since"):
            frame[name] = pd.to_datetime(frame[name], utc=True).dt.tz_convert(datetime.now().astimezone().tzinfo)
        if not rows:
            frame.attrs["empty"] = "No tier has changed since the first read on this machine."
        return frame.set_index("symbol")

    def _store(self, table: BracketTable) -> Iterator[TierChange]:
        content = {symbol: [getattr(tiers, name).tolist() for name in COLUMNS] for symbol, tiers in table.items()}
        if table.skipped:
            earlier = self._latest()
            has_all_names = not any(" " in name for name in table.skipped)  # "row 7" may belong to any symbol
            kept = table.skipped.keys() if has_all_names else earlier.keys()
            content |= {symbol: earlier[symbol] for symbol in kept if symbol in earlier and symbol not in content}
        text = json.dumps(content, separators=(",", ":"), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()
        last = self._journal.see_tiers(self._account, digest, lambda: text)
        if last is not None:
            now = datetime.now().astimezone()
            yield from _compare(self._read(last.digest), content, table.skipped, now, last.last_seen_at)

    def _latest(self) -> Snapshot:
        seen = self._journal.seen_tiers(self._account)
        return self._read(seen[-1].digest) if seen else {}

    def _read(self, digest: str) -> Snapshot:
        content: Snapshot = json.loads(self._journal.tiers(digest))
        return content


def _compare(
    earlier: Snapshot, later: Snapshot, skipped: Mapping[str, str], seen_at: datetime, since: datetime
) -> Iterator[TierChange]:
    for symbol in sorted({*earlier, *later} - skipped.keys()):
        if earlier.get(symbol) != later.get(symbol):
            before, after = _tiers(symbol, earlier.get(symbol)), _tiers(symbol, later.get(symbol))
            yield TierChange(symbol, before, after, seen_at, since)


def _tiers(symbol: str, columns: list[list[float]] | None) -> Brackets | None:
    return None if columns is None else Brackets.from_rows(symbol, list(zip(*columns, strict=True)))


def _cap(tiers: Brackets | None, leverage: int) -> float:
    if tiers is None or leverage > tiers.symbol_max_leverage:
        return float("nan")
    return float(tiers.max_notional(leverage))


def _effects(symbol: str, before: Brackets, after: Brackets, state: AccountState) -> list[str]:
    setting, exposure = state.settings.get(symbol), state.exposure(symbol)
    if setting is None or setting.leverage is None or not exposure > 0:  # NaN: it could not be read
        return []
    cap = after.max_notional(min(setting.leverage, after.symbol_max_leverage))
    fits = setting.leverage <= after.symbol_max_leverage and exposure <= cap
    effects = ["your exposure still fits" if fits else f"your exposure no longer fits at {setting.leverage}x"]
    sizes = [
        abs(position.notional) for position in state.positions if position.symbol == symbol
    ]  # a tier for each side
    was, now = (sum(float(tiers.maintenance_margin(x, beyond="nan")) for x in sizes) for tiers in (before, after))
    if was != now and math.isfinite(was + now):
        effects.append(f"maintenance margin of your position {amount(was)} → {amount(now, setting.margin_asset)}")
    return effects
