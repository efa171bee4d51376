"""A plan is checked as a whole when it is made, and predicted again when it is applied."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from leverage_nb.account import Account
from leverage_nb.changes.plan import Plan
from leverage_nb.changes.plan_input import read_lines
from leverage_nb.errors import InvalidInput, UnexpectedAnswer
from leverage_nb.simulator import Simulator
from tests.changes.plans import list_more_symbols, statuses
from tests.conftest import connect_to


def test_all_invalid_targets_are_named_and_nothing_is_sent(account: Account, simulator: Simulator) -> None:
    """Unknown symbols, invalid leverages and duplicates are named together, and nothing is sent."""
    with pytest.raises(InvalidInput) as caught:
        account.plan({"BTCUSTD": 10, "ETHUSDT": 0, "SOLUSDT": 2.5, "btcusdt": 10, "BTC/USDT": 20})
    for words in (
        "BTCUSTD is not a symbol",
        "Did you mean BTCUSDT?",
        "0 is not a leverage for ETHUSDT",
        "2.5 is not",
        "there twice",
    ):
        assert words in caught.value.message
    empty: Any
    for empty in ({}, lambda settings: settings["leverage"].iloc[:0]):
        with pytest.raises(InvalidInput, match="plan is empty"):
            account.plan(empty)
    assert simulator.exchange.received == []


def test_all_invalid_lines_are_named_together(account: Account) -> None:
    """Unreadable lines, unknown symbols, invalid leverages and duplicates are named together, by line."""
    with pytest.raises(InvalidInput) as caught:
        account.plan(read_lines("BTCUSDT 20\nfoo\nXYZUSDT 5\nADAUSDT 10.5\nBTCUSDT 30"))
    for place in ("line 2: “foo”", "line 3: XYZUSDT is not", "line 4: 10.5 is not", "line 5: BTCUSDT is there twice"):
        assert place in str(caught.value)


def test_a_plan_can_be_a_function_of_the_settings(account: Account) -> None:
    """A function of the settings gives the targets, for example a cap of 20x for all symbols."""
    plan = account.plan(lambda settings: settings["leverage"].clip(upper=20))
    assert [row.symbol for row in plan.to_send] == ["XRPUSDT"]
    assert len(plan.rows) == 46


def test_max_respects_tiers_exposure_and_guard(simulator: Simulator) -> None:
    """The word max respects tiers, exposure and guard; a row above the guard is not sent, even with force."""
    account = connect_to(simulator)
    assert {row.symbol: row.after for row in account.plan({"BTCUSDT": "max", "XRPUSDT": "MAX"}).rows} == {
        "BTCUSDT": 100, "XRPUSDT": 100,
    }  # fmt: skip
    guarded = connect_to(simulator, max_leverage=30)
    plan = guarded.plan({"BTCUSDT": "max", "SOLUSDT": 40})
    assert {row.symbol: (row.after, row.verdict) for row in plan.rows} == {
        "BTCUSDT": (30, "ok"),
        "SOLUSDT": (40, "refused"),
    }
    done = plan.apply(force=True)
    assert statuses(done) == {"BTCUSDT": "applied", "SOLUSDT": "not_sent"}
    assert "above your guard of 30x" in str(done)


def test_max_is_the_same_in_a_plan_and_alone(simulator: Simulator) -> None:
    """The word max gives the same leverage in a plan and alone; if none fits, both give the reason."""
    account = connect_to(simulator, max_leverage=5)
    with pytest.raises(InvalidInput, match="ETHUSDT 5x would be refused"):
        account.highest_leverage("ETHUSDT")
    plan = account.plan({"ETHUSDT": "max", "SOLUSDT": "max"})
    rows = {row.symbol: row for row in plan.rows}
    assert rows["SOLUSDT"].after == account.highest_leverage("SOLUSDT") == 5
    assert rows["ETHUSDT"].verdict == "refused"
    assert "stopped: ETHUSDT 5x would be refused: an isolated position is open" in str(plan)
    assert {row.symbol: row.status for row in plan.apply().rows} == {"ETHUSDT": "not_sent", "SOLUSDT": "applied"}


def test_a_row_that_is_no_longer_needed_is_not_sent(account: Account, simulator: Simulator) -> None:
    """A row whose symbol another client has set to the planned leverage meanwhile is unchanged."""
    plan = account.plan({"BTCUSDT": 15, "ADAUSDT": 10})
    simulator.exchange.change_elsewhere("BTCUSDT", 15)
    assert statuses(plan.apply()) == {"BTCUSDT": "unchanged", "ADAUSDT": "applied"}
    assert [symbol for symbol, _ in simulator.exchange.received] == ["ADAUSDT"]


def test_a_row_whose_leverage_changed_since_is_not_sent(account: Account, simulator: Simulator) -> None:
    """A row whose leverage is no longer the one shown is not sent; a retry starts from the new one."""
    plan = account.plan({"SOLUSDT": 15, "ADAUSDT": 20})
    simulator.exchange.change_elsewhere("ADAUSDT", 5)
    done = plan.apply()
    assert statuses(done) == {"SOLUSDT": "applied", "ADAUSDT": "not_sent"}
    assert "ADAUSDT was changed since, and is at 5x" in str(done)
    assert statuses(done.retry()) == {"SOLUSDT": "applied", "ADAUSDT": "applied"}


def test_a_lowered_maximum_or_a_delisting_stops_its_own_row_only(account: Account, simulator: Simulator) -> None:
    """A lowered maximum and a delisted symbol stop their own rows only, in a plan and in its undo."""
    symbols = simulator.exchange.market.symbols
    account.plan({"XRPUSDT": 20, "ADAUSDT": 10, "SOLUSDT": 30}).apply()
    plan = account.plan({"SOLUSDT": 75, "DOGEUSDT": 10, "BNBUSDT": 10})
    for name in ("SOLUSDT", "XRPUSDT"):
        lower = [
            replace(tier, initial_leverage=min(tier.initial_leverage, 46 - tier.number)) for tier in symbols[name].tiers
        ]
        symbols[name] = replace(symbols[name], tiers=tuple(lower))
    gone = symbols.pop("DOGEUSDT")
    done = plan.apply()
    assert statuses(done) == {"SOLUSDT": "not_sent", "DOGEUSDT": "not_sent", "BNBUSDT": "applied"}
    assert "75x is above SOLUSDT's maximum of 45x" in str(done)
    assert "DOGEUSDT is no longer listed" in str(done)
    symbols["DOGEUSDT"] = gone
    account.undo()
    undone = account.undo()
    assert isinstance(undone, Plan)
    assert statuses(undone)["ADAUSDT"] == "applied"
    assert statuses(undone)["XRPUSDT"] == "not_sent"


def test_a_row_that_was_shown_as_refused_is_not_sent(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that was shown as refused is not sent, even if it would pass now."""
    monkeypatch.setenv("LEVERAGE_NB_MAX_LEVERAGE", "10")
    account = connect_to(simulator)
    plan = account.plan({"XRPUSDT": 5, "DOGEUSDT": 40})
    assert [row.symbol for row in plan.to_send] == ["XRPUSDT"]
    monkeypatch.setenv("LEVERAGE_NB_MAX_LEVERAGE", "50")
    done = plan.apply(force=True)
    assert {row.symbol: row.status for row in done.rows} == {"XRPUSDT": "applied", "DOGEUSDT": "not_sent"}
    assert "40x would be accepted now: make a new plan to send it" in str(done)
    with pytest.raises(InvalidInput, match="not applied yet"):
        account.plan({"XRPUSDT": 6}).retry()


