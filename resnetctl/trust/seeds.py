"""What several seeds say: mean, spread, interval, pairs by seed, and how many seeds would show a difference."""

import bisect
import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from resnetctl.spec import Card
from resnetctl.trust.compare import student_quantile, verdict, welch

MOST_SEEDS = 10_000  # no more are suggested
FEWEST_SEEDS = 3  # of each recipe, to compare two
EQUAL = 1e-9


@dataclass(frozen=True, kw_only=True)
class SeedMean(Card):
    """The mean of one value for each seed.

    Attributes:
        sd: standard deviation of a single seed; None for one seed.
        interval: 95 % interval of the mean by Student's t; None for one seed, and for equal values, which say nothing
            about the spread.
    """

    mean: float
    sd: float | None
    n: int
    interval: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class SeedPairs(Card):
    """The differences of two settings, pair by pair with equal seeds.

    Attributes:
        difference: mean of the differences, `sd` their standard deviation, `interval` the 95 % interval of the mean.
        verdict: `better`, `worse` or `not distinguishable`, when the interval holds 0 or there is none.
        needed: the seeds that would show a difference of `resolution` in four of five cases, see `seeds_needed`.
    """

    difference: float
    sd: float | None
    n: int
    interval: tuple[float, float] | None
    verdict: str
    resolution: float
    needed: int | None


@dataclass(frozen=True, kw_only=True)
class RecipeComparison(Card):
    """Two recipes, each over seeds of its own; the difference is this minus the other.

    Attributes:
        n: the seeds of both.
        interval: 95 % interval of the difference of the means, and `p`, by Welch's t-test; None where all seeds of each
            recipe have equal values.
        verdict: `better`, `worse` or `not distinguishable`, when the interval holds 0 or there is none.
    """

    n: tuple[int, int]
    difference: float
    interval: tuple[float, float] | None
    p: float | None
    verdict: str


def compare_recipes(first: Sequence[float], second: Sequence[float]) -> RecipeComparison:
    """Compare the values of two recipes. Raises `ValueError` for fewer than `FEWEST_SEEDS` of one."""
    if min(len(first), len(second)) < FEWEST_SEEDS:
        raise ValueError(
            f"there are {len(first)} and {len(second)} finished seeds, and the comparison needs {FEWEST_SEEDS} of each"
        )
    difference, interval, p = welch(first, second)
    n = (len(first), len(second))
    if _are_equal(first) and _are_equal(second):
        return RecipeComparison(n=n, difference=difference, interval=None, p=None, verdict="not distinguishable")
    return RecipeComparison(n=n, difference=difference, interval=interval, p=p, verdict=verdict(*interval))


def _are_equal(values: Sequence[float]) -> bool:
    """Return whether no value differs by more than rounding: accuracies are multiples of 1 / images."""
    return max(values) - min(values) < EQUAL


def seed_mean(values: Sequence[float]) -> SeedMean:
    """Return the mean of one or more values with its spread and its t-interval."""
    mean, n = math.fsum(values) / len(values), len(values)
    if n == 1:
        return SeedMean(mean=mean, sd=None, n=1, interval=None)
    sd = statistics.stdev(values)
    if _are_equal(values):
        return SeedMean(mean=values[0], sd=0.0, n=n, interval=None)
    half = student_quantile(0.975, n - 1) * sd / math.sqrt(n)
    return SeedMean(mean=mean, sd=sd, n=n, interval=(mean - half, mean + half))


def seed_pairs(first: Mapping[int, float], second: Mapping[int, float], *, resolution: float = 0.003) -> SeedPairs:
    """Compare two settings on the seeds that both have: values by seed, `first` minus `second`.

    Equal seeds share first weights, order and val images, so their differences vary less than the values.

    Raises `ValueError` if they share no seed.
    """
    seeds = sorted(first.keys() & second.keys())
    if not seeds:
        raise ValueError("no seed is in both")
    found = seed_mean([first[seed] - second[seed] for seed in seeds])
    return SeedPairs(
        difference=found.mean,
        sd=found.sd,
        n=found.n,
        interval=found.interval,
        verdict="not distinguishable" if found.interval is None else verdict(*found.interval),
        resolution=resolution,
        needed=None if found.interval is None or found.sd is None else seeds_needed(found.sd, difference=resolution),
    )


def seeds_needed(sd: float, *, difference: float) -> int | None:
    """Return the seeds that show a true difference with a 95 % interval at a power of 80 %; None above `MOST_SEEDS`.

    The interval of n pairs leaves out 0 in four of five repetitions when (t(.975) + t(.8)) sd / sqrt(n) is below the
    difference, with the quantiles of Student's t for n - 1 (Cohen, "Statistical Power Analysis", 1988, section 2.4).
    """

    def shown(n: int) -> float:
        return (student_quantile(0.975, n - 1) + student_quantile(0.8, n - 1)) * sd / math.sqrt(n)

    few = range(2, 200)
    place = bisect.bisect_left(few, True, key=lambda n: shown(n) < difference)  # it falls with n
    if place < len(few):
        return few[place]
    many = math.ceil((2.8 * sd / difference) ** 2) + 1  # Student's t is close to the normal distribution by then
    return many if many <= MOST_SEEDS else None
