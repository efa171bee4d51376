"""The panel in JupyterLab, in Chromium."""

from __future__ import annotations

import re
from typing import Any

import nbformat
import pytest

from tests.notebook.pages import BUSY, LOAD, SHOW, WAITS, PanelPage, go_on, keep_busy, output_of, run_cell

pytestmark = pytest.mark.browser

PLOT_LEFT = 46  # where the axis begins in the chart
# From 100x: one down, the next lower tier, both ends, the current leverage.
KEYS = [("ArrowLeft", 99), ("PageDown", 75), ("PageUp", 100), ("Home", 1), ("End", 150), ("Escape", 75)]


def test_dragging_applying_and_saving_a_panel(open_notebook: Any) -> None:
    """Dragging moves marker and figures, Apply changes the leverage, a refusal is explained, the output is saved."""
    notebook = open_notebook([LOAD, SHOW, "print(lev.current().setting('BTCUSDT').leverage, panel.state)"])
    notebook.run_all()
    panel = PanelPage(notebook)
    assert panel.field.input_value() == "20x"
    assert panel.figure("Max notional") == "100M"
    assert panel.apply.is_disabled()
    assert not notebook.page.locator(".leverage-twin").is_visible()
    notebook.shoot("panel-opened")

    start = panel.marker_x()
    box = panel.slider.bounding_box()
    middle = box["y"] + box["height"] / 2
    notebook.page.mouse.move(box["x"] + start - PLOT_LEFT + box["height"] / 2, middle)  # on the thumb
    notebook.page.mouse.down()
    notebook.page.mouse.move(box["x"] + box["width"] - 60, middle, steps=12)
    notebook.page.mouse.up()
    assert panel.marker_x() > start
    assert int(panel.field.input_value().removesuffix("x")) > 50

    panel.type_leverage(75)
    panel.wait_for_leverage(75)
    assert panel.figure("Max notional") == "3M"
    panel.apply.click()
    panel.wait_for_state("done")
    assert "BTCUSDT 20x → 75x" in panel.message.inner_text()
    assert "Sent to the simulator, not to Binance." in panel.message.inner_text()
    notebook.shoot("panel-applied")
    run_cell(notebook, 2)
    notebook.page.wait_for_function("() => document.querySelectorAll('.jp-CodeCell')[2].innerText.includes('75 done')")

    panel.type_leverage(150)
    panel.wait_for_leverage(150)
    assert "Would be refused (−2027)" in panel.root.locator(".leverage-verdict").inner_text()
    assert panel.apply.is_disabled()
    notebook.shoot("panel-would-be-refused")
    panel.root.get_by_role("button", name="Use 100x, the highest that fits").click()
    panel.wait_for_leverage(100)

    panel.slider.focus()
    for key, leverage in KEYS:
        notebook.page.keyboard.press(key)
        panel.wait_for_leverage(leverage)

    saved = notebook.save("BTCUSDT is at 75x")
    twins = [
        output["data"]["text/html"]
        for output in nbformat.read(saved, 4).cells[1].outputs
        if "leverage-twin" in output["data"].get("text/html", "")
    ]
    assert len(twins) == 1
    assert "BTCUSDT is at 75x" in twins[0]


def test_a_leverage_that_is_not_set(open_notebook: Any) -> None:
    """Where the exchange answers 0, as the testnet does, the panel says "not set", applies, and offers no undo."""
    connect = (
        'simulator = lev.Simulator(profile="demo")\n'
        "keys = dict(api_key=simulator.api_key, api_secret=simulator.api_secret)\n"
        "account = lev.connect(rest_url=simulator.rest_url, **keys)"
    )
    notebook = open_notebook([f"{LOAD}\n{connect}", SHOW.replace("BTCUSDT", "BNBUSDT")])
    notebook.run_all()
    panel = PanelPage(notebook)
    zero = re.compile(r"(?<![\w.,])0x")
    assert "now not set" in panel.root.inner_text()
    assert not zero.search(panel.root.inner_text())
    notebook.shoot("panel-not-set")
    panel.type_leverage(7)
    panel.wait_for_leverage(7)
    assert "not set → 7x" in panel.root.inner_text()
    panel.apply.click()
    panel.wait_for_state("done")
    assert "BNBUSDT 7x applied" in panel.message.inner_text()
    assert "cannot be restored" in panel.message.inner_text()
    assert "Undo" not in panel.root.inner_text()
    assert "now 7x" in panel.root.inner_text()
    assert not zero.search(panel.root.inner_text())


