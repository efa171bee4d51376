"""One table: what can go wrong with a request, and whether the exchange executed it.

Whoever injects a fault chooses whether the exchange executed the request. A kind leaves no choice only where its
name says so (``reset_before``), or where Binance documents the answer as a definite refusal. An answer that merely
resembles a refusal (a firewall's page, a bare status, a 5xx with a code) may come after execution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

CHANGE = "POST /fapi/v1/leverage"
SETTINGS = "GET /fapi/v1/symbolConfig"
TIME = "GET /fapi/v1/time"
ANY = "* *"

Manner = Literal["whole", "reset", "never", "dripped", "truncated", "restart", "gzip", "gzip_twice", "endless"]
Effect = Literal["", "delay", "postpone", "skew", "jump", "foreign_before", "foreign_after", "stale", "omit"]
Alteration = Literal["", "leverage", "symbol", "code", "echo_page", "echo_json"]

# Beyond a day, waiting is of no use to anybody; clocks can be wrong by decades.
_WAIT = (0.0, 86_400.0)
_CLOCK = (-1e9, 1e9)

_NAMED = "its name says so"
_DOCUMENTED = "Binance documents that it did not execute the request"
_OWN_RULES = "the exchange refuses the request by its own rules"


@dataclass(frozen=True)
class Kind:
    """What a fault does to a request.

    Attributes:
        about: In a few words. SECONDS, LEVERAGE and SYMBOL are the fault's values.
        executed: Whether the exchange gets the request and executes it, unless its own rules refuse it: the default
            of the fault's ``executed``. None: by chance.
        because: Why ``executed`` cannot be chosen; "" where it can.
        on: The requests that it meets by default.
        meets_change: Whether it makes sense on a change of leverage.
        meets_read: Whether it makes sense on a read.
        manner: How the answer goes back.
        status: The answer's status instead of the true one; 0 leaves the answer true.
        body: The answer's body instead of the true one.
        headers: Headers beside it; ``{seconds}`` is filled in.
        alter: What differs from the true answer, or what the answer repeats.
        effect: What happens in the exchange.
        seconds: The default of SECONDS.
        limits: The least and the most that SECONDS may be.
    """

    about: str
    executed: bool | None = True
    because: str = ""
    on: str = CHANGE
    meets_change: bool = True
    meets_read: bool = True
    manner: Manner = "whole"
    status: int = 0
    body: Any = ""
    headers: tuple[tuple[str, str], ...] = ()
    alter: Alteration = ""
    effect: Effect = ""
    seconds: float = 0.0
    limits: tuple[float, float] = _WAIT

    @property
    def choices(self) -> tuple[bool, ...]:
        """The values that ``executed`` may have."""
        return (self.executed is True,) if self.because else (True, False)


_RETRY_AFTER = (("Retry-After", "{seconds:.0f}"),)
_ELSEWHERE = (("Location", "http://127.0.0.1:9/elsewhere"),)

_LOUNGE = "<!DOCTYPE html><html><body><h1>Welcome to the lounge</h1>Please log in.</body></html>"
_BLOCKED = "<html><h1>Request blocked</h1></html>"
BAD_GATEWAY = "<html><h1>502 Bad Gateway</h1></html>"
_UNKNOWN = {"path": "/fapi/v1/leverage", "msg": "Unknown error, please check your request or try again later."}
_INTERNAL = "Internal error; unable to process your request. Please try again."
_TIMEOUT = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
_BUSY = "Request throttled by system-level protection. Reduce-only/close-position orders are exempt. Please try again."
_RATE = {"code": -1003, "msg": "Too many requests; current limit is 2400 requests per minute."}
_BAN = {"code": -1003, "msg": "Way too many requests; IP banned until a while from now."}
_PLACE = {"code": 0, "msg": "Service unavailable from a restricted location according to 'b. Eligibility'"}
_YOUNG = (
    "You can start trading with more than 20x leverage by 2026-10-29 24:00 (UTC), because higher leverage is "
    "available 30 days after Futures account registration."
)


def _lost(about: str, executed: bool | None, manner: Manner, **more: Any) -> Kind:
    """The answer does not come back as it should."""
    return Kind(about, executed, manner=manner, **more)


def _open(about: str, status: int, body: Any = "", **more: Any) -> Kind:
    """An answer that does not tell whether the exchange executed the request."""
    return Kind(about, None, status=status, body=body, **more)


def _definite(about: str, status: int, body: Any, because: str = _DOCUMENTED, **more: Any) -> Kind:
    """A definite refusal of the exchange itself."""
    return Kind(about, False, because, status=status, body=body, **more)


def _foreign(about: str, effect: Effect, **more: Any) -> Kind:
    """Another client of the same account sets a leverage."""
    return Kind(about, effect=effect, **more)


KINDS: dict[str, Kind] = {
    # -- the connection breaks, or the answer comes late -------------------------------------------------
    "reset_before": _lost("the connection is reset; never executed", False, "reset", because=_NAMED),
    "reset_after": _lost("executed, then the connection is reset", True, "reset", because=_NAMED),
    "late_answer": Kind("answered after SECONDS", effect="delay", seconds=3.0),
    "dripped": _lost("the answer comes a byte every SECONDS", True, "dripped", seconds=0.05),
    "late_execution": _lost(
        "executed after SECONDS, never answered",
        True,
        "never",
        because=_NAMED,
        effect="postpone",
        seconds=2.0,
        meets_read=False,
    ),
    "stall": _lost("never answered", None, "never"),
    "truncated": _lost("half of the answer comes", True, "truncated"),
    "restart": _lost("the server goes down for SECONDS", None, "restart", seconds=0.2),
    # -- definite refusals -------------------------------------------------------------------------------
    "unavailable_503": _definite("503 Service Unavailable.; never executed", 503, {"msg": "Service Unavailable."}),
    "internal_503": _definite("503 Internal error; never executed", 503, {"msg": _INTERNAL}),
    "rate_limited": _definite("429 with -1003, without Retry-After; never executed", 429, _RATE),
    "rate_limited_for": _definite(
        "429 with -1003 and Retry-After: SECONDS; never executed", 429, _RATE, headers=_RETRY_AFTER, seconds=1.0
    ),
    "banned": _definite(
        "418 with -1003 and Retry-After: SECONDS; never executed", 418, _BAN, headers=_RETRY_AFTER, seconds=1.0
    ),
    "bad_date_text": _definite(
        "400 with -4300, whose text names a date with 24:00; never executed",
        400,
        {"code": -4300, "msg": _YOUNG},
        _OWN_RULES,
        meets_read=False,
    ),
    # -- look-alikes of a refusal: from something in between, before or after execution ------------------
    "page_401": _open("401 with a page", 401, _LOUNGE),
    "firewall": _open("403 with a page", 403, _BLOCKED),
    "firewall_after": Kind("executed, then 403 with a page", True, _NAMED, status=403, body=_BLOCKED),
    "empty_418": _open("418 without a body", 418),
    "page_429": _open("429 with a page", 429, _BLOCKED),
    "page_451": _open("451 with a page", 451, _BLOCKED),
    "restricted": _open("451 with code 0", 451, _PLACE),
    "disconnected_500": _open("500 with -1001", 500, {"code": -1001, "msg": _INTERNAL}),
    "disconnected_504": _open("504 with -1001", 504, {"code": -1001, "msg": _INTERNAL}),
    "disconnected_200": _open("200 with -1001", 200, {"code": -1001, "msg": _INTERNAL}),
    "throttled_502": _open("502 with -1008", 502, {"code": -1008, "msg": _BUSY}),
    "throttled_503": _open("503 with -1008", 503, {"code": -1008, "msg": _BUSY}),
    "shutdown_500": _open("500 with -1016", 500, {"code": -1016, "msg": "This service is no longer available."}),
    # -- answers that leave it open ----------------------------------------------------------------------
    "half_a_json": _open("200 with JSON that ends early and claims to be whole", 200, '{"leverage": '),
    "html": _open("200 with a page", 200, _LOUNGE),
    "empty": _open("200 without a body", 200),
    "redirect": _open("307 to elsewhere", 307, headers=_ELSEWHERE),
    "timeout_1007": _open("400 with -1007", 400, {"code": -1007, "msg": _TIMEOUT}),
    "timeout_408": _open("408 without a body", 408),
    "bad_gateway": _open("502 with a page", 502, BAD_GATEWAY),
    "unknown_503": _open("503 Unknown error", 503, _UNKNOWN),
    # -- answers that are altered, too large, or repeat what was sent ------------------------------------
    "wrong_leverage": Kind("200 that names another leverage", alter="leverage", meets_read=False),
    "wrong_symbol": Kind("200 that names another symbol", alter="symbol", meets_read=False),
    "code_beside_target": Kind(
        "200 that names symbol and leverage beside code -4161", None, alter="code", meets_read=False
    ),
    "gzip_bomb": _lost("the true answer behind 64 MB of blanks, compressed", True, "gzip"),
    "gzip_twice": _lost("the true answer behind 64 MB of blanks, compressed twice", True, "gzip_twice"),
    "oversized": _lost("the true answer behind 64 MB of blanks, of no stated length", True, "endless"),
    "echo": Kind("502 with a page that repeats key, signature and body", None, alter="echo_page"),
    "echo_json": Kind("500 with -1000 and a text that repeats key, signature and body", None, alter="echo_json"),
    # -- clocks ------------------------------------------------------------------------------------------
    "clock_skew": Kind(
        "timestamps are checked by a clock that is SECONDS ahead", effect="skew", seconds=60.0, limits=_CLOCK
    ),
    # On every request by default: times=None is "from now on", times=3 "for three requests".
    "clock_jump": Kind(
        "the exchange's clock is SECONDS ahead in every respect", on=ANY, effect="jump", seconds=3600.0, limits=_CLOCK
    ),
    "time_far_ahead": _open("serverTime 1e17", 200, {"serverTime": 10**17}, on=TIME, meets_change=False),
    "time_far_back": _open("serverTime -1e17", 200, {"serverTime": -(10**17)}, on=TIME, meets_change=False),
    "time_float": _open("serverTime 1e30, as a float", 200, {"serverTime": 1e30}, on=TIME, meets_change=False),
    # -- other clients -----------------------------------------------------------------------------------
    "other_client_first": _foreign(
        "just before, another client sets SYMBOL to LEVERAGE", "foreign_before", meets_read=False
    ),
    "other_client": _foreign("SECONDS after, another client sets SYMBOL to LEVERAGE", "foreign_after"),
    "foreign_change_during_wait": _foreign(
        "SECONDS after a read is answered, another client sets SYMBOL to LEVERAGE",
        "foreign_after",
        on=SETTINGS,
        meets_change=False,
    ),
    # -- reads that are stale or not complete ------------------------------------------------------------
    "stale_read": Kind(
        "symbolConfig answers the values of SECONDS ago", on=SETTINGS, effect="stale", seconds=0.5, meets_change=False
    ),
    "missing_symbol": Kind("a list leaves SYMBOL out", on=SETTINGS, effect="omit", meets_change=False),
}

# Names for random runs. A kind with an ``on`` of its own belongs on that request.
FOR_CHANGES = tuple(name for name, kind in KINDS.items() if kind.meets_change)
FOR_READS = tuple(name for name, kind in KINDS.items() if kind.meets_read)
