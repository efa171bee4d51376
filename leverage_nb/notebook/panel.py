"""LeveragePanel: symbol, slider, state. It holds no rule of its own: what may be changed, Account decides."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

import ipywidgets
import traitlets
from IPython.display import display

from leverage_nb import cards
from leverage_nb.account import Account
from leverage_nb.change import LeverageChange
from leverage_nb.changes.plan import Plan
from leverage_nb.changes.preview import Preview
from leverage_nb.connecting import current
from leverage_nb.errors import (
    ChangeInterrupted,
    ChangeNotSent,
    JournalUnusable,
    LeverageError,
    LeverageRefused,
    Mistake,
    OutcomeUnknown,
)
from leverage_nb.exchange.events import AccountEvent, Event, LeverageEvent, StreamEvent
from leverage_nb.notebook.ladder_view import LadderView, Look, draw_chart, make_table, make_twin
from leverage_nb.risk.parsing import parse_notional

STATES = ("editing", "reviewing", "applying", "checking", "unknown", "done", "failed")

_BUSY = {"applying", "checking"}
_CHECK = "Check again asks the exchange. Until it is known nothing else is sent."


def _undo_label(back: Preview) -> str:
    """What the button says; a click brings it back, so that what is undone is what was on the screen."""
    return f"Undo: {back.symbol} {back.before}x → {back.after}x"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _older(moment: datetime, than: datetime | None) -> bool:
    return than is not None and moment < than


class LeveragePanel(ipywidgets.VBox):
    """Pick a symbol, see its tiers, move the slider, apply.

    The slider drives the chart inside the browser, so both stay live while a cell runs. Apply sends the symbol
    and leverage that the browser shows, with the version of the table they were shown from; if the panel has
    moved on meanwhile, nothing is sent.

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

    Raises:
        UnknownSymbol: There is no such symbol.
        LeverageError: Tiers or setting could not be read.
    """

    state = traitlets.Enum(STATES, default_value="editing")
    """"editing", "reviewing" (a venue that asks first awaits a confirmation), "applying", "checking" (no definite
    answer came: the exchange is being asked), "unknown" (nor could it be looked up), "done", "failed"."""

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
        self._drawing = threading.RLock()
        self._heard: dict[str, LeverageEvent] = {}
        self._said_at = 0
        self._at_now = True
        self._reviewed: Preview | None = None
        self._twins: list[Any] = []
        self._show(self.account.find_symbol(symbol))
        self.picker.options = self.account.symbols()
        self._link = ipywidgets.jslink((self.slider, "value"), (self.view, "leverage"))
        self.picker.observe(self._guarded(self._pick), "value")
        self.slider.observe(self._guarded(self._move), "value")
        self.view.on_msg(self._receive)
        self.account.tell_changes_to(self._changed)
        self._watch = self.account.watch(self._hear)
        super().__init__([ipywidgets.HBox([self.picker]), self.slider, self.view])

    @property
    def symbol(self) -> str:
        """The symbol on show."""
        return str(self.view.table["symbol"])

    def close(self) -> None:
        """Take the panel away, and follow the account no longer."""
        watch = getattr(self, "_watch", None)  # ipywidgets closes what was never finished, too
        if watch is not None:
            watch.close()
        super().close()

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
        symbol, leverage = self._as_rendered(content)
        preview = self._previewed(leverage)
        if not self.account.asks_first:
            self._change(preview)
            return
        self.account.check_guard(symbol, leverage)
        self._read(symbol)  # nobody is asked about what has moved meanwhile
        fresh = self._previewed(leverage)
        if not preview.still_holds(fresh):
            at = f"is at {fresh.before}x, not {preview.before}x" if fresh.before != preview.before else "does not stand"
            raise Mistake(f"{symbol} {at} as was shown: nothing was sent.", hint=f"Look again: {fresh.headline}.")
        self._ask(fresh)

    def _ask(self, preview: Preview) -> None:
        """Have a change confirmed before it is sent."""
        self._reviewed = preview
        self.view.reviewed = preview.after
        step = f"change {preview.symbol} from {preview.before}x to {preview.after}x?"
        question = f"{self.account.venue_label.upper()}, {self.account.label}: {step} {preview.headline}."
        notes = [_sentence(preview.caution), *preview.warnings, "Confirm to send, or choose another leverage."]
        self._say("reviewing", cards.message(question, " ".join(filter(None, notes)), "warn"))

    def _confirm(self, content: dict[str, Any]) -> None:
        shown = self._as_rendered(content)
        reviewed = self._reviewed
        if self.state != "reviewing" or reviewed is None or (reviewed.symbol, reviewed.after) != shown:
            raise Mistake("This was not what had been reviewed: nothing was sent.", hint="Press Apply again.")
        self._change(reviewed)

    def _undo(self, content: dict[str, Any]) -> None:
        """Take back the change that was just reported, if it is still the last one."""
        symbol, _ = self._as_rendered(content)
        preview = self.account.preview_undo()
        on_screen = symbol, content.get("label")
        if isinstance(preview, Plan) or (preview.symbol, _undo_label(preview)) != on_screen:
            self.view.undo = ""
            raise Mistake("Another change has been made since: nothing was sent.", hint="%leverage --undo -n shows it.")
        self.account.check_guard(symbol, preview.after)
        if preview.verdict == "refused":
            raise Mistake(
                f"{preview.headline}. Nothing was sent.", hint="%leverage --undo --force sends it all the same."
            )
        if not self.account.asks_first:
            self._bound(preview.after, self._look.most)
            self._change(preview)
            return
        self._read(symbol, preview.after)  # nobody is asked about what has moved meanwhile, or cannot be chosen
        if self.slider.value != preview.after:
            raise Mistake(f"{preview.after}x cannot be chosen now: nothing was sent.", hint=self._look.because)
        self._ask(preview)

    def _previewed(self, leverage: int) -> Preview:
        """The preview of what is on the screen."""
        return self.account.preview_from(self._look.outlook, self._look.state, leverage)

    def _as_rendered(self, content: dict[str, Any]) -> tuple[str, int]:
        """The symbol and leverage on the screen when the button was clicked, if it still shows that table."""
        table = self.view.table
        if (content.get("symbol"), content.get("version")) != (table["symbol"], table["version"]):
            raise Mistake(
                f"The panel has moved on from {content.get('symbol')}: nothing was sent.",
                hint="Look at what it shows now, then press Apply again.",
            )
        return table["symbol"], int(content["leverage"])

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
        back = self._previewed(before)
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
        self._notional = parse_notional(str(content.get("text", "")))
        ladder = self._look.tiers.ladder(self._notional, self._mark)
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
        """A change of the symbol on show, made anywhere through this account: what is called "now" follows.

        Nothing is read for it: in a loop over many symbols an open panel must not use up the rate limit.
        """
        if change.status == "applied":
            self.view.undo = ""  # it would take back another
        if self.state in _BUSY or change.symbol != self.symbol:
            return
        outdated = change.as_of is not None and _older(change.as_of, self._look.setting.as_of)
        if change.status == "applied" and change.after is not None and not outdated:
            self._show_leverage(change.after, change.max_notional, change.as_of or change.sent_at)
            if self._at_now and self.state in {
                "editing",
                "done",
                "failed",
            }:  # nobody has chosen another: the slider stays at "now"
                self._said_at = change.after
                self._bound(change.after, self._look.most)
        if self.state == "unknown" and change.status != "unknown":
            self._report(change)

    def _hear(self, event: Event) -> None:
        """An event of the exchange, in the stream's thread: what others change shows too, also while a cell runs."""
        if isinstance(event, StreamEvent):
            self.view.live = "live" if event.live else "stale"
            self.view.live_reason = event.reason
        elif isinstance(event, LeverageEvent):
            with self._drawing:
                self._heard[event.symbol] = event  # what is being read this moment may be older
                news = event.symbol == self.symbol and event.leverage != self._look.setting.leverage
                if news and self.state not in _BUSY and not _older(event.at, self._look.setting.as_of):
                    self.view.undo = ""  # somebody else has changed it
                    self._show_leverage(event.leverage, None, event.at)
        elif isinstance(event, AccountEvent) and event.reason == "MARGIN_TYPE_CHANGE" and self.symbol in event.symbols:
            with suppress(LeverageError):  # Reload shows it
                self._read(self.symbol)

    def _show_leverage(self, leverage: int, max_notional: float | None, as_of: datetime | None) -> None:
        """Draw the look at hand with another leverage; nothing is read for it."""
        with self._drawing:
            self._draw(self._with_leverage(self._look, leverage, max_notional, as_of))

    def _with_leverage(self, look: Look, leverage: int, max_notional: float | None, as_of: datetime | None) -> Look:
        symbol = look.setting.symbol
        setting = replace(look.setting, leverage=leverage, max_notional=max_notional, as_of=as_of)
        state = look.state.with_leverage(symbol, leverage)
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
        if not self._version or symbol != self.symbol:
            self._notional = 0.0
            self.view.undo = ""  # before another symbol is drawn over it
        self._read(symbol, leverage or 0, anew=anew)
        self.picker.placeholder = f"{symbol}: type another"
        if not self._say_what_is_open():
            news = self.account.take_tier_news(symbol)
            self._say("editing", cards.message(f"Tiers have changed. {' '.join(news)}.", tone="warn") if news else "")

    def _read(self, symbol: str, leverage: int | None = None, *, anew: bool = False) -> None:
        """Look at the account and draw what is seen.

        Args:
            symbol: What to look at.
            leverage: Where to put the slider: 0 for today's leverage, None to leave it where it is.
            anew: Whether to read the tiers again, however young they are.
        """
        outlook, state = self.account.look_ahead(symbol, anew=anew)
        tiers = outlook.brackets
        self._mark = self.account.mark_price(symbol)
        # A tenth of the first tier, until another size is asked for: allowed at every leverage, and not nothing.
        self._notional = self._notional or float(tiers.notional_cap[0]) / 10
        ladder = tiers.ladder(self._notional, self._mark)
        setting = state.settings[symbol]
        most, because = self.account.leverage_bound(symbol)
        self._draw(Look(setting, tiers, outlook, state, ladder, self._notional, most, because))
        wanted = self.slider.value if leverage is None else leverage or setting.leverage
        self._bound(wanted, most)

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
            event = self._heard.get(look.setting.symbol)
            if event is not None and look.setting.as_of is not None and event.at > look.setting.as_of:
                look = self._with_leverage(look, event.leverage, None, event.at)
            self._look = look
            self._version += 1
            chart = draw_chart(look)
            self.view.table = make_table(look, chart, self._version, self._page)
            self._twin = make_twin(look, chart)
            for handle in self._twins:
                handle.update(self._twin_bundle(), raw=True)

    def _say(self, state: str, message: str) -> None:
        self._said_at = self.slider.value
        self.view.message = message
        self.state = self.view.state = state
        if state != "reviewing":
            self.view.reviewed, self._reviewed = 0, None

    def _twin_bundle(self) -> dict[str, str]:
        html, text = self._twin
        return {"text/html": html, "text/plain": text}

    def _ipython_display_(self) -> None:
        """Show the live panel, and after it the twin that stays when the notebook is opened again."""
        if self._twins:  # shown before: what it says may be of a while ago
            self._guarded(lambda _: self.reload())({})
        display({**self._repr_mimebundle_(), "text/plain": f"Leverage panel of {self.symbol}"}, raw=True)
        handle = display(self._twin_bundle(), raw=True, display_id=True)
        if handle is not None:
            self._twins.append(handle)