def test_a_reopened_notebook_shows_the_saved_output(open_notebook: Any) -> None:
    """A notebook that is opened without its kernel's widgets shows chart, setting and tiers."""
    notebook = open_notebook([LOAD, SHOW])
    notebook.run_all()
    PanelPage(notebook)
    notebook.save("BTCUSDT is at 20x")
    notebook.command("kernelmenu:shutdown")
    notebook.page.wait_for_timeout(500)
    notebook.page.goto(notebook.lab.url(notebook.name))
    twin = notebook.page.locator(".leverage-twin")
    twin.wait_for()
    assert twin.is_visible()
    assert "BTCUSDT is at 20x" in twin.inner_text()
    assert "1,800,000,000" in twin.inner_text()
    assert twin.locator("svg").count() == 1
    notebook.shoot("panel-reopened")


def test_the_chart_follows_the_slider_while_the_kernel_is_busy(open_notebook: Any) -> None:
    """While a cell runs, marker and figures follow the slider, and a click waits and says so."""
    notebook = open_notebook([LOAD + WAITS, SHOW, BUSY])
    notebook.send_comms_to_the_shell()
    notebook.run_all()
    panel = PanelPage(notebook)
    keep_busy(notebook, 2)
    before = panel.marker_x()
    panel.type_leverage(50)
    panel.wait_for_leverage(50)
    assert panel.marker_x() > before
    assert panel.figure("Max notional") == "12M"
    panel.apply.click()
    assert "Waiting for the kernel: BTCUSDT 50x" in panel.root.inner_text()
    assert panel.apply.is_disabled()
    notebook.shoot("panel-kernel-busy")
    go_on(notebook)
    panel.wait_for_state("done")
    assert "BTCUSDT 20x → 50x" in panel.message.inner_text()


def test_a_click_is_handled_while_a_cell_runs(open_notebook: Any) -> None:
    """JupyterLab sends the messages of widgets to a thread of their own in the kernel: Apply waits for no cell."""
    notebook = open_notebook([LOAD + WAITS, SHOW, BUSY])
    notebook.run_all()
    panel = PanelPage(notebook)
    notebook.page.wait_for_selector('.leverage-live:not([data-live="waiting"])')
    keep_busy(notebook, 2)
    panel.type_leverage(50)
    panel.apply.click()
    panel.wait_for_state("done")
    assert "BTCUSDT 20x → 50x applied" in panel.message.inner_text()
    assert "*" in notebook.page.locator(".jp-CodeCell .jp-InputPrompt").nth(2).inner_text()
    go_on(notebook)


def test_apply_sends_what_is_on_the_screen(open_notebook: Any) -> None:
    """While a picked symbol waits for the busy kernel, Apply is disabled, and the panel says what it waits for."""
    notebook = open_notebook([LOAD + WAITS, SHOW, BUSY, "print(lev.current().settings()['leverage'].to_dict())"])
    notebook.send_comms_to_the_shell()
    notebook.run_all()
    panel = PanelPage(notebook)
    keep_busy(notebook, 2)
    panel.pick("哈基米USDT")
    panel.type_leverage(80)
    panel.wait_for_leverage(80)
    assert "Waiting for the kernel: show 哈基米USDT" in panel.message.inner_text()
    assert panel.apply.is_disabled()
    go_on(notebook)
    panel.wait_for_symbol("哈基米USDT")
    panel.wait_for_leverage(3)
    run_cell(notebook, 3)
    notebook.page.wait_for_function(
        """() => document.querySelectorAll('.jp-CodeCell')[3].querySelector('.jp-OutputArea').innerText
                 .includes("'BTCUSDT': 20")"""
    )
    assert "'哈基米USDT': 3" in output_of(notebook, 3)


