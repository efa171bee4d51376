"""Account: the one door to what an account holds, what a change would do, and the change itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, NoReturn

from leverage_nb.cards import amount, label, moment, short
from leverage_nb.changes.attempt import Order, not_sent
from leverage_nb.changes.changer import Changer
from leverage_nb.changes.history import history_table
from leverage_nb.changes.journal import Journal
from leverage_nb.changes.limits import Guard
from leverage_nb.changes.plan import Plan
from leverage_nb.changes.planner import Planner
from leverage_nb.changes.preview import Preview, make_preview
from leverage_nb.changes.record import LeverageChange
from leverage_nb.changes.settle import LATE, Progress
from leverage_nb.changes.tier_history import TierChange, note_tiers, read_tier_changes, tier_changes_table
from leverage_nb.changes.wishes import Wish, read_wishes
from leverage_nb.errors import InvalidLeverage, JournalUnusable, LeverageError, Mistake, UnexpectedAnswer
from leverage_nb.exchange import snapshot
from leverage_nb.exchange.events import Event
from leverage_nb.exchange.rest import RestClient
from leverage_nb.exchange.symbols import normalize
from leverage_nb.exchange.tier_cache import TierCache
from leverage_nb.exchange.watching import Watch, Watching
from leverage_nb.risk.brackets import Brackets, BracketTable
from leverage_nb.risk.leverage import parse_leverage, parse_notional
from leverage_nb.risk.outlook import Outlook
from leverage_nb.risk.state import AccountState, LeverageSetting
from leverage_nb.risk.tables import positions_table, settings_table

if TYPE_CHECKING:
    import pandas as pd


# A preview younger than this many seconds is what the account is like now.
JUST_READ = 5.0


class Account:
    """One account on one venue, through one key. Made by :func:`leverage_nb.connect`.

    Safe to use from several threads. Not picklable: it holds a key and open connections.

    Attributes:
        venue: "simulator", "testnet" or "mainnet".
        label: Whose key it is: "key 1a2b3c4d", its fingerprint, after the profile's name where it has one.
        profile: What the user calls the account; None for the one without a name.
        asks_first: Whether magic and panel ask before a change on this venue.
        guard: The highest leverage that may be sent.
        journal: The file in which every change is written down before it leaves; ":memory:" for none.
        closed: Whether :meth:`close` was called.
    """

    def __init__(self, client: RestClient, journal: Journal, max_leverage: int | None = None) -> None:
        self._client = client
        self._tiers = TierCache(client, self._note_tiers)
        self._new_tier_changes: list[TierChange] = []
        self.guard = Guard(client.venue.name, max_leverage)
        self._changer = Changer(client, journal, self.guard)
        self._planner = Planner(client, self._tiers, self._changer)
        self._watching = Watching(client)
        self._watching.add(self._changer.hear)
        self.journal = journal.path
        self.closed = False
        self.venue = client.venue.name
        self.label = client.account
        self.profile = client.profile
        self.asks_first = client.venue.asks_first

    def __repr__(self) -> str:
        return f"<Account {self.venue} {self.label}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an Account is not pickled: connect() again where it is needed")

    def __enter__(self) -> Account:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. ``%leverage`` connects anew when it needs the venue again."""
        self._watching.close()
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
            ``bracket`` for one symbol, ``(symbol, bracket)`` otherwise. ``frame.attrs`` holds ``venue``,
            ``margin_assets`` by symbol, ``skipped``: symbols whose tiers could not be used, and why, and
            ``changes``: what changed in all tiers since they were loaded last, in words.

        Raises:
            UnknownSymbol: There is no such symbol.
        """
        if isinstance(symbol, str):
            name = self.find_symbol(symbol)
            table = snapshot.read_brackets(self._client, name)
            frame = table.to_frame().droplevel("symbol")
            frame.attrs["symbol"] = name
            names: Sequence[str] = (name,)
        else:
            table = self._tiers.load()
            frame = table.to_frame()
            frame.attrs["changes"] = [change.text() for change in self._new_tier_changes]
            names = table.symbols
            if symbol is not None:
                names = [self.find_symbol(one) for one in symbol]
                frame = frame.loc[list(names)]
        assets = self._tiers.margin_assets()
        frame.attrs["margin_assets"] = {name: assets[name] for name in names if name in assets}
        return self._marked(frame)

    def tiers(self, symbol: str) -> Brackets:
        """One symbol's tiers, at most five minutes old.

        Raises:
            UnknownSymbol: There is no such symbol.
            Mistake: The exchange's rows for it could not be used.
        """
        name, table = self._tiers.find(symbol)
        return table[name]

    def known_symbols(self) -> tuple[str, ...]:
        """The symbols that have been read; none before the first read. Never asks the exchange."""
        return self._tiers.known.symbols if self._tiers.known is not None else ()

    def known_edges(self, symbol: str) -> tuple[int, ...]:
        """The leverages at which a symbol's tiers end, highest first, as far as read. Never asks the exchange."""
        tiers = self._tiers.known.get(normalize(symbol)) if self._tiers.known is not None else None
        return tuple(tiers.initial_leverage.tolist()) if tiers is not None else ()

    def find_symbol(self, text: str) -> str:
        """Binance's spelling of a symbol written as ``btcusdt``, ``BTC/USDT`` or ``BTC/USDT:USDT``.

        Raises:
            UnknownSymbol: There is no such symbol; the error suggests some.
            Mistake: The exchange's tiers for it could not be used.
        """
        return self._tiers.find(text)[0]

    def margin_asset(self, symbol: str) -> str:
        """What the symbol's notional and margin are in: USDT, USDC, BTC; "" where that cannot be read."""
        return self._tiers.margin_assets().get(symbol, "")

    def tier_changes(self) -> pd.DataFrame:
        """What Binance has changed in the tiers since this account first loaded them here.

        Returns:
            See :func:`leverage_nb.changes.tier_history.tier_changes_table`.

        Raises:
            JournalUnusable: The journal cannot be used.
        """
        self._tiers.load()
        journal, address = self._changer.journal, self._client.venue.rest_url
        return self._marked(tier_changes_table(read_tier_changes(journal, address, self._client.identity)))

    def take_tier_news(self, symbol: str | None = None) -> list[str]:
        """What changed in the tiers since they were loaded last, of one symbol or all, in words; each is told once."""
        changes = [change for change in self._new_tier_changes if symbol in {None, change.symbol}]
        self._new_tier_changes = [change for change in self._new_tier_changes if change not in changes]
        if not changes:
            return []
        state = None
        with suppress(LeverageError):  # without it the news is shorter
            state = self.state()
        return [change.text(state) for change in changes]

    def _note_tiers(self, table: BracketTable) -> None:
        """Compare what was loaded with what was seen last; an unusable journal stands in no one's way here."""
        with suppress(JournalUnusable):
            address = self._client.venue.rest_url
            self._new_tier_changes += note_tiers(self._changer.journal, address, self._client.identity, table)

    # -- what is held ---------------------------------------------------------------------------------------

    def setting(self, symbol: str) -> LeverageSetting:
        """The symbol's leverage, margin type and max notional as the exchange has them now.

        Raises:
            UnknownSymbol: There is no such symbol.
        """
        name = self.find_symbol(symbol)
        return snapshot.read_setting(self._client, name, self.margin_asset(name))

    def settings(self, symbols: Iterable[str] | None = None) -> pd.DataFrame:
        """The settings of several symbols, all by default.

        Returns:
            Index ``symbol``; ``leverage``, ``symbol_max`` (int64), ``max_notional``, ``held`` (positions and
            open orders), ``room`` (what is left of max notional; negative where what is held no longer fits)
            (float64, in ``margin_asset``), ``margin_type``, ``margin_asset``.

        Raises:
            UnknownSymbol: There is no such symbol.
        """
        names = None if symbols is None else list(dict.fromkeys(self.find_symbol(symbol) for symbol in symbols))
        table = self._tiers.table()
        state = self.state()
        for name in names or ():
            if name not in state.settings or name not in table:
                raise UnexpectedAnswer(f"The {self.venue} has tiers of {name}, but no setting, or the reverse.")
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
        table, found = self._tiers.table(), []
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

    def state(self) -> AccountState:
        """Read positions, balances, settings and modes: four requests at the same time."""
        return snapshot.read_state(self._client, self._tiers.margin_assets())

    def mark_price(self, symbol: str) -> float:
        """The exchange's mark price of a symbol, now."""
        return snapshot.read_mark_price(self._client, self.find_symbol(symbol))

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
            Mistake: Notional or mark price is not above 0.
        """
        tiers = self.tiers(symbol)
        size = parse_notional(notional)
        mark = self.mark_price(tiers.symbol) if mark_price is None else mark_price
        return self._marked(tiers.ladder(size, mark))

    def outlook(self, symbol: str) -> pd.DataFrame:
        """What is *held* of a symbol, at every leverage: what would fit, be tied up, be left, be refused.

        Returns:
            Index ``leverage`` from 1 to the symbol's maximum; ``max_notional``, ``room`` (what is left of it beside
            positions and orders), ``initial_margin``, ``available_after`` (below 0 is what is lacking; NaN in
            multi-assets mode) (float64, in the margin asset), ``verdict``, ``code`` (Int64), ``certainty``,
            ``reason``.
        """
        return self._marked(self.look_ahead(symbol)[0].to_frame())

    def preview(self, symbol: str, leverage: int | str) -> Preview:
        """What a change would do, before it is made: one row of the outlook, with today's beside it.

        Raises:
            UnknownSymbol, InvalidLeverage: As :meth:`set_leverage`.
            ChangeNotSent: The account could not be read.
        """
        name = self.find_symbol(symbol)
        wanted = self.check_leverage(name, leverage)
        as_of = datetime.now().astimezone()
        failure: LeverageError
        try:
            outlook, state = self.look_ahead(name)
        except LeverageError as exc:
            failure = exc
        else:
            return self.preview_from(outlook, state, wanted, as_of)
        raise not_sent(self._client, name, wanted, failure)

    def preview_from(self, outlook: Outlook, state: AccountState, leverage: int, as_of: datetime) -> Preview:
        """A preview from an outlook that was read before, as of then."""
        if not 1 <= leverage <= len(outlook.leverage):
            raise InvalidLeverage(leverage, outlook.symbol, len(outlook.leverage))
        limit = self.guard.limit()
        stop = f"The guard stops above {limit[0]}x ({limit[1]})." if limit and leverage > limit[0] else ""
        return make_preview(outlook, state, leverage, as_of, self._send, stop)

    def most(self, symbol: str) -> tuple[int, str]:
        """The most that can be chosen, and why not more: the symbol's maximum, a limit that was met, the guard."""
        tiers = self.tiers(symbol)
        bounds = [(tiers.symbol_max_leverage, "the symbol's maximum")]
        met, guard = self._changer.met_limits.of(tiers.symbol), self.guard.limit()
        if met is not None:
            bounds.append((met.max_leverage, "the exchange limits the account"))
        if guard is not None:
            bounds.append((guard[0], f"the guard: {guard[1]}"))
        return min(bounds, key=lambda bound: bound[0])

    def highest_leverage(self, symbol: str, notional: float | str = 0.0) -> int:
        """The highest leverage that allows a position of this notional, and what is held, and the guard.

        Args:
            symbol: In any spelling.
            notional: Of the whole position, in the margin asset; also as ``"250k"`` or ``"2m"``. 0: any.

        Raises:
            Mistake: There is none; the error says what stands in the way.
        """
        size = parse_notional(notional) if notional else 0.0
        outlook, _ = self.look_ahead(symbol)
        large_enough = [x for x in outlook.leverage.tolist() if outlook.max_notional[x - 1] >= size]
        if not large_enough:
            raise Mistake(f"No leverage of {outlook.symbol} allows a notional of {size:,.10g}.")
        limit = self.guard.limit()
        guarded = [x for x in large_enough if limit is None or x <= limit[0]]
        if limit is not None and not guarded:
            raise Mistake(f"The guard stops above {limit[0]}x ({limit[1]}).")
        passing = [x for x in guarded if outlook.judge(x).verdict != "refused"]
        if not passing:
            raise Mistake(f"{outlook.symbol} {guarded[-1]}x would be refused: {outlook.judge(guarded[-1]).reason}.")
        return passing[-1]

    def look_ahead(self, symbol: str) -> tuple[Outlook, AccountState]:
        """The outlook of a symbol as a value, and the state it was made from."""
        tiers = self.tiers(symbol)
        state = self.state()
        if tiers.symbol not in state.settings:
            raise UnexpectedAnswer(f"The {self.venue} has tiers of {tiers.symbol}, but no setting.")
        return self.outlook_from(state, tiers), state

    def outlook_from(self, state: AccountState, tiers: Brackets) -> Outlook:
        """The outlook of a state that was read before, with the limits that were met."""
        return Outlook(state, tiers, self._changer.met_limits.of(tiers.symbol))

    def apply_now(self, preview: Preview, *, force: bool = False, progress: Progress | None = None) -> LeverageChange:
        """Make a change whose preview has been read this moment: another look would only see the same.

        A preview more than a few seconds old, or of a leverage that has been changed since, is looked at again.
        """
        fresh_enough = (datetime.now().astimezone() - preview.as_of).total_seconds() < JUST_READ
        look_again = not fresh_enough or self._changer.changed_since(preview.symbol, preview.as_of)
        return self._send(preview, force, progress, look_again=look_again)

    def _send(
        self, preview: Preview, force: bool, progress: Progress | None = None, *, look_again: bool = True
    ) -> LeverageChange:
        """Make a previewed change: see :meth:`Preview.apply`."""
        symbol, leverage = preview.symbol, preview.after
        self.check_guard(symbol, leverage)
        if look_again:
            fresh = self._look_again(symbol, leverage)
            if not preview.still_holds(fresh):
                moved = Mistake(
                    f"What the preview showed has moved meanwhile. Now: {fresh.headline}.",
                    hint="Look at a new preview.",
                )
                raise not_sent(self._client, symbol, leverage, moved)
            preview = replace(fresh, undoes=preview.undoes)
        if preview.verdict == "refused" and not force:
            refusal = Mistake(
                f"The exchange is expected to refuse it ({preview.code}): {preview.reason}.",
                hint="Prediction wrong? --force, or apply(force=True), sends it all the same.",
            )
            raise not_sent(self._client, symbol, leverage, refusal)
        known = None if math.isnan(preview.max_notional[0]) else preview.max_notional[0]
        setting = LeverageSetting(
            self.venue, self.label, symbol, preview.before, preview.margin_type, known, preview.margin_asset,
            preview.as_of,
        )  # fmt: skip
        order = Order(symbol, leverage, preview.margin_asset, preview.rows(), preview.undoes)
        return self._changer.change(order, setting, progress)

    def _look_again(self, symbol: str, leverage: int) -> Preview:
        failure: LeverageError
        try:
            self._tiers.load()
        except LeverageError as exc:
            failure = exc
        else:
            return self.preview(symbol, leverage)
        raise not_sent(self._client, symbol, leverage, failure)

    # -- changing ---------------------------------------------------------------------------------------------

    def check_leverage(self, symbol: str, leverage: Any) -> int:
        """Read a leverage written as ``10``, ``"10"`` or ``"10x"`` and hold it against the symbol's tiers.

        Raises:
            InvalidLeverage: Not a whole number from 1 to the symbol's maximum.
        """
        tiers = self.tiers(symbol)
        try:
            wanted = parse_leverage(leverage)
            if wanted > tiers.symbol_max_leverage and self._tiers.may_be_behind():
                tiers = self._tiers.load().get(tiers.symbol, tiers)  # the maximum may have risen since
            if wanted <= tiers.symbol_max_leverage:
                return wanted
        except InvalidLeverage:
            pass
        raise InvalidLeverage(leverage, tiers.symbol, tiers.symbol_max_leverage)

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
        failure: LeverageError
        try:
            name = self.find_symbol(symbol)
            wanted = self.check_leverage(name, leverage)
        except Mistake:
            raise
        except LeverageError as exc:
            failure = exc
        else:
            return self._changer.change(Order(name, wanted, self.margin_asset(name)), progress=progress)
        raise not_sent(self._client, normalize(symbol), parse_leverage(leverage), failure)

    def check_guard(self, symbol: str, leverage: int) -> None:
        """Stop what the guard stops.

        Raises:
            ChangeNotSent: The leverage is above it.
        """
        self._changer.check_guard(symbol, leverage)

    def tell_changes_to(self, listener: Callable[[LeverageChange], None]) -> None:
        """Call a method with every change of which it is known what became of it, for as long as its object lives."""
        self._changer.tell_changes_to(listener)

    # -- many at once ---------------------------------------------------------------------------------------

    def plan(self, wanted: Any) -> Plan:
        """Many changes as one, shown before they are made; nothing is sent before ``.apply()``.

        Args:
            wanted: Symbols and leverages (also ``"max"``): a mapping, a Series, a DataFrame with a column ``leverage``,
                the path of a CSV file, wishes read by :func:`leverage_nb.changes.wishes.read_lines`, or a function that
                makes one of these from ``account.settings()``.

        Returns:
            The plan: what differs from what is wanted, and what each row would do after those before it.

        Raises:
            Mistake: Something wanted cannot be; all of it is named, by line or row, and nothing was sent.
        """
        if callable(wanted):
            wanted = wanted(self.settings())
        ready = isinstance(wanted, list) and all(isinstance(wish, Wish) for wish in wanted)
        wishes = wanted if ready else read_wishes(wanted)
        return self._planner.make(wishes)

    # -- as it happens --------------------------------------------------------------------------------------

    def watch(self, callback: Callable[[Event], object]) -> Watch:
        """Follow the account as it changes, by whomever.

        Args:
            callback: Called with each event of ``leverage_nb.exchange.events``, in a thread of its own: LeverageEvent,
                AccountEvent, MarginCallEvent, ModeEvent, and StreamEvent when the connection comes or goes. A bound
                method is held weakly: it ends with its object.

        Returns:
            A handle; its ``close()`` ends it, and ``live`` says whether events are coming.
        """
        return self._watching.watch(callback)

    # -- looking back ---------------------------------------------------------------------------------------

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
        return self._changer.settle_earlier(progress, wait=wait)

    def history(self) -> pd.DataFrame:
        """Every change that was sent through this account, oldest first; what is open and past is looked up first.

        Returns:
            See :func:`leverage_nb.changes.history.history_table`.

        Raises:
            JournalUnusable: The journal cannot be used.
        """
        self.settle(wait=False)
        return self._marked(history_table(self._changer.attempts()))

    def open_changes(self) -> list[LeverageChange]:
        """The changes of which it is not known yet what became of them. Asks nobody.

        Raises:
            JournalUnusable: The journal cannot be used.
        """
        return [attempt.change for attempt in self._changer.attempts() if attempt.is_open]

    def last_changes(self, count: int) -> list[LeverageChange]:
        """The last changes that were sent, newest first, and every one that is not settled. Asks nobody.

        Raises:
            JournalUnusable: The journal cannot be used.
        """
        attempts = self._changer.attempts()
        recent = {attempt.number for attempt in attempts[-count:]}
        return [attempt.change for attempt in reversed(attempts) if attempt.number in recent or attempt.is_open]

    def preview_undo(self) -> Preview | Plan:
        """What it would do to take back the last change that was applied and still stands; ``.apply()`` does it.

        Where that change was part of a plan, a Plan that takes back all of it.

        Raises:
            Mistake: There is none, or the leverage was changed since.
            JournalUnusable: The journal cannot be used.
        """
        self.settle(wait=False)
        changes = self._changer.last_to_undo()
        last = changes[-1]
        if last.plan is not None:
            return self._planner.undo(last.plan, changes)
        setting = self.setting(last.symbol)
        step = f"{last.symbol} {last.before}x → {last.requested}x of {moment(last.begun_at)}"
        if setting.leverage != last.requested:
            raise Mistake(
                f"The last change, {step}, cannot be undone: {last.symbol} was changed since and is at "
                f"{setting.leverage}x. Nothing was sent.",
                hint=f"To set it all the same: %leverage {last.symbol} {last.before}",
            )
        preview = self.preview(last.symbol, last.before)
        doubt = LATE if last.change.note == LATE else ""
        takes_back = f"Takes back {step}. {doubt}".strip()
        return replace(preview, undoes=last.number, warnings=(takes_back, *preview.warnings))

    def undo(self, *, force: bool = False, progress: Progress | None = None) -> LeverageChange | Plan:
        """Take back the last change that was applied and still stands; once more, and the one before goes too.

        A plan is taken back as a whole, but for rows that were changed since: the Plan returned says which.

        Args:
            force: Send although a refusal is expected, as -4161 where an isolated position was opened.
            progress: As :meth:`set_leverage`.

        Raises:
            Mistake: There is none, or the leverage was changed since: the error says what it is.
            ChangeNotSent, LeverageRefused, ChangeNotApplied, ChangeSuperseded, OutcomeUnknown: As :meth:`set_leverage`.
        """
        preview = self.preview_undo()
        if isinstance(preview, Plan):
            return preview.apply(force=force)
        return self.apply_now(preview, force=force, progress=progress)

    def _marked(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Name the venue in the frame's corner and attributes."""
        frame.columns.name = label(self.venue)
        frame.attrs |= {"venue": self.venue, "account": self.label}
        return frame
