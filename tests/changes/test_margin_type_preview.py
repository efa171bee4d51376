"""A change of margin type is previewed with its verdict, and what it would expose."""

from __future__ import annotations

import pytest

from leverage_nb.account import Account
from leverage_nb.errors import (
    ChangedElsewhere,
    ChangeNotSent,
    LeverageRefused,
)
from leverage_nb.simulator import Simulator


def test_multi_assets_mode_is_refused_and_predicted(quick: Account, simulator: Simulator) -> None:
    """In multi-assets mode isolated margin is refused with -4168, and the preview says so."""
    simulator.exchange.account.isolated.clear()
    simulator.exchange.account.multi_assets = True
    preview = quick.preview_margin_type("ADAUSDT", "isolated")
    assert (preview.verdict, preview.code, preview.certainty) == ("refused", -4168, "documented")
    with pytest.raises(ChangeNotSent, match="expected to refuse"):
        preview.apply()
    with pytest.raises(LeverageRefused) as refused:
        preview.apply(force=True)
    assert refused.value.code == -4168


def test_the_preview_of_cross_names_what_it_exposes(quick: Account) -> None:
    """A change to cross names the balance that would back every position of the symbol."""
    quick.set_margin_type("ADAUSDT", "isolated")
    preview = quick.preview_margin_type("ADAUSDT", "cross")
    assert preview.verdict == "ok"
    assert "94,362.50 USDT" in preview.exposed
    assert preview.exposed in str(preview)
    assert preview.apply().status == "applied"


def test_a_preview_that_no_longer_holds_sends_nothing(quick: Account, simulator: Simulator) -> None:
    """If another client has changed the margin type since the preview, nothing is sent."""
    preview = quick.preview_margin_type("ADAUSDT", "isolated").confirmed()
    simulator.exchange.change_elsewhere("ADAUSDT", margin_type="ISOLATED")
    with pytest.raises(ChangeNotSent) as caught:
        preview.apply()
    assert isinstance(caught.value.reason, ChangedElsewhere)
    assert simulator.exchange.received == []
