"""ChangeService: resolve, preview, apply and notify for one account; used by Account, magic and panel."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any
from weakref import WeakMethod

from leverage_nb import interrupts
from leverage_nb.binance import reader
from leverage_nb.binance.client import RestClient
from leverage_nb.binance.credentials import KeyWarning, warn_once
from leverage_nb.binance.permissions import find_risks
from leverage_nb.change import Change
from leverage_nb.changes.account_limits import AccountLimits
from leverage_nb.changes.account_reader import AccountReader, SymbolView, error_or, sendable_symbol
from leverage_nb.changes.fresh_read import is_fresh
from leverage_nb.changes.guard import Bound, Guard, why_highest
from leverage_nb.changes.past_changes import PastChanges
from leverage_nb.changes.preview import ChangePreview, Preview, make_preview
from leverage_nb.changes.report import how_to_verify, may_be_changed, not_sent, return_if_applied
from leverage_nb.changes.request import ChangeRequest
from leverage_nb.changes.send import Sender
from leverage_nb.changes.settle import Progress
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
from leverage_nb.journal.journal import Journal
from leverage_nb.risk.brackets import Brackets
from leverage_nb.risk.new_position import NewPosition
from leverage_nb.risk.outlook import Outlook
from leverage_nb.risk.user_input import (
    is_max,
    is_number,
    parse_leverage,
    parse_margin_type,
    parse_notional,
)
from leverage_nb.tiers.cache import TierCache

# Seconds that an interrupted change gets to record its end.
_TO_RECORD = 1.0


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
        reader: Reads the account.
        past: The changes in the journal.
    """

    def __init__(self, client: RestClient, journal: Journal, tiers: TierCache, guard: Guard) -> None:
        self.client, self.journal, self.tiers, self.guard = client, journal, tiers, guard
        self.account_limits = AccountLimits()
        self.reader = AccountReader(client, journal, tiers, self.account_limits)
        self.past = PastChanges(client, journal, self.note_end)
        self._profile_checked = client.profile is None
        self._key_checked = False
        self._listeners: list[WeakMethod[Callable[[Change], None]]] = []

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
        size = _size_of(notional)
        guard = self.guard.limit()
        if guard is None:
            return outlook.highest(size)
        exceeded = self.guard.exceeded(guard.leverage + 1)
        return outlook.highest(size, guard.leverage, str(exceeded or ""))

    def highest_for_stop(self, symbol: str, notional: float | str, stop: float | str, buffer: float) -> int:
        """Return the highest leverage that keeps liquidation beyond a stop: see ``Account.highest_leverage``."""
        if _is_zero(notional):
            raise InvalidInput("A stop needs the notional of the new position.", hint='For example notional="2m".')
        size = parse_notional(notional)
        view, guard = self.reader.read_symbol(symbol, mark_price=True), self.guard.limit()
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
        if not _is_zero(notional) and not to_highest:
            raise InvalidInput('A notional needs the leverage "max".', hint="To change to a number, leave it out.")
        failure: LeverageError
        try:
            view = self.reader.read_symbol(symbol, reload_tiers=reload_tiers)
        except InvalidInput:
            raise
        except LeverageError as exc:
            failure = exc
        else:
            if to_highest:
                highest = self.highest(view.outlook, notional)
                preview = self.preview_at(view, highest)
                why = why_highest(view.outlook, highest, self.guard.limit(), _size_of(notional))
                return replace(preview, limited_by=why)
            wanted = self.leverage_of(view.outlook.brackets, leverage)
            if wanted > len(view.outlook.leverage):  # the tiers were reloaded: the maximum has risen
                view = replace(view, outlook=self.reader.outlook(view.state, self.tiers.find(view.outlook.symbol)))
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
        if is_max(leverage) or not _is_zero(notional):
            return self.apply(self.preview(symbol, leverage, notional=notional), False, progress)
        setting = None
        failure: LeverageError
        try:
            name = sendable_symbol(symbol)
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
        request = ChangeRequest(sendable_symbol(symbol) or as_typed(symbol), wanted, kind="margin type")
        raise not_sent(request.outcome(self.client, "not_sent"), failure)

    def _unread(self, symbol: str, leverage: Any, failure: LeverageError) -> LeverageError:
        """Return the error for a change whose symbol could not be read."""
        request = ChangeRequest(sendable_symbol(symbol) or as_typed(symbol), parse_leverage(leverage))
        return not_sent(request.outcome(self.client, "not_sent"), failure)

    def apply(self, preview: ChangePreview, force: bool, progress: Progress | None) -> Change:
        """Make a previewed change: see ``Preview.apply``."""
        if preview.is_relative:
            self._check_unused(preview)
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

    def _check_unused(self, preview: ChangePreview) -> None:
        """Check that no change of the same kind was made since a preview, which may have been this one.

        Raises:
            ChangeNotSent: One was made, or the journal cannot be read.
        """
        request = preview.request()
        failure: LeverageError
        try:
            if not self.past.has_since(preview.symbol, request.kind, preview.as_of):
                return
            failure = ChangedElsewhere(
                f"The {request.kind} of {preview.symbol} was changed since this preview.",
                hint="Make a new preview, then confirm again.",
            )
        except LeverageError as exc:
            failure = exc
        raise not_sent(request.outcome(self.client, "not_sent"), failure)

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
                change = replace(self.past.change_of(attempt), effects=request.effects)
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
        change = replace(self.past.change_of(attempt), effects=request.effects)
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

    # -- listeners ----------------------------------------------------------------------------------------------

    def add_listener(self, listener: Callable[[Change], None]) -> None:
        """Call a bound method with every change whose outcome is known, as long as its object exists."""
        self._listeners.append(WeakMethod(listener))

    def notify(self, change: Change) -> None:
        """Call the listeners with a change whose outcome is known."""
        self.reader.note(change)
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
                state = self.reader.read_state()
        return [change.text(state) for change in changes]


def _is_zero(notional: Any) -> bool:
    """Whether no notional is given. Other values, such as pandas' NA, may have no truth value."""
    return is_number(notional) and notional == 0


def _size_of(notional: Any) -> float:
    return 0.0 if _is_zero(notional) else parse_notional(notional)


def _none_or(read: Callable[[], Any]) -> Any:
    """Return what a read returns; None if it fails."""
    result = error_or(read)
    return None if isinstance(result, LeverageError) else result
