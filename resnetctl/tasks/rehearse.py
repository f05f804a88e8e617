"""`--dry-run`: check everything, time a few steps, write nothing."""

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from resnetctl.engine.loop import StepResult, TrainState, fit
from resnetctl.settings import Settings
from resnetctl.tasks.consume import Clock, estimate, spoken, started
from resnetctl.tasks.data import is_stored
from resnetctl.tasks.facts import Notice, TrainFact
from resnetctl.tasks.job import Job, make_plan
from resnetctl.tasks.stopping import Stop

STEPS = 4  # the first pays for start-up and is not counted


@contextlib.contextmanager
def scratch(settings: Settings, data: str, *, dry_run: bool) -> Iterator[Settings]:
    """The settings; in a dry run on data that is not in the store yet, with a data folder that goes away."""
    if not dry_run or is_stored(data, settings):
        yield settings
        return
    with tempfile.TemporaryDirectory(prefix="resnetctl-dry-run-") as folder:
        yield dataclasses.replace(settings, data_dir=Path(folder))


def rehearse(job: Job, state: TrainState) -> Iterator[TrainFact | StepResult]:
    """Take a few steps and tell what the run would take, unless it has only the one that is not counted."""
    yield started(job, state, run=None)
    facts = fit(state, make_plan(job, Stop()))
    steps = islice((fact for fact in facts if isinstance(fact, StepResult)), STEPS)
    next(steps)
    clock = Clock()
    for fact in steps:
        clock.images += fact.images
        clock.training = time.monotonic() - clock.started
    if clock.images:
        each = clock.training / clock.images
        images = min(job.config.batch_size, len(job.train))
        all_there_are = f", all there are of a batch of {job.config.batch_size:,}," * (images < job.config.batch_size)
        yield Notice(f"one step of {images:,} images{all_there_are} takes {each * images * 1000:,.0f} ms")
        yield Notice(f"one epoch of {len(job.train):,} images takes about {spoken(each * len(job.train))}")
    yield from estimate(job, state, clock=clock)
    yield Notice("dry run: nothing was written")
