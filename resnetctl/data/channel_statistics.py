"""Mean and standard deviation of the channels of images, from histograms of their levels."""

from collections.abc import Iterable
from math import sqrt

import numpy as np


def add_levels(histogram: np.ndarray, images: np.ndarray) -> None:
    """Count the levels of uint8 images `(N, H, W, C)` into a histogram `(C, 256)`, in place."""
    for channel, counts in enumerate(histogram):
        counts += np.bincount(images[..., channel].ravel(), minlength=256)


def mean_std(histograms: Iterable[np.ndarray]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and std per channel in 0..1, from exact integer sums, rounded to 6 decimals.

    Args:
        histograms: for each channel, how many pixels have the levels 0 to 255, integers `(256,)`.
    """
    pairs = [_mean_std([int(count) for count in counts]) for counts in histograms]
    return tuple(mean for mean, _ in pairs), tuple(std for _, std in pairs)


def _mean_std(histogram: list[int]) -> tuple[float, float]:
    count = sum(histogram)
    total = sum(value * times for value, times in enumerate(histogram))
    squares = sum(value * value * times for value, times in enumerate(histogram))
    variance = (count * squares - total * total) / (count * count)
    std = max(sqrt(variance), 1.0)  # at least one grey level, so that a constant channel causes no division by 0
    return round(total / count / 255, 6), round(std / 255, 6)
