"""The account at a glance: the result of ``%leverage`` without arguments; in a terminal, one symbol too."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from leverage_nb.account import Account, service_of
from leverage_nb.cards import Card, Shown, Table
from leverage_nb.change import Change
from leverage_nb.errors import JournalUnusable
from leverage_nb.formatting import NOTHING, amount, moment, percent, price, times
from leverage_nb.notebook.panel_table import tier_rows
from leverage_nb.risk.account_state import CREDITS, AccountState, LeverageSetting, Position, find_misfits
from leverage_nb.risk.brackets import Brackets
from leverage_nb.risk.tables import skipped_tiers

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
    changes: tuple[Change, ...] = ()
    journal_error: str = ""
    misfits: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, account: Account) -> Overview:
        """Read the account and its journal."""
        as_of = datetime.now().astimezone()
        state = account.state()
        service = service_of(account)
        table = service.tiers.table()
        misfits = find_misfits(state, table)
        state = replace(state, skipped={**skipped_tiers(table), **state.skipped})
        overview = cls(account.venue_label, account.label, state, as_of, misfits=misfits)
        try:
            return replace(overview, changes=tuple(service.past.last(LAST_CHANGES)))
        except JournalUnusable as exc:
            return replace(overview, journal_error=str(exc))

    def card(self) -> Card:
        """Return the overview as a card."""
        state = self.state
        mode, assets = state.modes
        if state.credits_mode:
            assets = f"Credits Trading Mode ({CREDITS}): margin is not predicted"
        rows = [("account", f"{self.account}, {mode} mode, {assets}")]
        if (ratio := state.account_margin_ratio()) is not None:
            rows.append(("margin ratio", f"{percent(round(ratio, 4))} of the account, in USD"))
        used = dict.fromkeys(position.symbol for position in state.positions)
        rows += [(name, f"not trading ({state.not_trading[name]})") for name in used if name in state.not_trading]
        rows += self.misfits
        rows += [("not readable", f"{name}: {reason}") for name, reason in list(state.skipped.items())[:MOST_SKIPPED]]
        if len(state.skipped) > MOST_SKIPPED:
            rows.append(("not readable", f"{len(state.skipped) - MOST_SKIPPED:,} more"))
        rows += [("journal", self.journal_error)] if self.journal_error else []
        note = f"As of {moment(self.as_of)}."
        if not any(position.amount for position in state.positions) and not state.unread_positions:
            note += " No open positions."
        if not (self.changes or self.journal_error):
            note += " No changes yet."
        if self.venue == "simulator":
            note += " The simulator sends nothing to Binance."
        positions, orders = _positions(state, state.positions), _orders(state, state.positions)
        shown = _with_rows(_balances(state), positions, orders, _last_changes(self.changes))
        return Card(self.venue, "Leverage", tuple(rows), note, examples=EXAMPLES, tables=shown)


@dataclass(frozen=True, repr=False)  # Shown has one
class SymbolOverview(Shown):
    """One symbol at a glance, where no panel can be shown: its setting, positions, open orders and tiers.

    Attributes:
        setting: The leverage setting.
        state: The account.
        tiers: The symbol's tiers.
    """

    setting: LeverageSetting
    state: AccountState
    tiers: Brackets

    @classmethod
    def of(cls, account: Account, symbol: str) -> SymbolOverview:
        """Read a symbol's setting, positions and tiers.

        Raises:
            UnknownSymbol: The venue does not list the symbol.
            UnexpectedAnswer: The exchange has tiers of the symbol, but no setting.
        """
        view = service_of(account).reader.read_symbol(symbol)
        return cls(view.state.settings[view.outlook.symbol], view.state, view.outlook.brackets)

    def card(self) -> Card:
        """Return the overview as a card."""
        card, symbol = self.setting.card(), self.setting.symbol
        own = [position for position in self.state.positions if position.symbol == symbol]
        note = f"{card.note} The panel, with chart and slider, needs a notebook.".strip()
        examples = (f"%leverage {symbol} 10 -n    preview a change", f"%leverage {symbol} 10       change it")
        tables = (_positions(self.state, own), _orders(self.state, own), _tiers(self.tiers, self.setting))
        return replace(card, note=note, examples=examples, tables=_with_rows(*tables))


def _with_rows(*tables: Table) -> tuple[Table, ...]:
    return tuple(table for table in tables if table.rows)


def _tiers(tiers: Brackets, setting: LeverageSetting) -> Table:
    rows = [(leverage, floor, cap, rate) for leverage, floor, cap, rate, _ in tier_rows(tiers)]
    header = ("max leverage", "notional above", "up to", "maintenance rate")
    return Table(f"Tiers, in {setting.margin_asset or 'the margin asset'}", header, tuple(rows), frozenset())


def _balances(state: AccountState) -> Table:
    rows = []
    for balance in state.balances.values():
        if balance.wallet or balance.available:
            ratio = state.cross_margin_ratio(balance.asset)
            rows.append(
                (
                    balance.asset,
                    _figure(balance.wallet),
                    _signed(balance.profit),
                    _figure(balance.initial_margin),
                    _figure(balance.available),
                    f"{ratio:.2%}" if ratio else NOTHING,
                )
            )
    header = ("asset", "wallet", "unrealised PnL", "in use", "available", "cross margin ratio")
    return Table("Margin", header, tuple(rows))


def _positions(state: AccountState, positions: Iterable[Position]) -> Table:
    """Return the open positions, the largest symbol first."""
    opened = [position for position in positions if position.amount]
    opened.sort(key=lambda position: (-state.position_notional(position.symbol), position.symbol))
    header = (
        "symbol", "side", "size", "notional", "PnL", "leverage", "effective", "liquidation",
        "distance", "margin", "entry", "mark",
    )  # fmt: skip
    scope = "; effective leverage of cross: that of the whole cross account"
    cross = any(not state.is_isolated(position.symbol) for position in opened)
    caption = f"{len(opened)} position{'s' if len(opened) != 1 else ''}{scope if cross else ''}"
    return Table(caption, header, tuple(_position(state, position) for position in opened), frozenset({0, 1, 9}))


def _position(state: AccountState, position: Position) -> tuple[str, ...]:
    setting, effective = state.settings[position.symbol], state.effective_leverage(position)
    liquidation, mark = position.liquidation_price, position.mark_price
    away = math.nan if liquidation is None else position.distance_to(liquidation)
    return (
        position.symbol,
        position.side,
        amount(abs(position.amount)),
        f"{_figure(abs(position.notional))} {position.margin_asset}",
        _signed(position.unrealized_profit),
        times(setting.leverage),
        NOTHING if effective is None else f"{effective:.1f}x",
        NOTHING if liquidation is None else price(liquidation),
        NOTHING if math.isnan(away) else f"{away:.1%}" if away > 0 else "reached",
        setting.margin_type,
        price(position.entry_price),
        price(mark),
    )


def _orders(state: AccountState, positions: Iterable[Position]) -> Table:
    rows = []
    for position in positions:
        if position.orders_bid or position.orders_ask:
            name = f"{position.symbol} {position.position_side.lower()}" if state.hedge_mode else position.symbol
            sizes = [
                f"{_figure(size)} {position.margin_asset}" if size else NOTHING
                for size in (position.orders_bid, position.orders_ask)
            ]
            rows.append((name, *sizes))
    return Table("Open orders", ("symbol", "buy", "sell"), tuple(rows))


def _last_changes(changes: tuple[Change, ...]) -> Table:
    rows = [(moment(change.sent_at) if change.sent_at else NOTHING, change.headline) for change in changes]
    return Table("Last changes", ("sent", "change"), tuple(rows), frozenset({0, 1}))


def _figure(value: float) -> str:
    """Format an amount of a column: two decimals, so that the digits are in line; more only below 1."""
    return f"{value:,.2f}" if abs(value) >= 1 or not value else f"{value:.6g}"


def _signed(value: float) -> str:
    return f"+{_figure(value)}" if value > 0 else _figure(value)
