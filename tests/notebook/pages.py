"""A running JupyterLab, and its notebook pages and panels as a user sees them."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
import requests

SCREENSHOTS = Path(__file__).parents[1] / "screenshots"
LOAD = "%load_ext leverage_nb\nimport leverage_nb as lev, time"
SHOW = "panel = %leverage BTCUSDT\npanel"
# A cell that ends at once when all cells are run; when it is run again, it keeps the kernel busy until ``go_on()``.
BUSY = "work()"
WAITS = """
from pathlib import Path
first, file = iter([True]), Path('go-on')
def work():
    while not next(first, False) and not file.exists():
        time.sleep(0.02)
    file.unlink(missing_ok=True)
"""

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


def find_chromium() -> str | None:
    """Return the path of a Chromium or Chrome on this machine; None without one."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


@contextmanager
def launch() -> Iterator[Any]:
    """Start a Chromium that Playwright drives."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=QUIET)
        yield browser
        browser.close()


class JupyterServer:
    """A Jupyter program that serves the notebooks of ``root``, and writes only beside that folder."""

    arguments: tuple[str, ...] = ()
    answers_at = "/"

    def __init__(self, root: Path) -> None:
        self.root = root
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        own = {name: str(root.parent / name.lower()) for name in ("JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")}
        config = root.parent / "config"
        settings = config / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension"
        settings.mkdir(parents=True, exist_ok=True)
        quiet = {"fetchNews": "false", "checkForUpdates": False}
        (settings / "notification.jupyterlab-settings").write_text(json.dumps(quiet))
        environment = {
            **os.environ,
            **own,
            "JUPYTER_CONFIG_DIR": str(config),
            "JUPYTERLAB_SETTINGS_DIR": str(config / "lab" / "user-settings"),
            "JUPYTERLAB_WORKSPACES_DIR": str(root.parent / "workspaces"),
            "IPYTHONDIR": str(root.parent / "ipython"),
            "XDG_DATA_HOME": str(root.parent / "data"),  # not the user's own journal
        }
        command = [sys.executable, "-m", *(word.format(port=self.port, root=root) for word in self.arguments)]
        self.log = root.parent / f"{type(self).__name__.lower()}.log"
        with self.log.open("w") as log:
            self._process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                requests.get(self.address + self.answers_at, timeout=2)
                return
            except requests.RequestException:
                time.sleep(0.1)
        raise RuntimeError(f"{self.arguments[0]} did not start:\n{self.log.read_text()[-2000:]}")

    def write(self, name: str, cells: list[str]) -> None:
        """Write a notebook of code cells."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, self.root / name)

    def copy(self, source: Path, name: str) -> None:
        """Copy a notebook without its outputs."""
        notebook = nbformat.read(source, 4)
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [], None
        nbformat.write(notebook, self.root / name)

    def stop(self) -> None:
        """End the server and its kernels."""
        self._process.terminate()
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()


class Lab(JupyterServer):
    """A running JupyterLab."""

    arguments = (
        "jupyterlab", "--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", "--ServerApp.port={port}",
        "--ServerApp.port_retries=0", "--ServerApp.root_dir={root}", "--IdentityProvider.token=",
        "--expose-app-in-browser", "--LabApp.extension_manager=readonly",
    )  # fmt: skip
    answers_at = "/api"

    def url(self, name: str) -> str:
        """Return the address at which it shows a notebook, in a separate workspace."""
        return f"{self.address}/lab/workspaces/{Path(name).stem}/tree/{name}?reset"


class Voila(JupyterServer):
    """A running voila: notebooks as pages without code."""

    arguments = ("voila", "--no-browser", "--port={port}", "--Voila.ip=127.0.0.1", "{root}")

    def url(self, name: str) -> str:
        """Return the address at which it runs a notebook."""
        return f"{self.address}/voila/render/{name}"


