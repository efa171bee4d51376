"""The table of the panel shows the figures of the outlook, and what a change would do."""

from __future__ import annotations

import json

import pytest

from leverage_nb.account import Account
from leverage_nb.errors import InvalidInput
from leverage_nb.notebook.panel import LeveragePanel
from leverage_nb.simulator import Simulator
from tests.conftest import connect_to
from tests.notebook.front_end import click


def row(panel: LeveragePanel, leverage: int) -> dict[str, list[str]]:
    """Return the figures of a leverage by name: value, note and the note's tone."""
    names = [figure["name"] for figure in panel.table["figures"]]
    return dict(zip(names, panel.table["rows"][leverage - 1]["figures"], strict=True))


def test_figures_and_differences_calculated_by_hand(panel: LeveragePanel) -> None:
    """BTCUSDT at 8x: 432,062.50 of 5 BTC, and 94,362.50 of cross margin of which an order elsewhere uses 650."""
    figures = row(panel, 8)
    assert figures["Initial margin"] == ["54,007.81", "+32,404.69", "bad"]  # 432,062.50 / 8 - 432,062.50 / 20
    assert figures["Available margin"] == ["39,704.69", "−32,404.69", "bad"]
    assert figures["Can still open"] == ["317.6k", "margin-limited", ""]  # 39,704.69 x 8
    assert figures["Max notional"] == ["230M", "+130M", "good"]
    assert [figure["now"] for figure in panel.table["figures"]] == ["21,603.12", "72,109.38", "1.442M", "100M"]
    assert row(panel, 100)["Can still open"][:2] == ["367.9k", "tier-limited"]  # 800k - 432,062.50


def test_maintenance_margin_is_that_of_the_position(panel: LeveragePanel) -> None:
    """A leverage changes neither maintenance margin nor liquidation: both are those of the position's own size."""
    assert [(fixed["name"], fixed["value"]) for fixed in panel.table["fixed"]] == [
        ("Maintenance margin", "1,860.31 (0.43%)"),  # 432,062.50 x 0.5 % - 300
        ("Liquidation price", "67,819.10 (21.5% away)"),
    ]


def test_a_refused_leverage_names_the_nearest_that_fits(panel: LeveragePanel) -> None:
    """Too low a leverage names the lowest that fits, too high a one the highest; the regions say why."""
    low, high = panel.table["rows"][3], panel.table["rows"][149]
    assert (low["verdict"], low["nearest"], high["nearest"]) == ("refused", 5, 100)
    assert low["title"] == "Would be refused (−2028): needs 14,303.13 USDT more margin"
    assert panel.table["regions"] == [
        {"from": 1, "to": 4, "label": "−2028 margin"},
        {"from": 101, "to": 150, "label": "−2027 exposure"},
    ]


def test_the_position_strip(account: Account, panel: LeveragePanel) -> None:
    """The strip has side, size, notional, entry, mark, profit, liquidation with its distance, and margin."""
    (long,) = panel.table["position"]
    assert (long["side"], long["tone"]) == ("LONG 5 BTC", "good")
    assert [tuple(field[:2]) for field in long["fields"]] == [
        ("notional", "432,062.50 USDT"), ("entry", "84,000"), ("mark", "86,412.50"), ("PnL", "+12,062.50"),
        ("liquidation", "67,819.10 (21.5% away)"), ("margin used", "21,603.12"),
    ]  # fmt: skip
    panel.select("ETHUSDT")
    (short,) = panel.table["position"]
    assert (short["side"], short["fields"][-1][0]) == ("SHORT 60 ETH", "isolated margin")
    panel.select("SOLUSDT")
    assert (panel.table["position"], panel.table["orders"]) == ([], "open orders: buy 13,000 USDT")


def test_hedge_mode_shows_both_sides(simulator: Simulator, account: Account) -> None:
    """In hedge mode the strip has a line for the long and one for the short, and the modes are named."""
    books = simulator.exchange.account
    books.orders.clear()
    books.positions = [replaced for replaced in books.positions if replaced.symbol == "BTCUSDT"]
    (held,) = books.positions
    held.side = "LONG"
    books.positions.append(type(held)("BTCUSDT", "SHORT", -held.amount / 5, held.entry_price))
    books.dual_side = True
    table = LeveragePanel(account, "BTCUSDT").table
    assert [side["side"] for side in table["position"]] == ["LONG 5 BTC", "SHORT 1 BTC"]
    assert table["modes"] == "hedge · single-asset"


