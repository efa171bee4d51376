"""Isolated margin: what may be added and reduced, its effect on the account, and its history.

In the opening account ETHUSDT is isolated at 10x: a short of 60 at 2,950 with 17,700 in its wallet, mark 2,812.40. Its
notional is 168,744, its profit 8,256, its initial margin 16,874.40, its maintenance margin (0.4 %) 674.976.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from leverage_nb.simulator import Simulator
from leverage_nb.simulator.account import Account, Refused
from leverage_nb.simulator.isolated_margin import MarginChange, MarginHistory, most_added, most_reduced, move_margin
from leverage_nb.simulator.liquidation import liquidation_price
from tests.simulator.calling import MARGIN, MARGIN_HISTORY, Call, signed_call, wait_for
from tests.simulator.openings import buy, opened

ETH = {"symbol": "ETHUSDT", "amount": "100", "type": 1}
NOW = 1_700_000_000_000
DAY = 86_400_000


def btc(amount: str, **more: str) -> dict[str, str]:
    """Return a position of BTCUSDT entered at 86,000, with 8,600 in its isolated wallet; the mark is 86,412.50."""
    row = {"symbol": "BTCUSDT", "positionSide": "BOTH", "positionAmt": amount, "entryPrice": "86000"}
    return row | {"isolatedWallet": "8600"} | more


def isolated(*positions: dict[str, str], **more: Any) -> Account:
    """Return an account with 20,000 USDT and isolated positions of BTCUSDT at 10x."""
    facts = {"wallets": {"USDT": "20000"}, "isolated": ["BTCUSDT"], "leverage": {"BTCUSDT": 10}}
    return opened(**(facts | {"positions": list(positions)} | more))


def code_of(move: Callable[[], object]) -> int:
    """Return the code of a refusal; 0 without one."""
    try:
        move()
    except Refused as refused:
        return refused.code
    return 0


# -- liquidation prices, by hand -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("amount", "prices"),
    [
        # Tier 1: rate 0.4 %, cum 0. Price = (wallet + cum - side x amount x entry) / (amount x rate - side x amount),
        # https://www.binance.com/en/support/faq/b3c689c1f50a44cabb3a84e663b81d93, with 8,600, 9,600, 9,100 as wallet.
        # Long:  (8,600 - 86,000) / (0.004 - 1) = 77,400 / 0.996, then 76,400 / 0.996 and 76,900 / 0.996.
        ("1", ["77710.843373", "76706.827309", "77208.835341"]),
        # Short: (8,600 + 86,000) / (0.004 + 1) = 94,600 / 1.004, then 95,600 / 1.004 and 95,100 / 1.004.
        ("-1", ["94223.107570", "95219.123506", "94721.115538"]),
    ],
)
def test_changed_margin_moves_the_liquidation_price(amount: str, prices: list[str]) -> None:
    """Adding 1,000 and then reducing by 500 moves the liquidation price as Binance's formula says."""
    account = isolated(btc(amount))
    [held] = account.positions
    seen = [liquidation_price(account, held)]
    for moved in (1_000, -500):
        move_margin(account, "BTCUSDT", "BOTH", Decimal(moved))
        seen.append(liquidation_price(account, held))
    assert seen == [pytest.approx(Decimal(price), abs=Decimal("1e-6")) for price in prices]


# -- the largest amounts -------------------------------------------------------------------------------------------


def test_the_most_that_can_be_reduced_leaves_the_initial_margin() -> None:
    """Wallet and profit less initial margin can be reduced: 17,700 + 8,256 - 16,874.40 = 9,081.60."""
    with Simulator() as simulator:
        account = simulator.exchange.account
    short = next(one for one in account.positions if one.symbol == "ETHUSDT")
    assert most_reduced(account, short) == Decimal("9081.6")
    assert code_of(lambda: move_margin(account, "ETHUSDT", "BOTH", Decimal("-9081.60000001"))) == -4051
    assert code_of(lambda: move_margin(account, "ETHUSDT", "BOTH", Decimal("-9081.6"))) == 0
    assert short.isolated_wallet == Decimal("8618.4")


