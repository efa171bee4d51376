"""What a click in the panel does: apply, confirm, undo, check again, margin, a new position."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from leverage_nb import cards
from leverage_nb.account import Account
from leverage_nb.change import Change, LeverageChange
from leverage_nb.changes.account_reader import SymbolView
from leverage_nb.changes.isolated_margin_preview import IsolatedMarginPreview
from leverage_nb.changes.margin_type_preview import predict_margin_type
from leverage_nb.changes.plan import Plan
from leverage_nb.changes.preview import ChangePreview, Preview
from leverage_nb.errors import (
    ChangeInterrupted,
    ChangeNotSent,
    InvalidInput,
    LeverageError,
    LeverageRefused,
    NotConfirmed,
    OutcomeUnknown,
    RefusalExpected,
)
from leverage_nb.formatting import times
from leverage_nb.notebook.panel_screen import BUSY, PanelScreen, account_options
from leverage_nb.notebook.panel_table import PanelData, capital, make_new_position, parse_new_position
from leverage_nb.risk.user_input import parse_margin


def _undo_label(back: ChangePreview) -> str:
    """Return the button's text. A click sends it back, so that only the change on the screen is undone."""
    return f"Undo {_short(back)}"


def _short(preview: ChangePreview) -> str:
    return preview.step.removeprefix(f"{preview.symbol} ")


def _panel_changed(symbol: object) -> NotConfirmed:
    return NotConfirmed(
        f"{symbol} has changed since the panel showed it. Nothing was sent.",
        hint="Check the panel, then click again.",
    )


