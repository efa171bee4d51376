"""What belongs together is read at the same time, and once more if it may be stale."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest

from leverage_nb.account import Account, service_of
from leverage_nb.changes.account_reader import SymbolView
from leverage_nb.errors import (
    InvalidLeverage,
)
from leverage_nb.risk.outlook import Outlook
from leverage_nb.simulator import Simulator
from tests.arrivals import record_requests


def test_a_current_leverage_above_the_tiers_has_no_figures(account: Account) -> None:
    """If the maximum has fallen below the current leverage, the preview has no figures of the current one."""
    state = account.state()
    settings = {**state.settings, "SOLUSDT": replace(state.settings["SOLUSDT"], leverage=125)}
    outlook = Outlook(replace(state, settings=settings), account.tiers("SOLUSDT"))
    preview = service_of(account).preview_at(SymbolView(outlook, replace(state, settings=settings)), 50)
    assert preview.before == 125
    assert np.isnan(preview.max_notional[0])
    assert "nan" not in str(preview)
    with pytest.raises(InvalidLeverage):
        service_of(account).preview_at(SymbolView(outlook, state), 101)


def test_a_preview_reads_everything_at_the_same_time(account: Account, simulator: Simulator) -> None:
    """The four reads of a preview are sent at the same time, and applying it sends only the POST."""
    account.margin_asset("BTCUSDT")
    arrived = record_requests(simulator)
    simulator.inject("late_answer", on="GET *", times=None, seconds=1.5)
    started = time.monotonic()
    preview = account.preview("BTCUSDT", 10)
    assert time.monotonic() - started < 4.5  # one after the other they take 6 s
    simulator.clear_faults()
    just_read = replace(preview.setting, read_at=time.monotonic())  # not the delayed answer of a busy machine
    assert replace(preview, setting=just_read).apply().status == "applied"
    assert sorted(arrived[:4]) == [
        "GET /fapi/v1/accountConfig", "GET /fapi/v1/symbolConfig", "GET /fapi/v3/account", "GET /fapi/v3/positionRisk",
    ]  # fmt: skip
    assert arrived[4:] == ["POST /fapi/v1/leverage"]


def test_previews_and_plans_repeat_a_stale_read(account: Account, simulator: Simulator) -> None:
    """A read that shows the value before the exchange's latest answer is repeated, for a preview and for a plan."""
    account.set_leverage("BTCUSDT", 10)
    simulator.inject("stale_read", seconds=30)
    assert account.preview("BTCUSDT", 20).before == 10
    account.set_leverage("SOLUSDT", 30)
    simulator.inject("stale_read", seconds=30)
    assert account.plan({"SOLUSDT": 20}).rows[0].before == 30
