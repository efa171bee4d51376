"""What is released, and what becomes of it elsewhere.

``pytest -n 0 -m fresh`` installs it into new environments, ``-m oldest`` with the oldest versions of its dependencies.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from leverage_nb import __version__
from tests.conftest import ROOT

ADDRESS = "https://example.com/owner/leverage_nb"
TOOLS = Path(sys.executable).parent
# Browsers, style and the looks of notebooks belong to the newest versions; old ones warn of what has come since.
# The random runs, the independent exchange and the simulator's own tests use no other parts of these libraries.
OF_THE_OLDEST = [f"tests/{folder}" for folder in ("binance", "journal", "notebook", "risk", "tiers")]
OF_THE_OLDEST += ["tests/test_account.py", "tests/test_frames.py", "tests/test_session.py", "tests/test_secrets.py"]
OF_THE_OLDEST += ["tests/changes/test_plan.py", "tests/changes/test_plan_input.py", "tests/changes/test_history.py"]
OF_THE_OLDEST += [
    "-m",
    "not browser and not clients and not proof and not testnet and not fresh and not oldest and not thorough",
]
OF_THE_OLDEST += ["-W", "ignore"]


def run(*command: object, cwd: Path = ROOT, path: Path | None = None, **variables: str) -> str:
    """Run a command, with ``path`` first on the PATH, and return what it printed."""
    environment = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    environment |= variables
    if path is not None:
        environment["PATH"] = f"{path}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheel and sdist, built as for a release, without isolation: the build backend is installed for the tests."""
    folder = tmp_path_factory.mktemp("released")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, LEVERAGE_NB_REPOSITORY=ADDRESS)
    return folder


@pytest.fixture
def wheel(released: Path) -> Path:
    """The wheel."""
    return next(released.glob("*.whl"))


def test_the_wheel_holds_its_data(wheel: Path) -> None:
    """Every file of the package is in the wheel, which is built from the sdist: market, JavaScript, CSS, py.typed."""
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.startswith("leverage_nb/")}
    there = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "leverage_nb").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == there
    for name in ("simulator/market.json", "notebook/panel_js/view.js", "notebook/panel.css", "py.typed"):
        assert f"leverage_nb/{name}" in held


def test_the_sdist_holds_what_its_tests_need(released: Path) -> None:
    """The source distribution has every file of the repository but those that only version control uses."""
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("a source distribution has no list of the repository's files")
    listed = run("git", "-c", "core.quotePath=false", "ls-files").splitlines()
    with tarfile.open(next(released.glob("*.tar.gz"))) as archive:
        held = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert set(listed) - held == {".pre-commit-config.yaml"}


def test_the_metadata_is_what_an_index_takes(released: Path) -> None:
    """Twine accepts the files, and their version is the package's own."""
    files = list(released.iterdir())
    assert {file.name.split("-")[1].removesuffix(".tar.gz") for file in files} == {__version__}
    run(sys.executable, "-m", "twine", "check", "--strict", *files)


def test_a_release_has_absolute_links(wheel: Path) -> None:
    """The description of a release links to the repository that built it, at its version; README's links are files."""
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("/METADATA")]
        headers, _, description = archive.read(name).decode().partition("\n\n")
    assert f"Project-URL: Source, {ADDRESS}" in headers.splitlines()
    assert f"]({ADDRESS}/raw/v{__version__}/.github/assets/panel.gif)" in description
    assert "mybinder.org/v2/gh/owner/leverage_nb/HEAD" in description
    for target in re.findall(r"\]\(([^)]+)\)", description):
        assert target.startswith("https://"), target
    for target in re.findall(r"\]\(([^)]+)\)", (ROOT / "README.md").read_text(encoding="utf-8")):
        assert target.startswith("https://") or (ROOT / target.partition("#")[0]).exists(), target


def test_the_wheel_works_away_from_its_source(wheel: Path, tmp_path: Path) -> None:
    """Unpacked elsewhere, the package runs from what the wheel holds alone."""
    shutil.unpack_archive(wheel, tmp_path, "zip")
    code = (
        "import leverage_nb as lev, pathlib\n"
        "print(pathlib.Path(lev.__file__).parent.parent)\n"
        "account = lev.connect()\n"
        "lev.LeveragePanel(account)\n"
        "print(account.set_leverage('BTCUSDT', 10).status)"
    )
    assert run(sys.executable, "-c", code, cwd=tmp_path).splitlines() == [str(tmp_path.resolve()), "applied"]


