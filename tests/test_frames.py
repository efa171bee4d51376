"""DataFrames show figures that a trader can read."""

from __future__ import annotations

import pandas as pd

from leverage_nb.frames import LeverageFrame, mark


def shown(frame: pd.DataFrame) -> tuple[str, str]:
    """Return the frame as text and as HTML."""
    return repr(frame), str(frame._repr_html_())  # type: ignore[operator]  # not in pandas' stubs


def test_floats_have_separators_and_no_exponent() -> None:
    """Floats are shown as prices are, in text and in HTML; the user's own pandas options stay as they are."""
    before = pd.get_option("display.float_format")
    for text in shown(LeverageFrame({"cap": [300_000.0, 1.8e9, 86_412.5], "rate": [0.004, 0.025, 0.5]})):
        for figure in ("300,000", "1,800,000,000", "86,412.50", "0.025"):
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
