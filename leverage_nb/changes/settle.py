"""Settle: find the outcome of attempts without a definite answer, by reading the exchange's state.

An attempt stays open until its deadline: the exchange's clock is past ``timestamp + recvWindow + grace``. Only a read
that is sent after the deadline can show that it was not applied. A read that shows the requested value earlier means
``applied``, but the attempt stays open and blocks other changes of its symbol until the deadline. After an answer of
the exchange nothing more is executed: a read that confirms it ends the attempt at once.

For isolated margin the setting shows nothing: ``changes.settle_margin`` looks for the entry in the history.

That the exchange does not execute a request after the deadline is inferred: Binance documents recvWindow for the time
of acceptance. That a read is stale by at most the grace is assumed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from leverage_nb import interrupts
from leverage_nb.binance.client import RestClient
from leverage_nb.binance.error_codes import NOTHING_TO_CHANGE, without_doubt
from leverage_nb.binance.reader import read_brackets, read_setting, read_settings
from leverage_nb.change import Status, Value, is_at
from leverage_nb.changes.request import Reading
from leverage_nb.changes.settle_margin import deadline_ms, settle_margin
from leverage_nb.errors import JournalUnusable, LeverageError
from leverage_nb.formatting import moment
from leverage_nb.journal.attempts import Applied, Attempt, Finding
from leverage_nb.journal.journal import Journal
from leverage_nb.risk.account_state import LeverageSetting
from leverage_nb.risk.brackets import DEFAULT_LEVERAGE

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 2.0

Progress = Callable[[str], None]


def seconds_left(client: RestClient, attempt: Attempt) -> float:
    """Return the seconds until an attempt's deadline, by the exchange's clock as known here; 0 after it.

    At most recvWindow plus grace: a clock that was set back must not make a wait longer.
    """
    whole = attempt.recv_window_ms / 1000 + client.grace
    return min(max(0.0, (deadline_ms(client, attempt) - client.time_ms()) / 1000), whole)


def settled_by(client: RestClient, attempts: Iterable[Attempt]) -> datetime:
    """Return the last deadline of several attempts, by this machine's clock."""
    return datetime.now().astimezone() + timedelta(seconds=max(seconds_left(client, one) for one in attempts))


def is_outdated(reading: Reading, applied: Applied | None) -> bool:
    """Whether a read was sent before the latest applied change of the same setting was confirmed."""
    if applied is None or reading.as_of is None:
        return False
    # An answer that is dated in the future says nothing: the clock was set back since.
    return reading.as_of <= applied.at <= datetime.now().astimezone()


def is_proof(setting: LeverageSetting, applied: Applied | None, grace: float) -> bool:
    """Whether a read shows an outcome, given the latest change of the same setting that was applied.

    An outdated one does not. One that was sent soon after that change and differs may be stale.
    """
    if is_outdated(setting, applied):
        return False
    if applied is None or setting.as_of is None:
        return True
    return setting.value(applied.kind) == applied.value or setting.as_of > applied.at + timedelta(seconds=grace)


