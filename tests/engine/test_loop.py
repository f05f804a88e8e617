import contextlib
import dataclasses
import itertools
import math
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from support.nets import CPU, IMAGE, ImageList, image_set, make, model
from torch import nn

from resnetctl import registry
from resnetctl.data.loader import Feed, balanced_order
from resnetctl.engine.loop import EpochResult, StepResult, TrainState, fit
from resnetctl.engine.metrics import EvalReport, measure
from resnetctl.engine.optim import LossScale
from resnetctl.errors import WorkFailed
from resnetctl.testing.waits import ACCELERATOR, NoWaits

POLICIES = [
    entry.name for entry in registry.all_entries() if (entry.kind, entry.distribution) == ("policy", "resnetctl")
]


def report(top1: float, loss: float = 1.0) -> EvalReport:
    """Return a report with the two numbers that decide which epoch is best."""
    whole = measure(
        lambda images: np.zeros((len(images), 3), np.float32),
        [(np.zeros((2, 4, 4, 1), np.uint8), np.zeros(2, np.int64))],
        classes="abc",
    )
    values = {name: getattr(whole, name) for name in whole.__dataclass_fields__}
    return EvalReport(**(values | {"top1": top1, "loss": loss}))


def epochs(facts: list[object]) -> list[EpochResult]:
    return [fact for fact in facts if isinstance(fact, EpochResult)]


def test_fit_yields_every_step_and_every_epoch_in_order() -> None:
    state, plan = make(steps=6)
    kinds = ["epoch" if isinstance(fact, EpochResult) else fact.step for fact in fit(state, plan)]
    assert kinds == [1, 2, 3, "epoch", 4, 5, 6, "epoch"]


def test_a_run_counted_in_steps_ends_in_the_middle_of_an_epoch() -> None:
    state, plan = make(steps=5)
    facts = list(fit(state, plan))
    assert [result.step for result in epochs(facts)] == [3, 5]
    assert [result.train_images for result in epochs(facts)] == [10, 8]


def test_each_step_has_the_learning_rate_of_the_plan() -> None:
    state, plan = make(steps=6)
    steps = [fact for fact in fit(state, plan) if isinstance(fact, StepResult)]
    assert [fact.lr for fact in steps] == [plan.learning_rate(step) for step in range(6)]


def test_an_epoch_tells_the_learning_rates_of_its_first_and_last_step() -> None:
    state, plan = make(steps=5)
    results = epochs(list(fit(state, plan)))
    rates = [plan.learning_rate(step) for step in range(5)]
    assert [(result.first_lr, result.lr) for result in results] == [(rates[0], rates[2]), (rates[3], rates[4])]


def test_each_epoch_has_every_image_once_in_a_new_order() -> None:
    rows: list[list[int]] = []
    state, plan = make(steps=6)
    plan = type(plan)(**(vars(plan) | {"augment": lambda batch: (rows.append(batch.index.tolist()), batch)[1]}))
    list(fit(state, plan))
    first, second = (list(itertools.chain(*rows[:3])), list(itertools.chain(*rows[3:])))
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


