"""Messages of the user-data stream become typed events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from leverage_nb.binance.events import (
    AccountEvent,
    KeyExpiredEvent,
    LeverageEvent,
    MarginCallEvent,
    ModeEvent,
    OtherEvent,
    read_event,
)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (
            '{"e":"ACCOUNT_CONFIG_UPDATE","E":1611646737479,"T":1611646737476,"ac":{"s":"BTCUSDT","l":25}}',
            LeverageEvent,
        ),
        ('{"e":"ACCOUNT_CONFIG_UPDATE","E":1611646737479,"T":1611646737476,"ai":{"j":true}}', ModeEvent),
        (
            '{"e":"MARGIN_CALL","E":1587727187525,"cw":"3.16812045","p":[{"s":"ETHUSDT","ps":"LONG","pa":"1.327",'
            '"mt":"CROSSED","iw":"0","mp":"187.17127","up":"-1.166074","mm":"1.614445"}]}',
            MarginCallEvent,
        ),
        (
            '{"e":"ACCOUNT_UPDATE","E":1,"T":1,"a":{"m":"ORDER","B":[{"a":"USDT","wb":"1","cw":"1","bc":"0"}],'
            '"P":[{"s":"BTCUSDT","pa":"0"}]}}',
            AccountEvent,
        ),
        ('{"e":"listenKeyExpired","E":1736996475556,"listenKey":"x"}', KeyExpiredEvent),
        ('{"stream":"x","data":{"e":"ACCOUNT_CONFIG_UPDATE","E":1,"T":1,"ac":{"s":"B","l":"25"}}}', LeverageEvent),
        ('{"e":"ORDER_TRADE_UPDATE","E":1,"T":1,"o":{}}', OtherEvent),
        ('{"e":"aggTrade","E":1}', type(None)), ("[1]", type(None)), ("<html>", type(None)),
        ('{"e":"ACCOUNT_CONFIG_UPDATE","E":1}', type(None)), (b"\xff", type(None)),
        ('{"result":null,"id":1}', type(None)),
        ('{"e":"ACCOUNT_CONFIG_UPDATE","E":1e30,"T":1,"ac":{"s":"B","l":5}}', type(None)),
        ('{"e":"ACCOUNT_CONFIG_UPDATE","T":100000000000001,"ac":{"s":"B","l":5}}', type(None)),
        ('{"e":"ACCOUNT_CONFIG_UPDATE","T":-1,"ac":{"s":"B","l":5}}', type(None)),
        ('{"e":"ACCOUNT_CONFIG_UPDATE","T":100000000000000,"ac":{"s":"B","l":5}}', LeverageEvent),
        ('{"e":"ACCOUNT_CONFIG_UPDATE","T":1,"ac":{"s":"B","l":100001}}', type(None)),
        ('{"e":"ACCOUNT_CONFIG_UPDATE","T":1,"ac":{"s":"' + "B" * 41 + '","l":5}}', type(None)),
        ('{"e":"ACCOUNT_CONFIG_UPDATE","T":1,"ac":{"s":"<b>","l":5}}', type(None)),
        ('{"e":"ACCOUNT_CONFIG_UPDATE","T":1,"ac":{"s":"","l":5}}', type(None)),
        ('{"e":"ACCOUNT_CONFIG_UPDATE","T":1,"ac":{"s":"B","l":true}}', type(None)),
        ('{"e":"ACCOUNT_UPDATE","T":1,"a":{"m":"ORDER","P":{"s":"B"}}}', type(None)),
        ('{"e":"MARGIN_CALL","T":1,"p":"B"}', type(None)),
        ('{"e":"ACCOUNT_UPDATE","T":1,"a":{"m":"' + "x" * 65 + '"}}', type(None)),
        ('{"e":"ACCOUNT_CONFIG_UPDATE","T":1,"ac":{"s":"B","l":5}}' + " " * 1_000_000, type(None)),
    ],
)  # fmt: skip
def test_documented_events_are_read_and_all_other_messages_ignored(message: Any, kind: type[Any]) -> None:
    """Binance's own examples are decoded; unknown, malformed, oversized and other messages give no event."""
    assert type(read_event(message)) is kind


def test_the_fields_of_an_event() -> None:
    """An event has its symbol, leverage and the exchange's transaction time."""
    event = read_event('{"e":"ACCOUNT_CONFIG_UPDATE","E":1611646737479,"T":1611646737476,"ac":{"s":"BTCUSDT","l":25}}')
    assert event == LeverageEvent("BTCUSDT", 25, datetime.fromtimestamp(1611646737.476, UTC))
    assert event.source == "stream"


def test_a_row_with_an_odd_name_is_left_out_of_an_event() -> None:
    """Positions and balances whose names are no words are left out; the event and its other rows count."""
    rows = '[{"s":"BTCUSDT"},{"s":"BTC\\nUSDT"},null,{"s":"$x$"},{"s":5},{"s":"ETHUSDT"}]'
    assets = '[{"a":"<b>"},{"a":"USDT"}]'
    update = read_event(f'{{"e":"ACCOUNT_UPDATE","T":1,"a":{{"m":"ORDER","B":{assets},"P":{rows}}}}}')
    call = read_event(f'{{"e":"MARGIN_CALL","T":1,"p":{rows}}}')
    assert isinstance(update, AccountEvent)
    assert isinstance(call, MarginCallEvent)
    assert update.symbols == call.symbols == ("BTCUSDT", "ETHUSDT")
    assert update.assets == ("USDT",)


def test_a_leverage_of_zero_is_not_set() -> None:
    """As in reads, 0 is no leverage."""
    event = read_event('{"e":"ACCOUNT_CONFIG_UPDATE","E":1,"T":1,"ac":{"s":"BTCUSDT","l":0}}')
    assert isinstance(event, LeverageEvent)
    assert event.leverage is None
