"""Read the setting before a change is sent: after every earlier attempt is settled, and not older than one second."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta

from leverage_nb import interrupts
from leverage_nb.binance.client import RestClient
from leverage_nb.changes.kinds import KINDS
from leverage_nb.changes.request import ChangeRequest, Reading
from leverage_nb.changes.settle import Progress, is_outdated, record, seconds_left, settle, settled_by
from leverage_nb.changes.settle_margin import deadline_ms, give_up_margin
from leverage_nb.errors import ChangedElsewhere, ChangePending, JournalUnusable, LeverageError
from leverage_nb.formatting import moment
from leverage_nb.journal.attempts import Applied, Attempt, Latest
from leverage_nb.journal.journal import Journal
from leverage_nb.risk.account_state import LeverageSetting

# For how many seconds after it was sent a read may be used to send a change.
FRESH_FOR = 1.0

# A read that differs from an answer of the exchange within this time is repeated once, after SECOND_READ_AFTER seconds.
_MAY_BE_STALE_FOR = timedelta(seconds=60)
SECOND_READ_AFTER = 1.0

# The most reads before a change is sent, while other programs keep changing the symbol.
_MOST_READS = 8


def is_fresh(setting: Reading) -> bool:
    """Whether a value was read so recently that a change may be sent on it."""
    return time.monotonic() - setting.read_at <= FRESH_FOR


def read_before_change(
    client: RestClient, journal: Journal, request: ChangeRequest, progress: Progress | None = None
) -> tuple[Reading, Applied | None]:
    """Read the value to send from, and the latest change of it that was applied.

    The journal is read after the setting, because another process may have changed the symbol in between.

    Raises:
        ChangePending: An earlier attempt stays open for longer than a request may take, or could not be verified.
        ChangedElsewhere: Other programs change the symbol again and again.
        LeverageError: The value could not be read.
    """
    setting, repeated = request.setting, False
    for _ in range(_MOST_READS):
        if setting is None or not is_fresh(setting):
            setting = KINDS[request.kind].read(client, request)
        latest = journal.latest(client.identity, [request.symbol])[request.symbol]
        if latest.open is not None:
            _wait_for(client, journal, latest.open, progress)
        elif agrees(setting, applied := latest.of(request.kind)) or (repeated and not is_outdated(setting, applied)):
            return setting, applied
        elif not is_outdated(setting, applied):
            repeated = True
            interrupts.pause(max(SECOND_READ_AFTER, client.grace))
        setting = None
    raise ChangedElsewhere(f"Other programs change {request.symbol} again and again.", hint="Try again later.")


def agrees(setting: Reading, applied: Applied | None) -> bool:
    """Whether a read was sent after the latest applied change, and shows its value or is much later."""
    if applied is None or setting.as_of is None or setting.value(applied.kind) == applied.value:
        return not is_outdated(setting, applied)
    return setting.as_of > applied.at + _MAY_BE_STALE_FOR


def all_agree(
    client: RestClient, journal: Journal, settings: Mapping[str, LeverageSetting], symbols: Sequence[str]
) -> bool:
    """Whether settings contain all of some symbols, and each agrees with the latest applied changes."""
    latest: Mapping[str, Latest] = {}
    with suppress(JournalUnusable):  # an unusable journal stops a change, not a read
        latest = journal.latest(client.identity, symbols)
    return all(
        symbol in settings and all(agrees(settings[symbol], one) for one in latest.get(symbol, Latest()).applied)
        for symbol in symbols
    )


def settle_earlier(
    client: RestClient,
    journal: Journal,
    attempts: Sequence[Attempt],
    *,
    progress: Progress | None = None,
    at_most: float | None = None,
) -> list[Attempt]:
    """Settle attempts that must end before others are sent: see :func:`settle`.

    A change of isolated margin that cannot be settled after its deadline stays unknown, and blocks nothing.
    """
    settled = settle(client, journal, attempts, progress=progress, until_closed=True, at_most=at_most)
    still = [one for one in settled if one.is_open and one.kind == "isolated margin"]
    if still:
        with suppress(LeverageError):  # only the exchange's clock shows that it is not executed any more
            now_ms = client.compare_clocks()
            past = [(one, give_up_margin(one)) for one in still if now_ms > deadline_ms(client, one)]
            closed = {one.number: one for one in record(journal, past)}
            return [closed.get(one.number, one) for one in settled]
    return settled


def pending(client: RestClient, earlier: Attempt) -> ChangePending:
    """Return the reason for not sending a change while an earlier attempt is open."""
    until = moment(settled_by(client, [earlier]))
    return ChangePending(f"{_may_still_be_executed(earlier)} until {until}.", hint="Try again after that.")


def _wait_for(client: RestClient, journal: Journal, earlier: Attempt, progress: Progress | None) -> None:
    """Settle an earlier attempt on the same symbol, because no other may be sent while it is open."""
    in_flight = not earlier.findings  # the process that sent it may get its answer any moment
    if seconds_left(client, earlier) > client.timeout + 1:
        client.compare_clocks()  # this machine's clock may be wrong
    left = seconds_left(client, earlier)
    if in_flight or left <= client.timeout + 1:
        at_most = client.timeout + 1 if in_flight else None
        [earlier] = settle_earlier(client, journal, [earlier], progress=progress, at_most=at_most)
        if not earlier.is_open:
            return
        if seconds_left(client, earlier) <= 0:
            raise ChangePending(
                f"{_may_still_be_executed(earlier)}, and it could not be verified.", hint="Try again in a moment."
            )
    raise pending(client, earlier)


def _may_still_be_executed(earlier: Attempt) -> str:
    by_another = "" if earlier.is_ours else " by another program"
    return f"The change {earlier.step}{by_another}, sent at {moment(earlier.begun_at)}, may still be executed"