def test_a_row_that_is_not_sent_frees_no_margin(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are predicted without the effect of rows that are not sent."""
    monkeypatch.setenv("LEVERAGE_NB_MAX_LEVERAGE", "20")
    account = connect_to(simulator)
    plan = account.plan({"BTCUSDT": 75, "SOLUSDT": 1})
    assert [row.symbol for row in plan.to_send] == ["SOLUSDT"]
    simulator.exchange.account.wallets["USDT"] -= 60_000  # 12,000 is left: 75x would free 15,842, SOLUSDT takes 12,350
    monkeypatch.setenv("LEVERAGE_NB_MAX_LEVERAGE", "100")
    done = {row.symbol: row for row in plan.apply().rows}
    assert (done["BTCUSDT"].status, done["SOLUSDT"].status) == ("not_sent", "not_sent")
    assert done["SOLUSDT"].code == -2028


def test_a_cap_covers_every_symbol_that_is_trading(account: Account, simulator: Simulator) -> None:
    """The symbol * is every symbol that is trading; others are changed only if they are named."""
    not_trading = {"UXLINKUSDT", "币安人生USDT"}
    plan = account.plan({"*": "<=20"})
    assert {row.symbol for row in plan.rows} == {*account.symbols()} - not_trading
    assert [(row.symbol, row.before, row.after) for row in plan.to_send] == [("XRPUSDT", 50, 20)]
    assert {row.symbol for row in account.plan({"*": "<=20", "UXLINKUSDT": 3}).to_send} == {"XRPUSDT", "UXLINKUSDT"}
    done = plan.apply()
    assert [symbol for symbol, _ in simulator.exchange.received] == ["XRPUSDT"]
    assert done.rows[0].status == "applied"
    again = account.plan({"*": "<=20"})
    assert again.headline == "Plan of 44 rows: nothing to do, 44 unchanged"
    assert "USDT" not in str(again)
    assert len(again.to_frame()) == 44


def test_a_named_margin_type_leaves_the_leverage_to_the_star(account: Account) -> None:
    """A row with only a margin type does not exempt its symbol from the leverage of ``*``."""
    rows = account.plan("* <=15\nBTCUSDT isolated").rows
    assert {(row.kind, row.after) for row in rows if row.symbol == "BTCUSDT"} == {
        ("margin type", "isolated"), ("leverage", 15),
    }  # fmt: skip


@pytest.mark.parametrize("wanted", ["* <=20\nXRPUSDT 40", "XRPUSDT 40\n* <=20", {"*": "<=20", "xrp/usdt": "40"}])
def test_a_row_that_names_a_symbol_wins_over_all_others(account: Account, wanted: Any) -> None:
    """A named symbol has its own leverage, wherever its row is."""
    rows = {row.symbol: row.after for row in account.plan(wanted).rows}
    assert (len(rows), rows["XRPUSDT"], rows["BTCUSDT"]) == (44, 40, 20)


def test_a_symbol_that_is_not_set_gets_the_cap_or_its_maximum() -> None:
    """Under an upper bound a leverage that is not set becomes the lower of bound and maximum."""
    with Simulator(profile="demo") as simulator:
        account = connect_to(simulator)
        table = account.settings()
        rows = {row.symbol: row for row in account.plan({"*": "<=20"}).rows}
    unset = [symbol for symbol in table.index[table["leverage"].isna()] if symbol in rows]
    assert unset
    assert {symbol: rows[symbol].after for symbol in unset} == {
        symbol: min(20, int(table["symbol_max"][symbol])) for symbol in unset
    }
    assert all(rows[symbol].before is None for symbol in unset)


def test_a_leverage_above_the_maximum_stops_its_own_row_only(account: Account, simulator: Simulator) -> None:
    """Such a row is not sent, even with force; the others are. Under an upper bound nothing is above the maximum."""
    plan = account.plan({"BTCUSDT": 500, "SOLUSDT": 10})
    assert "stopped: 500x is above BTCUSDT's maximum of 150x" in str(plan)
    assert plan.to_force == plan.to_send
    assert statuses(plan.apply(force=True)) == {"BTCUSDT": "not_sent", "SOLUSDT": "applied"}
    assert [symbol for symbol, _ in simulator.exchange.received] == ["SOLUSDT"]
    stopped = [row.symbol for row in account.plan({"*": 20}).rows if row.verdict == "refused"]
    assert stopped == ["42USDT", "EPTUSDT", "哈基米USDT"]  # their published maxima are 10x, 5x and 3x
    assert not account.plan({"*": "<=200"}).to_send


def test_a_row_at_max_names_what_ended_it(simulator: Simulator) -> None:
    """The row names the symbol's maximum, the exposure, the guard or the account limit that ends max."""
    account = connect_to(simulator)
    shown = str(account.plan({"BTCUSDT": "max", "SOLUSDT": "max"}))
    assert "max is 100x: exposure of 432,062.50 USDT exceeds the 300k allowed at 101x" in shown
    assert "max is 100x: the symbol's maximum" in shown
    guarded = connect_to(simulator, max_leverage=20)
    plan = guarded.plan({"BTCUSDT": "max", "DOGEUSDT": "max", "EPTUSDT": "max"})
    reasons = plan.to_frame()["reason"]
    assert reasons["BTCUSDT"].endswith(
        "max is 20x, the current leverage: limited by your guard (connect(max_leverage=...))"
    )
    assert reasons["EPTUSDT"].endswith("max is 5x, the current leverage: the symbol's maximum")
    done = plan.apply().to_frame()
    assert done["status"].to_dict() == {"BTCUSDT": "unchanged", "DOGEUSDT": "unchanged", "EPTUSDT": "unchanged"}


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"*": "max"}, "max for \\* would raise every symbol"), ({"*": 0}, "0 is not a leverage"),
        ({"*": "<="}, "<= has no leverage after it"), ("* 20\n* <=20", "\\* is there twice, with another leverage"),
        ("BTCUSDT 20\nbtc/usdt <=20", "BTCUSDT is there twice, with another leverage"),
        ({"BTCUSDT": "<=0"}, "0 is not a leverage for BTCUSDT"), ({"BTCUSDT": "=<20"}, "For an upper bound write <=20"),
        ({"BTCUSTD": "<=20"}, "Did you mean BTCUSDT"), ({"* ": "ten"}, "ten is not a leverage"),
    ],
)  # fmt: skip
def test_invalid_caps_stop_the_whole_plan(account: Account, simulator: Simulator, wanted: Any, words: str) -> None:
    """A typing error in an upper bound, or for every symbol, stops the whole plan."""
    with pytest.raises(InvalidInput, match=words):
        account.plan(wanted)
    assert simulator.exchange.received == []


