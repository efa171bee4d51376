"""Connecting: connect(), current(), and which account and simulator a process is using."""

from __future__ import annotations

import atexit
import os
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from leverage_nb.account import Account
from leverage_nb.binance.client import RestClient
from leverage_nb.binance.credentials import Credentials, check_profile, find_credentials
from leverage_nb.binance.proof import is_our_simulator
from leverage_nb.binance.rate_limit import Limiter
from leverage_nb.binance.venues import Venue, back_end, find_venue
from leverage_nb.errors import InvalidInput
from leverage_nb.journal.database import MEMORY
from leverage_nb.journal.journal import Journal

if TYPE_CHECKING:
    from leverage_nb.simulator import Simulator

_registry_lock = threading.RLock()


_accounts: dict[tuple[str, str | None], Account] = {}  # by venue and profile
_current_venue = "simulator"
_current_profile: str | None = None
_simulator: Simulator | None = None
_journals: dict[str, Journal] = {}
_limiters: dict[str, Limiter] = {}  # by exchange: several addresses may lead to one


def _start_anew() -> None:
    """In a forked process: nothing of the parent's can be used, neither locks nor connections nor the simulator."""
    global _registry_lock, _accounts, _simulator, _journals, _limiters
    _registry_lock, _accounts, _simulator, _journals, _limiters = threading.RLock(), {}, None, {}, {}


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)


def connect(
    venue: str = "simulator",
    *,
    profile: str | None = None,
    api_key: str | None = None,
    api_secret: str | None = None,
    private_key: str | None = None,
    private_key_password: str | None = None,
    credentials: Credentials | None = None,
    rest_url: str | None = None,
    stream_url: str | None = None,
    max_leverage: int | None = None,
    journal: str | Path | None = None,
    timeout: float = 10.0,
    recv_window: int = 5000,
    weight_share: float = 0.5,
    grace: float = 1.0,
) -> Account:
    """Open an account. ``%leverage`` uses the account connected last on its venue and profile.

    Nothing is asked of the exchange until the account is used; only an address on this machine is asked, for at most a
    second, to prove that it is a simulator of this package.

    Args:
        venue: "simulator" (in this process, no key, no network), "testnet" or "mainnet".
        profile: What you call a sub-account, in letters of any size, digits and underscores; its key is looked for, and
            bound to the account, under this name.
        api_key: With ``api_secret`` or ``private_key``; else the environment: ``LEVERAGE_NB_TESTNET_API_KEY`` and
            ``LEVERAGE_NB_TESTNET_API_SECRET`` (or ``..._PRIVATE_KEY``), likewise ``..._MAINNET_...``, with a profile
            ``..._MAINNET_SUB1_API_KEY``; else the keyring, where ``%leverage --login`` stores it.
        api_secret: The secret of an HMAC key.
        private_key: The private key of an RSA or Ed25519 key: PEM, or the path of a file that holds it.
        private_key_password: Of an encrypted private key.
        credentials: A key that has been read already, in place of the above.
        rest_url: Another address for the same venue: https, or http on this machine only. One that is neither the
            venue's own nor a simulator of this package is treated as mainnet: red, a guard of 20x, a question first.
        stream_url: Another address for its event streams: wss, or ws on this machine only; the same holds for it.
        max_leverage: The guard: nothing above it is sent. The strictest of this, ``LEVERAGE_NB_MAX_LEVERAGE`` and
            ``%config LeverageMagics.max_leverage`` wins; on mainnet it is 20 when none is set.
        journal: The file in which every change is written down before it leaves; ``":memory:"`` keeps it in this
            process. By default in memory for the simulator, in the user's data folder for the others.
        timeout: Seconds to connect, and seconds for the whole answer to one request.
        recv_window: Milliseconds for which the exchange may still act on a request.
        weight_share: The part of the exchange's rate limit that all accounts of this process at one address may use
            together; the strictest that is open holds. The rest is for your other programs.
        grace: Seconds beyond ``recv_window`` in which the exchange may still execute a request, and by which a read of
            the setting may be behind. Binance documents neither; both are assumed.

    Returns:
        The account.

    Raises:
        CredentialsMissing: No key for this venue.
        InvalidInput: An argument that cannot be.
    """
    given = credentials or Credentials(api_key, api_secret, private_key, private_key_password)
    twice = credentials is not None and (api_key or api_secret or private_key or private_key_password)
    del api_key, api_secret, private_key, private_key_password  # a verbose traceback prints what a frame still holds
    if twice:
        raise InvalidInput("connect() takes credentials=, or a key in parts: not both.")
    account = open_account(
        venue,
        profile=profile,
        credentials=given,
        rest_url=rest_url,
        stream_url=stream_url,
        max_leverage=max_leverage,
        journal=journal,
        timeout=timeout,
        recv_window=recv_window,
        weight_share=weight_share,
        grace=grace,
    )
    with _registry_lock:
        _accounts[account.venue, account.profile] = account
    return account


