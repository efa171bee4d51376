"""``%leverage``: run a parsed line, and show its result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

from IPython.core.magic import Magics, line_cell_magic, magics_class, needs_local_scope, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.display import display
from traitlets import Int, Unicode, observe

from leverage_nb.errors import InvalidInput, JournalUnusable, LeverageError, UnknownSymbol, as_typed
from leverage_nb.notebook.command import read_command
from leverage_nb.notebook.command_line import Once, is_quiet, parse_line
from leverage_nb.notebook.prompts import answer, ask_for_key, check_key, confirmed, connect_or_ask
from leverage_nb.notebook.reporting import report
from leverage_nb.risk.user_input import EVERY, parse_margin
from leverage_nb.terminal import encodable, is_terminal_shell

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    import pandas as pd

    from leverage_nb.account import Account
    from leverage_nb.binance.venues import Venue
    from leverage_nb.change import Change
    from leverage_nb.changes.multi_plan import MultiPlan
    from leverage_nb.changes.plan import Plan
    from leverage_nb.changes.preview import ChangePreview
    from leverage_nb.notebook.command import Command

Applicable = TypeVar("Applicable", "Plan", "MultiPlan")


@magics_class
class LeverageMagics(Magics):
    """See, understand and change initial leverage."""

    venue = Unicode("simulator", help="The venue in use: simulator, testnet or mainnet.").tag(config=True)

    profile = Unicode("", help="The profile in use; empty for the account without a profile.").tag(config=True)

    max_leverage = Int(0, help="The guard: no higher leverage is sent. 0: not set.").tag(config=True)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._reported: WeakSet[Account] = WeakSet()

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
    @argument("--cap", action=Once, metavar="LEVERAGE", help="Lower what is above it, of the symbols or of all.")
    @argument("--policy", action=Once, metavar="FILE", help="What differs from a policy: a TOML file, as risk.toml.")
    @argument("--apply", action=Once, nargs=0, default=False, help="With --policy: make the changes that restore it.")
    @argument("--expect", action=Once, metavar="MODES", help="Stop unless the account is in these: hedge,multi-assets.")
    @argument("--cross", action=Once, nargs=0, default=False, help="Change the margin type to cross.")
    @argument("--isolated", action=Once, nargs=0, default=False, help="Change the margin type to isolated.")
    @argument("--add-margin", action=Once, metavar="AMOUNT", help="Add margin to an isolated position.")
    @argument("--reduce-margin", action=Once, metavar="AMOUNT", help="Take margin from an isolated position.")
    @argument("--confirm", action=Once, metavar="AMOUNT", help="With either: the amount once more, if it is large.")
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

        Every call returns its object: ``change = %leverage BTCUSDT 10``. A change whose record is not the cell's own
        output prints one line; a semicolon at the end keeps it quiet. ``{symbol}``, ``{row['symbol']}`` and
        ``$symbol`` are replaced by your variables. A value replaces one word and cannot become an option.
        """
        options = self._parse(line, local_ns or {})
        if options.help:
            _show_text((self.leverage.__doc__ or "").replace("::\n\n", "").replace("``", ""))
            return None
        if options.login or options.logout:
            return self._keep_key(options)
        command = read_command(options, is_cell=cell is not None)
        if options.profile and "," in options.profile:
            result = self._in_profiles(command, cell, options)
            return report(result, is_quiet=is_quiet(line), is_change=bool(options.apply or not options.policy))
        account = self._account(options)
        self._set_guard()
        self._report_earlier(account)
        try:
            result = self._run(account, command, cell, options)
        except LeverageError:
            self._show_news(account)
            raise
        self._show_news(account)
        margin = command.margin_type or options.add_margin or options.reduce_margin
        changes = bool(options.undo or options.apply or command.leverage is not None or cell is not None or margin)
        return report(result, is_quiet=is_quiet(line), is_change=changes and not options.dry_run)

    def _run(self, account: Account, command: Command, cell: str | None, options: argparse.Namespace) -> Any:
        symbols = list(command.symbols)
        if cell is not None:
            return self._plan(account, _targets(command, cell), options)
        if options.undo:
            return self._undo(account, options)
        if options.policy:
            plan = account.policy_plan(options.policy)
            return self._apply_plan(account, plan, options) if options.apply else plan
        if options.add_margin or options.reduce_margin:
            return self._change_margin(account, symbols[0], options)
        if command.margin_type:
            return self._change_margin_type(account, command, options)
        if command.leverage is not None and (command.is_plan or options.expect):
            return self._plan(account, _targets(command), options)
        if command.leverage is not None:
            return self._change(account, symbols[0], command.leverage, options)
        if options.history:
            history = account.history()
            return _only(history, history["symbol"], _found(account, symbols), "No changes of {} yet.")
        if options.changes:
            changes = account.tier_changes()
            return _only(changes, changes.index, _found(account, symbols), "Binance has changed no tiers of {} so far.")
        if size := getattr(options, "for"):
            return account.size_plan(dict.fromkeys(_found(account, symbols), size))
        if options.brackets:
            return account.brackets(symbols[0] if len(symbols) == 1 else symbols or None)
        if options.plot:
            return self._plot(account, symbols)
        if len(symbols) > 1:
            settings = account.settings(_found(account, symbols))
            for symbol, status in settings.attrs["not_trading"].items():
                _say(f"{symbol} is not trading ({status})")
            return settings
        from leverage_nb.notebook.overview import Overview, SymbolOverview

        if symbols and is_terminal_shell(self.shell):
            return SymbolOverview.of(account, symbols[0])
        if symbols:
            from leverage_nb.notebook.panel import LeveragePanel

            return LeveragePanel(account, symbols[0])
        overview = Overview.of(account)
        self._use(account)  # only now: a venue that cannot be read is not used for the next call
        return overview

    def _parse(self, line: str, local_ns: Mapping[str, Any]) -> argparse.Namespace:
        """Parse a line. Local variables of the caller hide those of the notebook."""
        user_ns = self.shell.user_ns if self.shell is not None else {}
        return parse_line(self.leverage.parser, line, {**user_ns, **local_ns})

    # -- the account in use -------------------------------------------------------------------------------------

    def _account(self, options: argparse.Namespace) -> Account:
        from leverage_nb.binance.venues import find_venue

        # Another venue without a profile means the account without a profile there.
        venue = find_venue(options.venue or self.venue).name
        in_use = venue == self.venue.strip().lower()
        profile = options.profile or (self.profile or None if in_use else None)
        account = connect_or_ask(venue, profile)
        if not (options.venue or options.profile):
            self._use(account)
        return account

    def _use(self, account: Account) -> None:
        """Use an account's venue and profile from now on."""
        from leverage_nb.session import session

        session.switch(account.venue, account.profile)
        self.venue, self.profile = session.venue, session.profile or ""

    @observe("max_leverage")
    def _set_guard(self, _change: object = None) -> None:
        """Set the guard for the whole process: for open panels and Python calls too."""
        from leverage_nb.session import session

        session.max_leverage = self.max_leverage

    def _keep_key(self, options: argparse.Namespace) -> None:
        """Store a key in the keyring, or remove it."""
        from leverage_nb.binance.credentials import check_profile
        from leverage_nb.binance.venues import find_venue

        name = "--login" if options.login else "--logout"
        if options.words or options.venue or (options.login and options.logout):
            raise InvalidInput(f"{name} takes only --profile beside it.")
        venue, profile = find_venue(options.login or options.logout), check_profile(options.profile)
        if venue.name == "simulator":
            raise InvalidInput("The simulator needs no key.")
        (self._login if options.login else self._logout)(venue, profile)

    def _login(self, venue: Venue, profile: str | None) -> None:
        """Ask for a key, check it with the exchange, and store it in the keyring."""
        from leverage_nb.account import service_of
        from leverage_nb.binance.credentials import check_keyring
        from leverage_nb.session import session

        unencrypted = check_keyring()
        credentials = ask_for_key(venue.name, profile)
        if credentials is None:
            raise InvalidInput(
                "No key was typed. Nothing was stored.", hint="The notebook's prompt asks for it, hidden."
            )
        check_key(venue.name, profile, credentials)
        credentials.keep(venue, profile)
        account = session.connect(venue.name, profile=profile, credentials=credentials)
        _show_text(f"{account.label} works on the {venue.name}, and is stored in the keyring.")
        if unencrypted:
            _say(f"Warning: {unencrypted}")
        service_of(account).warn_of_key()

    def _logout(self, venue: Venue, profile: str | None) -> None:
        """Remove a key from the keyring."""
        from leverage_nb.binance.credentials import name_source
        from leverage_nb.session import session

        fingerprint = session.log_out(venue, profile)
        _say(f"key {fingerprint} of the {venue.name} was removed from the keyring")
        if (source := name_source(venue, profile)).startswith("the environment"):
            _say(f"{source} still has a key for it, which is used from now on")

    def _report_earlier(self, account: Account) -> None:
        """Once per account: report the outcome of changes that an earlier session left without a definite answer."""
        from leverage_nb.account import service_of

        if account in self._reported:
            return
        self._reported.add(account)
        try:
            for change in account.settle(_say, wait=False):
                display(change)
            for change in service_of(account).open_changes():
                _say(f"{change.headline}; to verify it later: %leverage --history")
        except JournalUnusable as exc:
            _say(str(exc))

    def _show_news(self, account: Account) -> None:
        """Show what Binance has changed in the tiers since they were read before."""
        from leverage_nb.account import service_of

        for news in service_of(account).tier_news():
            _say(f"tiers have changed: {news}")

    # -- what a line can do -------------------------------------------------------------------------------------

    def _plot(self, account: Account, symbols: list[str]) -> Any:
        from leverage_nb.notebook.plots import plot_brackets

        settings = account.settings(_found(account, symbols))
        names = list(settings.index)
        settings = settings.dropna(subset="leverage")  # without symbols whose leverage is not set
        fits = settings["leverage"] <= settings["symbol_max"]
        for symbol, row in settings[~fits].iterrows():
            _say(f"{symbol}: {row['leverage']}x is above its maximum of {row['symbol_max']}x")
        now = {str(name): int(value) for name, value in settings[fits]["leverage"].items()}
        if len(names) == 1:
            return plot_brackets(account.brackets(names[0]), now.get(names[0]))
        return plot_brackets(account.brackets(names), now)

    def _change(
        self, account: Account, symbol: str, leverage: str, options: argparse.Namespace
    ) -> Change | ChangePreview | None:
        from leverage_nb.account import service_of

        preview = service_of(account).preview(symbol, leverage, notional=options.notional or 0.0)
        return self._apply(account, preview, options)

    def _change_margin_type(self, account: Account, command: Command, options: argparse.Namespace) -> Any:
        if command.leverage is None and len(command.symbols) == 1 and command.symbols[0] != EVERY:
            preview = account.preview_margin_type(command.symbols[0], command.margin_type)
            return self._apply(account, preview, options)
        return self._plan(account, _targets(command), options)

    def _change_margin(self, account: Account, symbol: str, options: argparse.Namespace) -> Any:
        amount = parse_margin(options.add_margin or options.reduce_margin)
        preview = account.preview_isolated_margin(
            symbol, amount if options.add_margin else -amount, position_side=options.side
        )
        if options.confirm:
            preview = preview.named(options.confirm)
        elif preview.needs_name and preview.sends and not options.dry_run:
            display(preview)
            question = f"{account.venue_label.upper()}, {account.label}: {preview.question}? Type the amount: "
            named = answer(question, f"--confirm {abs(preview.amount):f} names the amount in the line.")
            if not named:
                _show_text(f"{preview.symbol} was not changed. Nothing was sent.")
                return None
            return preview.named(named).confirmed().apply(force=options.force, progress=_say)
        return self._apply(account, preview, options)

    def _undo(self, account: Account, options: argparse.Namespace) -> Change | ChangePreview | Plan | None:
        from leverage_nb.changes.plan import Plan

        preview = account.preview_undo(force=options.force)
        if isinstance(preview, Plan):
            return self._apply_plan(account, preview, options)
        return self._apply(account, preview, options)

    def _plan(self, account: Account, wanted: Any, options: argparse.Namespace) -> Plan | None:
        from leverage_nb.changes.expected_modes import ExpectedModes

        modes = ExpectedModes.read(options.expect) if options.expect else ExpectedModes()
        plan = account.plan(wanted, position_mode=modes.position_mode, multi_assets=modes.multi_assets)
        return self._apply_plan(account, plan, options)

    def _in_profiles(self, command: Command, cell: str | None, options: argparse.Namespace) -> MultiPlan | None:
        """Plan changes of several profiles, and apply them after one confirmation."""
        from leverage_nb.changes.expected_modes import ExpectedModes
        from leverage_nb.changes.multi_plan import read_profiles
        from leverage_nb.session import session

        profiles, venue = read_profiles(options.profile), options.venue or self.venue
        self._set_guard()
        if options.policy:
            plans = session.policy_profiles(options.policy, profiles, venue)
            return self._apply_plans(plans, options) if options.apply else plans
        if (cell is None and command.leverage is None and not command.margin_type) or options.notional:
            raise InvalidInput(
                "Several profiles go with changes of leverage and margin type, and with --policy.",
                hint="Name one profile for anything else.",
            )
        modes = ExpectedModes.read(options.expect) if options.expect else ExpectedModes()
        plans = session.plan_profiles(
            dict.fromkeys(profiles, _targets(command, cell)),
            venue,
            position_mode=modes.position_mode,
            multi_assets=modes.multi_assets,
        )
        return self._apply_plans(plans, options)

    def _apply_plans(self, plans: MultiPlan, options: argparse.Namespace) -> MultiPlan | None:
        """Show the plans of several profiles and apply them; one question names every account."""
        from leverage_nb.cards import is_real_money

        counts = plans.count(force=options.force)
        count = sum(counts.values())
        if options.dry_run or not count:
            return plans
        display(plans)
        real_money = any(is_real_money(plan.venue) for plan in plans.plans.values())
        if (real_money or plans.exposes(options.force)) and not options.yes:
            whose = "; ".join(f"{number} for {plans.plans[name].account}" for name, number in counts.items())
            question = f"{plans.venue.upper()}: send {count} change{'s' if count > 1 else ''} ({whose})? "
            if answer(f"{question}Type {count} to confirm: ") != str(count):
                _show_text("The plans were not applied. Nothing was sent.")
                return None
        return _with_bar(plans, sum(len(plans.plans[name].rows) for name in counts), options)

    def _apply(
        self, account: Account, preview: ChangePreview, options: argparse.Namespace
    ) -> Change | ChangePreview | None:
        """Make a previewed change; ask first if the venue or the change requires it."""
        if options.dry_run:
            return preview
        asks = (account.asks_first or preview.asks) and preview.is_sent(options.force) and not options.yes
        if asks:
            self._show_news(account)
            display(preview)
            if not confirmed(f"{account.venue_label.upper()}, {account.label}: {preview.question}? (yes/no) "):
                _show_text(f"{preview.symbol} was not changed. Nothing was sent.")
                return None
        return (preview.confirmed() if asks else preview).apply(force=options.force, progress=_say)

    def _apply_plan(self, account: Account, plan: Plan, options: argparse.Namespace) -> Plan | None:
        """Show a plan and apply it; where the venue asks first, the number of its changes must be typed."""
        count = len(plan.sent_with(options.force))
        if not options.dry_run and not count and any(row.verdict == "refused" for row in plan.rows):
            _say("nothing was sent: no row of the plan can be sent")
        if options.dry_run or not count:
            return plan
        display(plan)
        asks = account.asks_first or plan.exposes(options.force)
        if asks and not options.yes and not account.read_only:
            step = f"send {count} change{'s' if count > 1 else ''}"
            question = f"{account.venue_label.upper()}, {account.label}: {step}? Type {count} to confirm: "
            if answer(question) != str(count):
                _show_text("The plan was not applied. Nothing was sent.")
                return None
        return _with_bar(plan, len(plan.rows), options)


