"""Scores of single images: how sure a network is, and how far an image is from what it was trained on.

Shapes: N images, K classes, D features, M images of the bank. For every score a larger value is stranger.
"""

import numpy as np
from numpy.typing import NDArray

from resnetctl.engine.metrics import probabilities

Floats = NDArray[np.float64]

NEIGHBOURS = 5
CHUNK = 1024  # images whose distances to the bank are computed at once


def msp(logits: NDArray[np.floating]) -> Floats:
    """Return 1 - the largest probability (Hendrycks and Gimpel 2017, arXiv:1610.02136)."""
    result: Floats = 1 - probabilities(logits).max(axis=1)
    return result


def energy(logits: NDArray[np.floating]) -> Floats:
    """Return - log(sum(exp(logits))) (Liu et al. 2020, arXiv:2010.03759)."""
    wide = logits.astype(np.float64)
    top = wide.max(axis=1)
    result: Floats = -(top + np.log(np.exp(wide - top[:, None]).sum(axis=1)))
    return result


def knn(features: NDArray[np.floating], bank: NDArray[np.floating], *, neighbours: int = NEIGHBOURS) -> Floats:
    """Return the distance to the k-th nearest of the bank, all vectors of length 1 (Sun et al. 2022, arXiv:2204.06507).

    Args:
        features: (N, D).
        bank: (M, D), with at least one row; `neighbours` is lowered to M.
    """
    nearest = min(neighbours, len(bank)) - 1
    known = unit(bank)
    parts = [np.empty(0)]
    for start in range(0, len(features), CHUNK):
        similarity = unit(features[start : start + CHUNK]) @ known.T
        # on the unit sphere the squared distance is 2 - 2 cos
        kth = -np.partition(-similarity, nearest, axis=1)[:, nearest]
        parts.append(np.sqrt(np.maximum(0, 2 - 2 * kth)))
    return np.concatenate(parts)


def auroc(strange: NDArray[np.floating], known: NDArray[np.floating]) -> float:
    """Return the probability that a strange image has a larger score than a known one; ties count half."""
    both = np.concatenate([strange, known])
    _, places, counts = np.unique(both, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]  # mean rank of each value, from 1
    m, n = len(strange), len(known)
    return float((ranks[:m].sum() - m * (m + 1) / 2) / (m * n))


def fpr95(strange: NDArray[np.floating], known: NDArray[np.floating]) -> float:
    """Return the share of known images that are called strange when 95 % of the strange ones are."""
    threshold = np.sort(strange)[len(strange) - int(np.ceil(0.95 * len(strange)))]
    return float((known >= threshold).mean())


def unit(vectors: NDArray[np.floating]) -> Floats:
    """Return the vectors with length 1, in float64; a vector of zeros stays one."""
    wide = vectors.astype(np.float64)
    result: Floats = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), 1e-12)
    return result