def test_the_lowest_leverage_that_affords_a_size(panel: LeveragePanel) -> None:
    """2M USDT beside 5 BTC: 26x is the lowest leverage that affords it, and the tiers allow it up to 75x."""
    click(panel, "new position", 8, text="2m", unit="margin asset")
    new = panel.new_position
    assert (new["lowest"], new["advice"]) == (26, "The tiers allow it up to 75x.")
    assert new["rows"][7][:2] == ["250,000", "more than the 39,704.69 available"]
    assert new["rows"][25][1] == ""


@pytest.mark.parametrize(
    ("size", "most", "obstacle"),
    [
        ("3b", None, "No leverage allows it beside the exposure of 432.1k: the tiers end at 1.8B."),
        ("2m", 20, "26x would afford it, but your guard is 20x."),
        (
            "9m",
            None,
            "No leverage affords it: 50x, the highest that its tier allows, needs 94,928.75 USDT more margin.",
        ),
    ],
)
def test_an_unaffordable_size_says_why(simulator: Simulator, size: str, most: int | None, obstacle: str) -> None:
    """If no leverage affords the size, the tiers, the guard or the margin are named."""
    panel = LeveragePanel(connect_to(simulator, max_leverage=most), "BTCUSDT")
    click(panel, "new position", 20, text=size, unit="margin asset")
    assert (panel.new_position["lowest"], panel.new_position["advice"]) == (0, obstacle)


@pytest.mark.parametrize("stop", ["80k", "90,000", "60k", "86412.5", "5m"])
def test_the_stop_of_a_planned_size_is_that_of_the_account(account: Account, panel: LeveragePanel, stop: str) -> None:
    """The panel names the same leverage as ``highest_leverage``, or the same reason why there is none."""
    click(panel, "new position", 20, text="2m", unit="margin asset", stop=stop)
    try:
        expected, why = account.highest_leverage("BTCUSDT", "2m", stop=stop), "beyond the stop."
    except InvalidInput as exc:
        expected, why = 0, exc.message
    assert (panel.new_position["stop"], panel.new_position["highest"]) == (stop, expected)
    advice = panel.new_position["stopAdvice"]
    assert advice.partition(" At ")[0].endswith(why)


def test_a_stop_that_no_affordable_leverage_keeps_says_so(panel: LeveragePanel) -> None:
    """If the highest leverage for the stop needs more margin than there is, the advice says it."""
    click(panel, "new position", 20, text="100k", unit="margin asset", stop="100k")
    assert panel.new_position["highest"] < panel.new_position["lowest"]
    highest = panel.new_position["highest"]
    assert f"At {highest}x the position is more than the" in panel.new_position["stopAdvice"]


def test_a_stop_waits_for_a_size(panel: LeveragePanel) -> None:
    """Without a size the stop stays in its field; with one it has a liquidation price; another symbol clears it."""
    click(panel, "new position", 20, text="", unit="margin asset", stop="80k")
    assert panel.new_position == {"symbol": "BTCUSDT", "stop": "80k"}
    click(panel, "new position", 20, text="2", unit="base asset", stop="80k")
    assert "liquidation" in panel.new_position["stopAdvice"]
    click(panel, "new position", 20, text="2", unit="base asset", stop="")
    assert (panel.new_position["stop"], panel.new_position["highest"], panel.new_position["stopAdvice"]) == ("", 0, "")
    click(panel, "new position", 20, text="2", unit="base asset", stop="soon")
    assert "soon is not a price" in panel.message
    panel.select("ETHUSDT")
    assert panel.new_position == {}


def test_table_and_plan_stay_small(panel: LeveragePanel) -> None:
    """The table of 150 leverages is at most 60 kB, with a planned size too."""
    click(panel, "new position", 8, text="2m", unit="margin asset", stop="80k")
    assert len(panel.table["rows"]) == 150
    sizes = [len(json.dumps(part, ensure_ascii=False).encode()) for part in (panel.table, panel.new_position)]
    assert max(sizes) < 60_000
