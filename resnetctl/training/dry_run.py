"""`--dry-run`: check everything, time a few steps, write nothing."""

from collections.abc import Iterator

from resnetctl.config.duration import rough
from resnetctl.engine.loop import TrainState
from resnetctl.facts import Notice, TrainFact
from resnetctl.training.budget import seconds_of
from resnetctl.training.job import Job
from resnetctl.training.pace import pace
from resnetctl.training.recorder import estimate, remarks, started

SECONDS = 2.0  # of steps


def rehearse(job: Job, state: TrainState) -> Iterator[TrainFact]:
    """Take a few steps and tell what the run would take. `state` is spoilt."""
    yield started(job, state, run=None)
    yield from remarks(job, state)
    found = pace(job, state, seconds=SECONDS)
    images = min(job.config.batch_size, len(job.train))
    all_there_are = f", all there are of a batch of {job.config.batch_size:,}," * (images < job.config.batch_size)
    yield Notice(f"one step of {images:,} images{all_there_are} takes {found.step * 1000:,.0f} ms")
    yield Notice(f"one epoch of {len(job.train):,} images takes about {rough(found.epoch(job.steps_per_epoch))}")
    yield from estimate(job, seconds=seconds_of(job, found), rate=found.rate())
    yield Notice("dry run: nothing was written")
