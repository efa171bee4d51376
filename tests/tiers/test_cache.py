"""Tiers are read once in five minutes, and again if a symbol or a leverage is unknown."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import requests

from leverage_nb.account import Account, service_of
from leverage_nb.binance import reader
from leverage_nb.errors import (
    InvalidLeverage,
    UnexpectedAnswer,
)
from leverage_nb.simulator import Simulator
from tests.arrivals import edit_answers


def test_a_leverage_above_the_maximum_reads_the_tiers_again(account: Account, simulator: Simulator) -> None:
    """A leverage above the known maximum reads the tiers again, at most every five seconds."""
    account.tiers("SOLUSDT")
    market = simulator.exchange.market.symbols
    first = market["SOLUSDT"].tiers[0]
    raised = (replace(first, initial_leverage=first.initial_leverage + 25), *market["SOLUSDT"].tiers[1:])
    market["SOLUSDT"] = replace(market["SOLUSDT"], tiers=raised)
    with pytest.raises(InvalidLeverage, match="above SOLUSDT's maximum"):
        account.set_leverage("SOLUSDT", first.initial_leverage + 25)
    service_of(account).tiers.reload_after = 0.0
    assert account.set_leverage("SOLUSDT", first.initial_leverage + 25).status == "applied"


def test_tiers_are_cached_and_brackets_are_not(account: Account, simulator: Simulator) -> None:
    """tiers() reads once in five minutes; brackets() reads every time."""

    def used() -> int:
        return int(requests.get(simulator.rest_url + "/fapi/v1/ping", timeout=5).headers["X-MBX-USED-WEIGHT-1M"])

    account.tiers("BTCUSDT")
    before = used()
    account.tiers("ETHUSDT")
    assert used() - before == 1  # the ping alone
    account.brackets("BTCUSDT")
    assert used() - before >= 3


def test_an_unknown_symbol_reads_the_tiers_again(account: Account, simulator: Simulator) -> None:
    """A symbol that the known tiers do not contain is searched in new ones."""
    market = simulator.exchange.market.symbols
    listed = market.pop("BTCUSDT")
    assert "BTCUSDT" not in account.symbols()
    market["BTCUSDT"] = listed
    service_of(account).tiers.reload_after = 0.0
    assert account.tiers("BTCUSDT").symbol_max_leverage == 150


def test_a_symbol_that_begins_to_trade_is_noticed_within_an_hour(account: Account, simulator: Simulator) -> None:
    """The listed symbols are read again beside the tiers when they are an hour old, not before."""
    tiers = service_of(account).tiers
    tiers.load()
    assert tiers.not_trading == {"UXLINKUSDT": "SETTLING", "币安人生USDT": "PENDING_TRADING"}
    market = simulator.exchange.market.symbols
    listing = market["币安人生USDT"].listing | {"status": "TRADING"}
    market["币安人生USDT"] = replace(market["币安人生USDT"], listing=listing)
    tiers.load()
    assert "币安人生USDT" in tiers.not_trading
    tiers.listing_age = 0.0
    tiers.load()
    assert tiers.not_trading == {"UXLINKUSDT": "SETTLING"}
    assert account.set_leverage("币安人生USDT", 5).status == "applied"


def test_unknown_margin_assets_do_not_stop_a_change(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """If exchangeInfo cannot be read, a change is made without the name of its margin asset."""

    def fail(client: Any) -> Any:
        raise UnexpectedAnswer("exchangeInfo is gone")

    monkeypatch.setattr(reader, "read_listing", fail)
    change = account.set_leverage("BTCUSDT", 10)
    assert (change.status, change.margin_asset) == ("applied", "")


@pytest.mark.parametrize(("lacking", "news"), [(1, []), (2, ["SOLUSDT: no longer listed"])])
def test_a_symbol_that_is_missing_is_read_again(
    account: Account, simulator: Simulator, lacking: int, news: list[str]
) -> None:
    """A symbol counts as no longer listed only if a second read, made after a moment, lacks it too."""
    account.brackets()
    left = lacking

    def leave_out(request: Any, answer: Any) -> Any:
        nonlocal left
        if request.path != "/fapi/v1/leverageBracket" or not left:
            return answer
        left -= 1
        rows = [row for row in json.loads(answer.body) if row["symbol"] != "SOLUSDT"]
        return replace(answer, body=json.dumps(rows))

    edit_answers(simulator, leave_out)
    account.brackets()
    assert left == 0
    assert service_of(account).tier_news() == news
