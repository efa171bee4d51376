"""ChangeService: resolve, preview, apply and notify for one account; used by Account, magic and panel."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakMethod

from leverage_nb import interrupts
from leverage_nb.binance import reader
from leverage_nb.binance.client import RestClient
from leverage_nb.binance.credentials import KeyWarning, warn_once
from leverage_nb.binance.permissions import find_risks
from leverage_nb.change import Change
from leverage_nb.changes.account_limits import AccountLimits
from leverage_nb.changes.fresh_read import SECOND_READ_AFTER, all_agree, is_fresh
from leverage_nb.changes.guard import Bound, Guard
from leverage_nb.changes.preview import ChangePreview, Preview, make_preview
from leverage_nb.changes.report import how_to_verify, may_be_changed, not_sent, return_if_applied
from leverage_nb.changes.request import ChangeRequest
from leverage_nb.changes.send import Sender
from leverage_nb.changes.settle import Progress, seconds_left, settle
from leverage_nb.errors import (
    ChangedElsewhere,
    ChangeInterrupted,
    InvalidInput,
    InvalidLeverage,
    JournalUnusable,
    LeverageError,
    LeverageRefused,
    RefusalExpected,
    UnexpectedAnswer,
    WrongAccount,
    as_typed,
)
from leverage_nb.journal.attempts import Attempt
from leverage_nb.journal.journal import Journal
from leverage_nb.risk.account_state import AccountState
from leverage_nb.risk.brackets import Brackets
from leverage_nb.risk.new_position import NewPosition
from leverage_nb.risk.outlook import Outlook
from leverage_nb.risk.user_input import (
    LONGEST_SYMBOL,
    is_max,
    normalize,
    parse_leverage,
    parse_margin_type,
    parse_notional,
)
from leverage_nb.tiers.cache import TierCache

# Seconds that an interrupted change gets to record its end.
_TO_RECORD = 1.0
# Seconds after which Tab no longer shows what was read.
_KNOWN_FOR = 300.0


@dataclass(frozen=True)
class SymbolView:
    """One symbol of the account, as read at one moment.

    Attributes:
        outlook: The position and its open orders at every leverage.
        state: The account state that the outlook was made from.
        mark_price: The mark price; None if it was not read.
    """

    outlook: Outlook
    state: AccountState
    mark_price: float | None = None


class ChangeService:
    """Previews and makes the changes of one account.

    Args:
        client: The client of the account.
        journal: The journal in which each attempt is recorded before it leaves.
        tiers: The account's tiers.
        guard: The user's upper bound on leverage.

    Attributes:
        client, journal, tiers, guard: As given.
        account_limits: The upper bounds that the exchange has named in refusals.
    """

    def __init__(self, client: RestClient, journal: Journal, tiers: TierCache, guard: Guard) -> None:
        self.client, self.journal, self.tiers, self.guard = client, journal, tiers, guard
        self.account_limits = AccountLimits()
        self._profile_checked = client.profile is None
        self._key_checked = False
        self._known: tuple[AccountState, float] | None = None  # the last state, and when it was read (monotonic)
        self._listeners: list[WeakMethod[Callable[[Change], None]]] = []

    # -- reading ----------------------------------------------------------------------------------------------

    def read_state(self, symbols: Sequence[str] = (), *, reload_tiers: bool = False) -> AccountState:
        """Read the account, and the tiers at the same time if they are older than five minutes.

        It is read once more if the setting of one of ``symbols`` differs from the exchange's latest answer: a read may
        be stale by the grace. If the second read differs too, the setting was changed elsewhere.

        Args:
            symbols: The symbols that matter; unknown ones are ignored.
            reload_tiers: Whether to read the tiers in any case.
        """
        listing = self.tiers.reload if reload_tiers else self.tiers.listing
        state = reader.read_state(self.client, listing)
        listed = [symbol for symbol in symbols if symbol in self.tiers.table()]
        if not all_agree(self.client, self.journal, state.settings, listed):
            interrupts.run(lambda: interrupts.pause(max(SECOND_READ_AFTER, self.client.grace)))
            state = reader.read_state(self.client, self.tiers.listing)
        self._known = state, time.monotonic()
        return state

    def known_outlook(self, tiers: Brackets) -> Outlook | None:
        """Return a symbol's outlook as last read, with the changes since; None without a read of the last five minutes.

        Sends no request. It is for hints such as Tab's, never for a decision.
        """
        if self._known is None or time.monotonic() - self._known[1] > _KNOWN_FOR:
            return None
        state = self._known[0]
        is_known = tiers.symbol in state.settings and not state.why_unknown(tiers.symbol)
        return self.outlook(state, tiers) if is_known else None

    def read_symbol(self, symbol: str, *, reload_tiers: bool = False, mark_price: bool = False) -> SymbolView:
        """Read the account, a symbol's tiers and, if asked for, its mark price, all at the same time.

        Raises:
            UnknownSymbol: The venue does not list the symbol.
            UnexpectedAnswer: The exchange has tiers of the symbol, but no setting; or its setting or its position could
                not be read.
        """
        name = _name(symbol)
        state, price = reader.read_together(
            lambda: self.read_state([name] if name else [], reload_tiers=reload_tiers),
            lambda: _error_or(lambda: reader.read_mark_price(self.client, name)) if mark_price and name else None,
        )
        tiers = self.tiers.find(symbol)
        if mark_price and not name:
            price = _error_or(lambda: reader.read_mark_price(self.client, tiers.symbol))
        self.check_known(state, tiers.symbol)
        if isinstance(price, UnexpectedAnswer):
            price = None  # no change needs it
        elif isinstance(price, LeverageError):
            raise price
        return SymbolView(self.outlook(state, tiers), state, price)

    def check_known(self, state: AccountState, symbol: str) -> None:
        """Check that a state has a listed symbol's setting, and its positions and orders if there are any.

        Raises:
            UnexpectedAnswer: It does not; the error names the reason.
        """
        speaker, reason = self.client.venue.speaker, state.why_unknown(symbol)
        if reason:
            raise UnexpectedAnswer(
                f"{speaker}'s answer about {symbol} is not usable: {reason}.",
                hint="Symbols with usable answers are not affected. Try again later.",
            )
        if symbol not in state.settings:
            raise UnexpectedAnswer(f"{speaker} has tiers of {symbol}, but no setting.", hint="Try again later.")

    def outlook(self, state: AccountState, tiers: Brackets) -> Outlook:
        """Return the outlook of an account state, with the account limits."""
        return Outlook(state, tiers, self.account_limits.of(tiers.symbol))

    def bound(self, tiers: Brackets) -> Bound:
        """Return the highest leverage that can be chosen: the symbol's maximum, an account limit or the guard."""
        bounds = [Bound(tiers.symbol_max_leverage, "the symbol's maximum")]
        limit, guard = self.account_limits.of(tiers.symbol), self.guard.limit()
        if limit is not None:
            bounds.append(Bound(limit.max_leverage, "an account limit of the exchange"))
        if guard is not None:
            bounds.append(Bound(guard.leverage, f"your guard: {guard.source}"))
        return min(bounds, key=lambda bound: bound.leverage)

    # -- resolving --------------------------------------------------------------------------------------------

    def leverage_of(self, tiers: Brackets, leverage: Any) -> int:
        """Parse a leverage, and check it against a symbol's tiers.

        Raises:
            InvalidLeverage: It is not a whole number from 1 to the symbol's maximum.
        """
        with suppress(InvalidLeverage):
            wanted = parse_leverage(leverage)
            if wanted > tiers.symbol_max_leverage:
                tiers = self.tiers.find_again(tiers)  # the maximum may have risen since
            if wanted <= tiers.symbol_max_leverage:
                return wanted
            leverage = wanted
        raise InvalidLeverage(leverage, tiers.symbol, tiers.symbol_max_leverage)

    def highest(self, outlook: Outlook, notional: float | str = 0.0) -> int:
        """Return the highest leverage that allows a notional and the position, and that the guard allows.

        Raises:
            InvalidInput: There is none.
        """
        size = 0.0 if notional == 0 else parse_notional(notional)
        guard = self.guard.limit()
        if guard is None:
            return outlook.highest(size)
        exceeded = self.guard.exceeded(guard.leverage + 1)
        return outlook.highest(size, guard.leverage, str(exceeded or ""))

    def highest_for_stop(self, symbol: str, notional: float | str, stop: float | str, buffer: float) -> int:
        """Return the highest leverage that keeps liquidation beyond a stop: see ``Account.highest_leverage``."""
        if notional == 0:
            raise InvalidInput("A stop needs the notional of the new position.", hint='For example notional="2m".')
        size = parse_notional(notional)
        view, guard = self.read_symbol(symbol, mark_price=True), self.guard.limit()
        if view.mark_price is None:
            raise UnexpectedAnswer(
                f"The mark price of {view.outlook.symbol} could not be read.", hint="Try again later."
            )
        most = guard.leverage if guard is not None else None
        bound = NewPosition(view.outlook, size, "margin asset", view.mark_price, most).before_liquidation(stop, buffer)
        if bound.leverage is None:
            raise InvalidInput(bound.obstacle)
        return bound.leverage

    # -- previewing -------------------------------------------------------------------------------------------

    def preview(
        self, symbol: str, leverage: Any, *, notional: float | str = 0.0, reload_tiers: bool = False
    ) -> Preview:
        """Preview a change: see ``Account.preview``.

        Args:
            symbol: In any spelling.
            leverage: In any form, or "max" for the highest leverage that fits.
            notional: With "max": the position size that must still be allowed.
            reload_tiers: Whether to read the tiers in any case.
        """
        to_highest = is_max(leverage)
        if notional != 0 and not to_highest:
            raise InvalidInput('A notional needs the leverage "max".', hint="To change to a number, leave it out.")
        failure: LeverageError
        try:
            view = self.read_symbol(symbol, reload_tiers=reload_tiers)
        except InvalidInput:
            raise
        except LeverageError as exc:
            failure = exc
        else:
            if to_highest:
                return self.preview_at(view, self.highest(view.outlook, notional))
            wanted = self.leverage_of(view.outlook.brackets, leverage)
            if wanted > len(view.outlook.leverage):  # the tiers were reloaded: the maximum has risen
                view = replace(view, outlook=self.outlook(view.state, self.tiers.find(view.outlook.symbol)))
            return self.preview_at(view, wanted)
        raise failure if to_highest else self._unread(symbol, leverage, failure)

    def preview_at(self, view: SymbolView, leverage: int) -> Preview:
        """Preview a change from what was read before."""
        highest = len(view.outlook.leverage)
        if not 1 <= leverage <= highest:
            raise InvalidLeverage(leverage, view.outlook.symbol, highest)
        symbol, forbidden = view.outlook.symbol, self.forbidden(leverage)
        return make_preview(
            view.outlook,
            view.state,
            leverage,
            self.apply,
            lambda: self.preview(symbol, leverage, reload_tiers=True),
            str(forbidden or ""),
        )

    # -- changing ---------------------------------------------------------------------------------------------

    def set_leverage(
        self, symbol: str, leverage: Any, progress: Progress | None = None, *, notional: float | str = 0.0
    ) -> Change:
        """Make a change from the current leverage: see ``Account.set_leverage``."""
        if is_max(leverage) or notional != 0:
            return self.apply(self.preview(symbol, leverage, notional=notional), False, progress)
        setting = None
        failure: LeverageError
        try:
            name = _name(symbol)
            if self.tiers.is_current or not name:
                tiers = self.tiers.find(symbol)
            else:  # both at the same time
                tiers, setting = reader.read_together(
                    lambda: self.tiers.find(symbol),
                    lambda: _none_or(lambda: reader.read_setting(self.client, name)),
                )
            wanted = self.leverage_of(tiers, leverage)
        except InvalidInput:
            raise
        except LeverageError as exc:
            failure = exc
        else:
            asset = self.tiers.margin_assets().get(tiers.symbol, "")
            return self.make(ChangeRequest(tiers.symbol, wanted, asset, setting=setting), progress)
        raise self._unread(symbol, leverage, failure)

    def set_margin_type(self, symbol: str, margin_type: Any, progress: Progress | None = None) -> Change:
        """Make a change from the current margin type: see ``Account.set_margin_type``."""
        wanted = parse_margin_type(margin_type)
        failure: LeverageError
        try:
            name = self.tiers.find(symbol).symbol
        except InvalidInput:
            raise
        except LeverageError as exc:
            failure = exc
        else:
            asset = self.tiers.margin_assets().get(name, "")
            return self.make(ChangeRequest(name, wanted, asset, kind="margin type"), progress)
        request = ChangeRequest(_name(symbol) or as_typed(symbol), wanted, kind="margin type")
        raise not_sent(request.outcome(self.client, "not_sent"), failure)

    def _unread(self, symbol: str, leverage: Any, failure: LeverageError) -> LeverageError:
        """Return the error for a change whose symbol could not be read."""
        request = ChangeRequest(_name(symbol) or as_typed(symbol), parse_leverage(leverage))
        return not_sent(request.outcome(self.client, "not_sent"), failure)

    def apply(self, preview: ChangePreview, force: bool, progress: Progress | None) -> Change:
        """Make a previewed change: see ``Preview.apply``."""
        if not is_fresh(preview.setting):
            preview = self._preview_again(preview)
        request = preview.request()
        if preview.verdict == "refused" and not force:
            expected = RefusalExpected(
                f"The exchange is expected to refuse it: {preview.reason} ({preview.code}).",
                hint="To send it all the same: --force, or apply(force=True).",
                code=preview.code,
            )
            raise not_sent(request.outcome(self.client, "not_sent"), expected)
        return self.make(request, progress)

    def _preview_again(self, preview: ChangePreview) -> ChangePreview:
        """Preview the same change on new reads.

        Raises:
            ChangeNotSent: The account is no longer as the preview showed it, or could not be read.
        """
        failure: LeverageError
        try:
            fresh = preview.again()
            if preview.still_holds(fresh):
                return fresh
            failure = ChangedElsewhere(
                f"The account has changed since the preview. Now: {fresh.headline}.",
                hint="Check the new preview, then confirm again.",
            )
        except LeverageError as exc:
            failure = exc
        raise not_sent(preview.request().outcome(self.client, "not_sent"), failure)

    def make(self, request: ChangeRequest, progress: Progress | None) -> Change:
        """Make a change that is resolved. The guard and ``read_only`` are checked here, before sending.

        Raises:
            ChangeNotSent, LeverageRefused, ChangeNotApplied, ChangeSuperseded, OutcomeUnknown: With ``.change``.
            ChangeInterrupted: Ctrl-C. Its record shows what is in the journal; nothing more is sent.
        """
        leverage = request.requested if request.kind == "leverage" else None
        if (forbidden := request.forbidden or self.forbidden(leverage)) is not None:  # type: ignore[arg-type]
            raise not_sent(request.outcome(self.client, "not_sent"), forbidden)
        sender = Sender(self.client, self.journal, request, progress)
        task = interrupts.Task(lambda: self._run(sender, request))
        try:
            return task.result()
        except KeyboardInterrupt:
            task.cancel()
        except LeverageError:
            raise
        except Exception as exc:  # noqa: BLE001 - what was sent must be reported
            bug = LeverageError(f"{type(exc).__name__} in leverage_nb. Please report this bug.")
            try:
                if (attempt := sender.latest_attempt()) is None:
                    raise
                change = replace(self.record(attempt), effects=request.effects)
            except JournalUnusable:  # it may have been sent
                change = request.outcome(self.client, "unknown", is_final=False)
            return return_if_applied(change, bug)
        with suppress(LeverageError, KeyboardInterrupt):
            task.finish(_TO_RECORD)
        raise self._interrupted(sender, request)

    def forbidden(self, leverage: int | None = None) -> LeverageError | None:
        """Return why this account sends no such change: it is read-only, or the guard; None if it may."""
        return self.client.refusal() or (self.guard.exceeded(leverage) if leverage is not None else None)

    def _run(self, sender: Sender, request: ChangeRequest) -> Change:
        failure: LeverageError
        try:
            self.check_profile()
        except LeverageError as exc:
            failure = exc
        else:
            try:
                change = sender.run()
            except LeverageRefused as refused:
                if request.kind == "leverage":
                    self.account_limits.learn(request.symbol, refused)
                raise
            self.note_end(change)
            self.warn_of_key()  # after the change: it may take 2 s, and the read that it was sent on must be fresh
            return change
        raise not_sent(request.outcome(self.client, "not_sent"), failure)

    def note_end(self, change: Change) -> None:
        """Drop account limits that a change has disproved, and notify the listeners."""
        if change.status == "applied" and change.kind == "leverage":
            self.account_limits.forget_below(change.symbol, change.requested)
        self.notify(change)

    def _interrupted(self, sender: Sender, request: ChangeRequest) -> ChangeInterrupted:
        """Return the error that reports a change that Ctrl-C stopped, by what is in the journal."""
        nothing = request.outcome(self.client, "not_sent")
        try:
            attempt = sender.latest_attempt()
        except JournalUnusable as exc:
            unknown = replace(nothing, status="unknown", note=f"Interrupted. {exc.message}", is_final=False)
            return ChangeInterrupted(f"Interrupted. {may_be_changed(unknown)}", exc.hint, unknown)
        if attempt is None:
            return ChangeInterrupted(f"Interrupted. {request.symbol} was not changed. Nothing was sent.", "", nothing)
        change = replace(self.record(attempt), effects=request.effects)
        if not attempt.is_open:
            return ChangeInterrupted(f"Interrupted. {change.headline}.", "", change)
        change = replace(change, status="unknown", note="Interrupted.")
        return ChangeInterrupted(f"Interrupted. {may_be_changed(change)}", how_to_verify(change), change)

    def check_profile(self) -> None:
        """Check once per session that the profile's key opens the account that the profile was first used with.

        Raises:
            WrongAccount: It opens another account.
            LeverageError: The account could not be read.
        """
        if self._profile_checked:
            return
        profile = str(self.client.profile)
        alias = reader.read_alias(self.client)
        # An account without balance rows has no alias yet; its profile is bound later.
        bound = self.journal.bind_profile(self.client.venue.name, profile, alias) if alias else alias
        if alias != bound:
            raise WrongAccount(
                f"The key of the profile {profile} opens the account {alias}. It was used with {bound} before.",
                hint="If the key was swapped by mistake, put the right one back. Otherwise use another profile name.",
            )
        self._profile_checked = alias != ""

    def warn_of_key(self) -> None:
        """Once per session, warn of a key that may withdraw or works from every address. It takes at most 2 s."""
        if self._key_checked:
            return
        self._key_checked = True
        for risk in find_risks(self.client):
            with suppress(KeyWarning):  # a filter may make it an error, which must not stop a change
                warn_once(risk)

    # -- past changes -----------------------------------------------------------------------------------------

    def attempts(self, *, open_only: bool = False, last: int | None = None) -> list[Attempt]:
        """Return the attempts of this account, oldest first.

        Raises:
            JournalUnusable: The journal cannot be read.
        """
        return self.journal.attempts(self.client.identity, open_only=open_only, last=last)

    def record(self, attempt: Attempt) -> Change:
        """Return the record of an attempt, under the account's current name."""
        return replace(attempt.change, account=self.client.account)

    def settle_open(self, progress: Progress | None = None, *, wait: bool) -> list[Change]:
        """Find the outcome of changes without a definite answer: see ``Account.settle``."""
        awaited = self.attempts(open_only=True)
        if any(seconds_left(self.client, attempt) for attempt in awaited):
            with suppress(LeverageError):  # this machine's clock may be wrong
                self.client.compare_clocks()
        if not wait:
            awaited = [attempt for attempt in awaited if not seconds_left(self.client, attempt)]
        found = interrupts.run(lambda: settle(self.client, self.journal, awaited, progress=progress, until_closed=True))
        changes = [self.record(attempt) for attempt in found if not attempt.is_open]
        for change in changes:
            self.note_end(change)
        return changes

    def open_changes(self) -> list[Change]:
        """Return the changes without a final outcome. Reads only the journal; sends no request.

        Raises:
            JournalUnusable: The journal cannot be read.
        """
        return [self.record(attempt) for attempt in self.attempts(open_only=True)]

    def last_changes(self, count: int) -> list[Change]:
        """Return the last changes, newest first, and all open ones. Reads only the journal; sends no request.

        Raises:
            JournalUnusable: The journal cannot be read.
        """
        wanted = {attempt.number: attempt for attempt in (*self.attempts(last=count), *self.attempts(open_only=True))}
        return [self.record(attempt) for _, attempt in sorted(wanted.items(), reverse=True)]

    # -- listeners ----------------------------------------------------------------------------------------------

    def add_listener(self, listener: Callable[[Change], None]) -> None:
        """Call a bound method with every change whose outcome is known, as long as its object exists."""
        self._listeners.append(WeakMethod(listener))

    def notify(self, change: Change) -> None:
        """Call the listeners with a change whose outcome is known."""
        if self._known is not None and change.after is not None and change.symbol in self._known[0].settings:
            state, read_at = self._known
            value = {"leverage": "leverage", "margin type": "margin_type"}[change.kind]
            setting = replace(state.settings[change.symbol], **{value: change.after})
            self._known = replace(state, settings={**state.settings, change.symbol: setting}), read_at
        for reference in list(self._listeners):  # another thread may add one meanwhile
            listener = reference()
            if listener is None:
                with suppress(ValueError):  # another thread has removed it
                    self._listeners.remove(reference)
                continue
            with suppress(Exception):  # a panel that cannot redraw must not make a change fail
                listener(change)

    def tier_news(self, symbol: str | None = None) -> list[str]:
        """Return in words what has changed in the tiers since they were read before; each change is returned once."""
        changes = self.tiers.history.take_news(symbol)
        state = None
        if changes:
            with suppress(LeverageError):  # without the position the text is shorter
                state = self.read_state()
        return [change.text(state) for change in changes]


def _name(symbol: Any) -> str:
    """Return a symbol that may be sent before it is looked up; "" for what may be a key typed in the wrong place."""
    name = normalize(symbol) if isinstance(symbol, str) else ""
    return name if as_typed(name, LONGEST_SYMBOL) == name else ""


def _error_or(read: Callable[[], Any]) -> Any:
    """Return what a read returns, or its error."""
    try:
        return read()
    except LeverageError as exc:
        return exc


def _none_or(read: Callable[[], Any]) -> Any:
    """Return what a read returns; None if it fails."""
    result = _error_or(read)
    return None if isinstance(result, LeverageError) else result
