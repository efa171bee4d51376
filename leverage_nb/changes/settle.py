"""Settling: what became of attempts whose answer was not definite.

An attempt stays open until the exchange itself says that ``timestamp + recvWindow`` and a grace are past; only a look
at the setting that is taken after that may say that it was not applied. A look that shows the target says so at once.
One settler for one attempt or many: many are looked up by a single request.

That recvWindow bounds when the exchange acts on a request is an inference (it is documented for when it accepts one).
So what was settled as not applied is looked at once more on the next contact, and the journal corrects itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta

from leverage_nb.cards import clock_time
from leverage_nb.changes.entries import Attempt, Finding
from leverage_nb.changes.journal import Journal
from leverage_nb.errors import JournalUnusable, LeverageError
from leverage_nb.exchange.events import LeverageEvent
from leverage_nb.exchange.rest import RestClient
from leverage_nb.exchange.snapshot import read_setting, read_settings
from leverage_nb.risk.state import LeverageSetting

# On top of recvWindow: what the exchange may take to act on a request it has accepted in time.
GRACE_MS = 1000

_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 2.0

Progress = Callable[[str], None]


def deadline_ms(attempt: Attempt) -> int:
    """Until when the exchange may act on an attempt, by its own clock."""
    return attempt.timestamp_ms + attempt.recv_window_ms + GRACE_MS


def deadline(client: RestClient, attempts: Iterable[Attempt]) -> datetime:
    """The same for the last of several attempts, by this machine's clock."""
    left = (max(map(deadline_ms, attempts)) - client.time_ms()) / 1000
    return datetime.fromtimestamp(time.time() + max(left, 0)).astimezone()


def settle(
    client: RestClient,
    journal: Journal,
    attempts: Sequence[Attempt],
    *,
    progress: Progress | None = None,
    until_closed: bool = False,
    at_most: float | None = None,
    heard: Mapping[str, LeverageEvent] | None = None,
) -> list[Attempt]:
    """Find out what became of attempts, and write it down.

    Args:
        client: Of the account that sent them.
        journal: Which holds them.
        attempts: Open ones.
        progress: Told once what is awaited, and until when.
        until_closed: Not content with having seen the target: go on until nothing more can come of them.
        at_most: Seconds to spend; when None, the client's time-out after the last of them can no longer be carried out.
        heard: The last event of each symbol: one that tells the target of an attempt of ours settles it at once.

    Returns:
        The attempts with what was found, in their order; "unknown" remains what could not be looked up in time.
    """
    if not attempts:
        return []
    until = deadline(client, attempts)
    if progress is not None:
        names = ", ".join(dict.fromkeys(f"{attempt.symbol} {attempt.requested}x" for attempt in attempts))
        with suppress(Exception):  # whoever shows it must not decide what becomes of a change
            progress(f"no definite answer about {names}; asking the exchange, settled by {clock_time(until)}")
    spend = max(0.0, until.timestamp() - time.time()) + client.timeout
    give_up = time.monotonic() + (spend if at_most is None else min(spend, at_most))
    settled: dict[int, Attempt] = {}
    pause = _FIRST_PAUSE
    while True:
        for attempt in attempts:
            event = (heard or {}).get(attempt.symbol)
            if attempt.number not in settled and not until_closed and event is not None and _tells(event, attempt):
                settled[attempt.number] = write(journal, attempt, _from_event(attempt, event), unless_closed=True)
        awaited = [attempt for attempt in attempts if attempt.number not in settled]
        past = _past(client, awaited, give_up)
        # Another process's attempt is its own to look up until its time is past.
        worth_a_look = [a for a in awaited if a.number in past or (a.is_ours and not until_closed)]
        for attempt, setting in _look(client, worth_a_look, give_up).items():
            finding = _judge(attempt, setting, is_past=attempt.number in past)
            if finding is not None:
                settled[attempt.number] = write(journal, attempt, finding, unless_closed=True)
        settled |= _closed_by_others(journal, [a for a in awaited if a.number not in settled])
        awaited = [attempt for attempt in awaited if attempt.number not in settled]
        now = time.monotonic()
        if not awaited or now >= give_up:
            return [settled.get(attempt.number, attempt) for attempt in attempts]
        # The next moment at which more can be known; where the exchange does not answer, ever later.
        ahead = [(deadline_ms(attempt) - client.time_ms()) / 1000 for attempt in awaited]
        soon = min((left + 0.005 for left in ahead if left > 0), default=pause)
        time.sleep(max(0.02, min(pause, soon, give_up - now)))
        pause = min(pause * 2, _LONGEST_PAUSE)


# Clocks are compared to within the way there and back; an event follows its change by at least one way.
_EVENT_SLACK = timedelta(milliseconds=5)


def _tells(event: LeverageEvent, attempt: Attempt) -> bool:
    """Whether an event since the attempt was begun tells its target."""
    since = event.at >= attempt.begun_at - _EVENT_SLACK
    return since and event.source == "stream" and event.leverage == attempt.requested


