"""The public methods of an account."""

from __future__ import annotations

import pickle
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from leverage_nb.account import Account, service_of
from leverage_nb.errors import (
    ChangeNotSent,
    InvalidInput,
    InvalidLeverage,
    LeverageRefused,
    NotConnected,
    ReadOnly,
    RequestRefused,
    UnexpectedAnswer,
    UnknownSymbol,
)
from leverage_nb.session import connect, policy_profiles
from leverage_nb.simulator import Simulator, answers
from tests.arrivals import CHANGE, record_requests
from tests.binance.wire import response, serving
from tests.conftest import connect_to


def test_brackets_are_those_of_the_exchange(account: Account, published_tiers: dict[str, Any]) -> None:
    """Index, columns, dtypes and every figure are those of the published tiers, for one, several and all symbols."""
    frame = account.brackets()
    assert frame.index.names == ["symbol", "bracket"]
    assert list(frame.columns) == ["initial_leverage", "notional_floor", "notional_cap", "maint_margin_ratio", "cum"]
    assert frame.dtypes.astype(str).tolist() == ["int64", "float64", "float64", "float64", "float64"]
    assert len(frame) == sum(map(len, published_tiers.values()))
    wire = ["initialLeverage", "notionalFloor", "notionalCap", "maintMarginRatio", "cum"]
    for symbol, rows in published_tiers.items():
        expected = np.array([[row[name] for name in wire] for row in rows])
        assert (frame.loc[symbol].to_numpy() == expected).all()
        assert (account.brackets(symbol).to_numpy() == expected).all()
    one = account.brackets("eth/btc")
    assert (one.index.name, one.attrs["symbol"], one.attrs["margin_assets"]) == ("bracket", "ETHBTC", {"ETHBTC": "BTC"})
    two = account.brackets(["SOLUSDT", "btcusdt"])
    assert two.index.unique("symbol").tolist() == ["SOLUSDT", "BTCUSDT"]
    assert (two.attrs["venue"], two.columns.name) == ("simulator", "SIMULATOR")


def test_tables_have_no_exponents(account: Account) -> None:
    """No figure is shown as 3.000000e+05, in text or HTML, also after slicing."""
    for frame in (account.brackets("BTCUSDT"), account.brackets().head(3), account.settings()):
        for shown in (repr(frame), frame._repr_html_()):
            assert "e+0" not in shown
            assert "SIMULATOR" in shown
    assert "300,000" in account.brackets("BTCUSDT").to_html() + account.brackets("BTCUSDT")._repr_html_()


def test_settings_show_exposure_and_headroom(account: Account) -> None:
    """Settings have leverage, maximum, cap, exposure, headroom and margin type, in the requested order."""
    frame = account.settings(["SOLUSDT", "BTCUSDT", "ethbtc"])
    assert frame.index.tolist() == ["SOLUSDT", "BTCUSDT", "ETHBTC"]
    btc = frame.loc["BTCUSDT"]
    assert (btc["leverage"], btc["symbol_max"], btc["max_notional"]) == (20, 150, 100_000_000)
    assert btc["held"] == pytest.approx(5 * 86_412.5)
    assert btc["room"] == pytest.approx(100_000_000 - 5 * 86_412.5)
    assert frame.loc["SOLUSDT", "held"] == 13_000
    assert frame["margin_asset"].tolist() == ["USDT", "USDT", "BTC"]
    everything = account.settings()
    assert len(everything) == 46
    assert everything.attrs["not_trading"] == {"UXLINKUSDT": "SETTLING", "币安人生USDT": "PENDING_TRADING"}
    assert frame.attrs["not_trading"] == {}
    with pytest.raises(UnknownSymbol):
        account.settings(["BTCUSDT", "FOO"])


def test_positions_show_initial_and_effective_leverage(account: Account) -> None:
    """Positions have initial and effective leverage and the exchange's own liquidation price."""
    frame = account.positions()
    assert frame.index.tolist() == ["BTCUSDT", "ETHUSDT"]
    assert frame["side"].tolist() == ["long", "short"]
    assert frame["leverage"].tolist() == [20, 10]
    # Isolated ETHUSDT: 60 x 2812.40 over 17,700 + 60 x (2950 - 2812.40).
    assert frame.loc["ETHUSDT", "effective_leverage"] == pytest.approx(168_744 / (17_700 + 8_256))
    # Cross BTCUSDT: 5 x 86,412.50 over (100,000 - 17,700) + 5 x 2,412.50.
    assert frame.loc["BTCUSDT", "effective_leverage"] == pytest.approx(432_062.5 / (82_300 + 12_062.5))
    assert frame["margin_type"].tolist() == ["cross", "isolated"]


