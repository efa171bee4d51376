"""Every endpoint with every bad answer: nothing false is shown or reported, and no call hangs or raises another error.

The rights of a key are read from another address: ``tests/binance/test_permissions.py``.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from functools import partial
from typing import Any

import pandas as pd
import pytest

import leverage_nb as lev
from leverage_nb import Account, LeverageError
from leverage_nb.account import service_of
from leverage_nb.notebook.overview import Overview
from tests.foreign.answers import BODIES, as_reply, position, spoilt
from tests.foreign.conftest import outcome_if_sent
from tests.foreign.desks import desk
from tests.foreign.exchange import (
    ACCOUNT,
    ALT_TIERS,
    BALANCE,
    CHANGE,
    CONFIG,
    EXTEND,
    INFO,
    LISTEN,
    MARK,
    MODES,
    POSITIONS,
    TIERS,
    TIME,
    ForeignExchange,
    serving,
)
from tests.foreign.wire import LATE_CLOCK, Reply
from tests.side_by_side import side_by_side
from tests.waiting import until

PATIENCE = 30.0  # seconds; calls take milliseconds, on a busy machine more


@pytest.fixture
def exchange() -> Iterator[ForeignExchange]:
    """An exchange with enough symbols for one bad value each."""
    with serving(200) as running:
        yield running


@pytest.fixture
def account(connect: Callable[..., Account]) -> Account:
    """An account that reads quickly again."""
    return connect(recv_window=3000, grace=0.05)


def attempt(call: Callable[[], Any]) -> Any:
    """Return a call's result; None if it raises an error of the package. It ends soon, and its text is readable."""
    started, result = time.monotonic(), None
    try:
        result = call()
    except LeverageError as exc:
        text = exc.message
    else:
        text = str(result)
        assert not re.search(r"\b(nan|inf|infinity)\b", text, re.IGNORECASE), text
    assert time.monotonic() - started < PATIENCE
    assert text.replace("\n", "").isprintable()
    return result


def together(calls: Iterable[Callable[[], Any]]) -> list[Any]:
    """Attempt calls at the same time: a symbol that a list leaves out is read again after a second."""
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(attempt, calls))


def finite(frame: pd.DataFrame) -> str:
    """Check that every figure of a frame is finite or missing."""
    figures = frame.select_dtypes("number").astype("float64").to_numpy()
    assert all(math.isfinite(figure) for figure in figures[~pd.isna(figures)])
    return ""


def calls_of(account: Account) -> list[Callable[[], Any]]:
    """Return what a user can ask for."""
    return [
        lambda: account.preview("BTCUSDT", 20),
        lambda: finite(account.settings()),
        lambda: finite(account.positions()),
        lambda: finite(account.brackets()),
        lambda: account.setting("BTCUSDT"),
        lambda: finite(account.outlook("BTCUSDT")),
        lambda: account.plan({"BTCUSDT": 20}),
        lambda: Overview.of(account),
        lambda: account.mark_price("BTCUSDT"),
    ]


@pytest.mark.thorough
@pytest.mark.parametrize("endpoint", [CONFIG, TIERS, POSITIONS, ACCOUNT, INFO, MODES, MARK])
def test_no_body_raises_a_bare_exception(endpoint: str) -> None:
    """Whatever an endpoint answers, each call returns or raises an error of the package, and later ones work."""

    def check(body: bytes) -> None:
        with desk(grace=0.05) as (exchange, account):
            exchange.play(endpoint, times=None, answer=Reply(200, (body,)))
            together(calls_of(account)[: 1 if len(body) > 1_000_000 else None])
            exchange.clear()
            assert account.preview("BTCUSDT", 20).verdict == "ok"

    side_by_side(check, ((body,) for body in BODIES), at_once=len(BODIES))


