"""Keys, secrets, signatures and listen keys are sent to the exchange only, and shown nowhere."""

from __future__ import annotations

import asyncio
import datetime
import html
import http.client
import logging
import socket
import ssl
import threading
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from IPython.core.ultratb import VerboseTB

import leverage_nb as lev
from leverage_nb import Account, LeverageError
from tests.foreign import stops
from tests.foreign.exchange import CHANGE, CONFIG, ForeignExchange, serving
from tests.foreign.kernels import options_for
from tests.foreign.stops import Point, points_of, stop_at
from tests.foreign.wire import Arrived, Reply

SHOWN = 12  # consecutive characters of a secret that must not be shown


@pytest.fixture(scope="module")
def ed25519_key() -> str:
    """A private key in PEM."""
    return (
        ed25519.Ed25519PrivateKey.generate()
        .private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        .decode()
    )


class Sweep:
    """Searches texts, errors and files for the secrets of an exchange.

    Args:
        exchange: Its requests contain signatures.
        private_key: The private key of an account that signs with one.
    """

    def __init__(self, exchange: ForeignExchange, private_key: str = "") -> None:
        self.exchange = exchange
        self._fixed = [exchange.api_key, exchange.api_secret, exchange.listen_key, *private_key.split("\n")[1:-2]]

    def assert_clean(self, text: str, where: str) -> None:
        """Fail if a text, or a decoded form of it, contains a part of a secret."""
        signatures = [one.signed_text.rpartition("signature=")[2] for one in self.exchange.requests if one.timestamp]
        planted = {*self._fixed, *map(unquote, signatures)}
        readings = {text, unquote(text), html.unescape(text), text.replace("\\/", "/"), html.unescape(unquote(text))}
        for reading in (one.lower() for one in readings):
            for secret in (one.lower() for one in planted):
                for at in range(0, len(secret) - SHOWN + 1, SHOWN):
                    place = reading.find(secret[at : at + SHOWN])
                    assert place < 0, f"a secret is in {where}: …{reading[max(0, place - 80) : place + 80]}…"

    def assert_error_clean(self, error: BaseException) -> None:
        """Fail if an error, its chain or its verbose traceback contains a part of a secret."""
        links: list[BaseException | None] = [error]
        while links:
            if (link := links.pop()) is not None:
                self.assert_clean(f"{link} {link!r} {link.args} {vars(link)}", f"{type(link).__name__}")
                links += [link.__cause__, link.__context__]
        self.assert_clean("".join(traceback.format_exception(error)), "the traceback")
        self.assert_clean(verbose(error), "the verbose traceback")

    def assert_journal_clean(self, journal: Path) -> None:
        """Fail if the journal's file or a file beside it contains a part of a secret."""
        for path in journal.parent.glob(f"{journal.name}*"):
            self.assert_clean(path.read_bytes().decode("latin-1"), path.name)


