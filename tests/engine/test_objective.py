"""Losses equal their formulas, the config chooses them, and the loop minimises any objective of the plan."""

import dataclasses
import math
from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch
from support.nets import make
from torch import Tensor, nn

from resnetctl.config.schema import ObjectiveConfig, TrainConfig
from resnetctl.engine.loop import StepResult, fit
from resnetctl.engine.objective import (
    Supervised,
    binary_cross_entropy,
    chosen,
    complaint,
    cross_entropy,
    focal,
    smoothed,
    try_out,
)
from resnetctl.engine.shares import parts
from resnetctl.errors import ConfigError, UsageError
from resnetctl.spec import Batch

LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 3.0]])
TARGETS = torch.tensor([0, 1])


def batch_of(images: Tensor, targets: Tensor) -> Batch:
    return Batch(images=images, targets=targets, index=torch.arange(len(images)), epoch=0, step=0)


def shares_of(place: int, smoothing: float) -> list[float]:
    return [smoothing / 3 + (1 - smoothing) * (each == place) for each in range(3)]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_equals_its_formula(smoothing: float) -> None:
    plan = SimpleNamespace(label_smoothing=smoothing, class_weights=None)
    loss, same = Supervised()(nn.Identity(), batch_of(LOGITS, TARGETS), plan=plan)
    expected = 0.0
    for row, target in zip(LOGITS.tolist(), (0, 1), strict=True):
        log_sum = math.log(sum(map(math.exp, row)))
        pairs = zip(shares_of(target, smoothing), row, strict=True)
        expected += sum(share * (log_sum - value) for share, value in pairs) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-6)
    assert torch.equal(same, LOGITS)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("sum_classes", [False, True])
def test_binary_cross_entropy_equals_its_formula(smoothing: float, sum_classes: bool) -> None:
    losses = binary_cross_entropy(LOGITS, TARGETS, label_smoothing=smoothing, sum_classes=sum_classes)
    for loss, row, target in zip(losses.tolist(), LOGITS.tolist(), (0, 1), strict=True):
        expected = 0.0
        for share, value in zip(shares_of(target, smoothing), row, strict=True):
            yes = 1 / (1 + math.exp(-value))
            expected -= share * math.log(yes) + (1 - share) * math.log(1 - yes)
        assert loss == pytest.approx(expected if sum_classes else expected / 3, rel=1e-5)


def test_a_threshold_turns_shares_into_yes_and_no() -> None:
    mixed = torch.tensor([[0.7, 0.3, 0.0], [0.1, 0.0, 0.9]])
    both = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert torch.equal(
        binary_cross_entropy(LOGITS, mixed, threshold=0.2), binary_cross_entropy(LOGITS, both, threshold=0.5)
    )


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_equals_its_formula(gamma: float) -> None:
    for loss, row, target in zip(focal(LOGITS, TARGETS, gamma=gamma).tolist(), LOGITS.tolist(), (0, 1), strict=True):
        own = math.exp(row[target]) / sum(map(math.exp, row))
        assert loss == pytest.approx(-((1 - own) ** gamma) * math.log(own), rel=1e-5)


def test_focal_with_gamma_zero_is_cross_entropy() -> None:
    mixed = torch.tensor([[0.7, 0.3, 0.0], [0.1, 0.0, 0.9]])
    for targets in (TARGETS, mixed):
        losses = focal(LOGITS, targets, gamma=0.0, label_smoothing=0.2)
        assert torch.allclose(losses.mean(), cross_entropy(LOGITS, targets, label_smoothing=0.2))


def test_objectives_take_shares_and_compute_in_float32() -> None:
    logits = torch.tensor([[2.0, 0.0]], dtype=torch.bfloat16)
    plan = SimpleNamespace(label_smoothing=0.0, class_weights=None)
    for name in ("cross-entropy", "binary-cross-entropy", "focal"):
        objective = chosen(TrainConfig(objective=ObjectiveConfig(name=name)))
        hard, _ = objective(nn.Identity(), batch_of(logits, torch.tensor([0])), plan=plan)
        soft, _ = objective(nn.Identity(), batch_of(logits, torch.tensor([[1.0, 0.0]])), plan=plan)
        assert hard.dtype == torch.float32
        assert torch.equal(hard, soft)


