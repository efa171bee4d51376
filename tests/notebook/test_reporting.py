"""Every change is shown where it is made, once; a semicolon keeps it quiet."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell
from jupyter_client.manager import start_new_kernel

from leverage_nb.session import current

# The values of every parametrized cell: the simulator's account starts at 20x on BTCUSDT, and at 50x on XRPUSDT.
LINE = "BTCUSDT 20x → 10x applied, SIMULATOR"


def printed(shell: InteractiveShell, capsys: pytest.CaptureFixture[str], cell: str) -> str:
    """Return what a cell shows, on the way and as its output."""
    capsys.readouterr()
    # In a thread of its own: a browser test in the same process leaves an event loop running in the main thread.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(shell.run_cell, cell, store_history=True).result().raise_error()
    return capsys.readouterr().out


@pytest.mark.parametrize(
    "cell",
    [
        "for leverage in [10]:\n    %leverage BTCUSDT {leverage}",
        "for leverage in [10]:\n    change = %leverage BTCUSDT {leverage}",
        "def lower():\n    %leverage BTCUSDT 10\nlower()",
        "if True:\n    %leverage BTCUSDT 10",
        "change = %leverage BTCUSDT 10",
        "change = %leverage BTCUSDT 10\n1",
        "%leverage BTCUSDT 10\n1",
        "done = [get_ipython().run_line_magic('leverage', f'BTCUSDT {x}') for x in [10]]",
        "%time change = %leverage BTCUSDT 10",
        "%%time\n%leverage BTCUSDT 10\n1",
        "try:\n    %leverage BTCUSDT 10\nfinally:\n    pass",
        "change = await make() if False else get_ipython().run_line_magic('leverage', 'BTCUSDT 10')",
    ],
)
def test_a_change_prints_one_line(shell: InteractiveShell, capsys: pytest.CaptureFixture[str], cell: str) -> None:
    """A change whose record is not the cell's own output prints one line, and no card."""
    shown = printed(shell, capsys, cell)
    assert shown.splitlines().count(LINE) == 1
    assert "confirmed by" not in shown


@pytest.mark.parametrize(
    "cell",
    [
        "%leverage BTCUSDT 10",
        "symbol = 'BTCUSDT'\n%leverage {symbol} 10  # lower",
        "change = %leverage BTCUSDT 10\nchange",
        "change = %leverage BTCUSDT 10\n\nchange  # shown",
        "%time %leverage BTCUSDT 10",
        "%%time\n%leverage BTCUSDT 10",
        "get_ipython().run_line_magic('leverage', 'BTCUSDT 10')",
    ],
)
def test_the_cells_own_output_prints_no_line(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str], cell: str
) -> None:
    """A change that the cell shows is shown once, as a card."""
    shown = printed(shell, capsys, cell)
    assert shown.count("confirmed by") == 1
    assert LINE not in shown


@pytest.mark.parametrize(
    "cell",
    [
        "%leverage BTCUSDT 10;",
        "for leverage in [10]:\n    %leverage BTCUSDT {leverage} ;",
        "change = %leverage BTCUSDT 10;  # quiet",
        "%leverage BTCUSDT 10;\nchange = 1",
    ],
)
def test_a_semicolon_keeps_it_quiet(shell: InteractiveShell, capsys: pytest.CaptureFixture[str], cell: str) -> None:
    """With a semicolon at its end a line changes the leverage and shows nothing."""
    assert printed(shell, capsys, cell) == ""
    assert current().setting("BTCUSDT").leverage == 10


