"""Keys, secrets, signatures and listen keys are shown nowhere."""

from __future__ import annotations

import io
import json
import logging
import pickle
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
import requests
from IPython.core.interactiveshell import InteractiveShell
from nbclient import NotebookClient

import leverage_nb as lev
from leverage_nb.account import Account, service_of
from leverage_nb.binance.credentials import Credentials
from leverage_nb.binance.rate_limit import Limiter
from leverage_nb.errors import LeverageError
from leverage_nb.session import session
from leverage_nb.simulator import Simulator
from leverage_nb.simulator.faults import KINDS
from tests.binance.wire import serving

LOGGERS = ("", "leverage_nb", "requests", "urllib3", "urllib3.connectionpool", "websockets", "websockets.client")


class Sweep:
    """Knows the secrets of a simulator, and fails where one is found."""

    def __init__(self, simulator: Simulator, tmp_path: Path) -> None:
        self.simulator = simulator
        self.journal = tmp_path / "journal.sqlite"
        self.planted = {
            "key": simulator.api_key,
            "secret": simulator.api_secret,
            "listen key": simulator.exchange.listen_key,
        }
        self.signatures: set[str] = set()
        self.checked = 0
        self.ahead = 0.0  # seconds by which the rate limiter's clock is ahead

    def check(self, text: str, where: str) -> None:
        """Fail if a text contains a secret."""
        self.checked += 1
        for name, value in self.planted.items():
            assert value not in text, f"the {name} is in {where}"
        for signature in self.signatures:
            assert signature not in text, f"a signature is in {where}"

    def check_value(self, value: object, where: str) -> None:
        """Fail if any form in which a value is shown contains a secret."""
        self.check(repr(value), f"repr of {where}")
        self.check(str(value), f"str of {where}")
        self.check(str(getattr(value, "__dict__", "")), f"vars of {where}")
        for method in ("_repr_html_", "_repr_mimebundle_"):
            if hasattr(value, method):
                self.check(str(getattr(value, method)()), f"{method} of {where}")
        try:
            pickled = pickle.dumps(value)
        except Exception:  # noqa: BLE001 - what is not pickled leaks nothing there
            pickled = b""
        self.check(pickled.decode("latin-1"), f"pickle of {where}")


