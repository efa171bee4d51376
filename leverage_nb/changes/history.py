"""The journal as a DataFrame."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from leverage_nb.journal.attempts import Attempt

if TYPE_CHECKING:
    import pandas as pd


def history_table(attempts: Iterable[Attempt]) -> pd.DataFrame:
    """Return one row per attempt, oldest first.

    Returns:
        Index ``number`` (int64, the attempt's number in the journal); ``sent_at`` (datetime64, local time; NaT if
        nothing was sent), ``symbol``, ``kind`` ("leverage", "margin type" or "isolated margin"), ``before`` (Int64; NA
        if it was not set), ``requested`` (int64), ``after`` (Int64; NA if nothing was confirmed), ``status``,
        ``confirmed_by``, ``as_of`` (when the read was sent that the status rests on; NaT without one),
        ``max_notional`` (float64, in ``margin_asset``), ``margin_asset``, ``code`` (Int64), ``undoes`` (Int64),
        ``is_final`` (bool; False while the outcome may still be found), ``note``. With changes of other kinds than
        leverage, ``before``, ``requested`` and ``after`` are of objects.
    """
    import pandas as pd

    from leverage_nb.frames import LeverageFrame, value_columns

    rows = list(attempts)
    changes = [attempt.change for attempt in rows]
    codes = [attempt.findings[-1].code if attempt.findings else None for attempt in rows]
    columns = {
        "sent_at": _moments([change.sent_at for change in changes]),
        "symbol": pd.array([change.symbol for change in changes], dtype="object"),
        "kind": pd.array([change.kind for change in changes], dtype="object"),
        **value_columns(changes, before="Int64", requested="int64", after="Int64"),
        "status": pd.array([change.status for change in changes], dtype="object"),
        "confirmed_by": pd.array([change.confirmed_by or "" for change in changes], dtype="object"),
        "as_of": _moments([change.as_of for change in changes]),
        "max_notional": pd.array([change.max_notional for change in changes], dtype="float64"),
        "margin_asset": pd.array([change.margin_asset for change in changes], dtype="object"),
        "code": pd.array(codes, dtype="Int64"),
        "undoes": pd.array([attempt.undoes for attempt in rows], dtype="Int64"),
        "is_final": pd.array([change.is_final for change in changes], dtype="bool"),
        "note": pd.array([change.note for change in changes], dtype="object"),
    }
    index = pd.Index([attempt.number for attempt in rows], name="number", dtype="int64")
    frame = LeverageFrame(columns, index=index)
    if not rows:
        frame.attrs["empty"] = "No changes yet."
    return frame


def _moments(moments: list[datetime | None]) -> pd.DatetimeIndex:
    """Return times as one column of local time, with the current UTC offset."""
    import pandas as pd

    return pd.to_datetime(pd.Index(moments, dtype="object"), utc=True).tz_convert(datetime.now().astimezone().tzinfo)
