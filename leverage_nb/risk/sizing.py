"""The lowest common leverage at which the margin suffices for positions of given sizes.

The margin of a cross position is its notional, open orders included, divided by leverage. An isolated position has
margin of its own: what it grows by, and its open orders, need margin from the same pool as cross positions. Fees are
not included.

Sources: https://www.binance.com/en/support/faq/360033162192 (initial margin at mark price); ``risk.account_state``
(exposure); ``risk.collateral`` (multi-assets mode).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal

from leverage_nb.errors import InvalidInput, UnexpectedAnswer, as_typed
from leverage_nb.formatting import amount
from leverage_nb.risk.account_state import AccountState, MarginPool, Position
from leverage_nb.risk.brackets import Brackets
from leverage_nb.risk.liquidation import liquidation_price
from leverage_nb.risk.outlook import ISOLATED_OPEN, AccountLimit
from leverage_nb.risk.user_input import is_number

Limited = Literal["", "tier", "guard", "account limit", "isolated"]


@dataclass(frozen=True)
class SizedPosition:
    """A position of the wanted size, at the leverage that was found for its symbol.

    Attributes:
        symbol: Binance's symbol.
        notional: The whole position at mark price, in the margin asset; negative for a short.
        before: The leverage now; None if it is not set.
        after: The leverage that was found.
        limited_by: Why ``after`` is not the common leverage: the "tier" of the size, the "guard" or an "account limit"
            allows no more, or an open "isolated" position no less. "" if it is.
        margin: What position and open orders use of the pool, in the margin asset.
        room: The tier headroom that is left at ``after``.
        distance: Isolated: the adverse price move to liquidation, as a fraction of the mark price; infinite if no price
            liquidates it; NaN for cross, and for a position that becomes smaller.
        margin_type: "cross" or "isolated".
        margin_asset: The asset of the figures.
    """

    symbol: str
    notional: float
    before: int | None
    after: int
    limited_by: Limited
    margin: float
    room: float
    distance: float
    margin_type: str
    margin_asset: str


@dataclass(frozen=True)
class Sizing:
    """Positions of wanted sizes, with the margin of the whole account.

    Attributes:
        leverage: The lowest common leverage that fits; None if none does, and the positions are at the highest.
        positions: In the order of the input.
        pools: The margin after it, by pool.
        use: The share of each pool that may be used.
        without_guard: The lowest common leverage that would fit without the guard, if none does with it.
    """

    leverage: int | None
    positions: tuple[SizedPosition, ...]
    pools: tuple[MarginPool, ...]
    use: float
    without_guard: int | None = None

    def missing(self, pool: MarginPool) -> float:
        """Return the margin that must be added to a pool, in its unit; 0 if it suffices."""
        return 0.0 if _fits(pool, self.use) else pool.in_use / self.use - pool.equity


@dataclass(frozen=True)
class _Need:
    """A position of the wanted size, without a leverage."""

    asset: str
    tiers: Brackets
    pool: MarginPool
    notional: float
    position: Position
    exposure: float
    using: float
    is_isolated: bool
    current: int | None
    lowest: int
    highest: int
    limited_by: Limited

    def leverage(self, common: int) -> int:
        return max(self.lowest, min(common, self.highest))

    def sized(self, common: int) -> SizedPosition:
        after = self.leverage(common)
        limited: Limited = "" if after == common else "isolated" if after > common else self.limited_by
        return SizedPosition(
            symbol=self.tiers.symbol,
            notional=self.notional,
            before=self.current,
            after=after,
            limited_by=limited,
            margin=self.using / after,
            room=float(self.tiers.max_notional(after)) - self.exposure,
            distance=self._distance(after) if self.is_isolated else math.nan,
            margin_type="isolated" if self.is_isolated else "cross",
            margin_asset=self.asset,
        )

    def _distance(self, leverage: int) -> float:
        size, position = abs(self.notional), self.position
        entry, wallet, grown = 1.0, 0.0, size  # in units of the mark price
        if position.notional * self.notional > 0:
            grown = size - abs(position.notional)
            if grown < 0 or position.mark_price <= 0:
                return math.nan  # how much of its margin a smaller position keeps is not documented
            entry = (abs(position.notional) * position.entry_price / position.mark_price + grown) / size
            wallet = position.isolated_wallet
        price = liquidation_price(self.tiers, self.notional, entry, wallet + grown / leverage)
        return math.inf if math.isnan(price) else math.copysign(1.0, self.notional) * (1.0 - price)


def size_positions(
    state: AccountState,
    tiers: Mapping[str, Brackets],
    targets: Mapping[str, float],
    *,
    use: float,
    guard: int | None = None,
    limits: Mapping[str, AccountLimit] | None = None,
) -> Sizing:
    """Return the lowest common leverage at which every margin pool suffices for the targets and all that exists.

    A symbol whose tier, guard or account limit allows less gets the highest that they allow. An open isolated position
    keeps its leverage at least, because it cannot be lowered (-4161).

    Args:
        state: The account. The settings and positions of the targets are known.
        tiers: The tiers of the targets.
        targets: By symbol the notional of the whole position at mark price; negative for a short. In hedge mode that of
            one side; the other stays. Open orders stay, and count beside it.
        use: The share of each pool that may be used; above 0, at most 1.
        guard: The highest leverage that the guard allows; None without a guard.
        limits: The account limits by symbol.

    Raises:
        InvalidInput: There is no target, ``use`` is no such share, a symbol is not trading, or no possible leverage of
            a symbol allows its target.
        UnexpectedAnswer: The available margin is unknown.
    """
    if not targets:
        raise InvalidInput("There is no position to size.", hint='For example account.size_plan({"BTCUSDT": "2m"}).')
    share = math.nan
    with suppress(ArithmeticError, ValueError):  # a signalling NaN
        share = float(use) if is_number(use) else math.nan
    if not 0 < share <= 1:
        raise InvalidInput(
            f"use is the share of the margin that may be used: a number above 0, and at most 1; got {as_typed(use)}.",
            hint="Write 90 percent as use=0.9, without quotation marks.",
        )
    use = share

    def needs(guard: int | None) -> list[_Need]:
        return [_need(state, tiers[s], targets, guard, (limits or {}).get(s)) for s in targets]

    guarded = needs(guard)
    found = _lowest(guarded, use)
    common = found or max(need.highest for need in guarded) + 1  # above all, so that each names what limits it
    return Sizing(
        leverage=found,
        positions=tuple(need.sized(common) for need in guarded),
        pools=_pools_at(guarded, common),
        use=use,
        without_guard=_lowest(needs(None), use) if found is None and guard is not None else None,
    )


def _lowest(needs: list[_Need], use: float) -> int | None:
    every = range(1, max(need.highest for need in needs) + 1)
    # A higher leverage never uses more margin.
    place = bisect_left(every, True, key=lambda x: all(_fits(pool, use) for pool in _pools_at(needs, x)))
    return every[place] if place < len(every) else None


def _pools_at(needs: list[_Need], common: int) -> tuple[MarginPool, ...]:
    """Return the pools of the targets' margin assets, with the targets at a common leverage."""
    pools = {need.pool.unit: need.pool for need in needs}
    in_use = {unit: pool.in_use for unit, pool in pools.items()}
    for need in needs:
        in_use[need.pool.unit] += need.using / need.leverage(common) * need.pool.rate
    return tuple(replace(pool, in_use=in_use[unit]) for unit, pool in pools.items())