def test_profit_cannot_be_taken_below_the_maintenance_margin() -> None:
    """With a large profit the wallet keeps the maintenance margin: 1,000 - 86,412.50 x 0.4 % = 654.35."""
    account = isolated(btc("1", entryPrice="60000", isolatedWallet="1000"))
    assert most_reduced(account, account.positions[0]) == Decimal("654.35")


def test_nothing_can_be_reduced_at_a_loss() -> None:
    """A position whose margin is below the initial margin keeps all of it."""
    account = isolated(btc("1", entryPrice="90000"))
    assert most_reduced(account, account.positions[0]) == 0
    assert code_of(lambda: move_margin(account, "BTCUSDT", "BOTH", Decimal("-0.00000001"))) == -4051


def test_the_most_that_can_be_added_is_the_available_balance(simulator: Simulator, call: Call) -> None:
    """In the opening account 82,300 + 12,062.50 - 21,603.125 - 650 = 72,109.375 are available, and can be added."""
    assert most_added(simulator.exchange.account, "USDT") == Decimal("72109.375")
    assert call("POST", MARGIN, symbol="ETHUSDT", amount="72109.37500001", type=1)[1]["code"] == -4050
    assert call("POST", MARGIN, symbol="ETHUSDT", amount="72109.375", type=1)[0] == 200
    assert simulator.exchange.account.available("USDT") == 0


def test_unrealized_profit_cannot_be_added() -> None:
    """The bound is the cross wallet less the maintenance margin of cross positions and the margin of isolated orders.

    Cross wallet 1,000 - 281.24 = 718.76, orders 2,800 / 20 = 140, maintenance margin 8,641.25 x 0.4 % = 34.565.
    """
    cross = {"symbol": "BTCUSDT", "positionSide": "BOTH", "positionAmt": "0.1", "entryPrice": "80000"}
    held = {"symbol": "ETHUSDT", "positionSide": "BOTH", "positionAmt": "1", "entryPrice": "2812.4"}
    account = opened(
        positions=[cross, held | {"isolatedWallet": "281.24"}],
        isolated=["ETHUSDT"],
        orders=[buy("ETHUSDT", "1", "2800")],
    )
    assert account.available("USDT") == Decimal("787.9475")
    assert most_added(account, "USDT") == Decimal("544.195")
    assert code_of(lambda: move_margin(account, "ETHUSDT", "BOTH", Decimal("544.19500001"))) == -4050
    assert code_of(lambda: move_margin(account, "ETHUSDT", "BOTH", Decimal("544.195"))) == 0


# -- the endpoint --------------------------------------------------------------------------------------------------


def test_added_margin_shows_everywhere(call: Call) -> None:
    """The wallet of the position grows, cross wallet and available balance shrink by as much; the wallet stays."""
    before = call("GET", "/fapi/v3/account")[1]
    assert call("POST", MARGIN, symbol="ETHUSDT", amount="100.5", type=1) == (
        200, {"code": 200, "msg": "Successfully modify position margin.", "amount": 100.5, "type": 1},
    )  # fmt: skip
    after = call("GET", "/fapi/v3/account")[1]

    def moved(row: Callable[[Any], Any], name: str) -> Decimal:
        return Decimal(row(after)[name]) - Decimal(row(before)[name])

    def usdt(whole: Any) -> Any:
        return next(row for row in whole["assets"] if row["asset"] == "USDT")

    def eth(whole: Any) -> Any:
        return next(row for row in whole["positions"] if row["symbol"] == "ETHUSDT")

    assert moved(eth, "isolatedWallet") == moved(eth, "isolatedMargin") == Decimal("100.5")
    assert moved(usdt, "crossWalletBalance") == moved(usdt, "availableBalance") == Decimal("-100.5")
    assert moved(usdt, "walletBalance") == moved(usdt, "marginBalance") == moved(eth, "initialMargin") == 0
    [config] = call("GET", "/fapi/v1/symbolConfig", symbol="ETHUSDT")[1]
    assert config["isAutoAddMargin"] is False
    answer = call("POST", MARGIN, symbol="ETHUSDT", amount="100.5", type=2, positionSide="BOTH")
    assert answer[1] == {"code": 200, "msg": "Successfully modify position margin.", "amount": 100.5, "type": 2}
    assert call("GET", "/fapi/v3/account")[1] == before