def test_an_empty_account_has_an_empty_table() -> None:
    """Without positions the table is empty and has the same columns."""
    empty: dict[str, Any] = {
        "accountAlias": "x", "wallets": {"USDT": "1"}, "leverage": {}, "isolated": [], "positions": [],
        "orders": [], "dualSidePosition": False, "multiAssetsMargin": False,
    }  # fmt: skip
    with Simulator(account=empty) as simulator, connect_to(simulator) as account:
        assert account.positions().empty
        assert "effective_leverage" in account.positions().columns
        assert account.settings()["held"].sum() == 0


def test_set_leverage_accepts_any_spelling(account: Account) -> None:
    """Any spelling of symbol and leverage reaches the exchange in Binance's own."""
    assert account.set_leverage("btc/usdt:usdt", "10x").after == 10
    assert account.set_leverage("哈基米usdt", np.int64(2)).after == 2  # type: ignore[arg-type]  # a DataFrame's int
    assert account.set_leverage("BTCUSDT", 10).status == "unchanged"


@pytest.mark.parametrize("leverage", ["ten", 0, -5, 10.5, "1e9", 151, 200, None])
def test_an_impossible_leverage_names_the_maximum_and_sends_nothing(
    account: Account, simulator: Simulator, leverage: Any
) -> None:
    """A leverage outside the symbol's tiers is refused without a request, with the symbol's maximum."""
    account.tiers("BTCUSDT")
    arrived = record_requests(simulator)
    with pytest.raises(InvalidLeverage, match=r"maximum of 150x|from 1 to 150") as caught:
        account.set_leverage("BTCUSDT", leverage)
    assert caught.value.max_leverage == 150
    assert arrived == []


def test_an_unknown_symbol_is_answered_with_a_suggestion(account: Account) -> None:
    """A misspelt symbol raises UnknownSymbol with a suggestion, and sends no change."""
    with pytest.raises(UnknownSymbol) as caught:
        account.set_leverage("BTCUSTD", 10)
    assert caught.value.suggestions == ("BTCUSDT",)
    assert "Did you mean BTCUSDT?" in str(caught.value)


@pytest.mark.parametrize("symbol", ["UXLINKUSDT", "币安人生USDT"])
def test_a_symbol_that_is_not_trading_can_be_read_and_its_refusal_says_so(account: Account, symbol: str) -> None:
    """Tiers, setting and ladder of such a symbol can be read; a refused change says that it is not trading."""
    assert account.tiers(symbol).symbol_max_leverage == len(account.ladder(symbol, 1_000))
    assert account.setting(symbol).leverage == account.tiers(symbol).symbol_max_leverage
    with pytest.raises(LeverageRefused) as caught:
        account.set_leverage(symbol, 2)
    assert caught.value.code == -1122
    assert "The symbol is not trading yet, or no longer." in str(caught.value)


def test_refusals_have_code_and_hint(account: Account) -> None:
    """The three margin refusals raise LeverageRefused with Binance's code and a hint."""
    for symbol, leverage, code in (("BTCUSDT", 125, -2027), ("BTCUSDT", 1, -2028), ("ETHUSDT", 5, -4161)):
        with pytest.raises(LeverageRefused) as caught:
            account.set_leverage(symbol, leverage)
        assert caught.value.code == code
        assert caught.value.hint


def test_a_wrong_secret_is_explained(simulator: Simulator) -> None:
    """A wrong secret is -1022 with the hint to copy key and secret again; the error shows neither."""
    with connect_to(simulator, api_secret="w" * 64) as account:
        with pytest.raises(RequestRefused) as caught:
            account.brackets()
        assert caught.value.code == -1022
        assert "copy key and secret again" in caught.value.hint
        assert "w" * 64 not in str(caught.value)
        assert simulator.api_key not in str(caught.value)


def test_an_unreachable_exchange_is_not_sent(simulator: Simulator, account: Account) -> None:
    """If the exchange cannot be reached, a change is not sent, and the error says so."""
    account.tiers("BTCUSDT")
    simulator.close()
    fresh = connect_to(simulator)
    for one in (account, fresh):
        with pytest.raises(ChangeNotSent, match="could not be reached") as caught:
            one.set_leverage("BTCUSDT", "10x")
        assert caught.value.change is not None
        assert (caught.value.change.status, caught.value.change.requested) == ("not_sent", 10)
    with pytest.raises(NotConnected):
        account.setting("BTCUSDT")


