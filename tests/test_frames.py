"""DataFrames show figures that a trader can read."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Iterator

import pandas as pd
import pytest

from leverage_nb.account import Account
from leverage_nb.frames import LeverageFrame, mark


def shown(frame: pd.DataFrame) -> tuple[str, str]:
    """Return the frame as text and as HTML."""
    return repr(frame), str(frame._repr_html_())  # type: ignore[operator]  # not in pandas' stubs


def test_floats_have_separators_and_no_exponent() -> None:
    """Floats are shown as prices are, in text and in HTML; the user's own pandas options stay as they are."""
    before = pd.get_option("display.float_format")
    for text in shown(LeverageFrame({"cap": [300_000.0, 1.8e9, 86_412.5], "rate": [0.004, 0.025, 0.5]})):
        for figure in ("300,000", "1,800,000,000", "86,412.50", "0.004", "0.025"):
            assert figure in text
        assert "e+" not in text
    assert pd.get_option("display.float_format") == before


def test_no_column_is_left_out() -> None:
    """In text, all columns are shown, however many there are."""
    text = repr(LeverageFrame({f"column_{number:02}": [1.0] for number in range(40)}))
    assert all(f"column_{number:02}" in text for number in range(40))


def test_long_texts_are_whole_in_html() -> None:
    """The end of a reason, which names the next step, is not cut off."""
    reason = "exposure exceeds the cap; " * 20 + "highest leverage that fits: 100x"
    assert reason in str(LeverageFrame({"reason": [reason]})._repr_html_())


def test_derived_frames_are_shown_alike() -> None:
    """Slices, copies and results of calculations are LeverageFrames too."""
    frame = LeverageFrame({"cap": [300_000.0, 1.8e9]})
    for derived in (frame.head(1), frame.copy(), frame * 2, frame[frame["cap"] > 0]):
        assert isinstance(derived, LeverageFrame)


def test_frames_with_any_index_are_shown() -> None:
    """Two levels of the same name, levels without names, and a frame without columns are shown too."""
    frame = LeverageFrame({"cap": [1.0, 2.0]})
    for names in (["symbol", "symbol"], [None, None]):
        frame.index = pd.MultiIndex.from_tuples([("BTCUSDT", 1), ("ETHUSDT", 2)], names=names)
        assert "ETHUSDT" in repr(frame)
    assert "BTCUSDT" in repr(frame[[]])


def test_a_marked_frame_names_venue_and_account() -> None:
    """The venue is in the corner of the table; venue and account are in ``attrs``."""
    frame = LeverageFrame({"cap": [1.0]})
    assert mark(frame, "testnet", "key 1a2b3c4d") is frame
    assert frame.attrs == {"venue": "testnet", "account": "key 1a2b3c4d"}
    for text in shown(frame):
        assert "TESTNET" in text


def test_frames_are_not_typeset_as_mathematics() -> None:
    """The HTML of a frame has the classes that MathJax ignores; the user's own option stays as it is."""
    html = str(LeverageFrame({"reason": ["costs $5 or $6"]})._repr_html_())
    assert "mathjax_ignore" in html
    assert "tex2jax_ignore" in html
    assert pd.get_option("display.html.use_mathjax")


