"""The rate limit of one address, shared by every account of this process that speaks to it.

Binance counts request weight by IP address and minute, whoever sends: the user's other programs count too. Each
answer tells the count (``X-MBX-USED-WEIGHT-1M``); two rules follow from it:

* this process sends at most its share of the limit within any 60 seconds, so that other programs have the rest;
* it sends nothing that would pass the limit itself, nor anything before a time the exchange has named.
"""

from __future__ import annotations

import math
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from weakref import WeakKeyDictionary

from leverage_nb import interrupts
from leverage_nb.binance.venues import back_end
from leverage_nb.errors import RateLimited
from leverage_nb.formatting import moment

# Until exchangeInfo tells: Binance's production limit (the testnet's is higher).
DEFAULT_LIMIT = 2400
# The shortest and the longest ban that Binance documents for HTTP 418.
SHORTEST_BAN, LONGEST_BAN = 120.0, 3 * 86_400.0

# The shortest wait after a 429.
_SHORTEST_WAIT = 1.0
# Limits outside of these bounds are not believed: Binance's are 2,400 and 6,000.
_SMALLEST_LIMIT, _LARGEST_LIMIT = 100, 10**9

# In milliseconds since the epoch.
_BANNED_UNTIL = re.compile(r"(?i)banned until ([0-9]{13})(?![0-9])")


