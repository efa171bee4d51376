"""The table of faults: what can go wrong with a request, and whether the exchange executes it.

The caller chooses whether the exchange executes the request, except where the fault's name states it
(``reset_before``) or where the answer is a definite refusal by Binance. An answer that only resembles a refusal (the
page of a firewall, a bare status, a 5xx with a code) may come after execution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

CHANGE = "POST /fapi/v1/leverage"
CHANGES = "changes"  # of leverage, margin type and isolated margin
SETTINGS = "GET /fapi/v1/symbolConfig"
TIME = "GET /fapi/v1/time"
ANY = "* *"

Manner = Literal["whole", "reset", "never", "dripped", "truncated", "restart", "gzip", "gzip_twice", "endless"]
Effect = Literal["", "delay", "execute_after", "skew", "jump", "age", "omit", "foreign_before", "foreign_after"]
Alteration = Literal["", "leverage", "symbol", "code", "echo_page", "echo_json"]

_WAIT = (0.0, 86_400.0)
_CLOCK = (-1e9, 1e9)  # clocks can be wrong by decades

_NAMED = "its name says so"
_DOCUMENTED = "Binance documents that it did not execute the request"
_OWN_RULES = "the exchange refuses the request by its own rules"


@dataclass(frozen=True)
class Kind:
    """A fault's effect on a request."""

    about: str  # in it, SECONDS and SYMBOL are the values given with the fault
    executed: bool | None = True  # whether the exchange receives the request, by default; None: at random
    status: int = 0  # status that replaces the true answer's; 0 keeps the true answer
    body: Any = ""  # body that replaces the true answer's
    because: str = ""  # why ``executed`` cannot be chosen; "" where it can
    headers: Mapping[str, str] = field(default_factory=dict)  # of the replacement; ``{seconds}`` is filled in
    on: str = CHANGES  # the requests that it affects by default
    meets_change: bool = True  # whether it makes sense on a change
    meets_read: bool = True  # whether it makes sense on a read
    manner: Manner = "whole"  # how the answer is sent
    alter: Alteration = ""  # what differs from the true answer, or what the answer repeats
    effect: Effect = ""  # what happens in the exchange: the field of ``Course`` that it sets
    seconds: float = 0.0  # the default of SECONDS
    limits: tuple[float, float] = _WAIT  # the smallest and the largest SECONDS

    @property
    def choices(self) -> tuple[bool, ...]:
        """The values that ``executed`` may have."""
        return (self.executed is True,) if self.because else (True, False)


_RETRY_AFTER = {"Retry-After": "{seconds:.0f}"}
_ELSEWHERE = {"Location": "http://127.0.0.1:9/elsewhere"}

_LOUNGE = "<!DOCTYPE html><html><body><h1>Welcome to the lounge</h1>Please log in.</body></html>"
_BLOCKED = "<html><h1>Request blocked</h1></html>"
BAD_GATEWAY = "<html><h1>502 Bad Gateway</h1></html>"
_UNKNOWN = {"path": "/fapi/v1/leverage", "msg": "Unknown error, please check your request or try again later."}
_INTERNAL = "Internal error; unable to process your request. Please try again."
_DISCONNECTED = {"code": -1001, "msg": _INTERNAL}
_TIMEOUT = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
_BUSY = "Request throttled by system-level protection. Reduce-only/close-position orders are exempt. Please try again."
_THROTTLED = {"code": -1008, "msg": _BUSY}
_SHUTDOWN = {"code": -1016, "msg": "This service is no longer available."}
_RATE = {"code": -1003, "msg": "Too many requests; current limit is 2400 requests per minute."}
_BAN = {"code": -1003, "msg": "Way too many requests; IP banned until a while from now."}
_PLACE = {"code": 0, "msg": "Service unavailable from a restricted location according to 'b. Eligibility'"}
_YOUNG = {
    "code": -4300,
    "msg": "You can start trading with more than 20x leverage by 2026-10-29 24:00 (UTC), because higher leverage is "
    "available 30 days after Futures account registration.",
}

