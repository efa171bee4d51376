"""The README's commands are the ones that are run."""

from __future__ import annotations

import re
import tomllib

import pytest
from PIL import Image

from leverage_nb.notebook.command import read_command
from leverage_nb.notebook.line_words import parse_line
from leverage_nb.notebook.magic import LeverageMagics
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
MAIN_JOB = (
    "python3 -m venv .venv && .venv/bin/pip install -e '.[lab,keys]'"
    " && .venv/bin/jupyter lab notebooks/01_quickstart.ipynb"
)
TESTS = "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest"


def test_the_two_commands_are_on_the_first_screen() -> None:
    """Running it and testing it are one command each, within the first 40 lines."""
    first_screen = "\n".join(README.splitlines()[:40])
    assert MAIN_JOB in first_screen
    assert TESTS in first_screen


def test_ci_runs_the_readmes_test_command() -> None:
    """The gate, .ci/run, runs exactly the test command that the README names, and CI runs the gate."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert TESTS in script.splitlines()
    assert ".ci/run" in (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")


def test_it_is_short() -> None:
    """It stays below 120 lines, and shows the panel within the first 20."""
    lines = README.splitlines()
    assert len(lines) < 120
    assert any(".github/assets/panel.gif" in line for line in lines[:20])


PAGES = ["README.md", "CHANGELOG.md", *(f".github/{page.name}" for page in sorted((ROOT / ".github").glob("*.md")))]


@pytest.mark.parametrize("name", PAGES)
def test_every_file_that_is_named_exists(name: str) -> None:
    """No link to a file of the project, and no path of one in a text, leads nowhere."""
    text = (ROOT / name).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    paths = re.findall(r"`((?:tests|notebooks|binder|leverage_nb|\.github|\.ci)/[\w/.]+\.\w+)`", text)
    for target in {*links, *paths}:
        assert (ROOT / target).exists() or (ROOT / name).parent.joinpath(target).exists(), target


@pytest.mark.parametrize("line", re.findall(r"`%leverage ([^`]+)`|^%leverage ([^#\n]+)", README, re.MULTILINE))
def test_every_command_is_valid(line: tuple[str, str]) -> None:
    """%leverage accepts every line that the README shows."""
    read_command(parse_line(LeverageMagics.leverage.parser, "".join(line), {}), is_cell=False)


def test_every_option_exists() -> None:
    """Every option of %leverage that the README names exists."""
    known = set(re.findall(r"--?[a-z][a-z-]*", LeverageMagics.leverage.parser.format_help()))
    commands = README.split("## Commands")[1].split("## From Python")[0]
    assert set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", commands)) <= known


def test_contributings_map_has_every_module() -> None:
    """The map names each module of the package, apart from those of the simulator."""
    text = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8").split("## The map")[1].split("\n## ")[0]
    modules = {path.stem for path in (ROOT / "leverage_nb").rglob("*.py") if path.parent.name != "simulator"}
    assert {name for name in modules if not name.startswith("__")} <= set(re.findall(r"\w+", text))


def test_contributings_commands_are_real() -> None:
    """The markers that CONTRIBUTING names exist, and it installs as the README's test command does."""
    text = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
    markers = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"][
        "markers"
    ]
    for marker in re.findall(r"pytest [^`|]*-m (\w+)", text):
        assert any(line.startswith(f"{marker}:") for line in markers), marker
    assert TESTS.split(" && ")[1] in text


def test_the_moving_picture_moves() -> None:
    """The picture is animated, at most 900 pixels wide, and smaller than 1 MB."""
    picture = ROOT / ".github" / "assets" / "panel.gif"
    with Image.open(picture) as film:
        assert film.n_frames > 30
        assert film.width <= 900
    assert picture.stat().st_size < 1_000_000
