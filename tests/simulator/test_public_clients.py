"""Public Binance clients against the simulator: ``pytest -m clients`` with the extra 'clients'."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from leverage_nb.simulator import Simulator

# Warnings of these clients must not fail the tests.
pytestmark = [pytest.mark.clients, pytest.mark.filterwarnings("ignore")]

WHY = "needs the extra 'clients'"


def open_ccxt(simulator: Simulator) -> Any:
    """Return ccxt's client, with its markets loaded."""
    ccxt = pytest.importorskip("ccxt", reason=WHY)
    client = ccxt.binanceusdm({"apiKey": simulator.api_key, "secret": simulator.api_secret})
    client.options["fetchCurrencies"] = False  # it uses /sapi, which futures do not have
    client.urls["api"] = {
        name: url.replace("https://fapi.binance.com", simulator.rest_url) for name, url in client.urls["api"].items()
    }
    client.load_markets()
    return client


def open_python_binance(simulator: Simulator) -> Any:
    """Return python-binance's client."""
    module = pytest.importorskip("binance.client", reason=WHY)
    client = module.Client(simulator.api_key, simulator.api_secret, ping=False)
    client.FUTURES_URL = f"{simulator.rest_url}/fapi"
    return client


def open_connector(simulator: Simulator) -> Any:
    """Return binance-futures-connector's client."""
    module = pytest.importorskip("binance.um_futures", reason=WHY)
    return module.UMFutures(key=simulator.api_key, secret=simulator.api_secret, base_url=simulator.rest_url)


def open_sdk(simulator: Simulator) -> Any:
    """Return the REST client of Binance's SDK."""
    common = pytest.importorskip("binance_common.configuration", reason=WHY)
    name = "binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures"
    sdk: Any = pytest.importorskip(name, reason=WHY)
    configuration = common.ConfigurationRestAPI(
        api_key=simulator.api_key, api_secret=simulator.api_secret, base_path=simulator.rest_url
    )
    return sdk.DerivativesTradingUsdsFutures(config_rest_api=configuration).rest_api


def test_ccxt(simulator: Simulator) -> None:
    """Ccxt loads markets, positions and tiers, sets leverage, and raises its own error on a refusal."""
    client = open_ccxt(simulator)
    assert len(client.symbols) == 46
    assert client.set_leverage(10, "BTC/USDT:USDT") == {
        "leverage": 10, "maxNotionalValue": "230000000", "symbol": "BTCUSDT",
    }  # fmt: skip
    tiers = client.fetch_leverage_tiers(["BTC/USDT:USDT"])["BTC/USDT:USDT"]
    assert (tiers[0]["maxLeverage"], tiers[0]["maxNotional"]) == (150, 300_000)
    assert {row["symbol"] for row in client.fetch_positions()} == {"BTC/USDT:USDT", "ETH/USDT:USDT"}
    assert client.fetch_balance()["USDT"]["total"] == 100_000 + 12_062.5 + 8_256  # wallet and profits
    with pytest.raises(Exception, match="-4161"):
        client.set_leverage(5, "ETH/USDT:USDT")


def test_python_binance(simulator: Simulator) -> None:
    """python-binance sets leverage, also of a non-ASCII symbol, reads brackets, and raises on a refusal."""
    client = open_python_binance(simulator)
    assert client.futures_change_leverage(symbol="BTCUSDT", leverage=10)["leverage"] == 10
    assert client.futures_change_leverage(symbol="哈基米USDT", leverage=2)["leverage"] == 2
    assert len(client.futures_leverage_bracket()) == 46
    with pytest.raises(Exception, match="2027"):
        client.futures_change_leverage(symbol="BTCUSDT", leverage=125)


def test_official_connector(simulator: Simulator) -> None:
    """binance-futures-connector sets leverage, reads brackets and positions, and raises on a refusal."""
    client = open_connector(simulator)
    assert client.change_leverage(symbol="BTCUSDT", leverage=10)["maxNotionalValue"] == "230000000"
    assert len(client.leverage_brackets()) == 46
    assert client.leverage_brackets(symbol="BTCUSDT")["brackets"][0]["initialLeverage"] == 150
    with pytest.raises(Exception, match="2028"):
        client.change_leverage(symbol="BTCUSDT", leverage=1)


def test_official_sdk(simulator: Simulator) -> None:
    """The official SDK sets leverage, reads brackets with and without symbol, and raises on a refusal."""
    client = open_sdk(simulator)
    answer = client.change_initial_leverage(symbol="BTCUSDT", leverage=10).data()
    assert (answer.symbol, answer.leverage, answer.max_notional_value) == ("BTCUSDT", 10, "230000000")
    assert client.notional_and_leverage_brackets(symbol="BTCUSDT").data() is not None
    assert client.notional_and_leverage_brackets().data() is not None
    with pytest.raises(Exception, match="Isolated Margin Mode"):
        client.change_initial_leverage(symbol="ETHUSDT", leverage=5)


CHANGES: dict[str, tuple[Callable[[Simulator], Any], Callable[[Any, int], Any]]] = {
    "ccxt": (open_ccxt, lambda client, x: client.set_leverage(x, "BTC/USDT:USDT")),
    "connector": (open_connector, lambda client, x: client.change_leverage(symbol="BTCUSDT", leverage=x)),
    "python-binance": (
        open_python_binance, lambda client, x: client.futures_change_leverage(symbol="BTCUSDT", leverage=x),
    ),
    "sdk": (open_sdk, lambda client, x: client.change_initial_leverage(symbol="BTCUSDT", leverage=x).data()),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
def test_the_readme_on_other_clients(simulator: Simulator, name: str) -> None:
    """Some clients return a login page as a success; all raise on a lost answer, and send what will be refused."""
    connect, change = CHANGES[name]
    client = connect(simulator)
    simulator.inject("html", executed=False)
    if name in {"ccxt", "connector"}:
        assert "Welcome to the lounge" in change(client, 10)
    else:
        with pytest.raises(Exception, match=r"Invalid Response|Expecting value"):
            change(client, 10)
    assert simulator.exchange.account.leverage("BTCUSDT") == 20
    simulator.inject("reset_after")
    with pytest.raises(Exception, match=r"(?i)connection aborted|network|POST"):
        change(client, 10)
    assert simulator.exchange.account.leverage("BTCUSDT") == 10
    sent = len(simulator.exchange.received)
    with pytest.raises(Exception, match="Exceeded the maximum allowable position"):
        change(client, 125)
    assert len(simulator.exchange.received) > sent
