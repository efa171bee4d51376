"""Ctrl-C at a chosen line, which a real signal hits once in thousands of tries."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

Point = tuple[str, int]

# The files in which a signal may arrive while a request is prepared, sent and recorded.
FILES = (
    "/leverage_nb/", "/requests/", "/urllib3/", "/http/client.py", "/threading.py", "/queue.py", "/contextlib.py",
    "/hmac.py", "/filelock/",
)  # fmt: skip


def trace(call: Callable[[], object], at_line: Callable[[Point], None]) -> None:
    """Run a call, and call a function at every line of the files above that this thread reaches."""

    def local(frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            at_line((frame.f_code.co_filename, frame.f_lineno))
        return local

    def enter(frame: FrameType, event: str, _: Any) -> Any:
        return local if any(name in frame.f_code.co_filename for name in FILES) else None

    before = sys.gettrace()
    sys.settrace(enter)
    try:
        call()
    finally:
        sys.settrace(before)


def points_of(call: Callable[[], object]) -> list[Point]:
    """Return the distinct lines that a call reaches, in the order of the first time."""
    reached: dict[Point, None] = {}
    trace(call, lambda point: reached.setdefault(point))
    return list(reached)


def stop_at(point: Point, call: Callable[[], object], kind: type[BaseException] = KeyboardInterrupt) -> Any:
    """Run a call, interrupt it when it reaches a line for the first time, and return what it raised."""
    stopped = False

    def at_line(reached: Point) -> None:
        nonlocal stopped
        if reached == point and not stopped:
            stopped = True
            raise kind

    try:
        trace(call, at_line)
    except BaseException as exc:  # noqa: BLE001 - the test judges it
        return exc
    return None