def test_every_field_of_a_setting(exchange: ForeignExchange, account: Account) -> None:
    """A setting with a bad field is skipped and named, or is shown as it is without that field."""
    row = {"marginType": "CROSSED", "leverage": 10, "maxNotionalValue": "10000000"}
    cases = [case for case in spoilt(row, *row) if case[0] != "marginType" or case[1] not in {"nan", "infinite"}]
    rows = {f"S{n:03}USDT": case for n, case in enumerate(cases)}
    good = [row | {"symbol": "BTCUSDT"}, row | {"symbol": "ETHUSDT"}]
    answer = as_reply([*good, *({"symbol": name} | other for name, (_, _, other) in rows.items())])
    exchange.play(CONFIG, times=None, when=lambda request: not request.symbol, answer=answer)
    for name, (_, _, other) in rows.items():
        reply = as_reply([{"symbol": name} | other])
        exchange.play(CONFIG, times=None, when=lambda request, name=name: request.symbol == name, answer=reply)
    frame = account.settings()
    finite(frame)
    assert {"BTCUSDT", "ETHUSDT"} <= set(frame.index)
    previews = together(partial(account.preview, name, 20) for name in rows)
    settings = together(partial(account.setting, name) for name in rows)
    for (name, (field, _, _)), preview, setting in zip(rows.items(), previews, settings, strict=True):
        assert (name in frame.index) == (preview is not None) == (setting is not None), (name, rows[name])
        if name not in frame.index:
            assert field in {"leverage", "marginType"}
            assert field in frame.attrs["skipped"][name]
            continue
        assert field != "leverage", rows[name]
        assert tuple(frame.loc[name, ["leverage", "symbol_max", "max_notional"]]) == (10, 125, 10**7)
        assert (setting.leverage, preview.before, preview.after) == (10, 10, 20)
        assert setting.max_notional in {None, 10**7}
    assert attempt(lambda: Overview.of(account)) is not None


NUMBERS = [
    "positionAmt", "entryPrice", "markPrice", "unRealizedProfit", "liquidationPrice", "notional", "isolatedWallet",
    "positionInitialMargin", "openOrderInitialMargin", "maintMargin", "bidNotional", "askNotional",
]  # fmt: skip


def test_every_field_of_a_position(exchange: ForeignExchange, account: Account) -> None:
    """A position with a bad field is skipped and named, or is shown with the figures of its other fields."""
    texts = spoilt(position("-"), "positionSide", "marginAsset")
    cases = [*spoilt(position("-"), *NUMBERS), *(case for case in texts if case[1] not in {"nan", "infinite"})]
    rows = {f"S{n:03}USDT": case for n, case in enumerate(cases)}
    answer = as_reply([position("BTCUSDT"), *(other | {"symbol": name} for name, (_, _, other) in rows.items())])
    exchange.play(POSITIONS, times=None, answer=answer)
    frame, held = account.positions(), account.settings()["held"]
    finite(frame)
    shown = set(frame.index) - {"BTCUSDT"}
    assert shown | set(frame.attrs["skipped"]) == set(rows)
    assert held["ETHUSDT"] == 0
    for name in rows:
        field, value, _ = rows[name]
        if name not in shown:
            assert pd.isna(held[name]), rows[name]
            assert field in frame.attrs["skipped"][name]
            if value in {"missing", "nan", "list"}:
                assert attempt(lambda name=name: account.preview(name, 20)) is None
            continue
        negative = value.startswith("negative")
        assert negative or value == "missing" or field in {"positionSide", "marginAsset"}, rows[name]
        sign, size = -1 if field == "positionAmt" else 1, 1 if field == "notional" else 60_000
        assert frame.loc[name, "notional"] == sign * size  # its sign is that of the amount
        assert (frame.loc[name, "mark_price"], frame.loc[name, "entry_price"]) == (60_000, 60_000)
        assert frame.loc[name, "amount"] == sign
        assert frame.loc[name, "leverage"] == 10
        assert pd.isna(frame.loc[name, "liquidation_price"])
        assert size <= held[name] <= size + 1
    never_negative = {"entryPrice", "markPrice", "positionInitialMargin", "openOrderInitialMargin", "maintMargin"}
    assert not {rows[name][0] for name in shown if rows[name][1].startswith("negative")} & never_negative
    assert attempt(lambda: Overview.of(account)) is not None


