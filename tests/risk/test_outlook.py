"""The outlook predicts the answers of the simulator, which has a margin engine of its own."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leverage_nb.account import Account
from leverage_nb.risk.outlook import AccountLimit, Outlook
from leverage_nb.simulator import Simulator
from leverage_nb.simulator.account import Account as Books
from leverage_nb.simulator.account import Position, Refused
from tests.conftest import connect_to
from tests.simulator.strategies import MARKET, SYMBOLS, accounts

COLUMNS = [
    "max_notional",
    "room",
    "initial_margin",
    "available_after",
    "can_open",
    "verdict",
    "code",
    "certainty",
    "reason",
]


def targets_of(books: Books, name: str, extra: list[int]) -> list[int]:
    """Return leverages to try: both ends, the current one and its neighbours, every tier edge, and ``extra``."""
    symbol, current = books.market.symbols[name], books.leverage(name)
    edges = [tier.initial_leverage + step for tier in symbol.tiers for step in (0, 1)]
    targets = {1, current - 1, current, current + 1, symbol.max_leverage, *edges, *extra}
    return sorted(x for x in targets if 1 <= x <= symbol.max_leverage)


def outcome(opening: dict[str, Any], name: str, leverage: int) -> int:
    """Return the simulator's answer for an account that opens like this: 0 or a code."""
    try:
        Books(MARKET, opening).set_leverage(name, leverage)
    except Refused as refused:
        return refused.code
    return 0


def compare(runs: int, *, alike: bool) -> Counter[str]:
    """Compare verdicts with answers on ``runs`` random accounts; return how often each verdict was given.

    ``alike``: the same accounts at each run.
    """
    seen: Counter[str] = Counter()
    with Simulator(weight_limit=10**9) as simulator, connect_to(simulator) as account:
        tiers = {symbol.name: account.tiers(symbol.name) for symbol in SYMBOLS}

        @settings(
            max_examples=runs, deadline=None, database=None, derandomize=alike, suppress_health_check=list(HealthCheck)
        )
        @given(opening=accounts(), extra=st.lists(st.integers(1, 150), max_size=3))
        def check(opening: dict[str, Any], extra: list[int]) -> None:
            books = simulator.exchange.account = Books(MARKET, opening)
            state = account.state()
            for symbol in SYMBOLS:
                outlook = Outlook(state, tiers[symbol.name])
                for leverage in targets_of(books, symbol.name, extra):
                    judgement = outlook.judge(leverage)
                    answer = outcome(opening, symbol.name, leverage)
                    where = (symbol.name, books.leverage(symbol.name), leverage, judgement)
                    mode = "multi" if state.multi_assets else "single"
                    seen[f"{mode} {judgement.verdict}"] += 1
                    if judgement.verdict == "unpredictable":
                        assert answer in {0, -2027, -2028}, where
                    else:
                        assert answer == (judgement.code or 0), where

        check()
    return seen


def assert_few_are_unpredictable(seen: Counter[str]) -> None:
    """Outside multi-assets mode at most 5 % of the verdicts are "unpredictable"."""
    single = sum(count for verdict, count in seen.items() if verdict.startswith("single"))
    assert seen["single unpredictable"] <= 0.05 * single
    assert min(seen["single ok"], seen["single refused"]) > 0


def test_verdicts_are_the_simulators_answers() -> None:
    """On random accounts every verdict is the simulator's answer."""
    assert_few_are_unpredictable(compare(60, alike=True))


@pytest.mark.proof
def test_verdicts_are_the_simulators_answers_at_length(pytestconfig: pytest.Config) -> None:
    """The same holds on 5,000 random accounts: ``pytest -m proof``, ``--proof-runs`` for another number."""
    seen = compare(pytestconfig.getoption("--proof-runs"), alike=False)
    print(f"\n{sum(seen.values()):,} verdicts: " + ", ".join(f"{count:,} {name}" for name, count in seen.most_common()))
    assert_few_are_unpredictable(seen)


