"""The leverage that positions of given sizes need, against trying every leverage on plain numbers."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import pytest

from leverage_nb.errors import InvalidInput, UnexpectedAnswer
from leverage_nb.risk.account_state import CREDITS, AccountState, Balance, LeverageSetting, Position
from leverage_nb.risk.collateral import AssetRate
from leverage_nb.risk.outlook import AccountLimit
from leverage_nb.risk.sizing import Sizing, size_positions
from tests.risk.tiers import BTCUSDT, brackets

# Published tiers of SOLUSDT, 2026-09-29.
SOLUSDT = [
    (100, 0, 50_000, 0.005, 0),
    (75, 50_000, 400_000, 0.0065, 75),
    (50, 400_000, 1_000_000, 0.01, 1_475),
    (25, 1_000_000, 4_000_000, 0.02, 11_475),
    (20, 4_000_000, 8_000_000, 0.025, 31_475),
    (10, 8_000_000, 40_000_000, 0.05, 231_475),
    (5, 40_000_000, 80_000_000, 0.1, 2_231_475),
    (4, 80_000_000, 100_000_000, 0.125, 4_231_475),
    (2, 100_000_000, 200_000_000, 0.25, 16_731_475),
    (1, 200_000_000, 400_000_000, 0.5, 66_731_475),
]
ROWS = {"BTCUSDT": BTCUSDT, "SOLUSDT": SOLUSDT, "BTCUSDC": BTCUSDT, "SOLUSDC": SOLUSDT}
TIERS = {symbol: brackets(rows, symbol) for symbol, rows in ROWS.items()}
RATES = {"USDT": AssetRate(0.98, 0.99), "USDC": AssetRate(1.0, 1.01)}


@dataclass
class Side:
    """One side of a symbol in plain numbers, at a mark price of 100; ``notional`` is signed."""

    name: str = "BOTH"
    notional: int = 0
    bids: int = 0
    asks: int = 0
    wallet: int = 0


@dataclass
class Case:
    """An account in plain numbers: by symbol its leverage, margin type and sides; by asset the cross wallet."""

    leverage: dict[str, int | None] = field(default_factory=dict)
    isolated: dict[str, bool] = field(default_factory=dict)
    sides: dict[str, list[Side]] = field(default_factory=dict)
    wallets: dict[str, int] = field(default_factory=dict)
    hedge: bool = False
    multi: bool = False

    def margin_in_use(self, symbol: str) -> tuple[Fraction, Fraction]:
        """Return the initial margin of the symbol's position, and of its orders beside it."""
        positions = sum(abs(side.notional) for side in self.sides[symbol])
        whole = exposure(self.sides[symbol])
        leverage = self.leverage[symbol] or 20
        return Fraction(positions, leverage), Fraction(whole - positions, leverage)

    def state(self) -> AccountState:
        """Return the account as the package sees it."""
        positions = []
        for symbol, sides in self.sides.items():
            position_margin, order_margin = self.margin_in_use(symbol)
            for place, side in enumerate(sides):
                positions.append(
                    Position(
                        symbol, side.name, side.notional / 100, 100.0, 100.0, side.notional, 0.0, None, side.wallet,
                        side.bids, side.asks, symbol[-4:],
                        position_margin=float(position_margin) if place == 0 else 0.0,
                        order_margin=float(order_margin) if place == 0 else 0.0,
                    )
                )  # fmt: skip
        settings = {
            symbol: LeverageSetting(
                "simulator",
                "key",
                symbol,
                leverage,
                "isolated" if self.isolated[symbol] else "cross",
                None,
                symbol[-4:],
            )
            for symbol, leverage in self.leverage.items()
        }
        balances = {a: Balance(a, cash, 0, cash, 0, 0, 0, 0) for a, cash in self.wallets.items()}
        state = AccountState(tuple(positions), balances, settings, self.hedge, self.multi, RATES if self.multi else {})
        if not self.multi:
            return state
        equity, used = self.pool("USD")  # in multi-assets mode the reported available margin is compared
        available = {a: max(0.0, float(equity - used) / RATES[a].ask) for a in balances}
        return replace(state, balances={a: replace(b, available=available[a]) for a, b in balances.items()})

    def pool(self, unit: str, without: Any = ()) -> tuple[Fraction, Fraction]:
        """Return the equity of a pool and what is used of it, apart from some symbols."""
        used = Fraction(0)
        for symbol in self.sides:
            if symbol not in without and unit in {"USD", symbol[-4:]}:
                position_margin, order_margin = self.margin_in_use(symbol)
                margin = order_margin + (0 if self.isolated[symbol] else position_margin)
                used += margin * (Fraction(RATES[symbol[-4:]].ask) if self.multi else 1)
        if self.multi:
            return sum((cash * Fraction(RATES[a].bid) for a, cash in self.wallets.items()), Fraction(0)), used
        return Fraction(self.wallets[unit]), used


