"""Labels of plots that touch neither each other nor a line, in fonts that have their characters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from leverage_nb.formatting import short
from leverage_nb.risk.brackets import Brackets

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D
    from matplotlib.transforms import Bbox

LABEL_SIZE = 8.5  # points
_BESIDE = 22.0  # points from the end of the longest line to the names beside it

# matplotlib's default font has no Chinese characters, which some symbols contain: use an installed font that has them.
_CHINESE_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "PingFang SC",
    "Heiti SC",
    "Microsoft YaHei",
    "SimHei",
    "WenQuanYi Micro Hei",
)


def fonts_for(symbols: Iterable[str]) -> list[str]:
    """Return the configured fonts, and the installed Chinese fonts for symbols beyond ASCII."""
    from matplotlib import font_manager, rcParams

    configured = list(rcParams["font.family"])
    if all(symbol.isascii() for symbol in symbols):
        return configured
    installed = set(font_manager.get_font_names())
    return configured + [name for name in _CHINESE_FONTS if name in installed]


def drawable(symbol: str) -> str:
    """Return a symbol as the installed fonts can draw it: with escapes instead of empty boxes."""
    from matplotlib import rcParams

    if symbol.isascii() or len(fonts_for([symbol])) > len(rcParams["font.family"]):
        return symbol
    return symbol.encode("ascii", "backslashreplace").decode()


def label_tiers(ax: Axes, tiers: Brackets) -> None:
    """Write each cap at its edge: above it if there is space, else below, else not at all."""
    edges = list(zip(tiers.initial_leverage.tolist(), tiers.notional_cap.tolist(), strict=True))
    taken: list[Bbox] = []
    # Both ends first: they are the most informative.
    order = [0, len(edges) - 1, *range(1, len(edges) - 1)] if len(edges) > 1 else [0]
    for place in order:
        text = short(edges[place][1])
        for dx, dy, across, up in ((3, 3, "left", "bottom"), (-4, -4, "right", "top")):
            box = _box(ax, edges[place], text, (dx, dy), across, up)
            if not any(box.overlaps(other) for other in taken):
                taken.append(box)
                ax.annotate(
                    text, edges[place], xytext=(dx, dy), textcoords="offset points",
                    ha=across, va=up, fontsize=LABEL_SIZE,
                )  # fmt: skip
                break


def label_ends(ax: Axes, lines: Mapping[str, Line2D], fonts: list[str], spare: float = 0) -> None:
    """Write the names of lines in a column beyond all of them, in the order of their ends.

    Args:
        ax: The axes.
        lines: The lines by name.
        fonts: The fonts for the names.
        spare: Points that must stay free to the right of the names.
    """
    if not lines:
        return
    figure: Any = ax.figure  # or a part of one
    if (layout := figure.get_layout_engine()) is not None:
        layout.execute(getattr(figure, "figure", figure))  # it moves the axes
    ends = {name: np.asarray(line.get_xydata())[-1] for name, line in lines.items()}
    farthest = max(ends.values(), key=lambda end: float(end[0]))
    needed = max(_box(ax, farthest, name, (_BESIDE + 12, 0), "left", "center").x1 for name in lines)
    _widen(ax, needed + spare - ax.bbox.x1 * _points_per_pixel(ax))
    column = _box(ax, farthest, "", (_BESIDE, 0), "left", "center").x0
    bottom = ax.bbox.y0 * _points_per_pixel(ax)
    for name, end in sorted(ends.items(), key=lambda named: float(named[1][1])):
        box = _box(ax, end, name, (0, 0), "left", "center")
        bottom = max(box.y0, bottom)
        ax.annotate(
            name, tuple(end), xytext=(column - box.x0, bottom - box.y0), textcoords="offset points", ha="left",
            va="center", fontsize=LABEL_SIZE, family=fonts, parse_math=False,
            arrowprops={
                "arrowstyle": "-", "color": lines[name].get_color(), "linewidth": 0.8, "shrinkA": 1, "shrinkB": 4,
                "relpos": (0, 0.5),
            },
        )  # fmt: skip
        bottom += 1.1 * box.height


def _box(ax: Axes, point: Any, text: str, offset: tuple[float, float], across: str, up: str) -> Bbox:
    """Return where a label would be, in points: ``offset`` from a point of the data."""
    from matplotlib.transforms import Bbox

    x, y = ax.transData.transform(point) * _points_per_pixel(ax) + offset
    width, height = _text_width(text), 1.15 * LABEL_SIZE
    left = x - {"left": 0.0, "right": width}[across]
    bottom = y - {"bottom": 0.0, "center": height / 2, "top": height}[up]
    return Bbox.from_bounds(left, bottom, width, height)


def _text_width(text: str) -> float:
    return (0.62 if text.isascii() else 1.0) * LABEL_SIZE * len(text)


def _points_per_pixel(ax: Axes) -> float:
    ax.apply_aspect()
    return 72 / ax.figure.dpi


def _widen(ax: Axes, points: float) -> None:
    """Move the right limit of a logarithmic axis, so that this many points are free beyond its present one."""
    width = ax.bbox.width * _points_per_pixel(ax)
    left, right = ax.get_xlim()
    if 0 < points < width / 2:  # otherwise there is enough space, or too little for the lines
        ax.set_xlim(left, right * (right / left) ** (points / (width - points)))