@pytest.mark.parametrize("name", POLICIES)
def test_no_step_waits_for_an_accelerator(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the batch, a policy, clipping nor EMA reads a number or copies between devices."""
    # autocast knows no such device
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())
    device = torch.device(ACCELERATOR)
    with device:
        net = model(dropout=0.1)
    optimizer = torch.optim.SGD([{"params": [*net.parameters()], "lr_scale": 1.0}], momentum=0.9, foreach=True)
    state = TrainState.fresh(net, optimizer, device=device, ema_decay=0.9)
    feed = Feed(ImageList(**vars(image_set())), IMAGE, device)
    policy = registry.get("policy", name).build(IMAGE, 3)
    _, plan = make(steps=3)
    facts = fit(state, dataclasses.replace(plan, feed=feed, augment=policy, grad_clip=1.0))
    next(facts)  # the first step also makes constants and the momentum
    with NoWaits() as operations:
        next(facts)
    assert operations.count > 50


def test_fp16_skips_an_update_whose_gradients_overflow_and_halves_the_scale() -> None:
    state, plan = make(steps=3, precision="fp16")
    state.scale = LossScale(2.0**60)
    before = [parameter.detach().clone() for parameter in state.model.parameters()]
    next(fit(state, plan))
    assert state.scale.factor == 2.0**59
    assert all(torch.equal(old, new) for old, new in zip(before, state.model.parameters(), strict=True))


def test_fp16_whose_gradients_are_never_finite_fails() -> None:
    state, plan = make(steps=3, precision="fp16")
    state.scale = LossScale(1.0)
    nn.init.constant_(state.model[0].weight, 1e30)
    with pytest.raises(WorkFailed, match="no longer finite"):
        list(fit(state, plan))


def test_fp16_ends_near_the_weights_of_fp32() -> None:
    ends = []
    for precision in ("fp32", "fp16"):
        state, plan = make(steps=6, precision=precision)
        state.scale = LossScale(2.0**4) if state.scale else None
        list(fit(state, plan))
        ends.append(torch.cat([parameter.detach().flatten() for parameter in state.model.parameters()]))
    assert 0 < float((ends[0] - ends[1]).norm() / ends[0].norm()) < 1e-2


def test_training_lowers_the_loss() -> None:
    state, plan = make(count=40, steps=200)
    results = epochs(list(fit(state, plan)))
    assert results[-1].train_loss < results[0].train_loss / 3
    assert results[-1].train_top1 > 0.9


BALANCED = partial(balanced_order, torch.from_numpy(image_set().labels))
WEIGHTS = torch.tensor([1.0, 4.0, 0.5])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dropout": 0.5},
        {"ema": 0.9},
        {"grad_clip": 0.1},
        {"label_smoothing": 0.1},
        {"accumulate": 2, "dropout": 0.5},
        {"sampler": BALANCED, "class_weights": WEIGHTS},
    ],
)
def test_stopping_at_any_fact_and_continuing_gives_the_same_weights(options: dict[str, Any]) -> None:
    state, plan = make(steps=9, **options)
    whole = [fact for fact in fit(state, plan) if isinstance(fact, EpochResult)]
    for cut in range(1, 12):
        again, plan = make(steps=9, **options)
        facts = list(itertools.islice(fit(again, plan), cut))
        facts += list(fit(again, plan))
        assert epochs(facts) == whole
        assert all(torch.equal(a, b) for a, b in zip(again.weights().values(), state.weights().values(), strict=True))


def test_the_seed_decides_everything() -> None:
    def trained(seed: int) -> torch.Tensor:
        state, plan = make(steps=6)
        list(fit(state, type(plan)(**(vars(plan) | {"seed": seed}))))
        return state.weights()["0.weight"]

    assert torch.equal(trained(7), trained(7))
    assert not torch.equal(trained(7), trained(8))


def test_the_best_epoch_has_the_highest_accuracy_then_the_lowest_loss_then_is_the_earliest() -> None:
    reports = iter([report(0.5, 1.0), report(0.6, 1.0), report(0.6, 0.9), report(0.6, 0.9)])
    state, plan = make(steps=12, evaluate=lambda _: next(reports))
    results = epochs(list(fit(state, plan)))
    assert [result.is_best for result in results] == [True, True, True, False]
    assert (state.best.epoch, state.best.top1, state.best.loss, state.patience) == (3, 0.6, 0.9, 1)


def test_the_best_weights_are_those_of_the_best_epoch() -> None:
    reports = iter([report(0.9), report(0.1)])
    kept: list[torch.Tensor] = []
    state, plan = make(steps=6, evaluate=lambda net: (kept.append(net[0].weight.clone()), next(reports))[1])
    list(fit(state, plan))
    assert torch.equal(state.best.weights["0.weight"], kept[0])
    assert not torch.equal(state.best.weights["0.weight"], state.weights()["0.weight"])


def test_training_stops_after_early_stop_epochs_without_a_better_one() -> None:
    reports = iter([report(0.9), report(0.8), report(0.8), report(0.8)])
    state, plan = make(steps=12, early_stop=2, evaluate=lambda _: next(reports))
    assert len(epochs(list(fit(state, plan)))) == 3
    assert list(fit(state, plan)) == []


def test_evaluation_gets_the_ema_in_eval_mode_if_it_is_on() -> None:
    modes: list[bool] = []
    state, plan = make(steps=3, ema=0.5, evaluate=lambda net: (modes.append(net.training), report(0.5))[1])
    list(fit(state, plan))
    assert modes == [False]
    assert state.shipped is not state.model
    assert not torch.equal(state.weights()["0.weight"], state.model[0].weight)


def test_frozen_modules_keep_their_statistics() -> None:
    state, plan = make(steps=6)
    state.frozen = (state.model[1],)
    before = state.model[1].running_mean.clone()
    list(fit(state, plan))
    assert torch.equal(before, state.model[1].running_mean)


def test_clipping_bounds_the_step() -> None:
    def moved(clip: float) -> float:
        state, plan = make(steps=1, grad_clip=clip)
        before = state.weights()["6.weight"]
        list(fit(state, plan))
        return float((state.weights()["6.weight"] - before).norm())

    assert moved(1e-3) < moved(0.0) / 10


def test_soft_targets_train_and_count_by_their_largest_share() -> None:
    def soften(batch):
        targets = torch.nn.functional.one_hot(batch.targets, 3).float() * 0.8 + 0.2 / 3
        return type(batch)(**(vars(batch) | {"targets": targets}))

    state, plan = make(count=40, steps=100, augment=soften)
    assert epochs(list(fit(state, plan)))[-1].train_top1 > 0.9


def test_numbers_that_are_not_finite_stop_the_run() -> None:
    state, plan = make(steps=6)
    with torch.no_grad():
        state.model[0].weight[0, 0, 0, 0] = math.nan
    with pytest.raises(WorkFailed, match="no longer finite at step 1"):
        list(fit(state, plan))


def test_the_test_plan_has_three_steps_an_epoch() -> None:
    state, plan = make()
    assert (plan.image, plan.steps_per_epoch, state.sums.loss.device) == (IMAGE, 3, CPU)


def test_patience_is_counted_only_after_epochs_with_full_images() -> None:
    reports = iter([report(0.5), *(report(0.1) for _ in range(9))])
    state, plan = make(steps=24, evaluate=lambda _: next(reports), early_stop=2)
    growing = dataclasses.replace(plan, side=lambda step: 2 if step < 9 else IMAGE.size)
    assert [result.epoch for result in epochs(list(fit(state, growing)))] == [1, 2, 3, 4, 5]


def test_the_model_gets_images_of_the_plans_side() -> None:
    sides: list[int] = []
    state, plan = make(steps=9)
    state.model.register_forward_pre_hook(lambda module, inputs: sides.append(inputs[0].shape[-1]))
    growing = dataclasses.replace(plan, side=lambda step: 2 if step < 5 else IMAGE.size)
    list(fit(state, growing))
    assert sides == [2] * 5 + [IMAGE.size] * 4
    again, _ = make(steps=9)
    list(itertools.islice(fit(again, growing), 6))  # stop and continue across the change of side
    list(fit(again, growing))
    assert all(torch.equal(a, b) for a, b in zip(again.weights().values(), state.weights().values(), strict=True))


def soften(batch: Any) -> Any:
    targets = torch.nn.functional.one_hot(batch.targets, 3).float() * 0.8 + 0.2 / 3
    return dataclasses.replace(batch, targets=targets)


@pytest.mark.parametrize("options", [{}, {"class_weights": WEIGHTS}, {"class_weights": WEIGHTS, "augment": soften}])
@pytest.mark.parametrize("accumulate", [2, 3, 100])
def test_the_parts_of_a_batch_train_as_the_whole_batch_where_batch_norm_is_frozen(
    options: dict[str, Any], accumulate: int
) -> None:
    def trained(accumulate: int) -> tuple[dict[str, torch.Tensor], float]:
        state, plan = make(steps=6, accumulate=accumulate, **options)
        state.frozen = (state.model[1],)
        losses = [fact.train_loss for fact in fit(state, plan) if isinstance(fact, EpochResult)]
        return state.weights(), losses[-1]

    (whole, loss), (split, same) = trained(1), trained(accumulate)
    assert same == pytest.approx(loss, rel=1e-5)
    for name, value in whole.items():
        assert torch.allclose(value, split[name], atol=1e-5), name
