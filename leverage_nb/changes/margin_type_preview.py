"""Preview of a change of margin type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from leverage_nb.changes.account_reader import SymbolView
from leverage_nb.changes.preview import ChangePreview, of_every_kind
from leverage_nb.changes.request import ChangeRequest
from leverage_nb.changes.service import ChangeService
from leverage_nb.risk.margin_type import exposed_by_cross, judge_margin_type
from leverage_nb.risk.user_input import MarginType, parse_margin_type


@dataclass(frozen=True, repr=False, kw_only=True)  # Shown has one
class MarginTypePreview(ChangePreview):
    """What a change of margin type is expected to do. See :class:`ChangePreview`.

    Attributes:
        before: The current margin type.
        after: The requested margin type, "cross" or "isolated".
        exposed: The balance that backs positions of the symbol after a change to cross, in words; "" otherwise.
    """

    before: str
    after: Literal["cross", "isolated"]
    exposed: str = ""

    @property
    def facts(self) -> tuple[object, ...]:
        """What must be the same when the change is sent."""
        return self.before, self.verdict, self.code, self.modes

    @property
    def asks(self) -> bool:
        """A change to cross is confirmed on every venue."""
        return self.after == "cross"

    @property
    def question(self) -> str:
        """The change as a question asks for it."""
        exposed = f"; positions are then backed by {self.exposed}" if self.exposed else ""
        return f"change the margin type of {self.symbol} from {self.before} to {self.after}{exposed}"

    @property
    def step(self) -> str:
        """The change in short, as ``BTCUSDT cross → isolated``."""
        return f"{self.symbol} {self.before} → {self.after}"

    @property
    def headline(self) -> str:
        """The change and its verdict, in one line."""
        if self.verdict == "unchanged":
            return f"{self.symbol} is {self.after} already"
        return f"{self.step} {self.expectation}"

    def request(self) -> ChangeRequest:
        """Return the change that is sent."""
        return ChangeRequest(
            self.symbol, self.after, self.margin_asset, self.before, True, self.setting, self.rows(), self.undoes,
            kind="margin type",
        )  # fmt: skip

    def effects(self) -> list[tuple[str, str]]:
        """Return what would change, as label and text."""
        if self.verdict == "unchanged":
            return []
        if self.after == "cross":
            return [("backed by", self.exposed)]
        return [("backed by", "the margin of each position alone; the rest of the balance is not exposed")]


def preview_margin_type(
    service: ChangeService, symbol: str, margin_type: Any, *, fresh: bool = False
) -> MarginTypePreview:
    """Preview a change of margin type: see ``Account.preview_margin_type``."""
    wanted = parse_margin_type(margin_type)
    return predict_margin_type(service, service.reader.read_symbol(symbol, reload_tiers=fresh), wanted)


def predict_margin_type(service: ChangeService, view: SymbolView, wanted: MarginType) -> MarginTypePreview:
    """Preview a change of margin type from what was read before."""
    name, state = view.outlook.symbol, view.state
    setting = state.settings[name]
    judged = judge_margin_type(state, name, wanted)
    exposed = exposed_by_cross(state, name) if wanted == "cross" else ""
    return MarginTypePreview(
        **of_every_kind(state, setting, judged, service.apply, str(service.forbidden() or "")),
        setting=setting,
        _again=lambda: preview_margin_type(service, name, wanted, fresh=True),
        before=setting.margin_type,
        after=wanted,
        exposed=exposed,
    )
