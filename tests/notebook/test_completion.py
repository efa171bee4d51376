"""Tab after %leverage offers what can follow, and sends no request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

from leverage_nb.notebook.magic import LeverageMagics
from leverage_nb.session import current, session


@pytest.fixture
def new_shell() -> Iterator[InteractiveShell]:
    """An IPython shell with the extension loaded."""
    shell = InteractiveShell.instance()
    shell.extension_manager.load_extension("leverage_nb")
    yield shell
    shell.extension_manager.unload_extension("leverage_nb")
    InteractiveShell.clear_instance()


@pytest.fixture
def shell(new_shell: InteractiveShell) -> InteractiveShell:
    """The same, after the tiers of the simulator were read."""
    current().symbols()
    return new_shell


def offered(shell: InteractiveShell, text: str) -> list[str]:
    """Return the completions at the end of ``text``."""
    with provisionalcompleter():
        return [completion.text for completion in shell.Completer.completions(text, len(text))]


def annotated(shell: InteractiveShell, text: str) -> list[tuple[str, str]]:
    """Return the completions at the end of ``text`` with their annotations."""
    with provisionalcompleter():
        found = list(shell.Completer.completions(text, len(text)))
    assert not any(" " in one.type for one in found)  # JupyterLab would wrap them
    return [(one.text, one.type.replace("\u00a0", " ")) for one in found]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("%leverage B", ["BTCUSDT", "BNBUSDT"]),
        ("%leverage btcusdt_", ["BTCUSDT_261225"]),
        ("%leverage 1000PEPE", ["1000PEPEUSDT", "1000PEPEUSDC"]),
        ("%leverage btcu", ["BTCUSDT"]),
        ("r = %leverage SO", ["SOLUSDT"]),
        ("x = 1\nr = %leverage SO", ["SOLUSDT"]),
        ("%leverage 哈", ["哈基米USDT"]),
        ("%leverage BTCUSDT ", ["1", "2", "3", "4", "5", "10", "20", "25", "50", "75", "100", "150", "max"]),
        ("%leverage btc/usdt 1", ["1", "10", "100", "150"]),
        ("%leverage BTCUSDT,SO", ["SOLUSDT"]),
        ("%leverage BTCUSDT, ", ["ETHUSDT"]),
        ("%leverage BTCUSDT m", ["max"]),
        ("%leverage BTCUSDT E", ["ETHUSDT", "ENAUSDT", "ETHUSDC", "ETHBTC", "ETHUSDT_261225", "EPTUSDT"]),
        ("%leverage BTCUSDT 10 --d", ["--dry-run"]),
        ("%leverage BTCUSDT 10 iso", ["isolated"]),
        ("%leverage BTCUSDT 10 isolated ", ["--dry-run", "--force", "--profile", "--venue", "--yes", "--expect"]),
        ("%leverage BTCUSDT 10 --dry-run --", ["--force", "--profile", "--venue", "--yes"]),
        ("%leverage BTCUSDT max --", ["--dry-run", "--force", "--notional", "--profile"]),
        ("%leverage BTCUSDT --", ["--brackets", "--changes", "--for", "--history", "--plot"]),
        ("%leverage BTCUSDT --for 2m --", ["--profile", "--venue"]),
        ("%leverage BTCUSDT --plot --", ["--profile", "--venue"]),
        ("%leverage --u", ["--undo"]),
        ("%leverage --undo --", ["--dry-run", "--force"]),
        ("%%leverage --", ["--dry-run", "--force", "--profile", "--venue", "--yes"]),
        ("%%leverage\nBTCU", ["BTCUSDT"]),
        ("%%leverage -n\n# a comment\nBTCUSDT 10\neth/usdt: 1", ["1", "10", "100", "150"]),
        ("%%leverage\nBTCUSDT m", ["max"]),
        ("%%leverage\n\nBTCUSDT=1", ["1", "10", "100", "150"]),
        ("%leverage --venue t", ["testnet"]),
        ("%leverage --login ", ["simulator", "testnet", "mainnet"]),
        ("%leverage --logout ", ["simulator", "testnet", "mainnet"]),
        ("%leverage {row['a b']} m", ["max"]),
        ("%leverage --c", ["--cap", "--changes"]),
        ("%leverage --cap 20 SOL", ["SOLUSDT"]),
        ("%leverage --policy risk.toml --", ["--apply", "--dry-run", "--force", "--profile", "--venue", "--yes"]),
        ("%leverage --cap 20 --", ["--dry-run", "--force", "--profile", "--venue", "--yes", "--expect"]),
        ("%leverage BTCUSDT SOLUSDT ", ["max"]),
        ("%leverage BTCUSDT SOLUSDT 10 --d", ["--dry-run"]),
        ("%leverage BTCUSDT isolated --d", ["--dry-run"]),
        ("%%leverage --expect ", ["one-way", "hedge", "single-asset", "multi-assets"]),
        ("%leverage BTCUSDT --add-margin 5 --side ", ["long", "short"]),
        ("%%leverage\n*", ["*"]),
    ],
)
def test_what_is_offered(shell: InteractiveShell, text: str, first: list[str]) -> None:
    """Symbols come first, then the leverages of the symbol's tiers and max, then options; also in an assignment."""
    assert offered(shell, text)[: len(first)] == first


