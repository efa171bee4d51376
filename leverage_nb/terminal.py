"""What the terminal can show: colours, characters, columns. Imports nothing but the standard library."""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata

# What stands for characters that a terminal cannot show.
_ASCII = str.maketrans(
    {"→": "->", "–": "-", "×": "x", "…": "...", "−": "-", "“": '"', "”": '"', "’": "'", "Ⓢ": "S", "≥": ">=", "≤": "<="}
)
BOLD, DIM, RED, GREEN, YELLOW, BLUE, MAGENTA, REVERSE = 1, 2, 31, 32, 33, 34, 35, 7


def has_colours() -> bool:
    """Return whether colours may be printed: to a terminal, unless NO_COLOR is set (https://no-color.org)."""
    return is_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def is_terminal() -> bool:
    """Return whether what is printed goes to a terminal: not to a notebook, a file or a pipe."""
    try:
        return sys.stdout.isatty()
    except (AttributeError, ValueError):  # no standard output, or a closed one
        return False


def is_terminal_shell(shell: object) -> bool:
    """Return whether a shell is IPython in a terminal: it shows no widgets, and cannot replace what it has printed."""
    return any(kind.__name__ == "TerminalInteractiveShell" for kind in type(shell).__mro__)


def paint(text: str, *codes: int) -> str:
    """Return text in the colours and styles of these ANSI codes."""
    return f"\x1b[{';'.join(map(str, codes))}m{text}\x1b[0m" if codes and text else text


def encodable(text: str) -> str:
    """Return text with the characters that the standard output can encode: ``->`` for an arrow where it has none."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_ASCII).encode(encoding, "backslashreplace").decode(encoding)
    except LookupError:
        pass
    return text


def columns() -> int | None:
    """Return the width of the terminal in characters; None if what is printed does not go to one."""
    return shutil.get_terminal_size().columns if is_terminal() else None


def width(text: str) -> int:
    """Return how many columns text takes: two for a wide character, as in 哈基米USDT.

    >>> width("BTCUSDT"), width("哈基米USDT")
    (7, 10)
    """
    return sum(1 + (unicodedata.east_asian_width(character) in "WF") for character in text)


def pad(text: str, size: int, *, left: bool) -> str:
    """Fill text with spaces up to ``size`` columns, left-aligned or right-aligned."""
    space = " " * (size - width(text))
    return f"{text}{space}" if left else f"{space}{text}"
