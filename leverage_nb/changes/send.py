"""Send: one attempt at a time, recorded, sent once, its answer classified.

What is claimed, and on what grounds:

* ``applied``: HTTP 200 whose body names the symbol and the leverage that were requested, and no negative code.
* ``refused``: an answer that ``exchange.refusals`` lists as certainly not executed.
* ``not_sent``: nothing of the request had left this machine.
* Anything else, whatever it looks like, is verified: see ``changes.settle``.

A request is never sent again. It leaves only on a read that shows the leverage from which the change was confirmed, and
that was sent after the last wait and at most one second ago. Another client's change between that read and the
exchange's execution cannot be excluded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from leverage_nb import interrupts
from leverage_nb.binance import error_codes, messages
from leverage_nb.binance.client import Parameters, RestClient
from leverage_nb.binance.endpoints import LEVERAGE
from leverage_nb.binance.http import Answer, SentTooLate
from leverage_nb.binance.reader import read_setting
from leverage_nb.change import LeverageChange
from leverage_nb.changes.settle import Progress, record, seconds_left, settle, settled_by
from leverage_nb.errors import (
    ChangedElsewhere,
    ChangeFailed,
    ChangeNotApplied,
    ChangeNotSent,
    ChangePending,
    ChangeSuperseded,
    LeverageError,
    LeverageRefused,
    NoAnswer,
    OutcomeUnknown,
    UnexpectedAnswer,
)
from leverage_nb.formatting import clock_time, moment
from leverage_nb.journal.attempts import Applied, Attempt, Finding
from leverage_nb.journal.journal import Journal
from leverage_nb.risk.account_state import LeverageSetting

# For how many seconds after it was sent a read may be used to send a change.
FRESH_FOR = 1.0

# How often a change is started anew because the read had grown old before it could leave.
_STARTS = 3

# Binance advises to wait about so long, in seconds, after a 503 that says it did nothing.
OVERLOAD_PAUSES = (0.2, 0.4, 0.8)

# A read that differs from the exchange's own answer of so long ago or less is repeated, after so many seconds.
_DOUBTED_FOR = timedelta(seconds=60)
SECOND_READ_AFTER = 1.0

# So often the setting is read at most before a change is sent, while other programs change it too.
_MOST_READS = 8


@dataclass(frozen=True)
class ChangeRequest:
    """One change that was requested.

    Attributes:
        symbol: Binance's spelling.
        leverage: 1 or more; the exchange decides whether it is allowed.
        margin_asset: The asset of the symbol's amounts.
        setting: The setting that was shown or confirmed before; nothing is sent from any other leverage. None for
            whatever is there.
        effects: What a preview expects of the change, for its record.
        undoes: The number of the attempt that it takes back.
        plan: The plan it belongs to.
        tokens: The tokens of its attempts, newest last, each noted before the attempt is recorded.
    """

    symbol: str
    leverage: int
    margin_asset: str = ""
    setting: LeverageSetting | None = None
    effects: tuple[tuple[str, str], ...] = ()
    undoes: int | None = None
    plan: str | None = None
    tokens: list[str] = field(default_factory=list, compare=False)


def is_fresh(setting: LeverageSetting) -> bool:
    """Whether a setting was read so recently that a change may be sent on it."""
    return time.monotonic() - setting.read_at <= FRESH_FOR


def send_change(
    client: RestClient, journal: Journal, request: ChangeRequest, progress: Progress | None = None
) -> LeverageChange:
    """Make one change: wait for earlier attempts, read the setting, send if it differs, find the outcome.

    Args:
        client: Where, and with whose key.
        journal: Where each attempt is recorded before it leaves.
        request: What is requested.
        progress: Called with what is being verified, and until when, where no definite answer came.

    Returns:
        A change that was applied, or that was not needed.

    Raises:
        ChangeNotSent, LeverageRefused, ChangeNotApplied, ChangeSuperseded, OutcomeUnknown: With the record in
            ``.change``.
    """
    shown = draft_change(client, request)
    failure: LeverageError
    try:
        setting, applied = _ready_setting(client, journal, request, progress)
    except LeverageError as exc:
        failure = exc
    else:
        shown = replace(shown, before=setting.leverage)
        if request.setting is not None and setting.leverage != request.setting.leverage:
            failure = changed_elsewhere(request.symbol, request.setting.leverage, setting.leverage)
        elif setting.leverage == request.leverage:
            return _unchanged(shown, setting, applied)
        else:
            return _send_until_definite(client, journal, request, shown, setting, progress)
    raise ended(ChangeNotSent, shown, f"{request.symbol} was not changed: nothing was sent.", failure)


def not_sent(client: RestClient, symbol: str, leverage: int, failure: LeverageError) -> LeverageError:
    """The error for a change that ``failure`` stopped before its setting was even read."""
    change = draft_change(client, ChangeRequest(symbol, leverage))
    return ended(ChangeNotSent, change, f"{symbol} was not changed: nothing was sent.", failure)


def changed_elsewhere(symbol: str, before: int, now: int) -> ChangedElsewhere:
    """The reason why a change is not sent whose leverage before is another by now."""
    return ChangedElsewhere(
        f"The change was confirmed from {before}x, and {symbol} is at {now}x now.",
        hint="Look at the new preview, and confirm again.",
    )


def draft_change(client: RestClient, request: ChangeRequest) -> LeverageChange:
    """The record of a change of which nothing has left yet."""
    return LeverageChange(
        venue=client.venue.label,
        account=client.account,
        symbol=request.symbol,
        before=request.setting.leverage if request.setting is not None else None,
        after=None,
        requested=request.leverage,
        max_notional=None,
        status="not_sent",
        sent_at=None,
        margin_asset=request.margin_asset,
        effects=request.effects,
    )


def _unchanged(shown: LeverageChange, setting: LeverageSetting, applied: Applied | None) -> LeverageChange:
    note = ""
    if applied is not None and applied.leverage != setting.leverage:
        note = f"Changed elsewhere since: the last change from here set {applied.leverage}x."
    return replace(
        shown,
        after=setting.leverage,
        max_notional=setting.max_notional,
        status="unchanged",
        confirmed_by="symbolConfig",
        as_of=setting.as_of,
        note=note,
    )


# -- before sending ------------------------------------------------------------------------------------------------


def _ready_setting(
    client: RestClient, journal: Journal, request: ChangeRequest, progress: Progress | None
) -> tuple[LeverageSetting, Applied | None]:
    """The setting to send from: read while no earlier attempt is open, and not older than the exchange's answers.

    The journal is read after the setting: another process may have changed it meanwhile.
    """
    setting, asked_twice = request.setting, False
    for _ in range(_MOST_READS):
        if setting is None or not is_fresh(setting):
            setting = read_setting(client, request.symbol, request.margin_asset)
        latest = journal.latest(client.identity, [request.symbol])[request.symbol]
        if latest.open is not None:
            wait_for(client, journal, latest.open, progress)
        elif (asked_twice and not is_outdated(setting, latest.applied)) or agrees(setting, latest.applied):
            return setting, latest.applied
        elif not is_outdated(setting, latest.applied):
            asked_twice = True
            interrupts.pause(max(SECOND_READ_AFTER, client.grace))
        setting = None
    raise NoAnswer(f"{request.symbol} is being changed by other programs all the time.", hint="Try again later.")


def is_outdated(setting: LeverageSetting, applied: Applied | None) -> bool:
    """Whether a read was sent before the exchange's latest answer; a clock that was set back since says nothing."""
    if applied is None or setting.as_of is None:
        return False
    return setting.as_of <= applied.at <= _now()


