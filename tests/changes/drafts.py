"""Attempts that a test records without sending them."""

from __future__ import annotations

from typing import Any

from leverage_nb.account import Account, service_of
from leverage_nb.journal.attempts import Attempt


def draft(account: Account, symbol: str, before: int, requested: int, **more: Any) -> Attempt:
    """Return an attempt of an account that is not recorded yet."""
    client = service_of(account).client
    return Attempt(
        venue=client.venue.label, address=client.venue.rest_url, account=client.identity, symbol=symbol,
        margin_asset="USDT", before=before, requested=requested, recv_window_ms=client.recv_window, **more,
    )  # fmt: skip


def begin(account: Account, symbol: str, before: int, requested: int, **more: Any) -> Attempt:
    """Record an attempt that is never sent."""
    service = service_of(account)
    [attempt] = service.journal.begin([draft(account, symbol, before, requested, **more)], service.client.time_ms)
    return attempt
