"""Consume the facts of `fit`: save, log, estimate the time, and pass every fact on to the screen.

Only `Recorder` writes. One process of a run has a folder to write to; every other process of the same run handles the
same facts with a recorder that writes nothing.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from torch import Tensor

from resnetctl.data.splits import eval_batches
from resnetctl.engine import checkpoint
from resnetctl.engine.distributed import Team
from resnetctl.engine.loop import EpochResult, StepResult, TrainState, fit
from resnetctl.engine.metrics import EvalReport
from resnetctl.engine.predictors import feature_predictor
from resnetctl.engine.schedule import work
from resnetctl.errors import NonFinite, Stopped, WorkFailed
from resnetctl.facts import EpochTimed, Finished, Notice, TrainFact
from resnetctl.hints import Call
from resnetctl.report.outcomes import TrainReport
from resnetctl.runs import RunDir
from resnetctl.spec import Calibration, Measured, Plugins
from resnetctl.system.signals import StopNow
from resnetctl.training.dense import chosen_thresholds
from resnetctl.training.failure import explain, mark
from resnetctl.training.job import Job
from resnetctl.training.notices import estimate, exploded, remarks, started, verdict
from resnetctl.training.session import Session
from resnetctl.trust.fitting import ENOUGH, fit_card
from resnetctl.weights.file import LoadedWeights, instantiate, instantiate_net, to_bytes

CHECKPOINT_SECONDS = 60.0  # between two checkpoints within an epoch
ESTIMATE_AFTER = 20  # steps


@dataclass(kw_only=True)
class Clock:
    """Wall time of this process. No result depends on it."""

    epoch: float = field(default_factory=time.monotonic)  # when this epoch began
    training: float = 0.0  # seconds inside steps, this epoch
    images: int = 0  # trained on, this epoch

    def next_epoch(self) -> tuple[float, float]:
        """Return the seconds of the epoch and the images per second of its training part, and start the next one."""
        now = time.monotonic()
        seconds, rate = now - self.epoch, self.images / self.training if self.training else 0.0
        self.epoch, self.training, self.images = now, 0.0, 0
        return seconds, rate


class Recorder:
    """Write the files of a run. Without a run folder every method does nothing."""

    def __init__(self, run: RunDir | None, job: Job, *, world_size: int = 1) -> None:
        self._run = run
        self._job = job
        self._world_size = world_size
        self._saved, self._step = time.monotonic(), -1  # of the newest checkpoint
        self._each_epoch = job.device.type == "cpu"  # whether an epoch always takes longer than its checkpoint

    def require_space(self, state: TrainState) -> None:
        """Raise `WorkFailed` unless there is room for the checkpoints and the weights of the run."""
        if self._run is not None:
            self._run.require_space(checkpoint.expected_bytes(state))

    def save(self, state: TrainState) -> None:
        """Write a checkpoint."""
        if self._run is not None:
            self._run.checkpoints.save(state.step, checkpoint_bytes(self._job, state, world_size=self._world_size))
            self._saved, self._step = time.monotonic(), state.step

    def save_if_due(self, state: TrainState) -> None:
        """Write a checkpoint when the last one is `CHECKPOINT_SECONDS` old."""
        if self._is_due():
            self.save(state)

    def _is_due(self) -> bool:
        return time.monotonic() - self._saved > CHECKPOINT_SECONDS

    def save_epoch(self, state: TrainState, fact: EpochTimed) -> None:
        """Log an epoch, write its weights if they are the ones to keep, and write a checkpoint.

        An accelerator may need less time for an epoch than both files take. There a checkpoint is written when it is
        due, with the weights of a run that keeps the last epoch; its first epoch has weights at once.
        """
        if self._run is None:
            return
        result = fact.result
        timings = {"epoch": result.epoch, "seconds": fact.seconds, "images_per_second": fact.images_per_second}
        self._run.log(metrics_line(result), timings)
        is_due = self._each_epoch or self._is_due()
        if (is_due or result.epoch == 1) if _ships_last(self._job) else result.is_best:
            self._run.save_weights(shipped(self._job, state))
        if is_due:
            self.save(state)

    def finish(self, state: TrainState) -> Iterator[Finished]:
        """Write the final weights, the summary, and a checkpoint unless the last step has one; yield `Finished`."""
        if self._run is None:
            return
        if self._step != state.step:
            self.save(state)
        self._run.save_weights(
            shipped(
                self._job,
                state,
                calibration=calibrated(self._job, state, path=self._run.weights),
                versions=self._run.plugins(),
            )
        )
        summary = _summary(self._run, self._job, state)
        self._run.save_summary(summary)
        yield Finished(run=self._run.path, summary=summary)


def consume(session: Session) -> Iterator[TrainFact | StepResult]:
    """Train to the end: yield every fact of `fit`, then `Finished` if there is a run folder.

    Raises:
        Stopped: a signal came; everything is saved.
        NonFinite: a number is not finite. The error names step, layer and images if a replay finds them; the last
            checkpoint is kept.
        WorkFailed: the disk is full or a write failed; the last checkpoint is kept.
    """
    job, state, run = session.job, session.state, session.run
    recorder = Recorder(run, job, world_size=session.plan.team.world_size)
    clock, first, has_exploded = Clock(), state.step, False
    facts = fit(state, session.plan)
    with shared(facts, session.plan.team):
        recorder.require_space(state)
    yield started(job, state, run=run)
    yield from remarks(job, state)
    try:
        while True:
            before = time.monotonic()  # only the time inside `next` is training time
            fact = next(facts, None)
            if fact is None:
                break
            if isinstance(fact, EpochResult):
                timed = _timed(fact, clock)
                with shared(facts, session.plan.team):
                    recorder.save_epoch(state, timed)
                yield timed
                if not has_exploded:
                    told = [*exploded(job, fact)]
                    has_exploded = bool(told)
                    yield from told
            else:
                _catch_up(fact, job, at=first + ESTIMATE_AFTER)
                clock.training += time.monotonic() - before
                clock.images += fact.images
                yield fact
                yield from [Notice(fact.note)] if fact.note else []
                if state.step - first == ESTIMATE_AFTER:
                    yield from _first_estimate(job, clock, start=first, step=state.step)
                with shared(facts, session.plan.team):
                    recorder.save_if_due(state)
            if session.signum:
                raise StopNow
    except StopNow:
        recorder.save(state)
        raise _stopped(session) from None
    except NonFinite as error:
        if run is None:
            raise
        mark(run, error)  # before the replay, which may take long and may be killed
        yield Notice(f"{error.message}: repeating the steps since the last checkpoint to find where it began")
        raise explain(error, session) from None
    yield from verdict(job, state)
    yield from recorder.finish(state)


def _catch_up(fact: StepResult, job: Job, *, at: int) -> None:
    """Wait for the device at the end of an epoch, which waits anyway, and at the step `at` of an estimate.

    An accelerator is still busy when its steps are queued: without this their time would be too short.
    """
    if fact.step in (at, fact.steps) or fact.step % job.steps_per_epoch == 0:
        fact.loss.cpu()


@contextlib.contextmanager
def shared(facts: Iterator[object], team: Team) -> Iterator[None]:
    """Tell the other processes, with the next message of `facts`, when the work inside `with` fails."""
    try:
        yield
    except Exception:
        if team.size > 1:
            team.is_failing = True
            with contextlib.suppress(WorkFailed):
                next(facts, None)
        raise


def checkpoint_bytes(job: Job, state: TrainState, *, world_size: int = 1) -> bytes:
    """Return the bytes of a checkpoint: everything that a resume needs, with the card of the model."""
    card = job.card({}).to_json() | {"weights_sha256": job.weights_sha256}
    return checkpoint.to_bytes(state, card, world_size=world_size)


def shipped(
    job: Job,
    state: TrainState,
    *,
    calibration: Calibration | None = None,
    versions: Mapping[str, str] = MappingProxyType({}),
) -> bytes:
    """Return the bytes of model.safetensors: the weights of the best epoch on val, or of the last epoch.

    `versions` are those of the plugins that trained this epoch, where a plugin may have changed before a resume.
    """
    last = _ships_last(job)
    metrics: dict[str, float] = {"epoch": state.epochs if last else state.best.epoch}
    if not last:
        metrics[f"val_{job.primary}"] = state.best.top1
        metrics |= {"val_loss": state.best.loss} if job.head is None else {}
    card = job.card(metrics, calibration=calibration)
    plugins = Plugins(
        required={name: versions.get(name, version) for name, version in card.plugins.required.items()},
        used={name: versions.get(name, version) for name, version in card.plugins.used.items()},
    )
    return to_bytes(_shipped_state(job, state), replace(card, plugins=plugins))


def calibrated(job: Job, state: TrainState, *, path: Path) -> Calibration | None:
    """Return what val says about the weights that are shipped, from one pass over it. None: no or small val.

    The pass runs what `eval` and `predict` run, in float32. `path` is the file of the weights, for errors.
    """
    if job.val is None or (len(job.val) < ENOUGH and job.head is None):
        return None
    weights = LoadedWeights(path=path, state=_shipped_state(job, state), card=job.card({}))
    if job.head is not None:
        build = partial(instantiate_net, weights)
        return chosen_thresholds(build, job.val, image=job.image, head=job.head, device=job.device)
    predict = feature_predictor(instantiate(weights), job.image, device=job.device)
    passes = [(*predict(images), labels) for images, labels in eval_batches(job.val, job.image)]
    logits, features, labels = (np.concatenate(parts) for parts in zip(*passes, strict=True))
    if not (np.isfinite(logits).all() and np.isfinite(features).all()):
        return None
    return fit_card(logits, labels, features=features)


def _ships_last(job: Job) -> bool:
    return job.config.keep == "last" or job.val is None


def _shipped_state(job: Job, state: TrainState) -> Mapping[str, Tensor]:
    return state.weights() if _ships_last(job) else state.best.weights


def _first_estimate(job: Job, clock: Clock, *, start: int, step: int) -> Iterator[Notice]:
    """Yield how long the rest of the run takes at the speed of the first steps."""
    if clock.images:  # counted since this epoch began, or since `start` in the first epoch
        start = max(start, (step - 1) // job.steps_per_epoch * job.steps_per_epoch)
        val = len(job.val) / 3 if job.val is not None else 0  # a forward pass costs a third of a step
        checks = (job.steps - step) / job.steps_per_epoch * val / min(job.config.batch_size, len(job.train))
        left = work(job.sides, start=step, stop=job.steps) + checks * job.image.size**2
        seconds = clock.training * left / work(job.sides, start=start, stop=step)
        yield from estimate(job, seconds=seconds, rate=clock.images / clock.training)


def _timed(result: EpochResult, clock: Clock) -> EpochTimed:
    seconds, rate = clock.next_epoch()
    return EpochTimed(result=result, seconds=seconds, images_per_second=rate)


def _stopped(session: Session) -> Stopped:
    resume = () if session.run is None else Call("train", settings={"resume": session.run.path})
    return Stopped(
        f"after step {session.state.step} of {session.plan.steps}; everything is saved",
        signum=session.signum or session.stop.signum,
        hint=resume,
    )


def metrics_line(result: EpochResult) -> dict[str, Any]:
    """Return the line of an epoch in `metrics.jsonl`."""
    line: dict[str, Any] = {
        "epoch": result.epoch,
        "step": result.step,
        "lr": result.lr,
        "train_loss": result.train_loss,
    }
    if result.train_top1 is not None:
        line["train_top1"] = result.train_top1
    if result.val is not None:
        line |= {**_val_numbers(result.val), "best": result.is_best}
    return line


def _val_numbers(report: EvalReport | Measured) -> dict[str, float]:
    if isinstance(report, EvalReport):
        return {"val_loss": report.loss, "val_top1": report.top1}
    primary = report.primary
    low, high = primary.interval or (None, None)
    numbers = {primary.name: primary.value, **report.figures}  # the deciding one first: see `val_key`
    numbers |= {f"{primary.name}_low": low, f"{primary.name}_high": high}
    return {f"val_{name}": value for name, value in numbers.items() if value is not None}


def _summary(run: RunDir, job: Job, state: TrainState) -> dict[str, Any]:
    metrics = run.metrics()
    return {
        "schema": TrainReport.schema,
        "status": "finished",
        "arch": job.arch.name,
        **({} if job.head is None else {"head": job.head.name, "primary": job.primary}),
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
