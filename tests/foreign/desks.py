"""Exchanges and accounts for cases that run side by side."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import leverage_nb as lev
from leverage_nb import Account
from tests.foreign.exchange import ForeignExchange, serving
from tests.foreign.kernels import options_for


@contextmanager
def desk(**options: Any) -> Iterator[tuple[ForeignExchange, Account]]:
    """Run an exchange within the block, with an account and a journal that no other case uses."""
    with ExitStack() as opened:
        folder = opened.enter_context(TemporaryDirectory())
        exchange = opened.enter_context(serving())
        where = options_for(exchange, Path(folder) / "journal.sqlite", **options)
        yield exchange, opened.enter_context(lev.connect("testnet", **where))


def outcomes(account: Account) -> list[str]:
    """Return the outcomes in the journal, without attempts that could not leave in time on a busy machine."""
    return [status for status in account.history()["status"] if status != "not_sent"]
