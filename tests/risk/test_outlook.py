"""The outlook: on random accounts its verdict is the simulator's answer, whose margin engine is another."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leverage_nb.account import Account, service_of
from leverage_nb.risk.outlook import AccountLimit, Outlook
from leverage_nb.simulator import Simulator
from leverage_nb.simulator.account import Account as Books
from leverage_nb.simulator.account import Refused
from tests.conftest import connect_to
from tests.simulator.strategies import MARKET, SYMBOLS, accounts

COLUMNS = ["max_notional", "room", "initial_margin", "available_after", "verdict", "code", "certainty", "reason"]


def targets_of(books: Books, name: str, extra: list[int]) -> list[int]:
    """Leverages worth asking: both ends, the neighbours of today's, every tier edge near what is held, and any."""
    symbol, now = books.market.symbols[name], books.leverage(name)
    edges = [tier.initial_leverage + step for tier in symbol.tiers for step in (0, 1)]
    asked = {1, now - 1, now, now + 1, symbol.max_leverage, *edges, *extra}
    return sorted(x for x in asked if 1 <= x <= symbol.max_leverage)


def outcome(books: Books, name: str, leverage: int) -> int:
    """What the simulator answers: 0 or a code; its books are left as they were."""
    before = books.leverage(name)
    try:
        books.set_leverage(name, leverage)
    except Refused as refused:
        return refused.code
    books.leverages[name] = before
    return 0


def compare(runs: int, *, alike: bool) -> Counter[str]:
    """Hold verdicts against answers on ``runs`` random accounts; returns how often each verdict was given.

    ``alike``: the same accounts at each run.
    """
    seen: Counter[str] = Counter()
    with Simulator(weight_limit=10**9) as simulator, connect_to(simulator) as account:
        table = service_of(account).tiers.table()

        @settings(
            max_examples=runs, deadline=None, database=None, derandomize=alike, suppress_health_check=list(HealthCheck)
        )
        @given(opening=accounts(), extra=st.lists(st.integers(1, 150), max_size=3))
        def check(opening: dict[str, Any], extra: list[int]) -> None:
            books = simulator.exchange.account = Books(MARKET, opening)
            state = account.state()
            for symbol in SYMBOLS:
                outlook = Outlook(state, table[symbol.name])
                for leverage in targets_of(books, symbol.name, extra):
                    said = outlook.judge(leverage)
                    answered = outcome(books, symbol.name, leverage)
                    where = (symbol.name, books.leverage(symbol.name), leverage, said)
                    mode = "multi" if state.multi_assets else "single"
                    seen[f"{mode} {said.verdict}"] += 1
                    if said.verdict == "cannot predict":
                        assert answered in {0, -2027, -2028}, where
                    else:
                        assert answered == (said.code or 0), where

        check()
    return seen


def assert_little_is_left_open(seen: Counter[str]) -> None:
    """Outside multi-assets mode at most 5 % of the verdicts are "cannot predict"."""
    single = sum(count for verdict, count in seen.items() if verdict.startswith("single"))
    assert seen["single cannot predict"] <= 0.05 * single
    assert min(seen["single ok"], seen["single refused"]) > 0


def test_verdicts_are_the_simulators_answers() -> None:
    """On random accounts every verdict is what the exchange answers."""
    assert_little_is_left_open(compare(150, alike=True))


@pytest.mark.proof
def test_verdicts_are_the_simulators_answers_at_length() -> None:
    """The same on 5,000 random accounts and more: ``pytest -m proof``; LEVERAGE_NB_PROOF_RUNS sets how many."""
    seen = compare(int(os.environ.get("LEVERAGE_NB_PROOF_RUNS", "5000")), alike=False)
    print(f"\n{sum(seen.values()):,} verdicts: " + ", ".join(f"{count:,} {name}" for name, count in seen.most_common()))
    assert_little_is_left_open(seen)