@pytest.mark.thorough
def test_another_symbol_has_its_own_bound_and_chart(open_notebook: Any) -> None:
    """Another symbol has its own maximum, chart and asset; a misspelt one is an error in the panel."""
    notebook = open_notebook([LOAD, SHOW])
    notebook.run_all()
    panel = PanelPage(notebook)
    panel.pick("ETHBTC")
    panel.wait_for_symbol("ETHBTC")
    panel.wait_for_leverage(20)
    assert panel.figure("Max notional") == "400"
    panel.type_leverage(100)
    panel.wait_for_leverage(100)
    assert panel.figure("Max notional") == "5"
    assert "now → after, in BTC" in panel.root.inner_text()
    notebook.shoot("panel-ethbtc")
    panel.pick("kpepe")
    panel.wait_for_symbol("1000PEPEUSDT")
    panel.pick("XYZ")
    assert "No symbol matches “XYZ”." in panel.root.locator(".leverage-search-error").inner_text()
    notebook.page.keyboard.press("Escape")
    assert panel.root.locator(".leverage-symbol").input_value() == "1000PEPEUSDT"


def test_mainnet_is_red_and_asks_before_a_change(open_notebook: Any) -> None:
    """On mainnet Apply names venue, account, symbol, before and after, and waits for a confirmation."""
    connect = (
        "sim = lev.Simulator()\n"
        "main = lev.connect('mainnet', rest_url=sim.rest_url, api_key=sim.api_key, api_secret=sim.api_secret)\n"
        "lev.LeveragePanel(main, 'BTCUSDT')"
    )
    notebook = open_notebook([LOAD, connect, "main.setting('BTCUSDT').leverage"])
    notebook.run_all()
    panel = PanelPage(notebook)
    assert panel.root.locator(".leverage-badge").inner_text() == "MAINNET"
    panel.type_leverage(10)
    panel.wait_for_leverage(10)
    panel.apply.click()
    panel.wait_for_state("confirming")
    assert "MAINNET, key" in panel.message.inner_text()
    assert "change BTCUSDT from 20x to 10x?" in panel.message.inner_text()
    assert "leaves 50,506.25 USDT available" in panel.message.inner_text()
    notebook.shoot("panel-confirming")
    panel.type_leverage(12)
    panel.wait_for_state("editing")
    panel.apply.click()
    panel.wait_for_state("confirming")
    assert panel.apply.inner_text() == "Confirm 20x → 12x"
    notebook.page.wait_for_selector('.leverage-apply[aria-disabled="false"]')  # once it could be read
    panel.apply.click()
    panel.wait_for_state("done")
    assert "BTCUSDT 20x → 12x" in panel.message.inner_text()

    assert panel.root.locator(".leverage-guard").inner_text() == "guard 20x, the default on mainnet"
    box = panel.root.locator(".leverage-second").bounding_box()  # Undo, and Cancel while a question waits
    notebook.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    panel.wait_for_state("confirming")
    notebook.page.wait_for_selector('.leverage-apply[aria-disabled="false"]')
    panel.apply.click()
    panel.wait_for_state("done")
    assert "BTCUSDT 12x → 20x" in panel.message.inner_text()


@pytest.mark.thorough
def test_clicks_without_a_pause_confirm_nothing(open_notebook: Any) -> None:
    """15 clicks per second on Apply for 4 seconds confirm nothing; a click after a pause does."""
    connect = (
        "sim = lev.Simulator()\n"
        "main = lev.connect('mainnet', rest_url=sim.rest_url, api_key=sim.api_key, api_secret=sim.api_secret)\n"
        "panel = lev.LeveragePanel(main, 'BTCUSDT')\npanel"
    )
    notebook = open_notebook([LOAD, connect, "print('at', main.setting('BTCUSDT').leverage)"])
    notebook.run_all()
    panel = PanelPage(notebook)
    panel.type_leverage(10)
    panel.wait_for_leverage(10)
    clicks = notebook.page.evaluate(
        """() => new Promise(done => {
            let clicks = 0;
            const clicking = setInterval(() => {
                document.querySelector('.leverage-apply').click();
                clicks += 1;
                if (clicks === 60) { clearInterval(clicking); done(clicks); }
            }, 1000 / 15);
        })"""
    )
    assert clicks == 60
    panel.wait_for_state("confirming")
    run_cell(notebook, 2)
    notebook.page.wait_for_function("() => document.querySelectorAll('.jp-CodeCell')[2].innerText.includes('at 20')")
    notebook.page.wait_for_selector('.leverage-apply[aria-disabled="false"]')
    panel.apply.click()
    panel.wait_for_state("done")
    assert "BTCUSDT 20x → 10x" in panel.message.inner_text()


