"""A panel from its first read to its end, and what it follows; test_panel_clicks has what its clicks do."""

from __future__ import annotations

import gc
import threading
import weakref
from pathlib import Path
from typing import Any

import ipywidgets
import pytest
from traitlets import TraitError

from leverage_nb.account import Account, service_of
from leverage_nb.errors import UnknownSymbol
from leverage_nb.notebook import panel as panel_module
from leverage_nb.notebook.open_panels import MOST_OPEN
from leverage_nb.notebook.painter import painter
from leverage_nb.notebook.panel import LeveragePanel, follow_session
from leverage_nb.notebook.panel_table import PanelData
from leverage_nb.notebook.twin import draw_chart
from leverage_nb.session import session
from leverage_nb.simulator import Simulator
from tests.arrivals import CHANGE, SETTING, record_requests
from tests.conftest import connect_to
from tests.notebook.front_end import (
    Notebook,
    click,
    figures_of,
    is_open,
    select,
    verdicts_of,
    wait_until_connected,
)
from tests.waiting import threads_since, until


def test_a_panel_opens_at_the_current_setting(panel: LeveragePanel) -> None:
    """Leverage, rows, badge and symbols are those of the account and the symbol's tiers."""
    table = panel.table
    assert (panel.symbol, panel.state, panel.leverage, len(table["rows"])) == ("BTCUSDT", "editing", 20, 150)
    assert (table["rows"][20]["cap"], table["rows"][20]["capText"]) == (70_000_000, "70M")  # at 21x
    assert (table["current"], table["before"], table["marginType"], table["mark"]) == (20, "20x", "cross", "86,412.50")
    assert "SIMULATOR" in table["badge"]
    assert len(panel.symbols) == 46


@pytest.mark.parametrize(("symbol", "status"), [("UXLINKUSDT", "SETTLING"), ("币安人生USDT", "PENDING_TRADING")])
def test_a_symbol_that_is_not_trading_says_so(account: Account, symbol: str, status: str) -> None:
    """The panel of such a symbol shows its status, no verdict but "unchanged" is certain, and a click shows why."""
    panel = LeveragePanel(account, symbol)
    assert panel.table["notTrading"] == status
    assert set(verdicts_of(panel)) == {"unchanged", "unpredictable"}
    title = panel.table["rows"][0]["title"]
    assert f"{symbol} is not trading ({status}), and the exchange may refuse any change" in title
    click(panel, "apply", 2)
    assert panel.state == "failed"
    assert "The symbol is not trading yet, or no longer." in panel.message
    panel.select("BTCUSDT")
    assert panel.table["notTrading"] == ""
    panel.close()


def test_a_new_symbol_updates_the_table_before_the_slider(panel: LeveragePanel) -> None:
    """The browser never has a leverage that the table does not contain, also if the new symbol allows less."""
    panel.leverage = 150
    seen: list[bool] = []
    panel.observe(lambda _: seen.append(panel.leverage <= len(panel.table["rows"])), ["table", "leverage"])
    panel.select("哈基米USDT")
    assert (panel.symbol, len(panel.table["rows"]), panel.leverage) == ("哈基米USDT", 3, 3)
    select(panel, "eth/btc")
    assert (panel.symbol, len(panel.table["rows"]), panel.leverage) == ("ETHBTC", 100, 20)
    assert seen
    assert all(seen)


def test_symbol_and_leverage_can_be_assigned(panel: LeveragePanel) -> None:
    """Assigning a symbol in any spelling shows it; a leverage beyond the symbol's maximum is an error."""
    panel.symbol = "sol/usdt"
    assert (panel.symbol, panel.table["symbol"], panel.leverage) == ("SOLUSDT", "SOLUSDT", 20)
    panel.leverage = 50
    with pytest.raises(TraitError, match="101x is not from 1x to SOLUSDT's maximum of 100x"):
        panel.leverage = 101
    with pytest.raises(UnknownSymbol):
        panel.symbol = "FOO"
    assert (panel.symbol, panel.leverage) == ("SOLUSDT", 50)


def test_an_int_slider_can_be_linked(panel: LeveragePanel) -> None:
    """An IntSlider that is linked to the panel's leverage follows it, and moves it."""
    slider = ipywidgets.IntSlider(min=1, max=150)
    link = ipywidgets.link((panel, "leverage"), (slider, "value"))
    assert slider.value == 20
    slider.value = 33
    assert panel.leverage == 33
    link.unlink()


