"""Which requests each action sends: no read twice, none that is not needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

import leverage_nb as lev
from leverage_nb.account import Account
from leverage_nb.simulator import Simulator

TIERS = ["GET /fapi/v1/leverageBracket", "GET /fapi/v1/exchangeInfo"]
SETTING = ["GET /fapi/v1/symbolConfig"]
STATE = ["GET /fapi/v3/positionRisk", "GET /fapi/v3/account", "GET /fapi/v1/accountConfig", *SETTING]
MARK = ["GET /fapi/v1/premiumIndex"]
CHANGE = ["POST /fapi/v1/leverage"]
STREAM = {"POST /fapi/v1/listenKey", "GET /fapi/v1/time"}  # of an open panel, in a thread of its own


def run(line: str) -> Any:
    """Run a ``%leverage`` line in a shell without a kernel."""
    shell = InteractiveShell.instance()
    shell.extension_manager.load_extension("leverage_nb")
    return shell.run_line_magic("leverage", line)


@pytest.fixture
def sent(simulator: Simulator) -> Counter[str]:
    """How often each request has arrived, apart from those of a panel's stream."""
    arrived: Counter[str] = Counter()
    handle = simulator.exchange.handle

    def counting(request: Any, *more: Any, **options: Any) -> Any:
        name = f"{request.method} {request.path}"
        if name not in STREAM:
            arrived[name] += 1
        return handle(request, *more, **options)

    simulator.exchange.handle = counting  # type: ignore[method-assign]  # it answers as before
    return arrived


@pytest.mark.parametrize(
    ("action", "first", "next_time"),
    [
        (lambda a: a.set_leverage("BTCUSDT", 10), TIERS + SETTING + CHANGE, SETTING),
        (lambda a: a.preview("BTCUSDT", 10), TIERS + STATE, STATE),
        (lambda a: a.preview("BTCUSDT", 10).apply(), TIERS + STATE + CHANGE, STATE),
        (lambda _: run("BTCUSDT 10"), TIERS + STATE + CHANGE, STATE),
        (lambda _: run("BTCUSDT 10 -n"), TIERS + STATE, STATE),
        (lambda a: a.tiers("BTCUSDT"), TIERS, []),
        (lambda a: a.setting("BTCUSDT"), TIERS + SETTING, SETTING),
        (lambda a: a.settings(["BTCUSDT", "ETHUSDT"]), TIERS + STATE, STATE),
        (lambda a: a.outlook("BTCUSDT"), TIERS + STATE, STATE),
        (lambda a: a.history(), [], []),
    ],
)
def test_an_action_sends_no_request_twice(
    account: Account,
    sent: Counter[str],
    action: Callable[[Account], Any],
    first: list[str],
    next_time: list[str],
) -> None:
    """The first call reads the tiers too, the next one only what can have changed; a second change is not sent."""
    action(account)
    assert sent == Counter(first)
    sent.clear()
    action(account)
    assert sent == Counter(next_time)


def test_undo_sends_one_read_of_the_account_and_the_change(account: Account, sent: Counter[str]) -> None:
    """An undo reads the account once and posts once."""
    account.set_leverage("BTCUSDT", 10)
    sent.clear()
    account.undo()
    assert sent == Counter(STATE + CHANGE)


def test_a_panel_sends_each_read_once(account: Account, sent: Counter[str]) -> None:
    """Opening a panel reads tiers, account and mark price; its stream reads the settings once more."""
    lev.LeveragePanel(account, "BTCUSDT").close()
    assert sent - Counter(SETTING) in (Counter(TIERS + STATE + MARK) - Counter(SETTING), Counter(TIERS + STATE + MARK))