def outlook_of(account: Account, symbol: str, **limit: Any) -> Outlook:
    """Return the outlook of the opening account."""
    return Outlook(account.state(), account.tiers(symbol), AccountLimit(**limit) if limit else None)


def test_figures_agree_with_figures_calculated_by_hand(account: Account) -> None:
    """BTCUSDT: 432,062.50 at 20x with 94,362.50 of cross margin, of which an order elsewhere uses 650."""
    outlook = outlook_of(account, "BTCUSDT")
    assert outlook.exposure == pytest.approx(432_062.5)
    assert outlook.initial_margin[9] == pytest.approx(43_206.25)
    assert outlook.available_after[9] == pytest.approx(94_362.5 - 650 - 43_206.25)
    assert outlook.room[149] == pytest.approx(300_000 - 432_062.5)
    assert outlook.judge(20).verdict == "unchanged"
    assert outlook.judge(5).verdict == "ok"
    too_low = outlook.judge(4)
    assert (too_low.verdict, too_low.code, too_low.certainty) == ("refused", -2028, "documented")
    assert too_low.reason == "needs 14,303.13 USDT more margin; lowest leverage that fits: 5x"  # 14,303.125, rounded up
    too_high = outlook.judge(101)
    assert (too_high.verdict, too_high.code, too_high.certainty) == ("refused", -2027, "documented")
    assert too_high.reason == (
        "exposure of 432,062.50 USDT exceeds the 300k allowed at 101x; highest leverage that fits: 100x"
    )
    assert too_high.text == f"would be refused: {too_high.reason} (-2027)"
    assert outlook.fitting().tolist() == list(range(5, 101))


def test_an_isolated_position_blocks_lowering(account: Account) -> None:
    """With an open isolated position, every lower leverage is refused (-4161); a higher one that fits passes."""
    outlook = outlook_of(account, "ETHUSDT")
    assert {outlook.judge(x).code for x in range(1, 10)} == {-4161}
    assert outlook.judge(11).verdict == "ok"
    # From 100x, neither 150x nor anything lower passes: the advice names no leverage that would be refused.
    opened = account.state()
    high = replace(opened.settings["ETHUSDT"], leverage=100)
    larger = tuple(replace(p, notional=p.notional * 4) for p in opened.positions)
    crowded = replace(opened, positions=larger, settings={**opened.settings, "ETHUSDT": high})
    assert Outlook(crowded, account.tiers("ETHUSDT")).judge(150).reason.endswith("only the current 100x fits")
    state = replace(account.state(), hedge_mode=True)
    assert Outlook(state, account.tiers("ETHUSDT")).judge(9).certainty == "inferred"


def test_an_account_limit_comes_first(account: Account) -> None:
    """A leverage above an account limit is expected to be refused, with the exchange's own words."""
    outlook = outlook_of(account, "SOLUSDT", max_leverage=20, code=-4300, words="You can start trading with more")
    judged = outlook.judge(21)
    assert (judged.verdict, judged.code) == ("refused", -4300)
    assert "You can start trading with more" in judged.reason
    assert outlook.judge(19).verdict == "ok"
    assert outlook.fitting().max() == 20


def test_a_symbol_that_is_not_trading_is_unpredictable(account: Account) -> None:
    """What the exchange answers for a symbol that is not trading is not known: each change is unpredictable."""
    outlook = outlook_of(account, "UXLINKUSDT")  # opens at its maximum, 5x
    assert [outlook.judge(x).verdict for x in (1, 4, 5)] == ["unpredictable", "unpredictable", "unchanged"]
    judged = outlook.judge(4)
    assert (judged.code, judged.certainty) == (-1122, "inferred")
    assert judged.reason == "UXLINKUSDT is not trading (SETTLING), and the exchange may refuse any change"
    limited = outlook_of(account, "UXLINKUSDT", max_leverage=3, code=-4300, words="no more")
    assert limited.judge(4).code == -4300


