"""The words and options of a line become one command, or an error that names the command that was meant."""

from __future__ import annotations

import pytest

from leverage_nb.errors import InvalidInput
from leverage_nb.notebook.command import Command, makes_changes, read_command, split_symbols
from leverage_nb.notebook.line_words import parse_line
from leverage_nb.notebook.magic import LeverageMagics


def read(line: str, *, is_cell: bool = False) -> Command:
    """Return the command of a line."""
    return read_command(parse_line(LeverageMagics.leverage.parser, line, {}), is_cell=is_cell)


def failure(line: str, *, is_cell: bool = False) -> str:
    """Return the message of the InvalidInput that a line raises."""
    with pytest.raises(InvalidInput) as caught:
        read(line, is_cell=is_cell)
    return str(caught.value)


@pytest.mark.parametrize(
    ("words", "symbols", "leverage"),
    [
        ([], [], None), (["BTCUSDT"], ["BTCUSDT"], None), (["BTCUSDT", "10x"], ["BTCUSDT"], "10x"),
        (["42USDT", "5"], ["42USDT"], "5"), (["a", "MAX"], ["a"], "MAX"), (["a", "b"], ["a", "b"], None),
        (["a", "-5"], ["a"], "-5"), (["a", "1e9"], ["a"], "1e9"), (["a", "+5"], ["a"], "+5"),
        (["a,", "b"], ["a", "b"], None), (["a,b"], ["a", "b"], None), (["a", ",", "b"], ["a", "b"], None),
        (["a,", "10"], ["a"], "10"), (["a", "1,000"], ["a"], "1,000"), (["a", "b", "10"], ["a", "b"], "10"),
        (["a,b", "max"], ["a", "b"], "max"), (["*", "20"], ["*"], "20"), (["a", "<=20"], ["a"], "<=20"),
        (["a", "<=", "20x"], ["a"], "<=20x"), (["a<=20"], ["a"], "<=20"), (["a", "<="], ["a"], "<="),
        (["a", "=<20"], ["a"], "=<20"),
    ],
)  # fmt: skip
def test_the_leverage_is_the_number_at_the_end(words: list[str], symbols: list[str], leverage: str | None) -> None:
    """Symbols and leverage are separated as typed, without a check that they exist."""
    assert split_symbols(words) == (symbols, leverage, "")


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("a isolated", Command(("a",), None, "isolated")), ("a 10 isolated", Command(("a",), "10", "isolated")),
        ("a CROSS 10", Command(("a",), "10", "cross")), ("a crossed", Command(("a",), None, "cross")),
        ("a b isolated", Command(("a", "b"), None, "isolated")), ("a --cross", Command(("a",), None, "cross")),
        ("a 10 --isolated", Command(("a",), "10", "isolated")), ("* cross", Command(("*",), None, "cross")),
        ("--cap 20", Command(("*",), "<=20")), ("--cap 20x", Command(("*",), "<=20x")),
        ("--cap 20 a b", Command(("a", "b"), "<=20")), ("a --cap 20", Command(("a",), "<=20")),
        ("--cap 20 *", Command(("*",), "<=20")), ("a --add-margin 50", Command(("a",))),
        ("a --reduce-margin 1.5k --side long -n", Command(("a",))), ("10 --undo", None), ("", Command()),
    ],
)  # fmt: skip
def test_words_and_options_give_one_command(line: str, command: Command | None) -> None:
    """A margin type stands beside the leverage in either order, or as an option; --cap is an upper bound."""
    if command is None:
        failure(line)
    else:
        assert read(line) == command