# --ven must not mean --venue: an option that chooses real money has to be typed in full.
LeverageMagics.leverage.parser.allow_abbrev = False


def _targets(command: Command, cell: str | None = None) -> Any:
    """Return the targets of a plan that a line or a cell asks for."""
    from leverage_nb.changes.plan_input import Target, read_lines

    if cell is not None:
        return read_lines(cell)
    return [
        Target(as_typed(symbol, 40), symbol, command.leverage, margin_type=command.margin_type)
        for symbol in command.symbols
    ]


def _with_bar(plan: Applicable, total: int, options: argparse.Namespace) -> Applicable:
    """Apply a plan, or those of several profiles, with a progress bar."""
    from tqdm.auto import tqdm

    with tqdm(total=total, desc="leverage", leave=False) as bar:
        return plan.apply(lambda done, _total, _row: bar.update(done - bar.n), force=options.force)


def _found(account: Account, symbols: list[str]) -> list[str]:
    """Return symbols as the exchange spells them, each once.

    Raises:
        UnknownSymbol: The venue does not list one of them.
        InvalidInput: The second of two words is neither a symbol nor a leverage.
    """
    try:
        return list(dict.fromkeys(account.find_symbol(symbol) for symbol in symbols))
    except UnknownSymbol as exc:
        if len(symbols) != 2 or exc.suggestions or exc.symbol != symbols[1].upper():
            raise
    raise InvalidInput(f"{symbols[1]} is neither a leverage nor a symbol.", hint=f"Try: %leverage {symbols[0]} 10")


def _only(frame: pd.DataFrame, names: pd.Series | pd.Index, symbols: list[str], empty: str) -> pd.DataFrame:
    """Return the rows of some symbols; all without any."""
    if not symbols:
        return frame
    rows = frame[names.isin(symbols)]
    if rows.empty:
        rows.attrs["empty"] = empty.format(", ".join(symbols))
    return rows


def _say(text: str) -> None:
    """Show a line below the cell while it runs."""
    _show_text(f"{text[:1].upper()}{text[1:]}.")


def _show_text(text: str) -> None:
    display({"text/plain": encodable(text)}, raw=True)
