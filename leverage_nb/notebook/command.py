"""Command: what the words and options of a ``%leverage`` line ask for, and whether they go together."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from difflib import get_close_matches

from leverage_nb.errors import InvalidInput, InvalidLeverage, as_typed
from leverage_nb.risk.user_input import (
    EVERY,
    is_leverage,
    is_max,
    join_caps,
    parse_leverage,
    parse_margin,
    read_margin_type,
)

_SEVERAL = (
    "One leverage for all: %leverage BTCUSDT SOLUSDT 10. One for each: %%leverage, with one SYMBOL LEVERAGE per line."
)

# Options that select what a line does; at most one of them.
ACTIONS = ("brackets", "plot", "for", "history", "changes", "undo", "cap", "add_margin", "reduce_margin", "policy")
# Those that change something.
_CHANGING = {"undo", "cap", "add_margin", "reduce_margin"}


@dataclass(frozen=True)
class Command:
    """The symbols, leverage and margin type of a line.

    Attributes:
        symbols: As typed; ("*",) for every symbol that is trading.
        leverage: As typed; None without one. ``--cap 20`` is "<=20".
        margin_type: "cross", "isolated", or "" if it stays.
    """

    symbols: tuple[str, ...] = ()
    leverage: str | None = None
    margin_type: str = ""

    @property
    def is_plan(self) -> bool:
        """Whether it changes several symbols, or gives an upper bound instead of a leverage."""
        several = len(self.symbols) > 1 or EVERY in self.symbols
        return self.leverage is not None and (several or self.leverage[0] in "<>=≤≥")


def read_command(options: argparse.Namespace, *, is_cell: bool) -> Command:
    """Read the command of a parsed line, and check that its words and options go together.

    Args:
        options: The parsed line.
        is_cell: Whether it is the first line of ``%%leverage``.

    Raises:
        InvalidInput: They do not, or an argument of an option is invalid.
    """
    if options.login or options.logout:
        _check_key_options(options, is_cell=is_cell)
        return Command()
    if options.cap is not None:
        _check_cap(options)
    symbols, leverage, margin_type = ([], None, "") if options.undo or options.policy else split_symbols(options.words)
    if named := [name for name in ("cross", "isolated") if getattr(options, name)]:
        if len(named) > 1 or margin_type:
            raise InvalidInput("One margin type at a time.", hint="Use isolated or cross.")
        margin_type = named[0]
    _check_options(options, symbols, leverage, margin_type, is_cell=is_cell)
    if options.cap is not None:
        return Command(tuple(symbols) or (EVERY,), f"<={options.cap}")
    return Command(tuple(symbols), leverage, margin_type)


def makes_changes(command: Command, options: argparse.Namespace, *, is_cell: bool) -> bool:
    """Return whether a line changes something, or with ``--dry-run`` previews a change."""
    acts = any(getattr(options, name) not in {None, False} for name in _CHANGING)
    return is_cell or command.leverage is not None or command.margin_type != "" or options.apply or acts


def split_symbols(words: list[str]) -> tuple[list[str], str | None, str]:
    """Separate the symbols from the leverage and the margin type after them. Commas between symbols are allowed.

    Returns:
        Symbols and leverage as typed, and the margin type ("" without one).

    Raises:
        InvalidInput: The words are not symbols followed by at most one leverage and at most one margin type.
    """
    words = join_caps(" ".join(words)).split()
    words = [part for word in words for part in ([word] if is_leverage(word) else word.split(",")) if part]
    leverages = [word for word in words if is_leverage(word)]
    margin_types = [word for word in words if read_margin_type(word)]
    values = [word for word in words if word in leverages or word in margin_types]
    symbols = [word for word in words if word not in values]
    if len(leverages) > 1:
        if len(symbols) == 1 and len(leverages) == 2 and is_max(leverages[0]):
            raise _size_after_max(symbols[0], leverages[1])
        given = " and ".join(map(as_typed, leverages))
        raise InvalidInput(f"One leverage at a time: {given} were given.", hint=_SEVERAL)
    if len(margin_types) > 1:
        raise InvalidInput(
            f"One margin type at a time: {' and '.join(margin_types)} were given.", hint="Use isolated or cross."
        )
    if values and not symbols:
        asked = " ".join(map(as_typed, values))
        raise InvalidInput(f"The symbol for {asked} is missing.", hint=f"Try: {_line('BTCUSDT', *values)}")
    if words[: len(symbols)] != symbols:
        if leverages and is_max(leverages[0]) and words[:-1] == [symbols[0], leverages[0]]:
            raise _size_after_max(symbols[0], words[-1])
        odd = next((word for word in words[words.index(values[0]) :] if word not in values), "")
        if words[0] not in values and (similar := get_close_matches(odd.lower(), ("isolated", "cross"), 1)):
            raise InvalidInput(f"{as_typed(odd)} is not a margin type.", hint=f"Did you mean {similar[0]}?")
        kind = "margin type" if words[0] in margin_types or not leverages else "leverage"
        raise InvalidInput(f"The {kind} comes after the symbol.", hint=f"Try: {_line(*symbols, *values)}")
    return symbols, leverages[0] if leverages else None, read_margin_type("".join(margin_types))


def _check_options(
    options: argparse.Namespace, symbols: list[str], leverage: str | None, margin_type: str, *, is_cell: bool
) -> None:
    """Check that options, words and cell go together."""
    actions = [name for name in ACTIONS if getattr(options, name) not in {None, False}]
    names = [spell(name) for name in actions]
    if is_cell and (actions or options.words or options.notional or margin_type or options.side or options.confirm):
        raise InvalidInput(
            "%%leverage takes only -n, -y, --force, --expect, --venue and --profile.",
            hint="Write the changes below it, one SYMBOL LEVERAGE per line.",
        )
    if options.undo and (options.words or options.notional or margin_type):
        raise InvalidInput(
            "--undo takes neither symbol nor leverage: it undoes the last change of this account.",
            hint="Repeat it to undo the change before.",
        )
    if options.policy and options.words:
        raise InvalidInput(
            "--policy takes neither symbol nor leverage: its file has them.",
            hint="Try: %leverage --policy risk.toml. For some symbols use --cap.",
        )
    if options.apply and not options.policy:
        raise InvalidInput("--apply goes with --policy.", hint="Try: %leverage --policy risk.toml --apply")
    if len(actions) > 1:
        raise InvalidInput(f"{' and '.join(names)} cannot be combined.", hint="Use one at a time.")
    if actions and leverage is not None:
        raise InvalidInput(
            f"{names[0]} takes no leverage ({as_typed(leverage)}).", hint=f"Leave out {names[0]} or the leverage."
        )
    if actions and margin_type:
        raise InvalidInput(
            f"{names[0]} takes no margin type ({margin_type}).", hint=f"Leave out {names[0]} or the margin type."
        )
    size = getattr(options, "for")
    if size and (not symbols or EVERY in symbols):
        raise InvalidInput("--for needs the names of symbols.", hint=f"Try: {_line('BTCUSDT', '--for', size)}")
    if options.plot and not options.words:
        raise InvalidInput("--plot needs a symbol.", hint="Try: %leverage BTCUSDT --plot")
    _check_margin(options, symbols, margin_type)
    if EVERY in symbols and leverage is None and not margin_type and options.cap is None:
        raise InvalidInput(f"{EVERY} needs a leverage.", hint=f"Try: %leverage {EVERY} <=20 -n")
    changes = makes_changes(Command(tuple(symbols), leverage, margin_type), options, is_cell=is_cell)
    for name in ("dry_run", "force", "yes", "expect"):
        if (
            getattr(options, name)
            and not changes
            and not (
                name == "dry_run" and (size or options.policy)  # these send nothing
            )
        ):
            if options.policy:
                raise InvalidInput(
                    f"{spell(name)} needs --apply beside --policy, which sends nothing by itself.",
                    hint="Try: %leverage --policy risk.toml --apply",
                )
            example = " hedge" if name == "expect" else ""
            raise InvalidInput(
                f"{spell(name)} needs a symbol and a leverage.",
                hint=f"Try: %leverage BTCUSDT 10 {spell(name)}{example}",
            )
    if options.expect:
        _check_expected(options, actions, margin_type)
    if options.notional and not (leverage is not None and is_max(leverage) and len(symbols) == 1):
        symbol = symbols[0] if symbols else "BTCUSDT"
        needs = "one symbol" if len(symbols) > 1 else "the word max"
        example = _line(symbol, "max", "--notional", options.notional)
        raise InvalidInput(f"--notional needs {needs}.", hint=f"Try: {example}")


def _check_margin(options: argparse.Namespace, symbols: list[str], margin_type: str) -> None:
    """Check what changes a margin type, or the margin of an isolated position."""
    if margin_type and not symbols and not options.undo:
        raise InvalidInput(f"--{margin_type} needs a symbol.", hint=f"Try: %leverage BTCUSDT --{margin_type}")
    asked = [name for name in ("add_margin", "reduce_margin") if getattr(options, name) is not None]
    for name in asked:
        amount = getattr(options, name)
        if len(symbols) != 1 or EVERY in symbols:
            raise InvalidInput(f"{spell(name)} needs one symbol.", hint=f"Try: {_line('BTCUSDT', spell(name), amount)}")
        parse_margin(amount)
    for name in ("side", "confirm"):
        is_of_undo = name == "confirm" and options.undo
        if getattr(options, name) is not None and not asked and not is_of_undo:
            example = "long" if name == "side" else "500"
            raise InvalidInput(
                f"--{name} goes with --add-margin or --reduce-margin{', or with --undo' if name == 'confirm' else ''}.",
                hint=f"Try: %leverage BTCUSDT --add-margin 500 --{name} {example}",
            )
    if options.side is None:
        return
    if options.side.lower() not in {"long", "short"}:
        raise InvalidInput(f"{as_typed(options.side)} is not a side.", hint="Use --side long or --side short.")


def _check_cap(options: argparse.Namespace) -> None:
    if given := [word for word in options.words if is_leverage(word)]:
        raise InvalidInput(
            f"--cap takes no other leverage ({as_typed(given[0])}).", hint=f"Try: {_line('--cap', options.cap)}"
        )
    try:
        parse_leverage(options.cap)
        return
    except InvalidLeverage:
        pass
    raise InvalidInput(
        f"--cap takes a leverage; {as_typed(options.cap)} is none.", hint="Write a whole number, as --cap 20."
    )


def _check_expected(options: argparse.Namespace, actions: list[str], margin_type: str) -> None:
    from leverage_nb.changes.expected_modes import ExpectedModes  # not at the top: it loads numpy

    if margin_type or {*actions} - {"cap"}:
        given = spell(actions[0]) if actions else margin_type
        raise InvalidInput(f"--expect cannot be combined with {given}.", hint="It goes with changes of leverage.")
    ExpectedModes.read(options.expect)


def _check_key_options(options: argparse.Namespace, *, is_cell: bool) -> None:
    """Check that nothing but a profile stands beside --login or --logout: it would be ignored."""
    name = "login" if options.login else "logout"
    others = [other for other, value in vars(options).items() if value and other not in {name, "profile"}]
    if is_cell or others:
        raise InvalidInput(
            f"{spell(name)} takes only --profile beside it.", hint=f"Try: %leverage {spell(name)} testnet"
        )


def spell(option: str) -> str:
    """Return an option as it is typed: ``--add-margin`` for ``add_margin``."""
    return f"--{option.replace('_', '-')}"


def _line(*words: str) -> str:
    """Return a line of these words, for a hint; a word that could be a key is left out."""
    return f"%leverage {' '.join(word if as_typed(word, 64) == word else '…' for word in words)}"


def _size_after_max(symbol: str, size: str) -> InvalidInput:
    return InvalidInput(
        f"{as_typed(size)} after max is not understood.", hint=f"For a size: {_line(symbol, 'max', '--notional', size)}"
    )
