"""The contract run: is the testnet reachable, does each rule hold there, was everything restored; and the report.

It runs on the testnet's own addresses, or on servers of this machine, and nowhere else. The report can be published: it
contains no key, signature, listen key, IP address, balance, position or account alias.
"""

from __future__ import annotations

import html
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from leverage_nb import __version__
from leverage_nb.binance.error_codes import CODES
from leverage_nb.binance.venues import VENUES, is_loopback
from leverage_nb.errors import InvalidInput
from tests.contract.comparison import Comparison, NotChecked, shortened
from tests.contract.exchange import ExchangeUnderTest
from tests.contract.rules import RULES, Rule
from tests.contract.scenarios import Scenario

Verdict = Literal["confirmed", "contradicted", "not decided"]

# The testnet's second address: both are one back end, according to public reports.
SECOND_ADDRESS = "https://testnet.binancefuture.com"
# A larger difference of the clocks, in milliseconds, makes the other checks meaningless.
MOST_CLOCK_OFFSET = 60_000


class NoAccess(Exception):
    """The run cannot start; the text says why, and what to do."""


@dataclass(frozen=True)
class Result:
    """What the run has shown of a rule, in words that can be published."""

    verdict: Verdict
    evidence: str
    failed: bool = False


def open_testnet(given: Mapping[str, str], patience: float) -> ExchangeUnderTest:
    """Return the testnet for the key that the environment names.

    Args:
        given: The environment. ``LEVERAGE_NB_TESTNET_API_KEY`` and ``_API_SECRET`` are required; ``_REST_URL``,
            ``_STREAM_URL`` and ``_OTHER_URL`` name servers of this machine, for tests.
        patience: Seconds within which an event must arrive.

    Raises:
        NoAccess: A key is missing, or an address is neither the testnet's nor of this machine.
    """
    named = {name: given.get(f"LEVERAGE_NB_TESTNET_{name}", "").strip() for name in (
        "API_KEY", "API_SECRET", "REST_URL", "STREAM_URL", "OTHER_URL",
    )}  # fmt: skip
    if not (named["API_KEY"] and named["API_SECRET"]):
        raise NoAccess(
            "There is no key. Set LEVERAGE_NB_TESTNET_API_KEY and LEVERAGE_NB_TESTNET_API_SECRET to an HMAC key of "
            f"the testnet. {VENUES['testnet'].where_keys_come_from}"
        )
    venue, other = VENUES["testnet"], named["OTHER_URL"] or ("" if named["REST_URL"] else SECOND_ADDRESS)
    try:
        venue = venue.at(named["REST_URL"]) if named["REST_URL"] else venue
        venue = venue.with_stream(named["STREAM_URL"]) if named["STREAM_URL"] else venue
        second = venue.at(other) if other else venue
    except InvalidInput as exc:
        raise NoAccess(f"An address cannot be used. {exc}") from None
    local = is_loopback(venue.rest_url) and is_loopback(venue.stream_url) and is_loopback(second.rest_url)
    if not (local or (venue.verified and second.verified)):
        raise NoAccess(
            "An address is neither the testnet's own nor one of this machine. The contract run changes leverages: it "
            "runs on the testnet only. Unset LEVERAGE_NB_TESTNET_REST_URL and LEVERAGE_NB_TESTNET_STREAM_URL."
        )
    keys = (named["API_KEY"], named["API_SECRET"])
    return ExchangeUnderTest("testnet", venue.rest_url, venue.stream_url, *keys, other_url=other, patience=patience)


@dataclass
class _Done:
    """A scenario that has run: what it compared, and why it ended early."""

    found: Comparison
    ended: str = "the run ended before"
    failed: bool = False