@pytest.mark.parametrize(
    ("line", "is_plan"),
    [("a 10", False), ("a max", False), ("a", False), ("a b", False), ("a b 10", True), ("* 10", True),
     ("a <=10", True), ("--cap 5", True), ("a b isolated", False)],
)  # fmt: skip
def test_a_plan_is_several_symbols_or_an_upper_bound(line: str, is_plan: bool) -> None:
    """A leverage for several symbols, for all of them, or an upper bound is a plan."""
    assert read(line).is_plan == is_plan


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a --policy f", "--policy takes neither symbol nor leverage"), ("--apply", "--apply goes with --policy"),
        ("--policy f 10 -n", "--policy takes neither"), ("--policy f --cap 5", "cannot be combined"),
        ("--policy f -y", "--yes needs --apply beside --policy"), ("--policy f --force", "--force needs --apply"),
        ("--policy f --expect hedge", "--expect needs --apply"),
        ("--policy f --apply --expect hedge", "--expect cannot be combined with --policy"),
        ("--policy f --cross", "--policy takes no margin type (cross)"), ("--policy f --undo", "cannot be combined"),
        ("10", "The symbol for 10 is missing. Try: %leverage BTCUSDT 10"),
        ("<=20", "The symbol for <=20 is missing"), ("isolated", "Try: %leverage BTCUSDT isolated"),
        ("10 a", "The leverage comes after the symbol. Try: %leverage a 10"),
        ("a 10 b", "The leverage comes after the symbol. Try: %leverage a b 10"),
        ("isolated a", "The margin type comes after the symbol. Try: %leverage a isolated"),
        ("a 10 20", "One leverage at a time: 10 and 20"), ("10 20", "One leverage at a time"),
        ("a b 10 20", "One leverage for all: %leverage BTCUSDT SOLUSDT 10. One for each: %%leverage"),
        ("a 10 <=5", "One leverage at a time: 10 and <=5"),
        ("a max 2m", "%leverage a max --notional 2m"),
        ("a max 50000", "50000 after max is not understood. For a size: %leverage a max --notional 50000"),
        ("a isolated cross", "One margin type at a time: isolated and cross"),
        ("a isolated --cross", "One margin type at a time"), ("a --isolated --cross", "One margin type at a time"),
        ("--isolated", "--isolated needs a symbol. Try: %leverage BTCUSDT --isolated"),
        ("*", "* needs a leverage"), ("* --plot", "* needs a leverage"),
        ("a b max --notional 2m", "--notional needs one symbol"),
        ("--cap 20 30", "--cap takes no other leverage (30)"), ("a 10 --cap 20", "--cap takes no other leverage (10)"),
        ("--cap max", "--cap takes a leverage; max is none. Write a whole number, as --cap 20."),
        ("--cap <=20", "--cap takes a leverage"), ("--cap=", "--cap takes a leverage"), ("--cap -5", "-5 is none"),
        ("--cap 2.5", "2.5 is none"), ("--cap", "--cap needs a value"),
        ("--cap 20 --plot", "--plot and --cap cannot be combined"), ("--cap 5 --undo", "--undo and --cap cannot"),
        ("--cap 5 --cross", "--cap takes no margin type (cross)"), ("a --cap 5 --notional 2m", "needs the word max"),
        ("--add-margin 50", "--add-margin needs one symbol. Try: %leverage BTCUSDT --add-margin 50"),
        ("a b --add-margin 50", "--add-margin needs one symbol"), ("* --reduce-margin 5", "--reduce-margin needs one"),
        ("a 10 --add-margin 50", "--add-margin takes no leverage (10)"),
        ("a isolated --add-margin 50", "--add-margin takes no margin type (isolated)"),
        ("a --add-margin 5 --reduce-margin 5", "--add-margin and --reduce-margin cannot be combined"),
        ("a --add-margin x", "x is not an amount of margin"), ("a --add-margin 0", "0 is not an amount of margin"),
        ("a --reduce-margin -5", "-5 is not an amount of margin"), ("a --side long", "--side goes with --add-margin"),
        ("a --add-margin 5 --side both", "both is not a side. Use --side long or --side short."),
        ("--undo --isolated", "--undo takes neither"), ("--undo --expect hedge", "--expect cannot be combined with"),
        ("a --expect hedge", "--expect needs a symbol and a leverage"),
        ("a 10 isolated --expect hedge", "--expect cannot be combined with isolated"),
        ("a --add-margin 5 --expect hedge", "--expect cannot be combined with --add-margin"),
        ("a 10 --expect x", "x is not a mode"),
    ],
)  # fmt: skip
def test_words_that_do_not_go_together_get_advice(line: str, message: str) -> None:
    """An invalid combination raises an error that names the command that was probably meant."""
    assert message in failure(line)