class NotebookPage:
    """A notebook open in the browser."""

    def __init__(self, lab: Lab, page: Any, name: str) -> None:
        self.lab, self.page, self.name = lab, page, name
        page.set_default_timeout(60_000)
        self.open(name)

    def open(self, name: str) -> None:
        """Show another notebook of the folder; in the JupyterLab that the page already shows, if possible."""
        self.close()
        self.name = name
        if self._is_ready():
            script = "path => { jupyterapp.commands.execute('docmanager:open', { path, factory: 'Notebook' }); }"
            self.page.evaluate(script, name)
        else:
            self.page.goto(self.lab.url(name))
        self.page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
        self.wait_for_kernel()

    def close(self) -> None:
        """Save and close all open notebooks, and end their kernels."""
        if self._is_ready():
            self.page.evaluate(
                """async () => {
                    for (const widget of [...jupyterapp.shell.widgets('main')]) {
                        await widget.context?.save();
                        widget.close();
                    }
                    // It fails if a kernel ends or restarts meanwhile.
                    const end = () => jupyterapp.serviceManager.sessions.shutdownAll();
                    await end().catch(() => new Promise(done => setTimeout(done, 1000)).then(end));
                }"""
            )
            self.page.wait_for_function("() => document.querySelector('.jp-NotebookPanel') === null")

    def _is_ready(self) -> bool:
        """Whether the page shows a JupyterLab without an open dialog."""
        there = "() => window.jupyterapp !== undefined && document.querySelector('.jp-Dialog') === null"
        return self.page.url.startswith(self.lab.address) and bool(self.page.evaluate(there))

    def wait_for_kernel(self, status: str = "idle") -> None:
        """Wait for the status of the kernel; the toolbar shows it before the kernel can run a cell."""
        self.page.wait_for_function(
            """status => {
                const kernel = window.jupyterapp?.shell?.currentWidget?.sessionContext?.session?.kernel;
                return kernel && kernel.connectionStatus === 'connected' && kernel.status === status;
            }""",
            arg=status,
        )

    def command(self, name: str) -> None:
        """Execute a command of JupyterLab without waiting for its end."""
        self.page.evaluate("name => { window.jupyterapp.commands.execute(name); }", name)

    def run_all(self) -> None:
        """Run every cell and wait until the kernel is idle again."""
        self.command("notebook:run-all-cells")
        self.wait_for_all()

    def wait_for_all(self, count: int | None = None) -> None:
        """Wait until all cells, or a number of the first ones, have run and the kernel is idle again."""
        self.page.wait_for_function(
            """count => [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].slice(0, count ?? undefined)
                     .every(prompt => /\\[\\d+\\]/.test(prompt.textContent))""",
            arg=count,
        )
        self.wait_for_kernel()

    def send_comms_to_the_shell(self) -> None:
        """Send messages of widgets as front ends without subshells do: they wait while a cell runs."""
        self.page.evaluate(
            """() => {
                const session = window.jupyterapp.shell.currentWidget.sessionContext.session;
                session.kernel.commsOverSubshells = 'disabled';
            }"""
        )

    def save(self, containing: str) -> Path:
        """Save the notebook, and wait until its file contains a text."""
        self.command("docmanager:save")
        saved: Path = self.lab.root / self.name
        deadline = time.monotonic() + 60
        while containing not in saved.read_text(encoding="utf-8") and time.monotonic() < deadline:
            time.sleep(0.1)
        return saved

    def shoot(self, name: str) -> None:
        """Save a screenshot."""
        self.page.screenshot(path=self.screenshot(name))

    def screenshot(self, name: str) -> Path:
        """Return the path of a screenshot."""
        SCREENSHOTS.mkdir(exist_ok=True)
        return SCREENSHOTS / f"{name}.png"


class PanelPage:
    """The panel as a user sees and operates it."""

    def __init__(self, notebook: NotebookPage | None = None, *, page: Any = None) -> None:
        self.page = page if notebook is None else notebook.page
        self.root = self.page.locator(".leverage-panel").first
        self.root.locator(".leverage-chart svg").wait_for()
        self.slider = self.root.locator(".leverage-slider")
        self.field = self.root.locator(".leverage-field")
        self.apply = self.root.locator(".leverage-apply")
        self.message = self.root.locator(".leverage-messages")

    @classmethod
    def on(cls, page: Any) -> PanelPage:
        """Return the panel on a page that is not a notebook."""
        return cls(page=page)

    def figure(self, name: str) -> str:
        """Return a figure's text after the change."""
        line = self.root.locator(".leverage-figure").filter(has_text=name)
        return line.locator(".leverage-figure-value b").inner_text()

    def marker_x(self) -> float:
        return float(self.root.locator(".leverage-marker").get_attribute("x1"))

    def type_leverage(self, leverage: object) -> None:
        """Type into the number field, without Enter."""
        self.field.click()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.type(str(leverage))

    def wait_for_leverage(self, leverage: int) -> None:
        self.page.wait_for_selector(f'.leverage-panel[data-leverage="{leverage}"]')

    def wait_for_state(self, state: str) -> None:
        try:
            self.page.wait_for_selector(f'.leverage-panel[data-state="{state}"]')
        except Exception as exc:
            exc.add_note(f"The panel shows: {self.root.inner_text()}")
            raise

    def record_states(self) -> None:
        """Record every state from now on, also one that lasts for a moment only."""
        self.page.evaluate(
            """() => {
                const root = document.querySelector('.leverage-panel');
                window.recordedStates = [];
                new MutationObserver(() => window.recordedStates.push(root.dataset.state))
                    .observe(root, {attributeFilter: ['data-state']});
            }"""
        )

    def wait_for_recorded(self, *states: str) -> None:
        """Wait until these states were recorded, in this order, and the last one is shown."""
        self.page.wait_for_function(
            """states => {
                let place = 0;
                for (const seen of window.recordedStates) if (seen === states[place]) place += 1;
                return place === states.length && window.recordedStates.at(-1) === states.at(-1);
            }""",
            arg=list(states),
        )

    def pick(self, text: str) -> None:
        """Type into the symbol search, and take the first match."""
        field = self.root.locator(".leverage-symbol")
        field.click()
        self.page.keyboard.press("Control+a")
        self.page.keyboard.type(text)
        self.page.keyboard.press("Enter")

    def wait_for_symbol(self, symbol: str) -> None:
        self.page.wait_for_function(
            "symbol => document.querySelector('.leverage-panel')?.ariaLabel.endsWith(` ${symbol}`)", arg=symbol
        )


def run_cell(notebook: Any, place: int) -> None:
    """Run one cell without waiting for it."""
    notebook.page.locator(".jp-CodeCell .cm-content").nth(place).click()
    notebook.command("notebook:run-cell")


def keep_busy(notebook: Any, place: int) -> None:
    """Run a cell that takes a while, and wait until it runs; the kernel is briefly busy for other reasons too."""
    run_cell(notebook, place)
    notebook.page.wait_for_function(
        "place => document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')[place].textContent.includes('*')", arg=place
    )


def go_on(notebook: Any) -> None:
    """End the cell that keeps the kernel busy."""
    (notebook.lab.root / "go-on").touch()


def output_of(notebook: Any, place: int) -> str:
    """Return the text of a cell's output."""
    return notebook.page.locator(".jp-CodeCell").nth(place).locator(".jp-OutputArea-output").inner_text()