class ContractRun:
    """One run of all scenarios on one exchange, and its report.

    Args:
        exchange: The exchange.

    Attributes:
        exchange: The exchange.
        access: What the checks before the first change have found.
        stopped: Why the run ended before its time; "" otherwise.
    """

    def __init__(self, exchange: ExchangeUnderTest) -> None:
        self.exchange = exchange
        self.access: list[str] = []
        self.stopped = ""
        self._done: dict[str, _Done] = {}
        self._began = time.monotonic()

    def check_access(self) -> None:
        """Check address, clock, key, permissions and reads, without changing anything.

        Raises:
            NoAccess: The run cannot start.
        """
        try:
            self._check_access()
        except AssertionError as exc:  # no answer, or a read that was refused
            self.stopped = f"{self.where} cannot be used: {exc}. Check the network, the address and the key."
        except NoAccess as exc:
            self.stopped = str(exc)
        if self.stopped:
            raise NoAccess(self.exchange.public(self.stopped))

    def _check_access(self) -> None:
        reply = self.exchange.call("GET", "/fapi/v1/time", security="none")
        server_time = reply.content.get("serverTime") if isinstance(reply.content, dict) else None
        if reply.status != 200 or not isinstance(server_time, int):
            raise NoAccess(
                f"{self.where} does not answer like Binance: {reply.request} was answered with HTTP {reply.status} "
                f"{'without a serverTime' if reply.status == 200 else ''}. Check the network, a proxy and the address."
            )
        offset = server_time - time.time_ns() // 1_000_000
        if abs(offset) > MOST_CLOCK_OFFSET:
            raise NoAccess(f"This machine's clock differs from the exchange's by {offset / 1000:.0f} s. Set it first.")
        self.access.append(f"clock: within {max(1, round(abs(offset) / 1000))} s of the exchange's")
        reply = self.exchange.call("GET", "/fapi/v1/accountConfig")
        if reply.status != 200 or not isinstance(reply.content, dict):
            meant = CODES.get(reply.code)
            words = f"{meant.meaning} {meant.advice}" if meant else "Check the key, and whether Futures is enabled."
            raise NoAccess(f"The key was not accepted (HTTP {reply.status}, code {reply.code}). {words}")
        if reply.content.get("canTrade") is False:
            raise NoAccess("The account may not trade, so it cannot change a leverage. Enable Futures for the key.")
        modes = [name for name in ("dualSidePosition", "multiAssetsMargin") if reply.content.get(name)]
        self.access.append(f"key: accepted, may trade; modes: {', '.join(modes) or 'one-way, single-asset'}")
        settings, tiers = self.exchange.settings(), self.exchange.tiers()
        unset = sum(1 for row in settings.values() if row.get("leverage") == 0)
        self.access.append(f"symbols: {len(settings)} settings ({unset} not set), {len(tiers)} with tiers")
        if not settings or not tiers:
            raise NoAccess("The exchange lists no symbols for this account. Open its Futures account first.")

    @property
    def where(self) -> str:
        """The exchange, in words that can be published."""
        host = urlsplit(self.exchange.rest_url).hostname or ""
        return "A server of this machine" if is_loopback(self.exchange.rest_url) else f"Binance's testnet ({host})"

    def run(self, scenario: Scenario) -> Result:
        """Run a scenario, and return its result for all its rules together."""
        done = self._done[scenario.name] = _Done(Comparison())
        try:
            scenario.check(self.exchange, done.found)
            done.ended = ""
        except NotChecked as exc:
            done.ended = f"it needs {exc}"
        except AssertionError as exc:
            done.ended, done.failed = f"the check failed: {exc}".splitlines()[0], True
        except Exception as exc:  # noqa: BLE001 - its text and frames may contain a key
            done.ended, done.failed = f"the check failed: {type(exc).__name__}", True
        return self._result(done, done.found.compared, done.found.mismatches)

    def of_rule(self, rule: Rule) -> Result:
        """Return what the run has shown of a rule."""
        if not rule.scenario:
            return Result("not decided", rule.why_not)
        done = self._done.get(rule.scenario)
        if done is None:
            return Result("not decided", "the run ended before")
        return self._result(done, *done.found.differences_of(rule.id))

    def _result(self, done: _Done, compared: int, mismatches: list[str]) -> Result:
        verdict: Verdict = "not decided"
        if mismatches:
            verdict = "contradicted"
        elif compared and not done.ended:
            verdict = "confirmed"
        count = f"{compared} comparison{'s' * (compared > 1)}" if verdict == "confirmed" else ""
        evidence = "; ".join(filter(None, [*shortened(mismatches), done.ended, count, *done.found.notes]))
        return Result(verdict, self.exchange.public(evidence), done.failed)

    def report(self) -> str:
        """Return the report, in Markdown."""
        results = [(rule, self.of_rule(rule)) for rule in RULES]
        counts = {verdict: [pair for pair in results if pair[1].verdict == verdict] for verdict in _VERDICTS}
        versions = f"leverage_nb {__version__}, Python {platform.python_version()}"
        took = f"{time.monotonic() - self._began:.0f} s"
        lines = [
            f"# Contract run: {', '.join(f'{len(pairs)} {verdict}' for verdict, pairs in counts.items())}",
            "",
            f"{self.where}, {datetime.now(tz=UTC):%Y-%m-%d %H:%M} UTC, {took}, {versions}",
            "",
            *(f"* {line}" for line in self.access),
            *([f"* **The run stopped:** {self.stopped}"] if self.stopped else []),
            *(f"* **Left changed:** {symbol} {why}" for symbol, why in self.exchange.left.items()),
            *([] if self.exchange.left else ["* Every leverage, margin type and isolated margin is what it was."]),
        ]
        for verdict, pairs in counts.items():
            lines += ["", f"## {verdict.capitalize()}", "", "| rule | certainty before | evidence |", "|---|---|---|"]
            for rule, result in pairs:
                evidence = html.escape(" ".join(result.evidence.split()), quote=False).replace("|", "\\|")
                lines.append(f"| **{rule.id}**: {rule.rule} | {rule.certainty} | {evidence} |")
        return self.exchange.public("\n".join(lines) + "\n")

    def finish(self, path: Path) -> None:
        """Restore what is left to restore, and write the report."""
        self.exchange.restore_all()
        path.write_text(self.report(), encoding="utf-8")


_VERDICTS: tuple[Verdict, ...] = ("contradicted", "confirmed", "not decided")
