"""Symbols, leverages and notionals are read in every common spelling."""

from __future__ import annotations

import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from leverage_nb.errors import InvalidInput, InvalidLeverage
from leverage_nb.risk.user_input import (
    Wanted,
    normalize,
    parse_leverage,
    parse_margin,
    parse_margin_change,
    parse_notional,
    parse_position,
    parse_wanted,
    read_margin_type,
    suggest,
)

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
    """Lower case and ccxt's spelling give Binance's symbol."""
    assert normalize(text) == symbol


@pytest.mark.parametrize(
    ("typed", "first"), [("BTCUSTD", "BTCUSDT"), ("BTC", "BTCUSDT"), ("SOLUSD", "SOLUSDT"), ("42", "42USDT")]
)
def test_the_likely_symbol_is_suggested_first(typed: str, first: str) -> None:
    """A typing error or a base asset alone leads to the intended symbol."""
    assert suggest(typed, LISTED)[0] == first


def test_only_similar_symbols_are_suggested() -> None:
    """A text that is similar to no symbol gets no suggestion."""
    assert suggest("FOO", LISTED) == ()
    assert suggest("BTCUSDT", ()) == ()


def test_a_long_symbol_is_rejected_at_once() -> None:
    """A text longer than any symbol is not searched for, and gets no suggestion."""
    long = "/" * 200_000 + "USDT:" * 10_000
    started = time.perf_counter()
    assert normalize(long) not in LISTED
    assert suggest(long, LISTED * 200) == ()
    assert normalize("BTCUSDT" + " " * 100 + "x") not in LISTED
    assert time.perf_counter() - started < 0.5


@pytest.mark.parametrize("value", [10, "10", "10x", " 10X ", 10.0, np.int64(10), np.float64(10), Decimal(10)])
def test_a_whole_leverage_is_read_in_every_form(value: Any) -> None:
    """10, "10", "10x" and the 10.0 of a DataFrame all mean 10."""
    assert parse_leverage(value) == 10


@pytest.mark.parametrize(
    "value",
    [
        0,
        -5,
        "0",
        "-5",
        "+5",
        10.5,
        "10.5",
        "1e9",
        "ten",
        "",
        None,
        True,
        np.True_,
        float("nan"),
        float("inf"),
        "١٠",
        10**400,
        Decimal("NaN"),
        Decimal("sNaN"),
        Decimal("1E+999999999"),
        "1" * 100_000,
        "0" * 50 + "10",
        pytest.param(10**10_000, id="an enormous int"),
        [10],
    ],
)
def test_anything_else_is_refused(value: Any) -> None:
    """Anything but a whole number of 1 or more is refused, including True and Arabic digits."""
    with pytest.raises(InvalidLeverage):
        parse_leverage(value)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("250k", 250e3), ("2M", 2e6), ("1.5b", 1.5e9), ("2e6", 2e6), ("2,000,000", 2e6), ("2_000", 2000.0), (".5", 0.5),
        ("5.", 5.0), ("1.5 k", 1500.0), ("1.e3", 1000.0), (" 10 ", 10.0), (50_000, 5e4), (np.float32(2), 2.0),
        (Decimal("1.5"), 1.5), ("1e30", 1e30),
    ],
)  # fmt: skip
def test_a_notional_is_read_in_every_form(written: Any, value: float) -> None:
    """Numbers and their usual short forms are accepted."""
    assert parse_notional(written) == value


@pytest.mark.parametrize(
    "written",
    [
        "", "much", "-5", "0", "1.2.3", "1e", "5kk", "1e31", "9" * 40, "1e999", True, None, float("nan"), float("inf"),
        Decimal("sNaN"), 10**400, [5], "\u0661\u0660",
    ],
)  # fmt: skip
def test_an_invalid_notional_is_refused(written: Any) -> None:
    """Any other text or value, and numbers out of bounds, are refused."""
    with pytest.raises(InvalidInput, match="is not a notional"):
        parse_notional(written)


@pytest.mark.parametrize(
    "written",
    ["1" * 32_000 + "x", "1_" * 100_000 + "x", " " * 1_000_000 + "x", "1" * 39 + "x", "1" * 10 + " " * 29 + "x"],
)
def test_a_long_number_is_rejected_at_once(written: str) -> None:
    """A long text is not parsed, and the message does not repeat it."""
    started = time.perf_counter()
    for parse in (parse_notional, parse_leverage):
        with pytest.raises(InvalidInput) as caught:
            parse(written)
        assert len(str(caught.value)) < 200
    assert time.perf_counter() - started < 0.5


