"""A ``%leverage`` line becomes words and options, and a value never changes the command."""

from __future__ import annotations

import argparse
import re
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from leverage_nb.errors import InvalidInput
from leverage_nb.notebook.line_words import MAX_LINE, is_quiet, parse_line, read_words, words_so_far
from leverage_nb.notebook.magic import LeverageMagics

NAMES: dict[str, Any] = {
    "s": "ETHUSDT", "n": 7, "base": "BTC", "row": {"a b": "SOLUSDT", "#": "XRPUSDT", "}": "ADAUSDT"}, "size": 250_000.4,
    "whole": 10.0, "price": Decimal("10.50"), "table": pd.DataFrame({"symbol": ["BNBUSDT"], "leverage": [3]}),
    "fifth": np.int64(5), "half": np.float32(0.5),
}  # fmt: skip


def parse(line: str, **names: Any) -> argparse.Namespace:
    """Parse a line as %leverage does."""
    return parse_line(LeverageMagics.leverage.parser, line, NAMES | names)


def failure(line: str, **names: Any) -> str:
    """Return the message of the InvalidInput that a line raises."""
    with pytest.raises(InvalidInput) as caught:
        parse(line, **names)
    assert type(caught.value) is InvalidInput
    return str(caught.value)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []), ("   ", []), (";", []), ("# only a comment", []), ("BTCUSDT 10", ["BTCUSDT", "10"]),
        ("  BTCUSDT \t 10  ", ["BTCUSDT", "10"]), ("BTCUSDT 10;", ["BTCUSDT", "10"]),
        ("BTCUSDT 10 ;; # {no field} ' }", ["BTCUSDT", "10"]), ("BTC#1", ["BTC#1"]),
        ("{s} {n}", ["ETHUSDT", "7"]), ("$s $n;", ["ETHUSDT", "7"]), ("{s}; # it", ["ETHUSDT"]),
        ("{row['a b']} 10", ["SOLUSDT", "10"]), ('{ row["a b"] } 10', ["SOLUSDT", "10"]),
        ("{row['#']}", ["XRPUSDT"]), ("{row['}']} 1", ["ADAUSDT", "1"]), ("{[*row.values()][0]}", ["SOLUSDT"]),
        ("{ {'x': s}['x'] }", ["ETHUSDT"]), ("{s if n > 1 else base}", ["ETHUSDT"]), ("{row['a' ' b']}", ["SOLUSDT"]),
        ("{s[:3]}USDT", ["ETHUSDT"]), ("{base}USDT 10", ["BTCUSDT", "10"]), ("{base}{s[3:]}", ["BTCUSDT"]),
        ("{''' '''.strip() + s}", ["ETHUSDT"]), ("{max(n, 3)}", ["7"]), ("{n != 8 and n}", ["7"]),
        ("{table.symbol[0]} {table.leverage[0]}", ["BNBUSDT", "3"]), ("$table.size", ["2"]), ("$s.", ["ETHUSDT."]),
        ("--notional {size:.0f}", ["--notional", "250000"]), ("--notional={size:.0f}", ["--notional=250000"]),
        ("{size:.{n}f}", None), ("{s!s:.3}", ["ETH"]), ("{s!r}", ["'ETHUSDT'"]), ("{n:+d}", ["+7"]),
        ("{whole} {price} {fifth} {half}", ["10", "10.50", "5", "0.5"]), ("{Decimal}", None),
        ("{{s}} $$s $$ $5", ["{s}", "$s", "$$", "$5"]), ("{s}}}", ["ETHUSDT}"]), ("BTC\u00a0USDT", ["BTC", "USDT"]),
    ],
)  # fmt: skip
def test_words_and_fields(line: str, words: list[str] | None) -> None:
    """White space outside fields separates words, a field gives one value, and only typed comments are removed."""
    if words is None:
        with pytest.raises(InvalidInput, match="was not filled in"):
            read_words(line, NAMES)
    else:
        assert read_words(line, NAMES) == words


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{nope} 10", "{nope} was not filled in: there is no variable nope here. Assign it first."),
        ("$nope", "$nope was not filled in: there is no variable nope here"),
        ("{row['x']}", "{row['x']} was not filled in: KeyError: 'x'"),
        ("$s.nope", "$s.nope was not filled in: AttributeError"),
        ("{1/0}", "ZeroDivisionError"), ("{s s}", "{s s} was not filled in: it is not a Python expression"),
        ("{s=}", "it is not a Python expression"), ("{s:d}", "ValueError: Unknown format code"),
        ("{s!x}", "Use !r, !s or !a"), ("{10**5000}", "ValueError"), ("{'(' * 9", "has no closing brace"),
        ("{} 10", "{} is empty"), ("{ }", "{ } is empty"), ("{:.2f}", "{:.2f} is empty"),
        ("BTCUSDT {s", "{s has no closing brace"), ("BTCUSDT s}", "a } without a {"),
        ("{row['a b}", "has no closing brace"), ("'BTCUSDT' 10", "a quotation mark (') outside braces"),
        ("BTCUSDT --nope", "Unrecognized arguments: --nope. %leverage? lists the options."),
        ("BTCUSDT --ven mainnet", "Unrecognized arguments: --ven"),
        ("BTCUSDT --venue simulator 10", "Options come last."),
        ("BTCUSDT --yes=1", "ignored explicit argument"), ("BTCUSDT 1 -y -y", "-y is given twice"),
    ],
)  # fmt: skip
def test_an_invalid_line_names_the_reason(line: str, message: str) -> None:
    """An invalid line raises InvalidInput with the field, the reason and the next step."""
    assert message in failure(line)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("BTCUSDT 20 -y --venue mainnet #", "its value 'BTCUSDT 20 -y --venue mainnet #' contains white space"),
        ("BTC\tUSDT", "contains white space"), ("BTC\u2028USDT", "contains white space"), (" BTCUSDT", "white space"),
        ("BTC\x00USDT", "contains a control character"), ("BTC\u202eUSDT", "contains a control character"),
        ("\x1b[31m", "contains a control character"), ("\ud800", "contains a control character"), ("", "is empty"),
        ("-y", 'starts with "-"'), ("--venue=mainnet", 'starts with "-"'), ("-", 'starts with "-"'),
        (-5, 'starts with "-"'), ("#", 'starts with "#"'), ("max", "is the word max"), ("MAX", "is the word max"),
        ("isolated", "is a margin type"), ("Cross", "is a margin type"), ("crossed", "is a margin type"),
        ("<=20", "contains a comparison"), ("=20", "contains a comparison"), ("BTCUSDT<=5", "contains a comparison"),
        ("*", "contains *"), ("BTCUSDT,ETHUSDT", "contains a comma"), ("x" * 101, "has 101 characters"),
        (None, "its value is None"), (True, "of type bool"), (np.True_, "of type bool"), (["BTCUSDT"], "of type list"),
        (b"BTCUSDT", "of type bytes"), (pd.Series(["BTCUSDT"]), "of type Series"),
        (float("nan"), "is nan, not a finite"), (Decimal("Infinity"), "is Infinity, not a finite"),
        (1j, "of type complex"), (Decimal("sNaN"), "ValueError"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("line", ["{x} 10", "$x", "BTCUSDT {x}", "max --notional {x}", "--venue={x}", "--profile $x"])
def test_a_value_is_one_word(line: str, value: object, reason: str) -> None:
    """A value that is not a single word is refused in every slot, with the field and the reason."""
    message = failure(line, x=value)
    assert reason in message
    assert "x} was not filled in" in message or "$x was not filled in" in message
    assert message.isprintable()


@pytest.mark.parametrize(
    ("line", "value", "reason"),
    [
        ("-{x}", "y", "-{x} is an option with a field"), ("--{x}", "yes", "--{x} is an option with a field"),
        ("-n{x}", "y", "-n{x} is an option with a field"), ("-$x", "y", "-$x is an option with a field"),
        ("--ven{x}", "ue=mainnet", "contains a comparison"), ("--{x}=mainnet", "venue", "is an option with a field"),
        ("m{x}", "ax", "'max' is the word max"), ("{x}x", "ma", "'max' is the word max"),
        ("iso{x}", "lated", "'isolated' is a margin type"), ("{x}ed", "cross", "is a margin type"),
        ("<{x}", "=20", "contains a comparison"), ("m<={x}", "ax", "'max' is the word max"),
    ],
)  # fmt: skip
def test_text_and_value_together_are_a_value(line: str, value: str, reason: str) -> None:
    """Literal text and a value together cannot form an option or a keyword either, and the error says which."""
    assert reason in failure(line, x=value)


def test_a_long_path_is_a_word() -> None:
    """A path may be as long as Windows and macOS make those of temporary folders, and have backslashes."""
    path = rf"C:\Users\somebody\{'folder' * 40}\risk.toml"
    assert read_words(f"--policy {path}", {}) == ["--policy", path]


def test_long_input_is_bounded() -> None:
    """Long lines, words and values are refused, and messages repeat only a part of them."""
    assert f"{MAX_LINE + 1:,} characters; at most 4,000" in failure("B" * (MAX_LINE + 1))
    for message in (
        failure("B" * 3000), failure("{s" + "s" * 3000 + "}"), failure("-" + "-n" * 1500),
        failure("{s} {" + "x" * 3000), failure("{x}", x="B" * 10**6), failure("{x}", x=ValueError),
        failure("{row['" + "y" * 3000 + "']}"),
    ):  # fmt: skip
        assert len(message) < 400
    for part in ("{", "'", '"', "{(", "'''", "\\'", "$a ", "{s}", "#", "{s!"):
        line = "{" + part * ((MAX_LINE - 1) // len(part))
        with pytest.raises(InvalidInput):
            read_words(line, {})


def test_expressions_do_not_change_the_notebook() -> None:
    """An assignment in a field is visible in the line only."""
    names: dict[str, Any] = {"s": "BTCUSDT"}
    assert read_words("{(s := 'ETHUSDT')} {s}", names) == ["ETHUSDT", "ETHUSDT"]
    assert names == {"s": "BTCUSDT"}


LINES = (
    "{x} 10", "BTCUSDT {x}", "BTCUSDT {x} -n", "$x $x", "{x}USDT 10", "BTC{x} max", "BTCUSDT max --notional {x}",
    "BTCUSDT 10 --profile {x} --venue {x}", "--venue={x}", "--login {x}", "-n --force {x}", "{x} --brackets # {x}",
    "BTCUSDT 10 -{x}", "BTCUSDT --ven{x}", "BTCUSDT {x!s};", "BTCUSDT {x!r:.9}",
)  # fmt: skip
TRICKS = st.text("-ynhmaxMAX#*;,<=>{}$'\" \tvenue", max_size=20)


KEYWORD = re.compile(r"^(max|cross|crossed|isolated)$|[<>=≤≥*]")


def shape(options: argparse.Namespace) -> dict[str, Any]:
    """Return a command without its values: flags, options with an argument, the number of words, which are keywords."""
    given = vars(options)
    return {
        name: [bool(KEYWORD.search(word.lower())) for word in value] if isinstance(value, list) else not value
        for name, value in given.items()
    }


@given(line=st.sampled_from(LINES), value=st.text() | TRICKS | st.floats() | st.integers() | st.decimals())
@example(line="{x} 10", value="BTCUSDT 20 -y --venue mainnet #")
@example(line="$x $x", value="{y}")
@example(line="BTCUSDT {x!s};", value="10;")
def test_no_value_changes_the_command(line: str, value: Any) -> None:
    """For any value, the line is refused or is the same command with that value in its slot."""
    try:
        options = parse(line, x=value, y="-y")
    except InvalidInput:
        return
    plain = parse(line, x="PLACE")
    assert shape(options) == shape(plain)
    literal = [(now, word) for now, word in zip(options.words, plain.words, strict=True) if "PLACE" not in word]
    assert all(now == word for now, word in literal)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ([], "")), ("B", ([], "B")), ("BTCUSDT ", (["BTCUSDT"], "")), ("a  1", (["a"], "1")),
        ("{row['a b']} 1", (["{row['a b']}"], "1")), ("{s}U", ([], "{s}U")), ("{ro", None), ("'B", None),
        ("a # b", None),
    ],
)  # fmt: skip
def test_the_words_before_the_cursor(text: str, words: tuple[list[str], str] | None) -> None:
    """Completion gets the words as typed, and nothing in open fields, comments and quotation marks."""
    assert words_so_far(text) == words


