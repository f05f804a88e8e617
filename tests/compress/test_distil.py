"""The distances equal their formulas, and a distillation weighs labels and teacher as its config says."""

import dataclasses
import math
import sys
from types import SimpleNamespace

import pytest
import torch
from support.trained import ARCH, CLASSES, IMAGE, card, network
from torch.nn import functional as F

from resnetctl.compress.distil import (
    DISTANCES,
    SHARPEST,
    Distillation,
    dist,
    dkd,
    feature_distance,
    kd,
    learned_from,
    sharpened,
)
from resnetctl.compress.teacher import Teacher, hire
from resnetctl.config.schema import DistillConfig, ObjectiveConfig, TrainConfig
from resnetctl.engine.objective import Supervised, cross_entropy, focal
from resnetctl.engine.shares import parts
from resnetctl.models.resnet import build
from resnetctl.spec import Batch, DatasetCard
from resnetctl.weights.file import LoadedWeights, NamedWeights

CPU = torch.device("cpu")
PLAN = SimpleNamespace(label_smoothing=0.0, class_weights=None, accumulate=1)
DATA = DatasetCard(name="zoo", classes=CLASSES, image=IMAGE, splits={})
STUDENT = torch.tensor([[2.0, 0.0, -1.0, 0.5], [0.5, 0.5, 3.0, -2.0], [1.0, -1.0, 0.0, 4.0]])
TEACHER = torch.tensor([[3.0, 1.0, -1.0, 0.0], [0.0, 2.0, 1.0, -1.0], [0.3, -0.2, 0.1, 2.0]])
TRUTH = torch.tensor([0, 2, 3])


def teacher(seed: int = 5) -> Teacher:
    weights = LoadedWeights(path=None, state=network(seed).state_dict(), card=card())  # type: ignore[arg-type]
    return hire(NamedWeights(weights=weights, sha256="ab", name="t"), DATA, device=CPU)


def distillation(method: str = "kd", weight: float = 0.5) -> Distillation:
    config = DistillConfig(teacher="t", method=method, weight=weight, temperature=3.0)  # type: ignore[arg-type]
    objective = learned_from(teacher(), TrainConfig(distill=config), image=IMAGE)
    assert isinstance(objective, Distillation)
    return objective


def batch(count: int = 6, *, soft: bool = False) -> Batch:
    generator = torch.Generator().manual_seed(2)
    images = torch.randn(count, 1, 8, 8, generator=generator)
    truth = torch.arange(count) % 3
    targets = F.one_hot(truth, 3).float() * 0.7 + 0.1 if soft else truth
    return Batch(images=images, targets=targets, index=torch.arange(count), epoch=0, step=0)


def shares(row: list[float], temperature: float) -> list[float]:
    exponentials = [math.exp(value / temperature) for value in row]
    return [value / sum(exponentials) for value in exponentials]


def divergence(own: list[float], taught: list[float]) -> float:
    return sum(theirs * math.log(theirs / ours) for ours, theirs in zip(own, taught, strict=True))


def test_kd_is_the_divergence_times_the_squared_temperature() -> None:
    expected = [
        16 * divergence(shares(own, 4), shares(taught, 4))
        for own, taught in zip(STUDENT.tolist(), TEACHER.tolist(), strict=True)
    ]
    assert kd(STUDENT, TEACHER, targets=TRUTH, temperature=4.0).tolist() == pytest.approx(expected, rel=1e-5)


def test_dkd_counts_the_true_class_once_and_the_wrong_ones_eight_times() -> None:
    expected = []
    for own, taught, truth in zip(STUDENT.tolist(), TEACHER.tolist(), TRUTH.tolist(), strict=True):
        first, second = shares(own, 2), shares(taught, 2)
        true = divergence([first[truth], 1 - first[truth]], [second[truth], 1 - second[truth]])
        rest = [
            [value / (1 - values[truth]) for place, value in enumerate(values) if place != truth]
            for values in (first, second)
        ]
        expected.append(4 * (true + 8 * divergence(*rest)))
    assert dkd(STUDENT, TEACHER, targets=TRUTH, temperature=2.0).tolist() == pytest.approx(expected, rel=1e-5)


