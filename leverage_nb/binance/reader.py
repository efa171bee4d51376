"""Typed reads: tiers, settings, account state. Independent reads are sent at the same time."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from operator import attrgetter
from typing import Any, NamedTuple

from leverage_nb import interrupts
from leverage_nb.binance import endpoints, messages
from leverage_nb.binance.client import Parameters, Reply, RestClient
from leverage_nb.binance.endpoints import Endpoint
from leverage_nb.errors import RateLimited, RequestRefused, UnexpectedAnswer
from leverage_nb.risk.account_state import AccountState, Balance, LeverageSetting, Position
from leverage_nb.risk.bracket_checks import COLUMNS, find_flaw
from leverage_nb.risk.brackets import Brackets, BracketTable, sort_rows
from leverage_nb.risk.collateral import AssetRate
from leverage_nb.risk.isolated_margin import IsolatedMargin, isolated_margin_of


def read_brackets(client: RestClient, symbol: str | None = None) -> BracketTable:
    """Read the tiers of one symbol, or of all symbols.

    Raises:
        UnexpectedAnswer: The answer has no usable tiers of the symbol.
    """
    body = client.read(endpoints.LEVERAGE_BRACKET, [("symbol", symbol)] if symbol else [])
    source = client.source(endpoints.LEVERAGE_BRACKET)
    rows, skipped = messages.decode_brackets(body, source)
    if symbol:
        rows = [row for row in rows if row.symbol == symbol]  # a gateway may drop the parameter
    table = make_bracket_table(rows, skipped)
    if symbol and symbol not in table:
        reason = table.skipped.get(symbol, "the symbol is not in it")
        raise UnexpectedAnswer(f"{source} has no usable tiers of {symbol}: {reason}.")
    return table


def make_bracket_table(rows: list[messages.SymbolBrackets], skipped: Mapping[str, str] | None = None) -> BracketTable:
    """Build the table from decoded tiers; symbols whose tiers are flawed go to ``skipped``, with the reason."""
    skipped = dict(skipped or {})
    tiers = {}
    for row in rows:
        figures = sort_rows(map(attrgetter(*COLUMNS), row.brackets))
        if reason := find_flaw(figures):
            skipped[row.symbol] = reason
        else:
            tiers[row.symbol] = Brackets.from_rows(row.symbol, figures, row.notional_coef)
    return BracketTable(tiers, skipped)


class Listing(NamedTuple):
    """What ``exchangeInfo`` tells of the symbols.

    Attributes:
        margin_assets: Each symbol's margin asset; "" if its row does not decode.
        not_trading: The status of each symbol that is not trading: PENDING_TRADING, SETTLING and so on.
        problem: Why it could not be read again; "" if it was read.
    """

    margin_assets: Mapping[str, str]
    not_trading: Mapping[str, str]
    problem: str = ""


def read_listing(client: RestClient) -> Listing:
    """Read the listed symbols. The rate limit in the same answer is passed to the limiter."""
    info = _read(client, messages.ExchangeInfo, endpoints.EXCHANGE_INFO)
    client.limiter.learn(info.weight_a_minute)
    listed = messages.decode_rows(messages.ListedSymbol, info.symbols, client.source(endpoints.EXCHANGE_INFO))
    return Listing(
        dict.fromkeys(listed.skipped, "") | {row.symbol: row.margin_asset for row in listed.good},
        {row.symbol: row.status for row in listed.good if not row.is_trading},
    )


def read_mark_price(client: RestClient, symbol: str) -> float:
    """Read a symbol's mark price."""
    source = client.source(endpoints.PREMIUM_INDEX)
    index = messages.decode(messages.PremiumIndex, client.read(endpoints.PREMIUM_INDEX, [("symbol", symbol)]), source)
    if index.symbol != symbol:
        raise UnexpectedAnswer(f"{source} does not name {symbol}.")
    if not index.mark_price > 0:
        raise UnexpectedAnswer(f"{source} has no mark price of {symbol}.", hint="Try again later.")
    return index.mark_price


