"""Account: the one door to what an account holds, what a change would do, and the change itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn

from leverage_nb.binance import reader
from leverage_nb.binance.client import RestClient
from leverage_nb.binance.events import Event
from leverage_nb.binance.watch import Watch, Watchers
from leverage_nb.change import LeverageChange
from leverage_nb.changes.guard import Bound, Guard
from leverage_nb.changes.history import History
from leverage_nb.changes.plan import Plan
from leverage_nb.changes.plan_input import Target, read_targets
from leverage_nb.changes.planner import Planner
from leverage_nb.changes.preview import Preview
from leverage_nb.changes.service import ChangeService
from leverage_nb.changes.settle import Progress
from leverage_nb.errors import LeverageError, UnexpectedAnswer
from leverage_nb.journal.journal import Journal
from leverage_nb.risk.account_state import AccountState, LeverageSetting, find_misfits
from leverage_nb.risk.brackets import Brackets
from leverage_nb.risk.ladder import make_ladder
from leverage_nb.risk.outlook import Outlook
from leverage_nb.risk.tables import positions_table, settings_table
from leverage_nb.risk.user_input import normalize, parse_notional
from leverage_nb.tiers.cache import TierCache
from leverage_nb.tiers.history import TierHistory

if TYPE_CHECKING:
    import pandas as pd


class Account:
    """One account on one venue, through one key. Made by :func:`leverage_nb.connect`.

    Safe to use from several threads. Not picklable: it holds a key and open connections. Tiers are read anew when they
    are five minutes old, and before a previewed change is made; all else is read each time.

    Every method that asks the exchange may raise, besides what it names, ``NotConnected``, ``NoAnswer``,
    ``RateLimited``, ``RequestRefused`` or ``UnexpectedAnswer``; all are ``LeverageError``.

    Attributes:
        venue: "simulator", "testnet" or "mainnet": what it was connected as.
        venue_label: The venue as cards and tables show it: its name, or "testnet at gateway.example" where the address
            is not known to be its own.
        label: Whose key it is: "key 1a2b3c4d", its fingerprint, after the profile's name where it has one.
        profile: What the user calls the account, in small letters; None for the one without a name.
        asks_first: Whether magic and panel ask before a change on this venue.
        journal: The path of the file in which every change is written down before it leaves; ":memory:" where that is
            kept in this process alone.
        closed: Whether :meth:`close` was called.
    """

    def __init__(self, client: RestClient, journal: Journal, max_leverage: int | None = None) -> None:
        self._client = client
        self._tier_history = TierHistory(journal, client.identity)
        self._tiers = TierCache(client, self._tier_history.note)
        self._service = ChangeService(client, journal, self._tiers, Guard(client.venue.asks_first, max_leverage))
        self._planner = Planner(client, self._tiers, self._service)
        self._history = History(client, self._service, self._planner)
        self._watchers = Watchers(client)
        self.journal = journal.path
        self.closed = False
        self.venue = client.venue.name
        self.venue_label = client.venue.label
        self.label = client.account
        self.profile = client.profile
        self.asks_first = client.venue.asks_first

    def __repr__(self) -> str:
        return f"<Account {self.venue_label} {self.label}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an Account is not pickled: connect() again where it is needed")

    def __enter__(self) -> Account:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. ``%leverage`` connects anew when it needs the venue again."""
        self._watchers.close()
        self._client.close()
        self.closed = True

    # -- tiers --------------------------------------------------------------------------------------------

    def symbols(self) -> tuple[str, ...]:
        """Every symbol that has tiers, in the exchange's order."""
        return self._tiers.table().symbols

    def brackets(self, symbol: str | Iterable[str] | None = None) -> pd.DataFrame:
        """Load the leverage brackets from the exchange.

        Args:
            symbol: One symbol, several, or None for all.

        Returns:
            Columns ``initial_leverage`` (int64), ``notional_floor``, ``notional_cap``,
            ``maint_margin_ratio``, ``cum`` (float64; notional and ``cum`` in the margin asset). Index
            ``bracket`` for one symbol, ``(symbol, bracket)`` otherwise. ``frame.attrs`` holds ``venue``, ``account``,
            ``margin_assets`` by symbol, ``skipped``: symbols whose tiers could not be used, and why; with one symbol
            ``symbol``, else ``changes``: what has changed in the tiers that ``%leverage`` has not told yet, in words.

        Raises:
            UnknownSymbol: There is no such symbol.
        """
        if isinstance(symbol, str):
            name = self.find_symbol(symbol)
            frame = reader.read_brackets(self._client, name).to_frame().droplevel("symbol")
            frame.attrs["symbol"] = name
            names = [name]
        else:
            table = self._tiers.load()
            frame = table.to_frame()
            frame.attrs["changes"] = [change.text() for change in self._tier_history.news]
            names = list(table.symbols)
            if symbol is not None:
                names = list(dict.fromkeys(self.find_symbol(one) for one in symbol))
                frame = frame.loc[names]
        assets = self._tiers.margin_assets()
        frame.attrs["margin_assets"] = {name: assets[name] for name in names if name in assets}
        return self._marked(frame)

    def tiers(self, symbol: str) -> Brackets:
        """One symbol's tiers, at most five minutes old.

        Raises:
            UnknownSymbol: There is no such symbol.
            InvalidInput: The exchange's rows for it could not be used.
        """
        name, table = self._tiers.find(symbol)
        return table[name]

    def find_symbol(self, text: str) -> str:
        """Binance's spelling of a symbol written as ``btcusdt``, ``BTC/USDT`` or ``BTC/USDT:USDT``.

        Raises:
            UnknownSymbol: There is no such symbol; the error suggests some.
            InvalidInput: The exchange's tiers for it could not be used.
        """
        return self._tiers.find(text)[0]

    def margin_asset(self, symbol: str) -> str:
        """What a symbol's notional and margin are in: USDT, USDC, BTC; "" where that is not known."""
        with suppress(LeverageError):  # a label that is missing must stand in nobody's way
            return self._tiers.margin_assets().get(normalize(symbol), "")
        return ""

    def tier_changes(self) -> pd.DataFrame:
        """What Binance has changed in the tiers since this account first loaded them here.

        Returns:
            See :func:`leverage_nb.tiers.history.tier_changes_table`.

        Raises:
            JournalUnusable: The journal cannot be used.
        """
        self._tiers.load()
        return self._marked(self._tier_history.table())

    # -- what is held ---------------------------------------------------------------------------------------

    def setting(self, symbol: str) -> LeverageSetting:
        """The symbol's leverage, margin type and max notional as the exchange has them now.

        Raises:
            UnknownSymbol: There is no such symbol.
            UnexpectedAnswer: The exchange has tiers of it, but no setting.
        """
        name = self.find_symbol(symbol)
        return reader.read_setting(self._client, name, self.margin_asset(name))

    def settings(self, symbols: str | Iterable[str] | None = None) -> pd.DataFrame:
        """The settings of several symbols, all by default.

        Returns:
            Index ``symbol``; ``leverage``, ``symbol_max`` (int64), ``max_notional``, ``held`` (positions and
            open orders), ``room`` (what is left of max notional; negative where what is held no longer fits)
            (float64, in ``margin_asset``), ``margin_type``, ``margin_asset``.

        Raises:
            UnknownSymbol: There is no such symbol.
            UnexpectedAnswer: The exchange has tiers of one, but no setting, or the reverse.
        """
        asked = [symbols] if isinstance(symbols, str) else symbols
        names = None if asked is None else list(dict.fromkeys(self.find_symbol(symbol) for symbol in asked))
        table = self._tiers.table()
        state = self.state()
        for name in names or ():
            if name not in state.settings or name not in table:
                raise UnexpectedAnswer(f"The {self.venue_label} has tiers of {name}, but no setting, or the reverse.")
        listed = [name for name in state.settings if name in table] if names is None else names
        return self._marked(settings_table(state, table, listed))

    def positions(self) -> pd.DataFrame:
        """Open positions as the exchange reports them.

        Returns:
            One row a side; index ``symbol``; ``side``, ``amount`` (base asset), ``entry_price``,
            ``mark_price``, ``notional``, ``unrealized_profit`` (in ``margin_asset``), ``leverage`` (the
            initial leverage, int64), ``effective_leverage`` (of the position where isolated, of the whole
            cross account where cross), ``liquidation_price`` (the exchange's own; NaN for none),
            ``margin_type``, ``margin_asset``.
        """
        return self._marked(positions_table(self.state()))

    def misfits(self, state: AccountState) -> tuple[tuple[str, str], ...]:
        """Symbols whose leverage no longer fits their tiers, as after Binance has changed them: symbol, and why."""
        return find_misfits(state, self._tiers.table())

    def state(self) -> AccountState:
        """Read positions, balances, settings and modes: four requests at the same time."""
        return reader.read_state(self._client, self._tiers.margin_assets())

    def mark_price(self, symbol: str) -> float:
        """The exchange's mark price of a symbol, now."""
        return reader.read_mark_price(self._client, self.find_symbol(symbol))

    # -- looking ahead --------------------------------------------------------------------------------------

    def ladder(self, symbol: str, notional: float | str, mark_price: float | None = None) -> pd.DataFrame:
        """A *new isolated position* of this notional, at every leverage: what it needs, where it is liquidated.

        Args:
            symbol: In any spelling.
            notional: In the margin asset; also as ``"250k"`` or ``"2m"``.
            mark_price: The entry; the exchange's mark when None.

        Returns:
            See :func:`leverage_nb.risk.ladder.make_ladder`.

        Raises:
            InvalidInput: Notional or mark price is not above 0.
        """
        tiers = self.tiers(symbol)
        size = parse_notional(notional)
        price = self.mark_price(tiers.symbol) if mark_price is None else mark_price
        return self._marked(make_ladder(tiers, size, price))

    def outlook(self, symbol: str) -> pd.DataFrame:
        """What is *held* of a symbol, at every leverage: what would fit, be tied up, be left, be refused.

        Returns:
            Index ``leverage`` from 1 to the symbol's maximum; ``max_notional``, ``room`` (what is left of it beside
            positions and orders), ``initial_margin``, ``available_after`` (below 0 is what is lacking; NaN in
            multi-assets mode) (float64, in the margin asset), ``verdict``, ``code`` (Int64), ``certainty``,
            ``reason``.

        Raises:
            UnexpectedAnswer: The exchange has tiers of it, but no setting.
        """
        return self._marked(self.look_ahead(symbol)[0].to_frame())

    def preview(self, symbol: str, leverage: int | str) -> Preview:
        """What a change would do, before it is made: one row of the outlook, with today's beside it.

        Raises:
            UnknownSymbol, InvalidLeverage: As :meth:`set_leverage`.
            ChangeNotSent: The account could not be read.
        """
        return self._service.preview(symbol, leverage)

    def check_leverage(self, symbol: str, leverage: Any) -> int:
        """Read a leverage written as ``10``, ``"10"`` or ``"10x"`` and hold it against the symbol's tiers.

        Raises:
            InvalidLeverage: Not a whole number from 1 to the symbol's maximum.
        """
        return self._service.check_leverage(symbol, leverage)

    def highest_leverage(self, symbol: str, notional: float | str = 0.0) -> int:
        """The highest leverage that allows a position of this notional, and what is held, and the guard.

        Args:
            symbol: In any spelling.
            notional: Of the whole position, in the margin asset; also as ``"250k"`` or ``"2m"``. 0: any.

        Raises:
            InvalidInput: There is none; the error says what stands in the way.
        """
        return self._service.highest(symbol, notional)

    # -- changing ---------------------------------------------------------------------------------------------

    def set_leverage(self, symbol: str, leverage: int | str, *, progress: Progress | None = None) -> LeverageChange:
        """Change a symbol's initial leverage: read the setting, write the attempt down, post, check what was answered.

        Args:
            symbol: In any spelling :meth:`find_symbol` takes.
            leverage: ``10``, ``"10"`` or ``"10x"``.
            progress: Told in a sentence what is awaited, and until when, where no definite answer came.

        Returns:
            The change; ``status`` is "applied", or "unchanged" where it was there already.

        Raises:
            UnknownSymbol, InvalidLeverage: Nothing was sent.
            ChangeNotSent: Nothing was sent: the guard, no connection, the rate limit, a journal that cannot be written,
                an earlier change that is not settled, or a setting that could not be read.
            LeverageRefused: Binance refused; ``.code`` and ``.hint`` say why and what to do.
            ChangeNotApplied, ChangeSuperseded: It was sent, and not confirmed; ``.change`` says what is there.
            OutcomeUnknown: It was sent, no definite answer came back, and it could not be looked up.
        """
        return self._service.set_leverage(symbol, leverage, progress)

    def plan(self, wanted: Any) -> Plan:
        """Many changes as one, shown before they are made; nothing is sent before ``.apply()``.

        Args:
            wanted: Symbols and leverages (also ``"max"``): a mapping, a Series, a DataFrame with a column ``leverage``,
                the path of a CSV file, targets read by :func:`leverage_nb.changes.plan_input.read_lines`, or a function
                that makes one of these from ``account.settings()``.

        Returns:
            The plan: what differs from what is wanted, and what each row would do after those before it.

        Raises:
            InvalidInput: Something wanted cannot be; all of it is named, by line or row, and nothing was sent.
        """
        if callable(wanted):
            wanted = wanted(self.settings())
        ready = isinstance(wanted, list) and all(isinstance(target, Target) for target in wanted)
        return self._planner.make(wanted if ready else read_targets(wanted))

    # -- looking back ---------------------------------------------------------------------------------------

    def history(self) -> pd.DataFrame:
        """Every change that was sent through this account, oldest first; what is open and past is looked up first.

        Returns:
            See :func:`leverage_nb.changes.history.history_table`.

        Raises:
            JournalUnusable: The journal cannot be used.
        """
        return self._marked(self._history.table())

    def settle(self, progress: Progress | None = None, *, wait: bool = True) -> list[LeverageChange]:
        """Look up what became of changes that had no definite answer, of this session or an earlier one.

        Args:
            progress: Told what is awaited, and until when.
            wait: Wait for those that may still be carried out; else they are left open.

        Returns:
            The changes of which something was found.

        Raises:
            JournalUnusable: The journal cannot be used.
        """
        return self._history.settle(progress, wait=wait)

    def preview_undo(self, *, force: bool = False) -> Preview | Plan:
        """What it would do to take back the last change that was applied and still stands; ``.apply()`` does it.

        Where that change was part of a plan, a Plan that takes back all of it. What cannot be taken back, as a raise
        with an isolated position that is still open (-4161), is passed over, and named.

        Args:
            force: Pass over nothing.

        Raises:
            InvalidInput: There is none, or the leverage was changed since.
            JournalUnusable: The journal cannot be used.
        """
        return self._history.preview_undo(force=force)

    def undo(self, *, force: bool = False, progress: Progress | None = None) -> LeverageChange | Plan:
        """Take back the last change that was applied and still stands; once more, and the one before goes too.

        A plan is taken back as a whole, but for rows that were changed since: the Plan returned says which.

        Args:
            force: Send although a refusal is expected, as -4161 where an isolated position was opened.
            progress: As :meth:`set_leverage`; not called for a plan.

        Raises:
            InvalidInput: There is none, or the leverage was changed since: the error says what it is.
            ChangeNotSent, LeverageRefused, ChangeNotApplied, ChangeSuperseded, OutcomeUnknown: As :meth:`set_leverage`.
        """
        preview = self.preview_undo(force=force)
        if isinstance(preview, Plan):
            return preview.apply(force=force)
        return preview.apply(force=force, progress=progress)

    # -- as it happens --------------------------------------------------------------------------------------

    def watch(self, callback: Callable[[Event], object]) -> Watch:
        """Follow the account as it changes, by whomever.

        Args:
            callback: Called with each event of ``leverage_nb.binance.events``, in a thread of its own: LeverageEvent,
                AccountEvent, MarginCallEvent, ModeEvent, and StreamEvent when the connection comes or goes. A bound
                method is held weakly: it ends with its object.

        Returns:
            A handle; its ``close()`` ends it, and ``live`` says whether events are coming.
        """
        return self._watchers.watch(callback)

    # -- what magic and panel need beside this ---------------------------------------------------------------

    def known_symbols(self) -> tuple[str, ...]:
        """The symbols that have been read; none before the first read. Never asks the exchange."""
        return self._tiers.known.symbols if self._tiers.known is not None else ()

    def known_edges(self, symbol: str) -> tuple[int, ...]:
        """The leverages at which a symbol's tiers end, highest first, as far as read. Never asks the exchange."""
        tiers = self._tiers.known.get(normalize(symbol)) if self._tiers.known is not None else None
        return tuple(tiers.initial_leverage.tolist()) if tiers is not None else ()

    def take_tier_news(self, symbol: str | None = None) -> list[str]:
        """What changed in the tiers since they were loaded before, of one symbol or all, in words; told once each."""
        changes = self._tier_history.take_news(symbol)
        state = None
        if changes:
            with suppress(LeverageError):  # without it the news is shorter
                state = self.state()
        return [change.text(state) for change in changes]

    def look_ahead(self, symbol: str, *, anew: bool = False) -> tuple[Outlook, AccountState]:
        """The outlook of a symbol as a value, and the state it was made from; ``anew`` reads the tiers again too."""
        return self._service.read_outlook(symbol, anew=anew)

    def outlook_from(self, state: AccountState, tiers: Brackets) -> Outlook:
        """The outlook of a state that was read before, with the limits that were met."""
        return self._service.outlook(state, tiers)

    def preview_from(self, outlook: Outlook, state: AccountState, leverage: int) -> Preview:
        """A preview from an outlook that was read before."""
        return self._service.preview_from(outlook, state, leverage)

    def leverage_bound(self, symbol: str) -> Bound:
        """The most that can be chosen, and why not more: the symbol's maximum, a limit that was met, the guard."""
        return self._service.bound(symbol)

    def check_guard(self, symbol: str, leverage: int) -> None:
        """Stop what the guard stops.

        Raises:
            ChangeNotSent: The leverage is above it.
        """
        self._service.check_guard(symbol, leverage)

    def open_changes(self) -> list[LeverageChange]:
        """The changes of which it is not known yet what became of them. Asks nobody.

        Raises:
            JournalUnusable: The journal cannot be used.
        """
        return self._history.open_changes()

    def last_changes(self, count: int) -> list[LeverageChange]:
        """The last changes that were sent, newest first, and every one that is not settled. Asks nobody.

        Raises:
            JournalUnusable: The journal cannot be used.
        """
        return self._history.last_changes(count)

    def tell_changes_to(self, listener: Callable[[LeverageChange], None]) -> None:
        """Call a method with every change of which it is known what became of it, for as long as its object lives."""
        self._service.add_listener(listener)

    def _marked(self, frame: pd.DataFrame) -> pd.DataFrame:
        from leverage_nb.frames import mark  # loads pandas

        return mark(frame, self.venue_label, self.label)
