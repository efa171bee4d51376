"""A testnet client on a faked wire: the setting is at 20x, and the test chooses the answer to the POST."""

from __future__ import annotations

import json
import time
from typing import Any

from responses import RequestsMock

from leverage_nb.binance.client import RestClient
from leverage_nb.binance.credentials import Credentials
from leverage_nb.binance.reader import read_setting
from leverage_nb.binance.venues import VENUES
from leverage_nb.change import LeverageChange
from leverage_nb.changes.request import ChangeRequest
from leverage_nb.changes.send import Sender
from leverage_nb.journal.database import MEMORY
from leverage_nb.journal.journal import Journal
from leverage_nb.risk.account_state import LeverageSetting

BASE = "https://demo-fapi.binance.com"
SYMBOL_CONFIG, LEVERAGE = f"{BASE}/fapi/v1/symbolConfig", f"{BASE}/fapi/v1/leverage"

APPLIED = {"leverage": 10, "maxNotionalValue": "230000000", "symbol": "BTCUSDT"}


def setting_row(leverage: int = 20) -> dict[str, Any]:
    """Return the setting of BTCUSDT as the exchange answers it."""
    return {
        "symbol": "BTCUSDT", "marginType": "CROSSED", "isAutoAddMargin": False, "leverage": leverage,
        "maxNotionalValue": "100000000",
    }  # fmt: skip


class FakedWire:
    """A client whose requests are answered without a network. Its attempts pass their deadline after 20 ms.

    Args:
        wire: Answers the requests.

    Attributes:
        wire: As given.
        client: The client.
        journal: The journal of its changes.
    """

    def __init__(self, wire: RequestsMock) -> None:
        self.wire = wire
        wire.get(SYMBOL_CONFIG, json=[setting_row()])
        wire.add_callback("GET", f"{BASE}/fapi/v1/time", lambda _: (200, {}, json.dumps({"serverTime": _now_ms()})))
        keys = Credentials("k" * 64, "s" * 64)
        self.client = RestClient(VENUES["testnet"], keys, recv_window=20, timeout=5.0, grace=0.0)
        self.journal = Journal(MEMORY)

    def change(self, leverage: int = 10, asset: str = "", setting: LeverageSetting | None = None) -> LeverageChange:
        """Change BTCUSDT; with a setting, the change was confirmed from its leverage."""
        before = setting.leverage if setting is not None else None
        return Sender(
            self.client,
            self.journal,
            ChangeRequest("BTCUSDT", leverage, asset, before, is_confirmed=setting is not None, setting=setting),
        ).run()

    def read_setting(self) -> LeverageSetting:
        """Read the setting of BTCUSDT."""
        return read_setting(self.client, "BTCUSDT")

    def answer(self, body: Any, status: int = 200, **headers: str) -> None:
        """Answer the next POST with a text, JSON or an exception; underscores in names of headers are hyphens."""
        raw = body if isinstance(body, (str, Exception)) else json.dumps(body)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.wire.post(LEVERAGE, body=raw, status=status, headers=named)

    @property
    def methods(self) -> list[str]:
        """The methods of the requests that left for the faked address, in their order."""
        requests = [call.request for call in self.wire.calls]
        return [str(request.method) for request in requests if str(request.url).startswith(BASE)]

    @property
    def posts(self) -> int:
        """The number of POSTs that left."""
        return self.methods.count("POST")

    @property
    def statuses(self) -> list[str]:
        """The statuses of the attempts in the journal, oldest first."""
        return [attempt.status for attempt in self.journal.attempts(self.client.identity)]

    def close(self) -> None:
        """Drop the journal."""
        self.journal.close()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
