"""The one consumer of `fit`: saves, logs, estimates, and passes every fact on to whoever shows it."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from resnetctl import registry
from resnetctl.config.duration import rough
from resnetctl.engine import checkpoint
from resnetctl.engine.device import cores_granted
from resnetctl.engine.loop import EpochResult, Plan, StepResult, TrainState, fit
from resnetctl.engine.schedule import smaller, work
from resnetctl.errors import NonFinite, ResnetctlError, Stopped
from resnetctl.facts import EpochTimed, Finished, Notice, Started, TrainFact
from resnetctl.models.resnet import count_params
from resnetctl.runs import RunDir
from resnetctl.spec import Arch
from resnetctl.system.signals import Interrupted, Stop
from resnetctl.training.job import Job
from resnetctl.training.nonfinite import explain, mark
from resnetctl.training.report import TrainReport
from resnetctl.weights.file import to_bytes

CHECKPOINT_SECONDS = 60.0
ESTIMATE_AFTER = 20  # steps
LONG_SECONDS = 3600.0


@dataclass(kw_only=True)
class Clock:
    """Wall time of this process: nothing that a result depends on."""

    started: float = field(default_factory=time.monotonic)
    epoch: float = field(default_factory=time.monotonic)
    saved: float = field(default_factory=time.monotonic)
    training: float = 0.0  # seconds inside steps, this epoch
    images: int = 0

    def next_epoch(self) -> tuple[float, float]:
        """Seconds of the epoch and images a second of its training part."""
        now = time.monotonic()
        seconds, rate = now - self.epoch, self.images / self.training if self.training else 0.0
        self.epoch, self.training, self.images = now, 0.0, 0
        return seconds, rate


def consume(run: RunDir, job: Job, *, state: TrainState, plan: Plan, stop: Stop) -> Iterator[TrainFact | StepResult]:
    """Train to the end, with the run's lock held by the caller.

    Raises:
        Stopped: a signal came; everything is saved.
        NonFinite: it names step, layer and images, where a replay finds them; the last checkpoint is kept.
        WorkFailed: a failed write, or no room for it; the last checkpoint is kept.
    """
    run.require_space(checkpoint.expected_bytes(state))
    yield started(job, state, run=run)
    yield from remarks(job, state)
    clock = Clock()
    first = state.step
    try:
        facts = fit(state, plan)
        while True:
            before = time.monotonic()
            fact = next(facts, None)
            if fact is None:
                break
            if isinstance(fact, EpochResult):
                yield _epoch_done(run, job, state, fact, clock)
            else:
                clock.training += time.monotonic() - before
                clock.images += fact.images
                yield fact
                if state.step - first == ESTIMATE_AFTER:
                    yield from _first_estimate(job, clock, start=first, step=state.step)
                if time.monotonic() - clock.saved > CHECKPOINT_SECONDS:
                    _save(run, job, state, clock)
            if stop.signum:
                raise Interrupted
    except Interrupted:
        _save(run, job, state, clock)
        raise Stopped(
            f"after step {state.step} of {plan.steps}; everything is saved",
            signum=stop.signum,
            hint=f"resnetctl train --resume {run.quoted}",
        ) from None
    except NonFinite as error:
        mark(run, error)  # what comes may take long, and be killed
        yield Notice(f"{error.message}: going back to the last checkpoint to see where it began")
        raise explain(error, run, job=job, state=state, plan=plan, stop=stop) from None
    yield _finish(run, job, state)


def started(job: Job, state: TrainState, *, run: RunDir | None) -> Started:
    """The opening fact."""
    return Started(
        run=run.path if run is not None else None,
        config=job.config,
        origins=job.origins,
        arch=job.arch,
        block=_swapped(job.arch),
        params=count_params(job.arch, classes=len(job.classes), channels=job.image.channels),
        image_size=job.image.size,
        train_images=len(job.train),
        val_images=len(job.val) if job.val is not None else 0,
        start_step=state.step,
        best=state.best.top1 if state.best.epoch and job.val is not None else None,
        steps=job.steps,
        steps_per_epoch=job.steps_per_epoch,
        sides=job.sides,
    )


def _swapped(arch: Arch) -> str:
    """The block, where it is another one than that of the arch of this name."""
    with contextlib.suppress(ResnetctlError):  # of weights whose arch nobody registers
        return "" if registry.get("arch", arch.name).block == arch.block else arch.block
    return ""


def remarks(job: Job, state: TrainState) -> Iterator[Notice]:
    """What is allowed and seldom meant, and what progressive resizing does to the numbers on the screen."""
    cores, images = cores_granted(), len(job.train)
    if job.config.device == "cpu" and job.config.threads > cores:
        yield Notice(
            f"{job.config.threads} threads share {cores} core{'s' * (cores != 1)}, which is slower than one each"
        )
    if job.config.batch_size > images:
        more = f"a batch of {job.config.batch_size:,} is more than the {images:,} training images"
        yield Notice(f"{more}, so that an epoch is one step: a smaller --batch-size learns more from it")
    asked, size = job.config.progressive, job.image.size
    grown = job.sides[-1][0]
    if state.step < grown:
        epoch = 1 + grown // job.steps_per_epoch
        yield Notice(
            f"images grow from {job.sides[0][1]} px and are whole, {size} px, in epoch {epoch}; "
            "val always sees whole ones, so its accuracy may be low until then"
        )
    elif not grown and asked.initial_scale < 1:
        why = "no step is left for smaller images"
        if smaller(asked.initial_scale, size=size, unit=asked.size_increment) == size:
            why = f"{asked.initial_scale:g} of {size} px, in multiples of {asked.size_increment} px, is {size} px"
        yield Notice(f"progressive resizing does nothing here: {why}")


def estimate(job: Job, *, seconds: float, rate: float) -> Iterator[Notice]:
    """How long a run of `seconds` takes at `rate` images a second, with advice when it is hours."""
    if seconds < 30:
        return
    yield Notice(f"about {rough(seconds)} for the whole run at {rate:,.0f} images/s")
    if seconds > LONG_SECONDS and job.config.epochs > 10:
        yield Notice(
            f"--recipe fast trains 10 epochs in about {rough(seconds * 10 / job.config.epochs)}; "
            "a smaller --arch or a GPU shortens it too"
        )


def checkpoint_bytes(job: Job, state: TrainState) -> bytes:
    """Everything that a resume needs, the description of the model included."""
    card = job.card({}).to_json() | {"weights_sha256": job.weights_sha256}
    return checkpoint.to_bytes(state, card)


def _first_estimate(job: Job, clock: Clock, *, start: int, step: int) -> Iterator[Notice]:
    """How long the rest will take at the speed of the first steps."""
    if clock.images:  # of the epoch that `step` ends or is in
        start = max(start, (step - 1) // job.steps_per_epoch * job.steps_per_epoch)
        checks = len(job.val) / 3 if job.val is not None else 0  # a forward pass is a third of a step
        looks = (job.steps - step) / job.steps_per_epoch * checks / min(job.config.batch_size, len(job.train))
        left = work(job.sides, start=step, stop=job.steps) + looks * job.image.size**2
        seconds = clock.training * left / work(job.sides, start=start, stop=step)
        yield from estimate(job, seconds=seconds, rate=clock.images / clock.training)


def _epoch_done(run: RunDir, job: Job, state: TrainState, result: EpochResult, clock: Clock) -> EpochTimed:
    seconds, rate = clock.next_epoch()
    run.log(_metrics(result), {"epoch": result.epoch, "seconds": seconds, "images_per_second": rate})
    if result.is_best or job.config.keep == "last":
        run.save_weights(shipped(job, state))
    _save(run, job, state, clock)
    return EpochTimed(result=result, seconds=seconds, images_per_second=rate)


def _metrics(result: EpochResult) -> dict[str, Any]:
    line: dict[str, Any] = {
        "epoch": result.epoch,
        "step": result.step,
        "lr": result.lr,
        "train_loss": result.train_loss,
        "train_top1": result.train_top1,
    }
    if result.val is not None:
        line |= {"val_loss": result.val.loss, "val_top1": result.val.top1, "best": result.is_best}
    return line


def shipped(job: Job, state: TrainState) -> bytes:
    """The bytes of model.safetensors: the best epoch on val, or the last."""
    last = job.config.keep == "last" or job.val is None
    metrics: dict[str, float] = {"epoch": state.epochs if last else state.best.epoch}
    if not last:
        metrics |= {"val_top1": state.best.top1, "val_loss": state.best.loss}
    return to_bytes(state.weights() if last else state.best.weights, job.card(metrics))


def _save(run: RunDir, job: Job, state: TrainState, clock: Clock) -> None:
    run.save_checkpoint(state.step, checkpoint_bytes(job, state))
    clock.saved = time.monotonic()


def _finish(run: RunDir, job: Job, state: TrainState) -> Finished:
    run.save_weights(shipped(job, state))
    metrics = run.metrics()
    summary: dict[str, Any] = {
        "schema": TrainReport.schema,
        "status": "finished",
        "arch": job.arch.name,
        "data": job.store.card.name,
        "train_images": len(job.train),
        "val_images": len(job.val) if job.val is not None else 0,
        "epochs": state.epochs,
        "steps": state.step,
        "stopped_early": state.step < job.steps,
        "kept": "last" if job.config.keep == "last" or job.val is None else "best",
        "best": next((line for line in metrics if line["epoch"] == state.best.epoch), None),
        "last": metrics[-1] if metrics else None,
        "seconds": sum(line["seconds"] for line in run.timings()),
    }
    run.save_summary(summary)
    return Finished(run=run.path, summary=summary)