def exposure(sides: list[Side]) -> int:
    """Return the largest position of a symbol that its orders can make."""
    total = 0
    for side in sides:
        if side.name == "LONG":
            total += side.notional + side.bids
        elif side.name == "SHORT":
            total += -side.notional + side.asks
        else:
            total += max(abs(side.notional + side.bids), abs(side.notional - side.asks))
    return total


def brute_force(case: Case, targets: dict[str, int], use: Fraction, guard: int | None) -> Any:
    """Try every leverage from 1x; "impossible" if no leverage of a symbol is possible, None if the margin is short."""
    needs = []
    for symbol, size in targets.items():
        name = "BOTH" if not case.hedge else "LONG" if size > 0 else "SHORT"
        old = next((side for side in case.sides.get(symbol, []) if side.name == name), Side(name))
        others = [side for side in case.sides.get(symbol, []) if side is not old]
        then = exposure([*others, Side(name, size, old.bids, old.asks)])
        offering = [row[0] for row in ROWS[symbol] if then <= row[2]]
        if not offering:
            return "impossible"
        floor = 1
        margin = then
        if case.isolated[symbol]:
            if case.leverage[symbol] and any(side.notional for side in case.sides.get(symbol, [])):
                floor = case.leverage[symbol] or 1
            same = (old.notional > 0) == (size > 0)
            margin -= sum(abs(side.notional) for side in others)
            margin -= min(abs(old.notional), abs(size)) if same else 0
        if floor > offering[0]:
            return "impossible"
        needs.append((symbol, margin, floor, min(offering[0], guard or 150)))
    for common in range(1, 151):
        chosen = {symbol: max(floor, min(common, cap)) for symbol, _, floor, cap in needs}
        units = {"USD"} if case.multi else {symbol[-4:] for symbol in targets}
        enough = True
        for unit in units:
            equity, used = case.pool(unit, targets)
            for symbol, margin, _, _ in needs:
                if unit in {"USD", symbol[-4:]}:
                    rate = Fraction(RATES[symbol[-4:]].ask) if case.multi else 1
                    used += Fraction(margin, chosen[symbol]) * rate
            enough = enough and used <= use * equity
        if enough:
            return common, chosen
    return None


