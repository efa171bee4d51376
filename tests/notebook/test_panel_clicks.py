"""What the clicks of a panel do in the kernel; test_panel_in_browser has what the browser does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest

from leverage_nb.account import Account, service_of
from leverage_nb.errors import NotConnected, UnknownSymbol
from leverage_nb.notebook.panel import LeveragePanel
from leverage_nb.simulator import Simulator
from leverage_nb.simulator.account import Refused
from tests.arrivals import break_reads_after_a_change, record_requests
from tests.binance.streams import foreign_stream
from tests.conftest import connect_to
from tests.notebook.front_end import (
    click,
    select,
    send_message,
    verdicts_of,
    wait_until_connected,
)
from tests.patience import verifying_at_most
from tests.waiting import until


def open_on_mainnet(simulator: Simulator, **options: Any) -> tuple[Account, LeveragePanel]:
    """Return an account that asks before a change, and a panel whose questions can be answered at once."""
    account = connect_to(simulator, "mainnet", **options)
    panel = LeveragePanel(account, "BTCUSDT")
    panel.reading_time = 0.0
    return account, panel


def test_apply_changes_the_leverage(panel: LeveragePanel, account: Account) -> None:
    """Apply changes the leverage on the exchange, and the panel shows the new setting and what confirms it."""
    click(panel, "apply", 75)
    assert panel.state == "done"
    assert account.setting("BTCUSDT").leverage == 75
    assert panel.table["current"] == 75
    assert "BTCUSDT 20x → 75x" in panel.message
    assert panel.answered == 1


def test_an_expected_refusal_is_shown(panel: LeveragePanel, account: Account) -> None:
    """An expected refusal leaves the setting, and the panel shows its code, the reason and what fits."""
    click(panel, "apply", 150)
    assert panel.state == "failed"
    assert panel.table["current"] == 20
    assert "-2027" in panel.message
    assert "highest leverage that fits: 100x" in panel.message
    assert account.setting("BTCUSDT").leverage == 20


@pytest.mark.parametrize("other", [{"version": 0}, {"symbol": "ETHUSDT"}])
def test_a_click_on_an_old_table_sends_nothing(panel: LeveragePanel, account: Account, other: dict[str, Any]) -> None:
    """A click that was made on another table than the one shown now is refused."""
    click(panel, "apply", 10, **other)
    assert panel.state == "failed"
    assert "Nothing was sent" in panel.message
    assert account.setting("BTCUSDT").leverage == 20


def test_a_click_counts_if_only_figures_were_drawn_again(panel: LeveragePanel, account: Account) -> None:
    """A click counts if the table was drawn again with the same leverages and verdicts."""
    shown = panel.table["version"]
    panel.reload()
    click(panel, "apply", 10, version=shown)
    assert panel.state == "done"
    assert account.setting("BTCUSDT").leverage == 10


def test_a_misspelt_symbol_is_an_error_in_the_panel(panel: LeveragePanel) -> None:
    """An unknown symbol leaves the panel as it is, with a suggestion in the message area."""
    select(panel, "BTCUSTD")
    assert (panel.symbol, panel.state) == ("BTCUSDT", "failed")
    assert "Did you mean BTCUSDT?" in panel.message
    with pytest.raises(UnknownSymbol):
        panel.select("FOO")


def test_reload_shows_a_change_made_elsewhere(panel: LeveragePanel, simulator: Simulator) -> None:
    """Reload reads the setting again, and leaves the slider where it is."""
    simulator.exchange.account.set_leverage("BTCUSDT", 50)
    panel.leverage = 30
    click(panel, "reload", 30)
    assert (panel.table["current"], panel.leverage, panel.state) == (50, 30, "editing")


def test_every_error_is_shown_in_the_message_area(
    panel: LeveragePanel, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unreachable exchange, and also a bug of the package, is shown in the panel."""
    with monkeypatch.context() as broken:
        broken.setattr(service_of(panel.account).reader, "read_symbol", lambda *_, **__: 1 / 0)
        click(panel, "reload", 10)
    assert panel.state == "failed"
    assert "ZeroDivisionError" in panel.message
    simulator.close()
    click(panel, "reload", 10)
    assert panel.state == "failed"


def test_unknown_messages_are_ignored(panel: LeveragePanel) -> None:
    """A message of an unknown kind does nothing."""
    send_message(panel, {"kind": "format-disk"})
    assert (panel.state, panel.answered) == ("editing", 0)


