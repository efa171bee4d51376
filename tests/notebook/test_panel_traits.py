"""The browser may write the leverage, and nothing else."""

from __future__ import annotations

import pytest

from leverage_nb.notebook.panel import LeveragePanel


def test_the_browser_can_write_the_leverage_only(panel: LeveragePanel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The browser can change the leverage; everything else, and a leverage out of range, is restored and sent again."""
    panel.select("ETHUSDT")
    old = panel.table
    panel.select("BTCUSDT")
    shown, sent = panel.table, []
    monkeypatch.setattr(panel, "send_state", lambda names: sent.extend(names))
    panel.set_state(
        {"table": old, "question": {"number": 7}, "undo": "Undo 1x → 2x", "symbol": "ETHUSDT", "leverage": 33}
    )
    assert (panel.table, panel.question, panel.undo, panel.symbol, panel.leverage) == (shown, {}, "", "BTCUSDT", 33)
    assert {"table", "question", "undo", "symbol"} <= set(sent)
    sent.clear()
    panel.set_state({"leverage": 151})
    assert (panel.leverage, sent) == (33, ["leverage"])