def test_a_cap_over_many_symbols_reads_the_settings_once(simulator: Simulator) -> None:
    """An upper bound over 900 symbols is planned from one read of the account."""
    names = list_more_symbols(simulator, 900)
    account = connect_to(simulator)
    account.symbols()
    requests: list[str] = []
    handle = simulator.exchange.handle

    def counted(*request: Any) -> Any:
        requests.append(str(request))
        return handle(*request)

    simulator.exchange.handle = counted  # type: ignore[method-assign]
    plan = account.plan({"*": "<=20"})
    assert len(plan.rows) == 44 + len(names)
    assert sum("symbolConfig" in request for request in requests) == 1
    assert len(str(plan).splitlines()) < 40


def test_a_symbol_without_a_setting_stops_its_own_row_only(account: Account, simulator: Simulator) -> None:
    """Under * a symbol whose setting is missing has a row that says so; named, it stops the plan."""
    account.symbols()
    simulator.inject("missing_symbol", times=2, symbol="LTCUSDT")
    with pytest.raises(UnexpectedAnswer, match="no setting"):
        account.plan({"LTCUSDT": 10})
    simulator.inject("missing_symbol", times=2, symbol="LTCUSDT")
    stuck = [row for row in account.plan({"*": "<=20"}).rows if row.symbol == "LTCUSDT"]
    assert [(row.verdict, row.reason) for row in stuck] == [("refused", "the exchange sent no setting of LTCUSDT")]