def test_policies_of_the_folder_are_offered(
    shell: InteractiveShell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After --policy come the TOML files of the working folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("risk.toml", "desk.toml", "plan.csv"):
        (tmp_path / name).touch()
    assert annotated(shell, "%leverage --policy ") == [("desk.toml", "policy"), ("risk.toml", "policy")]


def test_symbols_that_are_not_trading_come_last_and_say_so(shell: InteractiveShell) -> None:
    """Symbols that are settling, or not trading yet, are offered after all others, with their status as the type."""
    found = annotated(shell, "%leverage ")
    assert found[-2:] == [
        ("UXLINKUSDT", "not trading (SETTLING)"), ("币安人生USDT", "not trading (PENDING_TRADING)"),
    ]  # fmt: skip
    assert {meaning for _, meaning in found[:-2]} == {"symbol"}
    assert len(found) == 46


def test_the_current_leverage_comes_first_and_refusals_last(shell: InteractiveShell) -> None:
    """Once the account was read, the current leverage is first, and a leverage that would be refused is last."""
    account = current()
    account.set_leverage("ETHUSDT", 22)
    preview = account.preview("ETHUSDT", 22)
    found = annotated(shell, "%leverage ETHUSDT ")
    assert found[0] == ("22", f"now, up to {preview.setting.max_notional:,.0f} USDT")
    places = {text: place for place, (text, _) in enumerate(found)}
    meanings = dict(found)
    assert meanings["max"] == "the highest that fits"
    for text, meaning in found[1:]:
        if text != "max":
            refused = account.preview("ETHUSDT", text).verdict == "refused"
            assert meaning.startswith("would be refused (-") == refused, text
            assert (places[text] > places["max"]) == refused, text
    assert annotated(shell, "%%leverage\nETHUSDT ") == found
    account.set_leverage("ETHUSDT", 25)
    assert annotated(shell, "%leverage ETHUSDT ")[0][0] == "25"
    assert annotated(shell, "%%leverage --venue testnet\nETHUSDT ")[0] == ("1", "leverage")


def test_the_guard_is_named(shell: InteractiveShell) -> None:
    """A leverage above the guard comes last, and names the guard."""
    session.max_leverage = 20
    assert annotated(shell, "%leverage BTCUSDT ")[-5:] == [
        (text, "above your guard of 20x") for text in ("25", "50", "75", "100", "150")
    ]


def test_options_say_what_they_do(shell: InteractiveShell) -> None:
    """Every option of the help is offered where it may stand, with its meaning."""
    found: dict[str, str] = {}
    for text in (
        "%leverage --",
        "%leverage BTCUSDT --",
        "%leverage BTCUSDT 10 --",
        "%leverage BTCUSDT max --",
        "%leverage BTCUSDT --add-margin 5 --",
        "%leverage --policy risk.toml --",
    ):
        found |= dict(annotated(shell, text))
    listed = re.findall(r"^ +(?:-[a-z], )?(--[a-z-]+)", LeverageMagics.leverage.parser.format_help(), re.MULTILINE)
    assert sorted(found) == sorted(set(listed))
    assert found["--dry-run"] == "preview, send nothing"
    assert all(0 < len(meaning) < 30 for meaning in found.values())


def test_nothing_is_offered_in_a_comment_or_after_a_whole_line(shell: InteractiveShell) -> None:
    """In a cell nothing of ours is offered after symbol and leverage, or in a comment."""
    for text in ("%%leverage\nBTCUSDT 10 ", "%%leverage\n# BTC", "%%time\nBTCU"):
        assert not {"BTCUSDT", "10"} & set(offered(shell, text))


@pytest.mark.parametrize("text", ["%leverage ", "%leverage BTCUSDT ", "%%leverage\nBTCUSDT 1", "%leverage --"])
def test_tab_never_raises(
    shell: InteractiveShell, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever fails, Tab offers nothing and shows no traceback."""

    def fail(*_: object) -> None:
        raise RuntimeError("a failure")

    monkeypatch.setattr(type(session), "connected", fail)
    offered(shell, text)
    shown = capsys.readouterr()
    assert "a failure" not in shown.out + shown.err


def test_no_symbol_is_offered_as_a_profile(shell: InteractiveShell) -> None:
    """After --profile nothing is offered, because a profile may have any name."""
    assert not {"BTCUSDT", "BNBUSDT"} & set(offered(shell, "%leverage --profile B"))


def test_other_lines_are_left_alone(shell: InteractiveShell) -> None:
    """On a line without %leverage no symbol is offered."""
    for text in ("BTC", "print('%leverage B", "%time B"):
        assert "BTCUSDT" not in offered(shell, text)


def test_a_field_is_python(shell: InteractiveShell) -> None:
    """Inside an open field only the notebook's variables are offered."""
    shell.user_ns["my_symbol"] = "BTCUSDT"
    assert offered(shell, "%leverage {my_s") == ["my_symbol"]


def test_completion_sends_no_request(new_shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch) -> None:
    """Symbols are offered only after they were read; completion itself reads nothing."""
    account, exchange = current(), session.simulator().exchange
    requests: list[Any] = []
    handle = exchange.handle
    monkeypatch.setattr(exchange, "handle", lambda *request: requests.append(request) or handle(*request))
    assert "BTCUSDT" not in offered(new_shell, "%leverage B")
    assert requests == []
    account.symbols()
    count = len(requests)
    assert count > 0
    assert "BTCUSDT" in offered(new_shell, "%leverage B")
    assert "150" in offered(new_shell, "%leverage BTCUSDT ")
    assert len(requests) == count


def test_unloading_removes_completion(shell: InteractiveShell) -> None:
    """Loading twice adds one matcher, and unloading removes it."""
    shell.extension_manager.reload_extension("leverage_nb")
    assert len(shell.Completer.custom_matchers) == 1
    shell.extension_manager.unload_extension("leverage_nb")
    assert shell.Completer.custom_matchers == []
    shell.extension_manager.load_extension("leverage_nb")
