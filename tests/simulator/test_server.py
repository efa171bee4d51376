"""The server: keys, proof, user-data stream, restarts and parallel requests."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from contextlib import ExitStack

import pytest
import requests
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect as connect_websocket

from leverage_nb.simulator import Simulator
from tests.simulator.calling import Call, change, signed_call, wait_for
from tests.waiting import until


def test_equal_starts_give_equal_answers() -> None:
    """Two simulators with the same arguments give the same answers, byte for byte; each has its own key."""
    answers, keys = [], set[str]()
    for _ in range(2):
        with Simulator(clock=lambda: 1_800_000_000.0) as simulator:
            texts = [
                requests.get(simulator.rest_url + path, timeout=30).text
                for path in ("/fapi/v1/exchangeInfo", "/fapi/v1/premiumIndex", "/fapi/v1/time")
            ]
            answers.append(texts)
            keys |= {simulator.api_key, simulator.api_secret}
    assert answers[0] == answers[1]
    assert len(keys) == 4


def test_a_chosen_key() -> None:
    """A given key and secret are used if each is 64 letters and digits."""
    with Simulator(api_key="k" * 64, api_secret="S" * 64) as simulator:
        assert signed_call(simulator, "GET", "/fapi/v1/accountConfig")[0] == 200
        assert (simulator.api_key, simulator.api_secret) == ("k" * 64, "S" * 64)
    for wrong in ("k" * 63, "k" * 65, "-" * 64, ""):
        with pytest.raises(ValueError, match="64 letters and digits"):
            Simulator(api_key=wrong)


def test_an_unknown_profile() -> None:
    """A profile of another name is refused with the names that exist."""
    with pytest.raises(ValueError, match="production, demo"):
        Simulator(profile="testnet")


def prove(simulator: Simulator, nonce: str) -> requests.Response:
    """Request the proof that this is a simulator."""
    return requests.get(f"{simulator.rest_url}/leverage_nb/simulator", {"nonce": nonce}, timeout=30)


def test_it_proves_that_it_is_a_simulator(simulator: Simulator) -> None:
    """The proof is an HMAC of the nonce, keyed with the API key; it has no weight, and no fault affects it."""
    simulator.inject("reset_before", on="* *", times=None)
    answer = prove(simulator, "0123456789abcdef")
    expected = hmac.new(simulator.api_key.encode(), b"0123456789abcdef", hashlib.sha256).hexdigest()
    assert answer.json() == {"simulator": "leverage_nb", "proof": expected}
    assert simulator.api_key not in answer.text
    simulator.clear_faults()
    ping = requests.get(simulator.rest_url + "/fapi/v1/ping", timeout=30)
    assert ping.headers["X-MBX-USED-WEIGHT-1M"] == "1"


@pytest.mark.parametrize("nonce", ["", "0123456789abcde", "0" * 65, "symbol=BTCUSDT&leverage=10", "G" * 16, "A" * 16])
def test_the_proof_signs_no_request(simulator: Simulator, nonce: str) -> None:
    """A nonce other than 16 to 64 hex digits is refused."""
    assert prove(simulator, nonce).status_code == 400


def test_user_data_stream(simulator: Simulator, call: Call) -> None:
    """A listen key opens the stream, which delivers changes in Binance's format."""
    url = simulator.rest_url + "/fapi/v1/listenKey"
    assert requests.post(url, timeout=30).status_code == 401
    headers = {"X-MBX-APIKEY": simulator.api_key}
    assert requests.put(url, headers=headers, timeout=30).json()["code"] == -1125
    key = requests.post(url, headers=headers, timeout=30).json()["listenKey"]
    for path in (f"/private/ws/{key}", f"/private/ws?listenKey={key}&events=ACCOUNT_CONFIG_UPDATE/ACCOUNT_UPDATE"):
        with connect_websocket(simulator.stream_url + path) as stream:
            leverage = 15 if "events" in path else 16
            call("POST", "/fapi/v1/leverage", symbol="BTCUSDT", leverage=leverage)
            event = json.loads(stream.recv(timeout=30))
            assert event["e"] == "ACCOUNT_CONFIG_UPDATE"
            assert event["ac"] == {"s": "BTCUSDT", "l": leverage}
            assert isinstance(event["E"], int)
    with connect_websocket(f"{simulator.stream_url}/private/stream?listenKey={key}") as stream:
        call("POST", "/fapi/v1/marginType", symbol="BNBUSDT", marginType="ISOLATED")
        wrapped = json.loads(stream.recv(timeout=30))
        assert wrapped["data"]["a"]["m"] == "MARGIN_TYPE_CHANGE"