def test_a_symbol_with_unusable_tiers_stops_its_own_row_only(account: Account, simulator: Simulator) -> None:
    """Under * a symbol whose tiers are unusable has a row that says so; it is not left out in silence."""
    symbols = simulator.exchange.market.symbols
    first, *others = symbols["LTCUSDT"].tiers
    symbols["LTCUSDT"] = replace(symbols["LTCUSDT"], tiers=(replace(first, initial_leverage=0), *others))
    rows = {row.symbol: row for row in account.plan({"*": "<=20"}).rows}
    assert rows["LTCUSDT"].verdict == "refused"
    assert "tiers of LTCUSDT are unusable" in rows["LTCUSDT"].reason
    assert len(rows) == 44


def test_margin_types_come_before_leverages(quick: Account, simulator: Simulator) -> None:
    """A row with both changes the margin type first, then the leverage; both are undone together."""
    plan = quick.plan({"ADAUSDT": (10, "isolated"), "XRPUSDT": "isolated", "DOGEUSDT": 7})
    frame = plan.to_frame()
    assert list(zip(frame.index, frame["kind"], frame["before"], frame["after"], strict=True)) == [
        ("ADAUSDT", "margin type", "cross", "isolated"),
        ("XRPUSDT", "margin type", "cross", "isolated"),
        ("ADAUSDT", "leverage", 20, 10),
        ("DOGEUSDT", "leverage", 20, 7),
    ]
    done = plan.apply()
    assert set(done.to_frame()["status"]) == {"applied"}
    assert [arrival.kind for arrival in simulator.exchange.arrivals] == ["margin type"] * 2 + ["leverage"] * 2
    undone = quick.undo()
    assert set(undone.to_frame()["status"]) == {"applied"}
    assert quick.setting("ADAUSDT").margin_type == "cross"
    assert quick.setting("ADAUSDT").leverage == 20


