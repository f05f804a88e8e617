"""`budget`: choose as many epochs as a wall time allows. The schedule then covers exactly these epochs.

The length changes, and with it what the rules for few images say. Both are written into the run's config, so a resume
or a repeat times nothing again.
"""

import dataclasses
import time
from collections.abc import Callable, Generator, Iterator

from torch import nn

from resnetctl.config.draft import Draft
from resnetctl.config.duration import spoken
from resnetctl.config.schema import TrainConfig
from resnetctl.engine.loop import StepResult
from resnetctl.engine.schedule import warmup_steps
from resnetctl.errors import UsageError
from resnetctl.facts import Finished, Notice, TrainFact
from resnetctl.hints import Setting
from resnetctl.training.job import Job, fresh_state, lasting
from resnetctl.training.timing.pace import Pace, pace
from resnetctl.wording import counted

ORIGIN = "budget"
SHARE = 0.95  # plan for 95 % of the time: the machine may be slower later than while the steps were timed
TIMING_SHARE, TIMING_SECONDS = 0.05, 8.0  # time steps for 5 % of the budget, at most 8 s
TIMINGS = 3  # at most: a length may ask for another batch size or optimizer, whose steps take other times
FEWEST_STEPS = 100  # the running averages of batch norm have forgotten their start by then: 0.9 ** 100 is 3e-5


def choose_length(
    job: Job, model: Callable[[], nn.Module], *, draft: Draft[TrainConfig], began: float
) -> Generator[Notice, None, Job]:
    """Time a few steps, an evaluation and a checkpoint; return the job with the length that the request allows.

    The number of epochs decides what the rules say. If that changes the batch size or the optimizer, time again.

    Args:
        model: returns the model before the first step, a new one at each call.
        draft: what the job was made of. Its request has the budget, in seconds of wall time with the timing.
        began: `time.monotonic()` when the budget began.

    Raises:
        UsageError: the budget allows neither an epoch nor `FEWEST_STEPS` steps.
    """
    request, timed = draft.request, job
    for _ in range(TIMINGS):
        timing = pace(timed, fresh_state(timed, model()), seconds=min(TIMING_SECONDS, TIMING_SHARE * request.budget))
        spent = time.monotonic() - began
        fitting = with_length(timed, timing, seconds=SHARE * (request.budget - spent))
        if fitting is None:
            raise _too_short(timed, timing, budget=request.budget, spent=spent)
        if request.shortens and fitting.steps * job.steps_per_epoch >= job.steps * fitting.steps_per_epoch:
            return job
        length = {key: getattr(fitting.config, key) for key in ("epochs", "steps")}
        chosen = lasting(job, length, draft=draft, origin=ORIGIN)
        text = _choice(job, fitting, timing)
        if _kind_of_step(chosen) == _kind_of_step(timed):
            break
        timed = chosen
    yield Notice(text)
    yield from _long_warmup(chosen)
    return chosen


def _kind_of_step(job: Job) -> tuple[int, str]:
    """Return what a rule may change of a step, and what its time depends on."""
    return job.config.batch_size, job.config.optim.name


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


def watched(
    facts: Iterator[TrainFact | StepResult], budget: float, *, began: float
) -> Iterator[TrainFact | StepResult]:
    """Yield all facts, and before `Finished` a notice if the run took longer than its budget.

    Args:
        budget: seconds of wall time.
        began: `time.monotonic()` when the budget began.
    """
    for fact in facts:
        taken = time.monotonic() - began
        if isinstance(fact, Finished) and taken > budget:
            yield Notice(
                f"the run took {spoken(taken)}, its budget was {spoken(budget)}: steps were slower than when they were "
                "timed, as beside other work"
            )
        yield fact


def seconds_of(job: Job, timing: Pace) -> float:
    """Return the seconds that the whole run takes at this pace."""
    ends = -(-job.steps // job.steps_per_epoch)
    return job.steps * timing.step + ends * (timing.check + timing.save)


def _choice(job: Job, chosen: Job, timing: Pace) -> str:
    val = f", val {timing.check:.2g} s" if timing.check else ""
    return (
        f"{_length(chosen.config)} in about {spoken(seconds_of(chosen, timing))}: "
        f"a step takes {timing.step * 1000:.0f} ms ({timing.timed} timed), "
        f"an epoch {spoken(timing.epoch(chosen.steps_per_epoch))}{val}; "
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