@pytest.fixture
def _in_berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the local time of Berlin."""
    if not hasattr(time, "tzset"):
        pytest.skip("Windows cannot change the time zone of a process")
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_in_berlin")
def test_values_are_shown_for_people() -> None:
    """Rates are percentages, leverages have an x, amounts have separators, times are local, and nothing is a dash."""
    frame = LeverageFrame(
        {
            "sent_at": pd.to_datetime(["2026-11-22T13:03:07Z", None], utc=True),
            "leverage": pd.array([125, None], dtype="Int64"),
            "effective_leverage": [4.578752, 20.0],
            "notional_cap": [86_412.5, 300_000.0],
            "maint_margin_ratio": [0.0065, 0.125],
            "distance_long": [0.496, math.inf],
            "code": pd.array([-2027, None], dtype="Int64"),
            "count": [1234, 5],
            "liquidation_price": [0.02187, math.nan],
            "confirmed_by": ["answer", ""],
        }
    )
    before = frame.copy(deep=True)
    for text in shown(frame):
        for part in (
            "2026-11-22 14:03:07", "125x", "4.6x", "20x", "86,412.50", "300,000.00", "0.65%", "12.50%", "49.6%",
            "-2027", "1,234", "0.02187", "answer",
        ):  # fmt: skip
            assert part in text
        for part in ("inf", "nan", "NaN", "NA", "NaT", "None"):
            assert part not in text.replace("mathjax_ignore", "")
        assert text.count("–") == 6
    pd.testing.assert_frame_equal(frame, before)  # dtypes too
    assert frame["leverage"].dtype == "Int64"
    assert frame["distance_long"].dtype == "float64"


def test_texts_are_left_aligned_and_figures_right_aligned() -> None:
    """In text and in HTML the column of a reason begins at the left, and figures end at the right."""
    frame = LeverageFrame(
        {"cap": [5.0, 1000.0], "reason": ["too high", "no"]}, index=pd.Index(["BTCUSDT", "哈基米USDT"], name="symbol")
    )
    lines = repr(frame).splitlines()
    assert lines[1].index("too high") == lines[0].index("reason")
    assert lines[1].index("5") == lines[0].index("cap") + 2
    html = str(frame._repr_html_())  # type: ignore[operator]  # not in pandas' stubs
    for cell in ("td", "too high"), ("th", "reason"), ("th", "symbol"), ("th", "BTCUSDT"):
        assert re.search(r'<{} style="text-align:left[^"]*">{}</'.format(*cell), html), cell
    assert 'tabular-nums">1,000</td>' in html


def test_long_frames_show_their_ends_and_their_size() -> None:
    """As in pandas, a frame of more than 60 rows shows ten of them, and its size."""
    for text in shown(LeverageFrame({"cap": [1000.0 + number for number in range(900)]})):
        assert "1,004" in text
        assert "1,895" in text
        assert "1,500" not in text
        assert "900 rows × 1 columns" in text
    with pd.option_context("display.max_rows", None):
        assert "1,500" in repr(LeverageFrame({"cap": [1000.0 + number for number in range(900)]}))


def test_texts_of_the_exchange_are_shown_as_text() -> None:
    """HTML in a value or in a column's name is escaped."""
    html = str(LeverageFrame({"<b>": ["<td>", "</thead>"]})._repr_html_())  # type: ignore[operator]  # as above
    assert "&lt;td&gt;" in html
    assert "<b>" not in html
    assert html.count("</thead>") == 1


def test_an_empty_table_is_a_sentence(account: Account) -> None:
    """A table without rows says what there is not, with the venue; its columns and dtypes are there all the same."""
    history = account.history()
    assert repr(history) == "[SIMULATOR] No changes yet."
    assert history["requested"].dtype == "int64"
    for text in shown(history):
        assert "SIMULATOR" in text
        assert "No changes yet." in text
    assert "No tier has changed since the first read" in repr(account.tier_changes())
    positions = account.positions()
    assert "No rows." in repr(positions[positions["side"] == "none"])
    assert "No rows." in repr(LeverageFrame({"cap": []}))


def test_frames_that_pandas_derives_can_be_shown() -> None:
    """Statistics, transposed frames, frames with several levels of columns or none are shown too."""
    frame = LeverageFrame({"leverage": [10, 20], "room": [1.5, math.nan], "note": ["a", None]})
    for derived in (
        frame.describe(), frame.T, frame.groupby("note").agg({"room": ["min", "max"]}), frame[[]],
        frame.iloc[:, [0, 0]], pd.concat({"x": frame, "y": frame}, axis=1), frame.set_index(["leverage", "note"]),
        frame.stack(),
    ):  # fmt: skip
        assert repr(derived)
        assert derived.empty or isinstance(derived, pd.Series) or "<table" in shown(derived)[1]