def test_a_leverage_is_not_sent_after_a_refused_margin_type(quick: Account, simulator: Simulator) -> None:
    """Where the margin type would be refused, the leverage of that symbol is not sent; other rows are."""
    plan = quick.plan({"BTCUSDT": (10, "isolated"), "ADAUSDT": (10, "isolated")})
    assert plan.to_frame()["verdict"].tolist() == ["refused", "ok", "refused", "ok"]
    done = plan.apply().to_frame().set_index("kind", append=True)["status"]
    assert done["BTCUSDT", "margin type"] == done["BTCUSDT", "leverage"] == "not_sent"
    assert done["ADAUSDT", "margin type"] == done["ADAUSDT", "leverage"] == "applied"
    assert quick.setting("BTCUSDT").leverage == 20


@pytest.mark.parametrize("fault", ["unavailable_503", "reset_before"])
def test_a_leverage_is_not_sent_after_a_failed_margin_type(quick: Account, simulator: Simulator, fault: str) -> None:
    """If the first of both fails, the report says what stands, and a retry sends both."""
    simulator.inject(fault, on="POST /fapi/v1/marginType", times=None)
    done = quick.plan({"ADAUSDT": (10, "isolated")}).apply()
    first, second = done.rows
    assert first.status in {"refused", "not_applied"}
    assert (second.status, second.reason.startswith("the change of margin type before it ended as")) == (
        "not_sent", True,
    )  # fmt: skip
    setting = quick.setting("ADAUSDT")
    assert (setting.margin_type, setting.leverage) == ("cross", 20)
    simulator.clear_faults()
    assert {row.status for row in done.retry().rows} == {"applied"}


def test_a_failed_leverage_leaves_the_margin_type(quick: Account, simulator: Simulator) -> None:
    """If the second of both fails, the report says that the margin type stands."""
    simulator.inject("other_client_first", symbol="ADAUSDT", leverage=33, on="POST /fapi/v1/leverage")
    simulator.inject("reset_before", on="POST /fapi/v1/leverage")
    done = quick.plan({"ADAUSDT": (10, "isolated")}).apply()
    first, second = done.rows
    assert first.status == "applied"
    assert second.status in {"superseded", "not_applied"}
    assert quick.setting("ADAUSDT").margin_type == "isolated"


