"""LeveragePanel: symbol, slider, state. It holds no rule of its own: what may be changed, Account decides."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import ipywidgets
import traitlets
from IPython.display import display

from leverage_nb import cards
from leverage_nb.account import Account, current
from leverage_nb.changes.record import LeverageChange
from leverage_nb.errors import LeverageError, Mistake
from leverage_nb.notebook.ladder_view import LadderView, draw_chart, make_table, make_twin
from leverage_nb.risk.brackets import Brackets
from leverage_nb.risk.state import LeverageSetting

STATES = ("editing", "reviewing", "applying", "done", "failed")


class LeveragePanel(ipywidgets.VBox):
    """Pick a symbol, see its tiers, move the slider, apply.

    The slider drives the chart inside the browser, so both stay live while a cell runs. Apply sends the symbol
    and leverage that the browser shows, with the version of the table they were shown from; if the panel has
    moved on meanwhile, nothing is sent.

    Args:
        account: Whose leverage; the one ``%leverage`` is using when None.
        symbol: Where to start, in any spelling ``Account.find_symbol`` takes.

    Raises:
        UnknownSymbol: There is no such symbol.
        LeverageError: Tiers or setting could not be read.
    """

    state = traitlets.Enum(STATES, default_value="editing")
    """"editing", "reviewing" (a venue that asks first awaits a confirmation), "applying", "done", "failed"."""

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
        self._said_at = 0
        self._twins: list[Any] = []
        self._show(self.account.find_symbol(symbol))
        self.picker.options = self.account.symbols()
        self._link = ipywidgets.jslink((self.slider, "value"), (self.view, "leverage"))
        self.picker.observe(self._guarded(self._pick), "value")
        self.slider.observe(self._guarded(self._move), "value")
        self.view.on_msg(self._receive)
        self.account.tell_changes_to(self._changed)
        super().__init__([ipywidgets.HBox([self.picker]), self.slider, self.view])

    @property
    def symbol(self) -> str:
        """The symbol on show."""
        return str(self.view.table["symbol"])

    def select(self, symbol: str) -> None:
        """Show another symbol.

        Raises:
            UnknownSymbol: There is no such symbol.
        """
        self._show(self.account.find_symbol(symbol))
        self._say("editing", "")

    def reload(self) -> None:
        """Read tiers and setting of the symbol on show again; the slider stays where it is, if it can."""
        self._show(self.symbol, self.slider.value)
        self._say("editing", "")

    # -- what the browser sends -------------------------------------------------------------------------------

    def _receive(self, _view: Any, content: dict[str, Any], _buffers: Any) -> None:
        handle = {
            "apply": self._apply,
            "confirm": self._confirm,
            "cancel": lambda _: self._say("editing", ""),
            "reload": lambda _: self.reload(),
        }.get(str(content.get("kind")))
        if handle is None:
            return
        self._guarded(handle)(content)
        self.view.answered = max(self.view.answered, int(content.get("click", 0)))

    def _apply(self, content: dict[str, Any]) -> None:
        symbol, leverage = self._as_rendered(content)
        if not self.account.asks_first:
            self._change(symbol, leverage)
            return
        known = self.view.table["current"]
        self._show(symbol, leverage)  # nobody is asked about a setting that has moved meanwhile
        now = self.view.table["current"]
        if now != known:
            raise Mistake(f"{symbol} is at {now}x, not {known}x as was shown: nothing was sent.", hint="Look again.")
        question = f"{self.account.venue.upper()}, {self.account.label}: change {symbol} from {now}x to {leverage}x?"
        self.view.reviewed = leverage
        self._say("reviewing", cards.message(question, "Confirm to send, or choose another leverage.", "warn"))

    def _confirm(self, content: dict[str, Any]) -> None:
        symbol, leverage = self._as_rendered(content)
        if self.state != "reviewing" or self.view.reviewed != leverage:
            raise Mistake("This was not what had been reviewed: nothing was sent.", hint="Press Apply again.")
        self._change(symbol, leverage)

    def _as_rendered(self, content: dict[str, Any]) -> tuple[str, int]:
        """The symbol and leverage on the screen when the button was clicked, if it still shows that table."""
        table = self.view.table
        if (content.get("symbol"), content.get("version")) != (table["symbol"], table["version"]):
            raise Mistake(
                f"The panel has moved on from {content.get('symbol')}: nothing was sent.",
                hint="Look at what it shows now, then press Apply again.",
            )
        return table["symbol"], int(content["leverage"])

    def _change(self, symbol: str, leverage: int) -> None:
        self._say("applying", "")
        change = self.account.set_leverage(symbol, leverage)
        if change.status == "unchanged":
            self._changed(change)
        card = change.card()
        detail = "; ".join(f"{name} {value}" for name, value in card.rows)
        self._say("done", cards.message(card.title, f"{detail}. {card.note}", card.tone))

    # -- what the widgets say ---------------------------------------------------------------------------------

    def _pick(self, event: dict[str, Any]) -> None:
        text = str(event["new"]).strip()
        if not text:
            return
        # Emptied at once: the list offers every symbol again, and the box never names another than the chart.
        self.picker.value = ""
        symbol = self.account.find_symbol(text)
        if symbol != self.symbol:
            self._show(symbol)
        self._say("editing", "")

    def _move(self, _event: dict[str, Any]) -> None:
        # Late echoes of a busy time repeat the value: only a move away takes back what was said, or asked, about it.
        if self.state != "applying" and self.slider.value != self._said_at:
            self._say("editing", "")

    def _changed(self, change: LeverageChange) -> None:
        """A change made anywhere through this account: what the panel calls "now" follows."""
        if change.symbol == self.symbol and change.after is not None:
            setting = replace(
                self._setting, leverage=change.after, max_notional=change.max_notional, as_of=change.sent_at
            )
            self._draw(setting, self._tiers)

    def _guarded(self, handler: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
        """Widget callbacks raise into a log that nobody opens: show what went wrong in the panel instead."""

        def run(content: dict[str, Any]) -> None:
            try:
                handler(content)
            except LeverageError as exc:
                self._say("failed", cards.message(exc.message, exc.hint, "bad"))
            except Exception as exc:  # noqa: BLE001 - the message area is the last place to show it
                text = f"{type(exc).__name__} in the panel; see account.setting() for what the exchange has."
                self._say("failed", cards.message(text, "This is a slip in leverage_nb: please report it.", "bad"))

        return run

    # -- showing ----------------------------------------------------------------------------------------------

    def _show(self, symbol: str, leverage: int | None = None) -> None:
        """Read a symbol and put it on the screen, the slider at ``leverage`` or at the setting.

        The order matters: the table first, so that no slider position is ever read against the wrong symbol;
        then the slider's bound and value together, because a value above the bound would be clamped unseen.
        """
        setting = self.account.setting(symbol)
        tiers = self.account.tiers(symbol)
        self._draw(setting, tiers)
        with self.slider.hold_sync():
            # The bound first where it grows, the value first where it shrinks.
            highest = tiers.symbol_max_leverage
            value = min(leverage or setting.leverage, highest)
            self.slider.max = max(self.slider.max, highest)
            self.slider.value = value
            self.slider.max = highest
        self.view.leverage = value
        self.picker.placeholder = f"{symbol}: type another"

    def _draw(self, setting: LeverageSetting, tiers: Brackets) -> None:
        self._setting, self._tiers = setting, tiers
        self._version += 1
        chart = draw_chart(setting, tiers)
        self.view.table = make_table(setting, tiers, chart, self._version, self._page)
        self._twin = make_twin(setting, tiers, chart)
        for handle in self._twins:
            handle.update(self._twin_bundle(), raw=True)

    def _say(self, state: str, message: str) -> None:
        self._said_at = self.slider.value
        self.view.message = message
        self.state = self.view.state = state
        if state != "reviewing":
            self.view.reviewed = 0

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
