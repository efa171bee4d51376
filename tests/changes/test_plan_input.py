"""Targets of a plan are read from every form, and invalid ones are named by their place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from leverage_nb.account import Account
from leverage_nb.changes.plan_input import Goal, Target, check_targets, read_lines, read_targets
from leverage_nb.errors import InvalidInput
from leverage_nb.risk.user_input import Wanted, parse_wanted

WANTED = [("BTCUSDT", 10), ("ETHUSDT", "max")]


def pairs(targets: Any) -> list[tuple[Any, Any]]:
    """Return symbols and leverages alone."""
    return [(target.symbol, target.leverage) for target in targets]


@pytest.mark.parametrize(
    "form",
    [
        dict(WANTED), pd.Series(dict(WANTED), dtype="object"), pd.DataFrame(WANTED, columns=["symbol", "leverage"]),
        pd.DataFrame(WANTED, columns=["symbol", "leverage"]).set_index("symbol"),
    ],
    ids=["mapping", "series", "columns", "index"],
)  # fmt: skip
def test_mappings_and_tables_are_read(form: Any) -> None:
    """A mapping, a Series and a DataFrame of either shape give the same targets."""
    assert pairs(read_targets(form)) == WANTED


@pytest.mark.parametrize(
    "text",
    ["symbol,leverage\nBTCUSDT,10\nETHUSDT,max\n", "BTCUSDT, 10\n\n# mine\nETHUSDT,max,\n",
        "\ufeffBTCUSDT,10\r\nETHUSDT,max"],
)  # fmt: skip
def test_csv_files_are_read(tmp_path: Path, text: str) -> None:
    """A CSV file is read with or without a header, with blank lines and comments."""
    path = tmp_path / "plan.csv"
    path.write_text(text, encoding="utf-8")
    for form in (path, str(path)):
        assert pairs(read_targets(form)) == [("BTCUSDT", "10"), ("ETHUSDT", "max")]


def test_a_text_of_several_lines_is_read() -> None:
    """A text with a line break is lines of SYMBOL LEVERAGE, and not the path of a file."""
    assert pairs(read_targets("BTCUSDT: 10x\nETHUSDT max")) == [("BTCUSDT", "10x"), ("ETHUSDT", "max")]


def test_lines_are_read() -> None:
    """Lines of SYMBOL LEVERAGE are read, blank lines and comments are skipped, and targets have line numbers."""
    targets = read_lines("\nBTCUSDT 10   # the big one\n\n# nothing\n  ethusdt   max\n")
    assert [(target.where, target.symbol, target.leverage) for target in targets] == [
        ("line 2", "BTCUSDT", "10"), ("line 5", "ethusdt", "max"),
    ]  # fmt: skip


@pytest.mark.parametrize("line", ["BTC/USDT:USDT 10", "BTC/USDT:USDT: 10", "BTC/USDT:USDT=10", "BTC/USDT:USDT , 10"])
def test_symbol_and_leverage_may_be_separated_by_several_signs(line: str) -> None:
    """A space, a comma, an equals sign or a colon separates symbol and leverage; a symbol may contain a colon."""
    assert pairs(read_lines(line)) == [("BTC/USDT:USDT", "10")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("BTCUSDT", "line 1: “BTCUSDT” is not a symbol with a leverage"),
        ("BTCUSDT 10\nETHUSDT 5 6", "line 2: “ETHUSDT 5 6”"),
        ("a\nb\nc\nd\ne\nf\ng", "and 2 more"),
    ],
)  # fmt: skip
def test_invalid_lines_are_named_by_number(text: str, words: str) -> None:
    """The error names every invalid line by its number."""
    with pytest.raises(InvalidInput, match=words):
        check_targets(read_lines(text), lambda target: (target.symbol, Goal(Wanted(10))))


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    """A missing file, a binary file and a row without a leverage are errors that say what is wrong."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "half.csv").write_text("symbol,leverage\nBTCUSDT\n")
    for name, words in (("none", "No such file"), ("binary", "not text in UTF-8"), ("half.csv", "line 2: “BTCUSDT”")):
        with pytest.raises(InvalidInput, match=words):
            read_targets(tmp_path / name)


