"""The package offers its public names and no others, with the signatures that are written down."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

import leverage_nb as lev

WRITTEN_DOWN = Path(__file__).parent / "public_api.txt"

# The others are returned or raised.
CONSTRUCTED = {"LeveragePanel", "Simulator"}


def test_the_public_names_are_importable() -> None:
    """Every public name has a docstring, and no other name can be imported."""
    assert sorted(lev.__all__) == lev.__all__
    for name in lev.__all__:
        assert getattr(lev, name).__doc__
    with pytest.raises(AttributeError):
        lev.nothing  # noqa: B018 - the access is the test


def test_the_public_signatures_are_those_written_down() -> None:
    """Users' notebooks call these: a change on purpose also changes tests/public_api.txt and the changelog."""
    assert describe() == WRITTEN_DOWN.read_text(encoding="utf-8").splitlines()


def describe() -> list[str]:
    """Return a line for each public name, and for each public attribute of a public class that this package defines."""
    lines = []
    for name in lev.__all__:
        value = getattr(lev, name)
        if not inspect.isclass(value):
            lines.append(f"{name}{inspect.signature(value)}" if callable(value) else name)
            continue
        lines.append(f"class {name}{inspect.signature(value) if name in CONSTRUCTED else ''}")
        lines += [f"    {line}" for line in sorted(_attributes(value))]
    return lines


def _attributes(kind: type) -> list[str]:
    ours = [one for one in kind.__mro__ if one.__module__.startswith("leverage_nb")]
    found: dict[str, Any] = {}
    for one in reversed(ours):
        found |= {name: inspect.getattr_static(one, name) for name in vars(one) if not name.startswith("_")}
    return [f"{name}{inspect.signature(value)}" if inspect.isfunction(value) else name for name, value in found.items()]