@pytest.mark.parametrize(
    ("changed", "code", "text"),
    [
        ({"symbol": None}, -1102, "'symbol'"), ({"symbol": "FOO"}, -1121, "Invalid symbol."),
        ({"symbol": "UXLINKUSDT"}, -1122, "Invalid symbol status."),
        ({"amount": None}, -1102, "'amount'"), ({"amount": ""}, -1102, "'amount'"),
        ({"amount": "ten"}, -1102, "'amount'"), ({"amount": "1e3"}, -1102, "'amount'"),
        ({"amount": "nan"}, -1102, "'amount'"), ({"amount": "1,5"}, -1102, "'amount'"),
        ({"amount": "9" * 21}, -1102, "'amount'"), ({"amount": " 1"}, -1102, "'amount'"),
        ({"amount": "0"}, -4055, "Amount must be positive."), ({"amount": "-1"}, -4055, "Amount must be positive."),
        ({"amount": "0.00000000"}, -4055, "Amount must be positive."),
        ({"amount": "1.000000001"}, -1111, "Precision is over the maximum"),
        ({"type": None}, -1102, "'type'"), ({"type": "add"}, -1100, "'type'"), ({"type": "1.0"}, -1100, "'type'"),
        ({"type": 0}, -1130, "'type'"), ({"type": 3}, -1130, "'type'"), ({"type": -1}, -1130, "'type'"),
        ({"positionSide": "UP"}, -1130, "'positionSide'"), ({"positionSide": ""}, -1130, "'positionSide'"),
        ({"positionSide": "LONG"}, -4061, "position side does not match user's setting"),
        ({"symbol": "BTCUSDT"}, -4049, "Add margin only support for isolated position."),
        ({"symbol": "BTCUSDT", "type": 2}, -4049, "Add margin only support for isolated position."),
        ({"amount": "9" * 20}, -4050, "Cross balance insufficient."),
        ({"amount": "9081.61", "type": 2}, -4051, "Isolated balance insufficient."),
    ],
)  # fmt: skip
def test_refusals(simulator: Simulator, call: Call, changed: dict[str, Any], code: int, text: str) -> None:
    """Each refusal has HTTP 400, Binance's code and text, and changes nothing."""
    before = call("GET", "/fapi/v3/account")[1]
    parameters = {name: value for name, value in (ETH | changed).items() if value is not None}
    status, body = call("POST", MARGIN, **parameters)
    assert (status, body["code"]) == (400, code)
    assert text in body["msg"]
    assert call("GET", "/fapi/v3/account")[1] == before
    assert (simulator.exchange.executed, call("GET", MARGIN_HISTORY, symbol="ETHUSDT")[1]) == ([], [])
    assert [arrival.kind for arrival in simulator.exchange.arrivals] == ["isolated margin"]


def test_without_a_position_adding_and_reducing_have_their_own_codes(call: Call) -> None:
    """An isolated symbol without a position refuses an addition with -4054 and a reduction with -4051."""
    call("POST", "/fapi/v1/marginType", symbol="BNBUSDT", marginType="ISOLATED")
    added = call("POST", MARGIN, symbol="BNBUSDT", amount=1, type=1)[1]
    assert added == {"code": -4054, "msg": "Cannot add position margin: position is 0."}
    assert call("POST", MARGIN, symbol="BNBUSDT", amount=1, type=2)[1]["code"] == -4051


