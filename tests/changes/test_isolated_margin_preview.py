"""Changes of isolated margin are previewed, guarded and undone."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from leverage_nb.account import Account, service_of
from leverage_nb.change import IsolatedMarginChange
from leverage_nb.errors import (
    ChangedElsewhere,
    ChangeNotSent,
    GuardExceeded,
    InvalidInput,
    LeverageError,
    LeverageRefused,
    NothingToUndo,
    OutcomeUnknown,
)
from leverage_nb.simulator import Simulator
from leverage_nb.simulator.account import Position
from tests.arrivals import record_requests
from tests.changes.isolated import sent, wallet


def test_margin_is_added_and_taken_out(quick: Account, simulator: Simulator) -> None:
    """The position's margin changes by exactly the amount, and the report says so."""
    before = wallet(simulator)
    change = quick.change_isolated_margin("eth/usdt", "1.5k")
    assert isinstance(change, IsolatedMarginChange)
    assert (change.status, change.requested, change.confirmed_by) == ("applied", Decimal(1500), "answer")
    assert change.headline == "ETHUSDT isolated margin +1,500 USDT applied"
    assert wallet(simulator) == before + 1500
    assert quick.change_isolated_margin("ETHUSDT", -0.12345678).headline.startswith(
        "ETHUSDT isolated margin −0.12345678 USDT"
    )
    assert wallet(simulator) == before + 1500 - Decimal("0.12345678")


def test_the_preview_shows_the_new_liquidation_price(quick: Account) -> None:
    """A short of 60 ETH, entered at 2,950, with 17,700 USDT; at that price it is in the tier with 0.4 % and cum 0.

    By Binance's formula it is liquidated at (17,700 + 60 x 2,950) / (60 x 1.004), and with 500 more 8.30 higher.
    """
    preview = quick.preview_isolated_margin("ETHUSDT", 500)
    assert preview.liquidation == pytest.approx((194_700 / 60.24, 195_200 / 60.24))
    assert preview.headline == "ETHUSDT isolated margin +500 USDT moves the liquidation price to 3,240.37"
    assert preview.wallet == (17_700, 18_200)
    assert preview.available[1] == pytest.approx(preview.available[0] - 500)


def test_the_predicted_liquidation_price_is_the_exchanges(quick: Account) -> None:
    """After the change the exchange reports the liquidation price that the preview showed."""
    for amount in (2_000, -1_000):
        preview = quick.preview_isolated_margin("ETHUSDT", amount)
        preview.apply()
        assert quick.positions().loc["ETHUSDT", "liquidation_price"] == pytest.approx(preview.liquidation[1], rel=1e-6)


@pytest.mark.parametrize(
    ("symbol", "amount", "code"),
    [
        ("BTCUSDT", 5, -4049), ("BTCUSDT", -5, -4049), ("DOGEUSDT", 5, -4054), ("DOGEUSDT", -5, -4051),
        ("ETHUSDT", 90_000, -4050), ("ETHUSDT", -17_699, -4051),
    ],
)  # fmt: skip
def test_a_refusal_is_predicted_with_its_code(
    quick: Account, simulator: Simulator, symbol: str, amount: float, code: int
) -> None:
    """The preview predicts the code that the exchange answers if the change is sent all the same."""
    if symbol == "DOGEUSDT":
        quick.set_margin_type(symbol, "isolated")
    preview = quick.preview_isolated_margin(symbol, amount).named(abs(amount))
    assert (preview.verdict, preview.code) == ("refused", code)
    with pytest.raises(ChangeNotSent, match="expected to refuse"):
        preview.apply()
    with pytest.raises(LeverageRefused) as refused:
        preview.apply(force=True)
    assert refused.value.code == code
    assert wallet(simulator) == 17_700


def test_a_large_amount_needs_a_confirmation_that_names_it(quick: Account, simulator: Simulator) -> None:
    """50,000 typed for 500 is stopped; with the amount named once more it is sent."""
    with pytest.raises(ChangeNotSent) as caught:
        quick.change_isolated_margin("ETHUSDT", "50k")
    assert isinstance(caught.value.reason, GuardExceeded)
    assert "69% of the USDT available" in caught.value.message
    assert "--confirm 50000" in caught.value.hint
    with pytest.raises(InvalidInput, match="names"):
        quick.change_isolated_margin("ETHUSDT", "50k", confirm=500)
    assert sent(simulator) == 0
    assert quick.change_isolated_margin("ETHUSDT", "50k", confirm=50_000).status == "applied"
    with pytest.raises(ChangeNotSent, match="margin of this position"):
        quick.change_isolated_margin("ETHUSDT", -40_000)


@pytest.mark.parametrize("amount", [18_027, 18_028])
def test_the_guard_is_a_quarter_of_the_available_margin(quick: Account, amount: int) -> None:
    """72,109.375 USDT are available: a quarter is 18,027.34 USDT."""
    assert quick.preview_isolated_margin("ETHUSDT", amount).needs_name is (amount > 18_027.34)


