"""``%leverage``. It reads what was typed and hands it to Account; it holds no rule of its own."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from IPython.core.magic import Magics, line_cell_magic, magics_class, needs_local_scope, no_var_expand
from IPython.core.magic_arguments import argument, magic_arguments
from IPython.display import display
from traitlets import Int, Unicode, observe

from leverage_nb.errors import InvalidInput, JournalUnusable, LeverageError, UnknownSymbol
from leverage_nb.notebook.command_line import Once, parse_line, split_symbols
from leverage_nb.notebook.prompts import answer, ask_for_key, check_key, confirmed, connect_asking

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from leverage_nb.account import Account
    from leverage_nb.change import LeverageChange
    from leverage_nb.changes.plan import Plan
    from leverage_nb.changes.preview import Preview

# Options that say what is wanted by themselves.
_TABLES = ("brackets", "plot", "history", "changes", "undo")
_UNDO_ALONE = (
    "--undo takes back the last change of this account, whatever its symbol: it goes alone. Repeat it for more."
)


@magics_class
class LeverageMagics(Magics):
    """Seeing and changing initial leverage."""

    venue = Unicode("simulator", help="The venue in use: simulator, testnet or mainnet. Read at each call.").tag(
        config=True
    )

    profile = Unicode("", help="The profile in use; empty for the account without a name. Read at each call.").tag(
        config=True
    )

    max_leverage = Int(0, help="The guard: nothing above it is sent. 0: not set. Read at each call.").tag(config=True)

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._told: WeakSet[Account] = WeakSet()

    # IPython would fill in {fields} before the line is split into words: a value could become an option.
    @no_var_expand
    @needs_local_scope
    @magic_arguments()
    @argument("words", nargs="*", help="A symbol, several symbols, or a symbol and a leverage.")
    @argument("--brackets", action=Once, nargs=0, default=False, help="The tiers as a DataFrame.")
    @argument("--plot", action=Once, nargs=0, default=False, help="Max notional against leverage.")
    @argument("--history", action=Once, nargs=0, default=False, help="Every change that was sent, as a DataFrame.")
    @argument("--changes", action=Once, nargs=0, default=False, help="What Binance changed in the tiers.")
    @argument("--undo", action=Once, nargs=0, default=False, help="Take back the last change that still stands.")
    @argument("-n", "--dry-run", action=Once, nargs=0, default=False, help="Show what it would do; send nothing.")
    @argument("--force", action=Once, nargs=0, default=False, help="Send although a refusal is expected.")
    @argument("--notional", action=Once, help="With max: the size it must still allow, as 250k, 2m or 2e6.")
    @argument("-y", "--yes", action=Once, nargs=0, default=False, help="Ask no question (mainnet asks).")
    @argument(
        "--venue",
        action=Once,
        help="simulator, testnet or mainnet: alone, for all that follows; beside anything else, this once.",
    )
    @argument("--profile", action=Once, help="A sub-account by the name you gave it; goes with --venue's rules.")
    @argument("--login", action=Once, metavar="VENUE", help="Ask for a key, check it, and store it in the keyring.")
    @argument("-h", "--help", action=Once, nargs=0, default=False, help="This text.")
    @line_cell_magic
    def leverage(self, line: str, cell: str | None = None, local_ns: Mapping[str, Any] | None = None) -> Any:
        """See, understand and change initial leverage on Binance USDⓈ-M Futures.

        ::

            %leverage                             account, margin, positions
            %leverage BTCUSDT                     the panel: tiers, chart, slider, Apply
            %leverage BTCUSDT ETHUSDT             a table of settings
            %leverage BTCUSDT 10                  change it
            %leverage BTCUSDT 10 --dry-run        what that would do; nothing is sent
            %leverage BTCUSDT max --notional 2m   the highest leverage that still allows 2,000,000
            %leverage [BTCUSDT ...] --brackets    the tiers as a DataFrame
            %leverage BTCUSDT [...] --plot        max notional against leverage
            %%leverage [-n] [-y]                  one SYMBOL LEVERAGE a line: a plan, shown, then applied
            %leverage [BTCUSDT ...] --history     what was changed, and what is known of it
            %leverage [BTCUSDT ...] --changes     what Binance changed in the tiers, since they were first loaded
            %leverage --undo                      take the last change back; again: the one before
            %leverage --venue testnet [--profile NAME]   use the testnet from here on
            %leverage --login testnet [--profile NAME]   ask for a key, check it, store it in the keyring

        Every call returns its object: ``change = %leverage BTCUSDT 10``. ``{symbol}``, ``{row['symbol']}`` and
        ``$symbol`` are filled in from your variables; a value fills one place and cannot become an option.
        """
        options = self._parse(line, local_ns or {})
        if options.help:
            display({"text/plain": self.leverage.__doc__}, raw=True)
            return None
        if options.login:
            if cell or options.words or options.venue or any(getattr(options, name) for name in _TABLES):
                raise InvalidInput("--login goes alone, or with --profile.")
            return self._login(options)
        account = self._account(options, cell)
        self._guard()
        self._tell_earlier(account)
        with suppress(LeverageError):  # what is asked for will meet it too, and say so
            account.symbols()
        for news in account.take_tier_news():
            _say(f"tiers have changed: {news}")
        if cell is not None:
            return self._plan(account, cell, options)
        if options.undo and options.words:
            raise InvalidInput(_UNDO_ALONE)
        symbols, leverage = _find_symbols(options.words, account)
        one_of = [name for name in _TABLES if getattr(options, name)]
        if len(one_of) > 1:
            raise InvalidInput(f"{' or '.join(f'--{name}' for name in one_of)}: one at a time.")
        if one_of and leverage is not None:
            raise InvalidInput(f"{leverage} has no meaning beside --{one_of[0]}.")
        for name in ("dry_run", "force", "yes", "notional"):
            if getattr(options, name) and leverage is None and not options.undo:
                what = (
                    "max, as in %leverage BTCUSDT max --notional 2m"
                    if name == "notional"
                    else "a symbol and a leverage"
                )
                raise InvalidInput(f"--{name.replace('_', '-')} goes with {what}.")
        if options.undo:
            return self._undo(account, options)
        if options.history:
            history = account.history()
            return history[history["symbol"].isin(symbols)] if symbols else history
        if options.changes:
            changes = account.tier_changes()
            return changes[changes.index.isin(symbols)] if symbols else changes
        if options.brackets or options.plot:
            return self._tiers(options, account, symbols)
        if leverage is not None:
            return self._change(account, symbols[0], leverage, options)
        if len(symbols) > 1:
            return account.settings(symbols)
        if symbols:
            from leverage_nb.notebook.panel import LeveragePanel

            return LeveragePanel(account, symbols[0])
        from leverage_nb.notebook.overview import Overview

        overview = Overview.of(account)
        self._use(account)  # only now: a venue that cannot be read is not what the next call is for
        return overview

    def _use(self, account: Account) -> None:
        """Take an account's venue and profile for all that follows."""
        from leverage_nb.session import switch

        switch(account.venue, account.profile)
        self.venue, self.profile = account.venue, account.profile or ""

    @observe("max_leverage")
    def _guard(self, _change: object = None) -> None:
        """The guard holds for the whole process as soon as it is set: in open panels and in Python too."""
        from leverage_nb.changes.guard import set_config

        set_config(self.max_leverage)

    def _parse(self, line: str, local_ns: Mapping[str, Any]) -> argparse.Namespace:
        """Parse a line; its fields see the caller's variables before the notebook's."""
        user_ns = self.shell.user_ns if self.shell is not None else {}
        return parse_line(self.leverage.parser, line, {**user_ns, **local_ns})

    def _account(self, options: argparse.Namespace, cell: str | None) -> Account:
        from leverage_nb.binance.venues import find_venue
        from leverage_nb.session import current

        # Another venue named without a profile is the account without a name there.
        venue = find_venue(options.venue or self.venue).name
        in_use = venue == self.venue.strip().lower()
        profile = options.profile or (self.profile or None if in_use else None)
        account = connect_asking(venue, profile, current)
        if not (options.venue or options.profile):
            self._use(account)
        return account

    def _login(self, options: argparse.Namespace) -> None:
        """Ask for a key, check it against the exchange, and store it."""
        from leverage_nb.binance.credentials import check_keyring, check_profile
        from leverage_nb.binance.venues import find_venue
        from leverage_nb.session import connect

        venue, profile = find_venue(options.login), check_profile(options.profile)
        if venue.name == "simulator":
            raise InvalidInput("The simulator needs no key.")
        check_keyring()
        credentials = ask_for_key(venue.name, profile)
        if credentials is None:
            raise InvalidInput(
                "No key was given: nothing was stored.", hint="It is asked for at the notebook's prompt, unseen."
            )
        check_key(venue.name, profile, credentials)
        credentials.keep(venue, profile)
        account = connect(venue.name, profile=profile, credentials=credentials)
        display({"text/plain": f"{account.label} works on the {venue.name}, and is stored in the keyring."}, raw=True)

    def _tiers(self, options: argparse.Namespace, account: Account, symbols: list[str]) -> Any:
        if options.brackets:
            return account.brackets(symbols[0] if len(symbols) == 1 else symbols or None)
        if not symbols:
            raise InvalidInput("--plot needs a symbol.", hint="Try: %leverage BTCUSDT --plot")
        from leverage_nb.notebook.plots import plot_brackets

        settings = account.settings(symbols)
        fits = settings["leverage"] <= settings["symbol_max"]
        for symbol, row in settings[~fits].iterrows():
            _say(f"{symbol}: {row['leverage']}x is above its maximum of {row['symbol_max']}x")
        now = {str(name): int(value) for name, value in settings[fits]["leverage"].items()}
        if len(symbols) == 1:
            return plot_brackets(account.brackets(symbols[0]), now.get(symbols[0]))
        return plot_brackets(account.brackets(symbols), now)

    def _change(
        self, account: Account, symbol: str, leverage: str, options: argparse.Namespace
    ) -> LeverageChange | Preview | None:
        if leverage.lower() == "max":
            wanted = account.highest_leverage(symbol, options.notional or 0.0)
        elif options.notional:
            raise InvalidInput(
                "--notional goes with max.", hint=f"Try: %leverage {symbol} max --notional {options.notional}"
            )
        else:
            wanted = account.check_leverage(symbol, leverage)
        return self._apply(account, account.preview(symbol, wanted), options)

    def _undo(self, account: Account, options: argparse.Namespace) -> LeverageChange | Preview | Plan | None:
        if options.notional:
            raise InvalidInput(_UNDO_ALONE)
        from leverage_nb.changes.plan import Plan

        preview = account.preview_undo(force=options.force)
        if isinstance(preview, Plan):
            return self._apply_plan(account, preview, options)
        return self._apply(account, preview, options)

    def _plan(self, account: Account, cell: str, options: argparse.Namespace) -> Plan | None:
        from leverage_nb.changes.plan_input import read_lines

        given = [name for name in ("words", *_TABLES, "notional") if getattr(options, name)]
        if given:
            raise InvalidInput(
                "%%leverage takes -n, -y, --force and --venue; what is to change stands below, a line each."
            )
        return self._apply_plan(account, account.plan(read_lines(cell)), options)

    def _apply_plan(self, account: Account, plan: Plan, options: argparse.Namespace) -> Plan | None:
        """Apply a plan, shown before; where the venue asks, the number of its rows has to be typed."""
        count = len(plan.to_force if options.force else plan.to_send)
        if options.dry_run or not count:
            return plan
        display(plan)
        if account.asks_first and not options.yes:
            step = f"send {count} change{'s' if count > 1 else ''}"
            if answer(f"{account.venue_label.upper()}, {account.label}: {step}? Type {count} to do it: ") != str(count):
                display({"text/plain": "The plan was not applied: nothing was sent."}, raw=True)
                return None
        from tqdm.auto import tqdm

        with tqdm(total=len(plan.rows), desc="leverage", leave=False) as bar:
            return plan.apply(lambda done, _total, _row: bar.update(done - bar.n), force=options.force)

    def _apply(
        self, account: Account, preview: Preview, options: argparse.Namespace
    ) -> LeverageChange | Preview | None:
        """Make a previewed change, after a question where the venue asks one."""
        if options.dry_run:
            return preview
        symbol, wanted = preview.symbol, preview.after
        account.check_guard(symbol, wanted)
        sends = preview.verdict in {"ok", "unpredictable"} or (preview.verdict == "refused" and options.force)
        asks = account.asks_first and sends and not options.yes
        if asks:
            display(preview)
            step = f"change {symbol} from {preview.before}x to {wanted}x"
            if not confirmed(f"{account.venue_label.upper()}, {account.label}: {step}? (yes/no) "):
                display({"text/plain": f"{symbol} was not changed: nothing was sent."}, raw=True)
                return None
        return (preview.confirmed() if asks else preview).apply(force=options.force, progress=_say)

    def _tell_earlier(self, account: Account) -> None:
        """Once an account: what became of changes that an earlier session left without a definite answer."""
        if account in self._told:
            return
        self._told.add(account)
        try:
            for change in account.settle(_say, wait=False):
                display(change)
            for change in account.open_changes():
                _say(f"{change.headline}; %leverage --history looks it up once it can be known")
        except JournalUnusable as exc:
            _say(str(exc))


# A flag that chooses real money is written out: argparse would take --ven for --venue.
LeverageMagics.leverage.parser.allow_abbrev = False


def _find_symbols(words: list[str], account: Account) -> tuple[list[str], str | None]:
    """Return the symbols as the exchange spells them, each once, and the leverage as typed.

    Raises:
        InvalidInput: The words make no sense together.
        UnknownSymbol: One of them is no symbol.
    """
    symbols, leverage = split_symbols(words)
    try:
        return list(dict.fromkeys(account.find_symbol(symbol) for symbol in symbols)), leverage
    except UnknownSymbol as exc:
        if len(symbols) != 2 or exc.suggestions or exc.symbol != symbols[1].upper():
            raise
    raise InvalidInput(f"{symbols[1]} is neither a leverage nor a symbol.", hint=f"Try: %leverage {symbols[0]} 10")


def _say(text: str) -> None:
    """A line under the cell, while it runs."""
    display({"text/plain": f"{text[:1].upper()}{text[1:]}."}, raw=True)