def agrees(setting: LeverageSetting, applied: Applied | None) -> bool:
    """Whether a read is newer than the exchange's latest answer, and shows the same or is much later."""
    if applied is None or setting.as_of is None or setting.leverage == applied.leverage:
        return not is_outdated(setting, applied)
    return setting.as_of > applied.at + _DOUBTED_FOR


def wait_for(client: RestClient, journal: Journal, earlier: Attempt, progress: Progress | None = None) -> None:
    """Settle an earlier attempt on the same symbol: no other may leave while it is open.

    Raises:
        ChangePending: It stays open for longer than a request may take.
        NoAnswer: It could not be verified.
    """
    in_flight = not earlier.findings  # whoever sent it may have its answer any moment
    if seconds_left(client, earlier) > client.timeout + 1:
        client.compare_clocks()  # before this machine's clock is believed
    left = seconds_left(client, earlier)
    if in_flight or left <= client.timeout + 1:
        at_most = max(client.timeout, min(left, client.timeout)) + 1 if in_flight else None
        [earlier] = settle(client, journal, [earlier], progress=progress, until_closed=True, at_most=at_most)
        if not earlier.is_open:
            return
        if seconds_left(client, earlier) <= 0:
            raise NoAnswer(f"{_still_open(earlier)}, and it could not be verified.", hint="Try again in a moment.")
    raise still_open(client, earlier)


