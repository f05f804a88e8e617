"""A dry run: check everything, time a few steps, write nothing."""

from collections.abc import Iterator

from resnetctl.config.duration import rough
from resnetctl.data.split_groups import IDENTICAL
from resnetctl.engine.loop import TrainState
from resnetctl.facts import Notice, TrainFact
from resnetctl.training.job import Job
from resnetctl.training.notices import estimate, remarks, started
from resnetctl.training.timing.budget import seconds_of
from resnetctl.training.timing.pace import pace
from resnetctl.wording import counted

SECONDS = 2.0  # how long to take steps


def rehearse(job: Job, state: TrainState) -> Iterator[TrainFact]:
    """Take a few steps and yield how long the run would take. The steps train `state`: discard it afterwards."""
    yield started(job, state, run=None)
    yield from remarks(job, state)
    yield from (Notice(note) for note in job.store.card.notes if IDENTICAL in note)
    timing = pace(job, state, seconds=SECONDS)
    images = min(job.config.batch_size, len(job.train))
    fewer = f" (all there are for a batch of {job.config.batch_size:,})" * (images < job.config.batch_size)
    yield Notice(f"one step of {counted(images, 'image')}{fewer} takes {timing.step * 1000:,.0f} ms")
    yield Notice(
        f"one epoch of {counted(len(job.train), 'image')} takes about {rough(timing.epoch(job.steps_per_epoch))}"
    )
    yield from estimate(job, seconds=seconds_of(job, timing), rate=timing.rate())
    yield Notice("dry run: nothing was written")
