"""What the kernel sends to the panel's browser side: one table per symbol with a row per leverage, as ready texts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from leverage_nb import cards
from leverage_nb.changes.guard import MAINNET_DEFAULT, Bound
from leverage_nb.errors import GuardExceeded, InvalidInput, LeverageError
from leverage_nb.formatting import MINUS, amount, away, moment, percent, price, short, signed, times
from leverage_nb.risk.account_state import AccountState, LeverageSetting, Position
from leverage_nb.risk.brackets import Brackets, BracketTable
from leverage_nb.risk.new_position import BUFFER, MOST_PERCENT, NewPosition, Unit
from leverage_nb.risk.outlook import ISOLATED_OPEN, Floats, Judgement, Outlook
from leverage_nb.risk.user_input import parse_notional

_CHANGING = {
    "Initial margin": "Margin that position and open orders tie up: notional divided by leverage.",
    "Available margin": "Margin that is left for new positions after the change.",
    "Can still open": "The smaller of tier headroom and available margin times leverage.",
    "Max notional": "The largest position that the tiers allow at this leverage.",
}
_MAINTENANCE = "Below this margin the position is liquidated. It depends on the size, not on the leverage."
_LIQUIDATION = "The mark price at which the position is liquidated. Changing the leverage does not move it."


@dataclass(frozen=True)
class PanelData:
    """Everything that a panel shows of one symbol, as read at one moment.

    Attributes:
        setting: The leverage setting.
        outlook: The position and its open orders at every leverage.
        state: The account state that the outlook was made from.
        mark_price: The mark price; 0 if unknown.
        guard: The guard at that moment; None without one.
        as_of: When the account was read, in local time; None if unknown. The time of the leverage, which changes and
            events update, is that of the setting.
    """

    setting: LeverageSetting
    outlook: Outlook
    state: AccountState
    mark_price: float
    guard: Bound | None
    as_of: datetime | None = None

    @property
    def tiers(self) -> Brackets:
        """The symbol's tiers."""
        return self.outlook.brackets

    @property
    def base(self) -> str:
        """The asset that the symbol trades: ``BTC`` of ``BTCUSDT``."""
        pair = self.setting.symbol.partition("_")[0]
        return pair.removesuffix(self.setting.margin_asset) or pair

    @property
    def start(self) -> int:
        """The current leverage; Binance's default if it is not set, and the maximum if the setting is above it."""
        return min(self.setting.leverage or self.tiers.default_leverage, self.tiers.symbol_max_leverage)

    @property
    def positions(self) -> list[Position]:
        """The symbol's open positions: none, one, or two in hedge mode."""
        return [p for p in self.state.positions if p.symbol == self.setting.symbol and p.amount]


@dataclass(frozen=True)
class NewPositionInput:
    """The size of a new position and its stop, as typed. ``text`` and ``stop`` are "" for none."""

    text: str = ""
    size: float = 0.0
    unit: Unit = "margin asset"
    stop: str = ""


def parse_new_position(text: str, unit: object, stop: str = "") -> NewPositionInput:
    """Parse the size of a new position and its stop as typed.

    Args:
        text: A number, with ``k``, ``m`` or ``%``; "" for no size.
        unit: The selected unit. A "%" in the text is used instead of it.
        stop: The price of the stop; "" for none.

    Raises:
        InvalidInput: The text is no size above 0, or more than 100 percent; or the stop is no price.
    """
    typed, stop = text.strip(), stop.strip()
    if stop:
        parse_notional(stop, "a price")
    if not typed:
        return NewPositionInput(stop=stop)
    if typed.endswith("%"):
        typed, unit = typed[:-1].strip(), "percent"
    size = parse_notional(typed)
    if unit == "base asset":
        return NewPositionInput(typed, size, "base asset", stop)
    if unit != "percent":
        return NewPositionInput(typed, size, stop=stop)
    if size > MOST_PERCENT:
        raise InvalidInput(f"{size:g}% is more than the available margin.", hint="Enter 1 to 100 percent.")
    return NewPositionInput(typed, size, "percent", stop)


