"""Settings and holdings that no longer fit their tiers, as after Binance has changed them."""

from __future__ import annotations

from leverage_nb.cards import amount, short
from leverage_nb.risk.brackets import BracketTable
from leverage_nb.risk.state import AccountState


def find_misfits(state: AccountState, table: BracketTable) -> tuple[tuple[str, str], ...]:
    """The symbols whose leverage lies above their maximum, or allows less than is held: symbol, and why."""
    found = []
    for symbol, setting in state.settings.items():
        if symbol not in table:
            continue
        tiers = table[symbol]
        if setting.leverage > tiers.symbol_max_leverage:
            found.append((symbol, f"{setting.leverage}x is above its maximum of {tiers.symbol_max_leverage}x"))
        elif (held := state.exposure(symbol)) > (cap := float(tiers.max_notional(setting.leverage))):
            what = f"{amount(held, setting.margin_asset)} held, {setting.leverage}x allows {short(cap)}"
            found.append((symbol, f"what is held no longer fits: {what}"))
    return tuple(found)
