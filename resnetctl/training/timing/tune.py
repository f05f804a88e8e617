"""`tune`: choose the number of threads by timing real steps.

Batch size, precision and image size belong to the experiment and stay as they are. The choice is written into
the run's config, so a resume or a repeat times nothing again.
"""

import dataclasses
from collections.abc import Generator

import torch

from resnetctl.engine.loop import TrainState
from resnetctl.engine.stopwatch import Spread, interleave, ratios, spread
from resnetctl.facts import Notice
from resnetctl.system.machine import cores_granted
from resnetctl.training.job import Job
from resnetctl.training.timing.pace import TimedSteps, at_threads
from resnetctl.wording import counted

ORIGIN = "tune"
SECONDS = 20.0  # in total, for all numbers of threads; more when steps are slow
SAMPLE = 0.2  # seconds of steps a sample
WORTH = 1.03  # more threads must be 3 % faster: less is noise, and they take cores from other processes


def tune(job: Job, state: TrainState) -> Generator[Notice, None, Job]:
    """Time real steps with several numbers of threads, in turns, and return the job with the best.

    The steps train `state`: discard it afterwards.
    """
    if job.device.type != "cpu":
        yield Notice(f"tune: there is nothing to choose: the number of CPU threads hardly matters on {job.device.type}")
        return job
    timer = TimedSteps(job, state)
    counts = candidates(cores_granted())
    ways = {str(count): at_threads(count, lambda: timer.rate(SAMPLE)) for count in counts}
    rates = {int(name): values for name, values in interleave(ways, seconds=SECONDS, needed=len(ways)).items()}
    best = choose(rates)
    torch.set_num_threads(best)
    shown = ", ".join(f"{count}: {_images(spread(values))}" for count, values in rates.items())
    yield Notice(
        f"tune: {counted(best, 'thread')}; images/s in {counted(len(rates[best]), 'round')} by threads: {shown}"
    )
    config = job.config.model_copy(update={"threads": best})
    return dataclasses.replace(job, config=config, origins={**job.origins, "threads": ORIGIN})


def candidates(cores: int) -> list[int]:
    """Return 1, 2, 4 and so on, and all cores."""
    doubled = [2**power for power in range(cores.bit_length()) if 2**power < cores]
    return [*doubled, cores]


def choose(rates: dict[int, list[float]]) -> int:
    """Return the best number of threads. From few to many, each must be `WORTH` times as fast as the best so far."""
    best, *more = sorted(rates)
    for count in more:
        if ratios(rates[count], rates[best]).median > WORTH:
            best = count
    return best


def _images(rate: Spread) -> str:
    return f"{rate.median:,.0f} ({rate.low:,.0f}-{rate.high:,.0f})"
