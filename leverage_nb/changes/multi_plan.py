"""MultiPlan: plans of several profiles, shown and applied together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from leverage_nb.binance.credentials import check_profile
from leverage_nb.cards import Card, Shown, Tone
from leverage_nb.changes.plan import Plan, PlanProgress, PlanRow
from leverage_nb.changes.policy import NoRule
from leverage_nb.errors import InvalidInput, LeverageError

if TYPE_CHECKING:
    import pandas as pd

# Stands for the account without a profile in a list of profiles. No profile can have this name.
NO_PROFILE = "no-profile"


@dataclass(frozen=True, repr=False)  # Shown has one
class MultiPlan(Shown):
    """The plans of several accounts of one venue.

    Attributes:
        venue: The venue's name.
        plans: The plan of each profile; "no-profile" for the account without one.
        problems: Why a profile has no plan, or why its plan was not applied.
    """

    venue: str
    plans: Mapping[str, Plan]
    problems: Mapping[str, str]

    def exposes(self, force: bool) -> bool:
        """Whether a row that would be sent exposes the whole balance, so that a person must confirm it."""
        return any(plan.exposes(force) for plan in self.plans.values())

    def count(self, *, force: bool = False) -> Mapping[str, int]:
        """Return the number of changes that would be sent for each profile that has some; of a retry, at most."""
        counts = {name: len(plan.sent_with(force)) for name, plan in self.plans.items()}
        return {name: count for name, count in counts.items() if count}

    def apply(self, progress: PlanProgress | None = None, *, force: bool = False) -> MultiPlan:
        """Apply the plans, one after the other. All accounts share the rate limit of their address.

        A plan that cannot be applied does not stop the others. Ctrl-C ends the plan that is applied, and the profiles
        after it are left as they are.

        Args:
            progress: As for :meth:`leverage_nb.changes.plan.Plan.apply`, over all plans.
            force: Likewise.

        Returns:
            The plans with the outcome of every row.
        """
        plans, problems = dict(self.plans), dict(self.problems)
        waiting = list(self.count(force=force))
        total, done = sum(len(plans[name].rows) for name in waiting), 0

        def note(ended: int, _total: int, row: PlanRow) -> None:
            if progress is not None:
                progress(done + ended, total, row)

        interrupted = False
        for name in waiting:
            if interrupted:
                problems[name] = "interrupted before its plan was applied; nothing was sent"
                continue
            try:
                plans[name] = plans[name].apply(note, force=force)
                interrupted = plans[name].interrupted
            except LeverageError as exc:
                problems[name] = str(exc)
            except KeyboardInterrupt:
                interrupted, problems[name] = True, "interrupted; its history shows what was sent"
            done += len(plans[name].rows)
        return MultiPlan(self.venue, plans, problems)

    def to_frame(self) -> pd.DataFrame:
        """Return the rows of all plans as one DataFrame.

        Returns:
            As :meth:`leverage_nb.changes.plan.Plan.to_frame`, with a first column ``profile``. ``frame.attrs`` has
            ``problems``: profile and reason.
        """
        import pandas as pd

        from leverage_nb.frames import LeverageFrame, mark

        frames = {name: plan.to_frame() for name, plan in self.plans.items() if plan.rows}
        for name, frame in frames.items():
            frame.insert(0, "profile", name)
            frame.attrs = {}  # pandas compares them to join the frames
        joined = LeverageFrame(pd.concat(frames.values()) if frames else {"profile": []})
        joined.attrs |= {"problems": dict(self.problems), "empty": "The plans have no rows."}
        return mark(joined, self.venue, ", ".join(plan.account for plan in self.plans.values()))

    @property
    def headline(self) -> str:
        """The number of accounts, changes and problems, in one line."""
        names = {*self.plans, *self.problems}
        counts = {"to send": 0, "applied": 0, "not applied": 0}
        for plan in self.plans.values():
            is_planned = all(row.status == "planned" for row in plan.rows)
            counts["to send"] += len(plan.to_send) if is_planned else 0
            counts["applied"] += sum(row.status == "applied" for row in plan.rows)
            counts["not applied"] += 0 if is_planned else sum(row.status not in _ENDED for row in plan.rows)
        parts = [f"{count} {what}" for what, count in counts.items() if count] or ["nothing to do"]
        parts += [f"{len(self.problems)} with a problem"] if self.problems else []
        return f"Plans of {len(names)} profile{'s' if len(names) != 1 else ''}: {', '.join(parts)}"

    def card(self) -> Card:
        """Return the plans as one card: the headline of each, and its rows to change, with verdict or outcome."""
        rows: list[tuple[str, str]] = []
        cards = {name: plan.card() for name, plan in self.plans.items()}
        for name, card in cards.items():
            rows.append((name, f"{self.plans[name].account}: {card.title}"))
            rows += [(f"{name} {symbol}", text) for symbol, text in card.rows]
        rows += [(name, problem) for name, problem in self.problems.items()]
        tones: set[Tone] = {card.tone for card in cards.values()}
        tone: Tone = "bad" if self.problems else next((tone for tone in _WORST_FIRST if tone in tones), "plain")
        notes = dict.fromkeys(card.note for card in cards.values())
        return Card(self.venue, self.headline, tuple(rows), " ".join(notes) if len(notes) == 1 else "", tone)


_ENDED = {"applied", "unchanged", "planned"}
_WORST_FIRST: tuple[Tone, ...] = ("bad", "warn", "good", "plain")


def read_profiles(text: str) -> list[str | None]:
    """Read a list of profiles, as ``sub1,sub2`` or ``no-profile,sub1``; None for the account without one.

    Raises:
        InvalidInput: A name is not valid, or is there twice.
    """
    return _checked([None if word.strip() == NO_PROFILE else word.strip() for word in text.split(",")])


def _checked(profiles: Iterable[str | None]) -> list[str | None]:
    names = [check_profile(profile) for profile in profiles]
    if twice := next((name or NO_PROFILE for name in names if names.count(name) > 1), ""):
        raise InvalidInput(f"The profile {twice} is there twice.", hint="Name each profile once.")
    return names


def make_multi_plan(venue: str, plans: Sequence[tuple[str | None, Callable[[], Plan]]]) -> MultiPlan:
    """Make the plan of each profile. An account that cannot be opened or read does not stop the others.

    Args:
        venue: The venue's name, for a result without a plan.
        plans: Each profile and what makes its plan; None is the account without one.

    Raises:
        InvalidInput: A profile, or what is wanted of an account, is invalid. That stops all of them.
    """
    if not plans:
        raise InvalidInput("No profile is given.", hint='For example {"sub1": {"BTCUSDT": 10}}.')
    names = _checked(profile for profile, _ in plans)
    made: dict[str, Plan] = {}
    problems: dict[str, str] = {}
    for profile, (_, make) in zip(names, plans, strict=True):
        try:
            made[profile or NO_PROFILE] = make()
        except LeverageError as exc:
            if isinstance(exc, InvalidInput) and not isinstance(exc, NoRule):
                raise
            problems[profile or NO_PROFILE] = str(exc)
    return MultiPlan(next((plan.venue for plan in made.values()), venue), made, problems)
