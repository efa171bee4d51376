"""Session: the accounts, the simulator and the journals that this process uses."""

from __future__ import annotations

import atexit
import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from leverage_nb.account import Account
from leverage_nb.binance.client import RestClient
from leverage_nb.binance.credentials import Credentials, check_profile, find_credentials, forget, warn_once
from leverage_nb.binance.proof import is_our_simulator
from leverage_nb.binance.rate_limit import Limiter
from leverage_nb.binance.venues import Venue, back_end, find_venue
from leverage_nb.changes.multi_plan import MultiPlan, make_multi_plan
from leverage_nb.changes.plan import Plan
from leverage_nb.errors import InvalidInput, JournalUnusable
from leverage_nb.journal.database import MEMORY
from leverage_nb.journal.journal import Journal

if TYPE_CHECKING:
    from leverage_nb.simulator import Simulator


def default_journal() -> Path:
    """Return the path of the journal for testnet and mainnet, unless ``connect(journal=...)`` names another.

    Raises:
        JournalUnusable: The user has no home folder, as in some containers.
    """
    from platformdirs import user_data_path

    with suppress(RuntimeError):
        return user_data_path("leverage_nb", appauthor=False) / "journal.sqlite"
    raise JournalUnusable(
        "There is no folder for the journal: this user has no home folder.",
        hint="Set HOME, or name a file with connect(journal=...).",
    )