def test_a_plan_of_one_line_is_answered_with_a_mapping() -> None:
    """A text of one line is taken as a path; the error says so, and shows how a plan of one symbol is written."""
    with pytest.raises(InvalidInput, match=r"one line is the path of a CSV file.*account\.plan\(\{"):
        read_targets("BTCUSDT 10")


@pytest.mark.parametrize("wrong", [5, None, [1, 2], pd.DataFrame({"x": [1]})])
def test_other_input_is_refused(wrong: Any) -> None:
    """Input of any other kind is refused with an example."""
    with pytest.raises(InvalidInput, match="plan"):
        read_targets(wrong)


def problems(targets: Any) -> str:
    """Return the error text of targets that cannot be read."""
    with pytest.raises(InvalidInput) as caught:
        check_targets(targets, lambda target: (target.symbol, Goal(Wanted(10))))
    return str(caught.value)


def test_input_is_bounded(tmp_path: Path) -> None:
    """A file over 1 MB, more than 5,000 rows and lines of over 200 characters are refused."""
    (tmp_path / "large.csv").write_text("BTCUSDT,10\n" * 100_000)
    (tmp_path / "many.csv").write_text("BTCUSDT,10\n" * 5_001)
    (tmp_path / "wide.csv").write_text("BTCUSDT,10\nETHUSDT,5," + "x" * 300)
    (tmp_path / "quoted.csv").write_text('"BTCUSDT\n' + "x" * 150_000)
    for name, words in (
        ("large.csv", "larger than 1 MB"), ("many.csv", "at most 5,000 lines; these are 5,001"),
        ("wide.csv", "line 2: it is longer than 200 characters"), ("quoted.csv", "line 2: it is longer than"),
    ):  # fmt: skip
        with pytest.raises(InvalidInput, match=words):
            read_targets(tmp_path / name)
    with pytest.raises(InvalidInput, match="at most 5,000 lines"):
        read_lines("BTCUSDT 10\n" * 5_001)
    with pytest.raises(InvalidInput, match="more than 1,000,000 characters"):
        read_lines("x" * 1_000_001)
    assert "line 1: it is longer than 200 characters" in problems(read_lines("x" * 201))
    for rows in ({str(n): 1 for n in range(5_001)}, pd.DataFrame({"symbol": ["X"] * 5_001, "leverage": [1] * 5_001})):
        with pytest.raises(InvalidInput, match="at most 5,000 rows"):
            read_targets(rows)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes in folders")
