"""History: what was changed through one account, what became of it, and how to take it back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from leverage_nb import interrupts
from leverage_nb.binance.client import RestClient
from leverage_nb.change import LeverageChange
from leverage_nb.changes.plan import Plan
from leverage_nb.changes.planner import Planner
from leverage_nb.changes.preview import Preview
from leverage_nb.changes.service import ChangeService
from leverage_nb.changes.settle import Progress, seconds_left, settle
from leverage_nb.errors import ChangedElsewhere, ChangePending, LeverageError, NothingToUndo
from leverage_nb.formatting import moment
from leverage_nb.journal.attempts import Attempt
from leverage_nb.risk.outlook import ISOLATED_OPEN

if TYPE_CHECKING:
    import pandas as pd


class History:
    """Past changes of one account: their outcome, and how to undo them.

    Args:
        client: Where, and with whose key.
        service: Makes its changes.
        planner: Makes its plans.
    """

    def __init__(self, client: RestClient, service: ChangeService, planner: Planner) -> None:
        self._client = client
        self._service = service
        self._planner = planner

    def settle(self, progress: Progress | None = None, *, wait: bool) -> list[LeverageChange]:
        """Find the outcome of the changes that an earlier session, or this one, left open.

        Args:
            progress: Called with what is being verified, and until when.
            wait: Wait for attempts that the exchange may still execute; else they are left as they are.

        Returns:
            The changes with a final outcome.

        Raises:
            JournalUnusable: The journal cannot be read or written.
        """
        awaited = self._service.attempts(open_only=True)
        if any(seconds_left(self._client, attempt) for attempt in awaited):
            with suppress(LeverageError):  # before this machine's clock is believed
                self._client.compare_clocks()
        if not wait:
            awaited = [attempt for attempt in awaited if not seconds_left(self._client, attempt)]
        found = interrupts.run(
            lambda: settle(self._client, self._service.journal, awaited, progress=progress, until_closed=True)
        )
        changes = [self._service.record(attempt) for attempt in found if not attempt.is_open]
        for change in changes:
            self._service.notify(change)
        return changes

    def table(self) -> pd.DataFrame:
        """Every attempt as a table: see :func:`history_table`. What is open and past is looked up first."""
        self.settle(wait=False)
        return history_table(self._service.attempts())

    def open_changes(self) -> list[LeverageChange]:
        """The changes without a final outcome. Reads only the journal; sends no request."""
        return [self._service.record(attempt) for attempt in self._service.attempts(open_only=True)]

    def last_changes(self, count: int) -> list[LeverageChange]:
        """The last changes, newest first, and all that are open. Reads only the journal; sends no request."""
        wanted = [*self._service.attempts(last=count), *self._service.attempts(open_only=True)]
        newest_first = sorted({attempt.number: attempt for attempt in wanted}.items(), reverse=True)
        return [self._service.record(attempt) for _, attempt in newest_first]

    def preview_undo(self, *, force: bool = False) -> Preview | Plan:
        """What it would do to take back the last change that can be taken back: see ``Account.preview_undo``."""
        self.settle(wait=False)
        passed: dict[int, str] = {}  # what cannot be taken back, by number, and why
        stuck: dict[str, str] = {}  # the same by symbol: what was changed before that cannot be either
        while True:
            changes = self._last_to_undo(passed)
            last = changes[-1]
            if last.plan is not None:
                plan = self._planner.undo(last.plan, changes)
                stuck |= {row.symbol: row.reason for row in plan.rows if row.code == ISOLATED_OPEN}
                if force or any(row.symbol not in stuck for row in plan.rows):
                    return replace(plan, passed_over="; ".join(passed.values()))
                passed |= {change.number: f"{change.step}: {stuck[change.symbol]}" for change in changes}
            elif last.symbol in stuck and not force:
                passed[last.number] = f"{last.step}: {stuck[last.symbol]}"
            else:
                preview = self._preview_back(last)
                if preview.code != ISOLATED_OPEN or force:
                    return replace(preview, passed_over="; ".join(passed.values()))
                stuck[last.symbol] = preview.reason
                passed[last.number] = f"{last.step}: {preview.reason}"

    def _preview_back(self, last: Attempt) -> Preview:
        """What it would do to take one change back.

        Raises:
            InvalidInput: It was changed since.
        """
        step = f"{last.step} of {moment(last.begun_at)}"
        preview = self._service.preview(last.symbol, last.before or 0)
        if preview.before != last.requested:
            raise ChangedElsewhere(
                f"The last change, {step}, cannot be undone: {last.symbol} was changed since and is at "
                f"{preview.before}x. Nothing was sent.",
                hint=f"To set it all the same: %leverage {last.symbol} {last.before}",
            )
        return replace(preview, undoes=last.number, warnings=(f"Takes back {step}.", *preview.warnings))

    def _last_to_undo(self, passed: Mapping[int, str]) -> list[Attempt]:
        """The last change that was applied, not taken back and not passed over; all of its plan's, oldest first.

        Raises:
            NothingToUndo, ChangePending: There is none, or a later one is not settled.
            JournalUnusable: The journal cannot be read.
        """
        attempts = self._service.attempts()
        undone = set(passed) | {
            attempt.undoes for attempt in attempts if attempt.undoes is not None and attempt.status == "applied"
        }
        for attempt in reversed(attempts):
            if attempt.number in undone or not (attempt.status == "applied" or attempt.is_open):
                continue
            same = [attempt]
            if attempt.plan is not None and attempt.undoes is None:
                same = [other for other in attempts if other.plan == attempt.plan and other.number not in undone]
            for other in same:
                if other.status == "unknown" and other.is_open:
                    raise ChangePending(
                        f"The outcome of the last change, {other.step}, is not known yet. Nothing was undone.",
                        hint="%leverage --history, or account.history(), looks it up.",
                    )
            if attempt.undoes is None:
                return [other for other in same if other.status == "applied"]
        if passed:
            reasons = ". ".join(passed.values())
            raise NothingToUndo(
                f"Nothing can be taken back now. {reasons}.", hint="--force sends the last one all the same."
            )
        raise NothingToUndo("There is no change to undo: the journal of this account holds none that stands.")


def history_table(attempts: Iterable[Attempt]) -> pd.DataFrame:
    """One row an attempt, oldest first.

    Returns:
        Index ``number`` (int64, the attempt's place in the journal); ``sent_at`` (datetime64, local time; NaT where
        nothing left), ``symbol``,
        ``before``, ``requested`` (int64), ``after`` (Int64; NA where nothing was confirmed), ``status``,
        ``confirmed_by``, ``as_of`` (when the setting was seen that the status rests on; NaT where it rests on an
        answer), ``max_notional`` (float64, in ``margin_asset``), ``margin_asset``, ``code`` (Int64), ``undoes``
        (Int64), ``note``.
    """
    import pandas as pd

    from leverage_nb.frames import LeverageFrame

    rows = list(attempts)
    changes = [attempt.change for attempt in rows]
    codes = [attempt.findings[-1].code if attempt.findings else None for attempt in rows]
    columns = {
        "sent_at": _moments([change.sent_at for change in changes]),
        "symbol": pd.array([change.symbol for change in changes], dtype="object"),
        "before": pd.array([attempt.before or 0 for attempt in rows], dtype="int64"),
        "requested": pd.array([change.requested for change in changes], dtype="int64"),
        "after": pd.array([change.after for change in changes], dtype="Int64"),
        "status": pd.array([change.status for change in changes], dtype="object"),
        "confirmed_by": pd.array([change.confirmed_by or "" for change in changes], dtype="object"),
        "as_of": _moments([change.as_of for change in changes]),
        "max_notional": pd.array([change.max_notional for change in changes], dtype="float64"),
        "margin_asset": pd.array([change.margin_asset for change in changes], dtype="object"),
        "code": pd.array(codes, dtype="Int64"),
        "undoes": pd.array([attempt.undoes for attempt in rows], dtype="Int64"),
        "note": pd.array([change.note for change in changes], dtype="object"),
    }
    index = pd.Index([attempt.number for attempt in rows], name="number", dtype="int64")
    return LeverageFrame(columns, index=index)


def _moments(moments: list[datetime | None]) -> pd.DatetimeIndex:
    """Points in time as one column: local time, by the offset of now."""
    import pandas as pd

    return pd.to_datetime(pd.Index(moments, dtype="object"), utc=True).tz_convert(datetime.now().astimezone().tzinfo)
