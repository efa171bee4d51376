"""Confirm what was previewed, and apply it. Nothing is sent without the answer that a question asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeVar

from IPython.core.error import StdinNotImplementedError
from IPython.display import display

from leverage_nb.errors import InvalidInput, NotConfirmed
from leverage_nb.notebook.notices import say, show_news, show_text

if TYPE_CHECKING:
    import argparse

    from leverage_nb.account import Account
    from leverage_nb.change import Change
    from leverage_nb.changes.isolated_margin_preview import IsolatedMarginPreview
    from leverage_nb.changes.multi_plan import MultiPlan
    from leverage_nb.changes.plan import Plan
    from leverage_nb.changes.preview import ChangePreview

AnyPlan = TypeVar("AnyPlan", "Plan", "MultiPlan")


def apply_preview(
    account: Account, preview: ChangePreview, options: argparse.Namespace
) -> Change | ChangePreview | None:
    """Make a previewed change; ask first if the venue or the change requires it.

    Returns:
        The change; the preview with ``--dry-run``; None if the user did not confirm it.
    """
    if options.dry_run:
        return preview
    asks = (account.asks_first or preview.asks) and preview.is_sent(options.force) and not options.yes
    if asks:
        show_news(account)
        display(preview)
        reply = ask(f"{account.venue_label.upper()}, {account.label}: {preview.question}? (yes/no) ")
        if reply.lower() not in {"y", "yes"}:
            show_text(f"{preview.symbol} was not changed, because you did not confirm it. Nothing was sent.")
            return None
    return (preview.confirmed() if asks else preview).apply(force=options.force, progress=say)


def apply_large_amount(
    account: Account, preview: IsolatedMarginPreview, options: argparse.Namespace
) -> Change | ChangePreview | None:
    """Make a change of isolated margin whose amount is so large that it must be typed again.

    Returns:
        The change; None if nothing was typed.

    Raises:
        NotConfirmed: What was typed is not this amount.
    """
    display(preview)
    question = f"{account.venue_label.upper()}, {account.label}: {preview.question}? Type the amount: "
    typed = ask(question, f"--confirm {abs(preview.amount):f} names the amount in the line.")
    if not typed:
        show_text(f"{preview.symbol} was not changed, because you did not type the amount. Nothing was sent.")
        return None
    problem = ""
    try:
        preview = preview.named(typed)
    except InvalidInput as exc:
        problem = exc.message
    if problem:
        hint = "Run the line again, and type the amount of the change."
        raise NotConfirmed(f"{problem.removesuffix('.')}. Nothing was sent.", hint=hint)
    return preview.confirmed().apply(force=options.force, progress=say)


def apply_plan(plan: AnyPlan, accounts: Mapping[str, Account], options: argparse.Namespace) -> AnyPlan | None:
    """Show a plan, or those of several profiles, and apply it.

    One question names every account. The number of changes must be typed where a venue or a change requires it.

    Args:
        plan: The plan or plans.
        accounts: The account of each plan: by profile as in ``MultiPlan.plans``; of a single plan the only one.
        options: The parsed line.

    Returns:
        It with its outcome; unchanged with ``--dry-run`` or if no row can be sent; None if the user did not confirm it.
    """
    from leverage_nb.changes.multi_plan import MultiPlan

    plans = plan.plans if isinstance(plan, MultiPlan) else dict.fromkeys(accounts, plan)
    counts = {name: count for name, one in plans.items() if (count := len(one.sent_with(options.force)))}
    if options.dry_run:
        return plan
    if not counts:
        if any(row.verdict == "refused" for one in plans.values() for row in one.rows):
            say("nothing was sent: no row of the plan can be sent")
        return plan
    display(plan)
    # A read-only account sends nothing: applying its plan says so.
    asking = [name for name in counts if not accounts[name].read_only]
    asks = any(accounts[name].asks_first or plans[name].exposes(options.force) for name in asking)
    if asks and not options.yes and not _is_confirmed(counts, [accounts[name] for name in counts]):
        return None
    from tqdm.auto import tqdm

    with tqdm(total=sum(len(plans[name].rows) for name in counts), desc="leverage", leave=False) as bar:
        return plan.apply(lambda done, _total, _row: bar.update(done - bar.n), force=options.force)


def _is_confirmed(counts: Mapping[str, int], accounts: list[Account]) -> bool:
    """Ask for the number of changes that would be sent."""
    count, venue = sum(counts.values()), accounts[0].venue_label.upper()
    step = f"send {count} change{'s' if count > 1 else ''}"
    if len(accounts) == 1:
        question = f"{venue}, {accounts[0].label}: {step}?"
    else:
        whose = "; ".join(
            f"{number} for {account.label}" for number, account in zip(counts.values(), accounts, strict=True)
        )
        question = f"{venue}: {step} ({whose})?"
    if ask(f"{question} Type {count} to confirm: ") == str(count):
        return True
    show_text(f"The plan was not applied, because you did not type {count}. Nothing was sent.")
    return False


def ask(question: str, otherwise: str = "-y sends without a question.") -> str:
    """Return the answer to a question at the notebook's prompt.

    Args:
        question: The question.
        otherwise: What to do where no question can be answered.

    Raises:
        NotConfirmed: The front end has no prompt, or its input ended (Ctrl-D).
    """
    try:
        return input(question).strip()
    except StdinNotImplementedError:
        problem = "This notebook cannot ask for a confirmation."
    except EOFError:
        problem = "The question was not answered: the input ended."
    raise NotConfirmed(f"{problem} Nothing was sent.", hint=otherwise)
