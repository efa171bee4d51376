"""The panel's static twin: what a saved, reopened or exported notebook shows in its place."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from leverage_nb import cards
from leverage_nb.formatting import times
from leverage_nb.notebook.panel_table import PanelData, make_table, tier_rows
from leverage_nb.notebook.plots import draw_brackets
from leverage_nb.risk.brackets import Brackets

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_WIDTH, _HEIGHT = 6.8, 3.1  # inches; the browser scales the SVG
_AXES = (0.105, 0.155, 0.875, 0.82)  # left, bottom, width, height, as parts of the figure

# Placeholder colours, and the theme variables that replace them in the SVG.
_INK, _FAINT, _LINE, _SHADE = "#010203", "#010204", "#010205", "#010206"
_THEME = {
    _INK: "var(--jp-ui-font-color1, CanvasText)",
    _FAINT: "var(--jp-border-color1, #9e9e9e)",
    _LINE: "var(--jp-brand-color1, #1976d2)",
    _SHADE: "var(--jp-error-color1, #c62828)",
}
_INSTALL = (
    "If no live panel ever appeared here, install anywidget where JupyterLab itself runs (pip install anywidget) and "
    "reload the page."
)
_drawing = threading.Lock()  # matplotlib's settings are shared by all threads
