"""ChangeService: resolve, preview, apply and notify, for one account. Used by Account, magic and panel."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any
from weakref import WeakMethod

from leverage_nb import interrupts
from leverage_nb.binance.client import RestClient
from leverage_nb.binance.reader import read_alias, read_state
from leverage_nb.change import LeverageChange
from leverage_nb.changes.account_limits import AccountLimits
from leverage_nb.changes.guard import Bound, Guard
from leverage_nb.changes.preview import Preview, make_preview
from leverage_nb.changes.send import (
    SECOND_READ_AFTER,
    ChangeRequest,
    agrees,
    draft_change,
    how_to_verify,
    is_fresh,
    not_sent,
    open_question,
    send_change,
)
from leverage_nb.changes.settle import Progress
from leverage_nb.errors import (
    ChangedElsewhere,
    ChangeInterrupted,
    GuardExceeded,
    InvalidInput,
    InvalidLeverage,
    JournalUnusable,
    LeverageError,
    LeverageRefused,
    RefusalExpected,
    UnexpectedAnswer,
    WrongAccount,
)
from leverage_nb.journal.attempts import Attempt, Latest
from leverage_nb.journal.journal import Journal
from leverage_nb.risk.account_state import AccountState, LeverageSetting
from leverage_nb.risk.brackets import Brackets
from leverage_nb.risk.outlook import Outlook
from leverage_nb.risk.user_input import normalize, parse_leverage, parse_notional
from leverage_nb.tiers.cache import TierCache

# Seconds for an interrupted change to record its end.
_TO_RECORD = 1.0


class ChangeService:
    """Previews and makes the changes of one account.

    Args:
        client: Where, and with whose key.
        journal: Where each attempt is recorded before it leaves.
        tiers: The account's tiers.
        guard: The highest leverage that may be sent.

    Attributes:
        journal: As given.
        guard: As given.
        account_limits: The account limits that the exchange has named in refusals.
    """

    def __init__(self, client: RestClient, journal: Journal, tiers: TierCache, guard: Guard) -> None:
        self._client = client
        self._tiers = tiers
        self.journal = journal
        self.guard = guard
        self.account_limits = AccountLimits()
        self._profile_checked = False
        self._listeners: list[WeakMethod[Callable[[LeverageChange], None]]] = []

    # -- resolving --------------------------------------------------------------------------------------------

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
        except InvalidInput:
            raise
        except LeverageError as exc:
            failure = exc
        raise not_sent(self._client, normalize(symbol), parse_leverage(leverage), failure)

    def check_leverage(self, symbol: str, leverage: Any) -> int:
        """A leverage written in any way, compared with a symbol's tiers: see ``Account.check_leverage``."""
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
        """The highest leverage that allows a notional and the exposure: see ``Account.highest_leverage``."""
        size = parse_notional(notional) if notional else 0.0
        outlook, _ = self.read_outlook(symbol)
        guard = self.guard.limit()
        if guard is None:
            return outlook.highest(size)
        return outlook.highest(size, guard.leverage, self.guard.stops(guard.leverage + 1))

    def bound(self, symbol: str) -> Bound:
        """The most that can be chosen, and why not more: the symbol's maximum, an account limit, the guard."""
        name, table = self._tiers.find(symbol)
        bounds = [Bound(table[name].symbol_max_leverage, "the symbol's maximum")]
        met, guard = self.account_limits.of(name), self.guard.limit()
        if met is not None:
            bounds.append(Bound(met.max_leverage, "the exchange limits the account"))
        if guard is not None:
            bounds.append(Bound(guard.leverage, f"the guard: {guard.source}"))
        return min(bounds, key=lambda bound: bound.leverage)

    def check_guard(self, symbol: str, leverage: int) -> None:
        """Stop what the guard stops.

        Raises:
            ChangeNotSent: The leverage is above it.
        """
        if reason := self.guard.stops(leverage):
            raise not_sent(
                self._client, symbol, leverage, GuardExceeded(reason, hint="Raise max_leverage to go higher.")
            )

    # -- previewing -------------------------------------------------------------------------------------------

    def read_outlook(self, symbol: str, *, anew: bool = False) -> tuple[Outlook, AccountState]:
        """The outlook of a symbol, and the state it was made from; ``anew`` reads the tiers again as well."""
        if anew:
            self._tiers.load()
        name, table = self._tiers.find(symbol)
        state = self.read_state([name])
        if name not in state.settings:
            raise UnexpectedAnswer(f"{self._client.venue.speaker} has tiers of {name}, but no setting.")
        return self.outlook(state, table[name]), state

    def read_state(self, symbols: Sequence[str]) -> AccountState:
        """Read the account; once more where a symbol's setting differs from the exchange's own latest answer.

        A read may be behind by the grace. What differs on the second read was changed elsewhere.
        """
        state = read_state(self._client, self._tiers.margin_assets())
        if not self.agree(state.settings, symbols):
            interrupts.run(lambda: interrupts.pause(max(SECOND_READ_AFTER, self._client.grace)))
            state = read_state(self._client, self._tiers.margin_assets())
        return state

    def agree(self, settings: Mapping[str, LeverageSetting], symbols: Sequence[str]) -> bool:
        """Whether settings have all of some symbols, each as the exchange's latest answer to a change has it."""
        latest: Mapping[str, Latest] = {}
        with suppress(JournalUnusable):  # it stops a change, and no read
            latest = self.journal.latest(self._client.identity, symbols)
        return all(
            symbol in settings and agrees(settings[symbol], latest[symbol].applied if symbol in latest else None)
            for symbol in symbols
        )

    def outlook(self, state: AccountState, tiers: Brackets) -> Outlook:
        """The outlook of a state that was read before, with the account limits."""
        return Outlook(state, tiers, self.account_limits.of(tiers.symbol))

    def preview(self, symbol: str, leverage: int | str) -> Preview:
        """What a change would do: see ``Account.preview``."""
        name, wanted = self.check(symbol, leverage)
        failure: LeverageError
        try:
            outlook, state = self.read_outlook(name)
        except LeverageError as exc:
            failure = exc
        else:
            return self.preview_from(outlook, state, wanted)
        raise not_sent(self._client, name, wanted, failure)

    def preview_from(self, outlook: Outlook, state: AccountState, leverage: int) -> Preview:
        """A preview from an outlook that was read before."""
        if not 1 <= leverage <= len(outlook.leverage):
            raise InvalidLeverage(leverage, outlook.symbol, len(outlook.leverage))
        return make_preview(outlook, state, leverage, self._apply, self.guard.stops(leverage))

    # -- changing ---------------------------------------------------------------------------------------------

    def set_leverage(self, symbol: str, leverage: Any, progress: Progress | None = None) -> LeverageChange:
        """Make a change from whatever leverage is there: see ``Account.set_leverage``."""
        name, wanted = self.check(symbol, leverage)
        asset = ""
        with suppress(LeverageError):  # a missing asset label must not block a change
            asset = self._tiers.margin_assets().get(name, "")
        return self.change(ChangeRequest(name, wanted, asset), progress)

    def _apply(self, preview: Preview, force: bool, progress: Progress | None) -> LeverageChange:
        """Make a previewed change: see ``Preview.apply``."""
        symbol, leverage = preview.symbol, preview.after
        self.check_guard(symbol, leverage)
        if not is_fresh(preview.setting):
            fresh = self._preview_again(symbol, leverage)
            if not preview.still_holds(fresh):
                moved = ChangedElsewhere(
                    f"The account has changed since the preview. Now: {fresh.headline}.",
                    hint="Check the new preview, and confirm again.",
                )
                raise not_sent(self._client, symbol, leverage, moved)
            preview = replace(fresh, undoes=preview.undoes, passed_over=preview.passed_over)
        if preview.verdict == "refused" and not force:
            refusal = RefusalExpected(
                f"The exchange is expected to refuse it: {preview.reason} ({preview.code}).",
                hint="To send it all the same: --force, or apply(force=True).",
            )
            raise not_sent(self._client, symbol, leverage, refusal)
        effects = preview.rows()
        request = ChangeRequest(symbol, leverage, preview.margin_asset, preview.setting, effects, preview.undoes)
        return self.change(request, progress)

    def _preview_again(self, symbol: str, leverage: int) -> Preview:
        """A preview from the account and the tiers as they are now.

        Raises:
            ChangeNotSent: They could not be read.
        """
        failure: LeverageError
        try:
            outlook, state = self.read_outlook(symbol, anew=True)
            return self.preview_from(outlook, state, leverage)
        except LeverageError as exc:
            failure = exc
        raise not_sent(self._client, symbol, leverage, failure)

    def change(self, request: ChangeRequest, progress: Progress | None = None) -> LeverageChange:
        """Make a change: see :func:`leverage_nb.changes.send.send_change`.

        Raises:
            ChangeNotSent, LeverageRefused, ChangeNotApplied, ChangeSuperseded, OutcomeUnknown: With the record.
            ChangeInterrupted: Ctrl-C. The record says what the journal has of it; nothing more is sent.
        """
        self.check_guard(request.symbol, request.leverage)
        task = interrupts.Task(lambda: self._change(request, progress))
        try:
            return task.result()
        except KeyboardInterrupt:
            task.cancel()
        with suppress(LeverageError, KeyboardInterrupt):
            task.finish(_TO_RECORD)
        raise self._interrupted(request)

    def _change(self, request: ChangeRequest, progress: Progress | None) -> LeverageChange:
        self.check_profile(request.symbol, request.leverage)
        try:
            change = send_change(self._client, self.journal, request, progress)
        except LeverageRefused as refused:
            self.account_limits.remember(request.symbol, refused)
            raise
        if change.status == "applied":
            self.account_limits.forget_below(request.symbol, request.leverage)
        self.notify(change)
        return change

    def _interrupted(self, request: ChangeRequest) -> ChangeInterrupted:
        """What the journal has of a change that Ctrl-C stopped."""
        nothing = draft_change(self._client, request)
        try:
            attempt = self.journal.find(self._client.identity, request.tokens[-1]) if request.tokens else None
        except JournalUnusable as exc:
            change = replace(nothing, status="unknown", note=f"interrupted. {exc.message}")
            return ChangeInterrupted(f"Interrupted. {open_question(change)}", exc.hint, change)
        if attempt is None:
            return ChangeInterrupted(f"Interrupted. {request.symbol} was not changed: nothing was sent.", "", nothing)
        change = replace(self.record(attempt), effects=request.effects)
        if not attempt.is_open:
            return ChangeInterrupted(f"Interrupted. {change.headline}.", "", change)
        change = replace(change, status="unknown", note="interrupted")
        return ChangeInterrupted(f"Interrupted. {open_question(change)}", how_to_verify(change), change)

    def check_profile(self, symbol: str, leverage: int) -> None:
        """Once a session: a profile's key opens the account that it was first used with.

        Raises:
            ChangeNotSent: It opens another, or that cannot be read.
        """
        profile = self._client.profile
        if profile is None or self._profile_checked:
            return
        failure: LeverageError
        try:
            alias = read_alias(self._client)
            # An account without balance rows has no alias yet: it is bound later.
            bound = self.journal.bind_profile(self._client.venue.name, profile, alias) if alias else alias
        except LeverageError as exc:
            failure = exc
        else:
            if alias == bound:
                self._profile_checked = alias != ""
                return
            failure = WrongAccount(
                f"The key of the profile {profile} opens the account {alias}; it was used with {bound} before.",
                hint="If the key was swapped by mistake, put the right one back; else use another profile's name.",
            )
        raise not_sent(self._client, symbol, leverage, failure)

    # -- the journal --------------------------------------------------------------------------------------------

    def attempts(self, *, open_only: bool = False, last: int | None = None) -> list[Attempt]:
        """The attempts of this account, oldest first: see :meth:`leverage_nb.journal.journal.Journal.attempts`.

        Raises:
            JournalUnusable: The journal cannot be read.
        """
        return self.journal.attempts(self._client.identity, open_only=open_only, last=last)

    def record(self, attempt: Attempt) -> LeverageChange:
        """The record of an attempt, under the name that the account has today."""
        return replace(attempt.change, account=self._client.account)

    # -- listeners ----------------------------------------------------------------------------------------------

    def add_listener(self, listener: Callable[[LeverageChange], None]) -> None:
        """Call a method with every change whose outcome is known, for as long as its object lives."""
        self._listeners.append(WeakMethod(listener))

    def notify(self, change: LeverageChange) -> None:
        """Call the listeners with a change whose outcome is known."""
        self._listeners = [reference for reference in self._listeners if reference() is not None]
        for reference in self._listeners:
            listener = reference()
            if listener is not None:
                with suppress(Exception):  # a panel that cannot redraw must not turn a change into a failure
                    listener(change)