def read_alias(client: RestClient) -> str:
    """Read Binance's own name of the account; "" if the account has no balance rows yet."""
    body = client.read(endpoints.BALANCE)
    source = client.source(endpoints.BALANCE)
    rows = messages.decode_rows(messages.AssetBalance, body, source)
    if rows.skipped and not rows.good:
        raise UnexpectedAnswer(f"{source} does not name the account: {next(iter(rows.skipped.values()))}.")
    return messages.as_plain_text(rows.good[0].account_alias) if rows.good else ""


def read_setting(
    client: RestClient, symbol: str, margin_asset: str = "", *, within: float | None = None
) -> LeverageSetting:
    """Read one symbol's leverage setting.

    Args:
        client: The client.
        symbol: The symbol.
        margin_asset: The symbol's margin asset, stored in the result.
        within: Seconds for the read; at most, and by default, the client's time-out.

    Raises:
        UnexpectedAnswer: The answer has no usable setting of the symbol.
    """
    rows, reply = _read_configs(client, symbol, within)
    source = client.source(endpoints.SYMBOL_CONFIG)
    if symbol in rows.skipped:
        raise UnexpectedAnswer(
            f"{source} has no usable setting of {symbol}: {rows.skipped[symbol]}.", hint=_OTHERS_NOT_AFFECTED
        )
    for row in rows.good:
        if row.symbol == symbol:
            return _setting(client, row, margin_asset, reply)
    raise UnexpectedAnswer(f"{source} does not name {symbol}.")


def read_settings(
    client: RestClient, margin_assets: Mapping[str, str], *, within: float | None = None
) -> dict[str, LeverageSetting]:
    """Read the leverage settings of all symbols with one request. Skip rows that do not decode."""
    rows, reply = _read_configs(client, within=within)
    return _settings(client, rows, margin_assets, reply)


def read_isolated_margin(
    client: RestClient, symbol: str, position_side: str, *, within: float | None = None
) -> IsolatedMargin:
    """Read the isolated margin of one side of a symbol.

    Raises:
        UnexpectedAnswer: The answer has no usable row of the position.
    """
    setting, reply = read_together(
        lambda: read_setting(client, symbol, within=within),
        lambda: client.read_reply(endpoints.POSITION_RISK, [("symbol", symbol)], within=within),
    )
    source = client.source(endpoints.POSITION_RISK)
    rows = messages.decode_rows(messages.PositionRisk, reply.body, source)
    if rows.skipped:
        raise UnexpectedAnswer(f"{source} has no usable row of {symbol}: {next(iter(rows.skipped.values()))}.")
    position = next((_position(r) for r in rows.good if (r.symbol, r.position_side) == (symbol, position_side)), None)
    earliest = min(setting.read_at, reply.sent)
    return isolated_margin_of(replace(setting, read_at=earliest), position)


def read_margin_entries(
    client: RestClient, symbol: str, start_ms: int, end_ms: int, *, within: float | None = None
) -> list[messages.MarginEntry]:
    """Read a symbol's history of isolated margin between two times of the exchange's clock.

    Raises:
        UnexpectedAnswer: The answer is not a list, a row does not decode, or rows may be missing.
    """
    parameters: Parameters = [("symbol", symbol), ("startTime", start_ms), ("endTime", end_ms)]
    reply = client.read_reply(endpoints.POSITION_MARGIN_HISTORY, parameters, within=within)
    source = client.source(endpoints.POSITION_MARGIN_HISTORY)
    rows = messages.decode_entries(messages.MarginEntry, reply.body, source)
    if len(rows) >= _MOST_ENTRIES:
        raise UnexpectedAnswer(f"{source} has {len(rows)} entries, so that others may be missing.")
    return [row for row in rows if row.symbol == symbol and start_ms <= row.time <= end_ms]


