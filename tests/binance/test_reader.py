"""Typed reads of tiers, settings and account state."""

from __future__ import annotations

import threading
import time
from datetime import datetime
from typing import Any

import pytest
import responses

from leverage_nb.account import Account
from leverage_nb.binance import reader
from leverage_nb.binance.client import RestClient
from leverage_nb.binance.credentials import Credentials
from leverage_nb.binance.venues import VENUES
from leverage_nb.errors import NotConnected, UnexpectedAnswer
from leverage_nb.simulator import Simulator
from tests.interrupting import interrupt_on, interruptible

BASE = "https://demo-fapi.binance.com"


def test_the_state_is_that_of_the_exchange(simulator: Simulator, account: Account) -> None:
    """Positions, balances, settings and modes agree with the simulator's own records."""
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


def test_rates_are_read_in_multi_assets_mode_only(simulator: Simulator, account: Account) -> None:
    """In multi-assets mode the state has the bid and ask rate of each margin asset; otherwise none is read."""
    assert account.state().rates == {}
    books = simulator.exchange.account
    books.multi_assets = True
    rates = account.state().rates
    assert rates.keys() == set(books.assets())
    assert (rates["BTC"].bid, rates["BTC"].ask) == pytest.approx((0.95 * 86_412.5, 1.05 * 86_412.5))


@responses.activate
@pytest.mark.parametrize(
    "answer",
    [{"body": "<html></html>"}, {"json": {}}, {"json": {"code": -1121, "msg": "Invalid symbol."}, "status": 400}],
    ids=["a page", "no list", "a refusal"],
)
def test_without_rates_the_rest_of_the_state_is_read(answer: dict[str, Any]) -> None:
    """If the USD rates cannot be read, they are named, margin is unknown, and settings and positions are read."""
    setting = {"symbol": "BTCUSDT", "marginType": "CROSSED", "leverage": 5, "maxNotionalValue": "1000"}
    asset = dict.fromkeys(("walletBalance", "crossWalletBalance", "availableBalance"), "100") | dict.fromkeys(
        ("unrealizedProfit", "crossUnPnl", "initialMargin", "maintMargin"), "0"
    )
    responses.get(f"{BASE}/fapi/v1/symbolConfig", json=[setting])
    responses.get(f"{BASE}/fapi/v3/positionRisk", json=[])
    responses.get(f"{BASE}/fapi/v3/account", json={"assets": [{"asset": "USDT", **asset}]})
    responses.get(f"{BASE}/fapi/v1/accountConfig", json={"dualSidePosition": False, "multiAssetsMargin": True})
    responses.get(f"{BASE}/fapi/v1/assetIndex", **answer)
    client = RestClient(VENUES["testnet"], Credentials("k", "s"))
    state = reader.read_state(client, lambda: reader.Listing({"BTCUSDT": "USDT"}, {}))
    assert state.settings["BTCUSDT"].leverage == 5
    assert "its USD rate could not be read" in state.skipped["every margin asset"]
    assert state.why_margin_unknown("BTCUSDT") == "the USD rate of USDT is unknown"


def test_a_failing_read_fails_the_whole_state(simulator: Simulator, account: Account) -> None:
    """If the exchange stops answering, no partial state is returned and no thread remains."""
    account.state()
    simulator.close()
    before = threading.active_count()
    with pytest.raises(NotConnected):
        account.state()
    assert threading.active_count() <= before


@responses.activate
@pytest.mark.parametrize("rows", ["[]", '[{"symbol":"ETHUSDT","marginType":"CROSSED","leverage":5}]'])
def test_a_setting_of_another_symbol_is_not_used(rows: str) -> None:
    """An answer that does not name the requested symbol is an error."""
    responses.get(f"{BASE}/fapi/v1/symbolConfig", body=rows)
    client = RestClient(VENUES["testnet"], Credentials("k", "s"))
    with pytest.raises(UnexpectedAnswer, match="does not name BTCUSDT"):
        reader.read_setting(client, "BTCUSDT")


@responses.activate
def test_an_odd_setting_does_not_disable_the_others() -> None:
    """A setting that does not decode is an error for its own symbol only, and the error names the reason."""
    good = {"symbol": "ETHUSDT", "marginType": "CROSSED", "leverage": 5, "maxNotionalValue": "inf"}
    odd = {"symbol": "BTCUSDT", "marginType": "CROSSED", "leverage": "high"}
    responses.get(f"{BASE}/fapi/v1/symbolConfig", json=[odd, good, 5, {**good, "symbol": "A$B"}])
    client = RestClient(VENUES["testnet"], Credentials("k", "s"))
    assert reader.read_setting(client, "ETHUSDT").max_notional is None
    assert reader.read_settings(client, {}).keys() == {"ETHUSDT"}
    with pytest.raises(
        UnexpectedAnswer, match=r"no usable setting of BTCUSDT: Expected `int`.*at `leverage`"
    ) as caught:
        reader.read_setting(client, "BTCUSDT")
    assert "Other symbols are not affected" in caught.value.hint


