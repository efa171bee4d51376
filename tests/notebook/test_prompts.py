"""Questions at the prompt: confirmations and API keys."""

from __future__ import annotations

import pytest
from IPython.core.interactiveshell import InteractiveShell

from leverage_nb.binance.venues import VENUES
from leverage_nb.errors import (
    CredentialsMissing,
    NotConfirmed,
    RequestRefused,
)
from leverage_nb.notebook.overview import Overview
from leverage_nb.session import current
from leverage_nb.simulator import Simulator
from tests.conftest import connect_to
from tests.notebook.commands import run


@pytest.mark.parametrize(("answer", "after"), [("yes", 10), ("y", 10), ("no", 20), ("", 20), ("10", 20)])
def test_mainnet_asks_for_a_confirmation(
    shell: InteractiveShell, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, answer: str, after: int
) -> None:
    """The question names venue, account, symbol, before and after; any answer but yes changes nothing."""
    asked: list[str] = []

    def reply(question: str) -> str:
        asked.append(question)
        return answer

    main = connect_to(simulator, "mainnet")
    monkeypatch.setattr("builtins.input", reply)
    run(shell, "BTCUSDT 10 --venue mainnet")
    assert main.setting("BTCUSDT").leverage == after
    assert len(asked) == 1
    for part in ("MAINNET", main.label, "BTCUSDT", "20x", "10x"):
        assert part in asked[0]


def test_without_a_prompt_nothing_is_sent_unless_y_is_given(
    shell: InteractiveShell, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """-y sends without a question; without it and without a prompt nothing is sent, and the hint names -y."""
    from IPython.core.error import StdinNotImplementedError

    def nobody(question: str) -> str:
        raise StdinNotImplementedError

    main = connect_to(simulator, "mainnet")
    monkeypatch.setattr("builtins.input", nobody)
    with pytest.raises(NotConfirmed, match="-y"):
        run(shell, "BTCUSDT 10 --venue mainnet")
    assert main.setting("BTCUSDT").leverage == 20
    assert run(shell, "BTCUSDT 20 --venue mainnet").status == "unchanged"
    assert run(shell, "BTCUSDT 10 --venue mainnet -y").after == 10


def test_a_missing_key_is_asked_for_hidden(
    shell: InteractiveShell, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a key the prompt asks for one, hidden, and it is used for this session."""
    typed = iter([simulator.api_key, simulator.api_secret])
    asked: list[str] = []
    monkeypatch.setattr("getpass.getpass", lambda prompt: asked.append(prompt) or next(typed))
    monkeypatch.setitem(VENUES, "testnet", VENUES["testnet"].at(simulator.rest_url))
    assert isinstance(run(shell, "--venue testnet"), Overview)
    assert asked == ["API key (testnet; Enter for none): ", "API secret (testnet): "]
    assert run(shell, "BTCUSDT 10").after == 10


def test_a_refused_key_is_not_kept(
    shell: InteractiveShell, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that the exchange refuses is not kept, and the next command asks again; Enter asks for no secret."""
    typed = iter(["k" * 64, "s" * 64, "", simulator.api_key, simulator.api_secret])
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(typed))
    monkeypatch.setitem(VENUES, "testnet", VENUES["testnet"].at(simulator.rest_url))
    with pytest.raises(RequestRefused, match="-2015"):
        run(shell, "--venue testnet")
    with pytest.raises(CredentialsMissing):
        run(shell, "--venue testnet")
    assert current().venue == "simulator"
    assert isinstance(run(shell, "--venue testnet"), Overview)