@pytest.mark.parametrize(
    ("wire", "words"),
    [
        (response(b"<html>maintenance</html>", "200 OK", "Content-Type: text/html"), "HTML page"),
        (response(b"", "302 Found", "Location: https://elsewhere.example/"), "redirect"),
    ],
)
def test_html_and_redirects_are_unexpected_answers(wire: bytes, words: str) -> None:
    """HTML with a 200 or a redirect raises UnexpectedAnswer."""
    with serving(wire) as server:
        account = connect("testnet", rest_url=server.url, api_key="k" * 64, api_secret="s" * 64)
        with pytest.raises(UnexpectedAnswer, match=words):
            account.brackets()
        account.close()


def test_an_account_shows_no_secret(account: Account, simulator: Simulator) -> None:
    """Neither repr nor vars shows key or secret, and an account cannot be pickled."""
    assert simulator.api_key not in repr(account) + str(vars(account))
    assert simulator.api_secret not in repr(account) + str(vars(account))
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(account)


def test_before_is_read_before_every_change(account: Account, simulator: Simulator) -> None:
    """The setting is read before every change, so that ``before`` shows a change by another client."""
    simulator.exchange.account.set_leverage("BTCUSDT", 33)
    change = account.set_leverage("BTCUSDT", 34)
    assert (change.before, change.after) == (33, 34)


