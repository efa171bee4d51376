"""The README's commands are the ones that are run."""

from __future__ import annotations

import re
import tomllib

import pytest
from PIL import Image

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


def test_it_is_read_in_one_go() -> None:
    """It stays below 120 lines, and shows the panel within the first 20."""
    lines = README.splitlines()
    assert len(lines) < 120
    assert any(".github/assets/panel.gif" in line for line in lines[:20])


@pytest.mark.parametrize("name", ["README.md", ".github/CONTRIBUTING.md", ".github/SECURITY.md", "CHANGELOG.md"])
def test_every_file_that_is_named_exists(name: str) -> None:
    """No link to a file of the project, and no path of one in a text, leads nowhere."""
    text = (ROOT / name).read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    paths = re.findall(r"`((?:tests|notebooks|binder|leverage_nb|\.github|\.ci)/[\w/.]+\.\w+)`", text)
    kept_by_a_run = {"contract-report.md"}
    for target in {*links, *paths} - kept_by_a_run:
        assert (ROOT / target).exists() or (ROOT / name).parent.joinpath(target).exists(), target


def test_contributings_commands_are_real() -> None:
    """The markers and scripts that CONTRIBUTING names are there."""
    text = (ROOT / ".github" / "CONTRIBUTING.md").read_text(encoding="utf-8")
    markers = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["pytest"]["ini_options"][
        "markers"
    ]
    for marker in re.findall(r"pytest [^`|]*-m (\w+)", text):
        assert any(line.startswith(f"{marker}:") for line in markers), marker
    assert TESTS.split(" && ")[1] in text


def test_the_moving_picture_moves() -> None:
    """The picture has frames, fits a page, and is no burden to load."""
    picture = ROOT / ".github" / "assets" / "panel.gif"
    with Image.open(picture) as film:
        assert film.n_frames > 30
        assert film.width <= 900
    assert picture.stat().st_size < 1_000_000
