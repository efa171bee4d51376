"""The open panels: which cell shows which, and how many may be open."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from IPython import get_ipython

# The most open panels of one account, and the most outputs in which one panel is updated.
MOST_OPEN = 8


class Closable(Protocol):
    """A panel, as this module sees it."""

    outputs: Outputs

    @property
    def whose(self) -> tuple[str, str]:
        """The panel's venue and account."""

    def close(self, reason: str = "") -> None:
        """Close the panel and show the reason in its place."""


class Outputs:
    """The outputs below the cells that displayed one panel: for each its cell, the run and the handle."""

    def __init__(self) -> None:
        self._shown: list[tuple[str, str, Any]] = []

    def __bool__(self) -> bool:
        return bool(self._shown)

    def add(self, display: Callable[[], Any]) -> None:
        """Display another output below the running cell, and follow it. The cell's earlier outputs are gone."""
        cell, run = _this_cell()
        self._shown = [shown for shown in self._shown if shown[0] != cell or shown[1] == run]
        self._shown = [*self._shown, (cell, run, display())][-MOST_OPEN:]

    def leave_cell(self, cell: str, run: str) -> bool:
        """Forget the outputs of earlier runs of a cell; return whether there were some, and none is left."""
        left = [shown for shown in self._shown if shown[0] != cell or shown[1] == run]
        gone = bool(self._shown) and not left
        self._shown = left
        return gone

    def update(self, bundle: dict[str, str]) -> None:
        """Replace the content of every output."""
        for _, _, handle in self._shown:
            if handle is not None:  # None outside of a notebook
                handle.update(bundle, raw=True)

    def clear(self) -> None:
        """Stop following them; their content stays."""
        self._shown = []


class OpenPanels:
    """All open panels of this process, the oldest first."""

    def __init__(self) -> None:
        self._open: list[Closable] = []

    def __contains__(self, panel: object) -> bool:
        return panel in self._open

    def __iter__(self) -> Iterator[Closable]:
        return iter(list(self._open))

    def __len__(self) -> int:
        return len(self._open)

    def open(self, newest: Closable) -> None:
        """Add a panel, or move it to the end, and close those that it replaces.

        They are those of its cell's earlier runs, and the oldest beyond the limit.
        """
        self.remove(newest)
        cell, run = _this_cell()
        for panel in list(self._open):
            if panel.outputs.leave_cell(cell, run):
                panel.close()
        self._open.append(newest)
        for panel in [panel for panel in self._open if panel.whose == newest.whose][:-MOST_OPEN]:
            panel.close(f"This panel was closed because {MOST_OPEN} newer panels of the account are open")

    def remove(self, panel: Closable) -> None:
        """Remove a panel, if it is open."""
        if panel in self._open:
            self._open.remove(panel)


def _this_cell() -> tuple[str, str]:
    """Return the ids of the running cell and of this run; a random id if the front end sends none."""
    try:
        parent = get_ipython().get_parent()
        return str(parent["metadata"]["cellId"]), str(parent["header"]["msg_id"])
    except (AttributeError, KeyError, TypeError):  # no kernel, or a front end that does not send it
        return uuid.uuid4().hex, ""


open_panels = OpenPanels()
