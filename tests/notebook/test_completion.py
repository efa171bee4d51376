"""Tab after %leverage."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell

from leverage_nb.session import current


@pytest.fixture
def shell() -> Iterator[InteractiveShell]:
    """An IPython with the extension loaded and the simulator's tiers read."""
    shell = InteractiveShell.instance()
    shell.extension_manager.load_extension("leverage_nb")
    current().symbols()
    yield shell
    shell.extension_manager.unload_extension("leverage_nb")
    InteractiveShell.clear_instance()


def offered(shell: InteractiveShell, text: str) -> list[str]:
    """What Tab offers at the end of ``text``."""
    with provisionalcompleter():
        return [completion.text for completion in shell.Completer.completions(text, len(text))]


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("%leverage B", ["BTCUSDT", "BNBUSDT"]),
        ("%leverage btcu", ["BTCUSDT"]),
        ("r = %leverage SO", ["SOLUSDT"]),
        ("x = 1\nr = %leverage SO", ["SOLUSDT"]),
        ("%leverage 哈", ["哈基米USDT"]),
        ("%leverage BTCUSDT ", ["150", "100", "75", "50", "25", "20", "10", "5", "4", "3", "2", "1", "max"]),
        ("%leverage btc/usdt 1", ["150", "100", "10", "1"]),
        ("%leverage BTCUSDT m", ["max"]),
        ("%leverage BTCUSDT E", ["ETHUSDT", "EPTUSDT", "ETHBTC"]),
        ("%leverage BTCUSDT 10 --d", ["--dry-run"]),
        ("%leverage BTCUSDT 10 --dry-run --", ["--brackets", "--changes", "--force"]),
        ("%leverage --venue t", ["testnet"]),
        ("%leverage --login ", ["simulator", "testnet", "mainnet"]),
        ("%leverage {row['a b']} m", ["max"]),
    ],
)
def test_what_is_offered(shell: InteractiveShell, text: str, first: list[str]) -> None:
    """Symbols first, then the symbol's tier edges and max, then flags; also where the result is assigned."""
    assert offered(shell, text)[: len(first)] == first


def test_a_profile_has_any_name(shell: InteractiveShell) -> None:
    """After --profile nothing is offered: a name is no symbol."""
    assert not {"BTCUSDT", "BNBUSDT"} & set(offered(shell, "%leverage --profile B"))


def test_other_lines_are_left_alone(shell: InteractiveShell) -> None:
    """Where %leverage is not what is being typed, nothing of ours is offered."""
    for text in ("BTC", "print('%leverage B", "%time B"):
        assert "BTCUSDT" not in offered(shell, text)


def test_a_field_is_python(shell: InteractiveShell) -> None:
    """Inside of an open field the notebook's variables are offered, and nothing of ours."""
    shell.user_ns["my_symbol"] = "BTCUSDT"
    assert offered(shell, "%leverage {my_s") == ["my_symbol"]


def test_nothing_is_asked_while_typing(shell: InteractiveShell) -> None:
    """Tab asks the exchange nothing: what has not been read is not offered."""
    current()._client.read = None  # type: ignore[assignment,method-assign]  # any request would raise
    assert "BTCUSDT" in offered(shell, "%leverage B")
    current()._tiers._table = None
    assert "BTCUSDT" not in offered(shell, "%leverage B")


def test_unloading_takes_it_away(shell: InteractiveShell) -> None:
    """Loading twice adds it once, and unloading removes it."""
    shell.extension_manager.reload_extension("leverage_nb")
    assert len(shell.Completer.custom_matchers) == 1
    shell.extension_manager.unload_extension("leverage_nb")
    assert shell.Completer.custom_matchers == []
    shell.extension_manager.load_extension("leverage_nb")