@pytest.mark.thorough
def test_a_cell_that_runs_again_leaves_one_panel(open_notebook: Any) -> None:
    """However often its cell runs, one panel is open; a panel closed for newer ones says so in its place."""
    count = (
        "from ipywidgets.widgets.widget import _instances\n"
        "print('open', [type(widget).__name__ for widget in _instances.values()].count('LeveragePanel'))"
    )
    many = "for _ in range(8):\n    display(lev.LeveragePanel())"
    notebook = open_notebook([LOAD, SHOW, count, many])
    run_cell(notebook, 0)
    for _ in range(3):
        run_cell(notebook, 1)
        notebook.wait_for_all(2)
    panel = PanelPage(notebook)
    run_cell(notebook, 2)
    notebook.page.wait_for_function("() => document.querySelectorAll('.jp-CodeCell')[2].innerText.includes('open 1')")
    panel.type_leverage(30)
    panel.apply.click()
    panel.wait_for_state("done")
    run_cell(notebook, 3)
    notebook.page.wait_for_function(
        "() => document.querySelectorAll('.leverage-panel .leverage-chart svg').length === 8"
    )
    twin = notebook.page.locator(".jp-CodeCell").nth(1).locator(".leverage-twin")
    twin.wait_for()
    assert (
        "This panel was closed because 8 newer panels of the account are open. Run this cell again" in twin.inner_text()
    )
    notebook.shoot("panel-closed")


@pytest.mark.thorough
def test_apply_sends_the_number_in_the_field(open_notebook: Any) -> None:
    """Apply sends the number in the field, with or without Enter; an invalid one disables Apply with a reason."""
    notebook = open_notebook([LOAD, SHOW, "print('at', lev.current().setting('BTCUSDT').leverage)"])
    notebook.run_all()
    panel = PanelPage(notebook)
    for slip in ("500", "0", "-5", "10.5", "1e2", ""):
        panel.type_leverage(slip)
        if not slip:
            notebook.page.keyboard.press("Delete")
        assert panel.apply.is_disabled(), slip
        assert panel.apply.inner_text() == "Apply"
        reason = {"500": "500x is above BTCUSDT's maximum of 150x.", "0": "The lowest leverage is 1x."}.get(
            slip, "Enter a whole number from 1 to 150."
        )
        assert reason in panel.root.locator(".leverage-verdict").inner_text()
        assert "Nothing is chosen." in panel.root.locator(".leverage-verdict").inner_text()
        assert (panel.figure("Max notional"), panel.slider.is_visible()) == ("–", False)
    notebook.shoot("panel-no-leverage")
    panel.type_leverage(42)
    panel.wait_for_leverage(42)
    panel.type_leverage(7)
    panel.apply.click()
    panel.wait_for_state("done")
    assert "BTCUSDT 20x → 7x" in panel.message.inner_text()
    panel.slider.focus()
    notebook.page.keyboard.press("ArrowRight")
    panel.wait_for_leverage(8)
    assert panel.field.input_value() == "8x"
    run_cell(notebook, 2)
    notebook.page.wait_for_function("() => document.querySelectorAll('.jp-CodeCell')[2].innerText.includes('at 7')")


