"""Tab completion after ``%leverage``: symbols, then the leverages of the symbol's tiers and ``max``, then options.

Completion uses only tiers that were read before; it never sends a request.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from IPython.core.completer import (
    CompletionContext,
    SimpleCompletion,
    SimpleMatcherResult,
    context_matcher,
)

from leverage_nb.notebook.command_line import words_so_far

if TYPE_CHECKING:
    from leverage_nb.account import Account

FLAGS = (
    "--brackets", "--changes", "--dry-run", "--force", "--help", "--history", "--login", "--logout", "--notional",
    "--plot", "--profile", "--undo", "--venue", "--yes",
)  # fmt: skip
# "%leverage ..." at the start of a line, or on the right of an assignment: "r = %leverage B".
_LINE = re.compile(r"^\s*(?:[\w.,\s]+=\s*)?%leverage\s(?P<words>.*)$")
_LEVERAGE = re.compile(r"\d+[xX]?|max", re.IGNORECASE)


@context_matcher(identifier="leverage_nb")
def match_leverage(context: CompletionContext) -> SimpleMatcherResult:
    """Return the completions at the cursor; none on a line without ``%leverage``."""
    found = _LINE.match(context.text_until_cursor.rpartition("\n")[2])
    typed = words_so_far(found["words"]) if found is not None else None
    if typed is None:
        return SimpleMatcherResult(completions=[], suppress=False)
    words, fragment = typed
    texts, idle = _complete(words, fragment), _not_trading()
    # Symbols that are not trading come last, and say so.
    completions = [SimpleCompletion(text=text, type="leverage") for text in texts if text not in idle]
    completions += [SimpleCompletion(text=text, type=f"not trading ({idle[text]})") for text in texts if text in idle]
    return SimpleMatcherResult(completions=completions, suppress=True, matched_fragment=fragment, ordered=True)


def _complete(words: list[str], fragment: str) -> list[str]:
    from leverage_nb.binance.venues import VENUES
    from leverage_nb.session import session

    flags = [flag for flag in FLAGS if flag not in words]
    if words and words[-1] in {"--venue", "--login", "--logout"}:
        return _starting(fragment, VENUES)
    if words and words[-1] in {"--notional", "--profile"}:
        return []
    if fragment.startswith("-"):
        return _starting(fragment, flags)
    account = session.connected()
    given = [word for word in words if not word.startswith("-") and word not in VENUES]
    if account is None:
        return [] if not given else _starting(fragment, flags)
    symbols, leverages = _known(account, given)
    if not given:
        return _starting(fragment, symbols)
    if any(_LEVERAGE.fullmatch(word) for word in given):
        return _starting(fragment, flags)
    found = _starting(fragment, [*map(str, leverages), "max"])
    if fragment:
        found += _starting(fragment, (name for name in symbols if name not in given))
    return found


def _not_trading() -> Mapping[str, str]:
    """Return the status of each symbol that was not trading when it was read."""
    from leverage_nb.account import service_of
    from leverage_nb.session import session

    account = session.connected()
    return service_of(account).tiers.not_trading if account is not None else {}


def _known(account: Account, given: list[str]) -> tuple[list[str], list[int]]:
    """Return the symbols that were read before, and the leverages of the tiers of the one that is given."""
    from leverage_nb.account import service_of
    from leverage_nb.risk.user_input import normalize

    table = service_of(account).tiers.known
    if table is None:
        return [], []
    tiers = table.get(normalize(given[0])) if len(given) == 1 else None
    return list(table), tiers.initial_leverage.tolist() if tiers is not None else []


def _starting(fragment: str, texts: Iterable[str]) -> list[str]:
    return [text for text in texts if text.lower().startswith(fragment.lower())]