def test_mainnet_asks_before_it_sends(simulator: Simulator) -> None:
    """On mainnet nothing is sent before exactly the reviewed change is confirmed."""
    account, panel = open_on_mainnet(simulator)
    click(panel, "confirm", 10)
    assert panel.state == "failed"
    click(panel, "apply", 10)
    assert (panel.state, account.setting("BTCUSDT").leverage) == ("confirming", 20)
    assert "MAINNET" in panel.message
    click(panel, "confirm", 11)
    assert (panel.state, account.setting("BTCUSDT").leverage) == ("failed", 20)
    click(panel, "apply", 10)
    panel.leverage = 15
    assert panel.state == "editing"
    click(panel, "apply", 10)
    click(panel, "cancel", 10)
    assert panel.state == "editing"
    click(panel, "apply", 10)
    click(panel, "confirm", 10)
    assert (panel.state, account.setting("BTCUSDT").leverage) == ("done", 10)


def undo(panel: LeveragePanel) -> None:
    """Click on the Undo button that is shown."""
    click(panel, "undo", panel.leverage, label=panel.undo)


def test_undo_takes_back_the_change_just_made(panel: LeveragePanel, account: Account) -> None:
    """After a change a button undoes it, slider included; it stays if the slider moves, and goes once used."""
    assert panel.undo == ""
    click(panel, "apply", 75)
    assert panel.undo == "Undo 75x → 20x"
    undo(panel)
    assert (panel.state, panel.leverage, panel.undo) == ("done", 20, "")
    assert account.setting("BTCUSDT").leverage == 20
    assert account.history()["status"].tolist() == ["applied", "applied"]
    click(panel, "apply", 10)
    panel.leverage = 11
    assert panel.undo == "Undo 10x → 20x"
    panel.select("ETHUSDT")
    assert panel.undo == ""


def test_undo_takes_back_only_the_change_that_it_names(panel: LeveragePanel, account: Account) -> None:
    """If another change was made since, the button sends nothing and says so."""
    click(panel, "apply", 75)
    label = panel.undo
    account.set_leverage("SOLUSDT", 10)
    assert panel.undo == ""
    click(panel, "undo", 75, label=label)
    assert panel.state == "failed"
    assert "Another change was made since. Nothing was sent." in panel.message
    assert account.setting("BTCUSDT").leverage == 75
    assert account.setting("SOLUSDT").leverage == 10


def test_undo_is_not_offered_if_it_would_be_refused(panel: LeveragePanel) -> None:
    """A raise on an isolated position has a caution before, and offers no Undo after it."""
    panel.select("ETHUSDT")
    assert verdicts_of(panel)[19] == "mind"
    detail = panel.table["rows"][19]["detail"]
    assert "This cannot be undone while the isolated position is open (-4161)" in detail
    click(panel, "apply", 20)
    assert (panel.state, panel.undo) == ("done", "")
    assert "cannot be undone" in panel.message


def test_an_untouched_slider_follows_the_setting(panel: LeveragePanel, account: Account) -> None:
    """A change in another cell moves an untouched slider along; one that was moved stays where it is."""
    account.set_leverage("BTCUSDT", 10)
    until(lambda: panel.leverage == 10)
    panel.leverage = 30
    account.set_leverage("BTCUSDT", 20)
    until(lambda: panel.table["current"] == 20)
    assert panel.leverage == 30


def test_undo_asks_for_a_confirmation_on_mainnet(simulator: Simulator) -> None:
    """On mainnet an undo is confirmed like any other change."""
    account, panel = open_on_mainnet(simulator)
    click(panel, "apply", 10)
    click(panel, "confirm", 10)
    undo(panel)
    assert (panel.state, panel.question["leverage"], panel.leverage) == ("confirming", 20, 20)
    assert "change BTCUSDT from 10x to 20x?" in panel.message
    assert account.setting("BTCUSDT").leverage == 10
    click(panel, "confirm", 20)
    assert account.setting("BTCUSDT").leverage == 20


def test_no_question_is_asked_with_an_old_leverage(simulator: Simulator) -> None:
    """If another client has changed the leverage, the question is not asked with the old value."""
    account, panel = open_on_mainnet(simulator)
    simulator.exchange.account.set_leverage("BTCUSDT", 33)
    click(panel, "apply", 10)
    assert (panel.state, panel.table["current"]) == ("failed", 33)
    assert "is at 33x, not 20x" in panel.message
    click(panel, "apply", 10)
    assert "from 33x to 10x?" in panel.message
    simulator.exchange.account.positions[0].amount += 1
    click(panel, "confirm", 10)
    assert panel.state == "failed"
    assert "has changed since the preview" in panel.message
    assert account.setting("BTCUSDT").leverage == 33


