"""Intervals of numbers that are no share of images: images are drawn again, with replacement (Efron 1979)."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from resnetctl.rng import derive

DRAWS = 400
LEVELS = (2.5, 97.5)  # percentiles of the 95 % interval


def interval(count: int, value: Callable[[NDArray[np.int64]], float], *, purpose: str) -> tuple[float, float] | None:
    """Return the 95 % percentile interval of a number of `count` images; None below two images.

    Args:
        value: the number, from how often each image was drawn, int64 `(count,)`; NaN where it has none.
        purpose: names the number, for the seed: the interval is the same every time.
    """
    return intervals(count, lambda times: [value(times)], purpose=purpose)[0]


def intervals(
    count: int, values: Callable[[NDArray[np.int64]], Sequence[float]], *, purpose: str
) -> list[tuple[float, float] | None]:
    """Return the interval of each of several numbers that are computed together. Arguments as `interval`."""
    if count < 2:
        return [None for _ in values(np.ones(count, np.int64))]
    generator = np.random.Generator(np.random.PCG64(derive(0, f"bootstrap {purpose}")))
    rows = generator.integers(0, count, (DRAWS, count))
    table = np.array([values(np.bincount(row, minlength=count)) for row in rows], np.float64)
    return [_ends(column[~np.isnan(column)]) for column in table.T]


def _ends(values: NDArray[np.float64]) -> tuple[float, float] | None:
    if not len(values):
        return None
    low, high = np.percentile(values, LEVELS)
    return float(low), float(high)
