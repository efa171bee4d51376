"""Check many cases at the same time: cases that mostly wait for a deadline wait together."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor


def side_by_side(check: Callable[..., object], cases: Iterable[tuple[object, ...]], at_once: int = 16) -> None:
    """Call a function with the arguments of each case, in threads; every case that fails is named.

    The function gives each case an exchange, an account and a journal of its own.

    Raises:
        BaseExceptionGroup: The failures of all cases, each with its case as a note.
    """
    with ThreadPoolExecutor(at_once) as pool:
        running = [(case, pool.submit(check, *case)) for case in cases]
    assert running, "there are no cases"
    failures = []
    for case, future in running:
        if (failure := future.exception()) is not None:
            failure.add_note(f"in the case {', '.join(str(part) for part in case)}")
            failures.append(failure)
    if failures:
        raise BaseExceptionGroup(f"{len(failures)} of {len(running)} cases failed", failures)
