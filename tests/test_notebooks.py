"""What the notebooks hold. That they run is nbval's part."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from leverage_nb.simulator import Simulator
from tests.conftest import ROOT, connect_to

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_no_committed_output_is_an_error(path: Path) -> None:
    """No output is an error or a line on stderr: nbval lets a cell that ends in one pass."""
    for cell in nbformat.read(path, 4).cells:
        for output in cell.get("outputs", []):
            assert output.output_type != "error", cell.source
            assert output.get("name") != "stderr", cell.source


def test_the_testnet_notebook_says_where_it_runs() -> None:
    """Without a key it goes on on the simulator, under a banner that says so and why."""
    notebook = nbformat.read(ROOT / "notebooks" / "04_testnet.ipynb", 4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    banner, reason = cells[0].outputs[:2]
    assert banner["data"]["text/markdown"] == "## This is the SIMULATOR, not the testnet"
    assert reason["text"].startswith("There is no API key for the testnet.")
    shown = [output.get("data", {}).get("text/html", "") for cell in cells for output in cell.outputs]
    assert any("SIMULATOR" in html for html in shown)
    assert not any("TESTNET" in html for html in shown)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_are_executed_small_and_discreet(path: Path) -> None:
    """Every cell was run in order, the file stays below 400 kB, and nothing in it looks like a key."""
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert path.stat().st_size < 400_000
    text = path.read_text(encoding="utf-8")
    assert "widget-state" not in text, "a widget without its kernel is dead: the twin is what a saved notebook shows"
    assert not re.search(r"signature=|X-MBX-APIKEY", text)
    assert not re.search(r'api_(key|secret)=\\?["\'][A-Za-z0-9]{16,}', text)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_run_where_most_leverages_are_not_set(path: Path, shell: InteractiveShell) -> None:
    """On an exchange that answers 0 for untouched symbols, as the testnet does, no cell raises or shows "0x"."""
    shell.extension_manager.unload_extension("leverage_nb")  # the first cell loads it
    with Simulator(profile="demo") as simulator, connect_to(simulator):
        for cell in nbformat.read(path, 4).cells:
            if cell.cell_type != "code" or "raises-exception" in cell.metadata.get("tags", []):
                continue
            with capture_output() as captured:
                result = shell.run_cell(cell.source, store_history=True)
            assert result.success, (cell.source, result.error_in_exec, captured.stdout)
            texts = [captured.stdout, captured.stderr]
            texts += [output.data.get(kind, "") for output in captured.outputs for kind in ("text/plain", "text/html")]
            for text in texts:
                assert not re.search(r"(?<![\w.,])0x(?![0-9a-f])", text), cell.source
