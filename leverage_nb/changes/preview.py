"""Preview: what a change is expected to do."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Self, cast

from leverage_nb.cards import Card, Shown, Tone
from leverage_nb.change import Change, LeverageChange
from leverage_nb.changes.request import ChangeRequest, Reading
from leverage_nb.changes.settle import Progress
from leverage_nb.formatting import amount, moment, price, short, times
from leverage_nb.risk.account_state import AccountState, LeverageSetting, Position
from leverage_nb.risk.outlook import Certainty, Floats, Judgement, Outlook, Verdict

_TONES: dict[Verdict, Tone] = {"ok": "good", "unchanged": "plain", "refused": "bad", "unpredictable": "warn"}


@dataclass(frozen=True, repr=False, kw_only=True)  # Shown has one
class ChangePreview(Shown):
    """What a change is expected to do. A prediction: the exchange decides.

    Attributes:
        venue: The venue's name.
        account: The account, by the key's fingerprint.
        symbol: Binance's symbol.
        verdict: "ok", "unchanged", "refused" or "unpredictable".
        code: The expected error code of a refusal.
        certainty: "documented" or "inferred".
        reason: The reason for the verdict, and what would pass.
        warnings: What to know before the change.
        margin_asset: USDT, USDC, BTC and so on.
        setting: What was read, with the time of the read. The change is sent from this state only.
        modes: Whether hedge mode and multi-assets mode are on.
        undoes: The number of the change in the journal that this one undoes; None for any other change.
        caution: A caution that is independent of the verdict, as that the change could not be undone.
        passed_over: Later changes that cannot be undone, with the reason, if this one undoes an earlier change.
        guard: Why the guard, or a read-only account, does not allow it; "" if they do.
    """

    venue: str
    account: str
    symbol: str
    verdict: Verdict
    code: int | None
    certainty: Certainty
    reason: str
    warnings: tuple[str, ...] = ()
    margin_asset: str
    setting: Reading = field(repr=False)
    modes: tuple[bool, bool]
    _send: Callable[[Any, bool, Progress | None], Any] = field(repr=False, compare=False)
    _again: Callable[[], Any] = field(repr=False, compare=False)
    undoes: int | None = None
    caution: str = ""
    passed_over: str = ""
    guard: str = ""

    def confirmed(self) -> Self:
        """Return it as confirmed by a person. That takes time, so the account is read again before sending."""
        return replace(self, setting=replace(self.setting, read_at=-math.inf))

    def apply(self, *, force: bool = False, progress: Progress | None = None) -> Change:
        """Make the change. A preview older than one second is made again first; if it differs, nothing is sent.

        Args:
            force: Send it although a refusal is expected. A guard applies all the same.
            progress: As for ``Account.set_leverage``.

        Raises:
            ChangeNotSent: A guard, a read-only account, a changed account, an expected refusal, or as for
                ``Account.set_leverage``.
            LeverageRefused, ChangeNotApplied, ChangeSuperseded, OutcomeUnknown: As for ``Account.set_leverage``.
        """
        change: Change = self._send(self, force, progress)
        return change

    def again(self) -> Self:
        """Return a preview of the same change, on new reads."""
        fresh: Self = self._again()
        return replace(fresh, undoes=self.undoes, passed_over=self.passed_over)

    @property
    def as_of(self) -> datetime:
        """When the account was read, in local time."""
        return self.setting.as_of or datetime.now().astimezone()

    @property
    def sends(self) -> bool:
        """Whether applying it would send a request, without ``force``."""
        return not self.guard and self.verdict in {"ok", "unpredictable"}

    def is_sent(self, force: bool) -> bool:
        """Whether applying it would send a request, with or without ``force``."""
        return self.sends or (force and self.verdict == "refused" and not self.guard)

    @property
    def expectation(self) -> str:
        """The verdict in words."""
        return Judgement(self.verdict, self.code, self.certainty, self.reason).text

    @property
    def is_relative(self) -> bool:
        """Whether it changes a value by an amount, so that sending it twice would change it twice."""
        return False

    @property
    def asks(self) -> bool:
        """Whether a person must confirm it on every venue, not only where real money is at stake."""
        return False

    @property
    def step(self) -> str:
        """The change in short, as ``BTCUSDT 20x → 10x``."""
        raise NotImplementedError

    @property
    def question(self) -> str:
        """The change as a question asks for it, as ``change BTCUSDT from 20x to 10x``."""
        raise NotImplementedError

    @property
    def headline(self) -> str:
        """The change and its verdict, in one line."""
        raise NotImplementedError

    @property
    def facts(self) -> tuple[object, ...]:
        """What must be the same when the change is sent."""
        raise NotImplementedError

    def still_holds(self, fresh: Self) -> bool:
        """Whether a later preview of the same change shows the same, apart from prices."""
        return self.facts == fresh.facts

    def request(self) -> ChangeRequest:
        """Return the change that is sent."""
        raise NotImplementedError

    def effects(self) -> list[tuple[str, str]]:
        """Return what would change, as label and text."""
        raise NotImplementedError

    def rows(self) -> tuple[tuple[str, str], ...]:
        """Return the effects, cautions and certainty as label and text."""
        rows = self.effects()
        if self.caution:
            rows.append(("caution", self.caution))
        if self.passed_over:
            rows.append(("skipped", self.passed_over))
        if self.verdict != "unchanged":
            rows.append(("certainty", self.certainty))
        return tuple(rows)

    def card(self) -> Card:
        """Return the preview as a card."""
        note = " ".join(
            [
                *filter(None, [self.guard]),
                *self.warnings,
                f"A prediction, as of {moment(self.as_of)}: the exchange decides.",
            ]
        )
        tone = "warn" if self.caution and self.verdict == "ok" else _TONES[self.verdict]
        return Card(self.venue, self.headline, self.rows(), note, tone)


@dataclass(frozen=True, repr=False, kw_only=True)  # Shown has one
class Preview(ChangePreview):
    """What a change of initial leverage is expected to do. A prediction: the exchange decides.

    Amounts are in ``margin_asset``; pairs are before and after. For the other attributes see :class:`ChangePreview`.

    Attributes:
        before: The current leverage; None if it is not set.
        after: The requested leverage.
        max_notional: The largest position that the tiers allow.
        room: The tier headroom: max notional minus exposure.
        initial_margin: The initial margin of position and open orders.
        available: The available margin; NaN if it is unknown.
        positions: The symbol's positions.
        effective_leverage: The effective leverage of each, as ``AccountState.effective_leverage`` defines it.
        margin_type: "cross" or "isolated".
        wallet: The cross wallet balance; 0 if unknown.
        limited_by: The reason why "max" is not higher; "" if a number was requested.
    """

    before: int | None
    after: int
    max_notional: tuple[float, float]
    room: tuple[float, float]
    initial_margin: tuple[float, float]
    available: tuple[float, float]
    positions: tuple[Position, ...]
    effective_leverage: tuple[float | None, ...]
    margin_type: str
    wallet: float
    limited_by: str = ""

    def apply(self, *, force: bool = False, progress: Progress | None = None) -> LeverageChange:
        """Make the change.

        A preview older than one second is made again first. Nothing is sent if one of these is no longer the same:
        leverage, margin type, max notional, verdict, modes, the positions, whether each side has open orders, the cross
        wallet by more than 0.1 %. Prices may change. A change is sent only from ``before``.
        For arguments and errors see :meth:`ChangePreview.apply`.
        """
        return cast(LeverageChange, super().apply(force=force, progress=progress))

    def again(self) -> Self:
        """Return a preview of the same change, on new reads."""
        return replace(super().again(), limited_by=self.limited_by)

    def still_holds(self, fresh: Self) -> bool:
        """Whether a later preview of the same change shows the same, apart from prices."""
        # Funding and fees of other positions change the wallet a little.
        same_wallet = math.isclose(self.wallet, fresh.wallet, rel_tol=1e-3, abs_tol=1e-9)
        return super().still_holds(fresh) and same_wallet

    @property
    def facts(self) -> tuple[object, ...]:
        """What must be the same when the change is sent."""
        positions = tuple(
            (p.position_side, p.amount, p.isolated_wallet, bool(p.orders_bid), bool(p.orders_ask))
            for p in self.positions
        )
        return self.before, self.margin_type, self.verdict, self.code, self.max_notional, self.modes, positions

    @property
    def step(self) -> str:
        """The change in short, as ``BTCUSDT 20x → 10x``."""
        return f"{self.symbol} {times(self.before)} → {self.after}x"

    @property
    def question(self) -> str:
        """The change as a question asks for it, as ``change BTCUSDT from 20x to 10x``."""
        return f"change {self.symbol} from {times(self.before)} to {self.after}x"

    @property
    def headline(self) -> str:
        """The change and its verdict, in one line."""
        if self.verdict == "unchanged":
            return f"{self.symbol} is at {self.after}x already"
        if self.verdict != "ok":
            return f"{self.step} {self.expectation}"
        if self.available[1] == self.available[1]:
            return f"{self.step} leaves {amount(self.available[1], self.margin_asset)} available"
        return self.step

    def request(self) -> ChangeRequest:
        """Return the change that is sent."""
        return ChangeRequest(
            symbol=self.symbol,
            requested=self.after,
            margin_asset=self.margin_asset,
            before=self.before,
            is_confirmed=True,
            setting=self.setting,
            effects=self.rows(),
            undoes=self.undoes,
        )

    def effects(self) -> list[tuple[str, str]]:
        """Return what would change, as label and text."""
        pairs = {
            "max notional": self.max_notional,
            "tier headroom": self.room,
            "initial margin": self.initial_margin,
            "available": self.available,
        }
        rows = [("max", self.limited_by.removeprefix("max is "))] if self.limited_by else []
        rows += [(name, step(pair, self.margin_asset)) for name, pair in pairs.items() if pair[1] == pair[1]]
        for position, effective in zip(self.positions, self.effective_leverage, strict=True):
            if position.amount:
                rows.append((f"{position.side} {amount(abs(position.amount))}", self._held_text(position, effective)))
        return rows

    def _held_text(self, position: Position, effective: float | None) -> str:
        parts = [f"{self.margin_type}, initial leverage {times(self.before)} → {self.after}x"]
        if effective is not None:
            whose = "" if self.margin_type == "isolated" else " for the whole cross account"
            parts.append(f"effective {effective:.1f}x{whose}")
        if position.liquidation_price is not None:
            parts.append(f"liquidation {price(position.liquidation_price)}, not affected by leverage")
        return ", ".join(parts)


def of_every_kind(
    state: AccountState, setting: LeverageSetting, judged: Judgement, send: Callable[..., Change], guard: str
) -> dict[str, Any]:
    """Return the attributes of a preview that do not depend on the kind of change."""
    return {
        "venue": setting.venue,
        "account": setting.account,
        "symbol": setting.symbol,
        "verdict": judged.verdict,
        "code": judged.code,
        "certainty": judged.certainty,
        "reason": judged.reason,
        "margin_asset": setting.margin_asset,
        "modes": (state.hedge_mode, state.multi_assets),
        "guard": guard,
        "_send": send,
    }


def step(pair: tuple[float, float], asset: str) -> str:
    """Return an amount before and after as text; one amount if both look alike, or if the first is unknown."""
    before, after = pair
    if math.isnan(before) or amount(before) == amount(after):
        return amount(after, asset)
    return f"{amount(before)} → {amount(after, asset)}"


def make_preview(
    outlook: Outlook,
    state: AccountState,
    leverage: int,
    send: Callable[[Preview, bool, Progress | None], Change],
    again: Callable[[], Preview],
    guard: str = "",
) -> Preview:
    """Build a preview from one row of the outlook and the row of the current leverage."""
    setting = state.settings[outlook.symbol]
    judged = outlook.judge(leverage)
    positions = tuple(position for position in state.positions if position.symbol == outlook.symbol)
    balance = state.balances.get(setting.margin_asset)

    current = outlook.current

    def pair(values: Floats) -> tuple[float, float]:
        # The current leverage may be above the symbol's maximum, if Binance has changed the tiers.
        today = float(values[current - 1]) if current is not None and current <= len(values) else math.nan
        return today, float(values[leverage - 1])

    return Preview(
        **of_every_kind(state, setting, judged, send, guard),
        before=outlook.current,
        after=leverage,
        max_notional=pair(outlook.max_notional),
        room=pair(outlook.room),
        initial_margin=pair(outlook.initial_margin),
        available=pair(outlook.available_after),
        warnings=tuple(_warnings(outlook, state)),
        positions=positions,
        effective_leverage=tuple(state.effective_leverage(position) for position in positions),
        margin_type=setting.margin_type,
        setting=setting,
        wallet=balance.cross_wallet if balance is not None else 0.0,
        _again=again,
        caution=outlook.caution(leverage),
    )


def _warnings(outlook: Outlook, state: AccountState) -> list[str]:
    warnings = []
    if state.credits_mode:
        warnings.append(f"Available margin is not known: {state.why_margin_unknown(outlook.symbol)}.")
    setting = state.settings[outlook.symbol]
    if setting.max_notional is not None and outlook.current is not None and outlook.current <= len(outlook.leverage):
        cap = float(outlook.max_notional[outlook.current - 1])
        if cap != setting.max_notional:
            warnings.append(
                f"The tiers allow {short(cap)} at {outlook.current}x, but the exchange's setting shows "
                f"{short(setting.max_notional)}. The figures here follow the tiers."
            )
    return warnings
