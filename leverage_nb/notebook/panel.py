"""LeveragePanel: the panel's state in the kernel, and the messages of the browser."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import traitlets
from IPython import get_ipython
from IPython.display import display

from leverage_nb import cards
from leverage_nb.account import Account, service_of
from leverage_nb.binance.events import AccountEvent, Event, LeverageEvent, StreamEvent
from leverage_nb.binance.watch import Watch
from leverage_nb.change import LeverageChange
from leverage_nb.changes.plan import Plan
from leverage_nb.changes.preview import Preview
from leverage_nb.changes.service import SymbolView
from leverage_nb.errors import (
    ChangeInterrupted,
    ChangeNotSent,
    InvalidInput,
    JournalUnusable,
    LeverageError,
    LeverageRefused,
    NotConfirmed,
    OutcomeUnknown,
)
from leverage_nb.formatting import times
from leverage_nb.notebook.open_panels import Outputs, open_panels
from leverage_nb.notebook.painter import painter
from leverage_nb.notebook.panel_table import (
    DECIDED_ON,
    PanelData,
    PlannedSize,
    make_plan,
    make_symbols,
    make_table,
    parse_size,
)
from leverage_nb.notebook.panel_traits import PanelTraits
from leverage_nb.notebook.twin import draw_chart, make_twin
from leverage_nb.session import session

_BUSY = {"applying", "checking"}
_CHECK = "Check again reads the setting. Until the outcome is known, no other change of this symbol is sent."


def _undo_label(back: Preview) -> str:
    """Return the button's text. A click sends it back, so that only the change on the screen is undone."""
    return f"Undo {times(back.before)} → {back.after}x"


