"""What the card of the weights says about probabilities, fitted on val."""

import math

import numpy as np
from numpy.typing import NDArray

from resnetctl.spec import Calibration
from resnetctl.trust.calibration import ENOUGH, RANGE, fit_temperature
from resnetctl.trust.conformal import LEVELS, threshold
from resnetctl.trust.scores import softmax

DIGITS = 6  # of the numbers in the card


def fit_card(logits: NDArray[np.floating], labels: NDArray[np.int64], *, split: str = "val") -> Calibration | None:
    """Return temperature and thresholds for logits (N, K) and labels (N,); None for fewer than `ENOUGH` images.

    A temperature at the limit of its range says nothing, so it becomes 1. Thresholds are rounded down: a set may
    become larger by that, never smaller.
    """
    if len(labels) < ENOUGH:
        return None
    wide = logits.astype(np.float64)
    fitted = fit_temperature(wide, labels)
    temperature = round(fitted, DIGITS) if RANGE[0] < fitted < RANGE[1] else 1.0
    shares = softmax(wide / temperature)
    unit = 10**DIGITS
    sets = {f"{level:g}": math.floor(threshold(shares, labels, level=level) * unit) / unit for level in LEVELS}
    return Calibration(temperature=temperature, sets=sets, images=len(labels), split=split)