def test_moving_the_slider_clears_the_message(panel: LeveragePanel) -> None:
    """A message about one leverage is removed when the slider moves to another."""
    click(panel, "apply", 30)
    assert panel.message
    panel.leverage = 31
    assert (panel.state, panel.message) == ("editing", "")


def test_a_planned_size_in_three_units(panel: LeveragePanel) -> None:
    """A size in USDT, BTC or percent has its margin at every leverage; what is no size is an error."""
    click(panel, "new position", 20, text="400k", unit="margin asset")
    assert panel.new_position["rows"][9][0] == "40,000"  # at 10x
    assert panel.new_position["rows"][149][1] == "above the tier headroom of 0"
    click(panel, "new position", 20, text="2", unit="base asset")
    assert panel.new_position["rows"][9][0] == "17,282.50"  # 2 x 86,412.50 / 10
    click(panel, "new position", 20, text="50%", unit="margin asset")
    assert (panel.new_position["unit"], panel.new_position["text"]) == ("percent", "50")
    assert panel.new_position["rows"][9][0] == "25,253.12"  # half of the available 50,506.25 at 10x
    click(panel, "new position", 20, text="much", unit="percent")
    assert panel.state == "failed"
    assert "much is not a notional" in panel.message
    click(panel, "new position", 20, text="101", unit="percent")
    assert "101% is more than the available margin" in panel.message
    click(panel, "new position", 20, text="", unit="percent")
    assert (panel.new_position, panel.state, panel.message) == ({}, "editing", "")


def test_the_planned_size_is_kept_for_one_symbol(panel: LeveragePanel) -> None:
    """Reload keeps the planned size; another symbol starts without one."""
    click(panel, "new position", 20, text="5m", unit="margin asset")
    click(panel, "reload", 20)
    assert panel.new_position["size"] == "5M USDT"
    panel.select("ETHBTC")
    assert panel.new_position == {}
    click(panel, "new position", 20, text="250k", unit="margin asset", symbol="BTCUSDT")  # typed for the symbol before
    assert panel.new_position == {}


