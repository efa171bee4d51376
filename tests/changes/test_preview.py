"""Preview: before and after, what would make it pass, and that nothing else is sent than what it shows."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from leverage_nb.account import Account, service_of
from leverage_nb.binance import reader
from leverage_nb.changes.fresh_read import FRESH_FOR
from leverage_nb.changes.preview import Preview
from leverage_nb.changes.service import SymbolView
from leverage_nb.errors import ChangeNotSent, InvalidInput, InvalidLeverage, LeverageRefused, UnexpectedAnswer
from leverage_nb.risk.outlook import Outlook
from leverage_nb.simulator import Simulator
from tests.conftest import connect_to


def test_before_and_after(account: Account) -> None:
    """The figures of today and of the step, from the opening account worked out by hand."""
    preview = account.preview("BTCUSDT", "10x")
    assert (preview.before, preview.after, preview.verdict, preview.certainty) == (20, 10, "ok", "documented")
    assert preview.max_notional == (100e6, 230e6)
    assert preview.initial_margin == (pytest.approx(432_062.5 / 20), pytest.approx(432_062.5 / 10))
    assert preview.available == (pytest.approx(72_109.375), pytest.approx(72_109.375 - 432_062.5 / 20))
    assert preview.headline == "BTCUSDT 20x → 10x leaves 50,506.25 USDT available"
    text = str(preview)
    assert "liquidation 67,819.10, not affected by leverage" in text
    assert "effective 4.6x for the whole cross account" in text
    assert "initial leverage 20x → 10x" in text
    assert "A prediction, as of" in text


@pytest.mark.parametrize(
    ("symbol", "leverage", "words"),
    [
        ("BTCUSDT", 4, "would be refused: needs 14,303.13 USDT more margin; lowest leverage that fits: 5x (-2028)"),
        (
            "BTCUSDT",
            101,
            "would be refused: exposure of 432,062.50 USDT exceeds the 300k allowed at 101x; "
            "highest leverage that fits: 100x (-2027)",
        ),
        ("ETHUSDT", 5, "would be refused: an isolated position is open"),
    ],
)
def test_a_refusal_is_said_before_it_is_met(account: Account, symbol: str, leverage: int, words: str) -> None:
    """A preview says what would be refused and what would pass; applying it sends nothing unless forced."""
    preview = account.preview(symbol, leverage)
    assert words in preview.headline
    before = account.setting(symbol).leverage
    with pytest.raises(ChangeNotSent, match="expected to refuse"):
        preview.apply()
    with pytest.raises(LeverageRefused) as caught:
        preview.apply(force=True)
    assert caught.value.code == preview.code
    assert account.setting(symbol).leverage == before


def test_what_cannot_be_taken_back_is_said(account: Account) -> None:
    """Raising on an isolated position is a one-way street, and the preview says so before."""
    preview = account.preview("ETHUSDT", 20)
    assert preview.caution == "this cannot be undone while the isolated position is open (-4161)"
    assert ("caution", preview.caution) in preview.rows()
    assert account.preview("ETHUSDT", 10).caution == ""
    assert account.preview("BTCUSDT", 30).caution == ""
    assert "this cannot be undone while" in str(account.plan({"ETHUSDT": 20}))
    assert "caution" in str(preview.apply())


def test_tiers_and_setting_that_disagree_are_said(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the exchange's own max notional is not the tiers', the preview names both."""
    from leverage_nb.simulator import answers

    told = answers.symbol_config
    monkeypatch.setattr(answers, "symbol_config", lambda *a: {**told(*a), "maxNotionalValue": "50000000"})
    (warning,) = account.preview("BTCUSDT", 10).warnings
    assert "The tiers allow 100M at 20x, but the exchange's setting shows 50M" in warning


def aged(preview: Preview) -> Preview:
    """A preview as it is more than a second later."""
    setting = replace(preview.setting, read_at=preview.setting.read_at - FRESH_FOR - 0.001)
    return replace(preview, setting=setting)


def test_an_older_preview_is_made_again_and_stops_if_the_account_has_changed(
    account: Account, simulator: Simulator
) -> None:
    """Leverage, positions and wallet that changed since the preview stop it; prices that moved do not."""
    books = simulator.exchange.account
    preview = account.preview("BTCUSDT", 10)
    books.positions[0].amount += 1
    with pytest.raises(ChangeNotSent, match="The account has changed since the preview"):
        aged(preview).apply()
    preview = account.preview("BTCUSDT", 10)
    books.set_leverage("BTCUSDT", 15)
    with pytest.raises(ChangeNotSent, match="The account has changed since the preview") as caught:
        aged(preview).apply()
    assert "BTCUSDT 15x → 10x" in caught.value.message  # what it is now
    preview = account.preview("BTCUSDT", 10)
    books.wallets["USDT"] -= 10_000
    with pytest.raises(ChangeNotSent, match="The account has changed since the preview"):
        aged(preview).apply()
    books.wallets["USDT"] += 10_000
    preview = account.preview("BTCUSDT", 10)
    books.positions[0].entry_price -= 5
    assert aged(preview).apply().after == 10
    assert len(simulator.exchange.received) == 1


