"""Timing on a machine that does other things too: ways in turn, medians with quartiles.

No torch: what is timed is a function that says how much it did.
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
    """A median, the quartiles around it, and of how many samples."""

    median: float
    low: float
    high: float
    n: int


def spread(values: Sequence[float]) -> Spread:
    """Median and quartiles of at least one value."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
    return Spread(median=middle, low=low, high=high, n=len(values))


def ratios(values: Sequence[float], base: Sequence[float]) -> Spread:
    """`values / base`, sample by sample: both are of the same rounds."""
    return spread([value / other for value, other in zip(values, base, strict=True)])


def interleave(
    ways: Mapping[str, Way], *, seconds: float, rounds: int = ROUNDS, needed: int = 1
) -> dict[str, list[float]]:
    """Call every way once a round, back and forth, so that a busy moment of the machine meets all alike.

    A round before the first warms up and is not counted. There are `rounds`, fewer when `seconds` are over, but at
    least three. Ways stand in order of importance: those that would make three rounds too long, beside the ones before
    them, are left out of the result; the `needed` first ones never are.
    """
    began = time.monotonic()
    kept = _affordable(ways, seconds=seconds, needed=needed)
    found: dict[str, list[float]] = {name: [] for name in kept}
    for number in range(rounds):
        if number >= FEWEST and time.monotonic() - began > seconds:
            break
        for name in list(kept)[:: -1 if number % 2 else 1]:
            found[name].append(kept[name]())
    return found


def _affordable(ways: Mapping[str, Way], *, seconds: float, needed: int) -> dict[str, Way]:
    """Call each way once and keep those that three rounds have time for."""
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