def make_table(data: PanelData, forbidden: Callable[[int], LeverageError | None], version: int) -> dict[str, Any]:
    """Return the table that the browser shows.

    Args:
        data: The data of the symbol.
        forbidden: Returns why the guard, or a read-only account, does not allow a leverage; None if they do.
        version: Identifies the table; a click names the table that it was made on.

    Returns:
        Texts, numbers and lists of them, without NaN: see the types in ``panel_js/types.js``.
    """
    setting, outlook, tiers = data.setting, data.outlook, data.tiers
    verdicts = [_verdict(data, forbidden(x), outlook.judge(x), outlook.caution(x)) for x in outlook.leverage.tolist()]
    changing = _changing_figures(data)
    caps = outlook.max_notional.tolist()
    rows = [
        {"cap": cap, "capText": short(cap), **verdict, "figures": [values[place] for _, values in changing.values()]}
        for place, (cap, verdict) in enumerate(zip(caps, verdicts, strict=True))
    ]
    return {
        "version": version,
        "symbol": setting.symbol,
        "venue": cards.label(setting.venue),
        "badge": cards.badge(setting.venue),
        "realMoney": cards.is_real_money(setting.venue),
        "account": setting.account,
        "asset": setting.margin_asset,
        "base": data.base,
        "marginType": setting.margin_type,
        "modes": " · ".join(data.state.modes),
        "notTrading": data.state.not_trading.get(setting.symbol, ""),
        "mark": price(data.mark_price) if data.mark_price else "–",
        "asOf": make_time(data.as_of),
        "leverageAsOf": make_time(setting.as_of if setting.as_of != data.as_of else None),
        "guard": _guard(data.guard, cards.is_real_money(setting.venue)),
        "current": setting.leverage or 0,
        "before": times(setting.leverage),
        "start": data.start,
        "position": [_position(data, position) for position in data.positions],
        "orders": _orders(data),
        "exposure": outlook.exposure,
        "exposureText": f"{'exposure' if _orders(data) else 'position'} {short(outlook.exposure, 4)}",
        "figures": [{"name": name, "help": _CHANGING[name], "now": now} for name, (now, _) in changing.items()],
        "fixed": _fixed_figures(data),
        "rows": rows,
        "regions": _regions(data, verdicts),
        "edges": sorted(set(tiers.initial_leverage.tolist())),
        "tiers": tier_rows(tiers),
    }


def make_new_position(data: PanelData, typed: NewPositionInput) -> dict[str, Any]:
    """Return a new position of the typed size at every leverage, for the browser.

    Without a size it is {}, or has only the text of a stop, which stays in its field.
    """
    outlook = data.outlook
    if not typed.text or not data.mark_price:
        return {"symbol": outlook.symbol, "stop": typed.stop} if typed.stop else {}
    most = data.guard.leverage if data.guard else None
    new = NewPosition(outlook, typed.size, typed.unit, data.mark_price, most)
    unit = {"margin asset": data.setting.margin_asset, "base asset": data.base, "percent": "% of the available margin"}
    size = f"{short(typed.size, 4)} {unit[typed.unit]}".replace(" %", "%")
    bound = new.tier_bound
    highest = outlook.brackets.symbol_max_leverage
    advice = new.obstacle or (f"The tiers allow it up to {bound}x." if bound is not None and bound < highest else "")
    sides = [
        [_liquidation(*each) for each in zip(*pair, strict=True)]
        for pair in zip(new.liquidation.tolist(), new.distance.tolist(), strict=True)
    ]
    return {
        "symbol": outlook.symbol,
        "text": typed.text,
        "unit": typed.unit,
        "size": size,
        "notional": [0.0 if math.isnan(value) else value for value in new.notional.tolist()],
        "rows": [
            [_or_dash(new.margin[row]), _too_much(data, new, row), long, short_side]
            for row, (long, short_side) in enumerate(zip(*sides, strict=True))
        ],
        "lowest": new.lowest or 0,
        "advice": advice,
        "stop": typed.stop,
        "buffer": percent(BUFFER),
        **_stop(data, new, typed.stop),
    }


def make_time(at: datetime | None) -> dict[str, Any] | None:
    """Return a time for the browser, which adds the date on another day: seconds since the epoch, and texts."""
    if at is None:
        return None
    return {"epoch": at.timestamp(), "time": f"{at:%H:%M:%S}", "moment": moment(at)}


def make_symbols(state: AccountState, table: BracketTable) -> list[list[str]]:
    """Return each symbol with its leverage, position and maximum, for the search; symbols with positions come first."""
    sides: dict[str, list[str]] = {}
    for position in state.positions:
        if position.amount:
            sides.setdefault(position.symbol, []).append(f"{position.side} {short(abs(position.notional), 3)}")
    rows = [
        [
            symbol,
            times(setting.leverage) if (setting := state.settings.get(symbol)) else "–",
            " / ".join(sides.get(symbol, [])),
            f"{table[symbol].symbol_max_leverage}x",
        ]
        for symbol in table.symbols
    ]
    return sorted(rows, key=lambda row: not row[2])


def tier_rows(tiers: Brackets) -> list[list[str]]:
    """Return the tiers as texts: leverage, floor, cap, maintenance rate and amount."""
    columns = (tiers.initial_leverage, tiers.notional_floor, tiers.notional_cap, tiers.maint_margin_ratio, tiers.cum)
    return [
        [f"{leverage}x", amount(floor), amount(cap), percent(rate), amount(cum)]
        for leverage, floor, cap, rate, cum in zip(*(column.tolist() for column in columns), strict=True)
    ]


