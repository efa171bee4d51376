"""The rate limit of one exchange, shared by all accounts of this process.

Binance counts request weight by IP address and minute, so the user's other programs count too. Each answer states the
count (``X-MBX-USED-WEIGHT-1M``). Two rules follow:

* this process uses at most its share of the limit within any 60 seconds, and leaves the rest to other programs;
* it sends no request that would exceed the limit, and none before a time that the exchange has named.

Source: https://developers.binance.com/docs/derivatives/usds-margined-futures/general-info
"""

from __future__ import annotations

import math
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from weakref import WeakKeyDictionary

from leverage_nb import interrupts
from leverage_nb.errors import RateLimited
from leverage_nb.formatting import local_time, moment

# Binance's limit on mainnet, used until exchangeInfo was read. The testnet's is higher.
DEFAULT_LIMIT = 2400
# The shortest and the longest ban that Binance documents for HTTP 418.
SHORTEST_BAN, LONGEST_BAN = 120.0, 3 * 86_400.0

# The shortest wait after a 429.
_SHORTEST_WAIT = 1.0
# Limits outside these bounds are ignored: Binance's are 2,400 and 6,000.
_SMALLEST_LIMIT, _LARGEST_LIMIT = 100, 10**9

# In milliseconds since the epoch.
_BANNED_UNTIL = re.compile(r"(?i)banned until ([0-9]{13})(?![0-9])")

_OWN_SHARE = "This process has used its share of the rate limit"
_WAIT = "Wait until then. Other programs at this address count too."


class Limiter:
    """Delay requests until they fit into the rate limit.

    Args:
        limit: The request weight that the exchange allows per minute.
        shortest_ban: The shortest time, in seconds, for which nothing is sent after HTTP 418.
        wall: Return the seconds since the epoch.
        ticks: Return the seconds of a monotonic clock.
        sleep: Wait for a number of seconds.

    Attributes:
        limit: The request weight that the exchange allows per minute, as far as is known.
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
        self._sent: deque[tuple[float, int]] = deque()  # time and weight, of the last 60 seconds
        self._sent_weight = 0  # their sum
        self._pending = 0  # weight that was admitted and has no answer yet
        self._used, self._used_minute = 0, 0
        self._blocked_until = 0.0  # in ticks

    def join(self, member: object, share: float) -> None:
        """Add a client. The smallest share among the clients applies to all of them."""
        with self._lock:
            self._shares[member] = share

    def leave(self, member: object) -> None:
        """Remove a client."""
        with self._lock:
            self._shares.pop(member, None)

    def learn(self, limit: int) -> None:
        """Use the limit that the exchange states."""
        if _SMALLEST_LIMIT <= limit <= _LARGEST_LIMIT:
            self.limit = limit

    @property
    def blocked_until(self) -> datetime | None:
        """The time before which the exchange wants no request from this address; None without such a time."""
        left = self._blocked_until - self._ticks()
        return self._time_in(left) if left > 0 else None

    def wait_for(self, weight: int) -> float:
        """Return the seconds until a request of this weight may leave; 0 if it may leave now."""
        with self._lock:
            return self._held_back(weight)[0]

    def admit(self, weight: int, patience: float, share: float = 1.0) -> None:
        """Wait until a request fits into the limit, and count it.

        Args:
            weight: The request weight.
            patience: Seconds to wait at most.
            share: The share of the client that sends it, which applies also if the client has left.

        Raises:
            RateLimited: The request would have to wait longer; ``retry_after`` and the text say how long.
        """
        deadline = self._ticks() + patience
        while True:
            with self._lock:
                wait, reason = self._held_back(weight, share)
                now = self._ticks()
                if wait <= 0:
                    self._sent.append((now, weight))
                    self._sent_weight += weight
                    self._pending += weight
                    return
            if now + wait > deadline:
                own = reason.startswith(_OWN_SHARE)
                step = "connect(weight_share=...) sets the part of the limit that is used." if own else _WAIT
                raise RateLimited(
                    f"{reason}; the next request may leave at {moment(self._time_in(wait))}.",
                    hint=f"Nothing was sent. {step}",
                    retry_after=wait,
                )
            self._sleep(min(max(wait, 0.01), 1.0))

    def note(self, weight: int, used: int | None, *, left: bool = True) -> None:
        """Record the end of a request.

        Args:
            weight: The weight with which it was admitted.
            used: The used weight that its answer states; None if it states none.
            left: Whether it left this machine; if not, its weight does not count.
        """
        with self._lock:
            self._pending = max(0, self._pending - weight)
            if not left:
                self._give_back(weight)
            minute = int(self._wall() // 60)
            # Answers may arrive out of order: only a count that has fallen by half belongs to a new minute.
            restarted = used is not None and (minute != self._used_minute or used < self._used / 2)
            if used is not None and (restarted or used > self._used):
                self._used, self._used_minute = used, minute

    def block(self, limited: RateLimited) -> None:
        """Stop all requests after HTTP 429 or 418.

        They resume at the latest time that the header and the message name: after a 418 not before the shortest ban
        has passed, after a 429 not before a second has passed. After a 429 that names no time they resume with the
        next minute.

        Args:
            limited: The error for the answer.
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

    def _held_back(self, weight: int, share: float = 1.0) -> tuple[float, str]:
        """Return the seconds for which a weight must wait, and the reason."""
        now = self._ticks()
        if self._blocked_until > now:
            return self._blocked_until - now, "The exchange asked this address to wait"
        while self._sent and self._sent[0][0] <= now - 60:
            self._sent_weight -= self._sent.popleft()[1]
        own_limit = min((share, *self._shares.values())) * self.limit
        surplus = self._sent_weight + weight - own_limit
        for at, sent in self._sent if surplus > 0 else ():
            surplus -= sent
            if surplus <= 0 or at == self._sent[-1][0]:
                return at + 60 - now, f"{_OWN_SHARE}, {own_limit:,.0f} of {self.limit:,} a minute"
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
        # Half a second more, because the exchange's clock may be slightly behind.
        return 60.5 - self._wall() % 60

    def _time_in(self, seconds: float) -> datetime:
        return local_time(self._wall() + seconds)
