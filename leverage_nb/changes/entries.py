"""What the journal holds: attempts, what was found of each, and which tiers were seen when."""

from __future__ import annotations

import os
import socket
import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from leverage_nb.changes.record import LeverageChange, Status

# Tells this process from every other that writes to the same file, also after process numbers start anew.
_PROCESS = f"{socket.gethostname()} {os.getpid()} {uuid.uuid4().hex[:8]}"
_PROCESS_ID = os.getpid()

Source = Literal["answer", "no answer", "symbolConfig", "stream", "not sent"]


@dataclass(frozen=True)
class Finding:
    """One thing learnt about an attempt. The last one holds.

    Attributes:
        found_at: When.
        source: "answer", "no answer", "symbolConfig" (a look at the setting), "stream" (an event) or "not sent".
        status: What is claimed of the change from here on.
        closes: Whether nothing more is awaited of the attempt.
        leverage: The leverage answered or seen.
        max_notional: The largest position answered or seen.
        as_of: When the look was taken.
        code: The exchange's error code.
        http_status: The HTTP status of the answer.
        note: In words.
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


@dataclass(frozen=True)
class Attempt:
    """One signed POST, as it was written down before it left, with what was found since.

    Attributes:
        number: Its place in the journal; 0 before it has one.
        begun_at: When it was written down.
        venue: The venue's name.
        address: The venue's address.
        account: Whose key, as a fingerprint.
        symbol: Binance's symbol.
        margin_asset: What the symbol's amounts are in.
        before: The leverage that was read before.
        requested: The leverage asked for.
        timestamp_ms: The request's timestamp, by the exchange's clock as known here.
        recv_window_ms: For how long after it the exchange may act.
        process: Which process sent it.
        undoes: The number of the attempt that this one takes back.
        plan: The plan it belongs to.
        findings: In the order they were made.
    """

    number: int
    begun_at: datetime
    venue: str
    address: str
    account: str
    symbol: str
    margin_asset: str
    before: int
    requested: int
    timestamp_ms: int
    recv_window_ms: int
    process: str
    undoes: int | None = None
    plan: str | None = None
    findings: tuple[Finding, ...] = ()

    @property
    def is_open(self) -> bool:
        """Whether the exchange may still act on it, as far as has been found."""
        return not any(finding.closes for finding in self.findings)

    @property
    def identity(self) -> tuple[object, ...]:
        """What no other attempt has, whatever its number."""
        return self.symbol, self.timestamp_ms, self.process

    @property
    def is_ours(self) -> bool:
        """Whether this very process sent it."""
        return self.process == this_process()

    @property
    def status(self) -> Status:
        """What is claimed of it now."""
        return self.findings[-1].status if self.findings else "unknown"

    @property
    def wants_another_look(self) -> bool:
        """Whether it ended as not applied on the strength of a single look: that its time bounds it is inferred."""
        looks = [finding for finding in self.findings if finding.closes]
        return len(looks) == 1 and looks[0].source == "symbolConfig" and self.status in {"not_applied", "superseded"}

    @property
    def change(self) -> LeverageChange:
        """Its record, by the last finding."""
        last = self.findings[-1] if self.findings else None
        seen = last is not None and last.source in {"symbolConfig", "stream"} and last.status != "unknown"
        answered = last is not None and last.source == "answer" and last.status == "applied"
        return LeverageChange(
            venue=self.venue,
            account=self.account,
            symbol=self.symbol,
            before=self.before,
            after=last.leverage if last and (seen or answered) else None,
            requested=self.requested,
            max_notional=last.max_notional if last else None,
            status=self.status,
            sent_at=None if self.status == "not_sent" else self.begun_at,
            confirmed_by=last.source if last and (seen or answered) else None,  # type: ignore[arg-type]  # one of three
            note=last.note if last else "",
            margin_asset=self.margin_asset,
            as_of=last.as_of if last else None,
            number=self.number,
        )

    def found(self, finding: Finding) -> Attempt:
        """Itself with one finding more."""
        return replace(self, findings=(*self.findings, finding))


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


class StillOpenError(Exception):
    """Another attempt on the same account and symbol is open.

    Attributes:
        attempt: That attempt.
    """

    def __init__(self, attempt: Attempt) -> None:
        super().__init__(attempt.symbol)
        self.attempt = attempt


def this_process() -> str:
    """A name for this process that no other process has."""
    return _PROCESS if os.getpid() == _PROCESS_ID else f"{_PROCESS} fork {os.getpid()}"
