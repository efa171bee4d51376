"""Decoding is lax where Binance is, and strict where a bad value would become a wrong figure."""

from __future__ import annotations

import json
from typing import Any

import pytest

from leverage_nb.binance import messages
from leverage_nb.binance.reader import make_bracket_table
from leverage_nb.errors import UnexpectedAnswer

TIER = {
    "bracket": 1,
    "initialLeverage": 75,
    "notionalCap": 10100,
    "notionalFloor": 0,
    "maintMarginRatio": 0.0065,
    "cum": 0.0,
}
SECOND = {
    **TIER,
    "bracket": 2,
    "initialLeverage": 50,
    "notionalFloor": 10100,
    "notionalCap": 50000,
    "maintMarginRatio": 0.01,
    "cum": 35.35,
}


def body(content: Any) -> bytes:
    """Return content as the bytes of a JSON answer."""
    return json.dumps(content, ensure_ascii=False).encode()


def table(content: Any) -> Any:
    """Return the tiers of a ``leverageBracket`` answer."""
    return make_bracket_table(*messages.decode_brackets(body(content), "the answer"))


def test_brackets_as_object_or_list() -> None:
    """The tiers of one symbol may come as an object or as a list."""
    row = {"symbol": "ETHUSDT", "brackets": [TIER]}
    for content in (row, [row]):
        assert table(content)["ETHUSDT"].symbol_max_leverage == 75


@pytest.mark.parametrize(("coef", "read"), [({"notionalCoef": 1.5}, 1.5), ({"notionalCoef": "4.0"}, 4.0), ({}, None)])
def test_notional_coef_as_number_string_or_absent(coef: dict[str, Any], read: float | None) -> None:
    """NotionalCoef is read in each of its forms, and no figure is multiplied by it."""
    tiers = table({"symbol": "ETHUSDT", "brackets": [TIER], **coef})["ETHUSDT"]
    assert tiers.notional_coef == read
    assert tiers.last_cap == 10_100


def test_fractional_cum_strings_and_unsorted_tiers() -> None:
    """Cum may be fractional, numbers may be strings, and tiers may come in any order."""
    first = {**TIER, "notionalCap": "10100", "cum": "0"}
    tiers = table([{"symbol": "X", "brackets": [SECOND, first], "new": True}])["X"]
    assert tiers.cum.tolist() == [0, 35.35]
    assert tiers.initial_leverage.tolist() == [75, 50]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"symbol": "BAD", "brackets": "none"}, "Expected `array`"),
        ({"symbol": "BAD", "brackets": [{**TIER, "cum": None}]}, "cum"),
        ({"symbol": "BAD", "brackets": [{k: v for k, v in TIER.items() if k != "notionalCap"}]}, "notionalCap"),
        ({"symbol": "BAD", "brackets": []}, "there are none"),
        ({"symbol": "BAD", "brackets": [TIER, {**SECOND, "notionalFloor": 20000}]}, "gap or an overlap"),
        ({"symbol": "BAD", "brackets": [{**TIER, "initialLeverage": 0}]}, "below 1"),
        ({"symbol": "BAD", "brackets": [{**TIER, "cum": "nan"}]}, "Expected `float`"),
        ({"symbol": "BAD", "brackets": [{**TIER, "cum": 1e9}]}, "cum that does not follow"),
        ({"symbol": "BAD", "brackets": [TIER, {**SECOND, "cum": 350}]}, "cum that does not follow"),
        ({"symbol": "BAD", "brackets": [TIER, {**SECOND, "maintMarginRatio": 0.005}]}, "does not rise"),
        ({"symbol": "BAD", "brackets": [{**TIER, "initialLeverage": 2**63 - 1}]}, "Expected `int` <= 100000"),
        ({"symbol": "BAD", "brackets": [{**TIER, "initialLeverage": 20_000}]}, "above 10,000"),
        ({"symbol": "BAD", "brackets": [{**TIER, "notionalCap": 1e40}]}, "Expected `float` <= 1e+30"),
        ({"symbol": "BAD", "brackets": [TIER], "notionalCoef": "nan"}, "Expected `float`"),
    ],
)
def test_a_bad_row_is_skipped_and_named(row: dict[str, Any], reason: str) -> None:
    """Bad tiers of one symbol are skipped with the reason, and do not affect other symbols."""
    read = table([row, {"symbol": "GOOD", "brackets": [TIER, SECOND]}])
    assert list(read) == ["GOOD"]
    assert reason in read.skipped["BAD"]
    assert read["GOOD"].last_cap == 50_000
    assert read.to_frame().attrs["skipped"].keys() == {"BAD"}


