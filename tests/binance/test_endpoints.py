"""The endpoints agree with Binance's documentation, and no other module names a path."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import leverage_nb
from leverage_nb.binance import endpoints
from leverage_nb.binance.endpoints import Endpoint

PACKAGE = Path(leverage_nb.__file__).parent
PAGES = "https://developers.binance.com/docs/derivatives/usds-margined-futures/"
TABLE = {name: value for name, value in vars(endpoints).items() if isinstance(value, Endpoint)}

# Security type and request weight of each documentation page. TRADE and USER_DATA are signed; USER_STREAM and NONE are
# not.
DOCUMENTED = {
    "trade/rest-api/Change-Initial-Leverage": ("POST /fapi/v1/leverage", "signed", 1),
    "trade/rest-api/Change-Margin-Type": ("POST /fapi/v1/marginType", "signed", 1),
    "trade/rest-api/Modify-Isolated-Position-Margin": ("POST /fapi/v1/positionMargin", "signed", 1),
    "trade/rest-api/Get-Position-Margin-Change-History": ("GET /fapi/v1/positionMargin/history", "signed", 1),
    "trade/rest-api/Position-Information-V3": ("GET /fapi/v3/positionRisk", "signed", 5),
    "account/rest-api/Notional-and-Leverage-Brackets": ("GET /fapi/v1/leverageBracket", "signed", 1),
    "account/rest-api/Symbol-Config": ("GET /fapi/v1/symbolConfig", "signed", 5),
    "account/rest-api/Account-Config": ("GET /fapi/v1/accountConfig", "signed", 5),
    "account/rest-api/Account-Information-V3": ("GET /fapi/v3/account", "signed", 5),
    "account/rest-api/Futures-Account-Balance-V3": ("GET /fapi/v3/balance", "signed", 5),
    "market-data/rest-api/Check-Server-Time": ("GET /fapi/v1/time", "none", 1),
    "market-data/rest-api/Exchange-Information": ("GET /fapi/v1/exchangeInfo", "none", 1),
    "market-data/rest-api/Mark-Price": ("GET /fapi/v1/premiumIndex", "none", 1),  # 1 with a symbol, 10 without
    "market-data/rest-api/Multi-Assets-Mode-Asset-Index": ("GET /fapi/v1/assetIndex", "none", 10),  # 1 with a symbol
    "user-data-streams/Start-User-Data-Stream": ("POST /fapi/v1/listenKey", "key", 1),
    "user-data-streams/Keepalive-User-Data-Stream": ("PUT /fapi/v1/listenKey", "key", 1),
    "https://developers.binance.com/docs/wallet/account/api-key-permission": (
        "GET /sapi/v1/account/apiRestrictions",
        "signed",
        1,
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_an_endpoint_is_as_documented(name: str) -> None:
    """Method, path, security and weight are those of the documentation page that the endpoint names."""
    endpoint = TABLE[name]
    assert (str(endpoint), endpoint.security, endpoint.weight) == DOCUMENTED[endpoint.documentation.removeprefix(PAGES)]


def test_every_documented_endpoint_is_listed_once() -> None:
    """The table has one entry for each page, and no entry without a page."""
    assert sorted(endpoint.documentation.removeprefix(PAGES) for endpoint in TABLE.values()) == sorted(DOCUMENTED)


def literals(path: Path) -> Iterator[str]:
    """Yield the text literals of a module, without its docstrings."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


def test_no_other_module_names_a_path() -> None:
    """Outside the table, and the simulator with its own, no text of the code contains a path of the API."""
    modules = [path for path in PACKAGE.rglob("*.py") if path.name != "endpoints.py" and "simulator" not in path.parts]
    assert len(modules) > 50
    for path in modules:
        for text in literals(path):
            assert "fapi/v" not in text, path
            assert "papi/v" not in text, path
            assert "sapi/v" not in text, path