@pytest.fixture
def sweep(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Iterator[Sweep]:
    """A sweep that knows every signature that is made, with all logs at DEBUG."""
    sweep = Sweep(simulator, tmp_path)
    sign = Credentials.sign

    def remember(credentials: Credentials, payload: str) -> str:
        signed = sign(credentials, payload)
        sweep.signatures.add(signed.rpartition("signature=")[2])
        return signed

    monkeypatch.setattr(Credentials, "sign", remember)
    monkeypatch.setenv("LEVERAGE_NB_TESTNET_API_KEY", simulator.api_key)
    monkeypatch.setenv("LEVERAGE_NB_TESTNET_API_SECRET", simulator.api_secret)
    for name in LOGGERS:
        caplog.set_level(logging.DEBUG, logger=name)
    yield sweep
    for record in caplog.records:
        sweep.check(f"{record.getMessage()} {record.msg!r} {record.args!r} {record.exc_text}", f"the log {record.name}")
        assert len(sweep.signatures) > 0


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    """A shell that prints full tracebacks, with the values of every frame."""
    monkeypatch.setenv("LEVERAGE_NB_DEBUG", "1")
    shell = InteractiveShell.instance()
    shell.run_line_magic("xmode", "Verbose")
    shell.extension_manager.load_extension("leverage_nb")
    yield shell
    shell.extension_manager.unload_extension("leverage_nb")
    InteractiveShell.clear_instance()


def start(shell: InteractiveShell, sweep: Sweep) -> Account:
    """Connect as a user does, with the key in the environment."""
    session.use_limiter(sweep.simulator.rest_url, Limiter(ticks=lambda: time.monotonic() + sweep.ahead))
    shell.user_ns["where"] = {"rest_url": sweep.simulator.rest_url, "journal": sweep.journal}
    shell.run_cell(
        "import leverage_nb as lev\n"
        "account = lev.connect('testnet', recv_window=300, grace=0.03, **where)\n"
        "account.margin_asset('BTCUSDT')"
    )
    account = shell.user_ns["account"]
    assert isinstance(account, Account)
    return account


@pytest.mark.parametrize("fault", KINDS)
def test_no_secret_is_shown_under_any_fault(
    sweep: Sweep, shell: InteractiveShell, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    """Under every fault errors, verbose tracebacks, records, logs and journal contain no secret."""
    account = start(shell, sweep)
    service_of(account).client.timeout = 0.3  # many faults last for the whole time-out
    seconds = {"late_answer": 0.6, "dripped": 0.001, "late_execution": 0.2, "restart": 0.05}.get(fault)
    for on in ("POST /fapi/v1/leverage", "GET /fapi/v1/symbolConfig"):
        sweep.simulator.inject(fault, on=on, times=2, seconds=seconds)
    capsys.readouterr()
    for leverage in (10, 30):
        done = shell.run_cell(f"change = account.set_leverage('BTCUSDT', {leverage})")
        printed = capsys.readouterr()
        if done.error_in_exec is not None:
            assert "Traceback (most recent call last)" in printed.out + printed.err  # complete, with its frames
        sweep.check(printed.out + printed.err, f"the traceback under {fault}")
        link = done.error_in_exec
        while link is not None:
            sweep.check_value(link, f"{type(link).__name__} under {fault}")
            sweep.check_value(getattr(link, "change", None), f"the record under {fault}")
            link = link.__cause__ or link.__context__
    sweep.simulator.clear_faults()
    sweep.ahead = 1e6  # a ban is over
    sweep.check_value(account.history(), f"the history after {fault}")
    for path in sweep.journal.parent.iterdir():
        sweep.check(path.read_bytes().decode("latin-1"), f"{path.name} after {fault}")
    account.close()


def test_an_interrupted_request_shows_no_secret(
    sweep: Sweep, shell: InteractiveShell, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C during a signed request leaves no secret in a verbose traceback."""
    start(shell, sweep)
    request = requests.Session.request
    for path in ("/fapi/v1/symbolConfig", "/fapi/v1/leverage"):

        def interrupt(self: Any, method: str, url: str, *, path: str = path, **more: Any) -> Any:
            if path in url:
                raise KeyboardInterrupt  # as a signal at that moment
            return request(self, method, url, **more)

        with monkeypatch.context() as patched:
            patched.setattr(requests.Session, "request", interrupt)
            capsys.readouterr()
            done = shell.run_cell("account.set_leverage('BTCUSDT', 10)")
        assert isinstance(done.error_in_exec, KeyboardInterrupt)
        printed = capsys.readouterr()
        assert "Interrupt" in printed.out + printed.err
        sweep.check(printed.out + printed.err, f"the traceback of an interrupt at {path}")
        sweep.check_value(done.error_in_exec, "the interrupt")


def test_an_interrupt_while_signing_shows_no_secret(
    sweep: Sweep, shell: InteractiveShell, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while a request is signed leaves neither key nor secret in a verbose traceback."""
    start(shell, sweep)

    def interrupt(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    for cell in ("account.setting('BTCUSDT')", "account.set_leverage('BTCUSDT', 10)"):
        with monkeypatch.context() as patched:
            patched.setattr("leverage_nb.binance.signing.hmac.new", interrupt)
            capsys.readouterr()
            done = shell.run_cell(cell)
        assert isinstance(done.error_in_exec, KeyboardInterrupt)
        printed = capsys.readouterr()
        sweep.check(printed.out + printed.err, f"the traceback of {cell}")


def test_warnings_about_headers_show_no_signature(sweep: Sweep, capsys: pytest.CaptureFixture[str]) -> None:
    """urllib3's warning about malformed headers does not contain the signature."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nbroken header\r\nX-Y: z\r\n\r\n[]"
    with serving(answer) as wire:
        account = lev.connect("testnet", rest_url=wire.url, journal=sweep.journal)
        with pytest.raises(LeverageError):
            account.brackets("BTCUSDT")
        assert any(b"signature=" in request for request in wire.received)
    printed = capsys.readouterr()
    sweep.check(printed.out + printed.err, "what Python prints of warnings")
    assert "signature" not in printed.err


def test_public_objects_show_no_secret(sweep: Sweep) -> None:
    """No public object shows a secret, in its text, in vars() or pickled."""
    account = lev.connect("testnet", rest_url=sweep.simulator.rest_url, journal=sweep.journal)
    panel = lev.LeveragePanel(account, "BTCUSDT")
    client = service_of(account).client
    things = {
        "account": account, "client": client, "limiter": client.limiter, "venue": client.venue,
        "service": service_of(account), "journal": service_of(account).journal, "setting": account.setting("BTCUSDT"),
        "settings": account.settings(), "positions": account.positions(), "brackets": account.brackets(),
        "tiers": account.tiers("BTCUSDT"), "outlook": account.outlook("BTCUSDT"), "state": account.state(),
        "preview": account.preview("BTCUSDT", 10), "change": account.set_leverage("BTCUSDT", 10),
        "history": account.history(), "undo": account.preview_undo(), "panel": panel,
        "connect": lev.connect,
    }  # fmt: skip
    things |= {f"the client's {name}": part for name, part in vars(client).items()}
    for name, value in things.items():
        sweep.check_value(value, name)
    sweep.check(json.dumps(panel.get_state(), default=str), "the state of the panel")
    for table in ("attempts", "findings"):
        rows = sweep.journal.read_bytes().decode("latin-1")
        sweep.check(rows, table)
    assert sweep.checked > 100


def test_a_page_that_repeats_key_and_signature_is_scrubbed(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that repeats key and signature gets them into no message, journal or history."""
    account = lev.connect("testnet", rest_url=sweep.simulator.rest_url, journal=sweep.journal, recv_window=500)
    account.margin_asset("BTCUSDT")
    handle = sweep.simulator.exchange.handle

    def echo(request: Any, *more: Any) -> Any:
        answer = handle(request, *more)
        if request.method != "POST":
            return answer
        body = json.dumps({"code": -2027, "msg": f"refused {request.api_key} {request.body}"})
        return type(answer)(400, body, answer.headers)

    monkeypatch.setattr(sweep.simulator.exchange, "handle", echo)
    with pytest.raises(LeverageError) as caught:
        account.set_leverage("BTCUSDT", 10)
    assert "refused ***" in caught.value.words
    sweep.check_value(caught.value, "the error")
    monkeypatch.undo()
    sweep.check_value(account.history(), "the history")
    sweep.check(sweep.journal.read_bytes().decode("latin-1"), "the journal")


def test_a_saved_notebook_contains_no_secret(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A saved notebook that connects, changes, shows a panel and fails contains no secret."""
    monkeypatch.setenv("LEVERAGE_NB_TESTNET_API_KEY", simulator.api_key)
    monkeypatch.setenv("LEVERAGE_NB_TESTNET_API_SECRET", simulator.api_secret)
    simulator.inject("bad_gateway", on="GET /fapi/v3/account", times=5)
    cells = [
        "%load_ext leverage_nb\n%xmode Verbose\nimport leverage_nb as lev, logging\nlogging.basicConfig(level='DEBUG')",
        f"account = lev.connect('testnet', rest_url={simulator.rest_url!r}, journal=':memory:')",
        *["%leverage --venue testnet"] * 4,  # the first ones fail
        "%leverage BTCUSDT", "%leverage BTCUSDT 10", "%leverage BTCUSDT 150 --force",
        "%leverage --history", "%leverage --undo", "account, client, vars(account)", "1 / 0",
    ]  # fmt: skip
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    NotebookClient(notebook, timeout=60, allow_errors=True, kernel_name="python3").execute()
    saved = io.StringIO()
    nbformat.write(notebook, saved)
    assert "TESTNET" in saved.getvalue()
    for secret in (simulator.api_key, simulator.api_secret, "signature=", simulator.exchange.listen_key):
        assert secret not in saved.getvalue()


def test_the_sweep_finds_a_secret(sweep: Sweep) -> None:
    """The sweep fails for a value that contains a key or a signature."""
    lev.connect("testnet", rest_url=sweep.simulator.rest_url).setting("BTCUSDT")
    time.sleep(0)
    for leak in (sweep.simulator.api_key, next(iter(sweep.signatures))):
        with pytest.raises(AssertionError, match="is in"):
            sweep.check_value({"leak": leak}, "a dict")
