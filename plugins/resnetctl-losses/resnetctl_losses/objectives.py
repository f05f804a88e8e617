"""Objectives: functions of logits `(N, K)` and targets that return the loss of each image, `(N,)`."""

import torch
from torch import Tensor
from torch.nn import functional as F


def poly(logits: Tensor, targets: Tensor, *, label_smoothing: float = 0.0, epsilon: float = 1.0) -> Tensor:
    """Return the cross-entropy plus `epsilon` times what the class lacks of probability 1: Poly-1.

    Leng et al. 2022, arXiv:2204.12511, eq. 6. Mixed and smoothed targets weigh each class by its share.
    """
    shares = _shares(targets, logits.shape[1], label_smoothing)
    logs = logits.log_softmax(1)
    return (shares * (epsilon * -torch.expm1(logs) - logs)).sum(1)


def gce(logits: Tensor, targets: Tensor, *, label_smoothing: float = 0.0, q: float = 0.7) -> Tensor:
    """Return the generalised cross-entropy, which learns less from images that look mislabelled.

    `q` leads from the cross-entropy (near 0) to the mean absolute error (1). Zhang and Sabuncu 2018, arXiv:1805.07836,
    eq. 6.
    """
    if not 0 < q <= 1:
        raise ValueError(f"q is {q:g}, not above 0 and at most 1")
    shares = _shares(targets, logits.shape[1], label_smoothing)
    # (1 - p ** q) / q, from the logarithm: exact where p is near 1
    return -(shares * torch.expm1(q * logits.log_softmax(1)) / q).sum(1)


def _shares(targets: Tensor, classes: int, smoothing: float) -> Tensor:
    shares = F.one_hot(targets, classes).float() if targets.ndim == 1 else targets
    return shares * (1 - smoothing) + smoothing / classes