def test_an_error_after_an_assignment_hides_nothing(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line of an assigned change is printed before later statements, which may fail."""
    shell.run_cell("change = %leverage BTCUSDT 10\n1 / 0\nchange")
    assert LINE in capsys.readouterr().out


def test_outcomes_are_named(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    """The line of a change names an unchanged leverage, and an undo as undone."""
    cell = "for line in ['BTCUSDT 10', 'BTCUSDT 10', '--undo']:\n    get_ipython().run_line_magic('leverage', line)"
    assert printed(shell, capsys, cell).splitlines() == [
        LINE,
        "BTCUSDT is at 10x already; nothing was sent, SIMULATOR",
        "BTCUSDT 10x → 20x undone, SIMULATOR",
    ]


def test_what_was_asked_for_in_a_loop_is_shown(shell: InteractiveShell, capsys: pytest.CaptureFixture[str]) -> None:
    """In a loop overview, table and preview are shown; assigned, they are not."""
    for line, part in (("", "72,109.38"), ("BTCUSDT --brackets", "initial_leverage"), ("BTCUSDT 10 -n", "leaves")):
        assert part in printed(shell, capsys, f"for _ in [1]:\n    %leverage {line}")
        assert printed(shell, capsys, f"for _ in [1]:\n    value = %leverage {line}") == ""


def test_a_planned_dry_run_that_is_assigned_is_not_shown(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """An assigned preview of a plan is not shown, like that of one change; for several profiles too."""
    for line in ("BTCUSDT 10 -n", "BTCUSDT SOLUSDT 10 -n", "BTCUSDT 10 -n --profile no-profile,sub1", "--cap 20 -n"):
        assert printed(shell, capsys, f"planned = %leverage {line}") == ""


def test_a_plan_that_is_not_the_cells_output_shows_its_outcome(
    shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    """The outcome of a plan is shown once: by the cell, or at once if its value goes elsewhere."""
    for cell in (
        "%%leverage\nBTCUSDT 10\nXRPUSDT 5",
        "plan = get_ipython().run_cell_magic('leverage', '', 'BTCUSDT 20\\nXRPUSDT 50')",
    ):
        shown = printed(shell, capsys, cell)
        assert shown.count("2 to change") == 1
        assert shown.count("Plan of 2 rows: 2 applied") == 1


def test_a_script_prints_its_changes(tmp_path: Path) -> None:
    """A script that ipython runs prints one line per change, also into a file."""
    script = tmp_path / "script.ipy"
    script.write_text("%load_ext leverage_nb\nfor leverage in (10, 20):\n    %leverage BTCUSDT {leverage}\n")
    done = subprocess.run(
        [sys.executable, "-m", "IPython", "--no-banner", "--colors=NoColor", str(script)],
        capture_output=True, text=True, timeout=60, check=True, encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip
    assert done.stdout.splitlines() == [LINE, "BTCUSDT 10x → 20x applied, SIMULATOR"]


@pytest.fixture(scope="module")
def kernel() -> Iterator[Any]:
    """A real kernel with the extension loaded."""
    manager, client = start_new_kernel()
    client.execute_interactive("%load_ext leverage_nb", timeout=60)
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def outputs(client: Any, cell: str) -> Iterator[tuple[str, Any]]:
    """Run a cell in a kernel; yield its outputs as they come: what each is, and its content."""
    client.execute(cell)
    while True:
        try:
            message = client.get_iopub_msg(timeout=30)
        except Empty:
            pytest.fail("the kernel does not end the cell")
        kind, content = message["msg_type"], message["content"]
        if kind == "status" and content["execution_state"] == "idle" and message["parent_header"]:
            return
        if kind in {"stream", "display_data", "execute_result", "error"}:
            yield kind, content


def test_a_long_loop_shows_each_change_as_it_happens(kernel: Any, tmp_path: Path) -> None:
    """In a notebook the line of a change appears before the next one is made."""
    cell = f"""
import pathlib, time
shown = pathlib.Path(r"{tmp_path}") / "shown"
for leverage in [10, 12]:
    %leverage BTCUSDT {{leverage}}
    until = time.monotonic() + 30
    while not shown.exists() and time.monotonic() < until:
        time.sleep(0.02)
print("seen while the loop ran" if shown.exists() else "not seen")
"""
    text = ""
    for kind, content in outputs(kernel, cell):
        text += content["text"] if kind == "stream" else ""
        if text.startswith(f"{LINE}\n"):
            (tmp_path / "shown").touch()
    assert text == f"{LINE}\nBTCUSDT 10x → 12x applied, SIMULATOR\nseen while the loop ran\n"


@pytest.mark.parametrize(
    ("cell", "count"),
    [
        ("for symbol in ['BTCUSDT', 'ETHUSDT']:\n    %leverage {symbol}", 2),
        ("def show():\n    %leverage BTCUSDT\nshow()", 1),
        ("def show():\n    panel = %leverage BTCUSDT\n    return panel\nshow()", 1),
        ("%leverage BTCUSDT", 1),
        ("panel = %leverage BTCUSDT\npanel", 1),
        ("panel = %leverage BTCUSDT", 0),
        ("for _ in [1]:\n    %leverage BTCUSDT;", 0),
    ],
)
def test_a_panel_is_shown_once(kernel: Any, cell: str, count: int) -> None:
    """A panel in a loop or a function is shown like one that is the cell's output, and never twice."""
    shown = [content["data"] for _, content in outputs(kernel, cell) if "data" in content]
    assert sum("application/vnd.jupyter.widget-view+json" in data for data in shown) == count