@pytest.mark.parametrize(
    ("typed", "wanted"),
    [
        ("max", Wanted(None)), (" MAX ", Wanted(None)), (20, Wanted(20)), ("20x", Wanted(20)), (20.0, Wanted(20)),
        ("<=20", Wanted(20, is_cap=True)), (" <= 20x ", Wanted(20, is_cap=True)), ("500", Wanted(500)),
    ],
)  # fmt: skip
def test_what_a_row_asks_for_is_read(typed: Any, wanted: Wanted) -> None:
    """A row of a plan asks for a leverage, for max, or for an upper bound; one above the maximum is read too."""
    assert parse_wanted(typed, "BTCUSDT", 150) == wanted


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("<=", "<= has no leverage after it"),
        ("<=0", "0 is not a leverage for BTCUSDT: use a whole number from 1 to 150"),
        ("<=-5", "-5 is not a leverage"), ("<=max", "max is not a leverage"), ("<=2.5", "2.5 is not a leverage"),
        ("<=<=20", "<=20 is not a leverage"), ("=<20", "=<20 is not a leverage. For an upper bound write <=20."),
        ("<20", "For an upper bound write <=20"), (">=20", "For an upper bound"), ("≤20", "For an upper bound"),
        ("=20", "=20 is not a leverage"), ("20<=", "20<= is not a leverage"), (None, "None is not a leverage"),
        (True, "True is not"), ("", "is not a leverage"), ("ten", "ten is not a leverage"),
        (float("nan"), "nan is not"),
        ("<=" + "9" * 50, "is not a leverage"), ("<" * 100_000, "That text is not a leverage"),
    ],
)  # fmt: skip
def test_other_leverages_of_a_row_are_refused(typed: Any, words: str) -> None:
    """Anything else is refused, with the spelling of an upper bound where a comparison was typed."""
    with pytest.raises(InvalidInput) as caught:
        parse_wanted(typed, "BTCUSDT", 150)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("wanted", "current", "highest", "leverage"),
    [
        (Wanted(20, is_cap=True), 50, 100, 20), (Wanted(20, is_cap=True), 20, 100, 20),
        (Wanted(20, is_cap=True), 5, 100, 5), (Wanted(20, is_cap=True), None, 100, 20),
        (Wanted(20, is_cap=True), None, 10, 10), (Wanted(20, is_cap=True), 10, 10, 10),
        (Wanted(20, is_cap=True), 25, 10, 10), (Wanted(200, is_cap=True), 25, 10, 25),
        (Wanted(20), 5, 10, 20), (Wanted(None), 5, 10, None), (Wanted(50, is_cap=True), None, 100, 20),
        (Wanted(15, is_cap=True), None, 100, 15),
    ],
)  # fmt: skip
def test_a_cap_never_raises(wanted: Wanted, current: int | None, highest: int, leverage: int | None) -> None:
    """A bound lowers to itself or the maximum, leaves what is below, and sets no more than Binance's default of 20x."""
    assert wanted.resolve(current, min(20, highest), highest) == leverage


@pytest.mark.parametrize(
    ("typed", "name"),
    [("cross", "cross"), ("CROSSED", "cross"), (" Isolated ", "isolated"), ("iso", ""), ("", ""), (None, ""), (5, "")],
)
def test_margin_types_are_read_in_any_case(typed: Any, name: str) -> None:
    """A margin type is read in any case, also with Binance's spelling of cross."""
    assert read_margin_type(typed) == name


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("2m", 2e6), ("-300k", -3e5), ("\u2212300k", -3e5), (" - 1.5b ", -1.5e9), (-7, -7.0), (np.float64(-2.5), -2.5),
        (Decimal("-1e3"), -1e3), (5, 5.0),
    ],
)  # fmt: skip
def test_a_position_has_a_sign(written: Any, value: float) -> None:
    """The size of a position is a notional; with a minus in front it is a short."""
    assert parse_position(written) == value


@pytest.mark.parametrize(
    "written", [0, -0.0, "-0", "--1", "+-1", "-", "", float("nan"), -float("inf"), True, None, [1]]
)
def test_what_is_no_position(written: Any) -> None:
    """0, more than one sign, and what is no number are errors."""
    with pytest.raises(InvalidInput, match="is not a notional"):
        parse_position(written)


def test_the_message_names_what_is_parsed() -> None:
    """A price that is none is not called a notional."""
    with pytest.raises(InvalidInput, match="much is not a price"):
        parse_notional("much", "a price")


@pytest.mark.parametrize(
    "written", ["1,5", "2,5m", "0,25", "0,500", "1.234,5", "12,34,567", "1,2345", "1,,000", "1,000,", "1_0,000"]
)
@pytest.mark.parametrize("parse", [parse_notional, parse_position, parse_margin, parse_margin_change])
def test_a_decimal_comma_is_refused(parse: Callable[[Any], object], written: str) -> None:
    """A comma that does not separate thousands is an error: 1,5 never becomes 15."""
    with pytest.raises(InvalidInput, match=r"Use a point as the decimal sign: 1\.5\."):
        parse(written)


@pytest.mark.parametrize(("written", "value"), [("1,500", 1500), ("12,345.5", 12345.5), ("2,000,000", 2_000_000)])
def test_commas_separate_thousands(written: str, value: float) -> None:
    """Commas between groups of three digits are accepted in every amount."""
    assert parse_notional(written) == parse_position(written) == float(parse_margin(written)) == value
    assert parse_position(f"-{written}") == -value


def test_a_stop_price_has_no_decimal_comma() -> None:
    """A price with a decimal comma is refused by its own name."""
    with pytest.raises(InvalidInput, match=r"60000,5 is not a price\. Use a point"):
        parse_notional("60000,5", "a price")
