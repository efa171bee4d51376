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


@pytest.mark.parametrize("figure", ["inf", "-inf", "nan", 1e31, "-1e31", 10**40, "", None, True, [], "1,000"])
def test_figures_must_be_finite_and_bounded(figure: Any) -> None:
    """A figure that is no finite number, or larger than any amount of money, is an error."""
    with pytest.raises(UnexpectedAnswer, match="Expected `float`"):
        messages.decode(messages.PremiumIndex, body({"symbol": "X", "markPrice": figure}), "the answer")


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b'"1000000"', 1e6), (b"5e5", 5e5), (b"0", 0), (b'"inf"', None), (b'""', None), (b"null", None),
        (b"1e999", None), (b'"NaN"', None), (b"-5", None), (b"true", None), (b"[]", None), (b'{"a": 1}', None),
    ],
)  # fmt: skip
def test_a_max_notional_that_is_no_number_is_none(written: bytes, read: float | None) -> None:
    """A max notional that is no usable number is None, and the setting or the change that it belongs to decodes."""
    row = b'{"symbol": "X", "marginType": "CROSSED", "leverage": 5, "maxNotionalValue": ' + written + b"}"
    assert messages.decode_rows(messages.SymbolConfig, b"[" + row + b"]", "the answer").good[0].max_notional == read
    assert messages.decode(messages.ChangedLeverage, row, "the answer").max_notional == read


def test_a_missing_max_notional_is_none() -> None:
    """A max notional that is missing is None."""
    row = {"symbol": "X", "leverage": 5}
    assert messages.decode(messages.ChangedLeverage, body(row), "the answer").max_notional is None


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
    """A rate limit that does not decode is ignored."""
    limit = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 10**12}
    for limits, weight in (
        ([limit], 0), ([limit, {**limit, "limit": 2400}], 2400), ([None, 5, {**limit, "limit": "6000"}], 6000),
        (None, 0), ("2400", 0), ({}, 0),
    ):  # fmt: skip
        info = messages.decode(messages.ExchangeInfo, body({"symbols": [], "rateLimits": limits}), "the answer")
        assert info.weight_a_minute == weight


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


def test_a_symbol_with_contradictory_tiers_is_skipped() -> None:
    """A symbol with two lists of tiers is skipped if they differ, because either may be wrong."""
    row = {"symbol": "X", "brackets": [TIER]}
    other = {"symbol": "X", "brackets": [TIER | {"initialLeverage": 7}]}
    read = table([row, {"symbol": "Y", "brackets": [TIER]}, other])
    assert list(read) == ["Y"]
    assert "listed twice" in read.skipped["X"]
    assert list(table([row, row])) == ["X"]


@pytest.mark.parametrize(
    ("rows", "good", "skipped"),
    [
        ([("A", 5), ("B", 5), ("A", 5)], ["A", "B"], []),
        ([("A", 5), ("B", 5), ("A", 6)], ["B"], ["A"]),
        ([("A", 5), ("A", 6), ("A", 5), ("B", 5)], ["B"], ["A"]),
        ([("A", 5), ("B", 5), ("A", "x")], ["B"], ["A"]),
        ([("A", "x"), ("A", 5), ("B", 5)], ["B"], ["A"]),
    ],
)
def test_contradictory_settings_are_skipped_and_named(rows: list[Any], good: list[str], skipped: list[str]) -> None:
    """Settings of one symbol that differ are skipped and named, whatever their order; equal ones count once."""
    content = [{"symbol": symbol, "leverage": leverage, "marginType": "CROSSED"} for symbol, leverage in rows]
    read = messages.decode_rows(messages.SymbolConfig, body(content), "the answer")
    assert [row.symbol for row in read.good] == good
    assert list(read.skipped) == skipped


# The fields of positionRisk v3 as documented, without a symbol.
POSITION = dict.fromkeys(
    (
        "entryPrice", "markPrice", "liquidationPrice", "positionAmt", "unRealizedProfit", "notional", "isolatedWallet",
        "bidNotional", "askNotional", "positionInitialMargin", "openOrderInitialMargin", "maintMargin",
    ),
    "1",
) | {"positionSide": "BOTH", "marginAsset": "USDT"}  # fmt: skip


@pytest.mark.parametrize(
    "odd",
    [
        {"notional": "0"}, {"notional": "-3"}, {"markPrice": "0"}, {"positionAmt": "1000"}, {"maintMargin": None},
        {"positionInitialMargin": "x"},
    ],
)  # fmt: skip
def test_a_position_that_contradicts_itself_is_skipped(odd: dict[str, Any]) -> None:
    """A notional that is not size times mark price, or a missing margin, would become a false figure."""
    good, bad = POSITION | {"symbol": "GOOD"}, POSITION | {"symbol": "BAD"} | odd
    read = messages.decode_rows(messages.PositionRisk, body([good, bad]), "the answer")
    assert [row.symbol for row in read.good] == ["GOOD"]
    assert list(read.skipped) == ["BAD"]


def test_a_list_of_absurd_length_is_refused() -> None:
    """More rows than any exchange has symbols are not decoded one by one, which would take seconds."""
    with pytest.raises(UnexpectedAnswer, match="has 30,000 rows"):
        messages.decode_rows(messages.SymbolConfig, body([{}] * 30_000), "the answer")


