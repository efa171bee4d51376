"""Figures in the colours of the notebook's theme: matplotlib's SVG inside HTML, and PNG where that is not shown."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from html import escape
from typing import Any

from matplotlib import get_backend, rcParams, rcParamsDefault
from matplotlib.axes import Axes
from matplotlib.colors import same_color
from matplotlib.figure import Figure

from leverage_nb.cards import NO_MATH
from leverage_nb.terminal import encodable, is_terminal

# What replaces matplotlib's default colours. Outside of JupyterLab the page's own text colour, and no background.
_INK = "var(--jp-content-font-color1, inherit)"
_THEME = {"#000000": "currentColor", "#ffffff": "var(--jp-layout-color0, transparent)"}
# A figure follows the theme if its style has matplotlib's default for all of these.
_DEFAULTS = (
    "figure.facecolor", "axes.facecolor", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor", "text.color",
    "xtick.color", "ytick.color",
)  # fmt: skip
_PNG_DPI, _PNG_COLOURS = 100, 64
_settings = threading.Lock()  # matplotlib's settings are shared by all threads


class ThemedFigure(Figure):
    """A figure that is shown in the colours of the notebook's theme; in the user's own, if a style sets others."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._is_themed = all(_is_default(name) for name in _DEFAULTS)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        text = {"text/plain": encodable(self._how_to_see())}
        if is_terminal():
            return text
        if "inline" in get_backend():
            from matplotlib import pyplot as plt

            plt.close(self)  # otherwise the inline backend would show it again at the end of the cell
        png = self._png()
        # JupyterLab shows image/svg+xml as an image, which the theme's variables do not reach, but HTML as a part of
        # the page. It removes SVG from a notebook that is not trusted, and leaves the image of its description.
        fallback = f'<desc><img alt="{escape(self._title())}" src="data:image/png;base64,{png}"></desc>'
        svg = to_svg(self, _THEME if self._is_themed else {})
        svg = with_ids(svg, f"plot-{hashlib.sha256(svg.encode()).hexdigest()[:8]}")
        start = svg.index(">") + 1
        label = f' role="img" aria-label="{escape(self._title())}">{fallback}'
        html = f'<div class="leverage-plot {NO_MATH}">{svg[: start - 1]}{label}{svg[start:]}</div>'
        return {"text/html": html, "image/png": png, **text}

    def _title(self) -> str:
        return next((title for ax in self.axes for loc in ("left", "center") if (title := ax.get_title(loc))), "Plot")

    def _png(self) -> str:
        from PIL import Image  # matplotlib uses it too

        drawn, small = io.BytesIO(), io.BytesIO()
        self.savefig(drawn, format="png", dpi=_PNG_DPI)
        # A palette, because the notebook keeps it: a third of the size.
        Image.open(drawn).quantize(_PNG_COLOURS, Image.Quantize.FASTOCTREE).save(small, "PNG", optimize=True)
        return base64.b64encode(small.getvalue()).decode()

    def _how_to_see(self) -> str:
        """Return where the plot is, for front ends that show text."""
        from matplotlib import pyplot as plt

        if self.canvas.required_interactive_framework is None:
            where = 'Only text can be shown here. To save the plot: _.figure.savefig("plot.png")'
        elif plt.isinteractive():
            where = "It has a window of its own."
        else:
            where = "To open its window: from matplotlib import pyplot; pyplot.show()"
        end = "\n" if is_terminal() else " "  # a terminal may be too narrow for both in one line
        return f"Plot of {self._title()}.{end}{where}"


class ThemedAxes(Axes):
    """Axes that show their figure as the result of a cell."""

    def _repr_mimebundle_(self, **named: Any) -> dict[str, Any]:
        figure = self.get_figure()
        return figure._repr_mimebundle_(**named) if isinstance(figure, ThemedFigure) else {}


def new_axes(size: tuple[float, float]) -> Axes:
    """Return axes in a new pyplot figure of this size in inches."""
    from matplotlib import pyplot as plt

    figure = plt.figure(figsize=size, layout="constrained", FigureClass=ThemedFigure)
    return figure.add_subplot(axes_class=ThemedAxes)


def to_svg(figure: Figure, colours: Mapping[str, str], *, text: bool = False) -> str:
    """Return a figure as an SVG element for a page of HTML, with other colours, at most as wide as the page.

    Args:
        figure: The figure.
        colours: What replaces a colour.
        text: Whether to keep text as text, in the page's font; otherwise letters are drawn as paths.
    """
    buffer = io.StringIO()
    with _svg_settings(text=text):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    # A style sheet would apply to the whole page: its two rules are inherited from the root as well.
    svg = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->|(?<=>)\s+(?=<)", "", svg, flags=re.DOTALL)
    for colour, variable in colours.items():
        svg = svg.replace(colour, variable)
    style = "stroke-linejoin:round;stroke-linecap:butt;max-width:100%;height:auto"
    if "#000000" in colours:
        style += f";color:{_INK};fill:{colours['#000000']}"  # matplotlib omits the fill of what is black
    svg = svg.replace("<svg", f'<svg style="{style}"', 1)
    if text:
        svg = re.sub(r"'DejaVu Sans'[^;\"]*", "inherit", svg)
    return svg


def with_ids(svg: str, prefix: str) -> str:
    """Return an SVG whose ids, and the references to them, begin with a prefix."""
    return re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>{prefix}-", svg)


def _is_default(name: Any) -> bool:
    given, default = rcParams[name], rcParamsDefault[name]
    return given == default or (default != "auto" and same_color(given, default))


@contextmanager
def _svg_settings(*, text: bool) -> Iterator[None]:
    """Set the options that ``savefig`` has no argument for; ``rc_context`` would reset the user's settings."""
    with _settings:
        before = rcParams["svg.fonttype"], rcParams["svg.hashsalt"]
        rcParams["svg.fonttype"], rcParams["svg.hashsalt"] = "none" if text else "path", "leverage_nb"
        try:
            yield
        finally:
            rcParams["svg.fonttype"], rcParams["svg.hashsalt"] = before
