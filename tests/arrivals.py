"""The requests that arrive at a simulator: record them, act on them, alter their answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from leverage_nb.simulator import Simulator

SETTING, TIME = "GET /fapi/v1/symbolConfig", "GET /fapi/v1/time"
CHANGE = "POST /fapi/v1/leverage"


def record_requests(simulator: Simulator) -> list[str]:
    """Return a list that receives every request from now on, as METHOD /path."""
    arrived: list[str] = []
    before_answer(simulator, lambda request: arrived.append(f"{request.method} {request.path}"))
    return arrived


def before_answer(simulator: Simulator, action: Callable[[Any], object]) -> None:
    """Call a function with each request that the exchange handles, before it does."""
    handle = simulator.exchange.handle

    def acting(request: Any, *more: Any, **options: Any) -> Any:
        action(request)
        return handle(request, *more, **options)

    simulator.exchange.handle = acting  # type: ignore[method-assign]  # it answers as before


def edit_answers(simulator: Simulator, edit: Callable[[Any, Any], Any]) -> None:
    """Replace each answer of the exchange by what a function makes of the request and that answer."""
    handle = simulator.exchange.handle

    def edited(request: Any, *more: Any, **options: Any) -> Any:
        return edit(request, handle(request, *more, **options))

    simulator.exchange.handle = edited  # type: ignore[method-assign]  # the test alters its answers


def on_arrival(simulator: Simulator, action: Callable[[Any], object]) -> None:
    """Call a function with each request that arrives, also with those that faults keep from the exchange."""
    note = simulator.exchange.note_arrival

    def acting(request: Any) -> None:
        note(request)
        action(request)

    simulator.exchange.note_arrival = acting  # type: ignore[method-assign]  # it notes as before


def at_a_change(simulator: Simulator, action: Callable[[], object]) -> None:
    """Call a function when a change of leverage arrives: the read before it has been answered, however late it was."""
    on_arrival(simulator, lambda request: action() if CHANGE.endswith(request.path) else None)


def break_reads_after_a_change(simulator: Simulator) -> None:
    """Answer every read of the setting after the next change with an error."""
    at_a_change(simulator, lambda: simulator.inject("bad_gateway", on=SETTING, times=None, executed=False))
