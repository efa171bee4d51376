"""Attempts and findings: what the journal stores of a change."""

from __future__ import annotations

import os
import socket
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Literal

from leverage_nb.change import LeverageChange, Status

# Drawn once, so that processes differ also after their numbers have started anew.
_RUN = uuid.uuid4().hex[:8]

Source = Literal["answer", "no answer", "symbolConfig", "not sent"]


@dataclass(frozen=True)
class Finding:
    """One thing found out about an attempt. The last one counts.

    Attributes:
        found_at: When.
        source: "answer" (the exchange's own), "no answer", "symbolConfig" (a read of the setting) or "not sent".
        status: The outcome from here on.
        closes: Whether the outcome is final.
        leverage: The leverage that was answered or read.
        max_notional: The max notional that was answered or read, in the margin asset.
        as_of: When the request for the read was sent.
        code: The exchange's error code.
        http_status: The HTTP status of the answer.
        note: More about it, for people.
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
    """A name for this process that no other process has, a forked one included."""
    return f"{socket.gethostname()} {os.getpid()} {_RUN}"


@dataclass(frozen=True)
class Attempt:
    """One signed POST, recorded before it is sent, with what was found out since.

    Attributes:
        venue: The venue's name.
        address: The address it was sent to.
        account: The key's fingerprint. It identifies the account: one exchange may have several addresses.
        symbol: Binance's symbol.
        margin_asset: The asset of the symbol's amounts.
        before: The leverage that was read before.
        requested: The leverage that was requested.
        recv_window_ms: For how long after its timestamp the exchange may accept it.
        undoes: The number of the attempt that this one takes back.
        plan: The plan it belongs to.
        kind: What it changes.
        token: Identifies it, also before it has a number.
        begun_at: When it was recorded.
        timestamp_ms: The request's timestamp, by the exchange's clock as known here.
        process: Which process sent it.
        number: Its number in the journal; 0 before it has one.
        findings: In the order they were made.
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
        """Whether this very process sent it."""
        return self.process == _this_process()

    @property
    def status(self) -> Status:
        """Its outcome as known now."""
        return self.findings[-1].status if self.findings else "unknown"

    @property
    def step(self) -> str:
        """The change in short, as ``BTCUSDT 20x → 10x``."""
        return f"{self.symbol} {self.before}x → {self.requested}x"

    @property
    def change(self) -> LeverageChange:
        """Its record, by the last finding."""
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
        )

    def with_finding(self, finding: Finding) -> Attempt:
        """Return it with one finding more."""
        return replace(self, findings=(*self.findings, finding))


@dataclass(frozen=True)
class Applied:
    """The exchange's own answer that a symbol is at a leverage.

    Attributes:
        leverage: The leverage.
        at: When the answer came.
    """

    leverage: int
    at: datetime


@dataclass(frozen=True)
class Latest:
    """What the journal knows of one symbol of an account.

    Attributes:
        open: The attempt that the exchange may still execute, if there is one.
        applied: The latest answer of the exchange that a change was applied, if there is one.
    """

    open: Attempt | None = None
    applied: Applied | None = None


@dataclass(frozen=True)
class SeenTiers:
    """Tiers as an account saw them.

    Attributes:
        digest: Of their content.
        first_seen_at: When they were first seen so.
        last_seen_at: When they were last seen so.
    """

    digest: str
    first_seen_at: datetime
    last_seen_at: datetime
