"""A plain ``ipython`` in a terminal, as a user sees it."""

from __future__ import annotations

import os
import re
import select
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

fcntl, pty, termios = (
    pytest.importorskip(name, reason="Windows has no pseudo-terminals") for name in ("fcntl", "pty", "termios")
)
_PROMPT = re.compile(r"In \[(\d+)\]: $")
_CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class IPythonTerminal:
    """An IPython in a pseudo-terminal; use it in a ``with`` block.

    Args:
        folder: Where it keeps its history and its journal.
        columns: The width of the terminal.
        environment: More environment variables.
    """

    def __init__(self, folder: Path, columns: int = 120, **environment: str) -> None:
        self._screen, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 60, columns, 0, 0))
        kept = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "COLUMNS", "LINES"}}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "IPython", "--no-banner", "--simple-prompt", "--no-confirm-exit"],
            stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True, start_new_session=True,
            env={
                **kept, "TERM": "xterm-256color", "PYTHONIOENCODING": "utf-8", "IPYTHONDIR": str(folder),
                "XDG_DATA_HOME": str(folder), **environment,
            },
        )  # fmt: skip
        os.close(theirs)
        self._encoding = (environment.get("PYTHONIOENCODING") or "utf-8").partition(":")[0]
        self._read_until_prompt()

    def __enter__(self) -> IPythonTerminal:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._screen)

    def run(self, line: str) -> str:
        """Type a line, and return what is shown below it, with its ANSI codes."""
        os.write(self._screen, f"{line}\n".encode())
        shown = self._read_until_prompt().partition("\n")[2]  # without what was typed
        return _PROMPT.sub("", shown).strip("\n")

    def _read_until_prompt(self, timeout: float = 60.0) -> str:
        text, deadline = "", time.monotonic() + timeout
        while time.monotonic() < deadline:
            # Nothing is typed ahead, so that a prompt at the end is the next one.
            if select.select([self._screen], [], [], 0.02 if _PROMPT.search(plain(text)) else 0.5)[0]:
                text += os.read(self._screen, 65536).decode(self._encoding, "replace").replace("\r\n", "\n")
            elif _PROMPT.search(plain(text)):
                return text
        raise TimeoutError(f"no prompt came: {text!r}")


def plain(text: str) -> str:
    """Return text without ANSI codes."""
    return _CODES.sub("", text)
