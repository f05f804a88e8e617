"""`--dry-run`: check everything, time a few steps, write nothing."""

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path

from resnetctl.config.duration import rough
from resnetctl.engine.loop import TrainState
from resnetctl.settings import Settings
from resnetctl.tasks.budget import seconds_of
from resnetctl.tasks.consume import estimate, remarks, started
from resnetctl.tasks.data import is_stored
from resnetctl.tasks.facts import Notice, TrainFact
from resnetctl.tasks.job import Job
from resnetctl.tasks.pace import pace

SECONDS = 2.0  # of steps


@contextlib.contextmanager
def scratch(settings: Settings, data: str, *, dry_run: bool) -> Iterator[Settings]:
    """The settings; in a dry run on data that is not in the store yet, with a data folder that goes away."""
    if not dry_run or is_stored(data, settings):
        yield settings
        return
    with tempfile.TemporaryDirectory(prefix="resnetctl-dry-run-") as folder:
        yield dataclasses.replace(settings, data_dir=Path(folder))


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
