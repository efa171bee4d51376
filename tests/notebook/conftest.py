"""A real JupyterLab, and Chromium to look at it with."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest

SCREENSHOTS = Path(__file__).parents[1] / "screenshots"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """One Chromium for the whole run; skipped where there is none, but never in CI."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have a Chromium: .ci/run installs it")
        pytest.skip("no Chromium or Chrome on this machine: the panel is not tried in a browser")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


class Lab:
    """A running JupyterLab whose folder is ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        own = {name: str(root.parent / name.lower()) for name in ("JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")}
        config = root.parent / "config"
        settings = config / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension"
        settings.mkdir(parents=True)
        quiet = {"fetchNews": "false", "checkForUpdates": False}
        (settings / "notification.jupyterlab-settings").write_text(json.dumps(quiet))
        environment = {
            **os.environ,
            **own,
            "JUPYTER_CONFIG_DIR": str(config),
            "JUPYTERLAB_SETTINGS_DIR": str(config / "lab" / "user-settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(root.parent / "workspaces"),
            "IPYTHONDIR": str(root.parent / "ipython"),
            "XDG_DATA_HOME": str(root.parent / "data"),  # no test writes into a person's own journal
        }
        command = [
            sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1",
            f"--ServerApp.port={self.port}", "--ServerApp.port_retries=0", f"--ServerApp.root_dir={root}",
            "--IdentityProvider.token=", "--expose-app-in-browser", "--LabApp.extension_manager=readonly",
        ]  # fmt: skip
        self.log = root.parent / "lab.log"
        with self.log.open("w") as log:
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api", timeout=2):
                    return
            except OSError:
                time.sleep(0.1)
        pytest.fail(f"JupyterLab did not start:\n{self.log.read_text()[-2000:]}")

    def write(self, name: str, cells: list[str]) -> None:
        """Put a notebook of code cells into its folder."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, self.root / name)

    def url(self, name: str) -> str:
        """Where JupyterLab shows a notebook, in a workspace of its own."""
        return f"http://127.0.0.1:{self.port}/lab/workspaces/{Path(name).stem}/tree/{name}?reset"

    def stop(self) -> None:
        """End the server and its kernels."""
        self._process.terminate()
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One JupyterLab for the whole run."""
    root = tmp_path_factory.mktemp("lab") / "notebooks"
    root.mkdir()
    server = Lab(root)
    yield server
    server.stop()


class NotebookPage:
    """A notebook open in the browser."""

    def __init__(self, lab: Lab, page: Any, name: str) -> None:
        self.lab, self.page, self.name = lab, page, name
        page.set_default_timeout(30_000)
        page.goto(lab.url(name))
        page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
        self.wait_for_kernel()

    def wait_for_kernel(self, status: str = "idle") -> None:
        """Wait for the kernel itself: the toolbar's word comes before the kernel can run anything."""
        self.page.wait_for_function(
            """status => {
                const kernel = window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel;
                return kernel && kernel.connectionStatus === 'connected' && kernel.status === status;
            }""",
            arg=status,
        )

    def command(self, name: str) -> None:
        """Give JupyterLab a command, without awaiting it in the page."""
        self.page.evaluate("name => { window.jupyterapp.commands.execute(name); }", name)

    def run_all(self) -> None:
        """Run every cell and wait until the kernel is idle again."""
        self.command("notebook:run-all-cells")
        self.page.wait_for_function(
            """() => [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')]
                     .every(prompt => /\\[\\d+\\]/.test(prompt.textContent))"""
        )
        self.wait_for_kernel()

    def shoot(self, name: str) -> None:
        """Keep a screenshot for a person to look at."""
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")


@pytest.fixture
def open_notebook(lab: Lab, chromium: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    """Write a notebook of the given cells, and open it: ``open_notebook(["%load_ext leverage_nb"])``."""
    context = chromium.new_context(viewport={"width": 1100, "height": 1000})
    name = f"{request.node.name.replace('[', '-').replace(']', '')}.ipynb"

    def opened(cells: list[str]) -> NotebookPage:
        lab.write(name, cells)
        return NotebookPage(lab, context.new_page(), name)

    yield opened
    context.close()
