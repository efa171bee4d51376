"""Answers with odd rows: each is skipped and named, the rest works, and nothing false is said about its symbol."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

import leverage_nb as lev
from leverage_nb import Account, UnexpectedAnswer
from leverage_nb.errors import ChangeFailed, ChangeNotSent
from leverage_nb.notebook.overview import Overview
from tests.foreign.answers import position
from tests.foreign.exchange import ACCOUNT, CHANGE, CONFIG, INFO, MARK, POSITIONS, TIERS, ForeignExchange
from tests.foreign.wire import Reply
from tests.notebook.front_end import click


@pytest.fixture
def account(connect: Callable[..., Account]) -> Account:
    """An account that reads quickly again."""
    return connect(recv_window=1500, grace=0.05)


def change_rows(exchange: ForeignExchange, endpoint: str, symbol: str, **fields: Any) -> None:
    """Change some fields of one symbol's rows, in all answers of an endpoint."""

    def edit(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [row | fields if row["symbol"] == symbol else row for row in rows]

    exchange.play(endpoint, times=None, edit=edit)


@pytest.mark.parametrize("value", ["inf", "", None, "NaN", -1, [], True])
def test_a_max_notional_that_is_no_number_disables_nothing(
    exchange: ForeignExchange, account: Account, value: Any
) -> None:
    """The symbol with such a max notional is read, previewed and changed like the others."""
    change_rows(exchange, CONFIG, "BTCUSDT", maxNotionalValue=value)
    exchange.play(CHANGE, edit=lambda answer: answer | {"maxNotionalValue": value})
    assert account.setting("BTCUSDT").max_notional is None
    assert account.settings().loc["BTCUSDT", "max_notional"] == 10**9  # the only tier that allows 10x
    change = account.preview("BTCUSDT", 20).apply()
    assert (change.status, change.confirmed_by) == ("applied", "answer")


@pytest.mark.parametrize("fields", [{"leverage": "high"}, {"leverage": None}, {"marginType": 5}, {"marginType": "<b>"}])
def test_an_odd_setting_is_named_and_the_others_work(
    exchange: ForeignExchange, account: Account, fields: dict[str, Any]
) -> None:
    """A setting that cannot be read is an error for its symbol, which names the field; the others are not affected."""
    change_rows(exchange, CONFIG, "BTCUSDT", **fields)
    field = next(iter(fields))
    for ask in (account.setting, account.outlook, lambda name: account.settings([name])):
        with pytest.raises(UnexpectedAnswer, match=rf"BTCUSDT.*`{field}`"):
            ask("BTCUSDT")
    with pytest.raises(UnexpectedAnswer, match=f"`{field}`"):
        account.plan({"BTCUSDT": 20, "ETHUSDT": 20})
    for change in (account.set_leverage, account.preview):
        with pytest.raises(ChangeNotSent, match=f"`{field}`"):
            change("BTCUSDT", 5)
    assert exchange.changes_sent() == []
    frame = account.settings()
    assert list(frame.index) == ["ETHUSDT", "SOLUSDT"]
    assert field in frame.attrs["skipped"]["BTCUSDT"]
    assert "BTCUSDT: its setting could not be read" in str(Overview.of(account))
    assert account.set_leverage("ETHUSDT", 5).status == "applied"


@pytest.mark.parametrize(
    "fields", [{"positionAmt": "much"}, {"notional": "inf"}, {"markPrice": None}, {"entryPrice": []}]
)
def test_an_odd_position_is_never_shown_as_none(
    exchange: ForeignExchange, account: Account, fields: dict[str, Any]
) -> None:
    """A symbol whose position cannot be read is not shown as flat, and the margin of others is unpredictable."""
    rows = [position("BTCUSDT", **fields), position("ETHUSDT")]
    exchange.play(POSITIONS, times=None, answer=Reply.of(rows))
    with pytest.raises(ChangeNotSent, match=r"BTCUSDT.*position could not be read"):
        account.preview("BTCUSDT", 20)
    with pytest.raises(UnexpectedAnswer, match="position could not be read"):
        account.outlook("BTCUSDT")
    planned = {row.symbol: row for row in account.plan({"BTCUSDT": 20, "ETHUSDT": 20}).rows}
    assert (planned["BTCUSDT"].verdict, planned["ETHUSDT"].verdict) == ("refused", "ok")
    assert (planned["BTCUSDT"].before, planned["BTCUSDT"].after) == (10, 20)
    assert "its position could not be read" in planned["BTCUSDT"].reason
    positions = account.positions()
    assert list(positions.index) == ["ETHUSDT"]
    assert list(positions.attrs["skipped"]) == ["BTCUSDT"]
    assert positions["effective_leverage"].isna().all()  # that of the whole cross account
    held = account.settings()["held"]
    assert pd.isna(held["BTCUSDT"])
    assert (held["ETHUSDT"], held["SOLUSDT"]) == (60_000, 0)
    shown = str(Overview.of(account))
    assert "BTCUSDT: its position could not be read" in shown
    assert "No open positions" not in shown
    assert account.preview("ETHUSDT", 20).verdict == "ok"
    assert account.preview("ETHUSDT", 5).verdict == "unpredictable"


def test_an_odd_position_is_an_error_in_the_panel(exchange: ForeignExchange, account: Account) -> None:
    """The panel of such a symbol shows the reason, and works again when the position can be read."""
    play = exchange.play(POSITIONS, times=None, answer=Reply.of([position("BTCUSDT", notional="x")]))
    with pytest.raises(UnexpectedAnswer, match="position could not be read"):
        lev.LeveragePanel(account, "BTCUSDT")
    play.answer = Reply.of([position("BTCUSDT")])
    panel = lev.LeveragePanel(account, "BTCUSDT")
    assert "60,000" in str(panel.table["position"])
    panel.close()


@pytest.mark.parametrize("row", [None, {}, 5, position(None), position(7)])
def test_a_position_without_a_symbol_may_be_that_of_any(exchange: ForeignExchange, account: Account, row: Any) -> None:
    """A position of an unknown symbol is named, and a symbol without a position of its own is not called flat."""
    exchange.play(POSITIONS, times=None, answer=Reply.of([position("ETHUSDT"), row]))
    assert account.preview("ETHUSDT", 20).verdict == "ok"
    with pytest.raises(ChangeNotSent, match="does not name its symbol"):
        account.preview("BTCUSDT", 20)
    frame = account.positions()
    assert list(frame.index) == ["ETHUSDT"]
    assert list(frame.attrs["skipped"]) == ["position row 2"]
    assert account.set_leverage("BTCUSDT", 20).status == "applied"  # without a preview, nothing is claimed


def test_a_position_without_a_setting_is_not_shown_as_none(exchange: ForeignExchange, account: Account) -> None:
    """A position whose setting cannot be read is named, because its margin type is unknown."""
    change_rows(exchange, CONFIG, "BTCUSDT", leverage="x")
    exchange.play(POSITIONS, times=None, answer=Reply.of([position("BTCUSDT"), position("ETHUSDT")]))
    frame = account.positions()
    assert list(frame.index) == ["ETHUSDT"]
    assert "its setting could not be read" in frame.attrs["skipped"]["BTCUSDT"]
    assert account.preview("ETHUSDT", 5).verdict == "unpredictable"


def test_a_plan_names_what_can_no_longer_be_read(exchange: ForeignExchange, account: Account) -> None:
    """A row that can no longer be read is not sent and names the reason; the others are applied."""
    plan = account.plan({"BTCUSDT": 20, "ETHUSDT": 20, "SOLUSDT": 20})
    change_rows(exchange, CONFIG, "SOLUSDT", leverage="x")
    exchange.play(POSITIONS, times=None, answer=Reply.of([position("BTCUSDT", notional="x")]))
    done = {row.symbol: row for row in plan.apply().rows}
    assert (done["BTCUSDT"].status, done["ETHUSDT"].status) == ("not_sent", "applied")
    assert "its position could not be read" in done["BTCUSDT"].reason
    assert done["SOLUSDT"].status == "not_sent"
    assert "its setting could not be read" in done["SOLUSDT"].reason
    assert exchange.changes_sent() == [("ETHUSDT", 20)]


def test_an_undo_names_what_can_not_be_read(exchange: ForeignExchange, account: Account) -> None:
    """The undo of a plan says that a position could not be read, and not that its symbol is gone."""
    account.plan({"BTCUSDT": 20, "ETHUSDT": 20}).apply()
    exchange.play(POSITIONS, times=None, answer=Reply.of([position("BTCUSDT", notional="x")]))
    rows = {row.symbol: row for row in account.preview_undo().rows}  # type: ignore[union-attr]  # a plan
    assert "its position could not be read" in rows["BTCUSDT"].reason
    assert (rows["ETHUSDT"].before, rows["ETHUSDT"].after) == (20, 10)


def test_odd_assets_tiers_and_listings_are_named(exchange: ForeignExchange, account: Account) -> None:
    """Odd rows of account, leverageBracket and exchangeInfo are skipped and named, and the rest works."""

    def assets(answer: dict[str, Any]) -> dict[str, Any]:
        good = answer["assets"][0]
        odd = [good | {"asset": "USDC", "walletBalance": "x"}, good | {"asset": "$B$"}, None]
        return answer | {"assets": [*odd, good]}

    def info(answer: dict[str, Any]) -> dict[str, Any]:
        rows = [row | {"marginAsset": 5} if row["symbol"] == "SOLUSDT" else row for row in answer["symbols"]]
        return answer | {"symbols": [*rows, None, {"symbol": "<b>"}]}

    exchange.play(ACCOUNT, times=None, edit=assets)
    exchange.play(INFO, times=None, edit=info)
    exchange.play(TIERS, times=None, edit=lambda rows: [*rows, rows[0] | {"symbol": "A\nB"}, {"symbol": "XUSDT"}, 7])
    state = account.state()
    assert list(state.balances) == ["USDT"]
    assert state.skipped.keys() == {"USDC", "balance row 2", "balance row 3"}
    frame = account.brackets()
    assert account.symbols() == ("BTCUSDT", "ETHUSDT", "SOLUSDT")
    assert frame.attrs["skipped"].keys() == {"row 4", "XUSDT", "row 6", "SOLUSDT"}
    assert "'A\\nB'" in frame.attrs["skipped"]["row 4"]
    assert frame.attrs["margin_assets"] == {"BTCUSDT": "USDT", "ETHUSDT": "USDT"}
    assert account.set_leverage("SOLUSDT", 20).status == "applied"
    with pytest.raises(UnexpectedAnswer, match="tiers of XUSDT are unusable"):
        account.find_symbol("XUSDT")


@pytest.mark.parametrize("name", ["BTC\nUSDT", "$BTC$", "<img src=x>", "BTC USDT", "BTC\u202eUSDT"])
def test_odd_names_are_shown_nowhere_as_code(exchange: ForeignExchange, account: Account, name: str) -> None:
    """A symbol that is no word is in no list of symbols; where it is named, it is escaped."""
    exchange.play(TIERS, times=None, edit=lambda rows: [*rows, rows[0] | {"symbol": name}])
    exchange.play(CONFIG, times=None, edit=lambda rows: [*rows, rows[0] | {"symbol": name}])
    exchange.play(POSITIONS, times=None, answer=Reply.of([position(name), position("ETHUSDT", marginAsset=name)]))
    assert name not in account.symbols()
    assert name not in account.settings().index
    assert account.preview("BTCUSDT", 20).verdict == "ok"
    overview = Overview.of(account)
    assert "<img" not in overview._repr_html_()
    reasons = [*account.brackets().attrs["skipped"].values(), *account.positions().attrs["skipped"].values()]
    for text in (*reasons, str(overview)):
        assert text.replace("\n", "").isprintable()
        assert name not in text or name.isprintable()


def test_a_refusal_is_shown_as_text(exchange: ForeignExchange, account: Account) -> None:
    """The text of a refusal has no control characters and no mathematics, in the error, the card and the journal."""
    text = "Leverage $x$ is\x1b[31m not\nvalid <b>" + "!" * 5000
    exchange.play(CHANGE, answer=Reply.error(400, -4028, text))
    with pytest.raises(ChangeFailed) as caught:
        account.set_leverage("BTCUSDT", 5)
    assert caught.value.words.startswith("Leverage $x$ is [31m not valid <b>!!!")
    assert len(caught.value.words) == 500
    assert caught.value.change is not None
    assert 'class="leverage-card mathjax_ignore' in caught.value.change._repr_html_()
    note = account.history()["note"].iloc[-1]
    assert note.isprintable()
    assert "mathjax_ignore" in account.history()._repr_html_()


def test_a_panel_opens_without_a_mark_price(account: Account, exchange: ForeignExchange) -> None:
    """If the mark price cannot be read, the panel opens, and a change can be made; only a planned size needs it."""
    exchange.play(MARK, times=None, answer=Reply.of({"symbol": "BTCUSDT", "markPrice": "x"}))
    panel = lev.LeveragePanel(account, "BTCUSDT")
    assert (panel.table["mark"], panel.state) == ("–", "editing")
    click(panel, "new position", 10, text="2m", unit="margin asset")
    assert "The mark price of BTCUSDT could not be read" in panel.message
    click(panel, "apply", 20)
    assert panel.state == "confirming"
    panel.close()


def test_symbols_that_cannot_be_listed_are_named(exchange: ForeignExchange, account: Account) -> None:
    """Without exchangeInfo changes work, and tables and overview say that margin assets and statuses are missing."""
    exchange.play(INFO, answer=Reply.html(200), times=None)
    skipped = account.settings().attrs["skipped"]
    assert "its margin asset and status could not be read" in skipped["every symbol"]
    assert "every symbol: its margin asset" in str(Overview.of(account))
    assert account.set_leverage("BTCUSDT", 12).status == "applied"


def test_unusable_tiers_are_named_in_every_table(exchange: ForeignExchange, account: Account) -> None:
    """A symbol without usable tiers is missing from the settings, which name it, as the overview does."""
    exchange.play(
        TIERS,
        edit=lambda rows: [row | ({"brackets": []} if row["symbol"] == "SOLUSDT" else {}) for row in rows],
        times=None,
    )
    assert "its tiers could not be read" in account.settings().attrs["skipped"]["SOLUSDT"]
    assert "SOLUSDT: its tiers could not be read" in str(Overview.of(account))


@pytest.mark.parametrize("amount", ["0", "2"])
def test_a_position_without_a_setting_disables_nothing(
    exchange: ForeignExchange, account: Account, amount: str
) -> None:
    """A position of a symbol that symbolConfig leaves out is named, if there is one, and the others work."""
    row = position("NEWUSDT", positionAmt=amount, notional=str(60_000 * int(amount)))
    exchange.play(POSITIONS, times=None, answer=Reply.of([row]))
    assert account.preview("ETHUSDT", 12).apply().status == "applied"
    skipped = account.positions().attrs["skipped"]
    assert ("NEWUSDT" in skipped) == (amount != "0")


def test_a_position_with_an_unknown_margin_type_is_named(exchange: ForeignExchange, account: Account) -> None:
    """Nothing is claimed of a position whose margin type is not known; without a position the type is only shown."""
    change_rows(exchange, CONFIG, "BTCUSDT", marginType="PORTFOLIO")
    assert account.setting("BTCUSDT").margin_type == "portfolio"
    exchange.play(POSITIONS, times=None, answer=Reply.of([position("BTCUSDT")]))
    with pytest.raises(ChangeNotSent, match="its margin type “portfolio” is not known"):
        account.preview("BTCUSDT", 5)
    assert account.preview("ETHUSDT", 20).verdict == "ok"
