"""The panel's browser side alone: a page with a model whose messages the test answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from leverage_nb.notebook.panel import LeveragePanel
from tests.notebook.front_end import click

pytestmark = pytest.mark.browser

# A model as the front end has it: it keeps its traits, calls the listeners, and records what is sent.
SHOW = """async ([code, state, views]) => {
    const module = await import(URL.createObjectURL(new Blob([code], {type: 'text/javascript'})));
    const listeners = [];
    const call = (event, content) => listeners.filter(([name]) => name === event).forEach(([, run]) => run(content));
    window.sent = [];
    window.model = {
        get: name => state[name],
        set: (name, value) => { state[name] = value; call(`change:${name}`); },
        save_changes: () => {}, send: content => window.sent.push(content), off: () => {},
        on: (names, run) => { for (const name of names.split(' ')) listeners.push([name, run]); },
    };
    for (let view = 0; view < views; view += 1) {
        const el = document.createElement('div');
        document.body.append(el);
        module.default.render({model: window.model, el});
    }
    call('msg:custom', {kind: 'hello'});
    window.sent.length = 0;
}"""


@pytest.fixture
def show(chromium: Any, panel: LeveragePanel) -> Iterator[Callable[..., Any]]:
    """Show a panel's state, changed or not, in one view or several, and return the page."""
    page = chromium.new_page(viewport={"width": 1000, "height": 1000})
    page.on("pageerror", lambda error: pytest.fail(str(error)))

    def shown(views: int = 1, **changed: Any) -> Any:
        page.set_content(f"<style>{panel._css}</style>")
        page.evaluate(SHOW, [panel._esm, {**panel.get_state(), "live": "live", **changed}, views])
        page.locator(".leverage-chart svg").first.wait_for()
        return page

    yield shown
    page.close()


def sent(page: Any, kind: str) -> list[dict[str, Any]]:
    """Return the messages of one kind that were sent."""
    return [content for content in page.evaluate("sent") if content["kind"] == kind]


def test_only_the_main_button_sets_the_leverage(show: Callable[..., Any]) -> None:
    """A right click, a middle click, and a drag that began outside of the chart leave the leverage as it is."""
    page = show()
    box = page.locator(".leverage-chart svg").bounding_box()
    at = box["x"] + 120, box["y"] + 100
    for button in ("right", "middle"):
        page.mouse.click(*at, button=button)
    page.mouse.move(box["x"] + 100, box["y"] - 30)
    page.mouse.down()
    page.mouse.move(*at, steps=4)
    page.mouse.up()
    assert page.evaluate("model.get('leverage')") == 20
    page.mouse.click(*at)
    assert page.evaluate("model.get('leverage')") < 5


def test_a_touch_that_scrolls_leaves_the_leverage(show: Callable[..., Any]) -> None:
    """A touch counts as a tap, or once it has moved along the axis; one that becomes a scroll does not."""
    page = show()
    chart = page.locator(".leverage-chart")
    box = chart.bounding_box()

    def touch(kind: str, x: float = 120.0) -> None:
        where = {"clientX": box["x"] + x, "clientY": box["y"] + 100}
        common = {"pointerId": 7, "pointerType": "touch", "bubbles": True, "button": 0, "buttons": 1}
        chart.dispatch_event(kind, common | where)

    page.evaluate(
        "() => { const held = new Set(); Object.assign(document.querySelector('.leverage-chart'), {"
        " setPointerCapture: id => held.add(id), hasPointerCapture: id => held.has(id) }); window.held = held; }"
    )
    touch("pointerdown")
    touch("pointermove", 123)
    assert page.evaluate("model.get('leverage')") == 20
    page.evaluate("held.clear()")  # the browser takes the pointer: pointercancel
    touch("pointercancel")
    touch("pointermove", 200)
    assert page.evaluate("model.get('leverage')") == 20
    touch("pointerdown")
    touch("pointermove", 160)
    assert page.evaluate("model.get('leverage')") < 10


def test_enter_in_the_untouched_search_changes_nothing(show: Callable[..., Any]) -> None:
    """Tab into the symbol and Enter closes the list; with a typed text Enter takes the best match."""
    page = show(symbols=[["ADAUSDT", "20x", "", "75x"], ["BTCUSDT", "20x", "", "150x"]])
    field = page.locator(".leverage-symbol")
    field.focus()
    assert field.get_attribute("aria-activedescendant") is None
    page.keyboard.press("Enter")
    assert page.locator(".leverage-matches").is_hidden()
    assert sent(page, "select") == []
    field.focus()
    page.keyboard.type("ada")
    assert field.get_attribute("aria-activedescendant")
    page.keyboard.press("Enter")
    assert field.get_attribute("aria-activedescendant") is None
    assert [content["to"] for content in sent(page, "select")] == ["ADAUSDT"]


def test_the_search_error_is_announced(show: Callable[..., Any]) -> None:
    """A text that matches nothing is reported in an element that screen readers follow."""
    page = show()
    page.locator(".leverage-symbol").fill("XYZ")
    page.keyboard.press("Enter")
    assert page.get_by_role("status").filter(has_text="No symbol matches “XYZ”.").count() == 1


def test_clicks_of_two_views_have_different_numbers(show: Callable[..., Any]) -> None:
    """A view whose panel was clicked in another view waits for the answer to its own click."""
    page = show(views=2, leverage=30, answered=5)
    for view in (0, 1):
        page.locator(".leverage-apply").nth(view).click()
        assert page.locator(".leverage-apply").nth(view).is_disabled()
        page.evaluate("model.set('answered', sent.at(-1).click)")
        assert page.locator(".leverage-apply").nth(view).is_enabled()
    assert [content["click"] for content in sent(page, "apply")] == [6, 7]


