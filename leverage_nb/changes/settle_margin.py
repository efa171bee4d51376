"""Find the outcome of a change of isolated margin without an answer, in the exchange's history.

Adding margin twice adds it twice, and the wallet moves for other reasons too (funding, fills, automatic additions), so
only the history can show that a request was executed. Its rows carry no identifier of the request: exactly one row that
belongs to no other attempt must have the same symbol, side, direction and amount, and the time in which the request
could be executed. Otherwise the outcome is unknown for good: the history may lack rows, and a row may be of another
client. Such an attempt is closed and never sent again.

Source: https://developers.binance.com/docs/derivatives/usds-margined-futures/trade/rest-api/Get-Position-Margin-Change-History.
That a row appears in it within the grace is assumed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal

from leverage_nb.binance.client import RestClient
from leverage_nb.binance.messages import MarginEntry
from leverage_nb.binance.reader import read_margin_entries
from leverage_nb.errors import LeverageError
from leverage_nb.journal.attempts import Attempt, Finding
from leverage_nb.journal.journal import Journal

# The exchange accepts a timestamp up to one second ahead of its clock.
_AHEAD_MS = 1000


def settle_margin(
    client: RestClient, journal: Journal, attempt: Attempt, deadline_ms: int, within: float
) -> Finding | None:
    """Return the final finding about an attempt past its deadline; None if the history could not be read."""
    as_of = datetime.now().astimezone()
    start_ms = attempt.timestamp_ms - _AHEAD_MS
    try:
        rows = read_margin_entries(client, attempt.symbol, start_ms, deadline_ms, within=within)
        others = [one for one in journal.attempts(client.identity) if one.number != attempt.number]
    except LeverageError:
        return None
    unclaimed = _without_claimed([row for row in rows if _fits(row, attempt)], attempt, others)
    if len(unclaimed) == 1:
        return _finding(as_of, attempt, "", claims=_name(unclaimed[0]))
    count = "no entry" if not unclaimed else f"{len(unclaimed)} entries"
    return _finding(as_of, attempt, f"The history of isolated margin has {count} that can be this change.")


def give_up_margin(attempt: Attempt) -> Finding:
    """Return the final finding about an attempt past its deadline whose history cannot be read."""
    return _finding(datetime.now().astimezone(), attempt, "The history of isolated margin could not be read.")


def _fits(row: MarginEntry, attempt: Attempt) -> bool:
    amount = Decimal(attempt.requested)
    side = attempt.position_side or "BOTH"
    # The documentation shows the amount of an addition only; that of a reduction may have a sign.
    return (
        row.delta_type == "USER_ADJUST"
        and (row.position_side or "BOTH") == side
        and (row.type, abs(row.amount)) == (1 if amount > 0 else 2, abs(amount))
    )


def _without_claimed(rows: Sequence[MarginEntry], attempt: Attempt, others: Sequence[Attempt]) -> list[MarginEntry]:
    """Return the rows that cannot belong to another attempt of this account."""
    claimed = Counter(found.claims for other in others for found in other.findings if found.claims)
    left = []
    for row in rows:
        if claimed[_name(row)]:
            claimed[_name(row)] -= 1
        else:
            left.append(row)
    # An equal change that was confirmed by its answer has a row too, and it is not known which.
    twins = [other for other in others if _is_twin(other, attempt)]
    return left[len(twins) :]


def _is_twin(other: Attempt, attempt: Attempt) -> bool:
    same = (other.kind, other.symbol, other.position_side, other.requested) == (
        attempt.kind, attempt.symbol, attempt.position_side, attempt.requested,
    )  # fmt: skip
    ended_ms = other.findings[-1].found_at.timestamp() * 1000 if other.findings else 0.0
    overlaps = ended_ms >= attempt.timestamp_ms - 2 * _AHEAD_MS and other.number < attempt.number
    return same and overlaps and other.status == "applied" and not any(found.claims for found in other.findings)


def _name(row: MarginEntry) -> str:
    return f"{row.time} {row.type} {row.amount.normalize():f} {row.position_side}"


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
