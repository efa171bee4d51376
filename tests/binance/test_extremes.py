"""Figures of the exchange at the ends of their bounds: showing them raises no exception but the package's own."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leverage_nb.binance import reader
from leverage_nb.binance.client import Reply
from leverage_nb.binance.endpoints import Endpoint
from leverage_nb.binance.venues import VENUES
from leverage_nb.changes.preview import make_preview
from leverage_nb.errors import LeverageError
from leverage_nb.notebook.overview import Overview
from leverage_nb.risk.account_state import find_misfits
from leverage_nb.risk.ladder import make_ladder
from leverage_nb.risk.outlook import Outlook
from leverage_nb.risk.tables import positions_table, settings_table

NOW = datetime(2026, 11, 22, tzinfo=UTC)
ENDS = [0.0, 5e-324, 1e-300, 1e-8, 0.1, 1.0, 1e8, 1e15, 1e29, 1e30]
FIGURES = st.one_of(st.sampled_from([*ENDS, *(-x for x in ENDS)]), st.floats(-1e30, 1e30))
# Sometimes values out of bounds.
WILD = st.sampled_from(["nan", "inf", "-inf", 1e31, -1e308, 10**400, None, "x", True, [], {}])
# Sometimes names that no exchange has.
ODD = st.sampled_from(["A\n", "$A$", "<b>", "", None, 5, [], "A" * 99])
NUMBERS = st.integers(0, 199).flatmap(lambda turn: WILD if turn == 150 else FIGURES)
LEVERAGES = st.one_of(st.sampled_from([0, 1, 2, 125, 150, 10_000, 100_000]), st.integers(0, 100_000))
SYMBOLS = ("A", "B")


@st.composite
def tiers(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Draw consistent tiers of any size."""
    count = draw(st.integers(1, 4))
    leverages = sorted(draw(st.sets(st.integers(1, 40), min_size=count, max_size=count)), reverse=True)
    scale = draw(st.sampled_from([1e-8, 1.0, 1e5, 1e12, 1e28]))
    rows, floor, cum, before = [], 0.0, 0.0, 0.0
    for place, leverage in enumerate(leverages):
        rate = 0.005 * (place + 1)
        cum += floor * (rate - before) if place else 0.0
        cap = scale * 4**place
        rows.append(
            {
                "initialLeverage": leverage,
                "notionalFloor": floor,
                "notionalCap": cap,
                "maintMarginRatio": rate,
                "cum": cum,
            }
        )
        floor, before = cap, rate
    if draw(st.integers(0, 9)) == 0:
        draw(st.sampled_from(rows))[draw(st.sampled_from(sorted(rows[0])))] = draw(NUMBERS)
    return rows


@st.composite
def odd_names(draw: st.DrawFn) -> list[Any]:
    """Draw no odd name, or, sometimes, one."""
    return [draw(ODD)] if draw(st.integers(0, 9)) == 0 else []


