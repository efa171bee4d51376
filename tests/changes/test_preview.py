"""A preview shows a change before and after, and is sent only while it still holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from leverage_nb.account import Account
from leverage_nb.binance import reader
from leverage_nb.errors import ChangeNotSent, LeverageRefused, UnexpectedAnswer
from leverage_nb.risk.outlook import Outlook
from leverage_nb.simulator import Simulator
from tests.arrivals import record_requests
from tests.changes.previews import aged
from tests.conftest import connect_to


def test_a_preview_shows_before_and_after(account: Account) -> None:
    """The figures before and after are those of the opening account, calculated by hand."""
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
def test_an_expected_refusal_is_not_sent_unless_forced(
    account: Account, symbol: str, leverage: int, words: str
) -> None:
    """A preview names an expected refusal and what would pass; it is sent only with force."""
    preview = account.preview(symbol, leverage)
    assert words in preview.headline
    before = account.setting(symbol).leverage
    with pytest.raises(ChangeNotSent, match="expected to refuse"):
        preview.apply()
    with pytest.raises(LeverageRefused) as caught:
        preview.apply(force=True)
    assert caught.value.code == preview.code
    assert account.setting(symbol).leverage == before


def test_a_change_that_cannot_be_undone_has_a_caution(account: Account) -> None:
    """A raise with an open isolated position has a caution in preview, plan and record: it cannot be undone."""
    preview = account.preview("ETHUSDT", 20)
    assert preview.caution == "this cannot be undone while the isolated position is open (-4161)"
    assert ("caution", preview.caution) in preview.rows()
    assert account.preview("ETHUSDT", 10).caution == ""
    assert account.preview("BTCUSDT", 30).caution == ""
    assert "this cannot be undone while" in str(account.plan({"ETHUSDT": 20}))
    assert "caution" in str(preview.apply())


def test_a_setting_that_contradicts_the_tiers_gives_a_warning(
    account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the exchange's own max notional differs from the tiers, the preview names both."""
    from leverage_nb.simulator import answers

    answer = answers.symbol_config
    monkeypatch.setattr(answers, "symbol_config", lambda *a: {**answer(*a), "maxNotionalValue": "50000000"})
    (warning,) = account.preview("BTCUSDT", 10).warnings
    assert "The tiers allow 100M at 20x, but the exchange's setting shows 50M" in warning


def test_an_aged_preview_is_not_sent_if_the_account_has_changed(account: Account, simulator: Simulator) -> None:
    """A preview older than a second is not sent if leverage, positions or wallet changed; prices may change."""
    books = simulator.exchange.account
    preview = account.preview("BTCUSDT", 10)
    books.positions[0].amount += 1
    with pytest.raises(ChangeNotSent, match="The account has changed since the preview"):
        aged(preview).apply()
    preview = account.preview("BTCUSDT", 10)
    books.set_leverage("BTCUSDT", 15)
    with pytest.raises(ChangeNotSent, match="The account has changed since the preview") as caught:
        aged(preview).apply()
    assert "BTCUSDT 15x → 10x" in caught.value.message  # the preview as of now
    preview = account.preview("BTCUSDT", 10)
    books.wallets["USDT"] -= 10_000
    with pytest.raises(ChangeNotSent, match="The account has changed since the preview"):
        aged(preview).apply()
    books.wallets["USDT"] += 10_000
    preview = account.preview("BTCUSDT", 10)
    books.positions[0].entry_price -= 5
    assert aged(preview).apply().after == 10
    assert len(simulator.exchange.received) == 1


def test_an_aged_preview_is_sent_on_its_second_read(account: Account, simulator: Simulator) -> None:
    """An aged preview is made again; if nothing has changed, it is sent on that read."""
    arrived = record_requests(simulator)
    change = aged(account.preview("BTCUSDT", 10)).apply()
    assert (change.status, change.before, change.after) == ("applied", 20, 10)
    assert arrived.count("GET /fapi/v1/symbolConfig") == 2
    assert arrived[-1] == "POST /fapi/v1/leverage"


