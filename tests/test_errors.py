"""Errors as the user sees them."""

from __future__ import annotations

import inspect
import pickle
import sys

import pytest

from leverage_nb import errors
from leverage_nb.change import LeverageChange

CHANGE = LeverageChange("testnet", "key 1a2b3c4d", "BTCUSDT", 20, None, 10, None, "refused", None)


def test_the_docstring_draws_every_error() -> None:
    """The tree in the docstring names every error class, and no other."""
    classes = {name for name, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__}
    drawing = (errors.__doc__ or "").split("::", 1)[1].split("In a notebook", 1)[0]
    drawn = {word for word in drawing.replace("(", " ").split() if word[0].isupper() and word.isidentifier()}
    assert classes <= drawn
    kinds = (errors.LeverageError, KeyboardInterrupt)
    assert all(issubclass(getattr(errors, name), kinds) for name in classes)


def test_a_notebook_shows_an_error_and_its_hint() -> None:
    """A notebook shows what happened and what to do next, without a traceback."""
    error = errors.UnknownSymbol("BTCUSTD", "testnet", ["BTCUSDT"])
    assert error._render_traceback_() == [
        "UnknownSymbol: BTCUSTD is not a symbol on the testnet.", "Did you mean BTCUSDT?",
    ]  # fmt: skip
    assert isinstance(error, ValueError)


@pytest.mark.parametrize(("place", "bold"), [("terminal", True), ("ipykernel.iostream", True), ("file", False)])
def test_the_name_of_an_error_is_bold_where_that_can_be_shown(
    monkeypatch: pytest.MonkeyPatch, place: str, bold: bool
) -> None:
    """The name is bold in a terminal and in a notebook, unless NO_COLOR is set; in a file it is plain."""
    output = type("Output", (), {"isatty": lambda _: place == "terminal", "__module__": place, "encoding": "ascii"})()
    monkeypatch.setattr(sys, "stdout", output)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    error = errors.InvalidInput("20x → 10x is no leverage.")
    name = "\x1b[1mInvalidInput\x1b[0m" if bold else "InvalidInput"
    assert error._render_traceback_() == [f"{name}: 20x -> 10x is no leverage."]
    monkeypatch.setenv("NO_COLOR", "1")
    assert error._render_traceback_() == ["InvalidInput: 20x -> 10x is no leverage."]


def test_long_errors_are_broken_between_words() -> None:
    """Lines are at most 96 columns wide, and continued rows are aligned."""
    error = errors.RequestRefused(
        "no", headline="Refused.", code=-2015, words="w " * 60, meaning="m " * 60, hint="h " * 60
    )
    lines = error._render_traceback_()
    assert max(len(line) for line in lines[1:]) <= 96
    assert [line[:11] for line in lines[1:]] == [
        start for name in ("answer", "meaning", "next") for start in (f"  {name:<7}  ", " " * 11)
    ]


def test_the_debug_switch_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """With LEVERAGE_NB_DEBUG set IPython prints the full traceback."""
    monkeypatch.setenv("LEVERAGE_NB_DEBUG", "1")
    assert not hasattr(errors.InvalidInput("x"), "_render_traceback_")


@pytest.mark.parametrize(
    "error",
    [
        errors.UnknownSymbol("BTCUSTD", "testnet", ["BTCUSDT"]), errors.NotionalBeyondTiers(2e9, 1.8e9, "BTCUSDT"),
        errors.InvalidLeverage(200, "BTCUSDT", 150), errors.RateLimited("slow", retry_after=3.0, code=-1003),
        errors.LeverageRefused("no", hint="later", code=-2027, http_status=400, change=CHANGE),
    ],
)  # fmt: skip
def test_errors_survive_pickling(error: errors.LeverageError) -> None:
    """An error is complete after pickling, so that it can cross to another process."""
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert type(again) is type(error)
    assert (str(again), vars(again)) == (str(error), vars(error))