class PanelClicks(PanelScreen):
    """A panel's content, and what the messages of the browser change.

    Attributes:
        reading_time: Seconds for which a question must be on the screen before an answer counts.
    """

    reading_time = 0.8

    def __init__(self, account: Account) -> None:
        self._asked_at = 0.0
        self._questions = 0
        self._confirmed = 0  # the number of the question that was confirmed last
        super().__init__(account)

    def _receive(self, _panel: Any, content: dict[str, Any], _buffers: Any) -> None:
        if content.get("kind") == "hello":
            self.send({"kind": "hello"})
            return
        handle = {
            "apply": self._apply,
            "confirm": self._confirm,
            "cancel": lambda _: self._set_message("editing", ""),
            "check": lambda _: self._check(),
            "undo": self._undo,
            "margin type": self._change_margin_type,
            "isolated margin": self._change_isolated_margin,
            "reload": lambda _: self.reload(),
            "new position": self._show_new_position,
            "select": lambda content: self._show(str(content.get("to"))),
        }.get(str(content.get("kind")))
        if handle is None:
            return
        with self._drawing:
            # A click can overtake the slider: ipywidgets holds a trait's new value back until the kernel has handled
            # the value before, and sends messages at once.
            if content.get("symbol") == self._symbol and content.get("leverage") in range(1, self._most + 1):
                self._move(int(content["leverage"]))
        try:
            self._showing_errors(handle)(content)
        finally:
            self.answered = max(self.answered, int(content.get("click", 0)))

    def _apply(self, content: dict[str, Any]) -> None:
        data, leverage = self._as_rendered(content)
        symbol = data.setting.symbol
        preview = self._previewed(data, leverage)
        if not self.account.asks_first:
            self._change(preview)
            return
        if not preview.sends:
            self._change(preview)  # raises the reason
            return
        now = self._read(symbol)  # the question is about the current state
        if now is None:
            raise _panel_changed(symbol)
        fresh = self._previewed(now, leverage)
        if not preview.still_holds(fresh):
            what = f"{symbol} has changed since it was shown."
            if fresh.before != preview.before:
                what = f"{symbol} is at {times(fresh.before)}, not {times(preview.before)} as shown."
            raise NotConfirmed(f"{what} Nothing was sent.", hint=f"Check the new preview: {fresh.headline}.")
        self._ask(fresh)

    def _change_margin_type(self, content: dict[str, Any]) -> None:
        """Ask for a confirmation of the margin type that the button named, on every venue: a click is made easily."""
        data, _ = self._as_rendered(content)
        preview = self.account.preview_margin_type(data.setting.symbol, str(content.get("to")))
        if not preview.sends:
            raise NotConfirmed(f"{preview.headline}. Nothing was sent.", hint=preview.guard)
        self._ask(preview)

    def _change_isolated_margin(self, content: dict[str, Any]) -> None:
        """Ask for a confirmation of the amount that was typed, on every venue. It has no sign: the button decides."""
        data, _ = self._as_rendered(content)
        amount = parse_margin(str(content.get("amount", "")))
        is_added = content.get("direction") == "add"
        side = str(content.get("side", "BOTH"))
        named = None if side == "BOTH" else side.lower()
        preview = self.account.preview_isolated_margin(
            data.setting.symbol, amount if is_added else -amount, position_side=named
        )
        if not preview.sends:
            raise NotConfirmed(f"{preview.headline}. Nothing was sent.", hint=preview.guard)
        if preview.needs_name:
            option = "--add-margin" if is_added else "--reduce-margin"
            words = f"{option} {amount:f} --confirm {amount:f}{f' --side {named}' if named else ''}"
            raise NotConfirmed(
                f"{preview.exceeded().message} Nothing was sent.",
                hint=f"To send it: {self._line(f'{preview.symbol} {words}')}",
            )
        self._ask(preview)

    def _line(self, words: str) -> str:
        """Return a ``%leverage`` line that uses the panel's account."""
        return f"%leverage {words}{account_options(self.account)}"

    def _ask(self, preview: ChangePreview) -> None:
        """Ask for a confirmation of a change."""
        whose = f"{self.account.venue_label.upper()}, {self.account.label}"
        question = f"{whose}: {preview.question}? {preview.headline}."
        caution = f"{capital(preview.caution)}." if preview.caution else ""
        notes = [caution, *preview.warnings, "Confirm to send, or press Cancel."]
        message = cards.message(question, " ".join(filter(None, notes)), "warn")
        with self._drawing, self.hold_sync():
            self._set_message("confirming", message)
            self._questions += 1
            self._asked, self._asked_at = preview, time.monotonic()
            self.question = {
                "number": self._questions,
                "text": _short(preview),
                "leverage": preview.after if isinstance(preview, Preview) else self.leverage,
                "seconds": self.reading_time,
            }

    def _confirm(self, content: dict[str, Any]) -> None:
        """Make the change of the question that was answered, if that is the one on the screen."""
        number = content.get("question")
        if number == self._confirmed and number:
            return  # the same click once more: its report stays
        _, leverage = self._as_rendered(content)
        asked, question = self._asked, self.question
        if asked is None or (number, leverage) != (question.get("number"), question.get("leverage")):
            raise NotConfirmed(
                "The change you confirmed is no longer the one on screen. Nothing was sent.",
                hint="Check the panel, then click again.",
            )
        if time.monotonic() - self._asked_at < self.reading_time:
            raise NotConfirmed(
                "The confirmation came before the question could be read. Nothing was sent.",
                hint="Choose the change again.",
            )
        self._confirmed = self._questions
        self._change(asked.confirmed())

    def _undo(self, content: dict[str, Any]) -> None:
        """Undo the change that was just reported, if it is still the last one."""
        data, _ = self._as_rendered(content)
        symbol = data.setting.symbol
        preview = self.account.preview_undo()
        on_screen = symbol, content.get("label")
        if isinstance(preview, Plan) or (preview.symbol, _undo_label(preview)) != on_screen:
            self.undo = ""
            raise NotConfirmed(
                "Another change was made since. Nothing was sent.", hint=f"To see it: {self._line('--undo -n')}"
            )
        if preview.verdict == "refused" and not preview.guard:
            raise NotConfirmed(
                f"{preview.headline}. Nothing was sent.",
                hint=f"To send it all the same: {self._line('--undo --force')}",
            )
        if isinstance(preview, IsolatedMarginPreview) and preview.needs_name:
            raise NotConfirmed(
                f"{preview.exceeded().message} Nothing was sent.",
                hint=f"To undo it: {self._line(f'--undo --confirm {abs(preview.amount):f}')}",
            )
        if not isinstance(preview, Preview):
            self._ask(preview)
            return
        if not self.account.asks_first or preview.guard:
            self._move(preview.after)
            self._change(preview)
            return
        if self._read(symbol, preview.after) is None:  # the question is about the current state
            raise _panel_changed(symbol)
        if self.leverage != preview.after:
            raise NotConfirmed(f"{preview.after}x cannot be chosen now. Nothing was sent.", hint="Press Reload.")
        self._ask(preview)

    def _previewed(self, data: PanelData, leverage: int) -> Preview:
        """Return the preview of what is on the screen."""
        return self._service.preview_at(SymbolView(data.outlook, data.state), leverage)

    def _as_rendered(self, content: dict[str, Any]) -> tuple[PanelData, int]:
        """Return the data and the leverage on the screen at the click, if they are still shown.

        The kernel's own copy counts, because the browser can write to its copy of the table.
        """
        with self._drawing:
            if (content.get("symbol"), content.get("version")) != (self._symbol, self._version):
                raise _panel_changed(content.get("symbol"))
            if self._unknown is not None:
                raise NotConfirmed(
                    "The outcome of the change before is not known yet. Nothing was sent.",
                    hint="Press Check again first.",
                )
            return self._data, int(content["leverage"])

    def _change(self, preview: ChangePreview) -> None:
        """Make a change, and report its outcome before anything else is done."""
        offered, self.undo = self.undo, ""
        self._set_message("applying", "")
        change: Change | None = None
        try:
            change = preview.apply(progress=self._show_progress)
            self._report(change)
        except (LeverageError, ChangeInterrupted) as exc:
            if isinstance(exc, (ChangeNotSent, LeverageRefused)):
                self.undo = offered  # the change before can still be undone
            self._show_error(exc)
        self._refresh()
        if change is not None:
            with suppress(Exception, KeyboardInterrupt):  # the change is reported, and %leverage --undo is left
                self._offer_undo(change, preview)

    def _refresh(self) -> None:
        """Read the account after a change. If that fails, the report of the change stays, with a note."""
        try:
            self._read(self.symbol)
        except (Exception, KeyboardInterrupt):  # noqa: BLE001 - nothing may replace the report of a change
            note = cards.message("The account could not be read again.", "Reload shows the current figures.", "warn")
            if self.state not in BUSY:
                self._set_message(self.state, note if self._unknown is not None else f"{self.message}{note}")

    def _offer_undo(self, change: Change, made: ChangePreview) -> None:
        """Offer to undo a change that was just made, unless that would be refused or the change was an undo itself."""
        before = change.before
        if change.status != "applied" or made.undoes is not None or before is None or change.symbol != self._symbol:
            return
        back: ChangePreview | Plan
        if change.kind == "isolated margin":
            back = self.account.preview_undo()
            if not isinstance(back, IsolatedMarginPreview) or back.needs_name:  # a click would not be enough
                return
        elif change.kind == "margin type":
            view = SymbolView(self._data.outlook, self._data.state)
            back = predict_margin_type(self._service, view, before)
        elif before > self._most:
            return
        else:
            back = self._previewed(self._data, before)
        if back.sends:
            self.undo = _undo_label(back)

    def _show_progress(self, text: str) -> None:
        self._set_message("checking", cards.message(f"{capital(text)}.", tone="warn"))

    def _check(self) -> None:
        """Verify the change whose outcome is unknown, and show what the journal has about it."""
        if self._unknown is None:
            return  # it was settled since the click
        self.account.settle(self._show_progress)
        self._report_known()
        self._refresh()

    def _show_new_position(self, content: dict[str, Any]) -> None:
        """Show a new position of another size."""
        if content.get("symbol") != self.symbol:
            return  # it was typed for another symbol
        with self._drawing:
            text, stop = str(content.get("text", "")), str(content.get("stop", ""))
            typed = parse_new_position(text, content.get("unit"), stop)
            if typed.text and not self._data.mark_price:
                raise InvalidInput(f"The mark price of {self.symbol} could not be read.", hint="Press Reload.")
            self.new_position = make_new_position(self._data, typed)
            self._typed = typed
        self._set_message("editing", "")

    def _showing_errors(self, handler: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
        """Show errors of a callback in the panel; ipywidgets would only log them."""

        def run(content: dict[str, Any]) -> None:
            try:
                handler(content)
            except (Exception, KeyboardInterrupt) as exc:  # noqa: BLE001 - the message area is the last place to show it
                self._show_error(exc)

        return run

    def _show_error(self, exc: BaseException) -> None:
        if isinstance(exc, (ChangeInterrupted, OutcomeUnknown)):
            hint = self._unknown_hint(exc.change) or exc.hint
            self._show_outcome(exc.change, cards.message(exc.message, hint, "warn"))
            return
        if isinstance(exc, LeverageError):
            text, hint = (exc.headline, "") if exc.rows else (exc.message, exc.hint)
            if (
                isinstance(exc, ChangeNotSent)
                and isinstance(exc.reason, RefusalExpected)
                and isinstance(exc.change, LeverageChange)
            ):
                words = f"{exc.change.symbol} {exc.change.requested} --force"
                hint = f"To send it all the same: {self._line(words)}"
            self._set_message("failed", cards.message(text, hint, "bad", exc.rows))
            return
        sent = f"To see whether it was sent: {self._line('--history')}" if self.state in BUSY else "Nothing was sent."
        if isinstance(exc, KeyboardInterrupt):
            self._set_message("failed", cards.message("Interrupted.", sent, "warn"))
            return
        text = f"{type(exc).__name__} in the panel. This is a bug in leverage_nb: please report it."
        self._set_message("failed", cards.message(text, sent, "bad"))
