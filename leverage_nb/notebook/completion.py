"""Tab completion after ``%leverage`` and in ``%%leverage``: symbols, then leverages with their verdict, then options.

Completion uses what was read from the exchange before, and after ``--policy`` the files of the working folder. It sends
no request, and never raises.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from IPython.core.completer import (
    CompletionContext,
    SimpleCompletion,
    SimpleMatcherResult,
    context_matcher,
)

from leverage_nb.notebook.command import ACTIONS, spell
from leverage_nb.notebook.line_words import words_so_far
from leverage_nb.notebook.magic import LeverageMagics
from leverage_nb.risk.user_input import EVERY, is_leverage, is_max, normalize, read_margin_type

if TYPE_CHECKING:
    from leverage_nb.account import Account
    from leverage_nb.changes.service import ChangeService
    from leverage_nb.risk.brackets import Brackets

# Each option in a few words, because JupyterLab wraps or cuts long ones.
_MEANINGS = {
    "--add-margin": "add margin to a position",
    "--apply": "restore the policy",
    "--brackets": "tiers as a table",
    "--cap": "lower higher leverages",
    "--changes": "tiers changed by Binance",
    "--cross": "cross margin",
    "--confirm": "repeat a large amount",
    "--dry-run": "preview, send nothing",
    "--expect": "only in this account mode",
    "--for": "leverage for a size",
    "--force": "send despite a refusal",
    "--help": "all options",
    "--history": "all changes so far",
    "--isolated": "isolated margin",
    "--login": "store a key",
    "--logout": "remove a key",
    "--notional": "size that must fit",
    "--plot": "max notional by leverage",
    "--policy": "compare with a policy file",
    "--profile": "another account",
    "--reduce-margin": "take margin out",
    "--side": "side of a hedged position",
    "--undo": "undo the last change",
    "--venue": "another venue",
    "--yes": "send without a question",
}
# What may follow, by what the line does.
_FOR_UNDO = ("--dry-run", "--force", "--profile", "--venue", "--yes")
_FOR_POLICIES = ("--apply", *_FOR_UNDO)
_FOR_PLANS = (*_FOR_UNDO, "--expect")
_FOR_CHANGES = (*_FOR_PLANS, "--cross", "--isolated")
_FOR_SYMBOLS = (
    "--brackets", "--changes", "--for", "--history", "--plot", "--profile", "--venue", "--add-margin", "--cap",
    "--cross", "--isolated", "--reduce-margin",
)  # fmt: skip
_FOR_MARGIN = ("--confirm", "--dry-run", "--profile", "--side", "--venue", "--yes")
_ALONE = (
    "--brackets", "--cap", "--changes", "--help", "--history", "--login", "--logout", "--policy", "--profile", "--undo",
    "--venue",
)  # fmt: skip
# Options that select what a line does: at most one of them.
_ACTIONS = {*map(spell, ACTIONS), "--cross", "--help", "--isolated"}
# Options whose argument is the next word.
_WITH_ARGUMENT = {
    name for action in LeverageMagics.leverage.parser._actions if action.nargs != 0 for name in action.option_strings
}
# "%leverage ..." at the start of a line, or on the right of an assignment: "r = %leverage B"; or a cell's first line.
_LINE = re.compile(r"^\s*(?:(?:[\w.,\s]+=\s*)?%|%%)leverage\s(?P<words>.*)$")
_CELL = re.compile(r"\s*%%leverage(?P<words>\s[^\n]*|)\n")

# An offer: what is inserted, and its annotation.
Offers = Iterable[tuple[str, str]]


@context_matcher(identifier="leverage_nb")
def match_leverage(context: CompletionContext) -> SimpleMatcherResult:
    """Return the completions at the cursor; none outside ``%leverage`` and ``%%leverage``."""
    with suppress(Exception):  # a traceback in answer to Tab would hide the line that is being typed
        found = _offers(context)
        if found is not None:
            fragment, offers = found
            completions = [
                SimpleCompletion(text=text, type=meaning.replace(" ", "\u00a0"))  # JupyterLab breaks lines at spaces
                for text, meaning in dict(offers).items()
                if text.lower().startswith(fragment.lower())
            ]
            return SimpleMatcherResult(completions=completions, suppress=True, matched_fragment=fragment, ordered=True)
    return SimpleMatcherResult(completions=[], suppress=False)


def _offers(context: CompletionContext) -> tuple[str, Offers] | None:
    """Return the fragment at the cursor and what it may become; None if the cursor is elsewhere."""
    before = context.text_until_cursor.rpartition("\n")[2]
    if (line := _LINE.match(before)) is not None:
        typed = words_so_far(line["words"])
        if typed is None:
            return None
        words, fragment = typed
        *_, fragment = fragment.split(",") if not fragment.startswith("-") else [fragment]
        return fragment, _in_line(words, fragment, is_cell=before.lstrip().startswith("%%"))
    header = _CELL.match(context.full_text)
    if header is None or "#" in before:
        return None
    from leverage_nb.changes.plan_input import split_line

    words = split_line(before)
    fragment = words.pop() if words and before.endswith(words[-1]) else ""
    return fragment, _in_cell(words, header["words"].split())


def _in_line(words: list[str], fragment: str, *, is_cell: bool) -> Offers:
    from leverage_nb.session import session

    last = words[-1] if words else ""
    if last in _WITH_ARGUMENT:
        return _arguments(last)
    given = [
        word for before, word in pairwise(("", *words)) if not word.startswith("-") and before not in _WITH_ARGUMENT
    ]
    has_leverage = any(is_leverage(word) or read_margin_type(word) for word in given)
    account, is_cap = session.connected(), "--cap" in words
    if fragment.startswith("-") or is_cell or has_leverage or (given and account is None):
        if {"--add-margin", "--reduce-margin"} & {*words}:
            return _options(words, given, _FOR_MARGIN)
        if is_cell or is_cap:
            return _options(words, given, _FOR_PLANS)
        if "--policy" in words:
            return _options(words, given, _FOR_POLICIES)
        if "--undo" in words:
            return _options(words, given, _FOR_UNDO)
        if not has_leverage:
            return _options(words, given, _FOR_SYMBOLS if given else _ALONE)
        if any(map(read_margin_type, given)):
            return _options(words, given, _FOR_PLANS)
        # A margin type may follow a leverage: %leverage BTCUSDT 10 isolated
        types = [("isolated", "margin type"), ("cross", "margin type")] if last == given[-1] else []
        return [*types, *_options(words, given, _FOR_CHANGES)]
    if account is None:
        return []
    symbols = _symbols(account, [name for word in given for name in word.split(",")])
    if not given or last.endswith(",") or is_cap:
        return symbols
    return [*_leverages(account, given, words), *(symbols if fragment else ())]


def _in_cell(words: list[str], header: list[str]) -> Offers:
    from leverage_nb.session import session

    account = session.connected()
    if account is None or len(words) > 1:
        return []
    return _leverages(account, words, header) if words else [*_symbols(account, []), (EVERY, "every trading symbol")]


def _arguments(option: str) -> Offers:
    """Return what may follow an option that takes an argument."""
    from leverage_nb.binance.venues import VENUES
    from leverage_nb.risk.account_state import ASSETS_MODES, POSITION_MODES

    if option in {"--venue", "--login", "--logout"}:
        return [(venue, "venue") for venue in VENUES]
    if option == "--policy":
        return [(path.name, "policy") for path in sorted(Path().glob("*.toml"))]
    if option == "--expect":
        return [(mode, "mode") for mode in (*POSITION_MODES, *ASSETS_MODES)]
    return [(side, "side") for side in ("long", "short")] if option == "--side" else []


def _options(words: list[str], given: list[str], names: tuple[str, ...]) -> Offers:
    """Return those options that may follow, with their meaning."""
    if given and is_max(given[-1]) and "--force" in names:
        place = names.index("--force") + 1
        names = (*names[:place], "--notional", *names[place:])
    used = {*words} | (_ACTIONS if _ACTIONS & {*words} else set())
    return [(name, _MEANINGS[name]) for name in names if name not in used]


def _symbols(account: Account, given: list[str]) -> Offers:
    """Return the symbols that were read before. Those that are not trading come last, and say so."""
    from leverage_nb.account import service_of

    cache = service_of(account).tiers
    names = set(map(normalize, given))
    found = [name for name in cache.known or () if name not in names]
    return [
        *((name, "symbol") for name in found if name not in cache.not_trading),
        *((name, f"not trading ({cache.not_trading[name]})") for name in found if name in cache.not_trading),
    ]


def _leverages(account: Account, given: list[str], words: list[str]) -> Offers:
    """Return the leverages of the symbol that is given: the current one first, those that would be refused last."""
    from leverage_nb.account import service_of

    service, highest = service_of(account), ("max", "the highest that fits")
    if not given or EVERY in given:
        return []
    if len(given) > 1:
        return [highest]
    table = service.tiers.known
    tiers = table.get(normalize(given[0])) if table is not None else None
    if tiers is None:
        return [highest]
    edges = sorted(tiers.initial_leverage.tolist())
    if {"--venue", "--profile"} & {word.partition("=")[0] for word in words}:  # another account, which is not cached
        return [*((str(edge), "leverage") for edge in edges), highest]
    return _judged(service, tiers, edges, highest)


def _judged(service: ChangeService, tiers: Brackets, edges: list[int], highest: tuple[str, str]) -> Offers:
    from leverage_nb.formatting import amount

    outlook, guard = service.reader.known_outlook(tiers), service.guard.limit()
    now = outlook.current if outlook is not None else None
    asset = outlook.margin_asset if outlook is not None else ""
    first, passing, failing = [], [], []
    for edge in sorted({*edges, *([now] if now is not None and now <= tiers.symbol_max_leverage else [])}):
        judgement = outlook.judge(edge) if outlook is not None else None
        size = f"up to {amount(tiers.max_notional(edge), asset)}"  # in full: JupyterLab writes 2M as 2m
        if edge == now:
            first.append((str(edge), f"now, {size}"))
        elif guard is not None and edge > guard.leverage:
            failing.append((str(edge), f"above your guard of {guard.leverage}x"))
        elif judgement is not None and judgement.verdict == "refused":
            failing.append((str(edge), f"would be refused ({judgement.code})"))
        else:
            passing.append((str(edge), size))
    return [*first, *passing, highest, *failing]
