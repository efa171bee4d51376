"""Isolated margin: what may be added to an isolated position and taken from it, and the history of both.

Sources: Modify Isolated Position Margin and Get Position Margin Change History
(https://developers.binance.com/docs/derivatives/usds-margined-futures/trade/rest-api), codes and texts of -4049 to
-4055, -4061, -1023 and -4165 (https://developers.binance.com/docs/derivatives/usds-margined-futures/error-code), and
the FAQ on the margin balance, which has the largest amounts
(https://www.binance.com/en/support/faq/how-to-adjust-margin-balance-in-cross-isolated-margin-mode-360038447311).
Binance documents neither the order of the checks nor which of them an amount meets that is no positive number with at
most eight decimals: inferred from the codes' texts.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from decimal import Decimal

from leverage_nb.simulator import admission
from leverage_nb.simulator.account import ZERO, Account, Position, Refused

ADD, REDUCE = 1, 2
BY_USER = "USER_ADJUST"
DAY_MS = 86_400_000
KEPT_MS = 30 * DAY_MS
MOST_ROWS = 1000  # of one answer: assumed; documented is the default, 500
RECORDED = 10_000

_PLACES = Decimal("0.00000001")


@dataclass(frozen=True)
class MarginChange:
    """A row of the history: an amount that went to the position (positive) or left it (negative)."""

    symbol: str
    side: str
    amount: Decimal
    asset: str
    time_ms: int
    reason: str = BY_USER

    @property
    def direction(self) -> int:
        """Binance's ``type``: 1 if margin was added, 2 if it was reduced."""
        return ADD if self.amount > 0 else REDUCE


def read_amount(parameters: dict[str, str]) -> Decimal:
    """Return ``amount``, negative if ``type`` says that the margin is reduced.

    Raises:
        Refused: -1102 or -1100 for a missing or malformed value, -1130 for another ``type``, -4055 for an amount that
            is not positive, -1111 for one with more than eight decimals.
    """
    amount = admission.decimal(parameters, "amount")
    direction = admission.integer(parameters, "type")
    if direction not in {ADD, REDUCE}:
        raise admission.invalid("type")
    if amount <= 0:
        raise Refused(400, -4055, "Amount must be positive.")
    if amount != amount.quantize(_PLACES):
        raise Refused(400, -1111, "Precision is over the maximum defined for this asset.")
    return amount if direction == ADD else -amount


def most_added(account: Account, asset: str) -> Decimal:
    """Return the largest amount that can be added to an isolated position.

    The FAQ's second bound, "Isolated Available for Order", is taken to be ``availableBalance``: inferred.
    """
    isolated = [name for name in account.symbols_in_use() if name in account.isolated]
    orders = (account.order_margin(n) for n in isolated if account.market.symbols[n].margin_asset == asset)
    maintenance = map(account.maintenance_margin, account.cross_positions(asset))
    bound = account.cross_wallet(asset) - sum(orders, ZERO) - sum(maintenance, ZERO)
    return max(ZERO, min(bound, account.available(asset)))


def most_reduced(account: Account, position: Position) -> Decimal:
    """Return the largest amount that can be taken from an isolated position.

    The wallet keeps the maintenance margin, and with the unrealized profit or loss the initial margin.
    """
    wallet = position.isolated_wallet
    initial = abs(account.notional(position)) / account.leverage(position.symbol)
    kept = account.maintenance_margin(position)
    return max(ZERO, min(wallet - kept, wallet + account.unrealized_profit(position) - initial))


def move_margin(account: Account, name: str, side: str, amount: Decimal) -> Position:
    """Add an amount to an isolated position, or take a negative one from it; return the position.

    In hedge mode a request without ``positionSide`` finds no position, and is answered so: reported
    (https://github.com/binance/binance-futures-connector-python/issues/239 and, with the code of a reduction,
    https://github.com/Binance-docs/Binance_Futures_python/issues/150). That a side of hedge mode is -4061 in one-way
    mode, and that a reduction on a cross symbol is -4049 too, is assumed.
    """
    account.check_trading(name)
    if side != "BOTH" and not account.dual_side:
        raise Refused(400, -4061, "Order's position side does not match user's setting.")
    if name not in account.isolated:
        raise Refused(400, -4049, "Add margin only support for isolated position.")
    position = next((one for one in account.open_positions(name) if one.side == side), None)
    if amount > 0:
        if position is None:
            raise Refused(400, -4054, "Cannot add position margin: position is 0.")
        if amount > most_added(account, account.symbol(position).margin_asset):
            raise Refused(400, -4050, "Cross balance insufficient.")
    elif position is None or -amount > most_reduced(account, position):
        raise Refused(400, -4051, "Isolated balance insufficient.")
    position.isolated_wallet += amount
    return position


@dataclass
class MarginHistory:
    """The changes of isolated margin, the latest 10,000.

    Attributes:
        lag: Seconds until a change appears in an answer.
        unsigned: Whether the amount of a reduction is shown without its sign. Not known for a user's reduction: the
            page shows additions only, and an answer of 2024 a funding fee of type 2 with a negative amount
            (https://github.com/ccxt/ccxt/pull/21875).
        newest_first: Whether the latest change comes first. The page's example has the earliest first.
    """

    lag: float = 0.0
    unsigned: bool = False
    newest_first: bool = False
    _rows: deque[MarginChange] = field(default_factory=lambda: deque(maxlen=RECORDED))

    def add(self, change: MarginChange) -> None:
        """Record a change, also one that no client requested: ``reason`` is then another than ``USER_ADJUST``.

        Seen are TRADE and FUNDING_FEE (https://github.com/ccxt/ccxt/pull/21875); that of an automatic addition is not
        known.
        """
        self._rows.append(change)

    def requested(self, symbol: str, parameters: dict[str, str], now_ms: int, age_ms: int = 0) -> list[MarginChange]:
        """Return what a request asks for, as known ``age_ms`` ago.

        With a start, the first rows after it, else the last ones before the end: assumed.

        Raises:
            Refused: -1100 or -1130 for a malformed value, -1023 for an end before the start, -4165 for more than 30
                days; that the last is the code is inferred.
        """
        direction = admission.integer(parameters, "type") if "type" in parameters else None
        limit = admission.integer(parameters, "limit") if "limit" in parameters else 500
        end = admission.integer(parameters, "endTime") if "endTime" in parameters else now_ms
        start = admission.integer(parameters, "startTime") if "startTime" in parameters else None
        if direction not in {None, ADD, REDUCE}:
            raise admission.invalid("type")
        if limit < 1:
            raise admission.invalid("limit")
        if start is not None and start > end:
            raise Refused(400, -1023, "Start time is greater than end time.")
        if start is not None and end - start > KEPT_MS:
            raise Refused(400, -4165, "Maximum time interval is 30 days")
        known = now_ms - age_ms - int(self.lag * 1000)
        rows = [
            row
            for row in self._rows
            if row.symbol == symbol
            and max(start or 0, now_ms - KEPT_MS) <= row.time_ms <= min(end, known)
            and direction in {None, row.direction}
        ]
        most = min(limit, MOST_ROWS)
        rows = rows[:most] if start is not None else rows[-most:]
        return rows[::-1] if self.newest_first else rows
