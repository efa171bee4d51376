"""The rate limit of one address, shared by every account of this process that speaks to it.

Binance counts request weight by IP address and minute, whoever sends: the user's other programs count too. Each
answer tells the count (``X-MBX-USED-WEIGHT-1M``); two rules follow from it:

* this process sends at most its share of the limit within any 60 seconds, so that other programs have the rest;
* it sends nothing that would pass the limit itself, nor anything before a time the exchange has named.
"""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from weakref import WeakKeyDictionary

from leverage_nb.errors import RateLimited

# Until exchangeInfo tells: Binance's production limit (the testnet's is higher).
DEFAULT_LIMIT = 2400
# The shortest and the longest ban that Binance documents for HTTP 418.
SHORTEST_BAN, LONGEST_BAN = 120.0, 3 * 86_400.0

_BANNED_UNTIL = re.compile(r"banned until (\d{13})")


class Limiter:
    """Lets requests through, or holds them back until they fit.

    Args:
        limit: Request weight a minute, as the exchange grants it.
        clock: Seconds since the epoch.
        sleep: How to wait.
    """

    def __init__(
        self,
        limit: int = DEFAULT_LIMIT,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.limit = limit
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._shares: WeakKeyDictionary[object, float] = WeakKeyDictionary()
        self._sent: deque[tuple[float, int]] = deque()  # when and what weight, within the last minute
        self._sent_weight = 0  # their sum
        self._pending = 0  # weight that has been let through and is not answered yet
        self._used, self._used_at = 0, 0.0
        self._blocked_until = 0.0

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
        if limit > 0:
            self.limit = limit

    @property
    def blocked_until(self) -> datetime | None:
        """Until when the exchange has asked this address to send nothing; None where it has not."""
        held = self._blocked_until
        return datetime.fromtimestamp(held).astimezone() if held > self._clock() else None

    def admit(self, weight: int, patience: float) -> None:
        """Let a request through, once it fits.

        Args:
            weight: What Binance counts for it.
            patience: Seconds it may be held back.

        Raises:
            RateLimited: It would have to wait longer; ``retry_after`` and the text say how long.
        """
        deadline = self._clock() + patience
        while True:
            with self._lock:
                now = self._clock()
                free_at, reason = self._free_at(now, weight)
                if free_at <= now:
                    self._sent.append((now, weight))
                    self._sent_weight += weight
                    self._pending += weight
                    return
            if free_at > deadline:
                raise RateLimited(
                    f"{reason}; the next request may leave at {_time_of_day(free_at)}.",
                    hint="Nothing was sent. connect(weight_share=...) sets the part of the limit that is used here.",
                    retry_after=free_at - now,
                )
            self._sleep(min(max(free_at - now, 0.01), 1.0))

    def note(self, weight: int, used: int | None) -> None:
        """Take note that a request has ended, and what its answer told of the count; None where it told nothing."""
        with self._lock:
            self._pending = max(0, self._pending - weight)
            now = self._clock()
            # Answers overtake each other a little; a count that has fallen by half has started anew.
            anew = used is not None and (now // 60 != self._used_at // 60 or used < self._used / 2)
            if used is not None and (anew or used > self._used):
                self._used, self._used_at = used, now

    def block(self, limited: RateLimited) -> None:
        """Hold everything back after a 429 or 418, until the time that answer names or implies."""
        now = self._clock()
        named = _BANNED_UNTIL.search(limited.words)
        if limited.retry_after is not None:
            until = now + limited.retry_after
        elif named is not None:
            until = int(named[1]) / 1000
        elif limited.http_status == 418:
            until = now + SHORTEST_BAN
        else:
            until = _next_minute(now)
        with self._lock:
            self._blocked_until = max(self._blocked_until, min(until, now + LONGEST_BAN))

    def _free_at(self, now: float, weight: int) -> tuple[float, str]:
        """The earliest time at which a weight may leave, and what holds it back until then."""
        if self._blocked_until > now:
            return self._blocked_until, "The exchange has asked this address to wait"
        while self._sent and self._sent[0][0] <= now - 60:
            self._sent_weight -= self._sent.popleft()[1]
        share = min(self._shares.values(), default=1.0) * self.limit
        surplus = self._sent_weight + weight - share
        for at, sent in self._sent if surplus > 0 else ():
            surplus -= sent
            if surplus <= 0 or at == self._sent[-1][0]:
                return (
                    at + 60,
                    f"This process has used its share of the rate limit, {share:,.0f} of {self.limit:,} a minute",
                )
        used = self._used if now // 60 == self._used_at // 60 else 0
        if used and used + self._pending + weight > self.limit:
            return _next_minute(now), f"This address has used up its rate limit of {self.limit:,} a minute"
        return now, ""


_limiters: dict[str, Limiter] = {}
_lock = threading.Lock()


def limiter_of(address: str) -> Limiter:
    """The one limiter of this process for an address."""
    with _lock:
        return _limiters.setdefault(address, Limiter())


def _next_minute(now: float) -> float:
    # Clocks differ a little: half a second later the exchange's minute has turned too.
    return (now // 60 + 1) * 60 + 0.5


def _time_of_day(at: float) -> str:
    return f"{datetime.fromtimestamp(at).astimezone():%H:%M:%S}"
