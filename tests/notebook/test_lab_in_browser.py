"""The quickstart, the keyboard, screen readers, themes, widths, exports and voila."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.notebook.pages import BUSY, LOAD, SHOW, WAITS, PanelPage, Voila, go_on, keep_busy, run_cell

pytestmark = [pytest.mark.browser, pytest.mark.thorough]

LEGIBILITY = (Path(__file__).parent / "legibility.js").read_text(encoding="utf-8")
THEMES = ("JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast")

# An account that the exchange keeps at 20x, as it does in its first weeks.
YOUNG = """
from leverage_nb.session import session
from leverage_nb.simulator.account import Refused
young = session.simulator().exchange.account
accept = young.set_leverage

def refuse_above_20(name, leverage):
    if leverage > 20:
        words = "You can start trading with more than 20x leverage by 2027-01-29 01:34 (UTC), because higher leverage "
        raise Refused(400, -4300, words + "is available 30 days after Futures account registration.")
    return accept(name, leverage)

young.set_leverage = refuse_above_20
"""


def read_contrasts(page: Any, root: str) -> dict[str, float]:
    """Return the contrast of every text below the elements of a selector."""
    script = (
        f"root => {{ const measure = {LEGIBILITY}; return [...document.querySelectorAll(root)].flatMap(measure); }}"
    )
    return {f"{text['text']} ({text['where']})": text["contrast"] for text in page.evaluate(script, root)}


def faint(contrasts: dict[str, float]) -> dict[str, float]:
    """Return the texts with a contrast of less than 4.5:1 (WCAG 2, AA)."""
    assert len(contrasts) > 20
    return {text: round(contrast, 2) for text, contrast in contrasts.items() if contrast < 4.5}


def focused(page: Any) -> str:
    """Return the role and the name of the element that has the focus, as a screen reader gets them."""
    page.evaluate("() => document.activeElement.setAttribute('data-focused', '')")
    said = page.locator("[data-focused]").aria_snapshot().splitlines()[0]
    page.evaluate("() => document.activeElement.removeAttribute('data-focused')")
    return str(said).removeprefix("- ").strip("'")


def test_the_quickstart_runs(open_notebook: Any) -> None:
    """The quickstart runs in JupyterLab, its panel works, and Tab offers symbols and tier edges."""
    notebook = open_notebook(ROOT / "notebooks" / "01_quickstart.ipynb")
    notebook.run_all()
    page = notebook.page
    assert page.locator("[data-mime-type='application/vnd.jupyter.error']").count() == 0
    assert page.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    panel = PanelPage(notebook)
    panel.type_leverage(30)
    panel.apply.click()
    panel.wait_for_state("done")
    notebook.shoot("quickstart")
    notebook.command("notebook:insert-cell-below")
    editor = page.locator(".jp-Notebook .jp-mod-active .cm-content")

    offers = page.locator(".jp-Completer-match")
    for typed, offered, completed in (
        ("XR", ["XRPUSDC", "XRPUSDT"], "%leverage XRPUSDT"),
        ("ETHUSDT 7", ["75"], "%leverage ETHUSDT 75"),
        ("--ven", ["--venue"], "%leverage --venue"),
    ):
        editor.click()
        page.keyboard.press("Control+a")
        page.keyboard.type(f"%leverage {typed}")
        page.keyboard.press("Tab")
        offers.filter(has_text=offered[-1]).wait_for()
        assert offers.all_inner_texts() == offered
        notebook.shoot("completion")
        offers.last.click()
        editor.filter(has_text=completed).wait_for()
    # ETHUSDT has an isolated position at 10x, which can only be raised (-4161). JupyterLab shows types in lower case.
    around = {
        "first": "10 now, up to 150,000,000 usdt",
        "max": "max the highest that fits",
        "refused": "5 would be refused (-4161)",
    }
    for place, typed in enumerate(("%leverage ETHUSDT ", "%%leverage\nETHUSDT ", "%leverage ETHUSDT 10 --")):
        editor.click()
        page.keyboard.press("Control+a")
        page.keyboard.type(typed)
        page.keyboard.press("Tab")
        offers.first.wait_for()
        items = page.locator("li.jp-Completer-item")
        shown = [" ".join(text.split()[1:]) for text in items.all_inner_texts()]
        heights = {round(box["height"]) for item in items.all() if (box := item.bounding_box())}
        assert len(heights) == 1, "an annotation wraps"
        notebook.shoot(f"completion-{('leverage', 'cell', 'options')[place]}")
        if place < 2:
            assert (shown[0], shown[7], shown[12]) == tuple(around.values())
        else:
            assert "--dry-run preview, send nothing" in shown
        page.keyboard.press("Escape")


def test_the_keyboard_reaches_every_control(open_notebook: Any) -> None:
    """Tab reaches every control, each has a name, and a change is made and undone without a mouse."""
    notebook = open_notebook([LOAD, SHOW])
    notebook.run_all()
    panel, page = PanelPage(notebook), notebook.page
    page.locator(".leverage-symbol").focus()
    said = [focused(page)]
    while not said[-1].startswith('button "Copy') and len(said) < 20:
        page.keyboard.press("Tab")
        said.append(focused(page))
    assert [words.split(":")[0].removesuffix(" [expanded]") for words in said] == [
        'combobox "symbol"',
        'button "margin type cross, change to isolated"',
        'slider "leverage of BTCUSDT, 1 to 150"',
        "text",  # Tiers
        "text",  # What the words mean
        'button "1x lower"',
        'textbox "leverage of BTCUSDT, 1 to 150"',
        'button "1x higher"',
        'textbox "size of a new position"',
        'button "USDT" [pressed]',
        'button "BTC"',
        'button "%"',
        'textbox "stop price of the new position"',
        'button "Reload"',  # Apply is not armed: nothing is chosen yet
        'button "Copy as code"',
    ]
    assert panel.root.get_attribute("aria-label") == "SIMULATOR BTCUSDT"
    panel.slider.focus()
    page.keyboard.press("PageUp")
    panel.wait_for_leverage(25)
    assert panel.apply.inner_text() == "Apply 20x → 25x"
    page.keyboard.press("Enter")
    panel.wait_for_state("done")
    assert (
        "BTCUSDT 20x → 25x" in page.get_by_role("status").filter(has_text="SIMULATOR").or_(panel.message).inner_text()
    )
    undo = panel.root.get_by_role("button", name="Undo 25x → 20x")
    undo.focus()
    notebook.shoot("panel-undo")
    page.keyboard.press("Space")
    panel.wait_for_leverage(20)
    panel.wait_for_state("done")
    assert "BTCUSDT 25x → 20x" in panel.message.inner_text()
    assert undo.count() == 0


def test_mouse_and_keys_move_the_slider_while_the_kernel_is_busy(open_notebook: Any) -> None:
    """While the kernel is busy, marker and figures follow the mouse and the arrow keys."""
    notebook = open_notebook([LOAD + WAITS, SHOW, BUSY])
    notebook.run_all()
    panel, page = PanelPage(notebook), notebook.page
    keep_busy(notebook, 2)
    panel.slider.scroll_into_view_if_needed()
    box = panel.slider.bounding_box()
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.6, middle)
    page.mouse.down()
    places = []
    for step in range(1, 6):
        page.mouse.move(box["x"] + box["width"] * (0.6 + 0.06 * step), middle)
        places.append((panel.marker_x(), panel.field.input_value(), panel.figure("Max notional")))
    page.mouse.up()
    assert [x for x, _, _ in places] == sorted({x for x, _, _ in places})
    assert len({leverage for _, leverage, _ in places}) == 5
    assert len({figure for _, _, figure in places}) >= 3
    before = int(panel.field.input_value().removesuffix("x"))
    panel.slider.focus()
    page.keyboard.press("ArrowLeft")
    assert panel.field.input_value() == f"{before - 1}x"
    assert panel.marker_x() < places[-1][0]
    assert "*" in page.locator(".jp-CodeCell .jp-InputPrompt").nth(2).inner_text()
    go_on(notebook)


def test_every_text_is_readable_in_every_theme(open_notebook: Any) -> None:
    """In light, dark and high contrast every text of panel, cards, tables and errors has at least 4.5:1."""
    cells = [
        LOAD, SHOW, "%leverage", "%leverage BTCUSDT 25 -n", "%leverage BTCUSDT 22", "%leverage BTCUSTD 10",
        "%leverage ETHUSDT 5 --force", "%%leverage -n\nBTCUSDT 10\nETHUSDT max", "lev.connect('testnet')",
        "%leverage BTCUSDT --for 9m",
        "from IPython.display import HTML; HTML(panel._twin()['text/html'])",
    ]  # fmt: skip
    notebook = open_notebook(cells)
    for place in range(len(cells)):  # errors stop "run all"
        run_cell(notebook, place)
        notebook.wait_for_all(place + 1)
    panel, page = PanelPage(notebook), notebook.page
    panel.root.locator(".leverage-size").fill("2m")
    panel.root.locator(".leverage-stop").fill("80k")
    panel.root.get_by_text("beyond the stop.").wait_for()
    for theme in reversed(THEMES):  # JupyterLab keeps the last one, and the other tests are to be in the light
        page.evaluate("name => { jupyterapp.commands.execute('apputils:change-theme', { theme: name }); }", theme)
        page.wait_for_function("name => document.body.dataset.jpThemeName === name", arg=theme)
        page.wait_for_timeout(300)  # colours fade over
        outputs = ".jp-OutputArea-output"
        panel.type_leverage(10)
        panel.wait_for_leverage(10)
        assert faint(read_contrasts(page, outputs)) == {}, theme
        panel.apply.click()
        panel.wait_for_state("done")
        assert faint(read_contrasts(page, ".leverage-panel")) == {}, theme
        panel.type_leverage(150)
        panel.wait_for_leverage(150)
        assert faint(read_contrasts(page, ".leverage-panel")) == {}, theme
        notebook.shoot(f"theme-{theme.removeprefix('JupyterLab ').lower().replace(' ', '-')}")
        panel.type_leverage(22)
        panel.wait_for_leverage(22)
        panel.apply.click()
        panel.wait_for_state("done")
        panel.type_leverage(0)
        assert faint(read_contrasts(page, ".leverage-panel")) == {}, theme


def test_an_unexpected_refusal_is_explained(open_notebook: Any) -> None:
    """An unexpected refusal shows code, text, meaning and the end of the limit; the chart then shows the limit."""
    notebook = open_notebook([LOAD + YOUNG, SHOW])
    notebook.run_all()
    panel = PanelPage(notebook)
    panel.type_leverage(50)
    panel.apply.click()
    panel.wait_for_state("failed")
    text = panel.message.inner_text()
    assert "more than 20x leverage by 2027-01-29 01:34 (UTC)" in text
    assert "(-4300)" in text
    assert "The account is too young for more than 20x." in text
    assert "The limit ends on 2027-01-29" in text
    assert "now 20x" in panel.root.locator(".leverage-now").inner_text()
    assert "the account is limited to 20x" in panel.root.locator(".leverage-verdict").inner_text()
    assert "account limit" in panel.root.locator(".leverage-chart").inner_text()
    notebook.shoot("panel-refused")


def test_a_narrow_window_cuts_nothing_off(open_notebook: Any) -> None:
    """At the width of a phone all text wraps, and only wide tables scroll."""
    notebook = open_notebook([LOAD, SHOW, "%leverage"])
    notebook.run_all()
    panel, page = PanelPage(notebook), notebook.page
    notebook.command("application:toggle-left-area")
    page.set_viewport_size({"width": 400, "height": 1300})
    panel.root.locator(".leverage-size").fill("2m")
    panel.root.locator(".leverage-stop").fill("80k")
    panel.root.get_by_text("beyond the stop.").wait_for()
    panel.type_leverage(10)
    panel.apply.click()
    panel.wait_for_state("done")
    page.wait_for_function("() => document.querySelector('.leverage-panel').getBoundingClientRect().right <= 400")
    beyond = page.evaluate(
        """() => [...document.querySelectorAll('.leverage-panel *, .leverage-card *')]
            .filter(node => !node.closest('svg') && node.checkVisibility())
            .filter(node => !node.closest('table')?.parentElement.matches('[style*="overflow-x"]'))
            .filter(node => node.getBoundingClientRect().right > 400).map(node => node.className)"""
    )
    assert beyond == []
    notebook.shoot("panel-narrow")


def test_an_exported_page_is_readable(open_notebook: Any, tmp_path: Path) -> None:
    """An exported HTML page shows the panel's chart, setting and tiers, and every card, without a kernel."""
    notebook = open_notebook([LOAD, SHOW, "%leverage", "%leverage BTCUSDT 25"])
    notebook.run_all()
    PanelPage(notebook)
    saved = notebook.save("BTCUSDT is at 25x")
    command = [sys.executable, "-m", "nbconvert", "--to", "html", str(saved), "--output-dir", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True)
    page = notebook.page.context.new_page()
    page.goto((tmp_path / saved.with_suffix(".html").name).as_uri())
    twin = page.locator(".leverage-twin")
    assert twin.is_visible()
    assert twin.locator("svg").is_visible()
    assert "BTCUSDT is at 25x" in twin.inner_text()
    assert "1,800,000,000" in twin.inner_text()
    whole = page.locator("body").inner_text()
    assert "BTCUSDT 20x → 25x" in whole
    assert "Error displaying widget" not in whole
    assert "LeveragePanel(" not in whole
    assert faint(read_contrasts(page, ".leverage-twin, .leverage-card")) == {}
    page.screenshot(path=notebook.screenshot("exported"), full_page=True)


def test_the_panel_works_under_voila(chromium: Any, tmp_path: Path) -> None:
    """Under voila, as a page without code, the panel changes leverage."""
    root = tmp_path / "served" / "notebooks"
    root.mkdir(parents=True)
    voila = Voila(root)
    try:
        voila.write("panel.ipynb", [LOAD, "%leverage BTCUSDT"])
        page = chromium.new_page(viewport={"width": 1000, "height": 700})
        page.goto(voila.url("panel.ipynb"))
        panel = PanelPage.on(page)
        panel.type_leverage(75)
        panel.wait_for_leverage(75)
        panel.apply.click()
        panel.wait_for_state("done")
        assert "BTCUSDT 20x → 75x" in panel.message.inner_text()
        assert faint(read_contrasts(page, "body")) == {}
        page.close()
    finally:
        voila.stop()
