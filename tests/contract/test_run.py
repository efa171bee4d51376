"""The contract run as its user runs it, against an exchange that shares no code with client and simulator."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from leverage_nb.simulator import Simulator
from tests.conftest import ROOT
from tests.contract.exchange import ExchangeUnderTest
from tests.contract.run import ContractRun, NoAccess, open_testnet
from tests.foreign.exchange import CHANGE, CONFIG, TIME, ForeignExchange, serving
from tests.foreign.wire import Reply

# To 1x, as the tiers of every symbol of Binance.
TIERS = ((125, 100_000, 0.004), (50, 1_000_000, 0.01), (20, 10_000_000, 0.05), (1, 20_000_000, 0.1))
# An isolated long of 1 ETH at 50,000 with 5,000 in its wallet, in the first tier: liquidation at 45,000 / 0.996.
POSITION = {
    "symbol": "ETHUSDT", "positionSide": "BOTH", "positionAmt": "1.000", "entryPrice": "50000.0",
    "notional": "50123.45", "markPrice": "50123.45000000", "unRealizedProfit": "123.45000000",
    "liquidationPrice": "45180.72289157", "isolatedWallet": "5000.00000000", "isolatedMargin": "5123.45000000",
    "marginAsset": "USDT", "bidNotional": "0",
    "askNotional": "0", "positionInitialMargin": "5012.34500000", "openOrderInitialMargin": "0",
    "initialMargin": "5012.34500000", "maintMargin": "200.49380000", "updateTime": 1,
}  # fmt: skip


@pytest.fixture
def exchange() -> Iterator[ForeignExchange]:
    """Hundreds of symbols whose leverage is not set, a few with one, an isolated position; one form of the stream."""
    with serving(extra=300) as running:
        for symbol in running.leverages:
            running.tiers[symbol] = TIERS
            if symbol not in {"BTCUSDT", "ETHUSDT", "SOLUSDT"}:
                running.leverages[symbol] = 0
        running.positions = [POSITION]
        running.weights = {CONFIG: 5, "GET /fapi/v1/accountConfig": 5}
        running.sends_events, running.silent_forms = True, {"path", "events"}
        yield running


def command(report: Path, *more: str) -> list[str]:
    """Return the command of the user, with a shorter wait for events."""
    options = ["--contract-report", str(report), "--contract-patience", "1", "-p", "no:cacheprovider"]
    return [sys.executable, "-m", "pytest", "-m", "testnet", "tests/contract", *options, *more]


def environment(exchange: ForeignExchange | Simulator, rest_url: str, stream_url: str, **more: str) -> dict[str, str]:
    """Return this environment with the key and the addresses of an exchange."""
    given = {
        "API_KEY": exchange.api_key, "API_SECRET": exchange.api_secret, "REST_URL": rest_url, "STREAM_URL": stream_url,
        **more,
    }  # fmt: skip
    return {**os.environ, **{f"LEVERAGE_NB_TESTNET_{name}": value for name, value in given.items()}}


def of(exchange: ForeignExchange) -> dict[str, str]:
    """Return the environment for the foreign exchange with both of its addresses."""
    return environment(exchange, exchange.url, exchange.stream_url(), OTHER_URL=exchange.other_url)


def rules_under(report: str, heading: str) -> dict[str, str]:
    """Return the rules under a heading of a report: id and line."""
    section = report.split(f"## {heading}\n")[1].split("\n## ")[0]
    return {line.split("**")[1]: line for line in section.splitlines() if line.startswith("| **")}


@pytest.mark.thorough
def test_the_whole_run_and_its_report(exchange: ForeignExchange, tmp_path: Path) -> None:
    """A run finds the rule that is broken, confirms the others, restores all it can, and its report tells no secret."""

    def as_text(answer: Any) -> Any:
        return {**answer, "leverage": str(answer["leverage"])} if "leverage" in answer else answer

    exchange.play(CHANGE, edit=as_text, times=None)
    exchange.balance[0]["balance"] = "98765.43210000"
    before = dict(exchange.leverages)
    path = tmp_path / "report.md"
    done = subprocess.run(
        command(path, "--showlocals", "--tb=long"),
        cwd=ROOT, env=of(exchange), capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    report = path.read_text(encoding="utf-8")
    assert f"attached to an issue: {path}" in done.stdout, done.stdout[-3000:]

    contradicted, confirmed = rules_under(report, "Contradicted"), rules_under(report, "Confirmed")
    undecided = rules_under(report, "Not decided")
    assert set(contradicted) == {"change-answer"}, contradicted
    assert "type of leverage expected int, seen decimal" in contradicted["change-answer"]
    assert confirmed.keys() >= {
        "any-integer", "timestamp-window", "max-notional", "not-set-is-zero", "stream-forms", "change-event",
        "wrong-listen-key", "unchanged-event", "request-weights", "one-account-two-addresses",
        "isolated-liquidation", "isolated-raised",
        "margin-type-answer", "margin-type-event", "margin-type-position", "isolated-margin-answer",
        "isolated-margin-liquidation", "isolated-margin-event", "margin-without-position", "margin-beyond-balance",
        "margin-beyond-wallet", "margin-most-reduced", "margin-history-form", "margin-history-order",
        "isolated-not-lowered", "read-after-write", "initial-margin", "tiers-join", "cum-recurrence",
    }  # fmt: skip
    assert "/private/ws?listenKey=KEY: delivered" in confirmed["stream-forms"]
    assert "/private/ws/KEY: silent" in confirmed["stream-forms"]
    assert "300 symbols answer 0" in confirmed["not-set-is-zero"]
    assert undecided.keys() >= {"margin-too-small", "multi-assets", "unknown-503", "notional-coef"}
    assert "it needs an account in multi-assets mode" in undecided["multi-assets"]

    changed = {symbol: leverage for symbol, leverage in exchange.leverages.items() if leverage != before[symbol]}
    assert changed == {"ETHUSDT": 11}, "an isolated position cannot be lowered again"
    assert "**Left changed:** ETHUSDT is at 11x, it was at 10x" in report
    printed = done.stdout + done.stderr
    for secret in (exchange.api_key, exchange.api_secret, exchange.listen_key):
        assert secret not in report + printed
    for private in ("SgsR", "98765.43", "100000.0", "50123.45", "5012.345", "45180.72", "127.0.0.1"):
        assert private not in report, private
    assert not re.search("signature=[0-9a-f]{8}", report + printed)


@pytest.mark.thorough
@pytest.mark.skipif(os.name == "nt", reason="Windows sends no signals")
def test_an_interrupted_run_restores_and_reports(exchange: ForeignExchange, tmp_path: Path) -> None:
    """After Ctrl-C in the middle of a change the leverage is restored, and the report says what was not decided."""
    path = tmp_path / "report.md"
    running = subprocess.Popen(
        command(path), cwd=ROOT, env=of(exchange), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    changes = (arrived for arrived in range(1_000_000))

    def interrupt() -> None:
        if next(changes) == 0:
            threading.Timer(0.2, running.send_signal, [signal.SIGINT]).start()

    # Executed, and answered only after the interrupt.
    exchange.play(CHANGE, then=interrupt, delay=2.0, when=lambda one: one.leverage not in {0, 10} and one.leverage < 99)
    output, _ = running.communicate(timeout=60)
    report = path.read_text(encoding="utf-8")
    assert "KeyboardInterrupt" in output, output[-2000:]
    assert exchange.leverages["BTCUSDT"] == 10
    assert "Every leverage, margin type and isolated margin is what it was." in report
    assert "the run ended before" in rules_under(report, "Not decided")["multi-assets"]
    assert "server-time" in rules_under(report, "Confirmed")


def test_a_symbol_that_is_not_set_gets_the_default_and_is_named(exchange: ForeignExchange) -> None:
    """If no free symbol has a leverage, one that is not set is used, left at Binance's default, and named."""
    exchange.leverages.update(dict.fromkeys(exchange.leverages, 0))
    exchange.positions = []
    under_test = open_testnet(of(exchange), 1.0)
    run = ContractRun(under_test)
    with under_test.restored("S001USDT") as before:
        assert before == 20
        under_test.set_leverage("S001USDT", 5)
    assert exchange.leverages["S001USDT"] == 20
    assert "**Left changed:** S001USDT is at 20x, Binance's default: it was not set (0)" in run.report()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"API_KEY": ""}, "There is no key"),
        ({"REST_URL": "https://fapi.binance.com"}, "is the mainnet"),
        ({"REST_URL": "https://gateway.example.com"}, "testnet only"),
        ({"STREAM_URL": "wss://fstream.binance.com"}, "is the mainnet"),
        ({"STREAM_URL": "wss://gateway.example.com"}, "testnet only"),
        ({"OTHER_URL": "https://fapi.binance.com"}, "is the mainnet"),
        ({"OTHER_URL": "https://gateway.example.com"}, "testnet only"),
    ],
)
def test_it_runs_on_the_testnet_only(given: dict[str, str], words: str) -> None:
    """Without a key, and for an address that is neither the testnet's nor of this machine, nothing is sent."""
    keys = {"LEVERAGE_NB_TESTNET_API_KEY": "k", "LEVERAGE_NB_TESTNET_API_SECRET": "s"}
    with pytest.raises(NoAccess, match=words):
        open_testnet(keys | {f"LEVERAGE_NB_TESTNET_{name}": value for name, value in given.items()}, 1.0)
    own = open_testnet(keys, 1.0)
    assert own.rest_url == "https://demo-fapi.binance.com"
    assert own.other_url == "https://testnet.binancefuture.com"