@pytest.mark.parametrize(
    "junk", [b"", b"<html>busy</html>", b'[{"symbol": "BTC', b"null", b'"x"', b"[1, 2]", b"[" * 100_000]
)
def test_other_content_is_never_decoded_as_an_answer(junk: bytes) -> None:
    """HTML, incomplete JSON and other structures raise UnexpectedAnswer."""
    with pytest.raises(UnexpectedAnswer, match="the answer"):
        messages.decode_brackets(junk, "the answer")
    with pytest.raises(UnexpectedAnswer):
        messages.decode(messages.ServerTime, junk, "the answer")


@pytest.mark.parametrize("figure", ["inf", "-inf", "nan", 1e31, "-1e31", 10**40])
def test_figures_must_be_finite_and_bounded(figure: Any) -> None:
    """A number that is not finite, or larger than any amount of money, is an error."""
    row = {"symbol": "X", "marginType": "CROSSED", "leverage": 5, "maxNotionalValue": figure}
    with pytest.raises(UnexpectedAnswer, match="Expected `float`"):
        messages.decode(list[messages.SymbolConfig], body([row]), "the answer")


@pytest.mark.parametrize("leverage", [-1, 100_001, 10**18, 10**30, "9" * 5000])
def test_leverages_are_bounded(leverage: Any) -> None:
    """A leverage below 0 or above 100,000 is an error."""
    row = {"symbol": "X", "marginType": "CROSSED", "leverage": leverage}
    with pytest.raises(UnexpectedAnswer):
        messages.decode(list[messages.SymbolConfig], body([row]), "the answer")
    with pytest.raises(UnexpectedAnswer):
        messages.decode(messages.ChangedLeverage, body(row), "the answer")


def test_a_leverage_that_is_not_set_decodes() -> None:
    """The testnet answers 0 for a symbol whose leverage was never set, and that decodes."""
    row = {"symbol": "X", "marginType": "CROSSED", "leverage": 0}
    assert messages.decode(list[messages.SymbolConfig], body([row]), "the answer")[0].leverage == 0


@pytest.mark.parametrize("moment", [10**16 + 1, -(10**17), 10**17, 1e30])
def test_a_servers_time_is_bounded(moment: Any) -> None:
    """A time beyond every calendar is an error; a wrong time within the bounds decodes."""
    with pytest.raises(UnexpectedAnswer, match="the answer is not what Binance documents"):
        messages.decode(messages.ServerTime, body({"serverTime": moment}), "the answer")
    assert messages.decode(messages.ServerTime, body({"serverTime": -(10**16)}), "the answer").server_time == -(10**16)


def test_limits_are_bounded() -> None:
    """A rate limit beyond the bounds is an error."""
    limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 10**12}
    with pytest.raises(UnexpectedAnswer):
        messages.decode(messages.ExchangeInfo, body({"symbols": [], "rateLimits": [limit]}), "the answer")


def test_lax_numbers_and_unknown_values() -> None:
    """A number may be a string, an enumeration may have new values, fields may be added."""
    row = {
        "symbol": "X",
        "marginType": "PORTFOLIO",
        "leverage": "5",
        "maxNotionalValue": 9.223372036854775807e18,
        "z": 1,
    }
    read = messages.decode(list[messages.SymbolConfig], body([row]), "the answer")[0]
    assert (read.leverage, read.margin_type) == (5, "PORTFOLIO")


def test_errors_do_not_repeat_what_was_sent() -> None:
    """The error for an answer that does not decode describes it without repeating it."""
    with pytest.raises(UnexpectedAnswer) as caught:
        messages.decode(messages.ServerTime, b"<html>your signature=abc</html>", "the answer")
    assert "HTML" in caught.value.message
    assert "abc" not in str(caught.value)


def test_a_symbol_listed_twice_is_skipped() -> None:
    """A symbol with two lists of tiers is skipped, because either may be wrong."""
    row = {"symbol": "X", "brackets": [TIER]}
    read = table([row, {"symbol": "Y", "brackets": [TIER]}, row])
    assert list(read) == ["Y"]
    assert "twice" in read.skipped["X"]


def test_a_row_that_is_not_utf8_is_skipped() -> None:
    """A row with a name that is not UTF-8 is skipped, and raises no other error."""
    good = body({"symbol": "GOOD", "brackets": [TIER]})
    rows, skipped = messages.decode_brackets(b'[{"symbol":"\xff\xfe","brackets":1},' + good + b"]", "the answer")
    assert [row.symbol for row in rows] == ["GOOD"]
    assert list(skipped) == ["row 1"]
