"""What the notebooks hold. That they run is nbval's part."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest

from tests.conftest import ROOT

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
    banner = cells[0].outputs[0]["data"]["text/html"]
    assert "This is the SIMULATOR, not the testnet" in banner
    assert "No key was typed." in banner
    shown = [output["data"].get("text/html", "") for cell in cells[1:] for output in cell.outputs]
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
