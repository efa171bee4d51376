"""Every kind of command in a plain ``ipython``, in a real terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.notebook.terminals import IPythonTerminal, plain

COMMANDS = {
    "%leverage": "72,109.38",
    "%leverage BTCUSDT": "maintenance rate",
    "%leverage BTCUSDT ETHUSDT": "150x",
    "%leverage BTCUSDT 10 -n": "20x → 10x leaves 50,506.25 USDT available",
    "%leverage BTCUSDT 10": "BTCUSDT 20x → 10x applied",
    "%leverage XRPUSDT max": "XRPUSDT",
    "%leverage BTCUSDT --brackets": "0.65%",
    "%leverage BTCUSDT --for 2m": "24x",
    "%leverage BTCUSDT --plot": "Plot of BTCUSDT",
    "%leverage --cap 60 -n": "1 to change",
    "%leverage --policy {policy}": "Policy risk.toml: 1 of 44 symbols differ",
    "%leverage ETHUSDT --add-margin 10 -n": "isolated margin +10 USDT",
    "%leverage ADAUSDT isolated": "cross → isolated applied",
    "%leverage ADAUSDT --cross -y": "isolated → cross applied",
    "%leverage --undo -n": "Undoes ADAUSDT isolated → cross",
    "%leverage --history": "applied",
    "%leverage --changes": "No tier has changed",
    "get_ipython().run_cell_magic('leverage', '', 'BTCUSDT 12')": "Plan of 1 row: 1 applied",
    "%leverage --undo": "1 undone",
    "%leverage BTCUSDT 200": "200x is above BTCUSDT's maximum of 150x.",
    "%leverage BTCUSDT 125": "exceeds the 300k allowed",
    "%leverage --logout simulator": "The simulator needs no key.",
    "lev.current().positions()": "67,819.10",
}


def test_every_kind_of_command_can_be_read(tmp_path: Path) -> None:
    """Each command shows its content in the terminal's width, in colours, and without HTML."""
    (tmp_path / "risk.toml").write_text("cap = 40")
    with IPythonTerminal(tmp_path, columns=90) as ipython:
        ipython.run("%load_ext leverage_nb")
        ipython.run(f"import leverage_nb as lev; policy = r'{tmp_path / 'risk.toml'}'")
        for command, part in COMMANDS.items():
            coloured = ipython.run(command)
            shown = plain(coloured)
            assert part in " ".join(shown.split()), command
            assert not any(tag in shown for tag in ("<div", "<table", "&lt;", "style=", "NaN", "<NA>")), command
            lines = [line.rpartition("\r")[2].rstrip() for line in shown.splitlines()]
            assert max(map(len, lines)) <= 90, command
            if "[SIMULATOR] " in shown and "No tier has changed" not in shown:
                assert "\x1b[1;34m[SIMULATOR]\x1b[0m" in coloured, command
        assert "\x1b[1;32mBTCUSDT" in ipython.run("%leverage BTCUSDT 11")
        assert "\x1b[1mUnknownSymbol" in ipython.run("%leverage FOO")


def test_changes_of_a_loop_are_lines_and_a_semicolon_hides_them(tmp_path: Path) -> None:
    """In the terminal too each change of a loop prints one line; a semicolon keeps a change quiet."""
    with IPythonTerminal(tmp_path) as ipython:
        ipython.run("%load_ext leverage_nb")
        assert ipython.run("%leverage BTCUSDT 10;").strip() == ""
        assert ipython.run("change = %leverage BTCUSDT 12") == "BTCUSDT 10x → 12x applied, SIMULATOR"
        ipython.run("def lower(): get_ipython().run_line_magic('leverage', 'BTCUSDT 8')\n")
        assert ipython.run("lower()") == "BTCUSDT 12x → 8x applied, SIMULATOR"


def test_a_panel_is_shown_once_as_text(tmp_path: Path) -> None:
    """In a terminal, which has no widgets, a panel is a table; later changes print nothing about it."""
    with IPythonTerminal(tmp_path, columns=90) as ipython:
        ipython.run("import leverage_nb as lev; panel = lev.LeveragePanel()")
        assert "needs a notebook" in plain(ipython.run("panel"))
        assert plain(ipython.run("print(panel)")) == "<LeveragePanel [SIMULATOR] BTCUSDT at 20x>"
        changed = plain(ipython.run("lev.current().set_leverage('BTCUSDT', 10)"))
        assert "BTCUSDT 20x → 10x applied" in changed
        assert "maintenance rate" not in changed


@pytest.mark.parametrize(
    ("environment", "arrow"), [({"NO_COLOR": "1"}, "→"), ({"TERM": "dumb"}, "→"), ({"PYTHONIOENCODING": "ascii"}, "->")]
)
def test_a_terminal_gets_what_it_can_show(tmp_path: Path, environment: dict[str, str], arrow: str) -> None:
    """NO_COLOR and dumb terminals get no codes; an encoding without arrows gets ``->`` and hyphens."""
    with IPythonTerminal(tmp_path, **environment) as ipython:
        ipython.run("%load_ext leverage_nb")
        for command, part in (
            ("%leverage BTCUSDT 10", f"BTCUSDT 20x {arrow} 10x applied"),
            ("print(_)", f"BTCUSDT 20x {arrow} 10x applied"),
            ("change = %leverage BTCUSDT 12", f"BTCUSDT 10x {arrow} 12x applied"),
            ("%leverage", f"BTCUSDT 10x {arrow} 12x applied"),
            ("%leverage --history", "as_of"),
            ("%leverage FOO", "FOO is not a symbol"),
            ("%leverage -h", "%leverage BTCUSDT 10"),
        ):
            shown = ipython.run(command)
            assert part in shown, command
            if "PYTHONIOENCODING" in environment:
                assert plain(shown).isascii(), command
            else:
                assert "\x1b" not in shown.replace("\x1b[?2004l", ""), command