def test_an_older_preview_is_sent_on_its_new_read(account: Account, simulator: Simulator) -> None:
    """Where nothing has changed, the second preview's read is the one that the change leaves on."""
    arrived = requests(simulator)
    change = aged(account.preview("BTCUSDT", 10)).apply()
    assert (change.status, change.before, change.after) == ("applied", 20, 10)
    assert arrived.count("GET /fapi/v1/symbolConfig") == 2
    assert arrived[-1] == "POST /fapi/v1/leverage"


def test_what_was_previewed_as_unchanged_sends_nothing(account: Account, simulator: Simulator) -> None:
    """A leverage that somebody else has set since the preview showed "unchanged" is not overwritten."""
    preview = account.preview("BTCUSDT", 20)
    assert preview.verdict == "unchanged"
    simulator.exchange.change_elsewhere("BTCUSDT", 33)
    with pytest.raises(ChangeNotSent, match="The account has changed since the preview"):
        aged(preview).apply()
    assert account.setting("BTCUSDT").leverage == 33
    assert simulator.exchange.received == []


def test_tiers_that_moved_stop_it(account: Account, simulator: Simulator) -> None:
    """The second preview reads the tiers anew: caps that were cut since the first one stop it."""
    preview = account.preview("SOLUSDT", 10)
    symbols = simulator.exchange.market.symbols
    sol = symbols["SOLUSDT"]
    cut = tuple(
        replace(t, notional_floor=t.notional_floor / 2, notional_cap=t.notional_cap / 2, cum=t.cum / 2)
        for t in sol.tiers
    )
    symbols["SOLUSDT"] = replace(sol, tiers=cut)
    with pytest.raises(ChangeNotSent, match="The account has changed since the preview"):
        aged(preview).apply()


def test_a_preview_is_not_sent_twice(account: Account, simulator: Simulator) -> None:
    """A second apply finds that it is done already, whether its read is a second old or not, and sends nothing."""
    preview = account.preview("BTCUSDT", 10)
    assert preview.apply().status == "applied"
    with pytest.raises(ChangeNotSent, match="confirmed from 20x, and BTCUSDT is at 10x now"):
        preview.apply()
    with pytest.raises(ChangeNotSent, match="BTCUSDT is at 10x already"):
        aged(preview).apply()
    assert len(simulator.exchange.received) == 1


