"""Where keys come from, and that they stay there."""

from __future__ import annotations

import copy
import pickle
import traceback
from pathlib import Path
from typing import Any

import pytest

import leverage_nb
from leverage_nb.connecting import connect
from leverage_nb.errors import CredentialsMissing, LeverageError, Mistake
from leverage_nb.exchange.credentials import Credentials, find_credentials
from leverage_nb.exchange.venues import VENUES

OURS = Path(leverage_nb.__file__).parent
KEY, SECRET = "K" * 64, "S" * 64
NONE = Credentials(None, None)
TESTNET, MAINNET = VENUES["testnet"], VENUES["mainnet"]


def test_arguments_go_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both parts come from the arguments when given there, else both from this venue's variables."""
    monkeypatch.setenv("LEVERAGE_NB_TESTNET_API_KEY", "E" * 64)
    monkeypatch.setenv("LEVERAGE_NB_TESTNET_API_SECRET", SECRET)
    assert find_credentials(TESTNET, Credentials(KEY, SECRET)).headers() == {"X-MBX-APIKEY": KEY}
    assert find_credentials(TESTNET, NONE).headers() == {"X-MBX-APIKEY": "E" * 64}
    with pytest.raises(CredentialsMissing):
        find_credentials(MAINNET, NONE)


def test_halves_are_never_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key from one place is not completed with a secret from another."""
    monkeypatch.setenv("LEVERAGE_NB_TESTNET_API_SECRET", SECRET)
    with pytest.raises(Mistake, match="go together"):
        find_credentials(TESTNET, Credentials(KEY, None))
    with pytest.raises(Mistake, match="only one of them is set"):
        find_credentials(TESTNET, NONE)


def test_a_missing_key_says_where_to_put_one() -> None:
    """Without a key the error names both variables and the place where keys are made."""
    with pytest.raises(CredentialsMissing) as caught:
        find_credentials(TESTNET, NONE)
    assert "LEVERAGE_NB_TESTNET_API_KEY and LEVERAGE_NB_TESTNET_API_SECRET" in caught.value.hint
    assert "demo.binance.com" in caught.value.hint


@pytest.mark.parametrize("key", ["", "  ", "key with spaces", "ключ", "line\nbreak", 5, b"bytes"])
def test_what_no_key_can_hold_is_refused_without_repeating_it(key: Any) -> None:
    """A mangled key is refused before it reaches a header, and the message does not show it."""
    with pytest.raises(Mistake) as caught:
        Credentials(key, SECRET).checked()
    assert "copy it again" in caught.value.message
    assert not str(key).strip() or str(key) not in caught.value.message


def test_white_space_around_a_pasted_key_is_forgiven() -> None:
    """A newline copied along with a key does not matter."""
    assert Credentials(f" {KEY}\n", SECRET).headers() == {"X-MBX-APIKEY": KEY}


def test_keys_do_not_show() -> None:
    """No repr, str, vars, pickle or deep copy holds key or secret; the fingerprint tells keys apart."""
    credentials = Credentials(KEY, SECRET)
    assert KEY not in repr(credentials) + str(credentials) + credentials.fingerprint
    assert not hasattr(credentials, "__dict__")
    for copier in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError):
            copier(credentials)
    assert credentials.fingerprint != Credentials(SECRET, SECRET).fingerprint


@pytest.mark.parametrize(
    "arguments",
    [
        {"venue": "mars"}, {"rest_url": "https://fapi.binance.com"}, {"rest_url": 5}, {"timeout": None},
        {"api_secret": SECRET + " x"}, {"api_secret": None}, {"api_secret": SECRET.encode()}, {"api_key": 5},
    ],
)  # fmt: skip
def test_no_frame_of_a_failing_connect_holds_them(arguments: dict[str, Any]) -> None:
    """Whatever is wrong with the arguments of connect(), no frame of ours prints key or secret."""
    given = {"venue": "testnet", "api_key": KEY, "api_secret": SECRET} | arguments
    with pytest.raises(LeverageError) as caught:
        connect(**given)
    summary = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [frame for frame in summary.stack if OURS in Path(frame.filename).parents]
    assert ours
    shown = str([frame.locals for frame in ours]) + str(caught.value)
    assert KEY not in shown
    assert SECRET not in shown


def test_no_frame_holds_those_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mangled key in the environment is refused without being printed."""
    monkeypatch.setenv("LEVERAGE_NB_TESTNET_API_KEY", KEY + " x")
    monkeypatch.setenv("LEVERAGE_NB_TESTNET_API_SECRET", SECRET)
    with pytest.raises(Mistake) as caught:
        connect("testnet")
    summary = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    shown = str([frame.locals for frame in summary.stack if OURS in Path(frame.filename).parents])
    assert KEY not in shown
    assert SECRET not in shown
