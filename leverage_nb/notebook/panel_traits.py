"""The traits that the panel's kernel side and its browser side share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anywidget
import traitlets

_HERE = Path(__file__).parent

# The parts of the browser side, in the order in which they are joined to one module.
_PARTS = (
    "types", "state", "elements", "head", "position", "chart", "decision", "new_position", "details", "actions",
    "kernel", "view",
)  # fmt: skip

STATES = ("editing", "confirming", "applying", "checking", "unknown", "done", "failed")

# The traits that the browser may change.
_BROWSERS_OWN = {"leverage"}


class PanelTraits(anywidget.AnyWidget):
    """One widget with its traits. The browser may write ``leverage``; anything else that it changes is restored."""

    # As text, because anywidget keeps every view of a path in memory.
    _esm = "\n".join((_HERE / "panel_js" / f"{name}.js").read_text(encoding="utf-8") for name in _PARTS)
    _css = (_HERE / "panel.css").read_text(encoding="utf-8")

    symbol = traitlets.Unicode("").tag(sync=True)
    """The symbol that is shown. Assign another, in any spelling, to show it."""

    leverage = traitlets.Int(1).tag(sync=True)
    """The leverage of the slider, from 1 to the symbol's maximum. Link an ``ipywidgets.IntSlider`` to it, or assign."""

    state = traitlets.Enum(STATES, default_value="editing").tag(sync=True)
    """"editing", "confirming" (a question waits for its answer), "applying", "checking" (verifying a change that got no
    definite answer), "unknown" (it could not be verified), "done", "failed"."""

    table = traitlets.Dict().tag(sync=True)
    """Everything shown of the symbol: see :func:`leverage_nb.notebook.panel_table.make_table`."""

    new_position = traitlets.Dict().tag(sync=True)
    """A new position at every leverage: see :func:`leverage_nb.notebook.panel_table.make_new_position`."""

    symbols = traitlets.List().tag(sync=True)
    """The symbols of the search: see :func:`leverage_nb.notebook.panel_table.make_symbols`."""

    live = traitlets.Unicode("").tag(sync=True)
    """The state of the stream: "connecting", "connected", "live" or "stale"."""

    live_reason = traitlets.Unicode("").tag(sync=True)
    """Why the panel is stale."""

    message = traitlets.Unicode("").tag(sync=True)
    """The message area, as HTML."""

    question = traitlets.Dict().tag(sync=True)
    """The change that waits for a confirmation, {} for none: the question's ``number``, the change as ``text``, the
    ``leverage`` on the screen, and the ``seconds`` for which it must be on the screen before an answer counts."""

    undo = traitlets.Unicode("").tag(sync=True)
    """The text of the Undo button; "" to hide it."""

    options = traitlets.Unicode("").tag(sync=True)
    """What a ``%leverage`` line needs at its end to use the panel's account; "" if that is the account in use."""

    twin = traitlets.Unicode("").tag(sync=True)
    """The class of the panel's static twins, which the browser hides beside the panel."""

    answered = traitlets.Int(0).tag(sync=True)
    """The number of the last click that the kernel has handled."""

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Accept a leverage of the symbol from the browser, and restore anything else that it has changed."""
        rows = self.table.get("rows", ())
        allowed = {
            name: value
            for name, value in sync_data.items()
            if name in _BROWSERS_OWN and isinstance(value, int) and 1 <= value <= len(rows)
        }
        super().set_state(allowed)
        self.send_state([name for name in sync_data if name in self.keys and name not in allowed])