@pytest.mark.thorough
def test_slider_and_figures_follow_chart_and_planned_size(open_notebook: Any) -> None:
    """Slider and figures follow a drag in the chart and another planned size; its button chooses what affords it."""
    notebook = open_notebook([LOAD, SHOW])
    notebook.run_all()
    panel = PanelPage(notebook)
    box = panel.root.locator(".leverage-chart svg").bounding_box()
    at_20 = box["x"] + panel.marker_x()
    notebook.page.mouse.move(at_20, box["y"] + 80)
    notebook.page.mouse.down()
    notebook.page.mouse.move(box["x"] + 80, box["y"] + 80, steps=8)
    notebook.page.mouse.up()
    panel.wait_for_leverage(1)
    assert panel.slider.get_attribute("aria-valuetext").startswith("1x, Would be refused")
    notebook.page.mouse.move(box["x"] + 300, box["y"] + 80)
    assert panel.field.input_value() == "1x"
    assert "max notional" in panel.root.locator(".leverage-tip").inner_text()  # under the pointer

    panel.type_leverage(20)
    panel.wait_for_leverage(20)
    size = panel.root.locator(".leverage-size")
    size.click()
    notebook.page.keyboard.press("Control+a")
    notebook.page.keyboard.type("2m")
    notebook.page.keyboard.press("Enter")
    planned = panel.root.locator(".leverage-opened")
    planned.filter(has_text="At 20x: margin 100,000, more than the 72,109.38 available").wait_for()
    notebook.shoot("panel-planned")
    panel.root.get_by_role("button", name="Use 26x, the lowest that affords 2M USDT").click()
    panel.wait_for_leverage(26)
    assert "margin 76,923.08. Isolated, liquidation long" in planned.inner_text()
    panel.root.get_by_role("button", name="%", exact=True).click()
    panel.message.filter(has_text="2000000").or_(panel.message.filter(has_text="is more than")).wait_for()
    size.click()
    notebook.page.keyboard.press("Control+a")
    notebook.page.keyboard.type("50%")
    planned.filter(has_text="At 26x: margin 38,").wait_for()
    for place, known in enumerate(["421,482,000", "liquidation short"]):
        panel.root.locator(".leverage-details summary").nth(place).click()
        grid = panel.root.locator(".leverage-grid").filter(has_text=known)
        grid.wait_for()
        assert all(grid.locator("th").evaluate_all("cells => cells.map(cell => cell.title)"))  # what each column means


@pytest.mark.thorough
def test_a_stop_bounds_the_leverage_of_a_planned_size(open_notebook: Any) -> None:
    """With a stop the panel names the highest leverage that the kernel names, and a button chooses it."""
    code = (
        'account.highest_leverage("BTCUSDT", "2m", stop="80k"), account.highest_leverage("BTCUSDT", "2m", stop=90_000)'
    )
    notebook = open_notebook([LOAD, SHOW, f"import leverage_nb as lev\naccount = lev.current()\n{code}"])
    notebook.run_all()
    panel = PanelPage(notebook)
    stop, planned = panel.root.locator(".leverage-stop"), panel.root.locator(".leverage-opened")
    stop.click()
    notebook.page.keyboard.type("80k")  # the stop first: it waits for a size
    panel.root.locator(".leverage-size").click()
    notebook.page.keyboard.type("2m")
    planned.filter(has_text="Isolated long: at most 11x keeps liquidation (79,005.54) beyond the stop.").wait_for()
    assert stop.input_value() == "80k"
    notebook.shoot("panel-stop")
    panel.root.get_by_role("button", name="Use 11x, the highest that keeps liquidation beyond the stop").click()
    panel.wait_for_leverage(11)
    stop.click()
    notebook.page.keyboard.press("Control+a")
    notebook.page.keyboard.type("90000")
    planned.filter(has_text="Isolated short: at most 18x").wait_for()
    notebook.page.wait_for_function("() => document.querySelectorAll('.jp-CodeCell')[2].innerText.includes('(11, 18)')")
    stop.press("Control+a")
    notebook.page.keyboard.type("soon")
    panel.message.filter(has_text="soon is not a price").wait_for()


def test_panels_follow_changes_in_other_cells(open_notebook: Any) -> None:
    """A change by the magic or another panel is shown in every panel of the account; old messages fade."""
    notebook = open_notebook([LOAD, SHOW, "%leverage BTCUSDT 10\npanel.state"])
    notebook.run_all()
    panel = PanelPage(notebook)
    panel.root.locator(".leverage-now").filter(has_text="now 10x").wait_for()
    panel.type_leverage(30)
    assert panel.apply.inner_text() == "Apply 10x → 30x"
    panel.apply.click()
    panel.wait_for_state("done")
    panel.type_leverage(31)
    notebook.page.wait_for_function("() => document.querySelector('.leverage-messages').textContent === ''")


