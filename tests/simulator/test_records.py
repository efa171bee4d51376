"""The records of changes that arrived and of changes that were executed."""

from __future__ import annotations

import requests

from leverage_nb.simulator import Simulator
from tests.simulator.calling import LEVERAGE, MARGIN, MARGIN_TYPE, Call, form_headers, signed_text


def test_every_kind_of_change_is_recorded(simulator: Simulator, call: Call) -> None:
    """Arrivals and executions name the kind of change; ``received`` has symbol and timestamp of all of them."""
    call("POST", LEVERAGE, symbol="XRPUSDT", leverage=10)
    call("POST", MARGIN_TYPE, symbol="XRPUSDT", marginType="ISOLATED")
    call("POST", MARGIN, symbol="ETHUSDT", amount=100, type=2)
    call("POST", "/fapi/v1/positionSide/dual", dualSidePosition="true")
    exchange = simulator.exchange
    expected = [("XRPUSDT", "leverage"), ("XRPUSDT", "margin type"), ("ETHUSDT", "isolated margin")]
    assert [(one.symbol, one.kind) for one in exchange.arrivals] == expected
    assert [(one.symbol, one.kind) for one in exchange.executed] == expected
    assert exchange.received == [(one.symbol, one.timestamp) for one in exchange.executed]


def test_executed_and_received_record_every_change(simulator: Simulator, call: Call) -> None:
    """A refused change is received but not executed; a change by another client is executed without a timestamp."""
    exchange = simulator.exchange
    call("POST", "/fapi/v1/leverage", symbol="XRPUSDT", leverage=500)
    call("POST", "/fapi/v1/leverage", symbol="XRPUSDT", leverage=10)
    exchange.change_elsewhere("XRPUSDT", 20)
    exchange.change_elsewhere("XRPUSDT", 500)
    assert [symbol for symbol, _ in exchange.received] == ["XRPUSDT"] * 2
    assert [(run.before, run.after, run.timestamp is None) for run in exchange.executed] == [
        (50, 10, False), (10, 20, True),
    ]  # fmt: skip


def test_only_authenticated_changes_are_recorded(simulator: Simulator, call: Call) -> None:
    """A change without the key, or with a wrong signature, is not recorded as received."""
    form = signed_text(simulator, symbol="XRPUSDT", leverage=10)
    url = simulator.rest_url + LEVERAGE
    assert requests.post(url + "?" + form, timeout=30).json()["code"] == -2014
    forged = requests.post(
        url, data=form.replace("leverage=10", "leverage=11"), headers=form_headers(simulator), timeout=30
    )
    assert forged.json()["code"] == -1022
    assert simulator.exchange.received == []


def test_the_records_are_bounded(simulator: Simulator) -> None:
    """The record of executed changes keeps the latest 100,000."""
    exchange = simulator.exchange
    exchange.change_elsewhere("XRPUSDT", 10)
    exchange.executed.extend(exchange.executed * 99_999)
    exchange.change_elsewhere("XRPUSDT", 11)
    exchange.change_elsewhere("XRPUSDT", 12)
    assert len(exchange.executed) == 100_000
    assert [run.after for run in exchange.executed[-3:]] == [10, 11, 12]
