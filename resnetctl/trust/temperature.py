"""Fit the temperature of a classifier."""

import math

import numpy as np
from numpy.typing import NDArray

from resnetctl.engine.metrics import probabilities

RANGE = (0.05, 20.0)  # of a temperature: beyond it the probabilities are one-hot or uniform


def fit_temperature(logits: NDArray[np.floating], labels: NDArray[np.int64]) -> float:
    """Return the temperature T that minimises the NLL of `softmax(logits / T)` (Guo et al. 2017, arXiv:1706.04599).

    In t = 1 / T the NLL is convex: its slope is mean(E[z] - z_true) under the probabilities at t, and the slope never
    falls. So the zero of the slope is bracketed and halved. The result stays in `RANGE`.
    """
    wide = logits.astype(np.float64)
    true = wide[np.arange(len(labels)), labels]

    def slope(scale: float) -> float:
        return float(((probabilities(wide * scale) * wide).sum(axis=1) - true).mean())

    low, high = 1 / RANGE[1], 1 / RANGE[0]
    if slope(low) >= 0:
        return RANGE[1]
    if slope(high) <= 0:
        return RANGE[0]
    while high / low > 1 + 1e-9:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return 1 / math.sqrt(low * high)
