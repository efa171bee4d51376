"""What differs between changes of leverage, margin type and isolated margin when they are sent."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from leverage_nb.binance import endpoints, error_codes, messages, reader
from leverage_nb.binance.client import Parameters, RestClient
from leverage_nb.binance.endpoints import Endpoint
from leverage_nb.binance.http import Answer
from leverage_nb.change import Kind, Status, Value, exact_amount, is_at, value_text
from leverage_nb.changes.request import ChangeRequest, Reading
from leverage_nb.errors import ChangedElsewhere, UnexpectedAnswer
from leverage_nb.journal.attempts import Finding, Source
from leverage_nb.risk.isolated_margin import IsolatedMargin, is_about

_CHECK_AGAIN = "Check the new preview, then confirm again."


class KindOfChange(Protocol):
    """How one kind of change is read, sent and confirmed.

    Attributes:
        endpoint: Where it is posted.
        may_repeat: Whether another attempt may follow a definite refusal that passes.
    """

    endpoint: Endpoint
    may_repeat: bool

    def parameters(self, request: ChangeRequest) -> Parameters:
        """Return the parameters of the POST."""

    def read(self, client: RestClient, request: ChangeRequest) -> Reading:
        """Read the value before a change."""

    def is_done(self, request: ChangeRequest, reading: Reading) -> bool:
        """Whether a read shows that the change is not needed."""

    def find_difference(self, request: ChangeRequest, reading: Reading, before: Value | None) -> str:
        """Return how a read differs from what the change starts from, in words; "" if it does not."""

    def confirm(self, request: ChangeRequest, answer: Answer) -> Finding | None:
        """Return what an answer of success shows; None for any other answer."""


class _OfSetting:
    """A leverage or a margin type, which ``symbolConfig`` shows."""

    kind: Kind
    may_repeat = True

    def read(self, client: RestClient, request: ChangeRequest) -> Reading:
        return reader.read_setting(client, request.symbol, request.margin_asset)

    def is_done(self, request: ChangeRequest, reading: Reading) -> bool:
        return reading.value(self.kind) == request.requested

    def find_difference(self, request: ChangeRequest, reading: Reading, before: Value | None) -> str:
        now = reading.value(self.kind)
        return "" if now == before else difference(self.kind, request.symbol, before, now)


class _Leverage(_OfSetting):
    kind = "leverage"
    endpoint = endpoints.LEVERAGE

    def parameters(self, request: ChangeRequest) -> Parameters:
        return [("symbol", request.symbol), ("leverage", int(request.requested))]

    def confirm(self, request: ChangeRequest, answer: Answer) -> Finding | None:
        changed = _decode(messages.ChangedLeverage, answer)
        if changed is None or (changed.symbol, changed.leverage) != (request.symbol, request.requested):
            return None
        cap = changed.max_notional
        return _found("answer", "applied", value=changed.leverage, max_notional=cap)


class _MarginType(_OfSetting):
    kind = "margin type"
    endpoint = endpoints.MARGIN_TYPE

    def parameters(self, request: ChangeRequest) -> Parameters:
        return [
            ("symbol", request.symbol),
            ("marginType", "ISOLATED" if request.requested == "isolated" else "CROSSED"),
        ]

    def confirm(self, request: ChangeRequest, answer: Answer) -> Finding | None:
        success = _decode(messages.Success, answer)
        return _found("accepted", "unknown") if success is not None and success.code == 200 else None


class _IsolatedMargin:
    endpoint = endpoints.POSITION_MARGIN
    may_repeat = False

    def parameters(self, request: ChangeRequest) -> Parameters:
        amount = Decimal(request.requested)
        parameters: list[tuple[str, str | int]] = [("symbol", request.symbol), ("amount", f"{abs(amount):f}")]
        parameters.append(("type", messages.margin_direction(amount)))
        if request.position_side in {"LONG", "SHORT"}:
            parameters.append(("positionSide", request.position_side))
        return parameters

    def read(self, client: RestClient, request: ChangeRequest) -> Reading:
        return reader.read_isolated_margin(client, request.symbol, request.position_side)

    def is_done(self, request: ChangeRequest, reading: Reading) -> bool:
        return False

    def find_difference(self, request: ChangeRequest, reading: Reading, before: Value | None) -> str:
        side = reading.side if isinstance(reading, IsolatedMargin) else "flat"
        wallet = reading.value("isolated margin")
        if side == request.direction:
            if is_about(before, wallet):
                return ""
            was, is_now = (exact_amount(Decimal(one or 0), request.margin_asset) for one in (before, wallet))
            return f"The change was confirmed at an isolated margin of {was}, and {request.symbol} has {is_now} now."
        now = "no position is open" if side == "flat" else f"the position is {side}"
        return f"The change was confirmed for a {request.direction} position of {request.symbol}, and {now} now."

    def confirm(self, request: ChangeRequest, answer: Answer) -> Finding | None:
        # The answer names amount and direction, and no symbol.
        changed = _decode(messages.ChangedMargin, answer)
        amount = Decimal(request.requested)
        if changed is not None and changed.code == 200:
            if (changed.amount, changed.type) == (abs(amount), messages.margin_direction(amount)):
                return _found("answer", "applied")
            return None
        success = _decode(messages.Success, answer)
        return _found("accepted", "unknown") if success is not None and success.code == 200 else None


KINDS: dict[Kind, KindOfChange] = {
    "leverage": _Leverage(),
    "margin type": _MarginType(),
    "isolated margin": _IsolatedMargin(),
}


def difference(kind: Kind, symbol: str, before: Value | None, now: Value | None) -> str:
    """Say that a change was confirmed from another value than the current one."""
    return f"The change was confirmed from {value_text(kind, before)}, and {symbol} {is_at(kind, now)} now."


def changed_elsewhere(text: str) -> ChangedElsewhere:
    """Return the reason for not sending a change because of what a read shows."""
    return ChangedElsewhere(text, hint=_CHECK_AGAIN)


def _decode(message: type[messages.T], answer: Answer) -> messages.T | None:
    """Return a decoded 200; None for another status, another body, or one with a negative code."""
    if answer.status != 200:
        return None
    error = error_codes.read_error(answer)
    if error is not None and error.code < 0:
        return None
    try:
        return messages.decode(message, answer.body, "")
    except UnexpectedAnswer:
        return None


def _found(source: Source, status: Status, **known: Any) -> Finding:
    closes = status == "applied"
    return Finding(datetime.now().astimezone(), source, status, closes=closes, http_status=200, **known)
