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
from leverage_nb.binance.events import AccountEvent, Event, LeverageEvent, ModeEvent, StreamEvent
from leverage_nb.change import Change
from leverage_nb.changes.account_reader import SymbolView
from leverage_nb.changes.multi_plan import NO_PROFILE
from leverage_nb.changes.preview import ChangePreview
from leverage_nb.changes.report import how_to_verify
from leverage_nb.errors import JournalUnusable, LeverageError
from leverage_nb.notebook.painter import painter, reader
from leverage_nb.notebook.panel_table import (
    NewPositionInput,
    PanelData,
    make_new_position,
    make_symbols,
    make_table,
)
from leverage_nb.notebook.panel_traits import PanelTraits
from leverage_nb.session import session

# A change is being made or verified.
BUSY = {"applying", "checking"}


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


def _is_same(change: Change, unknown: Change) -> bool:
    """Whether a change is the one that was unknown, whose number may not have been readable."""
    same_symbol = change.symbol == unknown.symbol and change.number is not None
    return same_symbol and unknown.number in {change.number, None}


def account_options(account: Account) -> str:
    """Return the options that name an account in a ``%leverage`` line; "" if it is the account in use."""
    if session.connected() is account:
        return ""
    # On the venue in use, a line without a profile means the profile in use.
    same_venue = account.venue == session.venue
    profile = account.profile or (NO_PROFILE if same_venue and session.profile else "")
    return f" --venue {account.venue}{f' --profile {profile}' if profile else ''}"


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
        self._typed = NewPositionInput()
        self._message_at = 0
        self._at_now = True
        self._own_move = threading.local()  # the panel itself sets the leverage, in this thread
        self._asked: ChangePreview | None = None  # the change of the question on the screen
        self._unknown: Change | None = None  # the change of the symbol whose outcome is not known yet
        self._unknown_message = ""
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
        if self._unknown is not None:  # another process has verified it
            self._report_known()
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
        view = self._service.reader.read_symbol(symbol, reload_tiers=reload_tiers, mark_price=True)
        symbol = view.outlook.symbol
        with self._drawing:
            shown = symbol == self._symbol
            if number < (self._drawn if shown else self._switched) or not (shown or switch):
                return self._data if shown else None
            if not shown:
                self._typed = NewPositionInput()
                self.undo = ""  # it belongs to the symbol before
                self._unknown = None
                self._switched = number
            self._drawn = number
            setting, guard = view.state.settings[symbol], self._service.guard.limit()
            self._draw(PanelData(setting, view.outlook, view.state, view.mark_price or 0.0, guard, setting.as_of))
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
            # A click counts as long as a preview would show the same, as if only prices have changed, or the stream
            # repeats a change that is shown already.
            view = SymbolView(data.outlook, data.state)
            facts = self._service.preview_at(view, data.start).facts
            rows = [(row["verdict"], row["cap"]) for row in table["rows"]]
            decided = self._symbol, facts, rows, table["regions"]
            if decided != self._decided:
                self._version += 1
                table["version"] = self._version
            self._decided = decided
            new_position = make_new_position(data, self._typed)
            with self.hold_sync():  # the browser must not combine the symbol's table with another one's leverage
                self._place(min(self.leverage, len(table["rows"])))
                self.table = table
                self.new_position = new_position
                self.symbol = self._symbol
                self.options = account_options(self.account)

    def _set_message(self, state: str, message: str) -> None:
        """Show a message.

        While the outcome of a change is not known, only :meth:`_report` and another symbol take its message away:
        other messages are shown below it.
        """
        with self._drawing:
            if self._unknown is not None and state not in BUSY:
                state, message = "unknown", f"{self._unknown_message}{message}"
            with self.hold_sync():  # a table with the old leverage must not be shown beside the report of the new one
                ends = self.state in BUSY and state not in BUSY
                self._message_at = self.leverage
                self.message = message
                self.state = state
                if state != "confirming":
                    self.question, self._asked = {}, None
                if ends:
                    self._redraw()

    def _report(self, change: Change) -> None:
        """Show the outcome of a change."""
        card = change.card()
        shown = {name for name, _ in change.effects} - {"caution"}  # the panel itself shows them
        rows = [row for row in card.rows if row[0] not in shown]
        note = f"{card.note} {self._unknown_hint(change)}".strip()
        self._show_outcome(change, cards.message(card.title, note, card.tone, rows))

    def _show_outcome(self, change: Change, message: str) -> None:
        """Show a message about the outcome of a change; if it is not final, as long as it is not known."""
        with self._drawing:
            is_open = change.status == "unknown" and not change.is_final and change.symbol == self._symbol
            self._unknown, self._unknown_message = (change, message) if is_open else (None, "")
            if is_open:
                self._set_message("unknown", "")
            else:
                self._set_message("done" if change.status in {"applied", "unchanged"} else "failed", message)

    def _show_open_change(self) -> bool:
        """Show an open change of the symbol, or an unusable journal; return whether there is one."""
        try:
            still = [change for change in self._service.past.open() if change.symbol == self.symbol]
        except JournalUnusable as exc:
            self._set_message("failed", cards.message(exc.message, exc.hint, "bad"))
            return True
        is_unknown = bool(still) and still[-1].status == "unknown"
        if is_unknown:
            self._report(still[-1])
        return is_unknown

    def _report_known(self) -> None:
        """Show the outcome of the change that was unknown, as the journal has it."""
        if self._unknown is None:
            return
        number = self._unknown.number
        own = [attempt for attempt in self._service.past.attempts() if attempt.symbol == self._symbol]
        found = [attempt for attempt in own if attempt.number == number] or own[-1:]
        if found:
            self._report(self._service.past.change_of(found[-1]))

    @staticmethod
    def _unknown_hint(change: Change) -> str:
        """Say what to do about a change with an unknown outcome; "" about any other."""
        if change.status != "unknown":
            return ""
        if change.is_final:
            return how_to_verify(change)
        return f"Press Check again to verify it. Until it is settled, no other change of {change.symbol} is sent."

    # -- changes and events -----------------------------------------------------------------------------------

    def _on_move(self, _event: dict[str, Any]) -> None:
        if getattr(self._own_move, "is_on", False):
            return
        self._at_now = self.leverage == self._data.start
        # Late messages of a busy kernel repeat the value. Only another value clears the message or the question.
        if self.state not in BUSY and self.leverage != self._message_at:
            self._set_message("editing", "")

    def _on_change(self, change: Change) -> None:
        """Follow a change that was made through this account.

        Drawing happens in another thread, and only a change of margin type or isolated margin of the symbol that is
        shown is read: in a loop over many symbols an open panel must neither use the rate limit nor slow the loop down.
        """
        if change.status == "applied" and change.kind != "leverage":
            self.undo = ""  # it would undo another change
            if change.symbol == self._symbol:
                reader.draw(self._read_again, first=True)
        elif change.status == "applied":
            self.undo = ""
            moment = change.as_of or change.sent_at
            if change.after is not None and moment is not None:
                self._remember(change.symbol, _Latest(change.after, change.max_notional, moment))
        unknown = self._unknown
        if unknown is not None and change.is_final and _is_same(change, unknown):
            self._report(change)

    def _read_again(self) -> None:
        """Read the symbol that is shown; runs in the reader's thread."""
        if self._is_open and self.state not in BUSY:  # the end of a change is followed by a read
            with suppress(LeverageError):  # the Reload button shows it
                self._read(self._symbol)

    def _on_event(self, event: Event) -> None:
        """Follow an event of the exchange, in the stream's thread, also while a cell runs."""
        if isinstance(event, StreamEvent):
            self.live = event.state
            self.live_reason = event.reason
        elif isinstance(event, LeverageEvent) and event.leverage is not None:
            self._remember(event.symbol, _Latest(event.leverage, None, event.at))
        elif isinstance(event, ModeEvent) or self._concerns(event):
            reader.draw(self._read_again)

    def _concerns(self, event: Event) -> bool:
        """Whether an event is about the symbol on the screen, or about its margin asset."""
        if isinstance(event, LeverageEvent):
            return event.symbol == self._symbol
        if not isinstance(event, AccountEvent):
            return False
        return self._symbol in event.symbols or self._data.setting.margin_asset in event.assets

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
            if latest is None or not latest.is_newer(self._data) or self.state in BUSY or not self._is_open:
                return
            if latest.leverage != self._data.setting.leverage:
                self.undo = ""  # it was changed elsewhere
            self._draw(self._data)
            self._at_now = self._at_now or self.leverage == self._data.start
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
        return replace(data, setting=setting, state=state, outlook=self._service.reader.outlook(state, data.tiers))
