"""`budget`: choose as many epochs as a wall time allows. The schedule then covers exactly these epochs.

Only the length of the run changes. It is written into the run's config, so a resume or a repeat times nothing again.
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
from resnetctl.hints import Setting
from resnetctl.training.job import Job
from resnetctl.training.timing.pace import Pace, pace
from resnetctl.wording import counted

ORIGIN = "budget"
SHARE = 0.95  # plan for 95 % of the time: the machine may be slower later than while the steps were timed
TIMING_SHARE, TIMING_SECONDS = 0.05, 8.0  # time steps for 5 % of the budget, at most 8 s
FEWEST_STEPS = 100  # the running averages of batch norm have forgotten their start by then: 0.9 ** 100 is 3e-5


def choose_length(
    job: Job, state: TrainState, *, budget: float, began: float, shortens: bool = False
) -> Generator[Notice, None, Job]:
    """Time a few steps, an evaluation and a checkpoint; return the job with the chosen length.

    The steps train `state`: discard it afterwards.

    Args:
        budget: seconds of wall time, including the timing.
        began: `time.monotonic()` when the budget began.
        shortens: keep the length of the config where there is time for it.

    Raises:
        UsageError: the budget allows neither an epoch nor `FEWEST_STEPS` steps.
    """
    timing = pace(job, state, seconds=min(TIMING_SECONDS, TIMING_SHARE * budget))
    spent = time.monotonic() - began
    chosen = with_length(job, timing, seconds=SHARE * (budget - spent))
    if chosen is not None and shortens and chosen.steps >= job.steps:
        return job
    if chosen is None:
        raise _too_short(job, timing, budget=budget, spent=spent)
    yield Notice(_choice(job, chosen, timing))
    yield from _long_warmup(chosen)
    return chosen


def with_length(job: Job, timing: Pace, *, seconds: float) -> Job | None:
    """Return the job with as many epochs as `seconds` allow at this pace.

    The length is counted in steps if the config counts steps, or if there is no time for a whole epoch. Return None if
    there is time for neither an epoch nor `FEWEST_STEPS` steps.
    """
    epoch = timing.epoch(job.steps_per_epoch)
    epochs = max(0, int(seconds / epoch))
    rest = seconds - epochs * epoch - (timing.check + timing.save)
    steps = epochs * job.steps_per_epoch + max(0, int(rest / timing.step))
    if steps < min(FEWEST_STEPS, job.steps_per_epoch):
        return None
    by_epochs = bool(epochs) and not job.config.steps
    length = {"epochs": epochs, "steps": 0} if by_epochs else {"epochs": 0, "steps": steps}
    origins = {**job.origins, "epochs": ORIGIN, "steps": ORIGIN}
    return dataclasses.replace(job, config=job.config.model_copy(update=length), origins=origins)


def seconds_of(job: Job, timing: Pace) -> float:
    """Return the seconds that the whole run takes at this pace."""
    ends = -(-job.steps // job.steps_per_epoch)
    return job.steps * timing.step + ends * (timing.check + timing.save)


def _choice(job: Job, chosen: Job, timing: Pace) -> str:
    val = f", val {timing.check:.2g} s" if timing.check else ""
    return (
        f"{_length(chosen.config)} in about {spoken(seconds_of(chosen, timing))}: "
        f"a step takes {timing.step * 1000:.0f} ms ({timing.timed} timed), "
        f"an epoch {spoken(timing.epoch(job.steps_per_epoch))}{val}; "
        f"without a budget it would be {_length(job.config)}"
    )


def _long_warmup(job: Job) -> Iterator[Notice]:
    """Yield a notice when warm-up takes over half of the run: a warm-up in epochs does not shrink with the run."""
    warmup = warmup_steps(job.config.warmup, steps=job.steps, steps_per_epoch=job.steps_per_epoch)
    if 2 * warmup > job.steps:
        hint = Setting("warmup", "15%", note="is a share of the run")
        yield Notice(f"warm-up takes {warmup:,} of {counted(job.steps, 'step')}", hint=(hint,))


def _too_short(job: Job, timing: Pace, *, budget: float, spent: float) -> UsageError:
    least = min(FEWEST_STEPS, job.steps_per_epoch)
    needed = least * timing.step + timing.check + timing.save
    epoch = timing.epoch(job.steps_per_epoch)
    shortest = spoken(needed / SHARE + spent)
    return UsageError(
        f"{spoken(budget)} is too short: {counted(least, 'step')} of {job.config.batch_size} images take about "
        f"{spoken(needed)} here, an epoch {spoken(epoch)}",
        where=Setting("budget"),
        hint=f"at least {shortest}, or a smaller network or smaller images",
    )


def _length(config: TrainConfig) -> str:
    if config.steps:
        return counted(config.steps, "step")
    return counted(config.epochs, "epoch")
