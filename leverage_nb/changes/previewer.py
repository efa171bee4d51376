"""Previewer: looks ahead for one account: what would fit, what a change would do; and makes what was previewed."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from leverage_nb.changes.attempt import ChangeRequest, not_sent
from leverage_nb.changes.changer import Changer
from leverage_nb.changes.limits import Bound
from leverage_nb.changes.preview import Preview, make_preview
from leverage_nb.changes.record import LeverageChange
from leverage_nb.changes.settle import Progress
from leverage_nb.errors import InvalidLeverage, LeverageError, Mistake, UnexpectedAnswer
from leverage_nb.exchange.rest import RestClient
from leverage_nb.exchange.snapshot import read_state
from leverage_nb.exchange.symbols import normalize
from leverage_nb.exchange.tier_cache import TierCache
from leverage_nb.risk.brackets import Brackets
from leverage_nb.risk.outlook import Outlook
from leverage_nb.risk.parsing import parse_leverage, parse_notional
from leverage_nb.risk.state import AccountState, LeverageSetting

# A preview younger than this many seconds is what the account is like now.
JUST_READ = 5.0


class Previewer:
    """Looks ahead for one account.

    Args:
        client: Where, and with whose key.
        tiers: The account's tiers.
        changer: Makes its changes.
    """

    def __init__(self, client: RestClient, tiers: TierCache, changer: Changer) -> None:
        self._client = client
        self._tiers = tiers
        self._changer = changer

    # -- what there is to choose from -------------------------------------------------------------------------

    def check(self, symbol: str, leverage: Any) -> tuple[str, int]:
        """A symbol in Binance's spelling, and a leverage that its tiers allow.

        Raises:
            UnknownSymbol, InvalidLeverage: They are not such.
            ChangeNotSent: The tiers could not be read.
        """
        failure: LeverageError
        try:
            name = self._tiers.find(symbol)[0]
            return name, self.check_leverage(name, leverage)
        except Mistake:
            raise
        except LeverageError as exc:
            failure = exc
        raise not_sent(self._client, normalize(symbol), parse_leverage(leverage), failure)

    def check_leverage(self, symbol: str, leverage: Any) -> int:
        """A leverage written in any way, held against a symbol's tiers: see ``Account.check_leverage``."""
        name, table = self._tiers.find(symbol)
        tiers = table[name]
        with suppress(InvalidLeverage):
            wanted = parse_leverage(leverage)
            if wanted > tiers.symbol_max_leverage and self._tiers.may_be_behind():
                tiers = self._tiers.load().get(name, tiers)  # the maximum may have risen since
            if wanted <= tiers.symbol_max_leverage:
                return wanted
        raise InvalidLeverage(leverage, name, tiers.symbol_max_leverage)

    def highest(self, symbol: str, notional: float | str) -> int:
        """The highest leverage that allows a notional and what is held: see ``Account.highest_leverage``."""
        size = parse_notional(notional) if notional else 0.0
        outlook, _ = self.look_ahead(symbol)
        guard = self._changer.guard.limit()
        if guard is None:
            return outlook.highest(size)
        return outlook.highest(size, guard.leverage, self._changer.guard.stops(guard.leverage + 1))

    def bound(self, symbol: str) -> Bound:
        """The most that can be chosen, and why not more: the symbol's maximum, a limit that was met, the guard."""
        name, table = self._tiers.find(symbol)
        bounds = [Bound(table[name].symbol_max_leverage, "the symbol's maximum")]
        met, guard = self._changer.met_limits.of(name), self._changer.guard.limit()
        if met is not None:
            bounds.append(Bound(met.max_leverage, "the exchange limits the account"))
        if guard is not None:
            bounds.append(Bound(guard.leverage, f"the guard: {guard.source}"))
        return min(bounds, key=lambda bound: bound.leverage)

    # -- looking ----------------------------------------------------------------------------------------------

    def look_ahead(self, symbol: str, *, anew: bool = False) -> tuple[Outlook, AccountState]:
        """The outlook of a symbol, and the state it was made from; ``anew`` reads the tiers again as well."""
        if anew:
            self._tiers.load()
        name, table = self._tiers.find(symbol)
        state = read_state(self._client, self._tiers.margin_assets())
        if name not in state.settings:
            raise UnexpectedAnswer(f"{self._client.venue.speaker} has tiers of {name}, but no setting.")
        return self.outlook(state, table[name]), state

    def outlook(self, state: AccountState, tiers: Brackets) -> Outlook:
        """The outlook of a state that was read before, with the limits that were met."""
        return Outlook(state, tiers, self._changer.met_limits.of(tiers.symbol))

    def preview(self, symbol: str, leverage: int | str) -> Preview:
        """What a change would do: see ``Account.preview``."""
        name, wanted = self.check(symbol, leverage)
        as_of = datetime.now().astimezone()
        failure: LeverageError
        try:
            outlook, state = self.look_ahead(name)
        except LeverageError as exc:
            failure = exc
        else:
            return self.preview_from(outlook, state, wanted, as_of)
        raise not_sent(self._client, name, wanted, failure)

    def preview_from(self, outlook: Outlook, state: AccountState, leverage: int, as_of: datetime) -> Preview:
        """A preview from an outlook that was read before, as of then."""
        if not 1 <= leverage <= len(outlook.leverage):
            raise InvalidLeverage(leverage, outlook.symbol, len(outlook.leverage))
        return make_preview(outlook, state, leverage, as_of, self._apply, self._changer.guard.stops(leverage))

    # -- making what was seen ---------------------------------------------------------------------------------

    def apply_now(self, preview: Preview, *, force: bool, progress: Progress | None) -> LeverageChange:
        """Make a change whose preview has been read this moment: see ``Account.apply_now``."""
        fresh_enough = (datetime.now().astimezone() - preview.as_of).total_seconds() < JUST_READ
        look_again = not fresh_enough or self._changer.changed_since(preview.symbol, preview.as_of)
        return self._send(preview, force, progress, look_again=look_again)

    def _apply(self, preview: Preview, force: bool, progress: Progress | None) -> LeverageChange:
        """Make a previewed change: see ``Preview.apply``."""
        return self._send(preview, force, progress, look_again=True)

    def _send(self, preview: Preview, force: bool, progress: Progress | None, *, look_again: bool) -> LeverageChange:
        symbol, leverage = preview.symbol, preview.after
        self._changer.check_guard(symbol, leverage)
        if look_again:
            fresh = self._look_again(symbol, leverage)
            if not preview.still_holds(fresh):
                moved = Mistake(
                    f"What the preview showed has moved meanwhile. Now: {fresh.headline}.",
                    hint="Look at a new preview.",
                )
                raise not_sent(self._client, symbol, leverage, moved)
            preview = replace(fresh, undoes=preview.undoes, passed_over=preview.passed_over)
        if preview.verdict == "refused" and not force:
            refusal = Mistake(
                f"The exchange is expected to refuse it ({preview.code}): {preview.reason}.",
                hint="Prediction wrong? --force, or apply(force=True), sends it all the same.",
            )
            raise not_sent(self._client, symbol, leverage, refusal)
        known = None if math.isnan(preview.max_notional[0]) else preview.max_notional[0]
        setting = LeverageSetting(
            preview.venue, preview.account, symbol, preview.before, preview.margin_type, known, preview.margin_asset,
            preview.as_of,
        )  # fmt: skip
        request = ChangeRequest(symbol, leverage, preview.margin_asset, preview.rows(), preview.undoes)
        return self._changer.change(request, setting, progress)

    def _look_again(self, symbol: str, leverage: int) -> Preview:
        """The same preview of what is there now.

        Raises:
            ChangeNotSent: It could not be read, or the symbol's maximum has fallen below the leverage.
        """
        failure: LeverageError
        as_of = datetime.now().astimezone()
        try:
            outlook, state = self.look_ahead(symbol, anew=True)
            return self.preview_from(outlook, state, leverage, as_of)
        except LeverageError as exc:
            failure = exc
        raise not_sent(self._client, symbol, leverage, failure)
