"""ExpectedModes: the position mode and the multi-assets mode that a plan was written for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from leverage_nb.errors import InvalidInput, WrongMode, as_typed
from leverage_nb.risk.account_state import ASSETS_MODES, POSITION_MODES, AccountState


@dataclass(frozen=True)
class ExpectedModes:
    """The modes that an account must be in for a plan to be made and applied.

    Attributes:
        position_mode: "one-way" or "hedge"; None for either.
        multi_assets: Whether it is multi-assets mode; None for either.

    Raises:
        InvalidInput: A value is none of these.
    """

    position_mode: str | None = None
    multi_assets: bool | None = None

    def __post_init__(self) -> None:
        if self.position_mode not in (None, *POSITION_MODES):
            raise InvalidInput(
                f"{as_typed(self.position_mode)} is not a position mode.",
                hint='Use position_mode="one-way" or position_mode="hedge".',
            )
        if not (self.multi_assets is None or isinstance(self.multi_assets, bool)):
            raise InvalidInput(
                f"multi_assets is True or False; got {as_typed(self.multi_assets)}.",
                hint="True is multi-assets mode, False is single-asset mode.",
            )

    @classmethod
    def read(cls, text: str) -> ExpectedModes:
        """Read modes separated by commas, as in ``--expect hedge,multi-assets``.

        Raises:
            InvalidInput: A word is no mode, or two are of the same kind.
        """
        words = [word.strip().lower() for word in text.split(",")]
        known = (*POSITION_MODES, *ASSETS_MODES)
        if bad := [word for word in words if word not in known]:
            raise InvalidInput(f"{as_typed(bad[0])} is not a mode.", hint=f"Modes are {_listed(known)}.")
        for kind in (POSITION_MODES, ASSETS_MODES):
            if len(same := [word for word in words if word in kind]) > 1:
                raise InvalidInput(f"{_listed(same, 'and')} cannot both be expected.", hint="Name one of each kind.")
        return cls(
            position_mode=next((word for word in words if word in POSITION_MODES), None),
            multi_assets=next((word == ASSETS_MODES[True] for word in words if word in ASSETS_MODES), None),
        )

    def check(self, state: AccountState) -> None:
        """Check the modes of an account that was read.

        Raises:
            WrongMode: A mode differs; the error names both.
        """
        expected_assets = None if self.multi_assets is None else ASSETS_MODES[self.multi_assets]
        pairs = zip(state.modes, (self.position_mode, expected_assets), strict=True)
        differing = [(now, expected) for now, expected in pairs if expected not in {None, now}]
        if differing:
            now, expected = (
                _listed((f"{mode} mode" for mode in modes), "and") for modes in zip(*differing, strict=True)
            )
            raise WrongMode(
                f"The account is in {now}, but the plan expects {expected}. Nothing was sent.",
                hint="Check that this is the right account. Modes are changed at Binance, not here.",
            )


def _listed(names: Iterable[str], word: str = "or") -> str:
    *first, last = names
    return f"{', '.join(first)} {word} {last}" if first else last