def test_a_panel_works_after_an_interrupt(panel: LeveragePanel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C during Apply is reported, and the panel can be used again."""

    def interrupt(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    client = service_of(panel.account).client
    post = client.post
    monkeypatch.setattr(client, "post", interrupt)
    click(panel, "apply", 10)
    assert (panel.state, panel.answered) == ("failed", 1)
    assert "Interrupted. BTCUSDT was not changed. Nothing was sent." in panel.message
    monkeypatch.setattr(client, "post", post)
    click(panel, "apply", 11)
    assert panel.state == "done"


def test_a_learned_account_limit_is_shown(panel: LeveragePanel, simulator: Simulator) -> None:
    """After -4300 leverages above the limit are expected to be refused."""
    plain = simulator.exchange.account.set_leverage

    def limited(name: str, leverage: int) -> bool:
        if leverage > 20:
            raise Refused(400, -4300, "You can start trading with more than 20x leverage later.")
        return plain(name, leverage)

    simulator.exchange.account.set_leverage = limited  # type: ignore[method-assign]  # an account that is too young
    panel.leverage = 50
    click(panel, "apply", 50)
    assert "-4300" in panel.message
    row = panel.table["rows"][49]
    assert (row["verdict"], row["nearest"]) == ("refused", 19)
    assert "the account is limited to 20x" in row["title"]
    assert panel.table["regions"][-1] == {"from": 21, "to": 150, "label": "−4300 account limit"}


def test_a_lowered_maximum_is_named(simulator: Simulator) -> None:
    """If the maximum is lowered while a panel is open, Apply names the new maximum."""
    account = connect_to(simulator, "mainnet", max_leverage=125)
    panel = LeveragePanel(account, "SOLUSDT")
    symbols = simulator.exchange.market.symbols
    symbols["SOLUSDT"] = replace(
        symbols["SOLUSDT"],
        tiers=tuple(
            replace(tier, initial_leverage=min(tier.initial_leverage, 60 - tier.number))
            for tier in symbols["SOLUSDT"].tiers
        ),
    )
    service_of(account).tiers.max_age = 0.0
    click(panel, "apply", 75)
    assert panel.state == "failed"
    assert "75x is above SOLUSDT&#x27;s maximum of 59x" in panel.message
    assert len(panel.table["rows"]) == 59


@pytest.fixture
def quick(simulator: Simulator) -> Iterator[LeveragePanel]:
    """A panel whose attempts pass their deadline after 0.85 s."""
    simulator.inject("firewall", on="POST /fapi/v1/listenKey", times=None)  # no event shows the outcome of a change
    account = connect_to(simulator, recv_window=800, grace=0.05)
    with closing(LeveragePanel(account, "BTCUSDT")) as panel:
        yield panel


def lose_the_answer_and_break_reads(simulator: Simulator) -> None:
    """Execute the next change, lose its answer, and answer every read after it with an error."""
    break_reads_after_a_change(simulator)
    simulator.inject("reset_after")


def states_of(panel: LeveragePanel) -> list[str]:
    """Return a list that receives every state of the panel from now on."""
    states: list[str] = []
    panel.observe(lambda change: states.append(change["new"]), "state")
    return states


def test_a_change_without_an_answer_is_verified(quick: LeveragePanel, simulator: Simulator) -> None:
    """While an outcome is verified the panel shows what and until when, and then the result."""
    said: list[str] = []
    states = states_of(quick)
    quick.observe(lambda change: said.append(change["new"]), "message")
    simulator.inject("reset_after")
    click(quick, "apply", 75)
    assert states == ["applying", "checking", "done"]
    assert any(
        "No definite answer about BTCUSDT 20x → 75x; verifying with the exchange, final by" in text for text in said
    )
    assert "BTCUSDT is at 75x as of" in quick.message  # by an event, or by a read
    assert quick.table["current"] == 75


def test_a_change_that_was_not_applied_has_failed(quick: LeveragePanel, simulator: Simulator) -> None:
    """A change that was not applied ends as failed, with the setting and the time of its read."""
    simulator.inject("reset_before")
    click(quick, "apply", 75)
    assert quick.state == "failed"
    assert "It is at 20x as of" in quick.message


def test_check_again_settles_an_unknown_outcome(quick: LeveragePanel, simulator: Simulator) -> None:
    """An outcome that cannot be verified stays unknown, also if the slider moves, until Check again."""
    lose_the_answer_and_break_reads(simulator)
    with verifying_at_most(quick.account):
        click(quick, "apply", 75)
    assert (quick.state, quick.state) == ("unknown", "unknown")
    assert "may or may not be at 75x" in quick.message
    quick.leverage = 30
    assert quick.state == "unknown"
    simulator.clear_faults()
    click(quick, "check", 30)
    assert quick.state == "done"
    assert "BTCUSDT 20x → 75x" in quick.message
    assert quick.table["current"] == 75
    assert service_of(quick.account).past.open() == []


def test_a_panel_opens_with_an_unknown_outcome(quick: LeveragePanel, simulator: Simulator) -> None:
    """A panel of a symbol with an open change shows it at once; a panel of another symbol does not."""
    lose_the_answer_and_break_reads(simulator)
    with verifying_at_most(quick.account):
        click(quick, "apply", 75)
    simulator.clear_faults()
    assert LeveragePanel(quick.account, "BTCUSDT").state == "unknown"
    assert LeveragePanel(quick.account, "ETHUSDT").state == "editing"
    quick.select("ETHUSDT")
    assert quick.state == "editing"
    quick.select("BTCUSDT")
    assert quick.state == "unknown"


def test_a_refusal_shows_text_code_meaning_and_next_step(
    panel: LeveragePanel, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refusal has a row each for the exchange's text with its code, its meaning and the next step."""
    text = "Exceeded the maximum allowable position at current leverage."

    def refuse(symbol: str, leverage: int) -> bool:
        raise Refused(400, -2027, text)

    monkeypatch.setattr(simulator.exchange.account, "set_leverage", refuse)
    click(panel, "apply", 10)
    for part in ("answer", "Exceeded the maximum allowable position", "(-2027)", "meaning", "next"):
        assert part in panel.message


def test_an_older_read_does_not_change_the_panel(quick: LeveragePanel, simulator: Simulator) -> None:
    """A change that is settled by a read older than the panel's own does not change what is shown."""
    simulator.inject("reset_after")
    quick.account.set_leverage("BTCUSDT", 10)
    simulator.exchange.change_elsewhere("BTCUSDT", 33)
    quick.reload()
    quick.account.settle()
    assert quick.table["current"] == 33


def test_a_panel_shows_an_outcome_found_elsewhere(quick: LeveragePanel, simulator: Simulator) -> None:
    """An unknown outcome that history() settles is also shown in the panel."""
    simulator.inject("reset_before")
    break_reads_after_a_change(simulator)
    with verifying_at_most(quick.account):
        click(quick, "apply", 75)
    assert quick.state == "unknown"
    simulator.clear_faults()
    quick.account.history()
    assert quick.state == "failed"
    assert "was not applied: it is at 20x" in quick.message


def test_reload_reads_the_tiers_again(panel: LeveragePanel, simulator: Simulator) -> None:
    """Reload reads the tiers again, also if they are younger than five minutes."""
    symbols = simulator.exchange.market.symbols
    first, *others = symbols["BTCUSDT"].tiers
    symbols["BTCUSDT"] = replace(symbols["BTCUSDT"], tiers=(replace(first, initial_leverage=140), *others))
    click(panel, "reload", 20)
    assert len(panel.table["rows"]) == 140


def test_undo_stays_until_the_leverage_changes(panel: LeveragePanel, simulator: Simulator) -> None:
    """A change that was not sent keeps the Undo button; a change by another client removes it."""
    wait_until_connected(panel)
    click(panel, "apply", 25)
    click(panel, "apply", 150)
    assert (panel.state, panel.undo) == ("failed", "Undo 25x → 20x")
    simulator.exchange.change_elsewhere("BTCUSDT", 33)
    until(lambda: panel.undo == "")


def test_a_click_is_checked_against_the_kernels_own_table(panel: LeveragePanel, account: Account) -> None:
    """An old table that was written into the view sends nothing for its symbol."""
    panel.select("ETHUSDT")
    old = panel.table
    panel.select("BTCUSDT")
    panel.table = old
    click(panel, "apply", 7)
    assert (panel.state, panel.symbol) == ("failed", "BTCUSDT")
    assert "Nothing was sent" in panel.message
    assert account.setting("ETHUSDT").leverage == 10
    assert account.history().empty


def test_a_confirmation_needs_time_to_read_the_question(simulator: Simulator) -> None:
    """A confirmation too soon after its question is refused, and Apply must be pressed again."""
    account = connect_to(simulator, "mainnet")
    panel = LeveragePanel(account, "BTCUSDT")
    click(panel, "apply", 10)
    click(panel, "confirm", 10)
    assert panel.state == "failed"
    assert "before the question could be read. Nothing was sent." in panel.message
    click(panel, "confirm", 10)
    assert "no longer the one on screen" in panel.message
    click(panel, "apply", 10)
    asked = time.monotonic()
    until(lambda: time.monotonic() > asked + panel.reading_time)
    click(panel, "confirm", 10)
    assert (panel.state, account.setting("BTCUSDT").leverage) == ("done", 10)


def test_the_margin_type_is_changed_after_a_question(panel: LeveragePanel, account: Account) -> None:
    """A click on the margin type asks on every venue; the confirmation sends it, and Undo asks too."""
    panel.reading_time = 0.0
    panel.select("ADAUSDT")
    click(panel, "margin type", panel.leverage, to="isolated")
    assert (panel.state, panel.question["text"]) == ("confirming", "cross → isolated")
    assert "change the margin type of ADAUSDT from cross to isolated?" in panel.message
    assert account.history().empty
    click(panel, "confirm", panel.leverage)
    assert (panel.state, panel.table["marginType"], panel.question) == ("done", "isolated", {})
    assert "ADAUSDT cross → isolated applied" in panel.message
    assert panel.undo == "Undo isolated → cross"
    undo(panel)
    assert panel.state == "confirming"
    assert "whole cross balance of 94,362.50 USDT" in panel.message
    click(panel, "confirm", panel.leverage)
    assert (panel.state, panel.table["marginType"]) == ("done", "cross")
    assert account.history()["kind"].tolist() == ["margin type", "margin type"]


def test_a_margin_type_that_would_be_refused_is_not_asked_for(panel: LeveragePanel, account: Account) -> None:
    """With a position the click shows why the exchange would refuse it; nothing is sent."""
    click(panel, "margin type", panel.leverage, to="isolated")
    assert panel.state == "failed"
    assert "close it first (-4048)" in panel.message
    assert "Nothing was sent." in panel.message
    assert account.history().empty


def test_another_leverage_withdraws_the_question(panel: LeveragePanel, account: Account) -> None:
    """Once the slider has moved, the question about the margin type is gone, and a late confirmation sends nothing."""
    panel.reading_time = 0.0
    panel.select("ADAUSDT")
    click(panel, "margin type", panel.leverage, to="isolated")
    panel.leverage = 7
    assert (panel.state, panel.question) == ("editing", {})
    click(panel, "confirm", 7)
    assert "no longer the one on screen. Nothing was sent." in panel.message
    assert account.history().empty


def test_a_margin_type_that_was_changed_in_a_cell_is_shown(panel: LeveragePanel, account: Account) -> None:
    """A change of margin type or isolated margin of the symbol that is shown is read and drawn."""
    panel.select("ADAUSDT")
    account.set_margin_type("ADAUSDT", "isolated")
    until(lambda: panel.table["marginType"] == "isolated")
    panel.select("ETHUSDT")
    account.change_isolated_margin("ETHUSDT", 500)
    until(lambda: "18,200" in str(panel.table["position"]))


def test_isolated_margin_is_changed_after_a_question(panel: LeveragePanel, account: Account) -> None:
    """The amount that was typed is confirmed with the new liquidation price, and undone after another question."""
    panel.reading_time = 0.0
    panel.select("ETHUSDT")
    click(panel, "isolated margin", panel.leverage, amount="500", direction="add")
    assert (panel.state, panel.question["text"]) == ("confirming", "isolated margin +500 USDT")
    assert "add 500 USDT to the isolated margin of ETHUSDT?" in panel.message
    assert "moves the liquidation price to 3,240.37" in panel.message
    click(panel, "confirm", panel.leverage)
    assert panel.state == "done"
    assert "18,200" in str(panel.table["position"])
    assert panel.undo == "Undo isolated margin −500 USDT"
    undo(panel)
    click(panel, "confirm", panel.leverage)
    assert "17,700" in str(panel.table["position"])
    assert account.history()["kind"].tolist() == ["isolated margin", "isolated margin"]


@pytest.mark.parametrize(
    ("direction", "amount", "words"),
    [
        ("add", "50k", "--add-margin 50000 --confirm 50000"), ("reduce", "17600", "can be taken out now"),
        ("add", "", "is not an amount of margin"), ("reduce", "-500", "is not an amount of margin"),
        ("add", "0", "is not an amount of margin"),
    ],
)  # fmt: skip
def test_other_amounts_are_not_asked_for(
    panel: LeveragePanel, account: Account, direction: str, amount: str, words: str
) -> None:
    """A large amount, one that would be refused, and what is no amount: the panel says why, and sends nothing."""
    panel.select("ETHUSDT")
    click(panel, "isolated margin", panel.leverage, amount=amount, direction=direction)
    assert panel.state == "failed"
    assert words in panel.message
    assert account.history().empty


def test_margin_that_is_unknown_for_good_is_not_checked_again(quick: LeveragePanel, simulator: Simulator) -> None:
    """A final unknown outcome has failed, says to compare the margin first, and offers no Check again."""
    quick.reading_time = 0.0
    quick.select("ETHUSDT")
    simulator.inject("reset_before")
    click(quick, "isolated margin", quick.leverage, amount="500", direction="add")
    click(quick, "confirm", quick.leverage)
    assert quick.state == "failed"
    assert "may or may not have been executed" in quick.message
    assert "Compare the position" in quick.message
    assert "Check again" not in quick.message
    click(quick, "check", quick.leverage)
    assert "Compare the position" in quick.message


def test_check_again_shows_a_final_unknown_outcome(quick: LeveragePanel, simulator: Simulator) -> None:
    """If Check again finds that no read can settle it, the panel says so; it never shows an empty area."""
    quick.reading_time = 0.0
    quick.select("ETHUSDT")
    history = "GET /fapi/v1/positionMargin/history"
    simulator.inject("reset_before")
    simulator.inject("bad_gateway", on=history, times=None, executed=False)
    simulator.inject("bad_gateway", on="GET /fapi/v1/time", times=None, executed=False)
    click(quick, "isolated margin", quick.leverage, amount="500", direction="add")
    with verifying_at_most(quick.account):
        click(quick, "confirm", quick.leverage)
    assert quick.state == "unknown"
    assert "Press Check again to verify it." in quick.message
    simulator.clear_faults()
    click(quick, "check", quick.leverage)
    assert quick.state == "failed"
    assert "no read can settle it" in quick.message
    assert "Compare the position" in quick.message


def test_an_unknown_outcome_stays_on_the_screen(quick: LeveragePanel, simulator: Simulator) -> None:
    """Whatever else is clicked, the unknown outcome stays until it is known; other messages are shown below it."""
    lose_the_answer_and_break_reads(simulator)
    with verifying_at_most(quick.account):
        click(quick, "apply", 75)
        unknown = "may or may not be at 75x"
        for kind, other, words in (
            ("new position", {"text": "2m", "unit": "margin asset"}, ""),
            ("new position", {"text": "much", "unit": "margin asset"}, "much is not a notional"),
            ("select", {"to": "SOLUSDT"}, "Try again."),  # the reads still fail
            ("margin type", {"to": "isolated"}, "Press Check again first."),
            ("cancel", {}, ""),
            ("reload", {}, "Try again."),
        ):
            click(quick, kind, 75, **other)
            assert quick.state == "unknown", kind
            assert unknown in quick.message
            assert words in quick.message
    quick.leverage = 30
    assert unknown in quick.message
    simulator.clear_faults()
    quick.select("ETHUSDT")
    assert (quick.state, quick.message) == ("editing", "")


@pytest.mark.parametrize("error", [NotConnected("no connection"), KeyboardInterrupt(), ZeroDivisionError()], ids=repr)
def test_the_report_of_a_change_survives_the_read_after_it(
    panel: LeveragePanel, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """If the read after a change fails or is interrupted, the outcome and the new leverage are on the screen."""
    service = service_of(panel.account)

    def fail(*arguments: Any, **options: Any) -> Any:
        raise error

    monkeypatch.setattr(service.reader, "read_symbol", fail)
    click(panel, "apply", 10)
    assert panel.state == "done"
    assert "BTCUSDT 20x → 10x applied" in panel.message
    assert "Reload shows the current figures." in panel.message
    assert (panel.table["current"], verdicts_of(panel)[9]) == (10, "unchanged")
    assert panel.undo == "Undo 10x → 20x"


def test_the_outcome_is_shown_before_the_account_is_read_again(
    panel: LeveragePanel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The report and the new leverage are on the screen when the read that follows the change begins."""
    service, seen = service_of(panel.account), []
    read_symbol = service.reader.read_symbol

    def note(*arguments: Any, **options: Any) -> Any:
        seen.append((panel.state, panel.table["current"], "applied" in panel.message))
        return read_symbol(*arguments, **options)

    monkeypatch.setattr(service.reader, "read_symbol", note)
    click(panel, "apply", 10)
    assert seen[-1] == ("done", 10, True)


def test_a_confirmation_names_its_question(panel: LeveragePanel, account: Account) -> None:
    """A click that confirms an earlier question sends nothing; the same confirmation once more changes nothing."""
    panel.reading_time = 0.0
    panel.select("ETHUSDT")
    click(panel, "isolated margin", panel.leverage, amount="500", direction="add")
    earlier = panel.question["number"]
    click(panel, "isolated margin", panel.leverage, amount="300", direction="reduce")
    click(panel, "confirm", panel.leverage, question=earlier)
    assert panel.state == "failed"
    assert "no longer the one on screen. Nothing was sent." in panel.message
    assert account.history().empty
    click(panel, "isolated margin", panel.leverage, amount="500", direction="add")
    number = panel.question["number"]
    click(panel, "confirm", panel.leverage)
    reported = panel.message
    assert "isolated margin +500 USDT applied" in reported
    click(panel, "confirm", panel.leverage, question=number)
    assert (panel.state, panel.message) == ("done", reported)
    assert len(account.history()) == 1


def test_margin_questions_end_with_what_can_be_clicked(panel: LeveragePanel) -> None:
    """A question ends with its two answers."""
    panel.select("ETHUSDT")
    click(panel, "isolated margin", panel.leverage, amount="500", direction="add")
    assert "Confirm to send, or press Cancel." in panel.message


def test_a_margin_type_click_sends_the_type_that_the_button_named(
    panel: LeveragePanel, account: Account, simulator: Simulator
) -> None:
    """If the margin type was changed since, a click on "isolated" never becomes a change to cross."""
    panel.select("ADAUSDT")
    simulator.exchange.account.set_margin_type("ADAUSDT", "ISOLATED")
    click(panel, "margin type", panel.leverage, to="isolated")
    assert panel.state == "failed"
    assert "ADAUSDT is isolated already. Nothing was sent." in panel.message


@pytest.mark.parametrize("change", ["margin type", "position", "cap"])
def test_a_click_on_another_state_of_the_account_is_refused(
    panel: LeveragePanel, account: Account, simulator: Simulator, change: str
) -> None:
    """A click counts for the margin type, the position and the tiers that were shown with it, not only the leverage."""
    panel.select("ADAUSDT" if change == "margin type" else "ETHUSDT")
    shown, symbol = panel.table["version"], panel.symbol
    books = simulator.exchange.account
    if change == "margin type":
        books.set_margin_type(symbol, "ISOLATED")
    elif change == "position":
        next(p for p in books.positions if p.symbol == symbol).amount -= 1
    else:
        market = simulator.exchange.market.symbols
        first, *others = market[symbol].tiers
        market[symbol] = replace(market[symbol], tiers=(replace(first, initial_leverage=140), *others))
    panel.reload()
    click(panel, "apply", 30, version=shown)
    assert panel.state == "failed"
    assert f"{symbol} has changed since the panel showed it. Nothing was sent." in panel.message
    assert "Check the panel, then click again." in panel.message
    assert account.history().empty


def hedge_both_sides(simulator: Simulator) -> None:
    """Open a long and a short isolated position of ETHUSDT."""
    books = simulator.exchange.account
    books.orders.clear()
    (held,) = [position for position in books.positions if position.symbol == "ETHUSDT"]
    long = replace(held, side="LONG", amount=-held.amount)
    books.positions = [long, replace(held, side="SHORT")]
    books.dual_side = True


def test_isolated_margin_of_one_side_of_a_hedge(simulator: Simulator, account: Account) -> None:
    """With both sides open each has its own fields, and the change names the side."""
    hedge_both_sides(simulator)
    panel = LeveragePanel(account, "ETHUSDT")
    panel.reading_time = 0.0
    assert [(side["positionSide"], side["isolated"]) for side in panel.table["position"]] == [
        ("LONG", True),
        ("SHORT", True),
    ]
    click(panel, "isolated margin", panel.leverage, amount="500", direction="add", side="SHORT")
    assert panel.question["text"] == "isolated margin of short +500 USDT"
    click(panel, "isolated margin", panel.leverage, amount="60k", direction="add", side="LONG")
    assert "--add-margin 60000 --confirm 60000 --side long" in panel.message


def test_an_interrupt_says_whether_something_was_sent(panel: LeveragePanel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C and a bug outside of a change say that nothing was sent."""
    for error, words in ((KeyboardInterrupt, "Interrupted."), (ZeroDivisionError, "ZeroDivisionError in the panel.")):

        def fail(*arguments: Any, error: type[BaseException] = error, **options: Any) -> Any:
            raise error

        monkeypatch.setattr(service_of(panel.account).reader, "read_symbol", fail)
        click(panel, "reload", 20)
        assert panel.state == "failed"
        assert words in panel.message
        assert "Nothing was sent." in panel.message


def test_a_large_undo_of_margin_is_left_to_the_prompt(panel: LeveragePanel, account: Account) -> None:
    """A large amount is not undone by two clicks: the panel names the line that asks for the amount."""
    account.change_isolated_margin("ETHUSDT", 10_000, confirm=10_000)
    panel.select("ETHUSDT")
    panel.undo = "Undo isolated margin −10,000 USDT"
    click(panel, "undo", panel.leverage, label=panel.undo)
    assert panel.state == "failed"
    assert "--undo --confirm 10000" in panel.message
    assert len(account.history()) == 1


def test_the_panel_names_the_line_that_forces(panel: LeveragePanel) -> None:
    """An expected refusal in the panel names a line, because the panel has no such option."""
    click(panel, "apply", 150)
    assert "%leverage BTCUSDT 150 --force" in panel.message
    assert "apply(force=True)" not in panel.message


def test_an_event_without_a_leverage_is_read_again(simulator: Simulator) -> None:
    """An event that says that the leverage is not set makes the panel read the symbol, and breaks nothing."""
    with (
        foreign_stream() as stream,
        connect_to(simulator, stream_url=stream.url) as account,
        closing(LeveragePanel(account, "BTCUSDT")) as panel,
    ):
        wait_until_connected(panel)
        requests = record_requests(simulator)
        stream.leverage("BTCUSDT", 0, time.time())
        until(lambda: panel.live == "live" and any("symbolConfig" in str(one) for one in requests))
        panel.reload()
        assert panel.table["current"] == 20
