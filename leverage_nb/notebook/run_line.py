"""Run a ``%leverage`` line: make the change or plan that it asks for, or show what it asks to see."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from leverage_nb.errors import InvalidInput, LeverageError, as_typed
from leverage_nb.notebook.confirm import apply_large_amount, apply_plan, apply_preview
from leverage_nb.notebook.notices import report_earlier, show_news
from leverage_nb.notebook.show import show
from leverage_nb.risk.user_input import EVERY, parse_margin

if TYPE_CHECKING:
    import argparse

    from leverage_nb.account import Account
    from leverage_nb.changes.isolated_margin_preview import IsolatedMarginPreview
    from leverage_nb.changes.multi_plan import MultiPlan
    from leverage_nb.notebook.command import Command


def run_line(
    account: Account, command: Command, cell: str | None, options: argparse.Namespace, *, in_terminal: bool
) -> Any:
    """Do what a line asks for, and return its result.

    Args:
        account: The account.
        command: The words of the line.
        cell: The lines below ``%%leverage``; None for a line.
        options: The options of the line.
        in_terminal: Whether only text can be shown.

    Returns:
        The change, plan, preview or table; None if the user did not confirm a change.

    Raises:
        LeverageError: The line cannot be run, or the change was not made.
    """
    symbols = list(command.symbols)
    if options.undo:
        return _undo(account, options)
    if options.policy:
        plan = account.policy_plan(options.policy)
        return apply_plan(plan, {"": account}, options) if options.apply else plan
    if options.add_margin or options.reduce_margin:
        return _change_margin(account, symbols[0], options)
    if command.leverage is None and command.margin_type and len(symbols) == 1 and symbols != [EVERY]:
        return apply_preview(account, account.preview_margin_type(symbols[0], command.margin_type), options)
    if (
        cell is not None
        or command.margin_type
        or (command.leverage is not None and (command.is_plan or options.expect))
    ):
        return apply_plan(account.plan(_targets(command, cell), **_modes(options)), {"": account}, options)
    if command.leverage is not None:
        from leverage_nb.account import service_of

        preview = service_of(account).preview(symbols[0], command.leverage, notional=options.notional or 0.0)
        return apply_preview(account, preview, options)
    return show(account, symbols, options, in_terminal=in_terminal)


def run_in_profiles(command: Command, cell: str | None, options: argparse.Namespace) -> MultiPlan | None:
    """Plan changes of several profiles, and apply them after one confirmation.

    Returns:
        The plans; None if the user did not confirm them.

    Raises:
        InvalidInput: A profile, or what is wanted of the accounts, is invalid.
    """
    from leverage_nb.binance.venues import find_venue
    from leverage_nb.changes.multi_plan import NO_PROFILE, read_profiles
    from leverage_nb.session import session

    profiles, venue = read_profiles(options.profile), find_venue(options.venue or session.venue).name
    has_targets = cell is not None or command.leverage is not None or command.margin_type
    if not options.policy and (not has_targets or options.notional):
        raise InvalidInput(
            "Several profiles go with changes of leverage and margin type, and with --policy.",
            hint="Name one profile for anything else.",
        )
    accounts: dict[str, Account] = {}
    for profile in profiles:
        with suppress(LeverageError):  # the plans name the problem of an account that cannot be opened
            accounts[profile or NO_PROFILE] = account = session.current(venue, profile)
            report_earlier(account)
    try:
        if options.policy:
            plans = session.policy_profiles(options.policy, profiles, venue)
            return apply_plan(plans, accounts, options) if options.apply else plans
        wanted = dict.fromkeys(profiles, _targets(command, cell))
        return apply_plan(session.plan_profiles(wanted, venue, **_modes(options)), accounts, options)
    finally:
        for account in accounts.values():
            show_news(account)


def _change_margin(account: Account, symbol: str, options: argparse.Namespace) -> Any:
    amount = parse_margin(options.add_margin or options.reduce_margin)
    preview = account.preview_isolated_margin(
        symbol, amount if options.add_margin else -amount, position_side=options.side
    )
    return _apply_margin(account, preview, options)


def _apply_margin(account: Account, preview: IsolatedMarginPreview, options: argparse.Namespace) -> Any:
    """Make a change of isolated margin; a large amount must be named, in the line or at a prompt."""
    if options.confirm:
        preview = preview.named(options.confirm)
    elif preview.needs_name and preview.sends and not options.dry_run:
        return apply_large_amount(account, preview, options)
    return apply_preview(account, preview, options)


def _undo(account: Account, options: argparse.Namespace) -> Any:
    from leverage_nb.changes.isolated_margin_preview import IsolatedMarginPreview
    from leverage_nb.changes.plan import Plan

    preview = account.preview_undo(force=options.force)
    if isinstance(preview, Plan):
        return apply_plan(preview, {"": account}, options)
    if isinstance(preview, IsolatedMarginPreview):
        return _apply_margin(account, preview, options)
    return apply_preview(account, preview, options)


def _modes(options: argparse.Namespace) -> dict[str, Any]:
    """Return the modes that ``--expect`` names, as the arguments of ``Account.plan``."""
    from leverage_nb.changes.expected_modes import ExpectedModes

    modes = ExpectedModes.read(options.expect) if options.expect else ExpectedModes()
    return {"position_mode": modes.position_mode, "multi_assets": modes.multi_assets}


def _targets(command: Command, cell: str | None) -> Any:
    """Return the targets of a plan that a line or a cell asks for."""
    from leverage_nb.changes.plan_input import Target, read_lines

    if cell is not None:
        return read_lines(cell)
    return [
        Target(as_typed(symbol, 40), symbol, command.leverage, margin_type=command.margin_type)
        for symbol in command.symbols
    ]
