"""Public Binance clients against the simulator: ``pytest -m clients`` with the extra 'clients'."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
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


@dataclass(frozen=True)
class MarginCalls:
    """How a client changes a margin type, adds (1) or reduces (2) margin of ETHUSDT, and reads the history of that."""

    switch: Callable[[Any, str, str], Any]
    move: Callable[[Any, float, int], Any]
    history: Callable[[Any], list[tuple[int, float]]]


def _ccxt_name(symbol: str) -> str:
    return f"{symbol.removesuffix('USDT')}/USDT:USDT"


def _moved(rows: list[dict[str, Any]]) -> list[tuple[int, float]]:
    return [(row["type"], float(row["amount"])) for row in rows]


def _sdk_switch(client: Any, symbol: str, margin_type: str) -> Any:
    name = "binance_sdk_derivatives_trading_usds_futures.rest_api.models"
    kind = pytest.importorskip(name, reason=WHY).ChangeMarginTypeMarginTypeEnum(margin_type)
    return client.change_margin_type(symbol=symbol, margin_type=kind).data()


ETH = "ETHUSDT"
MARGIN_CALLS = {
    "ccxt": MarginCalls(
        lambda client, symbol, margin_type: client.set_margin_mode(margin_type, _ccxt_name(symbol)),
        lambda client, amount, kind: [client.add_margin, client.reduce_margin][kind - 1](_ccxt_name(ETH), amount),
        lambda client: [
            (("add", "reduce").index(row["type"]) + 1, row["amount"])
            for row in client.fetch_margin_adjustment_history(_ccxt_name(ETH))
        ],
    ),
    "connector": MarginCalls(
        lambda client, symbol, margin_type: client.change_margin_type(symbol=symbol, marginType=margin_type),
        lambda client, amount, kind: client.modify_isolated_position_margin(symbol=ETH, amount=amount, type=kind),
        lambda client: _moved(client.get_position_margin_history(symbol=ETH)),
    ),
    "python-binance": MarginCalls(
        lambda client, symbol, margin_type: client.futures_change_margin_type(symbol=symbol, marginType=margin_type),
        lambda client, amount, kind: client.futures_change_position_margin(symbol=ETH, amount=amount, type=kind),
        lambda client: _moved(client.futures_position_margin_history(symbol=ETH)),
    ),
    "sdk": MarginCalls(
        _sdk_switch,
        lambda client, amount, kind: client.modify_isolated_position_margin(
            symbol=ETH, amount=amount, type=kind
        ).data(),
        lambda client: [
            (row.type, float(row.amount)) for row in client.get_position_margin_change_history(symbol=ETH).data()
        ],
    ),
}


@pytest.mark.parametrize("name", MARGIN_CALLS)
def test_margin_types_of_other_clients(simulator: Simulator, name: str) -> None:
    """Each client changes a margin type and back, and raises on each refusal."""
    client, calls = CHANGES[name][0](simulator), MARGIN_CALLS[name]
    for margin_type in ("ISOLATED", "CROSSED"):
        calls.switch(client, "BNBUSDT", margin_type)
        assert ("BNBUSDT" in simulator.exchange.account.isolated) == (margin_type == "ISOLATED")
    assert [run.kind for run in simulator.exchange.executed] == ["margin type"] * 2
    with pytest.raises(Exception, match="No need to change margin type"):
        calls.switch(client, "BNBUSDT", "CROSSED")
    with pytest.raises(Exception, match="if there exists open orders"):
        calls.switch(client, "SOLUSDT", "ISOLATED")
    with pytest.raises(Exception, match="if there exists position"):
        calls.switch(client, "BTCUSDT", "ISOLATED")


@pytest.mark.parametrize("name", MARGIN_CALLS)
def test_isolated_margin_of_other_clients(simulator: Simulator, name: str) -> None:
    """Each client adds and reduces isolated margin, reads the history, and raises on the refusals."""
    client, calls = CHANGES[name][0](simulator), MARGIN_CALLS[name]
    answers = [calls.move(client, 100.5, 1), calls.move(client, 40.25, 2)]
    amounts = [one.amount if name == "sdk" else one["amount"] for one in answers]
    assert amounts == [100.5, 40.25]
    short = next(one for one in simulator.exchange.account.positions if one.symbol == ETH)
    assert float(short.isolated_wallet) == 17_760.25
    assert calls.history(client) == [(1, 100.5), (2, -40.25)]
    with pytest.raises(Exception, match="Cross balance insufficient"):
        calls.move(client, 1_000_000, 1)
    with pytest.raises(Exception, match="Isolated balance insufficient"):
        calls.move(client, 17_000, 2)
    simulator.inject("reset_after")
    with pytest.raises(Exception, match=r"(?i)connection aborted|network|POST"):
        calls.move(client, 1, 1)
    assert float(short.isolated_wallet) == 17_761.25


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