@pytest.mark.parametrize("line", ["a", "--cap 20", "--isolated", "--add-margin 5", "--side long", "--notional 2m"])
def test_a_cell_takes_its_changes_from_its_lines(line: str) -> None:
    """The first line of %%leverage takes no words, and no options that change something."""
    assert "takes only -n, -y, --force, --expect, --venue and --profile" in failure(line, is_cell=True)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("XRPUSDT 10 isolatd", "isolatd is not a margin type. Did you mean isolated?"),
        ("XRPUSDT 10 foo", "The leverage comes after the symbol. Try: %leverage XRPUSDT foo 10"),
        ("isolated XRPUSDT 10", "The margin type comes after the symbol. Try: %leverage XRPUSDT isolated 10"),
        ("10 XRPUSDT", "The leverage comes after the symbol. Try: %leverage XRPUSDT 10"),
        (
            "BTCUSDT 10 --confirm 500",
            "--confirm goes with --add-margin or --reduce-margin, or with --undo."
            " Try: %leverage BTCUSDT --add-margin 500 --confirm 500",
        ),
        ("BTCUSDT --reduce-margin", "--reduce-margin needs a value. Try: --reduce-margin 500"),
        ("--cap", "--cap needs a value. Try: --cap 20"),
    ],
)
def test_a_message_names_the_word_that_is_wrong(line: str, message: str) -> None:
    """The error names the word that is not understood, or the option that lacks a value, with what to write."""
    assert failure(line) == message


@pytest.mark.parametrize(
    "line",
    ["--login testnet --cap 20", "--logout testnet -y", "--login testnet BTCUSDT", "--logout testnet --venue mainnet",
     "--login testnet --logout testnet", "--login testnet --plot", "--logout testnet --expect hedge"],
)  # fmt: skip
def test_a_key_is_stored_or_removed_by_a_line_of_its_own(line: str) -> None:
    """--login and --logout refuse everything but --profile beside them: it would be ignored."""
    assert "takes only --profile beside it. Try: %leverage --log" in failure(line)


def test_a_cell_neither_stores_nor_removes_a_key() -> None:
    """%%leverage --logout refuses, because the lines below it would be ignored."""
    assert "--logout takes only --profile beside it" in failure("--logout testnet", is_cell=True)
    assert read("--logout testnet --profile sub1") == Command()


@pytest.mark.parametrize(
    ("line", "changes"),
    [("BTCUSDT 10", True), ("BTCUSDT --cross", True), ("--undo", True), ("--cap 20", True), ("a --add-margin 5", True),
     ("--policy f --apply", True), ("--policy f", False), ("BTCUSDT", False), ("--history", False),
     ("a --for 2m", False)],
)  # fmt: skip
def test_a_line_that_changes_something(line: str, changes: bool) -> None:
    """Whether a line changes something depends on its words and options, not on what it returns."""
    options = parse_line(LeverageMagics.leverage.parser, line, {})
    assert makes_changes(read_command(options, is_cell=False), options, is_cell=False) == changes


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("--policy f 10", "Try: %leverage --policy risk.toml."), ("a 10 --plot", "Leave out --plot or the leverage."),
        ("a isolated --plot", "Leave out --plot or the margin type."), ("a -n", "Try: %leverage BTCUSDT 10 --dry-run"),
        ("a --expect hedge", "Try: %leverage BTCUSDT 10 --expect hedge"), ("--plot", "Try: %leverage BTCUSDT --plot"),
        ("--policy f -y", "Try: %leverage --policy risk.toml --apply"),
        ("a --side long", "Try: %leverage BTCUSDT --add-margin 500 --side long"),
    ],
)  # fmt: skip
def test_a_message_says_what_to_type(line: str, hint: str) -> None:
    """An error about options ends with what to type instead."""
    assert hint in failure(line)
