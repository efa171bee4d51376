"""What a panel shows: the symbol's data as read, the latest leverage from changes and events, a message."""

from __future__ import annotations

import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import traitlets

from leverage_nb import cards
from leverage_nb.account import Account, service_of
from leverage_nb.binance.events import AccountEvent, Event, LeverageEvent, StreamEvent
from leverage_nb.change import Change
from leverage_nb.changes.preview import ChangePreview
from leverage_nb.errors import JournalUnusable, LeverageError
from leverage_nb.notebook.painter import painter
from leverage_nb.notebook.panel_table import DECIDED_ON, PanelData, PlannedSize, make_plan, make_symbols, make_table
from leverage_nb.notebook.panel_traits import PanelTraits

_BUSY = {"applying", "checking"}


@dataclass(frozen=True)
class _Latest:
    """The latest leverage of a symbol, from a change or an event.

    Attributes:
        leverage: The leverage.
        max_notional: The largest position at it; None if unknown.
        at: When it was set or read.
    """

    leverage: int
    max_notional: float | None
    at: datetime

    def is_newer(self, data: PanelData) -> bool:
        """Whether it is newer than what the panel has read."""
        return data.setting.as_of is not None and self.at > data.setting.as_of


class PanelScreen(PanelTraits):
    """A panel's content, and what changes it: reads, the account's changes and events, the slider.

    Args:
        account: The account.
    """

    def __init__(self, account: Account) -> None:
        self.account = account
        self._service = service_of(account)
        self._version = 0
        # The first is held while drawing, never while waiting for the network. A change takes only the second.
        self._drawing = threading.RLock()
        self._noting = threading.Lock()
        self._latest: dict[str, _Latest] = {}
        self._decided: object = None
        self._reads = self._drawn = self._switched = 0  # numbers of reads, in the order of their start
        self._symbol = ""
        self._planned = PlannedSize()
        self._message_at = 0
        self._at_now = True
        self._own_move = threading.local()  # the panel itself sets the leverage, in this thread
        self._reviewed: ChangePreview | None = None
        self._is_open = False
        super().__init__()

    @traitlets.validate("symbol")
    def _show_symbol(self, proposal: dict[str, Any]) -> str:
        if proposal["value"] != self._symbol:
            self._show(proposal["value"])
        return self._symbol

    @traitlets.validate("leverage")
    def _check_leverage(self, proposal: dict[str, Any]) -> int:
        leverage = int(proposal["value"])
        if self._symbol and not 1 <= leverage <= self._most:
            raise traitlets.TraitError(f"{leverage}x is not from 1x to {self._symbol}'s maximum of {self._most}x.")
        return leverage

    @property
    def _most(self) -> int:
        return self._data.tiers.symbol_max_leverage

    def select(self, symbol: str) -> None:
        """Show another symbol.

        Raises:
            UnknownSymbol: There is no such symbol.
        """
        self._show(symbol)

    def reload(self) -> None:
        """Read tiers and setting of the symbol again. The slider keeps its position if possible."""
        self._show(self.symbol, self.leverage, reload_tiers=True)

    # -- reading and drawing -----------------------------------------------------------------------------------

    def _show(self, symbol: str, leverage: int | None = None, *, reload_tiers: bool = False) -> None:
        """Read a symbol in any spelling and show it, the slider at ``leverage`` or at the setting."""
        data = self._read(symbol, leverage or 0, reload_tiers=reload_tiers, switch=symbol != self._symbol)
        if data is None or self._show_open_change():
            return
        news = self._service.tier_news(data.setting.symbol)
        self._set_message(
            "editing", cards.message(f"Tiers have changed. {' '.join(news)}.", tone="warn") if news else ""
        )

    def _read(
        self, symbol: str, leverage: int | None = None, *, reload_tiers: bool = False, switch: bool = False
    ) -> PanelData | None:
        """Read a symbol and draw it, unless something newer was drawn meanwhile.

        Args:
            symbol: In any spelling.
            leverage: The new position of the slider: 0 for the current leverage, None to keep the position.
            reload_tiers: Whether to read the tiers in any case.
            switch: Whether to show the symbol instead of another. Otherwise a read is dropped if the panel shows
                another symbol by then.

        Returns:
            The data on the screen; None if another symbol is shown.
        """
        with self._drawing:
            self._reads += 1
            number = self._reads
        # No lock here: other threads may draw while this waits for the network.
        view = self._service.read_symbol(symbol, reload_tiers=reload_tiers, mark_price=True)
        symbol = view.outlook.symbol
        with self._drawing:
            shown = symbol == self._symbol
            if number < (self._drawn if shown else self._switched) or not (shown or switch):
                return self._data if shown else None
            if not shown:
                self._planned = PlannedSize()
                self.undo = ""  # it belongs to the symbol before
                self._switched = number
            self._drawn = number
            setting, guard = view.state.settings[symbol], self._service.guard.limit()
            self._draw(PanelData(setting, view.outlook, view.state, view.mark_price or 0.0, guard))
            self.symbols = make_symbols(view.state, self._service.tiers.table())
            self._move(self.leverage if leverage is None else leverage or self._data.start)
            return self._data

    def _move(self, leverage: int) -> None:
        """Set the slider, to the symbol's maximum at most."""
        leverage = min(leverage, self._most)
        self._at_now = leverage == self._data.start
        self._place(leverage)

    def _place(self, leverage: int) -> None:
        """Set the slider without taking that for a move of the user; observers run in the thread that sets it."""
        self._own_move.is_on = True
        try:
            self.leverage = leverage
        finally:
            self._own_move.is_on = False

    def _draw(self, data: PanelData) -> None:
        with self._drawing:  # events arrive in another thread
            latest = self._latest.get(data.setting.symbol)
            if latest is not None and latest.is_newer(data):
                data = self._with_latest(data, latest)
            self._data, self._symbol = data, data.setting.symbol
            table = make_table(data, self._service.forbidden, self._version)
            decided = [table[name] for name in DECIDED_ON], [row["verdict"] for row in table["rows"]]
            # A click counts if only prices have changed since, or the stream repeats a change that is shown already.
            if decided != self._decided:
                self._version += 1
                table["version"] = self._version
            self._decided = decided
            plan = make_plan(data, self._planned)
            with self.hold_sync():  # the browser must not combine the symbol's table with another one's leverage
                self._place(min(self.leverage, len(table["rows"])))
                self.table = table
                self.plan = plan
                self.symbol = self._symbol

    def _set_message(self, state: str, message: str) -> None:
        with self._drawing:
            self._message_at = self.leverage
            self.message = message
            self.state = state
            if state != "reviewing":
                self.reviewed, self.question, self._reviewed = 0, "", None

    def _report(self, change: Change) -> None:
        card = change.card()
        shown = {name for name, _ in change.effects} - {"caution"}  # the panel itself shows them
        rows = [row for row in card.rows if row[0] not in shown]
        state = {"applied": "done", "unchanged": "done", "unknown": "unknown"}.get(change.status, "failed")
        self._set_message(state, cards.message(card.title, card.note, card.tone, rows))

    def _show_open_change(self) -> bool:
        """Show an open change of the symbol, or an unusable journal; return whether there is one."""
        try:
            still = [change for change in self._service.open_changes() if change.symbol == self.symbol]
        except JournalUnusable as exc:
            self._set_message("failed", cards.message(exc.message, exc.hint, "bad"))
            return True
        if still and still[-1].status == "unknown":
            self._report(still[-1])
        return bool(still) and still[-1].status == "unknown"

    # -- changes and events -----------------------------------------------------------------------------------

    def _on_move(self, _event: dict[str, Any]) -> None:
        if getattr(self._own_move, "is_on", False):
            return
        self._at_now = self.leverage == self._data.start
        # Late messages of a busy kernel repeat the value. Only another value clears the message or the question.
        if self.state not in {"applying", "checking", "unknown"} and self.leverage != self._message_at:
            self._set_message("editing", "")

    def _on_change(self, change: Change) -> None:
        """Follow a change that was made through this account.

        Drawing happens in another thread, and only a change of margin type or isolated margin of the symbol that is
        shown is read: in a loop over many symbols an open panel must neither use the rate limit nor slow the loop down.
        """
        if change.status == "applied" and change.kind != "leverage":
            self.undo = ""  # it would undo another change
            if change.symbol == self._symbol:
                painter.draw(self._read_again)
        elif change.status == "applied":
            self.undo = ""
            moment = change.as_of or change.sent_at
            if change.after is not None and moment is not None:
                self._remember(change.symbol, _Latest(change.after, change.max_notional, moment))
        if self.state == "unknown" and change.status != "unknown" and change.symbol == self.symbol:
            self._report(change)

    def _read_again(self) -> None:
        """Read the symbol that is shown; runs in the painter's thread."""
        if self._callbacks is not None and self.state not in _BUSY:
            with suppress(LeverageError):  # the Reload button shows it
                self._read(self._symbol)

    def _on_event(self, event: Event) -> None:
        """Follow an event of the exchange, in the stream's thread, also while a cell runs."""
        if isinstance(event, StreamEvent):
            self.live = event.state
            self.live_reason = event.reason
        elif isinstance(event, LeverageEvent):
            self._remember(event.symbol, _Latest(event.leverage, None, event.at))
        elif isinstance(event, AccountEvent) and event.reason == "MARGIN_TYPE_CHANGE":
            symbol = self.symbol
            if symbol in event.symbols:
                with suppress(LeverageError):  # the Reload button shows it
                    self._read(symbol)

    def _remember(self, symbol: str, latest: _Latest) -> None:
        """Store the latest leverage of a symbol, and draw it if the symbol is shown."""
        with self._noting:
            known = self._latest.get(symbol)
            if known is not None and known.at > latest.at:
                return
            self._latest[symbol] = latest  # also for a read that began earlier and is not drawn yet
        if symbol == self._symbol:
            painter.draw(self._redraw, first=True)

    def _redraw(self) -> None:
        """Draw the latest leverage of the symbol that is shown; runs in the painter's thread."""
        with self._drawing:
            latest = self._latest.get(self._symbol)
            if latest is None or not latest.is_newer(self._data) or self.state in _BUSY or not self._is_open:
                return
            if latest.leverage != self._data.setting.leverage:
                self.undo = ""  # it was changed elsewhere
            self._draw(self._data)
            if self._at_now and self.state in {"editing", "done", "failed"}:
                # The user has not moved the slider: it follows the current leverage.
                self._message_at = latest.leverage
                self._move(latest.leverage)

    def _with_latest(self, data: PanelData, latest: _Latest) -> PanelData:
        """Return the data with a newer leverage; sends no request."""
        symbol = data.setting.symbol
        setting = replace(data.setting, leverage=latest.leverage, max_notional=latest.max_notional, as_of=latest.at)
        state = data.state.with_leverage(symbol, latest.leverage)
        state = replace(state, settings={**state.settings, symbol: setting})
        return replace(data, setting=setting, state=state, outlook=self._service.outlook(state, data.tiers))
