"""The account at a glance: the result of ``%leverage`` without arguments."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from leverage_nb.account import Account, service_of
from leverage_nb.cards import Card, Shown
from leverage_nb.change import LeverageChange
from leverage_nb.errors import JournalUnusable
from leverage_nb.formatting import amount, moment, percent, price, times
from leverage_nb.risk.account_state import CREDITS, AccountState, Balance, Position, find_misfits

LAST_CHANGES = 3
MOST_SKIPPED = 5  # rows of the exchange that could not be read

EXAMPLES = (
    "%leverage BTCUSDT          tiers, chart and slider",
    "%leverage BTCUSDT 10       change it",
    "%leverage BTCUSDT ETHUSDT  a table",
)


@dataclass(frozen=True, repr=False)  # Shown has one
class Overview(Shown):
    """Balances, positions, open orders and last changes of an account.

    Attributes:
        venue: The venue.
        account: The account, as a key fingerprint.
        state: Positions, balances, settings and modes.
        as_of: When the account was read, in local time.
        changes: The last changes, newest first, and all that are not settled.
        journal_error: Why the journal cannot be used; "" if it can.
        misfits: Symbols whose leverage or exposure no longer fits their tiers, and why.
    """

    venue: str
    account: str
    state: AccountState
    as_of: datetime
    changes: tuple[LeverageChange, ...] = ()
    journal_error: str = ""
    misfits: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, account: Account) -> Overview:
        """Read the account and its journal."""
        as_of = datetime.now().astimezone()
        state = account.state()
        service = service_of(account)
        misfits = find_misfits(state, service.tiers.table())
        overview = cls(account.venue_label, account.label, state, as_of, misfits=misfits)
        try:
            return replace(overview, changes=tuple(service.last_changes(LAST_CHANGES)))
        except JournalUnusable as exc:
            return replace(overview, journal_error=str(exc))

    def card(self) -> Card:
        """Return the overview as a card."""
        state = self.state
        mode = "hedge mode" if state.hedge_mode else "one-way mode"
        assets = "multi-assets" if state.multi_assets else "single-asset"
        if state.credits_mode:
            assets = f"Credits Trading Mode ({CREDITS}): margin is not predicted"
        rows = [("account", f"{self.account}, {mode}, {assets}")]
        rows += [
            (f"{b.asset} margin", _balance_text(state, b)) for b in state.balances.values() if b.wallet or b.available
        ]
        if (ratio := state.account_margin_ratio()) is not None:
            rows.append(("margin ratio", f"{percent(round(ratio, 4))} of the account, in USD"))
        rows += [(position.symbol, _position_text(state, position)) for position in state.positions if position.amount]
        rows += [(p.symbol, _orders_text(p)) for p in state.positions if p.orders_bid or p.orders_ask]
        used = dict.fromkeys(position.symbol for position in state.positions)
        rows += [(name, f"not trading ({state.not_trading[name]})") for name in used if name in state.not_trading]
        rows += self.misfits
        rows += [("not readable", f"{name}: {reason}") for name, reason in list(state.skipped.items())[:MOST_SKIPPED]]
        if len(state.skipped) > MOST_SKIPPED:
            rows.append(("not readable", f"{len(state.skipped) - MOST_SKIPPED:,} more"))
        rows += [("not settled" if c.status == "unknown" else "changed", _change_text(c)) for c in self.changes]
        rows += [("journal", self.journal_error)] if self.journal_error else []
        note = f"As of {moment(self.as_of)}."
        if not any(position.amount for position in state.positions) and not state.unread_positions:
            note += " No open positions."
        if self.venue == "simulator":
            note += " The simulator sends nothing to Binance."
        return Card(self.venue, "Leverage", tuple(rows), note, examples=EXAMPLES)


def _change_text(change: LeverageChange) -> str:
    return f"{change.headline}, {moment(change.sent_at)}" if change.sent_at else change.headline


def _balance_text(state: AccountState, balance: Balance) -> str:
    parts = [f"{amount(balance.wallet)} in the wallet"]
    ratio = state.cross_margin_ratio(balance.asset)
    if balance.profit:
        parts.append(f"{amount(balance.profit)} unrealised profit")
    parts += [f"{amount(balance.initial_margin)} in use", f"{amount(balance.available)} available"]
    if ratio:
        parts.append(f"cross margin ratio {percent(round(ratio, 4))}")
    return ", ".join(parts)


def _orders_text(position: Position) -> str:
    sides = [("buy", position.orders_bid), ("sell", position.orders_ask)]
    return "open orders: " + ", ".join(f"{side} {amount(size, position.margin_asset)}" for side, size in sides if size)


def _position_text(state: AccountState, position: Position) -> str:
    setting = state.settings[position.symbol]
    parts = [
        f"{position.side} {amount(abs(position.amount))} from {price(position.entry_price)}",
        f"{amount(abs(position.notional), position.margin_asset)} at mark {price(position.mark_price)}",
        f"{setting.margin_type} at {times(setting.leverage)}",
    ]
    effective = state.effective_leverage(position)
    if effective is not None:
        scope = "" if state.is_isolated(position.symbol) else " for the whole cross account"
        parts.append(f"{effective:.1f}x effective{scope}")
    if position.liquidation_price is not None and position.mark_price > 0:
        distance = abs(position.liquidation_price / position.mark_price - 1)
        parts.append(f"liquidation {price(position.liquidation_price)} ({percent(round(distance, 3))} away)")
    return ", ".join(parts)