def still_open(client: RestClient, earlier: Attempt) -> ChangePending:
    """The reason why a change is not sent while an earlier attempt is open."""
    until = clock_time(settled_by(client, [earlier]))
    return ChangePending(f"{_still_open(earlier)} until {until}.", hint="Try again after that.")


def _still_open(earlier: Attempt) -> str:
    whose = "" if earlier.is_ours else " by another program"
    return (
        f"A change of {earlier.symbol} to {earlier.requested}x{whose}, sent at {clock_time(earlier.begun_at)}, "
        "may still be executed"
    )


# -- sending -------------------------------------------------------------------------------------------------------


def _send_until_definite(
    client: RestClient,
    journal: Journal,
    request: ChangeRequest,
    shown: LeverageChange,
    setting: LeverageSetting,
    progress: Progress | None,
) -> LeverageChange:
    """Attempt it; again after a definite refusal that passes, on a fresh read; then find the outcome."""
    pauses = iter(OVERLOAD_PAUSES)
    for attempt, failure, passing in _attempts(client, journal, request, shown, setting):
        pause = next(pauses, None) if passing else None
        if pause is not None and _passes(client, failure, pause):
            continue
        if attempt.is_open:
            [attempt] = settle(client, journal, [attempt], progress=progress)
        break
    return raise_unless_applied(_named(client, request, attempt), failure)


def _passes(client: RestClient, failure: LeverageError | None, pause: float) -> bool:
    """Wait until an overload may be over, or learn the exchange's time; whether another attempt makes sense."""
    if failure is not None and failure.code == -1021:
        try:
            client.compare_clocks()
        except LeverageError:
            return False
    interrupts.pause(pause)
    return True


def _attempts(
    client: RestClient,
    journal: Journal,
    request: ChangeRequest,
    shown: LeverageChange,
    setting: LeverageSetting,
) -> Iterator[tuple[Attempt, LeverageError | None, bool]]:
    """Attempt it as often as asked, each time from the same leverage, by a read that is fresh.

    Yields:
        The attempt, the failure where it was not applied, and whether another one may follow.
    """
    refused: tuple[Attempt, LeverageError | None] | None = None
    while True:
        try:
            if refused is not None:
                setting = read_setting(client, request.symbol, request.margin_asset)
                if setting.leverage != shown.before:
                    raise changed_elsewhere(request.symbol, shown.before or 0, setting.leverage)
            attempt, failure, passing = _attempt_fresh(client, journal, request, shown, setting)
        except LeverageError as exc:
            if refused is None:
                raise
            attempt, failure = refused
            yield attempt, _with_more(failure, f"No further attempt was made: {exc.message}"), False
            return
        refused = attempt, failure
        yield attempt, failure, passing


def _with_more(failure: LeverageError | None, text: str) -> LeverageError | None:
    if failure is not None:
        failure.message = f"{failure.message} {text}"
        failure.meaning = f"{failure.meaning} {text}".strip()
    return failure


