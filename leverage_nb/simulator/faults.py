"""Faults on demand: injected faults wait for requests and determine what happens to them.

Each fault is something that Binance documents, that users reported, or that networks do: see ``KINDS``. All faults
that match a request affect it together. ``Exchange.executed`` and ``Exchange.received`` show what happened, regardless
of the answer.
"""

from __future__ import annotations

import json
import random
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal

from leverage_nb.simulator.fault_kinds import CHANGE, CHANGES, FOR_CHANGES, FOR_READS, KINDS, Alteration, Kind, Manner
from leverage_nb.simulator.records import KINDS_OF_CHANGE

__all__ = ["CHANGE", "CHANGES", "FOR_CHANGES", "FOR_READS", "KINDS", "Course", "Fault", "Faults", "parse_faults"]


@dataclass(frozen=True)
class Fault:
    """A fault that waits for requests: see ``Simulator.inject`` for its fields.

    Raises:
        ValueError: The name is unknown, or a value is not possible for this fault.
    """

    name: str
    on: str = ""
    times: int | None = 1
    chance: float = 1.0
    seconds: float | None = None
    leverage: int | None = None
    executed: bool | None = None
    symbol: str = ""
    margin_type: str = ""
    margin: Decimal | str | None = None
    side: str = "BOTH"

    def __post_init__(self) -> None:
        kind = KINDS.get(self.name)
        if kind is None:
            raise ValueError(f"There is no fault {self.name!r}. The faults are: {', '.join(KINDS)}.")
        if self.executed is not None and self.executed not in kind.choices:
            always = "always" if kind.executed else "never"
            raise ValueError(f"{self.name} is {always} executed: {kind.because}. Leave out 'executed'.")
        if self.times is not None and self.times < 0:  # 0: used up
            raise ValueError(f"'times' is a number of requests, or None for all; got {self.times}.")
        if not 0 <= self.chance <= 1:
            raise ValueError(f"'chance' is a probability from 0 to 1; got {self.chance}.")
        least, most = kind.limits
        if self.seconds is not None and not least <= self.seconds <= most:
            raise ValueError(f"'seconds' of {self.name} is from {least:.0f} to {most:.0f}; got {self.seconds}.")
        if not self.on:
            object.__setattr__(self, "on", kind.on)  # the class is frozen
        if self.on != CHANGES and not re.fullmatch(r"(\*|[A-Z]+) (\*|/\S*)", self.on):
            raise ValueError(f"'on' is 'METHOD /path', with * for any method or path, or {CHANGES!r}; got {self.on!r}.")
        if self.margin_type not in {"", "ISOLATED", "CROSSED"}:
            raise ValueError(f"'margin_type' is ISOLATED or CROSSED; got {self.margin_type!r}.")
        if self.side not in {"BOTH", "LONG", "SHORT"}:
            raise ValueError(f"'side' is BOTH, LONG or SHORT; got {self.side!r}.")
        if self.margin is not None and not re.fullmatch(r"-?\d{1,20}(\.\d{1,8})?", str(self.margin)):
            raise ValueError(f"'margin' is an amount with at most eight decimals; got {self.margin!r}.")

    @property
    def kind(self) -> Kind:
        """The fault's row of ``KINDS``."""
        return KINDS[self.name]

    @property
    def duration(self) -> float:
        """The fault's seconds, or its kind's default."""
        return self.kind.seconds if self.seconds is None else self.seconds

    def matches(self, method: str, path: str) -> bool:
        """Return whether the fault waits for such a request."""
        if self.on == CHANGES:
            return (method, path) in KINDS_OF_CHANGE
        wanted_method, wanted_path = self.on.split(" ")
        return wanted_method in {"*", method} and wanted_path in {"*", path}