@st.composite
def answers(draw: st.DrawFn) -> dict[str, Any]:
    """Draw the exchange's answers to all reads of one account, by path."""

    def figures(*names: str) -> dict[str, Any]:
        return {name: draw(NUMBERS) for name in names}

    odd = ODD if draw(st.integers(0, 9)) == 0 else st.nothing()
    margin = ("walletBalance", "unrealizedProfit", "crossWalletBalance", "crossUnPnl", "initialMargin", "maintMargin")
    return {
        "/fapi/v1/leverageBracket": [{"symbol": name, "brackets": draw(tiers())} for name in SYMBOLS],
        "/fapi/v1/symbolConfig": [
            {
                "symbol": name,
                "marginType": draw(st.sampled_from(["CROSSED", "ISOLATED", "NEW"])),
                "leverage": draw(LEVERAGES),
                "maxNotionalValue": draw(st.none() | FIGURES | WILD),
            }
            for name in (*SYMBOLS, *draw(odd_names()))
        ],
        "/fapi/v3/positionRisk": [
            {
                "symbol": draw(st.sampled_from(SYMBOLS) | odd),
                "positionSide": draw(st.sampled_from(["BOTH", "LONG", "SHORT"])),
                "marginAsset": "USDT",
                **figures(
                    "positionAmt", "entryPrice", "markPrice", "unRealizedProfit", "liquidationPrice", "notional",
                    "isolatedWallet", "bidNotional", "askNotional", "positionInitialMargin", "openOrderInitialMargin",
                    "maintMargin",
                ),
            }
            for _ in range(draw(st.integers(0, 2)))
        ],
        "/fapi/v3/account": {
            "assets": [
                {"asset": name, **figures(*margin, "availableBalance")} for name in ("USDT", *draw(odd_names()))
            ]
        },
        "/fapi/v1/accountConfig": {"dualSidePosition": draw(st.booleans()), "multiAssetsMargin": draw(st.booleans())},
        "/fapi/v1/assetIndex": [{"symbol": "USDTUSD", **figures("bidRate", "askRate")}],
        "/fapi/v1/premiumIndex": {"symbol": "A", "markPrice": draw(NUMBERS)},
    }  # fmt: skip


class Recorded:
    """A client with prepared answers."""

    account = "key 1a2b3c4d"
    venue = VENUES["testnet"]

    def __init__(self, prepared: dict[str, Any]) -> None:
        self._prepared = prepared

    def read(self, endpoint: Endpoint, *_: Any, **__: Any) -> bytes:
        return json.dumps(self._prepared[endpoint.path]).encode()

    def read_reply(self, endpoint: Endpoint, *_: Any, **__: Any) -> Reply:
        return Reply(self.read(endpoint), NOW, 0.0)

    def source(self, endpoint: Endpoint) -> str:
        return str(endpoint)


def show(client: Any, leverage: int) -> None:
    """Decode all answers and show them in every form."""
    table = reader.read_brackets(client)
    table.to_frame().to_html()
    assert all(math.isfinite(tiers.last_cap) for tiers in table.values())
    state = reader.read_state(client, lambda: reader.Listing(dict.fromkeys(SYMBOLS, "USDT"), {}))
    positions_table(state).to_html()
    Overview("testnet", "key 1a2b3c4d", state, NOW).card().html()
    find_misfits(state, table)
    for symbol in (name for name in SYMBOLS if name in table and name in state.settings):
        settings_table(state, table, [symbol]).to_html()
        if state.why_unknown(symbol):
            continue  # it is an error to show it
        outlook = Outlook(state, table[symbol])
        outlook.to_frame().to_html()
        chosen = min(leverage, table[symbol].symbol_max_leverage)
        preview = make_preview(outlook, state, chosen, lambda *_: None, lambda: None)  # type: ignore[arg-type,return-value]  # nothing is sent
        preview.card().html()
        repr(preview)
        outlook.caution(chosen)
        state.with_leverage(symbol, chosen)
        with suppress(LeverageError):  # possibly no leverage fits
            outlook.highest()
        with suppress(LeverageError):  # a mark of 0 or below is refused
            make_ladder(table[symbol], 100.0, reader.read_mark_price(client, "A")).to_html()


def show_many(examples: int, *, alike: bool) -> None:
    """Show random answers; ``alike``: the same ones at each run."""

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=alike,
        suppress_health_check=list(HealthCheck),
    )
    @given(answers(), st.integers(1, 300))
    def check(prepared: dict[str, Any], leverage: int) -> None:
        with suppress(LeverageError):
            show(Recorded(prepared), leverage)

    check()


def test_no_figure_of_the_exchange_raises_a_bare_exception() -> None:
    """Either an answer raises an error of the package, or everything computed from it can be shown."""
    show_many(40, alike=True)


@pytest.mark.proof
def test_no_figure_of_many_raises_a_bare_exception() -> None:
    """The same for 2,000 random answers."""
    show_many(2000, alike=False)