def test_a_position_without_a_setting_is_named(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """A position whose symbol has no setting is named, an error for its symbol, and disables no other."""
    whole = answers.symbol_config
    monkeypatch.setattr(
        answers, "symbol_config", lambda *a: {**whole(*a), "symbol": whole(*a)["symbol"].replace("BTCUSDT", "X")}
    )
    positions = account.positions()
    assert list(positions.index) == ["ETHUSDT"]
    assert positions.attrs["skipped"]["BTCUSDT"] == "its setting could not be read: the answer leaves it out"
    with pytest.raises(UnexpectedAnswer, match="BTCUSDT"):
        account.outlook("BTCUSDT")
    assert account.preview("XRPUSDT", 60).verdict == "ok"
    lower = account.preview("SOLUSDT", 5)
    assert (lower.verdict, lower.reason) == ("unpredictable", "a position could not be read")
    assert account.settings().attrs["skipped"]["BTCUSDT"]


@pytest.mark.parametrize("symbol", [5, None, b"BTCUSDT", ["BTCUSDT"]])
def test_a_symbol_must_be_text(account: Account, symbol: Any) -> None:
    """A symbol that is not text raises InvalidInput."""
    with pytest.raises(InvalidInput):
        account.find_symbol(symbol)


def test_settings_of_no_symbols_are_empty(account: Account) -> None:
    """An empty list gives an empty table; a symbol named twice gives one row."""
    assert account.settings([]).empty
    assert len(account.settings(["BTCUSDT", "btcusdt"])) == 1


def test_an_answer_with_all_symbols_is_reduced_to_one(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """If one symbol is requested and all are answered, only its tiers are used."""
    client = service_of(account).client
    read = client.read
    monkeypatch.setattr(client, "read", lambda path, parameters=(), **more: read(path, **more))
    assert account.brackets("SOLUSDT").equals(account.brackets().loc["SOLUSDT"])


def test_symbols_may_be_named_twice_or_alone(account: Account) -> None:
    """A symbol named twice has its rows once, and one symbol needs no list."""
    assert len(account.brackets(["BTCUSDT", "btcusdt"])) == 12
    assert account.settings("btcusdt").index.tolist() == ["BTCUSDT"]
    assert account.margin_asset("btc/usdt") == "USDT"


def test_a_preview_of_an_unreachable_exchange_is_not_sent(simulator: Simulator) -> None:
    """A preview that cannot be read raises ChangeNotSent with a record, with or without known tiers."""
    cold, warm = connect_to(simulator), connect_to(simulator)
    warm.tiers("BTCUSDT")
    simulator.close()
    for account in (cold, warm):
        with pytest.raises(ChangeNotSent) as caught:
            account.preview("btcusdt", 10)
        assert caught.value.change is not None
        assert (caught.value.change.symbol, caught.value.change.status) == ("BTCUSDT", "not_sent")
    assert cold.margin_asset("ETHBTC") == ""


def test_ladder_and_outlook_name_the_venue(account: Account) -> None:
    """Ladder and outlook name the venue; the ladder is entered at the mark price or at another price."""
    ladder = account.ladder("BTCUSDT", 50_000)
    assert ladder.columns.name == "SIMULATOR"
    assert ladder.loc[10, "max_quantity"] == pytest.approx(230e6 / 86_412.5)
    assert account.outlook("BTCUSDT").attrs["venue"] == "simulator"
    assert account.ladder("BTCUSDT", 50_000, mark_price=50_000).loc[10, "liquidation_long"] == pytest.approx(
        45180.722891566
    )


@pytest.mark.parametrize("venue", ["simulator", "mainnet"])
def test_a_read_only_account_sends_no_change(simulator: Simulator, venue: str) -> None:
    """With read_only=True every way to change leverage raises ChangeNotSent, and no POST of a change leaves."""
    connect_to(simulator, venue, journal=":memory:").set_leverage("SOLUSDT", 10)
    account = connect_to(simulator, venue, journal=":memory:", read_only=True)
    arrived = record_requests(simulator)
    assert repr(account).endswith("read-only>")
    assert "read-only" not in account.venue_label + account.label
    preview, plan = account.preview("BTCUSDT", 10), account.plan({"XRPUSDT": 5, "BTCUSDT": 10, "ETHUSDT": 5})
    assert preview.verdict == "ok"
    assert "read_only=True" in str(preview)
    for attempt in (
        lambda: account.set_leverage("BTCUSDT", 10),
        preview.apply,
        preview.confirmed().apply,
        lambda: preview.apply(force=True),
        plan.apply,
        lambda: plan.apply(force=True),
        account.undo,
    ):
        with pytest.raises(ChangeNotSent, match=r"Nothing was sent\. This account was opened with read_only") as caught:
            attempt()
        assert type(caught.value.reason) is ReadOnly
        assert caught.value.change.status == "not_sent"
    assert len(account.positions()) > 0
    assert CHANGE not in arrived
    assert len(account.history()) == 1


def test_a_read_only_plan_without_changes_is_no_error(simulator: Simulator) -> None:
    """A plan whose rows are all unchanged has nothing to send, so a read-only account reports it as usual."""
    plan = connect_to(simulator, read_only=True).plan({"BTCUSDT": 20}).apply()
    assert [row.status for row in plan.rows] == ["unchanged"]


def test_the_highest_leverage_for_a_stop(account: Account, simulator: Simulator) -> None:
    """It is that of a new isolated position at mark price, within tier, guard and what would be refused."""
    assert account.highest_leverage("btc/usdt", "2m", stop="80k") == 11
    assert account.highest_leverage("BTCUSDT", 2e6, stop=90_000) == 18
    assert account.highest_leverage("BTCUSDT", 2e6, stop=86_000, buffer=0) == 75  # the tier of 2M
    assert connect_to(simulator, max_leverage=8).highest_leverage("BTCUSDT", 2e6, stop="80k") == 8
    for arguments, message in (
        ({"stop": 80_000}, "A stop needs the notional"),
        ({"notional": "2m", "stop": 86_412.5}, "The stop is the mark price"),
        ({"notional": "2m", "stop": 1_000_000}, "too far away"),
        ({"notional": "3b", "stop": 80_000}, "the tiers end at 1.8B"),
        ({"notional": "-2m", "stop": 80_000}, "-2m is not a notional"),
        ({"notional": "2m", "stop": "soon"}, "soon is not a price"),
        ({"notional": "2m", "stop": 80_000, "buffer": 2}, "buffer is a share"),
    ):
        with pytest.raises(InvalidInput, match=message):
            account.highest_leverage("BTCUSDT", **arguments)
    with pytest.raises(UnknownSymbol):
        account.highest_leverage("FOO", "2m", stop=80_000)


@pytest.mark.parametrize(
    "call",
    [
        lambda account: account.settings(5),
        lambda account: account.brackets(5),
        lambda account: account.highest_leverage("XRPUSDT", pd.NA),
        lambda account: account.preview("XRPUSDT", "max", notional=pd.NA),
        lambda account: account.set_leverage("XRPUSDT", 10, notional=pd.NA),
        lambda account: account.plan({"XRPUSDT": 10}, position_mode=["hedge"]),
        lambda account: account.size_plan({"XRPUSDT": 100}, use=Decimal("sNaN")),
        lambda account: account.size_plan({"XRPUSDT": 100}, use="0.9"),
        lambda account: account.change_isolated_margin("ETHUSDT", Decimal("1.0000000006")),
        lambda _: policy_profiles("risk.toml", None),
        lambda _: policy_profiles("risk.toml", 5),
    ],
)
def test_every_wrong_argument_is_an_error_of_the_package(account: Account, call: Any) -> None:
    """Whatever is passed, the error is an InvalidInput, and nothing is sent."""
    with pytest.raises(InvalidInput):
        call(account)


def test_a_closed_account_follows_no_policy(account: Account, tmp_path: Path) -> None:
    """Closing an account ends its policies, and no new one starts."""
    path = tmp_path / "risk.toml"
    path.write_text("cap = 20", encoding="utf-8")
    account.close()
    with pytest.raises(InvalidInput, match="This account is closed"):
        account.follow_policy(path)
