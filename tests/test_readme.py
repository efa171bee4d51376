"""The README's commands are the ones that are run."""

from __future__ import annotations

import re

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
MAIN_JOB = (
    "python3 -m venv .venv && .venv/bin/pip install -e '.[lab]' && .venv/bin/jupyter lab notebooks/01_quickstart.ipynb"
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


def test_every_file_it_links_to_exists() -> None:
    """No link to a file of the project leads nowhere."""
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", README):
        assert (ROOT / target).exists(), target
