"""No committed attempt is lost, and no symbol has two open attempts, whatever else opens the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from leverage_nb import Account
from leverage_nb.account import service_of
from tests.foreign.conftest import outcome
from tests.foreign.exchange import CHANGE, ForeignExchange
from tests.foreign.kernels import Kernel
from tests.foreign.wire import SILENCE

# Run in a kernel that uses the journal. The package may refuse it; nothing may be lost in either case.
OTHER_PATH = """
import os, time
from pathlib import Path
path = Path(options["journal"])
other = path.with_name(f"other{{time.time_ns()}}.sqlite")
{link}
try:
    with lev.connect("testnet", **{{**options, "journal": other}}) as another:
        another.set_leverage("ETHUSDT", 31 + len(another.history()))
except lev.LeverageError:
    pass
"""
COPY = """
import shutil
shutil.copy(options["journal"], options["journal"] + ".copy")
"""
READ = """
with open(options["journal"], "rb") as file:
    file.read()
"""
DISTURBANCES = {
    "symbolic link": OTHER_PATH.format(link="other.symlink_to(path)"),
    "hard link": OTHER_PATH.format(link="os.link(path, other)"),
    "relative path": OTHER_PATH.format(link="os.chdir(path.parent); other = Path(path.name)"),
    "path with dots": OTHER_PATH.format(link="other.mkdir(); other = other / '..' / path.name"),
    "copy": COPY,
    "open and read": READ,
}


def change(kernel: Kernel, symbol: str, leverage: int) -> None:
    """Change a leverage in a kernel, again if a busy machine was too late to send it."""
    kernel.run(
        "for _ in range(5):\n"
        f"    try: account.set_leverage({symbol!r}, {leverage}); break\n"
        "    except lev.LeverageError: pass"
    )


@pytest.mark.parametrize("disturbance", DISTURBANCES)
def test_no_committed_attempt_is_lost(
    exchange: ForeignExchange,
    connect: Callable[..., Account],
    start_kernel: Callable[..., Kernel],
    journal: Path,
    disturbance: str,
) -> None:
    """Every request that arrived is in the journal after kill -9, whatever has opened the file."""
    first = start_kernel()
    change(first, "BTCUSDT", 11)
    first.run(DISTURBANCES[disturbance])
    second = start_kernel()
    change(second, "BTCUSDT", 21)
    second.exit()
    change(first, "ETHUSDT", 12)
    first.run(DISTURBANCES[disturbance])
    change(first, "SOLUSDT", 13)
    first.kill()
    for link in journal.parent.glob("other*.sqlite"):
        if link.is_file():
            link.unlink()  # a journal with a second name may be refused
    history = connect().history()
    history = history[history["status"] != "not_sent"]  # recorded, and then too late to be sent
    recorded = list(zip(history["symbol"], history["requested"], strict=True))
    assert sorted(recorded) == sorted(exchange.changes_sent())
    assert set(history["status"]) == {"applied"}
    assert len(recorded) >= (1 if disturbance == "hard link" else 4)  # a second name may be refused


@pytest.mark.parametrize("disturbance", ["symbolic link", "hard link", "copy", "open and read"])
def test_two_kernels_never_have_two_open_attempts(
    exchange: ForeignExchange, start_kernel: Callable[..., Kernel], journal: Path, disturbance: str
) -> None:
    """While one kernel's request may still be executed, another kernel sends no change of the same symbol."""
    first = start_kernel(recv_window=1500)
    change(first, "BTCUSDT", 11)
    first.run(DISTURBANCES[disturbance])
    second = start_kernel()
    change(second, "ETHUSDT", 21)
    second.exit()
    for link in journal.parent.glob("other*.sqlite"):
        if link.is_file():
            link.unlink()  # a journal with a second name may be refused
    exchange.play(CHANGE, execute=False, answer=SILENCE)
    first.start("account.set_leverage('BTCUSDT', 12)")
    exchange.wait_for(CHANGE, len(exchange.arrived(CHANGE)) + 1)
    begun = exchange.arrived(CHANGE)[-1]
    third = start_kernel()
    change(third, "BTCUSDT", 30)
    for later in exchange.arrived(CHANGE, "BTCUSDT"):
        if later.leverage == 30:
            assert later.timestamp - begun.timestamp >= 1800  # recvWindow and grace


