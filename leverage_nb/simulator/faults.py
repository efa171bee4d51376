"""What can go wrong, on demand: faults that meet requests on their way in, in the exchange, and on their way back.

Each is something that Binance documents, or that networks do. Faults combine: all that match a request take their
effect on it. What the exchange really did is in ``Exchange.executed``, whatever was answered.
"""

from __future__ import annotations

import json
import random
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

CHANGE = "POST /fapi/v1/leverage"

Manner = Literal["whole", "reset", "never", "dripped", "truncated", "restart"]


@dataclass(frozen=True)
class Kind:
    """What a fault does to a request.

    Attributes:
        about: In a few words.
        executed: Whether the exchange carries the request out; None where either can be.
        manner: How the answer goes back.
        status: The answer's status in place of the true one; 0 leaves the answer true.
        body: The answer's body in place of the true one.
        headers: Headers beside it; ``{seconds}`` is filled in.
        seconds: The default of the fault's ``seconds``.
    """

    about: str
    executed: bool | None = True
    manner: Manner = "whole"
    status: int = 0
    body: Any = ""
    headers: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0


_HTML = "<!DOCTYPE html><html><body><h1>Welcome to the lounge</h1>Please log in.</body></html>"
_UNKNOWN = {"path": "/fapi/v1/leverage", "msg": "Unknown error, please check your request or try again later."}
_TIMEOUT = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
_BUSY = "Request throttled by system-level protection. Reduce-only/close-position orders are exempt. Please try again."
_RATE = {"code": -1003, "msg": "Too many requests; current limit is 2400 requests per minute."}
_BAN = {"code": -1003, "msg": "Way too many requests; IP banned until a while from now."}
_PLACE = {"code": 0, "msg": "Service unavailable from a restricted location according to 'b. Eligibility'"}

KINDS: dict[str, Kind] = {
    "reset_before": Kind("the connection is reset, nothing was done", executed=False, manner="reset"),
    "reset_after": Kind("it is carried out, then the connection is reset", manner="reset"),
    "late_answer": Kind("carried out at once, answered after SECONDS", seconds=3.0),
    "dripped": Kind("carried out, the answer comes a byte every SECONDS", manner="dripped", seconds=0.05),
    "late_execution": Kind("carried out after SECONDS, never answered", manner="never", seconds=2.0),
    "stall": Kind("never answered", executed=None, manner="never"),
    "truncated": Kind("carried out, half of the answer comes", manner="truncated"),
    "half_a_json": Kind(
        "an answer that ends early and says it is whole", executed=None, status=200, body='{"leverage": '
    ),
    "html": Kind("a page with status 200", executed=None, status=200, body=_HTML),
    "empty": Kind("an empty answer with status 200", executed=None, status=200),
    "bad_gateway": Kind("502 with a page", executed=None, status=502, body="<html><h1>502 Bad Gateway</h1></html>"),
    "unknown_503": Kind("503 Unknown error", executed=None, status=503, body=_UNKNOWN),
    "unavailable_503": Kind(
        "503 Service Unavailable.", executed=False, status=503, body={"msg": "Service Unavailable."}
    ),
    "internal_503": Kind(
        "503 Internal error",
        executed=False,
        status=503,
        body={"msg": "Internal error; unable to process your request. Please try again."},
    ),
    "throttled_503": Kind("503 with -1008", executed=False, status=503, body={"code": -1008, "msg": _BUSY}),
    "timeout_408": Kind("408", executed=None, status=408),
    "timeout_1007": Kind("400 with -1007", executed=None, status=400, body={"code": -1007, "msg": _TIMEOUT}),
    "rate_limited": Kind("429 without Retry-After", executed=False, status=429, body=_RATE),
    "rate_limited_for": Kind(
        "429 with Retry-After: SECONDS",
        executed=False,
        status=429,
        body=_RATE,
        headers=(("Retry-After", "{seconds:.0f}"),),
        seconds=1.0,
    ),
    "banned": Kind(
        "418 with Retry-After: SECONDS",
        executed=False,
        status=418,
        body=_BAN,
        headers=(("Retry-After", "{seconds:.0f}"),),
        seconds=1.0,
    ),
    "firewall": Kind("403 with a page", executed=False, status=403, body="<html>Request blocked</html>"),
    "restricted": Kind("451", executed=False, status=451, body=_PLACE),
    "redirect": Kind(
        "307 to elsewhere", executed=None, status=307, headers=(("Location", "http://127.0.0.1:9/elsewhere"),)
    ),
    "clock_skew": Kind("the exchange's clock is SECONDS ahead for this request", seconds=60.0),
    "wrong_leverage": Kind("carried out, the answer names another leverage"),
    "wrong_symbol": Kind("carried out, the answer names another symbol"),
    "other_client_first": Kind("just before, another client sets the same symbol to LEVERAGE"),
    "other_client": Kind("SECONDS after, another client sets the same symbol to LEVERAGE"),
    "restart": Kind("the server goes down for SECONDS", executed=None, manner="restart", seconds=0.2),
}


