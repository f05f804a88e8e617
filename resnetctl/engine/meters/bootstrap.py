"""Intervals of numbers that are no share of images: images are drawn again, with replacement (Efron 1979)."""

from collections.abc import Callable

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
    if count < 2:
        return None
    generator = np.random.Generator(np.random.PCG64(derive(0, f"bootstrap {purpose}")))
    rows = generator.integers(0, count, (DRAWS, count))
    values = np.array([value(np.bincount(row, minlength=count)) for row in rows])
    low, high = np.nanpercentile(values, LEVELS) if not np.isnan(values).all() else (np.nan, np.nan)
    return None if np.isnan(low) else (float(low), float(high))
