"""The DataFrames this package hands out: plain pandas, with figures a trader can read when shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd


def readable(value: float) -> str:
    """A float in full, with separators and without trailing zeros; never ``3.000000e+05``."""
    return f"{value:,.10g}"


class LeverageFrame(pd.DataFrame):
    """A DataFrame that shows its floats in full. What is computed from it is one too."""

    @property
    def _constructor(self) -> Callable[..., LeverageFrame]:
        return LeverageFrame

    def __repr__(self) -> str:
        # All columns, wrapped where they must be: pandas would leave the telling ones out.
        with pd.option_context("display.float_format", readable, "display.max_columns", None):
            return super().__repr__()

    def _repr_html_(self) -> Any:
        with pd.option_context("display.float_format", readable):
            return super()._repr_html_()  # type: ignore[misc]  # pandas' stubs do not list it
