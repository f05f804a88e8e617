"""`--budget`: as many epochs as fit into a wall time, with the whole schedule drawn over them.

Only the length of the run changes. It goes into the run's config, so a resume and a repetition time nothing.
"""

import dataclasses
import time
from collections.abc import Generator, Iterator

from resnetctl.config.duration import spoken
from resnetctl.config.schema import TrainConfig
from resnetctl.engine.loop import TrainState
from resnetctl.engine.schedule import warmup_steps
from resnetctl.errors import UsageError
from resnetctl.facts import Notice
from resnetctl.training.job import Job
from resnetctl.training.pace import Pace, pace

ORIGIN = "flag --budget"
SHARE = 0.95  # of the time that is planned for: a machine is not always as fast as in the trial
TRIAL_SHARE, TRIAL_SECONDS = 0.05, 8.0
FEWEST_STEPS = 100  # after these batch norm has forgotten its first averages: 0.9 ** 100 is 3e-5


def fit_budget(job: Job, state: TrainState, *, budget: float, began: float) -> Generator[Notice, None, Job]:
    """Time a few steps and the end of an epoch, and give the job its length. `state` is spoilt.

    Args:
        budget: seconds of wall time from `began` on, a reading of `time.monotonic`: the trials are part of it.

    Raises:
        UsageError: not even one epoch, or `FEWEST_STEPS` of one, fits.
    """
    found = pace(job, state, seconds=min(TRIAL_SECONDS, TRIAL_SHARE * budget))
    spent = time.monotonic() - began
    fitted = shortened(job, found, seconds=SHARE * (budget - spent))
    if fitted is None:
        raise _too_short(job, found, budget=budget, spent=spent)
    yield Notice(_chosen(job, fitted, found))
    yield from _long_warmup(fitted)
    return fitted


def shortened(job: Job, found: Pace, *, seconds: float) -> Job | None:
    """The job with as many epochs as fit at this pace; steps where the config counts these, or less than one fits.

    None when it would be neither an epoch nor `FEWEST_STEPS`.
    """
    epoch = found.epoch(job.steps_per_epoch)
    epochs = max(0, int(seconds / epoch))
    rest = seconds - epochs * epoch - (found.check + found.save)
    steps = epochs * job.steps_per_epoch + max(0, int(rest / found.step))
    if steps < min(FEWEST_STEPS, job.steps_per_epoch):
        return None
    by_epochs = bool(epochs) and not job.config.steps
    length = {"epochs": epochs, "steps": 0} if by_epochs else {"epochs": 0, "steps": steps}
    origins = {**job.origins, "epochs": ORIGIN, "steps": ORIGIN}
    return dataclasses.replace(job, config=job.config.model_copy(update=length), origins=origins)


def seconds_of(job: Job, found: Pace) -> float:
    """What the whole run takes at this pace."""
    ends = -(-job.steps // job.steps_per_epoch)
    return job.steps * found.step + ends * (found.check + found.save)


def _chosen(job: Job, fitted: Job, found: Pace) -> str:
    val = f", val {found.check:.2g} s" if found.check else ""
    return (
        f"{_length(fitted.config)} in about {spoken(seconds_of(fitted, found))}: "
        f"a step takes {found.step * 1000:.0f} ms ({found.timed} timed), "
        f"an epoch {spoken(found.epoch(job.steps_per_epoch))}{val}; "
        f"without --budget it would be {_length(job.config)}"
    )


def _long_warmup(job: Job) -> Iterator[Notice]:
    """A warm-up that is counted in epochs does not shrink with the run."""
    warmup = warmup_steps(job.config.warmup, steps=job.steps, steps_per_epoch=job.steps_per_epoch)
    if 2 * warmup > job.steps:
        yield Notice(f'{warmup} of the {job.steps} steps are warm-up; --warmup "15%" goes with the length')


def _too_short(job: Job, found: Pace, *, budget: float, spent: float) -> UsageError:
    least = min(FEWEST_STEPS, job.steps_per_epoch)
    needed = least * found.step + found.check + found.save
    epoch = found.epoch(job.steps_per_epoch)
    shortest = spoken(needed / SHARE + spent)
    return UsageError(
        f"{spoken(budget)} is too short: {least} steps of {job.config.batch_size} images take about {spoken(needed)} "
        f"here, an epoch {spoken(epoch)}",
        where="--budget",
        hint=[f"at least {shortest}, or a smaller --arch or --size"],
    )


def _length(config: TrainConfig) -> str:
    if config.steps:
        return f"{config.steps:,} step{'s' * (config.steps != 1)}"
    return f"{config.epochs} epoch{'s' * (config.epochs != 1)}"
