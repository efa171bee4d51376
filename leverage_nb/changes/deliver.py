"""Deliver one recorded attempt: post it, and classify the answer.

* ``applied``: HTTP 200 that names what was requested, without a negative code: see ``changes.kinds``.
* Accepted: HTTP 200 with a code of success that names nothing, as for a margin type. A read must confirm it.
* ``refused``: an answer that ``binance.error_codes`` lists as certainly not executed.
* Nothing left this machine: the reason is returned.
* Any other answer, and no answer, leaves the attempt open: ``changes.settle`` verifies it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from leverage_nb.binance import error_codes, messages
from leverage_nb.binance.client import RestClient
from leverage_nb.binance.http import Answer
from leverage_nb.change import Value
from leverage_nb.changes.kinds import KINDS
from leverage_nb.changes.request import ChangeRequest
from leverage_nb.errors import LeverageError, NoAnswer, UnexpectedAnswer
from leverage_nb.journal.attempts import Attempt, Finding


@dataclass(frozen=True)
class Delivered:
    """What is known after a request has left.

    Attributes:
        finding: The finding for the journal.
        failure: The error, if the change was not applied.
        may_repeat: Whether it was refused for a reason that passes.
    """

    finding: Finding
    failure: LeverageError | None
    may_repeat: bool = False


def draft_attempt(client: RestClient, request: ChangeRequest, before: Value | None) -> Attempt:
    """Return the attempt of a request, ready for the journal."""
    return Attempt(
        venue=client.venue.label,
        address=client.venue.rest_url,
        account=client.identity,
        symbol=request.symbol,
        margin_asset=request.margin_asset,
        before=before,
        requested=request.requested,
        recv_window_ms=client.recv_window,
        undoes=request.undoes,
        plan=request.plan,
        kind=request.kind,
        position_side=request.position_side,
        direction=request.direction,
    )


def not_sent_finding(failure: LeverageError) -> Finding:
    """Return the finding that closes a recorded attempt that was not sent."""
    return Finding(_now(), "not sent", "not_sent", closes=True, note=failure.message)


def post_change(
    client: RestClient,
    request: ChangeRequest,
    stamp: Callable[[], int],
    expires: float,
) -> Answer:
    """Post a change: see :meth:`RestClient.post`."""
    kind = KINDS[request.kind]
    return client.post(kind.endpoint, kind.parameters(request), stamp, lambda: expires)


def deliver(
    client: RestClient, request: ChangeRequest, post: Callable[[], Answer], is_recorded: Callable[[], bool]
) -> Delivered | LeverageError:
    """Send a request once, and classify its answer.

    Args:
        client: The client of the account.
        request: The change.
        post: Sends the request.
        is_recorded: Whether its attempt is in the journal.

    Returns:
        What is known of it; the reason if nothing left this machine.
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
        return _failed_in_our_code(exc)  # it may have left: an error of ours must not hide that
    try:
        return _classify(client, request, answer)
    except Exception as exc:  # noqa: BLE001 - it has left, as above
        return _failed_in_our_code(exc)


def _failed_in_our_code(exc: Exception) -> Delivered:
    failure = UnexpectedAnswer(
        f"The answer could not be examined ({type(exc).__name__} in leverage_nb).", hint="Please report this bug."
    )
    return Delivered(Finding(_now(), "no answer", "unknown", closes=False, note=failure.message), failure)


def _classify(client: RestClient, request: ChangeRequest, answer: Answer) -> Delivered:
    kind = KINDS[request.kind]
    step = f"{request.symbol} {request.outcome(client, 'unknown').step}"
    if (finding := kind.confirm(request, answer)) is not None:
        unconfirmed = UnexpectedAnswer(f"{client.venue.speaker} reported success, but no read has confirmed it.")
        return Delivered(finding, None if finding.closes else unconfirmed)
    failure = client.explain(answer, kind.endpoint)
    definite = error_codes.is_definite(answer)
    if answer.status == 200 and failure.code is None:
        try:
            messages.decode(dict, answer.body, "")
            content = "it names something else"
        except UnexpectedAnswer:
            content = messages.describe(answer.body)
        failure = UnexpectedAnswer(
            f"{client.venue.speaker} answered, but did not confirm {step}: {content}.", http_status=200
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
    return Delivered(finding, failure, kind.may_repeat and error_codes.may_be_repeated(answer))


def _now() -> datetime:
    return datetime.now().astimezone()
