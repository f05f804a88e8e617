"""Fit what the card of the weights says, on val: the temperature, thresholds of sets, and what is familiar."""

import math

import numpy as np
from numpy.typing import NDArray

from resnetctl.engine.metrics import probabilities
from resnetctl.spec import Calibration
from resnetctl.trust.conformal import LEVELS, threshold
from resnetctl.trust.strangers import fit_familiar

DIGITS = 6  # of the numbers in the card
RANGE = (0.05, 20.0)  # of a temperature: beyond it the probabilities are one-hot or uniform
ENOUGH = 100  # images: on fewer, the temperature is too uncertain to be used


def fit_card(
    logits: NDArray[np.floating],
    labels: NDArray[np.int64],
    *,
    features: NDArray[np.floating] | None = None,
    split: str = "val",
) -> Calibration | None:
    """Return temperature and thresholds for logits (N, K) and labels (N,); None for fewer than `ENOUGH` images.

    With `features` (N, D) also what is familiar. A temperature at the limit of its range says nothing, so it becomes 1.
    Thresholds are rounded down: a set may become larger by that, never smaller.
    """
    if len(labels) < ENOUGH:
        return None
    wide = logits.astype(np.float64)
    fitted = fit_temperature(wide, labels)
    temperature = round(fitted, DIGITS) if RANGE[0] < fitted < RANGE[1] else 1.0
    shares = probabilities(wide, temperature=temperature)
    unit = 10**DIGITS
    sets = {f"{level:g}": math.floor(threshold(shares, labels, level=level) * unit) / unit for level in LEVELS}
    familiar = None if features is None else fit_familiar(features, labels)
    return Calibration(temperature=temperature, sets=sets, images=len(labels), split=split, familiar=familiar)


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
