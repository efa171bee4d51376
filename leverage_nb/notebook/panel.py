"""LeveragePanel: a panel from its first read to its end, and the outputs below the cells."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from IPython import get_ipython
from IPython.display import display

from leverage_nb import cards
from leverage_nb.account import Account
from leverage_nb.binance.events import Event
from leverage_nb.binance.watch import Watch
from leverage_nb.change import Change, is_at
from leverage_nb.notebook.open_panels import Outputs, open_panels
from leverage_nb.notebook.overview import SymbolOverview
from leverage_nb.notebook.painter import painter, reader
from leverage_nb.notebook.panel_clicks import PanelClicks
from leverage_nb.notebook.panel_screen import account_options
from leverage_nb.notebook.panel_table import PanelData
from leverage_nb.notebook.twin import draw_chart, make_twin
from leverage_nb.session import session
from leverage_nb.terminal import encodable, is_terminal_shell


class _Callbacks:
    """Passes changes and events to a panel. The account references it weakly, so the calls end when the panel drops it.

    Args:
        on_change: Called with every change.
        on_event: Called with every event.
    """

    def __init__(self, on_change: Callable[[Change], None], on_event: Callable[[Event], None]) -> None:
        self._on_change = on_change
        self._on_event = on_event

    def change(self, change: Change) -> None:
        self._on_change(change)

    def event(self, event: Event) -> None:
        self._on_event(event)


class LeveragePanel(PanelClicks):
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

    def __init__(self, account: Account | None = None, symbol: str = "BTCUSDT") -> None:
        self._chart = ""
        self.outputs = Outputs()
        super().__init__(account or session.current())
        self.twin = f"leverage-twin-{uuid.uuid4().hex}"
        try:
            self._show(symbol)
        except BaseException:
            super().close()
            raise
        self.on_msg(self._receive)
        self.observe(self._showing_errors(self._on_move), "leverage")
        self._callbacks: _Callbacks | None = _Callbacks(self._on_change, self._on_event)
        self._is_open = True
        self._service.add_listener(self._callbacks.change)
        self._watch: Watch | None = self.account.watch(self._callbacks.event)
        open_panels.open(self)
        if (events := getattr(get_ipython(), "events", None)) is not None:
            for follow in (painter.wait, follow_session):
                events.register("post_run_cell", follow)  # repeated calls register it once

    def __repr__(self) -> str:
        data = self._data
        at = is_at("leverage", data.setting.leverage).removeprefix("is ")
        shown = f"[{cards.label(data.setting.venue)}] {data.setting.symbol} {at}"
        return encodable(f"<LeveragePanel {shown}>")

    @property
    def whose(self) -> tuple[str, str]:
        """The panel's venue and account."""
        return self.account.venue, self.account.label

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
        self._is_open = False
        reader.drop(self._read_again)
        with self._drawing:
            if reason:
                self.message = cards.message(f"{reason}.", "Run its cell again to use it.", "warn")
                self.outputs.update(self._twin(reason))
            self.outputs.clear()
        self.layout.close()  # ipywidgets references every open widget, and through its handlers the panel
        super().close()

    # -- showing ----------------------------------------------------------------------------------------------

    def _draw(self, data: PanelData) -> None:
        super()._draw(data)
        if self.outputs:  # other front ends than IPython's show no twin, and need no matplotlib
            painter.draw(self._draw_twin)

    def _draw_twin(self) -> None:
        """Draw the twin's chart, which takes matplotlib some time; runs in the painter's thread."""
        data = self._data
        chart = draw_chart(data, self.twin)
        with self._drawing:
            if data is self._data and self._is_open:
                self._chart = chart
                self.outputs.update(self._twin())

    def _twin(self, ended: str = "") -> dict[str, str]:
        html, text = make_twin(self._data, self._chart, self.twin, ended)
        return {"text/html": html, "text/plain": text}

    def _ipython_display_(self) -> None:
        """Show the panel, and below it the static twin that a reopened notebook shows."""
        if self not in open_panels:
            text, hint = "This panel is closed.", "To open another: lev.LeveragePanel()"
            display({"text/html": cards.message(text, hint, "warn"), "text/plain": f"{text} {hint}"}, raw=True)
            return
        if is_terminal_shell(get_ipython()):
            display(SymbolOverview(self._data.setting, self._data.state, self._data.tiers))
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


def follow_session(_result: object = None) -> None:
    """Update the options of copied lines at the end of a cell, which may have switched to another account."""
    for panel in open_panels:
        if isinstance(panel, LeveragePanel):
            panel.options = account_options(panel.account)
