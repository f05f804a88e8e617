"""Logits, and labels drawn from their probabilities."""

import numpy as np
from scipy.special import softmax


def sample(n: int = 4000, *, scale: float = 1.0, classes: int = 10, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Return logits and labels drawn from them; `scale` makes the logits too sure afterwards."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(n, classes)) * 2
    labels = (softmax(logits, axis=1).cumsum(axis=1) > draw.random((n, 1))).argmax(axis=1)
    return logits * scale, labels