STATUSES = {"A": "SETTLING", "B": "A_NEW_ONE", "C": "TRADING", "D": "<b>", "E": 5, "F": None}


@responses.activate
def test_an_odd_listing_does_not_disable_the_others() -> None:
    """A symbol that does not decode has no margin asset; a status that is missing or unreadable counts as trading."""
    limits = [{"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 2400}, "x"]
    rows = [{"symbol": "BTCUSDT", "marginAsset": 5}, None, {"symbol": "ETHUSDC", "marginAsset": "USDC"}]
    rows += [{"symbol": name, "status": status} for name, status in STATUSES.items()]
    responses.get(f"{BASE}/fapi/v1/exchangeInfo", json={"symbols": rows, "rateLimits": limits})
    assets, not_trading, _ = reader.read_listing(RestClient(VENUES["testnet"], Credentials("k", "s")))
    assert (assets["ETHUSDC"], assets["BTCUSDT"]) == ("USDC", "")
    assert not_trading == {"A": "SETTLING", "B": "A_NEW_ONE"}


@responses.activate
def test_bad_tiers_of_a_requested_symbol_are_an_error() -> None:
    """If the tiers of the requested symbol are flawed, the error names the flaw."""
    tier = {"initialLeverage": 5, "notionalFloor": 7, "notionalCap": 9, "maintMarginRatio": 0.1, "cum": 0}
    responses.get(f"{BASE}/fapi/v1/leverageBracket", json={"symbol": "X", "brackets": [tier]})
    client = RestClient(VENUES["testnet"], Credentials("k", "s"))
    with pytest.raises(UnexpectedAnswer, match="first floor is not 0"):
        reader.read_brackets(client, "X")


def test_a_setting_has_the_time_of_its_read(account: Account) -> None:
    """A setting has the time at which its request was sent, by both clocks; neither counts in a comparison."""
    before, earlier = time.monotonic(), datetime.now().astimezone()
    setting, again = account.setting("BTCUSDT"), account.setting("BTCUSDT")
    assert before <= setting.read_at <= again.read_at <= time.monotonic()
    assert setting.as_of is not None
    assert earlier <= setting.as_of <= datetime.now().astimezone()
    assert setting == again


def test_independent_reads_run_at_the_same_time() -> None:
    """Reads of one state run in parallel, and their results keep their order."""
    together = threading.Barrier(3, timeout=10)
    results = reader.read_together(*(lambda place=place: (together.wait(), place)[1] for place in range(3)))
    assert results == [0, 1, 2]


def test_the_first_failure_is_raised_after_all_reads_have_ended() -> None:
    """Of several failures the first in order is raised, when no read is running any more."""
    ended: list[int] = []

    def fail(place: int) -> None:
        ended.append(place)
        raise UnexpectedAnswer(f"number {place}")

    with pytest.raises(UnexpectedAnswer, match="number 1"):
        reader.read_together(lambda: ended.append(0), lambda: fail(1), lambda: fail(2))
    assert sorted(ended) == [0, 1, 2]


def test_an_interrupt_cancels_all_parallel_reads(account: Account, simulator: Simulator) -> None:
    """An interrupt ends a read of the state at once, and the next read works."""
    account.state()
    simulator.inject("late_answer", on="GET *", times=4, seconds=0.5)
    interrupt_on(simulator, "GET", "/fapi/v1/symbolConfig")
    with interruptible(), pytest.raises(KeyboardInterrupt):
        account.state()
    assert account.state().settings["BTCUSDT"].leverage == 20


@responses.activate
def test_a_mark_price_of_another_symbol_is_not_used() -> None:
    """An answer with another symbol's mark price is an error."""
    responses.get(f"{BASE}/fapi/v1/premiumIndex", json={"symbol": "ETHUSDT", "markPrice": "1"})
    client = RestClient(VENUES["testnet"], Credentials("k", "s"))
    with pytest.raises(UnexpectedAnswer, match="does not name BTCUSDT"):
        reader.read_mark_price(client, "BTCUSDT")


@responses.activate
@pytest.mark.parametrize(
    ("rows", "alias"),
    [
        ([], ""),
        ([{"accountAlias": "fWuX"}, {"accountAlias": "fWuX"}], "fWuX"),
        ([None, {"accountAlias": 5}, {"accountAlias": "fWuX\n"}], "fWuX"),
    ],
)
def test_the_alias_of_an_account(rows: list[dict[str, Any]], alias: str) -> None:
    """The alias is that of the balance rows; an account without rows has none yet."""
    responses.get(f"{BASE}/fapi/v3/balance", json=rows)
    assert reader.read_alias(RestClient(VENUES["testnet"], Credentials("k", "s"))) == alias
