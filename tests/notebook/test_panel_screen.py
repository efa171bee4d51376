"""What a panel shows, without a browser's clicks."""

from __future__ import annotations

import threading

from leverage_nb.account import Account
from leverage_nb.notebook.panel import LeveragePanel
from leverage_nb.notebook.panel_screen import account_options
from leverage_nb.session import session
from leverage_nb.simulator import Simulator
from tests.arrivals import SETTING, record_requests
from tests.conftest import connect_to
from tests.notebook.front_end import click, wait_until_connected
from tests.waiting import until


def test_the_slider_follows_the_current_leverage_until_it_is_moved(account: Account) -> None:
    """A change elsewhere moves an untouched slider, and leaves a moved one where the user has put it."""
    untouched, moved = LeveragePanel(account, "BTCUSDT"), LeveragePanel(account, "BTCUSDT")
    moved.leverage = 33
    account.set_leverage("BTCUSDT", 15)
    until(lambda: untouched.leverage == 15, seconds=30)
    until(lambda: moved.table["figures"] == untouched.table["figures"], seconds=30)
    assert moved.leverage == 33


def test_a_move_of_the_user_counts_while_the_panel_redraws(panel: LeveragePanel, account: Account) -> None:
    """Each move of the user takes an old message away, also while another thread draws changes of the account."""
    stop = threading.Event()

    def change() -> None:
        while not stop.is_set():
            account.set_leverage("BTCUSDT", 20)
            account.set_leverage("BTCUSDT", 21)

    changing = threading.Thread(target=change)
    changing.start()
    try:
        for leverage in range(30, 45):
            click(panel, "apply", 999)  # a refused input leaves a message
            panel.leverage = leverage
            assert panel.message == ""
    finally:
        stop.set()
        changing.join()


def test_events_of_the_account_are_read(panel: LeveragePanel, simulator: Simulator) -> None:
    """A fill, a balance or a switch of the modes elsewhere is read and shown, and many of them are one read."""
    wait_until_connected(panel)
    held = next(p for p in simulator.exchange.account.positions if p.symbol == "BTCUSDT")
    held.amount -= 1
    arrived = record_requests(simulator)
    for _ in range(20):
        simulator.exchange.emit("ACCOUNT_UPDATE", a={"m": "ORDER", "B": [], "P": [{"s": "BTCUSDT"}]})
    until(lambda: panel.table["position"][0]["side"] == "LONG 4 BTC")
    held.amount -= 1
    simulator.exchange.emit("ACCOUNT_CONFIG_UPDATE", ai={"j": False})
    until(lambda: panel.table["position"][0]["side"] == "LONG 3 BTC")
    assert arrived.count(SETTING) <= 3


def test_events_of_other_symbols_and_assets_cause_no_read(panel: LeveragePanel, simulator: Simulator) -> None:
    """What does not concern the symbol or its margin asset needs no request."""
    wait_until_connected(panel)
    arrived = record_requests(simulator)
    simulator.exchange.emit("ACCOUNT_UPDATE", a={"m": "ORDER", "B": [{"a": "BTC"}], "P": [{"s": "ETHBTC"}]})
    simulator.exchange.change_elsewhere("BTCUSDT", 33)  # handled after it
    until(lambda: panel.table["current"] == 33)
    assert arrived == []


def test_a_change_does_not_renew_the_time_of_the_other_figures(panel: LeveragePanel, account: Account) -> None:
    """Two times are shown: that of the read, and that of the leverage, which a change in a cell updates alone."""
    read = panel.table["asOf"]
    assert panel.table["leverageAsOf"] is None
    account.set_leverage("BTCUSDT", 12)
    until(lambda: panel.table["current"] == 12)
    assert panel.table["asOf"] == read
    assert panel.table["leverageAsOf"]["epoch"] > read["epoch"]
    assert "leverage as of" in panel._twin()["text/plain"]
    panel.reload()
    assert panel.table["leverageAsOf"] is None
    assert panel.table["asOf"]["epoch"] > read["epoch"]


def test_options_of_the_account_without_a_profile(simulator: Simulator) -> None:
    """Where a profile of the same venue is in use, the account without one is named as such."""
    plain = connect_to(simulator, "testnet")
    connect_to(simulator, "testnet", profile="sub1")
    assert account_options(plain) == " --venue testnet"
    session.switch("testnet", "sub1")
    assert account_options(plain) == " --venue testnet --profile no-profile"