def test_the_sides_of_a_hedged_position_are_no_contradiction() -> None:
    """LONG and SHORT of one symbol are two positions; two different LONG rows are skipped, and SHORT is kept."""
    row = POSITION | {"symbol": "X"}
    long, short, other = row | {"positionSide": "LONG"}, row | {"positionSide": "SHORT"}, {"entryPrice": "2"}
    assert len(messages.decode_rows(messages.PositionRisk, body([long, short, long]), "").good) == 2
    read = messages.decode_rows(messages.PositionRisk, body([long, short, long | other]), "the answer")
    assert [one.position_side for one in read.good] == ["SHORT"]
    assert "listed twice" in read.skipped["X"]


def test_a_row_that_is_not_utf8_is_skipped() -> None:
    """A row with a name that is not UTF-8 is skipped, and raises no other error."""
    good = body({"symbol": "GOOD", "brackets": [TIER]})
    rows, skipped = messages.decode_brackets(b'[{"symbol":"\xff\xfe","brackets":1},' + good + b"]", "the answer")
    assert [row.symbol for row in rows] == ["GOOD"]
    assert list(skipped) == ["row 1"]


ODD_NAMES = [
    "BTC\nUSDT", "BTCUSDT\n", "BTC USDT", "$BTC$", "<b>USDT", "BTC'USDT", 'BTC"', "BTC\u202eUSDT", "BTC\x1b[31m",
    "A" * 41, "BTC;", "BTC\u00a0", "BTC\u2028USDT", "*", "BTC/USDT", "{x}",
]  # fmt: skip


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_row_with_an_odd_name_is_skipped_and_named(name: str) -> None:
    """A symbol or asset that is no word is skipped; the reason has the name with escapes."""
    margin = ("walletBalance", "unrealizedProfit", "crossWalletBalance", "crossUnPnl", "initialMargin", "maintMargin")
    figures = dict.fromkeys((*margin, "availableBalance"), "1")
    lists: list[tuple[Any, str, dict[str, Any]]] = [
        (messages.SymbolBrackets, "symbol", {"brackets": [TIER]}),
        (messages.ListedSymbol, "symbol", {"marginAsset": "USDT"}),
        (messages.SymbolConfig, "symbol", {"marginType": "CROSSED", "leverage": 5}),
        (messages.PositionRisk, "symbol", POSITION),
        (messages.AccountAsset, "asset", figures),
    ]
    for kind, key, row in lists:
        rows = messages.decode_rows(kind, body([{**row, key: name}, {**row, key: "GOOD_1"}]), "the answer")
        assert [getattr(one, key) for one in rows.good] == ["GOOD_1"]
        assert list(rows.skipped) == ["row 1"]
        reason = rows.skipped["row 1"]
        assert ascii(name[:40]) in reason
        assert reason.isprintable()
        assert not rows.unnamed


@pytest.mark.parametrize("name", ["BTCUSDT", "BTCUSDT_261225", "1000SATSUSDT", "币安人生USDT", "ÄÖUSDT", "A" * 40])
def test_names_of_any_script_decode(name: str) -> None:
    """Letters of any script, digits and underscores are a name."""
    rows = messages.decode_rows(messages.ListedSymbol, body([{"symbol": name, "marginAsset": "USDT"}, 5]), "the answer")
    assert rows.good[0].symbol == name


def test_an_odd_margin_asset_is_named_by_its_symbol() -> None:
    """A row with a good symbol and an odd asset is skipped under its symbol, and the reason names the field."""
    rows = messages.decode_rows(
        messages.ListedSymbol, body([{"symbol": "BTCUSDT", "marginAsset": "$x$"}, {"symbol": "ETHUSDT"}]), "the answer"
    )
    assert [row.symbol for row in rows.good] == ["ETHUSDT"]
    assert rows.skipped == {"BTCUSDT": "Expected `str` of letters, digits and underscores - at `marginAsset`"}


@pytest.mark.parametrize("row", [None, 5, "x", [], {}, {"symbol": None}, {"symbol": 7}, {"symbol": ""}])
def test_a_row_without_a_name_is_skipped_by_its_place(row: Any) -> None:
    """A row without a symbol is skipped under its place, because nobody knows to which symbol it belongs."""
    good = {"symbol": "X", "marginType": "CROSSED", "leverage": 5}
    rows = messages.decode_rows(messages.SymbolConfig, body([good, row]), "the answer")
    assert [one.symbol for one in rows.good] == ["X"]
    assert list(rows.skipped) == ["row 2"]
    assert rows.unnamed == {"row 2"}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Invalid symbol.", "Invalid symbol."), ("a\nb\tc", "a b c"), ("\x1b[2Jx\x00", "[2Jx"), ("\u202eab", "ab"),
        (" a  b ", "a b"), ("币安", "币安"), ("", ""), ("x" * 501, "x" * 499 + "…"), ("$\\alpha$ <b>", "$\\alpha$ <b>"),
        ("\ud800", ""),
    ],
)  # fmt: skip
def test_text_of_the_exchange_is_one_bounded_line(text: str, shown: str) -> None:
    """Control characters become spaces, and no more than 500 characters are kept."""
    assert messages.as_plain_text(text) == shown