def test_a_deleted_listen_key_ends_its_streams(simulator: Simulator) -> None:
    """After DELETE the stream is told, PUT is refused with -1125, and POST gives another key; the old stays silent."""
    headers = {"X-MBX-APIKEY": simulator.api_key}
    url = simulator.rest_url + "/fapi/v1/listenKey"
    key = requests.post(url, headers=headers, timeout=30).json()["listenKey"]
    assert requests.post(url, headers=headers, timeout=30).json()["listenKey"] == key
    with connect_websocket(f"{simulator.stream_url}/private/ws/{key}") as stream:
        assert requests.delete(url, headers=headers, timeout=30).json() == {}
        assert json.loads(stream.recv(timeout=30))["e"] == "listenKeyExpired"
        assert requests.put(url, headers=headers, timeout=30).json()["code"] == -1125
        assert requests.post(url, headers=headers, timeout=30).json()["listenKey"] != key
        simulator.exchange.change_elsewhere("BTCUSDT", 30)
        with pytest.raises(TimeoutError):
            stream.recv(timeout=0.3)


def test_a_silent_form_or_a_wrong_key_connects_and_delivers_nothing() -> None:
    """Streams at a silent form of the address, or with a wrong listen key, open and get no event."""
    with Simulator(silent_stream_forms=["path", "events", "combined"]) as simulator:
        headers = {"X-MBX-APIKEY": simulator.api_key}
        url = simulator.rest_url + "/fapi/v1/listenKey"
        key = requests.post(url, headers=headers, timeout=30).json()["listenKey"]
        paths = [
            f"ws/{key}", f"ws?listenKey={key}&events=ACCOUNT_CONFIG_UPDATE", f"stream?listenKey={key}",
            "ws?listenKey=wrong", f"ws?listenKey={key}",
        ]  # fmt: skip
        with ExitStack() as stack:
            *silent, speaking = [
                stack.enter_context(connect_websocket(f"{simulator.stream_url}/private/{path}")) for path in paths
            ]
            until(lambda: simulator.open_streams == len(paths))  # the handshake ends before the server subscribes
            simulator.exchange.change_elsewhere("BTCUSDT", 30)
            assert json.loads(speaking.recv(timeout=30))["ac"] == {"s": "BTCUSDT", "l": 30}
            for stream in silent:
                with pytest.raises(TimeoutError):
                    stream.recv(timeout=0.1)


def test_parallel_requests(simulator: Simulator, call: Call) -> None:
    """Parallel requests from several threads are all answered."""
    results: list[int] = []
    threads = [
        threading.Thread(
            target=lambda x=leverage: results.append(call("POST", "/fapi/v1/leverage", symbol="XRPUSDT", leverage=x)[0])
        )
        for leverage in range(1, 21)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [200] * 20


def test_streams_end_with_their_listen_key_or_connection(simulator: Simulator) -> None:
    """A stream learns that its listen key has expired; dropped streams are closed without notice."""
    headers = {"X-MBX-APIKEY": simulator.api_key}
    url = simulator.rest_url + "/fapi/v1/listenKey"
    key = requests.post(url, headers=headers, timeout=30).json()["listenKey"]
    with connect_websocket(f"{simulator.stream_url}/private/ws/{key}") as stream:
        assert wait_for(lambda: simulator.open_streams == 1)
        simulator.exchange.expire_listen_key(early=True)
        assert json.loads(stream.recv(timeout=30))["e"] == "listenKeyExpired"
        simulator.drop_streams()
        with pytest.raises(ConnectionClosed):
            stream.recv(timeout=30)
    assert wait_for(lambda: simulator.open_streams == 0)


def test_a_restart_refuses_connections_and_comes_back(simulator: Simulator) -> None:
    """During a restart connections are refused; afterwards the same port serves the same account."""
    for _ in range(2):
        simulator.inject("restart", seconds=1.5, executed=True)
        assert change(simulator) is requests.ConnectionError
        assert change(simulator) is requests.ConnectionError
        assert wait_for(lambda: isinstance(change(simulator), tuple))