def test_unchanged_margin_types_are_not_sent(quick: Account, simulator: Simulator) -> None:
    """A row whose margin type is there already changes the leverage only; every symbol can be named by *."""
    quick.plan("BTCUSDT 10 cross\n# a comment\n").apply()
    assert [arrival.kind for arrival in simulator.exchange.arrivals] == ["leverage"]
    everywhere = quick.plan({"*": "isolated"})
    verdicts = everywhere.to_frame()["verdict"]
    assert verdicts["BTCUSDT"] == "refused"
    assert verdicts["ETHUSDT"] == "unchanged"
    assert verdicts["ADAUSDT"] == "ok"


def test_a_bound_raises_no_leverage_that_was_lowered_since(account: Account, simulator: Simulator) -> None:
    """A bound is compared with the leverage when it is sent: a lower one stays, in a retry too."""
    plan = account.plan({"XRPUSDT": "<=15"})
    simulator.exchange.change_elsewhere("XRPUSDT", 5)
    first = plan.apply()
    assert statuses(first) == {"XRPUSDT": "unchanged"}
    simulator.inject("unavailable_503", times=None)
    simulator.exchange.change_elsewhere("XRPUSDT", 50)
    failed = account.plan({"XRPUSDT": "<=15"}).apply()
    assert statuses(failed) != {"XRPUSDT": "applied"}
    simulator.clear_faults()
    simulator.exchange.change_elsewhere("XRPUSDT", 4)
    assert statuses(failed.retry()) == {"XRPUSDT": "unchanged"}
    assert account.setting("XRPUSDT").leverage == 4


@pytest.mark.parametrize(("bound", "wanted"), [("<=50", 20), ("<=125", 20), ("<=20", 20), ("<=15", 15)])
def test_a_bound_sets_no_leverage_above_the_default(bound: str, wanted: int) -> None:
    """A leverage that is not set becomes the lower of bound and Binance's default, which no bound raises."""
    with Simulator(profile="demo") as simulator, connect_to(simulator) as account:
        rows = {row.symbol: row for row in account.plan({"*": bound}).rows}
        assert rows["BNBUSDT"].step == f"not set → {wanted}x"
        maxima = account.brackets()["initial_leverage"].groupby("symbol").max()
        unset = [row for row in rows.values() if row.before is None]
        assert all(row.after == min(wanted, maxima[row.symbol]) for row in unset)


def test_max_names_what_it_stops_at(simulator: Simulator) -> None:
    """A plan and a single preview say whether maximum, guard, size or exposure limits max, also if nothing is sent."""
    account, guarded = connect_to(simulator), connect_to(simulator, max_leverage=30)
    assert "max is 30x: limited by your guard" in str(guarded.plan({"XRPUSDT": "max"}))
    assert "30x: limited by your guard (connect(max_leverage=...))" in str(guarded.preview("XRPUSDT", "max"))
    assert "the symbol's maximum" in str(account.preview("XRPUSDT", "max"))
    assert "100x: exposure of" in str(account.preview("BTCUSDT", "max"))
    # BTCUSDT allows 3M at 75x and 800k at 100x: https://www.binance.com/en/futures/trading-rules/perpetual/leverage-margin.
    assert "75x: a position has at most 800k at 76x" in str(account.preview("BTCUSDT", "max", notional="2m"))
    guarded.set_leverage("XRPUSDT", 30)
    assert "max is 30x, the current leverage: limited by your guard" in str(guarded.plan({"XRPUSDT": "max"}))


def test_a_setting_that_is_left_out_is_unknown(account: Account, simulator: Simulator) -> None:
    """A symbol whose setting the exchange leaves out has no leverage before, and its row is stopped."""
    simulator.inject("missing_symbol", symbol="SOLUSDT", times=None)
    [row] = [row for row in account.plan({"*": 5}).rows if row.symbol == "SOLUSDT"]
    assert (row.before, row.is_read, row.verdict, row.code) == (None, False, "refused", None)
    assert row.step == "unknown → 5x"
