"""The DataFrames this package hands out: plain pandas, with figures a trader can read when shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pandas as pd

from leverage_nb.cards import label
from leverage_nb.formatting import readable

Frame = TypeVar("Frame", bound=pd.DataFrame)


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


def mark(frame: Frame, venue: str, account: str) -> Frame:
    """Name the venue in the corner of a DataFrame, and venue and account in its ``attrs``; return the same frame."""
    frame.columns.name = label(venue)
    frame.attrs |= {"venue": venue, "account": account}
    return frame
