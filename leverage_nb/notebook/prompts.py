"""Questions at the notebook's prompt: API keys, hidden, and confirmations."""

from __future__ import annotations

import getpass
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING

from IPython.core.error import StdinNotImplementedError

from leverage_nb.errors import CredentialsMissing, NotConfirmed

if TYPE_CHECKING:
    from leverage_nb.account import Account
    from leverage_nb.binance.credentials import Credentials


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


def confirmed(question: str) -> bool:
    """Ask a yes/no question at the notebook's prompt.

    Raises:
        NotConfirmed: The front end has no prompt.
    """
    return answer(question).lower() in {"y", "yes"}


def answer(question: str, otherwise: str = "-y sends without a question.") -> str:
    """Return the answer to a question at the notebook's prompt.

    Args:
        question: The question.
        otherwise: What to do in a front end that has no prompt.

    Raises:
        NotConfirmed: The front end has no prompt.
    """
    try:
        return input(question).strip()
    except (StdinNotImplementedError, EOFError):
        pass
    raise NotConfirmed("This notebook cannot ask for a confirmation. Nothing was sent.", hint=otherwise)
