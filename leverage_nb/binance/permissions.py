"""What an API key may do that this package does not need, as Binance's wallet API states it.

Source: https://developers.binance.com/docs/wallet/account/api-key-permission (documented; stored copies of the page and
of Binance's own clients agree; not run against Binance). The testnet has no such endpoint.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress

from leverage_nb import interrupts
from leverage_nb.binance.client import RestClient
from leverage_nb.binance.endpoints import KEY_PERMISSIONS
from leverage_nb.binance.messages import KeyPermissions, decode

_WHERE = "in Binance's API Management"


def find_risks(client: RestClient, patience: float = 2.0) -> list[str]:
    """Return the permissions that a key should not have, as text. No failure is reported.

    Args:
        client: The client of the account. Only keys of Binance's own mainnet are asked about.
        patience: The most seconds that the caller waits, name resolution included.

    Returns:
        One sentence for each risk; none if there is none, or if no usable answer came in time.
    """
    if not client.venue.wallet_url:
        return []
    found: list[KeyPermissions] = []

    def read() -> None:
        with suppress(Exception):  # a hint is not worth an error
            wallet = client.beside(client.venue.wallet_url, patience)
            try:
                found.append(decode(KeyPermissions, wallet.read(KEY_PERMISSIONS), ""))
            finally:
                wallet.close()

    # A thread, because name resolution has no time-out.
    thread = threading.Thread(target=read, daemon=True)
    deadline = time.monotonic() + patience
    thread.start()
    while thread.is_alive() and time.monotonic() < deadline:
        interrupts.pause(0.02)
    return [] if not found else _risks(found[0], client.account)


def _risks(permissions: KeyPermissions, account: str) -> list[str]:
    risks = []
    if permissions.enable_withdrawals:
        risks.append(
            f"The API key in use ({account}) may withdraw funds, which leverage_nb never does. Switch off Enable "
            f"Withdrawals {_WHERE}."
        )
    if permissions.ip_restrict is False:
        risks.append(
            f"The API key in use ({account}) works from every IP address. Restrict it to your own {_WHERE}, so that a "
            "stolen copy is useless elsewhere."
        )
    return risks