def _attempt_fresh(
    client: RestClient, journal: Journal, request: ChangeRequest, shown: LeverageChange, setting: LeverageSetting
) -> tuple[Attempt, LeverageError | None, bool]:
    """Attempt it; with a new read where it could not leave in time, as long as that shows the same leverage."""
    late: LeverageError | None = None
    for _ in range(_STARTS):
        try:
            return _attempt(client, journal, request, shown, setting)
        except SentTooLate as exc:
            late = exc
        failure: LeverageError
        try:
            setting = read_setting(client, request.symbol, request.margin_asset)
        except LeverageError as exc:
            failure = exc
        else:
            if setting.leverage == shown.before:
                continue
            failure = changed_elsewhere(request.symbol, shown.before or 0, setting.leverage)
        raise ended(ChangeNotSent, shown, f"{request.symbol} was not changed: nothing was sent.", failure)
    assert late is not None  # noqa: S101 - the loop ended without a return
    raise ended(ChangeNotSent, shown, f"{request.symbol} was not changed: nothing was sent.", late)


def _attempt(
    client: RestClient, journal: Journal, request: ChangeRequest, shown: LeverageChange, setting: LeverageSetting
) -> tuple[Attempt, LeverageError | None, bool]:
    """Record it, send it, and record the answer.

    Raises:
        SentTooLate: The read had grown old before it could leave; nothing was sent.
        ChangeNotSent: Nothing was sent, for another reason.
    """
    expires = setting.read_at + FRESH_FOR
    begun: list[Attempt] = []

    def stamp() -> int:
        if time.monotonic() > expires:
            raise SentTooLate("The setting was read too long ago.")
        interrupts.check()
        draft = draft_attempt(client, request, setting.leverage)
        request.tokens.append(draft.token)
        [attempt] = journal.begin([draft], client.time_ms)
        if attempt.token != draft.token:
            raise still_open(client, attempt)
        begun.append(attempt)
        return attempt.timestamp_ms

    outcome = deliver(
        client, request, lambda: client.post(LEVERAGE, parameters(request), stamp, lambda: expires), lambda: bool(begun)
    )
    if isinstance(outcome, Delivered):
        return record(journal, [(begun[-1], outcome.finding)])[0], outcome.failure, outcome.may_repeat
    if begun:
        finding = Finding(_now(), "not sent", "not_sent", closes=True, note=outcome.message)
        [attempt] = record(journal, [(begun[-1], finding)])
        shown = replace(attempt.change, account=client.account, effects=request.effects)
    if isinstance(outcome, SentTooLate):
        raise outcome
    raise ended(ChangeNotSent, shown, f"{request.symbol} was not changed: nothing was sent.", outcome)


def draft_attempt(client: RestClient, request: ChangeRequest, before: int) -> Attempt:
    """An attempt as it is handed to the journal."""
    return Attempt(
        venue=client.venue.label,
        address=client.venue.rest_url,
        account=client.identity,
        symbol=request.symbol,
        margin_asset=request.margin_asset,
        before=before,
        requested=request.leverage,
        recv_window_ms=client.recv_window,
        undoes=request.undoes,
        plan=request.plan,
    )


def parameters(request: ChangeRequest) -> Parameters:
    """What a request sends, beside timestamp and signature."""
    return [("symbol", request.symbol), ("leverage", request.leverage)]


@dataclass(frozen=True)
class Delivered:
    """What is known after a request has left.

    Attributes:
        finding: For the journal.
        failure: The failure, where it was not applied.
        may_repeat: Whether it was refused for a reason that passes.
    """

    finding: Finding
    failure: LeverageError | None
    may_repeat: bool = False


def deliver(
    client: RestClient, request: ChangeRequest, post: Callable[[], Answer], is_recorded: Callable[[], bool]
) -> Delivered | LeverageError:
    """Send a request, and say what is known of it; the reason where nothing left.

    Args:
        client: Where.
        request: What is requested.
        post: Sends it, after recording its attempt where that was not done before.
        is_recorded: Whether the attempt is recorded.
    """
    try:
        answer = post()
    except NoAnswer as exc:
        return Delivered(Finding(_now(), "no answer", "unknown", closes=False, note=exc.message), exc)
    except UnexpectedAnswer as exc:
        finding = Finding(_now(), "answer", "unknown", closes=False, http_status=exc.http_status, note=exc.message)
        return Delivered(finding, exc)
    except LeverageError as exc:
        return exc
    except Exception as exc:
        if not is_recorded():
            raise
        return _slip(exc)  # it may have left: a slip of ours must not hide that
    try:
        return _classify(client, request, answer)
    except Exception as exc:  # noqa: BLE001 - it has left, as above
        return _slip(exc)