def test_every_field_of_a_tier(exchange: ForeignExchange, account: Account) -> None:
    """A symbol with a bad field in its first tier is skipped and named; all others have the tiers that were sent."""
    fields = ("initialLeverage", "notionalFloor", "notionalCap", "maintMarginRatio", "cum", "bracket")
    tiers = [
        {"bracket": 1, "initialLeverage": 125, "notionalFloor": 0, "notionalCap": 100_000, "maintMarginRatio": 0.004,
         "cum": 0.0},
        {"bracket": 2, "initialLeverage": 50, "notionalFloor": 100_000, "notionalCap": 1_000_000,
         "maintMarginRatio": 0.01, "cum": 600.0},
    ]  # fmt: skip
    bad = {f"S{n:03}USDT": case for n, case in enumerate(spoilt(tiers[0], *fields))}
    lists = {f"S{n:03}USDT": value for n, value in enumerate([[], {}, None, "x", True, [None]], start=len(bad))}
    rows = [{"symbol": name, "brackets": [other, tiers[1]]} for name, (_, _, other) in bad.items()]
    rows += [{"symbol": name, "brackets": value} for name, value in lists.items()]
    good = [{"symbol": name, "brackets": tiers} for name in ("BTCUSDT", "ETHUSDT")]
    exchange.play(TIERS, times=None, when=lambda request: not request.symbol, answer=as_reply([*good, *rows]))
    frame = account.brackets()
    finite(frame)
    for name in [*bad, *lists]:
        field = bad[name][0] if name in bad else ""
        if name in frame.index and field != "bracket":
            raise AssertionError(bad[name])
        if name not in frame.index:
            assert name in frame.attrs["skipped"]
            if name in lists or bad[name][1] in {"missing", "nan", "list"}:
                assert attempt(lambda name=name: account.preview(name, 20)) is None
    kept = set(frame.index.get_level_values("symbol"))
    assert kept == {"BTCUSDT", "ETHUSDT"} | {name for name in bad if bad[name][0] == "bracket"}
    for name in kept:
        assert list(frame.loc[name, "initial_leverage"]) == [125, 50]
        assert list(frame.loc[name, "notional_cap"]) == [100_000, 1_000_000]


def test_every_field_of_a_balance(exchange: ForeignExchange, account: Account) -> None:
    """An asset with a bad figure is skipped and named, and the good one is unchanged."""
    fields = {
        "walletBalance": "wallet", "unrealizedProfit": "profit", "crossWalletBalance": "cross_wallet",
        "crossUnPnl": "cross_profit", "initialMargin": "initial_margin", "maintMargin": "maintenance_margin",
        "availableBalance": "available",
    }  # fmt: skip
    row = dict.fromkeys(fields, "250.5")
    bad = {f"A{n:03}": case for n, case in enumerate(spoilt(row, *fields))}
    assets = [row | {"asset": "USDT"}, *(other | {"asset": name} for name, (_, _, other) in bad.items())]
    exchange.play(ACCOUNT, times=None, answer=as_reply({"assets": assets}))
    state = account.state()
    assert set(state.balances) | set(state.skipped) == {"USDT", *bad}
    for name, balance in state.balances.items():
        field, value, _ = bad.get(name, ("", "", {}))
        for key, attribute in fields.items():
            assert getattr(balance, attribute) == (-1 if key == field else 250.5)  # a balance may be negative
        assert not field or (value.startswith("negative") and field not in {"initialMargin", "maintMargin"})
    assert attempt(lambda: Overview.of(account)) is not None


