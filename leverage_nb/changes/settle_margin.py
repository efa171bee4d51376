"""Find the outcome of a change of isolated margin without an answer, in the exchange's history.

Adding margin twice adds it twice, and the wallet moves for other reasons too (funding, fills, automatic additions), so
only the history can show that a request was executed. Its rows carry no identifier of the request: exactly one row that
belongs to no other attempt must have the same symbol, side, direction and amount, and the time in which the request
could be executed. Otherwise the outcome is unknown for good: the history may lack rows, and a row may be of another
client. Such an attempt is closed and never sent again.

An equal attempt before it owns the earliest row of its own time, if the answer said that it was applied. If its outcome
is unknown, it may own one that came up to a minute later: only that it is executed by its deadline is inferred.

Source: https://developers.binance.com/docs/derivatives/usds-margined-futures/trade/rest-api/Get-Position-Margin-Change-History.
That a row appears in it within the grace is assumed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from leverage_nb.binance.client import RestClient
from leverage_nb.binance.messages import MarginEntry, margin_direction
from leverage_nb.binance.reader import read_margin_entries
from leverage_nb.errors import LeverageError
from leverage_nb.journal.attempts import Attempt, Finding
from leverage_nb.journal.journal import Journal

# The exchange accepts a timestamp up to one second ahead of its clock.
_AHEAD_MS = 1000
# For how long after its deadline an equal attempt with an unknown outcome may still own a row.
_LATE_MS = 60_000


def deadline_ms(client: RestClient, attempt: Attempt) -> int:
    """Return the deadline of an attempt, by the exchange's clock."""
    return attempt.timestamp_ms + attempt.recv_window_ms + int(client.grace * 1000)


def settle_margin(client: RestClient, journal: Journal, attempt: Attempt, within: float) -> Finding | None:
    """Return the final finding about an attempt past its deadline; None if the history could not be read."""
    as_of = datetime.now().astimezone()
    end_ms = deadline_ms(client, attempt)
    try:
        others = [
            other
            for other in journal.attempts(client.identity)
            if (other.kind, other.symbol) == (attempt.kind, attempt.symbol) and other.number < attempt.number
        ]
        owners = _find_owners(client, attempt, others)
        start_ms = min(one.timestamp_ms for one in (attempt, *owners)) - _AHEAD_MS
        rows = read_margin_entries(client, attempt.symbol, start_ms, end_ms, within=within)
    except LeverageError:
        return None
    claimed = {found.claims for other in others for found in other.findings}
    free = sorted((r for r in rows if _fits(r, attempt) and _name(r) not in claimed), key=lambda row: row.time)
    for owner in owners:
        if owned := _in_time(free, owner, _last_ms(client, owner)):
            free = [row for row in free if _name(row) != _name(owned[0])]
    found = _in_time(free, attempt, end_ms)
    if len(found) == 1:
        return _finding(as_of, attempt, "", claims=_name(found[0]))
    count = "no entry" if not found else f"{len(found)} entries"
    other = ", apart from those that can be equal changes before it" if owners else ""
    return _finding(as_of, attempt, f"The history of isolated margin has {count} that can be this change{other}.")


def give_up_margin(attempt: Attempt) -> Finding:
    """Return the final finding about an attempt past its deadline whose history cannot be read."""
    return _finding(datetime.now().astimezone(), attempt, "The history of isolated margin could not be read.")


def _fits(row: MarginEntry, attempt: Attempt) -> bool:
    amount = Decimal(attempt.requested)
    # The documentation shows the amount of an addition only; that of a reduction may have a sign.
    return (
        row.delta_type == "USER_ADJUST"
        and (row.position_side or "BOTH") == (attempt.position_side or "BOTH")
        and (row.type, abs(row.amount)) == (margin_direction(amount), abs(amount))
    )


def _find_owners(client: RestClient, attempt: Attempt, others: Sequence[Attempt]) -> list[Attempt]:
    """Return the equal attempts that can own rows of its time; those that certainly own one first, the oldest first."""
    owners: list[Attempt] = []
    start_ms = attempt.timestamp_ms - _AHEAD_MS
    for other in reversed(others):
        is_equal = (other.position_side, other.requested) == (attempt.position_side, attempt.requested)
        has_row = other.status in {"applied", "unknown"} and not any(found.claims for found in other.findings)
        if is_equal and has_row and _last_ms(client, other) >= start_ms:
            owners.append(other)
            start_ms = min(start_ms, other.timestamp_ms - _AHEAD_MS)
    return sorted(owners, key=lambda owner: (owner.status == "unknown", owner.number))


def _last_ms(client: RestClient, owner: Attempt) -> int:
    return deadline_ms(client, owner) + (_LATE_MS if owner.status == "unknown" else 0)


def _in_time(rows: Sequence[MarginEntry], attempt: Attempt, last_ms: int) -> list[MarginEntry]:
    return [row for row in rows if attempt.timestamp_ms - _AHEAD_MS <= row.time <= last_ms]


def _name(row: MarginEntry) -> str:
    return f"{row.time} {row.type} {abs(row.amount).normalize():f} {row.position_side or 'BOTH'}"


def _finding(as_of: datetime, attempt: Attempt, note: str, claims: str | None = None) -> Finding:
    earlier = attempt.findings[-1].note if attempt.findings else ""
    return Finding(
        found_at=datetime.now().astimezone(),
        source="history",
        status="unknown" if claims is None else "applied",
        closes=True,
        as_of=as_of,
        note=" ".join(filter(None, [earlier, note])),
        claims=claims,
    )
