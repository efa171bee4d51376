"""Symbols as people write them."""

from __future__ import annotations

import time

import pytest

from leverage_nb.risk.user_input import normalize, suggest

LISTED = ("BTCUSDT", "ETHUSDT", "SOLUSDT", "ETHBTC", "42USDT", "哈基米USDT")


@pytest.mark.parametrize(
    ("text", "symbol"),
    [
        ("BTCUSDT", "BTCUSDT"), ("btcusdt", "BTCUSDT"), (" BTC/USDT ", "BTCUSDT"), ("btc/usdt:usdt", "BTCUSDT"),
        ("BTC/USDT:USDT-261225", "BTCUSDT_261225"), ("哈基米usdt", "哈基米USDT"),
        ("BTC/USDT:BTC", "BTC/USDT:BTC"), ("ETH/BTC:BTC", "ETHBTC"),
    ],
)  # fmt: skip
def test_every_common_spelling_is_understood(text: str, symbol: str) -> None:
    """Lower case and ccxt's spelling mean Binance's symbol."""
    assert normalize(text) == symbol


@pytest.mark.parametrize(
    ("typed", "first"), [("BTCUSTD", "BTCUSDT"), ("BTC", "BTCUSDT"), ("SOLUSD", "SOLUSDT"), ("42", "42USDT")]
)
def test_the_likely_symbol_is_suggested_first(typed: str, first: str) -> None:
    """A swapped letter or a bare base asset leads to the symbol that was meant."""
    assert suggest(typed, LISTED)[0] == first


def test_nothing_far_fetched_is_suggested() -> None:
    """What looks like no symbol gets no suggestion."""
    assert suggest("FOO", LISTED) == ()
    assert suggest("BTCUSDT", ()) == ()


def test_long_texts_cost_no_time() -> None:
    """A text longer than any symbol is no symbol's, and nothing is suggested for it."""
    long = "/" * 200_000 + "USDT:" * 10_000
    started = time.perf_counter()
    assert normalize(long) not in LISTED
    assert suggest(long, LISTED * 200) == ()
    assert normalize("BTCUSDT" + " " * 100 + "x") not in LISTED
    assert time.perf_counter() - started < 0.5
