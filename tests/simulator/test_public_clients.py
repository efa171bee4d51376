"""Other people's Binance clients, pointed at the simulator: ``pytest -m clients`` with the extra 'clients'."""

from __future__ import annotations

from typing import Any

import pytest

from leverage_nb.simulator import Simulator

pytestmark = pytest.mark.clients


def test_ccxt(simulator: Simulator) -> None:
    """Through ccxt: it loads markets, positions and tiers, sets leverage, and maps a refusal to its own error."""
    ccxt = pytest.importorskip("ccxt", reason="needs the extra 'clients'")
    client = ccxt.binanceusdm({"apiKey": simulator.api_key, "secret": simulator.api_secret})
    client.options["fetchCurrencies"] = False  # that one asks /sapi, which futures do not have
    client.urls["api"] = {
        name: url.replace("https://fapi.binance.com", simulator.rest_url) for name, url in client.urls["api"].items()
    }
    client.load_markets()
    assert len(client.symbols) == 11
    assert client.set_leverage(10, "BTC/USDT:USDT") == {
        "leverage": 10, "maxNotionalValue": "230000000", "symbol": "BTCUSDT",
    }  # fmt: skip
    tiers = client.fetch_leverage_tiers(["BTC/USDT:USDT"])["BTC/USDT:USDT"]
    assert (tiers[0]["maxLeverage"], tiers[0]["maxNotional"]) == (150, 300_000)
    assert {row["symbol"] for row in client.fetch_positions()} == {"BTC/USDT:USDT", "ETH/USDT:USDT"}
    assert client.fetch_balance()["USDT"]["total"] == 100_000 + 12_062.5 + 8_256  # wallet and profits
    with pytest.raises(ccxt.ExchangeError, match="-4161"):
        client.set_leverage(5, "ETH/USDT:USDT")


def test_python_binance(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """python-binance sets leverage, also of a non-ASCII symbol, reads brackets, and raises on a refusal."""
    module = pytest.importorskip("binance.client", reason="needs the extra 'clients'")
    monkeypatch.setattr(module.Client, "FUTURES_URL", f"{simulator.rest_url}/fapi")
    client = module.Client(simulator.api_key, simulator.api_secret, ping=False)
    assert client.futures_change_leverage(symbol="BTCUSDT", leverage=10)["leverage"] == 10
    assert client.futures_change_leverage(symbol="哈基米USDT", leverage=2)["leverage"] == 2
    assert len(client.futures_leverage_bracket()) == 11
    with pytest.raises(Exception, match="2027"):
        client.futures_change_leverage(symbol="BTCUSDT", leverage=125)


def test_official_connector(simulator: Simulator) -> None:
    """binance-futures-connector sets leverage, reads brackets and positions, and raises on a refusal."""
    module = pytest.importorskip("binance.um_futures", reason="needs the extra 'clients'")
    client = module.UMFutures(key=simulator.api_key, secret=simulator.api_secret, base_url=simulator.rest_url)
    assert client.change_leverage(symbol="BTCUSDT", leverage=10)["maxNotionalValue"] == "230000000"
    assert len(client.leverage_brackets()) == 11
    assert client.leverage_brackets(symbol="BTCUSDT")["brackets"][0]["initialLeverage"] == 150
    with pytest.raises(Exception, match="2028"):
        client.change_leverage(symbol="BTCUSDT", leverage=1)


def test_official_sdk(simulator: Simulator) -> None:
    """The official SDK sets leverage, reads brackets with and without symbol, and raises on a refusal."""
    common = pytest.importorskip("binance_common.configuration", reason="needs the extra 'clients'")
    sdk: Any = pytest.importorskip("binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures")
    configuration = common.ConfigurationRestAPI(
        api_key=simulator.api_key, api_secret=simulator.api_secret, base_path=simulator.rest_url
    )
    client = sdk.DerivativesTradingUsdsFutures(config_rest_api=configuration).rest_api
    answer = client.change_initial_leverage(symbol="BTCUSDT", leverage=10).data()
    assert (answer.symbol, answer.leverage, answer.max_notional_value) == ("BTCUSDT", 10, "230000000")
    assert client.notional_and_leverage_brackets(symbol="BTCUSDT").data() is not None
    assert client.notional_and_leverage_brackets().data() is not None
    with pytest.raises(Exception, match="Isolated Margin Mode"):
        client.change_initial_leverage(symbol="ETHUSDT", leverage=5)


def _ask_ccxt(simulator: Simulator) -> Any:
    ccxt = pytest.importorskip("ccxt", reason="needs the extra 'clients'")
    client = ccxt.binanceusdm({"apiKey": simulator.api_key, "secret": simulator.api_secret})
    client.options["fetchCurrencies"] = False
    client.urls["api"] = {
        name: url.replace("https://fapi.binance.com", simulator.rest_url) for name, url in client.urls["api"].items()
    }
    client.load_markets()
    return lambda leverage: client.set_leverage(leverage, "BTC/USDT:USDT")


def _ask_connector(simulator: Simulator) -> Any:
    module = pytest.importorskip("binance.um_futures", reason="needs the extra 'clients'")
    client = module.UMFutures(key=simulator.api_key, secret=simulator.api_secret, base_url=simulator.rest_url)
    return lambda leverage: client.change_leverage(symbol="BTCUSDT", leverage=leverage)


def _ask_python_binance(simulator: Simulator) -> Any:
    module = pytest.importorskip("binance.client", reason="needs the extra 'clients'")
    client = module.Client(simulator.api_key, simulator.api_secret, ping=False)
    client.FUTURES_URL = f"{simulator.rest_url}/fapi"
    return lambda leverage: client.futures_change_leverage(symbol="BTCUSDT", leverage=leverage)


def _ask_sdk(simulator: Simulator) -> Any:
    common = pytest.importorskip("binance_common.configuration", reason="needs the extra 'clients'")
    sdk: Any = pytest.importorskip("binance_sdk_derivatives_trading_usds_futures.derivatives_trading_usds_futures")
    configuration = common.ConfigurationRestAPI(
        api_key=simulator.api_key, api_secret=simulator.api_secret, base_path=simulator.rest_url
    )
    client = sdk.DerivativesTradingUsdsFutures(config_rest_api=configuration).rest_api
    return lambda leverage: client.change_initial_leverage(symbol="BTCUSDT", leverage=leverage).data()


@pytest.mark.parametrize(
    ("connect", "takes_a_page"),
    [(_ask_ccxt, True), (_ask_connector, True), (_ask_python_binance, False), (_ask_sdk, False)],
)
@pytest.mark.filterwarnings("ignore")
def test_what_the_readme_says_of_other_clients(simulator: Simulator, connect: Any, takes_a_page: bool) -> None:
    """Which clients return a login page like a success; that all leave a lost answer open, and refusals until after."""
    change = connect(simulator)
    simulator.inject("html", executed=False)
    if takes_a_page:
        assert "Welcome to the lounge" in change(10)
    else:
        with pytest.raises(Exception, match=r"Invalid Response|Expecting value"):
            change(10)
    assert simulator.exchange.account.leverage("BTCUSDT") == 20
    simulator.inject("reset_after")
    with pytest.raises(Exception, match=r"(?i)connection aborted|network|POST"):
        change(10)
    assert simulator.exchange.account.leverage("BTCUSDT") == 10
    sent = len(simulator.exchange.received)
    with pytest.raises(Exception, match="Exceeded the maximum allowable position"):
        change(125)
    assert len(simulator.exchange.received) > sent