def outlook_of(account: Account, symbol: str, **limit: Any) -> Outlook:
    """The outlook of the opening account."""
    return Outlook(account.state(), account.tiers(symbol), AccountLimit(**limit) if limit else None)


def test_the_opening_account_by_hand(account: Account) -> None:
    """BTCUSDT: 432,062.50 held at 20x on 94,362.50 of cross margin, 650 of it taken by an order elsewhere."""
    outlook = outlook_of(account, "BTCUSDT")
    assert outlook.exposure == pytest.approx(432_062.5)
    assert outlook.initial_margin[9] == pytest.approx(43_206.25)
    assert outlook.available_after[9] == pytest.approx(94_362.5 - 650 - 43_206.25)
    assert outlook.room[149] == pytest.approx(300_000 - 432_062.5)
    assert outlook.judge(20).verdict == "unchanged"
    assert outlook.judge(5).verdict == "ok"
    short = outlook.judge(4)
    assert (short.verdict, short.code, short.certainty) == ("refused", -2028, "documented")
    assert short.reason == "needs 14,303.13 USDT more; lowest leverage that fits: 5x"  # 14,303.125, rounded up
    large = outlook.judge(101)
    assert (large.verdict, large.code, large.certainty) == ("refused", -2027, "documented")
    assert "432,062.50 USDT held, 101x allows 300k; highest leverage that fits: 100x" in large.reason
    assert outlook.fitting().tolist() == list(range(5, 101))


def test_an_isolated_position_blocks_lowering(account: Account) -> None:
    """ETHUSDT, isolated and open: every lower leverage is -4161, every higher one that fits passes."""
    outlook = outlook_of(account, "ETHUSDT")
    assert {outlook.judge(x).code for x in range(1, 10)} == {-4161}
    assert outlook.judge(11).verdict == "ok"
    # At 100x 150x does not fit, and neither does anything lower: the advice names no leverage that would be refused.
    opened = account.state()
    high = replace(opened.settings["ETHUSDT"], leverage=100)
    larger = tuple(replace(p, notional=p.notional * 4) for p in opened.positions)
    crowded = replace(opened, positions=larger, settings={**opened.settings, "ETHUSDT": high})
    assert Outlook(crowded, account.tiers("ETHUSDT")).judge(150).reason.endswith("only today's 100x fits")
    state = replace(account.state(), hedge_mode=True)
    assert Outlook(state, account.tiers("ETHUSDT")).judge(9).certainty == "inferred"


def test_an_account_limit_comes_first(account: Account) -> None:
    """What the exchange has limited before is expected to be refused again, in its own words."""
    outlook = outlook_of(account, "SOLUSDT", max_leverage=20, code=-4300, words="You can start trading with more")
    judged = outlook.judge(21)
    assert (judged.verdict, judged.code) == ("refused", -4300)
    assert "You can start trading with more" in judged.reason
    assert outlook.judge(19).verdict == "ok"
    assert outlook.fitting().max() == 20


def test_the_frame(account: Account) -> None:
    """Columns, index and dtypes are those of the design."""
    frame = outlook_of(account, "BTCUSDT").to_frame()
    assert list(frame.columns) == COLUMNS
    assert (frame.index.name, len(frame)) == ("leverage", 150)
    assert frame.loc[4, "code"] == -2028
    assert frame["code"].isna().sum() == 96
    assert frame.loc[[1, 20, 150], "verdict"].tolist() == ["refused", "unchanged", "refused"]


def test_multi_assets_mode_is_not_guessed(account: Account) -> None:
    """In multi-assets mode a lowering that needs more margin is not called, and one that needs none is."""
    state = replace(account.state(), multi_assets=True)
    judged = Outlook(state, account.tiers("BTCUSDT")).judge(10)
    assert (judged.verdict, judged.code, judged.certainty) == ("cannot predict", -2028, "cannot predict")
    assert Outlook(state, account.tiers("BNBUSDT")).judge(5).verdict == "ok"
