"""Tab after ``%leverage``: symbols, then the symbol's tier edges and ``max``, then flags.

Only what has been read before is offered: nothing goes over the network while somebody types.
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
    from leverage_nb.risk.brackets import Brackets

FLAGS = (
    "--brackets", "--changes", "--dry-run", "--force", "--help", "--history", "--login", "--notional", "--plot",
    "--profile", "--undo", "--venue", "--yes",
)  # fmt: skip
# "%leverage ..." at the start of a line, or as what is assigned: "r = %leverage B".
_LINE = re.compile(r"^\s*(?:[\w.,\s]+=\s*)?%leverage\s(?P<words>.*)$")
_LEVERAGE = re.compile(r"\d+[xX]?|max", re.IGNORECASE)


@context_matcher(identifier="leverage_nb")
def match_leverage(context: CompletionContext) -> SimpleMatcherResult:
    """What can follow at the cursor; nothing on any other line."""
    found = _LINE.match(context.text_until_cursor.rpartition("\n")[2])
    typed = words_so_far(found["words"]) if found is not None else None
    if typed is None:
        return SimpleMatcherResult(completions=[], suppress=False)
    words, fragment = typed
    offered = [SimpleCompletion(text=text, type="leverage") for text in _offer(words, fragment)]
    return SimpleMatcherResult(completions=offered, suppress=True, matched_fragment=fragment, ordered=True)


def _offer(words: list[str], fragment: str) -> list[str]:
    from leverage_nb.binance.venues import VENUES

    if words and words[-1] in {"--venue", "--login"}:
        return _starting(fragment, VENUES)
    if words and words[-1] in {"--notional", "--profile"}:
        return []
    if fragment.startswith("-"):
        return _starting(fragment, (flag for flag in FLAGS if flag not in words))
    from leverage_nb.account import service_of
    from leverage_nb.risk.user_input import normalize
    from leverage_nb.session import session

    account = session.connected()
    given = [word for word in words if not word.startswith("-") and word not in VENUES]
    if account is None:
        return [] if not given else _starting(fragment, FLAGS)
    known: Mapping[str, Brackets] = service_of(account).tiers.known or {}
    if not given:
        return _starting(fragment, known)
    if any(_LEVERAGE.fullmatch(word) for word in given):
        return _starting(fragment, (flag for flag in FLAGS if flag not in words))
    tiers = known.get(normalize(given[0])) if len(given) == 1 else None
    edges = tiers.initial_leverage.tolist() if tiers is not None else []
    offered = _starting(fragment, [*map(str, edges), "max"])
    if fragment:
        offered += _starting(fragment, (name for name in known if name not in given))
    return offered or ([] if fragment else _starting(fragment, FLAGS))


def _starting(fragment: str, texts: Iterable[str]) -> list[str]:
    return [text for text in texts if text.lower().startswith(fragment.lower())]