@dataclass(frozen=True)
class Fault:
    """A fault that waits for requests.

    Attributes:
        name: One of ``KINDS``.
        on: The requests it meets, as "POST /fapi/v1/leverage"; ``*`` stands for any method or path.
        times: How many requests it meets before it is spent; None for all.
        chance: The probability that it meets a request it could.
        seconds: See the kind; its default when None.
        leverage: For another client's change; a random one when None.
        executed: Whether the request is carried out, where the kind leaves it open; by chance when None.

    Raises:
        ValueError: There is no such fault, or it leaves no choice of ``executed``.
    """

    name: str
    on: str = CHANGE
    times: int | None = 1
    chance: float = 1.0
    seconds: float | None = None
    leverage: int | None = None
    executed: bool | None = None

    def __post_init__(self) -> None:
        kind = KINDS.get(self.name)
        if kind is None:
            raise ValueError(f"there is no fault {self.name!r}; there are {', '.join(KINDS)}")
        if self.executed is not None and kind.executed not in {None, self.executed}:
            raise ValueError(f"{self.name} is {'' if kind.executed else 'not '}carried out, always")
        if self.times is not None and self.times < 0:  # 0: it is spent
            raise ValueError(f"a fault meets so many requests, or all (None); got {self.times}")
        if not 0 <= self.chance <= 1:
            raise ValueError(f"a chance lies between 0 and 1; got {self.chance}")
        if self.seconds is not None and not 0 <= self.seconds <= 86_400:
            raise ValueError(f"seconds are from 0 to a day; got {self.seconds}")
        if not re.fullmatch(r"(\*|[A-Z]+) (\*|/\S*)", self.on):
            raise ValueError(f"requests are named as METHOD /path, with * for any; got {self.on!r}")

    def meets(self, method: str, path: str) -> bool:
        """Whether a request is of the kind it waits for."""
        wanted_method, wanted_path = self.on.split(" ")
        return wanted_method in {"*", method} and wanted_path in {"*", path}


@dataclass(frozen=True)
class Course:
    """What becomes of one request, all its faults taken together.

    Attributes:
        executed: Whether the exchange carries it out.
        execute_after: Seconds until it does.
        skew: Seconds by which the exchange's clock is ahead.
        others_first: Leverages that another client sets before; 0 for any.
        others_after: Seconds, and the leverage that another client sets then; 0 for any.
        answer: Status, body and headers in place of the true answer.
        twist: "leverage" or "symbol" is another in the answer than in the request.
        delay: Seconds before the answer.
        manner: How it goes back.
        pace: Seconds a byte, or for which the server is down.
    """

    executed: bool = True
    execute_after: float = 0.0
    skew: float = 0.0
    others_first: tuple[int, ...] = ()
    others_after: tuple[tuple[float, int], ...] = ()
    answer: tuple[int, str, dict[str, str]] | None = None
    twist: str = ""
    delay: float = 0.0
    manner: Manner = "whole"
    pace: float = 0.0


