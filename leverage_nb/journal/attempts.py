"""Attempt and Finding: how the journal stores a change."""

from __future__ import annotations

import os
import socket
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from leverage_nb.change import CHANGES, Change, Kind, Status, Value, value_text

# Random, because process numbers are used again.
_RUN = uuid.uuid4().hex[:8]

Source = Literal["answer", "accepted", "no answer", "symbolConfig", "history", "not sent"]


@dataclass(frozen=True)
class Finding:
    """One finding about the outcome of an attempt. The last one counts.

    Attributes:
        found_at: When it was found.
        source: "answer" (the exchange's own), "accepted" (an answer of success that does not name what was changed),
            "no answer", "symbolConfig" (a read of the setting), "history" (a read of the history of isolated margin)
            or "not sent".
        status: The outcome.
        closes: Whether the outcome is final.
        value: The value in the answer or the read.
        max_notional: The max notional in the answer or the read, in the margin asset.
        as_of: When the request for the read was sent.
        code: The exchange's error code.
        http_status: The HTTP status of the answer.
        note: Further information, as text.
        claims: The entry of the exchange's history that belongs to this attempt, and to no other.
    """

    found_at: datetime
    source: Source
    status: Status
    closes: bool
    value: Value | None = None
    max_notional: float | None = None
    as_of: datetime | None = None
    code: int | None = None
    http_status: int | None = None
    note: str = ""
    claims: str | None = None


_NEVER = datetime.fromtimestamp(0, tz=UTC)


def _new_token() -> str:
    return uuid.uuid4().hex


def _this_process() -> str:
    """Return a unique name of this process."""
    return f"{socket.gethostname()} {os.getpid()} {_RUN}"


@dataclass(frozen=True)
class Attempt:
    """One signed POST, recorded before it is sent, with the findings about its outcome.

    Attributes:
        venue: The venue's name.
        address: The address it was sent to.
        account: The key's fingerprint. It identifies the account: one exchange may have several addresses.
        symbol: Binance's symbol.
        margin_asset: The asset of the symbol's amounts.
        before: The value before, as read; None if it was not set.
        requested: The requested value.
        recv_window_ms: Milliseconds after its timestamp in which the exchange may accept it.
        undoes: The number of the attempt that this one undoes.
        plan: The name of the plan that it belongs to.
        kind: What it changes.
        position_side: Isolated margin: the side whose margin it changes; "" otherwise.
        direction: Isolated margin: "long" or "short"; "" otherwise, and in entries of earlier versions.
        token: Identifies it before it has a number.
        begun_at: When it was recorded.
        timestamp_ms: The request's timestamp, by the exchange's clock as known on this machine.
        process: The process that sent it.
        number: Its number in the journal; 0 before it is recorded.
        findings: The findings, oldest first.
    """

    venue: str
    address: str
    account: str
    symbol: str
    margin_asset: str
    before: Value | None
    requested: Value
    recv_window_ms: int
    undoes: int | None = None
    plan: str | None = None
    kind: Kind = "leverage"
    position_side: str = ""
    direction: str = ""
    token: str = field(default_factory=_new_token)
    begun_at: datetime = _NEVER
    timestamp_ms: int = 0
    process: str = field(default_factory=_this_process)
    number: int = 0
    findings: tuple[Finding, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether the exchange may still execute it."""
        return not any(finding.closes for finding in self.findings)

    @property
    def is_ours(self) -> bool:
        """Whether this process sent it."""
        return self.process == _this_process()

    @property
    def status(self) -> Status:
        """The outcome by the last finding."""
        return self.findings[-1].status if self.findings else "unknown"

    @property
    def accepted(self) -> Finding | None:
        """The exchange's answer of success, if it did not name what was changed."""
        return next((finding for finding in self.findings if finding.source == "accepted"), None)

    @property
    def step(self) -> str:
        """The change in short, as ``BTCUSDT 20x → 10x``; without a leverage before it was not set."""
        not_set = f"{value_text(self.kind, None)} → " if self.kind == "leverage" and self.before is None else ""
        return f"{self.symbol} {not_set}{self.change.step}"

    @property
    def change(self) -> Change:
        """The record of the change, by the last finding."""
        last = self.findings[-1] if self.findings else None
        confirmed = last is not None and last.status != "unknown"
        read = confirmed and last is not None and last.source in {"symbolConfig", "history"}
        answered = last is not None and last.source == "answer" and last.status == "applied"
        return CHANGES[self.kind](
            venue=self.venue,
            account=self.account,
            symbol=self.symbol,
            before=self.before,
            after=last.value if last and (read or answered) else None,
            requested=self.requested,
            max_notional=last.max_notional if last else None,
            status=self.status,
            sent_at=None if self.status == "not_sent" else self.begun_at,
            confirmed_by=last.source if read and last else "answer" if answered else None,  # type: ignore[arg-type]
            note=last.note if last else "",
            margin_asset=self.margin_asset,
            as_of=last.as_of if last else None,
            number=self.number or None,
            undoes=self.undoes,
            is_final=not self.is_open,
            position_side=self.position_side,
        )

    def with_finding(self, finding: Finding) -> Attempt:
        """Return the attempt with one more finding."""
        return replace(self, findings=(*self.findings, finding))


@dataclass(frozen=True)
class Applied:
    """A final finding that a change of a setting was applied.

    Attributes:
        kind: What was changed.
        value: The value in the answer, or in the read that confirmed it.
        at: When the answer came, or the read.
    """

    kind: Kind
    value: Value
    at: datetime


@dataclass(frozen=True)
class Latest:
    """The latest entries of one symbol of an account.

    Attributes:
        open: The attempt that the exchange may still execute; None without one.
        applied: The latest changes that were applied, at most one of each setting.
    """

    open: Attempt | None = None
    applied: tuple[Applied, ...] = ()

    def of(self, kind: Kind) -> Applied | None:
        """Return the latest applied change of one setting; None without one."""
        return next((applied for applied in self.applied if applied.kind == kind), None)


@dataclass(frozen=True)
class SeenTiers:
    """One version of the tiers, as an account has read it.

    Attributes:
        digest: The hash of its content.
        first_seen_at: When it was read first.
        last_seen_at: When it was read last.
    """

    digest: str
    first_seen_at: datetime
    last_seen_at: datetime
