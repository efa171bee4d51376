"""LeveragePanel: symbol, slider, state. It holds no rule of its own: what may be changed, Account decides."""

from __future__ import annotations

import atexit
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import ipywidgets
import traitlets
from IPython import get_ipython
from IPython.display import display

from leverage_nb import cards
from leverage_nb.account import Account
from leverage_nb.binance.events import AccountEvent, Event, LeverageEvent, StreamEvent
from leverage_nb.binance.watch import Watch
from leverage_nb.change import LeverageChange
from leverage_nb.changes.plan import Plan
from leverage_nb.changes.preview import Preview
from leverage_nb.errors import (
    ChangeInterrupted,
    ChangeNotSent,
    JournalUnusable,
    LeverageError,
    LeverageRefused,
    NotConfirmed,
    OutcomeUnknown,
)
from leverage_nb.notebook.panel_view import DECIDED_ON, LadderView, Look, draw_chart, make_table, make_twin
from leverage_nb.risk.ladder import make_ladder
from leverage_nb.risk.user_input import parse_notional
from leverage_nb.session import current

STATES = ("editing", "reviewing", "applying", "checking", "unknown", "done", "failed")

# So many panels of one account are open at a time, and a panel is updated in so many outputs.
MOST_OPEN = 8

_BUSY = {"applying", "checking"}
_TOO_MANY = f"This panel was closed, because {MOST_OPEN} newer panels of the account are open"
_CHECK = "Check again asks the exchange. Until it is known nothing else is sent."


def _undo_label(back: Preview) -> str:
    """What the button says; a click brings it back, so that what is undone is what was on the screen."""
    return f"Undo: {back.symbol} {back.before}x → {back.after}x"