def verbose(error: BaseException) -> str:
    """Return a traceback with the values of all frames, as IPython's verbose mode prints it."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename in {__file__, stops.__file__}:
        frames = frames.tb_next  # these tests contain the secrets themselves
    if frames is None:
        return ""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about styles, in some versions of IPython
        return str(VerboseTB(color_scheme="NoColor", include_vars=True).text(type(error), error, frames))


def raised_by(call: Callable[[], object]) -> BaseException:
    """Return the error that a call raises."""
    try:
        call()
    except BaseException as exc:  # noqa: BLE001 - interrupts too
        return exc
    pytest.fail("nothing was raised")


# -- what a server repeats ----------------------------------------------------------------------------------------

# How a proxy or gateway may write a text that it repeats.
FORMS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "of an earlier request": str,
    "upper case": str.upper,
    "percent": lambda text: quote(text, safe=""),
    "lower-case percent": lambda text: (
        quote(text, safe="").replace("%2F", "%2f").replace("%2B", "%2b").replace("%3D", "%3d")
    ),
    "JSON": lambda text: text.replace("/", "\\/"),
    "JSON, escaped": lambda text: "".join(f"\\u{ord(letter):04x}" if letter in "+/=" else letter for letter in text),
    "HTML entities": lambda text: text.replace("+", "&#43;").replace("/", "&#x2F;").replace("=", "&equals;"),
    "truncated": lambda text: f"{text[:20]}…",
    "first 12": lambda text: f"{text[:12]}…",
}


def repeats(exchange: ForeignExchange, form: str, status: int) -> Callable[[Arrived], Reply]:
    """Return an answer that repeats the key and the signature of this request or of earlier ones."""

    def answer(request: Arrived) -> Reply:
        signed = [one for one in exchange.requests if one.timestamp]
        chosen = signed[-5:-1] if form == "of an earlier request" else [request]
        signatures = [unquote(one.signed_text.rpartition("signature=")[2]) for one in chosen]
        said = " ".join(FORMS[form](secret) for secret in (request.key, *signatures))
        body = f'{{"code":-4300,"msg":"refused: {said}"}}'.encode()
        return Reply(status, (body,), ("Content-Type: application/json", f"X-Said: {said.encode().hex()}"))

    return answer


# Most forms do not change a signature of hexadecimal digits.
OF_HMAC = ("as it is", "of an earlier request", "upper case", "truncated", "first 12")


@pytest.mark.parametrize(
    ("kind", "form"), [*(("HMAC", form) for form in OF_HMAC), *(("Ed25519", form) for form in FORMS)]
)
def test_a_key_repeated_by_a_server_is_removed(
    journal: Path, caplog: pytest.LogCaptureFixture, ed25519_key: str, kind: str, form: str
) -> None:
    """Keys and signatures in an answer are in no error, traceback, journal, history or log."""
    caplog.set_level(logging.DEBUG)
    keys = {"private_key": ed25519_key, "api_secret": None} if kind == "Ed25519" else {}
    with serving(checks_signature=kind == "HMAC") as exchange:
        sweep = Sweep(exchange, ed25519_key)
        with lev.connect("testnet", **options_for(exchange, journal, grace=0.05, **keys)) as account:
            account.symbols()
            for status, symbol in ((400, "BTCUSDT"), (200, "ETHUSDT")):
                # Changes without a definite answer are executed, so that the test need not wait.
                exchange.play(CHANGE, execute=status != 400, answer=repeats(exchange, form, status))
                try:
                    change = account.set_leverage(symbol, 30)
                    sweep.assert_clean(f"{change} {change!r} {change.note}", "the record")
                except LeverageError as exc:
                    sweep.assert_error_clean(exc)
            exchange.play(CONFIG, execute=False, answer=repeats(exchange, form, 400))
            sweep.assert_error_clean(raised_by(lambda: account.setting("SOLUSDT")))
            history = account.history()
            sweep.assert_clean(f"{history.to_csv()} {history.to_html()}", "the history")
        sweep.assert_journal_clean(journal)
        sweep.assert_clean("\n".join(f"{one.getMessage()} {one.args}" for one in caplog.records), "the log")


# -- interrupts and other things that end a program -----------------------------------------------------------------


def chosen_points(account: Account) -> list[Point]:
    """The lines of the wire and of signing that a change reaches, and some of all others."""
    points = points_of(lambda: account.set_leverage("BTCUSDT", 11))
    near = ("/leverage_nb/binance/", "/hmac.py", "/hashlib.py")
    wire = [point for point in points if any(name in point[0] for name in near)]
    return [*wire, *[point for point in points if point not in wire][::25]]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, asyncio.CancelledError])
def test_a_change_stopped_at_any_line_shows_no_secret(
    exchange: ForeignExchange, connect: Callable[..., Account], journal: Path, kind: type[BaseException]
) -> None:
    """Wherever a change is stopped, a verbose traceback shows neither key nor secret nor signature."""
    for number in range(600):
        exchange.leverages[f"P{number:03}USDT"], exchange.tiers[f"P{number:03}USDT"] = 10, exchange.tiers["SOLUSDT"]
    sweep, account = Sweep(exchange), connect(recv_window=1000)
    account.symbols()
    symbols = iter([*exchange.leverages][3:])
    points = chosen_points(account)
    for point in points if kind is KeyboardInterrupt else points[::4]:
        symbol = next(symbols)
        error = stop_at(point, partial(account.set_leverage, symbol, 20), kind)
        if error is not None:
            sweep.assert_error_clean(error)
    sweep.assert_journal_clean(journal)


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError])
@pytest.mark.parametrize("cell", ["setting", "set_leverage"])
def test_an_exit_during_a_request_shows_no_secret(
    exchange: ForeignExchange,
    connect: Callable[..., Account],
    monkeypatch: pytest.MonkeyPatch,
    kind: type[BaseException],
    cell: str,
) -> None:
    """An exception that ends the program during a signed request shows neither key nor signature."""
    sweep, account = Sweep(exchange), connect()
    account.setting("BTCUSDT")
    send = socket.socket.sendall

    def stop(self: socket.socket, data: Any, *more: Any) -> None:
        if b"X-MBX-APIKEY" in bytes(data):
            raise kind
        send(self, data, *more)

    monkeypatch.setattr(socket.socket, "sendall", stop)
    if cell == "setting":
        sweep.assert_error_clean(raised_by(lambda: account.setting("BTCUSDT")))
    else:
        sweep.assert_error_clean(raised_by(lambda: account.set_leverage("BTCUSDT", 20)))


# -- logs and debug output ------------------------------------------------------------------------------------------


def test_debug_output_shows_no_secret(
    exchange: ForeignExchange,
    connect: Callable[..., Account],
    journal: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """With the debug output of http.client and every logger at DEBUG, no secret is printed or logged."""
    monkeypatch.setattr(http.client.HTTPConnection, "debuglevel", 1)
    for name in ("", "urllib3", "requests", "websockets", "leverage_nb"):
        caplog.set_level(logging.DEBUG, logger=name)
    sweep = Sweep(exchange)
    account = connect(stream_url=exchange.stream_url())
    connected = threading.Event()
    account.watch(lambda event: connected.set() if getattr(event, "state", "") == "connected" else None)
    assert connected.wait(60)
    account.set_leverage("BTCUSDT", 20)
    exchange.play(CHANGE, execute=False, answer=Reply.error(400, -2027, "Exceeded the maximum allowable position."))
    with suppress(LeverageError):
        account.set_leverage("BTCUSDT", 30)
    account.close()
    printed = capfd.readouterr()
    sweep.assert_clean(printed.out, "what was printed")
    sweep.assert_clean(printed.err, "what was printed as an error")
    sweep.assert_clean("\n".join(f"{one.getMessage()} {one.args}" for one in caplog.records), "the log")
    sweep.assert_journal_clean(journal)


# -- a key in the wrong place ---------------------------------------------------------------------------------------

MISPLACED: dict[str, Callable[[str], object]] = {
    "venue": lambda key: lev.connect(key),
    "profile": lambda key: lev.connect("testnet", profile=key),
    "current": lambda key: lev.current(key),
    "current's profile": lambda key: lev.current("testnet", profile=key),
}


@pytest.mark.parametrize("argument", MISPLACED)
def test_a_key_in_the_wrong_argument_is_not_repeated(argument: str) -> None:
    """The error for an argument that contains a key by mistake does not repeat it."""
    key = "n0tAnArgumentButTheKey7531908642zyxwvutsrqponmlKJIHGFEDCBA0011223"
    error = raised_by(lambda: MISPLACED[argument](key))
    assert isinstance(error, LeverageError)
    for text in (str(error), repr(error), *map(str, error.args), str(vars(error))):
        assert key[:SHOWN].lower() not in text.lower()


# -- the listen key and a proxy -------------------------------------------------------------------------------------


@pytest.fixture
def tls(tmp_path: Path) -> tuple[ssl.SSLContext, Path]:
    """A server's context for gateway.test, and the certificate to trust."""
    key, name = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "gateway.test")]),
    )
    now = datetime.datetime.now(tz=datetime.UTC)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now, now + datetime.timedelta(1)
    )
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("gateway.test")]), critical=False)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    certificate, private = tmp_path / "gateway.pem", tmp_path / "gateway.key"
    certificate.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, private)
    return context, certificate


@pytest.fixture
def proxy() -> Iterator[tuple[str, list[bytes]]]:
    """The address of a proxy that accepts everything and forwards nothing, and what it was sent."""
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, suppress(OSError):
                        received.append(connection.recv(65536))

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", received
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)


def test_the_listen_key_does_not_pass_a_proxy(
    tls: tuple[ssl.SSLContext, Path],
    proxy: tuple[str, list[bytes]],
    journal: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With REST at a gateway, a local stream and HTTP_PROXY set, the stream is opened without the proxy."""
    find = socket.getaddrinfo

    def resolve(host: Any, *more: Any, **named: Any) -> Any:
        return find("127.0.0.1" if host == "gateway.test" else host, *more, **named)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tls[1]))
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, proxy[0])
    connected = threading.Event()
    with serving(tls=tls[0]) as exchange:
        options = options_for(exchange, journal, stream_url=exchange.stream_url())
        options["rest_url"] = exchange.url.replace("127.0.0.1", "gateway.test")
        with lev.connect("testnet", **options) as account:
            account.watch(lambda event: connected.set() if getattr(event, "state", "") == "connected" else None)
            deadline_reached = not connected.wait(60)
    assert proxy[1] == []
    assert not deadline_reached