def test_in_hedge_mode_each_side_has_its_own_margin() -> None:
    """In hedge mode LONG and SHORT move separately; without a side there is no position."""
    sides = (btc("0.1", positionSide="LONG"), btc("-0.1", positionSide="SHORT", entryPrice="87000"))
    account = isolated(*sides, dualSidePosition=True)
    move_margin(account, "BTCUSDT", "SHORT", Decimal(100))
    assert [one.isolated_wallet for one in account.positions] == [8_600, 8_700]
    move_margin(account, "BTCUSDT", "LONG", Decimal(-100))
    assert [one.isolated_wallet for one in account.positions] == [8_500, 8_700]
    assert code_of(lambda: move_margin(account, "BTCUSDT", "BOTH", Decimal(1))) == -4054
    assert code_of(lambda: move_margin(account, "BTCUSDT", "BOTH", Decimal(-1))) == -4051


def test_the_event_and_the_records(simulator: Simulator, call: Call) -> None:
    """A change sends ACCOUNT_UPDATE with MARGIN_TRANSFER, and is recorded with its kind, wallets and request."""
    events: list[dict[str, Any]] = []
    simulator.exchange.subscribe(events.append)
    call("POST", MARGIN, **ETH)
    simulator.exchange.change_elsewhere("ETHUSDT", margin="-40")
    simulator.exchange.change_elsewhere("ETHUSDT", margin="-1000000")  # refused
    assert [(event["e"], event["a"]["m"]) for event in events] == [("ACCOUNT_UPDATE", "MARGIN_TRANSFER")] * 2
    assert events[0]["a"]["B"] == [{"a": "USDT", "wb": "100000.00000000", "cw": "82200.00000000", "bc": "0.00000000"}]
    [shown] = events[1]["a"]["P"]
    assert (shown["s"], shown["ps"], shown["mt"], shown["iw"]) == ("ETHUSDT", "BOTH", "isolated", "17760.00000000")
    runs = [(run.kind, run.side, run.before, run.after) for run in simulator.exchange.executed]
    assert runs == [("isolated margin", "BOTH", 17_700, 17_800), ("isolated margin", "BOTH", 17_800, 17_760)]
    [arrival] = simulator.exchange.arrivals
    assert (arrival.symbol, arrival.kind) == ("ETHUSDT", "isolated margin")
    assert [run.timestamp for run in simulator.exchange.executed] == [arrival.timestamp, None]


# -- the history ---------------------------------------------------------------------------------------------------


def test_the_history_shows_changes_of_all_clients(simulator: Simulator, call: Call) -> None:
    """A row has the documented fields; equal amounts of two clients are two rows, the earliest first."""
    call("POST", MARGIN, **ETH)
    simulator.exchange.change_elsewhere("ETHUSDT", margin="100")
    simulator.exchange.change_elsewhere("ETHUSDT", margin="-100")
    rows = call("GET", MARGIN_HISTORY, symbol="ETHUSDT")[1]
    assert [(row["amount"], row["type"]) for row in rows] == [
        ("100.00000000", 1), ("100.00000000", 1), ("-100.00000000", 2),
    ]  # fmt: skip
    documented = {"symbol", "type", "deltaType", "amount", "asset", "time", "positionSide"}
    assert all(documented <= row.keys() for row in rows)
    same = {"symbol": "ETHUSDT", "deltaType": "USER_ADJUST", "asset": "USDT", "positionSide": "BOTH"}
    assert all(same.items() <= row.items() for row in rows)
    assert abs(rows[0]["time"] - simulator.exchange.now_ms()) < 60_000
    assert call("GET", MARGIN_HISTORY, symbol="ETHUSDT", type=2)[1] == rows[2:]
    assert call("GET", MARGIN_HISTORY, symbol="ETHUSDT", limit=1)[1] == rows[2:]
    assert call("GET", MARGIN_HISTORY, symbol="ETHUSDT", limit=1, startTime=rows[0]["time"])[1] == rows[:1]
    assert call("GET", MARGIN_HISTORY, symbol="BTCUSDT")[1] == []


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"symbol": ""}, -1102), ({"symbol": "FOO"}, -1121), ({"type": 3}, -1130), ({"type": "add"}, -1100),
        ({"limit": 0}, -1130), ({"limit": -5}, -1130), ({"limit": "many"}, -1100), ({"startTime": "now"}, -1100),
        ({"startTime": 2, "endTime": 1}, -1023), ({"startTime": 1, "endTime": 31 * DAY}, -4165),
    ],
)  # fmt: skip
def test_refusals_of_the_history(call: Call, changed: dict[str, Any], code: int) -> None:
    """A malformed filter is refused with HTTP 400 and Binance's code."""
    status, body = call("GET", MARGIN_HISTORY, **({"symbol": "ETHUSDT"} | changed))
    assert (status, body["code"]) == (400, code)


