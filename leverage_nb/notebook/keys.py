"""API keys at the notebook's prompt: ask for them hidden, check them, store and remove them."""

from __future__ import annotations

import getpass
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING

from IPython.core.error import StdinNotImplementedError

from leverage_nb.errors import CredentialsMissing, InvalidInput
from leverage_nb.notebook.notices import say, show_text

if TYPE_CHECKING:
    import argparse

    from leverage_nb.account import Account
    from leverage_nb.binance.credentials import Credentials
    from leverage_nb.binance.venues import Venue


def keep_key(options: argparse.Namespace) -> None:
    """Store a key in the keyring, or remove it: ``--login`` and ``--logout``.

    Raises:
        InvalidInput: The venue or profile is invalid, or there is no key.
        LeverageError: The exchange refuses the key, or could not be reached.
    """
    from leverage_nb.binance.credentials import check_profile
    from leverage_nb.binance.venues import find_venue

    venue, profile = find_venue(options.login or options.logout), check_profile(options.profile)
    if venue.name == "simulator":
        raise InvalidInput("The simulator needs no key.", hint="Use it without one: %leverage --venue simulator")
    (_login if options.login else _logout)(venue, profile)


def _login(venue: Venue, profile: str | None) -> None:
    """Ask for a key, check it with the exchange, and store it in the keyring."""
    from leverage_nb.account import service_of
    from leverage_nb.binance.credentials import check_keyring
    from leverage_nb.session import session

    unencrypted = check_keyring()
    credentials = ask_for_key(venue.name, profile)
    if credentials is None:
        raise InvalidInput("No key was typed. Nothing was stored.", hint="The notebook's prompt asks for it, hidden.")
    check_key(venue.name, profile, credentials)
    credentials.keep(venue, profile)
    account = session.connect(venue.name, profile=profile, credentials=credentials)
    show_text(f"{account.label} works on the {venue.name}, and is stored in the keyring.")
    if unencrypted:
        say(f"Warning: {unencrypted}")
    service_of(account).warn_of_key()


def _logout(venue: Venue, profile: str | None) -> None:
    """Remove a key from the keyring."""
    from leverage_nb.binance.credentials import name_source
    from leverage_nb.session import session

    fingerprint = session.log_out(venue, profile)
    say(f"key {fingerprint} of the {venue.name} was removed from the keyring")
    if (source := name_source(venue, profile)).startswith("the environment"):
        say(f"{source} still has a key for it, which is used from now on")


def connect_or_ask(venue: str, profile: str | None) -> Account:
    """Return the open account of a venue and profile, or open it; ask for a key if there is none."""
    from leverage_nb.session import session

    missing: CredentialsMissing
    try:
        return session.current(venue, profile)
    except CredentialsMissing as exc:
        missing = exc
    credentials = ask_for_key(venue, profile)
    if credentials is None:
        raise missing
    check_key(venue, profile, credentials)
    return session.connect(venue, profile=profile, credentials=credentials)


def check_key(venue: str, profile: str | None, credentials: Credentials) -> None:
    """Try a typed key before it is used or stored.

    Raises:
        LeverageError: The exchange refuses it, or could not be reached.
    """
    from leverage_nb.session import session

    with session.open_account(venue, profile=profile, credentials=credentials) as account:
        account.state()


def ask_for_key(venue: str, profile: str | None) -> Credentials | None:
    """Ask for a key at the notebook's prompt, hidden; None if that is not possible or nothing was typed.

    Raises:
        InvalidInput: The typed text is not a key.
    """
    from leverage_nb.binance.credentials import Credentials

    name = f"{venue}, {profile}" if profile else venue
    credentials = None
    with warnings.catch_warnings(), suppress(StdinNotImplementedError, EOFError, OSError, getpass.GetPassWarning):
        warnings.simplefilter("error", getpass.GetPassWarning)  # it would show what is typed
        # The answer gets no name of its own: verbose tracebacks print local variables.
        credentials = Credentials(getpass.getpass(f"API key ({name}; Enter for none): ") or None, None)
        if credentials.parts:
            credentials = credentials.with_secret(getpass.getpass(f"API secret ({name}): ") or None)
    return credentials.checked() if credentials is not None and credentials.parts == 2 else None