@pytest.mark.parametrize("name", ["cross-entropy", "binary-cross-entropy", "focal"])
def test_class_weights_give_the_weighted_mean(name: str) -> None:
    logits, targets = torch.tensor([[2.0, 0.0], [0.5, 1.0], [0.0, 3.0]]), torch.tensor([0, 0, 1])
    plan = SimpleNamespace(label_smoothing=0.0, class_weights=torch.tensor([1.0, 4.0]))
    alone = SimpleNamespace(label_smoothing=0.0, class_weights=None)
    objective = chosen(TrainConfig(objective=ObjectiveConfig(name=name)))
    loss, _ = objective(nn.Identity(), batch_of(logits, targets), plan=plan)
    each = [
        objective.loss(logits[place : place + 1], targets[place : place + 1], plan=alone).item() for place in range(3)
    ]
    assert loss.item() == pytest.approx((each[0] + each[1] + 4 * each[2]) / 6, rel=1e-6)


@pytest.mark.parametrize("name", ["cross-entropy", "binary-cross-entropy", "focal"])
@pytest.mark.parametrize("weights", [None, torch.tensor([1.0, 3.0, 0.5])])
def test_the_losses_of_the_parts_of_a_batch_add_up(name: str, weights: Tensor | None) -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(5, 3), torch.tensor([0, 1, 2, 1, 0])
    plan = SimpleNamespace(label_smoothing=0.1, class_weights=weights)
    objective = chosen(TrainConfig(label_smoothing=0.1, objective=ObjectiveConfig(name=name)))
    whole = objective.loss(logits, targets, plan=plan)
    split = parts(batch_of(logits, targets), 2, class_weights=weights)
    pieces = [objective.loss(part.images, part.targets, plan=plan) * share for part, share in split]
    assert torch.stack(pieces).sum().item() == pytest.approx(whole.item(), rel=1e-5)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (binary_cross_entropy, {"threshold": 1.0}),
        (binary_cross_entropy, {"threshold": -0.1}),
        (focal, {"gamma": -1.0}),
    ],
)
def test_impossible_arguments_are_refused(function: Callable[..., Tensor], arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="not"):
        function(LOGITS, TARGETS, **arguments)
    name = "focal" if function is focal else "binary-cross-entropy"
    config = TrainConfig(objective=ObjectiveConfig(name=name, args=arguments))
    with pytest.raises(ConfigError, match=f"objective '{name}' refuses {next(iter(arguments))}="):
        try_out(config)


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        ({"gama": 1.0}, "'gama' is not an argument: did you mean 'gamma'"),
        ({"label_smoothing": 0.1}, "'label_smoothing' is set by label_smoothing"),
        ({"gamma": "much"}, "should be like its default 2.0"),
    ],
)
def test_wrong_arguments_of_an_objective_are_told(args: dict[str, float | str], problem: str) -> None:
    with pytest.raises(ConfigError, match=r"objective 'focal' cannot use objective\.args") as caught:
        chosen(TrainConfig(objective=ObjectiveConfig(name="focal", args=args)))
    assert problem in caught.value.problems[0]


def test_an_unknown_objective_suggests_a_similar_one() -> None:
    with pytest.raises(UsageError, match="no objective is called 'focl'"):
        chosen(TrainConfig(objective=ObjectiveConfig(name="focl")))


def test_smoothing_keeps_the_sum_of_shares() -> None:
    assert torch.allclose(smoothed(TARGETS, classes=3, label_smoothing=0.3).sum(1), torch.ones(2))
    assert torch.equal(smoothed(TARGETS, classes=3), torch.eye(3)[:2])


def test_complaints_name_shape_and_type() -> None:
    assert complaint(torch.zeros(4), images=4, is_mean=False) == ""
    assert complaint(torch.zeros(()), images=4, is_mean=True) == ""
    assert complaint(torch.zeros(4, 2), images=4, is_mean=False) == "it returned the shape (4, 2), not (4,)"
    assert complaint(torch.zeros(4), images=4, is_mean=True) == "it returned the shape (4,), not ()"
    assert complaint(torch.zeros(4, dtype=torch.int64), images=4, is_mean=False).startswith("it returned torch.int64")


def test_the_loop_minimises_the_objective_of_the_plan() -> None:
    """This objective replaces cross-entropy: it pulls all logits to zero, and counts its calls."""
    calls: list[tuple[torch.Size, torch.dtype, bool]] = []

    def shrink(model: nn.Module, batch: Batch, *, plan: object) -> tuple[Tensor, Tensor]:
        logits = model(batch.images)
        calls.append((batch.images.shape, batch.images.dtype, model.training))
        return logits.square().mean(), logits

    state, plan = make(count=8, steps=60)
    assert plan.objective == Supervised()
    facts = fit(state, dataclasses.replace(plan, objective=shrink))
    losses = [fact.loss.item() for fact in facts if isinstance(fact, StepResult)]
    assert calls == [(torch.Size([4, 1, 4, 4]), torch.float32, True)] * 60
    assert losses[-1] < losses[0] / 10