@pytest.mark.parametrize("margin", ["501", "-500"])
def test_another_amount_or_direction_is_not_taken_for_it(quick: Account, simulator: Simulator, margin: str) -> None:
    """Entries with another amount or direction prove nothing."""
    simulator.inject("other_client_first", "reset_before", symbol="ETHUSDT", margin=margin)
    with pytest.raises(OutcomeUnknown):
        quick.change_isolated_margin("ETHUSDT", 500)


def test_a_position_of_the_other_side_is_not_changed(quick: Account, simulator: Simulator) -> None:
    """If the position was closed or turned since the preview, nothing is sent."""
    for amount in ("0", "60"):
        preview = quick.preview_isolated_margin("ETHUSDT", 500).confirmed()
        position = next(p for p in simulator.exchange.account.positions if p.symbol == "ETHUSDT")
        held, position.amount = position.amount, Decimal(amount)
        with pytest.raises(ChangeNotSent) as caught:
            preview.apply()
        assert isinstance(caught.value.reason, ChangedElsewhere)
        position.amount = held
    assert sent(simulator) == 0


def test_a_fill_since_the_preview_does_not_stop_it(quick: Account, simulator: Simulator) -> None:
    """The size of a position may change a little; the confirmed amount does not depend on it."""
    preview = quick.preview_isolated_margin("ETHUSDT", 500).confirmed()
    next(p for p in simulator.exchange.account.positions if p.symbol == "ETHUSDT").amount -= 1
    assert preview.apply().status == "applied"


def test_undo_is_the_opposite_change(quick: Account, simulator: Simulator) -> None:
    """Undo takes the amount out again; what is unknown for good is not undone."""
    quick.change_isolated_margin("ETHUSDT", 40_000, confirm="40k")
    undone = quick.undo(confirm="40k")
    assert undone.headline == "ETHUSDT isolated margin −40,000 USDT undone"
    assert wallet(simulator) == 17_700
    simulator.inject("reset_before")
    with pytest.raises(OutcomeUnknown):
        quick.change_isolated_margin("ETHUSDT", 500)
    with pytest.raises(NothingToUndo):
        quick.undo()


def hedged(simulator: Simulator) -> None:
    """Give the account an isolated long and short position of ETHUSDT in hedge mode."""
    books = simulator.exchange.account
    books.dual_side = True
    books.orders = []
    books.positions = [
        Position("ETHUSDT", "LONG", Decimal(10), Decimal(2800), Decimal(3000)),
        Position("ETHUSDT", "SHORT", Decimal(-5), Decimal(2800), Decimal(2000)),
    ]


def test_in_hedge_mode_a_side_is_named(quick: Account, simulator: Simulator) -> None:
    """With both sides open the change needs a side, and changes that one only."""
    hedged(simulator)
    with pytest.raises(InvalidInput, match="a long and a short position"):
        quick.change_isolated_margin("ETHUSDT", 5)
    change = quick.change_isolated_margin("ETHUSDT", 5, position_side="short")
    assert change.headline == "ETHUSDT isolated margin of short +5 USDT applied"
    assert [p.isolated_wallet for p in simulator.exchange.account.positions] == [3000, 2005]
    simulator.inject("reset_after")
    assert quick.change_isolated_margin("ETHUSDT", 5, position_side="LONG").confirmed_by == "history"
    assert quick.undo().headline == "ETHUSDT isolated margin of long −5 USDT undone"
    with pytest.raises(InvalidInput, match="not a side"):
        quick.change_isolated_margin("ETHUSDT", 5, position_side="up")


def test_the_wrong_side_in_one_way_mode_is_an_error(quick: Account) -> None:
    """The position of ETHUSDT is short: naming long is a mistake."""
    with pytest.raises(InvalidInput, match="is short, not long"):
        quick.preview_isolated_margin("ETHUSDT", 5, position_side="long")


@pytest.mark.parametrize(
    "amount",
    [
        0, -0.0, float("nan"), float("inf"), "", "abc", "5 USDT", "--5", "1e400", 1e31, 1e20, 10**25, -1e29, 1e-9,
        "0.123456789", None, True,
        [5], Decimal("NaN"), Decimal("sNaN"),
    ],
)  # fmt: skip
def test_another_amount_is_an_error(quick: Account, simulator: Simulator, amount: Any) -> None:
    """Zero, text that is no number, more than eight decimal places: nothing is sent."""
    arrived = record_requests(simulator)
    with pytest.raises(InvalidInput):
        quick.change_isolated_margin("ETHUSDT", amount)
    assert not any(request.startswith("POST") for request in arrived)


def test_a_read_only_account_sends_nothing(simulator: Simulator, quick: Account) -> None:
    """A read-only account previews, and refuses to send."""
    service_of(quick).client.read_only = True
    preview = quick.preview_isolated_margin("ETHUSDT", 5)
    assert not preview.sends
    with pytest.raises(LeverageError, match="read_only"):
        preview.apply()


