"""What comes in is bounded: in bytes, in time, and in the size of its numbers; beyond it is an error of ours."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from leverage_nb import Account, LeverageError
from tests.foreign.conftest import outcome
from tests.foreign.exchange import CHANGE, CONFIG, TIERS, ForeignExchange
from tests.foreign.kernels import Kernel
from tests.foreign.wire import RESET, Reply

MEGABYTE = 1 << 20
MOST_GROWTH = 80 * MEGABYTE  # of the kernel's memory, for an answer that is abandoned


def packed(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Return a gzip stream of pieces."""
    packer = zlib.compressobj(6, zlib.DEFLATED, 31)
    for piece in pieces:
        yield packer.compress(piece)
    yield packer.flush()


def blank(megabytes: int = 150) -> Iterator[bytes]:
    """Return blanks: JSON allows any number of them."""
    return (b" " * MEGABYTE for _ in range(megabytes))


# Body and header, by encoding.
HUGE: dict[str, tuple[Callable[[], Iterator[bytes]], tuple[str, ...]]] = {
    "plain": (blank, ()),
    "gzip": (lambda: packed(blank()), ("Content-Encoding: gzip",)),
    "gzip twice": (lambda: packed(packed(blank())), ("Content-Encoding: gzip, gzip",)),
}


def peak(kernel: Kernel) -> int:
    """Return the peak memory use of a kernel, in bytes."""
    return 1024 * int(kernel.run("__import__('resource').getrusage(__import__('resource').RUSAGE_SELF).ru_maxrss"))


@pytest.mark.parametrize(
    ("request_of", "encoding"),
    [("a read", "plain"), ("a read", "gzip"), ("a read", "gzip twice"), ("a change", "gzip twice")],
)
def test_a_huge_answer_is_abandoned_early(
    exchange: ForeignExchange, start_kernel: Callable[..., Kernel], request_of: str, encoding: str
) -> None:
    """The rest of a huge answer is not read; a change behind it is verified."""
    body, headers = HUGE[encoding]
    kernel = start_kernel()
    kernel.run("account.set_leverage('BTCUSDT', 11)")
    before = peak(kernel)
    huge = Reply(200, body(), headers, ending="close")
    if request_of == "a read":
        exchange.play(TIERS, answer=huge)
        with pytest.raises(LeverageError):
            kernel.run("account.brackets('BTCUSDT')", timeout=20)
    else:
        exchange.play(CHANGE, answer=huge)
        assert kernel.run("account.set_leverage('BTCUSDT', 12)", timeout=20).status == "applied"
    assert peak(kernel) - before < MOST_GROWTH


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip"])
def test_an_unexpected_encoding_is_an_error(
    exchange: ForeignExchange, connect: Callable[..., Account], encoding: str
) -> None:
    """An answer in an encoding that was not requested is an error, and does not decide a change."""
    account = connect()
    account.symbols()
    odd = Reply(200, (b"\x1f\x8b not what it says",), (f"Content-Encoding: {encoding}",))
    exchange.play(TIERS, answer=odd)
    with pytest.raises(LeverageError):
        account.brackets("BTCUSDT")
    exchange.play(CHANGE, answer=odd)
    assert outcome(lambda: account.set_leverage("BTCUSDT", 12)).status == "applied"


@pytest.mark.parametrize(
    "cell",
    [
        "account.ladder('BTCUSDT', '1' * 32000 + 'x')",
        "account.ladder('BTCUSDT', '9' * 5000)",
        "account.set_leverage('BTCUSDT', '1' * 100000)",
        "account.setting('B' * 10**6)",
    ],
)
def test_long_text_is_refused_at_once(start_kernel: Callable[..., Kernel], cell: str) -> None:
    """Long text that was typed or pasted by mistake is refused at once, and not repeated as a whole."""
    kernel = start_kernel()
    kernel.run("account.symbols()")
    with pytest.raises(LeverageError) as raised:
        kernel.run(cell, timeout=20)
    assert len(str(raised.value)) < 1000


