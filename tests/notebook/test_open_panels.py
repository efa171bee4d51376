"""Which cell shows which panel; test_panel has how panels are closed."""

from __future__ import annotations

from typing import Any

from leverage_nb.notebook.open_panels import MOST_OPEN, OpenPanels, Outputs


class Panel:
    """A panel that notes why it was closed."""

    def __init__(self, account: str) -> None:
        self.whose = "simulator", account
        self.outputs = Outputs()
        self.closed: list[str] = []

    def close(self, reason: str = "") -> None:
        self.closed.append(reason)


def test_the_oldest_panel_of_an_account_beyond_the_limit_is_closed() -> None:
    """At most 8 panels of one account are open; those of other accounts do not count."""
    panels, other = [Panel("one") for _ in range(MOST_OPEN + 1)], Panel("two")
    registry = OpenPanels()
    for panel in (other, *panels):
        registry.open(panel)
    assert [bool(panel.closed) for panel in panels] == [True] + [False] * MOST_OPEN
    assert not other.closed


def test_outputs_are_updated_wherever_they_are() -> None:
    """Every output of a panel gets new content; outside of a notebook there is none to update."""

    class Handle:
        def __init__(self) -> None:
            self.content: list[Any] = []

        def update(self, bundle: Any, *, raw: bool) -> None:
            self.content.append(bundle)

    handles, outputs = [Handle(), Handle()], Outputs()
    for handle in (*handles, None):
        outputs.add(lambda handle=handle: handle)
    outputs.update({"text/plain": "new"})
    assert [handle.content for handle in handles] == [[{"text/plain": "new"}]] * 2
    outputs.clear()
    assert not outputs