def _slip(exc: Exception) -> Delivered:
    """What is known where our own code has failed: nothing, so the outcome is verified."""
    failure = UnexpectedAnswer(
        f"The answer could not be examined ({type(exc).__name__} in leverage_nb).", hint="Please report this."
    )
    return Delivered(Finding(_now(), "no answer", "unknown", closes=False, note=failure.message), failure)


def _classify(client: RestClient, request: ChangeRequest, answer: Answer) -> Delivered:
    """What an answer says of the attempt, and the failure where that is no success."""
    changed = _confirmed(answer) if answer.status == 200 else None
    if changed is not None and (changed.symbol, changed.leverage) == (request.symbol, request.leverage):
        cap = changed.max_notional_value
        finding = Finding(_now(), "answer", "applied", closes=True, leverage=changed.leverage, max_notional=cap)
        return Delivered(replace(finding, http_status=200), None)
    failure = client.explain(answer, LEVERAGE)
    definite = error_codes.is_definite(answer)
    if answer.status == 200 and failure.code is None:
        says = messages.describe(answer.body) if changed is None else "it names another symbol or leverage"
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
    return Delivered(finding, failure, error_codes.may_be_repeated(answer))


def _confirmed(answer: Answer) -> messages.ChangedLeverage | None:
    """What a 200 confirms; None where it is no confirmation, or carries a negative code beside it."""
    error = error_codes.read_error(answer)
    if error is not None and error.code < 0:
        return None
    try:
        return messages.decode(messages.ChangedLeverage, answer.body, "")
    except UnexpectedAnswer:
        return None


# -- reporting -----------------------------------------------------------------------------------------------------


def _named(client: RestClient, request: ChangeRequest, attempt: Attempt) -> LeverageChange:
    """The record of an attempt, with the account's present name and the expected effects."""
    return replace(attempt.change, account=client.account, effects=request.effects)


def raise_unless_applied(change: LeverageChange, failure: LeverageError | None) -> LeverageChange:
    """Return a change that was applied, and raise any other."""
    if change.status == "applied" or failure is None:
        return change
    if change.status == "refused":
        raise ended(LeverageRefused, change, f"{change.headline}.", failure)
    if change.status == "unknown":
        text = f"{open_question(change)} There was no definite answer, and it could not be verified."
        raise ended(OutcomeUnknown, change, text, failure, how_to_verify(change))
    seen = f"It is at {change.after}x as of {moment(change.as_of)}." if change.as_of else ""
    text = f"{change.symbol} was not changed to {change.requested}x. {seen}"
    if change.status == "not_applied":
        raise ended(ChangeNotApplied, change, text, failure, "It may be tried again.")
    text = f"{text} It was changed elsewhere."
    raise ended(ChangeSuperseded, change, text, failure, "Check the setting before you try again.")


def open_question(change: LeverageChange) -> str:
    """That the outcome of a change is not known."""
    return f"{change.symbol} may or may not be at {change.requested}x now."


def how_to_verify(change: LeverageChange) -> str:
    """What to do about a change without a known outcome."""
    return (
        "It is recorded: %leverage --history, or account.history(), verifies it. "
        f"Until then nothing else is sent for {change.symbol}."
    )


def ended(
    kind: type[ChangeFailed], change: LeverageChange, text: str, failure: LeverageError, hint: str = ""
) -> ChangeFailed:
    """The error that ends a change: its own sentence, then the reason."""
    if isinstance(failure, ChangeNotSent):
        return failure
    return kind(
        f"{text} {failure.message}",
        headline=text,
        hint=hint or failure.hint,
        code=failure.code,
        http_status=failure.http_status,
        words=failure.words,
        meaning=failure.meaning,
        change=replace(change, note=change.note or failure.message),
        reason=failure,
    )


def _now() -> datetime:
    return datetime.now().astimezone()