@dataclass
class Course:
    """What happens to one request: the combined effect of its faults."""

    executed: bool = True  # whether the exchange receives the request
    execute_after: float = 0.0  # seconds until it does
    skew: float = 0.0  # seconds by which the clock that checks timestamps is ahead
    jump: float = 0.0  # seconds by which the exchange's clock is ahead in every respect
    age: float = 0.0  # seconds: age of the account that a read shows
    omit: str | None = None  # the symbol that a list omits; "" for the request's own, else a random one
    foreign_before: list[Fault] = field(default_factory=list)  # changes by other clients before the request is handled
    foreign_after: list[Fault] = field(default_factory=list)  # changes by other clients after it is handled
    answer: tuple[int, str, dict[str, str]] | None = None  # status, body and headers that replace the true answer
    alter: Alteration = ""
    delay: float = 0.0  # seconds before the answer
    manner: Manner = "whole"
    pace: float = 0.0  # seconds per byte, or of downtime

    def add(self, fault: Fault, executed: bool) -> None:
        """Add the effect of a fault."""
        kind, seconds = fault.kind, fault.duration
        self.executed &= executed  # one fault is enough to keep the request from the exchange
        if kind.manner != "whole":
            self.manner, self.pace = kind.manner, seconds
        if kind.status:
            body = kind.body if isinstance(kind.body, str) else json.dumps(kind.body)
            headers = {name: text.format(seconds=seconds) for name, text in kind.headers.items()}
            self.answer = (kind.status, body, headers)
        self.alter = kind.alter or self.alter
        match kind.effect:
            case "":
                pass
            case "delay":
                self.delay += seconds
            case "omit":
                self.omit = fault.symbol
            case "foreign_before":
                self.foreign_before.append(fault)
            case "foreign_after":
                self.foreign_after.append(fault)
            case name:
                setattr(self, name, seconds)


class Faults:
    """The waiting faults and their random generator. The same seed and requests give the same faults."""

    def __init__(self, seed: int = 0) -> None:
        self.random = random.Random(seed)  # noqa: S311 - reproducible, not secret
        self._waiting: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, faults: Iterable[Fault]) -> None:
        """Add waiting faults."""
        with self._lock:
            self._waiting += faults

    def clear(self) -> None:
        """Remove all waiting faults."""
        with self._lock:
            self._waiting = []

    def meet(self, method: str, path: str) -> Course:
        """Return what happens to a request, and count the faults that affect it."""
        course = Course()
        met = []
        with self._lock:
            for place, fault in enumerate(self._waiting):
                if fault.times == 0 or not fault.matches(method, path) or self.random.random() >= fault.chance:
                    continue
                met.append(fault)
                if fault.times is not None:
                    self._waiting[place] = replace(fault, times=fault.times - 1)
            self._waiting = [fault for fault in self._waiting if fault.times != 0]
            for fault in met:
                executed = fault.kind.executed if fault.executed is None else fault.executed
                course.add(fault, self.random.random() < 0.5 if executed is None else executed)
        return course


_SPELLING = re.compile(
    r"""(?P<name>\w+?)
        (?P<executed>[+-])?
        (=(?P<seconds>-?[\d.]+))?
        (@(?P<on>changes|(?:\*|[A-Z]+)[ ](?:\*|/[^\s:,]*?)))?
        (:(?P<chance>[\d.]+))?
        (x(?P<times>\d+))?""",
    re.VERBOSE,
)


def parse_faults(text: str) -> list[Fault]:
    """Parse the command line's faults: ``NAME[+|-][=SECONDS][@METHOD /path][:CHANCE][xTIMES]``, separated by commas.

    ``@changes`` stands for every change: of leverage, margin type and isolated margin.
    ``+``: the exchange executes the request; ``-``: it does not; neither: the fault's default.

    >>> [(fault.name, fault.seconds, fault.times) for fault in parse_faults("late_answer=12:0.1, reset_after:0.5x3")]
    [('late_answer', 12.0, None), ('reset_after', None, 3)]

    Raises:
        ValueError: The text cannot be parsed, or ``Fault`` refuses a value.
    """
    faults = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        found = _SPELLING.fullmatch(part)
        if found is None:
            raise ValueError(f"{part!r} is not a fault. Write NAME[+|-][=SECONDS][@METHOD /path][:CHANCE][xTIMES].")
        fault = Fault(
            name=found["name"],
            on=found["on"] or "",
            times=int(found["times"]) if found["times"] else None,
            chance=float(found["chance"] or 1.0),
            seconds=float(found["seconds"]) if found["seconds"] else None,
            executed=found["executed"] == "+" if found["executed"] else None,
        )
        faults.append(fault)
    return faults
