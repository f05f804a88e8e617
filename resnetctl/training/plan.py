"""The plan of a run: what `fit` needs besides the state. And how the run measures val."""

import dataclasses
from contextlib import nullcontext
from functools import partial

import numpy as np
import torch

from resnetctl.compress.distil import learned_from
from resnetctl.config import class_weights
from resnetctl.config.schema import FinetuneConfig
from resnetctl.data.loader import Feed, sampler_of
from resnetctl.data.splits import eval_batches
from resnetctl.engine import graph, schedule
from resnetctl.engine.distributed import Team
from resnetctl.engine.hardware.precision import evaluation_precision
from resnetctl.engine.loop import Plan
from resnetctl.engine.metrics import GROUP, EvalReport, Share, measure
from resnetctl.engine.objective import net_loss
from resnetctl.engine.predictors import held_groups, torch_predictor
from resnetctl.spec import Measured
from resnetctl.system.signals import Stop
from resnetctl.training.dense import validate_net
from resnetctl.training.job import Job, augmentation_of
from resnetctl.training.plugin_trial import explained


def make_plan(job: Job, stop: Stop, *, team: Team | None = None) -> Plan:
    """Return what `fit` needs besides the state; all of it follows from the job.

    Args:
        stop: a signal stops an evaluation at once, because an evaluation has nothing to save.
        team: the processes that train. Several do not stop inside an evaluation, because they must do it together.
    """
    together = team or Team()
    config, factor = job.config, schedule.factors(job.config.schedule)
    warmup = schedule.warmup_steps(config.warmup, steps=job.steps, steps_per_epoch=job.steps_per_epoch)
    labels = job.train.labels[job.train.index]
    counts = np.bincount(labels, minlength=len(job.classes)).tolist()
    weights = class_weights.values(config.class_weights, counts) if job.head is None else None

    def learning_rate(step: int) -> float:
        return config.lr * schedule.scale(step, steps=job.steps, warmup=warmup, factor=factor)

    def evaluate(model: torch.nn.Module) -> EvalReport | Measured:
        with stop.immediately() if together.size == 1 else nullcontext():
            if job.head is None:
                return validate(job, model, team=together)
            assert job.val is not None
            place, precision = job.device, evaluation_precision(config.precision, job.device)
            return validate_net(model, job.val, image=job.image, head=job.head, device=place, precision=precision)

    feed = Feed(job.train, job.image, job.device, vector=None if job.head is None else job.head.vector)
    return Plan(
        feed=feed,
        augment=augmentation_of(job),
        image=job.image,
        side=partial(schedule.side, steps=job.steps, size=job.image.size, progressive=config.progressive),
        steps=job.steps,
        steps_per_epoch=job.steps_per_epoch,
        batch_size=config.batch_size,
        seed=config.seed,
        learning_rate=learning_rate,
        objective=learned_from(job.teacher, config, image=job.image, known=job.known) if job.head is None else net_loss,
        sampler=sampler_of(job.train, config),
        class_weights=torch.tensor(weights, device=job.device) if weights else None,
        shards=config.shards,
        team=together,
        accumulate=config.accumulate,
        label_smoothing=config.label_smoothing,
        grad_clip=config.grad_clip,
        precision=config.precision,
        early_stop=config.early_stop,
        thaw_step=config.thaw_epoch * job.steps_per_epoch if isinstance(config, FinetuneConfig) else 0,
        evaluate=evaluate if job.val is not None else None,
        stepper=graph.stepper(config.graph, feed) if together.size == 1 and job.head is None else None,
        guard=partial(explained, job.arch, config),
    )


def validate(job: Job, model: torch.nn.Module, *, team: Team | None = None) -> EvalReport:
    """Measure `model` on val. The processes of a team share the images; each gets the report of one that did all."""
    assert job.val is not None
    val, precision = job.val, evaluation_precision(job.config.precision, job.device)
    predict = torch_predictor(model, job.image, device=job.device, precision=precision)
    if team is None or team.size == 1:
        if job.held_val is None:
            return measure(predict, eval_batches(val, job.image), classes=job.classes)
        labels = val.labels[val.index]
        groups = held_groups(model, job.image, pixels=job.held_val, labels=labels, precision=precision)
        return measure(lambda logits: logits, groups, classes=job.classes)  # type: ignore[arg-type, return-value]
    count = -(-len(val) // GROUP)
    own = team.share(count)
    images = dataclasses.replace(val, index=val.index[own.start * GROUP : own.stop * GROUP])
    share = Share(first=own.start, groups=count, add_up=team.add_up_integers)
    return measure(predict, eval_batches(images, job.image, batch_size=GROUP), classes=job.classes, share=share)