# -- numbers that cannot be -------------------------------------------------------------------------------------------

NUMBERS = [10**30, 1.5]


def with_leverage(leverage: float) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    """Return an edit that gives BTCUSDT an impossible leverage in a list of settings."""
    return lambda rows: [{**row, "leverage": leverage} if row["symbol"] == "BTCUSDT" else row for row in rows]


@pytest.mark.parametrize("leverage", NUMBERS)
def test_an_impossible_setting_affects_no_other_symbol(
    exchange: ForeignExchange, connect: Callable[..., Account], leverage: float
) -> None:
    """An impossible leverage raises only errors of the package, and other symbols stay readable."""
    account = connect()
    account.set_leverage("ETHUSDT", 11)
    exchange.play(CONFIG, edit=with_leverage(leverage), times=None)
    calls: list[Callable[[], object]] = [
        lambda: account.setting("BTCUSDT"),
        lambda: account.settings(),
        lambda: account.preview("BTCUSDT", 12),
        lambda: account.plan({"BTCUSDT": 12, "ETHUSDT": 13}),
        lambda: account.set_leverage("BTCUSDT", 12),
    ]
    for call in calls:
        with suppress(LeverageError):  # an error of the package, and no other
            call()
    assert account.setting("ETHUSDT").leverage == exchange.leverages["ETHUSDT"]
    assert account.settings(["ETHUSDT"])["leverage"].tolist() == [exchange.leverages["ETHUSDT"]]


@pytest.mark.parametrize("leverage", NUMBERS)
def test_an_impossible_setting_settles_nothing(
    exchange: ForeignExchange, connect: Callable[..., Account], leverage: float
) -> None:
    """A read with an impossible leverage does not settle a change; the next valid one does."""
    account = connect(recv_window=1500, grace=0.1, timeout=3.0)
    exchange.play(CHANGE, answer=RESET)
    exchange.play(CONFIG, edit=with_leverage(leverage), times=None, when=lambda read: bool(exchange.arrived(CHANGE)))
    assert outcome(lambda: account.set_leverage("BTCUSDT", 12)).status == "unknown"
    exchange.clear()
    account.settle()
    assert account.history()["status"].tolist() == ["applied"]


@pytest.mark.parametrize("leverage", [10**30, 10**9])
def test_impossible_tiers_are_refused(
    exchange: ForeignExchange, start_kernel: Callable[..., Kernel], leverage: int
) -> None:
    """Tiers with an impossible leverage are refused without allocating memory for each leverage."""
    kernel = start_kernel()
    kernel.run("import resource; resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))")
    exchange.tiers["BTCUSDT"] = ((leverage, 10**6, 0.01),)
    for cell in ("account.brackets('BTCUSDT')", "account.outlook('BTCUSDT')", "account.preview('BTCUSDT', 9)"):
        with pytest.raises(LeverageError):
            kernel.run(cell, timeout=10)
    assert kernel.run("account.set_leverage('ETHUSDT', 12).status") == "applied"


def test_impossible_weights_are_ignored(exchange: ForeignExchange, connect: Callable[..., Account]) -> None:
    """An impossible used weight, wait or limit stops neither this request nor the next one."""
    row = {"rateLimitType": "REQUEST_WEIGHT", "interval": "MINUTE", "intervalNum": 1, "limit": 10**30}
    exchange.play("GET /fapi/v1/exchangeInfo", edit=lambda info: {**info, "rateLimits": [row]}, times=None)
    sound = {"symbol": "BTCUSDT", "leverage": 12, "maxNotionalValue": "1000000"}
    odd = "9" * 5000
    exchange.play(CHANGE, answer=Reply.of(sound, 200, f"X-MBX-USED-WEIGHT-1M: {odd}", f"Retry-After: {odd}"))
    account = connect()
    assert account.set_leverage("BTCUSDT", 12).status == "applied"
    assert account.set_leverage("ETHUSDT", 13).status == "applied"
    assert account.history()["status"].tolist() == ["applied", "applied"]
