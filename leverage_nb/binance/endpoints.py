"""Every endpoint that the package uses: method, path, security, request weight and documentation, in one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# What a request carries: nothing, the API key, or the API key and a signature.
Security = Literal["none", "key", "signed"]

_DOCUMENTATION = "https://developers.binance.com/docs/derivatives/usds-margined-futures"


@dataclass(frozen=True)
class Endpoint:
    """One endpoint of Binance's USDⓈ-M Futures REST API, or of its wallet API.

    Attributes:
        method: The HTTP method.
        path: The path below the venue's REST address; for ``KEY_PERMISSIONS`` below its wallet address.
        security: What a request carries: "none", "key" or "signed".
        weight: The request weight that Binance counts for one request.
        documentation: URL of the page that states the above.
    """

    method: str
    path: str
    security: Security
    weight: int
    documentation: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def _endpoint(method: str, path: str, security: Security, weight: int, page: str) -> Endpoint:
    return Endpoint(method, path, security, weight, f"{_DOCUMENTATION}/{page}")


LEVERAGE = _endpoint("POST", "/fapi/v1/leverage", "signed", 1, "trade/rest-api/Change-Initial-Leverage")
MARGIN_TYPE = _endpoint("POST", "/fapi/v1/marginType", "signed", 1, "trade/rest-api/Change-Margin-Type")
POSITION_MARGIN = _endpoint(
    "POST", "/fapi/v1/positionMargin", "signed", 1, "trade/rest-api/Modify-Isolated-Position-Margin"
)
POSITION_MARGIN_HISTORY = _endpoint(
    "GET", "/fapi/v1/positionMargin/history", "signed", 1, "trade/rest-api/Get-Position-Margin-Change-History"
)

SYMBOL_CONFIG = _endpoint("GET", "/fapi/v1/symbolConfig", "signed", 5, "account/rest-api/Symbol-Config")
ACCOUNT_CONFIG = _endpoint("GET", "/fapi/v1/accountConfig", "signed", 5, "account/rest-api/Account-Config")
ACCOUNT = _endpoint("GET", "/fapi/v3/account", "signed", 5, "account/rest-api/Account-Information-V3")
BALANCE = _endpoint("GET", "/fapi/v3/balance", "signed", 5, "account/rest-api/Futures-Account-Balance-V3")
POSITION_RISK = _endpoint("GET", "/fapi/v3/positionRisk", "signed", 5, "trade/rest-api/Position-Information-V3")
LEVERAGE_BRACKET = _endpoint(
    "GET", "/fapi/v1/leverageBracket", "signed", 1, "account/rest-api/Notional-and-Leverage-Brackets"
)

SERVER_TIME = _endpoint("GET", "/fapi/v1/time", "none", 1, "market-data/rest-api/Check-Server-Time")
EXCHANGE_INFO = _endpoint("GET", "/fapi/v1/exchangeInfo", "none", 1, "market-data/rest-api/Exchange-Information")
# For one symbol; a request for all symbols weighs 10.
PREMIUM_INDEX = _endpoint("GET", "/fapi/v1/premiumIndex", "none", 1, "market-data/rest-api/Mark-Price")
# For all assets; a request for one weighs 1.
ASSET_INDEX = _endpoint("GET", "/fapi/v1/assetIndex", "none", 10, "market-data/rest-api/Multi-Assets-Mode-Asset-Index")

OPEN_LISTEN_KEY = _endpoint("POST", "/fapi/v1/listenKey", "key", 1, "user-data-streams/Start-User-Data-Stream")
EXTEND_LISTEN_KEY = _endpoint("PUT", "/fapi/v1/listenKey", "key", 1, "user-data-streams/Keepalive-User-Data-Stream")

# Of the wallet API, which has an address and a rate limit of its own.
KEY_PERMISSIONS = Endpoint(
    "GET",
    "/sapi/v1/account/apiRestrictions",
    "signed",
    1,
    "https://developers.binance.com/docs/wallet/account/api-key-permission",
)
