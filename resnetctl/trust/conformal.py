"""Prediction sets with a promised coverage, by split conformal prediction.

LAC: a class belongs to the set when its probability is at least `1 - q`, and q is the conformal quantile of
`1 - probability of the true class` on val (Sadinle, Lei and Wasserman 2019, JASA 114, p. 223). Sets hold the true class
with the promised probability if val and the new images come from the same source.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from resnetctl.spec import Card
from resnetctl.trust import beta

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

LEVELS = (0.9, 0.95)


@dataclass(frozen=True, kw_only=True)
class Coverage(Card):
    """Prediction sets at one level, measured.

    Attributes:
        level: the promised share of images whose set holds the true class.
        method: `lac`.
        threshold: a class is in the set when its probability is at least this.
        fitted_on: images of val that gave the threshold.
        n: measured images.
        coverage: share of them whose set holds the true class.
        coverage_range: 95 % of thresholds that are fitted on as many images have a coverage in this range.
        size: mean number of classes in a set. `empty` and `single`: shares of sets with none and one.
    """

    level: float
    method: str
    threshold: float
    fitted_on: int
    n: int
    coverage: float
    coverage_range: tuple[float, float]
    size: float
    empty: float
    single: float


def threshold(shares: Floats, labels: Labels, *, level: float) -> float:
    """Return the smallest probability of a class in the set, fitted on probabilities (N, K); 0: every class."""
    own = np.sort(shares[np.arange(len(labels)), labels])  # not 1 - share, whose rounding would leave an image out
    rank = math.ceil((len(labels) + 1) * level)
    return 0.0 if rank > len(labels) else float(own[len(labels) - rank])


def sets(shares: Floats, limit: float) -> NDArray[np.bool_]:
    """Return which classes belong to the set of each image: (N, K)."""
    result: NDArray[np.bool_] = shares >= limit
    return result


def coverage_range(count: int, level: float) -> tuple[float, float]:
    """Return the central 95 % of the coverage that `count` calibration images give: Beta(rank, count + 1 - rank).

    (Vovk 2012, arXiv:1209.2673; Angelopoulos and Bates 2023, arXiv:2107.07511, appendix C.)
    """
    rank = math.ceil((count + 1) * level)
    if rank > count:
        return 1.0, 1.0
    low, high = (beta.quantile(p, a=rank, b=count + 1 - rank) for p in (0.025, 0.975))
    return low, high


def coverage(shares: Floats, labels: Labels, *, limit: float, level: float, fitted_on: int) -> Coverage:
    """Measure sets with the threshold `limit` on probabilities (N, K)."""
    inside = sets(shares, limit)
    sizes = inside.sum(axis=1)
    return Coverage(
        level=level,
        method="lac",
        threshold=limit,
        fitted_on=fitted_on,
        n=len(labels),
        coverage=float(inside[np.arange(len(labels)), labels].mean()),
        coverage_range=coverage_range(fitted_on, level),
        size=float(sizes.mean()),
        empty=float((sizes == 0).mean()),
        single=float((sizes == 1).mean()),
    )