def test_a_missing_label_does_not_make_a_refusal(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the symbols' margin assets cannot be read, the position's own is used, and nothing is invented."""

    def fail(client: Any) -> Any:
        raise UnexpectedAnswer("exchangeInfo is gone")

    monkeypatch.setattr(reader, "read_margin_assets", fail)
    preview = account.preview("BTCUSDT", 10)
    assert preview.verdict == "ok"
    assert preview.available[1] == pytest.approx(72_109.375 - 432_062.5 / 20)


def test_a_balance_that_is_missing_is_not_zero(account: Account) -> None:
    """Without the balance behind a position a lowering cannot be predicted, and is not called refused."""
    outlook = Outlook(replace(account.state(), balances={}), account.tiers("BTCUSDT"))
    assert outlook.judge(10).verdict == "unpredictable"
    assert outlook.judge(30).verdict == "ok"


def test_todays_leverage_above_the_tiers(account: Account) -> None:
    """When the maximum has fallen below today's leverage there are no figures of today to show, and none are shown."""
    state = account.state()
    settings = {**state.settings, "SOLUSDT": replace(state.settings["SOLUSDT"], leverage=125)}
    outlook = Outlook(replace(state, settings=settings), account.tiers("SOLUSDT"))
    preview = service_of(account).preview_at(SymbolView(outlook, replace(state, settings=settings)), 50)
    assert preview.before == 125
    assert np.isnan(preview.max_notional[0])
    assert "nan" not in str(preview)
    with pytest.raises(InvalidLeverage):
        service_of(account).preview_at(SymbolView(outlook, state), 101)


@pytest.mark.parametrize(
    ("symbol", "notional", "words"),
    [
        ("BTCUSDT", "5b", "No leverage of BTCUSDT allows a notional of 5,000,000,000"),
        ("BTCUSDT", "much", "not a notional"), ("BTCUSDT", float("nan"), "not a notional"),
    ],
)  # fmt: skip
def test_highest_leverage_says_what_stands_in_the_way(account: Account, symbol: str, notional: Any, words: str) -> None:
    """Where no leverage is left, the rule that removed the last one is named."""
    with pytest.raises(InvalidInput, match=words):
        account.highest_leverage(symbol, notional)


def test_highest_leverage_names_the_rule_and_keeps_what_is_open(simulator: Simulator) -> None:
    """An isolated position above the guard is said as just that; in multi-assets mode what is not refused may be it."""
    books = simulator.exchange.account
    books.set_leverage("ETHUSDT", 50)
    guarded = connect_to(simulator, max_leverage=20)
    with pytest.raises(InvalidInput, match="ETHUSDT 20x would be refused: an isolated position is open"):
        guarded.highest_leverage("ETHUSDT")
    books.multi_assets = True
    books.set_leverage("BTCUSDT", 100)
    with connect_to(simulator) as account:
        assert account.highest_leverage("BTCUSDT", "50m") == 25


def requests(simulator: Simulator) -> list[str]:
    """The requests that arrive from now on, as METHOD /path."""
    handle, arrived = simulator.exchange.handle, list[str]()

    def noting(request: Any, *more: Any, **options: Any) -> Any:
        arrived.append(f"{request.method} {request.path}")
        return handle(request, *more, **options)

    simulator.exchange.handle = noting  # type: ignore[method-assign]  # it answers as before
    return arrived


def test_a_previewed_change_takes_two_round_trips(account: Account, simulator: Simulator) -> None:
    """The four reads of a preview are under way at the same time, and then there is the POST and no more."""
    account.margin_asset("BTCUSDT")
    arrived = requests(simulator)
    simulator.inject("late_answer", on="GET *", times=None, seconds=0.3)
    started = time.monotonic()
    preview = account.preview("BTCUSDT", 10)
    assert time.monotonic() - started < 0.9  # one after the other they take 1.2 s
    assert preview.apply().status == "applied"
    assert sorted(arrived[:4]) == [
        "GET /fapi/v1/accountConfig", "GET /fapi/v1/symbolConfig", "GET /fapi/v3/account", "GET /fapi/v3/positionRisk",
    ]  # fmt: skip
    assert arrived[4:] == ["POST /fapi/v1/leverage"]


def test_unchanged_is_said(account: Account) -> None:
    """A leverage that is there already is said to be, and nothing is sent."""
    preview = account.preview("BTCUSDT", 20)
    assert preview.headline == "BTCUSDT is at 20x already"
    assert preview.apply().status == "unchanged"


def test_ladder_and_outlook_of_an_account(account: Account) -> None:
    """Both carry the venue; the ladder is entered at the exchange's mark."""
    ladder = account.ladder("BTCUSDT", 50_000)
    assert ladder.columns.name == "SIMULATOR"
    assert ladder.loc[10, "max_quantity"] == pytest.approx(230e6 / 86_412.5)
    assert account.outlook("BTCUSDT").attrs["venue"] == "simulator"
    assert account.ladder("BTCUSDT", 50_000, mark_price=50_000).loc[10, "liquidation_long"] == pytest.approx(
        45180.722891566
    )


def test_a_maximum_that_fell_is_not_sent_with_its_record(account: Account, simulator: Simulator) -> None:
    """When a preview's leverage is no longer offered, applying it is ChangeNotSent like any other stop."""
    preview = account.preview("SOLUSDT", 100)
    market = simulator.exchange.market.symbols
    tiers = tuple(replace(t, initial_leverage=min(t.initial_leverage, 99 - t.number)) for t in market["SOLUSDT"].tiers)
    market["SOLUSDT"] = replace(market["SOLUSDT"], tiers=tiers)
    with pytest.raises(ChangeNotSent, match="100x is above SOLUSDT's maximum of 98x") as caught:
        aged(preview).apply()
    assert caught.value.change is not None
    assert caught.value.change.status == "not_sent"


def test_prices_keep_their_digits(account: Account) -> None:
    """A liquidation price below 1,000 is shown with six digits: cents would move it by a percent on a small coin."""
    preview = account.preview("BTCUSDT", 10)
    held = tuple(replace(position, liquidation_price=2.13579) for position in preview.held)
    assert "liquidation 2.13579, not affected by leverage" in str(replace(preview, held=held))


def test_caution_does_not_depend_on_the_verdict(simulator: Simulator) -> None:
    """What could not be taken back is said where a refusal is expected, too: --force may prove that wrong."""
    account = connect_to(simulator)
    preview = account.preview("ETHUSDT", 150)
    assert preview.verdict == "ok"
    assert "cannot be undone" in preview.caution
    simulator.exchange.account.positions[1].amount *= 3
    assert account.preview("ETHUSDT", 150).verdict == "refused"
    assert "cannot be undone" in account.preview("ETHUSDT", 150).caution


def test_a_preview_on_a_read_that_is_behind_is_read_again(account: Account, simulator: Simulator) -> None:
    """A read that shows what was there before the exchange's own latest answer is repeated, in a plan too."""
    account.set_leverage("BTCUSDT", 10)
    simulator.inject("stale_read", seconds=0.5)
    assert account.preview("BTCUSDT", 20).before == 10
    account.set_leverage("SOLUSDT", 30)
    simulator.inject("stale_read", seconds=0.5)
    assert account.plan({"SOLUSDT": 20}).rows[0].before == 30