def open_account(
    venue: str,
    *,
    profile: str | None,
    credentials: Credentials,
    rest_url: str | None = None,
    stream_url: str | None = None,
    max_leverage: int | None = None,
    journal: str | Path | None = None,
    timeout: float = 10.0,
    recv_window: int = 5000,
    weight_share: float = 0.5,
    grace: float = 1.0,
) -> Account:
    """Open an account as :func:`connect` does, without making it the one that ``%leverage`` uses."""
    given, chosen = credentials, find_venue(venue)
    if chosen.name == "simulator" and rest_url is None:
        simulator = default_simulator()
        chosen = replace(chosen.at(simulator.rest_url), proved=True)  # it was started here
        if not given.parts:
            given = Credentials(simulator.api_key, simulator.api_secret)
    elif rest_url is not None:
        chosen = chosen.at(rest_url)
    if stream_url is not None:
        chosen = chosen.with_stream(stream_url)
    name = check_profile(profile)
    found = find_credentials(chosen, given, name)
    if chosen.is_local and not chosen.proved:
        chosen = replace(chosen, proved=is_our_simulator(chosen.rest_url, found))
    client = RestClient(
        chosen,
        found,
        timeout=timeout,
        recv_window=recv_window,
        weight_share=weight_share,
        profile=name,
        grace=grace,
        limiter=_limiter_of(chosen.rest_url),
    )
    return Account(client, _open_journal(chosen, journal), max_leverage)


def use_limiter(rest_url: str, limiter: Limiter) -> None:
    """Use another rate limit for an exchange, for the accounts that are opened after this call."""
    with _registry_lock:
        _limiters[back_end(rest_url)] = limiter


def _limiter_of(rest_url: str) -> Limiter:
    with _registry_lock:
        return _limiters.setdefault(back_end(rest_url), Limiter())


def _open_journal(venue: Venue, path: str | Path | None) -> Journal:
    """The journal for an account: one object a file, so that the threads of this process wait for each other."""
    if path is not None and (not isinstance(path, (str, Path)) or not str(path).strip()):
        raise InvalidInput(f"journal is the path of a file, or {MEMORY!r}; got {path!r}.")
    if str(path) == MEMORY or (path is None and venue.name == "simulator" and venue.verified):
        with _registry_lock:  # one for all accounts at an address: two must not change one symbol at once
            return _journals.setdefault(f"{MEMORY} {venue.rest_url}", Journal(MEMORY))
    chosen = str((default_journal() if path is None else Path(path)).expanduser().absolute())
    with _registry_lock:
        return _journals.setdefault(chosen, Journal(chosen))


def default_journal() -> Path:
    """Where the changes on testnet and mainnet are written down unless ``connect(journal=...)`` says otherwise."""
    from platformdirs import user_data_path

    return user_data_path("leverage_nb", appauthor=False) / "journal.sqlite"


@atexit.register
def _close_journals() -> None:
    for journal in _journals.values():
        journal.close()


def current(venue: str | None = None, profile: str | None = None) -> Account:
    """The account ``%leverage`` is using: the one connected last on its venue and profile, or a new one.

    Args:
        venue: Look at another venue's, without switching to it.
        profile: Look at another profile's; the one in use when both are None.

    Returns:
        The account.

    Raises:
        CredentialsMissing: There is no key for it.
        InvalidInput: There is no such venue, or a profile cannot be called so.
    """
    with _registry_lock:
        chosen = _current_profile if venue is None and profile is None else check_profile(profile)
        name = find_venue(venue or _current_venue).name
        return _open_account(name, chosen) or connect(name, profile=chosen)


def connected() -> Account | None:
    """The account ``%leverage`` is using, if it is connected already."""
    return _open_account(_current_venue, _current_profile)


def _open_account(venue: str, profile: str | None) -> Account | None:
    account = _accounts.get((venue, profile))
    return None if account is None or account.closed else account


def switch(venue: str, profile: str | None = None) -> Account:
    """Make ``%leverage`` and :func:`current` use this venue and profile from now on.

    Raises:
        LeverageError: It cannot be connected to; what is in use stays as it was.
    """
    global _current_venue, _current_profile
    account = current(venue, profile)
    _current_venue, _current_profile = account.venue, account.profile
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
