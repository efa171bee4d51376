"""Attempts and findings for tests of the journal."""

from __future__ import annotations

from datetime import UTC, datetime

from leverage_nb.journal.attempts import Attempt, Finding

NOW = datetime(2026, 11, 22, 14, 3, 7, 123456, tzinfo=UTC)
APPLIED = Finding(NOW, "answer", "applied", closes=True, value=10, max_notional=230e6, http_status=200)
UNKNOWN = Finding(NOW, "no answer", "unknown", closes=False, note="broken")


def draft(symbol: str = "BTCUSDT", account: str = "key 1", address: str = "http://here") -> Attempt:
    """Return an attempt that is not recorded yet."""
    return Attempt(
        venue="simulator", address=address, account=account, symbol=symbol, margin_asset="USDT", before=20,
        requested=10, recv_window_ms=5000,
    )  # fmt: skip