def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    """A folder, a named pipe and a device are refused, because reading them may never end."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(InvalidInput, match="it is not a file"):
            read_targets(path)
    for path in ("a\x00b", "~nobody-of-that-name/x.csv", "x" * 5_000):
        with pytest.raises(InvalidInput, match="cannot be read"):
            read_targets(path)


def test_long_text_is_not_repeated_in_an_error() -> None:
    """An error names a symbol, a leverage or a line that could be a key only by its place."""
    key = "a1b2c3d4" * 8
    forms = ({key + "x": 10}, {"BTCUSDT": key}, pd.DataFrame({"symbol": [key * 2], "leverage": [5]}))
    for form in forms:
        assert key not in problems(read_targets(form))
    assert key not in problems(read_lines(f"BTCUSDT {key} 5"))


@pytest.mark.parametrize(
    "form",
    [
        {"*": "<=20", "BTCUSDT": "max"}, pd.Series({"*": "<=20", "BTCUSDT": "max"}),
        pd.DataFrame({"symbol": ["*", "BTCUSDT"], "leverage": ["<=20", "max"]}), "* <=20\nBTCUSDT max",
        "* <= 20\nBTCUSDT: max", "*<=20\nBTCUSDT=max",
    ],
)  # fmt: skip
def test_caps_and_every_symbol_are_read(form: Any) -> None:
    """An upper bound, the word max and the symbol * are read in every form."""
    assert pairs(read_targets(form)) == [("*", "<=20"), ("BTCUSDT", "max")]


def test_caps_and_every_symbol_are_read_from_a_file(tmp_path: Path) -> None:
    """A CSV file may contain them too."""
    (tmp_path / "plan.csv").write_text("symbol,leverage\n*,<=20\nBTCUSDT,<= 5\n")
    assert pairs(read_targets(tmp_path / "plan.csv")) == [("*", "<=20"), ("BTCUSDT", "<= 5")]


BOTH = [("BTCUSDT", "10", "isolated"), ("ETHUSDT", None, "cross"), ("SOLUSDT", "5", "")]


def triples(targets: Any) -> list[tuple[Any, Any, str]]:
    """Return symbols, leverages as text, and margin types; without problems."""
    assert [target.problem for target in targets] == [""] * len(targets)
    return [
        (target.symbol, None if target.leverage is None else f"{target.leverage:.4}", target.margin_type)
        for target in targets
    ]


@pytest.mark.parametrize(
    "form",
    [
        {"BTCUSDT": ("10", "isolated"), "ETHUSDT": "crossed", "SOLUSDT": "5"},
        pd.Series({"BTCUSDT": ("10", "Isolated"), "ETHUSDT": (None, "cross"), "SOLUSDT": "5"}),
        "BTCUSDT 10 isolated\nETHUSDT: cross\nSOLUSDT 5", "BTCUSDT isolated 10\nETHUSDT CROSSED\nSOLUSDT=5",
        pd.DataFrame({"leverage": ["10", None, "5"], "margin_type": ["isolated", "cross", ""]},
            index=["BTCUSDT", "ETHUSDT", "SOLUSDT"]),
        pd.DataFrame({"symbol": ["BTCUSDT", "ETHUSDT", "SOLUSDT"], "leverage": ["10", pd.NA, "5"],
            "margin_type": ["isolated", "cross", None]}),
    ],
)  # fmt: skip
def test_margin_types_are_read(form: Any) -> None:
    """A margin type stands beside a leverage or instead of it, in a mapping, a Series, lines and a DataFrame."""
    assert triples(read_targets(form)) == BOTH


@pytest.mark.parametrize(
    "text",
    ["symbol,leverage,margin_type\nBTCUSDT,10,isolated\nETHUSDT,,crossed\nSOLUSDT,5,\n",
        "BTCUSDT,10,isolated\nETHUSDT,,cross\nSOLUSDT,5\n"],
)  # fmt: skip
def test_margin_types_are_read_from_a_file(tmp_path: Path, text: str) -> None:
    """The third column of a CSV file is the margin type, with a header or without one."""
    (tmp_path / "plan.csv").write_text(text)
    assert triples(read_targets(tmp_path / "plan.csv")) == BOTH


def test_a_table_of_margin_types_alone_is_read() -> None:
    """A DataFrame without leverages gives targets of margin types only."""
    form = pd.DataFrame({"symbol": ["BTCUSDT"], "margin_type": ["isolated"]})
    assert triples(read_targets(form)) == [("BTCUSDT", None, "isolated")]


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"BTCUSDT": (10, "isolate")}, "BTCUSDT: isolate is not a margin type; use isolated or cross"),
        ({"BTCUSDT": (10, None)}, "None is not a margin type"), ({"BTCUSDT": (10,)}, "a tuple has a leverage and"),
        ({"BTCUSDT": (10, "cross", 1)}, "a tuple has a leverage and"),
        (pd.DataFrame({"symbol": ["BTCUSDT"], "leverage": [5], "margin_type": ["x"]}), "row 1: x is not a margin type"),
        ("BTCUSDT isolated cross\n", "line 1: “BTCUSDT isolated cross” is not a symbol with a leverage"),
        ("BTCUSDT 10 5 cross\n", "is not a symbol with a leverage"), ("isolated\n", "“isolated” is not a symbol with"),
        ("BTCUSDT 10 isolatd\n", "is not a symbol with a leverage, a margin type or both"),
    ],
)  # fmt: skip
def test_invalid_margin_types_are_named(form: Any, words: str) -> None:
    """Anything else than one margin type is named with its place."""
    assert words in problems(read_targets(form))


def test_an_invalid_margin_type_in_a_file_is_named(tmp_path: Path) -> None:
    """In a column that the header names, every text must be a margin type."""
    (tmp_path / "plan.csv").write_text("symbol,leverage,margin_type\nBTCUSDT,10,isolatd\nETHUSDT,5,cross\n")
    assert "line 2: isolatd is not a margin type" in problems(read_targets(tmp_path / "plan.csv"))


@pytest.mark.parametrize("symbol", ["*", "BTCUSDT"])
def test_a_symbol_that_is_there_twice_needs_one_leverage(symbol: str) -> None:
    """The same row twice is accepted; with another leverage, or an upper bound instead of it, it is an error."""

    def check(target: Target) -> tuple[str, Goal]:
        return target.symbol, Goal(parse_wanted(target.leverage), target.margin_type)

    assert check_targets(read_lines(f"{symbol} 20\n{symbol} 20x"), check) == {symbol: Goal(Wanted(20))}
    both = check_targets(read_lines(f"{symbol} 20\n{symbol} 20 isolated"), check)
    assert both == {symbol: Goal(Wanted(20), "isolated")}
    with pytest.raises(InvalidInput, match="is there twice, with another margin type"):
        check_targets(read_lines(f"{symbol} 20 cross\n{symbol} 20 isolated"), check)
    for other in ("30", "<=20", "max"):
        with pytest.raises(InvalidInput, match="is there twice, with another leverage"):
            check_targets(read_lines(f"{symbol} 20\n{symbol} {other}"), check)


@pytest.mark.parametrize(
    "text",
    [
        "# mine\nSymbol,Leverage,marginType\nBTCUSDT,10,isolated\n",
        "symbol,note,MARGIN_TYPE,leverage\nBTCUSDT,my best,isolated,10\n",
        "\nmargin type,symbol,leverage\nISOLATED,BTCUSDT,10\n",
    ],
)
def test_a_header_names_the_columns(tmp_path: Path, text: str) -> None:
    """A header may come after a comment, in any case and order, beside other columns."""
    (tmp_path / "plan.csv").write_text(text)
    assert triples(read_targets(tmp_path / "plan.csv")) == [("BTCUSDT", "10", "isolated")]


@pytest.mark.parametrize("line", ["BTCUSDT,10,isolated,later", "BTCUSDT;10", "BTCUSDT"])
def test_no_column_of_a_csv_file_is_ignored(tmp_path: Path, line: str) -> None:
    """Without a header a fourth column, or another separator than commas, is an error."""
    (tmp_path / "plan.csv").write_text(f"{line}\n")
    with pytest.raises(InvalidInput, match="is not a symbol, a leverage and perhaps a margin type, with commas"):
        read_targets(tmp_path / "plan.csv")


def test_a_typo_in_a_margin_type_is_named(tmp_path: Path) -> None:
    """Without a header too, it does not become a change of the leverage only."""
    (tmp_path / "plan.csv").write_text("BTCUSDT,10,isolatd\n")
    assert "isolatd is not a margin type" in problems(read_targets(tmp_path / "plan.csv"))


def test_the_settings_of_an_account_are_a_plan(tmp_path: Path, account: Account) -> None:
    """What settings() writes to a CSV file can be edited and read back, with the margin types."""
    path = tmp_path / "plan.csv"
    account.settings(["ADAUSDT", "XRPUSDT"]).to_csv(path)
    path.write_text(path.read_text().replace("cross", "isolated"))
    rows = account.plan(path).rows
    assert [(row.symbol, row.after) for row in rows if row.kind == "margin type"] == [
        ("ADAUSDT", "isolated"), ("XRPUSDT", "isolated"),
    ]  # fmt: skip


def test_only_the_first_line_can_be_a_header(tmp_path: Path) -> None:
    """A later row with the word symbol in one of its cells is a row."""
    (tmp_path / "plan.csv").write_text("symbol,leverage,note\nBTCUSDT,10,symbol\nETHUSDT,5,\n")
    assert pairs(read_targets(tmp_path / "plan.csv")) == [("BTCUSDT", "10"), ("ETHUSDT", "5")]
