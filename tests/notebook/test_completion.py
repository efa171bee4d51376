"""Tab after %leverage offers what can follow, and sends no request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

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
        ("%leverage BTCUSDT ", ["150", "100", "75", "50", "25", "20", "10", "5", "4", "3", "2", "1", "max"]),
        ("%leverage btc/usdt 1", ["150", "100", "10", "1"]),
        ("%leverage BTCUSDT m", ["max"]),
        ("%leverage BTCUSDT E", ["ETHUSDT", "ENAUSDT", "ETHUSDC", "ETHBTC", "ETHUSDT_261225", "EPTUSDT"]),
        ("%leverage BTCUSDT 10 --d", ["--dry-run"]),
        ("%leverage BTCUSDT 10 --dry-run --", ["--brackets", "--changes", "--force"]),
        ("%leverage --venue t", ["testnet"]),
        ("%leverage --login ", ["simulator", "testnet", "mainnet"]),
        ("%leverage --logout ", ["simulator", "testnet", "mainnet"]),
        ("%leverage {row['a b']} m", ["max"]),
    ],
)
def test_what_is_offered(shell: InteractiveShell, text: str, first: list[str]) -> None:
    """Symbols come first, then the leverages of the symbol's tiers and max, then options; also in an assignment."""
    assert offered(shell, text)[: len(first)] == first


def test_symbols_that_are_not_trading_come_last_and_say_so(shell: InteractiveShell) -> None:
    """Symbols that are settling, or not trading yet, are offered after all others, with their status as the type."""
    with provisionalcompleter():
        found = list(shell.Completer.completions("%leverage ", 10))
    assert [(one.text, one.type) for one in found[-2:]] == [
        ("UXLINKUSDT", "not trading (SETTLING)"), ("币安人生USDT", "not trading (PENDING_TRADING)"),
    ]  # fmt: skip
    assert {one.type for one in found[:-2]} == {"leverage"}
    assert len(found) == 46


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
