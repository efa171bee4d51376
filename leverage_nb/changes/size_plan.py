"""SizePlan: the leverages that positions of given sizes need, and the account with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from leverage_nb.cards import Card, Shown, Table, Tone
from leverage_nb.changes.plan import Plan
from leverage_nb.changes.plan_rows import make_rows
from leverage_nb.changes.service import ChangeService
from leverage_nb.errors import InvalidInput
from leverage_nb.formatting import NOTHING, amount, moment, percent, short, times
from leverage_nb.risk.account_state import MarginPool
from leverage_nb.risk.outlook import Judgement
from leverage_nb.risk.sizing import SizedPosition, Sizing, size_positions
from leverage_nb.risk.user_input import parse_position

if TYPE_CHECKING:
    import pandas as pd

_CROSS = "In cross margin liquidation is not affected by leverage, which decides how much margin is tied up."


@dataclass(frozen=True, repr=False)  # Shown has one
class SizePlan(Shown):
    """The lowest common leverage for positions of given sizes. It sends nothing: ``.plan()`` makes a Plan of it.

    Attributes:
        venue: The venue's name.
        account: The account, by the key's fingerprint.
        sizing: The positions with their leverages, and the margin after it.
        expected: What the exchange is expected to refuse now, or cannot be predicted: by symbol, in words.
        advice: What to do if the margin does not suffice; "" if it does.
        as_of: When the account was read.
    """

    venue: str
    account: str
    sizing: Sizing
    expected: Mapping[str, str]
    advice: str
    as_of: datetime
    _plan: Callable[[Mapping[str, int]], Plan] = field(repr=False, compare=False)

    @property
    def fits(self) -> bool:
        """Whether the margin suffices."""
        return self.sizing.leverage is not None

    @property
    def leverages(self) -> dict[str, int]:
        """The leverage of each symbol."""
        return {row.symbol: row.after for row in self.sizing.positions}

    def plan(self) -> Plan:
        """Return the plan that changes the leverages. Nothing is sent before ``.apply()``.

        Raises:
            InvalidInput: The margin does not suffice.
        """
        if not self.fits:
            raise InvalidInput(f"{self.headline}.", hint=self.advice)
        return self._plan(self.leverages)

    def to_frame(self) -> pd.DataFrame:
        """Return the leverages as a DataFrame.

        Returns:
            Index ``symbol``; ``notional`` (negative for a short), ``before`` (Int64; NA if it is not set), ``after``
            (int64), ``limited_by`` ("tier", "guard", "account limit", "isolated"; "" if ``after`` is the common
            leverage), ``initial_margin`` (of position and open orders; of an isolated position what is added),
            ``room`` (the tier headroom left), ``distance`` (the adverse price move that liquidates an isolated
            position, as a fraction of the mark price; NaN for cross) (float64), ``margin_type``, ``margin_asset``,
            ``reason`` (what the exchange is expected to refuse now).
        """
        import pandas as pd

        from leverage_nb.frames import LeverageFrame, mark

        rows = self.sizing.positions
        floats = {"notional": "notional", "initial_margin": "margin", "room": "room", "distance": "distance"}
        columns: dict[str, Any] = {name: [getattr(row, source) for row in rows] for name, source in floats.items()}
        columns |= {name: [getattr(r, name) for r in rows] for name in ("limited_by", "margin_type", "margin_asset")}
        columns["before"] = pd.array([row.before for row in rows], dtype="Int64")
        columns["after"] = pd.array([row.after for row in rows], dtype="int64")
        columns["reason"] = [self.expected.get(row.symbol, "") for row in rows]
        order = ["notional", "before", "after", "limited_by", "initial_margin", "room", "distance"]
        frame = LeverageFrame(columns, index=pd.Index([row.symbol for row in rows], name="symbol", dtype="object"))
        return mark(frame[[*order, "margin_type", "margin_asset", "reason"]], self.venue, self.account)

    @property
    def headline(self) -> str:
        """The result in one line."""
        rows, common = self.sizing.positions, self.sizing.leverage
        what = f"{rows[0].symbol} {_size(rows[0])}" if len(rows) == 1 else f"{len(rows)} positions"
        if common is None:
            return f"No leverage fits {what}: {self._missing()}"
        if len(rows) == 1:
            return f"{what}: {rows[0].after}x is the lowest leverage that fits"
        if all(row.limited_by for row in rows):
            return f"{what} fit at the lowest leverages that are possible"
        return f"{what}: {common}x is the lowest common leverage that fits"

    def card(self) -> Card:
        """Return the leverages as a card, with the account after it and how to apply it."""
        changed = [row for row in self.sizing.positions if row.after != row.before]
        rows = [("margin after", self._pool_text(pool)) for pool in self.sizing.pools]
        rows += list(self.expected.items())
        note = f"As of {moment(self.as_of)}, open orders included. Nothing was sent. "
        if any(row.margin_type == "cross" for row in self.sizing.positions):
            note += f"{_CROSS} "
        examples: tuple[str, ...] = ()
        if self.expected and self.fits:
            note += "The exchange is expected to refuse some of it now: change positions or margin first. "
        if not self.fits:
            note += self.advice
        elif not changed:
            note += "The leverage is set already."
        else:
            note += "To apply it: .plan().apply(), or"
            lines = [f"{row.symbol} {row.after}" for row in changed]
            examples = (f"%leverage {lines[0]}",) if len(lines) == 1 else ("%%leverage", *lines)
        tone: Tone = "bad" if not self.fits else "warn" if self.expected else "plain"
        header = ("symbol", "position", "leverage", "limited by", "margin", "headroom left", "liquidation")
        table = Table("Positions afterwards", header, tuple(map(_cells, self.sizing.positions)), frozenset({0, 3}))
        return Card(self.venue, self.headline, tuple(rows), note.strip(), tone, examples, (table,))

    def _pool_text(self, pool: MarginPool) -> str:
        used, equity = amount(max(pool.in_use, 0.0)), amount(pool.equity, pool.unit)
        share = f", {percent(round(pool.in_use / pool.equity, 3))}" if pool.equity > 0 else ""
        left = f", {amount(pool.equity - pool.in_use)} available" if pool.in_use <= pool.equity else ""
        return f"{used} of {equity}{share}{left}; at most {percent(self.sizing.use)} to be used"

    def _missing(self) -> str:
        short_of = [(pool, self.sizing.missing(pool)) for pool in self.sizing.pools]
        # Rounded up, so that adding the named amount is enough.
        parts = [amount(math.ceil(x * 100) / 100 if x > 1 else x, pool.unit) for pool, x in short_of if x]
        return f"{' and '.join(parts)} more margin is needed"


def make_size_plan(
    service: ChangeService, sizes: Any, use: float, plan: Callable[[Mapping[str, int]], Plan]
) -> SizePlan:
    """Find the leverages for positions of given sizes: see ``Account.size_plan``."""
    as_of = datetime.now().astimezone()
    if not hasattr(sizes, "items"):
        raise InvalidInput(
            f"The sizes are a mapping or a Series; got {type(sizes).__name__}.",
            hint='For example account.size_plan({"BTCUSDT": "2m", "SOLUSDT": "-300k"}).',
        )
    targets: dict[str, float] = {}
    for symbol, size in sizes.items():
        tiers = service.tiers.find(symbol)
        if tiers.symbol in targets:
            raise InvalidInput(f"{tiers.symbol} is there twice.", hint="Write one size per symbol.")
        targets[tiers.symbol] = parse_position(size)
    state = service.reader.read_state(list(targets))
    for symbol in targets:
        service.reader.check_known(state, symbol)
    table, guard, limit_of = service.tiers.table(), service.guard, service.account_limits.of
    bound = guard.limit()
    sizing = size_positions(
        state,
        table,
        targets,
        use=use,
        guard=bound.leverage if bound is not None else None,
        limits={symbol: limit for symbol in targets if (limit := limit_of(symbol)) is not None},
    )
    rows = make_rows({row.symbol: row.after for row in sizing.positions}, state, table, limit_of, guard)
    expected = {
        row.symbol: Judgement(row.verdict, row.code, row.certainty, row.reason).text
        for row in rows
        if row.verdict in {"refused", "unpredictable"}
    }
    advice = "" if sizing.leverage is not None else "Choose smaller sizes, add margin, or use a larger share of it."
    if sizing.without_guard is not None:
        advice = f"{sizing.without_guard}x would fit. {guard.exceeded(sizing.without_guard)}"
    return SizePlan(service.client.venue.label, service.client.account, sizing, expected, advice, as_of, plan)


def _size(row: SizedPosition) -> str:
    return f"{'short' if row.notional < 0 else 'long'} {short(abs(row.notional))}"


def _cells(row: SizedPosition) -> tuple[str, ...]:
    far = row.distance
    liquidation = NOTHING if math.isnan(far) else "none" if math.isinf(far) else f"{percent(round(far, 3))} away"
    leverage = f"{times(row.before)} → {row.after}x" if row.before != row.after else f"{row.after}x"
    return (
        row.symbol,
        f"{_size(row)} {row.margin_asset}",
        leverage,
        row.limited_by,
        amount(row.margin, row.margin_asset),
        short(row.room, 4),
        liquidation,
    )