@pytest.mark.parametrize(
    ("endpoint", "row"),
    [
        (MODES, {"dualSidePosition": False, "multiAssetsMargin": False}),
        (ACCOUNT, {"assets": []}),
        (INFO, {"symbols": [], "rateLimits": []}),
        (MARK, {"symbol": "BTCUSDT", "markPrice": "60000"}),
    ],
)
def test_every_field_of_an_object(endpoint: str, row: dict[str, Any]) -> None:
    """With a bad field in an answer that is no list, each call works without it or says what is wrong."""
    with desk(grace=0.05) as (exchange, account):
        check_every_field(exchange, account, endpoint, row)


def check_every_field(exchange: ForeignExchange, account: Account, endpoint: str, row: dict[str, Any]) -> None:
    """Answer with each bad value of each field, and then well."""
    for _, value, other in spoilt(row, *row):
        exchange.play(endpoint, times=None, answer=as_reply(other))
        for call in (account.state, lambda: finite(account.brackets()), lambda: account.preview("BTCUSDT", 20)):
            attempt(call)
        if endpoint == MODES and value != "true":
            assert attempt(account.state) is None
        if endpoint == MARK:
            assert attempt(lambda: account.mark_price("BTCUSDT")) is None
        if endpoint == MARK and value in {"missing", "nan", "negative"}:
            panel = lev.LeveragePanel(account, "BTCUSDT")
            assert panel.table["mark"] == "–"
            panel.close()
        exchange.clear()
    assert account.preview("BTCUSDT", 20).verdict == "ok"


def test_numbers_as_texts_and_unknown_fields_change_nothing(exchange: ForeignExchange, account: Account) -> None:
    """Numbers that are sent as texts and fields that nobody knows are read like the documented answers."""

    def other(content: Any) -> Any:
        if isinstance(content, dict):
            return {key: other(value) for key, value in content.items()} | {"new": [{"x": None}], "newer": 1e300}
        if isinstance(content, list):
            return [other(value) for value in content]
        return str(content) if isinstance(content, (int, float)) and not isinstance(content, bool) else content

    exchange.play(POSITIONS, times=None, answer=Reply.of([other(position("BTCUSDT"))]))
    for endpoint in (CONFIG, TIERS, ACCOUNT, INFO, MODES, MARK, CHANGE):
        exchange.play(endpoint, times=None, edit=other)
    settings, tiers = account.settings(), account.brackets("S000USDT")
    assert tuple(settings.loc["BTCUSDT", ["leverage", "symbol_max", "max_notional", "held"]]) == (
        10,
        150,
        10**9,
        60_000,
    )
    assert [(row.initial_leverage, row.notional_cap) for row in tiers.itertuples()] == [
        (most, cap) for most, cap, _ in ALT_TIERS
    ]
    assert account.positions().loc["BTCUSDT", "effective_leverage"] == 0.6  # 60,000 at a margin of 100,000
    assert account.mark_price("BTCUSDT") == 60_000
    change = account.preview("BTCUSDT", 20).apply()
    assert (change.status, change.confirmed_by, change.max_notional) == ("applied", "answer", 10**9)


def test_the_clock(exchange: ForeignExchange, connect: Callable[..., Account]) -> None:
    """With a bad time the request that needed it fails with an error of the package, and the next one works."""
    replies = [*(Reply(200, (body,)) for body in BODIES)]
    replies += [as_reply(row) for _, _, row in spoilt({"serverTime": 1}, "serverTime")]
    account = connect()
    for reply in replies:
        exchange.play(CONFIG, answer=LATE_CLOCK)
        exchange.play(TIME, times=None, answer=reply)
        assert attempt(lambda: account.setting("BTCUSDT")) is None
        exchange.clear()
        assert account.setting("BTCUSDT").leverage == 10


