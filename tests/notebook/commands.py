"""Run ``%leverage`` and ``%%leverage`` in a shell, with a prompt or without."""

from __future__ import annotations

from typing import Any

from IPython.core.error import StdinNotImplementedError
from IPython.core.interactiveshell import InteractiveShell


def run(shell: InteractiveShell, line: str) -> Any:
    """Return the result of ``%leverage line``; raise its error."""
    result = shell.run_cell(f"%leverage {line}")
    result.raise_error()
    return result.result


def run_cell(shell: InteractiveShell, line: str, cell: str) -> Any:
    """Return the result of ``%%leverage line`` with a body; raise its error."""
    result = shell.run_cell(f"%%leverage {line}\n{cell}")
    result.raise_error()
    return result.result


def without_prompt(_question: str) -> str:
    """Fail as ``input`` does in a front end without a prompt."""
    raise StdinNotImplementedError