def test_the_search_lists_leverage_position_and_maximum(panel: LeveragePanel) -> None:
    """Symbols with a position come first, each with its leverage, position and maximum."""
    assert panel.symbols[0] == ["BTCUSDT", "20x", "long 432k", "150x"]
    assert panel.symbols[1] == ["ETHUSDT", "10x", "short 169k", "150x"]
    assert ["42USDT", "10x", "", "10x"] in panel.symbols


@pytest.mark.parametrize("venue", ["simulator", "mainnet"])
def test_a_read_only_account_has_a_panel(simulator: Simulator, venue: str) -> None:
    """The panel of a read-only account shows everything, and Apply shows at once why nothing is sent."""
    account = connect_to(simulator, venue, read_only=True)
    panel = LeveragePanel(account, "BTCUSDT")
    click(panel, "apply", 10)
    assert panel.state == "failed"
    assert "read_only=True" in panel.message
    assert account.setting("BTCUSDT").leverage == 20
    click(panel, "reload", 30)
    assert panel.table["current"] == 20


def test_the_browser_receives_no_secret(
    panel: LeveragePanel, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The panel's state and its saved output contain neither key nor secret."""
    notebook = Notebook(monkeypatch)
    notebook.run("one", panel)
    shown = str(panel.get_state()) + str([output.bundle for output in notebook.outputs])
    assert simulator.api_key not in shown
    assert simulator.api_secret not in shown


def test_a_change_updates_every_panel_of_the_account(panel: LeveragePanel, account: Account) -> None:
    """A change by the magic or another panel updates every open panel of the account."""
    other = LeveragePanel(account, "BTCUSDT")
    gone = LeveragePanel(account, "BTCUSDT")
    gone.close()
    del gone
    account.set_leverage("BTCUSDT", 12)
    until(lambda: panel.table["current"] == other.table["current"] == 12)
    until(lambda: panel.leverage == 12)  # no other leverage was chosen
    click(other, "apply", 13)
    until(lambda: panel.table["current"] == 13)
    assert figures_of(panel)["Available margin"] == figures_of(LeveragePanel(account, "BTCUSDT"))["Available margin"]


def test_an_open_panel_adds_no_request_to_a_change(
    panel: LeveragePanel, account: Account, simulator: Simulator
) -> None:
    """With an open panel a change is still two requests, so that a loop stays within the rate limit."""
    wait_until_connected(panel)  # the stream starts with a read
    arrived = record_requests(simulator)
    for symbol in ("BTCUSDT", "SOLUSDT"):
        account.set_leverage(symbol, 12)
    until(lambda: panel.table["current"] == 12)
    assert arrived == [SETTING, CHANGE] * 2


def test_the_guard_stops_leverages_that_the_table_shows(simulator: Simulator) -> None:
    """Leverages above the guard stay on the axis, forbidden with the reason and a way to raise the guard."""
    account = connect_to(simulator, max_leverage=30)
    panel = LeveragePanel(account, "SOLUSDT")
    row = panel.table["rows"][30]
    assert (len(panel.table["rows"]), row["verdict"], row["nearest"]) == (100, "forbidden", 30)
    assert row["title"] == "31x is above your guard of 30x (connect(max_leverage=...))."
    assert "To raise the guard: connect(..., max_leverage=31), with the same venue" in row["detail"]
    assert {"from": 31, "to": 100, "label": "guard 30x"} in panel.table["regions"]
    assert panel.table["guard"] == {"text": "guard 30x, connect(max_leverage=...)", "lifted": False}
    click(panel, "apply", 31)
    assert "above your guard of 30x" in panel.message


def test_a_guard_that_was_raised_on_mainnet_is_marked(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """On mainnet the guard and its source are shown, and one above 20x is marked as lifted."""
    assert LeveragePanel(connect_to(simulator, "mainnet"), "BTCUSDT").table["guard"]["text"] == (
        "guard 20x, the default on mainnet"
    )
    monkeypatch.setenv("LEVERAGE_NB_MAX_LEVERAGE", "125")
    guard = LeveragePanel(connect_to(simulator, "mainnet"), "BTCUSDT").table["guard"]
    assert guard == {"text": "guard 125x, LEVERAGE_NB_MAX_LEVERAGE", "lifted": True}


def test_a_panel_follows_changes_elsewhere(panel: LeveragePanel, simulator: Simulator) -> None:
    """A change by another client is shown with its verdicts; only then the panel is live; a lost stream is stale."""
    until(lambda: panel.live == "connected")
    simulator.exchange.change_elsewhere("BTCUSDT", 33)
    until(lambda: panel.table["current"] == 33)
    assert panel.live == "live"
    assert verdicts_of(panel)[32] == "unchanged"
    simulator.exchange.change_elsewhere("ETHUSDT", 25)  # a change of another symbol is not shown
    simulator.inject("firewall", on="POST /fapi/v1/listenKey", times=None)
    simulator.drop_streams()
    until(lambda: panel.live == "stale")
    assert panel.live_reason
    assert panel.table["current"] == 33


def test_an_unusable_journal_is_shown(simulator: Simulator, tmp_path: Path) -> None:
    """The panel shows everything, and that no change can be sent."""
    (tmp_path / "journal.sqlite").write_text("no journal" * 100)
    panel = LeveragePanel(connect_to(simulator, journal=tmp_path / "journal.sqlite"), "BTCUSDT")
    assert "it is not a journal" in panel.message
    assert panel.table["current"] == 20
    click(panel, "apply", 10)
    assert panel.state == "failed"
    assert simulator.exchange.received == []


def test_a_cell_that_runs_again_replaces_its_panel(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """Panels of an earlier run of a cell are closed, and their outputs stay; panels of other cells stay open."""
    notebook = Notebook(monkeypatch)
    first, other, elsewhere = (LeveragePanel(account, "BTCUSDT") for _ in range(3))
    notebook.run("one", first, other)
    notebook.run("two", elsewhere)
    assert is_open(first)
    painter.wait()
    outputs = [output.bundle for output in notebook.outputs]
    again = LeveragePanel(account, "BTCUSDT")
    notebook.run("one", again)
    assert [is_open(panel) for panel in (first, other, elsewhere, again)] == [False, False, True, True]
    assert [output.bundle for output in notebook.outputs[: len(outputs)]] == outputs


def test_a_panel_in_two_cells_stays_open_for_the_other(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """A panel is closed when the last cell that displays it shows another one."""
    notebook = Notebook(monkeypatch)
    panel = LeveragePanel(account, "BTCUSDT")
    for cell in ("one", "two", "one"):
        notebook.run(cell, panel)
    notebook.run("one", LeveragePanel(account, "BTCUSDT"))
    assert is_open(panel)
    notebook.run("two", LeveragePanel(account, "BTCUSDT"))
    assert not is_open(panel)


def test_the_oldest_of_too_many_panels_is_closed(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without cell names 8 panels of an account stay open, and a closed one says why."""
    notebook = Notebook(monkeypatch)
    with Simulator() as another:
        apart = LeveragePanel(connect_to(another, "testnet"), "BTCUSDT")
        panels = [LeveragePanel(account, "BTCUSDT")]
        notebook.run(None, panels[0])
        twin = notebook.outputs[-1]
        for _ in range(MOST_OPEN):
            panels.append(LeveragePanel(account, "BTCUSDT"))
            notebook.run(None, panels[-1])
        assert [is_open(panel) for panel in panels] == [False] + [True] * MOST_OPEN
        assert is_open(apart)
    for text in (*twin.bundle.values(), panels[0].message):
        assert "This panel was closed because 8 newer panels of the account are open" in text
        assert "cell again" in text
    notebook.run(None, panels[0])
    assert "This panel is closed." in notebook.outputs[-1].bundle["text/plain"]


@pytest.mark.parametrize("cell", ["one", None])
def test_closed_panels_are_released(account: Account, monkeypatch: pytest.MonkeyPatch, cell: str | None) -> None:
    """However often a cell runs, only open panels draw a change, and closed ones are garbage-collected."""
    notebook = Notebook(monkeypatch)
    panels: list[weakref.ref[LeveragePanel]] = []
    for _ in range(12):
        notebook.begin(cell)
        panel = LeveragePanel(account, "BTCUSDT")
        panel._ipython_display_()
        panels.append(weakref.ref(panel))
    kept = 1 if cell else MOST_OPEN
    gc.collect()
    assert [reference() is not None for reference in panels] == [False] * (12 - kept) + [True] * kept
    account.set_leverage("BTCUSDT", 12)
    shown = [reference() for reference in panels[-kept:]]
    until(lambda: all(panel is not None and panel.table["current"] == 12 for panel in shown))


def test_a_closed_panel_leaves_no_thread_and_no_object(account: Account, simulator: Simulator) -> None:
    """With the last panel the stream and its thread end, and the panel and its parts are garbage-collected."""
    before = set(threading.enumerate())

    def open_and_close() -> list[weakref.ref[Any]]:
        panel = LeveragePanel(account, "BTCUSDT")
        wait_until_connected(panel)
        account.set_leverage("BTCUSDT", 12)
        until(lambda: panel.table["current"] == 12)
        panel.close()
        panel.close()  # closing it again does nothing
        return [weakref.ref(panel), weakref.ref(panel.layout)]

    parts = open_and_close()
    until(lambda: not threads_since(before) and not simulator.open_streams)
    painter.wait()  # its thread may be older than this test
    gc.collect()
    assert [reference() for reference in parts] == [None] * 2
    account.set_leverage("BTCUSDT", 13)


def test_a_change_does_not_wait_for_the_drawing(
    panel: LeveragePanel, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change returns while its panel is being drawn, and later changes are drawn together."""
    begun, go_on, drawn = threading.Event(), threading.Event(), []

    def draw(data: PanelData, prefix: str) -> str:
        begun.set()
        assert go_on.wait(10)
        drawn.append(data.setting.leverage)
        return draw_chart(data, prefix)

    Notebook(monkeypatch).run("one", panel)
    painter.wait()  # the panel was drawn when it was displayed
    monkeypatch.setattr(panel_module, "draw_chart", draw)
    account.set_leverage("BTCUSDT", 12)
    assert begun.wait(10)
    for leverage in (13, 14, 15):
        account.set_leverage("BTCUSDT", leverage)
    assert panel.table["current"] == 12
    go_on.set()
    until(lambda: panel.table["current"] == 15)
    assert drawn[0] == 12
    assert 13 not in drawn


class SlowReads:
    """Delays the reads of an account by other threads than the test's, until the test continues them."""

    def __init__(self, account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun, self.go_on = threading.Event(), threading.Event()
        service, reader = service_of(account), threading.current_thread()
        read_symbol = service.reader.read_symbol

        def slow(symbol: str, **options: Any) -> Any:
            found = read_symbol(symbol, **options)
            if threading.current_thread() is not reader:
                self.begun.set()
                assert self.go_on.wait(10)
            return found

        monkeypatch.setattr(service.reader, "read_symbol", slow)


def test_a_read_of_another_symbol_is_dropped(
    panel: LeveragePanel, account: Account, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read that ends after another symbol was selected does not bring the first symbol back."""
    wait_until_connected(panel)
    reads = SlowReads(account, monkeypatch)
    simulator.exchange.emit("ACCOUNT_UPDATE", a={"m": "MARGIN_TYPE_CHANGE", "B": [], "P": [{"s": "BTCUSDT"}]})
    assert reads.begun.wait(10)
    panel.select("ETHUSDT")
    version, now = panel.table["version"], panel.leverage
    reads.go_on.set()
    simulator.exchange.change_elsewhere("ETHUSDT", 25)  # the stream's thread handles it after the read
    until(lambda: panel.table["current"] == 25)
    assert (panel.symbol, panel.table["symbol"], panel.table["version"]) == (
        "ETHUSDT",
        "ETHUSDT",
        version + 1,
    )
    assert now != 25


def test_an_older_read_is_not_drawn_over_a_newer(
    panel: LeveragePanel, account: Account, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of two reads of one symbol at the same time the one that began later is shown."""
    reads = SlowReads(account, monkeypatch)
    thread = threading.Thread(target=panel.reload)
    thread.start()
    assert reads.begun.wait(10)
    simulator.exchange.account.set_leverage("BTCUSDT", 33)  # without an event
    panel.reload()
    reads.go_on.set()
    thread.join(10)
    assert panel.table["current"] == 33


def test_lines_of_another_account_name_it(simulator: Simulator, shell: Any) -> None:
    """Copied code and hints of a panel whose account is not in use name its venue and profile, also after a switch."""
    account = connect_to(simulator, "testnet", profile="sub1")
    panel = LeveragePanel(account, "ETHUSDT")
    assert panel.options == " --venue testnet --profile sub1"
    click(panel, "isolated margin", panel.leverage, amount="50k", direction="add")
    assert "--confirm 50000 --venue testnet --profile sub1" in panel.message
    session.switch("testnet", "sub1")
    follow_session()
    assert panel.options == ""
    session.switch("simulator")
    follow_session()
    assert panel.options == " --venue testnet --profile sub1"
