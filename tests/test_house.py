"""The house keeps its order: arrows, style, types, lazy imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

HEAVY = ("numpy", "pandas", "matplotlib", "ipywidgets", "anywidget", "requests", "tornado", "websockets", "msgspec")


def run(*command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a command in the project's folder."""
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.parametrize(
    "command",
    [("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",)],
    ids=["ruff check", "ruff format", "mypy strict"],
)
def test_style_and_types(command: tuple[str, ...]) -> None:
    """Ruff finds nothing, the format is ruff's, and mypy is strict and content."""
    done = run(sys.executable, "-m", *command)
    assert done.returncode == 0, done.stdout + done.stderr


def test_arrows_point_down_only() -> None:
    """The import contracts of pyproject.toml hold."""
    done = run(str(Path(sys.executable).parent / "lint-imports"))
    assert done.returncode == 0, done.stdout


def loaded_after(code: str) -> set[str]:
    """Which heavy modules a fresh interpreter has loaded after ``code``."""
    listing = (
        f"import sys, json; before = set(sys.modules)\n{code}\nprint(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = run(sys.executable, "-c", listing)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1])) & {*HEAVY, "matplotlib.pyplot", "leverage_nb.simulator"}


def test_loading_the_extension_loads_nothing_heavy() -> None:
    """%load_ext leverage_nb imports none of the heavy packages, and neither does import leverage_nb."""
    shell = "from IPython.core.interactiveshell import InteractiveShell\nip = InteractiveShell.instance()\n"
    before = loaded_after(shell)
    assert loaded_after(shell + "ip.extension_manager.load_extension('leverage_nb')") == before
    assert loaded_after("import leverage_nb") == set()


def test_risk_loads_numpy_and_not_pandas() -> None:
    """The maths can be used without waiting for pandas."""
    assert loaded_after("import leverage_nb.risk") == {"numpy"}


def test_the_panel_does_not_load_pyplot() -> None:
    """Building the panel leaves pyplot, slow to import and global, alone."""
    code = "import leverage_nb as lev; lev.LeveragePanel(lev.connect())"
    assert "matplotlib.pyplot" not in loaded_after(code)