def random_case(dice: random.Random) -> tuple[Case, dict[str, int], int | None]:
    """Return an account, targets and a guard."""
    case = Case(hedge=dice.random() < 0.3, multi=dice.random() < 0.3)
    for symbol in TIERS:
        case.leverage[symbol] = dice.choice([None, 1, 3, 5, 10, 20, 50, 75])
        case.isolated[symbol] = not case.multi and dice.random() < 0.4  # Binance allows none there (-4168)
        if dice.random() < 0.6:
            names = ["LONG", "SHORT"] if case.hedge else ["BOTH"]
            case.sides[symbol] = []
            for name in names:
                sign = {"LONG": 1, "SHORT": -1, "BOTH": dice.choice([-1, 1])}[name]
                notional = sign * dice.choice([0, 7_000, 130_000, 900_000])
                bids, asks = dice.choice([0, 5_000, 60_000]), dice.choice([0, 5_000, 60_000])
                case.sides[symbol].append(Side(name, notional, bids, asks, abs(notional) // 10))
    case.wallets = {asset: dice.choice([0, 20_000, 100_000, 1_000_000]) for asset in ("USDT", "USDC")}
    chosen = dice.sample(list(TIERS), dice.randint(1, 4))
    sizes = [9_000, 130_000, 500_000, 2_000_000, 30_000_000, 450_000_000]
    targets = {symbol: dice.choice([-1, 1]) * dice.choice(sizes) for symbol in chosen}
    return case, targets, dice.choice([None, None, 10, 20, 125])


def test_it_is_what_trying_every_leverage_finds() -> None:
    """In 500 random accounts the leverages are those that trying 1x to 150x finds, and so is that there are none."""
    dice, kinds = random.Random(20_260_929), {"fits": 0, "missing": 0, "impossible": 0}
    for _ in range(500):
        case, targets, guard = random_case(dice)
        use = dice.choice([Fraction(1), Fraction(1, 2), Fraction(3, 4)])
        expected = brute_force(case, targets, use, guard)
        if expected == "impossible":
            with pytest.raises(InvalidInput):
                size_positions(case.state(), TIERS, targets, use=float(use), guard=guard)
            kinds["impossible"] += 1
            continue
        sizing = size_positions(case.state(), TIERS, targets, use=float(use), guard=guard)
        found = {row.symbol: row.after for row in sizing.positions}
        if expected is None:
            assert sizing.leverage is None
            assert any(sizing.missing(pool) > 0 for pool in sizing.pools)
            kinds["missing"] += 1
        else:
            assert (sizing.leverage, found) == expected
            assert all(sizing.missing(pool) == 0 for pool in sizing.pools)
            kinds["fits"] += 1
    assert min(kinds.values()) >= 50, kinds


def account(margin_type: str = "cross", held: int = 0, cash: int = 100_000, leverage: int | None = 20) -> Case:
    """Return an account with a BTCUSDT position."""
    case = Case(leverage={"BTCUSDT": leverage, "SOLUSDT": 20}, wallets={"USDT": cash})
    case.isolated = {"BTCUSDT": margin_type == "isolated", "SOLUSDT": False}
    case.sides = {"BTCUSDT": [Side("BOTH", held, wallet=abs(held) // 20)]} if held else {}
    return case


def size(case: Case, targets: dict[str, float], use: Any = 0.9, **options: Any) -> Sizing:
    """Size the positions of an account."""
    return size_positions(case.state(), TIERS, targets, use=use, **options)


def test_the_example_by_hand() -> None:
    """1M and 0.3M on 100,000 at 90 %: 1,300,000 / 15 = 86,667 fits, / 14 = 92,857 does not."""
    sizing = size(account(), {"BTCUSDT": 1e6, "SOLUSDT": -3e5})
    assert sizing.leverage == 15
    assert [row.margin for row in sizing.positions] == [pytest.approx(1e6 / 15), pytest.approx(2e4)]
    assert [row.room for row in sizing.positions] == [100e6 - 1e6, 8e6 - 3e5]  # the caps of 20x
    (pool,) = sizing.pools
    assert (pool.unit, pool.equity, pool.in_use) == ("USDT", 100_000, pytest.approx(1.3e6 / 15))


def test_all_of_the_margin_can_be_used() -> None:
    """With use=1 a margin that is exactly all of it fits."""
    assert size(account(), {"BTCUSDT": 3e6}, use=1).leverage == 30
    assert size(account(cash=90_000), {"BTCUSDT": 2.7e6}, use=1).leverage == 30


def test_what_exists_is_part_of_the_size() -> None:
    """A cross position of the same size needs no more than itself; the margin is not counted twice."""
    assert size(account(held=1_800_000), {"BTCUSDT": 1.8e6}).leverage == 20


def test_what_limits_a_symbol_is_named() -> None:
    """Tier, guard and account limit are named where they keep a symbol below the common leverage."""
    sizing = size(account(cash=50_000), {"BTCUSDT": 1e6, "SOLUSDT": 1.2e6})  # SOLUSDT at 1.2M: 25x at most
    assert sizing.leverage is None  # 1M / 75 + 1.2M / 25 = 61,333
    assert [(row.after, row.limited_by) for row in sizing.positions] == [(75, "tier"), (25, "tier")]
    (pool,) = sizing.pools
    assert sizing.missing(pool) == pytest.approx((1e6 / 75 + 48_000) / 0.9 - 50_000)
    sizing = size(account(), {"BTCUSDT": 2e6}, guard=20)
    assert (sizing.leverage, sizing.without_guard, sizing.positions[0].limited_by) == (None, 23, "guard")
    limit = AccountLimit(15, -4300, "…")
    sizing = size(account(), {"BTCUSDT": 2e6}, guard=20, limits={"BTCUSDT": limit})
    assert (sizing.leverage, sizing.without_guard, sizing.positions[0].limited_by) == (None, None, "account limit")


def test_an_open_isolated_position_keeps_its_leverage_at_least() -> None:
    """It cannot be lowered, and needs margin only for what it grows by."""
    sizing = size(account("isolated", held=400_000), {"BTCUSDT": 5e5, "SOLUSDT": 1e5})
    btc, sol = sizing.positions
    assert (sizing.leverage, btc.after, btc.limited_by, btc.margin) == (2, 20, "isolated", 5_000)
    assert (sol.after, sol.margin) == (2, 50_000)
    # Above the guard it stays too: nothing is sent for it.
    guarded = size(account("isolated", held=400_000), {"BTCUSDT": 5e5}, guard=10)
    assert (guarded.positions[0].after, guarded.positions[0].limited_by) == (20, "isolated")


def test_an_isolated_position_that_cannot_be_lowered_far_enough() -> None:
    """At 75x a position of 5M is above the tier, and the leverage cannot go below it."""
    with pytest.raises(InvalidInput, match=r"needs 50x or less, but .* open at 75x, .*-4161"):
        size(account("isolated", held=400_000, leverage=75), {"BTCUSDT": 5e6})


def test_liquidation_of_isolated_positions() -> None:
    """1 BTC at 50,000 and 10x in the first tier: long 45,180.72, as published; a grown one is averaged."""
    new = size(account("isolated", cash=5_600), {"BTCUSDT": 50_000}).positions[0]
    assert new.after == 10
    assert new.distance == pytest.approx(1 - 45_180.722891566 / 50_000)
    short = size(account("isolated", cash=5_600), {"BTCUSDT": -50_000}).positions[0]
    assert short.distance == pytest.approx(54_780.876494023 / 50_000 - 1)
    # 40,000 with a wallet of 2,000 grow by 10,000 at 20x: 2,500 for 500 at 100. (2,500 - 50,000) / (500 x 0.004 - 500)
    grown = size(account("isolated", held=40_000), {"BTCUSDT": 50_000}).positions[0]
    assert grown.distance == pytest.approx(1 - 47_500 / 498 / 100)
    assert size(account("isolated"), {"BTCUSDT": 50_000}).positions[0].distance == math.inf  # 1x
    assert math.isnan(size(account("isolated", held=40_000), {"BTCUSDT": 30_000}).positions[0].distance)
    assert math.isnan(size(account(), {"BTCUSDT": 50_000}).positions[0].distance)


def test_a_leverage_that_is_not_set_can_be_found() -> None:
    """A symbol whose leverage is not set has no lower bound."""
    row = size(account("isolated", leverage=None), {"BTCUSDT": 50_000}).positions[0]
    assert (row.before, row.after) == (None, 1)


def test_each_asset_has_its_own_balance() -> None:
    """In single-asset mode a symbol in USDC cannot use USDT; the missing margin is that of its asset."""
    case = account()
    case.leverage["BTCUSDC"], case.isolated["BTCUSDC"], case.wallets["USDC"] = 20, False, 1_000
    sizing = size(case, {"BTCUSDT": 9e4, "BTCUSDC": 2e5})
    assert sizing.leverage is None
    missing = {pool.unit: sizing.missing(pool) for pool in sizing.pools}
    assert missing == {"USDT": 0, "USDC": pytest.approx(2e5 / 150 / 0.9 - 1_000)}


def test_multi_assets_mode_is_one_pool_in_usd() -> None:
    """All assets back all positions: equity at bid rates, margin at ask rates."""
    case = account()
    case.multi, case.wallets = True, {"USDT": 0, "USDC": 10_000}
    sizing = size(case, {"BTCUSDT": 9e4})
    (pool,) = sizing.pools  # 90,000 x 0.99 / 10 = 8,910 of at most 9,000
    assert (sizing.leverage, pool.unit, pool.equity, pool.in_use) == (10, "USD", 10_000, pytest.approx(8_910))


def test_hedge_mode_sizes_one_side() -> None:
    """The other side stays and shares the cap: 400,000 short beside 500,000 long are 900,000, 75x at most."""
    case = account(cash=14_000)
    case.hedge, case.sides = True, {"BTCUSDT": [Side("LONG", 300_000), Side("SHORT", -400_000)]}
    sizing = size(case, {"BTCUSDT": 5e5})
    assert (sizing.leverage, sizing.positions[0].room) == (72, 3e6 - 9e5)


@pytest.mark.parametrize("use", [0, -0.5, 1.01, math.nan, "0.9", True, None, [0.9]])
def test_a_share_that_is_none(use: Any) -> None:
    """The share is a number above 0, at most 1."""
    with pytest.raises(InvalidInput, match="use is the share"):
        size(account(), {"BTCUSDT": 1e5}, use=use)


def test_no_target_is_an_error() -> None:
    """An empty mapping is an error."""
    with pytest.raises(InvalidInput, match="no position to size"):
        size(account(), {})


def test_a_size_above_every_tier() -> None:
    """No leverage allows a size above the last cap, and open orders count."""
    with pytest.raises(InvalidInput, match="No leverage of BTCUSDT allows a position of 1,900,000,000 USDT") as caught:
        size(account(), {"BTCUSDT": 1.9e9})
    assert caught.value.hint == "The largest is 1,800,000,000 USDT, at 1x."
    case = account(held=100)
    case.sides["BTCUSDT"][0].bids = 1_000
    with pytest.raises(InvalidInput, match="beside open orders"):
        size(case, {"BTCUSDT": 1.8e9})


def test_a_symbol_that_is_not_trading() -> None:
    """No position can be opened in it."""
    state = replace(account().state(), not_trading={"BTCUSDT": "SETTLING"})
    with pytest.raises(InvalidInput, match=r"BTCUSDT is not trading \(SETTLING\)"):
        size_positions(state, TIERS, {"BTCUSDT": 1e5}, use=0.9)


@pytest.mark.parametrize("unknown", ["credits", "balance", "position", "asset"])
def test_unknown_margin_is_an_error(unknown: str) -> None:
    """Credits Trading Mode, a missing balance or asset and an unread position are errors, not figures."""
    state = account().state()
    if unknown == "credits":
        state = replace(state, balances={CREDITS: Balance(CREDITS, 9, 0, 9, 0, 0, 0, 9)})
    elif unknown == "balance":
        state = replace(state, balances={})
    elif unknown == "asset":
        state = replace(state, settings={"BTCUSDT": replace(state.settings["BTCUSDT"], margin_asset="")})
    else:
        state = replace(state, unread_positions=frozenset({"SOLUSDT"}))
    with pytest.raises(UnexpectedAnswer, match="The margin that BTCUSDT can use is unknown"):
        size_positions(state, TIERS, {"BTCUSDT": 1e5}, use=0.9)