def test_the_true_class_of_a_mixed_target_has_the_largest_share() -> None:
    mixed = torch.tensor([[0.6, 0.4, 0, 0], [0, 0, 0.9, 0.1], [0, 0.2, 0.2, 0.6]])
    assert torch.equal(
        dkd(STUDENT, TEACHER, targets=mixed, temperature=4.0), dkd(STUDENT, TEACHER, targets=TRUTH, temperature=4.0)
    )


def test_dist_compares_correlations_over_classes_and_over_images() -> None:
    own, taught = (logits.div(4).softmax(1) for logits in (STUDENT, TEACHER))
    over_classes = [1 - torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(own, taught, strict=True)]
    over_images = [1 - torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(own.T, taught.T, strict=True)]
    expected = 16 * (torch.stack(over_classes) + torch.stack(over_images).mean())
    torch.testing.assert_close(dist(STUDENT, TEACHER, targets=TRUTH, temperature=4.0), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", DISTANCES)
def test_a_student_that_equals_its_teacher_has_no_distance_and_a_sure_one_no_nan(method: str) -> None:
    distance = DISTANCES[method]
    assert distance(TEACHER, TEACHER, targets=TRUTH, temperature=4.0).abs().max() < 1e-4
    sure = (TEACHER * 1000).requires_grad_()
    loss = distance(sure, TEACHER, targets=TRUTH, temperature=1.0).mean()
    loss.backward()
    assert loss.isfinite()
    assert sure.grad is not None
    assert sure.grad.isfinite().all()


def test_a_teacher_that_is_less_sure_than_its_student_is_sharpened() -> None:
    once = sharpened(TEACHER, TEACHER * 0.5)
    assert torch.equal(once, TEACHER), "a surer teacher stays as it is"
    flat = TEACHER * 0.25 + 7
    result = sharpened(flat, STUDENT)
    assert torch.allclose(result.std(1), torch.maximum(STUDENT.std(1), flat.std(1)))
    assert torch.allclose(result.softmax(1).argsort(1), TEACHER.argsort(1))
    assert torch.allclose(sharpened(TEACHER * 1e-3, TEACHER), TEACHER * 1e-3 * SHARPEST)
    assert torch.equal(sharpened(torch.zeros(2, 1), torch.ones(2, 1)), torch.zeros(2, 1)), "one class"


@pytest.mark.parametrize("method", DISTANCES)
def test_a_flat_teacher_of_the_same_opinion_teaches_nothing(method: str) -> None:
    """Otherwise a student that agrees would have to unlearn how sure it is."""
    student = (TEACHER * 4).requires_grad_()
    loss = DISTANCES[method](student, sharpened(TEACHER, student), targets=TRUTH, temperature=4.0).sum()
    (gradient,) = torch.autograd.grad(loss, student)
    assert gradient.abs().max() < 1e-4


def test_the_loss_of_a_run_sharpens_the_teacher(monkeypatch: pytest.MonkeyPatch) -> None:
    objective, model = distillation(weight=1.0), network(5)
    with torch.no_grad():
        model.fc.weight.mul_(3)
        model.fc.bias.mul_(3)
        loss, _ = objective(model.eval(), batch(), plan=PLAN)
        monkeypatch.setattr(sys.modules[sharpened.__module__], "SHARPEST", 1.0)
        pulled, _ = objective(model, batch(), plan=PLAN)
    assert loss.item() < 1e-4 < 1e-2 < pulled.item()


def test_hints_compare_features_of_other_widths_sizes_and_numbers_of_stages() -> None:
    own = {"layer1": torch.randn(2, 4, 8, 8, requires_grad=True), "layer2": torch.randn(2, 8, 4, 4)}
    assert feature_distance(own, own).abs().max() < 1e-6
    other = {"layer1": torch.randn(2, 3, 32, 32), **{f"layer{n}": torch.randn(2, 6, 9, 9) for n in (2, 3)}}
    distances = feature_distance(own, other)
    assert torch.equal(distances, feature_distance(own, other))  # the random matrix is always the same
    distances.sum().backward()  # type: ignore[no-untyped-call]
    assert distances.shape == (2,)
    assert own["layer1"].grad is not None


@pytest.mark.parametrize("soft", [False, True])
def test_the_loss_weighs_labels_and_teacher(soft: bool) -> None:
    student, lesson = network(1), batch(soft=soft)
    losses = {}
    for weight in (0.25, 1.0):
        losses[weight], logits = distillation(weight=weight)(student, lesson, plan=PLAN)
    labels, same = Supervised()(student, lesson, plan=PLAN)
    assert torch.equal(logits, same)
    assert losses[0.25].item() == pytest.approx(0.75 * labels.item() + 0.25 * losses[1.0].item(), rel=1e-5)


@pytest.mark.parametrize("method", ["kd", "dkd", "dist", "hint"])
def test_only_the_student_gets_gradients(method: str) -> None:
    student, objective = network(1).train(), distillation(method)
    before = {name: value.clone() for name, value in objective.teacher.net.state_dict().items()}
    loss, logits = objective(student, batch(), plan=PLAN)
    loss.backward()  # type: ignore[no-untyped-call]
    assert all(parameter.grad is not None for parameter in student.parameters())
    assert logits.shape == (6, 3)
    assert all(torch.equal(value, before[name]) for name, value in objective.teacher.net.state_dict().items())


@pytest.mark.parametrize("method", ["kd", "dkd", "hint"])
def test_the_gradients_of_the_parts_of_a_batch_add_up_with_class_weights(method: str) -> None:
    plan = SimpleNamespace(label_smoothing=0.1, class_weights=torch.tensor([1.0, 3.0, 0.5]), accumulate=2)
    student, objective = network(1), distillation(method)
    whole, _ = objective(student, batch(), plan=plan)
    split = parts(batch(), 2, class_weights=plan.class_weights)
    pieces = [objective(student, part, plan=plan)[0] * share for part, share in split]
    assert torch.stack(pieces).sum().item() == pytest.approx(whole.item(), rel=1e-5)


def test_training_under_autocast_computes_the_loss_in_float32() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, _ = distillation("hint")(network(1), batch(), plan=PLAN)
    assert loss.dtype == torch.float32


def test_without_a_teacher_the_objective_is_cross_entropy() -> None:
    assert learned_from(None, TrainConfig(), image=IMAGE) == Supervised()


@pytest.mark.parametrize("method", ["kd", "dkd", "dist", "hint"])
def test_a_distillation_learns_the_rest_from_the_objective_of_the_config(method: str) -> None:
    distill, plan = DistillConfig(method=method, weight=0.4), SimpleNamespace(label_smoothing=0.1, class_weights=None)
    config = TrainConfig(distill=distill, objective=ObjectiveConfig(name="focal", args={"gamma": 3.0}))
    plain, with_focal = (
        learned_from(teacher(), each, image=IMAGE)(network(1), batch(), plan=plan)[0]
        for each in (config.model_copy(update={"objective": ObjectiveConfig()}), config)
    )
    logits, targets = network(1)(batch().images), batch().targets
    expected = 0.6 * (
        focal(logits, targets, label_smoothing=0.1, gamma=3.0).mean()
        - cross_entropy(logits, targets, label_smoothing=0.1)
    )
    assert (with_focal - plain).item() == pytest.approx(expected.item(), abs=1e-5)


def test_a_deeper_teacher_hands_its_knowledge_to_a_student_in_a_few_steps() -> None:
    torch.manual_seed(0)
    deep = dataclasses.replace(ARCH, depths=(2, 2))
    student, objective = build(deep, classes=3, image=IMAGE).train(), distillation(weight=1.0)
    optimizer = torch.optim.SGD(student.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss, _ = objective(student, batch(24), plan=PLAN)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 10
