"""Symbols as people write them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import SequenceMatcher

# BTC/USDT, BTC/USDT:USDT and BTC/USDT:USDT-261225, as ccxt writes them.
_CCXT = re.compile(r"(?P<base>[^/:]+)/(?P<quote>[^/:]+)(?::(?P=quote)(?:-(?P<delivery>\d{6}))?)?")


# Far longer than any symbol, in any spelling.
LONGEST = 64


def normalize(text: str) -> str:
    """Binance's spelling of a symbol: ``btcusdt``, ``BTC/USDT`` and ``BTC/USDT:USDT`` are ``BTCUSDT``."""
    symbol = text.strip().upper()
    match = _CCXT.fullmatch(symbol) if len(symbol) <= LONGEST else None
    if match:
        symbol = match["base"] + match["quote"] + (f"_{match['delivery']}" if match["delivery"] else "")
    return symbol


def suggest(symbol: str, listed: Iterable[str]) -> tuple[str, ...]:
    """Up to three listed symbols that look like ``symbol``, best first; a bare base asset counts as one."""
    if len(symbol) > LONGEST:
        return ()
    scores = {
        name: 2.0 if name in {f"{symbol}USDT", f"{symbol}USDC"} else SequenceMatcher(None, symbol, name).ratio()
        for name in listed
    }
    best = max(scores.values(), default=0.0)
    close = [name for name, score in scores.items() if score >= max(0.7, best - 0.1)]
    return tuple(sorted(close, key=lambda name: -scores[name])[:3])
