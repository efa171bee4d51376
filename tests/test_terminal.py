"""Terminals show colours and characters only where they can."""

from __future__ import annotations

import io
import os
import subprocess
import sys

import pytest

from leverage_nb import terminal


class Output(io.TextIOWrapper):
    """A standard output with an encoding, which may be a terminal."""

    def __init__(self, encoding: str = "utf-8", *, is_terminal: bool = True) -> None:
        super().__init__(io.BytesIO(), encoding=encoding)
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._is_terminal


@pytest.fixture(autouse=True)
def _colour_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have an environment that asks for no restriction."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_colours_are_for_terminals_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """There are colours in a terminal; not in files, with NO_COLOR, in a dumb terminal or without an output."""
    monkeypatch.setattr(sys, "stdout", Output())
    assert terminal.has_colours()
    for name, value in (("NO_COLOR", "1"), ("TERM", "dumb")):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            assert not terminal.has_colours()
    for output in (Output(is_terminal=False), None):
        monkeypatch.setattr(sys, "stdout", output)
        assert not terminal.has_colours()
        assert not terminal.is_terminal()
        assert terminal.columns() is None


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("utf-8", "20x → 10x – “哈基米”…"),
        ("ascii", r'20x -> 10x - "\u54c8\u57fa\u7c73"...'),
        ("latin-1", r'20x -> 10x - "\u54c8\u57fa\u7c73"...'),
        ("gbk", "20x → 10x – “哈基米”…"),
        ("unknown", "20x → 10x – “哈基米”…"),
    ],
)
def test_characters_that_cannot_be_encoded_are_replaced(
    monkeypatch: pytest.MonkeyPatch, encoding: str, shown: str
) -> None:
    """Where the output's encoding has no arrow, ``->`` is shown; where it has all, nothing is replaced."""

    class Named:
        pass

    Named.encoding = encoding  # type: ignore[attr-defined]  # an output needs no more here
    monkeypatch.setattr(sys, "stdout", Named())
    assert terminal.encodable("20x → 10x – “哈基米”…") == shown


def test_a_minus_stays_a_minus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A negative amount has a sign in every encoding: an escaped minus would read like digits of the amount."""
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="cp1252"))
    assert terminal.encodable("−500 USDT") == "-500 USDT"


PRINTING = """
import leverage_nb as lev
account = lev.connect()
try:
    account.set_leverage("BTCUSDT", 1)
except lev.LeverageError as exc:
    error = exc
plan = account.plan({"BTCUSDT": 12, "ETHUSDT": "max"})
for shown in (account.set_leverage("BTCUSDT", 10), account.preview("BTCUSDT", 20), plan, account.history(), error):
    print(shown, [shown])
"""


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_whatever_is_printed_can_be_encoded(encoding: str) -> None:
    """Changes, previews, plans, tables and errors can be printed to a pipe on Windows, and in the C locale."""
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run(
        [sys.executable, "-c", PRINTING], capture_output=True, timeout=60, check=False, env=environment
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"20x -> 10x applied" in done.stdout


def test_wide_characters_take_two_columns() -> None:
    """Texts are filled up to their width on the screen, at the right or the left."""
    assert terminal.width("哈基米USDT") == 10
    assert terminal.pad("哈基米", 8, left=True) == "哈基米  "
    assert terminal.pad("10x", 5, left=False) == "  10x"


def test_painted_text_ends_with_a_reset() -> None:
    """Codes are before the text, and the reset is behind it; without codes or text there is nothing to add."""
    assert terminal.paint("x", terminal.BOLD, terminal.RED) == "\x1b[1;31mx\x1b[0m"
    assert terminal.paint("x") == "x"
    assert terminal.paint("", terminal.BOLD) == ""
