"""Measure how fast a job trains: time real steps of `fit` on a state that is discarded."""

import dataclasses
import itertools
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from resnetctl.data.splits import ImageSet, eval_batches, eval_inputs
from resnetctl.engine.hardware.precision import evaluation_precision
from resnetctl.engine.loop import StepResult, TrainState, fit
from resnetctl.engine.metrics import measure
from resnetctl.engine.predictors import NetPredictor, net_predictor, torch_predictor
from resnetctl.engine.schedule import lengths
from resnetctl.spec import Batch, Transform
from resnetctl.system.signals import Stop
from resnetctl.training.dense import VAL_BATCH
from resnetctl.training.job import Job
from resnetctl.training.plan import make_plan
from resnetctl.training.recorder import checkpoint_bytes

PARTS = ("gather", "augment", "normalise", "forward", "backward", "optimizer", "rest")
MOST_STEPS = 50  # of one measurement
QUEUED = 8  # steps between two waits for an accelerator, which works on one while the CPU prepares the next


@dataclass(frozen=True, kw_only=True)
class TimedStep:
    """One step, or the mean of several: wall seconds, images, and the seconds of `PARTS` if they are watched."""

    seconds: float
    images: float
    parts: tuple[float, ...] = ()


class TimedSteps:
    """Take steps of a job and time them. They train `state`: discard it afterwards."""

    def __init__(self, job: Job, state: TrainState, *, watch: bool = False, side: int = 0) -> None:
        """Begin at the state's step.

        Args:
            watch: also time the parts of each step. On a CPU only, because accelerators overlap the parts.
            side: pixels of the training images (0: full size).
        """
        pixels = self.side = side or job.image.size
        plan = dataclasses.replace(
            make_plan(job, Stop()),
            side=lambda _: pixels,
            steps=sys.maxsize,
            evaluate=None,
            early_stop=0,
        )
        self._marks: list[float] = []
        self.queued = 1 if job.device.type == "cpu" else QUEUED
        if watch and job.device.type == "cpu" and job.config.accumulate == job.config.shards == 1:
            plan = dataclasses.replace(plan, augment=self._around(plan.augment))
            self._hook(state)
        self._facts = fit(state, plan)

    def step(self) -> TimedStep:
        """Take one step, on an accelerator several, and wait until the device has finished."""
        began, last = self._taken()
        images = last.images
        for _ in range(self.queued - 1):
            _, last = self._taken()
            images += last.images
        last.loss.item()  # wait for the device
        ended = time.perf_counter()
        marks = [began, *self._marks, ended]
        parts = tuple(after - before for before, after in itertools.pairwise(marks)) if self._marks else ()
        return TimedStep(seconds=(ended - began) / self.queued, images=images / self.queued, parts=parts)

    def _taken(self) -> tuple[float, StepResult]:
        """Return when a step began, and its result."""
        fact: object = None
        while not isinstance(fact, StepResult):  # skip the result of an epoch
            self._marks.clear()
            began = time.perf_counter()
            fact = next(self._facts)
        return began, fact

    def steps(self, seconds: float) -> list[TimedStep]:
        """Take steps until `seconds` are over: at least one, at most `MOST_STEPS`."""
        began = time.monotonic()
        taken = [self.step()]
        while time.monotonic() - began < seconds and len(taken) < MOST_STEPS:
            taken.append(self.step())
        return taken

    def rate(self, seconds: float) -> float:
        """Return images per second, measured over `seconds` of steps."""
        taken = self.steps(seconds)
        return sum(step.images for step in taken) / sum(step.seconds for step in taken)

    def _mark(self, *_: Any) -> None:
        self._marks.append(time.perf_counter())

    def _around(self, augment: Transform) -> Transform:
        def marked(batch: Batch) -> Batch:
            self._mark()
            augmented = augment(batch)
            self._mark()
            return augmented

        return marked

    def _hook(self, state: TrainState) -> None:
        """Mark the ends of `normalise`, `forward`, `backward` (which includes the loss) and `optimizer`."""
        state.model.register_forward_pre_hook(self._mark)
        state.model.register_forward_hook(self._mark)
        state.optimizer.register_step_pre_hook(self._mark)
        state.optimizer.register_step_post_hook(self._mark)


