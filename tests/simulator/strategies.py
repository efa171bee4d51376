"""Random accounts in the simulator's opening shape: balances, positions, orders, modes and settings."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from leverage_nb.simulator.market import Symbol, load_market

MARKET = load_market()
# A few symbols with very different tiers, one of them margined in BTC: enough to affect each other's margin.
SYMBOLS = tuple(MARKET.symbols[name] for name in ("BTCUSDT", "ETHUSDT", "42USDT", "哈基米USDT", "ETHBTC"))


def _amount(symbol: Symbol, share: float) -> Decimal:
    """Return a quantity in whole steps worth about ``share`` of the symbol's last cap."""
    step = Decimal(symbol.listing["stepSize"])
    quantity = Decimal(str(share)) * symbol.tiers[-1].notional_cap / symbol.mark_price
    return max(step, (quantity / step).to_integral_value() * step)


# The exponents spread over the tiers: small shares are common, large ones occur.
_shares = st.floats(-7, 0.05).map(lambda exponent: 10**exponent)


@st.composite
def accounts(draw: st.DrawFn) -> dict[str, Any]:
    """Draw any account that one-way or hedge, single- or multi-assets mode allows, with or without enough margin."""
    hedge = draw(st.booleans())
    multi_assets = draw(st.sampled_from([False, False, False, True]))
    isolated = [] if multi_assets else [s.name for s in SYMBOLS if draw(st.booleans())]
    leverage = {s.name: draw(st.integers(1, s.max_leverage)) for s in SYMBOLS}
    positions, orders = [], []
    for symbol in SYMBOLS:
        for side in ("LONG", "SHORT") if hedge else ("BOTH",):
            if draw(st.booleans()):
                amount = _amount(symbol, draw(_shares))
                if side == "SHORT" or (side == "BOTH" and draw(st.booleans())):
                    amount = -amount
                entry = symbol.mark_price * Decimal(draw(st.integers(80, 120))) / 100
                wallet = abs(amount) * entry / leverage[symbol.name] if symbol.name in isolated else Decimal(0)
                positions.append(
                    {"symbol": symbol.name, "positionSide": side, "positionAmt": str(amount),
                     "entryPrice": str(entry), "isolatedWallet": f"{wallet:.8f}"}
                )  # fmt: skip
        for _ in range(draw(st.integers(0, 2))):
            side = draw(st.sampled_from(["BUY", "SELL"]))
            position_side = draw(st.sampled_from(["LONG", "SHORT"])) if hedge else "BOTH"
            orders.append(
                {"symbol": symbol.name, "side": side, "positionSide": position_side,
                 "quantity": str(_amount(symbol, draw(_shares))), "price": str(symbol.mark_price)}
            )  # fmt: skip
    return {
        "accountAlias": "random",
        "wallets": {"USDT": str(draw(st.integers(0, 10**9)) // 10 ** draw(st.integers(0, 7))),
                    "BTC": str(draw(st.integers(0, 3000)))},
        "leverage": leverage,
        "isolated": isolated,
        "positions": positions,
        "orders": orders,
        "dualSidePosition": hedge,
        "multiAssetsMargin": multi_assets,
    }  # fmt: skip