def test_a_preview_that_showed_unchanged_sends_nothing(account: Account, simulator: Simulator) -> None:
    """A change elsewhere after a preview that showed unchanged is not overwritten."""
    preview = account.preview("BTCUSDT", 20)
    assert preview.verdict == "unchanged"
    simulator.exchange.change_elsewhere("BTCUSDT", 33)
    with pytest.raises(ChangeNotSent, match="The account has changed since the preview"):
        aged(preview).apply()
    assert account.setting("BTCUSDT").leverage == 33
    assert simulator.exchange.received == []


def test_an_aged_preview_is_not_sent_if_the_tiers_have_changed(account: Account, simulator: Simulator) -> None:
    """An aged preview reads the tiers again, and is not sent if Binance lowered the caps since."""
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
    """A second apply of a preview sends nothing, whether the preview is fresh or aged."""
    preview = account.preview("BTCUSDT", 10)
    assert preview.apply().status == "applied"
    with pytest.raises(ChangeNotSent, match="confirmed from 20x, and BTCUSDT is at 10x now"):
        preview.apply()
    with pytest.raises(ChangeNotSent, match="BTCUSDT is at 10x already"):
        aged(preview).apply()
    assert len(simulator.exchange.received) == 1


def test_unknown_margin_assets_do_not_cause_a_refusal(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the margin assets cannot be read, the position's own asset is used."""

    def fail(client: Any) -> Any:
        raise UnexpectedAnswer("exchangeInfo is gone")

    monkeypatch.setattr(reader, "read_listing", fail)
    preview = account.preview("BTCUSDT", 10)
    assert preview.verdict == "ok"
    assert preview.available[1] == pytest.approx(72_109.375 - 432_062.5 / 20)


def test_a_missing_balance_is_not_zero(account: Account) -> None:
    """Without a balance of the margin asset a lower cannot be predicted, and is not called refused."""
    outlook = Outlook(replace(account.state(), balances={}), account.tiers("BTCUSDT"))
    assert outlook.judge(10).verdict == "unpredictable"
    assert outlook.judge(30).verdict == "ok"


def test_a_leverage_that_is_already_set_is_unchanged(account: Account) -> None:
    """A preview of the current leverage says so, and applying it sends nothing."""
    preview = account.preview("BTCUSDT", 20)
    assert preview.headline == "BTCUSDT is at 20x already"
    assert preview.apply().status == "unchanged"


def test_an_aged_preview_above_a_lowered_maximum_is_not_sent(account: Account, simulator: Simulator) -> None:
    """If Binance lowered the maximum below a preview's leverage, applying it raises ChangeNotSent with a record."""
    preview = account.preview("SOLUSDT", 100)
    market = simulator.exchange.market.symbols
    tiers = tuple(replace(t, initial_leverage=min(t.initial_leverage, 99 - t.number)) for t in market["SOLUSDT"].tiers)
    market["SOLUSDT"] = replace(market["SOLUSDT"], tiers=tiers)
    with pytest.raises(ChangeNotSent, match="100x is above SOLUSDT's maximum of 98x") as caught:
        aged(preview).apply()
    assert caught.value.change is not None
    assert caught.value.change.status == "not_sent"


def test_small_prices_keep_six_digits(account: Account) -> None:
    """A liquidation price below 1,000 is shown with six digits, because a cent matters for a cheap coin."""
    preview = account.preview("BTCUSDT", 10)
    positions = tuple(replace(position, liquidation_price=2.13579) for position in preview.positions)
    assert "liquidation 2.13579, not affected by leverage" in str(replace(preview, positions=positions))


def test_the_caution_is_independent_of_the_verdict(simulator: Simulator) -> None:
    """The caution is also shown if a refusal is expected, because force may prove that wrong."""
    account = connect_to(simulator)
    preview = account.preview("ETHUSDT", 150)
    assert preview.verdict == "ok"
    assert "cannot be undone" in preview.caution
    simulator.exchange.account.positions[1].amount *= 3
    assert account.preview("ETHUSDT", 150).verdict == "refused"
    assert "cannot be undone" in account.preview("ETHUSDT", 150).caution
