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


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_are_executed_small_and_discreet(path: Path) -> None:
    """Every cell was run in order, the file stays below 400 kB, and nothing in it looks like a key."""
    cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert path.stat().st_size < 400_000
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"signature=|X-MBX-APIKEY", text)
    assert not re.search(r'api_(key|secret)=\\?["\'][A-Za-z0-9]{16,}', text)
