"""The package offers its public names and no others."""

from __future__ import annotations

import pytest

import leverage_nb as lev


def test_the_public_names_are_importable() -> None:
    """Every public name has a docstring, and no other name can be imported."""
    assert sorted(lev.__all__) == lev.__all__
    for name in lev.__all__:
        assert getattr(lev, name).__doc__
    with pytest.raises(AttributeError):
        lev.nothing  # noqa: B018 - the access is the test