def settle(
    client: RestClient,
    journal: Journal,
    attempts: Sequence[Attempt],
    *,
    progress: Progress | None = None,
    until_closed: bool = False,
    at_most: float | None = None,
) -> list[Attempt]:
    """Find the outcome of attempts, and record it.

    Args:
        client: The client of the account that sent them.
        journal: The journal that contains them.
        attempts: Open attempts.
        progress: Called once with a sentence about what is being verified, and until when.
        until_closed: Go on until the deadline, also if the requested value was read before.
        at_most: Seconds to spend; by default the client's time-out after the last deadline.

    Returns:
        The attempts with their findings, in the same order. Those that could not be verified in time are still open.
    """
    if not attempts:
        return []
    due = {attempt.number: time.monotonic() + seconds_left(client, attempt) for attempt in attempts}

    def announce() -> None:
        nonlocal progress
        if progress is None:
            return
        names = ", ".join(dict.fromkeys(attempt.step for attempt in attempts))
        until = moment(settled_by(client, attempts))
        with suppress(Exception):  # a failing display must not change the outcome
            progress(f"no definite answer about {names}; verifying with the exchange, final by {until}")
        progress = None

    if any(attempt.accepted is None for attempt in attempts):  # otherwise the first read is expected to confirm it
        announce()
    whole = max(due.values()) - time.monotonic() + client.timeout
    give_up = time.monotonic() + (whole if at_most is None else min(whole, at_most))
    settled: dict[int, Attempt] = {}
    unreadable: set[int] = set()  # read after the deadline, and the answer did not contain the symbol
    pause = _FIRST_PAUSE
    while True:
        awaited = [attempt for attempt in attempts if attempt.number not in settled]
        past = _past(client, awaited, due, give_up)
        # Until the deadline another process verifies its own attempt.
        wanted = [a for a in awaited if a.number in past or (a.is_ours and not until_closed)]
        in_settings = [attempt for attempt in wanted if attempt.kind != "isolated margin"]
        settings = _read(client, in_settings, give_up)
        found = []
        for attempt, latest in _latest(journal, client, [a for a in in_settings if a.symbol in settings]):
            setting, is_past = settings[attempt.symbol], attempt.number in past
            default = _default(client, attempt, setting)
            finding = _judge(attempt, setting, latest, client.grace, default, is_past=is_past)
            found += [(attempt, finding)] if finding is not None else []
        for attempt in wanted:
            if attempt.kind == "isolated margin" and attempt.number in past:
                finding = settle_margin(client, journal, attempt, _within(give_up))
                found += [(attempt, finding)] if finding is not None else []
        if found:
            settled |= {attempt.number: attempt for attempt in record(journal, found)}
        settled |= _closed_by_others(journal, [a for a in awaited if a.number not in settled])
        unreadable |= {a.number for a in in_settings if settings and a.number in past and a.symbol not in settings}
        awaited = [a for a in awaited if a.number not in settled and a.number not in unreadable]
        now = time.monotonic()
        if not awaited or now >= give_up:
            return [settled.get(attempt.number, attempt) for attempt in attempts]
        announce()
        # The next time at which more can be known; later each time if the exchange does not answer.
        soon = min((due[a.number] - now + 0.005 for a in awaited if due[a.number] > now), default=pause)
        interrupts.pause(max(0.02, min(pause, soon, give_up - now)))
        pause = min(pause * 2, _LONGEST_PAUSE)


def record(journal: Journal, found: Sequence[tuple[Attempt, Finding]]) -> list[Attempt]:
    """Add findings to the journal. If that fails they count all the same, with a note that they were not recorded."""
    try:
        return journal.add(found)
    except JournalUnusable as exc:
        reason = exc.message
    return [
        attempt.with_finding(replace(finding, note=f"{finding.note} This could not be recorded: {reason}".strip()))
        for attempt, finding in found
    ]


def _latest(journal: Journal, client: RestClient, attempts: Sequence[Attempt]) -> list[tuple[Attempt, Applied | None]]:
    """Return each attempt with the latest change of the same setting that was applied."""
    if not attempts:
        return []
    with suppress(JournalUnusable):
        latest = journal.latest(client.identity, [attempt.symbol for attempt in attempts])
        return [(attempt, latest[attempt.symbol].of(attempt.kind)) for attempt in attempts]
    return [(attempt, None) for attempt in attempts]


def _closed_by_others(journal: Journal, attempts: Sequence[Attempt]) -> dict[int, Attempt]:
    """Return the attempts that another thread or process has closed meanwhile."""
    if not attempts:
        return {}
    wanted = {attempt.token: attempt for attempt in attempts}
    with suppress(JournalUnusable):
        found = [journal.find(attempt.account, token) for token, attempt in wanted.items()]
        return {attempt.number: attempt for attempt in found if attempt is not None and not attempt.is_open}
    return {}


def _past(client: RestClient, attempts: Iterable[Attempt], due: dict[int, float], give_up: float) -> set[int]:
    """Return the numbers of the attempts past their deadline, by the exchange's clock."""
    ended = [attempt for attempt in attempts if time.monotonic() >= due[attempt.number]]
    if not ended:
        return set()
    try:
        server_time = client.compare_clocks(within=_within(give_up))
    except LeverageError:
        return set()
    past = {attempt.number for attempt in ended if server_time > deadline_ms(client, attempt)}
    due |= {a.number: time.monotonic() + seconds_left(client, a) for a in ended if a.number not in past}
    return past


