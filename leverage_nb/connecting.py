"""Connecting: connect(), current(), and which account and simulator a process is using."""

from __future__ import annotations

import atexit
import os
import threading
from typing import TYPE_CHECKING

from leverage_nb.account import Account
from leverage_nb.exchange.credentials import Credentials, find_credentials
from leverage_nb.exchange.rest import RestClient
from leverage_nb.exchange.venues import find_venue

if TYPE_CHECKING:
    from leverage_nb.simulator import Simulator

_registry_lock = threading.RLock()


def _forget_locks() -> None:
    """A forked process may have inherited the lock as another thread held it."""
    global _registry_lock
    _registry_lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_locks)

_accounts: dict[str, Account] = {}
_current_venue = "simulator"
_simulator: Simulator | None = None


def connect(
    venue: str = "simulator",
    *,
    api_key: str | None = None,
    api_secret: str | None = None,
    rest_url: str | None = None,
    max_leverage: int | None = None,
    timeout: float = 10.0,
    recv_window: int = 5000,
) -> Account:
    """Open an account. ``%leverage`` uses the account connected last on its venue.

    Nothing is asked of the exchange until the account is used.

    Args:
        venue: "simulator" (in this process, no key, no network), "testnet" or "mainnet".
        api_key: With ``api_secret``; else the environment: ``LEVERAGE_NB_TESTNET_API_KEY`` and
            ``LEVERAGE_NB_TESTNET_API_SECRET``, likewise ``..._MAINNET_...``.
        api_secret: The HMAC secret of ``api_key``.
        rest_url: Another address for the same venue: https, or http on this machine only.
        max_leverage: The guard: nothing above it is sent. The strictest of this, ``LEVERAGE_NB_MAX_LEVERAGE`` and
            ``%config LeverageMagics.max_leverage`` wins; on mainnet it is 20 when none is set.
        timeout: Seconds to connect, and seconds for the whole answer to one request.
        recv_window: Milliseconds for which the exchange may still act on a request.

    Raises:
        CredentialsMissing: No key for this venue.
        Mistake: An argument that cannot be.
    """
    given = Credentials(api_key, api_secret)
    api_key = api_secret = None  # a verbose traceback prints what a frame still holds
    chosen = find_venue(venue)
    if chosen.name == "simulator" and rest_url is None:
        simulator = default_simulator()
        chosen = chosen.at(simulator.rest_url)
        if not given.parts:
            given = Credentials(simulator.api_key, simulator.api_secret)
    elif rest_url is not None:
        chosen = chosen.at(rest_url)
    credentials = find_credentials(chosen, given)
    client = RestClient(chosen, credentials, timeout=timeout, recv_window=recv_window)
    account = Account(client, max_leverage)
    with _registry_lock:
        _accounts[chosen.name] = account
    return account


def current(venue: str | None = None) -> Account:
    """The account ``%leverage`` is using: the one connected last on its venue, or a new one.

    Args:
        venue: Look at another venue's, without switching to it.
    """
    with _registry_lock:
        name = find_venue(venue or _current_venue).name
        return _open_account(name) or connect(name)


def connected() -> Account | None:
    """The account ``%leverage`` is using, if it is connected already."""
    return _open_account(_current_venue)


def _open_account(venue: str) -> Account | None:
    account = _accounts.get(venue)
    return None if account is None or account.closed else account


def switch(venue: str) -> Account:
    """Make ``%leverage`` and :func:`current` use this venue from now on.

    Raises:
        LeverageError: It cannot be connected to; the venue in use stays as it was.
    """
    global _current_venue
    account = current(venue)
    _current_venue = account.venue
    return account


def default_simulator() -> Simulator:
    """The simulator of this process, started on first use and stopped at exit."""
    global _simulator
    with _registry_lock:
        if _simulator is None:
            from leverage_nb.simulator import Simulator

            _simulator = Simulator()
            atexit.register(_simulator.close)
        return _simulator
