"""What a notebook front end does with panels: display them, and send the user's clicks."""

from __future__ import annotations

from typing import Any

import pytest

from leverage_nb.notebook import open_panels
from leverage_nb.notebook import panel as panel_module
from leverage_nb.notebook.panel import LeveragePanel
from tests.waiting import until


def send_message(panel: LeveragePanel, content: dict[str, Any]) -> None:
    """Send a message from the browser's part of a panel to the kernel, over the widget's comm."""
    data = {"method": "custom", "content": content}
    panel.comm.handle_msg({"content": {"data": data}, "buffers": []})


def click(panel: LeveragePanel, kind: str, leverage: int, **other: Any) -> None:
    """Click on the table and the question that are shown now, unless ``other`` contains others."""
    table = panel.table
    content = {"kind": kind, "click": panel.answered + 1, "symbol": table["symbol"], "version": table["version"]}
    if kind == "confirm":
        content["question"] = panel.question.get("number")
    send_message(panel, content | {"leverage": leverage} | other)


def figures_of(panel: LeveragePanel) -> dict[str, list[str]]:
    """Return the texts of each figure, one per leverage, by name."""
    names = [figure["name"] for figure in panel.table["figures"]]
    return {name: [row["figures"][place][0] for row in panel.table["rows"]] for place, name in enumerate(names)}


def verdicts_of(panel: LeveragePanel) -> list[str]:
    """Return the verdict of each leverage."""
    return [row["verdict"] for row in panel.table["rows"]]


def select(panel: LeveragePanel, symbol: str) -> None:
    """Take a symbol from the search."""
    click(panel, "select", panel.leverage, to=symbol)


def wait_until_connected(panel: LeveragePanel) -> None:
    """Wait until the panel's stream is connected, and has read the settings."""
    until(lambda: panel.live in {"connected", "live"})


class Notebook:
    """A front end that may name its cells, and keeps its outputs.

    Attributes:
        outputs: The outputs, oldest first.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.parent: dict[str, Any] = {}
        self.outputs: list[Notebook.Output] = []
        self._runs = 0
        monkeypatch.setattr(open_panels, "get_ipython", lambda: self)
        monkeypatch.setattr(panel_module, "get_ipython", lambda: self)
        monkeypatch.setattr(panel_module, "display", self._display)

    class Output:
        """One output of a cell."""

        def __init__(self, bundle: dict[str, str]) -> None:
            self.bundle = bundle

        def update(self, bundle: dict[str, str], *, raw: bool) -> None:
            assert raw
            self.bundle = bundle

    def get_parent(self) -> dict[str, Any]:
        return self.parent

    def _display(self, bundle: dict[str, str], *, raw: bool, display_id: bool = False) -> Output:
        assert raw
        self.outputs.append(self.Output(bundle))
        return self.outputs[-1]

    def run(self, cell: str | None, *panels: LeveragePanel) -> None:
        """Run a cell that displays panels; None for a cell without a name."""
        self.begin(cell)
        for panel in panels:
            panel._ipython_display_()

    def begin(self, cell: str | None) -> None:
        """Start to run a cell."""
        self._runs += 1
        self.parent = {"header": {"msg_id": str(self._runs)}, "metadata": {"cellId": cell} if cell else {}}


def is_open(panel: LeveragePanel) -> bool:
    """Whether the browser can show the panel."""
    return panel.comm is not None