@pytest.mark.parametrize("command", ["shutdown", "restart"])
def test_a_panel_without_its_kernel_says_so(open_notebook: Any, command: str) -> None:
    """Once its kernel is shut down or restarted, a panel says so without a click, and everything is disabled."""
    notebook = open_notebook([LOAD, SHOW])
    notebook.run_all()
    panel = PanelPage(notebook)
    panel.type_leverage(30)
    panel.wait_for_leverage(30)
    notebook.page.evaluate(
        """command => { const session = jupyterapp.shell.currentWidget.sessionContext;
                        command === 'restart' ? session.session.kernel.restart() : session.shutdown(); }""",
        command,
    )
    panel.wait_for_state("lost")
    assert "Run the cell again to use the panel." in panel.message.inner_text()
    assert panel.root.locator(".leverage-live").inner_text() == "○ no kernel"
    for button in (panel.apply, panel.root.locator(".leverage-reload")):
        assert button.is_disabled()
    notebook.shoot("panel-lost")
    if command == "restart":
        notebook.wait_for_kernel()  # the next test closes it


@pytest.mark.thorough
def test_a_panel_waits_for_a_lost_connection(open_notebook: Any) -> None:
    """While the connection to the kernel is down the panel is disabled; it works again when it is back."""
    notebook = open_notebook([LOAD, SHOW])
    notebook.run_all()
    panel = PanelPage(notebook)
    panel.type_leverage(30)
    panel.wait_for_leverage(30)
    panel.record_states()
    notebook.page.evaluate("() => { jupyterapp.shell.currentWidget.sessionContext.session.kernel.reconnect(); }")
    panel.wait_for_recorded("lost", "editing")
    panel.apply.click()
    panel.wait_for_state("done")
    assert "BTCUSDT 20x → 30x" in panel.message.inner_text()


@pytest.mark.thorough
def test_two_panels_side_by_side(open_notebook: Any) -> None:
    """Two panels in an HBox have no scroll bars, and each works for its own symbol."""
    show = "import ipywidgets\nipywidgets.HBox([lev.LeveragePanel(), lev.LeveragePanel(symbol='ETHUSDT')])"
    notebook = open_notebook([LOAD, show])
    notebook.page.set_viewport_size({"width": 1600, "height": 1100})
    notebook.run_all()
    page = notebook.page
    page.wait_for_function("() => document.querySelectorAll('.leverage-panel .leverage-chart svg').length === 2")
    scrolled = page.evaluate(
        """() => [...document.querySelectorAll('.widget-hbox, .leverage-panel, .leverage-panel *')]
            .filter(node => node.scrollWidth > node.clientWidth + 1 && getComputedStyle(node).overflowX !== 'visible')
            .map(node => node.className)"""
    )
    notebook.shoot("panel-side-by-side")
    assert scrolled == []
    second = page.locator(".leverage-panel").nth(1)
    second.locator(".leverage-slider").focus()
    page.keyboard.press("ArrowRight")
    second.locator(".leverage-apply").click()
    second.locator(".leverage-messages").filter(has_text="ETHUSDT 10x → 11x").wait_for()


MANY = """
from dataclasses import replace
sim = lev.Simulator(weight_limit=24000)
market = sim.exchange.market.symbols
first = market["42USDT"]
for number in range(900 - len(market)):
    name = f"T{number:03}USDT"
    market[name] = replace(first, name=name, listing={**first.listing, "symbol": name})
account = lev.connect(rest_url=sim.rest_url, api_key=sim.api_key, api_secret=sim.api_secret)
lev.LeveragePanel(account)
"""


@pytest.mark.thorough
def test_the_search_is_fast_with_900_symbols(open_notebook: Any) -> None:
    """With 900 symbols each key filters the list within 50 ms, and any symbol can be found."""
    notebook = open_notebook([LOAD, MANY])
    notebook.run_all()
    panel = PanelPage(notebook)
    field = panel.root.locator(".leverage-symbol")
    field.click()
    assert "840 more: type to narrow" in panel.root.locator(".leverage-matches").inner_text()
    slowest = notebook.page.evaluate(
        """() => {
            const field = document.querySelector('.leverage-symbol');
            return Math.max(...['t', 't8', 't85', '85', 'usdt'].map(text => {
                field.value = text;
                const start = performance.now();
                field.dispatchEvent(new Event('input'));
                return performance.now() - start;
            }));
        }"""
    )
    assert slowest < 50
    panel.pick("t850")
    panel.wait_for_symbol("T850USDT")


