"""The simulator as a program of its own."""

from __future__ import annotations

import json
import signal
import subprocess
import sys

import pytest
import requests


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_its_addresses_and_stops_cleanly(stop: signal.Signals) -> None:
    """One JSON line with addresses and key; SIGINT and SIGTERM end it with exit code 0 and no traceback."""
    command = [sys.executable, "-m", "leverage_nb.simulator"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = json.loads(process.stdout.readline())
        assert line.keys() == {"rest_url", "stream_url", "api_key", "api_secret"}
        assert requests.get(line["rest_url"] + "/fapi/v1/ping", timeout=5).json() == {}
        process.send_signal(stop)
        output, errors = process.communicate(timeout=10)
        assert (process.returncode, output, errors) == (0, "", "")


def test_a_taken_port_is_said_in_one_line() -> None:
    """A port that is taken ends it with exit code 1 and one line, not a traceback."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "leverage_nb.simulator", "--port", port]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Cannot serve on port {port}")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("port", ["99999", "-1", "ten"])
def test_a_port_that_cannot_be_is_refused(port: str) -> None:
    """A number that is no port is refused with a line, not wrapped around to another."""
    command = [sys.executable, "-m", "leverage_nb.simulator", f"--port={port}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert "port" in done.stderr
    assert "Traceback" not in done.stderr