def render_dockerfile() -> list[str]:
    """The Dockerfile that Binder would build from, as repo2docker writes it; it needs no container engine for that."""
    done = subprocess.run(
        [TOOLS / "jupyter-repo2docker", "--no-build", "--debug", "."],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return (done.stdout + done.stderr).splitlines()


def test_binder_gets_a_named_python_and_runs_post_build() -> None:
    """The image has the Python that is named, the sources before they are installed, and no build tools of its own."""
    lines = render_dockerfile()
    [lock] = [line for line in lines if "environment.lock" in line and line.startswith("COPY")]
    named = (ROOT / "binder" / "runtime.txt").read_text().strip().removeprefix("python-")
    assert f"py-{named.replace('.', '-2e')}-" in lock.replace("-2d3-2e", "-3-2e")
    copied = next(place for place, line in enumerate(lines) if line.startswith("COPY") and "src/ ${REPO_DIR}/" in line)
    assert lines.index("RUN ./binder/postBuild") > copied
    assert os.access(ROOT / "binder" / "postBuild", os.X_OK)


def test_the_binder_settings_are_those_jupyterlab_knows() -> None:
    """What is overridden is a setting of JupyterLab, so that the demo opens without a question about news."""
    import jupyterlab

    overrides = json.loads((ROOT / "binder" / "overrides.json").read_text())
    schemas = Path(jupyterlab.__file__).parent / "schemas"
    for plugin, settings in overrides.items():
        package, name = plugin.split(":")
        schema = json.loads((schemas / package / f"{name}.json").read_text())
        assert settings.keys() <= schema["properties"].keys()


# -- in environments of their own --------------------------------------------------------------------------------


def make_environment(folder: Path) -> Path:
    """A new virtual environment; its folder of programs."""
    run(TOOLS / "uv", "venv", "--seed", "--python", sys.executable, folder)
    return folder / ("Scripts" if os.name == "nt" else "bin")


@pytest.mark.fresh
def test_the_quickstart_from_the_wheel_alone(wheel: Path, tmp_path: Path) -> None:
    """Installed into a clean environment, without its sources, the wheel runs the quickstart, magic, panel and all."""
    programs = make_environment(tmp_path / "venv")
    run(TOOLS / "uv", "pip", "install", "--python", programs / "python", wheel, "ipykernel", "nbconvert")
    shutil.copy(ROOT / "notebooks" / "01_quickstart.ipynb", tmp_path / "quickstart.ipynb")
    run(
        programs / "jupyter",
        "nbconvert",
        "--to",
        "notebook",
        "--execute",
        "--inplace",
        "quickstart.ipynb",
        cwd=tmp_path,
    )
    listed = run(programs / "ipython", "--no-banner", "-c", "%load_ext leverage_nb\n%lsmagic", cwd=tmp_path)
    assert "%leverage" in listed
    assert "%%leverage" in listed
    assert run(programs / "python", "-m", "leverage_nb", cwd=tmp_path).startswith(f"leverage_nb  {__version__}")


@pytest.mark.oldest
def test_the_oldest_versions_that_are_named(tmp_path: Path) -> None:
    """With the oldest release of everything that pyproject.toml allows, the tests of what uses them pass."""
    programs = make_environment(tmp_path / "venv")
    oldest = tmp_path / "oldest.txt"
    run(
        TOOLS / "uv", "pip", "compile", "pyproject.toml", "--extra", "keys", "--resolution", "lowest-direct",
        "--no-deps", "--python", programs / "python", "--output-file", oldest,
    )  # fmt: skip
    run(TOOLS / "uv", "pip", "install", "--python", programs / "python", "-e", ".[test]", "--constraints", oldest)
    print(oldest.read_text())
    print(run(programs / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *OF_THE_OLDEST)[-300:])


@pytest.mark.fresh
def test_binders_steps(tmp_path: Path) -> None:
    """What Binder runs, run here: the package is installed from the sources, quiet, and its notebook runs through."""
    copy, programs = tmp_path / "src", make_environment(tmp_path / "venv")
    shutil.copytree(
        ROOT, copy, ignore=shutil.ignore_patterns(".git", ".venv*", ".*_cache", "__pycache__", "screenshots")
    )
    run(copy / "binder" / "postBuild", cwd=copy, path=programs)
    assert (programs.parent / "share" / "jupyter" / "lab" / "settings" / "overrides.json").exists()
    notebook = copy / "notebooks" / "04_testnet.ipynb"
    run(programs / "jupyter", "nbconvert", "--to", "notebook", "--execute", "--inplace", notebook, path=programs)
    assert "This is the SIMULATOR, not the testnet" in notebook.read_text(encoding="utf-8")


@pytest.mark.fresh
def test_no_known_vulnerabilities(tmp_path: Path) -> None:
    """What a user installs has no vulnerability that the index's database knows; skipped where it cannot be reached."""
    required = tmp_path / "requirements.txt"
    run(TOOLS / "uv", "pip", "compile", "pyproject.toml", "--extra", "keys", "--output-file", required)
    command = [TOOLS / "uvx", "pip-audit", "--requirement", required, "--no-deps", "--disable-pip", "--format", "json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    found = json.loads(done.stdout) if done.stdout.startswith("{") else {"dependencies": []}
    looked_up = [package for package in found["dependencies"] if "vulns" in package]
    if not looked_up:
        pytest.skip("the database of vulnerabilities cannot be reached from here")
    assert [package for package in looked_up if package["vulns"]] == []
