"""A loopback address is shown as a simulator only if it proves to be one; else it is treated as mainnet."""

from __future__ import annotations

import json
import re
import time
import traceback
from pathlib import Path
from typing import Any

import pytest

import leverage_nb
from leverage_nb.account import service_of
from leverage_nb.binance.credentials import Credentials
from leverage_nb.binance.proof import is_our_simulator
from leverage_nb.session import connect
from leverage_nb.simulator import Simulator
from tests.binance.wire import response, serving
from tests.conftest import connect_to

KEYS = {"api_key": "k" * 64, "api_secret": "s" * 64}


@pytest.mark.parametrize("venue", ["simulator", "testnet", "mainnet"])
def test_a_simulator_proves_itself(simulator: Simulator, venue: str) -> None:
    """A simulator at a loopback address is shown under the venue's name that connect() was given."""
    account = connect_to(simulator, venue)
    assert (account.venue, account.venue_label, account.asks_first) == (venue, venue, venue == "mainnet")
    assert account.setting("BTCUSDT").venue == venue


def test_the_simulator_of_this_process_needs_no_proof() -> None:
    """The simulator that connect() starts needs no proof, also with another key."""
    assert connect(**KEYS).venue_label == "simulator"


@pytest.mark.parametrize("venue", ["simulator", "testnet"])
def test_with_an_unknown_key_there_is_no_proof(simulator: Simulator, venue: str) -> None:
    """If the simulator does not know the key, its address is shown and treated as mainnet."""
    account = connect_to(simulator, venue, api_key="k" * 64)
    assert account.venue_label == f"{venue} at 127.0.0.1:{simulator.port}"
    assert account.asks_first


@pytest.mark.parametrize(
    "answer",
    [
        response(b'{"simulator": "leverage_nb", "proof": "' + b"0" * 64 + b'"}'),
        response(b'{"simulator": "leverage_nb", "proof": "\xc3\xa9"}'),
        response(b'{"code": -5000, "msg": "Path /leverage_nb/simulator, Method GET is invalid"}', "404 Not Found"),
        response(b"<html>", "200 OK"),
        response(b"", "302 Found", "Location: http://127.0.0.1:1/"),
        response(b"[" * 2000),
        response(b" " * 1_000_000),
        b"\x00\xff not HTTP",
        b"",
    ],
)
def test_any_other_answer_is_no_proof(answer: bytes) -> None:
    """After a wrong proof, another answer, a large one or none, the address is treated as mainnet."""
    with serving(answer) as wire:
        account = connect("testnet", rest_url=wire.url, **KEYS)
    assert re.fullmatch(r"testnet at 127\.0\.0\.1:\d+", account.venue_label)
    assert account.asks_first
    assert service_of(account).guard.limit() == (20, "the default on mainnet")


def test_a_proof_is_valid_for_its_nonce_only(simulator: Simulator) -> None:
    """An answer that was recorded earlier proves nothing."""
    credentials = Credentials(simulator.api_key, simulator.api_secret)
    assert is_our_simulator(simulator.rest_url, credentials)
    nonce = "0123456789abcdef"
    with serving(response(json.dumps(_proof_of(simulator, nonce)).encode())) as wire:
        assert not is_our_simulator(wire.url, credentials)


def _proof_of(simulator: Simulator, nonce: str) -> dict[str, Any]:
    import requests

    url = f"{simulator.rest_url}/leverage_nb/simulator"
    found: dict[str, Any] = requests.get(url, {"nonce": nonce}, timeout=5).json()
    return found


def test_the_request_for_the_proof_holds_no_secret() -> None:
    """The request has a nonce and no key."""
    with serving(b"") as wire:
        connect("testnet", rest_url=wire.url + "/prefix", **KEYS)
        assert len(wire.received) == 1
        assert re.match(rb"GET /prefix/leverage_nb/simulator\?nonce=[0-9a-f]{32} HTTP", wire.received[0])
        assert KEYS["api_key"].encode() not in wire.received[0]


@pytest.mark.parametrize("script", [(), (b"HTTP/1.1 200 OK\r\n", *[b"X: y\r\n"] * 1000)])
def test_a_slow_answer_is_no_proof(script: tuple[bytes, ...]) -> None:
    """Silence, or an answer line by line, ends after the time allowed."""
    with serving(*script, pause=0.01, close=False) as wire:
        started = time.monotonic()
        assert not is_our_simulator(wire.url, Credentials(**KEYS), patience=0.2)
        assert time.monotonic() - started < 1.0


@pytest.mark.parametrize(
    "url", ["https://gateway.example", "https://127.0.0.1:9", "http://127.0.0.1:9", "http://localhost:1"]
)
def test_other_addresses_prove_nothing(url: str) -> None:
    """Only http on loopback can prove anything; without a listener there is no proof."""
    assert not is_our_simulator(url, Credentials(**KEYS))


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_proof_does_not_show_the_key(
    monkeypatch: pytest.MonkeyPatch, interrupt: type[BaseException]
) -> None:
    """After an interrupt while the proof is checked, no frame of the package holds the key."""

    def stop(key: bytes, *more: object) -> bytes:
        raise interrupt

    monkeypatch.setattr("leverage_nb.binance.credentials.hmac.digest", stop)
    with pytest.raises(interrupt) as caught:
        Credentials(**KEYS).confirm("0" * 16, "0" * 64)
    summary = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    ours = Path(leverage_nb.__file__).parent
    assert [frame for frame in summary.stack if ours in Path(frame.filename).parents]
    assert KEYS["api_key"] not in str([frame.locals for frame in summary.stack if "conftest" not in frame.filename])
