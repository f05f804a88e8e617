"""Cross-entropy equals its formula, and the loop minimises any objective of the plan."""

import dataclasses
import math
from types import SimpleNamespace

import pytest
import torch
from support.nets import make
from torch import nn

from resnetctl.engine.loop import StepResult, fit
from resnetctl.engine.objective import cross_entropy
from resnetctl.spec import Batch


def batch_of(images: torch.Tensor, targets: torch.Tensor) -> Batch:
    return Batch(images=images, targets=targets, index=torch.arange(len(images)), epoch=0, step=0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_equals_its_formula(smoothing: float) -> None:
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 3.0]])
    loss, same = cross_entropy(
        nn.Identity(),
        batch_of(logits, torch.tensor([0, 1])),
        plan=SimpleNamespace(label_smoothing=smoothing, class_weights=None),
    )
    expected = 0.0
    for row, target in zip(logits.tolist(), (0, 1), strict=True):
        log_sum = math.log(sum(map(math.exp, row)))
        shares = [smoothing / 3 + (1 - smoothing) * (place == target) for place in range(3)]
        expected += sum(share * (log_sum - value) for share, value in zip(shares, row, strict=True)) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    assert torch.equal(same, logits)


def test_cross_entropy_takes_shares_and_computes_in_float32() -> None:
    logits = torch.tensor([[2.0, 0.0]], dtype=torch.bfloat16)
    plan = SimpleNamespace(label_smoothing=0.0, class_weights=None)
    hard, _ = cross_entropy(nn.Identity(), batch_of(logits, torch.tensor([0])), plan=plan)
    soft, _ = cross_entropy(nn.Identity(), batch_of(logits, torch.tensor([[1.0, 0.0]])), plan=plan)
    assert hard.dtype == torch.float32
    assert torch.equal(hard, soft)


def test_class_weights_give_the_weighted_mean() -> None:
    logits, targets = torch.tensor([[2.0, 0.0], [0.5, 1.0], [0.0, 3.0]]), torch.tensor([0, 0, 1])
    plan = SimpleNamespace(label_smoothing=0.0, class_weights=torch.tensor([1.0, 4.0]))
    loss, _ = cross_entropy(nn.Identity(), batch_of(logits, targets), plan=plan)
    each = -logits.log_softmax(1)[torch.arange(3), targets]
    assert torch.isclose(loss, (each[0] + each[1] + 4 * each[2]) / 6)


def test_the_loop_minimises_the_objective_of_the_plan() -> None:
    """This objective replaces cross-entropy: it pulls all logits to zero, and counts its calls."""
    calls: list[tuple[torch.Size, torch.dtype, bool]] = []

    def shrink(model: nn.Module, batch: Batch, *, plan: object) -> tuple[torch.Tensor, torch.Tensor]:
        logits = model(batch.images)
        calls.append((batch.images.shape, batch.images.dtype, model.training))
        return logits.square().mean(), logits

    state, plan = make(count=8, steps=60)
    assert plan.objective is cross_entropy
    facts = fit(state, dataclasses.replace(plan, objective=shrink))
    losses = [fact.loss.item() for fact in facts if isinstance(fact, StepResult)]
    assert calls == [(torch.Size([4, 1, 4, 4]), torch.float32, True)] * 60
    assert losses[-1] < losses[0] / 10