def test_the_name_of_the_account(exchange: ForeignExchange, connect: Callable[..., Account]) -> None:
    """A profile whose account cannot be read sends nothing, and is not bound to a false name."""
    row = {"accountAlias": "SgsR", "asset": "USDT", "balance": "1"}
    replies = [Reply(200, (body,)) for body in BODIES if body != b"[]"]  # an account without balances has no name
    replies += [as_reply([other]) for _, value, other in spoilt(row, "accountAlias") if isinstance(value, str)]
    for reply in replies:
        if b'"accountAlias": "' in b"".join(reply.pieces):
            continue  # another name, as any text may be one
        exchange.play(BALANCE, times=None, answer=reply)
        with closing(connect(profile="sub1")) as account:
            assert attempt(lambda account=account: account.set_leverage("BTCUSDT", 20)) is None, reply
        exchange.clear()
    assert exchange.changes_sent() == []
    assert connect(profile="sub1").set_leverage("BTCUSDT", 20).status == "applied"


@pytest.mark.parametrize("endpoint", [LISTEN, EXTEND])
def test_the_listen_key(exchange: ForeignExchange, connect: Callable[..., Account], endpoint: str) -> None:
    """With a bad listen key the stream is stale and says why, in one line of plain text; the panel shows it."""
    account = connect(stream_url=exchange.stream_url())
    client = service_of(account).client
    ask = client.open_listen_key if endpoint == LISTEN else client.extend_listen_key
    replies = [Reply(200, (body,)) for body in BODIES]
    replies += [as_reply(row) for _, _, row in spoilt({"listenKey": "k" * 64}, "listenKey")]
    replies += [as_reply({"listenKey": key}) for key in ("", "a b", "a/../b", "a&listenKey=b", "a\r\nb", "x" * 501)]
    replies.append(Reply.error(400, -1125, "This listenKey\x1b[31m does not\nexist <b>."))
    for reply in replies:
        exchange.play(endpoint, times=None, answer=reply)
        with suppress(LeverageError):
            assert re.fullmatch(r"[\w-]*", ask())
        exchange.clear()
    if endpoint == LISTEN:
        exchange.play(LISTEN, times=None, answer=replies[-1])
        with closing(lev.LeveragePanel(account, "BTCUSDT")) as panel:
            until(lambda: panel.live == "stale")
            assert "The listen key has expired or was deleted." in panel.live_reason
            assert panel.live_reason.isprintable()


@pytest.mark.parametrize("executed", [True, False])
def test_the_answer_to_a_change(exchange: ForeignExchange, connect: Callable[..., Account], executed: bool) -> None:
    """Whatever is answered to a change, its outcome is what the exchange did: decided by a read, not by the answer."""
    account = connect(timeout=20.0, recv_window=3000, grace=0.3)
    row = {"symbol": "-", "leverage": 20, "maxNotionalValue": "10000000"}
    cases = [Reply(200, (body,)) for body in BODIES]
    cases += [as_reply(other) for _, _, other in spoilt(row, "leverage", "symbol")]
    confirming = [(value, other) for _, value, other in spoilt(row, "maxNotionalValue")] if executed else []
    names = [f"S{n:03}USDT" for n in range(len(cases) + len(confirming))]
    for name, reply in zip(names, cases, strict=False):
        exchange.play(CHANGE, when=lambda request, name=name: request.symbol == name, execute=executed, answer=reply)
    for name, (_, other) in zip(names[len(cases) :], confirming, strict=True):
        reply = as_reply(other | {"symbol": name})
        exchange.play(CHANGE, when=lambda request, name=name: request.symbol == name, answer=reply)
    account.symbols()

    def change(name: str) -> tuple[str, str, Any]:
        done = outcome_if_sent(lambda: account.set_leverage(name, 20))
        return done.status, done.confirmed_by, done.max_notional

    with ThreadPoolExecutor(10) as pool:
        results = list(pool.map(change, names))
    for name, (status, confirmed_by, cap), place in zip(names, results, range(len(names)), strict=True):
        assert status == ("applied" if executed else "not_applied"), name
        assert confirmed_by == ("symbolConfig" if place < len(cases) else "answer"), name
        assert cap in {None, 10**7}
    assert sorted(exchange.changes_sent()) == sorted((name, 20) for name in names)