def _verdict(data: PanelData, forbidden: LeverageError | None, judged: Judgement, caution: str) -> dict[str, Any]:
    """Return a leverage's verdict, its title and detail, and the nearest leverage that fits."""
    if forbidden is not None and judged.verdict != "unchanged":
        within = data.guard.leverage if data.guard is not None and isinstance(forbidden, GuardExceeded) else 0
        nearest = max((x for x in data.outlook.fitting().tolist() if x <= within), default=0)
        return {"verdict": "forbidden", "title": forbidden.message, "detail": forbidden.hint, "nearest": nearest}
    titles = {"ok": "Expected to be accepted", "unchanged": "This is the current leverage"}
    rule = capital(f"{judged.certainty} rule")
    if judged.advice and judged.code == ISOLATED_OPEN:  # other advice names a leverage, which is a button
        rule = f"{rule}. {capital(judged.advice)}"
    return {
        "verdict": "mind" if caution and judged.verdict == "ok" else judged.verdict,
        "title": titles.get(judged.verdict) or _title(judged),
        "detail": capital(caution) or (rule if judged.verdict != "unchanged" else ""),
        "nearest": judged.nearest or 0,
    }


def _title(judged: Judgement) -> str:
    """Return the verdict without its advice, which is a button."""
    cause = judged.reason.removesuffix(f"; {judged.advice}")
    code = f" ({judged.code})".replace("-", MINUS) if judged.code else ""
    return f"Would be refused{code}: {cause}" if judged.verdict == "refused" else f"Cannot be predicted{code}: {cause}"


def _changing_figures(data: PanelData) -> dict[str, tuple[str, list[list[str]]]]:
    """Return each figure's current text, and for every leverage its text, a note and the note's tone."""
    outlook = data.outlook
    limits = {"tier": "tier-limited", "margin": "margin-limited", "": ""}
    limited = [[limits[outlook.limited_by(x)], ""] for x in outlook.leverage.tolist()]
    rough = {
        "Can still open": [
            [text, *note] for text, note in zip(map(_rough, outlook.can_open.tolist()), limited, strict=True)
        ],
        "Max notional": _with_differences(outlook, outlook.max_notional, rough=True, growing="good"),
    }
    margins = {
        "Initial margin": _with_differences(outlook, outlook.initial_margin, growing="bad"),
        "Available margin": _with_differences(outlook, outlook.available_after, growing="good"),
    }
    now = outlook.current
    known = now is not None and now <= len(outlook.leverage)
    return {
        name: (values[now - 1][0] if now is not None and known else "–", values)
        for name, values in (margins | rough).items()
    }


def _with_differences(outlook: Outlook, values: Floats, *, growing: str, rough: bool = False) -> list[list[str]]:
    """Return for every leverage the value, its difference to the current one with its sign, and the tone of that."""
    text = _rough if rough else _or_dash
    now = outlook.current
    today = float(values[now - 1]) if now is not None and now <= len(values) else math.nan
    rows = []
    for value in values.tolist():
        change = value - today
        if not math.isfinite(change) or text(value) == text(today):
            rows.append([text(value), "", ""])
        else:
            tone = growing if change > 0 else {"good": "bad", "bad": "good"}[growing]
            rows.append([text(value), signed(change, text(abs(change))), tone])
    return rows


def _fixed_figures(data: PanelData) -> list[dict[str, str]]:
    """Return what a leverage does not change: maintenance margin and liquidation price of the positions."""
    positions = data.positions
    maintenance = sum(position.maintenance_margin for position in positions)
    size = sum(abs(position.notional) for position in positions)
    margin = f"{amount(maintenance)} ({percent(float(f'{maintenance / size:.2g}'))})" if size else "–"
    prices = [
        text for position in positions if position.liquidation_price is not None and (text := _liquidated_at(position))
    ]
    return [
        {"name": "Maintenance margin", "help": _MAINTENANCE, "value": margin},
        {
            "name": "Liquidation price",
            "help": _LIQUIDATION,
            "value": " / ".join(filter(None, prices)) or "–",
        },
    ]


