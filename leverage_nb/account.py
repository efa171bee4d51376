"""Account: the public API of one account on one venue."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, cast
from weakref import WeakSet

from leverage_nb.binance import reader
from leverage_nb.binance.client import RestClient
from leverage_nb.binance.events import Event
from leverage_nb.binance.watch import Watch, Watchers
from leverage_nb.change import Change, IsolatedMarginChange, LeverageChange, MarginTypeChange
from leverage_nb.changes.expected_modes import ExpectedModes
from leverage_nb.changes.follow import FollowEvent, PolicyWatch, check_follow
from leverage_nb.changes.guard import Guard
from leverage_nb.changes.history import history_table
from leverage_nb.changes.isolated_margin_preview import IsolatedMarginPreview, preview_isolated_margin
from leverage_nb.changes.margin_type_preview import MarginTypePreview, preview_margin_type
from leverage_nb.changes.plan import Plan
from leverage_nb.changes.plan_input import Target, read_targets
from leverage_nb.changes.planner import make_plan, make_policy_plan
from leverage_nb.changes.policy import read_policy
from leverage_nb.changes.preview import ChangePreview, Preview
from leverage_nb.changes.service import ChangeService
from leverage_nb.changes.settle import Progress
from leverage_nb.changes.size_plan import SizePlan, make_size_plan
from leverage_nb.changes.undo import preview_undo
from leverage_nb.errors import InvalidInput, LeverageError, UnexpectedAnswer
from leverage_nb.journal.journal import Journal
from leverage_nb.risk.account_state import AccountState, LeverageSetting
from leverage_nb.risk.brackets import Brackets
from leverage_nb.risk.ladder import make_ladder
from leverage_nb.risk.new_position import BUFFER
from leverage_nb.risk.tables import positions_table, settings_table
from leverage_nb.risk.user_input import normalize, parse_margin_change, split_words
from leverage_nb.tiers.cache import TierCache
from leverage_nb.tiers.history import TierHistory

if TYPE_CHECKING:
    import pandas as pd


class Account:
    """One account on one venue, opened with one key by :func:`leverage_nb.connect`.

    It is thread-safe. It cannot be pickled, and not be used in a forked process. Tiers are read again when they are
    five minutes old and before a previewed change is made; everything else is read on each call.

    Every method that sends requests may raise ``NotConnected``, ``NoAnswer``, ``RateLimited``, ``RequestRefused`` or
    ``UnexpectedAnswer`` besides the errors that it names. All are ``LeverageError``.

    Attributes:
        venue: "simulator", "testnet" or "mainnet".
        venue_label: The venue as cards and tables show it: its name, or "testnet at gateway.example" if the address is
            not in the venue's own list.
        label: The key's fingerprint, as "key 1a2b3c4d", after the profile's name if there is one.
        profile: The profile's name in lower case; None without a profile.
        asks_first: Whether magic and panel ask for a confirmation before a change on this venue.
        read_only: Whether the account was opened with ``read_only=True``, and sends no change.
        journal: The path of the journal; ":memory:" if it is kept in this process only.
        closed: Whether :meth:`close` was called.
    """

    def __init__(
        self,
        client: RestClient,
        journal: Journal,
        max_leverage: int | None = None,
        configured_guard: Callable[[], Any] = lambda: 0,
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        self._client = client
        self._tiers = TierCache(client, TierHistory(journal, client.identity))
        guard = Guard(client.venue.asks_first, max_leverage, configured_guard)
        self._service = ChangeService(client, journal, self._tiers, guard)
        self._watchers = Watchers(client)
        self._followers = WeakSet[PolicyWatch]()
        self._reverts: Counter[str] = Counter()
        self._on_close = on_close
        self._service.add_listener(self._watchers.note_change)
        self.journal = journal.path
        self.closed = False
        self.venue = client.venue.name
        self.venue_label = client.venue.label
        self.label = client.account
        self.profile = client.profile
        self.asks_first = client.venue.asks_first
        self.read_only = client.read_only

    def __repr__(self) -> str:
        return f"<Account {self.venue_label} {self.label}{', read-only' if self.read_only else ''}>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an Account cannot be pickled: call connect() in the other process")

    def __enter__(self) -> Account:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. ``%leverage`` connects again when it needs the venue.

        The simulator of this process stops when its last account is closed, and its settings are gone.
        """
        for follower in list(self._followers):
            follower.close()
        self._watchers.close()
        self._client.close()
        self.closed = True
        self._on_close()

    # -- tiers --------------------------------------------------------------------------------------------

    def symbols(self) -> tuple[str, ...]:
        """Return every symbol that has tiers, in the exchange's order."""
        return self._tiers.table().symbols

    def brackets(self, symbol: str | Iterable[str] | None = None) -> pd.DataFrame:
        """Load the leverage brackets from the exchange.

        Args:
            symbol: One symbol; several, also as "BTCUSDT, ETHUSDT"; or None for all.

        Returns:
            Columns ``initial_leverage`` (int64), ``notional_floor``, ``notional_cap``, ``maint_margin_ratio``, ``cum``
            (float64; notional and ``cum`` in the margin asset). Index ``bracket`` for one symbol,
            ``(symbol, bracket)`` otherwise. ``frame.attrs`` has ``venue``, ``account``, ``margin_assets`` (by symbol),
            ``skipped`` (symbols with unusable tiers or without a margin asset, and the reason), ``symbol`` for one
            symbol, otherwise ``changes`` (what Binance has changed since the last load and ``%leverage`` has not shown
            yet, in words).

        Raises:
            UnknownSymbol: The venue does not list the symbol.
        """
        names = self._find_all(symbol)
        if isinstance(symbol, str) and len(names) == 1:
            name = names[0]
            frame = reader.read_brackets(self._client, name).to_frame().droplevel("symbol")
            frame.attrs["symbol"] = name
        else:
            table = self._tiers.load()
            frame = table.to_frame()
            frame.attrs["changes"] = [change.text() for change in self._tiers.history.news]
            if symbol is None:
                names = list(table.symbols)
            else:
                frame = frame.loc[names]
        assets = self._tiers.margin_assets()
        frame.attrs["margin_assets"] = {name: assets[name] for name in names if assets.get(name)}
        frame.attrs["skipped"] |= {
            name: "its margin asset could not be read" for name in names if assets.get(name) == ""
        }
        return self._marked(frame)

    def tiers(self, symbol: str) -> Brackets:
        """Return one symbol's tiers, at most five minutes old.

        Raises:
            UnknownSymbol: The venue does not list the symbol.
            UnexpectedAnswer: The exchange's tiers of the symbol are unusable.
        """
        return self._tiers.find(symbol)

    def find_symbol(self, text: str) -> str:
        """Return Binance's spelling of a symbol written as ``btcusdt``, ``BTC/USDT`` or ``BTC/USDT:USDT``.

        Raises:
            UnknownSymbol: The venue does not list the symbol; the error suggests similar ones.
            UnexpectedAnswer: The exchange's tiers of the symbol are unusable.
        """
        return self._tiers.find(text).symbol

    def margin_asset(self, symbol: str) -> str:
        """Return a symbol's margin asset, the asset of its notional and margin: USDT, USDC, BTC; "" if unknown."""
        with suppress(LeverageError):
            return self._tiers.margin_assets().get(normalize(symbol), "")
        return ""

    def tier_changes(self) -> pd.DataFrame:
        """Return what Binance has changed in the tiers since this account first loaded them on this machine.

        Returns:
            See :func:`leverage_nb.tiers.history.TierHistory.table`.

        Raises:
            JournalUnusable: The journal cannot be used.
        """
        self._tiers.load()
        return self._marked(self._tiers.history.table())

    # -- the account ----------------------------------------------------------------------------------------

    def setting(self, symbol: str) -> LeverageSetting:
        """Read a symbol's leverage, margin type and max notional.

        Raises:
            UnknownSymbol: The venue does not list the symbol.
            UnexpectedAnswer: The exchange has tiers of the symbol, but no setting.
        """
        name = self.find_symbol(symbol)
        return reader.read_setting(self._client, name, self.margin_asset(name))

    def settings(self, symbols: str | Iterable[str] | None = None) -> pd.DataFrame:
        """Read the settings of several symbols; of all by default.

        Args:
            symbols: One symbol; several, also as "BTCUSDT, ETHUSDT"; or None for all.

        Returns:
            Index ``symbol``; ``leverage`` (Int64; NA if it is not set), ``symbol_max`` (int64), ``max_notional``,
            ``held`` (the exposure: positions and open orders), ``room`` (the tier headroom; negative if the exposure
            no longer fits) (float64, in ``margin_asset``; NaN if the leverage is not set), ``margin_type``,
            ``margin_asset``. ``held`` and ``room`` are NaN for symbols whose positions could not be read.
            ``frame.attrs["skipped"]`` has what could not be read: symbol or asset, and the reason;
            ``frame.attrs["not_trading"]`` the status of symbols that are not trading, as SETTLING.

        Raises:
            UnknownSymbol: The venue does not list a symbol.
            UnexpectedAnswer: The exchange has tiers of a symbol, but no usable setting, or the reverse.
        """
        state = self._service.reader.read_state()
        names = self._find_all(symbols)
        table = self._tiers.table()
        for name in names:
            if name not in state.settings:
                self._service.reader.check_known(state, name)
            if name not in table:
                raise UnexpectedAnswer(f"The {self.venue_label} has no tiers of {name}.", hint="Try again later.")
        shown = [name for name in state.settings if name in table] if symbols is None else names
        return self._marked(settings_table(state, table, shown))

    def positions(self) -> pd.DataFrame:
        """Read the open positions.

        Returns:
            One row per side; index ``symbol``; ``side``, ``amount`` (base asset), ``entry_price``, ``mark_price``,
            ``notional``, ``unrealized_profit`` (in ``margin_asset``), ``leverage`` (the initial leverage, Int64),
            ``effective_leverage`` (of an isolated position, or of the whole cross account), ``liquidation_price`` (the
            exchange's own; NaN for none), ``margin_type``, ``margin_asset``. ``frame.attrs["skipped"]`` has what could
            not be read: symbol or asset, and the reason.
        """
        return self._marked(positions_table(self.state()))

    def state(self) -> AccountState:
        """Read positions, balances, settings and modes: four requests at the same time."""
        return self._service.reader.read_state()

    def mark_price(self, symbol: str) -> float:
        """Read a symbol's mark price."""
        return reader.read_mark_price(self._client, self.find_symbol(symbol))

    # -- previews -------------------------------------------------------------------------------------------

    def ladder(self, symbol: str, notional: float | str, mark_price: float | None = None) -> pd.DataFrame:
        """Return a *new isolated position* of this notional at every leverage: its margin and liquidation prices.

        Args:
            symbol: In any spelling.
            notional: In the margin asset; also as ``"250k"`` or ``"2m"``.
            mark_price: The entry price; the current mark price if None.

        Returns:
            See :func:`leverage_nb.risk.ladder.make_ladder`.

        Raises:
            InvalidInput: Notional or mark price is not above 0.
        """
        tiers = self.tiers(symbol)
        price = self.mark_price(tiers.symbol) if mark_price is None else mark_price
        return self._marked(make_ladder(tiers, notional, price))

    def outlook(self, symbol: str) -> pd.DataFrame:
        """Return the position that you *have*, with its open orders, at every leverage, with the verdict.

        Returns:
            Index ``leverage`` from 1 to the symbol's maximum; ``max_notional``, ``room`` (the tier headroom),
            ``initial_margin``, ``available_after`` (the available margin; below 0 is missing margin; NaN if
            unknown), ``can_open`` (the smaller of tier headroom and available margin times leverage, at least 0)
            (float64, in the margin asset), ``verdict``, ``code`` (Int64), ``certainty``, ``reason``.

        Raises:
            UnexpectedAnswer: The exchange has tiers of the symbol, but no setting.
        """
        return self._marked(self._service.reader.read_symbol(symbol).outlook.to_frame())

    def preview(self, symbol: str, leverage: int | str, *, notional: float | str = 0.0) -> Preview:
        """Preview a change: what it would do, and whether the exchange would refuse it.

        Args:
            symbol: In any spelling that :meth:`find_symbol` accepts.
            leverage: ``10``, ``"10"``, ``"10x"``, or ``"max"`` for the highest that fits.
            notional: With "max": the position size that must be allowed, in the margin asset; also as ``"250k"`` or
                ``"2m"``. 0: any.

        Raises:
            UnknownSymbol, InvalidLeverage, InvalidInput: As for :meth:`set_leverage`.
            ChangeNotSent: The account could not be read.
        """
        return self._service.preview(symbol, leverage, notional=notional)

    def highest_leverage(
        self, symbol: str, notional: float | str = 0.0, *, stop: float | str | None = None, buffer: float = BUFFER
    ) -> int:
        """Return the highest leverage that allows a position of this notional, your exposure, and your guard.

        With a stop: the highest for a *new isolated position* of this notional, opened at mark price beside your
        exposure, whose liquidation price lies beyond the stop. Fees are not included, and the margin may be too small
        for it: see :meth:`size_plan`.

        Args:
            symbol: In any spelling.
            notional: The size of the whole position, with a stop of the new one, in the margin asset; also as
                ``"250k"`` or ``"2m"``. 0: any.
            stop: A price, also as ``"60k"``: below the mark price for a long, above it for a short.
            buffer: The share of the stop's price that lies between it and liquidation, at least; from 0 to below 1.

        Raises:
            InvalidInput: There is none, or an argument cannot be used; the error states why.
            UnexpectedAnswer: The mark price could not be read.
        """
        if stop is not None:
            return self._service.highest_for_stop(symbol, notional, stop, buffer)
        if buffer != BUFFER:
            raise InvalidInput("A buffer needs a stop.", hint="Name the price of the stop: stop=60_000.")
        return self._service.highest(self._service.reader.read_symbol(symbol).outlook, notional)

    # -- changes ----------------------------------------------------------------------------------------------

    def set_leverage(
        self, symbol: str, leverage: int | str, *, notional: float | str = 0.0, progress: Progress | None = None
    ) -> LeverageChange:
        """Change a symbol's initial leverage: read the setting, record the attempt, post it, check the answer.

        Args:
            symbol: In any spelling that :meth:`find_symbol` accepts.
            leverage: ``10``, ``"10"``, ``"10x"``, or ``"max"`` for the highest that fits.
            notional: With "max": the position size that must be allowed; as for :meth:`preview`.
            progress: Called with a sentence about what is being verified, and until when, if no definite answer came.

        Returns:
            The change; its ``status`` is "applied", or "unchanged" if the symbol was at this leverage already.

        Raises:
            UnknownSymbol, InvalidLeverage: Nothing was sent.
            InvalidInput: No leverage fits, or a notional is given without "max". Nothing was sent.
            ChangeNotSent: Nothing was sent: the guard, a read-only account, no connection, the rate limit, an unusable
                journal, an earlier change that is not settled, or a setting that could not be read.
            LeverageRefused: Binance refused it; ``.code`` and ``.hint`` tell why and what to do.
            ChangeNotApplied, ChangeSuperseded: It was sent without a definite answer; ``.change`` has what was read.
            OutcomeUnknown: It was sent without a definite answer, and could not be verified.
        """
        return cast(LeverageChange, self._service.set_leverage(symbol, leverage, progress, notional=notional))

    def preview_margin_type(self, symbol: str, margin_type: str) -> MarginTypePreview:
        """Preview a change of a symbol's margin type; nothing is sent before ``.apply()``.

        Args:
            symbol: In any spelling that :meth:`find_symbol` accepts.
            margin_type: "cross" (also "crossed") or "isolated".

        Raises:
            UnknownSymbol, InvalidInput: The symbol or the margin type is not valid.
            LeverageError: The account could not be read.
        """
        return preview_margin_type(self._service, symbol, margin_type)

    def set_margin_type(self, symbol: str, margin_type: str, *, progress: Progress | None = None) -> MarginTypeChange:
        """Change a symbol's margin type: ``POST /fapi/v1/marginType``.

        The exchange's answer names no symbol, so "applied" includes a read that shows the new margin type. A change to
        cross exposes the whole cross balance: :meth:`preview_margin_type` names it.

        Args:
            symbol: In any spelling that :meth:`find_symbol` accepts.
            margin_type: "cross" (also "crossed") or "isolated".
            progress: As for :meth:`set_leverage`.

        Returns:
            The change; its ``status`` is "applied", or "unchanged" if the symbol had this margin type already.

        Raises:
            UnknownSymbol, InvalidInput: Nothing was sent.
            LeverageRefused: Binance refused it: open orders (-4047), a position (-4048), multi-assets mode (-4168).
            ChangeNotSent, ChangeNotApplied, ChangeSuperseded, OutcomeUnknown: As for :meth:`set_leverage`.
        """
        return cast(MarginTypeChange, self._service.set_margin_type(symbol, margin_type, progress))

    def preview_isolated_margin(
        self, symbol: str, amount: float | str | Decimal, *, position_side: str | None = None
    ) -> IsolatedMarginPreview:
        """Preview a change of a position's isolated margin, with the new liquidation price.

        Args:
            symbol: In any spelling that :meth:`find_symbol` accepts.
            amount: In the margin asset, also as ``"2.5k"``; negative to take margin out. Eight decimal places at most.
            position_side: "long" or "short"; needed in hedge mode if both sides are open.

        Raises:
            UnknownSymbol, InvalidInput: The symbol, the amount or the side is not valid.
            LeverageError: The account could not be read.
        """
        return preview_isolated_margin(self._service, symbol, parse_margin_change(amount), position_side)

    def change_isolated_margin(
        self,
        symbol: str,
        amount: float | str | Decimal,
        *,
        position_side: str | None = None,
        confirm: float | str | Decimal | None = None,
        progress: Progress | None = None,
    ) -> IsolatedMarginChange:
        """Add margin to an isolated position, or take it out: ``POST /fapi/v1/positionMargin``.

        The request is sent once: to send it twice would add the amount twice. Without an answer the exchange's history
        is searched; if it does not show exactly one entry that fits, the outcome is unknown for good.

        Args:
            symbol: In any spelling that :meth:`find_symbol` accepts.
            amount: As for :meth:`preview_isolated_margin`.
            position_side: As for :meth:`preview_isolated_margin`.
            confirm: The amount once more, without a sign. It is needed for more than 25 % of the available margin, or
                of the position's margin if some is taken out.
            progress: As for :meth:`set_leverage`.

        Raises:
            UnknownSymbol, InvalidInput: Nothing was sent.
            ChangeNotSent: As for :meth:`set_leverage`; also if a refusal is expected, or ``confirm`` is needed.
            LeverageRefused: Binance refused it.
            OutcomeUnknown: There was no answer, and the history does not settle it. Nothing is sent again.
        """
        preview = self.preview_isolated_margin(symbol, amount, position_side=position_side)
        if confirm is not None:
            preview = preview.named(confirm)
        return cast(IsolatedMarginChange, preview.apply(progress=progress))

    def plan(self, wanted: Any, *, position_mode: str | None = None, multi_assets: bool | None = None) -> Plan:
        """Plan changes of several symbols. Nothing is sent before ``.apply()``.

        The symbol ``"*"`` stands for every symbol that is trading. A row that names a symbol wins over it in what it
        names: a row with a margin type only leaves the symbol the leverage of ``"*"``. The leverage ``"<=20"`` is an
        upper bound: it lowers a leverage above 20x, never raises one, and sets a leverage that is not set to the lower
        of 20x and the symbol's maximum. A leverage above a symbol's maximum stops its own row only.

        Args:
            wanted: Symbols and leverages (or ``"max"``, ``"<=20"``): a mapping, a Series, a DataFrame with a column
                ``leverage``, a text of several lines ``SYMBOL LEVERAGE`` as in ``%%leverage``, the path of a CSV file,
                targets from :func:`leverage_nb.changes.plan_input.read_lines`, or a function that returns one of these
                from ``account.settings()``. Where it returns ``pandas.NA``, as for a leverage that is not set, the
                symbol is left as it is.
            position_mode: The position mode that the account must be in: "one-way" or "hedge"; None for any.
            multi_assets: Whether the account must be in multi-assets mode; None for any.

        Returns:
            The plan: what would change, and what each row would do after the rows before it.

        Raises:
            InvalidInput: Some rows are invalid; the error names all of them.
            WrongMode: The account is in another mode; also raised by ``.apply()``, before anything is sent.
        """
        expected = ExpectedModes(position_mode, multi_assets)
        by_rule = callable(wanted)
        if by_rule:
            wanted = wanted(self.settings())
        ready = isinstance(wanted, list) and all(isinstance(target, Target) for target in wanted)
        targets = wanted if ready else read_targets(wanted)
        if by_rule:
            import pandas as pd  # settings() has imported it

            targets = [target for target in targets if target.leverage is not pd.NA]
        return make_plan(self._service, targets, expected)

    def policy_plan(self, path: str | Path) -> Plan:
        """Compare the account with a policy in a TOML file: caps on leverage, and margin types. Sends no change.

        A leverage above its cap is lowered to it; none is raised. A leverage that is not set counts as Binance's
        default of 20x. What cannot be changed now, as the margin type of a symbol with a position, is a row with the
        refusal; it does not stop the change of leverage of its symbol.

        Args:
            path: The path of the file: see :func:`leverage_nb.changes.policy.read_policy`.

        Returns:
            The plan: its headline counts the symbols that differ, and ``.apply()`` restores the policy.

        Raises:
            InvalidInput: The file cannot be read, or something in it is invalid; the error names all of it.
        """
        return make_policy_plan(self._service, path)

    def size_plan(self, sizes: Any, use: float = 0.9) -> SizePlan:
        """Find the lowest common leverage at which the margin suffices for positions of these sizes. Sends no change.

        A symbol whose tier, guard or account limit allows less gets the highest that they allow; an open isolated
        position keeps its leverage at least, because it cannot be lowered (-4161). Positions and open orders of all
        symbols count. In cross mode leverage does not move the liquidation price: the aim is a low leverage that fits.

        Args:
            sizes: A mapping or Series from symbol to the notional that the whole position of the symbol shall have, at
                mark price in the margin asset; negative for a short; also as ``"2m"`` and ``"-300k"``. What the symbol
                has now is part of it; its open orders count beside it. In hedge mode it is the size of one side, and
                the other side stays.
            use: The share of the margin that positions and open orders may use; above 0, at most 1. The margin is the
                cross wallet with its profit: of each margin asset, or of all together in multi-assets mode.

        Returns:
            The leverages with the margin after it; ``.fits`` tells whether it suffices. ``.plan()`` makes a Plan of it.

        Raises:
            UnknownSymbol: The venue does not list a symbol.
            InvalidInput: A size or ``use`` cannot be used, a symbol is not trading, or no possible leverage of a symbol
                allows its size.
            UnexpectedAnswer: A position or the available margin of a symbol is unknown, as in Credits Trading Mode.
        """
        return make_size_plan(self._service, sizes, use, self.plan)

    # -- past changes ---------------------------------------------------------------------------------------

    def history(self) -> pd.DataFrame:
        """Return every attempt of this account, oldest first. Open ones past their deadline are verified first.

        Returns:
            See :func:`leverage_nb.changes.history.history_table`.

        Raises:
            JournalUnusable: The journal cannot be used.
        """
        self._service.past.settle(wait=False)
        return self._marked(history_table(self._service.past.attempts()))

    def settle(self, progress: Progress | None = None, *, wait: bool = True) -> list[Change]:
        """Find the outcome of changes without a definite answer, of this session or an earlier one.

        Args:
            progress: Called with a sentence about what is being verified, and until when.
            wait: Whether to wait for changes that may still be executed; otherwise they stay open.

        Returns:
            The changes that now have a final outcome.

        Raises:
            JournalUnusable: The journal cannot be used.
        """
        return self._service.past.settle(progress, wait=wait)

    def preview_undo(self, *, force: bool = False) -> ChangePreview | Plan:
        """Preview the undo of the last change that was applied and not undone; ``.apply()`` undoes it.

        If the change belongs to a plan, the result is a Plan that undoes all of it. Changes that cannot be undone, as
        a raise whose isolated position is still open (-4161), are skipped and named.

        Args:
            force: Whether to skip nothing.

        Raises:
            NothingToUndo: There is no such change.
            ChangePending: Its outcome is not known yet.
            ChangedElsewhere: The leverage was changed since.
            JournalUnusable: The journal cannot be used.
        """
        return preview_undo(self._service, force=force)

    def undo(
        self,
        *,
        force: bool = False,
        confirm: float | str | Decimal | None = None,
        progress: Progress | None = None,
    ) -> Change | Plan:
        """Undo the last change that was applied and not undone. A second call undoes the one before.

        A plan is undone as a whole, apart from rows that were changed since; the returned Plan names them.

        Args:
            force: Send it although a refusal is expected, as -4161 with an open isolated position.
            confirm: The amount of isolated margin, as for :meth:`change_isolated_margin`.
            progress: As for :meth:`set_leverage`; not called for a plan.

        Raises:
            NothingToUndo, ChangePending, ChangedElsewhere: As for :meth:`preview_undo`.
            ChangeNotSent, LeverageRefused, ChangeNotApplied, ChangeSuperseded, OutcomeUnknown: As for
                :meth:`set_leverage`.
        """
        preview = self.preview_undo(force=force)
        if isinstance(preview, Plan):
            return preview.apply(force=force)
        if confirm is not None and isinstance(preview, IsolatedMarginPreview):
            preview = preview.named(confirm)
        return preview.apply(force=force, progress=progress)

    # -- events ---------------------------------------------------------------------------------------------

    def watch(self, callback: Callable[[Event], object]) -> Watch:
        """Call a function with every event of the account, whoever caused it.

        Args:
            callback: Called with each event of ``leverage_nb.binance.events``, in a thread of its own: LeverageEvent,
                AccountEvent, MarginCallEvent, ModeEvent, and StreamEvent when the state of the stream changes. A bound
                method is referenced weakly: the calls end with its object.

        Returns:
            A handle; ``close()`` ends the calls, ``state`` tells whether events have arrived.
        """
        return self._watchers.watch(callback)

    def follow_policy(
        self,
        path: str | Path,
        revert: bool = False,
        on_drift: Callable[[FollowEvent], object] | None = None,
        allow_mainnet: bool = False,
    ) -> PolicyWatch:
        """Follow a policy: alert when a leverage is above its cap, or a margin type is another.

        Changes of this account count like those of other programs. The events of the stream show a change of leverage
        at once; all settings are read besides, every ten minutes, and every minute while the stream is not live. The
        file is read once: an edited file needs a new call.

        Args:
            path: The path of the file: see :func:`leverage_nb.changes.policy.read_policy`.
            revert: Whether a leverage that is changed to one above its cap is lowered to the cap, like any change: on a
                new read, within the guard, recorded, once. What is above its cap at the start is only reported. Nothing
                else is changed: no leverage is raised or set, and no margin type is changed. After two reverts of a
                symbol in this session, that symbol is only reported. A refusal is not repeated.
            on_drift: Called in a thread of its own with each event of ``leverage_nb.changes.follow``: Drift, Reverted,
                NotReverted, FollowProblem. Each has a ``.text``; None prints it.
            allow_mainnet: Whether leverages may be lowered without a question where real money may be at stake.

        Returns:
            A handle, also a context manager; ``close()`` ends it, as closing the account does. ``state`` is that of the
            stream: only while it is "live" are changes seen at once.

        Raises:
            InvalidInput: The file or an argument is invalid, or ``revert`` needs ``allow_mainnet``. Nothing started.
            ReadOnly: ``revert`` is given, and the account is read-only. Nothing started.
        """
        if self.closed:
            raise InvalidInput("This account is closed.", hint="Open it again with connect() to follow a policy.")
        check_follow(self._service, revert, on_drift, allow_mainnet)
        policy = read_policy(path, self.profile, self._tiers)
        follower = PolicyWatch(self._service, self.watch, policy, on_drift, revert=revert, reverts=self._reverts)
        self._followers.add(follower)
        return follower

    def _find_all(self, symbols: str | Iterable[str] | None) -> list[str]:
        """Return Binance's spelling of symbols, each once; none for None."""
        if not (symbols is None or isinstance(symbols, Iterable)):
            raise InvalidInput(
                f"Symbols are a text or a list; got {type(symbols).__name__}.", hint='For example "BTCUSDT".'
            )
        words = (split_words(symbols) or [symbols]) if isinstance(symbols, str) else symbols or ()
        return list(dict.fromkeys(self.find_symbol(word) for word in words))

    def _marked(self, frame: pd.DataFrame) -> pd.DataFrame:
        from leverage_nb.frames import mark  # imports pandas

        return mark(frame, self.venue_label, self.label)


def service_of(account: Account) -> ChangeService:
    """Return an account's service, for magic and panel."""
    return account._service
