"""The code keeps its order: imports, style, types, lazy imports, a test file per module."""

from __future__ import annotations

import ast
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
    """Ruff and strict mypy find nothing, and the code is formatted."""
    done = run(sys.executable, "-m", *command)
    assert done.returncode == 0, done.stdout + done.stderr


def test_imports_point_down_only() -> None:
    """The import contracts of pyproject.toml are kept."""
    done = run(str(Path(sys.executable).parent / "lint-imports"))
    assert done.returncode == 0, done.stdout


def test_every_module_has_its_test_file() -> None:
    """The tests of ``leverage_nb/<package>/<module>.py`` are in ``tests/<package>/test_<module>.py``."""
    package = ROOT / "leverage_nb"
    modules = [path.relative_to(package) for path in package.rglob("*.py") if path.name != "__init__.py"]
    assert modules
    files = [path.with_name(f"test_{path.stem.strip('_')}.py") for path in modules]
    assert sorted(str(path) for path in files if not (ROOT / "tests" / path).is_file()) == []


def test_no_test_file_imports_another() -> None:
    """Helpers that several test files use are in modules of their own."""
    found = []
    for path in (ROOT / "tests").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                if any(part.startswith("test_") for name in names for part in name.split(".")):
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found == []


def loaded_after(code: str) -> set[str]:
    """Return the heavy modules that a new interpreter has loaded after ``code``."""
    listing = (
        f"import sys, json; before = set(sys.modules)\n{code}\nprint(json.dumps(sorted(set(sys.modules) - before)))"
    )
    done = run(sys.executable, "-c", listing)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1])) & {*HEAVY, "matplotlib.pyplot", "leverage_nb.simulator"}


def test_loading_the_extension_loads_nothing_heavy() -> None:
    """Neither %load_ext leverage_nb nor import leverage_nb imports a heavy package."""
    shell = "from IPython.core.interactiveshell import InteractiveShell\nip = InteractiveShell.instance()\n"
    before = loaded_after(shell)
    assert loaded_after(shell + "ip.extension_manager.load_extension('leverage_nb')") == before
    assert loaded_after("import leverage_nb") == set()


def test_risk_loads_numpy_and_not_pandas() -> None:
    """The calculations can be used without the import time of pandas."""
    assert loaded_after("import leverage_nb.risk.outlook") == {"numpy"}


def test_the_panel_does_not_load_pyplot() -> None:
    """A panel does not import pyplot, which is slow to import and has global state."""
    code = "import leverage_nb as lev; lev.LeveragePanel(lev.connect())"
    assert "matplotlib.pyplot" not in loaded_after(code)
