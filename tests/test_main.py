"""``python -m leverage_nb`` reports what a bug report needs, and no secret."""

from __future__ import annotations

import subprocess
import sys
from unittest import mock

import pytest

from leverage_nb.__main__ import main
from leverage_nb.binance.venues import VENUES
from leverage_nb.simulator import Simulator


def test_the_report_has_a_line_per_fact() -> None:
    """The report has versions, venue, key source, journal and reachability; the exit code is 0."""
    done = subprocess.run(
        [sys.executable, "-m", "leverage_nb"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [line.split("  ")[0] for line in done.stdout.splitlines()] == [
        "leverage_nb", "python", "packages", "venue", "key from", "journal", "reachable",
    ]  # fmt: skip
    assert "reachable    yes, 46 symbols" in done.stdout


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_the_report_warns_of_nothing_in_any_encoding(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left open, which Python's development mode would report; the output's encoding may be old."""
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    for options in ([], ["--help"]):
        command = [sys.executable, "-X", "dev", "-W", "error", "-m", "leverage_nb", *options]
        done = subprocess.run(command, capture_output=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, b"")


def test_the_journal_line_says_why_it_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A user without a home folder, and a data folder that cannot be read, are one sentence each."""
    home = mock.patch("platformdirs.user_data_path", side_effect=RuntimeError("no home"))
    locked = mock.patch("pathlib.Path.stat", side_effect=PermissionError(13, "Permission denied"))
    for problem, said in ((home, "this user has no home folder"), (locked, "cannot be read: Permission denied")):
        with problem, monkeypatch.context() as patch:
            patch.setattr("leverage_nb.__main__._reach", lambda *_: (True, "yes"))
            assert main([]) == 0
        assert said in capsys.readouterr().out


def test_a_venue_without_a_key_is_not_tried(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a key the report says so, sends nothing and has exit code 1."""
    assert main(["--venue", "testnet"]) == 1
    printed = capsys.readouterr().out
    assert "not found" in printed
    assert "not tried: There is no API key for the testnet." in printed


def test_the_report_names_the_source_of_the_key_only(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A key in the environment is named by its variable; neither key nor secret is printed."""
    monkeypatch.setenv("LEVERAGE_NB_TESTNET_API_KEY", simulator.api_key)
    monkeypatch.setenv("LEVERAGE_NB_TESTNET_API_SECRET", simulator.api_secret)
    monkeypatch.setitem(VENUES, "testnet", VENUES["testnet"].at(simulator.rest_url))
    assert main(["--venue", "testnet"]) == 0
    printed = capsys.readouterr().out
    assert "the environment (LEVERAGE_NB_TESTNET_API_KEY)" in printed
    assert simulator.api_key not in printed
    assert simulator.api_secret not in printed
