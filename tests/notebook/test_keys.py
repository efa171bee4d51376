"""Keys are asked for hidden, checked, stored and removed."""

from __future__ import annotations

import pytest
from IPython.core.interactiveshell import InteractiveShell
from keyring.backends import null

from leverage_nb.binance.credentials import Credentials
from leverage_nb.binance.venues import VENUES
from leverage_nb.errors import (
    ChangeNotSent,
    CredentialsMissing,
    InvalidInput,
    LoggedOut,
    RequestRefused,
)
from leverage_nb.notebook.overview import Overview
from leverage_nb.notebook.panel import LeveragePanel
from leverage_nb.session import connect, current
from leverage_nb.simulator import Simulator
from tests.conftest import connect_to
from tests.keyrings import PlaintextKeyring, Ring, using
from tests.notebook.commands import run
from tests.notebook.front_end import click


def test_login_stores_a_key_that_works(
    shell: InteractiveShell,
    simulator: Simulator,
    ring: Ring,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """--login stores a key that works under its profile, and no other key."""
    monkeypatch.setitem(VENUES, "testnet", VENUES["testnet"].at(simulator.rest_url))
    answers = iter(["k" * 64, "s" * 64, simulator.api_key, simulator.api_secret])
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(answers))
    with pytest.raises(RequestRefused, match="-2015"):
        run(shell, "--login testnet --profile sub1")
    assert ring.entries == {}
    run(shell, "--login testnet --profile sub1")
    assert ring.entries.keys() == {("leverage_nb testnet", "sub1")}
    assert "sub1, key" in (printed := capsys.readouterr().out)
    assert "Warning" not in printed
    current().close()
    assert str(run(shell, "--venue testnet --profile sub1")).count("sub1, key") == 1
    assert run(shell, "BTCUSDT 10").account.startswith("sub1, key")
    with pytest.raises(InvalidInput, match="needs no key"):
        run(shell, "--login simulator")


def test_login_names_an_unsafe_keyring(
    shell: InteractiveShell, simulator: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """--login refuses a keyring that stores nothing before it asks, and names one that does not encrypt."""
    answers = iter([simulator.api_key, simulator.api_secret])
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(answers))
    monkeypatch.setitem(VENUES, "testnet", VENUES["testnet"].at(simulator.rest_url))
    with using(null.Keyring()), pytest.raises(InvalidInput, match=r"keyring\.backends\.null"):
        run(shell, "--login testnet")
    with using(PlaintextKeyring()):
        run(shell, "--login testnet")
    assert "Warning: The keyring in use, tests.keyrings.PlaintextKeyring, stores keys unenc" in capsys.readouterr().out


def test_logout_removes_the_key_and_closes_its_account(
    shell: InteractiveShell,
    simulator: Simulator,
    ring: Ring,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """--logout removes the stored key of its venue and profile; what used it sends nothing more, and no other stops."""
    monkeypatch.setitem(VENUES, "testnet", VENUES["testnet"].at(simulator.rest_url))
    Credentials(simulator.api_key, simulator.api_secret).keep(VENUES["testnet"], "sub1")
    Credentials("o" * 64, simulator.api_secret).keep(VENUES["testnet"], None)
    earlier = connect_to(simulator, "testnet", profile="sub1")
    panel, preview = LeveragePanel(earlier, "BTCUSDT"), earlier.preview("BTCUSDT", 33)
    plan = earlier.plan({"BTCUSDT": 34})
    sub, other = connect("testnet", profile="sub1"), connect_to(simulator, "testnet")
    run(shell, "--logout testnet --profile sub1")
    assert ring.entries.keys() == {("leverage_nb testnet", "(no profile)")}
    assert sub.closed
    assert earlier.closed
    count = len(simulator.exchange.received)
    for account in (sub, earlier):
        with pytest.raises(ChangeNotSent, match=r"--logout removed the key") as refused:
            account.set_leverage("BTCUSDT", 35)
        assert "lev.connect('testnet', profile='sub1')" in refused.value.hint
        with pytest.raises(LoggedOut):
            account.state()
    with pytest.raises(ChangeNotSent):
        preview.apply()
    with pytest.raises(LoggedOut):
        plan.apply()
    click(panel, "apply", 36)
    assert "--logout removed the key" in panel.message
    assert len(simulator.exchange.received) == count
    assert other.set_leverage("BTCUSDT", 37).status == "applied"
    run(shell, "--logout testnet")
    assert not other.closed  # it was opened with another key
    assert ring.entries == {}
    assert "of the testnet was removed from the keyring" in capsys.readouterr().out
    monkeypatch.setenv("LEVERAGE_NB_TESTNET_API_KEY", simulator.api_key)
    with pytest.raises(InvalidInput, match="Nothing was removed") as caught:
        run(shell, "--logout testnet")
    assert "LEVERAGE_NB_TESTNET_API_KEY" in caught.value.hint
    for line, words in (
        ("--logout simulator", "needs no key"),
        ("--logout testnet BTCUSDT", "--logout takes only --profile"),
        ("--logout testnet --login testnet", "takes only --profile"),
    ):
        with pytest.raises(InvalidInput, match=words):
            run(shell, line)


def test_a_failed_login_keeps_the_account_in_use(
    shell: InteractiveShell, simulator: Simulator, ring: Ring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A key that is refused replaces no other."""
    working = connect_to(simulator, "testnet")
    answers = iter(["k" * 64, "s" * 64])
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(answers))
    monkeypatch.setitem(VENUES, "testnet", VENUES["testnet"].at(simulator.rest_url))
    with pytest.raises(RequestRefused):
        run(shell, "--login testnet")
    assert ring.entries == {}
    assert current("testnet") is working
    with pytest.raises(InvalidInput, match="takes only --profile"):
        run(shell, "--login testnet BTCUSDT 10")


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
