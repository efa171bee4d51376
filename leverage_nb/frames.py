"""LeverageFrame: a DataFrame that shows its figures with separators. Imports pandas: import it in functions only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pandas as pd

from leverage_nb.cards import label
from leverage_nb.formatting import price

Frame = TypeVar("Frame", bound=pd.DataFrame)


class LeverageFrame(pd.DataFrame):
    """A DataFrame that shows floats without exponents, all columns in text, and long texts whole in HTML.

    DataFrames derived from it by pandas, such as slices, are of this class too.
    """

    @property
    def _constructor(self) -> Callable[..., LeverageFrame]:
        return LeverageFrame

    def __repr__(self) -> str:
        with pd.option_context("display.float_format", price, "display.max_columns", None):
            return super().__repr__()

    def _repr_html_(self) -> Any:
        # Reasons and notes are shown whole, because the next step is at their end.
        # Without MathJax, because they may have texts of the exchange.
        options = ("display.float_format", price, "display.max_colwidth", None, "display.html.use_mathjax", False)
        with pd.option_context(*options):
            html = super()._repr_html_()  # type: ignore[misc]  # not in pandas' stubs
        if html is None or "mathjax_ignore" in html:
            return html
        return html.replace("tex2jax_ignore", "tex2jax_ignore mathjax_ignore", 1)  # older pandas has the former only


def mark(frame: Frame, venue: str, account: str) -> Frame:
    """Set the venue as the name of the columns, and venue and account in ``attrs``; return the same frame."""
    frame.columns.name = label(venue)
    frame.attrs |= {"venue": venue, "account": account}
    return frame