def _fits(pool: MarginPool, use: float) -> bool:
    # All of it is enough: rounding must not make it too little.
    return pool.in_use <= use * pool.equity * (1 + 1e-12)


def _need(
    state: AccountState, tiers: Brackets, targets: Mapping[str, float], guard: int | None, limit: AccountLimit | None
) -> _Need:
    symbol, notional = tiers.symbol, targets[tiers.symbol]
    if status := state.not_trading.get(symbol):
        raise InvalidInput(
            f"{symbol} is not trading ({status}), so no position can be opened in it.", hint="Leave it out."
        )
    if reason := state.why_margin_unknown(symbol):
        raise UnexpectedAnswer(f"The margin that {symbol} can use is unknown: {reason}.", hint="Choose its leverage.")
    asset, is_isolated, current = state.asset_of(symbol), state.is_isolated(symbol), state.settings[symbol].leverage
    side = "BOTH" if not state.hedge_mode else "LONG" if notional > 0 else "SHORT"
    nothing = Position(symbol, side, 0.0, 0.0, 0.0, 0.0, 0.0, None, 0.0, 0.0, 0.0, asset)
    rows = [p for p in state.positions if p.symbol == symbol]
    position = next((p for p in rows if p.position_side == side), nothing)
    others = tuple(p for p in state.positions if p is not position)
    then = replace(state, positions=(*others, replace(position, notional=notional)))
    exposure = using = then.exposure(symbol)
    if is_isolated:
        kept = min(abs(position.notional), abs(notional)) if position.notional * notional > 0 else 0.0
        using += abs(notional) - kept - then.position_notional(symbol)
    lowest = current if is_isolated and current and any(p.amount for p in rows) else 1
    if exposure > tiers.last_cap:
        beside = "" if exposure == abs(notional) else " beside open orders and the other side"
        raise InvalidInput(
            f"No leverage of {symbol} allows a position of {amount(abs(notional), asset)}{beside}.",
            hint=f"The largest is {amount(tiers.last_cap, asset)}, at 1x.",
        )
    by_tier = int(tiers.max_leverage(exposure))
    if lowest > by_tier:
        raise InvalidInput(
            f"{symbol} at {amount(abs(notional), asset)} needs {by_tier}x or less, but its isolated position is open "
            f"at {current}x, which can only be raised ({ISOLATED_OPEN}).",
            hint="Choose a smaller size, or close the position first.",
        )
    bounds: list[tuple[int, Limited]] = [(by_tier, "tier")]
    bounds += [(guard, "guard")] if guard is not None else []
    bounds += [(limit.max_leverage, "account limit")] if limit is not None else []
    highest, limited_by = min(bounds, key=lambda bound: bound[0])
    return _Need(
        asset=asset,
        tiers=tiers,
        pool=state.pool(asset, targets),
        notional=notional,
        position=position,
        exposure=exposure,
        using=using,
        is_isolated=is_isolated,
        current=current,
        lowest=lowest,
        highest=max(highest, lowest),
        limited_by="isolated" if lowest > highest else limited_by,
    )