class Session:
    """The accounts, the simulator and the journals of one process. One session is enough: see :data:`session`.

    Attributes:
        venue: The venue that ``%leverage`` is using.
        profile: The profile that ``%leverage`` is using; None without a profile.
        max_leverage: The guard of ``%config LeverageMagics.max_leverage``, for all accounts; 0 if it is not set.
    """

    def __init__(self) -> None:
        self.max_leverage: Any = 0
        self.reset()

    def reset(self) -> None:
        """Forget all accounts, journals and the simulator without closing them, and return to the simulator venue."""
        self.venue = "simulator"
        self.profile: str | None = None
        self._lock = threading.RLock()
        self._accounts: dict[tuple[str, str | None], Account] = {}
        self._journals: dict[str, Journal] = {}
        self._limiters: dict[str, Limiter] = {}
        self._simulator: Simulator | None = None
        self._simulator_accounts = WeakSet[Account]()
        self._everyone = WeakSet[Account]()
        self._clients = WeakSet[RestClient]()  # a preview or plan may outlive its account
        self._ended = WeakSet[Journal]()  # of simulators that were stopped: their accounts still show the history

    def connect(
        self,
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
        read_only: bool = False,
    ) -> Account:
        """Open an account. ``%leverage`` uses the account that was opened last for its venue and profile.

        No request is sent before the account is used, with one exception: an address on this machine is asked, for at
        most one second, to prove that it is a simulator of this package.

        Args:
            venue: "simulator" (in this process, without key and network), "testnet" or "mainnet".
            profile: Your name for a sub-account: letters, digits and underscores. Its key is looked up under this name.
            api_key: The API key, with ``api_secret`` or ``private_key``. Without it the key comes from the environment
                (``LEVERAGE_NB_TESTNET_API_KEY`` and ``LEVERAGE_NB_TESTNET_API_SECRET`` or ``..._PRIVATE_KEY``, likewise
                ``..._MAINNET_...``; with a profile ``..._MAINNET_SUB1_API_KEY``), or from the keyring, where
                ``%leverage --login`` stores it.
            api_secret: The secret of an HMAC key.
            private_key: The private key of an RSA or Ed25519 key: PEM, or the path of a file.
            private_key_password: The password of an encrypted private key.
            credentials: A key that was read already, instead of the arguments above.
            rest_url: Another address of the venue: https, or http on this machine only. An address that is neither in
                the venue's own list nor a simulator of this package is treated as mainnet: red frame, a guard of 20x,
                confirmation before each change.
            stream_url: Another address of its event streams: wss, or ws on this machine only. The same applies to it.
            max_leverage: The guard: no higher leverage is sent. The lowest of this, ``LEVERAGE_NB_MAX_LEVERAGE`` and
                ``%config LeverageMagics.max_leverage`` applies; on mainnet 20 if none is set.
            journal: The file in which every attempt is recorded before it is sent; ``":memory:"`` keeps it in this
                process only. By default in memory for the simulator, in the user's data folder for other venues.
            timeout: Seconds to connect, and seconds for the whole answer to one request.
            recv_window: Milliseconds for which the exchange may accept a request after its timestamp.
            weight_share: The part of the exchange's rate limit that all accounts of this process at one address may
                use together. The lowest of the open accounts applies. The rest is left for your other programs.
            grace: Seconds beyond ``recv_window`` in which the exchange may still execute a request, and by which a read
                of the setting may be stale. Binance documents neither; both are assumed.
            read_only: Whether the account sends no change: everything can be read and previewed, and each attempt to
                change something raises ``ChangeNotSent`` with the reason ``ReadOnly``. The key keeps its permissions.

        Returns:
            The account.

        Raises:
            CredentialsMissing: There is no key for this venue.
            InvalidInput: An argument is invalid.
            JournalUnusable: The user has no home folder for the journal.
        """
        given = credentials or Credentials(api_key, api_secret, private_key, private_key_password)
        twice = credentials is not None and (api_key or api_secret or private_key or private_key_password)
        del api_key, api_secret, private_key, private_key_password  # a verbose traceback prints local variables
        if twice:
            raise InvalidInput("connect() takes either credentials= or the parts of a key.")
        account = self.open_account(
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
            read_only=read_only,
        )
        with self._lock:
            self._accounts[account.venue, account.profile] = account
        return account

    def open_account(
        self,
        venue: str,
        *,
        profile: str | None,
        credentials: Credentials,
        rest_url: str | None = None,
        stream_url: str | None = None,
        max_leverage: int | None = None,
        journal: str | Path | None = None,
        **options: Any,
    ) -> Account:
        """Open an account as :meth:`connect` does, without making it the one that ``%leverage`` uses."""
        given, chosen = credentials, find_venue(venue)
        with self._lock if chosen.name == "simulator" else nullcontext():  # the simulator must not stop meanwhile
            if chosen.name == "simulator" and rest_url is None:
                simulator = self.simulator()
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
            client = RestClient(chosen, found, limiter=self.limiter(chosen.rest_url), profile=name, **options)
            # Wherever the key comes from: os.environ[...] = "..." and %env are typed in a cell too.
            if chosen.name != "simulator" and found.is_typed_in(_cells()):
                warn_once(
                    f"A key was typed in a cell ({client.account}). It stays in the notebook and in IPython's history: "
                    f"remove it there. To store it in the keyring instead: %leverage --login {chosen.name}"
                )
            guard = (max_leverage, lambda: self.max_leverage)
            account = Account(client, self._journal(chosen, journal), *guard, self._stop_unused_simulator)
            self._clients.add(client)
            self._everyone.add(account)
            if self._simulator is not None and chosen.rest_url == self._simulator.rest_url:
                self._simulator_accounts.add(account)
            return account

    def current(self, venue: str | None = None, profile: str | None = None) -> Account:
        """Return the account that ``%leverage`` is using; open it if it is not open.

        Args:
            venue: Another venue, without switching to it.
            profile: Another profile; the one in use if both are None.

        Raises:
            CredentialsMissing: There is no key for it.
            InvalidInput: The venue or the profile name is invalid.
        """
        with self._lock:
            chosen = self.profile if venue is None and profile is None else check_profile(profile)
            name = find_venue(venue or self.venue).name
            return self._opened(name, chosen) or self.connect(name, profile=chosen)

    def plan_profiles(self, wanted: Mapping[str | None, Any], venue: str | None = None, **modes: Any) -> MultiPlan:
        """Plan changes of several accounts of one venue. Nothing is sent before ``.apply()``.

        Args:
            wanted: What :meth:`Account.plan` takes, by the profile's name; None is the account without a profile.
            venue: The venue; the one in use if None.
            modes: ``position_mode`` and ``multi_assets``, as for :meth:`Account.plan`.

        Returns:
            The plans. ``.problems`` names the accounts that could not be opened or read.

        Raises:
            InvalidInput: A profile, or what is wanted of one of the accounts, is invalid.
        """
        if not isinstance(wanted, Mapping):
            raise InvalidInput(f"plan_profiles() needs a mapping from profile to plan; got {type(wanted).__name__}.")
        return self._plans(wanted, venue, lambda account, profile: account.plan(wanted[profile], **modes))

    def policy_profiles(self, path: str | Path, profiles: Iterable[str | None], venue: str | None = None) -> MultiPlan:
        """Compare several accounts of one venue with a policy: see :meth:`Account.policy_plan`.

        Args:
            path: The path of the file.
            profiles: The profiles; None is the account without one.
            venue: The venue; the one in use if None.

        Returns:
            The plans. ``.problems`` names the accounts that could not be opened or read.

        Raises:
            InvalidInput: A profile or the file is invalid.
        """
        if isinstance(profiles, str) or not isinstance(profiles, Iterable):
            raise InvalidInput('profiles is a list, as ["sub1", "sub2"].', hint="Name each profile, None for none.")
        return self._plans(profiles, venue, lambda account, _profile: account.policy_plan(path))

    def _plans(
        self, profiles: Iterable[str | None], venue: str | None, plan: Callable[[Account, str | None], Plan]
    ) -> MultiPlan:
        name = find_venue(venue or self.venue).name

        def make(profile: str | None) -> Callable[[], Plan]:
            return lambda: plan(self.current(name, profile), profile)

        return make_multi_plan(name, [(profile, make(profile)) for profile in profiles])

    def connected(self) -> Account | None:
        """Return the account that ``%leverage`` is using, if it is open."""
        return self._opened(self.venue, self.profile)

    def switch(self, venue: str, profile: str | None = None) -> Account:
        """Make ``%leverage`` and :meth:`current` use a venue and profile from now on.

        Raises:
            LeverageError: It cannot be opened; the venue in use stays the same.
        """
        account = self.current(venue, profile)
        self.venue, self.profile = account.venue, account.profile
        return account

    def log_out(self, venue: Venue, profile: str | None) -> str:
        """Remove a stored key from the keyring, and close the accounts of this venue and profile that use it.

        They send nothing from then on, nor do their panels, previews and plans.

        Returns:
            The key's fingerprint.

        Raises:
            InvalidInput: No key is stored, or it could not be removed.
        """
        fingerprint = forget(venue, profile)
        whose = venue.name, profile, f"key {fingerprint}"
        for client in list(self._clients):
            if (client.venue.name, client.profile, client.identity) == whose:
                client.log_out()
        for account in list(self._everyone):
            if (account.venue, account.profile) == whose[:2] and account.label.endswith(whose[2]):
                account.close()
        return fingerprint

    def simulator(self) -> Simulator:
        """Return the simulator of this process; it starts on first use.

        It stops with the process, or when the last account on it is closed: the next account starts another one.
        """
        with self._lock:
            if self._simulator is None:
                from leverage_nb.simulator import Simulator

                self._simulator = Simulator()
            return self._simulator

    def limiter(self, rest_url: str) -> Limiter:
        """Return the rate limiter that all accounts at one address share; one for all addresses of one exchange."""
        with self._lock:
            return self._limiters.setdefault(back_end(rest_url), Limiter())

    def use_limiter(self, rest_url: str, limiter: Limiter) -> Limiter:
        """Use another rate limiter for an address, for accounts that are opened after this call."""
        with self._lock:
            self._limiters[back_end(rest_url)] = limiter
        return limiter

    def close(self) -> None:
        """Close all accounts, also those that ``%leverage`` does not use; the simulator; the journals in memory."""
        with self._lock:
            for account in list(self._everyone):
                account.close()
            for journal in (*self._journals.values(), *self._ended):
                journal.close()
            simulator, self._simulator = self._simulator, None
            self._accounts, self._journals = {}, {}
        if simulator is not None:
            simulator.close()

    def _stop_unused_simulator(self) -> None:
        """Stop the simulator when every account that was opened on it is closed or gone."""
        with self._lock:
            users = list(self._simulator_accounts)
            if self._simulator is not None and users and all(account.closed for account in users):
                self._simulator.close()
                journal = self._journals.pop(f"{MEMORY} {self._simulator.rest_url}", None)
                if journal is not None:
                    self._ended.add(journal)
                self._simulator, self._simulator_accounts = None, WeakSet()

    def _opened(self, venue: str, profile: str | None) -> Account | None:
        account = self._accounts.get((venue, profile))
        return None if account is None or account.closed else account

    def _journal(self, venue: Venue, path: str | Path | None) -> Journal:
        """Return the journal of an account. One object per file, so that the threads of this process share its lock."""
        if path is not None and (not isinstance(path, (str, Path)) or not str(path).strip()):
            raise InvalidInput(f"journal must be the path of a file, or {MEMORY!r}; got {path!r}.")
        if str(path) == MEMORY or (path is None and venue.name == "simulator" and venue.verified):
            name, place = f"{MEMORY} {venue.rest_url}", MEMORY  # shared by all accounts at one address
        else:
            chosen = default_journal() if path is None else Path(path)
            # os.path.expanduser leaves ~ as it is if there is no home folder; Path.expanduser fails.
            name = place = str(Path(os.path.expanduser(chosen)).absolute())
        with self._lock:
            return self._journals.setdefault(name, Journal(place))


def _cells() -> str:
    """Return the cells of this session, from memory; "" outside IPython, which is not imported here."""
    ipython: Any = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return "\n".join(getattr(getattr(shell, "history_manager", None), "input_hist_raw", []))


session = Session()
"""The session of this process. ``leverage_nb.connect`` and ``leverage_nb.current`` belong to it."""

connect, current = session.connect, session.current
plan_profiles, policy_profiles = session.plan_profiles, session.policy_profiles

atexit.register(session.close)

if hasattr(os, "register_at_fork"):
    # Locks, connections and the simulator of the parent process are invalid in the child. Its accounts refuse to work.
    os.register_at_fork(after_in_child=session.reset)