def _read(client: RestClient, attempts: Sequence[Attempt], give_up: float) -> Mapping[str, LeverageSetting]:
    """Read the settings of the attempts' symbols; those that could not be read are missing."""
    assets = {attempt.symbol: attempt.margin_asset for attempt in attempts}
    if not assets:
        return {}
    try:
        settings = read_settings(client, assets, within=_within(give_up))
    except LeverageError:
        return {}
    # A symbol that is missing from one list is not delisted.
    for symbol in assets.keys() - settings.keys():
        with suppress(LeverageError):
            settings[symbol] = read_setting(client, symbol, assets[symbol], within=_within(give_up))
    return settings


def _within(give_up: float) -> float:
    return max(0.05, give_up - time.monotonic())


def _judge(
    attempt: Attempt, setting: LeverageSetting, latest: Applied | None, grace: float, default: int, *, is_past: bool
) -> Finding | None:
    """Return the finding that a read makes about an attempt; None if it shows nothing yet.

    Args:
        attempt: The attempt.
        setting: The read.
        latest: The latest change of the same setting that was applied.
        grace: Seconds by which a read may be stale.
        default: The leverage that a symbol shows whose leverage was not set.
        is_past: Whether the attempt is past its deadline.
    """
    value = setting.value(attempt.kind)
    at_target = value == attempt.requested
    # A read may be stale by the grace: an earlier one may show the value before the attempt.
    is_after = setting.as_of is not None and setting.as_of >= attempt.begun_at + timedelta(seconds=grace)
    answered, nothing_to_change = _processed(attempt)
    confirms = at_target and answered is not None and setting.as_of is not None and setting.as_of >= answered.found_at
    if not confirms and not (is_proof(setting, latest, grace) and (is_past or (at_target and is_after))):
        return None
    note = without_doubt(attempt.findings[-1].note) if attempt.findings else ""
    earlier = next((found for found in reversed(attempt.findings) if found.status == "applied"), None)
    if earlier is not None and not at_target:
        # The requested value was read while the attempt was open, so it was changed after that.
        note = f"Since then the {attempt.kind} was changed elsewhere: it {is_at(attempt.kind, value)}."
        return replace(earlier, found_at=datetime.now().astimezone(), closes=True, note=note)
    status: Status = (
        "applied" if at_target else "not_applied" if _is_as_before(value, attempt, default) else "superseded"
    )
    return Finding(
        found_at=datetime.now().astimezone(),
        source="symbolConfig",
        status="unchanged" if at_target and nothing_to_change else status,
        closes=is_past or confirms,
        value=value,
        max_notional=setting.max_notional if attempt.kind == "leverage" else None,
        as_of=setting.as_of,
        note=note,
    )


def _processed(attempt: Attempt) -> tuple[Finding | None, bool]:
    """Return the answer after which the exchange executes nothing more, and whether it said that nothing changes."""
    if attempt.accepted is not None:
        return attempt.accepted, False
    refused = next((found for found in attempt.findings if found.code in NOTHING_TO_CHANGE), None)
    return (refused, True) if refused is not None and attempt.kind == "margin type" else (None, False)


def _is_as_before(value: Value | None, attempt: Attempt, default: int) -> bool:
    """Whether a read shows the value before the attempt, or the default of a symbol whose leverage was not set."""
    return value == attempt.before or (attempt.before is None and value == default)


def _default(client: RestClient, attempt: Attempt, setting: LeverageSetting) -> int:
    """Return the default of a symbol whose leverage was not set: its maximum, which is read, if that is below 20x."""
    now = setting.leverage
    if attempt.before is None and now is not None and now < DEFAULT_LEVERAGE and now != attempt.requested:
        with suppress(LeverageError):
            return read_brackets(client, attempt.symbol)[attempt.symbol].default_leverage
    return DEFAULT_LEVERAGE