@pytest.mark.parametrize(
    ("endpoint", "answer", "words"),
    [
        (TIME, Reply.html(403), "does not answer like Binance"),
        (TIME, Reply.of({"serverTime": 1}), "Set it first"),
        (
            "GET /fapi/v1/accountConfig",
            Reply.error(401, -2015, "request ip: 203.0.113.7"),
            "another venue",
        ),
        ("GET /fapi/v1/accountConfig", Reply.of({"canTrade": False}), "Enable Futures"),
        (CONFIG, Reply.of([]), "lists no symbols"),
        (CONFIG, Reply.html(502), "HTTP 502"),
        (CONFIG, Reply(ending="reset"), "no answer"),
    ],
)
def test_it_stops_before_the_first_change(exchange: ForeignExchange, endpoint: str, answer: Reply, words: str) -> None:
    """If clock, key, permissions or address do not fit, the run ends with an explanation, and nothing was changed."""
    exchange.play(endpoint, answer=answer, times=None)
    run = ContractRun(open_testnet(of(exchange), 1.0))
    with pytest.raises(NoAccess, match=words):
        run.check_access()
    assert exchange.changes_sent() == []
    report = run.report()
    assert "The run stopped" in report
    assert "203.0.113.7" not in report


@pytest.mark.thorough
def test_a_failed_run_prints_no_key(tmp_path: Path) -> None:
    """The output of failed tests contains neither key nor signature, even with pytest's most verbose options."""
    with Simulator() as simulator:
        for request in ("GET /fapi/v3/account", "PUT /fapi/v1/listenKey", "GET /fapi/v1/premiumIndex"):
            simulator.inject("reset_before", on=request, times=None)
        given = environment(simulator, simulator.rest_url, "ws://127.0.0.1:1")  # a closed port
        chosen = "account_and_balance or keeps_the_contract[listen_key] or mark_price or a_change_sends_an_event"
        done = subprocess.run(
            command(tmp_path / "report.md", "-k", chosen, "--showlocals", "--tb=long"),
            cwd=ROOT, env=given, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        listen_key = simulator.exchange.listen_key
    assert "3 failed, 1 skipped" in done.stdout, done.stdout[-2000:]
    printed = done.stdout + done.stderr + (tmp_path / "report.md").read_text(encoding="utf-8")
    for secret in (simulator.api_key, simulator.api_secret, listen_key):
        assert secret not in printed
    assert not re.search("signature=[0-9a-f]{8}", printed)


def test_no_figure_of_the_account_is_public() -> None:
    """What an answer says of the account is hidden in a text, in whatever form a comparison repeats it."""
    exchange = ExchangeUnderTest("testnet", "http://127.0.0.1:1", "ws://127.0.0.1:1", "k" * 64, "s" * 64)
    exchange.confidential.update({"1234.50", "SgsR"})
    text = "SgsR holds -1234.50 at 203.0.113.7 or 2001:db8:1:2:3:4:5:6, signed " + "ab" * 32
    assert exchange.public(text) == "(hidden) holds -(hidden) at (hidden) or (hidden), signed (hidden)"
