"""The panel in JupyterLab, in Chromium."""

from __future__ import annotations

import re
from typing import Any

import nbformat
import pytest

from tests.notebook.pages import BUSY, LOAD, SHOW, WAITS, PanelPage, keep_busy, output_of, run_cell

pytestmark = pytest.mark.browser


def test_dragging_applying_and_saving_a_panel(open_notebook: Any) -> None:
    """Dragging moves marker and figures, Apply changes the leverage, a refusal is explained, the output is saved."""
    notebook = open_notebook([LOAD, SHOW, "print(lev.current().setting('BTCUSDT').leverage, panel.state)"])
    notebook.run_all()
    panel = PanelPage(notebook)
    assert panel.field.input_value() == "20"
    assert panel.figure(0) == "100,000,000 USDT"
    assert panel.apply.is_disabled()
    assert not notebook.page.locator(".leverage-twin").is_visible()
    notebook.shoot("panel-opened")

    start = panel.marker_x()
    box = panel.handle.bounding_box()
    notebook.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    notebook.page.mouse.down()
    notebook.page.mouse.move(box["x"] + 150, box["y"] + box["height"] / 2, steps=12)
    notebook.page.mouse.up()
    assert panel.marker_x() > start
    assert panel.field.input_value() != "20"

    panel.type_leverage(75)
    panel.wait_for_leverage(75)
    assert panel.figure(0) == "3,000,000 USDT"
    assert (panel.figure(4), panel.figure(5)) == ("3 of 12", "0.65%")
    panel.apply.click()
    panel.wait_for_state("done")
    assert "BTCUSDT 20x → 75x" in panel.message.inner_text()
    assert "Sent to the simulator, not to Binance." in panel.message.inner_text()
    notebook.shoot("panel-applied")
    run_cell(notebook, 2)
    notebook.page.wait_for_function("() => document.querySelectorAll('.jp-CodeCell')[2].innerText.includes('75 done')")

    panel.type_leverage(150)
    panel.wait_for_leverage(150)
    assert "(-2027)" in panel.root.locator(".leverage-verdict").inner_text()
    assert "highest leverage that fits: 100x" in panel.root.locator(".leverage-verdict").inner_text()
    assert panel.apply.is_disabled()
    notebook.shoot("panel-would-be-refused")

    panel.handle.focus()
    notebook.page.keyboard.press("ArrowLeft")
    panel.wait_for_leverage(149)

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
    assert "BNBUSDT 7x: applied" in panel.message.inner_text()
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
    notebook.run_all()
    panel = PanelPage(notebook)
    keep_busy(notebook, 2)
    before = panel.marker_x()
    panel.type_leverage(50)
    panel.wait_for_leverage(50)
    assert panel.marker_x() > before
    assert panel.figure(0) == "12,000,000 USDT"
    panel.apply.click()
    assert "waiting for the kernel: BTCUSDT 50x" in panel.root.inner_text()
    assert panel.apply.is_disabled()
    notebook.shoot("panel-kernel-busy")
    panel.wait_for_state("done")
    assert "BTCUSDT 20x → 50x" in panel.message.inner_text()


def test_apply_sends_what_is_on_the_screen(open_notebook: Any) -> None:
    """Apply sends nothing for a symbol that was picked while the kernel is busy and is not shown yet."""
    notebook = open_notebook([LOAD + WAITS, SHOW, BUSY, "print(lev.current().settings()['leverage'].to_dict())"])
    notebook.run_all()
    panel = PanelPage(notebook)
    keep_busy(notebook, 2)
    panel.pick("哈基米USDT")
    panel.type_leverage(80)
    panel.wait_for_leverage(80)
    assert "BTCUSDT 20x → 80x" in panel.apply.inner_text()
    panel.apply.click()
    panel.wait_for_state("failed")
    assert "The panel no longer shows the BTCUSDT that you clicked on. Nothing was sent" in panel.message.inner_text()
    assert "哈基米USDT" in panel.root.locator(".leverage-symbol").inner_text()
    run_cell(notebook, 3)
    notebook.page.wait_for_function(
        """() => document.querySelectorAll('.jp-CodeCell')[3].querySelector('.jp-OutputArea').innerText
                 .includes("'BTCUSDT': 20")"""
    )
    assert "'哈基米USDT': 3" in output_of(notebook, 3)


