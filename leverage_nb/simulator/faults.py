"""What can go wrong, on demand: faults that meet requests on their way in, in the exchange, and on their way back.

Each is something that Binance documents, that was reported, or that networks do: see ``KINDS``. Faults combine: all
that match a request take effect on it. ``Exchange.executed`` and ``Exchange.received`` tell what really happened,
whatever was answered.
"""

from __future__ import annotations

import json
import random
import re
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from leverage_nb.simulator.fault_kinds import CHANGE, FOR_CHANGES, FOR_READS, KINDS, Alteration, Kind, Manner

__all__ = ["CHANGE", "FOR_CHANGES", "FOR_READS", "KINDS", "Course", "Fault", "Faults", "Foreign", "Kind"]
__all__ += ["parse_faults"]


@dataclass(frozen=True)
class Fault:
    """A fault that waits for requests.

    Attributes:
        name: One of ``KINDS``.
        on: The requests it meets, as "POST /fapi/v1/leverage"; ``*`` stands for any method or path. The kind's
            default when "".
        times: How many requests it meets before it is spent; None for all.
        chance: The probability that it meets a request it could.
        seconds: What the kind calls SECONDS; its default when None.
        leverage: What it calls LEVERAGE; a random one when None.
        executed: Whether the exchange executes the request. The kind's default when None: for most kinds, by chance.
        symbol: What the kind calls SYMBOL. When "", the request's own, else a random one.

    Raises:
        ValueError: There is no such fault, or it cannot be so.
    """

    name: str
    on: str = ""
    times: int | None = 1
    chance: float = 1.0
    seconds: float | None = None
    leverage: int | None = None
    executed: bool | None = None
    symbol: str = ""

    def __post_init__(self) -> None:
        kind = KINDS.get(self.name)
        if kind is None:
            raise ValueError(f"there is no fault {self.name!r}; there are {', '.join(KINDS)}")
        if self.executed is not None and self.executed not in kind.choices:
            always = "always" if kind.executed else "never"
            raise ValueError(f"{self.name} is {always} executed: {kind.because}")
        if self.times is not None and self.times < 0:  # 0: it is spent
            raise ValueError(f"a fault meets so many requests, or all (None); got {self.times}")
        if not 0 <= self.chance <= 1:
            raise ValueError(f"a chance lies between 0 and 1; got {self.chance}")
        least, most = kind.limits
        if self.seconds is not None and not least <= self.seconds <= most:
            raise ValueError(f"the seconds of {self.name} are from {least:.0f} to {most:.0f}; got {self.seconds}")
        if not self.on:
            object.__setattr__(self, "on", kind.on)  # frozen for everybody else
        if not re.fullmatch(r"(\*|[A-Z]+) (\*|/\S*)", self.on):
            raise ValueError(f"requests are named as METHOD /path, with * for any; got {self.on!r}")

    @property
    def kind(self) -> Kind:
        """Its row of the table."""
        return KINDS[self.name]

    def meets(self, method: str, path: str) -> bool:
        """Whether a request is of the kind it waits for."""
        wanted_method, wanted_path = self.on.split(" ")
        return wanted_method in {"*", method} and wanted_path in {"*", path}


@dataclass(frozen=True)
class Foreign:
    """A change by another client.

    Attributes:
        symbol: "" for the request's own, else a random one.
        leverage: 0 for a random one.
        delay: Seconds after the request was handled.
    """

    symbol: str
    leverage: int
    delay: float = 0.0


