"""The DataFrames this package hands out: plain pandas, with figures a trader can read when shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd


def readable(value: float) -> str:
    """A float with separators: its cents from 1,000 up, six digits below; never ``3.000000e+05``."""
    if abs(value) >= 1000:
        return f"{value:,.2f}".rstrip("0").rstrip(".")
    return f"{value:.6g}"


class LeverageFrame(pd.DataFrame):
    """A DataFrame that shows its floats as traders read them. What is computed from it is one too."""

    @property
    def _constructor(self) -> Callable[..., LeverageFrame]:
        return LeverageFrame

    def __repr__(self) -> str:
        # All columns, wrapped where they must be: pandas would leave the telling ones out.
        with pd.option_context("display.float_format", readable, "display.max_columns", None):
            return super().__repr__()

    def _repr_html_(self) -> Any:
        # Reasons and notes whole: the end says what to do.
        with pd.option_context("display.float_format", readable, "display.max_colwidth", None):
            return super()._repr_html_()  # type: ignore[misc]  # pandas' stubs do not list it
