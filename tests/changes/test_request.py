"""A resolved request makes the record of a change that needs no attempt."""

from __future__ import annotations

from dataclasses import replace

from leverage_nb.account import Account, service_of
from leverage_nb.changes.request import ChangeRequest


def test_an_outcome_without_an_attempt_has_what_the_request_knows(account: Account) -> None:
    """The record has venue, account, symbol, leverages and effects of the request, and no time of sending."""
    request = ChangeRequest("BTCUSDT", 10, "USDT", before=20, effects=(("available", "1 → 2"),))
    change = request.outcome(service_of(account).client, "not_sent")
    assert (change.venue, change.account, change.symbol) == ("simulator", account.label, "BTCUSDT")
    assert (change.before, change.requested, change.after, change.status) == (20, 10, None, "not_sent")
    assert (change.margin_asset, change.effects) == ("USDT", (("available", "1 → 2"),))
    assert (change.sent_at, change.number) == (None, None)


def test_an_unchanged_request_rests_on_the_read_of_the_setting(account: Account) -> None:
    """The record of an unchanged leverage has the leverage, the max notional and the time of the read."""
    setting = replace(account.setting("BTCUSDT"), leverage=10)
    change = ChangeRequest("BTCUSDT", 10).unchanged(service_of(account).client, setting, "a note")
    assert (change.status, change.before, change.after) == ("unchanged", 10, 10)
    assert (change.confirmed_by, change.as_of, change.note) == ("symbolConfig", setting.as_of, "a note")
    assert change.max_notional == setting.max_notional