def test_an_undo_is_not_sent_to_a_position_of_another_mode(quick: Account, simulator: Simulator) -> None:
    """A position mode can change only without positions, so the position of today is another one: it is not changed."""
    quick.change_isolated_margin("ETHUSDT", 5)
    simulator.exchange.account.dual_side = True
    simulator.exchange.account.orders = []
    simulator.exchange.account.positions = [Position("ETHUSDT", "LONG", Decimal(10), Decimal(2800), Decimal(3000))]
    with pytest.raises(InvalidInput, match="hedge mode"):
        quick.undo()
    quick.change_isolated_margin("ETHUSDT", 5)
    simulator.exchange.account.dual_side = False
    simulator.exchange.account.positions = [Position("ETHUSDT", "BOTH", Decimal(10), Decimal(2800), Decimal(3000))]
    with pytest.raises(ChangedElsewhere, match="position mode was changed"):
        quick.undo()
    assert sent(simulator) == 2


def test_without_available_margin_the_guard_says_so(account: Account) -> None:
    """If nothing is available, the guard on amounts says that, instead of a share of nothing."""
    preview = replace(account.preview_isolated_margin("ETHUSDT", 500), available=(0.0, 0.0))
    assert "No USDT is available." in str(preview.request().forbidden)
    preview = replace(account.preview_isolated_margin("ETHUSDT", -500), wallet=(0.0, 0.0))
    assert "This position has no margin." in str(preview.request().forbidden)


def test_a_mark_price_of_zero_leaves_out_the_distance(account: Account) -> None:
    """A mark price of 0 has no distance to liquidation: the prices are shown alone."""
    preview = account.preview_isolated_margin("ETHUSDT", 500)
    assert preview.position is not None
    shown = dict(replace(preview, position=replace(preview.position, mark_price=0.0)).effects())["liquidation"]
    assert "away" in dict(preview.effects())["liquidation"]
    assert "away" not in shown
    assert " → " in shown


def test_a_preview_is_not_sent_twice(quick: Account, simulator: Simulator) -> None:
    """A preview that was applied is not sent once more, at once or later, however small its amount."""
    for amount in (20_000, 5):
        preview = quick.preview_isolated_margin("ETHUSDT", amount).named(amount)
        assert preview.apply().status == "applied"
        for again in (preview, preview.confirmed()):
            with pytest.raises(ChangeNotSent, match="isolated margin of ETHUSDT was changed since this preview"):
                again.apply()
    assert (sent(simulator), wallet(simulator)) == (2, 37_705)


def test_a_preview_of_another_wallet_is_not_sent(quick: Account, simulator: Simulator) -> None:
    """If another program has doubled the margin since, the figures that were confirmed are false."""
    preview = quick.preview_isolated_margin("ETHUSDT", 500)
    simulator.exchange.change_elsewhere("ETHUSDT", margin=Decimal(20_000))
    with pytest.raises(ChangeNotSent, match="The account has changed since the preview"):
        preview.confirmed().apply()
    assert sent(simulator) == 0


def test_a_preview_of_another_size_is_not_sent(quick: Account, simulator: Simulator) -> None:
    """If the position has grown since, the liquidation price that was confirmed is false, and nothing is sent."""
    preview = quick.preview_isolated_margin("ETHUSDT", 500)
    position = next(p for p in simulator.exchange.account.positions if p.symbol == "ETHUSDT")
    simulator.exchange.account.positions[simulator.exchange.account.positions.index(position)] = replace(
        position, amount=position.amount * 2
    )
    with pytest.raises(ChangeNotSent, match="The account has changed since the preview"):
        preview.confirmed().apply()
    assert sent(simulator) == 0


def test_a_named_amount_needs_no_other_confirmation(quick: Account) -> None:
    """A preview that was confirmed by name does not ask for it again."""
    preview = quick.preview_isolated_margin("ETHUSDT", 20_000)
    assert "needs a confirmation" in str(preview)
    assert "needs a confirmation" not in str(preview.named(20_000))


def test_a_deficit_is_shown(simulator: Simulator, quick: Account) -> None:
    """If the account has less than nothing available, taking margin out does not make it available."""
    books = simulator.exchange.account
    books.wallets["USDT"] = Decimal(19_000)  # 17,700 of it isolated; the cross position needs 21,603.13
    preview = quick.preview_isolated_margin("ETHUSDT", -100)
    before, after = preview.available
    assert before < -1000
    assert after == pytest.approx(before + 100)


def test_a_side_is_a_text(quick: Account) -> None:
    """Anything but long and short is an error of its own, of bounded length."""
    odd: Any
    for odd in (5, ["long"], "x" * 5000):
        with pytest.raises(InvalidInput, match="not a side") as caught:
            quick.preview_isolated_margin("ETHUSDT", 5, position_side=odd)
        assert len(str(caught.value)) < 300


def test_without_a_position_nothing_is_a_share_of_it(quick: Account) -> None:
    """Taking margin out of a symbol without a position says that there is none."""
    quick.set_margin_type("DOGEUSDT", "isolated")
    with pytest.raises(ChangeNotSent, match="DOGEUSDT has no open position"):
        quick.preview_isolated_margin("DOGEUSDT", -5).apply(force=True)