def _panel_changed(symbol: object) -> NotConfirmed:
    return NotConfirmed(
        f"The panel no longer shows the {symbol} that you clicked on. Nothing was sent.",
        hint="Check what it shows now, then press Apply again.",
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""


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


class _Callbacks:
    """Passes changes and events to a panel. The account references it weakly, so the calls end when the panel drops it.

    Args:
        on_change: Called with every change.
        on_event: Called with every event.
    """

    def __init__(self, on_change: Callable[[LeverageChange], None], on_event: Callable[[Event], None]) -> None:
        self._on_change = on_change
        self._on_event = on_event

    def change(self, change: LeverageChange) -> None:
        self._on_change(change)

    def event(self, event: Event) -> None:
        self._on_event(event)


class LeveragePanel(PanelTraits):
    """Choose a symbol, see what each leverage would do, move the slider, apply.

    One widget. It follows the slider in the browser, also while a cell runs. Apply sends the symbol and leverage on the
    screen, with the version of the table that shows them. If leverages or verdicts have changed meanwhile, nothing is
    sent.

    A panel replaces the one that an earlier run of its cell displayed. At most 8 panels of one account are open; the
    oldest one is closed and says so.

    Args:
        account: The account; the one that ``%leverage`` is using if None.
        symbol: The first symbol, in any spelling that ``Account.find_symbol`` accepts.

    Attributes:
        account: As given.
        reading_time: Seconds for which a question must be on the screen before an answer counts.

    Raises:
        UnknownSymbol: The venue does not list the symbol.
        LeverageError: Tiers or setting could not be read.
    """

    reading_time = 0.5

    def __init__(self, account: Account | None = None, symbol: str = "BTCUSDT") -> None:
        self.account = account or session.current()
        self._service = service_of(self.account)
        self._prefix = f"twin-{uuid.uuid4().hex}"
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
        self._reviewed: Preview | None = None
        self._asked_at = 0.0
        self._chart = ""
        self.outputs = Outputs()
        super().__init__()
        try:
            self._show(symbol)
        except BaseException:
            super().close()
            raise
        self.on_msg(self._receive)
        self.observe(self._showing_errors(self._on_move), "leverage")
        self._callbacks: _Callbacks | None = _Callbacks(self._on_change, self._on_event)
        self._service.add_listener(self._callbacks.change)
        self._watch: Watch | None = self.account.watch(self._callbacks.event)
        open_panels.open(self)
        if (events := getattr(get_ipython(), "events", None)) is not None:
            events.register("post_run_cell", painter.wait)  # repeated calls register it once

    @property
    def whose(self) -> tuple[str, str]:
        """The panel's venue and account."""
        return self.account.venue, self.account.label

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

    def close(self, reason: str = "") -> None:
        """Close the panel, and stop following the account. Its last content stays below its cell.

        Args:
            reason: The reason to show instead, with the advice to run the cell again.
        """
        if self not in open_panels:  # ipywidgets also closes widgets whose constructor failed
            super().close()
            return
        open_panels.remove(self)
        if self._watch is not None:
            self._watch.close()
        self._callbacks = self._watch = None
        with self._drawing:
            if reason:
                self.message = cards.message(f"{reason}.", "Run its cell again to use it.", "warn")
                self.outputs.update(self._twin(reason))
            self.outputs.clear()
        self.layout.close()  # ipywidgets references every open widget, and through its handlers the panel
        super().close()

    def select(self, symbol: str) -> None:
        """Show another symbol.

        Raises:
            UnknownSymbol: There is no such symbol.
        """
        self._show(symbol)

    def reload(self) -> None:
        """Read tiers and setting of the symbol again. The slider keeps its position if possible."""
        self._show(self.symbol, self.leverage, reload_tiers=True)

    # -- messages of the browser --------------------------------------------------------------------------------

    def _receive(self, _panel: Any, content: dict[str, Any], _buffers: Any) -> None:
        handle = {
            "apply": self._apply,
            "confirm": self._confirm,
            "cancel": lambda _: self._set_message("editing", ""),
            "check": lambda _: self._check(),
            "undo": self._undo,
            "reload": lambda _: self.reload(),
            "size": self._resize,
            "select": lambda content: self._show(str(content.get("to"))),
        }.get(str(content.get("kind")))
        if handle is None:
            return
        with self._drawing:
            # The click's leverage may arrive before that of the slider: the browser sends a trait again only once the
            # kernel has handled its value before.
            if content.get("symbol") == self._symbol and content.get("leverage") in range(1, self._most + 1):
                self._move(int(content["leverage"]))
        try:
            self._showing_errors(handle)(content)
        finally:
            self.answered = max(self.answered, int(content.get("click", 0)))

    def _apply(self, content: dict[str, Any]) -> None:
        data, leverage = self._as_rendered(content)
        symbol = data.setting.symbol
        preview = self._previewed(data, leverage)
        if not self.account.asks_first:
            self._change(preview)
            return
        if not preview.sends:
            self._change(preview)  # raises the reason
            return
        now = self._read(symbol)  # the question is about the current state
        if now is None:
            raise _panel_changed(symbol)
        fresh = self._previewed(now, leverage)
        if not preview.still_holds(fresh):
            what = f"{symbol} has changed since it was shown."
            if fresh.before != preview.before:
                what = f"{symbol} is at {times(fresh.before)}, not {times(preview.before)} as shown."
            raise NotConfirmed(f"{what} Nothing was sent.", hint=f"Check the new preview: {fresh.headline}.")
        self._ask(fresh)

    def _ask(self, preview: Preview) -> None:
        """Ask for a confirmation of a change."""
        self._reviewed = preview
        self.reviewed = preview.after
        step = f"change {preview.symbol} from {times(preview.before)} to {preview.after}x?"
        question = f"{self.account.venue_label.upper()}, {self.account.label}: {step} {preview.headline}."
        notes = [_sentence(preview.caution), *preview.warnings, "Confirm to send, or choose another leverage."]
        self._set_message("reviewing", cards.message(question, " ".join(filter(None, notes)), "warn"))
        self._asked_at = time.monotonic()

    def _confirm(self, content: dict[str, Any]) -> None:
        data, leverage = self._as_rendered(content)
        reviewed = self._reviewed
        shown = data.setting.symbol, leverage
        if self.state != "reviewing" or reviewed is None or (reviewed.symbol, reviewed.after) != shown:
            raise NotConfirmed(
                "The change you confirmed is no longer the one on screen. Nothing was sent.", hint="Press Apply again."
            )
        if time.monotonic() - self._asked_at < self.reading_time:
            raise NotConfirmed(
                "The confirmation came before the question could be read. Nothing was sent.", hint="Press Apply again."
            )
        self._change(reviewed.confirmed())

    def _undo(self, content: dict[str, Any]) -> None:
        """Undo the change that was just reported, if it is still the last one."""
        data, _ = self._as_rendered(content)
        symbol = data.setting.symbol
        preview = self.account.preview_undo()
        on_screen = symbol, content.get("label")
        if isinstance(preview, Plan) or (preview.symbol, _undo_label(preview)) != on_screen:
            self.undo = ""
            raise NotConfirmed(
                "Another change was made since. Nothing was sent.", hint="To see it: %leverage --undo -n"
            )
        if preview.verdict == "refused" and not preview.guard:
            raise NotConfirmed(
                f"{preview.headline}. Nothing was sent.", hint="To send it all the same: %leverage --undo --force"
            )
        if not self.account.asks_first or preview.guard:
            self._move(preview.after)
            self._change(preview)
            return
        if self._read(symbol, preview.after) is None:  # the question is about the current state
            raise _panel_changed(symbol)
        if self.leverage != preview.after:
            raise NotConfirmed(f"{preview.after}x cannot be chosen now. Nothing was sent.", hint="Press Reload.")
        self._ask(preview)

    def _previewed(self, data: PanelData, leverage: int) -> Preview:
        """Return the preview of what is on the screen."""
        return self._service.preview_at(SymbolView(data.outlook, data.state), leverage)

    def _as_rendered(self, content: dict[str, Any]) -> tuple[PanelData, int]:
        """Return the data and the leverage on the screen at the click, if they are still shown.

        The kernel's own copy counts, because the browser can write to its copy of the table.
        """
        with self._drawing:
            if (content.get("symbol"), content.get("version")) != (self._symbol, self._version):
                raise _panel_changed(content.get("symbol"))
            return self._data, int(content["leverage"])

    def _change(self, preview: Preview) -> None:
        offered, self.undo = self.undo, ""
        self._set_message("applying", "")
        try:
            change = preview.apply(progress=self._show_progress)
        except (ChangeNotSent, LeverageRefused):
            self.undo = offered  # the change before can still be undone
            raise
        finally:
            with suppress(LeverageError):  # show the current setting, whatever the outcome
                self._read(self.symbol)
        self._report(change)
        self._offer_undo(change, preview)

    def _offer_undo(self, change: LeverageChange, made: Preview) -> None:
        """Offer to undo a change that was just made, unless that would be refused or the change was an undo itself."""
        before = change.before
        if change.status != "applied" or made.undoes is not None or before is None or before > self._most:
            return
        back = self._previewed(self._data, before)
        if back.sends:
            self.undo = _undo_label(back)

    def _report(self, change: LeverageChange) -> None:
        card = change.card()
        shown = {name for name, _ in change.effects} - {"caution"}  # the panel itself shows them
        rows = [row for row in card.rows if row[0] not in shown]
        state = {"applied": "done", "unchanged": "done", "unknown": "unknown"}.get(change.status, "failed")
        self._set_message(state, cards.message(card.title, card.note, card.tone, rows))

    def _show_progress(self, text: str) -> None:
        self._set_message("checking", cards.message(f"{text[:1].upper()}{text[1:]}.", tone="warn"))

    def _check(self) -> None:
        """Verify changes without a definite answer."""
        found = [change for change in self.account.settle(self._show_progress) if change.symbol == self.symbol]
        with suppress(LeverageError):  # the report of the change is shown all the same
            self._read(self.symbol)
        if not self._show_open_change():
            self._report(found[-1]) if found else self._set_message("editing", "")

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

    def _resize(self, content: dict[str, Any]) -> None:
        """Show a new position of another planned size."""
        if content.get("symbol") != self.symbol:
            return  # it was typed for another symbol
        with self._drawing:
            planned = parse_size(str(content.get("text", "")), content.get("unit"))
            if planned.text and not self._data.mark_price:
                raise InvalidInput(f"The mark price of {self.symbol} could not be read.", hint="Press Reload.")
            self.plan = make_plan(self._data, planned)
            self._planned = planned
        self._set_message("editing", "")

    # -- changes and events -----------------------------------------------------------------------------------

    def _on_move(self, _event: dict[str, Any]) -> None:
        if getattr(self._own_move, "is_on", False):
            return
        self._at_now = self.leverage == self._data.start
        # Late messages of a busy kernel repeat the value. Only another value clears the message or the question.
        if self.state not in {"applying", "checking", "unknown"} and self.leverage != self._message_at:
            self._set_message("editing", "")

    def _on_change(self, change: LeverageChange) -> None:
        """Follow a change that was made through this account.

        Nothing is read, and drawing happens in another thread: in a loop over many symbols an open panel must neither
        use the rate limit nor slow the loop down.
        """
        if change.status == "applied":
            self.undo = ""  # it would undo another change
            moment = change.as_of or change.sent_at
            if change.after is not None and moment is not None:
                self._remember(change.symbol, _Latest(change.after, change.max_notional, moment))
        if self.state == "unknown" and change.status != "unknown" and change.symbol == self.symbol:
            self._report(change)

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
            painter.draw(self._redraw)

    def _redraw(self) -> None:
        """Draw the latest leverage of the symbol that is shown; runs in the painter's thread."""
        with self._drawing:
            latest = self._latest.get(self._symbol)
            if latest is None or not latest.is_newer(self._data) or self.state in _BUSY or self._callbacks is None:
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

    def _showing_errors(self, handler: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
        """Show errors of a callback in the panel; ipywidgets would only log them."""

        def run(content: dict[str, Any]) -> None:
            try:
                handler(content)
            except ChangeInterrupted as exc:
                if exc.change.status == "unknown":
                    self._set_message("unknown", cards.message(exc.message, _CHECK, "warn"))
                else:
                    self._set_message("failed", cards.message(exc.message, exc.hint, "warn"))
            except OutcomeUnknown as exc:
                self._set_message(
                    "unknown",
                    cards.message(exc.message, _CHECK, "warn"),
                )
            except LeverageError as exc:
                text, hint = (exc.headline, "") if exc.rows else (exc.message, exc.hint)
                self._set_message("failed", cards.message(text, hint, "bad", exc.rows))
            except KeyboardInterrupt:
                self._set_message("failed", cards.message("Interrupted.", "Reload shows the current setting.", "warn"))
            except Exception as exc:  # noqa: BLE001 - the message area is the last place to show it
                text = f"{type(exc).__name__} in the panel. account.setting() shows the current setting."
                self._set_message(
                    "failed", cards.message(text, "This is a bug in leverage_nb. Please report it.", "bad")
                )

        return run

    # -- showing ----------------------------------------------------------------------------------------------

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
            painter.draw(self._draw_twin)

    def _draw_twin(self) -> None:
        """Draw the twin's chart, which takes matplotlib some time; runs in the painter's thread."""
        data = self._data
        chart = draw_chart(data, self._prefix)
        with self._drawing:
            if data is self._data and self._callbacks is not None:
                self._chart = chart
                self.outputs.update(self._twin())

    def _twin(self, ended: str = "") -> dict[str, str]:
        html, text = make_twin(self._data, self._chart, *([ended] if ended else []))
        return {"text/html": html, "text/plain": text}

    def _set_message(self, state: str, message: str) -> None:
        with self._drawing:
            self._message_at = self.leverage
            self.message = message
            self.state = state
            if state != "reviewing":
                self.reviewed, self._reviewed = 0, None

    def _ipython_display_(self) -> None:
        """Show the panel, and below it the static twin that a reopened notebook shows."""
        if self not in open_panels:
            text, hint = "This panel is closed.", "To open another: lev.LeveragePanel()"
            display({"text/html": cards.message(text, hint, "warn"), "text/plain": f"{text} {hint}"}, raw=True)
            return
        if self.outputs:  # displayed before: its content may be old
            self._showing_errors(lambda _: self.reload())({})
        view = {"version_major": 2, "version_minor": 0, "model_id": self.model_id}
        display(
            {"application/vnd.jupyter.widget-view+json": view, "text/plain": f"Leverage panel of {self.symbol}"},
            raw=True,
        )
        self.outputs.add(lambda: display(self._twin(), raw=True, display_id=True))
        open_panels.open(self)
        painter.draw(self._draw_twin)
