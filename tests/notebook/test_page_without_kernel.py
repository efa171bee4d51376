"""A panel on a page that has no kernel: a notebook that was saved with its widgets, or exported as HTML."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from leverage_nb.notebook.panel import LeveragePanel

pytestmark = pytest.mark.browser

# A model as such a page has it: with the state that was saved, and nobody who answers.
SHOW = """async ([code, state]) => {
    const module = await import(URL.createObjectURL(new Blob([code], {type: 'text/javascript'})));
    const listeners = {};
    window.model = {
        get: name => state[name], set: () => {}, save_changes: () => {}, send: () => {},
        on: (names, call) => { for (const name of names.split(' ')) listeners[name] = call; }, off: () => {},
    };
    window.answer = content => listeners['msg:custom'](content);
    window.end = module.default.render({model: window.model, el: document.querySelector('#panel')});
}"""


@pytest.fixture
def page(chromium: Any, panel: LeveragePanel) -> Iterator[Any]:
    """A page that shows the state of a panel, with its twin."""
    page = chromium.new_page()
    page.clock.install()
    page.set_content(f'<style>{panel._css}</style><div id="panel"></div><div class="{panel.twin}">twin</div>')
    page.evaluate(SHOW, [panel._esm, {**panel.get_state(), "live": "live", "leverage": 10}])
    yield page
    page.close()


def test_a_page_without_a_kernel_is_never_live(page: Any) -> None:
    """Before the kernel has answered nothing can be sent, and after a while the panel says that no answer came."""
    assert page.locator(".leverage-live").inner_text() == "○ waiting for the kernel"
    for name in ("apply", "reload"):
        assert page.locator(f".leverage-{name}").is_disabled()
    page.clock.run_for(9_000)
    assert "it has no kernel" in page.locator(".leverage-messages").inner_text()


def test_an_answer_makes_the_panel_live(page: Any) -> None:
    """The first answer of the kernel makes the panel usable, however late it comes."""
    page.clock.run_for(9_000)
    page.evaluate("answer({kind: 'hello'})")
    assert page.locator(".leverage-live").inner_text() == "● live"
    assert page.locator(".leverage-apply").is_enabled()
    assert page.locator(".leverage-messages").inner_text() == ""


def test_the_twin_is_hidden_only_beside_its_panel(page: Any) -> None:
    """The twin is hidden while its panel is on the page, whatever the front end calls its outputs."""
    assert not page.get_by_text("twin").is_visible()
    page.evaluate("end()")
    assert page.get_by_text("twin").is_visible()