UNSET_AND_HEDGED = """
sim = lev.Simulator(profile="demo")
books = sim.exchange.account
books.orders.clear()
held = books.positions[0]
held.side = "LONG"
books.positions[:] = [held, type(held)("BTCUSDT", "SHORT", -held.amount / 5, held.entry_price)]
books.dual_side = True
account = lev.connect(rest_url=sim.rest_url, api_key=sim.api_key, api_secret=sim.api_secret)
lev.LeveragePanel(account)
"""


@pytest.mark.thorough
def test_hedge_mode_and_a_leverage_that_is_not_set(open_notebook: Any) -> None:
    """In hedge mode both sides are in the strip; a symbol without a leverage is "not set", and 0x is nowhere."""
    notebook = open_notebook([LOAD, UNSET_AND_HEDGED])
    notebook.run_all()
    panel = PanelPage(notebook)
    strip = panel.root.locator(".leverage-position")
    assert [line.split("\n")[0].strip()[:11] for line in strip.locator(".leverage-side").all_inner_texts()] == [
        "LONG 5 BTC", "SHORT 1 BTC",
    ]  # fmt: skip
    assert panel.root.locator(".leverage-modes").inner_text() == "hedge · single-asset"
    notebook.shoot("panel-hedge")
    panel.pick("ADA")
    panel.wait_for_symbol("ADAUSDT")
    assert "now not set" in panel.root.locator(".leverage-now").inner_text()
    assert panel.apply.inner_text() == "Apply not set → 20x"
    assert "This cannot be undone" in panel.root.locator(".leverage-verdict").inner_text()
    assert re.search(r"(?<![0-9])0x", panel.root.inner_text()) is None
    notebook.shoot("panel-not-set")


@pytest.mark.thorough
def test_an_int_slider_moves_the_panel(open_notebook: Any) -> None:
    """An IntSlider that is linked in the browser moves the panel while the kernel is busy."""
    link = (
        "import ipywidgets\nslider = ipywidgets.IntSlider(min=1, max=150)\n"
        "link = ipywidgets.jslink((panel, 'leverage'), (slider, 'value'))\nslider"
    )
    notebook = open_notebook([LOAD + WAITS, SHOW, link, BUSY])
    notebook.run_all()
    panel = PanelPage(notebook)
    keep_busy(notebook, 3)
    handle = notebook.page.locator(".widget-slider .noUi-handle")
    handle.focus()
    notebook.page.keyboard.press("ArrowRight")
    panel.wait_for_leverage(21)
    panel.type_leverage(50)
    panel.wait_for_leverage(50)
    assert handle.get_attribute("aria-valuenow") == "50.0"
    go_on(notebook)


LOSING = """
simulator = lev.Simulator()
keys = {"api_key": simulator.api_key, "api_secret": simulator.api_secret}
account = lev.connect(rest_url=simulator.rest_url, timeout=1, recv_window=1000, **keys)
note = simulator.exchange.note_arrival

def lose_every_look_after_a_change(request):
    note(request)
    if request.path == "/fapi/v1/leverage":
        simulator.inject("bad_gateway", on="GET /fapi/v1/symbolConfig", times=None)

simulator.exchange.note_arrival = lose_every_look_after_a_change
simulator.inject("firewall", on="POST /fapi/v1/listenKey", times=None)
simulator.inject("reset_after")
lev.LeveragePanel(account, "BTCUSDT")
"""


