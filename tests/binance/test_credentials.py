"""Keys: their sources, and that they appear nowhere else."""

from __future__ import annotations

import copy
import os
import pickle
import re
import traceback
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from keyring.backends import chainer, fail, null
from keyring.errors import KeyringLocked

import leverage_nb
from leverage_nb.binance.credentials import (
    Credentials,
    KeyWarning,
    check_keyring,
    find_credentials,
    forget,
    name_source,
)
from leverage_nb.binance.venues import VENUES
from leverage_nb.errors import ChangeNotSent, CredentialsMissing, InvalidInput, LeverageError, RequestRefused
from leverage_nb.session import connect, current
from leverage_nb.simulator import Simulator
from tests.conftest import connect_to
from tests.keyrings import ForgetfulRing, PlaintextKeyring, Ring, StubbornRing, using

OURS = Path(leverage_nb.__file__).parent
KEY, SECRET = "K" * 64, "S" * 64
NONE = Credentials(None, None)
TESTNET, MAINNET = VENUES["testnet"], VENUES["mainnet"]


def test_arguments_go_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both parts come from the arguments if given, else both from the venue's environment variables."""
    monkeypatch.setenv("LEVERAGE_NB_TESTNET_API_KEY", "E" * 64)
    monkeypatch.setenv("LEVERAGE_NB_TESTNET_API_SECRET", SECRET)
    assert find_credentials(TESTNET, Credentials(KEY, SECRET)).headers() == {"X-MBX-APIKEY": KEY}
    assert find_credentials(TESTNET, NONE).headers() == {"X-MBX-APIKEY": "E" * 64}
    with pytest.raises(CredentialsMissing):
        find_credentials(MAINNET, NONE)


