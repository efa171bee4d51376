"""The reads that make a BracketTable, a LeverageSetting and an AccountState; those for one state go together."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Any

from leverage_nb import interrupts
from leverage_nb.binance import messages
from leverage_nb.binance.client import Reply, RestClient
from leverage_nb.errors import UnexpectedAnswer
from leverage_nb.risk.account_state import AccountState, Balance, LeverageSetting, Position
from leverage_nb.risk.bracket_checks import COLUMNS, find_flaw
from leverage_nb.risk.brackets import Brackets, BracketTable, sort_rows


def read_brackets(client: RestClient, symbol: str | None = None) -> BracketTable:
    """Read the tiers of one symbol, or of all."""
    path = "/fapi/v1/leverageBracket"
    body = client.read(path, [("symbol", symbol)] if symbol else [])
    source = client.source(path)
    rows, skipped = messages.decode_brackets(body, source)
    if symbol:
        rows = [row for row in rows if row.symbol == symbol]  # a gateway may not pass the parameter on
    table = make_bracket_table(rows, skipped)
    if symbol and symbol not in table:
        reason = table.skipped.get(symbol, "the symbol is not in it")
        raise UnexpectedAnswer(f"{source} holds no usable tiers of {symbol}: {reason}.")
    return table


def make_bracket_table(rows: list[messages.SymbolBrackets], skipped: Mapping[str, str] | None = None) -> BracketTable:
    """Build the table from decoded tiers; symbols whose tiers are flawed go to ``skipped``, with the reason."""
    skipped = dict(skipped or {})
    count = Counter(row.symbol for row in rows)
    tiers = {}
    for row in rows:
        figures = sort_rows(map(attrgetter(*COLUMNS), row.brackets))
        reason = "it is listed twice" if count[row.symbol] > 1 else find_flaw(figures)
        if reason:
            skipped[row.symbol] = reason
        else:
            tiers[row.symbol] = Brackets.from_rows(row.symbol, figures, row.notional_coef)
    return BracketTable(tiers, skipped)


def read_margin_assets(client: RestClient) -> dict[str, str]:
    """Each listed symbol's margin asset; the rate limit that comes with them is taken note of."""
    path = "/fapi/v1/exchangeInfo"
    info = messages.decode(messages.ExchangeInfo, client.read(path, signed=False), client.source(path))
    client.limiter.learn(info.weight_a_minute)
    return {row.symbol: row.margin_asset for row in info.symbols}


def read_mark_price(client: RestClient, symbol: str) -> float:
    """Read a symbol's mark price."""
    path = "/fapi/v1/premiumIndex"
    body = client.read(path, [("symbol", symbol)], signed=False)
    told = messages.decode(messages.PremiumIndex, body, client.source(path))
    if told.symbol != symbol:
        raise UnexpectedAnswer(f"{client.source(path)} does not name {symbol}.")
    return told.mark_price


def read_alias(client: RestClient) -> str:
    """Binance's own name for the account behind the key; "" where it has no balance rows yet."""
    rows = _read(client, list[messages.AssetBalance], "/fapi/v3/balance")
    return rows[0].account_alias if rows else ""


def read_setting(
    client: RestClient, symbol: str, margin_asset: str = "", *, within: float | None = None
) -> LeverageSetting:
    """Read one symbol's leverage setting, within the given seconds where they are less than the client's time-out."""
    rows, reply = _read_configs(client, symbol, within)
    for row in rows:
        if row.symbol == symbol:
            return _setting(client, row, margin_asset, reply)
    raise UnexpectedAnswer(f"{client.source('/fapi/v1/symbolConfig')} does not name {symbol}.")


def read_settings(
    client: RestClient, margin_assets: Mapping[str, str], *, within: float | None = None
) -> dict[str, LeverageSetting]:
    """Read every symbol's leverage setting, in one request."""
    rows, reply = _read_configs(client, within=within)
    return {row.symbol: _setting(client, row, margin_assets.get(row.symbol, ""), reply) for row in rows}


def read_state(client: RestClient, margin_assets: Callable[[], Mapping[str, str]]) -> AccountState:
    """Read settings, positions, balances and modes, all at the same time.

    Args:
        client: The client of the account.
        margin_assets: Returns each symbol's margin asset; called beside the reads, because it may read too.
    """
    assets, (rows, reply), positions, information, config = read_together(
        margin_assets,
        lambda: _read_configs(client),
        lambda: _read_positions(client),
        lambda: _read(client, messages.AccountInformation, "/fapi/v3/account"),
        lambda: _read(client, messages.AccountConfig, "/fapi/v1/accountConfig"),
    )
    settings = {row.symbol: _setting(client, row, assets.get(row.symbol, ""), reply) for row in rows}
    for position in positions:
        if position.symbol not in settings:
            raise UnexpectedAnswer(
                f"{client.source('/fapi/v1/symbolConfig')} leaves out {position.symbol}, which has a position.",
                hint="Try again later.",
            )
    return AccountState(
        positions=positions,
        balances={row.asset: _balance(row) for row in information.assets},
        settings=settings,
        hedge_mode=config.dual_side_position,
        multi_assets=config.multi_assets_margin,
    )


# positionRisk says "cross" where symbolConfig says "CROSSED". Anything else is passed on as it came.
_MARGIN_TYPES = {"CROSSED": "cross", "CROSS": "cross", "ISOLATED": "isolated"}


def _read(client: RestClient, kind: type[messages.T], path: str) -> messages.T:
    return messages.decode(kind, client.read(path), client.source(path))


def _read_configs(
    client: RestClient, symbol: str | None = None, within: float | None = None
) -> tuple[list[messages.SymbolConfig], Reply]:
    path = "/fapi/v1/symbolConfig"
    reply = client.read_reply(path, [("symbol", symbol)] if symbol else [], within=within)
    rows, skipped = messages.decode_rows(messages.SymbolConfig, reply.body, client.source(path))
    if symbol in skipped:
        raise UnexpectedAnswer(f"{client.source(path)} has no usable setting of {symbol}: {skipped[symbol]}.")
    return rows, reply


def _setting(client: RestClient, row: messages.SymbolConfig, margin_asset: str, reply: Reply) -> LeverageSetting:
    return LeverageSetting(
        venue=client.venue.label,
        account=client.account,
        symbol=row.symbol,
        leverage=row.leverage,
        margin_type=_MARGIN_TYPES.get(row.margin_type.upper(), row.margin_type.lower()),
        max_notional=row.max_notional_value,
        margin_asset=margin_asset,
        as_of=reply.sent_at,
        read_at=reply.sent,
    )


def _read_positions(client: RestClient) -> tuple[Position, ...]:
    rows = _read(client, list[messages.PositionRisk], "/fapi/v3/positionRisk")
    return tuple(
        Position(
            symbol=row.symbol,
            position_side=row.position_side,
            amount=row.position_amt,
            entry_price=row.entry_price,
            mark_price=row.mark_price,
            notional=row.notional,
            unrealized_profit=row.profit,
            liquidation_price=row.liquidation_price or None,
            isolated_wallet=row.isolated_wallet,
            orders_bid=row.bid_notional,
            orders_ask=row.ask_notional,
            margin_asset=row.margin_asset,
            position_margin=row.position_initial_margin,
            order_margin=row.open_order_initial_margin,
            maintenance_margin=row.maint_margin,
        )
        for row in rows
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
    """Run reads at the same time; the first failure, in their order, is raised once all have ended.

    Daemon threads, not an executor: an executor delays the interpreter's exit until its jobs end.
    """
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