def test_a_typed_size_does_not_take_a_press_away(show: Callable[..., Any]) -> None:
    """A press on a unit or on Apply counts although the size that was typed before is sent at the same moment."""
    page = show(leverage=30)
    size = page.locator(".leverage-size")
    for button, kind in (
        (page.locator(".leverage-unit").nth(1), "new position"),
        (page.locator(".leverage-apply"), "apply"),
    ):
        before = len(sent(page, kind))
        size.fill("3" if kind == "apply" else "2")
        button.click()
        assert len(sent(page, kind)) > before
    assert sent(page, "new position")[1]["unit"] == "base asset"


def test_a_size_in_percent_moves_with_the_marker(show: Callable[..., Any], panel: LeveragePanel) -> None:
    """The line of a new position is at its notional at the chosen leverage, on a scale that does not change."""
    click(panel, "new position", 20, text="50", unit="percent")
    page = show()
    line, dot = page.locator(".leverage-new-line"), page.locator(".leverage-exposure")
    before, fixed = float(line.get_attribute("y1")), dot.get_attribute("y1")
    page.evaluate("model.set('leverage', 60)")
    assert float(line.get_attribute("y1")) < before  # a higher notional
    assert dot.get_attribute("y1") == fixed


@pytest.mark.parametrize("state", ["unknown", "confirming"])
def test_margin_is_not_changed_while_something_is_open(
    show: Callable[..., Any], panel: LeveragePanel, state: str
) -> None:
    """While an outcome is unknown or a question waits, no other change can be clicked, and nothing can be undone."""
    panel.select("ETHUSDT")
    question = {"number": 1, "text": "x", "leverage": panel.leverage, "seconds": 0.8}
    page = show(state=state, question=question, undo="Undo 10x → 20x", message="<div>The outcome is unknown.</div>")
    for name in ("add-margin", "reduce-margin", "amount", "margin-type"):
        assert page.locator(f".leverage-{name}").is_disabled(), name
    assert "unknown" in page.locator(".leverage-messages").inner_text()
    assert "Undo" not in page.inner_text(".leverage-actions")


def test_the_buttons_of_isolated_margin_send_amount_direction_and_side(
    show: Callable[..., Any], panel: LeveragePanel
) -> None:
    """What was typed is sent without a sign, with the button's direction and the side of the position."""
    panel.select("ETHUSDT")
    page = show()
    page.locator(".leverage-amount").fill("500")
    page.evaluate("model.set('table', {...model.get('table')})")  # a redraw keeps what was typed
    page.locator(".leverage-reduce-margin").click()
    (content,) = sent(page, "isolated margin")
    assert (content["amount"], content["direction"], content["side"]) == ("500", "reduce", "BOTH")


def test_the_report_is_shown_before_the_click_is_answered(show: Callable[..., Any]) -> None:
    """A report that comes before the end of the click replaces the note that the panel waits for the kernel."""
    page = show(leverage=30)
    page.locator(".leverage-apply").click()
    message = page.locator(".leverage-messages")
    assert "Waiting for the kernel: BTCUSDT 30x." in message.inner_text()
    page.evaluate("() => { model.set('message', '<div>BTCUSDT 20x → 30x applied</div>'); model.set('state', 'done'); }")
    assert "20x → 30x applied" in message.inner_text()


def test_copied_code_names_the_account(show: Callable[..., Any]) -> None:
    """Copy as code has the options that the kernel names for an account that is not in use."""
    page = show(leverage=30, options=" --venue testnet --profile sub1")
    copied = page.locator(".leverage-copy").get_attribute("title")
    assert copied == "%leverage BTCUSDT 30 --venue testnet --profile sub1"


def test_a_time_of_another_day_has_its_date(show: Callable[..., Any], panel: LeveragePanel) -> None:
    """The time of the read has its date once that is not today's, and the leverage its own time."""
    page = show()
    assert panel.table["asOf"]["time"] in page.locator(".leverage-as-of").inner_text()
    old = {"epoch": 1_700_000_000, "time": "22:13:20", "moment": "2023-11-14 22:13:20+00:00"}
    page = show(table={**panel.table, "asOf": old, "leverageAsOf": panel.table["asOf"]})
    shown = page.locator(".leverage-as-of").inner_text()
    assert shown == f"as of 2023-11-14 22:13:20+00:00, leverage {panel.table['asOf']['time']}"


def test_explanations_can_be_read_without_a_mouse(show: Callable[..., Any]) -> None:
    """What the words mean, and what the live state promises, is also in a list that opens with the keyboard."""
    page = show()
    words = page.locator(".leverage-details summary").filter(has_text="What the words mean")
    words.focus()
    page.keyboard.press("Enter")
    terms = page.locator(".leverage-terms")
    terms.wait_for()
    assert "The largest position that the tiers allow at this leverage." in terms.inner_text()
    assert "made elsewhere are shown within seconds" in terms.inner_text()


@pytest.mark.parametrize("state", ["editing", "unknown", "confirming"])
def test_the_main_button_is_readable_under_the_pointer(show: Callable[..., Any], state: str) -> None:
    """Apply, Confirm and Check again have white text, and keep their background when the pointer is on them."""
    page = show(leverage=30, state=state, question={"number": 1, "text": "20x → 30x", "leverage": 30, "seconds": 0})
    button = page.locator(".leverage-apply")
    page.wait_for_function("() => document.querySelector('.leverage-apply').ariaDisabled === 'false'")
    read = "node => getComputedStyle(node).backgroundColor"
    before = button.evaluate(read)
    button.hover()
    assert button.evaluate(read) == before
    assert button.evaluate("node => getComputedStyle(node).color") == "rgb(255, 255, 255)"