def _moved_on(symbol: object) -> NotConfirmed:
    return NotConfirmed(
        f"The panel has moved on from {symbol}: nothing was sent.",
        hint="Look at what it shows now, then press Apply again.",
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""


@dataclass(frozen=True)
class _Latest:
    """What a change or an event has shown of a symbol.

    Attributes:
        leverage: What it is at.
        max_notional: The largest position at it, where it is known.
        at: When.
    """

    leverage: int
    max_notional: float | None
    at: datetime

    def is_newer(self, look: Look) -> bool:
        """Whether it was shown after a read of the symbol was sent."""
        return look.setting.as_of is not None and self.at > look.setting.as_of


class _Ear:
    """Calls a panel for the account, which holds its listeners weakly: the calls end when the panel lets go of this.

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


class _Painter:
    """Draws for all panels in one thread, so that no change waits for a panel. The thread ends when all is drawn.

    Python waits for it at its end: a thread that is ended inside matplotlib's C++ aborts the process.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Callable[[], None]] = deque()
        self._thread: threading.Thread | None = None
        self._ended = False
        atexit.register(self._end)

    def draw(self, job: Callable[[], None]) -> None:
        """Draw soon, and once for all calls until then."""
        with self._lock:
            if job not in self._waiting and not self._ended:
                self._waiting.append(job)
            alive = self._thread is not None and self._thread.is_alive()  # not where Ctrl-C came before its start
            if self._waiting and not alive:
                self._thread = threading.Thread(target=self._run, name="leverage_nb painter", daemon=True)
                self._thread.start()

    def wait(self, _result: object = None) -> None:
        """Wait until all is drawn: at the end of a cell, so that what is saved or exported shows it."""
        with self._lock:
            thread = self._thread
        if thread is not None and thread.ident is not None:
            thread.join(timeout=5)

    def _run(self) -> None:
        while (job := self._next()) is not None:
            with suppress(Exception):  # one panel that cannot be drawn must not keep others from it
                job()
            del job  # the panel may be closed before the next

    def _next(self) -> Callable[[], None] | None:
        with self._lock:
            if self._waiting:
                return self._waiting.popleft()
            self._thread = None
            return None

    def _end(self) -> None:
        with self._lock:
            self._ended = True
            self._waiting.clear()
        self.wait()


_painter = _Painter()
_open: list[LeveragePanel] = []  # the oldest first


def _this_cell() -> tuple[str, str]:
    """The id of the cell that is running, and of this run; ids of their own where the front end sends none."""
    try:
        parent = get_ipython().get_parent()
        return str(parent["metadata"]["cellId"]), str(parent["header"]["msg_id"])
    except (AttributeError, KeyError, TypeError):  # no kernel, or a front end that does not say
        return uuid.uuid4().hex, ""


def _make_room(newest: LeveragePanel) -> None:
    """Close the panels that a new one takes the place of: those of its cell's earlier runs, the oldest of too many."""
    cell, run = _this_cell()
    for panel in [panel for panel in _open if panel is not newest]:
        panel._leave(cell, run)
    whose = newest.account.venue, newest.account.label
    for panel in [panel for panel in _open if (panel.account.venue, panel.account.label) == whose][:-MOST_OPEN]:
        panel.close(_TOO_MANY)


class LeveragePanel(ipywidgets.VBox):
    """Pick a symbol, see its tiers, move the slider, apply.

    The slider drives the chart inside the browser, so both stay live while a cell runs. Apply sends the symbol
    and leverage that the browser shows, with the version of the table they were shown from; if the panel has
    moved on meanwhile, nothing is sent.

    A panel takes the place of the one that an earlier run of its cell displayed. Of one account at most 8 panels are
    open: the oldest is closed, and says so.

    Args:
        account: Whose leverage; the one ``%leverage`` is using when None.
        symbol: Where to start, in any spelling ``Account.find_symbol`` takes.

    Attributes:
        account: As given.
        symbol: The symbol on show.
        state: What it is doing, one of ``STATES``.
        picker: The box for another symbol (ipywidgets Combobox).
        slider: The leverage (ipywidgets IntSlider), from 1 to the most that can be chosen.
        view: Chart, figures and buttons, in the browser.
        reading_time: Seconds for which a question must have been shown before an answer counts.

    Raises:
        UnknownSymbol: There is no such symbol.
        LeverageError: Tiers or setting could not be read.
    """

    state = traitlets.Enum(STATES, default_value="editing")
    """"editing", "reviewing" (a venue that asks first awaits a confirmation), "applying", "checking" (no definite
    answer came: the exchange is being asked), "unknown" (nor could it be looked up), "done", "failed"."""

    reading_time = 0.5

    def __init__(self, account: Account | None = None, symbol: str = "BTCUSDT") -> None:
        self.account = account or current()
        self.view = LadderView()
        self.picker = ipywidgets.Combobox(description="symbol", continuous_update=False, ensure_option=False)
        self.slider = ipywidgets.IntSlider(
            description="leverage",
            min=1,
            max=1,
            readout=False,
            layout=ipywidgets.Layout(width="100%", max_width="46em"),
        )
        self.picker.add_class("leverage-picker")
        self.slider.add_class("leverage-slider")
        self._page = f"panel-{uuid.uuid4().hex}"
        self._version = 0
        # Whoever draws holds the first, and nobody waits for the network with it; a change takes the second alone.
        self._drawing = threading.RLock()
        self._noting = threading.Lock()
        self._latest: dict[str, _Latest] = {}
        self._reads = self._drawn = self._switched = 0  # numbers of reads, by when they began
        self._symbol = ""
        self._notional = 0.0
        self._said_at = 0
        self._at_now = True
        self._reviewed: Preview | None = None
        self._asked_at = 0.0
        self._twins: list[tuple[str, str, Any]] = []  # where each is: the cell, its run, and the output's handle
        self._show(self.account.find_symbol(symbol))
        self.picker.options = self.account.symbols()
        self._link = ipywidgets.jslink((self.slider, "value"), (self.view, "leverage"))
        self.picker.observe(self._guarded(self._pick), "value")
        self.slider.observe(self._guarded(self._move), "value")
        self.view.on_msg(self._receive)
        super().__init__([ipywidgets.HBox([self.picker]), self.slider, self.view])
        self._ear: _Ear | None = _Ear(self._changed, self._hear)
        self.account.tell_changes_to(self._ear.change)
        self._watch: Watch | None = self.account.watch(self._ear.event)
        _open.append(self)
        _make_room(self)
        if (events := getattr(get_ipython(), "events", None)) is not None:
            events.register("post_run_cell", _painter.wait)  # once, however often it is said

    @property
    def symbol(self) -> str:
        """The symbol on show."""
        return self._symbol

    def close(self, reason: str = "") -> None:
        """Take the panel away, and follow the account no longer. What it showed last stays below its cell.

        Args:
            reason: Why, to be shown in its place, with the advice to run the cell again.
        """
        if self not in _open:  # ipywidgets closes what was never finished, too
            super().close()
            return
        _open.remove(self)
        if self._watch is not None:
            self._watch.close()
        self._ear = self._watch = None
        with self._drawing:
            if reason:
                self.view.message = cards.message(f"{reason}.", "Run its cell again to use it.", "warn")
                self._twin = make_twin(self._look, draw_chart(self._look), reason)
                self._update_twins()
            self._twins = []
        # ipywidgets keeps every widget that is open, and through its handlers the panel.
        for widget in (self._link, *self.children[0].children, *self.children):
            for part in (widget, getattr(widget, "style", None), getattr(widget, "layout", None)):
                if part is not None:
                    part.close()
        self.layout.close()
        super().close()

    def _leave(self, cell: str, run: str) -> None:
        """Leave a cell that runs again: what it displayed is gone, and so is the panel if it is nowhere else."""
        elsewhere = [twin for twin in self._twins if twin[0] != cell or twin[1] == run]
        if self._twins and not elsewhere:
            self.close()
        self._twins = elsewhere

    def select(self, symbol: str) -> None:
        """Show another symbol.

        Raises:
            UnknownSymbol: There is no such symbol.
        """
        self._show(self.account.find_symbol(symbol))

    def reload(self) -> None:
        """Read tiers and setting of the symbol on show again; the slider stays where it is, if it can."""
        self._show(self.symbol, self.slider.value, anew=True)

    # -- what the browser sends -------------------------------------------------------------------------------

    def _receive(self, _view: Any, content: dict[str, Any], _buffers: Any) -> None:
        handle = {
            "apply": self._apply,
            "confirm": self._confirm,
            "cancel": lambda _: self._say("editing", ""),
            "check": lambda _: self._check(),
            "undo": self._undo,
            "reload": lambda _: self.reload(),
            "notional": self._resize,
        }.get(str(content.get("kind")))
        if handle is None:
            return
        try:
            self._guarded(handle)(content)
        finally:
            self.view.answered = max(self.view.answered, int(content.get("click", 0)))

    def _apply(self, content: dict[str, Any]) -> None:
        look, leverage = self._as_rendered(content)
        symbol = look.setting.symbol
        preview = self._previewed(look, leverage)
        if not self.account.asks_first:
            self._change(preview)
            return
        self.account.check_guard(symbol, leverage)
        now = self._read(symbol)  # nobody is asked about what has moved meanwhile
        if now is None:
            raise _moved_on(symbol)
        fresh = self._previewed(now, leverage)
        if not preview.still_holds(fresh):
            at = f"is at {fresh.before}x, not {preview.before}x" if fresh.before != preview.before else "does not stand"
            raise NotConfirmed(f"{symbol} {at} as was shown: nothing was sent.", hint=f"Look again: {fresh.headline}.")
        self._ask(fresh)

    def _ask(self, preview: Preview) -> None:
        """Have a change confirmed before it is sent."""
        self._reviewed = preview
        self.view.reviewed = preview.after
        step = f"change {preview.symbol} from {preview.before}x to {preview.after}x?"
        question = f"{self.account.venue_label.upper()}, {self.account.label}: {step} {preview.headline}."
        notes = [_sentence(preview.caution), *preview.warnings, "Confirm to send, or choose another leverage."]
        self._say("reviewing", cards.message(question, " ".join(filter(None, notes)), "warn"))
        self._asked_at = time.monotonic()

    def _confirm(self, content: dict[str, Any]) -> None:
        look, leverage = self._as_rendered(content)
        reviewed = self._reviewed
        shown = look.setting.symbol, leverage
        if self.state != "reviewing" or reviewed is None or (reviewed.symbol, reviewed.after) != shown:
            raise NotConfirmed("This was not what had been reviewed: nothing was sent.", hint="Press Apply again.")
        if time.monotonic() - self._asked_at < self.reading_time:
            raise NotConfirmed(
                "The confirmation came before the question could be read. Nothing was sent.", hint="Press Apply again."
            )
        self._change(reviewed.confirmed())

    def _undo(self, content: dict[str, Any]) -> None:
        """Take back the change that was just reported, if it is still the last one."""
        look, _ = self._as_rendered(content)
        symbol = look.setting.symbol
        preview = self.account.preview_undo()
        on_screen = symbol, content.get("label")
        if isinstance(preview, Plan) or (preview.symbol, _undo_label(preview)) != on_screen:
            self.view.undo = ""
            raise NotConfirmed(
                "Another change has been made since: nothing was sent.", hint="%leverage --undo -n shows it."
            )
        self.account.check_guard(symbol, preview.after)
        if preview.verdict == "refused":
            raise NotConfirmed(
                f"{preview.headline}. Nothing was sent.", hint="%leverage --undo --force sends it all the same."
            )
        if not self.account.asks_first:
            self._bound(preview.after, self._look.most)
            self._change(preview)
            return
        if self._read(symbol, preview.after) is None:  # nobody is asked about what has moved, or cannot be chosen
            raise _moved_on(symbol)
        if self.slider.value != preview.after:
            raise NotConfirmed(f"{preview.after}x cannot be chosen now: nothing was sent.", hint=self._look.because)
        self._ask(preview)

    def _previewed(self, look: Look, leverage: int) -> Preview:
        """The preview of what is on the screen."""
        return self.account.preview_from(look.outlook, look.state, leverage)

    def _as_rendered(self, content: dict[str, Any]) -> tuple[Look, int]:
        """What was on the screen when the button was clicked, and the leverage there, if it is still shown.

        The kernel's own copy decides what is shown: the browser can write to its copy of the table.
        """
        with self._drawing:
            if (content.get("symbol"), content.get("version")) != (self._symbol, self._version):
                raise _moved_on(content.get("symbol"))
            return self._look, int(content["leverage"])

    def _change(self, preview: Preview) -> None:
        offered, self.view.undo = self.view.undo, ""
        self._say("applying", "")
        try:
            change = preview.apply(progress=self._await)
        except (ChangeNotSent, LeverageRefused):
            self.view.undo = offered  # what was made before still stands
            raise
        finally:
            with suppress(LeverageError):  # whatever came of it, what is shown next is what is there
                self._read(self.symbol)
        self._report(change)
        self._offer_undo(change, preview)

    def _offer_undo(self, change: LeverageChange, made: Preview) -> None:
        """Offer to take back a change that was just made; not where that would be refused, nor to undo an undoing."""
        before = change.before
        if change.status != "applied" or made.undoes is not None or before is None or before > self._look.most:
            return
        back = self._previewed(self._look, before)
        if back.verdict in {"ok", "cannot predict"}:
            self.view.undo = _undo_label(back)

    def _report(self, change: LeverageChange) -> None:
        card = change.card()
        state = {"applied": "done", "unchanged": "done", "unknown": "unknown"}.get(change.status, "failed")
        self._say(state, cards.message(card.title, card.note, card.tone, card.rows))

    def _await(self, text: str) -> None:
        self._say("checking", cards.message(f"{text[:1].upper()}{text[1:]}.", tone="warn"))

    def _check(self) -> None:
        """Look up what became of a change that had no definite answer."""
        found = [change for change in self.account.settle(self._await) if change.symbol == self.symbol]
        with suppress(LeverageError):  # while it cannot be read, what was said of the change stands
            self._read(self.symbol)
        if not self._say_what_is_open():
            self._report(found[-1]) if found else self._say("editing", "")

    def _say_what_is_open(self) -> bool:
        """Show that a change of the symbol on show is not settled, or that changes cannot be recorded, if so."""
        try:
            still = [change for change in self.account.open_changes() if change.symbol == self.symbol]
        except JournalUnusable as exc:
            self._say("failed", cards.message(exc.message, exc.hint, "bad"))
            return True
        if still and still[-1].status == "unknown":
            self._report(still[-1])
        return bool(still) and still[-1].status == "unknown"

    def _resize(self, content: dict[str, Any]) -> None:
        """Another what-if size: the same look, another ladder."""
        if content.get("symbol") != self.symbol:
            return  # it was typed for another symbol, in another asset
        with self._drawing:
            self._notional = parse_notional(str(content.get("text", "")))
            ladder = make_ladder(self._look.tiers, self._notional, self._mark)
            self._draw(replace(self._look, ladder=ladder, notional=self._notional))
        self._say("editing", "")

    # -- what the widgets say ---------------------------------------------------------------------------------

    def _pick(self, event: dict[str, Any]) -> None:
        text = str(event["new"]).strip()
        if not text:
            return
        # Emptied at once: the list offers every symbol again, and the box never names another than the chart.
        self.picker.value = ""
        symbol = self.account.find_symbol(text)
        self._show(symbol, self.slider.value if symbol == self.symbol else None)

    def _move(self, _event: dict[str, Any]) -> None:
        self._at_now = self.slider.value == self._look.setting.leverage
        # Late echoes of a busy time repeat the value: only a move away takes back what was said, or asked, about it.
        if self.state not in {"applying", "checking", "unknown"} and self.slider.value != self._said_at:
            self._say("editing", "")

    def _changed(self, change: LeverageChange) -> None:
        """A change made anywhere through this account: what is called "now" follows.

        Nothing is read for it, and nothing is drawn in its time: in a loop over many symbols an open panel must neither
        use up the rate limit nor slow the loop down.
        """
        if change.status == "applied":
            self.view.undo = ""  # it would take back another
            moment = change.as_of or change.sent_at
            if change.after is not None and moment is not None:
                self._note(change.symbol, _Latest(change.after, change.max_notional, moment))
        if self.state == "unknown" and change.status != "unknown" and change.symbol == self.symbol:
            self._report(change)

    def _hear(self, event: Event) -> None:
        """An event of the exchange, in the stream's thread: what others change shows too, also while a cell runs."""
        if isinstance(event, StreamEvent):
            self.view.live = "live" if event.live else "stale"
            self.view.live_reason = event.reason
        elif isinstance(event, LeverageEvent):
            self._note(event.symbol, _Latest(event.leverage, None, event.at))
        elif isinstance(event, AccountEvent) and event.reason == "MARGIN_TYPE_CHANGE":
            symbol = self.symbol
            if symbol in event.symbols:
                with suppress(LeverageError):  # Reload shows it
                    self._read(symbol)

    def _note(self, symbol: str, latest: _Latest) -> None:
        """Remember what is known of a symbol, and have it drawn if the symbol is on show."""
        with self._noting:
            known = self._latest.get(symbol)
            if known is not None and known.at > latest.at:
                return
            self._latest[symbol] = latest  # also for a read that began earlier and is not drawn yet
        if symbol == self._symbol:
            _painter.draw(self._catch_up)

    def _catch_up(self) -> None:
        """Draw what has been noted of the symbol on show since it was read; in the painter's thread."""
        with self._drawing:
            latest = self._latest.get(self._symbol)
            if latest is None or not latest.is_newer(self._look) or self.state in _BUSY or self._ear is None:
                return
            if latest.leverage != self._look.setting.leverage:
                self.view.undo = ""  # somebody else has changed it
            self._draw(self._look)
            if self._at_now and self.state in {"editing", "done", "failed"}:
                # Nobody has chosen another: the slider stays at "now".
                self._said_at = latest.leverage
                self._bound(latest.leverage, self._look.most)

    def _with_latest(self, look: Look, latest: _Latest) -> Look:
        """What was read, with the leverage that was shown since; nothing is read for it."""
        symbol = look.setting.symbol
        setting = replace(look.setting, leverage=latest.leverage, max_notional=latest.max_notional, as_of=latest.at)
        state = look.state.with_leverage(symbol, latest.leverage)
        state = replace(state, settings={**state.settings, symbol: setting})
        return replace(look, setting=setting, state=state, outlook=self.account.outlook_from(state, look.tiers))

    def _guarded(self, handler: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
        """Widget callbacks raise into a log that nobody opens: show what went wrong in the panel instead."""

        def run(content: dict[str, Any]) -> None:
            try:
                handler(content)
            except ChangeInterrupted as exc:
                if exc.change.status == "unknown":
                    self._say("unknown", cards.message(exc.message, _CHECK, "warn"))
                else:
                    self._say("failed", cards.message(exc.message, exc.hint, "warn"))
            except OutcomeUnknown as exc:
                self._say(
                    "unknown",
                    cards.message(exc.message, _CHECK, "warn"),
                )
            except LeverageError as exc:
                text, hint = (exc.headline, "") if exc.rows else (exc.message, exc.hint)
                self._say("failed", cards.message(text, hint, "bad", exc.rows))
            except KeyboardInterrupt:
                self._say("failed", cards.message("Interrupted.", "Reload shows what the setting is now.", "warn"))
            except Exception as exc:  # noqa: BLE001 - the message area is the last place to show it
                text = f"{type(exc).__name__} in the panel; see account.setting() for what the exchange has."
                self._say("failed", cards.message(text, "This is a slip in leverage_nb: please report it.", "bad"))

        return run

    # -- showing ----------------------------------------------------------------------------------------------

    def _show(self, symbol: str, leverage: int | None = None, *, anew: bool = False) -> None:
        """Read a symbol and put it on the screen, the slider at ``leverage`` or at the setting."""
        if self._read(symbol, leverage or 0, anew=anew, switch=symbol != self.symbol) is None:
            return
        self.picker.placeholder = f"{symbol}: type another"
        if not self._say_what_is_open():
            news = self.account.take_tier_news(symbol)
            self._say("editing", cards.message(f"Tiers have changed. {' '.join(news)}.", tone="warn") if news else "")

    def _read(
        self, symbol: str, leverage: int | None = None, *, anew: bool = False, switch: bool = False
    ) -> Look | None:
        """Read a symbol and draw it, unless something newer was drawn while it was read.

        Args:
            symbol: What to read.
            leverage: Where to put the slider: 0 for today's leverage, None to leave it where it is.
            anew: Whether to read the tiers again, however young they are.
            switch: Whether to show the symbol in place of another. Else the read of a symbol that is no longer shown
                is dropped.

        Returns:
            What is on show of the symbol; None where another is on show.
        """
        with self._drawing:
            self._reads += 1
            number = self._reads
        # No lock is taken here: others may read and draw while this waits for the network.
        outlook, state = self.account.look_ahead(symbol, anew=anew)
        mark = self.account.mark_price(symbol)
        most, because = self.account.leverage_bound(symbol)
        with self._drawing:
            shown = symbol == self._symbol
            if number < (self._drawn if shown else self._switched) or not (shown or switch):
                return self._look if shown else None
            if not shown:
                self._notional = 0.0
                self.view.undo = ""  # before another symbol is drawn over it
                self._switched = number
            self._drawn, self._mark = number, mark
            tiers = outlook.brackets
            # A tenth of the first tier, until another size is asked for: allowed at every leverage, and not nothing.
            self._notional = self._notional or float(tiers.notional_cap[0]) / 10
            ladder, setting = make_ladder(tiers, self._notional, mark), state.settings[symbol]
            self._draw(Look(setting, tiers, outlook, state, ladder, self._notional, most, because))
            self._bound(self.slider.value if leverage is None else leverage or setting.leverage, most)
            return self._look

    def _bound(self, leverage: int, most: int) -> None:
        """Put the slider at a leverage, within its bound. The table has been sent before: order matters.

        No slider position is ever read against the wrong symbol that way. Bound and value go together, because a
        value above the bound would be clamped unseen.
        """
        value = min(leverage, most)
        self._at_now = value == self._look.setting.leverage
        with self.slider.hold_sync():
            # The bound first where it grows, the value first where it shrinks.
            self.slider.max = max(self.slider.max, most)
            self.slider.value = value
            self.slider.max = most
        self.view.leverage = value

    def _draw(self, look: Look) -> None:
        with self._drawing:  # events come in a thread of their own
            latest = self._latest.get(look.setting.symbol)
            if latest is not None and latest.is_newer(look):
                look = self._with_latest(look, latest)
            chart = draw_chart(look)
            self._look, self._symbol = look, look.setting.symbol
            table = make_table(look, chart, self._version, self._page)
            # Prices always move, and a change made here is reported a second time by the stream: neither is a reason to
            # refuse the click of somebody who decided on the same leverages and verdicts.
            if any(table[name] != self.view.table.get(name) for name in DECIDED_ON):
                self._version += 1
                table["version"] = self._version
            self.view.table = table
            self._twin = make_twin(look, chart)
            self._update_twins()

    def _say(self, state: str, message: str) -> None:
        with self._drawing:
            self._said_at = self.slider.value
            self.view.message = message
            self.state = self.view.state = state
            if state != "reviewing":
                self.view.reviewed, self._reviewed = 0, None

    def _update_twins(self) -> None:
        for _, _, handle in self._twins:
            if handle is not None:  # there is none where nothing is displayed, as in a plain Python program
                handle.update(self._twin_bundle(), raw=True)

    def _twin_bundle(self) -> dict[str, str]:
        html, text = self._twin
        return {"text/html": html, "text/plain": text}

    def _ipython_display_(self) -> None:
        """Show the live panel, and after it the twin that stays when the notebook is opened again."""
        if self not in _open:
            text, hint = "This panel is closed.", "Make another: lev.LeveragePanel()."
            display({"text/html": cards.message(text, hint, "warn"), "text/plain": f"{text} {hint}"}, raw=True)
            return
        if self._twins:  # shown before: what it says may be of a while ago
            self._guarded(lambda _: self.reload())({})
        cell, run = _this_cell()
        self._twins = [twin for twin in self._twins if twin[0] != cell or twin[1] == run]  # its earlier output is gone
        display({**self._repr_mimebundle_(), "text/plain": f"Leverage panel of {self.symbol}"}, raw=True)
        handle = display(self._twin_bundle(), raw=True, display_id=True)
        self._twins = [*self._twins, (cell, run, handle)][-MOST_OPEN:]
        _open.remove(self)
        _open.append(self)
        _make_room(self)
        if (events := getattr(get_ipython(), "events", None)) is not None:
            events.register("post_run_cell", _painter.wait)  # once, however often it is said