# fmt: off
KINDS: dict[str, Kind] = {
    # -- the connection breaks, or the answer comes late -------------------------------------------------
    "reset_before": Kind("the connection is reset; never executed", False, manner="reset", because=_NAMED),
    "reset_after": Kind("executed, then the connection is reset", manner="reset", because=_NAMED),
    "late_answer": Kind("answered after SECONDS", effect="delay", seconds=3.0),
    "dripped": Kind("the answer comes one byte every SECONDS", manner="dripped", seconds=0.05),
    "late_execution": Kind("executed after SECONDS, never answered", because=_NAMED, manner="never",
                           effect="execute_after", seconds=2.0, meets_read=False),
    "stall": Kind("never answered", None, manner="never"),
    "truncated": Kind("half of the answer comes", manner="truncated"),
    "restart": Kind("the server goes down for SECONDS", None, manner="restart", seconds=0.2),
    # -- definite refusals -------------------------------------------------------------------------------
    "unavailable_503": Kind("503 Service Unavailable.; never executed", False, 503, {"msg": "Service Unavailable."},
                            _DOCUMENTED),
    "internal_503": Kind("503 Internal error; never executed", False, 503, {"msg": _INTERNAL}, _DOCUMENTED),
    "rate_limited": Kind("429 with -1003, without Retry-After; never executed", False, 429, _RATE, _DOCUMENTED),
    "rate_limited_for": Kind("429 with -1003 and Retry-After: SECONDS; never executed", False, 429, _RATE, _DOCUMENTED,
                             _RETRY_AFTER, seconds=1.0),
    "banned": Kind("418 with -1003 and Retry-After: SECONDS; never executed", False, 418, _BAN, _DOCUMENTED,
                   _RETRY_AFTER, seconds=1.0),
    "bad_date_text": Kind("400 with -4300, whose text names a date with 24:00; never executed", False, 400, _YOUNG,
                          _OWN_RULES, meets_read=False),
    # -- answers that resemble a refusal: sent by an intermediary, before or after execution --------------
    "page_401": Kind("401 with a page", None, 401, _LOUNGE),
    "firewall": Kind("403 with a page", None, 403, _BLOCKED),
    "firewall_after": Kind("executed, then 403 with a page", True, 403, _BLOCKED, _NAMED),
    "empty_418": Kind("418 without a body", None, 418),
    "page_429": Kind("429 with a page", None, 429, _BLOCKED),
    "page_451": Kind("451 with a page", None, 451, _BLOCKED),
    "restricted": Kind("451 with code 0", None, 451, _PLACE),
    "disconnected_500": Kind("500 with -1001", None, 500, _DISCONNECTED),
    "disconnected_504": Kind("504 with -1001", None, 504, _DISCONNECTED),
    "disconnected_200": Kind("200 with -1001", None, 200, _DISCONNECTED),
    "throttled_502": Kind("502 with -1008", None, 502, _THROTTLED),
    "throttled_503": Kind("503 with -1008", None, 503, _THROTTLED),
    "shutdown_500": Kind("500 with -1016", None, 500, _SHUTDOWN),
    # -- answers that do not show whether the request was executed ----------------------------------------
    "half_a_json": Kind("200 with JSON that ends early, of the stated length", None, 200, '{"leverage": '),
    "html": Kind("200 with a page", None, 200, _LOUNGE),
    "empty": Kind("200 without a body", None, 200),
    "redirect": Kind("307 to another address", None, 307, headers=_ELSEWHERE),
    "timeout_1007": Kind("400 with -1007", None, 400, {"code": -1007, "msg": _TIMEOUT}),
    "timeout_408": Kind("408 without a body", None, 408),
    "bad_gateway": Kind("502 with a page", None, 502, BAD_GATEWAY),
    "unknown_503": Kind("503 Unknown error", None, 503, _UNKNOWN),
    # -- answers that are altered, too large, or repeat the request ---------------------------------------
    "wrong_leverage": Kind("200 that names another leverage or amount", alter="leverage", meets_read=False),
    "wrong_symbol": Kind("200 that names another symbol", alter="symbol", meets_read=False),
    "code_beside_target": Kind("200 that names what was requested beside code -4161", None, alter="code",
                               meets_read=False),
    "gzip_bomb": Kind("the true answer behind 64 MB of blanks, compressed", manner="gzip"),
    "gzip_twice": Kind("the true answer behind 64 MB of blanks, compressed twice", manner="gzip_twice"),
    "oversized": Kind("the true answer behind 64 MB of blanks, without a stated length", manner="endless"),
    "echo": Kind("502 with a page that repeats key, signature and body", None, alter="echo_page"),
    "echo_json": Kind("500 with -1000 and a text that repeats key, signature and body", None, alter="echo_json"),
    # -- clocks ------------------------------------------------------------------------------------------
    "clock_skew": Kind("the clock that checks timestamps is SECONDS ahead", effect="skew", seconds=60.0, limits=_CLOCK),
    # On every request by default: times=None is "from now on", times=3 "for three requests".
    "clock_jump": Kind("the exchange's clock is SECONDS ahead in every respect", on=ANY, effect="jump", seconds=3600.0,
                       limits=_CLOCK),
    "time_far_ahead": Kind("serverTime 1e17", None, 200, {"serverTime": 10**17}, on=TIME, meets_change=False),
    "time_far_back": Kind("serverTime -1e17", None, 200, {"serverTime": -(10**17)}, on=TIME, meets_change=False),
    "time_float": Kind("serverTime 1e30, as a float", None, 200, {"serverTime": 1e30}, on=TIME, meets_change=False),
    # -- other clients -----------------------------------------------------------------------------------
    "other_client_first": Kind("another client changes SYMBOL immediately before", effect="foreign_before",
                               meets_read=False),
    "other_client": Kind("another client changes SYMBOL SECONDS after", effect="foreign_after"),
    "foreign_change_during_wait": Kind("another client changes SYMBOL SECONDS after a read is answered",
                                       effect="foreign_after", on=SETTINGS, meets_change=False),
    # -- reads that are stale or incomplete ---------------------------------------------------------------
    "stale_read": Kind("a read answers the account of SECONDS ago", on=SETTINGS, effect="age", seconds=0.5,
                       meets_change=False),
    "missing_symbol": Kind("a list omits SYMBOL", on=SETTINGS, effect="omit", meets_change=False),
}
# fmt: on

# The kinds for random runs. A kind with its own ``on`` belongs on that request.
FOR_CHANGES = tuple(name for name, kind in KINDS.items() if kind.meets_change)
FOR_READS = tuple(name for name, kind in KINDS.items() if kind.meets_read)