@dataclass(frozen=True, kw_only=True)
class Pace:
    """Seconds that the parts of a run take.

    Attributes:
        step: one step of `images` images; the mean over the run if its images grow.
        check: one evaluation on val, 0 without val.
        save: building the bytes of one checkpoint, without writing them.
        timed: number of steps that were timed.
    """

    step: float
    images: int
    check: float
    save: float
    timed: int

    def rate(self) -> float:
        """Return images per second of the steps alone."""
        return self.images / self.step

    def epoch(self, steps: float) -> float:
        """Return the seconds of an epoch of `steps`, with the evaluation and the checkpoint at its end."""
        return steps * self.step + self.check + self.save


def pace(job: Job, state: TrainState, *, seconds: float) -> Pace:
    """Time steps for about `seconds`, then an evaluation and a checkpoint. Trains `state`: discard it afterwards."""
    sides = _few([side for _, side in job.sides])
    steps = {side: _warm_steps(TimedSteps(job, state, side=side), seconds / len(sides)) for side in sides}
    medians = [statistics.median(step.seconds / step.images for step in steps[side]) for side in sides]
    # seconds per image, summed over all steps; the cost of a side that was not timed is interpolated by its pixels
    image = sum(
        count * float(np.interp(side**2, [timed**2 for timed in sides], medians))
        for count, side in lengths(job.sides, start=0, stop=job.steps)
    )
    began = time.perf_counter()
    checkpoint_bytes(job, state)
    images = min(job.config.batch_size, len(job.train))
    return Pace(
        step=image * images / job.steps,
        images=images,
        save=time.perf_counter() - began,
        check=0.0 if job.val is None else len(job.val) / eval_rate(job, job.val, state=state, seconds=seconds / 4),
        timed=sum(map(len, steps.values())),
    )


def _few(sides: Sequence[int]) -> list[int]:
    """Return at most four of the sides: the first, the last and two between."""
    last = len(sides) - 1
    return [sides[place] for place in sorted({0, last // 3, 2 * last // 3, last})]


def _warm_steps(timer: TimedSteps, seconds: float) -> list[TimedStep]:
    """Return timed steps of `seconds`, after one warm-up step that does not count."""
    timer.step()
    return timer.steps(seconds)


def eval_rate(job: Job, images: ImageSet, *, state: TrainState, seconds: float) -> float:
    """Return images per second of an evaluation on `images`, stopped after `seconds`. Leaves the model in eval mode."""
    how: Any = {"device": job.device, "precision": evaluation_precision(job.config.precision, job.device)}
    if job.head is not None:
        how["vector"] = job.head.vector
        return _net_rate(net_predictor(state.shipped, job.image, **how), job, images, seconds=seconds)
    predict = torch_predictor(state.shipped, job.image, **how)
    batches = _until(seconds, eval_batches(images, job.image))
    return measure(predict, batches, classes=job.classes).images_per_second


def _net_rate(predict: NetPredictor, job: Job, images: ImageSet, *, seconds: float) -> float:
    """As `eval_rate`, for a network with a head. Its answers are not measured: that takes a small part of the time."""
    began, count = time.perf_counter(), 0
    vector = None if job.head is None else job.head.vector
    for inputs in _until(seconds, eval_inputs(images, job.image, vector=vector, batch_size=VAL_BATCH)):
        predict(*inputs)
        count += len(inputs[0])
    return count / (time.perf_counter() - began)


def _until(seconds: float, batches: Iterator[Any]) -> Iterator[Any]:
    """Yield batches until `seconds` are over, at least one."""
    began = time.monotonic()
    for batch in batches:
        yield batch
        if time.monotonic() - began > seconds:
            return


def at_threads(threads: int, work: Callable[[], float]) -> Callable[[], float]:
    """Return `work` as a function that first sets torch's number of threads."""

    def with_threads() -> float:
        torch.set_num_threads(threads)
        return work()

    return with_threads