def test_another_symbol_has_its_own_bound_and_chart(open_notebook: Any) -> None:
    """Another symbol has its own maximum, chart and asset; a misspelt one is an error in the panel."""
    notebook = open_notebook([LOAD, SHOW])
    notebook.run_all()
    panel = PanelPage(notebook)
    panel.pick("ETHBTC")
    notebook.page.wait_for_function("() => document.querySelector('.leverage-symbol').textContent === 'ETHBTC'")
    panel.wait_for_leverage(20)
    assert panel.figure(0) == "400 BTC"
    panel.type_leverage(100)
    panel.wait_for_leverage(100)
    assert panel.figure(0) == "5 BTC"
    notebook.shoot("panel-ethbtc")
    panel.pick("BTCUSTD")
    panel.wait_for_state("failed")
    assert "Did you mean BTCUSDT?" in panel.message.inner_text()


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
    panel.wait_for_state("reviewing")
    assert "MAINNET, key" in panel.message.inner_text()
    assert "change BTCUSDT from 20x to 10x?" in panel.message.inner_text()
    assert "leaves 50,506.25 USDT available" in panel.message.inner_text()
    notebook.shoot("panel-reviewing")
    panel.type_leverage(12)
    panel.wait_for_state("editing")
    panel.apply.click()
    panel.wait_for_state("reviewing")
    assert panel.apply.inner_text() == "Confirm: BTCUSDT 20x → 12x"
    notebook.page.wait_for_selector('.leverage-apply[aria-disabled="false"]')  # once it could be read
    panel.apply.click()
    panel.wait_for_state("done")
    assert "BTCUSDT 20x → 12x" in panel.message.inner_text()

    box = panel.root.locator(".leverage-undo").bounding_box()  # where Confirm will be
    notebook.page.mouse.dblclick(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, delay=120)
    panel.wait_for_state("reviewing")
    notebook.page.mouse.click(box["x"] + box["width"] / 3, box["y"] + box["height"] / 2)
    notebook.page.wait_for_timeout(400)
    assert panel.root.get_attribute("data-state") == "reviewing"
    notebook.page.wait_for_selector('.leverage-apply[aria-disabled="false"]')
    panel.apply.click()
    panel.wait_for_state("done")
    assert "BTCUSDT 12x → 20x" in panel.message.inner_text()


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
    assert panel.root.get_attribute("data-state") == "reviewing"
    run_cell(notebook, 2)
    notebook.page.wait_for_function("() => document.querySelectorAll('.jp-CodeCell')[2].innerText.includes('at 20')")
    notebook.page.wait_for_selector('.leverage-apply[aria-disabled="false"]')
    panel.apply.click()
    panel.wait_for_state("done")
    assert "BTCUSDT 20x → 10x" in panel.message.inner_text()