class Limiter:
    """Lets requests through, or holds them back until they fit.

    Args:
        limit: Request weight a minute, as the exchange grants it.
        shortest_ban: Seconds that a 418 lasts at least, whatever it names.
        wall: Seconds since the epoch: which minute it is, and what time of day.
        ticks: Seconds that pass whatever is done to the machine's clock.
        sleep: How to wait.
    """

    def __init__(
        self,
        limit: int = DEFAULT_LIMIT,
        shortest_ban: float = SHORTEST_BAN,
        *,
        wall: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = interrupts.pause,
    ) -> None:
        self.limit = limit
        self._shortest_ban = shortest_ban
        self._wall, self._ticks, self._sleep = wall, ticks, sleep
        self._lock = threading.Lock()
        self._shares: WeakKeyDictionary[object, float] = WeakKeyDictionary()
        self._sent: deque[tuple[float, int]] = deque()  # when and what weight, within the last minute
        self._sent_weight = 0  # their sum
        self._pending = 0  # weight that has been let through and is not answered yet
        self._used, self._used_minute = 0, 0
        self._blocked_until = 0.0  # in ticks

    def join(self, member: object, share: float) -> None:
        """Count a client in: the strictest share among those that are open holds for all."""
        with self._lock:
            self._shares[member] = share

    def leave(self, member: object) -> None:
        """Count a client out."""
        with self._lock:
            self._shares.pop(member, None)

    def learn(self, limit: int) -> None:
        """Take the limit that the exchange itself names."""
        if _SMALLEST_LIMIT <= limit <= _LARGEST_LIMIT:
            self.limit = limit

    @property
    def blocked_until(self) -> datetime | None:
        """Until when the exchange has asked this address to send nothing; None where it has not."""
        left = self._blocked_until - self._ticks()
        return self._time_in(left) if left > 0 else None

    def wait_for(self, weight: int) -> float:
        """Seconds until a request of this weight may leave; 0 for now."""
        with self._lock:
            return self._held_back(weight)[0]

    def admit(self, weight: int, patience: float) -> None:
        """Let a request through, once it fits.

        Args:
            weight: What Binance counts for it.
            patience: Seconds it may be held back.

        Raises:
            RateLimited: It would have to wait longer; ``retry_after`` and the text say how long.
        """
        deadline = self._ticks() + patience
        while True:
            with self._lock:
                wait, reason = self._held_back(weight)
                now = self._ticks()
                if wait <= 0:
                    self._sent.append((now, weight))
                    self._sent_weight += weight
                    self._pending += weight
                    return
            if now + wait > deadline:
                raise RateLimited(
                    f"{reason}; the next request may leave at {moment(self._time_in(wait))}.",
                    hint="Nothing was sent. connect(weight_share=...) sets the part of the limit that is used here.",
                    retry_after=wait,
                )
            self._sleep(min(max(wait, 0.01), 1.0))

    def note(self, weight: int, used: int | None, *, left: bool = True) -> None:
        """Take note that a request has ended.

        Args:
            weight: What it was let through with.
            used: What its answer told of the count; None where it told nothing.
            left: Whether it left this machine; else its weight is given back.
        """
        with self._lock:
            self._pending = max(0, self._pending - weight)
            if not left:
                self._give_back(weight)
            minute = int(self._wall() // 60)
            # Answers overtake each other a little; a count that has fallen by half has started anew.
            anew = used is not None and (minute != self._used_minute or used < self._used / 2)
            if used is not None and (anew or used > self._used):
                self._used, self._used_minute = used, minute

    def block(self, limited: RateLimited) -> None:
        """Hold everything back after a 429 or 418.

        Until the latest time that header and words name, but for a ban's shortest time at least after a 418, and for a
        second after a 429; to the next minute after a 429 that names no time.
        """
        named = [int(match[1]) / 1000 - self._wall() for match in _BANNED_UNTIL.finditer(limited.words)]
        if limited.retry_after is not None and not math.isnan(limited.retry_after):
            named.append(limited.retry_after)
        if limited.http_status == 418:
            named.append(self._shortest_ban)
        else:
            named.append(_SHORTEST_WAIT if named else self._to_next_minute())
        seconds = min(max(named), LONGEST_BAN)
        with self._lock:
            self._blocked_until = max(self._blocked_until, self._ticks() + seconds)

    def _held_back(self, weight: int) -> tuple[float, str]:
        """For how many seconds a weight must wait, and what holds it back."""
        now = self._ticks()
        if self._blocked_until > now:
            return self._blocked_until - now, "The exchange has asked this address to wait"
        while self._sent and self._sent[0][0] <= now - 60:
            self._sent_weight -= self._sent.popleft()[1]
        share = min(self._shares.values(), default=1.0) * self.limit
        surplus = self._sent_weight + weight - share
        for at, sent in self._sent if surplus > 0 else ():
            surplus -= sent
            if surplus <= 0 or at == self._sent[-1][0]:
                reason = "This process has used its share of the rate limit"
                return at + 60 - now, f"{reason}, {share:,.0f} of {self.limit:,} a minute"
        used = self._used if self._wall() // 60 == self._used_minute else 0
        if used and used + self._pending + weight > self.limit:
            return self._to_next_minute(), f"This address has used up its rate limit of {self.limit:,} a minute"
        return 0.0, ""

    def _give_back(self, weight: int) -> None:
        for place in range(len(self._sent) - 1, -1, -1):
            if self._sent[place][1] == weight:
                del self._sent[place]
                self._sent_weight -= weight
                return

    def _to_next_minute(self) -> float:
        # Clocks differ a little: half a second later the exchange's minute has turned too.
        return 60.5 - self._wall() % 60

    def _time_in(self, seconds: float) -> datetime:
        return datetime.fromtimestamp(self._wall() + seconds).astimezone()


_limiters: dict[str, Limiter] = {}
_lock = threading.Lock()


def limiter_of(address: str) -> Limiter:
    """The one limiter of this process for an address; one for all host names of the same exchange."""
    with _lock:
        return _limiters.setdefault(back_end(address), Limiter())


def use_limiter(address: str, limiter: Limiter) -> Limiter:
    """Use a limiter of one's own for an address, for accounts connected after it: shorter bans for tests, say."""
    with _lock:
        _limiters[back_end(address)] = limiter
    return limiter


def _start_anew() -> None:
    """In a forked process: another thread may have held the locks."""
    global _lock
    _lock = threading.Lock()
    _limiters.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
