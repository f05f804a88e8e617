"""The losses equal their formulas, and follow every rule of resnetctl."""

import math

import pytest
import torch
from resnetctl_losses.objectives import gce, poly
from torch.nn import functional as F

from resnetctl.testing import conformance

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 3.0]])
TARGETS = torch.tensor([0, 1])

test_conformance = conformance("resnetctl-losses")


def own_probabilities() -> list[float]:
    rows = zip(LOGITS.tolist(), TARGETS.tolist(), strict=True)
    return [math.exp(row[target]) / sum(map(math.exp, row)) for row, target in rows]


@pytest.mark.parametrize("epsilon", [0.0, 1.0, 2.5])
def test_poly_adds_a_multiple_of_the_missing_probability(epsilon: float) -> None:
    expected = [-math.log(own) + epsilon * (1 - own) for own in own_probabilities()]
    assert poly(LOGITS, TARGETS, epsilon=epsilon).tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("q", [0.1, 0.7, 1.0])
def test_gce_is_a_power_of_the_probability(q: float) -> None:
    expected = [(1 - own**q) / q for own in own_probabilities()]
    assert gce(LOGITS, TARGETS, q=q).tolist() == pytest.approx(expected, rel=1e-5)


def test_both_become_cross_entropy_at_one_end() -> None:
    plain = F.cross_entropy(LOGITS, TARGETS, reduction="none", label_smoothing=0.1)
    assert torch.allclose(poly(LOGITS, TARGETS, epsilon=0.0, label_smoothing=0.1), plain)
    assert torch.allclose(gce(LOGITS, TARGETS, q=1e-3, label_smoothing=0.1), plain, rtol=1e-2)


def test_a_mislabelled_image_pulls_less_with_gce() -> None:
    logits = torch.tensor([[8.0, 0.0]], requires_grad=True)
    wrong = torch.tensor([1])
    slopes = [torch.autograd.grad(loss(logits, wrong).sum(), logits)[0].norm() for loss in (poly, gce)]
    assert slopes[1] < slopes[0] / 50


@pytest.mark.parametrize("q", [0.0, -1.0, 1.5])
def test_gce_refuses_an_impossible_q(q: float) -> None:
    with pytest.raises(ValueError, match="q is"):
        gce(LOGITS, TARGETS, q=q)
