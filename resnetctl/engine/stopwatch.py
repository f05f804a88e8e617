"""Timing on a busy machine: functions take turns, and results are medians with quartiles.

This module imports no torch. A timed function is called a way (of doing the same work); it returns its speed, in units
of work per second.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from resnetctl.spec import Card

ROUNDS, FEWEST = 7, 3

Way = Callable[[], float]


@dataclass(frozen=True, kw_only=True)
class Spread(Card):
    """The median and the quartiles (`low`, `high`) of `n` samples."""

    median: float
    low: float
    high: float
    n: int


def spread(values: Sequence[float]) -> Spread:
    """Return the median and the quartiles of one or more values."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
    return Spread(median=middle, low=low, high=high, n=len(values))


def ratios(values: Sequence[float], base: Sequence[float]) -> Spread:
    """Return the spread of `values / base`, sample by sample. Both must come from the same rounds."""
    return spread([value / other for value, other in zip(values, base, strict=True)])


def interleave(
    ways: Mapping[str, Way], *, seconds: float, rounds: int = ROUNDS, needed: int = 1
) -> dict[str, list[float]]:
    """Call every way once a round, in alternating order, so that a busy moment of the machine slows all of them.

    Args:
        ways: functions by name, the most important first. A way is left out if three rounds with it would take longer
            than `seconds`.
        seconds: time for all rounds. No round starts after it, except the first three.
        rounds: the largest number of rounds, after a warm-up round that does not count.
        needed: this many of the first ways are never left out.

    Returns:
        The speeds of all rounds by name.
    """
    began = time.monotonic()
    kept = _affordable(ways, seconds=seconds, needed=needed)
    speeds: dict[str, list[float]] = {name: [] for name in kept}
    for number in range(rounds):
        if number >= FEWEST and time.monotonic() - began > seconds:
            break
        for name in list(kept)[:: -1 if number % 2 else 1]:
            speeds[name].append(kept[name]())
    return speeds


def _affordable(ways: Mapping[str, Way], *, seconds: float, needed: int) -> dict[str, Way]:
    """Call each way once, and return the ways that can do three rounds in `seconds`."""
    kept: dict[str, Way] = {}
    cost = 0.0
    for number, (name, way) in enumerate(ways.items()):
        if number >= needed and cost * FEWEST > seconds:
            break
        began = time.monotonic()
        way()
        own = time.monotonic() - began
        if number < needed or (cost + own) * FEWEST <= seconds:
            kept[name] = way
            cost += own
    return kept
