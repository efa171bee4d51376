"""Attempt and Finding: how the journal stores a change."""

from __future__ import annotations

import os
import socket
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from leverage_nb.change import LeverageChange, Status
from leverage_nb.formatting import times

# Random, because process numbers are used again.
_RUN = uuid.uuid4().hex[:8]

Source = Literal["answer", "no answer", "symbolConfig", "not sent"]


@dataclass(frozen=True)
class Finding:
    """One finding about the outcome of an attempt. The last one counts.

    Attributes:
        found_at: When it was found.
        source: "answer" (the exchange's own), "no answer", "symbolConfig" (a read of the setting) or "not sent".
        status: The outcome.
        closes: Whether the outcome is final.
        leverage: The leverage in the answer or the read.
        max_notional: The max notional in the answer or the read, in the margin asset.
        as_of: When the request for the read was sent.
        code: The exchange's error code.
        http_status: The HTTP status of the answer.
        note: Further information, as text.
    """

    found_at: datetime
    source: Source
    status: Status
    closes: bool
    leverage: int | None = None
    max_notional: float | None = None
    as_of: datetime | None = None
    code: int | None = None
    http_status: int | None = None
    note: str = ""


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
        before: The leverage before, as read; None if it was not set.
        requested: The requested leverage.
        recv_window_ms: Milliseconds after its timestamp in which the exchange may accept it.
        undoes: The number of the attempt that this one undoes.
        plan: The name of the plan that it belongs to.
        kind: What it changes.
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
    before: int | None
    requested: int
    recv_window_ms: int
    undoes: int | None = None
    plan: str | None = None
    kind: Literal["leverage"] = "leverage"
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
    def step(self) -> str:
        """The change in short, as ``BTCUSDT 20x → 10x``."""
        return f"{self.symbol} {times(self.before)} → {self.requested}x"

    @property
    def change(self) -> LeverageChange:
        """The record of the change, by the last finding."""
        last = self.findings[-1] if self.findings else None
        read = last is not None and last.source == "symbolConfig" and last.status != "unknown"
        answered = last is not None and last.source == "answer" and last.status == "applied"
        return LeverageChange(
            venue=self.venue,
            account=self.account,
            symbol=self.symbol,
            before=self.before,
            after=last.leverage if last and (read or answered) else None,
            requested=self.requested,
            max_notional=last.max_notional if last else None,
            status=self.status,
            sent_at=None if self.status == "not_sent" else self.begun_at,
            confirmed_by="symbolConfig" if read else "answer" if answered else None,
            note=last.note if last else "",
            margin_asset=self.margin_asset,
            as_of=last.as_of if last else None,
            number=self.number or None,
            undoes=self.undoes,
        )

    def with_finding(self, finding: Finding) -> Attempt:
        """Return the attempt with one more finding."""
        return replace(self, findings=(*self.findings, finding))


@dataclass(frozen=True)
class Applied:
    """An answer of the exchange that a change was applied.

    Attributes:
        leverage: The leverage in the answer.
        at: When the answer came.
    """

    leverage: int
    at: datetime


@dataclass(frozen=True)
class Latest:
    """The latest entries of one symbol of an account.

    Attributes:
        open: The attempt that the exchange may still execute; None without one.
        applied: The latest answer of the exchange that a change was applied; None without one.
    """

    open: Attempt | None = None
    applied: Applied | None = None


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