@pytest.mark.parametrize(
    ("line", "quiet"),
    [
        ("BTCUSDT 10;", True), ("BTCUSDT 10 ;", True), ("BTCUSDT 10;  # lower", True), ("{s};", True), (";", True),
        ("BTCUSDT 10", False), ("BTCUSDT 10 # lower;", False), ("{';'}", False), ("", False),
    ],
)  # fmt: skip
def test_a_semicolon_at_the_end_means_quiet(line: str, quiet: bool) -> None:
    """A line is quiet if its last typed character before a comment is a semicolon."""
    assert is_quiet(line) == quiet


def test_a_missing_argument_comes_with_an_example() -> None:
    """Every option that needs a value is named with one that can be typed."""
    options = [action for action in LeverageMagics.leverage.parser._actions if action.nargs != 0]
    names = [name for action in options for name in action.option_strings]
    assert len(names) > 10
    for name in names:
        assert f"{name} needs a value. Try: {name} " in failure(f"BTCUSDT {name}")
        assert "NAME" not in failure(f"BTCUSDT {name}") or name == "--profile"


def test_a_key_among_the_words_is_not_repeated() -> None:
    """Whatever is wrong with a line, its message leaves out a word that could be a key."""
    key = "a1B2c3D4" * 8
    for line in (
        f"BTCUSDT --nope {key}",
        f"BTCUSDT --yes=1 {key}",
        f"{{row['{key}']}}",
        f"{{{key} +}}",
        "{x} 10",
        "w" + key * 9,
    ):
        assert key[:20] not in failure(line, x=f"{key} {key}")
