"""One attempt to change a leverage: one signed POST, sent once, its answer classified.

What is claimed, and on what grounds:

* ``applied``: HTTP 200 whose body names the symbol and the leverage that were asked for.
* ``refused``: an answer that ``exchange.refusals`` lists as certainly not carried out.
* ``not_sent``: nothing of the request had left this machine.
* ``unknown``: everything else, whatever it looks like.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from leverage_nb.changes.record import LeverageChange
from leverage_nb.errors import (
    ChangeInterrupted,
    ChangeNotSent,
    LeverageError,
    LeverageRefused,
    NoAnswer,
    NotConnected,
    OutcomeUnknown,
    UnexpectedAnswer,
)
from leverage_nb.exchange import messages, refusals
from leverage_nb.exchange.rest import RestClient
from leverage_nb.exchange.snapshot import read_setting
from leverage_nb.exchange.transport import Answer
from leverage_nb.risk.state import LeverageSetting

PATH = "/fapi/v1/leverage"


def change_leverage(
    client: RestClient,
    symbol: str,
    leverage: int,
    margin_asset: str = "",
    *,
    setting: LeverageSetting | None = None,
    effects: tuple[tuple[str, str], ...] = (),
) -> LeverageChange:
    """Read the setting, post the new leverage if it differs, and say what is known of the outcome.

    Args:
        client: Where, and with whose key.
        symbol: Binance's spelling.
        leverage: 1 or more; the exchange decides whether it is allowed.
        margin_asset: What the symbol's amounts are in.
        setting: The setting before, where it has just been read.
        effects: What a preview expects of the change, for its record.

    Returns:
        A change that was applied, or that was not needed.

    Raises:
        ChangeNotSent, LeverageRefused, OutcomeUnknown: With the record in ``.change``.
    """
    change = replace(_asked(client, symbol, leverage, margin_asset), effects=effects)
    failure: LeverageError
    try:
        setting = setting or read_setting(client, symbol, margin_asset)
    except LeverageError as exc:
        failure = exc
    else:
        change = replace(change, before=setting.leverage)
        if setting.leverage == leverage:
            return replace(
                change,
                after=leverage,
                max_notional=setting.max_notional,
                status="unchanged",
                confirmed_by="symbolConfig",
            )
        return _attempt(client, change)
    raise _ended(ChangeNotSent, change, f"{symbol} was not changed: nothing was sent.", failure)


def not_sent(client: RestClient, symbol: str, leverage: int, failure: LeverageError) -> LeverageError:
    """The error for a change that ``failure`` stopped before its setting was even read."""
    change = _asked(client, symbol, leverage)
    return _ended(ChangeNotSent, change, f"{symbol} was not changed: nothing was sent.", failure)


def _asked(client: RestClient, symbol: str, leverage: int, margin_asset: str = "") -> LeverageChange:
    """The record of a change of which nothing has left yet."""
    return LeverageChange(
        venue=client.venue.name,
        account=client.account,
        symbol=symbol,
        before=None,
        after=None,
        requested=leverage,
        max_notional=None,
        status="not_sent",
        sent_at=None,
        margin_asset=margin_asset,
    )


def _attempt(client: RestClient, change: LeverageChange) -> LeverageChange:
    sent_at = datetime.now().astimezone()
    answer: Answer | None = None
    failure: LeverageError
    try:
        answer = client.post(PATH, [("symbol", change.symbol), ("leverage", change.requested)])
    except (NotConnected, NoAnswer) as exc:
        failure = exc
    except KeyboardInterrupt:
        change = replace(change, sent_at=sent_at, status="unknown", note="interrupted")
        raise ChangeInterrupted(f"Interrupted. {_open_question(change)}", _look(change), change) from None
    change = change if answer is None and isinstance(failure, NotConnected) else replace(change, sent_at=sent_at)
    if answer is None:
        if isinstance(failure, NotConnected):
            raise _ended(ChangeNotSent, change, f"{change.symbol} was not changed: nothing was sent.", failure)
        raise _unknown(change, failure)
    if answer.status == 200:
        confirmed = _confirmed(answer, change)
        if confirmed is not None:
            return confirmed
    failure = refusals.explain(answer, client.venue, f"POST {PATH}")
    if refusals.is_definite(answer):
        refused = replace(change, status="refused")
        raise _ended(LeverageRefused, refused, f"{refused.headline}.", failure)
    if answer.status == 200 and failure.code is None:
        failure = UnexpectedAnswer(
            f"{client.venue.speaker} answered, but did not confirm {change.symbol} at {change.requested}x: "
            f"{_contradiction(answer)}.",
            http_status=200,
        )
    raise _unknown(change, failure)


def _confirmed(answer: Answer, change: LeverageChange) -> LeverageChange | None:
    """The change as applied, if the answer names the very symbol and leverage that were asked for."""
    try:
        told = messages.decode(messages.ChangedLeverage, answer.body, "")
    except UnexpectedAnswer:
        return None
    error = refusals.read_error(answer)
    contradicts = error is not None and error.code < 0
    if contradicts or (told.symbol, told.leverage) != (change.symbol, change.requested):
        return None
    return replace(
        change,
        after=told.leverage,
        max_notional=told.max_notional_value,
        status="applied",
        confirmed_by="answer",
    )


def _contradiction(answer: Answer) -> str:
    try:
        told = messages.decode(messages.ChangedLeverage, answer.body, "")
    except UnexpectedAnswer:
        return messages.describe(answer.body)
    return f"it names {told.symbol} at {told.leverage}x"


def _unknown(change: LeverageChange, failure: LeverageError) -> LeverageError:
    text = f"{_open_question(change)} There was no definite answer."
    error = _ended(OutcomeUnknown, replace(change, status="unknown"), text, failure)
    error.hint = _look(change)
    return error


def _open_question(change: LeverageChange) -> str:
    return f"{change.symbol} may or may not be at {change.requested}x now."


def _look(change: LeverageChange) -> str:
    return (
        f'Look with account.setting("{change.symbol}") before you try again; '
        "a request still under way may yet be carried out."
    )


def _ended(kind: type[LeverageError], change: LeverageChange, text: str, failure: LeverageError) -> LeverageError:
    """The error that ends a change: its own sentence, then the reason in the words of what failed."""
    return kind(
        f"{text} {failure.message}",
        hint=failure.hint,
        code=failure.code,
        http_status=failure.http_status,
        words=failure.words,
        change=replace(change, note=failure.message),
    )
