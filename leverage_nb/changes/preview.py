"""Preview: what a change would do, one row of the outlook with today's beside it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from leverage_nb.cards import Card, Shown, Tone
from leverage_nb.change import LeverageChange
from leverage_nb.changes.settle import Progress
from leverage_nb.formatting import amount, moment, price, short
from leverage_nb.risk.account_state import AccountState, LeverageSetting, Position
from leverage_nb.risk.outlook import Certainty, Floats, Judgement, Outlook, Verdict

_TONES: dict[Verdict, Tone] = {"ok": "good", "unchanged": "plain", "refused": "bad", "unpredictable": "warn"}


@dataclass(frozen=True, repr=False)  # Shown has one
class Preview(Shown):
    """What a change of initial leverage is expected to do. A prediction: the exchange decides.

    Amounts are in ``margin_asset``; pairs are before and after.

    Attributes:
        venue: Where.
        account: Whose, as a key fingerprint.
        symbol: Binance's symbol.
        before: Today's leverage.
        after: The leverage asked for.
        verdict: "ok", "unchanged", "refused" or "unpredictable".
        code: The code expected of a refusal.
        certainty: "documented" or "inferred".
        reason: Why, and what would make it pass.
        max_notional: The tiers' cap.
        room: What is left of it for new positions and orders.
        initial_margin: Of positions and open orders.
        available: What new positions may use; NaN in multi-assets mode.
        warnings: What to know before the step.
        held: The symbol's positions.
        effective_leverage: Of each of them, as ``AccountState.effective_leverage`` defines it.
        margin_type: "cross" or "isolated".
        margin_asset: USDT, USDC, BTC and so on.
        setting: The setting that was read, with the time of its read: a change is sent from this leverage only.
        wallet: The cross wallet behind it; 0 where it is not known.
        modes: Hedge mode, multi-assets mode.
        undoes: The number of the change in the journal that it takes back; None where it takes none back.
        caution: What to mind: that it could not be taken back.
        passed_over: Later changes that cannot be taken back, and why, where this takes back one before them.
    """

    venue: str
    account: str
    symbol: str
    before: int
    after: int
    verdict: Verdict
    code: int | None
    certainty: Certainty
    reason: str
    max_notional: tuple[float, float]
    room: tuple[float, float]
    initial_margin: tuple[float, float]
    available: tuple[float, float]
    warnings: tuple[str, ...]
    held: tuple[Position, ...]
    effective_leverage: tuple[float | None, ...]
    margin_type: str
    margin_asset: str
    setting: LeverageSetting = field(repr=False)
    wallet: float
    modes: tuple[bool, bool]
    _send: Callable[[Preview, bool, Progress | None], LeverageChange] = field(repr=False, compare=False)
    undoes: int | None = None
    caution: str = ""
    passed_over: str = ""

    def confirmed(self) -> Preview:
        """Return it as confirmed by a person, who took time to answer: it is read again before anything is sent."""
        return replace(self, setting=replace(self.setting, read_at=-math.inf))

    @property
    def as_of(self) -> datetime:
        """When the account was read."""
        return self.setting.as_of or datetime.now().astimezone()

    def apply(self, *, force: bool = False, progress: Progress | None = None) -> LeverageChange:
        """Make the change.

        A preview older than a second is made again first, and nothing is sent if anything that it shows has changed:
        leverage, margin type, tiers, positions, orders, modes, wallet or verdict. Prices always move, and do not count.
        Nothing is ever sent from another leverage than ``before``.

        Args:
            force: Send although a refusal is expected. It does not pass the guard.
            progress: As ``Account.set_leverage``.

        Raises:
            ChangeNotSent: The account has changed, or a refusal is expected and ``force`` is not given.
            LeverageRefused, ChangeNotApplied, ChangeSuperseded, OutcomeUnknown: As ``Account.set_leverage``.
        """
        return self._send(self, force, progress)

    def still_holds(self, fresh: Preview) -> bool:
        """Whether a later preview of the same step shows the same, but for what prices moved."""
        # Funding and fees of other positions nibble at a wallet: a tenth of a percent is no other picture.
        same_wallet = math.isclose(self.wallet, fresh.wallet, rel_tol=1e-3, abs_tol=1e-9)
        return self.facts == fresh.facts and same_wallet

    @property
    def facts(self) -> tuple[object, ...]:
        """What must not have changed between the preview and the change."""
        holding = tuple(
            (p.position_side, p.amount, p.isolated_wallet, bool(p.orders_bid), bool(p.orders_ask)) for p in self.held
        )
        return self.before, self.margin_type, self.verdict, self.code, self.max_notional, self.modes, holding

    @property
    def headline(self) -> str:
        """The step and what is expected of it, in one line."""
        step = f"{self.symbol} {self.before}x → {self.after}x"
        if self.verdict == "unchanged":
            return f"{self.symbol} is at {self.after}x already"
        if self.verdict != "ok":
            return f"{step} {Judgement(self.verdict, self.code, self.certainty, self.reason).text}"
        if self.available[1] == self.available[1]:
            return f"{step} leaves {amount(self.available[1], self.margin_asset)} available"
        return step

    def rows(self) -> tuple[tuple[str, str], ...]:
        """The effects, before and after."""
        pairs = {
            "max notional": self.max_notional,
            "room": self.room,
            "initial margin": self.initial_margin,
            "available": self.available,
        }
        rows = [(name, self._step(*pair)) for name, pair in pairs.items() if pair[1] == pair[1]]
        for position, effective in zip(self.held, self.effective_leverage, strict=True):
            if position.amount:
                rows.append((f"{position.side} {amount(abs(position.amount))}", self._held_text(position, effective)))
        if self.caution:
            rows.append(("mind", self.caution))
        if self.passed_over:
            rows.append(("passed over", self.passed_over))
        if self.verdict != "unchanged":
            rows.append(("certainty", self.certainty))
        return tuple(rows)

    def card(self) -> Card:
        """The preview as a card."""
        note = " ".join([*self.warnings, f"A prediction, as of {moment(self.as_of)}: the exchange decides."])
        tone = "warn" if self.caution and self.verdict == "ok" else _TONES[self.verdict]
        return Card(self.venue, self.headline, self.rows(), note, tone)

    def _step(self, before: float, after: float) -> str:
        if math.isnan(before) or amount(before) == amount(after):
            return amount(after, self.margin_asset)
        return f"{amount(before)} → {amount(after, self.margin_asset)}"

    def _held_text(self, position: Position, effective: float | None) -> str:
        parts = [f"{self.margin_type}, initial leverage {self.before}x → {self.after}x"]
        if effective is not None:
            whose = "" if self.margin_type == "isolated" else " for the whole cross account"
            parts.append(f"effective {effective:.1f}x{whose}")
        if position.liquidation_price is not None:
            parts.append(f"liquidation {price(position.liquidation_price)}, unchanged")
        return ", ".join(parts)


def make_preview(
    outlook: Outlook,
    state: AccountState,
    leverage: int,
    send: Callable[[Preview, bool, Progress | None], LeverageChange],
    warning: str = "",
) -> Preview:
    """Take one row of the outlook, and today's beside it; ``warning`` is said before its own."""
    setting = state.settings[outlook.symbol]
    judged = outlook.judge(leverage)
    held = tuple(position for position in state.positions if position.symbol == outlook.symbol)
    balance = state.balances.get(setting.margin_asset)

    def pair(values: Floats) -> tuple[float, float]:
        # Today's leverage may lie above what the tiers offer by now: then they have no row for it.
        today = float(values[outlook.current - 1]) if outlook.current <= len(values) else math.nan
        return today, float(values[leverage - 1])

    return Preview(
        venue=setting.venue,
        account=setting.account,
        symbol=outlook.symbol,
        before=outlook.current,
        after=leverage,
        verdict=judged.verdict,
        code=judged.code,
        certainty=judged.certainty,
        reason=judged.reason,
        max_notional=pair(outlook.max_notional),
        room=pair(outlook.room),
        initial_margin=pair(outlook.initial_margin),
        available=pair(outlook.available_after),
        warnings=tuple(filter(None, [warning, *_warnings(outlook, state)])),
        held=held,
        effective_leverage=tuple(state.effective_leverage(position) for position in held),
        margin_type=setting.margin_type,
        margin_asset=setting.margin_asset,
        setting=setting,
        wallet=balance.cross_wallet if balance is not None else 0.0,
        modes=(state.hedge_mode, state.multi_assets),
        _send=send,
        caution=outlook.caution(leverage),
    )


def _warnings(outlook: Outlook, state: AccountState) -> list[str]:
    warnings = []
    setting = state.settings[outlook.symbol]
    if setting.max_notional is not None and outlook.current <= len(outlook.leverage):
        cap = float(outlook.max_notional[outlook.current - 1])
        if cap != setting.max_notional:
            warnings.append(
                f"The tiers allow {short(cap)} at {outlook.current}x, the exchange's own setting says "
                f"{short(setting.max_notional)}: the figures here follow the tiers."
            )
    return warnings
