"""One attempt to change a leverage: one signed POST, written down, sent once, its answer classified.

What is claimed, and on what grounds:

* ``applied``: HTTP 200 whose body names the symbol and the leverage that were asked for.
* ``refused``: an answer that ``exchange.refusals`` lists as certainly not carried out.
* ``not_sent``: nothing of the request had left this machine.
* Anything else, whatever it looks like, is settled: see ``changes.settle``.

A request is never sent again. A new attempt, with a timestamp and a signature of its own, follows only on an answer
that says for certain that the earlier one was not carried out and will pass: a clock that differs, an overload.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from leverage_nb.cards import clock_time, moment
from leverage_nb.changes.entries import Attempt, Finding, StillOpenError
from leverage_nb.changes.journal import Journal
from leverage_nb.changes.record import LeverageChange
from leverage_nb.changes.settle import Progress, deadline, look_again, settle, write
from leverage_nb.errors import (
    ChangeInterrupted,
    ChangeNotApplied,
    ChangeNotSent,
    ChangeSuperseded,
    JournalUnusable,
    LeverageError,
    LeverageRefused,
    Mistake,
    NoAnswer,
    NotConnected,
    OutcomeUnknown,
    RateLimited,
    UnexpectedAnswer,
)
from leverage_nb.exchange import messages, refusals
from leverage_nb.exchange.events import LeverageEvent
from leverage_nb.exchange.rest import RestClient
from leverage_nb.exchange.snapshot import read_setting
from leverage_nb.exchange.transport import Answer
from leverage_nb.risk.state import LeverageSetting

PATH = "/fapi/v1/leverage"

# Binance advises to wait about so long, in seconds, after a 503 that says it did nothing.
OVERLOAD_PAUSES = (0.2, 0.4, 0.8)


@dataclass(frozen=True)
class ChangeRequest:
    """A change that is asked for.

    Attributes:
        symbol: Binance's spelling.
        leverage: 1 or more; the exchange decides whether it is allowed.
        margin_asset: What the symbol's amounts are in.
        effects: What a preview expects of the change, for its record.
        undoes: The number of the attempt that it takes back.
        plan: The plan it belongs to.
        settles: Whether to wait until it is known what became of it, where no definite answer came.
    """

    symbol: str
    leverage: int
    margin_asset: str = ""
    effects: tuple[tuple[str, str], ...] = ()
    undoes: int | None = None
    plan: str | None = None
    settles: bool = True


def change_leverage(
    client: RestClient,
    journal: Journal,
    request: ChangeRequest,
    *,
    setting: LeverageSetting | None = None,
    progress: Progress | None = None,
    heard: Mapping[str, LeverageEvent] | None = None,
) -> LeverageChange:
    """Read the setting, post the new leverage if it differs, and say what is known of the outcome.

    Args:
        client: Where, and with whose key.
        journal: Where it is written down before it leaves.
        request: What is asked for.
        setting: The setting before, where it has just been read.
        progress: Told what is awaited, and until when, where no definite answer came.
        heard: The last event of each symbol, kept up to date while the account is watched.

    Returns:
        A change that was applied, or that was not needed.

    Raises:
        ChangeNotSent, LeverageRefused, ChangeNotApplied, ChangeSuperseded, OutcomeUnknown: With the record in
            ``.change``.
        ChangeInterrupted: Ctrl-C; the journal holds the attempt open.
    """
    symbol, leverage = request.symbol, request.leverage
    failure: LeverageError
    change = _asked(client, request)
    try:
        last = journal.last(client.venue.rest_url, client.identity, symbol)
        if last is not None and last.is_open:
            _clear_way(client, journal, last, progress)
            setting = None  # what was read before may be over
        setting = setting or read_setting(client, symbol, request.margin_asset)
        if last is not None and not last.is_open:
            look_again(journal, [last], {symbol: setting})
    except LeverageError as exc:
        failure = exc
    else:
        change = replace(change, before=setting.leverage)
        if setting.leverage != leverage:
            return _carry_out(client, journal, request, change, progress, {} if heard is None else heard)
        return replace(
            change,
            after=leverage,
            max_notional=setting.max_notional,
            status="unchanged",
            confirmed_by="symbolConfig",
            as_of=setting.as_of,
        )
    raise _ended(ChangeNotSent, change, f"{symbol} was not changed: nothing was sent.", failure)


def not_sent(client: RestClient, symbol: str, leverage: int, failure: LeverageError) -> LeverageError:
    """The error for a change that ``failure`` stopped before its setting was even read."""
    change = _asked(client, ChangeRequest(symbol, leverage))
    return _ended(ChangeNotSent, change, f"{symbol} was not changed: nothing was sent.", failure)


def _asked(client: RestClient, request: ChangeRequest) -> LeverageChange:
    """The record of a change of which nothing has left yet."""
    return LeverageChange(
        venue=client.venue.name,
        account=client.account,
        symbol=request.symbol,
        before=None,
        after=None,
        requested=request.leverage,
        max_notional=None,
        status="not_sent",
        sent_at=None,
        margin_asset=request.margin_asset,
        effects=request.effects,
    )


def _clear_way(client: RestClient, journal: Journal, earlier: Attempt, progress: Progress | None) -> None:
    """Settle an earlier attempt on the same symbol: no other may leave while it is open.

    Raises:
        Mistake: It is open for longer than a request may take.
        NoAnswer: It could not be looked up.
    """
    in_flight = not earlier.findings  # whoever sent it may have its answer any moment
    if _seconds_left(client, earlier) > client.timeout + 1:
        client.compare_clocks()  # before this machine's clock is believed
    if in_flight or _seconds_left(client, earlier) <= client.timeout + 1:
        at_most = None if not in_flight else max(client.timeout, _seconds_left(client, earlier, client.timeout)) + 1
        [earlier] = settle(client, journal, [earlier], progress=progress, until_closed=True, at_most=at_most)
        if not earlier.is_open:
            return
        if _seconds_left(client, earlier) <= 0:
            raise NoAnswer(f"{_still_open(earlier)}, and could not be looked up.", hint="Try again in a moment.")
    until = clock_time(deadline(client, [earlier]))
    raise Mistake(f"{_still_open(earlier)} until {until}.", hint="Try again after that.")


def _seconds_left(client: RestClient, attempt: Attempt, most: float = math.inf) -> float:
    """For how long an attempt may yet be carried out."""
    return min(most, deadline(client, [attempt]).timestamp() - time.time())


def _still_open(earlier: Attempt) -> str:
    whose = "" if earlier.is_ours else " by another program"
    return (
        f"A change of {earlier.symbol} to {earlier.requested}x{whose}, sent at {clock_time(earlier.begun_at)}, "
        "may yet be carried out"
    )


def _carry_out(
    client: RestClient,
    journal: Journal,
    request: ChangeRequest,
    change: LeverageChange,
    progress: Progress | None,
    heard: Mapping[str, LeverageEvent],
) -> LeverageChange:
    """Attempt it; an interrupt from here on tells what the journal holds of it."""
    begun: list[Attempt] = []
    with suppress(KeyboardInterrupt):
        return _attempt_until_certain(client, journal, request, change, progress, begun, heard)
    raise _interrupted(journal, change, begun)


def _interrupted(journal: Journal, change: LeverageChange, begun: list[Attempt]) -> ChangeInterrupted:
    """What is known of a change that Ctrl-C stopped."""
    if not begun:
        return ChangeInterrupted(f"Interrupted. {change.symbol} was not changed: nothing was sent.", "", change)
    attempt = begun[-1]
    with suppress(JournalUnusable):
        attempt = journal.last(attempt.address, attempt.account, attempt.symbol) or attempt
    made = replace(attempt.change, account=change.account, effects=change.effects)
    if attempt.is_open:
        made = replace(made, status="unknown", note="interrupted")
        return ChangeInterrupted(f"Interrupted. {_open_question(made)}", _look(made), made)
    return ChangeInterrupted(f"Interrupted. {made.headline}.", "", made)


def _attempt_until_certain(
    client: RestClient,
    journal: Journal,
    request: ChangeRequest,
    change: LeverageChange,
    progress: Progress | None,
    begun: list[Attempt],
    heard: Mapping[str, LeverageEvent],
) -> LeverageChange:
    """Attempt it, once more after each answer that says it was not carried out and will pass; then settle it."""
    pauses = iter(OVERLOAD_PAUSES)
    clocks_compared = False
    refused: tuple[Attempt, LeverageError | None] | None = None
    while True:
        try:
            attempt, failure = _attempt(client, journal, request, change, begun)
        except ChangeNotSent as exc:
            if refused is None:
                raise
            attempt, failure = refused[0], _with_more(refused[1], f"Another attempt did not leave: {exc.message}")
            return _ending(replace(attempt.change, account=client.account, effects=request.effects), failure)
        overloaded = failure is not None and (failure.http_status == 503 or failure.code == -1008)
        late = failure is not None and failure.code == -1021
        if attempt.status == "refused":
            refused = attempt, failure
        if attempt.status == "refused" and late and not clocks_compared:
            clocks_compared = True
            continue
        if attempt.status == "refused" and overloaded and (pause := next(pauses, None)) is not None:
            time.sleep(pause)
            continue
        if attempt.is_open and request.settles:
            [attempt] = settle(client, journal, [attempt], progress=progress, heard=heard)
        return _ending(replace(attempt.change, account=client.account, effects=request.effects), failure)


def _with_more(failure: LeverageError | None, text: str) -> LeverageError | None:
    if failure is not None:
        failure.message = f"{failure.message} {text}"
        failure.meaning = f"{failure.meaning} {text}".strip()
    return failure


def _attempt(
    client: RestClient, journal: Journal, request: ChangeRequest, change: LeverageChange, begun: list[Attempt]
) -> tuple[Attempt, LeverageError | None]:
    """Write it down, send it, and write down what was answered; with the failure, where that is no success."""
    draft = Attempt(
        number=0,
        begun_at=datetime.now(tz=UTC),
        venue=client.venue.name,
        address=client.venue.rest_url,
        account=client.identity,
        symbol=request.symbol,
        margin_asset=request.margin_asset,
        before=change.before or 0,
        requested=request.leverage,
        timestamp_ms=0,
        recv_window_ms=client.recv_window,
        process="",
        undoes=request.undoes,
        plan=request.plan,
    )
    count = len(begun)

    def stamp() -> int:
        begun.append(journal.begin(draft, client.time_ms))
        return begun[-1].timestamp_ms

    answer: Answer | None = None
    failure: LeverageError
    try:
        answer = client.post(PATH, [("symbol", request.symbol), ("leverage", request.leverage)], stamp)
    except (NotConnected, NoAnswer, RateLimited, JournalUnusable) as exc:
        failure = exc
    except StillOpenError as exc:
        until = deadline(client, [exc.attempt])
        failure = Mistake(f"{_still_open(exc.attempt)} until {clock_time(until)}.", hint="Try again after that.")
    if answer is not None:
        finding, told = _classify(client, request, answer)
        # What is not definite says nothing against what another has found out meanwhile.
        return write(journal, begun[-1], finding, unless_closed=not finding.closes), told
    if len(begun) > count and isinstance(failure, NoAnswer):
        finding = Finding(_now(), "no answer", "unknown", closes=False, note=failure.message)
        return write(journal, begun[-1], finding, unless_closed=True), failure
    if len(begun) > count:
        finding = Finding(_now(), "not sent", "not_sent", closes=True, note=failure.message)
        change = replace(write(journal, begun[-1], finding).change, account=client.account)
    text = f"{request.symbol} was not changed: nothing was sent."
    raise _ended(ChangeNotSent, replace(change, effects=request.effects), text, failure)


def _classify(client: RestClient, request: ChangeRequest, answer: Answer) -> tuple[Finding, LeverageError | None]:
    """What an answer says of the attempt, and the failure in words where that is no success."""
    told = _told(answer) if answer.status == 200 else None
    if told is not None and (told.symbol, told.leverage) == (request.symbol, request.leverage):
        cap = told.max_notional_value
        finding = Finding(_now(), "answer", "applied", closes=True, leverage=told.leverage, max_notional=cap)
        return replace(finding, http_status=200), None
    failure = client.explain(answer, f"POST {PATH}")
    definite = refusals.is_definite(answer)
    if answer.status == 200 and failure.code is None:
        says = messages.describe(answer.body) if told is None else f"it names {told.symbol} at {told.leverage}x"
        failure = UnexpectedAnswer(
            f"{client.venue.speaker} answered, but did not confirm {request.symbol} at {request.leverage}x: {says}.",
            http_status=200,
        )
    finding = Finding(
        _now(),
        "answer",
        "refused" if definite else "unknown",
        closes=definite,
        code=failure.code,
        http_status=answer.status,
        note=failure.message,
    )
    return finding, failure


def _told(answer: Answer) -> messages.ChangedLeverage | None:
    """What a 200 confirms; None where it is no confirmation, or names a refusal beside it."""
    error = refusals.read_error(answer)
    if error is not None and error.code < 0:
        return None
    try:
        return messages.decode(messages.ChangedLeverage, answer.body, "")
    except UnexpectedAnswer:
        return None


def _ending(change: LeverageChange, failure: LeverageError | None) -> LeverageChange:
    """Return a change that was applied, and raise any other."""
    if change.status == "applied" or failure is None:
        return change
    if change.status == "refused":
        raise _ended(LeverageRefused, change, f"{change.headline}.", failure)
    if change.status == "unknown":
        raise _unknown(change, failure)
    seen = f"It is at {change.after}x as of {moment(change.as_of)}." if change.as_of else ""
    text = f"{change.symbol} was not changed to {change.requested}x. {seen}"
    if change.status == "not_applied":
        raise _ended(ChangeNotApplied, change, text, failure, "It may be tried again.")
    raise _ended(ChangeSuperseded, change, f"{text} Somebody else changed it.", failure, "Look before you try again.")


def _unknown(change: LeverageChange, failure: LeverageError) -> LeverageError:
    text = f"{_open_question(change)} There was no definite answer, and it could not be looked up."
    return _ended(OutcomeUnknown, change, text, failure, _look(change))


def _open_question(change: LeverageChange) -> str:
    return f"{change.symbol} may or may not be at {change.requested}x now."


def _look(change: LeverageChange) -> str:
    return (
        "It is on record: %leverage --history, or account.history(), looks it up. "
        f"Until it is settled nothing else is sent for {change.symbol}."
    )


def _ended(
    kind: type[LeverageError], change: LeverageChange, text: str, failure: LeverageError, hint: str = ""
) -> LeverageError:
    """The error that ends a change: its own sentence, then the reason in the words of what failed."""
    error = kind(
        f"{text} {failure.message}",
        headline=text,
        hint=hint or failure.hint,
        code=failure.code,
        http_status=failure.http_status,
        words=failure.words,
        meaning=failure.meaning,
        change=replace(change, note=change.note or failure.message),
    )
    if isinstance(error, ChangeNotSent) and isinstance(failure, RateLimited):
        error.retry_after = failure.retry_after
    return error


def _now() -> datetime:
    return datetime.now().astimezone()
