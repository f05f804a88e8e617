"""The plan of a run follows from its job, and val is measured once for each image."""

import dataclasses

import numpy as np
import pytest
import torch
from support.jobs import job
from support.teams import together

from resnetctl.data.splits import eval_batches
from resnetctl.engine.metrics import EvalReport
from resnetctl.system.signals import Stop
from resnetctl.training.job import fresh_model
from resnetctl.training.plan import make_plan, validate


def test_the_plan_follows_the_config() -> None:
    settled = job("warmup=1", "lr=0.2", "schedule.name=linear")
    plan = make_plan(settled, Stop())
    assert (plan.steps, plan.steps_per_epoch, plan.batch_size) == (12, 4, 16)
    assert plan.learning_rate(3) == pytest.approx(0.2)
    assert plan.learning_rate(0) == pytest.approx(0.05)


def test_validation_counts_every_image_of_val_once() -> None:
    settled = job()
    assert settled.val is not None
    assert validate(settled, fresh_model(settled).eval()).count == len(settled.val) == 6


def test_val_that_lies_on_the_device_gives_the_report_of_val_that_is_read() -> None:
    settled = job("val_fraction=0.4")
    assert settled.held_val is None, "on a CPU"
    assert settled.val is not None
    model = fresh_model(settled).eval()
    read = validate(settled, model)
    pixels = np.concatenate([pixels for pixels, _ in eval_batches(settled.val, settled.image)])
    vars(settled)["held_val"] = torch.from_numpy(pixels)
    held = validate(settled, model)
    assert isinstance(held, EvalReport)
    assert (held.confusion, held.loss) == (read.confusion, read.loss)


def test_the_standard_policy_does_not_mirror_if_the_dataset_forbids_it() -> None:
    settled = job("augment=standard")
    batch = make_plan(settled, Stop()).feed.batch(torch.arange(16), epoch=0, step=0)
    images = batch.images.clone()
    images[:] = torch.arange(8).view(1, 1, 1, 8).to(torch.uint8) * 30  # rising from left to right
    augment = make_plan(settled, Stop()).augment
    for seed in range(5):
        torch.manual_seed(seed)
        rows = augment(dataclasses.replace(batch, images=images)).images[:, 0, 4].int()
        steps = rows[:, 1:] - rows[:, :-1]
        assert (steps == -30).sum() == 0


def test_the_first_images_of_progressive_resizing_reach_the_plan() -> None:
    settled = job("progressive.initial_scale=0.5", "progressive.delay_fraction=0.8", "epochs=10")
    size = settled.image.size
    assert settled.sides == ((0, size // 2), (32, size))
    plan = make_plan(settled, Stop())
    assert [plan.side(step) for step in (0, 31, 32, 39)] == [size // 2, size // 2, size, size]


def test_class_weights_and_the_sampler_reach_the_plan() -> None:
    settled = job("class_weights=balanced", "sampler=balanced", "accumulate=4")
    plan = make_plan(settled, Stop())
    labels = settled.train.labels[settled.train.index]
    assert plan.class_weights is not None
    assert float(plan.class_weights[labels].mean()) == pytest.approx(1)
    order = plan.sampler(len(plan.feed), seed=0, epoch=0)
    assert np.ptp(np.bincount(labels[order.numpy()])) <= 1
    assert plan.accumulate == 4
    assert job("class_weights=1,2,3").config.class_weights == "1.0,2.0,3.0"
    assert make_plan(job(), Stop()).class_weights is None


def test_processes_validate_together_and_get_the_report_of_one() -> None:
    settled = job()
    model = fresh_model(settled).eval()
    whole = validate(settled, model)
    for report in together(2, lambda team: validate(settled, model, team=team)):
        assert isinstance(report, EvalReport)
        assert (report.confusion, report.loss) == (whole.confusion, whole.loss)
