"""Where keys come from, and that they stay there."""

from __future__ import annotations

import copy
import pickle

import pytest

from leverage_nb.errors import CredentialsMissing, Mistake
from leverage_nb.exchange.credentials import Credentials, find_credentials
from leverage_nb.exchange.venues import VENUES

KEY, SECRET = "K" * 64, "S" * 64
TESTNET, MAINNET = VENUES["testnet"], VENUES["mainnet"]


def test_arguments_go_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both parts come from the arguments when given there, else both from this venue's variables."""
    monkeypatch.setenv("LEVERAGE_NB_TESTNET_API_KEY", "E" * 64)
    monkeypatch.setenv("LEVERAGE_NB_TESTNET_API_SECRET", SECRET)
    assert find_credentials(TESTNET, KEY, SECRET).headers() == {"X-MBX-APIKEY": KEY}
    assert find_credentials(TESTNET, None, None).headers() == {"X-MBX-APIKEY": "E" * 64}
    with pytest.raises(CredentialsMissing):
        find_credentials(MAINNET, None, None)


def test_halves_are_never_mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key from one place is not completed with a secret from another."""
    monkeypatch.setenv("LEVERAGE_NB_TESTNET_API_SECRET", SECRET)
    with pytest.raises(Mistake, match="go together"):
        find_credentials(TESTNET, KEY, None)
    with pytest.raises(Mistake, match="only one of them is set"):
        find_credentials(TESTNET, None, None)


def test_a_missing_key_says_where_to_put_one() -> None:
    """Without a key the error names both variables and the place where keys are made."""
    with pytest.raises(CredentialsMissing) as caught:
        find_credentials(TESTNET, None, None)
    assert "LEVERAGE_NB_TESTNET_API_KEY and LEVERAGE_NB_TESTNET_API_SECRET" in caught.value.hint
    assert "demo.binance.com" in caught.value.hint


@pytest.mark.parametrize("key", ["", "  ", "key with spaces", "ключ", "line\nbreak"])
def test_what_no_key_can_hold_is_refused_without_repeating_it(key: str) -> None:
    """A mangled key is refused before it reaches a header, and the message does not show it."""
    with pytest.raises(Mistake) as caught:
        Credentials(key, SECRET)
    assert key.strip() not in str(caught.value) or not key.strip()


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