def test_parts_of_two_sources_are_never_combined(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key of one source is not completed with a secret of another."""
    monkeypatch.setenv("LEVERAGE_NB_TESTNET_API_SECRET", SECRET)
    with pytest.raises(InvalidInput, match="go together"):
        find_credentials(TESTNET, Credentials(KEY, None))
    with pytest.raises(InvalidInput, match=r"LEVERAGE_NB_TESTNET_API_SECRET .* go together"):
        find_credentials(TESTNET, NONE)


def test_the_error_of_a_missing_key_says_what_to_do() -> None:
    """Without a key the error names both environment variables and the page on which keys are created."""
    with pytest.raises(CredentialsMissing) as caught:
        find_credentials(TESTNET, NONE)
    assert "LEVERAGE_NB_TESTNET_API_KEY and LEVERAGE_NB_TESTNET_API_SECRET" in caught.value.hint
    assert "demo.binance.com" in caught.value.hint


@pytest.mark.parametrize("key", ["", "  ", "key with spaces", "ключ", "line\nbreak", 5, b"bytes"])
def test_a_malformed_key_is_refused_without_repeating_it(key: Any) -> None:
    """A malformed key is refused before it reaches a header, and the message does not show it."""
    with pytest.raises(InvalidInput) as caught:
        Credentials(key, SECRET).checked()
    assert "copy it again" in caught.value.message
    assert not str(key).strip() or str(key) not in caught.value.message


def test_white_space_around_a_pasted_key_is_removed() -> None:
    """White space that was copied along with a key is removed."""
    assert Credentials(f" {KEY}\n", SECRET).headers() == {"X-MBX-APIKEY": KEY}


def test_the_fingerprint_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the fingerprint later does not use the key, and malformed keys have a fingerprint too."""
    credentials = Credentials(KEY, SECRET)
    monkeypatch.setattr("leverage_nb.binance.credentials.hashlib", None)
    assert re.fullmatch("[0-9a-f]{8}", credentials.fingerprint)
    monkeypatch.undo()
    assert Credentials("\ud800", SECRET).fingerprint


@pytest.mark.parametrize("key", [KEY, "a1" * 32, "Q2hhcmFjdGVycyBvZiBiYXNlNjQ+/=", "abcd1234abcd1234"])
@pytest.mark.parametrize("place", ["venue", "profile", "rest_url", "stream_url"])
def test_a_key_in_the_wrong_place_is_not_repeated(key: str, place: str) -> None:
    """The errors of connect(KEY), profile=KEY and the like do not repeat the text."""
    given = {
        "venue": "testnet",
        "api_key": "k" * 64,
        "api_secret": SECRET,
        place: key if place != "profile" else key + "-",
    }
    with pytest.raises(InvalidInput) as caught:
        connect(**given)
    assert key.lower() not in str(caught.value).lower()
    assert "That" in caught.value.message or "is not a wss address" in caught.value.message


def test_a_typing_error_is_repeated() -> None:
    """A short text that cannot be a key is repeated, so that the user sees the typing error."""
    with pytest.raises(InvalidInput, match=r"^demo is not a venue"):
        connect("demo")
    with pytest.raises(InvalidInput, match=r"^sub 1 is not a profile's name"):
        connect(profile="sub 1")


def test_keys_do_not_show() -> None:
    """No repr, str, vars, pickle or deep copy holds key or secret; the fingerprint differs between keys."""
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
    """After any error in the arguments of connect(), no frame of the package holds key or secret."""
    given = {"venue": "testnet", "api_key": KEY, "api_secret": SECRET} | arguments
    with pytest.raises(LeverageError) as caught:
        connect(**given)
    summary = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = [frame for frame in summary.stack if OURS in Path(frame.filename).parents]
    assert ours
    shown = str([frame.locals for frame in ours]) + str(caught.value)
    assert KEY not in shown
    assert SECRET not in shown


def test_no_frame_holds_a_key_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A malformed key in the environment is refused, and no frame of the package holds it."""
    monkeypatch.setenv("LEVERAGE_NB_TESTNET_API_KEY", KEY + " x")
    monkeypatch.setenv("LEVERAGE_NB_TESTNET_API_SECRET", SECRET)
    with pytest.raises(InvalidInput) as caught:
        connect("testnet")
    summary = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    shown = str([frame.locals for frame in summary.stack if OURS in Path(frame.filename).parents])
    assert KEY not in shown
    assert SECRET not in shown


def pem_of(kind: str, password: bytes | None = None) -> tuple[str, str]:
    """Create a key pair in PEM: private and public."""
    key: Any = (
        rsa.generate_private_key(public_exponent=65537, key_size=2048)
        if kind == "RSA"
        else ed25519.Ed25519PrivateKey.generate()
    )
    lock = BestAvailableEncryption(password) if password else NoEncryption()
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock).decode()
    return private, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


@pytest.mark.parametrize("kind", ["RSA", "Ed25519"])
@pytest.mark.parametrize("password", [None, "a password"])
def test_private_keys_sign(kind: str, password: str | None, tmp_path: Path) -> None:
    """RSA and Ed25519 keys, encrypted or not, as text or in a file, sign requests that the exchange accepts."""
    private, public = pem_of(kind, password.encode() if password else None)
    path = tmp_path / "key.pem"
    path.touch(mode=0o600)
    path.write_text(private)
    with Simulator(public_key=public) as simulator:
        for form in (private, str(path)):
            keys = {"api_key": simulator.api_key, "private_key": form, "private_key_password": password}
            with connect("testnet", rest_url=simulator.rest_url, journal=":memory:", **keys) as account:
                assert account.setting("哈基米USDT").leverage == 3
                account.set_leverage("BTCUSDT", account.setting("BTCUSDT").leverage - 1)
        assert simulator.exchange.account.leverage("BTCUSDT") == 18
        wrong, _ = pem_of(kind)
        with (
            connect("testnet", rest_url=simulator.rest_url, api_key=simulator.api_key, private_key=wrong) as stranger,
            pytest.raises(RequestRefused) as caught,
        ):
            stranger.setting("BTCUSDT")
        assert caught.value.code == -1022


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"private_key": "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----"}, "not a private key in PEM"),
        ({"private_key": "/nowhere/key.pem"}, "the file cannot be read \\(FileNotFoundError\\)"),
        ({"private_key": "/"}, "the file cannot be read"), ({"private_key_password": ""}, "its password is missing"),
        ({"private_key_password": None}, "its password is missing"),
        ({"private_key_password": "wrong"}, "the password is wrong"), ({"api_secret": "s" * 64}, "not both"),
    ],
)  # fmt: skip
def test_private_keys_that_cannot_be_used(change: dict[str, Any], words: str) -> None:
    """The error names the problem of a private key, and nothing of the key."""
    private, _ = pem_of("Ed25519", b"a password")
    given = {"api_key": KEY, "private_key": private, "private_key_password": "a password", **change}
    with pytest.raises(InvalidInput, match=words) as caught:
        connect("testnet", **given)
    assert "BEGIN" not in str(caught.value)
    assert caught.value.__context__ is None


def test_the_order_of_sources(ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments precede the environment, which precedes the keyring; each venue and profile has its own key."""
    Credentials("r" * 64, SECRET).keep(TESTNET, None)
    Credentials("p" * 64, SECRET).keep(TESTNET, "sub1")

    def found(profile: str | None = None, given: Credentials = NONE) -> str:
        return find_credentials(TESTNET, given, profile).headers()["X-MBX-APIKEY"][0]

    assert (found(), found("sub1")) == ("r", "p")
    monkeypatch.setenv("LEVERAGE_NB_TESTNET_API_KEY", "e" * 64)
    monkeypatch.setenv("LEVERAGE_NB_TESTNET_API_SECRET", SECRET)
    monkeypatch.setenv("LEVERAGE_NB_TESTNET_SUB1_API_KEY", "f" * 64)
    monkeypatch.setenv("LEVERAGE_NB_TESTNET_SUB1_API_SECRET", SECRET)
    assert (found(), found("sub1")) == ("e", "f")
    assert found(given=Credentials("a" * 64, SECRET)) == "a"
    with pytest.raises(CredentialsMissing, match="profile sub2") as caught:
        find_credentials(TESTNET, NONE, "sub2")
    assert "LEVERAGE_NB_TESTNET_SUB2_API_KEY" in caught.value.hint
    with pytest.raises(CredentialsMissing):
        find_credentials(VENUES["mainnet"], NONE)


def test_profiles_are_accounts_of_their_own(simulator: Simulator) -> None:
    """A profile is shown with the key, and current() distinguishes profiles."""
    plain, sub = connect_to(simulator), connect_to(simulator, profile="sub1")
    assert sub.label == f"sub1, {plain.label}"
    assert sub.set_leverage("BTCUSDT", 10).account == sub.label
    assert current() is plain
    assert current("simulator", "sub1") is sub
    for wrong in ("sub 1", "", "a/b", "x" * 50):
        with pytest.raises(InvalidInput, match="profile's name"):
            connect_to(simulator, profile=wrong)


def test_a_swapped_key_is_noticed(simulator: Simulator, tmp_path: Path) -> None:
    """A profile belongs to the account it was first used with: with a key of another account nothing is sent."""
    path = tmp_path / "journal.sqlite"
    connect_to(simulator, journal=path, profile="sub1").set_leverage("BTCUSDT", 10)
    connect_to(simulator, journal=path, profile="sub1").set_leverage("BTCUSDT", 11)
    simulator.exchange.account.alias = "SomebodyElse"
    with pytest.raises(ChangeNotSent, match="opens the account SomebodyElse") as caught:
        connect_to(simulator, journal=path, profile="sub1").set_leverage("BTCUSDT", 12)
    assert "swapped by mistake" in caught.value.hint
    assert connect_to(simulator, journal=path, profile="sub2").set_leverage("BTCUSDT", 12).status == "applied"


@pytest.mark.parametrize("backend", [null.Keyring, fail.Keyring, chainer.ChainerBackend])
def test_a_keyring_that_stores_nothing_is_refused(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A null or failing back end, also one that a chain would use, is refused by name before a key is asked for."""
    monkeypatch.setattr(chainer.ChainerBackend, "backends", [])
    with using(backend()), pytest.raises(InvalidInput, match=rf"the one in use, {backend.__module__}\.") as caught:
        check_keyring()
    assert "keyring --list-backends" in caught.value.hint
    monkeypatch.setattr(chainer.ChainerBackend, "backends", [null.Keyring(), Ring()])
    with using(chainer.ChainerBackend()), pytest.raises(InvalidInput, match="null"):
        check_keyring()


def test_a_plaintext_keyring_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unencrypted back end is allowed, with a warning that names it and its file; others need none."""
    monkeypatch.setattr(chainer.ChainerBackend, "backends", [PlaintextKeyring(), Ring()])
    for ring in (PlaintextKeyring(), chainer.ChainerBackend()):
        with using(ring):
            warning = check_keyring()
        assert "PlaintextKeyring, stores keys unencrypted in /home/me/keyring_pass.cfg" in warning
    with using(Ring()):
        assert check_keyring() == ""


def test_a_stored_key_is_read_back() -> None:
    """A keyring that does not return the key is reported, without the key."""
    with using(ForgetfulRing()), pytest.raises(InvalidInput, match="does not return what was stored") as caught:
        Credentials(KEY, SECRET).keep(TESTNET, None)
    assert SECRET not in str(traceback.TracebackException.from_exception(caught.value, capture_locals=True).stack)


def test_a_stored_key_is_removed(ring: Ring) -> None:
    """forget() removes the key of one venue and profile; without one, or if it stays there, it says so."""
    Credentials(KEY, SECRET).keep(TESTNET, None)
    Credentials(SECRET, SECRET).keep(TESTNET, "sub1")
    assert forget(TESTNET, None) == Credentials(KEY, SECRET).fingerprint
    assert list(ring.entries) == [("leverage_nb testnet", "sub1")]
    with pytest.raises(InvalidInput, match=r"no key for the testnet\. Nothing was removed"):
        forget(TESTNET, None)
    with using(StubbornRing()):
        Credentials(KEY, SECRET).keep(TESTNET, None)
        with pytest.raises(InvalidInput, match=r"could not be removed from the keyring \(it is still there"):
            forget(TESTNET, None)


@pytest.mark.skipif(os.name != "posix", reason="the mode of a file means something else here")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_an_open_private_key_file_is_named_once(tmp_path: Path, mode: int) -> None:
    """A private key file that others may read is named, with the command that closes it; once, and not if closed."""
    private, _ = pem_of("Ed25519")
    path = tmp_path / "my key.pem"
    path.write_text(private)
    path.chmod(mode)
    with pytest.warns(KeyWarning) as caught:
        Credentials(KEY, None, str(path)).checked()
    assert f"(mode {mode:o})" in str(caught[0].message)
    assert f"chmod 600 '{path}'" in str(caught[0].message)
    Credentials(KEY, None, str(path)).checked()
    Credentials(KEY, None, private).checked()
    path = path.rename(tmp_path / "closed.pem")
    path.chmod(0o600)
    Credentials(KEY, None, str(path)).checked()


def test_secrets_are_found_in_a_cell() -> None:
    """Key, secret, password and the lines of a private key are found in a cell; a path or a short text is not."""
    private, _ = pem_of("Ed25519")
    body = private.splitlines()[1]
    for cell in (f'connect(api_key="{KEY}")', f"s = '{SECRET}'"):
        assert Credentials(KEY, SECRET).is_typed_in(cell)
    assert Credentials(KEY, None, private).is_typed_in(f'pem = """-----BEGIN PRIVATE KEY-----\\n{body}\\n"""')
    assert Credentials(KEY, None, "~/key.pem", "a password").is_typed_in("password='a password'")
    assert not Credentials(KEY, None, "~/key.pem", "x").is_typed_in("connect(private_key='~/key.pem', api_key=x)")
    assert not NONE.is_typed_in("connect()")


def test_a_locked_keyring_is_not_taken_for_an_empty_one() -> None:
    """A keyring that cannot be read is named as such when a key is looked up, removed, or its source is shown."""

    class LockedRing(Ring):
        def get_password(self, service: str, username: str) -> str | None:
            raise KeyringLocked

    with using(LockedRing()):
        with pytest.raises(CredentialsMissing, match=r"The keyring could not be read \(KeyringLocked\)"):
            connect("testnet")
        with pytest.raises(InvalidInput, match=r"could not be read .* Nothing was removed"):
            forget(VENUES["testnet"], None)
        assert "could not be read" in name_source(VENUES["testnet"])


def test_a_key_that_cannot_be_read_back_does_not_stay(ring: Ring) -> None:
    """If the keyring stores a key and cannot return it, the key is removed, and the error says what failed."""

    class UnreadableRing(Ring):
        removed = False

        def get_password(self, service: str, username: str) -> str | None:
            raise KeyringLocked

        def delete_password(self, service: str, username: str) -> None:
            self.removed = True

    unreadable = UnreadableRing()
    with using(unreadable), pytest.raises(InvalidInput, match=r"no keyring can be read \(KeyringLocked\)"):
        Credentials(KEY, SECRET).keep(TESTNET, None)
    assert unreadable.removed
