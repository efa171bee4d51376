"""The reads that make tiers and state, against the simulator."""

from __future__ import annotations

import threading

import pytest
import responses

from leverage_nb.account import Account
from leverage_nb.errors import NotConnected, UnexpectedAnswer
from leverage_nb.exchange import snapshot
from leverage_nb.exchange.credentials import Credentials
from leverage_nb.exchange.rest import RestClient
from leverage_nb.exchange.venues import VENUES
from leverage_nb.simulator import Simulator

BASE = "https://demo-fapi.binance.com"


def test_state_agrees_with_the_simulators_own_books(simulator: Simulator, account: Account) -> None:
    """Positions, balances, settings and modes are those of the exchange."""
    state = account.state()
    books = simulator.exchange.account
    by_symbol = {position.symbol: position for position in state.positions}
    assert by_symbol.keys() == {"BTCUSDT", "ETHUSDT", "SOLUSDT"}
    assert by_symbol["BTCUSDT"].side == "long"
    assert by_symbol["ETHUSDT"].side == "short"
    assert by_symbol["SOLUSDT"].side == "flat"
    assert by_symbol["SOLUSDT"].orders_bid == 13_000
    for symbol in books.market.symbols:
        assert state.settings[symbol].leverage == books.leverage(symbol)
        assert state.exposure(symbol) == pytest.approx(float(books.exposure(symbol)))
    assert state.balances["USDT"].available == pytest.approx(float(books.available("USDT")))
    assert (state.hedge_mode, state.multi_assets) == (False, False)
    assert state.settings["ETHBTC"].margin_asset == "BTC"


def test_a_failing_read_fails_the_whole_state(simulator: Simulator, account: Account) -> None:
    """When the exchange is gone, no half of a state is returned, and no thread is left behind."""
    account.state()
    simulator.close()
    before = threading.active_count()
    with pytest.raises(NotConnected):
        account.state()
    assert threading.active_count() <= before


@responses.activate
@pytest.mark.parametrize("rows", ["[]", '[{"symbol":"ETHUSDT","marginType":"CROSSED","leverage":5}]'])
def test_a_setting_of_another_symbol_is_not_taken(rows: str) -> None:
    """An answer that does not name the symbol asked for is no setting of it."""
    responses.get(f"{BASE}/fapi/v1/symbolConfig", body=rows)
    client = RestClient(VENUES["testnet"], Credentials("k", "s"))
    with pytest.raises(UnexpectedAnswer, match="does not name BTCUSDT"):
        snapshot.read_setting(client, "BTCUSDT")


@responses.activate
def test_one_symbols_bad_tiers_are_said() -> None:
    """When one symbol is asked for and its tiers are flawed, the error names the flaw."""
    tier = {"initialLeverage": 5, "notionalFloor": 7, "notionalCap": 9, "maintMarginRatio": 0.1, "cum": 0}
    responses.get(f"{BASE}/fapi/v1/leverageBracket", json={"symbol": "X", "brackets": [tier]})
    client = RestClient(VENUES["testnet"], Credentials("k", "s"))
    with pytest.raises(UnexpectedAnswer, match="first floor is not 0"):
        snapshot.read_brackets(client, "X")
