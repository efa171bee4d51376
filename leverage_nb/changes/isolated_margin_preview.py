"""Preview of a change of isolated margin, and the guard on its amount."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Self

from leverage_nb.change import exact_amount, signed_amount
from leverage_nb.changes.preview import ChangePreview, of_every_kind, step
from leverage_nb.changes.request import ChangeRequest
from leverage_nb.changes.service import ChangeService
from leverage_nb.errors import GuardExceeded, InvalidInput, as_typed
from leverage_nb.formatting import away, price
from leverage_nb.risk.account_state import AccountState, Position
from leverage_nb.risk.isolated_margin import IsolatedMargin, is_about, isolated_margin_of, preview_margin
from leverage_nb.risk.user_input import parse_margin

# The guard on amounts: a larger share of the available margin, or of the margin of the position if some is taken out,
# needs a confirmation that names the amount.
LARGEST_SHARE = 0.25


@dataclass(frozen=True, repr=False, kw_only=True)  # Shown has one
class IsolatedMarginPreview(ChangePreview):
    """What a change of isolated margin is expected to do. See :class:`ChangePreview`; pairs are before and after.

    It is sent once: after another change of the same margin from here a new preview is needed. It is not sent either if
    size or wallet of the position have changed by more than a tenth since.

    Attributes:
        amount: The amount; negative to take margin out.
        position_side: "BOTH" in one-way mode, "LONG" or "SHORT" in hedge mode.
        position: The position; None without one.
        wallet: The isolated wallet.
        available: The available margin; NaN if it is unknown.
        liquidation: The liquidation price, before as the exchange calculates it; None without one.
        effective_leverage: |notional| / (isolated wallet + profit); None if that is not above 0.
        most: The most that can be added, or taken out; NaN if it is unknown.
        is_named: Whether the confirmation named the amount.
    """

    amount: Decimal
    position_side: str
    position: Position | None
    wallet: tuple[float, float]
    available: tuple[float, float]
    liquidation: tuple[float | None, float | None]
    effective_leverage: tuple[float | None, float | None]
    most: float
    is_named: bool = False

    @property
    def facts(self) -> tuple[object, ...]:
        """What must be the same when the change is sent; of size and wallet see :meth:`still_holds`."""
        assert isinstance(self.setting, IsolatedMargin)  # noqa: S101 - as preview_isolated_margin makes it
        return self.verdict, self.code, self.modes, self.setting.margin_type, self.setting.side, self.amount

    def still_holds(self, fresh: Self) -> bool:
        """Whether a later preview of the same change shows about the same, apart from prices, funding and fills."""
        sizes = [abs(one.position.amount) if one.position is not None else 0.0 for one in (self, fresh)]
        return super().still_holds(fresh) and is_about(*sizes) and is_about(self.wallet[0], fresh.wallet[0])

    @property
    def is_relative(self) -> bool:
        """It adds an amount, or takes it out."""
        return True

    @property
    def asks(self) -> bool:
        """An undo is confirmed on every venue, because it is a new change and does not restore the state before."""
        return self.undoes is not None

    @property
    def question(self) -> str:
        """The change as a question asks for it."""
        side = f"the {self.position_side.lower()} position of " if self.position_side != "BOTH" else ""
        do, where = ("add", "to") if self.amount > 0 else ("take", "out of")
        return f"{do} {exact_amount(self.amount, self.margin_asset)} {where} the isolated margin of {side}{self.symbol}"

    @property
    def step(self) -> str:
        """The change in short, as ``ETHUSDT isolated margin +500 USDT``."""
        side = f" of {self.position_side.lower()}" if self.position_side != "BOTH" else ""
        return f"{self.symbol} isolated margin{side} {signed_amount(self.amount, self.margin_asset)}"

    @property
    def headline(self) -> str:
        """The change and its verdict, in one line."""
        if self.verdict != "ok":
            return f"{self.step} {self.expectation}"
        after = self.liquidation[1]
        return f"{self.step} {'removes' if after is None else 'moves'} the liquidation price" + (
            f" to {price(after)}" if after is not None else ""
        )

    @property
    def needs_name(self) -> bool:
        """Whether the guard on amounts asks for a confirmation that names the amount."""
        whole = self.available[0] if self.amount > 0 else self.wallet[0]
        return not self.is_named and not float(abs(self.amount)) <= LARGEST_SHARE * whole

    def warned(self) -> Self:
        """Return it with the warning of the guard on amounts, if that applies."""
        applies = self.verdict in {"ok", "unpredictable"} and self.needs_name
        return replace(self, warnings=(str(self.exceeded()),)) if applies else self

    def named(self, confirmed: Any) -> IsolatedMarginPreview:
        """Return it as confirmed by a person who named the amount.

        Raises:
            InvalidInput: Another amount was named.
        """
        if parse_margin(confirmed) != abs(self.amount):
            raise InvalidInput(
                f"The confirmation names {exact_amount(parse_margin(confirmed))}, and the change is {self.step}.",
                hint="Nothing was sent. Name the amount of the change.",
            )
        warnings = tuple(warning for warning in self.warnings if warning != str(self.exceeded()))
        return replace(self, is_named=True, warnings=warnings)

    def again(self) -> IsolatedMarginPreview:
        """Return a preview of the same change, on new reads."""
        return replace(super().again(), is_named=self.is_named)

    def request(self) -> ChangeRequest:
        """Return the change that is sent."""
        assert isinstance(self.setting, IsolatedMargin)  # noqa: S101 - as above
        return ChangeRequest(
            self.symbol, self.amount, self.margin_asset, self.setting.wallet, True, self.setting, self.rows(),
            self.undoes, kind="isolated margin", position_side=self.position_side, direction=self.setting.side,
            forbidden=self.exceeded() if self.needs_name else None,
        )  # fmt: skip

    def effects(self) -> list[tuple[str, str]]:
        """Return what would change, as label and text."""
        if self.position is None:
            return []
        rows = [
            ("isolated margin", step(self.wallet, self.margin_asset)),
            ("liquidation", self._liquidation_text()),
        ]
        before, after = self.effective_leverage
        if before is not None and after is not None:
            rows.append(("effective leverage", f"{before:.1f}x → {after:.1f}x"))
        if not math.isnan(self.available[0]):
            rows.append(("available", step(self.available, self.margin_asset)))
        return rows

    def _liquidation_text(self) -> str:
        def text(value: float | None) -> str:
            if value is None:
                return "none"
            distance = self.position.distance_to(value) if self.position is not None else math.nan
            return price(value) if math.isnan(distance) else f"{price(value)} ({away(distance, 4)})"

        return " → ".join(text(value) for value in self.liquidation)

    def exceeded(self) -> GuardExceeded:
        """Return the refusal of the guard on amounts."""
        whole, what = self.available[0], f"{self.margin_asset} available"
        nothing = f"No {self.margin_asset} is available"
        if self.position is None:
            whole, nothing = 0.0, f"{self.symbol} has no open position"
        elif self.amount < 0:
            whole, what, nothing = self.wallet[0], "margin of this position", "This position has no margin"
        plain = f"{abs(self.amount):f}"
        if not whole <= 0:
            share = "an unknown share" if math.isnan(whole) else f"{abs(float(self.amount)) / whole:.0%}"
            nothing = f"{exact_amount(self.amount, self.margin_asset)} is {share} of the {what}"
        call = "undo" if self.undoes is not None else "change_isolated_margin"
        return GuardExceeded(
            f"{nothing}. More than {LARGEST_SHARE:.0%} needs a confirmation that names the amount.",
            hint=f"To confirm it: --confirm {plain}, or {call}(..., confirm={plain}).",
        )


def preview_isolated_margin(
    service: ChangeService,
    symbol: str,
    delta: Decimal,
    position_side: str | None = None,
    *,
    fresh: bool = False,
) -> IsolatedMarginPreview:
    """Preview a change of isolated margin: see ``Account.preview_isolated_margin``.

    Args:
        service: The service of the account.
        symbol: In any spelling.
        delta: The amount; negative to take margin out.
        position_side: "long" or "short".
        fresh: Whether to read the tiers in any case.
    """
    view = service.reader.read_symbol(symbol, reload_tiers=fresh)
    name, state = view.outlook.symbol, view.state
    setting = state.settings[name]
    side, position = _find_position(state, name, position_side)
    effect = preview_margin(state, view.outlook.brackets, position, float(delta))
    judged = effect.judgement
    preview = IsolatedMarginPreview(
        **of_every_kind(state, setting, judged, service.apply, str(service.forbidden() or "")),
        setting=isolated_margin_of(setting, position),
        _again=lambda: preview_isolated_margin(service, name, delta, side, fresh=True),
        amount=delta,
        position_side=side,
        position=position,
        wallet=effect.wallet,
        available=effect.available,
        liquidation=effect.liquidation,
        effective_leverage=effect.effective_leverage,
        most=effect.most,
    )
    return preview.warned()


def _find_position(state: AccountState, symbol: str, position_side: str | None) -> tuple[str, Position | None]:
    """Return the side whose margin is meant, and its position.

    Raises:
        InvalidInput: In hedge mode both sides are open and none is named; or a side is named that does not exist.
    """
    opened = {p.position_side: p for p in state.positions if p.symbol == symbol and p.amount}
    named = position_side.strip().upper() if isinstance(position_side, str) else position_side
    if named not in (None, "BOTH", "LONG", "SHORT"):
        raise InvalidInput(
            f"{as_typed(position_side)} is not a side of a position.", hint="The sides are long and short."
        )
    if not state.hedge_mode:
        position = opened.get("BOTH")
        if named in {"LONG", "SHORT"} and position is not None and position.side != named.lower():
            raise InvalidInput(
                f"The position of {symbol} is {position.side}, not {named.lower()}.",
                hint="Leave the side out: in one-way mode a symbol has one position.",
            )
        return "BOTH", position
    if named in {"LONG", "SHORT"}:
        return named, opened.get(named)
    if named == "BOTH":
        raise InvalidInput(
            f"The account is in hedge mode, where {symbol} has the sides long and short.",
            hint="Name one: --side long, or position_side='long'.",
        )
    if len(opened) > 1:
        raise InvalidInput(
            f"{symbol} has a long and a short position.", hint="Name one: --side long, or position_side='long'."
        )
    side, position = next(iter(opened.items()), ("LONG", None))
    return side, position