def history_of(*days_ago: int, **how: Any) -> MarginHistory:
    """Return a history with additions of 1, 2, ... so many days ago."""
    history = MarginHistory(**how)
    for number, days in enumerate(days_ago, 1):
        history.add(MarginChange("ETHUSDT", "BOTH", Decimal(number), "USDT", NOW - days * DAY))
    return history


def amounts(history: MarginHistory, **asked: int) -> list[int]:
    """Return the amounts that a request at the time ``NOW`` is answered."""
    return [int(row.amount) for row in history.requested("ETHUSDT", {k: str(v) for k, v in asked.items()}, NOW)]


def test_the_history_is_limited_in_time_and_number() -> None:
    """It shows 30 days and 500 rows unless asked for fewer or more, at most 1,000, and keeps 10,000."""
    history = history_of(31, 29, 20, 10, 1)
    assert amounts(history) == [2, 3, 4, 5]
    assert amounts(history, endTime=NOW - 10 * DAY) == [2, 3, 4]
    assert amounts(history, startTime=NOW - 20 * DAY) == [3, 4, 5]
    assert amounts(history, startTime=NOW - 20 * DAY, endTime=NOW - 20 * DAY) == [3]
    long = history_of(*[1] * 10_003)
    assert amounts(long) == list(range(9_504, 10_004))
    assert amounts(long, limit=5_000) == list(range(9_004, 10_004))
    assert amounts(long, limit=1, startTime=NOW - 2 * DAY) == [4]


def test_the_order_and_the_sign_are_options() -> None:
    """An exchange that lists the latest first, or a reduction without its sign, can be simulated."""
    assert amounts(history_of(3, 2, 1, newest_first=True)) == [3, 2, 1]
    with Simulator() as simulator:
        simulator.exchange.margin_history.unsigned = True
        simulator.exchange.change_elsewhere("ETHUSDT", margin="-100")
        [row] = signed_call(simulator, "GET", MARGIN_HISTORY, symbol="ETHUSDT")[1]
    assert (row["type"], row["amount"]) == (2, "100.00000000")


def test_rows_that_no_client_requested(simulator: Simulator, call: Call) -> None:
    """Rows of another deltaType, as of trades and of automatic additions, appear beside those of users."""
    history = simulator.exchange.margin_history
    history.add(MarginChange("ETHUSDT", "BOTH", Decimal(7), "USDT", simulator.exchange.now_ms(), "TRADE"))
    call("POST", MARGIN, **ETH)
    rows = call("GET", MARGIN_HISTORY, symbol="ETHUSDT")[1]
    assert [(row["deltaType"], row["amount"]) for row in rows] == [
        ("TRADE", "7.00000000"), ("USER_ADJUST", "100.00000000"),
    ]  # fmt: skip


def test_a_history_that_lags(simulator: Simulator, call: Call) -> None:
    """A row appears ``lag`` seconds after the change; its time is that of the change."""
    simulator.exchange.margin_history.lag = 0.3
    call("POST", MARGIN, **ETH)
    assert call("GET", MARGIN_HISTORY, symbol="ETHUSDT")[1] == []
    assert wait_for(lambda: len(call("GET", MARGIN_HISTORY, symbol="ETHUSDT")[1]) == 1)
    [row] = call("GET", MARGIN_HISTORY, symbol="ETHUSDT")[1]
    assert row["time"] == int(simulator.exchange.executed[0].at * 1000)
