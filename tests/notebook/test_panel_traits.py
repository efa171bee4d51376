"""The browser gets the whole of its side, and may write the leverage and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from leverage_nb.notebook import panel_traits
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


def test_every_file_of_the_browser_side_is_joined() -> None:
    """Each file of the folder is part of the module that the browser gets, once."""
    folder = Path(panel_traits.__file__).parent / "panel_js"
    files = [path.read_text(encoding="utf-8") for path in folder.iterdir()]
    assert files
    assert [LeveragePanel._esm.count(text) for text in files] == [1] * len(files)