class Faults:
    """The faults that wait, and the chance that decides. The same seed and requests give the same faults."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)  # noqa: S311 - must repeat, and hides nothing
        self._waiting: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, faults: Iterable[Fault]) -> None:
        """Let more faults wait."""
        with self._lock:
            self._waiting += faults

    def clear(self) -> None:
        """Let none wait."""
        with self._lock:
            self._waiting = []

    def any_leverage(self, most: int) -> int:
        """A leverage by chance, for a client that nobody asked."""
        return self._random.randint(1, most)

    def meet(self, method: str, path: str) -> Course | None:
        """What becomes of a request; None where no fault meets it."""
        with self._lock:
            met = []
            for place, fault in enumerate(self._waiting):
                if fault.times == 0 or not fault.meets(method, path) or self._random.random() >= fault.chance:
                    continue
                met.append(fault)
                if fault.times is not None:
                    self._waiting[place] = replace(fault, times=fault.times - 1)
            self._waiting = [fault for fault in self._waiting if fault.times != 0]
            course = Course()
            for fault in met:
                course = self._add(course, fault)
        return course if met else None

    def _add(self, course: Course, fault: Fault) -> Course:
        kind = KINDS[fault.name]
        seconds = kind.seconds if fault.seconds is None else fault.seconds
        executed = kind.executed if fault.executed is None else fault.executed
        if executed is None:
            executed = self._random.random() < 0.5
        course = replace(course, executed=course.executed and executed)
        if kind.manner != "whole":
            course = replace(course, manner=kind.manner, pace=seconds)
        if kind.status:
            body = kind.body if isinstance(kind.body, str) else json.dumps(kind.body)
            headers = {name: text.format(seconds=seconds) for name, text in kind.headers}
            course = replace(course, answer=(kind.status, body, headers))
        if fault.name == "late_answer":
            return replace(course, delay=course.delay + seconds)
        if fault.name == "late_execution":
            return replace(course, execute_after=seconds)
        if fault.name == "clock_skew":
            return replace(course, skew=seconds)
        if fault.name in {"wrong_leverage", "wrong_symbol"}:
            return replace(course, twist=fault.name.removeprefix("wrong_"))
        if fault.name == "other_client_first":
            return replace(course, others_first=(*course.others_first, fault.leverage or 0))
        if fault.name == "other_client":
            return replace(course, others_after=(*course.others_after, (seconds, fault.leverage or 0)))
        return course


_SPELLING = re.compile(
    r"""(?P<name>\w+?)
        (=(?P<seconds>[\d.]+))?
        (@(?P<on>(?:\*|[A-Z]+)[ ](?:\*|/[^\s:,]*?)))?
        (:(?P<chance>[\d.]+))?
        (x(?P<times>\d+))?""",
    re.VERBOSE,
)


def parse_faults(text: str) -> list[Fault]:
    """Read faults as the command line takes them: ``NAME[=SECONDS][@METHOD /path][:CHANCE][xTIMES]``, by commas.

    >>> [(fault.name, fault.seconds, fault.times) for fault in parse_faults("late_answer=12:0.1, reset_after:0.5x3")]
    [('late_answer', 12.0, None), ('reset_after', None, 3)]

    Raises:
        ValueError: One of them cannot be read.
    """
    faults = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        found = _SPELLING.fullmatch(part)
        if found is None:
            raise ValueError(f"{part!r} is not a fault: NAME[=SECONDS][@METHOD /path][:CHANCE][xTIMES]")
        faults.append(
            Fault(
                name=found["name"],
                on=found["on"] or CHANGE,
                times=int(found["times"]) if found["times"] else None,
                chance=float(found["chance"]) if found["chance"] else 1.0,
                seconds=float(found["seconds"]) if found["seconds"] else None,
            )
        )
    return faults
