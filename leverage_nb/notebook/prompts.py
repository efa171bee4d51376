"""What is asked at the notebook's prompt: keys, unseen, and whether to go on."""

from __future__ import annotations

import getpass
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from IPython.core.error import StdinNotImplementedError

from leverage_nb.errors import CredentialsMissing, NotConfirmed

if TYPE_CHECKING:
    from leverage_nb.account import Account
    from leverage_nb.binance.credentials import Credentials


def connect_asking(venue: str, profile: str | None, connected: Callable[[str, str | None], Account]) -> Account:
    """Connect; where no key is to be had, ask for one at the notebook's prompt, hidden, for this session."""
    missing: CredentialsMissing
    try:
        return connected(venue, profile)
    except CredentialsMissing as exc:
        missing = exc
    credentials = ask_for_key(venue, profile)
    if credentials is None:
        raise missing
    check_key(venue, profile, credentials)
    from leverage_nb.session import connect

    connect(venue, profile=profile, credentials=credentials)
    return connected(venue, profile)


def check_key(venue: str, profile: str | None, credentials: Credentials) -> None:
    """Try a key that was typed, before it is kept in any way: a slip must not be what the next call uses.

    Raises:
        LeverageError: The exchange does not take it, or could not be asked.
    """
    from leverage_nb.session import open_account

    with open_account(venue, profile=profile, credentials=credentials) as tried:
        tried.state()


def ask_for_key(venue: str, profile: str | None) -> Credentials | None:
    """A key as typed at the notebook's prompt; None where nobody can answer unseen, or nothing was typed.

    Raises:
        InvalidInput: What was typed is no key.
    """
    from leverage_nb.binance.credentials import Credentials

    whose = f"{venue}, {profile}" if profile else venue
    credentials = None
    with warnings.catch_warnings(), suppress(StdinNotImplementedError, EOFError, OSError, getpass.GetPassWarning):
        warnings.simplefilter("error", getpass.GetPassWarning)  # it would show what is typed
        # Looked up now: the kernel puts its own prompt there. The answer has no name: verbose tracebacks print names.
        credentials = Credentials(getpass.getpass(f"API key ({whose}; Enter for none): ") or None, None)
        if credentials.parts:
            credentials = credentials.with_secret(getpass.getpass(f"API secret ({whose}): ") or None)
    return credentials.checked() if credentials is not None and credentials.parts == 2 else None


def confirmed(question: str) -> bool:
    """Ask at the notebook's prompt.

    Raises:
        NotConfirmed: Nobody can answer there.
    """
    return answer(question).lower() in {"y", "yes"}


def answer(question: str) -> str:
    """What is typed at the notebook's prompt.

    Raises:
        NotConfirmed: Nobody can answer there.
    """
    try:
        return input(question).strip()
    except (StdinNotImplementedError, EOFError):
        pass
    raise NotConfirmed("Nobody can answer a question here: nothing was sent.", hint="-y changes without asking.")