def test_a_cell_that_runs_again_leaves_one_panel(open_notebook: Any) -> None:
    """However often its cell runs, one panel is open; a panel closed for newer ones says so in its place."""
    count = (
        "from ipywidgets.widgets.widget import _instances\n"
        "print('open', [type(widget).__name__ for widget in _instances.values()].count('LadderView'))"
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
        reason = "500x is above 150x (the symbol's maximum)" if slip == "500" else "a whole number from 1 to 150"
        assert reason in panel.root.inner_text()
        assert (panel.figure(0), panel.root.locator(".leverage-verdict").inner_text()) == ("–", "")
    notebook.shoot("panel-no-leverage")
    panel.type_leverage(42)
    panel.wait_for_leverage(42)
    panel.type_leverage(7)
    panel.apply.click()
    panel.wait_for_state("done")
    assert "BTCUSDT 20x → 7x" in panel.message.inner_text()
    panel.handle.focus()
    notebook.page.keyboard.press("ArrowRight")
    panel.wait_for_leverage(8)
    assert panel.field.input_value() == "8"
    run_cell(notebook, 2)
    notebook.page.wait_for_function("() => document.querySelectorAll('.jp-CodeCell')[2].innerText.includes('at 7')")


def test_slider_and_figures_follow_chart_edges_and_what_if_size(open_notebook: Any) -> None:
    """Slider and figures follow a drag in the chart, a step to a tier edge and another what-if size."""
    notebook = open_notebook([LOAD, SHOW])
    notebook.run_all()
    panel = PanelPage(notebook)
    box = panel.root.locator(".leverage-chart svg").bounding_box()
    table = notebook.page.evaluate("() => document.querySelector('.leverage-chart svg').viewBox.baseVal.width")
    at_20 = box["x"] + panel.marker_x() / table * box["width"]
    notebook.page.mouse.move(at_20, box["y"] + 80)
    notebook.page.mouse.down()
    notebook.page.mouse.move(box["x"] + 80, box["y"] + 80, steps=8)
    notebook.page.mouse.up()
    panel.wait_for_leverage(1)
    assert panel.handle.get_attribute("aria-valuenow") == "1.0"
    notebook.page.mouse.move(box["x"] + 300, box["y"] + 80)
    assert panel.field.input_value() == "1"

    panel.type_leverage(20)
    panel.wait_for_leverage(20)
    size = panel.root.locator(".leverage-size")
    size.click()
    notebook.page.keyboard.press("Control+a")
    notebook.page.keyboard.type("2m")
    notebook.page.keyboard.press("Enter")
    notebook.page.wait_for_function(
        "() => document.querySelector('.leverage-panel').innerText.includes('100,000 USDT')"
    )
    panel.root.locator(".leverage-edge").nth(1).click()
    panel.wait_for_leverage(25)
    panel.field.press("PageUp")
    panel.wait_for_leverage(50)
    panel.field.press("PageDown")
    panel.wait_for_leverage(25)
    panel.field.press("PageUp")
    panel.field.press("PageUp")
    panel.field.press("PageUp")
    panel.wait_for_leverage(100)
    assert "not allowed" in panel.root.inner_text()
    notebook.shoot("panel-what-if")


def test_panels_follow_changes_in_other_cells(open_notebook: Any) -> None:
    """A change by the magic or another panel is shown in every panel of the account; old messages fade."""
    notebook = open_notebook([LOAD, SHOW, "%leverage BTCUSDT 10\npanel.state"])
    notebook.run_all()
    panel = PanelPage(notebook)
    notebook.page.wait_for_function("() => document.querySelector('.leverage-current').textContent.includes('now 10x')")
    panel.type_leverage(30)
    assert panel.apply.inner_text() == "Apply: BTCUSDT 10x → 30x"
    panel.apply.click()
    panel.wait_for_state("done")
    panel.type_leverage(31)
    notebook.page.wait_for_function("() => document.querySelector('.leverage-messages').textContent === ''")


def test_a_panel_without_its_kernel_says_so(open_notebook: Any) -> None:
    """Without its kernel a panel sends nothing, and says so."""
    notebook = open_notebook([LOAD, SHOW])
    notebook.run_all()
    panel = PanelPage(notebook)
    notebook.command("kernelmenu:shutdown")
    notebook.page.wait_for_function("() => !window.jupyterapp.shell.currentWidget.sessionContext.session?.kernel")
    panel.type_leverage(30)
    if panel.apply.is_enabled():
        panel.apply.click()
    panel.wait_for_state("lost")
    assert "has lost its kernel" in panel.root.inner_text()
    assert panel.apply.is_disabled()
    notebook.shoot("panel-lost")


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


def test_a_lost_answer_is_verified_until_it_is_known(open_notebook: Any) -> None:
    """Without an answer the panel shows that it verifies, then that it is unknown; Check again settles it."""
    notebook = open_notebook([LOAD, LOSING])
    notebook.run_all()
    panel = PanelPage(notebook)
    check = panel.root.locator(".leverage-check")
    assert check.is_hidden()
    panel.type_leverage(10)
    panel.wait_for_leverage(10)
    panel.apply.click()
    panel.wait_for_state("checking")
    assert "verifying with the exchange, final by" in panel.message.inner_text()
    assert panel.apply.is_disabled()
    notebook.shoot("panel-checking")
    panel.wait_for_state("unknown")
    assert "BTCUSDT may or may not be at 10x now" in panel.message.inner_text()
    assert panel.apply.is_disabled()
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
    assert check.is_hidden()
    notebook.shoot("panel-settled")


def test_a_change_elsewhere_is_shown_while_a_cell_runs(open_notebook: Any) -> None:
    """While the kernel is busy, another client's change is shown at once, and only then the panel is marked as live."""
    elsewhere = (
        "import threading\n"
        "sim = lev.session.session.simulator()\n"
        "threading.Timer(1.0, sim.exchange.change_elsewhere, ('BTCUSDT', 33)).start()\n"
        "time.sleep(6)"
    )
    notebook = open_notebook([LOAD, SHOW, elsewhere])
    run_cell(notebook, 0)
    run_cell(notebook, 1)
    panel = PanelPage(notebook)
    notebook.page.wait_for_selector('.leverage-live:text("connected, no event yet")')
    keep_busy(notebook, 2)
    notebook.page.wait_for_function(
        "() => document.querySelector('.leverage-current').textContent.includes('now 33x')", timeout=4_000
    )
    notebook.wait_for_kernel("busy")
    notebook.page.wait_for_selector('.leverage-live[data-live="live"]')
    panel.type_leverage(10)
    assert panel.apply.inner_text() == "Apply: BTCUSDT 33x → 10x"
    notebook.shoot("panel-live")
