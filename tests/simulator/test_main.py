"""The simulator as a program."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import requests

from leverage_nb.simulator.faults import KINDS
from tests.simulator.calling import signature


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no signals")
@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_its_addresses_and_stops(stop: signal.Signals) -> None:
    """It prints one JSON line with addresses and key; SIGINT and SIGTERM end it with exit code 0 and no traceback."""
    command = [sys.executable, "-m", "leverage_nb.simulator"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        assert line.keys() == {"rest_url", "stream_url", "api_key", "api_secret"}
        assert requests.get(line["rest_url"] + "/fapi/v1/ping", timeout=30).json() == {}
        process.send_signal(stop)
        output, errors = process.communicate(timeout=60)
        assert (process.returncode, output, errors) == (0, "", "")


def test_a_port_in_use_is_one_line_of_error() -> None:
    """A port in use ends it with exit code 1 and one line of error, not a traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "leverage_nb.simulator", "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Cannot serve on port {port}")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("port", ["99999", "-1", "ten"])
def test_an_impossible_port_is_refused(port: str) -> None:
    """A number outside the range of ports is refused with an error; it does not wrap around to another port."""
    command = [sys.executable, "-m", "leverage_nb.simulator", f"--port={port}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "port" in done.stderr
    assert "Traceback" not in done.stderr


def test_faults_on_the_command_line() -> None:
    """--faults injects faults, --help lists their names, and an unknown name is one line of error, not a traceback."""
    command = [sys.executable, "-m", "leverage_nb.simulator"]
    with subprocess.Popen(
        [*command, "--faults", "firewall@* *x1", "--seed", "7"], stdout=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        url = json.loads(running.stdout.readline())["rest_url"] + "/fapi/v1/ping"
        assert [requests.get(url, timeout=30).status_code for _ in range(2)] == [403, 200]
        running.terminate()
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    listed = subprocess.run(
        [*command, "--help"], capture_output=True, text=True, timeout=60, check=False, env=ascii_only
    )
    assert all(name in listed.stdout for name in KINDS)
    wrong = subprocess.run([*command, "--faults", "gremlins"], capture_output=True, text=True, timeout=60, check=False)
    assert wrong.returncode == 2
    assert "There is no fault 'gremlins'" in wrong.stderr
    assert "Traceback" not in wrong.stderr


def test_the_demo_profile_on_the_command_line() -> None:
    """--profile demo answers leverage 0 for untouched symbols; another name is an error that lists the profiles."""
    command = [sys.executable, "-m", "leverage_nb.simulator", "--profile"]
    with subprocess.Popen([*command, "demo"], stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        line = json.loads(running.stdout.readline())
        query = f"timestamp={int(time.time() * 1000)}"
        signed = f"{query}&signature={signature(line['api_secret'], query)}"
        url, headers = f"{line['rest_url']}/fapi/v1/symbolConfig?{signed}", {"X-MBX-APIKEY": line["api_key"]}
        rows = requests.get(url, headers=headers, timeout=30).json()
        running.terminate()
    assert {row["symbol"]: row["leverage"] for row in rows}["ADAUSDT"] == 0
    wrong = subprocess.run([*command, "tests"], capture_output=True, text=True, timeout=60, check=False)
    assert wrong.returncode == 2
    assert "demo" in wrong.stderr
