"""Cards show every value alike, and text of an exchange as text."""

from __future__ import annotations

import re

import pytest

from leverage_nb import cards

RED = "#c62828"


def test_a_card_escapes_what_it_shows() -> None:
    """Text from an exchange is shown as text, never as HTML."""
    card = cards.Card("testnet", "<script>x</script>", (("<b>", "<i>"),), "<u>", examples=("<a>",))
    html = card.html()
    for tag in ("<script>", "<i>", "<u>", "<a>"):
        assert tag not in html
    assert "<script>" not in cards.message("<script>", "<script>")
    assert "<script>" not in cards.table("<script>", ["<script>"], [["<script>"]])
    assert "[TESTNET] <script>" in card.text()


def test_a_card_shows_the_same_as_html_and_as_text() -> None:
    """Badge, title, rows, note and examples are in both forms; in text, the values are aligned."""
    card = cards.Card("testnet", "A title", (("a", "1"), ("longer", "2")), "A note.", examples=("%leverage BTCUSDT",))
    for part in ("TESTNET", "A title", "a", "1", "longer", "2", "A note.", "%leverage BTCUSDT"):
        assert part in card.html()
        assert part in card.text()
    assert "  a       1\n  longer  2\n" in card.text()
    assert "<table" not in cards.Card("testnet", "A title").html()


@pytest.mark.parametrize("venue", ["mainnet", "testnet at gateway.example", "simulator at 127.0.0.1:5", "Testnet", ""])
def test_whatever_may_be_mainnet_is_red(venue: str) -> None:
    """Every venue that is not exactly the simulator or the testnet has mainnet's red badge and frame, in capitals."""
    card = cards.Card(venue, "A title")
    assert f"background:{RED}" in cards.badge(venue)
    assert f"border:1px solid {RED}" in card.html()
    assert f"[{venue.upper()}] A title" in card.text()
    for known in ("simulator", "testnet"):
        assert RED not in cards.Card(known, "A title").html()


@pytest.mark.parametrize("venue", ["simulator", "testnet", "mainnet"])
def test_badges_can_be_read(venue: str) -> None:
    """White on each venue's badge has a contrast of at least 4.5:1, by the WCAG formula."""
    found = re.search("background:(#[0-9a-f]{6})", cards.badge(venue))
    assert found is not None
    colour = found[1]
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    assert 1.05 / (luminance + 0.05) >= 4.5
    assert cards.label(venue) in cards.badge(venue)


def test_no_output_is_typeset_as_mathematics() -> None:
    """All HTML is in an element that MathJax ignores, because texts of an exchange may have dollar signs."""
    shown = [
        cards.Card("testnet", "$x$").html(), cards.message("$x$"), cards.table("$x$", ["a"], [["$x$"]]),
        cards.badge("testnet at $x$"),
    ]  # fmt: skip
    for html in shown:
        first = re.match('<(div|span) class="([^"]*)"', html)
        assert first is not None
        assert {"mathjax_ignore", "tex2jax_ignore"} <= set(first[2].split())


TABLE = cards.Table(
    "Two positions", ("symbol", "side", "notional"), (("BTCUSDT", "long", "1,000"), ("哈基米USDT", "short", "7")),
    frozenset({0, 1}),
)  # fmt: skip


def test_a_table_in_a_card_is_aligned() -> None:
    """Texts begin and figures end in one column, also with wide characters; in HTML likewise."""
    assert TABLE.text().splitlines() == [
        "Two positions",
        "symbol      side   notional",
        "BTCUSDT     long      1,000",
        "哈基米USDT  short         7",
    ]
    card = cards.Card("testnet", "A title", tables=(TABLE,), note="A note.")
    for shown in (card.text(), card.html()):
        for part in ("Two positions", "notional", "哈基米USDT", "1,000", "A note."):
            assert part in shown
    assert 'text-align:right;white-space:nowrap">1,000</td>' in card.html()
    assert 'text-align:left">short</td>' in card.html()


def test_a_table_wider_than_the_terminal_is_shown_in_parts() -> None:
    """No line is wider than the terminal; each part repeats the first column."""
    assert TABLE.text(20).splitlines() == [
        "Two positions",
        "symbol      side",
        "BTCUSDT     long",
        "哈基米USDT  short",
        "",
        "symbol      notional",
        "BTCUSDT        1,000",
        "哈基米USDT         7",
    ]


def test_rows_are_wrapped_in_a_terminal() -> None:
    """In a terminal a long value continues below its beginning; elsewhere it is one line."""
    card = cards.Card("testnet", "A title", (("reason", "one two three four five six seven"),), "A note.")
    assert card.text(32).splitlines() == [
        "[TESTNET] A title",
        "  reason  one two three four",
        "          five six seven",
        "  A note.",
    ]
    assert "one two three four five six seven" in card.text()


@pytest.mark.parametrize("venue", ["simulator", "testnet", "mainnet", "elsewhere"])
def test_colours_add_nothing_but_codes(venue: str) -> None:
    """With colours the text is the same, and mainnet's badge is red and reversed, as every unknown one."""
    card = cards.Card(venue, "A title", (("a", "1"),), "A note.", "bad", tables=(TABLE,))
    coloured = card.text(colours=True)
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == card.text()
    assert "\x1b" not in card.text()
    assert coloured.startswith(f"\x1b[1;31;7m[{venue.upper()}]") == (venue not in {"simulator", "testnet"})