def _position(data: PanelData, position: Position) -> dict[str, Any]:
    """Return one side of the position strip: its title, and its fields with their tones."""
    asset = data.setting.margin_asset
    profit = position.unrealized_profit
    isolated = data.state.is_isolated(position.symbol)
    margin = position.isolated_wallet if isolated else position.position_margin
    fields = [
        ["notional", amount(abs(position.notional), asset), ""],
        ["entry", price(position.entry_price), ""],
        ["mark", price(position.mark_price), ""],
        ["PnL", signed(profit, amount(abs(profit))) or "0", "good" if profit > 0 else "bad" if profit < 0 else ""],
    ]
    if liquidated_at := _liquidated_at(position):
        fields.append(["liquidation", liquidated_at, ""])
    fields.append(["isolated margin" if isolated else "margin used", amount(margin), ""])
    side = f"{position.side.upper()} {amount(abs(position.amount))} {data.base}"
    return {
        "side": side,
        "tone": "good" if position.amount > 0 else "bad",
        "fields": fields,
        "positionSide": position.position_side,
        "isolated": isolated,
    }


def _liquidated_at(position: Position) -> str:
    """Return the liquidation price of a position, and how far away it is; "" without a mark price."""
    if position.liquidation_price is None:
        return "none"
    return _liquidation(position.liquidation_price, position.distance_to(position.liquidation_price))


def _orders(data: PanelData) -> str:
    sums = {
        side: sum(getattr(p, f"orders_{field}") for p in data.state.positions if p.symbol == data.setting.symbol)
        for side, field in (("buy", "bid"), ("sell", "ask"))
    }
    parts = [f"{side} {amount(size, data.setting.margin_asset)}" for side, size in sums.items() if size]
    return f"open orders: {', '.join(parts)}" if parts else ""


def _guard(guard: Bound | None, real_money: bool) -> dict[str, Any] | None:
    """Return the guard as shown in the header, and whether it is above mainnet's default."""
    if guard is None:
        return None
    lifted = real_money and guard.leverage > MAINNET_DEFAULT
    return {"text": f"guard {guard.leverage}x, {guard.source}", "lifted": lifted}


def _regions(data: PanelData, verdicts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the ranges of leverages that would not be accepted, each with its reason."""
    labels = []
    for leverage, verdict in enumerate(verdicts, start=1):
        judged = data.outlook.judge(leverage)
        if verdict["verdict"] == "forbidden" and data.guard is not None and leverage > data.guard.leverage:
            labels.append(f"guard {data.guard.leverage}x")
        elif judged.verdict == "refused":
            reason = {-2027: "exposure", -2028: "margin", -4161: "isolated"}.get(judged.code or 0, "account limit")
            labels.append(f"{judged.code} {reason}".replace("-", MINUS))
        else:
            labels.append("")
    regions: list[dict[str, Any]] = []
    for leverage, label in enumerate(labels, start=1):
        if not label:
            continue
        if regions and regions[-1]["to"] == leverage - 1 and regions[-1]["label"] == label:
            regions[-1]["to"] = leverage
        else:
            regions.append({"from": leverage, "to": leverage, "label": label})
    return regions


def _stop(data: PanelData, new: NewPosition, text: str) -> dict[str, Any]:
    """Return the highest leverage that keeps liquidation beyond the stop, and why, for the browser."""
    if not text:
        return {"highest": 0, "stopAdvice": ""}
    bound = new.before_liquidation(text)
    if bound.leverage is None:
        return {"highest": 0, "stopAdvice": bound.obstacle}
    side = "long" if bound.stop < data.mark_price else "short"
    where = "there is none" if math.isnan(bound.liquidation) else price(bound.liquidation)
    advice = f"Isolated {side}: at most {bound.leverage}x keeps liquidation ({where}) beyond the stop."
    if why := _too_much(data, new, bound.leverage - 1):
        advice += f" At {bound.leverage}x the position is {why}."
    return {"highest": bound.leverage, "stopAdvice": advice}


def _too_much(data: PanelData, new: NewPosition, row: int) -> str:
    """Return why a new position is not affordable at a leverage; "" if it is."""
    if bool(new.affordable[row]):
        return ""
    if not new.notional[row] <= data.outlook.room[row]:
        headroom = _rough(max(0.0, float(data.outlook.room[row])))
        return "available margin unknown" if math.isnan(new.notional[row]) else f"above the tier headroom of {headroom}"
    available = float(data.outlook.available_after[row])
    if math.isnan(available):
        return "available margin unknown"
    return f"more than the {amount(max(0.0, available))} available"


def _liquidation(liquidation: float, distance: float) -> str:
    if math.isnan(distance):
        return ""
    return "none" if math.isinf(distance) else f"{price(liquidation)} ({away(distance)})"


def _or_dash(value: float) -> str:
    return "–" if math.isnan(value) else amount(value).replace("-", MINUS)


def _rough(value: float) -> str:
    return "–" if math.isnan(value) else short(value, 4).replace("-", MINUS)


def capital(text: str) -> str:
    """Return a text with a capital first letter."""
    return f"{text[:1].upper()}{text[1:]}"
