"""Lines below the cell: what an earlier session left open, what Binance has changed, what is under way."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakSet

from IPython.display import display

from leverage_nb.errors import JournalUnusable
from leverage_nb.formatting import sentence
from leverage_nb.terminal import encodable

if TYPE_CHECKING:
    from leverage_nb.account import Account

_reported: WeakSet[Account] = WeakSet()


def show_text(text: str) -> None:
    """Show text below the cell while it runs."""
    display({"text/plain": encodable(text)}, raw=True)


def say(text: str) -> None:
    """Show a line below the cell while it runs: a sentence without its capital and its full stop."""
    show_text(sentence(text))


def report_earlier(account: Account) -> None:
    """Report, once per account, the outcome of changes that an earlier session left without a definite answer."""
    from leverage_nb.account import service_of

    if account in _reported:
        return
    _reported.add(account)
    try:
        for change in account.settle(say, wait=False):
            display(change)
        for change in service_of(account).past.open():
            say(f"{change.headline}; to verify it later: %leverage --history")
    except JournalUnusable as exc:
        say(str(exc))


def show_news(account: Account) -> None:
    """Show what Binance has changed in the tiers since they were read before."""
    from leverage_nb.account import service_of

    for news in service_of(account).tier_news():
        say(f"tiers have changed: {news}")
