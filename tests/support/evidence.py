"""Outputs of an imagined network: overconfident, as trained networks are, by a known factor."""

import numpy as np

from resnetctl.trust.evidence import Evidence


def make_evidence(count: int = 2000, *, classes: int = 4, factor: float = 3.0, seed: int = 0) -> Evidence:
    """Return outputs that would be calibrated at temperature `factor`: labels are drawn from those probabilities."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(count, classes)) * 2
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = (shares.cumsum(axis=1) < generator.random((count, 1))).sum(axis=1).clip(max=classes - 1)
    features = generator.normal(size=(count, 6)).astype(np.float16)
    return Evidence(logits=(logits * factor).astype(np.float32), labels=labels.astype(np.int64), features=features)