@pytest.mark.parametrize(
    "disturbance",
    ["shutil.copy(options['journal'], options['journal'] + '.copy')", "open(options['journal'], 'rb').close()"],
    ids=["copy", "open and close"],
)
def test_opening_the_file_all_the_time_loses_no_attempt(
    exchange: ForeignExchange,
    connect: Callable[..., Account],
    start_kernel: Callable[..., Kernel],
    disturbance: str,
) -> None:
    """A cell that copies or opens the file all the time, while two kernels write, causes no loss."""
    first, second = start_kernel(), start_kernel()
    first.start(
        "import shutil, threading\n"
        "stop = threading.Event()\n"
        "def disturb():\n"
        "    while not stop.is_set():\n"
        f"        {disturbance}\n"
        "        stop.wait(0.0005)\n"
        "thread = threading.Thread(target=disturb)\n"
        "thread.start()\n"
        "for number in range(12): account.set_leverage('BTCUSDT', 20 + number)\n"
        "stop.set(); thread.join()\n"
    )
    second.run("for number in range(12): account.set_leverage('ETHUSDT', 20 + number)")
    first.result()
    for kernel in (first, second):
        kernel.kill()
    history = connect().history()
    assert len(history) == len(exchange.changes_sent()) == 24
    assert set(history["status"]) == {"applied"}


class FaultyConnection(sqlite3.Connection):
    """A connection whose COMMIT of a first attempt raises an error, after writing or without writing."""

    armed = False
    writes = True

    def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        if sql.strip().upper() == "COMMIT":
            return cast("sqlite3.Cursor", self._end(lambda: super(FaultyConnection, self).execute(sql)))
        self._note(sql)
        return super().execute(sql, *parameters)

    def executemany(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
        self._note(sql)
        return super().executemany(sql, *parameters)

    def commit(self) -> None:
        self._end(super().commit)

    def _note(self, sql: str) -> None:
        self.inserted = "INSERT INTO attempt" in sql

    def _end(self, commit: Callable[[], Any]) -> Any:
        if not (FaultyConnection.armed and getattr(self, "inserted", False)):
            return commit()
        FaultyConnection.armed = False
        if FaultyConnection.writes:
            commit()
        raise sqlite3.OperationalError("disk I/O error")


@pytest.mark.parametrize("writes", [True, False], ids=["the row is there", "the row is not there"])
def test_a_failed_commit_is_read_again(
    exchange: ForeignExchange, connect: Callable[..., Account], monkeypatch: pytest.MonkeyPatch, writes: bool
) -> None:
    """After a COMMIT that raises, the report agrees with the journal, and nothing is sent without a record."""
    opened = sqlite3.connect

    def open_faulty(*arguments: Any, **named: Any) -> sqlite3.Connection:
        return cast("sqlite3.Connection", opened(*arguments, **{**named, "factory": FaultyConnection}))

    monkeypatch.setattr(sqlite3, "connect", open_faulty)
    account = connect()
    account.set_leverage("ETHUSDT", 11)
    monkeypatch.setattr(FaultyConnection, "armed", True)
    monkeypatch.setattr(FaultyConnection, "writes", writes)
    status = outcome(lambda: account.set_leverage("BTCUSDT", 12)).status
    assert not FaultyConnection.armed, "no attempt was recorded before it was sent"
    sent = exchange.changes_sent("BTCUSDT")
    assert status == ("applied" if sent else "not_sent")
    history = account.history().set_index("symbol")["status"]
    assert history.get("BTCUSDT", "not_sent") == status
    assert not service_of(account).past.open()
    assert account.set_leverage("BTCUSDT", 13).status == "applied"


def test_closed_accounts_leave_no_descriptors(start_kernel: Callable[..., Kernel]) -> None:
    """Accounts with their own journals, used and closed, leave no open files behind."""
    opened = start_kernel().run(
        "import os\n"
        "def use(number):\n"
        "    path = options['journal'] + str(number)\n"
        "    with lev.connect('testnet', **{**options, 'journal': path}) as one: one.history()\n"
        "use('first')\n"
        "before = len(os.listdir('/proc/self/fd'))\n"
        "for number in range(40): use(number)\n"
        "result = len(os.listdir('/proc/self/fd')) - before\n"
    )
    assert opened <= 6
