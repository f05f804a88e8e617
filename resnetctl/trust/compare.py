"""Compare two models on the same images, and two recipes over seeds."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from resnetctl.engine.metrics import Z95
from resnetctl.spec import Card
from resnetctl.trust import beta

Z80 = 0.8416212335729143  # the 80 % quantile of the normal distribution


@dataclass(frozen=True, kw_only=True)
class Comparison(Card):
    """Two models on the same images; differences are this minus the other.

    Attributes:
        n: images.
        only_this, only_other: images that only one of them has right.
        difference: of the accuracies.
        interval: 95 % interval of the difference.
        p: two-sided mid-p value of McNemar's test: how surprising the counts are if both are equally good.
        smallest: the smallest difference that this test set would show with a probability of 80 %.
        verdict: `better`, `worse`, or `not distinguishable` when the interval holds 0.
    """

    n: int
    only_this: int
    only_other: int
    difference: float
    interval: tuple[float, float]
    p: float
    smallest: float
    verdict: str


def verdict(low: float, high: float) -> str:
    """Return what an interval of a difference says: `better`, `worse` or, if it holds 0, `not distinguishable`."""
    return "not distinguishable" if low <= 0 <= high else "better" if low > 0 else "worse"


def compare(only_this: int, only_other: int, *, n: int) -> Comparison:
    """Compare two models by the images that only one of them has right, of `n` images."""
    low, high = bonett_price(only_this, only_other, n=n)
    discordant = max(only_this + only_other, 1) / n
    return Comparison(
        n=n,
        only_this=only_this,
        only_other=only_other,
        difference=(only_this - only_other) / n,
        interval=(low, high),
        p=mid_p(only_this, only_other),
        smallest=(Z95 + Z80) * math.sqrt(discordant / n),
        verdict=verdict(low, high),
    )


def bonett_price(only_this: int, only_other: int, *, n: int) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two paired shares (Bonett and Price 2012, JEBS 37, p. 479)."""
    first, second = (only_this + 1) / (n + 2), (only_other + 1) / (n + 2)
    difference = first - second
    half = Z95 * math.sqrt((first + second - difference**2) / (n + 2))
    return max(-1.0, difference - half), min(1.0, difference + half)


def mid_p(first: int, second: int) -> float:
    """Return the two-sided mid-p value of McNemar's test (Fagerland et al. 2013, BMC Med. Res. Methodol. 13:91).

    Under the null the smaller count is binomial with n = first + second and p = 1/2; the observed count has half its
    weight.
    """
    total, least = first + second, min(first, second)
    if first == second:
        return 1.0
    logs = [math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1) for k in range(least + 1)]
    weights = [math.exp(value - total * math.log(2)) for value in logs]
    return min(1.0, 2 * (math.fsum(weights) - weights[-1] / 2))


def welch(first: Sequence[float], second: Sequence[float]) -> tuple[float, tuple[float, float], float]:
    """Return difference of the means, its 95 % interval, and p of Welch's t-test, for two or more values each.

    (Welch 1947, Biometrika 34, p. 28.)
    """
    means = [math.fsum(values) / len(values) for values in (first, second)]
    parts = [
        math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values)
        for values, mean in zip((first, second), means, strict=True)
    ]
    difference, variance = means[0] - means[1], sum(parts)
    if variance == 0:
        return difference, (difference, difference), float(difference == 0)
    freedom = variance**2 / sum(
        part**2 / (len(values) - 1) for part, values in zip(parts, (first, second), strict=True)
    )
    half = student_quantile(0.975, freedom) * math.sqrt(variance)
    return difference, (difference - half, difference + half), _student_p(difference / math.sqrt(variance), freedom)


def student_quantile(p: float, freedom: float) -> float:
    """Return the quantile of Student's t, for p > 1/2, from that of the beta distribution."""
    share = beta.quantile(2 * (1 - p), a=freedom / 2, b=0.5)
    return math.sqrt(freedom * (1 - share) / share)


def _student_p(t: float, freedom: float) -> float:
    return beta.cdf(freedom / (freedom + t * t), a=freedom / 2, b=0.5)