def read_state(client: RestClient, listing: Callable[[], Listing]) -> AccountState:
    """Read settings, positions, balances and modes, all at the same time.

    Rows that do not decode are skipped and named in the state.

    Args:
        client: The client of the account.
        listing: Returns the listed symbols; called beside the reads, because it may read too.

    Raises:
        UnexpectedAnswer: An answer as a whole is unusable.
    """
    listed, (configs, reply), positions, balances, modes = read_together(
        listing,
        lambda: _read_configs(client),
        lambda: _read_rows(client, messages.PositionRisk, endpoints.POSITION_RISK),
        lambda: _read_assets(client),
        lambda: _read_modes(client),
    )
    config, rates = modes
    settings = _settings(client, configs, listed.margin_assets, reply)
    # Without its margin type, a position is as good as not read.
    in_use = {row.symbol for row in positions.good if row.position_amt or row.bid_notional or row.ask_notional}
    without_setting = in_use - settings.keys()
    left_out = dict.fromkeys(without_setting - configs.skipped.keys(), "the answer leaves it out")
    for symbol in in_use & settings.keys():
        if settings[symbol].margin_type not in _MARGIN_TYPES.values():
            without_setting.add(symbol)
            left_out[symbol] = f"its margin type “{settings[symbol].margin_type}” is not known"
    return AccountState(
        positions=tuple(_position(row) for row in positions.good if row.symbol in settings),
        balances={row.asset: _balance(row) for row in balances.good},
        settings=settings,
        hedge_mode=config.dual_side_position,
        multi_assets=config.multi_assets_margin,
        rates={row.symbol.removesuffix("USD"): AssetRate(row.bid_rate, row.ask_rate) for row in rates.good},
        skipped=_join(
            setting=configs.skipped | left_out,
            position=positions.skipped,
            balance=balances.skipped,
            **{"USD rate": rates.skipped},
            **{"margin asset and status": {"every symbol": listed.problem} if listed.problem else {}},
        ),
        unread_balances=frozenset(balances.skipped),
        unread_positions=frozenset("" if key in positions.unnamed else key for key in positions.skipped)
        | without_setting,
        not_trading=listed.not_trading,
    )


# What an answer of the history has at most, by default:
# https://developers.binance.com/docs/derivatives/usds-margined-futures/trade/rest-api/Get-Position-Margin-Change-History.
_MOST_ENTRIES = 500

# symbolConfig names the types in capitals. Unknown types are kept, in lower case.
_MARGIN_TYPES = {"CROSSED": "cross", "CROSS": "cross", "ISOLATED": "isolated"}

_OTHERS_NOT_AFFECTED = "Other symbols are not affected. Try again later."


def _read(client: RestClient, kind: type[messages.T], endpoint: Endpoint) -> messages.T:
    return messages.decode(kind, client.read(endpoint), client.source(endpoint))


def _read_rows(client: RestClient, kind: type[messages.T], endpoint: Endpoint) -> messages.Rows[messages.T]:
    return messages.decode_rows(kind, client.read(endpoint), client.source(endpoint))


def _read_modes(client: RestClient) -> tuple[messages.AccountConfig, messages.Rows[messages.AssetIndex]]:
    """Read the modes and, in multi-assets mode, the USD rates. Without rates margin is unknown, and nothing else."""
    config = _read(client, messages.AccountConfig, endpoints.ACCOUNT_CONFIG)
    if not config.multi_assets_margin:
        return config, messages.Rows([], {})
    try:
        return config, _read_rows(client, messages.AssetIndex, endpoints.ASSET_INDEX)
    except RateLimited:
        raise
    except (UnexpectedAnswer, RequestRefused) as exc:
        return config, messages.Rows([], {"every margin asset": exc.message})


def _read_assets(client: RestClient) -> messages.Rows[messages.AccountAsset]:
    information = _read(client, messages.AccountInformation, endpoints.ACCOUNT)
    return messages.decode_rows(messages.AccountAsset, information.assets, client.source(endpoints.ACCOUNT))