@dataclass(frozen=True)
class Course:
    """What happens to one request, all its faults taken together.

    Attributes:
        executed: Whether the exchange gets the request and executes it, unless its own rules refuse it.
        execute_after: Seconds until it does.
        skew: Seconds by which the clock that timestamps are checked by is ahead.
        jump: Seconds by which the exchange's clock is ahead in every respect.
        age: How many seconds old the settings are that a read shows.
        omit: The symbol that a list leaves out; "" for the request's own, else a random one. None: it is complete.
        foreign_before: What other clients change before.
        foreign_after: What other clients change after.
        answer: Status, body and headers instead of the true answer.
        alter: What differs from the true answer, or what the answer repeats.
        delay: Seconds before the answer.
        manner: How it goes back.
        pace: Seconds a byte, or for which the server is down.
    """

    executed: bool = True
    execute_after: float = 0.0
    skew: float = 0.0
    jump: float = 0.0
    age: float = 0.0
    omit: str | None = None
    foreign_before: tuple[Foreign, ...] = ()
    foreign_after: tuple[Foreign, ...] = ()
    answer: tuple[int, str, dict[str, str]] | None = None
    alter: Alteration = ""
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
        """Return a random leverage."""
        return self._random.randint(1, most)

    def any_symbol(self, symbols: Sequence[str]) -> str:
        """Return a random symbol."""
        return self._random.choice(symbols)

    def meet(self, method: str, path: str) -> Course | None:
        """Return what happens to a request; None where no fault meets it."""
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
        kind = fault.kind
        seconds = kind.seconds if fault.seconds is None else fault.seconds
        executed = kind.executed if fault.executed is None else fault.executed
        if executed is None:
            executed = self._random.random() < 0.5
        # One fault that keeps the request from the exchange is enough.
        course = replace(course, executed=course.executed and executed)
        if kind.manner != "whole":
            course = replace(course, manner=kind.manner, pace=seconds)
        if kind.status:
            body = kind.body if isinstance(kind.body, str) else json.dumps(kind.body)
            headers = {name: text.format(seconds=seconds) for name, text in kind.headers}
            course = replace(course, answer=(kind.status, body, headers))
        if kind.alter:
            course = replace(course, alter=kind.alter)
        return _with_effect(course, fault, seconds)


def _with_effect(course: Course, fault: Fault, seconds: float) -> Course:
    """Add what a fault does in the exchange."""
    foreign = Foreign(fault.symbol, fault.leverage or 0, seconds)
    match fault.kind.effect:
        case "delay":
            return replace(course, delay=course.delay + seconds)
        case "postpone":
            return replace(course, execute_after=seconds)
        case "skew":
            return replace(course, skew=seconds)
        case "jump":
            return replace(course, jump=seconds)
        case "stale":
            return replace(course, age=seconds)
        case "omit":
            return replace(course, omit=fault.symbol)
        case "foreign_before":
            return replace(course, foreign_before=(*course.foreign_before, foreign))
        case "foreign_after":
            return replace(course, foreign_after=(*course.foreign_after, foreign))
        case "":
            return course


_SPELLING = re.compile(
    r"""(?P<name>\w+?)
        (?P<executed>[+-])?
        (=(?P<seconds>-?[\d.]+))?
        (@(?P<on>(?:\*|[A-Z]+)[ ](?:\*|/[^\s:,]*?)))?
        (:(?P<chance>[\d.]+))?
        (x(?P<times>\d+))?""",
    re.VERBOSE,
)


def parse_faults(text: str) -> list[Fault]:
    """Read faults as the command line takes them: ``NAME[+|-][=SECONDS][@METHOD /path][:CHANCE][xTIMES]``, by commas.

    ``+``: the exchange executes the request; ``-``: it does not; neither: the fault's default.

    >>> [(fault.name, fault.seconds, fault.times) for fault in parse_faults("late_answer=12:0.1, reset_after:0.5x3")]
    [('late_answer', 12.0, None), ('reset_after', None, 3)]
    >>> [fault.executed for fault in parse_faults("firewall+, firewall-, firewall")]
    [True, False, None]

    Raises:
        ValueError: One of them cannot be read.
    """
    faults = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        found = _SPELLING.fullmatch(part)
        if found is None:
            raise ValueError(f"{part!r} is not a fault: NAME[+|-][=SECONDS][@METHOD /path][:CHANCE][xTIMES]")
        faults.append(
            Fault(
                name=found["name"],
                on=found["on"] or "",
                times=int(found["times"]) if found["times"] else None,
                chance=float(found["chance"]) if found["chance"] else 1.0,
                seconds=float(found["seconds"]) if found["seconds"] else None,
                executed=found["executed"] == "+" if found["executed"] else None,
            )
        )
    return faults
