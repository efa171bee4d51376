"""What a panel shows, without a browser's clicks."""

from __future__ import annotations

import threading

from leverage_nb.account import Account
from leverage_nb.notebook.panel import LeveragePanel
from tests.notebook.front_end import click
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
