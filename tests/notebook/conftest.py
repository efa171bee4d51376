"""A panel in the kernel, and a JupyterLab with Chromium to show it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from leverage_nb.account import Account
from leverage_nb.notebook.panel import LeveragePanel
from tests.notebook.pages import Lab, NotebookPage, find_chromium, launch


@pytest.fixture
def panel(account: Account) -> Iterator[LeveragePanel]:
    """A panel of BTCUSDT on the test's simulator."""
    with closing(LeveragePanel(account, "btcusdt")) as opened:
        yield opened


@pytest.fixture
def figures() -> Iterator[None]:
    """Draw figures without a window, and close them after the test."""
    from matplotlib import pyplot as plt

    plt.switch_backend("agg")
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """One Chromium for all tests; without one they are skipped, but never in CI."""
    if find_chromium() is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have a Chromium: .ci/run installs it")
        pytest.skip("no Chromium or Chrome on this machine: the panel is not tried in a browser")
    with launch() as browser:
        yield browser


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """One JupyterLab for all tests."""
    root = tmp_path_factory.mktemp("lab") / "notebooks"
    root.mkdir()
    server = Lab(root)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def lab_page(chromium: Any) -> Iterator[Any]:
    """One page for all tests, because loading JupyterLab takes longer than most of them."""
    context = chromium.new_context()
    yield context.new_page()
    context.close()


@pytest.fixture
def open_notebook(
    lab: Lab, lab_page: Any, request: pytest.FixtureRequest
) -> Callable[[list[str] | Path], NotebookPage]:
    """Open a notebook of the given cells, or a copy of a file: ``open_notebook(["%load_ext leverage_nb"])``."""
    name = f"{request.node.name.replace('[', '-').replace(']', '')}.ipynb"

    def opened(source: list[str] | Path) -> NotebookPage:
        lab_page.set_viewport_size({"width": 1100, "height": 1000})
        if isinstance(source, Path):
            lab.copy(source, name)
        else:
            lab.write(name, source)
        return NotebookPage(lab, lab_page, name)

    return opened
