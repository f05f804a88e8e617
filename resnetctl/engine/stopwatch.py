"""Timing on a shared machine: functions in turn, medians with quartiles, and the load of other processes.

No torch. A timed function is called a way; it returns how much it did per second.
"""

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from resnetctl.spec import Card

ROUNDS, FEWEST = 7, 3
STAT = Path("/proc/stat")
BUSY = (0, 1, 2, 5, 6, 7)  # of its columns: user, nice, system, irq, softirq, steal; guests are inside user

Way = Callable[[], float]


@dataclass(frozen=True, kw_only=True)
class Spread(Card):
    """The median and the quartiles (`low`, `high`) of `n` samples."""

    median: float
    low: float
    high: float
    n: int


def spread(values: Sequence[float]) -> Spread:
    """Return median and quartiles of at least one value."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else [values[0]] * 3
    return Spread(median=middle, low=low, high=high, n=len(values))


def ratios(values: Sequence[float], base: Sequence[float]) -> Spread:
    """Return the spread of `values / base`, sample by sample. Both must come from the same rounds."""
    return spread([value / other for value, other in zip(values, base, strict=True)])


def interleave(
    ways: Mapping[str, Way], *, seconds: float, rounds: int = ROUNDS, needed: int = 1
) -> dict[str, list[float]]:
    """Call every way once a round, forth and back, so that a busy moment of the machine slows all of them.

    Args:
        ways: functions by name, the most important first. A way that would make three rounds longer than `seconds`
            is left out of the result.
        seconds: time for all rounds. Rounds stop when it is over, but not before the third.
        rounds: the largest number of rounds, after an uncounted one that warms up.
        needed: the number of first ways that are never left out.

    Returns:
        The value of each round by name.
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
    """Call each way once and return those that fit three rounds."""
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


class Busy:
    """Cores that other processes use, from its making on."""

    def __init__(self, stat: Path = STAT) -> None:
        self._stat = stat
        self._began = self._now()

    def cores(self) -> float | None:
        """The mean since the beginning; None where the system does not tell."""
        then, now = self._began, self._now()
        if then is None or now is None or now[0] <= then[0]:
            return None
        wall, machine, own = (new - old for new, old in zip(now, then, strict=True))
        return max(0.0, (machine - own) / wall)

    def _now(self) -> tuple[float, float, float] | None:
        """Wall seconds, CPU seconds of the machine, and of this process with its children that ended."""
        try:
            columns = self._stat.read_text().split("\n", 1)[0].split()[1:]
            machine = sum(int(columns[place]) for place in BUSY) / os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError, IndexError):
            return None
        return time.monotonic(), machine, sum(os.times()[:4])
