"""``%leverage``: its options, its help, and the account in use."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from IPython.core.magic import Magics, line_cell_magic, magics_class, needs_local_scope, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments
from traitlets import Int, TraitError, Unicode, observe, validate

from leverage_nb.errors import InvalidInput
from leverage_nb.notebook.command import makes_changes, read_command
from leverage_nb.notebook.keys import connect_or_ask, keep_key
from leverage_nb.notebook.line_words import Once, is_quiet, parse_line
from leverage_nb.notebook.notices import report_earlier, show_news, show_text
from leverage_nb.notebook.reporting import report
from leverage_nb.notebook.run_line import run_in_profiles, run_line
from leverage_nb.terminal import is_terminal_shell

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from leverage_nb.account import Account
    from leverage_nb.notebook.command import Command


@magics_class
class LeverageMagics(Magics):
    """See, understand and change initial leverage."""

    venue = Unicode("simulator", help="The venue in use: simulator, testnet or mainnet.").tag(config=True)

    profile = Unicode("", help="The profile in use; empty for the account without a profile.").tag(config=True)

    max_leverage = Int(0, help="The guard: no higher leverage is sent. 0: not set.").tag(config=True)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        if "leverage_nb.session" in sys.modules:  # otherwise nothing is in use yet; %load_ext must not load it
            self._show_in_use()

    # Otherwise IPython would fill in {fields} before the line is split, and a value could become an option.
    @no_var_expand
    @needs_local_scope
    @magic_arguments()
    @argument("words", nargs="*", help="Symbols (* for all), then a leverage, a margin type or both.")
    @argument("--brackets", action=Once, nargs=0, default=False, help="The tiers as a DataFrame.")
    @argument("--plot", action=Once, nargs=0, default=False, help="Max notional against leverage.")
    @argument("--history", action=Once, nargs=0, default=False, help="Every attempt, as a DataFrame.")
    @argument("--changes", action=Once, nargs=0, default=False, help="What Binance changed in the tiers.")
    @argument("--undo", action=Once, nargs=0, default=False, help="Undo the last change.")
    @argument("--cap", action=Once, metavar="LEVERAGE", help="Lower every leverage above LEVERAGE.")
    @argument("--policy", action=Once, metavar="FILE", help="What differs from the limits in FILE, such as risk.toml.")
    @argument("--apply", action=Once, nargs=0, default=False, help="With --policy: make the changes that restore it.")
    @argument("--expect", action=Once, metavar="MODES", help="Send only if the account is in MODES, such as hedge.")
    @argument("--cross", action=Once, nargs=0, default=False, help="Change the margin type to cross.")
    @argument("--isolated", action=Once, nargs=0, default=False, help="Change the margin type to isolated.")
    @argument("--add-margin", action=Once, metavar="AMOUNT", help="Add margin to an isolated position.")
    @argument("--reduce-margin", action=Once, metavar="AMOUNT", help="Take margin from an isolated position.")
    @argument("--confirm", action=Once, metavar="AMOUNT", help="Repeat the amount of margin: required above 25 %%.")
    @argument("--side", action=Once, help="With --add-margin or --reduce-margin in hedge mode: long or short.")
    @argument("-n", "--dry-run", action=Once, nargs=0, default=False, help="Show the preview; send nothing.")
    @argument("--force", action=Once, nargs=0, default=False, help="Send although a refusal is expected.")
    @argument("--notional", action=Once, help="With max: the position size that must be allowed, as 250k, 2m or 2e6.")
    @argument(
        "--for", action=Once, metavar="SIZE", help="The leverage for a position of this size: 2m; a short: --for=-2m"
    )
    @argument("-y", "--yes", action=Once, nargs=0, default=False, help="Send without a question.")
    @argument(
        "--venue",
        action=Once,
        help="simulator, testnet or mainnet. Alone: from now on. With anything else: for this line.",
    )
    @argument("--profile", action=Once, help="A sub-account, by your name for it; several for plans: sub1,sub2.")
    @argument("--login", action=Once, metavar="VENUE", help="Ask for a key, check it, and store it in the keyring.")
    @argument("--logout", action=Once, metavar="VENUE", help="Remove the stored key from the keyring.")
    @argument("-h", "--help", action=Once, nargs=0, default=False, help="Show this help.")
    @line_cell_magic
    def leverage(self, line: str, cell: str | None = None, local_ns: Mapping[str, Any] | None = None) -> Any:
        """See, understand and change initial leverage on Binance USDⓈ-M Futures.

        ::

            %leverage                             account, margin, positions
            %leverage BTCUSDT                     the panel: tiers, chart, slider, Apply; in a terminal, tables
            %leverage BTCUSDT ETHUSDT             a table of settings
            %leverage BTCUSDT 10                  change it
            %leverage BTCUSDT 10 --dry-run        preview it; nothing is sent
            %leverage BTCUSDT max --notional 2m   the highest leverage that still allows 2,000,000
            %leverage BTCUSDT SOLUSDT 10          a plan: several symbols to one leverage
            %leverage --cap 20 [BTCUSDT ...]      a plan: lower everything above 20x, or only these symbols
            %leverage BTCUSDT 10 isolated         margin type, then leverage
            %leverage BTCUSDT --cross             change the margin type; cross asks first
            %leverage BTCUSDT --add-margin 500    add margin to an isolated position; --reduce-margin takes it out
            %leverage --policy risk.toml          what differs from a policy: cap = 20, margin_type = "isolated",
                                                  tables [caps], [margin_types], [profiles.NAME]; --apply restores it
            %leverage --policy risk.toml --profile no-profile,sub1   the same for several accounts; plans too
            %leverage BTCUSDT [...] --for 2m      the lowest leverage that fits a position of 2,000,000 each
            %leverage [BTCUSDT ...] --brackets    the tiers as a DataFrame
            %leverage BTCUSDT [...] --plot        max notional against leverage
            %%leverage [-n] [-y]                  a plan, one SYMBOL LEVERAGE per line: shown, then applied;
                                                  * is every symbol, <=20 an upper bound
            %%leverage --expect hedge             the same, only if the account is in hedge mode
            %leverage [BTCUSDT ...] --history     all changes and their outcomes
            %leverage [BTCUSDT ...] --changes     what Binance has changed in the tiers
            %leverage --undo                      undo the last change; again: the one before
            %leverage --venue testnet [--profile NAME]   use the testnet from now on
            %leverage --login testnet [--profile NAME]   ask for a key, check it, store it in the keyring
            %leverage --logout testnet [--profile NAME]  remove that key from the keyring

        A call returns what it shows: ``change = %leverage BTCUSDT 10``; None if you do not confirm a change. A change
        whose record is not the cell's own output prints one line; a semicolon at the end keeps it quiet. ``{symbol}``,
        ``{row['symbol']}`` and ``$symbol`` are replaced by your variables. A value replaces one word and cannot become
        an option.
        """
        options = self._parse(line, local_ns or {})
        if options.help:
            show_text((self.leverage.__doc__ or "").replace("::\n\n", "").replace("``", ""))
            return None
        command = read_command(options, is_cell=cell is not None)
        if options.login or options.logout:
            return keep_key(options)
        if options.profile and "," in options.profile:
            result = run_in_profiles(command, cell, options)
        else:
            result = self._run(self._account(options), command, cell, options)
        is_change = makes_changes(command, options, is_cell=cell is not None) and not options.dry_run
        return report(result, is_quiet=is_quiet(line), is_change=is_change)

    def _parse(self, line: str, local_ns: Mapping[str, Any]) -> argparse.Namespace:
        """Parse a line. Local variables of the caller hide those of the notebook."""
        user_ns = self.shell.user_ns if self.shell is not None else {}
        return parse_line(self.leverage.parser, line, {**user_ns, **local_ns})

    def _run(self, account: Account, command: Command, cell: str | None, options: argparse.Namespace) -> Any:
        """Run a line for one account, between the news of its earlier changes and those of its tiers."""
        from leverage_nb.notebook.overview import Overview

        report_earlier(account)
        try:
            result = run_line(account, command, cell, options, in_terminal=is_terminal_shell(self.shell))
        finally:
            show_news(account)
        if isinstance(result, Overview):  # the line names no more than the account; and it could be read
            self._use(account)
        return result

    # -- the account in use: the session has it; the traits show it, and %config sets it -------------------------

    def _account(self, options: argparse.Namespace) -> Account:
        """Return the account of a line."""
        from leverage_nb.binance.venues import find_venue
        from leverage_nb.changes.multi_plan import NO_PROFILE
        from leverage_nb.session import session

        venue = find_venue(options.venue or session.venue).name
        if options.profile == NO_PROFILE:
            return connect_or_ask(venue, None)
        # Another venue without a profile means the account without a profile there.
        return connect_or_ask(venue, options.profile or (session.profile if venue == session.venue else None))

    def _use(self, account: Account) -> None:
        """Use an account's venue and profile from now on."""
        from leverage_nb.session import session

        session.switch(account.venue, account.profile)
        self._show_in_use()

    def _show_in_use(self) -> None:
        from leverage_nb.session import session

        venue, profile, max_leverage = session.venue, session.profile or "", session.max_leverage
        self.venue, self.profile, self.max_leverage = venue, profile, max_leverage

    @validate("venue", "profile")
    def _check(self, proposal: Mapping[str, Any]) -> str:
        """Return a venue or profile as the session names it. An invalid one is not used."""
        from leverage_nb.binance.credentials import check_profile
        from leverage_nb.binance.venues import find_venue

        try:
            if proposal["trait"].name == "venue":
                return find_venue(proposal["value"]).name
            return check_profile(proposal["value"] or None) or ""
        except InvalidInput as exc:
            raise TraitError(str(exc)) from None  # %config keeps the value before, for this error only

    @observe("venue", "profile", "max_leverage")
    def _set_in_use(self, change: Mapping[str, Any]) -> None:
        """Use a venue, a profile or a guard from now on, also in Python calls. An open panel keeps its account."""
        from leverage_nb.session import session

        setattr(session, change["name"], change["new"] if change["name"] != "profile" else change["new"] or None)


# --ven must not mean --venue: an option that chooses real money has to be typed in full.
LeverageMagics.leverage.parser.allow_abbrev = False