@pytest.mark.thorough
def test_a_lost_answer_is_verified_until_it_is_known(open_notebook: Any) -> None:
    """Without an answer the panel shows that it verifies, then that it is unknown; Check again settles it."""
    notebook = open_notebook([LOAD, LOSING])
    notebook.run_all()
    panel = PanelPage(notebook)
    check = panel.root.get_by_role("button", name="Check again")
    assert check.count() == 0
    panel.type_leverage(10)
    panel.wait_for_leverage(10)
    panel.apply.click()
    panel.wait_for_state("checking")
    assert "verifying with the exchange, final by" in panel.message.inner_text()
    assert panel.apply.is_disabled()
    notebook.shoot("panel-checking")
    panel.wait_for_state("unknown")
    assert "BTCUSDT may or may not be at 10x now" in panel.message.inner_text()
    notebook.shoot("panel-unknown")
    check.click()  # the exchange still cannot be read
    panel.wait_for_state("checking")
    panel.wait_for_state("unknown")
    notebook.page.evaluate(
        """() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel
            .requestExecute({code: "simulator.exchange.note_arrival = note; simulator.clear_faults()"}).done"""
    )
    check.click()
    panel.wait_for_state("done")
    assert "BTCUSDT 20x → 10x" in panel.message.inner_text()
    assert check.count() == 0
    notebook.shoot("panel-settled")


@pytest.mark.thorough
def test_a_change_elsewhere_is_shown_while_a_cell_runs(open_notebook: Any) -> None:
    """While the kernel is busy, another client's change is shown at once, and only then the panel is marked as live."""
    elsewhere = (
        "import threading\n"
        "sim = lev.session.session.simulator()\n"
        "threading.Timer(1.0, sim.exchange.change_elsewhere, ('BTCUSDT', 33)).start()\n"
        "next(first), work()"
    )
    notebook = open_notebook([LOAD + WAITS, SHOW, elsewhere])
    run_cell(notebook, 0)
    run_cell(notebook, 1)
    panel = PanelPage(notebook)
    notebook.page.wait_for_selector('.leverage-live:text("connected, no event yet")')
    keep_busy(notebook, 2)
    panel.root.locator(".leverage-now").filter(has_text="now 33x").wait_for()
    assert "*" in notebook.page.locator(".jp-CodeCell .jp-InputPrompt").nth(2).inner_text()
    notebook.page.wait_for_selector('.leverage-live[data-live="live"]')
    panel.type_leverage(10)
    assert panel.apply.inner_text() == "Apply 33x → 10x"
    notebook.shoot("panel-live")
    go_on(notebook)


def test_the_margin_type_is_changed_in_the_panel(open_notebook: Any) -> None:
    """A click on the margin type asks with the name of the change; Confirm sends it, Cancel does not."""
    notebook = open_notebook([LOAD, "%leverage ADAUSDT"])
    notebook.run_all()
    panel = PanelPage(notebook)
    switch = panel.root.locator(".leverage-margin-type")
    for press, state in ((panel.root.locator(".leverage-second"), "editing"), (panel.apply, "done")):
        switch.click()
        panel.wait_for_state("confirming")
        assert panel.apply.inner_text() == "Confirm cross → isolated"
        assert "change the margin type of ADAUSDT from cross to isolated?" in panel.message.inner_text()
        notebook.shoot("panel-margin-type")
        notebook.page.wait_for_function("() => document.querySelector('.leverage-apply').ariaDisabled === 'false'")
        press.click()
        panel.wait_for_state(state)
    assert switch.inner_text().lower() == "isolated"
    assert panel.root.locator(".leverage-second").inner_text() == "Undo isolated → cross"


def test_isolated_margin_is_added_in_the_panel(open_notebook: Any) -> None:
    """With an isolated position an amount can be added; without one the field is not there."""
    notebook = open_notebook([LOAD, "%leverage ETHUSDT"])
    notebook.run_all()
    panel = PanelPage(notebook)
    amount, add = panel.root.locator(".leverage-amount"), panel.root.locator(".leverage-add-margin")
    assert add.is_disabled()
    amount.click()
    notebook.page.keyboard.type("500")
    notebook.shoot("panel-isolated-margin")
    add.click()
    panel.wait_for_state("confirming")
    assert panel.apply.inner_text() == "Confirm isolated margin +500 USDT"
    notebook.page.wait_for_function("() => document.querySelector('.leverage-apply').ariaDisabled === 'false'")
    panel.apply.click()
    panel.wait_for_state("done")
    assert "18,200" in panel.root.locator(".leverage-position").inner_text()
    panel.pick("BTCUSDT")
    panel.wait_for_symbol("BTCUSDT")
    assert amount.is_hidden()