def _from_event(attempt: Attempt, event: LeverageEvent) -> Finding:
    note = attempt.findings[-1].note if attempt.findings else ""
    return Finding(
        _now(), "stream", "applied", closes=False, leverage=event.leverage, as_of=event.at.astimezone(), note=note
    )


def _closed_by_others(journal: Journal, attempts: Sequence[Attempt]) -> dict[int, Attempt]:
    """Which attempts have been closed meanwhile: by the thread or the kernel that sent them, or by one that looked."""
    closed = {}
    with suppress(JournalUnusable):
        for attempt in attempts:
            last = journal.last(attempt.address, attempt.account, attempt.symbol)
            if last is not None and last.identity == attempt.identity and not last.is_open:
                closed[attempt.number] = last
    return closed


def write(journal: Journal, attempt: Attempt, finding: Finding, *, unless_closed: bool = False) -> Attempt:
    """Add a finding to the journal. Where that fails the finding holds all the same, and says so."""
    try:
        return journal.add(attempt, finding, unless_closed=unless_closed)
    except JournalUnusable as exc:
        unwritten = f"{finding.note} This could not be written down: {exc.message}".strip()
        return attempt.found(replace(finding, note=unwritten))


def look_again(journal: Journal, attempts: Iterable[Attempt], settings: Mapping[str, LeverageSetting]) -> list[Attempt]:
    """Look once more at the last attempt on each symbol, where it was settled as not applied, by settings just read.

    Returns:
        The attempts whose status is another now.
    """
    last = {attempt.symbol: attempt for attempt in attempts}  # in the journal's order: the last one stays
    corrected = []
    for attempt in last.values():
        setting, seen_at = settings.get(attempt.symbol), attempt.change.as_of
        if not attempt.wants_another_look or setting is None:
            continue
        if setting.as_of is None or seen_at is None or setting.as_of <= seen_at:
            continue
        again = _judge(attempt, setting, is_past=True)
        if again is not None and again.status == "applied":
            corrected.append(write(journal, attempt, replace(again, note=LATE)))
        elif again is not None:
            write(journal, attempt, replace(attempt.findings[-1], found_at=again.found_at))
    return corrected


# What the journal notes of a change that was found only on a later look.
LATE = "It was there on a later look: carried out after its time, or changed by someone else."


def _past(client: RestClient, attempts: Iterable[Attempt], give_up: float) -> set[int]:
    """Which attempts the exchange says can no longer be carried out; it is asked when this clock says so."""
    ended = [attempt for attempt in attempts if client.time_ms() > deadline_ms(attempt)]
    if not ended:
        return set()
    try:
        told = client.compare_clocks(within=_within(give_up))
    except LeverageError:
        return set()
    return {attempt.number for attempt in ended if told > deadline_ms(attempt)}


_NOT_LISTED = -1121


def _look(client: RestClient, attempts: Sequence[Attempt], give_up: float) -> dict[Attempt, LeverageSetting | None]:
    """The settings of the attempts' symbols, in one request: None for a symbol that is not listed, empty if unread."""
    symbols = {attempt.symbol for attempt in attempts}
    if not symbols:
        return {}
    found: Mapping[str, LeverageSetting | None]
    try:
        if len(symbols) == 1:
            symbol, asset = attempts[0].symbol, attempts[0].margin_asset
            found = {symbol: read_setting(client, symbol, asset, within=_within(give_up))}
        else:
            assets = {attempt.symbol: attempt.margin_asset for attempt in attempts}
            # A whole list that leaves a symbol out says that it is listed no longer.
            found = dict.fromkeys(symbols) | read_settings(client, assets, within=_within(give_up))
    except LeverageError as exc:
        if exc.code != _NOT_LISTED or len(symbols) > 1:
            return {}
        found = dict.fromkeys(symbols)
    return {attempt: found[attempt.symbol] for attempt in attempts}


def _now() -> datetime:
    return datetime.now().astimezone()


def _within(give_up: float) -> float:
    return max(0.05, give_up - time.monotonic())


def _judge(attempt: Attempt, setting: LeverageSetting | None, *, is_past: bool) -> Finding | None:
    """What a look says of an attempt; None where it says nothing yet."""
    if setting is None:
        note = f"{attempt.symbol} is no longer listed: what became of it cannot be looked up."
        return Finding(_now(), "symbolConfig", attempt.status, closes=True, note=note) if is_past else None
    at_target = setting.leverage == attempt.requested
    if not at_target and not is_past:
        return None
    seen_there = at_target or any(finding.status == "applied" for finding in attempt.findings)
    finding = Finding(
        found_at=_now(),
        source="symbolConfig",
        status="applied" if seen_there else "not_applied" if setting.leverage == attempt.before else "superseded",
        closes=is_past,
        leverage=setting.leverage,
        max_notional=setting.max_notional,
        as_of=setting.as_of,
        note=attempt.findings[-1].note if attempt.findings else "",
    )
    if seen_there and not at_target:
        # It was seen at the target while it was open; what is there now came after.
        earlier = next(found for found in reversed(attempt.findings) if found.status == "applied")
        note = f"Since then the leverage was changed: it is at {setting.leverage}x."
        return replace(earlier, found_at=finding.found_at, closes=True, note=note)
    return finding