def test_the_frame_has_a_row_per_leverage(account: Account) -> None:
    """Index, columns and figures of the DataFrame are those documented."""
    frame = outlook_of(account, "BTCUSDT").to_frame()
    assert list(frame.columns) == COLUMNS
    assert (frame.index.name, len(frame)) == ("leverage", 150)
    assert frame.loc[4, "code"] == -2028
    assert frame["code"].isna().sum() == 96
    assert frame.loc[[1, 20, 150], "verdict"].tolist() == ["refused", "unchanged", "refused"]


def test_multi_assets_mode_predicts_by_the_published_rule() -> None:
    """In multi-assets mode a lower leverage passes until the account's equity in USD is used up: -2028 is inferred."""
    with Simulator() as simulator, connect_to(simulator) as account:
        books = simulator.exchange.account
        books.isolated.clear()
        books.multi_assets = True
        outlook = Outlook(account.state(), account.tiers("BTCUSDT"))
        lowest = int(outlook.fitting().min())
        judged = outlook.judge(lowest - 1)
        assert (judged.verdict, judged.code, judged.certainty) == ("refused", -2028, "inferred")
        with pytest.raises(Refused, match="-2028"):
            books.set_leverage("BTCUSDT", lowest - 1)
        assert books.set_leverage("BTCUSDT", lowest)


def test_multi_assets_mode_without_rates_is_unpredictable(account: Account) -> None:
    """Without USD rates a lower leverage is unpredictable if it needs more margin, and passes if it needs none."""
    state = replace(account.state(), multi_assets=True)
    judged = Outlook(state, account.tiers("BTCUSDT")).judge(10)
    assert (judged.verdict, judged.code, judged.certainty) == ("unpredictable", -2028, "inferred")
    assert "the USD rate of BTC, USDT is unknown" in judged.reason
    assert Outlook(state, account.tiers("BNBUSDT")).judge(5).verdict == "ok"


def test_credits_trading_mode_is_unpredictable(account: Account) -> None:
    """In Credits Trading Mode a lower leverage that needs margin is unpredictable, whatever the USDT balance is."""
    state = account.state()
    usdt = state.balances["USDT"]
    balances = {**state.balances, "USDT": replace(usdt, wallet=0), "BNFCR": replace(usdt, asset="BNFCR")}
    state = replace(state, balances=balances)
    judged = Outlook(state, account.tiers("BTCUSDT")).judge(10)
    assert (judged.verdict, judged.code) == ("unpredictable", -2028)
    assert "Credits Trading Mode" in judged.reason


def test_a_leverage_that_is_not_set_is_judged_from_the_default(account: Account) -> None:
    """Below Binance's default a change from a leverage that is not set may need margin, or be a lowering."""
    state, table = account.state(), {name: account.tiers(name) for name in ("BTCUSDT", "ETHUSDT", "XRPUSDT")}
    unset = {name: replace(setting, leverage=None) for name, setting in state.settings.items()}
    judge = {name: Outlook(replace(state, settings=unset), tiers).judge for name, tiers in table.items()}
    low = judge["BTCUSDT"](1)
    assert (low.verdict, low.code, low.certainty) == ("refused", -2028, "inferred")
    assert (judge["BTCUSDT"](25).verdict, judge["XRPUSDT"](1).verdict) == ("ok", "ok")
    isolated = judge["ETHUSDT"](5)
    assert (isolated.verdict, isolated.code, isolated.certainty) == ("unpredictable", -4161, "inferred")
    assert "if 20x applies, it cannot be lowered" in isolated.reason
    assert judge["ETHUSDT"](25).verdict == "ok"


def test_the_advice_of_4161_names_a_side_in_hedge_mode() -> None:
    """With both sides open, the command that adds margin needs a side."""
    with Simulator() as simulator, connect_to(simulator) as account:
        books = simulator.exchange.account
        books.dual_side, books.orders = True, []
        books.positions = [
            Position("ETHUSDT", "LONG", Decimal(10), Decimal(2800), Decimal(3000)),
            Position("ETHUSDT", "SHORT", Decimal(-5), Decimal(2800), Decimal(2000)),
        ]
        assert "--add-margin AMOUNT --side long, or short" in account.preview("ETHUSDT", 5).reason