def _read_configs(
    client: RestClient, symbol: str | None = None, within: float | None = None
) -> tuple[messages.Rows[messages.SymbolConfig], Reply]:
    reply = client.read_reply(endpoints.SYMBOL_CONFIG, [("symbol", symbol)] if symbol else [], within=within)
    source = client.source(endpoints.SYMBOL_CONFIG)
    return messages.decode_rows(messages.SymbolConfig, reply.body, source), reply


def _join(**skipped: Mapping[str, str]) -> dict[str, str]:
    """Return the reasons of several lists by name, each with what could not be read."""
    joined: dict[str, str] = {}
    for what, reasons in skipped.items():
        for key, reason in reasons.items():
            text = f"its {what} could not be read: {reason}"
            name = f"{what} {key}" if key.startswith("row ") else key
            joined[name] = f"{joined[name]}; {text}" if name in joined else text
    return joined


def _settings(
    client: RestClient, rows: messages.Rows[messages.SymbolConfig], margin_assets: Mapping[str, str], reply: Reply
) -> dict[str, LeverageSetting]:
    return {row.symbol: _setting(client, row, margin_assets.get(row.symbol, ""), reply) for row in rows.good}


def _setting(client: RestClient, row: messages.SymbolConfig, margin_asset: str, reply: Reply) -> LeverageSetting:
    return LeverageSetting(
        venue=client.venue.label,
        account=client.account,
        symbol=row.symbol,
        leverage=row.leverage or None,  # 0: not set
        margin_type=_MARGIN_TYPES.get(row.margin_type.upper(), row.margin_type.lower()),
        max_notional=row.max_notional if row.leverage else None,
        margin_asset=margin_asset,
        as_of=reply.sent_at,
        read_at=reply.sent,
    )


def _position(row: messages.PositionRisk) -> Position:
    return Position(
        symbol=row.symbol,
        position_side=row.position_side,
        amount=row.position_amt,
        entry_price=row.entry_price,
        mark_price=row.mark_price,
        notional=math.copysign(row.notional, row.position_amt),  # negative for a short
        unrealized_profit=row.profit,
        liquidation_price=row.liquidation_price if row.liquidation_price > 0 else None,
        isolated_wallet=row.isolated_wallet,
        orders_bid=abs(row.bid_notional),
        orders_ask=abs(row.ask_notional),
        margin_asset=row.margin_asset,
        position_margin=row.position_initial_margin,
        order_margin=row.open_order_initial_margin,
        maintenance_margin=row.maint_margin,
    )


def _balance(row: messages.AccountAsset) -> Balance:
    return Balance(
        asset=row.asset,
        wallet=row.wallet_balance,
        profit=row.unrealized_profit,
        cross_wallet=row.cross_wallet_balance,
        cross_profit=row.cross_un_pnl,
        initial_margin=row.initial_margin,
        maintenance_margin=row.maint_margin,
        available=row.available_balance,
    )


def read_together(*reads: Callable[[], Any]) -> list[Any]:
    """Run reads at the same time and return their results in order.

    Once all have ended, the first failure in their order is raised.
    """
    # Daemon threads, because an executor delays the exit of the interpreter until its jobs end.
    return interrupts.run(lambda: _together(reads))


def _together(reads: tuple[Callable[[], Any], ...]) -> list[Any]:
    results: list[Any] = [None] * len(reads)
    failures: list[BaseException | None] = [None] * len(reads)
    cancellation = interrupts.current()

    def run(place: int) -> None:
        with cancellation.adopted():
            try:
                results[place] = reads[place]()
            except BaseException as exc:  # noqa: BLE001 - raised in the calling thread below
                failures[place] = exc

    threads = [threading.Thread(target=run, args=(place,), daemon=True) for place in range(1, len(reads))]
    for thread in threads:
        thread.start()
    run(0)
    for thread in threads:
        thread.join()
    for failure in failures:
        if failure is not None:
            raise failure
    return results
