"""Fit what the card of the weights says, on val: the temperature, thresholds of sets, and what is familiar."""

import math

import numpy as np
from numpy.typing import NDArray

from resnetctl.engine.metrics import probabilities
from resnetctl.spec import Calibration
from resnetctl.trust.conformal import LEVELS, threshold
from resnetctl.trust.strangers import fit_familiar
from resnetctl.trust.temperature import RANGE, fit_temperature

DIGITS = 6  # of the numbers in the card
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
